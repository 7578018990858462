//! Backups, on the socket.

use crate::failure::Failure;
use crate::hub::calls::BackupCall;
use serde::{Deserialize, Serialize};
use std::path::Path;
use venom_core::{Backup, BackupNote, ModelStamp, Timestamp};
use venom_store::DatabaseFacts;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireBackup {
    path: String,
    made_at_us: i64,
}

impl From<Backup> for WireBackup {
    fn from(backup: Backup) -> Self {
        Self {
            path: backup.path,
            made_at_us: backup.made_at.as_micros(),
        }
    }
}

impl WireBackup {
    pub(super) fn parse(self) -> Backup {
        Backup {
            path: self.path,
            made_at: Timestamp::from_micros(self.made_at_us),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireNote {
    made: Vec<WireBackup>,
    removed: Vec<String>,
}

impl From<BackupNote> for WireNote {
    fn from(note: BackupNote) -> Self {
        Self {
            made: note.made.into_iter().map(Into::into).collect(),
            removed: note.removed,
        }
    }
}

impl WireNote {
    pub(super) fn parse(self) -> BackupNote {
        BackupNote {
            made: self.made.into_iter().map(WireBackup::parse).collect(),
            removed: self.removed,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub(super) enum WireBackupCall {
    Snapshot { path: String },
    Note { note: WireNote },
    List,
}

impl From<BackupCall> for WireBackupCall {
    fn from(call: BackupCall) -> Self {
        match call {
            BackupCall::Snapshot(path) => Self::Snapshot { path },
            BackupCall::Note(note) => Self::Note { note: note.into() },
            BackupCall::List => Self::List,
        }
    }
}

impl WireBackupCall {
    pub(super) fn parse(self) -> Result<BackupCall, Failure> {
        Ok(match self {
            Self::Snapshot { path } => BackupCall::Snapshot(absolute(path)?),
            Self::Note { note } => BackupCall::Note(note.parse()),
            Self::List => BackupCall::List,
        })
    }
}

/// A path for a copy: the owner may work in another folder.
fn absolute(path: String) -> Result<String, Failure> {
    if Path::new(&path).is_absolute() {
        return Ok(path);
    }
    Err(Failure::invalid(format!(
        "the path of the copy is malformed: expected one from / on, received {path:?}"
    )))
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireFacts {
    schema: i64,
    /// Name, SHA-256 and dimensions.
    model: Option<(String, String, usize)>,
    memories: u64,
    hidden: u64,
    spaces: u64,
}

impl From<DatabaseFacts> for WireFacts {
    fn from(facts: DatabaseFacts) -> Self {
        let parts = |model: ModelStamp| (model.name, model.sha256, model.dimensions);
        Self {
            schema: facts.schema,
            model: facts.model.map(parts),
            memories: facts.memories,
            hidden: facts.hidden,
            spaces: facts.spaces,
        }
    }
}

impl WireFacts {
    pub(super) fn parse(self) -> DatabaseFacts {
        let stamp = |(name, sha256, dimensions)| ModelStamp {
            name,
            sha256,
            dimensions,
        };
        DatabaseFacts {
            schema: self.schema,
            model: self.model.map(stamp),
            memories: self.memories,
            hidden: self.hidden,
            spaces: self.spaces,
        }
    }
}
