//! Bad input through every door: always one clear sentence, nothing half written, the server goes on.

use crate::{everything, search, serve, stdio, store, venom};
use serde_json::{Value, json};
use venom_testing::{Door, Folder, HttpClient, SseClient, tool_error};

/// Calls that no door takes, each with its sentence.
fn refused_calls() -> Vec<(&'static str, Value, String)> {
    let store = |arguments, sentence: &str| ("store_memory", arguments, sentence.to_owned());
    let search = |arguments, sentence: &str| ("search_memory", arguments, sentence.to_owned());
    let blank = "is empty: expected at least 1 character besides white space";
    let eleven: Vec<String> = (0..11).map(|n| format!("t{n}")).collect();
    vec![
        store(json!({"content": ""}), &format!("content {blank}")),
        store(json!({"content": " \n\t\u{3000}"}), &format!("content {blank}")),
        store(json!({}), "content is missing: expected a text"),
        store(json!({"content": null}), "content is missing: expected a text"),
        store(json!({"content": 5}), "content is malformed: expected a text, received \"5\""),
        store(
            json!({"content": "a\u{0}b"}),
            "content contains a NUL character (U+0000) at byte 1: expected text without it",
        ),
        store(
            json!({"content": "x".repeat(10_000_000)}),
            "content is too long: expected at most 262144 bytes of UTF-8, received 10000000",
        ),
        store(json!({"content": "x", "tags": eleven}), "too many tags: expected at most 10, received 11"),
        store(json!({"content": "x", "tags": ["ok", " "]}), "tag 2 has 0 characters: expected 1 to 50"),
        store(json!({"content": "x", "tags": ["ü".repeat(51)]}), "tag 1 has 51 characters: expected 1 to 50"),
        store(
            json!({"content": "x", "tags": "pets"}),
            "tags is malformed: expected a list of texts, received \"pets\"",
        ),
        store(
            json!({"content": "x", "tags": ["a", 7]}),
            "tags is malformed: expected a list of texts, received \"7\"",
        ),
        search(json!({"query": "  "}), &format!("query {blank}")),
        search(json!({}), "query is missing: expected a text"),
        search(json!({"query": "x", "limit": 0}), "limit is out of range: expected 1 to 20, received 0"),
        search(json!({"query": "x", "limit": 21}), "limit is out of range: expected 1 to 20, received 21"),
        search(
            json!({"query": "x", "limit": "five"}),
            "limit is malformed: expected a whole number from 1 to 20, received \"five\"",
        ),
        search(
            json!({"query": "x\u{0}"}),
            "query contains a NUL character (U+0000) at byte 1: expected text without it",
        ),
        (
            "spawn_venom",
            json!({"persona": "nobody"}),
            "persona \"nobody\" was not found: looked for venom_personality_nobody.md in personalities, ."
                .to_owned(),
        ),
    ]
}

/// Filters, pages, changes and conversations that no door of MCP takes.
fn refused_arguments() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "search_memory",
            json!({"query": "x", "since": "the flood"}),
            "since is malformed: expected a date (2026-03-01, 2026-03, 2026), a time (2026-03-01T08:30:00Z) \
             or words (yesterday, last week, 3 days ago, past 2 months, march), received \"the flood\"",
        ),
        (
            "search_memory",
            json!({"query": "x", "since": "2026-03-02", "until": "2026-03-01T00:00:00Z"}),
            "since is after until: expected a stretch of time, received 2026-03-02T00:00:00.000000Z to \
             2026-03-01T00:00:00.000000Z",
        ),
        (
            "search_memory",
            json!({"query": "x", "min_relevance": 101}),
            "min_relevance is malformed: expected a number from 0 to 100, received \"101\"",
        ),
        (
            "search_memory",
            json!({"query": "x", "explain": "why"}),
            "explain is malformed: expected true or false, received \"why\"",
        ),
        (
            "search_memory",
            json!({"query": "x", "max_tokens": 5}),
            "max_tokens is out of range: expected 100 to 100000, received 5",
        ),
        (
            "search_memory",
            json!({"query": "x", "space": "a\nb"}),
            "space is malformed: expected 1 to 128 characters without control characters, received \"a\\nb\"",
        ),
        (
            "list_memories",
            json!({"limit": 101}),
            "limit is out of range: expected 1 to 100, received 101",
        ),
        (
            "list_memories",
            json!({"cursor": "page 2"}),
            "cursor is malformed: expected next_cursor of the page before, received \"page 2\"",
        ),
        (
            "get_memory",
            json!({"memory_id": "mem_1"}),
            "memory mem_1 was not found",
        ),
        (
            "get_memory",
            json!({"memory_id": "1"}),
            "memory_id is malformed: expected mem_ followed by digits, received \"1\"",
        ),
        (
            "fetch",
            json!({"id": "mem_1"}),
            "memory mem_1 was not found",
        ),
        (
            "update_memory",
            json!({"memory_id": "mem_1", "content": "x"}),
            "memory mem_1 was not found",
        ),
        (
            "update_memory",
            json!({"memory_id": "mem_1"}),
            "nothing to change: expected content, tags, speaker, session or occurred_at",
        ),
        (
            "forget_memory",
            json!({"memory_id": "mem_1", "undo": true}),
            "memory mem_1 was not found",
        ),
        (
            "store_conversation",
            json!({"turns": "Anna: hi"}),
            "turns is missing: expected a list of objects with content and speaker",
        ),
        (
            "store_conversation",
            json!({"turns": []}),
            "the number of turns is out of range: expected 1 to 1000, received 0",
        ),
        (
            "store_conversation",
            json!({"turns": [{"content": "fine"}, {"content": " "}]}),
            "turn 2: content is empty: expected at least 1 character besides white space",
        ),
        (
            "store_memory",
            json!({"content": "x", "occurred_at": "2026-02-30"}),
            "occurred_at is malformed: expected a date (2026-03-01, 2026-03, 2026), a time \
             (2026-03-01T08:30:00Z) or words (yesterday, last week, 3 days ago, past 2 months, march), \
             received \"2026-02-30\"",
        ),
    ]
}

/// What no door of MCP takes about spaces.
fn refused_about_spaces() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "move_memories",
            json!({"memory_ids": [], "to": "work"}),
            "memory_ids is missing: expected a list of at least one memory_id",
        ),
        (
            "move_memories",
            json!({"memory_ids": ["42"], "to": "work"}),
            "memory_id is malformed: expected mem_ followed by digits, received \"42\"",
        ),
        (
            "move_memories",
            json!({"memory_ids": vec!["mem_1"; 257], "to": "work"}),
            "too many memories: expected at most 256 in a call, received 257",
        ),
        (
            "move_memories",
            json!({"memory_ids": ["mem_1"]}),
            "to is missing: expected a text",
        ),
        (
            "manage_space",
            json!({"action": "burn", "space": "work"}),
            "action is malformed: expected create, rename or delete, received \"burn\"",
        ),
        (
            "manage_space",
            json!({"action": "create", "space": "a\nb"}),
            "space is malformed: expected 1 to 128 characters without control characters, received \"a\\nb\"",
        ),
        (
            "manage_space",
            json!({"action": "rename", "space": "work"}),
            "new_name is missing: expected the new name of the space",
        ),
        (
            "manage_space",
            json!({"action": "rename", "space": "work", "new_name": "home"}),
            "there is no space \"work\": expected one that venom space list shows",
        ),
        (
            "manage_space",
            json!({"action": "delete", "space": "work"}),
            "nothing was deleted: ask the user, then set confirm to the name of the space; expected \"work\", \
             received nothing",
        ),
        (
            "manage_space",
            json!({"action": "delete", "space": "work", "confirm": "yes"}),
            "nothing was deleted: ask the user, then set confirm to the name of the space; expected \"work\", \
             received \"yes\"",
        ),
        (
            "manage_space",
            json!({"action": "delete", "space": "work", "confirm": "work"}),
            "there is no space \"work\": expected one that venom space list shows",
        ),
    ]
}

/// Requests that are answered with a JSON-RPC error: method, parameters, code, and part of the sentence.
fn refused_requests() -> Vec<(&'static str, Value, i64, &'static str)> {
    vec![
        (
            "tools/call",
            json!({"name": "forget_everything", "arguments": {}}),
            -32602,
            "unknown tool \"forget_everything\": expected one of search_memory, store_memory, \
             store_conversation, list_memories, get_memory, update_memory, forget_memory, list_spaces, move_memories, \
             manage_space, spawn_venom",
        ),
        (
            "tools/call",
            json!({"arguments": {}}),
            -32602,
            "expected params.name, a text",
        ),
        (
            "prompts/get",
            json!({"name": "nobody"}),
            -32602,
            "unknown prompt \"nobody\"",
        ),
        (
            "prompts/get",
            json!({"name": "persona_nobody"}),
            -32602,
            "persona \"nobody\" was not found",
        ),
        (
            "resources/read",
            json!({"uri": "file:///etc/passwd"}),
            -32002,
            "unknown resource",
        ),
        (
            "resources/read",
            json!({"uri": "venom://persona/../x"}),
            -32002,
            "unknown resource",
        ),
        (
            "memories/burn",
            json!({}),
            -32601,
            "unknown method \"memories/burn\"",
        ),
    ]
}

/// Messages that are none: bytes, code, and part of the sentence.
const REFUSED_MESSAGES: [(&[u8], i64, &str); 9] = [
    (
        b"{\"jsonrpc\": \"2.0\", ",
        -32700,
        "the message cannot be read: expected one JSON-RPC 2.0 object",
    ),
    (b"\xff\xfe", -32700, "received invalid UTF-8 at byte 0"),
    (
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud800"}}"#,
        -32700,
        "a lone surrogate",
    ),
    (br#""hello""#, -32600, "received something else"),
    (b"[]", -32600, "received an empty batch"),
    (
        br#"{"id":1,"method":"ping"}"#,
        -32600,
        "without \"jsonrpc\": \"2.0\"",
    ),
    (br#"{"jsonrpc":"2.0","id":1}"#, -32600, "without a method"),
    (
        br#"{"jsonrpc":"2.0","id":[],"method":"ping"}"#,
        -32600,
        "id or params have a wrong type",
    ),
    (&[b'['; 5_000], -32600, "nested deeper than 64 levels"),
];

fn check_door(door: &mut impl Door) {
    door.open_with("2025-06-18");
    for (tool, arguments, sentence) in refused_calls() {
        assert_eq!(tool_error(&door.call_tool(tool, &arguments)), sentence);
    }
    let refused = refused_arguments()
        .into_iter()
        .chain(refused_about_spaces());
    for (tool, arguments, sentence) in refused {
        assert_eq!(tool_error(&door.call_tool(tool, &arguments)), sentence);
    }
    for (method, params, code, words) in refused_requests() {
        let answer = door.ask(method, &params);
        assert_eq!(answer["error"]["code"], code, "{answer}");
        let sentence = answer["error"]["message"].as_str().expect("a sentence");
        assert!(sentence.contains(words), "{sentence}");
    }
    for (bytes, code, words) in REFUSED_MESSAGES {
        let answer = door.ask_bytes(bytes);
        assert_eq!(answer["error"]["code"], code, "{answer}");
        let sentence = answer["error"]["message"].as_str().expect("a sentence");
        assert!(sentence.contains(words), "{sentence}");
    }
    // Nothing of all that was kept, and the server goes on.
    assert_eq!(search(door, "anything at all"), Vec::<String>::new());
    store(door, "Tea, not coffee");
    assert_eq!(search(door, "what to drink"), ["Tea, not coffee"]);
}

#[test]
fn over_stdio() {
    let folder = Folder::new();
    check_door(&mut stdio(&folder));
    assert_eq!(everything(&folder).len(), 1);
}

#[test]
fn over_http() {
    let folder = Folder::new();
    let server = serve(&folder);
    check_door(&mut HttpClient::open(server.port).unwrap());
    assert_eq!(everything(&folder).len(), 1);
}

#[test]
fn over_legacy_sse() {
    let folder = Folder::new();
    let server = serve(&folder);
    check_door(&mut SseClient::open(server.port).unwrap());
    assert_eq!(everything(&folder).len(), 1);
}

#[test]
fn a_session_that_does_not_exist() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut sse = SseClient::open(server.port).unwrap();
    let good = std::mem::replace(&mut sse.endpoint, "/messages/?session_id=gone".to_owned());
    let answer = sse
        .post(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)
        .unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.json()["error"],
        "no session \"gone\" is open: open /sse again for a new one"
    );
    sse.endpoint = "/messages/".to_owned();
    assert_eq!(sse.post(b"{}").unwrap().status, 400);
    sse.endpoint = good;
    assert_eq!(sse.ask("ping", &json!({}))["result"], json!({}));

    // Streamable HTTP has no sessions: an id from elsewhere is not looked at.
    let mut http = HttpClient::open(server.port).unwrap().in_session("gone");
    assert_eq!(http.ask("ping", &json!({}))["result"], json!({}));
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_read() {
    let folder = Folder::new();
    let server = serve(&folder);
    let sse = SseClient::open(server.port).unwrap();
    for path in ["/mcp", &sse.endpoint] {
        let mut connection = venom_testing::Connection::open(server.port).unwrap();
        let headers = [
            ("content-length", "67108865"),
            ("content-type", "application/json"),
        ];
        connection.send("POST", path, &headers, b"").unwrap();
        assert_eq!(connection.read_head().unwrap().0, 413, "{path}");
    }
}

/// A chunk that is none is no message that is too long.
#[test]
fn a_body_that_breaks_off_is_told_apart_from_one_that_is_too_long() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut connection = venom_testing::Connection::open(server.port).unwrap();
    let headers = [
        ("transfer-encoding", "chunked"),
        ("content-type", "application/json"),
    ];
    connection
        .send("POST", "/mcp", &headers, b"nonsense\r\n")
        .unwrap();
    assert_eq!(connection.read_head().unwrap().0, 400);
}

/// The same list through the command line, with its exit codes.
#[test]
fn over_the_command_line() {
    let folder = Folder::new();
    let mut checked = 0;
    for (tool, arguments, sentence) in refused_calls() {
        let mut input = Vec::new();
        let text = |field: &str| arguments[field].as_str().map(str::to_owned);
        let command = match tool {
            "store_memory" => {
                let Some(content) = text("content") else {
                    continue;
                };
                input.extend(content.into_bytes());
                let tags = match &arguments["tags"] {
                    Value::Array(tags) if tags.iter().all(Value::is_string) => tags.clone(),
                    Value::Null => Vec::new(),
                    _ => continue,
                };
                let tags = tags
                    .into_iter()
                    .filter_map(|tag| tag.as_str().map(|tag| format!("--tag={tag}")));
                venom(&folder, ["store"]).args(tags)
            }
            "search_memory" => {
                let Some(query) = text("query") else { continue };
                input.extend(query.into_bytes());
                let limit = arguments
                    .get("limit")
                    .map(|limit| limit.to_string().replace('"', ""));
                venom(&folder, ["search"]).args(limit.map(|limit| format!("--limit={limit}")))
            }
            _ => {
                assert!(
                    venom(&folder, ["persona", "show", "nobody"])
                        .run()
                        .failure(1)
                        .contains(&sentence)
                );
                continue;
            }
        };
        let said = command.run_with(&input).failure(2);
        assert_eq!(said, format!("venom: {sentence}\n"));
        checked += 1;
    }
    assert_eq!(checked, 12);
    let invalid = venom(&folder, ["store"]).run_with(b"caf\xe9").failure(2);
    assert_eq!(
        invalid,
        "venom: content is not UTF-8: expected text, received an invalid byte at 3\n"
    );
    for command in ["show", "forget", "restore-memory"] {
        venom(&folder, [command, "mem_1"]).run().failure(1);
    }
    venom(&folder, ["update", "mem_1", "text"]).run().failure(1);
    venom(&folder, ["update", "mem_1"]).run().failure(2);
    venom(&folder, ["store-conversation", "no such file"])
        .run()
        .failure(2);
    let broken = venom(&folder, ["store-conversation"]).run_with(b"[{\"content\": \"x\"}, {}]");
    assert_eq!(
        broken.failure(2),
        "venom: turn 2: content is missing: expected a text\n"
    );
    let id = venom(&folder, ["show", "42"]).run().failure(2);
    assert!(
        id.contains("expected mem_ and digits") || id.contains("expected"),
        "{id}"
    );
    for words in [["nonsense"], ["--nonsense"]] {
        venom(&folder, words).run().failure(2);
    }
    assert!(everything(&folder).is_empty());
}
