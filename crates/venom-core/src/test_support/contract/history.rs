//! Every change keeps the former version; what is erased is gone for good.

use super::{everything, get, id, insert, list, search, space, tag};
use crate::error::ErrorKind;
use crate::history::{Cause, Erasure, Version};
use crate::import::{Arrival, ImportKey, Imported};
use crate::limits;
use crate::memory::{
    Content, Duplicates, Memory, MemoryChange, MemoryId, Origin, RequestKey, Tags,
};
use crate::memory::{Speaker, Verdict};
use crate::ports::{Inserted, MemoryRecord, MemoryStore, MemoryUpdate, VersionRestore};
use crate::precautions::Precautions;
use crate::source::{ClientName, Source};
use crate::test_support::samples::{record, said, stored_by, tagged, waiting};
use crate::time::Timestamp;

/// Later than everything.
const END: Timestamp = Timestamp::from_micros(i64::MAX);
/// When the suite erases.
const NOW: Timestamp = Timestamp::from_micros(777);

fn by(client: &str) -> Source {
    Source {
        client: ClientName::told(client),
        token: None,
    }
}

fn versions(store: &dyn MemoryStore, digits: u64) -> Vec<Version> {
    let history = store.history(id(digits)).expect("the store can be read");
    history.expect("the memory is there").versions
}

fn texts(store: &dyn MemoryStore, digits: u64) -> Vec<String> {
    let versions = versions(store, digits).into_iter();
    versions
        .map(|version| version.content.as_str().to_owned())
        .collect()
}

/// Changes the text of a memory, or its tags, at a moment.
pub(super) fn update(
    store: &dyn MemoryStore,
    digits: u64,
    text: Option<&str>,
    tags: &[&str],
    at: i64,
) -> Memory {
    let content = text.map(|text| Content::parse(text).expect("test texts are valid"));
    let passages = text.map(|text| record(digits, text, &[0.0, 1.0]).passages);
    let updated = store.update(&MemoryUpdate {
        change: MemoryChange {
            id: id(digits),
            content,
            tags: (!tags.is_empty()).then(|| Tags::parse(tags).expect("test tags are valid")),
            origin: Origin::default(),
            source: by("editor"),
            precautions: Precautions::NONE,
        },
        passages: passages.unwrap_or_default(),
        stored_at: Timestamp::from_micros(at),
        request: RequestKey(u128::try_from(at).expect("test times are positive") << 64),
    });
    updated
        .expect("the change is valid")
        .expect("the memory is there")
}

fn restore(store: &dyn MemoryStore, digits: u64, version: u32, at: i64) -> Option<Memory> {
    let text = texts(store, digits);
    let number = usize::try_from(version).expect("test numbers are small");
    let text = text.get(number.wrapping_sub(1)).map_or("?", String::as_str);
    let restored = store.restore_version(&VersionRestore {
        id: id(digits),
        version,
        passages: record(digits, text, &[0.0, 0.0, 1.0]).passages,
        stored_at: Timestamp::from_micros(at),
        source: by("owner"),
        request: RequestKey(u128::try_from(at).expect("test times are positive") << 64),
    });
    restored.expect("the version is valid")
}

pub(super) fn every_change_keeps_the_former_version(store: &dyn MemoryStore) {
    let first = stored_by(
        tagged(said(record(5, "one", &[1.0]), "Anna", "talk"), &["b", "a"]),
        "x",
        "y",
    );
    insert(store, std::slice::from_ref(&first));
    let alone = &versions(store, 5)[..];
    assert!(matches!(
        alone,
        [Version {
            number: 1,
            replaced: None,
            ..
        }]
    ));
    update(store, 5, Some("two"), &[], 20);
    update(store, 5, None, &["c"], 30);
    // What it has already makes neither another version nor another time.
    let kept = update(store, 5, Some("two"), &["c"], 35);
    assert_eq!(kept.stored_at, Timestamp::from_micros(30));
    assert_eq!(versions(store, 5).len(), 3);
    let mut again = tagged(record(6, "Two.", &[0.0, 1.0]), &["d"]);
    again.duplicates = Duplicates::Merge;
    again.memory.origin = get(store, &[id(5)])[0].clone().expect("it is there").origin;
    again.memory.source = by("other");
    let merged = insert(store, &[again]);
    assert!(matches!(&merged[..], [Inserted::Duplicate(memory)] if memory.id == id(5)));

    let history = store.history(id(5)).expect("the store can be read");
    let history = history.expect("the memory is there");
    assert_eq!((history.id, history.source), (id(5), first.memory.source));
    assert!(history.hidden_at.is_none() && !history.quarantined);
    let all = history.versions;
    let numbers: Vec<u32> = all.iter().map(|version| version.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(texts(store, 5), ["one", "two", "two", "two"]);
    let tags = all.iter().map(|version| version.tags.as_slice().to_vec());
    let [a, b, c, d] = ["a", "b", "c", "d"].map(tag);
    assert_eq!(
        tags.collect::<Vec<_>>(),
        [
            vec![b.clone(), a.clone()],
            vec![b, a],
            vec![c.clone()],
            vec![c, d]
        ]
    );
    let times: Vec<i64> = all
        .iter()
        .map(|version| version.stored_at.as_micros())
        .collect();
    assert_eq!(times, [5, 20, 30, 6]);
    assert!(all.iter().all(|version| version.space == space("default")));
    assert_eq!(all[0].origin, first.memory.origin);
    let why = |version: &Version| {
        let replaced = version.replaced.clone()?;
        Some((replaced.cause, replaced.at.as_micros(), replaced.by))
    };
    assert_eq!(
        all.iter().map(why).collect::<Vec<_>>(),
        [
            Some((Cause::Updated, 20, by("editor"))),
            Some((Cause::Updated, 30, by("editor"))),
            Some((Cause::StoredAgain, 6, by("other"))),
            None,
        ]
    );
    // A call that is repeated changes nothing, and keeps nothing.
    update(store, 5, Some("ignored"), &[], 30);
    assert_eq!(texts(store, 5).len(), 4);
    // What is forgotten keeps its history; what was never there has none.
    store.forget(&[id(5)], RequestKey(1)).expect("it is there");
    let forgotten = store.history(id(5)).expect("the store can be read");
    let forgotten = forgotten.expect("it is only hidden");
    assert!(forgotten.hidden_at.is_some());
    assert_eq!(forgotten.versions, all);
    assert_eq!(store.history(id(6)).expect("the store can be read"), None);
    insert(store, &[waiting(record(9, "waits", &[1.0]))]);
    let waits = store.history(id(9)).expect("the store can be read");
    assert!(waits.is_some_and(|history| history.quarantined));
}

pub(super) fn a_former_version_comes_back_as_a_change(store: &dyn MemoryStore) {
    let first = tagged(said(record(5, "one", &[1.0]), "Anna", "talk"), &["a"]);
    insert(store, &[first.clone(), waiting(record(9, "waits", &[1.0]))]);
    update(store, 5, Some("two"), &["b"], 20);
    let back = restore(store, 5, 1, 30).expect("it has this version");
    let expected = Memory {
        stored_at: Timestamp::from_micros(30),
        ..first.memory
    };
    assert_eq!(back, expected);
    assert_eq!(get(store, &[id(5)]), [Some(expected)]);
    assert_eq!(texts(store, 5), ["one", "two", "one"]);
    let why = versions(store, 5)[1]
        .replaced
        .clone()
        .map(|it| (it.cause, it.by));
    assert_eq!(why, Some((Cause::Restored, by("owner"))));
    // It is searched by its vectors of now, and by its words.
    let hits = search(store, &[0.0, 0.0, 1.0], &everything(), 5);
    assert!((hits[0].similarity - 1.0).abs() < 1e-5);
    // The same call again changes nothing, nor does the version that it is.
    assert!(restore(store, 5, 2, 30).is_some());
    assert!(restore(store, 5, 3, 40).is_some());
    assert_eq!(texts(store, 5).len(), 3);
    // Undone by the version before it.
    restore(store, 5, 2, 50);
    assert_eq!(texts(store, 5), ["one", "two", "one", "two"]);
    // One that was forgotten is shown again, by the version that it is, too.
    for (version, at) in [(1, 60), (5, 70)] {
        store
            .forget(&[id(5)], RequestKey(u128::from(version)))
            .expect("it is there");
        assert!(restore(store, 5, version, at).is_some());
        assert!(get(store, &[id(5)])[0].is_some());
        assert_eq!(search(store, &[1.0], &everything(), 5).len(), 1);
    }
    assert_eq!(texts(store, 5), ["one", "two", "one", "two", "one"]);
    for missing in [0, 6, u32::MAX] {
        assert_eq!(restore(store, 5, missing, 80), None);
    }
    assert_eq!(restore(store, 9, 1, 90), None, "it waits for the owner");
    assert_eq!(list(store, everything(), 10, None).len(), 1);
}

pub(super) fn a_long_history_is_told_by_its_newest_versions(store: &dyn MemoryStore) {
    let text = "word ".repeat(limits::CONTENT_BYTES_MAX / 5);
    let text = text.trim_end();
    let told = limits::VERSIONS_BYTES_MAX / text.len();
    let count = told + 3;
    insert(store, &[tagged(record(5, text, &[1.0]), &["1"])]);
    for number in 2..=count {
        let at = i64::try_from(number).expect("test numbers are small");
        update(store, 5, None, &[&number.to_string()], at * 10);
    }
    let history = store.history(id(5)).expect("the store can be read");
    let history = history.expect("the memory is there");
    assert_eq!((history.versions.len(), history.older), (told, 3));
    for (number, version) in (4..).zip(&history.versions) {
        assert_eq!((version.number, version.content.as_str()), (number, text));
        assert_eq!(version.tags.as_slice(), [tag(&number.to_string())]);
    }
    assert!(
        history
            .versions
            .last()
            .is_some_and(|it| it.replaced.is_none())
    );
    // The others are there all the same, and come back.
    let version = |number| store.version(id(5), number).expect("the store can be read");
    for told in &history.versions {
        assert_eq!(version(told.number).as_ref(), Some(told));
    }
    let oldest = version(1).expect("it has this version");
    assert_eq!((oldest.number, oldest.content.as_str()), (1, text));
    assert!(oldest.replaced.is_some_and(|it| it.at.as_micros() == 20));
    let count = u32::try_from(count).expect("test numbers are small");
    assert_eq!((version(0), version(count + 1)), (None, None));
    assert_eq!(
        store.version(id(6), 1).expect("the store can be read"),
        None
    );
    let restored = store.restore_version(&VersionRestore {
        id: id(5),
        version: 1,
        passages: Vec::new(),
        stored_at: Timestamp::from_micros(10_000),
        source: by("owner"),
        request: RequestKey(1),
    });
    let restored = restored.expect("the version is valid");
    assert_eq!(restored.map(|memory| memory.tags), Some(oldest.tags));
}

fn erase(store: &dyn MemoryStore, digits: &[u64]) -> Vec<Erasure> {
    let ids: Vec<MemoryId> = digits.iter().copied().map(id).collect();
    let erasures = store.erase(&ids, NOW).expect("ids are valid");
    assert!(erasures.stuck.is_none() && erasures.backups.is_empty());
    erasures.each
}

pub(super) fn what_is_erased_is_gone(store: &dyn MemoryStore) {
    insert(
        store,
        &[
            record(1, "visible", &[1.0]),
            tagged(record(2, "forgotten", &[1.0]), &["a"]),
            waiting(record(3, "waits", &[1.0])),
            waiting(record(4, "discarded", &[1.0])),
            record(5, "stays", &[1.0]),
        ],
    );
    update(store, 1, Some("changed"), &[], 20);
    store.forget(&[id(2)], RequestKey(7)).expect("it is there");
    store.judge(&[id(4)], Verdict::Discard).expect("it waits");
    assert_eq!(erase(store, &[]), []);
    let gone = Erasure::Before(NOW);
    assert_eq!(
        erase(store, &[1, 1, 99, 2]),
        [Erasure::Erased, gone, Erasure::Unknown, Erasure::Erased]
    );
    assert_eq!(
        erase(store, &[3, 4, 1]),
        [Erasure::Erased, Erasure::Erased, gone]
    );

    let all = [1, 2, 3, 4].map(id);
    assert_eq!(get(store, &all), [None, None, None, None]);
    for id in all {
        assert_eq!(store.history(id).expect("the store can be read"), None);
    }
    assert_eq!(list(store, everything(), 9, None).len(), 1);
    assert_eq!(search(store, &[1.0], &everything(), 9).len(), 1);
    let stats = store
        .stats(&space("default"))
        .expect("the store can be read");
    assert_eq!(
        (
            stats.memories,
            stats.forgotten,
            stats.quarantined,
            stats.passages
        ),
        (1, 0, 0, 1)
    );
    let known = store
        .erased(&[id(1), id(5), id(99), id(3)])
        .expect("the store can be read");
    let known: Vec<_> = known
        .into_iter()
        .map(|it| it.map(|it| (it.space, it.at)))
        .collect();
    let where_and_when = Some((space("default"), NOW));
    assert_eq!(known, [where_and_when.clone(), None, None, where_and_when]);

    // Nothing reaches it any more, and no other memory gets its id.
    assert_eq!(
        store
            .restore(&[id(2)], RequestKey(8))
            .expect("ids are valid"),
        [false]
    );
    assert_eq!(
        store
            .forget(&[id(2)], RequestKey(7))
            .expect("ids are valid"),
        [false]
    );
    assert_eq!(
        store
            .judge(&[id(4)], Verdict::Release)
            .expect("ids are valid"),
        [false]
    );
    let mut taken = record(1, "another", &[1.0]);
    taken.request = RequestKey(1_000);
    assert!(store.insert(&[taken]).is_err());
}

pub(super) fn repeating_the_call_that_stored_what_was_erased_stores_nothing(
    store: &dyn MemoryStore,
) {
    let mut merged = record(2, "One!", &[1.0]);
    merged.duplicates = Duplicates::Merge;
    let first = record(1, "one", &[1.0]);
    insert(store, std::slice::from_ref(&first));
    let refreshed = insert(store, std::slice::from_ref(&merged));
    assert!(matches!(&refreshed[..], [Inserted::Duplicate(_)]));
    // A repeated call changes nothing, neither does one that found a duplicate.
    let again = insert(store, std::slice::from_ref(&merged));
    assert!(matches!(&again[..], [Inserted::Before(memory)] if memory.id == id(1)));
    assert_eq!(versions(store, 1).len(), 2);
    erase(store, &[1]);
    // Of several records none is stored: a call is carried out whole or not at all.
    for records in [
        vec![first.clone()],
        vec![merged],
        vec![record(3, "new", &[1.0]), first],
    ] {
        let repeated = store.insert(&records).map_err(|error| error.kind());
        assert_eq!(repeated, Err(ErrorKind::Gone));
    }
    assert_eq!(list(store, everything(), 9, None), []);
    // The same by a call of its own is another memory.
    let mut new = record(4, "one", &[1.0]);
    new.request = RequestKey(1_000);
    assert_eq!(insert(store, &[new]), [Inserted::Stored]);
}

pub(super) fn what_was_erased_is_not_imported_again(store: &dyn MemoryStore) {
    let arrival = |digits: u64, text: &str, keeps_id: bool| {
        let MemoryRecord {
            memory, passages, ..
        } = record(digits, text, &[1.0]);
        let arrival = Arrival {
            memory,
            key: ImportKey(u128::from(digits)),
            keeps_id,
            spare: id(digits + 1_000_000),
            original: None,
        };
        (arrival, passages)
    };
    let arrivals = [arrival(1, "with id", true), arrival(2, "without", false)];
    store.import(&arrivals).expect("the arrivals are valid");
    insert(store, &[record(3, "stored here", &[1.0])]);
    erase(store, &[1, 2, 3]);
    let again = store.import(&arrivals).expect("the arrivals are valid");
    assert_eq!(again, [Imported::Known(id(1)), Imported::Known(id(2))]);
    let known = store
        .known(&[arrivals[0].0.clone()])
        .expect("the store can be read");
    assert_eq!(known, [Some(id(1))]);
    // An export has the id of what was stored here, and it is not taken back, either.
    let exported = [arrival(3, "stored here", true)];
    let answer = store.import(&exported).expect("the arrivals are valid");
    assert_eq!(answer, [Imported::Known(id(3))]);
    // Another memory of that time gets an id of its own.
    let other = [arrival(3, "of the same moment", false)];
    let other = [(
        Arrival {
            key: ImportKey(33),
            ..other[0].0.clone()
        },
        other[0].1.clone(),
    )];
    let answer = store.import(&other).expect("the arrivals are valid");
    assert_eq!(answer, [Imported::Stored(id(4))]);
    assert_eq!(list(store, everything(), 9, None).len(), 1);
}

pub(super) fn what_was_forgotten_long_ago_is_erased(store: &dyn MemoryStore) {
    let mut records: Vec<MemoryRecord> = (1..=5)
        .map(|digits| record(digits, "text", &[1.0]))
        .collect();
    records.push(waiting(record(6, "waits", &[1.0])));
    records.push(waiting(record(7, "discarded", &[1.0])));
    records.push(waiting(record(8, "released", &[1.0])));
    insert(store, &records);
    for digits in [4, 2, 3] {
        store
            .forget(&[id(digits)], RequestKey(u128::from(digits)))
            .expect("it is there");
    }
    store
        .restore(&[id(3)], RequestKey(30))
        .expect("it is there");
    store.judge(&[id(7)], Verdict::Discard).expect("it waits");
    store.judge(&[id(8)], Verdict::Release).expect("it waits");
    let due = |before, limit| {
        store
            .erase_due(before, NOW, limit)
            .expect("the store can be written")
    };
    assert_eq!(due(Timestamp::from_micros(0), 9), []);
    assert_eq!(due(END, 0), []);
    let first = due(END, 1);
    let rest = due(END, 9);
    let mut all: Vec<MemoryId> = first.iter().chain(&rest).copied().collect();
    assert_eq!((first.len(), rest.len()), (1, 2));
    all.sort();
    assert_eq!(all, [2, 4, 7].map(id));
    assert_eq!(due(END, 9), []);
    let known = store.erased(&all).expect("the store can be read");
    assert!(known.iter().all(Option::is_some));
    let waits = store.quarantined(None, crate::query::ListPage::default());
    assert_eq!(waits.expect("the store can be read").len(), 1);
    assert_eq!(list(store, everything(), 9, None).len(), 4);
}

pub(super) fn a_speaker_that_was_erased_is_no_name(store: &dyn MemoryStore) {
    insert(
        store,
        &[
            said(record(1, "one", &[1.0]), "Anna", "talk"),
            record(2, "two", &[1.0]),
        ],
    );
    erase(store, &[1]);
    let speakers = store
        .speakers(&space("default"))
        .expect("the store can be read");
    assert_eq!(speakers, Vec::<String>::new());
    let anna = Speaker::parse("anna").expect("a valid name");
    let mut filter = everything();
    filter.speaker = Some(anna);
    assert_eq!(list(store, filter, 9, None), []);
}
