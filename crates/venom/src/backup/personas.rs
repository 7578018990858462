//! The personas of a backup: files that somebody wrote, in an archive that any program opens. Where they go at a restore
//! is in [`target`].

pub(super) mod target;

use crate::personas::{FilePersonas, markdown};
use std::io::{Cursor, Read as _, Write as _};
use std::path::PathBuf;
use venom_core::{Persona, PersonaName, limits};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// Most personas in a backup.
const COUNT_MAX: usize = 1_000;
/// Most bytes of all of them (16 MiB). One has at most [`limits::PERSONA_BYTES_MAX`].
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest archive, in bytes: names are short, and what is said of a persona beside its text has a few hundred bytes.
pub(super) const ARCHIVE_BYTES_MAX: usize = BYTES_MAX + COUNT_MAX * 1024;
/// What is left out is named up to so many; the rest is counted.
const NAMED_MAX: usize = 10;

/// What is kept of the personas in these folders, by name; and a sentence about what is not, if anything is not.
pub(super) fn collect(folders: Vec<PathBuf>) -> (Vec<Persona>, Option<String>) {
    let (own, unreadable) = FilePersonas::new(folders).own();
    let mut left_out: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for persona in own {
        let more = bytes + persona.markdown.len();
        if kept.len() < COUNT_MAX && more <= BYTES_MAX {
            bytes = more;
            kept.push(persona);
        } else {
            left_out.push(format!(
                "{} is beyond {COUNT_MAX} personas with {BYTES_MAX} bytes",
                persona.name.file_name()
            ));
        }
    }
    let told = (!left_out.is_empty())
        .then(|| format!("not all personas are in the backup: {}", named(&left_out)));
    (kept, told)
}

/// The first of many, and how many more there are.
fn named(all: &[String]) -> String {
    let first = &all[..all.len().min(NAMED_MAX)];
    let mut text = first.join("; ");
    if all.len() > first.len() {
        text = format!("{text}; and {} more", all.len() - first.len());
    }
    text
}

/// An archive of personas: texts as they are, so that equal ones make an equal archive.
///
/// # Errors
/// Those of the archive's format, which has room for all that [`collect`] gives.
pub(super) fn pack(personas: &[Persona]) -> Result<Vec<u8>, ZipError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o600);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for persona in personas {
        writer.start_file(persona.name.file_name(), options)?;
        writer.write_all(persona.markdown.as_bytes())?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The personas in an archive. Nothing in it is trusted: names are those of persona files, each at most once, and texts
/// such as would be served.
///
/// # Errors
/// Why it is not taken, in half a sentence.
pub(super) fn unpack(archive: &[u8]) -> Result<Vec<Persona>, String> {
    if archive.len() > ARCHIVE_BYTES_MAX {
        return Err(format!(
            "expected at most {ARCHIVE_BYTES_MAX} bytes, received more"
        ));
    }
    let damaged =
        |error: &dyn std::fmt::Display| format!("it cannot be read as a zip archive: {error}");
    let mut zip = ZipArchive::new(Cursor::new(archive)).map_err(|error| damaged(&error))?;
    if zip.len() > COUNT_MAX {
        let found = zip.len();
        return Err(format!(
            "expected at most {COUNT_MAX} personas, found {found}"
        ));
    }
    // Of two entries with one name a reader would have the one, another program the other.
    if zip.has_duplicate_names() {
        return Err("expected each name once, found one twice".to_owned());
    }
    let (mut personas, mut left) = (Vec::new(), BYTES_MAX);
    for number in 0..zip.len() {
        let entry = zip.by_index(number).map_err(|error| damaged(&error))?;
        let name = name_of(entry.name_raw())?;
        let file = name.file_name();
        if !entry.is_file() {
            return Err(format!(
                "expected plain files, found {file} of another kind"
            ));
        }
        let mut bytes = Vec::new();
        // Whatever it says of its length.
        let most = u64::try_from(limits::PERSONA_BYTES_MAX).unwrap_or(u64::MAX);
        let read = entry.take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| damaged(&error))?;
        left = left.checked_sub(bytes.len()).ok_or_else(|| {
            format!("expected personas of at most {BYTES_MAX} bytes together, found more")
        })?;
        let text = markdown(bytes).map_err(|why| format!("{file} is no persona: {why}"))?;
        personas.push(Persona::new(name, text));
    }
    Ok(personas)
}

/// The persona whose file has this name, and no other name.
fn name_of(raw: &[u8]) -> Result<PersonaName, String> {
    let text = std::str::from_utf8(raw).ok();
    let name = text.and_then(PersonaName::from_file_name);
    let is_its_own = |name: &PersonaName| name.file_name().as_bytes() == raw;
    name.filter(is_its_own).ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(raw).chars().take(60).collect();
        format!("expected names such as venom_personality_NAME.md, found {shown:?}")
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use venom_fuzz::Target;
    use venom_testing::Folder;
    use venom_testing::archive::zipped;

    pub(in crate::backup) fn persona(name: &str, text: &str) -> Persona {
        Persona::new(PersonaName::parse(name).unwrap(), text.to_owned())
    }

    /// The same bytes with one name for another of the same length, everywhere.
    fn renamed(mut archive: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let places: Vec<usize> = (0..=archive.len() - from.len())
            .filter(|at| archive[*at..].starts_with(from.as_bytes()))
            .collect();
        for at in &places {
            archive[*at..*at + to.len()].copy_from_slice(to.as_bytes());
        }
        assert_eq!(places.len(), 2, "the entry itself, and the directory");
        archive
    }

    #[test]
    fn what_is_packed_comes_out_byte_for_byte() {
        let personas = [
            persona("default", "# Me\r\nÄ\n"),
            persona("pirate", "\u{feff}Ahoy"),
            persona("variant2", &"x".repeat(limits::PERSONA_BYTES_MAX)),
        ];
        let archive = pack(&personas).unwrap();
        assert_eq!(unpack(&archive).unwrap(), personas);
        assert_eq!(
            pack(&personas).unwrap(),
            archive,
            "the same whenever it is made"
        );
        assert_eq!(unpack(&pack(&[]).unwrap()).unwrap(), []);
        // Packed by another program, tighter.
        let deflated = zipped(&[("venom_personality.md", "Ahoy. ".repeat(1_000).as_bytes())]);
        assert!(deflated.len() < 1_000);
        assert_eq!(unpack(&deflated).unwrap()[0].markdown.len(), 6_000);
    }

    #[track_caller]
    fn check(archive: &[u8], expected: &str) {
        let refused = unpack(archive).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }

    #[test]
    fn archives_that_mean_harm_are_refused_in_a_sentence() {
        let text: &[u8] = b"# Ahoy";
        for name in [
            "../venom_personality.md",
            "/etc/venom_personality.md",
            "venom_personality_a/b.md",
            "venom_personality_..md",
            "venom_personality_a\\b.md",
            "./venom_personality.md",
            "venom_personality_a\nb.md",
            "venom_personality.md/",
            "venom_personality.md.exe",
            "notes.md",
            ".env",
            "",
            // Another file than the one that is served by that name.
            "venom_personality_default.md",
        ] {
            check(&zipped(&[(name, text)]), "expected names such as");
        }
        let long = format!("venom_personality_{}.md", "x".repeat(129));
        check(&zipped(&[(&long, text)]), "expected names such as");
        let (a, b) = ("venom_personality_a.md", "venom_personality_b.md");
        let twice = renamed(zipped(&[(a, text), (b, text)]), b, a);
        check(&twice, "expected each name once");
        for (bytes, expected) in [
            (&b" \n"[..], "is no persona: it is empty"),
            (b"\xff\xfe", "is no persona: it is not UTF-8 text"),
            (
                &vec![b'x'; limits::PERSONA_BYTES_MAX + 1],
                "is no persona: it is longer than",
            ),
        ] {
            check(&zipped(&[(a, bytes)]), expected);
        }
        let names: Vec<String> = (0..=COUNT_MAX)
            .map(|number| format!("venom_personality_{number}.md"))
            .collect();
        let all: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), text)).collect();
        assert_eq!(unpack(&zipped(&all[..COUNT_MAX])).unwrap().len(), COUNT_MAX);
        check(&zipped(&all), "expected at most 1000 personas, found 1001");
        let large = vec![b'x'; limits::PERSONA_BYTES_MAX];
        let many: Vec<(&str, &[u8])> = names[..17]
            .iter()
            .map(|name| (name.as_str(), &large[..]))
            .collect();
        check(&zipped(&many), "bytes together, found more");
        check(
            &vec![b'x'; ARCHIVE_BYTES_MAX + 1],
            "expected at most 17801216 bytes",
        );
        check(b"", "cannot be read as a zip archive");
        let whole = zipped(&[(a, text)]);
        check(&whole[..whole.len() - 8], "cannot be read as a zip archive");
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        writer.add_symlink(a, "/etc/passwd", options).unwrap();
        check(
            &writer.finish().unwrap().into_inner(),
            "expected plain files",
        );
    }

    #[test]
    fn a_text_that_was_changed_is_noticed() {
        let mut archive = pack(&[persona("a", "Ahoy")]).unwrap();
        let at = archive
            .windows(4)
            .position(|bytes| bytes == b"Ahoy")
            .unwrap();
        archive[at] = b'a';
        check(&archive, "cannot be read as a zip archive");
    }

    #[test]
    fn what_is_beyond_the_limits_is_named() {
        let folder = Folder::new();
        let large = "x".repeat(limits::PERSONA_BYTES_MAX);
        for number in 0..28 {
            let file = format!("venom_personality_{number:02}.md");
            std::fs::write(folder.join(&file), &large).unwrap();
        }
        std::fs::write(folder.join("venom_personality_zz.md"), "").unwrap();
        let (kept, told) = collect(vec![folder.path().to_owned()]);
        assert_eq!(kept.len(), 16);
        assert_eq!(unpack(&pack(&kept).unwrap()).unwrap(), kept);
        let told = told.unwrap();
        assert!(told.starts_with("not all personas are in the backup: persona file /"));
        assert!(
            told.contains("venom_personality_16.md is beyond 1000 personas"),
            "{told}"
        );
        assert!(told.ends_with("; and 3 more"), "{told}");
        assert_eq!(collect(vec![folder.join("none")]), (Vec::new(), None));
    }

    #[test]
    fn fuzz_persona_archives() {
        let entries: &[(&str, &[u8])] = &[
            ("venom_personality.md", b"# Ahoy"),
            ("venom_personality_a.md", &[b'b'; 100]),
        ];
        let words = [
            "PK\x01\x02",
            "PK\x03\x04",
            "PK\x05\x06",
            "../",
            "/",
            "venom_personality",
            "_b",
            ".md",
        ];
        let target = Target::new("persona-archives")
            .words(&words)
            .memory_max(256 * 1024 * 1024);
        let target = target.seed(zipped(entries));
        let personas = [persona("default", "# Ahoy"), persona("b", "text")];
        target.seed(pack(&personas).unwrap()).run(|bytes| {
            let found = unpack(bytes).map_err(|why| why.chars().take(24).collect::<String>())?;
            let files: BTreeSet<String> = found.iter().map(|it| it.name.file_name()).collect();
            assert_eq!(files.len(), found.len(), "each name once");
            for file in files {
                assert!(file.starts_with("venom_personality") && !file.contains(['/', '\\']));
            }
            let again = unpack(&pack(&found).unwrap());
            assert_eq!(again.as_ref(), Ok(&found), "what was taken is taken again");
            Ok::<_, String>(found.len())
        });
    }
}
