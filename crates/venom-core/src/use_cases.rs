//! The use cases: remember, recall, list, show, update, forget, restore, erase, quarantine, stats. One value, shared by every
//! door. What is to be kept passes the owner's [`Rules`] here, so that no door can miss them.

mod backups;
mod history;
mod import;
mod spaces;

use crate::conversation::NewConversation;
use crate::embedding::{Embedding, Passage};
use crate::error::{Error, InputError, StoreError};
use crate::memory::{
    Duplicates, Memory, MemoryChange, MemoryId, NewMemory, Origin, RequestKey, SessionName,
    SpaceName, Verdict,
};
use crate::outcome::{Changed, Remembered, RememberedConversation};
use crate::ports::{
    Clock, Embedder, IdSource, Inserted, MemoryRecord, MemoryStore, MemoryUpdate, Search,
};
use crate::precautions::Rules;
use crate::query::{Hit, ListPage, ListQuery, RecallQuery, Stats};
use crate::recall::{self, Question};
use crate::secrets::Screen;
use crate::spaces::Within;
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
    rules: Rules,
}

impl Venom {
    /// Wires the ports together, with the default rules.
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
            rules: Rules::default(),
        }
    }

    /// The same by other rules.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Stores a memory; durable on return. Repeating a call with the same key returns the memory it
    /// stored the first time; of what is kept already the old memory, unless both shall be kept.
    ///
    /// # Errors
    /// [`InputError::Secret`] where texts with secrets are refused, [`InputError::SecretName`] where the space has one
    /// for a name, [`Error::Embed`] or [`Error::Store`]; then nothing was stored.
    pub fn remember(&self, new: NewMemory, request: RequestKey) -> Result<Remembered, Error> {
        let precautions = self.rules.precautions(&new.source);
        let precautions = precautions.or_stricter(new.precautions);
        let mut screen = Screen::new(precautions.secrets);
        screen.space(&new.space)?;
        let new = NewMemory {
            content: screen.content(new.content)?,
            tags: screen.tags(new.tags)?,
            origin: screen.origin(new.origin)?,
            ..new
        };
        let passages = self.passages(&[new.content.as_str()])?.swap_remove(0);
        let stored_at = self.clock.now();
        let memory = Memory {
            id: self.ids.next_id(stored_at),
            space: new.space,
            content: new.content,
            tags: new.tags,
            stored_at,
            origin: new.origin,
            source: new.source,
            quarantined: precautions.quarantine,
            metadata: None,
        };
        let record = MemoryRecord {
            memory,
            passages,
            request,
            duplicates: new.duplicates,
        };
        let outcome = self.store.insert(std::slice::from_ref(&record))?.pop();
        let (memory, duplicate) = match outcome {
            Some(Inserted::Duplicate(memory)) => (memory, true),
            Some(Inserted::Before(memory)) => (memory, false),
            Some(Inserted::Stored) | None => (record.memory, false),
        };
        Ok(Remembered {
            memory,
            duplicate,
            masked: screen.masked(),
        })
    }

    /// Stores the turns of a conversation, all or none; durable on return. One memory per turn, in order,
    /// each kept whatever else is. A conversation without a session gets one of its own.
    ///
    /// # Errors
    /// [`InputError::Secret`] where texts with secrets are refused, [`InputError::SecretName`] where the space has one
    /// for a name, [`Error::Embed`] or [`Error::Store`]; then nothing was stored.
    pub fn remember_conversation(
        &self,
        new: NewConversation,
        request: RequestKey,
    ) -> Result<RememberedConversation, Error> {
        let precautions = self.rules.precautions(&new.source);
        let precautions = precautions.or_stricter(new.precautions);
        let mut screen = Screen::new(precautions.secrets);
        let new = screened(new, &mut screen)?;
        let texts: Vec<&str> = new
            .turns()
            .iter()
            .map(|turn| turn.content.as_str())
            .collect();
        let passages = self.passages(&texts)?;
        let (space, source, mut session) =
            (new.space.clone(), new.source.clone(), new.session.clone());
        let mut records = Vec::with_capacity(passages.len());
        for (turn, passages) in new.into_turns().into_iter().zip(passages) {
            let stored_at = self.clock.now();
            let id = self.ids.next_id(stored_at);
            let session = session
                .get_or_insert_with(|| SessionName::of_first(id))
                .clone();
            let memory = Memory {
                id,
                space: space.clone(),
                content: turn.content,
                tags: turn.tags,
                stored_at,
                origin: Origin {
                    speaker: turn.speaker,
                    session: Some(session),
                    occurred_at: turn.occurred_at,
                },
                source: source.clone(),
                quarantined: precautions.quarantine,
                metadata: None,
            };
            let place = u128::try_from(records.len()).unwrap_or(0);
            records.push(MemoryRecord {
                memory,
                passages,
                // Keys are random: those that follow one are as unlikely to be used as any other.
                request: RequestKey(request.0.wrapping_add(place)),
                duplicates: Duplicates::Keep,
            });
        }
        let outcomes = self.store.insert(&records)?;
        let kept = records.into_iter().zip(outcomes);
        let memories = kept.map(|(record, outcome)| match outcome {
            Inserted::Before(memory) | Inserted::Duplicate(memory) => memory,
            Inserted::Stored => record.memory,
        });
        Ok(RememberedConversation {
            memories: memories.collect(),
            masked: screen.masked(),
        })
    }

    /// Passages of each text, at least one.
    fn passages(&self, texts: &[&str]) -> Result<Vec<Vec<Passage>>, Error> {
        let passages = self.embedder.embed_passages(texts)?;
        if passages.len() != texts.len() || passages.iter().any(Vec::is_empty) {
            let error = "the embedder returned no passage for a text";
            return Err(StoreError::Other(error.to_owned()).into());
        }
        Ok(passages)
    }

    /// Changes a memory in one of these spaces; durable on return. A new text is embedded anew; the id stays.
    ///
    /// # Errors
    /// [`InputError::Quarantined`] for a client whose memories wait in quarantine, [`InputError::Secret`] where texts
    /// with secrets are refused, [`Error::MemoryNotFound`] if there is none or it was forgotten, [`Error::Embed`] or
    /// [`Error::Store`]; then nothing was changed.
    pub fn update(
        &self,
        change: MemoryChange,
        within: &Within,
        request: RequestKey,
    ) -> Result<Changed, Error> {
        let id = change.id;
        let precautions = self.rules.precautions(&change.source);
        let precautions = precautions.or_stricter(change.precautions);
        if precautions.quarantine {
            return Err(InputError::Quarantined.into());
        }
        let mut screen = Screen::new(precautions.secrets);
        let change = MemoryChange {
            content: change
                .content
                .map(|text| screen.content(text))
                .transpose()?,
            tags: change.tags.map(|tags| screen.tags(tags)).transpose()?,
            origin: screen.origin(change.origin)?,
            ..change
        };
        let passages = match &change.content {
            // The model is not asked about what is not there.
            Some(content) => {
                let old = self.show(id)?;
                if !within.has(&old.space) {
                    return Err(Error::MemoryNotFound(id));
                }
                self.passages(&[content.as_str()])?.swap_remove(0)
            }
            None => Vec::new(),
        };
        let update = MemoryUpdate {
            change,
            passages,
            stored_at: self.clock.now(),
            request,
        };
        let updated = self.store.update_within(&update, within)?;
        let memory = updated.ok_or(Error::MemoryNotFound(id))?;
        Ok(Changed {
            memory,
            masked: screen.masked(),
        })
    }

    /// Finds the memories that answer a question, best first.
    ///
    /// # Errors
    /// [`Error::Embed`] or [`Error::Store`].
    pub fn recall(&self, query: &RecallQuery) -> Result<Vec<Hit>, Error> {
        let space = &query.filter.space;
        let vocabulary = self.embedder.vocabulary();
        let words = recall::mendable_words(query.text.as_str());
        let spellings = self.store.spellings(space, &words)?;
        let asked = recall::mended(query.text.as_str(), &words, &spellings, vocabulary);
        let speakers = self.store.speakers(space)?;
        let text = recall::addressed(&asked, &speakers);
        let mut vectors = self.embedder.embed(&[&text])?;
        let vector = vectors.pop().ok_or_else(|| {
            StoreError::Other("the embedder returned no vector for a query".to_owned())
        })?;
        Ok(self.store.search(&Search {
            question: &Question::new(&asked),
            vector: &vector,
            vocabulary,
            filter: &query.filter,
            similarity_min: query.similarity_min,
            limit: query.limit.get(),
            explain: query.explain,
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

    /// Hides a memory in one of these spaces from every read; durable on return.
    ///
    /// # Errors
    /// [`Error::MemoryNotFound`] if there is none or it was forgotten by another call,
    /// [`Error::Store`].
    pub fn forget(&self, id: MemoryId, within: &Within, request: RequestKey) -> Result<(), Error> {
        match self.store.forget_within(&[id], within, request)?.pop() {
            Some(true) => Ok(()),
            _ => Err(Error::MemoryNotFound(id)),
        }
    }

    /// Shows a forgotten memory in one of these spaces again; durable on return. One that was not forgotten stays.
    ///
    /// # Errors
    /// [`Error::MemoryNotFound`] if there never was one, [`Error::Store`].
    pub fn restore(
        &self,
        id: MemoryId,
        within: &Within,
        request: RequestKey,
    ) -> Result<Memory, Error> {
        match self.store.restore_within(&[id], within, request)?.pop() {
            Some(true) => self.show(id),
            _ => Err(Error::MemoryNotFound(id)),
        }
    }

    /// A page of the memories that wait in quarantine, of all spaces, newest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn quarantined(
        &self,
        before: Option<MemoryId>,
        limit: ListPage,
    ) -> Result<Vec<Memory>, Error> {
        Ok(self.store.quarantined(before, limit)?)
    }

    /// Carries out the owner's decision about a memory in quarantine; durable on return. May be repeated.
    ///
    /// # Errors
    /// [`Error::NotInQuarantine`] if it never was there, or was released and is to be discarded; [`Error::Store`].
    pub fn judge(&self, id: MemoryId, verdict: Verdict) -> Result<(), Error> {
        match self.store.judge(&[id], verdict)?.pop() {
            Some(true) => Ok(()),
            _ => Err(Error::NotInQuarantine(id)),
        }
    }

    /// What the store holds.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn stats(&self, space: &SpaceName) -> Result<Stats, Error> {
        Ok(Stats {
            engine: self.embedder.engine(),
            ..self.store.stats(space)?
        })
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

/// A conversation as it may be kept; an error says of which turn.
fn screened(new: NewConversation, screen: &mut Screen) -> Result<NewConversation, InputError> {
    screen.space(&new.space)?;
    let (space, session) = (new.space.clone(), screen.session(new.session.clone())?);
    let (source, precautions) = (new.source.clone(), new.precautions);
    let mut turns = new.into_turns();
    for (at, turn) in turns.iter_mut().enumerate() {
        let screened = turn.screened(screen).map_err(|error| InputError::InTurn {
            turn: at + 1,
            error: Box::new(error),
        });
        *turn = screened?;
    }
    let new = NewConversation::new(space, session, turns)?;
    Ok(new.from_source(source, precautions))
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
