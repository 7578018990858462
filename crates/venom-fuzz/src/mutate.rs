//! Changing inputs at random.

/// Numbers in bytes that lie at the edges of what their types hold.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_f000,
    u64::MAX,
];
/// Pieces that parsers of text are known to stumble over.
const PIECES: [&[u8]; 30] = [
    b"0",
    b"-1",
    b"-0",
    b"1e999",
    b"1e-999",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"99999999999999999999999999999999999999999",
    b"0.1",
    b"NaN",
    b"\0",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xef\xbb\xbf",
    "\u{2028}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{e0041}".as_bytes(),
    "\u{130}".as_bytes(),
    "\u{df}".as_bytes(),
    "e\u{301}".as_bytes(),
    "\u{1F469}\u{200D}\u{1F4BB}".as_bytes(),
    b"%",
    b"\\u",
    b"\r\n",
    b"null",
];
/// Characters that open something, with those that close it.
const PAIRS: [(&[u8], &[u8]); 5] = [
    (b"[", b"]"),
    (b"{\"a\":", b"}"),
    (b"(", b")"),
    (b"\"", b"\""),
    (b"<", b">"),
];
/// One in so many inputs grows to the longest length.
const LONG_EVERY: usize = 64;

/// A generator of numbers (`SplitMix64`; Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A part of something of this length, short ones more often.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = match self.below(4) {
            0 => length - start,
            1 => 64,
            _ => 8,
        };
        start..start + self.below((length - start).min(longest) + 1)
    }
}

/// Makes inputs of those that are there.
pub(super) struct Mutator<'a> {
    random: Random,
    words: &'a [&'a [u8]],
    bytes_max: usize,
}

impl<'a> Mutator<'a> {
    pub(super) const fn new(seed: u64, words: &'a [&'a [u8]], bytes_max: usize) -> Self {
        Self {
            random: Random(seed),
            words,
            bytes_max,
        }
    }

    /// One of `pool`, changed in one to sixteen ways.
    pub(super) fn next(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = pool[self.random.below(pool.len())].clone();
        let power = self.random.below(5);
        for _ in 0..=self.random.below(1 << power) {
            self.change(&mut input, pool);
        }
        if self.random.below(LONG_EVERY) == 0 {
            self.lengthen(&mut input);
        }
        input.truncate(self.bytes_max);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let random = &mut self.random;
        match random.below(14) {
            0 => {
                let at = random.below(input.len());
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                let (at, new) = (random.below(input.len()), random.byte());
                if let Some(byte) = input.get_mut(at) {
                    *byte = new;
                }
            }
            2 => {
                let at = random.below(input.len() + 1);
                input.insert(at, random.byte());
            }
            3 => drop(input.drain(random.range(input.len()))),
            4 => input.truncate(random.below(input.len() + 1)),
            5 => {
                let copied = input[random.range(input.len())].to_vec();
                insert(input, random.below(input.len() + 1), &copied);
            }
            6 => self.number(input),
            7 => {
                let at = random.below(input.len() + 1);
                insert(input, at, PIECES[random.below(PIECES.len())]);
            }
            8 | 9 => {
                let range = random.range(input.len());
                let word = self.words.get(random.below(self.words.len()));
                // Half of them in the place of something, half between.
                let end = if random.below(2) == 0 {
                    range.start
                } else {
                    range.end
                };
                drop(input.splice(range.start..end, word.copied().unwrap_or(b"a").to_vec()));
            }
            10 => {
                let other = &pool[random.below(pool.len())];
                let kept = random.below(input.len() + 1);
                input.truncate(kept);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            11 => {
                let other = &pool[random.below(pool.len())];
                let part = other[random.range(other.len())].to_vec();
                insert(input, random.below(input.len() + 1), &part);
            }
            12 => self.nest(input),
            _ => self.replace_digits(input),
        }
    }

    /// Overwrites bytes with a number at an edge, or moves the number that is there by a little.
    fn number(&mut self, input: &mut [u8]) {
        let random = &mut self.random;
        let width = 1 << random.below(4);
        let at = random.below(input.len().saturating_sub(width) + 1);
        let Some(place) = input.get_mut(at..at + width) else {
            return;
        };
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(place);
        let there = u64::from_le_bytes(bytes);
        let number = match random.below(3) {
            0 => there.wrapping_add(random.below(16) as u64),
            1 => there.wrapping_sub(random.below(16) as u64),
            _ => EDGES[random.below(EDGES.len())],
        };
        let number = number.to_le_bytes();
        place.copy_from_slice(&number[..width]);
        if random.below(4) == 0 {
            place.reverse();
        }
    }

    /// Encloses a part in brackets, many times now and then.
    fn nest(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let range = random.range(input.len());
        let (open, close) = PAIRS[random.below(PAIRS.len())];
        let times = match random.below(8) {
            0 => random.below(200),
            _ => 1,
        };
        insert(input, range.end, &close.repeat(times));
        insert(input, range.start, &open.repeat(times));
    }

    /// Replaces digits in a row by another number.
    fn replace_digits(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let from = random.below(input.len() + 1);
        let digit = |byte: &u8| byte.is_ascii_digit();
        let Some(start) = input[from..].iter().position(digit).map(|at| from + at) else {
            return;
        };
        let length = input[start..].iter().take_while(|byte| digit(byte)).count();
        let number = match random.below(3) {
            0 => EDGES[random.below(EDGES.len())],
            1 => random.below(100) as u64,
            _ => random.next(),
        };
        drop(input.splice(start..start + length, number.to_string().into_bytes()));
    }

    /// Repeats a part of an input until it is as long as one may be.
    fn lengthen(&mut self, input: &mut Vec<u8>) {
        let range = self.random.range(input.len());
        let part = input[range.clone()].to_vec();
        let times = self.bytes_max.saturating_sub(input.len()) / part.len().max(1);
        if !part.is_empty() {
            insert(input, range.end, &part.repeat(times));
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(input.splice(at..at, bytes.iter().copied()));
}
