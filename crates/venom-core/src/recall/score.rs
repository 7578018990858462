//! The recipe: one score per memory from what words, vectors and the memory itself say.

use super::kernel::{self, RADIUS};
use super::question::Question;
use super::space::{Slot, Space};

/// How fast a repeated term saturates in BM25 (Robertson, Zaragoza: "The Probabilistic Relevance
/// Framework: BM25 and Beyond", 2009). Below the usual 1.2, as context repeats the terms of a topic.
const BM25_K1: f32 = 0.6;
/// How much BM25 counts the length of a text, 0 to 1: the usual value.
const BM25_B: f32 = 0.75;
/// Vectors of neighbours count up to this distance.
const DENSE_RADIUS: i32 = 3;
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
    pub const ALL: [Self; 9] = [
        Self::Words,
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
/// O(memories * neighbours + postings of the question's terms * neighbours), plus O(words of the space) for
/// each word of the question that the space does not know.
pub fn score(space: &Space, question: &Question, similarities: &[f32]) -> Vec<Option<Parts>> {
    let kind = if space.median_words() > REMARK_WORDS_MAX {
        Kind::Notes
    } else {
        Kind::Remarks
    };
    let words = lexical(space, question);
    let most = words.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let similarity = |slot: Slot| similarities.get(slot).copied().unwrap_or(0.0);
    let meaning = Range::of(space.entries().map(|(slot, _)| similarity(slot)));
    let around = around(space, &similarity);
    let meaning_around = Range::of(space.entries().map(|(slot, _)| around[slot]));
    let yes = |fact: bool| f32::from(u8::from(fact));
    let mut parts = vec![None; space.slots()];
    for (slot, entry) in space.entries() {
        let says = |part| match part {
            Part::Words => words[slot] / most,
            Part::Meaning => meaning.place(similarity(slot)),
            Part::MeaningAround => meaning_around.place(around[slot]),
            Part::Author => yes(entry.name().is_some_and(|name| question.names(name))),
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

/// Okapi BM25 in which a memory's count of a term takes shares of its neighbours' counts; by slot. Rarity
/// is told by the memories that have the term themselves.
fn lexical(space: &Space, question: &Question) -> Vec<f32> {
    let memories = space.len() as f32;
    let mean = space.mean_reach().max(f32::MIN_POSITIVE);
    let mut scores = vec![0.0_f32; space.slots()];
    let mut counts = vec![0_u64; space.slots()];
    let mut touched: Vec<Slot> = Vec::new();
    for term in question.terms(space) {
        let postings = space.postings(&term);
        let with_term = postings.len() as f32;
        let rarity = ((memories - with_term + 0.5) / (with_term + 0.5)).ln_1p();
        let mut add = |slot: Slot, units: u64| {
            if counts[slot] == 0 {
                touched.push(slot);
            }
            counts[slot] += units;
        };
        for posting in postings {
            let slot = posting.slot as usize;
            let Some(entry) = space.entry(slot) else {
                continue;
            };
            add(slot, kernel::to_units(1.0, posting.count));
            for (place, other_slot) in space.neighbours(slot) {
                let Some(other) = space.entry(other_slot) else {
                    continue;
                };
                // Seen from the neighbour this memory stands on the other side.
                let share = kernel::share(-place) * entry.gate * other.gate;
                add(other_slot, kernel::to_units(share, posting.count));
            }
        }
        for slot in touched.drain(..) {
            let count = kernel::from_units(std::mem::take(&mut counts[slot]));
            let reach = space
                .entry(slot)
                .map_or(0.0, |entry| kernel::from_units(entry.reach));
            let norm = BM25_K1 * (1.0 - BM25_B + BM25_B * reach / mean);
            scores[slot] += rarity * count * (BM25_K1 + 1.0) / (count + norm);
        }
    }
    scores
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
