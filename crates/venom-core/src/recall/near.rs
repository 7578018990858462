//! Which words of a space mean something near a word, by the model's own table of word pieces. No text is
//! read by the model for this.

use super::analysis;
use crate::ports::Vocabulary;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Least cosine of near words. Between 0.45 and 0.55 the measurement is the same.
const COSINE_MIN: f32 = 0.5;
/// Most near words of a word.
pub(super) const NEAR_MAX: usize = 8;
/// Shorter words have no near words, in characters.
const CHARS_MIN: usize = 3;
/// Near words that are kept of a word: a space has only some of them.
const KEPT_NEAR_MAX: usize = 64;
/// Most words whose near ones are kept.
const KEPT_WORDS_MAX: usize = 10_000;
/// One, in components of a row: vectors of unit length fit a byte.
const SCALE: f32 = 127.0;

/// The vectors of the words of a space, made when they are first needed.
#[derive(Debug, Default)]
pub(super) struct WordTable {
    /// In the order of the rows; a word that has gone may stay until the space is compacted.
    words: Vec<Box<str>>,
    /// `[words, dimensions]`, components times [`SCALE`].
    rows: Vec<i8>,
    /// How many of the space's new words were looked at.
    learned: usize,
}

impl WordTable {
    /// Whether all words that came so far are in it.
    pub(super) const fn knows(&self, seen: &[Box<str>]) -> bool {
        self.learned == seen.len()
    }

    /// Takes in the words that came since. O(new words * dimensions).
    pub(super) fn learn(&mut self, seen: &[Box<str>], vocabulary: &dyn Vocabulary) {
        for word in &seen[self.learned..] {
            if let Some(row) = row_of(word, vocabulary) {
                self.words.push(word.clone());
                self.rows.extend(row);
            }
        }
        self.learned = seen.len();
    }

    /// The `most` words nearest to a word that `is_there`, nearest first, of equal ones by name, each with its cosine times the
    /// square of [`SCALE`]; itself is not among them. O(words * dimensions).
    pub(super) fn near(
        &self,
        word: &str,
        vocabulary: &dyn Vocabulary,
        most: usize,
        is_there: impl Fn(&str) -> bool,
    ) -> Vec<(i32, &str)> {
        let Some(query) = row_of(word, vocabulary) else {
            return Vec::new();
        };
        let rows = self.words.iter().zip(self.rows.chunks_exact(query.len()));
        let least = least_cosine();
        let mut near = BTreeSet::new();
        for (known, row) in rows {
            let cosine = dot(row, &query);
            if cosine as f32 >= least && **known != *word {
                near.insert((Reverse(cosine), known.as_ref()));
            }
        }
        near.into_iter()
            .filter(|(_, known)| is_there(known))
            .take(most)
            .map(|(Reverse(cosine), known)| (cosine, known))
            .collect()
    }
}

/// The words that a model knows as a whole, with what is near each: for sections that are too large to compare every
/// word of theirs. Those near a word are sought once and kept.
#[derive(Debug, Default)]
pub struct NearWords {
    signs: OnceLock<WordSigns>,
    kept: RwLock<HashMap<String, Arc<[NearWord]>>>,
}

/// A word with how near it is.
type NearWord = (i32, Box<str>);

impl NearWords {
    /// Does what the first question for near words would wait for. O(words of the model * dimensions).
    pub fn prepare(&self, vocabulary: &dyn Vocabulary) {
        self.signs.get_or_init(|| WordSigns::new(vocabulary));
    }

    /// The words near a word, nearest first, of equal ones by name, each with how near it is.
    /// O(words of the model * dimensions) the first time, then as much by 64 the first time for each word.
    pub(super) fn near(&self, word: &str, vocabulary: &dyn Vocabulary) -> Arc<[NearWord]> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(near) = kept.get(word) {
            return near.clone();
        }
        drop(kept);
        let signs = self.signs.get_or_init(|| WordSigns::new(vocabulary));
        let near: Arc<[NearWord]> = signs.near(word, vocabulary).into();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_WORDS_MAX {
            kept.clear();
        }
        kept.insert(word.to_owned(), near.clone());
        near
    }
}

/// The signs of the components of each word that a model knows as a whole. Two vectors differ in so large a share of
/// them as the angle between them is of half a turn (Charikar: "Similarity estimation techniques from rounding
/// algorithms", 2002): the few words that can be near are found without a look at the others' vectors.
#[derive(Debug, Default)]
struct WordSigns {
    /// Places in the vocabulary of the words that have a row.
    places: Vec<usize>,
    /// `[places, words of 64 signs]`.
    signs: Vec<u64>,
}

impl WordSigns {
    /// O(words of the model * dimensions).
    fn new(vocabulary: &dyn Vocabulary) -> Self {
        let mut all = Self::default();
        for (place, word) in vocabulary.words().iter().enumerate() {
            let vector = may_have_near(word).then(|| vocabulary.vector_of_place(place));
            if let Some(vector) = vector.flatten() {
                all.places.push(place);
                all.signs.extend(signs(&vector));
            }
        }
        all
    }

    /// The words near a word, nearest first, of equal ones by name. O(words of the model * dimensions / 64).
    fn near(&self, word: &str, vocabulary: &dyn Vocabulary) -> Vec<NearWord> {
        let Some(vector) = vector_of(word, vocabulary) else {
            return Vec::new();
        };
        let (query, query_signs) = (row(&vector), signs(&vector).collect::<Vec<u64>>());
        let different = |signs: &[u64]| -> u32 {
            let pairs = signs.iter().zip(&query_signs);
            pairs.map(|(a, b)| (a ^ b).count_ones()).sum()
        };
        let rows = self.signs.chunks_exact(query_signs.len());
        let most = different_max(query.len());
        let alike = self
            .places
            .iter()
            .zip(rows)
            .filter(|(_, signs)| different(signs) as f32 <= most);
        let cosine = |(place, _): (&usize, _)| {
            let other = vocabulary.words()[*place].as_str();
            let cosine = dot(&row(&vocabulary.vector_of_place(*place)?), &query);
            (cosine as f32 >= least_cosine() && other != word)
                .then(|| (Reverse(cosine), Box::from(other)))
        };
        let near: BTreeSet<(Reverse<i32>, Box<str>)> = alike.filter_map(cosine).collect();
        let near = near.into_iter().take(KEPT_NEAR_MAX);
        near.map(|(Reverse(cosine), word)| (cosine, word)).collect()
    }
}

/// In how many signs near words differ at most: a third of them, as an angle of 60 degrees means, and three times the
/// deviation of that. Of 2,146 near words of 1,500 words none differed in more.
fn different_max(dimensions: usize) -> f32 {
    let dimensions = dimensions as f32;
    dimensions / 3.0 + 3.0 * (dimensions * 2.0 / 9.0).sqrt()
}

/// The signs of components, 64 to a word.
fn signs(vector: &[f32]) -> impl Iterator<Item = u64> {
    vector.chunks(64).map(|part| {
        let signs = part.iter().rev();
        signs.fold(0, |bits, component| bits << 1 | u64::from(*component > 0.0))
    })
}

/// The least dot product of rows of near words.
const fn least_cosine() -> f32 {
    COSINE_MIN * SCALE * SCALE
}

/// The row of a word, if it is one that may have near words.
fn row_of(word: &str, vocabulary: &dyn Vocabulary) -> Option<Vec<i8>> {
    Some(row(&vector_of(word, vocabulary)?))
}

/// The vector of a word, if it is one that may have near words.
fn vector_of(word: &str, vocabulary: &dyn Vocabulary) -> Option<Vec<f32>> {
    may_have_near(word)
        .then(|| vocabulary.vector(word))
        .flatten()
}

fn row(vector: &[f32]) -> Vec<i8> {
    vector.iter().map(|component| scaled(*component)).collect()
}

fn may_have_near(word: &str) -> bool {
    word.chars().all(char::is_alphabetic)
        && !analysis::is_stop_word(word)
        && word.chars().nth(CHARS_MIN - 1).is_some()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a component of a unit vector is -1 to 1: -127 to 127, and the cast saturates"
)]
fn scaled(component: f32) -> i8 {
    (component * SCALE).round() as i8
}

fn dot(a: &[i8], b: &[i8]) -> i32 {
    let products = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b));
    products.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Embedding;
    use crate::test_support::doubles::HashEmbedder;
    use crate::test_support::samples::Rng;

    /// Words of 384 components in topics of eight.
    struct Topics(Vec<String>, Vec<Vec<f32>>);

    impl Topics {
        fn new() -> Self {
            let mut rng = Rng::new(7);
            let mut some = |of: &[f32], scale: f32| -> Vec<f32> {
                let noise = of
                    .iter()
                    .map(|x| x + scale * (rng.below(2_001) as f32 / 1e3 - 1.0));
                noise.collect()
            };
            let topics: Vec<Vec<f32>> = (0..25).map(|_| some(&[0.0; 384], 1.0)).collect();
            let vector = |at: usize| some(&topics[at / 8], (at % 8) as f32 / 4.0);
            let vectors = (0..200).map(vector).collect();
            let names = (0..200).map(|at| {
                let letter = |number: usize| char::from(b'a' + u8::try_from(number).unwrap());
                format!("word{}{}", letter(at / 8), letter(at % 8))
            });
            Self(names.collect(), vectors)
        }
    }

    impl Vocabulary for Topics {
        fn vector(&self, word: &str) -> Option<Vec<f32>> {
            let at = self.0.iter().position(|other| other == word)?;
            let vector = Embedding::normalize(self.1[at].clone())?;
            Some(vector.as_slice().to_vec())
        }

        fn words(&self) -> &[String] {
            &self.0
        }

        fn has_word(&self, word: &str) -> bool {
            self.0.iter().any(|other| other == word)
        }
    }

    #[test]
    fn words_alike_in_signs_are_those_that_are_near() {
        let vocabulary = Topics::new();
        let words: Vec<Box<str>> = vocabulary
            .0
            .iter()
            .map(|word| word.as_str().into())
            .collect();
        let mut table = WordTable::default();
        table.learn(&words, &vocabulary);
        let near = NearWords::default();
        let mut found = 0;
        for word in &vocabulary.0 {
            let expected = table.near(word, &vocabulary, KEPT_NEAR_MAX, |_| true);
            let expected = expected.into_iter().map(|(near, word)| (near, word.into()));
            let expected: Vec<NearWord> = expected.collect();
            assert_eq!(*near.near(word, &vocabulary), *expected, "{word}");
            assert_eq!(near.near(word, &vocabulary).len(), expected.len());
            found += expected.len();
        }
        assert!((400..1_400).contains(&found), "{found}");
        assert!(near.near("violin", &vocabulary).is_empty());
    }

    #[test]
    fn near_words_are_those_that_are_there_and_not_the_word_itself() {
        let vocabulary = HashEmbedder::new();
        let seen: Vec<Box<str>> = ["walnut", "walnuts", "wall", "the", "4711", "boat"]
            .map(Box::from)
            .into();
        let mut table = WordTable::default();
        assert!(!table.knows(&seen));
        table.learn(&seen[..3], &vocabulary);
        table.learn(&seen, &vocabulary);
        assert!(table.knows(&seen));
        let near = |table: &WordTable, word: &str, is_there: &dyn Fn(&str) -> bool| {
            let near = table
                .near(word, &vocabulary, NEAR_MAX, is_there)
                .into_iter();
            near.map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(near(&table, "walnut", &|_| true), ["walnuts", "wall"]);
        assert_eq!(near(&table, "walnut", &|word| word == "wall"), ["wall"]);
        assert_eq!(near(&table, "the", &|_| true), [""; 0]);
        assert_eq!(near(&WordTable::default(), "walnut", &|_| true), [""; 0]);
    }
}
