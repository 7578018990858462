//! Products of bytes, the arithmetic that an int8 forward pass spends its time in, for each kind of
//! processor.
//!
//! One function, [`Kernel::multiply`]: a few rows of activations (`u8`) times a panel of 64 columns of
//! weights (`i8`), added up in `i32`. Every kernel gives the same integers as [`scalar`], which is the
//! definition. The best one is chosen once, when a model is opened.
//!
//! The loops are the same for all and stand in [`blocks`]; a kernel brings what is done with its registers.
//!
//! This is the only module of the workspace with `unsafe` code: calling functions compiled for
//! instructions that not every processor has, loading and storing their registers, and instructions for
//! which the standard library has no stable name yet. The layouts are drawn in `docs/encoder.md`.
#![expect(
    unsafe_code,
    reason = "instructions that not every processor has; each block says why it is sound"
)]

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod blocks;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

/// Columns of a panel of weights.
pub(crate) const COLUMNS: usize = 64;
/// Rows that are multiplied at a time at most: with 512 bits, 24 of 32 registers hold their sums.
pub(crate) const BLOCK_ROWS: usize = 6;
/// Inputs of a step: four products are added up by one instruction.
pub(crate) const STEP_INPUTS: usize = 4;

/// Four neighbouring activations of a row.
pub(crate) type Activations = [u8; STEP_INPUTS];
/// The weights of four inputs for the 64 columns of a panel, `i8` as bytes: `[column / 16][column % 16 *
/// 4 + input]`.
pub(crate) type Step = [[u8; 64]; 4];
/// The sums of a row for the columns of a panel.
pub(crate) type Sums = [i32; COLUMNS];

/// The instructions that bytes are multiplied with.
#[derive(Clone, Copy)]
pub(crate) enum Kernel {
    /// Those of every processor.
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(x86::AvxVnni),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(x86::Avx512Vnni),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    #[cfg(target_arch = "aarch64")]
    NeonDotProduct(neon::DotProduct),
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(neon::I8mm),
}

impl Kernel {
    /// The best one for this processor.
    pub(crate) fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Scalar)
    }

    /// Those that this processor can run, the best last.
    pub(crate) fn available() -> Vec<Self> {
        let mut kernels = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(x86::Avx2::detect().map(Self::Avx2));
            kernels.extend(x86::AvxVnni::detect().map(Self::AvxVnni));
            kernels.extend(x86::Avx512Vnni::detect().map(Self::Avx512Vnni));
        }
        #[cfg(target_arch = "aarch64")]
        {
            kernels.extend(neon::Neon::detect().map(Self::Neon));
            kernels.extend(neon::DotProduct::detect().map(Self::NeonDotProduct));
            kernels.extend(neon::I8mm::detect().map(Self::NeonI8mm));
        }
        kernels
    }

    /// Its name, as in the settings.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotProduct(_) => "neon-dotprod",
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(_) => "neon-i8mm",
        }
    }

    /// The instructions that go with it for floats.
    pub(crate) fn floats(self) -> pulp::Arch {
        match self {
            Self::Scalar => pulp::Arch::Scalar,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => pulp::Arch::V3(kernel.0),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(kernel) => pulp::Arch::V3(kernel.0),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(kernel) => pulp::Arch::V4(kernel.0),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) | Self::NeonDotProduct(_) | Self::NeonI8mm(_) => pulp::Arch::new(),
        }
    }

    /// The products of `rows` with a panel: `sums[row][column] = Σ rows[row][input] * panel[input][column]`,
    /// activations as `u8`, weights as `i8`.
    ///
    /// At most [`BLOCK_ROWS`] rows, as many steps in each as in the panel. Exact: a sum of 2^16 products
    /// fits 32 bits. 128 operations per row and input. `soon` are weights that are used soon: they are asked
    /// for on the way, one step per step of the panel.
    pub(crate) fn multiply(
        self,
        rows: &[&[Activations]],
        panel: &[Step],
        soon: &[Step],
        sums: &mut [Sums],
    ) {
        assert_eq!(rows.len(), sums.len(), "a row of sums for each row");
        assert!(rows.len() <= BLOCK_ROWS && panel.len() * STEP_INPUTS <= 1 << 16);
        match rows.len() {
            1 => self.multiply_rows::<1>(rows, panel, soon, sums),
            2 => self.multiply_rows::<2>(rows, panel, soon, sums),
            3 => self.multiply_rows::<3>(rows, panel, soon, sums),
            4 => self.multiply_rows::<4>(rows, panel, soon, sums),
            5 => self.multiply_rows::<5>(rows, panel, soon, sums),
            6 => self.multiply_rows::<6>(rows, panel, soon, sums),
            _ => {}
        }
    }

    /// Does the kernel's arithmetic on registers, to see what the processor can do; the number of operations.
    /// `None` if the kernel has no such loop.
    #[cfg(feature = "measure")]
    pub(crate) fn work_on_registers(self, rounds: u32) -> Option<u64> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(kernel) => Some(kernel.work_on_registers(rounds)),
            _ => {
                let _ = rounds;
                None
            }
        }
    }

    fn multiply_rows<const ROWS: usize>(
        self,
        rows: &[&[Activations]],
        panel: &[Step],
        soon: &[Step],
        sums: &mut [Sums],
    ) {
        let (Some(rows), Some(sums)) = (rows.first_chunk(), sums.first_chunk_mut()) else {
            return;
        };
        // Slices of one length: no kernel reads beyond a row.
        let rows: [&[Activations]; ROWS] = rows.map(|row| &row[..panel.len()]);
        match self {
            Self::Scalar => scalar::multiply(rows, panel, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.multiply(rows, panel, soon, sums),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(kernel) => kernel.multiply(rows, panel, soon, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(kernel) => kernel.multiply(rows, panel, soon, sums),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(kernel) => kernel.multiply(rows, panel, soon, sums),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotProduct(kernel) => kernel.multiply(rows, panel, soon, sums),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm(kernel) => kernel.multiply(rows, panel, soon, sums),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
