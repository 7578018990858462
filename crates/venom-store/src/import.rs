//! Memories from elsewhere: how they are recognised, stored and counted.

use crate::fault::Fault;
use crate::{read, rows, spaces, write};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use venom_core::import::NEIGHBOURS;
use venom_core::{
    Arrival, ImportKey, Imported, Memory, MemoryId, Passage, SpaceName, TakenOver, duplicate,
};

/// The memory that an arrival is kept as. O(log memories + memories of the same fingerprint).
pub(crate) fn known(connection: &Connection, arrival: &Arrival) -> Result<Option<MemoryId>, Fault> {
    let by_key =
        "SELECT coalesce(m.id, e.id) FROM imports AS i LEFT JOIN memories AS m ON m.seq = i.memory
                      LEFT JOIN erased AS e ON e.memory = i.memory WHERE i.key = ?1";
    let mut statement = connection.prepare_cached(by_key)?;
    let found: Option<i64> = statement
        .query_row([key_column(arrival.key)], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(Some(rows::memory_id(id)?));
    }
    let new = &arrival.memory;
    if arrival.keeps_id {
        let mut statement = connection.prepare_cached(
            "SELECT m.seq, m.space, s.name FROM memories AS m JOIN spaces AS s USING (space)
             WHERE m.id = ?1 AND (m.content = ?2 OR EXISTS
                 (SELECT 1 FROM versions AS v WHERE v.memory = m.seq AND v.content = ?2))",
        )?;
        let values = params![rows::id_column(new.id), new.content.as_str()];
        let found = statement.query_row(values, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        });
        let is_there = match found.optional()? {
            Some((_, _, name)) if name == new.space.as_str() => true,
            // A copy of one that was imported is another one if it comes for another space, unless that is where it was.
            Some((seq, space, _)) => {
                !was_imported(connection, seq)? || was_in(connection, (seq, space), &new.space)?
            }
            None => {
                let sql = "SELECT 1 FROM erased WHERE id = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                statement.exists([rows::id_column(new.id)])?
            }
        };
        return Ok(is_there.then_some(new.id));
    }
    for seq in write::of_one_text(connection, new)? {
        let old = read::memory_in_row(connection, seq)?;
        if duplicate::repeats(new, &old) {
            return Ok(Some(old.id));
        }
    }
    Ok(None)
}

fn was_imported(connection: &Connection, seq: i64) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM imports WHERE memory = ?1")?;
    Ok(statement.exists([seq])?)
}

/// Whether a memory in a row, and in the row of a space, was moved from a space, or that of it had this name once.
fn was_in(
    connection: &Connection,
    (seq, row): (i64, i64),
    space: &SpaceName,
) -> Result<bool, Fault> {
    let mut moved = connection.prepare_cached(
        "SELECT 1 FROM versions AS v JOIN spaces AS s USING (space) WHERE v.memory = ?1 AND s.name = ?2",
    )?;
    Ok(moved.exists(params![seq, space.as_str()])? || spaces::had_name(connection, row, space)?)
}

/// Stores an arrival, unless it is known. Returns the row and the memory if it was stored.
pub(crate) fn import(
    tx: &Transaction<'_>,
    model: i64,
    (arrival, passages): (&Arrival, &[Passage]),
) -> Result<(Imported, Option<(i64, Memory)>), Fault> {
    if let Some(id) = known(tx, arrival)? {
        note_known(tx, arrival.key, id)?;
        return Ok((Imported::Known(id), None));
    }
    let memory = arrival.kept_as(free_id(tx, arrival)?);
    let seq = write::insert_row(tx, model, &memory, passages)?;
    tx.prepare_cached("INSERT INTO imports (key, memory) VALUES (?1, ?2)")?
        .execute(params![key_column(arrival.key), seq])?;
    Ok((Imported::Stored(memory.id), Some((seq, memory))))
}

/// Whether something with this key was imported, or known when it came.
pub(crate) fn is_noted(connection: &Connection, key: ImportKey) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM imports WHERE key = ?1")?;
    Ok(statement.exists([key_column(key)])?)
}

/// Notes that what has a key is kept as a memory, perhaps an erased one.
pub(crate) fn note_known(tx: &Transaction<'_>, key: ImportKey, id: MemoryId) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO imports (key, memory) SELECT ?1, seq FROM memories WHERE id = ?2
         UNION ALL SELECT ?1, memory FROM erased WHERE id = ?2",
    )?
    .execute(params![key_column(key), rows::id_column(id)])?;
    Ok(())
}

/// The id that a new arrival gets.
fn free_id(tx: &Transaction<'_>, arrival: &Arrival) -> Result<MemoryId, Fault> {
    let first = arrival.memory.id.digits();
    let last = first.saturating_add(if arrival.keeps_id { 0 } else { NEIGHBOURS });
    for id in (first..=last).filter_map(MemoryId::new) {
        if !write::is_taken(tx, id)? {
            return Ok(id);
        }
    }
    Ok(arrival.spare)
}

/// The column of an import key: 16 bytes, big-endian.
const fn key_column(key: ImportKey) -> [u8; 16] {
    key.0.to_be_bytes()
}

/// The state of a source when all of it had been imported.
pub(crate) fn source_state(connection: &Connection, name: &str) -> Result<Option<String>, Fault> {
    let sql = "SELECT state FROM sources WHERE name = ?1";
    let found = connection.query_row(sql, [name], |row| row.get(0));
    Ok(found.optional()?)
}

/// Notes that all of a source in a state has been imported.
pub(crate) fn note_source(
    tx: &Transaction<'_>,
    (name, state): (&str, &str),
    came: TakenOver,
) -> Result<(), Fault> {
    let sql = "INSERT INTO sources (name, state, memories, skipped) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (name) DO UPDATE SET state = excluded.state, skipped = excluded.skipped,
                   memories = memories + excluded.memories";
    tx.execute(sql, params![name, state, came.memories, came.skipped])?;
    Ok(())
}

/// What came from every source so far; `None` if that is nothing.
pub(crate) fn taken_over(connection: &Connection) -> Result<Option<TakenOver>, Fault> {
    let sql = "SELECT coalesce(sum(memories), 0), coalesce(sum(skipped), 0) FROM sources";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([], |row| {
        let came = TakenOver {
            memories: row.get(0)?,
            skipped: row.get(1)?,
        };
        Ok((came != TakenOver::default()).then_some(came))
    });
    Ok(found?)
}
