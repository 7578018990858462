//! Requests that are not what they seem.

use crate::guarded::Guarded;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Sends bytes as they are; everything that comes back until the server closes the connection.
fn raw(guarded: &Guarded, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", guarded.server.port)).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_default()
}

#[test]
fn ways_around_the_path() {
    let guarded = Guarded::start();
    for path in [
        "/health/../mcp",
        "/health/%2e%2e/mcp",
        "//mcp",
        "/mcp/",
        "/./mcp",
        "/MCP",
        "/mcp%00",
        "/mcp;x",
        "/%6dcp",
        "/.well-known/../mcp",
        "/sign-in.js/../../mcp",
        "/messages/../mcp",
    ] {
        let answer = guarded.send("POST", path, &[], b"{}");
        assert!(
            matches!(answer.status, 400 | 401 | 404),
            "{path}: {}",
            answer.status
        );
    }
}

#[test]
fn methods_that_are_none() {
    let guarded = Guarded::start();
    let token = &guarded.owner_token;
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW"] {
        let answer = raw(
            &guarded,
            format!(
                "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Connection: close\r\n\r\n"
            )
            .as_bytes(),
        );
        assert!(matches!(status(&answer), 400 | 405), "{method}: {answer}");
    }
}

#[test]
fn two_lengths() {
    let guarded = Guarded::start();
    let answer = raw(&guarded, b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello");
    assert_eq!(status(&answer), 400, "{answer}");
}

#[test]
fn a_length_and_chunks() {
    let guarded = Guarded::start();
    // Whoever believes the length would take the rest for a request of its own.
    let smuggled = b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n\
        0\r\n\r\nGET /account HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = raw(&guarded, smuggled);
    assert!(!answer.contains("Sign in"), "{answer}");
    let broken = b"POST /token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&raw(&guarded, broken)), 400);
    let odd =
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&raw(&guarded, odd)), 400);
}

#[test]
fn line_ends_in_headers() {
    let guarded = Guarded::start();
    let bare = b"GET /account HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n";
    assert_eq!(status(&raw(&guarded, bare)), 400);
    let folded = b"GET /account HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n";
    assert_eq!(status(&raw(&guarded, folded)), 400);
    let space = b"GET /account HTTP/1.1\r\nHost : localhost\r\n\r\n";
    assert_eq!(status(&raw(&guarded, space)), 400);
    let nul = b"GET /account HTTP/1.1\r\nHost: local\0host\r\n\r\n";
    assert_eq!(status(&raw(&guarded, nul)), 400);
}

#[test]
fn two_hosts() {
    let guarded = Guarded::start();
    let answer = raw(&guarded, b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&answer), 400, "{answer}");
}

#[test]
fn two_tokens() {
    let guarded = Guarded::start();
    let token = &guarded.owner_token;
    let request = format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(status(&raw(&guarded, request.as_bytes())), 400);
}

#[test]
fn a_whole_address_as_the_path() {
    let guarded = Guarded::start();
    let answer = raw(
        &guarded,
        b"GET http://evil.example/account HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(matches!(status(&answer), 400 | 403), "{answer}");
}

#[test]
fn no_host() {
    let guarded = Guarded::start();
    let answer = raw(&guarded, b"GET /mcp HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(matches!(status(&answer), 400 | 403), "{answer}");
    let old = raw(&guarded, b"GET /mcp HTTP/1.0\r\n\r\n");
    assert!(matches!(status(&old), 400 | 403), "{old}");
}

#[test]
fn headers_without_end() {
    let guarded = Guarded::start();
    let many: Vec<_> = (0..500).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = many.concat();
    let answer = raw(
        &guarded,
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes(),
    );
    assert_eq!(status(&answer), 431, "{answer}");
    let long = "y".repeat(200_000);
    let answer = raw(
        &guarded,
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n").as_bytes(),
    );
    assert!(matches!(status(&answer), 431 | 0), "{answer}");
}

#[test]
fn an_oversized_body() {
    let guarded = Guarded::start();
    let bearer = format!("Bearer {}", guarded.owner_token);
    let body = vec![b' '; 70 * 1024 * 1024];
    let mut connection = venom_testing::Connection::open(guarded.server.port).unwrap();
    // The server may close before it has taken all of it.
    if let Ok(answer) = connection.request("POST", "/mcp", &[("authorization", &bearer)], &body) {
        assert_eq!(answer.status, 413);
    }
    let long = "x=".to_owned() + &"y".repeat(100_000);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(
        guarded
            .send("POST", "/token", &form, long.as_bytes())
            .status,
        413
    );
    assert!(guarded.opens(&guarded.owner_token));
}

#[test]
fn deep_json() {
    let guarded = Guarded::start();
    let bearer = format!("Bearer {}", guarded.owner_token);
    for body in [
        "[".repeat(100_000),
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{}{}}}",
            "{\"a\":".repeat(500) + "1",
            "}".repeat(500)
        ),
    ] {
        let answer = guarded.send(
            "POST",
            "/mcp",
            &[("authorization", &bearer)],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert_eq!(
        guarded
            .send("POST", "/register", &[], "[".repeat(60_000).as_bytes())
            .status,
        400
    );
    assert!(guarded.opens(&guarded.owner_token));
}

#[test]
fn a_forwarded_address_from_a_stranger() {
    let guarded = Guarded::start();
    let headers = [
        ("x-forwarded-for", "198.51.100.7"),
        ("forwarded", "for=198.51.100.7"),
        ("x-real-ip", "198.51.100.7"),
    ];
    for guess in 0..4 {
        guarded.post(
            "/sign-in",
            &headers,
            &[("passphrase", &format!("guess {guess}"))],
        );
    }
    let failed: Vec<_> = guarded
        .audit()
        .into_iter()
        .filter(|entry| entry["event"] == "sign-in failed")
        .collect();
    assert!(
        failed.iter().all(|entry| entry["from"] == "127.0.0.1"),
        "{failed:?}"
    );
}

#[test]
fn a_forwarded_host_from_a_stranger() {
    let guarded = Guarded::start();
    let headers = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-original-url", "/account"),
    ];
    let metadata = guarded.get("/.well-known/oauth-protected-resource", &headers);
    assert!(!metadata.text().contains("evil.example"));
    let answer = guarded.rpc(&headers, "tools/list", &json!({}));
    assert!(
        !answer
            .header("www-authenticate")
            .unwrap()
            .contains("evil.example")
    );
}

#[test]
fn statements_in_values() {
    let guarded = Guarded::start();
    let attack = "x'; DROP TABLE tokens; --";
    let said = guarded.venom(["token", "revoke", attack]).run().failure(1);
    assert!(said.contains("there is no token"), "{said}");
    let answer = guarded.post("/revoke", &[], &[("token", attack), ("client_id", attack)]);
    assert_eq!(answer.status, 200);
    let answer = guarded.call(
        &guarded.owner_token,
        "search_memory",
        &json!({"query": attack, "space": attack}),
    );
    assert_eq!(answer.status, 200);
    assert!(guarded.opens(&guarded.owner_token));
}
