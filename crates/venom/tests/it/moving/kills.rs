//! Imports that are killed: what came stays, what is missing comes with the next run, nothing comes twice.

use super::predecessor::make;
use super::{counts, exported, import};
use crate::{everything, venom};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use venom_testing::Folder;

const ROUNDS: usize = 20;
/// Five batches and a bit.
const RECORDS: usize = 1_300;

/// A generator of pseudo-random numbers (xorshift64), so that a seed tells a whole run.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A seed, which is told.
pub(crate) fn seed() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed();
    let seed = since.map_or(1, |since| u64::from(since.subsec_nanos()) | 1);
    println!("seed {seed}");
    seed
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was() {
    let mut state = seed();
    let mut file = String::new();
    for number in 0..RECORDS {
        let id = if number % 2 == 0 {
            format!("\"id\":\"mem_{}\",", 1_000 + number)
        } else {
            String::new()
        };
        let _ = writeln!(
            file,
            "{{{id}\"content\":\"fact {number}\",\"timestamp\":{}}}",
            1_600_000_000 + number
        );
    }
    let mut rounds = 0;
    while rounds < ROUNDS {
        let folder = Folder::new();
        let path = folder.join("facts.jsonl");
        std::fs::write(&path, &file).unwrap();
        // Until one run is through, each is killed a while after it said how far it is.
        for _ in 0..4 {
            rounds += 1;
            let lines = next(&mut state) % 3;
            let mut process = venom(&folder, ["import"]).args([&path]).spawn();
            if lines > 0 {
                process.log_with(&format!("{} of {RECORDS} records", 256 * lines));
            } else {
                process.log_with("records");
            }
            process.kill();
        }
        let [imported, known, skipped] = counts(&import(&folder, &path, []));
        assert_eq!((imported + known, skipped), (1_300, 0));
        assert!(known >= 256, "what came before the kill is kept: {known}");
        let lines = exported(&folder);
        let texts: BTreeSet<&str> = lines
            .lines()
            .filter_map(|line| line.split("\"content\":\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!((lines.lines().count(), texts.len()), (RECORDS, RECORDS));
        venom(&folder, ["doctor"]).run().success();
    }
}

/// A start on the predecessor's folder that is cut short, again and again.
#[test]
fn a_start_that_is_killed_goes_on_where_it_was() {
    let mut state = seed();
    let origin = Folder::new();
    let expected = make(&origin, "chroma04", 1_000);
    let mut rounds = 0;
    while rounds < ROUNDS {
        let folder = Folder::new();
        std::fs::create_dir(folder.join("data")).unwrap();
        let name = "data/chroma.sqlite3";
        std::fs::copy(origin.join(name), folder.join(name)).unwrap();
        for _ in 0..4 {
            rounds += 1;
            let mut process = venom(&folder, ["stats"]).spawn();
            let words = ["taking over", "256 of 1000 records", "512 of 1000 records"];
            let words = words[usize::try_from(next(&mut state) % 3).unwrap()];
            process.log_with(words);
            process.kill();
            if process.log().contains("took over") {
                // It was faster.
                break;
            }
        }
        let ids: BTreeSet<String> = everything(&folder).into_keys().collect();
        assert!(
            ids.iter().eq(expected.keys()),
            "{} of {}",
            ids.len(),
            expected.len()
        );
        venom(&folder, ["doctor"]).run().success();
    }
}
