//! The HTTP routes beside MCP.

use crate::{BINARY, serve};
use venom_testing::{Command, Connection, Folder, Response, Server, process::free_port};

fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> Response {
    Connection::open(port)
        .unwrap()
        .request("GET", path, headers, b"")
        .unwrap()
}

#[test]
fn the_banner_has_the_three_lines_a_newcomer_needs() {
    let folder = Folder::new();
    let server = serve(&folder);
    let url = format!("http://127.0.0.1:{}/mcp", server.port);
    assert_eq!(server.banner.len(), 3);
    assert!(server.banner[0].ends_with(&url), "{:?}", server.banner);
    assert!(
        server.banner[1].ends_with(&folder.join("data").display().to_string()),
        "{:?}",
        server.banner
    );
    assert!(
        server.banner[2].contains(&format!("--transport http venom {url}")),
        "{:?}",
        server.banner
    );
}

#[test]
fn root_is_json_for_programs_and_a_page_for_browsers() {
    let folder = Folder::new();
    let server = serve(&folder);
    let version = env!("CARGO_PKG_VERSION");
    let root = get(server.port, "/", &[]).json();
    assert_eq!(
        root,
        serde_json::json!({"server": "venom", "status": "running", "version": version})
    );
    let page = get(
        server.port,
        "/",
        &[("accept", "text/html,application/xhtml+xml")],
    );
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(page.text().contains(version) && page.text().contains("/mcp"));
}

#[test]
fn health_has_the_fields_of_the_contract() {
    let folder = Folder::new();
    let command = Command::new(BINARY, folder.path())
        .env("VENOM_PERSONALITY", "variant2")
        .env("COLLECTION_NAME", "diary");
    let server = Server::start_with(command, folder.path(), free_port());
    let health = get(server.port, "/health", &[]);
    assert_eq!(health.status, 200);
    let expected = serde_json::json!({
        "status": "healthy",
        "server_name": "venom",
        "version": env!("CARGO_PKG_VERSION"),
        "personality_variant": "variant2",
        "embedding_model": "all-MiniLM-L6-v2",
        "collection_name": "diary",
        "memory_count": 0,
        "storage": "local disk, write-ahead log",
    });
    assert_eq!(health.json(), expected);
}

#[test]
fn icons_are_svg() {
    let folder = Folder::new();
    let server = serve(&folder);
    for path in ["/icon.svg", "/favicon.ico"] {
        let icon = get(server.port, path, &[]);
        assert_eq!(icon.header("content-type"), Some("image/svg+xml"));
        assert!(icon.text().starts_with("<svg"));
    }
}

#[test]
fn other_paths_and_methods_are_told_what_is_there() {
    let folder = Folder::new();
    let server = serve(&folder);
    let missing = get(server.port, "/api/v1", &[]);
    assert_eq!(missing.status, 404);
    assert!(missing.json()["error"].as_str().unwrap().contains("/mcp"));
    assert_eq!(get(server.port, "/messages/", &[]).status, 405);
    assert_eq!(
        get(server.port, "/mcp", &[("accept", "text/event-stream")]).status,
        405
    );
}

/// A page that may call Venom gets what its browser needs to let it.
#[test]
fn browsers_of_allowed_origins_may_read_the_answers() {
    let folder = Folder::new();
    let server = serve(&folder);
    let mut connection = Connection::open(server.port).unwrap();
    let headers = [
        ("origin", "http://localhost:6274"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,mcp-protocol-version",
        ),
    ];
    let preflight = connection
        .request("OPTIONS", "/mcp", &headers, b"")
        .unwrap();
    assert_eq!(preflight.status, 204, "{}", preflight.text());
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        Some("http://localhost:6274")
    );
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    assert!(
        allowed.contains("mcp-protocol-version") && allowed.contains("authorization"),
        "{allowed}"
    );
    let health = get(server.port, "/health", &headers[..1]);
    assert_eq!(
        health.header("access-control-allow-origin"),
        Some("http://localhost:6274")
    );
    assert_eq!(
        get(server.port, "/health", &[]).header("access-control-allow-origin"),
        None
    );
    let foreign = [("origin", "https://evil.example"), headers[1]];
    let refused = connection
        .request("OPTIONS", "/mcp", &foreign, b"")
        .unwrap();
    assert_eq!(
        (
            refused.status,
            refused.header("access-control-allow-origin")
        ),
        (403, None)
    );
}

/// What a container engine runs to ask for health.
#[test]
fn healthcheck_is_the_health_route_as_a_command() {
    let folder = Folder::new();
    let mut server = serve(&folder);
    let port = server.port.to_string();
    let check = || {
        crate::venom(&folder, ["healthcheck"])
            .env("PORT", &port)
            .run()
    };
    assert_eq!(check().success(), "healthy\n");
    std::fs::rename(folder.join("data"), folder.join("moved")).unwrap();
    let said = check().failure(69);
    assert!(
        said.contains("is unhealthy") && said.contains("moved or deleted"),
        "{said}"
    );
    server.process.kill();
    let said = check().failure(69);
    assert!(said.contains("no healthy answer from 127.0.0.1"), "{said}");
}
