//! Exports as files: who may read them, and of what; and how they and others come back where some of it was hidden.

use super::{counts, import};
use crate::{everything, venom};
use serde_json::json;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use venom_testing::Folder;
use venom_testing::archive::zipped;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nobody_else_can_read_an_export() {
    let folder = Folder::new();
    venom(&folder, ["store", "The key lies under the mat"])
        .run()
        .success();
    let export = |words: &[&str]| {
        venom(&folder, ["export"]).args(words).run().success();
    };
    export(&["--out", "lines.jsonl"]);
    export(&["--to", "markdown", "--out", "notes/of/mine"]);
    export(&["--to", "markdown", "--by-month", "--out", "months"]);
    assert_eq!(mode(&folder.join("lines.jsonl")), 0o600);
    for notes in ["notes/of/mine", "months"] {
        assert_eq!(mode(&folder.join(notes)), 0o700);
        let files = std::fs::read_dir(folder.join(notes)).unwrap();
        let modes: Vec<u32> = files.map(|file| mode(&file.unwrap().path())).collect();
        assert_eq!(modes, [0o600], "{notes}");
    }
}

/// Refused before anything is read: an empty folder is a place for notes, not for a file.
#[test]
fn what_is_there_is_not_overwritten() {
    let folder = Folder::new();
    venom(&folder, ["store", "one"]).run().success();
    std::fs::write(folder.join("file"), "mine").unwrap();
    std::fs::create_dir_all(folder.join("full/below")).unwrap();
    std::fs::create_dir(folder.join("empty")).unwrap();
    let lines = ["--to", "jsonl", "--out"].as_slice();
    let notes = ["--to", "markdown", "--out"].as_slice();
    for (words, name) in [
        (lines, "file"),
        (lines, "full"),
        (lines, "empty"),
        (notes, "file"),
        (notes, "full"),
    ] {
        let export = venom(&folder, ["export"]).args(words).args([name]);
        let failed = export.run().failure(2);
        let expected = format!("venom: {name} exists already: expected a name that is free");
        assert!(failed.starts_with(&expected), "{failed}");
    }
    assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"mine");
    let export = venom(&folder, ["export"]).args(notes).args(["empty"]);
    let said = export.run().success();
    assert_eq!(said, "Exported 1 memory to empty.\n");
}

#[test]
fn a_space_that_is_not_there_is_no_empty_export() {
    let folder = Folder::new();
    let export = |words: &[&str]| venom(&folder, ["export"]).args(words).run();
    // Before there is any memory nothing can be mistyped.
    assert_eq!(export(&[]).success(), "");
    venom(&folder, ["store", "one", "--space", "home"])
        .run()
        .success();
    let failed = export(&["--space", "hone", "--out", "hone.jsonl"]).failure(1);
    assert!(failed.contains("\"hone\""), "{failed}");
    assert!(!folder.join("hone.jsonl").exists());
    let all = export(&["--all-spaces"]).success();
    assert_eq!(all.lines().count(), 1, "{all}");
}

#[test]
fn what_was_hidden_since_is_told_when_it_comes_again() {
    let folder = Folder::new();
    let line =
        |n: u32| json!({"id": format!("mem_170000000000000{n}"), "content": format!("Fact {n}")});
    let lines: Vec<String> = (1..=4).map(|n| line(n).to_string()).collect();
    let lines = lines.join("\n");
    let path = folder.join("facts.jsonl");
    std::fs::write(&path, lines).unwrap();
    let first = import(&folder, &path, []);
    assert_eq!((counts(&first), &first["hidden"]), ([4, 0, 0], &0.into()));
    let said = |words: &[&str]| venom(&folder, []).args(words).run().success();
    said(&["forget", "mem_1700000000000001"]);
    said(&["erase", "mem_1700000000000002", "--yes"]);
    for words in [["--dry-run"].as_slice(), &[]] {
        let again = venom(&folder, ["import", "facts.jsonl"]).args(words);
        let text = again.run().success();
        let expected = "4 known already (2 of them hidden or erased here), 0 skipped";
        assert!(text.contains(expected), "{text}");
        let again = venom(&folder, ["import", "--json", "facts.jsonl"]).args(words);
        let again = serde_json::from_str(&again.run().success()).unwrap();
        assert_eq!((counts(&again), &again["hidden"]), ([0, 4, 0], &2.into()));
    }
}

/// A record that says what is kept already is known by its words, and by itself from then on.
#[test]
fn what_was_known_by_its_words_does_not_come_back() {
    let folder = Folder::new();
    let said = |words: &[&str]| venom(&folder, []).args(words).run().success();
    said(&["store", "The boat is blue."]);
    said(&["store", "Ana sails."]);
    let path = folder.join("facts.jsonl");
    let lines = "{\"content\": \"the boat is blue\"}\n{\"content\": \"Ana sails\"}\n";
    std::fs::write(&path, lines).unwrap();
    assert_eq!(counts(&import(&folder, &path, [])), [0, 2, 0]);
    for (id, text) in everything(&folder) {
        if text == "Ana sails." {
            said(&["erase", &id, "--yes"]);
        } else {
            said(&["forget", &id]);
        }
    }
    for words in [["--dry-run"].as_slice(), &[]] {
        let again = venom(&folder, ["import", "--json", "facts.jsonl"]).args(words);
        let again = serde_json::from_str(&again.run().success()).unwrap();
        assert_eq!((counts(&again), &again["hidden"]), ([0, 2, 0], &2.into()));
    }
    assert!(everything(&folder).is_empty());
}

/// Its file has another time whenever it is extracted, copied or touched, and that is the only time that a note may have.
#[test]
fn notes_without_a_date_stay_hidden_when_they_come_again() {
    let folder = Folder::new();
    let names = ["one", "two", "three"].map(|name| format!("{name}.md"));
    let archive = folder.join("notes.zip");
    let entries = names
        .each_ref()
        .map(|name| (name.as_str(), &b"A fact."[..]));
    std::fs::write(&archive, zipped(&entries)).unwrap();
    let notes = folder.join("notes");
    std::fs::create_dir(&notes).unwrap();
    let write_touched = |seconds: u64| {
        for name in &names {
            let mut file = File::create(notes.join(name)).unwrap();
            file.write_all(b"A fact.").unwrap();
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_modified(at).unwrap();
        }
    };
    assert_eq!(counts(&import(&folder, &archive, [])), [3, 0, 0]);
    for (id, text) in everything(&folder) {
        let words: &[&str] = match text.lines().next() {
            Some("one") => &["forget"],
            Some("two") => &["erase", "--yes"],
            _ => continue,
        };
        venom(&folder, []).args(words).args([id]).run().success();
    }
    write_touched(1_700_000_000);
    for path in [&archive, &notes] {
        let again = import(&folder, path, []);
        assert_eq!((counts(&again), &again["hidden"]), ([0, 3, 0], &2.into()));
    }
    write_touched(1_600_000_000);
    let dry = import(&folder, &notes, ["--dry-run"]);
    assert_eq!((counts(&dry), &dry["hidden"]), ([0, 3, 0], &2.into()));
    assert_eq!(counts(&import(&folder, &notes, [])), [0, 3, 0]);
}
