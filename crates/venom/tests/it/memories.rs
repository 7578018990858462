//! What can be done with memories, through the doors: conversations, filters, pages, changes, duplicates.

use crate::{serve, stdio, store, venom};
use serde_json::{Value, json};
use venom_testing::mcp::REVISION;
use venom_testing::process::free_port;
use venom_testing::{
    Connection, Door, Folder, HttpClient, Server, SseClient, StdioClient, tool_error, tool_json,
};

#[track_caller]
fn call(door: &mut impl Door, tool: &str, arguments: &Value) -> Value {
    tool_json(&door.call_tool(tool, arguments))
}

/// The contents of the memories in an answer.
#[track_caller]
fn contents(answer: &Value) -> Vec<String> {
    let list = answer.get("results").unwrap_or(&answer["memories"]);
    let memories = list.as_array().expect("a list");
    let content = |memory: &Value| memory["content"].as_str().expect("a text").to_owned();
    memories.iter().map(content).collect()
}

fn check_changes(door: &mut impl Door) {
    door.open_with(REVISION);
    let id = store(door, "Ben lives in Rome");
    let change = json!({
        "memory_id": id, "content": "Ben lives in Oslo", "tags": ["moved"], "occurred_at": "2026-03-01"
    });
    let changed = call(door, "update_memory", &change);
    assert_eq!(
        (&changed["memory_id"], &changed["tags"]),
        (&json!(id), &json!(["moved"]))
    );
    let found = call(
        door,
        "search_memory",
        &json!({"query": "where does Ben live"}),
    );
    assert_eq!(contents(&found), ["Ben lives in Oslo"]);
    assert_eq!(
        found["results"][0]["occurred_at"],
        "2026-03-01T00:00:00.000000Z"
    );
    let tags = call(door, "update_memory", &json!({"memory_id": id, "tags": []}));
    assert_eq!(
        (&tags["tags"], &tags["content"]),
        (&Value::Null, &json!("Ben lives in Oslo"))
    );

    assert_eq!(
        call(door, "forget_memory", &json!({"memory_id": id}))["forgotten"],
        true
    );
    assert_eq!(
        contents(&call(door, "list_memories", &json!({}))),
        Vec::<String>::new()
    );
    for tool in ["get_memory", "forget_memory"] {
        let gone = tool_error(&door.call_tool(tool, &json!({ "memory_id": id })));
        assert_eq!(gone, format!("memory {id} was not found"));
    }
    let back = call(
        door,
        "forget_memory",
        &json!({"memory_id": id, "undo": true}),
    );
    assert_eq!(back["forgotten"], false);
    assert_eq!(
        call(door, "get_memory", &json!({ "memory_id": id }))["content"],
        "Ben lives in Oslo"
    );
}

#[test]
fn memories_are_changed_forgotten_and_brought_back_over_every_transport() {
    let folder = Folder::new();
    check_changes(&mut StdioClient::start(venom(&folder, [])));
    for check in [
        |port| check_changes(&mut HttpClient::open(port).unwrap()),
        |port| check_changes(&mut SseClient::open(port).unwrap()),
    ] {
        let folder = Folder::new();
        check(serve(&folder).port);
    }
}

#[test]
fn a_conversation_is_kept_whole_or_not_at_all() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let turns = json!([
        {"speaker": "Ben", "content": "What do you play in the orchestra?"},
        {"speaker": "Anna", "content": "Mostly the cello.", "occurred_at": "2026-03-01T20:00:00Z"},
        {"speaker": "Anna", "content": "Mostly the cello.", "tags": ["again"]},
    ]);
    let broken = json!({"turns": [turns[0], {"content": "x", "tags": ["", "y"]}]});
    tool_error(&client.call("store_conversation", &broken));
    let stored = call(
        &mut client,
        "store_conversation",
        &json!({ "turns": turns }),
    );
    let ids = stored["memory_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 3, "what is said twice is kept twice");
    let session = stored["session"].as_str().unwrap();
    assert_eq!(
        session,
        format!(
            "conversation {}",
            ids[0].as_str().unwrap().replace("mem_", "")
        )
    );
    let listed = call(&mut client, "list_memories", &json!({ "session": session }));
    assert_eq!(listed["memories"].as_array().unwrap().len(), 3);
    assert_eq!(
        listed["memories"][1]["occurred_at"],
        "2026-03-01T20:00:00.000000Z"
    );
    let question = json!({"query": "Does Anna play the cello?", "limit": 1});
    assert_eq!(
        contents(&call(&mut client, "search_memory", &question)),
        ["Mostly the cello."]
    );

    // The same by the command line, from a file and from stdin.
    let file = folder.path().join("talk.json");
    std::fs::write(
        &file,
        json!({"session": "monday", "turns": turns}).to_string(),
    )
    .unwrap();
    let said = venom(&folder, ["store-conversation", "talk.json"])
        .run()
        .success();
    assert_eq!(said, "Remembered 3 turns of monday.\n");
    let lines = "{\"role\": \"user\", \"content\": \"Hi\"}\n{\"role\": \"assistant\", \"content\": \"Hello\"}\n";
    let stdin = venom(
        &folder,
        ["store-conversation", "--session", "tuesday", "--json"],
    );
    let stored: Value = serde_json::from_str(&stdin.run_with(lines.as_bytes()).success()).unwrap();
    assert_eq!(contents(&stored), ["Hi", "Hello"]);
    assert_eq!(stored["memories"][1]["speaker"], "assistant");
}

#[test]
fn filters_take_away_and_keep_the_order() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    for (content, tags, speaker, occurred_at) in [
        (
            "Tea in the garden",
            json!(["drink", "home"]),
            "Anna",
            "2026-01-10",
        ),
        (
            "Tea at the office",
            json!(["drink", "work"]),
            "Ben",
            "2026-02-10",
        ),
        ("Tea on the boat", json!(["drink"]), "ANNA", "2026-03-10"),
        ("Tea for the guests", json!(null), "user", "yesterday"),
    ] {
        let memory = json!({
            "content": content, "tags": tags, "speaker": speaker, "occurred_at": occurred_at,
            "session": occurred_at
        });
        call(&mut client, "store_memory", &memory);
    }
    call(
        &mut client,
        "store_memory",
        &json!({"content": "Tea elsewhere", "space": "other"}),
    );
    let all = contents(&call(
        &mut client,
        "search_memory",
        &json!({"query": "tea"}),
    ));
    assert_eq!(all.len(), 4);
    for (filter, places) in [
        (json!({"tags": ["home", "work"]}), "garden office"),
        (json!({"tags_all": ["drink", "work"]}), "office"),
        (json!({"tags_none": ["work", "home"]}), "boat guests"),
        (json!({"since": "2026-02"}), "office boat guests"),
        (json!({"until": "2026-02"}), "garden office"),
        (
            json!({"since": "2026-02-10", "until": "2026-02-10"}),
            "office",
        ),
        (
            json!({"since": "yesterday", "until": "yesterday"}),
            "guests",
        ),
        (json!({"since": "past 3 days"}), "guests"),
        (json!({"speaker": "anna"}), "garden boat"),
        (json!({"session": "2026-03-10"}), "boat"),
        (json!({"space": "other"}), "elsewhere"),
        (json!({"min_relevance": 100}), ""),
    ] {
        let mut arguments = filter.clone();
        arguments["query"] = json!("tea");
        let found = contents(&call(&mut client, "search_memory", &arguments));
        let is_expected = |text: &&String| {
            places
                .split(' ')
                .any(|place| !place.is_empty() && text.ends_with(place))
        };
        let expected: Vec<String> = if filter.get("space").is_some() {
            vec!["Tea elsewhere".to_owned()]
        } else {
            all.iter().filter(is_expected).cloned().collect()
        };
        assert_eq!(found, expected, "{filter}");
        if filter.get("min_relevance").is_none() {
            let mut listed = contents(&call(&mut client, "list_memories", &filter));
            let mut expected = expected;
            listed.sort();
            expected.sort();
            assert_eq!(listed, expected, "{filter}");
        }
    }
    // A time in the question itself only says what is likelier.
    let question = json!({"query": "tea in March 2026"});
    let found = contents(&call(&mut client, "search_memory", &question));
    assert_eq!((found.len(), found[0].as_str()), (4, "Tea on the boat"));
    // The command line reads the same words.
    let words = [
        "search",
        "tea",
        "--tag-none=work",
        "--tag-all=drink",
        "--since=2026-01",
        "--until=2026-02",
    ];
    let found = venom(&folder, words).run().success();
    assert!(
        found.contains("garden") && found.lines().count() == 2,
        "{found}"
    );
}

#[test]
fn pages_follow_their_cursor_to_the_end() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let turns: Vec<Value> = (0..47)
        .map(|n| json!({"content": format!("turn {n}")}))
        .collect();
    call(
        &mut client,
        "store_conversation",
        &json!({ "turns": turns }),
    );
    let expected: Vec<String> = (0..47).rev().map(|n| format!("turn {n}")).collect();
    for budget in [
        json!({"limit": 10}),
        json!({"max_tokens": 300}),
        json!({"limit": 47}),
    ] {
        let (mut all, mut arguments) = (Vec::new(), budget.clone());
        loop {
            let page = call(&mut client, "list_memories", &arguments);
            all.extend(contents(&page));
            if page["next_cursor"].is_null() {
                break;
            }
            arguments["cursor"] = page["next_cursor"].clone();
        }
        assert_eq!(all, expected, "{budget}");
    }
}

#[test]
fn answers_keep_to_their_budget_and_long_texts_are_read_on() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let filler = "The weather was fine and nothing else happened on that day. ".repeat(100);
    let long = format!("{filler}The key to the boat house hangs behind the clock. {filler}");
    let long = long.trim();
    let id = store(&mut client, long);
    for n in 0..6 {
        store(
            &mut client,
            &format!("Boat house note {n}: {}", "paint ".repeat(60)),
        );
    }
    let search = |client: &mut StdioClient, more: &Value| {
        let mut arguments = more.clone();
        arguments["query"] = json!("Where does the key to the boat house hang?");
        call(client, "search_memory", &arguments)
    };
    let found = search(&mut client, &json!({"limit": 7, "explain": true}));
    let results = found["results"].as_array().unwrap();
    let hit = results
        .iter()
        .find(|hit| hit["memory_id"] == id.as_str())
        .unwrap();
    let part = hit["content"].as_str().unwrap();
    assert!(
        part.contains("behind the clock") && part.len() < 3_000,
        "{part}"
    );
    assert!(
        hit["truncated"].as_str().unwrap().contains("get_memory"),
        "{hit}"
    );
    assert_eq!(hit["explanation"]["passage"], hit["content"]);
    let words = &hit["explanation"]["matched_words"];
    assert_eq!(*words, json!(["key", "boat", "house", "hangs"]));
    let parts = hit["explanation"]["parts"].as_object().unwrap();
    let sum: f64 = parts.values().filter_map(Value::as_f64).sum();
    assert!((sum - hit["score"].as_f64().unwrap()).abs() < 0.01, "{hit}");

    let few = search(&mut client, &json!({"limit": 7, "max_tokens": 600}));
    let sent = few["results"].as_array().unwrap().len();
    assert!(
        (1..7).contains(&sent) && few.to_string().len() < 2_100,
        "{few}"
    );
    assert_eq!(few["omitted_results"], json!(7 - sent));

    let (mut whole, mut offset) = (String::new(), json!(0));
    while !offset.is_null() {
        let arguments = json!({"memory_id": id, "offset": offset, "max_tokens": 500});
        let part = call(&mut client, "get_memory", &arguments);
        let content = part["content"].as_str().unwrap();
        assert!(content.len() <= 1_500, "{}", content.len());
        whole.push_str(content);
        offset = part["next_offset"].clone();
    }
    assert_eq!(whole, long);
    assert_eq!(
        call(&mut client, "get_memory", &json!({ "memory_id": id }))["content"],
        long
    );
}

#[test]
fn the_same_again_is_one_memory_unless_both_are_wanted() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let id = store(&mut client, "The user's dog is called Rex");
    for (content, same) in [
        ("The user's dog is called Rex.", true),
        ("User's dog is called  rex", true),
        ("The user's dog is called Max", false),
        ("The user's dog is not called Rex", false),
        ("The user's dogs are called Rex", false),
    ] {
        let stored = call(
            &mut client,
            "store_memory",
            &json!({"content": content, "tags": ["dog"]}),
        );
        let expected = if same { json!(id) } else { Value::Null };
        assert_eq!(stored["duplicate_of"], expected, "{content}");
        assert_eq!(stored["memory_id"] == id.as_str(), same, "{content}");
    }
    let kept = call(&mut client, "get_memory", &json!({ "memory_id": id }));
    assert_eq!(
        (&kept["content"], &kept["tags"]),
        (&json!("The user's dog is called Rex"), &json!(["dog"]))
    );
    let again = venom(&folder, ["store", "the user's dog is called Rex"])
        .run()
        .success();
    assert_eq!(again, format!("Remembered already as {id}.\n"));
    let both = venom(
        &folder,
        ["store", "--duplicates=keep", "the user's dog is called Rex"],
    );
    assert!(both.run().success().starts_with("Remembered as mem_"));
}

/// One fact in two wordings.
const SAME: [(&str, &str); 17] = [
    ("The user lives in Rome", "User lives in Rome"),
    ("The user's dog is called Rex", "User's dog is called Rex"),
    ("A dog sleeps in the hall", "Dog sleeps in hall"),
    ("Anna doesn't eat meat", "Anna does not eat meat"),
    ("It's the flat on the left", "It is the flat on the left"),
    ("I can't swim", "I cannot swim"),
    ("I'm allergic to nuts", "I am allergic to nuts"),
    (
        "The meeting is on the first Monday of the month",
        "Meeting is on first Monday of month",
    ),
    (
        "The backup runs at the weekend on the NAS",
        "Backup runs at weekend on NAS",
    ),
    (
        "User prefers the window seat on the train",
        "The user prefers a window seat on a train",
    ),
    (
        "We'll move to the new office in May",
        "We will move to new office in May",
    ),
    ("He won't come to the party", "He will not come to party"),
    ("They've bought a house", "They have bought house"),
    ("The red car", "Red car"),
    ("Ben is an engineer", "Ben is engineer"),
    (
        "Prefers the dark roast in the morning",
        "Prefers dark roast in morning",
    ),
    (
        "The password manager is on the phone",
        "Password manager is on phone",
    ),
];

/// Two facts that are told apart by a number, a name, a date, a negation or one small word.
const DIFFERENT: [(&str, &str); 22] = [
    ("flat on floor 3", "flat on floor 4"),
    ("The meeting is at 9:30", "The meeting is at 10:30"),
    ("it costs 3.5 euros", "it costs 35 euros"),
    ("Anna eats meat", "Anna does not eat meat"),
    ("Ben likes tea", "Ben dislikes tea"),
    ("Anna gave Ben a book", "Ben gave Anna a book"),
    ("she moved in May", "she moved in March"),
    ("Anna lives in Rome", "Hanna lives in Rome"),
    ("he lives in Rome", "she lives in Rome"),
    ("he lives in Rome", "he lived in Rome"),
    ("moved on 2026-03-01", "moved on 2026-03-10"),
    ("User's dog is called Rex", "User's dog is called Max"),
    (
        "My sister's birthday is 4 May",
        "My sister's birthday is 5 May",
    ),
    (
        "My sister's birthday is 4 May",
        "My brother's birthday is 4 May",
    ),
    ("Server runs on port 8000", "Server runs on port 8080"),
    ("The key is under the mat", "The key is not under the mat"),
    ("take vitamin A daily", "take vitamin daily"),
    ("I saw The Who last night", "I saw who last night"),
    ("is it Monday?", "it is Monday"),
    ("allergic to walnuts", "allergic to peanuts"),
    ("always lock the door", "never lock the door"),
    ("Anna will come", "Anna may come"),
];

#[test]
fn one_fact_in_two_wordings_is_one_memory_and_two_facts_are_two() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let same = SAME.iter().map(|pair| (pair, true));
    let different = DIFFERENT.iter().map(|pair| (pair, false));
    for (number, ((one, other), is_same)) in same.chain(different).enumerate() {
        let mut keep = |content| {
            let memory = json!({"content": content, "space": format!("pair {number}")});
            call(&mut client, "store_memory", &memory)
        };
        let (first, second) = (keep(one), keep(other));
        let merged = second.get("duplicate_of") == first.get("memory_id");
        assert_eq!(merged, is_same, "{one:?} {other:?}");
    }
}

/// The names of the tools that a client sees that sends this header.
fn tools_for(port: u16, agent: &str) -> Vec<String> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", REVISION),
        ("user-agent", agent),
    ];
    let mut connection = Connection::open(port).unwrap();
    let listed = connection.request("POST", "/mcp", &headers, body.as_bytes());
    let listed = listed.unwrap().json();
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn connectors_of_chatgpt_see_search_and_fetch_and_others_do_not() {
    let folder = Folder::new();
    let server = serve(&folder);
    assert_eq!(tools_for(server.port, "claude-code/2").len(), 11);
    let seen = tools_for(server.port, "openai-mcp/1.0.0");
    assert_eq!(seen[11..], ["search", "fetch"]);

    let mut client = StdioClient::start(venom(&folder, []));
    let hello = json!({
        "protocolVersion": REVISION, "capabilities": {},
        "clientInfo": {"name": "ChatGPT", "version": "1"}
    });
    client.request("initialize", &hello);
    let listed = client.request("tools/list", &json!({}));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 13);
    let id = store(&mut client, "Anna's bicycle is red\nand has a bell");
    let found = call(
        &mut client,
        "search",
        &json!({"query": "colour of the bicycle"}),
    );
    let expected = json!({"id": id, "title": "Anna's bicycle is red", "url": format!("venom://memories/{id}")});
    assert_eq!(found, json!({ "results": [expected] }));
    let fetched = call(&mut client, "fetch", &json!({ "id": id }));
    assert_eq!(fetched["text"], "Anna's bicycle is red\nand has a bell");
    assert_eq!(
        (&fetched["id"], &fetched["title"]),
        (&expected["id"], &expected["title"])
    );
    assert!(fetched["metadata"]["timestamp"].is_string(), "{fetched}");
    drop((client, server));

    let command = venom(&folder, []).env("VENOM_CONNECTOR_TOOLS", "never");
    let never = Server::start_with(command, folder.path(), free_port());
    assert_eq!(tools_for(never.port, "openai-mcp/1.0.0").len(), 11);
}

#[test]
fn a_language_that_is_set_finds_its_inflections() {
    let folder = Folder::new();
    let text = "Дома с большими квартирами в Köln, ☕ auch cafe\u{301}s";
    venom(&folder, ["store", text]).run().success();
    for language in ["russian", "english", "none"] {
        let words = [
            "search",
            "квартира",
            "--explain",
            "--json",
            "--language",
            language,
        ];
        let found: Value = serde_json::from_str(&venom(&folder, words).run().success()).unwrap();
        let hit = &found["results"][0];
        assert_eq!(hit["content"], text, "kept as it was written");
        let matched = hit["explanation"]["parts"]["words"].as_f64().unwrap() > 0.0;
        assert_eq!(matched, language == "russian", "{language}: {hit}");
        let expected = if matched {
            json!(["квартирами"])
        } else {
            json!([])
        };
        assert_eq!(hit["explanation"]["matched_words"], expected, "{language}");
    }
    let refused = venom(&folder, ["stats", "--language", "klingon"])
        .run()
        .failure(2);
    assert!(
        refused.contains("--language is \"klingon\": expected english, none or one of"),
        "{refused}"
    );
}

#[test]
fn an_explanation_shows_mended_and_near_words() {
    let folder = Folder::new();
    let text = "Größere Wohnungen am Bahnhof: the children swim on Fridays";
    venom(&folder, ["store", text]).run().success();
    for (question, word) in [
        ("kids", "children"),
        ("chidlren", "children"),
        ("wohnung", "wohnungen"),
        ("swimming", "swim"),
    ] {
        let words = ["search", question, "--explain", "--json"];
        let found: Value = serde_json::from_str(&venom(&folder, words).run().success()).unwrap();
        let explanation = &found["results"][0]["explanation"];
        assert_eq!(explanation["matched_words"], json!([word]), "{question}");
        let shown = venom(&folder, ["search", question, "--explain"])
            .run()
            .success();
        assert!(shown.contains(&format!("words: {word}\n")), "{shown}");
    }
}

#[test]
fn a_memory_is_changed_and_brought_back_by_the_command_line() {
    let folder = Folder::new();
    let stored = venom(
        &folder,
        ["store", "--json", "-t", "old", "Ben lives in Rome"],
    )
    .run()
    .success();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let id = stored["memory_id"].as_str().unwrap();
    let changed = venom(
        &folder,
        ["update", id, "Ben lives in Oslo", "--speaker", "Ben"],
    )
    .run()
    .success();
    assert!(
        changed.contains("Oslo") && changed.contains("#old") && changed.contains("Ben:"),
        "{changed}"
    );
    let bare = venom(&folder, ["update", id, "--tag", ""]).run().success();
    assert!(bare.contains("Oslo") && !bare.contains('#'), "{bare}");
    venom(&folder, ["forget", id]).run().success();
    let back = venom(&folder, ["restore-memory", id]).run().success();
    assert!(back.contains(id) && back.contains("Oslo"), "{back}");
    let explained = venom(&folder, ["search", "where does Ben live", "--explain"])
        .run()
        .success();
    assert!(
        explained.contains("words: ben lives") && explained.contains("score "),
        "{explained}"
    );
}
