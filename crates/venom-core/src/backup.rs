//! Copies of the memories that lie elsewhere. The store remembers which there are, so that nobody forgets them.

use crate::time::Timestamp;

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Where it lies: an absolute path, as the process that made it sees it.
    pub path: String,
    /// When it was made.
    pub made_at: Timestamp,
}

/// What became of backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupNote {
    /// Those that are there now; one at the path of an earlier one takes its place.
    pub made: Vec<Backup>,
    /// Paths of those that are gone. Unknown ones do no harm.
    pub removed: Vec<String>,
}
