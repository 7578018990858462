//! Settings: where they come from, what stops the start, and what guards a server beyond this machine.

use crate::{BINARY, everything, serve, stdio, venom};
use serde_json::{Value, json};
use std::fs;
use venom_testing::{Command, Connection, Door, Folder, HttpClient, Server, process::free_port};

#[test]
fn every_mistake_is_told_at_once() {
    let folder = Folder::new();
    fs::write(folder.join("file"), "").unwrap();
    let said = venom(&folder, ["serve", "--port", "70000", "--host", "nowhere"])
        .env("EMBEDDING_MODEL", "gpt-9")
        .env("VENOM_DATA", folder.join("file"))
        .env("PERSONALITY_DIR", folder.join("missing"))
        .env("VENOM_LOG", "loud")
        .run()
        .failure(2);
    let expected = [
        "--host is \"nowhere\": expected an IP address",
        "--port is \"70000\": expected a number from 1 to 65535",
        "VENOM_LOG is \"loud\": expected off, error, warn, info, debug or trace",
        "is a file: expected a folder",
        "the embedding model \"gpt-9\" is unknown: expected all-MiniLM-L6-v2",
        "the persona folder",
    ];
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    for sentence in expected {
        assert_eq!(said.matches(sentence).count(), 1, "{sentence} in {said}");
    }
    for port in ["0", "-1", "x", "65536"] {
        let said = venom(&folder, ["serve"]).env("PORT", port).run().failure(2);
        assert_eq!(
            said,
            format!("venom: PORT is {port:?}: expected a number from 1 to 65535\n")
        );
    }
}

#[test]
fn a_port_in_use_is_told_with_the_next_step() {
    let folder = Folder::new();
    let server = serve(&folder);
    let other = Folder::new();
    let said = venom(&other, ["serve"])
        .env("PORT", server.port.to_string())
        .run()
        .failure(69);
    assert!(
        said.contains("is in use by another program") && said.contains("--port"),
        "{said}"
    );
    assert!(!other.join("data").exists(), "nothing was opened");
}

#[test]
fn flags_win_over_the_environment_and_that_over_dotenv() {
    let folder = Folder::new();
    fs::write(
        folder.join(".env"),
        "COLLECTION_NAME=from-file\nCHROMADB_PATH=from-file\n",
    )
    .unwrap();
    let space = |command: Command| {
        let stats: Value =
            serde_json::from_str(&command.args(["stats", "--json"]).run().success()).unwrap();
        stats["space"].as_str().unwrap().to_owned()
    };
    assert_eq!(space(venom(&folder, [])), "from-file");
    assert_eq!(
        space(venom(&folder, []).env("COLLECTION_NAME", "from-env")),
        "from-env"
    );
    let both = venom(&folder, ["--space", "from-flag"]).env("COLLECTION_NAME", "from-env");
    assert_eq!(space(both), "from-flag");
    // VENOM_DATA, which the tests set, wins over the predecessor's name for it.
    assert!(!folder.join("from-file").exists());
    venom(&folder, ["stats"])
        .env_remove("VENOM_DATA")
        .run()
        .success();
    assert!(folder.join("from-file/venom.db").exists());

    fs::write(folder.join(".env"), "TOKEN secret-thing\n").unwrap();
    let said = venom(&folder, ["stats"]).run().failure(2);
    assert!(
        said.contains(".env") && !said.contains("secret-thing"),
        "{said}"
    );
}

#[test]
fn spaces_do_not_see_each_other() {
    let folder = Folder::new();
    venom(
        &folder,
        ["store", "The report is due on Friday", "--space", "work"],
    )
    .run()
    .success();
    venom(&folder, ["store", "Swimming on Friday"])
        .run()
        .success();
    let found = venom(&folder, ["search", "Friday", "--space", "work"])
        .run()
        .success();
    assert!(
        found.contains("report") && !found.contains("Swimming"),
        "{found}"
    );
    assert_eq!(everything(&folder).len(), 1);
}

#[test]
fn personas_are_read_anew_and_an_unknown_variant_falls_back() {
    let folder = Folder::new();
    let personas = folder.join("personalities");
    fs::create_dir_all(&personas).unwrap();
    let mine = personas.join("venom_personality_butler.md");
    fs::write(&mine, "# Butler\nVery good.").unwrap();
    let mut client =
        venom_testing::StdioClient::start(venom(&folder, []).env("VENOM_PERSONALITY", "butler"));
    let spawn = |client: &mut venom_testing::StdioClient| {
        let answer = client.call_tool("spawn_venom", &json!({}));
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(spawn(&mut client), "# Butler\nVery good.");
    fs::write(&mine, "# Butler\nAs you wish.").unwrap();
    assert_eq!(spawn(&mut client), "# Butler\nAs you wish.");
    fs::remove_file(&mine).unwrap();
    let fallback = spawn(&mut client);
    assert_eq!(fallback, spawn(&mut stdio(&folder)));
    let log = client.process.log_with("default persona");
    assert!(log.contains("butler"), "{log}");
}

/// The status of a tool call at a server, with these headers.
fn status(port: u16, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut all = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    all.extend(headers);
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let method = if path == "/mcp" { "POST" } else { "GET" };
    Connection::open(port)
        .unwrap()
        .request(method, path, &all, body)
        .unwrap()
        .status
}

#[test]
fn a_server_beyond_this_machine_asks_for_the_owner_token() {
    let folder = Folder::new();
    let start = || {
        let command = Command::new(BINARY, folder.path()).env("HOST", "0.0.0.0");
        Server::start_with(command, folder.path(), free_port())
    };
    let mut server = start();
    let log = server.process.log_with("venom auth init");
    let token = log
        .split_whitespace()
        .find(|word| word.starts_with("venom_"))
        .expect("printed once")
        .to_owned();
    let bearer = format!("Bearer {token}");
    assert_eq!(status(server.port, "/mcp", &[]), 401);
    assert_eq!(status(server.port, "/sse", &[]), 401);
    assert_eq!(
        status(
            server.port,
            "/mcp",
            &[("authorization", "Bearer venom_guess")]
        ),
        401
    );
    assert_eq!(
        status(server.port, "/mcp", &[("authorization", &bearer)]),
        200
    );
    for open in ["/", "/health", "/icon.svg"] {
        assert_eq!(status(server.port, open, &[]), 200, "{open}");
    }
    server.process.kill();

    // The next start takes the same token, and shows it nowhere.
    let mut server = start();
    assert_eq!(
        status(server.port, "/mcp", &[("authorization", &bearer)]),
        200
    );
    server.process.kill();
    assert!(
        !server.process.log().contains("venom_"),
        "{}",
        server.process.log()
    );
    assert!(!server.banner.join("\n").contains(&token));
    for file in fs::read_dir(folder.join("data")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(
            !bytes
                .windows(token.len())
                .any(|window| window == token.as_bytes())
        );
    }
}

/// Behind a proxy a server listens on loopback and is reachable all the same.
#[test]
fn a_server_with_another_name_asks_for_the_owner_token() {
    let folder = Folder::new();
    let command = Command::new(BINARY, folder.path()).env("VENOM_ALLOWED_HOSTS", "venom.example");
    let server = Server::start_with(command, folder.path(), free_port());
    assert_eq!(
        status(server.port, "/mcp", &[("host", "venom.example")]),
        401
    );
    assert_eq!(status(server.port, "/mcp", &[]), 401);
    assert!(server.banner[2].contains("--header \"Authorization: Bearer TOKEN\""));
}

#[test]
fn open_to_everyone_is_said_and_logged() {
    let folder = Folder::new();
    let command = Command::new(BINARY, folder.path())
        .env("HOST", "0.0.0.0")
        .env("VENOM_OPEN_TO_EVERYONE", "yes");
    let server = Server::start_with(command, folder.path(), free_port());
    assert_eq!(status(server.port, "/mcp", &[]), 200);
    server.process.log_with("open to everyone");
}

#[test]
fn a_local_server_refuses_other_hosts_and_origins() {
    let folder = Folder::new();
    let command = Command::new(BINARY, folder.path())
        .env("VENOM_ALLOWED_ORIGINS", "https://app.example")
        .env("VENOM_ALLOWED_HOSTS", "venom.example")
        .env("VENOM_OPEN_TO_EVERYONE", "yes");
    let server = Server::start_with(command, folder.path(), free_port());
    let port = server.port;
    assert_eq!(status(port, "/mcp", &[("host", "evil.example")]), 403);
    assert_eq!(status(port, "/mcp", &[("host", "localhost:1")]), 200);
    assert_eq!(status(port, "/mcp", &[("host", "venom.example")]), 200);
    assert_eq!(
        status(port, "/mcp", &[("origin", "https://evil.example")]),
        403
    );
    assert_eq!(
        status(port, "/mcp", &[("origin", "https://app.example")]),
        200
    );
    assert_eq!(
        status(port, "/mcp", &[("origin", "http://localhost:6274")]),
        200
    );
    assert_eq!(status(port, "/health", &[("host", "evil.example")]), 403);
    let mut door = HttpClient::open(port).unwrap();
    assert_eq!(door.ask("ping", &json!({}))["result"], json!({}));
}

/// What is remembered and asked stays out of the log.
#[test]
fn the_log_holds_no_memories() {
    let folder = Folder::new();
    let mut client =
        venom_testing::StdioClient::start(venom(&folder, []).env("VENOM_LOG", "debug"));
    client.initialize("2025-11-25");
    crate::store(&mut client, "The safe opens with xylophone");
    crate::search(&mut client, "how does the xylophone safe open");
    client.call_tool(
        "store_memory",
        &json!({"content": "xylophone", "tags": [" "]}),
    );
    assert_eq!(client.end(), Some(0));
    assert!(
        !client.process.log().contains("xylophone"),
        "{}",
        client.process.log()
    );
}
