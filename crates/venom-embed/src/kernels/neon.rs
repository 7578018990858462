//! Kernels for AArch64.
//!
//! A register of 128 bits has the weights of four columns for the four inputs of a step. With the dot
//! product instructions one of them adds up the four products of each column; their stable names are still
//! missing from the standard library (as of Rust 1.96), so they are written as assembly.
//!
//! The values of [`Neon`], [`DotProduct`] and [`I8mm`] are proofs: there is none on a processor without the
//! instructions.

use super::{Activations, Step, Sums};
#[allow(
    clippy::wildcard_imports,
    reason = "the names of instructions say where they are from"
)]
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// This processor has NEON, as all but a few have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

/// This processor has dot products of signed bytes (`sdot`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DotProduct(());

/// This processor has dot products of unsigned with signed bytes (`usdot`), a part of i8mm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct I8mm(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    #[expect(clippy::unused_self, reason = "the proof")]
    pub(super) fn multiply<const ROWS: usize>(
        self,
        rows: [&[Activations]; ROWS],
        panel: &[Step],
        sums: &mut [Sums; ROWS],
    ) {
        // SAFETY: a value of this type exists only where NEON was detected.
        unsafe { multiply_neon(rows, panel, sums) }
    }
}

impl DotProduct {
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }

    #[expect(clippy::unused_self, reason = "the proof")]
    pub(super) fn multiply<const ROWS: usize>(
        self,
        rows: [&[Activations]; ROWS],
        panel: &[Step],
        sums: &mut [Sums; ROWS],
    ) {
        // SAFETY: a value of this type exists only where the dot product was detected.
        unsafe { multiply_dot_product(rows, panel, sums) }
    }
}

impl I8mm {
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("i8mm").then_some(Self(()))
    }

    #[expect(clippy::unused_self, reason = "the proof")]
    pub(super) fn multiply<const ROWS: usize>(
        self,
        rows: [&[Activations]; ROWS],
        panel: &[Step],
        sums: &mut [Sums; ROWS],
    ) {
        // SAFETY: a value of this type exists only where i8mm was detected.
        unsafe { multiply_i8mm(rows, panel, sums) }
    }
}

/// Bytes are widened and multiplied as words, four columns at a time.
#[target_feature(enable = "neon")]
fn multiply_neon<const ROWS: usize>(
    rows: [&[Activations]; ROWS],
    panel: &[Step],
    sums: &mut [Sums; ROWS],
) {
    let rows = rows.map(|row| &row[..panel.len()]);
    for four in 0..16 {
        let mut totals = [[vdupq_n_s32(0); 4]; ROWS];
        for (at, step) in panel.iter().enumerate() {
            let weights = load(&step.as_flattened().as_chunks().0[four]);
            let (low, high) = (vmovl_s8(vget_low_s8(weights)), vmovl_high_s8(weights));
            for (totals, row) in totals.iter_mut().zip(&rows) {
                let bytes = vcreate_u8(u64::from(u32::from_le_bytes(row[at])));
                let activations = vget_low_s16(vreinterpretq_s16_u16(vmovl_u8(bytes)));
                totals[0] = vmlal_s16(totals[0], vget_low_s16(low), activations);
                totals[1] = vmlal_s16(totals[1], vget_high_s16(low), activations);
                totals[2] = vmlal_s16(totals[2], vget_low_s16(high), activations);
                totals[3] = vmlal_s16(totals[3], vget_high_s16(high), activations);
            }
        }
        for (totals, sums) in totals.iter().zip(&mut *sums) {
            for (total, sum) in totals.iter().zip(&mut sums[4 * four..]) {
                *sum += vaddvq_s32(*total);
            }
        }
    }
}

/// `sdot` takes activations less 128, as signed bytes; what that takes away, 128 times the sum of the
/// weights, is added in the end. Eight columns at a time.
#[target_feature(enable = "neon,dotprod")]
fn multiply_dot_product<const ROWS: usize>(
    rows: [&[Activations]; ROWS],
    panel: &[Step],
    sums: &mut [Sums; ROWS],
) {
    let rows = rows.map(|row| &row[..panel.len()]);
    let (sign, ones) = (vdupq_n_u8(0x80), vdupq_n_s8(1));
    for eight in 0..8 {
        let mut totals = [[vdupq_n_s32(0); 2]; ROWS];
        let mut of_weights = [vdupq_n_s32(0); 2];
        for (at, step) in panel.iter().enumerate() {
            let (columns, _) = step.as_flattened().as_chunks();
            let weights = [load(&columns[2 * eight]), load(&columns[2 * eight + 1])];
            for (total, weights) in of_weights.iter_mut().zip(weights) {
                // SAFETY: registers only, an instruction that this function is compiled for.
                unsafe {
                    asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inlateout(vreg) *total,
                        in(vreg) ones, in(vreg) weights, options(pure, nomem, nostack, preserves_flags));
                }
            }
            for (totals, row) in totals.iter_mut().zip(&rows) {
                let four = vdupq_n_u32(u32::from_le_bytes(row[at]));
                let activations = veorq_u8(vreinterpretq_u8_u32(four), sign);
                for (total, weights) in totals.iter_mut().zip(weights) {
                    // SAFETY: as above.
                    unsafe {
                        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inlateout(vreg) *total,
                            in(vreg) activations, in(vreg) weights,
                            options(pure, nomem, nostack, preserves_flags));
                    }
                }
            }
        }
        for (totals, sums) in totals.iter().zip(&mut *sums) {
            let halves = sums.as_chunks_mut::<4>().0[2 * eight..].iter_mut();
            for ((total, of_weights), sums) in totals.iter().zip(of_weights).zip(halves) {
                add(vaddq_s32(*total, vshlq_n_s32::<7>(of_weights)), sums);
            }
        }
    }
}

/// `usdot` takes both kinds of bytes as they are. Sixteen columns at a time.
#[target_feature(enable = "neon,i8mm")]
fn multiply_i8mm<const ROWS: usize>(
    rows: [&[Activations]; ROWS],
    panel: &[Step],
    sums: &mut [Sums; ROWS],
) {
    let rows = rows.map(|row| &row[..panel.len()]);
    for line in 0..4 {
        let mut totals = [[vdupq_n_s32(0); 4]; ROWS];
        for (at, step) in panel.iter().enumerate() {
            let (columns, _) = step[line].as_chunks();
            let mut weights = [vdupq_n_s8(0); 4];
            for (weights, columns) in weights.iter_mut().zip(columns) {
                *weights = load(columns);
            }
            for (totals, row) in totals.iter_mut().zip(&rows) {
                let activations = vdupq_n_u32(u32::from_le_bytes(row[at]));
                for (total, weights) in totals.iter_mut().zip(weights) {
                    // SAFETY: registers only, an instruction that this function is compiled for.
                    unsafe {
                        asm!("usdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inlateout(vreg) *total,
                            in(vreg) activations, in(vreg) weights,
                            options(pure, nomem, nostack, preserves_flags));
                    }
                }
            }
        }
        for (totals, sums) in totals.iter().zip(&mut *sums) {
            let fours = sums.as_chunks_mut::<4>().0[4 * line..].iter_mut();
            for (total, sums) in totals.iter().zip(fours) {
                add(*total, sums);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; 16]) -> int8x16_t {
    // SAFETY: the reference is to 16 bytes; no alignment is asked for.
    unsafe { vld1q_s8(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn add(total: int32x4_t, sums: &mut [i32; 4]) {
    // SAFETY: the references are to 16 bytes; no alignment is asked for.
    unsafe {
        vst1q_s32(
            sums.as_mut_ptr(),
            vaddq_s32(vld1q_s32(sums.as_ptr()), total),
        )
    };
}
