//! The product of token states and a weight matrix, the bulk of a forward pass.
//!
//! With the few rows of a short text a general product is bound by how weights come from memory: it
//! walks columns of a wide matrix and touches a new page at each step. Here weights are packed once
//! into panels of [`PANEL`] columns, which are read from front to back, and each panel is used for all
//! rows of a tile while it is in the cache. Sums are kept in registers, a block of rows by a panel
//! (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008, section 4).
#![expect(
    clippy::inline_always,
    reason = "bodies must be compiled inside the dispatched function"
)]

use crate::kernels::arch;
use pulp::{Simd, WithSimd};

/// Columns of a panel: two registers of 512 bits.
const PANEL: usize = 32;
/// Rows of a block where registers have 512 bits: 24 of 32 hold sums.
const BLOCK_ROWS_512: usize = 12;
/// Rows of a block elsewhere, for half a panel: 12 of 16 registers of 256 bits hold sums.
const BLOCK_ROWS_256: usize = 6;
/// Rows that a panel is used for before the next one: their states stay in the second-level cache.
const TILE_ROWS: usize = 96;

/// A weight matrix `[inputs, outputs]`, packed: panels of [`PANEL`] columns one after the other, each
/// row-major.
pub(crate) struct Packed {
    panels: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Packed {
    /// Packs the transpose of `weights`, which is `[outputs, inputs]`, row-major, as in a model's file.
    /// `outputs` is a multiple of [`PANEL`].
    pub(crate) fn transposed(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert!(weights.len() == outputs * inputs && outputs.is_multiple_of(PANEL));
        let mut panels = Vec::with_capacity(weights.len());
        for columns in weights.chunks_exact(PANEL * inputs) {
            for input in 0..inputs {
                panels.extend(columns.iter().skip(input).step_by(inputs));
            }
        }
        Self {
            panels,
            inputs,
            outputs,
        }
    }

    /// `states` times the matrix: `[rows, inputs]` to `[rows, outputs]`, row-major. 2 FLOP per row,
    /// input and output.
    pub(crate) fn product(&self, states: &[f32]) -> Vec<f32> {
        let rows = states.len() / self.inputs;
        let mut result = vec![0.0; rows * self.outputs];
        let block_rows = if has_512_bits() {
            BLOCK_ROWS_512
        } else {
            BLOCK_ROWS_256
        };
        let tiles = states.chunks(TILE_ROWS * self.inputs);
        for (tile, values) in tiles.zip(result.chunks_mut(TILE_ROWS * self.outputs)) {
            let blocks = Blocks::new(tile, self.inputs, block_rows);
            for (index, panel) in self.panels.chunks_exact(PANEL * self.inputs).enumerate() {
                let into = Into {
                    values,
                    outputs: self.outputs,
                    columns: index * PANEL,
                };
                let blocks = &blocks;
                arch().dispatch(PanelTimes {
                    blocks,
                    panel,
                    into,
                });
            }
        }
        result
    }
}

/// Whether there are 32 registers of 512 bits.
fn has_512_bits() -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(arch(), pulp::Arch::V4(_));
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// All blocks of a tile times one panel.
struct PanelTimes<'a> {
    blocks: &'a Blocks,
    panel: &'a [f32],
    into: Into<'a>,
}

/// Where a panel's results go: some columns of all rows of a tile.
struct Into<'a> {
    values: &'a mut [f32],
    outputs: usize,
    columns: usize,
}

/// The rows of a tile in blocks of nearly equal size, each `[inputs, rows of the block]`, so that the
/// inner loop reads front to back.
struct Blocks {
    values: Vec<f32>,
    inputs: usize,
    rows: Vec<usize>,
}

impl Blocks {
    fn new(tile: &[f32], inputs: usize, rows_max: usize) -> Self {
        let rows = tile.len() / inputs;
        let count = rows.div_ceil(rows_max);
        let sizes = (0..count).map(|i| (i + 1) * rows / count - i * rows / count);
        let mut blocks = Self {
            values: Vec::with_capacity(tile.len()),
            inputs,
            rows: sizes.collect(),
        };
        let mut rest = tile;
        for &size in &blocks.rows {
            let (block, after) = rest.split_at(size * inputs);
            for input in 0..inputs {
                blocks
                    .values
                    .extend(block.iter().skip(input).step_by(inputs));
            }
            rest = after;
        }
        blocks
    }
}

impl WithSimd for PanelTimes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (panel, _) = S::as_simd_f32s(self.panel);
        let (mut from, mut row) = (0, 0);
        for &rows in &self.blocks.rows {
            let block = &self.blocks.values[from..from + rows * self.blocks.inputs];
            let of_block = row * self.into.outputs..(row + rows) * self.into.outputs;
            for first in (0..PANEL / S::F32_LANES).step_by(2) {
                let values = &mut self.into.values[of_block.clone()];
                let columns = self.into.columns + first * S::F32_LANES;
                let (panel, into) = ((panel, first), (values, columns, self.into.outputs));
                match rows {
                    1 => multiply::<S, 1>(simd, block, panel, into),
                    2 => multiply::<S, 2>(simd, block, panel, into),
                    3 => multiply::<S, 3>(simd, block, panel, into),
                    4 => multiply::<S, 4>(simd, block, panel, into),
                    5 => multiply::<S, 5>(simd, block, panel, into),
                    6 => multiply::<S, 6>(simd, block, panel, into),
                    7 => multiply::<S, 7>(simd, block, panel, into),
                    8 => multiply::<S, 8>(simd, block, panel, into),
                    9 => multiply::<S, 9>(simd, block, panel, into),
                    10 => multiply::<S, 10>(simd, block, panel, into),
                    11 => multiply::<S, 11>(simd, block, panel, into),
                    _ => multiply::<S, 12>(simd, block, panel, into),
                }
            }
            from += rows * self.blocks.inputs;
            row += rows;
        }
    }
}

/// One block times two registers' columns of a panel, from register `first` on. All sums stay in
/// registers until the end, when they go to `columns` of each row of `values`.
#[inline(always)]
fn multiply<S: Simd, const ROWS: usize>(
    simd: S,
    block: &[f32],
    (panel, first): (&[S::f32s], usize),
    (values, columns, outputs): (&mut [f32], usize, usize),
) {
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    let (states, _) = block.as_chunks::<ROWS>();
    for (states, weights) in states.iter().zip(panel.chunks_exact(PANEL / S::F32_LANES)) {
        let (left, right) = (weights[first], weights[first + 1]);
        for (sums, state) in sums.iter_mut().zip(states) {
            let state = simd.splat_f32s(*state);
            sums[0] = simd.mul_add_e_f32s(state, left, sums[0]);
            sums[1] = simd.mul_add_e_f32s(state, right, sums[1]);
        }
    }
    for (sums, row) in sums.iter().zip(values.chunks_exact_mut(outputs)) {
        let (into, _) = S::as_mut_simd_f32s(&mut row[columns..columns + 2 * S::F32_LANES]);
        into.copy_from_slice(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 that look random.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 32_768.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[track_caller]
    fn check(rows: usize, inputs: usize, outputs: usize) {
        let (states, weights) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
        let found = Packed::transposed(&weights, outputs, inputs).product(&states);
        assert_eq!(found.len(), rows * outputs);
        for (index, value) in found.iter().enumerate() {
            let (row, output) = (index / outputs, index % outputs);
            let terms = states[row * inputs..][..inputs]
                .iter()
                .zip(&weights[output * inputs..]);
            let expected: f64 = terms.map(|(s, w)| f64::from(*s) * f64::from(*w)).sum();
            let error = (f64::from(*value) - expected).abs();
            assert!(
                error < 1e-4,
                "[{row}, {output}] of {rows} rows: {value}, expected {expected}"
            );
        }
    }

    #[test]
    fn products_equal_the_definition_for_every_number_of_rows() {
        for rows in (0..=30).chain([95, 96, 97, 200]) {
            check(rows, 7, 64);
        }
        check(14, 384, 32);
        check(1, 1, 32);
    }
}
