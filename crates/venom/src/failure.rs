//! The error that leaves the process, and the one table that maps its kind to each protocol.

use serde::{Deserialize, Serialize};
use std::fmt;
use venom_core::ErrorKind;

/// A failure as a caller sees it: a kind and one clear sentence. Causes are logged where they arise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What went wrong, for protocols.
    pub(crate) kind: ErrorKind,
    /// What went wrong, for people and models.
    pub(crate) message: String,
}

impl Failure {
    /// A failure of any kind.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The caller sent something that can never work.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// The store or the model cannot serve now.
    pub(crate) fn not_ready(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotReady, message)
    }

    /// A bug.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The process's exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        row(self.kind).exit_code
    }

    /// The HTTP status code.
    pub(crate) const fn http_status(&self) -> u16 {
        row(self.kind).http_status
    }
}

/// How one kind shows on each protocol.
struct Row {
    name: &'static str,
    http_status: u16,
    exit_code: u8,
}

/// The table. Over MCP every kind is a tool result with `isError`, so that the model can read it.
const fn row(kind: ErrorKind) -> Row {
    let (name, http_status, exit_code) = match kind {
        ErrorKind::InvalidInput => ("invalid_input", 400, 2),
        ErrorKind::TooLarge => ("too_large", 413, 2),
        ErrorKind::Forbidden => ("forbidden", 403, 77),
        ErrorKind::NotFound => ("not_found", 404, 1),
        ErrorKind::Gone => ("gone", 410, 1),
        ErrorKind::Overloaded => ("overloaded", 429, 75),
        ErrorKind::NotReady => ("not_ready", 503, 69),
        ErrorKind::Internal => ("internal", 500, 70),
    };
    Row {
        name,
        http_status,
        exit_code,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<venom_core::Error> for Failure {
    fn from(error: venom_core::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<venom_core::InputError> for Failure {
    fn from(error: venom_core::InputError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<venom_core::PersonaError> for Failure {
    fn from(error: venom_core::PersonaError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<venom_core::StoreError> for Failure {
    fn from(error: venom_core::StoreError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<venom_core::EmbedError> for Failure {
    fn from(error: venom_core::EmbedError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

/// The form in which a failure crosses the local socket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireFailure {
    kind: String,
    message: String,
}

impl From<Failure> for WireFailure {
    fn from(failure: Failure) -> Self {
        Self {
            kind: row(failure.kind).name.to_owned(),
            message: failure.message,
        }
    }
}

impl From<WireFailure> for Failure {
    fn from(wire: WireFailure) -> Self {
        let kind = ErrorKind::ALL
            .into_iter()
            .find(|kind| row(*kind).name == wire.kind);
        Self {
            kind: kind.unwrap_or(ErrorKind::Internal),
            message: wire.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_socket_and_are_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        for kind in ErrorKind::ALL {
            let failure = Failure::new(kind, "why");
            assert_eq!(Failure::from(WireFailure::from(failure.clone())), failure);
            let Row {
                name,
                http_status,
                exit_code,
            } = row(kind);
            let line = format!("| `{name}` | {http_status} | {exit_code} |");
            assert!(
                page.contains(&line),
                "docs/operations.md lacks the row {line}"
            );
        }
    }
}
