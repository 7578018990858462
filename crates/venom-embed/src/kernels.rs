//! The arithmetic between matrix products: GELU, softmax, layer norm, pooling.
//!
//! Pure functions over row-major `f32` slices, in place, without allocation, O(elements). [`pulp`]
//! compiles each for the vector instructions of the processor at hand. The wrapper that makes softmax
//! a tensor operation is at the end.
#![expect(
    clippy::inline_always,
    reason = "bodies must be compiled inside the dispatched function"
)]

use candle_core::{CpuStorage, InplaceOp1, Layout, Result};
use std::sync::OnceLock;

/// Independent partial sums per reduction, so that the compiler can keep them in vector registers.
const LANES: usize = 16;
/// Added to the variance in a layer norm, as in the reference.
const NORM_EPSILON: f32 = 1e-12;

/// Adds `bias` to each row of `rows`, `[n, bias.len()]`.
pub(crate) fn add_bias(rows: &mut [f32], bias: &[f32]) {
    vectorized(|| {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    });
}

/// `gelu(row + bias)` for each row, with the error function (not the tanh form): x/2 (1 + erf(x/√2)).
/// Off by at most 1e-6 where |x| < 6.
pub(crate) fn add_bias_gelu(rows: &mut [f32], bias: &[f32]) {
    vectorized(|| {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x = gelu(*x + b);
            }
        }
    });
}

/// Softmax of each row of `rows`, `[n, width]`: non-negative numbers with sum 1.
pub(crate) fn softmax(rows: &mut [f32], width: usize) {
    vectorized(|| {
        for row in rows.chunks_exact_mut(width) {
            let top = reduce(
                row,
                f32::NEG_INFINITY,
                |acc, x| if x > acc { x } else { acc },
            );
            for x in row.iter_mut() {
                *x = exp(*x - top);
            }
            let scale = 1.0 / sum(row);
            for x in row.iter_mut() {
                *x *= scale;
            }
        }
    });
}

/// Layer norm of each row: mean 0 and variance 1, then times `gain` plus `shift`.
pub(crate) fn layer_norm(rows: &mut [f32], gain: &[f32], shift: &[f32]) {
    vectorized(|| {
        let width = gain.len();
        for row in rows.chunks_exact_mut(width) {
            let mean = sum(row) / width as f32;
            let variance = reduce(row, 0.0, |acc, x| acc + (x - mean) * (x - mean)) / width as f32;
            let scale = 1.0 / (variance + NORM_EPSILON).sqrt();
            for ((x, g), s) in row.iter_mut().zip(gain).zip(shift) {
                *x = (*x - mean) * scale * g + s;
            }
        }
    });
}

/// The mean over the rows of `rows`, `[n, width]`, n at least 1.
pub(crate) fn mean_of_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        for (m, x) in mean.iter_mut().zip(row) {
            *m += x;
        }
    }
    let scale = 1.0 / (rows.len() / width) as f32;
    for m in &mut mean {
        *m *= scale;
    }
    mean
}

/// Adds `other` to `rows`, element by element.
pub(crate) fn add(rows: &mut [f32], other: &[f32]) {
    vectorized(|| {
        for (x, y) in rows.iter_mut().zip(other) {
            *x += y;
        }
    });
}

/// Runs `f` compiled for the best vector instructions found. Everything `f` calls must be inlined.
#[inline(always)]
fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    arch().dispatch(f)
}

/// The vector instructions of the processor at hand.
pub(crate) fn arch() -> pulp::Arch {
    static ARCH: OnceLock<pulp::Arch> = OnceLock::new();
    *ARCH.get_or_init(pulp::Arch::new)
}

#[inline(always)]
fn sum(row: &[f32]) -> f32 {
    reduce(row, 0.0, |acc, x| acc + x)
}

/// Folds `step` over the row in [`LANES`] independent accumulators; `start` must be neutral in the
/// joining of two accumulators, which is `+` for a neutral 0 and `max` otherwise.
#[inline(always)]
fn reduce(row: &[f32], start: f32, step: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = step(*lane, *x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, *x);
    }
    let join = |a: f32, b: &f32| if start == 0.0 { a + b } else { a.max(*b) };
    lanes.iter().fold(start, join)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function, off by at most 1.5e-7 plus rounding (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let series = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t
        + 0.254_829_6)
        * t;
    (1.0 - series * exp(-size * size)).copysign(x)
}

/// e to the power of `x`, relative error below 3e-7 for -87 <= x <= 88; lower `x` counts as -87.
/// x = n ln 2 + r: the power of two goes into the exponent bits, e^r is a polynomial (Cephes, expf).
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let series = ((((1.987_569_1e-4 * r + 1.398_2e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2)
        * r
        + 1.666_666_5e-1)
        * r
        + 0.5;
    let power_bits = rounded
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    (series * r * r + r + 1.0) * f32::from_bits(power_bits)
}

/// Softmax over the last dimension, in place.
pub(crate) struct Softmax;

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = *layout.dims().last().unwrap_or(&1);
        softmax(slice_mut(storage, layout)?, width);
        Ok(())
    }
}

/// The elements of a contiguous f32 tensor.
fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let CpuStorage::F32(all) = storage else {
        candle_core::bail!("expected f32, received {:?}", storage)
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut all[start..end]),
        None => candle_core::bail!("the tensor must be contiguous"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_and_never_infinite_below() {
        for i in -8_700..=8_000_i16 {
            let x = f32::from(i) / 100.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}): off by {error:e}");
        }
        assert!(exp(-1e30) < 1e-37);
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn gelu_is_close_to_known_values() {
        // x/2 (1 + erf(x/√2)), computed in 64 bits.
        let known = [
            (-3.0, -0.004_049_694_f32),
            (-1.0, -0.158_655_26),
            (-0.1, -0.046_017_215),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (2.0, 1.954_499_7),
            (6.0, 6.0),
        ];
        for (x, expected) in known {
            let found = gelu(x);
            assert!(
                (found - expected).abs() < 1e-6,
                "gelu({x}): {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn softmax_rows_sum_to_one_whatever_the_size_of_the_numbers() {
        let mut rows = vec![1000.0, 1000.0, -1000.0, 0.5, 0.25, 0.125];
        softmax(&mut rows, 3);
        for (x, expected) in rows
            .iter()
            .zip([0.5, 0.5, 0.0, 0.405_500_2, 0.315_803_9, 0.278_695_9])
        {
            assert!((x - expected).abs() < 1e-6, "{rows:?}");
        }
        let ones: f32 = rows[3..].iter().sum();
        assert!((ones - 1.0).abs() < 1e-6);
    }

    #[test]
    fn layer_norm_centres_and_scales() {
        let mut row: Vec<f32> = (0..37_u8).map(f32::from).collect();
        layer_norm(&mut row, &[2.0; 37], &[1.0; 37]);
        let mean = row.iter().sum::<f32>() / 37.0;
        let spread = row.iter().map(|x| (x - 1.0) * (x - 1.0)).sum::<f32>() / 37.0;
        assert!(
            (mean - 1.0).abs() < 1e-5 && (spread - 4.0).abs() < 1e-4,
            "{mean} {spread}"
        );
    }
}
