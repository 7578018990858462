//! What the recipe reads in a question.

use super::analysis;
use super::space::Space;
use super::time_words::{self, NamedTime};
use crate::query::QueryText;
use std::collections::{BTreeMap, BTreeSet};

/// A mistyped word shorter than this is not repaired, in characters: too many words are near it.
const SLIP_CHARS_MIN: usize = 4;

/// A search text, read.
#[derive(Clone, Debug)]
pub struct Question {
    words: Vec<String>,
    /// What may be a name: words cut at apostrophes, so that "Anna's" names Anna.
    names: BTreeSet<String>,
    pub(super) asks_time: bool,
    pub(super) named_time: NamedTime,
}

impl Question {
    /// Reads a search text. O(text).
    pub fn new(text: &QueryText) -> Self {
        let words = analysis::words(text.as_str());
        let asks_time = time_words::asks_time(&words);
        let named_time = NamedTime::in_words(&words);
        let unowned = text.as_str().replace(['\'', '\u{2019}'], " ");
        Self {
            words,
            names: analysis::words(&unowned).into_iter().collect(),
            asks_time,
            named_time,
        }
    }

    /// For each word that says something the terms of a space that it stands for, sorted by name: its own,
    /// and if nobody has used it there those of the words it may have been meant to be.
    pub(super) fn terms(&self, space: &Space) -> Vec<BTreeMap<String, u32>> {
        let content = self
            .words
            .iter()
            .filter(|word| !analysis::is_stop_word(word));
        let known = |term: String| {
            let number = space.term_number(&term)?;
            (!space.postings(number).is_empty()).then_some((term, number))
        };
        let stemming = space.stemming();
        let terms_of = |word: &str| stemming.terms_of_word(word).into_iter().filter_map(known);
        let sought = |word: &String| {
            let own: BTreeMap<String, u32> = terms_of(word).collect();
            if !own.is_empty() || space.has_word(word) || !is_repairable(word) {
                return own;
            }
            let meant = space.words().filter(|known| analysis::is_slip(word, known));
            meant.flat_map(terms_of).collect()
        };
        content.map(sought).collect()
    }

    /// Whether the question names a speaker, given in lower case, by any part of the name.
    pub(super) fn names(&self, speaker: &str) -> bool {
        let parts = analysis::words(speaker);
        parts.iter().any(|part| self.names.contains(part))
    }
}

/// Digits are not repaired: another number is another fact.
fn is_repairable(word: &str) -> bool {
    word.chars().count() >= SLIP_CHARS_MIN && word.chars().all(char::is_alphabetic)
}

/// The text of a question as it is embedded: memories are embedded without the name of who said them, so
/// a speaker who is asked about is addressed instead ("What is Anna's dog called?" becomes "What is your
/// dog called?"). `speakers` are in lower case. O(text * speakers).
pub fn addressed(text: &str, speakers: &[String]) -> String {
    let mut addressed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        let (gap, tail) = rest.split_at(start);
        addressed.push_str(gap);
        let named = speakers
            .iter()
            .filter_map(|name| named_at(tail, name))
            .max();
        let Some((length, possessive)) = named else {
            let end = tail
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(tail.len());
            addressed.push_str(&tail[..end]);
            rest = &tail[end..];
            continue;
        };
        addressed.push_str(if possessive { "your" } else { "you" });
        rest = &tail[length..];
    }
    addressed.push_str(rest);
    addressed
}

/// If `text` starts with the whole name: the bytes it takes up, and whether it is a possessive.
fn named_at(text: &str, name: &str) -> Option<(usize, bool)> {
    let lower = |(at, c): (usize, char)| c.to_lowercase().map(move |l| (at + c.len_utf8(), l));
    let mut found = text.char_indices().flat_map(lower);
    let mut end = 0;
    for wanted in name.chars() {
        end = found.next().filter(|(_, c)| *c == wanted)?.0;
    }
    let rest = &text[end..];
    let possessive = ["'s", "\u{2019}s"].into_iter().find(|suffix| {
        rest.strip_prefix(suffix)
            .is_some_and(|tail| !tail.starts_with(char::is_alphanumeric))
    });
    match possessive {
        Some(suffix) => Some((end + suffix.len(), true)),
        None => (!rest.starts_with(char::is_alphanumeric)).then_some((end, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speaker_is_named_by_any_part_of_the_name() {
        let question = Question::new(&QueryText::parse("Where is Anna's coat?").unwrap());
        assert!(question.names("anna") && question.names("anna smith"));
        assert!(!question.names("ann") && !question.names("annas"));
    }

    #[test]
    fn speakers_are_addressed() {
        let names = ["anna", "ben o'neil", "ünal"].map(str::to_owned);
        for (question, expected) in [
            ("What is Anna's dog called?", "What is your dog called?"),
            ("Where did ANNA meet Ben O'Neil?", "Where did you meet you?"),
            ("Annabel and Joanna", "Annabel and Joanna"),
            ("Ünal\u{2019}s car", "your car"),
            ("nobody", "nobody"),
            ("", ""),
        ] {
            assert_eq!(addressed(question, &names), expected);
        }
    }
}
