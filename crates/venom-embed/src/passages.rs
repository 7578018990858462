//! Cuts long text into overlapping passages, each small enough for the model to read whole.
//!
//! Cuts fall between words, where the tokens on either side do not depend on each other: the tokens
//! of a passage are a slice of the tokens of the text. No word has more than 100 tokens, since a
//! longer one is a single unknown token; so every window of words makes progress.

use crate::tokenizer::{SPECIAL_TOKENS, Tokenizer, Word};
use std::ops::Range;

/// The part of a window that the next passage repeats, so that a thought on a cut is whole in one of
/// them: one in so many tokens.
const OVERLAP_ONE_IN: usize = 5;
/// The part of a window, counted from its end, in which the end of a sentence is preferred as the
/// place to cut: one in so many tokens.
const SENTENCE_SEARCH_ONE_IN: usize = 4;

/// A passage before it is embedded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenizedPassage {
    /// Where it stands in the text, in bytes, on character boundaries.
    pub(crate) span: Range<usize>,
    /// Its token ids with the special ones, at most the window of the model.
    pub(crate) ids: Vec<u32>,
}

/// The passages of `text`: in order, at least one, each overlapping or touching the next, together
/// all of the text. Text of at most `tokens_max` tokens (special ones included) is one passage.
/// O(bytes of text).
pub(crate) fn cut(tokenizer: &Tokenizer, text: &str, tokens_max: usize) -> Vec<TokenizedPassage> {
    let all = tokenizer.words(text);
    let words = &all.words;
    let windows = windows(
        text,
        words,
        tokens_max.saturating_sub(SPECIAL_TOKENS).max(1),
    );
    let passage = |window: &Range<usize>| {
        let (first, last) = (words.get(window.start), words.get(window.end - 1));
        let start = if window.start == 0 {
            0
        } else {
            first.map_or(0, |word| word.text.start)
        };
        let end = words
            .get(window.end)
            .map_or(text.len(), |next| next.text.start);
        let tokens = first.map_or(0, |word| word.tokens.start)
            ..last.map_or(all.ids.len(), |word| word.tokens.end);
        let mut ids = tokenizer.enclose(&all.ids[tokens]);
        debug_assert!(
            ids.len() <= tokens_max,
            "no word has more tokens than a window"
        );
        ids.truncate(tokens_max);
        TokenizedPassage {
            span: start..end,
            ids,
        }
    };
    if windows.is_empty() {
        let ids = tokenizer.enclose(&all.ids);
        return vec![TokenizedPassage {
            span: 0..text.len(),
            ids,
        }];
    }
    windows.iter().map(passage).collect()
}

/// Ranges of `words`, each of at most `tokens_max` tokens unless a single word has more; every range
/// reaches further than the one before it, and begins no later than that one ends. None for no words.
fn windows(text: &str, words: &[Word], tokens_max: usize) -> Vec<Range<usize>> {
    let mut windows: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while start < words.len() {
        let reached = windows.last().map_or(0, |window| window.end);
        let first_token = words[start].tokens.start;
        let fitting = words[start..]
            .iter()
            .take_while(|word| word.tokens.end - first_token <= tokens_max)
            .count();
        let furthest = (start + fitting).max(start + 1);
        if furthest == words.len() {
            windows.push(start..furthest);
            break;
        }
        let search_tokens = tokens_max / SENTENCE_SEARCH_ONE_IN;
        let earliest_token = words[furthest].tokens.start.saturating_sub(search_tokens);
        let end = (reached.max(start) + 1..=furthest)
            .rev()
            .take_while(|&end| words[end].tokens.start >= earliest_token)
            .find(|&end| ends_sentence(text, words, end))
            .unwrap_or(furthest);
        windows.push(start..end);
        start = next_start(text, words, &(start..end), tokens_max);
    }
    windows
}

/// Where the window behind `window` begins: a fifth of `tokens_max` before its end at the most, with a
/// sentence if one begins there, and such that the new window reaches further.
fn next_start(text: &str, words: &[Word], window: &Range<usize>, tokens_max: usize) -> usize {
    let next = &words[window.end].tokens;
    let earliest_token = next.start.saturating_sub(tokens_max / OVERLAP_ONE_IN);
    let earliest_token = earliest_token.max(next.end.saturating_sub(tokens_max));
    let earliest = (window.start + 1..window.end)
        .rev()
        .take_while(|&begin| words[begin].tokens.start >= earliest_token)
        .last()
        .unwrap_or(window.end);
    (earliest..window.end)
        .find(|&begin| ends_sentence(text, words, begin))
        .unwrap_or(earliest)
}

/// Whether a sentence or a line ends before word `at`, which is neither the first nor past the last.
fn ends_sentence(text: &str, words: &[Word], at: usize) -> bool {
    let (before, after) = (&words[at - 1].text, &words[at].text);
    let gap = &text[before.end.min(after.start)..after.start];
    let stop = text[before.clone()].ends_with(['.', '!', '?', '…']);
    let cjk_stop = text[before.clone()].ends_with(['。', '！', '？']);
    gap.contains('\n') || cjk_stop || (stop && gap.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of the given token counts, one byte of text each and a space between.
    fn words(counts: &[usize]) -> Vec<Word> {
        let mut token = 0;
        let word = |(i, count): (usize, &usize)| {
            token += count;
            Word {
                text: 2 * i..2 * i + 1,
                tokens: token - count..token,
            }
        };
        counts.iter().enumerate().map(word).collect()
    }

    #[track_caller]
    fn check(text: &str, counts: &[usize], tokens_max: usize, expected: &[(usize, usize)]) {
        let found = windows(text, &words(counts), tokens_max);
        let found: Vec<_> = found
            .iter()
            .map(|window| (window.start, window.end))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn windows_overlap_by_a_fifth_and_prefer_sentence_ends() {
        check("", &[], 10, &[]);
        check("a b c", &[1; 3], 10, &[(0, 3)]);
        check(
            "a b c d e f g h i j k l m n",
            &[1; 14],
            10,
            &[(0, 10), (8, 14)],
        );
        // The last quarter of a window of ten is two tokens: a stop is found there, not before.
        check(
            "a b c d e f g . i j k l m n",
            &[1; 14],
            10,
            &[(0, 8), (6, 14)],
        );
        check(
            "a b c d e . g h i j k l m n",
            &[1; 14],
            10,
            &[(0, 10), (8, 14)],
        );
        // A sentence that begins inside the overlap begins the next window.
        check(
            "a b c d e f g h . j k l m n",
            &[1; 14],
            10,
            &[(0, 9), (7, 14)],
        );
    }

    #[test]
    fn words_of_many_tokens_still_make_progress() {
        check(
            "a b c d",
            &[9, 9, 9, 9],
            10,
            &[(0, 1), (1, 2), (2, 3), (3, 4)],
        );
        check("a b c", &[99, 1, 99], 10, &[(0, 1), (1, 2), (2, 3)]);
        check("a b c d e", &[5, 4, 1, 9, 9], 10, &[(0, 3), (2, 4), (4, 5)]);
    }
}
