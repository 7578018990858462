//! Backups and restores that are killed at any moment: nothing lost, nothing doubled, nothing half there.

use super::{back_up, path_of, restore, tokens};
use crate::moving::{next, seed};
use crate::{BINARY, everything, venom};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use venom_testing::process::Process;
use venom_testing::{Folder, HttpClient, Server};

const ROUNDS: usize = 20;

/// Waits for one of these words and a moment more, and kills. Whether the process was through by then.
fn kill_somewhere(process: &mut Process, words: &[&str], state: &mut u64) {
    let which = usize::try_from(next(state)).unwrap_or(0) % words.len();
    process.log_with(words[which]);
    // Not a pause: just another place in what comes next.
    for _ in 0..next(state) % 2_000_000 {
        std::hint::spin_loop();
    }
    process.kill();
}

/// The folders of backups that count.
fn whole(folder: &Folder) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("backups")) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_whole = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("venom-")
    };
    paths.filter(is_whole).collect()
}

/// What is in a backup, once it is restored to a folder of this name.
fn restored(folder: &Folder, backup: &Path, name: &str) -> BTreeMap<String, String> {
    restore(folder, backup, &format!("{name}/data"))
        .run()
        .success();
    venom_testing::load::kept(BINARY.as_ref(), &folder.join(name))
}

/// Stores facts in the order of their numbers until told to stop or the server is gone; what was acknowledged.
fn store_facts(port: u16, next_fact: &Mutex<usize>, stop: &AtomicBool) {
    let mut door = HttpClient::open(port).unwrap();
    while !stop.load(Ordering::SeqCst) {
        let mut number = next_fact.lock().unwrap();
        let content = format!("fact number {:05}", *number);
        let stored = door.call("store_memory", &serde_json::json!({ "content": content }));
        if stored.is_err() {
            return;
        }
        *number += 1;
    }
}

#[test]
fn a_backup_that_is_killed_leaves_nothing_that_is_taken_for_one() {
    let mut state = seed();
    let folder = Folder::new();
    let debug = || venom(&folder, []).env("VENOM_LOG", "debug");
    let acknowledged = Mutex::new(0);
    let mut checked = BTreeSet::new();
    let stages = [
        "",
        "the memories are copied",
        "everything is written",
        "everything is verified",
        "it is in its place",
    ];
    for round in 0..ROUNDS {
        let port = venom_testing::process::free_port();
        let mut server = Server::start_with(debug(), folder.path(), port);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let storing = scope.spawn(|| store_facts(port, &acknowledged, &stop));
            let mut process = debug().args(["backup", "backups", "--keep", "3"]).spawn();
            if round % 4 == 3 {
                // The owner is killed under the command, which says so or had all it needed.
                kill_somewhere(&mut server.process, &[""], &mut state);
                let code = process.wait();
                assert!(matches!(code, Some(0 | 69)), "{code:?}: {}", process.log());
            } else {
                kill_somewhere(&mut process, &stages, &mut state);
            }
            stop.store(true, Ordering::SeqCst);
            storing.join().unwrap();
        });
        drop(server);
        let acknowledged = *acknowledged.lock().unwrap();
        let kept: BTreeSet<String> = everything(&folder).into_values().collect();
        for number in 0..acknowledged {
            let fact = format!("fact number {number:05}");
            assert!(
                kept.contains(&fact),
                "{fact} of {acknowledged} in round {round}"
            );
        }
        // Every finished one holds all facts up to some number, none of them twice.
        for backup in whole(&folder) {
            if !checked.insert(backup.clone()) {
                continue;
            }
            let name = format!("restored-{}", checked.len());
            let found = restored(&folder, &backup, &name);
            let facts: BTreeSet<String> = found.values().cloned().collect();
            let expected = (0..found.len()).map(|number| format!("fact number {number:05}"));
            assert_eq!(facts, expected.collect(), "round {round}");
            std::fs::remove_dir_all(folder.join(&name)).unwrap();
        }
    }
    let last = path_of(&back_up(&folder, []));
    let count = everything(&folder).len();
    assert_eq!(restored(&folder, &last, "last").len(), count);
    let shelf = std::fs::read_dir(folder.join("backups")).unwrap();
    let names = shelf.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.ends_with(".partial")).collect();
    assert_eq!(left, [""; 0], "the next one cleared up");
    venom(&folder, ["doctor"]).run().success();
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_or_the_new() {
    let mut state = seed();
    let stages = [
        "",
        "venom.db is brought",
        "access.db is brought",
        "everything is checked",
        "everything is checked",
        "everything is in place",
    ];
    let origin = Folder::new();
    for number in 0..30 {
        let fact = format!("new fact {number}");
        venom(&origin, ["store", &fact]).run().success();
    }
    venom(&origin, ["token", "create", "--name", "new-token"])
        .run()
        .success();
    let persona = "venom_personality_pirate.md";
    std::fs::write(origin.join(persona), "# Ahoy").unwrap();
    let backup = path_of(&back_up(&origin, []));
    let new: BTreeSet<String> = everything(&origin).into_values().collect();
    let (mut old_rounds, mut new_rounds) = (0, 0);
    for round in 0..ROUNDS {
        let folder = Folder::new();
        venom(&folder, ["store", "the old fact"]).run().success();
        venom(&folder, ["token", "create", "--name", "old-token"])
            .run()
            .success();
        // A log that belongs to the old database and to no other: the owner is killed with it.
        let mut client = crate::stdio(&folder);
        crate::store(&mut client, "another old fact");
        client.process.kill();
        let restoring = restore(&folder, &backup, "data").args(["--replace"]);
        let mut process = restoring.env("VENOM_LOG", "debug").spawn();
        kill_somewhere(&mut process, &stages, &mut state);
        // Whoever comes next may be one that opens who may come in, and nothing else.
        let first_tokens = (round % 2 == 0).then(|| tokens(&folder, "data"));
        let found: BTreeSet<String> = everything(&folder).into_values().collect();
        let tokens = tokens(&folder, "data");
        let restored = folder.join("data/personalities").join(persona);
        let there = std::fs::read_to_string(&restored).ok();
        assert!(
            there.is_none() || (there.as_deref() == Some("# Ahoy") && found == new),
            "a persona is whole, and never before the memories: {there:?}"
        );
        if found == new {
            new_rounds += 1;
            assert!(
                tokens.contains("new-token") && !tokens.contains("old-token"),
                "{tokens}"
            );
        } else {
            old_rounds += 1;
            let old = ["another old fact", "the old fact"].map(str::to_owned);
            assert_eq!(found, BTreeSet::from(old), "neither the old nor the new");
            assert!(
                tokens.contains("old-token") && !tokens.contains("new-token"),
                "{tokens}"
            );
        }
        assert!(
            first_tokens.is_none_or(|first| first == tokens),
            "one state from the start"
        );
        let names = std::fs::read_dir(folder.join("data")).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(
            names.all(|name| !name.starts_with("restore.")),
            "nothing is left over"
        );
        venom(&folder, ["doctor"]).run().success();
        // It goes through when nobody kills it, and what was there is not lost.
        let again = restore(&folder, &backup, "data").args(["--replace"]);
        again.run().success();
        let found: BTreeSet<String> = everything(&folder).into_values().collect();
        assert_eq!(found, new);
        assert_eq!(std::fs::read_to_string(&restored).unwrap(), "# Ahoy");
    }
    println!("{old_rounds} times the old, {new_rounds} times the new");
}
