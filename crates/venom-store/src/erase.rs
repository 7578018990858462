//! Erasing memories: the statements, and what is known of those that were erased.

use crate::fault::Fault;
use crate::rows::Quarantine;
use crate::{backups, folder, marks, restore, rows, write};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::cmp::Reverse;
use std::path::Path;
use std::time::UNIX_EPOCH;
use venom_core::import::{CHROMA_FILE, IMPORT_FOLDER_BEGIN};
use venom_core::{Backup, Erased, Erasure, MemoryId, Timestamp};

/// The mark of a database whose files may still hold bytes of what was erased.
pub(crate) const CLEANING: &str = "cleaning_since";
/// A copy of the database is made so long after its backup was begun at most: an hour.
const COPIED_WITHIN_US: i64 = 60 * 60 * 1_000_000;
/// The mark of the moment before which nothing counts as hidden.
const ERASING: &str = "erasing_since";

/// What erasing did to the database.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) each: Vec<Erasure>,
    /// The rows of what was erased now.
    pub(crate) rows: Vec<i64>,
}

/// Erases memories. The caller has turned foreign keys off: SQLite would look through whole tables for rows that
/// belong to a memory, and those that do are deleted here.
pub(crate) fn erase(
    tx: &Transaction<'_>,
    model: i64,
    ids: &[MemoryId],
    now: Timestamp,
) -> Result<Done, Fault> {
    let mut done = Done::default();
    for id in ids {
        done.each.push(match write::find(tx, *id)? {
            Some(row) => {
                erase_row(tx, model, &row, now)?;
                done.rows.push(row.seq);
                Erasure::Erased
            }
            None => erased(tx, *id)?.map_or(Erasure::Unknown, |it| Erasure::Before(it.at)),
        });
    }
    if !done.rows.is_empty() {
        // The keys that stored them stay for as long as others, so that repeating such a call stores nothing.
        let sql = "DELETE FROM requests WHERE kind <> ?1 AND memory IN (SELECT memory FROM erased)";
        tx.execute(sql, [write::Kind::Insert as i64])?;
        marks::set(tx, CLEANING, now)?;
    }
    Ok(done)
}

fn erase_row(
    tx: &Transaction<'_>,
    model: i64,
    row: &write::Row,
    now: Timestamp,
) -> Result<(), Fault> {
    let seq = row.seq;
    if !row.forgotten {
        write::hide(tx, model, seq)?;
    }
    tx.prepare_cached(
        "INSERT INTO erased (memory, id, space, erased_at_us, changed)
         SELECT seq, id, space, ?2, ?3 FROM memories WHERE seq = ?1",
    )?
    .execute(params![seq, now.as_micros(), write::next_change(tx)?])?;
    tx.prepare_cached(
        "UPDATE spaces SET forgotten = forgotten - 1
         WHERE space = (SELECT space FROM memories WHERE seq = ?1)",
    )?
    .execute([seq])?;
    write::delete_passages(tx, seq)?;
    for sql in [
        "DELETE FROM tags WHERE memory = ?1",
        "DELETE FROM versions WHERE memory = ?1",
        "DELETE FROM memories WHERE seq = ?1",
    ] {
        tx.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}

/// Up to `limit` memories that were hidden before a moment and do not wait for the owner, those hidden first.
pub(crate) fn due(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<MemoryId>, Fault> {
    if marks::at(connection, ERASING)?.is_some_and(|since| since >= before) {
        return Ok(Vec::new());
    }
    let sql = "SELECT id FROM memories INDEXED BY memories_by_forgetting
               WHERE forgotten_at_us < ?1 AND quarantine IS NOT ?2 ORDER BY forgotten_at_us, id LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let values = params![
        before.as_micros(),
        Quarantine::Waits as i64,
        rows::count_column(limit)
    ];
    let found = statement.query_map(values, |row| row.get(0))?;
    found.map(|id| rows::memory_id(id?)).collect()
}

/// What is known of a memory that was erased.
pub(crate) fn erased(connection: &Connection, id: MemoryId) -> Result<Option<Erased>, Fault> {
    let sql = "SELECT s.name, e.erased_at_us FROM erased AS e JOIN spaces AS s USING (space) WHERE e.id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([rows::id_column(id)], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    });
    let Some((name, at)) = found.optional()? else {
        return Ok(None);
    };
    let space = rows::space_name(&name)?;
    let at = Timestamp::from_micros(at);
    Ok(Some(Erased { space, at }))
}

/// Id and moment of the memory that was in a row, if it was erased. O(log erased).
pub(crate) fn erased_row(
    connection: &Connection,
    seq: i64,
) -> Result<Option<(MemoryId, Timestamp)>, Fault> {
    let sql = "SELECT id, erased_at_us FROM erased WHERE memory = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)));
    let found: Option<(i64, i64)> = found.optional()?;
    found
        .map(|(id, at)| Ok((rows::memory_id(id)?, Timestamp::from_micros(at))))
        .transpose()
}

/// Backups that may hold one of these memories, newest first: made since the first of them was stored, and not known to
/// be gone. Asked before the memories are erased, as only their rows tell when that was.
pub(crate) fn backups_of(connection: &Connection, ids: &[MemoryId]) -> Result<Vec<Backup>, Fault> {
    let sql = "SELECT min(m.stored_at_us, coalesce(
                   (SELECT min(v.stored_at_us) FROM versions AS v WHERE v.memory = m.seq), m.stored_at_us))
               FROM memories AS m WHERE m.id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut first = i64::MAX;
    for id in ids {
        let column = rows::id_column(*id);
        let stored: Option<i64> = statement.query_row([column], |row| row.get(0)).optional()?;
        // An id tells the moment, unless it came from elsewhere.
        first = first.min(column).min(stored.unwrap_or(i64::MAX));
    }
    // A backup is noted with the moment at which it was begun; its copy is made later.
    let since = Timestamp::from_micros(first.saturating_sub(COPIED_WITHIN_US));
    let mut backups = backups::all(connection)?;
    // Where it cannot be told whether one is there it may be.
    let may_be_there = |path: &str| Path::new(path).try_exists().unwrap_or(true);
    backups.retain(|backup| backup.made_at >= since && may_be_there(&backup.path));
    backups.sort_by_key(|backup| Reverse(backup.made_at));
    Ok(backups)
}

/// Whether one of these memories came from elsewhere. O(imports).
pub(crate) fn is_any_imported(connection: &Connection, ids: &[MemoryId]) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM imports WHERE memory = (SELECT seq FROM memories WHERE id = ?1)";
    let mut statement = connection.prepare_cached(sql)?;
    for id in ids {
        if statement.exists([rows::id_column(*id)])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What else in a data folder may hold memories: what a restore moved aside, a copy that is being made, and for memories
/// that were imported the predecessor's database and what a killed start left of a copy of it. Nothing of it is ever changed.
pub(crate) fn copies_beside(folder: &Path, is_imported: bool) -> Vec<Backup> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut copies: Vec<Backup> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            (name.starts_with(restore::ASIDE_BEGIN) && !holds_personas_alone(&entry.path()))
                || name == folder::BACKUP_STAGING
                || (is_imported && (name == CHROMA_FILE || name.starts_with(IMPORT_FOLDER_BEGIN)))
        })
        .map(|entry| {
            let changed = entry.metadata().and_then(|found| found.modified()).ok();
            let since = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let at_us = since.map_or(0, |it| i64::try_from(it.as_micros()).unwrap_or(i64::MAX));
            Backup {
                path: entry.path().display().to_string(),
                made_at: Timestamp::from_micros(at_us),
            }
        })
        .collect();
    copies.sort_by(|a, b| a.path.cmp(&b.path));
    copies
}

/// Whether what a restore moved aside is personas and nothing else.
fn holds_personas_alone(aside: &Path) -> bool {
    let entries = std::fs::read_dir(aside).into_iter().flatten();
    let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let is_personas = |name| matches!(name, Some(Ok(name)) if name == restore::PERSONAS_ASIDE);
    is_personas(names.next()) && names.next().is_none()
}

/// Has what is hidden count as hidden now, if it was hidden before.
pub(crate) fn keep_hidden_from(tx: &Transaction<'_>, now: Timestamp) -> Result<(), Fault> {
    marks::set(tx, ERASING, now)
}

/// Merges some of the full-text index, so that the words of what went leave it: SQLite only notes that they went.
/// `false` if there was nothing left to merge: all is one segment.
pub(crate) fn purge_words(tx: &Transaction<'_>, pages: i64) -> Result<bool, Fault> {
    // Below zero all segments are taken together. Else what others store between two turns could end it: a few small
    // segments are left alone then. The second look tells, before others store again, whether that was all.
    let sql = "INSERT INTO memories_fts (memories_fts, rank) VALUES ('merge', ?1)";
    let mut merge = tx.prepare_cached(sql)?;
    for _ in 0..2 {
        let before = written(tx)?;
        merge.execute([-pages])?;
        // Less than two: nothing but the command itself.
        if written(tx)? - before < 2 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first pages of all tables and indexes.
pub(crate) fn roots(connection: &Connection) -> Result<Vec<u32>, Fault> {
    let sql = "SELECT 1 UNION SELECT rootpage FROM sqlite_schema WHERE rootpage > 0";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map([], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Goes up with every row that is written.
pub(crate) fn written(connection: &Connection) -> Result<i64, Fault> {
    Ok(connection.query_row("SELECT total_changes()", [], |row| row.get(0))?)
}

/// How many memories were erased. For people.
pub(crate) fn count(connection: &Connection) -> Result<u64, Fault> {
    let count = connection.query_row("SELECT count(*) FROM erased", [], |row| row.get(0));
    Ok(count?)
}

/// The row of the first memory of which something is left although it was erased, and where.
pub(crate) fn leftover(connection: &Connection) -> Result<Option<(i64, &'static str)>, Fault> {
    // The keys that stored them stay.
    let requests = format!(
        "SELECT memory FROM requests WHERE kind <> {} AND memory IN (SELECT memory FROM erased) LIMIT 1",
        write::Kind::Insert as i64
    );
    for (table, sql) in [
        (
            "memories",
            "SELECT seq FROM memories WHERE seq IN (SELECT memory FROM erased) LIMIT 1",
        ),
        (
            "memories",
            "SELECT seq FROM memories WHERE id IN (SELECT id FROM erased) LIMIT 1",
        ),
        (
            "tags",
            "SELECT memory FROM tags WHERE memory IN (SELECT memory FROM erased) LIMIT 1",
        ),
        (
            "passages",
            "SELECT memory FROM passages WHERE memory IN (SELECT memory FROM erased) LIMIT 1",
        ),
        (
            "versions",
            "SELECT memory FROM versions WHERE memory IN (SELECT memory FROM erased) LIMIT 1",
        ),
        ("requests", &requests),
        (
            "memories_fts",
            "SELECT id FROM memories_fts_docsize WHERE id IN (SELECT memory FROM erased) LIMIT 1",
        ),
    ] {
        let found = connection.query_row(sql, [], |row| row.get(0)).optional()?;
        if let Some(seq) = found {
            return Ok(Some((seq, table)));
        }
    }
    Ok(None)
}

/// A memory whose former versions have gaps in their numbers.
pub(crate) fn broken_history(connection: &Connection) -> Result<Option<MemoryId>, Fault> {
    let sql =
        "SELECT m.id FROM versions AS v JOIN memories AS m ON m.seq = v.memory GROUP BY v.memory
               HAVING min(v.version) <> 1 OR max(v.version) <> count(*) LIMIT 1";
    let found: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    found.map(rows::memory_id).transpose()
}
