//! [`SqliteStore`]: the store behind the port. It owns the connection, the index and the order in which
//! they change: commit first, index second, both before the next writer.

use crate::block::Block;
use crate::cleaning::{self, Cleanness};
use crate::fault::{Doing, Fault};
use crate::index::{Found, Index, IndexOptions, Obstacle, Work};
use crate::indexer::{Indexer, Signal};
use crate::lease::{Lease, LeaseFile};
use crate::load::Recipe;
use crate::open::{self, Database, Place, StoreInfo};
use crate::pages::{Disk, RealDisk};
use crate::turns::{Turn, Turns};
use crate::{backups, erase, folder, import, load, marks, read, rows, spaces, versions, write};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::time::{Duration, Instant};
use venom_core::embedding::dot;
use venom_core::ports::{
    Inserted, MemoryRecord, MemoryStore, MemoryUpdate, Search, VersionRestore,
};
use venom_core::recall::{Document, NewEntry, Spelling};
use venom_core::{
    Arrival, Backup, BackupNote, Content, Embedding, Emptied, Erased, Erasures, History, Hit,
    ImportKey, Imported, ListPage, ListQuery, Memory, MemoryId, ModelStamp, Move, Moved, Passage,
    Renamed, RequestKey, SpaceInfo, SpaceName, Stats, StoreError, TakenOver, Timestamp, Verdict,
    Version, Within,
};

/// Free space below which [`MemoryStore::check`] reports a full disk, in bytes (1 MiB).
/// Writes are tried all the same.
pub const FREE_BYTES_MIN: u64 = 1024 * 1024;

/// How often a search starts anew because a memory it found was forgotten under it.
const SEARCH_TRIES_MAX: usize = 100;
/// So many memories may wait to become a segment before whoever stores has to wait.
const WAITING_MAX: usize = 32_768;
/// Where a segment could not be made, it is tried again after this.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Memories that are scanned at a time: writers wait that long.
const SCANNED_AT_ONCE: usize = 512;
/// Best memories of a scan that are scored.
const SCANNED_KEPT: usize = 500;
/// So many memories of each gap that have the words of a question are scored too.
const SCANNED_BY_WORDS: usize = 200;

/// Memories in one SQLite file, what is searched derived from it: in memory for small spaces, beside it for large ones.
///
/// Safe to share: writers take turns and never wait for a search; searches run side by side and wait for a writer only
/// to look up tags and to fetch the text of what they found. Locks are taken in the order connection, index, pending.
#[derive(Debug)]
pub struct SqliteStore {
    /// First, so that the thread has ended before the database is closed.
    _indexer: Indexer,
    shared: Arc<Shared>,
}

/// What calls and the thread that makes segments share.
#[derive(Debug)]
pub(crate) struct Shared {
    model: ModelStamp,
    pub(crate) model_row: i64,
    pub(crate) info: StoreInfo,
    pub(crate) place: Place,
    pub(crate) recipe: Recipe,
    /// Held by whoever writes, before the connection: a cleaning that nobody may write beside, which alone writes without
    /// it, lets others read.
    pub(crate) writers: Turns<()>,
    state: Turns<State>,
    /// The database file, to be read while it stands still and cleaned. After the connection: see [`Database`].
    pub(crate) file: File,
    /// Held by whoever copies the database.
    pub(crate) copying: Mutex<()>,
    index: RwLock<Index>,
    /// What was committed and is not in the index yet, since somebody searched.
    pending: Mutex<Vec<Step>>,
    /// Why the index is not as the database says; then the store is of no use until it is opened again.
    out_of_step: OnceLock<String>,
    /// Memories in blocks that wait to become a segment.
    waiting: AtomicUsize,
    /// The spaces of which no segment could be made, and when that was tried.
    skipped: Mutex<HashMap<SpaceName, Instant>>,
    /// Why the last segment could not be made.
    indexing: Mutex<Option<String>>,
    pub(crate) signal: Arc<Signal>,
    pub(crate) cleaning: cleaning::Progress,
    /// Last, so that the database is closed before the folder is given up.
    _lease: Arc<LeaseFile>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) connection: Connection,
    /// Why no more writes are taken.
    failed: Option<String>,
}

/// What is done in the background.
#[derive(Debug)]
pub(crate) enum Task {
    /// Make a segment.
    Make(Work),
    /// Remove what is left of erased memories from the database file.
    Clean,
}

/// What a commit means for the index.
#[derive(Debug)]
pub(crate) enum Step {
    /// A memory came, or one is different now.
    Put {
        seq: i64,
        memory: Box<Memory>,
        vectors: Vec<f32>,
    },
    /// A memory went.
    Remove { space: SpaceName, seq: i64 },
    /// A space has another name.
    Rename { from: SpaceName, to: SpaceName },
    /// Memories went for good.
    Erase { rows: Vec<i64> },
}

impl SqliteStore {
    /// Opens the store in the folder of `lease`, made if there is none, and loads what is searched in memory
    /// (O(memories of small spaces)). The store keeps a share of the lease: the folder stays owned until both are
    /// dropped.
    ///
    /// # Errors
    /// [`StoreError::OtherModel`] if memories were embedded with another model than `model`;
    /// [`StoreError::Owned`], [`StoreError::Folder`], [`StoreError::NewerSchema`],
    /// [`StoreError::Corrupt`] or [`StoreError::DiskFull`] if the database cannot be used.
    pub fn open(lease: &Lease, model: &ModelStamp) -> Result<Self, StoreError> {
        Self::open_with(lease, model, &IndexOptions::default())
    }

    /// The same, searched in this way.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        lease: &Lease,
        model: &ModelStamp,
        options: &IndexOptions,
    ) -> Result<Self, StoreError> {
        load::expect_ends(lease.folder());
        // What is left is told by whoever erases; it is no reason not to open.
        let _ = folder::remove_left_copies(lease.folder());
        let database = open::open(&lease.share(), lease.folder())?;
        Self::with(database, lease, (model, options), Arc::new(RealDisk))
    }

    pub(crate) fn with(
        database: Database,
        lease: &Lease,
        (model, options): (&ModelStamp, &IndexOptions),
        disk: Arc<dyn Disk>,
    ) -> Result<Self, StoreError> {
        // Whatever fails, the connection is closed before the file.
        let Database {
            file,
            mut connection,
            place,
            info,
        } = database;
        let faulty = |fault: Fault| fault.into_store(&place.folder, Doing::Writing);
        let model_row = settle_model(&mut connection, model).map_err(faulty)?;
        let recipe = Recipe {
            disk,
            ..Recipe::new(&place.folder, (model_row, model), options)
        };
        let index = load::load(&connection, &recipe).map_err(faulty)?;
        let mark = marks::at(&connection, erase::CLEANING).map_err(faulty)?;
        let is_left = !load::leftovers(&recipe.folder, &index.segment_names()).is_empty();
        let cleaning = cleaning::Progress::new(mark.is_some() || is_left || index.has_erased());
        let signal = Arc::new(Signal::default());
        let shared = Arc::new(Shared {
            model: model.clone(),
            model_row,
            info,
            place,
            recipe,
            writers: Turns::new(()),
            state: Turns::new(State {
                connection,
                failed: None,
            }),
            file,
            copying: Mutex::default(),
            index: RwLock::new(index),
            pending: Mutex::default(),
            out_of_step: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            skipped: Mutex::default(),
            indexing: Mutex::default(),
            signal: signal.clone(),
            cleaning,
            _lease: lease.share(),
        });
        signal.wake();
        let indexer = Indexer::start(shared.clone(), signal)
            .map_err(|error| StoreError::Other(format!("no thread can be started: {error}")))?;
        Ok(Self {
            _indexer: indexer,
            shared,
        })
    }

    /// Whether a data folder has a space so large that a search of it needs [`IndexOptions::near`].
    pub fn has_large_space(data: &std::path::Path) -> bool {
        load::has_segments(data)
    }

    /// The largest id ever stored, forgotten ones included: new ids must be larger. O(1).
    pub fn largest_id(&self) -> Option<MemoryId> {
        self.shared.index().ok()?.largest_id
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How the data is kept.
    pub fn info(&self) -> StoreInfo {
        self.shared.info
    }

    /// Bytes that may still be written to the data folder's file system; `None` if it does not tell.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the folder is gone.
    pub fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.shared.room()?.free_bytes)
    }

    /// The state of a source of memories when all of it had been imported; `None` if that never happened.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn source_state(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.shared
            .read(|connection| import::source_state(connection, name))
    }

    /// Notes that all of a source in that state has been imported, and how much came by it, in addition to before.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is noted.
    pub fn note_source(&self, name: &str, state: &str, came: TakenOver) -> Result<(), StoreError> {
        let note =
            |tx: &Transaction<'_>| Ok((import::note_source(tx, (name, state), came)?, Vec::new()));
        self.shared.write(note)
    }

    /// Has somebody told whether the files have bytes of erased memories: now, and whenever that changes. Of several the
    /// last is told. It must not call the store.
    pub fn watch_cleanness(&self, observer: impl Fn(&Cleanness) + Send + Sync + 'static) {
        self.shared.cleaning.watch(Box::new(observer));
    }

    /// Waits until there is nothing to do in the background. For tests and benches.
    ///
    /// # Errors
    /// Why a segment could not be made.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.shared.settle()
    }

    /// How many memories words alone speak for, of those that a search considers by them: the part of a search that
    /// reads no vector. For benches.
    ///
    /// # Errors
    /// [`StoreError`] after a failure.
    pub fn ask_words(&self, search: &Search<'_>) -> Result<usize, StoreError> {
        Ok(self.shared.index()?.ask_words(search))
    }

    /// Has the thread look for work.
    #[cfg(test)]
    pub(crate) fn signal_for_tests(&self) {
        self.shared.forget_skipped();
        self.shared.signal.wake();
    }

    #[cfg(test)]
    pub(crate) fn with_connection<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        ask(&self.shared.state().unwrap().connection)
    }

    #[cfg(test)]
    pub(crate) fn with_index<T>(&self, ask: impl FnOnce(&Index) -> T) -> T {
        ask(&self.shared.index().unwrap())
    }
}

impl Shared {
    fn room(&self) -> Result<folder::Room, StoreError> {
        let folder = &self.place.folder;
        folder::room(folder).map_err(|e| folder::unusable(folder, &e))
    }

    pub(crate) fn state(&self) -> Result<Turn<'_, State>, StoreError> {
        self.state.lock().map_err(|_| after_panic())
    }

    /// The index with everything in it that was acknowledged. Waits for searches that run only if something came
    /// while they did.
    pub(crate) fn index(&self) -> Result<RwLockReadGuard<'_, Index>, StoreError> {
        loop {
            if let Some(reason) = self.out_of_step.get() {
                return Err(StoreError::Failed(reason.clone()));
            }
            let index = self.index.read().map_err(|_| after_panic())?;
            if self.pending.lock().map_err(|_| after_panic())?.is_empty() {
                return Ok(index);
            }
            drop(index);
            let skipped = self.skipped();
            if self.index_for_change()?.next_work(&skipped).is_some() {
                self.signal.wake();
            }
        }
    }

    /// The index with everything in it that was committed, to be changed.
    pub(crate) fn index_for_change(&self) -> Result<RwLockWriteGuard<'_, Index>, StoreError> {
        let mut index = self.index.write().map_err(|_| after_panic())?;
        self.apply(&mut index)?;
        Ok(index)
    }

    fn apply(&self, index: &mut Index) -> Result<(), StoreError> {
        let mut pending = self.pending.lock().map_err(|_| after_panic())?;
        for step in pending.drain(..) {
            let done = match &step {
                Step::Put {
                    seq,
                    memory,
                    vectors,
                } => index.change((&memory.space, *seq), entry(memory), vectors),
                Step::Remove { space, seq } => {
                    index.remove(space, *seq);
                    true
                }
                Step::Rename { from, to } => {
                    index.rename(from, to);
                    true
                }
                Step::Erase { rows } => {
                    index.erase(rows);
                    true
                }
            };
            if let (false, Step::Put { memory, .. }) = (done, &step) {
                let reason = format!("{} was stored but cannot be indexed", memory.id);
                return Err(StoreError::Failed(
                    self.out_of_step.get_or_init(|| reason).clone(),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn read<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let state = self.state()?;
        ask(&state.connection).map_err(|f| f.into_store(&self.place.folder, Doing::Reading))
    }

    /// Does something with the connection of a store that takes writes; a failure may be the end of that.
    pub(crate) fn with_sound_state<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut state = self.state()?;
        if let Some(reason) = &state.failed {
            return Err(StoreError::Failed(reason.clone()));
        }
        self.place.check()?;
        let done = work(&state.connection)
            .map_err(|fault| fault.into_store(&self.place.folder, Doing::Writing));
        if let Err(StoreError::Failed(reason)) = &done {
            state.failed = Some(reason.clone());
        }
        done
    }

    /// Commits a change, then makes it visible before anybody else can write.
    fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(T, Vec<Step>), Fault>,
    ) -> Result<T, StoreError> {
        let _writer = self.writer()?;
        self.write_in(&mut *self.state()?, change)
    }

    /// Waits until nobody else writes.
    pub(crate) fn writer(&self) -> Result<Turn<'_, ()>, StoreError> {
        self.writers.lock().map_err(|_| after_panic())
    }

    /// The same, in a turn that was begun.
    pub(crate) fn write_in<T>(
        &self,
        state: &mut State,
        change: impl FnOnce(&Transaction<'_>) -> Result<(T, Vec<Step>), Fault>,
    ) -> Result<T, StoreError> {
        if let Some(reason) = state.failed.as_ref().or(self.out_of_step.get()) {
            return Err(StoreError::Failed(reason.clone()));
        }
        if self.index.is_poisoned() {
            return Err(after_panic());
        }
        self.place.check()?;
        let done = commit(&mut state.connection, change)
            .map_err(|f| f.into_store(&self.place.folder, Doing::Writing))
            .and_then(|(done, steps)| {
                self.publish(steps)?;
                Ok(done)
            });
        if let Err(StoreError::Failed(reason)) = &done {
            state.failed = Some(reason.clone());
        }
        done
    }

    /// Changes the index, or leaves that to the next search if one runs now.
    fn publish(&self, steps: Vec<Step>) -> Result<(), StoreError> {
        self.pending
            .lock()
            .map_err(|_| after_panic())?
            .extend(steps);
        let has_work = match self.index.try_write() {
            Ok(mut index) => {
                self.apply(&mut index)?;
                self.waiting.store(index.waiting(), Ordering::Relaxed);
                index.next_work(&self.skipped()).is_some()
            }
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => return Err(after_panic()),
        };
        if has_work {
            self.signal.wake();
        }
        Ok(())
    }

    /// Memories that wait to become a segment.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Lets the making of segments catch up with whoever stores faster than that, so that memory is bounded. Nobody
    /// waits where none can be made.
    fn wait_for_room(&self) {
        while self.waiting() > WAITING_MAX
            && self.skipped().is_empty()
            && self.signal.wait_for_progress()
        {}
    }

    /// The spaces that are left alone for a while, so that what cannot be done for one keeps nobody from the others.
    fn skipped(&self) -> BTreeSet<SpaceName> {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.retain(|_, tried| tried.elapsed() < RETRY_AFTER);
        skipped.keys().cloned().collect()
    }

    /// What should be done next in the background: first what has erased memories in it.
    pub(crate) fn next_task(&self) -> Option<Task> {
        let skipped = self.skipped();
        let work = self.index().ok()?.next_work(&skipped);
        match work {
            Some(work) if !work.erases && self.cleaning_is_due() => Some(Task::Clean),
            Some(work) => Some(Task::Make(work)),
            None => self.cleaning_is_due().then_some(Task::Clean),
        }
    }

    /// Says that the index is not as the database says.
    pub(crate) fn lose_step(&self, reason: String) {
        let _ = self.out_of_step.set(reason);
    }

    /// Leaves no space alone any longer.
    pub(crate) fn forget_skipped(&self) {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.clear();
    }

    /// Notes how the making of a segment ended.
    pub(crate) fn indexing_ended(&self, space: &SpaceName, error: Option<StoreError>) {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_some() {
            skipped.insert(space.clone(), Instant::now());
        } else {
            skipped.remove(space);
        }
        drop(skipped);
        if let (Ok(index), None) = (self.index.read(), &error) {
            self.waiting.store(index.waiting(), Ordering::Relaxed);
        }
        let error = error.map(|error| error.to_string());
        self.cleaning.made(error.clone(), self.has_erased());
        *self.indexing.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.signal.wake();
        self.signal.wait_until_idle();
        let error = self
            .indexing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let error = error.or_else(|| self.cleaning.error());
        error.map_or(Ok(()), |error| Err(StoreError::Other(error)))
    }

    fn check_dimensions(&self, embedding: &Embedding) -> Result<(), StoreError> {
        let (expected, received) = (self.model.dimensions, embedding.dimensions());
        if expected == received {
            return Ok(());
        }
        Err(StoreError::Other(format!(
            "expected a vector of {expected} dimensions, received {received}"
        )))
    }

    /// Checks what the types do not say, before anything is written.
    fn check_passages(
        &self,
        id: MemoryId,
        content: &Content,
        passages: &[Passage],
    ) -> Result<(), StoreError> {
        if passages.is_empty() {
            return Err(StoreError::Other(format!(
                "expected at least one passage for {id}, received none"
            )));
        }
        for passage in passages {
            self.check_dimensions(&passage.embedding)?;
            let span = &passage.span.0;
            if content.as_str().get(span.clone()).is_none() {
                return Err(StoreError::Other(format!(
                    "expected a passage within the text of {id}, received bytes {span:?}"
                )));
            }
        }
        Ok(())
    }

    /// The best memories of a space and what must be known of them to read them.
    fn find(&self, search: &Search<'_>) -> Result<Vec<Found>, StoreError> {
        let space = &search.filter.space;
        loop {
            let selection = self.read(|connection| read::selection(connection, search.filter))?;
            let gaps = self.index()?.gaps(space);
            let scanned = match gaps.as_slice() {
                [] => None,
                gaps => {
                    self.signal.wake();
                    Some(self.scan(search, gaps)?)
                }
            };
            let index = self.index()?;
            // What could not be read a moment ago is a gap now; one that was closed meanwhile may be scanned in vain.
            let is_covered =
                |gap: &(i64, i64)| gaps.iter().any(|old| old.0 <= gap.0 && gap.1 <= old.1);
            if !index.gaps(space).iter().all(is_covered) {
                continue;
            }
            let found = index.search(search, &selection, scanned.as_ref());
            drop(index);
            match found {
                Ok(found) => return Ok(found),
                Err(obstacle) => self.give_up(space, &obstacle)?,
            }
        }
    }

    /// The memories of the gaps that vectors speak for most, by comparing all of them, and those that words do, as they
    /// stand. O(memories in the gaps).
    fn scan(&self, search: &Search<'_>, gaps: &[(i64, i64)]) -> Result<Block, StoreError> {
        let (key, query) = ((self.model_row, search.filter), search.vector.as_slice());
        let mut near: Vec<(f32, i64)> = Vec::new();
        let mut vector = Vec::new();
        for (first, last) in gaps {
            let mut next = *first;
            loop {
                let mut each = |seq: i64, column: &[u8]| {
                    vector.clear();
                    if rows::decode_vector(column, query.len(), &mut vector).is_some() {
                        let cosine = dot(&vector, query);
                        match near.last_mut().filter(|(_, last)| *last == seq) {
                            Some(best) => best.0 = best.0.max(cosine),
                            None => near.push((cosine, seq)),
                        }
                    }
                };
                let reached = self.read(|connection| {
                    read::scan(connection, key, (next, *last), SCANNED_AT_ONCE, &mut each)
                })?;
                let Some(reached) = reached else { break };
                next = reached + 1;
            }
        }
        if near.len() > SCANNED_KEPT {
            near.select_nth_unstable_by(SCANNED_KEPT, |a, b| b.0.total_cmp(&a.0));
            near.truncate(SCANNED_KEPT);
        }
        let mut candidates: BTreeSet<i64> = near.into_iter().map(|(_, seq)| seq).collect();
        let mut block = Block::new(query.len(), self.recipe.options.stemming);
        self.read(|connection| {
            for gap in gaps {
                let words = search.question.content_words();
                let found =
                    read::with_words(connection, search.filter, *gap, words, SCANNED_BY_WORDS)?;
                candidates.extend(found);
            }
            for seq in candidates {
                if let Some(memory) = read::indexable(connection, self.recipe.model, seq)? {
                    block.add(seq, memory.entry(), |v| {
                        v.extend_from_slice(&memory.vectors);
                    });
                }
            }
            Ok(())
        })?;
        Ok(block)
    }

    /// Does without segments that cannot be read, and has them made anew.
    fn give_up(
        &self,
        space: &SpaceName,
        Obstacle::Broken(which): &Obstacle,
    ) -> Result<(), StoreError> {
        let mut index = self.index_for_change()?;
        // Another search may have done it before. The names are free again before anybody can make them anew.
        for name in index.drop_broken(space, which) {
            name.remove(&self.recipe.folder);
        }
        drop(index);
        self.signal.wake();
        Ok(())
    }

    /// Hits with the words that matched, where the search is to be explained.
    fn explained(&self, search: &Search<'_>, mut hits: Vec<Hit>) -> Result<Vec<Hit>, StoreError> {
        if let Some(sought) = self.index()?.sought(search) {
            for hit in &mut hits {
                hit.matched_words = sought.matched_words(hit.memory.content.as_str());
            }
        }
        Ok(hits)
    }

    /// What a memory in a row means for the index.
    fn put(&self, tx: &Transaction<'_>, seq: i64, memory: &Memory) -> Result<Step, Fault> {
        Ok(Step::Put {
            seq,
            memory: Box::new(memory.clone()),
            vectors: read::vectors(tx, self.recipe.model, seq)?,
        })
    }

    /// What it means that these memories are visible again.
    fn put_all(
        &self,
        tx: &Transaction<'_>,
        shown: &[(SpaceName, i64)],
    ) -> Result<Vec<Step>, Fault> {
        let steps = shown.iter().map(|(_, seq)| {
            let memory = read::memory_in_row(tx, *seq)?;
            self.put(tx, *seq, &memory)
        });
        steps.collect()
    }
}

/// Settles the model and drops old request keys. Returns the row of the model.
fn settle_model(connection: &mut Connection, model: &ModelStamp) -> Result<i64, Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let model_row = match read::active_model(&tx)? {
        Some((row, stored)) if stored == *model => row,
        Some((_, stored)) if !read::is_empty(&tx)? => {
            return Err(Fault::Store(StoreError::OtherModel {
                stored: Box::new(stored),
                configured: Box::new(model.clone()),
            }));
        }
        _ => {
            let row = write::model_row(&tx, model)?;
            write::switch_model(&tx, row)?;
            row
        }
    };
    write::prune_requests(&tx)?;
    tx.commit()?;
    Ok(model_row)
}

/// Runs `change` in a transaction; on any error nothing of it stays.
pub(crate) fn commit<T>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = change(&tx)?;
    tx.commit()?;
    Ok(done)
}

fn after_panic() -> StoreError {
    StoreError::Failed("a call panicked while it changed the store, see the log".to_owned())
}

impl MemoryStore for SqliteStore {
    fn insert(&self, records: &[MemoryRecord]) -> Result<Vec<Inserted>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &self.shared;
        for record in records {
            let memory = &record.memory;
            shared.check_passages(memory.id, &memory.content, &record.passages)?;
        }
        shared.wait_for_room();
        shared.write(|tx| {
            let answers = write::insert(tx, shared.model_row, records)?;
            let mut steps = Vec::with_capacity(answers.len());
            for (record, (answer, seq)) in records.iter().zip(&answers) {
                match answer {
                    Inserted::Stored if record.memory.quarantined => {}
                    Inserted::Stored => steps.push(Step::Put {
                        seq: *seq,
                        memory: Box::new(record.memory.clone()),
                        vectors: rows_of(&record.passages),
                    }),
                    Inserted::Duplicate(memory) => steps.push(shared.put(tx, *seq, memory)?),
                    Inserted::Before(_) => {}
                }
            }
            Ok((
                answers.into_iter().map(|(answer, _)| answer).collect(),
                steps,
            ))
        })
    }

    fn known(&self, arrivals: &[Arrival]) -> Result<Vec<Option<MemoryId>>, StoreError> {
        // One by one, so that others come in between.
        let known = arrivals.iter().map(|arrival| {
            self.shared
                .read(|connection| import::known(connection, arrival))
        });
        known.collect()
    }

    fn note_known(&self, known: &[(ImportKey, MemoryId)]) -> Result<(), StoreError> {
        // A run that adds nothing writes nothing.
        let new = self.shared.read(|connection| {
            let mut new = Vec::new();
            for one in known {
                if !import::is_noted(connection, one.0)? {
                    new.push(one);
                }
            }
            Ok(new)
        })?;
        if new.is_empty() {
            return Ok(());
        }
        self.shared.write(|tx| {
            for (key, id) in new {
                import::note_known(tx, *key, *id)?;
            }
            Ok(((), Vec::new()))
        })
    }

    fn import(&self, arrivals: &[(Arrival, Vec<Passage>)]) -> Result<Vec<Imported>, StoreError> {
        if arrivals.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &self.shared;
        for (Arrival { memory, .. }, passages) in arrivals {
            shared.check_passages(memory.id, &memory.content, passages)?;
        }
        shared.wait_for_room();
        shared.write(|tx| {
            let (mut answers, mut steps) = (Vec::with_capacity(arrivals.len()), Vec::new());
            for (arrival, passages) in arrivals {
                let (answer, stored) = import::import(tx, shared.model_row, (arrival, passages))?;
                answers.push(answer);
                steps.extend(stored.map(|(seq, memory)| Step::Put {
                    seq,
                    memory: Box::new(memory),
                    vectors: rows_of(passages),
                }));
            }
            Ok((answers, steps))
        })
    }

    fn update_within(
        &self,
        update: &MemoryUpdate,
        within: &Within,
    ) -> Result<Option<Memory>, StoreError> {
        let shared = &self.shared;
        let id = update.change.id;
        match &update.change.content {
            Some(content) => shared.check_passages(id, content, &update.passages)?,
            None if !update.passages.is_empty() => {
                let error = format!("expected no passage for {id}, whose text stays");
                return Err(StoreError::Other(error));
            }
            None => {}
        }
        shared.write(|tx| {
            let updated = write::update(tx, shared.model_row, (update, within))?;
            let steps = match &updated {
                Some((seq, memory, true)) => vec![shared.put(tx, *seq, memory)?],
                _ => Vec::new(),
            };
            Ok((updated.map(|(_, memory, _)| memory), steps))
        })
    }

    fn get(&self, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>, StoreError> {
        self.shared
            .read(|connection| ids.iter().map(|id| read::memory(connection, *id)).collect())
    }

    fn search(&self, search: &Search<'_>) -> Result<Vec<Hit>, StoreError> {
        let shared = &self.shared;
        shared.check_dimensions(search.vector)?;
        let key = (shared.model_row, search);
        for _ in 0..SEARCH_TRIES_MAX {
            let found = shared.find(search)?;
            if let Some(hits) = shared.read(|connection| read::hits(connection, key, &found))? {
                return shared.explained(search, hits);
            }
        }
        Err(StoreError::Corrupt(
            "a memory that was indexed is not as in the tables".to_owned(),
        ))
    }

    fn speakers(&self, space: &SpaceName) -> Result<Vec<String>, StoreError> {
        Ok(self.shared.index()?.speakers(space))
    }

    fn spellings(&self, space: &SpaceName, words: &[String]) -> Result<Vec<Spelling>, StoreError> {
        Ok(self.shared.index()?.spellings(space, words))
    }

    fn list(&self, query: &ListQuery) -> Result<Vec<Memory>, StoreError> {
        self.shared.read(|connection| read::list(connection, query))
    }

    fn forget_within(
        &self,
        ids: &[MemoryId],
        within: &Within,
        request: RequestKey,
    ) -> Result<Vec<bool>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.write(|tx| {
            let forgotten = write::forget(tx, self.shared.model_row, (ids, within), request)?;
            let rows = forgotten.rows.into_iter();
            let steps = rows.map(|(space, seq)| Step::Remove { space, seq });
            Ok((forgotten.answers, steps.collect()))
        })
    }

    fn restore_within(
        &self,
        ids: &[MemoryId],
        within: &Within,
        request: RequestKey,
    ) -> Result<Vec<bool>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.write(|tx| {
            let restored = write::restore(tx, self.shared.model_row, (ids, within), request)?;
            let steps = self.shared.put_all(tx, &restored.rows)?;
            Ok((restored.answers, steps))
        })
    }

    fn history(&self, id: MemoryId) -> Result<Option<History>, StoreError> {
        self.shared
            .read(|connection| versions::history(connection, id))
    }

    fn version(&self, id: MemoryId, number: u32) -> Result<Option<Version>, StoreError> {
        self.shared
            .read(|connection| versions::version(connection, id, number))
    }

    fn restore_version(&self, restore: &VersionRestore) -> Result<Option<Memory>, StoreError> {
        let shared = &self.shared;
        for passage in &restore.passages {
            shared.check_dimensions(&passage.embedding)?;
        }
        shared.write(|tx| {
            let restored = versions::restore(tx, shared.model_row, restore)?;
            let Some(restored) = restored else {
                return Ok((None, Vec::new()));
            };
            let steps = match &restored.memory {
                Some(memory) if restored.is_new => vec![shared.put(tx, restored.seq, memory)?],
                _ => Vec::new(),
            };
            Ok((restored.memory, steps))
        })
    }

    fn erase(&self, ids: &[MemoryId], now: Timestamp) -> Result<Erasures, StoreError> {
        self.shared.erase(ids, now)
    }

    fn erase_due(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<MemoryId>, StoreError> {
        self.shared.erase_due(before, now, limit)
    }

    fn erased(&self, ids: &[MemoryId]) -> Result<Vec<Option<Erased>>, StoreError> {
        self.shared.erased(ids)
    }

    fn quarantined(
        &self,
        before: Option<MemoryId>,
        limit: ListPage,
    ) -> Result<Vec<Memory>, StoreError> {
        self.shared
            .read(|connection| read::quarantined(connection, before, limit.get()))
    }

    fn judge(&self, ids: &[MemoryId], verdict: Verdict) -> Result<Vec<bool>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.shared.write(|tx| {
            let judged = write::judge(tx, self.shared.model_row, ids, verdict)?;
            let steps = self.shared.put_all(tx, &judged.rows)?;
            Ok((judged.answers, steps))
        })
    }

    fn spaces(&self) -> Result<Vec<SpaceInfo>, StoreError> {
        self.shared.read(spaces::list)
    }

    fn create_space(&self, space: &SpaceName) -> Result<bool, StoreError> {
        self.shared
            .write(|tx| Ok((spaces::create(tx, space)?, Vec::new())))
    }

    fn rename_space(&self, from: &SpaceName, to: &SpaceName) -> Result<Renamed, StoreError> {
        self.shared.write(|tx| {
            let renamed = spaces::rename(tx, from, to)?;
            let step = Step::Rename {
                from: from.clone(),
                to: to.clone(),
            };
            let is_new = renamed == spaces::Rename::Now;
            Ok((renamed.into(), is_new.then_some(step).into_iter().collect()))
        })
    }

    fn move_memories(&self, what: &Move, request: RequestKey) -> Result<Vec<Moved>, StoreError> {
        let shared = &self.shared;
        shared.wait_for_room();
        shared.write(|tx| {
            let (answers, arrived) = spaces::move_memories(tx, shared.model_row, what, request)?;
            let mut steps = Vec::with_capacity(2 * arrived.len());
            for spaces::Arrived { seq, from, memory } in arrived {
                steps.push(Step::Remove { space: from, seq });
                steps.push(shared.put(tx, seq, &memory)?);
            }
            Ok((answers, steps))
        })
    }

    fn empty_space(&self, space: &SpaceName, most: usize) -> Result<Option<Emptied>, StoreError> {
        self.shared.write(|tx| {
            let emptied = spaces::empty(tx, self.shared.model_row, (space, most))?;
            let Some((emptied, hidden)) = emptied else {
                return Ok((None, Vec::new()));
            };
            let steps = hidden.into_iter().map(|seq| Step::Remove {
                space: space.clone(),
                seq,
            });
            Ok((Some(emptied), steps.collect()))
        })
    }

    fn stats(&self, space: &SpaceName) -> Result<Stats, StoreError> {
        let shared = &self.shared;
        let stats = shared.read(|connection| read::stats(connection, space, &shared.model))?;
        Ok(Stats {
            database_bytes: shared.place.bytes(),
            location: shared.place.folder.display().to_string(),
            storage: shared.info.to_string(),
            rebuilding: shared.index()?.with_gaps() as u64,
            unclean: shared.cleaning.trouble(Instant::now()),
            ..stats
        })
    }

    fn note_backups(&self, note: &BackupNote) -> Result<(), StoreError> {
        self.shared
            .write(|tx| Ok((backups::note(tx, note)?, Vec::new())))
    }

    fn backups(&self) -> Result<Vec<Backup>, StoreError> {
        self.shared.read(backups::all)
    }

    fn check(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        if let Some(reason) = &shared.state()?.failed {
            return Err(StoreError::Failed(reason.clone()));
        }
        drop(shared.index()?);
        shared.place.check()?;
        shared.read(read::probe)?;
        let room = shared.room()?;
        if room.read_only {
            let folder = shared.place.folder.display();
            return Err(StoreError::Folder(format!(
                "the data folder {folder} cannot be used: expected a folder that takes writes, found \
                 a read-only file system"
            )));
        }
        match room.free_bytes {
            Some(free) if free < FREE_BYTES_MIN => Err(StoreError::DiskFull),
            _ => Ok(()),
        }
    }
}

/// The vectors of passages, one after the other.
fn rows_of(passages: &[Passage]) -> Vec<f32> {
    let vectors = passages.iter().map(|passage| passage.embedding.as_slice());
    vectors.collect::<Vec<_>>().concat()
}

fn entry(memory: &Memory) -> NewEntry<'_> {
    NewEntry {
        id: memory.id,
        stored_at: memory.stored_at,
        origin: &memory.origin,
        document: Document::new(&memory.origin, &memory.content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;
    use venom_core::test_support::samples::{model, record, space};

    #[test]
    fn after_a_failed_sync_no_more_writes_are_taken() {
        let root = tempfile::tempdir().unwrap();
        let lease = Lease::try_acquire(root.path()).unwrap();
        let store = SqliteStore::open(&lease, &model()).unwrap();
        let records = [record(1, "one", &[1.0])];
        let failed = store.shared.write(|tx| {
            write::insert(tx, store.shared.model_row, &records)?;
            let code = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
            Err::<((), _), _>(Fault::from(rusqlite::Error::SqliteFailure(code, None)))
        });
        assert!(matches!(failed, Err(StoreError::Failed(_))));
        assert!(matches!(store.insert(&records), Err(StoreError::Failed(_))));
        assert!(matches!(store.check(), Err(StoreError::Failed(_))));
        assert_eq!(store.stats(&space("default")).unwrap().memories, 0);
        drop(store);
        let store = SqliteStore::open(&lease, &model()).unwrap();
        assert_eq!(store.insert(&records).unwrap(), [Inserted::Stored]);
    }
}
