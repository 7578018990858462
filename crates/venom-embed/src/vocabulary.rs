//! What the model knows of single words: its table of word pieces, the first thing that it looks a token up
//! in, read as vectors of words.

use crate::encoder::Encoder;
use crate::tokenizer::Tokenizer;
use std::sync::OnceLock;
use venom_core::embedding::dot;

/// Shorter words are left out of [`Words::common`] and of the mean, in letters.
const LETTERS_MIN: usize = 4;

/// Least mean length of the pieces of a word that has a vector, in letters. Scripts that the vocabulary has
/// letters of only, like Cyrillic, stay below.
const PIECE_LETTERS_MIN: usize = 2;

/// The whole words of a vocabulary. They are listed when they are first asked for, not at a start.
#[derive(Default)]
pub(crate) struct Words {
    common: OnceLock<CommonWords>,
    /// The mean of their rows: what all words have in common says nothing about one.
    mean: OnceLock<Vec<f32>>,
}

/// Words of a to z of at least [`LETTERS_MIN`] letters. Vocabularies are made commonest first.
struct CommonWords {
    words: Vec<String>,
    ids: Vec<u32>,
}

impl Words {
    /// Words of a to z of at least [`LETTERS_MIN`] letters, commonest first.
    pub(crate) fn common(&self, tokenizer: &Tokenizer) -> &[String] {
        &self.list(tokenizer).words
    }

    fn list(&self, tokenizer: &Tokenizer) -> &CommonWords {
        self.common.get_or_init(|| {
            let is_word = |token: &str| {
                token.len() >= LETTERS_MIN && token.bytes().all(|byte| byte.is_ascii_lowercase())
            };
            let tokens = tokenizer.vocabulary().zip(0_u32..);
            let words = tokens.filter(|(token, _)| is_word(token));
            let (words, ids) = words.map(|(token, id)| (token.to_owned(), id)).unzip();
            CommonWords { words, ids }
        })
    }

    /// The mean of a word's rows, less the mean of all words, of unit length. `None` for a word with a part
    /// that the vocabulary has not, and for one that it knows by little more than its letters, as those say
    /// how the word is written and not what it means. O(pieces * dimensions); the first call O(words * dimensions).
    pub(crate) fn vector(
        &self,
        word: &str,
        tokenizer: &Tokenizer,
        encoder: &Encoder,
    ) -> Option<Vec<f32>> {
        let ids = tokenizer.pieces(word)?;
        if word.chars().count() < ids.len() * PIECE_LETTERS_MIN {
            return None;
        }
        self.of_pieces(&ids, tokenizer, encoder)
    }

    /// The same of the word at a place of [`Self::common`], which is one piece. O(dimensions).
    pub(crate) fn vector_of_place(
        &self,
        place: usize,
        tokenizer: &Tokenizer,
        encoder: &Encoder,
    ) -> Option<Vec<f32>> {
        let id = *self.list(tokenizer).ids.get(place)?;
        self.of_pieces(&[id], tokenizer, encoder)
    }

    fn of_pieces(&self, ids: &[u32], tokenizer: &Tokenizer, encoder: &Encoder) -> Option<Vec<f32>> {
        let mean = self
            .mean
            .get_or_init(|| mean_row(&self.list(tokenizer).ids, encoder));
        let mut vector = mean_row(ids, encoder);
        for (component, common) in vector.iter_mut().zip(mean) {
            *component -= common;
        }
        // All words of a vocabulary are made unit vectors at the start of a large space: not by doubles and divisions.
        let length = dot(&vector, &vector).sqrt();
        let is_vector = length.is_finite() && length > f32::EPSILON;
        is_vector.then(|| {
            let scale = 1.0 / length;
            for component in &mut vector {
                *component *= scale;
            }
            vector
        })
    }
}

fn mean_row(ids: &[u32], encoder: &Encoder) -> Vec<f32> {
    let mut mean = vec![0.0; encoder.width()];
    for id in ids {
        encoder.add_word_row(*id, &mut mean);
    }
    if ids.len() > 1 {
        let share = 1.0 / ids.len() as f32;
        for sum in &mut mean {
            *sum *= share;
        }
    }
    mean
}
