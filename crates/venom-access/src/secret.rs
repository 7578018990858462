//! Secrets that are handed out once and kept as hashes only.

use crate::AccessError;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use subtle::ConstantTimeEq;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Letters and digits that cannot be taken for one another, for secrets that people type.
const LEGIBLE: &[u8; 32] = b"abcdefghjkmnpqrstvwxyz0123456789";
/// Groups of a passphrase that is made up, and characters in each: 100 random bits.
const PASSPHRASE_GROUPS: usize = 4;
const PASSPHRASE_GROUP_CHARS: usize = 5;

/// A secret on its way to whom it was made for. It shows itself in no log: `Debug` hides it and there
/// is no `Display`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A secret of 256 random bits in hex after `prefix`, which tells people and scanners what it is.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the system gives no random numbers.
    pub fn new(prefix: &str) -> Result<Self, AccessError> {
        Ok(Self(format!("{prefix}{}", hex(&random::<SECRET_BYTES>()?))))
    }

    /// A passphrase of 100 random bits that can be read out and typed.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the system gives no random numbers.
    pub fn passphrase() -> Result<Self, AccessError> {
        let bytes = random::<{ PASSPHRASE_GROUPS * PASSPHRASE_GROUP_CHARS }>()?;
        let groups = bytes.chunks(PASSPHRASE_GROUP_CHARS).map(|group| {
            let letter = |byte: &u8| char::from(LEGIBLE[usize::from(byte % 32)]);
            group.iter().map(letter).collect::<String>()
        });
        Ok(Self(groups.collect::<Vec<_>>().join("-")))
    }

    /// A secret that came from outside.
    pub fn shown(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who is to have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        equal(&self.0, &other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of a secret. Secrets of 256 random bits need no slow hash; passphrases of people do and
/// have one (see [`crate::owner`]).
///
/// A shown secret is looked up by its hash. What that takes tells something of hashes at most, and nobody can
/// aim at a hash without knowing its secret; comparisons take the same time wherever two hashes differ.
#[derive(Clone, Copy, Debug)]
pub struct SecretHash(pub(crate) [u8; 32]);

impl SecretHash {
    /// The hash of a text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The 64 hex digits of it, in lower case.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// The hash with these 64 hex digits, if that is what they are.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

/// Whether two texts are equal, in a time that depends on their lengths only.
pub fn equal(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

pub(crate) fn random<const BYTES: usize>() -> Result<[u8; BYTES], AccessError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        AccessError::Failed(format!("the system gave no random numbers: {error}"))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_hide() {
        let (one, two) = (
            Secret::new("venom_").unwrap(),
            Secret::new("venom_").unwrap(),
        );
        assert_ne!(one, two);
        assert_eq!(one.reveal().len(), 6 + 64);
        assert!(!format!("{one:?}").contains(&one.reveal()[6..]));
        assert_eq!(one.hash(), SecretHash::of(one.reveal()));
        assert_ne!(one.hash(), two.hash());
    }

    #[test]
    fn passphrases_are_legible() {
        let passphrase = Secret::passphrase().unwrap();
        let groups: Vec<_> = passphrase.reveal().split('-').collect();
        assert_eq!(groups.len(), 4);
        for group in groups {
            assert_eq!(group.len(), 5);
            assert!(group.bytes().all(|byte| LEGIBLE.contains(&byte)), "{group}");
        }
    }

    #[test]
    fn hashes_come_in_hex() {
        let hash = SecretHash::of("x");
        let hex = hash.to_hex();
        assert_eq!(SecretHash::from_hex(&hex.to_uppercase()), Some(hash));
        assert_eq!(SecretHash::from_hex(&hex), Some(hash));
        for wrong in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(SecretHash::from_hex(wrong), None, "{wrong}");
        }
    }
}
