//! Where what lies in a file of a sealed section, and how plain columns are written.

use super::varint;
use crate::pages::{PAGE, PageError, Pages};
use std::collections::BTreeMap;
use std::fmt;
use venom_core::recall::Facts;

/// First bytes of the last page.
const MAGIC: [u8; 8] = *b"VenomTxt";
/// Version of the format.
const VERSION: u32 = 2;
/// Changes when the same text gives other words or terms than before: then every file is made anew.
const ANALYSIS: u32 = 1;
/// Bytes of [`Facts`].
const FACTS: usize = 16;
/// Bytes of a column that are read before they are decoded.
const DECODED_AT_ONCE: usize = 16 * PAGE;
/// Where the places of the parts begin in the header.
const PARTS_AT: usize = 64;
/// Where [`About`] begins in the header, as its length and its bytes.
const ABOUT_AT: usize = PARTS_AT + 16 * Part::COUNT;

/// A part of the file; each begins on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Lists,
    ListEnds,
    Postings,
    Terms,
    Words,
    Facts,
    Rows,
    Vectors,
    Ids,
    Moments,
    SpeakerOf,
    SessionOf,
    Speakers,
    Sessions,
    TextWords,
}

impl Part {
    pub(super) const COUNT: usize = Self::TextWords as usize + 1;
}

/// What a file was made for; made for something else it is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About(String);

impl About {
    /// Vectors of this model (by its hash) and texts stemmed like this.
    pub(crate) fn new(model: &venom_core::ModelStamp, stemming: impl fmt::Debug) -> Self {
        let (sha256, dimensions) = (&model.sha256, model.dimensions);
        Self(format!(
            "model {sha256}, {dimensions} dimensions, words {ANALYSIS}, {stemming:?}"
        ))
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a file covers: the memories of a space in these rows of the database as they were when `change` was the
/// number of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Covered {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) change: i64,
}

impl Covered {
    /// Whether a row is among them.
    pub(crate) const fn has(&self, row: i64) -> bool {
        self.first <= row && row <= self.last
    }

    /// How many rows there are, of any space; `None` for more than can be counted.
    pub(crate) fn rows(&self) -> Option<usize> {
        let last = usize::try_from(self.last.checked_sub(self.first)?).ok()?;
        last.checked_add(1)
    }
}

/// What the last page of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) about: About,
    pub(super) covered: Covered,
    pub(super) memories: usize,
    /// Terms of all memories, repetitions counted.
    pub(super) terms: u64,
    /// Where each part starts and how long it is.
    pub(super) parts: [(u64, u64); Part::COUNT],
}

impl Header {
    /// # Panics
    /// If what it is about is longer than a page.
    pub(super) fn encode(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let numbers = [
            self.memories as u64,
            self.terms,
            self.covered.first.cast_unsigned(),
            self.covered.last.cast_unsigned(),
            self.covered.change.cast_unsigned(),
        ];
        let parts = self
            .parts
            .iter()
            .flat_map(|(start, length)| [*start, *length]);
        for (at, number) in (16..).step_by(8).zip(numbers) {
            page[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        for (at, number) in (PARTS_AT..).step_by(8).zip(parts) {
            page[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let about = self.about.0.as_bytes();
        let length = u16::try_from(about.len()).expect("a hash and the name of a language");
        page[ABOUT_AT..ABOUT_AT + 2].copy_from_slice(&length.to_le_bytes());
        page[ABOUT_AT + 2..][..about.len()].copy_from_slice(about);
        page
    }

    /// Reads the last page.
    pub(super) fn read(pages: &Pages) -> Result<Self, PageError> {
        let strange = || pages.damaged(format!("expected texts of version {VERSION}"));
        let mut page = [0; PAGE];
        let at = pages.len().checked_sub(PAGE as u64).ok_or_else(strange)?;
        pages.read(at, &mut page)?;
        Self::decode(&page, at).ok_or_else(strange)
    }

    /// `None` for what is no header of a file of this version whose content ends at `content`.
    fn decode(page: &[u8; PAGE], content: u64) -> Option<Self> {
        let number = |at: usize| {
            page[at..]
                .first_chunk()
                .map(|bytes| u64::from_le_bytes(*bytes))
        };
        let version = page[8..]
            .first_chunk()
            .map(|bytes| u32::from_le_bytes(*bytes));
        if !page.starts_with(&MAGIC) || version != Some(VERSION) {
            return None;
        }
        let mut parts = [(0, 0); Part::COUNT];
        for (at, part) in (PARTS_AT..).step_by(16).zip(&mut parts) {
            *part = (number(at)?, number(at + 8)?);
            part.0.checked_add(part.1).filter(|end| *end <= content)?;
        }
        let length = u16::from_le_bytes(*page[ABOUT_AT..].first_chunk()?);
        let about = page.get(ABOUT_AT + 2..)?.get(..usize::from(length))?;
        let memories = usize::try_from(number(16)?).ok()?;
        let covered = Covered {
            first: number(32)?.cast_signed(),
            last: number(40)?.cast_signed(),
            change: number(48)?.cast_signed(),
        };
        let fits = memories <= covered.rows()?;
        fits.then_some(Self {
            about: About(String::from_utf8(about.to_vec()).ok()?),
            covered,
            memories,
            terms: number(24)?,
            parts,
        })
    }

    /// Bytes of a part.
    pub(super) const fn length(&self, part: Part) -> u64 {
        self.parts[part as usize].1
    }

    /// All of a part.
    pub(super) fn bytes(&self, pages: &Pages, part: Part) -> Result<Vec<u8>, PageError> {
        let (start, length) = self.parts[part as usize];
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        pages.read(start, &mut bytes)?;
        Ok(bytes)
    }

    /// All of a part, decoded some pages at a time: fresh memory costs more than reading.
    pub(super) fn decoded<T>(
        &self,
        pages: &Pages,
        part: Part,
        decode: impl Fn(&[u8]) -> Vec<T>,
    ) -> Result<Vec<T>, PageError> {
        let length = self.length(part);
        // They are as large in memory.
        let count = usize::try_from(length).unwrap_or(0) / size_of::<T>();
        let (mut decoded, mut some) = (Vec::with_capacity(count), vec![0; DECODED_AT_ONCE]);
        for at in (0..length).step_by(DECODED_AT_ONCE) {
            let rest = usize::try_from(length - at).unwrap_or(usize::MAX);
            let some = &mut some[..rest.min(DECODED_AT_ONCE)];
            self.read_part(pages, part, at, some)?;
            decoded.extend(decode(some));
        }
        Ok(decoded)
    }

    /// Says that something of a part will be read.
    pub(super) fn expect(&self, pages: &Pages, part: Part, at: u64, length: u64) {
        pages.expect(self.parts[part as usize].0.saturating_add(at), length);
    }

    /// Reads from a part, from `at` on.
    pub(super) fn read_part(
        &self,
        pages: &Pages,
        part: Part,
        at: u64,
        into: &mut [u8],
    ) -> Result<(), PageError> {
        let (start, length) = self.parts[part as usize];
        let end = at.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > length) {
            return Err(pages.damaged(format!(
                "expected {} bytes of {part:?} from {at} on, found {length} in all",
                into.len()
            )));
        }
        pages.read(start + at, into)
    }
}

pub(super) fn encode_facts(facts: &[Facts]) -> Vec<u8> {
    let of_slot = |facts: &Facts| {
        let [before, after] = facts.links();
        let month = facts.month().and_then(|month| i16::try_from(month).ok());
        let mut bytes = [0; FACTS];
        bytes[..4].copy_from_slice(&facts.reach.to_le_bytes());
        bytes[4..6].copy_from_slice(&before.to_le_bytes());
        bytes[6..8].copy_from_slice(&after.to_le_bytes());
        bytes[8..10].copy_from_slice(&month.unwrap_or(i16::MIN).to_le_bytes());
        bytes[10..12].copy_from_slice(&facts.length.to_le_bytes());
        bytes[12] = facts.statement;
        bytes[13] = u8::from(facts.tells_time) | u8::from(facts.by_user) << 1;
        bytes
    };
    facts.iter().flat_map(of_slot).collect()
}

pub(super) fn decode_facts(bytes: &[u8]) -> Vec<Facts> {
    let (slots, _) = bytes.as_chunks::<FACTS>();
    let of_slot = |bytes: &[u8; FACTS]| {
        let short = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let mut facts = Facts::default();
        facts.reach = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        facts.link([short(4), short(6)]);
        facts.set_month(Some(i32::from(short(8))).filter(|month| *month != i32::from(i16::MIN)));
        facts.length = short(10).cast_unsigned();
        facts.statement = bytes[12];
        facts.live = true;
        facts.tells_time = bytes[13] & 1 == 1;
        facts.by_user = bytes[13] >> 1 & 1 == 1;
        facts
    };
    slots.iter().map(of_slot).collect()
}

pub(super) fn encode_u32(numbers: impl Iterator<Item = u32>) -> Vec<u8> {
    numbers.flat_map(u32::to_le_bytes).collect()
}

pub(super) fn decode_u32(bytes: &[u8]) -> Vec<u32> {
    let (numbers, _) = bytes.as_chunks();
    numbers
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect()
}

/// Names, each with a count.
pub(super) fn encode_names<'a>(names: impl Iterator<Item = (&'a str, u32)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, count) in names {
        varint::put(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(name.as_bytes());
        varint::put(&mut bytes, u64::from(count));
    }
    bytes
}

/// The next of [`encode_names`].
pub(super) fn take_name<'a>(bytes: &mut &'a [u8]) -> Option<(&'a str, u32)> {
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    let (name, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((std::str::from_utf8(name).ok()?, varint::take_u32(bytes)?))
}

pub(super) fn decode_names(mut bytes: &[u8]) -> Option<Vec<(Box<str>, u32)>> {
    let mut names = Vec::new();
    while !bytes.is_empty() {
        let (name, count) = take_name(&mut bytes)?;
        names.push((name.into(), count));
    }
    Some(names)
}

pub(super) fn encode_counts(counts: &BTreeMap<u32, u32>) -> Vec<u8> {
    encode_u32(counts.iter().flat_map(|(key, count)| [*key, *count]))
}

pub(super) fn decode_counts(bytes: &[u8]) -> Option<BTreeMap<u32, u32>> {
    let numbers = decode_u32(bytes);
    let (pairs, rest) = numbers.as_chunks();
    rest.is_empty()
        .then(|| pairs.iter().map(|[key, count]| (*key, *count)).collect())
}
