//! Folders for what is needed only while something is read.

use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use venom_core::import::IMPORT_FOLDER_BEGIN;

/// The file in each that is locked for as long as its process needs it. It is the last thing that goes.
const LOCK: &str = "lock";
/// Names that are tried for a new folder.
const NAMES_MAX: usize = 10_000;

/// The number of the next folder that this process makes.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder that nobody else may read, removed when it is dropped. What a killed process left is removed by the next,
/// where the file system has locks to tell it by.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes one in a folder.
    pub(crate) fn new(place: &Path) -> io::Result<Self> {
        remove_left(place);
        for _ in 0..NAMES_MAX {
            // In a container every process has the same number, and what one of them left has this name.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let process = std::process::id();
            let path = place.join(format!("{IMPORT_FOLDER_BEGIN}{process}-{number}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            if let Some(lock) = lock(&path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays costs room until the next one is made.
        remove(&self.path);
    }
}

/// Makes the lock of a new folder and takes it. `None` if another process took the folder for one that was left, and
/// perhaps a third made it anew.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = match File::create_new(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
            return Ok(None);
        }
        Err(error) => {
            let _ = std::fs::remove_dir(folder);
            return Err(error);
        }
    };
    if let Err(error) = file.lock()
        && !has_no_locks(&error)
    {
        remove(folder);
        return Err(error);
    }
    Ok(is_at(&file, &path).then_some(file))
}

/// Whether a file still has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let found = file.metadata().and_then(|file| {
        let named = path.symlink_metadata()?;
        Ok((file.dev(), file.ino()) == (named.dev(), named.ino()))
    });
    found.unwrap_or(false)
}

fn has_no_locks(error: &io::Error) -> bool {
    let known = [Errno::NOLCK, Errno::NOTSUP, Errno::NOSYS];
    error.kind() == ErrorKind::Unsupported
        || Errno::from_io_error(error).is_some_and(|errno| known.contains(&errno))
}

/// Removes the copies in a folder whose processes have ended before they could. What cannot be looked at or removed
/// stays.
pub fn remove_left(place: &Path) {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries {
        let is_ours = entry
            .file_name()
            .to_string_lossy()
            .starts_with(IMPORT_FOLDER_BEGIN);
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let folder = entry.path();
        match File::open(folder.join(LOCK)) {
            Ok(file) => {
                if file.try_lock().is_ok() && is_at(&file, &folder.join(LOCK)) {
                    remove(&folder);
                }
            }
            // Nothing is in one that has no lock; whoever is just making it notices.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let _ = std::fs::remove_dir(folder);
            }
            Err(_) => {}
        }
    }
}

/// Removes a folder, its lock last: killed before that it leaves one that is told to be left.
fn remove(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let others = entries.filter(|entry| entry.file_name() != LOCK);
    let is_removed = |path: PathBuf| {
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            std::fs::remove_dir_all(path).is_ok()
        } else {
            std::fs::remove_file(path).is_ok()
        }
    };
    let stays = others.filter(|entry| !is_removed(entry.path())).count();
    if stays == 0 {
        let _ = std::fs::remove_file(folder.join(LOCK));
        let _ = std::fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_a_process_left_is_removed_and_what_is_in_use_stays() {
        let place = tempfile::tempdir().unwrap();
        let left = place.path().join(format!("{IMPORT_FOLDER_BEGIN}1-0"));
        std::fs::create_dir_all(left.join("content")).unwrap();
        std::fs::write(left.join(LOCK), "").unwrap();
        std::fs::write(left.join("content/a.md"), "a").unwrap();
        let first = Scratch::new(place.path()).unwrap();
        assert!(!left.exists());
        let mode = first.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let second = Scratch::new(place.path()).unwrap();
        assert!(first.path().is_dir() && first.path() != second.path());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().is_dir());
    }

    /// Killed before it had its lock, or when that alone was removed.
    #[test]
    fn one_without_a_lock_is_empty_and_goes() {
        let place = tempfile::tempdir().unwrap();
        let left = place.path().join(format!("{IMPORT_FOLDER_BEGIN}1-0"));
        std::fs::create_dir(&left).unwrap();
        remove_left(place.path());
        assert!(!left.exists());
    }

    #[test]
    fn a_name_that_is_taken_is_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let process = std::process::id();
        // Full and without a lock, so that nobody knows whether it is needed. Other tests go on counting meanwhile.
        let next = NEXT.load(Ordering::Relaxed);
        let taken =
            (next..next + 2_000).map(|number| format!("{IMPORT_FOLDER_BEGIN}{process}-{number}"));
        let taken: Vec<_> = taken.map(|name| place.path().join(name)).collect();
        for folder in &taken {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "").unwrap();
        }
        let made = Scratch::new(place.path()).unwrap();
        assert!(!taken.contains(&made.path));
        assert!(taken.iter().all(|folder| folder.join("file").is_file()));
    }

    /// Makers and removers at once: nobody loses a folder that is in use.
    #[test]
    fn nobody_removes_what_another_is_making() {
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let made = Scratch::new(place.path()).unwrap();
                        std::fs::write(made.path().join("file"), "").unwrap();
                        remove_left(place.path());
                        assert!(made.path().join("file").is_file());
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
