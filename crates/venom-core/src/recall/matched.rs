//! Which words of a text a question asks for: for people who want to know why it was found.

use super::analysis::{self, Stemming};
use super::question::Question;
use super::section::Corpus;
use crate::ports::Vocabulary;
use std::collections::HashSet;

/// What a question looks for in a space, by name.
#[derive(Clone, Debug)]
pub struct SoughtTerms {
    terms: HashSet<String>,
    stemming: Stemming,
}

impl SoughtTerms {
    /// The terms of the words of a question and of the words near them.
    /// O(words of the question * words of the space).
    pub fn new(
        stemming: Stemming,
        corpus: Corpus<'_>,
        question: &Question,
        vocabulary: &dyn Vocabulary,
    ) -> Self {
        let mut terms = HashSet::new();
        for word in question.content_words() {
            terms.extend(stemming.terms_of_word(word));
            for near in corpus.near_words(word, vocabulary) {
                terms.extend(stemming.terms_of_word(&near));
            }
        }
        Self { terms, stemming }
    }

    /// The different words of `text` that are looked for, in any inflection, in the order of the text, in
    /// lower case and without accents. Words of neighbours count for the score but are not here. O(text).
    pub fn matched_words(&self, text: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        let is_sought = |word: &String| {
            let terms = self.stemming.terms_of_word(word);
            terms.iter().any(|term| self.terms.contains(term))
        };
        let words = analysis::words(text).into_iter();
        words
            .filter(|word| is_sought(word) && seen.insert(word.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::NoVocabulary;

    #[test]
    fn words_match_in_any_inflection_and_once() {
        let question = Question::new("Which walnuts does the café in Köln roast?");
        let sought = SoughtTerms::new(
            Stemming::default(),
            Corpus::new(&[]),
            &question,
            &NoVocabulary,
        );
        assert_eq!(
            sought.matched_words("A roasted walnut! The Cafe roasts walnuts."),
            ["roasted", "walnut", "cafe", "roasts", "walnuts"]
        );
        assert_eq!(sought.matched_words("the and in"), [""; 0]);
    }
}
