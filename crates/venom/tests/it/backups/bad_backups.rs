//! Backups that are damaged, of another kind, or made to do harm: one sentence each, and nothing comes of them.

use super::{back_up, path_of, restore};
use crate::venom;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use venom_testing::Folder;
use venom_testing::archive::zipped;

/// A persona in it.
const PERSONA: &str = "venom_personality_pirate.md";

/// A good backup, to be spoilt.
struct Backup {
    folder: Folder,
    path: PathBuf,
}

impl Backup {
    fn new() -> Self {
        let folder = Folder::new();
        venom(&folder, ["store", "The lamp is lit"]).run().success();
        std::fs::write(folder.join(PERSONA), "# Ahoy").unwrap();
        let path = path_of(&back_up(&folder, []));
        Self { folder, path }
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn manifest(&self) -> Value {
        let text = std::fs::read(self.join("manifest.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn set_manifest(&self, manifest: &Value) {
        std::fs::write(self.join("manifest.json"), manifest.to_string()).unwrap();
    }

    /// Has the manifest say of a file what is true of it.
    fn vouch(&self) {
        use sha2::{Digest as _, Sha256};
        let mut manifest = self.manifest();
        for file in manifest["files"].as_array_mut().unwrap() {
            let bytes = std::fs::read(self.join(file["name"].as_str().unwrap())).unwrap();
            let digest = Sha256::digest(&bytes);
            let hex = digest.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            file["bytes"] = json!(bytes.len());
            file["sha256"] = json!(hex);
        }
        self.set_manifest(&manifest);
    }

    fn change(&self, name: &str, sql: &str) {
        let opened = Connection::open(self.join(name)).unwrap();
        opened.execute_batch(sql).unwrap();
        drop(opened);
        self.vouch();
    }
}

/// What is refused is refused by a dry run as well, and the data folder is as it was.
#[track_caller]
fn check(spoil: impl FnOnce(&Backup), expected: &str) {
    let backup = Backup::new();
    spoil(&backup);
    check_refused(&backup.folder, &backup.path, expected);
}

#[track_caller]
fn check_refused(folder: &Folder, path: &Path, expected: &str) {
    let before = crate::everything(folder);
    for words in [&["--dry-run"][..], &["--replace"]] {
        for target in ["data", "other"] {
            let output = restore(folder, path, target).args(words).run();
            assert!(matches!(output.code, Some(1 | 2)), "{output:?}");
            let said = output.stderr;
            assert!(said.contains(expected), "{expected}: {said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    }
    assert_eq!(crate::everything(folder), before);
    let names = std::fs::read_dir(folder.join("data")).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        names.all(|name| !name.contains("restore")),
        "nothing half restored"
    );
    assert!(!folder.join("other/venom.db").exists());
    assert!(!folder.join("other/access.db").exists());
    for target in ["data", "other"] {
        assert!(!folder.join(target).join("personalities").exists());
    }
    let persona = std::fs::read_to_string(folder.join(PERSONA));
    assert!(persona.is_ok_and(|text| text == "# Ahoy"));
    assert!(!folder.join("escaped.md").exists());
}

#[test]
fn damaged_files_are_refused() {
    let write = |name: &'static str, bytes: &'static [u8]| {
        move |backup: &Backup| std::fs::write(backup.join(name), bytes).unwrap()
    };
    check(write("venom.db", b""), "bytes, found 0");
    check(
        write("venom.db", b"PK\x03\x04 an archive"),
        "bytes, found 15",
    );
    check(write("access.db", b""), "access.db cannot be restored");
    check(
        |backup| {
            let file = std::fs::File::options()
                .write(true)
                .open(backup.join("venom.db"));
            file.unwrap().set_len(100_000).unwrap();
        },
        "found 100000",
    );
    check(
        |backup| {
            let mut bytes = std::fs::read(backup.join("venom.db")).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(backup.join("venom.db"), bytes).unwrap();
        },
        "its SHA-256 differs from the manifest",
    );
    check(
        |backup| std::fs::remove_file(backup.join("venom.db")).unwrap(),
        "No such file",
    );
    check(write("manifest.json", b""), "manifest.json is not one");
    check(
        write("manifest.json", b"{\"format\": \"venom ba"),
        "manifest.json is not one",
    );
    let long = b"                ".repeat(6_000);
    check(
        |backup| std::fs::write(backup.join("manifest.json"), &long).unwrap(),
        "expected at most 65536 bytes",
    );
}

/// Whoever can change files can change hashes, too: what is in the files has to hold by itself.
#[test]
fn files_with_true_hashes_are_looked_into() {
    let vouched = |name: &'static str, bytes: &'static [u8]| {
        move |backup: &Backup| {
            std::fs::write(backup.join(name), bytes).unwrap();
            backup.vouch();
        }
    };
    check(vouched("venom.db", b""), "cut short");
    check(vouched("venom.db", &[b'x'; 9000]), "no SQLite database");
    check(
        vouched("access.db", b"SQLite format 3"),
        "access.db cannot be restored",
    );
    check(
        |backup| {
            std::fs::copy(backup.join("access.db"), backup.join("venom.db")).unwrap();
            backup.vouch();
        },
        "belongs to another program",
    );
    check(
        |backup| {
            std::fs::copy(backup.join("venom.db"), backup.join("access.db")).unwrap();
            backup.vouch();
        },
        "belongs to another program",
    );
    let newer = "PRAGMA user_version = 99";
    check(
        |backup| backup.change("venom.db", newer),
        "schema version 99",
    );
    check(|backup| backup.change("access.db", newer), "version 99");
    let trigger = "CREATE TRIGGER t AFTER INSERT ON memories BEGIN DELETE FROM memories; END";
    check(|backup| backup.change("venom.db", trigger), "found \"t\"");
    let trigger = "CREATE TRIGGER t AFTER INSERT ON tokens BEGIN DELETE FROM tokens; END";
    check(
        |backup| backup.change("access.db", trigger),
        "not those of an access file",
    );
    check(
        |backup| backup.change("venom.db", "UPDATE spaces SET memories = 7"),
        "it is not the one of its manifest",
    );
    check(
        |backup| {
            let path = backup.join("venom.db");
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..].fill(0xff);
            std::fs::write(&path, bytes).unwrap();
            backup.vouch();
        },
        "it is damaged",
    );
}

/// Archives of personas whose hashes are true. Their reader has its own tests and inputs; this is the way to it.
#[test]
fn archives_of_personas_lead_nowhere() {
    let holding = |entries: &'static [(&'static str, &'static str)]| {
        move |backup: &Backup| {
            let entries: Vec<_> = entries
                .iter()
                .map(|(name, text)| (*name, text.as_bytes()))
                .collect();
            std::fs::write(backup.join("personas.zip"), zipped(&entries)).unwrap();
            backup.vouch();
        }
    };
    let good = (PERSONA, "# Mine");
    for (name, shown) in [
        ("../escaped.md", "found \"../escaped.md\""),
        (
            "../../venom_personality.md",
            "found \"../../venom_personality.md\"",
        ),
        (
            "/etc/venom_personality.md",
            "found \"/etc/venom_personality.md\"",
        ),
        (
            "venom_personality_a/../../escaped.md",
            "expected names such as venom_personality_NAME.md",
        ),
        (".env", "found \".env\""),
    ] {
        let entries: &'static [_] = Vec::from([good, (name, "# Theirs")]).leak();
        check(holding(entries), shown);
    }
    check(holding(&[(PERSONA, "  ")]), "is no persona: it is empty");
    check(
        |backup| {
            std::fs::write(backup.join("personas.zip"), b"PK\x03\x04").unwrap();
            backup.vouch();
        },
        "personas.zip cannot be restored: it cannot be read as a zip archive",
    );
    check(
        |backup| {
            let file = std::fs::File::create(backup.join("personas.zip")).unwrap();
            file.set_len(100_000_000).unwrap();
            backup.vouch();
        },
        "bytes, found 100000000",
    );
    let spoilt = |backup: &Backup| {
        let mut bytes = std::fs::read(backup.join("personas.zip")).unwrap();
        bytes[60] ^= 1;
        std::fs::write(backup.join("personas.zip"), bytes).unwrap();
    };
    check(spoilt, "its SHA-256 differs from the manifest");
    check(
        |backup| {
            spoilt(backup);
            backup.vouch();
        },
        "cannot be read as a zip archive",
    );
    check(
        |backup| {
            let elsewhere = backup.folder.join("elsewhere");
            std::fs::rename(backup.join("personas.zip"), &elsewhere).unwrap();
            symlink(&elsewhere, backup.join("personas.zip")).unwrap();
        },
        "expected a plain file, found a link",
    );
    check(
        |backup| std::fs::remove_file(backup.join("personas.zip")).unwrap(),
        "No such file",
    );
}

#[test]
fn links_and_names_lead_nowhere() {
    let replaced_by_link = |name: &'static str| {
        move |backup: &Backup| {
            let elsewhere = backup.folder.join("elsewhere");
            std::fs::rename(backup.join(name), &elsewhere).unwrap();
            symlink(&elsewhere, backup.join(name)).unwrap();
        }
    };
    check(
        replaced_by_link("venom.db"),
        "expected a plain file, found a link",
    );
    check(
        replaced_by_link("access.db"),
        "expected a plain file, found a link",
    );
    check(
        replaced_by_link("manifest.json"),
        "expected a plain file, found a link",
    );
    check(
        |backup| {
            std::fs::remove_file(backup.join("venom.db")).unwrap();
            let pipe = std::process::Command::new("mkfifo")
                .arg(backup.join("venom.db"))
                .status();
            assert!(pipe.unwrap().success());
        },
        "expected a plain file, found something else",
    );
    check(
        |backup| {
            std::fs::remove_file(backup.join("venom.db")).unwrap();
            std::fs::create_dir(backup.join("venom.db")).unwrap();
        },
        "expected a plain file, found something else",
    );
    let named = |name: &'static str| {
        move |backup: &Backup| {
            let mut manifest = backup.manifest();
            manifest["files"][0]["name"] = json!(name);
            backup.set_manifest(&manifest);
        }
    };
    check(
        named("../../data/venom.db"),
        "found \"../../data/venom.db\"",
    );
    check(named("/etc/passwd"), "found \"/etc/passwd\"");
    check(named("venom.db\0"), "expected files named");
    check(named("access.db"), "names a copy of access.db twice");
    check(named("venom.lock"), "found \"venom.lock\"");
    check(
        |backup| {
            let mut manifest = backup.manifest();
            manifest["files"] = json!([]);
            backup.set_manifest(&manifest);
        },
        "names no copy of venom.db",
    );
    check(
        |backup| {
            let mut manifest = backup.manifest();
            manifest["files"][0]["bytes"] = json!(u64::MAX);
            backup.set_manifest(&manifest);
        },
        "expected 18446744073709551615 bytes",
    );
    check(
        |backup| {
            let mut manifest = backup.manifest();
            manifest["version"] = json!(2);
            backup.set_manifest(&manifest);
        },
        "a newer Venom may know it",
    );
}

#[test]
fn what_is_no_backup_at_all() {
    let backup = Backup::new();
    let folder = &backup.folder;
    std::fs::write(folder.join("file"), "x").unwrap();
    check_refused(
        folder,
        &folder.join("file"),
        "is a file: expected the folder of a backup",
    );
    check_refused(
        folder,
        &folder.join("nowhere"),
        "cannot be read: No such file",
    );
    std::fs::create_dir(folder.join("empty")).unwrap();
    check_refused(
        folder,
        &folder.join("empty"),
        "holds no backup: expected a folder with manifest.json",
    );
    // One that is not whole is never taken for a backup, whatever is in it.
    let name = backup.path.file_name().unwrap().to_str().unwrap();
    let partial = backup.path.with_file_name(format!(".{name}.partial"));
    std::fs::rename(&backup.path, &partial).unwrap();
    check_refused(folder, &folder.join("backups"), "holds no backup");
}

#[test]
fn a_path_that_cannot_be_meant_is_refused() {
    let folder = Folder::new();
    venom(&folder, ["store", "one"]).run().success();
    std::fs::write(folder.join("file"), "x").unwrap();
    for (words, expected) in [
        (&["backup", ""][..], "folder is empty: expected a path"),
        (
            &["backup", "file"],
            "file is a file: expected a folder for backups",
        ),
        (&["restore", ""], "backup is empty: expected a path"),
        (
            &["restore", "file", "--to", ""],
            "to is empty: expected a path",
        ),
        (&["export", "--out", ""], "out is empty: expected a path"),
    ] {
        let said = venom(&folder, []).args(words).run().failure(2);
        assert_eq!(said.trim(), format!("venom: {expected}"));
    }
    assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"x");
}

#[test]
fn the_newest_backup_is_meant_or_none() {
    let backup = Backup::new();
    let folder = &backup.folder;
    let shelf = folder.join("backups");
    let newer = shelf.join("venom-99990101T000000Z");
    std::fs::create_dir(&newer).unwrap();
    let older = format!("name it: {}", backup.path.display());
    check_refused(folder, &shelf, &older);
    check_refused(folder, &shelf, "venom-99990101T000000Z cannot be restored");
    // A link to one is none.
    std::fs::remove_dir(&newer).unwrap();
    symlink(&backup.path, &newer).unwrap();
    check_refused(folder, &shelf, "it is a link or a file: expected a folder");
    std::fs::remove_file(&newer).unwrap();
    std::fs::create_dir(&newer).unwrap();
    // An older ruin is passed over with a word.
    let past = shelf.join("venom-20000101T000000Z");
    std::fs::rename(&newer, &past).unwrap();
    let output = restore(folder, &shelf, "other").args(["--dry-run"]).run();
    assert!(output.stderr.contains("passed over"), "{}", output.stderr);
    output.success();
    // Alone it is no backup, and the reason is told.
    std::fs::remove_dir_all(&backup.path).unwrap();
    check_refused(folder, &shelf, "its manifest.json is not one");
}

#[test]
fn encrypted_files_that_were_changed_do_not_open() {
    let folder = Folder::new();
    venom(&folder, ["store", "The lamp is lit"]).run().success();
    let made = venom(&folder, ["backup", "backups", "--encrypt", "--json"]);
    let made = made.run_with(super::PASSPHRASE.as_bytes()).success();
    let path = path_of(&serde_json::from_str(&made).unwrap());
    let backup = Backup { folder, path };
    let whole = std::fs::read(backup.join("venom.db.age")).unwrap();
    let mut changed = whole.clone();
    let place = changed.len() - 40_000;
    changed[place] ^= 1;
    let garbage = vec![b'x'; 5000];
    for (bytes, expected) in [
        (&whole[..whole.len() - 70_000], "cannot be restored"),
        (&changed, "cannot be restored"),
        (&garbage, "expected a file in the age format"),
        (&whole[..100], "cannot be restored"),
        (&garbage[..0], "expected a file in the age format"),
    ] {
        std::fs::write(backup.join("venom.db.age"), bytes).unwrap();
        backup.vouch();
        for words in [&["--dry-run"][..], &[]] {
            let refused = restore(&backup.folder, &backup.path, "other").args(words);
            let refused = refused.run_with(super::PASSPHRASE.as_bytes()).failure(2);
            assert!(refused.contains(expected), "{refused}");
            assert_eq!(refused.trim().lines().count(), 1, "{refused}");
            assert!(!backup.folder.join("other/venom.db").exists());
            assert!(!backup.folder.join("other/restore.partial").exists());
        }
    }
}
