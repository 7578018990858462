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
        let least = COSINE_MIN * SCALE * SCALE;
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
    table: OnceLock<WordTable>,
    kept: RwLock<HashMap<String, Arc<[NearWord]>>>,
}

/// A word with how near it is.
type NearWord = (i32, Box<str>);

impl NearWords {
    /// The words near a word, nearest first, of equal ones by name, each with how near it is.
    /// O(words of the model * dimensions) the first time.
    pub(super) fn near(&self, word: &str, vocabulary: &dyn Vocabulary) -> Arc<[NearWord]> {
        if let Some(near) = self
            .kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(word)
        {
            return near.clone();
        }
        let table = self.table.get_or_init(|| {
            let words: Vec<Box<str>> = vocabulary
                .words()
                .iter()
                .map(|word| word.as_str().into())
                .collect();
            let mut table = WordTable::default();
            table.learn(&words, vocabulary);
            table
        });
        let near = table
            .near(word, vocabulary, KEPT_NEAR_MAX, |_| true)
            .into_iter();
        let near: Arc<[NearWord]> = near
            .map(|(nearness, word)| (nearness, word.into()))
            .collect();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_WORDS_MAX {
            kept.clear();
        }
        kept.insert(word.to_owned(), near.clone());
        near
    }
}

/// The row of a word, if it is one that may have near words.
fn row_of(word: &str, vocabulary: &dyn Vocabulary) -> Option<Vec<i8>> {
    let is_plain = word.chars().all(char::is_alphabetic) && !analysis::is_stop_word(word);
    if !is_plain || word.chars().nth(CHARS_MIN - 1).is_none() {
        return None;
    }
    let vector = vocabulary.vector(word)?;
    Some(vector.iter().map(|component| scaled(*component)).collect())
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
    use crate::test_support::doubles::HashEmbedder;

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
