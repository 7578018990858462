//! Kernels for AArch64.
//!
//! A register of 128 bits has the weights of four columns for the four inputs of a step. With the dot
//! product instructions one of them adds up the four products of each column; their stable names are still
//! missing from the standard library (as of Rust 1.96), so they are written as assembly.

use super::blocks::{multiply_block, proof};
use super::{Activations, Step, Sums};
#[allow(
    clippy::wildcard_imports,
    reason = "the names of instructions say where they are from"
)]
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

proof!(
    /// This processor has NEON, as all but a few have.
    Neon(()),
    is_aarch64_feature_detected!("neon").then_some(()),
    widened::multiply_block
);

proof!(
    /// This processor has dot products of signed bytes (`sdot`).
    DotProduct(()),
    is_aarch64_feature_detected!("dotprod").then_some(()),
    dot_product::multiply
);

proof!(
    /// This processor has dot products of unsigned with signed bytes (`usdot`), a part of i8mm.
    I8mm(()),
    is_aarch64_feature_detected!("i8mm").then_some(()),
    i8mm::multiply_block
);

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> int32x4_t {
    vdupq_n_s32(0)
}

/// The standard library has no stable hint for the cache here; the processor sees by itself that weights are
/// read one behind the other.
#[inline]
fn fetch(_: &Step) {}

/// `N` registers of weights from the `at`th on.
#[inline]
#[target_feature(enable = "neon")]
fn load_registers<const N: usize>(step: &Step, at: usize) -> [int8x16_t; N] {
    let mut weights = [vdupq_n_s8(0); N];
    let (registers, _) = step.as_flattened().as_chunks::<16>();
    for (weights, register) in weights.iter_mut().zip(&registers[at..]) {
        // SAFETY: the reference is to 16 bytes; no alignment is asked for.
        *weights = unsafe { vld1q_s8(register.as_ptr().cast()) };
    }
    weights
}

/// The weights of 16 columns.
#[inline]
#[target_feature(enable = "neon")]
fn load_sixteen(step: &Step, group: usize) -> [int8x16_t; 4] {
    load_registers(step, 4 * group)
}

/// Stores the sums of 16 columns.
#[inline]
#[target_feature(enable = "neon")]
fn store_sixteen(totals: [int32x4_t; 4], group: usize, sums: &mut Sums) {
    for (total, sums) in totals
        .iter()
        .zip(&mut sums.as_chunks_mut::<4>().0[4 * group..])
    {
        // SAFETY: the reference is to 16 bytes; no alignment is asked for.
        unsafe { vst1q_s32(sums.as_mut_ptr(), *total) };
    }
}

/// Bytes are widened and multiplied as words. Four columns at a time: a row has a register for each, with
/// the sums of the four inputs of a step.
mod widened {
    #[allow(clippy::wildcard_imports, reason = "the same as around it")]
    use super::*;

    const GROUPS: usize = 16;

    multiply_block!("neon", Activations);

    #[inline]
    #[target_feature(enable = "neon")]
    fn load(step: &Step, group: usize) -> [int16x4_t; 4] {
        let [weights] = load_registers(step, group);
        let (low, high) = (vmovl_s8(vget_low_s8(weights)), vmovl_high_s8(weights));
        [
            vget_low_s16(low),
            vget_high_s16(low),
            vget_low_s16(high),
            vget_high_s16(high),
        ]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn spread(activations: Activations) -> int16x4_t {
        let bytes = vcreate_u8(u64::from(u32::from_le_bytes(activations)));
        vget_low_s16(vreinterpretq_s16_u16(vmovl_u8(bytes)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn dot(total: int32x4_t, activations: int16x4_t, weights: int16x4_t) -> int32x4_t {
        vmlal_s16(total, weights, activations)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn store(totals: [int32x4_t; 4], group: usize, sums: &mut Sums) {
        for (total, sum) in totals.iter().zip(&mut sums[4 * group..]) {
            *sum = vaddvq_s32(*total);
        }
    }
}

/// `sdot` takes activations less 128, as signed bytes; what that takes away, 128 times the sum of the
/// weights, is added in the end. 16 columns at a time.
mod dot_product {
    #[allow(clippy::wildcard_imports, reason = "the same as around it")]
    use super::*;
    use super::{load_sixteen as load, store_sixteen as store};

    const GROUPS: usize = 4;

    multiply_block!("neon,dotprod", Activations);

    #[target_feature(enable = "neon,dotprod")]
    pub(super) fn multiply<const ROWS: usize>(
        rows: [&[Activations]; ROWS],
        panel: &[Step],
        soon: &[Step],
        sums: &mut [Sums; ROWS],
    ) {
        multiply_block(rows, panel, soon, sums);
        let mut missing = [0; 64];
        for group in 0..GROUPS {
            let mut of_weights = [zero(); 4];
            for step in panel {
                for (total, weights) in of_weights.iter_mut().zip(load(step, group)) {
                    *total = dot(*total, vdupq_n_s8(1), weights);
                }
            }
            store(of_weights, group, &mut missing);
        }
        for (sum, missing) in sums
            .iter_mut()
            .flat_map(|sums| sums.iter_mut().zip(&missing))
        {
            *sum += 128 * missing;
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn spread(activations: Activations) -> int8x16_t {
        let less_128 = u32::from_le_bytes(activations) ^ 0x8080_8080;
        vreinterpretq_s8_u32(vdupq_n_u32(less_128))
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn dot(mut total: int32x4_t, activations: int8x16_t, weights: int8x16_t) -> int32x4_t {
        // SAFETY: registers only, an instruction that this function is compiled for.
        unsafe {
            asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inlateout(vreg) total,
                in(vreg) activations, in(vreg) weights, options(pure, nomem, nostack, preserves_flags));
        }
        total
    }
}

/// `usdot` takes both kinds of bytes as they are. 16 columns at a time.
mod i8mm {
    #[allow(clippy::wildcard_imports, reason = "the same as around it")]
    use super::*;
    use super::{load_sixteen as load, store_sixteen as store};

    const GROUPS: usize = 4;

    multiply_block!("neon,i8mm", Activations);

    #[inline]
    #[target_feature(enable = "neon")]
    fn spread(activations: Activations) -> uint8x16_t {
        vreinterpretq_u8_u32(vdupq_n_u32(u32::from_le_bytes(activations)))
    }

    #[inline]
    #[target_feature(enable = "neon,i8mm")]
    fn dot(mut total: int32x4_t, activations: uint8x16_t, weights: int8x16_t) -> int32x4_t {
        // SAFETY: registers only, an instruction that this function is compiled for.
        unsafe {
            asm!("usdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inlateout(vreg) total,
                in(vreg) activations, in(vreg) weights, options(pure, nomem, nostack, preserves_flags));
        }
        total
    }
}
