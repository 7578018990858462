//! Copies of the files taken between and inside transactions must open and hold what was acknowledged.

use super::{Folders, open, open_with_rollback};
use crate::store::SqliteStore;
use std::path::Path;
use venom_core::RequestKey;
use venom_core::ports::MemoryStore;
use venom_core::test_support::samples::{id, record, space};

/// What a power cut would leave: every file but the lease and what is derived.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        if name != "venom.lock" && name != "index" {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

fn memories(store: &SqliteStore) -> u64 {
    store.stats(&space("default")).unwrap().memories
}

#[test]
fn a_copy_after_each_call_has_all_that_was_acknowledged() {
    for open_it in [open, open_with_rollback] {
        let folders = Folders::new();
        let folder = folders.fresh();
        let store = open_it(&folder);
        for digits in 1..=30 {
            store.insert(&[record(digits, "text", &[1.0])]).unwrap();
            if digits % 5 == 0 {
                store.forget(&[id(digits)], RequestKey(0)).unwrap();
            }
            let image = folders.fresh();
            copy(&folder, &image);
            let opened = open(&image);
            assert_eq!(memories(&opened), memories(&store));
            let contents = crate::index::Index::contents;
            assert_eq!(opened.with_index(contents), store.with_index(contents));
            let got = opened.get(&[id(digits)]).unwrap();
            assert_eq!(got[0].is_none(), digits % 5 == 0);
        }
    }
}

#[test]
fn a_copy_inside_a_transaction_has_nothing_of_it() {
    for open_it in [open, open_with_rollback] {
        let folders = Folders::new();
        let folder = folders.fresh();
        let store = open_it(&folder);
        store.insert(&[record(1, "kept", &[1.0])]).unwrap();
        let image = folders.fresh();
        store.with_connection(|connection| {
            // Pages of the open transaction are forced into the files.
            connection.pragma_update(None, "cache_size", 1).unwrap();
            let tx = connection.unchecked_transaction().unwrap();
            let records: Vec<_> = (2..200).map(|n| record(n, "lost", &[1.0])).collect();
            crate::write::insert(&tx, 1, &records).unwrap();
            copy(&folder, &image);
            tx.rollback().unwrap();
        });
        let opened = open(&image);
        assert_eq!(memories(&opened), 1);
        opened.check().unwrap();
        opened.insert(&[record(2, "goes on", &[1.0])]).unwrap();
    }
}

#[test]
fn a_log_cut_short_loses_only_its_tail() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    for digits in 1..=10 {
        store.insert(&[record(digits, "text", &[1.0])]).unwrap();
    }
    let log = folder.join("venom.db-wal");
    let bytes = std::fs::metadata(&log).unwrap().len();
    for share in 0..=20 {
        let image = folders.fresh();
        copy(&folder, &image);
        let log = image.join("venom.db-wal");
        let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
        file.set_len(bytes * share / 20).unwrap();
        let opened = open(&image);
        let kept: Vec<_> = (1..=10).map(id).collect();
        let kept = opened.get(&kept).unwrap();
        assert!(kept.is_sorted_by_key(Option::is_none), "a prefix is kept");
        assert_eq!(kept.iter().flatten().count() as u64, memories(&opened));
    }
}

#[test]
fn a_creation_cut_short_is_started_anew() {
    let folder = Folders::new().fresh();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("venom.db.new"), "half a database").unwrap();
    std::fs::write(folder.join("venom.db.new-journal"), "its journal").unwrap();
    let store = open(&folder);
    store.check().unwrap();
    assert!(!folder.join("venom.db.new").exists());
    assert!(!folder.join("venom.db-shm").exists());
}
