//! Changing the model: whole, interrupted, and taken up again.

use super::Folders;
use crate::{Lease, SqliteStore, reembed};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use venom_core::ports::{MemoryRecord, MemoryStore, Vocabulary};
use venom_core::test_support::doubles::HashEmbedder;
use venom_core::test_support::samples::{id, nearest, record, space};
use venom_core::{
    EmbedError, Embedder, Embedding, Error, Filter, ModelStamp, Passage, RequestKey, StoreError,
};

const MEMORIES: u64 = 200;

/// Fails after so many batches.
struct Failing<'a> {
    inner: &'a HashEmbedder,
    batches_left: AtomicUsize,
}

impl Embedder for Failing<'_> {
    fn model(&self) -> &ModelStamp {
        self.inner.model()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        self.inner.embed(texts)
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<Passage>>, EmbedError> {
        let left = self.batches_left.load(Ordering::SeqCst);
        let left = left.checked_sub(1);
        let left = left.ok_or_else(|| EmbedError::Inference("on purpose".to_owned()))?;
        self.batches_left.store(left, Ordering::SeqCst);
        self.inner.embed_passages(texts)
    }

    fn vocabulary(&self) -> &dyn Vocabulary {
        self.inner.vocabulary()
    }
}

fn old_model() -> HashEmbedder {
    HashEmbedder::with("old", 64, 8)
}

fn new_model() -> HashEmbedder {
    HashEmbedder::with("new", 96, 4)
}

fn text(digits: u64) -> String {
    format!(
        "memory number{digits} is about topic{} and needs several passages",
        digits % 7
    )
}

fn embedded(digits: u64, embedder: &dyn Embedder) -> MemoryRecord {
    let text = text(digits);
    let passages = embedder.embed_passages(&[&text]).unwrap().pop().unwrap();
    MemoryRecord {
        passages,
        ..record(digits, &text, &[1.0])
    }
}

fn lease(folder: &Path) -> Lease {
    Lease::try_acquire(folder).unwrap()
}

/// A folder of the old model with one forgotten memory.
fn fill(folder: &Path) {
    let old = old_model();
    let store = SqliteStore::open(&lease(folder), old.model()).unwrap();
    let records: Vec<_> = (1..=MEMORIES).map(|n| embedded(n, &old)).collect();
    store.insert(&records).unwrap();
    store.forget(&[id(13)], RequestKey(0)).unwrap();
}

/// Every memory is found by its own text, and the counters count.
fn check_whole(folder: &Path, embedder: &dyn Embedder) {
    let store = SqliteStore::open(&lease(folder), embedder.model()).unwrap();
    let filter = Filter::everything_in(space("default"));
    for digits in (1..=MEMORIES).filter(|digits| *digits != 13) {
        let passages = embedder.embed_passages(&[&text(digits)]).unwrap();
        let hits = nearest(&store, &passages[0][0].embedding, &filter, 1).unwrap();
        assert!((hits[0].similarity - 1.0).abs() < 1e-5, "{digits}");
    }
    let passages = embedder.embed_passages(&[&text(1)]).unwrap()[0].len();
    let stats = store.stats(&space("default")).unwrap();
    assert_eq!((stats.memories, stats.forgotten), (MEMORIES - 1, 1));
    let visible = usize::try_from(stats.memories).unwrap();
    assert_eq!(stats.passages, (visible * passages) as u64);
    assert_eq!(stats.model, *embedder.model());
}

#[test]
fn all_memories_move_to_the_new_model() {
    let folder = Folders::new().fresh();
    fill(&folder);
    let mut told = Vec::new();
    let count = reembed(&lease(&folder), &new_model(), &mut |done, all| {
        told.push((done, all));
    });
    assert_eq!(count.unwrap(), MEMORIES);
    assert_eq!(
        told,
        [(0, 200), (64, 200), (128, 200), (192, 200), (200, 200)]
    );
    check_whole(&folder, &new_model());
    let old = SqliteStore::open(&lease(&folder), old_model().model());
    assert!(matches!(old, Err(StoreError::OtherModel { .. })));
    let again = reembed(&lease(&folder), &new_model(), &mut |_, _| ());
    assert_eq!(again.unwrap(), 0, "nothing is left to do");
}

#[test]
fn an_interrupted_run_keeps_the_old_model_and_is_taken_up_again() {
    let folder = Folders::new().fresh();
    fill(&folder);
    let new = new_model();
    let failing = Failing {
        inner: &new,
        batches_left: AtomicUsize::new(2),
    };
    let failed = reembed(&lease(&folder), &failing, &mut |_, _| ());
    assert!(matches!(failed, Err(Error::Embed(_))));
    check_whole(&folder, &old_model());
    // The store goes on with the old model; what it does meanwhile is not lost.
    let store = SqliteStore::open(&lease(&folder), old_model().model()).unwrap();
    store
        .insert(&[embedded(MEMORIES + 1, &old_model())])
        .unwrap();
    store.forget(&[id(MEMORIES + 1)], RequestKey(0)).unwrap();
    drop(store);
    let mut first = None;
    let count = reembed(&lease(&folder), &new, &mut |done, _| {
        first.get_or_insert(done);
    });
    assert_eq!((first, count.unwrap()), (Some(128), MEMORIES + 1 - 128));
    let store = SqliteStore::open(&lease(&folder), new.model()).unwrap();
    let stats = store.stats(&space("default")).unwrap();
    assert_eq!((stats.memories, stats.forgotten), (MEMORIES - 1, 2));
}

#[test]
fn a_third_model_leaves_nothing_of_an_interrupted_second() {
    let folder = Folders::new().fresh();
    fill(&folder);
    let new = new_model();
    let failing = Failing {
        inner: &new,
        batches_left: AtomicUsize::new(1),
    };
    reembed(&lease(&folder), &failing, &mut |_, _| ()).unwrap_err();
    let third = HashEmbedder::with("third", 32, 16);
    assert_eq!(
        reembed(&lease(&folder), &third, &mut |_, _| ()).unwrap(),
        MEMORIES
    );
    check_whole(&folder, &third);
    let store = SqliteStore::open(&lease(&folder), third.model()).unwrap();
    let models = store.with_connection(|c| {
        c.query_row("SELECT count(DISTINCT model) FROM passages", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    assert_eq!(models.unwrap(), 1);
}
