//! An encoder of another shape, with made-up weights.

use super::{Encoder, from_weights};
use crate::Precision;
use crate::kernels::Kernel;
use crate::shape::{Pooling, Shape};
use crate::weights::Weights;
use venom_core::Embedding;
use venom_core::embedding::dot;

/// As wide as BERT base, with heads of 64, but of two layers.
const WIDE: Shape = Shape {
    width: 768,
    heads: 12,
    inner_width: 3072,
    layers: 2,
};
const WORDS: usize = 50;
const TOKENS_MAX: usize = 128;

/// Numbers between -0.05 and 0.05 that look random.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let mut state = u32::try_from(seed)
        .expect("a small seed")
        .wrapping_mul(77_777)
        | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 32_768.0 - 1.0) * 0.05
    };
    (0..count).map(|_| next()).collect()
}

fn tensors() -> Weights {
    let (width, inner) = (WIDE.width, WIDE.inner_width);
    let mut shapes: Vec<(String, usize)> = vec![
        ("embeddings.word_embeddings.weight".into(), WORDS * width),
        (
            "embeddings.position_embeddings.weight".into(),
            TOKENS_MAX * width,
        ),
        ("embeddings.token_type_embeddings.weight".into(), 2 * width),
        ("embeddings.LayerNorm.weight".into(), width),
        ("embeddings.LayerNorm.bias".into(), width),
    ];
    for layer in 0..WIDE.layers {
        let mut add = |name: &str, weights: usize, bias: usize| {
            let name = format!("encoder.layer.{layer}.{name}");
            shapes.push((format!("{name}.weight"), weights));
            shapes.push((format!("{name}.bias"), bias));
        };
        for name in ["query", "key", "value"] {
            add(&format!("attention.self.{name}"), width * width, width);
        }
        add("attention.output.dense", width * width, width);
        add("attention.output.LayerNorm", width, width);
        add("intermediate.dense", inner * width, inner);
        add("output.dense", width * inner, width);
        add("output.LayerNorm", width, width);
    }
    let tensor = |(seed, (name, count)): (usize, (String, usize))| {
        let mut values = numbers(count, seed + 1);
        if name.ends_with("LayerNorm.weight") {
            for x in &mut values {
                *x += 1.0;
            }
        }
        (name, values)
    };
    shapes.into_iter().enumerate().map(tensor).collect()
}

fn encoder(precision: Precision) -> Encoder {
    let weights = from_weights(tensors(), WIDE, TOKENS_MAX, precision).expect("all are there");
    Encoder::new((WIDE, Pooling::Mean), weights, Kernel::best())
}

fn texts() -> Vec<Vec<u32>> {
    [1_u32, 7, 64, 33, 128]
        .into_iter()
        .map(|count| (0..count).map(|at| at * 13 % 50).collect())
        .collect()
}

#[test]
fn other_widths_and_any_number_of_threads_give_the_same() {
    let texts = texts();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let (exact, int8) = (encoder(Precision::Float32), encoder(Precision::Int8));
    let expected = exact.forward(&texts, 1).unwrap();
    for threads in [2, 3, 16] {
        assert_eq!(exact.forward(&texts, threads).unwrap(), expected);
    }
    let found = int8.forward(&texts, 1).unwrap();
    assert_eq!(int8.forward(&texts, 3).unwrap(), found);
    for (found, expected) in found.into_iter().zip(expected) {
        let unit = |raw| Embedding::normalize(raw).expect("a direction");
        let (found, expected) = (unit(found), unit(expected));
        let cosine = dot(found.as_slice(), expected.as_slice());
        assert!(cosine >= 0.999, "{cosine}");
    }
}

#[test]
fn the_first_token_alone_can_stand_for_a_text() {
    let mean = encoder(Precision::Float32);
    let first = Encoder {
        pooling: Pooling::FirstToken,
        ..encoder(Precision::Float32)
    };
    let texts: [&[u32]; 3] = [&[2], &[2, 7, 9, 3], &[2, 9]];
    let (means, firsts) = (mean.forward(&texts, 1), first.forward(&texts, 1));
    let (means, firsts) = (means.unwrap(), firsts.unwrap());
    assert_eq!(means[0], firsts[0]);
    assert_ne!(means[1], firsts[1]);
    // The same token in the same place, seen from other texts.
    assert_ne!(firsts[1], firsts[2]);
    assert_eq!(first.forward(&texts[2..], 1).unwrap()[0], firsts[2]);
}

#[test]
fn the_room_of_a_pass_is_kept_for_the_next() {
    let encoder = encoder(Precision::Int8);
    let texts = texts();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    encoder.forward(&texts, 2).unwrap();
    let kept = encoder.workspaces.bytes();
    assert!(kept > 0);
    for count in [1, 2, 5] {
        encoder.forward(&texts[..count], 2).unwrap();
        assert_eq!(encoder.workspaces.bytes(), kept);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let encoder = encoder(Precision::Int8);
    let long = vec![1; TOKENS_MAX + 1];
    for text in [&[][..], &[50], &[u32::MAX], &long] {
        assert!(encoder.forward(&[&[1], text], 1).is_err());
    }
}
