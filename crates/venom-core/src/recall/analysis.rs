//! From text to words, and from words to the terms of the full-text index.
//!
//! Words are runs of letters, digits and marks, lower-case, without apostrophes and without accents on
//! Latin, Greek and Cyrillic letters. Scripts that are written without spaces give every character and every
//! pair of neighbours instead; every emoji is a word. This is simpler than Unicode's word breaks (UAX #29) on
//! purpose: 3.5, user@example.org and snake_case are several words here, so that each part is found, and those
//! of a question that follow each other count more (`Part::Pairs`). English words are stemmed (Porter: "Snowball: a language for stemming
//! algorithms", 2001) and the commonest are left out.

use snowball_stemmers_rs::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// English words that say nothing about what a text is about.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "an", "and", "any", "are", "as", "at", "be", "because", "been", "before",
    "both", "but", "by", "can", "could", "did", "didn", "do", "does", "doesn", "don", "during", "each", "few",
    "for", "from", "further", "had", "has", "have", "he", "her", "here", "hers", "him", "his", "how",
    "i", "if", "in", "into", "is", "it", "its", "just", "me", "more", "most", "my", "myself", "no",
    "nor", "not", "now", "of", "off", "on", "once", "only", "or", "other", "our", "out", "over", "own",
    "s", "same", "she", "should", "so", "some", "such", "t", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "those", "through", "to", "too", "under", "until", "up",
    "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom", "why",
    "will", "with", "would", "you", "your",
];

/// Commonest words of other languages in Latin script that are no English words. A text that has more of
/// them than of [`STOP_WORDS`] is not stemmed as English.
#[rustfmt::skip]
const FOREIGN_WORDS: &[&str] = &[
    "aber", "auch", "auf", "avec", "che", "com", "como", "con", "dans", "das", "de", "del", "den", "der",
    "des", "di", "dla", "een", "ein", "eine", "el", "elle", "em", "en", "est", "et", "het", "ich", "il",
    "ist", "je", "jest", "la", "las", "le", "les", "los", "mais", "mit", "na", "nao", "nicht",
    "nie", "niet", "non", "och", "para", "per", "por", "pour", "que", "qui", "sich", "sie", "som", "sono", "sur",
    "un", "una", "und", "une", "van", "von", "vous", "wir", "zu",
];

/// Marks a term from a text that is not English.
const OTHER: char = '=';

/// The words of a text, in order.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    if text.is_ascii() {
        let mut word = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() {
                word.push(char::from(byte.to_ascii_lowercase()));
            } else if byte != b'\'' {
                take(&mut word, &mut words);
            }
        }
        take(&mut word, &mut words);
    } else {
        // Accents go from Latin, Greek and Cyrillic letters; the marks of other scripts are letters.
        let bare = text.nfd().filter(|c| !matches!(c, '\u{300}'..='\u{36f}'));
        split(bare.nfc().flat_map(char::to_lowercase), &mut words);
    }
    words
}

fn split(chars: impl Iterator<Item = char>, words: &mut Vec<String>) {
    let mut word = String::new();
    let mut run = Vec::new();
    for c in chars {
        if is_unspaced(c) {
            take(&mut word, words);
            run.push(c);
            continue;
        }
        pairs(&mut run, words);
        match c {
            '\'' | '\u{2019}' => {}
            c if is_picture(c) => {
                take(&mut word, words);
                words.push(c.to_string());
            }
            c if c.is_alphanumeric() || is_combining_mark(c) => word.push(c.to_ascii_lowercase()),
            _ => take(&mut word, words),
        }
    }
    take(&mut word, words);
    pairs(&mut run, words);
}

fn take(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Every character of a run and every two neighbours.
fn pairs(run: &mut Vec<char>, words: &mut Vec<String>) {
    words.extend(run.iter().map(char::to_string));
    words.extend(run.windows(2).map(|pair| pair.iter().collect::<String>()));
    run.clear();
}

/// Emoji and other pictures: each is a word.
const fn is_picture(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}')
}

/// Letters of scripts without spaces between words: Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese.
const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e01}'..='\u{0e4f}' | '\u{0e81}'..='\u{0ecd}' | '\u{1000}'..='\u{109f}'
        | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17d3}' | '\u{3041}'..='\u{30ff}'
        | '\u{3131}'..='\u{318e}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3134f}')
}

/// Whether a word says nothing about what a text is about.
pub(crate) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// How words are reduced to what their inflections have in common.
///
/// English texts are stemmed as English, all others as the language that is set, if one is. A text is English
/// if it has more of the commonest English words than of other languages; one without any is taken for the
/// language that is set, else for English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stemming {
    english: bool,
    other: Option<Algorithm>,
}

impl Default for Stemming {
    fn default() -> Self {
        Self {
            english: true,
            other: None,
        }
    }
}

/// What [`Stemming::parse`] takes besides `english` and `none`.
const LANGUAGES: [(&str, Algorithm); 32] = [
    ("arabic", Algorithm::Arabic),
    ("armenian", Algorithm::Armenian),
    ("basque", Algorithm::Basque),
    ("catalan", Algorithm::Catalan),
    ("czech", Algorithm::Czech),
    ("danish", Algorithm::Danish),
    ("dutch", Algorithm::Dutch),
    ("esperanto", Algorithm::Esperanto),
    ("estonian", Algorithm::Estonian),
    ("finnish", Algorithm::Finnish),
    ("french", Algorithm::French),
    ("german", Algorithm::German),
    ("greek", Algorithm::Greek),
    ("hindi", Algorithm::Hindi),
    ("hungarian", Algorithm::Hungarian),
    ("indonesian", Algorithm::Indonesian),
    ("irish", Algorithm::Irish),
    ("italian", Algorithm::Italian),
    ("lithuanian", Algorithm::Lithuanian),
    ("nepali", Algorithm::Nepali),
    ("norwegian", Algorithm::Norwegian),
    ("persian", Algorithm::Persian),
    ("polish", Algorithm::Polish),
    ("portuguese", Algorithm::Portuguese),
    ("romanian", Algorithm::Romanian),
    ("russian", Algorithm::Russian),
    ("serbian", Algorithm::Serbian),
    ("spanish", Algorithm::Spanish),
    ("swedish", Algorithm::Swedish),
    ("tamil", Algorithm::Tamil),
    ("turkish", Algorithm::Turkish),
    ("ukrainian", Algorithm::Ukrainian),
];

impl Stemming {
    /// The stemming of a language beside English; `english` for English alone, `none` for no stemming.
    ///
    /// # Errors
    /// The names that are taken, for another one.
    pub fn parse(language: &str) -> Result<Self, String> {
        let language = language.trim().to_lowercase();
        let named = LANGUAGES.iter().find(|(name, _)| *name == language);
        match (language.as_str(), named) {
            ("english", _) => Ok(Self::default()),
            ("none", _) => Ok(Self {
                english: false,
                other: None,
            }),
            (_, Some((_, algorithm))) => Ok(Self {
                english: true,
                other: Some(*algorithm),
            }),
            (_, None) => {
                let known = LANGUAGES.map(|(name, _)| name).join(", ");
                Err(format!("expected english, none or one of {known}"))
            }
        }
    }

    /// Whether a text of these words is to be stemmed as English.
    fn is_english(self, words: &[String]) -> bool {
        let count = |list: &[&str]| {
            let listed = words
                .iter()
                .filter(|word| list.binary_search(&word.as_str()).is_ok());
            listed.count()
        };
        let (foreign, english) = (count(FOREIGN_WORDS), count(STOP_WORDS));
        self.english && (english > foreign || english == foreign && self.other.is_none())
    }

    /// The terms under which a text of these words is indexed, in order, with repetitions.
    pub(crate) fn terms(self, words: &[String]) -> Vec<String> {
        let english = self.is_english(words);
        let content = words.iter().filter(|word| !is_stop_word(word));
        let term = |word: &String| {
            if english {
                stem(word)
            } else {
                self.of_other(word)
            }
        };
        content.map(term).collect()
    }

    /// The terms that a word of a question stands for, whatever the language of the texts.
    pub(crate) fn terms_of_word(self, word: &str) -> [String; 2] {
        [stem(word), self.of_other(word)]
    }

    /// The term of a word in a text that is not English.
    fn of_other(self, word: &str) -> String {
        match self.other {
            Some(language) => format!("{OTHER}{}", Stemmer::create(language).stem(word)),
            None => format!("{OTHER}{word}"),
        }
    }
}

fn stem(word: &str) -> String {
    Stemmer::create(Algorithm::English).stem(word).into_owned()
}

/// Whether two words are one slip of the hand apart: a character more, fewer, another one, or two
/// neighbours swapped (Damerau, 1964). Equal words are not. O(characters).
pub fn is_slip(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return is_one_edit(one.as_bytes(), other.as_bytes());
    }
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    is_one_edit(&one, &other)
}

fn is_one_edit<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same..], &other[same..]);
    match (one, other) {
        ([], []) => false,
        ([], rest) | (rest, []) => rest.len() == 1,
        ([_, one_rest @ ..], [_, other_rest @ ..]) => {
            one_rest == other_rest
                || one_rest == other
                || one == other_rest
                || is_swapped(one, other)
        }
    }
}

/// Whether two words differ in their first two characters only, which are swapped.
fn is_swapped<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    match (one, other) {
        ([a, b, rest @ ..], [c, d, other_rest @ ..]) => a == d && b == c && rest == other_rest,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_words(text: &str, expected: &[&str]) {
        assert_eq!(words(text), expected, "{text:?}");
    }

    #[test]
    fn words_of_many_scripts() {
        check_words(
            "Don't PANIC: 3.5 km_h!",
            &["dont", "panic", "3", "5", "km", "h"],
        );
        check_words("Das Café von Zoë", &["das", "cafe", "von", "zoe"]);
        check_words("Привет, мир", &["привет", "мир"]);
        check_words("हिन्दी में", &["हिन्दी", "में"]);
        check_words("緑茶 tea", &["緑", "茶", "緑茶", "tea"]);
        check_words("한국", &["한", "국", "한국"]);
        check_words("J'ai bu du thé☕!", &["jai", "bu", "du", "the", "☕"]);
        check_words(
            "zero\u{200d}width user@example.org",
            &["zero", "width", "user", "example", "org"],
        );
        check_words(" …\u{301} ", &[]);
    }

    #[test]
    fn english_is_stemmed_and_other_languages_are_not() {
        let terms = |text: &str| Stemming::default().terms(&words(text));
        assert_eq!(terms("She was adding evenings"), ["add", "evening"]);
        assert_eq!(
            terms("Ich mag die Wohnungen und den See"),
            ["=ich", "=mag", "=die", "=wohnungen", "=und", "=den", "=see"]
        );
        assert_eq!(terms("walnuts"), ["walnut"]);
    }

    #[test]
    fn a_language_that_is_set_is_stemmed_beside_english() {
        let terms =
            |language: &str, text: &str| Stemming::parse(language).unwrap().terms(&words(text));
        assert_eq!(terms("German", "Wohnungen"), terms("german", "Wohnung"));
        assert_eq!(
            terms("german", "Wir haben die Wohnungen gesehen")[3..],
            terms("german", "Wohnung gesehen")
        );
        assert_eq!(terms("russian", "книги"), terms("russian", "книга"));
        assert_eq!(
            terms("french", "She was adding evenings"),
            ["add", "evening"]
        );
        assert_eq!(
            terms("none", "She was adding evenings"),
            ["=adding", "=evenings"]
        );
        let refused = Stemming::parse("klingon").unwrap_err();
        assert!(
            refused.starts_with("expected english, none or one of arabic, "),
            "{refused}"
        );
        assert!(
            LANGUAGES
                .iter()
                .all(|(name, _)| Stemming::parse(name).is_ok())
        );
    }

    #[test]
    fn word_lists_are_sorted_for_the_binary_search() {
        assert!(STOP_WORDS.is_sorted() && FOREIGN_WORDS.is_sorted());
        assert!(FOREIGN_WORDS.iter().all(|word| !is_stop_word(word)));
    }

    #[test]
    fn slips_are_one_edit() {
        for (a, b) in [
            ("tea", "teas"),
            ("tea", "ta"),
            ("tea", "ten"),
            ("tea", "tae"),
            ("a", ""),
        ] {
            assert!(is_slip(a, b) && is_slip(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("tea", "tea"),
            ("tea", "eat"),
            ("tea", "t"),
            ("abcd", "badc"),
            ("", ""),
        ] {
            assert!(!is_slip(a, b) && !is_slip(b, a), "{a} {b}");
        }
    }
}
