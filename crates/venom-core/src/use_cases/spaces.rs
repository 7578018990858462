//! The use cases of spaces as such.

use super::Venom;
use crate::error::{Error, InputError};
use crate::limits;
use crate::memory::{RequestKey, SpaceName};
use crate::spaces::{Emptied, Move, Moved, SpaceInfo};

impl Venom {
    /// The spaces that are there, by name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn spaces(&self) -> Result<Vec<SpaceInfo>, Error> {
        Ok(self.store.spaces()?)
    }

    /// Makes a space without memories; durable on return. `false` if it was there.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn create_space(&self, space: &SpaceName) -> Result<bool, Error> {
        Ok(self.store.create_space(space)?)
    }

    /// Gives a space another name; durable on return. May be repeated.
    ///
    /// # Errors
    /// [`Error::SpaceNotFound`], [`InputError::SpaceTaken`], [`Error::Store`]; then it has the old name.
    pub fn rename_space(&self, from: &SpaceName, to: &SpaceName) -> Result<(), Error> {
        self.store.rename_space(from, to)?.done((from, to))
    }

    /// Moves memories to another space, all in one transaction; durable on return. One answer for each.
    ///
    /// # Errors
    /// [`InputError::Quarantined`] for a client whose memories wait in quarantine, [`Error::Store`]; then nothing is
    /// moved.
    pub fn move_memories(&self, what: &Move, request: RequestKey) -> Result<Vec<Moved>, Error> {
        if self.rules.precautions(&what.source).quarantine {
            return Err(InputError::Quarantined.into());
        }
        Ok(self.store.move_memories(what, request)?)
    }

    /// Hides some of the memories of a space, and deletes it if none is left; durable on return. To be called until it
    /// is deleted.
    ///
    /// # Errors
    /// [`Error::SpaceNotFound`], [`Error::Store`].
    pub fn empty_space(&self, space: &SpaceName) -> Result<Emptied, Error> {
        let emptied = self.store.empty_space(space, limits::SPACE_BATCH_MAX)?;
        emptied.ok_or_else(|| Error::SpaceNotFound(space.clone()))
    }
}
