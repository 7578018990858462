//! Folders that the predecessor's database really wrote, opened by Venom.

use super::{counts, exported, import};
use crate::scripts::{self, repository, run};
use crate::{everything, serve, venom};
use rusqlite::Connection;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use venom_testing::{Folder, Server, http};

/// Makes `data` as the predecessor with a version of ChromaDB did: what it holds, by id.
#[track_caller]
pub(super) fn make(folder: &Folder, version: &str, count: usize) -> BTreeMap<String, Value> {
    let python = scripts::python(&format!("tests/import/requirements-{version}.txt"));
    let said = run(Command::new(python)
        .arg(repository("tests/import/make_chroma.py"))
        .arg(folder.join("data"))
        .arg(count.to_string()));
    let said: Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    let memories = said["memories"].as_array().expect("a list").iter();
    memories
        .map(|memory| {
            (
                memory["id"].as_str().expect("an id").to_owned(),
                memory.clone(),
            )
        })
        .collect()
}

type Files = BTreeMap<PathBuf, (Vec<u8>, SystemTime)>;

/// Every file of the predecessor with its bytes and when it was changed.
fn files(folder: &Path) -> Files {
    let mut found = Files::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !name.to_string_lossy().starts_with("venom")
            && !name.to_string_lossy().starts_with("access")
        {
            let changed = entry
                .metadata()
                .and_then(|it| it.modified())
                .expect("a time");
            found.insert(
                path.clone(),
                (std::fs::read(&path).expect("a file"), changed),
            );
        }
    }
    found
}

/// Everything that Venom has is what the predecessor had.
#[track_caller]
fn check_same(folder: &Folder, expected: &BTreeMap<String, Value>) {
    let lines = exported(folder);
    let found: BTreeMap<String, Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|memory| {
            (
                memory["memory_id"].as_str().expect("an id").to_owned(),
                memory,
            )
        })
        .collect();
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (id, memory) in &found {
        let old = &expected[id];
        assert_eq!(memory["content"], old["text"], "{id}");
        let fields = &old["metadata"];
        let time = |value: &Value| value.as_str().expect("a time")[..19].to_owned();
        assert_eq!(
            time(&memory["timestamp"]),
            time(&fields["timestamp"]),
            "{id}"
        );
        let tags = memory["tags"].as_array().map(|tags| {
            let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
            Value::String(tags.join(","))
        });
        assert_eq!(tags.unwrap_or_default(), fields["tags"], "{id}");
        for key in ["source", "weight", "count"] {
            assert_eq!(memory["metadata"][key], fields[key], "{id} {key}");
        }
    }
}

#[track_caller]
fn health(server: &Server) -> Value {
    http::Connection::open(server.port)
        .and_then(|mut connection| connection.request("GET", "/health", &[], b""))
        .expect("an answer")
        .json()
}

#[track_caller]
fn check_version(version: &str) {
    let folder = Folder::new();
    let expected = make(&folder, version, 60);
    let before = files(&folder.join("data"));
    let mut server = serve(&folder);
    let log = server.process.log_with("took over");
    assert!(log.contains("took over 59 memories"), "{log}");
    let health = health(&server);
    assert_eq!(health["memory_count"], 59);
    assert_eq!(
        health["imported"],
        serde_json::json!({ "memories": 59, "skipped": 1 })
    );
    let found = venom(&folder, ["search", "the green locker", "--limit", "1"]);
    assert!(found.run().success().contains("mem_1700000003"));
    server.process.signal("TERM");
    server.process.wait();
    check_same(&folder, &expected);
    assert!(
        files(&folder.join("data")) == before,
        "the old files are as they were"
    );
    // Once is enough.
    venom(&folder, ["forget", "mem_1700000003"]).run().success();
    let again = venom(&folder, ["stats"]).run();
    assert!(!again.stderr.contains("taking over"), "{}", again.stderr);
    // The other collection comes on demand, and the forgotten stays forgotten.
    let summary = import(&folder, &folder.join("data"), []);
    assert_eq!(counts(&summary), [1, 59, 1]);
    let other = venom(&folder, ["list", "--space", "another"]).run();
    assert!(other.success().contains("Of another collection."));
    assert!(
        files(&folder.join("data")) == before,
        "the old files are as they were"
    );
    assert_eq!(everything(&folder).len(), 58);
}

#[test]
fn memories_of_chromadb_0_4_are_there_at_the_first_search() {
    check_version("chroma04");
}

#[test]
fn memories_of_chromadb_0_5_are_there_at_the_first_search() {
    check_version("chroma05");
}

#[test]
fn memories_of_chromadb_1_5_are_there_at_the_first_search() {
    check_version("chroma15");
}

/// What was written and not carried out when its program died.
#[test]
fn what_waits_in_the_queue_counts() {
    for version in ["chroma04", "chroma15"] {
        let folder = Folder::new();
        let expected = make(&folder, version, 20);
        let database = Connection::open(folder.join("data/chroma.sqlite3")).unwrap();
        database
            .execute_batch(
                "DELETE FROM embedding_metadata; DELETE FROM embeddings; DELETE FROM max_seq_id;",
            )
            .unwrap();
        drop(database);
        check_same(&folder, &expected);
    }
}

/// A database whose program died in the middle of a change, and one with a write-ahead log.
#[test]
fn a_hot_journal_is_undone_in_a_copy() {
    let origin = Folder::new();
    let expected = make(&origin, "chroma05", 20);
    let change = "UPDATE embedding_metadata SET string_value = 'half done'";
    for (mode, statements) in [
        (
            "DELETE",
            format!("PRAGMA cache_size = 1; BEGIN IMMEDIATE; {change};"),
        ),
        (
            "WAL",
            format!("BEGIN IMMEDIATE; {change}; ROLLBACK; CREATE TABLE logged (x);"),
        ),
    ] {
        let folder = Folder::new();
        std::fs::create_dir(folder.join("data")).unwrap();
        let from = origin.join("data/chroma.sqlite3");
        let database = Connection::open(&from).unwrap();
        database
            .pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))
            .unwrap();
        database.execute_batch(&statements).unwrap();
        let mut copied = 0;
        for end in ["", "-journal", "-wal"] {
            let name = format!("data/chroma.sqlite3{end}");
            copied += usize::from(std::fs::copy(origin.join(&name), folder.join(&name)).is_ok());
        }
        assert_eq!(copied, 2, "{mode}");
        drop(database);
        let before = files(&folder.join("data"));
        check_same(&folder, &expected);
        let after = files(&folder.join("data"));
        assert!(after == before, "{mode}: {:?}", after.keys());
    }
}

#[test]
fn it_can_be_switched_off_and_comes_later() {
    let folder = Folder::new();
    let expected = make(&folder, "chroma15", 12);
    let off = venom(&folder, ["stats"])
        .env("VENOM_IMPORT_PREDECESSOR", "no")
        .run();
    assert!(off.success().starts_with("memories   0 in venom_memories"));
    let other = venom(&folder, ["stats"])
        .env("COLLECTION_NAME", "nobody")
        .run();
    assert!(other.success().starts_with("memories   0 in nobody"));
    check_same(&folder, &expected);
}

#[test]
fn a_database_that_cannot_be_read_stops_the_start() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/chroma.sqlite3"), [7; 4096]).unwrap();
    let failed = venom(&folder, ["stats"]).run().failure(69);
    assert!(failed.contains("is no SQLite database"), "{failed}");
    assert!(failed.contains("VENOM_IMPORT_PREDECESSOR=no"), "{failed}");
}
