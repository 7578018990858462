//! Kernels for x86-64.

use super::blocks::{multiply_block, proof};
use super::{Activations, Step, Sums};
use pulp::x86::{V3, V4};
#[allow(
    clippy::wildcard_imports,
    reason = "the names of instructions say where they are from"
)]
use std::arch::x86_64::*;

proof!(
    /// This processor has AVX2 (and FMA, as all that have it but one).
    Avx2(V3),
    V3::try_new(),
    avx2::multiply
);

proof!(
    /// This processor has AVX2 with VNNI: four products of bytes added up by one instruction per lane.
    AvxVnni(V3),
    V3::try_new().filter(|_| is_x86_feature_detected!("avxvnni")),
    avx_vnni::multiply_block
);

proof!(
    /// This processor has AVX-512 with VNNI: the same in registers of 512 bits.
    Avx512Vnni(V4),
    V4::try_new().filter(|_| is_x86_feature_detected!("avx512vnni")),
    avx512_vnni::multiply_block
);

#[cfg(feature = "measure")]
impl Avx512Vnni {
    #[expect(clippy::unused_self, reason = "the proof")]
    pub(super) fn work_on_registers(self, rounds: u32) -> u64 {
        // SAFETY: a value of this type exists only where AVX-512 with VNNI was detected.
        std::hint::black_box(unsafe { avx512_vnni::work_on_registers(rounds) });
        u64::from(rounds) * avx512_vnni::REGISTERS as u64 * 64 * 2
    }
}

/// Asks for the weights of a step: into the second-level cache, as the first is full of those in use.
#[inline]
fn fetch(step: &Step) {
    for line in step {
        // SAFETY: a hint, allowed for every address; every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

/// All 64 columns at a time: a row has four registers of 16 sums.
mod avx512_vnni {
    #[allow(clippy::wildcard_imports, reason = "the same as around it")]
    use super::*;

    const GROUPS: usize = 1;

    multiply_block!("avx512f,avx512vnni", Activations);

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(step: &Step, _: usize) -> [__m512i; 4] {
        let mut weights = [zero(); 4];
        for (weights, line) in weights.iter_mut().zip(step) {
            // SAFETY: the reference is to 64 bytes; no alignment is asked for.
            *weights = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
        }
        weights
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn spread(activations: Activations) -> __m512i {
        _mm512_set1_epi32(i32::from_le_bytes(activations))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dot(total: __m512i, activations: __m512i, weights: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(total, activations, weights)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(totals: [__m512i; 4], _: usize, sums: &mut Sums) {
        for (total, sums) in totals.iter().zip(sums.as_chunks_mut::<16>().0) {
            // SAFETY: the reference is to 64 bytes; no alignment is asked for.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), *total) };
        }
    }

    /// Sums of the loop that measures the processor: more than an instruction takes cycles.
    #[cfg(feature = "measure")]
    pub(super) const REGISTERS: usize = 20;

    #[cfg(feature = "measure")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn work_on_registers(rounds: u32) -> i32 {
        let mut totals = [zero(); REGISTERS];
        let activations = _mm512_set1_epi32(rounds.cast_signed());
        for round in 0..rounds {
            let weights = _mm512_set1_epi32(round.cast_signed());
            for total in &mut totals {
                *total = dot(*total, activations, weights);
            }
        }
        let mut sum = zero();
        for total in totals {
            sum = _mm512_add_epi32(sum, total);
        }
        _mm512_reduce_add_epi32(sum)
    }
}

/// 16 columns at a time: a row has two registers of eight sums, as there are only 16.
mod avx_vnni {
    #[allow(clippy::wildcard_imports, reason = "the same as around it")]
    use super::*;

    const GROUPS: usize = 4;

    multiply_block!("avx2,avxvnni", Activations);

    #[inline]
    #[target_feature(enable = "avx2")]
    fn zero() -> __m256i {
        _mm256_setzero_si256()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(step: &Step, group: usize) -> [__m256i; 2] {
        let mut weights = [zero(); 2];
        for (weights, half) in weights.iter_mut().zip(step[group].as_chunks::<32>().0) {
            // SAFETY: the reference is to 32 bytes; no alignment is asked for.
            *weights = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
        }
        weights
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn spread(activations: Activations) -> __m256i {
        _mm256_set1_epi32(i32::from_le_bytes(activations))
    }

    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    fn dot(total: __m256i, activations: __m256i, weights: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(total, activations, weights)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(totals: [__m256i; 2], group: usize, sums: &mut Sums) {
        let (eights, _) = sums.as_chunks_mut::<8>();
        for (total, sums) in totals.iter().zip(&mut eights[2 * group..]) {
            // SAFETY: the reference is to 32 bytes; no alignment is asked for.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *total) };
        }
    }
}

/// Without VNNI the instruction for bytes (`maddubs`) cuts its sums off at 16 bits, so bytes are widened and
/// multiplied as words, which is exact: a register has four columns of four inputs, and two sums of each
/// column. Eight columns at a time.
mod avx2 {
    #[allow(clippy::wildcard_imports, reason = "the same as around it")]
    use super::*;

    const GROUPS: usize = 8;
    /// Steps whose activations are widened at a time.
    const WIDE_STEPS: usize = 96;

    multiply_block!("avx2", i64);

    /// Widens the activations of all rows, some steps at a time, and adds up the products of these.
    #[target_feature(enable = "avx2")]
    pub(super) fn multiply<const ROWS: usize>(
        rows: [&[Activations]; ROWS],
        panel: &[Step],
        soon: &[Step],
        sums: &mut [Sums; ROWS],
    ) {
        sums.as_flattened_mut().fill(0);
        let mut wide = [[0; WIDE_STEPS]; ROWS];
        for (part, panel) in panel.chunks(WIDE_STEPS).enumerate() {
            let first = part * WIDE_STEPS;
            let mut wide_rows = [&[][..]; ROWS];
            for ((wide, wide_row), row) in wide.iter_mut().zip(&mut wide_rows).zip(rows) {
                let wide = &mut wide[..panel.len()];
                widen(&row[first..][..panel.len()], wide);
                *wide_row = wide;
            }
            multiply_block(wide_rows, panel, soon.get(first..).unwrap_or(&[]), sums);
        }
    }

    /// From bytes to words, four of them as an `i64`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn widen(row: &[Activations], wide: &mut [i64]) {
        let ((fours, rest), (wide_fours, wide_rest)) = (row.as_chunks(), wide.as_chunks_mut());
        for (wide, four) in wide_fours.iter_mut().zip(fours) {
            let (wide, four): (&mut [i64; 4], &[Activations; 4]) = (wide, four);
            // SAFETY: the references are to 16 and 32 bytes; no alignment is asked for.
            unsafe {
                let words = _mm256_cvtepu8_epi16(_mm_loadu_si128(four.as_ptr().cast()));
                _mm256_storeu_si256(wide.as_mut_ptr().cast(), words);
            }
        }
        for (wide, [a, b, c, d]) in wide_rest.iter_mut().zip(rest) {
            *wide = i64::from(*a) | i64::from(*b) << 16 | i64::from(*c) << 32 | i64::from(*d) << 48;
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn zero() -> __m256i {
        _mm256_setzero_si256()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(step: &Step, group: usize) -> [__m256i; 2] {
        let mut weights = [zero(); 2];
        let (quarters, _) = step[group / 2].as_chunks::<16>();
        for (weights, quarter) in weights.iter_mut().zip(&quarters[group % 2 * 2..]) {
            // SAFETY: the reference is to 16 bytes; no alignment is asked for.
            let bytes = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
            *weights = _mm256_cvtepi8_epi16(bytes);
        }
        weights
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn spread(activations: i64) -> __m256i {
        _mm256_set1_epi64x(activations)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn dot(total: __m256i, activations: __m256i, weights: __m256i) -> __m256i {
        _mm256_add_epi32(total, _mm256_madd_epi16(activations, weights))
    }

    /// Neighbouring sums belong together; adding them shuffles the columns, which is undone.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(totals: [__m256i; 2], group: usize, sums: &mut Sums) {
        let pairs = _mm256_hadd_epi32(totals[0], totals[1]);
        let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
        let sums = &mut sums.as_chunks_mut::<8>().0[group];
        // SAFETY: the reference is to 32 bytes; no alignment is asked for.
        unsafe {
            let before = _mm256_loadu_si256(sums.as_ptr().cast());
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_add_epi32(before, ordered));
        }
    }
}
