//! Making a backup: copies, hashes, a manifest, a second look at all of it, and then its name.

use super::files::{
    Hashed, Lock, check_room_in_each, forget_pages, hash, open_plain, unreadable, unwritable,
};
use super::keep::Keep;
use super::manifest::{self, ACCESS, HELD, MEMORIES, Manifest, PERSONAS, StoredFile};
use super::passphrase::Passphrase;
use super::{personas, seal, shelf};
use crate::access_file::AccessFile;
use crate::failure::Failure;
use crate::hub::Hub;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use venom_core::{Backup, BackupNote, Timestamp, counted};
use venom_store::{DatabaseFacts, folder};

/// What is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// The folder that backups are made in; made if it is missing.
    pub(crate) shelf: PathBuf,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Where personas lie, in order of search.
    pub(crate) personas: Vec<PathBuf>,
    /// The one of them that somebody named: without it something is wrong.
    pub(crate) named_personas: Option<PathBuf>,
    /// What it is encrypted with, if it is.
    pub(crate) passphrase: Option<Passphrase>,
    /// Which backups stay.
    pub(crate) keep: Keep,
    /// The time.
    pub(crate) now: Timestamp,
    /// It is made only if the newest one there is older than that, in microseconds.
    pub(crate) older_than_us: Option<i64>,
}

/// A backup that was made and verified.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Its folder.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) manifest: Manifest,
    /// How many personas are in it.
    pub(crate) personas: usize,
    /// Backups that were removed.
    pub(crate) removed: Vec<PathBuf>,
    /// What is worth a word.
    pub(crate) notes: Vec<String>,
}

impl Made {
    /// How much is in it, for people.
    pub(crate) fn counted(&self) -> String {
        let memories = counted::memories(self.manifest.facts.memories);
        match self.personas {
            0 => memories,
            personas => format!(
                "{memories} and {}",
                counted(personas, "persona", "personas")
            ),
        }
    }
}

/// Makes a backup of the memories behind `hub` and of the personas that this process finds, and removes those that are
/// not to stay. `None` if there is one that is young enough.
///
/// # Errors
/// [`Failure`] that names what cannot be read or written, or is not as it was written. Then none was removed, and there
/// is no new one, unless it says so: one that is whole and verified, but whose name may not outlive a power cut, or beside
/// which the others cannot be listed.
pub(crate) async fn make(
    task: Task,
    hub: &Hub,
    file: &AccessFile,
) -> Result<Option<Made>, Failure> {
    let Some(bench) = blocking(move || Bench::set_up(task)).await? else {
        return Ok(None);
    };
    // Before anything is copied: what is erased from then on may be in it.
    let begun = BackupNote {
        made: bench.begun()?,
        removed: Vec::new(),
    };
    if let Err(failure) = hub.note_backups(begun).await {
        tracing::warn!("that a backup is made cannot be noted in the database: {failure}");
    }
    let copy = bench.copies().join(MEMORIES);
    let facts = hub.snapshot(text_of(&copy)?).await?;
    tracing::debug!("backup: the memories are copied");
    let file = file.clone();
    let made = blocking(move || bench.finish(facts, &file)).await?;
    if let Err(failure) = note(hub, &made).await {
        tracing::warn!(
            "the backup {} was made, but cannot be noted in the database: {failure}",
            made.made.path.display()
        );
    }
    Ok(Some(made.made))
}

/// Notes what lies on the shelf now, and what no longer does, whoever removed it.
async fn note(hub: &Hub, finished: &Finished) -> Result<(), Failure> {
    let on_shelf = &finished.on_shelf;
    let shelf = finished.made.path.parent();
    let known = hub.backups().await?.into_iter();
    let is_gone = |known: &Backup| {
        let is_there = on_shelf.iter().any(|there| there.path == known.path);
        Path::new(&known.path).parent() == shelf && !is_there
    };
    let removed = known.filter(is_gone).map(|backup| backup.path).collect();
    let made = on_shelf.clone();
    hub.note_backups(BackupNote { made, removed }).await
}

/// Runs work that waits for disks beside the event loop.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::internal(format!("the backup failed: {error}"))))
}

/// A path as it is kept in the database.
fn text_of(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::invalid(format!(
            "{} cannot be backed up to: expected a path in UTF-8",
            path.display()
        ))
    })
}

/// The place where a backup is put together. What is unfinished goes with it.
struct Bench {
    task: Task,
    /// Where the backup is to be.
    target: PathBuf,
    /// Where it is until it is whole.
    partial: PathBuf,
    /// Where copies are until they are encrypted.
    staging: Option<PathBuf>,
    notes: Vec<String>,
    /// Handed on to whoever notes what was made, so that the next one notes later.
    locks: Option<[Lock; 2]>,
}

/// A finished backup, and all that lie there then.
struct Finished {
    made: Made,
    on_shelf: Vec<Backup>,
    _locks: Option<[Lock; 2]>,
}

impl Bench {
    /// Takes the locks, removes what others left unfinished, and looks whether there is room.
    fn set_up(mut task: Task) -> Result<Option<Self>, Failure> {
        if task.shelf.is_file() {
            let shown = task.shelf.display();
            return Err(Failure::invalid(format!(
                "{shown} is a file: expected a folder for backups"
            )));
        }
        let made = folder::private_folders(&task.shelf);
        let shelf = made.and_then(|()| task.shelf.canonicalize());
        task.shelf = shelf.map_err(|error| unwritable(&task.shelf, &error))?;
        text_of(&task.shelf)?;
        let data = task.data.canonicalize();
        task.data = data.map_err(|error| unreadable(&task.data, &error))?;
        let locks = [
            lock(&task.data.join(folder::BACKUP_LOCK), "of this data folder")?,
            lock(&task.shelf.join(shelf::LOCK), "in this folder")?,
        ];
        let found = shelf::look(&task.shelf)?;
        if let (Some(age), Some(newest)) = (task.older_than_us, found.newest(task.now))
            && task.now.as_micros() - newest.as_micros() < age
        {
            return Ok(None);
        }
        let mut notes = notes(&task, &found.strange);
        for left in &found.partial {
            if !remove_own(left).map_err(|error| unwritable(left, &error))? {
                let left = left.display();
                notes.push(format!(
                    "{left} stays: it holds what Venom did not put there"
                ));
            }
        }
        let staging = task.data.join(folder::BACKUP_STAGING);
        remove_own(&staging).map_err(|error| unwritable(&staging, &error))?;
        let target = shelf::free_path(&task.shelf, task.now)?;
        let mut bench = Self {
            partial: shelf::beside(&target),
            target,
            staging: None,
            notes,
            task,
            locks: Some(locks),
        };
        bench.make_folders()?;
        bench.check_room()?;
        Ok(Some(bench))
    }

    /// What is to be known of it while it is made: where it is now, and where it will be.
    fn begun(&self) -> Result<Vec<Backup>, Failure> {
        let backup = |path: &PathBuf| {
            Ok(Backup {
                path: text_of(path)?,
                made_at: self.task.now,
            })
        };
        [&self.partial, &self.target]
            .into_iter()
            .map(backup)
            .collect()
    }

    fn make_folders(&mut self) -> Result<(), Failure> {
        let make =
            |path: &Path| folder::private_folder(path).map_err(|error| unwritable(path, &error));
        make(&self.partial)?;
        if self.task.passphrase.is_some() {
            let staging = self.task.data.join(folder::BACKUP_STAGING);
            make(&staging)?;
            self.staging = Some(staging);
        }
        Ok(())
    }

    /// What is copied is not larger than what is there.
    fn check_room(&self) -> Result<(), Failure> {
        let size = |name| {
            let found = std::fs::metadata(self.task.data.join(name));
            found.map_or(0, |found| found.len())
        };
        let bytes = [MEMORIES, "venom.db-wal", ACCESS]
            .into_iter()
            .map(size)
            .sum();
        // Copies stay until all of them are encrypted.
        let folders = [Some(&self.task.shelf), self.staging.as_ref()];
        let folders: Vec<&Path> = folders
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        check_room_in_each(&folders, bytes)
    }

    /// Where copies are made.
    fn copies(&self) -> &Path {
        self.staging.as_ref().unwrap_or(&self.partial)
    }

    /// From a copy of the memories to a backup in its place.
    fn finish(mut self, facts: DatabaseFacts, file: &AccessFile) -> Result<Finished, Failure> {
        let mut held = vec![MEMORIES];
        if self.task.data.join(ACCESS).exists() {
            let copy = self.copies().join(ACCESS);
            file.open()?.copy_to(&copy)?;
            venom_access::inspect(&copy).map_err(|why| unsound(&copy, &why))?;
            held.push(ACCESS);
        }
        let copy = self.copies().join(MEMORIES);
        let found = venom_store::inspect(&copy).map_err(|why| unsound(&copy, &why))?;
        if found != facts {
            return Err(unsound(
                &copy,
                &format!("expected {facts:?}, found {found:?}"),
            ));
        }
        let personas = self.copy_personas()?;
        if personas > 0 {
            held.push(PERSONAS);
        }
        let files = held.into_iter().map(|holds| self.store(holds));
        let manifest = Manifest {
            made_at: self.task.now,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            facts,
            encrypted: self.task.passphrase.is_some(),
            files: files.collect::<Result<_, _>>()?,
        };
        self.write_manifest(&manifest)?;
        tracing::debug!("backup: everything is written");
        verify(&self.partial, &manifest)?;
        tracing::debug!("backup: everything is verified");
        let unwritable = |error: io::Error| unwritable(&self.target, &error);
        std::fs::rename(&self.partial, &self.target).map_err(unwritable)?;
        tracing::debug!("backup: it is in its place");
        let target = self.target.clone();
        let synced = folder::sync(&self.task.shelf).map_err(unwritable);
        let finished = synced.and_then(|()| self.clear_shelf(manifest, personas));
        finished.map_err(|failure| made_but(&target, &failure))
    }

    /// Puts the personas in an archive and opens it again; how many there are. Without any there is no archive. Those
    /// that cannot be read are no reason to have no backup.
    fn copy_personas(&mut self) -> Result<usize, Failure> {
        let (found, left_out) = personas::collect(std::mem::take(&mut self.task.personas));
        self.notes.extend(left_out);
        let missing = self.task.named_personas.as_ref();
        if let Some(missing) = missing.filter(|named| !named.is_dir()) {
            let missing = missing.display();
            self.notes.push(format!(
                "no personas of {missing} are in the backup, since it does not exist: expected a folder"
            ));
        }
        if found.is_empty() {
            return Ok(0);
        }
        let path = self.copies().join(PERSONAS);
        let packed = personas::pack(&found);
        let packed = packed.map_err(|error| unsound(&path, &error))?;
        let write = || {
            let mut file = folder::private_file().create_new(true).open(&path)?;
            file.write_all(&packed)?;
            file.sync_all()?;
            forget_pages(&file);
            std::fs::read(&path)
        };
        let again = write().map_err(|error| unwritable(&path, &error))?;
        let again = personas::unpack(&again).map_err(|why| unsound(&path, &why))?;
        if again != found {
            return Err(unsound(&path, &"it holds other personas"));
        }
        Ok(found.len())
    }

    /// Encrypts a copy, or leaves it as it is. Synced, and read again.
    fn store(&self, holds: &'static str) -> Result<StoredFile, Failure> {
        let copy = self.copies().join(holds);
        let read = |error: io::Error| unreadable(&copy, &error);
        let plain = File::open(&copy).map_err(read)?;
        let Some(passphrase) = &self.task.passphrase else {
            let (bytes, sha256) = hash(plain).map_err(read)?;
            return Ok(StoredFile {
                holds,
                bytes,
                sha256,
            });
        };
        let path = self.partial.join(format!("{holds}{}", manifest::SEALED));
        let written = |error: io::Error| unwritable(&path, &error);
        let sealed = folder::private_file().create_new(true).open(&path);
        let sealed = sealed.map_err(written)?;
        let (mut from, mut to) = (Hashed::new(plain), Hashed::new(&sealed));
        seal::seal(&mut from, &mut to, passphrase).map_err(written)?;
        sealed.sync_all().map_err(written)?;
        forget_pages(&sealed);
        let again = File::open(&path).map_err(|error| unreadable(&path, &error))?;
        let opened = seal::open(again, passphrase);
        let opened = opened.map_err(|why| unsound(&path, &format!("{why:?}")))?;
        if hash(opened).map_err(|error| unsound(&path, &error))? != from.finish() {
            return Err(unsound(&path, &"it decrypts to other bytes"));
        }
        let (bytes, sha256) = to.finish();
        Ok(StoredFile {
            holds,
            bytes,
            sha256,
        })
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), Failure> {
        let path = self.partial.join(manifest::FILE_NAME);
        let write = || {
            let mut file = folder::private_file().create_new(true).open(&path)?;
            file.write_all(manifest.to_json().as_bytes())?;
            file.sync_all()?;
            folder::sync(&self.partial)
        };
        write().map_err(|error| unwritable(&path, &error))
    }

    /// Removes what is not to stay, and says what lies there then.
    fn clear_shelf(mut self, manifest: Manifest, personas: usize) -> Result<Finished, Failure> {
        let before = shelf::look(&self.task.shelf)?.whole;
        let mut removed = Vec::new();
        for path in self.task.keep.gone(&before, &self.target, self.task.now) {
            match shelf::remove(&path) {
                Ok(()) => removed.push(path),
                Err(why) => self.notes.push(format!("{} stays: {why}", path.display())),
            }
        }
        let staying = before.iter().filter(|it| !removed.contains(&it.path));
        let on_shelf = staying
            .map(|it| {
                Ok(Backup {
                    path: text_of(&it.path)?,
                    made_at: it.manifest.made_at,
                })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Finished {
            _locks: self.locks.take(),
            on_shelf,
            made: Made {
                path: self.target.clone(),
                manifest,
                personas,
                removed,
                notes: std::mem::take(&mut self.notes),
            },
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The next one removes what cannot be removed now.
        let _ = remove_own(&self.partial);
        let _ = self.staging.as_deref().map(remove_own);
    }
}

/// What is worth a word before anything is made.
fn notes(task: &Task, strange: &[(PathBuf, String)]) -> Vec<String> {
    let strange = strange.iter();
    let mut notes: Vec<String> = strange
        .map(|(path, why)| format!("{} is no backup: {why}", path.display()))
        .collect();
    if task.shelf.starts_with(&task.data) {
        notes.push(format!(
            "{} lies in the data folder: what destroys one destroys both",
            task.shelf.display()
        ));
    }
    notes
}

fn lock(path: &Path, of: &str) -> Result<Lock, Failure> {
    let lock = Lock::try_take(path).map_err(|error| unwritable(path, &error))?;
    lock.ok_or_else(|| {
        Failure::new(
            venom_core::ErrorKind::Overloaded,
            format!(
                "another process makes a backup {of} now ({} is locked): try again when it is done",
                path.display()
            ),
        )
    })
}

/// Reads everything again from the disk, as far as the system lets us, and compares.
fn verify(partial: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let found = shelf::manifest_in(partial).map_err(|why| unsound(partial, &why))?;
    if found != *manifest {
        return Err(unsound(partial, &"its manifest reads as another"));
    }
    for file in &manifest.files {
        let path = partial.join(manifest.name_of(file.holds));
        let opened = open_plain(&path).map_err(|why| unsound(&path, &why))?;
        forget_pages(&opened);
        let found = hash(opened).map_err(|error| unreadable(&path, &error))?;
        if found != (file.bytes, file.sha256.clone()) {
            return Err(unsound(&path, &"it reads as other bytes than were written"));
        }
    }
    Ok(())
}

fn unsound(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::not_ready(format!(
        "the backup was not made, as what was written to {} is not sound: {why}",
        path.display()
    ))
}

/// The sentence for what fails when the new backup is in its place.
fn made_but(target: &Path, failure: &Failure) -> Failure {
    let target = target.display();
    let message = format!("the backup {target} was made and verified, but then: {failure}");
    Failure::new(failure.kind, message)
}

/// Removes a folder in which backups or copies are made, with what Venom puts there; there may be none. `false` if it
/// stays, since it holds something else.
fn remove_own(path: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_own =
            name == manifest::FILE_NAME || HELD.iter().any(|holds| name.starts_with(holds));
        if is_own && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        removed => removed.map(|()| true),
    }
}
