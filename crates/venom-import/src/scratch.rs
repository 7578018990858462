//! Folders for what is needed only while something is read.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use venom_core::import::IMPORT_FOLDER_BEGIN;

/// The file in each that is locked for as long as its process needs it.
const LOCK: &str = "lock";

/// A folder that nobody else may read, removed when it is dropped. What a killed process left is removed by the next.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes one in a folder.
    pub(crate) fn new(place: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        remove_left(place);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!(
            "{IMPORT_FOLDER_BEGIN}{}-{number}",
            std::process::id()
        ));
        // Where another process has the same number, in a container of its own, the folder is taken: that is an error.
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create_new(path.join(LOCK)).and_then(|file| file.lock().map(|()| file));
        match lock {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays costs room until the next one is made.
        let _ = std::fs::remove_dir_all(&self.path);
    }
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
        // One that is being made has no lock yet, and is left alone.
        let lock = File::open(entry.path().join(LOCK));
        if lock.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
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
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(LOCK), "").unwrap();
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
}
