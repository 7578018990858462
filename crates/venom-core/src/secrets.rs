//! Secrets in text: keys, tokens, passwords and card numbers, found by their form before a text is kept.
//!
//! Every scanner is written by hand and reads a text a fixed number of times: O(bytes), whatever the text. Where a
//! form alone says too little, a scanner rather misses a secret than takes prose, an id or a hash for one.

mod cards;
mod json;
mod keys;
mod passwords;

use crate::error::InputError;
use crate::import::{Metadata, ORIGINAL_ID};
use crate::memory::{Content, Origin, SessionName, SpaceName, Speaker, Tags};
use crate::source::{ClientName, Source, TokenName};
use json::Json;
use std::ops::Range;

/// How often a text is masked at most: a mark may part what hid another secret.
const ROUNDS_MAX: usize = 4;

/// What becomes of a text that holds a secret; the stricter is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretPolicy {
    /// It is kept as it is.
    Keep,
    /// A mark is kept in the place of the secret.
    Mask,
    /// The text is refused.
    #[default]
    Refuse,
}

/// A kind of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretKind(&'static str);

impl SecretKind {
    /// Its name, without an article.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        let own = [
            keys::PRIVATE_KEY,
            keys::AWS_SECRET,
            keys::WEB_TOKEN,
            keys::BOT_TOKEN,
        ];
        let own = own.into_iter().chain(keys::kinds());
        let other = [
            passwords::PASSWORD,
            passwords::IN_URL,
            passwords::API_KEY,
            passwords::BEARER,
        ];
        let mut all = own.chain(other).chain([cards::CARD]);
        all.find(|kind| kind.0 == name)
    }

    /// Its name with the article.
    fn with_article(self) -> String {
        let vowel = self.0.starts_with(['A', 'a', 'O', 'n', 'x']);
        format!("{} {}", if vowel { "an" } else { "a" }, self.0)
    }

    /// What is put in its place.
    fn mark(self) -> String {
        format!("[{} removed]", self.0)
    }
}

/// Where a secret stands in a text. It does not hold the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// What it is.
    pub kind: SecretKind,
    /// Its bytes.
    pub span: Range<usize>,
}

/// The secrets in a text, in order, none within another. O(bytes).
pub fn find(text: &str) -> Vec<Secret> {
    let bytes = text.as_bytes();
    let mut found = keys::find(bytes);
    // What has a form of its own says more than the words around it.
    merge(&mut found, passwords::find(text));
    merge(&mut found, cards::find(bytes));
    found
}

/// Adds those of `more` that overlap none of `found`; both are in order, and so is the result.
fn merge(found: &mut Vec<Secret>, more: Vec<Secret>) {
    let is_new = |secret: &Secret| {
        let after = found.partition_point(|old| old.span.end <= secret.span.start);
        found
            .get(after)
            .is_none_or(|next| next.span.start >= secret.span.end)
    };
    let new: Vec<Secret> = more.into_iter().filter(is_new).collect();
    found.extend(new);
    found.sort_by_key(|secret| secret.span.start);
}

/// Applies the policy to the texts of one memory, and notes what was masked.
#[derive(Debug)]
pub struct Screen {
    policy: SecretPolicy,
    masked: Vec<SecretKind>,
}

impl Screen {
    /// Nothing was masked yet.
    pub const fn new(policy: SecretPolicy) -> Self {
        Self {
            policy,
            masked: Vec::new(),
        }
    }

    /// The kinds that were masked, each once, in the order of their first.
    pub fn masked(self) -> Vec<SecretKind> {
        self.masked
    }

    /// A text as it may be kept.
    ///
    /// # Errors
    /// [`InputError::Secret`] if it must not; [`InputError::TooLong`] if it is too long with the marks.
    pub fn content(&mut self, content: Content) -> Result<Content, InputError> {
        let text = content.as_str();
        let secrets = self.secrets("content", text, |at| character(text, at))?;
        if secrets.is_empty() {
            return Ok(content);
        }
        Content::parse(&masked_wholly(text, |secrets| self.note(secrets)))
    }

    /// Tags as they may be kept: of a tag with a secret only the mark.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn tags(&mut self, tags: Tags) -> Result<Tags, InputError> {
        let mut texts: Vec<String> = Vec::with_capacity(tags.as_slice().len());
        let mut is_changed = false;
        for tag in tags.as_slice() {
            let mark = self.name("tag", tag.as_str())?;
            is_changed |= mark.is_some();
            texts.push(mark.unwrap_or_else(|| tag.as_str().to_owned()));
        }
        if is_changed {
            Tags::parse(&texts)
        } else {
            Ok(tags)
        }
    }

    /// Where a memory comes from, as it may be kept.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn origin(&mut self, origin: Origin) -> Result<Origin, InputError> {
        Ok(Origin {
            speaker: self.speaker(origin.speaker)?,
            session: self.session(origin.session)?,
            occurred_at: origin.occurred_at,
        })
    }

    /// A speaker as it may be kept.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn speaker(&mut self, speaker: Option<Speaker>) -> Result<Option<Speaker>, InputError> {
        let Some(name) = speaker else {
            return Ok(None);
        };
        let mark = self.name("speaker", name.as_str())?;
        mark.map_or(Ok(name), |mark| Speaker::parse(&mark))
            .map(Some)
    }

    /// A session as it may be kept.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn session(
        &mut self,
        session: Option<SessionName>,
    ) -> Result<Option<SessionName>, InputError> {
        let Some(name) = session else {
            return Ok(None);
        };
        let mark = self.name("session", name.as_str())?;
        mark.map_or(Ok(name), |mark| SessionName::parse(&mark))
            .map(Some)
    }

    /// Through whom a memory came in, as it may be kept.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn source(&mut self, source: Source) -> Result<Source, InputError> {
        let mut mark = |field, name: Option<&str>| match name {
            Some(name) => self.name(field, name),
            None => Ok(None),
        };
        let client = mark("client", source.client.as_ref().map(ClientName::as_str))?;
        let token = mark("token", source.token.as_ref().map(TokenName::as_str))?;
        Ok(Source {
            client: client.map_or(source.client, |mark| ClientName::told(&mark)),
            token: token.map_or(source.token, |mark| TokenName::told(&mark)),
        })
    }

    /// Looks at the space of a memory, which tells memories apart and so cannot be masked.
    ///
    /// # Errors
    /// [`InputError::SecretName`] if its name must not be kept.
    pub fn space(&self, space: &SpaceName) -> Result<(), InputError> {
        let found = find(space.as_str());
        match found.first() {
            Some(first) if self.policy != SecretPolicy::Keep => Err(InputError::SecretName {
                field: "space",
                kind: first.kind.with_article(),
            }),
            _ => Ok(()),
        }
    }

    /// Metadata as it may be kept: an object with a mark in the place of each secret in its names and values. Only how
    /// long it was is kept where it is too long with the marks, or where marking leaves a secret.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn metadata(&mut self, metadata: Option<Metadata>) -> Result<Option<Metadata>, InputError> {
        let Some(mut kept) = metadata else {
            return Ok(None);
        };
        let bytes = kept.as_str().len();
        for _ in 0..ROUNDS_MAX {
            let json = Json::read(kept.as_str());
            let secrets = self.secrets("metadata", json.plain(), |at| field(&json, at))?;
            if secrets.is_empty() {
                return Ok(Some(kept));
            }
            match json.masked(&secrets).map(|masked| Metadata::parse(&masked)) {
                Some(Ok(masked)) => kept = masked,
                _ => break,
            }
        }
        Ok(Some(Metadata::left_out(bytes, " with secrets")))
    }

    /// The mark that takes the place of a name, if it must.
    fn name(&mut self, field: &'static str, text: &str) -> Result<Option<String>, InputError> {
        let secrets = self.secrets(field, text, |at| character(text, at))?;
        Ok(secrets.first().map(|secret| secret.kind.mark()))
    }

    /// What must be masked, and is noted as such. An error tells the place of a byte by `place`.
    fn secrets(
        &mut self,
        field: &'static str,
        text: &str,
        place: impl FnOnce(usize) -> String,
    ) -> Result<Vec<Secret>, InputError> {
        if self.policy == SecretPolicy::Keep {
            return Ok(Vec::new());
        }
        let secrets = find(text);
        if let (SecretPolicy::Refuse, Some(first)) = (self.policy, secrets.first()) {
            return Err(InputError::Secret {
                field,
                kind: first.kind.with_article(),
                place: place(first.span.start),
            });
        }
        self.note(&secrets);
        Ok(secrets)
    }

    /// Notes what is masked.
    fn note(&mut self, secrets: &[Secret]) {
        for secret in secrets {
            if !self.masked.contains(&secret.kind) {
                self.masked.push(secret.kind);
            }
        }
    }
}

/// The place of a byte in a text, for an error.
fn character(text: &str, at: usize) -> String {
    format!("at character {}", text[..at].chars().count() + 1)
}

/// The place of a byte in metadata, for an error: its field, unless that has a secret for a name.
fn field(json: &Json<'_>, at: usize) -> String {
    const CHARS_MAX: usize = 40;
    let Some(name) = json.field_at(at).filter(|name| find(name).is_empty()) else {
        return "in the name of a field".to_owned();
    };
    let shown: String = name.chars().take(CHARS_MAX).collect();
    if shown.trim_end_matches('_') == ORIGINAL_ID {
        return format!("in {shown:?}, the id that it had elsewhere");
    }
    format!("in {shown:?}")
}

/// A text as it may be told in an error, whatever the policy is: with a mark in the place of each secret. O(bytes).
pub fn without_secrets(text: &str) -> String {
    masked_wholly(text, |_| {})
}

/// A text with a mark in the place of each secret, also of those that come to light by the marks; `note` hears of all.
fn masked_wholly(text: &str, mut note: impl FnMut(&[Secret])) -> String {
    let mut text = text.to_owned();
    for _ in 0..ROUNDS_MAX {
        let secrets = find(&text);
        if secrets.is_empty() {
            break;
        }
        note(&secrets);
        text = masked(&text, &secrets);
    }
    text
}

/// A text with a mark in the place of each secret.
fn masked(text: &str, secrets: &[Secret]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    for secret in secrets {
        masked.push_str(&text[copied..secret.span.start]);
        masked.push_str(&secret.kind.mark());
        copied = secret.span.end;
    }
    masked.push_str(&text[copied..]);
    masked
}

/// Whether there are a digit and a letter.
fn is_mixed(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_digit) && bytes.iter().any(u8::is_ascii_alphabetic)
}

/// How many bits a byte of a text says by how often each is in it (Shannon). At most 8. O(bytes).
fn entropy_bits(bytes: &[u8]) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len().max(1) as f32;
    let shares = counts.iter().filter(|count| **count > 0);
    shares
        .map(|count| *count as f32 / all)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests;
