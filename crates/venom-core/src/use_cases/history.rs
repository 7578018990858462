//! The use cases history, restoring a former version, and erasing.

use super::Venom;
use crate::error::Error;
use crate::history::{Erased, Erasures, History};
use crate::memory::{Memory, MemoryId, RequestKey};
use crate::ports::VersionRestore;
use crate::source::Source;
use crate::time::Timestamp;

impl Venom {
    /// What a memory was and is, forgotten or in quarantine too: its newest versions.
    ///
    /// # Errors
    /// [`Error::MemoryNotFound`] if there is none or it was erased, [`Error::Store`].
    pub fn history(&self, id: MemoryId) -> Result<History, Error> {
        self.store.history(id)?.ok_or(Error::MemoryNotFound(id))
    }

    /// Gives a memory the text, tags and origin that it had, as a change of its own, so that it can be undone; a
    /// forgotten one is shown again. Durable on return. The text is embedded anew, as its vectors are gone.
    ///
    /// # Errors
    /// [`Error::MemoryNotFound`] if there is none or it is in quarantine, [`Error::VersionNotFound`], [`Error::Embed`]
    /// or [`Error::Store`]; then nothing was changed.
    pub fn restore_version(
        &self,
        id: MemoryId,
        version: u32,
        source: Source,
        request: RequestKey,
    ) -> Result<Memory, Error> {
        let history = self.history(id)?;
        if history.quarantined {
            return Err(Error::MemoryNotFound(id));
        }
        let last = history.versions.last().map_or(0, |last| last.number);
        let found = self.store.version(id, version)?;
        let found = found.ok_or(Error::VersionNotFound { id, version, last })?;
        let passages = self.passages(&[found.content.as_str()])?.swap_remove(0);
        let restored = self.store.restore_version(&VersionRestore {
            id,
            version,
            passages,
            stored_at: self.clock.now(),
            source,
            request,
        })?;
        restored.ok_or(Error::MemoryNotFound(id))
    }

    /// Erases memories for good; durable on return.
    ///
    /// # Errors
    /// [`Error::Store`]; then nothing was erased.
    pub fn erase(&self, ids: &[MemoryId]) -> Result<Erasures, Error> {
        Ok(self.store.erase(ids, self.clock.now())?)
    }

    /// Erases up to `limit` memories that have been hidden for so many microseconds; which they were.
    ///
    /// # Errors
    /// [`Error::Store`]; then nothing was erased.
    pub fn erase_due(&self, age_us: i64, limit: usize) -> Result<Vec<MemoryId>, Error> {
        let now = self.clock.now();
        let before = Timestamp::from_micros(now.as_micros().saturating_sub(age_us));
        Ok(self.store.erase_due(before, now, limit)?)
    }

    /// What is still known of a memory that was erased; `None` for any other.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn erased(&self, id: MemoryId) -> Result<Option<Erased>, Error> {
        Ok(self.store.erased(&[id])?.pop().flatten())
    }
}
