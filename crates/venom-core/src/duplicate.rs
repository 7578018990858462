//! When a new memory says again what is already kept.
//!
//! Two memories are the same when their texts are, but for case, white space, Unicode form and the
//! punctuation around words (the case of an article within a sentence counts: "The Who"); or when
//! they also differ in articles and contractions and their vectors are close. Similarity of vectors
//! alone cannot tell: "Anna gave Ben a book" and "Ben gave Anna a book" have 0.99, two wordings of
//! one fact down to 0.91 (`docs/retrieval.md`). So every other word has to be there, in the same
//! order.

use crate::embedding::{Passage, dot};
use crate::memory::{Content, Memory, Origin, SessionName, SpaceName, Speaker};
use unicode_normalization::UnicodeNormalization as _;

/// Least cosine similarity, passage by passage, of two texts that differ in articles or contractions: the
/// same facts in two wordings have 0.908 to 0.989 (17 pairs, which a test stores).
pub const SIMILARITY_MIN: f32 = 0.9;

/// Words that may come and go.
const ARTICLES: [&str; 3] = ["a", "an", "the"];
/// Words that `'s` shortens "is" after; after others it tells an owner.
const BEFORE_IS: [&str; 10] = [
    "he", "here", "how", "it", "she", "that", "there", "what", "where", "who",
];

/// A text as far as it matters for whether another says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    /// Every word, in its common form.
    words: Vec<String>,
    /// The same without articles, contractions written out.
    essence: Vec<String>,
}

impl Wording {
    /// Reads a text. O(text).
    pub fn of(text: &str) -> Self {
        let text: String = text.nfkc().collect();
        let shouted = !text.chars().any(char::is_lowercase);
        let (mut words, mut essence) = (Vec::new(), Vec::new());
        let mut opens_sentence = true;
        let mut tokens = text.split_whitespace().peekable();
        while let Some(token) = tokens.next() {
            let opened = token.trim_start_matches(is_opening);
            let bare = opened.trim_end_matches(is_closing);
            if !bare.is_empty() {
                let word = common(bare, shouted, opens_sentence);
                // "The dog", but neither "vitamin A" nor "The Who" nor "plan a".
                let stands_before = bare.len() == opened.len() && tokens.peek().is_some();
                let is_plain = opens_sentence || shouted || bare == word;
                if !(stands_before && is_plain && ARTICLES.contains(&word.as_str())) {
                    essence.extend(written_out(&word));
                }
                words.push(word);
            }
            opens_sentence = token.ends_with(['.', '!', '?']);
        }
        if words.is_empty() {
            // Nothing but punctuation: then that is what it says.
            words.push(text.trim().to_owned());
            essence.clone_from(&words);
        }
        Self { words, essence }
    }

    /// Equal for texts of equal essence, and for hardly any others; the same in every version and on every
    /// machine.
    pub fn fingerprint(&self) -> u64 {
        fnv1a(self.essence.iter().flat_map(|word| word.bytes().chain([0])))
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
pub(crate) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether `new` says again what `old` says, of the same origin, in the same space. A memory without a time
/// agrees with any time.
pub fn says_again(
    (new, new_passages): (&Memory, &[Passage]),
    (old, old_vectors): (&Memory, &[&[f32]]),
) -> bool {
    if !has_origin_of(new, old) {
        return false;
    }
    let (wording, known) = (
        Wording::of(new.content.as_str()),
        Wording::of(old.content.as_str()),
    );
    wording == known || wording.essence == known.essence && are_close(new_passages, old_vectors)
}

/// Whether `new` says again what `old` says, in the same words: what can be told without a model. Whatever this takes,
/// [`says_again`] takes, too.
pub fn repeats(new: &Memory, old: &Memory) -> bool {
    has_origin_of(new, old)
        && Wording::of(new.content.as_str()) == Wording::of(old.content.as_str())
}

/// Equal for two memories of which one repeats the other, when they do not tell different times, and for hardly any others.
/// O(text).
pub(crate) fn said(space: &SpaceName, origin: &Origin, content: &Content) -> u64 {
    let speaker = origin.speaker.as_ref().map(Speaker::key);
    let session = origin.session.as_ref().map(SessionName::as_str);
    let wording = Wording::of(content.as_str());
    let names = [Some(space.as_str()), speaker.as_deref(), session];
    let words = wording.words.iter().map(|word| Some(word.as_str()));
    let essence = wording.essence.iter().map(|word| Some(word.as_str()));
    let all = words.chain([None]).chain(essence);
    fnv1a(names.into_iter().chain(all).flat_map(|part| {
        let mark = std::iter::once(u8::from(part.is_some()));
        mark.chain(part.unwrap_or_default().bytes())
            .chain(std::iter::once(0))
    }))
}

fn has_origin_of(new: &Memory, old: &Memory) -> bool {
    let (origin, before) = (&new.origin, &old.origin);
    new.space == old.space
        && origin.session == before.session
        && origin.speaker.as_ref().map(Speaker::key) == before.speaker.as_ref().map(Speaker::key)
        && (origin.occurred_at.is_none() || origin.occurred_at == before.occurred_at)
}

fn are_close(passages: &[Passage], vectors: &[&[f32]]) -> bool {
    let mut pairs = passages.iter().zip(vectors);
    passages.len() == vectors.len()
        && pairs
            .all(|(passage, vector)| dot(passage.embedding.as_slice(), vector) >= SIMILARITY_MIN)
}

/// A word without the differences that nobody means. A word in capitals (US, IT, vitamin A) is another word
/// than one without, unless everything is shouted, it is "I", or it opens a sentence as "A" does.
fn common(bare: &str, shouted: bool, opens_sentence: bool) -> String {
    let word = bare.replace('\u{2019}', "'");
    let has_lower = word.chars().any(char::is_lowercase);
    let is_letter = word.chars().nth(1).is_none();
    let any_case = has_lower || shouted || word == "I" || is_letter && opens_sentence;
    if any_case { word.to_lowercase() } else { word }
}

/// The words that a contraction stands for; any other word is itself.
fn written_out(word: &str) -> Vec<String> {
    let two = |first: &str, second: &str| vec![first.to_owned(), second.to_owned()];
    match word {
        "can't" | "cannot" => return two("can", "not"),
        "won't" => return two("will", "not"),
        "shan't" => return two("shall", "not"),
        "i'm" => return two("i", "am"),
        _ => {}
    }
    for (ending, meaning) in [
        ("n't", "not"),
        ("'re", "are"),
        ("'ll", "will"),
        ("'ve", "have"),
    ] {
        if let Some(stem) = word.strip_suffix(ending) {
            return two(stem, meaning);
        }
    }
    match word.strip_suffix("'s") {
        Some(stem) if BEFORE_IS.contains(&stem) => two(stem, "is"),
        _ => vec![word.to_owned()],
    }
}

/// What may open a word without being part of it.
const fn is_opening(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | '('
            | '['
            | '\u{2018}'
            | '\u{201c}'
            | '\u{201e}'
            | '\u{ab}'
            | '\u{2013}'
            | '\u{2014}'
    )
}

/// What may close a word without being part of it. A question mark is part of it: who asks does not say.
const fn is_closing(c: char) -> bool {
    is_opening(c)
        || matches!(
            c,
            '.' | ','
                | ';'
                | ':'
                | '!'
                | ')'
                | ']'
                | '\u{2019}'
                | '\u{201d}'
                | '\u{bb}'
                | '\u{2026}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same_words(a: &str, b: &str) -> bool {
        Wording::of(a) == Wording::of(b)
    }

    fn same_essence(a: &str, b: &str) -> bool {
        Wording::of(a).essence == Wording::of(b).essence
    }

    #[test]
    fn the_same_text_is_told_by_its_words() {
        for (a, b) in [
            ("Anna likes tea.", "anna  likes\ntea"),
            ("\u{201c}Tea\u{201d}, said Anna!", "\"tea\" said anna"),
            ("Caf\u{e9} at 3.5 km", "Cafe\u{301} at 3.5 km."),
            ("I LIVE IN ROME", "I live in rome"),
            ("…", "…"),
        ] {
            assert!(same_words(a, b), "{a:?} {b:?}");
            assert_eq!(Wording::of(a).fingerprint(), Wording::of(b).fingerprint());
        }
    }

    /// Then they are looked for by different fingerprints, too.
    #[test]
    fn an_article_that_may_be_part_of_a_name_makes_another_text() {
        let (name, none) = ("I like The Who.", "I like the who.");
        assert!(!same_words(name, none));
        let said = |text: &str| {
            let space = SpaceName::parse("default").unwrap();
            said(&space, &Origin::default(), &Content::parse(text).unwrap())
        };
        assert_ne!(said(name), said(none));
        assert_eq!(said(name), said("“i like” The who"));
    }

    #[test]
    fn articles_and_contractions_make_no_other_fact() {
        for (a, b) in [
            ("The user lives in Rome", "User lives in Rome"),
            ("A dog sleeps in the hall", "Dog sleeps in hall"),
            ("Anna doesn't eat meat", "Anna does not eat meat."),
            (
                "It\u{2019}s the flat on the left",
                "It is the flat on the left",
            ),
            ("I can't swim", "I cannot swim"),
        ] {
            assert!(same_essence(a, b) && !same_words(a, b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn every_other_difference_makes_another_fact() {
        for (a, b) in [
            ("flat on floor 3", "flat on floor 4"),
            ("it costs 3.5 euros", "it costs 35 euros"),
            ("it was -5 degrees", "it was 5 degrees"),
            ("Anna eats meat", "Anna does not eat meat"),
            ("Anna gave Ben a book", "Ben gave Anna a book"),
            ("she moved in May", "she moved in March"),
            ("he lives in Rome", "she lives in Rome"),
            ("he lives in Rome", "he lived in Rome"),
            ("moved on 2026-03-01", "moved on 2026-03-10"),
            ("writes C", "writes C++"),
            ("Anna's dog", "Annas dog"),
            ("is it Monday?", "it is Monday"),
            ("it is Monday?", "it is Monday"),
            ("tell US", "tell us"),
            ("take vitamin A daily", "take vitamin daily"),
            ("I saw The Who", "I saw who"),
            ("the plan is plan a", "the plan is plan"),
            ("…", "?"),
        ] {
            assert!(!same_essence(a, b), "{a:?} {b:?}");
        }
    }

    proptest! {
        #[test]
        fn white_space_and_the_form_of_letters_never_count(text in "[ -~éüß茶]{1,60}") {
            let other: String = text.nfd().collect::<String>().replace(' ', " \n ");
            prop_assert_eq!(Wording::of(&text), Wording::of(&other));
        }
    }
}
