//! Numbers in sentences.

use std::fmt::Display;

/// A number and what it counts: "1 memory", "3 memories". `many` is what stands behind every other number than one.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(
    count: N,
    one: &str,
    many: &str,
) -> String {
    let what = if count == N::from(1) { one } else { many };
    format!("{count} {what}")
}

/// "1 memory", "3 memories".
pub fn memories<N: Copy + Display + PartialEq + From<u8>>(count: N) -> String {
    counted(count, "memory", "memories")
}

#[cfg(test)]
mod tests {
    use super::{counted, memories};

    #[test]
    fn one_alone_is_singular() {
        assert_eq!(memories(0_u64), "0 memories");
        assert_eq!(memories(1_u64), "1 memory");
        assert_eq!(memories(21_usize), "21 memories");
        assert_eq!(counted(1_u32, "file", "files"), "1 file");
    }
}
