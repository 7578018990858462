//! Text to token ids: lower-cased WordPiece with accents stripped, as the model was trained with.
//!
//! The `tokenizers` crate does the work, put together here from the vocabulary alone. The model's own
//! `tokenizer.json` also pads and truncates to 128 tokens, which the reference switches off.

use std::ops::Range;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, TokenizerBuilder, TokenizerImpl};
use venom_core::EmbedError;

/// Special tokens around every text: `[CLS]` before, `[SEP]` behind.
pub(crate) const SPECIAL_TOKENS: usize = 2;

/// Tokens that stand for themselves when a text contains them literally.
const LITERAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A text as tokens, without the special ones around it.
#[derive(Debug)]
pub(crate) struct TokenizedText {
    /// Token ids.
    pub(crate) ids: Vec<u32>,
    /// The words that they come from, in order. Together they have all of `ids`.
    pub(crate) words: Vec<Word>,
}

/// A stretch of text whose tokens do not depend on what stands around it: a word, a punctuation mark
/// or a CJK character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it stands in the text, in bytes.
    pub(crate) text: Range<usize>,
    /// Where its tokens stand, at least one.
    pub(crate) tokens: Range<usize>,
}

/// The tokenizer of a model.
pub(crate) struct Tokenizer {
    inner: TokenizerImpl<
        WordPiece,
        BertNormalizer,
        BertPreTokenizer,
        BertProcessing,
        WordPieceDecoder,
    >,
    cls: u32,
    sep: u32,
    unknown: u32,
}

impl Tokenizer {
    /// Builds it from a vocabulary of one token a line; the line number, from 0, is the id.
    pub(crate) fn new(vocabulary: &str) -> Result<Self, EmbedError> {
        let ids = vocabulary
            .lines()
            .zip(0_u32..)
            .map(|(token, id)| (token.to_owned(), id));
        let model = WordPiece::builder()
            .vocab::<ahash::AHashMap<String, u32>>(ids.collect())
            .unk_token("[UNK]".to_owned())
            .max_input_chars_per_word(100)
            .build()
            .map_err(failed)?;
        let id_of = |token: &str| {
            tokenizers::Model::token_to_id(&model, token)
                .ok_or_else(|| failed(format!("the vocabulary has no {token}")))
        };
        let (cls, sep, unknown) = (id_of("[CLS]")?, id_of("[SEP]")?, id_of("[UNK]")?);
        let mut inner: TokenizerImpl<_, _, _, BertProcessing, WordPieceDecoder> =
            TokenizerBuilder::new()
                .with_model(model)
                .with_normalizer(Some(BertNormalizer::new(true, true, Some(true), true)))
                .with_pre_tokenizer(Some(BertPreTokenizer))
                .build()
                .map_err(failed)?;
        let literal = LITERAL_TOKENS.map(|token| AddedToken::from(token, true));
        inner.add_special_tokens(literal).map_err(failed)?;
        Ok(Self {
            inner,
            cls,
            sep,
            unknown,
        })
    }

    /// The pieces of one word; `None` if it has a part that the vocabulary has not, or none.
    pub(crate) fn pieces(&self, word: &str) -> Option<Vec<u32>> {
        let ids = self.inner.encode_fast(word, false).ok()?.get_ids().to_vec();
        (!ids.is_empty() && !ids.contains(&self.unknown)).then_some(ids)
    }

    /// Whether the vocabulary has this word as a whole.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.inner.token_to_id(word).is_some()
    }

    /// All tokens of a text with the words they come from. O(bytes).
    pub(crate) fn words(&self, text: &str) -> Result<TokenizedText, EmbedError> {
        let encoding = self.inner.encode(text, false).map_err(failed)?;
        let mut words: Vec<Word> = Vec::new();
        let mut last_word = None;
        let places = encoding.get_offsets().iter().zip(encoding.get_word_ids());
        for (token, (&(start, end), word)) in places.enumerate() {
            let (start, end) = (
                text.floor_char_boundary(start),
                text.ceil_char_boundary(end),
            );
            match words.last_mut() {
                // Text is cut between words only, so words that overlap count as one.
                Some(open) if *word == last_word || start < open.text.end => {
                    open.text.end = open.text.end.max(end);
                    open.tokens.end = token + 1;
                }
                _ => words.push(Word {
                    text: start..end,
                    tokens: token..token + 1,
                }),
            }
            last_word = *word;
        }
        Ok(TokenizedText {
            ids: encoding.get_ids().to_vec(),
            words,
        })
    }

    /// The first `tokens_max` tokens of a text, the special ones included. O(bytes).
    pub(crate) fn window(&self, text: &str, tokens_max: usize) -> Result<Vec<u32>, EmbedError> {
        let encoding = self.inner.encode_fast(text, false).map_err(failed)?;
        let ids = encoding.get_ids();
        Ok(self.enclose(&ids[..ids.len().min(tokens_max.saturating_sub(SPECIAL_TOKENS))]))
    }

    /// `ids` between `[CLS]` and `[SEP]`.
    pub(crate) fn enclose(&self, ids: &[u32]) -> Vec<u32> {
        let mut all = Vec::with_capacity(ids.len() + SPECIAL_TOKENS);
        all.push(self.cls);
        all.extend_from_slice(ids);
        all.push(self.sep);
        all
    }
}

/// The tokenizer refused: a bug, since it takes every text.
fn failed(error: impl std::fmt::Display) -> EmbedError {
    EmbedError::Inference(format!("the tokenizer failed: {error}"))
}
