//! Requests that no client should make, each with the answer it has to get.

use crate::http::Response;
use serde_json::{Value, json};

/// How a request is broken, and what has to come of it.
pub(super) enum How {
    /// Bytes that are no message: the JSON-RPC code beside status 400.
    Message(fn() -> Vec<u8>, i64),
    /// A method that there is not: the JSON-RPC code of an answer with status 200.
    Method(&'static str, i64),
    /// A call of a tool that there is not: the JSON-RPC code of an answer.
    Tool(&'static str, i64),
    /// Arguments that a tool does not take: what its sentence begins with.
    Arguments(&'static str, fn() -> Value, &'static str),
    /// A request with something wrong in its head, and its status.
    Head(Head, u16),
    /// Bytes on a connection of their own, and the status; `None` closes it without waiting for one.
    Bytes(fn(&str) -> Vec<u8>, Option<u16>),
}

/// The head of a request that is well formed otherwise.
pub(super) struct Head {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// A header instead of the usual one; an empty one leaves it out.
    pub(super) header: Option<(&'static str, &'static str)>,
    /// Whether the token that may only read is shown.
    pub(super) read_only: bool,
    /// What the answer has to say, somewhere in it.
    pub(super) says: &'static str,
}

const POST: Head = Head {
    method: "POST",
    path: "/mcp",
    header: None,
    read_only: false,
    says: "",
};

/// A call that the well-formed of these requests carry. With the right to write it would store.
pub(super) fn store_message() -> Vec<u8> {
    let arguments = json!({"content": "nobody may store this sentence"});
    message("store_memory", &arguments)
}

fn message(tool: &str, arguments: &Value) -> Vec<u8> {
    let params = crate::mcp::call(tool, arguments);
    crate::mcp::request(1, "tools/call", &params)
        .to_string()
        .into_bytes()
}

const fn head(header: (&'static str, &'static str), says: &'static str) -> Head {
    Head {
        header: Some(header),
        says,
        ..POST
    }
}

/// All kinds, by name.
pub(super) const KINDS: [(&str, How); 26] = [
    (
        "cut JSON",
        How::Message(|| b"{\"jsonrpc\":".to_vec(), -32700),
    ),
    (
        "invalid UTF-8",
        How::Message(|| b"{\"a\":\"\xff\"}".to_vec(), -32700),
    ),
    ("too deep", How::Message(|| vec![b'['; 100_000], -32600)),
    ("empty batch", How::Message(|| b"[]".to_vec(), -32600)),
    (
        "no method",
        How::Message(|| br#"{"jsonrpc":"2.0","id":1}"#.to_vec(), -32600),
    ),
    ("unknown method", How::Method("no/such", -32601)),
    ("unknown tool", How::Tool("burn_memory", -32602)),
    (
        "tag too long",
        How::Arguments(
            "store_memory",
            || json!({"content": "x", "tags": ["y".repeat(51)]}),
            "tag 1 has 51 characters",
        ),
    ),
    (
        "too many tags",
        How::Arguments(
            "store_memory",
            || json!({"content": "x", "tags": vec!["t"; 11]}),
            "too many tags",
        ),
    ),
    (
        "blank text",
        How::Arguments(
            "store_memory",
            || json!({"content": " \n"}),
            "content is empty",
        ),
    ),
    (
        "text too long",
        How::Arguments(
            "store_memory",
            || json!({"content": "x".repeat(300_000)}),
            "content is too long",
        ),
    ),
    (
        "limit out of range",
        How::Arguments(
            "search_memory",
            || json!({"query": "x", "limit": 21}),
            "limit is out of range",
        ),
    ),
    (
        "unknown memory",
        How::Arguments(
            "get_memory",
            || json!({"memory_id": "mem_1"}),
            "memory mem_1 was not found",
        ),
    ),
    (
        "wrong token",
        How::Head(
            head(("authorization", "Bearer venom_guess"), "not known"),
            401,
        ),
    ),
    (
        "no token",
        How::Head(head(("authorization", ""), "needs a token"), 401),
    ),
    (
        "wrong host",
        How::Head(head(("host", "evil.example"), "not known here"), 403),
    ),
    (
        "strange page",
        How::Head(
            head(("origin", "https://evil.example"), "may not call Venom"),
            403,
        ),
    ),
    (
        "read-only token",
        How::Head(
            Head {
                read_only: true,
                says: "may read and not write",
                ..POST
            },
            200,
        ),
    ),
    (
        "unknown session",
        How::Head(
            Head {
                path: "/messages/?session_id=0000",
                says: "no session",
                ..POST
            },
            404,
        ),
    ),
    (
        "ambiguous path",
        How::Head(
            Head {
                path: "//mcp",
                says: "ambiguous",
                ..POST
            },
            400,
        ),
    ),
    (
        "unknown path",
        How::Head(
            Head {
                path: "/nothing",
                says: "does not exist",
                ..POST
            },
            404,
        ),
    ),
    (
        "wrong method",
        How::Head(
            Head {
                method: "PUT",
                ..POST
            },
            405,
        ),
    ),
    ("two hosts", How::Bytes(two_hosts, Some(400))),
    ("too many headers", How::Bytes(many_headers, Some(431))),
    ("half a request", How::Bytes(half, None)),
    ("gone before the answer", How::Bytes(gone, None)),
];

fn two_hosts(_: &str) -> Vec<u8> {
    b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n".to_vec()
}

fn many_headers(_: &str) -> Vec<u8> {
    let many = "x: y\r\n".repeat(120);
    format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").into_bytes()
}

fn post(token: &str, body: &[u8], length: usize) -> Vec<u8> {
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         authorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn half(token: &str) -> Vec<u8> {
    let body = store_message();
    post(token, &body[..body.len() / 2], body.len())
}

/// A whole search: it changes nothing, whether it is still done or not.
fn gone(token: &str) -> Vec<u8> {
    let body = message("search_memory", &json!({"query": "who has the blue tent"}));
    post(token, &body, body.len())
}

/// Holds an answer against what has to come.
pub(super) fn check(response: &Response, status: u16, says: &str) -> Result<(), String> {
    if response.status == status && response.text().contains(says) {
        return Ok(());
    }
    Err(format!(
        "expected {status} and {says:?}, received {}: {}",
        response.status,
        short(&response.text())
    ))
}

/// The beginning of a text.
pub(super) fn short(text: &str) -> String {
    text.chars().take(300).collect()
}
