//! The forward pass of a BERT encoder: token ids to one vector per text.
//!
//! Devlin et al., "BERT", 2018 (arXiv 1810.04805), in the shape of MiniLM-L6-H384 (Wang et al., 2020,
//! arXiv 2002.10957). The texts of a batch are laid row below row without padding: `[rows, 384]` with
//! one row per token. What is done per token runs over all rows at once; attention runs per text. So
//! a text's vector does not depend on its neighbours, and no arithmetic is spent on padding.
//!
//! Rows are divided among the threads of a pass. Only attention looks beyond a thread's own rows, so they
//! meet once per layer, when queries, keys and values are there.

mod layer;
mod pass;
mod tensors;
#[cfg(test)]
mod tests;

use crate::bytes::Shared;
use crate::int8_matrix::quantise_weights;
use crate::kernels::Kernel;
use crate::shape::{Pooling, Shape};
pub(crate) use layer::{Layer, Linear, Matrix, Norm};
use pass::Workspaces;
pub(crate) use tensors::from_weights;

/// A model, and the passes over it.
pub(crate) struct Encoder {
    shape: Shape,
    pooling: Pooling,
    kernel: Kernel,
    weights: Weights,
    workspaces: Workspaces,
}

/// The weights of a model.
pub(crate) struct Weights {
    /// One row per token of the vocabulary.
    pub(crate) words: Table,
    /// `[tokens_max, width]`: position plus token type 0, which every token here has.
    pub(crate) position_rows: Vec<f32>,
    pub(crate) norm: Norm,
    pub(crate) layers: Vec<Layer>,
}

/// Rows of numbers.
pub(crate) enum Table {
    /// Row-major.
    Floats(Vec<f32>),
    /// Row-major `i8`, and what a step is worth in each row.
    Bytes(Shared, Vec<f32>),
}

impl Encoder {
    /// Checks nothing: the parts are of the same shape.
    pub(crate) fn new(
        (shape, pooling): (Shape, Pooling),
        weights: Weights,
        kernel: Kernel,
    ) -> Self {
        Self {
            shape,
            pooling,
            kernel,
            weights,
            workspaces: Workspaces::default(),
        }
    }

    pub(crate) const fn width(&self) -> usize {
        self.shape.width
    }

    pub(crate) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The last layer's token states pooled, one vector per text, not yet normalised. Each text has
    /// 1 to `tokens_max` tokens. At most `threads` threads, this one among them, share the work.
    ///
    /// For MiniLM 21.2 million operations per token and 4 * 384 * 6 more per pair of tokens of a text.
    /// Working memory about 8 KB per token and 0.8 MB, kept for the next call; only the result is
    /// allocated, and threads beside this one.
    ///
    /// # Errors
    /// A text without tokens or with too many, or a token beyond the vocabulary: a bug of the caller.
    pub(crate) fn forward(
        &self,
        texts: &[&[u32]],
        threads: usize,
    ) -> Result<Vec<Vec<f32>>, String> {
        for ids in texts {
            if ids.is_empty() || ids.len() * self.shape.width > self.weights.position_rows.len() {
                return Err(format!(
                    "a text of {} tokens does not fit the window",
                    ids.len()
                ));
            }
            if let Some(id) = ids
                .iter()
                .find(|id| !self.weights.words.has(**id, self.shape))
            {
                return Err(format!("token {id} is beyond the vocabulary"));
            }
        }
        self.pass(texts, threads)
    }

    /// Adds the row of a token in the table that the model starts with to `sum`, if there is one.
    pub(crate) fn add_word_row(&self, id: u32, sum: &mut [f32]) {
        if self.weights.words.has(id, self.shape) {
            self.weights.words.add_row(id, sum);
        }
    }
}

impl Table {
    /// Rows in bytes, each with a scale of its own.
    pub(crate) fn quantise(rows: &[f32], width: usize) -> Self {
        let (mut bytes, mut scales) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows.chunks_exact(width) {
            let (scale, row) = quantise_weights(row);
            scales.push(scale);
            bytes.extend(row.into_iter().map(i8::cast_unsigned));
        }
        Self::Bytes(Shared::copy(&bytes), scales)
    }

    /// Whether there is a row for a token.
    pub(crate) fn has(&self, id: u32, shape: Shape) -> bool {
        let numbers = match self {
            Self::Floats(values) => values.len(),
            Self::Bytes(values, _) => values.as_slice().len(),
        };
        (id as usize) < numbers / shape.width
    }

    /// Adds a row that is there to `sum`.
    fn add_row(&self, id: u32, sum: &mut [f32]) {
        let from = id as usize * sum.len();
        match self {
            Self::Floats(values) => {
                let row = &values[from..from + sum.len()];
                sum.iter_mut().zip(row).for_each(|(x, y)| *x += y);
            }
            Self::Bytes(values, scales) => {
                let row = &values.as_slice()[from..from + sum.len()];
                let scale = scales[id as usize];
                for (x, byte) in sum.iter_mut().zip(row) {
                    *x += scale * f32::from(byte.cast_signed());
                }
            }
        }
    }
}
