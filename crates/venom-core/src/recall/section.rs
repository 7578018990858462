//! What the recipe reads: a space, in one section or several.

use super::analysis::Stemming;
use super::document::Document;
use super::kernel::{self, RADIUS};
use super::near::NearWords;
use super::space::Slot;
use super::spelling::Spelling;
use crate::ports::Vocabulary;
use crate::time::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a score needs to know of a memory: 16 bytes, as a million of them are in memory at a time and a question
/// reads those of all memories with its words, and of their neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `length` and the shares of the neighbours' lengths, in 2^-13 of a term.
    pub reach: u32,
    /// Where the neighbours in its thread are, in slots from its own; 0 for none.
    before: i16,
    after: i16,
    /// Months since the year 0 of when it happened, the least number for a time without a month.
    month: Month,
    /// Its terms, at most as many as fit.
    pub length: u16,
    /// Share of the text that does not ask, in 255ths.
    pub statement: u8,
    /// Whether it is there; a slot whose memory went stays.
    pub live: bool,
    /// Whether the text has an expression of time.
    pub tells_time: bool,
    /// Whether it was said by the user, as a role.
    pub by_user: bool,
}

const _: () = assert!(size_of::<Facts>() == 16);

/// A month, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Month(i16);

impl Default for Month {
    fn default() -> Self {
        Self(i16::MIN)
    }
}

impl Facts {
    /// Those of a memory that has no neighbours yet.
    pub(super) fn new(document: &Document, length: usize, moment: Timestamp) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is 0 to 1, and the cast saturates"
        )]
        let statement = (document.statement * 255.0).round() as u8;
        let mut facts = Self {
            length: u16::try_from(length).unwrap_or(u16::MAX),
            statement,
            live: true,
            tells_time: document.tells_time,
            by_user: document.by_user,
            ..Self::default()
        };
        facts.set_month(moment.month());
        facts
    }

    /// The neighbours before and after it in its thread, in slots from its own; 0 for none.
    pub const fn links(&self) -> [i16; 2] {
        [self.before, self.after]
    }

    /// Gives it neighbours, in slots from its own; 0 for none.
    pub const fn link(&mut self, [before, after]: [i16; 2]) {
        (self.before, self.after) = (before, after);
    }

    /// Months since the year 0 of when it happened.
    pub fn month(&self) -> Option<i32> {
        (self.month != Month::default()).then_some(i32::from(self.month.0))
    }

    /// The same, for a file; a month that does not fit is none.
    pub fn set_month(&mut self, month: Option<i32>) {
        let month = month.and_then(|month| i16::try_from(month).ok());
        self.month = month.map_or_else(Month::default, Month);
    }

    /// Share of its own that a memory gives to its neighbours and takes from them.
    pub(super) fn gate(&self) -> f32 {
        kernel::gate(u32::from(self.length))
    }
}

/// Makes two memories neighbours in their thread; a missing one is the end of the thread. Those that are more slots
/// apart than a link tells are none.
pub(super) fn join(facts: &mut [Facts], before: Option<Slot>, after: Option<Slot>) {
    let distance = |from: Slot, to: Slot| {
        let [from, to] = [from, to].map(|slot| i64::try_from(slot).ok());
        i16::try_from(to? - from?).ok()
    };
    let link = before
        .zip(after)
        .and_then(|(before, after)| distance(before, after))
        .filter(|link| *link != i16::MIN)
        .unwrap_or(0);
    if let Some(facts) = before.and_then(|slot| facts.get_mut(slot)) {
        facts.after = link;
    }
    if let Some(facts) = after.and_then(|slot| facts.get_mut(slot)) {
        facts.before = -link;
    }
}

/// Memories whose neighbours are among themselves: a space, or a part of one.
pub trait Section: Sync {
    /// By slot.
    fn facts(&self) -> &[Facts];

    /// How many memories there are.
    fn memories(&self) -> usize;

    /// How its words are stemmed.
    fn stemming(&self) -> Stemming;

    /// The number that a term has in this section, if a memory has or had it.
    fn term(&self, name: &str) -> Option<u32>;

    /// How many memories have a term.
    fn memories_with(&self, term: u32) -> usize;

    /// Tells each memory that has a term, with how often, by increasing slot.
    fn each_with(&self, term: u32, each: &mut dyn FnMut(Slot, u32));

    /// The terms of a memory, in the order of its text.
    fn terms(&self, slot: Slot) -> Cow<'_, [u32]>;

    /// The terms of several memories.
    fn lists(&self, slots: &[Slot]) -> Vec<Cow<'_, [u32]>> {
        slots.iter().map(|slot| self.terms(*slot)).collect()
    }

    /// The name of who said a memory, in lower case; a role is no name.
    fn name(&self, slot: Slot) -> Option<&str>;

    /// All names, in lower case.
    fn names(&self) -> Vec<&str>;

    /// Sum of the lengths of all memories and of the shares of their neighbours, in whole units.
    fn reach(&self) -> u64;

    /// How many memories have how many words.
    fn text_words(&self) -> &BTreeMap<u32, u32>;

    /// The words that mean something near a word and that `counts`, nearest first, each with how near it is; as many
    /// as matter. O(words * dimensions).
    fn near_words(
        &self,
        word: &str,
        vocabulary: &dyn Vocabulary,
        counts: &dyn Fn(&str) -> bool,
    ) -> Vec<(i32, String)>;

    /// What the memories know of a word. O(words) for one that they do not know.
    fn spelling(&self, word: &str) -> Spelling;
}

/// Whether a memory of a section has a word in any inflection.
pub fn has_word(section: &dyn Section, word: &str) -> bool {
    !terms_of(section, word).is_empty()
}

/// The terms of a word that a section has.
fn terms_of(section: &dyn Section, word: &str) -> BTreeSet<String> {
    let terms = section.stemming().terms_of_word(word).into_iter();
    terms.filter(|term| has_term(section, term)).collect()
}

fn has_term(section: &dyn Section, term: &str) -> bool {
    let number = section.term(term);
    number.is_some_and(|number| section.memories_with(number) > 0)
}

/// The memories within [`RADIUS`] of one in its thread, each with its place: -1 is the one before.
pub(super) fn neighbours(facts: &[Facts], slot: Slot) -> impl Iterator<Item = (i32, Slot)> {
    let walk = move |step: i32, link: fn(&Facts) -> i16| {
        let mut at = slot;
        (1..=RADIUS).map_while(move |distance| {
            let link = Some(link(facts.get(at)?)).filter(|link| *link != 0)?;
            at = at.checked_add_signed(isize::from(link))?;
            facts.get(at)?;
            Some((step * distance, at))
        })
    };
    walk(-1, |facts| facts.before).chain(walk(1, |facts| facts.after))
}

/// The neighbour after one in its thread.
pub(super) fn after(facts: &[Facts], slot: Slot) -> Option<Slot> {
    neighbours(facts, slot)
        .find(|(place, _)| *place == 1)
        .map(|(_, after)| after)
}

/// A term that a question looks for.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) name: String,
    /// Its number in each section.
    pub(super) numbers: Vec<Option<u32>>,
    /// How many memories have it.
    pub(super) memories: usize,
}

/// A space in sections, as one.
#[derive(Clone, Copy)]
pub struct Corpus<'a> {
    pub(super) sections: &'a [&'a dyn Section],
    /// For the sections that know no near words.
    near: Option<&'a NearWords>,
}

impl fmt::Debug for Corpus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Corpus of {} sections", self.sections.len())
    }
}

impl<'a> Corpus<'a> {
    /// These sections as one.
    pub const fn new(sections: &'a [&'a dyn Section]) -> Self {
        Self {
            sections,
            near: None,
        }
    }

    /// The same, with the words that the model knows as near words of sections that know none themselves.
    #[must_use]
    pub const fn with_near(self, near: &'a NearWords) -> Self {
        Self {
            near: Some(near),
            ..self
        }
    }

    /// How many memories there are.
    pub(super) fn memories(self) -> usize {
        self.sections.iter().map(|section| section.memories()).sum()
    }

    /// A term that a memory has, by name.
    pub(super) fn term(self, name: String) -> Option<Term> {
        let numbers = self.sections.iter().map(|section| section.term(&name));
        let numbers: Vec<Option<u32>> = numbers.collect();
        let of_section = self.sections.iter().zip(&numbers);
        let memories = of_section
            .map(|(section, number)| number.map_or(0, |number| section.memories_with(number)));
        let memories = memories.sum();
        (memories > 0).then_some(Term {
            name,
            numbers,
            memories,
        })
    }

    /// The terms of a word that a memory has, by name.
    pub(super) fn terms_of(self, word: &str) -> BTreeSet<String> {
        // All sections are stemmed alike.
        let Some(stemming) = self.sections.first().map(|section| section.stemming()) else {
            return BTreeSet::new();
        };
        let has = |term: &String| self.sections.iter().any(|section| has_term(*section, term));
        stemming
            .terms_of_word(word)
            .into_iter()
            .filter(has)
            .collect()
    }

    /// The words that mean something near a word, nearest first, none of the same term.
    /// O(words * dimensions).
    pub(super) fn near_words(self, word: &str, vocabulary: &dyn Vocabulary) -> Vec<String> {
        let own = self.terms_of(word);
        let mut near = BTreeSet::new();
        for section in self.sections {
            let counts = |word: &str| terms_of(*section, word).is_disjoint(&own);
            let found = section.near_words(word, vocabulary, &counts);
            near.extend(found.into_iter().map(|(nearness, word)| (-nearness, word)));
        }
        if let Some(of_model) = self.near {
            let of_model = of_model.near(word, vocabulary);
            let counts = |word: &str| {
                let terms = self.terms_of(word);
                !terms.is_empty() && terms.is_disjoint(&own)
            };
            let of_model = of_model.iter().filter(|(_, word)| counts(word));
            let of_model = of_model.take(super::near::NEAR_MAX);
            near.extend(of_model.map(|(nearness, word)| (-nearness, word.to_string())));
        }
        let near = near.into_iter().map(|(_, word)| word);
        near.take(super::near::NEAR_MAX).collect()
    }

    /// Mean length of a memory and the shares of its neighbours, in terms.
    pub(super) fn mean_reach(self) -> f32 {
        let reach = self.sections.iter().map(|section| section.reach()).sum();
        kernel::from_units(reach) / self.memories().max(1) as f32
    }

    /// Median of the words in a memory's text; of an even number the larger of the middle two. O(different
    /// lengths).
    pub(super) fn median_words(self) -> u32 {
        let mut all: BTreeMap<u32, usize> = BTreeMap::new();
        for (words, memories) in self
            .sections
            .iter()
            .flat_map(|section| section.text_words())
        {
            *all.entry(*words).or_default() += *memories as usize;
        }
        let mut seen = 0;
        for (words, memories) in all {
            seen += memories;
            if seen > self.memories() / 2 {
                return words;
            }
        }
        0
    }

    /// Names of speakers, in lower case, sorted; roles are left out. O(names).
    pub fn speakers(self) -> Vec<String> {
        let names = self.sections.iter().flat_map(|section| section.names());
        let names: BTreeSet<&str> = names.collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// What the memories know of a word. O(words) for one that they do not know.
    pub fn spelling(self, word: &str) -> Spelling {
        let mut near: BTreeMap<String, u32> = BTreeMap::new();
        for section in self.sections {
            let of_section = section.spelling(word);
            if of_section.known {
                return of_section;
            }
            for (word, memories) in of_section.near {
                *near.entry(word).or_default() += memories;
            }
        }
        Spelling {
            known: false,
            near: near.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::Question;
    use super::super::score::score;
    use super::super::space::{NewEntry, Space};
    use super::*;
    use crate::memory::{Content, MemoryId, Origin, SessionName, Speaker};
    use crate::test_support::doubles::HashEmbedder;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    /// A memory by the number of its session.
    fn add(space: &mut Space, id: usize, session: usize, text: &str) {
        let (speaker, session) = (["Anna", "Ben", "user"][id % 3], session.to_string());
        let origin = Origin {
            speaker: Some(Speaker::parse(speaker).unwrap()),
            session: Some(SessionName::parse(&session).unwrap()),
            occurred_at: None,
        };
        let content = Content::parse(text).unwrap();
        space.add(NewEntry {
            id: MemoryId::new(id as u64 + 1).unwrap(),
            stored_at: Timestamp::from_micros(0),
            origin: &origin,
            document: Document::new(&origin, &content),
        });
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "boat",
            "boats",
            "cello",
            "green?",
            "lamp",
            "walnut",
            "walnuts",
            "wall",
            "2026",
            "\u{1f3bb}",
        ]);
        prop::collection::vec(word, 1..9).prop_map(|words| words.join(" "))
    }

    proptest! {
        /// Each session in a section of its own, since neighbours are of one section.
        #[test]
        fn sections_score_as_the_whole(
            texts in prop::collection::vec((0_usize..4, text(), 0.0_f32..1.0), 1..40),
            question in text(),
        ) {
            let vocabulary = HashEmbedder::new();
            let (mut whole, mut parts) = (Space::default(), [(); 4].map(|()| Space::default()));
            let (mut cosines, mut cosines_of) = (Vec::new(), [(); 4].map(|()| Vec::new()));
            for (id, (session, text, cosine)) in texts.iter().enumerate() {
                add(&mut whole, id, *session, text);
                add(&mut parts[*session], id, *session, text);
                cosines.push(*cosine);
                cosines_of[*session].push(*cosine);
            }
            let question = Question::new(&format!("Anna {question}"));
            let one: [&dyn Section; 1] = [&whole];
            let four = parts.each_ref().map(|part| part as &dyn Section);
            let (one, four) = (Corpus::new(&one), Corpus::new(&four));
            let expected = score(one, &question, &vocabulary, &[&cosines]).remove(0);
            let found = score(four, &question, &vocabulary, &cosines_of.each_ref().map(Vec::as_slice));
            let mut found: Vec<_> = found.into_iter().map(Vec::into_iter).collect();
            for (slot, (session, ..)) in texts.iter().enumerate() {
                prop_assert_eq!(found[*session].next().flatten(), expected[slot]);
            }
            prop_assert_eq!(one.speakers(), four.speakers());
            for word in ["walnut", "walnutz", "bota", "anna", "violin"] {
                prop_assert_eq!(one.spelling(word), four.spelling(word));
                prop_assert_eq!(one.near_words(word, &vocabulary), four.near_words(word, &vocabulary));
            }
        }
    }
}
