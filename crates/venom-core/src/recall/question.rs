//! What the recipe reads in a question.

use super::analysis;
use super::section::{Corpus, Term};
use super::time_words::{self, NamedTime};
use crate::ports::Vocabulary;
use std::collections::BTreeSet;

/// What a word of a question stands for.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    /// Its own terms, sorted by name. Empty if no memory has it.
    pub(super) own: Vec<Term>,
    /// The terms of words that mean something near, sorted by name, none of its own.
    pub(super) near: Vec<Term>,
}

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
    pub fn new(text: &str) -> Self {
        let words = analysis::words(text);
        let asks_time = time_words::asks_time(&words);
        let named_time = NamedTime::in_words(&words);
        let unowned = text.replace(['\'', '\u{2019}'], " ");
        Self {
            words,
            names: analysis::words(&unowned).into_iter().collect(),
            asks_time,
            named_time,
        }
    }

    /// For each word that says something the terms that it stands for: its own, and those of the words near it.
    /// O(words of the question * words of the space).
    pub(super) fn terms(&self, corpus: Corpus<'_>, vocabulary: &dyn Vocabulary) -> Vec<Sought> {
        let known = |names: BTreeSet<String>| -> Vec<Term> {
            names
                .into_iter()
                .filter_map(|name| corpus.term(name))
                .collect()
        };
        let sought = |word| {
            let near = corpus.near_words(word, vocabulary).into_iter();
            Sought {
                own: known(corpus.terms_of(word)),
                near: known(near.flat_map(|near| corpus.terms_of(&near)).collect()),
            }
        };
        self.content_words().map(sought).collect()
    }

    /// Its words that say something, in order.
    pub fn content_words(&self) -> impl Iterator<Item = &str> {
        let words = self.words.iter().map(String::as_str);
        words.filter(|word| !analysis::is_stop_word(word))
    }

    /// Whether the question names a speaker, given in lower case, by any part of the name.
    pub(super) fn names(&self, speaker: &str) -> bool {
        let parts = analysis::words(speaker);
        parts.iter().any(|part| self.names.contains(part))
    }
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
    use crate::memory::{Content, Origin, Speaker};
    use crate::recall::Document;
    use venom_fuzz::Target;

    #[test]
    fn a_speaker_is_named_by_any_part_of_the_name() {
        let question = Question::new("Where is Anna's coat?");
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

    /// Memories and questions, read as the recipe reads them, by lines: names of speakers, then the text.
    #[test]
    fn fuzz_recall_text() {
        let words = [
            "'s",
            "\u{2019}",
            "?",
            ". ",
            "[",
            "]",
            "anna",
            "ben",
            "yesterday",
            "in 2026",
            "when",
            "march",
            "\n",
            "the",
        ];
        let target = Target::new("recall-text").words(&words);
        target.bytes_max(64 * 1024).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (names, text) = text.split_once('\n').unwrap_or(("anna", &text));
            let names = names.split(',').take(8);
            let names = names.filter_map(|name| Speaker::parse(name).ok());
            let names: Vec<String> = names.map(|name| name.key()).collect();
            let addressed = addressed(text, &names);
            let question = Question::new(&addressed);
            let content = Content::parse(text);
            let document = content.map(|content| Document::new(&Origin::default(), &content));
            if let Ok(document) = &document {
                assert!((0.0..=1.0).contains(&document.statement), "{document:?}");
            }
            (
                question.asks_time,
                addressed == text,
                question.content_words().count().min(9),
                document.map(|it| (it.tells_time, it.statement < 1.0)).ok(),
            )
        });
    }
}
