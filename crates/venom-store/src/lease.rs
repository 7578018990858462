//! The lease of a data folder: one process owns it at a time, and tells the others who it is.
//!
//! The lease is an advisory lock on `venom.lock`, which the operating system gives up when the process
//! ends, however it ends. The file's text says who holds it: `key=value` lines, for people and for
//! processes that want to reach the holder. The text without the lock means nothing.

use crate::{folder, restore};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use venom_core::StoreError;

/// The lock file's name in the data folder.
const FILE_NAME: &str = "venom.lock";
/// First line of the lock file: what it is, and the version of its format.
const TITLE: &str = "venom lease 1";
/// Last line of the text; without it the text is being written.
const END: &str = "\nend\n";
/// Size of the lock file, in bytes: the text is padded with line feeds, so that writing it anew needs
/// no room on a full disk. No socket's path comes near.
const FILE_BYTES: usize = 4096;

/// Why a data folder cannot be owned.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process owns it; says which, once that process has written so.
    #[error("the data folder is in use by {}", .0.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string))]
    Busy(Option<Holder>),
    /// The folder cannot be used at all.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id, on its host.
    pub pid: u32,
    /// Host name, as the holder sees it.
    pub host: String,
    /// Version of the holder's program.
    pub version: String,
    /// Where the holder can be reached, once it listens.
    pub socket: Option<PathBuf>,
}

impl Holder {
    fn this_process(socket: Option<&Path>) -> Self {
        Self {
            pid: std::process::id(),
            host: host_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: socket.map(Path::to_path_buf),
        }
    }

    /// Whether the holder runs on this machine (or in this container).
    pub fn is_on_this_host(&self) -> bool {
        self.host == host_name()
    }

    fn to_text(&self) -> String {
        let Self { pid, version, .. } = self;
        let host = escape(self.host.as_bytes());
        let mut text = format!("{TITLE}\npid={pid}\nhost={host}\nversion={version}");
        if let Some(socket) = &self.socket {
            text.push_str("\nsocket=");
            text.push_str(&escape(socket.as_os_str().as_bytes()));
        }
        text.push_str(END);
        text
    }

    /// `None` for text that is torn or of another format.
    fn from_text(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(TITLE)?.strip_prefix('\n')?;
        let (lines, _) = lines.split_once(END)?;
        let find = |key: &str| {
            let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(unescape);
            lines.lines().find_map(value)
        };
        let text = |key| String::from_utf8(find(key)?).ok();
        Some(Self {
            pid: text("pid")?.parse().ok()?,
            host: text("host")?,
            version: text("version")?,
            socket: find("socket").map(|bytes| OsString::from_vec(bytes).into()),
        })
    }

    fn read(file: &File) -> Option<Self> {
        let mut bytes = vec![0; FILE_BYTES];
        let read = file.read_at(&mut bytes, 0).ok()?;
        Self::from_text(std::str::from_utf8(bytes.get(..read)?).ok()?)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid, host, version, ..
        } = self;
        write!(f, "process {pid} (Venom {version}) on host {host}")
    }
}

/// The right to use a data folder. It lasts until this value and every store opened with it are
/// dropped, or the process ends.
#[derive(Debug)]
pub struct Lease {
    file: Arc<LeaseFile>,
}

/// The locked file; a store keeps a share of it, so that no other process can enter before the store
/// is closed.
#[derive(Debug)]
pub(crate) struct LeaseFile {
    folder: PathBuf,
    file: File,
    /// `false` on file systems without locks; there SQLite's own lock has to do.
    locked: bool,
}

impl Lease {
    /// Takes the lease of `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// [`LeaseError::Busy`] if another process (or another value in this one) holds it,
    /// [`LeaseError::Store`] if the folder cannot be used.
    pub fn try_acquire(folder: &Path) -> Result<Self, LeaseError> {
        Self::acquire(folder, |file| match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(LockFailure::Busy),
            Err(TryLockError::Error(error)) => Err(LockFailure::Io(error)),
        })
    }

    /// Takes the lease of `folder`; blocks as long as another process holds it.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the folder cannot be used.
    pub fn wait(folder: &Path) -> Result<Self, StoreError> {
        match Self::acquire(folder, |file| file.lock().map_err(LockFailure::Io)) {
            Ok(lease) => Ok(lease),
            Err(LeaseError::Store(error)) => Err(error),
            Err(busy @ LeaseError::Busy(_)) => Err(StoreError::Owned(busy.to_string())),
        }
    }

    /// The holder named in the lock file of `folder`, without touching the lock. A holder that was
    /// killed stays named until the next one comes; only an attempt to acquire tells for sure.
    pub fn holder(folder: &Path) -> Option<Holder> {
        Holder::read(&File::open(folder.join(FILE_NAME)).ok()?)
    }

    /// Writes where this process can be reached into the lock file.
    ///
    /// # Errors
    /// [`StoreError::Folder`] or [`StoreError::DiskFull`] if the file cannot be written.
    pub fn announce(&mut self, socket: &Path) -> Result<(), StoreError> {
        self.file.write(&Holder::this_process(Some(socket)))
    }

    /// Whether the file system has locks, so that nobody else can use the folder now.
    pub fn is_exclusive(&self) -> bool {
        self.file.locked
    }

    /// The data folder, as an absolute path.
    pub fn folder(&self) -> &Path {
        &self.file.folder
    }

    pub(crate) fn share(&self) -> Arc<LeaseFile> {
        self.file.clone()
    }

    fn acquire(
        folder: &Path,
        lock: impl Fn(&File) -> Result<(), LockFailure>,
    ) -> Result<Self, LeaseError> {
        let folder = folder::create(folder)?;
        let path = folder.join(FILE_NAME);
        loop {
            let opened = folder::private_file().create(true).open(&path);
            let file = opened.map_err(|e| folder::unusable(&folder, &e))?;
            let locked = match lock(&file) {
                Ok(()) => true,
                Err(LockFailure::Busy) => return Err(LeaseError::Busy(Holder::read(&file))),
                Err(LockFailure::Io(error)) if has_no_locks(&error) => false,
                Err(LockFailure::Io(error)) => return Err(folder::unusable(&folder, &error).into()),
            };
            // Somebody may have removed the file meanwhile: a lock on a file without a name is none.
            let held = file.metadata().map(|found| folder::identity_of(&found));
            if locked && held.ok() != folder::identity(&path).ok() {
                continue;
            }
            let file = LeaseFile {
                folder,
                file,
                locked,
            };
            if locked {
                file.write(&Holder::this_process(None))?;
            }
            // Before anybody opens what is there.
            restore::finish(&file.folder)?;
            return Ok(Self {
                file: Arc::new(file),
            });
        }
    }
}

impl LeaseFile {
    /// Called once SQLite's own lock is held: where the lease file cannot be locked, only then may
    /// its text be replaced.
    pub(crate) fn claim(&self) -> Result<(), StoreError> {
        if self.locked {
            return Ok(());
        }
        self.write(&Holder::this_process(None))
    }

    /// The sentence for a database that SQLite finds locked although the lease was given.
    pub(crate) fn owned_by_another(&self) -> StoreError {
        let holder = Holder::read(&self.file);
        let other = |holder: &Holder| *holder != Holder::this_process(holder.socket.as_deref());
        let busy = LeaseError::Busy(holder.filter(other));
        let folder = self.folder.display();
        StoreError::Owned(format!("the database in {folder} is locked: {busy}"))
    }

    fn write_text(&self, text: &str) -> io::Result<()> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().max(FILE_BYTES), b'\n');
        self.file.write_all_at(&bytes, 0)
    }

    fn write(&self, holder: &Holder) -> Result<(), StoreError> {
        let written = self.write_text(&holder.to_text());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
            _ => folder::unusable(&self.folder, &error),
        })
    }
}

impl Drop for LeaseFile {
    /// Blanks the text, so that nobody reads of a holder that has gone; closing the file unlocks it.
    fn drop(&mut self) {
        if self.locked {
            let _ = self.write_text("");
        }
    }
}

enum LockFailure {
    Busy,
    Io(io::Error),
}

fn has_no_locks(error: &io::Error) -> bool {
    let known = [Errno::NOLCK, Errno::NOTSUP, Errno::NOSYS];
    error.kind() == io::ErrorKind::Unsupported
        || Errno::from_io_error(error).is_some_and(|errno| known.contains(&errno))
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// Bytes as one line of printable ASCII: anything else, and `%`, as `%` and two hex digits.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' '..=b'~' if *byte != b'%' => text.push(char::from(*byte)),
            _ => write!(text, "%{byte:02x}").expect("writing to a String does not fail"),
        }
    }
    text
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let escaped = code.filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn one_holder_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        let mut lease = Lease::try_acquire(&folder).unwrap();
        lease.announce(Path::new("/run/a b%\n.sock")).unwrap();
        let Err(LeaseError::Busy(Some(holder))) = Lease::try_acquire(&folder) else {
            panic!("the lease was given twice");
        };
        assert_eq!(Lease::holder(&folder).as_ref(), Some(&holder));
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(
            holder.socket.as_deref(),
            Some(Path::new("/run/a b%\n.sock"))
        );
        assert!(holder.is_on_this_host());
        drop(lease);
        assert_eq!(Lease::holder(&folder), None);
        Lease::try_acquire(&folder).unwrap();
    }

    #[test]
    fn waiting_ends_when_the_holder_goes() {
        let root = tempfile::tempdir().unwrap();
        let lease = Lease::try_acquire(root.path()).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lease::wait(root.path()).map(drop));
            drop(lease);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_removed_lock_file_does_not_make_two_owners_of_the_new_one() {
        let root = tempfile::tempdir().unwrap();
        let old = Lease::try_acquire(root.path()).unwrap();
        std::fs::remove_file(root.path().join(FILE_NAME)).unwrap();
        let new = Lease::try_acquire(root.path()).unwrap();
        drop(old);
        assert!(matches!(
            Lease::try_acquire(root.path()),
            Err(LeaseError::Busy(_))
        ));
        drop(new);
    }

    #[test]
    fn torn_and_strange_text_names_nobody() {
        let whole = Holder::this_process(Some(Path::new("/s"))).to_text();
        assert!(Holder::from_text(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(Holder::from_text(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Holder::from_text("{}"), None);
    }

    #[test]
    fn fuzz_lock_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let whole = Holder::this_process(Some(Path::new("/run/a b%\n.sock"))).to_text();
        let words = [
            TITLE,
            "\npid=",
            "\nhost=",
            "\nversion=",
            "\nsocket=",
            END,
            "%0a",
            "%ff",
            "%",
            "=",
        ];
        Target::new("lock-files")
            .words(&words)
            .seed(whole)
            .run(|bytes| {
                std::fs::write(&path, bytes).unwrap();
                let holder = Lease::holder(folder.path())?;
                // Versions are written as they are, since ours have nothing to escape.
                if !holder.version.contains(['%', '\n', '\r']) {
                    let again = Holder::from_text(&holder.to_text());
                    assert_eq!(again.as_ref(), Some(&holder));
                }
                assert!(!holder.to_string().is_empty());
                Some((
                    holder.socket.is_some(),
                    holder.host.is_ascii(),
                    holder.is_on_this_host(),
                ))
            });
    }
}
