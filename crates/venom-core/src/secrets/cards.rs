//! Numbers of payment cards: the right length for their issuer, written in one piece or in the usual groups, and
//! with a check digit that is right (Luhn, US patent 2,950,048).

use super::{Secret, SecretKind};
use std::ops::Range;

pub(super) const CARD: SecretKind = SecretKind("card number");

/// Least and most digits of a card.
const DIGITS: Range<usize> = 13..20;
/// Digits that may stand beside a card, such as those of a year or on its back.
const BESIDE_DIGITS_MAX: usize = 3;
/// How many bytes before a number are looked at for what the number is.
const BEFORE_BYTES: usize = 32;
/// Words before a number in one piece that say it is no card.
const OTHER_NUMBERS: [&[u8]; 14] = [
    b"order",
    b"invoice",
    b"tracking",
    b"ticket",
    b"reference",
    b"parcel",
    b"shipment",
    b"serial",
    b"imei",
    b"isbn",
    b"customer",
    b"article",
    b"booking",
    b"id ",
];
/// Words before a number that say it is a card.
const CARD_WORDS: [&[u8]; 8] = [
    b"card", b"visa", b"master", b"amex", b"credit", b"karte", b"carte", b"tarjeta",
];
/// What is kept of a masked card, without its brackets.
const MARK: &[u8] = b"card number removed";
/// How the digits of a card are grouped.
const GROUPS: [&[usize]; 6] = [
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 1],
    &[6, 13],
];

/// Cards in a text, in order. O(bytes).
pub(super) fn find(text: &[u8]) -> Vec<Secret> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at].is_ascii_digit() {
            let number = Number::read(text, at);
            at = number.end;
            found.extend(number.cards(text));
        } else {
            at += 1;
        }
    }
    found
}

/// Digits, in groups that are parted by one kind of sign.
#[derive(Debug)]
struct Number {
    end: usize,
    groups: Vec<Range<usize>>,
}

impl Number {
    /// The number that starts at a place, to its end however long it is.
    fn read(text: &[u8], start: usize) -> Self {
        let (mut groups, mut group, mut sign, mut at) = (Vec::new(), start, None, start);
        loop {
            match (text.get(at), text.get(at + 1)) {
                (Some(b'0'..=b'9'), _) => {}
                (Some(between @ (b' ' | b'-')), Some(b'0'..=b'9'))
                    if sign.is_none_or(|sign| sign == *between) =>
                {
                    sign = Some(*between);
                    groups.push(group..at);
                    group = at + 1;
                }
                _ => break,
            }
            at += 1;
        }
        groups.push(group..at);
        Self { end: at, groups }
    }

    /// The cards in it: groups that are those of a card, with none but short ones beside them, such as a date or the
    /// digits on the back.
    fn cards(&self, text: &[u8]) -> Vec<Secret> {
        let mut cards = Vec::new();
        let mut first = 0;
        while first < self.groups.len() {
            let count = self.card_at(text, first);
            if let (Some(from), Some(to)) = (
                self.groups.get(first),
                self.groups.get(first + count.saturating_sub(1)),
            ) && count > 0
            {
                cards.push(Secret {
                    kind: CARD,
                    span: from.start..to.end,
                });
            }
            first += count.max(1);
        }
        cards
    }

    /// How many groups from this one on are a card; 0 if none are.
    fn card_at(&self, text: &[u8], first: usize) -> usize {
        let length = |place: usize| self.groups.get(place).map_or(0, Range::len);
        let rest = self.groups.len() - first;
        let fits = |groups: &&[usize]| {
            let same = groups
                .iter()
                .enumerate()
                .all(|(place, size)| length(first + place) == *size);
            groups.len() <= rest && same
        };
        let grouped = GROUPS
            .iter()
            .find(|groups| fits(groups))
            .map(|groups| groups.len());
        let in_one_piece = DIGITS.contains(&length(first)).then_some(1);
        let Some(count) = grouped.or(in_one_piece) else {
            return 0;
        };
        let before = first.checked_sub(1).map_or(0, length);
        let is_apart = before <= BESIDE_DIGITS_MAX && length(first + count) <= BESIDE_DIGITS_MAX;
        let span = self.groups[first].start..self.groups[first + count - 1].end;
        let digits = text[span.clone()]
            .iter()
            .filter(|byte| byte.is_ascii_digit());
        let digits: Vec<u8> = digits.map(|digit| digit - b'0').collect();
        let is_card = is_apart
            && stands_alone(text, &span)
            && is_issued(&digits)
            && has_check_digit(&digits)
            && (count > 1 || is_told_as_card(text, &span));
        if is_card { count } else { 0 }
    }
}

/// Whether it is no part of a word, a decimal number or a longer number.
fn stands_alone(text: &[u8], span: &Range<usize>) -> bool {
    let before = |back: usize| span.start.checked_sub(back).and_then(|at| text.get(at));
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let joined_before = match before(1) {
        Some(b'.' | b',') => is_digit(before(2)),
        Some(b'/' | b'=' | b'&' | b'-' | b'+' | b'#' | b'_') => true,
        Some(byte) => byte.is_ascii_alphanumeric() || *byte >= 0x80,
        None => false,
    };
    let joined_after = match text.get(span.end) {
        Some(b'.' | b',' | b'-' | b'/') => is_digit(text.get(span.end + 1)),
        Some(byte) => byte.is_ascii_alphanumeric() || *byte == b'_',
        None => false,
    };
    !joined_before && !joined_after
}

/// Whether a number in one piece may be a card by what stands beside it: no word says that it is something else, and of
/// a list of numbers a word says that they are cards. The mark of a card that was masked is no such word: it would make
/// a card of the next number, and that of the one behind it.
fn is_told_as_card(text: &[u8], span: &Range<usize>) -> bool {
    let mut before = text[span.start.saturating_sub(BEFORE_BYTES)..span.start].to_ascii_lowercase();
    if let Some(at) = before.windows(MARK.len()).rposition(|words| words == MARK) {
        before[at..at + MARK.len()].fill(b' ');
    }
    let says = |words: &[&[u8]]| {
        let is_there = |word: &[u8]| before.windows(word.len()).any(|words| words == word);
        words.iter().any(|word| is_there(word))
    };
    let sign = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    let in_list = matches!(sign, Some(b',' | b'[' | b'(' | b'<' | b'>' | b'='))
        || matches!(text.get(span.end), Some(b',' | b';' | b']'));
    !says(&OTHER_NUMBERS) && (!in_list || says(&CARD_WORDS))
}

/// Whether an issuer of cards gives numbers that begin so and are as long.
fn is_issued(digits: &[u8]) -> bool {
    let start = digits
        .iter()
        .take(4)
        .fold(0_u32, |start, digit| 10 * start + u32::from(*digit));
    match start {
        // Visa, Mastercard, American Express.
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => digits.len() == 16,
        3400..=3499 | 3700..=3799 => digits.len() == 15,
        // Discover, UnionPay, JCB.
        6011 | 6440..=6599 | 6200..=6299 | 3528..=3589 => (16..=19).contains(&digits.len()),
        // Diners Club.
        3000..=3059 | 3600..=3699 | 3800..=3999 => digits.len() == 14,
        _ => false,
    }
}

/// Whether the digits, every second one doubled from the end, add up to a multiple of ten.
fn has_check_digit(digits: &[u8]) -> bool {
    let from_end = digits.iter().rev().enumerate();
    let sum: u32 = from_end
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) => 2 * digit / 10 + 2 * digit % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
