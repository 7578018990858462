//! The elements of a JSON list, one after the other, without the list in memory.
//!
//! An element that is broken is told and passed over, even where its brackets or quotes are never closed, so that it
//! seems to reach over those behind it: what is in it and begins as the first element did is looked at again.

use crate::bytes::RECORD_BYTES_MAX;
use crate::{Watch, json};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};

/// Bytes that may be looked at again for each byte of the file, beyond the first mebibyte: a file full of broken elements
/// comes to its end soon.
const AGAIN_RATIO_MAX: u64 = 4;
const AGAIN_FREE_BYTES: u64 = 1024 * 1024;
const CUT_SHORT: &str = "the list is cut short: expected ] at its end";

/// Reads a list element by element.
pub(crate) struct Elements {
    reader: BufReader<File>,
    /// Keys of which each element has one.
    keys: &'static [&'static str],
    watch: Watch,
    /// Bytes that the watch was told of.
    watched: u64,
    state: Place,
    number: u64,
    /// Bytes of the file up to here.
    at: u64,
    /// The first key of the first element, in its quotes.
    first_key: Option<Vec<u8>>,
    /// Up to here a broken element reaches that was told already.
    broken_to: u64,
    /// Bytes that may be looked at again.
    again: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    /// Behind a bracket that closes the list, if nothing but white space comes.
    Closed,
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
    /// The elements of a list that have one of these keys each.
    pub(crate) fn new(
        reader: BufReader<File>,
        keys: &'static [&'static str],
        watch: &Watch,
    ) -> Self {
        let length = reader.get_ref().metadata().map_or(0, |found| found.len());
        Self {
            reader,
            keys,
            watch: watch.clone(),
            watched: 0,
            state: Place::Before,
            number: 0,
            at: 0,
            first_key: None,
            broken_to: 0,
            again: AGAIN_FREE_BYTES + AGAIN_RATIO_MAX * length,
        }
    }

    /// The next element with its number, from 1; `None` at the end. What is found in a broken one counts from it on.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Element)>> {
        loop {
            let is_told = self.at < self.broken_to;
            let element = self.next_of_all()?;
            self.watch.has_read(self.at.saturating_sub(self.watched));
            self.watched = self.watched.max(self.at);
            let Some(element) = element else {
                return Ok(None);
            };
            match element {
                // Of a broken element only what is whole again is of interest.
                Element::Bad(_) if is_told => {}
                Element::Broken(_) => return Ok(Some((self.number, element))),
                _ => {
                    self.number += 1;
                    return Ok(Some((self.number, element)));
                }
            }
        }
    }

    fn next_of_all(&mut self) -> io::Result<Option<Element>> {
        loop {
            if self.state == Place::Behind {
                return Ok(None);
            }
            let Some(byte) = self.peek()? else {
                let is_closed = self.state == Place::Closed;
                self.state = Place::Behind;
                return Ok((!is_closed).then(|| Element::Broken(CUT_SHORT.to_owned())));
            };
            match (self.state, byte) {
                (_, byte) if byte.is_ascii_whitespace() => self.consume(1),
                (Place::Before, b'[') => {
                    self.consume(1);
                    self.state = Place::Within;
                }
                // A mark of byte order stands at the start of what some programs write.
                (Place::Before, 0xef) if self.reader.buffer().starts_with(b"\xef\xbb\xbf") => {
                    self.consume(3);
                }
                (Place::Before, _) => {
                    self.state = Place::Behind;
                    let why = "it is no JSON list: expected [ at its start";
                    return Ok(Some(Element::Broken(why.to_owned())));
                }
                (Place::Closed, _) => {
                    self.state = Place::Within;
                    return Ok(Some(closes_nothing(']')));
                }
                (_, b',') => self.consume(1),
                (_, b']') => {
                    self.consume(1);
                    self.state = Place::Closed;
                }
                // It ends each element in front of it, so nothing else would ever pass it.
                (_, b'}') => {
                    self.consume(1);
                    return Ok(Some(closes_nothing('}')));
                }
                _ => return Ok(Some(self.element()?)),
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.at += bytes as u64;
    }

    /// Reads one element to the comma or bracket behind it.
    fn element(&mut self) -> io::Result<Element> {
        let began = self.at;
        let mut bytes = Vec::new();
        let mut scan = Scan::default();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                if self.look_again(began)? {
                    return Ok(Element::Bad("it is no JSON: it never ends".to_owned()));
                }
                self.state = Place::Behind;
                return Ok(Element::Broken(CUT_SHORT.to_owned()));
            }
            let end = buffer.iter().position(|byte| scan.ends_at(*byte));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = (RECORD_BYTES_MAX + 1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len();
            self.consume(used);
            if end.is_some() {
                break;
            }
        }
        if bytes.len() > RECORD_BYTES_MAX {
            let whole = self.at - began;
            return Ok(Element::Bad(format!(
                "it has {whole} bytes: expected at most {RECORD_BYTES_MAX}"
            )));
        }
        let why = match json::parse(&bytes, RECORD_BYTES_MAX) {
            Ok(value) if self.keys.iter().any(|key| value.get(*key).is_some()) => {
                self.first_key.get_or_insert_with(|| first_key(&bytes));
                return Ok(Element::Value(value));
            }
            Ok(_) => format!("it has no {:?}", self.keys.first().unwrap_or(&"")),
            Err(why) => why,
        };
        self.look_again(began)?;
        Ok(Element::Bad(why))
    }

    /// Goes back into the element that began there and ends here, to what in it begins as the first element did. `false`
    /// if there is nothing, and then it goes on behind it.
    fn look_again(&mut self, began: u64) -> io::Result<bool> {
        let end = self.at;
        // Before a good one was seen any object may be one.
        let key = self.first_key.as_deref().unwrap_or(b"\"");
        let Some(left) = self.again.checked_sub(end - began) else {
            return Ok(false);
        };
        self.again = left;
        self.at = self.reader.seek(SeekFrom::Start(began + 1))?;
        let mut start = Start::default();
        let mut found = None;
        while found.is_none() && self.at < end {
            let Some(byte) = self.reader.fill_buf()?.first().copied() else {
                break;
            };
            if start.is_whole(byte, self.at, key) {
                found = start.at;
            }
            self.reader.consume(1);
            self.at += 1;
        }
        self.at = self.reader.seek(SeekFrom::Start(found.unwrap_or(end)))?;
        if found.is_some() {
            self.broken_to = self.broken_to.max(end);
        }
        Ok(found.is_some())
    }
}

fn closes_nothing(bracket: char) -> Element {
    Element::Bad(format!("it is no JSON: {bracket} closes nothing"))
}

/// The first text of an object, in its quotes: its first key.
fn first_key(object: &[u8]) -> Vec<u8> {
    let mut scan = json::Scan::default();
    let texts = object.iter().skip_while(|byte| **byte != b'"');
    texts
        .copied()
        .take_while(|byte| scan.in_text(*byte))
        .collect()
}

/// Looks for the start of an object with a first key.
#[derive(Default)]
struct Start {
    /// Where its bracket is, if there was one.
    at: Option<u64>,
    /// Bytes of the key that were seen.
    seen: usize,
}

impl Start {
    /// Takes the next byte and where it is: whether it is the last one of the key.
    fn is_whole(&mut self, byte: u8, at: u64, key: &[u8]) -> bool {
        if self.at.is_some() && key.get(self.seen) == Some(&byte) {
            self.seen += 1;
        } else if byte == b'{' {
            *self = Self {
                at: Some(at),
                seen: 0,
            };
        } else if self.seen > 0 || !byte.is_ascii_whitespace() {
            *self = Self::default();
        }
        self.at.is_some() && self.seen == key.len()
    }
}

/// Where in an element a byte is.
#[derive(Default)]
struct Scan {
    depth: usize,
    text: json::Scan,
}

impl Scan {
    /// Whether a byte stands behind the element.
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.text.in_text(byte) {
            return false;
        }
        match byte {
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
    use serde_json::json;

    fn elements(text: &[u8]) -> Elements {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        std::fs::write(&path, text).expect("it can be written");
        Elements::new(
            BufReader::with_capacity(7, File::open(&path).expect("a file")),
            &["k"],
            &Watch::default(),
        )
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
            let list: Vec<Value> = list.into_iter().map(|value| json!({"k": value})).collect();
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

    /// The numbers of elements, and what is the matter with those that are none; the texts of the others.
    fn told(text: &str) -> Vec<(u64, String)> {
        let mut elements = elements(text.as_bytes());
        let mut told = Vec::new();
        while let Some((number, element)) = elements.next().expect("it can be read") {
            let element = match element {
                Element::Value(value) => value["k"].to_string(),
                Element::Bad(why) => why.split(" at line").next().unwrap_or_default().to_owned(),
                Element::Broken(why) => format!("broken: {why}"),
            };
            told.push((number, element));
        }
        told
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let numbered = (1_u64..).zip(expected.iter().map(ToString::to_string));
        assert_eq!(told(text), numbered.collect::<Vec<_>>(), "{text}");
    }

    #[test]
    fn what_is_broken_is_one_bad_element() {
        check("\u{feff} [ ]  \n", &[]);
        let closes = ["1", "it is no JSON: } closes nothing", "2"];
        check(r#"[{"k": 1}, } , {"k": 2}]"#, &closes);
        check(r#"[{"k": 1}}{"k": 2}]"#, &closes);
        let closes = ["1", "it is no JSON: ] closes nothing", "2"];
        check(r#"[{"k": 1}], {"k": 2}]"#, &closes);
        check(r#"[{"k": 1}, ,, {"k": 2} ,]"#, &["1", "2"]);
        let never_ends = ["it is no JSON: it never ends", "1", "2"];
        check(r#"[{"k": [{, {"k": 1}, {"k": 2}]"#, &never_ends);
        check(
            r#"[{"k": 1}, {"j": 1}, 7]"#,
            &["1", "it has no \"k\"", "it has no \"k\""],
        );
    }

    #[test]
    fn what_is_never_closed_does_not_swallow_what_is_behind_it() {
        for open in [r#"{"k": [0"#, r#"{"k": "0"#, r#"{"k": {"k": "#, r#"["{"#] {
            let text = format!(r#"[{{"k": 1}}, {open}, {{ "k": 2}}, {{"k": "3"}}]"#);
            let told = told(&text);
            let whole = told.iter().map(|(_, told)| told.as_str());
            let whole: Vec<&str> = whole.filter(|told| !told.starts_with("it is")).collect();
            assert_eq!(whole, ["1", "2", "\"3\""], "{text}: {told:?}");
            assert_eq!(told.len(), 4, "{text}: {told:?}");
        }
        let cut = told(r#"[{"k": 1}, {"k": "#);
        let why = format!("broken: {CUT_SHORT}");
        assert_eq!(cut, [(1, "1".to_owned()), (1, why)]);
    }

    #[test]
    fn a_file_full_of_elements_that_never_end_comes_to_its_end() {
        let open = "{\"k\": ";
        let text = format!("[{{\"k\": 1}},{}", open.repeat(100_000));
        let told = told(&text);
        assert!(told.len() < 1_000, "{}", told.len());
        assert!(
            told.last()
                .is_some_and(|(_, last)| last.contains(CUT_SHORT))
        );
    }
}
