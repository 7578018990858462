//! Errors of the domain, one family per operation, and the protocol-free kind each maps to.
//!
//! Every message is one sentence that says what was expected and what came. It is safe to show to a
//! caller; causes below it (`source`) are for the log. Protocols map [`ErrorKind`], nothing else.

use crate::embedding::ModelStamp;
use crate::secrets::without_secrets;
use thiserror::Error;

/// What went wrong, as far as a protocol needs to know. One table per protocol maps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller sent something that can never work.
    InvalidInput,
    /// The caller sent more than a named limit allows.
    TooLarge,
    /// The caller may not do this.
    Forbidden,
    /// What the caller named does not exist.
    NotFound,
    /// What the caller named was there, and was erased for good.
    Gone,
    /// A queue is full: the same call may work in a moment.
    Overloaded,
    /// The store or the model cannot serve now; an operator has to act.
    NotReady,
    /// Damaged data or a bug.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tables and their tests.
    pub const ALL: [Self; 8] = [
        Self::InvalidInput,
        Self::TooLarge,
        Self::Forbidden,
        Self::NotFound,
        Self::Gone,
        Self::Overloaded,
        Self::NotReady,
        Self::Internal,
    ];
}

/// A value that a caller sent and that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputError {
    /// Nothing but white space.
    #[error("{field} is empty: expected at least 1 character besides white space")]
    Blank {
        /// The argument's name.
        field: &'static str,
    },
    /// Longer than a limit in bytes.
    #[error("{field} is too long: expected at most {bytes_max} bytes of UTF-8, received {bytes}")]
    TooLong {
        /// The argument's name.
        field: &'static str,
        /// What came.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A NUL character, which full-text search and other tools cut text at.
    #[error("{field} contains a NUL character (U+0000) at byte {at}: expected text without it")]
    Nul {
        /// The argument's name.
        field: &'static str,
        /// Where it stands.
        at: usize,
    },
    /// A number outside its range.
    #[error("{field} is out of range: expected {min} to {max}, received {received}")]
    OutOfRange {
        /// The argument's name.
        field: &'static str,
        /// Smallest value taken.
        min: i64,
        /// Largest value taken.
        max: i64,
        /// What came.
        received: i64,
    },
    /// More tags than one memory may carry.
    #[error("too many tags: expected at most {max}, received {received}")]
    TooManyTags {
        /// The limit.
        max: usize,
        /// What came.
        received: usize,
    },
    /// One tag is empty or too long.
    #[error("tag {position} has {chars} characters: expected 1 to {chars_max}")]
    TagLength {
        /// Its place in the list, counted from 1.
        position: usize,
        /// What came, after trimming.
        chars: usize,
        /// The limit.
        chars_max: usize,
    },
    /// A text with a secret in it, where such texts are refused. Does not quote it.
    #[error(
        "{field} holds {kind} {place}: expected text without secrets, say where it is kept instead (the \
         owner of this memory may set secrets to mask or keep)"
    )]
    Secret {
        /// The argument's name.
        field: &'static str,
        /// What it is, with an article.
        kind: String,
        /// Where it is: the character where it starts, from 1, white space around the text left out; of metadata the
        /// field.
        place: String,
    },
    /// A name with a secret in it, where such texts are refused or masked, and a mark cannot take its place. Does not
    /// quote it.
    #[error("{field} holds {kind}, which cannot be masked there: expected a name without secrets")]
    SecretName {
        /// The argument's name.
        field: &'static str,
        /// What it is, with an article.
        kind: String,
    },
    /// Something is wrong with one turn of a conversation.
    #[error("turn {turn}: {error}")]
    InTurn {
        /// Its place, counted from 1.
        turn: usize,
        /// What is wrong.
        error: Box<InputError>,
    },
    /// A client whose memories are in quarantine changes one that is not.
    #[error(
        "this client's memories are kept in quarantine: expected store_memory, received a change of a memory that is \
         recalled"
    )]
    Quarantined,
    /// More memories than one call may move.
    #[error("too many memories: expected at most {max} in a call, received {received}")]
    TooManyMemories {
        /// The limit.
        max: usize,
        /// What came.
        received: usize,
    },
    /// A new name for a space that another has.
    #[error(
        "the name {name:?} is taken: expected the name of no space that is there or has forgotten memories (venom \
         space move --from brings memories into a space that is there)"
    )]
    SpaceTaken {
        /// The name.
        name: String,
    },
    /// A text that does not have the form its field needs.
    #[error("{field} is malformed: expected {expected}, received {received:?}")]
    Malformed {
        /// The argument's name.
        field: &'static str,
        /// The form that is taken.
        expected: &'static str,
        /// What came, shortened.
        received: String,
    },
}

impl InputError {
    /// The kind a protocol maps.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLong { .. } => ErrorKind::TooLarge,
            Self::InTurn { error, .. } => error.kind(),
            _ => ErrorKind::InvalidInput,
        }
    }

    /// A [`Self::Malformed`] that quotes at most 40 characters of what came, and no secret of it.
    pub fn malformed(field: &'static str, expected: &'static str, received: &str) -> Self {
        // Looked at before it is cut: the start of a secret may not tell that it is one.
        let start: String = received.chars().take(1_024).collect();
        let seen = without_secrets(&start);
        let mut quoted: String = seen.chars().take(40).collect();
        if quoted.len() < seen.len() {
            quoted.push('…');
        }
        Self::Malformed {
            field,
            expected,
            received: quoted,
        }
    }
}

/// The embedding model could not be opened or did not answer.
#[derive(Debug, Error)]
pub enum EmbedError {
    /// No file where the model should be.
    #[error("{0}")]
    ModelNotFound(String),
    /// A model file is not the one expected: says both.
    #[error("{0}")]
    ModelDamaged(String),
    /// A model that this build cannot run: says why.
    #[error("{0}")]
    ModelUnsupported(String),
    /// The forward pass failed.
    #[error("the embedding model failed: {0}")]
    Inference(String),
}

impl EmbedError {
    /// The kind a protocol maps.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::ModelNotFound(_) | Self::ModelDamaged(_) | Self::ModelUnsupported(_) => {
                ErrorKind::NotReady
            }
            Self::Inference(_) => ErrorKind::Internal,
        }
    }
}

/// The store could not do what was asked. Nothing was changed by the failed call.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process owns the data folder.
    #[error("{0}")]
    Owned(String),
    /// The data folder cannot be read or written.
    #[error("{0}")]
    Folder(String),
    /// No room on the device: nothing was stored, the store goes on.
    #[error(
        "the disk that holds the data folder is full: nothing was changed, free some space and try again"
    )]
    DiskFull,
    /// A newer Venom wrote this folder.
    #[error(
        "the data folder has schema version {found}, this Venom knows versions up to {known}: \
         expected a Venom at least as new as the one that wrote it"
    )]
    NewerSchema {
        /// Version in the folder.
        found: i64,
        /// Newest version this build knows.
        known: i64,
    },
    /// The memories were embedded with another model; vectors of two models never mix.
    #[error(
        "the memories in this data folder were embedded with {stored}, the configured model is \
         {configured}: run `venom reembed` to embed them again, or configure the former model"
    )]
    OtherModel {
        /// The model the stored vectors come from.
        stored: Box<ModelStamp>,
        /// The model this process runs.
        configured: Box<ModelStamp>,
    },
    /// The database file is damaged.
    #[error("the database is damaged ({0}): restore the data folder from a backup")]
    Corrupt(String),
    /// A write or sync failed in a way that leaves the file in doubt; the store takes no more writes.
    #[error(
        "the store stopped taking writes after a failed write ({0}): restart Venom once the disk is sound"
    )]
    Failed(String),
    /// An id that already exists.
    #[error("memory {0} exists already")]
    DuplicateId(crate::memory::MemoryId),
    /// A call that is repeated although what it stored was erased since.
    #[error(
        "this call was carried out before, and the memory {id} that it stored was erased for good at {at}: nothing was \
         stored"
    )]
    ErasedSince {
        /// The memory.
        id: crate::memory::MemoryId,
        /// When it was erased.
        at: crate::time::Timestamp,
    },
    /// Anything else: a bug.
    #[error("the store failed: {0}")]
    Other(String),
}

impl StoreError {
    /// The kind a protocol maps.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Owned(_)
            | Self::Folder(_)
            | Self::DiskFull
            | Self::NewerSchema { .. }
            | Self::OtherModel { .. }
            | Self::Failed(_) => ErrorKind::NotReady,
            Self::ErasedSince { .. } => ErrorKind::Gone,
            Self::Corrupt(_) | Self::DuplicateId(_) | Self::Other(_) => ErrorKind::Internal,
        }
    }
}

/// A persona could not be served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PersonaError {
    /// No file of that name in any folder searched.
    #[error("persona {name:?} was not found: looked for {file} in {searched}")]
    NotFound {
        /// The persona asked for.
        name: String,
        /// Its file name.
        file: String,
        /// The folders, in order.
        searched: String,
    },
    /// The file is there but cannot be served.
    #[error("persona file {file} cannot be read: {reason}")]
    Unreadable {
        /// The file's path.
        file: String,
        /// Why.
        reason: String,
    },
}

impl PersonaError {
    /// The kind a protocol maps.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Unreadable { .. } => ErrorKind::NotReady,
        }
    }
}

/// Any failure of a use case.
#[derive(Debug, Error)]
pub enum Error {
    /// Bad input; nothing was changed.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The model failed; nothing was changed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The store failed; nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No persona.
    #[error(transparent)]
    Persona(#[from] PersonaError),
    /// The memory named does not exist, or was forgotten.
    #[error("memory {0} was not found")]
    MemoryNotFound(crate::memory::MemoryId),
    /// The space named does not exist, or was deleted.
    #[error("there is no space {:?}: expected one that venom space list shows", .0.as_str())]
    SpaceNotFound(crate::memory::SpaceName),
    /// The memory named has no such version.
    #[error("memory {id} has no version {version}: expected 1 to {last}")]
    VersionNotFound {
        /// The memory.
        id: crate::memory::MemoryId,
        /// What came.
        version: u32,
        /// The version that it is now.
        last: u32,
    },
    /// The memory named is not, or no longer, in quarantine.
    #[error("memory {0} was not found in quarantine")]
    NotInQuarantine(crate::memory::MemoryId),
}

impl Error {
    /// The kind a protocol maps.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Input(e) => e.kind(),
            Self::Embed(e) => e.kind(),
            Self::Store(e) => e.kind(),
            Self::Persona(e) => e.kind(),
            Self::MemoryNotFound(_)
            | Self::SpaceNotFound(_)
            | Self::VersionNotFound { .. }
            | Self::NotInQuarantine(_) => ErrorKind::NotFound,
        }
    }
}
