//! Each kind of file that memories come from, and the way out.

use super::{counts, exported, import};
use crate::{everything, serve, venom};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use venom_testing::Folder;

/// A file with this text.
fn file(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    std::fs::write(&path, text).expect("it can be written");
    path
}

/// The texts of all memories, sorted.
#[track_caller]
fn texts(folder: &Folder) -> Vec<String> {
    let mut texts: Vec<String> = everything(folder).into_values().collect();
    texts.sort();
    texts
}

/// Imports as a kind that is told from the file, twice: the second time nothing is new.
#[track_caller]
fn check<const WORDS: usize>(
    folder: &Folder,
    path: &std::path::Path,
    words: [&str; WORDS],
    kind: &str,
    expected: [u64; 3],
) -> Value {
    let dry = venom(folder, ["import", "--json", "--dry-run"])
        .args([path])
        .args(words);
    let dry: Value = serde_json::from_str(&dry.run().success()).expect("JSON");
    assert_eq!(
        (&dry["dry_run"], &dry["kind"]),
        (&json!(true), &json!(kind))
    );
    let first = import(folder, path, words);
    assert_eq!(
        (&first["kind"], counts(&first)),
        (&json!(kind), expected),
        "{first}"
    );
    assert_eq!(counts(&dry), expected, "what was foretold came true");
    let [imported, known, skipped] = expected;
    let dry = venom(folder, ["import", "--json", "--dry-run"])
        .args([path])
        .args(words);
    let dry: Value = serde_json::from_str(&dry.run().success()).expect("JSON");
    assert_eq!(counts(&dry), [0, imported + known, skipped], "{dry}");
    let second = import(folder, path, words);
    assert_eq!(counts(&second), [0, imported + known, skipped], "{second}");
    first
}

#[test]
fn the_knowledge_graph_of_the_reference_server() {
    let folder = Folder::new();
    let lines = [
        json!({"type": "entity", "name": "Anna", "entityType": "person", "observations": ["Anna drinks tea", "born in May"]}),
        json!({"type": "relation", "from": "Anna", "to": "Ben", "relationType": "works_with"}),
        json!({"type": "other"}),
    ];
    let text = lines.each_ref().map(Value::to_string).join("\n");
    let path = file(&folder, "memory.jsonl", &text);
    check(&folder, &path, [], "server-memory", [3, 0, 1]);
    let expected = [
        "Anna drinks tea",
        "Anna works with Ben",
        "Anna: born in May",
    ];
    assert_eq!(texts(&folder), expected);
    let graph = json!({"entities": [lines[0]], "relations": [lines[1]]});
    let path = file(&folder, "graph.json", &graph.to_string());
    assert_eq!(counts(&import(&folder, &path, [])), [0, 3, 0]);
}

#[test]
fn an_export_of_mem0() {
    let folder = Folder::new();
    let list = json!([
        {"id": "6f1c", "memory": "Likes hiking", "user_id": "u", "hash": "x", "categories": ["hobby"],
         "metadata": {"mood": "good"}, "created_at": "2024-07-01T10:00:00-07:00", "updated_at": null},
        {"id": "6f1d", "memory": ""},
    ]);
    let path = file(
        &folder,
        "mem0.json",
        &json!({ "results": list }).to_string(),
    );
    check(&folder, &path, [], "mem0", [1, 0, 1]);
    let memory: Value = serde_json::from_str(exported(&folder).trim()).unwrap();
    assert_eq!(memory["content"], "Likes hiking");
    assert_eq!(memory["timestamp"], "2024-07-01T17:00:00.000000Z");
    assert_eq!(memory["tags"], json!(["hobby"]));
    assert_eq!(
        memory["metadata"],
        json!({"original_id": "6f1c", "mood": "good", "user_id": "u"})
    );
}

#[test]
fn notes_of_obsidian_and_basic_memory() {
    let folder = Folder::new();
    file(
        &folder,
        "vault/Tea.md",
        "---\ntags: [drink, \"#green\"]\ncreated: 2024-03-01\nrating: 5\n---\nIt calms me.\n",
    );
    file(
        &folder,
        "vault/deep/Plan.md",
        "# Plan\n\n- [idea] Build a boat #wood\n- relates_to [[Tea]]\n",
    );
    file(&folder, "vault/.obsidian/app.md", "not a note");
    file(&folder, "vault/empty.md", "");
    std::os::unix::fs::symlink("/etc/hostname", folder.join("vault/link.md")).unwrap();
    std::os::unix::fs::symlink("/etc", folder.join("vault/folder")).unwrap();
    let summary = check(&folder, &folder.join("vault"), [], "markdown", [2, 0, 3]);
    let reasons = summary["reasons"].to_string();
    assert!(
        reasons.contains("it is a link") && reasons.contains("is empty"),
        "{reasons}"
    );
    let expected = [
        "# Plan\n\n- [idea] Build a boat #wood\n- relates_to [[Tea]]",
        "Tea\n\nIt calms me.",
    ];
    assert_eq!(texts(&folder), expected);
    let tea = venom(&folder, ["list", "--tag", "green", "--json"])
        .run()
        .success();
    let tea: Value = serde_json::from_str(&tea).unwrap();
    assert_eq!(
        tea["memories"][0]["metadata"],
        json!({"file": "Tea.md", "rating": "5"})
    );
    assert_eq!(
        tea["memories"][0]["timestamp"],
        "2024-03-01T00:00:00.000000Z"
    );
    let named = import(&folder, &folder.join("vault"), ["--from", "basic-memory"]);
    assert_eq!(
        (&named["kind"], counts(&named)),
        (&json!("basic-memory"), [0, 2, 3])
    );
}

fn chatgpt() -> Value {
    let node = |id: &str, parent: Value, role: &str, recipient: &str, text: &str| {
        json!({"id": id, "parent": parent, "children": [], "message": {
            "author": {"role": role}, "recipient": recipient, "create_time": 1_700_000_000.5,
            "content": {"content_type": "text", "parts": [text]}}})
    };
    json!([{
        "title": "Tea, and more", "conversation_id": "abcdef0123", "create_time": 1_700_000_000, "current_node": "d",
        "mapping": {
            "a": node("a", Value::Null, "user", "all", "Remember that I drink tea, [\"always\"]."),
            "b": node("b", json!("a"), "assistant", "bio", "User drinks tea."),
            "c": node("c", json!("b"), "tool", "all", "Model set context updated."),
            "d": node("d", json!("c"), "assistant", "all", "I will remember."),
            "x": node("x", json!("a"), "assistant", "all", "An answer that was replaced."),
        }
    }])
}

#[test]
fn the_data_export_of_chatgpt() {
    let folder = Folder::new();
    file(&folder, "export/conversations.json", &chatgpt().to_string());
    let path = folder.join("export");
    check(&folder, &path, [], "chatgpt", [1, 0, 0]);
    assert_eq!(texts(&folder), ["User drinks tea."]);
    check(&folder, &path, ["--conversations"], "chatgpt", [2, 1, 0]);
    let turns = venom(
        &folder,
        ["list", "--session", "Tea, and more abcdef01", "--json"],
    )
    .run();
    let turns: Value = serde_json::from_str(&turns.success()).unwrap();
    let speakers: Vec<&Value> = turns["memories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["speaker"])
        .collect();
    assert_eq!(speakers, ["assistant", "user"]);
    assert_eq!(
        turns["memories"][0]["occurred_at"],
        "2023-11-14T22:13:20.500000Z"
    );
}

/// As it is downloaded: one archive, with the conversations among pages and pictures.
#[test]
fn a_zip_archive_as_it_was_downloaded() {
    let folder = Folder::new();
    file(&folder, "export/conversations.json", &chatgpt().to_string());
    file(&folder, "export/chat.html", "<html>");
    let path = folder.join("export.zip");
    let zipped = Command::new("python3")
        .args(["-m", "zipfile", "-c"])
        .arg(&path)
        .args(["conversations.json", "chat.html"])
        .current_dir(folder.join("export"))
        .status();
    assert!(zipped.expect("python3 runs").success());
    check(&folder, &path, [], "chatgpt", [1, 0, 0]);
    check(&folder, &path, ["--conversations"], "chatgpt", [2, 1, 0]);
    assert!(texts(&folder).contains(&"User drinks tea.".to_owned()));
}

/// Everything that somebody has, in one folder and in one archive of it: what is not read is named with the command that
/// reads it, and that command does.
#[test]
fn several_kinds_in_one_place() {
    let folder = Folder::new();
    file(&folder, "all/notes/Tea.md", "It calms me.");
    file(&folder, "all/mem0.json", r#"[{"memory": "Likes hiking"}]"#);
    file(&folder, "all/lines.jsonl", r#"{"content": "Has a boat"}"#);
    file(
        &folder,
        "all/its export/conversations.json",
        &chatgpt().to_string(),
    );
    let zipped = Command::new("python3")
        .args([
            "-m",
            "zipfile",
            "-c",
            "../all.zip",
            "notes",
            "mem0.json",
            "lines.jsonl",
            "its export",
        ])
        .current_dir(folder.join("all"))
        .status();
    assert!(zipped.expect("python3 runs").success());
    for name in ["all", "all.zip"] {
        let path = folder.join(name);
        let shown = path.display();
        for dry in [&["--dry-run"][..], &[]] {
            let command = venom(&folder, ["import"]).args([&path]).args(dry.iter());
            let said = command.run().success();
            let left: Vec<&str> = said
                .lines()
                .filter(|line| line.starts_with("left alone"))
                .collect();
            let expected = [
                format!(
                    "left alone: lines.jsonl is jsonl, to be imported with venom import {shown} --from jsonl"
                ),
                format!(
                    "left alone: mem0.json is mem0, to be imported with venom import {shown} --from mem0"
                ),
                format!(
                    "left alone: its export/conversations.json is chatgpt, to be imported with venom import {shown} \
                     --from chatgpt"
                ),
            ];
            assert_eq!(left, expected, "{said}");
        }
        let summary = import(&folder, &path, []);
        assert_eq!(
            summary["left"][1],
            json!({"kind": "mem0", "count": 1, "first": "mem0.json"})
        );
        for kind in ["jsonl", "mem0", "chatgpt"] {
            let summary = import(&folder, &path, ["--from", kind]);
            let [imported, known, skipped] = counts(&summary);
            assert_eq!((imported + known, skipped), (1, 0), "{summary}");
            assert_eq!(
                summary["left"],
                json!([]),
                "who named a kind knows of the others"
            );
        }
    }
    assert_eq!(
        texts(&folder),
        [
            "Has a boat",
            "Likes hiking",
            "Tea\n\nIt calms me.",
            "User drinks tea."
        ]
    );
    // What is of no kind is told beside the others.
    file(&folder, "all/bad.jsonl", "nope");
    file(&folder, "all/other.json", "{}");
    let said = venom(&folder, ["import"]).args([folder.join("all")]);
    let said = said.run().success();
    for note in [
        "note: bad.jsonl is of no kind that can be told: it is no JSON: expected ident at line 1 column 2\n",
        "note: other.json is JSON of no kind that is known\n",
    ] {
        assert!(said.contains(note), "{said}");
    }
    let refused = venom(&folder, ["import", "--from", "server-memory"]).args([folder.join("all")]);
    let refused = refused.run().failure(2);
    assert!(
        refused.contains("holds no file that is told to be server-memory"),
        "{refused}"
    );
}

/// A large export is cut into parts, and what was told to the memory stands in turns that were not gone on with, too.
#[test]
fn the_data_export_of_chatgpt_in_parts() {
    let folder = Folder::new();
    let code = json!({"content_type": "code", "text": "User has a boat."});
    let message = json!({"author": {"role": "assistant"}, "recipient": "bio", "content": code});
    let other = json!([{"title": "Boats", "id": "b", "current_node": "1", "mapping": {
        "1": {"message": {"author": {"role": "user"}, "content": {"parts": ["Which boat?"]}}},
        "2": {"message": message},
        "3": {"message": {"author": {"role": "user"}, "content": {"parts": ["Never sent."]}}}}}]);
    file(
        &folder,
        "export/conversations-000.json",
        &chatgpt().to_string(),
    );
    file(&folder, "export/conversations-001.json", &other.to_string());
    let path = folder.join("export");
    check(&folder, &path, [], "chatgpt", [2, 0, 0]);
    assert_eq!(texts(&folder), ["User drinks tea.", "User has a boat."]);
    check(&folder, &path, ["--conversations"], "chatgpt", [3, 2, 0]);
    assert!(!texts(&folder).contains(&"Never sent.".to_owned()));
    file(&folder, "export/conversations-001.json", "[{\"mapping\": ");
    let cut = venom(&folder, ["import"]).args([&path]).run().success();
    let skipped =
        "skipped conversations-001.json: it cannot be read as chatgpt: the list is cut short";
    assert!(cut.contains(skipped), "{cut}");
}

/// Each kind of its data in an archive of its own, and a topic of its memory in a file of its own.
#[test]
fn the_memories_of_claude_in_files() {
    let folder = Folder::new();
    let memories = json!({"conversations_memory": "Anna builds boats.", "account_uuid": "u", "memory_files": [
        {"path": "/profile.md", "content": "- Prefers metres\n- Lives by the sea", "updated_at": "2026-01-02T03:04:05Z"},
        {"path": "/empty.md", "content": " "}]});
    file(
        &folder,
        "claude/memories/0198aaaa.json",
        &memories.to_string(),
    );
    check(&folder, &folder.join("claude"), [], "claude", [2, 0, 0]);
    let path = folder.join("claude/memories/0198aaaa.json");
    assert_eq!(counts(&import(&folder, &path, [])), [0, 2, 0]);
    let expected = ["- Prefers metres\n- Lives by the sea", "Anna builds boats."];
    assert_eq!(texts(&folder), expected);
    let listed = venom(&folder, ["list", "--json"]).run().success();
    assert!(listed.contains("2026-01-02T03:04:05"), "{listed}");
}

#[test]
fn the_data_export_of_claude() {
    let folder = Folder::new();
    let memories = json!([{"conversations_memory": "**Work**\nAnna builds boats.\n\n**Home**\nShe has a dog.",
        "project_memories": {"p-1": "The boat is blue."}, "account_uuid": "u"}]);
    let conversations = json!([{"uuid": "0123456789", "name": "Dogs", "chat_messages": [
        {"sender": "human", "text": "", "content": [{"type": "text", "text": "Which dog?"}], "created_at": "2025-01-02T03:04:05Z"},
        {"sender": "assistant", "text": "A spaniel.", "created_at": "2025-01-02T03:04:06Z"},
    ]}]);
    file(&folder, "claude/memories.json", &memories.to_string());
    file(
        &folder,
        "claude/conversations.json",
        &conversations.to_string(),
    );
    let path = folder.join("claude");
    check(&folder, &path, [], "claude", [3, 0, 0]);
    check(&folder, &path, ["--conversations"], "claude", [2, 3, 0]);
    let user = venom(&folder, ["list", "--speaker", "user"])
        .run()
        .success();
    assert!(user.contains("Which dog?"), "{user}");
}

#[test]
fn lines_of_any_program_with_what_is_known_of_them() {
    let folder = Folder::new();
    let long = json!({"content": "long", "x": "y".repeat(5 << 20)});
    let lines = [
        json!({"text": "No id", "timestamp": 1_700_000_000, "mood": "good"}).to_string(),
        "{broken".to_owned(),
        json!({"id": "mem_5", "content": "An id", "timestamp": "0000-01-01T00:00:00Z"}).to_string(),
        json!({"id": "mem_5", "content": "The same id", "timestamp": "9999-12-30T00:00:00Z"})
            .to_string(),
        json!({"content": "no id", "timestamp": 1_700_000_001}).to_string(),
        json!({"content": "x", "timestamp": "soon"}).to_string(),
        json!({"content": "  "}).to_string(),
        json!(["a list"]).to_string(),
        long.to_string(),
        json!({"content": format!("The key is AKIA{} now", "IOSFODNN7EXAMPLE")}).to_string(),
        json!({"id": "mem_9223372036854775807", "content": "From the far future"}).to_string(),
    ];
    let path = file(&folder, "lines.jsonl", &lines.join("\r\n\n"));
    let summary = import(&folder, &path, []);
    assert_eq!(
        (&summary["kind"], counts(&summary)),
        (&json!("jsonl"), [4, 1, 6]),
        "{summary}"
    );
    assert_eq!(
        summary["renumbered"].as_array().map(Vec::len),
        Some(2),
        "{summary}"
    );
    let first = venom(&folder, ["show", "mem_1700000000000000", "--json"])
        .run()
        .success();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&first["content"], &first["metadata"]["mood"]),
        (&json!("No id"), &json!("good"))
    );
    let again = import(&folder, &path, []);
    assert_eq!(counts(&again), [0, 5, 6], "{again}");
    // What is stored afterwards still gets an id of its own.
    venom(&folder, ["store", "afterwards"]).run().success();
    assert_eq!(everything(&folder).len(), 5);
}

#[test]
fn what_goes_out_comes_in_again() {
    let (here, there) = (Folder::new(), Folder::new());
    let server = serve(&here);
    for (text, words) in [
        (
            "Ben lives in Rome",
            vec!["--tag", "home", "--speaker", "Anna", "--session", "monday"],
        ),
        (
            "Two\nlines, \"quoted\" 🍵",
            vec!["--occurred-at", "2024-02-29"],
        ),
    ] {
        venom(&here, ["store", text]).args(words).run().success();
    }
    venom(&here, ["store", "elsewhere", "--space", "work"])
        .run()
        .success();
    let lines = exported(&here);
    assert_eq!(lines.lines().count(), 3);
    let out = here.join("out.jsonl");
    let words = ["export", "--all-spaces", "--out"];
    venom(&here, words).args([&out]).run().success();
    assert_eq!(std::fs::read_to_string(&out).unwrap(), lines);
    let refused = venom(&here, words).args([&out]).run().failure(2);
    assert!(refused.contains("exists already"), "{refused}");
    assert_eq!(counts(&import(&here, &out, [])), [0, 3, 0]);
    assert_eq!(counts(&import(&there, &out, [])), [3, 0, 0]);
    assert_eq!(exported(&there), lines);
    let some = venom(&here, ["export", "--tag", "home"]).run().success();
    assert_eq!(some.lines().count(), 1);
    drop(server);

    let notes = here.join("notes");
    venom(&there, ["export", "--to", "markdown", "--out"])
        .args([&notes])
        .run()
        .success();
    let refused = venom(&there, ["export", "--to", "markdown", "--out"])
        .args([&notes])
        .run();
    assert!(refused.failure(2).contains("exists already"));
    let third = Folder::new();
    assert_eq!(counts(&import(&third, &notes, [])), [2, 0, 0]);
    assert_eq!(exported(&third).lines().count(), 2);
    assert_eq!(everything(&third), everything(&there));
    let months = here.join("months");
    let by_month = ["export", "--to", "markdown", "--by-month", "--out"];
    venom(&there, by_month).args([&months]).run().success();
    let month = std::fs::read_to_string(months.join("2024-02.md")).unwrap();
    assert!(
        month.starts_with("# 2024-02\n\n## 2024-02-29 00:00 · mem_"),
        "{month}"
    );
}
