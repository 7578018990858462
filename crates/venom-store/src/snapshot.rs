//! A copy of the database while it is in use, and the look at such a copy.
//!
//! With a write-ahead log the database file itself changes at a checkpoint only. So a copy begins with one, after which
//! checkpoints are held back; the file then stands still at a moment between two calls, and is read without any lock
//! while stores and searches go on beside it. With a rollback journal (network file systems) every commit writes to the
//! file, and calls wait for the copy.
//!
//! SQLite's own means lock for longer: `VACUUM INTO` for the whole copy, and the backup interface has every store write
//! to the copy as well, which may lie on a slow disk.

use crate::fault::{Doing, Fault};
use crate::folder;
use crate::open::{self, Journal};
use crate::read;
use crate::schema;
use crate::store::{Shared, SqliteStore};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;
use venom_core::{ModelStamp, StoreError};

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// After so many pages in the write-ahead log a commit makes a checkpoint: SQLite's default.
const CHECKPOINT_PAGES: i64 = 1_000;
/// Where the header of a database says how it is written and read: 1 is a rollback journal, 2 a write-ahead log.
const JOURNAL_BYTES: std::ops::Range<usize> = 18..20;

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Version of its tables.
    pub schema: i64,
    /// The model that made its vectors; `None` before there were any.
    pub model: Option<ModelStamp>,
    /// Memories that can be recalled, of all spaces.
    pub memories: u64,
    /// Memories that are hidden: forgotten, or in quarantine.
    pub hidden: u64,
    /// Spaces with memories.
    pub spaces: u64,
}

/// Why a file is not taken for a copy of a database, without the file's name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unsound(String);

impl SqliteStore {
    /// Writes a copy of the database as it is at one moment between two calls to `to`, a path where nothing is yet.
    /// Synced on return; a database that opens by itself. Stores and searches go on beside it, but on a network file
    /// system. O(database); one at a time.
    ///
    /// # Errors
    /// [`StoreError`] that names what cannot be read or written; then nothing is at `to`, unless it was there before.
    pub fn snapshot(&self, to: &Path) -> Result<DatabaseFacts, StoreError> {
        let copy = folder::private_file().create_new(true).open(to);
        let copy = copy.map_err(|error| unwritable(to, &error))?;
        let copied = self.shared().snapshot(&copy, to).inspect_err(|_| {
            // What is half there is of no use; that it cannot be removed adds nothing to the error.
            let _ = std::fs::remove_file(to);
        });
        // A cleaning may have waited for the end.
        self.shared().signal.wake();
        copied
    }
}

impl Shared {
    fn snapshot(&self, copy: &File, to: &Path) -> Result<DatabaseFacts, StoreError> {
        let _one_at_a_time = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let facts = match self.info.journal {
            Journal::WriteAhead => {
                let begun = self.with_sound_state(|connection| {
                    let facts = facts(connection)?;
                    stand_still(connection)?;
                    Ok((facts, bytes(connection)?))
                });
                let copied = begun.and_then(|(facts, bytes)| {
                    let copied = transfer(&self.file, copy, bytes);
                    copied.map_err(|error| unwritable(to, &error))?;
                    Ok(facts)
                });
                // Whatever became of the copy, the log must not grow for ever.
                self.read(|connection| {
                    Ok(connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?)
                })?;
                copied?
            }
            Journal::Rollback => self.with_sound_state(|connection| {
                let facts = facts(connection)?;
                let copied = transfer(&self.file, copy, bytes(connection)?);
                copied.map_err(|error| unwritable(to, &error))?;
                Ok(facts)
            })?,
        };
        stand_alone(to).map_err(|fault| {
            let why = fault.into_store(to.parent().unwrap_or(to), Doing::Reading);
            StoreError::Other(format!("the copy {} is not sound: {why}", to.display()))
        })?;
        let synced = copy.sync_all();
        let synced = synced.and_then(|()| to.parent().map_or(Ok(()), folder::sync));
        synced.map_err(|error| unwritable(to, &error))?;
        Ok(facts)
    }
}

/// Writes everything into the database file, and nothing more from then on.
fn stand_still(connection: &Connection) -> Result<(), Fault> {
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    open::empty_log(connection)
}

/// Size of the database as SQLite sees it, in bytes.
fn bytes(connection: &Connection) -> Result<u64, Fault> {
    let pages: u64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(pages * page)
}

/// Copies the first `bytes` of a file. The position of the source is nobody's: it is read at places.
fn transfer(from: &File, mut to: &File, bytes: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < bytes {
        let left = usize::try_from(bytes - at).unwrap_or(CHUNK_BYTES);
        let part = &mut chunk[..left.min(CHUNK_BYTES)];
        from.read_exact_at(part, at)?;
        to.write_all(part)?;
        at += part.len() as u64;
    }
    Ok(())
}

/// Says in the header of a copy that it has no write-ahead log: then it is one file, which can be read where nothing
/// can be written.
fn stand_alone(copy: &Path) -> Result<(), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    connection
        .close()
        .map_err(|(_, error)| Fault::Sqlite(error))?;
    Ok(())
}

/// What a database of any schema of ours holds. O(spaces).
pub(crate) fn facts(connection: &Connection) -> Result<DatabaseFacts, Fault> {
    let schema = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let sql = "SELECT coalesce(sum(memories), 0), coalesce(sum(forgotten), 0),
                      count(*) FILTER (WHERE memories > 0) FROM spaces";
    let (memories, hidden, spaces) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(DatabaseFacts {
        schema,
        model: read::active_model(connection)?.map(|(_, model)| model),
        memories,
        hidden,
        spaces,
    })
}

/// Reads all of a copy made by [`SqliteStore::snapshot`] and says what it holds. Writes nothing, trusts nothing: the
/// file may come from anywhere.
///
/// # Errors
/// [`Unsound`] if it is no database of ours, of a newer Venom, damaged or holds what none of ours does.
pub fn inspect(copy: &Path) -> Result<DatabaseFacts, Unsound> {
    let mut header = [0; 100];
    let read = File::open(copy).and_then(|file| file.read_exact_at(&mut header, 0));
    match read {
        Ok(()) if header.starts_with(&open::MAGIC) => {}
        Ok(()) => {
            let why = "it is no SQLite database: its first bytes are others";
            return Err(Unsound(why.to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let why = "it is cut short: expected at least 100 bytes";
            return Err(Unsound(why.to_owned()));
        }
        Err(error) => return Err(Unsound(format!("it cannot be read: {error}"))),
    }
    if header[JOURNAL_BYTES] != [1, 1] {
        let why = "it is a database in use: expected a copy, in whose header is no write-ahead log";
        return Err(Unsound(why.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(unreadable)?;
    examine(&connection).map_err(|fault| {
        let error = fault.into_store(copy.parent().unwrap_or(copy), Doing::Reading);
        match error {
            StoreError::Corrupt(why) => Unsound(format!("it is damaged: {why}")),
            StoreError::NewerSchema { found, known } => Unsound(format!(
                "it has schema version {found}: this Venom knows versions up to {known}"
            )),
            other => Unsound(other.to_string()),
        }
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "stands where `map_err` hands the error over"
)]
fn unreadable(error: rusqlite::Error) -> Unsound {
    Unsound(format!("it cannot be read: {error}"))
}

fn examine(connection: &Connection) -> Result<DatabaseFacts, Fault> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    schema::check_version(connection)?;
    // Code that came with the data would run at every store.
    let sql = "SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'view') LIMIT 1";
    let mut strange = connection.prepare(sql)?;
    if let Some(row) = strange.query([])?.next()? {
        let name: String = row.get(0)?;
        return Err(Fault::corrupt(format!(
            "expected tables and indexes alone, found {name:?}"
        )));
    }
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        // One error is one line.
        let found: Vec<&str> = found.lines().collect();
        return Err(Fault::corrupt(found.join("; ")));
    }
    facts(connection)
}

fn unwritable(to: &Path, error: &io::Error) -> StoreError {
    StoreError::Folder(format!(
        "the copy of the database cannot be written to {}: {error}",
        to.display()
    ))
}
