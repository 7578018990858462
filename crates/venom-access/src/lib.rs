//! Who may come in, and what they did: the owner's passphrase and passkeys, tokens, browser sessions,
//! OAuth clients with their grants, and the audit log. All of it lies in one small SQLite file beside
//! the memories, which several processes may have open at once.
//!
//! Start reading at [`Access`]. Nothing here speaks HTTP; moments come from the caller, so that a test
//! needs no clock. Secrets leave this crate once, as [`Secret`], and are kept as [`SecretHash`].

mod audit;
mod clients;
mod copy;
mod database;
mod grants;
pub mod owner;
mod passkeys;
mod renames;
mod rights;
mod secret;
mod sessions;
mod tokens;
mod uses;

pub use audit::{AuditEntry, AuditQuery, Event, NewAuditEntry};
pub use clients::{CLIENTS_MAX, Client, NewClient};
pub use copy::inspect;
pub use database::{Access, FILE_NAME};
pub use grants::{
    ACCESS_SECONDS, CODE_SECONDS, Consent, Exchange, GRANTS_MAX, Grant, LEEWAY_SECONDS,
    REFRESH_SECONDS, Redeemed, Refusal,
};
pub use passkeys::{PASSKEYS_MAX, Passkey};
pub use rights::{Rights, SPACES_MAX, Spaces};
pub use secret::{Secret, SecretHash, equal};
pub use sessions::{SESSION_SECONDS, SESSIONS_MAX, Session};
pub use tokens::{NAME_CHARS_MAX, NewToken, OWNER, TOKENS_MAX, Token};

/// Why something about access could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// What was asked for can never work.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// As many are kept as may be kept.
    #[error("{0}")]
    Full(String),
    /// The file cannot be read or written, or the system failed.
    #[error("{0}")]
    Failed(String),
}

impl From<rusqlite::Error> for AccessError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(format!("{} cannot be used: {error}", database::FILE_NAME))
    }
}
