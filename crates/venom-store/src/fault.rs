//! From SQLite's errors to the store's: which sentence an operator gets, and what it means for the file.

use rusqlite::ffi::{self, ErrorCode};
use std::path::Path;
use venom_core::StoreError;

/// An error inside a transaction, before it is known which folder and what was being done.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What SQLite was asked to do: after a failed write the file is in doubt, after a failed read not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Reading,
    Writing,
}

impl Fault {
    /// A row that this program cannot have written.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Corrupt(what.into()))
    }

    /// The error for the caller. `folder` is the data folder.
    pub(crate) fn into_store(self, folder: &Path, doing: Doing) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        match error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let text = message.unwrap_or_else(|| code.to_string());
                from_code(code, &text, folder, doing)
            }
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => StoreError::Corrupt(error.to_string()),
            _ => StoreError::Other(error.to_string()),
        }
    }
}

fn from_code(code: ffi::Error, text: &str, folder: &Path, doing: Doing) -> StoreError {
    let shown = folder.display();
    // One error is one line, also where SQLite lists what is wrong.
    let text = text.lines().collect::<Vec<_>>().join("; ");
    match code.code {
        ErrorCode::DiskFull => StoreError::DiskFull,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(text),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Owned(format!(
            "the database in {shown} is locked: expected no other process to use it, found one that does"
        )),
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            StoreError::Folder(format!(
                "the data folder {shown} cannot be used: expected a folder that this user may read and \
                 write, found: {text}"
            ))
        }
        ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
            StoreError::Corrupt(text)
        }
        ErrorCode::SystemIoFailure if doing == Doing::Writing => {
            StoreError::Failed(format!("{text}, code {}", code.extended_code))
        }
        ErrorCode::SystemIoFailure => StoreError::Folder(format!(
            "the database in {shown} cannot be read: expected a sound disk, found: {text}, code {}",
            code.extended_code
        )),
        _ => StoreError::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: i32, doing: Doing, expected: &str) {
        let fault = Fault::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        let found = format!("{:?}", fault.into_store(Path::new("/data"), doing));
        assert!(found.starts_with(expected), "{code}: {found}");
    }

    #[test]
    fn each_code_has_its_error() {
        check(ffi::SQLITE_FULL, Doing::Writing, "DiskFull");
        check(ffi::SQLITE_IOERR_FSYNC, Doing::Writing, "Failed");
        check(ffi::SQLITE_IOERR_WRITE, Doing::Writing, "Failed");
        check(ffi::SQLITE_IOERR_READ, Doing::Reading, "Folder");
        check(ffi::SQLITE_IOERR_SHORT_READ, Doing::Reading, "Corrupt");
        check(ffi::SQLITE_CORRUPT, Doing::Reading, "Corrupt");
        check(ffi::SQLITE_NOTADB, Doing::Reading, "Corrupt");
        check(ffi::SQLITE_READONLY, Doing::Writing, "Folder");
        check(ffi::SQLITE_CANTOPEN, Doing::Reading, "Folder");
        check(ffi::SQLITE_BUSY, Doing::Reading, "Owned");
        check(ffi::SQLITE_MISUSE, Doing::Reading, "Other");
    }
}
