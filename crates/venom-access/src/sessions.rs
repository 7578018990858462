//! Browser sessions of the owner: what a cookie stands for.

use crate::audit::{Event, note};
use crate::{Access, AccessError, Secret, SecretHash};
use rusqlite::{OptionalExtension as _, params};
use venom_core::Timestamp;

/// How long a session lasts, in seconds.
pub const SESSION_SECONDS: i64 = 12 * 3600;
/// Most sessions at a time; the oldest goes when another comes.
pub const SESSIONS_MAX: usize = 50;

/// A session as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: i64,
    /// When the owner signed in.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// From where the owner signed in.
    pub address: String,
    /// The browser, as it calls itself.
    pub agent: String,
}

impl Access {
    /// Begins a session, which takes the place of the one that the browser has, if any. `how` says what the
    /// owner signed in with.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written.
    pub fn begin_session(
        &self,
        now: Timestamp,
        former: Option<&SecretHash>,
        address: &str,
        agent: &str,
        how: &str,
    ) -> Result<Secret, AccessError> {
        let secret = Secret::new("")?;
        let expires = now.as_micros() + SESSION_SECONDS * 1_000_000;
        let agent: String = agent
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM sessions WHERE expires_us <= ?1",
                [now.as_micros()],
            )?;
            if let Some(former) = former {
                transaction.execute("DELETE FROM sessions WHERE hash = ?1", params![former.0])?;
            }
            let too_many = "DELETE FROM sessions WHERE session NOT IN
                            (SELECT session FROM sessions ORDER BY session DESC LIMIT ?1)";
            transaction.execute(too_many, [SESSIONS_MAX - 1])?;
            let insert = "INSERT INTO sessions (hash, created_us, expires_us, address, agent)
                          VALUES (?1, ?2, ?3, ?4, ?5)";
            let values = params![secret.hash().0, now.as_micros(), expires, address, agent];
            transaction.execute(insert, values)?;
            note(transaction, now, Event::SignedIn, "owner", address, how)
        })?;
        Ok(secret)
    }

    /// The session of a cookie, if it is still open.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn session(
        &self,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<Session>, AccessError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT session, created_us, expires_us, address, agent, hash FROM sessions
             WHERE hash = ?1 AND expires_us > ?2",
        )?;
        let found = statement.query_row(params![hash.0, now.as_micros()], |row| {
            Ok((session(row)?, SecretHash(row.get(5)?)))
        });
        Ok(found
            .optional()?
            .filter(|(_, kept)| kept == hash)
            .map(|(session, _)| session))
    }

    /// Open sessions, newest first.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn sessions(&self, now: Timestamp) -> Result<Vec<Session>, AccessError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT session, created_us, expires_us, address, agent FROM sessions
             WHERE expires_us > ?1 ORDER BY session DESC",
        )?;
        let rows = statement.query_map([now.as_micros()], session)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] if there is none of that number.
    pub fn revoke_session(&self, id: i64, now: Timestamp, source: &str) -> Result<(), AccessError> {
        self.write(|transaction| {
            if transaction.execute("DELETE FROM sessions WHERE session = ?1", [id])? == 0 {
                return Err(AccessError::NotFound(format!("there is no session {id}")));
            }
            transaction.execute("DELETE FROM codes", [])?;
            let subject = format!("session {id}");
            note(
                transaction,
                now,
                Event::SessionRevoked,
                "owner",
                source,
                &subject,
            )
        })
    }
}

fn session(row: &rusqlite::Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        created: Timestamp::from_micros(row.get(1)?),
        expires: Timestamp::from_micros(row.get(2)?),
        address: row.get(3)?,
        agent: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{at, fresh};

    #[test]
    fn a_session_ends_by_time_by_hand_or_with_the_passphrase() {
        let fresh = fresh();
        let access = &fresh.access;
        let begin = |now| {
            access
                .begin_session(at(now), None, "192.0.2.1", "Browser\r\n1", "passphrase")
                .unwrap()
        };
        let cookie = begin(0);
        let open = |cookie: &Secret, now| access.session(&cookie.hash(), at(now)).unwrap();
        let session = open(&cookie, 1).unwrap();
        assert_eq!(session.agent, "Browser1");
        assert_eq!(open(&cookie, SESSION_SECONDS), None);
        assert_eq!(open(&Secret::shown("guess"), 1), None);
        access.revoke_session(session.id, at(2), "web").unwrap();
        assert_eq!(open(&cookie, 3), None);
        let cookie = begin(4);
        access
            .set_passphrase(&Secret::passphrase().unwrap(), at(5), "cli")
            .unwrap();
        assert_eq!(open(&cookie, 6), None);
    }

    #[test]
    fn sessions_do_not_grow_without_bound() {
        let fresh = fresh();
        for now in 0..60 {
            fresh
                .access
                .begin_session(at(now), None, "a", "b", "passphrase")
                .unwrap();
        }
        assert_eq!(fresh.access.sessions(at(60)).unwrap().len(), SESSIONS_MAX);
    }
}
