//! What the model knows of single words: its table of word pieces, the first thing that it looks a token up
//! in, read as vectors of words.

use crate::encoder::Encoder;
use crate::model_files::DIMENSIONS;
use crate::tokenizer::Tokenizer;
use std::sync::OnceLock;
use venom_core::Embedding;

/// Shorter words are left out of [`Words::common`] and of the mean, in letters.
const LETTERS_MIN: usize = 4;

/// Least mean length of the pieces of a word that has a vector, in letters. Scripts that the vocabulary has
/// letters of only, like Cyrillic, stay below.
const PIECE_LETTERS_MIN: usize = 2;

/// The whole words of a vocabulary.
pub(crate) struct Words {
    /// Words of a to z of at least [`LETTERS_MIN`] letters. Vocabularies are made commonest first.
    pub(crate) common: Vec<String>,
    /// Their ids.
    ids: Vec<u32>,
    /// The mean of their rows: what all words have in common says nothing about one.
    mean: OnceLock<Vec<f32>>,
}

impl Words {
    /// The words of a vocabulary of one token a line.
    pub(crate) fn new(vocabulary: &str) -> Self {
        let is_word = |token: &str| {
            token.len() >= LETTERS_MIN && token.bytes().all(|byte| byte.is_ascii_lowercase())
        };
        let tokens = vocabulary.lines().zip(0_u32..);
        let words = tokens.filter(|(token, _)| is_word(token));
        let (common, ids) = words.map(|(token, id)| (token.to_owned(), id)).unzip();
        Self {
            common,
            ids,
            mean: OnceLock::new(),
        }
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
        self.of_pieces(&ids, encoder)
    }

    /// The same of the word at a place of [`Words::common`], which is one piece. O(dimensions).
    pub(crate) fn vector_of_place(&self, place: usize, encoder: &Encoder) -> Option<Vec<f32>> {
        self.of_pieces(&[*self.ids.get(place)?], encoder)
    }

    fn of_pieces(&self, ids: &[u32], encoder: &Encoder) -> Option<Vec<f32>> {
        let mean = self.mean.get_or_init(|| mean_row(&self.ids, encoder));
        let mut vector = mean_row(ids, encoder);
        for (component, common) in vector.iter_mut().zip(mean) {
            *component -= common;
        }
        Some(Embedding::normalize(vector)?.as_slice().to_vec())
    }
}

fn mean_row(ids: &[u32], encoder: &Encoder) -> Vec<f32> {
    let mut mean = vec![0.0; DIMENSIONS];
    for id in ids {
        encoder.add_word_row(*id, &mut mean);
    }
    for sum in &mut mean {
        *sum /= ids.len().max(1) as f32;
    }
    mean
}
