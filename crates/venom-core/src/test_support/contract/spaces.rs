//! Spaces as such.

use super::{digits, get, insert, judge, list, search};
use crate::limits;
use crate::memory::{Memory, RequestKey, SpaceName, Verdict};
use crate::ports::{MemoryStore, MemoryUpdate};
use crate::query::Filter;
use crate::source::{ClientName, Source, TokenName};
use crate::spaces::{Emptied, Move, Moved, Renamed, Within};
use crate::test_support::samples::{self, id, in_space, record, space, tag, tagged, waiting};
use crate::time::Timestamp;

/// Names, memories and hidden memories of the spaces that are there.
fn spaces(store: &dyn MemoryStore) -> Vec<(String, u64, u64)> {
    let spaces = store.spaces().expect("the store can be read");
    let of_stats = store
        .stats(&space("default"))
        .expect("the store can be read");
    let names: Vec<SpaceName> = spaces.iter().map(|it| it.name.clone()).collect();
    assert_eq!(of_stats.spaces, names, "statistics name the same spaces");
    let brief = spaces.into_iter();
    brief
        .map(|it| (it.name.as_str().to_owned(), it.memories, it.hidden))
        .collect()
}

fn brief(name: &str, memories: u64, hidden: u64) -> (String, u64, u64) {
    (name.to_owned(), memories, hidden)
}

fn in_all(store: &dyn MemoryStore, name: &str) -> Vec<u64> {
    digits(&list(
        store,
        Filter::everything_in(space(name)),
        1_000,
        None,
    ))
}

fn rename(store: &dyn MemoryStore, from: &str, to: &str) -> Renamed {
    let renamed = store.rename_space(&space(from), &space(to));
    renamed.expect("no error")
}

fn moved(store: &dyn MemoryStore, ids: &[u64], to: &str, key: u128) -> Vec<Moved> {
    let what = Move::new(
        ids.iter().copied().map(id).collect(),
        space(to),
        Source::default(),
    );
    let what = what.expect("they are few");
    store
        .move_memories(&what, RequestKey(key))
        .expect("no error")
}

fn emptied(store: &dyn MemoryStore, name: &str, most: usize) -> Option<(u64, bool)> {
    let emptied = store.empty_space(&space(name), most).expect("no error");
    emptied.map(|Emptied { forgotten, deleted }| (forgotten, deleted))
}

fn found(store: &dyn MemoryStore, name: &str) -> Vec<u64> {
    let hits = search(store, &[1.0], &Filter::everything_in(space(name)), 20);
    let mut found = super::hit_digits(&hits);
    found.sort_unstable();
    found
}

pub(super) fn spaces_are_there_until_they_are_deleted(store: &dyn MemoryStore) {
    assert_eq!(spaces(store), []);
    assert!(store.create_space(&space("b")).expect("no error"));
    assert!(!store.create_space(&space("b")).expect("no error"));
    insert(
        store,
        &[
            record(10, "ten", &[1.0]),
            in_space(record(20, "twenty", &[1.0]), "c"),
        ],
    );
    insert(
        store,
        &[waiting(in_space(record(30, "thirty", &[1.0]), "c"))],
    );
    let newest = |name: &str| {
        let spaces = store.spaces().expect("the store can be read");
        let of_name = spaces.into_iter().find(|it| it.name == space(name));
        of_name.expect("it is there").newest
    };
    assert_eq!(newest("c"), Some(Timestamp::from_micros(20)));
    assert_eq!(newest("b"), None);
    let three = [brief("b", 0, 0), brief("c", 1, 1), brief("default", 1, 0)];
    assert_eq!(spaces(store), three);
    assert_eq!(emptied(store, "nowhere", 5), None);
    assert_eq!(emptied(store, "b", 5), Some((0, true)));
    assert_eq!(emptied(store, "c", 5), Some((1, true)));
    assert_eq!(
        emptied(store, "c", 5),
        Some((0, true)),
        "it may be repeated"
    );
    assert_eq!(spaces(store), [brief("default", 1, 0)]);
    assert_eq!((in_all(store, "c"), found(store, "c")), (vec![], vec![]));
    assert_eq!(get(store, &[id(20), id(10)])[0], None);
    // What brings a memory back brings the space back.
    judge(store, &[30], Verdict::Release);
    assert_eq!(spaces(store), [brief("c", 1, 1), brief("default", 1, 0)]);
    store.restore(&[id(20)], RequestKey(2)).expect("no error");
    assert_eq!(in_all(store, "c"), [30, 20]);
    assert_eq!(found(store, "c"), [20, 30]);
    emptied(store, "c", 5);
    insert(store, &[in_space(record(40, "forty", &[1.0]), "c")]);
    assert_eq!(spaces(store)[0], brief("c", 1, 2));
    emptied(store, "b", 5);
    assert!(
        store.create_space(&space("b")).expect("no error"),
        "it was deleted"
    );
}

pub(super) fn a_space_is_emptied_step_by_step(store: &dyn MemoryStore) {
    for digits in 1..=7 {
        insert(store, &[in_space(record(digits, "text", &[1.0]), "full")]);
    }
    assert_eq!(emptied(store, "full", 3), Some((3, false)));
    assert_eq!(spaces(store), [brief("full", 4, 3)]);
    assert_eq!(in_all(store, "full").len(), 4);
    assert_eq!(emptied(store, "full", 3), Some((3, false)));
    assert_eq!(emptied(store, "full", 3), Some((1, true)));
    assert_eq!(spaces(store), []);
    let all: Vec<_> = (1..=7).map(id).collect();
    let restored = store.restore(&all, RequestKey(100)).expect("no error");
    assert_eq!(restored, [true; 7], "deleting hides and nothing more");
}

pub(super) fn a_renamed_space_keeps_everything(store: &dyn MemoryStore) {
    let records = [
        tagged(in_space(record(1, "one", &[1.0]), "old"), &["t"]),
        in_space(record(2, "two", &[1.0]), "old"),
        waiting(in_space(record(3, "three", &[1.0]), "old")),
        in_space(record(4, "four", &[1.0]), "other"),
    ];
    insert(store, &records);
    store.forget(&[id(2)], RequestKey(50)).expect("no error");
    assert_eq!(rename(store, "nowhere", "new"), Renamed::Missing);
    assert_eq!(rename(store, "old", "other"), Renamed::Taken);
    assert_eq!(rename(store, "old", "old"), Renamed::Done);
    assert_eq!(rename(store, "old", "new"), Renamed::Done);
    assert_eq!(
        rename(store, "old", "new"),
        Renamed::Done,
        "it may be repeated"
    );
    assert_eq!(spaces(store), [brief("new", 1, 2), brief("other", 1, 0)]);
    assert_eq!(
        (found(store, "old"), found(store, "new")),
        (vec![], vec![1])
    );
    let one = get(store, &[id(1)])[0].clone().expect("it is there");
    let expected = Memory {
        space: space("new"),
        ..records[0].memory.clone()
    };
    assert_eq!(one, expected);
    let tagged = Filter {
        tags_any: vec![tag("t")],
        ..Filter::everything_in(space("new"))
    };
    assert_eq!(super::hit_digits(&search(store, &[1.0], &tagged, 5)), [1]);
    store.restore(&[id(2)], RequestKey(51)).expect("no error");
    judge(store, &[3], Verdict::Release);
    assert_eq!(found(store, "new"), [1, 2, 3]);
    // The old name is free, and what is stored there is apart.
    insert(store, &[in_space(record(5, "five", &[1.0]), "old")]);
    assert_eq!(
        (found(store, "old"), found(store, "new")),
        (vec![5], vec![1, 2, 3])
    );
    assert_eq!(rename(store, "old", "new"), Renamed::Taken);
    // A deleted space keeps its name as long as its memories may come back.
    emptied(store, "other", 5);
    assert_eq!(rename(store, "other", "elsewhere"), Renamed::Missing);
    assert_eq!(rename(store, "old", "other"), Renamed::Taken);
    store.create_space(&space("empty")).expect("no error");
    emptied(store, "empty", 5);
    assert_eq!(rename(store, "old", "empty"), Renamed::Done);
    assert_eq!(found(store, "empty"), [5]);
}

pub(super) fn a_moved_memory_keeps_everything_else(store: &dyn MemoryStore) {
    let first = tagged(record(1, "one", &[1.0]), &["t"]);
    let records = [
        samples::said(first, "Anna", "monday"),
        in_space(record(2, "two", &[1.0]), "there"),
        in_space(record(3, "one", &[1.0]), "there"),
        record(4, "four", &[1.0]),
        waiting(record(5, "five", &[1.0])),
    ];
    insert(store, &records);
    store.forget(&[id(4)], RequestKey(60)).expect("no error");
    let answers = moved(store, &[1, 2, 4, 5, 9, 1], "there", 61);
    let (yes, no) = (Moved::Moved, Moved::NotFound);
    assert_eq!(answers, [yes, Moved::Already, no, no, no, yes]);
    let expected = Memory {
        space: space("there"),
        ..records[0].memory.clone()
    };
    assert_eq!(get(store, &[id(1)]), [Some(expected)]);
    assert_eq!(
        (found(store, "default"), found(store, "there")),
        (vec![], vec![1, 2, 3])
    );
    assert_eq!(in_all(store, "there"), [3, 2, 1]);
    assert_eq!(
        spaces(store),
        [brief("default", 0, 2), brief("there", 3, 0)]
    );
    let passages = store.stats(&space("there")).expect("the store can be read");
    assert_eq!((passages.passages, passages.space_memories), (3, 3));
    let speakers = |name: &str| store.speakers(&space(name)).expect("no error");
    assert_eq!(
        (speakers("default"), speakers("there")),
        (vec![], vec!["anna".to_owned()])
    );
    // A repeated call says what the first said, and changes nothing; another moves it back.
    assert_eq!(moved(store, &[1], "default", 62), [yes]);
    assert_eq!(moved(store, &[1], "there", 61), [yes]);
    assert_eq!(found(store, "default"), [1]);
    // Where nothing comes there is no space.
    assert_eq!(moved(store, &[9], "new", 63), [no]);
    assert_eq!(spaces(store)[1].0, "there");
    // What was moved is forgotten and restored where it is.
    moved(store, &[1], "new", 64);
    store.forget(&[id(1)], RequestKey(65)).expect("no error");
    assert_eq!(
        (found(store, "default"), found(store, "new")),
        (vec![], vec![])
    );
    store.restore(&[id(1)], RequestKey(66)).expect("no error");
    assert_eq!(
        (found(store, "default"), found(store, "new")),
        (vec![], vec![1])
    );
    let many = (0..=limits::SPACE_BATCH_MAX as u64).map(id).collect();
    let refused = Move::new(many, space("new"), Source::default()).expect_err("too many");
    assert_eq!(
        refused.to_string(),
        "too many memories: expected at most 256 in a call, received 257"
    );
}

pub(super) fn nothing_is_changed_out_of_reach(store: &dyn MemoryStore) {
    insert(
        store,
        &[
            in_space(record(1, "one", &[1.0]), "a"),
            in_space(record(2, "two", &[1.0]), "b"),
        ],
    );
    let within = Within::Spaces(vec![space("b"), space("c")]);
    let ids = [id(1), id(2)];
    let update = |digits: u64, key: u128| MemoryUpdate {
        change: crate::memory::MemoryChange {
            id: id(digits),
            content: None,
            tags: Some(crate::memory::Tags::parse(&["x"]).expect("a short tag")),
            origin: crate::memory::Origin::default(),
            source: Source::default(),
            precautions: crate::precautions::Precautions::NONE,
        },
        passages: Vec::new(),
        stored_at: Timestamp::from_micros(9),
        request: RequestKey(key),
    };
    let updated = |digits: u64, key: u128| {
        let updated = store.update_within(&update(digits, key), &within);
        updated.expect("no error").is_some()
    };
    assert_eq!((updated(1, 70), updated(2, 71)), (false, true));
    let key = RequestKey(72);
    let forgotten = store.forget_within(&ids, &within, key).expect("no error");
    assert_eq!(forgotten, [false, true]);
    assert_eq!((found(store, "a"), found(store, "b")), (vec![1], vec![]));
    store.forget(&ids, RequestKey(73)).expect("no error");
    let restored = store.restore_within(&ids, &within, RequestKey(74));
    assert_eq!(restored.expect("no error"), [false, true]);
    assert_eq!((found(store, "a"), found(store, "b")), (vec![], vec![2]));
    store.restore(&ids, RequestKey(75)).expect("no error");
    let source = Source {
        client: ClientName::told("claude-ai"),
        token: TokenName::told("laptop"),
    };
    let mut what = Move::new(ids.to_vec(), space("c"), source).expect("they are few");
    what.within = within;
    let answers = store
        .move_memories(&what, RequestKey(76))
        .expect("no error");
    assert_eq!(answers, [Moved::NotFound, Moved::Moved]);
    assert_eq!(found(store, "c"), [2]);
    assert_eq!(
        get(store, &[id(1)])[0]
            .as_ref()
            .map(|it| it.tags.is_empty()),
        Some(true)
    );
}

pub(super) fn a_name_that_is_given_again_tells_nothing_of_the_space_before(
    store: &dyn MemoryStore,
) {
    let mut first = record(1, "one", &[1.0]);
    first.memory.space = space("private");
    insert(store, &[first]);
    moved(store, &[1], "team", 70);
    let emptied = store.empty_space(&space("private"), 10).expect("no error");
    assert!(emptied.expect("a space").deleted);
    store.create_space(&space("crew")).expect("no error");
    let rename = |from: &str, to: &str| {
        let renamed = store.rename_space(&space(from), &space(to));
        renamed.expect("no error")
    };
    assert_eq!(rename("crew", "private"), Renamed::Done);
    let history = store.history(id(1)).expect("no error").expect("a memory");
    let spaces: Vec<&str> = history
        .versions
        .iter()
        .map(|it| it.space.as_str())
        .collect();
    assert_eq!(spaces, ["private (deleted)", "team"]);
    // What was renamed once is no reason to say so of another space of that name.
    store.create_space(&space("a")).expect("no error");
    assert_eq!(rename("a", "b"), Renamed::Done);
    assert_eq!(rename("a", "b"), Renamed::Done, "it may be repeated");
    assert_eq!(rename("b", "c"), Renamed::Done);
    store.create_space(&space("b")).expect("no error");
    assert_eq!(rename("a", "b"), Renamed::Missing);
}
