//! Text to token ids: lower-cased WordPiece with accents stripped, as the model was trained with.
//!
//! What BERT's tokenizer does (Devlin et al., 2018, `tokenization.py`), to the token as the `tokenizers`
//! crate does it, which the tests compare it with: characters are cleaned and folded one by one (`fold`), what is
//! between spaces and punctuation is a word, and a word becomes the longest pieces of the vocabulary
//! (`word_pieces`). The model's own `tokenizer.json` also pads and truncates to 128 tokens, which the
//! reference vectors switch off.

use crate::word_pieces::WordPieces;
use std::ops::{ControlFlow, Range};
use unicode_categories::UnicodeCategories as _;
use unicode_normalization::char::decompose_canonical;
use venom_core::EmbedError;

/// Special tokens around every text: `[CLS]` before, `[SEP]` behind.
pub(crate) const SPECIAL_TOKENS: usize = 2;

/// Tokens that stand for themselves when a text contains them literally.
const LITERAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Characters of a word, folded, that is more than one unknown token.
const WORD_CHARS_MAX: usize = 100;

/// A text as tokens, without the special ones around it.
#[derive(Debug, Default, PartialEq, Eq)]
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
    pieces: WordPieces,
    cls: u32,
    sep: u32,
    unknown: u32,
}

impl Tokenizer {
    /// Builds it from a vocabulary of one token a line; the line number, from 0, is the id.
    ///
    /// # Errors
    /// A vocabulary without one of the tokens that stand for themselves.
    pub(crate) fn new(vocabulary: String) -> Result<Self, EmbedError> {
        let pieces = WordPieces::new(vocabulary);
        let [_, unknown, cls, sep, _] = LITERAL_TOKENS.map(|token| {
            let missing = || EmbedError::ModelDamaged(format!("the vocabulary has no {token}"));
            pieces.id(token).ok_or_else(missing)
        });
        let (cls, sep, unknown) = (cls?, sep?, unknown?);
        Ok(Self {
            pieces,
            cls,
            sep,
            unknown,
        })
    }

    /// All tokens in order of their ids.
    pub(crate) fn vocabulary(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter()
    }

    /// The pieces of one word; `None` if it has a part that the vocabulary has not, or none.
    pub(crate) fn pieces(&self, word: &str) -> Option<Vec<u32>> {
        let ids = self.words(word).ids;
        (!ids.is_empty() && !ids.contains(&self.unknown)).then_some(ids)
    }

    /// Whether the vocabulary has this word as a whole.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.pieces.id(word).is_some()
    }

    /// All tokens of a text with the words they come from. O(bytes).
    pub(crate) fn words(&self, text: &str) -> TokenizedText {
        let mut all = TokenizedText::default();
        let _ = each_word(text, |place, word| {
            let from = all.ids.len();
            self.add(word, &mut all.ids);
            all.words.push(Word {
                text: place,
                tokens: from..all.ids.len(),
            });
            ControlFlow::Continue(())
        });
        all
    }

    /// The first `tokens_max` tokens of a text, the special ones included. O(bytes that are read).
    pub(crate) fn window(&self, text: &str, tokens_max: usize) -> Vec<u32> {
        let count = tokens_max.saturating_sub(SPECIAL_TOKENS);
        let mut ids = vec![self.cls];
        let _ = each_word(text, |_, word| {
            self.add(word, &mut ids);
            if ids.len() > count {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        ids.truncate(1 + count);
        ids.push(self.sep);
        ids
    }

    /// `ids` between `[CLS]` and `[SEP]`.
    pub(crate) fn enclose(&self, ids: &[u32]) -> Vec<u32> {
        let mut all = Vec::with_capacity(ids.len() + SPECIAL_TOKENS);
        all.push(self.cls);
        all.extend_from_slice(ids);
        all.push(self.sep);
        all
    }

    fn add(&self, word: &FoldedWord, ids: &mut Vec<u32>) {
        let known = word.chars <= WORD_CHARS_MAX && self.pieces.split(&word.text, ids).is_some();
        if !known {
            ids.push(self.unknown);
        }
    }
}

/// Shows the words of a text to `each`, with their places in it, until it has enough.
fn each_word(
    text: &str,
    mut each: impl FnMut(Range<usize>, &FoldedWord) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (mut word, mut folded) = (FoldedWord::default(), String::new());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let literal = literal(&text[at..]);
        let place = at..at + literal.map_or(c.len_utf8(), str::len);
        at = place.end;
        if let Some(literal) = literal {
            word.end(&mut each)?;
            literal.chars().for_each(|c| word.push(c, &place));
            word.end(&mut each)?;
        } else if is_space(c) {
            word.end(&mut each)?;
        } else if !is_removed(c) {
            let is_alone = is_cjk(c);
            folded.clear();
            fold(c, &mut folded);
            for c in folded.chars() {
                let is_alone = is_alone || is_punctuation(c);
                if is_alone {
                    word.end(&mut each)?;
                }
                word.push(c, &place);
                if is_alone {
                    word.end(&mut each)?;
                }
            }
        }
    }
    word.end(&mut each)
}

/// A word on its way, as the vocabulary has it.
#[derive(Default)]
struct FoldedWord {
    /// Its characters, as far as a vocabulary may have them.
    text: String,
    /// How many it has.
    chars: usize,
    /// Where it stands in the text.
    place: Range<usize>,
}

impl FoldedWord {
    fn push(&mut self, c: char, place: &Range<usize>) {
        if self.chars == 0 {
            self.place.start = place.start;
        }
        self.place.end = place.end;
        self.chars += 1;
        if self.chars <= WORD_CHARS_MAX {
            self.text.push(c);
        }
    }

    /// Shows the word to `each`, if there is one, and begins another.
    fn end(
        &mut self,
        each: &mut impl FnMut(Range<usize>, &FoldedWord) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.chars > 0 {
            each(self.place.clone(), self)?;
            self.text.clear();
            self.chars = 0;
        }
        ControlFlow::Continue(())
    }
}

/// The token that `text` begins with literally.
fn literal(text: &str) -> Option<&'static str> {
    let tokens = LITERAL_TOKENS.into_iter();
    let mut tokens = tokens.filter(|_| text.starts_with('['));
    tokens.find(|token| text.starts_with(token))
}

/// Whether a character separates words.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r') || (c.is_whitespace() && !is_removed(c))
}

/// Whether a character is as if it were not there: controls, formats, those for private use, and the one
/// that stands for what could not be read.
pub(crate) fn is_removed(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        _ if c.is_ascii() => c.is_ascii_control(),
        _ => c == char::REPLACEMENT_CHARACTER || c.is_other(),
    }
}

/// Appends a character in lower case and without accents; nothing for an accent.
fn fold(c: char, folded: &mut String) {
    if c.is_ascii() {
        return folded.push(c.to_ascii_lowercase());
    }
    decompose_canonical(c, |part| {
        if !part.is_mark_nonspacing() {
            folded.extend(part.to_lowercase());
        }
    });
}

/// Whether a folded character is a word of its own: what Unicode calls punctuation, and ASCII's other signs.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || (!c.is_ascii() && c.is_punctuation())
}

/// Whether a character is an ideograph, which is a word of its own. Syllables of Japanese and Korean are not.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2b81f}'
        | '\u{2b920}'..='\u{2ceaf}'
        | '\u{2f800}'..='\u{2fa1f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    /// A vocabulary, a zero, a text.
    #[test]
    fn fuzz_vocabularies() {
        let words = [
            "[UNK]", "[CLS]", "[SEP]", "##", "\n", "\0", "a", ".", "\u{4f60}", "\u{e9}",
        ];
        let target = Target::new("vocabularies")
            .words(&words)
            .bytes_max(32 * 1024);
        target.run(|bytes| {
            let both = String::from_utf8_lossy(bytes);
            let (vocabulary, text) = both.split_once('\0').unwrap_or((&both, &both));
            let lines = vocabulary.lines().count();
            let Ok(tokenizer) = Tokenizer::new(vocabulary.to_owned()) else {
                return None;
            };
            let found = tokenizer.words(text);
            assert!(found.ids.iter().all(|id| (*id as usize) < lines));
            let mut end = (0, 0);
            for word in &found.words {
                assert!(
                    word.text.start >= end.0 || word.tokens.len() == 1,
                    "{word:?}"
                );
                assert_eq!(word.tokens.start, end.1);
                assert!(!word.tokens.is_empty() && text.get(word.text.clone()).is_some());
                end = (word.text.end, word.tokens.end);
            }
            assert_eq!(end.1, found.ids.len());
            let window = tokenizer.window(text, 16);
            assert!((SPECIAL_TOKENS..=16).contains(&window.len()));
            let passages = crate::passages::cut(&tokenizer, text, 16);
            assert_eq!(passages[0].span.start, 0);
            assert_eq!(passages[passages.len() - 1].span.end, text.len());
            let meet = passages
                .windows(2)
                .all(|two| two[0].span.end >= two[1].span.start);
            assert!(
                meet && passages
                    .iter()
                    .all(|it| text.get(it.span.clone()).is_some())
            );
            assert!(passages.iter().all(|it| it.ids.len() <= 16));
            Some((
                found.words.len().min(20),
                found.ids.len().min(40),
                passages.len().min(5),
            ))
        });
    }
}
