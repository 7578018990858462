//! Spaces as such: the statements that list, make, rename, fill and empty them. Those that change anything run inside
//! the caller's transaction.

use crate::fault::Fault;
use crate::versions::keep_version;
use crate::write::{self, Kind};
use crate::{marks, read, rows};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use venom_core::{
    Cause, Emptied, Memory, Move, Moved, Renamed, Replaced, RequestKey, SpaceInfo, SpaceName,
    Timestamp,
};

/// The spaces that are there, by name. O(spaces * log memories).
pub(crate) fn list(connection: &Connection) -> Result<Vec<SpaceInfo>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT s.name, s.memories, s.forgotten,
             (SELECT m.stored_at_us FROM memories AS m INDEXED BY memories_by_id
              WHERE m.space = s.space AND m.forgotten_at_us IS NULL ORDER BY m.id DESC LIMIT 1)
         FROM spaces AS s WHERE s.deleted_at_us IS NULL ORDER BY s.name",
    )?;
    let mut found = statement.query([])?;
    let mut spaces = Vec::new();
    while let Some(row) = found.next()? {
        let newest: Option<i64> = row.get(3)?;
        spaces.push(SpaceInfo {
            name: rows::space_name(&row.get::<_, String>(0)?)?,
            memories: row.get(1)?,
            hidden: row.get(2)?,
            newest: newest.map(Timestamp::from_micros),
        });
    }
    Ok(spaces)
}

/// The row of a space, and whether it was deleted.
fn find(connection: &Connection, space: &SpaceName) -> Result<Option<(i64, bool)>, Fault> {
    let sql = "SELECT space, deleted_at_us IS NOT NULL FROM spaces WHERE name = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([space.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

/// Makes a space, or brings a deleted one back; `false` if it is there.
pub(crate) fn create(tx: &Transaction<'_>, space: &SpaceName) -> Result<bool, Fault> {
    let is_there = matches!(find(tx, space)?, Some((_, false)));
    row(tx, space)?;
    Ok(!is_there)
}

/// The row of a space, which is there afterwards.
fn row(tx: &Transaction<'_>, space: &SpaceName) -> Result<i64, Fault> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO spaces (name, memories, forgotten, passages) VALUES (?1, 0, 0, 0)
         ON CONFLICT (name) DO UPDATE SET deleted_at_us = NULL RETURNING space",
    )?;
    Ok(statement.query_row([space.as_str()], |row| row.get(0))?)
}

/// What notes that the space in a row was renamed, so that repeating it after a lost answer says the same. Names have no
/// control characters.
fn mark(from: &SpaceName, to: &SpaceName, space: i64) -> String {
    format!("renamed\n{}\n{}\n{space}", from.as_str(), to.as_str())
}

/// Whether the space in a row was renamed from a name. O(renames).
pub(crate) fn had_name(connection: &Connection, row: i64, name: &SpaceName) -> Result<bool, Fault> {
    let (begin, end) = (format!("renamed\n{}\n", name.as_str()), format!("\n{row}"));
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM marks WHERE substr(name, 1, length(?1)) = ?1 AND substr(name, -length(?2)) = ?2",
    )?;
    Ok(statement.exists([begin, end])?)
}

/// What became of a space that was to be renamed, as the index has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rename {
    /// It got the new name now.
    Now,
    /// It has it, and nothing was changed.
    Before,
    Missing,
    Taken,
}

impl From<Rename> for Renamed {
    fn from(renamed: Rename) -> Self {
        match renamed {
            Rename::Now | Rename::Before => Self::Done,
            Rename::Missing => Self::Missing,
            Rename::Taken => Self::Taken,
        }
    }
}

/// Gives a space another name.
pub(crate) fn rename(
    tx: &Transaction<'_>,
    from: &SpaceName,
    to: &SpaceName,
) -> Result<Rename, Fault> {
    let (old, new) = (find(tx, from)?, find(tx, to)?);
    let Some((space, false)) = old else {
        let Some((space, false)) = new else {
            return Ok(Rename::Missing);
        };
        return Ok(if marks::at(tx, &mark(from, to, space))?.is_some() {
            Rename::Before
        } else {
            Rename::Missing
        });
    };
    if from == to {
        return Ok(Rename::Before);
    }
    match new {
        None => {}
        Some((deleted, true)) if !has_memories(tx, deleted)? => put_away(tx, deleted, to)?,
        Some(_) => return Ok(Rename::Taken),
    }
    tx.prepare_cached("UPDATE spaces SET name = ?2 WHERE space = ?1")?
        .execute(params![space, to.as_str()])?;
    let now = Timestamp::from_micros(write::now_us());
    marks::set(tx, &mark(from, to, space), now)?;
    Ok(Rename::Now)
}

/// Whether a space has any memories, hidden ones too.
fn has_memories(tx: &Transaction<'_>, space: i64) -> Result<bool, Fault> {
    let sql = "SELECT memories + forgotten > 0 FROM spaces WHERE space = ?1";
    Ok(tx
        .prepare_cached(sql)?
        .query_row([space], |row| row.get(0))?)
}

/// Gives a deleted space without memories a name that is free, for another space to have its own. What is told of
/// memories that were there once must not be told to those who may see the other.
fn put_away(tx: &Transaction<'_>, deleted: i64, name: &SpaceName) -> Result<(), Fault> {
    for other in name.put_away() {
        if find(tx, &other)?.is_none() {
            tx.prepare_cached("UPDATE spaces SET name = ?2 WHERE space = ?1")?
                .execute(params![deleted, other.as_str()])?;
            return Ok(());
        }
    }
    Ok(())
}

/// A memory that lives in another space now.
pub(crate) struct Arrived {
    pub(crate) seq: i64,
    /// Where it was.
    pub(crate) from: SpaceName,
    /// As it is now.
    pub(crate) memory: Memory,
}

/// Moves memories: an answer for each id, and those that live elsewhere now.
pub(crate) fn move_memories(
    tx: &Transaction<'_>,
    model: i64,
    what: &Move,
    request: RequestKey,
) -> Result<(Vec<Moved>, Vec<Arrived>), Fault> {
    let mut to = None;
    let replaced = Replaced {
        at: Timestamp::from_micros(write::now_us()),
        cause: Cause::Moved,
        by: what.source.clone(),
    };
    let (mut answers, mut arrived) = (Vec::with_capacity(what.ids().len()), Vec::new());
    for id in what.ids() {
        let found = write::find(tx, *id)?.filter(|row| !row.forgotten);
        let found = found.filter(|row| what.within.has(&row.space));
        let Some(found) = found else {
            answers.push(Moved::NotFound);
            continue;
        };
        if write::was_applied(tx, request, Kind::Update, found.seq)? {
            answers.push(Moved::Moved);
        } else if found.space == what.to {
            answers.push(Moved::Already);
        } else {
            // Made, or brought back, by the first that comes.
            let to = match to {
                Some(to) => to,
                None => *to.insert(row(tx, &what.to)?),
            };
            keep_version(tx, found.seq, &replaced, false)?;
            change_space(tx, model, found.seq, to)?;
            write::applied(tx, request, Kind::Update, found.seq, write::now_us())?;
            answers.push(Moved::Moved);
            arrived.push(Arrived {
                seq: found.seq,
                from: found.space,
                memory: read::memory_in_row(tx, found.seq)?,
            });
        }
    }
    Ok((answers, arrived))
}

/// Moves a visible memory to the space in a row.
fn change_space(tx: &Transaction<'_>, model: i64, seq: i64, to: i64) -> Result<(), Fault> {
    write::count_visible(tx, model, seq, -1)?;
    tx.prepare_cached("UPDATE memories SET space = ?2, changed = ?3 WHERE seq = ?1")?
        .execute([seq, to, write::next_change(tx)?])?;
    write::count_visible(tx, model, seq, 1)
}

/// Hides up to `most` memories of a space, and deletes it if none is left; with the rows that were hidden.
pub(crate) fn empty(
    tx: &Transaction<'_>,
    model: i64,
    (space, most): (&SpaceName, usize),
) -> Result<Option<(Emptied, Vec<i64>)>, Fault> {
    let Some((row, was_deleted)) = find(tx, space)? else {
        return Ok(None);
    };
    if was_deleted {
        let nothing = Emptied {
            forgotten: 0,
            deleted: true,
        };
        return Ok(Some((nothing, Vec::new())));
    }
    let sql = "SELECT seq FROM memories INDEXED BY memories_by_id
               WHERE space = ?1 AND forgotten_at_us IS NULL ORDER BY id LIMIT ?2";
    let mut statement = tx.prepare_cached(sql)?;
    let found = statement.query_map([row, rows::count_column(most)], |row| row.get(0))?;
    let hidden = found.collect::<Result<Vec<i64>, _>>()?;
    for seq in &hidden {
        write::hide(tx, model, *seq)?;
    }
    let sql = "UPDATE spaces SET deleted_at_us = ?2 WHERE space = ?1 AND memories = 0";
    let deleted = tx.prepare_cached(sql)?.execute([row, write::now_us()])?;
    let emptied = Emptied {
        forgotten: hidden.len() as u64,
        deleted: deleted > 0,
    };
    Ok(Some((emptied, hidden)))
}
