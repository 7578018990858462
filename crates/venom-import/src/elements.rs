//! The elements of a JSON list, one after the other, without the list in memory.

use crate::bytes::RECORD_BYTES_MAX;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// Reads a list element by element.
pub(crate) struct Elements {
    reader: BufReader<File>,
    state: Place,
    number: u64,
}

#[derive(PartialEq, Eq)]
enum Place {
    Before,
    Within,
    Behind,
}

/// An element: its JSON, or why it is none. A broken list has no more elements.
pub(crate) enum Element {
    Value(Value),
    Bad(String),
    /// The list itself ends too early or is none.
    Broken(String),
}

impl Elements {
    pub(crate) const fn new(reader: BufReader<File>) -> Self {
        Self {
            reader,
            state: Place::Before,
            number: 0,
        }
    }

    /// The next element with its number, from 1; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Element)>> {
        let broken = |number: u64, why: &str| Ok(Some((number, Element::Broken(why.to_owned()))));
        loop {
            let byte = match (self.state == Place::Behind, self.peek()?) {
                (true, _) => return Ok(None),
                (false, Some(byte)) => byte,
                (false, None) => {
                    self.state = Place::Behind;
                    return broken(self.number, "the list is cut short: expected ] at its end");
                }
            };
            if byte.is_ascii_whitespace() || byte == b',' && self.state == Place::Within {
                self.reader.consume(1);
            } else if self.state == Place::Before {
                if byte != b'[' {
                    self.state = Place::Behind;
                    return broken(0, "it is no JSON list: expected [ at its start");
                }
                self.reader.consume(1);
                self.state = Place::Within;
            } else if byte == b']' {
                self.state = Place::Behind;
                return Ok(None);
            } else {
                self.number += 1;
                if byte == b'}' {
                    // It ends each element in front of it, so nothing else would ever pass it.
                    self.reader.consume(1);
                    let bad = Element::Bad("it is no JSON: } closes nothing".to_owned());
                    return Ok(Some((self.number, bad)));
                }
                return Ok(Some((self.number, self.element()?)));
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    /// Reads one element to the comma or bracket behind it.
    fn element(&mut self) -> io::Result<Element> {
        let mut bytes = Vec::new();
        let mut scan = Scan::default();
        let mut whole = 0_usize;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                self.state = Place::Behind;
                let why = "the list is cut short: expected ] at its end";
                return Ok(Element::Broken(why.to_owned()));
            }
            let end = buffer.iter().position(|byte| scan.ends_at(*byte));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            whole += part.len();
            if whole <= RECORD_BYTES_MAX {
                bytes.extend_from_slice(part);
            }
            let used = part.len();
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if whole > RECORD_BYTES_MAX {
            return Ok(Element::Bad(format!(
                "it has {whole} bytes: expected at most {RECORD_BYTES_MAX}"
            )));
        }
        Ok(match serde_json::from_slice(&bytes) {
            Ok(value) => Element::Value(value),
            Err(error) => Element::Bad(format!("it is no JSON: {error}")),
        })
    }
}

/// Where in an element a byte is.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Scan {
    /// Whether a byte stands behind the element.
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.in_text {
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_text = false;
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b',' | b']' | b'}' if self.depth == 0 => return true,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn elements(text: &[u8]) -> Elements {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        std::fs::write(&path, text).expect("it can be written");
        Elements::new(BufReader::with_capacity(
            7,
            File::open(&path).expect("a file"),
        ))
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[ -~é\\\\\"\\[\\]{},]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_list_is_the_sum_of_its_elements(list in prop::collection::vec(value(), 0..6), pretty: bool) {
            let whole = Value::from(list.clone());
            let text = if pretty { format!("{whole:#}") } else { whole.to_string() };
            let mut elements = elements(text.as_bytes());
            for (place, expected) in list.iter().enumerate() {
                let Some((number, Element::Value(found))) = elements.next().unwrap_or(None) else {
                    return Err(TestCaseError::fail("an element is missing"));
                };
                prop_assert_eq!((number, &found), (place as u64 + 1, expected));
            }
            prop_assert!(matches!(elements.next(), Ok(None)));
        }

        #[test]
        fn strange_bytes_come_to_an_end(
            text in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"[]{},\"\\1 "[..])], 0..64),
            is_a_list: bool,
        ) {
            let text = [if is_a_list { &b"["[..] } else { b"" }, &text].concat();
            let mut elements = elements(&text);
            let mut count = 0;
            while let Ok(Some(_)) = elements.next() {
                count += 1;
                prop_assert!(count <= text.len() + 1);
            }
        }
    }

    #[test]
    fn what_closes_nothing_is_one_bad_element() {
        let mut elements = elements(br#"[{"a": 1}}, } , {"b": 2}]"#);
        let mut found = Vec::new();
        while let Some((number, element)) = elements.next().expect("it can be read") {
            found.push((number, matches!(element, Element::Value(_))));
        }
        assert_eq!(found, [(1, true), (2, false), (3, false), (4, true)]);
    }
}
