//! JSON within limits of memory: a short text can make values a hundred times as large.

use serde_json::Value;

/// Bytes of memory at most for each byte that a text may have. What people write takes less than ten.
const MEMORY_RATIO_MAX: usize = 16;
/// What an object takes with up to eleven fields, a list with up to four elements, and each further value, in bytes;
/// texts apart, which take what they have.
const OBJECT_BYTES: usize = 640;
const LIST_BYTES: usize = 128;
const VALUE_BYTES: usize = 64;

/// The value of a text that may have `bytes_max` bytes, in memory of at most 16 times as many.
///
/// # Errors
/// One sentence if it is no JSON or holds too much.
pub(crate) fn parse(text: &[u8], bytes_max: usize) -> Result<Value, String> {
    let (memory, memory_max) = (memory(text), bytes_max * MEMORY_RATIO_MAX);
    if memory > memory_max {
        return Err(format!(
            "it holds too many values: expected at most {memory_max} bytes in memory, received {memory}"
        ));
    }
    serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))
}

/// The same of a text that is one line: whoever tells its number needs no other.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_line(line: &str, bytes_max: usize) -> Result<Value, String> {
    parse(line.as_bytes(), bytes_max)
        .map_err(|why| why.replace(" at line 1 column ", " at column "))
}

/// What a text would take in memory beside its texts, in bytes, or more. O(bytes).
fn memory(text: &[u8]) -> usize {
    let mut scan = Scan::default();
    let of = |byte: &u8| {
        if scan.in_text(*byte) {
            return 0;
        }
        match byte {
            b'{' => OBJECT_BYTES,
            b'[' => LIST_BYTES,
            b',' => VALUE_BYTES,
            _ => 0,
        }
    };
    text.iter().map(of).sum()
}

/// Whether bytes of JSON are in a text.
#[derive(Default)]
pub(crate) struct Scan {
    within: bool,
    escaped: bool,
}

impl Scan {
    /// Takes the next byte: whether it is of a text, the quotes around it among them.
    pub(crate) const fn in_text(&mut self, byte: u8) -> bool {
        if !self.within {
            self.within = byte == b'"';
            return self.within;
        }
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.within = false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_beyond_all_measure_is_refused_and_what_people_write_is_not() {
        let objects = format!("[{}0]", "{\"\":0},".repeat(100_000));
        let told = parse(objects.as_bytes(), objects.len()).unwrap_err();
        assert!(
            told.contains("too many values: expected at most 11200048 bytes"),
            "{told}"
        );
        let message = r#"{"id": "a", "author": {"role": "user"}, "content": {"parts": ["What is a spinnaker?"]}}"#;
        let texts = r#""{[,{[,\"{[,""#;
        for people in [message, texts] {
            let list = format!("[{}0]", format!("{people},").repeat(1_000));
            let told =
                parse(list.as_bytes(), list.len().max(160_000)).map(|value| value[0].clone());
            assert_eq!(told, Ok(serde_json::from_str(people).unwrap()));
        }
        assert!(parse(b"[1", 64).unwrap_err().starts_with("it is no JSON: "));
    }

    #[test]
    fn a_place_in_a_line_is_its_column() {
        let expected = "it is no JSON: EOF while parsing a string at column 18";
        assert_eq!(
            parse_line("{\"content\": \"Anna ", 64).unwrap_err(),
            expected
        );
        let whole = parse(b"{\n\"content\": 7\n", 64).unwrap_err();
        assert!(whole.ends_with(" at line 3 column 0"), "{whole}");
    }
}
