//! Slips of the hand in a question, mended before anything else reads it.

use super::analysis;
use crate::ports::Vocabulary;
use std::cmp::Reverse;

/// A mistyped word shorter than this is not mended, in characters: too many words are near it.
const CHARS_MIN: usize = 4;

/// What a space knows of a word in a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// Whether any memory has the word, or one of the same stem.
    pub known: bool,
    /// Words of the space that are one slip away, sorted, each with the number of memories that have it.
    /// Empty for a known word.
    pub near: Vec<(String, u32)>,
}

/// The different words of a question that could be mistyped: of letters, long enough, not among the
/// commonest. Lower case, sorted.
pub fn mendable_words(question: &str) -> Vec<String> {
    let words = analysis::words(question).into_iter();
    let mut words: Vec<String> = words.filter(|word| is_mendable(word)).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Digits are not mended: another number is another fact.
fn is_mendable(word: &str) -> bool {
    word.chars().count() >= CHARS_MIN
        && word.chars().all(char::is_alphabetic)
        && !analysis::is_stop_word(word)
}

/// The question with each word that neither the space nor the model knows replaced by the best word one slip
/// away: the same letters in another order first, then a word of the space, then the commoner one. Both
/// `words` and what the space knows of them are in the order of [`mendable_words`].
///
/// O(text + unknown words * words of the model).
pub fn mended(
    question: &str,
    words: &[String],
    spellings: &[Spelling],
    vocabulary: &dyn Vocabulary,
) -> String {
    let mut mended = String::with_capacity(question.len());
    let mut rest = question;
    while let Some(start) = rest.find(char::is_alphabetic) {
        let (gap, tail) = rest.split_at(start);
        let end = tail
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(tail.len());
        let (word, tail) = tail.split_at(end);
        mended.push_str(gap);
        let plain = analysis::words(word);
        let at = match plain.as_slice() {
            [only] => words.binary_search(only).ok(),
            _ => None,
        };
        let better = at.and_then(|at| meant(&words[at], spellings.get(at)?, vocabulary));
        mended.push_str(better.as_deref().unwrap_or(word));
        rest = tail;
    }
    mended.push_str(rest);
    mended
}

/// The word that was meant by an unknown one, if any is near.
fn meant(word: &str, spelling: &Spelling, vocabulary: &dyn Vocabulary) -> Option<String> {
    let is_known = |word: &str| vocabulary.has_word(word);
    if spelling.known || is_known(word) || word.strip_suffix('s').is_some_and(is_known) {
        return None;
    }
    let letters = sorted_letters(word);
    let is_swap = |other: &str| sorted_letters(other) == letters;
    let of_space = spelling.near.iter().filter(|(near, _)| is_mendable(near));
    let best_of_space =
        of_space.max_by_key(|(near, memories)| (is_swap(near), *memories, Reverse(near)));
    if let Some((near, _)) = best_of_space.filter(|(near, _)| is_swap(near)) {
        return Some(near.clone());
    }
    // The model's words come commonest first.
    let length = word.len();
    let slips = vocabulary
        .words()
        .iter()
        .filter(|other| other.len().abs_diff(length) <= 1 && analysis::is_slip(word, other));
    let mut first = None;
    for other in slips {
        if is_swap(other) {
            return Some(other.clone());
        }
        first = first.or(Some(other));
    }
    best_of_space.map(|(near, _)| near).or(first).cloned()
}

fn sorted_letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::NoVocabulary;

    struct Few(Vec<String>);

    impl Vocabulary for Few {
        fn vector(&self, _: &str) -> Option<Vec<f32>> {
            None
        }

        fn words(&self) -> &[String] {
            &self.0
        }

        fn has_word(&self, word: &str) -> bool {
            self.0.iter().any(|known| known == word)
        }
    }

    /// Mends with a space of these words and a model that knows "street, orchid, form, birds".
    #[track_caller]
    fn check(question: &str, space: &[(&str, u32)], expected: &str) {
        let model = Few(["street", "orchid", "form", "birds"]
            .map(str::to_owned)
            .into());
        let words = mendable_words(question);
        let spelling = |word: &String| {
            let known = space.iter().any(|(known, _)| known == word);
            let near = space
                .iter()
                .filter(|(near, _)| !known && analysis::is_slip(word, near));
            Spelling {
                known,
                near: near
                    .map(|(near, count)| ((*near).to_owned(), *count))
                    .collect(),
            }
        };
        let spellings: Vec<Spelling> = words.iter().map(spelling).collect();
        assert_eq!(mended(question, &words, &spellings, &model), expected);
    }

    #[test]
    fn an_unknown_word_becomes_the_best_one_near_it() {
        let space = [
            ("orchard", 2),
            ("from", 9),
            ("Köln", 1),
            ("größe", 1),
            ("stress", 3),
        ];
        check("Who has an Orhcard?", &space, "Who has an orchard?");
        check(
            "an orhcard and an orchrad",
            &space,
            "an orchard and an orchard",
        );
        // Known to the space, or to the model, also in the plural.
        check("orchids in the street", &space, "orchids in the street");
        // A swap of letters in a word of the model beats another slip in a word of the space.
        check("the steret", &space, "the street");
        check("the stretsss", &space, "the stretsss");
        check("the strees", &space, "the stress");
        check("welche größ", &space, "welche größ");
        check("welche grösse größe", &space, "welche grösse größe");
    }

    #[test]
    fn short_words_numbers_and_common_words_are_left_alone() {
        let space = [("1999", 1), ("cat", 5), ("wihtout", 1), ("birds", 1)];
        check("1998 cta wiht b1rds", &space, "1998 cta wiht b1rds");
        check(
            "don't with what; O'Neil's",
            &space,
            "don't with what; O'Neil's",
        );
        check("", &space, "");
    }

    #[test]
    fn without_a_vocabulary_the_space_alone_decides() {
        let words = mendable_words("the orhcard");
        let near = vec![("orchard".to_owned(), 1)];
        let spellings = [Spelling { known: false, near }];
        assert_eq!(words, ["orhcard"]);
        assert_eq!(
            mended("the orhcard", &words, &spellings, &NoVocabulary),
            "the orchard"
        );
        assert_eq!(
            mended("the orhcard", &words, &[], &NoVocabulary),
            "the orhcard"
        );
    }
}
