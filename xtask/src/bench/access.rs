//! `bench access`: what the check of a token and the audit log cost. Two servers of the same build, one
//! that asks for tokens and one that does not, take turns, so that whatever else the machine does meets
//! both.

use super::report::machine;
use super::sample::Sample;
use super::{Outcome, step, texts, timed_call};
use serde_json::json;
use std::time::Duration;
use venom_testing::load::Loaded;
use venom_testing::{Folder, HttpClient, Server};

/// Turns of each server.
const ROUNDS: usize = 20;
/// Memories stored and searched for in a turn.
const CALLS: usize = 50;

/// Times of one server.
#[derive(Default)]
struct Times {
    stores: Vec<Duration>,
    searches: Vec<Duration>,
}

/// Measures and prints a table.
pub(crate) fn run() -> Outcome<()> {
    let binary = super::build()?;
    let (open_folder, asking_folder) = (Folder::new(), Folder::new());
    let open = Server::start(&binary, open_folder.path());
    let asking = Loaded::start(&binary, asking_folder.path(), 1, Vec::new());
    let mut without = HttpClient::open(open.port)?;
    let mut with = HttpClient::open(asking.target.port)?.with_token(&asking.target.tokens[0]);
    let (mut times_without, mut times_with) = (Times::default(), Times::default());
    step("storing and searching by turns");
    for round in 0..ROUNDS {
        // The first of a round has the caches of the other's last: each is first as often.
        if round % 2 == 0 {
            turn(&mut without, round, &mut times_without)?;
            turn(&mut with, round, &mut times_with)?;
        } else {
            turn(&mut with, round, &mut times_with)?;
            turn(&mut without, round, &mut times_without)?;
        }
    }
    println!("| | without a token | with a token |\n|---|---|---|");
    let both = |what: &str, without: Vec<Duration>, with: Vec<Duration>| {
        let of = |times: Vec<Duration>| {
            let sample = Sample::new(times);
            format!("{:.2} / {:.2} ms", sample.p50_ms(), sample.p95_ms())
        };
        println!("| {what}, p50 / p95 | {} | {} |", of(without), of(with));
    };
    both("store", times_without.stores, times_with.stores);
    both("search", times_without.searches, times_with.searches);
    println!(
        "\nVenom {} on {}: {} of each, one client, up to {} memories.",
        env!("CARGO_PKG_VERSION"),
        machine(),
        ROUNDS * CALLS,
        ROUNDS * CALLS
    );
    Ok(())
}

fn turn(client: &mut HttpClient, round: usize, times: &mut Times) -> Outcome<()> {
    for call in 0..CALLS {
        let arguments = json!({"content": texts::memory(round * CALLS + call)});
        times
            .stores
            .push(timed_call(client, "store_memory", &arguments)?.0);
    }
    for call in 0..CALLS {
        let arguments = json!({"query": texts::question(round * CALLS + call)});
        times
            .searches
            .push(timed_call(client, "search_memory", &arguments)?.0);
    }
    Ok(())
}
