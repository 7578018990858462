//! The ports: what the domain needs from outside, each a small contract.
//!
//! Each has a second implementation in `test_support`, and a contract suite there that every
//! adapter must pass. All are synchronous; callers own the threads.

use crate::backup::{Backup, BackupNote};
use crate::embedding::{Embedding, ModelStamp, Passage};
use crate::error::{EmbedError, PersonaError, StoreError};
use crate::history::{Erased, Erasures, History, Version};
use crate::import::{Arrival, ImportKey, Imported};
use crate::memory::{Duplicates, Memory, MemoryChange, MemoryId, RequestKey, SpaceName, Verdict};
use crate::persona::{Persona, PersonaName};
use crate::query::{Filter, Hit, ListPage, ListQuery, Stats};
use crate::recall::{Question, Spelling};
use crate::source::Source;
use crate::spaces::{Emptied, Move, Moved, Renamed, SpaceInfo, Within};
use crate::time::Timestamp;

/// Turns text into vectors. Deterministic: the same text gives the same vector, alone or in a batch
/// (to 1e-6 per component).
pub trait Embedder: Send + Sync {
    /// The model's identity; constant for the life of the value.
    fn model(&self) -> &ModelStamp;

    /// One vector per text, in order. Each text counts as a whole; what lies beyond the model's
    /// window of tokens is not read. This is the reference behaviour of the model.
    ///
    /// # Errors
    /// [`EmbedError`] if the model fails; then no result is given.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;

    /// Each text as passages that together cover all of it, in order, at least one per text. A text
    /// that fits the window is one passage, with the same vector as from [`Self::embed`].
    ///
    /// # Errors
    /// [`EmbedError`] if the model fails; then no result is given.
    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<Passage>>, EmbedError>;

    /// The words it knows.
    fn vocabulary(&self) -> &dyn Vocabulary;

    /// How it computes, for people: in which numbers, by which instructions. Empty if there is nothing to say.
    fn engine(&self) -> String {
        String::new()
    }
}

/// What a model knows of single words before it reads any text. Cheap: no inference. Constant for the life
/// of the value; words are in lower case.
pub trait Vocabulary: Send + Sync {
    /// What a word means by itself, a vector of unit length; `None` for what the model has no part of. Always
    /// of the same number of components.
    fn vector(&self, word: &str) -> Option<Vec<f32>>;

    /// Whole words of four letters and more, the commonest first.
    fn words(&self) -> &[String];

    /// What the word at a place of [`Self::words`] means by itself. The same as [`Self::vector`], perhaps faster.
    fn vector_of_place(&self, place: usize) -> Option<Vec<f32>> {
        self.vector(self.words().get(place)?)
    }

    /// Whether it knows a word as a whole.
    fn has_word(&self, word: &str) -> bool;
}

/// A model that knows no words.
#[derive(Clone, Copy, Debug)]
pub struct NoVocabulary;

impl Vocabulary for NoVocabulary {
    fn vector(&self, _: &str) -> Option<Vec<f32>> {
        None
    }

    fn words(&self) -> &[String] {
        &[]
    }

    fn has_word(&self, _: &str) -> bool {
        false
    }
}

/// A memory with everything a store keeps of it.
#[derive(Clone, Debug)]
pub struct MemoryRecord {
    /// The memory.
    pub memory: Memory,
    /// Its passages, at least one.
    pub passages: Vec<Passage>,
    /// The call that stores it.
    pub request: RequestKey,
    /// What to do if it says again what is already kept in its space.
    pub duplicates: Duplicates,
}

/// A change of a memory with everything a store needs for it.
#[derive(Clone, Debug)]
pub struct MemoryUpdate {
    /// What shall be different.
    pub change: MemoryChange,
    /// Passages of the new text, at least one; empty if the text stays.
    pub passages: Vec<Passage>,
    /// When it is changed.
    pub stored_at: Timestamp,
    /// The call that changes it.
    pub request: RequestKey,
}

/// A former version that is to come back, with everything a store needs for it.
#[derive(Clone, Debug)]
pub struct VersionRestore {
    /// Which memory.
    pub id: MemoryId,
    /// Which of its versions.
    pub version: u32,
    /// Passages of the text of that version, at least one.
    pub passages: Vec<Passage>,
    /// When it comes back.
    pub stored_at: Timestamp,
    /// Through whom.
    pub source: Source,
    /// The call that brings it back.
    pub request: RequestKey,
}

/// A search, read and embedded.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// What is asked.
    pub question: &'a Question,
    /// Its vector.
    pub vector: &'a Embedding,
    /// The words that the model knows.
    pub vocabulary: &'a dyn Vocabulary,
    /// Which memories count.
    pub filter: &'a Filter,
    /// Least cosine similarity of a result.
    pub similarity_min: Option<f32>,
    /// Most results.
    pub limit: usize,
    /// Whether results tell which of their words matched.
    pub explain: bool,
}

impl Search<'_> {
    /// Whether a memory may be a result, whatever its score.
    pub fn takes(&self, hit: &Hit) -> bool {
        self.filter.matches(&hit.memory)
            && self
                .similarity_min
                .is_none_or(|least| hit.similarity >= least)
    }
}

/// What became of a record that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is new, and durable.
    Stored,
    /// A call with the same key stored this memory before, or found it as a duplicate; nothing was changed.
    Before(Memory),
    /// This memory says the same ([`crate::duplicate::says_again`]; of several the newest). It has the new
    /// record's time of storing and its tags in addition now, and the record itself is left out.
    Duplicate(Memory),
}

/// Keeps memories. What a call has reported as done survives the end of the process and of power.
/// A failed call changes nothing.
pub trait MemoryStore: Send + Sync {
    /// Stores all records in one transaction, durable on return; one answer per record, in order.
    /// A record whose request key was applied before is left out (`Inserted::Before`), be it that the memory was stored
    /// then or that it was a duplicate. A memory in quarantine is
    /// hidden from every read but [`Self::quarantined`], and no duplicate of anything.
    ///
    /// # Errors
    /// [`StoreError`]; then none of the records is kept. [`StoreError::DuplicateId`] for an id that
    /// is taken, [`StoreError::ErasedSince`] where the memory of a key that was applied before was erased.
    fn insert(&self, records: &[MemoryRecord]) -> Result<Vec<Inserted>, StoreError>;

    /// The memories that arrivals are kept as already, in order; `None` for one that is new. Kept are: what was imported
    /// with the same key, whatever became of it; of an arrival that keeps its id the memory with that id that says
    /// its text or said it once, forgotten ones included, or the one with that id that was erased; of any other the
    /// newest visible memory that it repeats ([`crate::duplicate::repeats`]).
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn known(&self, arrivals: &[Arrival]) -> Result<Vec<Option<MemoryId>>, StoreError>;

    /// Notes that what has these keys is kept as these memories, durable on return: it is recognised from now on whatever
    /// becomes of them. Keys that are noted already stay as they are.
    ///
    /// # Errors
    /// [`StoreError`]; then none is noted.
    fn note_known(&self, known: &[(ImportKey, MemoryId)]) -> Result<(), StoreError>;

    /// Stores arrivals with their passages in one transaction, durable on return; one answer per arrival, in order,
    /// [`Imported::Stored`] or [`Imported::Known`] (as of [`Self::known`], arrivals before it counted). Where the id is
    /// taken one that keeps its id gets its spare id; any other the next free one, or its spare if the next thousand
    /// are taken.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them is kept.
    fn import(&self, arrivals: &[(Arrival, Vec<Passage>)]) -> Result<Vec<Imported>, StoreError>;

    /// Changes a memory in one of these spaces, durable on return: the memory as it is then, `None` where there is none
    /// or it was forgotten. Nothing changes where a call with the same key changed it before, or where the memory has
    /// all of it already.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    fn update_within(
        &self,
        update: &MemoryUpdate,
        within: &Within,
    ) -> Result<Option<Memory>, StoreError>;

    /// [`Self::update_within`] every space.
    ///
    /// # Errors
    /// As there.
    fn update(&self, update: &MemoryUpdate) -> Result<Option<Memory>, StoreError> {
        self.update_within(update, &Within::Everywhere)
    }

    /// The memories with these ids, in order; `None` where there is none or it was forgotten.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn get(&self, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>, StoreError>;

    /// The `limit` memories with the highest score ([`crate::recall::score`], over all visible
    /// memories of the space) that pass the filter, best first; of equal score the newer (larger id)
    /// first. A memory counts once, by its best passage. Never fewer than `limit` if that many pass.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read, or the vector has other dimensions.
    fn search(&self, search: &Search<'_>) -> Result<Vec<Hit>, StoreError>;

    /// Names of those who said visible memories of a space, in lower case, sorted; roles left out.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn speakers(&self, space: &SpaceName) -> Result<Vec<String>, StoreError>;

    /// What the visible memories of a space know of each of these words, given in lower case.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn spellings(&self, space: &SpaceName, words: &[String]) -> Result<Vec<Spelling>, StoreError>;

    /// A page of memories, newest (largest id) first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn list(&self, query: &ListQuery) -> Result<Vec<Memory>, StoreError>;

    /// Hides memories in these spaces from every read, in one transaction, durable on return. For each id whether
    /// it was there: `true` also if an earlier call with the same key hid it; then nothing changes, even
    /// if it was restored since.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is hidden.
    fn forget_within(
        &self,
        ids: &[MemoryId],
        within: &Within,
        request: RequestKey,
    ) -> Result<Vec<bool>, StoreError>;

    /// [`Self::forget_within`] every space.
    ///
    /// # Errors
    /// As there.
    fn forget(&self, ids: &[MemoryId], request: RequestKey) -> Result<Vec<bool>, StoreError> {
        self.forget_within(ids, &Within::Everywhere, request)
    }

    /// Shows forgotten memories in these spaces again, in one transaction, durable on return. For each id whether there
    /// is such a memory: `true` also if it was never forgotten, `false` if it is in quarantine or was discarded there.
    /// Nothing changes where a call with the same key restored it before. A deleted space of theirs is there again.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is restored.
    fn restore_within(
        &self,
        ids: &[MemoryId],
        within: &Within,
        request: RequestKey,
    ) -> Result<Vec<bool>, StoreError>;

    /// [`Self::restore_within`] every space.
    ///
    /// # Errors
    /// As there.
    fn restore(&self, ids: &[MemoryId], request: RequestKey) -> Result<Vec<bool>, StoreError> {
        self.restore_within(ids, &Within::Everywhere, request)
    }

    /// What a memory was and is, forgotten or in quarantine too; `None` if there is none or it was erased.
    /// O(versions that are told + their texts).
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn history(&self, id: MemoryId) -> Result<Option<History>, StoreError>;

    /// One version of a memory, however old; `None` where [`Self::history`] has none or there is no such version.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn version(&self, id: MemoryId, number: u32) -> Result<Option<Version>, StoreError>;

    /// Gives a memory the text, tags and origin of a former version, as a change of its own, and shows it if it was
    /// forgotten; durable on return. The memory as it is then, `None` where there is none, it is in quarantine or was
    /// discarded there, or it has no such version. The version that it is now changes nothing but that it is shown; nor
    /// does anything change where a call with the same key restored it before.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    fn restore_version(&self, restore: &VersionRestore) -> Result<Option<Memory>, StoreError>;

    /// Erases memories for good, visible, forgotten and quarantined ones: text, vectors, words, former versions, and
    /// everything derived from them, in one transaction, durable on return. What stays is the id, which no other
    /// memory gets, and by what it was recognised when it was imported and the keys of the calls that stored it, so that
    /// neither an import nor repeating such a call brings it back. The caller is not kept waiting for their bytes to leave
    /// the files.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is erased.
    fn erase(&self, ids: &[MemoryId], now: Timestamp) -> Result<Erasures, StoreError>;

    /// Erases up to `limit` memories that were forgotten, or discarded from quarantine, before a moment; which they
    /// were. Memories that were hidden before erasing began in this store count as hidden then. The caller is not kept
    /// waiting for their bytes to leave the files.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is erased.
    fn erase_due(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<MemoryId>, StoreError>;

    /// What is still known of memories that were erased, in order; `None` for any other id.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn erased(&self, ids: &[MemoryId]) -> Result<Vec<Option<Erased>>, StoreError>;

    /// A page of the memories of all spaces that are in quarantine, newest (largest id) first: those with a smaller
    /// id than `before`.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn quarantined(
        &self,
        before: Option<MemoryId>,
        limit: ListPage,
    ) -> Result<Vec<Memory>, StoreError>;

    /// Carries out the owner's decision about memories in quarantine, in one transaction, durable on return. For each
    /// id whether it is as decided now: what was decided before may be decided again. A discarded memory can still be
    /// released; a released one is as any other, and cannot be discarded.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    fn judge(&self, ids: &[MemoryId], verdict: Verdict) -> Result<Vec<bool>, StoreError>;

    /// The spaces that are there, by name; O(spaces * log memories). A space is there from its first memory on, be it
    /// hidden, or from [`Self::create_space`] on, until it is deleted; what brings a memory into a deleted one brings it
    /// back.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn spaces(&self) -> Result<Vec<SpaceInfo>, StoreError>;

    /// Makes a space without memories, durable on return; `false` if it was there.
    ///
    /// # Errors
    /// [`StoreError`]; then there is none.
    fn create_space(&self, space: &SpaceName) -> Result<bool, StoreError>;

    /// Gives a space another name, in one transaction, durable on return: all its memories, hidden ones too, live under
    /// the new name from then on. What was deleted has no name that could be in the way, unless it has hidden memories.
    ///
    /// # Errors
    /// [`StoreError`]; then it has the old name.
    fn rename_space(&self, from: &SpaceName, to: &SpaceName) -> Result<Renamed, StoreError>;

    /// Moves memories to another space, in one transaction, durable on return; one answer for each id, in order.
    /// [`Moved::Moved`] also where a call with the same key moved it before. The space is made, or back, if
    /// anything came.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them is moved.
    fn move_memories(&self, what: &Move, request: RequestKey) -> Result<Vec<Moved>, StoreError>;

    /// Hides up to `most` memories of a space, which can be restored, in one transaction, durable on return; if none is
    /// left then the space is deleted. Also of one that is deleted: then nothing changes. `None` if there never was such
    /// a space.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is hidden by this call.
    fn empty_space(&self, space: &SpaceName, most: usize) -> Result<Option<Emptied>, StoreError>;
    /// Notes what became of backups, in one transaction, durable on return: first what is gone, then what was made.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is noted.
    fn note_backups(&self, note: &BackupNote) -> Result<(), StoreError>;

    /// The backups that were noted and are not gone, oldest first; of the same time by path.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn backups(&self) -> Result<Vec<Backup>, StoreError>;

    /// What the store holds; O(spaces + memories in quarantine), without a scan.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn stats(&self, space: &SpaceName) -> Result<Stats, StoreError>;

    /// Whether the store can serve reads and writes now.
    ///
    /// # Errors
    /// [`StoreError`] that says why not.
    fn check(&self) -> Result<(), StoreError>;
}

/// Finds personas. Reads anew on each call, so that an edited file is served at once.
pub trait PersonaSource: Send + Sync {
    /// The persona of that name.
    ///
    /// # Errors
    /// [`PersonaError`] if there is none or it cannot be read.
    fn load(&self, name: &PersonaName) -> Result<Persona, PersonaError>;

    /// Every persona there is, sorted by name, each name once.
    ///
    /// # Errors
    /// [`PersonaError`] if a folder cannot be listed. Unreadable files are left out.
    fn list(&self) -> Result<Vec<Persona>, PersonaError>;
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Makes memory ids: each larger than every one before, and larger than every id in the store it
/// serves, whatever the clock does.
pub trait IdSource: Send + Sync {
    /// The next id, for a memory stored at `now`.
    fn next_id(&self, now: Timestamp) -> MemoryId;
}
