//! Vectors as texts have them, as many as wanted.

use super::super::recall::product::model;
use super::super::{Outcome, texts};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use venom_core::Embedding;
use venom_core::ports::Embedder as _;
use venom_core::test_support::samples::Rng;

/// Memories and questions that are embedded, all that there are.
const TEXTS: usize = 1_000;
/// Texts of a batch.
const BATCH: usize = 32;
/// How far a vector lies from the real one that it was made of, in differences of two other real ones: at 0.5 the
/// cosine of the two is 0.87 on average.
const SPREAD: f32 = 0.5;

/// Real vectors, and what is made of them.
pub(in super::super) struct Source {
    memories: Vec<Embedding>,
    questions: Vec<Embedding>,
}

impl Source {
    /// Embeds the made-up memories and questions.
    pub(in super::super) fn new() -> Outcome<Self> {
        let model = model()?;
        let embed = |text: fn(usize) -> String| -> Outcome<Vec<Embedding>> {
            let texts: Vec<String> = (0..TEXTS).map(text).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut vectors = Vec::with_capacity(TEXTS);
            for batch in texts.chunks(BATCH) {
                vectors.extend(model.embed(batch)?);
            }
            Ok(vectors)
        };
        Ok(Self {
            memories: embed(texts::memory)?,
            questions: embed(texts::question)?,
        })
    }

    /// That many vectors of memories, `[count, dimensions]`: each a real one plus a share of the difference of two
    /// others, so clustered and with the covariance of the real ones. The same for the same count.
    pub(in super::super) fn memories(&self, count: usize) -> Vec<f32> {
        resampled(&self.memories, count, &mut Rng::new(1))
    }

    /// The same for questions.
    pub(super) fn questions(&self, count: usize) -> Vec<f32> {
        resampled(&self.questions, count, &mut Rng::new(2))
    }

    /// Components of a vector.
    pub(in super::super) fn dimensions(&self) -> usize {
        self.memories[0].dimensions()
    }
}

fn resampled(real: &[Embedding], count: usize, rng: &mut Rng) -> Vec<f32> {
    let mut vectors = Vec::with_capacity(count * real[0].dimensions());
    for _ in 0..count {
        let [at, plus, minus] = [(); 3].map(|()| real[rng.below(real.len())].as_slice());
        let parts = at.iter().zip(plus).zip(minus);
        let mixed = parts.map(|((at, plus), minus)| at + SPREAD * (plus - minus));
        let mixed =
            Embedding::normalize(mixed.collect()).expect("differences are smaller than the vector");
        vectors.extend_from_slice(mixed.as_slice());
    }
    vectors
}

/// Writes vectors as 32-bit floats, little-endian.
pub(super) fn write(place: &Path, vectors: &[f32]) -> Outcome<()> {
    let mut file = BufWriter::new(std::fs::File::create(place)?);
    for component in vectors {
        file.write_all(&component.to_le_bytes())?;
    }
    Ok(file.flush()?)
}

/// Reads what [`self::write()`] wrote.
pub(super) fn read(place: &Path) -> Outcome<Vec<f32>> {
    let bytes = std::fs::read(place)?;
    let (floats, _) = bytes.as_chunks();
    Ok(floats
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}
