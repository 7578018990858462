//! Memories from elsewhere are recognised, and get ids of their own.

use super::history::update;
use super::{digits, everything, get, id, insert, list, record, search, space};
use crate::duplicate::fnv1a;
use crate::embedding::Passage;
use crate::import::{Arrival, ImportKey, Imported, Metadata};
use crate::memory::RequestKey;
use crate::ports::{MemoryRecord, MemoryStore};
use crate::source::Source;
use crate::spaces::{Move, Renamed};
use crate::time::Timestamp;

/// A memory from elsewhere with its passages; the spare id is far from all others.
fn arrival(digits: u64, text: &str, keeps_id: bool) -> (Arrival, Vec<Passage>) {
    let MemoryRecord {
        mut memory,
        passages,
        ..
    } = record(digits, text, &[1.0]);
    memory.metadata = Metadata::parse(r#"{"colour":"red"}"#).ok();
    let arrival = Arrival {
        key: ImportKey(u128::from(fnv1a(format!("{digits} {text}").bytes()))),
        spare: id(digits + 1_000_000),
        original: keeps_id.then_some(memory.id),
        memory,
        keeps_id,
    };
    (arrival, passages)
}

#[track_caller]
fn imported(store: &dyn MemoryStore, arrivals: &[(Arrival, Vec<Passage>)]) -> Vec<Imported> {
    let only: Vec<Arrival> = arrivals
        .iter()
        .map(|(arrival, _)| arrival.clone())
        .collect();
    let known = store.known(&only).expect("the store can be read");
    let answers = store.import(arrivals).expect("the arrivals are valid");
    for (known, answer) in known.iter().zip(&answers) {
        assert!(known.is_none_or(|id| *answer == Imported::Known(id)));
    }
    answers
}

pub(super) fn what_is_imported_is_recognised(store: &dyn MemoryStore) {
    let arrivals = [arrival(5, "one", true), arrival(9, "two", false)];
    let stored = [Imported::Stored(id(5)), Imported::Stored(id(9))];
    let known = [Imported::Known(id(5)), Imported::Known(id(9))];
    assert_eq!(imported(store, &[]), []);
    assert_eq!(imported(store, &arrivals), stored);
    let memories = arrivals
        .iter()
        .map(|(arrival, _)| Some(arrival.memory.clone()));
    assert_eq!(get(store, &[id(5), id(9)]), memories.collect::<Vec<_>>());
    assert_eq!(search(store, &[1.0], &everything(), 9).len(), 2);
    assert_eq!(imported(store, &arrivals), known);
    // Forgotten on purpose: it does not come back.
    let forgotten = store.forget(&[id(5), id(9)], RequestKey(1));
    assert_eq!(forgotten.expect("they are there"), [true, true]);
    assert_eq!(imported(store, &arrivals), known);
    assert_eq!(list(store, everything(), 9, None), []);
    assert_eq!(
        imported(
            store,
            &[arrival(7, "three", false), arrival(7, "three", false)]
        ),
        [Imported::Stored(id(7)), Imported::Known(id(7))]
    );
}

/// An old export of what was changed since does not bring the old text back.
pub(super) fn what_a_memory_said_once_is_recognised(store: &dyn MemoryStore) {
    insert(store, &[record(5, "one", &[1.0])]);
    update(store, 5, Some("two"), &[], 20);
    let once = [arrival(5, "one", true)];
    assert_eq!(imported(store, &once), [Imported::Known(id(5))]);
    let never = [arrival(5, "three", true)];
    assert_eq!(imported(store, &never), [Imported::Stored(id(1_000_005))]);
}

/// What says what another memory said when it came does not come back when that is gone.
pub(super) fn what_was_there_already_is_recognised_for_good(store: &dyn MemoryStore) {
    insert(store, &[record(5, "one", &[1.0])]);
    let (arrival, passages) = arrival(9, "One.", false);
    let known = || {
        store
            .known(std::slice::from_ref(&arrival))
            .expect("the store can be read")
    };
    assert_eq!(known(), [Some(id(5))]);
    let noted = [(arrival.key, id(5))];
    // Once more changes nothing.
    for _ in 0..2 {
        store.note_known(&noted).expect("it can be noted");
    }
    store.note_known(&[]).expect("nothing is noted");
    let forgotten = store.forget(&[id(5)], RequestKey(1));
    assert_eq!(forgotten.expect("it is there"), [true]);
    assert_eq!(known(), [Some(id(5))]);
    store
        .erase(&[id(5)], Timestamp::from_micros(50))
        .expect("it is there");
    assert_eq!(known(), [Some(id(5))]);
    let again = imported(store, &[(arrival.clone(), passages)]);
    assert_eq!(again, [Imported::Known(id(5))]);
}

pub(super) fn an_id_belongs_to_one_memory(store: &dyn MemoryStore) {
    insert(store, &[record(5, "here before", &[1.0])]);
    let answers = imported(
        store,
        &[
            arrival(5, "here before", true),
            arrival(5, "another", true),
            arrival(5, "the third", false),
            arrival(90, "Here before.", false),
            arrival(91, "here before", true),
        ],
    );
    let expected = [
        Imported::Known(id(5)),
        Imported::Stored(id(1_000_005)),
        Imported::Stored(id(6)),
        Imported::Known(id(5)),
        Imported::Stored(id(91)),
    ];
    assert_eq!(answers, expected);
    assert_eq!(
        digits(&list(store, everything(), 9, None)),
        [1_000_005, 91, 6, 5]
    );
    // The id of elsewhere is not lost with the one that another memory has.
    let renumbered = get(store, &[id(1_000_005), id(91)]).into_iter().flatten();
    let metadata = renumbered.filter_map(|memory| memory.metadata);
    let expected = [
        r#"{"original_id":"mem_5","colour":"red"}"#,
        r#"{"colour":"red"}"#,
    ];
    let metadata: Vec<Metadata> = metadata.collect();
    assert!(metadata.iter().map(Metadata::as_str).eq(expected));
    let stats = store
        .stats(&space("default"))
        .expect("the store can be read");
    assert_eq!((stats.memories, stats.taken_over), (4, None));
}

pub(super) fn a_copy_in_another_space_is_another_memory(store: &dyn MemoryStore) {
    let elsewhere = |digits: u64| {
        let (mut copy, passages) = arrival(digits, "said twice", true);
        copy.memory.space = space("elsewhere");
        copy.key = ImportKey(u128::from(digits));
        (copy, passages)
    };
    let both = [arrival(5, "said twice", true), elsewhere(5)];
    let stored = [Imported::Stored(id(5)), Imported::Stored(id(1_000_005))];
    assert_eq!(imported(store, &both), stored);
    let known = [Imported::Known(id(5)), Imported::Known(id(1_000_005))];
    assert_eq!(imported(store, &both), known);
    // It is known where it was, by a name that its space had, too.
    let place = |name: &str| {
        let (mut copy, passages) = arrival(5, "said twice", true);
        copy.memory.space = space(name);
        copy.key = ImportKey(u128::from(fnv1a(name.bytes())));
        (copy, passages)
    };
    let what = Move::new(vec![id(5)], space("work"), Source::default()).expect("it is one");
    let moved = store.move_memories(&what, RequestKey(9));
    moved.expect("no error");
    for (from, to) in [("work", "job"), ("job", "work")] {
        let renamed = store.rename_space(&space(from), &space(to));
        assert_eq!(renamed.expect("no error"), Renamed::Done);
    }
    for name in ["default", "job", "work"] {
        assert_eq!(imported(store, &[place(name)]), known[..1], "{name}");
    }
    // What was stored here comes back from an export of before it was moved.
    insert(store, &[record(7, "said twice", &[1.0])]);
    assert_eq!(imported(store, &[elsewhere(7)]), [Imported::Known(id(7))]);
}
