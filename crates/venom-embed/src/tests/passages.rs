//! The laws of passages, on any text.

use super::model;
use crate::passages::cut;
use proptest::prelude::*;
use venom_core::Embedder;

const TOKENS_MAX: usize = 256;

/// Spans are in order, overlap or touch, and cover the text; each passage fits the window, and its
/// text alone has the very same tokens.
#[track_caller]
fn check(text: &str) -> usize {
    let tokenizer = &model().tokenizer;
    let passages = cut(tokenizer, text, TOKENS_MAX);
    assert_eq!(passages[0].span.start, 0);
    assert_eq!(passages[passages.len() - 1].span.end, text.len());
    for pair in passages.windows(2) {
        let (this, next) = (&pair[0].span, &pair[1].span);
        assert!(this.start < next.start && next.start <= this.end && this.end < next.end);
    }
    for passage in &passages {
        assert!(passage.ids.len() <= TOKENS_MAX);
        let again = tokenizer.window(&text[passage.span.clone()], usize::MAX);
        assert_eq!(again, passage.ids, "{:?} of {text:?}", passage.span);
    }
    let whole = tokenizer.window(text, usize::MAX);
    assert_eq!(whole.len() <= TOKENS_MAX, passages.len() == 1);
    passages.len()
}

#[test]
fn strange_texts_keep_the_laws() {
    assert_eq!(check(""), 1);
    assert_eq!(check("\u{200b}\u{200b}"), 1);
    assert_eq!(check(&" ".repeat(100_000)), 1);
    assert_eq!(check(&"x".repeat(100_000)), 1, "a single unknown word");
    assert!(check(&"xy ".repeat(256 * 1024 / 3)) > 300);
    assert!(check(&"!".repeat(20_000)) > 90);
    assert!(check(&"你好".repeat(5_000)) > 40);
    assert!(check(&"👩‍👩‍👧‍👦🙈 ".repeat(5_000)) > 10);
    assert!(check(&"e\u{301}\u{327} ".repeat(5_000)) > 20);
    assert!(check(&"\u{301}a\u{301}\n".repeat(2_000)) > 5);
    assert!(check(&"[CLS][SEP] [MASK]".repeat(1_000)) > 10);
    assert!(
        check(&"qzxj".repeat(24).add_space().repeat(200)) > 20,
        "many tokens a word"
    );
    assert!(check(&"한국어 문장입니다. ".repeat(500)) > 10);
}

/// For texts made of words.
trait AddSpace {
    fn add_space(self) -> String;
}

impl AddSpace for String {
    fn add_space(mut self) -> String {
        self.push(' ');
        self
    }
}

#[test]
fn passages_carry_the_vectors_of_their_text() {
    let text = "Cats sleep all day. The harbour froze in January, they said.\n".repeat(40);
    let passages = &model().embed_passages(&[&text, "short"]).unwrap();
    assert_eq!(passages[1].len(), 1);
    assert_eq!(passages[1][0].span.0, 0..5);
    assert!(passages[0].len() > 1);
    for passage in &passages[0] {
        let part = &text[passage.span.0.clone()];
        let alone = &model().embed(&[part]).unwrap()[0];
        let pairs = alone.as_slice().iter().zip(passage.embedding.as_slice());
        assert!(
            pairs
                .map(|(x, y)| (x - y).abs())
                .all(|difference| difference <= 1e-6)
        );
        assert!(
            part.starts_with("Cats") || part.starts_with("The harbour"),
            "{part:?}"
        );
    }
}

/// Pieces that meet in odd ways: words, marks, controls, other scripts, special tokens.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,12} ",
        1 => "[A-Za-z0-9]{60,140}",
        1 => "[.!?,;()\\[\\]-]{1,4}",
        1 => Just("[SEP]".to_owned()),
        1 => "[\u{300}-\u{310}\u{200b}\u{200d}\u{fffd}\u{ad}\u{0}-\u{20}]{1,5}",
        1 => "[一-龥が가-힣🙈ßİǅ≠;]{1,6}",
        2 => "\\PC{1,20}",
        1 => any::<String>(),
    ]
}

#[test]
fn any_text_keeps_the_laws() {
    model(); // So that a missing model is not taken for a failing case.
    let config = ProptestConfig {
        cases: 48,
        ..ProptestConfig::default()
    };
    proptest!(config, |(pieces in prop::collection::vec(piece(), 0..400))| {
        check(&pieces.concat());
    });
}
