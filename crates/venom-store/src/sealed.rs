//! The text side of a segment in a file: what [`venom_core::recall`] reads of its memories, as a [`Section`].
//!
//! `docs/file-format.md` describes the file byte by byte. In memory are the dictionary of terms and 16 to 24 bytes a
//! memory; postings, lists of terms and everything that only filters need are read when they are wanted. A section
//! cannot fail in the middle of a score: what cannot be read counts as nothing, and [`Sealed::broken`] tells it
//! afterwards.

mod dictionary;
mod layout;
mod varint;
mod write;

use crate::pages::{PageError, Pages};
use dictionary::Dictionary;
use layout::{Header, Part};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::OnceLock;
use venom_core::ports::Vocabulary;
use venom_core::recall::{Facts, Section, Slot, Spelling, Stemming, has_word, is_slip};
use venom_core::{MemoryId, Speaker};

pub(crate) use layout::{About, Covered};
pub(crate) use write::{Columns, write};

/// Stands for nobody and no session in a column.
const NONE: u32 = u32::MAX;

/// Memories in a file, open for scores.
#[derive(Debug)]
pub(crate) struct Sealed {
    pages: Pages,
    header: Header,
    stemming: Stemming,
    dictionary: Dictionary,
    /// By slot.
    facts: Vec<Facts>,
    /// By slot, increasing: rows of the database, counted from the first one covered; empty if it has each of them.
    rows: Vec<u32>,
    /// Where the vectors of each slot begin, and where the last end; empty if each has one.
    vectors: Vec<u32>,
    /// [`Speaker::key`] of everybody, with how many memories of theirs are there.
    speakers: Vec<(Box<str>, u32)>,
    text_words: BTreeMap<u32, u32>,
    reach: u64,
    live: usize,
    /// By term: how many memories that had it went.
    gone: HashMap<u32, u32>,
    broken: OnceLock<PageError>,
}

impl Sealed {
    /// Has the system fetch meanwhile what an opening of this file reads; nothing of one that cannot be opened.
    pub(crate) fn expect(place: &Path) {
        let Ok(pages) = Pages::open(place) else {
            return;
        };
        if let Ok(header) = Header::read(&pages) {
            for part in [Part::Terms, Part::Facts, Part::Rows, Part::Vectors] {
                header.expect(&pages, part, 0, header.length(part));
            }
        }
    }

    /// Opens a file made for `about`, whose texts are stemmed like this.
    /// O(memories + terms).
    ///
    /// # Errors
    /// [`PageError`] if it is not there, not whole, of another format or made for something else.
    pub(crate) fn open(place: &Path, about: &About, stemming: Stemming) -> Result<Self, PageError> {
        let pages = Pages::open(place)?;
        let header = Header::read(&pages)?;
        if header.about != *about {
            return Err(pages.damaged(format!(
                "expected it to be made for {about}, found {}",
                header.about
            )));
        }
        let facts = header.decoded(&pages, Part::Facts, layout::decode_facts)?;
        let speakers = layout::decode_names(&header.bytes(&pages, Part::Speakers)?);
        let text_words = layout::decode_counts(&header.bytes(&pages, Part::TextWords)?);
        let (Some(speakers), Some(text_words)) = (speakers, text_words) else {
            return Err(pages.damaged("expected counts and names, found something else".to_owned()));
        };
        let dictionary = Dictionary::new(header.bytes(&pages, Part::Terms)?);
        let rows = header.decoded(&pages, Part::Rows, layout::decode_u32)?;
        let vectors = header.decoded(&pages, Part::Vectors, layout::decode_u32)?;
        let memories = header.memories;
        let span = header.covered.last - header.covered.first;
        let has_every_row = header.covered.rows() == Some(memories);
        let is_whole = facts.len() == memories
            && rows.is_sorted_by(|a, b| a < b)
            && rows.last().is_none_or(|row| i64::from(*row) <= span)
            && (rows.len() == memories || rows.is_empty() && has_every_row)
            && (vectors.is_empty() || vectors.len() == memories + 1)
            && vectors.first().is_none_or(|start| *start == 0)
            && vectors.is_sorted();
        let (Some(dictionary), true) = (dictionary, is_whole) else {
            return Err(pages.damaged(format!("expected what belongs to {memories} memories")));
        };
        pages.expect_scattered_reads();
        Ok(Self {
            reach: facts
                .iter()
                .fold(0, |sum, facts| sum + u64::from(facts.reach)),
            live: memories,
            gone: HashMap::new(),
            broken: OnceLock::new(),
            pages,
            header,
            stemming,
            dictionary,
            facts,
            rows,
            vectors,
            speakers,
            text_words,
        })
    }

    /// What it covers.
    pub(crate) const fn covered(&self) -> Covered {
        self.header.covered
    }

    /// Slots, also those whose memory went.
    pub(crate) const fn slots(&self) -> usize {
        self.facts.len()
    }

    /// Vectors of all slots.
    pub(crate) fn vector_count(&self) -> usize {
        self.vectors
            .last()
            .map_or(self.slots(), |end| *end as usize)
    }

    /// Terms of all memories, repetitions counted.
    pub(crate) const fn terms_count(&self) -> u64 {
        self.header.terms
    }

    /// Bytes of the file, checksums left out.
    pub(crate) const fn bytes(&self) -> u64 {
        self.pages.len()
    }

    /// The first thing that could not be read.
    pub(crate) fn broken(&self) -> Option<&PageError> {
        self.broken.get()
    }

    /// The row in the database of the memory in a slot.
    pub(crate) fn row(&self, slot: Slot) -> i64 {
        let from_first = match self.rows.get(slot) {
            Some(row) => i64::from(*row),
            // Slots are fewer than rows.
            None => i64::try_from(slot).unwrap_or(i64::MAX),
        };
        self.covered().first + from_first
    }

    /// The slot of a memory that is there, by its row in the database. O(log memories).
    pub(crate) fn slot(&self, row: i64) -> Option<Slot> {
        let slot = self.slot_in_file(row)?;
        self.facts[slot].live.then_some(slot)
    }

    /// The slot of a memory that is in the file, whether it went since or not.
    pub(crate) fn slot_in_file(&self, row: i64) -> Option<Slot> {
        let row = u32::try_from(row.checked_sub(self.covered().first)?).ok()?;
        let slot = match self.rows.as_slice() {
            [] => row as usize,
            rows => rows.binary_search(&row).ok()?,
        };
        (slot < self.facts.len()).then_some(slot)
    }

    /// The vectors of a slot, by number.
    pub(crate) fn vectors(&self, slot: Slot) -> std::ops::Range<usize> {
        match self.vectors.get(slot..slot + 2) {
            Some([start, end]) => *start as usize..*end as usize,
            _ => slot..slot + 1,
        }
    }

    /// The slot of a vector, by number. O(log memories).
    pub(crate) fn slot_of_vector(&self, vector: usize) -> Slot {
        if self.vectors.is_empty() {
            return vector;
        }
        self.vectors
            .partition_point(|start| *start as usize <= vector)
            - 1
    }

    /// Has the system fetch meanwhile the ids of these slots.
    pub(crate) fn expect_ids(&self, slots: impl Iterator<Item = Slot>) {
        for slot in slots {
            self.header
                .expect(&self.pages, Part::Ids, 8 * slot as u64, 8);
        }
    }

    /// The id of the memory in a slot.
    pub(crate) fn id(&self, slot: Slot) -> Option<MemoryId> {
        let mut bytes = [0; 8];
        self.read(Part::Ids, 8 * slot as u64, &mut bytes)?;
        MemoryId::new(u64::from_le_bytes(bytes))
    }

    /// When each memory happened, in microseconds; by slot. O(memories).
    pub(crate) fn moments(&self) -> Vec<i64> {
        let bytes = self.whole(Part::Moments);
        let (moments, _) = bytes.as_chunks();
        moments
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes))
            .collect()
    }

    /// Which memories were said by the speaker of this [`Speaker::key`]; by slot. O(memories).
    pub(crate) fn said_by(&self, key: &str) -> Vec<bool> {
        let place = self.speakers.iter().position(|(name, _)| **name == *key);
        self.equal(Part::SpeakerOf, place)
    }

    /// Which memories are of this session; by slot. O(memories + sessions).
    pub(crate) fn of_session(&self, name: &str) -> Vec<bool> {
        let bytes = self.whole(Part::Sessions);
        let names = layout::decode_names(&bytes).unwrap_or_default();
        let place = names.iter().position(|(session, _)| **session == *name);
        self.equal(Part::SessionOf, place)
    }

    fn equal(&self, column: Part, place: Option<usize>) -> Vec<bool> {
        let Some(place) = place.and_then(|place| u32::try_from(place).ok()) else {
            return vec![false; self.slots()];
        };
        let column = layout::decode_u32(&self.whole(column));
        column.iter().map(|found| *found == place).collect()
    }

    /// Takes a memory out; `false` if it is not there. O(its terms).
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        if !self.facts.get(slot).is_some_and(|facts| facts.live) {
            return false;
        }
        let mut terms = self.terms(slot).into_owned();
        terms.sort_unstable();
        terms.dedup();
        for term in terms {
            *self.gone.entry(term).or_insert(0) += 1;
        }
        if let Some(speaker) = self.speaker(slot) {
            self.speakers[speaker].1 = self.speakers[speaker].1.saturating_sub(1);
        }
        self.facts[slot].live = false;
        self.reach -= u64::from(self.facts[slot].reach);
        self.live -= 1;
        true
    }

    /// Where the list of terms of a slot starts, and how many bytes it has.
    fn list(&self, slot: Slot) -> Option<(u64, usize)> {
        let mut ends = [[0; 8]; 2];
        self.read(Part::ListEnds, 8 * slot as u64, ends.as_flattened_mut())?;
        let [start, end] = ends.map(u64::from_le_bytes);
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        Some((start, length))
    }

    /// The terms of the list in this place, as [`Self::list`] tells it.
    fn terms_at(&self, place: Option<(u64, usize)>) -> Cow<'_, [u32]> {
        let bytes = place.and_then(|(start, length)| self.some(Part::Lists, start, length));
        let (bytes, mut terms) = (bytes.unwrap_or_default(), Vec::new());
        let mut rest = bytes.as_slice();
        while let Some(term) = varint::take_u32(&mut rest) {
            terms.push(term);
        }
        Cow::Owned(terms)
    }

    /// Who said a memory, as a place in `speakers`.
    fn speaker(&self, slot: Slot) -> Option<usize> {
        let place = self.number(Part::SpeakerOf, slot)?;
        Some(place as usize).filter(|place| *place < self.speakers.len())
    }

    fn number(&self, column: Part, slot: Slot) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(column, 4 * slot as u64, &mut bytes)?;
        Some(u32::from_le_bytes(bytes)).filter(|number| *number != NONE)
    }

    /// Reads from a part; `None`, and remembered, if that fails.
    fn read(&self, part: Part, at: u64, into: &mut [u8]) -> Option<()> {
        let read = self.header.read_part(&self.pages, part, at, into);
        read.map_err(|error| drop(self.broken.set(error))).ok()
    }

    /// So many bytes of a part; `None`, and remembered, if it has not as many or they cannot be read.
    fn some(&self, part: Part, at: u64, length: usize) -> Option<Vec<u8>> {
        if self.header.length(part) < length as u64 {
            self.strange("lists within their part");
            return None;
        }
        let mut bytes = vec![0; length];
        self.read(part, at, &mut bytes)?;
        Some(bytes)
    }

    /// All of a part; nothing, and remembered, if it cannot be read.
    fn whole(&self, part: Part) -> Vec<u8> {
        let read = self.header.bytes(&self.pages, part);
        read.unwrap_or_else(|error| {
            drop(self.broken.set(error));
            Vec::new()
        })
    }

    /// Remembers that something is not as it was written.
    fn strange(&self, what: &str) {
        drop(
            self.broken.set(
                self.pages
                    .damaged(format!("expected {what}, found something else")),
            ),
        );
    }

    /// Reads every page. O(bytes).
    ///
    /// # Errors
    /// [`PageError`] for the first that is not as it was written.
    pub(crate) fn check(&self) -> Result<(), PageError> {
        self.pages.check_all()
    }
}

impl Section for Sealed {
    fn facts(&self) -> &[Facts] {
        &self.facts
    }

    fn memories(&self) -> usize {
        self.live
    }

    fn stemming(&self) -> Stemming {
        self.stemming
    }

    fn term(&self, name: &str) -> Option<u32> {
        self.dictionary.number(name)
    }

    fn memories_with(&self, term: u32) -> usize {
        let gone = self.gone.get(&term).copied().unwrap_or(0);
        let entry = self.dictionary.entry(term);
        entry.map_or(0, |entry| entry.memories.saturating_sub(gone) as usize)
    }

    fn each_with(&self, term: u32, each: &mut dyn FnMut(Slot, u32)) {
        let Some(entry) = self.dictionary.entry(term) else {
            return;
        };
        let Some(bytes) = self.some(Part::Postings, entry.start, entry.length) else {
            return;
        };
        let (mut rest, mut slot) = (bytes.as_slice(), 0);
        while !rest.is_empty() {
            let (Some(step), Some(count)) = (varint::take(&mut rest), varint::take_u32(&mut rest))
            else {
                return self.strange("postings");
            };
            slot = usize::try_from(step)
                .unwrap_or(usize::MAX)
                .saturating_add(slot);
            match self.facts.get(slot) {
                Some(facts) if facts.live => each(slot, count),
                Some(_) => {}
                None => return self.strange("postings of memories that are there"),
            }
        }
    }

    fn terms(&self, slot: Slot) -> Cow<'_, [u32]> {
        self.terms_at(self.list(slot))
    }

    fn lists(&self, slots: &[Slot]) -> Vec<Cow<'_, [u32]>> {
        // What the system does not have at hand it fetches all at once and not one after the other.
        for slot in slots {
            let place = 8 * *slot as u64;
            self.header.expect(&self.pages, Part::ListEnds, place, 16);
        }
        let places: Vec<_> = slots.iter().map(|slot| self.list(*slot)).collect();
        for (start, length) in places.iter().flatten() {
            let length = *length as u64;
            self.header.expect(&self.pages, Part::Lists, *start, length);
        }
        let lists = places.into_iter().map(|place| self.terms_at(place));
        lists.collect()
    }

    fn name(&self, slot: Slot) -> Option<&str> {
        let name = &*self.speakers[self.speaker(slot)?].0;
        (!Speaker::is_role_key(name)).then_some(name)
    }

    fn names(&self) -> Vec<&str> {
        let there = self.speakers.iter().filter(|(_, memories)| *memories > 0);
        let names = there.map(|(name, _)| &**name);
        names.filter(|name| !Speaker::is_role_key(name)).collect()
    }

    fn reach(&self) -> u64 {
        self.reach
    }

    fn text_words(&self) -> &BTreeMap<u32, u32> {
        &self.text_words
    }

    fn near_words(
        &self,
        _word: &str,
        _vocabulary: &dyn Vocabulary,
        _counts: &dyn Fn(&str) -> bool,
    ) -> Vec<(i32, String)> {
        // Too many to compare: `NearWords` tells those that the model knows.
        Vec::new()
    }

    fn spelling(&self, word: &str) -> Spelling {
        if has_word(self, word) {
            return Spelling {
                known: true,
                near: Vec::new(),
            };
        }
        let bytes = self.whole(Part::Words);
        let Some(near) = dictionary::words_like(&bytes, &|other| is_slip(word, other), word) else {
            self.strange("words");
            return Spelling::default();
        };
        let there = near.into_iter().filter(|(near, _)| has_word(self, near));
        Spelling {
            known: false,
            near: there.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::PageWriter;
    use crate::tests::fuzzed;
    use proptest::prelude::*;
    use venom_core::ports::NoVocabulary;
    use venom_core::recall::{
        Asked, Candidates, Corpus, Document, NewEntry, Question, Scope, SectionBuilder, Space,
    };
    use venom_core::test_support::samples::{id, model};
    use venom_core::{Content, Origin, SessionName, Timestamp};
    use venom_fuzz::Target;

    fn signed(number: usize) -> i64 {
        i64::try_from(number).unwrap()
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "boat", "boats", "cello", "green?", "lamp.", "walnut", "the", "wall", "2026", "größe",
            "茶",
        ]);
        prop::collection::vec(word, 1..9).prop_map(|words| words.join(" "))
    }

    fn origin(number: usize, session: usize) -> Origin {
        let speaker = ["Anna", "Ben", "user"].get(number % 4);
        let session = (session > 0).then(|| SessionName::parse(&session.to_string()).unwrap());
        Origin {
            speaker: speaker.map(|name| Speaker::parse(name).unwrap()),
            session,
            occurred_at: number
                .is_multiple_of(3)
                .then(|| Timestamp::from_micros(signed(number) * 600_000_000)),
        }
    }

    /// The memories in a space in memory and in a file.
    fn both(texts: &[(usize, String)], folder: &Path) -> (Space, Sealed) {
        let stemming = Stemming::default();
        let (mut space, mut builder) = (Space::new(stemming), SectionBuilder::new(stemming));
        let mut columns = Columns::default();
        for (number, (session, text)) in texts.iter().enumerate() {
            let origin = origin(number, *session);
            let new = NewEntry {
                // Ids in another order than rows.
                id: id((number as u64 * 37) % 101 + 1),
                stored_at: Timestamp::from_micros(signed(number)),
                origin: &origin,
                document: Document::new(&origin, &Content::parse(text).unwrap()),
            };
            columns.rows.push(5 + 2 * signed(number));
            columns.ids.push(new.id.digits());
            columns
                .moments
                .push(origin.moment(new.stored_at).as_micros());
            columns.vectors.push(1 + u32::try_from(number % 3).unwrap());
            space.add(new.clone());
            builder.add(new);
        }
        let covered = Covered {
            first: 4,
            last: 500,
            change: 3,
        };
        let about = About::new(&model(), stemming);
        let place = folder.join("text");
        write(
            PageWriter::create(&place).unwrap(),
            &about,
            covered,
            &builder.finish(),
            &columns,
        )
        .unwrap();
        (space, Sealed::open(&place, &about, stemming).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_sealed_section_scores_as_the_space(
            texts in prop::collection::vec((0_usize..3, text()), 1..40),
            question in text(),
            cosines in prop::collection::vec(0.0_f32..1.0, 40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (space, sealed) = both(&texts, folder.path());
            let question = Question::new(&format!("Anna {question}"));
            let mut candidates = Candidates::new((0..texts.len()).collect());
            prop_assert_eq!(candidates.needed(&sealed), (0..texts.len()).collect::<Vec<_>>());
            for (slot, cosine) in cosines.iter().take(texts.len()).enumerate() {
                candidates.tell(slot, *cosine);
            }
            let parts = |section: &dyn Section, scope: Scope<'_>| {
                let sections = [section];
                Asked::new(Corpus::new(&sections), &question, &NoVocabulary).parts(&[scope])
            };
            let expected = parts(&space, Scope::All(&cosines));
            prop_assert_eq!(&parts(&sealed, Scope::All(&cosines)), &expected);
            prop_assert_eq!(&parts(&sealed, Scope::Some(&candidates)), &expected);
            prop_assert_eq!(Section::facts(&sealed), Section::facts(&space));
            for (number, (session, _)) in texts.iter().enumerate() {
                let row = 5 + 2 * signed(number);
                let origin = origin(number, *session);
                prop_assert_eq!(sealed.slot(row), Some(number));
                prop_assert_eq!((sealed.row(number), sealed.slot(row + 1)), (row, None));
                for vector in sealed.vectors(number) {
                    prop_assert_eq!(sealed.slot_of_vector(vector), number);
                }
                prop_assert_eq!(sealed.id(number), Some(id((number as u64 * 37) % 101 + 1)));
                let name = origin.speaker.as_ref().map(Speaker::key);
                prop_assert_eq!(sealed.said_by("anna")[number], name.as_deref() == Some("anna"));
                prop_assert_eq!(sealed.of_session("1")[number], *session == 1);
                prop_assert_eq!(sealed.moments()[number], origin.moment(Timestamp::from_micros(signed(number))).as_micros());
            }
            for word in ["walnut", "walnutz", "bota", "anna", "violin"] {
                prop_assert_eq!(sealed.spelling(word), Section::spelling(&space, word));
            }
            prop_assert!(sealed.broken().is_none());
        }

        #[test]
        fn what_was_taken_out_counts_no_more(
            texts in prop::collection::vec((0_usize..3, text()), 2..30),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (mut space, mut sealed) = both(&texts, folder.path());
            for slot in gone.iter().map(|index| index.index(texts.len())) {
                let was_there = Section::facts(&space)[slot].live;
                prop_assert_eq!(sealed.remove(slot), was_there);
                space.remove(slot);
                prop_assert_eq!(sealed.slot(5 + 2 * signed(slot)), None);
            }
            prop_assert_eq!(Section::memories(&sealed), space.len());
            prop_assert_eq!(Section::names(&sealed).into_iter().collect::<std::collections::BTreeSet<_>>(),
                Section::names(&space).into_iter().collect());
            for term in ["boat", "cello", "green", "lamp", "walnut", "wall", "2026", "=größe", "=茶"] {
                let of = |section: &dyn Section| {
                    let mut found = Vec::new();
                    let Some(number) = section.term(term) else { return (0, found) };
                    section.each_with(number, &mut |slot, count| found.push((slot, count)));
                    (section.memories_with(number), found)
                };
                prop_assert_eq!(of(&sealed), of(&space), "{}", term);
            }
        }
    }

    /// Reads all that can be read of a section, and searches it.
    fn read_all(sealed: &mut Sealed) -> (usize, bool) {
        let slots = sealed.slots();
        for slot in 0..slots {
            let (row, vectors) = (sealed.row(slot), sealed.vectors(slot));
            assert!(sealed.covered().has(row));
            assert_eq!(sealed.slot(row), Some(slot));
            assert!(vectors.end <= sealed.vector_count());
            for vector in vectors {
                assert!(sealed.slot_of_vector(vector) < slots);
            }
            let _ = (
                sealed.id(slot),
                sealed.name(slot),
                Section::terms(sealed, slot),
            );
        }
        let _ = (
            sealed.slot(i64::MIN),
            sealed.slot(i64::MAX),
            sealed.id(slots),
        );
        let _ = (
            sealed.moments(),
            sealed.said_by("anna"),
            sealed.of_session("1"),
        );
        sealed.expect_ids(0..slots);
        let _ = Section::lists(sealed, &[0, slots]);
        for word in ["walnut", "walnutz", "", "\u{8336}"] {
            let _ = sealed.spelling(word);
        }
        for term in 0..20 {
            let mut found = Vec::new();
            sealed.each_with(term, &mut |slot, _| found.push(slot));
            assert!(found.iter().all(|slot| *slot < slots));
            let _ = sealed.memories_with(term);
        }
        for question in ["boats of anna in 2026", "when was the walnut green?"] {
            let question = Question::new(question);
            let mut candidates = Candidates::new([0, 2].into());
            for slot in candidates.needed(sealed) {
                candidates.tell(slot, 0.5);
            }
            let sections = [&*sealed as &dyn Section];
            let asked = Asked::new(Corpus::new(&sections), &question, &NoVocabulary);
            let _ = asked.best_by_words(5, |_, _| true);
            let _ = asked.parts(&[Scope::Some(&candidates)]);
            let _ = asked.parts(&[Scope::All(&vec![0.5; slots])]);
        }
        for slot in [0, slots / 2, slots] {
            assert_eq!(sealed.remove(slot), slot < slots && (slot > 0 || slots > 0));
            if slots < 2 {
                break;
            }
        }
        (slots, sealed.broken().is_some())
    }

    /// Files with the right checksums, so that it is their content that counts.
    #[test]
    fn fuzz_text_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = Target::new("text-files")
            .words(&["VenomTxt", "anna", "walnut", "English", ", words 1"])
            .bytes_max(fuzzed::BYTES_MAX)
            .memory_max(fuzzed::MEMORY_MAX);
        let said = [
            "boat boats the",
            "green? walnut lamp. 2026",
            "wall cello",
            "\u{8336} walnut",
        ];
        for count in [1, 2, 4] {
            let texts = said.map(|text| (count % 3, text.to_owned()));
            drop(both(&texts[..count], folder.path()));
            target = target.seed(fuzzed::input_of(&folder.path().join("text")));
        }
        let place = folder.path().join("text");
        let about = About::new(&model(), Stemming::default());
        target.run(|input| {
            fuzzed::write(input, &place);
            Sealed::expect(&place);
            let opened = Sealed::open(&place, &about, Stemming::default());
            let mut sealed = opened.map_err(|error| fuzzed::kind_of(&error))?;
            sealed.check().unwrap();
            Ok::<_, String>(read_all(&mut sealed))
        });
    }
}
