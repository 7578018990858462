//! The recipe: one score per memory from what words, vectors and the memory itself say.

use super::kernel::{self, RADIUS};
use super::question::{Question, Sought};
use super::section::{Corpus, Facts, Section, Term, neighbours};
use super::space::Slot;
use crate::ports::Vocabulary;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

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
const STATEMENT_TERMS_MAX: u16 = 20;
/// Only shorter memories are judged by whether they tell a time, in terms.
const TIME_TERMS_MAX: u16 = 40;
/// Memories of a space with a larger median are notes, not remarks, in words.
const REMARK_WORDS_MAX: u32 = 40;

/// Most postings that are read for a question, each with its neighbours.
const POSTINGS_MAX: usize = 20_000;

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

/// The parts of the score of every memory, by section and slot; `None` in empty slots. `similarities` are the cosines
/// of question and memory in the same order, those of empty slots are not read.
///
/// O(memories * neighbours + postings of the question's terms * neighbours + words of the question * words of
/// the space).
pub fn score(
    corpus: Corpus<'_>,
    question: &Question,
    vocabulary: &dyn Vocabulary,
    similarities: &[&[f32]],
) -> Vec<Vec<Option<Parts>>> {
    let scopes: Vec<Scope<'_>> = similarities.iter().map(|all| Scope::All(all)).collect();
    let scored = Asked::new(corpus, question, vocabulary).parts(&scopes);
    let by_slot = |(section, scored): (&&dyn Section, Vec<(Slot, Parts)>)| {
        let mut parts = vec![None; section.facts().len()];
        for (slot, of_slot) in scored {
            parts[slot] = Some(of_slot);
        }
        parts
    };
    corpus.sections.iter().zip(scored).map(by_slot).collect()
}

/// What is scored of a section, with the cosines of question and memory.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Every memory; cosines by slot, those of empty slots are not read.
    All(&'a [f32]),
    /// Some of a large section.
    Some(&'a Candidates),
}

impl Scope<'_> {
    /// The cosine of the memory in a slot; 0 for one that is not there.
    fn similarity(&self, slot: Slot) -> f32 {
        match self {
            Self::All(similarity) => similarity.get(slot).copied().unwrap_or(0.0),
            Self::Some(candidates) => candidates.similarity(slot),
        }
    }
}

/// Memories of a large section that may be what is sought.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// Increasing.
    slots: Vec<Slot>,
    similarity: HashMap<Slot, f32>,
}

impl Candidates {
    /// The memories in these slots of a section, each once and increasing.
    pub fn new(slots: BTreeSet<Slot>) -> Self {
        Self {
            slots: slots.into_iter().collect(),
            similarity: HashMap::new(),
        }
    }

    /// The slots whose cosines a score of these memories needs, increasing: they and their neighbours.
    pub fn needed(&self, section: &dyn Section) -> Vec<Slot> {
        let facts = section.facts();
        let near = |slot: &Slot| {
            let near = neighbours(facts, *slot).filter(|(place, _)| place.abs() <= DENSE_RADIUS);
            near.map(|(_, other)| other)
                .chain([*slot])
                .collect::<Vec<_>>()
        };
        let needed: BTreeSet<Slot> = self.slots.iter().flat_map(near).collect();
        needed
            .into_iter()
            .filter(|slot| facts.get(*slot).is_some_and(|facts| facts.live))
            .collect()
    }

    /// The cosine of the memory in a slot; 0 for one that was not told.
    pub fn similarity(&self, slot: Slot) -> f32 {
        self.similarity.get(&slot).copied().unwrap_or(0.0)
    }

    /// Tells the cosine of the memory in a slot.
    pub fn tell(&mut self, slot: Slot, similarity: f32) {
        self.similarity.insert(slot, similarity);
    }
}

/// A question put to a space, with what its words say of every memory.
#[derive(Debug)]
pub struct Asked<'a> {
    corpus: Corpus<'a>,
    question: &'a Question,
    kind: Kind,
    sought: Vec<Sought>,
    /// By section.
    words: Vec<Words>,
    most_words: f32,
}

/// What words say of the memories of a section.
#[derive(Debug)]
struct Words {
    /// By slot.
    scores: Vec<f32>,
    /// The slots whose memory or neighbours have a word, in any order.
    touched: Vec<Slot>,
    /// The highest score.
    most: f32,
}

impl<'a> Asked<'a> {
    /// Looks the words of a question up. O(postings of its terms * neighbours + its words * words of the space); of
    /// a large space only so many postings are read that it takes some milliseconds at most.
    pub fn new(corpus: Corpus<'a>, question: &'a Question, vocabulary: &dyn Vocabulary) -> Self {
        let kind = if corpus.median_words() > REMARK_WORDS_MAX {
            Kind::Notes
        } else {
            Kind::Remarks
        };
        let sought = question.terms(corpus, vocabulary);
        let units = affordable(units(corpus, &sought));
        let mean_reach = corpus.mean_reach();
        let sections = corpus.sections.iter().enumerate();
        let words = sections.map(|(number, section)| lexical(*section, number, &units, mean_reach));
        let words: Vec<Words> = words.collect();
        let most = words.iter().map(|words| words.most);
        let most_words = most.fold(f32::MIN_POSITIVE, f32::max);
        Self {
            corpus,
            question,
            kind,
            sought,
            words,
            most_words,
        }
    }

    /// The `count` memories that words speak for most, of those that count, by number of section and slot.
    pub fn best_by_words(
        &self,
        count: usize,
        counts: impl Fn(usize, Slot) -> bool,
    ) -> Vec<(usize, Slot)> {
        let better = |a: &(f32, usize, Slot), b: &(f32, usize, Slot)| {
            b.0.total_cmp(&a.0).then((b.1, b.2).cmp(&(a.1, a.2)))
        };
        let mut best: Vec<(f32, usize, Slot)> = Vec::new();
        let mut least = 0.0;
        let cut = |best: &mut Vec<(f32, usize, Slot)>, least: &mut f32| {
            if count > 0 && best.len() > count {
                best.select_nth_unstable_by(count - 1, better);
                best.truncate(count);
                *least = best[count - 1].0;
            }
        };
        for (number, words) in self.words.iter().enumerate() {
            for slot in words.touched.iter().copied() {
                let score = words.scores[slot];
                if score >= least && counts(number, slot) {
                    best.push((score, number, slot));
                    if best.len() >= 2 * count {
                        cut(&mut best, &mut least);
                    }
                }
            }
        }
        cut(&mut best, &mut least);
        best.into_iter()
            .map(|(_, number, slot)| (number, slot))
            .collect()
    }

    /// The parts of the scores of the memories in scope, by section, each with its slot, increasing.
    /// O(memories in scope * neighbours + postings of the question's terms).
    pub fn parts(&self, scopes: &[Scope<'_>]) -> Vec<Vec<(Slot, Parts)>> {
        let sections = self.corpus.sections.iter().enumerate().zip(scopes);
        let said = sections.map(|((number, section), scope)| self.said(number, *section, *scope));
        let said: Vec<Said> = said.collect();
        let pairs = said.iter().flat_map(|said| said.pairs.values().copied());
        let most_pairs = pairs.fold(f32::MIN_POSITIVE, f32::max);
        let range = |of: fn(&Said) -> &[f32]| {
            Range::of(said.iter().flat_map(|said| of(said).iter().copied()))
        };
        let (meaning, meaning_around) =
            (range(|said| &said.similarity), range(|said| &said.around));
        let parts_of = |(number, said): (usize, Said)| {
            let section = self.corpus.sections[number];
            let names = section.names().into_iter();
            let authors: BTreeSet<&str> = names.filter(|name| self.question.names(name)).collect();
            let by_words = &self.words[number].scores;
            let of_slot = |(at, slot): (usize, &Slot)| {
                let facts = section.facts()[*slot];
                let says = |part| match part {
                    Part::Words => by_words[*slot] / self.most_words,
                    Part::Pairs => said.pairs.get(slot).map_or(0.0, |pairs| pairs / most_pairs),
                    Part::Phrase => yes(said.phrase.contains(slot)),
                    Part::Meaning => meaning.place(said.similarity[at]),
                    Part::MeaningAround => meaning_around.place(said.around[at]),
                    Part::Author if authors.is_empty() => 0.0,
                    Part::Author => yes(section
                        .name(*slot)
                        .is_some_and(|name| authors.contains(name))),
                    _ => self.of_itself(part, facts),
                };
                (*slot, Parts::weigh(self.kind, says))
            };
            said.slots.iter().enumerate().map(of_slot).collect()
        };
        said.into_iter().enumerate().map(parts_of).collect()
    }

    /// What a part says that only the memory itself decides, 0 to 1.
    fn of_itself(&self, part: Part, facts: Facts) -> f32 {
        match part {
            Part::Length => (f32::from(facts.length) / LENGTH_TERMS).min(1.0),
            Part::Statement if facts.length >= STATEMENT_TERMS_MAX => 1.0,
            Part::Statement => f32::from(facts.statement) / 255.0,
            Part::TellsTime => {
                yes(self.question.asks_time && facts.tells_time && facts.length < TIME_TERMS_MAX)
            }
            Part::NamedTime => self.question.named_time.of_month(facts.month()),
            Part::User => yes(facts.by_user),
            _ => 0.0,
        }
    }

    /// What is known of the memories in scope of a section before they are compared with those of others.
    fn said(&self, number: usize, section: &dyn Section, scope: Scope<'_>) -> Said {
        let facts = section.facts();
        let slots: Vec<Slot> = match scope {
            Scope::All(_) => live(facts).map(|(slot, _)| slot).collect(),
            Scope::Some(candidates) => {
                let slots = candidates.slots.iter().copied();
                slots
                    .filter(|slot| facts.get(*slot).is_some_and(|facts| facts.live))
                    .collect()
            }
        };
        let lists = match scope {
            Scope::All(_) => Lists::All(section),
            // There are neither pairs nor a phrase.
            Scope::Some(_) if self.sought.len() < 2 => Lists::Some(Vec::new()),
            Scope::Some(_) => {
                Lists::Some(slots.iter().copied().zip(section.lists(&slots)).collect())
            }
        };
        Said {
            pairs: pairs((section, number), self.corpus, &self.sought, &lists),
            phrase: quoted((section, number), &self.sought, &lists),
            around: slots
                .iter()
                .map(|slot| around(facts, scope, *slot))
                .collect(),
            similarity: slots.iter().map(|slot| scope.similarity(*slot)).collect(),
            slots,
        }
    }
}

/// The terms of the memories in scope of a section.
enum Lists<'a> {
    All(&'a dyn Section),
    /// Read once, as they may have to come from a disk.
    Some(Vec<(Slot, Cow<'a, [u32]>)>),
}

impl Lists<'_> {
    /// Tells each memory in scope that has a term, with its terms, by increasing slot.
    fn each_with(&self, term: u32, each: &mut dyn FnMut(Slot, &[u32])) {
        match self {
            Self::All(section) => {
                section.each_with(term, &mut |slot, _| each(slot, &section.terms(slot)));
            }
            Self::Some(lists) => {
                for (slot, terms) in lists.iter().filter(|(_, terms)| terms.contains(&term)) {
                    each(*slot, terms);
                }
            }
        }
    }
}

/// What words and vectors say of the memories in scope of a section.
struct Said {
    slots: Vec<Slot>,
    pairs: HashMap<Slot, f32>,
    phrase: BTreeSet<Slot>,
    /// In the order of `slots`.
    around: Vec<f32>,
    /// In the order of `slots`.
    similarity: Vec<f32>,
}

fn yes(fact: bool) -> f32 {
    f32::from(u8::from(fact))
}

/// The slots with a memory.
fn live(facts: &[Facts]) -> impl Iterator<Item = (Slot, &Facts)> {
    facts.iter().enumerate().filter(|(_, facts)| facts.live)
}

/// Okapi BM25 in which a memory's count of a term takes shares of its neighbours' counts, and of the counts of
/// terms that mean something near; by slot. Rarity is told by the memories that have the term themselves.
fn lexical(section: &dyn Section, number: usize, units: &[Unit<'_>], mean_reach: f32) -> Words {
    let facts = section.facts();
    let mean = mean_reach.max(f32::MIN_POSITIVE);
    let mut words = Words {
        scores: vec![0.0; facts.len()],
        touched: Vec::new(),
        most: 0.0,
    };
    let mut counts = Counts::new(facts.len());
    for Unit { rarity, terms } in units {
        for (term, share) in terms {
            if let Some(term) = term.numbers[number] {
                counts.add(section, term, *share);
            }
        }
        for slot in counts.touched.drain(..) {
            let count = kernel::from_units(u64::from(std::mem::take(&mut counts.units[slot])));
            if !facts[slot].live {
                continue;
            }
            let reach = kernel::from_units(u64::from(facts[slot].reach));
            let norm = BM25_K1 * (1.0 - BM25_B + BM25_B * reach / mean);
            if words.scores[slot] == 0.0 {
                words.touched.push(slot);
            }
            words.scores[slot] += rarity * count * (BM25_K1 + 1.0) / (count + norm);
            words.most = words.most.max(words.scores[slot]);
        }
    }
    words
}

/// The units that may be looked up, in the order they came: the rarest first until so many postings are read, at
/// least one. Common words cost most and tell least. Of a unit that does not fit whole its own term does perhaps.
fn affordable(units: Vec<Unit<'_>>) -> Vec<Unit<'_>> {
    let mut room = POSTINGS_MAX;
    let mut units: Vec<Option<Unit<'_>>> = units.into_iter().map(Some).collect();
    let rarity = |unit: &Option<Unit<'_>>| unit.as_ref().map_or(0.0, |unit| unit.rarity);
    let mut by_rarity: Vec<usize> = (0..units.len()).collect();
    by_rarity.sort_by(|a, b| {
        rarity(&units[*b])
            .total_cmp(&rarity(&units[*a]))
            .then(a.cmp(b))
    });
    for (order, at) in by_rarity.into_iter().enumerate() {
        units[at] = units[at].take().and_then(|mut unit| {
            let postings = |unit: &Unit<'_>| {
                unit.terms
                    .iter()
                    .map(|(term, _)| term.memories)
                    .sum::<usize>()
            };
            if postings(&unit) > room {
                // The own term comes first.
                unit.terms.truncate(1);
            }
            let fits = postings(&unit) <= room || order == 0;
            room = room.saturating_sub(postings(&unit));
            fits.then_some(unit)
        });
    }
    units.into_iter().flatten().collect()
}

/// Terms that are counted together.
#[derive(Debug)]
struct Unit<'a> {
    /// How much they tell.
    rarity: f32,
    /// Each with the share that it counts.
    terms: Vec<(&'a Term, f32)>,
}

/// What is counted together: each different term of the question with those near it. The near ones of a word that no
/// memory has stand for themselves, as rare as the rarest.
fn units<'a>(corpus: Corpus<'_>, sought: &'a [Sought]) -> Vec<Unit<'a>> {
    let mut units: BTreeMap<&str, Unit<'_>> = BTreeMap::new();
    let mut unknown: BTreeMap<Vec<&str>, Unit<'_>> = BTreeMap::new();
    for word in sought {
        let near = word.near.iter().map(|term| (term, NEAR_SHARE));
        for term in &word.own {
            let unit = Unit {
                rarity: rarity(corpus, term),
                terms: [(term, 1.0)].into_iter().chain(near.clone()).collect(),
            };
            units.insert(&term.name, unit);
        }
        if word.own.is_empty() && !word.near.is_empty() {
            let rarities = word.near.iter().map(|term| rarity(corpus, term));
            let names = word.near.iter().map(|term| term.name.as_str());
            let unit = Unit {
                rarity: rarities.fold(0.0, f32::max),
                terms: near.collect(),
            };
            unknown.insert(names.collect(), unit);
        }
    }
    units.into_values().chain(unknown.into_values()).collect()
}

/// Counts of what is being looked for, by slot.
struct Counts {
    units: Vec<u32>,
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
    fn add(&mut self, section: &dyn Section, term: u32, share: f32) {
        let facts = section.facts();
        section.each_with(term, &mut |slot, count| {
            let share_given = share * facts[slot].gate();
            self.add_units(slot, kernel::to_units(share, count));
            for (place, other) in neighbours(facts, slot) {
                // Seen from the neighbour this memory stands on the other side.
                let share = share_given * kernel::share(-place) * facts[other].gate();
                self.add_units(other, kernel::to_units(share, count));
            }
        });
    }

    fn add_units(&mut self, slot: Slot, units: u32) {
        if units == 0 {
            return;
        }
        let sum = &mut self.units[slot];
        if *sum == 0 {
            self.touched.push(slot);
        }
        *sum = sum.saturating_add(units);
    }
}

/// How much a term tells: more, the fewer memories have it.
fn rarity(corpus: Corpus<'_>, term: &Term) -> f32 {
    let with_term = term.memories as f32;
    ((corpus.memories() as f32 - with_term + 0.5) / (with_term + 0.5)).ln_1p()
}

/// Sum over words that follow each other in the question of how much they tell, where they are within
/// [`PAIR_TERMS_MAX`] of each other in the memory; of the memories in scope, by slot.
fn pairs(
    (section, number): (&dyn Section, usize),
    corpus: Corpus<'_>,
    sought: &[Sought],
    lists: &Lists<'_>,
) -> HashMap<Slot, f32> {
    let mut scores = HashMap::new();
    let mut seen = BTreeSet::new();
    for two in sought.windows(2) {
        let both = two[0]
            .own
            .iter()
            .flat_map(|a| two[1].own.iter().map(move |b| (a, b)));
        for (a, b) in both {
            if a.name == b.name || !seen.insert((&a.name, &b.name)) {
                continue;
            }
            let (Some(one), Some(other)) = (a.numbers[number], b.numbers[number]) else {
                continue;
            };
            let rarer = if section.memories_with(one) < section.memories_with(other) {
                one
            } else {
                other
            };
            let tells = f32::midpoint(rarity(corpus, a), rarity(corpus, b));
            lists.each_with(rarer, &mut |slot, terms| {
                if are_close(terms, one, other) {
                    *scores.entry(slot).or_insert(0.0) += tells;
                }
            });
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

/// The memories in scope that have all words of the question, stop words left out, in one stretch. A single word is
/// no quotation.
fn quoted(
    (section, number): (&dyn Section, usize),
    sought: &[Sought],
    lists: &Lists<'_>,
) -> BTreeSet<Slot> {
    let own = |word: &Sought| -> Vec<u32> {
        let numbers = word.own.iter().filter_map(|term| term.numbers[number]);
        numbers.collect()
    };
    let wanted: Vec<Vec<u32>> = sought.iter().map(own).collect();
    let rarest = wanted.iter().min_by_key(|terms| {
        let memories = terms.iter().map(|term| section.memories_with(*term));
        memories.sum::<usize>()
    });
    let mut quoted = BTreeSet::new();
    let Some(rarest) = rarest.filter(|_| wanted.len() > 1) else {
        return quoted;
    };
    for term in rarest {
        lists.each_with(*term, &mut |slot, terms| {
            let has_phrase = terms.windows(wanted.len()).any(|stretch| {
                let mut pairs = stretch.iter().zip(&wanted);
                pairs.all(|(found, wanted)| wanted.contains(found))
            });
            if has_phrase {
                quoted.insert(slot);
            }
        });
    }
    quoted
}

/// A memory's similarity averaged with its neighbours', by their shares.
fn around(facts: &[Facts], scope: Scope<'_>, slot: Slot) -> f32 {
    let own = facts[slot];
    let (mut sum, mut weight) = (scope.similarity(slot), 1.0);
    let near = neighbours(facts, slot).filter(|(place, _)| place.abs() <= DENSE_RADIUS);
    for (place, other) in near.filter(|(_, other)| facts[*other].live) {
        let share = kernel::share(place) * own.gate() * facts[other].gate();
        sum += share * scope.similarity(other);
        weight += share;
    }
    sum / weight
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
    use super::super::space::{NewEntry, Space};
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

    /// The parts of a space in one section.
    fn score_alone(
        space: &Space,
        question: &str,
        vocabulary: &dyn Vocabulary,
        similarities: &[f32],
    ) -> Vec<Option<Parts>> {
        let sections: [&dyn Section; 1] = [space];
        let corpus = Corpus::new(&sections);
        let question = Question::new(question);
        let [parts] = score(corpus, &question, vocabulary, &[similarities])
            .try_into()
            .expect("one section");
        parts
    }

    /// Slots by score, best first; of equal score the later first.
    fn ranked(space: &Space, question: &str, similarities: &[f32]) -> Vec<Slot> {
        let parts = score_alone(space, question, &NoVocabulary, similarities);
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
            let parts = score_alone(&space, question, &HashEmbedder::new(), &[0.0; 3]);
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
                let all = ranked(space, "walnut", &vec![0.0; space.facts().len()]);
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
