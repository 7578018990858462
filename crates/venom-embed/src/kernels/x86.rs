//! Kernels for x86-64.
//!
//! The values of [`Avx2`] and [`Avx512Vnni`] are proofs: there is none on a processor without the
//! instructions, and that is what makes calling the functions compiled for them sound.

use super::{Activations, BLOCK_INPUTS, Step, Sums};
#[allow(
    clippy::wildcard_imports,
    reason = "the names of instructions say where they are from"
)]
use std::arch::x86_64::*;

/// Steps that weights are asked for ahead of their use: a panel is read from front to back, once from
/// the third-level cache or memory and then from the first.
const PREFETCH_STEPS: usize = 8;

/// This processor has AVX2 (and FMA, as all that have it but one).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(pulp::x86::V3);

/// This processor has AVX-512 with VNNI: four products of bytes added up by one instruction per lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Vnni(pulp::x86::V4);

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        pulp::x86::V3::try_new().map(Self)
    }

    /// The same set of instructions, for floats.
    pub(super) const fn floats(self) -> pulp::x86::V3 {
        self.0
    }

    #[expect(clippy::unused_self, reason = "the proof")]
    pub(super) fn multiply<const ROWS: usize>(
        self,
        rows: [&[Activations]; ROWS],
        panel: &[Step],
        sums: &mut [Sums; ROWS],
    ) {
        // SAFETY: a value of this type exists only where AVX2 was detected.
        unsafe { multiply_avx2(rows, panel, sums) }
    }
}

impl Avx512Vnni {
    pub(super) fn detect() -> Option<Self> {
        let floats = pulp::x86::V4::try_new();
        floats
            .filter(|_| is_x86_feature_detected!("avx512vnni"))
            .map(Self)
    }

    /// The same set of instructions, for floats.
    pub(super) const fn floats(self) -> pulp::x86::V4 {
        self.0
    }

    #[expect(clippy::unused_self, reason = "the proof")]
    pub(super) fn multiply<const ROWS: usize>(
        self,
        rows: [&[Activations]; ROWS],
        panel: &[Step],
        sums: &mut [Sums; ROWS],
    ) {
        // SAFETY: a value of this type exists only where AVX-512 with VNNI was detected.
        unsafe { multiply_avx512_vnni(rows, panel, sums) }
    }

    #[cfg(feature = "measure")]
    #[expect(clippy::unused_self, reason = "the proof")]
    pub(super) fn work_on_registers(self, rounds: u32) -> u64 {
        // SAFETY: as above.
        std::hint::black_box(unsafe { work_on_registers_avx512_vnni(rounds) });
        u64::from(rounds) * REGISTERS as u64 * 64 * 2
    }
}

/// Sums of the loop that measures the processor: more than an instruction takes cycles.
#[cfg(feature = "measure")]
const REGISTERS: usize = 20;

#[cfg(feature = "measure")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn work_on_registers_avx512_vnni(rounds: u32) -> i32 {
    let mut totals = [_mm512_setzero_si512(); REGISTERS];
    let activations = _mm512_set1_epi32(rounds.cast_signed());
    for round in 0..rounds {
        let weights = _mm512_set1_epi32(round.cast_signed());
        for total in &mut totals {
            *total = _mm512_dpbusd_epi32(*total, activations, weights);
        }
    }
    let mut sum = _mm512_setzero_si512();
    for total in totals {
        sum = _mm512_add_epi32(sum, total);
    }
    _mm512_reduce_add_epi32(sum)
}

/// All sums stay in registers: a row has four of 16 columns each. In each step four registers of weights
/// are loaded, and four activations of each row go to all lanes of another.
#[target_feature(enable = "avx512f,avx512vnni")]
fn multiply_avx512_vnni<const ROWS: usize>(
    rows: [&[Activations]; ROWS],
    panel: &[Step],
    sums: &mut [Sums; ROWS],
) {
    let mut totals = [[_mm512_setzero_si512(); 4]; ROWS];
    for (totals, sums) in totals.iter_mut().zip(&*sums) {
        for (total, sums) in totals.iter_mut().zip(sums.as_chunks::<16>().0) {
            // SAFETY: the reference is to 64 bytes; no alignment is asked for.
            *total = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
        }
    }
    assert!(rows.iter().all(|row| row.len() == panel.len()));
    for (at, step) in panel.iter().enumerate() {
        let ahead = step.as_ptr().wrapping_add(PREFETCH_STEPS * 4);
        // A closure in place of a loop would not be compiled for these instructions.
        let mut weights = [_mm512_setzero_si512(); 4];
        for (line, weights) in weights.iter_mut().enumerate() {
            // SAFETY: the reference is to 64 bytes; no alignment is asked for.
            *weights = unsafe { _mm512_loadu_si512(step[line].as_ptr().cast()) };
            // A hint, allowed for every address.
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line).cast());
        }
        for (totals, row) in totals.iter_mut().zip(&rows) {
            // SAFETY: rows are as long as the panel, asserted above. A check per step is a tenth of the time.
            let four = unsafe { *row.get_unchecked(at) };
            let activations = _mm512_set1_epi32(i32::from_le_bytes(four));
            for (total, weights) in totals.iter_mut().zip(weights) {
                *total = _mm512_dpbusd_epi32(*total, activations, weights);
            }
        }
    }
    for (totals, sums) in totals.iter().zip(sums) {
        for (total, sums) in totals.iter().zip(sums.as_chunks_mut::<16>().0) {
            // SAFETY: the reference is to 64 bytes; no alignment is asked for.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), *total) };
        }
    }
}

/// Without VNNI the instruction for bytes (`maddubs`) cuts its sums off at 16 bits, so bytes are widened
/// and multiplied as words, which is exact: a register has four columns of four inputs, and two sums of
/// each column. Eight columns are done at a time, with the activations of all rows widened before.
#[target_feature(enable = "avx2")]
fn multiply_avx2<const ROWS: usize>(
    rows: [&[Activations]; ROWS],
    panel: &[Step],
    sums: &mut [Sums; ROWS],
) {
    assert!(panel.len() <= BLOCK_INPUTS / 4);
    let mut wide = [[0_i64; BLOCK_INPUTS / 4]; ROWS];
    for (wide, row) in wide.iter_mut().zip(rows) {
        let (fours, rest) = row.as_chunks::<4>();
        let (wide_fours, _) = wide.as_chunks_mut::<4>();
        for (wide, four) in wide_fours.iter_mut().zip(fours) {
            // SAFETY: the references are to 16 and 32 bytes; no alignment is asked for.
            unsafe {
                let words = _mm256_cvtepu8_epi16(_mm_loadu_si128(four.as_ptr().cast()));
                _mm256_storeu_si256(wide.as_mut_ptr().cast(), words);
            }
        }
        for (wide, activations) in wide[4 * fours.len()..].iter_mut().zip(rest) {
            let [a, b, c, d] = *activations;
            *wide = i64::from(a) | i64::from(b) << 16 | i64::from(c) << 32 | i64::from(d) << 48;
        }
    }
    for eight in 0..8 {
        let mut totals = [[_mm256_setzero_si256(); 2]; ROWS];
        for (at, step) in panel.iter().enumerate() {
            let (quarters, _) = step[eight / 2].as_chunks::<16>();
            let mut weights = [_mm256_setzero_si256(); 2];
            for (half, weights) in weights.iter_mut().enumerate() {
                let quarter: &[u8; 16] = &quarters[eight % 2 * 2 + half];
                // SAFETY: the reference is to 16 bytes; no alignment is asked for.
                let bytes = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
                *weights = _mm256_cvtepi8_epi16(bytes);
            }
            for (totals, row) in totals.iter_mut().zip(&wide) {
                // SAFETY: the panel has no more steps than a row has places, asserted above.
                let activations = _mm256_set1_epi64x(unsafe { *row.get_unchecked(at) });
                for (total, weights) in totals.iter_mut().zip(weights) {
                    let products = _mm256_madd_epi16(activations, weights);
                    *total = _mm256_add_epi32(*total, products);
                }
            }
        }
        for (totals, sums) in totals.iter().zip(&mut *sums) {
            // Neighbouring sums belong together; adding them shuffles the columns, which is undone.
            let pairs = _mm256_hadd_epi32(totals[0], totals[1]);
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
            let sums = &mut sums.as_chunks_mut::<8>().0[eight];
            // SAFETY: the reference is to 32 bytes; no alignment is asked for.
            let before = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
            let after = _mm256_add_epi32(before, ordered);
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), after) };
        }
    }
}
