//! What a search reads: per space the newest memories, compared exactly, and the older ones of a large space in
//! segments, searched by candidates.
//!
//! A space of some thousand memories is one block: a search compares the question with every vector and scores every
//! memory, whatever the filter, since scores are relative to the whole space. Exact by construction. A larger one is
//! an archive of segments, a few small blocks of what came since, and, while segments are being made, gaps: rows of
//! the database that neither has, which the store scans.

use crate::archive::{Archive, Name, Segment};
use crate::block::Block;
use crate::sealed::Covered;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use venom_core::ports::Search;
use venom_core::recall::{
    Asked, Candidates, Corpus, NearWords, NewEntry, Parts, Scope, Section, Slot, SoughtTerms,
    Spelling, Stemming,
};
use venom_core::{MemoryId, SessionName, SpaceName, Timestamp};

/// Cosines of bytes are off by less than this.
const BYTES_ERROR: f32 = 0.01;

/// How large things become before something is done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSizes {
    /// A space of more memories has an archive.
    pub exact_memories_max: usize,
    /// In a space with an archive so many new memories become a segment.
    pub block_memories: usize,
    /// So many segments become one, where none is larger than the others together.
    pub segments_merged: usize,
    /// A segment has at most so many memories.
    pub segment_memories_max: usize,
    /// A segment has at most so many words, repetitions counted, except one that a few long memories fill.
    pub segment_words_max: u64,
}

impl Default for IndexSizes {
    fn default() -> Self {
        Self {
            exact_memories_max: 20_000,
            block_memories: 1_000,
            segments_merged: 4,
            segment_memories_max: 262_144,
            segment_words_max: 8_000_000,
        }
    }
}

impl IndexSizes {
    /// Those for a space that is compared exactly up to so many memories.
    pub fn exact_up_to(memories: usize) -> Self {
        Self {
            exact_memories_max: memories,
            block_memories: (memories / 20).clamp(16, 1_024),
            ..Self::default()
        }
    }
}

/// How a store is searched. It may differ from one opening to the next.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// How texts are stemmed.
    pub stemming: Stemming,
    /// When something is done about large spaces.
    pub sizes: IndexSizes,
    /// The near words of large spaces, which may be prepared while a store is being opened.
    pub near: Arc<NearWords>,
}

/// The index of a store.
#[derive(Debug)]
pub(crate) struct Index {
    dimensions: usize,
    stemming: Stemming,
    sizes: IndexSizes,
    spaces: HashMap<SpaceName, SpaceIndex>,
    near: Arc<NearWords>,
    /// Largest id ever stored, forgotten ones included.
    pub(crate) largest_id: Option<MemoryId>,
}

/// The index of one space.
#[derive(Debug, Default)]
struct SpaceIndex {
    archive: Archive,
    /// The last takes what is new; the others wait to become a segment.
    blocks: Vec<Block>,
    /// Rows that are neither in the archive nor in a block, first and last, increasing.
    gaps: Vec<(i64, i64)>,
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

impl Selection {
    /// Whether all memories count.
    pub(crate) const fn is_everything(&self) -> bool {
        self.included.is_none()
            && self.excluded.is_empty()
            && self.since.is_none()
            && self.until.is_none()
            && self.speaker.is_none()
            && self.session.is_none()
    }
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
    /// Which of its passages, from 0; `None` if the similarity is that of bytes and the passage is not known.
    pub(crate) ordinal: Option<usize>,
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

/// Why a space cannot be searched before something is done.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// Segments cannot be read.
    Broken(Vec<Covered>),
}

/// What is to be done for a space in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) space: SpaceName,
    /// Rows of the database that shall become a segment, first and last.
    pub(crate) rows: (i64, i64),
    /// Whether several segments may be made of them.
    pub(crate) may_be_cut: bool,
    /// Whether it is to be done because a segment has memories that were erased.
    pub(crate) erases: bool,
}

impl Index {
    /// An empty index for vectors of that many components.
    pub(crate) fn new(
        dimensions: usize,
        largest_id: Option<MemoryId>,
        options: IndexOptions,
    ) -> Self {
        let IndexOptions {
            stemming,
            sizes,
            near,
        } = options;
        Self {
            dimensions,
            stemming,
            sizes,
            spaces: HashMap::new(),
            near,
            largest_id,
        }
    }

    /// Gives a space what was made of it before, and the rows that nothing was made of.
    pub(crate) fn restore(&mut self, space: &SpaceName, archive: Archive, gaps: Vec<(i64, i64)>) {
        let index = self.spaces.entry(space.clone()).or_default();
        index.archive = archive;
        index.gaps = gaps;
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
        let id = new.id;
        let index = match self.spaces.get_mut(space) {
            Some(index) => index,
            None => self.spaces.entry(space.clone()).or_default(),
        };
        if index.has(seq) {
            return false;
        }
        if index.blocks.is_empty() || index.is_full(&self.sizes) {
            index
                .blocks
                .push(Block::new(self.dimensions, self.stemming));
        }
        let added = index
            .blocks
            .last_mut()
            .is_some_and(|block| block.add(seq, new, fill));
        if added {
            self.largest_id = self.largest_id.max(Some(id));
        }
        added
    }

    /// Hides a memory from searches. O(its terms), and now and then a rewrite of a block.
    pub(crate) fn remove(&mut self, space: &SpaceName, seq: i64) {
        if let Some(index) = self.spaces.get_mut(space) {
            index.remove(seq);
        }
    }

    /// Gives a space another name. What is known of a deleted one that had it before is dropped.
    pub(crate) fn rename(&mut self, from: &SpaceName, to: &SpaceName) {
        self.spaces.remove(to);
        if let Some(index) = self.spaces.remove(from) {
            self.spaces.insert(to.clone(), index);
        }
    }

    /// Replaces what is known of a memory. `false` if the vectors are not at least one whole row.
    pub(crate) fn change(
        &mut self,
        (space, seq): (&SpaceName, i64),
        new: NewEntry<'_>,
        vectors: &[f32],
    ) -> bool {
        self.remove(space, seq);
        self.add((space, seq), new, |v| v.extend_from_slice(vectors))
    }

    /// The best `search.limit` selected memories, best first; `scanned` are those that were found in the gaps of the
    /// space.
    ///
    /// # Errors
    /// [`Obstacle`] if a segment cannot be read.
    pub(crate) fn search(
        &self,
        search: &Search<'_>,
        selection: &Selection,
        scanned: Option<&Block>,
    ) -> Result<Vec<Found>, Obstacle> {
        let Some(index) = self.spaces.get(&search.filter.space) else {
            return Ok(Vec::new());
        };
        let query = search.vector.as_slice();
        let sections = index.sections(scanned);
        let corpus = self.corpus(index, &sections);
        let asked = Asked::new(corpus, search.question, search.vocabulary);
        let candidates = index.archive.candidates(&asked, query, selection);
        let candidates = candidates.map_err(|covered| Obstacle::Broken(vec![covered]))?;
        let blocks: Vec<&Block> = index.blocks.iter().chain(scanned).collect();
        let best_rows: Vec<Vec<(f32, usize)>> =
            blocks.iter().map(|block| block.best_rows(query)).collect();
        let cosines_of = |rows: &Vec<(f32, usize)>| rows.iter().map(|row| row.0).collect();
        let cosines: Vec<Vec<f32>> = best_rows.iter().map(cosines_of).collect();
        let scopes = candidates.iter().map(Scope::Some);
        let scopes: Vec<Scope<'_>> = scopes
            .chain(cosines.iter().map(|all| Scope::All(all)))
            .collect();
        let mut parts = asked.parts(&scopes);
        let of_blocks = parts.split_off(candidates.len());
        let least = search.similarity_min;
        let mut found: Vec<Found> = Vec::new();
        let segments = index.archive.segments().iter();
        for ((segment, candidates), parts) in segments.zip(&candidates).zip(parts) {
            segment.text.expect_ids(parts.iter().map(|(slot, _)| *slot));
            found.extend(found_in_segment(segment, candidates, least, parts));
        }
        let blocks = blocks.into_iter().zip(best_rows).zip(of_blocks);
        for (number, ((block, best_rows), parts)) in blocks.enumerate() {
            let of_block = found_in_block(block, &best_rows, selection, least, parts);
            let is_scanned = number >= index.blocks.len();
            found.extend(of_block.filter(|found| !(is_scanned && index.has(found.seq))));
        }
        if let Some(broken) = index.archive.broken() {
            return Err(broken);
        }
        // Those that bytes put above the least similarity may turn out to be below it.
        let limit = match least {
            Some(_) if !candidates.is_empty() => usize::MAX,
            _ => search.limit,
        };
        Ok(best(found.into_iter(), limit))
    }

    /// How many memories words alone speak for, of those that a search considers by them.
    pub(crate) fn ask_words(&self, search: &Search<'_>) -> usize {
        let Some(index) = self.spaces.get(&search.filter.space) else {
            return 0;
        };
        let sections = index.sections(None);
        let corpus = self.corpus(index, &sections);
        let asked = Asked::new(corpus, search.question, search.vocabulary);
        index.archive.by_words(&asked, None).len()
    }

    /// What a search that is to be explained looks for.
    pub(crate) fn sought(&self, search: &Search<'_>) -> Option<SoughtTerms> {
        let index = self.spaces.get(&search.filter.space);
        let index = index.filter(|_| search.explain)?;
        let sections = index.sections(None);
        Some(SoughtTerms::new(
            self.stemming,
            self.corpus(index, &sections),
            search.question,
            search.vocabulary,
        ))
    }

    /// Names of those who said memories of a space, in lower case, sorted.
    pub(crate) fn speakers(&self, space: &SpaceName) -> Vec<String> {
        let index = self.spaces.get(space);
        index.map_or_else(Vec::new, |index| {
            Corpus::new(&index.sections(None)).speakers()
        })
    }

    /// What the memories of a space know of each of these words.
    pub(crate) fn spellings(&self, space: &SpaceName, words: &[String]) -> Vec<Spelling> {
        let sections = self
            .spaces
            .get(space)
            .map_or_else(Vec::new, |index| index.sections(None));
        let corpus = Corpus::new(&sections);
        words.iter().map(|word| corpus.spelling(word)).collect()
    }

    fn corpus<'a>(&'a self, index: &SpaceIndex, sections: &'a [&'a dyn Section]) -> Corpus<'a> {
        let corpus = Corpus::new(sections);
        if index.archive.segments().is_empty() {
            corpus
        } else {
            corpus.with_near(&self.near)
        }
    }

    /// The rows of a space that have to be scanned, first and last.
    pub(crate) fn gaps(&self, space: &SpaceName) -> Vec<(i64, i64)> {
        self.spaces
            .get(space)
            .map_or_else(Vec::new, |index| index.gaps.clone())
    }

    /// The spaces with gaps.
    pub(crate) fn with_gaps(&self) -> usize {
        self.spaces
            .values()
            .filter(|index| !index.gaps.is_empty())
            .count()
    }

    /// The segments of all spaces.
    pub(crate) fn segment_names(&self) -> Vec<Name> {
        let archives = self.spaces.values().map(|index| &index.archive);
        let segments = archives.flat_map(Archive::segments);
        segments.map(|segment| segment.name).collect()
    }

    /// The archives, by space.
    #[cfg(test)]
    pub(crate) fn archives(&self) -> impl Iterator<Item = (&SpaceName, &Archive)> {
        self.spaces
            .iter()
            .map(|(space, index)| (space, &index.archive))
    }

    /// Memories in blocks that wait to become a segment.
    pub(crate) fn waiting(&self) -> usize {
        let of_space = |index: &SpaceIndex| {
            let full = index.blocks.split_last().map_or(&[][..], |(_, full)| full);
            full.iter().map(Block::len).sum::<usize>()
        };
        self.spaces.values().map(of_space).sum()
    }

    /// What should be done next in the background, if anything, for other spaces than those that are skipped.
    pub(crate) fn next_work(&self, skipped: &BTreeSet<SpaceName>) -> Option<Work> {
        let wanted = |(space, _): &(&SpaceName, &SpaceIndex)| !skipped.contains(*space);
        let mut spaces: Vec<_> = self.spaces.iter().filter(wanted).collect();
        spaces.sort_by_key(|(space, _)| *space);
        let with_erased = spaces.iter().find_map(|(space, index)| {
            Some(Work {
                space: (*space).clone(),
                rows: index.archive.with_erased()?,
                may_be_cut: false,
                erases: true,
            })
        });
        let mut others = spaces.into_iter().filter_map(|(space, index)| {
            let (rows, may_be_cut) = index.next_work(&self.sizes)?;
            Some(Work {
                space: space.clone(),
                rows,
                may_be_cut,
                erases: false,
            })
        });
        with_erased.or_else(|| others.next())
    }

    /// Takes memories out for good, of whatever space they are or were: nothing of them stays in blocks, and segments
    /// that have them are to be made anew. O(blocks that have one).
    pub(crate) fn erase(&mut self, rows: &[i64]) {
        for index in self.spaces.values_mut() {
            for block in &mut index.blocks {
                block.erase(rows);
            }
            index.archive.erase(rows);
        }
    }

    /// Whether a segment has memories in its files that were erased.
    pub(crate) fn has_erased(&self) -> bool {
        let mut spaces = self.spaces.values();
        spaces.any(|index| index.archive.with_erased().is_some())
    }

    /// Takes in a segment that was made of a space; `changed` are the rows among those it covers that were changed
    /// meanwhile, increasing, `erased` all that were erased meanwhile. Returns the names of the segments in whose place it is, and the rows of memories that
    /// are in no block any more and have to be added again.
    pub(crate) fn install(
        &mut self,
        space: &SpaceName,
        mut segment: Segment,
        (changed, erased): (&[i64], &[i64]),
    ) -> (Vec<Name>, Vec<i64>) {
        let Some(index) = self.spaces.get_mut(space) else {
            return (vec![segment.name], Vec::new());
        };
        segment.erase(erased);
        index.install(segment, changed, (self.dimensions, self.stemming))
    }

    /// Takes those segments out of a space that cannot be read: what they covered is a gap from now on. Returns their
    /// names.
    pub(crate) fn drop_broken(&mut self, space: &SpaceName, which: &[Covered]) -> Vec<Name> {
        let Some(index) = self.spaces.get_mut(space) else {
            return Vec::new();
        };
        let mut dropped = index.archive.drop_all(which);
        dropped.extend(index.archive.drop_broken());
        index.gaps.extend(
            dropped
                .iter()
                .map(|name| (name.covered.first, name.covered.last)),
        );
        index.gaps.sort_unstable();
        dropped
    }

    /// What is indexed in memory: per space (sorted) its live memories, each with its vectors.
    #[cfg(test)]
    pub(crate) fn contents(&self) -> std::collections::BTreeMap<SpaceName, Vec<(i64, Vec<f32>)>> {
        let mut contents = std::collections::BTreeMap::new();
        for (space, index) in &self.spaces {
            let blocks = index.blocks.iter();
            let rows = blocks.flat_map(|block| {
                block
                    .live()
                    .map(|entry| (entry.seq, block.rows(entry).to_vec()))
            });
            let rows: Vec<_> = rows.collect();
            if !rows.is_empty() {
                contents.insert(space.clone(), rows);
            }
        }
        contents
    }
}

/// Candidates of a segment that are near enough, perhaps. Those whose id cannot be read are left out, which the segment
/// remembers.
fn found_in_segment(
    segment: &Segment,
    candidates: &Candidates,
    least: Option<f32>,
    parts: Vec<(Slot, Parts)>,
) -> impl Iterator<Item = Found> {
    parts.into_iter().filter_map(move |(slot, parts)| {
        let similarity = candidates.similarity(slot);
        if least.is_some_and(|least| similarity < least - BYTES_ERROR) {
            return None;
        }
        Some(Found {
            parts,
            similarity,
            id: segment.text.id(slot)?,
            seq: segment.text.row(slot),
            ordinal: None,
        })
    })
}

/// The memories of a block that are selected and near enough; `best_rows` are by slot the cosine and place of the best
/// passage.
fn found_in_block(
    block: &Block,
    best_rows: &[(f32, usize)],
    selection: &Selection,
    least: Option<f32>,
    parts: Vec<(Slot, Parts)>,
) -> impl Iterator<Item = Found> {
    parts.into_iter().filter_map(move |(slot, parts)| {
        let (entry, (similarity, ordinal)) = (&block.entries()[slot], best_rows[slot]);
        let included = selection.included.as_ref();
        let counts = least.is_none_or(|least| similarity >= least)
            && included.is_none_or(|rows| rows.binary_search(&entry.seq).is_ok())
            && block.passes(slot, selection);
        counts.then_some(Found {
            parts,
            similarity,
            id: entry.id,
            seq: entry.seq,
            ordinal: Some(ordinal),
        })
    })
}

impl SpaceIndex {
    /// Whether a memory is in the archive or in a block.
    fn has(&self, seq: i64) -> bool {
        self.archive.has(seq) || self.blocks.iter().any(|block| block.slot(seq).is_some())
    }

    fn remove(&mut self, seq: i64) {
        if !self.blocks.iter_mut().any(|block| block.remove(seq)) {
            self.archive.remove(seq);
        }
    }

    /// Everything that a score reads: segments, blocks, what was scanned.
    fn sections<'a>(&'a self, scanned: Option<&'a Block>) -> Vec<&'a dyn Section> {
        let blocks = self.blocks.iter().chain(scanned);
        let blocks = blocks.map(|block| &block.recall as &dyn Section);
        self.archive.sections().chain(blocks).collect()
    }

    /// The last row that is covered by a segment or a gap.
    fn end(&self) -> i64 {
        let gap = self.gaps.last().map_or(0, |(_, last)| *last);
        self.archive.end().max(gap)
    }

    /// Memories of a block that no segment covers.
    fn fresh<'a>(&self, block: &'a Block) -> impl Iterator<Item = i64> + 'a {
        let end = self.end();
        block
            .live()
            .map(|entry| entry.seq)
            .filter(move |seq| *seq > end)
    }

    /// Whether the last block shall take no more.
    fn is_full(&self, sizes: &IndexSizes) -> bool {
        let has_archive = self.end() > 0 || self.blocks.len() > 1;
        let most = if has_archive {
            sizes.block_memories
        } else {
            sizes.exact_memories_max
        };
        let last = self.blocks.last();
        last.is_some_and(|block| {
            block.len() >= most && (!has_archive || self.fresh(block).count() >= most)
        })
    }

    fn next_work(&self, sizes: &IndexSizes) -> Option<((i64, i64), bool)> {
        let whole = |rows| (rows, false);
        let gap = self.gaps.first().map(|rows| (*rows, true));
        gap.or_else(|| self.to_seal().map(whole))
            .or_else(|| self.to_make_anew(sizes).map(whole))
            .or_else(|| self.to_merge(sizes).map(whole))
    }

    /// The rows of full blocks.
    fn to_seal(&self) -> Option<(i64, i64)> {
        let (_, full) = self.blocks.split_last()?;
        let last = full.iter().flat_map(|block| self.fresh(block)).max()?;
        Some((self.end() + 1, last))
    }

    /// The rows of the segment of which most went or is in a block again, if that is much.
    fn to_make_anew(&self, sizes: &IndexSizes) -> Option<(i64, i64)> {
        if self.archive.segments().is_empty() {
            return None;
        }
        let in_blocks = self
            .blocks
            .iter()
            .flat_map(Block::live)
            .map(|entry| entry.seq);
        let in_blocks: Vec<i64> = in_blocks.filter(|seq| *seq <= self.end()).collect();
        let stale = |segment: &Segment| {
            let again = in_blocks
                .iter()
                .filter(|seq| segment.name.covered.has(**seq));
            segment.gone().max(again.count())
        };
        let stalest = self
            .archive
            .segments()
            .iter()
            .max_by_key(|segment| stale(segment))?;
        let (stale, slots) = (stale(stalest), stalest.text.slots());
        let is_much = stale * 4 > slots && stale * 16 > sizes.block_memories;
        let covered = stalest.name.covered;
        (is_much || in_blocks.len() > sizes.block_memories && stale > 0)
            .then_some((covered.first, covered.last))
    }

    /// The rows of neighbours none of which is larger than the others together, so that no memory is written more
    /// than some times over; of several runs the smallest. Fewer neighbours than usual, none of them larger than two
    /// thirds of all, become one where another of them would be too much.
    fn to_merge(&self, sizes: &IndexSizes) -> Option<(i64, i64)> {
        let slots = |segment: &Segment| segment.text.slots();
        let words = |segment: &Segment| segment.text.terms_count();
        let total = |run: &[Segment]| run.iter().map(slots).sum::<usize>();
        let total_words = |run: &[Segment]| run.iter().map(words).sum::<u64>();
        let largest = |run: &[Segment]| run.iter().map(slots).max().unwrap_or(0);
        let is_one = |run: &&[Segment]| {
            let follows =
                |two: &[Segment]| two[1].name.covered.first == two[0].name.covered.last + 1;
            run.windows(2).all(follows)
                && total(run) <= sizes.segment_memories_max
                && total_words(run) <= sizes.segment_words_max
        };
        let is_even = |run: &&[Segment]| largest(run) * 2 <= total(run);
        // One more like the smallest of them would be too much.
        let is_last = |run: &&[Segment]| {
            let smallest = run.iter().map(slots).min().unwrap_or(0);
            let shortest = run.iter().map(words).min().unwrap_or(0);
            largest(run) * 3 <= total(run) * 2
                && (total(run) + smallest > sizes.segment_memories_max
                    || total_words(run) + shortest > sizes.segment_words_max)
        };
        let segments = self.archive.segments();
        let most = sizes.segments_merged.max(2);
        let runs = segments.windows(most).filter(is_even);
        let short_runs = (2..most).flat_map(|count| segments.windows(count).filter(is_last));
        let runs = runs.chain(short_runs).filter(is_one);
        let run = runs.min_by_key(|run| total(run))?;
        Some((
            run.first()?.name.covered.first,
            run.last()?.name.covered.last,
        ))
    }

    fn install(
        &mut self,
        mut segment: Segment,
        changed: &[i64],
        (dimensions, stemming): (usize, Stemming),
    ) -> (Vec<Name>, Vec<i64>) {
        let covered = segment.name.covered;
        for seq in changed {
            if let Some(slot) = segment.text.slot(*seq) {
                segment.text.remove(slot);
            }
        }
        let (mut kept, mut again) = (Vec::new(), Vec::new());
        let last = self.blocks.len().saturating_sub(1);
        for (number, mut block) in std::mem::take(&mut self.blocks).into_iter().enumerate() {
            let live = block.live().map(|entry| entry.seq);
            let (in_segment, left): (Vec<i64>, Vec<i64>) =
                live.partition(|seq| covered.has(*seq) && segment.text.slot(*seq).is_some());
            if number < last && left.len() < in_segment.len() {
                again.extend(left);
                continue;
            }
            for seq in in_segment {
                block.remove(seq);
            }
            if number == last || block.len() > 0 {
                kept.push(block);
            }
        }
        if kept.is_empty() {
            kept.push(Block::new(dimensions, stemming));
        }
        self.blocks = kept;
        let gaps = std::mem::take(&mut self.gaps).into_iter();
        self.gaps = gaps.flat_map(|gap| without(gap, covered)).collect();
        (self.archive.put(segment), again)
    }
}

/// What is left of a gap.
fn without((first, last): (i64, i64), covered: Covered) -> impl Iterator<Item = (i64, i64)> {
    let before = (first, last.min(covered.first - 1));
    let after = (first.max(covered.last + 1), last);
    [before, after]
        .into_iter()
        .filter(|(first, last)| first <= last)
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
    use venom_core::recall::Document;
    use venom_core::test_support::samples::{Rng, id, space, wordless};
    use venom_core::{Content, Embedding, Filter, Origin};

    /// (seq, id, vectors, live)
    type Plain = (i64, MemoryId, Vec<f32>, bool);

    fn exact(dimensions: usize) -> Index {
        Index::new(dimensions, None, IndexOptions::default())
    }

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
        index.search(&search, selection, None).unwrap()
    }

    /// Everything in a new index, without the memories that are gone, sorted and cut by hand.
    fn brute_force(all: &[Plain], query: &Embedding, counts: &dyn Fn(i64) -> bool) -> Vec<Found> {
        let mut index = exact(query.dimensions());
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
            let mut index = exact(query.dimensions());
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
        let mut index = exact(2);
        assert!(!add(&mut index, (1, id(1)), &[]));
        assert!(!add(&mut index, (1, id(1)), &[1.0]));
        assert!(add(&mut index, (2, id(2)), &[1.0, 0.0]));
        assert!(!add(&mut index, (2, id(3)), &[1.0, 0.0]));
        let query = Embedding::normalize(vec![1.0, 0.0]).unwrap();
        assert_eq!(search(&index, &query, &Selection::default(), 9).len(), 1);
    }
}
