//! The domain of Venom: what a memory is, what a persona is, and the use cases over them.
//!
//! This crate is pure and synchronous. It reads no file, opens no socket and knows no wire format;
//! everything outside comes through the [`ports`]. Start reading at [`use_cases::Venom`].

pub mod backup;
pub mod conversation;
pub mod counted;
pub mod duplicate;
pub mod embedding;
pub mod error;
pub mod history;
pub mod import;
pub mod limits;
pub mod memory;
pub mod outcome;
pub mod persona;
pub mod ports;
pub mod precautions;
pub mod query;
pub mod recall;
pub mod secrets;
pub mod source;
pub mod spaces;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;
pub mod time;
pub mod use_cases;
pub mod visible;

pub use backup::{Backup, BackupNote};
pub use conversation::{NewConversation, Turn};
pub use counted::counted;
pub use embedding::{Embedding, ModelStamp, Passage, PassageSpan};
pub use error::{EmbedError, Error, ErrorKind, InputError, PersonaError, StoreError};
pub use history::{Cause, Erased, Erasure, Erasures, History, Replaced, Version};
pub use import::{Arrival, Foretold, ImportKey, Imported, Metadata, NewImport, ORIGINAL_ID};
pub use memory::{
    Content, Duplicates, Memory, MemoryChange, MemoryId, NewMemory, Origin, RequestKey,
    SessionName, SpaceName, Speaker, Tag, Tags, Verdict,
};
pub use outcome::{Changed, Remembered, RememberedConversation};
pub use persona::{Persona, PersonaName};
pub use ports::{Clock, Embedder, IdSource, MemoryStore, PersonaSource};
pub use precautions::{Precautions, Quarantine, Rules};
pub use query::{
    Filter, Hit, ListPage, ListQuery, QueryText, RecallQuery, ResultLimit, Stats, TakenOver,
};
pub use secrets::{SecretKind, SecretPolicy, without_secrets};
pub use source::{ClientName, Source, TokenName};
pub use spaces::{Emptied, Move, Moved, Renamed, SpaceInfo, Within};
pub use time::{Period, Timestamp};
