//! In-memory adapters: a store, an embedder, clocks and a source of personas.

mod history;
mod spaces;

use crate::backup::{Backup, BackupNote};
use crate::duplicate::{self, fnv1a};
use crate::embedding::{Embedding, ModelStamp, Passage, PassageSpan, dot};
use crate::error::{EmbedError, PersonaError, StoreError};
use crate::history::{Cause, Erased, Erasures, History, Replaced, Version};
use crate::import::{Arrival, ImportKey, Imported};
use crate::memory::{Duplicates, Memory, MemoryId, RequestKey, SpaceName, Speaker, Verdict};
use crate::persona::{Persona, PersonaName};
use crate::ports::{
    Clock, Embedder, Inserted, MemoryRecord, MemoryStore, MemoryUpdate, PersonaSource, Search,
    VersionRestore, Vocabulary,
};
use crate::query::{Hit, ListPage, ListQuery, Stats};
use crate::recall::{
    self, Corpus, Document, NewEntry, Section, SoughtTerms, Space, Spelling, Stemming,
};
use crate::spaces::{Emptied, Move, Moved, Renamed, SpaceInfo, Within};
use crate::time::Timestamp;
use spaces::Spaces;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store over plain maps that looks at every memory on each call: slow, and plainly right.
#[derive(Debug)]
pub struct MemoryMap {
    model: ModelStamp,
    kept: Mutex<Kept>,
    /// What was hidden before counts as hidden then.
    since: Timestamp,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    memories: BTreeMap<MemoryId, Entry>,
    inserts: BTreeMap<u128, MemoryId>,
    imports: BTreeMap<u128, MemoryId>,
    changes: BTreeSet<(Kind, u128, MemoryId)>,
    spaces: Spaces,
    backups: BTreeMap<String, Timestamp>,
    erased: BTreeMap<MemoryId, Erased>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Update,
    Forget,
    Restore,
}

#[derive(Clone, Debug)]
struct Entry {
    memory: Memory,
    passages: Vec<Passage>,
    forgotten: bool,
    verdict: Option<Verdict>,
    /// By the clock of this machine.
    hidden_at: Option<Timestamp>,
    /// What it was before, oldest first.
    versions: Vec<Version>,
}

impl Entry {
    fn new(memory: Memory, passages: &[Passage]) -> Self {
        Self {
            hidden_at: memory.quarantined.then(history::now),
            memory,
            passages: passages.to_vec(),
            forgotten: false,
            verdict: None,
            versions: Vec::new(),
        }
    }

    fn is_visible(&self) -> bool {
        !self.forgotten && !self.memory.quarantined
    }

    /// Whether it is in quarantine and nothing was decided about it.
    fn waits(&self) -> bool {
        self.memory.quarantined && self.verdict.is_none()
    }
}

impl Kept {
    fn visible(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.memories.values().filter(|entry| entry.is_visible())
    }

    /// The memory that an arrival is kept as.
    fn known(&self, arrival: &Arrival) -> Option<MemoryId> {
        let new = &arrival.memory;
        let by_key = self.imports.get(&arrival.key.0).copied();
        by_key.or_else(|| {
            if arrival.keeps_id {
                let same = self.memories.get(&new.id);
                let was_imported = || self.imports.values().any(|id| *id == new.id);
                let is_same = same.is_some_and(|entry| {
                    let old = &entry.memory;
                    let was_there = || {
                        let former = entry.versions.iter().map(|version| &version.space);
                        let mut former = former.filter(|space| **space == new.space);
                        former.next().is_some() || self.spaces.had_name(&old.space, &new.space)
                    };
                    let mut former = entry.versions.iter().map(|version| &version.content);
                    (old.content == new.content || former.any(|text| *text == new.content))
                        && (old.space == new.space || !was_imported() || was_there())
                });
                return (is_same || self.erased.contains_key(&new.id)).then_some(new.id);
            }
            let mut newest_first = self.visible().rev();
            let repeated = newest_first.find(|old| duplicate::repeats(new, &old.memory));
            repeated.map(|old| old.memory.id)
        })
    }

    /// The id that a new arrival gets.
    fn free_id(&self, arrival: &Arrival) -> MemoryId {
        let first = arrival.memory.id.digits();
        let last = first + if arrival.keeps_id { 0 } else { 1_000 };
        let mut ids = (first..=last).filter_map(MemoryId::new);
        let free = ids.find(|id| !self.is_taken(*id));
        free.unwrap_or(arrival.spare)
    }

    /// The newest visible memory that says what a record says, if that matters to it.
    fn duplicate_of(&mut self, record: &MemoryRecord) -> Option<&mut Entry> {
        let says_again = |entry: &&mut Entry| {
            let vectors = entry.passages.iter().map(|p| p.embedding.as_slice());
            let vectors: Vec<&[f32]> = vectors.collect();
            let new = (&record.memory, record.passages.as_slice());
            entry.is_visible() && duplicate::says_again(new, (&entry.memory, &vectors))
        };
        let newest_first = self.memories.values_mut().rev();
        newest_first
            .filter(|_| record.duplicates == Duplicates::Merge && !record.memory.quarantined)
            .find(says_again)
    }
}

impl MemoryMap {
    /// An empty store for vectors of `model`.
    pub fn new(model: ModelStamp) -> Self {
        Self {
            model,
            kept: Mutex::default(),
            since: history::now(),
        }
    }

    /// A panic of another test thread must not hide its own message behind a poisoned lock.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_dimensions(&self, embedding: &Embedding) -> Result<(), StoreError> {
        let (expected, received) = (self.model.dimensions, embedding.dimensions());
        if expected == received {
            return Ok(());
        }
        Err(StoreError::Other(format!(
            "expected {expected} dimensions, received {received}"
        )))
    }
}

impl MemoryStore for MemoryMap {
    fn insert(&self, records: &[MemoryRecord]) -> Result<Vec<Inserted>, StoreError> {
        let mut kept = self.kept();
        let mut next = kept.clone();
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            for passage in &record.passages {
                self.check_dimensions(&passage.embedding)?;
            }
            let (key, id) = (record.request.0, record.memory.id);
            if let Some(before) = next.inserts.get(&key) {
                let Some(entry) = next.memories.get(before) else {
                    let erased = next.erased.get(before);
                    let at = erased.expect("a memory that went was erased").at;
                    return Err(StoreError::ErasedSince { id: *before, at });
                };
                answers.push(Inserted::Before(entry.memory.clone()));
                continue;
            }
            if let Some(old) = next.duplicate_of(record) {
                old.keep_version(Replaced {
                    at: record.memory.stored_at,
                    cause: Cause::StoredAgain,
                    by: record.memory.source.clone(),
                });
                old.memory.tags = old.memory.tags.joined(&record.memory.tags);
                old.memory.stored_at = record.memory.stored_at;
                let old = old.memory.clone();
                next.inserts.insert(key, old.id);
                answers.push(Inserted::Duplicate(old));
                continue;
            }
            if next.is_taken(id) {
                return Err(StoreError::DuplicateId(id));
            }
            let entry = Entry::new(record.memory.clone(), &record.passages);
            next.spaces.touch(&record.memory.space);
            next.memories.insert(id, entry);
            next.inserts.insert(key, id);
            answers.push(Inserted::Stored);
        }
        *kept = next;
        Ok(answers)
    }

    fn known(&self, arrivals: &[Arrival]) -> Result<Vec<Option<MemoryId>>, StoreError> {
        let kept = self.kept();
        Ok(arrivals.iter().map(|arrival| kept.known(arrival)).collect())
    }

    fn note_known(&self, known: &[(ImportKey, MemoryId)]) -> Result<(), StoreError> {
        let imports = &mut self.kept().imports;
        for (key, id) in known {
            imports.entry(key.0).or_insert(*id);
        }
        Ok(())
    }

    fn import(&self, arrivals: &[(Arrival, Vec<Passage>)]) -> Result<Vec<Imported>, StoreError> {
        let mut kept = self.kept();
        for (_, passages) in arrivals {
            for passage in passages {
                self.check_dimensions(&passage.embedding)?;
            }
        }
        let import = |(arrival, passages): &(Arrival, Vec<Passage>)| {
            let known = kept.known(arrival);
            let id = known.unwrap_or_else(|| kept.free_id(arrival));
            kept.imports.insert(arrival.key.0, id);
            if known.is_some() {
                return Imported::Known(id);
            }
            let memory = arrival.kept_as(id);
            kept.spaces.touch(&arrival.memory.space);
            let entry = Entry::new(memory, passages);
            kept.memories.insert(id, entry);
            Imported::Stored(id)
        };
        Ok(arrivals.iter().map(import).collect())
    }

    fn update_within(
        &self,
        update: &MemoryUpdate,
        within: &Within,
    ) -> Result<Option<Memory>, StoreError> {
        for passage in &update.passages {
            self.check_dimensions(&passage.embedding)?;
        }
        let mut kept = self.kept();
        let change = &update.change;
        let done = !kept
            .changes
            .insert((Kind::Update, update.request.0, change.id));
        let found = kept.memories.get_mut(&change.id);
        let reached = |entry: &&mut Entry| entry.is_visible() && within.has(&entry.memory.space);
        let Some(entry) = found.filter(reached) else {
            if !done {
                kept.changes
                    .remove(&(Kind::Update, update.request.0, change.id));
            }
            return Ok(None);
        };
        if !done && !change.changes_nothing_of(&entry.memory) {
            entry.keep_version(Replaced {
                at: update.stored_at,
                cause: Cause::Updated,
                by: change.source.clone(),
            });
            if let Some(content) = &change.content {
                entry.memory.content = content.clone();
                entry.passages.clone_from(&update.passages);
            }
            if let Some(tags) = &change.tags {
                entry.memory.tags = tags.clone();
            }
            entry.memory.origin = entry.memory.origin.updated(&change.origin);
            entry.memory.stored_at = update.stored_at;
        }
        Ok(Some(entry.memory.clone()))
    }

    fn get(&self, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>, StoreError> {
        let kept = self.kept();
        let find = |id| kept.memories.get(id).filter(|entry| entry.is_visible());
        Ok(ids
            .iter()
            .map(|id| find(id).map(|entry| entry.memory.clone()))
            .collect())
    }

    fn search(&self, search: &Search<'_>) -> Result<Vec<Hit>, StoreError> {
        self.check_dimensions(search.vector)?;
        let kept = self.kept();
        let in_space = |entry: &&Entry| entry.memory.space == search.filter.space;
        let entries: Vec<&Entry> = kept.visible().filter(in_space).collect();
        let space = space_of(&entries);
        let best: Vec<_> = entries
            .iter()
            .filter_map(|entry| best_passage(entry, search.vector))
            .collect();
        let similarities: Vec<f32> = best.iter().map(|(similarity, _)| *similarity).collect();
        let sections: [&dyn Section; 1] = [&space];
        let corpus = Corpus::new(&sections);
        let parts = recall::score(corpus, search.question, search.vocabulary, &[&similarities]);
        let parts = parts.into_iter().flatten();
        let sought = search.explain.then(|| {
            SoughtTerms::new(
                Stemming::default(),
                corpus,
                search.question,
                search.vocabulary,
            )
        });
        let matched = |text: &str| {
            let sought = sought.as_ref();
            sought.map_or_else(Vec::new, |sought| sought.matched_words(text))
        };
        let found = entries.into_iter().zip(best).zip(parts);
        let hits = found.filter_map(|((entry, (similarity, passage)), parts)| {
            Some(Hit {
                memory: entry.memory.clone(),
                parts: parts?,
                similarity,
                passage,
                matched_words: matched(entry.memory.content.as_str()),
            })
        });
        let mut hits: Vec<Hit> = hits.filter(|hit| search.takes(hit)).collect();
        hits.sort_by(|a, b| {
            let by_score = b.parts.sum().total_cmp(&a.parts.sum());
            by_score.then(b.memory.id.cmp(&a.memory.id))
        });
        hits.truncate(search.limit);
        Ok(hits)
    }

    fn speakers(&self, space: &SpaceName) -> Result<Vec<String>, StoreError> {
        let kept = self.kept();
        let in_space = kept.visible().filter(|entry| entry.memory.space == *space);
        let speakers = in_space.filter_map(|entry| entry.memory.origin.speaker.as_ref());
        let names: BTreeSet<String> = speakers
            .filter(|s| !s.is_role())
            .map(Speaker::key)
            .collect();
        Ok(names.into_iter().collect())
    }

    fn spellings(&self, space: &SpaceName, words: &[String]) -> Result<Vec<Spelling>, StoreError> {
        let kept = self.kept();
        let in_space = kept.visible().filter(|entry| entry.memory.space == *space);
        let space = space_of(&in_space.collect::<Vec<_>>());
        Ok(words.iter().map(|word| space.spelling(word)).collect())
    }

    fn list(&self, query: &ListQuery) -> Result<Vec<Memory>, StoreError> {
        let kept = self.kept();
        let newest_first = kept.visible().rev().map(|entry| &entry.memory);
        let counts = |memory: &Memory| {
            let is_in_space = query.all_spaces || memory.space == query.filter.space;
            is_in_space && query.filter.matches_in_any_space(memory)
        };
        Ok(newest_first
            .filter(|m| counts(m) && query.before.is_none_or(|id| m.id < id))
            .take(query.limit.get())
            .cloned()
            .collect())
    }

    fn forget_within(
        &self,
        ids: &[MemoryId],
        within: &Within,
        request: RequestKey,
    ) -> Result<Vec<bool>, StoreError> {
        let mut kept = self.kept();
        let forget = |id: &MemoryId| {
            let done = kept.changes.contains(&(Kind::Forget, request.0, *id));
            match kept.memories.get_mut(id) {
                Some(entry) if !within.has(&entry.memory.space) => return false,
                Some(entry) if !done && entry.is_visible() => {
                    entry.forgotten = true;
                    entry.hidden_at = Some(history::now());
                }
                _ => return done,
            }
            kept.changes.insert((Kind::Forget, request.0, *id))
        };
        Ok(ids.iter().map(forget).collect())
    }

    fn restore_within(
        &self,
        ids: &[MemoryId],
        within: &Within,
        request: RequestKey,
    ) -> Result<Vec<bool>, StoreError> {
        let kept = &mut *self.kept();
        let restore = |id: &MemoryId| {
            let done = kept.changes.contains(&(Kind::Restore, request.0, *id));
            match kept.memories.get_mut(id) {
                Some(entry) if entry.memory.quarantined => return false,
                Some(entry) if !within.has(&entry.memory.space) => return false,
                Some(entry) if !done && entry.forgotten => {
                    entry.show();
                    kept.spaces.touch(&entry.memory.space);
                }
                found => return found.is_some(),
            }
            kept.changes.insert((Kind::Restore, request.0, *id))
        };
        Ok(ids.iter().map(restore).collect())
    }

    fn history(&self, id: MemoryId) -> Result<Option<History>, StoreError> {
        Ok(self.kept().memories.get(&id).map(Entry::history))
    }

    fn version(&self, id: MemoryId, number: u32) -> Result<Option<Version>, StoreError> {
        let kept = self.kept();
        let versions = kept.memories.get(&id).map(Entry::all_versions);
        let mut versions = versions.into_iter().flatten();
        Ok(versions.find(|version| version.number == number))
    }

    fn restore_version(&self, restore: &VersionRestore) -> Result<Option<Memory>, StoreError> {
        for passage in &restore.passages {
            self.check_dimensions(&passage.embedding)?;
        }
        Ok(self.kept().restore_version(restore))
    }

    fn erase(&self, ids: &[MemoryId], now: Timestamp) -> Result<Erasures, StoreError> {
        let mut kept = self.kept();
        Ok(Erasures {
            each: ids.iter().map(|id| kept.erase(*id, now)).collect(),
            is_under_way: false,
            stuck: None,
            backups: Vec::new(),
        })
    }

    fn erase_due(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<MemoryId>, StoreError> {
        let mut kept = self.kept();
        let due = kept.due(before, self.since, limit);
        for id in &due {
            kept.erase(*id, now);
        }
        Ok(due)
    }

    fn erased(&self, ids: &[MemoryId]) -> Result<Vec<Option<Erased>>, StoreError> {
        let kept = self.kept();
        Ok(ids.iter().map(|id| kept.erased.get(id).cloned()).collect())
    }

    fn quarantined(
        &self,
        before: Option<MemoryId>,
        limit: ListPage,
    ) -> Result<Vec<Memory>, StoreError> {
        let kept = self.kept();
        let newest_first = kept.memories.values().rev();
        let waiting = newest_first.filter(|entry| entry.waits());
        let waiting = waiting.map(|entry| &entry.memory);
        let older = waiting.filter(|memory| before.is_none_or(|id| memory.id < id));
        Ok(older.take(limit.get()).cloned().collect())
    }

    fn judge(&self, ids: &[MemoryId], verdict: Verdict) -> Result<Vec<bool>, StoreError> {
        let kept = &mut *self.kept();
        let judge = |id: &MemoryId| {
            let Some(entry) = kept.memories.get_mut(id) else {
                return false;
            };
            if entry.memory.quarantined {
                entry.memory.quarantined = verdict == Verdict::Discard;
                entry.hidden_at = (verdict == Verdict::Discard).then(history::now);
                entry.verdict = Some(verdict);
                if verdict == Verdict::Release {
                    kept.spaces.touch(&entry.memory.space);
                }
            }
            entry.verdict == Some(verdict)
        };
        Ok(ids.iter().map(judge).collect())
    }

    fn spaces(&self) -> Result<Vec<SpaceInfo>, StoreError> {
        Ok(self.kept().space_infos())
    }

    fn create_space(&self, space: &SpaceName) -> Result<bool, StoreError> {
        Ok(self.kept().create_space(space))
    }

    fn rename_space(&self, from: &SpaceName, to: &SpaceName) -> Result<Renamed, StoreError> {
        Ok(self.kept().rename_space(from, to))
    }

    fn move_memories(&self, what: &Move, request: RequestKey) -> Result<Vec<Moved>, StoreError> {
        Ok(self.kept().move_memories(what, request))
    }

    fn empty_space(&self, space: &SpaceName, most: usize) -> Result<Option<Emptied>, StoreError> {
        Ok(self.kept().empty_space(space, most))
    }

    fn stats(&self, space: &SpaceName) -> Result<Stats, StoreError> {
        let kept = self.kept();
        let visible: Vec<&Entry> = kept.visible().collect();
        let waiting = kept.memories.values().filter(|entry| entry.waits()).count();
        let in_space = visible.iter().filter(|entry| entry.memory.space == *space);
        Ok(Stats {
            space_memories: count(in_space.count()),
            memories: count(visible.len()),
            forgotten: count(kept.memories.len() - visible.len() - waiting),
            quarantined: count(waiting),
            passages: count(visible.iter().map(|entry| entry.passages.len()).sum()),
            database_bytes: 0,
            spaces: kept.spaces.there().cloned().collect(),
            model: self.model.clone(),
            engine: String::new(),
            location: "memory".to_owned(),
            storage: "memory".to_owned(),
            rebuilding: 0,
            unclean: None,
            taken_over: None,
        })
    }

    fn note_backups(&self, note: &BackupNote) -> Result<(), StoreError> {
        let backups = &mut self.kept().backups;
        for path in &note.removed {
            backups.remove(path);
        }
        let made = note.made.iter().cloned();
        backups.extend(made.map(|it| (it.path, it.made_at)));
        Ok(())
    }

    fn backups(&self) -> Result<Vec<Backup>, StoreError> {
        let kept = self.kept();
        let known = kept.backups.iter().map(|(path, made_at)| Backup {
            path: path.clone(),
            made_at: *made_at,
        });
        let mut known: Vec<Backup> = known.collect();
        known.sort_by_key(|backup| backup.made_at);
        Ok(known)
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("usize has at most 64 bits")
}

/// The full text of memories, made anew.
fn space_of(entries: &[&Entry]) -> Space {
    let mut space = Space::default();
    for entry in entries {
        let Memory {
            origin, content, ..
        } = &entry.memory;
        space.add(NewEntry {
            id: entry.memory.id,
            stored_at: entry.memory.stored_at,
            origin,
            document: Document::new(origin, content),
        });
    }
    space
}

/// A memory's best passage with its cosine; of equal passages the first counts.
fn best_passage(entry: &Entry, query: &Embedding) -> Option<(f32, PassageSpan)> {
    let mut best: Option<(f32, PassageSpan)> = None;
    for passage in &entry.passages {
        let cosine = dot(passage.embedding.as_slice(), query.as_slice());
        // Adding zero turns -0.0 into 0.0, which it equals but is not ordered with.
        let similarity = (cosine + 0.0).clamp(-1.0, 1.0);
        if best.as_ref().is_none_or(|(most, _)| similarity > *most) {
            best = Some((similarity, passage.span.clone()));
        }
    }
    best
}

/// Counts words into buckets chosen by hash: texts that share words are near each other. Passages are
/// a fixed number of words.
#[derive(Debug)]
pub struct HashEmbedder {
    model: ModelStamp,
    window_words: usize,
}

impl HashEmbedder {
    /// 384 dimensions, 64 words to a passage.
    pub fn new() -> Self {
        Self::with("hash-embedder", 384, 64)
    }

    /// Another model: its name is part of the hash, so equal texts get other vectors.
    pub fn with(name: &str, dimensions: usize, window_words: usize) -> Self {
        let model = ModelStamp {
            name: name.to_owned(),
            sha256: format!("{:016x}", hash(name, "")).repeat(4),
            dimensions,
        };
        Self {
            model,
            window_words: window_words.max(1),
        }
    }

    fn embed_text(&self, text: &str) -> Result<Embedding, EmbedError> {
        let mut counts = vec![0.0_f32; self.model.dimensions];
        let buckets = u64::try_from(counts.len()).expect("usize has at most 64 bits");
        let mut count = |word: &str| {
            let bucket = hash(&self.model.name, &word.to_lowercase()) % buckets.max(1);
            if let Some(slot) = usize::try_from(bucket).ok().and_then(|b| counts.get_mut(b)) {
                *slot += 1.0;
            }
        };
        text.split_whitespace().for_each(&mut count);
        if text.split_whitespace().next().is_none() {
            count("");
        }
        Embedding::normalize(counts)
            .ok_or_else(|| EmbedError::Inference("a model needs at least 1 dimension".to_owned()))
    }

    /// Byte ranges that together are all of `text`, each of at most `window_words` words.
    fn windows(&self, text: &str) -> Vec<PassageSpan> {
        let starts = word_starts(text).step_by(self.window_words).skip(1);
        let mut bounds = vec![0];
        bounds.extend(starts);
        bounds.push(text.len());
        bounds.windows(2).map(|b| PassageSpan(b[0]..b[1])).collect()
    }
}

impl Default for HashEmbedder {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedder for HashEmbedder {
    fn model(&self) -> &ModelStamp {
        &self.model
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let first = |text: &str| self.windows(text)[0].0.clone();
        texts
            .iter()
            .map(|text| self.embed_text(&text[first(text)]))
            .collect()
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<Passage>>, EmbedError> {
        let passage = |text: &str, span: PassageSpan| {
            let embedding = self.embed_text(&text[span.0.clone()])?;
            Ok(Passage { span, embedding })
        };
        let passages = |text: &&str| {
            let spans = self.windows(text).into_iter();
            spans.map(|span| passage(text, span)).collect()
        };
        texts.iter().map(passages).collect()
    }

    fn vocabulary(&self) -> &dyn Vocabulary {
        self
    }
}

/// Words that start with the same letters are near each other; it knows no word as a whole.
impl Vocabulary for HashEmbedder {
    fn vector(&self, word: &str) -> Option<Vec<f32>> {
        let mut counts = vec![0.0_f32; 64];
        let starts = word
            .char_indices()
            .skip(1)
            .take(4)
            .map(|(at, _)| &word[..at]);
        for start in starts.chain([word]) {
            let bucket = usize::try_from(hash("start", start) % 64).unwrap_or(0);
            counts[bucket] += 1.0;
        }
        let vector = Embedding::normalize(counts)?;
        Some(vector.as_slice().to_vec())
    }

    fn words(&self) -> &[String] {
        &[]
    }

    fn has_word(&self, _: &str) -> bool {
        false
    }
}

fn word_starts(text: &str) -> impl Iterator<Item = usize> {
    let mut after_space = true;
    text.char_indices().filter_map(move |(at, c)| {
        let starts = after_space && !c.is_whitespace();
        after_space = c.is_whitespace();
        starts.then_some(at)
    })
}

/// A hash of `salt`, a zero byte, and `text`.
fn hash(salt: &str, text: &str) -> u64 {
    fnv1a(salt.bytes().chain([0]).chain(text.bytes()))
}

/// A clock that stands still.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A clock that moves on by a fixed step each time it is read.
#[derive(Debug)]
pub struct StepClock {
    next_us: AtomicI64,
    step_us: i64,
}

impl StepClock {
    /// Tells `start` first, then `step_us` microseconds more each time.
    pub const fn new(start: Timestamp, step_us: i64) -> Self {
        Self {
            next_us: AtomicI64::new(start.as_micros()),
            step_us,
        }
    }
}

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.next_us.fetch_add(self.step_us, Ordering::SeqCst))
    }
}

/// Personas in a map.
#[derive(Clone, Debug, Default)]
pub struct PersonaMap {
    personas: BTreeMap<PersonaName, Persona>,
}

impl PersonaMap {
    /// A source of these personas; of two with one name the later counts.
    pub fn new(personas: impl IntoIterator<Item = Persona>) -> Self {
        let personas = personas.into_iter().map(|p| (p.name.clone(), p)).collect();
        Self { personas }
    }
}

impl PersonaSource for PersonaMap {
    fn load(&self, name: &PersonaName) -> Result<Persona, PersonaError> {
        let persona = self.personas.get(name).cloned();
        persona.ok_or_else(|| PersonaError::NotFound {
            name: name.as_str().to_owned(),
            file: name.file_name(),
            searched: "memory".to_owned(),
        })
    }

    fn list(&self) -> Result<Vec<Persona>, PersonaError> {
        Ok(self.personas.values().cloned().collect())
    }
}
