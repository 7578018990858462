//! The exact index: every vector of every visible memory, in memory, with what the recipe of
//! [`venom_core::recall`] knows of it; one block per space.
//!
//! A search compares the question with every vector of the space and scores every memory, whatever the
//! filter, since scores are relative to the whole space: O(vectors * dimensions). Exact by construction.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use venom_core::embedding::dot;
use venom_core::ports::Search;
use venom_core::recall::{
    self, Corpus, NewEntry, Parts, Section, SoughtTerms, Space, Spelling, Stemming,
};
use venom_core::{MemoryId, SessionName, SpaceName, Timestamp};

/// Dead rows are left in place until they are this share of all: then the block is rewritten.
const DEAD_SHARE_MAX: f64 = 0.25;

/// The index of a store.
#[derive(Debug)]
pub(crate) struct Index {
    dimensions: usize,
    stemming: Stemming,
    spaces: HashMap<SpaceName, Block>,
    /// Largest id ever stored, forgotten ones included.
    pub(crate) largest_id: Option<MemoryId>,
}

/// The vectors of one space.
#[derive(Debug, Default)]
struct Block {
    /// One per memory, in the order they came.
    entries: Vec<Entry>,
    /// Where in `entries` the live memory with this `seq` is.
    slots: HashMap<i64, usize>,
    /// `[rows, dimensions]`, the rows of a memory side by side, in the order of `entries`.
    vectors: Vec<f32>,
    dead_rows: usize,
    /// Its slots are the places in `entries`.
    recall: Space,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: i64,
    id: MemoryId,
    moment: Timestamp,
    first_row: usize,
    rows: usize,
    live: bool,
}

/// Which memories of a space count; by default all. Lists are of `seq`, increasing, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Only these.
    pub(crate) included: Option<Vec<i64>>,
    /// None of these.
    pub(crate) excluded: Vec<i64>,
    /// Happened at this moment or later.
    pub(crate) since: Option<Timestamp>,
    /// Happened before this moment.
    pub(crate) until: Option<Timestamp>,
    /// Said by the speaker of this key.
    pub(crate) speaker: Option<String>,
    /// Of this session.
    pub(crate) session: Option<SessionName>,
}

/// A memory found, by its best passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    /// The parts of its score.
    pub(crate) parts: Parts,
    /// Cosine similarity, -1 to 1.
    pub(crate) similarity: f32,
    /// The memory's id.
    pub(crate) id: MemoryId,
    /// The memory's row in the database.
    pub(crate) seq: i64,
    /// Which of its passages, from 0.
    pub(crate) ordinal: usize,
}

impl Eq for Found {}

impl Ord for Found {
    /// The better is the greater; of equal score the newer. Scores are never NaN.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.parts.sum().total_cmp(&other.parts.sum());
        by_score.then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Index {
    /// An empty index for vectors of that many components.
    pub(crate) fn new(dimensions: usize, largest_id: Option<MemoryId>, stemming: Stemming) -> Self {
        Self {
            dimensions,
            stemming,
            spaces: HashMap::new(),
            largest_id,
        }
    }

    /// Adds the memory in row `seq` of the database. `fill` appends its vectors, each of unit length,
    /// to the list it is given. `false`, and nothing is added, if what it appended is not at least one
    /// whole row or a memory with this `seq` is there.
    pub(crate) fn add(
        &mut self,
        (space, seq): (&SpaceName, i64),
        new: NewEntry<'_>,
        fill: impl FnOnce(&mut Vec<f32>),
    ) -> bool {
        if !self.spaces.contains_key(space) {
            let block = Block {
                recall: Space::new(self.stemming),
                ..Block::default()
            };
            self.spaces.insert(space.clone(), block);
        }
        let Some(block) = self.spaces.get_mut(space) else {
            return false;
        };
        let before = block.vectors.len();
        fill(&mut block.vectors);
        let added = block.vectors.len() - before;
        if block.slots.contains_key(&seq) || added == 0 || added % self.dimensions != 0 {
            block.vectors.truncate(before);
            return false;
        }
        self.largest_id = self.largest_id.max(Some(new.id));
        block.slots.insert(seq, block.entries.len());
        block.entries.push(Entry {
            seq,
            id: new.id,
            moment: new.origin.moment(new.stored_at),
            first_row: before / self.dimensions,
            rows: added / self.dimensions,
            live: true,
        });
        block.recall.add(new);
        true
    }

    /// Hides a memory from searches. O(its terms), and now and then a rewrite of the space's block.
    pub(crate) fn remove(&mut self, space: &SpaceName, seq: i64) {
        let Some(block) = self.spaces.get_mut(space) else {
            return;
        };
        if let Some(slot) = block.slots.remove(&seq) {
            let entry = &mut block.entries[slot];
            entry.live = false;
            block.dead_rows += entry.rows;
            block.recall.remove(slot);
            block.compact(self.dimensions);
        }
    }

    /// Replaces what is known of a memory; without `vectors` it keeps those it has. `false` if the memory
    /// is not there or the vectors are not at least one whole row.
    pub(crate) fn change(
        &mut self,
        (space, seq): (&SpaceName, i64),
        new: NewEntry<'_>,
        vectors: Option<Vec<f32>>,
    ) -> bool {
        let vectors = vectors.or_else(|| {
            let block = self.spaces.get(space)?;
            let entry = &block.entries[*block.slots.get(&seq)?];
            Some(block.rows(entry, self.dimensions).to_vec())
        });
        let Some(vectors) = vectors else { return false };
        self.remove(space, seq);
        self.add((space, seq), new, |v| v.extend_from_slice(&vectors))
    }

    /// The best `search.limit` selected memories, best first.
    pub(crate) fn search(&self, search: &Search<'_>, selection: &Selection) -> Vec<Found> {
        let Some(block) = self.spaces.get(&search.filter.space) else {
            return Vec::new();
        };
        let best_rows = block.best_rows(search.vector.as_slice());
        let similarities: Vec<f32> = best_rows
            .iter()
            .map(|(similarity, _)| *similarity)
            .collect();
        let sections: [&dyn Section; 1] = [&block.recall];
        let corpus = Corpus::new(&sections);
        let parts = recall::score(corpus, search.question, search.vocabulary, &[&similarities]);
        let parts: Vec<Option<Parts>> = parts.into_iter().flatten().collect();
        let found = |slot: usize| {
            let (entry, (similarity, ordinal)) = (&block.entries[slot], best_rows[slot]);
            let counts = search
                .similarity_min
                .is_none_or(|least| similarity >= least)
                && block.passes(slot, selection);
            let parts = parts[slot].filter(|_| counts)?;
            Some(Found {
                parts,
                similarity,
                id: entry.id,
                seq: entry.seq,
                ordinal,
            })
        };
        match &selection.included {
            None => best((0..block.entries.len()).filter_map(found), search.limit),
            Some(seqs) => {
                let slots = seqs.iter().filter_map(|seq| block.slots.get(seq).copied());
                best(slots.filter_map(found), search.limit)
            }
        }
    }

    /// What a search that is to be explained looks for.
    pub(crate) fn sought(&self, search: &Search<'_>) -> Option<SoughtTerms> {
        let block = self.spaces.get(&search.filter.space);
        let block = block.filter(|_| search.explain)?;
        let sections: [&dyn Section; 1] = [&block.recall];
        Some(SoughtTerms::new(
            self.stemming,
            Corpus::new(&sections),
            search.question,
            search.vocabulary,
        ))
    }

    /// Names of those who said memories of a space, in lower case, sorted.
    pub(crate) fn speakers(&self, space: &SpaceName) -> Vec<String> {
        let block = self.spaces.get(space);
        block.map_or_else(Vec::new, |block| Corpus::new(&[&block.recall]).speakers())
    }

    /// What the memories of a space know of each of these words.
    pub(crate) fn spellings(&self, space: &SpaceName, words: &[String]) -> Vec<Spelling> {
        let block = self.spaces.get(space);
        let spelling = |word: &String| {
            block.map_or_else(Spelling::default, |block| block.recall.spelling(word))
        };
        words.iter().map(spelling).collect()
    }

    /// What is indexed: per space (sorted) its live memories, each with its vectors.
    #[cfg(test)]
    pub(crate) fn contents(&self) -> std::collections::BTreeMap<SpaceName, Vec<(i64, Vec<f32>)>> {
        let mut contents = std::collections::BTreeMap::new();
        for (space, block) in &self.spaces {
            let live = block.entries.iter().filter(|entry| entry.live);
            let rows = |entry: &Entry| (entry.seq, block.rows(entry, self.dimensions).to_vec());
            let rows: Vec<_> = live.map(rows).collect();
            if !rows.is_empty() {
                contents.insert(space.clone(), rows);
            }
        }
        contents
    }
}

impl Block {
    /// Whether the live memory in a slot is selected, apart from `included`, which is looked up the other
    /// way round.
    fn passes(&self, slot: usize, selection: &Selection) -> bool {
        let entry = &self.entries[slot];
        selection.since.is_none_or(|since| entry.moment >= since)
            && selection.until.is_none_or(|until| entry.moment < until)
            && (selection.excluded.is_empty()
                || selection.excluded.binary_search(&entry.seq).is_err())
            && (selection.speaker.as_ref()).is_none_or(|name| self.recall.is_said_by(slot, name))
            && (selection.session.as_ref()).is_none_or(|name| self.recall.is_of_session(slot, name))
    }

    fn rows(&self, entry: &Entry, dimensions: usize) -> &[f32] {
        let start = entry.first_row * dimensions;
        &self.vectors[start..start + entry.rows * dimensions]
    }

    /// Of each memory the cosine of its best passage and which that is, of equal ones the first; by slot.
    fn best_rows(&self, query: &[f32]) -> Vec<(f32, usize)> {
        let of_entry = |entry: &Entry| {
            let rows = self.rows(entry, query.len()).chunks_exact(query.len());
            // Adding zero turns -0.0 into 0.0, which it equals but is not ordered with.
            let cosines = rows.map(|row| (dot(row, query) + 0.0).clamp(-1.0, 1.0));
            let mut best = (f32::NEG_INFINITY, 0);
            for (ordinal, cosine) in cosines.enumerate() {
                if cosine > best.0 {
                    best = (cosine, ordinal);
                }
            }
            best
        };
        let live = |entry: &Entry| {
            if entry.live {
                of_entry(entry)
            } else {
                (0.0, 0)
            }
        };
        self.entries.iter().map(live).collect()
    }

    fn compact(&mut self, dimensions: usize) {
        let rows = self.vectors.len() / dimensions;
        if (self.dead_rows as f64) <= rows as f64 * DEAD_SHARE_MAX {
            return;
        }
        let mut vectors = Vec::with_capacity((rows - self.dead_rows) * dimensions);
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter().filter(|entry| entry.live) {
            self.slots.insert(entry.seq, entries.len());
            entries.push(Entry {
                first_row: vectors.len() / dimensions,
                ..*entry
            });
            vectors.extend_from_slice(self.rows(entry, dimensions));
        }
        self.entries = entries;
        self.vectors = vectors;
        self.dead_rows = 0;
        self.recall.compact();
    }
}

/// The greatest `limit`, greatest first. O(n log limit).
fn best(found: impl Iterator<Item = Found>, limit: usize) -> Vec<Found> {
    let mut heap: BinaryHeap<Reverse<Found>> = BinaryHeap::new();
    for candidate in found {
        if heap.len() < limit {
            heap.push(Reverse(candidate));
        } else if let Some(mut worst) = heap.peek_mut()
            && candidate > worst.0
        {
            *worst = Reverse(candidate);
        }
    }
    heap.into_sorted_vec()
        .into_iter()
        .map(|found| found.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use venom_core::ports::NoVocabulary;
    use venom_core::recall::{Document, Stemming};
    use venom_core::test_support::samples::{Rng, id, space, wordless};
    use venom_core::{Content, Embedding, Filter, Origin};

    /// (seq, id, vectors, live)
    type Plain = (i64, MemoryId, Vec<f32>, bool);

    fn add(index: &mut Index, (seq, id): (i64, MemoryId), rows: &[f32]) -> bool {
        let (origin, content) = (Origin::default(), Content::parse("same words").unwrap());
        let new = NewEntry {
            id,
            stored_at: Timestamp::from_micros(seq),
            origin: &origin,
            document: Document::new(&origin, &content),
        };
        index.add((&space("here"), seq), new, |v| v.extend_from_slice(rows))
    }

    fn search(
        index: &Index,
        vector: &Embedding,
        selection: &Selection,
        limit: usize,
    ) -> Vec<Found> {
        let search = Search {
            question: &wordless(),
            vector,
            vocabulary: &NoVocabulary,
            filter: &Filter::everything_in(space("here")),
            similarity_min: None,
            limit,
            explain: false,
        };
        index.search(&search, selection)
    }

    /// Everything in a new index, without the memories that are gone, sorted and cut by hand.
    fn brute_force(all: &[Plain], query: &Embedding, counts: &dyn Fn(i64) -> bool) -> Vec<Found> {
        let mut index = Index::new(query.dimensions(), None, Stemming::default());
        for (seq, id, rows, live) in all {
            assert!(!live || add(&mut index, (*seq, *id), rows));
        }
        let mut found = search(&index, query, &Selection::default(), usize::MAX);
        found.retain(|found| counts(found.seq));
        found.sort_by(|a, b| b.cmp(a));
        found
    }

    proptest! {
        #[test]
        fn search_is_brute_force(seed: u64, memories in 0_i64..80, limit in 0_usize..90) {
            let mut rng = Rng::new(seed);
            let query = rng.vector();
            let mut index = Index::new(query.dimensions(), None, Stemming::default());
            let mut all: Vec<Plain> = Vec::new();
            for seq in 0..memories {
                // Ids in another order than rows, each once.
                let id = id(u64::try_from((seq * 37) % 101).unwrap());
                let rows: Vec<f32> = (0..=rng.below(3))
                    .flat_map(|_| rng.vector().as_slice().to_vec())
                    .collect();
                prop_assert!(add(&mut index, (seq, id), &rows));
                all.push((seq, id, rows, true));
            }
            for (seq, _, _, live) in &mut all {
                if rng.below(3) == 0 {
                    *live = false;
                    index.remove(&space("here"), *seq);
                }
            }
            let every = |n: i64| (0..memories + 5).filter(|seq| seq % n == 1).collect::<Vec<_>>();
            let odd = |seq: i64| seq % 2 == 1;
            let mut selection = Selection::default();
            let check = |selection: &Selection, counts: &dyn Fn(i64) -> bool| {
                let mut expected = brute_force(&all, &query, counts);
                expected.truncate(limit);
                prop_assert_eq!(search(&index, &query, selection, limit), expected);
                Ok(())
            };
            check(&selection, &|_| true)?;
            selection.included = Some(every(2));
            check(&selection, &odd)?;
            selection.excluded = every(5);
            check(&selection, &|seq| odd(seq) && seq % 5 != 1)?;
            selection.included = None;
            selection.since = Some(Timestamp::from_micros(10));
            selection.until = Some(Timestamp::from_micros(60));
            check(&selection, &|seq| seq % 5 != 1 && (10..60).contains(&seq))?;
        }
    }

    #[test]
    fn what_is_no_row_or_out_of_order_is_refused() {
        let mut index = Index::new(2, None, Stemming::default());
        assert!(!add(&mut index, (1, id(1)), &[]));
        assert!(!add(&mut index, (1, id(1)), &[1.0]));
        assert!(add(&mut index, (2, id(2)), &[1.0, 0.0]));
        assert!(!add(&mut index, (2, id(3)), &[1.0, 0.0]));
        let query = Embedding::normalize(vec![1.0, 0.0]).unwrap();
        assert_eq!(search(&index, &query, &Selection::default(), 9).len(), 1);
    }
}
