//! Backups by the real binary, and the way back.

mod bad_backups;
mod kills;
mod personas;
mod scheduled;

use crate::{everything, serve, store, venom};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use venom_testing::{Command, Folder, HttpClient};

/// A passphrase that no file or log may hold.
const PASSPHRASE: &str = "correct horse battery staple";

/// Makes a backup in `folder/backups`; what is said, as JSON.
#[track_caller]
fn back_up<const WORDS: usize>(folder: &Folder, words: [&str; WORDS]) -> Value {
    let command = venom(folder, ["backup", "backups", "--json"]).args(words);
    serde_json::from_str(&command.run().success()).expect("JSON")
}

/// The folder of a backup that was made.
fn path_of(made: &Value) -> PathBuf {
    PathBuf::from(made["backup"].as_str().expect("a path"))
}

/// A restore to `folder/NAME`.
fn restore(folder: &Folder, backup: &Path, name: &str) -> Command {
    venom(folder, ["restore"])
        .args([backup])
        .args(["--to", name])
}

/// Every memory in another data folder.
#[track_caller]
fn everything_in(folder: &Folder, name: &str) -> BTreeMap<String, String> {
    let listed =
        venom(folder, ["list", "-n", "1000", "--json"]).env("VENOM_DATA", folder.join(name));
    let listed: Value = serde_json::from_str(&listed.run().success()).expect("JSON");
    let text = |memory: &Value, key: &str| memory[key].as_str().expect("a text").to_owned();
    let memories = listed["memories"].as_array().expect("a list").iter();
    memories
        .map(|memory| (text(memory, "memory_id"), text(memory, "content")))
        .collect()
}

/// Names of tokens in a data folder.
fn tokens(folder: &Folder, name: &str) -> String {
    let listed = venom(folder, ["token", "list"]).env("VENOM_DATA", folder.join(name));
    listed.run().success()
}

#[test]
fn a_backup_of_a_running_server_is_restored_elsewhere() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut door = HttpClient::open(server.port).unwrap();
    for number in 0..20 {
        store(&mut door, &format!("The ferry leaves pier {number}"));
    }
    let created = venom(&folder, ["token", "create", "--name", "laptop"]);
    created.run().success();
    let said = venom(&folder, ["backup", "backups"]).run().success();
    assert!(said.starts_with("Backed up 20 memories to /"), "{said}");
    assert!(
        said.contains("venom.db") && said.contains("access.db"),
        "{said}"
    );
    assert!(said.ends_with("MB, verified.\n"), "{said}");
    let before = everything(&folder);
    store(&mut door, "Stored after the backup");

    let dry = restore(&folder, &folder.join("backups"), "other").args(["--dry-run"]);
    let dry = dry.run().success();
    assert!(dry.contains("20 memories in 1 space"), "{dry}");
    assert!(dry.contains("other holds no memories now"), "{dry}");
    assert!(dry.ends_with("Nothing was changed.\n"), "{dry}");
    assert!(!folder.join("other").exists());

    let said = restore(&folder, &folder.join("backups"), "other")
        .run()
        .success();
    assert!(said.starts_with("Restored 20 memories to other"), "{said}");
    assert_eq!(everything_in(&folder, "other"), before);
    assert!(tokens(&folder, "other").contains("laptop"));
    let audit = venom(&folder, ["audit"]).env("VENOM_DATA", folder.join("other"));
    assert!(audit.run().success().contains("backup restored"));
    let audit = venom(&folder, ["audit"]).run().success();
    assert!(audit.contains("backup made"), "{audit}");
    let doctor = venom(&folder, ["doctor"]).env("VENOM_DATA", folder.join("other"));
    doctor.run().success();
    assert_eq!(everything(&folder).len(), 21, "the original goes on");
    for server in [Some(server), None] {
        let doctor = venom(&folder, ["doctor"]).run().success();
        assert!(doctor.contains("the last was made at"), "{doctor}");
        drop(server);
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = Folder::new();
    venom(&folder, ["store", "in the backup"]).run().success();
    let backup = path_of(&back_up(&folder, []));
    venom(&folder, ["store", "stored later"]).run().success();
    venom(&folder, ["token", "create", "--name", "later"])
        .run()
        .success();
    let refused = restore(&folder, &backup, "data").run().failure(2);
    assert!(
        refused
            .contains("holds venom.db and access.db already: expected an empty one, or --replace"),
        "{refused}"
    );
    assert_eq!(everything(&folder).len(), 2);

    let memories_only = restore(&folder, &backup, "data").args(["--replace", "--memories-only"]);
    let said = memories_only.run().success();
    assert!(said.contains("stay as they are"), "{said}");
    assert_eq!(everything(&folder).len(), 1);
    assert!(tokens(&folder, "data").contains("later"));

    let both = restore(&folder, &backup, "data").args(["--replace", "--json"]);
    let said: Value = serde_json::from_str(&both.run().success()).unwrap();
    assert_eq!(said["memories"], 1);
    assert!(!tokens(&folder, "data").contains("later"));
    // What was moved aside is a data folder: the one with both memories, and the one with the token.
    let aside = Path::new(said["before"].as_str().unwrap());
    assert!(tokens(&folder, aside.to_str().unwrap()).contains("later"));
    let entries = std::fs::read_dir(folder.join("data")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut asides: Vec<String> = names
        .filter(|name| name.starts_with("before-restore-"))
        .collect();
    asides.sort();
    assert_eq!(asides.len(), 2, "{asides:?}");
    assert_eq!(
        everything_in(&folder, &format!("data/{}", asides[0])).len(),
        2
    );
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut door = HttpClient::open(server.port).unwrap();
    store(&mut door, "The well is deep");
    let backup = path_of(&back_up(&folder, []));
    let refused = restore(&folder, &backup, "data").args(["--replace"]);
    let refused = refused.run().failure(69);
    let holder = format!("is in use by process {}", server.process.id());
    assert!(refused.contains(&holder), "{refused}");
    assert!(refused.contains("stop it before you restore"), "{refused}");
    let dry = restore(&folder, &backup, "data").args(["--dry-run"]);
    let dry = dry.run().success();
    assert!(
        dry.contains("data holds 1 memory now and is in use by process"),
        "{dry}"
    );
    assert_eq!(everything(&folder).len(), 1);
    assert!(!folder.join("data/restore.partial").exists());
}

#[test]
fn an_encrypted_backup_opens_with_its_passphrase_alone() {
    let folder = Folder::new();
    let file = folder.join("passphrase");
    std::fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    let with_file = |words: &[&str]| {
        venom(&folder, [])
            .args(words)
            .env("VENOM_BACKUP_PASSPHRASE_FILE", &file)
            .env("VENOM_LOG", "trace")
    };
    let secret = "The treasure lies below the walnut tree";
    venom(&folder, ["store", secret]).run().success();
    let output = with_file(&["backup", "backups", "--json"]).run();
    assert!(!output.stderr.contains("horse"), "{}", output.stderr);
    let made: Value = serde_json::from_str(&output.success()).unwrap();
    assert_eq!(made["encrypted"], true);
    let backup = path_of(&made);
    for name in ["venom.db.age", "access.db.age", "manifest.json"] {
        let bytes = std::fs::read(backup.join(name)).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"treasure"), "{name}");
    }
    assert_eq!(std::fs::read_dir(&backup).unwrap().count(), 3);
    assert!(!folder.join("data/backup.partial").exists());

    // Another program's reader of the format.
    let python = crate::scripts::python("tests/backup/requirements-pyrage.txt");
    let mut read = std::process::Command::new(python);
    let read = read
        .arg(crate::scripts::repository("tests/backup/open_age.py"))
        .args([&backup.join("venom.db.age"), &file]);
    assert_eq!(crate::scripts::run(read).trim(), "ok 1");

    let words = |words: &[&'static str]| {
        let fixed = ["restore", "backups", "--to", "other"];
        [&fixed[..], words].concat()
    };
    with_file(&words(&["--dry-run"])).run().success();
    let asked = venom(&folder, []).args(words(&[]));
    let wrong = asked.run_with(b"wrong horse battery\n").failure(2);
    assert!(
        wrong.contains("expected the passphrase that it was encrypted with"),
        "{wrong}"
    );
    assert_eq!(wrong.lines().count(), 1, "{wrong}");
    let none = venom(&folder, []).args(words(&[])).run().failure(2);
    assert!(none.contains("the passphrase is missing"), "{none}");
    let other = std::fs::read_dir(folder.join("other")).unwrap();
    let names: Vec<_> = other.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["venom.lock"], "nothing came of it");
    let asked = venom(&folder, []).args(words(&[]));
    asked
        .run_with(format!("{PASSPHRASE}\n").as_bytes())
        .success();
    let restored = everything_in(&folder, "other");
    assert_eq!(restored.into_values().collect::<Vec<_>>(), [secret]);

    // Nobody is asked where there is a file.
    let flagged = with_file(&["backup", "flagged", "--encrypt"]);
    flagged.run_with(b"another horse battery\n").success();
    with_file(&[
        "restore",
        "flagged",
        "--to",
        "other",
        "--replace",
        "--dry-run",
    ])
    .run()
    .success();

    let asked = venom(&folder, ["backup", "more", "--encrypt"]);
    asked.run_with(PASSPHRASE.as_bytes()).success();
    let short = venom(&folder, ["backup", "more", "--encrypt"]).run_with(b"short\n");
    assert!(short.failure(2).contains("expected 12 characters"));
}

#[test]
fn those_that_are_not_to_stay_are_removed_and_nothing_else() {
    let folder = Folder::new();
    venom(&folder, ["store", "one"]).run().success();
    let first = path_of(&back_up(&folder, []));
    let foreign = folder.join("backups/photos");
    std::fs::create_dir(&foreign).unwrap();
    let broken = folder.join("backups/venom-20200101T000000Z");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("manifest.json"), "{}").unwrap();
    let partial = folder.join("backups/.venom-20200101T000000Z.partial");
    std::fs::create_dir(&partial).unwrap();
    let second = path_of(&back_up(&folder, []));
    assert!(!partial.exists(), "left by a run that was killed");
    // As if it had been made long ago.
    let manifest = first.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let year = text.find("\"made_at\": \"").unwrap() + 12;
    std::fs::write(
        &manifest,
        format!("{}2020{}", &text[..year], &text[year + 4..]),
    )
    .unwrap();
    let third = back_up(&folder, ["--keep-days", "30"]);
    assert_eq!(third["removed"], serde_json::json!([first]));
    let fourth = back_up(&folder, ["--keep", "2"]);
    assert_eq!(fourth["removed"], serde_json::json!([second]));
    // A name that is free again may be that of a later one.
    let entries = std::fs::read_dir(folder.join("backups")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let there: BTreeSet<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    let expected = [foreign, broken, path_of(&third), path_of(&fourth)];
    assert_eq!(there, BTreeSet::from(expected));
    let with_more = path_of(&third);
    std::fs::write(with_more.join("notes.txt"), "mine").unwrap();
    let output = venom(&folder, ["backup", "backups", "--keep", "1"]).run();
    assert!(
        output.stderr.contains("it holds notes.txt as well"),
        "{}",
        output.stderr
    );
    assert!(
        output
            .stderr
            .contains("venom-20200101T000000Z is no backup"),
        "{}",
        output.stderr
    );
    output.success();
    assert!(with_more.exists());
    for bad in ["0", "-1", "many"] {
        let keep = format!("--keep={bad}");
        let refused = venom(&folder, ["backup", "backups", &keep])
            .run()
            .failure(2);
        assert!(refused.contains("expected a number from 1"), "{refused}");
    }
}

#[test]
fn what_cannot_be_backed_up_is_told_in_a_sentence() {
    let folder = Folder::new();
    let none = venom(&folder, ["backup", "backups"]).run().failure(69);
    assert!(
        none.contains("holds no memories: expected the data folder"),
        "{none}"
    );
    assert!(!folder.join("data").exists() && !folder.join("backups").exists());
    venom(&folder, ["store", "one"]).run().success();
    let nowhere = venom(&folder, ["backup"]).run().failure(2);
    assert!(
        nowhere.contains("expected venom backup FOLDER, or VENOM_BACKUP_DIR"),
        "{nowhere}"
    );
    std::fs::write(folder.join("file"), "").unwrap();
    let refused = venom(&folder, ["backup", "file/below"]).run().failure(69);
    assert!(
        refused.contains("file/below cannot be written"),
        "{refused}"
    );
    back_up(&folder, []);
    for (lock, of) in [
        ("backups/.venom-backup.lock", "in this folder"),
        ("data/backup.lock", "of this data folder"),
    ] {
        let held = File::options().write(true).open(folder.join(lock)).unwrap();
        held.lock().unwrap();
        let busy = venom(&folder, ["backup", "backups"]).run().failure(75);
        assert!(busy.contains(&format!("makes a backup {of} now")), "{busy}");
    }
    let inside = venom(&folder, ["backup", "data/backups"]).run();
    assert!(
        inside.stderr.contains("lies in the data folder"),
        "{}",
        inside.stderr
    );
    inside.success();
}

/// Wherever a memory may still lie that Venom knows of, erasing it says so; what a killed backup left is removed.
#[test]
fn erasing_names_every_copy_that_is_known() {
    let folder = Folder::new();
    let erased = |id: &str, data: &str| {
        let command = venom(&folder, ["erase", id, "--yes"]).env("VENOM_DATA", folder.join(data));
        command.run().success()
    };
    let id = {
        let stored = venom(&folder, ["store", "The harbour is closed", "--json"]);
        let stored: Value = serde_json::from_str(&stored.run().success()).expect("JSON");
        stored["memory_id"].as_str().expect("an id").to_owned()
    };
    let first = path_of(&back_up(&folder, []));
    let second = path_of(&back_up(&folder, []));
    for backup in [&first, &second] {
        restore(&folder, backup, "other")
            .args(["--replace"])
            .run()
            .success();
    }
    let left = folder.join("other/backup.partial");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("venom.db"), "a copy of the memories").unwrap();
    let said = erased(&id, "other");
    let names = |path: &Path| said.contains(&path.display().to_string());
    assert!(names(&first) && names(&second), "{said}");
    assert!(said.contains("other/before-restore-"), "{said}");
    assert!(!left.exists() && !said.contains("backup.partial"), "{said}");
    // One that is gone is not named; the doctor says that it is.
    std::fs::remove_dir_all(folder.join("backups")).unwrap();
    let doctor = venom(&folder, ["doctor"]).run().success();
    assert!(doctor.contains("none is where it was made"), "{doctor}");
    assert!(!erased(&id, "data").contains("may still hold"));
}
