//! Backups that a server makes by itself.

use super::path_of;
use crate::{store, venom};
use serde_json::Value;
use venom_testing::process::free_port;
use venom_testing::{Connection, Folder, HttpClient, Server};

fn server(folder: &Folder, settings: &[(&str, &str)]) -> Server {
    let command = venom(folder, []).env("VENOM_BACKUP_DIR", folder.join("backups"));
    let command = settings
        .iter()
        .fold(command, |command, (name, value)| command.env(name, value));
    Server::start_with(command, folder.path(), free_port())
}

fn health(server: &Server) -> Value {
    let mut connection = Connection::open(server.port).unwrap();
    connection
        .request("GET", "/health", &[], b"")
        .unwrap()
        .json()
}

/// Names in the folder of backups that are not hidden.
fn shelf(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("backups")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn a_server_makes_them_and_keeps_some() {
    let folder = Folder::new();
    let settings = [("VENOM_BACKUP_EVERY", "1s"), ("VENOM_BACKUP_KEEP", "2")];
    let server = server(&folder, &settings);
    store(
        &mut HttpClient::open(server.port).unwrap(),
        "The clock ticks",
    );
    server.process.log_with("backed up 1 memory to");
    server.process.log_with("removed the backup");
    assert_eq!(health(&server)["status"], "healthy");
    drop(server);
    assert!(
        (1..=3).contains(&shelf(&folder).len()),
        "{:?}",
        shelf(&folder)
    );
    let audit = venom(&folder, ["audit"]).run().success();
    assert!(
        audit.contains("backup made  by local from schedule"),
        "{audit}"
    );
    let restored = super::restore(&folder, &folder.join("backups"), "other");
    restored.run().success();
}

#[test]
fn a_restart_makes_none_before_its_time() {
    let folder = Folder::new();
    let settings = [("VENOM_BACKUP_EVERY", "6h"), ("VENOM_LOG", "debug")];
    for _ in 0..3 {
        let server = server(&folder, &settings);
        let log = server.process.log_with("the next backup is due in 21");
        assert!(log.contains("21600 s") || log.contains("215"), "{log}");
    }
    assert_eq!(shelf(&folder).len(), 1);
    // One by hand counts as well.
    super::back_up(&folder, []);
    let server = server(&folder, &settings);
    server.process.log_with("the next backup is due in 21");
    assert_eq!(shelf(&folder).len(), 2);
}

#[test]
fn a_backup_that_fails_is_seen() {
    let folder = Folder::new();
    std::fs::write(folder.join("backups"), "a file").unwrap();
    let server = server(&folder, &[("VENOM_BACKUP_EVERY", "1s")]);
    server.process.log_with("the scheduled backup failed: ");
    let found = health(&server);
    assert_eq!(found["status"], "degraded");
    assert!(
        found["reason"]
            .as_str()
            .unwrap()
            .contains("scheduled backup failed")
    );
    std::fs::remove_file(folder.join("backups")).unwrap();
    server.process.log_with("backed up 0 memories to");
    assert_eq!(health(&server)["status"], "healthy");
}

#[test]
fn a_passphrase_file_that_is_missing_makes_no_backup_in_the_open() {
    let folder = Folder::new();
    let file = folder.join("passphrase");
    let settings = [
        ("VENOM_BACKUP_EVERY", "1s"),
        ("VENOM_BACKUP_PASSPHRASE_FILE", file.to_str().unwrap()),
    ];
    let server = server(&folder, &settings);
    server.process.log_with("passphrase cannot be read");
    assert!(!folder.join("backups").exists());
    std::fs::write(&file, super::PASSPHRASE).unwrap();
    server.process.log_with("backed up 0 memories to");
    drop(server);
    let made = venom(&folder, ["backup", "backups", "--json"]);
    let made: Value = serde_json::from_str(&made.run().success()).unwrap();
    assert!(path_of(&made).join("venom.db").exists());
    let name = &shelf(&folder)[0];
    assert!(name.starts_with("venom-"), "{name}");
    let server_made = folder
        .join("backups")
        .join(shelf(&folder).iter().min().unwrap());
    assert!(server_made.join("venom.db.age").exists());
}

#[test]
fn a_time_without_a_folder_stops_the_start() {
    let folder = Folder::new();
    let refused = venom(&folder, ["serve"])
        .env("VENOM_BACKUP_EVERY", "1d")
        .run();
    let refused = refused.failure(2);
    let expected = "VENOM_BACKUP_EVERY is \"1d\": expected --backup-dir (VENOM_BACKUP_DIR) with it";
    assert!(refused.contains(expected), "{refused}");
    assert!(!folder.join("data").exists());
}
