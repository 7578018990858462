//! Memories out of other programs' files, one after the other, whatever their size.
//!
//! [`open`] looks at a file or folder and returns [`Records`]. Nothing is written where it lies, nothing is followed out
//! of what was named, and no more of a file is in memory than one record. A file that is plainly not what it should be is
//! refused before its first record; a record that cannot be read is skipped and says why. Start reading at `open`; each
//! kind has a module of its own, `record` makes memories of what they find.

mod archive;
#[cfg(test)]
mod bad_records;
mod bytes;
mod chatgpt;
mod chroma;
mod claude;
mod detect;
mod elements;
mod folder;
#[cfg(test)]
mod fuzzed;
mod json;
mod jsonl;
mod lines;
mod lists;
mod markdown;
mod mem0;
mod record;
mod scratch;
mod server_memory;
mod several;
mod start;
mod watch;

pub use archive::{ARCHIVE_BYTES_MAX, ARCHIVE_RATIO_MAX};
pub use bytes::{FILE_BYTES_MAX, FOLDER_FILES_MAX, LINE_BYTES_MAX, RECORD_BYTES_MAX};
pub use chroma::chroma_state;
pub use scratch::remove_left;
pub use venom_core::import::CHROMA_FILE;
pub use watch::Watch;

use std::path::{Path, PathBuf};
use thiserror::Error;
use venom_core::{NewImport, SpaceName};

/// Where memories come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A folder or `chroma.sqlite3` of ChromaDB, as the predecessor keeps it.
    Chroma,
    /// JSON lines, one memory each: what `venom export` writes.
    Jsonl,
    /// A file or folder of markdown notes, with front matter or without.
    Markdown,
    /// A mem0 export: JSON with a list of memories.
    Mem0,
    /// The knowledge graph of the MCP reference server: JSON lines of entities and relations.
    ServerMemory,
    /// Markdown notes of basic-memory.
    BasicMemory,
    /// The data export of ChatGPT.
    ChatGpt,
    /// The data export of Claude.
    Claude,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Chroma,
        Self::Jsonl,
        Self::Markdown,
        Self::Mem0,
        Self::ServerMemory,
        Self::BasicMemory,
        Self::ChatGpt,
        Self::Claude,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chroma => "chroma",
            Self::Jsonl => "jsonl",
            Self::Markdown => "markdown",
            Self::Mem0 => "mem0",
            Self::ServerMemory => "server-memory",
            Self::BasicMemory => "basic-memory",
            Self::ChatGpt => "chatgpt",
            Self::Claude => "claude",
        }
    }

    /// The kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How to read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where memories go that name no space of their own; also the collection of ChromaDB that goes there.
    pub space: SpaceName,
    /// Whether other collections of ChromaDB come, too, into spaces of their names. Without, a database that has no
    /// collection of the name of the space has no records.
    pub other_collections: bool,
    /// Whether the turns of conversations come, too.
    pub conversations: bool,
    /// A folder for a copy of a database that must not be opened where it lies, and for what is in an archive. Both are
    /// removed afterwards.
    pub scratch: PathBuf,
    /// Hears what else is told while the records are read.
    pub watch: Watch,
}

/// A file or folder cannot be read as what it should be: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// A record that makes a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is, as of [`Skipped`].
    pub place: String,
    /// What it makes.
    pub new: NewImport,
}

/// A record that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is: a line, a file, an id; among several files also in which.
    pub place: String,
    /// Why, one sentence.
    pub why: String,
}

/// A record, or why it is left out.
pub type Found = Result<Record, Skipped>;

/// What was made of a record, with its place.
fn found(place: String, made: Result<NewImport, String>) -> Found {
    match made {
        Ok(new) => Ok(Record { place, new }),
        Err(why) => Err(Skipped { place, why }),
    }
}

/// A reason in which a file or folder has a name in place of its path, if it begins with that.
fn calling(name: &str, path: &Path, why: &Unusable) -> String {
    let Unusable(why) = why;
    match why.strip_prefix(&path.display().to_string()) {
        Some(rest) if rest.starts_with(' ') => format!("{name}{rest}"),
        _ => why.clone(),
    }
}

/// Every record of a source, in order. After an [`Unusable`] there is none.
pub struct Records {
    /// What is read.
    pub kind: Kind,
    /// How many records there are, as far as that can be told before.
    pub total: Option<u64>,
    /// They themselves.
    pub found: Box<dyn Iterator<Item = Result<Found, Unusable>> + Send>,
    /// What else could be read where they are, as other kinds.
    pub left: Vec<Left>,
}

/// What is in a folder or archive beside what is read: it is of another kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub kind: Kind,
    /// How many there are: notes, or databases, data exports and files.
    pub count: u64,
    /// The file by which the first was told, as it is called there.
    pub first: String,
}

/// Opens a source, a file or folder or a zip archive of one; `kind` is detected if it is not given.
///
/// # Errors
/// [`Unusable`] if there is nothing there that can be read as that kind.
pub fn open(path: &Path, kind: Option<Kind>, options: &Options) -> Result<Records, Unusable> {
    if archive::is_archive(path) {
        return archive::open(path, options, |content| open_plain(content, kind, options));
    }
    open_plain(path, kind, options)
}

fn open_plain(path: &Path, kind: Option<Kind>, options: &Options) -> Result<Records, Unusable> {
    if path.is_dir() {
        return folder::open(path, kind, options);
    }
    let kind = kind.map_or_else(|| detect::detect(path), Ok)?;
    open_as(kind, path, options)
}

fn open_as(kind: Kind, path: &Path, options: &Options) -> Result<Records, Unusable> {
    let records = match kind {
        Kind::Chroma => chroma::open(path, options),
        Kind::Jsonl => jsonl::open(path, options),
        Kind::Markdown | Kind::BasicMemory => markdown::open(path, kind, options),
        Kind::Mem0 => mem0::open(path, options),
        Kind::ServerMemory => server_memory::open(path, options),
        Kind::ChatGpt => chatgpt::open(path, options),
        Kind::Claude => claude::open(path, options),
    };
    records.map(ended)
}

/// The same records, which end with the first [`Unusable`]: what cannot be read would fail again at every call.
fn ended(records: Records) -> Records {
    let mut found = Some(records.found);
    let next = move || {
        let next = found.as_mut()?.next();
        if !matches!(next, Some(Ok(_))) {
            // Its file is closed, and the copy of a database removed.
            found = None;
        }
        next
    };
    Records {
        found: Box::new(std::iter::from_fn(next)),
        ..records
    }
}
