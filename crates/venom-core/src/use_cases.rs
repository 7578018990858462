//! The use cases: remember, recall, list, show, forget, stats. One value, shared by every door.

use crate::embedding::Embedding;
use crate::error::{Error, StoreError};
use crate::memory::{Memory, MemoryId, NewMemory, RequestKey, SpaceName};
use crate::ports::{Clock, Embedder, IdSource, Inserted, MemoryRecord, MemoryStore, Search};
use crate::query::{Hit, ListQuery, RecallQuery, Stats};
use crate::recall::{self, Question};
use crate::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The use cases over one store and one model. Cheap to share, safe to call from many threads; each
/// call blocks for the length of its inference and its transaction.
pub struct Venom {
    embedder: Arc<dyn Embedder>,
    store: Arc<dyn MemoryStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl Venom {
    /// Wires the ports together.
    pub fn new(
        embedder: Arc<dyn Embedder>,
        store: Arc<dyn MemoryStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            embedder,
            store,
            clock,
            ids,
        }
    }

    /// Stores a memory; durable on return. Repeating a call with the same key returns the memory it
    /// stored the first time.
    ///
    /// # Errors
    /// [`Error::Embed`] or [`Error::Store`]; then nothing was stored.
    pub fn remember(&self, new: NewMemory, request: RequestKey) -> Result<Memory, Error> {
        let mut passages = self.embedder.embed_passages(&[new.content.as_str()])?;
        let passages = passages.pop().filter(|p| !p.is_empty()).ok_or_else(|| {
            StoreError::Other("the embedder returned no passage for a text".to_owned())
        })?;
        let stored_at = self.clock.now();
        let memory = Memory {
            id: self.ids.next_id(stored_at),
            space: new.space,
            content: new.content,
            tags: new.tags,
            stored_at,
            origin: new.origin,
        };
        let record = MemoryRecord {
            memory,
            passages,
            request,
        };
        let outcome = self.store.insert(std::slice::from_ref(&record))?.pop();
        Ok(match outcome {
            Some(Inserted::Before(memory)) => memory,
            Some(Inserted::Stored) | None => record.memory,
        })
    }

    /// Finds the memories that answer a question, best first.
    ///
    /// # Errors
    /// [`Error::Embed`] or [`Error::Store`].
    pub fn recall(&self, query: &RecallQuery) -> Result<Vec<Hit>, Error> {
        let speakers = self.store.speakers(&query.filter.space)?;
        let text = recall::addressed(query.text.as_str(), &speakers);
        let mut vectors = self.embedder.embed(&[&text])?;
        let vector = vectors.pop().ok_or_else(|| {
            StoreError::Other("the embedder returned no vector for a query".to_owned())
        })?;
        Ok(self.store.search(&Search {
            question: &Question::new(&query.text),
            vector: &vector,
            filter: &query.filter,
            similarity_min: query.similarity_min,
            limit: query.limit.get(),
        })?)
    }

    /// A page of memories, newest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn list(&self, query: &ListQuery) -> Result<Vec<Memory>, Error> {
        Ok(self.store.list(query)?)
    }

    /// One memory.
    ///
    /// # Errors
    /// [`Error::MemoryNotFound`] if there is none or it was forgotten, [`Error::Store`].
    pub fn show(&self, id: MemoryId) -> Result<Memory, Error> {
        self.store
            .get(&[id])?
            .pop()
            .flatten()
            .ok_or(Error::MemoryNotFound(id))
    }

    /// Hides a memory from every read; durable on return.
    ///
    /// # Errors
    /// [`Error::MemoryNotFound`] if there is none or it was forgotten by another call,
    /// [`Error::Store`].
    pub fn forget(&self, id: MemoryId, request: RequestKey) -> Result<(), Error> {
        match self.store.forget(&[id], request)?.pop() {
            Some(true) => Ok(()),
            _ => Err(Error::MemoryNotFound(id)),
        }
    }

    /// What the store holds.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn stats(&self, space: &SpaceName) -> Result<Stats, Error> {
        Ok(self.store.stats(space)?)
    }

    /// Whether the store can serve now.
    ///
    /// # Errors
    /// [`Error::Store`] that says why not.
    pub fn check(&self) -> Result<(), Error> {
        Ok(self.store.check()?)
    }

    /// Vectors for texts, without storing anything.
    ///
    /// # Errors
    /// [`Error::Embed`].
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, Error> {
        Ok(self.embedder.embed(texts)?)
    }
}

/// Ids from the clock in microseconds; where the clock stands still or goes back, one more than the
/// last. Strictly increasing.
#[derive(Debug)]
pub struct TimeIds {
    last: AtomicU64,
}

impl TimeIds {
    /// Continues after `last`, the largest id in the store.
    pub fn after(last: Option<MemoryId>) -> Self {
        Self {
            last: AtomicU64::new(last.map_or(0, MemoryId::digits)),
        }
    }
}

impl IdSource for TimeIds {
    fn next_id(&self, now: Timestamp) -> MemoryId {
        let now_us = u64::try_from(now.as_micros()).unwrap_or(0);
        let step = |last: u64| Some(now_us.max(last + 1));
        let last = self
            .last
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step)
            .expect("`step` never returns None");
        MemoryId::new(now_us.max(last + 1))
            .expect("microseconds stay below i64::MAX until 294246 AD")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_even_when_the_clock_goes_back() {
        let ids = TimeIds::after(MemoryId::new(1_000));
        let times = [500, 2_000, 2_000, 1_500, 3_000];
        let got: Vec<u64> = times
            .iter()
            .map(|t| ids.next_id(Timestamp::from_micros(*t)).digits())
            .collect();
        assert_eq!(got, [1_001, 2_000, 2_001, 2_002, 3_000]);
    }
}
