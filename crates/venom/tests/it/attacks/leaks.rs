//! Secrets that come out where they should not.

use crate::BINARY;
use crate::guarded::{Guarded, REDIRECT};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use venom_testing::{Command, Folder, Server, process::free_port};

/// Everything that a whole run says: at `debug`, the most that is not meant for test data only.
#[test]
fn secrets_in_the_log() {
    let mut guarded = Guarded::start_with(&[("VENOM_LOG", "debug")]);
    let client = guarded.register(REDIRECT);
    let cookie = guarded.sign_in();
    let code = guarded.code(&client, &[]);
    let tokens = crate::guarded::tokens(&guarded.exchange(&client, &code, &[]));
    let content = "The combination of the safe is 31-17-25.";
    guarded.call(&tokens.access, "store_memory", &json!({"content": content}));
    guarded.call(&tokens.access, "search_memory", &json!({"query": content}));
    guarded.call("venom_wrong_token", "list_memories", &json!({}));
    guarded.refresh(&client, &tokens.refresh);
    guarded.refresh(&client, &tokens.refresh);
    guarded.exchange(&client, &code, &[]);
    guarded.post("/sign-in", &[], &[("passphrase", "wrong passphrase")]);
    let created = guarded
        .venom(["token", "create", "--name", "x"])
        .run()
        .success();
    let created = created.lines().next().unwrap().to_owned();
    guarded.call(&created, "list_memories", &json!({}));
    guarded.server.process.signal("TERM");
    guarded.server.process.wait();
    let log = guarded.server.process.log();
    let (_, log) = log.split_once("venom auth init").expect("shown once");
    let banner = guarded.server.banner.join("\n");
    let audit = guarded.venom(["audit", "--limit", "1000"]).run().success();
    let cookie = cookie.split_once('=').unwrap().1;
    for secret in [
        guarded.passphrase.as_str(),
        &guarded.owner_token,
        cookie,
        &code,
        &tokens.access,
        &tokens.refresh,
        &created,
        "venom_wrong_token",
        "wrong passphrase",
        "31-17-25",
        crate::guarded::VERIFIER,
    ] {
        assert!(!log.contains(secret), "the log says {secret}: {log}");
        assert!(
            !banner.contains(secret) && !audit.contains(secret),
            "{secret}"
        );
    }
}

#[test]
fn secrets_in_errors() {
    let guarded = Guarded::start();
    let secret = "venom_a1b2c3d4e5f6a7b8c9d0";
    let bearer = format!("Bearer {secret}");
    let answers = [
        guarded.rpc(&[("authorization", &bearer)], "tools/list", &json!({})),
        guarded.post(
            "/token",
            &[],
            &[
                ("grant_type", "authorization_code"),
                ("code", secret),
                ("code_verifier", secret),
            ],
        ),
        guarded.post(
            "/token",
            &[],
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", secret),
                ("client_id", "x"),
            ],
        ),
        guarded.post("/sign-in", &[], &[("passphrase", secret)]),
        guarded.post("/revoke", &[], &[("token", secret)]),
    ];
    for answer in answers {
        assert!(!answer.text().contains(secret), "{}", answer.text());
        assert!(
            answer
                .headers
                .iter()
                .all(|(_, value)| !value.contains(secret))
        );
    }
}

#[test]
fn secrets_on_the_disk() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let cookie = guarded.sign_in();
    let code = guarded.code(&client, &[]);
    let tokens = crate::guarded::tokens(&guarded.exchange(&client, &code, &[]));
    let cookie = cookie.split_once('=').unwrap().1;
    for file in std::fs::read_dir(guarded.folder.join("data")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        for secret in [
            guarded.passphrase.as_str(),
            &guarded.owner_token,
            cookie,
            &code,
            &tokens.access,
            &tokens.refresh,
        ] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} lies in {}", path.display());
        }
    }
    let mode = std::fs::metadata(guarded.folder.join("data/access.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn memories_in_the_audit_log() {
    let guarded = Guarded::start();
    let id = guarded.store("venom_memories", "The spare key lies under the blue pot.");
    guarded.call(
        &guarded.owner_token,
        "update_memory",
        &json!({"memory_id": id, "content": "It lies in the shed."}),
    );
    guarded.call(
        &guarded.owner_token,
        "forget_memory",
        &json!({"memory_id": id}),
    );
    let mut guarded = guarded;
    guarded.server.process.signal("TERM");
    guarded.server.process.wait();
    let log = guarded.audit();
    let of = |event: &str| {
        log.iter()
            .find(|entry| entry["event"] == event)
            .unwrap_or_else(|| panic!("{event}: {log:?}"))
            .clone()
    };
    for event in ["stored", "updated", "forgotten"] {
        let entry = of(event);
        assert_eq!(entry["subject"], id.as_str());
        assert_eq!(entry["who"], "token owner");
        assert_eq!(entry["from"], "127.0.0.1");
    }
    let text = format!("{log:?}");
    assert!(!text.contains("pot") && !text.contains("shed"), "{text}");
}

#[test]
fn an_audit_log_that_is_rewritten() {
    let guarded = Guarded::start();
    guarded.store("venom_memories", "x");
    let path = guarded.folder.join("data/access.db");
    let connection = rusqlite::Connection::open(path).unwrap();
    for change in ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit"] {
        let error = connection.execute(change, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[test]
fn health_that_tells_too_much() {
    let guarded = Guarded::start();
    guarded.store("diary", "x");
    let health = guarded.get("/health", &[]).text();
    let data = guarded.folder.path().display().to_string();
    assert!(
        !health.contains("diary") && !health.contains(&data) && !health.contains("token"),
        "{health}"
    );
}

/// A token that is right but for its last character takes no other way through the program than one that is
/// all wrong, and gets the same answer: what is looked up is a hash. Times are not held against each other
/// here, which on a busy machine would be a coin that is tossed.
#[test]
fn timing_of_comparisons() {
    let guarded = Guarded::start();
    let near = format!("{}x", &guarded.owner_token[..guarded.owner_token.len() - 1]);
    let far = "z".repeat(near.len());
    let [near, far] = [near, far].map(|token| {
        let answer = guarded.call(&token, "list_memories", &json!({}));
        let without_date = answer.headers.iter().filter(|(name, _)| name != "date");
        (
            answer.status,
            answer.text(),
            without_date.cloned().collect::<Vec<_>>(),
        )
    });
    assert_eq!(near.0, 401);
    assert_eq!(near, far);
}

#[test]
fn a_public_server_without_a_token() {
    // Whatever makes it reachable makes it ask.
    for (name, value) in [
        ("HOST", "0.0.0.0"),
        ("VENOM_ALLOWED_HOSTS", "venom.example"),
        ("VENOM_PUBLIC_URL", "https://venom.example"),
    ] {
        let folder = Folder::new();
        let command = Command::new(BINARY, folder.path()).env(name, value);
        let server = Server::start_with(command, folder.path(), free_port());
        let mut connection = venom_testing::Connection::open(server.port).unwrap();
        let answer = connection.request("POST", "/mcp", &[], b"{}").unwrap();
        assert_eq!(answer.status, 401, "{name}");
    }
}

#[test]
fn a_token_that_was_meant_for_a_local_server() {
    // On loopback nobody needs one, but whoever shows a void one is not taken for the owner.
    let folder = Folder::new();
    let server = crate::serve(&folder);
    let mut connection = venom_testing::Connection::open(server.port).unwrap();
    let mut status = |token: &str| {
        let bearer = format!("Bearer {token}");
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "store_memory", "arguments": {"content": "x"}}})
        .to_string();
        let answer = connection
            .request(
                "POST",
                "/mcp",
                &[
                    ("authorization", &bearer),
                    ("content-type", "application/json"),
                ],
                body.as_bytes(),
            )
            .unwrap();
        (answer.status, answer.text())
    };
    assert_eq!(status("venom_void").0, 401);
    let reader = crate::venom(&folder, ["token", "create", "--name", "r", "--read-only"])
        .run()
        .success();
    assert!(
        status(reader.lines().next().unwrap())
            .1
            .contains("may read and not write")
    );
    assert_eq!(status("of another program").0, 200);
}

#[test]
fn sign_in_where_there_is_none() {
    let folder = Folder::new();
    let server = crate::serve(&folder);
    let mut connection = venom_testing::Connection::open(server.port).unwrap();
    for path in [
        "/authorize",
        "/account",
        "/sign-in",
        "/.well-known/oauth-authorization-server",
    ] {
        assert_eq!(
            connection.request("GET", path, &[], b"").unwrap().status,
            404,
            "{path}"
        );
    }
    assert_eq!(
        connection
            .request("POST", "/register", &[], b"{}")
            .unwrap()
            .status,
        404
    );
}
