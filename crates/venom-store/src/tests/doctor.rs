//! The doctor: what it notices, what it mends, and that it leaves alone what is sound.

use super::Folders;
use crate::doctor::{self, Finding, Task, Verdict};
use crate::{IndexOptions, IndexSizes, Lease, SqliteStore};
use rusqlite::Connection;
use std::path::Path;
use venom_core::ports::{MemoryRecord, MemoryStore};
use venom_core::test_support::doubles::HashEmbedder;
use venom_core::test_support::samples::{id, record};
use venom_core::{Embedder, RequestKey, Timestamp};

const MEMORIES: u64 = 120;

fn embedder() -> HashEmbedder {
    HashEmbedder::with("model", 64, 8)
}

fn embedded(digits: u64) -> MemoryRecord {
    let text = format!(
        "memory number{digits} is about topic{} and needs several passages",
        digits % 7
    );
    let passages = embedder().embed_passages(&[&text]).unwrap().pop().unwrap();
    MemoryRecord {
        passages,
        ..record(digits, &text, &[1.0])
    }
}

fn fill(folder: &Path) {
    let lease = Lease::try_acquire(folder).unwrap();
    let store = SqliteStore::open(&lease, embedder().model()).unwrap();
    let records: Vec<_> = (1..=MEMORIES).map(embedded).collect();
    store.insert(&records).unwrap();
    store.forget(&[id(7), id(8)], RequestKey(1_000)).unwrap();
}

fn change(folder: &Path, sql: &str) {
    let connection = Connection::open(folder.join("venom.db")).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// What nothing follows from but the memories.
fn contents(folder: &Path) -> Vec<String> {
    let connection = Connection::open(folder.join("venom.db")).unwrap();
    let sql = "SELECT id || space || stored_at_us || ifnull(forgotten_at_us, '') || content FROM memories";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn task(now: Timestamp, repair: bool) -> Task {
    Task {
        options: IndexOptions::default(),
        now,
        repair,
    }
}

fn examine_at(folder: &Path, now: Timestamp, repair: bool) -> Vec<Finding> {
    let lease = Lease::try_acquire(folder).unwrap();
    doctor::examine(&lease, &embedder(), &task(now, repair)).unwrap()
}

fn examine(folder: &Path, repair: bool) -> Vec<Finding> {
    examine_at(folder, Timestamp::from_micros(i64::MAX / 2), repair)
}

fn verdicts(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
    let verdict = |finding: &Finding| (finding.topic, finding.verdict);
    findings.iter().map(verdict).collect()
}

#[test]
fn a_sound_folder_is_found_sound_and_left_as_it_is() {
    let folder = Folders::new().fresh();
    let lease = Lease::try_acquire(&folder).unwrap();
    let nothing =
        doctor::examine(&lease, &embedder(), &task(Timestamp::from_micros(0), true)).unwrap();
    assert_eq!(verdicts(&nothing), [("database", Verdict::Sound)]);
    assert!(!folder.join("venom.db").exists());
    drop(lease);
    fill(&folder);
    let all = [
        "database",
        "clock",
        "model",
        "counters",
        "full text",
        "fingerprints",
        "backups",
        "history",
        "erased",
        "vectors",
        "index",
        "recall",
    ];
    for repair in [false, true] {
        let found = examine(&folder, repair);
        assert_eq!(
            verdicts(&found),
            all.map(|topic| (topic, Verdict::Sound)),
            "{found:?}"
        );
    }
    let found = examine(&folder, false);
    assert_eq!(
        found[0].says,
        "every page was read; 118 memories, 2 forgotten"
    );
    assert!(
        found[11]
            .says
            .starts_with("40 of 40 sampled memories are among"),
        "{found:?}"
    );
    let outside = doctor::examine_folder(&folder);
    assert_eq!(verdicts(&outside)[1], ("file system", Verdict::Sound));
}

#[track_caller]
fn check_mends(topic: &str, sql: &str, says: &str) {
    let folder = Folders::new().fresh();
    fill(&folder);
    change(&folder, sql);
    let memories = contents(&folder);
    let ill =
        |verdict| move |finding: &Finding| (finding.topic == topic) == (finding.verdict == verdict);
    let found = examine(&folder, false);
    assert!(found.iter().all(ill(Verdict::Repairable)), "{found:?}");
    let told = found.iter().find(|finding| finding.topic == topic).unwrap();
    assert!(told.says.contains(says), "{told:?}");
    assert_eq!(
        examine(&folder, false),
        found,
        "the doctor mended what it was only to look at"
    );
    let found = examine(&folder, true);
    assert!(found.iter().all(ill(Verdict::Repaired)), "{found:?}");
    assert_eq!(contents(&folder), memories);
    let found = examine(&folder, false);
    assert!(
        found
            .iter()
            .all(|finding| finding.verdict == Verdict::Sound),
        "{found:?}"
    );
}

#[test]
fn what_follows_from_the_memories_is_mended() {
    check_mends(
        "counters",
        "UPDATE spaces SET memories = 5",
        "the counts of 1 space were wrong",
    );
    check_mends(
        "counters",
        "UPDATE spaces SET passages = 0",
        "the counts of 1 space were wrong",
    );
    check_mends(
        "full text",
        "DELETE FROM memories_fts WHERE rowid < 11",
        "had 110 of 118 memories",
    );
    check_mends(
        "fingerprints",
        "UPDATE memories SET fingerprint = NULL WHERE seq < 4",
        "of 3 memories were wrong",
    );
}

#[test]
fn vectors_are_mended() {
    check_mends(
        "vectors",
        "DELETE FROM passages WHERE memory = 11; UPDATE passages SET ordinal = 9 WHERE memory = 12 AND ordinal = 0;
         UPDATE passages SET embedding = zeroblob(256) WHERE memory = 13;
         UPDATE passages SET end_byte = 1000 WHERE memory = 14; DELETE FROM passages WHERE memory = 8;
         UPDATE spaces SET passages = (SELECT count(*) FROM passages WHERE memory NOT IN (7, 8))",
        "5 memories had no valid vectors, 0 of 40",
    );
    // Those of the next memory, which a sample shows and a look at all mends.
    check_mends(
        "vectors",
        "UPDATE passages SET embedding = (SELECT p.embedding FROM passages AS p
             WHERE p.memory = passages.memory + 1 AND p.ordinal = passages.ordinal)
         WHERE memory BETWEEN 30 AND 60 AND EXISTS (SELECT 1 FROM passages AS p
             WHERE p.memory = passages.memory + 1 AND p.ordinal = passages.ordinal)",
        "0 memories had no valid vectors, 1",
    );
}

#[test]
fn what_cannot_be_mended_is_told() {
    let folders = Folders::new();
    let folder = folders.fresh();
    fill(&folder);
    let early = examine_at(&folder, Timestamp::from_micros(0 - 600 * 1_000_000), false);
    assert_eq!(verdicts(&early)[1], ("clock", Verdict::Trouble));
    let lease = Lease::try_acquire(&folder).unwrap();
    let other = HashEmbedder::with("other", 32, 8);
    let found = doctor::examine(
        &lease,
        &other,
        &task(Timestamp::from_micros(i64::MAX / 2), true),
    )
    .unwrap();
    assert_eq!(verdicts(&found)[2], ("model", Verdict::Trouble));
    assert!(
        found[2].says.contains("or run `venom reembed`"),
        "{found:?}"
    );
    assert_eq!(found.len(), 9, "vectors of another model are left alone");
    drop(lease);

    change(
        &folder,
        "PRAGMA foreign_keys = OFF; INSERT INTO tags (memory, position, tag) VALUES (999, 0, 'lost')",
    );
    let found = examine(&folder, true);
    assert_eq!(verdicts(&found), [("database", Verdict::Trouble)]);
    assert!(found[0].says.contains("restore a backup"), "{found:?}");
}

#[test]
fn an_index_that_is_of_no_use_is_told_and_made_anew() {
    let folders = Folders::new();
    let folder = folders.fresh();
    fill(&folder);
    let task = |repair| Task {
        options: IndexOptions {
            sizes: IndexSizes::exact_up_to(40),
            ..IndexOptions::default()
        },
        ..task(Timestamp::from_micros(i64::MAX / 2), repair)
    };
    let index = |repair| {
        let lease = Lease::try_acquire(&folder).unwrap();
        let found = doctor::examine(&lease, &embedder(), &task(repair)).unwrap();
        found
            .into_iter()
            .find(|finding| finding.topic == "index")
            .unwrap()
    };
    let settle = || {
        let lease = Lease::try_acquire(&folder).unwrap();
        let store =
            SqliteStore::open_with(&lease, embedder().model(), &task(false).options).unwrap();
        store.settle().unwrap();
    };
    settle();
    let sound = index(false);
    assert_eq!(sound.verdict, Verdict::Sound, "{sound:?}");
    assert!(
        sound
            .says
            .contains("every page was read; 100.0 % of the nearest 10"),
        "{sound:?}"
    );
    for (damage, says) in [
        ("flip", "has another checksum than expected"),
        ("lose", "memories of rows 1 on are missing"),
    ] {
        if damage == "flip" {
            let files = std::fs::read_dir(folder.join("index")).unwrap();
            let files = files.map(|file| file.unwrap().path());
            let victim = files
                .max_by_key(|file| std::fs::metadata(file).unwrap().len())
                .unwrap();
            let mut bytes = std::fs::read(&victim).unwrap();
            bytes[100] ^= 1;
            std::fs::write(victim, bytes).unwrap();
        } else {
            // As if it had been forgotten by a program that numbers no changes.
            change(
                &folder,
                "UPDATE memories SET forgotten_at_us = 1 WHERE seq = 20",
            );
        }
        let ill = index(false);
        assert_eq!(ill.verdict, Verdict::Repairable, "{ill:?}");
        assert!(ill.says.contains(says), "{ill:?}");
        assert_eq!(
            index(false),
            ill,
            "the doctor mended what it was only to look at"
        );
        assert_eq!(index(true).verdict, Verdict::Repaired);
        settle();
        assert_eq!(index(false).verdict, Verdict::Sound);
    }
}

#[test]
fn gaps_in_a_history_and_what_is_left_of_erased_memories_are_told() {
    let of = |statements: &str, topic: &str| {
        let folder = Folders::new();
        let folder = folder.fresh();
        fill(&folder);
        change(&folder, statements);
        let found = examine(&folder, false);
        let finding = found.into_iter().find(|finding| finding.topic == topic);
        let finding = finding.expect("every topic is looked at");
        (finding.verdict, finding.says)
    };
    let version = |number| {
        format!(
            "INSERT INTO versions SELECT 1, {number}, 9, 1, NULL, NULL, space, 8, NULL, '[]', NULL, NULL, NULL
             FROM memories WHERE seq = 1;"
        )
    };
    let (verdict, says) = of(&(version(1) + &version(2)), "history");
    assert_eq!(
        (verdict, &*says),
        (Verdict::Sound, "2 former versions, none is missing")
    );
    let (verdict, says) = of(&(version(1) + &version(3)), "history");
    assert_eq!(verdict, Verdict::Trouble);
    assert!(says.starts_with("former versions of mem_"), "{says}");
    let erased = "INSERT INTO erased SELECT seq, id, space, 9, 1000 FROM memories WHERE seq = 1;";
    let (verdict, says) = of(erased, "erased");
    assert_eq!(
        (verdict, &*says),
        (
            Verdict::Trouble,
            "row 1 of memories was erased and is still in memories"
        )
    );
    let (verdict, says) = of("INSERT INTO marks VALUES ('cleaning_since', 9)", "erased");
    assert_eq!(verdict, Verdict::Note);
    assert!(
        says.contains("the next start of Venom removes them"),
        "{says}"
    );
}
