//! The folder that personas are restored to. What somebody wrote there is never overwritten: it stays, or is copied aside
//! before a new text takes its name. A restore that is cut short is finished by another one.

use crate::personas::open;
use rustix::fs::{Access, access};
use std::fs::Permissions;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use venom_core::Persona;
use venom_store::folder;

/// What becomes of a persona of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there in the same words.
    Unchanged,
    /// It was missing.
    Written,
    /// Another text was in its place, and is aside now.
    Replaced,
    /// Another text is in its place, and stays.
    Differs,
    /// It cannot be restored, and why, in half a sentence.
    Failed(String),
}

/// What becomes of the personas of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fates {
    /// The folder that they go to.
    pub(crate) folder: PathBuf,
    /// The names of their files, each with what becomes of it.
    pub(crate) all: Vec<(String, Fate)>,
}

impl Fates {
    /// The files with this fate.
    pub(crate) fn of(&self, fate: &Fate) -> Vec<&str> {
        let all = self.all.iter();
        all.filter(|(_, found)| found == fate)
            .map(|(file, _)| file.as_str())
            .collect()
    }

    /// The files that cannot be restored.
    pub(crate) fn failed(&self) -> Vec<&str> {
        let all = self.all.iter();
        all.filter(|(_, fate)| matches!(fate, Fate::Failed(_)))
            .map(|(file, _)| file.as_str())
            .collect()
    }

    /// Why the first of them cannot, in half a sentence.
    pub(crate) fn why(&self) -> Option<&str> {
        self.all.iter().find_map(|(_, fate)| match fate {
            Fate::Failed(why) => Some(why.as_str()),
            _ => None,
        })
    }
}

/// What would become of these personas. Changes nothing.
pub(crate) fn look(target: &Path, personas: &[Persona], replace: bool) -> Fates {
    let unwritable = check_writable(target).err();
    let fate = |persona: &Persona| {
        let fate = match compare(&target.join(persona.name.file_name()), persona) {
            Ok(Fate::Differs) if replace => Fate::Replaced,
            Ok(fate) => fate,
            Err(error) => Fate::Failed(format!("what is there cannot be read: {error}")),
        };
        match (&unwritable, fate) {
            (Some(error), Fate::Written | Fate::Replaced) => {
                Fate::Failed(format!("the folder cannot be written to: {error}"))
            }
            (_, fate) => fate,
        }
    };
    let named = |persona: &Persona| (persona.name.file_name(), fate(persona));
    Fates {
        folder: target.to_owned(),
        all: personas.iter().map(named).collect(),
    }
}

/// Puts personas where they belong, each whole or not at all, durable on return. With a folder for it, what differs is
/// copied there first and replaced.
pub(crate) fn put(target: &Path, personas: &[Persona], aside: Option<&Path>) -> Fates {
    let mut fates = look(target, personas, aside.is_some());
    for (persona, (_, fate)) in personas.iter().zip(&mut fates.all) {
        let done = match (&fate, aside) {
            (Fate::Written, _) => write(target, persona),
            (Fate::Replaced, Some(aside)) => replace(target, persona, aside),
            _ => continue,
        };
        if let Err(error) = done {
            *fate = Fate::Failed(format!("it cannot be written: {error}"));
        }
    }
    fates
}

/// Whether it is there, in the same words or in others.
fn compare(path: &Path, persona: &Persona) -> io::Result<Fate> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) && path.symlink_metadata().is_err() => {
            return Ok(Fate::Written);
        }
        Err(error) => return Err(error),
    };
    let text = persona.markdown.as_bytes();
    let mut found = Vec::new();
    file.take(text.len() as u64 + 1).read_to_end(&mut found)?;
    Ok(if found == text {
        Fate::Unchanged
    } else {
        Fate::Differs
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether files can be made in a folder, as far as can be told without making one. It need not be there.
fn check_writable(target: &Path) -> io::Result<()> {
    let target = std::path::absolute(target)?;
    let mut above = target.ancestors();
    let there = above.find(|path| path.symlink_metadata().is_ok());
    let there = there.unwrap_or(&target);
    if !there.metadata()?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    Ok(access(there, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Writes one that is missing.
fn write(target: &Path, persona: &Persona) -> io::Result<()> {
    folder::private_folders(target)?;
    let file = persona.name.file_name();
    let partial = Partial::write(target, persona, None)?;
    folder::rename_to_free(&partial.0, &target.join(file))?;
    folder::sync(target)
}

/// Copies what is there aside, and gives its name to the new text. At no moment there is neither.
fn replace(target: &Path, persona: &Persona, aside: &Path) -> io::Result<()> {
    let file = persona.name.file_name();
    let there = target.join(&file);
    // It may lie on another file system than what is aside: a name cannot move there.
    let mut old = open(&there)?;
    folder::private_folders(aside)?;
    let mut copy = folder::private_file()
        .create_new(true)
        .open(aside.join(&file))?;
    io::copy(&mut old, &mut copy)?;
    copy.sync_all()?;
    folder::sync(aside)?;
    // Whoever could read the old one can read the new one.
    let partial = Partial::write(target, persona, Some(old.metadata()?.permissions()))?;
    std::fs::rename(&partial.0, &there)?;
    folder::sync(target)
}

/// A file beside its place, which goes with this unless it got its name.
struct Partial(PathBuf);

impl Partial {
    fn write(target: &Path, persona: &Persona, mode: Option<Permissions>) -> io::Result<Self> {
        let partial = Self(target.join(format!(".{}.partial", persona.name.file_name())));
        // What a restore left that was cut short.
        match std::fs::remove_file(&partial.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = folder::private_file().create_new(true).open(&partial.0)?;
        file.write_all(persona.markdown.as_bytes())?;
        mode.map_or(Ok(()), |mode| file.set_permissions(mode))?;
        file.sync_all()?;
        Ok(partial)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // The next restore removes what stays.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::personas::tests::persona;
    use std::collections::BTreeMap;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use venom_testing::Folder;

    /// Every file in a folder, with its text.
    fn files(folder: &Path) -> BTreeMap<String, String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let text = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            let text = std::fs::read_to_string(entry.path());
            (name, text.unwrap_or_else(|error| error.kind().to_string()))
        };
        entries.map(|entry| text(entry.unwrap())).collect()
    }

    fn listed<const FILES: usize>(files: [(&str, &str); FILES]) -> BTreeMap<String, String> {
        let pair = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        files.into_iter().map(pair).collect()
    }

    fn fates(fates: &Fates) -> Vec<(&str, &Fate)> {
        let all = fates.all.iter();
        all.map(|(file, fate)| (file.as_str(), fate)).collect()
    }

    const A: &str = "venom_personality_a.md";
    const B: &str = "venom_personality_b.md";
    const C: &str = "venom_personality_c.md";

    #[test]
    fn what_is_missing_comes_and_what_differs_stays_or_goes_aside() {
        let folder = Folder::new();
        let (target, aside) = (folder.join("below/personalities"), folder.join("aside/p"));
        let personas = [persona("a", "new a"), persona("b", "b"), persona("c", "c")];
        let expected = [
            (A, &Fate::Written),
            (B, &Fate::Written),
            (C, &Fate::Written),
        ];
        assert_eq!(fates(&look(&target, &personas, false)), expected);
        assert!(!folder.join("below").exists(), "to look changes nothing");
        assert_eq!(fates(&put(&target, &personas[1..], None)), expected[1..]);
        assert_eq!(files(&target), listed([(B, "b"), (C, "c")]));
        let mode = target.join(B).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        std::fs::write(target.join(A), "mine").unwrap();
        std::fs::set_permissions(target.join(A), Permissions::from_mode(0o644)).unwrap();
        std::fs::remove_file(target.join(C)).unwrap();
        let expected = [
            (A, &Fate::Differs),
            (B, &Fate::Unchanged),
            (C, &Fate::Written),
        ];
        assert_eq!(fates(&put(&target, &personas, None)), expected);
        assert_eq!(files(&target), listed([(A, "mine"), (B, "b"), (C, "c")]));

        let expected = [
            (A, &Fate::Replaced),
            (B, &Fate::Unchanged),
            (C, &Fate::Unchanged),
        ];
        assert_eq!(fates(&look(&target, &personas, true)), expected);
        assert!(!aside.exists());
        assert_eq!(fates(&put(&target, &personas, Some(&aside))), expected);
        assert_eq!(files(&target), listed([(A, "new a"), (B, "b"), (C, "c")]));
        assert_eq!(files(&aside), listed([(A, "mine")]));
        let mode = target.join(A).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "as the old one");
    }

    /// Longer and shorter texts with an equal beginning are others, too.
    #[test]
    fn every_byte_counts() {
        let folder = Folder::new();
        for (there, expected) in [
            ("text", Fate::Unchanged),
            ("text\n", Fate::Differs),
            ("tex", Fate::Differs),
            ("Text", Fate::Differs),
            ("", Fate::Differs),
        ] {
            std::fs::write(folder.join(A), there).unwrap();
            let found = look(folder.path(), &[persona("a", "text")], false);
            assert_eq!(fates(&found), [(A, &expected)], "{there:?}");
        }
    }

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_stays() {
        let folder = Folder::new();
        let (target, aside) = (folder.join("personalities"), folder.join("aside"));
        std::fs::create_dir(&target).unwrap();
        std::fs::write(folder.join("elsewhere"), "mine").unwrap();
        symlink(folder.join("elsewhere"), target.join(A)).unwrap();
        let found = put(&target, &[persona("a", "new")], Some(&aside));
        assert_eq!(fates(&found), [(A, &Fate::Replaced)]);
        assert_eq!(files(&target), listed([(A, "new")]));
        assert_eq!(files(&aside), listed([(A, "mine")]));
        let elsewhere = std::fs::read_to_string(folder.join("elsewhere")).unwrap();
        assert_eq!(elsewhere, "mine");
    }

    #[test]
    fn what_is_in_the_way_stays_and_the_others_come() {
        let folder = Folder::new();
        let (target, aside) = (folder.join("personalities"), folder.join("aside"));
        std::fs::create_dir_all(target.join(A)).unwrap();
        symlink(folder.join("nowhere"), target.join(B)).unwrap();
        let personas = [persona("a", "a"), persona("b", "b"), persona("c", "c")];
        let found = put(&target, &personas, Some(&aside));
        assert_eq!(found.failed(), [A, B]);
        assert_eq!(found.of(&Fate::Written), [C]);
        let expected = "what is there cannot be read: it is no plain file";
        assert_eq!(found.why(), Some(expected));
        assert!(!aside.exists() && !folder.join("nowhere").exists());
    }

    #[test]
    fn a_place_that_is_no_folder_is_told_before_and_after() {
        let folder = Folder::new();
        std::fs::write(folder.join("file"), "a file").unwrap();
        symlink(folder.join("nowhere"), folder.join("link")).unwrap();
        for place in ["file", "file/below", "link", "link/below"] {
            let (target, personas) = (folder.join(place), [persona("a", "a")]);
            let found = put(&target, &personas, None);
            assert_eq!(found, look(&target, &personas, false), "{place}");
            assert_eq!(found.failed(), [A], "{place}");
        }
        assert_eq!(files(folder.path()).len(), 2, "nothing came of it");
    }

    /// Whatever a restore that was cut short left, another one finishes it.
    #[test]
    fn what_was_cut_short_is_finished_by_the_next() {
        let folder = Folder::new();
        let partial = format!(".{A}.partial");
        std::fs::write(folder.join(&partial), "ha").unwrap();
        std::fs::write(folder.join(B), "b").unwrap();
        let personas = [persona("a", "half"), persona("b", "b")];
        let found = put(folder.path(), &personas, None);
        let expected = [(A, &Fate::Written), (B, &Fate::Unchanged)];
        assert_eq!(fates(&found), expected);
        assert_eq!(files(folder.path()), listed([(A, "half"), (B, "b")]));
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_not_overwritten() {
        let folder = Folder::new();
        std::fs::write(folder.join(A), "mine").unwrap();
        let refused = write(folder.path(), &persona("a", "new")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(files(folder.path()), listed([(A, "mine")]));
    }
}
