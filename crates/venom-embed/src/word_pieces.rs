//! The word pieces of a vocabulary, found by their text.
//!
//! A table of line numbers with open addressing over the vocabulary as it is in its file: no piece is copied,
//! and 30,522 of them are ready in about a millisecond.

/// What pieces inside a word begin with.
const CONTINUES: &str = "##";
/// Slots per piece at least: nearly all searches end at the first slot.
const SLOTS_PER_PIECE: usize = 4;
/// A slot without a piece.
const EMPTY: u32 = u32::MAX;

/// A vocabulary: pieces of words, each with the number of its line, from 0.
pub(crate) struct WordPieces {
    /// One piece a line.
    text: String,
    /// Where each line begins, and where the next would.
    starts: Vec<u32>,
    /// Line numbers, each at the hash of its piece or behind it; a power of 2.
    slots: Vec<u32>,
    /// Bytes of the longest piece.
    bytes_max: usize,
}

impl WordPieces {
    /// From a vocabulary of one piece a line. Of two lines that are the same the last counts.
    pub(crate) fn new(text: String) -> Self {
        let mut starts = vec![0];
        let mut next = 0;
        starts.extend(text.split_inclusive('\n').map(|line| {
            next += line.len();
            u32::try_from(next).expect("a vocabulary is far below 4 GiB")
        }));
        let count = starts.len() - 1;
        let slots = vec![EMPTY; (SLOTS_PER_PIECE * count).next_power_of_two()];
        let mut pieces = Self {
            text,
            starts,
            slots,
            bytes_max: 0,
        };
        for id in (0_u32..).take(count) {
            let piece = pieces.piece(id);
            let (bytes, slot) = (piece.len(), pieces.slot("", piece));
            pieces.bytes_max = pieces.bytes_max.max(bytes);
            pieces.slots[slot] = id;
        }
        pieces
    }

    /// The pieces in order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0_u32..)
            .take(self.starts.len() - 1)
            .map(|id| self.piece(id))
    }

    /// The id of a piece.
    pub(crate) fn id(&self, piece: &str) -> Option<u32> {
        self.find("", piece)
    }

    /// Appends the pieces of a word to `ids`, the longest first from its beginning on; `None`, and `ids` as
    /// they were, if it has a part that is no piece.
    pub(crate) fn split(&self, word: &str, ids: &mut Vec<u32>) -> Option<()> {
        let before = ids.len();
        let mut rest = word;
        while !rest.is_empty() {
            let prefix = if rest.len() == word.len() {
                ""
            } else {
                CONTINUES
            };
            let Some((id, bytes)) = self.longest(prefix, rest) else {
                ids.truncate(before);
                return None;
            };
            ids.push(id);
            rest = &rest[bytes..];
        }
        Some(())
    }

    /// The longest piece that is `prefix` and some beginning of `text`, and the bytes of that.
    fn longest(&self, prefix: &str, text: &str) -> Option<(u32, usize)> {
        let mut part = &text[..text.floor_char_boundary(self.bytes_max)];
        while let Some((last, _)) = part.char_indices().next_back() {
            if let Some(id) = self.find(prefix, part) {
                return Some((id, part.len()));
            }
            part = &part[..last];
        }
        None
    }

    fn find(&self, prefix: &str, part: &str) -> Option<u32> {
        Some(self.slots[self.slot(prefix, part)]).filter(|id| *id != EMPTY)
    }

    /// The slot of a piece, or the empty one that it would have.
    fn slot(&self, prefix: &str, part: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash(prefix, part) & mask;
        while self.slots[slot] != EMPTY {
            let piece = self.piece(self.slots[slot]);
            if piece.strip_prefix(prefix) == Some(part) {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn piece(&self, id: u32) -> &str {
        let at = id as usize;
        let line = &self.text[self.starts[at] as usize..self.starts[at + 1] as usize];
        let line = line.strip_suffix('\n').unwrap_or(line);
        line.strip_suffix('\r').unwrap_or(line)
    }
}

/// FNV-1a (Fowler, Noll, Vo), its upper half folded into the lower. Nobody chooses the pieces of a vocabulary
/// to collide, and texts add none.
fn hash(prefix: &str, part: &str) -> usize {
    let bytes = prefix.bytes().chain(part.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from((hash ^ (hash >> 32)) & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&[u32]>) {
        let pieces = WordPieces::new("[UNK]\nun\n##aff\n##able\n##a\n你\nunaffe\n".to_owned());
        let mut ids = vec![7];
        let found = pieces.split(word, &mut ids);
        assert_eq!(found.map(|()| &ids[1..]), expected, "{word}");
        assert_eq!(ids[0], 7);
    }

    #[test]
    fn words_are_split_into_the_longest_pieces() {
        check("", Some(&[]));
        check("un", Some(&[1]));
        check("unaffable", Some(&[1, 2, 3]));
        check("unaa", Some(&[1, 4, 4]));
        check("unaffe", Some(&[6]));
        check("你un", None);
        check("你a", Some(&[5, 4]));
        check("unaffx", None);
        check("x", None);
    }

    #[test]
    fn lines_have_their_numbers() {
        for text in ["a\nb\nc\n", "a\nb\nc", "a\r\nb\r\nc\r\n"] {
            let pieces = WordPieces::new(text.to_owned());
            assert_eq!(
                pieces.iter().collect::<Vec<_>>(),
                ["a", "b", "c"],
                "{text:?}"
            );
            assert_eq!((pieces.id("a"), pieces.id("c")), (Some(0), Some(2)));
            assert_eq!((pieces.id("d"), pieces.id("")), (None, None));
        }
        assert_eq!(WordPieces::new(String::new()).id("a"), None);
    }
}
