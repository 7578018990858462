//! The product of rows of floats and a matrix, by way of bytes.
//!
//! Weights are `i8` with a scale per output, rows of activations `u8` with a scale and a zero point per
//! row ("dynamic" quantisation: each token by its own range). The sums of products are exact:
//!
//! ```text
//!   x[row, input]  ≈ row_scale * (q[row, input] - zero)         q in 0..=255
//!   w[input, output] ≈ scale[output] * v[input, output]         v in -127..=127
//!   x w            ≈ row_scale * scale[output] * (Σ q v - zero * Σ v)
//! ```
//!
//! `Σ v` is known beforehand. What follows a product (bias, GELU, the sum with what came in) is done
//! while its sums are in the cache.
#![expect(
    clippy::inline_always,
    reason = "bodies must be compiled inside the dispatched function"
)]

use crate::arithmetic::{gelu, range};
use crate::bytes::Shared;
use crate::kernels::{Activations, BLOCK_ROWS, COLUMNS, Kernel, STEP_INPUTS, Step, Sums};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// A weight matrix `[inputs, outputs]` in bytes.
pub(crate) struct Int8Matrix {
    /// `outputs / 64` panels, each `inputs / 4` steps.
    panels: Shared,
    /// What a weight's step is worth, per output.
    scales: Vec<f32>,
    /// The sum of an output's weights.
    totals: Vec<i32>,
    inputs: usize,
}

/// What is done with a product.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// The bias is added.
    Nothing,
    /// The bias is added and GELU applied.
    Gelu,
    /// The bias is added, and these rows.
    Add(&'a [f32]),
}

/// Rows of activations as bytes.
#[derive(Default)]
pub(crate) struct QuantisedRows {
    values: Vec<Activations>,
    scales: Vec<f32>,
    zeros: Vec<i32>,
}

impl Int8Matrix {
    /// Quantises a matrix `[outputs, inputs]`, row-major as in a model's file. `outputs` is a multiple of 64,
    /// `inputs` of 4.
    pub(crate) fn quantise(weights: &[f32], inputs: usize) -> Self {
        let (panels, scales, totals) = pack(weights, inputs);
        let bytes = panels.as_flattened().as_flattened();
        Self::new(Shared::copy(bytes), scales, totals, inputs)
    }

    /// Takes `panels` as [`Self::quantise`] lays them out.
    pub(crate) fn new(panels: Shared, scales: Vec<f32>, totals: Vec<i32>, inputs: usize) -> Self {
        assert_eq!(
            panels.steps().len() * STEP_INPUTS * COLUMNS,
            inputs * scales.len()
        );
        assert_eq!(totals.len(), scales.len());
        Self {
            panels,
            scales,
            totals,
            inputs,
        }
    }

    /// Its weights as [`Self::quantise`] lays them out.
    pub(crate) fn panels(&self) -> &[u8] {
        self.panels.as_slice()
    }

    /// What a weight's step is worth, per output.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The sum of each output's weights.
    pub(crate) fn totals(&self) -> &[i32] {
        &self.totals
    }

    /// `rows` times the matrix, and what is done then, into `products`: `[rows, inputs]` to `[rows,
    /// outputs]`, row-major. 2 operations per row, input and output.
    pub(crate) fn product(
        &self,
        kernel: Kernel,
        rows: &[f32],
        (bias, then): (&[f32], Then<'_>),
        products: &mut [f32],
        bytes: &mut QuantisedRows,
    ) {
        bytes.fill(kernel, rows, self.inputs);
        let steps = self.inputs / STEP_INPUTS;
        let count = bytes.scales.len();
        let blocks = count.div_ceil(BLOCK_ROWS);
        let mut sums = [[0; COLUMNS]; BLOCK_ROWS];
        for panel in 0..self.scales.len() / COLUMNS {
            let (weights, later) = self.panels.steps()[panel * steps..].split_at(steps);
            let next = &later[..steps.min(later.len())];
            for block in 0..blocks {
                // Each block has nearly as many rows, and asks for as much of the next panel.
                let share = |of: usize| block * of / blocks..(block + 1) * of / blocks;
                let (range, soon) = (share(count), &next[share(next.len())]);
                let mut rows = [&[][..]; BLOCK_ROWS];
                for (row, at) in rows.iter_mut().zip(range.clone()) {
                    *row = &bytes.values[at * steps..][..steps];
                }
                let sums = &mut sums[..range.len()];
                kernel.multiply(&rows[..range.len()], weights, soon, sums);
                kernel.floats().dispatch(Finish {
                    panel: self.panel(panel, bias),
                    rows: bytes,
                    range,
                    sums,
                    products,
                    then,
                });
            }
        }
    }

    fn panel<'a>(&'a self, index: usize, bias: &'a [f32]) -> Panel<'a> {
        Panel {
            scales: &self.scales.as_chunks().0[index],
            totals: &self.totals.as_chunks().0[index],
            bias: &bias.as_chunks().0[index],
            column: index * COLUMNS,
            width: self.scales.len(),
        }
    }
}

/// What the sums of a panel are finished with.
struct Panel<'a> {
    scales: &'a [f32; COLUMNS],
    totals: &'a [i32; COLUMNS],
    bias: &'a [f32; COLUMNS],
    /// The first of its columns.
    column: usize,
    /// Columns of all panels.
    width: usize,
}

/// From the sums of a block to the numbers in their place.
struct Finish<'a> {
    panel: Panel<'a>,
    rows: &'a QuantisedRows,
    /// Those of the block.
    range: Range<usize>,
    sums: &'a [Sums],
    products: &'a mut [f32],
    then: Then<'a>,
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let panel = self.panel;
        for (row, sums) in self.range.zip(self.sums) {
            let (scale, zero) = (self.rows.scales[row], self.rows.zeros[row]);
            let first = row * panel.width + panel.column;
            let mut done = [0.0; COLUMNS];
            for (column, number) in done.iter_mut().enumerate() {
                // |sum| and |zero * total| are below 2^31 for up to 2^16 inputs.
                let exact = sums[column].wrapping_sub(zero.wrapping_mul(panel.totals[column]));
                *number = exact as f32 * (scale * panel.scales[column]) + panel.bias[column];
            }
            match self.then {
                Then::Nothing => {}
                Then::Gelu => gelu(simd, &mut done),
                Then::Add(others) => {
                    let others = &others[first..][..COLUMNS];
                    done.iter_mut().zip(others).for_each(|(x, y)| *x += y);
                }
            }
            self.products[first..][..COLUMNS].copy_from_slice(&done);
        }
    }
}

impl QuantisedRows {
    /// Bytes that are kept.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        4 * (self.values.capacity() + self.scales.capacity() + self.zeros.capacity())
    }

    /// Each row of `rows`, `[n, width]`, by its own range, which has 0 in it: 0 stays 0 exactly. Off by
    /// half a step of 1/255 of the range at most.
    fn fill(&mut self, kernel: Kernel, rows: &[f32], width: usize) {
        let count = rows.len() / width;
        self.values
            .resize(rows.len() / STEP_INPUTS, [0; STEP_INPUTS]);
        self.scales.resize(count, 0.0);
        self.zeros.resize(count, 0);
        kernel.floats().dispatch(Quantise {
            rows,
            width,
            into: self,
        });
    }
}

struct Quantise<'a> {
    rows: &'a [f32],
    width: usize,
    into: &'a mut QuantisedRows,
}

impl WithSimd for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let bytes = self.into.values.as_flattened_mut();
        let rows = self.rows.chunks_exact(self.width);
        let rows = rows.zip(bytes.chunks_exact_mut(self.width));
        let ranges = self.into.scales.iter_mut().zip(&mut self.into.zeros);
        for ((row, bytes), (scale, zero)) in rows.zip(ranges) {
            (*scale, *zero) = quantise(simd, row, bytes);
        }
    }
}

/// A row in bytes; its scale and zero point.
#[inline(always)]
fn quantise<S: Simd>(simd: S, row: &[f32], bytes: &mut [u8]) -> (f32, i32) {
    // Adding 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 8_388_608.0;
    let (low, high) = range(simd, row);
    // The least normal number stands in for the range of a row of zeros.
    let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
    let per_step = 1.0 / scale;
    let zero = (-low * per_step + ROUND) - ROUND;
    for (byte, x) in bytes.iter_mut().zip(row) {
        let step = x * per_step + zero;
        let step = if step > 255.0 { 255.0 } else { step };
        let step = if step > 0.0 { step } else { 0.0 };
        *byte = (step + ROUND).to_bits().to_le_bytes()[0];
    }
    (scale, whole(zero))
}

/// A matrix in bytes, laid out for the kernels: panels, scales, totals.
fn pack(weights: &[f32], inputs: usize) -> (Vec<Step>, Vec<f32>, Vec<i32>) {
    let mut panels = Vec::with_capacity(weights.len() / (COLUMNS * STEP_INPUTS));
    let (mut scales, mut totals) = (Vec::new(), Vec::new());
    for columns in weights.chunks_exact(COLUMNS * inputs) {
        let mut steps = vec![[[0_u8; 64]; 4]; inputs / STEP_INPUTS];
        for (column, weights) in columns.chunks_exact(inputs).enumerate() {
            let (scale, bytes) = quantise_weights(weights);
            for (step, bytes) in steps.iter_mut().zip(bytes.as_chunks::<STEP_INPUTS>().0) {
                step[column / 16].as_chunks_mut::<STEP_INPUTS>().0[column % 16] =
                    bytes.map(i8::cast_unsigned);
            }
            scales.push(scale);
            totals.push(bytes.iter().map(|byte| i32::from(*byte)).sum());
        }
        panels.append(&mut steps);
    }
    (panels, scales, totals)
}

/// Weights as multiples of a scale, the largest as 127.
pub(crate) fn quantise_weights(weights: &[f32]) -> (f32, Vec<i8>) {
    let largest = weights.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
    let bytes = weights.iter().map(|w| {
        // No weight is beyond 127 steps.
        i8::try_from(whole(rounded(w / scale))).unwrap_or(i8::MAX)
    });
    (scale, bytes.collect())
}

/// The nearest integer of a number below 2^22; of two the even one. (Adding 1.5 * 2^23 leaves no place for
/// fractions; a call of the system's `rint` per weight took a third of the time.)
fn rounded(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    (x + ROUND) - ROUND
}

/// A small whole number as one.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "whole and small")]
fn whole(x: f32) -> i32 {
    x as i32
}
