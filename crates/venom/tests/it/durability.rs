//! Acknowledged means kept: bursts, overload, and a process killed at any moment.

use crate::{BINARY, everything, search, serve, venom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use venom_testing::{
    Command, Folder, HttpClient, Server, SseClient, StdioClient, tool_error, tool_json,
};

/// The predecessor kept 5 of 30 memories stored in one second.
#[test]
fn a_burst_of_a_thousand_stores_from_ten_clients_keeps_a_thousand() {
    let folder = Folder::new();
    let server = serve(&folder);
    let clients: Vec<_> = (0..10)
        .map(|client| {
            let mut door = HttpClient::open(server.port).unwrap();
            std::thread::spawn(move || {
                let texts = (0..100).map(|n| format!("Client {client} noted fact number {n}"));
                let store = |text: String| (crate::store(&mut door, &text), text);
                texts.map(store).collect::<Vec<_>>()
            })
        })
        .collect();
    let acknowledged: Vec<(String, String)> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    let kept = everything(&folder);
    assert_eq!(kept.len(), 1000);
    assert_eq!(kept, BTreeMap::from_iter(acknowledged));
    let health = venom_testing::Connection::open(server.port)
        .unwrap()
        .request("GET", "/health", &[], b"");
    assert_eq!(health.unwrap().json()["memory_count"], 1000);
}

/// One process is killed again and again while stores are under way at every stage. The number of
/// answers read before each kill differs, so the moment does.
#[test]
fn kill_9_in_twenty_rounds_loses_nothing_acknowledged() {
    const ROUNDS: usize = 20;
    const CALLS: usize = 60;
    let folder = Folder::new();
    let mut acknowledged = BTreeMap::new();
    let mut sent = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut client = StdioClient::start(venom(&folder, []));
        let text_of = |id: usize| format!("In round {round} the courier brought parcel {id}");
        for id in 0..CALLS {
            let params = json!({"name": "store_memory", "arguments": {"content": text_of(id)}});
            let call =
                json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
            client.send_line(&call.to_string());
            sent.insert(text_of(id));
        }
        // 7 and 41 share no divisor: every round stops after another number of answers.
        for _ in 0..(7 * round + 3) % 41 {
            let answer = client.receive();
            let id = usize::try_from(answer["id"].as_u64().expect("the id of a call")).unwrap();
            let memory_id = tool_json(&answer)["memory_id"]
                .as_str()
                .expect("an id")
                .to_owned();
            assert_eq!(acknowledged.insert(memory_id, text_of(id)), None);
        }
        client.process.kill();
    }
    let kept = everything(&folder);
    for (id, text) in &acknowledged {
        assert_eq!(kept.get(id), Some(text), "acknowledged, then killed");
    }
    assert!(
        kept.values().all(|text| sent.contains(text)),
        "nothing half written"
    );
    assert!(acknowledged.len() > 300, "{}", acknowledged.len());
    let mut client = StdioClient::start(venom(&folder, []));
    for text in acknowledged.values().step_by(37) {
        assert_eq!(&search(&mut client, text)[0], text, "kept and found");
    }
}

/// The same with a space so large that segments are made all the time, and with searches beside the stores.
#[test]
fn kill_9_while_segments_are_made_and_searched_loses_nothing() {
    const ROUNDS: usize = 8;
    let folder = Folder::new();
    let large = || venom(&folder, []).env("VENOM_EXACT_MEMORIES", "30");
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let port = venom_testing::process::free_port();
        let mut server = Server::start_with(large(), folder.path(), port);
        let until = 30 + (13 * round) % 17;
        std::thread::scope(|scope| {
            let searcher = scope.spawn(move || {
                let mut door = HttpClient::open(port).unwrap();
                let query = json!({"query": "Which parcel did the courier bring?"});
                while door.call("search_memory", &query).is_ok() {}
            });
            let mut door = HttpClient::open(port).unwrap();
            for number in 0..until {
                let text =
                    format!("In round {round} the courier brought parcel number{number}r{round}");
                crate::store(&mut door, &text);
                acknowledged.push(text);
            }
            server.process.kill();
            searcher.join().unwrap();
        });
    }
    assert!(folder.join("data/index").read_dir().unwrap().count() > 1);
    let kept: BTreeSet<String> = everything(&folder).into_values().collect();
    let mut client = StdioClient::start(large());
    client.initialize(venom_testing::mcp::REVISION);
    for text in &acknowledged {
        assert!(kept.contains(text), "acknowledged, then killed: {text}");
        assert_eq!(&search(&mut client, text)[0], text, "kept and found");
    }
}

#[test]
fn over_the_limit_a_caller_is_told_to_try_again_and_nothing_is_lost() {
    let folder = Folder::new();
    let mut client = StdioClient::start(
        venom(&folder, [])
            .env("VENOM_QUEUE", "2")
            .env("VENOM_WORKERS", "1"),
    );
    let calls = 200;
    for id in 0..calls {
        let params =
            json!({"name": "store_memory", "arguments": {"content": format!("Fact {id}")}});
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        client.send_line(&call.to_string());
    }
    let answers: Vec<Value> = (0..calls).map(|_| client.receive()).collect();
    let (refused, stored): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer["result"]["isError"] == true);
    assert!(
        !refused.is_empty() && !stored.is_empty(),
        "{} refused",
        refused.len()
    );
    for answer in refused {
        let sentence = tool_error(answer);
        assert!(
            sentence.contains("busy") && sentence.contains("try again"),
            "{sentence}"
        );
    }
    assert_eq!(everything(&folder).len(), stored.len());
}

/// A call that takes a while: five passages or so.
fn slow_store() -> Value {
    let content = "a long story that takes its time to read ".repeat(120);
    json!({"name": "store_memory", "arguments": { "content": content }})
}

/// Requests that run when the signal comes are answered; then the process ends in order.
#[test]
fn signals_let_running_requests_finish() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        let mut server = serve(&folder);
        let mut client = SseClient::open(server.port).unwrap();
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": slow_store()});
        let taken = client.post(call.to_string().as_bytes()).unwrap();
        assert_eq!(taken.status, 202);
        server.process.signal(signal);
        tool_json(&client.receive().expect("what was taken in is answered"));
        assert!(client.receive().is_err(), "then the stream ends");
        assert_eq!(server.process.wait(), Some(0), "{}", server.process.log());
        assert_eq!(everything(&folder).len(), 1);
    }
}

/// Over Streamable HTTP the signal may come before the request was read: then nothing was done.
#[test]
fn a_request_at_the_moment_of_the_signal_is_answered_or_not_done() {
    for _ in 0..5 {
        let folder = Folder::new();
        let mut server = serve(&folder);
        let mut client = HttpClient::open(server.port).unwrap();
        let answer = std::thread::spawn(move || client.request("tools/call", &slow_store()));
        server.process.signal("TERM");
        assert_eq!(server.process.wait(), Some(0), "{}", server.process.log());
        let answered = answer
            .join()
            .unwrap()
            .map(|answer| tool_json(&answer))
            .is_ok();
        assert_eq!(everything(&folder).len(), usize::from(answered));
    }
}

/// A data folder outlives the process and the port; ids keep rising.
#[test]
fn memories_and_the_order_of_ids_survive_restarts() {
    let folder = Folder::new();
    let mut last = String::new();
    for round in 0..3 {
        let mut server = Server::start_with(
            Command::new(BINARY, folder.path()),
            folder.path(),
            venom_testing::process::free_port(),
        );
        let mut door = HttpClient::open(server.port).unwrap();
        let id = crate::store(&mut door, &format!("Winter number {round}"));
        assert!(id > last, "{id} comes after {last}");
        last = id;
        server.process.kill();
    }
    assert_eq!(everything(&folder).len(), 3);
}
