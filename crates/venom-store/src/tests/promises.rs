//! The port's contract, random operations with restarts, and many threads at once.

use super::{Folders, open, open_with_rollback};
use crate::store::SqliteStore;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use venom_core::ports::MemoryStore;
use venom_core::test_support::contract;
use venom_core::test_support::operations::random_operations;
use venom_core::test_support::samples::{id, nearest, record, space, vector};
use venom_core::{Filter, RequestKey};

#[test]
fn every_promise_of_the_port_holds() {
    let folders = Folders::new();
    contract::memory_store(&|| Box::new(open(&folders.fresh())));
    contract::memory_store(&|| Box::new(open_with_rollback(&folders.fresh())));
}

#[test]
fn random_operations_with_restarts_agree_with_a_plain_map() {
    for seed in 1..=6 {
        let folder = Folders::new().fresh();
        random_operations(seed, 300, &mut |old| {
            drop(old);
            // A data folder may move between a local disk and a network share.
            if seed % 3 == 0 {
                Box::new(open_with_rollback(&folder))
            } else {
                Box::new(open(&folder))
            }
        });
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}

/// As after twenty thousand moves: none of them keeps a text.
#[test]
fn of_a_very_long_history_the_newest_is_told_and_every_version_is_there() {
    let folders = Folders::new();
    let store = open(&folders.fresh());
    store.insert(&[record(5, "text", &[1.0])]).unwrap();
    let moves = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
                 INSERT INTO versions (memory, version, replaced_at_us, cause, space, stored_at_us, tags)
                 SELECT seq, n, n, 4, space, 5, '[]' FROM memories, n";
    let state = store.shared().state().unwrap();
    state.connection.execute(moves, []).unwrap();
    drop(state);
    let history = store.history(id(5)).unwrap().unwrap();
    assert_eq!((history.versions.len(), history.older), (1_000, 19_001));
    let numbers = history.versions.iter().map(|version| version.number);
    assert!(numbers.eq(19_002..=20_001));
    for number in [1, 19_001, 20_001] {
        let version = store.version(id(5), number).unwrap().unwrap();
        assert_eq!(version.content.as_str(), "text");
        assert_eq!(
            (version.number, version.replaced.is_none()),
            (number, number == 20_001)
        );
    }
}

#[test]
fn after_a_restart_the_index_is_what_it_was() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    for digits in 1..=50 {
        let record = record(digits, "text", &[1.0, digits as f32]);
        store.insert(&[record]).unwrap();
    }
    let odd: Vec<_> = (1..=50).step_by(2).map(id).collect();
    store.forget(&odd, RequestKey(0)).unwrap();
    let before = store.with_index(crate::index::Index::contents);
    assert_eq!(before.values().map(Vec::len).sum::<usize>(), 25);
    drop(store);
    let store = open(&folder);
    assert_eq!(store.with_index(crate::index::Index::contents), before);
    assert_eq!(store.largest_id(), Some(id(50)));
}

#[test]
fn the_largest_id_counts_forgotten_memories() {
    let folder = Folders::new().fresh();
    let store = open(&folder);
    assert_eq!(store.largest_id(), None);
    let records = [record(9, "nine", &[1.0]), record(5, "five", &[1.0])];
    store.insert(&records).unwrap();
    store.forget(&[id(9)], RequestKey(0)).unwrap();
    assert_eq!(store.largest_id(), Some(id(9)));
    drop(store);
    assert_eq!(open(&folder).largest_id(), Some(id(9)));
}

#[test]
fn full_text_rows_follow_the_memories() {
    let folders = Folders::new();
    let store = open(&folders.fresh());
    let records = [record(1, "grüner Tee", &[1.0]), record(2, "Tee", &[1.0])];
    store.insert(&records).unwrap();
    let matching = |store: &SqliteStore, word: &str| {
        let sql = "SELECT count(*) FROM memories_fts WHERE memories_fts MATCH ?1";
        store.with_connection(|c| {
            c.query_row(sql, [word], |row| row.get::<_, i64>(0))
                .unwrap()
        })
    };
    assert_eq!(
        (matching(&store, "tee"), matching(&store, "gruner")),
        (2, 1)
    );
    store.forget(&[id(1)], RequestKey(0)).unwrap();
    assert_eq!(
        (matching(&store, "tee"), matching(&store, "gruner")),
        (1, 0)
    );
}

#[test]
fn old_request_keys_are_dropped_and_the_newest_kept() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    store
        .insert(&[record(1, "one", &[1.0]), record(2, "two", &[1.0])])
        .unwrap();
    store.with_connection(|c| {
        c.execute_batch(
            "UPDATE requests SET applied_at_us = 0;
             UPDATE requests SET number = number + 10000 WHERE number = 2",
        )
        .unwrap();
    });
    drop(store);
    let store = open(&folder);
    let keys = store.with_connection(|c| {
        let mut statement = c.prepare("SELECT number FROM requests").unwrap();
        let numbers = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        numbers.collect::<Result<Vec<_>, _>>().unwrap()
    });
    assert_eq!(keys, [10_002]);
}

/// 8 threads store 100 memories each and forget one in ten while 4 threads search.
#[test]
fn threads_lose_nothing_and_searches_stay_whole() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    store
        .insert(
            &(1..=20)
                .map(|n| record(n, "first", &[1.0]))
                .collect::<Vec<_>>(),
        )
        .unwrap();
    let done = AtomicBool::new(false);
    let write = |thread: u64| {
        for n in 0..100 {
            let digits = thread * 1_000 + n;
            store
                .insert(&[record(digits, "text", &[1.0, 0.5])])
                .unwrap();
            if n % 10 == 9 {
                let forgotten = store.forget(&[id(digits)], RequestKey(u128::from(digits)));
                assert_eq!(forgotten.unwrap(), [true]);
            }
        }
    };
    let search = || {
        let filter = Filter::everything_in(space("default"));
        while !done.load(Ordering::SeqCst) {
            for raw in [[1.0, 0.0], [1.0, 1.0]] {
                let hits = nearest(&store, &vector(&raw), &filter, 10).unwrap();
                let ids: BTreeSet<_> = hits.iter().map(|hit| hit.memory.id).collect();
                assert_eq!((hits.len(), ids.len()), (10, 10), "short or repeated");
                assert!(hits.is_sorted_by(|a, b| a.parts.sum() >= b.parts.sum()));
            }
        }
    };
    std::thread::scope(|scope| {
        let searches: Vec<_> = (0..4).map(|_| scope.spawn(search)).collect();
        let writes: Vec<_> = (1..=8).map(|t| scope.spawn(move || write(t))).collect();
        let ended: Vec<_> = writes
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::SeqCst);
        assert!(
            ended
                .into_iter()
                .chain(
                    searches
                        .into_iter()
                        .map(std::thread::ScopedJoinHandle::join)
                )
                .all(|r| r.is_ok())
        );
    });
    let before = store.stats(&space("default")).unwrap();
    assert_eq!((before.memories, before.forgotten), (20 + 720, 80));
    let index = store.with_index(crate::index::Index::contents);
    drop(store);
    let store = open(&folder);
    assert_eq!(store.with_index(crate::index::Index::contents), index);
    assert_eq!(store.stats(&space("default")).unwrap().memories, 740);
}
