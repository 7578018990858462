//! The exact vector index: every vector of every visible memory, in memory, one block per space.
//!
//! A search computes the dot product with each vector that may count: O(vectors * dimensions), or
//! O(selected * (dimensions + log memories)) under a filter. Exact by construction.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use venom_core::embedding::dot;
use venom_core::{MemoryId, SpaceName, Timestamp};

/// Dead rows are left in place until they are this share of all: then the block is rewritten.
const DEAD_SHARE_MAX: f64 = 0.25;

/// The index of a store.
#[derive(Debug)]
pub(crate) struct Index {
    dimensions: usize,
    spaces: HashMap<SpaceName, Block>,
    /// Largest id ever stored, forgotten ones included.
    pub(crate) largest_id: Option<MemoryId>,
}

/// The vectors of one space.
#[derive(Debug, Default)]
struct Block {
    /// One per memory, `seq` increasing.
    entries: Vec<Entry>,
    /// `[rows, dimensions]`, the rows of a memory side by side, in the order of `entries`.
    vectors: Vec<f32>,
    dead_rows: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: i64,
    id: MemoryId,
    stored_at: Timestamp,
    first_row: usize,
    rows: usize,
    live: bool,
}

/// Which memory a row of the index stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// The memory's row in the database.
    pub(crate) seq: i64,
    /// Its id.
    pub(crate) id: MemoryId,
    /// When it was stored.
    pub(crate) stored_at: Timestamp,
}

/// Which memories of a space count; by default all. Lists are of `seq`, increasing, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Only these.
    pub(crate) included: Option<Vec<i64>>,
    /// None of these.
    pub(crate) excluded: Vec<i64>,
    /// Stored at this moment or later.
    pub(crate) since: Option<Timestamp>,
    /// Stored before this moment.
    pub(crate) until: Option<Timestamp>,
}

impl Selection {
    /// Everything but `included`, which is looked up the other way round.
    fn passes(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.stored_at >= since)
            && self.until.is_none_or(|until| entry.stored_at < until)
            && (self.excluded.is_empty() || self.excluded.binary_search(&entry.seq).is_err())
    }
}

/// A memory found, by its best passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
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
    /// The better is the greater; of equal similarity the newer. Similarities are never NaN.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_similarity = self.similarity.total_cmp(&other.similarity);
        by_similarity.then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Index {
    /// An empty index for vectors of that many components.
    pub(crate) fn new(dimensions: usize, largest_id: Option<MemoryId>) -> Self {
        Self {
            dimensions,
            spaces: HashMap::new(),
            largest_id,
        }
    }

    /// Adds a memory. `fill` appends its vectors, each of unit length, to the list it is given.
    /// `false`, and nothing is added, if what it appended is not at least one whole row or `seq` is
    /// not larger than every one before in that space.
    pub(crate) fn add(
        &mut self,
        space: &SpaceName,
        key: Key,
        fill: impl FnOnce(&mut Vec<f32>),
    ) -> bool {
        if !self.spaces.contains_key(space) {
            self.spaces.insert(space.clone(), Block::default());
        }
        let Some(block) = self.spaces.get_mut(space) else {
            return false;
        };
        let before = block.vectors.len();
        fill(&mut block.vectors);
        let added = block.vectors.len() - before;
        let in_order = block.entries.last().is_none_or(|last| last.seq < key.seq);
        if !in_order || added == 0 || added % self.dimensions != 0 {
            block.vectors.truncate(before);
            return false;
        }
        block.entries.push(Entry {
            seq: key.seq,
            id: key.id,
            stored_at: key.stored_at,
            first_row: before / self.dimensions,
            rows: added / self.dimensions,
            live: true,
        });
        self.largest_id = self.largest_id.max(Some(key.id));
        true
    }

    /// Hides a memory from searches. O(log memories), and now and then a rewrite of the space's block.
    pub(crate) fn remove(&mut self, space: &SpaceName, seq: i64) {
        let Some(block) = self.spaces.get_mut(space) else {
            return;
        };
        if let Some(at) = block.position(seq)
            && let entry = &mut block.entries[at]
            && entry.live
        {
            entry.live = false;
            block.dead_rows += entry.rows;
            block.compact(self.dimensions);
        }
    }

    /// The best `limit` selected memories of `space`, best first.
    pub(crate) fn search(
        &self,
        (space, selection): (&SpaceName, &Selection),
        query: &[f32],
        limit: usize,
    ) -> Vec<Found> {
        let Some(block) = self.spaces.get(space) else {
            return Vec::new();
        };
        let score = |entry: &Entry| {
            let counts = entry.live && selection.passes(entry);
            counts.then(|| block.score(entry, query)).flatten()
        };
        match &selection.included {
            None => best(block.entries.iter().filter_map(score), limit),
            Some(seqs) => best(block.entries_of(seqs).filter_map(score), limit),
        }
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
    fn position(&self, seq: i64) -> Option<usize> {
        self.entries
            .binary_search_by_key(&seq, |entry| entry.seq)
            .ok()
    }

    /// The entries with these `seq`, which increase. Each is sought from where the one before was, in
    /// steps that double (Bentley, Yao: "An almost optimal algorithm for unbounded searching", 1976), so
    /// that a long list costs about one step an entry.
    fn entries_of<'a>(&'a self, seqs: &'a [i64]) -> impl Iterator<Item = &'a Entry> {
        let mut from = 0;
        seqs.iter().filter_map(move |seq| {
            let rest = &self.entries[from..];
            let mut step = 1;
            while rest.get(step).is_some_and(|entry| entry.seq < *seq) {
                step *= 2;
            }
            let (start, end) = (step / 2, rest.len().min(step + 1));
            from += start + rest[start..end].partition_point(|entry| entry.seq < *seq);
            self.entries.get(from).filter(|entry| entry.seq == *seq)
        })
    }

    fn rows(&self, entry: &Entry, dimensions: usize) -> &[f32] {
        let start = entry.first_row * dimensions;
        &self.vectors[start..start + entry.rows * dimensions]
    }

    /// The best passage of a memory; of equal ones the first.
    fn score(&self, entry: &Entry, query: &[f32]) -> Option<Found> {
        let mut found: Option<Found> = None;
        let rows = self.rows(entry, query.len());
        for (ordinal, row) in rows.chunks_exact(query.len()).enumerate() {
            // Adding zero turns -0.0 into 0.0, which it equals but is not ordered with.
            let similarity = (dot(row, query) + 0.0).clamp(-1.0, 1.0);
            if found.is_none_or(|best| similarity > best.similarity) {
                found = Some(Found {
                    similarity,
                    id: entry.id,
                    seq: entry.seq,
                    ordinal,
                });
            }
        }
        found
    }

    fn compact(&mut self, dimensions: usize) {
        let rows = self.vectors.len() / dimensions;
        if (self.dead_rows as f64) <= rows as f64 * DEAD_SHARE_MAX {
            return;
        }
        let mut vectors = Vec::with_capacity((rows - self.dead_rows) * dimensions);
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter().filter(|entry| entry.live) {
            entries.push(Entry {
                first_row: vectors.len() / dimensions,
                ..*entry
            });
            vectors.extend_from_slice(self.rows(entry, dimensions));
        }
        self.entries = entries;
        self.vectors = vectors;
        self.dead_rows = 0;
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
    use venom_core::test_support::samples::{Rng, id, space};

    fn key(seq: i64, id: MemoryId) -> Key {
        let stored_at = Timestamp::from_micros(seq);
        Key { seq, id, stored_at }
    }

    /// (seq, id, vectors, live)
    type Plain = (i64, MemoryId, Vec<f32>, bool);

    fn brute_force(
        all: &[Plain],
        query: &[f32],
        counts: &dyn Fn(i64) -> bool,
    ) -> Vec<(f32, MemoryId)> {
        let best = |(_, id, rows, _): &Plain| {
            let rows = rows.chunks(query.len());
            let scores = rows.map(|row| (dot(row, query) + 0.0).clamp(-1.0, 1.0));
            (scores.fold(f32::MIN, f32::max), *id)
        };
        let counting = all.iter().filter(|(seq, _, _, live)| *live && counts(*seq));
        let mut found: Vec<(f32, MemoryId)> = counting.map(best).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        found
    }

    proptest! {
        #[test]
        fn search_is_brute_force(seed: u64, memories in 0_i64..80, limit in 0_usize..90) {
            let mut rng = Rng::new(seed);
            let (here, query) = (space("here"), rng.vector());
            let mut index = Index::new(query.dimensions(), None);
            let mut all: Vec<Plain> = Vec::new();
            for seq in 0..memories {
                // Ids in another order than rows, each once.
                let id = id(u64::try_from((seq * 37) % 101).unwrap());
                let rows: Vec<f32> = (0..=rng.below(3))
                    .flat_map(|_| rng.vector().as_slice().to_vec())
                    .collect();
                prop_assert!(index.add(&here, key(seq, id), |v| v.extend_from_slice(&rows)));
                all.push((seq, id, rows, true));
            }
            for (seq, _, _, live) in &mut all {
                if rng.below(3) == 0 {
                    *live = false;
                    index.remove(&here, *seq);
                }
            }
            let every = |n: i64| (0..memories + 5).filter(|seq| seq % n == 1).collect::<Vec<_>>();
            let odd = |seq: i64| seq % 2 == 1;
            let mut selection = Selection::default();
            let check = |selection: &Selection, counts: &dyn Fn(i64) -> bool| {
                let mut expected = brute_force(&all, query.as_slice(), counts);
                expected.truncate(limit);
                let found = index.search((&here, selection), query.as_slice(), limit);
                let found: Vec<_> = found.iter().map(|f| (f.similarity, f.id)).collect();
                prop_assert_eq!(found, expected);
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
        let (here, mut index) = (space("here"), Index::new(2, None));
        assert!(!index.add(&here, key(1, id(1)), |_| {}));
        assert!(!index.add(&here, key(1, id(1)), |v| v.push(1.0)));
        assert!(index.add(&here, key(2, id(2)), |v| v.extend([1.0, 0.0])));
        assert!(!index.add(&here, key(2, id(3)), |v| v.extend([1.0, 0.0])));
        assert_eq!(
            index
                .search((&here, &Selection::default()), &[1.0, 0.0], 9)
                .len(),
            1
        );
    }
}
