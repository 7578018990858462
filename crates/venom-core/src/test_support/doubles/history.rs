//! Former versions and erasing, over plain maps.

use super::{Entry, Kept, Kind};
use crate::history::{Cause, Erased, Erasure, History, Replaced, Version};
use crate::limits;
use crate::memory::{Memory, MemoryId};
use crate::ports::VersionRestore;
use crate::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time by this machine's clock, as a store notes it.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let us = since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
    Timestamp::from_micros(us)
}

impl Entry {
    /// What it is now.
    fn version(&self) -> Version {
        let Memory {
            space,
            content,
            tags,
            stored_at,
            origin,
            ..
        } = self.memory.clone();
        Version {
            number: u32::try_from(self.versions.len() + 1).expect("tests have few versions"),
            space,
            content,
            tags,
            stored_at,
            origin,
            replaced: None,
        }
    }

    pub(super) fn keep_version(&mut self, replaced: Replaced) {
        let version = Version {
            replaced: Some(replaced),
            ..self.version()
        };
        self.versions.push(version);
    }

    pub(super) fn show(&mut self) {
        self.forgotten = false;
        self.hidden_at = None;
    }

    /// Everything that it was, oldest first, and is.
    pub(super) fn all_versions(&self) -> Vec<Version> {
        let mut versions = self.versions.clone();
        versions.push(self.version());
        versions
    }

    pub(super) fn history(&self) -> History {
        let mut versions = self.all_versions();
        let mut bytes = 0;
        let newest = versions.iter().rev().take(limits::VERSIONS_MAX);
        let told = newest.take_while(|version| {
            bytes += version.content.as_str().len();
            bytes <= limits::VERSIONS_BYTES_MAX
        });
        let older = versions.len() - told.count();
        versions.drain(..older);
        History {
            id: self.memory.id,
            source: self.memory.source.clone(),
            hidden_at: self.hidden_at,
            quarantined: self.memory.quarantined,
            versions,
            older: u32::try_from(older).expect("tests have few versions"),
        }
    }
}

impl Kept {
    /// Whether an id is or was that of a memory.
    pub(super) fn is_taken(&self, id: MemoryId) -> bool {
        self.memories.contains_key(&id) || self.erased.contains_key(&id)
    }

    pub(super) fn restore_version(&mut self, restore: &VersionRestore) -> Option<Memory> {
        let key = (Kind::Restore, restore.request.0, restore.id);
        let entry = self.memories.get_mut(&restore.id)?;
        if entry.memory.quarantined {
            return None;
        }
        let mut versions = entry.all_versions().into_iter();
        let version = versions.find(|it| it.number == restore.version)?;
        if self.changes.contains(&key) {
            return entry.is_visible().then(|| entry.memory.clone());
        }
        if version.replaced.is_some() {
            entry.keep_version(Replaced {
                at: restore.stored_at,
                cause: Cause::Restored,
                by: restore.source.clone(),
            });
            if version.content != entry.memory.content {
                entry.passages.clone_from(&restore.passages);
            }
            entry.memory.content = version.content;
            entry.memory.tags = version.tags;
            entry.memory.origin = version.origin;
            entry.memory.stored_at = restore.stored_at;
        }
        entry.show();
        let memory = entry.memory.clone();
        self.changes.insert(key);
        self.spaces.touch(&memory.space);
        Some(memory)
    }

    pub(super) fn erase(&mut self, id: MemoryId, now: Timestamp) -> Erasure {
        let Some(entry) = self.memories.remove(&id) else {
            let erased = self.erased.get(&id);
            return erased.map_or(Erasure::Unknown, |erased| Erasure::Before(erased.at));
        };
        self.changes.retain(|(_, _, kept)| *kept != id);
        let space = entry.memory.space;
        self.erased.insert(id, Erased { space, at: now });
        Erasure::Erased
    }

    /// Up to `limit` memories that were hidden before a moment and do not wait for the owner, those hidden first.
    pub(super) fn due(&self, before: Timestamp, since: Timestamp, limit: usize) -> Vec<MemoryId> {
        let hidden = self.memories.iter().filter(|(_, entry)| !entry.waits());
        let hidden = hidden.filter_map(|(id, entry)| Some((entry.hidden_at?, *id)));
        let mut due: Vec<_> = hidden.filter(|(at, _)| *at.max(&since) < before).collect();
        due.sort();
        due.into_iter().map(|(_, id)| id).take(limit).collect()
    }
}
