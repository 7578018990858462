//! Spaces that are renamed, deleted and moved out of and into, with segments, restarts and damage.

use super::archive::{cut_a_file, direction, fill_space, search, text};
use super::{Folders, archived, open_archived};
use crate::store::SqliteStore;
use std::collections::{BTreeMap, BTreeSet};
use venom_core::ports::MemoryStore;
use venom_core::test_support::samples::{Rng, id, nearest, space};
use venom_core::{Filter, MemoryId, Move, Moved, Renamed, RequestKey, Source};

const NAMES: [&str; 4] = ["default", "work", "été", "renamed"];

fn whole(name: &str) -> Filter {
    Filter::everything_in(space(name))
}

fn move_all(store: &SqliteStore, ids: &[MemoryId], to: &str, key: u128) -> usize {
    let mut moved = 0;
    for (number, ids) in ids.chunks(256).enumerate() {
        let what = Move::new(ids.to_vec(), space(to), Source::default()).unwrap();
        let key = RequestKey(key + number as u128);
        let answers = store.move_memories(&what, key).unwrap();
        moved += answers.iter().filter(|it| **it == Moved::Moved).count();
    }
    moved
}

/// Whether a space has these memories and no others, each found by its words and by its vector.
#[track_caller]
fn assert_has(store: &SqliteStore, name: &str, expected: &[u64]) {
    let filter = whole(name);
    for digits in expected {
        let far = direction(digits + 1_000_000);
        let by_words = search(store, &text(*digits), &far, &filter, 3);
        assert_eq!(by_words[0].memory.id, id(*digits), "{name}, {digits}");
        let near = nearest(store, &direction(*digits), &filter, 200).unwrap();
        let hit = near.iter().find(|hit| hit.memory.id == id(*digits));
        assert!(
            hit.is_some_and(|hit| (hit.similarity - 1.0).abs() < 1e-6),
            "{name}, {digits}"
        );
    }
    let all = search(store, "told", &direction(0), &filter, 10_000);
    let found: BTreeSet<u64> = all.iter().map(|hit| hit.memory.id.digits()).collect();
    let known: BTreeSet<u64> = expected.iter().copied().collect();
    assert!(found.is_subset(&known), "{name}: {found:?}");
    assert_eq!(all.len(), found.len(), "{name}: none twice");
    let stats = store.stats(&space(name)).unwrap();
    assert_eq!(stats.space_memories, expected.len() as u64, "{name}");
}

#[test]
fn what_was_moved_is_in_one_space_before_and_after_a_restart() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill_space(&store, "default", 1..=300);
    fill_space(&store, "work", 301..=500);
    store.settle().unwrap();
    assert!(store.with_index(archived) > 400);
    // Segments of both spaces were made before the move.
    let some: Vec<MemoryId> = (100..=220).chain(350..=360).map(id).collect();
    assert_eq!(move_all(&store, &some, "work", 1_000), 121);
    let here: Vec<u64> = (1..100).chain(221..=300).collect();
    let there: Vec<u64> = (100..=220).chain(301..=500).collect();
    let check = |store: &SqliteStore| {
        assert_has(store, "default", &here);
        assert_has(store, "work", &there);
    };
    check(&store);
    drop(store);
    let store = open_archived(&folder);
    check(&store);
    // Segments that are made anew have what came and not what went.
    store.signal_for_tests();
    store.settle().unwrap();
    check(&store);
    drop(store);
    check(&open_archived(&folder));
    let folder_of_index = folder.join("index");
    std::fs::remove_dir_all(folder_of_index).unwrap();
    let store = open_archived(&folder);
    check(&store);
    store.settle().unwrap();
    check(&store);
}

#[test]
fn a_space_that_is_renamed_while_segments_are_made_keeps_them_its_own() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    let names = ["a", "b"];
    let mut next = 1;
    for round in 0..12 {
        // Segments of this space are under way when it changes its name, and the old name is used again.
        let (from, to) = (names[round % 2], names[(round + 1) % 2]);
        fill_space(&store, from, next..=next + 60);
        assert_eq!(
            store.rename_space(&space(from), &space(to)).unwrap(),
            Renamed::Done
        );
        let newest = [next, next + 30, next + 60];
        fill_space(&store, from, next + 61..=next + 80);
        assert_has_newest(&store, to, &newest);
        let other: Vec<u64> = (next + 61..=next + 80).collect();
        assert_has(&store, from, &other);
        let ids: Vec<MemoryId> = other.iter().copied().map(id).collect();
        assert_eq!(move_all(&store, &ids, to, u128::from(next) * 1_000_000), 20);
        store.empty_space(&space(from), 1_000).unwrap();
        next += 81;
    }
    let all: Vec<u64> = (1..next).collect();
    assert_has(&store, "a", &all);
    store.settle().unwrap();
    assert_has(&store, "a", &all);
    drop(store);
    assert_has(&open_archived(&folder), "a", &all);
}

#[track_caller]
fn assert_has_newest(store: &SqliteStore, name: &str, some: &[u64]) {
    for digits in some {
        let hits = search(store, &text(*digits), &direction(*digits), &whole(name), 1);
        assert_eq!(hits[0].memory.id, id(*digits), "{name}");
    }
}

#[test]
fn a_deleted_large_space_leaves_no_segment_and_comes_back_memory_by_memory() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill_space(&store, "work", 1..=300);
    store.settle().unwrap();
    let mut steps = 0;
    while !store
        .empty_space(&space("work"), 64)
        .unwrap()
        .unwrap()
        .deleted
    {
        steps += 1;
        let left = 300 - 64 * steps;
        let hits = search(&store, "told", &direction(1), &whole("work"), 10_000);
        assert!(hits.len() as u64 <= left && store.spaces().unwrap()[0].memories == left);
    }
    assert_eq!(steps, 4);
    assert_has(&store, "work", &[]);
    assert_eq!(store.spaces().unwrap(), []);
    drop(store);
    let store = open_archived(&folder);
    assert_has(&store, "work", &[]);
    assert_eq!(store.with_index(archived), 0);
    let files = std::fs::read_dir(folder.join("index")).unwrap().count();
    assert_eq!(files, 0, "files of a space without memories are removed");
    let some: Vec<MemoryId> = (10..=120).map(id).collect();
    store.restore(&some, RequestKey(9_999)).unwrap();
    let back: Vec<u64> = (10..=120).collect();
    assert_has(&store, "work", &back);
    store.settle().unwrap();
    assert_has(&store, "work", &back);
    drop(store);
    assert_has(&open_archived(&folder), "work", &back);
}

/// What each space has: words by digits.
type Model = BTreeMap<&'static str, BTreeSet<u64>>;

fn some_of(rng: &mut Rng, of: &BTreeSet<u64>, most: usize) -> Vec<u64> {
    let mut all: Vec<u64> = of.iter().copied().collect();
    // Neighbours most of the time, as a filter by time selects them.
    let from = rng.below(all.len().max(1));
    let mut some = all.split_off(from);
    some.truncate(1 + rng.below(most));
    if rng.below(3) == 0 {
        some.retain(|digits| digits % 3 == 0);
    }
    some
}

/// Seeded operations with restarts and damage, against a plain map.
fn random_spaces(seed: u64, steps: usize) {
    let folders = Folders::new();
    let folder = folders.fresh();
    let mut rng = Rng::new(seed);
    let mut expected: Model = NAMES.map(|name| (name, BTreeSet::new())).into();
    let mut hidden: BTreeMap<u64, &str> = BTreeMap::new();
    let mut store = Some(open_archived(&folder));
    let mut next = 1;
    for step in 0..steps {
        let said = format!("seed {seed}, step {step}");
        let open = store.as_ref().unwrap();
        let key = (1_000_000 + step as u128) * 1_000;
        let (from, to) = (rng.pick(&NAMES), rng.pick(&NAMES));
        match rng.below(14) {
            0..=3 => {
                let last = next + rng.below(60) as u64;
                fill_space(open, from, next..=last);
                expected.get_mut(from).unwrap().extend(next..=last);
                next = last + 1;
            }
            4..=6 => {
                let some = some_of(&mut rng, &expected[from], 120);
                let ids: Vec<MemoryId> = some.iter().copied().map(id).collect();
                let moved = move_all(open, &ids, to, key);
                assert_eq!(moved, if from == to { 0 } else { some.len() }, "{said}");
                for digits in some {
                    expected.get_mut(from).unwrap().remove(&digits);
                    expected.get_mut(to).unwrap().insert(digits);
                }
            }
            7 => {
                let spaces = open.spaces().unwrap();
                let was_there = spaces.iter().any(|it| it.name == space(from));
                let renamed = open.rename_space(&space(from), &space(to)).unwrap();
                if renamed == Renamed::Done && from != to && was_there {
                    let is_free =
                        expected[to].is_empty() && hidden.values().all(|home| *home != to);
                    assert!(is_free, "{said}");
                    let all = std::mem::take(expected.get_mut(from).unwrap());
                    expected.insert(to, all);
                    for home in hidden.values_mut().filter(|home| **home == from) {
                        *home = to;
                    }
                }
            }
            8 => {
                // Both ends of a step: cut short, and all of it.
                let most = if rng.below(2) == 0 { 30 } else { 100_000 };
                if let Some(emptied) = open.empty_space(&space(from), most).unwrap() {
                    let of_space = expected.get_mut(from).unwrap();
                    let gone: Vec<u64> = of_space.iter().copied().take(most).collect();
                    assert_eq!(emptied.forgotten, gone.len() as u64, "{said}");
                    assert!(gone.len() < most || !emptied.deleted || of_space.len() == most);
                    for digits in gone {
                        of_space.remove(&digits);
                        hidden.insert(digits, from);
                    }
                }
            }
            9 => {
                let all: BTreeSet<u64> = hidden.keys().copied().collect();
                let some = some_of(&mut rng, &all, 200);
                let ids: Vec<MemoryId> = some.iter().copied().map(id).collect();
                open.restore(&ids, RequestKey(key)).unwrap();
                for digits in some {
                    let home = hidden.remove(&digits).unwrap();
                    expected.get_mut(home).unwrap().insert(digits);
                }
            }
            10 => open.settle().unwrap(),
            11 => {
                drop(store.take());
                if rng.below(3) == 0 {
                    cut_a_file(&folder, &mut rng);
                }
                store = Some(open_archived(&folder));
            }
            _ => {}
        }
        let open = store.as_ref().unwrap();
        for (name, of_space) in &expected {
            let sample: Vec<u64> = of_space.iter().copied().collect();
            let digits = if sample.is_empty() {
                1
            } else {
                rng.pick(&sample)
            };
            let hits = search(open, &text(digits), &direction(digits), &whole(name), 20);
            assert_eq!(hits.len(), of_space.len().min(20), "{name}, {said}");
            assert!(
                of_space.is_empty() || hits[0].memory.id == id(digits),
                "{name}, {said}"
            );
            let is_here = |id: MemoryId| of_space.contains(&id.digits());
            assert!(
                hits.iter().all(|hit| is_here(hit.memory.id)),
                "{name}, {said}"
            );
            let space_memories = open.stats(&space(name)).unwrap().space_memories;
            assert_eq!(space_memories, of_space.len() as u64, "{name}, {said}");
        }
    }
}

/// `VENOM_TEST_SEEDS=1000..2000` runs others and more of them.
#[test]
fn random_moves_renames_and_deletions_of_large_spaces_agree_with_a_plain_map() {
    for seed in super::archive::seeds("1..5") {
        random_spaces(seed, 120);
    }
}
