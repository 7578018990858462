//! Callers that mean no good, and proxies that vouch for others: the limits of the HTTP server, seen
//! from outside. What takes time is tested beside the code, with a clock that stands still.

use crate::{BINARY, serve, venom};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use serde_json::json;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use venom_testing::{
    Command, Connection, Door as _, Folder, HttpClient, Response, Server, process::free_port,
};

/// All that the server says to these bytes until it closes the connection.
fn say(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    // A connection that is reset has been closed, too.
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut connection = Connection::open(port).unwrap();
    connection.request("GET", path, headers, b"").unwrap()
}

fn serve_with(folder: &Folder, variables: &[(&str, &str)]) -> Server {
    let mut command = Command::new(BINARY, folder.path());
    for (name, value) in variables {
        command = command.env(name, value);
    }
    Server::start_with(command, folder.path(), free_port())
}

#[test]
fn requests_that_can_be_read_in_two_ways_are_refused() {
    let folder = Folder::new();
    let server = serve(&folder);
    for path in [
        "//health",
        "/x/../health",
        "/%2e%2e/health",
        "/x%2Fhealth",
        "/x\\health",
        "/.//",
    ] {
        let answer = get(server.port, path, &[]);
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(
            answer.json(),
            json!({"error": "the path is ambiguous: expected one without //, .., \\ and encoded separators"})
        );
    }
    let twice = [
        ("host: localhost\r\n", "the header host came twice"),
        (
            "content-type: text/plain\r\ncontent-type: application/json\r\n",
            "the header content-type came twice",
        ),
        (
            "authorization: Bearer a\r\nauthorization: Bearer b\r\n",
            "the header authorization came twice",
        ),
    ];
    for (headers, words) in twice {
        let head = format!(
            "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
        );
        let said = say(server.port, head.as_bytes());
        assert!(
            said.starts_with("HTTP/1.1 400") && said.contains(words),
            "{said}"
        );
    }
    for (head, words) in [
        (
            "GET http://evil.example/health HTTP/1.1\r\nhost: localhost",
            "names another host",
        ),
        (
            "GET /health HTTP/1.1\r\nhost: localhost:80@evil.example",
            "the Host header is malformed",
        ),
        ("GET /health HTTP/1.1", "the Host header is missing"),
        (
            "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80",
            "the path is ambiguous",
        ),
    ] {
        let said = say(
            server.port,
            format!("{head}\r\nconnection: close\r\n\r\n").as_bytes(),
        );
        assert!(
            said.starts_with("HTTP/1.1 400") && said.contains(words),
            "{said}"
        );
    }
    let same =
        "GET http://localhost/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert!(say(server.port, same.as_bytes()).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_request_in_the_body_of_another_is_not_answered() {
    let folder = Folder::new();
    let server = serve(&folder);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let hidden = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let body = format!("{:x}\r\n{call}\r\n0\r\n\r\n{hidden}", call.len());
    for headers in [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked\r\n",
            body.len()
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}\r\n",
            body.len()
        ),
    ] {
        let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let said = say(server.port, format!("{head}{headers}\r\n{body}").as_bytes());
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
        assert!(said.contains("connection: close"), "{said}");
    }
    let two = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!";
    assert!(say(server.port, two.as_bytes()).starts_with("HTTP/1.1 400"));
    assert!(say(server.port, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").starts_with("HTTP/1.1 400"));
}

#[test]
fn callers_without_a_word_do_not_hold_up_the_others() {
    let folder = Folder::new();
    let server = serve(&folder);
    let silent: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap())
        .collect();
    for mut stream in &silent[..100] {
        stream.write_all(b"POST /mcp HTT").unwrap();
    }
    let mut door = HttpClient::open(server.port).unwrap();
    assert_eq!(door.ask("ping", &json!({}))["result"], json!({}));
}

/// The system lets this server open so few files that 44 connections are left.
#[test]
fn connections_beyond_the_files_of_the_system_are_refused_in_words() {
    let folder = Folder::new();
    let few = "ulimit -n 300 && exec \"$0\" \"$@\"";
    let command = Command::new("sh", folder.path()).args(["-c", few, BINARY]);
    let server = Server::start_with(command, folder.path(), free_port());
    let mut open: Vec<Connection> = (0..44)
        .map(|_| {
            let mut connection = Connection::open(server.port).unwrap();
            let answer = connection.request("GET", "/", &[], b"").unwrap();
            assert_eq!(answer.status, 200);
            connection
        })
        .collect();
    let mut one_more = Connection::open(server.port).unwrap();
    assert_eq!(one_more.read_head().unwrap().0, 503);
    let again = open[0].request("GET", "/health", &[], b"").unwrap();
    assert_eq!(again.status, 200, "those inside are served on");
}

#[test]
fn a_public_url_is_a_name_of_this_server_and_asks_for_the_token() {
    let folder = Folder::new();
    let variables = [("VENOM_PUBLIC_URL", "https://venom.example/")];
    let server = serve_with(&folder, &variables);
    assert!(
        server.banner[0].ends_with("https://venom.example/mcp"),
        "{:?}",
        server.banner
    );
    let here = ("host", "venom.example");
    assert_eq!(get(server.port, "/health", &[here]).status, 200);
    assert_eq!(get(server.port, "/mcp", &[here]).status, 401);
    assert_eq!(
        get(server.port, "/mcp", &[]).status,
        401,
        "from this machine, too"
    );
    let evil = ("host", "evil.example");
    assert_eq!(get(server.port, "/", &[evil]).status, 403);
    let probe = get(server.port, "/health", &[evil]);
    assert_eq!(probe.status, 200, "probes ask under any name");
    let page = |origin| get(server.port, "/health", &[here, ("origin", origin)]);
    let own = page("https://venom.example");
    assert_eq!(
        own.header("access-control-allow-origin"),
        Some("https://venom.example")
    );
    assert_eq!(page("https://evil.example").status, 403);
    assert_eq!(page("http://venom.example").status, 403);
}

#[test]
fn a_trusted_proxy_tells_whose_requests_are_counted() {
    let folder = Folder::new();
    let variables = [
        ("VENOM_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1"),
        ("VENOM_RATE_ADDRESS", "3"),
    ];
    let server = serve_with(&folder, &variables);
    let call = |told: &str| get(server.port, "/", &[("x-forwarded-for", told)]);
    for invented in ["1.1.1.1", "2.2.2.2", "3.3.3.3"] {
        assert_eq!(call(&format!("{invented}, 203.0.113.7")).status, 200);
    }
    let refused = call("4.4.4.4, 203.0.113.7, 10.9.9.9");
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.json(),
        json!({"error": "too many requests of this address: try again in 20 s"})
    );
    assert_eq!(refused.header("retry-after"), Some("20"));
    assert_eq!(call("203.0.113.8").status, 200);
    let direct = (0..10).map(|_| get(server.port, "/", &[]).status);
    assert!(direct.into_iter().all(|status| status == 200));
}

#[test]
fn what_strangers_forward_is_ignored() {
    let folder = Folder::new();
    let server = serve_with(&folder, &[("VENOM_RATE_ADDRESS", "1")]);
    // These come from this machine, which is not counted, whatever they say.
    for _ in 0..3 {
        let told = [
            ("x-forwarded-for", "203.0.113.7"),
            ("forwarded", "for=203.0.113.7"),
        ];
        assert_eq!(get(server.port, "/", &told).status, 200);
    }
}

/// Head and body may come apart; a refusal in between would close the connection under the body.
#[test]
fn a_refused_request_leaves_its_connection_to_the_next() {
    let guarded = crate::guarded::Guarded::start();
    let mut connection = Connection::open(guarded.server.port).unwrap();
    for _ in 0..3 {
        let body = vec![b'x'; 20_000];
        let refused = connection.request("POST", "/mcp", &[], &body).unwrap();
        assert_eq!((refused.status, refused.header("connection")), (401, None));
        let bearer = format!("Bearer {}", guarded.owner_token);
        let headers = [("authorization", bearer.as_str())];
        let missing = connection.request("POST", "/nothing", &headers, &body);
        let missing = missing.unwrap();
        assert_eq!((missing.status, missing.header("connection")), (404, None));
    }
    let long = vec![b'x'; 200_000];
    let refused = connection.request("POST", "/mcp", &[], &long);
    // It may be closed before all of it is taken.
    if let Ok(refused) = refused {
        assert_eq!(refused.header("connection"), Some("close"));
    }
}

#[test]
fn requests_of_one_token_are_counted() {
    let folder = Folder::new();
    let server = serve_with(&folder, &[("VENOM_RATE_TOKEN", "2")]);
    let [one, two] = ["one", "two"].map(|name| {
        let create = ["token", "create", "--name", name];
        let said = crate::venom(&folder, create).run().success();
        format!("Bearer {}", said.lines().next().unwrap())
    });
    let call = |token: &str| get(server.port, "/mcp", &[("authorization", token)]).status;
    let statuses = [0; 3].map(|_| call(&one));
    assert_eq!(statuses, [405, 405, 429]);
    assert_eq!(call(&two), 405);
    assert_eq!(
        get(server.port, "/mcp", &[]).status,
        405,
        "who needs none is not counted"
    );
}

/// Makes a certificate for localhost.
fn write_certificate(folder: &Folder) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

/// The answer to a request over TLS, from a server that shows exactly this certificate.
fn say_over_tls(
    port: u16,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    request: &str,
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).map_err(io::Error::other)?;
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(request.as_bytes())?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

#[test]
fn tls_is_spoken_with_the_given_certificate() {
    let folder = Folder::new();
    let certificate = write_certificate(&folder);
    let variables = [("VENOM_TLS_CERT", "cert.pem"), ("VENOM_TLS_KEY", "key.pem")];
    let server = serve_with(&folder, &variables);
    let url = format!("https://127.0.0.1:{}/mcp", server.port);
    assert!(server.banner[0].ends_with(&url), "{:?}", server.banner);

    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{ping}",
        ping.len()
    );
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let said = say_over_tls(server.port, &certificate, version, &request).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(
            said.ends_with(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            "{said}"
        );
    }
    let other = write_certificate(&Folder::new());
    let refused = say_over_tls(server.port, &other, &rustls::version::TLS13, &request);
    refused.unwrap_err();
    let plain = say(
        server.port,
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    );
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");

    let port = server.port.to_string();
    let mut check = venom(&folder, ["healthcheck"]).env("PORT", &port);
    for (name, value) in variables {
        check = check.env(name, value);
    }
    assert_eq!(check.run().success(), "healthy\n");
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let folder = Folder::new();
    write_certificate(&folder);
    fs::write(folder.join("other.pem"), "nonsense").unwrap();
    let start = |certificate: &str, key: &str| {
        venom(&folder, ["serve"])
            .args([
                format!("--tls-cert={certificate}"),
                format!("--tls-key={key}"),
            ])
            .run()
    };
    let said = start("cert.pem", "other.pem").failure(69);
    assert!(
        said.contains("the key in other.pem cannot be used"),
        "{said}"
    );
    let said = start("missing.pem", "key.pem").failure(69);
    assert!(
        said.contains("the certificate in missing.pem cannot be used: No such file"),
        "{said}"
    );
    let said = venom(&folder, ["serve", "--tls-cert=cert.pem"])
        .run()
        .failure(2);
    assert_eq!(
        said,
        "venom: --tls-cert is \"cert.pem\": expected --tls-key (VENOM_TLS_KEY) with it\n"
    );
    assert!(!folder.join("data").exists(), "nothing was opened");
}
