//! Memories that are compared exactly: every vector in memory, with what the recipe of
//! [`venom_core::recall`] knows of each.

use crate::index::Selection;
use std::collections::HashMap;
use venom_core::embedding::dot;
use venom_core::recall::{NewEntry, Space, Stemming};
use venom_core::{MemoryId, Timestamp};

/// Dead rows are left in place until they are this share of all: then the block is rewritten.
const DEAD_SHARE_MAX: f64 = 0.25;

/// Memories of one space with their vectors.
#[derive(Debug)]
pub(crate) struct Block {
    dimensions: usize,
    /// One per memory, in the order they came.
    entries: Vec<Entry>,
    /// Where in `entries` the live memory with this `seq` is.
    slots: HashMap<i64, usize>,
    /// `[rows, dimensions]`, the rows of a memory side by side, in the order of `entries`.
    vectors: Vec<f32>,
    dead_rows: usize,
    /// Its slots are the places in `entries`.
    pub(crate) recall: Space,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) id: MemoryId,
    moment: Timestamp,
    first_row: usize,
    rows: usize,
    pub(crate) live: bool,
}

impl Block {
    /// Nothing yet, for vectors of that many components and texts that are stemmed like this.
    pub(crate) fn new(dimensions: usize, stemming: Stemming) -> Self {
        Self {
            dimensions,
            entries: Vec::new(),
            slots: HashMap::new(),
            vectors: Vec::new(),
            dead_rows: 0,
            recall: Space::new(stemming),
        }
    }

    /// Adds the memory in row `seq` of the database. `fill` appends its vectors, each of unit length, to the list it
    /// is given. `false`, and nothing is added, if what it appended is not at least one whole row or a memory with
    /// this `seq` is there.
    pub(crate) fn add(
        &mut self,
        seq: i64,
        new: NewEntry<'_>,
        fill: impl FnOnce(&mut Vec<f32>),
    ) -> bool {
        let before = self.vectors.len();
        fill(&mut self.vectors);
        let added = self.vectors.len() - before;
        if self.slots.contains_key(&seq) || added == 0 || !added.is_multiple_of(self.dimensions) {
            self.vectors.truncate(before);
            return false;
        }
        self.slots.insert(seq, self.entries.len());
        self.entries.push(Entry {
            seq,
            id: new.id,
            moment: new.origin.moment(new.stored_at),
            first_row: before / self.dimensions,
            rows: added / self.dimensions,
            live: true,
        });
        self.recall.add(new);
        true
    }

    /// Takes a memory out; `false` if it is not there. O(its terms), and now and then a rewrite of the block.
    pub(crate) fn remove(&mut self, seq: i64) -> bool {
        let Some(slot) = self.slots.remove(&seq) else {
            return false;
        };
        let entry = &mut self.entries[slot];
        entry.live = false;
        self.dead_rows += entry.rows;
        self.recall.remove(slot);
        self.compact();
        true
    }

    /// How many memories there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// By slot; also those whose memory went.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The memories that are there, in the order they came.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.live)
    }

    /// The slot of a memory that is there.
    pub(crate) fn slot(&self, seq: i64) -> Option<usize> {
        self.slots.get(&seq).copied()
    }

    /// Whether the live memory in a slot is selected, apart from `included`, which is looked up the other
    /// way round.
    pub(crate) fn passes(&self, slot: usize, selection: &Selection) -> bool {
        let entry = &self.entries[slot];
        selection.since.is_none_or(|since| entry.moment >= since)
            && selection.until.is_none_or(|until| entry.moment < until)
            && (selection.excluded.is_empty()
                || selection.excluded.binary_search(&entry.seq).is_err())
            && (selection.speaker.as_ref()).is_none_or(|name| self.recall.is_said_by(slot, name))
            && (selection.session.as_ref()).is_none_or(|name| self.recall.is_of_session(slot, name))
    }

    /// The vectors of a memory, one after the other.
    pub(crate) fn rows(&self, entry: &Entry) -> &[f32] {
        let start = entry.first_row * self.dimensions;
        &self.vectors[start..start + entry.rows * self.dimensions]
    }

    /// Of each memory the cosine of its best passage and which that is, of equal ones the first; by slot.
    pub(crate) fn best_rows(&self, query: &[f32]) -> Vec<(f32, usize)> {
        let of_entry = |entry: &Entry| {
            if entry.live {
                best_row(self.rows(entry), query)
            } else {
                (0.0, 0)
            }
        };
        self.entries.iter().map(of_entry).collect()
    }

    /// Takes memories out so that nothing of them stays, even of those that went before. O(block) if it has one.
    pub(crate) fn erase(&mut self, seqs: &[i64]) {
        if !self.entries.iter().any(|entry| seqs.contains(&entry.seq)) {
            return;
        }
        for seq in seqs {
            self.remove(*seq);
        }
        if self.dead_rows > 0 {
            self.rewrite();
        }
    }

    fn compact(&mut self) {
        let rows = self.vectors.len() / self.dimensions;
        if (self.dead_rows as f64) > rows as f64 * DEAD_SHARE_MAX {
            self.rewrite();
        }
    }

    /// Leaves out what went.
    fn rewrite(&mut self) {
        let dimensions = self.dimensions;
        let rows = self.vectors.len() / dimensions;
        let mut vectors = Vec::with_capacity((rows - self.dead_rows) * dimensions);
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter().filter(|entry| entry.live) {
            self.slots.insert(entry.seq, entries.len());
            entries.push(Entry {
                first_row: vectors.len() / dimensions,
                ..*entry
            });
            vectors.extend_from_slice(self.rows(entry));
        }
        self.entries = entries;
        self.vectors = vectors;
        self.dead_rows = 0;
        self.recall.compact();
    }
}

/// The cosine of the vector that is nearest to a query and which that is, of equal ones the first.
pub(crate) fn best_row(vectors: &[f32], query: &[f32]) -> (f32, usize) {
    let rows = vectors.chunks_exact(query.len());
    // Adding zero turns -0.0 into 0.0, which it equals but is not ordered with.
    let cosines = rows.map(|row| (dot(row, query) + 0.0).clamp(-1.0, 1.0));
    let mut best = (f32::NEG_INFINITY, 0);
    for (ordinal, cosine) in cosines.enumerate() {
        if cosine > best.0 {
            best = (cosine, ordinal);
        }
    }
    best
}
