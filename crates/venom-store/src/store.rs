//! [`SqliteStore`]: the store behind the port. It owns the connection, the index and the order in which
//! they change: commit first, index second, both before the next writer.

use crate::fault::{Doing, Fault};
use crate::folder;
use crate::index::{Found, Index, Selection};
use crate::lease::{Lease, LeaseFile};
use crate::open::{self, Database, Place, StoreInfo};
use crate::{read, write};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};
use venom_core::ports::{Inserted, MemoryRecord, MemoryStore, MemoryUpdate, Search};
use venom_core::recall::{Document, NewEntry, Spelling, Stemming};
use venom_core::{
    Content, Embedding, Hit, ListQuery, Memory, MemoryId, ModelStamp, Passage, RequestKey,
    SpaceName, Stats, StoreError,
};

/// Free space below which [`MemoryStore::check`] reports a full disk, in bytes (1 MiB).
/// Writes are tried all the same.
pub const FREE_BYTES_MIN: u64 = 1024 * 1024;

/// How often a search starts anew because a memory it found was forgotten under it, before it shuts
/// writers out.
const SEARCH_TRIES_MAX: usize = 3;

/// Memories in one SQLite file, their vectors in an exact index in memory.
///
/// Safe to share: writers take turns, searches scan side by side and wait for a writer only to look
/// up tags and to fetch the text of what they found. Locks are taken in the order connection, index.
#[derive(Debug)]
pub struct SqliteStore {
    model: ModelStamp,
    model_row: i64,
    info: StoreInfo,
    place: Place,
    state: Mutex<State>,
    index: RwLock<Index>,
    /// Last, so that the database is closed before the folder is given up.
    _lease: Arc<LeaseFile>,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// Why no more writes are taken.
    failed: Option<String>,
}

impl SqliteStore {
    /// Opens the store in the folder of `lease`, made if there is none, and loads its vectors
    /// (O(vectors)). The store keeps a share of the lease: the folder stays owned until both are
    /// dropped.
    ///
    /// # Errors
    /// [`StoreError::OtherModel`] if memories were embedded with another model than `model`;
    /// [`StoreError::Owned`], [`StoreError::Folder`], [`StoreError::NewerSchema`],
    /// [`StoreError::Corrupt`] or [`StoreError::DiskFull`] if the database cannot be used.
    pub fn open(lease: &Lease, model: &ModelStamp) -> Result<Self, StoreError> {
        Self::open_stemmed(lease, model, Stemming::default())
    }

    /// The same, with texts stemmed in this way. It may differ from one opening to the next.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_stemmed(
        lease: &Lease,
        model: &ModelStamp,
        stemming: Stemming,
    ) -> Result<Self, StoreError> {
        let database = open::open(&lease.share(), lease.folder())?;
        Self::with(database, lease, (model, stemming))
    }

    pub(crate) fn with(
        database: Database,
        lease: &Lease,
        (model, stemming): (&ModelStamp, Stemming),
    ) -> Result<Self, StoreError> {
        let Database {
            mut connection,
            place,
            info,
        } = database;
        let opened = start(&mut connection, model, stemming);
        let (model_row, index) = opened.map_err(|f| f.into_store(&place.folder, Doing::Writing))?;
        Ok(Self {
            model: model.clone(),
            model_row,
            info,
            place,
            state: Mutex::new(State {
                connection,
                failed: None,
            }),
            index: RwLock::new(index),
            _lease: lease.share(),
        })
    }

    /// The largest id ever stored, forgotten ones included: new ids must be larger. O(1).
    pub fn largest_id(&self) -> Option<MemoryId> {
        self.index().ok()?.largest_id
    }

    /// How the data is kept.
    pub const fn info(&self) -> StoreInfo {
        self.info
    }

    /// Bytes that may still be written to the data folder's file system; `None` if it does not tell.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the folder is gone.
    pub fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.room()?.free_bytes)
    }

    fn room(&self) -> Result<folder::Room, StoreError> {
        let folder = &self.place.folder;
        folder::room(folder).map_err(|e| folder::unusable(folder, &e))
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        self.state.lock().map_err(|_| after_panic())
    }

    fn index(&self) -> Result<RwLockReadGuard<'_, Index>, StoreError> {
        self.index.read().map_err(|_| after_panic())
    }

    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let state = self.state()?;
        ask(&state.connection).map_err(|f| f.into_store(&self.place.folder, Doing::Reading))
    }

    /// Commits a change, then brings the index up to date before anybody else can write.
    fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
        publish: impl FnOnce(&mut Index, &T) -> Result<(), StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state()?;
        if let Some(reason) = &state.failed {
            return Err(StoreError::Failed(reason.clone()));
        }
        if self.index.is_poisoned() {
            return Err(after_panic());
        }
        self.place.check()?;
        let done = commit(&mut state.connection, change)
            .map_err(|f| f.into_store(&self.place.folder, Doing::Writing))
            .and_then(|done| {
                let mut index = self.index.write().map_err(|_| after_panic())?;
                publish(&mut index, &done)?;
                Ok(done)
            });
        if let Err(StoreError::Failed(reason)) = &done {
            state.failed = Some(reason.clone());
        }
        done
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

    fn scan(&self, search: &Search<'_>, selection: &Selection) -> Result<Vec<Found>, StoreError> {
        Ok(self.index()?.search(search, selection))
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

    #[cfg(test)]
    pub(crate) fn with_connection<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        ask(&self.state().unwrap().connection)
    }

    #[cfg(test)]
    pub(crate) fn with_index<T>(&self, ask: impl FnOnce(&Index) -> T) -> T {
        ask(&self.index().unwrap())
    }
}

/// Settles the model, drops old request keys and loads the index.
fn start(
    connection: &mut Connection,
    model: &ModelStamp,
    stemming: Stemming,
) -> Result<(i64, Index), Fault> {
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
    let index = read::load_index(connection, (model_row, model), stemming)?;
    Ok((model_row, index))
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
        for record in records {
            let memory = &record.memory;
            self.check_passages(memory.id, &memory.content, &record.passages)?;
        }
        let answers = self.write(
            |tx| write::insert(tx, self.model_row, records),
            |index, answers| {
                for (record, (answer, seq)) in records.iter().zip(answers) {
                    match answer {
                        Inserted::Stored => {
                            let vectors = rows_of(&record.passages);
                            add_to_index(index, &record.memory, *seq, &vectors)?;
                        }
                        Inserted::Duplicate(memory) => change_in_index(index, memory, *seq, None)?,
                        Inserted::Before(_) => {}
                    }
                }
                Ok(())
            },
        )?;
        Ok(answers.into_iter().map(|(answer, _)| answer).collect())
    }

    fn update(&self, update: &MemoryUpdate) -> Result<Option<Memory>, StoreError> {
        let id = update.change.id;
        match &update.change.content {
            Some(content) => self.check_passages(id, content, &update.passages)?,
            None if !update.passages.is_empty() => {
                let error = format!("expected no passage for {id}, whose text stays");
                return Err(StoreError::Other(error));
            }
            None => {}
        }
        let updated = self.write(
            |tx| write::update(tx, self.model_row, update),
            |index, updated| match updated {
                Some((seq, memory, true)) => {
                    let vectors = update.change.content.is_some();
                    let vectors = vectors.then(|| rows_of(&update.passages));
                    change_in_index(index, memory, *seq, vectors)
                }
                _ => Ok(()),
            },
        )?;
        Ok(updated.map(|(_, memory, _)| memory))
    }

    fn get(&self, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>, StoreError> {
        self.read(|connection| ids.iter().map(|id| read::memory(connection, *id)).collect())
    }

    fn search(&self, search: &Search<'_>) -> Result<Vec<Hit>, StoreError> {
        self.check_dimensions(search.vector)?;
        let filter = search.filter;
        let key = (self.model_row, filter);
        for _ in 0..SEARCH_TRIES_MAX {
            let selection = self.read(|connection| read::selection(connection, filter))?;
            let found = self.scan(search, &selection)?;
            if let Some(hits) = self.read(|connection| read::hits(connection, key, &found))? {
                return self.explained(search, hits);
            }
        }
        // No memory comes or goes while the connection is held.
        let hits = self.read(|connection| {
            let selection = read::selection(connection, filter)?;
            let found = self.scan(search, &selection)?;
            read::hits(connection, key, &found)
        })?;
        let hits = hits.ok_or_else(|| {
            StoreError::Corrupt("a memory that was indexed is not as in the tables".to_owned())
        })?;
        self.explained(search, hits)
    }

    fn speakers(&self, space: &SpaceName) -> Result<Vec<String>, StoreError> {
        Ok(self.index()?.speakers(space))
    }

    fn spellings(&self, space: &SpaceName, words: &[String]) -> Result<Vec<Spelling>, StoreError> {
        Ok(self.index()?.spellings(space, words))
    }

    fn list(&self, query: &ListQuery) -> Result<Vec<Memory>, StoreError> {
        self.read(|connection| read::list(connection, query))
    }

    fn forget(&self, ids: &[MemoryId], request: RequestKey) -> Result<Vec<bool>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let forgotten = self.write(
            |tx| write::forget(tx, self.model_row, ids, request),
            |index, forgotten| {
                for (space, seq) in &forgotten.rows {
                    index.remove(space, *seq);
                }
                Ok(())
            },
        )?;
        Ok(forgotten.answers)
    }

    fn restore(&self, ids: &[MemoryId], request: RequestKey) -> Result<Vec<bool>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let key = (self.model_row, self.model.dimensions);
        let (restored, _) = self.write(
            |tx| {
                let restored = write::restore(tx, self.model_row, ids, request)?;
                let entry = |(_, seq): &(SpaceName, i64)| {
                    let memory = read::memory_in_row(tx, *seq)?;
                    Ok((*seq, memory, read::vectors(tx, key, *seq)?))
                };
                let entries = restored.rows.iter().map(entry);
                let entries = entries.collect::<Result<Vec<_>, Fault>>()?;
                Ok((restored, entries))
            },
            |index, (_, entries)| {
                for (seq, memory, vectors) in entries {
                    add_to_index(index, memory, *seq, vectors)?;
                }
                Ok(())
            },
        )?;
        Ok(restored.answers)
    }

    fn stats(&self, space: &SpaceName) -> Result<Stats, StoreError> {
        let stats = self.read(|connection| read::stats(connection, space, &self.model))?;
        Ok(Stats {
            database_bytes: self.place.bytes(),
            location: self.place.folder.display().to_string(),
            storage: self.info.to_string(),
            ..stats
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        if let Some(reason) = &self.state()?.failed {
            return Err(StoreError::Failed(reason.clone()));
        }
        drop(self.index()?);
        self.place.check()?;
        self.read(read::probe)?;
        let room = self.room()?;
        if room.read_only {
            let folder = self.place.folder.display();
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

fn add_to_index(
    index: &mut Index,
    memory: &Memory,
    seq: i64,
    vectors: &[f32],
) -> Result<(), StoreError> {
    let added = index.add((&memory.space, seq), entry(memory), |v| {
        v.extend_from_slice(vectors);
    });
    indexed(added, memory.id)
}

/// Brings a memory up to date; without vectors it keeps those it has.
fn change_in_index(
    index: &mut Index,
    memory: &Memory,
    seq: i64,
    vectors: Option<Vec<f32>>,
) -> Result<(), StoreError> {
    let changed = index.change((&memory.space, seq), entry(memory), vectors);
    indexed(changed, memory.id)
}

fn indexed(done: bool, id: MemoryId) -> Result<(), StoreError> {
    if done {
        return Ok(());
    }
    Err(StoreError::Failed(format!(
        "{id} was stored but cannot be indexed"
    )))
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
        let failed = store.write(
            |tx| {
                write::insert(tx, store.model_row, &records)?;
                let code = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
                Err::<(), _>(Fault::from(rusqlite::Error::SqliteFailure(code, None)))
            },
            |_, ()| Ok(()),
        );
        assert!(matches!(failed, Err(StoreError::Failed(_))));
        assert!(matches!(store.insert(&records), Err(StoreError::Failed(_))));
        assert!(matches!(store.check(), Err(StoreError::Failed(_))));
        assert_eq!(store.stats(&space("default")).unwrap().memories, 0);
        drop(store);
        let store = SqliteStore::open(&lease, &model()).unwrap();
        assert_eq!(store.insert(&records).unwrap(), [Inserted::Stored]);
    }
}
