//! The text of a JSON object with its strings apart: secrets are looked for in what it says, not in how that is
//! written, and are masked so that it stays an object. Who made the text vouches for its form.

use super::{Secret, find};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

/// The text of a JSON object.
#[derive(Debug, Default)]
pub(super) struct Json<'t> {
    /// By turns what is outside of strings and what is in one; between two stands a quote.
    parts: Vec<Part<'t>>,
    plain: String,
}

/// A part of the text, without quotes around it.
#[derive(Debug)]
struct Part<'t> {
    written: &'t str,
    /// Where it is in the plain text.
    plain: Range<usize>,
    is_string: bool,
}

impl<'t> Json<'t> {
    /// Reads a text. O(bytes).
    pub(super) fn read(text: &'t str) -> Self {
        let mut json = Self::default();
        let (mut rest, mut is_string) = (Some(text), false);
        while let Some(text) = rest {
            let end = if is_string {
                end_of_string(text)
            } else {
                text.find('"').unwrap_or(text.len())
            };
            if !json.parts.is_empty() {
                json.plain.push('"');
            }
            let start = json.plain.len();
            let written = &text[..end];
            if is_string {
                unescape(written, &mut json.plain);
            } else {
                json.plain.push_str(written);
            }
            json.parts.push(Part {
                written,
                plain: start..json.plain.len(),
                is_string,
            });
            rest = text.get(end + 1..);
            is_string = !is_string;
        }
        json
    }

    /// The text with the escapes in its strings read.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// The name of the object's field in which a byte of the plain text is; `None` in such a name. O(bytes).
    pub(super) fn field_at(&self, at: usize) -> Option<&str> {
        let (mut depth, mut field) = (0_usize, None);
        for (place, part) in self.parts.iter().enumerate() {
            if depth == 1 && self.is_name(place) {
                field = (at >= part.plain.end).then(|| &self.plain[part.plain.clone()]);
            }
            if at < part.plain.end {
                break;
            }
            if !part.is_string {
                let count = |signs: [char; 2]| part.written.matches(signs).count();
                depth = (depth + count(['{', '['])).saturating_sub(count(['}', ']']));
            }
        }
        field
    }

    /// The text with a mark in the place of each of these secrets of the plain text. A secret without an end ends with
    /// its string; one that goes on in other strings is masked in each; a number becomes a string, and equal names of
    /// fields get `_` behind them. `None` if a secret without an end is none without the strings behind its own. O(bytes).
    pub(super) fn masked(&self, secrets: &[Secret]) -> Option<String> {
        if !secrets.iter().all(|secret| self.has_end(secret)) {
            return None;
        }
        let mut names = HashSet::new();
        let mut masked = String::with_capacity(self.plain.len());
        for (place, part) in self.parts.iter().enumerate() {
            if place > 0 {
                masked.push('"');
            }
            let plain = &self.plain[part.plain.clone()];
            let within = self.within(part, secrets);
            if within.is_empty() {
                masked.push_str(part.written);
            } else if part.is_string {
                let mut text = super::masked(plain, &within);
                while self.is_name(place) && !names.insert(text.clone()) {
                    text.push('_');
                }
                escape(&text, &mut masked);
            } else {
                mask_values(plain, &within, &mut masked);
            }
        }
        Some(masked)
    }

    /// Whether a part is the name of a field.
    fn is_name(&self, place: usize) -> bool {
        let next = self.parts.get(place + 1).map(|next| next.written);
        self.parts[place].is_string && next.is_some_and(|next| next.trim_start().starts_with(':'))
    }

    /// Whether a secret ends before the text does, or is one in its string alone, so that it may end with that.
    fn has_end(&self, secret: &Secret) -> bool {
        let is_one_alone = || {
            let mut parts = self.parts.iter().map(|part| &part.plain);
            let string = parts.find(|plain| plain.end > secret.span.start);
            string.is_some_and(|plain| !find(&self.plain[plain.clone()]).is_empty())
        };
        secret.span.end < self.plain.len() || is_one_alone()
    }

    /// The secrets as far as they are in a part, by their place in it.
    fn within(&self, part: &Part<'_>, secrets: &[Secret]) -> Vec<Secret> {
        let (start, end) = (part.plain.start, part.plain.end);
        let first = secrets.partition_point(|secret| secret.span.end <= start);
        let near = secrets[first..].iter();
        let near = near.take_while(|secret| secret.span.start < end);
        let begins_here = |secret: &Secret| secret.span.start >= start;
        let is_here = |secret: &&Secret| {
            let goes_on = part.is_string && secret.span.end < self.plain.len();
            start < end && (begins_here(secret) || goes_on)
        };
        let cut = |secret: &Secret| Secret {
            kind: secret.kind,
            span: secret.span.start.max(start) - start..secret.span.end.min(end) - start,
        };
        near.filter(is_here).map(cut).collect()
    }
}

/// Where a string ends: at the first quote that is not escaped.
fn end_of_string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'"' {
        at += 1 + usize::from(bytes[at] == b'\\');
    }
    at.min(bytes.len())
}

/// Adds what a string says.
fn unescape(written: &str, plain: &mut String) {
    let mut rest = written;
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let (units, after) = code_units(escape);
        if !units.is_empty() {
            let signs = char::decode_utf16(units);
            plain.extend(signs.map(|sign| sign.unwrap_or(char::REPLACEMENT_CHARACTER)));
            rest = after;
            continue;
        }
        let mut signs = escape.chars();
        plain.extend(signs.next().map(|sign| match sign {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            other => other,
        }));
        rest = signs.as_str();
    }
    plain.push_str(rest);
}

/// The UTF-16 units of escapes in a row, of which the first backslash is read, and what stands behind them.
fn code_units(escape: &str) -> (Vec<u16>, &str) {
    let (mut units, mut rest, mut next) = (Vec::new(), escape, Some(escape));
    while let Some(digits) = next.and_then(|escape| escape.strip_prefix('u')) {
        let Some((hex, after)) = digits.split_at_checked(4) else {
            break;
        };
        let is_hex = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        let Some(unit) = u16::from_str_radix(hex, 16).ok().filter(|_| is_hex) else {
            break;
        };
        units.push(unit);
        rest = after;
        next = after.strip_prefix('\\');
    }
    (units, rest)
}

/// Adds a text as it is written in a string.
fn escape(plain: &str, written: &mut String) {
    for sign in plain.chars() {
        match sign {
            '"' | '\\' => written.extend(['\\', sign]),
            '\n' => written.push_str("\\n"),
            '\0'..='\u{1f}' => {
                let _ = write!(written, "\\u{:04x}", u32::from(sign));
            }
            _ => written.push(sign),
        }
    }
}

/// Adds what is outside of strings, with a string in the place of each value in which a secret begins.
fn mask_values(plain: &str, secrets: &[Secret], masked: &mut String) {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let mut copied = 0;
    for secret in secrets {
        let at = secret.span.start;
        let (before, after) = plain.as_bytes().split_at(at);
        let before = before.get(copied..).unwrap_or_default();
        let start = at - before.iter().rev().take_while(is_part).count();
        let end = at + after.iter().take_while(is_part).count();
        if copied <= at && at < end {
            masked.push_str(&plain[copied..start]);
            masked.extend(["\"", &secret.kind.mark(), "\""]);
            copied = end;
        }
    }
    masked.push_str(&plain[copied..]);
}
