//! The audit log: what happened, who did it, when and from where. Never what a memory says.

use crate::{Access, AccessError};
use rusqlite::{Connection, params};
use venom_core::Timestamp;

/// Most entries that are kept; beyond it the oldest go. The trigger on the table knows the same number.
const ENTRIES_MAX: i64 = 1_000_000;
/// Entries between two looks at whether there are too many.
const PRUNE_EVERY: i64 = 1_000;
/// Longest text of a column, in characters: some of it comes from outside.
const TEXT_CHARS_MAX: usize = 200;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The owner's passphrase was set.
    PassphraseSet,
    /// Somebody signed in.
    SignedIn,
    /// Somebody failed to sign in.
    SignInFailed,
    /// A browser session ended before its time.
    SessionRevoked,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed.
    PasskeyRemoved,
    /// A token was made.
    TokenCreated,
    /// A token was revoked.
    TokenRevoked,
    /// A token came into use: for the first time, from another address, or again after a day.
    TokenUsed,
    /// A client registered itself.
    ClientRegistered,
    /// A client was removed.
    ClientRemoved,
    /// The owner let a client in.
    GrantCreated,
    /// The owner turned a client away.
    GrantDenied,
    /// A client was shut out.
    GrantRevoked,
    /// A code or refresh token came a second time; what it had brought is void.
    ReuseDetected,
    /// A call without a valid token was turned away; at most once a minute for an address.
    Refused,
    /// A memory was stored.
    Stored,
    /// Memories came from elsewhere.
    Imported,
    /// A memory was changed.
    Updated,
    /// A memory was hidden.
    Forgotten,
    /// A hidden memory was shown again.
    Restored,
    /// Memories moved to another space.
    Moved,
    /// A space was made.
    SpaceCreated,
    /// A space got another name.
    SpaceRenamed,
    /// A space was deleted, and its memories hidden.
    SpaceDeleted,
    /// A memory was erased for good.
    Erased,
    /// A memory left quarantine.
    Released,
    /// A memory in quarantine was put away for good.
    Discarded,
    /// A backup was made.
    BackedUp,
    /// The data folder was restored from a backup.
    BackupRestored,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 30] = [
        Self::PassphraseSet,
        Self::SignedIn,
        Self::SignInFailed,
        Self::SessionRevoked,
        Self::PasskeyAdded,
        Self::PasskeyRemoved,
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::TokenUsed,
        Self::ClientRegistered,
        Self::ClientRemoved,
        Self::GrantCreated,
        Self::GrantDenied,
        Self::GrantRevoked,
        Self::ReuseDetected,
        Self::Refused,
        Self::Stored,
        Self::Imported,
        Self::Updated,
        Self::Forgotten,
        Self::Restored,
        Self::Moved,
        Self::SpaceCreated,
        Self::SpaceRenamed,
        Self::SpaceDeleted,
        Self::Erased,
        Self::Released,
        Self::Discarded,
        Self::BackedUp,
        Self::BackupRestored,
    ];

    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PassphraseSet => "passphrase set",
            Self::SignedIn => "signed in",
            Self::SignInFailed => "sign-in failed",
            Self::SessionRevoked => "session revoked",
            Self::PasskeyAdded => "passkey added",
            Self::PasskeyRemoved => "passkey removed",
            Self::TokenCreated => "token created",
            Self::TokenRevoked => "token revoked",
            Self::TokenUsed => "token used",
            Self::ClientRegistered => "client registered",
            Self::ClientRemoved => "client removed",
            Self::GrantCreated => "grant created",
            Self::GrantDenied => "grant denied",
            Self::GrantRevoked => "grant revoked",
            Self::ReuseDetected => "reuse detected",
            Self::Refused => "refused",
            Self::Stored => "stored",
            Self::Imported => "imported",
            Self::Updated => "updated",
            Self::Forgotten => "forgotten",
            Self::Restored => "restored",
            Self::Moved => "moved",
            Self::SpaceCreated => "space created",
            Self::SpaceRenamed => "space renamed",
            Self::SpaceDeleted => "space deleted",
            Self::Erased => "erased",
            Self::Released => "released",
            Self::Discarded => "discarded",
            Self::BackedUp => "backup made",
            Self::BackupRestored => "backup restored",
        }
    }
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Position in the log; grows.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// What, see [`Event::name`].
    pub event: String,
    /// Who: `owner`, `token laptop`, `grant 3 (Claude)`, `local`.
    pub who: String,
    /// From where: an address, or the door.
    pub source: String,
    /// On what: a memory id, the name of a token or a space. Never a memory's text.
    pub subject: String,
}

/// A line to write.
#[derive(Clone, Debug)]
pub struct NewAuditEntry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// Who, as in [`AuditEntry`].
    pub who: String,
    /// From where.
    pub source: String,
    /// On what.
    pub subject: String,
}

/// Which lines to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditQuery {
    /// Only those from this moment on.
    pub since: Option<Timestamp>,
    /// The newest so many.
    pub limit: usize,
}

impl Access {
    /// Writes a line.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written.
    pub fn audit(
        &self,
        at: Timestamp,
        event: Event,
        who: &str,
        source: &str,
        subject: &str,
    ) -> Result<(), AccessError> {
        self.write(|transaction| note(transaction, at, event, who, source, subject))
    }

    /// Writes several lines in one transaction.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written; then none of them is.
    pub fn audit_all(&self, entries: &[NewAuditEntry]) -> Result<(), AccessError> {
        self.write(|transaction| {
            for new in entries {
                let (who, source, subject) = (&new.who, &new.source, &new.subject);
                note(transaction, new.at, new.event, who, source, subject)?;
            }
            Ok(())
        })
    }

    /// The newest lines, oldest of them first.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn read_audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, AccessError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT seq, at_us, event, who, source, subject FROM audit
             WHERE at_us >= ?1 ORDER BY seq DESC LIMIT ?2",
        )?;
        let since = query.since.map_or(i64::MIN, Timestamp::as_micros);
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![since, limit], |row| {
            Ok(AuditEntry {
                seq: row.get(0)?,
                at: Timestamp::from_micros(row.get(1)?),
                event: row.get(2)?,
                who: row.get(3)?,
                source: row.get(4)?,
                subject: row.get(5)?,
            })
        })?;
        let mut entries = rows.collect::<Result<Vec<_>, _>>()?;
        entries.reverse();
        Ok(entries)
    }
}

/// Writes a line inside a transaction that does what the line tells.
pub(crate) fn note(
    connection: &Connection,
    at: Timestamp,
    event: Event,
    who: &str,
    source: &str,
    subject: &str,
) -> Result<(), AccessError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO audit (at_us, event, who, source, subject) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        at.as_micros(),
        event.name(),
        one_line(who),
        one_line(source),
        one_line(subject),
    ])?;
    let seq = connection.last_insert_rowid();
    if seq % PRUNE_EVERY == 0 {
        let oldest = seq - ENTRIES_MAX;
        connection.execute("DELETE FROM audit WHERE seq <= ?1", [oldest])?;
    }
    Ok(())
}

/// Text from outside as it may stand in a log: no control characters, not too long.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(TEXT_CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{at, fresh};

    #[test]
    fn lines_are_added_and_neither_changed_nor_deleted() {
        let fresh = fresh();
        let access = &fresh.access;
        access
            .audit(at(1), Event::SignedIn, "owner", "192.0.2.1", "a\nb")
            .unwrap();
        access
            .audit(at(2), Event::Stored, "token x", "192.0.2.1", "mem_1")
            .unwrap();
        let entries = access
            .read_audit(&AuditQuery {
                since: None,
                limit: 10,
            })
            .unwrap();
        let events: Vec<_> = entries.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(events, ["signed in", "stored"]);
        assert_eq!(entries[0].subject, "a\u{fffd}b");
        let newest = AuditQuery {
            since: Some(at(2)),
            limit: 10,
        };
        assert_eq!(access.read_audit(&newest).unwrap(), entries[1..]);
        for change in ["UPDATE audit SET who = 'x'", "DELETE FROM audit"] {
            let error = access.lock().execute(change, []).unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
    }

    #[test]
    fn a_log_that_has_grown_too_long_loses_its_oldest_lines() {
        let fresh = fresh();
        let access = &fresh.access;
        access.audit(at(0), Event::Stored, "old", "", "").unwrap();
        // As if a million lines had been written since.
        let seq = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'audit'";
        access
            .lock()
            .execute(seq, [ENTRIES_MAX + PRUNE_EVERY - 1])
            .unwrap();
        access.audit(at(1), Event::Stored, "new", "", "").unwrap();
        let entries = access
            .read_audit(&AuditQuery {
                since: None,
                limit: 10,
            })
            .unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].who, "new");
    }

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let mut names: Vec<_> = Event::ALL.iter().map(|event| event.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
