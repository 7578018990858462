//! What can be asked of a store, and what it answers.

use crate::embedding::{ModelStamp, PassageSpan};
use crate::error::InputError;
use crate::limits;
use crate::memory::{Memory, MemoryId, SessionName, SpaceName, Speaker, Tag, parse_text};
use crate::recall::Parts;
use crate::time::Timestamp;

/// A search text: trimmed, not empty, within [`limits::QUERY_BYTES_MAX`], no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryText(String);

impl QueryText {
    /// Parses text from outside.
    ///
    /// # Errors
    /// [`InputError`] if it is blank, too long or has a NUL character.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        parse_text("query", text, limits::QUERY_BYTES_MAX).map(Self)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many results: 1 to [`limits::RESULTS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultLimit(usize);

impl ResultLimit {
    /// Parses a number from outside.
    ///
    /// # Errors
    /// [`InputError::OutOfRange`] outside 1 to 20.
    pub fn parse(limit: i64) -> Result<Self, InputError> {
        parse_count("limit", limit, limits::RESULTS_MAX).map(Self)
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for ResultLimit {
    fn default() -> Self {
        Self(limits::RESULTS_DEFAULT)
    }
}

/// How many memories on a page: 1 to [`limits::PAGE_MEMORIES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage(usize);

impl ListPage {
    /// Parses a number from outside.
    ///
    /// # Errors
    /// [`InputError::OutOfRange`] outside 1 to 1,000.
    pub fn parse(limit: i64) -> Result<Self, InputError> {
        parse_count("limit", limit, limits::PAGE_MEMORIES_MAX).map(Self)
    }

    /// The number.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for ListPage {
    fn default() -> Self {
        Self(limits::PAGE_MEMORIES_DEFAULT)
    }
}

fn parse_count(field: &'static str, received: i64, max: usize) -> Result<usize, InputError> {
    let max_signed = i64::try_from(max).expect("every limit in `limits` is far below i64::MAX");
    match usize::try_from(received) {
        Ok(count) if (1..=max).contains(&count) => Ok(count),
        _ => Err(InputError::OutOfRange {
            field,
            min: 1,
            max: max_signed,
            received,
        }),
    }
}

/// Which memories count. Empty tag lists and absent times take every memory of the space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The space searched.
    pub space: SpaceName,
    /// At least one of these tags.
    pub tags_any: Vec<Tag>,
    /// Every one of these tags.
    pub tags_all: Vec<Tag>,
    /// None of these tags.
    pub tags_none: Vec<Tag>,
    /// Happened at this moment or later ([`Memory::moment`]).
    pub since: Option<Timestamp>,
    /// Happened before this moment.
    pub until: Option<Timestamp>,
    /// Said by this speaker, whatever the case of the letters.
    pub speaker: Option<Speaker>,
    /// Of this session.
    pub session: Option<SessionName>,
}

impl Filter {
    /// Every memory of `space`.
    pub const fn everything_in(space: SpaceName) -> Self {
        Self {
            space,
            tags_any: Vec::new(),
            tags_all: Vec::new(),
            tags_none: Vec::new(),
            since: None,
            until: None,
            speaker: None,
            session: None,
        }
    }

    /// Whether the filter takes every memory of its space.
    pub const fn takes_all(&self) -> bool {
        self.tags_any.is_empty()
            && self.tags_all.is_empty()
            && self.tags_none.is_empty()
            && self.since.is_none()
            && self.until.is_none()
            && self.speaker.is_none()
            && self.session.is_none()
    }

    /// Whether `memory` counts: the definition that every store must agree with.
    pub fn matches(&self, memory: &Memory) -> bool {
        memory.space == self.space && self.matches_in_any_space(memory)
    }

    /// Whether `memory` would count if it were in this space.
    pub fn matches_in_any_space(&self, memory: &Memory) -> bool {
        let has = |tag: &Tag| memory.tags.as_slice().contains(tag);
        (self.tags_any.is_empty() || self.tags_any.iter().any(has))
            && self.tags_all.iter().all(has)
            && !self.tags_none.iter().any(has)
            && self.since.is_none_or(|since| memory.moment() >= since)
            && self.until.is_none_or(|until| memory.moment() < until)
            && (self.speaker.as_ref())
                .is_none_or(|name| is_same(name, memory.origin.speaker.as_ref()))
            && (self.session.is_none() || self.session == memory.origin.session)
    }
}

fn is_same(speaker: &Speaker, other: Option<&Speaker>) -> bool {
    other.is_some_and(|other| other.key() == speaker.key())
}

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct RecallQuery {
    /// What is sought.
    pub text: QueryText,
    /// Most results.
    pub limit: ResultLimit,
    /// Which memories count.
    pub filter: Filter,
    /// Least cosine similarity of a result, -1 to 1.
    pub similarity_min: Option<f32>,
    /// Whether results tell which of their words matched.
    pub explain: bool,
}

/// One result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The memory.
    pub memory: Memory,
    /// The parts of its score, by which results are ordered.
    pub parts: Parts,
    /// Cosine similarity of the query and the memory's best passage, -1 to 1.
    pub similarity: f32,
    /// That passage.
    pub passage: PassageSpan,
    /// Its words that the question looks for; empty unless the search was to be explained.
    pub matched_words: Vec<String>,
}

/// A page of a listing, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Which memories count.
    pub filter: Filter,
    /// Whether those of other spaces than the filter's count as well. Whoever pages through all spaces at once meets
    /// each memory once, even if it is moved meanwhile: its id stays.
    pub all_spaces: bool,
    /// Most memories on the page.
    pub limit: ListPage,
    /// Only memories with a smaller id (older): the last id of the page before.
    pub before: Option<MemoryId>,
}

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Memories in the space asked about.
    pub space_memories: u64,
    /// Memories in all spaces.
    pub memories: u64,
    /// Memories hidden by `forget`, or discarded in quarantine.
    pub forgotten: u64,
    /// Memories that wait in quarantine.
    pub quarantined: u64,
    /// Embedded passages in all spaces.
    pub passages: u64,
    /// Bytes of the database and its log on disk.
    pub database_bytes: u64,
    /// Names of all spaces that are there, sorted; some may have no memories.
    pub spaces: Vec<SpaceName>,
    /// The model that made the vectors.
    pub model: ModelStamp,
    /// How the model is run in the process that owns the store, for people.
    pub engine: String,
    /// Where the data lies, for people.
    pub location: String,
    /// How it lies there, for people: the kind of disk and of journal. Says nothing private.
    pub storage: String,
    /// Spaces of which parts are searched by scanning them until what makes that quick is there again.
    pub rebuilding: u64,
    /// Why bytes of erased memories may still be in the files although they should be gone, for people; may name paths.
    /// `None` while they are being removed and when they are gone.
    pub unclean: Option<String>,
    /// What came from the predecessor's database in the same folder, if there was one.
    pub taken_over: Option<TakenOver>,
}

/// What came from a database of the predecessor, by every start so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Memories that were stored.
    pub memories: u64,
    /// Records that could not be kept: the log of that start tells why.
    pub skipped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_one_to_twenty() {
        assert!(ResultLimit::parse(1).is_ok() && ResultLimit::parse(20).is_ok());
        for bad in [0, 21, -1, i64::MIN, i64::MAX] {
            assert!(ResultLimit::parse(bad).is_err());
        }
        assert_eq!(
            ResultLimit::parse(21).unwrap_err().to_string(),
            "limit is out of range: expected 1 to 20, received 21"
        );
    }
}
