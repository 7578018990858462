//! The use cases of spaces as such.

use super::Venom;
use crate::error::{Error, InputError};
use crate::limits;
use crate::memory::{RequestKey, SpaceName};
use crate::secrets::Screen;
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
    /// [`InputError::SecretName`] where names with secrets are not kept, [`Error::Store`].
    pub fn create_space(&self, space: &SpaceName) -> Result<bool, Error> {
        Screen::new(self.rules.secrets).space(space)?;
        Ok(self.store.create_space(space)?)
    }

    /// Gives a space another name; durable on return. May be repeated.
    ///
    /// # Errors
    /// [`InputError::SecretName`] where names with secrets are not kept, [`Error::SpaceNotFound`],
    /// [`InputError::SpaceTaken`], [`Error::Store`]; then it has the old name.
    pub fn rename_space(&self, from: &SpaceName, to: &SpaceName) -> Result<(), Error> {
        Screen::new(self.rules.secrets).space(to)?;
        self.store.rename_space(from, to)?.done((from, to))
    }

    /// Moves memories to another space, all in one transaction; durable on return. One answer for each.
    ///
    /// # Errors
    /// [`InputError::SecretName`] where names with secrets are not kept, [`InputError::Quarantined`] for a client whose
    /// memories wait in quarantine, [`Error::Store`]; then nothing is moved.
    pub fn move_memories(&self, what: &Move, request: RequestKey) -> Result<Vec<Moved>, Error> {
        Screen::new(self.rules.secrets).space(&what.to)?;
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

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use super::*;
    use crate::memory::{Content, Duplicates, NewMemory, Origin, Tags};
    use crate::ports::Embedder as _;
    use crate::precautions::Precautions;
    use crate::source::Source;
    use crate::test_support::doubles::{FixedClock, HashEmbedder, MemoryMap};
    use crate::time::Timestamp;
    use crate::use_cases::TimeIds;
    use std::sync::Arc;

    #[test]
    fn no_space_has_a_secret_for_a_name() {
        let embedder = Arc::new(HashEmbedder::new());
        let store = Arc::new(MemoryMap::new(embedder.model().clone()));
        let clock = FixedClock(Timestamp::from_micros(1_700_000_000_000_000));
        let ids = Arc::new(TimeIds::after(None));
        let venom = Venom::new(embedder, store, Arc::new(clock), ids);
        let space = |name: &str| SpaceName::parse(name).expect("a name");
        let (key, work) = (space("AKIAIOSFODNN7EXAMPLE"), space("work"));
        let new = |space: &SpaceName| NewMemory {
            space: space.clone(),
            content: Content::parse("a fact").expect("a text"),
            tags: Tags::default(),
            origin: Origin::default(),
            source: Source::default(),
            duplicates: Duplicates::Keep,
            precautions: Precautions::NONE,
        };
        let kept = venom.remember(new(&work), RequestKey(1));
        let id = kept.expect("it is stored").memory.id;
        let moved = Move::new(vec![id], key.clone(), Source::default()).expect("one memory");
        let errors = [
            venom.create_space(&key).err(),
            venom.rename_space(&work, &key).err(),
            venom.move_memories(&moved, RequestKey(2)).err(),
            venom.remember(new(&key), RequestKey(3)).err(),
        ];
        for error in errors {
            let is_refused = matches!(error, Some(Error::Input(InputError::SecretName { .. })));
            assert!(is_refused, "{error:?}");
        }
        let spaces = venom.spaces().expect("no error");
        let names: Vec<&str> = spaces.iter().map(|space| space.name.as_str()).collect();
        assert_eq!(names, ["work"]);
    }
}
