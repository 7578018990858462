//! Full disks, damaged and foreign files, folders that vanish.

use super::{Folders, open, try_open};
use rusqlite::Connection;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use venom_core::ports::{Inserted, MemoryStore};
use venom_core::test_support::samples::{id, model, record, space};
use venom_core::{ModelStamp, StoreError};

fn filled(folder: &Path) {
    let store = open(folder);
    let text = "words and more words ".repeat(50);
    let records: Vec<_> = (1..=100).map(|n| record(n, &text, &[1.0])).collect();
    store.insert(&records).unwrap();
}

#[test]
fn a_full_disk_keeps_nothing_of_the_call_and_the_store_goes_on() {
    let folders = Folders::new();
    let store = open(&folders.fresh());
    store.insert(&[record(1, "kept", &[1.0])]).unwrap();
    store.with_connection(|c| {
        let pages: i64 = c
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        c.pragma_update_and_check(None, "max_page_count", pages + 2, set)
            .unwrap();
    });
    let big: Vec<_> = (2..=60)
        .map(|n| record(n, &"long ".repeat(400), &[1.0]))
        .collect();
    assert!(matches!(store.insert(&big), Err(StoreError::DiskFull)));
    assert_eq!(store.stats(&space("default")).unwrap().memories, 1);
    assert_eq!(store.get(&[id(1), id(2)]).unwrap()[1], None);
    store.check().unwrap();
    store.with_connection(|c| {
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        c.pragma_update_and_check(None, "max_page_count", 1_000_000, set)
            .unwrap();
    });
    let answers = store.insert(&big).unwrap();
    assert!(answers.iter().all(|answer| *answer == Inserted::Stored));
}

#[test]
fn a_panic_in_a_call_ends_the_store_not_the_process() {
    let store = open(&Folders::new().fresh());
    let panicked = std::thread::scope(|scope| {
        let call = || store.with_connection(|_| panic!("on purpose"));
        scope.spawn(call).join()
    });
    assert!(panicked.is_err());
    assert!(matches!(store.check(), Err(StoreError::Failed(_))));
    let insert = store.insert(&[record(1, "one", &[1.0])]);
    assert!(matches!(insert, Err(StoreError::Failed(_))));
}

#[test]
fn damaged_files_are_told_apart() {
    let folders = Folders::new();
    let damage = |change: &dyn Fn(&Path)| {
        let folder = folders.fresh();
        filled(&folder);
        change(&folder.join("venom.db"));
        try_open(&folder).unwrap_err()
    };
    let cut = |bytes: u64| {
        move |path: &Path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(bytes).unwrap();
        }
    };
    for bytes in [0, 1, 99, 100, 4096, 40_000] {
        let error = damage(&cut(bytes));
        assert!(
            matches!(error, StoreError::Corrupt(_)),
            "{bytes} bytes: {error}"
        );
    }
    let error = damage(&|path| std::fs::write(path, [0x5a; 9000]).unwrap());
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let error = damage(&|path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        for page in 2..12 {
            file.write_all_at(&[0x5a; 512], page * 8192 + 100).unwrap();
        }
    });
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let error = damage(&|path| {
        std::fs::remove_file(path).unwrap();
        std::fs::create_dir(path).unwrap();
    });
    assert!(matches!(error, StoreError::Folder(_)), "{error}");
}

#[test]
fn a_log_without_its_database_is_not_thrown_away() {
    let folder = Folders::new().fresh();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("venom.db-wal"), "frames").unwrap();
    assert!(matches!(try_open(&folder), Err(StoreError::Corrupt(_))));
    assert!(folder.join("venom.db-wal").exists() && !folder.join("venom.db").exists());
}

#[test]
fn a_vector_that_is_none_is_corrupt() {
    let folders = Folders::new();
    for sql in [
        "UPDATE passages SET embedding = zeroblob(32) WHERE passage = 50",
        "UPDATE passages SET embedding = x'00' WHERE passage = 50",
        "UPDATE passages SET ordinal = 7 WHERE passage = 50",
    ] {
        let folder = folders.fresh();
        filled(&folder);
        open(&folder)
            .with_connection(|c| c.execute_batch(sql))
            .unwrap();
        assert!(
            matches!(try_open(&folder), Err(StoreError::Corrupt(_))),
            "{sql}"
        );
    }
}

#[test]
fn foreign_and_newer_databases_are_left_alone() {
    let folders = Folders::new();
    let folder = folders.fresh();
    filled(&folder);
    let path = folder.join("venom.db");
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = try_open(&folder).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::NewerSchema {
                found: 99,
                known: 7
            }
        ),
        "{error}"
    );
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "application_id", 7)
        .unwrap();
    let error = try_open(&folder).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[test]
fn another_model_is_refused_unless_the_store_is_empty() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let other = ModelStamp {
        name: "other".to_owned(),
        ..model()
    };
    drop(open(&folder));
    let lease = || crate::Lease::try_acquire(&folder).unwrap();
    drop(crate::SqliteStore::open(&lease(), &other).unwrap());
    filled(&folder);
    let error = crate::SqliteStore::open(&lease(), &other).unwrap_err();
    assert!(matches!(error, StoreError::OtherModel { .. }), "{error}");
    assert!(error.to_string().contains("venom reembed"), "{error}");
    open(&folder);
}

#[test]
fn a_database_that_another_connection_holds_is_owned() {
    let folder = Folders::new().fresh();
    filled(&folder);
    let other = Connection::open(folder.join("venom.db")).unwrap();
    other
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_owned_in_another_process(&folder);
}

/// Locks belong to the process, so that a second one has to look: the `sqlite` of this test binary.
fn assert_owned_in_another_process(folder: &Path) {
    let test = "tests::faults::child_opens_the_folder_it_is_told";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("VENOM_STORE_TEST_FOLDER", folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(
        said.contains("child: the database in") && said.contains("is locked"),
        "{said}"
    );
}

/// Does nothing unless a test above started it with a folder.
#[test]
fn child_opens_the_folder_it_is_told() {
    if let Some(folder) = std::env::var_os("VENOM_STORE_TEST_FOLDER") {
        match try_open(Path::new(&folder)) {
            Ok(_) => println!("child: opened"),
            Err(error) => println!("child: {error}"),
        }
    }
}

#[test]
fn a_vanished_database_takes_no_writes() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    store.check().unwrap();
    let (path, aside) = (folder.join("venom.db"), folder.join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    let gone = |result: Result<(), StoreError>| {
        let error = result.unwrap_err();
        assert!(
            error.to_string().contains("was moved or deleted"),
            "{error}"
        );
    };
    gone(store.check());
    gone(store.insert(&[record(1, "one", &[1.0])]).map(drop));
    std::fs::copy(&aside, &path).unwrap();
    gone(store.check());
    std::fs::rename(&aside, &path).unwrap();
    store.check().unwrap();
    store.insert(&[record(1, "one", &[1.0])]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    gone(store.check());
}

#[test]
fn files_are_for_their_owner_only() {
    let folder = Folders::new().fresh();
    let store = open(&folder);
    store.insert(&[record(1, "one", &[1.0])]).unwrap();
    for name in ["venom.db", "venom.db-wal", "venom.lock"] {
        let mode = std::fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!folder.join("venom.db-shm").exists(), "no shared memory");
}
