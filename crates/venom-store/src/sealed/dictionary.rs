//! The terms of a sealed section, and its words as they stand.

use super::layout::take_name;
use super::varint;
use std::cmp::Ordering;

/// Terms between two places that are known.
const BLOCK: u32 = 16;

/// Terms with where their postings are, in the memory that their file takes and little more.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// Per term, sorted by name: the name, how many memories have it, the bytes of its postings.
    bytes: Vec<u8>,
    /// Where every [`BLOCK`]th term is in `bytes`, and its postings in their part.
    blocks: Vec<(usize, u64)>,
    terms: u32,
}

/// What is known of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) memories: u32,
    /// Where its postings start.
    pub(super) start: u64,
    /// Bytes of its postings.
    pub(super) length: usize,
}

impl Dictionary {
    /// From what [`encode`] wrote; `None` for anything else. O(bytes).
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        let (mut blocks, mut terms, mut start) = (Vec::new(), 0, 0);
        let (mut rest, mut last) = (bytes.as_slice(), "");
        while !rest.is_empty() {
            if terms % BLOCK == 0 {
                blocks.push((bytes.len() - rest.len(), start));
            }
            let (name, _) = take_name(&mut rest)?;
            if terms > 0 && name <= last {
                return None;
            }
            start = varint::take(&mut rest)?.checked_add(start)?;
            last = name;
            terms += 1;
        }
        Some(Self {
            bytes,
            blocks,
            terms,
        })
    }

    /// The number of a term. O(log terms).
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let first_of = |place: &(usize, u64)| Some(take_name(&mut self.bytes.get(place.0..)?)?.0);
        let after = self
            .blocks
            .partition_point(|block| first_of(block).is_some_and(|n| n <= name));
        let block = after.checked_sub(1)?;
        let mut rest = self.bytes.get(self.blocks[block].0..)?;
        let first = u32::try_from(block).ok()? * BLOCK;
        for number in first..self.terms.min(first + BLOCK) {
            let (found, _) = take_name(&mut rest)?;
            match found.cmp(name) {
                Ordering::Less => drop(varint::take(&mut rest)?),
                Ordering::Equal => return Some(number),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// What is known of a term by number.
    pub(super) fn entry(&self, term: u32) -> Option<Entry> {
        let (at, mut start) = *self.blocks.get((term / BLOCK) as usize)?;
        let mut rest = self.bytes.get(at..)?;
        for _ in 0..term % BLOCK {
            take_name(&mut rest)?;
            start += varint::take(&mut rest)?;
        }
        let (_, memories) = take_name(&mut rest)?;
        Some(Entry {
            memories,
            start,
            length: usize::try_from(varint::take(&mut rest)?).ok()?,
        })
    }
}

/// Appends a term to a dictionary: its name, how many memories have it, the bytes of its postings.
pub(super) fn encode(into: &mut Vec<u8>, name: &str, memories: u32, length: usize) {
    into.extend(super::layout::encode_names([(name, memories)].into_iter()));
    varint::put(into, length as u64);
}

/// The words of a list, as they stand, that `is_like` says are like one, each with its count; `None` for what is no
/// list of words. O(words).
pub(super) fn words_like(
    mut bytes: &[u8],
    is_like: &dyn Fn(&str) -> bool,
    word: &str,
) -> Option<Vec<(String, u32)>> {
    // One character more or less is at most four bytes.
    let lengths = word.len().saturating_sub(4)..=word.len() + 4;
    let mut like = Vec::new();
    while !bytes.is_empty() {
        let (other, count) = take_name(&mut bytes)?;
        if lengths.contains(&other.len()) && is_like(other) {
            like.push((other.to_owned(), count));
        }
    }
    Some(like)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use venom_fuzz::Target;

    proptest! {
        #[test]
        fn terms_are_found_by_name(
            terms in prop::collection::btree_map("[a-cö]{1,4}", (1_u32..1000, 0_usize..500), 0..80),
            other in "[a-cö]{1,4}",
        ) {
            let mut bytes = Vec::new();
            for (name, (memories, length)) in &terms {
                encode(&mut bytes, name, *memories, *length);
            }
            let dictionary = Dictionary::new(bytes).unwrap();
            let mut start = 0;
            for (number, (name, (memories, length))) in (0..).zip(&terms) {
                prop_assert_eq!(dictionary.number(name), Some(number));
                let entry = Entry { memories: *memories, start, length: *length };
                prop_assert_eq!(dictionary.entry(number), Some(entry));
                start += *length as u64;
            }
            let place = terms.keys().position(|name| *name == other);
            prop_assert_eq!(dictionary.number(&other), place.map(|at| u32::try_from(at).unwrap()));
            prop_assert_eq!(dictionary.entry(u32::try_from(terms.len()).unwrap()), None);
        }

        #[test]
        fn strange_bytes_are_no_dictionary(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(dictionary) = Dictionary::new(bytes) {
                for term in 0..70 {
                    dictionary.entry(term);
                }
                dictionary.number("a");
            }
        }
    }

    #[test]
    fn like_words_come_with_their_counts() {
        let words: BTreeMap<&str, u32> = [("boat", 3), ("boats", 1), ("größe", 2)].into();
        let bytes = super::super::layout::encode_names(words.iter().map(|(name, n)| (*name, *n)));
        let like = |word: &str| words_like(&bytes, &|other| other.starts_with('b'), word);
        assert_eq!(
            like("boa").unwrap(),
            [("boat".to_owned(), 3), ("boats".to_owned(), 1)]
        );
        assert_eq!(words_like(&bytes[1..], &|_| true, "boat"), None);
    }

    #[test]
    fn fuzz_dictionaries() {
        let mut terms = Vec::new();
        for (name, length) in [
            ("boat", 3),
            ("lamp", 0),
            ("walnut", 300),
            ("\u{f6}l", 70_000),
        ] {
            encode(&mut terms, name, 2, length);
        }
        let words = super::super::layout::encode_names([("boat", 3), ("boats", 1)].into_iter());
        let target = Target::new("dictionaries").seed(terms).seed(words);
        target.run(|bytes| {
            let like = words_like(bytes, &|_| true, "boat").map(|found| found.len());
            let dictionary = Dictionary::new(bytes.to_vec())?;
            let mut known = 0;
            let entries = (0..).map_while(|term| Some((term, dictionary.entry(term)?)));
            let mut end = 0;
            for (term, entry) in entries {
                assert_eq!((entry.start, term), (end, known));
                end += entry.length as u64;
                known += 1;
            }
            assert_eq!(known, dictionary.terms);
            let _ = (
                dictionary.number("boat"),
                dictionary.number("zz"),
                dictionary.entry(u32::MAX),
            );
            Some((known.min(40), like))
        });
    }
}
