//! What is erased is in no file: every byte of the data folder is searched for it.

use super::{Folders, archived, open, open_archived, open_archived_on, open_with_rollback};
use crate::cleaning::Cleanness;
use crate::pages::{Disk, RealDisk};
use crate::store::SqliteStore;
use crate::{erase, marks};
use rusqlite::Connection;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use venom_core::ports::{MemoryRecord, MemoryStore, MemoryUpdate};
use venom_core::test_support::samples::{
    DIMENSIONS, Rng, id, nearest, record, said, space, tagged, vector, waiting,
};
use venom_core::{
    Content, Erasure, Filter, MemoryChange, MemoryId, Origin, Precautions, RequestKey, Source,
    Tags, Timestamp, Verdict,
};
use venom_testing::folder::files;

const NOW: Timestamp = Timestamp::from_micros(5_000_000);
/// Bytes that are compared first.
const START: usize = 8;

/// A word that shares its start with no other.
fn word(what: &str, digits: u64) -> String {
    let salt: u64 = what.bytes().map(u64::from).sum();
    let mut rng = Rng::new(digits * 1_000 + salt);
    format!("{:016x}{:016x}", rng.bits(), rng.bits())
}

fn direction(digits: u64, what: &str) -> Vec<f32> {
    let mut rng = Rng::new(digits * 1_000 + what.len() as u64);
    let raw = [(); DIMENSIONS].map(|()| rng.below(2_000_001) as f32 - 1_000_000.0);
    vector(&raw).as_slice().to_vec()
}

/// A text of its own, every seventh longer than some pages of the file.
fn text(what: &str, digits: u64) -> String {
    let more = if digits.is_multiple_of(7) {
        2_000
    } else {
        digits % 40
    };
    let mut words = vec![word(what, digits)];
    words.extend((0..more).map(|n| format!("{}{n}", word(what, digits))));
    words.join(" ")
}

fn memory(digits: u64) -> MemoryRecord {
    let mut record = record(digits, &text("first", digits), &direction(digits, "first"));
    if digits.is_multiple_of(2) {
        record = said(record, &word("speaker", digits), &word("session", digits));
    }
    if digits.is_multiple_of(3) {
        record = tagged(record, &[&word("tag", digits)]);
    }
    if digits.is_multiple_of(11) {
        record = waiting(record);
    }
    record
}

/// Gives a memory another text and tag, which are its third ones where it has its second.
fn change(store: &SqliteStore, digits: u64, what: &str) {
    let text = text(what, digits);
    let updated = store.update(&MemoryUpdate {
        passages: record(digits, &text, &direction(digits, what)).passages,
        change: MemoryChange {
            id: id(digits),
            content: Content::parse(&text).ok(),
            tags: Tags::parse(&[word(&format!("{what} tag"), digits)]).ok(),
            origin: Origin::default(),
            source: Source::default(),
            precautions: Precautions::NONE,
        },
        stored_at: Timestamp::from_micros(9),
        request: RequestKey(u128::from(digits) << 64 | what.len() as u128),
    });
    assert_eq!(updated.unwrap().is_some(), !digits.is_multiple_of(11));
}

const CHANGES: [&str; 2] = ["second", "last one"];

/// Stores memories with all that they may have, and changes some, in an order that moves rows about.
fn fill(store: &SqliteStore, count: u64) {
    for digits in 1..=count {
        store.insert(&[memory(digits)]).unwrap();
    }
    for (number, what) in CHANGES.into_iter().enumerate() {
        for digits in (1..=count).rev().filter(|n| n % (number as u64 + 3) == 1) {
            change(store, digits, what);
        }
    }
    for digits in (1..=count).filter(|n| n.is_multiple_of(5)) {
        store.forget(&[id(digits)], RequestKey(2)).unwrap();
    }
    for digits in (1..=count).filter(|n| n.is_multiple_of(22)) {
        store.judge(&[id(digits)], Verdict::Discard).unwrap();
    }
    store.settle().unwrap();
}

/// Everything that tells of a memory, as it would be in a file.
fn needles(digits: u64) -> Vec<Vec<u8>> {
    let vector = |what| {
        let vector = direction(digits, what).into_iter();
        vector.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
    };
    let mut words = vec![
        word("speaker", digits),
        word("session", digits),
        word("tag", digits),
    ];
    let mut needles = vec![vector("first")];
    words.push(word("first", digits));
    for what in CHANGES {
        needles.push(vector(what));
        words.push(word(what, digits));
        words.push(word(&format!("{what} tag"), digits));
    }
    // Full text leaves out of a word what it shares with the one before.
    needles.extend(words.iter().map(|word| word.as_bytes()[6..24].to_vec()));
    needles
}

/// In which files any of these are; sorted, each once.
fn found(root: &Path, needles: &[Vec<u8>]) -> Vec<String> {
    let mut by_start: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for needle in needles {
        by_start.entry(&needle[..START]).or_default().push(needle);
    }
    let mut found = Vec::new();
    for (path, bytes) in files(root) {
        let is_there = (0..bytes.len().saturating_sub(START)).any(|at| {
            let needles = by_start.get(&bytes[at..at + START]);
            needles.is_some_and(|all| all.iter().any(|it| bytes[at..].starts_with(it)))
        });
        if is_there {
            let name = path.file_name().and_then(|name| name.to_str());
            found.push(name.unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// Erases memories and waits until nothing is done in the background; whether the files are clean then.
fn erase_and_wait(store: &SqliteStore, ids: &[MemoryId]) -> (Vec<Erasure>, bool) {
    let each = store.erase(ids, NOW).unwrap().each;
    let settled = store.settle();
    let is_clean = store.shared().cleaning.is_clean();
    assert_eq!(settled.is_ok(), is_clean, "{settled:?}");
    (each, is_clean)
}

/// Those that are erased in these tests: visible, forgotten, waiting and discarded ones.
fn goes(digits: u64) -> bool {
    digits % 4 < 2
}

fn needles_of(digits: impl Iterator<Item = u64>) -> Vec<Vec<u8>> {
    digits.flat_map(needles).collect()
}

#[track_caller]
fn assert_gone(folder: &Path, count: u64) {
    let gone = needles_of((1..=count).filter(|n| goes(*n)));
    assert_eq!(found(folder, &gone), Vec::<String>::new());
}

/// Whatever stays is as it was, and the file is sound.
#[track_caller]
fn assert_whole(store: &SqliteStore, count: u64) {
    for digits in (1..=count).filter(|n| !goes(*n)) {
        let history = store.history(id(digits)).unwrap().unwrap();
        assert_eq!(history.versions[0].content.as_str(), text("first", digits));
    }
    let stays = (1..=count).filter(|n| !goes(*n) && n % 5 != 0 && n % 11 != 0);
    let everything = Filter::everything_in(space("default"));
    for digits in stays.step_by(7) {
        let memory = store.get(&[id(digits)]).unwrap().remove(0).unwrap();
        let last = memory.content.as_str();
        let what = ["first", "second", "last one"]
            .into_iter()
            .find(|what| text(what, digits) == last);
        let query = vector(&direction(digits, what.unwrap()));
        let hits = nearest(store, &query, &everything, 3).unwrap();
        assert!(hits.iter().any(|hit| hit.memory == memory), "{digits}");
    }
    store.with_connection(|connection| {
        let sound: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
        let check = "INSERT INTO memories_fts (memories_fts) VALUES ('integrity-check')";
        connection.execute(check, []).unwrap();
        let broken = connection
            .prepare("PRAGMA foreign_key_check")
            .unwrap()
            .exists([])
            .unwrap();
        assert!(!broken);
        assert_eq!(erase::leftover(connection).unwrap(), None);
        assert_eq!(marks::at(connection, erase::CLEANING).unwrap(), None);
    });
}

#[track_caller]
fn check(open_it: fn(&Path) -> SqliteStore, count: u64) {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_it(&folder);
    fill(&store, count);
    for digits in [1, 4, 8] {
        assert_ne!(
            found(&folder, &needles(digits)),
            Vec::<String>::new(),
            "{digits}"
        );
    }
    let ids: Vec<MemoryId> = (1..=count).filter(|n| goes(*n)).map(id).collect();
    for some in ids.chunks(ids.len() / 3) {
        let (each, is_clean) = erase_and_wait(&store, some);
        assert!(each.iter().all(|it| *it == Erasure::Erased) && is_clean);
        let gone: Vec<Vec<u8>> = needles_of(some.iter().map(|id| id.digits()));
        assert_eq!(found(&folder, &gone), Vec::<String>::new());
        // Life goes on, and moves things about.
        let next = some[0].digits() + 100_000;
        store.insert(&[memory(next)]).unwrap();
        change(&store, next, "last one");
    }
    assert_gone(&folder, count);
    assert_whole(&store, count);
    drop(store);
    assert_gone(&folder, count);
    let store = open_it(&folder);
    assert_whole(&store, count);
    assert_gone(&folder, count);
}

#[test]
fn nothing_of_an_erased_memory_is_in_the_database() {
    check(open, 240);
}

#[test]
fn nothing_of_an_erased_memory_is_in_a_database_with_a_rollback_journal() {
    check(open_with_rollback, 120);
}

#[test]
fn nothing_of_an_erased_memory_is_in_segments() {
    check(open_archived, 400);
}

/// Commits an erasing as [`SqliteStore`] does, and dies.
fn erase_and_die(folder: &Path, count: u64) {
    let mut connection = Connection::open(folder.join("venom.db")).unwrap();
    connection
        .pragma_update(None, "foreign_keys", false)
        .unwrap();
    let tx = connection.transaction().unwrap();
    let ids: Vec<MemoryId> = (1..=count).filter(|n| goes(*n)).map(id).collect();
    erase::erase(&tx, 1, &ids, NOW).unwrap();
    tx.commit().unwrap();
}

#[test]
fn what_a_kill_cut_short_is_finished_at_the_next_opening() {
    for (open_it, count) in [
        (open as fn(&Path) -> SqliteStore, 100),
        (open_archived, 400),
    ] {
        let folders = Folders::new();
        let folder = folders.fresh();
        let store = open_it(&folder);
        fill(&store, count);
        drop(store);
        erase_and_die(&folder, count);
        let gone = needles_of((1..=count).filter(|n| goes(*n)));
        assert_ne!(found(&folder, &gone), Vec::<String>::new());
        let store = open_it(&folder);
        store.settle().unwrap();
        assert_gone(&folder, count);
        assert_whole(&store, count);
    }
}

#[test]
fn residues_of_older_folders_go_with_the_first_erasing() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    fill(&store, 60);
    drop(store);
    // As a version did that kept no former texts: they are in free pages and between cells.
    let connection = Connection::open(folder.join("venom.db")).unwrap();
    connection.execute_batch("DELETE FROM versions").unwrap();
    drop(connection);
    let changed = (1..=60).filter(|n| n % 3 == 1 && !goes(*n) && n % 11 != 0);
    let former = changed.map(|digits| word("first", digits).as_bytes()[6..24].to_vec());
    let former: Vec<Vec<u8>> = former.collect();
    assert_ne!(found(&folder, &former), Vec::<String>::new());
    let store = open(&folder);
    erase_and_wait(&store, &[id(1)]);
    assert_eq!(found(&folder, &former), Vec::<String>::new());
    drop(store);
    assert_eq!(found(&folder, &former), Vec::<String>::new());
}

/// In microseconds.
const HOUR: u64 = 3_600_000_000;

#[test]
fn backups_that_may_hold_a_memory_are_named() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    store
        .insert(&[
            record(10 * HOUR, "one", &[1.0]),
            record(50 * HOUR, "two", &[1.0]),
        ])
        .unwrap();
    let kept = folders.fresh();
    std::fs::create_dir_all(&kept).unwrap();
    let kept = kept.to_str().unwrap().to_owned();
    store.with_connection(|connection| {
        let sql = "INSERT INTO backups SELECT column1, column2 * 3600000000
                   FROM (VALUES (?1, 5), (?2, 20), (?3, 30), (?4, 60))";
        let paths = [
            format!("{kept}/."),
            kept.clone(),
            format!("{kept}/gone"),
            format!("{kept}/.."),
        ];
        connection
            .execute(sql, rusqlite::params_from_iter(paths))
            .unwrap();
    });
    let named = |digits: u64| {
        let backups = store.erase(&[id(digits)], NOW).unwrap().backups;
        let made = backups.into_iter();
        made.map(|it| it.made_at.as_micros() / HOUR.cast_signed())
            .collect::<Vec<_>>()
    };
    assert_eq!(named(50 * HOUR), [60]);
    assert_eq!(named(10 * HOUR), [60, 20]);
}

/// Words of these memories that are in the blocks of the full-text index.
fn words_left(store: &SqliteStore, of: &[u64]) -> usize {
    let blocks: Vec<Vec<u8>> = store.with_connection(|connection| {
        let sql = "SELECT block FROM memories_fts_data";
        let mut statement = connection.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.map(Result::unwrap).collect()
    });
    let is_there = |needle: &&Vec<u8>| {
        let mut blocks = blocks.iter();
        blocks.any(|block| {
            block
                .windows(needle.len())
                .any(|it| it == needle.as_slice())
        })
    };
    let words = of.iter().flat_map(|digits| needles(*digits));
    let words: Vec<Vec<u8>> = words.filter(|needle| needle.len() < 100).collect();
    words.iter().filter(is_there).count()
}

/// The merging of words goes on to its end, whatever is stored between its turns, and however often that was done before.
#[test]
fn storing_between_the_turns_of_a_merge_leaves_no_word() {
    let folders = Folders::new();
    let store = open(&folders.fresh());
    fill(&store, 200);
    let all: Vec<u64> = (1..=200).filter(|n| goes(*n)).collect();
    let mut next = 1_000;
    for some in all.chunks(50) {
        store.with_connection(|connection| {
            connection
                .pragma_update(None, "foreign_keys", false)
                .unwrap();
            let tx = connection.unchecked_transaction().unwrap();
            let ids: Vec<MemoryId> = some.iter().map(|n| id(*n)).collect();
            erase::erase(&tx, 1, &ids, NOW).unwrap();
            tx.commit().unwrap();
        });
        let mut turns = 0;
        loop {
            turns += 1;
            let has_more = store.with_connection(|connection| {
                let tx = connection.unchecked_transaction().unwrap();
                let has_more = erase::purge_words(&tx, 8 + turns).unwrap();
                tx.commit().unwrap();
                has_more
            });
            if !has_more {
                break;
            }
            store
                .insert(&[record(next, "plain words", &[1.0])])
                .unwrap();
            next += 1;
        }
        assert!(turns > 2, "it was not done in one turn");
        assert_eq!(words_left(&store, some), 0);
    }
}

#[test]
fn erasing_beside_others_that_store_leaves_nothing() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    fill(&store, 200);
    let stop = AtomicBool::new(false);
    let (tell, cleaned) = mpsc::channel();
    let is_first = AtomicBool::new(true);
    store.watch_cleanness(move |now| {
        // How it was before is told first.
        if !is_first.swap(false, Ordering::SeqCst) && *now == Cleanness::Clean {
            let _ = tell.send(());
        }
    });
    let ids: Vec<MemoryId> = (1..=200).filter(|n| goes(*n)).map(id).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 1_000;
            while !stop.load(Ordering::Relaxed) {
                store
                    .insert(&[record(next, "plain words", &[1.0])])
                    .unwrap();
                next += 1;
            }
        });
        store.erase(&ids, NOW).unwrap();
        // Whoever stores wakes the thread again and again, so that it may never be idle.
        let is_clean = cleaned.recv_timeout(Duration::from_mins(5));
        stop.store(true, Ordering::Relaxed);
        is_clean.unwrap();
    });
    assert_gone(&folder, 200);
}

/// As in the last pass over the file of a busy store.
#[test]
fn where_nobody_may_write_others_read() {
    let folders = Folders::new();
    let store = open(&folders.fresh());
    fill(&store, 5);
    let shared = store.shared();
    let writer = shared.writer().unwrap();
    std::thread::scope(|scope| {
        let writers = [
            scope.spawn(|| drop(store.insert(&[record(1_000, "new", &[1.0])]).unwrap())),
            scope.spawn(|| drop(store.erase(&[id(1)], NOW).unwrap())),
        ];
        // Both come to wait, unless one had no need to.
        let is_done = || writers.iter().any(ScopedJoinHandle::is_finished);
        while shared.writers.in_line() < 3 && !is_done() {
            std::thread::yield_now();
        }
        let found = store.get(&[id(1), id(1_000)]).unwrap();
        assert!(found[0].is_some() && found[1].is_none() && !is_done());
        drop(writer);
    });
    let found = store.get(&[id(1), id(1_000)]).unwrap();
    assert!(found[0].is_none() && found[1].is_some());
}

/// A disk on which no segment can be made for a while.
#[derive(Debug, Default)]
struct FullDisk {
    is_full: AtomicBool,
}

impl Disk for FullDisk {
    fn create(&self, place: &Path) -> io::Result<Box<dyn Write + Send>> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.create(place)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
}

fn trouble(store: &SqliteStore) -> Option<String> {
    store.stats(&space("default")).unwrap().unclean
}

/// What was told of the files, as it came.
fn told(store: &SqliteStore) -> Arc<Mutex<Vec<Cleanness>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let kept = all.clone();
    store.watch_cleanness(move |now| kept.lock().unwrap().push(now.clone()));
    all
}

fn failures(told: &Mutex<Vec<Cleanness>>) -> usize {
    let told = told.lock().unwrap();
    let is_failure = |it: &&Cleanness| matches!(it, Cleanness::Failed(_));
    told.iter().filter(is_failure).count()
}

#[test]
fn a_file_that_cannot_be_removed_is_told_until_it_is_gone() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open(&folder);
    fill(&store, 30);
    let told = told(&store);
    assert_eq!(trouble(&store), None);
    let obstacle = folder.join("index/7-1-2-3.text");
    std::fs::create_dir_all(&obstacle).unwrap();
    assert!(!erase_and_wait(&store, &[id(1)]).1);
    let said = trouble(&store).unwrap();
    assert!(
        said.contains("index/7-1-2-3.text is in no use and cannot be removed"),
        "{said}"
    );
    // Asking again tries again, and fails again.
    assert!(!erase_and_wait(&store, &[id(1)]).1);
    assert_eq!(failures(&told), 2);
    // It is known to the next start, too.
    drop(store);
    let store = open(&folder);
    let told = self::told(&store);
    assert!(store.settle().is_err() && trouble(&store).is_some());
    std::fs::remove_dir(&obstacle).unwrap();
    let again = erase_and_wait(&store, &[id(1)]);
    assert_eq!(again, (vec![Erasure::Before(NOW)], true));
    assert_eq!(
        (trouble(&store), told.lock().unwrap().last()),
        (None, Some(&Cleanness::Clean))
    );
    assert_eq!(found(&folder, &needles(1)), Vec::<String>::new());
}

#[test]
fn a_segment_that_cannot_be_made_anew_is_told_until_it_is() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let disk = Arc::new(FullDisk::default());
    let store = open_archived_on(&folder, disk.clone());
    fill(&store, 200);
    let told = told(&store);
    disk.is_full.store(true, Ordering::SeqCst);
    assert!(!erase_and_wait(&store, &[id(4)]).1);
    let said = trouble(&store).unwrap();
    assert!(said.contains("cannot be written: "), "{said}");
    assert_ne!(found(&folder, &needles(4)), Vec::<String>::new());
    disk.is_full.store(false, Ordering::SeqCst);
    assert!(erase_and_wait(&store, &[id(4)]).1);
    assert_eq!(
        (trouble(&store), told.lock().unwrap().last()),
        (None, Some(&Cleanness::Clean))
    );
    assert!(failures(&told) > 0);
    assert_eq!(found(&folder, &needles(4)), Vec::<String>::new());
}

#[test]
fn a_copy_that_is_being_made_keeps_nobody_but_the_cleaning() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 60);
    let copy = store.shared().copying.lock().unwrap();
    assert!(store.erase(&[id(4)], NOW).unwrap().is_under_way);
    // What is stored meanwhile becomes segments.
    let before = store.with_index(archived);
    for digits in 1_000..1_100 {
        store.insert(&[memory(digits)]).unwrap();
    }
    store.settle().unwrap();
    assert!(store.with_index(archived) > before + 40);
    assert!(store.erase(&[], NOW).unwrap().is_under_way);
    assert_ne!(found(&folder, &needles(4)), Vec::<String>::new());
    assert_eq!(trouble(&store), None);
    drop(copy);
    // The end of a copy begins the cleaning.
    let to = folders.fresh();
    store.snapshot(&to).unwrap();
    store.shared().signal.wait_until_idle();
    assert!(!store.erase(&[], NOW).unwrap().is_under_way);
    assert_eq!(found(&folder, &needles(4)), Vec::<String>::new());
}
