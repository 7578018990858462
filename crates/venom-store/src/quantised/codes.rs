//! Codes of one bit per component and their scan.

use super::kernels::{Factors, Kernel, LANES, Lookup};
use super::{Nearest, ones};
use venom_core::embedding::dot;

/// Steps of a query's components, from zero to the largest: with the sign 4 bits.
const QUERY_STEPS: f32 = 7.0;
/// Blocks without a wanted row are left out if they are more than this share: reading on is faster than leaping.
const LEAP_SHARE: usize = 4;
/// Components of a group that has a table.
const GROUP: usize = 4;
/// What a table's entries are above what they stand for, so that none is negative.
const ENTRY_OFFSET: f32 = QUERY_STEPS * GROUP as f32;

/// The codes of vectors, by row.
#[derive(Debug)]
pub(super) struct Codes {
    kernel: Kernel,
    /// Bytes of a code.
    length: usize,
    rows: usize,
    /// `[blocks, bytes of a code, LANES]`.
    pub(super) blocks: Vec<[u8; LANES]>,
    /// `[blocks]`, zeros behind the last row.
    pub(super) factors: Vec<Factors>,
}

impl Codes {
    /// None yet, for vectors of so many components.
    pub(super) fn new(dimensions: usize) -> Self {
        Self {
            kernel: Kernel::best(),
            length: dimensions.div_ceil(8),
            rows: 0,
            blocks: Vec::new(),
            factors: Vec::new(),
        }
    }

    /// Those that were written before.
    pub(super) fn restore(
        (rows, dimensions): (usize, usize),
        blocks: Vec<[u8; LANES]>,
        factors: Vec<Factors>,
    ) -> Self {
        Self {
            rows,
            blocks,
            factors,
            ..Self::new(dimensions)
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.rows
    }

    /// Appends the code of a vector with this residual and this base. O(dimensions).
    pub(super) fn push(&mut self, residual: &[f32], base: f32) {
        let (block, lane) = (self.rows / LANES, self.rows % LANES);
        if lane == 0 {
            self.blocks.resize((block + 1) * self.length, [0; LANES]);
            self.factors.push(Factors {
                scales: [0; LANES],
                bases: [0; LANES],
            });
        }
        for (at, part) in residual.chunks(8).enumerate() {
            let bits = part.iter().enumerate();
            let byte = bits.fold(0, |byte, (bit, x)| byte | u8::from(*x > 0.0) << bit);
            self.blocks[block * self.length + at][lane] = byte;
        }
        let absolute: f32 = residual.iter().map(|x| x.abs()).sum();
        let scale = dot(residual, residual) / absolute.max(f32::MIN_POSITIVE);
        self.factors[block].scales[lane] = upper_half(scale);
        self.factors[block].bases[lane] = upper_half(base);
        self.rows += 1;
    }

    /// Offers each row that is set in `masks` (64 rows to a word) with an estimate of its dot product with the query
    /// of this residual; `offer` answers with the least estimate that is of interest from then on.
    /// O(rows * dimensions / 64).
    pub(super) fn scan(
        &self,
        query: &[f32],
        masks: &[u64],
        mut least: f32,
        mut offer: impl FnMut(Nearest) -> f32,
    ) {
        let lookup = lookup(query, self.length);
        let wanted = masks.iter().filter(|mask| **mask != 0).count();
        let leaps = wanted * LEAP_SHARE < self.factors.len();
        let mut estimates = [0.0; LANES];
        let blocks = self.blocks.chunks_exact(self.length).zip(&self.factors);
        for (at, (block, mask)) in blocks.zip(masks).enumerate() {
            if leaps && *mask == 0 || !(self.kernel).estimate(block, &lookup, least, &mut estimates)
            {
                continue;
            }
            for lane in ones(*mask) {
                let similarity = estimates[lane];
                if similarity >= least {
                    let row = at * LANES + lane;
                    least = offer(Nearest { row, similarity });
                }
            }
        }
    }
}

/// The upper half of a float, rounded.
fn upper_half(number: f32) -> u16 {
    (number.to_bits().saturating_add(0x8000) >> 16) as u16
}

/// For each group of four components the sum over every choice of signs, in steps and above the least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "-28 to 28 steps, and the offset makes that 0 to 56"
)]
fn lookup(query: &[f32], code_bytes: usize) -> Lookup {
    let largest = query.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let step = (largest / QUERY_STEPS).max(f32::MIN_POSITIVE);
    let mut steps: Vec<f32> = query.iter().map(|x| (x / step).round()).collect();
    steps.resize(code_bytes * 8, 0.0);
    let of_group = |group: &[f32]| {
        std::array::from_fn(|choice| {
            let signed = group.iter().enumerate().map(|(bit, steps)| {
                if choice >> bit & 1 == 1 {
                    *steps
                } else {
                    -steps
                }
            });
            (signed.sum::<f32>() + ENTRY_OFFSET) as u8
        })
    };
    let tables: Vec<[u8; 16]> = steps.chunks_exact(GROUP).map(of_group).collect();
    Lookup {
        offset: tables.len() as f32 * ENTRY_OFFSET,
        tables,
        step,
    }
}
