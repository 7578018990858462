//! Which backups there are.

use crate::fault::Fault;
use rusqlite::{Connection, Transaction, params};
use venom_core::{Backup, BackupNote, Timestamp};

/// Notes what became of backups: first what is gone, then what was made.
pub(crate) fn note(tx: &Transaction<'_>, note: &BackupNote) -> Result<(), Fault> {
    let mut remove = tx.prepare_cached("DELETE FROM backups WHERE path = ?1")?;
    for path in &note.removed {
        remove.execute([path])?;
    }
    let sql = "INSERT INTO backups (path, made_at_us) VALUES (?1, ?2)
               ON CONFLICT (path) DO UPDATE SET made_at_us = excluded.made_at_us";
    let mut insert = tx.prepare_cached(sql)?;
    for backup in &note.made {
        insert.execute(params![backup.path, backup.made_at.as_micros()])?;
    }
    Ok(())
}

/// The backups that were noted, oldest first.
pub(crate) fn all(connection: &Connection) -> Result<Vec<Backup>, Fault> {
    let sql = "SELECT path, made_at_us FROM backups ORDER BY made_at_us, path";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([], |row| {
        Ok(Backup {
            path: row.get(0)?,
            made_at: Timestamp::from_micros(row.get(1)?),
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
