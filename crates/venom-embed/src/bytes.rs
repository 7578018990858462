//! Bytes of a model, shared by what reads them: from a file, or compiled into the program.

use crate::kernels::Step;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a line of the processor's cache, and of a register of 512 bits: what is read line by line
/// begins at a multiple of it.
pub(crate) const LINE_BYTES: usize = 64;

/// Bytes that begin at a multiple of [`LINE_BYTES`] in memory.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// On the heap, from the given place on.
    Owned(Arc<Vec<u8>>, usize),
    /// In the program.
    Static(&'static [u8]),
}

impl Bytes {
    /// Room for `count` bytes, filled by `fill`.
    pub(crate) fn filled<E>(
        count: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut bytes = vec![0; count + LINE_BYTES];
        let start = bytes.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES);
        bytes.truncate(start + count);
        fill(&mut bytes[start..])?;
        Ok(Self::Owned(Arc::new(bytes), start))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes, start) => &bytes[*start..],
            Self::Static(bytes) => bytes,
        }
    }
}

/// A part of a model's bytes.
#[derive(Clone)]
pub(crate) struct Shared {
    bytes: Bytes,
    range: Range<usize>,
}

impl Shared {
    /// `None` if there are fewer bytes.
    pub(crate) fn new(bytes: &Bytes, range: Range<usize>) -> Option<Self> {
        bytes.as_slice().get(range.clone())?;
        Some(Self {
            bytes: bytes.clone(),
            range,
        })
    }

    /// A copy of `bytes`.
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        let copy = |room: &mut [u8]| {
            room.copy_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(copied) = Bytes::filled(bytes.len(), copy);
        Self {
            bytes: copied,
            range: 0..bytes.len(),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes.as_slice()[self.range.clone()]
    }

    /// As weights; a rest that is no whole step is left out.
    pub(crate) fn steps(&self) -> &[Step] {
        let (lines, _) = self.as_slice().as_chunks::<LINE_BYTES>();
        lines.as_chunks().0
    }
}
