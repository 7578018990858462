//! Files of backups: opened without trust, copied and hashed in streams, and the lock that keeps two from working at one
//! place.

use super::manifest::hex;
use crate::failure::Failure;
use rustix::fs::{Advice, Mode, OFlags, fadvise};
use sha2::{Digest as _, Sha256};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use venom_store::folder;

/// An advisory lock, given up when this is dropped or the process ends, however.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not used")] File);

impl Lock {
    /// Takes the lock on a file of this name, which is made and stays. `None` if another process has it. On a file
    /// system without locks everybody gets it.
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = folder::private_file().create(true).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Self(file))),
        }
    }
}

/// Opens a file that may have been put there by anybody: no link is followed, and only a plain file is taken.
///
/// # Errors
/// Why it cannot be read, in half a sentence.
pub(super) fn open_plain(path: &Path) -> Result<File, String> {
    // A pipe would keep whoever opens it waiting.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    let file = file.map_err(|error| match error {
        rustix::io::Errno::LOOP => "expected a plain file, found a link".to_owned(),
        error => format!("it cannot be read: {}", io::Error::from(error)),
    })?;
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(file),
        Ok(_) => Err("expected a plain file, found something else".to_owned()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

/// A reader or writer that hashes and counts what goes through it.
pub(super) struct Hashed<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// How much went through, and its SHA-256 in hex.
    pub(super) fn finish(self) -> (u64, String) {
        (self.bytes, hex(&self.hash.finalize()))
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.note(&buffer[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.note(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Length and SHA-256 of all that a reader gives.
pub(super) fn hash(from: impl Read) -> io::Result<(u64, String)> {
    let mut hashed = Hashed::new(from);
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(hashed.finish())
}

/// Has the next reader get the bytes from the disk, and not from memory where they passed through a moment ago.
pub(super) fn forget_pages(file: &File) {
    // A wish: a system that does not know it reads what it has in memory.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

/// Refuses to begin what cannot end: the file system of `folder` must have room for so many bytes.
pub(super) fn check_room(folder: &Path, bytes: u64) -> Result<(), Failure> {
    let room = folder::room(folder).map_err(|error| unwritable(folder, &error))?;
    let Some(free) = room.free_bytes.filter(|free| *free < bytes) else {
        return Ok(());
    };
    Err(Failure::not_ready(format!(
        "there is not enough room in {}: expected {} free, found {}",
        folder.display(),
        megabytes(bytes),
        megabytes(free)
    )))
}

/// As [`check_room`], for folders that get so many bytes each, at one time: those of one file system share its room.
pub(super) fn check_room_in_each(folders: &[&Path], bytes: u64) -> Result<(), Failure> {
    let device = |folder: &&Path| {
        let found = std::fs::metadata(folder).map(|found| found.dev());
        found.map_err(|error| unwritable(folder, &error))
    };
    let devices: Vec<u64> = folders.iter().map(device).collect::<Result<_, _>>()?;
    for (folder, device) in folders.iter().zip(&devices) {
        let sharing = devices.iter().filter(|it| *it == device).count();
        check_room(folder, bytes.saturating_mul(sharing as u64))?;
    }
    Ok(())
}

/// Bytes as people read them.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The sentence for what cannot be written.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::not_ready(format!("{} cannot be written: {error}", path.display()))
}

/// The sentence for what cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::not_ready(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_testing::Folder;

    #[test]
    fn only_plain_files_are_opened() {
        let folder = Folder::new();
        let (plain, link, pipe) = (
            folder.join("plain"),
            folder.join("link"),
            folder.join("pipe"),
        );
        std::fs::write(&plain, "abc").unwrap();
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let (bytes, hash) = hash(open_plain(&plain).unwrap()).unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((bytes, hash.as_str()), (3, expected));
        assert!(open_plain(&link).unwrap_err().contains("found a link"));
        for other in [&pipe, &folder.path().to_owned()] {
            assert!(open_plain(other).unwrap_err().contains("something else"));
        }
        assert!(
            open_plain(&folder.join("none"))
                .unwrap_err()
                .contains("No such file")
        );
    }

    #[test]
    fn a_lock_is_given_to_one() {
        let folder = Folder::new();
        let path = folder.join("lock");
        let first = Lock::try_take(&path).unwrap();
        assert!(first.is_some());
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(first);
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn what_has_no_room_is_not_begun() {
        let folder = Folder::new();
        check_room(folder.path(), 1).unwrap();
        let failure = check_room(folder.path(), u64::MAX).unwrap_err();
        assert!(failure.message.contains("not enough room"), "{failure}");
    }

    #[test]
    fn folders_of_one_file_system_share_its_room() {
        let folder = Folder::new();
        let [one, other] = ["one", "other"].map(|name| folder.join(name));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&other).unwrap();
        let free = folder::room(folder.path()).unwrap().free_bytes.unwrap();
        // Far from both ends, since others write there, too.
        let bytes = free / 4 * 3;
        check_room_in_each(&[&one], bytes).unwrap();
        let failure = check_room_in_each(&[&one, &other], bytes).unwrap_err();
        let expected = format!("expected {} free", megabytes(bytes * 2));
        assert!(failure.message.contains(&expected), "{failure}");
    }
}
