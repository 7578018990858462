//! The recipe: one score per memory from what words, vectors and the memory itself say.

use super::kernel::{self, RADIUS};
use super::question::{Question, Sought};
use super::space::{Slot, Space};
use crate::ports::Vocabulary;
use std::collections::{BTreeMap, BTreeSet};

/// How fast a repeated term saturates in BM25 (Robertson, Zaragoza: "The Probabilistic Relevance
/// Framework: BM25 and Beyond", 2009). Below the usual 1.2, as context repeats the terms of a topic.
const BM25_K1: f32 = 0.6;
/// What a term counts that means something near a word of the question. Between 0.4 and 0.8 the measurement is
/// the same.
const NEAR_SHARE: f32 = 0.4;
/// How much BM25 counts the length of a text, 0 to 1: the usual value.
const BM25_B: f32 = 0.75;
/// Vectors of neighbours count up to this distance.
const DENSE_RADIUS: i32 = 3;
/// Two words of a question are close in a memory up to this distance, in terms.
const PAIR_TERMS_MAX: usize = 3;
/// A memory of this many terms or more is not short.
const LENGTH_TERMS: f32 = 12.0;
/// Only shorter memories are judged by how much of them asks, in terms.
const STATEMENT_TERMS_MAX: u32 = 20;
/// Only shorter memories are judged by whether they tell a time, in terms.
const TIME_TERMS_MAX: u32 = 40;
/// Memories of a space with a larger median are notes, not remarks, in words.
const REMARK_WORDS_MAX: u32 = 40;

/// What a score is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Words of the question in the memory and its neighbours.
    Words,
    /// Words that follow each other in the question and are close in the memory.
    Pairs,
    /// All words of the question in one stretch of the memory.
    Phrase,
    /// Similarity of meaning.
    Meaning,
    /// Similarity of meaning of the memory and its neighbours.
    MeaningAround,
    /// The question names who said it.
    Author,
    /// It is not too short to say something.
    Length,
    /// It says something rather than asks.
    Statement,
    /// It tells a time and the question asks for one.
    TellsTime,
    /// It happened in the month or year that the question names.
    NamedTime,
    /// It was said by the user, not by the assistant.
    User,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 11] = [
        Self::Words,
        Self::Pairs,
        Self::Phrase,
        Self::Meaning,
        Self::MeaningAround,
        Self::Author,
        Self::Length,
        Self::Statement,
        Self::TellsTime,
        Self::NamedTime,
        Self::User,
    ];

    /// Its name in explanations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Pairs => "pairs",
            Self::Phrase => "phrase",
            Self::Meaning => "meaning",
            Self::MeaningAround => "meaning_around",
            Self::Author => "author",
            Self::Length => "length",
            Self::Statement => "statement",
            Self::TellsTime => "tells_time",
            Self::NamedTime => "named_time",
            Self::User => "user",
        }
    }

    /// What it counts at most. Remarks of a conversation: words and their context tell most. Notes: vectors
    /// find better than words, and neighbours are other topics.
    const fn weight(self, kind: Kind) -> f32 {
        let (remarks, notes) = match self {
            Self::Words => (1.0, 0.7),
            Self::Pairs => (0.1, 0.1),
            // Who quotes a memory wants that memory, whatever else speaks for others.
            Self::Phrase => (3.0, 3.0),
            Self::Meaning => (0.5, 1.0),
            Self::MeaningAround => (0.3, 0.0),
            Self::Author => (0.4, 0.4),
            Self::Length => (0.2, 0.5),
            Self::Statement => (0.4, 0.3),
            Self::TellsTime | Self::NamedTime => (0.3, 0.3),
            Self::User => (0.5, 0.4),
        };
        match kind {
            Kind::Remarks => remarks,
            Kind::Notes => notes,
        }
    }
}

/// What the memories of a space are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Remarks,
    Notes,
}

/// The parts of a memory's score, weighted: the score is their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts([f32; Part::ALL.len()]);

impl Parts {
    /// Weighs what each part says, 0 to 1.
    fn weigh(kind: Kind, says: impl Fn(Part) -> f32) -> Self {
        Self(Part::ALL.map(|part| part.weight(kind) * says(part)))
    }

    /// The score.
    pub fn sum(&self) -> f32 {
        self.0.iter().sum()
    }

    /// Each part with what it adds to the score.
    pub fn iter(&self) -> impl Iterator<Item = (Part, f32)> {
        Part::ALL.into_iter().zip(self.0)
    }

    /// What the parts add, in the order of [`Part::ALL`].
    pub const fn to_array(self) -> [f32; Part::ALL.len()] {
        self.0
    }

    /// The opposite of [`Self::to_array`].
    pub const fn from_array(parts: [f32; Part::ALL.len()]) -> Self {
        Self(parts)
    }
}

/// The parts of the score of every memory in the space, by slot; `None` in empty slots. `similarities` are
/// the cosines of question and memory by slot, those of empty slots are not read.
///
/// O(memories * neighbours + postings of the question's terms * neighbours + words of the question * words of
/// the space).
pub fn score(
    space: &Space,
    question: &Question,
    vocabulary: &dyn Vocabulary,
    similarities: &[f32],
) -> Vec<Option<Parts>> {
    let kind = if space.median_words() > REMARK_WORDS_MAX {
        Kind::Notes
    } else {
        Kind::Remarks
    };
    let sought = question.terms(space, vocabulary);
    let words = Shares::of_most(lexical(space, &sought));
    let pairs = Shares::of_most(pairs(space, &sought));
    let phrase = quoted(space, &sought);
    let authors: BTreeSet<&str> = space.names().filter(|name| question.names(name)).collect();
    let similarity = |slot: Slot| similarities.get(slot).copied().unwrap_or(0.0);
    let meaning = Range::of(space.entries().map(|(slot, _)| similarity(slot)));
    let around = around(space, &similarity);
    let meaning_around = Range::of(space.entries().map(|(slot, _)| around[slot]));
    let yes = |fact: bool| f32::from(u8::from(fact));
    let mut parts = vec![None; space.slots()];
    for (slot, entry) in space.entries() {
        let says = |part| match part {
            Part::Words => words.of(slot),
            Part::Pairs => pairs.of(slot),
            Part::Phrase => yes(phrase.contains(&slot)),
            Part::Meaning => meaning.place(similarity(slot)),
            Part::MeaningAround => meaning_around.place(around[slot]),
            Part::Author => yes(entry.name().is_some_and(|name| authors.contains(name))),
            Part::Length => (entry.length as f32 / LENGTH_TERMS).min(1.0),
            Part::Statement if entry.length >= STATEMENT_TERMS_MAX => 1.0,
            Part::Statement => entry.statement,
            Part::TellsTime => {
                yes(question.asks_time && entry.tells_time && entry.length < TIME_TERMS_MAX)
            }
            Part::NamedTime => question.named_time.of_month(entry.month),
            Part::User => yes(entry.by_user),
        };
        parts[slot] = Some(Parts::weigh(kind, says));
    }
    parts
}

/// Okapi BM25 in which a memory's count of a term takes shares of its neighbours' counts, and of the counts of
/// terms that mean something near; by slot. Rarity is told by the memories that have the term themselves.
fn lexical(space: &Space, sought: &[Sought]) -> Vec<f32> {
    let mean = space.mean_reach().max(f32::MIN_POSITIVE);
    let mut scores = vec![0.0_f32; space.slots()];
    let mut counts = Counts::new(space.slots());
    for (rarity, terms) in units(space, sought) {
        for (term, share) in terms {
            counts.add(space, term, share);
        }
        for slot in counts.touched.drain(..) {
            let count = kernel::from_units(std::mem::take(&mut counts.units[slot]));
            let reach = space
                .entry(slot)
                .map_or(0.0, |entry| kernel::from_units(entry.reach));
            let norm = BM25_K1 * (1.0 - BM25_B + BM25_B * reach / mean);
            scores[slot] += rarity * count * (BM25_K1 + 1.0) / (count + norm);
        }
    }
    scores
}

/// What is counted together, with how much it tells: each different term of the question with those near it.
/// The near ones of a word that no memory has stand for themselves, as rare as the rarest.
fn units(space: &Space, sought: &[Sought]) -> Vec<(f32, Vec<(u32, f32)>)> {
    let mut units: BTreeMap<String, (f32, Vec<(u32, f32)>)> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for word in sought {
        let near = word.near.iter().map(|term| (*term, NEAR_SHARE));
        for (term, number) in &word.own {
            let own = [(*number, 1.0)].into_iter();
            let unit = (rarity(space, *number), own.chain(near.clone()).collect());
            units.insert(term.clone(), unit);
        }
        if word.own.is_empty() && !word.near.is_empty() {
            unknown.insert(&word.near);
        }
    }
    let unknown = unknown.into_iter().map(|near| {
        let rarities = near.iter().map(|term| rarity(space, *term));
        let terms = near.iter().map(|term| (*term, NEAR_SHARE));
        (rarities.fold(0.0, f32::max), terms.collect())
    });
    units.into_values().chain(unknown).collect()
}

/// Counts of what is being looked for, by slot.
struct Counts {
    units: Vec<u64>,
    touched: Vec<Slot>,
}

impl Counts {
    fn new(slots: usize) -> Self {
        Self {
            units: vec![0; slots],
            touched: Vec::new(),
        }
    }

    /// Adds a share of the counts of a term, and of those the shares that fall to neighbours.
    fn add(&mut self, space: &Space, term: u32, share: f32) {
        let mut add = |slot: Slot, units: u64| {
            if self.units[slot] == 0 {
                self.touched.push(slot);
            }
            self.units[slot] += units;
        };
        for posting in space.postings(term) {
            let slot = posting.slot as usize;
            let Some(entry) = space.entry(slot) else {
                continue;
            };
            add(slot, kernel::to_units(share, posting.count));
            for (place, other_slot) in space.neighbours(slot) {
                let Some(other) = space.entry(other_slot) else {
                    continue;
                };
                // Seen from the neighbour this memory stands on the other side.
                let share = share * kernel::share(-place) * entry.gate * other.gate;
                add(other_slot, kernel::to_units(share, posting.count));
            }
        }
    }
}

/// How much a term tells: more, the fewer memories have it.
fn rarity(space: &Space, term: u32) -> f32 {
    let with_term = space.postings(term).len() as f32;
    ((space.len() as f32 - with_term + 0.5) / (with_term + 0.5)).ln_1p()
}

/// Sum over words that follow each other in the question of how much they tell, where they are within
/// [`PAIR_TERMS_MAX`] of each other in the memory; by slot.
fn pairs(space: &Space, sought: &[Sought]) -> Vec<f32> {
    let mut scores = vec![0.0_f32; space.slots()];
    let mut seen = BTreeSet::new();
    for two in sought.windows(2) {
        for (a, b) in two[0]
            .own
            .values()
            .flat_map(|a| two[1].own.values().map(|b| (*a, *b)))
        {
            if a == b || !seen.insert((a, b)) {
                continue;
            }
            let rarer = if space.postings(a).len() < space.postings(b).len() {
                a
            } else {
                b
            };
            let tells = f32::midpoint(rarity(space, a), rarity(space, b));
            for posting in space.postings(rarer) {
                let slot = posting.slot as usize;
                if space
                    .entry(slot)
                    .is_some_and(|entry| are_close(&entry.terms, a, b))
                {
                    scores[slot] += tells;
                }
            }
        }
    }
    scores
}

/// Whether two terms are within [`PAIR_TERMS_MAX`] of each other. O(terms).
fn are_close(terms: &[u32], a: u32, b: u32) -> bool {
    let mut last: Option<(usize, u32)> = None;
    for (at, term) in terms
        .iter()
        .enumerate()
        .filter(|(_, term)| **term == a || **term == b)
    {
        if last.is_some_and(|(before, other)| other != *term && at - before <= PAIR_TERMS_MAX) {
            return true;
        }
        last = Some((at, *term));
    }
    false
}

/// The memories that have all words of the question, stop words left out, in one stretch. A single word is
/// no quotation.
fn quoted(space: &Space, sought: &[Sought]) -> BTreeSet<Slot> {
    let rarest = sought.iter().min_by_key(|word| {
        let memories = word.own.values().map(|term| space.postings(*term).len());
        memories.sum::<usize>()
    });
    let Some(rarest) = rarest.filter(|_| sought.len() > 1) else {
        return BTreeSet::new();
    };
    let has_phrase = |slot: &Slot| {
        let terms = space.entry(*slot).map_or(&[][..], |entry| &entry.terms);
        terms.windows(sought.len()).any(|stretch| {
            let mut pairs = stretch.iter().zip(sought);
            pairs.all(|(found, wanted)| wanted.own.values().any(|term| term == found))
        })
    };
    let postings = rarest.own.values().flat_map(|term| space.postings(*term));
    postings
        .map(|posting| posting.slot as usize)
        .filter(has_phrase)
        .collect()
}

/// Numbers of all memories, each as its share of the largest; by slot.
struct Shares {
    values: Vec<f32>,
    most: f32,
}

impl Shares {
    fn of_most(values: Vec<f32>) -> Self {
        let most = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        Self { values, most }
    }

    fn of(&self, slot: Slot) -> f32 {
        self.values[slot] / self.most
    }
}

/// Each memory's similarity averaged with its neighbours', by their shares; by slot.
fn around(space: &Space, similarity: &impl Fn(Slot) -> f32) -> Vec<f32> {
    let mut averages = vec![0.0_f32; space.slots()];
    for (slot, entry) in space.entries() {
        let (mut sum, mut weight) = (similarity(slot), 1.0);
        let near = space
            .neighbours(slot)
            .filter(|(place, _)| place.abs() <= DENSE_RADIUS);
        for (place, other_slot) in near {
            if let Some(other) = space.entry(other_slot) {
                let share = kernel::share(place) * entry.gate * other.gate;
                sum += share * similarity(other_slot);
                weight += share;
            }
        }
        averages[slot] = sum / weight;
    }
    averages
}

/// Extremes of a list of numbers.
struct Range {
    least: f32,
    most: f32,
}

impl Range {
    fn of(values: impl Iterator<Item = f32>) -> Self {
        let start = Self {
            least: f32::INFINITY,
            most: f32::NEG_INFINITY,
        };
        values.fold(start, |range, value| Self {
            least: range.least.min(value),
            most: range.most.max(value),
        })
    }

    /// Where a value lies between the extremes, 0 to 1. Where all are equal, each is 0.
    fn place(&self, value: f32) -> f32 {
        let width = self.most - self.least;
        if width > 0.0 {
            (value - self.least) / width
        } else {
            0.0
        }
    }
}

const _: () = assert!(DENSE_RADIUS <= RADIUS);

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::super::space::NewEntry;
    use super::*;
    use crate::memory::{Content, MemoryId, Origin, SessionName, Speaker};
    use crate::ports::NoVocabulary;
    use crate::test_support::doubles::HashEmbedder;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn add(space: &mut Space, id: u64, origin: &Origin, text: &str) -> Slot {
        let content = Content::parse(text).unwrap();
        space.add(NewEntry {
            id: MemoryId::new(id).unwrap(),
            stored_at: Timestamp::from_micros(0),
            origin,
            document: Document::new(origin, &content),
        })
    }

    /// Slots by score, best first; of equal score the later first.
    fn ranked(space: &Space, question: &str, similarities: &[f32]) -> Vec<Slot> {
        let parts = score(space, &Question::new(question), &NoVocabulary, similarities);
        let mut slots: Vec<Slot> = (0..parts.len())
            .filter(|slot| parts[*slot].is_some())
            .collect();
        let key = |slot: &Slot| parts[*slot].map_or(0.0, |parts| parts.sum());
        slots.sort_by(|a, b| key(b).total_cmp(&key(a)).then(b.cmp(a)));
        slots
    }

    fn in_session(speaker: &str) -> Origin {
        Origin {
            speaker: Some(Speaker::parse(speaker).unwrap()),
            session: Some(SessionName::parse("one").unwrap()),
            occurred_at: None,
        }
    }

    #[test]
    fn an_answer_is_found_by_the_words_of_its_question() {
        let mut space = Space::default();
        let other = Origin::default();
        add(
            &mut space,
            1,
            &other,
            "The harbour was full of boats in the morning light",
        );
        add(
            &mut space,
            2,
            &in_session("Ben"),
            "What do you play in the orchestra?",
        );
        let answer = add(
            &mut space,
            3,
            &in_session("Anna"),
            "Mostly the cello, since I was a child",
        );
        add(
            &mut space,
            4,
            &in_session("Ben"),
            "Lovely, I always wanted to learn that as well",
        );
        let question = "Which instrument does Anna play in the orchestra?";
        assert_eq!(ranked(&space, question, &[0.0; 4])[0], answer);
    }

    #[test]
    fn the_same_words_in_another_order_are_another_memory() {
        let mut space = Space::default();
        let origin = Origin::default();
        for (id, text) in [
            (1, "round 8 brought parcel 11"),
            (2, "round 11 brought parcel 8"),
        ] {
            add(&mut space, id, &origin, text);
        }
        assert_eq!(
            ranked(&space, "round 8 brought parcel 11", &[0.5, 0.5])[0],
            0
        );
        assert_eq!(
            ranked(&space, "round 11 brought parcel 8", &[0.5, 0.5])[0],
            1
        );
    }

    #[test]
    fn a_word_that_means_something_near_counts_less_than_the_word() {
        let mut space = Space::default();
        let apart = |id: u64| Origin {
            session: Some(SessionName::parse(&id.to_string()).unwrap()),
            ..Origin::default()
        };
        for (id, text) in [
            (1, "the train to the coast leaves at nine"),
            (2, "there is a wallpaper in the hallway"),
            (3, "there is a walnut in the hallway"),
        ] {
            add(&mut space, id, &apart(id), text);
        }
        let ranked = |question: &str| {
            let parts = score(
                &space,
                &Question::new(question),
                &HashEmbedder::new(),
                &[0.0; 3],
            );
            parts
                .iter()
                .map(|parts| parts.map_or(0.0, |parts| parts.to_array()[0]))
                .collect::<Vec<_>>()
        };
        let [other, near, own] = ranked("which walnut")[..] else {
            panic!("three memories")
        };
        assert!(
            other == 0.0 && 0.0 < near && near < own,
            "{other} {near} {own}"
        );
        // Nobody has the word itself.
        let [other, near, nearer] = ranked("walnuts?")[..] else {
            panic!("three memories")
        };
        assert!(other == 0.0 && near > 0.0 && nearer > near);
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "boat", "cello", "green", "lamp", "museum", "paint", "river", "stone", "tower",
            "walnut",
        ]);
        prop::collection::vec(word, 2..12).prop_map(|words| words.join(" "))
    }

    proptest! {
        /// Whatever the vectors of the others say: who quotes a memory gets it.
        #[test]
        fn the_exact_text_of_a_unique_memory_ranks_it_first(
            texts in prop::collection::hash_set(text(), 1..40),
            cosines in prop::collection::vec(0.0_f32..1.0, 40),
        ) {
            let texts: Vec<String> = texts.into_iter().collect();
            let is_part = |text: &String| {
                texts.iter().filter(|other| format!(" {other} ").contains(&format!(" {text} "))).count() > 1
            };
            let mut space = Space::default();
            for (id, text) in (0..).zip(&texts) {
                add(&mut space, id, &in_session("user"), text);
            }
            for (slot, text) in texts.iter().enumerate().filter(|(_, text)| !is_part(text)) {
                let mut similarities = cosines.clone();
                similarities[slot] = 1.0;
                prop_assert_eq!(ranked(&space, text, &similarities)[0], slot, "{}", text);
            }
        }

        /// A memory that has nothing to do with a question comes after all that have one of its words,
        /// where vectors say nothing.
        #[test]
        fn an_unrelated_memory_removes_no_match(texts in prop::collection::vec(text(), 1..30)) {
            let mut space = Space::default();
            let apart = |id: u64| Origin {
                session: Some(SessionName::parse(&id.to_string()).unwrap()),
                ..Origin::default()
            };
            for (id, text) in (0..).zip(&texts) {
                add(&mut space, id, &apart(id), &format!("{text} and nothing else to say about it at all"));
            }
            let matches = |space: &Space| {
                let all = ranked(space, "walnut", &vec![0.0; space.slots()]);
                let has_word = |slot: &Slot| texts.get(*slot).is_some_and(|text| text.contains("walnut"));
                let count = texts.iter().filter(|text| text.contains("walnut")).count();
                let first: BTreeSet<Slot> = all.into_iter().take(count).filter(has_word).collect();
                (first.len(), count)
            };
            let (before, count) = matches(&space);
            prop_assert_eq!(before, count);
            add(&mut space, 1000, &apart(1000), "Something entirely unlike the rest, kept for no reason");
            prop_assert_eq!(matches(&space).0, count);
        }
    }
}
