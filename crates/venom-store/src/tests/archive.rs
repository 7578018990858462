//! Large spaces: segments in the background, restarts, damage, and searches meanwhile.

use super::{Folders, SMALL, archived, model, open_archived, open_archived_on};
use crate::index::{IndexOptions, IndexSizes};
use crate::lease::Lease;
use crate::pages::Disk;
use crate::store::SqliteStore;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use venom_core::ports::{MemoryStore, MemoryUpdate, NoVocabulary, Search};
use venom_core::recall::{Question, mendable_words};
use venom_core::test_support::samples::{
    Rng, id, in_space, nearest, record, said, space, tag, tagged, vector, waiting,
};
use venom_core::{
    Content, Embedding, Filter, Hit, MemoryChange, MemoryId, Origin, Passage, PassageSpan,
    Precautions, RequestKey, Source, Timestamp, Verdict,
};

fn everything() -> Filter {
    Filter::everything_in(space("default"))
}

pub(super) fn search(
    store: &SqliteStore,
    text: &str,
    vector: &Embedding,
    filter: &Filter,
    limit: usize,
) -> Vec<Hit> {
    let question = Question::new(text);
    let search = Search {
        question: &question,
        vector,
        vocabulary: &NoVocabulary,
        filter,
        similarity_min: None,
        limit,
        explain: false,
    };
    store.search(&search).unwrap()
}

/// Words that no other memory has.
pub(super) fn text(digits: u64) -> String {
    format!("number{digits} group{} told", digits % 7)
}

/// A direction that hardly another memory has.
pub(super) fn direction(digits: u64) -> Embedding {
    let mut rng = Rng::new(digits);
    vector(&[(); 8].map(|()| rng.below(2_001) as f32 - 1_000.0))
}

fn fill(store: &SqliteStore, digits: std::ops::RangeInclusive<u64>) {
    fill_space(store, "default", digits);
}

/// Stores memories with these ids in a space.
pub(super) fn fill_space(store: &SqliteStore, name: &str, digits: std::ops::RangeInclusive<u64>) {
    for digits in digits {
        let mut record = in_space(record(digits, &text(digits), &[1.0]), name);
        record.passages[0].embedding = direction(digits);
        let record = if digits % 3 == 0 {
            said(record, "Anna", &(digits / 10).to_string())
        } else {
            record
        };
        let record = if digits % 5 == 0 {
            tagged(record, &["fifth"])
        } else {
            record
        };
        store.insert(&[record]).unwrap();
    }
}

/// Whether a memory is the first by its words and by its vector.
#[track_caller]
fn assert_found(store: &SqliteStore, digits: u64) {
    let by_words = search(
        store,
        &text(digits),
        &direction(digits + 1_000_000),
        &everything(),
        3,
    );
    assert_eq!(by_words[0].memory.id, id(digits), "{by_words:?}");
    let near = nearest(store, &direction(digits), &everything(), 200).unwrap();
    let hit = near.iter().find(|hit| hit.memory.id == id(digits));
    assert!(
        hit.is_some_and(|hit| (hit.similarity - 1.0).abs() < 1e-6),
        "{digits}"
    );
}

#[test]
fn a_scan_finds_by_words_what_vectors_are_far_from() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 1..=700);
    drop(store);
    std::fs::remove_dir_all(folder.join("index")).unwrap();
    let disk = BadDisk {
        fault: Fault::Full,
        left: Arc::default(),
    };
    let store = open_archived_on(&folder, Arc::new(disk));
    assert!(store.stats(&space("default")).unwrap().rebuilding > 0);
    for digits in [1, 350, 700] {
        let away: Vec<f32> = direction(digits).as_slice().iter().map(|x| -x).collect();
        let found = search(&store, &text(digits), &vector(&away), &everything(), 1);
        assert_eq!(found[0].memory.id, id(digits));
    }
    // Common words and odd ones are left to vectors, and many take no time.
    let odd = format!("told \"'s 東京 {}", "number ".repeat(2_000));
    let nothing = search(&store, &odd, &direction(5), &everything(), 1);
    assert_eq!(nothing[0].memory.id, id(5));
}

#[test]
fn two_segments_become_one_where_three_would_be_too_large() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let lease = Lease::try_acquire(&folder).unwrap();
    let options = IndexOptions {
        sizes: IndexSizes {
            segment_memories_max: 40,
            ..SMALL
        },
        ..IndexOptions::default()
    };
    let store = SqliteStore::open_with(&lease, &model(), &options).unwrap();
    fill(&store, 1..=200);
    store.settle().unwrap();
    let covered = store.with_index(|index| {
        let names = index.segment_names();
        let rows = names
            .iter()
            .map(|name| name.covered.last - name.covered.first + 1);
        rows.collect::<Vec<i64>>()
    });
    assert!(covered.iter().all(|rows| *rows <= 40), "{covered:?}");
    assert!((5..=7).contains(&covered.len()), "{covered:?}");
    for digits in [1, 77, 200] {
        assert_found(&store, digits);
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("index"))
        .into_iter()
        .flatten()
        .flatten();
    files.map(|file| file.path()).collect()
}

#[test]
fn every_memory_of_a_large_space_is_found_before_and_after_a_restart() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 1..=400);
    store.settle().unwrap();
    assert!(store.with_index(archived) > 300);
    for digits in 1..=400 {
        assert_found(&store, digits);
    }
    drop(store);
    let store = open_archived(&folder);
    assert!(store.with_index(archived) > 300);
    for digits in 1..=400 {
        assert_found(&store, digits);
    }
}

#[test]
fn a_filter_never_cuts_results_short() {
    let folders = Folders::new();
    let store = open_archived(&folders.fresh());
    fill(&store, 1..=2_600);
    store.settle().unwrap();
    // 520 are a few that are compared all of them, 2,080 are not.
    for (filter, expected) in [
        (
            Filter {
                tags_any: vec![tag("fifth")],
                ..everything()
            },
            520,
        ),
        (
            Filter {
                tags_none: vec![tag("fifth")],
                ..everything()
            },
            2_080,
        ),
        (
            Filter {
                since: Some(Timestamp::from_micros(2_551)),
                ..everything()
            },
            50,
        ),
        (
            Filter {
                until: Some(Timestamp::from_micros(51)),
                ..everything()
            },
            50,
        ),
        (
            Filter {
                session: said(record(1, "x", &[1.0]), "Anna", "60")
                    .memory
                    .origin
                    .session,
                ..everything()
            },
            4,
        ),
        (
            Filter {
                speaker: said(record(1, "x", &[1.0]), "ANNA", "1")
                    .memory
                    .origin
                    .speaker,
                ..everything()
            },
            866,
        ),
    ] {
        let hits = search(&store, "group3 told", &direction(7), &filter, 20);
        assert_eq!(hits.len(), expected.min(20), "{filter:?}");
        assert!(hits.iter().all(|hit| filter.matches(&hit.memory)));
    }
    let least = Search {
        question: &Question::new("?"),
        vector: &direction(7),
        vocabulary: &NoVocabulary,
        filter: &everything(),
        similarity_min: Some(0.5),
        limit: 20,
        explain: false,
    };
    let hits = store.search(&least).unwrap();
    let near = (1..=2_600).filter(|digits| {
        venom_core::embedding::dot(direction(*digits).as_slice(), direction(7).as_slice()) >= 0.5
    });
    assert_eq!(hits.len(), near.count().min(20));
    assert!(hits.iter().all(|hit| hit.similarity >= 0.5));
}

#[test]
fn one_long_memory_takes_no_room_from_others() {
    let folders = Folders::new();
    let store = open_archived(&folders.fresh());
    fill(&store, 1..=1_200);
    let mut long = record(5_000, "a very long one", &[1.0]);
    let passage = long.passages[0].clone();
    long.passages = vec![
        Passage {
            embedding: direction(7),
            ..passage
        };
        500
    ];
    store.insert(&[long]).unwrap();
    fill(&store, 5_001..=5_100);
    store.settle().unwrap();
    let hits = nearest(&store, &direction(7), &everything(), 20).unwrap();
    assert_eq!(hits.len(), 20);
    let all = nearest(&store, &direction(7), &everything(), 2_000).unwrap();
    let place = all.iter().position(|hit| hit.memory.id == id(5_000));
    let shown: Vec<_> = all
        .iter()
        .take(22)
        .map(|hit| (hit.memory.id.digits(), hit.similarity, hit.parts.sum()))
        .collect();
    assert!(place.is_some_and(|place| place < 20), "{place:?} {shown:?}");
}

#[test]
fn an_index_of_another_database_is_not_believed() {
    let folders = Folders::new();
    let (folder, other) = (folders.fresh(), folders.fresh());
    let store = open_archived(&folder);
    fill(&store, 1..=200);
    store.settle().unwrap();
    drop(store);
    let store = open_archived(&other);
    fill(&store, 1..=100);
    store.settle().unwrap();
    drop(store);
    // A database from before, beside the index of today.
    std::fs::remove_dir_all(other.join("index")).unwrap();
    std::fs::rename(folder.join("index"), other.join("index")).unwrap();
    let store = open_archived(&other);
    for digits in 1..=100 {
        assert_found(&store, digits);
    }
    let hits = search(&store, "told", &direction(150), &everything(), 20);
    assert!(hits.iter().all(|hit| hit.memory.id.digits() <= 100));
}

#[test]
fn what_was_forgotten_or_changed_stays_so_in_segments() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 1..=300);
    store.settle().unwrap();
    store.forget(&[id(10), id(12)], RequestKey(1)).unwrap();
    store.forget(&[id(11)], RequestKey(2)).unwrap();
    let passage = Passage {
        span: PassageSpan(0..9),
        embedding: direction(9_999),
    };
    let change = MemoryUpdate {
        change: MemoryChange {
            id: id(20),
            content: Content::parse("violoncello").ok(),
            tags: None,
            origin: Origin::default(),
            source: Source::default(),
            precautions: Precautions::NONE,
        },
        passages: vec![passage],
        stored_at: Timestamp::from_micros(5),
        request: RequestKey(3),
    };
    store.update(&change).unwrap();
    store.restore(&[id(12)], RequestKey(4)).unwrap();
    let check = |store: &SqliteStore| {
        for gone in [10, 11] {
            let hits = search(store, &text(gone), &direction(gone), &everything(), 20);
            assert!(hits.iter().all(|hit| hit.memory.id != id(gone)));
            let words = mendable_words(&format!("told number{gone}x violoncellos"));
            let spellings = store.spellings(&space("default"), &words).unwrap();
            assert!(spellings[0].known && spellings[1].known, "{spellings:?}");
        }
        assert_found(store, 12);
        let hits = search(store, "violoncello", &direction(9_999), &everything(), 1);
        assert_eq!(
            (hits[0].memory.id, hits[0].memory.content.as_str()),
            (id(20), "violoncello")
        );
        let hits = search(store, &text(20), &direction(20), &everything(), 20);
        assert!(
            hits.iter()
                .all(|hit| hit.memory.content.as_str() != text(20))
        );
    };
    check(&store);
    drop(store);
    let store = open_archived(&folder);
    check(&store);
    // More changes than fit a block: segments are made anew, and still have none of what went.
    let most: Vec<MemoryId> = (30..=200).map(id).collect();
    store.forget(&most, RequestKey(5)).unwrap();
    store.restore(&most[..80], RequestKey(6)).unwrap();
    store.signal_for_tests();
    store.settle().unwrap();
    check(&store);
    for digits in (30..110).chain(201..=300) {
        assert_found(&store, digits);
    }
    let gone: BTreeSet<MemoryId> = most[80..].iter().copied().collect();
    let hits = search(&store, "told", &direction(1), &everything(), 300);
    assert!(hits.iter().all(|hit| !gone.contains(&hit.memory.id)));
}

#[test]
fn damaged_missing_and_foreign_segments_are_made_anew() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 1..=200);
    store.settle().unwrap();
    drop(store);
    let mut rng = Rng::new(1);
    for round in 0..24 {
        let files = segments(&folder);
        let victim = &files[rng.below(files.len())];
        let mut bytes = std::fs::read(victim).unwrap();
        assert!(!bytes.is_empty(), "{}", victim.display());
        let at = rng.below(bytes.len());
        match round % 4 {
            0 => bytes[at] ^= 0x10,
            1 => bytes.truncate(at),
            2 => bytes.fill(0),
            _ => bytes.clear(),
        }
        std::fs::write(victim, bytes).unwrap();
        if round % 5 == 0 {
            std::fs::remove_file(victim).unwrap();
        }
        let store = open_archived(&folder);
        for digits in (1..=200).step_by(7) {
            assert_found(&store, digits);
        }
        store.settle().unwrap();
        for digits in (1..=200).step_by(11) {
            assert_found(&store, digits);
        }
        assert_eq!(store.stats(&space("default")).unwrap().rebuilding, 0);
    }
    std::fs::remove_dir_all(folder.join("index")).unwrap();
    let store = open_archived(&folder);
    for digits in 1..=200 {
        assert_found(&store, digits);
    }
}

#[test]
fn a_segment_that_is_damaged_under_a_running_store_is_made_anew() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 1..=200);
    store.settle().unwrap();
    for file in segments(&folder) {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, vec![0; bytes.len()]).unwrap();
    }
    for digits in 1..=200 {
        assert_found(&store, digits);
    }
    store.settle().unwrap();
    assert!(store.with_index(archived) > 100);
    for digits in 1..=200 {
        assert_found(&store, digits);
    }
}

#[test]
fn without_a_place_for_segments_everything_is_found_all_the_same() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    std::fs::write(folder.join("index"), "in the way").unwrap();
    fill(&store, 1..=120);
    assert!(
        store
            .settle()
            .unwrap_err()
            .to_string()
            .contains("cannot be written")
    );
    for digits in 1..=120 {
        assert_found(&store, digits);
    }
    std::fs::remove_file(folder.join("index")).unwrap();
    fill(&store, 121..=122);
    store.signal_for_tests();
    store.settle().unwrap();
    assert!(store.with_index(archived) > 80);
    for digits in 1..=122 {
        assert_found(&store, digits);
    }
}

#[test]
fn other_words_or_another_model_make_segments_useless() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 1..=150);
    store.settle().unwrap();
    drop(store);
    let stemming = venom_core::recall::Stemming::parse("german").unwrap();
    let store = super::open_archived_stemmed(&folder, stemming);
    for digits in 1..=150 {
        assert_found(&store, digits);
    }
    store.settle().unwrap();
    for digits in 1..=150 {
        assert_found(&store, digits);
    }
}

/// Any state of the folder in which a process could have been killed.
#[test]
fn a_copy_at_any_moment_has_every_acknowledged_memory() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    for digits in 1..=160 {
        fill(&store, digits..=digits);
        if digits % 8 != 0 {
            continue;
        }
        let image = folders.fresh();
        super::crash::copy(&folder, &image);
        let _ = std::fs::create_dir(image.join("index"));
        for file in segments(&folder) {
            // The thread may be at work: what it removes under us was not there.
            let _ = std::fs::copy(&file, image.join("index").join(file.file_name().unwrap()));
        }
        let opened = open_archived(&image);
        for wanted in (1..=digits).step_by(5).chain([digits]) {
            assert_found(&opened, wanted);
        }
    }
}

/// A disk on which one write goes wrong.
#[derive(Debug)]
struct BadDisk {
    fault: Fault,
    /// Writes and renames until then, of all files.
    left: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is refused, and so is every later one.
    Full,
    /// Half of it is written, and the rest refused.
    Torn,
    /// It is reported as done, and zeros are there: what power loss makes of bytes that were not synced.
    Lost,
}

struct BadFile {
    file: std::fs::File,
    fault: Fault,
    left: Arc<AtomicUsize>,
}

/// Counts down; whether it is time now, and whether it was before.
fn is_time(left: &AtomicUsize) -> (bool, bool) {
    let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    (before == Ok(1), before.is_err())
}

impl Write for BadFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match (self.fault, is_time(&self.left)) {
            (Fault::Full, (now, before)) if now || before => {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            (Fault::Torn, (true, _)) => {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
                Err(std::io::ErrorKind::StorageFull.into())
            }
            (Fault::Lost, (true, _)) => self.file.write(&vec![0; bytes.len()]),
            _ => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Disk for BadDisk {
    fn create(&self, place: &Path) -> std::io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(BadFile {
            file: std::fs::File::create(place)?,
            fault: self.fault,
            left: self.left.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        if is_time(&self.left).0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        std::fs::rename(from, to)
    }
}

#[test]
fn whatever_write_of_a_segment_goes_wrong_every_memory_is_found() {
    let folders = Folders::new();
    for fault in [Fault::Full, Fault::Torn, Fault::Lost] {
        for left in 1..=14 {
            let folder = folders.fresh();
            let left = Arc::new(AtomicUsize::new(left));
            let disk = Arc::new(BadDisk {
                fault,
                left: left.clone(),
            });
            let store = super::open_archived_on(&folder, disk);
            fill(&store, 1..=70);
            let settled = store.settle();
            for digits in (1..=70).step_by(3) {
                assert_found(&store, digits);
            }
            assert!(
                settled.is_ok() || left.load(Ordering::SeqCst) == 0,
                "{settled:?}"
            );
            drop(store);
            let store = open_archived(&folder);
            for digits in (1..=70).step_by(3) {
                assert_found(&store, digits);
            }
            store.settle().unwrap();
            assert!(store.with_index(archived) > 40);
            for digits in 1..=70 {
                assert_found(&store, digits);
            }
        }
    }
}

#[test]
fn what_waited_in_quarantine_is_found_in_segments_once_it_is_released() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_archived(&folder);
    fill(&store, 1..=300);
    let mut waiting = waiting(record(301, "violoncello", &[1.0]));
    waiting.passages[0].embedding = direction(9_999);
    store.insert(&[waiting]).unwrap();
    fill(&store, 302..=600);
    store.settle().unwrap();
    let found = |store: &SqliteStore| {
        let hits = search(store, "violoncello", &direction(9_999), &everything(), 5);
        hits.iter().any(|hit| hit.memory.id == id(301))
    };
    assert!(!found(&store));
    drop(store);
    let store = open_archived(&folder);
    assert!(!found(&store));
    store.judge(&[id(301)], Verdict::Release).unwrap();
    assert!(found(&store));
    drop(store);
    let store = open_archived(&folder);
    assert!(found(&store));
    assert!(store.judge(&[id(301)], Verdict::Discard).unwrap() == [false]);
}

/// A memory with other words.
fn changed(digits: u64, words: &str, request: RequestKey) -> MemoryUpdate {
    MemoryUpdate {
        passages: vec![Passage {
            span: PassageSpan(0..words.len()),
            embedding: direction(digits),
        }],
        change: MemoryChange {
            id: id(digits),
            content: Content::parse(words).ok(),
            tags: None,
            origin: Origin::default(),
            source: Source::default(),
            precautions: Precautions::NONE,
        },
        stored_at: Timestamp::from_micros(7),
        request,
    }
}

/// Cuts a file of the index short, if there is one.
pub(super) fn cut_a_file(folder: &Path, rng: &mut Rng) {
    let files = segments(folder);
    if files.is_empty() {
        return;
    }
    let victim = &files[rng.below(files.len())];
    let mut bytes = std::fs::read(victim).unwrap();
    bytes.truncate(rng.below(bytes.len().max(1)));
    std::fs::write(victim, bytes).unwrap();
}

/// Seeded operations with restarts and damage, against a plain map.
fn random_archive(seed: u64, steps: usize) {
    let folders = Folders::new();
    let folder = folders.fresh();
    let mut rng = Rng::new(seed);
    let mut expected: BTreeMap<u64, String> = BTreeMap::new();
    let mut forgotten: BTreeMap<u64, String> = BTreeMap::new();
    let mut store = Some(open_archived(&folder));
    let mut next = 1;
    for step in 0..steps {
        let open = store.as_ref().unwrap();
        let key = RequestKey(1_000_000 + step as u128);
        let some = |rng: &mut Rng, of: &BTreeMap<u64, String>| {
            let keys: Vec<u64> = of.keys().copied().collect();
            (!keys.is_empty()).then(|| rng.pick(&keys))
        };
        match rng.below(12) {
            0..=4 => {
                for _ in 0..=rng.below(20) {
                    fill(open, next..=next);
                    expected.insert(next, text(next));
                    next += 1;
                }
            }
            5 => {
                if let Some(digits) = some(&mut rng, &expected) {
                    assert_eq!(
                        open.forget(&[id(digits)], key).unwrap(),
                        [true],
                        "seed {seed}, step {step}"
                    );
                    forgotten.extend(expected.remove_entry(&digits));
                }
            }
            6 => {
                if let Some(digits) = some(&mut rng, &forgotten) {
                    assert_eq!(
                        open.restore(&[id(digits)], key).unwrap(),
                        [true],
                        "seed {seed}, step {step}"
                    );
                    expected.extend(forgotten.remove_entry(&digits));
                }
            }
            7 => {
                if let Some(digits) = some(&mut rng, &expected) {
                    let words = format!("changed{step}by{digits}");
                    let update = changed(digits, &words, key);
                    assert!(
                        open.update(&update).unwrap().is_some(),
                        "seed {seed}, step {step}"
                    );
                    expected.insert(digits, words);
                }
            }
            8 => open.settle().unwrap(),
            9 => {
                drop(store.take());
                if rng.below(2) == 0 {
                    cut_a_file(&folder, &mut rng);
                }
                store = Some(open_archived(&folder));
            }
            _ => {
                if let Some(digits) = some(&mut rng, &expected) {
                    let words = &expected[&digits];
                    let hits = search(open, words, &direction(digits), &everything(), 20);
                    assert_eq!(
                        hits[0].memory.id,
                        id(digits),
                        "{words}, seed {seed}, step {step}"
                    );
                    assert_eq!(
                        hits.len(),
                        expected.len().min(20),
                        "seed {seed}, step {step}"
                    );
                    let shown = hits
                        .iter()
                        .map(|hit| (hit.memory.id.digits(), hit.memory.content.as_str()));
                    for (digits, content) in shown {
                        assert_eq!(
                            expected.get(&digits).map(String::as_str),
                            Some(content),
                            "seed {seed}, step {step}"
                        );
                    }
                }
            }
        }
    }
}

/// The seeds of `VENOM_TEST_SEEDS`, or else these.
pub(super) fn seeds(usual: &str) -> std::ops::Range<u64> {
    let seeds = std::env::var("VENOM_TEST_SEEDS").unwrap_or_else(|_| usual.to_owned());
    let (from, until) = seeds
        .split_once("..")
        .expect("VENOM_TEST_SEEDS is FROM..UNTIL");
    let bound = |digits: &str| {
        digits
            .parse::<u64>()
            .expect("VENOM_TEST_SEEDS is FROM..UNTIL")
    };
    bound(from)..bound(until)
}

/// `VENOM_TEST_SEEDS=1000..2000` runs others and more of them.
#[test]
fn random_operations_on_a_large_space_agree_with_a_plain_map() {
    for seed in seeds("1..7") {
        random_archive(seed, 150);
    }
}

#[test]
fn searches_beside_stores_and_the_making_of_segments_stay_whole() {
    let folders = Folders::new();
    let store = open_archived(&folders.fresh());
    fill(&store, 1..=60);
    std::thread::scope(|scope| {
        let store = &store;
        let writer = scope.spawn(move || fill(store, 61..=500));
        while !writer.is_finished() {
            assert_found(store, 30);
        }
    });
    for digits in 1..=500 {
        assert_found(&store, digits);
    }
}
