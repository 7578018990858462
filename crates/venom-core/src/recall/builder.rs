//! A section that is written once: what the recipe keeps of many memories, gathered in little memory.
//!
//! [`Space`](super::Space) is kept up to date and so knows every word of every memory; this knows numbers only, about
//! a hundred bytes a memory, until everything is put in order at the end.

use super::analysis::Stemming;
use super::section::{self, Facts};
use super::space::{NewEntry, Occasion, Slot, counts, reach};
use crate::memory::{MemoryId, SessionName, Speaker};
use std::collections::{BTreeMap, HashMap};

/// Gathers memories for a section.
#[derive(Debug, Default)]
pub struct SectionBuilder {
    stemming: Stemming,
    terms: Numbered,
    words: HashMap<Box<str>, u32>,
    speakers: Numbered,
    sessions: Numbered,
    members: Vec<Member>,
    facts: Vec<Facts>,
    /// The terms of all memories, one after the other, in the order of their texts.
    lists: Vec<u32>,
    text_words: BTreeMap<u32, u32>,
}

/// What is kept of a memory besides its [`Facts`].
#[derive(Clone, Copy, Debug)]
struct Member {
    id: MemoryId,
    speaker: Option<u32>,
    session: Option<u32>,
    occasion: Occasion,
    /// Where its terms end in `lists`.
    end: usize,
}

/// Everything about a section, put in order. Lists are by slot where nothing else is said.
#[derive(Debug)]
pub struct BuiltSection {
    /// How its words are stemmed.
    pub stemming: Stemming,
    /// What a score needs to know of each memory.
    pub facts: Vec<Facts>,
    /// Sum of their reach.
    pub reach: u64,
    /// Names of terms, sorted; the number of a term is its place.
    pub terms: Vec<Box<str>>,
    /// By term: the memories that have it, increasing, with how often.
    pub postings: Vec<Vec<(u32, u32)>>,
    /// The terms of each memory, in the order of its text.
    pub lists: Vec<Vec<u32>>,
    /// Words as they stand, sorted, with the number of memories that have them.
    pub words: Vec<(Box<str>, u32)>,
    /// [`Speaker::key`] of those who said something, in the order of their coming.
    pub speakers: Vec<Box<str>>,
    /// Who said each memory, as a place in `speakers`.
    pub speaker_of: Vec<Option<u32>>,
    /// Names of sessions, in the order of their coming.
    pub sessions: Vec<Box<str>>,
    /// The session of each memory, as a place in `sessions`.
    pub session_of: Vec<Option<u32>>,
    /// How many memories have how many words.
    pub text_words: BTreeMap<u32, u32>,
}

/// Names with a number each, from 0 on in the order of their coming.
#[derive(Debug, Default)]
struct Numbered(HashMap<Box<str>, u32>);

impl Numbered {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.0.get(name) {
            return *number;
        }
        let number = u32::try_from(self.0.len()).expect("memory runs out before 2^32 names");
        self.0.insert(name.into(), number);
        number
    }

    /// The names by number.
    fn into_names(self) -> Vec<Box<str>> {
        let mut named: Vec<(u32, Box<str>)> =
            self.0.into_iter().map(|(name, n)| (n, name)).collect();
        named.sort_unstable();
        named.into_iter().map(|(_, name)| name).collect()
    }
}

impl SectionBuilder {
    /// Nothing yet; texts are stemmed like this.
    pub fn new(stemming: Stemming) -> Self {
        Self {
            stemming,
            ..Self::default()
        }
    }

    /// Adds a memory in the next slot. O(its terms).
    pub fn add(&mut self, new: NewEntry<'_>) {
        let document = new.document;
        let terms = self.stemming.terms(&document.words);
        let moment = new.origin.moment(new.stored_at);
        self.facts.push(Facts::new(&document, terms.len(), moment));
        for term in &terms {
            self.lists.push(self.terms.number(term));
        }
        let mut words = document.words;
        words.sort_unstable();
        words.dedup();
        for word in words {
            *self.words.entry(word.into_boxed_str()).or_insert(0) += 1;
        }
        *self.text_words.entry(document.text_words).or_insert(0) += 1;
        let speaker = new.origin.speaker.as_ref().map(Speaker::key);
        let session = new.origin.session.as_ref().map(SessionName::as_str);
        self.members.push(Member {
            id: new.id,
            speaker: speaker.map(|key| self.speakers.number(&key)),
            session: session.map(|name| self.sessions.number(name)),
            occasion: Occasion::new(new.origin, new.stored_at),
            end: self.lists.len(),
        });
    }

    /// Puts everything in order. O(everything * log everything).
    pub fn finish(mut self) -> BuiltSection {
        self.join();
        let mut total = 0;
        for slot in 0..self.facts.len() {
            let reach = reach(&self.facts, slot);
            self.facts[slot].reach = reach;
            total += u64::from(reach);
        }
        let mut terms: Vec<(Box<str>, u32)> = self.terms.0.into_iter().collect();
        terms.sort_unstable();
        let mut places = vec![0; terms.len()];
        for (place, (_, number)) in (0_u32..).zip(&terms) {
            places[*number as usize] = place;
        }
        let mut postings = vec![Vec::new(); terms.len()];
        let mut lists = Vec::with_capacity(self.members.len());
        let mut start = 0;
        for (slot, member) in (0_u32..).zip(&self.members) {
            let list = self.lists[start..member.end].iter();
            let list: Vec<u32> = list.map(|number| places[*number as usize]).collect();
            for (term, count) in counts(&list) {
                postings[term as usize].push((slot, count));
            }
            lists.push(list);
            start = member.end;
        }
        let mut words: Vec<(Box<str>, u32)> = self.words.into_iter().collect();
        words.sort_unstable();
        BuiltSection {
            stemming: self.stemming,
            facts: self.facts,
            reach: total,
            terms: terms.into_iter().map(|(name, _)| name).collect(),
            postings,
            lists,
            words,
            speakers: self.speakers.into_names(),
            speaker_of: self.members.iter().map(|member| member.speaker).collect(),
            sessions: self.sessions.into_names(),
            session_of: self.members.iter().map(|member| member.session).collect(),
            text_words: self.text_words,
        }
    }

    /// Makes those neighbours that follow each other in a thread and belong together.
    fn join(&mut self) {
        let mut order: Vec<Slot> = (0..self.members.len()).collect();
        order.sort_unstable_by_key(|slot| (self.members[*slot].session, self.members[*slot].id));
        for two in order.windows(2) {
            let [before, after] = [two[0], two[1]];
            let (first, second) = (self.members[before], self.members[after]);
            if first.session == second.session && first.occasion.is_shared_with(second.occasion) {
                section::join(&mut self.facts, Some(before), Some(after));
            }
        }
    }
}
