//! Databases of ChromaDB that are in use, hold what few have, or are not what was thought.

use super::{counts, exported, import};
use crate::scripts::{self, repository, run};
use crate::venom;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use venom_testing::Folder;

/// Imports beside a program that writes all the time.
const ROUNDS: usize = 5;
const MEMORIES: usize = 300;

/// Takes all texts from one letter to the other, again and again.
const WRITER: &str = "
c.execute('PRAGMA journal_mode = MODE').fetchall()
c.execute('PRAGMA cache_size = 2')
c.execute('PRAGMA synchronous = off')
letter, said = 'A', False
while True:
    letter = 'B' if letter == 'A' else 'A'
    c.execute('BEGIN IMMEDIATE')
    c.execute('UPDATE embedding_metadata SET string_value = ? || substr(string_value, 2)', letter)
    c.execute('COMMIT')
    if not said:
        print('ready', flush=True)
    said = True
";
/// Locks it until it is killed.
const HOLDER: &str = "
import signal
c.execute('BEGIN EXCLUSIVE')
print('ready', flush=True)
signal.pause()
";

/// A database of one collection whose texts all begin with the same letter.
fn make(path: &Path) {
    let database = Connection::open(path).unwrap();
    let tables = "CREATE TABLE collections (id TEXT, name TEXT);
        CREATE TABLE segments (id TEXT, scope TEXT, collection TEXT);
        CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT, embedding_id TEXT, seq_id, created_at);
        CREATE TABLE embedding_metadata (id INTEGER, key TEXT, string_value TEXT, int_value INTEGER,
            float_value REAL, bool_value INTEGER, PRIMARY KEY (id, key));
        CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, operation INTEGER, topic TEXT, id TEXT, metadata TEXT);
        CREATE TABLE max_seq_id (segment_id TEXT, seq_id);
        INSERT INTO collections VALUES ('c', 'venom_memories');
        INSERT INTO segments VALUES ('s', 'METADATA', 'c');";
    database.execute_batch(tables).unwrap();
    let mut memory = database
        .prepare("INSERT INTO embeddings VALUES (?1, 's', 'mem_' || (1700000000 + ?1), ?1, NULL)")
        .unwrap();
    let mut text = database
        .prepare(
            "INSERT INTO embedding_metadata (id, key, string_value) VALUES (?1, 'chroma:document', 'A ' || ?1 || ?2)",
        )
        .unwrap();
    database.execute_batch("BEGIN").unwrap();
    for number in 0..MEMORIES {
        memory.execute([number]).unwrap();
        text.execute((number, " is padded".repeat(20))).unwrap();
    }
    database.execute_batch("COMMIT").unwrap();
}

/// Another program that has the database open, from the moment at which it says so.
fn other_program(path: &Path, statements: &str) -> Child {
    let script = format!(
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n{statements}"
    );
    let mut child = Command::new("python3")
        .args(["-c", &script])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut line = String::new();
    let said = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
    assert_eq!((said.unwrap(), line.as_str()), (6, "ready\n"));
    child
}

/// The names of what is in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// With a small cache a transaction writes to the file before it is committed, and each takes all texts from one letter
/// to the other.
#[test]
fn beside_a_program_that_writes_one_state_is_read() {
    for mode in ["delete", "wal"] {
        let place = Folder::new();
        let path = place.join("chroma.sqlite3");
        make(&path);
        let statements = WRITER.replace("MODE", mode);
        let mut writer = other_program(&path, &statements);
        for _ in 0..ROUNDS {
            let folder = Folder::new();
            assert_eq!(
                counts(&import(&folder, &path, [])),
                [MEMORIES as u64, 0, 0],
                "{mode}"
            );
            let lines = exported(&folder);
            let letters: BTreeSet<Option<char>> = lines
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
                .map(|memory| memory["content"].as_str().and_then(|it| it.chars().next()))
                .collect();
            assert_eq!(letters.len(), 1, "{mode}: of one transaction");
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
}

#[test]
fn a_database_that_stays_locked_is_told() {
    let folder = Folder::new();
    let path = folder.join("chroma.sqlite3");
    make(&path);
    let mut holder = other_program(&path, HOLDER);
    let told = venom(&folder, ["import"]).args([&path]).run().failure(2);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(
        told.contains("is in use: expected a moment at which no other program writes"),
        "{told}"
    );
    assert_eq!(counts(&import(&folder, &path, [])), [MEMORIES as u64, 0, 0]);
    assert!(!names(&folder.join("")).contains("chroma.sqlite3-journal"));
}

#[test]
fn lists_databases_and_long_names_come_in() {
    let folder = Folder::new();
    let python = scripts::python("tests/import/requirements-chroma15.txt");
    run(Command::new(python)
        .arg(repository("tests/import/make_odd.py"))
        .arg(folder.join("data")));
    let started = venom(&folder, ["stats"]).run();
    assert!(
        started.stderr.contains(
            "mem_1700000002 is kept without its metadata: expected at most 65536 bytes of JSON"
        ),
        "{}",
        started.stderr
    );
    assert!(
        started
            .success()
            .starts_with("memories   2 in venom_memories")
    );
    let summary = import(&folder, &folder.join("data"), []);
    assert_eq!(counts(&summary), [2, 2, 0]);
    let notes = summary["notes"].to_string();
    let second = r#"collection \"venom_memories\" of the database \"second\" goes into the space \"venom_memories (second)\""#;
    assert!(notes.contains(second), "{notes}");
    let memories: Vec<Value> = exported(&folder)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |text: &str| {
        let found = memories.iter().find(|memory| memory["content"] == text);
        found.unwrap_or_else(|| panic!("{text} is not in {memories:?}"))
    };
    let lists = of("With lists.");
    assert_eq!(lists["tags"], json!(["l1", "l2"]));
    assert_eq!(
        lists["metadata"],
        json!({"people": ["ann", "bob"], "numbers": [1, 2], "flags": [true, false]})
    );
    let other = of("Of the second database.");
    assert_eq!(other["space"], "venom_memories (second)");
    assert_eq!(
        other["metadata"],
        json!({"x": 1, "original_id": "mem_1700000001"})
    );
    let long = of("Of a long name.")["space"].as_str().expect("a name");
    let kept = "n".repeat(117);
    assert!(long.starts_with(&format!("{kept} (")), "{long}");
}

#[test]
fn a_name_that_is_not_there_is_told_with_those_that_are() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("data")).unwrap();
    make(&folder.join("data/chroma.sqlite3"));
    let other = venom(&folder, ["stats"])
        .env("COLLECTION_NAME", "venom_memory")
        .run();
    let expected = r#"there is no collection "venom_memory": found "venom_memories""#;
    assert!(other.stderr.contains(expected), "{}", other.stderr);
    assert!(other.success().starts_with("memories   0 in venom_memory"));
    assert!(
        venom(&folder, ["stats"])
            .run()
            .success()
            .starts_with("memories   300")
    );
}

#[test]
fn a_link_that_leads_nowhere_is_told() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("data")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", folder.join("data/chroma.sqlite3")).unwrap();
    let started = venom(&folder, ["stats"]).run();
    let expected = "or a link that leads to none";
    assert!(started.stderr.contains(expected), "{}", started.stderr);
    started.success();
}

/// The copy that a start makes of the old database has memories in it: none stays.
#[test]
fn a_copy_that_a_killed_start_left_is_removed_by_the_next() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("data")).unwrap();
    make(&folder.join("data/chroma.sqlite3"));
    let left = folder.join("data/venom-import-1-0");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("lock"), "").unwrap();
    std::fs::write(left.join("chroma.sqlite3"), "Tea is at four.").unwrap();
    let off = venom(&folder, ["stats"]).env("VENOM_IMPORT_PREDECESSOR", "no");
    off.run().success();
    assert!(!left.exists());
    // One that is killed while it takes over has none with a name.
    let mut process = venom(&folder, ["stats"]).spawn();
    process.log_with("256 of 300 records");
    process.kill();
    let names = names(&folder.join("data"));
    assert!(
        !names.iter().any(|name| name.starts_with("venom-import")),
        "{names:?}"
    );
}
