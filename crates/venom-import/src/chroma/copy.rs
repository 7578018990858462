//! Opening a database without a trace: as it lies there, or a copy of it.

use crate::Unusable;
use crate::bytes::unreadable;
use crate::scratch::Scratch;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The file in a folder of ChromaDB that holds everything but the vectors' index.
pub const CHROMA_FILE: &str = "chroma.sqlite3";

/// What SQLite writes beside a database that is in use, or was when its program died.
const BESIDE: [&str; 2] = ["-journal", "-wal"];
/// What is read.
const TABLES: [&str; 6] = [
    "collections",
    "segments",
    "embeddings",
    "embedding_metadata",
    "embeddings_queue",
    "max_seq_id",
];
/// The first bytes of every database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What tells whether a database changed: length and time of change of its files.
///
/// # Errors
/// [`Unusable`] if there is no such file.
pub fn chroma_state(file: &Path) -> Result<String, Unusable> {
    let of = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        let changed = found.modified().ok()?.duration_since(UNIX_EPOCH).ok();
        let changed_ns = changed.map_or(0, |since| since.as_nanos());
        Some(format!("{} bytes at {changed_ns}", found.len()))
    };
    let whole = of(file).ok_or_else(|| {
        let shown = file.display();
        Unusable(format!("{shown} cannot be read: expected a file"))
    })?;
    let beside = BESIDE.iter().filter_map(|end| of(&beside(file, end)));
    Ok(beside.fold(whole, |state, other| format!("{state}, {other}")))
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// An open database, and the copy that goes with it.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Last, so that it is removed after the database is closed.
    _copy: Option<Scratch>,
}

impl Opened {
    /// Opens a database to read it. Nothing is written where it lies.
    pub(super) fn new(file: &Path, scratch: &Path) -> Result<Self, Unusable> {
        let header = header(file)?;
        let is_logged = header[18] == 2 || header[19] == 2;
        let is_hot = BESIDE.iter().any(|end| has_bytes(&beside(file, end)));
        if !is_logged && !is_hot {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = connect(file, file, flags)?;
            return Ok(Self {
                connection,
                _copy: None,
            });
        }
        let copy = copied(file, scratch)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(&copy.path().join(CHROMA_FILE), file, flags)?;
        Ok(Self {
            connection,
            _copy: Some(copy),
        })
    }
}

fn has_bytes(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

fn header(file: &Path) -> Result<[u8; 100], Unusable> {
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
        Ok(()) if header.starts_with(MAGIC) => Ok(header),
        Ok(()) => Err(Unusable(format!(
            "{shown} is no SQLite database: expected one of ChromaDB"
        ))),
        Err(_) => Err(Unusable(format!(
            "{shown} is cut short: expected a database of at least 100 bytes"
        ))),
    }
}

fn connect(path: &Path, named: &Path, flags: OpenFlags) -> Result<Connection, Unusable> {
    let shown = named.display();
    let broken =
        |error: rusqlite::Error| Unusable(format!("{shown} cannot be read as a ChromaDB: {error}"));
    let connection = Connection::open_with_flags(path, flags).map_err(broken)?;
    // What comes from outside gets no say in what is run.
    connection
        .pragma_update(None, "trusted_schema", false)
        .map_err(broken)?;
    connection
        .pragma_update(None, "cell_size_check", true)
        .map_err(broken)?;
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

/// Copies a database with what lies beside it into a folder of its own.
fn copied(file: &Path, scratch: &Path) -> Result<Scratch, Unusable> {
    let failed = |error: std::io::Error| {
        let (shown, place) = (file.display(), scratch.display());
        Unusable(format!(
            "{shown} was in use when its program ended and cannot be copied to {place}: {error}"
        ))
    };
    let folder = Scratch::new(scratch).map_err(failed)?;
    let copy = folder.path().join(CHROMA_FILE);
    std::fs::copy(file, &copy).map_err(failed)?;
    for end in BESIDE {
        let from = beside(file, end);
        if has_bytes(&from) {
            std::fs::copy(from, beside(&copy, end)).map_err(failed)?;
        }
    }
    Ok(folder)
}
