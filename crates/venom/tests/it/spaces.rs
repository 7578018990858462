//! Spaces: listed, made, renamed, deleted, and memories moved between them; by hand and killed in the middle.

use crate::guarded::Guarded;
use crate::{serve, stdio, store, venom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use venom_testing::{Door, Folder, HttpClient, StdioClient, tool_error, tool_json};

const ROUNDS: usize = 12;

/// The spaces that the command line lists, with their memories and hidden ones.
#[track_caller]
fn spaces(folder: &Folder) -> BTreeMap<String, (u64, u64)> {
    let said = venom(folder, ["space", "list", "--json"]).run().success();
    let said: Value = serde_json::from_str(&said).unwrap();
    let spaces = said["spaces"].as_array().unwrap().iter();
    let count = |space: &Value, field: &str| space[field].as_u64().unwrap();
    let counts = |space: &Value| (count(space, "memories"), count(space, "hidden"));
    spaces
        .map(|space| (space["space"].as_str().unwrap().to_owned(), counts(space)))
        .collect()
}

fn counts<const SPACES: usize>(of: [(&str, u64, u64); SPACES]) -> BTreeMap<String, (u64, u64)> {
    of.map(|(name, memories, hidden)| (name.to_owned(), (memories, hidden)))
        .into()
}

/// Fills a space with so many memories, all at once.
fn fill(folder: &Folder, space: &str, count: usize) {
    let mut lines = String::new();
    for number in 0..count {
        let _ = writeln!(
            lines,
            "{{\"id\":\"mem_{}\",\"content\":\"fact {number} of {space}\"}}",
            1_700_000_000 + number
        );
    }
    let path = folder.join("facts.jsonl");
    std::fs::write(&path, lines).unwrap();
    let import = venom(folder, ["import", "--space", space]).args([&path]);
    import.run().success();
}

fn ids_in(folder: &Folder, space: &str) -> BTreeSet<String> {
    let said = venom(folder, ["list", "--json", "-n", "1000", "--space", space]);
    let said: Value = serde_json::from_str(&said.run().success()).unwrap();
    let memories = said["memories"].as_array().unwrap().iter();
    memories
        .map(|memory| memory["memory_id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_day_with_spaces() {
    let folder = Folder::new();
    let nothing = venom(&folder, ["space", "list"]).run().success();
    assert_eq!(
        nothing,
        "There is no space yet: the first memory makes one.\n"
    );
    let made = venom(&folder, ["space", "create", "work"]).run().success();
    assert_eq!(made, "Made the space work.\n");
    let again = venom(&folder, ["space", "create", "work"]).run().success();
    assert_eq!(again, "The space work was there already.\n");
    let gone = venom(&folder, ["space", "delete", "work", "--yes"]).run();
    let expected = "Deleted the space work: there was no memory to hide.\n";
    assert_eq!(gone.success(), expected);
    let mut client = stdio(&folder);
    store(&mut client, "Tea is at four.");
    let offer = store(
        &mut client,
        "The offer for the Zurich client is due on Friday.",
    );
    drop(client);
    let to = |words: [&str; 5]| venom(&folder, words).run();
    let said = to(["space", "move", &offer, "--to", "work"]).success();
    assert_eq!(said, "Moved 1 memory to work.\n");
    let said = to(["space", "move", &offer, "--to", "work"]).success();
    assert_eq!(said, "Moved 0 memories to work; 1 there already.\n");
    let said = to(["space", "move", "mem_1", "--to", "work"]).failure(1);
    assert_eq!(said, "venom: not found: mem_1\n");
    let expected = counts([("venom_memories", 1, 0), ("work", 1, 0)]);
    assert_eq!(spaces(&folder), expected);
    let found = |space: &str, query: &str| {
        let search = venom(&folder, ["search", query, "--space", space]);
        search.run().success()
    };
    assert!(found("work", "Zurich").contains("due on Friday"));
    assert!(!found("venom_memories", "Zurich").contains("due on Friday"));
    let show = venom(&folder, ["show", &offer, "--json"]).run().success();
    assert_eq!(
        serde_json::from_str::<Value>(&show).unwrap()["space"],
        "work"
    );
}

#[test]
fn a_space_is_renamed_and_deleted_by_hand() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let tea = store(&mut client, "Tea is at four.");
    let offer = store(
        &mut client,
        "The offer for the Zurich client is due on Friday.",
    );
    drop(client);
    let moved = venom(&folder, ["space", "move", &offer, "--to", "work"]);
    moved.run().success();
    let found = |space: &str, query: &str| {
        let search = venom(&folder, ["search", query, "--space", space]);
        search.run().success()
    };
    let said = venom(&folder, ["space", "rename", "work", "venom_memories"]);
    let said = said.run().failure(2);
    assert!(
        said.starts_with("venom: the name \"venom_memories\" is taken: expected"),
        "{said}"
    );
    let said = venom(&folder, ["space", "rename", "nowhere", "x"])
        .run()
        .failure(1);
    assert!(
        said.starts_with("venom: there is no space \"nowhere\": expected"),
        "{said}"
    );
    let said = venom(&folder, ["space", "rename", "work", "Büro"])
        .run()
        .success();
    assert_eq!(said, "Renamed work to Büro.\n");
    assert!(found("Büro", "Zurich").contains("due on Friday"));
    let said = venom(&folder, ["space", "rename", "venom_memories", "home"])
        .run()
        .success();
    assert!(
        said.contains(
            "Calls that name no space still go to venom_memories: set COLLECTION_NAME to home"
        ),
        "{said}"
    );

    let refused = venom(&folder, ["space", "delete", "home"]).run().failure(2);
    assert_eq!(
        refused,
        "venom: nothing was deleted: expected --yes, as nobody can be asked, to hide 1 memory of the space home\n"
    );
    let said = venom(&folder, ["space", "delete", "home", "--yes"])
        .run()
        .success();
    assert!(
        said.starts_with("Deleted the space home: hid 1 memory."),
        "{said}"
    );
    assert_eq!(spaces(&folder), counts([("Büro", 1, 0)]));
    venom(&folder, ["space", "delete", "home", "--yes"])
        .run()
        .failure(1);
    venom(&folder, ["show", &tea]).run().failure(1);
    let said = venom(&folder, ["space", "rename", "Büro", "home"])
        .run()
        .failure(2);
    assert!(
        said.contains("is taken"),
        "its memories may come back: {said}"
    );
    venom(&folder, ["restore-memory", &tea]).run().success();
    assert_eq!(spaces(&folder), counts([("Büro", 1, 0), ("home", 1, 0)]));
    venom(&folder, ["doctor"]).run().success();
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let folder = Folder::new();
    for words in [
        vec!["space"],
        vec!["space", "move", "--to", "x"],
        vec!["space", "move", "mem_1"],
        vec!["space", "move", "mem_1", "--from", "a", "--to", "x"],
        vec!["space", "move", "mem_1", "--tag", "a", "--to", "x"],
        vec!["space", "move", "--from", "a", "--to", "a"],
        vec!["space", "create", " "],
    ] {
        venom(&folder, []).args(words).run().failure(2);
    }
}

#[test]
fn a_filter_moves_what_it_finds_page_by_page() {
    let folder = Folder::new();
    fill(&folder, "home", 700);
    let tagged = venom(
        &folder,
        ["store", "Tagged.", "-t", "trip", "--space", "home"],
    );
    tagged.run().success();
    let moves = |words: &[&str]| {
        let start = ["space", "move", "--from", "home", "--to", "work"];
        venom(&folder, start).args(words.iter().copied()).run()
    };
    let said = moves(&["--dry-run"]).success();
    assert_eq!(said, "Would move 701 memories to work.\n");
    assert_eq!(spaces(&folder), counts([("home", 701, 0)]));
    assert_eq!(
        moves(&["--tag", "trip"]).success(),
        "Moved 1 memory to work.\n"
    );
    assert_eq!(moves(&[]).success(), "Moved 700 memories to work.\n");
    assert_eq!(spaces(&folder), counts([("home", 0, 0), ("work", 701, 0)]));
    assert_eq!(ids_in(&folder, "work").len(), 701);
    let nowhere = ["space", "move", "--from", "nowhere", "--to", "work"];
    let said = venom(&folder, nowhere).run().failure(1);
    assert!(said.contains("there is no space \"nowhere\""), "{said}");
    venom(&folder, ["doctor"]).run().success();
}

#[test]
fn a_dry_run_says_of_every_id_what_the_move_will() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let [erased, hidden, kept] = ["erased", "hidden", "kept"].map(|what| store(&mut client, what));
    drop(client);
    let said = |words: &[&str]| venom(&folder, []).args(words).run();
    said(&["erase", &erased, "--yes"]).success();
    said(&["forget", &hidden]).success();
    let words = [
        "space",
        "move",
        &erased,
        "mem_1",
        &hidden,
        &kept,
        "--to=work",
    ];
    let missing = format!("venom: not found: {erased}, mem_1, {hidden}\n");
    for (more, verb) in [(["--dry-run"].as_slice(), "Would move"), (&[], "Moved")] {
        let output = venom(&folder, words).args(more).run();
        assert_eq!(output.stdout, format!("{verb} 1 memory to work.\n"));
        assert_eq!(output.failure(1), missing, "{verb}");
    }
}

#[test]
fn tools_manage_spaces() {
    let folder = Folder::new();
    let server = serve(&folder);
    // One owns the folder, the other is attached to it.
    let mut attached = stdio(&folder);
    let mut door = HttpClient::open(server.port).unwrap();
    door.initialize(venom_testing::mcp::REVISION).unwrap();
    let first = store(&mut door, "The ferry leaves at nine.");
    let second = store(&mut attached, "The office closes at six.");
    let mut ask = |tool: &str, arguments: Value| attached.call_tool(tool, &arguments);
    let made = ask("manage_space", json!({"action": "create", "space": "work"}));
    assert_eq!(tool_json(&made), json!({"created": true}));
    let moved = ask(
        "move_memories",
        json!({"memory_ids": [second, "mem_1"], "to": "work"}),
    );
    assert_eq!(
        tool_json(&moved),
        json!({"moved": 1, "not_found": ["mem_1"]})
    );
    let moved = ask(
        "move_memories",
        json!({"memory_ids": [second], "to": "work"}),
    );
    assert_eq!(tool_json(&moved), json!({"moved": 0, "already_there": 1}));
    let listed = tool_json(&ask("list_spaces", json!({})));
    let brief = |space: &Value| json!([space["space"], space["memories"], space["default"]]);
    let listed: Vec<Value> = listed["spaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(brief)
        .collect();
    assert_eq!(
        listed,
        [json!(["venom_memories", 1, true]), json!(["work", 1, null])]
    );
    let renamed = json!({"action": "rename", "space": "work", "new_name": "office"});
    assert_eq!(
        tool_json(&ask("manage_space", renamed.clone())),
        json!({"space": "office"})
    );
    assert_eq!(
        tool_json(&ask("manage_space", renamed)),
        json!({"space": "office"}),
        "repeated"
    );
    let taken = json!({"action": "rename", "space": "office", "new_name": "venom_memories"});
    let said = tool_error(&ask("manage_space", taken));
    assert!(said.contains("is taken"), "{said}");
    let search = json!({"query": "office", "space": "office"});
    assert_eq!(tool_json(&ask("search_memory", search))["total_results"], 1);
    let unsure = json!({"action": "delete", "space": "office", "confirm": "work"});
    let said = tool_error(&ask("manage_space", unsure));
    assert!(
        said.starts_with("nothing was deleted: ask the user"),
        "{said}"
    );
    let delete = json!({"action": "delete", "space": "office", "confirm": "office"});
    let deleted = tool_json(&ask("manage_space", delete));
    assert_eq!(
        deleted,
        json!({"deleted": true, "hidden_memories": 1, "erased_after": "30 days"})
    );
    let gone = tool_error(&ask("get_memory", json!({"memory_id": second})));
    assert_eq!(gone, format!("memory {second} was not found"));
    ask("forget_memory", json!({"memory_id": second, "undo": true}));
    let back = tool_json(&ask("get_memory", json!({"memory_id": second})));
    assert_eq!(back["space"], "office");
    let found = tool_json(&door.call_tool("get_memory", &json!({"memory_id": first})));
    assert_eq!(found["space"], "venom_memories");
}

/// The spaces that each token reaches.
fn tokens(folder: &Folder) -> BTreeMap<String, String> {
    let said = venom(folder, ["token", "list", "--json"]).run().success();
    let said: Value = serde_json::from_str(&said).unwrap();
    let tokens = said.as_array().unwrap().iter();
    tokens
        .filter(|token| token["name"] != "owner")
        .map(|token| {
            let name = token["name"].as_str().unwrap().to_owned();
            (name, token["spaces"].to_string())
        })
        .collect()
}

fn set_spaces(folder: &Folder, spaces: &str) {
    let file = rusqlite::Connection::open(folder.join("data/access.db")).unwrap();
    let sql = "UPDATE tokens SET spaces = ?1 WHERE name = 'laptop'";
    file.execute(sql, [spaces]).unwrap();
}

#[test]
fn rights_follow_a_space_to_its_new_name() {
    let guarded = Guarded::start();
    let id = guarded.store("work", "The offer is due on Friday.");
    let create = ["token", "create", "--name", "laptop", "--space", "work"];
    let token = guarded.venom(create).run().success();
    let token = token.lines().next().unwrap();
    let client = guarded.register(crate::guarded::REDIRECT);
    drop(client);
    let sees = |space: &str| {
        let answer = guarded
            .call(token, "list_memories", &json!({ "space": space }))
            .json();
        answer["result"]["isError"] == false && answer.to_string().contains(&id)
    };
    assert!(sees("work") && !sees("office"));
    let rename = |from: &str, to: &str| guarded.venom(["space", "rename", from, to]).run();
    rename("work", "office").success();
    assert!(sees("office") && !sees("work"));
    // What was stored under the old name since is not for it.
    guarded.store("work", "Something new.");
    let answer = guarded
        .call(token, "list_memories", &json!({"space": "work"}))
        .json();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    // A rename that is refused leaves no right behind.
    rename("office", "work").failure(2);
    assert_eq!(tokens(&guarded.folder)["laptop"], "[\"office\"]");
    // Killed when the rights were wider already, and killed when they still were: repeating it finishes.
    set_spaces(&guarded.folder, "archive\noffice");
    rename("office", "archive").success();
    assert_eq!(tokens(&guarded.folder)["laptop"], "[\"archive\"]");
    set_spaces(&guarded.folder, "archive\noffice");
    rename("office", "archive").success();
    assert_eq!(tokens(&guarded.folder)["laptop"], "[\"archive\"]");
    assert!(sees("archive"));
    let events = guarded.audit();
    let renamed = events
        .iter()
        .filter(|entry| entry["event"] == "space renamed");
    assert!(renamed.count() >= 3);
}

#[test]
fn a_caller_bound_to_spaces_restores_and_moves_within_them() {
    let guarded = Guarded::start();
    let here = guarded.store("work", "The offer is due on Friday.");
    let away = guarded.store("diary", "A secret in the diary.");
    let create = ["token", "create", "--name", "two", "--space", "work,office"];
    let token = guarded.venom(create).run().success();
    let token = token.lines().next().unwrap();
    let ask = |tool, arguments| guarded.call(token, tool, &arguments).json()["result"].clone();
    ask("forget_memory", json!({"memory_id": here}));
    let back = ask("forget_memory", json!({"memory_id": here, "undo": true}));
    assert_eq!(back["structuredContent"]["forgotten"], false, "{back}");
    guarded.venom(["forget", &away]).run().success();
    let refused = ask("forget_memory", json!({"memory_id": away, "undo": true}));
    assert_eq!(
        refused["content"][0]["text"],
        format!("memory {away} was not found")
    );
    let moved = ask(
        "move_memories",
        json!({"memory_ids": [here, away], "to": "office"}),
    );
    assert_eq!(
        moved["structuredContent"],
        json!({"moved": 1, "not_found": [away]})
    );
    // What the owner moves out of reach is gone for it, whatever it knows of it.
    guarded
        .venom(["space", "move", &here, "--to", "diary"])
        .run()
        .success();
    for (tool, arguments) in [
        ("get_memory", json!({"memory_id": here})),
        ("update_memory", json!({"memory_id": here, "content": "x"})),
        ("update_memory", json!({"memory_id": here, "tags": ["x"]})),
        ("forget_memory", json!({"memory_id": here})),
    ] {
        let said = ask(tool, arguments)["content"][0]["text"].clone();
        assert_eq!(said, format!("memory {here} was not found"), "{tool}");
    }
}

#[test]
fn a_big_delete_or_move_that_is_killed_leaves_the_rest_and_goes_on() {
    const MEMORIES: usize = 900;
    let origin = Folder::new();
    fill(&origin, "full", MEMORIES);
    let all = ids_in(&origin, "full");
    assert_eq!(all.len(), MEMORIES);
    for round in 0..ROUNDS {
        let folder = Folder::new();
        std::fs::create_dir(folder.join("data")).unwrap();
        let name = "data/venom.db";
        std::fs::copy(origin.join(name), folder.join(name)).unwrap();
        let (words, stage) = if round % 2 == 0 {
            (vec!["space", "delete", "full", "--yes"], "hid ")
        } else {
            (
                vec!["space", "move", "--from", "full", "--to", "other"],
                "moved up to ",
            )
        };
        let run = || {
            venom(&folder, [])
                .args(words.clone())
                .env("VENOM_LOG", "debug")
        };
        let mut process = run().spawn();
        process.log_with(&format!(
            "{stage}{}",
            256 * (1 + if round % 2 == 0 { round / 2 % 3 } else { 0 })
        ));
        process.kill();
        let halfway = spaces(&folder);
        let left = halfway.get("full").map_or(0, |space| space.0);
        let elsewhere = halfway.get("other").map_or(0, |space| space.0);
        let hidden = halfway.get("full").map_or(0, |space| space.1);
        assert!(left < MEMORIES as u64, "something was done: {halfway:?}");
        if halfway.contains_key("full") {
            assert_eq!(left + elsewhere + hidden, MEMORIES as u64, "{halfway:?}");
        }
        assert_eq!(
            ids_in(&folder, "full").len() as u64,
            left,
            "what is left is there"
        );
        venom(&folder, ["doctor"]).run().success();
        if left > 0 {
            run().run().success();
        }
        let after = spaces(&folder);
        if round % 2 == 0 {
            assert_eq!(after, counts([]), "deleted");
        } else {
            assert_eq!(ids_in(&folder, "other"), all);
        }
        venom(&folder, ["doctor"]).run().success();
    }
}

#[test]
fn a_rename_that_is_killed_gives_nobody_more_and_is_finished_by_the_next() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let id = store(&mut client, "The offer is due on Friday.");
    drop(client);
    let create = [
        "token",
        "create",
        "--name",
        "laptop",
        "--space",
        "venom_memories",
    ];
    venom(&folder, create).run().success();
    let mut names = ["venom_memories".to_owned(), String::new()];
    let stages = [
        "the model was loaded",
        "the space has its new name",
        "at once",
        "what is bound to the space follows",
    ];
    for round in 0..ROUNDS {
        names[1] = format!("name {round}");
        let rename = || {
            let words = ["space", "rename", &names[0], &names[1]];
            venom(&folder, words).env("VENOM_LOG", "debug")
        };
        let mut process = rename().spawn();
        if round % 4 != 2 {
            process.log_with(stages[round % 4]);
        }
        process.kill();
        let home: Vec<String> = spaces(&folder).into_keys().collect();
        assert!(home == names[..1] || home == names[1..], "{home:?}");
        let reaches = tokens(&folder)["laptop"].clone();
        let one = |name: &str| format!("[{name:?}]");
        let may_lag = home == names[1..] && reaches == one(&names[0]);
        assert!(
            reaches == one(&home[0]) || may_lag,
            "{reaches} has {home:?}"
        );
        rename().run().success();
        assert_eq!(tokens(&folder)["laptop"], format!("[{:?}]", names[1]));
        assert_eq!(ids_in(&folder, &names[1]), BTreeSet::from([id.clone()]));
        names[0] = names[1].clone();
    }
    let mut client = StdioClient::start(venom(&folder, []).env("COLLECTION_NAME", &names[1]));
    client.initialize(venom_testing::mcp::REVISION);
    assert_eq!(crate::search(&mut client, "offer").len(), 1);
}
