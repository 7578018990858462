//! The folder that backups are made in: what its names mean, what lies in it.

use super::files::{open_plain, unreadable};
use super::manifest::{self, Manifest};
use crate::failure::Failure;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use venom_core::Timestamp;

/// The file whose lock is held by whoever makes or removes backups there.
pub(super) const LOCK: &str = ".venom-backup.lock";
/// What the name of a backup begins with.
const BEGIN: &str = "venom-";
/// What the name of one ends with that is not whole, or is being removed. It begins with a dot then, too.
const PARTIAL: &str = ".partial";
/// Backups of one second that get a name.
const SAME_SECOND_MAX: u32 = 1_000;

/// A backup that lies there whole.
#[derive(Clone, Debug)]
pub(super) struct Shelved {
    /// Its folder.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) manifest: Manifest,
}

/// A moment in a name: `20261126T092152Z`.
pub(super) fn compact(moment: Timestamp) -> String {
    let text = moment.to_string();
    let seconds = text.split('.').next().unwrap_or(&text);
    let digits = seconds.chars().filter(char::is_ascii_alphanumeric);
    digits.collect::<String>() + "Z"
}

/// Whether it is the name of a backup: `venom-20261126T092152Z`, perhaps with a number behind.
fn is_name(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(BEGIN) else {
        return false;
    };
    let (moment, number) = rest.split_once('-').unwrap_or((rest, "2"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = moment.strip_suffix('Z').and_then(|it| it.split_once('T'));
    parts.is_some_and(|(day, time)| {
        day.len() == 8 && time.len() == 6 && is_digits(day) && is_digits(time)
    }) && is_digits(number)
}

/// Where a backup of this name is made, and where one goes that is removed.
pub(super) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{PARTIAL}"))
}

/// A path for a backup that is free.
pub(super) fn free_path(shelf: &Path, now: Timestamp) -> Result<PathBuf, Failure> {
    let first = format!("{BEGIN}{}", compact(now));
    let others = (2..SAME_SECOND_MAX).map(|number| format!("{first}-{number}"));
    let mut paths = std::iter::once(first.clone())
        .chain(others)
        .map(|name| shelf.join(name));
    let free = paths.find(|path| std::fs::symlink_metadata(path).is_err());
    free.ok_or_else(|| {
        let shown = shelf.join(first);
        Failure::not_ready(format!(
            "{} and all names behind it are taken: expected a free name for a backup",
            shown.display()
        ))
    })
}

/// The manifest in a folder.
///
/// # Errors
/// Why the folder is no backup, in half a sentence.
pub(super) fn manifest_in(folder: &Path) -> Result<Manifest, String> {
    let about = |why| format!("its {} is not one: {why}", manifest::FILE_NAME);
    let file = open_plain(&folder.join(manifest::FILE_NAME)).map_err(about)?;
    let mut bytes = Vec::new();
    let read = file
        .take(manifest::BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| about(format!("it cannot be read: {error}")))?;
    Manifest::parse(&bytes).map_err(about)
}

/// What lies on a shelf.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Backups, oldest first.
    pub(super) whole: Vec<Shelved>,
    /// Folders with the name of a backup that are none, and why.
    pub(super) strange: Vec<(PathBuf, String)>,
    /// What was begun and not ended.
    pub(super) partial: Vec<PathBuf>,
}

/// Looks at what lies there. Links are not followed; what is not ours is passed over.
///
/// # Errors
/// [`Failure`] if the folder cannot be read.
pub(super) fn look(shelf: &Path) -> Result<Found, Failure> {
    let mut found = Found::default();
    let entries = std::fs::read_dir(shelf).map_err(|error| unreadable(shelf, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(shelf, &error))?;
        let (name, path) = (entry.file_name(), entry.path());
        let Some(name) = name.to_str() else { continue };
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if is_name(name) {
                let why = "it is a link or a file: expected a folder".to_owned();
                found.strange.push((path, why));
            }
            continue;
        }
        let inner = name
            .strip_prefix('.')
            .and_then(|it| it.strip_suffix(PARTIAL));
        if inner.is_some_and(is_name) {
            found.partial.push(path);
        } else if is_name(name) {
            match manifest_in(&path) {
                Ok(manifest) => found.whole.push(Shelved { path, manifest }),
                Err(why) => found.strange.push((path, why)),
            }
        }
    }
    found
        .whole
        .sort_by(|a, b| (a.manifest.made_at, &a.path).cmp(&(b.manifest.made_at, &b.path)));
    Ok(found)
}

impl Found {
    /// When the newest backup was made. One from the future does not count: the clock was wrong when it was made, and
    /// may have been for years.
    pub(super) fn newest(&self, now: Timestamp) -> Option<Timestamp> {
        let moments = self.whole.iter().map(|backup| backup.manifest.made_at);
        moments.filter(|made_at| *made_at <= now).max()
    }
}

/// When the newest backup on a shelf was made, as of [`Found::newest`]; `None` if there is none, or no shelf yet.
///
/// # Errors
/// [`Failure`] if the folder cannot be read.
pub(super) fn newest(shelf: &Path, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    if !shelf.exists() {
        return Ok(None);
    }
    Ok(look(shelf)?.newest(now))
}

/// Takes a backup from a shelf, at once: what is removed later has the name of what is not whole. One that holds
/// anything besides its own files stays.
///
/// # Errors
/// Why it stays, in half a sentence.
pub(super) fn remove(backup: &Path) -> Result<(), String> {
    let manifest = manifest_in(backup)?;
    let own = |name: &str| {
        let mut files = manifest.files.iter();
        name == manifest::FILE_NAME || files.any(|file| manifest.name_of(file.holds) == name)
    };
    let failed = |error: io::Error| format!("it cannot be removed: {error}");
    for entry in std::fs::read_dir(backup).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !name.to_str().is_some_and(own) {
            return Err(format!("it holds {} as well", name.to_string_lossy()));
        }
    }
    let away = beside(backup);
    std::fs::rename(backup, &away)
        .and_then(|()| away.parent().map_or(Ok(()), venom_store::folder::sync))
        .and_then(|()| std::fs::remove_dir_all(&away))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::manifest::tests::manifest;
    use std::collections::BTreeSet;
    use venom_testing::Folder;

    const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_123_456);

    fn put(folder: &Folder, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("manifest.json"), text).unwrap();
        path
    }

    #[test]
    fn names_tell_the_moment_and_are_free() {
        let folder = Folder::new();
        let first = free_path(folder.path(), NOW).unwrap();
        assert!(first.ends_with("venom-20261118T110640Z"), "{first:?}");
        std::fs::create_dir(&first).unwrap();
        let second = free_path(folder.path(), NOW).unwrap();
        assert!(second.ends_with("venom-20261118T110640Z-2"));
        for path in [&first, &second] {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(is_name(name), "{name}");
        }
        assert!(beside(&second).ends_with(".venom-20261118T110640Z-2.partial"));
        for other in [
            "venom-",
            "venom-20261118T112640",
            "venom-20261118T110640Z-",
            "venom-20261118T110640Z-x",
            "venom-2026-11-18",
            "venom-2026111xT112640Z",
            "other-20261118T110640Z",
            "venom-20261118T110640Z.partial",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let folder = Folder::new();
        let json = manifest(false).to_json();
        let early = json.replacen("2026-", "2025-", 1);
        let new = put(&folder, "venom-20250101T000000Z", &json);
        let old = put(&folder, "venom-20251118T112640Z", &early);
        let strange = put(&folder, "venom-20261118T112641Z", "{}");
        let partial = put(&folder, ".venom-20261118T112642Z.partial", &json);
        put(&folder, "photos", &json);
        put(&folder, ".photos.partial", &json);
        let file = folder.join("venom-20261118T112643Z");
        std::fs::write(&file, "a file").unwrap();
        let link = folder.join("venom-20261118T112644Z");
        std::os::unix::fs::symlink(&new, &link).unwrap();
        let found = look(folder.path()).unwrap();
        let paths: Vec<_> = found.whole.iter().map(|it| it.path.clone()).collect();
        assert_eq!(paths, [old, new], "by the time in the manifest");
        assert_eq!(found.partial, [partial]);
        let told: Vec<_> = found.strange.iter().map(|(path, _)| path).collect();
        assert_eq!(
            BTreeSet::from_iter(told),
            BTreeSet::from([&strange, &file, &link])
        );
        assert_eq!(newest(&folder.join("none"), NOW).unwrap(), None);
        let last = found.whole[1].manifest.made_at;
        assert_eq!(newest(folder.path(), last).unwrap(), Some(last));
        let before = Timestamp::from_micros(last.as_micros() - 1);
        let first = found.whole[0].manifest.made_at;
        assert_eq!(newest(folder.path(), before).unwrap(), Some(first));
    }

    #[test]
    fn a_backup_with_more_in_it_is_not_removed() {
        let folder = Folder::new();
        let backup = put(
            &folder,
            "venom-20261118T112641Z",
            &manifest(false).to_json(),
        );
        std::fs::write(backup.join("venom.db"), "x").unwrap();
        std::fs::write(backup.join("notes.txt"), "mine").unwrap();
        assert_eq!(remove(&backup).unwrap_err(), "it holds notes.txt as well");
        std::fs::remove_file(backup.join("notes.txt")).unwrap();
        remove(&backup).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(remove(&backup).is_err());
    }
}
