//! The writing statements. Each runs inside the caller's transaction, which commits all or nothing.

use crate::fault::Fault;
use crate::rows::Quarantine;
use crate::versions::keep_version;
use crate::{erase, read, rows};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::time::{SystemTime, UNIX_EPOCH};
use venom_core::duplicate::{self, Wording};
use venom_core::ports::{Inserted, MemoryRecord, MemoryUpdate};
use venom_core::{
    Cause, ClientName, Content, Duplicates, Memory, MemoryId, Metadata, ModelStamp, Passage,
    Replaced, RequestKey, SessionName, SpaceName, Speaker, StoreError, Timestamp, TokenName,
    Verdict, Within,
};

/// Request keys that are always kept, newest first, for callers that repeat a call.
const REQUESTS_KEPT: i64 = 10_000;
/// Request keys younger than this are kept too, however many there are: one day.
const REQUEST_AGE_MAX_US: i64 = 24 * 60 * 60 * 1_000_000;

/// What a request key was used for; keys of different kinds are apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Insert = 1,
    Forget = 2,
    Update = 3,
    Restore = 4,
}

/// Stores records; one answer per record, with the row of what was stored or refreshed.
///
/// # Errors
/// [`StoreError::DuplicateId`] for an id that is taken, [`StoreError::ErasedSince`] for a key whose memory was erased.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    model: i64,
    records: &[MemoryRecord],
) -> Result<Vec<(Inserted, i64)>, Fault> {
    let now_us = now_us();
    let mut answers = Vec::with_capacity(records.len());
    for record in records {
        let answer = if let Some(seq) = applied_insert(tx, record.request)? {
            if let Some((id, at)) = erase::erased_row(tx, seq)? {
                return Err(Fault::Store(StoreError::ErasedSince { id, at }));
            }
            (Inserted::Before(read::memory_in_row(tx, seq)?), seq)
        } else if let Some((seq, old)) = duplicate_of(tx, model, record)? {
            let memory = refresh(tx, seq, old, record)?;
            applied(tx, record.request, Kind::Insert, seq, now_us)?;
            (Inserted::Duplicate(memory), seq)
        } else {
            (Inserted::Stored, insert_one(tx, model, record, now_us)?)
        };
        answers.push(answer);
    }
    Ok(answers)
}

/// The rows of the visible memories, newest first, that may say what a memory says: of its space and session, of its time
/// if it tells one, and with its fingerprint. Of many only the newest: what was said a thousand times at one time, by as
/// many speakers, is said once more. O(log memories + those of the same fingerprint, and time if it tells one).
pub(crate) fn of_one_text(connection: &Connection, memory: &Memory) -> Result<Vec<i64>, Fault> {
    const NEWEST: usize = 1_000;
    let of_time = match memory.origin.occurred_at {
        Some(_) => "m.occurred_at_us = ?4",
        None => "?4 IS NULL",
    };
    let sql = format!(
        "SELECT m.seq FROM memories AS m JOIN spaces AS s USING (space)
         WHERE s.name = ?1 AND m.fingerprint = ?2 AND m.session IS ?3 AND {of_time} AND m.forgotten_at_us IS NULL
         ORDER BY m.id DESC LIMIT {NEWEST}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let session = memory.origin.session.as_ref().map(SessionName::as_str);
    let at = memory.origin.occurred_at.map(Timestamp::as_micros);
    let (space, text) = (memory.space.as_str(), fingerprint(&memory.content));
    let rows = statement.query_map(params![space, text, session, at], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest visible memory that says what a record says, if that matters to it.
fn duplicate_of(
    tx: &Transaction<'_>,
    model: i64,
    record: &MemoryRecord,
) -> Result<Option<(i64, Memory)>, Fault> {
    if record.duplicates == Duplicates::Keep || record.memory.quarantined {
        return Ok(None);
    }
    let (new, first) = (&record.memory, record.passages.first());
    let Some(dimensions) = first.map(|passage| passage.embedding.dimensions()) else {
        return Ok(None);
    };
    for seq in of_one_text(tx, new)? {
        let old = read::memory_in_row(tx, seq)?;
        let vectors = read::vectors(tx, (model, dimensions), seq)?;
        let vectors: Vec<&[f32]> = vectors.chunks_exact(dimensions).collect();
        if duplicate::says_again((new, &record.passages), (&old, &vectors)) {
            return Ok(Some((seq, old)));
        }
    }
    Ok(None)
}

/// Gives an old memory the time and the tags of a record that says the same.
fn refresh(
    tx: &Transaction<'_>,
    seq: i64,
    old: Memory,
    record: &MemoryRecord,
) -> Result<Memory, Fault> {
    let memory = Memory {
        tags: old.tags.joined(&record.memory.tags),
        stored_at: record.memory.stored_at,
        ..old
    };
    let change = Replaced {
        at: record.memory.stored_at,
        cause: Cause::StoredAgain,
        by: record.memory.source.clone(),
    };
    keep_version(tx, seq, &change, false)?;
    rewrite(tx, seq, &memory)?;
    Ok(memory)
}

/// Writes everything of a visible memory but its passages anew.
pub(crate) fn rewrite(tx: &Transaction<'_>, seq: i64, memory: &Memory) -> Result<(), Fault> {
    tx.prepare_cached(
        "UPDATE memories SET stored_at_us = ?2, content = ?3, speaker = ?4, session = ?5,
             occurred_at_us = ?6, fingerprint = ?7, changed = ?8
         WHERE seq = ?1",
    )?
    .execute(params![
        seq,
        memory.stored_at.as_micros(),
        memory.content.as_str(),
        memory.origin.speaker.as_ref().map(Speaker::as_str),
        memory.origin.session.as_ref().map(SessionName::as_str),
        memory.origin.occurred_at.map(Timestamp::as_micros),
        fingerprint(&memory.content),
        next_change(tx)?,
    ])?;
    tx.prepare_cached("DELETE FROM tags WHERE memory = ?1")?
        .execute([seq])?;
    insert_tags(tx, seq, memory)?;
    tx.prepare_cached("DELETE FROM memories_fts WHERE rowid = ?1")?
        .execute([seq])?;
    insert_words(tx, seq, memory)
}

/// The number of a change.
pub(crate) fn next_change(tx: &Transaction<'_>) -> Result<i64, Fault> {
    Ok(read::last_change(tx)? + 1)
}

fn insert_tags(tx: &Transaction<'_>, seq: i64, memory: &Memory) -> Result<(), Fault> {
    let mut tag =
        tx.prepare_cached("INSERT INTO tags (memory, position, tag) VALUES (?1, ?2, ?3)")?;
    for (position, text) in memory.tags.as_slice().iter().enumerate() {
        tag.execute(params![seq, rows::count_column(position), text.as_str()])?;
    }
    Ok(())
}

fn insert_words(tx: &Transaction<'_>, seq: i64, memory: &Memory) -> Result<(), Fault> {
    tx.prepare_cached("INSERT INTO memories_fts (rowid, content) VALUES (?1, ?2)")?
        .execute(params![seq, memory.content.as_str()])?;
    Ok(())
}

/// The column by which memories that may say the same are found.
pub(crate) fn fingerprint(content: &Content) -> i64 {
    Wording::of(content.as_str()).fingerprint().cast_signed()
}

/// Fills in the fingerprints of a folder from before there were any.
pub(crate) fn fingerprint_all(tx: &Transaction<'_>) -> Result<(), Fault> {
    let mut read = tx.prepare("SELECT seq, content FROM memories")?;
    let mut write = tx.prepare("UPDATE memories SET fingerprint = ?2 WHERE seq = ?1")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, text): (i64, String) = (row.get(0)?, row.get(1)?);
        let fingerprint = Wording::of(&text).fingerprint().cast_signed();
        write.execute([seq, fingerprint])?;
    }
    Ok(())
}

/// How many memories have another fingerprint than their words say.
pub(crate) fn wrong_fingerprints(connection: &Connection) -> Result<u64, Fault> {
    let mut read = connection.prepare("SELECT content, fingerprint FROM memories")?;
    let mut rows = read.query([])?;
    let mut wrong = 0;
    while let Some(row) = rows.next()? {
        let text = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        let found: Option<i64> = row.get(1)?;
        wrong += u64::from(found != Some(Wording::of(text).fingerprint().cast_signed()));
    }
    Ok(wrong)
}

/// Makes the full-text index of all visible memories anew.
pub(crate) fn index_words_anew(tx: &Transaction<'_>) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO memories_fts (memories_fts) VALUES ('delete-all')",
        [],
    )?;
    tx.execute(
        "INSERT INTO memories_fts (rowid, content)
         SELECT seq, content FROM memories WHERE forgotten_at_us IS NULL ORDER BY seq",
        [],
    )?;
    Ok(())
}

fn insert_one(
    tx: &Transaction<'_>,
    model: i64,
    record: &MemoryRecord,
    now_us: i64,
) -> Result<i64, Fault> {
    let seq = insert_row(tx, model, &record.memory, &record.passages)?;
    if record.memory.quarantined {
        hide(tx, model, seq)?;
        set_quarantine(tx, seq, Quarantine::Waits)?;
    }
    applied(tx, record.request, Kind::Insert, seq, now_us)?;
    Ok(seq)
}

/// Stores a memory, visible. Returns its row.
///
/// # Errors
/// [`StoreError::DuplicateId`] for an id that is taken.
pub(crate) fn insert_row(
    tx: &Transaction<'_>,
    model: i64,
    memory: &Memory,
    passages: &[Passage],
) -> Result<i64, Fault> {
    let id = rows::id_column(memory.id);
    if is_taken(tx, memory.id)? {
        return Err(Fault::Store(StoreError::DuplicateId(memory.id)));
    }
    let space = count_in_space(tx, &memory.space, passages.len())?;
    tx.prepare_cached(
        "INSERT INTO memories
             (id, space, stored_at_us, content, speaker, session, occurred_at_us, fingerprint, client, token,
              metadata)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        id,
        space,
        memory.stored_at.as_micros(),
        memory.content.as_str(),
        memory.origin.speaker.as_ref().map(Speaker::as_str),
        memory.origin.session.as_ref().map(SessionName::as_str),
        memory.origin.occurred_at.map(Timestamp::as_micros),
        fingerprint(&memory.content),
        memory.source.client.as_ref().map(ClientName::as_str),
        memory.source.token.as_ref().map(TokenName::as_str),
        memory.metadata.as_ref().map(Metadata::as_str),
    ])?;
    let seq = tx.last_insert_rowid();
    insert_tags(tx, seq, memory)?;
    insert_passages(tx, model, seq, passages)?;
    insert_words(tx, seq, memory)?;
    Ok(seq)
}

/// Whether an id is or was that of a memory. O(log memories).
pub(crate) fn is_taken(connection: &Connection, id: MemoryId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM memories WHERE id = ?1 UNION ALL SELECT 1 FROM erased WHERE id = ?1";
    let mut taken = connection.prepare_cached(sql)?;
    Ok(taken.exists([rows::id_column(id)])?)
}

fn set_quarantine(tx: &Transaction<'_>, seq: i64, state: Quarantine) -> Result<(), Fault> {
    tx.prepare_cached("UPDATE memories SET quarantine = ?2 WHERE seq = ?1")?
        .execute([seq, state as i64])?;
    Ok(())
}

/// The space's row, made if it is new and back if it was deleted, with one more memory counted.
fn count_in_space(tx: &Transaction<'_>, space: &SpaceName, passages: usize) -> Result<i64, Fault> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO spaces (name, memories, forgotten, passages) VALUES (?1, 1, 0, ?2)
         ON CONFLICT (name) DO UPDATE
         SET memories = memories + 1, passages = passages + excluded.passages, deleted_at_us = NULL
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

/// Changes a memory: as it is then, with its row, and whether anything was changed now.
pub(crate) fn update(
    tx: &Transaction<'_>,
    model: i64,
    (update, within): (&MemoryUpdate, &Within),
) -> Result<Option<(i64, Memory, bool)>, Fault> {
    let change = &update.change;
    let Some(Row {
        seq,
        forgotten: false,
        ..
    }) = find_within(tx, change.id, within)?
    else {
        return Ok(None);
    };
    let old = read::memory_in_row(tx, seq)?;
    if was_applied(tx, update.request, Kind::Update, seq)? {
        return Ok(Some((seq, old, false)));
    }
    if change.changes_nothing_of(&old) {
        applied(tx, update.request, Kind::Update, seq, now_us())?;
        return Ok(Some((seq, old, false)));
    }
    let replaced = Replaced {
        at: update.stored_at,
        cause: Cause::Updated,
        by: change.source.clone(),
    };
    let gets_another_text = change
        .content
        .as_ref()
        .is_some_and(|new| *new != old.content);
    keep_version(tx, seq, &replaced, gets_another_text)?;
    let memory = Memory {
        content: change.content.clone().unwrap_or(old.content),
        tags: change.tags.clone().unwrap_or(old.tags),
        origin: old.origin.updated(&change.origin),
        stored_at: update.stored_at,
        ..old
    };
    rewrite(tx, seq, &memory)?;
    if change.content.is_some() {
        replace_passages(tx, model, seq, &update.passages)?;
    }
    applied(tx, update.request, Kind::Update, seq, now_us())?;
    Ok(Some((seq, memory, true)))
}

/// Gives a visible memory other vectors.
pub(crate) fn replace_passages(
    tx: &Transaction<'_>,
    model: i64,
    seq: i64,
    passages: &[Passage],
) -> Result<(), Fault> {
    count_passages(tx, model, seq, -1)?;
    delete_passages(tx, seq)?;
    insert_passages(tx, model, seq, passages)?;
    count_passages(tx, model, seq, 1)
}

/// Removes the vectors of a memory, of every model. O(those): the index of passages begins with the model.
pub(crate) fn delete_passages(tx: &Transaction<'_>, seq: i64) -> Result<(), Fault> {
    let sql = "DELETE FROM passages WHERE model IN (SELECT model FROM models) AND memory = ?1";
    tx.prepare_cached(sql)?.execute([seq])?;
    Ok(())
}

/// A memory as the calls that hide, show and move need to know it.
pub(crate) struct Row {
    pub(crate) seq: i64,
    /// Or hidden by quarantine.
    pub(crate) forgotten: bool,
    pub(crate) quarantine: Option<Quarantine>,
    pub(crate) space: SpaceName,
}

/// A memory, hidden or not.
pub(crate) fn find(tx: &Transaction<'_>, id: MemoryId) -> Result<Option<Row>, Fault> {
    let mut find = tx.prepare_cached(
        "SELECT m.seq, m.forgotten_at_us IS NOT NULL, s.name, m.quarantine
         FROM memories AS m JOIN spaces AS s USING (space) WHERE m.id = ?1",
    )?;
    let mut found = find.query([rows::id_column(id)])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    Ok(Some(Row {
        seq: row.get(0)?,
        forgotten: row.get(1)?,
        space: rows::space_name(&row.get::<_, String>(2)?)?,
        quarantine: Quarantine::of_column(row.get(3)?),
    }))
}

/// The same, if it is in one of these spaces.
fn find_within(tx: &Transaction<'_>, id: MemoryId, within: &Within) -> Result<Option<Row>, Fault> {
    Ok(find(tx, id)?.filter(|row| within.has(&row.space)))
}

/// What a call to [`forget`], [`restore`] or [`judge`] did.
pub(crate) struct Changed {
    /// For each id whether it was there.
    pub(crate) answers: Vec<bool>,
    /// The rows that were hidden or shown, each with its space.
    pub(crate) rows: Vec<(SpaceName, i64)>,
}

/// Hides memories.
pub(crate) fn forget(
    tx: &Transaction<'_>,
    model: i64,
    (ids, within): (&[MemoryId], &Within),
    request: RequestKey,
) -> Result<Changed, Fault> {
    let (mut answers, mut hidden) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        let Some(row) = find_within(tx, *id, within)? else {
            answers.push(false);
            continue;
        };
        let done = was_applied(tx, request, Kind::Forget, row.seq)?;
        answers.push(done || !row.forgotten);
        if !done && !row.forgotten {
            hide(tx, model, row.seq)?;
            applied(tx, request, Kind::Forget, row.seq, now_us())?;
            hidden.push((row.space, row.seq));
        }
    }
    Ok(Changed {
        answers,
        rows: hidden,
    })
}

/// Shows forgotten memories again.
pub(crate) fn restore(
    tx: &Transaction<'_>,
    model: i64,
    (ids, within): (&[MemoryId], &Within),
    request: RequestKey,
) -> Result<Changed, Fault> {
    let (mut answers, mut shown) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        let row = find_within(tx, *id, within)?;
        let row = row.filter(|row| !row.quarantine.is_some_and(Quarantine::hides));
        answers.push(row.is_some());
        if let Some(row) = row.filter(|row| row.forgotten)
            && !was_applied(tx, request, Kind::Restore, row.seq)?
        {
            show(tx, model, row.seq)?;
            applied(tx, request, Kind::Restore, row.seq, now_us())?;
            shown.push((row.space, row.seq));
        }
    }
    Ok(Changed {
        answers,
        rows: shown,
    })
}

/// Carries out a decision about memories in quarantine.
pub(crate) fn judge(
    tx: &Transaction<'_>,
    model: i64,
    ids: &[MemoryId],
    verdict: Verdict,
) -> Result<Changed, Fault> {
    let (mut answers, mut shown) = (Vec::with_capacity(ids.len()), Vec::new());
    let decided = Quarantine::of_verdict(verdict);
    for id in ids {
        let row = find(tx, *id)?;
        let state = row.as_ref().and_then(|row| row.quarantine);
        answers.push(state.is_some_and(|state| state.hides() || state == decided));
        if let Some(row) = row.filter(|row| row.quarantine.is_some_and(Quarantine::hides)) {
            set_quarantine(tx, row.seq, decided)?;
            match verdict {
                Verdict::Release => {
                    show(tx, model, row.seq)?;
                    shown.push((row.space, row.seq));
                }
                // From then on it is kept for as long as what is forgotten.
                Verdict::Discard => {
                    tx.prepare_cached("UPDATE memories SET forgotten_at_us = ?2 WHERE seq = ?1")?
                        .execute([row.seq, now_us()])?;
                }
            }
        }
    }
    Ok(Changed {
        answers,
        rows: shown,
    })
}

/// Hides a visible memory.
pub(crate) fn hide(tx: &Transaction<'_>, model: i64, seq: i64) -> Result<(), Fault> {
    tx.prepare_cached("UPDATE memories SET forgotten_at_us = ?2, changed = ?3 WHERE seq = ?1")?
        .execute([seq, now_us(), next_change(tx)?])?;
    tx.prepare_cached("DELETE FROM memories_fts WHERE rowid = ?1")?
        .execute([seq])?;
    count_forgotten(tx, seq, 1)?;
    count_passages(tx, model, seq, -1)
}

pub(crate) fn show(tx: &Transaction<'_>, model: i64, seq: i64) -> Result<(), Fault> {
    tx.prepare_cached("UPDATE memories SET forgotten_at_us = NULL, changed = ?2 WHERE seq = ?1")?
        .execute([seq, next_change(tx)?])?;
    insert_words(tx, seq, &read::memory_in_row(tx, seq)?)?;
    count_forgotten(tx, seq, -1)?;
    count_passages(tx, model, seq, 1)
}

/// Counts a memory as forgotten (1) or no more so (-1) in its space, which is back then if it was deleted.
fn count_forgotten(tx: &Transaction<'_>, seq: i64, sign: i64) -> Result<(), Fault> {
    tx.prepare_cached(
        "UPDATE spaces SET memories = memories - ?2, forgotten = forgotten + ?2,
             deleted_at_us = iif(?2 < 0, NULL, deleted_at_us)
         WHERE space = (SELECT space FROM memories WHERE seq = ?1)",
    )?
    .execute([seq, sign])?;
    Ok(())
}

/// Adds (1) or takes away (-1) a visible memory with its passages in the counts of its space.
pub(crate) fn count_visible(
    tx: &Transaction<'_>,
    model: i64,
    seq: i64,
    sign: i64,
) -> Result<(), Fault> {
    tx.prepare_cached(
        "UPDATE spaces SET memories = memories + ?2
         WHERE space = (SELECT space FROM memories WHERE seq = ?1)",
    )?
    .execute([seq, sign])?;
    count_passages(tx, model, seq, sign)
}

/// Adds (1) or takes away (-1) a memory's passages in the count of its space.
fn count_passages(tx: &Transaction<'_>, model: i64, seq: i64, sign: i64) -> Result<(), Fault> {
    tx.prepare_cached(
        "UPDATE spaces SET passages = passages + ?3 *
             (SELECT count(*) FROM passages WHERE model = ?2 AND memory = ?1)
         WHERE space = (SELECT space FROM memories WHERE seq = ?1)",
    )?
    .execute([seq, model, sign])?;
    Ok(())
}

fn applied_insert(connection: &Connection, key: RequestKey) -> Result<Option<i64>, Fault> {
    let sql = "SELECT memory FROM requests WHERE key = ?1 AND kind = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let values = params![rows::key_column(key), Kind::Insert as i64];
    Ok(statement.query_row(values, |row| row.get(0)).optional()?)
}

/// Whether a call with this key did this to a memory.
pub(crate) fn was_applied(
    connection: &Connection,
    key: RequestKey,
    kind: Kind,
    seq: i64,
) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM requests WHERE key = ?1 AND kind = ?2 AND memory = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.exists(params![rows::key_column(key), kind as i64, seq])?)
}

/// Notes that a call with this key did this to a memory.
pub(crate) fn applied(
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

/// Drops request keys that are neither among the newest nor of the last day. O(keys that are dropped): they are in the
/// order of time.
pub(crate) fn prune_requests(tx: &Transaction<'_>) -> Result<(), Fault> {
    let sql = "SELECT number FROM requests WHERE applied_at_us >= ?1 ORDER BY number LIMIT 1";
    let first: Option<i64> = tx
        .query_row(sql, [now_us() - REQUEST_AGE_MAX_US], |row| row.get(0))
        .optional()?;
    // One bound: of two SQLite takes the first and looks at every row below it.
    tx.execute(
        "DELETE FROM requests
         WHERE number < min((SELECT max(number) FROM requests) - ?1 + 1, ?2)",
        [REQUESTS_KEPT, first.unwrap_or(i64::MAX)],
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
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}
