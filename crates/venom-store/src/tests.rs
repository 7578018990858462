//! Tests of the whole store, by theme. What concerns one module alone is tested beside it.

mod archive;
mod codes;
mod crash;
mod doctor;
mod erasing;
mod faults;
mod format;
pub(crate) mod fuzzed;
mod promises;
mod reembedding;
mod snapshot;
mod spaces;

use crate::index::{IndexOptions, IndexSizes};
use crate::lease::Lease;
use crate::open::{self, Journal, StoreInfo};
use crate::pages::{Disk, RealDisk};
use crate::store::SqliteStore;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use venom_core::StoreError;
use venom_core::recall::Stemming;
use venom_core::test_support::samples::model;

/// A folder that is removed at the end of the test, with a fresh data folder for each store.
struct Folders {
    root: TempDir,
    count: AtomicUsize,
}

impl Folders {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            count: AtomicUsize::new(0),
        }
    }

    fn fresh(&self) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        self.root.path().join(number.to_string())
    }
}

fn open(folder: &Path) -> SqliteStore {
    try_open(folder).unwrap()
}

fn try_open(folder: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&Lease::try_acquire(folder).unwrap(), &model())
}

/// A store as on a network file system.
fn open_with_rollback(folder: &Path) -> SqliteStore {
    let lease = Lease::try_acquire(folder).unwrap();
    let info = StoreInfo {
        journal: Journal::Rollback,
        network_file_system: Some("SMB"),
    };
    let database = open::open_as(&lease.share(), lease.folder(), info).unwrap();
    SqliteStore::with(
        database,
        &lease,
        (&model(), &IndexOptions::default()),
        Arc::new(RealDisk),
    )
    .unwrap()
}

/// An index that has segments soon.
const SMALL: IndexSizes = IndexSizes {
    exact_memories_max: 40,
    block_memories: 16,
    segments_merged: 3,
    segment_memories_max: 300,
    segment_words_max: 100_000,
};

fn open_archived(folder: &Path) -> SqliteStore {
    open_archived_stemmed(folder, Stemming::default())
}

fn open_archived_stemmed(folder: &Path, stemming: Stemming) -> SqliteStore {
    let lease = Lease::try_acquire(folder).unwrap();
    let sizes = SMALL;
    let options = IndexOptions {
        stemming,
        sizes,
        ..IndexOptions::default()
    };
    SqliteStore::open_with(&lease, &model(), &options).unwrap()
}

/// The same, with segments written to this disk.
fn open_archived_on(folder: &Path, disk: Arc<dyn Disk>) -> SqliteStore {
    let lease = Lease::try_acquire(folder).unwrap();
    let database = open::open(&lease.share(), lease.folder()).unwrap();
    let options = IndexOptions {
        sizes: SMALL,
        ..IndexOptions::default()
    };
    SqliteStore::with(database, &lease, (&model(), &options), disk).unwrap()
}

/// Memories in segments.
fn archived(index: &crate::index::Index) -> usize {
    index.archives().map(|(_, archive)| archive.len()).sum()
}
