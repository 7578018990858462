//! Secrets that the words around them give away: `password: …`, `api_key=…`, `Authorization: Bearer …`, and
//! passwords in URLs.

use super::keys::to_its_end;
use super::{Secret, SecretKind, entropy_bits, is_mixed};
use std::ops::Range;

pub(super) const PASSWORD: SecretKind = SecretKind("password");
pub(super) const IN_URL: SecretKind = SecretKind("password in a URL");
pub(super) const API_KEY: SecretKind = SecretKind("API key or token");
pub(super) const BEARER: SecretKind = SecretKind("access token");

/// Longest name before a sign of assignment that is read, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest value that is looked at, in bytes; of a longer one its start says what it is.
const VALUE_BYTES_MAX: usize = 512;
/// Least bytes of a password.
const PASSWORD_BYTES_MIN: usize = 6;
/// Least bytes of a key or token, and how many bits a byte of it says.
const KEY_BYTES_MIN: usize = 16;
const KEY_BITS_MIN: f32 = 3.0;

/// How names of passwords end, in lower case and without signs in them.
const PASSWORD_NAMES: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "kennwort",
    "wachtwoord",
    "senha",
    "pwd",
];
/// How names of keys and tokens end.
const KEY_NAMES: [&str; 12] = [
    "apikey",
    "secret",
    "secretkey",
    "accesskey",
    "accountkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "token",
    "authkey",
    "clientsecret",
    "sharedkey",
];
/// What stands for a password where there is none.
const PLACEHOLDERS: [&str; 14] = [
    "pass",
    "password",
    "passwd",
    "passwort",
    "secret",
    "changeme",
    "example",
    "your_password",
    "yourpassword",
    "mypassword",
    "pw",
    "pwd",
    "token",
    "1password",
];

/// Secrets in a text, in order. O(bytes).
pub(super) fn find(text: &str) -> Vec<Secret> {
    let bytes = text.as_bytes();
    let mut found: Vec<Secret> = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        let end = found.last().map_or(0, |last| last.span.end);
        // So that a long one is read to its end only once.
        if at + 1 < end {
            continue;
        }
        let secret = match byte {
            b':' if bytes[at..].starts_with(b"://") => in_url(text, at),
            b':' | b'=' => assigned(text, at),
            b'B' | b'b' => bearer(bytes, at),
            _ => None,
        };
        found.extend(secret.filter(|new| end <= new.span.start));
    }
    found
}

/// The password of `scheme://user:password@host`, of which `at` is the colon after the scheme.
fn in_url(text: &str, at: usize) -> Option<Secret> {
    let bytes = text.as_bytes();
    if !bytes[..at].last()?.is_ascii_alphanumeric() {
        return None;
    }
    let start = at + 3;
    let is_part = |byte: u8| {
        !byte.is_ascii_whitespace()
            && !byte.is_ascii_control()
            && !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`')
    };
    let length = run(&bytes[start..], VALUE_BYTES_MAX, is_part);
    let authority = &bytes[start..start + length];
    let end = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority[..end].iter().position(|byte| *byte == b':')?;
    let span = start + colon + 1..start + end;
    let password = text.get(span.clone())?;
    (!password.is_empty() && !is_placeholder(password)).then_some(Secret { kind: IN_URL, span })
}

/// The value that a sign of assignment at a place gives to something named like a secret.
fn assigned(text: &str, at: usize) -> Option<Secret> {
    let bytes = text.as_bytes();
    let kind = named(&bytes[..at])?;
    let mut start = at + 1;
    // `:=`, `=>`, but neither `==` nor `::`.
    match (bytes[at], bytes.get(start)) {
        (b':', Some(b'=')) | (b'=', Some(b'>')) => start += 1,
        (_, Some(b'=' | b':')) => return None,
        _ => {}
    }
    // Markdown may set the name in bold, its colon too.
    start += run(&bytes[start..], 8, |byte| {
        matches!(byte, b' ' | b'\t' | b'*')
    });
    let quote = bytes
        .get(start)
        .filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    start += usize::from(quote.is_some());
    let ends = |byte: u8| match quote {
        Some(quote) => byte == *quote || byte == b'\n',
        None => {
            byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`' | b',' | b';' | b'<')
        }
    };
    let looked_at = run(&bytes[start..], VALUE_BYTES_MAX, |byte| !ends(byte));
    let mut end = start + looked_at;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let whole = text.get(start..end)?;
    // In a URL the next argument is no part of it, nor is what ends a sentence or closes a bracket.
    let value = match whole.split_once('&') {
        Some((value, next)) if next.contains('=') && quote.is_none() => value,
        _ => whole,
    };
    let is_cut = value.len() == VALUE_BYTES_MAX;
    let value = value.trim_end_matches(['.', ':', ')', ']', '}', '…']);
    let is_secret = match kind {
        PASSWORD => is_password(value),
        _ => is_key(value),
    };
    let mut span = start..start + value.len();
    if is_secret && is_cut {
        span.end = start + to_its_end(&bytes[start..], looked_at, VALUE_BYTES_MAX, is_key_part);
    }
    is_secret.then_some(Secret { kind, span })
}

/// What kind of secret the name at the end of a text is of, quoted or not.
fn named(before: &[u8]) -> Option<SecretKind> {
    let skipped = before.iter().rev().take(8);
    let skipped =
        skipped.take_while(|byte| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'*'));
    let before = &before[..before.len() - skipped.count()];
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let name = before.iter().rev().take(NAME_BYTES_MAX).take_while(is_part);
    let mut name: Vec<u8> = name
        .filter(|byte| byte.is_ascii_alphanumeric())
        .copied()
        .collect();
    name.reverse();
    name.make_ascii_lowercase();
    let ends_with = |names: &[&str]| names.iter().any(|end| name.ends_with(end.as_bytes()));
    if ends_with(&PASSWORD_NAMES) {
        return Some(PASSWORD);
    }
    if ends_with(&KEY_NAMES) {
        return Some(API_KEY);
    }
    // In two words: API key.
    let ends = [&b"api key"[..], b"secret key", b"access key"];
    let tail = before[before.len().saturating_sub(10)..].to_ascii_lowercase();
    ends.iter()
        .any(|end| tail.ends_with(end))
        .then_some(API_KEY)
}

/// Whether a value looks like a password: letters with digits or other signs, and neither a word nor a number, a
/// version, an address or code.
fn is_password(value: &str) -> bool {
    let bytes = value.as_bytes();
    let is_sign = |byte: &u8| {
        matches!(
            byte,
            b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'?' | b'~' | b'+'
        )
    };
    let has_letter = value.chars().any(char::is_alphabetic);
    // A sign at the end belongs to the sentence.
    let inner = value.trim_end_matches(['!', '?', '*']);
    let is_varied =
        bytes.iter().any(u8::is_ascii_digit) || inner.bytes().any(|byte| is_sign(&byte));
    (PASSWORD_BYTES_MIN..=128).contains(&value.len())
        && has_letter
        && is_varied
        && !is_placeholder(value)
        && !is_other(value)
}

/// Whether a value looks like a key: long, letters and digits in no order, and nothing that is told apart.
fn is_key(value: &str) -> bool {
    value.len() >= KEY_BYTES_MIN
        && value.bytes().all(is_key_part)
        && is_mixed(value.as_bytes())
        && entropy_bits(value.as_bytes()) >= KEY_BITS_MIN
        && !is_placeholder(value)
        && !is_other(value)
        && has_long_part(value)
}

/// What keys and tokens are made of.
fn is_key_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.+/=~:|".contains(&byte)
}

/// Whether it is more than words and numbers with signs between them.
fn has_long_part(value: &str) -> bool {
    let parts = value.split(|c: char| !c.is_ascii_alphanumeric());
    let is_random = |part: &str| {
        let changes = part
            .as_bytes()
            .windows(2)
            .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit());
        part.len() >= 8 && is_mixed(part.as_bytes()) && changes.count() >= 2
    };
    parts.into_iter().any(is_random)
}

/// Whether a value is something else that is written with letters and digits: an id of a memory, an address, a
/// version, a time, code.
fn is_other(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits_and_signs = |text: &str| text.bytes().all(|byte| !byte.is_ascii_alphabetic());
    let is_version = bytes
        .first()
        .is_some_and(|byte| matches!(byte, b'v' | b'V'))
        && value.get(1..).is_some_and(digits_and_signs);
    let is_memory = value.strip_prefix("mem_").is_some_and(digits_and_signs);
    // 12:30pm, 2026-03-01T08:30:00Z, 30min, 10th.
    let is_time = bytes.first().is_some_and(u8::is_ascii_digit)
        && bytes
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic())
            .count()
            <= 2
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'.' | b'/'));
    let is_code = value.contains(['(', '[', '{']) || value.contains("->") || value.contains("::");
    let is_mail = value.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.contains('.')
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
    });
    let is_address = value.contains("://")
        || value.starts_with(['/', '~'])
        || value.starts_with("./")
        || value.contains('\\');
    let is_constant = value.contains('_')
        && bytes
            .iter()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    // What is public: where a contract or an account of a blockchain is.
    let is_account = value.len() == 42 && value.starts_with("0x");
    is_version
        || is_memory
        || is_constant
        || is_account
        || is_time
        || is_code
        || is_mail
        || is_address
}

/// Whether a value stands for another: `${PASSWORD}`, `<password>`, `****`, `changeme`.
fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let bytes = value.as_bytes();
    let is_variable = bytes.first() == Some(&b'$')
        && bytes[1..]
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    let is_one_sign = bytes.iter().all(|byte| Some(byte) == bytes.first());
    value.starts_with(['<', '{', '[', '('])
        || [
            "${", "$(", "$env", "%(", "%s", "env.", "os.", "process.", "...",
        ]
        .iter()
        .any(|start| lower.starts_with(start))
        || lower.starts_with("your")
        || lower.contains("example")
        || lower.contains("placeholder")
        || is_variable
        || is_one_sign
        || PLACEHOLDERS.contains(&lower.as_str())
}

/// The token after `Bearer` at a place.
fn bearer(bytes: &[u8], at: usize) -> Option<Secret> {
    const WORD: &[u8] = b"bearer ";
    let starts = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    let word = bytes.get(at..at + WORD.len())?;
    if !starts || !word.eq_ignore_ascii_case(WORD) {
        return None;
    }
    let start = at + WORD.len();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte);
    let length = run(&bytes[start..], VALUE_BYTES_MAX, is_part);
    let token = std::str::from_utf8(&bytes[start..start + length]).ok()?;
    let token = token.trim_end_matches('.');
    let mut span: Range<usize> = start..start + token.len();
    if length == VALUE_BYTES_MAX {
        span.end = start + to_its_end(&bytes[start..], length, VALUE_BYTES_MAX, is_part);
    }
    is_key(token).then_some(Secret { kind: BEARER, span })
}

/// How many bytes at the start are part of something, at most `most`.
fn run(text: &[u8], most: usize, is_part: impl Fn(u8) -> bool) -> usize {
    text.iter()
        .take(most)
        .take_while(|byte| is_part(**byte))
        .count()
}
