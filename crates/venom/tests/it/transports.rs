//! The three transports: the same transcript over each, for every revision, and across restarts.

use crate::{BINARY, search, serve, stdio, store, venom};
use serde_json::{Value, json};
use venom_testing::{
    Command, Connection, Door, Folder, HttpClient, Server, SseClient, StdioClient, tool_json,
};

/// A whole first conversation.
#[track_caller]
fn check_transcript(door: &mut impl Door, asked: &str, agreed: &str) {
    let hello = door.open_with(asked);
    let result = &hello["result"];
    assert_eq!(result["protocolVersion"], agreed, "{hello}");
    assert_eq!(result["serverInfo"]["name"], "venom");
    assert!(result["serverInfo"]["icons"][0]["src"].is_string());
    let instructions = result["instructions"].as_str().expect("a text");
    for word in ["search_memory", "store_memory", "spawn_venom", "mandatory"] {
        assert!(instructions.contains(word), "{word} is in the instructions");
    }

    check_tools(&door.ask("tools/list", &json!({})));
    let persona = door.call_tool("spawn_venom", &json!({}));
    let persona = persona["result"]["content"][0]["text"]
        .as_str()
        .expect("a text")
        .to_owned();
    check_personas(door, &persona);

    let stored = door.call_tool(
        "store_memory",
        &json!({"content": " Ana's dog is called Bo ", "tags": ["pets"]}),
    );
    let stored = tool_json(&stored);
    assert_eq!(stored["success"], true);
    assert_eq!(stored["embedding_dimensions"], 384);
    let id = stored["memory_id"].as_str().expect("an id");
    assert!(
        id.strip_prefix("mem_")
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
    );

    let found = tool_json(&door.call_tool(
        "search_memory",
        &json!({"query": "name of the dog", "limit": 3}),
    ));
    assert_eq!(found["query_embedding_generated"], true);
    assert_eq!(
        found["total_results"],
        found["results"].as_array().expect("a list").len()
    );
    let hit = &found["results"][0];
    assert_eq!(
        (&hit["memory_id"], &hit["tags"]),
        (&json!(id), &json!(["pets"]))
    );
    assert_eq!(hit["content"], "Ana's dog is called Bo");
    assert_eq!(hit["timestamp"], stored["timestamp"]);
    let score = hit["relevance_score"].as_f64().expect("a number");
    assert!((20.0..=100.0).contains(&score), "{score}");
    assert_eq!(door.ask("ping", &json!({}))["result"], json!({}));
}

#[track_caller]
fn check_tools(listed: &Value) {
    let tools = listed["result"]["tools"].as_array().expect("a list");
    let names: Vec<&str> = tools
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    let expected = [
        "search_memory",
        "store_memory",
        "store_conversation",
        "list_memories",
        "get_memory",
        "update_memory",
        "forget_memory",
        "list_spaces",
        "move_memories",
        "manage_space",
        "spawn_venom",
    ];
    assert_eq!(names, expected);
    for tool in tools {
        assert!(tool["title"].is_string() && tool["description"].is_string());
        for hint in [
            "readOnlyHint",
            "destructiveHint",
            "idempotentHint",
            "openWorldHint",
        ] {
            assert!(tool["annotations"][hint].is_boolean(), "{tool} has {hint}");
        }
    }
    assert!(
        tools[..10]
            .iter()
            .all(|tool| tool["outputSchema"]["type"] == "object")
    );
}

/// Prompts, resources and the tool serve the same text.
#[track_caller]
fn check_personas(door: &mut impl Door, persona: &str) {
    assert!(persona.contains("search_memory"));
    let listed = door.ask("prompts/list", &json!({}));
    let prompts = listed["result"]["prompts"].as_array().expect("a list");
    let names: Vec<&str> = prompts.iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "venom_identity",
            "Spawn Venom",
            "persona_default",
            "persona_variant2"
        ]
    );
    for name in ["venom_identity", "Spawn Venom", "persona_default"] {
        let prompt = door.ask("prompts/get", &json!({ "name": name }));
        assert_eq!(prompt["result"]["messages"][0]["content"]["text"], persona);
    }
    let listed = door.ask("resources/list", &json!({}));
    assert_eq!(
        listed["result"]["resources"][0]["uri"],
        "venom://persona/default"
    );
    let resource = door.ask("resources/read", &json!({"uri": "venom://persona/default"}));
    assert_eq!(resource["result"]["contents"][0]["text"], persona);
    assert_eq!(
        resource["result"]["contents"][0]["mimeType"],
        "text/markdown"
    );
}

#[test]
fn stdio_transcript_for_every_revision() {
    let folder = Folder::new();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = StdioClient::start(venom(&folder, []));
        check_transcript(&mut client, revision, revision);
        assert_eq!(
            client.end(),
            Some(0),
            "the end of stdin ends the server in order"
        );
        venom(&folder, ["forget", &first_id(&folder)])
            .run()
            .success();
    }
}

fn first_id(folder: &Folder) -> String {
    crate::everything(folder)
        .into_keys()
        .next()
        .expect("one was stored")
}

#[test]
fn stdio_is_also_the_flag_of_the_predecessor() {
    let folder = Folder::new();
    let mut client = StdioClient::over(venom(&folder, ["--stdio"]).spawn());
    check_transcript(&mut client, "2025-06-18", "2025-06-18");
}

#[test]
fn an_unknown_revision_is_answered_with_a_known_one() {
    let folder = Folder::new();
    let mut client = StdioClient::start(venom(&folder, []));
    let hello = client.open_with("1999-01-01");
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{hello}");
}

#[test]
fn http_transcript_for_every_revision_with_a_handshake() {
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let folder = Folder::new();
        let server = serve(&folder);
        let mut client = HttpClient::open(server.port).unwrap().speaking(revision);
        check_transcript(&mut client, revision, revision);
    }
}

#[test]
fn http_without_handshake_as_in_revision_2026_07_28() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut connection = Connection::open(server.port).unwrap();
    let mut ask = |id: u64, method: &str, mut params: Value| {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
            "io.modelcontextprotocol/clientCapabilities": {}
        });
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        let body = body.to_string();
        let response = connection
            .request("POST", "/mcp", &headers, body.as_bytes())
            .unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    };
    let discovered = ask(1, "server/discover", json!({}));
    assert!(
        discovered["result"]["supportedVersions"]
            .as_array()
            .is_some(),
        "{discovered}"
    );
    check_tools(&ask(2, "tools/list", json!({})));
    let arguments = json!({"content": "Ana plays the cello"});
    tool_json(&ask(
        3,
        "tools/call",
        json!({"name": "store_memory", "arguments": arguments}),
    ));
    let arguments = json!({"query": "instrument"});
    let found = tool_json(&ask(
        4,
        "tools/call",
        json!({"name": "search_memory", "arguments": arguments}),
    ));
    assert_eq!(found["results"][0]["content"], "Ana plays the cello");
}

#[test]
fn legacy_sse_transcript() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut client = SseClient::open(server.port).unwrap();
    assert!(
        client.endpoint.starts_with("/messages/?session_id="),
        "{}",
        client.endpoint
    );
    check_transcript(&mut client, "2024-11-05", "2024-11-05");
}

#[test]
fn batches_of_revision_2025_03_26_are_answered() {
    let folder = Folder::new();
    let server = serve(&folder);
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "nonsense"},
        7,
    ]);
    let mut client = HttpClient::open(server.port)
        .unwrap()
        .speaking("2025-03-26");
    let answers = client.post(batch.to_string().as_bytes()).unwrap().json();
    assert_eq!(answers.as_array().map(Vec::len), Some(3), "{answers}");
    assert_eq!(answers[0]["result"], json!({}));
    assert_eq!(answers[1]["error"]["code"], -32601);
    assert_eq!(answers[2]["error"]["code"], -32600);
}

/// The server is replaced under its clients; they go on as if nothing had been.
#[test]
fn a_restart_of_the_server_breaks_no_client() {
    let folder = Folder::new();
    let mut server = serve(&folder);
    let port = server.port;
    let mut http = HttpClient::open(port).unwrap();
    http.initialize("2025-11-25").unwrap();
    store(&mut http, "The spare key is under the blue pot");
    let mut sse = SseClient::open(port).unwrap();
    sse.open_with("2024-11-05");

    server.process.signal("TERM");
    assert_eq!(server.process.wait(), Some(0));
    let _again = Server::start_with(Command::new(BINARY, folder.path()), folder.path(), port);

    // A TCP connection cannot outlive its server; a new one needs no new handshake.
    let mut http = HttpClient::open(port)
        .unwrap()
        .in_session("from-before-the-restart");
    assert_eq!(
        search(&mut http, "where is the key"),
        ["The spare key is under the blue pot"]
    );
    assert!(sse.receive().is_err(), "the old stream has ended");
    let mut sse = SseClient::open(port).unwrap();
    assert_eq!(
        search(&mut sse, "where is the key"),
        ["The spare key is under the blue pot"]
    );
}

#[test]
fn every_transport_sees_the_same_memories() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut doors = (
        stdio(&folder),
        HttpClient::open(server.port).unwrap(),
        SseClient::open(server.port).unwrap(),
    );
    store(&mut doors.0, "Bo the dog hates thunder");
    store(&mut doors.1, "The boiler was serviced in March");
    store(&mut doors.2, "Ana's sister lives in Porto");
    for query in [
        "dog afraid of storms",
        "heating maintenance",
        "family in Portugal",
    ] {
        let expected = search(&mut doors.0, query);
        assert_eq!(expected.len(), 3);
        assert_eq!(search(&mut doors.1, query), expected);
        assert_eq!(search(&mut doors.2, query), expected);
    }
}

/// A call that was cancelled is never answered; the end of stdin must not wait for it.
#[test]
fn a_cancelled_call_does_not_hold_up_the_end() {
    let folder = Folder::new();
    let mut client = stdio(&folder);
    let slow = "many words make many passages ".repeat(300);
    let call = json!({"name": "store_memory", "arguments": {"content": slow}});
    client.send_line(
        &json!({"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": call}).to_string(),
    );
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 77}});
    client.send_line(&cancel.to_string());
    assert_eq!(client.end(), Some(0));
    assert!(
        !client.process.log().contains("unanswered"),
        "{}",
        client.process.log()
    );
}

/// However long the calls under way may take, the end of stdin ends the process in time.
#[test]
fn a_call_that_takes_too_long_does_not_hold_up_the_end() {
    let folder = Folder::new();
    // The slowest way there is: by the best kernel a quiet machine is done in time.
    let slowly = venom(&folder, [])
        .env("VENOM_KERNEL", "scalar")
        .env("VENOM_THREADS", "1");
    let mut client = StdioClient::start(slowly);
    client.initialize(venom_testing::mcp::REVISION);
    let slow = "every sentence of this book is embedded ".repeat(6_000);
    let call = json!({"name": "store_memory", "arguments": {"content": slow}});
    let line = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": call});
    client.send_line(&line.to_string());
    let asked = std::time::Instant::now();
    assert_eq!(client.end(), Some(0));
    let took = asked.elapsed();
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    assert!(
        crate::everything(&folder).is_empty(),
        "what was not acknowledged was not half written"
    );
}

/// With one thread for the event loop and one worker, a short call is answered while a long one runs.
#[test]
fn the_event_loop_is_never_blocked() {
    let folder = Folder::new();
    let mut client = StdioClient::start(venom(&folder, []).env("VENOM_WORKERS", "1"));
    let slow = "a chapter of the long book ".repeat(400);
    let call = json!({"name": "store_memory", "arguments": {"content": slow}});
    let line = json!({"jsonrpc": "2.0", "id": 900, "method": "tools/call", "params": call});
    client.send_line(&line.to_string());
    client.request("ping", &json!({}));
    tool_json(&client.call(
        "search_memory",
        &json!({"query": "a search passes a long store"}),
    ));
    assert_eq!(
        client.receive()["id"],
        900,
        "the long call is answered last"
    );
}
