//! Our tokenizer against the `tokenizers` crate, token by token and place by place.

use super::folder;
use crate::tokenizer::{TokenizedText, Tokenizer, Word, is_removed};
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, TokenizerBuilder, TokenizerImpl};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::decompose_canonical;

/// BERT's tokenizer as that crate has it, without padding and truncation.
type Reference =
    TokenizerImpl<WordPiece, BertNormalizer, BertPreTokenizer, BertProcessing, WordPieceDecoder>;

/// Both with the real vocabulary.
static BOTH: LazyLock<(Tokenizer, Reference)> = LazyLock::new(|| {
    let file = folder().path.join("vocab.txt");
    let own = Tokenizer::new(fs::read_to_string(&file).unwrap()).unwrap();
    let model = WordPiece::from_file(file.to_str().expect("a UTF-8 path"))
        .unk_token("[UNK]".to_owned())
        .max_input_chars_per_word(100)
        .build()
        .unwrap();
    let mut reference: Reference = TokenizerBuilder::new()
        .with_model(model)
        .with_normalizer(Some(BertNormalizer::new(true, true, Some(true), true)))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .build()
        .unwrap();
    let literal = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    reference
        .add_special_tokens(literal.map(|token| AddedToken::from(token, true)))
        .unwrap();
    (own, reference)
});

/// The words of the reference: tokens of one word id, or of places that overlap.
fn reference(text: &str) -> TokenizedText {
    let encoding = BOTH.1.encode(text, false).unwrap();
    let mut words: Vec<Word> = Vec::new();
    let mut last_word = None;
    let places = encoding.get_offsets().iter().zip(encoding.get_word_ids());
    for (token, (&(start, end), word)) in places.enumerate() {
        match words.last_mut() {
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
    TokenizedText {
        ids: encoding.get_ids().to_vec(),
        words,
    }
}

#[track_caller]
fn check(text: &str) {
    let (own, mut expected) = (BOTH.0.words(text), reference(text));
    if !is_in_order(text) {
        // The reference takes the place of the mark that came first for that of the one that comes first.
        let places = expected.words.iter_mut().zip(&own.words);
        places.for_each(|(expected, own)| expected.text = own.text.clone());
    }
    assert_eq!(own, expected, "{text:?}");
    for tokens_max in [2, 3, 10, 256] {
        let count = own.ids.len().min(tokens_max - 2);
        let window = BOTH.0.window(text, tokens_max);
        assert_eq!(window, BOTH.0.enclose(&own.ids[..count]), "{text:?}");
    }
}

/// Whether canonical decomposition leaves the characters of a text in their order. It sorts marks, also those with
/// nothing between them but what is removed; that of the spacing ones, which are kept, is seen in no token, as no
/// vocabulary has words with them in disorder.
fn is_in_order(text: &str) -> bool {
    let mut parts = String::new();
    for c in text.chars().filter(|c| !is_removed(*c)) {
        decompose_canonical(c, |part| parts.push(part));
    }
    parts.nfd().eq(parts.chars())
}

#[test]
fn strange_texts_have_the_tokens_of_the_reference() {
    for text in [
        "",
        " \u{200b}\t\r\n",
        "Don't stop-believing, naïve Ångström: 1,000.5 €!",
        "[CLS] [sep] [SEP]x[MASK][PAD]]] [[UNK]",
        "日本語のテキスト、한국어 문장입니다。我爱你",
        "İstanbul ǅungla ẞtraße ﬁne K Ω ≠ ; ` ʼn",
        "e\u{301}\u{327}\u{316} \u{301}a \u{302e}\u{1d165}\u{301}",
        "👩‍👩‍👧‍👦🙈 \u{e000}a\u{ad}b\u{fffd}c\u{0}d\u{85}e\u{2028}f\u{b}g",
        "##ing ing## a##b",
        "xah\u{34d}\u{1b44} xah\u{1b44}\u{34d}",
        "\u{1e01b}\u{fffd}\u{5ad} a\u{1b44}\u{ad}\u{34d}",
    ] {
        check(text);
    }
    for (word, count) in [
        ("x", 99),
        ("x", 100),
        ("x", 101),
        ("é", 100),
        ("한", 34),
        ("İ", 101),
    ] {
        check(&word.repeat(count));
    }
}

#[test]
fn every_character_is_folded_as_in_the_reference() {
    // Alone, inside a word, and behind one: in all of Unicode that has characters.
    let characters: Vec<char> = ('\0'..'\u{32000}')
        .chain('\u{e0000}'..'\u{e0200}')
        .collect();
    let around = |c: &char| format!("{c} a{c}b the{c} ");
    for few in characters.chunks(64) {
        let text = few.iter().map(around).collect::<Vec<_>>().concat();
        if BOTH.0.words(&text) != reference(&text) {
            for c in few {
                check(&around(c));
            }
            check(&text);
        }
    }
}

#[test]
fn no_character_is_in_two_words() {
    for c in '\0'..=char::MAX {
        assert!(
            BOTH.0.words(c.encode_utf8(&mut [0; 4])).words.len() <= 1,
            "{c:?}"
        );
    }
}

/// Text that meets in odd ways: words, marks, controls, scripts, special tokens.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z]{1,12} ?",
        1 => "[a-zß-ÿ0-9]{60,140}",
        1 => "[!-/:-@\\[-`{-~]{1,4}",
        1 => prop::sample::select(vec!["[SEP]", "[CLS", "[MASK]", "[[", "##"]).prop_map(str::to_owned),
        2 => "[a-zA-Z\u{300}-\u{36f}\u{483}-\u{489}\u{591}-\u{5bd}\u{1ab0}-\u{1abe}]{1,12}",
        1 => "[\u{0}-\u{20}\u{7f}-\u{a0}\u{200b}-\u{200f}\u{2028}-\u{202f}\u{fffd}\u{ad}\u{feff}]{1,5}",
        2 => "[一-龥が-んア-ン가-힣\u{f900}-\u{faff}\u{20000}-\u{20020}]{1,6}",
        2 => "[а-яёА-Я]{1,9} |[α-ωά-ώ\u{1f00}-\u{1ffc}]{1,9} |[א-תء-ي]{1,9} |[\u{900}-\u{94d}]{1,9} |[\u{e01}-\u{e4e}]{1,9}",
        1 => "[🙈👩‍👧🇩🇪❤️ßİǅ≠;ﬁ…—“”€]{1,6}",
        2 => "\\PC{1,20}",
        2 => any::<String>(),
    ]
}

#[test]
fn any_text_has_the_tokens_of_the_reference() {
    check("So that a missing model is not taken for a failing case.");
    let config = ProptestConfig {
        cases: 2_000,
        ..ProptestConfig::default()
    };
    proptest!(config, |(pieces in prop::collection::vec(piece(), 0..40))| {
        check(&pieces.concat());
    });
}
