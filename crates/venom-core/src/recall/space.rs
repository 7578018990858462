//! The full-text side of one space: an inverted index that knows which memories are neighbours, kept up
//! to date as memories come and go.

use super::analysis::{self, Stemming};
use super::document::Document;
use super::kernel;
use super::near::{NEAR_MAX, WordTable};
use super::section::{self, Facts, Section, has_word, neighbours};
use super::spelling::Spelling;
use crate::memory::{MemoryId, Origin, SessionName, Speaker};
use crate::ports::Vocabulary;
use crate::time::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Place of a memory in a space: 0, 1, 2 … in the order of [`Space::add`], until [`Space::compact`].
pub type Slot = usize;

/// Everything the recipe keeps of the memories of one space.
#[derive(Debug, Default)]
pub struct Space {
    stemming: Stemming,
    /// Term to its row in `postings`.
    terms: HashMap<Box<str>, u32>,
    /// Memories with the term, by slot.
    postings: Vec<Vec<Posting>>,
    /// Words as they stand, with the number of memories that have them: what can be meant by a slip.
    words: HashMap<Box<str>, u32>,
    /// Every word in the order of its coming, also those that have gone since the last compaction.
    seen: Vec<Box<str>>,
    /// The vectors of `seen`.
    table: RwLock<WordTable>,
    /// Names of speakers, roles left out, in lower case, with the number of their memories.
    speakers: BTreeMap<Box<str>, u32>,
    /// By slot.
    entries: Vec<Option<Entry>>,
    /// By slot.
    facts: Vec<Facts>,
    /// The memories of each thread in the order of their ids.
    threads: BTreeMap<(Option<SessionName>, MemoryId), Slot>,
    /// Sum of [`Facts::reach`].
    reach: u64,
    live: usize,
    /// How many memories have how many words.
    text_words: BTreeMap<u32, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Posting {
    slot: u32,
    count: u32,
}

/// What is kept of a memory besides its [`Facts`].
#[derive(Debug)]
struct Entry {
    id: MemoryId,
    /// Rows in `postings`, in the order of the text.
    terms: Box<[u32]>,
    words: Vec<Box<str>>,
    /// [`Speaker::key`].
    speaker: Option<Box<str>>,
    by_role: bool,
    session: Option<SessionName>,
    occasion: Occasion,
    text_words: u32,
}

impl Entry {
    /// The name of who said it, in lower case; a role is no name.
    fn name(&self) -> Option<&str> {
        self.speaker.as_deref().filter(|_| !self.by_role)
    }
}

/// What decides whether memories that follow each other in a thread are neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    in_session: bool,
    tells_when: bool,
    tells_who: bool,
    moment: Timestamp,
}

impl Occasion {
    /// That of a memory.
    pub(super) fn new(origin: &Origin, stored_at: Timestamp) -> Self {
        Self {
            in_session: origin.session.is_some(),
            tells_when: origin.occurred_at.is_some(),
            tells_who: origin.speaker.is_some(),
            moment: origin.moment(stored_at),
        }
    }

    /// Whether two memories that follow each other in a thread are each other's context. Without a session
    /// only those of one occasion whose origin says more: plain facts that an assistant stores one after
    /// the other have nothing to do with each other.
    pub(super) fn is_shared_with(self, other: Self) -> bool {
        let origin_says_more =
            self.tells_when && other.tells_when || self.tells_who && other.tells_who;
        self.in_session || origin_says_more && kernel::same_occasion(self.moment, other.moment)
    }
}

/// A memory to be added.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// Its id; neighbours are told by the order of ids.
    pub id: MemoryId,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// Where it comes from.
    pub origin: &'a Origin,
    /// Its words.
    pub document: Document,
}

impl Space {
    /// An empty space whose texts are stemmed like this.
    pub fn new(stemming: Stemming) -> Self {
        Self {
            stemming,
            ..Self::default()
        }
    }

    /// Adds a memory in the next slot. O(its terms * log memories).
    pub fn add(&mut self, new: NewEntry<'_>) -> Slot {
        let slot = self.entries.len();
        let row =
            u32::try_from(slot).expect("memory runs out long before 2^32 memories of a space");
        let mut document = new.document;
        let mut words = std::mem::take(&mut document.words);
        let terms = self.stemming.terms(&words);
        let terms: Box<[u32]> = terms.iter().map(|term| self.term(term)).collect();
        words.sort_unstable();
        words.dedup();
        for (term, count) in counts(&terms) {
            self.postings[term as usize].push(Posting { slot: row, count });
        }
        let moment = new.origin.moment(new.stored_at);
        let facts = Facts::new(&document, terms.len(), moment);
        let words: Vec<Box<str>> = words.into_iter().map(String::into_boxed_str).collect();
        for word in &words {
            if let Some(count) = self.words.get_mut(word) {
                *count += 1;
            } else {
                self.words.insert(word.clone(), 1);
                self.seen.push(word.clone());
            }
        }
        let speaker = new.origin.speaker.as_ref();
        let by_role = speaker.is_some_and(Speaker::is_role);
        let speaker = speaker.map(|speaker| speaker.key().into_boxed_str());
        if let Some(name) = speaker.as_ref().filter(|_| !by_role) {
            count_up(&mut self.speakers, name);
        }
        *self.text_words.entry(document.text_words).or_insert(0) += 1;
        let session = new.origin.session.clone();
        let key = (session.clone(), new.id);
        let beside @ [before, after] = self.beside(&key);
        let reached = self.within_reach(beside);
        self.threads.insert(key, slot);
        self.entries.push(Some(Entry {
            id: new.id,
            terms,
            words,
            speaker,
            by_role,
            session,
            occasion: Occasion::new(new.origin, new.stored_at),
            text_words: document.text_words,
        }));
        self.facts.push(facts);
        self.live += 1;
        self.join(before, Some(slot));
        self.join(Some(slot), after);
        for slot in reached.into_iter().chain([slot]) {
            self.measure(slot);
        }
        slot
    }

    /// Takes a memory out. Its slot stays empty until [`Self::compact`]. Nothing happens where none is.
    /// O(its terms * (log memories + memories with the term)).
    pub fn remove(&mut self, slot: Slot) {
        let Some(entry) = self.entry(slot) else {
            return;
        };
        let key = (entry.session.clone(), entry.id);
        let beside @ [before, after] = self.beside(&key);
        let reached = self.within_reach(beside);
        self.threads.remove(&key);
        let Some(entry) = self.entries[slot].take() else {
            return;
        };
        for (term, _) in counts(&entry.terms) {
            let postings = &mut self.postings[term as usize];
            if let Ok(at) = postings.binary_search_by_key(&slot, |posting| posting.slot as usize) {
                postings.remove(at);
            }
        }
        for word in &entry.words {
            if let Some(count) = self.words.get_mut(word) {
                *count -= 1;
                if *count == 0 {
                    self.words.remove(word);
                }
            }
        }
        if let Some(name) = entry.name() {
            count_down(&mut self.speakers, name);
        }
        count_down(&mut self.text_words, &entry.text_words);
        self.live -= 1;
        let facts = std::mem::take(&mut self.facts[slot]);
        self.reach -= u64::from(facts.reach);
        self.join(before, after);
        for slot in reached {
            self.measure(slot);
        }
    }

    /// Gives the slots of removed memories away: those that are left move down, in order. Terms that no memory has
    /// any more go. O(everything).
    pub fn compact(&mut self) {
        self.drop_terms();
        let mut moved = Vec::with_capacity(self.entries.len());
        let mut next = 0_u32;
        for entry in &self.entries {
            moved.push(next);
            next += u32::from(entry.is_some());
        }
        for posting in self.postings.iter_mut().flatten() {
            posting.slot = moved[posting.slot as usize];
        }
        for slot in self.threads.values_mut() {
            *slot = moved[*slot] as usize;
        }
        self.entries.retain(Option::is_some);
        self.seen = self.words.keys().cloned().collect();
        self.table = RwLock::default();
        let old = std::mem::take(&mut self.facts);
        self.facts = old.iter().filter(|facts| facts.live).copied().collect();
        for slot in (0..old.len()).filter(|slot| old[*slot].live) {
            let after = section::after(&old, slot).map(|after| moved[after] as usize);
            section::join(&mut self.facts, Some(moved[slot] as usize), after);
        }
    }

    /// Lets terms go that no memory has: the rows of the others move down, in order.
    fn drop_terms(&mut self) {
        let mut moved = Vec::with_capacity(self.postings.len());
        let mut next = 0_u32;
        for postings in &self.postings {
            moved.push(next);
            next += u32::from(!postings.is_empty());
        }
        self.terms.retain(|_, row| {
            let old = *row as usize;
            *row = moved[old];
            !self.postings[old].is_empty()
        });
        self.terms.shrink_to_fit();
        self.postings.retain(|postings| !postings.is_empty());
        let terms = self.entries.iter_mut().flatten();
        for term in terms.flat_map(|entry| entry.terms.iter_mut()) {
            *term = moved[*term as usize];
        }
    }

    /// How many memories there are.
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether the memory in a slot was said by the speaker of this [`Speaker::key`].
    pub fn is_said_by(&self, slot: Slot, speaker: &str) -> bool {
        let entry = self.entry(slot);
        entry.is_some_and(|entry| entry.speaker.as_deref() == Some(speaker))
    }

    /// Whether the memory in a slot belongs to this session.
    pub fn is_of_session(&self, slot: Slot, session: &SessionName) -> bool {
        self.entry(slot)
            .is_some_and(|entry| entry.session.as_ref() == Some(session))
    }

    /// The memory in a slot.
    fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot)?.as_ref()
    }

    fn table(&self) -> RwLockReadGuard<'_, WordTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a term, made if it is new: its row in `postings`.
    fn term(&mut self, term: &str) -> u32 {
        if let Some(row) = self.terms.get(term) {
            return *row;
        }
        let row =
            u32::try_from(self.postings.len()).expect("memory runs out long before 2^32 terms");
        self.terms.insert(term.into(), row);
        self.postings.push(Vec::new());
        row
    }

    /// The memories before and after a place in a thread, neighbours or not.
    fn beside(&self, key: &(Option<SessionName>, MemoryId)) -> [Option<Slot>; 2] {
        let same = |(other, slot): (&(Option<SessionName>, MemoryId), &Slot)| {
            (other.0 == key.0).then_some(*slot)
        };
        let before = self.threads.range(..key).next_back();
        let after = self
            .threads
            .range((Bound::Excluded(key), Bound::Unbounded))
            .next();
        [before.and_then(same), after.and_then(same)]
    }

    /// The memories whose neighbours change with what is between these two.
    fn within_reach(&self, beside: [Option<Slot>; 2]) -> Vec<Slot> {
        let reached = beside.into_iter().flatten().flat_map(|slot| {
            let neighbours = neighbours(&self.facts, slot).map(|(_, neighbour)| neighbour);
            neighbours.chain([slot])
        });
        reached.collect()
    }

    /// Makes two memories neighbours, unless they are too far apart; a missing one is the end of a thread.
    fn join(&mut self, before: Option<Slot>, after: Option<Slot>) {
        let of = |slot: Option<Slot>| self.entry(slot?);
        let near = match (of(before), of(after)) {
            (Some(before), Some(after)) => before.occasion.is_shared_with(after.occasion),
            _ => false,
        };
        if near {
            section::join(&mut self.facts, before, after);
        } else {
            section::join(&mut self.facts, before, None);
            section::join(&mut self.facts, None, after);
        }
    }

    /// Brings the reach of a memory up to date.
    fn measure(&mut self, slot: Slot) {
        let Some(own) = self.facts.get(slot).filter(|facts| facts.live) else {
            return;
        };
        let reach = reach(&self.facts, slot);
        self.reach = self.reach - u64::from(own.reach) + u64::from(reach);
        self.facts[slot].reach = reach;
    }
}

/// The length of a memory and the shares of its neighbours' lengths, in units of [`kernel::UNIT`].
pub(super) fn reach(facts: &[Facts], slot: Slot) -> u32 {
    let own = facts[slot];
    let of_neighbours = neighbours(facts, slot).map(|(place, other)| {
        let other = facts[other];
        let share = kernel::share(place) * own.gate() * other.gate();
        kernel::to_units(share, u32::from(other.length))
    });
    of_neighbours.fold(
        kernel::to_units(1.0, u32::from(own.length)),
        u32::saturating_add,
    )
}

impl Section for Space {
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
        self.terms.get(name).copied()
    }

    fn memories_with(&self, term: u32) -> usize {
        self.postings.get(term as usize).map_or(0, Vec::len)
    }

    fn each_with(&self, term: u32, each: &mut dyn FnMut(Slot, u32)) {
        for posting in self.postings.get(term as usize).into_iter().flatten() {
            each(posting.slot as usize, posting.count);
        }
    }

    fn terms(&self, slot: Slot) -> Cow<'_, [u32]> {
        Cow::Borrowed(self.entry(slot).map_or(&[], |entry| &entry.terms))
    }

    fn name(&self, slot: Slot) -> Option<&str> {
        self.entry(slot)?.name()
    }

    fn names(&self) -> Vec<&str> {
        self.speakers.keys().map(AsRef::as_ref).collect()
    }

    fn reach(&self) -> u64 {
        self.reach
    }

    fn text_words(&self) -> &BTreeMap<u32, u32> {
        &self.text_words
    }

    fn near_words(
        &self,
        word: &str,
        vocabulary: &dyn Vocabulary,
        counts: &dyn Fn(&str) -> bool,
    ) -> Vec<(i32, String)> {
        if !self.table().knows(&self.seen) {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            table.learn(&self.seen, vocabulary);
        }
        let is_there = |near: &str| self.words.contains_key(near) && counts(near);
        let table = self.table();
        let near = table.near(word, vocabulary, NEAR_MAX, is_there).into_iter();
        near.map(|(nearness, word)| (nearness, word.to_owned()))
            .collect()
    }

    fn spelling(&self, word: &str) -> Spelling {
        let known = self.words.contains_key(word) || has_word(self, word);
        if known {
            return Spelling {
                known,
                near: Vec::new(),
            };
        }
        let near = self
            .words
            .iter()
            .filter(|(near, _)| analysis::is_slip(word, near));
        let mut near: Vec<(String, u32)> = near
            .map(|(near, count)| (near.to_string(), *count))
            .collect();
        near.sort_unstable();
        Spelling { known, near }
    }
}

/// The different terms of a text with their counts.
pub(super) fn counts(terms: &[u32]) -> Vec<(u32, u32)> {
    let mut sorted = terms.to_vec();
    sorted.sort_unstable();
    let groups = sorted.chunk_by(|a, b| a == b);
    groups
        .map(|group| (group[0], u32::try_from(group.len()).unwrap_or(u32::MAX)))
        .collect()
}

fn count_up(counts: &mut BTreeMap<Box<str>, u32>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.into(), 1)),
    }
}

fn count_down<K: Ord + ?Sized, Q: Ord + std::borrow::Borrow<K>>(
    counts: &mut BTreeMap<Q, u32>,
    key: &K,
) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Content;

    fn space_of(texts: &[&str]) -> Space {
        let mut space = Space::new(Stemming::default());
        let origin = Origin::default();
        for (id, text) in (1..).zip(texts) {
            space.add(NewEntry {
                id: MemoryId::new(id).unwrap(),
                stored_at: Timestamp::from_micros(0),
                origin: &origin,
                document: Document::new(&origin, &Content::parse(text).unwrap()),
            });
        }
        space
    }

    /// Every term by name, with its slots; and the names of each slot's terms.
    fn named(space: &Space) -> (BTreeMap<&str, Vec<Slot>>, Vec<Vec<&str>>) {
        let names: BTreeMap<u32, &str> = space
            .terms
            .iter()
            .map(|(name, row)| (*row, &**name))
            .collect();
        assert_eq!(names.len(), space.postings.len());
        let slots = |row: u32| {
            let mut slots = Vec::new();
            space.each_with(row, &mut |slot, _| slots.push(slot));
            slots
        };
        let by_name = names.iter().map(|(row, name)| (*name, slots(*row)));
        let terms = |slot| space.terms(slot).iter().map(|row| names[row]).collect();
        (by_name.collect(), (0..space.len()).map(terms).collect())
    }

    #[test]
    fn terms_that_nobody_has_any_more_go_with_a_compaction() {
        let mut space = space_of(&[
            "a red tent",
            "an old blue map",
            "a red map of Riga",
            "four bikes",
        ]);
        space.remove(1);
        space.remove(3);
        space.compact();
        assert_eq!(
            named(&space),
            named(&space_of(&["a red tent", "a red map of Riga"]))
        );
        space.remove(0);
        space.remove(1);
        space.compact();
        assert!(space.terms.is_empty() && space.postings.is_empty());
    }
}
