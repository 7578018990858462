//! Which words of a text a question asks for: for people who want to know why it was found.

use super::analysis::{self, Stemming};
use crate::query::QueryText;
use std::collections::HashSet;

/// The different words of `text` that are words of the question too, in any inflection, in the order of the
/// text, in lower case and without accents. Words of neighbours count for the score but are not here.
/// O(question + text).
pub fn matched_words(question: &QueryText, text: &str, stemming: Stemming) -> Vec<String> {
    let asked = analysis::words(question.as_str());
    let asked = asked.iter().filter(|word| !analysis::is_stop_word(word));
    let asked: HashSet<String> = asked
        .flat_map(|word| stemming.terms_of_word(word))
        .collect();
    let mut seen = HashSet::new();
    let words = analysis::words(text).into_iter();
    let matches = |word: &String| {
        stemming
            .terms_of_word(word)
            .iter()
            .any(|term| asked.contains(term))
    };
    words
        .filter(|word| matches(word) && seen.insert(word.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_in_any_inflection_and_once() {
        let question = QueryText::parse("Which walnuts does the café in Köln roast?").unwrap();
        let text = "A roasted walnut! The Cafe roasts walnuts.";
        assert_eq!(
            matched_words(&question, text, Stemming::default()),
            ["roasted", "walnut", "cafe", "roasts", "walnuts"]
        );
        assert!(matched_words(&question, "the and in", Stemming::default()).is_empty());
    }
}
