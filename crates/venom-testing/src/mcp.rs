//! MCP clients: Streamable HTTP and stdio.

use crate::http::{Connection, Response};
use crate::process::{Command, Process};
use serde_json::{Value, json};
use std::io::{self, Write};

/// The revision that the clients speak unless told otherwise.
pub const REVISION: &str = "2025-11-25";

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn call(tool: &str, arguments: &Value) -> Value {
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
            next_id: 0,
        })
    }

    /// Posts any bytes to `/mcp`.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", REVISION),
        ];
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
        Self {
            process: command.args(["stdio"]).spawn(),
            next_id: 0,
        }
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
