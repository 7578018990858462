//! Opening a database without a trace: a copy of it, which has no name any more once it is open.
//!
//! Nobody knows whether the program whose database it is has ended. So one state is copied, while locks of SQLite's own
//! kind keep others from writing for a moment, and nothing is ever opened by SQLite where it lies: that would make files
//! there, or undo what a killed program left half done.

use crate::Unusable;
use crate::bytes::unreadable;
use crate::scratch::Scratch;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use venom_core::import::CHROMA_FILE;

/// What SQLite writes beside a database that is in use, or was when its program died.
const BESIDE: [&str; 2] = ["-journal", "-wal"];
/// The index of a write-ahead log. Whoever writes to the log locks a part of it.
const LOG_INDEX: &str = "-shm";
/// What is read.
pub(super) const TABLES: [&str; 6] = [
    "collections",
    "segments",
    "embeddings",
    "embedding_metadata",
    "embeddings_queue",
    "max_seq_id",
];
/// The first bytes of every database.
pub(crate) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How long a moment is waited for in which nobody else writes.
const IN_USE_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks: a commit takes milliseconds.
const IN_USE_PAUSE: Duration = Duration::from_millis(5);

/// What tells whether a database changed: length and time of change of its files.
///
/// # Errors
/// [`Unusable`] if there is no such file.
pub fn chroma_state(file: &Path) -> Result<String, Unusable> {
    let whole = written(file).ok_or_else(|| {
        let shown = file.display();
        Unusable(format!("{shown} cannot be read: expected a file"))
    })?;
    let beside = BESIDE.iter().filter_map(|end| written(&beside(file, end)));
    let told = |(bytes, changed): (u64, SystemTime)| {
        let changed = changed.duration_since(UNIX_EPOCH).ok();
        let changed_ns = changed.map_or(0, |since| since.as_nanos());
        format!("{bytes} bytes at {changed_ns}")
    };
    Ok(beside.fold(told(whole), |state, other| {
        format!("{state}, {}", told(other))
    }))
}

/// Length of a file and when it was changed, if it is there.
fn written(path: &Path) -> Option<(u64, SystemTime)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()?))
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Opens a database to read one state of it. Nothing is written where it lies; the copy that is read goes with its
/// process, however that ends, once this returns.
pub(super) fn open(file: &Path, scratch: &Path) -> Result<Connection, Unusable> {
    check_header(file)?;
    let copy = copied(file, scratch)?;
    let connection = connect(&copy.path().join(CHROMA_FILE), file)?;
    // The transaction that was begun has all files open that it needs: their names may go.
    drop(copy);
    Ok(connection)
}

fn is_used(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
}

fn check_header(file: &Path) -> Result<(), Unusable> {
    let shown = file.display();
    let mut header = [0; 100];
    // Before it is opened: a pipe would wait for a writer.
    let found = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if !found.is_file() {
        return Err(Unusable(format!(
            "{shown} is no file: expected a database of ChromaDB"
        )));
    }
    let mut opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    match opened.read_exact(&mut header) {
        Ok(()) if header.starts_with(MAGIC) => Ok(()),
        Ok(()) => Err(Unusable(format!(
            "{shown} is no SQLite database: expected one of ChromaDB"
        ))),
        Err(_) => Err(Unusable(format!(
            "{shown} is cut short: expected a database of at least 100 bytes"
        ))),
    }
}

/// Opens a copy and begins to read it; errors name the original.
fn connect(copy: &Path, named: &Path) -> Result<Connection, Unusable> {
    let shown = named.display();
    let broken =
        |error: rusqlite::Error| Unusable(format!("{shown} cannot be read as a ChromaDB: {error}"));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(broken)?;
    // What comes from outside gets no say in what is run.
    connection
        .pragma_update(None, "trusted_schema", false)
        .map_err(broken)?;
    connection
        .pragma_update(None, "cell_size_check", true)
        .map_err(broken)?;
    connection.execute_batch("BEGIN").map_err(broken)?;
    // Tables, not views: those could compute for ever.
    let quoted = TABLES.map(|table| format!("'{table}'")).join(", ");
    let sql =
        format!("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ({quoted})");
    let found: usize = connection
        .query_row(&sql, [], |row| row.get(0))
        .map_err(broken)?;
    if found != TABLES.len() {
        return Err(Unusable(format!(
            "{shown} has {found} of the tables {}: expected a database of ChromaDB 0.4 or later",
            TABLES.join(", ")
        )));
    }
    Ok(connection)
}

/// Copies a database with what lies beside it into a folder of its own, at a moment at which nobody writes to it.
fn copied(file: &Path, scratch: &Path) -> Result<Scratch, Unusable> {
    let shown = file.display();
    let failed = |error: io::Error| {
        let place = scratch.display();
        Unusable(format!(
            "{shown} cannot be copied to {place}, as it must be to be read: {error}"
        ))
    };
    let folder = Scratch::new(scratch).map_err(failed)?;
    let copy = folder.path().join(CHROMA_FILE);
    let until = Instant::now() + IN_USE_MAX;
    while !copied_at_rest(file, &copy).map_err(failed)? {
        if Instant::now() >= until {
            return Err(Unusable(format!(
                "{shown} is in use: expected a moment at which no other program writes to it or has it locked, \
                 found none in {} s; stop that program, then try again",
                IN_USE_MAX.as_secs()
            )));
        }
        std::thread::sleep(IN_USE_PAUSE);
    }
    Ok(folder)
}

/// Copies once; `false` if that is not one state, since another program writes.
fn copied_at_rest(file: &Path, copy: &Path) -> io::Result<bool> {
    // No other descriptor of these two may be closed until the end: the locks would go with it.
    let original = File::open(file)?;
    if !shared(&original)? {
        return Ok(false);
    }
    let index = beside(file, LOG_INDEX);
    let locked = is_used(&index).then(|| File::open(&index)).transpose()?;
    if let Some(locked) = &locked
        && !shared(locked)?
    {
        return Ok(false);
    }
    let state = || {
        let [journal, log] = BESIDE.map(|end| written(&beside(file, end)));
        (written(file), journal, log)
    };
    let before = state();
    io::copy(&mut &original, &mut new_file(copy)?)?;
    for end in BESIDE {
        let (from, to) = (beside(file, end), beside(copy, end));
        // Empty, as if it were not there, unless there is something.
        let mut to = new_file(&to)?;
        if is_used(&from) {
            io::copy(&mut File::open(from)?, &mut to)?;
        }
    }
    // Where a file system has no locks this is what tells; and a program with a log that was started meanwhile has made
    // an index.
    Ok(state() == before && is_used(&index) == locked.is_some())
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}

/// Locks a whole file for reading, which SQLite sees: until it is closed nobody can begin to write to the database.
/// `false` if somebody does.
fn shared(file: &File) -> io::Result<bool> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockShared) {
        // Without locks SQLite has none either.
        Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
