//! The owner's passphrase, kept as an Argon2id hash (RFC 9106).

use crate::audit::{Event, note};
use crate::{Access, AccessError, Secret};
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher as _, Version};
use rusqlite::{OptionalExtension as _, params};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use venom_core::Timestamp;

/// Shortest passphrase that an owner may choose, in characters.
pub const PASSPHRASE_CHARS_MIN: usize = 12;
/// Longest, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// Memory of one hash, in KiB, and passes over it: the first choice of OWASP's password storage guide.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// The memory that passphrases are checked in, one after the other. It stays once it was needed: an
/// allocator that has an arena for each of many threads would keep as much in each of them, so that a few
/// wrong passphrases cost hundreds of megabytes for good.
#[derive(Default)]
pub(crate) struct HashMemory(Mutex<Vec<Block>>);

impl fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashMemory(…)")
    }
}

impl HashMemory {
    /// Whether `shown` has this hash.
    fn verify(&self, shown: &str, kept: &PasswordHash) -> Result<bool, AccessError> {
        let (Some(salt), Some(expected)) = (&kept.salt, &kept.hash) else {
            return Err(broken("salt and hash are missing"));
        };
        let params = Params::try_from(kept).map_err(broken)?;
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.resize(params.block_count(), Block::new());
        let mut hash = [0; Output::MAX_LENGTH];
        let hash = hash
            .get_mut(..expected.len())
            .ok_or_else(|| broken("the hash is too long"))?;
        argon2(params)
            .hash_password_into_with_memory(shown.as_bytes(), salt, hash, &mut memory[..])
            .map_err(broken)?;
        // Takes the same time wherever the two differ.
        Ok(Output::new(hash).map_err(broken)? == *expected)
    }
}

fn broken(why: impl fmt::Display) -> AccessError {
    AccessError::Failed(format!("the passphrase's hash is broken: {why}"))
}

fn argon2(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Checks a passphrase that an owner chose. White space around it does not count, here and where it is shown.
///
/// # Errors
/// [`AccessError::Invalid`] if it is too short or too long.
pub fn check_passphrase(text: &str) -> Result<Secret, AccessError> {
    let text = text.trim();
    let chars = text.chars().count();
    if chars < PASSPHRASE_CHARS_MIN || text.len() > PASSPHRASE_BYTES_MAX {
        return Err(AccessError::Invalid(format!(
            "the passphrase cannot be taken: expected {PASSPHRASE_CHARS_MIN} characters to \
             {PASSPHRASE_BYTES_MAX} bytes, received {chars} characters"
        )));
    }
    Ok(Secret::shown(text))
}

impl Access {
    /// Whether a passphrase was set.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn has_passphrase(&self) -> Result<bool, AccessError> {
        Ok(self.passphrase_hash()?.is_some())
    }

    /// Sets the passphrase. Browser sessions end with the old one.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written.
    pub fn set_passphrase(
        &self,
        passphrase: &Secret,
        now: Timestamp,
        source: &str,
    ) -> Result<(), AccessError> {
        let salt: [u8; 16] = crate::secret::random()?;
        let failed = |error: &dyn fmt::Display| AccessError::Failed(format!("argon2: {error}"));
        let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| failed(&error))?;
        let hash = argon2(params)
            .hash_password_with_salt(passphrase.reveal().as_bytes(), &salt)
            .map_err(|error| failed(&error))?;
        self.write(|transaction| {
            let set = "INSERT INTO owner (owner, passphrase) VALUES (1, ?1)
                       ON CONFLICT DO UPDATE SET passphrase = excluded.passphrase";
            transaction.execute(set, [hash.to_string()])?;
            transaction.execute("DELETE FROM sessions", [])?;
            transaction.execute("DELETE FROM codes", [])?;
            note(transaction, now, Event::PassphraseSet, "owner", source, "")
        })
    }

    /// Whether this is the passphrase. Takes some tens of milliseconds and 19 MiB, as it is meant to. One
    /// waits for the other; the caller limits how many wait on threads.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn is_passphrase(&self, shown: &str) -> Result<bool, AccessError> {
        let shown = shown.trim();
        let Some(kept) = self.passphrase_hash()? else {
            return Ok(false);
        };
        if shown.len() > PASSPHRASE_BYTES_MAX {
            return Ok(false);
        }
        self.hashing
            .verify(shown, &PasswordHash::new(&kept).map_err(broken)?)
    }

    fn passphrase_hash(&self) -> Result<Option<String>, AccessError> {
        let select = "SELECT passphrase FROM owner";
        Ok(self
            .lock()
            .query_row(select, params![], |row| row.get(0))
            .optional()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{at, fresh};

    #[test]
    fn only_the_passphrase_set_last_is_the_passphrase() {
        let fresh = fresh();
        let access = &fresh.access;
        assert!(!access.has_passphrase().unwrap() && !access.is_passphrase("").unwrap());
        let first = Secret::passphrase().unwrap();
        access.set_passphrase(&first, at(0), "cli").unwrap();
        assert!(access.is_passphrase(first.reveal()).unwrap());
        assert!(
            !access
                .is_passphrase(&first.reveal().to_uppercase())
                .unwrap()
        );
        access
            .set_passphrase(
                &check_passphrase("correct horse battery \n").unwrap(),
                at(1),
                "cli",
            )
            .unwrap();
        assert!(!access.is_passphrase(first.reveal()).unwrap());
        assert!(access.is_passphrase("correct horse battery").unwrap());
        assert!(access.is_passphrase(" correct horse battery ").unwrap());
        let bytes = std::fs::read(access.path()).unwrap();
        assert!(!bytes.windows(13).any(|window| window == b"correct horse"));
        assert!(bytes.windows(9).any(|window| window == b"$argon2id"));
    }

    #[test]
    fn short_passphrases_are_refused() {
        assert!(check_passphrase("hunter2").is_err());
        assert!(check_passphrase(&"x".repeat(1025)).is_err());
    }
}
