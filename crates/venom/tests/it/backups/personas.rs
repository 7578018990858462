//! Personas in backups by the real binary: kept byte for byte, restored beside what is there, never over it.

use super::{PASSPHRASE, back_up, path_of};
use crate::{serve, venom};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use venom_testing::{Command, Folder};

const PIRATE: &str = "venom_personality_pirate.md";
const WORK: &str = "venom_personality_work.md";
const DEFAULT: &str = "venom_personality.md";

/// A memory and three personas: of a folder that is named, of the usual one, and of the working folder.
fn prepared() -> Folder {
    let folder = Folder::new();
    venom(&folder, ["store", "The lamp is lit"]).run().success();
    put(&folder, "mine", PIRATE, "\u{feff}# Ahoy\r\n\r\nÄ\n");
    put(
        &folder,
        "personalities",
        WORK,
        "# At work, without an end of line",
    );
    put(&folder, "personalities", PIRATE, "# Hidden by the first");
    put(&folder, "", DEFAULT, "# Myself\n");
    folder
}

fn put(folder: &Folder, place: &str, file: &str, text: &str) {
    std::fs::create_dir_all(folder.join(place)).unwrap();
    std::fs::write(folder.join(place).join(file), text).unwrap();
}

/// The program with a persona folder of its own.
fn with_personas(folder: &Folder, words: &[&str]) -> Command {
    venom(folder, [])
        .args(words)
        .env("PERSONALITY_DIR", folder.join("mine"))
}

/// The same elsewhere, as after a disk was lost: another data folder, another working folder, no personas.
fn elsewhere(folder: &Folder, words: &[&str]) -> Command {
    let other = folder.join("other");
    std::fs::create_dir_all(&other).unwrap();
    let backups = folder.join("backups");
    Command::new(crate::BINARY, &other)
        .args(["restore".as_ref(), backups.as_os_str()])
        .args(words)
        .env("PERSONALITY_DIR", other.join("personas"))
}

#[track_caller]
fn json_of(command: Command) -> Value {
    let said = command.args(["--json"]).run().success();
    serde_json::from_str(&said).expect("JSON")
}

/// Every file in a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    };
    entries.map(|entry| file(entry.unwrap())).collect()
}

fn texts<const FILES: usize>(files: [(&str, &str); FILES]) -> BTreeMap<String, Vec<u8>> {
    let pair = |(name, text): (&str, &str)| (name.to_owned(), text.as_bytes().to_vec());
    files.into_iter().map(pair).collect()
}

/// What [`prepared`] has, as it is served.
fn all() -> BTreeMap<String, Vec<u8>> {
    texts([
        (DEFAULT, "# Myself\n"),
        (PIRATE, "\u{feff}# Ahoy\r\n\r\nÄ\n"),
        (WORK, "# At work, without an end of line"),
    ])
}

#[test]
fn personas_come_back_byte_for_byte() {
    let folder = prepared();
    let made = json_of(with_personas(&folder, &["backup", "backups"]));
    assert_eq!((&made["personas"], &made["files"]), (&json!(3), &json!(3)));
    let backup = path_of(&made);
    let manifest = std::fs::read_to_string(backup.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"personas.zip\""), "{manifest}");
    // What makes no difference makes none to the archive: neither when it is made nor when files were written.
    let again = json_of(with_personas(&folder, &["backup", "backups"]));
    let archive = |made: &Value| std::fs::read(path_of(made).join("personas.zip")).unwrap();
    assert_eq!(archive(&made), archive(&again));
    // Another program opens it.
    let listed = std::process::Command::new("python3")
        .args(["-m", "zipfile", "--test"])
        .arg(backup.join("personas.zip"))
        .output();
    assert!(listed.unwrap().status.success());

    let dry = elsewhere(&folder, &["--dry-run"]).run().success();
    let target = folder.join("other/personas");
    let expected = format!("3 personas for {}: 3 new.\n", target.display());
    assert!(dry.contains(&expected), "{dry}");
    assert!(!target.exists());
    let said = elsewhere(&folder, &[]).run().success();
    assert!(said.contains(&expected), "{said}");
    assert_eq!(files(&target), all());
    let shown = Command::new(crate::BINARY, &folder.join("other"))
        .args(["persona", "show", "pirate"])
        .env("PERSONALITY_DIR", &target);
    assert!(shown.run().success().contains("# Ahoy"));
    // There again, they count as there.
    let again = json_of(elsewhere(&folder, &["--replace"]));
    assert_eq!(again["personas"], 3);
    assert_eq!(again["personas_unchanged"], json!([DEFAULT, PIRATE, WORK]));
    assert_eq!(files(&target), all());
}

#[test]
fn an_encrypted_backup_has_its_personas_encrypted() {
    let folder = prepared();
    let made = with_personas(&folder, &["backup", "backups", "--encrypt", "--json"]);
    let made = made.run_with(PASSPHRASE.as_bytes()).success();
    let backup = path_of(&serde_json::from_str(&made).unwrap());
    let bytes = std::fs::read(backup.join("personas.zip.age")).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    for word in ["Ahoy", "pirate"] {
        assert!(
            !bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        );
    }
    assert!(!backup.join("personas.zip").exists());
    assert!(!folder.join("data/backup.partial").exists());
    for words in [&["--dry-run"][..], &[]] {
        let wrong = elsewhere(&folder, words)
            .run_with(b"another passphrase\n")
            .failure(2);
        assert!(wrong.contains("received another"), "{wrong}");
        assert!(!folder.join("other/personas").exists());
    }
    let asked = elsewhere(&folder, &[]).run_with(PASSPHRASE.as_bytes());
    asked.success();
    assert_eq!(files(&folder.join("other/personas")), all());
    // The way that is told where they cannot be written.
    let blocked = folder.join("blocked");
    std::fs::write(&blocked, "no folder").unwrap();
    let asked = elsewhere(&folder, &["--personas-only"]).env("PERSONALITY_DIR", &blocked);
    let told = asked.run_with(PASSPHRASE.as_bytes()).failure(69);
    assert!(
        told.contains("`age --decrypt --output personas.zip /"),
        "{told}"
    );
}

#[test]
fn without_personas_of_ones_own_there_is_no_archive() {
    let folder = Folder::new();
    venom(&folder, ["store", "one"]).run().success();
    // What is built in, word for word, is not one's own.
    let built_in = crate::scripts::repository("personalities");
    for entry in std::fs::read_dir(built_in).unwrap() {
        let text = std::fs::read_to_string(entry.as_ref().unwrap().path()).unwrap();
        let name = entry.unwrap().file_name().into_string().unwrap();
        put(&folder, "personalities", &name, &text);
    }
    let made = back_up(&folder, []);
    assert_eq!(made["personas"], 0);
    assert!(!path_of(&made).join("personas.zip").exists());
    let said = json_of(elsewhere(&folder, &[]));
    assert_eq!(said["personas"], 0);
    let none = elsewhere(&folder, &["--personas-only"]).run().failure(2);
    assert!(
        none.contains("expected personas in it, found no personas.zip"),
        "{none}"
    );
}

#[test]
fn a_persona_that_cannot_be_read_stops_no_backup() {
    let folder = prepared();
    put(&folder, "mine", WORK, "  \n");
    put(
        &folder,
        "mine",
        "venom_personality_long.md",
        &"x".repeat(1024 * 1024 + 1),
    );
    std::fs::create_dir(folder.join("mine/venom_personality_folder.md")).unwrap();
    let output = with_personas(&folder, &["backup", "backups"]).run();
    assert_eq!(output.stderr.trim().lines().count(), 1, "{}", output.stderr);
    for part in [
        "not all personas are in the backup: persona file /",
        "folder.md cannot be read: it is no plain file",
        "long.md cannot be read: it is longer than 1048576 bytes",
        "work.md cannot be read: it is empty",
    ] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    assert!(
        output
            .success()
            .starts_with("Backed up 1 memory and 2 personas to /")
    );
    // Such as a volume that is not mounted: the others are kept, and it is told.
    let output = venom(&folder, ["backup", "backups", "--persona-dir", "gone"]).run();
    let told = "no personas of gone are in the backup, since it does not exist: expected a folder";
    assert!(output.stderr.contains(told), "{}", output.stderr);
    let said = output.success();
    assert!(
        said.starts_with("Backed up 1 memory and 3 personas to /"),
        "{said}"
    );
}

#[test]
fn what_differs_stays_unless_it_may_be_moved_aside() {
    let folder = prepared();
    with_personas(&folder, &["backup", "backups"])
        .run()
        .success();
    let target = folder.join("other/personas");
    put(&folder, "other/personas", PIRATE, "# Edited since");
    put(
        &folder,
        "other/personas",
        WORK,
        "# At work, without an end of line",
    );
    put(
        &folder,
        "other/personas",
        "venom_personality_more.md",
        "# Not in the backup",
    );
    let said = json_of(elsewhere(&folder, &[]));
    assert_eq!(said["personas_written"], json!([DEFAULT]));
    assert_eq!(said["personas_unchanged"], json!([WORK]));
    assert_eq!(said["personas_left_alone"], json!([PIRATE]));
    assert_eq!(said["before"], Value::Null);
    let mut expected = all();
    expected.extend(texts([
        (PIRATE, "# Edited since"),
        ("venom_personality_more.md", "# Not in the backup"),
    ]));
    assert_eq!(files(&target), expected);

    let dry = elsewhere(&folder, &["--replace", "--dry-run"])
        .run()
        .success();
    assert!(dry.contains("3 personas for /") && dry.contains(": 2 there already, 1 replaced.\n"));
    assert!(
        dry.contains("venom_personality_pirate.md would be moved to"),
        "{dry}"
    );
    assert_eq!(files(&target), expected);
    // Alone, beside a server that uses the data folder and goes on.
    let server = serve_other(&folder);
    let alone = json_of(elsewhere(&folder, &["--replace", "--personas-only"]));
    drop(server);
    assert_eq!(alone["personas_replaced"], json!([PIRATE]));
    assert_eq!(alone["memories"], 0);
    let aside = Path::new(alone["before"].as_str().unwrap());
    assert!(
        aside
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("before-restore-")
    );
    let old = files(&aside.join("personalities"));
    assert_eq!(old, texts([(PIRATE, "# Edited since")]));
    expected.extend(all());
    assert_eq!(files(&target), expected);
    // What holds no memories is no copy of one.
    let store = venom(&folder, ["store", "To be erased"]);
    let stored = json_of(store.env("VENOM_DATA", folder.join("other/data")));
    let words = ["erase", stored["memory_id"].as_str().unwrap(), "--yes"];
    let erased = venom(&folder, words).env("VENOM_DATA", folder.join("other/data"));
    let said = erased.run().success();
    assert!(!said.contains("before-restore-"), "{said}");

    // With the memories, in one folder with theirs.
    put(&folder, "other/personas", PIRATE, "# Edited again");
    let both = json_of(elsewhere(&folder, &["--replace"]));
    let aside = Path::new(both["before"].as_str().unwrap());
    assert!(aside.join("venom.db").exists());
    let old = files(&aside.join("personalities"));
    assert_eq!(old, texts([(PIRATE, "# Edited again")]));
    // Memories alone leave personas as they are.
    put(&folder, "other/personas", PIRATE, "# Edited once more");
    let memories = json_of(elsewhere(&folder, &["--replace", "--memories-only"]));
    assert_eq!(memories["personas"], 0);
    expected.extend(texts([(PIRATE, "# Edited once more")]));
    assert_eq!(files(&target), expected);
}

/// A server with the data folder that [`elsewhere`] restores to.
fn serve_other(folder: &Folder) -> venom_testing::Server {
    let command = venom(folder, []).env("VENOM_DATA", folder.join("other/data"));
    venom_testing::Server::start_with(command, folder.path(), venom_testing::process::free_port())
}

/// As on a mount that cannot be written to: the memories are there, and what is not is told with a way to have it.
#[test]
fn a_folder_that_cannot_be_written_to_undoes_nothing() {
    let folder = prepared();
    with_personas(&folder, &["backup", "backups"])
        .run()
        .success();
    std::fs::create_dir(folder.join("other")).unwrap();
    std::fs::write(
        folder.join("other/personas"),
        "a file where the folder should be",
    )
    .unwrap();
    let dry = elsewhere(&folder, &["--dry-run"]).run();
    assert!(dry.stderr.contains("not restored to /"), "{}", dry.stderr);
    dry.success();
    let output = elsewhere(&folder, &[]).run();
    assert!(
        output.stdout.starts_with("Restored 1 memory to"),
        "{output:?}"
    );
    assert!(output.stdout.contains(": 3 not restored.\n"), "{output:?}");
    let told = output.failure(69);
    assert_eq!(told.trim().lines().count(), 1, "{told}");
    let files = format!(
        "{DEFAULT}, {PIRATE} and {WORK}, since the folder cannot be written to: not a directory"
    );
    assert!(told.contains(&files), "{told}");
    assert!(told.contains("take them out with `unzip -n /"), "{told}");
    let listed = venom(&folder, ["list"]).env("VENOM_DATA", folder.join("other/data"));
    assert!(listed.run().success().contains("The lamp is lit"));
}

/// A restore for a look, beside the real folder.
#[test]
fn a_restore_to_another_folder_leaves_the_configured_personas_alone() {
    let folder = prepared();
    with_personas(&folder, &["backup", "backups"])
        .run()
        .success();
    put(&folder, "mine", PIRATE, "# Edited since");
    let words = ["restore", "backups", "--to", "trial", "--replace"];
    let output = with_personas(&folder, &words).run();
    let told = &output.stderr;
    assert!(
        told.contains("personas go to trial/personalities with --to: the persona folder /"),
        "{told}"
    );
    assert!(told.ends_with("mine is left alone\n"), "{told}");
    let said = output.success();
    assert!(
        said.contains("3 personas for trial/personalities: 3 new.\n"),
        "{said}"
    );
    assert_eq!(files(&folder.join("trial/personalities")), all());
    assert_eq!(
        files(&folder.join("mine")),
        texts([(PIRATE, "# Edited since")])
    );
    assert_eq!(files(&folder.join("personalities")).len(), 2);
}

/// What of the backup of a service is kept is what the process finds that makes it.
#[test]
fn a_backup_by_a_schedule_and_one_beside_a_server_have_the_personas_of_who_makes_them() {
    let folder = prepared();
    let scheduled = with_personas(&folder, &[])
        .env("VENOM_BACKUP_EVERY", "1d")
        .env("VENOM_BACKUP_DIR", folder.join("backups"));
    let port = venom_testing::process::free_port();
    let server = venom_testing::Server::start_with(scheduled, folder.path(), port);
    server
        .process
        .log_with("backed up 1 memory and 3 personas to");
    drop(server);
    // The command says where personas are, not the server.
    let _server = serve(&folder);
    let made = json_of(with_personas(&folder, &["backup", "more"]));
    assert_eq!(made["personas"], 3);
    let archive = std::fs::read(path_of(&made).join("personas.zip")).unwrap();
    assert!(archive.windows(4).any(|part| part == b"Ahoy"));
    let made = back_up(&folder, []);
    let archive = std::fs::read(path_of(&made).join("personas.zip")).unwrap();
    assert!(!archive.windows(4).any(|part| part == b"Ahoy"));
}

/// Killed between the databases and the last persona: another restore finishes it, whatever is there of them.
#[test]
fn what_was_cut_short_is_finished_by_another_restore() {
    let folder = prepared();
    with_personas(&folder, &["backup", "backups"])
        .run()
        .success();
    elsewhere(&folder, &[]).run().success();
    let target = folder.join("other/personas");
    std::fs::remove_file(target.join(PIRATE)).unwrap();
    std::fs::write(target.join(format!(".{PIRATE}.partial")), "# Ah").unwrap();
    let done = json_of(elsewhere(&folder, &["--personas-only"]));
    assert_eq!(done["personas_written"], json!([PIRATE]));
    assert_eq!(files(&target), all());

    // Personas alone leave a data folder that the rest can still go to.
    let alone = |words: &[&str]| {
        let restore = with_personas(&folder, &["restore", "backups", "--to", "alone"]);
        restore.args(words).run().success()
    };
    alone(&["--personas-only"]);
    assert!(!folder.join("alone/access.db").exists());
    alone(&[]);
    assert!(folder.join("alone/access.db").exists());
}

/// What Venom put there it removes again: backups that are not to stay, and what a killed run left.
#[test]
fn archives_go_with_their_backups() {
    let folder = prepared();
    let left = [
        folder.join("backups/.venom-20200101T000000Z.partial"),
        folder.join("data/backup.partial"),
    ];
    for (place, name) in left.iter().zip(["personas.zip.age", "personas.zip"]) {
        std::fs::create_dir_all(place).unwrap();
        std::fs::write(place.join(name), "half an archive").unwrap();
    }
    let first = json_of(with_personas(&folder, &["backup", "backups"]));
    assert!(left.iter().all(|place| !place.exists()));
    let second = json_of(with_personas(
        &folder,
        &["backup", "backups", "--keep", "1"],
    ));
    assert_eq!(second["removed"], json!([first["backup"]]));
    assert!(!path_of(&first).exists() && path_of(&second).join("personas.zip").exists());
}
