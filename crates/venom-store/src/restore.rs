//! Putting another database in the place of the one in a data folder, so that after any interruption one of the two is
//! there whole.
//!
//! What is new is first written to `restore.partial` and synced. Renaming that to `restore.ready` is the moment at which
//! it counts: from then on whoever takes the lease finishes the rest before anybody opens anything. What was there is
//! moved aside, the database with its logs and its index, and only then is the new one moved in; the steps between are
//! synced, since a log beside another database would be replayed into it. What is left of `restore.ready` then gets its
//! first name again before it is removed, so that half of it never counts.

use crate::fault::Fault;
use crate::lease::Lease;
use crate::open;
use crate::snapshot::{self, DatabaseFacts};
use crate::{backups, erase, folder};
use rusqlite::Connection;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use venom_core::{Backup, BackupNote, StoreError, Timestamp};

/// Where what is new is written.
const PARTIAL: &str = "restore.partial";
/// The same, whole.
const READY: &str = "restore.ready";
/// A file beside what is new: the name of the folder for what was there.
const ASIDE: &str = "aside";
/// What such a name begins with.
pub(crate) const ASIDE_BEGIN: &str = "before-restore-";
/// In such a folder: personas that a restore replaced. The store knows no personas, but who erases has to know that there
/// are no memories in it.
pub const PERSONAS_ASIDE: &str = "personalities";
/// The version of the schema from which on there are marks and backups.
const FIRST_WITH_MARKS: i64 = 7;
/// Longest such name, in bytes.
const ASIDE_BYTES_MAX: usize = 100;

/// A database's file, and what belongs to it and to no other.
type Whole = (&'static str, &'static [&'static str]);

/// What can be put in place, in this order.
const WHOLES: [Whole; 2] = [
    (
        open::FILE_NAME,
        &[
            "venom.db-wal",
            "venom.db-journal",
            "venom.db-shm",
            "venom.db.new",
            "index",
        ],
    ),
    ("access.db", &["access.db-journal"]),
];

/// A restore on its way: a folder for what is new, and where to put what is there.
#[derive(Debug)]
pub struct Restore<'a> {
    lease: &'a Lease,
    partial: PathBuf,
}

impl<'a> Restore<'a> {
    /// Begins one, with an empty folder for `venom.db` and, if it is to be replaced too, `access.db`.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the folder cannot be made.
    pub fn begin(lease: &'a Lease) -> Result<Self, StoreError> {
        let partial = lease.folder().join(PARTIAL);
        remove_all(&partial)
            .and_then(|()| folder::private_folder(&partial))
            .map_err(|error| folder::unusable(lease.folder(), &error))?;
        Ok(Self { lease, partial })
    }

    /// Where what is new is to be written.
    pub fn folder(&self) -> &Path {
        &self.partial
    }

    /// Puts it in place, durable on return. What was there is moved to a folder of this name (`before-restore-` and
    /// more) in the data folder; `None` if there was nothing.
    ///
    /// # Errors
    /// [`StoreError`]. Then all is as before; or, as its sentence says, the restore counts, and the next that opens the
    /// folder finishes it.
    pub fn commit(self, aside: &str) -> Result<Option<PathBuf>, StoreError> {
        let data = self.lease.folder();
        let name = aside_of(aside).ok_or_else(|| {
            StoreError::Other(format!("{aside:?} is no name for what was there before"))
        })?;
        let ready = data.join(READY);
        let mark = || {
            let path = self.partial.join(ASIDE);
            let mut file = folder::private_file().create_new(true).open(path)?;
            file.write_all(name.as_bytes())?;
            file.sync_all()?;
            for (name, _) in WHOLES {
                match File::open(self.partial.join(name)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    file => file?.sync_all()?,
                }
            }
            folder::sync(&self.partial)?;
            std::fs::rename(&self.partial, &ready)
        };
        let unusable = |error: io::Error| folder::unusable(data, &error);
        mark().map_err(unusable)?;
        let finished = folder::sync(data).map_err(unusable);
        finished.and_then(|()| finish(data)).map_err(|error| {
            StoreError::Folder(format!(
                "the restore counts, but could not be finished: {error}; the next start with this data folder \
                 finishes it"
            ))
        })
    }
}

/// Readies a database that is to be restored: what was forgotten counts as forgotten now, so that it can be brought back
/// for as long as if it had been; and it knows these backups, which it cannot know from the time of its copy.
///
/// # Errors
/// [`StoreError`] if it cannot be written.
pub fn make_ready(copy: &Path, now: Timestamp, known: &[Backup]) -> Result<(), StoreError> {
    let write = || {
        let mut connection = Connection::open(copy)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let schema: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // Older ones get their mark, and a place for backups, when they are brought up to date.
        if schema < FIRST_WITH_MARKS {
            return Ok(());
        }
        let tx = connection.transaction()?;
        erase::keep_hidden_from(&tx, now)?;
        let note = BackupNote {
            made: known.to_vec(),
            removed: Vec::new(),
        };
        backups::note(&tx, &note)?;
        tx.commit()?;
        connection
            .close()
            .map_err(|(_, error)| Fault::Sqlite(error))
    };
    write().map_err(|fault: Fault| {
        fault.into_store(copy.parent().unwrap_or(copy), crate::fault::Doing::Writing)
    })
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        // Of no use any more; the next lease removes what stays.
        let _ = remove_all(&self.partial);
    }
}

/// Whether a restore of a data folder counts and is not finished: then nothing in it may be opened without its lease.
pub fn is_pending(data: &Path) -> bool {
    std::fs::symlink_metadata(data.join(READY)).is_ok()
}

/// What could be replaced by a restore: the names in a data folder that are there.
pub fn in_place(data: &Path) -> Vec<&'static str> {
    let names = WHOLES.map(|(name, _)| name);
    let is_there = |name: &&str| std::fs::symlink_metadata(data.join(name)).is_ok();
    names.into_iter().filter(is_there).collect()
}

/// What the database of a data folder holds now; `None` if there is none. Changes nothing but that a log is replayed.
///
/// # Errors
/// [`StoreError`] if it cannot be read.
pub fn present(lease: &Lease) -> Result<Option<DatabaseFacts>, StoreError> {
    let folder = lease.folder();
    if !folder.join(open::FILE_NAME).exists() {
        return Ok(None);
    }
    let ask = || {
        let connection = open::connect_to_look(&folder.join(open::FILE_NAME))?;
        crate::schema::check_version(&connection)?;
        snapshot::facts(&connection)
    };
    let doing = crate::fault::Doing::Reading;
    ask()
        .map(Some)
        .map_err(|fault: Fault| fault.into_store(folder, doing))
}

/// Removes what a restore left that does not count, and finishes one that does. For whoever has the lease. Returns where
/// what was there before lies now, if a restore was finished and there was anything.
///
/// # Errors
/// [`StoreError`] if something cannot be moved; what is there must not be opened then.
pub(crate) fn finish(data: &Path) -> Result<Option<PathBuf>, StoreError> {
    let unusable = |error: io::Error| folder::unusable(data, &error);
    remove_all(&data.join(PARTIAL)).map_err(unusable)?;
    if !is_pending(data) {
        return Ok(None);
    }
    let (partial, ready) = (data.join(PARTIAL), data.join(READY));
    if is_emptied(&ready).map_err(unusable)? {
        remove_all(&ready).map_err(unusable)?;
        return Ok(None);
    }
    let aside = data.join(read_aside(&ready)?);
    for (name, belongings) in WHOLES {
        if std::fs::symlink_metadata(ready.join(name)).is_err() {
            continue;
        }
        // What belongs to it first: alone, it is taken for what it is, left over.
        let old = belongings.iter().chain([&name]);
        move_aside(data, &aside, old).map_err(unusable)?;
        std::fs::rename(ready.join(name), data.join(name)).map_err(unusable)?;
        folder::sync(data).map_err(unusable)?;
    }
    std::fs::rename(&ready, &partial)
        .and_then(|()| folder::sync(data))
        .map_err(unusable)?;
    // Of no use any more; the next lease removes what stays.
    let _ = remove_all(&partial);
    Ok(aside.is_dir().then_some(aside))
}

/// Whether of a restore that counted nothing is left to do: earlier versions removed its folder bit by bit under the name
/// by which it counts.
fn is_emptied(ready: &Path) -> io::Result<bool> {
    for name in [ASIDE].into_iter().chain(WHOLES.map(|(name, _)| name)) {
        match std::fs::symlink_metadata(ready.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map(|_| false),
        }
    }
    Ok(true)
}

/// Moves what there is of these, durably.
fn move_aside<'a>(
    data: &Path,
    aside: &Path,
    names: impl Iterator<Item = &'a &'static str>,
) -> io::Result<()> {
    for name in names {
        if std::fs::symlink_metadata(data.join(name)).is_err() {
            continue;
        }
        folder::private_folder(aside)?;
        std::fs::rename(data.join(name), aside.join(name))?;
    }
    if aside.is_dir() {
        folder::sync(aside)?;
    }
    folder::sync(data)
}

fn read_aside(ready: &Path) -> Result<String, StoreError> {
    let mut text = String::new();
    let most = u64::try_from(ASIDE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let read =
        File::open(ready.join(ASIDE)).and_then(|file| file.take(most).read_to_string(&mut text));
    let shown = ready.display();
    read.map_err(|error| {
        StoreError::Folder(format!(
            "the restore in {shown} cannot be finished: its file {ASIDE} cannot be read: {error}"
        ))
    })?;
    aside_of(&text).map(str::to_owned).ok_or_else(|| {
        StoreError::Folder(format!(
            "the restore in {shown} cannot be finished: expected a name that begins with {ASIDE_BEGIN} in its file \
             {ASIDE}, found {text:?}"
        ))
    })
}

/// A name for what was there before, if it is one: one part of a path, of plain letters.
fn aside_of(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(ASIDE_BEGIN)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fits = text.len() <= ASIDE_BYTES_MAX && !rest.is_empty();
    (fits && rest.chars().all(is_plain)).then_some(text)
}

/// Removes a folder of ours with all in it; there may be none. Links are removed and not followed.
fn remove_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;
    use std::cell::Cell;
    use venom_core::RequestKey;
    use venom_core::ports::MemoryStore as _;
    use venom_core::test_support::samples::{id, model, record, space};

    const NAME: &str = "before-restore-20261126T090000Z";

    fn open(folder: &Path) -> SqliteStore {
        SqliteStore::open(&Lease::try_acquire(folder).unwrap(), &model()).unwrap()
    }

    fn count(folder: &Path) -> u64 {
        open(folder).stats(&space("default")).unwrap().memories
    }

    /// A folder with memories and more, and a copy with others, ready to take its place.
    fn prepared(root: &Path) -> PathBuf {
        let (source, data) = (root.join("source"), root.join("data"));
        let store = open(&source);
        for digits in 1..=3 {
            store.insert(&[record(digits, "new", &[1.0])]).unwrap();
        }
        let old = open(&data);
        old.insert(&[record(9, "old", &[1.0])]).unwrap();
        drop(old);
        std::fs::write(data.join("venom.db-journal"), "").unwrap();
        std::fs::write(data.join("access.db"), "old tokens").unwrap();
        std::fs::create_dir(data.join("index")).unwrap();
        std::fs::write(data.join("index/1-1-9-0.text"), "of the old").unwrap();
        let lease = Lease::try_acquire(&data).unwrap();
        let restore = Restore::begin(&lease).unwrap();
        store.snapshot(&restore.folder().join("venom.db")).unwrap();
        std::fs::write(restore.folder().join("access.db"), "new tokens").unwrap();
        std::fs::write(restore.folder().join(ASIDE), NAME).unwrap();
        std::fs::rename(restore.folder(), data.join(READY)).unwrap();
        data
    }

    fn check_done(data: &Path) {
        assert!(!is_pending(data));
        let access = std::fs::read_to_string(data.join("access.db"));
        assert_eq!(access.unwrap(), "new tokens");
        let aside = data.join(NAME);
        let access = std::fs::read_to_string(aside.join("access.db"));
        assert_eq!(access.unwrap(), "old tokens");
        assert!(aside.join("index/1-1-9-0.text").exists());
        assert_eq!((count(data), count(&aside)), (3, 1));
    }

    /// The same renames, of which only the first few happen, in the order of the real ones.
    #[test]
    fn after_an_interruption_at_any_step_the_next_lease_finishes_it() {
        let steps = [
            ("venom.db-journal", true),
            ("index", true),
            ("venom.db", true),
            ("venom.db", false),
            ("access.db", true),
            ("access.db", false),
        ];
        for done in 0..=steps.len() {
            let root = tempfile::tempdir().unwrap();
            let data = prepared(root.path());
            for (name, is_old) in &steps[..done] {
                let (from, to) = if *is_old {
                    folder::private_folder(&data.join(NAME)).unwrap();
                    (data.join(name), data.join(NAME).join(name))
                } else {
                    (data.join(READY).join(name), data.join(name))
                };
                std::fs::rename(from, to).unwrap();
            }
            assert!(is_pending(&data));
            drop(Lease::try_acquire(&data).unwrap());
            check_done(&data);
        }
    }

    /// What is left of the folder for what is new when all of it is in place, at each step of its removal.
    #[test]
    fn after_an_interruption_at_the_end_the_next_lease_finishes_it() {
        let left = [
            (READY, true),
            (PARTIAL, true),
            (PARTIAL, false),
            // As earlier versions removed it.
            (READY, false),
        ];
        for (folder, has_aside) in left {
            let root = tempfile::tempdir().unwrap();
            let data = prepared(root.path());
            drop(Lease::try_acquire(&data).unwrap());
            std::fs::create_dir(data.join(folder)).unwrap();
            if has_aside {
                std::fs::write(data.join(folder).join(ASIDE), NAME).unwrap();
            }
            drop(Lease::try_acquire(&data).unwrap());
            check_done(&data);
            assert!(!data.join(PARTIAL).exists());
        }
    }

    /// Without the name for what was there before nothing is moved.
    #[test]
    fn a_name_that_is_lost_is_not_taken_for_the_end() {
        let root = tempfile::tempdir().unwrap();
        let data = prepared(root.path());
        std::fs::remove_file(data.join(READY).join(ASIDE)).unwrap();
        let refused = Lease::try_acquire(&data).unwrap_err().to_string();
        assert!(refused.contains("cannot be finished"), "{refused}");
        assert!(data.join(READY).join("venom.db").exists());
    }

    #[test]
    fn what_does_not_count_yet_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let data = prepared(root.path());
        std::fs::rename(data.join(READY), data.join(PARTIAL)).unwrap();
        assert_eq!(count(&data), 1);
        assert!(!data.join(PARTIAL).exists());
        assert!(data.join("index").exists() && !data.join(NAME).exists());
    }

    #[test]
    fn memories_alone_leave_who_may_come_in() {
        let root = tempfile::tempdir().unwrap();
        let data = prepared(root.path());
        std::fs::remove_file(data.join(READY).join("access.db")).unwrap();
        drop(Lease::try_acquire(&data).unwrap());
        let access = std::fs::read_to_string(data.join("access.db"));
        assert_eq!(access.unwrap(), "old tokens");
        assert_eq!(count(&data), 3);
    }

    #[test]
    fn into_an_empty_folder_nothing_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let (source, data) = (root.path().join("source"), root.path().join("data"));
        let store = open(&source);
        store.insert(&[record(1, "new", &[1.0])]).unwrap();
        let lease = Lease::try_acquire(&data).unwrap();
        assert_eq!(present(&lease).unwrap(), None);
        let restore = Restore::begin(&lease).unwrap();
        let facts = store.snapshot(&restore.folder().join("venom.db")).unwrap();
        assert_eq!(restore.commit(NAME).unwrap(), None);
        assert_eq!(present(&lease).unwrap(), Some(facts));
        assert_eq!(in_place(&data), ["venom.db"]);
        drop(lease);
        assert_eq!(count(&data), 1);
    }

    /// Something is in the way of what was there before.
    #[test]
    fn one_that_cannot_be_finished_says_that_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let data = prepared(root.path());
        std::fs::rename(data.join(READY), root.path().join("ready")).unwrap();
        let lease = Lease::try_acquire(&data).unwrap();
        let restore = Restore::begin(&lease).unwrap();
        for name in ["venom.db", "access.db"] {
            let from = root.path().join("ready").join(name);
            std::fs::rename(from, restore.folder().join(name)).unwrap();
        }
        std::fs::write(data.join(NAME), "a file").unwrap();
        let unfinished = restore.commit(NAME).unwrap_err().to_string();
        assert!(unfinished.contains("the restore counts"), "{unfinished}");
        drop(lease);
        std::fs::remove_file(data.join(NAME)).unwrap();
        drop(Lease::try_acquire(&data).unwrap());
        check_done(&data);
    }

    /// Of a backup that is older than the time for which the forgotten are kept, they can be brought back all the same.
    #[test]
    fn what_was_forgotten_is_kept_from_the_restore_on() {
        let root = tempfile::tempdir().unwrap();
        let (source, data) = (root.path().join("source"), root.path().join("data"));
        let store = open(&source);
        store.insert(&[record(1, "one", &[1.0])]).unwrap();
        store.forget(&[id(1)], RequestKey(1)).unwrap();
        let copy = root.path().join("copy.db");
        store.snapshot(&copy).unwrap();
        let later = |days: i64| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let now_us = i64::try_from(now.unwrap().as_micros()).unwrap();
            Timestamp::from_micros(now_us + days * 24 * 3_600 * 1_000_000)
        };
        let backup = Backup {
            path: "/b".to_owned(),
            made_at: later(0),
        };
        make_ready(&copy, later(60), std::slice::from_ref(&backup)).unwrap();
        std::fs::create_dir(&data).unwrap();
        std::fs::rename(&copy, data.join(open::FILE_NAME)).unwrap();
        let restored = SqliteStore::open(&Lease::try_acquire(&data).unwrap(), &model()).unwrap();
        assert_eq!(restored.backups().unwrap(), [backup]);
        let due = restored.erase_due(later(31), later(61), 10).unwrap();
        assert_eq!(due, [], "a day after the restore");
        assert_eq!(restored.restore(&[id(1)], RequestKey(2)).unwrap(), [true]);
        restored.forget(&[id(1)], RequestKey(3)).unwrap();
        let due = restored.erase_due(later(61), later(91), 10).unwrap();
        assert_eq!(due, [id(1)]);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in [
            "",
            "before-restore-",
            "before-restore-/x",
            "before-restore-..",
            "../before-restore-1",
            "before-restore-a\nb",
            "venom.db",
        ] {
            assert_eq!(aside_of(bad), None, "{bad:?}");
            let root = tempfile::tempdir().unwrap();
            let data = prepared(root.path());
            std::fs::write(data.join(READY).join(ASIDE), bad).unwrap();
            let refused = Lease::try_acquire(&data).unwrap_err().to_string();
            assert!(refused.contains("cannot be finished"), "{refused}");
            assert!(data.join("index").exists(), "nothing was moved");
        }
        let long = format!("{ASIDE_BEGIN}{}", "x".repeat(ASIDE_BYTES_MAX));
        assert_eq!(aside_of(&long), None);
    }

    #[test]
    fn fuzz_names_of_what_was_before() {
        let longest = Cell::new(0);
        let target =
            venom_fuzz::Target::new("restore-names").words(&[ASIDE_BEGIN, "/", "..", "\0"]);
        target.seed(NAME.to_owned()).run(|bytes| {
            let name = aside_of(std::str::from_utf8(bytes).ok()?)?;
            let mut parts = Path::new(name).components();
            assert!(
                matches!(parts.next(), Some(std::path::Component::Normal(part)) if part == name)
            );
            assert_eq!(parts.next(), None);
            longest.set(longest.get().max(name.len()));
            Some(name.len())
        });
        assert!(longest.get() <= ASIDE_BYTES_MAX);
    }
}
