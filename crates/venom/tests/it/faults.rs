//! Disks, folders and files that are not as they should be.

use crate::sandbox::{seen_from_here, venom_in};
use crate::{everything, search, serve, stdio, store, venom};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use venom_testing::{
    Connection, Door, Folder, HttpClient, Server, StdioClient, tool_error, tool_json,
};

#[test]
fn a_full_disk_is_told_and_survived() {
    let folder = Folder::new();
    fs::create_dir_all(folder.join("data")).unwrap();
    let prepare = "mount -t tmpfs -o size=4m tmpfs \"$VENOM_DATA\"";
    let Some(command) = venom_in(&folder, "--mount", prepare) else {
        return;
    };
    let port = venom_testing::process::free_port();
    let mut server = Server::start_with(command, folder.path(), port);
    let mut door = HttpClient::open(port).unwrap();
    store(&mut door, "Kept before the disk was full");

    let filler = seen_from_here(server.process.id(), &folder.join("data/filler"));
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let health = || {
        Connection::open(port)
            .unwrap()
            .request("GET", "/health", &[], b"")
            .unwrap()
    };
    let answer = health();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "unhealthy");
    assert!(
        answer.json()["reason"].as_str().unwrap().contains("full"),
        "{}",
        answer.text()
    );

    // The write-ahead log may still have room for a few.
    let mut kept = 1;
    let refusal = loop {
        let text = format!(
            "Number {kept} {}",
            "some more words to fill it up ".repeat(20)
        );
        let answer = door.call_tool("store_memory", &json!({ "content": text }));
        if answer["result"]["isError"] == true {
            break tool_error(&answer);
        }
        kept += 1;
        assert!(kept < 5_000, "the disk is never full");
    };
    assert_eq!(
        refusal,
        "the disk that holds the data folder is full: nothing was changed, free some space and try again"
    );
    assert_eq!(
        search(&mut door, "before the disk was full")[0],
        "Kept before the disk was full"
    );

    drop(file);
    fs::remove_file(&filler).unwrap();
    assert_eq!(health().status, 200);
    store(&mut door, "Kept after somebody made room");
    assert_eq!(
        search(&mut door, "somebody made room")[0],
        "Kept after somebody made room"
    );
    assert_eq!(health().json()["memory_count"], kept + 1);
    server.process.signal("TERM");
    assert_eq!(server.process.wait(), Some(0));
}

#[test]
fn a_read_only_folder_is_refused_with_one_sentence() {
    let folder = Folder::new();
    venom(&folder, ["store", "Written while it could be"])
        .run()
        .success();
    let prepare =
        "mount --bind \"$VENOM_DATA\" \"$VENOM_DATA\" && mount -o remount,ro,bind \"$VENOM_DATA\"";
    for words in [vec!["stdio"], vec!["search", "x"], vec!["store", "x"]] {
        let Some(command) = venom_in(&folder, "--mount", prepare) else {
            return;
        };
        let said = command.args(words).run().failure(69);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("data folder") && said.contains("read"),
            "{said}"
        );
    }
    assert_eq!(everything(&folder).len(), 1);
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
    let folder = Folder::new();
    venom(&folder, ["store", "From the future"]).run().success();
    let database = folder.join("data/venom.db");
    let mut bytes = fs::read(&database).unwrap();
    // SQLite keeps `user_version`, big-endian, at byte 60 of its header.
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(&database, &bytes).unwrap();
    for words in [
        vec!["stdio"],
        vec!["list"],
        vec!["store", "x"],
        vec!["serve", "--port", "1"],
    ] {
        let said = venom(&folder, []).args(words.clone()).run();
        if words[0] == "serve" {
            assert_ne!(said.code, Some(0));
            continue;
        }
        let said = said.failure(69);
        assert!(
            said.contains("schema version 999") && said.lines().count() == 1,
            "{said}"
        );
    }
    assert!(fs::read(&database).unwrap() == bytes, "nothing was written");
}

#[test]
fn a_damaged_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    for number in 0..50 {
        store(&mut client, &format!("Fact number {number}"));
    }
    client.end();
    let database = folder.join("data/venom.db");
    let whole = fs::read(&database).unwrap();
    for length in [0, 100, 8192, whole.len() / 2, whole.len() - 8192] {
        fs::write(&database, &whole[..length]).unwrap();
        for words in [vec!["stdio"], vec!["search", "fact"], vec!["store", "x"]] {
            let said = venom(&folder, []).args(words.clone()).run().failure(70);
            assert!(
                said.contains("the database is damaged"),
                "{length} {words:?}: {said}"
            );
            assert!(
                said.contains("restore the data folder from a backup"),
                "{said}"
            );
        }
        assert_eq!(fs::read(&database).unwrap().len(), length, "left alone");
    }
    fs::write(
        &database,
        b"this is a letter, not a database, and long enough to be looked at",
    )
    .unwrap();
    venom(&folder, ["list"]).run().failure(70);
    fs::write(&database, &whole).unwrap();
    assert_eq!(everything(&folder).len(), 50);
}

/// Vectors of two models never mix: the store says so and `reembed` mends it.
#[test]
fn memories_of_another_model_are_embedded_again_on_demand() {
    let folder = Folder::new();
    venom(&folder, ["store", "The piano is tuned every October"])
        .run()
        .success();
    let database = folder.join("data/venom.db");
    let mut bytes = fs::read(&database).unwrap();
    let ours = b"53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
    // It stands in the table and in its index.
    let mut changed = 0;
    for at in 0..bytes.len() - ours.len() {
        if bytes[at..].starts_with(ours) {
            bytes[at..at + 4].copy_from_slice(b"0000");
            changed += 1;
        }
    }
    assert_eq!(changed, 2);
    fs::write(&database, bytes).unwrap();
    for words in [vec!["stdio"], vec!["search", "music"], vec!["store", "x"]] {
        let said = venom(&folder, []).args(words).run().failure(69);
        assert!(
            said.contains("0000") && said.contains("run `venom reembed`"),
            "{said}"
        );
    }
    let said = venom(&folder, ["reembed"]).run().success();
    assert_eq!(said, "Embedded 1 memory again with all-MiniLM-L6-v2.\n");
    assert_eq!(
        search(&mut stdio(&folder), "music instrument"),
        ["The piano is tuned every October"]
    );
}

/// A model that cannot be used stops the start; a store is never opened without one.
#[test]
fn a_missing_or_damaged_model_is_one_clear_sentence() {
    let folder = Folder::new();
    let nowhere = folder.join("nowhere");
    let without = |words: &[&str]| {
        let command = venom(&folder, [])
            .args(words)
            .env("HOME", &nowhere)
            .env("XDG_CACHE_HOME", &nowhere);
        command.env("VENOM_MODEL_DIR", &nowhere).run()
    };
    for words in [
        vec!["stdio"],
        vec!["serve"],
        vec!["search", "x"],
        vec!["embed"],
    ] {
        let said = without(&words).failure(69);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("the embedding model is missing") && said.contains("make model"),
            "{said}"
        );
    }
    assert!(!folder.join("data/venom.db").exists());

    let model = folder.join("model");
    fs::create_dir_all(&model).unwrap();
    fs::write(model.join("model.safetensors"), b"short").unwrap();
    fs::write(model.join("vocab.txt"), b"short").unwrap();
    let said = venom(&folder, ["stdio", "--model"])
        .args([&model])
        .run()
        .failure(69);
    assert!(said.contains("90868376") && said.contains('5'), "{said}");
    // The right sizes, other bytes: found out by the hash.
    fs::File::create(model.join("model.safetensors"))
        .unwrap()
        .set_len(90_868_376)
        .unwrap();
    fs::File::create(model.join("vocab.txt"))
        .unwrap()
        .set_len(231_508)
        .unwrap();
    let said = venom(&folder, ["stdio", "--model"])
        .args([&model])
        .run()
        .failure(69);
    assert!(
        said.contains("sha256") && said.contains("expected"),
        "{said}"
    );
}

/// In a network of its own, without even loopback, everything works, and not one packet or connection
/// is tried.
#[test]
fn no_network_is_needed_and_none_is_tried() {
    let folder = Folder::new();
    let Some(command) = venom_in(&folder, "--net", "true") else {
        return;
    };
    let mut client = StdioClient::start(command);
    client.initialize("2025-11-25");
    store(&mut client, "Works in a submarine");
    assert_eq!(
        search(&mut client, "under the sea"),
        ["Works in a submarine"]
    );
    tool_json(&client.call_tool("search_memory", &json!({"query": "x"})));
    let counters = network_counters(client.process.id());
    for name in [
        "Ip.OutRequests",
        "Ip.OutNoRoutes",
        "Tcp.ActiveOpens",
        "Tcp.AttemptFails",
        "Udp.OutDatagrams",
    ] {
        assert_eq!(counters.get(name), Some(&0), "{name} in {counters:?}");
    }
}

/// The kernel's counters of a process's network namespace: pairs of a line of names and one of values.
fn network_counters(process: u32) -> std::collections::HashMap<String, i64> {
    let text = fs::read_to_string(format!("/proc/{process}/net/snmp")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut counters = std::collections::HashMap::new();
    for pair in lines.chunks_exact(2) {
        let (protocol, names) = pair[0].split_once(": ").expect("names");
        let (_, values) = pair[1].split_once(": ").expect("values");
        for (name, value) in names.split(' ').zip(values.split(' ')) {
            counters.insert(
                format!("{protocol}.{name}"),
                value.parse().unwrap_or_default(),
            );
        }
    }
    counters
}

/// A data folder that vanishes under a running server is noticed, not papered over.
#[test]
fn a_removed_data_folder_makes_the_server_unhealthy() {
    let folder = Folder::new();
    let server = serve(&folder);
    fs::rename(folder.join("data"), folder.join("moved")).unwrap();
    let mut connection = Connection::open(server.port).unwrap();
    let answer = connection.request("GET", "/health", &[], b"").unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(
        answer.json()["reason"]
            .as_str()
            .unwrap()
            .contains("moved or deleted while in use"),
        "{}",
        answer.text()
    );
}
