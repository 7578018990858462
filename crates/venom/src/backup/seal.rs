//! Encrypted files, in the age format (age-encryption.org) with a passphrase: `age -d` opens them, too. Everything is
//! done in streams; a file may be larger than memory.

use super::passphrase::Passphrase;
use age::scrypt::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use std::io::{self, Read, Write};

/// Work of scrypt to make a key of a passphrase, as a power of two: OWASP's first choice, 128 MiB and less than a second.
const WORK: u8 = 17;
/// Most work that a file may ask for, as a power of two: 1 GiB of memory. Other programs may choose more than we do.
const WORK_MAX: u8 = 20;

/// Why a file cannot be opened, in half a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// The passphrase is another one.
    OtherPassphrase,
    /// It is no such file, or was changed.
    Broken(String),
}

/// Encrypts all of `from` to `to`.
///
/// # Errors
/// Those of reading and writing.
pub(super) fn seal(
    from: &mut impl Read,
    to: impl Write,
    passphrase: &Passphrase,
) -> io::Result<()> {
    let mut recipient = Recipient::new(passphrase.for_age());
    recipient.set_work_factor(WORK);
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
    let mut writer = encryptor.wrap_output(to)?;
    io::copy(from, &mut writer)?;
    writer.finish()?.flush()
}

/// A reader of what is encrypted in `from`. What it gives is authentic: reading fails where a byte was changed, and at
/// the end of a file that was cut short.
///
/// # Errors
/// [`Sealed`], before anything of the content is given.
pub(super) fn open<R: Read>(
    from: R,
    passphrase: &Passphrase,
) -> Result<impl Read + use<R>, Sealed> {
    let broken = |error: DecryptError| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Sealed::OtherPassphrase
        }
        DecryptError::NoMatchingKeys => {
            Sealed::Broken("expected a file that was encrypted with a passphrase".to_owned())
        }
        DecryptError::ExcessiveWork { required, .. } => Sealed::Broken(format!(
            "expected at most 2^{WORK_MAX} as the work of scrypt, found 2^{required}"
        )),
        DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Sealed::Broken(
            "expected a file in the age format, found one that is cut short".to_owned(),
        ),
        DecryptError::Io(error) => Sealed::Broken(format!("it cannot be read: {error}")),
        _ => Sealed::Broken(
            "expected a file in the age format, found another or a damaged one".to_owned(),
        ),
    };
    let decryptor = Decryptor::new_buffered(io::BufReader::new(from)).map_err(broken)?;
    if !decryptor.is_scrypt() {
        return Err(broken(DecryptError::NoMatchingKeys));
    }
    let mut identity = Identity::new(passphrase.for_age());
    identity.set_max_work_factor(WORK_MAX);
    let identities = std::iter::once(&identity as &dyn age::Identity);
    decryptor.decrypt(identities).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::to_open(text).unwrap()
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        seal(&mut &content[..], &mut bytes, &passphrase("correct horse")).unwrap();
        bytes
    }

    fn opened(bytes: &[u8], text: &str) -> Result<Vec<u8>, String> {
        let mut reader = open(bytes, &passphrase(text)).map_err(|why| format!("{why:?}"))?;
        let mut content = Vec::new();
        let read = reader.read_to_end(&mut content);
        read.map_err(|error| error.to_string())?;
        Ok(content)
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_alone() {
        // More than a chunk of the format, which has 64 KiB.
        let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let bytes = sealed(&content);
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
        assert!(!bytes.windows(16).any(|part| part == &content[..16]));
        assert_eq!(opened(&bytes, "correct horse").unwrap(), content);
        assert_eq!(
            opened(&bytes, "wrong horse").unwrap_err(),
            "OtherPassphrase"
        );
        assert_eq!(opened(&sealed(b""), "correct horse").unwrap(), b"");
    }

    #[test]
    fn what_was_changed_or_cut_does_not_open() {
        let bytes = sealed(&vec![7; 100_000]);
        for cut in [0, 10, 100, 200, bytes.len() - 65_000, bytes.len() - 1] {
            opened(&bytes[..cut], "correct horse").unwrap_err();
        }
        for place in [5, 40, 120, 180, 300, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            opened(&changed, "correct horse").unwrap_err();
        }
        let hard = String::from_utf8_lossy(&bytes[..90]).replacen(" 17\n", " 30\n", 1);
        let hard = [hard.as_bytes(), &bytes[90..]].concat();
        let refused = opened(&hard, "correct horse").unwrap_err();
        assert!(refused.contains("found 2^30"), "{refused}");
    }
}
