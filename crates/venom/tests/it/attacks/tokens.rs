//! Tokens that are not good, or not for this.

use crate::guarded::{Guarded, oauth_error, tokens};
use serde_json::json;

#[test]
fn no_token() {
    let guarded = Guarded::start();
    let answer = guarded.rpc(&[], "tools/list", &json!({}));
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").unwrap();
    let metadata = format!(
        "resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"",
        guarded.origin
    );
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains(&metadata),
        "{challenge}"
    );
    assert!(
        challenge.contains("scope=\"read write\"") && !challenge.contains("error="),
        "{challenge}"
    );
    assert_eq!(guarded.get("/sse", &[]).status, 401);
}

#[test]
fn a_forged_token() {
    let guarded = Guarded::start();
    let mut forged = guarded.owner_token.clone();
    let last = if forged.ends_with('0') { '1' } else { '0' };
    forged.pop();
    forged.push(last);
    for token in [
        forged.as_str(),
        "venom_",
        "x",
        "venom_at_00",
        &"a".repeat(10_000),
    ] {
        let answer = guarded.call(token, "list_memories", &json!({}));
        assert_eq!(answer.status, 401, "{token}");
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
    }
    assert!(
        guarded
            .audit()
            .iter()
            .any(|entry| entry["event"] == "refused")
    );
}

#[test]
fn a_token_where_none_belongs() {
    let guarded = Guarded::start();
    let token = &guarded.owner_token;
    let path = format!("/mcp?access_token={token}");
    assert_eq!(
        guarded.send("POST", &path, &[], b"{}").status,
        401,
        "in the query"
    );
    let body = format!("access_token={token}");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(
        guarded.send("POST", "/mcp", &form, body.as_bytes()).status,
        401,
        "in a form"
    );
    let cookie = format!("venom={token}");
    assert_eq!(
        guarded
            .rpc(&[("cookie", &cookie)], "tools/list", &json!({}))
            .status,
        401,
        "in a cookie"
    );
    let basic = format!("Basic {token}");
    assert_eq!(
        guarded
            .rpc(&[("authorization", &basic)], "tools/list", &json!({}))
            .status,
        401
    );
}

#[test]
fn a_hash_instead_of_its_token() {
    let guarded = Guarded::start();
    // Whoever reads the file learns hashes; a hash opens nothing.
    let bytes = std::fs::read(guarded.folder.join("data/access.db")).unwrap();
    let token = guarded.owner_token.as_bytes();
    assert!(!bytes.windows(token.len()).any(|window| window == token));
    assert!(!bytes.windows(64).any(|window| window == &token[6..]));
}

#[test]
fn a_revoked_token() {
    let guarded = Guarded::start();
    let token = guarded
        .venom(["token", "create", "--name", "phone", "--json"])
        .run()
        .success();
    let token: serde_json::Value = serde_json::from_str(&token).unwrap();
    let token = token["token"].as_str().unwrap();
    assert!(guarded.opens(token));
    guarded.venom(["token", "revoke", "phone"]).run().success();
    assert!(!guarded.opens(token));
}

#[test]
fn an_expired_token() {
    let guarded = Guarded::start();
    let create = [
        "token",
        "create",
        "--name",
        "brief",
        "--expires",
        "2026-01-01",
    ];
    let said = guarded.venom(create).run().failure(2);
    assert!(said.contains("expired already"), "{said}");
    let said = guarded
        .venom(["token", "create", "--name", "brief", "--expires", "1h"])
        .run()
        .success();
    let token = said.lines().next().unwrap();
    assert!(guarded.opens(token));
    // Its time is over: the file is made to say so.
    let sql = "UPDATE tokens SET expires_us = created_us + 1 WHERE name = 'brief'";
    change(&guarded, sql);
    assert!(!guarded.opens(token));
}

#[test]
fn an_expired_access_token() {
    let guarded = Guarded::start();
    let (client, tokens_) = guarded.let_in(&[]);
    assert!(guarded.opens(&tokens_.access));
    change(&guarded, "UPDATE access_tokens SET expires_us = 1");
    assert!(!guarded.opens(&tokens_.access));
    let fresh = tokens(&guarded.refresh(&client, &tokens_.refresh));
    assert!(
        guarded.opens(&fresh.access),
        "a refresh token brings another"
    );
}

#[test]
fn a_token_of_another_space() {
    let guarded = Guarded::start();
    let id = guarded.store("diary", "A secret in the diary.");
    let token = guarded
        .venom(["token", "create", "--name", "work", "--space", "work"])
        .run()
        .success();
    let token = token.lines().next().unwrap();
    let refused = |tool, arguments| {
        let answer = guarded.call(token, tool, &arguments).json();
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let said = answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(!said.contains("secret"), "{said}");
        said
    };
    let said = refused(
        "search_memory",
        json!({"query": "secret", "space": "diary"}),
    );
    assert!(
        said.contains("not open to this caller: expected work"),
        "{said}"
    );
    refused("list_memories", json!({"space": "diary"}));
    refused("store_memory", json!({"content": "x", "space": "diary"}));
    let said = refused("get_memory", json!({"memory_id": id}));
    let unknown = refused("get_memory", json!({"memory_id": "mem_1"}));
    assert_eq!(
        said.replace(&id, "mem_1"),
        unknown,
        "not even that it is there"
    );
    refused("update_memory", json!({"memory_id": id, "content": "x"}));
    refused("forget_memory", json!({"memory_id": id}));
    refused("forget_memory", json!({"memory_id": id, "undo": true}));
    refused("fetch", json!({"id": id}));
    let said = refused("move_memories", json!({"memory_ids": [id], "to": "diary"}));
    assert!(said.contains("not open to this caller"), "{said}");
    let outside = guarded.call(
        token,
        "move_memories",
        &json!({"memory_ids": [id], "to": "work"}),
    );
    let outside = outside.json()["result"]["structuredContent"].clone();
    assert_eq!(outside, json!({"moved": 0, "not_found": [id]}));
    for arguments in [
        json!({"action": "create", "space": "work"}),
        json!({"action": "rename", "space": "diary", "new_name": "work"}),
        json!({"action": "rename", "space": "work", "new_name": "diary"}),
        json!({"action": "delete", "space": "diary", "confirm": "diary"}),
    ] {
        let said = refused("manage_space", arguments);
        assert!(said.contains("bound to spaces"), "{said}");
    }
    let spaces = guarded.call(token, "list_spaces", &json!({})).json();
    let spaces = spaces["result"]["structuredContent"]["spaces"].clone();
    assert_eq!(spaces, json!([]), "what moves nothing makes nothing");
    let own = guarded
        .call(
            token,
            "store_memory",
            &json!({"content": "The office is on the third floor."}),
        )
        .json();
    assert_eq!(
        own["result"]["isError"], false,
        "without a space it uses its own: {own}"
    );
    let found = guarded
        .call(token, "search_memory", &json!({"query": "office"}))
        .json();
    assert_eq!(found["result"]["structuredContent"]["total_results"], 1);
}

#[test]
fn a_read_only_token_that_writes() {
    let guarded = Guarded::start();
    let id = guarded.store("venom_memories", "Tea is at four.");
    let token = guarded
        .venom(["token", "create", "--name", "reader", "--read-only"])
        .run()
        .success();
    let token = token.lines().next().unwrap();
    for (tool, arguments) in writes(&id) {
        let answer = guarded.call(token, tool, &arguments).json();
        let said = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(said.contains("may read and not write"), "{tool}: {said}");
    }
    let listed = guarded.rpc(
        &[("authorization", &format!("Bearer {token}"))],
        "tools/list",
        &json!({}),
    );
    assert!(!listed.text().contains("store_memory") && listed.text().contains("search_memory"));
    let found = guarded
        .call(token, "search_memory", &json!({"query": "tea"}))
        .json();
    assert_eq!(
        found["result"]["structuredContent"]["results"][0]["content"],
        "Tea is at four."
    );
}

#[test]
fn a_read_only_grant_that_writes() {
    let guarded = Guarded::start();
    let id = guarded.store("venom_memories", "Tea is at four.");
    let (_, tokens) = guarded.let_in(&[("rights", "read")]);
    for (tool, arguments) in writes(&id) {
        let answer = guarded.call(&tokens.access, tool, &arguments);
        assert_eq!(answer.status, 403, "{tool}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("error=\"insufficient_scope\"")
                && challenge.contains("scope=\"read write\""),
            "{challenge}"
        );
    }
    // Nor in a batch, which carries several calls at once.
    let call = json!({"name": "forget_memory", "arguments": {"memory_id": id}});
    let batch =
        json!([{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}]).to_string();
    let bearer = format!("Bearer {}", tokens.access);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("mcp-protocol-version", "2025-03-26"),
    ];
    let answer = guarded.send("POST", "/mcp", &headers, batch.as_bytes());
    assert!(
        answer.text().contains("may read and not write"),
        "{}",
        answer.text()
    );
    assert!(guarded.opens(&tokens.access));
}

/// Every way to change something.
fn writes(id: &str) -> [(&'static str, serde_json::Value); 8] {
    [
        ("store_memory", json!({"content": "x"})),
        ("store_conversation", json!({"turns": [{"content": "x"}]})),
        ("update_memory", json!({"memory_id": id, "content": "x"})),
        ("forget_memory", json!({"memory_id": id})),
        ("forget_memory", json!({"memory_id": id, "undo": true})),
        ("move_memories", json!({"memory_ids": [id], "to": "x"})),
        ("manage_space", json!({"action": "create", "space": "x"})),
        (
            "manage_space",
            json!({"action": "rename", "space": "venom_memories", "new_name": "x"}),
        ),
    ]
}

#[test]
fn a_token_for_another_audience() {
    let mut guarded = Guarded::start();
    let (client, tokens) = guarded.let_in(&[]);
    assert!(guarded.opens(&tokens.access));
    // The same data at another address is another resource.
    let elsewhere = format!("http://127.0.0.1:{}", guarded.server.port);
    guarded.restart(Some(&elsewhere));
    assert!(!guarded.opens(&tokens.access));
    assert!(
        guarded.opens(&guarded.owner_token),
        "a token of the owner's is for this data, wherever it is"
    );
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", client.as_str()),
        ("refresh_token", tokens.refresh.as_str()),
        ("resource", &format!("{elsewhere}/mcp")),
    ];
    assert_eq!(
        oauth_error(&guarded.post("/token", &[], &fields)),
        "invalid_target"
    );
}

#[test]
fn a_refresh_token_as_an_access_token() {
    let guarded = Guarded::start();
    let (_, tokens) = guarded.let_in(&[]);
    assert!(!guarded.opens(&tokens.refresh));
}

#[test]
fn a_refresh_token_that_comes_again() {
    let guarded = Guarded::start();
    let (client, first) = guarded.let_in(&[]);
    let second = tokens(&guarded.refresh(&client, &first.refresh));
    assert!(guarded.opens(&second.access));
    // Half a minute later, when no answer can be on its way any more.
    change(
        &guarded,
        "UPDATE refresh_tokens SET used_us = used_us - 30000000",
    );
    assert_eq!(
        oauth_error(&guarded.refresh(&client, &first.refresh)),
        "invalid_grant"
    );
    assert!(
        !guarded.opens(&second.access) && !guarded.opens(&first.access),
        "both lose it"
    );
    assert_eq!(
        oauth_error(&guarded.refresh(&client, &second.refresh)),
        "invalid_grant"
    );
    assert!(
        guarded
            .audit()
            .iter()
            .any(|entry| entry["event"] == "reuse detected")
    );
}

#[test]
fn a_refresh_token_of_another_client() {
    let guarded = Guarded::start();
    let (_, tokens_) = guarded.let_in(&[]);
    let other = guarded.register("https://evil.example/");
    assert_eq!(
        oauth_error(&guarded.refresh(&other, &tokens_.refresh)),
        "invalid_grant"
    );
    assert!(
        guarded.opens(&tokens_.access),
        "who does not own it cannot end it either"
    );
}

#[test]
fn more_scope_by_refreshing() {
    let guarded = Guarded::start();
    let (client, tokens) = guarded.let_in(&[("rights", "read")]);
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", client.as_str()),
        ("refresh_token", tokens.refresh.as_str()),
        ("scope", "read write"),
    ];
    assert_eq!(
        oauth_error(&guarded.post("/token", &[], &fields)),
        "invalid_scope"
    );
}

#[test]
fn a_revoked_grant() {
    let guarded = Guarded::start();
    let (client, tokens) = guarded.let_in(&[]);
    guarded.venom(["grant", "revoke", "1"]).run().success();
    assert!(!guarded.opens(&tokens.access));
    assert_eq!(
        oauth_error(&guarded.refresh(&client, &tokens.refresh)),
        "invalid_grant"
    );
}

#[test]
fn somebody_elses_token_given_back() {
    let guarded = Guarded::start();
    let (client, tokens) = guarded.let_in(&[]);
    let other = guarded.register("https://evil.example/");
    let give_back = |client: &str, token: &str| {
        let answer = guarded.post("/revoke", &[], &[("client_id", client), ("token", token)]);
        assert_eq!(answer.status, 200, "it does not tell what it knows");
    };
    give_back(&other, &tokens.access);
    give_back(&other, &tokens.refresh);
    give_back(&client, "venom_rt_guess");
    assert!(guarded.opens(&tokens.access));
    give_back(&client, &tokens.refresh);
    assert!(!guarded.opens(&tokens.access));
}

#[test]
fn a_session_of_somebody_else() {
    let guarded = Guarded::start();
    let (_, tokens) = guarded.let_in(&[]);
    let mut stream = venom_testing::Connection::open(guarded.server.port).unwrap();
    let owner = format!("Bearer {}", guarded.owner_token);
    stream
        .send("GET", "/sse", &[("authorization", &owner)], b"")
        .unwrap();
    assert_eq!(stream.read_head().unwrap().0, 200);
    let first = String::from_utf8(stream.read_chunk().unwrap().unwrap()).unwrap();
    let path = first
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let speak = |token: &str| {
        let bearer = format!("Bearer {token}");
        guarded
            .send("POST", path, &[("authorization", &bearer)], ping.as_bytes())
            .status
    };
    assert_eq!(speak(&tokens.access), 404, "as if it were not there");
    assert_eq!(guarded.send("POST", path, &[], ping.as_bytes()).status, 401);
    assert_eq!(speak(&guarded.owner_token), 202);
}

/// Changes the access file as time would.
pub(super) fn change(guarded: &Guarded, sql: &str) {
    let path = guarded.folder.join("data/access.db");
    rusqlite::Connection::open(path)
        .unwrap()
        .execute(sql, [])
        .unwrap();
}
