//! Files of pages as inputs of fuzzing: their content without the zeros at the end of each page, so that what is
//! mutated is small and means something, and written anew with the checksums that belong to it.

use crate::pages::{PAGE, PageError, PageWriter};
use std::path::Path;

/// Most that opening and searching a small file may add to the memory of this process, in bytes.
pub(crate) const MEMORY_MAX: u64 = 1 << 30;
/// Longest input, in bytes.
pub(crate) const BYTES_MAX: usize = 16 * 1024;

/// The content of a file as an input: each page without the zeros at its end, behind how many bytes that leaves.
pub(crate) fn input_of(place: &Path) -> Vec<u8> {
    let bytes = std::fs::read(place).unwrap();
    let length = bytes[bytes.len() - 20..].first_chunk().unwrap();
    let content = &bytes[..usize::try_from(u64::from_le_bytes(*length)).unwrap()];
    let mut input = Vec::new();
    for page in content.chunks(PAGE) {
        let zeros = page.iter().rev().take_while(|byte| **byte == 0).count();
        let kept = &page[..page.len() - zeros];
        input.extend(u16::try_from(kept.len()).unwrap().to_le_bytes());
        input.extend_from_slice(kept);
    }
    input
}

/// Writes the file of an input.
pub(crate) fn write(input: &[u8], place: &Path) {
    let mut pages = PageWriter::create(place).unwrap();
    let mut rest = input;
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length))
            .min(PAGE)
            .min(tail.len());
        let (kept, tail) = tail.split_at(length);
        pages.write(kept).unwrap();
        pages.align().unwrap();
        if kept.is_empty() {
            pages.write(&[0; PAGE]).unwrap();
        }
        rest = tail;
    }
    pages.finish().unwrap();
}

/// What kind of error it is: its words without the numbers.
pub(crate) fn kind_of(error: &PageError) -> String {
    match error {
        PageError::Damaged { reason, .. } => {
            reason.chars().filter(|c| !c.is_ascii_digit()).collect()
        }
        PageError::Io { error, .. } => error.to_string(),
    }
}
