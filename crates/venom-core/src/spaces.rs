//! Spaces as such: what is told of them, which of them a call may reach, and what becomes of them.

use crate::error::{Error, InputError};
use crate::limits;
use crate::memory::{MemoryId, SpaceName};
use crate::source::Source;
use crate::time::Timestamp;

/// A space as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceInfo {
    /// Its name.
    pub name: SpaceName,
    /// Memories that are recalled.
    pub memories: u64,
    /// Memories that are not: forgotten, waiting in quarantine or discarded there.
    pub hidden: u64,
    /// When the newest memory (largest id) of those that are recalled was stored.
    pub newest: Option<Timestamp>,
}

/// The spaces in which a call may find the memories that it names by their ids. A memory elsewhere is as good as none.
///
/// It is held against the memory in the transaction that changes it: a memory may move between a look and a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Within {
    /// Every space.
    #[default]
    Everywhere,
    /// These.
    Spaces(Vec<SpaceName>),
}

impl Within {
    /// Whether memories of a space may be reached.
    pub fn has(&self, space: &SpaceName) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Spaces(spaces) => spaces.contains(space),
        }
    }
}

/// Memories that shall live in another space. They keep everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    ids: Vec<MemoryId>,
    /// Where to; the space is made if it is not there.
    pub to: SpaceName,
    /// Where they may come from.
    pub within: Within,
    /// Who moves them.
    pub source: Source,
}

impl Move {
    /// A move of at most [`limits::SPACE_BATCH_MAX`] memories from anywhere, of which one transaction is made.
    ///
    /// # Errors
    /// [`InputError::TooManyMemories`] for more.
    pub fn new(ids: Vec<MemoryId>, to: SpaceName, source: Source) -> Result<Self, InputError> {
        if ids.len() > limits::SPACE_BATCH_MAX {
            return Err(InputError::TooManyMemories {
                max: limits::SPACE_BATCH_MAX,
                received: ids.len(),
            });
        }
        Ok(Self {
            ids,
            to,
            within: Within::Everywhere,
            source,
        })
    }

    /// Which memories.
    pub fn ids(&self) -> &[MemoryId] {
        &self.ids
    }
}

/// What became of a memory that was to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It lives in the other space now.
    Moved,
    /// It lived there before; nothing was changed.
    Already,
    /// There is none, it was forgotten, or it is out of reach.
    NotFound,
}

/// What became of a space that was to be renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// It has the new name; also if it got it by an earlier call and the old name was not used since.
    Done,
    /// No space has the old name.
    Missing,
    /// Another space has the new name, or had it and its hidden memories may come back.
    Taken,
}

impl Renamed {
    /// Whether it has the new name now.
    ///
    /// # Errors
    /// [`Error::SpaceNotFound`] or [`InputError::SpaceTaken`].
    pub fn done(self, (from, to): (&SpaceName, &SpaceName)) -> Result<(), Error> {
        match self {
            Self::Done => Ok(()),
            Self::Missing => Err(Error::SpaceNotFound(from.clone())),
            Self::Taken => Err(InputError::SpaceTaken {
                name: to.as_str().to_owned(),
            }
            .into()),
        }
    }
}

/// What one step of deleting a space did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emptied {
    /// Memories that it hid.
    pub forgotten: u64,
    /// Whether the space is deleted now: none of its memories is left to hide.
    pub deleted: bool,
}
