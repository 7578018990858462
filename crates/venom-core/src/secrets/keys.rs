//! Secrets with a form of their own: keys with a known beginning, private key blocks, web tokens.

use super::{Secret, SecretKind, entropy_bits, is_mixed};
use std::ops::Range;

pub(super) const PRIVATE_KEY: SecretKind = SecretKind("private key");
pub(super) const AWS_SECRET: SecretKind = SecretKind("AWS secret key");
pub(super) const WEB_TOKEN: SecretKind = SecretKind("JSON web token");
pub(super) const BOT_TOKEN: SecretKind = SecretKind("Telegram bot token");
const AWS_KEY: SecretKind = SecretKind("AWS access key");
const OPENAI: SecretKind = SecretKind("OpenAI key");

/// Longest key that is looked at, in bytes; of a longer one its start says what it is.
const KEY_BYTES_MAX: usize = 512;
/// Longest part of a web token that is looked at, in bytes; only the last may be longer.
const TOKEN_PART_BYTES_MAX: usize = 8 * 1024;
/// How far from an access key of AWS its secret stands at most, in bytes.
const NEAR_BYTES: usize = 200;

/// Which bytes a key is made of.
#[derive(Clone, Copy, Debug)]
enum Made {
    Base32,
    Hex,
    LettersAndDigits,
    /// And underscores and hyphens.
    UrlSafe,
    /// And full stops.
    Dotted,
}

impl Made {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Base32 => matches!(byte, b'A'..=b'Z' | b'2'..=b'7'),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::LettersAndDigits => byte.is_ascii_alphanumeric(),
            Self::UrlSafe => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
        }
    }
}

/// A key with a known beginning.
struct Rule {
    kind: SecretKind,
    start: &'static str,
    made: Made,
    /// How many bytes follow the beginning, at least and at most.
    bytes: (usize, usize),
}

const fn rule(kind: &'static str, start: &'static str, made: Made, bytes: (usize, usize)) -> Rule {
    Rule {
        kind: SecretKind(kind),
        start,
        made,
        bytes,
    }
}

const MANY: usize = KEY_BYTES_MAX;

/// The keys; of those that begin alike the longer beginning comes first.
const RULES: &[Rule] = &[
    rule(AWS_KEY.0, "AKIA", Made::Base32, (16, 16)),
    rule(AWS_KEY.0, "ASIA", Made::Base32, (16, 16)),
    rule("GitHub token", "ghp_", Made::LettersAndDigits, (36, MANY)),
    rule("GitHub token", "gho_", Made::LettersAndDigits, (36, MANY)),
    rule("GitHub token", "ghu_", Made::LettersAndDigits, (36, MANY)),
    rule("GitHub token", "ghs_", Made::UrlSafe, (36, MANY)),
    rule("GitHub token", "ghr_", Made::LettersAndDigits, (36, MANY)),
    rule("GitHub token", "github_pat_", Made::UrlSafe, (40, MANY)),
    rule("GitLab token", "glpat-", Made::Dotted, (20, MANY)),
    rule("GitLab token", "glrt-", Made::Dotted, (20, MANY)),
    rule("GitLab token", "gldt-", Made::Dotted, (20, MANY)),
    rule("Slack token", "xoxb-", Made::UrlSafe, (20, MANY)),
    rule("Slack token", "xoxp-", Made::UrlSafe, (20, MANY)),
    rule("Slack token", "xoxa-", Made::UrlSafe, (20, MANY)),
    rule("Slack token", "xoxr-", Made::UrlSafe, (20, MANY)),
    rule("Slack token", "xoxs-", Made::UrlSafe, (20, MANY)),
    rule("Slack token", "xoxe-", Made::UrlSafe, (20, MANY)),
    rule("Slack token", "xapp-", Made::UrlSafe, (20, MANY)),
    rule("Stripe key", "sk_live_", Made::LettersAndDigits, (16, MANY)),
    rule("Stripe key", "rk_live_", Made::LettersAndDigits, (16, MANY)),
    rule("Stripe key", "whsec_", Made::LettersAndDigits, (24, MANY)),
    rule("Anthropic key", "sk-ant-", Made::UrlSafe, (20, MANY)),
    rule("OpenRouter key", "sk-or-", Made::UrlSafe, (32, MANY)),
    rule(OPENAI.0, "sk-proj-", Made::UrlSafe, (20, MANY)),
    rule(OPENAI.0, "sk-svcacct-", Made::UrlSafe, (20, MANY)),
    rule(OPENAI.0, "sk-admin-", Made::UrlSafe, (20, MANY)),
    rule(OPENAI.0, "sk-", Made::LettersAndDigits, (32, MANY)),
    rule("Google key", "AIza", Made::UrlSafe, (35, 35)),
    rule("Google key", "GOCSPX-", Made::UrlSafe, (28, 28)),
    rule(
        "Hugging Face token",
        "hf_",
        Made::LettersAndDigits,
        (30, MANY),
    ),
    rule("npm token", "npm_", Made::LettersAndDigits, (36, MANY)),
    rule("PyPI token", "pypi-AgE", Made::UrlSafe, (50, MANY)),
    rule("SendGrid key", "SG.", Made::Dotted, (60, 72)),
    rule("Twilio key", "SK", Made::Hex, (32, 32)),
    rule("DigitalOcean token", "dop_v1_", Made::Hex, (64, 64)),
    rule(
        "Shopify token",
        "shpat_",
        Made::LettersAndDigits,
        (32, MANY),
    ),
    rule("Databricks token", "dapi", Made::Hex, (32, 32)),
    rule("Groq key", "gsk_", Made::LettersAndDigits, (40, MANY)),
    rule("xAI key", "xai-", Made::LettersAndDigits, (40, MANY)),
    rule(
        "Perplexity key",
        "pplx-",
        Made::LettersAndDigits,
        (40, MANY),
    ),
    rule("Replicate token", "r8_", Made::LettersAndDigits, (37, MANY)),
    rule("Vault token", "hvs.", Made::UrlSafe, (60, MANY)),
    rule("Grafana token", "glsa_", Made::UrlSafe, (32, MANY)),
    rule("Postman key", "PMAK-", Made::UrlSafe, (50, MANY)),
    rule("Atlassian token", "ATATT3x", Made::UrlSafe, (60, MANY)),
    rule("Linear key", "lin_api_", Made::LettersAndDigits, (32, MANY)),
    rule("Notion token", "ntn_", Made::LettersAndDigits, (40, MANY)),
    rule(
        "age key",
        "AGE-SECRET-KEY-1",
        Made::LettersAndDigits,
        (50, 64),
    ),
    rule("Venom token", "venom_", Made::LettersAndDigits, (32, MANY)),
];

/// Every kind in the table.
pub(super) fn kinds() -> impl Iterator<Item = SecretKind> {
    RULES.iter().map(|rule| rule.kind)
}

/// Keys in a text, in order. O(bytes).
pub(super) fn find(text: &[u8]) -> Vec<Secret> {
    let mut found: Vec<Secret> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let secret = begins_here(text, at)
            .then(|| starting_at(text, at))
            .flatten();
        at += 1;
        if let Some(secret) = secret {
            at = secret.span.end.max(at);
            found.push(secret);
        }
    }
    let near = aws_secrets(text, &found);
    super::merge(&mut found, near);
    found
}

/// Whether a key may begin at a place: not in the middle of a word.
fn begins_here(text: &[u8], at: usize) -> bool {
    let is_start = at == 0 || !text[at - 1].is_ascii_alphanumeric();
    is_start && (text[at].is_ascii_alphanumeric() || text[at] == b'-')
}

fn starting_at(text: &[u8], at: usize) -> Option<Secret> {
    let rest = &text[at..];
    let (kind, length) = match rest {
        [b'-', ..] => (PRIVATE_KEY, private_key(rest)?),
        [b'P', b'u', ..] => (PRIVATE_KEY, putty_key(rest)?),
        [b'e', b'y', b'J', ..] => (WEB_TOKEN, web_token(rest)?),
        [b'0'..=b'9', ..] => (BOT_TOKEN, bot_token(rest)?),
        _ => {
            let known = |rule: &&Rule| rest.starts_with(rule.start.as_bytes());
            let rule = RULES.iter().find(known)?;
            (rule.kind, key(rest, rule)?)
        }
    };
    Some(Secret {
        kind,
        span: at..at + length,
    })
}

/// How many bytes at the start are of a kind, at most `most`.
fn run(text: &[u8], most: usize, is_part: impl Fn(u8) -> bool) -> usize {
    text.iter()
        .take(most)
        .take_while(|byte| is_part(**byte))
        .count()
}

fn key(text: &[u8], rule: &Rule) -> Option<usize> {
    let start = rule.start.len();
    let body = &text[start..];
    let is_part = |byte| rule.made.has(byte);
    // A full stop or hyphen at the end belongs to the sentence.
    let trimmed = |length: usize| {
        let signs = body[..length].iter().rev();
        length - signs.take_while(|b| !b.is_ascii_alphanumeric()).count()
    };
    let looked_at = run(body, KEY_BYTES_MAX, is_part);
    let length = trimmed(looked_at);
    let (least, most) = rule.bytes;
    let ends = body
        .get(length)
        .is_none_or(|next| !next.is_ascii_alphanumeric())
        || looked_at == KEY_BYTES_MAX;
    let key = &body[..length];
    // What is made up for a manual repeats itself, or is a word.
    let has = |is_part: fn(&u8) -> bool| key.iter().any(is_part);
    let is_varied =
        has(u8::is_ascii_digit) || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let is_random = entropy_bits(key) >= 2.5 && is_varied;
    let is_key = (least..=most).contains(&length) && ends && is_random;
    is_key.then(|| start + trimmed(to_its_end(body, looked_at, KEY_BYTES_MAX, is_part)))
}

/// The length of something of which so many bytes were looked at, at most `most`.
pub(super) fn to_its_end(
    text: &[u8],
    looked_at: usize,
    most: usize,
    is_part: impl Fn(u8) -> bool,
) -> usize {
    if looked_at < most {
        return looked_at;
    }
    looked_at + run(&text[looked_at..], usize::MAX, is_part)
}

/// A block from `-----BEGIN … PRIVATE KEY…-----` to its end.
fn private_key(text: &[u8]) -> Option<usize> {
    const LABEL_BYTES_MAX: usize = 64;
    /// Lines before the key itself, such as its encryption.
    const HEADERS_BYTES_MAX: usize = 400;
    const BODY_BYTES_MIN: usize = 20;
    let after = text.strip_prefix(b"-----BEGIN ")?;
    let label = run(after, LABEL_BYTES_MAX, |b| {
        b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' '
    });
    let is_private = after[..label]
        .windows(11)
        .any(|words| words == b"PRIVATE KEY");
    if !is_private || !after[label..].starts_with(b"-----") {
        return None;
    }
    let body = 11 + label + 5;
    let near = &text[body..text.len().min(body + HEADERS_BYTES_MAX)];
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    // A key in a JSON file has its line feeds written out, one in a comment stands behind its signs.
    let mut lines = near.split(|b| matches!(b, b'\n' | b'\r')).flat_map(|line| {
        let unescaped = line.split(|b| *b == b'\\');
        unescaped.map(|part| part.strip_prefix(b"n").unwrap_or(part))
    });
    let first = lines.find_map(|line| {
        let signs = run(line, line.len(), |b| {
            b.is_ascii_whitespace() || b"/#*>\"'+".contains(&b)
        });
        let line = &line[signs..];
        let is_header = line.windows(2).any(|signs| signs == b": ");
        (!line.is_empty() && !is_header).then_some(line)
    });
    if first.is_none_or(|line| run(line, BODY_BYTES_MIN, is_base64) < BODY_BYTES_MIN) {
        return None;
    }
    Some(end_of_key(text, body))
}

/// Where the block ends: after its last line, or where the text does.
fn end_of_key(text: &[u8], body: usize) -> usize {
    const END: &[u8] = b"-----END ";
    let end = text[body..]
        .windows(END.len())
        .position(|words| words == END);
    let Some(end) = end.map(|at| body + at + END.len()) else {
        return text.len();
    };
    // Of ASCII, so that it does not end within a character.
    let label = run(&text[end..], 64, |b| {
        b.is_ascii() && b != b'-' && b != b'\n'
    });
    let dashes = run(&text[end + label..], 5, |b| b == b'-');
    end + label + dashes
}

/// A key of PuTTY, up to the end of the text.
fn putty_key(text: &[u8]) -> Option<usize> {
    let is_key = text.starts_with(b"PuTTY-User-Key-File-");
    let near = &text[..text.len().min(4 * 1024)];
    let has_private = near.windows(14).any(|words| words == b"Private-Lines:");
    (is_key && has_private).then_some(text.len())
}

/// Three parts of URL-safe base64, of which the first two are JSON objects.
fn web_token(text: &[u8]) -> Option<usize> {
    let is_part = |byte| Made::UrlSafe.has(byte);
    let part = |from: usize, least: usize| {
        let length = run(&text[from..], TOKEN_PART_BYTES_MAX, is_part);
        (length >= least).then_some(from + length)
    };
    let header = part(0, 12)?;
    let after = text.get(header..)?.strip_prefix(b".eyJ")?;
    let payload = part(text.len() - after.len(), 8)?;
    (text.get(payload) == Some(&b'.')).then_some(())?;
    let signature = &text[payload + 1..];
    let looked_at = part(payload + 1, 16)? - (payload + 1);
    let length = to_its_end(signature, looked_at, TOKEN_PART_BYTES_MAX, is_part);
    Some(payload + 1 + length)
}

/// The digits of a bot, a colon and 35 characters that begin with AA.
fn bot_token(text: &[u8]) -> Option<usize> {
    let digits = run(text, 12, |byte| byte.is_ascii_digit());
    let after = text[digits..].strip_prefix(b":AA")?;
    let length = run(after, 64, |byte| Made::UrlSafe.has(byte));
    let is_token =
        (8..=10).contains(&digits) && (32..=34).contains(&length) && is_mixed(&after[..length]);
    is_token.then_some(digits + 3 + length)
}

/// Secret keys beside access keys: 40 bytes of base64 that look random. O(access keys), as each has a bounded
/// neighbourhood of its own.
fn aws_secrets(text: &[u8], found: &[Secret]) -> Vec<Secret> {
    let mut secrets: Vec<Secret> = Vec::new();
    for key in found.iter().filter(|secret| secret.kind == AWS_KEY) {
        let told = secrets.last().map_or(0, |last| last.span.end);
        let first = key.span.start.saturating_sub(NEAR_BYTES).max(told);
        let last = text.len().min(key.span.end + NEAR_BYTES);
        secrets.extend(secrets_within(text, first..last));
    }
    secrets
}

fn secrets_within(text: &[u8], within: Range<usize>) -> Vec<Secret> {
    const BYTES: usize = 40;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut secrets = Vec::new();
    let mut at = within.start;
    while at < within.end {
        let length = run(&text[at..], BYTES + 1, is_part);
        let starts = at == 0 || !is_part(text[at - 1]);
        let word = &text[at..at + length];
        let has_cases =
            word.iter().any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_lowercase);
        if length == BYTES && starts && has_cases && is_mixed(word) && entropy_bits(word) >= 3.5 {
            secrets.push(Secret {
                kind: AWS_SECRET,
                span: at..at + length,
            });
        }
        at += length.max(1);
    }
    secrets
}
