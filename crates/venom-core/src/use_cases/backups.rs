//! The use cases about backups: which there are. Making them is the work of others.

use super::Venom;
use crate::backup::{Backup, BackupNote};
use crate::error::Error;

impl Venom {
    /// Notes what became of backups; durable on return.
    ///
    /// # Errors
    /// [`Error::Store`]; then nothing is noted.
    pub fn note_backups(&self, note: &BackupNote) -> Result<(), Error> {
        Ok(self.store.note_backups(note)?)
    }

    /// The backups that were noted and not removed since, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`] if the store cannot be read.
    pub fn backups(&self) -> Result<Vec<Backup>, Error> {
        Ok(self.store.backups()?)
    }
}
