//! Putting a backup in the place of what a data folder holds. Everything is read and checked before anything there is
//! touched, and nothing is overwritten: what was there is moved aside. Personas come last, file by file: unlike the
//! databases they do not hang together, and whoever restores again finishes what was cut short.

use super::files::{Hashed, check_room, hash, open_plain, unreadable, unwritable};
use super::manifest::{self, ACCESS, MEMORIES, Manifest, PERSONAS, StoredFile, total};
use super::passphrase::Passphrase;
use super::personas::target::{self, Fate, Fates};
use super::personas::{self, ARCHIVE_BYTES_MAX};
use super::seal::{self, Sealed};
use super::shelf;
use crate::failure::Failure;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use venom_core::{Backup, ErrorKind, Persona, StoreError, Timestamp};
use venom_store::restore::{PERSONAS_ASIDE, Restore, in_place, is_pending, make_ready};
use venom_store::{Lease, LeaseError, folder};

/// What of a backup is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// Everything in it.
    All,
    /// Memories; tokens, passkeys, the audit log and personas stay as they are.
    Memories,
    /// Personas; the data folder stays as it is.
    Personas,
}

/// What somebody wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// A backup, or a folder of backups: then the newest of them.
    pub(crate) source: PathBuf,
    /// The data folder that it goes to.
    pub(crate) data: PathBuf,
    /// The folder that personas go to.
    pub(crate) personas: PathBuf,
    /// Whether what is there may be moved aside.
    pub(crate) replace: bool,
    /// What is restored.
    pub(crate) parts: Parts,
    /// The time.
    pub(crate) now: Timestamp,
}

/// A backup that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its folder.
    pub(crate) backup: PathBuf,
    /// What it says of itself.
    pub(crate) manifest: Manifest,
    /// What is worth a word.
    pub(crate) notes: Vec<String>,
    wish: Wish,
}

/// What was restored.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    /// Where what was there before lies now.
    pub(crate) aside: Option<PathBuf>,
    /// Whether tokens, passkeys and the audit log were restored, too.
    pub(crate) with_access: bool,
    /// What became of each persona.
    pub(crate) personas: Fates,
}

/// Chooses the backup and reads its manifest. Touches nothing.
///
/// # Errors
/// [`Failure`] that says what was expected there and what was found.
pub(crate) fn look(wish: Wish) -> Result<Plan, Failure> {
    let source = &wish.source;
    let shown = source.display();
    let found = std::fs::metadata(source).map_err(|error| {
        Failure::new(
            ErrorKind::NotFound,
            format!("{shown} cannot be read: {error}"),
        )
    })?;
    if !found.is_dir() {
        return Err(Failure::invalid(format!(
            "{shown} is a file: expected the folder of a backup, or a folder with backups in it"
        )));
    }
    let mut notes = Vec::new();
    let (backup, manifest) = if source.join(manifest::FILE_NAME).symlink_metadata().is_ok() {
        let manifest = shelf::manifest_in(source).map_err(|why| refused(source, &why))?;
        (source.clone(), manifest)
    } else {
        let found = shelf::look(source)?;
        refuse_newer_ruin(source, &found)?;
        notes.extend(
            found
                .strange
                .iter()
                .map(|(path, why)| format!("{} was passed over: {why}", path.display())),
        );
        let Some(last) = found.whole.into_iter().next_back() else {
            return Err(Failure::new(
                ErrorKind::NotFound,
                format!(
                    "{shown} holds no backup: expected a folder with {} in it, or one with such folders",
                    manifest::FILE_NAME
                ),
            ));
        };
        (last.path, last.manifest)
    };
    let has_personas = manifest.files.iter().any(|file| file.holds == PERSONAS);
    if wish.parts == Parts::Personas && !has_personas {
        return Err(refused(
            &backup,
            &format!("expected personas in it, found no {PERSONAS}"),
        ));
    }
    // It goes into the audit log, where nobody knows the working folder.
    let backup = backup.canonicalize().unwrap_or(backup);
    Ok(Plan {
        backup,
        manifest,
        notes,
        wish,
    })
}

/// The newest backup is meant. Where that cannot be read, an older one would be a step back that nobody asked for.
fn refuse_newer_ruin(source: &Path, found: &shelf::Found) -> Result<(), Failure> {
    let newest = found.whole.last().map(|backup| &backup.path);
    let ruins = found.strange.iter();
    let newer =
        ruins.filter(|(path, _)| newest.is_none_or(|newest| path.file_name() > newest.file_name()));
    let Some((ruin, why)) = newer.max_by_key(|(path, _)| path) else {
        return Ok(());
    };
    let instead = newest.map_or_else(
        || format!("there is no other in {}", source.display()),
        |path| format!("to go back to an older one, name it: {}", path.display()),
    );
    Err(refused(ruin, &format!("{why}; {instead}")))
}

impl Plan {
    /// The files that are restored.
    fn files(&self) -> impl Iterator<Item = &StoredFile> {
        let is_wanted = |file: &&StoredFile| match self.wish.parts {
            Parts::All => true,
            Parts::Memories => file.holds == MEMORIES,
            Parts::Personas => file.holds == PERSONAS,
        };
        self.manifest.files.iter().filter(is_wanted)
    }

    /// The databases that are restored.
    fn databases(&self) -> impl Iterator<Item = &StoredFile> {
        self.files().filter(|file| file.holds != PERSONAS)
    }

    /// What is restored.
    pub(crate) fn parts(&self) -> Parts {
        self.wish.parts
    }

    /// The archive of personas in it, if there is one.
    pub(crate) fn persona_archive(&self) -> PathBuf {
        self.backup.join(self.manifest.name_of(PERSONAS))
    }

    /// Whether tokens, passkeys and the audit log are restored, too.
    pub(crate) fn with_access(&self) -> bool {
        self.files().any(|file| file.holds == ACCESS)
    }

    /// Names in the data folder that would be moved aside.
    pub(crate) fn in_the_way(&self) -> Vec<&'static str> {
        let mut there = in_place(&self.wish.data);
        there.retain(|name| self.files().any(|file| file.holds == *name));
        there
    }

    /// Reads everything and compares it with the manifest, as far as that goes without writing: of encrypted databases
    /// every byte, of others what is in them, too. Tells what would become of the personas.
    ///
    /// # Errors
    /// [`Failure`] that names the file and what is wrong with it.
    pub(crate) fn check(&self, passphrase: Option<&Passphrase>) -> Result<Fates, Failure> {
        for file in self.databases() {
            let path = self.path_of(file);
            self.check_bytes(file)?;
            if self.manifest.encrypted {
                self.decrypt(file, &mut io::sink(), passphrase)?;
            } else {
                self.inspect(file, &path)?;
            }
        }
        let personas = self.personas(passphrase)?;
        Ok(target::look(
            &self.wish.personas,
            &personas,
            self.wish.replace,
        ))
    }

    /// The personas that are restored, as they are in the backup.
    fn personas(&self, passphrase: Option<&Passphrase>) -> Result<Vec<Persona>, Failure> {
        let Some(file) = self.files().find(|file| file.holds == PERSONAS) else {
            return Ok(Vec::new());
        };
        let path = self.path_of(file);
        // An encrypted one is longer by some hundred bytes, and 16 for every 64 KiB.
        let most = ARCHIVE_BYTES_MAX as u64 + 64 * 1024;
        if file.bytes > most {
            let why = format!("expected at most {most} bytes, found {}", file.bytes);
            return Err(refused(&path, &why));
        }
        // Read once: what was hashed is what is taken.
        let mut stored = Vec::new();
        let read = self.open(file)?.take(most).read_to_end(&mut stored);
        read.map_err(|error| unreadable(&path, &error))?;
        self.check_hash(
            file,
            &hash(&stored[..]).map_err(|error| unreadable(&path, &error))?,
        )?;
        let mut archive = Vec::new();
        if self.manifest.encrypted {
            self.decrypt_from(&stored[..], file, &mut archive, passphrase)?;
        } else {
            archive = stored;
        }
        personas::unpack(&archive).map_err(|why| refused(&path, &why))
    }

    fn path_of(&self, file: &StoredFile) -> PathBuf {
        self.backup.join(self.manifest.name_of(file.holds))
    }

    /// Opens a file, which must be as long as the manifest says.
    fn open(&self, file: &StoredFile) -> Result<File, Failure> {
        let path = self.path_of(file);
        let opened = open_plain(&path).map_err(|why| refused(&path, &why))?;
        let found = opened
            .metadata()
            .map_err(|error| unreadable(&path, &error))?;
        if found.len() != file.bytes {
            let (expected, found) = (file.bytes, found.len());
            let why = format!("expected {expected} bytes, found {found}");
            return Err(refused(&path, &why));
        }
        Ok(opened)
    }

    fn check_bytes(&self, file: &StoredFile) -> Result<(), Failure> {
        let path = self.path_of(file);
        let found = hash(self.open(file)?).map_err(|error| unreadable(&path, &error))?;
        self.check_hash(file, &found)
    }

    fn check_hash(&self, file: &StoredFile, found: &(u64, String)) -> Result<(), Failure> {
        if (found.0, found.1.as_str()) == (file.bytes, file.sha256.as_str()) {
            return Ok(());
        }
        let why = "it was changed or damaged: its SHA-256 differs from the manifest";
        Err(refused(&self.path_of(file), why))
    }

    fn decrypt(
        &self,
        file: &StoredFile,
        to: &mut impl Write,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), Failure> {
        self.decrypt_from(self.open(file)?, file, to, passphrase)
    }

    fn decrypt_from(
        &self,
        from: impl io::Read,
        file: &StoredFile,
        to: &mut impl Write,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), Failure> {
        let path = self.path_of(file);
        let passphrase = passphrase.ok_or_else(|| {
            Failure::internal(format!(
                "{} was opened without a passphrase",
                path.display()
            ))
        })?;
        let opened = seal::open(from, passphrase);
        let mut opened = opened.map_err(|why| match why {
            Sealed::OtherPassphrase => refused(
                &path,
                "expected the passphrase that it was encrypted with, received another",
            ),
            Sealed::Broken(why) => refused(&path, &why),
        })?;
        io::copy(&mut opened, to).map_err(|error| refused(&path, &error.to_string()))?;
        Ok(())
    }

    /// Looks into a copy, encrypted no more, whatever it is called in the backup.
    fn inspect(&self, file: &StoredFile, copy: &Path) -> Result<(), Failure> {
        let path = self.path_of(file);
        if file.holds == ACCESS {
            return venom_access::inspect(copy).map_err(|why| refused(&path, &why.to_string()));
        }
        let found = venom_store::inspect(copy).map_err(|why| refused(&path, &why.to_string()))?;
        let expected = &self.manifest.facts;
        if found == *expected {
            return Ok(());
        }
        let why = format!(
            "it is not the one of its manifest: expected schema {} with {} memories, found schema {} with {}",
            expected.schema, expected.memories, found.schema, found.memories
        );
        Err(refused(&path, &why))
    }

    /// Copies a file to where it waits for the others, and looks into it.
    fn bring(
        &self,
        file: &StoredFile,
        waiting: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), Failure> {
        let copy = waiting.join(file.holds);
        let made = folder::private_file().create_new(true).open(&copy);
        let mut made = made.map_err(|error| unwritable(&copy, &error))?;
        if self.manifest.encrypted {
            self.check_bytes(file)?;
            self.decrypt(file, &mut made, passphrase)?;
        } else {
            let mut from = Hashed::new(self.open(file)?);
            let copied = io::copy(&mut from, &mut made);
            copied.map_err(|error| unwritable(&copy, &error))?;
            self.check_hash(file, &from.finish())?;
        }
        made.sync_all().map_err(|error| unwritable(&copy, &error))?;
        self.inspect(file, &copy)
    }

    /// Refuses to replace what is there, unless that is wanted.
    fn check_in_the_way(&self) -> Result<(), Failure> {
        let in_the_way = self.in_the_way();
        if in_the_way.is_empty() || self.wish.replace {
            return Ok(());
        }
        Err(Failure::invalid(format!(
            "the data folder {} holds {} already: expected an empty one, or --replace to move them aside",
            self.wish.data.display(),
            in_the_way.join(" and ")
        )))
    }

    /// The backups that lie where this one does, itself among them: the database was copied before it knew of them.
    fn known(&self) -> Vec<Backup> {
        let beside = self.backup.parent().unwrap_or(&self.backup);
        let mut known = vec![(self.backup.clone(), self.manifest.made_at)];
        // What cannot be listed is no reason not to restore.
        let others = shelf::look(beside).unwrap_or_default().whole;
        known.extend(others.into_iter().map(|it| (it.path, it.manifest.made_at)));
        let backup = |(path, made_at): (PathBuf, Timestamp)| {
            let path = path.to_str()?.to_owned();
            Some(Backup { path, made_at })
        };
        known.into_iter().filter_map(backup).collect()
    }

    /// A name for what is moved aside that is free.
    fn aside(&self, data: &Path) -> String {
        let first = format!("before-restore-{}", shelf::compact(self.wish.now));
        let is_free = |name: &String| data.join(name).symlink_metadata().is_err();
        let others = (2..).map(|number| format!("{first}-{number}"));
        let mut names = std::iter::once(first.clone()).chain(others);
        names.find(is_free).unwrap_or(first)
    }
}

/// Restores. All of it is in place on return; after an interruption all databases are, or none. Personas follow them:
/// those that cannot be written are told, and undo nothing.
///
/// # Errors
/// [`Failure`] that says what is in the way or wrong with the backup; then everything is as it was. Or it says that the
/// restore counts and could not be finished: then the next that opens the data folder puts the databases in place, and
/// personas stay as they are.
pub(crate) fn restore(plan: &Plan, passphrase: Option<&Passphrase>) -> Result<Restored, Failure> {
    plan.check_in_the_way()?;
    // Lengths first: what a manifest says of them is not to be reserved room for.
    for file in plan.files() {
        plan.open(file)?;
    }
    let personas = plan.personas(passphrase)?;
    let (aside_name, mut aside) = if plan.wish.parts == Parts::Personas {
        (plan.aside(&plan.wish.data), None)
    } else {
        restore_databases(plan, passphrase)?
    };
    let personas_aside = plan.wish.data.join(aside_name);
    let personas = target::put(
        &plan.wish.personas,
        &personas,
        plan.wish
            .replace
            .then(|| personas_aside.join(PERSONAS_ASIDE))
            .as_deref(),
    );
    tracing::debug!("restore: the personas are in place");
    if aside.is_none() && !personas.of(&Fate::Replaced).is_empty() {
        aside = Some(personas_aside.canonicalize().unwrap_or(personas_aside));
    }
    Ok(Restored {
        aside,
        with_access: plan.with_access(),
        personas,
    })
}

/// Puts the databases in place. The name for what was there before, and the folder of that name if there was anything.
fn restore_databases(
    plan: &Plan,
    passphrase: Option<&Passphrase>,
) -> Result<(String, Option<PathBuf>), Failure> {
    let data = &plan.wish.data;
    let lease = Lease::try_acquire(data).map_err(|error| in_use(data, error))?;
    if !lease.is_exclusive() && !plan.in_the_way().is_empty() {
        return Err(Failure::not_ready(format!(
            "the file system of {} has no locks, so that nobody can tell whether a server uses what is there: expected \
             an empty data folder (--to)",
            data.display()
        )));
    }
    // A restore that was cut short was finished just now.
    plan.check_in_the_way()?;
    check_room(lease.folder(), total(plan.databases()))?;
    let restore = Restore::begin(&lease)?;
    for file in plan.databases() {
        plan.bring(file, restore.folder(), passphrase)?;
        tracing::debug!("restore: {} is brought", file.holds);
    }
    make_ready(
        &restore.folder().join(MEMORIES),
        plan.wish.now,
        &plan.known(),
    )?;
    tracing::debug!("restore: everything is checked");
    let aside_name = plan.aside(lease.folder());
    let aside = restore
        .commit(&aside_name)
        .map_err(|error| unfinished(plan, error))?;
    tracing::debug!("restore: everything is in place");
    Ok((aside_name, aside))
}

/// The sentence for databases that could not be put in place: what counts all the same is finished without personas.
fn unfinished(plan: &Plan, error: StoreError) -> Failure {
    let mut failure = Failure::from(error);
    let has_personas = plan.files().any(|file| file.holds == PERSONAS);
    if has_personas && is_pending(&plan.wish.data) {
        failure.message += ", but no personas: `venom restore --personas-only` restores them";
    }
    failure
}

/// The sentence for a data folder that cannot be had.
pub(crate) fn in_use(data: &Path, error: LeaseError) -> Failure {
    match error {
        LeaseError::Store(error) => error.into(),
        LeaseError::Busy(holder) => {
            let holder = holder.map_or_else(|| "another process".to_owned(), |h| h.to_string());
            let data = data.display();
            Failure::not_ready(format!(
                "the data folder {data} is in use by {holder}: stop it before you restore"
            ))
        }
    }
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::invalid(format!("{} cannot be restored: {why}", path.display()))
}
