//! Tokens and vectors against references, and the laws of the port.

use super::{folder, int8_model, model};
use crate::batches;
use crate::{MiniLm, Options};
use std::path::Path;
use venom_core::Embedder;
use venom_core::embedding::dot;

/// A line of a reference file.
struct Reference {
    text: String,
    tokens: Vec<u32>,
    embedding: Vec<f32>,
}

fn read(path: &Path) -> Option<Vec<Reference>> {
    let parse = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let take = |key: &str| line[key].clone();
        Reference {
            text: serde_json::from_value(take("text")).expect("text"),
            tokens: serde_json::from_value(take("tokens")).expect("token ids"),
            embedding: serde_json::from_value(take("embedding")).expect("numbers"),
        }
    };
    Some(
        std::fs::read_to_string(path)
            .ok()?
            .lines()
            .map(parse)
            .collect(),
    )
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
}

#[track_caller]
fn check(references: &[Reference]) {
    assert!(!references.is_empty());
    for reference in references {
        let text = &reference.text;
        assert_eq!(model().token_ids(text), reference.tokens, "{text:?}");
        let found = &model().embed(&[text]).unwrap()[0];
        assert_eq!(found.dimensions(), 384);
        let difference = largest_difference(found.as_slice(), &reference.embedding);
        assert!(difference <= 1e-4, "{text:?}: off by {difference:e}");
        let cosine = dot(found.as_slice(), &reference.embedding);
        assert!(cosine >= 0.99999, "{text:?}: cosine {cosine}");
    }
}

#[test]
fn matches_our_own_references() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/embeddings.jsonl");
    check(&read(&path).expect("the file is part of the crate"));
}

#[test]
fn matches_the_original_library() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden/all-minilm-l6-v2.jsonl");
    match read(&path) {
        Some(references) => check(&references),
        None => println!("skipped: {} is not there", path.display()),
    }
}

/// Cosines of the int8 mode's vectors and the references.
fn int8_cosines(references: &[Reference]) -> Vec<f32> {
    let cosine = |reference: &Reference| {
        let found = &int8_model().embed(&[&reference.text]).unwrap()[0];
        dot(found.as_slice(), &reference.embedding)
    };
    references.iter().map(cosine).collect()
}

#[test]
fn int8_is_close_to_the_original_library() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden/all-minilm-l6-v2.jsonl");
    let Some(references) = read(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let cosines = int8_cosines(&references);
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    let worst = cosines.iter().copied().fold(1.0, f32::min);
    println!("int8: mean cosine {mean:.5}, worst {worst:.5}");
    assert!(mean >= 0.998 && worst >= 0.993, "{mean}, {worst}");
}

#[test]
fn every_kernel_gives_the_same_int8_vectors() {
    let text = "The spare key to the cabin hangs behind the blue kettle.";
    let expected = &int8_model().embed(&[text]).unwrap()[0];
    for kernel in crate::kernels_here() {
        for threads_per_text in [1, 2, 3] {
            let options = Options {
                kernel: Some(kernel.to_owned()),
                threads_per_text,
                ..Options::default()
            };
            let long = format!("{text} {text} {text} {text}");
            let other = MiniLm::open(&folder(), &options).unwrap();
            let found = &other.embed(&[text, &long]).unwrap();
            let cosine = dot(found[0].as_slice(), expected.as_slice());
            // Integers are the same; what is between them differs in the last bits, which tips a few of
            // them over, and these some more in the next layer: as far off as half of the quantisation.
            assert!(cosine >= 0.9993, "{kernel}: {cosine}");
            let again = &int8_model().embed(&[&long]).unwrap()[0];
            let cosine = dot(found[1].as_slice(), again.as_slice());
            assert!(cosine >= 0.9993, "{kernel}: {cosine}");
        }
    }
}

#[test]
fn a_text_has_one_vector_whatever_its_neighbours() {
    let long = "the river rose and the bridge fell ".repeat(40);
    let texts: Vec<&str> = [
        "",
        "one",
        "two words",
        &long,
        "one",
        "\u{200b}",
        "naïve 你好",
    ]
    .into_iter()
    .cycle()
    .take(30)
    .collect();
    for model in [model(), int8_model()] {
        let together = model.embed(&texts).unwrap();
        assert_eq!(together.len(), texts.len());
        for (text, vector) in texts.iter().zip(&together) {
            let alone = &model.embed(&[text]).unwrap()[0];
            let difference = largest_difference(alone.as_slice(), vector.as_slice());
            assert!(difference <= 1e-6, "{text:?}: off by {difference:e}");
        }
    }
}

#[test]
fn calls_at_the_same_time_do_not_disturb_each_other() {
    let expected = model().embed(&["where are the keys?"]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(model().embed(&["where are the keys?"]).unwrap(), expected));
        }
    });
}

#[test]
fn no_texts_give_no_vectors() {
    assert!(model().embed(&[]).unwrap().is_empty());
    assert!(model().embed_passages(&[]).unwrap().is_empty());
}

#[test]
fn batches_are_bounded_and_complete() {
    let texts: Vec<Vec<u32>> = [256, 256, 1, 600, 3, 509, 1].map(|n| vec![0; n]).to_vec();
    let expected: [&[usize]; 4] = [&[0, 1], &[2], &[3], &[4, 5]];
    let found = batches(&texts, 512);
    assert_eq!(found[..4], expected);
    assert_eq!(found.concat(), (0..texts.len()).collect::<Vec<_>>());
}
