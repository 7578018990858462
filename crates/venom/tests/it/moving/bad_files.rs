//! Files that cannot be imported: one sentence each, and nothing comes of them.

use super::{counts, import};
use crate::{everything, venom};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use venom_testing::Folder;

#[track_caller]
fn check(folder: &Folder, words: &[&str], path: &Path, expected: &str) {
    let refused = venom(folder, ["import"])
        .args([path])
        .args(words)
        .run()
        .failure(2);
    assert!(
        refused.contains(expected),
        "{words:?} {}: {refused}",
        path.display()
    );
    assert_eq!(refused.trim().lines().count(), 1, "{refused}");
    assert!(
        !folder.join("data").exists(),
        "the data folder was not touched"
    );
}

#[test]
fn bad_files_are_refused_in_a_sentence() {
    let folder = Folder::new();
    let kinds = [
        "chroma",
        "jsonl",
        "markdown",
        "mem0",
        "server-memory",
        "chatgpt",
        "claude",
    ];
    let path = folder.join("file");
    for kind in kinds {
        check(
            &folder,
            &["--from", kind],
            &folder.join("nowhere"),
            "cannot be read",
        );
        std::fs::write(&path, b"").unwrap();
        check(
            &folder,
            &["--from", kind],
            &path,
            if kind == "chroma" {
                "cut short"
            } else {
                "is empty"
            },
        );
        std::fs::write(&path, b"PK\x03\x04 and more than that").unwrap();
        check(
            &folder,
            &["--from", kind],
            &path,
            "cannot be read as a zip archive",
        );
        std::fs::write(&path, b"\x1f\x8b\x08 packed").unwrap();
        check(
            &folder,
            &["--from", kind],
            &path,
            if kind == "chroma" {
                "cut short"
            } else {
                "is an archive"
            },
        );
    }
    for (kind, bytes, expected) in [
        ("jsonl", &b"\xff\xfe{}"[..], "not UTF-8"),
        ("jsonl", b"\xef\xbb\xbf", "is empty"),
        ("mem0", b"\xfe\xff\0[", "is UTF-16, not UTF-8"),
        ("chatgpt", b"\xff\xfe[\0", "save it as UTF-8 first"),
        ("jsonl", b"\n \n", "is blank"),
        (
            "jsonl",
            b"plain words\n{\"content\": \"\"}",
            "it is no JSON",
        ),
        ("markdown", b"\xff\xfe", "not UTF-8"),
        ("markdown", b"---\na: b\n---\n", "it has no text"),
        ("mem0", b"[{\"memory\": \"cut", "is no JSON"),
        ("mem0", b"{\"a\": 1}", "holds no list"),
        ("mem0", b"[{\"a\": 1}]", "nothing with a \"memory\""),
        ("server-memory", b"{\"a\": 1}", "holds no entities"),
        ("server-memory", b"[[[[", "is no JSON"),
        ("chatgpt", b"{\"a\": 1}", "no JSON list"),
        ("chatgpt", b"[{\"mapping\": {}", "cut short"),
        ("chatgpt", b"[{\"other\": 1}]", "has no \"mapping\""),
        ("claude", b"[1]", "has no \"chat_messages\""),
        (
            "other",
            b"x",
            "from is malformed: expected one of chroma, jsonl",
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        check(&folder, &["--from", kind], &path, expected);
    }
    std::fs::write(&path, b"plain words").unwrap();
    check(&folder, &[], &path, "of no kind that can be told");
    check(
        &folder,
        &["--from", "chatgpt"],
        folder.path(),
        "holds no conversations.json",
    );
    check(
        &folder,
        &["--from", "markdown"],
        folder.path(),
        "holds no notes",
    );
}

/// A line of a gibibyte, nearly all of it a hole in the file, and a list that is cut short behind a good record.
#[test]
fn what_is_too_long_is_passed_over() {
    let folder = Folder::new();
    let path = folder.join("long.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"{\"content\": \"before\"}\n").unwrap();
    file.seek(SeekFrom::Start(1 << 30)).unwrap();
    file.write_all(b"\n{\"content\": \"behind\"}\n{\"content\": \"bad \xff\"}")
        .unwrap();
    drop(file);
    let said = venom(&folder, ["import"]).args([&path]).run().success();
    assert!(
        said.starts_with("Imported 2 memories from jsonl, 0 known already, 2 skipped."),
        "{said}"
    );
    assert!(
        said.contains("line 2: it has 1073741802 bytes: expected at most 4194304"),
        "{said}"
    );
    assert!(said.contains("line 4: it is not UTF-8"), "{said}");
    assert_eq!(everything(&folder).len(), 2);

    let path = folder.join("cut.json");
    let node = r#"{"message": {"author": {"role": "assistant"}, "recipient": "bio", "content": {"parts": ["User sails."]}}}"#;
    let text = format!("[{{\"mapping\": {{\"a\": {node}}}}}, {{\"mapping\": ");
    std::fs::write(&path, text).unwrap();
    let said = venom(&folder, ["import"]).args([&path]).run().failure(2);
    assert!(
        said.contains("expected ] at its end; before that, 1 memory was imported"),
        "{said}"
    );
    assert_eq!(everything(&folder).len(), 3);
}

/// What the owner does not want kept is told beforehand, with and without a data folder, and is not repeated.
#[test]
fn a_dry_run_tells_what_would_be_refused() {
    let folder = Folder::new();
    let path = folder.join("lines.jsonl");
    let lines = "{\"content\": \"good\"}\n\n{\"content\": \"the key is AKIAIOSFODNN7EXAMPLE\"}\n{\"content\": \"good\"}";
    std::fs::write(&path, lines).unwrap();
    let look = || {
        let command = venom(&folder, ["import", "--dry-run"]).args([&path]);
        command.run().success()
    };
    let first = look();
    assert!(
        first.starts_with("Would import 1 memory from jsonl, 1 known already, 1 skipped."),
        "{first}"
    );
    assert!(first.contains("skipped line 3: content holds an AWS access key"));
    assert!(!first.contains("AKIA"), "{first}");
    assert!(!folder.join("data").exists());
    venom(&folder, ["import"]).args([&path]).run().success();
    let second = look();
    assert!(
        second.starts_with("Would import 0 memories from jsonl, 2 known already, 1 skipped."),
        "{second}"
    );
}

/// A secret may stand where none belongs, also in what is read as a time or a name.
#[test]
fn no_secret_is_told_of_a_skipped_record() {
    let folder = Folder::new();
    let path = folder.join("lines.jsonl");
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let lines = [
        "{\"content\": \"good\"}".to_owned(),
        format!("{{\"content\": \"one\", \"timestamp\": \"{key}\"}}"),
        format!("{{\"content\": \"two\", \"space\": \"{key}\"}}"),
        format!("{{\"content\": \"three\", \"origin\": {{\"client\": \"{key}\"}}}}"),
        format!("{{\"content\": \"four\", \"id\": \"{key}\"}}"),
        format!("{{\"content\": \"five\", \"cfg\": \"{key}\"}}"),
    ];
    std::fs::write(&path, lines.join("\n")).unwrap();
    let said = venom(&folder, ["import"]).args([&path]).run().success();
    for reason in [
        "skipped line 2: timestamp is malformed: expected RFC 3339 or seconds since 1970, received \"[AWS access key \
         removed]\"",
        "skipped line 3: space holds an AWS access key, which cannot be masked there",
        "skipped line 4: client holds an AWS access key at character 1",
        "skipped line 5: metadata holds an AWS access key in \"original_id\", the id that it had elsewhere",
        "skipped line 6: metadata holds an AWS access key in \"cfg\"",
    ] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    assert!(!said.contains(&key), "{said}");
    assert_eq!(everything(&folder).len(), 1);
    // A file of nothing else.
    std::fs::write(&path, &lines[1]).unwrap();
    let said = venom(&folder, ["import"]).args([&path]).run().failure(2);
    assert!(
        said.contains("received \"[AWS") && !said.contains(&key),
        "{said}"
    );
}

/// Records that say the same again, under other ids, with other times and of other people.
#[test]
fn a_dry_run_tells_what_repeats_another_record() {
    for has_memories in [false, true] {
        let folder = Folder::new();
        let path = folder.join("lines.jsonl");
        let lines = "{\"id\": \"mem_7\", \"content\": \"one\"}\n{\"id\": \"mem_7\", \"content\": \"two\"}\n\
            {\"content\": \"One.\"}\n{\"content\": \"three\", \"timestamp\": 1}\n{\"content\": \"three\", \"timestamp\": 2}\n\
            {\"content\": \"three\", \"speaker\": \"Ana\"}\n{\"content\": \"four\", \"occurred_at\": \"2024-01-01\"}\n\
            {\"content\": \"four\", \"occurred_at\": \"2024-01-02\"}\n{\"content\": \"four\"}\n{\"content\": \"kept\"}\n";
        std::fs::write(&path, lines).unwrap();
        if has_memories {
            venom(&folder, ["store", "kept"]).run().success();
        }
        let known = 3 + u64::from(has_memories);
        let dry = venom(&folder, ["import", "--dry-run", "--json"]).args([&path]);
        let dry = serde_json::from_str(&dry.run().success()).unwrap();
        assert_eq!(counts(&dry), [10 - known, known, 0], "{dry}");
        assert_eq!(counts(&import(&folder, &path, [])), counts(&dry));
    }
}
