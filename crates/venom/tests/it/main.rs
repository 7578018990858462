//! Integration tests: the real binary, driven through its real doors as its users drive it.
//!
//! Every test has a folder and a port of its own. What needs namespaces of the Linux kernel (a full
//! disk, a read-only folder, no network) says so and passes where the system refuses to make them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails with the place"
)]

mod attacks;
mod backups;
mod bad_input;
mod cli;
mod clients;
mod configuration;
mod containers;
mod doctor;
mod durability;
mod faults;
mod guarded;
mod hardening;
mod history;
mod load;
mod memories;
mod models;
mod moving;
mod owner;
mod passkeys;
mod poisoning;
mod routes;
mod sandbox;
mod scripts;
mod spaces;
mod terminal;
mod tidy;
mod transports;

use serde_json::{Value, json};
use venom_testing::{Command, Door, Folder, Server, StdioClient, tool_json};

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_venom");

/// A call of the program in a test's folder.
fn venom<const WORDS: usize>(folder: &Folder, words: [&str; WORDS]) -> Command {
    Command::new(BINARY, folder.path()).args(words)
}

/// A server in a test's folder.
fn serve(folder: &Folder) -> Server {
    Server::start(BINARY, folder.path())
}

/// A stdio server in a test's folder, past its handshake.
fn stdio(folder: &Folder) -> StdioClient {
    let mut client = StdioClient::start(venom(folder, []));
    client.initialize(venom_testing::mcp::REVISION);
    client
}

/// Stores a text and returns its id.
#[track_caller]
fn store(door: &mut impl Door, content: &str) -> String {
    let answer = tool_json(&door.call_tool("store_memory", &json!({ "content": content })));
    answer["memory_id"].as_str().expect("an id").to_owned()
}

/// The contents found for a query, best first.
#[track_caller]
fn search(door: &mut impl Door, query: &str) -> Vec<String> {
    let answer = tool_json(&door.call_tool("search_memory", &json!({ "query": query })));
    let results = answer["results"].as_array().expect("a list");
    let content = |hit: &Value| hit["content"].as_str().expect("a text").to_owned();
    results.iter().map(content).collect()
}

/// Every memory in the folder by id, through the command line.
#[track_caller]
fn everything(folder: &Folder) -> std::collections::BTreeMap<String, String> {
    venom_testing::load::kept(BINARY.as_ref(), folder.path())
}
