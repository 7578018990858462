//! The file: how it is opened, its tables.

use crate::AccessError;
use crate::owner::HashMemory;
use crate::uses::Uses;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The file's name in the data folder.
pub const FILE_NAME: &str = "access.db";
/// "Veno" and "Vena" in ASCII: the header tells this file from the memories.
pub(crate) const APPLICATION_ID: i32 = 0x5665_6e61;
/// How long one process waits for another's transaction; each takes milliseconds.
const BUSY_TIME_MAX: Duration = Duration::from_secs(2);
/// SQLite's page cache, in KiB (negative: not pages).
const CACHE_KIB: i64 = -1024;

/// Entry `n` leads from version `n` to `n + 1`. One that was released never changes.
pub(crate) const MIGRATIONS: [&str; 1] = [V1];

/// Moments are microseconds since 1970. Secrets are there as SHA-256 only. `spaces` has one name a
/// line, NULL for all. The audit log only grows: what its triggers allow to be deleted is the oldest
/// part of a log that has grown too long.
const V1: &str = "
CREATE TABLE owner (
    owner      INTEGER PRIMARY KEY CHECK (owner = 1),
    passphrase TEXT NOT NULL
) STRICT;

CREATE TABLE passkeys (
    passkey      INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL,
    credential   BLOB NOT NULL UNIQUE,
    state        BLOB NOT NULL,
    created_us   INTEGER NOT NULL,
    last_used_us INTEGER
) STRICT;

CREATE TABLE tokens (
    token          INTEGER PRIMARY KEY AUTOINCREMENT,
    name           TEXT NOT NULL UNIQUE,
    hash           BLOB NOT NULL UNIQUE,
    spaces         TEXT,
    write          INTEGER NOT NULL CHECK (write IN (0, 1)),
    created_us     INTEGER NOT NULL,
    expires_us     INTEGER,
    last_used_us   INTEGER,
    last_used_from TEXT
) STRICT;

CREATE TABLE sessions (
    session      INTEGER PRIMARY KEY AUTOINCREMENT,
    hash         BLOB NOT NULL UNIQUE,
    created_us   INTEGER NOT NULL,
    expires_us   INTEGER NOT NULL,
    address      TEXT NOT NULL,
    agent        TEXT NOT NULL
) STRICT;

CREATE TABLE clients (
    client        INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id     TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    created_us    INTEGER NOT NULL
) STRICT;

CREATE TABLE grants (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id      TEXT NOT NULL,
    client_name    TEXT NOT NULL,
    redirect_host  TEXT NOT NULL,
    spaces         TEXT,
    write          INTEGER NOT NULL CHECK (write IN (0, 1)),
    resource       TEXT NOT NULL,
    created_us     INTEGER NOT NULL,
    expires_us     INTEGER NOT NULL,
    last_used_us   INTEGER,
    last_used_from TEXT
) STRICT;

CREATE TABLE codes (
    hash          BLOB PRIMARY KEY,
    client_id     TEXT NOT NULL,
    client_name   TEXT NOT NULL,
    redirect_uri  TEXT NOT NULL,
    redirect_host TEXT NOT NULL,
    challenge     TEXT NOT NULL,
    spaces        TEXT,
    write         INTEGER NOT NULL CHECK (write IN (0, 1)),
    resource      TEXT NOT NULL,
    expires_us    INTEGER NOT NULL,
    used          INTEGER NOT NULL DEFAULT 0,
    grant_id      INTEGER
) STRICT;

CREATE TABLE access_tokens (
    hash       BLOB PRIMARY KEY,
    grant_id   INTEGER NOT NULL REFERENCES grants ON DELETE CASCADE,
    write      INTEGER NOT NULL CHECK (write IN (0, 1)),
    expires_us INTEGER NOT NULL
) STRICT;
CREATE INDEX access_tokens_by_grant ON access_tokens (grant_id);

CREATE TABLE refresh_tokens (
    hash       BLOB PRIMARY KEY,
    grant_id   INTEGER NOT NULL REFERENCES grants ON DELETE CASCADE,
    expires_us INTEGER NOT NULL,
    used_us    INTEGER,
    parent     BLOB
) STRICT;
CREATE INDEX refresh_tokens_by_parent ON refresh_tokens (parent);
CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);

CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us   INTEGER NOT NULL,
    event   TEXT NOT NULL,
    who     TEXT NOT NULL,
    source  TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT max(seq) FROM audit) - 1000000
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
";

/// Access to one data folder. Methods block for as long as a small transaction takes; they are meant to
/// be called from a thread that may wait.
#[derive(Debug)]
pub struct Access {
    connection: Mutex<Connection>,
    path: PathBuf,
    pub(crate) uses: Uses,
    pub(crate) hashing: HashMemory,
}

impl Access {
    /// Opens the file in a data folder, and makes it (mode 0600) if there is none. The folder must be there.
    ///
    /// A rollback journal is used whatever the file system: it works on network shares, and writes are few.
    ///
    /// # Errors
    /// [`AccessError::Failed`] that names the file.
    pub fn open(folder: &Path) -> Result<Self, AccessError> {
        let path = folder.join(FILE_NAME);
        let unusable =
            |why: String| AccessError::Failed(format!("{} cannot be used: {why}", path.display()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(error.to_string()))?;
        // One that was copied here may have another mode. Some network shares have one for all files.
        let _ = file.set_permissions(Permissions::from_mode(0o600));
        drop(file);
        let connection = connect(&path).map_err(|error| unusable(error.to_string()))?;
        migrate(connection, &unusable).map(|connection| Self {
            connection: Mutex::new(connection),
            path: path.clone(),
            uses: Uses::default(),
            hashing: HashMemory::default(),
        })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A connection. A panic in the middle of a transaction rolled it back.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a transaction that writes.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let outcome = change(&transaction)?;
        transaction.commit()?;
        Ok(outcome)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIME_MAX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "journal_mode", "truncate")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(connection)
}

fn migrate(
    mut connection: Connection,
    unusable: &impl Fn(String) -> AccessError,
) -> Result<Connection, AccessError> {
    let failed = |error: rusqlite::Error| unusable(error.to_string());
    // Most starts find nothing to do and take no write lock for it.
    let version = version_of(&connection).map_err(failed)?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > newest {
        return Err(unusable(format!(
            "expected version {newest} or older, found {version} of a newer Venom"
        )));
    }
    if version < newest {
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection
            .transaction_with_behavior(behavior)
            .map_err(failed)?;
        // Another process may have been faster.
        let version = version_of(&transaction).map_err(failed)?;
        let from =
            usize::try_from(version).map_err(|_| unusable("a negative version".to_owned()))?;
        for migration in MIGRATIONS.iter().skip(from) {
            transaction.execute_batch(migration).map_err(failed)?;
        }
        transaction
            .pragma_update(None, "user_version", newest)
            .map_err(failed)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(failed)?;
    if id != APPLICATION_ID {
        return Err(unusable(
            "expected a file of Venom, found another database".to_owned(),
        ));
    }
    Ok(connection)
}

fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use venom_core::Timestamp;

    /// Access in a folder of its own, which goes with it.
    pub(crate) struct Fresh {
        pub(crate) access: Access,
        pub(crate) folder: tempfile::TempDir,
    }

    pub(crate) fn fresh() -> Fresh {
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(folder.path()).unwrap();
        Fresh { access, folder }
    }

    /// A moment, in seconds after some start.
    pub(crate) const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    #[test]
    fn several_processes_may_open_the_file_which_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt as _;
        let fresh = fresh();
        let second = Access::open(fresh.folder.path()).unwrap();
        let mode = std::fs::metadata(second.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn other_files_are_not_taken_for_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, vec![b'x'; 5000]).unwrap();
        let error = Access::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(FILE_NAME) && error.contains("not a database"),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 1)
            .unwrap();
        let error = Access::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another database"), "{error}");
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let error = Access::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("newer Venom"), "{error}");
    }
}
