//! A memory and its parts. Values are parsed once, at the edge; what has one of these types is valid.

use crate::error::InputError;
use crate::import::Metadata;
use crate::limits;
use crate::precautions::Precautions;
use crate::source::Source;
use crate::time::Timestamp;
use std::fmt;

/// `mem_<digits>`: unique, and ordered by the time of storing.
///
/// New ids carry microseconds since the epoch. Ids from the predecessor carry whole seconds and stay
/// as they are: they have fewer digits, so number order is still time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryId(u64);

impl MemoryId {
    /// The id with these digits. At most `i64::MAX`, which every store can hold.
    pub const fn new(digits: u64) -> Option<Self> {
        if digits <= i64::MAX as u64 {
            Some(Self(digits))
        } else {
            None
        }
    }

    /// The digits after `mem_`.
    pub const fn digits(self) -> u64 {
        self.0
    }

    /// Parses `mem_` and 1 to 19 digits.
    ///
    /// # Errors
    /// [`InputError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let malformed = || InputError::malformed("memory_id", "mem_ followed by digits", text);
        let digits = text.strip_prefix("mem_").ok_or_else(malformed)?;
        let plain = !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        if !plain {
            return Err(malformed());
        }
        digits
            .parse()
            .ok()
            .and_then(Self::new)
            .ok_or_else(malformed)
    }
}

impl fmt::Display for MemoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mem_{}", self.0)
    }
}

/// Rejects blank, oversized and NUL-carrying text; returns it without white space around it.
pub(crate) fn parse_text(
    field: &'static str,
    text: &str,
    bytes_max: usize,
) -> Result<String, InputError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(InputError::Blank { field });
    }
    if trimmed.len() > bytes_max {
        return Err(InputError::TooLong {
            field,
            bytes: trimmed.len(),
            bytes_max,
        });
    }
    if let Some(at) = trimmed.find('\0') {
        return Err(InputError::Nul { field, at });
    }
    Ok(trimmed.to_owned())
}

/// The text of a memory: trimmed, not empty, within [`limits::CONTENT_BYTES_MAX`], no NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content(String);

impl Content {
    /// Parses text from outside.
    ///
    /// # Errors
    /// [`InputError`] if it is blank, too long or has a NUL character.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        parse_text("content", text, limits::CONTENT_BYTES_MAX).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One tag: trimmed, 1 to [`limits::TAG_CHARS_MAX`] characters, no NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Parses one tag; `position` (from 1) is for the error.
    ///
    /// # Errors
    /// [`InputError`] if it is empty, too long or has a NUL character.
    pub fn parse(text: &str, position: usize) -> Result<Self, InputError> {
        let trimmed = text.trim();
        let chars = trimmed.chars().count();
        if chars == 0 || chars > limits::TAG_CHARS_MAX {
            let chars_max = limits::TAG_CHARS_MAX;
            return Err(InputError::TagLength {
                position,
                chars,
                chars_max,
            });
        }
        if let Some(at) = trimmed.find('\0') {
            return Err(InputError::Nul { field: "tag", at });
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tags of one memory: at most [`limits::TAGS_MAX`], in the order given, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Parses a list of tags. A repeated tag counts towards the limit and is kept once.
    ///
    /// # Errors
    /// [`InputError`] for too many tags, or the first tag that cannot be taken.
    pub fn parse<S: AsRef<str>>(tags: &[S]) -> Result<Self, InputError> {
        if tags.len() > limits::TAGS_MAX {
            return Err(InputError::TooManyTags {
                max: limits::TAGS_MAX,
                received: tags.len(),
            });
        }
        let mut parsed: Vec<Tag> = Vec::with_capacity(tags.len());
        for (index, tag) in tags.iter().enumerate() {
            let tag = Tag::parse(tag.as_ref(), index + 1)?;
            if !parsed.contains(&tag) {
                parsed.push(tag);
            }
        }
        Ok(Self(parsed))
    }

    /// These and those of `others` that are new, as far as there is room.
    #[must_use]
    pub fn joined(&self, others: &Self) -> Self {
        let new = others.0.iter().filter(|tag| !self.0.contains(tag));
        let all = self.0.iter().chain(new).take(limits::TAGS_MAX);
        Self(all.cloned().collect())
    }

    /// The tags, in order.
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name of a space. A memory lives in exactly one; searches see one space only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceName(String);

impl SpaceName {
    /// Parses 1 to [`limits::NAME_CHARS_MAX`] characters without control characters.
    ///
    /// # Errors
    /// [`InputError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        parse_name("space", text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names for a deleted space of this name when another is to have it, to be tried in this order.
    pub fn put_away(&self) -> impl Iterator<Item = Self> {
        let kept: String = self.0.chars().take(limits::NAME_CHARS_MAX - 32).collect();
        let first = format!("{kept} (deleted)");
        let others = (2_u32..).map(move |number| format!("{kept} (deleted {number})"));
        std::iter::once(first).chain(others).map(Self)
    }
}

/// A name of at most [`limits::NAME_CHARS_MAX`] characters without control characters, trimmed.
fn parse_name(field: &'static str, text: &str) -> Result<String, InputError> {
    let trimmed = text.trim();
    let chars = trimmed.chars().count();
    if chars == 0 || chars > limits::NAME_CHARS_MAX || trimmed.chars().any(char::is_control) {
        let expected = "1 to 128 characters without control characters";
        return Err(InputError::malformed(field, expected, text));
    }
    Ok(trimmed.to_owned())
}

/// Who said something: a name, or a role such as `user`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Speaker(String);

impl Speaker {
    /// The roles of a conversation with an assistant; every other speaker is a name.
    const ROLES: [&str; 4] = ["assistant", "system", "tool", "user"];

    /// Parses 1 to [`limits::NAME_CHARS_MAX`] characters without control characters.
    ///
    /// # Errors
    /// [`InputError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        parse_name("speaker", text).map(Self)
    }

    /// The name or role.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What names of the same speaker have in common: the name in lower case.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }

    /// Whether it is a role, which says nothing about who the person is.
    pub fn is_role(&self) -> bool {
        Self::is_role_key(&self.key())
    }

    /// The same, of a [`Self::key`].
    pub fn is_role_key(key: &str) -> bool {
        Self::ROLES.contains(&key)
    }

    /// Whether it is the role of the person, not of the assistant.
    pub fn is_user(&self) -> bool {
        self.key() == "user"
    }
}

/// The name of a session: memories of one conversation, which are each other's context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionName(String);

impl SessionName {
    /// Parses 1 to [`limits::NAME_CHARS_MAX`] characters without control characters.
    ///
    /// # Errors
    /// [`InputError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        parse_name("session", text).map(Self)
    }

    /// A name for a conversation that has none, from the id of its first memory.
    pub fn of_first(memory: MemoryId) -> Self {
        Self(format!("conversation {}", memory.digits()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a memory comes from, as far as is known. Without any of it everything still works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Who said it.
    pub speaker: Option<Speaker>,
    /// The conversation it was said in.
    pub session: Option<SessionName>,
    /// When it was said or happened.
    pub occurred_at: Option<Timestamp>,
}

impl Origin {
    /// This origin, but for what `told` tells anew.
    #[must_use]
    pub fn updated(&self, told: &Self) -> Self {
        Self {
            speaker: told.speaker.clone().or_else(|| self.speaker.clone()),
            session: told.session.clone().or_else(|| self.session.clone()),
            occurred_at: told.occurred_at.or(self.occurred_at),
        }
    }

    /// When a memory of this origin happened, as far as is known: when it was stored, if nobody said.
    pub fn moment(&self, stored_at: Timestamp) -> Timestamp {
        self.occurred_at.unwrap_or(stored_at)
    }
}

/// Names one changing call, so that repeating it after a lost answer changes nothing twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey(pub u128);

/// What becomes of a new memory that says again what is already kept ([`crate::duplicate`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// The old one stays, with the new time and the tags of both.
    #[default]
    Merge,
    /// Both are kept.
    Keep,
}

/// What a caller asks to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMemory {
    /// Where it shall live.
    pub space: SpaceName,
    /// The text.
    pub content: Content,
    /// Its tags.
    pub tags: Tags,
    /// Where it comes from.
    pub origin: Origin,
    /// Through whom it comes in.
    pub source: Source,
    /// What to do if it is kept already.
    pub duplicates: Duplicates,
    /// What the process that was called does about it; the one that keeps it may be stricter.
    pub precautions: Precautions,
}

/// What the owner decides about a memory in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is recalled from now on.
    Release,
    /// It stays hidden, and no longer waits.
    Discard,
}

/// What shall be different about a memory. What is absent stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryChange {
    /// Which memory.
    pub id: MemoryId,
    /// Its new text.
    pub content: Option<Content>,
    /// Its new tags, all of them.
    pub tags: Option<Tags>,
    /// Where it comes from, as far as that is to be told anew.
    pub origin: Origin,
    /// Who changes it. The memory keeps the source that it has.
    pub source: Source,
    /// What the process that was called does about it; the one that keeps it may be stricter.
    pub precautions: Precautions,
}

impl MemoryChange {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.content.is_none() && self.tags.is_none() && self.origin == Origin::default()
    }

    /// Whether a memory has all of it already. Then there is neither another version nor another time.
    pub fn changes_nothing_of(&self, memory: &Memory) -> bool {
        (self.content.as_ref()).is_none_or(|content| *content == memory.content)
            && self.tags.as_ref().is_none_or(|tags| *tags == memory.tags)
            && memory.origin.updated(&self.origin) == memory.origin
    }
}

/// A memory as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its id.
    pub id: MemoryId,
    /// Where it lives.
    pub space: SpaceName,
    /// The text, verbatim but for white space around it.
    pub content: Content,
    /// Its tags, in the order given.
    pub tags: Tags,
    /// When it was stored; storing the same again or changing it counts. The id tells the first time.
    pub stored_at: Timestamp,
    /// Where it comes from.
    pub origin: Origin,
    /// Through whom it came in first.
    pub source: Source,
    /// Whether it is in quarantine: hidden from every read but [`crate::MemoryStore::quarantined`].
    pub quarantined: bool,
    /// What else was known of it where it was imported from.
    pub metadata: Option<Metadata>,
}

impl Memory {
    /// When it happened, as far as is known: when it was stored, if nobody said.
    pub fn moment(&self) -> Timestamp {
        self.origin.moment(self.stored_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[track_caller]
    fn check_id(text: &str, expected: Option<u64>) {
        assert_eq!(
            MemoryId::parse(text).ok().map(MemoryId::digits),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn ids_are_mem_and_digits() {
        check_id("mem_1700000000", Some(1_700_000_000));
        check_id("mem_0", Some(0));
        check_id("mem_9223372036854775807", Some(i64::MAX as u64));
        for bad in [
            "",
            "mem_",
            "mem_x",
            "mem_-1",
            "mem_+1",
            "mem_01",
            "1",
            "mem_9223372036854775808",
        ] {
            check_id(bad, None);
        }
    }

    #[test]
    fn content_is_trimmed_and_bounded() {
        assert_eq!(Content::parse("  a b \n").unwrap().as_str(), "a b");
        assert_eq!(
            Content::parse(" \t\n"),
            Err(InputError::Blank { field: "content" })
        );
        assert_eq!(
            Content::parse("a\0b"),
            Err(InputError::Nul {
                field: "content",
                at: 1
            })
        );
        let limit = limits::CONTENT_BYTES_MAX;
        assert!(Content::parse(&"x".repeat(limit)).is_ok());
        let error = Content::parse(&"x".repeat(limit + 1)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::TooLarge);
    }

    #[test]
    fn tags_are_counted_in_characters() {
        assert!(Tags::parse(&["é".repeat(50)]).is_ok());
        let error = Tags::parse(&["ok".to_owned(), "é".repeat(51)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tag 2 has 51 characters: expected 1 to 50"
        );
        assert!(Tags::parse(&["  "]).is_err());
        assert!(Tags::parse(&["x"; 11]).is_err());
        assert_eq!(Tags::parse(&["a", "b", "a "]).unwrap().as_slice().len(), 2);
    }

    #[test]
    fn fuzz_names_and_texts() {
        let words = [
            "mem_",
            "9223372036854775807",
            "\u{301}",
            "assistant",
            "user",
            " ",
        ];
        let same =
            |field: &str, parsed: Result<&str, InputError>, again: Result<&str, InputError>| {
                assert_eq!(parsed, again, "{field}: what was taken is taken as it is");
                parsed.map_err(|error| error.kind()).is_ok()
            };
        Target::new("names").words(&words).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(id) = MemoryId::parse(&text) {
                assert_eq!(id.to_string(), text);
            }
            macro_rules! twice {
                ($kind:ident) => {{
                    let parsed = $kind::parse(&text);
                    let again = parsed.clone().and_then(|it| $kind::parse(it.as_str()));
                    same(
                        stringify!($kind),
                        parsed.as_ref().map($kind::as_str).map_err(Clone::clone),
                        again.as_ref().map($kind::as_str).map_err(Clone::clone),
                    )
                }};
            }
            let lines: Vec<&str> = text.lines().collect();
            let tags = Tags::parse(&lines);
            if let Ok(tags) = &tags {
                assert!(tags.as_slice().len() <= limits::TAGS_MAX);
                let short = |tag: &Tag| tag.as_str().chars().count() <= limits::TAG_CHARS_MAX;
                assert!(tags.as_slice().iter().all(short));
            }
            (
                twice!(Content),
                twice!(SpaceName),
                twice!(Speaker),
                twice!(SessionName),
                tags.map_err(|error| error.kind()).is_ok(),
            )
        });
    }
}
