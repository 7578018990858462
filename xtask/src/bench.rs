//! `bench smoke`: the release build as a user meets it, over MCP on Streamable HTTP, at 1,000 memories.
//!
//! Machines differ and are noisy, so every run also measures two floors on the same machine (a plain
//! `GET /` on the same server, a synced write of 4 KiB in the same folder) and whether the right memory
//! is found: a broken search would be fast, too.

pub(crate) mod access;
pub(crate) mod embed;
pub(crate) mod index;
pub(crate) mod load;
pub(crate) mod recall;
mod report;
mod sample;
pub(crate) mod scale;
pub(crate) mod soak;
mod texts;

use report::{Figures, Found};
use sample::Sample;
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use venom_testing::{Command, Connection, Folder, HttpClient, Server, StdioClient, tool_json};

/// Memories in the store when searches are measured.
const MEMORIES: usize = 1_000;
/// Searches on one connection.
const SEARCHES: usize = 1_000;
/// Searches of each client when many search at once.
const SEARCHES_EACH: usize = 200;
/// Starts measured of each kind.
const STARTS: usize = 7;
/// Rounds of each floor.
const FLOOR_ROUNDS: usize = 300;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Builds the release binary, measures it and prints the report.
pub(crate) fn smoke(as_json: bool) -> Outcome<()> {
    let binary = build()?;
    let folder = Folder::new();
    let server = Server::start(&binary, folder.path());
    step("storing 1,000 memories");
    let mut client = HttpClient::open(server.port)?;
    let stores = store_all(&mut client)?;
    step("searching, one client");
    let (searches, found) = search_all(&mut client)?;
    let resident = server.process.resident_bytes().unwrap_or_default();
    step("searching, 8 and 10 clients");
    let rates = [8, 10].map(|clients| search_rate(server.port, clients));
    let http_floor = http_floor(server.port)?;
    let disk_floor = disk_floor(&folder.join("data"))?;
    drop(client);
    drop(server);
    step("starting, over HTTP and stdio");
    let starts_http = start_times(|| first_answer_http(&binary, folder.path()))?;
    let starts_stdio = start_times(|| Ok(first_answer_stdio(&binary, folder.path())))?;
    let [rate_8, rate_10] = rates;
    let figures = Figures {
        starts_http,
        starts_stdio,
        resident_bytes: resident,
        stores,
        searches,
        searches_per_second_8: rate_8?,
        searches_per_second_10: rate_10?,
        http_floor,
        disk_floor,
        found,
        binary_bytes: std::fs::metadata(&binary)?.len(),
    };
    if as_json {
        println!("{:#}", figures.json());
    } else {
        print!("{}", figures.markdown());
    }
    Ok(())
}

fn step(what: &str) {
    eprintln!("bench: {what}");
}

/// The path of a fresh release build.
fn build() -> Outcome<PathBuf> {
    step("building in release mode");
    run_build(&mut cargo_build())
}

/// The same with a packed model inside; each takes the place of the other.
fn build_bundled(packed: &Path) -> Outcome<PathBuf> {
    step("building in release mode, with the model inside");
    let features = ["--features", "bundled-model"];
    run_build(
        cargo_build()
            .args(features)
            .env("VENOM_PACKED_MODEL", packed),
    )
}

fn cargo_build() -> std::process::Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["build", "--release", "-p", "venom"]);
    command.arg("--message-format=json-render-diagnostics");
    command
}

fn run_build(command: &mut std::process::Command) -> Outcome<PathBuf> {
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the release build failed".into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    let found = messages.lines().filter_map(executable).next_back();
    Ok(found.ok_or("cargo named no executable")?)
}

/// Calls a tool and measures it from request to parsed answer.
fn timed_call(
    client: &mut HttpClient,
    name: &str,
    arguments: &Value,
) -> Outcome<(Duration, Value)> {
    let started = Instant::now();
    let answer = client.call(name, arguments)?;
    let took = started.elapsed();
    Ok((took, tool_json(&answer)))
}

fn store_all(client: &mut HttpClient) -> Outcome<Sample> {
    let mut times = Vec::with_capacity(MEMORIES);
    for number in 0..MEMORIES {
        let arguments = json!({"content": texts::memory(number)});
        times.push(timed_call(client, "store_memory", &arguments)?.0);
    }
    Ok(Sample::new(times))
}

fn search_all(client: &mut HttpClient) -> Outcome<(Sample, Found)> {
    let mut times = Vec::with_capacity(SEARCHES);
    let mut found = Found::default();
    for number in 0..SEARCHES {
        let arguments = json!({"query": texts::question(number)});
        let (took, answer) = timed_call(client, "search_memory", &arguments)?;
        times.push(took);
        let results = answer["results"]
            .as_array()
            .ok_or("a search without results")?;
        let wanted = texts::memory(number);
        found.add(
            results
                .iter()
                .position(|hit| hit["content"] == wanted.as_str()),
        );
    }
    Ok((Sample::new(times), found))
}

/// Searches per second with that many clients at once, each on a connection of its own.
fn search_rate(port: u16, clients: usize) -> Outcome<f64> {
    let search = move |client: usize| -> Result<(), String> {
        let mut connection = HttpClient::open(port).map_err(|e| e.to_string())?;
        for number in 0..SEARCHES_EACH {
            // Other words than before, so that nothing could have been kept.
            let query = format!(
                "{} {client}-{number}",
                texts::question(client * 97 + number)
            );
            let answer = connection.call("search_memory", &json!({ "query": query }));
            tool_json(&answer.map_err(|e| e.to_string())?);
        }
        Ok(())
    };
    let started = Instant::now();
    let threads: Vec<_> = (0..clients)
        .map(|n| std::thread::spawn(move || search(n)))
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a client failed")??;
    }
    Ok((clients * SEARCHES_EACH) as f64 / started.elapsed().as_secs_f64())
}

fn http_floor(port: u16) -> Outcome<Sample> {
    let mut connection = Connection::open(port)?;
    let mut times = Vec::with_capacity(FLOOR_ROUNDS);
    for _ in 0..FLOOR_ROUNDS {
        let started = Instant::now();
        connection.request("GET", "/", &[], b"")?;
        times.push(started.elapsed());
    }
    Ok(Sample::new(times))
}

fn disk_floor(folder: &Path) -> Outcome<Sample> {
    let path = folder.join("floor");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::with_capacity(FLOOR_ROUNDS);
    for _ in 0..FLOOR_ROUNDS {
        let started = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(Sample::new(times))
}

fn start_times(mut once: impl FnMut() -> Outcome<Duration>) -> Outcome<Sample> {
    let times: Outcome<Vec<Duration>> = (0..STARTS).map(|_| once()).collect();
    Ok(Sample::new(times?))
}

/// From the start of the process to the first answered search, over HTTP.
fn first_answer_http(binary: &Path, folder: &Path) -> Outcome<Duration> {
    let started = Instant::now();
    let server = Server::start(binary, folder);
    let mut client = HttpClient::open(server.port)?;
    tool_json(&client.call("search_memory", &json!({"query": "where do I live"}))?);
    Ok(started.elapsed())
}

/// The same over stdio, handshake included.
fn first_answer_stdio(binary: &Path, folder: &Path) -> Duration {
    let started = Instant::now();
    let mut client = StdioClient::start(Command::new(binary, folder));
    client.initialize(venom_testing::mcp::REVISION);
    tool_json(&client.call("search_memory", &json!({"query": "where do I live"})));
    let took = started.elapsed();
    client.end();
    took
}
