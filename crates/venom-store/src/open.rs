//! Opening the database: what is checked before a byte is trusted, and how SQLite is set up.

use crate::fault::{Doing, Fault};
use crate::folder::{self, Identity};
use crate::lease::LeaseFile;
use crate::schema;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use venom_core::StoreError;

/// The database's name in the data folder.
pub(crate) const FILE_NAME: &str = "venom.db";
/// Databases up to this size are checked page by page at every start; larger ones as they are read.
const QUICK_CHECK_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What the write-ahead log is cut back to after a large transaction.
const LOG_BYTES_MAX: i64 = 16 * 1024 * 1024;
/// SQLite's page cache, in KiB; negative is how the pragma says "not pages".
const CACHE_KIB: i64 = -16 * 1024;
/// Size of a page of a new database, in bytes: five passages fit, in 4 KiB only two.
const PAGE_BYTES: i64 = 8 * 1024;
/// Compiled statements that are kept.
const STATEMENTS_MAX: usize = 64;
/// First bytes of every SQLite database.
pub(crate) const MAGIC: [u8; 16] = *b"SQLite format 3\0";

/// How commits are made atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// A write-ahead log, one sync a commit: local disks.
    WriteAhead,
    /// A rollback journal, no shared memory and no memory map: network file systems.
    Rollback,
}

impl Journal {
    /// SQLite's name of the mode.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteAhead => "wal",
            Self::Rollback => "delete",
        }
    }
}

/// How a store keeps its data, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// How commits are made atomic.
    pub journal: Journal,
    /// Name of the network file system below the data folder; `None` on a local disk.
    pub network_file_system: Option<&'static str>,
}

impl fmt::Display for StoreInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network_file_system {
            Some(name) => write!(f, "network file system ({name})")?,
            None => f.write_str("local disk")?,
        }
        f.write_str(match self.journal {
            Journal::WriteAhead => ", write-ahead log",
            Journal::Rollback => ", rollback journal",
        })
    }
}

/// A database that is open, locked, sound as far as checked, and of the newest schema.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) connection: Connection,
    /// The same file, opened before SQLite did and to be closed after it: closing any descriptor of a file gives up
    /// SQLite's locks on it.
    pub(crate) file: File,
    pub(crate) place: Place,
    pub(crate) info: StoreInfo,
}

/// Whether a folder has a database, or what is left of one.
pub(crate) fn exists(folder: &Path) -> bool {
    let files = [FILE_NAME, "venom.db-wal", "venom.db-journal"];
    files.iter().any(|name| folder.join(name).exists())
}

/// Opens the database of the lease's folder, and makes it if there is none.
///
/// # Errors
/// [`StoreError`] that says what was expected and found; see each step.
pub(crate) fn open(lease: &LeaseFile, folder: &Path) -> Result<Database, StoreError> {
    let network_file_system = folder::network_file_system(folder);
    let journal = match network_file_system {
        Some(_) => Journal::Rollback,
        None => Journal::WriteAhead,
    };
    let info = StoreInfo {
        journal,
        network_file_system,
    };
    open_as(lease, folder, info)
}

pub(crate) fn open_as(
    lease: &LeaseFile,
    folder: &Path,
    info: StoreInfo,
) -> Result<Database, StoreError> {
    let path = folder.join(FILE_NAME);
    let bytes = match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => {
            let path = path.display();
            return Err(StoreError::Folder(format!(
                "{path} cannot be opened: expected a database file, found a folder"
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(folder, &path)?;
            0
        }
        Err(error) => return Err(folder::unusable(folder, &error)),
    };
    let file = check_header(folder, &path)?;
    let mut connection = connect(&path, info.journal)
        .map_err(|fault| explain(fault.into_store(folder, Doing::Reading), lease))?;
    prepare(&mut connection, bytes).map_err(|fault| fault.into_store(folder, Doing::Writing))?;
    lease.claim()?;
    let place = Place::new(folder, path, info.network_file_system.is_none())?;
    Ok(Database {
        connection,
        file,
        place,
        info,
    })
}

fn explain(error: StoreError, lease: &LeaseFile) -> StoreError {
    match error {
        StoreError::Owned(_) => lease.owned_by_another(),
        error => error,
    }
}

/// Makes a whole database beside its place and moves it there: a `venom.db` is never half made, so
/// one that is short has lost data.
fn create(folder: &Path, path: &Path) -> Result<(), StoreError> {
    for log in ["venom.db-wal", "venom.db-journal"] {
        if std::fs::metadata(folder.join(log)).is_ok_and(|found| found.len() > 0) {
            return Err(StoreError::Corrupt(format!(
                "{log} is there but venom.db, which it belongs to, is missing"
            )));
        }
    }
    let new = folder.join("venom.db.new");
    for leftover in ["venom.db.new", "venom.db.new-journal"] {
        match std::fs::remove_file(folder.join(leftover)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(folder::unusable(folder, &error));
            }
            _ => {}
        }
    }
    let unusable = |error: io::Error| folder::unusable(folder, &error);
    let file = folder::private_file().create_new(true).open(&new);
    drop(file.map_err(unusable)?);
    let made = connect(&new, Journal::Rollback)
        .and_then(|mut connection| prepare(&mut connection, 0))
        .map_err(|fault| fault.into_store(folder, Doing::Writing));
    made?;
    File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path))
        .and_then(|()| folder::sync(folder))
        .map_err(unusable)
}

/// Random bytes and cut files are told apart from a database that another program made.
fn check_header(folder: &Path, path: &Path) -> Result<File, StoreError> {
    let mut header = [0; 100];
    let opened = File::options().read(true).write(true).open(path);
    // Where nothing can be written SQLite has the better words for it.
    let opened = opened.or_else(|_| File::open(path));
    let read = opened.and_then(|mut file| file.read_exact(&mut header).map(|()| file));
    match read {
        Ok(file) if header.starts_with(&MAGIC) => Ok(file),
        Ok(_) => Err(StoreError::Corrupt(format!(
            "{} is no SQLite database: its first bytes are others",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(StoreError::Corrupt(format!(
                "{} is cut short: expected at least 100 bytes",
                path.display()
            )))
        }
        Err(error) => Err(folder::unusable(folder, &error)),
    }
}

fn connect(path: &Path, journal: Journal) -> Result<Connection, Fault> {
    // One thread at a time uses the connection, behind a lock of ours: SQLite needs none of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // The owner of a data folder never gives it up in a moment: waiting would only delay the error.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Else SQLite compiles statements anew where a value might make another plan better; none of ours has another.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Counts for a database that is still empty.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    // Before the first access: then a write-ahead log needs no shared-memory file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // What is erased is zeroed when it is, together with what SQLite would leave in spite of this setting.
    connection.pragma_update(None, "secure_delete", false)?;
    let mode = connection.pragma_update_and_check(None, "journal_mode", journal.name(), |row| {
        row.get::<_, String>(0)
    })?;
    if mode != journal.name() {
        let expected = journal.name();
        return Err(Fault::Store(StoreError::Folder(format!(
            "{} cannot be opened: expected journal mode {expected}, found {mode}",
            path.display()
        ))));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    // A rollback journal keeps nothing of what it was needed for: that may be what is erased next.
    let log_bytes = match journal {
        Journal::WriteAhead => LOG_BYTES_MAX,
        Journal::Rollback => 0,
    };
    connection.pragma_update(None, "journal_size_limit", log_bytes)?;
    Ok(connection)
}

/// Opens a database to look into it, for whoever has the lease.
pub(crate) fn connect_to_look(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    // Before the first access: then a write-ahead log needs no shared-memory file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Moves everything from the write-ahead log into the database file. A rollback journal is empty between transactions.
pub(crate) fn empty_log(connection: &Connection) -> Result<(), Fault> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_busy: bool = connection.query_row(sql, [], |row| row.get(0))?;
    if is_busy {
        return Err(Fault::Store(StoreError::Other(
            "the write-ahead log cannot be written back: expected no other reader".to_owned(),
        )));
    }
    Ok(())
}

/// Takes the file lock for good, migrates, and checks small databases.
fn prepare(connection: &mut Connection, bytes: u64) -> Result<(), Fault> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    schema::migrate(&tx)?;
    tx.commit()?;
    if (1..=QUICK_CHECK_BYTES_MAX).contains(&bytes) {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(Fault::corrupt(found));
        }
    }
    Ok(())
}

/// Where the database file lies, and how to tell that it is still there.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    path: PathBuf,
    /// `None` where the file system does not promise lasting numbers.
    identity: Option<Identity>,
}

impl Place {
    fn new(folder: &Path, path: PathBuf, lasting_numbers: bool) -> Result<Self, StoreError> {
        let found = folder::identity(&path).map_err(|e| folder::unusable(folder, &e))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            path,
            identity: lasting_numbers.then_some(found),
        })
    }

    /// A file that was removed or replaced takes writes that nobody will ever read.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the open file is no longer the one at its path.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let path = self.path.display();
        let gone = |found: &str| {
            StoreError::Folder(format!(
                "{path} was moved or deleted while in use: expected the database that was opened, \
                 found {found}; put it back or restart Venom"
            ))
        };
        match folder::identity(&self.path) {
            Ok(found) if self.identity.is_none_or(|opened| opened == found) => Ok(()),
            Ok(_) => Err(gone("another file")),
            Err(error) => Err(gone(&error.to_string())),
        }
    }

    /// Size of the database and its logs, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let files = [FILE_NAME, "venom.db-wal", "venom.db-journal"];
        let size = |name| std::fs::metadata(self.folder.join(name)).map_or(0, |found| found.len());
        files.into_iter().map(size).sum()
    }
}
