//! Sums over 1-bit codes, 64 vectors at a time, by table lookups in vector registers.
//!
//! A code is cut into groups of four bits; for each group the query has a table of 16 sums. Looking up a
//! group for many codes at once is one byte shuffle ("fast scan": André, Kermarrec, Le Scouarnec, "Cache
//! locality is not enough", VLDB 2015). All arithmetic is on integers, so every kernel gives the same sums.
#![expect(
    clippy::inline_always,
    reason = "bodies must be compiled inside the dispatched function"
)]

/// Codes of one block.
pub(super) const LANES: usize = 64;

/// 64 codes: byte b of each, for every b.
pub(super) type Block = [[u8; LANES]];

/// The sums of a query for the 16 values of each group of four bits, the lower half of a byte first. At most
/// 63 each, so that four fit a byte.
pub(super) type Tables = [[u8; 16]];

/// What 64 codes need besides their bits, as the upper halves of floats (bfloat16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factors {
    /// What a step of a sum is worth.
    pub(super) scales: [u16; LANES],
    /// What the centre adds.
    pub(super) bases: [u16; LANES],
}

/// A query as codes are compared with it.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Two for each byte of a code.
    pub(super) tables: Vec<[u8; 16]>,
    /// What the sums are above what they stand for.
    pub(super) offset: f32,
    /// What a step of them is worth.
    pub(super) step: f32,
}

/// The instructions that the sums are made with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    /// Those of every processor.
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Kernel {
    /// The best one for this processor.
    pub(super) fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Scalar)
    }

    /// Those that this processor can run, the best last.
    pub(super) fn available() -> Vec<Self> {
        let mut kernels = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(pulp::x86::V3::try_new().map(Self::Avx2));
            kernels.extend(pulp::x86::V4::try_new().map(Self::Avx512));
        }
        #[cfg(target_arch = "aarch64")]
        kernels.extend(pulp::aarch64::Neon::try_new().map(Self::Neon));
        kernels
    }

    /// Estimates of the dot products with 64 vectors into `into`, and whether one of them is at least `least`. Codes
    /// have at most 512 bytes (more could overflow). The same to the last bit from every kernel.
    /// O(bytes of a code * 64).
    pub(super) fn estimate(
        self,
        (block, factors): (&Block, &Factors),
        lookup: &Lookup,
        least: f32,
        into: &mut [f32; LANES],
    ) -> bool {
        let tables = lookup.tables.as_slice();
        assert_eq!(tables.len(), 2 * block.len(), "two tables for each byte");
        assert!(block.len() <= 512, "sums of longer codes do not fit");
        match self {
            Self::Scalar => estimates(scalar(block, tables), factors, lookup, least, into),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.vectorize(
                #[inline(always)]
                || estimates(avx2(simd, block, tables), factors, lookup, least, into),
            ),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.vectorize(
                #[inline(always)]
                || estimates(avx512(simd, block, tables), factors, lookup, least, into),
            ),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.vectorize(
                #[inline(always)]
                || estimates(neon(simd, block, tables), factors, lookup, least, into),
            ),
        }
    }
}

/// What sums stand for. No step is fused with another, so that wider registers change nothing.
#[inline(always)]
fn estimates(
    sums: [u16; LANES],
    factors: &Factors,
    lookup: &Lookup,
    least: f32,
    into: &mut [f32; LANES],
) -> bool {
    let mut is_any_near = false;
    let factors = factors.scales.iter().zip(&factors.bases);
    for ((estimate, sum), (scale, base)) in into.iter_mut().zip(sums).zip(factors) {
        let residual = lookup.step * (f32::from(sum) - lookup.offset);
        *estimate = upper_half(*scale) * residual + upper_half(*base);
        is_any_near |= *estimate >= least;
    }
    is_any_near
}

/// The float of which these are the upper 16 bits.
#[inline(always)]
fn upper_half(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn scalar(block: &Block, tables: &Tables) -> [u16; LANES] {
    let mut sums = [0; LANES];
    for (bytes, tables) in block.iter().zip(tables.chunks_exact(2)) {
        for (sum, byte) in sums.iter_mut().zip(bytes) {
            let (low, high) = (byte & 15, byte >> 4);
            *sum += u16::from(tables[0][usize::from(low)]);
            *sum += u16::from(tables[1][usize::from(high)]);
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn look_up_avx512(
    simd: pulp::x86::V4,
    row: [u8; LANES],
    tables: &[[u8; 16]; 2],
) -> std::arch::x86_64::__m512i {
    let (f, bw) = (simd.avx512f, simd.avx512bw);
    let (row, halves) = (pulp::cast(row), f._mm512_set1_epi32(0x0f0f_0f0f));
    let low = f._mm512_and_si512(row, halves);
    let high = f._mm512_and_si512(bw._mm512_srli_epi16::<4>(row), halves);
    let first = f._mm512_broadcast_i32x4(pulp::cast(tables[0]));
    let second = f._mm512_broadcast_i32x4(pulp::cast(tables[1]));
    bw._mm512_add_epi8(
        bw._mm512_shuffle_epi8(first, low),
        bw._mm512_shuffle_epi8(second, high),
    )
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn avx512(simd: pulp::x86::V4, block: &Block, tables: &Tables) -> [u16; LANES] {
    let (f, bw) = (simd.avx512f, simd.avx512bw);
    let bytes_of_words = f._mm512_set1_epi32(0x00ff_00ff);
    // Lanes 0, 2, 4 … and 1, 3, 5 …
    let mut even = f._mm512_setzero_si512();
    let mut odd = even;
    let (tables, _) = tables.as_chunks::<2>();
    let (pairs, last) = block.as_chunks::<2>();
    let (pairs_tables, last_tables) = tables.as_chunks::<2>();
    for (rows, tables) in pairs.iter().zip(pairs_tables) {
        let one = look_up_avx512(simd, rows[0], &tables[0]);
        let part = bw._mm512_add_epi8(one, look_up_avx512(simd, rows[1], &tables[1]));
        even = bw._mm512_add_epi16(even, f._mm512_and_si512(part, bytes_of_words));
        odd = bw._mm512_add_epi16(odd, bw._mm512_srli_epi16::<8>(part));
    }
    for (row, tables) in last.iter().zip(last_tables) {
        let part = look_up_avx512(simd, *row, tables);
        even = bw._mm512_add_epi16(even, f._mm512_and_si512(part, bytes_of_words));
        odd = bw._mm512_add_epi16(odd, bw._mm512_srli_epi16::<8>(part));
    }
    let mut sums = [0; LANES];
    interleave::<32>(pulp::cast(even), pulp::cast(odd), &mut sums);
    sums
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn avx2(simd: pulp::x86::V3, block: &Block, tables: &Tables) -> [u16; LANES] {
    let (avx, avx2) = (simd.avx, simd.avx2);
    let (halves, bytes_of_words) = (
        avx._mm256_set1_epi32(0x0f0f_0f0f),
        avx._mm256_set1_epi32(0x00ff_00ff),
    );
    let mut sums = [0; LANES];
    for (half, sums) in sums.chunks_exact_mut(32).enumerate() {
        let mut even = avx._mm256_setzero_si256();
        let mut odd = even;
        for (rows, tables) in block.chunks(2).zip(tables.chunks(4)) {
            let mut part = avx._mm256_setzero_si256();
            for (row, tables) in rows.iter().zip(tables.chunks_exact(2)) {
                let halves_of_row: [[u8; 32]; 2] = pulp::cast(*row);
                let row = pulp::cast(halves_of_row[half]);
                let low = avx2._mm256_and_si256(row, halves);
                let high = avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(row), halves);
                let [first, second] = [tables[0], tables[1]]
                    .map(|table| avx2._mm256_broadcastsi128_si256(pulp::cast(table)));
                part = avx2._mm256_add_epi8(part, avx2._mm256_shuffle_epi8(first, low));
                part = avx2._mm256_add_epi8(part, avx2._mm256_shuffle_epi8(second, high));
            }
            even = avx2._mm256_add_epi16(even, avx2._mm256_and_si256(part, bytes_of_words));
            odd = avx2._mm256_add_epi16(odd, avx2._mm256_srli_epi16::<8>(part));
        }
        interleave::<16>(pulp::cast(even), pulp::cast(odd), sums);
    }
    sums
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn neon(simd: pulp::aarch64::Neon, block: &Block, tables: &Tables) -> [u16; LANES] {
    let neon = simd.neon;
    let (halves, bytes_of_words) = (neon.vdupq_n_u8(15), neon.vdupq_n_u16(0x00ff));
    let mut sums = [0; LANES];
    for (quarter, sums) in sums.chunks_exact_mut(16).enumerate() {
        let mut even = neon.vdupq_n_u16(0);
        let mut odd = even;
        for (rows, tables) in block.chunks(2).zip(tables.chunks(4)) {
            let mut part = neon.vdupq_n_u8(0);
            for (row, tables) in rows.iter().zip(tables.chunks_exact(2)) {
                let quarters: [[u8; 16]; 4] = pulp::cast(*row);
                let row = pulp::cast(quarters[quarter]);
                let low = neon.vandq_u8(row, halves);
                let high = neon.vshrq_n_u8::<4>(row);
                let [first, second] = [tables[0], tables[1]].map(pulp::cast);
                part = neon.vaddq_u8(part, neon.vqtbl1q_u8(first, low));
                part = neon.vaddq_u8(part, neon.vqtbl1q_u8(second, high));
            }
            let words = pulp::cast(part);
            even = neon.vaddq_u16(even, neon.vandq_u16(words, bytes_of_words));
            odd = neon.vaddq_u16(odd, neon.vshrq_n_u16::<8>(words));
        }
        interleave::<8>(pulp::cast(even), pulp::cast(odd), sums);
    }
    sums
}

/// Even and odd lanes in their order.
#[inline(always)]
fn interleave<const HALF: usize>(even: [u16; HALF], odd: [u16; HALF], into: &mut [u16]) {
    let (pairs, _) = into.as_chunks_mut();
    for (pair, (even, odd)) in pairs.iter_mut().zip(even.into_iter().zip(odd)) {
        *pair = [even, odd];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// From every kernel: whether one is near, and the bits of the estimates.
    fn all(
        block: &Block,
        factors: &Factors,
        lookup: &Lookup,
        least: f32,
    ) -> Vec<(bool, [u32; LANES])> {
        let estimate = |kernel: Kernel| {
            let mut estimates = [0.0; LANES];
            let near = kernel.estimate((block, factors), lookup, least, &mut estimates);
            (near, estimates.map(f32::to_bits))
        };
        Kernel::available().into_iter().map(estimate).collect()
    }

    proptest! {
        #[test]
        fn every_kernel_gives_the_estimates_of_the_scalar_one(
            codes in vec(vec(any::<u8>(), LANES), 1..70),
            entries in vec(vec(0_u8..64, 16), 140),
            (scales, bases) in (vec(any::<u16>(), LANES), vec(any::<u16>(), LANES)),
            (offset, step, least) in (0.0_f32..9e3, 0.0_f32..1.0, -1.0_f32..1.0),
        ) {
            let block: Vec<[u8; LANES]> = codes.into_iter().map(|row| row.try_into().unwrap()).collect();
            let tables = entries.into_iter().map(|table| table.try_into().unwrap());
            let tables = tables.take(2 * block.len()).collect();
            // Not infinite: infinity times zero is a NaN, of which there are many.
            let finite = |bits: Vec<u16>| -> [u16; LANES] {
                let bits: Vec<u16> = bits.into_iter().map(|bits| bits & 0xbfff).collect();
                bits.try_into().unwrap()
            };
            let factors = Factors { scales: finite(scales), bases: finite(bases) };
            let found = all(&block, &factors, &Lookup { tables, offset, step }, least);
            for other in &found {
                prop_assert_eq!(other, &found[0]);
            }
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        let one = 0x3f80;
        let factors = Factors {
            scales: [one; LANES],
            bases: [0; LANES],
        };
        let lookup = Lookup {
            tables: vec![[63; 16]; 1_024],
            offset: 0.0,
            step: 1.0,
        };
        let expected = [(1_024.0_f32 * 63.0).to_bits(); LANES];
        for found in all(&vec![[255; LANES]; 512], &factors, &lookup, 64_512.0) {
            assert_eq!(found, (true, expected));
        }
        assert!(!all(&vec![[255; LANES]; 512], &factors, &lookup, 64_513.0)[0].0);
    }
}
