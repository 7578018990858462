//! A copy of the file while it is in use, and the look at such a copy.

use crate::database::{self, APPLICATION_ID, MIGRATIONS};
use crate::{Access, AccessError};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Pages that are copied at a time: other processes may write between.
const PAGES: i32 = 4096;
/// Pause while another process writes, which takes milliseconds.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How long a copy may take in all, others writing between.
const COPY_TIME_MAX: Duration = Duration::from_mins(1);

impl Access {
    /// Writes a copy of the file as it is at one moment to `to` (mode 0600), a path where nothing is yet. Synced on
    /// return. Other processes go on beside it.
    ///
    /// # Errors
    /// [`AccessError::Failed`] that names what cannot be read or written; then nothing is at `to`, unless it was there
    /// before.
    pub fn copy_to(&self, to: &Path) -> Result<(), AccessError> {
        let failed = |why: String| {
            AccessError::Failed(format!(
                "the copy of {} cannot be written to {}: {why}",
                database::FILE_NAME,
                to.display()
            ))
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options
            .open(to)
            .map_err(|error| failed(error.to_string()))?;
        copy(&self.lock(), to)
            .and_then(|()| file.sync_all().map_err(|error| error.to_string()))
            .map_err(failed)
            .inspect_err(|_| {
                // What is half there is of no use; that it cannot be removed adds nothing to the error.
                let _ = std::fs::remove_file(to);
            })
    }
}

fn copy(from: &Connection, to: &Path) -> Result<(), String> {
    let run = || -> rusqlite::Result<bool> {
        let mut target = Connection::open(to)?;
        let backup = Backup::new(from, &mut target)?;
        let until = Instant::now() + COPY_TIME_MAX;
        // Whoever writes between two steps has them begin anew.
        while Instant::now() < until {
            match backup.step(PAGES)? {
                StepResult::Done => return Ok(true),
                StepResult::Busy | StepResult::Locked => std::thread::sleep(BUSY_PAUSE),
                _ => {}
            }
        }
        Ok(false)
    };
    match run() {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!(
            "others wrote to it for {} s",
            COPY_TIME_MAX.as_secs()
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads all of a copy made by [`Access::copy_to`]. Writes nothing, trusts nothing: the file may come from anywhere.
///
/// # Errors
/// [`AccessError::Invalid`] that says why it is none, without the file's name.
pub fn inspect(copy: &Path) -> Result<(), AccessError> {
    let mut header = [0; 100];
    let read =
        File::open(copy).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut header));
    read.map_err(|error| AccessError::Invalid(format!("it cannot be read: {error}")))?;
    if !header.starts_with(b"SQLite format 3\0") || header[18..20] != [1, 1] {
        let why = "expected a copy of a database, in whose header is no write-ahead log";
        return Err(AccessError::Invalid(why.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found =
        Connection::open_with_flags(copy, flags).and_then(|connection| examine(&connection));
    match found {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(AccessError::Invalid(why)),
        // One error is one line.
        Err(error) => Err(AccessError::Invalid(format!(
            "it is damaged: {}",
            error.to_string().replace('\n', "; ")
        ))),
    }
}

/// Why it is none of ours; `None` if it is one.
fn examine(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if number("PRAGMA application_id")? != i64::from(APPLICATION_ID) {
        return Ok(Some("it belongs to another program".to_owned()));
    }
    let version = number("PRAGMA user_version")?;
    let steps = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(steps) = MIGRATIONS.get(..steps) else {
        return Ok(Some(format!(
            "it has version {version}: this Venom knows versions up to {}",
            MIGRATIONS.len()
        )));
    };
    // Code that came with the data, such as another trigger, would run at every sign-in.
    let ours = Connection::open_in_memory()?;
    for step in steps {
        ours.execute_batch(step)?;
    }
    if schema(connection)? != schema(&ours)? {
        return Ok(Some(
            "its tables are not those of an access file of Venom".to_owned(),
        ));
    }
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    let lines: Vec<&str> = found.lines().collect();
    Ok((found != "ok").then(|| format!("it is damaged: {}", lines.join("; "))))
}

/// What everything in a database is called and how it was made.
fn schema(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{at, fresh};
    use crate::{NewToken, Rights};

    fn copied(sql: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let fresh = fresh();
        let new = NewToken {
            name: "laptop".to_owned(),
            rights: Rights::ALL,
            expires: None,
        };
        fresh.access.create_token(&new, at(0), "test").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(database::FILE_NAME);
        fresh.access.copy_to(&path).unwrap();
        if !sql.is_empty() {
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn a_copy_lets_in_whom_the_original_did() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, path) = copied("");
        inspect(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let access = Access::open(folder.path()).unwrap();
        assert_eq!(access.tokens().unwrap()[0].name, "laptop");
        let taken = access.copy_to(&path).unwrap_err().to_string();
        assert!(taken.contains("File exists"), "{taken}");
        assert_eq!(access.tokens().unwrap().len(), 1, "it stays as it is");
    }

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let (_folder, path) = copied(sql);
        let refused = inspect(&path).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }

    #[test]
    fn what_is_no_copy_is_refused_in_a_sentence() {
        check("PRAGMA application_id = 7", "another program");
        check("PRAGMA user_version = 9", "version 9");
        check("PRAGMA user_version = -1", "version -1");
        check("PRAGMA journal_mode = wal", "no write-ahead log");
        check(
            "CREATE TRIGGER t AFTER INSERT ON tokens BEGIN DELETE FROM tokens; END",
            "not those of an access file",
        );
        check("DROP TABLE audit", "not those of an access file");
        let (_folder, path) = copied("");
        let bytes = std::fs::read(&path).unwrap();
        for (bytes, expected) in [
            (&b""[..], "cannot be read"),
            (&bytes[..50], "cannot be read"),
            (&bytes[..5000], "damaged"),
            (&[b'x'; 500][..], "expected a copy of a database"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let refused = inspect(&path).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
            assert_eq!(refused.lines().count(), 1, "{refused}");
        }
    }
}
