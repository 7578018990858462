//! Copies of a database in use, and files that are none.

use super::{Folders, open, open_with_rollback, try_open};
use crate::lease::Lease;
use crate::snapshot::inspect;
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use venom_core::RequestKey;
use venom_core::ports::MemoryStore;
use venom_core::test_support::samples::{id, model, record, space};

#[test]
fn a_copy_opens_by_itself_and_holds_what_was_there() {
    for open_it in [open, open_with_rollback] {
        let folders = Folders::new();
        let store = open_it(&folders.fresh());
        for digits in 1..=40 {
            store.insert(&[record(digits, "text", &[1.0])]).unwrap();
        }
        store.forget(&[id(7)], RequestKey(1)).unwrap();
        let data = folders.fresh();
        std::fs::create_dir(&data).unwrap();
        let copy = data.join("venom.db");
        let facts = store.snapshot(&copy).unwrap();
        assert_eq!((facts.memories, facts.hidden, facts.spaces), (39, 1, 1));
        assert_eq!(facts.model, Some(model()));
        let found = std::fs::metadata(&copy).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(inspect(&copy).unwrap(), facts);
        let names = std::fs::read_dir(&data).unwrap();
        assert_eq!(names.count(), 1, "neither a log nor shared memory");
        // The original goes on, and writes its log back again.
        store.insert(&[record(41, "later", &[1.0])]).unwrap();
        let pages: i64 = store.with_connection(|connection| {
            connection
                .pragma_query_value(None, "wal_autocheckpoint", |row| row.get(0))
                .unwrap()
        });
        assert_eq!(pages, 1_000);
        let opened = try_open(&data).unwrap();
        assert_eq!(opened.stats(&space("default")).unwrap().memories, 39);
        assert_eq!(opened.get(&[id(41)]).unwrap(), [None]);
    }
}

#[test]
fn a_copy_made_while_others_store_is_of_one_moment() {
    for (open_it, rounds) in [(open as fn(&_) -> _, 12), (open_with_rollback, 4)] {
        let folders = Folders::new();
        let store = open_it(&folders.fresh());
        let copies = folders.fresh();
        std::fs::create_dir(&copies).unwrap();
        let (acknowledged, stop) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut digits = 0;
                while stop.load(Ordering::SeqCst) == 0 {
                    digits += 1;
                    store.insert(&[record(digits, "text", &[1.0])]).unwrap();
                    acknowledged.store(digits, Ordering::SeqCst);
                }
            });
            for round in 0..rounds {
                let before = acknowledged.load(Ordering::SeqCst);
                let copy = copies.join(format!("{round}.db"));
                let facts = store.snapshot(&copy).unwrap();
                let after = acknowledged.load(Ordering::SeqCst) + 1;
                assert!(
                    (before..=after).contains(&facts.memories),
                    "{before} <= {} <= {after}",
                    facts.memories
                );
                assert_eq!(inspect(&copy).unwrap(), facts);
                let opened = Connection::open(&copy).unwrap();
                let last = "SELECT coalesce(max(id), 0), count(*) FROM memories";
                let (last, count): (u64, u64) = opened
                    .query_row(last, [], |row| Ok((row.get(0)?, row.get(1)?)))
                    .unwrap();
                assert_eq!((last, count), (facts.memories, facts.memories));
            }
            stop.store(1, Ordering::SeqCst);
        });
    }
}

#[test]
fn a_place_that_is_taken_stays_as_it_is() {
    let folders = Folders::new();
    let store = open(&folders.fresh());
    let folder = folders.fresh();
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("venom.db");
    std::fs::write(&path, "mine").unwrap();
    let refused = store.snapshot(&path).unwrap_err().to_string();
    assert!(refused.contains("File exists"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let missing = store.snapshot(&folder.join("no/venom.db")).unwrap_err();
    assert!(missing.to_string().contains("cannot be written to"));
    store.check().unwrap();
}

/// The locks of SQLite are those of a process, and lost with any descriptor of the file that is closed.
#[test]
fn the_database_stays_locked_while_it_is_copied() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    store.snapshot(&folder.join("copy.db")).unwrap();
    // Of this process itself no lock is told; another one sees it.
    let script = "import sqlite3, sys\nsqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM memories')";
    let asked = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(folder.join("venom.db"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("database is locked"), "{said}");
}

#[track_caller]
fn check_refused(bytes: &[u8], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("venom.db");
    std::fs::write(&path, bytes).unwrap();
    let refused = inspect(&path).unwrap_err().to_string();
    assert!(refused.contains(expected), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
    let names = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 1, "nothing is written beside it");
}

#[test]
fn what_is_no_copy_is_refused_in_a_sentence() {
    let folders = Folders::new();
    let (folder, copies) = (folders.fresh(), folders.fresh());
    std::fs::create_dir(&copies).unwrap();
    let store = open(&folder);
    store.insert(&[record(1, "text", &[1.0])]).unwrap();
    let copy = copies.join("venom.db");
    store.snapshot(&copy).unwrap();
    drop(store);
    let whole = std::fs::read(&copy).unwrap();
    check_refused(b"", "cut short");
    check_refused(&[b'x'; 5000], "no SQLite database");
    check_refused(&whole[..whole.len() - 8192], "damaged");
    check_refused(&whole[..4096], "damaged");
    let in_use = std::fs::read(folder.join("venom.db")).unwrap();
    check_refused(&in_use, "a database in use");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8192].fill(0xff);
    check_refused(&damaged, "damaged");

    let changed = |sql: &str| {
        std::fs::write(&copy, &whole).unwrap();
        Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
        std::fs::read(&copy).unwrap()
    };
    check_refused(&changed("PRAGMA user_version = 99"), "schema version 99");
    check_refused(&changed("PRAGMA application_id = 7"), "another program");
    let trigger = "CREATE TRIGGER t AFTER INSERT ON memories BEGIN DELETE FROM memories; END";
    check_refused(&changed(trigger), "found \"t\"");
    check_refused(&changed("CREATE VIEW v AS SELECT 1"), "found \"v\"");
    std::fs::write(&copy, &whole).unwrap();
    assert_eq!(inspect(&copy).unwrap().memories, 1);
    assert!(Lease::try_acquire(&folder).is_ok());
}

/// However a copy ends, the log is written back as before.
#[test]
fn a_copy_that_fails_leaves_no_log_that_grows() {
    let folders = Folders::new();
    let store = open(&folders.fresh());
    store.insert(&[record(1, "one", &[1.0])]).unwrap();
    let pages = || {
        store.with_connection(|connection| {
            let pages = connection.pragma_query_value(None, "wal_autocheckpoint", |row| row.get(0));
            pages.unwrap()
        })
    };
    let before: i64 = pages();
    // A reader keeps the log from being emptied, as a full disk would.
    let begun = "BEGIN; SELECT count(*) FROM memories";
    store.with_connection(|connection| connection.execute_batch(begun).unwrap());
    let copied = store.snapshot(&folders.fresh());
    assert!(copied.is_err(), "{copied:?}");
    store.with_connection(|connection| connection.execute_batch("ROLLBACK").unwrap());
    assert_eq!(pages(), before);
}
