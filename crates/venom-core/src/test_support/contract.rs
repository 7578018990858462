//! The contract suites: what `ports` promises, as checks that run on any adapter.
//!
//! A suite takes a function that makes a fresh adapter and panics at the first broken promise.

mod backups;
mod history;
mod import;
mod spaces;

use super::samples::{self, id, in_space, model, record, space, tag, tagged, vector};
use crate::embedding::{Passage, PassageSpan, dot};
use crate::error::StoreError;
use crate::memory::{
    Content, Duplicates, Memory, MemoryChange, MemoryId, Origin, RequestKey, SessionName, Speaker,
    Tags, Verdict,
};
use crate::persona::PersonaName;
use crate::ports::{Embedder, Inserted, MemoryRecord, MemoryStore, MemoryUpdate, PersonaSource};
use crate::precautions::Precautions;
use crate::query::{Filter, Hit, ListPage, ListQuery};
use crate::source::Source;
use crate::spaces::Move;
use crate::time::Timestamp;

/// Makes an empty store for vectors of [`samples::model`].
pub type MakeStore<'a> = &'a dyn Fn() -> Box<dyn MemoryStore>;

/// Every promise of [`MemoryStore`].
///
/// # Panics
/// At the first promise that is broken.
pub fn memory_store(make: MakeStore<'_>) {
    what_is_stored_can_be_read(make().as_ref());
    a_batch_is_all_or_nothing(make().as_ref());
    a_repeated_insert_changes_nothing(make().as_ref());
    a_repeated_forget_answers_the_same(make().as_ref());
    forgotten_is_hidden_everywhere(make().as_ref());
    restored_is_as_before(make().as_ref());
    import::what_is_imported_is_recognised(make().as_ref());
    import::what_was_there_already_is_recognised_for_good(make().as_ref());
    import::what_a_memory_said_once_is_recognised(make().as_ref());
    import::an_id_belongs_to_one_memory(make().as_ref());
    import::a_copy_in_another_space_is_another_memory(make().as_ref());
    backups::backups_are_known_until_they_are_gone(make().as_ref());
    history::every_change_keeps_the_former_version(make().as_ref());
    history::a_long_history_is_told_by_its_newest_versions(make().as_ref());
    history::a_former_version_comes_back_as_a_change(make().as_ref());
    history::what_is_erased_is_gone(make().as_ref());
    history::repeating_the_call_that_stored_what_was_erased_stores_nothing(make().as_ref());
    history::what_was_erased_is_not_imported_again(make().as_ref());
    history::what_was_forgotten_long_ago_is_erased(make().as_ref());
    history::a_speaker_that_was_erased_is_no_name(make().as_ref());
    the_same_again_is_kept_once(make().as_ref());
    a_duplicate_is_refreshed_or_nothing_is(make().as_ref());
    a_change_shows_everywhere(make().as_ref());
    the_first_source_stays(make().as_ref());
    quarantine_hides_until_the_owner_decides(make().as_ref());
    quarantine_touches_nothing_else(make().as_ref());
    search_is_best_first_and_newer_first(make().as_ref());
    the_best_passage_counts_once(make().as_ref());
    filters_agree_with_their_definition(make().as_ref());
    a_filter_never_cuts_results_short(make().as_ref());
    pages_lose_and_repeat_nothing(make().as_ref());
    stats_count(make().as_ref());
    wrong_dimensions_are_refused(make().as_ref());
    spaces::a_name_that_is_given_again_tells_nothing_of_the_space_before(make().as_ref());
    spaces::spaces_are_there_until_they_are_deleted(make().as_ref());
    spaces::a_space_is_emptied_step_by_step(make().as_ref());
    spaces::a_renamed_space_keeps_everything(make().as_ref());
    spaces::a_moved_memory_keeps_everything_else(make().as_ref());
    spaces::nothing_is_changed_out_of_reach(make().as_ref());
}

fn insert(store: &dyn MemoryStore, records: &[MemoryRecord]) -> Vec<Inserted> {
    store
        .insert(records)
        .expect("the records are new and valid")
}

fn get(store: &dyn MemoryStore, ids: &[MemoryId]) -> Vec<Option<Memory>> {
    store.get(ids).expect("the store can be read")
}

fn everything() -> Filter {
    Filter::everything_in(space("default"))
}

fn list(store: &dyn MemoryStore, filter: Filter, limit: i64, before: Option<u64>) -> Vec<Memory> {
    let query = ListQuery {
        filter,
        all_spaces: false,
        limit: ListPage::parse(limit).expect("the suite asks for valid pages"),
        before: before.map(id),
    };
    store.list(&query).expect("the store can be read")
}

fn search(store: &dyn MemoryStore, raw: &[f32], filter: &Filter, limit: usize) -> Vec<Hit> {
    let hits = samples::nearest(store, &vector(raw), filter, limit);
    hits.expect("the store can be read")
}

fn digits<'a>(memories: impl IntoIterator<Item = &'a Memory>) -> Vec<u64> {
    memories.into_iter().map(|m| m.id.digits()).collect()
}

fn hit_digits(hits: &[Hit]) -> Vec<u64> {
    digits(hits.iter().map(|hit| &hit.memory))
}

fn what_is_stored_can_be_read(store: &dyn MemoryStore) {
    let text = "Größe: 3 m\n\"quoted\" — 茶 🍵";
    let first = tagged(record(10, text, &[1.0]), &["z", "a", "ü"]);
    let second = in_space(record(20, "two", &[0.0, 1.0]), "été");
    let records = [first.clone(), second.clone()];
    assert_eq!(insert(store, &[]), []);
    assert_eq!(
        insert(store, &records),
        [Inserted::Stored, Inserted::Stored]
    );
    let (first, second) = (first.memory, second.memory);
    assert_eq!(
        get(store, &[id(20), id(15), id(10), id(20)]),
        [
            Some(second.clone()),
            None,
            Some(first.clone()),
            Some(second)
        ]
    );
    assert_eq!(get(store, &[]), []);
    let hits = search(store, &[1.0], &everything(), 5);
    assert_eq!(hits.len(), 1, "other spaces are not searched");
    assert_eq!(hits[0].memory, first);
    assert_eq!(hits[0].passage.0, 0..text.len());
    assert!((hits[0].similarity - 1.0).abs() < 1e-5);
    store.check().expect("a fresh store can serve");
}

fn a_batch_is_all_or_nothing(store: &dyn MemoryStore) {
    insert(store, &[record(5, "taken", &[1.0])]);
    let mut clash = record(5, "clash", &[1.0]);
    clash.request = RequestKey(500);
    let batch = [record(6, "six", &[1.0]), clash, record(7, "seven", &[1.0])];
    assert!(matches!(
        store.insert(&batch),
        Err(StoreError::DuplicateId(taken)) if taken == id(5)
    ));
    let twins = [record(8, "eight", &[1.0]), {
        let mut twin = record(8, "twin", &[1.0]);
        twin.request = RequestKey(800);
        twin
    }];
    assert!(matches!(
        store.insert(&twins),
        Err(StoreError::DuplicateId(twice)) if twice == id(8)
    ));
    assert_eq!(digits(&list(store, everything(), 10, None)), [5]);
    assert_eq!(hit_digits(&search(store, &[1.0], &everything(), 10)), [5]);
    assert_eq!(get(store, &[id(6), id(7), id(8)]), [None, None, None]);
    // The keys of the failed batch were not applied either.
    let again = insert(
        store,
        &[record(6, "six", &[1.0]), record(7, "seven", &[1.0])],
    );
    assert_eq!(again, [Inserted::Stored, Inserted::Stored]);
}

fn a_repeated_insert_changes_nothing(store: &dyn MemoryStore) {
    let first = record(1, "first", &[1.0]);
    insert(store, std::slice::from_ref(&first));
    let mut again = record(2, "first, sent again", &[1.0]);
    again.request = first.request;
    let fresh = record(3, "fresh", &[1.0]);
    let mut fresh_again = record(4, "fresh, in the same batch", &[1.0]);
    fresh_again.request = fresh.request;
    let answers = insert(store, &[again.clone(), fresh.clone(), fresh_again]);
    assert_eq!(
        answers,
        [
            Inserted::Before(first.memory.clone()),
            Inserted::Stored,
            Inserted::Before(fresh.memory)
        ]
    );
    assert_eq!(digits(&list(store, everything(), 10, None)), [3, 1]);
    // What was forgotten since is still what the call stored, and stays forgotten.
    store.forget(&[id(1)], RequestKey(9)).expect("it is there");
    assert_eq!(insert(store, &[again]), [Inserted::Before(first.memory)]);
    assert_eq!(digits(&list(store, everything(), 10, None)), [3]);
}

fn a_repeated_forget_answers_the_same(store: &dyn MemoryStore) {
    insert(store, &[record(1, "one", &[1.0]), record(2, "two", &[1.0])]);
    let forget = |ids: &[u64], key| {
        let ids: Vec<MemoryId> = ids.iter().map(|digits| id(*digits)).collect();
        let answers = store.forget(&ids, RequestKey(key));
        answers.expect("forgetting what is not there is no error")
    };
    assert_eq!(forget(&[1, 99], 7), [true, false]);
    assert_eq!(forget(&[1, 99], 7), [true, false]);
    assert_eq!(forget(&[1], 8), [false], "another call finds it gone");
    // Keys of inserts and of forgets are apart: 2 is the key that stored memory 2.
    assert_eq!(forget(&[2, 2], 2), [true, true]);
    assert_eq!(forget(&[], 9), []);
}

fn forgotten_is_hidden_everywhere(store: &dyn MemoryStore) {
    let records = [
        tagged(record(1, "one", &[1.0]), &["t"]),
        tagged(record(2, "two", &[1.0]), &["t"]),
        in_space(record(3, "three", &[1.0]), "other"),
    ];
    insert(store, &records);
    let forgotten = store.forget(&[id(2), id(3), id(4)], RequestKey(1));
    assert_eq!(forgotten.expect("no error"), [true, true, false]);
    assert_eq!(get(store, &[id(2), id(3)]), [None, None]);
    let mut by_tag = everything();
    by_tag.tags_any = vec![tag("t")];
    for filter in [everything(), by_tag] {
        assert_eq!(hit_digits(&search(store, &[1.0], &filter, 5)), [1]);
        assert_eq!(digits(&list(store, filter, 5, None)), [1]);
    }
    let other = Filter::everything_in(space("other"));
    assert_eq!(search(store, &[1.0], &other, 5), []);
    let stats = store.stats(&space("default")).expect("it can be read");
    assert_eq!((stats.memories, stats.space_memories), (1, 1));
    assert_eq!((stats.forgotten, stats.passages), (2, 1));
    assert_eq!(stats.spaces, [space("default"), space("other")]);
    // Its id stays taken.
    let mut clash = record(2, "again", &[1.0]);
    clash.request = RequestKey(22);
    assert!(matches!(
        store.insert(&[clash]),
        Err(StoreError::DuplicateId(_))
    ));
}

fn restored_is_as_before(store: &dyn MemoryStore) {
    let record = tagged(record(1, "one", &[1.0]), &["t"]);
    insert(
        store,
        &[record.clone(), samples::record(2, "two", &[0.0, 1.0])],
    );
    let before = store.stats(&space("default")).expect("it can be read");
    let found = search(store, &[1.0], &everything(), 5);
    let change = |hide: bool, ids: &[u64], key| {
        let ids: Vec<MemoryId> = ids.iter().map(|digits| id(*digits)).collect();
        let answers = if hide {
            store.forget(&ids, RequestKey(key))
        } else {
            store.restore(&ids, RequestKey(key))
        };
        answers.expect("changing what is not there is no error")
    };
    assert_eq!(change(true, &[1], 7), [true]);
    assert_eq!(change(false, &[1, 2, 99], 8), [true, true, false]);
    assert_eq!(get(store, &[id(1)]), [Some(record.memory)]);
    assert_eq!(search(store, &[1.0], &everything(), 5), found);
    let mut by_tag = everything();
    by_tag.tags_any = vec![tag("t")];
    assert_eq!(digits(&list(store, by_tag, 5, None)), [1]);
    let after = store.stats(&space("default")).expect("it can be read");
    assert_eq!(
        (after.memories, after.forgotten),
        (before.memories, before.forgotten)
    );
    assert_eq!(after.passages, before.passages);
    // Calls that were carried out before are not carried out again.
    assert_eq!(change(true, &[1], 7), [true]);
    assert_eq!(digits(&list(store, everything(), 5, None)), [2, 1]);
    assert_eq!(change(true, &[1], 9), [true]);
    assert_eq!(change(false, &[1], 8), [true]);
    assert_eq!(digits(&list(store, everything(), 5, None)), [2]);
}

/// The record, to be stored only if nothing says the same.
fn once(mut record: MemoryRecord) -> MemoryRecord {
    record.duplicates = Duplicates::Merge;
    record
}

fn the_same_again_is_kept_once(store: &dyn MemoryStore) {
    let first = tagged(record(10, "The dog is called Rex", &[1.0]), &["a"]);
    let other = in_space(record(11, "The dog is called Rex", &[1.0]), "other");
    let said = samples::said(record(12, "The dog is called Rex", &[1.0]), "Anna", "one");
    insert(store, &[first.clone(), other, said]);
    let again = |digits, text, raw: &[f32]| {
        let record = once(tagged(record(digits, text, raw), &["b", "a"]));
        insert(store, &[record]).remove(0)
    };
    let expect_duplicate = |answer: Inserted, tags: &[&str], stored_at| {
        let Inserted::Duplicate(memory) = answer else {
            panic!("expected a duplicate, got {answer:?}");
        };
        let expected = tagged(first.clone(), tags).memory;
        assert_eq!((memory.id, &memory.tags), (expected.id, &expected.tags));
        assert_eq!(memory.stored_at, Timestamp::from_micros(stored_at));
        assert_eq!(
            memory.content, first.memory.content,
            "the old wording stays"
        );
        assert_eq!(get(store, &[id(10)]), [Some(memory)]);
    };
    // Its words, whatever the vectors; its essence, if the vectors are close.
    expect_duplicate(
        again(20, "the dog is called  rex.", &[0.0, 1.0]),
        &["a", "b"],
        20,
    );
    expect_duplicate(again(21, "Dog is called Rex", &[1.0, 0.1]), &["a", "b"], 21);
    assert_eq!(
        again(22, "A dog is called Rex", &[1.0, 1.0]),
        Inserted::Stored
    );
    assert_eq!(
        again(23, "The dog is not called Rex", &[1.0]),
        Inserted::Stored
    );
    assert_eq!(
        digits(&list(store, everything(), 9, None)),
        [23, 22, 12, 10]
    );
    // A moment at which something happened is part of what it says.
    let mut dated = once(record(24, "The dog is called Rex", &[1.0]));
    dated.memory.origin.occurred_at = Some(Timestamp::from_micros(5));
    assert_eq!(insert(store, &[dated.clone()]), [Inserted::Stored]);
    dated.request = RequestKey(240);
    dated.memory.id = id(25);
    assert!(matches!(insert(store, &[dated])[0], Inserted::Duplicate(_)));
    // What is forgotten is no duplicate of anything.
    let all = [id(10), id(22), id(24)];
    store.forget(&all, RequestKey(9)).expect("they are there");
    assert_eq!(again(30, "The dog is called Rex", &[1.0]), Inserted::Stored);
}

fn a_duplicate_is_refreshed_or_nothing_is(store: &dyn MemoryStore) {
    insert(store, &[record(1, "one", &[1.0]), record(2, "two", &[1.0])]);
    let mut clash = record(2, "clash", &[1.0]);
    clash.request = RequestKey(22);
    let batch = [once(tagged(record(3, "One!", &[1.0]), &["t"])), clash];
    assert!(store.insert(&batch).is_err());
    let expected = record(1, "one", &[1.0]).memory;
    assert_eq!(get(store, &[id(1)]), [Some(expected)]);
    // Two of one batch that say the same.
    let batch = [
        once(record(4, "four", &[1.0])),
        once(record(5, "Four", &[1.0])),
    ];
    let answers = insert(store, &batch);
    assert_eq!(answers[0], Inserted::Stored);
    assert!(matches!(&answers[1], Inserted::Duplicate(memory) if memory.id == id(4)));
    // The refreshed time is what filters see.
    let mut recent = everything();
    recent.since = Some(Timestamp::from_micros(5));
    assert_eq!(digits(&list(store, recent.clone(), 9, None)), [4]);
    assert_eq!(hit_digits(&search(store, &[1.0], &recent, 9)), [4]);
}

fn a_change_shows_everywhere(store: &dyn MemoryStore) {
    let records = [
        tagged(record(1, "one", &[1.0]), &["t"]),
        record(2, "two", &[0.0, 1.0]),
    ];
    insert(store, &records);
    let text = "one and a half";
    let update = |change: MemoryChange, raw: &[&[f32]], key| {
        let end = change
            .content
            .as_ref()
            .map_or(0, |text| text.as_str().len());
        let passage = |raw: &&[f32]| Passage {
            span: PassageSpan(0..end),
            embedding: vector(raw),
        };
        let update = MemoryUpdate {
            passages: raw.iter().map(passage).collect(),
            change,
            stored_at: Timestamp::from_micros(50),
            request: RequestKey(key),
        };
        store.update(&update).expect("the store can be written")
    };
    let change = MemoryChange {
        id: id(1),
        content: Some(Content::parse(text).expect("a text")),
        tags: Some(Tags::parse(&["u"]).expect("a tag")),
        origin: samples::said(record(1, "x", &[1.0]), "Anna", "one")
            .memory
            .origin,
        source: Source::default(),
        precautions: Precautions::NONE,
    };
    let changed = update(change.clone(), &[&[0.0, 1.0], &[0.0, 0.0, 1.0]], 100);
    let changed = changed.expect("it is there");
    assert_eq!(changed.content.as_str(), text);
    assert_eq!(changed.tags.as_slice(), [tag("u")]);
    assert_eq!(changed.origin, change.origin);
    assert_eq!(
        (changed.id, changed.stored_at),
        (id(1), Timestamp::from_micros(50))
    );
    assert_eq!(get(store, &[id(1)]), [Some(changed.clone())]);
    let hit = &search(store, &[0.0, 0.0, 1.0], &everything(), 1)[0];
    assert_eq!(
        (&hit.memory, hit.passage.0.clone()),
        (&changed, 0..text.len())
    );
    let mut filter = everything();
    filter.speaker.clone_from(&changed.origin.speaker);
    filter.tags_any = vec![tag("u")];
    filter.since = Some(Timestamp::from_micros(50));
    assert_eq!(hit_digits(&search(store, &[1.0], &filter, 5)), [1]);
    assert_eq!(digits(&list(store, filter.clone(), 5, None)), [1]);
    filter.tags_any = vec![tag("t")];
    assert_eq!(digits(&list(store, filter, 5, None)), []);
    let stats = store.stats(&space("default")).expect("it can be read");
    assert_eq!((stats.memories, stats.passages), (2, 3));
    // What is absent stays; a key works once; what is not there is not changed.
    let nothing = MemoryChange {
        id: id(1),
        content: None,
        tags: Some(Tags::default()),
        origin: Origin::default(),
        source: Source::default(),
        precautions: Precautions::NONE,
    };
    let bare = update(nothing.clone(), &[], 101).expect("it is there");
    assert_eq!(
        (&bare.content, &bare.origin),
        (&changed.content, &changed.origin)
    );
    assert!(bare.tags.is_empty());
    assert_eq!(update(change.clone(), &[&[1.0]], 100), Some(bare.clone()));
    assert_eq!(get(store, &[id(1)]), [Some(bare)]);
    let missing = MemoryChange {
        id: id(9),
        ..nothing.clone()
    };
    assert_eq!(update(missing, &[], 102), None);
    store
        .forget(&[id(1)], RequestKey(103))
        .expect("it is there");
    assert_eq!(update(nothing, &[], 104), None);
}

fn the_first_source_stays(store: &dyn MemoryStore) {
    let first = samples::stored_by(record(1, "one", &[1.0]), "claude-ai", "laptop");
    let unknown = record(2, "two", &[1.0]);
    let half = samples::stored_by(record(3, "three", &[1.0]), "cursor", "");
    insert(store, &[first.clone(), unknown.clone(), half.clone()]);
    let kept = [first, unknown, half].map(|record| Some(record.memory));
    assert_eq!(get(store, &[id(1), id(2), id(3)]), kept);
    let again = once(samples::stored_by(
        record(4, "One!", &[1.0]),
        "cursor",
        "phone",
    ));
    let answer = insert(store, &[again]).remove(0);
    let update = MemoryUpdate {
        change: MemoryChange {
            id: id(1),
            content: None,
            tags: Some(Tags::default()),
            origin: Origin::default(),
            source: Source::command_line(),
            precautions: Precautions::NONE,
        },
        passages: Vec::new(),
        stored_at: Timestamp::from_micros(9),
        request: RequestKey(9),
    };
    let changed = store.update(&update).expect("the store can be written");
    let source = kept[0].as_ref().map(|memory| &memory.source);
    assert!(matches!(&answer, Inserted::Duplicate(memory) if Some(&memory.source) == source));
    assert_eq!(changed.as_ref().map(|memory| &memory.source), source);
    assert_eq!(get(store, &[id(1)]), [changed]);
}

fn waiting_digits(store: &dyn MemoryStore, before: Option<u64>, limit: i64) -> Vec<u64> {
    let limit = ListPage::parse(limit).expect("the suite asks for valid pages");
    let waiting = store.quarantined(before.map(id), limit);
    let waiting = waiting.expect("the store can be read");
    assert!(waiting.iter().all(|memory| memory.quarantined));
    digits(&waiting)
}

fn judge(store: &dyn MemoryStore, ids: &[u64], verdict: Verdict) -> Vec<bool> {
    let ids: Vec<MemoryId> = ids.iter().map(|digits| id(*digits)).collect();
    let answers = store.judge(&ids, verdict);
    answers.expect("what is not there is no error")
}

fn quarantine_hides_until_the_owner_decides(store: &dyn MemoryStore) {
    let wait = |digits, text| samples::waiting(tagged(record(digits, text, &[1.0]), &["t"]));
    let records = [
        record(1, "one", &[1.0]),
        wait(2, "two"),
        in_space(wait(3, "three"), "other"),
        wait(4, "four"),
    ];
    assert_eq!(insert(store, &records), [const { Inserted::Stored }; 4]);
    let mut by_tag = everything();
    by_tag.tags_any = vec![tag("t")];
    let visible = |digits: &[u64], tagged: &[u64]| {
        let mut found = hit_digits(&search(store, &[1.0], &everything(), 9));
        found.sort_unstable();
        assert_eq!(found, digits);
        found.reverse();
        assert_eq!(self::digits(&list(store, everything(), 9, None)), found);
        assert_eq!(self::digits(&list(store, by_tag.clone(), 9, None)), tagged);
        assert_eq!(hit_digits(&search(store, &[1.0], &by_tag, 9)), tagged);
    };
    visible(&[1], &[]);
    assert_eq!(get(store, &[id(2), id(3)]), [None, None]);
    assert_eq!(waiting_digits(store, None, 9), [4, 3, 2], "of all spaces");
    assert_eq!(waiting_digits(store, None, 1), [4]);
    assert_eq!(waiting_digits(store, Some(4), 1), [3]);
    let stats = store.stats(&space("default")).expect("it can be read");
    assert_eq!((stats.memories, stats.passages), (1, 1));
    assert_eq!((stats.forgotten, stats.quarantined), (0, 3));
    // Neither forgetting nor its undoing reaches them, nor a change.
    let forget = store.forget(&[id(2)], RequestKey(70)).expect("no error");
    let restore = store.restore(&[id(2)], RequestKey(71)).expect("no error");
    assert_eq!((forget, restore), (vec![false], vec![false]));
    visible(&[1], &[]);
    assert_eq!(
        judge(store, &[2, 1, 99], Verdict::Release),
        [true, false, false]
    );
    visible(&[1, 2], &[2]);
    let mut expected = wait(2, "two").memory;
    expected.quarantined = false;
    assert_eq!(get(store, &[id(2)]), [Some(expected)]);
    assert_eq!(judge(store, &[4, 2], Verdict::Discard), [true, false]);
    assert_eq!(judge(store, &[4], Verdict::Discard), [true], "once more");
    assert_eq!(waiting_digits(store, None, 9), [3]);
    let stats = store.stats(&space("default")).expect("it can be read");
    assert_eq!((stats.memories, stats.passages), (2, 2));
    assert_eq!((stats.forgotten, stats.quarantined), (1, 1));
    // What was discarded is not restored as forgotten memories are; the owner may think again.
    assert_eq!(
        store.restore(&[id(4)], RequestKey(72)).expect("no error"),
        [false]
    );
    visible(&[1, 2], &[2]);
    assert_eq!(judge(store, &[4], Verdict::Release), [true]);
    visible(&[1, 2, 4], &[4, 2]);
    // A released memory is as any other.
    assert_eq!(
        store.forget(&[id(4)], RequestKey(73)).expect("no error"),
        [true]
    );
    assert_eq!(
        judge(store, &[4], Verdict::Release),
        [true],
        "as decided before"
    );
    visible(&[1, 2], &[2]);
    assert_eq!(
        store.restore(&[id(4)], RequestKey(74)).expect("no error"),
        [true]
    );
    visible(&[1, 2, 4], &[4, 2]);
}

fn quarantine_touches_nothing_else(store: &dyn MemoryStore) {
    let first = tagged(record(1, "one", &[1.0]), &["a"]);
    insert(store, std::slice::from_ref(&first));
    let again = samples::waiting(once(tagged(record(2, "One!", &[1.0]), &["poison"])));
    assert_eq!(
        insert(store, std::slice::from_ref(&again)),
        [Inserted::Stored]
    );
    assert_eq!(get(store, &[id(1)]), [Some(first.memory)]);
    assert_eq!(
        insert(store, std::slice::from_ref(&again)),
        [Inserted::Before(again.memory)]
    );
    // What waits is no duplicate of anything.
    let other = samples::waiting(record(3, "three", &[1.0]));
    insert(store, &[other]);
    let fresh = once(record(4, "three", &[1.0]));
    assert_eq!(insert(store, &[fresh]), [Inserted::Stored]);
    assert_eq!(waiting_digits(store, None, 9), [3, 2]);
}

fn search_is_best_first_and_newer_first(store: &dyn MemoryStore) {
    let records = [
        record(4, "same words", &[1.0, 1.0]),
        record(1, "same words", &[-1.0]),
        record(3, "same words", &[1.0, 1.0]),
        record(2, "same words", &[1.0, 0.1]),
        record(5, "same words", &[0.0, 1.0]),
    ]
    .map(samples::alone);
    insert(store, &records);
    let hits = search(store, &[1.0], &everything(), 10);
    assert_eq!(hit_digits(&hits), [2, 4, 3, 5, 1]);
    for hit in &hits {
        let kept = records.iter().find(|r| r.memory.id == hit.memory.id);
        let kept = kept.expect("every hit was stored");
        let expected = dot(
            kept.passages[0].embedding.as_slice(),
            vector(&[1.0]).as_slice(),
        );
        assert!((hit.similarity - expected).abs() < 1e-5);
    }
    assert_eq!(hit_digits(&search(store, &[1.0], &everything(), 2)), [2, 4]);
    assert_eq!(search(store, &[1.0], &everything(), 0), []);
}

fn the_best_passage_counts_once(store: &dyn MemoryStore) {
    let mut long = record(1, "first half, second half", &[0.0, 1.0]);
    let mut near = long.passages[0].clone();
    long.passages[0].span.0 = 0..11;
    near.span.0 = 11..23;
    near.embedding = vector(&[1.0, 0.1]);
    let mut far = near.clone();
    far.embedding = vector(&[0.5, 0.6]);
    long.passages.extend([near, far]);
    let other = record(2, "another half, another half", &[1.0, 1.0]);
    insert(store, &[long, other].map(samples::alone));
    let hits = search(store, &[1.0], &everything(), 10);
    assert_eq!(hit_digits(&hits), [1, 2]);
    assert_eq!(hits[0].passage.0, 11..23);
    assert_eq!(hit_digits(&search(store, &[1.0], &everything(), 1)), [1]);
}

/// 60 memories over three tags and 60 moments, with a memory of another space after each.
fn mixed_records() -> Vec<MemoryRecord> {
    let mut rng = samples::Rng::new(1);
    let mut records = Vec::new();
    for digits in (2..=120_u64).step_by(2) {
        let tags: Vec<&str> = ["a", "b", "c"]
            .into_iter()
            .filter(|_| rng.below(2) == 0)
            .collect();
        let mut kept = tagged(record(digits, "text", &[1.0]), &tags);
        kept.passages[0].embedding = rng.vector();
        if digits % 6 == 0 {
            kept = samples::said(
                kept,
                ["Anna", "user"][rng.below(2)],
                ["one", "two"][rng.below(2)],
            );
        }
        records.push(kept);
        records.push(in_space(record(digits + 1, "text", &[1.0]), "other"));
    }
    records
}

/// Every combination of a few tag lists and times.
fn filters() -> Vec<Filter> {
    let lists = [
        vec![],
        vec![tag("a")],
        vec![tag("b"), tag("c")],
        vec![tag("no such tag")],
    ];
    let times = [
        None,
        Some(Timestamp::from_micros(40)),
        Some(Timestamp::from_micros(41)),
    ];
    let mut filters = Vec::new();
    for tags_any in &lists {
        for tags_all in &lists {
            for tags_none in &lists {
                for (since, until) in times.iter().flat_map(|s| times.map(|u| (*s, u))) {
                    filters.push(Filter {
                        space: space("default"),
                        tags_any: tags_any.clone(),
                        tags_all: tags_all.clone(),
                        tags_none: tags_none.clone(),
                        since,
                        until,
                        speaker: None,
                        session: None,
                    });
                }
            }
        }
    }
    let speakers = [None, Some("ANNA"), Some("nobody")];
    let sessions = [None, Some("one"), Some("One")];
    for (speaker, session) in speakers.iter().flat_map(|s| sessions.map(|t| (*s, t))) {
        filters.push(Filter {
            speaker: speaker.map(|name| Speaker::parse(name).expect("a valid name")),
            session: session.map(|name| SessionName::parse(name).expect("a valid name")),
            ..everything()
        });
    }
    filters
}

fn filters_agree_with_their_definition(store: &dyn MemoryStore) {
    let records = mixed_records();
    insert(store, &records);
    for filter in filters() {
        let matching = records
            .iter()
            .map(|r| &r.memory)
            .filter(|m| filter.matches(m));
        let mut expected = digits(matching);
        expected.reverse();
        assert_eq!(digits(&list(store, filter.clone(), 1000, None)), expected);
        let mut found = hit_digits(&search(store, &[1.0], &filter, 1000));
        found.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(found, expected, "{filter:?}");
    }
    let nowhere = Filter::everything_in(space("nowhere"));
    assert_eq!(search(store, &[1.0], &nowhere, 5), []);
    assert_eq!(list(store, nowhere, 5, None), []);
}

fn a_filter_never_cuts_results_short(store: &dyn MemoryStore) {
    // 300 near memories without the tag, 7 far ones with it.
    let mut records: Vec<MemoryRecord> = (1..=300)
        .map(|n| samples::alone(record(n, "near", &[1.0, 0.01])))
        .collect();
    let far = |n| samples::alone(tagged(record(n, "far", &[-1.0]), &["rare"]));
    records.extend((301..=307).map(far));
    insert(store, &records);
    let mut rare = everything();
    rare.tags_all = vec![tag("rare")];
    let expected: Vec<u64> = (301..=307).rev().collect();
    assert_eq!(hit_digits(&search(store, &[1.0], &rare, 20)), expected);
    assert_eq!(hit_digits(&search(store, &[1.0], &rare, 5)), expected[..5]);
    store
        .forget(&[id(300)], RequestKey(0))
        .expect("it is there");
    assert_eq!(search(store, &[1.0], &everything(), 20).len(), 20);
}

fn pages_lose_and_repeat_nothing(store: &dyn MemoryStore) {
    insert(store, &mixed_records());
    for filter in [everything(), {
        let mut tagged = everything();
        tagged.tags_any = vec![tag("a")];
        tagged
    }] {
        let whole = digits(&list(store, filter.clone(), 1000, None));
        assert!(whole.is_sorted_by(|a, b| a > b), "newest first, each once");
        let mut paged = Vec::new();
        while let page @ [_, ..] =
            digits(&list(store, filter.clone(), 7, paged.last().copied())).as_slice()
        {
            paged.extend_from_slice(page);
        }
        assert_eq!(paged, whole);
    }
    assert_eq!(list(store, everything(), 7, Some(2)), []);

    // Of all spaces at once each memory comes once, even if it is moved ahead or back meanwhile.
    let in_all = |filter: Filter, before: Option<MemoryId>| {
        let limit = ListPage::parse(7).expect("a valid page");
        let query = ListQuery {
            filter,
            all_spaces: true,
            limit,
            before,
        };
        store.list(&query).expect("the store can be read")
    };
    let (mut paged, mut filter) = (Vec::new(), everything());
    while let page @ [_, ..] = in_all(filter.clone(), paged.last().copied()).as_slice() {
        paged.extend(page.iter().map(|memory| memory.id));
        let name = format!("space {}", paged.len());
        let ids = [
            paged[0],
            paged[paged.len() - 1],
            id(paged[paged.len() - 1].digits() - 1),
        ];
        let what = Move::new(ids.to_vec(), space(&name), Source::default()).expect("they are few");
        let key = RequestKey(paged.len() as u128);
        store.move_memories(&what, key).expect("no error");
    }
    let kept: Vec<MemoryId> = mixed_records().iter().map(|it| it.memory.id).collect();
    assert!(
        paged.is_sorted_by(|a, b| a > b) && paged.len() == kept.len(),
        "{paged:?}"
    );
    filter.tags_any = vec![tag("a")];
    let tagged = in_all(filter.clone(), None);
    let expected = |memory: &&Memory| filter.matches_in_any_space(memory);
    assert!(!tagged.is_empty() && tagged.iter().filter(expected).count() == tagged.len());
}

fn stats_count(store: &dyn MemoryStore) {
    let empty = store.stats(&space("default")).expect("it can be read");
    assert_eq!((empty.memories, empty.space_memories), (0, 0));
    assert_eq!((empty.forgotten, empty.passages), (0, 0));
    assert_eq!(empty.spaces, []);
    let mut long = in_space(record(3, "three", &[1.0]), "b");
    long.passages.push(long.passages[0].clone());
    let records = [
        in_space(record(1, "one", &[1.0]), "b"),
        in_space(record(2, "two", &[1.0]), "a"),
        long,
    ];
    insert(store, &records);
    let stats = store.stats(&space("b")).expect("it can be read");
    assert_eq!((stats.memories, stats.space_memories), (3, 2));
    assert_eq!((stats.forgotten, stats.passages), (0, 4));
    assert_eq!(stats.spaces, [space("a"), space("b")]);
    assert_eq!(stats.model, model());
    let unknown = store.stats(&space("c")).expect("it can be read");
    assert_eq!((unknown.memories, unknown.space_memories), (3, 0));
}

fn wrong_dimensions_are_refused(store: &dyn MemoryStore) {
    let short = crate::Embedding::normalize(vec![1.0, 2.0, 2.0]).expect("it has a direction");
    assert!(samples::nearest(store, &short, &everything(), 5).is_err());
    let mut bad = record(2, "two", &[1.0]);
    bad.passages[0].embedding = short;
    assert!(store.insert(&[record(1, "one", &[1.0]), bad]).is_err());
    assert_eq!(list(store, everything(), 5, None), []);
}

/// Every promise of [`Embedder`]. `long` is a text beyond the window of the model.
///
/// # Panics
/// At the first promise that is broken.
pub fn embedder(embedder: &dyn Embedder, long: &str) {
    let texts = [
        "tea",
        "",
        "Größe 茶 🍵 \"quoted\"",
        "a b c d e f g",
        long,
        "tea",
    ];
    let batch = embedder.embed(&texts).expect("any text can be embedded");
    let passages = embedder
        .embed_passages(&texts)
        .expect("any text can be embedded");
    assert_eq!((batch.len(), passages.len()), (texts.len(), texts.len()));
    for ((text, row), parts) in texts.iter().zip(&batch).zip(&passages) {
        assert_eq!(row.dimensions(), embedder.model().dimensions);
        let length = dot(row.as_slice(), row.as_slice());
        assert!((length - 1.0).abs() < 1e-4, "{text:?} has length² {length}");
        let single = embedder.embed(&[text]).expect("it worked in a batch");
        assert!(near(&single[0], row), "{text:?}: single and batch differ");
        passages_cover(text, parts);
        if let [only] = parts.as_slice() {
            assert!(
                near(&only.embedding, row),
                "{text:?}: passage and text differ"
            );
        }
        let alone = embedder
            .embed_passages(&[text])
            .expect("it worked in a batch");
        let pairs = alone[0].iter().zip(parts);
        assert_eq!(alone[0].len(), parts.len());
        for (one, other) in pairs {
            assert_eq!(one.span, other.span);
            assert!(near(&one.embedding, &other.embedding));
        }
    }
    assert!(
        passages[4].len() > 1,
        "the long text needs several passages"
    );
    assert_eq!(embedder.embed(&[]).expect("no text is no error"), []);
    assert!(
        embedder
            .embed_passages(&[])
            .expect("no text is no error")
            .is_empty()
    );
}

fn near(a: &crate::Embedding, b: &crate::Embedding) -> bool {
    let pairs = a.as_slice().iter().zip(b.as_slice());
    a.dimensions() == b.dimensions() && pairs.into_iter().all(|(x, y)| (x - y).abs() <= 1e-6)
}

/// Every byte but white space lies in a passage; passages come in order, on character boundaries.
fn passages_cover(text: &str, passages: &[crate::Passage]) {
    assert!(!passages.is_empty(), "{text:?} has no passage");
    let mut covered = 0;
    let mut last_start = 0;
    for passage in passages {
        let span = passage.span.0.clone();
        assert!(span.start >= last_start, "{text:?}: passages out of order");
        if span.start > covered {
            let gap = text.get(covered..span.start).expect("character boundaries");
            assert!(gap.trim().is_empty(), "{text:?}: no passage has {gap:?}");
        }
        assert!(text.get(span.clone()).is_some(), "{text:?} has no {span:?}");
        last_start = span.start;
        covered = covered.max(span.end);
    }
    let rest = text.get(covered..).expect("character boundaries");
    assert!(rest.trim().is_empty(), "{text:?}: no passage has {rest:?}");
}

/// Every promise of [`PersonaSource`]. The source holds at least the persona `default` and none
/// named `no-such-persona`.
///
/// # Panics
/// At the first promise that is broken.
pub fn persona_source(source: &dyn PersonaSource) {
    let all = source.list().expect("the source can be listed");
    assert!(
        all.is_sorted_by(|a, b| a.name < b.name),
        "sorted by name, each once"
    );
    assert!(all.iter().any(|p| p.name == PersonaName::default_persona()));
    for persona in &all {
        let loaded = source.load(&persona.name).expect("a listed persona loads");
        assert_eq!(&loaded, persona);
    }
    let unknown = PersonaName::parse("no-such-persona").expect("the name is valid");
    let error = source.load(&unknown).expect_err("there is no such persona");
    assert_eq!(error.kind(), crate::ErrorKind::NotFound);
    assert!(error.to_string().contains(&unknown.file_name()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::Persona;
    use crate::test_support::doubles::{HashEmbedder, MemoryMap, PersonaMap};

    #[test]
    fn the_doubles_keep_every_promise() {
        memory_store(&|| Box::new(MemoryMap::new(model())));
        embedder(&HashEmbedder::new(), &"one two three four ".repeat(100));
        let persona = |name| {
            let name = PersonaName::parse(name).unwrap();
            Persona::new(name, "# Title\n\ntext".to_owned())
        };
        persona_source(&PersonaMap::new([persona("pirate"), persona("default")]));
    }

    #[test]
    fn texts_that_share_words_are_near() {
        let texts = [
            "the red cat sat",
            "the red cat slept",
            "quantum chromodynamics",
        ];
        let rows = HashEmbedder::new().embed(&texts).unwrap();
        let similar = dot(rows[0].as_slice(), rows[1].as_slice());
        assert!(similar > 0.7 && similar > dot(rows[0].as_slice(), rows[2].as_slice()));
    }
}
