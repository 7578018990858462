//! The writing statements. Each runs inside the caller's transaction, which commits all or nothing.

use crate::fault::Fault;
use crate::{read, rows};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::time::{SystemTime, UNIX_EPOCH};
use venom_core::ports::{Inserted, MemoryRecord};
use venom_core::{
    MemoryId, ModelStamp, Passage, RequestKey, SessionName, SpaceName, Speaker, StoreError,
    Timestamp,
};

/// Request keys that are always kept, newest first, for callers that repeat a call.
const REQUESTS_KEPT: i64 = 10_000;
/// Request keys younger than this are kept too, however many there are: one day.
const REQUEST_AGE_MAX_US: i64 = 24 * 60 * 60 * 1_000_000;

/// What a request key was used for; keys of different kinds are apart.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Insert = 1,
    Forget = 2,
}

/// Stores records; one answer per record, with the row of what was stored.
///
/// # Errors
/// [`StoreError::DuplicateId`] for an id that is taken.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    model: i64,
    records: &[MemoryRecord],
) -> Result<Vec<(Inserted, i64)>, Fault> {
    let now_us = now_us();
    let mut answers = Vec::with_capacity(records.len());
    for record in records {
        answers.push(match applied_insert(tx, record.request)? {
            Some(seq) => (Inserted::Before(read::memory_in_row(tx, seq)?), seq),
            None => (Inserted::Stored, insert_one(tx, model, record, now_us)?),
        });
    }
    Ok(answers)
}

fn insert_one(
    tx: &Transaction<'_>,
    model: i64,
    record: &MemoryRecord,
    now_us: i64,
) -> Result<i64, Fault> {
    let memory = &record.memory;
    let id = rows::id_column(memory.id);
    let mut taken = tx.prepare_cached("SELECT 1 FROM memories WHERE id = ?1")?;
    if taken.exists([id])? {
        return Err(Fault::Store(StoreError::DuplicateId(memory.id)));
    }
    let space = count_in_space(tx, &memory.space, record.passages.len())?;
    tx.prepare_cached(
        "INSERT INTO memories (id, space, stored_at_us, content, speaker, session, occurred_at_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        id,
        space,
        memory.stored_at.as_micros(),
        memory.content.as_str(),
        memory.origin.speaker.as_ref().map(Speaker::as_str),
        memory.origin.session.as_ref().map(SessionName::as_str),
        memory.origin.occurred_at.map(Timestamp::as_micros),
    ])?;
    let seq = tx.last_insert_rowid();
    let mut tag =
        tx.prepare_cached("INSERT INTO tags (memory, position, tag) VALUES (?1, ?2, ?3)")?;
    for (position, text) in memory.tags.as_slice().iter().enumerate() {
        tag.execute(params![seq, rows::count_column(position), text.as_str()])?;
    }
    insert_passages(tx, model, seq, &record.passages)?;
    tx.prepare_cached("INSERT INTO memories_fts (rowid, content) VALUES (?1, ?2)")?
        .execute(params![seq, memory.content.as_str()])?;
    applied(tx, record.request, Kind::Insert, seq, now_us)?;
    Ok(seq)
}

/// The space's row, made if it is new, with one more memory counted.
fn count_in_space(tx: &Transaction<'_>, space: &SpaceName, passages: usize) -> Result<i64, Fault> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO spaces (name, memories, forgotten, passages) VALUES (?1, 1, 0, ?2)
         ON CONFLICT (name) DO UPDATE
         SET memories = memories + 1, passages = passages + excluded.passages
         RETURNING space",
    )?;
    let values = params![space.as_str(), rows::count_column(passages)];
    Ok(statement.query_row(values, |row| row.get(0))?)
}

/// Stores the vectors of one memory.
pub(crate) fn insert_passages(
    tx: &Transaction<'_>,
    model: i64,
    seq: i64,
    passages: &[Passage],
) -> Result<(), Fault> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO passages (model, memory, ordinal, start_byte, end_byte, embedding)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (ordinal, passage) in passages.iter().enumerate() {
        let (start, end) = (passage.span.0.start, passage.span.0.end);
        statement.execute(params![
            model,
            seq,
            rows::count_column(ordinal),
            rows::count_column(start),
            rows::count_column(end),
            rows::encode_vector(passage.embedding.as_slice())
        ])?;
    }
    Ok(())
}

/// What a call to [`forget`] did.
pub(crate) struct Forgotten {
    /// For each id whether it was there.
    pub(crate) answers: Vec<bool>,
    /// The rows that were hidden, each with its space.
    pub(crate) hidden: Vec<(SpaceName, i64)>,
}

/// Hides memories.
pub(crate) fn forget(
    tx: &Transaction<'_>,
    model: i64,
    ids: &[MemoryId],
    request: RequestKey,
) -> Result<Forgotten, Fault> {
    let now_us = now_us();
    let mut answers = Vec::with_capacity(ids.len());
    let mut hidden = Vec::new();
    for id in ids {
        let mut find = tx.prepare_cached(
            "SELECT m.seq, m.forgotten_at_us IS NOT NULL, s.name
             FROM memories AS m JOIN spaces AS s USING (space) WHERE m.id = ?1",
        )?;
        let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found = find.query_row([rows::id_column(*id)], columns).optional()?;
        answers.push(match found {
            None => false,
            Some((seq, true, _)) => was_applied(tx, request, Kind::Forget, seq)?,
            Some((seq, false, space)) => {
                let space: String = space;
                hide(tx, model, seq, now_us)?;
                applied(tx, request, Kind::Forget, seq, now_us)?;
                let name = SpaceName::parse(&space)
                    .map_err(|_| Fault::corrupt(format!("a space has the name {space:?}")))?;
                hidden.push((name, seq));
                true
            }
        });
    }
    Ok(Forgotten { answers, hidden })
}

fn hide(tx: &Transaction<'_>, model: i64, seq: i64, now_us: i64) -> Result<(), Fault> {
    tx.prepare_cached("UPDATE memories SET forgotten_at_us = ?2 WHERE seq = ?1")?
        .execute([seq, now_us])?;
    tx.prepare_cached("DELETE FROM memories_fts WHERE rowid = ?1")?
        .execute([seq])?;
    tx.prepare_cached(
        "UPDATE spaces SET memories = memories - 1, forgotten = forgotten + 1, passages = passages -
             (SELECT count(*) FROM passages WHERE model = ?2 AND memory = ?1)
         WHERE space = (SELECT space FROM memories WHERE seq = ?1)",
    )?
    .execute([seq, model])?;
    Ok(())
}

fn applied_insert(connection: &Connection, key: RequestKey) -> Result<Option<i64>, Fault> {
    let sql = "SELECT memory FROM requests WHERE key = ?1 AND kind = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let values = params![rows::key_column(key), Kind::Insert as i64];
    Ok(statement.query_row(values, |row| row.get(0)).optional()?)
}

fn was_applied(
    connection: &Connection,
    key: RequestKey,
    kind: Kind,
    seq: i64,
) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM requests WHERE key = ?1 AND kind = ?2 AND memory = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.exists(params![rows::key_column(key), kind as i64, seq])?)
}

fn applied(
    tx: &Transaction<'_>,
    key: RequestKey,
    kind: Kind,
    seq: i64,
    now_us: i64,
) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT INTO requests (key, kind, memory, applied_at_us) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![rows::key_column(key), kind as i64, seq, now_us])?;
    Ok(())
}

/// Drops request keys that are neither among the newest nor of the last day.
pub(crate) fn prune_requests(tx: &Transaction<'_>) -> Result<(), Fault> {
    tx.execute(
        "DELETE FROM requests
         WHERE number <= (SELECT max(number) FROM requests) - ?1 AND applied_at_us < ?2",
        [REQUESTS_KEPT, now_us() - REQUEST_AGE_MAX_US],
    )?;
    Ok(())
}

/// The row of a model, made if it is new.
pub(crate) fn model_row(tx: &Transaction<'_>, model: &ModelStamp) -> Result<i64, Fault> {
    let dimensions = rows::count_column(model.dimensions);
    tx.execute(
        "INSERT INTO models (name, sha256, dimensions, active) VALUES (?1, ?2, ?3, 0)
         ON CONFLICT DO NOTHING",
        params![model.name, model.sha256, dimensions],
    )?;
    let sql = "SELECT model FROM models WHERE name = ?1 AND sha256 = ?2 AND dimensions = ?3";
    let values = params![model.name, model.sha256, dimensions];
    Ok(tx.query_row(sql, values, |row| row.get(0))?)
}

/// Makes the model in row `model` the one that is searched, removes every other with its vectors, and
/// counts passages anew.
pub(crate) fn switch_model(tx: &Transaction<'_>, model: i64) -> Result<(), Fault> {
    tx.execute("DELETE FROM passages WHERE model <> ?1", [model])?;
    tx.execute("DELETE FROM models WHERE model <> ?1", [model])?;
    tx.execute("UPDATE models SET active = 1 WHERE model = ?1", [model])?;
    tx.execute(
        "UPDATE spaces SET passages =
             (SELECT count(*) FROM memories AS m JOIN passages AS p ON p.memory = m.seq
              WHERE m.space = spaces.space AND m.forgotten_at_us IS NULL AND p.model = ?1)",
        [model],
    )?;
    Ok(())
}

/// When a row is written: for people, and for pruning. Nothing is ordered by it.
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}
