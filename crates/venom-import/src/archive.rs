//! Zip archives, as data exports and folders of notes are handed around: what can be imported is extracted into a
//! folder of its own for as long as it is read.
//!
//! An archive comes from outside: nothing is written but plain files below that folder, and never more than an honest
//! archive would hold.

use crate::bytes::{FOLDER_FILES_MAX, unreadable};
use crate::chroma::CHROMA_FILE;
use crate::scratch::Scratch;
use crate::{Options, Records, Skipped, Unusable};
use crate::{detect, markdown};
use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use venom_core::Timestamp;
use zip::{DateTime, ZipArchive};

/// Most bytes that an archive holds of what is extracted (8 GiB).
pub const ARCHIVE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Most bytes that are extracted for each byte of an archive, beyond the first 16 MiB. Text is rarely packed more
/// than tenfold; what grows by this much was made to fill disks.
pub const ARCHIVE_RATIO_MAX: u64 = 100;
/// Bytes that any archive may grow to (16 MiB).
const RATIO_FREE_BYTES: u64 = 16 * 1024 * 1024;
/// Most folders within each other.
const DEPTH_MAX: usize = 64;
/// Bytes that are extracted at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// What archives of some systems hold beside what was put into them.
const NOT_CONTENT: &str = "__MACOSX";

/// Whether a plain file begins as a zip archive.
pub(crate) fn is_archive(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    let mut start = [0; 4];
    is_file
        && File::open(path)
            .and_then(|mut file| file.read_exact(&mut start))
            .is_ok()
        && matches!(&start, b"PK\x03\x04" | b"PK\x05\x06")
}

/// Opens what is in an archive with `open`, which is given the folder or file that it holds. The records keep what was
/// extracted until they are dropped.
pub(crate) fn open(
    archive: &Path,
    options: &Options,
    open: impl Fn(&Path) -> Result<Records, Unusable>,
) -> Result<Records, Unusable> {
    let (folder, content) = extract(archive, &options.scratch)?;
    // People are told of the archive that they named.
    let names = [&content, folder.path()].map(|path| path.display().to_string());
    let name = archive.display().to_string();
    let shown = move |why: String| {
        let [inner, outer] = &names;
        why.replace(inner, &name).replace(outer, &name)
    };
    let records = open(&content).map_err(|Unusable(why)| Unusable(shown(why)))?;
    let mut found = records.found;
    let kept = std::iter::from_fn(move || {
        let _ = &folder;
        Some(match found.next()? {
            Ok(Err(Skipped { place, why })) => Ok(Err(Skipped {
                place,
                why: shown(why),
            })),
            Err(Unusable(why)) => Err(Unusable(shown(why))),
            good => good,
        })
    });
    Ok(Records {
        kind: records.kind,
        total: records.total,
        found: Box::new(kept),
        left: records.left,
    })
}

/// Extracts what can be imported; with the folder or file that is what the archive holds.
fn extract(archive: &Path, place: &Path) -> Result<(Scratch, PathBuf), Unusable> {
    let shown = archive.display();
    let damaged = |error: &dyn std::fmt::Display| {
        Unusable(format!("{shown} cannot be read as a zip archive: {error}"))
    };
    let file = File::open(archive).map_err(|error| unreadable(archive, &error))?;
    let length = file
        .metadata()
        .map_err(|error| unreadable(archive, &error))?
        .len();
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(&error))?;
    if zip.len() > FOLDER_FILES_MAX {
        let count = zip.len();
        return Err(Unusable(format!(
            "{shown} holds {count} files: expected at most {FOLDER_FILES_MAX}"
        )));
    }
    let folder = Scratch::new(place).map_err(|error| {
        let place = place.display();
        Unusable(format!("{shown} cannot be extracted in {place}: {error}"))
    })?;
    let root = folder.path().join("content");
    make_folder(&root).map_err(|error| damaged(&error))?;
    let mut free_room = Room {
        left: ARCHIVE_BYTES_MAX.min(RATIO_FREE_BYTES + length.saturating_mul(ARCHIVE_RATIO_MAX)),
    };
    let mut names = HashSet::new();
    for number in 0..zip.len() {
        let mut entry = zip.by_index(number).map_err(|error| damaged(&error))?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let path = plain_path(&name).ok_or_else(|| {
            let expected = expected_of(&name);
            Unusable(format!("{shown} holds {name:?}: expected {expected}"))
        })?;
        // What is not read does no harm: pictures, links, what an archive of another system brings.
        if entry.is_dir() || entry.is_symlink() || !is_content(&path) {
            continue;
        }
        if !names.insert(path.clone()) {
            return Err(Unusable(format!(
                "{shown} holds {name:?} twice: expected each name once"
            )));
        }
        if entry.encrypted() {
            return Err(Unusable(format!(
                "{shown} is encrypted: expected an archive without a password"
            )));
        }
        let at = entry.last_modified().and_then(time_of);
        free_room.extract((&mut entry, at), &root.join(&path))
            .map_err(|error| match error {
                Stopped::TooMuch => Unusable(format!(
                    "{shown} grows beyond all measure: expected at most {ARCHIVE_RATIO_MAX} times its size, and \
                     at most {ARCHIVE_BYTES_MAX} bytes"
                )),
                Stopped::Read(error) => damaged(&error),
                Stopped::Written(error) => {
                    let place = place.display();
                    Unusable(format!("{shown} cannot be extracted in {place}: {error}"))
                }
            })?;
    }
    if names.is_empty() {
        return Err(Unusable(format!(
            "{shown} holds nothing to import: expected notes, JSON or a {CHROMA_FILE}"
        )));
    }
    let content = content(root).map_err(|error| damaged(&error))?;
    Ok((folder, content))
}

/// When an entry was changed, as it says. It says it in a zone that it does not tell, which is taken for UTC; `None` for the
/// first moment that it can say, which is what programs write that do not know it.
fn time_of(at: DateTime) -> Option<SystemTime> {
    let at = Some(at).filter(|at| *at != DateTime::DEFAULT)?;
    let micros = Timestamp::parse(&at.to_string())?.as_micros();
    UNIX_EPOCH.checked_add(Duration::from_micros(u64::try_from(micros).ok()?))
}

/// The path of an entry below the root: names only, separated by slashes. `None` for one that leads elsewhere.
fn plain_path(name: &str) -> Option<PathBuf> {
    if name.contains(['\\', '\0']) {
        return None;
    }
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            // Some programs begin every name with a dot.
            Component::CurDir => {}
            _ => return None,
        }
    }
    let depth = path.components().count();
    (depth <= DEPTH_MAX).then_some(path)
}

/// What is expected in place of a name that is no [`plain_path`].
fn expected_of(name: &str) -> &'static str {
    if name.contains('\\') {
        // Old programs of Windows write it; it would be a name of its own here.
        "/ between the names of folders, not a backslash"
    } else {
        "names of files and folders within it"
    }
}

/// Whether some kind of import reads a file of that name.
fn is_content(path: &Path) -> bool {
    let mut parts = path.components().map(Component::as_os_str);
    let is_hidden = parts.any(|part| {
        let part = part.to_string_lossy();
        part.starts_with('.') || part == NOT_CONTENT
    });
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !is_hidden
        && (detect::is_json(path) || markdown::is_note(path) || name.starts_with(CHROMA_FILE))
}

/// Of a folder that holds nothing but one folder or file, that one.
fn content(mut folder: PathBuf) -> io::Result<PathBuf> {
    loop {
        let mut entries = std::fs::read_dir(&folder)?;
        let (first, second) = (entries.next().transpose()?, entries.next());
        let only = first.filter(|_| second.is_none());
        match only.map(|entry| entry.path()) {
            Some(path) if path.is_dir() => folder = path,
            // A note is named by its path in the folder.
            Some(path) if !markdown::is_note(&path) => return Ok(path),
            _ => return Ok(folder),
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Why an entry was not extracted to its end.
enum Stopped {
    TooMuch,
    Read(io::Error),
    Written(io::Error),
}

/// What may still be extracted.
struct Room {
    left: u64,
}

impl Room {
    /// Writes one file, whatever the archive says of its length, with the time that it says.
    fn extract(
        &mut self,
        (entry, at): (&mut impl Read, Option<SystemTime>),
        path: &Path,
    ) -> Result<(), Stopped> {
        if let Some(folder) = path.parent() {
            make_folder(folder).map_err(Stopped::Written)?;
        }
        let mut file = File::create_new(path).map_err(Stopped::Written)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stopped::Read(error)),
            };
            self.left = self
                .left
                .checked_sub(count as u64)
                .ok_or(Stopped::TooMuch)?;
            file.write_all(&buffer[..count]).map_err(Stopped::Written)?;
        }
        if let Some(at) = at {
            // Where no such time can be set it is that of now: a guess is as good as another.
            let _ = file.set_modified(at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use std::io::Cursor;
    use venom_core::SpaceName;
    use venom_fuzz::Target;
    use venom_testing::archive::zipped;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    /// The texts in an archive, or why there are none; the place for what is extracted is empty afterwards.
    fn texts(bytes: &[u8]) -> Result<Vec<String>, String> {
        let place = tempfile::tempdir().unwrap();
        let archive = tempfile::tempdir().unwrap();
        let path = archive.path().join("export.zip");
        std::fs::write(&path, bytes).unwrap();
        let options = Options {
            space: SpaceName::parse("default").unwrap(),
            other_collections: true,
            conversations: true,
            scratch: place.path().to_owned(),
            watch: crate::Watch::default(),
        };
        let all = || {
            let records = crate::open(&path, None, &options)?;
            let mut texts = Vec::new();
            for found in records.found {
                texts.extend(found?.map(|record| record.new.content.as_str().to_owned()));
            }
            Ok(texts)
        };
        let told = all().map_err(|Unusable(why)| why.replace(&*path.to_string_lossy(), "Z"));
        assert_eq!(
            std::fs::read_dir(place.path()).unwrap().count(),
            0,
            "{told:?}"
        );
        assert_eq!(std::fs::read_dir(archive.path()).unwrap().count(), 1);
        told
    }

    #[test]
    fn what_can_be_imported_comes() {
        let line = br#"{"content": "Ana sails."}"#;
        assert_eq!(
            texts(&zipped(&[("memories.jsonl", line)])).unwrap(),
            ["Ana sails."]
        );
        let notes: &[(&str, &[u8])] = &[
            ("vault/a.md", b"Ana sails."),
            ("./vault/deep/b.md", b"Ben runs."),
            ("vault/picture.png", b"\x89PNG"),
            ("__MACOSX/vault/a.md", b"no note"),
            ("vault/.trash/old.md", b"no note"),
        ];
        let found = texts(&zipped(notes)).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        let bio = br#"[{"mapping": {"a": {"message": {"author": {"role": "assistant"}, "recipient": "bio",
                     "content": {"parts": ["User sails."]}}}}}]"#;
        let export: &[(&str, &[u8])] = &[
            ("conversations.json", bio),
            ("user.json", b"{}"),
            ("chat.html", b"<html>"),
        ];
        assert_eq!(texts(&zipped(export)).unwrap(), ["User sails."]);
    }

    #[test]
    fn reasons_name_the_archive_and_not_where_it_was_extracted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("all.zip");
        let line: &[u8] = br#"{"content": "Ana sails."}"#;
        let entries: &[(&str, &[u8])] = &[
            ("a.md", b""),
            ("b.md", b"Ben runs."),
            ("c.jsonl", b"{\"content\": 7}"),
            ("d.jsonl", line),
        ];
        std::fs::write(&path, zipped(entries)).unwrap();
        for (kind, file) in [(Kind::Markdown, "a.md"), (Kind::Jsonl, "c.jsonl")] {
            let read = crate::fuzzed::read(&path, Some(kind), 2);
            let [Skipped { place, why }] = &read.skipped[..] else {
                panic!("one is left out: {read:?}")
            };
            assert_eq!(place, file);
            assert!(why.starts_with("it is "), "{why}");
        }
        let entries: &[(&str, &[u8])] = &[
            ("a/conversations.json", b"[{\"mapping\": 7"),
            ("b/conversations.json", b"[{\"mapping\": {}}]"),
        ];
        std::fs::write(&path, zipped(entries)).unwrap();
        let read = crate::fuzzed::read(&path, Some(Kind::ChatGpt), 2);
        let [Skipped { place, why }] = &read.skipped[..] else {
            panic!("one is left out: {read:?}")
        };
        assert_eq!(place, "a");
        let named = path.join("a/conversations.json").display().to_string();
        assert!(why.starts_with(&named), "{why}");
    }

    #[test]
    fn archives_that_mean_harm_are_refused_in_a_sentence() {
        let note: &[u8] = b"a note";
        let within = "expected names of files and folders within it";
        let backslash = "expected / between the names of folders, not a backslash";
        for (name, expected) in [
            ("../out.md", within),
            ("/etc/out.md", within),
            ("a/../../out.md", within),
            ("a\\..\\b.md", backslash),
            ("win\\path.md", backslash),
        ] {
            let told = texts(&zipped(&[("in.md", note), (name, note)])).unwrap_err();
            assert_eq!(told, format!("Z holds {name:?}: {expected}"));
        }
        let deep = format!("{}a.md", "d/".repeat(DEPTH_MAX));
        assert!(texts(&zipped(&[(&deep, note)])).is_err());
        let bomb = vec![b'x'; 64 * 1024 * 1024];
        let told = texts(&zipped(&[("a.md", &bomb)])).unwrap_err();
        assert!(told.contains("grows beyond all measure"), "{told}");
        let told = texts(&zipped(&[("picture.png", note)])).unwrap_err();
        assert_eq!(
            told,
            "Z holds nothing to import: expected notes, JSON or a chroma.sqlite3"
        );
        assert!(texts(&zipped(&[])).unwrap_err().contains("holds nothing"));
        // Two names of one file; of two equal names the last counts.
        let told = texts(&zipped(&[("a/b.md", note), ("a//b.md", note)])).unwrap_err();
        assert!(told.contains("twice: expected each name once"), "{told}");
        let whole = zipped(&[("a.md", note)]);
        let told = texts(&whole[..whole.len() - 8]).unwrap_err();
        assert!(told.contains("cannot be read as a zip archive"), "{told}");
        let mut spoilt = whole;
        let at = spoilt
            .windows(4)
            .position(|bytes| bytes == b"a.md")
            .unwrap();
        spoilt[at + 6] ^= 0x40;
        assert!(texts(&spoilt).is_err());
    }

    /// As most programs write it: without a zone.
    #[test]
    fn a_note_has_the_time_of_its_entry() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notes.zip");
        let told = |options: SimpleFileOptions| {
            let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
            writer.start_file("a.md", options).unwrap();
            writer.write_all(b"Ana sails.").unwrap();
            std::fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
            let read = crate::fuzzed::read(&path, None, 1);
            let new = read.memories.into_iter().next().unwrap();
            assert!(new.is_time_guessed);
            new.stored_at.map(|at| at.to_string()).unwrap()
        };
        let at = DateTime::from_date_and_time(2024, 2, 29, 12, 30, 58).unwrap();
        let options = SimpleFileOptions::default();
        let known = told(options.last_modified_time(at));
        assert_eq!(known, "2024-02-29T12:30:58.000000Z");
        let unknown = told(options.last_modified_time(DateTime::DEFAULT));
        assert!(!unknown.starts_with("1980"), "{unknown}");
    }

    #[test]
    fn links_are_left_alone() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        writer
            .add_symlink("link.md", "/etc/passwd", options)
            .unwrap();
        writer.start_file("a.md", options).unwrap();
        writer.write_all(b"Ana sails.").unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        assert_eq!(texts(&bytes).unwrap(), ["a\n\nAna sails."]);
    }

    #[test]
    fn fuzz_archives() {
        let seed = zipped(&[("a/b.md", b"Ana sails."), ("c.json", b"[]")]);
        Target::new("archives")
            .words(&["PK\x01\x02", "PK\x03\x04", "PK\x05\x06", "../", "/", ".md"])
            .seed(seed)
            .run(|bytes| texts(bytes).map_err(|why| why.split(' ').nth(3).map(str::to_owned)));
    }
}
