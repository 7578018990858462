//! What the model knows of single words.

use super::model;
use venom_core::Embedder;
use venom_core::embedding::dot;

#[track_caller]
fn cosine(one: &str, other: &str) -> f32 {
    let vocabulary = model().vocabulary();
    let vector = |word| vocabulary.vector(word).expect("a word of letters");
    dot(&vector(one), &vector(other))
}

#[test]
fn words_of_one_meaning_are_near_and_others_are_not() {
    for (one, other) in [
        ("puppy", "dog"),
        ("car", "automobile"),
        ("walnut", "walnuts"),
        ("doctor", "physician"),
    ] {
        let near = cosine(one, other);
        let far = cosine(one, "committee");
        assert!(
            near >= 0.3 && near > far + 0.2,
            "{one}, {other}: {near}, {far}"
        );
    }
    assert!((cosine("dog", "dog") - 1.0).abs() < 1e-5);
}

#[test]
fn the_words_are_those_of_the_vocabulary_commonest_first() {
    let vocabulary = model().vocabulary();
    let words = vocabulary.words();
    let rank = |word: &str| words.iter().position(|known| known == word);
    assert!(rank("that") < rank("street") && rank("street") < rank("orchard"));
    assert_eq!(rank("orhcard"), None);
    assert!(
        words
            .iter()
            .all(|word| word.len() >= 4 && vocabulary.has_word(word))
    );
    for place in (0..words.len()).step_by(997) {
        let vector = vocabulary.vector(&words[place]);
        assert!(vector.is_some() && vocabulary.vector_of_place(place) == vector);
    }
    assert_eq!(vocabulary.vector_of_place(words.len()), None);
    assert!(!vocabulary.has_word("orhcard"));
    assert_eq!(vocabulary.vector("\u{e000}"), None);
    assert_eq!(vocabulary.vector(""), None);
    // Known by its letters only, which are no meaning: all such words would be near each other.
    assert_eq!(vocabulary.vector("квартира"), None);
}
