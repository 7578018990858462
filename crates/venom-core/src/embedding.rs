//! Embeddings as types: a unit-length vector is not a bare list of numbers.

use std::fmt;
use std::ops::Range;

/// A vector of length 1 (L2), 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Normalises `raw` to length 1. `None` if it is empty, not finite, or has no direction.
    pub fn normalize(mut raw: Vec<f32>) -> Option<Self> {
        let norm = raw
            .iter()
            .map(|x| f64::from(*x) * f64::from(*x))
            .sum::<f64>()
            .sqrt();
        if !norm.is_finite() || norm < 1e-12 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the result is an f32 component"
        )]
        for x in &mut raw {
            *x = (f64::from(*x) / norm) as f32;
        }
        Some(Self(raw))
    }

    /// Takes a vector that is already of unit length (within 1e-3), as read back from a store.
    pub fn from_unit(unit: Vec<f32>) -> Option<Self> {
        let square: f64 = unit.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        ((square - 1.0).abs() < 2e-3).then_some(Self(unit))
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// How many components.
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }
}

/// Dot product in eight independent sums, which the compiler turns into vector instructions.
/// For unit vectors this is the cosine similarity. Slices of different length: the shorter counts.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// Where a passage stands in its memory's text, in bytes, on character boundaries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PassageSpan(pub Range<usize>);

/// A stretch of text that the model can read whole, with its embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Where it stands.
    pub span: PassageSpan,
    /// Its vector.
    pub embedding: Embedding,
}

/// Which model made a vector. Vectors of different stamps are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelStamp {
    /// The model's name, such as `all-MiniLM-L6-v2`.
    pub name: String,
    /// SHA-256 of its weights, 64 lower-case hex digits.
    pub sha256: String,
    /// Components of its vectors.
    pub dimensions: usize,
}

impl fmt::Display for ModelStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.sha256.get(..12).unwrap_or(&self.sha256);
        write!(
            f,
            "{} (sha256 {short}…, {} dimensions)",
            self.name, self.dimensions
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizing_gives_length_one_or_nothing() {
        let unit = Embedding::normalize(vec![3.0, 4.0]).unwrap();
        assert_eq!(unit.as_slice(), [0.6, 0.8]);
        assert!(Embedding::normalize(vec![0.0, 0.0]).is_none());
        assert!(Embedding::normalize(vec![f32::NAN]).is_none());
        assert!(Embedding::from_unit(vec![3.0, 4.0]).is_none());
    }

    #[test]
    fn dot_matches_the_plain_sum() {
        let a: Vec<f32> = (0..387_u16).map(|i| f32::from(i % 7) - 3.0).collect();
        let b: Vec<f32> = (0..387_u16).map(|i| f32::from(i % 5) - 2.0).collect();
        let plain: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
        assert!((dot(&a, &b) - plain).abs() < 1e-3);
    }
}
