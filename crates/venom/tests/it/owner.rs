//! Several processes on one data folder: the first owns it, the others attach, one takes over.

use crate::{BINARY, everything, search, serve, stdio, store, venom};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use venom_testing::{Command, Door, Folder, HttpClient, Server, StdioClient, tool_json};

/// What one client was told to be kept.
type Acknowledged = Vec<(String, String)>;

const STORES: usize = 100;
/// After this many acknowledged stores of its client the owner is killed.
const STORES_BEFORE_THE_KILL: usize = 40;

fn text_of(client: usize, number: usize) -> String {
    format!("Client {client} saw bird number {number} in the garden")
}

/// Stores until all are acknowledged.
fn store_all(client: usize, door: &mut impl Door) -> Acknowledged {
    let numbers = 0..STORES;
    numbers
        .map(|number| text_of(client, number))
        .map(|text| (store(door, &text), text))
        .collect()
}

/// Stores some, kills the process in the middle of the next call, and never speaks again.
fn store_and_kill(client: usize, mut door: StdioClient) -> Acknowledged {
    let numbers = 0..STORES_BEFORE_THE_KILL;
    let stored: Acknowledged = numbers
        .map(|number| text_of(client, number))
        .map(|text| (store(&mut door, &text), text))
        .collect();
    let params = json!({"name": "store_memory", "arguments": {"content": text_of(client, STORES)}});
    door.send_line(
        &json!({"jsonrpc": "2.0", "id": 999, "method": "tools/call", "params": params}).to_string(),
    );
    door.process.kill();
    stored
}

/// Three stdio processes and a server, each storing; the owner is killed in the middle. Nobody else
/// notices: every call of theirs is acknowledged, and everything acknowledged is kept, once.
#[test]
fn the_owner_is_killed_while_four_processes_store() {
    let folder = Folder::new();
    let owner = stdio(&folder);
    let others = [stdio(&folder), stdio(&folder)];
    let server = serve(&folder);
    let start = Arc::new(Barrier::new(4));
    let mut clients = Vec::new();
    let gate = start.clone();
    clients.push(std::thread::spawn(move || {
        gate.wait();
        store_and_kill(0, owner)
    }));
    for (index, mut door) in others.into_iter().enumerate() {
        let gate = start.clone();
        clients.push(std::thread::spawn(move || {
            gate.wait();
            let stored = store_all(index + 1, &mut door);
            assert_eq!(door.end(), Some(0));
            stored
        }));
    }
    let port = server.port;
    clients.push(std::thread::spawn(move || {
        let mut door = HttpClient::open(port).unwrap();
        start.wait();
        store_all(3, &mut door)
    }));
    let acknowledged: Vec<Acknowledged> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    let counts: Vec<usize> = acknowledged.iter().map(Vec::len).collect();
    assert_eq!(counts, [STORES_BEFORE_THE_KILL, STORES, STORES, STORES]);

    let mut kept = everything(&folder);
    for (id, text) in acknowledged.into_iter().flatten() {
        assert_eq!(kept.remove(&id), Some(text), "acknowledged means kept");
    }
    // The call that was cut off may have been kept or not; nothing else may be left, and nothing twice.
    assert!(
        kept.len() <= 1 && kept.values().all(|text| *text == text_of(0, STORES)),
        "{kept:?}"
    );
}

/// Owners end one after the other, in order and by force, while one client goes on.
#[test]
fn a_client_outlives_one_owner_after_the_other() {
    let folder = Folder::new();
    let mut owners: Vec<StdioClient> = (0..4).map(|_| stdio(&folder)).collect();
    let mut client = stdio(&folder);
    for (round, owner) in owners.iter_mut().enumerate() {
        store(&mut client, &format!("Round {round}"));
        if round % 2 == 0 {
            owner.process.kill();
        } else {
            assert_eq!(owner.end(), Some(0), "{}", owner.process.log());
        }
    }
    store(&mut client, "Round 4");
    assert_eq!(search(&mut client, "which round was it").len(), 5);
    assert_eq!(everything(&folder).len(), 5);
}

/// A call that its owner took and did not answer is neither lost nor done twice by the next one.
#[test]
fn calls_under_way_when_the_owner_dies_are_done_once() {
    const CALLS: usize = 60;
    let folder = Folder::new();
    for round in 0..5 {
        let mut owner = stdio(&folder);
        let mut client = stdio(&folder);
        for id in 0..CALLS {
            let text = format!("Round {round}, stone {id} of the wall");
            let params = json!({"name": "store_memory", "arguments": {"content": text}});
            let call = json!({"jsonrpc": "2.0", "id": 1000 + id, "method": "tools/call", "params": params});
            client.send_line(&call.to_string());
        }
        // A few answers show that the owner is at it.
        let mut answers: Vec<Value> = (0..=3 * round).map(|_| client.receive()).collect();
        owner.process.kill();
        answers.extend((answers.len()..CALLS).map(|_| client.receive()));
        let ids: BTreeSet<String> = answers
            .iter()
            .map(|answer| tool_json(answer)["memory_id"].to_string())
            .collect();
        assert_eq!(ids.len(), CALLS);
        assert_eq!(client.end(), Some(0));
        let kept = everything(&folder);
        assert_eq!(kept.len(), CALLS * (round + 1), "each was stored once");
        let texts: BTreeSet<&String> = kept.values().collect();
        assert_eq!(texts.len(), kept.len());
    }
}

/// While a server owns the folder the command line goes through it.
#[test]
fn the_command_line_works_beside_a_server() {
    let folder = Folder::new();
    let server = serve(&folder);
    let said = venom(
        &folder,
        [
            "store",
            "The bike lock code is on the fridge",
            "--tag",
            "home",
        ],
    )
    .run()
    .success();
    assert!(said.starts_with("Remembered as mem_"), "{said}");
    let mut door = HttpClient::open(server.port).unwrap();
    assert_eq!(
        search(&mut door, "how do I unlock the bike"),
        ["The bike lock code is on the fridge"]
    );
    let stats = venom(&folder, ["stats"]).run().success();
    assert!(
        stats.contains(&format!("attached to process {}", server.process.id())),
        "{stats}"
    );
    let id = everything(&folder).into_keys().next().unwrap();
    venom(&folder, ["forget", &id]).run().success();
    assert_eq!(
        search(&mut door, "how do I unlock the bike"),
        Vec::<String>::new()
    );
    let refused = venom(&folder, ["reembed"]).run().failure(69);
    assert!(
        refused.contains("is in use by") && refused.contains("stop it"),
        "{refused}"
    );
}

/// Nobody but the owner of the process may use the socket, the folder or what lies in it.
#[test]
fn the_folder_and_the_socket_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let _server = serve(&folder);
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.join("data")), 0o700);
    let files = std::fs::read_dir(folder.join("data")).unwrap();
    let names: Vec<String> = files
        .map(|file| {
            let file = file.unwrap();
            assert_eq!(mode(file.path()), 0o600, "{}", file.path().display());
            file.file_name().to_string_lossy().into_owned()
        })
        .collect();
    assert!(names.iter().any(|name| name == "venom.sock"), "{names:?}");
}

/// Answers and calls of many megabytes cross the socket as any other.
#[test]
fn long_answers_and_calls_cross_the_socket() {
    let folder = Folder::new();
    let server = serve(&folder);
    // One long word is one token, so this is quick to embed.
    for letter in ["a", "b", "c", "d"] {
        venom(&folder, ["store"])
            .run_with(letter.repeat(250 * 1024).as_bytes())
            .success();
    }
    let mut attached = stdio(&folder);
    for round in 0..16 {
        store(
            &mut attached,
            &format!("{round}{}", "\u{1}".repeat(255 * 1024)),
        );
    }
    let listed = venom(&folder, ["list", "--json"]).run().success();
    assert!(listed.len() > 20_000_000, "{}", listed.len());
    let lines = format!("{}\n", "w".repeat(255 * 1024)).repeat(16);
    let vectors = venom(&folder, ["embed"])
        .run_with(lines.as_bytes())
        .success();
    assert_eq!(vectors.lines().count(), 16);
    drop(server);
}

/// A path that is too long for a socket: the socket lies elsewhere, in a private folder.
#[test]
fn a_long_path_is_no_obstacle() {
    let folder = Folder::new();
    let data = folder.join(&"long".repeat(30)).join("data");
    let with_data = || {
        venom(&folder, [])
            .env("VENOM_DATA", &data)
            .env("TMPDIR", folder.path())
    };
    std::fs::create_dir_all(&data).unwrap();
    let server = Server::start_with(
        Command::new(BINARY, folder.path())
            .env("VENOM_DATA", &data)
            .env("TMPDIR", folder.path())
            .env_remove("XDG_RUNTIME_DIR"),
        folder.path(),
        venom_testing::process::free_port(),
    );
    let stats = with_data().args(["stats"]).run().success();
    assert!(
        stats.contains(&format!("attached to process {}", server.process.id())),
        "{stats}"
    );
}

/// A lease left behind by a killed process binds nobody.
#[test]
fn a_stale_lease_and_socket_are_taken_over() {
    let folder = Folder::new();
    let mut killed = stdio(&folder);
    store(&mut killed, "Before the power cut");
    killed.process.kill();
    assert!(folder.join("data/venom.sock").exists());
    assert_eq!(
        search(&mut stdio(&folder), "power cut"),
        ["Before the power cut"]
    );
}

/// The searches of an attached process equal those of the owner, to the last digit.
#[test]
fn attached_processes_find_the_same() {
    let folder = Folder::new();
    let mut owner = stdio(&folder);
    let mut attached = stdio(&folder);
    for text in ["Rain in Lisbon", "Snow in Oslo", "Fog in London"] {
        store(&mut attached, text);
    }
    let ask = |door: &mut StdioClient| {
        tool_json(&door.call_tool("search_memory", &json!({"query": "weather"})))
    };
    assert_eq!(ask(&mut attached), ask(&mut owner));
}
