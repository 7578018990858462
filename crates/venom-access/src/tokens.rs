//! Tokens: what the owner gives to clients that send a header. Bound to spaces and to reading or writing.

use crate::audit::{Event, note};
use crate::uses::{LastUse, tell_use};
use crate::{Access, AccessError, Rights, Secret, SecretHash};
use rusqlite::{OptionalExtension as _, Row, params};
use venom_core::Timestamp;

/// Most tokens at a time.
pub const TOKENS_MAX: usize = 1_000;
/// Longest name of a token, client or passkey, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// The name of the token that a server makes at its first start beyond this machine.
pub const OWNER: &str = "owner";
/// What every token begins with, so that people and scanners know it when they see it.
const PREFIX: &str = "venom_";

/// A token to make.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name: 1 to [`NAME_CHARS_MAX`] letters, digits, spaces or any of `-_.@`.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used: Option<Timestamp>,
    /// From where.
    pub last_used_from: Option<String>,
}

/// Checks a name that people will see in lists and logs.
///
/// # Errors
/// [`AccessError::Invalid`] unless it has 1 to [`NAME_CHARS_MAX`] letters, digits, spaces or any of `-_.@`.
pub(crate) fn check_name(name: &str) -> Result<String, AccessError> {
    let name = name.trim();
    let chars = name.chars().count();
    let fits = |c: char| c.is_alphanumeric() || " -_.@".contains(c);
    if chars == 0 || chars > NAME_CHARS_MAX || !name.chars().all(fits) {
        let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
        return Err(AccessError::Invalid(format!(
            "the name {shown:?} cannot be taken: expected 1 to {NAME_CHARS_MAX} letters, digits, spaces or \
             any of -_.@"
        )));
    }
    Ok(name.to_owned())
}

impl Access {
    /// Makes a token. The secret is told now and never again.
    ///
    /// # Errors
    /// [`AccessError`] if the name cannot be taken or is taken already, or there are too many.
    pub fn create_token(
        &self,
        new: &NewToken,
        now: Timestamp,
        source: &str,
    ) -> Result<Secret, AccessError> {
        let secret = Secret::new(PREFIX)?;
        self.add_token(new, secret.hash(), now, source)?;
        Ok(secret)
    }

    /// Takes over a token of which only the hash is known.
    ///
    /// # Errors
    /// As [`Self::create_token`].
    pub fn add_token(
        &self,
        new: &NewToken,
        hash: SecretHash,
        now: Timestamp,
        source: &str,
    ) -> Result<(), AccessError> {
        let name = check_name(&new.name)?;
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(AccessError::Invalid(
                "the token would have expired already: expected a time to come".to_owned(),
            ));
        }
        self.write(|transaction| {
            let known = "SELECT count(*), coalesce(sum(name = ?1), 0) FROM tokens";
            let (count, same): (usize, usize) =
                transaction.query_row(known, [&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if same > 0 {
                return Err(AccessError::Invalid(format!(
                    "there is a token {name:?} already: revoke it first, or choose another name"
                )));
            }
            if count >= TOKENS_MAX {
                return Err(AccessError::Full(format!(
                    "there are {TOKENS_MAX} tokens already: revoke one first"
                )));
            }
            let insert = "INSERT INTO tokens (name, hash, spaces, write, created_us, expires_us)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            transaction.execute(
                insert,
                params![
                    name,
                    hash.0,
                    new.rights.spaces_column(),
                    new.rights.write,
                    now.as_micros(),
                    new.expires.map(Timestamp::as_micros),
                ],
            )?;
            note(
                transaction,
                now,
                Event::TokenCreated,
                "owner",
                source,
                &format!("token {name}"),
            )
        })
    }

    /// Whether an owner token was ever made here, as far as the audit log goes back.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn was_owner_token_made(&self) -> Result<bool, AccessError> {
        let select = "SELECT EXISTS (SELECT 1 FROM audit WHERE event = ?1 AND subject = ?2)";
        let made = params![Event::TokenCreated.name(), format!("token {OWNER}")];
        Ok(self.lock().query_row(select, made, |row| row.get(0))?)
    }

    /// Whether a token of this name is good now for these rights.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn has_token(
        &self,
        name: &str,
        rights: &Rights,
        now: Timestamp,
    ) -> Result<bool, AccessError> {
        let all = self.tokens()?;
        let found = all.iter().find(|token| token.name == name);
        Ok(found.is_some_and(|token| {
            token.rights == *rights && token.expires.is_none_or(|expires| expires > now)
        }))
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn tokens(&self) -> Result<Vec<Token>, AccessError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT name, spaces, write, created_us, expires_us, last_used_us, last_used_from
             FROM tokens ORDER BY name",
        )?;
        let rows = statement.query_map([], token)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Revokes a token; it is void from now on.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] if there is none of that name.
    pub fn revoke_token(
        &self,
        name: &str,
        now: Timestamp,
        source: &str,
    ) -> Result<(), AccessError> {
        let name = name.trim();
        self.write(|transaction| {
            if transaction.execute("DELETE FROM tokens WHERE name = ?1", [name])? == 0 {
                let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
                return Err(AccessError::NotFound(format!(
                    "there is no token {shown:?}: venom token list tells which there are"
                )));
            }
            note(
                transaction,
                now,
                Event::TokenRevoked,
                "owner",
                source,
                &format!("token {name}"),
            )
        })
    }

    /// The name and rights of the token with this hash, if it is valid now, and notes its use.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read. That its use cannot be written is no reason to
    /// turn a valid token away, as on a full disk.
    pub fn use_token(
        &self,
        hash: &SecretHash,
        now: Timestamp,
        source: &str,
    ) -> Result<Option<(String, Rights)>, AccessError> {
        let found = {
            let connection = self.lock();
            let mut statement = connection.prepare_cached(
                "SELECT name, spaces, write, created_us, expires_us, last_used_us, last_used_from, hash
                 FROM tokens WHERE hash = ?1",
            )?;
            let found = statement.query_row(params![hash.0], |row| {
                Ok((token(row)?, SecretHash(row.get(7)?)))
            });
            found.optional()?
        };
        let Some((token, _)) = found.filter(|(_, kept)| kept == hash) else {
            return Ok(None);
        };
        if token.expires.is_some_and(|expires| expires <= now) {
            return Ok(None);
        }
        let last = LastUse {
            at: token.last_used,
            from: token.last_used_from.as_deref(),
        };
        if let Some(told) = self.uses.worth(hash.0, last, now, source) {
            let who = format!("token {}", token.name);
            let _ = self.write(|transaction| {
                let update =
                    "UPDATE tokens SET last_used_us = ?2, last_used_from = ?3 WHERE hash = ?1";
                transaction.execute(update, params![hash.0, now.as_micros(), source])?;
                tell_use(transaction, told, &who, now, source)
            });
        }
        Ok(Some((token.name, token.rights)))
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let spaces: Option<String> = row.get(1)?;
    let moment = |us: Option<i64>| us.map(Timestamp::from_micros);
    Ok(Token {
        name: row.get(0)?,
        rights: Rights::from_columns(spaces.as_deref(), row.get(2)?),
        created: Timestamp::from_micros(row.get(3)?),
        expires: moment(row.get(4)?),
        last_used: moment(row.get(5)?),
        last_used_from: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuditQuery;
    use crate::database::tests::{at, fresh};

    fn new(name: &str, expires: Option<Timestamp>) -> NewToken {
        NewToken {
            name: name.to_owned(),
            rights: Rights::ALL,
            expires,
        }
    }

    #[test]
    fn a_token_is_valid_until_it_expires_or_is_revoked() {
        let fresh = fresh();
        let access = &fresh.access;
        let secret = access
            .create_token(&new("laptop", Some(at(100))), at(0), "cli")
            .unwrap();
        let used = |now| {
            access
                .use_token(&secret.hash(), at(now), "192.0.2.1")
                .unwrap()
        };
        assert_eq!(used(10), Some(("laptop".to_owned(), Rights::ALL)));
        assert_eq!(access.tokens().unwrap()[0].last_used, Some(at(10)));
        assert_eq!(
            access.tokens().unwrap()[0].last_used_from.as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(used(100), None, "expired");
        assert_eq!(
            access
                .use_token(&SecretHash::of("venom_guess"), at(10), "")
                .unwrap(),
            None
        );
        access.revoke_token("laptop", at(20), "cli").unwrap();
        assert_eq!(used(21), None, "revoked");
        assert!(!access.was_owner_token_made().unwrap(), "that was another");
        assert!(matches!(
            access.revoke_token("laptop", at(20), "cli"),
            Err(AccessError::NotFound(_))
        ));
    }

    #[test]
    fn the_file_holds_no_secret() {
        let fresh = fresh();
        let secret = fresh
            .access
            .create_token(&new("laptop", None), at(0), "cli")
            .unwrap();
        let bytes = std::fs::read(fresh.access.path()).unwrap();
        let text = secret.reveal().as_bytes();
        assert!(!bytes.windows(text.len()).any(|window| window == text));
    }

    #[test]
    fn use_is_told_once_a_day_and_for_every_address() {
        let fresh = fresh();
        let access = &fresh.access;
        let secret = access
            .create_token(&new("laptop", None), at(0), "cli")
            .unwrap();
        for (now, source) in [(1, "a"), (2, "a"), (90, "a"), (91, "b"), (91 + 86_400, "b")] {
            access
                .use_token(&secret.hash(), at(now), source)
                .unwrap()
                .unwrap();
        }
        let log = access
            .read_audit(&AuditQuery {
                since: None,
                limit: 100,
            })
            .unwrap();
        let used = log
            .iter()
            .filter(|entry| entry.event == Event::TokenUsed.name());
        let used: Vec<_> = used
            .map(|entry| (entry.at, entry.source.as_str()))
            .collect();
        assert_eq!(used, [(at(1), "a"), (at(91), "b"), (at(91 + 86_400), "b")]);
    }

    #[test]
    fn names_are_checked_and_unique() {
        let fresh = fresh();
        let access = &fresh.access;
        access
            .create_token(&new(" my laptop ", None), at(0), "cli")
            .unwrap();
        for wrong in ["", "my laptop", "a\nb", "<b>", &"x".repeat(65), "\u{202e}x"] {
            let refused = access.create_token(&new(wrong, None), at(0), "cli");
            assert!(matches!(refused, Err(AccessError::Invalid(_))), "{wrong:?}");
        }
        let past = access.create_token(&new("late", Some(at(0))), at(0), "cli");
        assert!(matches!(past, Err(AccessError::Invalid(_))));
        assert_eq!(access.tokens().unwrap().len(), 1);
    }
}
