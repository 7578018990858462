//! What Venom is compared with, on the same data: the predecessor, plain full text, and both by rank fusion,
//! as most memory servers do it.

use super::super::Outcome;
use super::data::{Question, Turn};
use super::{Asked, System};
use snowball_stemmers_rs::{Algorithm, Stemmer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;
use venom_core::embedding::dot;
use venom_core::ports::Embedder;
use venom_core::{Embedding, Origin, Passage, Speaker, Timestamp};
use venom_embed::MiniLm;

/// Results of each list that rank fusion joins, and the constant it adds to ranks (Cormack, Clarke, Büttcher:
/// "Reciprocal Rank Fusion outperforms Condorcet", 2009).
const FUSED_MAX: usize = 100;
const RANK_CONSTANT: f32 = 60.0;
/// The usual constants of Okapi BM25.
const K1: f32 = 1.2;
const B: f32 = 0.75;
/// Results of a question.
const RESULTS: usize = 20;
/// Texts embedded at a time.
const BATCH: usize = 64;

/// How a baseline finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The nearest vectors of the bare texts.
    Predecessor,
    /// BM25 over date, speaker and text, words stemmed.
    Bm25,
    /// BM25 and the nearest vectors of "speaker: text" by reciprocal rank fusion.
    Hybrid,
}

/// A baseline with the conversations in it.
pub(super) struct Baseline {
    kind: Kind,
    model: MiniLm,
    merge: bool,
    spaces: HashMap<String, Space>,
}

#[derive(Default)]
struct Space {
    names: Vec<(String, String)>,
    passages: Vec<Vec<Passage>>,
    words: FullText,
}

impl Baseline {
    pub(super) fn new(kind: Kind, model: MiniLm, merge: bool, turns: &[Turn]) -> Outcome<Self> {
        let mut spaces: HashMap<String, Space> = HashMap::new();
        for batch in turns.chunks(BATCH) {
            let texts: Vec<String> = batch.iter().map(|turn| embedded(kind, turn)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for (turn, passages) in batch.iter().zip(model.embed_passages(&texts)?) {
                let space = spaces.entry(space_of(&turn.store, merge)).or_default();
                space.names.push((turn.store.clone(), turn.id.clone()));
                space.passages.push(passages);
                space.words.add(&indexed(turn));
            }
        }
        Ok(Self {
            kind,
            model,
            merge,
            spaces,
        })
    }
}

fn space_of(store: &str, merge: bool) -> String {
    if merge {
        String::new()
    } else {
        store.to_owned()
    }
}

fn name(origin: &Origin) -> Option<&str> {
    let speaker = origin.speaker.as_ref().filter(|speaker| !speaker.is_role());
    speaker.map(Speaker::as_str)
}

fn embedded(kind: Kind, turn: &Turn) -> String {
    match name(&turn.origin) {
        Some(name) if kind == Kind::Hybrid => format!("{name}: {}", turn.content),
        _ => turn.content.clone(),
    }
}

fn indexed(turn: &Turn) -> String {
    let day = turn.origin.occurred_at.and_then(Timestamp::day);
    let name = name(&turn.origin).unwrap_or_default();
    format!("{} {name} {}", day.unwrap_or_default(), turn.content)
}

impl System for Baseline {
    fn ask(&self, question: &Question) -> Outcome<Asked> {
        let start = Instant::now();
        let vector = self.model.embed(&[&question.text])?.pop();
        let vector = vector.ok_or("the model returned no vector")?;
        let embedding = start.elapsed();
        let space = self.spaces.get(&space_of(&question.store, self.merge));
        let space = space.ok_or("a question about no conversation")?;
        let ranked = match self.kind {
            Kind::Predecessor => ranking(&space.cosines(&vector)),
            Kind::Bm25 => ranking(&space.words.scores(&question.text)),
            Kind::Hybrid => {
                let lists = [space.cosines(&vector), space.words.scores(&question.text)];
                fused(&lists.map(|scores| ranking(&scores)))
            }
        };
        let found = ranked.into_iter().take(RESULTS);
        Ok(Asked {
            found: found.map(|at| space.names[at].clone()).collect(),
            time: start.elapsed(),
            embedding,
        })
    }
}

impl Space {
    /// Of each memory the cosine of its best passage.
    fn cosines(&self, query: &Embedding) -> Vec<f32> {
        let cosine = |passage: &Passage| dot(passage.embedding.as_slice(), query.as_slice());
        let best = |passages: &Vec<Passage>| passages.iter().map(cosine).fold(-1.0, f32::max);
        self.passages.iter().map(best).collect()
    }
}

/// Places by score, best first; of equal scores the earlier first.
fn ranking(scores: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    places.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    places
}

/// Reciprocal rank fusion of the first of each list.
fn fused(lists: &[Vec<usize>]) -> Vec<usize> {
    let mut scores: BTreeMap<usize, f32> = BTreeMap::new();
    for list in lists {
        for (rank, place) in list.iter().take(FUSED_MAX).enumerate() {
            *scores.entry(*place).or_default() += 1.0 / (RANK_CONSTANT + rank as f32 + 1.0);
        }
    }
    let mut places: Vec<(usize, f32)> = scores.into_iter().collect();
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    places.into_iter().map(|(place, _)| place).collect()
}

/// An inverted index.
#[derive(Default)]
struct FullText {
    postings: HashMap<String, BTreeMap<usize, f32>>,
    lengths: Vec<f32>,
}

impl FullText {
    fn add(&mut self, text: &str) {
        let words = words(text);
        let place = self.lengths.len();
        self.lengths.push(words.len() as f32);
        for word in words {
            *self
                .postings
                .entry(word)
                .or_default()
                .entry(place)
                .or_default() += 1.0;
        }
    }

    /// Okapi BM25 of each text.
    fn scores(&self, question: &str) -> Vec<f32> {
        let count = self.lengths.len() as f32;
        let mean = self.lengths.iter().sum::<f32>() / count.max(1.0);
        let mut scores = vec![0.0; self.lengths.len()];
        for word in words(question).into_iter().collect::<BTreeSet<_>>() {
            let Some(postings) = self.postings.get(&word) else {
                continue;
            };
            let with_word = postings.len() as f32;
            let rarity = ((count - with_word + 0.5) / (with_word + 0.5)).ln_1p();
            for (place, times) in postings {
                let norm = K1 * (1.0 - B + B * self.lengths[*place] / mean);
                scores[*place] += rarity * times * (K1 + 1.0) / (times + norm);
            }
        }
        scores
    }
}

/// Lower-case words, stemmed.
fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let text = text.to_lowercase().replace('\'', "");
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.map(|word| stemmer.stem(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bm25_is_that_computed_by_hand() {
        let mut index = FullText::default();
        for text in ["green tea", "tea, tea and more tea", "coffee"] {
            index.add(text);
        }
        let scores = index.scores("Teas?");
        // Two of three texts have the word: ln(1 + 1.5 / 2.5). Lengths 2, 5, 1, mean 8/3.
        let rarity = 0.6_f32.ln_1p();
        let expected = |times: f32, length: f32| {
            let norm = 1.2 * (0.25 + 0.75 * length / (8.0 / 3.0));
            rarity * times * 2.2 / (times + norm)
        };
        let expected = [expected(1.0, 2.0), expected(3.0, 5.0), 0.0];
        for (score, expected) in scores.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-6, "{scores:?}");
        }
        assert_eq!(ranking(&scores), [1, 0, 2]);
    }

    #[test]
    fn what_both_lists_have_comes_first() {
        assert_eq!(fused(&[vec![1, 2, 3], vec![4, 2, 5]])[0], 2);
        assert_eq!(fused(&[vec![7], vec![]]), [7]);
    }
}
