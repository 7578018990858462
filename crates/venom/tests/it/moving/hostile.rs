//! What somebody may have made on purpose: each is refused or passed over in a sentence, at once and in bounded memory,
//! and nothing comes of it by halves.

use crate::{BINARY, everything, scripts, venom};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use venom_testing::Folder;

const KINDS: [&str; 8] = [
    "chroma",
    "jsonl",
    "markdown",
    "mem0",
    "server-memory",
    "basic-memory",
    "chatgpt",
    "claude",
];

/// Refused in one line, with nothing made.
#[track_caller]
fn refused(folder: &Folder, kind: Option<&str>, path: &Path) -> String {
    let kind = kind.map_or_else(Vec::new, |kind| vec!["--from", kind]);
    let import = venom(folder, ["import"]).args([path]).args(kind.iter());
    let said = import.run().failure(2);
    assert_eq!(said.trim().lines().count(), 1, "{kind:?} {said}");
    assert!(!folder.join("data").exists(), "{kind:?}");
    said
}

/// What an import says.
#[track_caller]
fn import(folder: &Folder, path: &Path) -> String {
    venom(folder, ["import"]).args([path]).run().success()
}

fn file(folder: &Folder, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A zip archive with these files: a name and, in Python, what is in it.
fn zipped(folder: &Folder, entries: &[(&str, &str)]) -> Vec<u8> {
    let mut script = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as file:\n"
        .to_owned();
    for (name, content) in entries {
        let _ = writeln!(script, "    file.writestr({name}, {content})");
    }
    let path = folder.join("made.zip");
    scripts::run(Command::new("python3").arg("-c").arg(script).arg(&path));
    std::fs::read(path).unwrap()
}

/// Each under every name that may be expected to hold something else.
#[track_caller]
fn refused_under_any_name(folder: &Folder, what: &str, bytes: &[u8], expected: &str) {
    for name in [
        "export.zip",
        "memories.json",
        "notes.md",
        "lines.jsonl",
        "no ending",
    ] {
        let path = file(folder, name, bytes);
        let said = refused(folder, None, &path);
        assert!(said.contains(expected), "{what} as {name}: {said}");
    }
    for kind in KINDS.into_iter().filter(|kind| *kind != "chroma") {
        let path = file(folder, "named", bytes);
        let said = refused(folder, Some(kind), &path);
        assert!(said.contains(expected), "{what} as {kind}: {said}");
    }
}

#[test]
fn zip_archives_that_mean_harm_are_refused_whole() {
    let folder = Folder::new();
    let escaping = "expected names of files and folders within it";
    for name in ["'../../outside.md'", "'/tmp/absolute.md'", "'a/../../b.md'"] {
        let bytes = zipped(&folder, &[("'good.md'", "'Tea.'"), (name, "'x'")]);
        refused_under_any_name(&folder, name, &bytes, escaping);
    }
    let bomb = zipped(
        &folder,
        &[
            ("'good.md'", "'Tea.'"),
            ("'conversations.json'", "b'0' * (64 << 20)"),
        ],
    );
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    refused_under_any_name(&folder, "a bomb", &bomb, "grows beyond all measure");
    let empty = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    refused_under_any_name(&folder, "nothing", empty, "holds nothing to import");
    refused_under_any_name(
        &folder,
        "half of one",
        &bomb[..bomb.len() / 2],
        "cannot be read as a zip archive",
    );
    assert!(
        !Path::new("/tmp/absolute.md").exists() && !folder.path().join("../outside.md").exists()
    );
    // A link in one is left where it is.
    let link = "zipfile.ZipInfo('link.md')";
    let script = format!(
        "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1], 'w') as file:\n\
        \x20   link = {link}; link.create_system = 3; link.external_attr = 0o120777 << 16\n\
        \x20   file.writestr(link, '/etc/passwd')\n\
        \x20   file.writestr('good.md', 'Tea is at four.')\n"
    );
    let path = folder.join("links.zip");
    scripts::run(Command::new("python3").arg("-c").arg(script).arg(&path));
    let said = import(&folder, &path);
    assert!(said.contains("Imported 1 memory from markdown"), "{said}");
}

#[test]
fn other_archives_are_refused_whatever_their_names() {
    let folder = Folder::new();
    let others: [(&str, &[u8]); 6] = [
        ("a part of a zip", b"PK\x07\x08PK\x03\x04"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0"),
        ("bzip2", b"BZh91AY&SY"),
        ("xz", b"\xfd7zXZ\0\0\x04"),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\0\x01\0"),
        ("7-zip", b"7z\xbc\xaf\x27\x1c\0\x04"),
    ];
    for (what, bytes) in others {
        refused_under_any_name(&folder, what, bytes, "is an archive: expected");
    }
    // In a folder of notes one is passed over, whatever it is, with the others imported.
    std::fs::create_dir(folder.join("notes")).unwrap();
    let bomb = zipped(&folder, &[("'a.md'", "b'0' * (64 << 20)")]);
    file(&folder, "notes/bomb.md", &bomb);
    file(&folder, "notes/good.md", b"Tea is at four.");
    let said = import(&folder, &folder.join("notes"));
    assert!(said.contains("Imported 1 memory from markdown"), "{said}");
    assert!(said.contains("is an archive"), "{said}");
}

#[test]
fn pipes_devices_and_folders_hold_nobody_up() {
    let folder = Folder::new();
    let pipe = folder.join("pipe");
    scripts::run(Command::new("mkfifo").arg(&pipe));
    symlink(&pipe, folder.join("link")).unwrap();
    for path in [
        pipe.clone(),
        folder.join("link"),
        PathBuf::from("/dev/zero"),
        PathBuf::from("/dev/null"),
    ] {
        let said = refused(&folder, None, &path);
        assert!(said.contains("of no kind that can be told"), "{said}");
        for kind in KINDS {
            let said = refused(&folder, Some(kind), &path);
            assert!(said.contains("is no file: expected"), "{kind}: {said}");
        }
    }
    let socket = folder.join("socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    refused(&folder, None, &socket);
    // Among notes, and where a start looks for the predecessor.
    let notes = folder.join("notes");
    std::fs::create_dir(&notes).unwrap();
    scripts::run(Command::new("mkfifo").arg(notes.join("pipe.md")));
    let said = refused(&folder, Some("markdown"), &notes);
    assert!(said.contains("holds no notes"), "{said}");
    std::fs::create_dir(folder.join("data")).unwrap();
    scripts::run(Command::new("mkfifo").arg(folder.join("data/chroma.sqlite3")));
    venom(&folder, ["stats"]).run().success();
}

#[test]
fn links_lead_nowhere() {
    let folder = Folder::new();
    let outside = Folder::new();
    file(&outside, "secret.md", b"A secret of another folder.");
    let notes = folder.join("notes");
    std::fs::create_dir_all(notes.join("deep")).unwrap();
    std::fs::write(notes.join("deep/good.md"), "Tea is at four.").unwrap();
    symlink(outside.join("secret.md"), notes.join("secret.md")).unwrap();
    symlink(outside.path(), notes.join("folder")).unwrap();
    symlink(&notes, notes.join("deep/circle")).unwrap();
    symlink("itself.md", notes.join("itself.md")).unwrap();
    symlink("../../../../../../../../etc/passwd", notes.join("up.md")).unwrap();
    let said = import(&folder, &notes);
    assert!(
        said.contains("Imported 1 memory from markdown, 0 known already, 5 skipped."),
        "{said}"
    );
    assert!(
        said.contains("it is a link: expected a plain file")
            && said.contains(
                "skipped deep/circle: it is a link: expected a folder, for no link is followed"
            ),
        "{said}"
    );
    let kept: Vec<String> = everything(&folder).into_values().collect();
    assert!(
        kept.len() == 1 && kept[0].contains("Tea is at four."),
        "{kept:?}"
    );
    // A database behind a link in a folder is not opened either.
    let chroma = folder.join("chroma");
    std::fs::create_dir(&chroma).unwrap();
    symlink(outside.join("secret.md"), chroma.join("chroma.sqlite3")).unwrap();
    let import = venom(&folder, ["import", "--from", "chroma"]).args([&chroma]);
    let said = import.run().failure(2);
    assert!(said.contains("is no plain file"), "{said}");
}

/// Lines that are odd, each with what is said of it; empty for one that comes.
fn odd_lines() -> Vec<(Vec<u8>, &'static str)> {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let tags: Vec<String> = (0..300_000).map(|number| number.to_string()).collect();
    let line = |value: &Value| value.to_string().into_bytes();
    vec![
        (line(&json!({"content": "first"})), ""),
        (b"{\"content\": \"cut".to_vec(), "it is no JSON"),
        (b"{\"content\": \"\xc3\x28\"}".to_vec(), "it is not UTF-8"),
        (
            line(&json!({"content": "a\0b"})),
            "content contains a NUL character",
        ),
        (line(&json!({"content": "  "})), "content is empty"),
        (line(&json!({"content": 7})), "it has no content"),
        (line(&json!(["content"])), "it is no JSON object"),
        (
            line(&json!({"content": "x".repeat(300_000)})),
            "content is too long: expected at most 262144",
        ),
        (
            format!("{{\"content\": \"deep\", \"a\": {}}}", nested(100_000)).into_bytes(),
            "it is no JSON: recursion limit",
        ),
        (
            format!("{{\"content\": \"not so deep\", \"a\": {}}}", nested(60)).into_bytes(),
            "",
        ),
        (line(&json!({"content": "many tags", "tags": tags})), ""),
        (
            line(
                &json!({"content": "year 0", "timestamp": "0000-01-01T00:00:00Z", "occurred_at": "0000-12-31"}),
            ),
            "",
        ),
        (
            line(&json!({"content": "year 9999", "timestamp": "9999-12-30T21:59:59.999999Z"})),
            "",
        ),
        (
            line(&json!({"content": "the last day", "timestamp": "9999-12-31T23:59:59Z"})),
            "timestamp is malformed: expected RFC 3339",
        ),
        (
            line(&json!({"content": "year 10000", "timestamp": "10000-01-01T00:00:00Z"})),
            "timestamp is malformed: expected RFC 3339",
        ),
        (
            line(&json!({"content": "far", "timestamp": 1e300})),
            "timestamp is malformed: expected RFC 3339",
        ),
        (
            line(&json!({"content": "month 13", "occurred_at": "2026-13-01"})),
            "occurred_at is malformed: expected RFC 3339",
        ),
        (
            line(&json!({"content": "twice", "id": "mem_1700000000"})),
            "",
        ),
        (
            line(&json!({"content": "twice", "id": "mem_1700000000"})),
            "",
        ),
        (
            line(&json!({"content": "another", "id": "mem_1700000000"})),
            "",
        ),
        (
            line(&json!({"content": "huge id", "id": "mem_99999999999999999999"})),
            "",
        ),
        (
            line(&json!({"content": "largest id", "id": "mem_9223372036854775807"})),
            "",
        ),
        (
            line(&json!({"content": "a space", "space": "../../etc/passwd"})),
            "",
        ),
        (
            line(&json!({"content": "no space", "space": "a\nb"})),
            "space is malformed",
        ),
        (line(&json!({"content": "escaped \u{202e} \u{1b}[31m"})), ""),
        (line(&json!({"content": "last"})), ""),
    ]
}

#[test]
fn odd_records_are_passed_over_and_the_others_come() {
    let folder = Folder::new();
    let path = folder.join("odd.jsonl");
    let lines = odd_lines();
    let mut out = std::fs::File::create(&path).unwrap();
    for (line, _) in &lines {
        out.write_all(line).unwrap();
        out.write_all(b"\n").unwrap();
    }
    drop(out);
    let said = import(&folder, &path);
    let mut skipped = 0;
    for (number, (_, why)) in lines.iter().enumerate() {
        let place = format!("skipped line {}: ", number + 1);
        let told = said.lines().find(|line| line.starts_with(&place));
        if why.is_empty() {
            assert_eq!(told, None);
        } else {
            skipped += 1;
            assert!(
                told.is_some_and(|told| told.contains(why)),
                "{place}{why} in {said}"
            );
        }
    }
    let expected = lines.len() - skipped;
    // The same again is one memory; another of its id gets an id of its own.
    let counted = format!(
        "Imported {} memories from jsonl, 1 known already, {skipped} skipped",
        expected - 1
    );
    assert!(said.starts_with(&counted), "{counted}: {said}");
    let exported = venom(&folder, ["export", "--all-spaces"]).run().success();
    let kept: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by_text: BTreeMap<&str, &Value> = kept
        .iter()
        .map(|memory| (memory["content"].as_str().unwrap(), memory))
        .collect();
    assert_eq!((by_text.len(), kept.len()), (expected - 1, expected - 1));
    assert_eq!(by_text["twice"]["memory_id"], "mem_1700000000");
    assert_ne!(by_text["another"]["memory_id"], "mem_1700000000");
    assert_eq!(
        by_text["year 0"]["timestamp"],
        "0000-01-01T00:00:00.000000Z"
    );
    assert_eq!(
        by_text["year 9999"]["timestamp"],
        "9999-12-30T21:59:59.999999Z"
    );
    assert_eq!(
        by_text["many tags"]["tags"].as_array().map(Vec::len),
        Some(10)
    );
    assert_eq!(
        by_text["a space"]["space"], "../../etc/passwd",
        "a name, and no path"
    );
    // It all goes out and in again: nothing is new, and no name leads out of the folder.
    let again = file(&folder, "again.jsonl", exported.as_bytes());
    let said = import(&folder, &again);
    assert!(said.starts_with("Imported 0 memories"), "{said}");
    let notes = folder.join("notes");
    let export = venom(
        &folder,
        ["export", "--all-spaces", "--to", "markdown", "--out"],
    );
    export.args([&notes]).run().success();
    assert!(notes.read_dir().unwrap().count() > 0 && !folder.path().join("../etc").exists());
    assert_ne!(
        by_text["largest id"]["memory_id"],
        "mem_9223372036854775807"
    );
    venom(&folder, ["store", "stored after it"]).run().success();
    let found = venom(&folder, ["search", "stored after it", "-n", "1"]);
    assert!(found.run().success().contains("stored after it"));
}

/// The most memory that an import takes, in KiB, which is carried out or refused.
#[track_caller]
fn peak_kib(folder: &Folder, words: &[&OsStr], is_carried_out: bool) -> u64 {
    let script = "import resource, subprocess, sys\n\
        code = subprocess.run(sys.argv[2:], stderr=subprocess.DEVNULL).returncode\n\
        assert str(code) == sys.argv[1], code\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n";
    let code = if is_carried_out { "0" } else { "2" };
    let measured = venom_testing::Command::new("python3", folder.path());
    let measured = measured.args(["-c", script, code, BINARY, "import"]);
    let said = measured.args(words).run().success();
    said.lines().last().unwrap().parse().unwrap()
}

/// Values that take a hundred times as much in memory as in their file.
#[test]
fn json_that_grows_in_memory_is_refused_before_it_does() {
    let folder = Folder::new();
    let values = "{\"\":0},".repeat(5_000_000);
    let list = file(&folder, "list.json", format!("[{values}0]").as_bytes());
    let tree = format!("[{{\"mapping\":[{values}0]}}]");
    let tree = file(&folder, "tree.json", tree.as_bytes());
    for (kind, path) in [("mem0", &list), ("chatgpt", &tree), ("claude", &tree)] {
        let said = refused(&folder, Some(kind), path);
        assert!(
            said.contains("it holds too many values: expected at most"),
            "{said}"
        );
        let words = ["--from".as_ref(), kind.as_ref(), path.as_os_str()];
        let peak_kib = peak_kib(&folder, &words, false);
        assert!(peak_kib < 300 * 1024, "{kind}: at most {peak_kib} KiB");
    }
}

/// A database in the predecessor's form whose texts are far longer than a memory may be.
#[test]
fn a_database_with_endless_texts_costs_no_memory() {
    let folder = Folder::new();
    let path = folder.join("chroma.sqlite3");
    let database = Connection::open(&path).unwrap();
    let tables = "CREATE TABLE collections (id TEXT, name TEXT);
        CREATE TABLE segments (id TEXT, scope TEXT, collection TEXT);
        CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT, embedding_id TEXT, seq_id, created_at);
        CREATE TABLE embedding_metadata (id INTEGER, key TEXT, string_value TEXT, int_value INTEGER,
            float_value REAL, bool_value INTEGER);
        CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at, operation INTEGER, topic TEXT,
            id TEXT, vector, encoding, metadata TEXT);
        CREATE TABLE max_seq_id (segment_id TEXT, seq_id);
        INSERT INTO collections VALUES ('c', 'venom_memories');
        INSERT INTO segments VALUES ('s', 'METADATA', 'c');
        INSERT INTO embeddings VALUES (1, 's', 'mem_1700000001', 1, NULL), (2, 's', 'mem_1700000002', 2, NULL),
            (3, 's', 'mem_1700000003', 3, NULL), (4, 's', hex(zeroblob(2000000)), 4, NULL);
        INSERT INTO embedding_metadata (id, key, string_value) VALUES
            (1, 'chroma:document', 'Tea is at four.'), (1, 'note', hex(zeroblob(20000000))),
            (2, 'chroma:document', hex(zeroblob(50000000))), (4, 'chroma:document', 'Its id is endless.');
        INSERT INTO embedding_metadata (id, key, string_value)
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 200000)
            SELECT 3, 'key' || n, 'value' FROM numbers;
        INSERT INTO embedding_metadata (id, key, string_value) VALUES (3, 'chroma:document', 'Of many fields.');
        INSERT INTO embeddings_queue VALUES (9, NULL, 0, 'x/c', 'mem_1700000009', NULL, NULL, hex(zeroblob(20000000)));";
    database.execute_batch(tables).unwrap();
    drop(database);
    let peak_kib = peak_kib(&folder, &[path.as_os_str()], true);
    assert!(peak_kib < 200 * 1024, "at most {peak_kib} KiB");
    let kept: Vec<String> = everything(&folder).into_values().collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let said = import(&folder, &path);
    assert!(said.contains("mem_1700000002: content is too long: expected at most 262144 bytes of UTF-8, received 100000000"), "{said}");
    assert!(
        said.contains("row 4: it has no id of 1 to 1024 bytes"),
        "{said}"
    );
    assert!(
        said.contains("mem_1700000009: content is too long"),
        "{said}"
    );
    assert!(
        said.starts_with("Imported 0 memories from chroma, 2 known already, 3 skipped"),
        "{said}"
    );
}
