//! The elements of a JSON list, one after the other, without the list in memory.
//!
//! An element that is broken is told and passed over, even where its brackets or quotes are never closed, so that it
//! seems to reach over those behind it: it is read up to the first byte that JSON forbids, and what in it or behind that
//! byte begins as the first element did is the next one. A list that is whole is read once; else no byte is read more
//! often than a few times.

use crate::bytes::{MARK, RECORD_BYTES_MAX};
use crate::{Watch, json};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};

/// Bytes that may be looked at again for each byte of the file, beyond the first mebibyte: a file full of broken elements
/// comes to its end soon.
const AGAIN_RATIO_MAX: u64 = 4;
const AGAIN_FREE_BYTES: u64 = 1024 * 1024;
/// Part of these bytes that may be read to see where a broken element ends.
const AHEAD_PART: u64 = 8;
/// Open brackets of a broken element whose places are kept.
const OPEN_MAX: usize = 65_536;
const CUT_SHORT: &str = "the list is cut short: expected ] at its end";
const NEVER_ENDS: &str = "it is no JSON: it never ends";
const NOT_AGAIN: &str = "too much of the file is broken to look at all of it again";

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
    known: KnownBad,
    paused: Option<Paused>,
    /// Longest element.
    bytes_max: usize,
    /// Bytes that were read, again and again.
    #[cfg(test)]
    read: u64,
}

/// What an element taught that was broken off: whatever was open in it there breaks at the same byte.
#[derive(Default)]
struct KnownBad {
    /// Where the brackets are, in order.
    open: Vec<u64>,
    why: String,
}

/// What was read of an element that is too long: whatever is open in it may yet be closed behind that.
struct Paused {
    scan: Scan,
    at: u64,
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
            known: KnownBad::default(),
            paused: None,
            bytes_max: RECORD_BYTES_MAX,
            #[cfg(test)]
            read: 0,
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
                    if matches!(element, Element::Value(_)) {
                        // What stands behind a whole one is no part of a broken one in front of it.
                        self.broken_to = 0;
                    }
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
                (Place::Before, 0xef) if self.reader.buffer().starts_with(MARK) => {
                    self.consume(MARK.len());
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
        #[cfg(test)]
        {
            self.read += bytes as u64;
        }
    }

    /// Reads one element to the comma or bracket behind it. If it is broken, goes to what in it or behind the byte that
    /// breaks it begins as the first element did, if there is such.
    fn element(&mut self) -> io::Result<Element> {
        let known = self.known_why(self.at)?;
        let mut part = Part::new(self.at, self.first_key.as_deref(), self.bytes_max);
        part.scan.is_broken = known.is_some();
        part.why = known;
        // Where it ends matters only to what is told of it.
        let is_told = part.began < self.broken_to;
        let mut ahead = None;
        let mut is_at_end = false;
        while !part.has_end && ahead.is_none_or(|left| left > 0) {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                is_at_end = true;
                break;
            }
            let room = ahead.map_or(buffer.len(), |left| clamped(left).min(buffer.len()));
            let used = part.take(&buffer[..room], self.at);
            self.consume(used);
            if let Some(left) = &mut ahead {
                *left -= used as u64;
                self.again -= used as u64;
            } else if part.why.is_none() && part.bytes.len() > self.bytes_max {
                let scan = part.is_too_long();
                self.paused = Some(Paused { scan, at: self.at });
            } else if let Some(told) = part.breaks() {
                self.known = told;
            }
            if ahead.is_none() && part.why.is_some() && self.pays_for(&mut part) {
                let longest = (part.began + self.bytes_max as u64).saturating_sub(self.at);
                let most = if is_told { 0 } else { self.again / AHEAD_PART };
                ahead = Some(most.min(longest));
            }
        }
        if part.why.is_none() {
            // One that is whole may be the last of a list that is cut short behind it.
            let why = if is_at_end && !part.scan.is_closed() {
                self.known = part.known_bad(NEVER_ENDS);
                NEVER_ENDS.to_owned()
            } else {
                match self.parsed(&part.bytes) {
                    Ok(value) => return Ok(Element::Value(value)),
                    Err(why) => why,
                }
            };
            part.why = Some(why);
            self.pays_for(&mut part);
        }
        self.go_on(part, is_at_end)
    }

    /// Why an element that begins there is bad, if one that was read before tells it.
    fn known_why(&mut self, began: u64) -> io::Result<Option<String>> {
        if self.known.open.binary_search(&began).is_ok() {
            return Ok(Some(self.known.why.clone()));
        }
        let Some(mut paused) = self.paused.take() else {
            return Ok(None);
        };
        let Ok(place) = paused.scan.open_at.binary_search(&began) else {
            self.paused = Some(paused).filter(|paused| paused.at > began);
            return Ok(None);
        };
        paused.scan.forget_outer(place);
        self.at = self.reader.seek(SeekFrom::Start(paused.at))?;
        let longest = began + self.bytes_max as u64;
        let mut why = None;
        while why.is_none() {
            let buffer = self.reader.fill_buf()?;
            let mut bytes = buffer.iter().zip(self.at..);
            let is_over =
                |(byte, at): (&u8, u64)| paused.scan.ends_at(*byte, at) || paused.scan.is_broken;
            let end = bytes.position(is_over);
            let used = end.unwrap_or(buffer.len());
            let is_at_end = buffer.is_empty();
            self.consume(used);
            if is_at_end || paused.scan.is_broken {
                self.known = KnownBad {
                    open: std::mem::take(&mut paused.scan.open_at),
                    why: NEVER_ENDS.to_owned(),
                };
                why = Some(NEVER_ENDS.to_owned());
            } else if end.is_some() {
                break;
            } else if self.at > longest {
                let at = self.at;
                self.paused = Some(Paused {
                    scan: std::mem::take(&mut paused.scan),
                    at,
                });
                why = Some(too_long(self.bytes_max));
            }
        }
        self.at = self.reader.seek(SeekFrom::Start(began))?;
        Ok(why)
    }

    fn parsed(&mut self, bytes: &[u8]) -> Result<Value, String> {
        let value = json::parse(bytes, RECORD_BYTES_MAX)?;
        if !self.keys.iter().any(|key| value.get(*key).is_some()) {
            return Err(format!("it has no {:?}", self.keys.first().unwrap_or(&"")));
        }
        self.first_key.get_or_insert_with(|| first_key(bytes));
        Ok(value)
    }

    /// Whether there is something to go on with that may be gone to; what costs too much is forgotten.
    fn pays_for(&mut self, part: &mut Part) -> bool {
        let Some(next) = &part.next else {
            return false;
        };
        // What was found behind the broken byte costs no more than its key.
        let price = if next.is_behind { 0 } else { self.at - next.at };
        if let Some(left) = self.again.checked_sub(price) {
            self.again = left;
            return true;
        }
        part.next = None;
        part.is_left = true;
        false
    }

    /// Goes on behind a broken element, or in it.
    fn go_on(&mut self, part: Part, is_at_end: bool) -> io::Result<Element> {
        let mut why = part.why.unwrap_or_default();
        if part.is_left {
            why = format!("{why}, and {NOT_AGAIN}");
        }
        if let Some(next) = part.next {
            let has_end = part.has_end || is_at_end;
            let end = if has_end { self.at } else { u64::MAX };
            self.broken_to = self.broken_to.max(end);
            self.at = self.reader.seek(SeekFrom::Start(next.at))?;
        } else if is_at_end {
            self.state = Place::Behind;
            let why = if part.is_left { NOT_AGAIN } else { CUT_SHORT };
            return Ok(Element::Broken(why.to_owned()));
        }
        Ok(Element::Bad(why))
    }
}

fn too_long(bytes_max: usize) -> String {
    format!("it is too long: expected at most {bytes_max} bytes")
}

fn clamped(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// An element while it is read.
struct Part {
    began: u64,
    /// What it is up to here, as long as nothing is the matter.
    bytes: Vec<u8>,
    bytes_max: usize,
    why: Option<String>,
    scan: Scan,
    /// What an element begins with.
    key: Vec<u8>,
    start: Start,
    /// The first that begins as an element does.
    next: Option<Next>,
    /// Whether there was one that was not gone to.
    is_left: bool,
    has_end: bool,
}

/// Where an element may begin in another.
struct Next {
    at: u64,
    /// Whether it was seen when the other was known to be broken.
    is_behind: bool,
}

impl Part {
    fn new(began: u64, key: Option<&[u8]>, bytes_max: usize) -> Self {
        Self {
            began,
            bytes: Vec::new(),
            bytes_max,
            why: None,
            scan: Scan::default(),
            // Before a good one was seen any object may be one.
            key: key.unwrap_or(b"\"").to_vec(),
            start: Start::default(),
            next: None,
            is_left: false,
            has_end: false,
        }
    }

    /// Takes bytes to the end of the element, to the one that breaks it, or to what is behind that: how many.
    fn take(&mut self, buffer: &[u8], at: u64) -> usize {
        let mut used = 0;
        for (byte, at) in buffer.iter().zip(at..) {
            let was_broken = self.scan.is_broken;
            self.has_end = self.scan.ends_at(*byte, at);
            if self.has_end {
                break;
            }
            used += 1;
            let is_next =
                self.next.is_none() && at > self.began && self.start.is_whole(*byte, at, &self.key);
            if is_next {
                let is_behind = self.scan.is_broken;
                self.next = self.start.at.map(|at| Next { at, is_behind });
                self.start = Start::default();
            }
            if self.scan.is_broken && (is_next || !was_broken) {
                break;
            }
        }
        if self.why.is_none() {
            let room = (self.bytes_max + 1).saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..used.min(room)]);
        }
        used
    }

    /// Gives up what is read of it; only its quotes and brackets count then.
    fn is_too_long(&mut self) -> Scan {
        self.bytes = Vec::new();
        self.why = Some(too_long(self.bytes_max));
        let rest = Scan {
            depth: self.scan.depth,
            text: self.scan.text,
            is_broken: true,
            ..Scan::default()
        };
        std::mem::replace(&mut self.scan, rest)
    }

    /// Says why, if it is broken from here on, and what that tells of others.
    fn breaks(&mut self) -> Option<KnownBad> {
        if self.why.is_some() || !self.scan.is_broken {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let why = json::parse(&bytes, RECORD_BYTES_MAX).err();
        let why = why.unwrap_or_else(|| NEVER_ENDS.to_owned());
        // The place counts from another start.
        let known = self.known_bad(why.split(" at line ").next().unwrap_or(&why));
        self.why = Some(why);
        Some(known)
    }

    fn known_bad(&mut self, why: &str) -> KnownBad {
        KnownBad {
            open: std::mem::take(&mut self.scan.open_at),
            why: why.to_owned(),
        }
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

/// Where in an element a byte is. What JSON allows breaks nothing; not all that it forbids does.
#[derive(Default)]
struct Scan {
    depth: usize,
    text: Text,
    /// Whether there was a byte that JSON forbids there. Then only quotes and brackets count.
    is_broken: bool,
    expects: Expects,
    /// Of each open bracket, whether it is one of an object.
    open: Vec<bool>,
    /// Where the first of them are.
    open_at: Vec<u64>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Within,
    Escaped,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expects {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    /// More of a number or word, or what comes behind a value.
    More,
    CommaOrEnd,
}

impl Scan {
    /// Takes the next byte and where it is: whether it stands behind the element.
    fn ends_at(&mut self, byte: u8, at: u64) -> bool {
        if self.is_closed() && matches!(byte, b',' | b']' | b'}') {
            return true;
        }
        if !self.is_broken && !self.allows(byte, at) {
            self.is_broken = true;
        }
        match (self.text, byte) {
            (Text::Within, b'\\') => self.text = Text::Escaped,
            (Text::Within, b'"') => self.text = Text::Outside,
            (Text::Escaped, _) | (Text::Outside, b'"') => self.text = Text::Within,
            (Text::Outside, b'{' | b'[') => self.depth += 1,
            (Text::Outside, b'}' | b']') => self.depth -= 1,
            _ => {}
        }
        false
    }

    /// Whether every quote and bracket of it is closed.
    fn is_closed(&self) -> bool {
        self.text == Text::Outside && self.depth == 0
    }

    /// Goes on as if it had begun with a bracket that is open.
    fn forget_outer(&mut self, brackets: usize) {
        self.depth -= brackets;
        self.open.drain(..brackets);
        self.open_at.drain(..brackets);
    }

    /// Whether JSON allows a byte here.
    fn allows(&mut self, byte: u8, at: u64) -> bool {
        match self.text {
            Text::Within => return byte >= b' ',
            Text::Escaped => return br#""\/bfnrtu"#.contains(&byte),
            Text::Outside => {}
        }
        let is_object = self.open.last() == Some(&true);
        let expects = self.expects;
        let is_value = matches!(expects, Expects::Value | Expects::ValueOrEnd);
        let is_behind = matches!(expects, Expects::More | Expects::CommaOrEnd);
        let (is_allowed, then) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' if expects == Expects::More => (true, Expects::CommaOrEnd),
            b' ' | b'\t' | b'\r' | b'\n' => (true, expects),
            b'{' => (is_value, Expects::KeyOrEnd),
            b'[' => (is_value, Expects::ValueOrEnd),
            b'}' => {
                let is_empty = expects == Expects::KeyOrEnd;
                (is_object && (is_behind || is_empty), Expects::CommaOrEnd)
            }
            b']' => {
                let is_empty = expects == Expects::ValueOrEnd;
                (!is_object && (is_behind || is_empty), Expects::CommaOrEnd)
            }
            b',' if is_object => (is_behind, Expects::Key),
            b',' => (is_behind, Expects::Value),
            b':' => (expects == Expects::Colon, Expects::Value),
            b'"' if is_value => (true, Expects::CommaOrEnd),
            b'"' => {
                let is_key = matches!(expects, Expects::Key | Expects::KeyOrEnd);
                (is_key, Expects::Colon)
            }
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                (is_value || expects == Expects::More, Expects::More)
            }
            _ => (false, expects),
        };
        self.expects = then;
        match byte {
            _ if !is_allowed => {}
            b'{' | b'[' => {
                if self.open_at.len() == self.open.len() && self.open.len() < OPEN_MAX {
                    self.open_at.push(at);
                }
                self.open.push(byte == b'{');
            }
            b'}' | b']' => {
                self.open.pop();
                self.open_at.truncate(self.open.len());
            }
            _ => {}
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn elements(text: &[u8]) -> Elements {
        with_buffer(text, 7)
    }

    fn with_buffer(text: &[u8], bytes: usize) -> Elements {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        std::fs::write(&path, text).expect("it can be written");
        Elements::new(
            BufReader::with_capacity(bytes, File::open(&path).expect("a file")),
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

    proptest! {
        /// What JSON allows must never count as broken.
        #[test]
        fn what_is_json_is_no_broken_element(
            value in value(),
            number in any::<f64>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"[]{},:\"\\1e-. utn\n"[..])), 0..3),
        ) {
            let mut text = json!({"k": [value, number, true, false, null, "\u{1}\u{7f}"]}).to_string().into_bytes();
            for (place, byte) in changes {
                let place = place.index(text.len());
                text[place] = byte;
            }
            let is_good = serde_json::from_slice::<Value>(&text).ok().filter(|value| value.get("k").is_some());
            let list = [b"[", &text[..], b"]"].concat();
            let found = elements(&list).next();
            if let Some(expected) = is_good {
                let is_same = matches!(&found, Ok(Some((1, Element::Value(found)))) if *found == expected);
                prop_assert!(is_same);
            }
        }

        #[test]
        fn each_byte_is_read_a_few_times_at_most(
            parts in prop::collection::vec(
                prop::sample::select(&["{\"k\":", "{\"k\": 1},", "{\"k\": [", "{\"k\": [0,", "{\"k", "\"", "{", "[", "}", "]", ",", "0", "\\", " "][..]),
                0..400,
            ),
            bytes_max in prop::sample::select(&[8_usize, 64, 1 << 26][..]),
        ) {
            let text = format!("[{}", parts.concat());
            let mut elements = with_buffer(text.as_bytes(), 7);
            elements.bytes_max = bytes_max;
            elements.again = AGAIN_RATIO_MAX * text.len() as u64;
            while let Ok(Some(_)) = elements.next() {}
            let ratio = elements.read / text.len() as u64;
            prop_assert!(ratio <= 10, "{}", ratio);
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
        let breaks = ["it is no JSON: key must be a string", "1", "2"];
        check(r#"[{"k": [{, {"k": 1}, {"k": 2}]"#, &breaks);
        let never_ends = ["it is no JSON: it never ends", "1", "2"];
        check(r#"[{"k": [0, {"k": 1}, {"k": 2}]"#, &never_ends);
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

    /// What is never closed, in ways that JSON forbids at once and in one that it allows.
    const OPEN: [&str; 6] = [
        r#"{"k": "x, "j": {}}"#,
        r#"{"k": ["#,
        r#"{"k": [0"#,
        r#"{"k": {"a": [{"b": 0}"#,
        r#"{"k": "0"#,
        r#"{"k": {"a": 0"#,
    ];

    /// How many elements are good, how many bad, why the list breaks off, and how often each byte was read.
    fn counted(text: &str, bytes_max: usize) -> (usize, usize, Option<String>, u64) {
        let mut elements = with_buffer(text.as_bytes(), 512);
        elements.bytes_max = bytes_max;
        let (mut good, mut bad, mut broken) = (0, 0, None);
        while let Some((_, element)) = elements.next().expect("it can be read") {
            match element {
                Element::Value(_) => good += 1,
                Element::Bad(_) => bad += 1,
                Element::Broken(why) => broken = Some(why),
            }
        }
        (good, bad, broken, elements.read / text.len() as u64)
    }

    /// A list of good elements, `{"k": …}`, with others where they are given.
    fn list(good: usize, open: &str, is_open: impl Fn(usize) -> bool) -> String {
        let good = (0..good).flat_map(|number| {
            let open = is_open(number).then(|| open.to_owned());
            [open, Some(format!(r#"{{"k": "fact {number}"}}"#))]
        });
        format!("[{}]", good.flatten().collect::<Vec<_>>().join(","))
    }

    #[test]
    fn what_is_too_long_does_not_swallow_what_is_behind_it() {
        for open in OPEN {
            let text = list(2_000, open, |number| number == 1);
            let code = r#"{"k": "code }, { [ ] }, "}"#;
            let text = format!("{},{code},{code}]", &text[..text.len() - 1]);
            let (good, bad, broken, read) = counted(&text, 10_000);
            assert!(good == 2_002 && bad == 1, "{open}: {good} {bad} {broken:?}");
            assert!(read < 4, "{open}: {read}");
        }
        let long = format!(
            r#"[{{"k": 1}}, {{"k": "{}"}}, {{"k": 2}}]"#,
            "x".repeat(100)
        );
        assert_eq!(counted(&long, 100), (2, 1, None, 1));
    }

    #[test]
    fn many_that_are_never_closed_lose_nothing_and_cost_a_few_times_the_file() {
        for open in OPEN {
            for (every, bytes_max) in [(3_999, 1 << 26), (2, 1 << 26), (2, 5_000), (100, 5_000)] {
                let text = list(20_000, open, |number| number % every == 1);
                let opened = (20_000_usize - 1).div_ceil(every);
                let (good, bad, _, read) = counted(&text, bytes_max);
                assert_eq!((good, bad), (20_000, opened), "{open} {every} {bytes_max}");
                assert!(read < 9, "{open} {every} {bytes_max}: {read}");
            }
        }
    }

    #[test]
    fn bad_ones_behind_what_is_never_closed_are_told() {
        for open in OPEN {
            let text = list(100, open, |number| number == 11);
            let text = text.replace(r#"{"k": "fact 50"}"#, r#"{"k": "fact \x"}"#);
            let text = text.replace(r#"{"k": "fact 70"}"#, r#"{"j": "fact 70"}"#);
            let (good, bad, ..) = counted(&text, 1 << 26);
            assert_eq!((good, bad), (98, 3), "{open}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_again_is_told_and_what_is_behind_it_comes() {
        // Each is closed and no text of its own, so that what is in it is looked at again, at every depth.
        let deep = format!(
            "{}\"\\ud800\"{}",
            "{\"k\": ".repeat(4_000),
            "}".repeat(4_000)
        );
        let text = format!(r#"[{{"k": 1}}, {deep}, {{"k": 2}}]"#);
        let mut elements = with_buffer(text.as_bytes(), 512);
        elements.again = 100_000;
        let mut told = Vec::new();
        while let Some((_, element)) = elements.next().expect("it can be read") {
            told.push(match element {
                Element::Value(value) => value["k"].to_string(),
                Element::Bad(why) | Element::Broken(why) => why,
            });
        }
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[2] == "2" && elements.read < 200_000, "{told:?}");
        elements = with_buffer(text.as_bytes(), 512);
        elements.again = 1_000;
        let told = std::iter::from_fn(|| elements.next().expect("it can be read"));
        let told: Vec<_> = told.map(|(_, element)| element).collect();
        let why =
            |element: &Element| matches!(element, Element::Bad(why) if why.contains(NOT_AGAIN));
        assert!(told.len() == 3 && why(&told[1]));
    }

    /// The messages of a conversation may begin as the conversation does.
    #[test]
    fn what_in_a_broken_element_begins_as_it_does_is_not_told_for_itself() {
        let of = |text: &str| {
            format!(
                r#"{{"u": 1, "k": [{{"u": 2, "t": "a"}}, {{"u": 3, "t": {text}}}, {{"u": 4, "t": "c"}}]}}"#
            )
        };
        let (good, escape, lone) = (of("\"b\""), of(r#""\x""#), of(r#""\ud800""#));
        let text = format!("[{good}, {escape}, {lone}, {escape}, {good}, {lone}, {good}]");
        assert_eq!(counted(&text, 1 << 26).0, 3);
        assert_eq!(counted(&text, 1 << 26).1, 4);
        for cut in [
            r#"{"u": 1, "k": [{"u": 2, "t": "a"}, {"u": 3, "t": "b"#,
            r#"{"u": 1, "k": [{"u": 2}"#,
        ] {
            let text = format!("[{good}, {cut}, {good}, {escape}, {good}]");
            let (good, bad, ..) = counted(&text, 1 << 26);
            assert_eq!((good, bad), (3, 2), "{cut}");
        }
    }
}
