//! Moments that a database notes by name. What each name means is said where it is used, and in `docs/file-format.md`.

use crate::fault::Fault;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use venom_core::Timestamp;

/// The moment of a mark; `None` if it is not set.
pub(crate) fn at(connection: &Connection, name: &str) -> Result<Option<Timestamp>, Fault> {
    let mut statement = connection.prepare_cached("SELECT at_us FROM marks WHERE name = ?1")?;
    let found: Option<i64> = statement.query_row([name], |row| row.get(0)).optional()?;
    Ok(found.map(Timestamp::from_micros))
}

/// Sets a mark, or sets it to another moment.
pub(crate) fn set(tx: &Transaction<'_>, name: &str, at: Timestamp) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO marks (name, at_us) VALUES (?1, ?2)";
    tx.prepare_cached(sql)?
        .execute(params![name, at.as_micros()])?;
    Ok(())
}

/// Removes a mark; there may be none.
pub(crate) fn remove(tx: &Transaction<'_>, name: &str) -> Result<(), Fault> {
    tx.prepare_cached("DELETE FROM marks WHERE name = ?1")?
        .execute([name])?;
    Ok(())
}
