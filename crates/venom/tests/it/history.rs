//! What memories were, bringing that back, and erasing them so that no byte is left.

use crate::{BINARY, serve, stdio, store, venom};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use venom_testing::{Command, Connection, Door, Folder, HttpClient, folder, tool_error, tool_json};

/// The id in the answer of `venom store`.
#[track_caller]
fn remembered(said: &str) -> String {
    let id = said.trim().trim_start_matches("Remembered as ");
    let id = id.trim_end_matches('.').to_owned();
    assert!(id.starts_with("mem_"), "{said}");
    id
}

#[track_caller]
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// The files of a folder, at any depth, that have one of these texts.
fn files_with(root: &Path, texts: &[&str]) -> Vec<String> {
    let has = |bytes: &[u8], text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let found = folder::files(root).into_iter();
    let found = found.filter(|(_, bytes)| texts.iter().any(|text| has(bytes, text)));
    found
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

const NOTHING: [String; 0] = [];

#[test]
fn every_version_is_shown_and_comes_back() {
    let folder = Folder::new();
    let id = remembered(
        &venom(
            &folder,
            [
                "store",
                "Ben lives in Rome",
                "--tag",
                "home",
                "--speaker",
                "Ben",
            ],
        )
        .run()
        .success(),
    );
    venom(
        &folder,
        ["update", &id, "Ben lives in Oslo", "--tag", "moved"],
    )
    .run()
    .success();
    venom(&folder, ["update", &id, "--tag", "north"])
        .run()
        .success();
    let shown = venom(&folder, ["history", &id]).run().success();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 6, "{shown}");
    assert!(
        lines[0].starts_with("  1  ") && lines[0].ends_with("  stored  Ben:  #home"),
        "{shown}"
    );
    assert_eq!(lines[1], "    Ben lives in Rome");
    assert!(
        lines[2].starts_with("  2  ") && lines[2].ends_with("  updated  Ben:  #moved"),
        "{shown}"
    );
    assert!(lines[4].ends_with("  updated  Ben:  #north"), "{shown}");
    assert_eq!(
        (lines[3], lines[5]),
        ("    Ben lives in Oslo", "    (same text)")
    );

    let back = venom(&folder, ["restore-memory", &id, "--version", "1", "--json"])
        .run()
        .success();
    let back = parsed(&back);
    assert_eq!(
        (&back["content"], &back["tags"]),
        (&json!("Ben lives in Rome"), &json!(["home"]))
    );
    let found = venom(&folder, ["search", "where does Ben live"])
        .run()
        .success();
    assert!(found.contains("Rome") && !found.contains("Oslo"), "{found}");
    // That is a change, too, and can be undone; a forgotten memory is shown again by it.
    venom(&folder, ["forget", &id]).run().success();
    let hidden = venom(&folder, ["history", &id]).run().success();
    assert!(
        hidden.starts_with("Forgotten at ")
            && hidden.contains(", erased for good after 30 days.\n"),
        "{hidden}"
    );
    venom(&folder, ["restore-memory", &id, "--version", "3"])
        .run()
        .success();
    let shown = venom(&folder, ["show", &id]).run().success();
    assert!(
        shown.contains("Oslo") && shown.contains("#north"),
        "{shown}"
    );
    let history = parsed(&venom(&folder, ["history", &id, "--json"]).run().success());
    let versions = history["versions"].as_array().unwrap();
    let causes: Vec<&str> = versions
        .iter()
        .map(|it| it["cause"].as_str().unwrap())
        .collect();
    assert_eq!(
        causes,
        ["stored", "updated", "updated", "restored", "restored"]
    );
    assert_eq!(versions[3]["content"], "Ben lives in Rome");
    assert_eq!(versions[0]["origin"]["client"], "venom cli");
    assert_eq!(
        (&versions[4]["version"], &history["hidden_at"]),
        (&json!(5), &Value::Null)
    );
}

#[test]
fn bad_input_to_history_and_erase_is_one_clear_sentence() {
    let folder = Folder::new();
    let id = remembered(&venom(&folder, ["store", "tea"]).run().success());
    for version in ["0", "-1", "one", "1.5", "4294967296", ""] {
        let said = venom(&folder, ["restore-memory", &id, "--version", version])
            .run()
            .failure(2);
        let expected = format!(
            "venom: version is malformed: expected the number of a version, 1 or larger, received {version:?}\n"
        );
        assert_eq!(said, expected);
    }
    let said = venom(&folder, ["restore-memory", &id, "--version", "2"])
        .run()
        .failure(1);
    assert_eq!(
        said,
        format!("venom: memory {id} has no version 2: expected 1 to 1\n")
    );
    for command in ["history", "erase"] {
        let mut words = vec![command, "mem_7"];
        words.extend((command == "erase").then_some("--yes"));
        let unknown = Command::new(BINARY, folder.path())
            .args(&words)
            .run()
            .failure(1);
        assert_eq!(unknown, "venom: memory mem_7 was not found\n");
        words[1] = "seven";
        let malformed = Command::new(BINARY, folder.path())
            .args(&words)
            .run()
            .failure(2);
        assert!(
            malformed.contains("\"seven\"") && malformed.lines().count() == 1,
            "{malformed}"
        );
    }
    let unasked = venom(&folder, ["erase", &id]).run_with(b"yes\n").failure(2);
    let expected =
        "venom: what is erased cannot be restored: expected --yes, or a terminal to ask on\n";
    assert_eq!(unasked, expected);
    // One that is not there keeps the others from being erased.
    let refused = venom(&folder, ["erase", "--yes", &id, "mem_7"]).run();
    let expected = "venom: memory mem_7 was not found: nothing was erased\n";
    assert_eq!(refused.failure(1), expected);
    assert!(
        venom(&folder, ["show", &id])
            .run()
            .success()
            .contains("tea")
    );
}

#[test]
fn what_is_erased_is_in_no_file() {
    let folder = Folder::new();
    let texts = [
        "Quetzalcoatl",
        "Xochimilco",
        "Popocatepetl",
        "quetzalcoatl",
        "xochimilco",
        "popocatepetl",
        "Tlaloc",
    ];
    let stays = remembered(&venom(&folder, ["store", "Ana likes tea"]).run().success());
    let words = [
        "store",
        "We met at Quetzalcoatl street",
        "--tag",
        "Popocatepetl",
        "--speaker",
        "Tlaloc",
    ];
    let id = remembered(&venom(&folder, words).run().success());
    let export = folder.join("export.jsonl");
    venom(&folder, ["export", "--out", export.to_str().unwrap()])
        .run()
        .success();
    venom(&folder, ["update", &id, "We met in Xochimilco"])
        .run()
        .success();
    venom(&folder, ["forget", &id]).run().success();
    assert_ne!(files_with(&folder.join("data"), &texts), NOTHING);
    // Through a server that owns the folder, too.
    let server = serve(&folder);
    let said = venom(&folder, ["erase", &id, "--yes"]).run().success();
    assert_eq!(said, format!("Erased {id} for good.\n"));
    assert_eq!(files_with(&folder.join("data"), &texts), NOTHING);
    let mut door = HttpClient::open(server.port).unwrap();
    for (tool, arguments) in [
        ("get_memory", json!({"memory_id": id, "history": true})),
        ("update_memory", json!({"memory_id": id, "content": "x"})),
        ("forget_memory", json!({"memory_id": id})),
        ("forget_memory", json!({"memory_id": id, "undo": true})),
    ] {
        let said = tool_error(&door.call_tool(tool, &arguments));
        assert!(
            said.starts_with(&format!("memory {id} was erased for good at 20")),
            "{said}"
        );
    }
    drop(server);
    for command in [
        ["show", &id],
        ["history", &id],
        ["restore-memory", &id],
        ["forget", &id],
    ] {
        let said = venom(&folder, command).run().failure(1);
        assert!(
            said.starts_with(&format!("venom: memory {id} was erased for good at 20")),
            "{said}"
        );
    }
    let again = parsed(
        &venom(&folder, ["erase", &id, "--yes", "--json"])
            .run()
            .success(),
    );
    assert!(again["memories"][0]["erased_before"].is_string(), "{again}");
    assert_eq!(
        (&again["under_way"], &again["backups"]),
        (&json!(false), &json!([]))
    );
    // An import does not bring it back.
    let imported = parsed(
        &venom(&folder, ["import", export.to_str().unwrap(), "--json"])
            .run()
            .success(),
    );
    assert_eq!(imported["imported"], 0, "{imported}");
    assert_eq!(
        crate::everything(&folder).into_keys().collect::<Vec<_>>(),
        [stays]
    );
    assert_eq!(files_with(&folder.join("data"), &texts), NOTHING);
    let sound = venom(&folder, ["doctor"]).run().success();
    assert!(
        sound.contains("nothing is left of 1 erased memory"),
        "{sound}"
    );
    let audit = venom(&folder, ["audit", "--json"]).run().success();
    assert!(audit.contains("\"erased\""), "{audit}");
}

#[test]
fn what_was_forgotten_long_ago_is_erased_at_the_start() {
    let folder = Folder::new();
    let id = remembered(
        &venom(&folder, ["store", "The code word was Huitzilopochtli"])
            .run()
            .success(),
    );
    let said = venom(&folder, ["forget", &id]).run().success();
    assert_eq!(
        said,
        format!("Forgot {id}. It can be restored within 30 days: venom restore-memory {id}\n")
    );
    // Kept for as long as it is to be, by whatever process.
    for kept in ["never", "30d", "1h"] {
        venom(&folder, ["stats"])
            .env("VENOM_ERASE_AFTER", kept)
            .run()
            .success();
        assert!(
            venom(&folder, ["history", &id])
                .run()
                .success()
                .contains("Huitzilopochtli")
        );
    }
    let stats = venom(&folder, ["stats"])
        .env("VENOM_ERASE_AFTER", "0d")
        .run();
    assert!(
        stats
            .stderr
            .contains("erased 1 memory for good, forgotten long ago"),
        "{}",
        stats.stderr
    );
    let said = venom(&folder, ["restore-memory", &id]).run().failure(1);
    assert!(said.contains("was erased for good at 20"), "{said}");
    // The command ended before the files were clean, perhaps; this one waits for that.
    venom(&folder, ["erase", &id, "--yes"]).run().success();
    let gone = ["Huitzilopochtli", "huitzilopochtli"];
    assert_eq!(files_with(&folder.join("data"), &gone), NOTHING);
    let audit = venom(&folder, ["audit", "--json"]).run().success();
    let mut lines = audit.lines().map(parsed);
    let erased = lines
        .find(|line| line["event"] == "erased")
        .expect("a line");
    assert_eq!(
        (&erased["subject"], &erased["from"]),
        (&json!(id), &json!("erase-after"))
    );
}

#[test]
fn a_server_that_is_killed_while_it_erases_leaves_that_to_the_next() {
    let folder = Folder::new();
    let mut ids = Vec::new();
    let mut door = stdio(&folder);
    for number in 0..200 {
        ids.push(store(
            &mut door,
            &format!("Teotihuacan{number} was told in round {number}"),
        ));
    }
    for id in &ids {
        tool_json(&door.call_tool("forget_memory", &json!({ "memory_id": id })));
    }
    door.end();
    for kill_after in 0..3 {
        let command = venom(&folder, []).env("VENOM_ERASE_AFTER", "0d");
        let mut door = venom_testing::StdioClient::start(command);
        door.initialize(venom_testing::mcp::REVISION);
        for _ in 0..kill_after {
            door.call("list_memories", &json!({}));
        }
        door.process.kill();
    }
    // Erased by now or not: this waits for the end.
    let mut words = vec!["erase", "--yes"];
    words.extend(ids.iter().map(String::as_str));
    Command::new(BINARY, folder.path())
        .args(words)
        .run()
        .success();
    assert_eq!(
        files_with(&folder.join("data"), &["Teotihuacan", "teotihuacan"]),
        NOTHING
    );
}

#[test]
fn of_a_long_history_every_door_tells_the_newest_and_how_much_is_left_out() {
    let folder = Folder::new();
    let mut door = stdio(&folder);
    let id = store(&mut door, "Ben lives in Rome");
    // One more than is told.
    for number in 2..=1_001 {
        let tags = json!([number.to_string()]);
        tool_json(&door.call_tool("update_memory", &json!({"memory_id": id, "tags": tags})));
    }
    let mut ask = |tokens: Option<u32>| {
        let arguments = json!({"memory_id": id, "history": true, "max_tokens": tokens});
        let told = tool_json(&door.call_tool("get_memory", &arguments));
        let versions = told["versions"].as_array().unwrap();
        assert_eq!(versions[0]["version"], 1_000);
        (versions.len(), told["older_versions"].as_u64().unwrap())
    };
    assert_eq!(ask(None), (999, 1));
    let (told, older) = ask(Some(1_000));
    assert!(told > 1);
    assert_eq!(told as u64 + older, 1_000);

    let shown = venom(&folder, ["history", &id]).run().success();
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some("     (1 older version is not shown)"));
    assert!(lines.next().unwrap().starts_with("  2  "), "{shown}");
    let told = parsed(&venom(&folder, ["history", &id, "--json"]).run().success());
    assert_eq!(told["older_versions"], 1);
    assert_eq!(told["versions"].as_array().unwrap().len(), 1_000);
    let back = venom(&folder, ["restore-memory", &id, "--version", "1", "--json"]);
    assert_eq!(parsed(&back.run().success())["tags"], Value::Null);
    let none = venom(&folder, ["restore-memory", &id, "--version", "1003"]).run();
    let none = none.failure(1);
    assert!(none.contains("1 to 1002"), "{none}");
}

#[test]
fn a_model_is_told_what_a_memory_was() {
    let folder = Folder::new();
    let mut door = stdio(&folder);
    let id = store(&mut door, "Ben lives in Rome");
    for text in ["Ben lives in Oslo", "Ben lives in Bern"] {
        tool_json(&door.call_tool("update_memory", &json!({"memory_id": id, "content": text})));
    }
    let plain = tool_json(&door.call_tool("get_memory", &json!({"memory_id": id})));
    assert!(plain.get("versions").is_none());
    let told = tool_json(&door.call_tool("get_memory", &json!({"memory_id": id, "history": true})));
    assert_eq!(told["content"], "Ben lives in Bern");
    let versions = told["versions"].as_array().unwrap();
    let told: Vec<_> = versions
        .iter()
        .map(|it| (&it["version"], &it["cause"], &it["content"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!(2), &json!("updated"), &json!("Ben lives in Oslo")),
            (&json!(1), &json!("stored"), &json!("Ben lives in Rome")),
        ]
    );
    let forgotten = tool_json(&door.call_tool("forget_memory", &json!({"memory_id": id})));
    assert_eq!(forgotten["erased_after"], "30 days");
    let hidden =
        tool_error(&door.call_tool("get_memory", &json!({"memory_id": id, "history": true})));
    assert_eq!(hidden, format!("memory {id} was not found"));
}

#[test]
fn nobody_erases_but_the_local_user() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut door = HttpClient::open(server.port).unwrap();
    let id = store(&mut door, "Ben lives in Rome");
    let tools = door.request("tools/list", &json!({})).unwrap();
    let tools = tools["result"]["tools"].as_array().unwrap().clone();
    assert!(tools.len() >= 8);
    for tool in tools {
        let name = tool["name"].as_str().unwrap();
        assert!(!name.contains("erase"), "{name}");
    }
    for tool in ["erase", "erase_memory"] {
        let answer = door.call(tool, &json!({"memory_id": id})).unwrap();
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(said.starts_with("unknown tool"), "{answer}");
    }
    let kept = tool_json(&door.call_tool("get_memory", &json!({"memory_id": id})));
    assert_eq!(kept["content"], "Ben lives in Rome");
}

#[test]
fn what_cannot_be_removed_from_the_files_is_told_until_it_is() {
    let folder = Folder::new();
    let id = remembered(&venom(&folder, ["store", "Ana likes tea"]).run().success());
    let server = serve(&folder);
    let health = || {
        let mut connection = Connection::open(server.port).unwrap();
        let answer = connection.request("GET", "/health", &[], b"").unwrap();
        (answer.status, answer.json())
    };
    let doctor = || venom(&folder, ["doctor"]).run();
    assert_eq!(health().1["status"], "healthy");
    // As a disk that takes no changes would, this keeps files of the index in their place.
    let obstacle = folder.join("data/index/7-1-2-3.text");
    std::fs::create_dir_all(&obstacle).unwrap();
    for words in ["Erased", "was erased before"] {
        let said = venom(&folder, ["erase", &id, "--yes"]).run().success();
        assert!(
            said.contains(words) && said.contains("as they cannot be removed now: "),
            "{said}"
        );
        let (status, said) = health();
        assert_eq!((status, &said["status"]), (200, &json!("degraded")));
        assert_eq!(
            said["reason"],
            "bytes of erased memories may still be in the files, as they cannot be removed now: venom doctor tells why"
        );
    }
    let said = doctor();
    assert!(
        said.stdout
            .contains("7-1-2-3.text is in no use and cannot be removed"),
        "{}",
        said.stdout
    );
    said.failure(69);
    let stats = venom(&folder, ["stats"]).run().success();
    assert!(stats.contains("cannot be removed"), "{stats}");
    std::fs::remove_dir(&obstacle).unwrap();
    let said = venom(&folder, ["erase", &id, "--yes"]).run().success();
    assert!(!said.contains("may still be in files"), "{said}");
    let log = server
        .process
        .log_with("bytes of erased memories were removed from the files");
    let failures = log.matches("cannot be removed from the files yet").count();
    assert_eq!(failures, 1, "{log}");
    assert_eq!(health().1["status"], "healthy");
    doctor().success();
}

/// A call as an attached process sends it again, whose owner died before it answered.
#[test]
fn a_store_that_is_repeated_after_the_erasing_stores_nothing() {
    let folder = Folder::new();
    let server = serve(&folder);
    let lease = std::fs::read_to_string(folder.join("data/venom.lock")).unwrap();
    let socket = lease.lines().find_map(|line| line.strip_prefix("socket="));
    let stream = UnixStream::connect(socket.unwrap()).unwrap();
    let (mut answers, mut stream) = (BufReader::new(stream.try_clone().unwrap()).lines(), stream);
    answers.next().unwrap().unwrap();
    let mut ask = |key: u32, content: &str| -> Value {
        let call = json!({"op": "remember", "space": "default", "content": content, "tags": [], "merge": true,
            "origin": {"speaker": null, "session": null, "occurred_at_us": null},
            "source": {"client": null, "token": null},
            "precautions": {"secrets": "keep", "quarantine": false}});
        let line = json!({"id": 1, "key": format!("{key:032x}"), "call": call}).to_string() + "\n";
        stream.write_all(line.as_bytes()).unwrap();
        parsed(&answers.next().unwrap().unwrap())["reply"].clone()
    };
    let mut ids = BTreeSet::new();
    // One call stores it, another finds that it is there.
    for (key, content) in [
        (1, "Ana likes tea"),
        (2, "ana likes tea"),
        (1, "Ana likes tea"),
    ] {
        let stored = &ask(key, content)["Ok"]["remembered"]["memory"]["memory_id"];
        ids.insert(stored.as_str().unwrap().to_owned());
    }
    let memories =
        || parsed(&venom(&folder, ["stats", "--json"]).run().success())["memories"].clone();
    assert_eq!((ids.len(), memories()), (1, json!(1)));
    let id = ids.first().unwrap();
    venom(&folder, ["erase", id, "--yes"]).run().success();
    for key in [1, 2] {
        let refused = ask(key, "Ana likes tea")["Err"].clone();
        assert_eq!(refused["kind"], "gone", "{refused}");
        let said = refused["message"].as_str().unwrap();
        let expected = format!("the memory {id} that it stored was erased for good at 20");
        assert!(
            said.contains(&expected) && said.ends_with(": nothing was stored"),
            "{said}"
        );
    }
    assert_eq!(memories(), json!(0));
    // Nothing of the words is kept for that.
    assert_eq!(
        files_with(&folder.join("data"), &["likes tea", "likes"]),
        NOTHING
    );
    // The same by a call of its own is another memory.
    assert!(ask(3, "Ana likes tea")["Ok"].is_object());
    drop(server);
}
