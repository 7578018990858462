//! The owner's passkeys. What a credential's bytes mean is the WebAuthn library's business.

use crate::audit::{Event, note};
use crate::tokens::check_name;
use crate::{Access, AccessError};
use rusqlite::params;
use venom_core::Timestamp;

/// Most passkeys at a time.
pub const PASSKEYS_MAX: usize = 20;

/// A passkey as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its number.
    pub id: i64,
    /// What the owner calls it.
    pub name: String,
    /// The credential id.
    pub credential: Vec<u8>,
    /// Public key, counter and flags, in the library's form.
    pub state: Vec<u8>,
    /// When it was added.
    pub created: Timestamp,
    /// When it was used last.
    pub last_used: Option<Timestamp>,
}

impl Access {
    /// Adds a passkey.
    ///
    /// # Errors
    /// [`AccessError`] if the name cannot be taken, the credential is known already, or there are too many.
    pub fn add_passkey(
        &self,
        name: &str,
        credential: &[u8],
        state: &[u8],
        now: Timestamp,
        source: &str,
    ) -> Result<(), AccessError> {
        let name = check_name(name)?;
        self.write(|transaction| {
            let known = "SELECT count(*), coalesce(sum(credential = ?1), 0) FROM passkeys";
            let (count, same): (usize, usize) =
                transaction.query_row(known, [credential], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if same > 0 {
                return Err(AccessError::Invalid("this passkey is known already".to_owned()));
            }
            if count >= PASSKEYS_MAX {
                return Err(AccessError::Full(format!(
                    "there are {PASSKEYS_MAX} passkeys already: remove one first"
                )));
            }
            let insert = "INSERT INTO passkeys (name, credential, state, created_us) VALUES (?1, ?2, ?3, ?4)";
            transaction.execute(insert, params![name, credential, state, now.as_micros()])?;
            let subject = format!("passkey {name}");
            note(transaction, now, Event::PasskeyAdded, "owner", source, &subject)
        })
    }

    /// All passkeys, oldest first.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn passkeys(&self) -> Result<Vec<Passkey>, AccessError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT passkey, name, credential, state, created_us, last_used_us FROM passkeys ORDER BY passkey",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Passkey {
                id: row.get(0)?,
                name: row.get(1)?,
                credential: row.get(2)?,
                state: row.get(3)?,
                created: Timestamp::from_micros(row.get(4)?),
                last_used: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps what changed when a passkey was used, its counter above all.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] if it was removed meanwhile.
    pub fn use_passkey(&self, id: i64, state: &[u8], now: Timestamp) -> Result<(), AccessError> {
        self.write(|transaction| {
            let update = "UPDATE passkeys SET state = ?2, last_used_us = ?3 WHERE passkey = ?1";
            match transaction.execute(update, params![id, state, now.as_micros()])? {
                0 => Err(AccessError::NotFound(format!("there is no passkey {id}"))),
                _ => Ok(()),
            }
        })
    }

    /// Removes a passkey.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] if there is none of that number.
    pub fn remove_passkey(&self, id: i64, now: Timestamp, source: &str) -> Result<(), AccessError> {
        self.write(|transaction| {
            if transaction.execute("DELETE FROM passkeys WHERE passkey = ?1", [id])? == 0 {
                return Err(AccessError::NotFound(format!("there is no passkey {id}")));
            }
            let subject = format!("passkey {id}");
            note(
                transaction,
                now,
                Event::PasskeyRemoved,
                "owner",
                source,
                &subject,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::database::tests::{at, fresh};

    #[test]
    fn passkeys_are_added_used_and_removed() {
        let fresh = fresh();
        let access = &fresh.access;
        access
            .add_passkey("phone", b"id", b"one", at(0), "web")
            .unwrap();
        assert!(
            access
                .add_passkey("again", b"id", b"one", at(0), "web")
                .is_err()
        );
        let phone = access.passkeys().unwrap().remove(0);
        access.use_passkey(phone.id, b"two", at(1)).unwrap();
        let used = access.passkeys().unwrap().remove(0);
        assert_eq!(
            (used.state.as_slice(), used.last_used),
            (&b"two"[..], Some(at(1)))
        );
        access.remove_passkey(phone.id, at(2), "web").unwrap();
        assert!(access.use_passkey(phone.id, b"two", at(3)).is_err());
        assert!(access.passkeys().unwrap().is_empty());
    }
}
