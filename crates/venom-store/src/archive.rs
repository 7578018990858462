//! The older memories of a large space: segments, each a pair of files, searched by candidates.
//!
//! A segment covers the memories of a space in a range of rows of the database. It is written once; memories that
//! change or go afterwards are taken out of it in memory, by what the database says of them at the next opening.
//! Nothing is synced: SQLite is the truth, and what is damaged or missing is made anew from it.

use crate::index::{Obstacle, Selection};
use crate::pages::PageError;
use crate::quantised::{FlatIndex, Rows, VectorFile};
use crate::sealed::{About, Covered, Sealed};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use venom_core::recall::{Asked, Candidates, Section, Slot, Stemming};

/// The folder of segments in the data folder.
pub(crate) const FOLDER: &str = "index";
/// Memories of the vectors that are nearest are candidates …
const NEAREST: usize = 100;
/// … and at least so many memories, as long ones have many vectors.
const NEAREST_MIN: usize = 50;
/// Memories that words speak for most are candidates.
const BY_WORDS: usize = 200;
/// Up to so many selected memories are candidates all of them.
const SELECTED_MAX: usize = 1_000;
/// Bytes of vectors that are kept in memory of each segment once they were read.
const KEPT_BYTES: usize = 2 * 1024 * 1024;

/// What the files of a segment are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Row of the space in the database.
    pub(crate) space: i64,
    pub(crate) covered: Covered,
}

impl Name {
    /// Reads the name of the file with the texts; `None` for any other file.
    pub(crate) fn parse(file: &str) -> Option<Self> {
        let mut numbers = file.strip_suffix(".text")?.split('-').map(str::parse);
        let mut next = || numbers.next()?.ok();
        let (space, first, last, change) = (next()?, next()?, next()?, next()?);
        let name = Self {
            space,
            covered: Covered {
                first,
                last,
                change,
            },
        };
        (name.file("text") == file && first <= last).then_some(name)
    }

    fn file(self, kind: &str) -> String {
        let Covered {
            first,
            last,
            change,
        } = self.covered;
        format!("{}-{first}-{last}-{change}.{kind}", self.space)
    }

    /// Where the texts lie; a segment is there when they are.
    pub(crate) fn text(self, folder: &Path) -> PathBuf {
        folder.join(self.file("text"))
    }

    /// Where the vectors lie.
    pub(crate) fn vectors(self, folder: &Path) -> PathBuf {
        folder.join(self.file("vectors"))
    }

    /// Removes the files, the texts first.
    pub(crate) fn remove(self, folder: &Path) {
        let _ = std::fs::remove_file(self.text(folder));
        let _ = std::fs::remove_file(self.vectors(folder));
    }
}

/// Memories of a range of rows.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: Name,
    pub(crate) text: Sealed,
    vectors: Arc<VectorFile>,
    /// Number of its first vector among all of the archive.
    first_vector: usize,
    /// Whether its files have memories that were erased since.
    has_erased: bool,
}

impl Segment {
    /// Has the system fetch meanwhile what an opening of these files reads.
    pub(crate) fn expect(folder: &Path, name: Name) {
        Sealed::expect(&name.text(folder));
        VectorFile::expect(&name.vectors(folder));
    }

    /// Opens the files of a segment made for `about`. O(memories + terms).
    ///
    /// # Errors
    /// [`PageError`] if one is missing, damaged or made for something else.
    pub(crate) fn open(
        folder: &Path,
        name: Name,
        about: &About,
        stemming: Stemming,
    ) -> Result<Self, PageError> {
        let text = Sealed::open(&name.text(folder), about, stemming)?;
        let vectors = VectorFile::open_keeping(&name.vectors(folder), KEPT_BYTES)?;
        if text.covered() != name.covered || vectors.len() != text.vector_count() {
            let place = name.text(folder);
            return Err(PageError::Damaged {
                reason: format!(
                    "expected {} vectors beside it, found {}, or another range than its name says",
                    text.vector_count(),
                    vectors.len()
                ),
                file: place,
            });
        }
        Ok(Self {
            name,
            text,
            vectors: Arc::new(vectors),
            first_vector: 0,
            has_erased: false,
        })
    }

    /// Takes out memories that were erased, and notes whether they are in its files.
    pub(crate) fn erase(&mut self, rows: &[i64]) {
        for row in rows.iter().filter(|row| self.name.covered.has(**row)) {
            if let Some(slot) = self.text.slot_in_file(*row) {
                self.text.remove(slot);
                self.has_erased = true;
            }
        }
    }

    /// Memories that went since it was written.
    pub(crate) fn gone(&self) -> usize {
        self.text.slots() - self.text.memories()
    }

    /// Bytes of its files, checksums left out.
    pub(crate) fn bytes(&self) -> u64 {
        self.text.bytes() + self.vectors.bytes()
    }

    /// Reads every page. O(bytes).
    ///
    /// # Errors
    /// [`PageError`] for the first that is not as it was written.
    pub(crate) fn check(&self) -> Result<(), PageError> {
        self.text.check()?;
        self.vectors.check()
    }
}

/// The segments of a space, by the rows that they cover; no two cover the same.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    segments: Vec<Segment>,
    flat: FlatIndex,
}

impl Archive {
    /// These segments. O(vectors / 64 + memories that went).
    pub(crate) fn new(mut segments: Vec<Segment>) -> Self {
        segments.sort_by_key(|segment| segment.name.covered);
        let mut flat = FlatIndex::default();
        for segment in &mut segments {
            segment.first_vector = flat.add(segment.vectors.clone());
            for slot in 0..segment.text.slots() {
                if !segment.text.facts()[slot].live {
                    for vector in segment.text.vectors(slot) {
                        flat.remove(segment.first_vector + vector);
                    }
                }
            }
        }
        Self { segments, flat }
    }

    /// By the rows that they cover.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Memories that are there.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| segment.text.memories())
            .sum()
    }

    /// The last row that is covered; 0 for none.
    pub(crate) fn end(&self) -> i64 {
        self.segments
            .last()
            .map_or(0, |segment| segment.name.covered.last)
    }

    /// Takes a memory out; `false` if it is not there. O(its terms).
    pub(crate) fn remove(&mut self, row: i64) -> bool {
        let segment = self
            .segments
            .iter_mut()
            .find(|segment| segment.name.covered.has(row));
        let Some((segment, slot)) = segment.and_then(|s| s.text.slot(row).map(|slot| (s, slot)))
        else {
            return false;
        };
        for vector in segment.text.vectors(slot) {
            self.flat.remove(segment.first_vector + vector);
        }
        segment.text.remove(slot)
    }

    /// Takes memories out for good: the segments that have them are to be made anew.
    pub(crate) fn erase(&mut self, rows: &[i64]) {
        for row in rows {
            self.remove(*row);
        }
        for segment in &mut self.segments {
            segment.erase(rows);
        }
    }

    /// The rows that a segment covers which has erased memories in its files.
    pub(crate) fn with_erased(&self) -> Option<(i64, i64)> {
        let mut segments = self.segments.iter();
        let covered = segments.find(|segment| segment.has_erased)?.name.covered;
        Some((covered.first, covered.last))
    }

    /// Whether a memory is there.
    pub(crate) fn has(&self, row: i64) -> bool {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.name.covered.has(row));
        segment.is_some_and(|segment| segment.text.slot(row).is_some())
    }

    /// Puts a segment in the place of those that it covers, and returns their names.
    pub(crate) fn put(&mut self, segment: Segment) -> Vec<Name> {
        let covered = segment.name.covered;
        self.replace(
            |old| covered.has(old.first) && covered.has(old.last),
            Some(segment),
        )
    }

    /// What could not be read since the segments were opened.
    pub(crate) fn broken(&self) -> Option<Obstacle> {
        let broken = self
            .segments
            .iter()
            .filter(|segment| segment.text.broken().is_some());
        let covered: Vec<Covered> = broken.map(|segment| segment.name.covered).collect();
        (!covered.is_empty()).then_some(Obstacle::Broken(covered))
    }

    /// Takes those segments out that could not be read, and returns their names.
    pub(crate) fn drop_broken(&mut self) -> Vec<Name> {
        let broken = self
            .segments
            .iter()
            .filter(|segment| segment.text.broken().is_some());
        let broken: Vec<Covered> = broken.map(|segment| segment.name.covered).collect();
        self.drop_all(&broken)
    }

    /// Takes these segments out, and returns their names.
    pub(crate) fn drop_all(&mut self, which: &[Covered]) -> Vec<Name> {
        self.replace(|old| which.contains(&old), None)
    }

    fn replace(&mut self, goes: impl Fn(Covered) -> bool, new: Option<Segment>) -> Vec<Name> {
        let all = std::mem::take(&mut self.segments).into_iter();
        let (old, kept): (Vec<_>, Vec<_>) = all.partition(|segment| goes(segment.name.covered));
        if !old.is_empty() || new.is_some() {
            *self = Self::new(kept.into_iter().chain(new).collect());
        } else {
            self.segments = kept;
        }
        old.into_iter().map(|segment| segment.name).collect()
    }

    /// The sections that a score reads, in the order of the segments.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &dyn Section> {
        self.segments
            .iter()
            .map(|segment| &segment.text as &dyn Section)
    }

    /// The rows of the memories of which a vector is among the nearest `count` by bytes.
    ///
    /// # Errors
    /// [`PageError`] if a segment cannot be read.
    pub(crate) fn nearest(&self, query: &[f32], count: usize) -> Result<Vec<i64>, PageError> {
        let near = self.flat.nearest_by_bytes(query, count, None)?.into_iter();
        let rows = near.map(|near| {
            let (_, segment) = self.segment_of_vector(near.row);
            segment
                .text
                .row(segment.text.slot_of_vector(near.row - segment.first_vector))
        });
        Ok(rows.collect())
    }

    /// The memories that may be what is sought, by segment, with the cosines of them and their neighbours: all that
    /// are selected if they are few, else those that vectors or words speak for most. `asked` was put to the segments
    /// first and then to the rest of the space. O(vectors * dimensions / 64).
    ///
    /// # Errors
    /// What a segment covers that cannot be read.
    pub(crate) fn candidates(
        &self,
        asked: &Asked<'_>,
        query: &[f32],
        selection: &Selection,
    ) -> Result<Vec<Candidates>, Covered> {
        if self.segments.is_empty() {
            return Ok(Vec::new());
        }
        let selected = self.selected(selection);
        let mut chosen: Vec<BTreeSet<Slot>> = vec![BTreeSet::new(); self.segments.len()];
        let few = selected
            .as_ref()
            .filter(|sets| sets.iter().map(Vec::len).sum::<usize>() <= SELECTED_MAX);
        if let Some(sets) = few {
            for (chosen, set) in chosen.iter_mut().zip(sets) {
                chosen.extend(set);
            }
        } else {
            let rows = selected.as_ref().map(|sets| self.vectors_of(sets));
            // One memory may have many of the nearest vectors.
            for count in std::iter::successors(Some(NEAREST), |count| count.checked_mul(4)) {
                let nearest = self.flat.nearest_by_bytes(query, count, rows.as_ref());
                let nearest = nearest.map_err(|error| self.blame(&error))?;
                let is_all = nearest.len() < count;
                for near in nearest {
                    let (number, segment) = self.segment_of_vector(near.row);
                    chosen[number]
                        .insert(segment.text.slot_of_vector(near.row - segment.first_vector));
                }
                if is_all || chosen.iter().map(BTreeSet::len).sum::<usize>() >= NEAREST_MIN {
                    break;
                }
            }
            for (number, slot) in self.by_words(asked, selected.as_deref()) {
                chosen[number].insert(slot);
            }
        }
        let numbered = chosen.into_iter().enumerate();
        numbered
            .map(|(number, slots)| self.compared(number, slots, query))
            .collect()
    }

    /// The memories that words speak for most, of all or of those selected by segment: number of the segment and slot.
    pub(crate) fn by_words(
        &self,
        asked: &Asked<'_>,
        selected: Option<&[Vec<Slot>]>,
    ) -> Vec<(usize, Slot)> {
        asked.best_by_words(BY_WORDS, |number, slot| {
            let segment = self.segments.get(number);
            segment.is_some_and(|segment| segment.text.facts()[slot].live)
                && selected.is_none_or(|sets| sets[number].binary_search(&slot).is_ok())
        })
    }

    /// Candidates of a segment with the cosines that a score of them needs.
    fn compared(
        &self,
        number: usize,
        slots: BTreeSet<Slot>,
        query: &[f32],
    ) -> Result<Candidates, Covered> {
        let segment = &self.segments[number];
        let mut candidates = Candidates::new(slots);
        let needed = candidates.needed(&segment.text);
        let vectors: Vec<usize> = needed
            .iter()
            .flat_map(|slot| segment.text.vectors(*slot))
            .collect();
        let similarities = segment.vectors.similarities(query, &vectors);
        let similarities = similarities.map_err(|_| segment.name.covered)?;
        let mut best: BTreeMap<Slot, f32> = BTreeMap::new();
        for (vector, similarity) in vectors.iter().zip(similarities) {
            let best = best
                .entry(segment.text.slot_of_vector(*vector))
                .or_insert(-1.0);
            *best = best.max(similarity.clamp(-1.0, 1.0));
        }
        for (slot, similarity) in best {
            candidates.tell(slot, similarity);
        }
        Ok(candidates)
    }

    fn segment_of_vector(&self, vector: usize) -> (usize, &Segment) {
        let after = self
            .segments
            .partition_point(|segment| segment.first_vector <= vector);
        // Empty segments begin where the next one does.
        let number = after.saturating_sub(1);
        (number, &self.segments[number])
    }

    /// The segment whose vectors could not be read.
    fn blame(&self, error: &PageError) -> Covered {
        let file = error.file();
        let at_fault = self
            .segments
            .iter()
            .find(|segment| segment.vectors.place() == file);
        at_fault.unwrap_or(&self.segments[0]).name.covered
    }

    /// The vectors of these memories, by number.
    fn vectors_of(&self, sets: &[Vec<Slot>]) -> Rows {
        let of_segment = |(segment, set): (&'_ Segment, &'_ Vec<Slot>)| {
            let vectors = set.iter().flat_map(|slot| segment.text.vectors(*slot));
            let first = segment.first_vector;
            vectors.map(|vector| first + vector).collect::<Vec<_>>()
        };
        self.segments
            .iter()
            .zip(sets)
            .flat_map(of_segment)
            .collect()
    }

    /// The slots of the selected memories by segment, increasing; `None` if all are. O(memories).
    fn selected(&self, selection: &Selection) -> Option<Vec<Vec<Slot>>> {
        if selection.is_everything() {
            return None;
        }
        Some(
            self.segments
                .iter()
                .map(|segment| selected(&segment.text, selection))
                .collect(),
        )
    }
}

/// The slots of the memories of a segment that are there and selected, increasing.
fn selected(text: &Sealed, selection: &Selection) -> Vec<Slot> {
    let within = |rows: &[i64]| -> Vec<Slot> {
        let covered = text.covered();
        let from = rows.partition_point(|row| *row < covered.first);
        let until = rows.partition_point(|row| *row <= covered.last);
        rows[from..until]
            .iter()
            .filter_map(|row| text.slot(*row))
            .collect()
    };
    let mut slots: Vec<Slot> = match &selection.included {
        Some(rows) => within(rows),
        None => (0..text.slots())
            .filter(|slot| text.facts()[*slot].live)
            .collect(),
    };
    if !selection.excluded.is_empty() {
        let excluded = within(&selection.excluded);
        slots.retain(|slot| excluded.binary_search(slot).is_err());
    }
    if selection.since.is_some() || selection.until.is_some() {
        let moments = text.moments();
        slots.retain(|slot| {
            moments.get(*slot).is_some_and(|moment| {
                selection
                    .since
                    .is_none_or(|since| *moment >= since.as_micros())
                    && selection
                        .until
                        .is_none_or(|until| *moment < until.as_micros())
            })
        });
    }
    let mut only = |column: Vec<bool>| slots.retain(|slot| column.get(*slot) == Some(&true));
    if let Some(key) = &selection.speaker {
        only(text.said_by(key));
    }
    if let Some(session) = &selection.session {
        only(text.of_session(session.as_str()));
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn fuzz_names_of_segments() {
        let words = ["-", ".text", "9223372036854775807", "0", "+1", "-1"];
        let target = Target::new("segment-names").words(&words);
        target
            .seed("1-2-30-4.text")
            .seed("1--5--2-4.text")
            .run(|bytes| {
                let file = String::from_utf8_lossy(bytes);
                let name = Name::parse(&file)?;
                assert_eq!(name.text(Path::new("f")), Path::new("f").join(&*file));
                assert!(
                    name.covered.has(name.covered.last) && name.covered.has(name.covered.first)
                );
                Some((name.covered.rows().is_some(), name.space < 0))
            });
    }
}
