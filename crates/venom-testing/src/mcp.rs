//! MCP clients: Streamable HTTP and stdio.

use crate::http::{Connection, Response};
use crate::process::{Command, Process};
use serde_json::{Value, json};
use std::io::{self, Write};

/// The revision that the clients speak unless told otherwise.
pub const REVISION: &str = "2025-11-25";

pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(crate) fn call(tool: &str, arguments: &Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

fn initialize_params(revision: &str) -> Value {
    json!({
        "protocolVersion": revision,
        "capabilities": {},
        "clientInfo": {"name": "venom-testing", "version": "0"}
    })
}

/// The structured answer of a tool call, which must also stand in its text.
#[track_caller]
pub fn tool_json(answer: &Value) -> Value {
    let result = &answer["result"];
    assert_eq!(result["isError"], false, "{answer}");
    let text = result["content"][0]["text"].as_str().expect("a text block");
    let from_text: Value = serde_json::from_str(text).expect("the text is JSON");
    assert_eq!(from_text, result["structuredContent"]);
    from_text
}

/// The sentence of a tool call that failed.
#[track_caller]
pub fn tool_error(answer: &Value) -> String {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"]
        .as_str()
        .expect("a text block")
        .to_owned()
}

/// A client over Streamable HTTP on one connection.
#[derive(Debug)]
pub struct HttpClient {
    connection: Connection,
    revision: String,
    session: Option<String>,
    token: Option<String>,
    next_id: u64,
}

impl HttpClient {
    /// Connects; nothing is sent yet.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(port: u16) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open(port)?,
            revision: REVISION.to_owned(),
            session: None,
            token: None,
            next_id: 0,
        })
    }

    /// Names this revision in every request from now on.
    #[must_use]
    pub fn speaking(mut self, revision: &str) -> Self {
        revision.clone_into(&mut self.revision);
        self
    }

    /// Names this session in every request from now on.
    #[must_use]
    pub fn in_session(mut self, id: &str) -> Self {
        self.session = Some(id.to_owned());
        self
    }

    /// Shows this token with every request from now on.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(format!("Bearer {token}"));
        self
    }

    /// Posts any bytes to `/mcp`.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", self.revision.as_str()),
        ];
        headers.extend(self.session.as_deref().map(|id| ("mcp-session-id", id)));
        headers.extend(self.token.as_deref().map(|token| ("authorization", token)));
        self.connection.request("POST", "/mcp", &headers, body)
    }

    /// Sends a request and returns the whole JSON-RPC answer.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn request(&mut self, method: &str, params: &Value) -> io::Result<Value> {
        self.next_id += 1;
        let body = request(self.next_id, method, params).to_string();
        Ok(self.post(body.as_bytes())?.json())
    }

    /// Initializes with a revision.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn initialize(&mut self, revision: &str) -> io::Result<Value> {
        self.next_id += 1;
        let body = request(self.next_id, "initialize", &initialize_params(revision)).to_string();
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        Ok(self
            .connection
            .request("POST", "/mcp", &headers, body.as_bytes())?
            .json())
    }

    /// Calls a tool and returns the whole JSON-RPC answer.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> io::Result<Value> {
        self.request("tools/call", &call(tool, arguments))
    }
}

/// A client over stdio with a process of its own.
#[derive(Debug)]
pub struct StdioClient {
    /// The process.
    pub process: Process,
    next_id: u64,
}

impl StdioClient {
    /// Starts `venom stdio`; nothing is sent yet.
    pub fn start(command: Command) -> Self {
        Self::over(command.args(["stdio"]).spawn())
    }

    /// Talks to a process that was started otherwise.
    pub const fn over(process: Process) -> Self {
        Self {
            process,
            next_id: 0,
        }
    }

    /// Closes stdin and waits for the end of the process; its exit code.
    pub fn end(&mut self) -> Option<i32> {
        self.process.stdin = None;
        self.process.wait()
    }

    /// Initializes with a revision.
    #[track_caller]
    pub fn initialize(&mut self, revision: &str) -> Value {
        let answer = self.request("initialize", &initialize_params(revision));
        self.send_line(
            &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string(),
        );
        answer
    }

    /// Sends one line.
    #[track_caller]
    pub fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.process.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).expect("the process reads its stdin");
        stdin.flush().expect("the process reads its stdin");
    }

    /// The next message.
    #[track_caller]
    pub fn receive(&mut self) -> Value {
        match self.process.read_line() {
            Some(line) => serde_json::from_str(&line).expect("a line of stdout is a message"),
            None => panic!("the process ended: {}", self.process.log()),
        }
    }

    /// Sends a request and returns the next message.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: &Value) -> Value {
        self.next_id += 1;
        self.send_line(&request(self.next_id, method, params).to_string());
        let answer = self.receive();
        assert_eq!(answer["id"], self.next_id, "{answer}");
        answer
    }

    /// Calls a tool and returns the whole JSON-RPC answer.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.request("tools/call", &call(tool, arguments))
    }
}

/// A client over the legacy HTTP+SSE transport: one connection for the stream, one to send.
#[derive(Debug)]
pub struct SseClient {
    stream: Connection,
    sender: Connection,
    /// Where messages are sent, as the server said.
    pub endpoint: String,
    headers: Vec<(&'static str, String)>,
    unread: String,
    next_id: u64,
}

impl SseClient {
    /// Opens the stream and reads where to send; nothing is sent yet.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(port: u16) -> io::Result<Self> {
        Self::open_with(port, Vec::new())
    }

    /// The same, with these headers in every request.
    ///
    /// # Errors
    /// If nobody listens there, or the stream is refused.
    pub fn open_with(port: u16, headers: Vec<(&'static str, String)>) -> io::Result<Self> {
        let mut stream = Connection::open(port)?;
        let mut all = vec![("accept", "text/event-stream")];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        stream.send("GET", "/sse", &all, b"")?;
        let (status, _) = stream.read_head()?;
        if status != 200 {
            return Err(io::Error::other(format!(
                "the stream was refused: {status}"
            )));
        }
        let mut client = Self {
            stream,
            sender: Connection::open(port)?,
            endpoint: String::new(),
            headers,
            unread: String::new(),
            next_id: 0,
        };
        let (event, data) = client.read_event()?;
        assert_eq!(event, "endpoint");
        client.endpoint = data;
        Ok(client)
    }

    /// The next event of the stream: its name and data.
    fn read_event(&mut self) -> io::Result<(String, String)> {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.unread = rest;
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
                };
                let (name, data) = (field("event:"), field("data:"));
                // A comment keeps the stream alive and says nothing.
                if !name.is_empty() || !data.is_empty() {
                    return Ok((name, data));
                }
            }
            let chunk = self.stream.read_chunk()?;
            let chunk = chunk.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            self.unread
                .push_str(std::str::from_utf8(&chunk).map_err(io::Error::other)?);
        }
    }

    /// Posts any bytes to the endpoint; answers come over the stream.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        let mut all = vec![("content-type", "application/json")];
        all.extend(
            self.headers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        self.sender.request("POST", &self.endpoint, &all, body)
    }

    /// The next message of the stream.
    ///
    /// # Errors
    /// If the stream ends.
    pub fn receive(&mut self) -> io::Result<Value> {
        let (event, data) = self.read_event()?;
        assert_eq!(event, "message");
        serde_json::from_str(&data).map_err(io::Error::other)
    }

    /// Sends a request and returns the next message.
    ///
    /// # Errors
    /// If a connection breaks.
    pub fn request(&mut self, method: &str, params: &Value) -> io::Result<Value> {
        self.next_id += 1;
        let body = request(self.next_id, method, params).to_string();
        let taken = self.post(body.as_bytes())?;
        assert_eq!(taken.status, 202, "{}", taken.text());
        self.receive()
    }
}

/// A client on any transport, for tests that hold on all of them.
pub trait Door {
    /// Sends a request and returns the whole JSON-RPC answer.
    fn ask(&mut self, method: &str, params: &Value) -> Value;

    /// Sends the bytes of one message and returns the answer to it.
    fn ask_bytes(&mut self, message: &[u8]) -> Value;

    /// Calls a tool and returns the whole JSON-RPC answer.
    fn call_tool(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &call(tool, arguments))
    }

    /// Initializes with a revision.
    fn open_with(&mut self, revision: &str) -> Value {
        self.ask("initialize", &initialize_params(revision))
    }
}

impl Door for HttpClient {
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.request(method, params).expect("the server answers")
    }

    fn ask_bytes(&mut self, message: &[u8]) -> Value {
        self.post(message).expect("the server answers").json()
    }
}

impl Door for StdioClient {
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.request(method, params)
    }

    fn ask_bytes(&mut self, message: &[u8]) -> Value {
        self.send_bytes(message);
        self.send_bytes(b"\n");
        self.receive()
    }
}

impl Door for SseClient {
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.request(method, params).expect("the server answers")
    }

    /// A message that cannot be read is refused by the POST, any other answered over the stream.
    fn ask_bytes(&mut self, message: &[u8]) -> Value {
        let taken = self.post(message).expect("the server answers");
        if taken.status == 202 {
            self.receive().expect("the stream goes on")
        } else {
            taken.json()
        }
    }
}
