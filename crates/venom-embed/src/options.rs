//! How a model is run.

use crate::kernels::Kernel;
use std::str::FromStr;
use venom_core::EmbedError;

/// The numbers that a model is run with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Products of bytes with exact sums, everything else in floats of 32 bits: vectors at a cosine of
    /// 0.998 to the exact ones, several times faster, a quarter of the memory.
    #[default]
    Int8,
    /// Floats of 32 bits: the vectors of the original library.
    Float32,
}

/// How a model is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// In which numbers.
    pub precision: Precision,
    /// The kernel by its name, such as `avx2`; the best one for this processor if `None`.
    pub kernel: Option<String>,
    /// Threads that share the work on a call while it is the only one, where it has enough tokens for several;
    /// calls at the same time share them. 0 counts as 1.
    pub threads_per_text: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            precision: Precision::default(),
            kernel: None,
            threads_per_text: 1,
        }
    }
}

impl Options {
    /// The kernel to run with.
    pub(crate) fn kernel(&self) -> Result<Kernel, EmbedError> {
        let Some(name) = &self.kernel else {
            return Ok(Kernel::best());
        };
        let mut kernels = Kernel::available().into_iter();
        let found = kernels.find(|kernel| kernel.name() == name);
        found.ok_or_else(|| {
            let known = kernels_here().join(", ");
            EmbedError::Inference(format!(
                "the kernel {name:?} cannot run on this processor: expected {known}"
            ))
        })
    }
}

/// The names of the kernels that this processor can run, the best last.
pub fn kernels_here() -> Vec<&'static str> {
    Kernel::available().into_iter().map(Kernel::name).collect()
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "int8" => Ok(Self::Int8),
            "f32" => Ok(Self::Float32),
            _ => Err("expected int8 or f32".to_owned()),
        }
    }
}

impl Precision {
    /// Its name, as in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Float32 => "f32",
        }
    }
}
