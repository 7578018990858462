//! What a memory was before, and what became of one that was erased.

use crate::backup::Backup;
use crate::memory::{Content, MemoryId, Origin, SpaceName, Tags};
use crate::source::Source;
use crate::time::Timestamp;

/// Which change made a former version of what a memory was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It was changed.
    Updated,
    /// The same was stored again: it got a new time, and tags in addition.
    StoredAgain,
    /// A former version was brought back.
    Restored,
    /// It was moved to another space.
    Moved,
}

impl Cause {
    /// Every cause, for tables and their tests.
    pub const ALL: [Self; 4] = [
        Self::Updated,
        Self::StoredAgain,
        Self::Restored,
        Self::Moved,
    ];

    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::StoredAgain => "stored_again",
            Self::Restored => "restored",
            Self::Moved => "moved",
        }
    }

    /// The cause of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

/// The change by which a version became a former one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Through whom.
    pub by: Source,
}

/// What a memory was, or is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// 1 for what was stored first, then 2 and so on, without gaps.
    pub number: u32,
    /// Where it lived.
    pub space: SpaceName,
    /// The text.
    pub content: Content,
    /// Its tags.
    pub tags: Tags,
    /// When it was stored or changed to be this.
    pub stored_at: Timestamp,
    /// Where it comes from.
    pub origin: Origin,
    /// How it became a former one; `None` for what the memory is now.
    pub replaced: Option<Replaced>,
}

/// A memory from the first time it was stored until now, or the newest part of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The memory.
    pub id: MemoryId,
    /// Through whom it came in first.
    pub source: Source,
    /// When it was hidden, be it forgotten or discarded from quarantine; `None` while it is visible.
    pub hidden_at: Option<Timestamp>,
    /// Whether it is in quarantine, or was discarded there.
    pub quarantined: bool,
    /// What it was, oldest first; the last is what it is now. Never empty. Of a long history the newest:
    /// [`VERSIONS_MAX`](crate::limits::VERSIONS_MAX) with texts of together
    /// [`VERSIONS_BYTES_MAX`](crate::limits::VERSIONS_BYTES_MAX).
    pub versions: Vec<Version>,
    /// How many older ones there are.
    pub older: u32,
}

/// What became of a memory that was to be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// It is gone for good.
    Erased,
    /// It was erased before, then.
    Before(Timestamp),
    /// There never was one with this id.
    Unknown,
}

/// What came of erasing memories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasures {
    /// What became of each, in order.
    pub each: Vec<Erasure>,
    /// Whether bytes of them may still be in files of the data folder: what removes them goes on in the background.
    pub is_under_way: bool,
    /// Why they cannot be removed now, for people; that is tried again. `None` where nothing is known to be in the way.
    pub stuck: Option<String>,
    /// Backups that may still hold one of them, newest first: made while it was there, and still in their place as far
    /// as can be told.
    pub backups: Vec<Backup>,
}

/// What is still known of a memory that was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Where it lived.
    pub space: SpaceName,
    /// When it was erased.
    pub at: Timestamp,
}
