//! A layer of the encoder: its weights, and what is done with the rows of a tile.

use crate::arithmetic::{AddBias, AddRows, Gelu, LayerNorm, each_row};
use crate::float_matrix::FloatMatrix;
use crate::int8_matrix::{Int8Matrix, QuantisedRows, Then};
use crate::kernels::Kernel;

/// One layer.
pub(crate) struct Layer {
    /// Query, key and value side by side: width to 3 * width.
    pub(crate) query_key_value: Linear,
    /// Width to width.
    pub(crate) attended: Linear,
    pub(crate) attended_norm: Norm,
    /// Width to inner width.
    pub(crate) widen: Linear,
    /// Inner width to width.
    pub(crate) narrow: Linear,
    pub(crate) narrow_norm: Norm,
}

/// A matrix and what is added to each row of its product.
pub(crate) struct Linear {
    pub(crate) matrix: Matrix,
    pub(crate) bias: Vec<f32>,
}

/// A matrix in one of the two precisions.
pub(crate) enum Matrix {
    Float(FloatMatrix),
    Int8(Int8Matrix),
}

/// A layer norm.
pub(crate) struct Norm {
    pub(crate) gain: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

/// Room for the rows of a tile between the products of a layer.
#[derive(Default)]
pub(super) struct Scratch {
    attended: Vec<f32>,
    wide: Vec<f32>,
    bytes: QuantisedRows,
}

impl Scratch {
    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        4 * (self.attended.capacity() + self.wide.capacity()) + self.bytes.bytes()
    }
}

impl Layer {
    /// Queries, keys and values of some states: `[rows, width]` to `[rows, 3 * width]`.
    pub(super) fn look(
        &self,
        kernel: Kernel,
        states: &[f32],
        into: &mut [f32],
        scratch: &mut Scratch,
    ) {
        self.query_key_value
            .apply(kernel, states, Then::Nothing, into, &mut scratch.bytes);
    }

    /// What follows attention: from `contexts` and the layer's input, both `[rows, width]`, to its output,
    /// in the place of its input.
    pub(super) fn conclude(
        &self,
        kernel: Kernel,
        contexts: &[f32],
        states: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Scratch {
            attended,
            wide,
            bytes,
        } = scratch;
        attended.resize(states.len(), 0.0);
        wide.resize(
            states.len() / self.narrow.bias.len() * self.widen.bias.len(),
            0.0,
        );
        self.attended
            .apply(kernel, contexts, Then::Add(states), attended, bytes);
        self.attended_norm.apply(kernel, attended);
        self.widen.apply(kernel, attended, Then::Gelu, wide, bytes);
        self.narrow
            .apply(kernel, wide, Then::Add(attended), states, bytes);
        self.narrow_norm.apply(kernel, states);
    }
}

impl Linear {
    fn apply(
        &self,
        kernel: Kernel,
        rows: &[f32],
        then: Then<'_>,
        products: &mut [f32],
        bytes: &mut QuantisedRows,
    ) {
        let floats = kernel.floats();
        match &self.matrix {
            Matrix::Int8(matrix) => {
                matrix.product(kernel, rows, (&self.bias, then), products, bytes);
            }
            Matrix::Float(matrix) => {
                matrix.product(floats, rows, products);
                let width = self.bias.len();
                each_row(floats, products, width, &mut AddBias(&self.bias));
                match then {
                    Then::Nothing => {}
                    Then::Gelu => each_row(floats, products, width, &mut Gelu),
                    Then::Add(others) => each_row(floats, products, width, &mut AddRows(others)),
                }
            }
        }
    }
}

impl Norm {
    pub(super) fn apply(&self, kernel: Kernel, rows: &mut [f32]) {
        let Self { gain, shift } = self;
        each_row(
            kernel.floats(),
            rows,
            gain.len(),
            &mut LayerNorm { gain, shift },
        );
    }
}
