//! The arithmetic between matrix products: GELU, softmax, layer norm, sums.
//!
//! Functions over row-major `f32` slices, in place, without allocation, O(elements). [`pulp`] compiles each
//! for the vector instructions that are asked for. Rows have a multiple of 32 numbers, so that they are
//! whole registers of every kind.
#![expect(
    clippy::inline_always,
    reason = "bodies must be compiled inside the dispatched function"
)]

use pulp::{Arch, Simd, WithSimd};
use std::f32::consts::{LN_2, LOG2_E};

/// Added to the variance in a layer norm, as in the reference.
const NORM_EPSILON: f32 = 1e-12;

/// Something that is done with every row of a matrix.
pub(crate) trait RowWork {
    /// Does it; `row` is the number of the row.
    fn run<S: Simd>(&mut self, simd: S, row: usize, values: &mut [f32]);
}

/// Does `work` with each row of `rows`, `[n, width]`.
pub(crate) fn each_row(arch: Arch, rows: &mut [f32], width: usize, work: &mut impl RowWork) {
    struct All<'a, W>(&'a mut [f32], usize, &'a mut W);
    impl<W: RowWork> WithSimd for All<'_, W> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(rows, width, work) = self;
            for (row, values) in rows.chunks_exact_mut(width).enumerate() {
                work.run(simd, row, values);
            }
        }
    }
    debug_assert!(width.is_multiple_of(32), "rows are whole registers");
    arch.dispatch(All(rows, width, work));
}

/// Adds `bias` to each row.
pub(crate) struct AddBias<'a>(pub(crate) &'a [f32]);

impl RowWork for AddBias<'_> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, _: S, _: usize, values: &mut [f32]) {
        values.iter_mut().zip(self.0).for_each(|(x, b)| *x += b);
    }
}

/// Adds the rows of another matrix of the same shape.
pub(crate) struct AddRows<'a>(pub(crate) &'a [f32]);

impl RowWork for AddRows<'_> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, _: S, row: usize, values: &mut [f32]) {
        let others = &self.0[row * values.len()..];
        values.iter_mut().zip(others).for_each(|(x, y)| *x += y);
    }
}

/// GELU of each number.
pub(crate) struct Gelu;

impl RowWork for Gelu {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S, _: usize, values: &mut [f32]) {
        gelu(simd, values);
    }
}

/// Softmax of each row: non-negative numbers with sum 1.
pub(crate) struct Softmax;

impl RowWork for Softmax {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S, _: usize, values: &mut [f32]) {
        let (values, _) = S::as_mut_simd_f32s(values);
        let top = fold(values, simd.splat_f32s(f32::NEG_INFINITY), |a, x| {
            simd.max_f32s(a, x)
        });
        let top = simd.reduce_max_f32s(simd.max_f32s(top[0], top[1]));
        // e^(x - top) as a power of two.
        let scale = simd.splat_f32s(LOG2_E);
        let below = simd.splat_f32s(-top * LOG2_E);
        let mut sum = simd.splat_f32s(0.0);
        for x in &mut *values {
            *x = exp2(simd, simd.mul_add_e_f32s(*x, scale, below));
            sum = simd.add_f32s(sum, *x);
        }
        let scale = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sum));
        for x in values {
            *x = simd.mul_f32s(*x, scale);
        }
    }
}

/// Layer norm of each row: mean 0 and variance 1, then times `gain` plus `shift`.
pub(crate) struct LayerNorm<'a> {
    pub(crate) gain: &'a [f32],
    pub(crate) shift: &'a [f32],
}

impl RowWork for LayerNorm<'_> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S, _: usize, values: &mut [f32]) {
        let per_number = 1.0 / values.len() as f32;
        let (values, _) = S::as_mut_simd_f32s(values);
        let ((gain, _), (shift, _)) = (S::as_simd_f32s(self.gain), S::as_simd_f32s(self.shift));
        let zero = simd.splat_f32s(0.0);
        let [a, b] = fold(values, zero, |a, x| simd.add_f32s(a, x));
        let mean = simd.splat_f32s(simd.reduce_sum_f32s(simd.add_f32s(a, b)) * per_number);
        let [a, b] = fold(values, zero, |a, x| {
            let off = simd.sub_f32s(x, mean);
            simd.mul_add_e_f32s(off, off, a)
        });
        let variance = simd.reduce_sum_f32s(simd.add_f32s(a, b)) * per_number;
        let scale = simd.splat_f32s(1.0 / (variance + NORM_EPSILON).sqrt());
        for ((x, gain), shift) in values.iter_mut().zip(gain).zip(shift) {
            let normal = simd.mul_f32s(simd.sub_f32s(*x, mean), scale);
            *x = simd.mul_add_e_f32s(normal, *gain, *shift);
        }
    }
}

/// The least and the largest number of a row, 0 among them.
#[inline(always)]
pub(crate) fn range<S: Simd>(simd: S, row: &[f32]) -> (f32, f32) {
    let (row, _) = S::as_simd_f32s(row);
    let zero = simd.splat_f32s(0.0);
    let low = fold(row, zero, |a, x| simd.min_f32s(a, x));
    let high = fold(row, zero, |a, x| simd.max_f32s(a, x));
    (
        simd.reduce_min_f32s(simd.min_f32s(low[0], low[1])),
        simd.reduce_max_f32s(simd.max_f32s(high[0], high[1])),
    )
}

/// Folds `step` over registers in two accumulators, as one would wait for itself.
#[inline(always)]
fn fold<V: Copy>(row: &[V], start: V, step: impl Fn(V, V) -> V) -> [V; 2] {
    let (mut even, mut odd) = (start, start);
    let (pairs, rest) = row.as_chunks::<2>();
    for [a, b] in pairs {
        even = step(even, *a);
        odd = step(odd, *b);
    }
    for last in rest {
        even = step(even, *last);
    }
    [even, odd]
}

/// GELU with the error function (not the tanh form), x/2 (1 + erf(x/√2)), of each number. Off by at most
/// 5e-6, or by 1e-6 of x where that is more.
///
/// It is x times a share of it, 0.5 + c · p(t), with c = x cut at ±4.8, where the share is 0 or 1 to six
/// places, and t = 2 (c/4.8)² - 1 from -1 to 1. The polynomial p of degree 10 was fitted by weighted least
/// squares at 6000 Chebyshev nodes until the largest error was least. Neither a division nor an exponential.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, values: &mut [f32]) {
    let (values, _) = S::as_mut_simd_f32s(values);
    let (fours, rest) = values.as_chunks_mut::<4>();
    for four in fours {
        gelu_of_four(simd, four);
    }
    if !rest.is_empty() {
        gelu_of_four(simd, rest);
    }
}

/// [`gelu`] of at most four registers: four chains of sums side by side, as each waits for its own last step.
#[inline(always)]
fn gelu_of_four<S: Simd>(simd: S, values: &mut [S::f32s]) {
    const CUT: f32 = 4.8;
    const SERIES: [f32; 11] = [
        0.147_212_79,
        -0.072_979_76,
        0.052_904_096,
        -0.040_565_86,
        0.030_720_811,
        -0.022_187_902,
        0.013_864_297,
        -0.007_442_670_4,
        0.005_391_842_7,
        -0.004_195_055_5,
        0.001_444_090_6,
    ];
    let splat = |x: f32| simd.splat_f32s(x);
    let (mut cs, mut ts) = ([splat(0.0); 4], [splat(0.0); 4]);
    for ((x, c), t) in values.iter().zip(&mut cs).zip(&mut ts) {
        *c = simd.max_f32s(simd.min_f32s(*x, splat(CUT)), splat(-CUT));
        *t = simd.mul_add_e_f32s(simd.mul_f32s(*c, *c), splat(2.0 / (CUT * CUT)), splat(-1.0));
    }
    let mut sums = [splat(SERIES[10]); 4];
    for term in SERIES[..10].iter().rev() {
        for (sum, t) in sums.iter_mut().zip(&ts) {
            *sum = simd.mul_add_e_f32s(*sum, *t, splat(*term));
        }
    }
    for ((x, c), sum) in values.iter_mut().zip(cs).zip(sums) {
        *x = simd.mul_f32s(*x, simd.mul_add_e_f32s(c, sum, splat(0.5)));
    }
}

/// 2 to the power of each `x`, relative error below 2e-7 for -125 <= x <= 127; lower `x` counts as -125.
/// x = n + r with a whole n: 2^n goes into the exponent bits, 2^r is 1 plus r times a polynomial of degree 4,
/// fitted for the least relative error from -0.5 to 0.5.
#[inline(always)]
fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding and taking away 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const SERIES: [f32; 5] = [
        LN_2,
        0.240_222_83,
        0.055_505_585,
        0.009_669_691,
        0.001_330_060_7,
    ];
    let splat = |x: f32| simd.splat_f32s(x);
    let x = simd.max_f32s(x, splat(-125.0));
    let rounded = simd.add_f32s(x, splat(ROUND));
    let r = simd.sub_f32s(x, simd.sub_f32s(rounded, splat(ROUND)));
    let mut sum = splat(SERIES[4]);
    for term in SERIES[..4].iter().rev() {
        sum = simd.mul_add_e_f32s(sum, r, splat(*term));
    }
    let sum = simd.mul_add_e_f32s(sum, r, splat(1.0));
    // The low bits of `rounded` are n; what stands above them is pushed out.
    let n = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(sum), n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

    /// Does `work` with `values` in rows of `width` by the instructions of each kernel.
    fn each_kernel<W: RowWork>(
        values: &[f32],
        width: usize,
        mut work: impl FnMut() -> W,
        check: impl Fn(&[f32]),
    ) {
        for kernel in Kernel::available() {
            let mut values = values.to_vec();
            each_row(kernel.floats(), &mut values, width, &mut work());
            check(&values);
        }
    }

    struct Exp2;

    impl RowWork for Exp2 {
        fn run<S: Simd>(&mut self, simd: S, _: usize, values: &mut [f32]) {
            let (values, _) = S::as_mut_simd_f32s(values);
            for x in values {
                *x = exp2(simd, *x);
            }
        }
    }

    #[test]
    fn exp2_is_close_and_never_infinite_below() {
        let numbers: Vec<f32> = (-12_500..=12_600_i16)
            .map(|i| f32::from(i) / 100.0)
            .collect();
        let numbers = &numbers[..numbers.len() / 32 * 32];
        each_kernel(
            numbers,
            32,
            || Exp2,
            |found| {
                for (x, found) in numbers.iter().zip(found) {
                    let expected = f64::from(*x).exp2();
                    let error = (f64::from(*found) - expected).abs() / expected;
                    assert!(error < 3e-7, "exp2({x}): off by {error:e}");
                }
            },
        );
        let low = [[-1e30; 16], [f32::NEG_INFINITY; 16]];
        each_kernel(
            low.as_flattened(),
            32,
            || Exp2,
            |found| {
                assert!(found.iter().all(|x| *x < 1e-37));
            },
        );
    }

    #[test]
    fn gelu_is_close_to_known_values() {
        // x/2 (1 + erf(x/√2)), computed in 64 bits.
        let known = [
            (-30.0, 0.0_f32),
            (-3.0, -0.004_049_694),
            (-1.0, -0.158_655_26),
            (-0.1, -0.046_017_215),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (2.0, 1.954_499_7),
            (4.5, 4.499_984_7),
            (6.0, 6.0),
            (100.0, 100.0),
        ];
        let numbers: Vec<f32> = known.iter().map(|(x, _)| *x).cycle().take(32).collect();
        each_kernel(
            &numbers,
            32,
            || Gelu,
            |found| {
                for ((x, expected), found) in known.iter().zip(found) {
                    let error = (found - expected).abs();
                    let allowed = 5e-6_f32.max(x.abs() * 1e-6);
                    assert!(error < allowed, "gelu({x}): {found}, expected {expected}");
                }
            },
        );
    }

    #[test]
    fn softmax_rows_sum_to_one_whatever_the_size_of_the_numbers() {
        let mut rows = [[f32::NEG_INFINITY; 32]; 2];
        rows[0][..3].copy_from_slice(&[1000.0, 1000.0, -1000.0]);
        rows[1][29..].copy_from_slice(&[0.5, 0.25, 0.125]);
        each_kernel(
            rows.as_flattened(),
            32,
            || Softmax,
            |found| {
                let expected = [0.5, 0.5, 0.0, 0.405_500_2, 0.315_803_9, 0.278_695_9];
                for (x, expected) in found[..3].iter().chain(&found[61..]).zip(expected) {
                    assert!((x - expected).abs() < 1e-6, "{found:?}");
                }
                let ones: f32 = found[32..].iter().sum();
                assert!((ones - 1.0).abs() < 1e-6);
            },
        );
    }

    #[test]
    fn layer_norm_centres_and_scales() {
        let row: Vec<f32> = (0..96_u8).map(f32::from).collect();
        let norm = || LayerNorm {
            gain: &[2.0; 96],
            shift: &[1.0; 96],
        };
        each_kernel(&row, 96, norm, |row| {
            let mean = row.iter().sum::<f32>() / 96.0;
            let spread = row.iter().map(|x| (x - 1.0) * (x - 1.0)).sum::<f32>() / 96.0;
            let is_close = (mean - 1.0).abs() < 1e-5 && (spread - 4.0).abs() < 1e-4;
            assert!(is_close, "{mean} {spread}");
        });
    }
}
