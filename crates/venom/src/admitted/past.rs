//! What memories were, and erasing them, as one caller may.

use super::Admitted;
use crate::caller::Pass;
use crate::failure::Failure;
use venom_access::{Event, Spaces};
use venom_core::{Erased, Erasure, Erasures, Error, ErrorKind, History, Memory, MemoryId, Source};

impl Admitted<'_> {
    /// What a memory was and is. One in a space that the caller may not touch is as good as none, and so are the
    /// versions of when it was in such a space. Of a hidden memory only those are told who may touch every space, of
    /// one in quarantine the owner alone.
    pub(crate) async fn history(&self, id: MemoryId) -> Result<History, Failure> {
        let mut history = self.or_erased(id, self.hub.history(id).await).await?;
        let rights = &self.caller.rights;
        let is_open = match (history.quarantined, history.hidden_at) {
            (true, _) => self.caller.pass == Pass::Local,
            (false, Some(_)) => rights.spaces == Spaces::All,
            (false, None) => true,
        };
        let present = history.versions.last();
        if !(is_open && present.is_some_and(|version| rights.reach(&version.space))) {
            return Err(Error::MemoryNotFound(id).into());
        }
        history
            .versions
            .retain(|version| rights.reach(&version.space));
        Ok(history)
    }

    /// Brings a version of a memory back, and shows it if it was forgotten. For callers that may touch every space: it
    /// may have been in any.
    pub(crate) async fn restore_version(
        &self,
        id: MemoryId,
        version: u32,
        source: Source,
    ) -> Result<Memory, Failure> {
        self.may_write()?;
        if self.caller.rights.spaces != Spaces::All {
            return Err(Failure::new(
                ErrorKind::Forbidden,
                format!(
                    "a version of {id} cannot be restored by a caller that is bound to spaces: expected the owner's \
                     venom restore-memory {id} --version {version}"
                ),
            ));
        }
        let restored = self.hub.restore_version(id, version, source).await;
        let memory = self.or_erased(id, restored).await?;
        let subject = format!("{id} to version {version}");
        self.file.note(Event::Restored, self.caller, subject);
        Ok(memory)
    }

    /// Erases memories for good. For the owner.
    pub(crate) async fn erase(&self, ids: &[MemoryId]) -> Result<Erasures, Failure> {
        self.may_write()?;
        if self.caller.pass != Pass::Local || self.caller.rights.spaces != Spaces::All {
            return Err(Failure::new(
                ErrorKind::Forbidden,
                "this caller may not erase memories: expected the owner's venom erase",
            ));
        }
        let erasures = self.hub.erase(ids.to_vec()).await?;
        for (id, erasure) in ids.iter().zip(&erasures.each) {
            if *erasure == Erasure::Erased {
                self.note(Event::Erased, *id);
            }
        }
        Ok(erasures)
    }

    /// What is known of a memory that was erased, if the caller may touch the space that it was in.
    pub(crate) async fn erased(&self, id: MemoryId) -> Result<Option<Erased>, Failure> {
        let erased = self.hub.erased(id).await?;
        Ok(erased.filter(|erased| self.caller.rights.reach(&erased.space)))
    }

    /// Says of a memory that was not found that it was erased, to those who could have seen it.
    pub(super) async fn or_erased<T>(
        &self,
        id: MemoryId,
        outcome: Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Err(failure) = outcome else {
            return outcome;
        };
        if failure.kind != ErrorKind::NotFound {
            return Err(failure);
        }
        match self.erased(id).await? {
            Some(erased) => Err(Failure::new(
                ErrorKind::Gone,
                format!("memory {id} was erased for good at {}", erased.at),
            )),
            None => Err(failure),
        }
    }
}
