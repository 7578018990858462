//! The product of rows of floats and a matrix: the exact mode's bulk, and attention's.
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

use pulp::{Arch, Simd, WithSimd};

/// Columns of a panel: two registers of 512 bits.
pub(crate) const PANEL: usize = 32;
/// Rows of a block where registers have 512 bits: 24 of 32 hold sums.
const BLOCK_ROWS_512: usize = 12;
/// Rows of a block elsewhere, for half a panel: 12 of 16 registers of 256 bits hold sums.
const BLOCK_ROWS_256: usize = 6;

/// The weights of one input for the columns of a panel.
pub(crate) type PanelRow = [f32; PANEL];

/// A weight matrix `[inputs, outputs]`, packed: panels of [`PANEL`] columns one after the other, each
/// row-major.
pub(crate) struct FloatMatrix {
    panels: Vec<PanelRow>,
    inputs: usize,
    outputs: usize,
}

impl FloatMatrix {
    /// Packs the transpose of `weights`, which is `[outputs, inputs]`, row-major, as in a model's file.
    /// `outputs` is a multiple of [`PANEL`].
    pub(crate) fn transposed(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert!(weights.len() == outputs * inputs && outputs.is_multiple_of(PANEL));
        let columns = weights.chunks_exact(PANEL * inputs);
        let panels = columns.flat_map(|columns| {
            (0..inputs)
                .map(move |input| std::array::from_fn(|column| columns[column * inputs + input]))
        });
        Self {
            panels: panels.collect(),
            inputs,
            outputs,
        }
    }

    /// `rows` times the matrix into `products`: `[rows, inputs]` to `[rows, outputs]`, row-major. 2 FLOP
    /// per row, input and output.
    pub(crate) fn product(&self, arch: Arch, rows: &[f32], products: &mut [f32]) {
        if rows.is_empty() {
            return;
        }
        for (index, panel) in self.panels.chunks_exact(self.inputs).enumerate() {
            let columns = index * PANEL;
            let rows = Rows {
                values: rows,
                stride: self.inputs,
                count: rows.len() / self.inputs,
            };
            multiply(arch, rows, panel, &mut products[columns..], self.outputs);
        }
    }
}

/// Some rows of numbers: row i begins at `values[i * stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// Rows times a panel. Of each row as many numbers are read as the panel has rows; its products go to
/// the first [`PANEL`] places from `products[row * stride]` on.
pub(crate) fn multiply(
    arch: Arch,
    rows: Rows<'_>,
    panel: &[PanelRow],
    products: &mut [f32],
    stride: usize,
) {
    arch.dispatch(PanelTimes {
        rows,
        panel,
        products,
        stride,
        block_rows: if has_512_bits(arch) {
            BLOCK_ROWS_512
        } else {
            BLOCK_ROWS_256
        },
    });
}

/// Whether there are 32 registers of 512 bits.
fn has_512_bits(arch: Arch) -> bool {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => true,
        _ => false,
    }
}

/// All rows times one panel, in blocks of nearly equal size.
struct PanelTimes<'a> {
    rows: Rows<'a>,
    panel: &'a [PanelRow],
    products: &'a mut [f32],
    stride: usize,
    block_rows: usize,
}

impl WithSimd for PanelTimes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Rows {
            values,
            stride,
            count,
        } = self.rows;
        let blocks = count.div_ceil(self.block_rows);
        for block in 0..blocks {
            let (from, to) = (block * count / blocks, (block + 1) * count / blocks);
            let states = Rows {
                values: &values[from * stride..],
                stride,
                count: to - from,
            };
            let products = &mut self.products[from * self.stride..];
            let into = (products, self.stride);
            match to - from {
                1 => block_times::<S, 1>(simd, states, self.panel, into),
                2 => block_times::<S, 2>(simd, states, self.panel, into),
                3 => block_times::<S, 3>(simd, states, self.panel, into),
                4 => block_times::<S, 4>(simd, states, self.panel, into),
                5 => block_times::<S, 5>(simd, states, self.panel, into),
                6 => block_times::<S, 6>(simd, states, self.panel, into),
                7 => block_times::<S, 7>(simd, states, self.panel, into),
                8 => block_times::<S, 8>(simd, states, self.panel, into),
                9 => block_times::<S, 9>(simd, states, self.panel, into),
                10 => block_times::<S, 10>(simd, states, self.panel, into),
                11 => block_times::<S, 11>(simd, states, self.panel, into),
                _ => block_times::<S, 12>(simd, states, self.panel, into),
            }
        }
    }
}

/// One block times the panel, two registers' columns at a time. All sums stay in registers until the
/// end.
#[inline(always)]
fn block_times<S: Simd, const ROWS: usize>(
    simd: S,
    rows: Rows<'_>,
    panel: &[PanelRow],
    (products, stride): (&mut [f32], usize),
) {
    let Rows {
        values,
        stride: apart,
        ..
    } = rows;
    // A loop, as `array::from_fn` is not always compiled into this.
    let mut rows = [&[][..]; ROWS];
    for (at, row) in rows.iter_mut().enumerate() {
        *row = &values[at * apart..][..panel.len()];
    }
    for first in (0..PANEL / S::F32_LANES).step_by(2) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
        for (at, weights) in panel.iter().enumerate() {
            let (weights, _) = S::as_simd_f32s(weights);
            let (left, right) = (weights[first], weights[first + 1]);
            for (sums, row) in sums.iter_mut().zip(&rows) {
                let state = simd.splat_f32s(row[at]);
                sums[0] = simd.mul_add_e_f32s(state, left, sums[0]);
                sums[1] = simd.mul_add_e_f32s(state, right, sums[1]);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let products = &mut products[row * stride..][..PANEL];
            let (products, _) = S::as_mut_simd_f32s(products);
            products[first] = sums[0];
            products[first + 1] = sums[1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

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
        for kernel in Kernel::available() {
            let mut found = vec![0.0; rows * outputs];
            let matrix = FloatMatrix::transposed(&weights, outputs, inputs);
            matrix.product(kernel.floats(), &states, &mut found);
            for (index, value) in found.iter().enumerate() {
                let (row, output) = (index / outputs, index % outputs);
                let terms = states[row * inputs..][..inputs]
                    .iter()
                    .zip(&weights[output * inputs..]);
                let expected: f64 = terms.map(|(s, w)| f64::from(*s) * f64::from(*w)).sum();
                let error = (f64::from(*value) - expected).abs();
                assert!(
                    error < 1e-4,
                    "{kernel:?}: [{row}, {output}] of {rows} rows: {value}, expected {expected}"
                );
            }
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
