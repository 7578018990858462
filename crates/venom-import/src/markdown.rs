//! Markdown notes, a memory each: a file, or every note in a folder and the folders in it.
//!
//! Links are not followed and folders whose names begin with a dot are left alone. Of the front matter, tags, times and
//! the title have their places; everything else is kept among the metadata.

mod front_matter;

use crate::bytes::{self, FOLDER_FILES_MAX, unreadable};
use crate::folder::{self, Met};
use crate::record::{Loose, take_moment, take_tags, take_text};
use crate::{Found, Kind, Options, Record, Records, Skipped, Unusable};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use venom_core::limits::CONTENT_BYTES_MAX;
use venom_core::{SpaceName, Timestamp};

const EXPECTED: &str = "a note in markdown";
/// Longest note, in bytes: a text and its front matter.
const NOTE_BYTES_MAX: usize = 2 * CONTENT_BYTES_MAX;

/// Whether a name is that of a note.
pub(crate) fn is_note(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str());
    extension.is_some_and(|it| it.eq_ignore_ascii_case("md") || it.eq_ignore_ascii_case("markdown"))
}

pub(crate) fn open(path: &Path, kind: Kind, options: &Options) -> Result<Records, Unusable> {
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let space = options.space.clone();
    if !found.is_dir() {
        // Read now: a file that is none imports nothing.
        let text = bytes::text(path, NOTE_BYTES_MAX, EXPECTED)?;
        let name = path.file_name().map_or(path, Path::new);
        let new = memory((path, name), &text, &space).map_err(|why| {
            let shown = path.display();
            Unusable(format!("{shown} makes no memory: {why}"))
        })?;
        let place = name.display().to_string();
        let made = Record { place, new };
        return Ok(Records {
            kind,
            total: Some(1),
            left: Vec::new(),
            found: Box::new(std::iter::once(Ok(Ok(made)))),
        });
    }
    let (notes, skipped) = notes_in(path)?;
    if notes.is_empty() {
        let shown = path.display();
        return Err(Unusable(format!(
            "{shown} holds no notes: expected files *.md"
        )));
    }
    let root = path.to_owned();
    let read = move |note: PathBuf| -> Found {
        let name = note.strip_prefix(&root).unwrap_or(&note).to_owned();
        let text = bytes::text(&note, NOTE_BYTES_MAX, EXPECTED)
            .map_err(|unusable| crate::calling("it", &note, &unusable));
        let made = text.and_then(|text| memory((&note, &name), &text, &space));
        crate::found(name.display().to_string(), made)
    };
    let skipped = skipped.into_iter().map(Err);
    let total = notes.len() + skipped.len();
    let found = skipped.chain(notes.into_iter().map(read)).map(Ok);
    Ok(Records {
        kind,
        total: Some(total as u64),
        left: Vec::new(),
        found: Box::new(found),
    })
}

/// The notes in a folder and those in it, sorted by their paths.
fn notes_in(root: &Path) -> Result<(Vec<PathBuf>, Vec<Skipped>), Unusable> {
    let (mut notes, mut skipped) = (Vec::new(), Vec::new());
    folder::walk(root, |met| {
        let (path, why) = match met {
            Met::File(path) => {
                if is_note(&path) {
                    notes.push(path);
                }
                if notes.len() > FOLDER_FILES_MAX {
                    let shown = root.display();
                    return Err(Unusable(format!(
                        "{shown} holds too much: expected at most {FOLDER_FILES_MAX} notes"
                    )));
                }
                return Ok(());
            }
            Met::Link(path) if path.is_dir() => (
                path,
                "it is a link: expected a folder, for no link is followed".to_owned(),
            ),
            Met::Link(path) if is_note(&path) => {
                (path, "it is a link: expected a plain file".to_owned())
            }
            Met::Link(_) => return Ok(()),
            Met::Closed(path, why) => (path, format!("it cannot be read: {why}")),
        };
        let place = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        skipped.push(Skipped { place, why });
        Ok(())
    })?;
    notes.sort();
    skipped.sort_by(|one, other| one.place.cmp(&other.place));
    Ok((notes, skipped))
}

/// The memory that a note makes.
fn memory(
    (path, name): (&Path, &Path),
    text: &str,
    space: &SpaceName,
) -> Result<venom_core::NewImport, String> {
    let (mut fields, body) = front_matter::split(text);
    let body = body.trim();
    let id = take_text(&mut fields, &["memory_id"]);
    let stem = name
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let title = take_text(&mut fields, &["title"])
        .or(stem)
        .unwrap_or_default();
    if body.is_empty() {
        return Err("it has no text".to_owned());
    }
    // What Venom wrote is the text and nothing else; of other notes the title says what they are about.
    let text = if id.is_some() || has_title(body, &title) {
        body.to_owned()
    } else {
        format!("{title}\n\n{body}")
    };
    let tags = take_tags(&mut fields, &["tags", "tag"]);
    let told = take_moment(&mut fields, &["timestamp", "created", "created_at", "date"]);
    let guessed = || changed(path).filter(|_| id.is_none());
    let mut loose = Loose {
        space: take_text(&mut fields, &["space"]),
        text,
        tags: if id.is_some() {
            tags
        } else {
            tags.iter().map(|tag| plain(tag)).collect()
        },
        stored_at: told.or_else(guessed),
        is_time_guessed: told.is_none(),
        occurred_at: take_moment(&mut fields, &["occurred_at"]),
        speaker: take_text(&mut fields, &["speaker"]),
        session: take_text(&mut fields, &["session"]),
        ..Loose::default()
    };
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        loose.rest = std::mem::take(metadata);
        fields.remove("metadata");
    }
    if id.is_none() {
        loose.keep("file", Value::String(name.display().to_string()));
    }
    loose.id = id;
    for (key, value) in fields {
        loose.keep(&key, value);
    }
    loose.settle(space)
}

/// Tags of other notes may have a # before them.
fn plain(tag: &str) -> String {
    tag.trim_start_matches('#').to_owned()
}

fn has_title(body: &str, title: &str) -> bool {
    let first = body.lines().next().unwrap_or_default();
    first
        .trim_start_matches('#')
        .trim()
        .eq_ignore_ascii_case(title.trim())
}

/// When a file was changed.
fn changed(path: &Path) -> Option<Timestamp> {
    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    let micros = changed.duration_since(UNIX_EPOCH).ok()?.as_micros();
    let changed = Timestamp::from_micros(i64::try_from(micros).ok()?);
    // A disk may say any year, the domain takes those of four digits.
    changed.month().map(|_| changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::{self, outcome};
    use venom_fuzz::Target;

    #[test]
    fn fuzz_import_notes() {
        let words = [
            "---\n",
            "...\n",
            "title: ",
            "tags: ",
            "tag: ",
            "- ",
            "[a, b]",
            "{\"a\": 1}",
            "{a: 'b'}",
            "[\n",
            "\n]\n",
            "\"\\x41\"",
            "\"a: b\": ",
            "2021/03/04 05:06 +0200",
            "created: ",
            "timestamp: ",
            "memory_id: mem_1700000000\n",
            "occurred_at: ",
            "speaker: ",
            "session: ",
            "space: ",
            "metadata: ",
            "# ",
            "\n\n",
        ];
        for kind in [Kind::Markdown, Kind::BasicMemory] {
            let target = Target::new("import-notes").words(&words);
            target.run(|bytes| {
                let outcome = outcome(Some(kind), "note.md", bytes);
                assert!(outcome.1 <= 1, "a note is one memory");
                outcome
            });
        }
    }

    #[test]
    fn fuzz_import_folders() {
        // Notes one after the other, each behind a line with its name.
        Target::new("import-folders")
            .words(&["\n=== ", ".md\n", "/", "---\n", "id: 1\n", "\n"])
            .run(|bytes| {
                let folder = tempfile::tempdir().expect("a folder");
                let text = bytes.split(|byte| *byte == 0x1e);
                for (number, note) in text.take(64).enumerate() {
                    let path = folder.path().join(format!("{}/{number}.md", number % 3));
                    std::fs::create_dir_all(path.parent().expect("a folder"))
                        .expect("it can be made");
                    std::fs::write(path, note).expect("it can be written");
                }
                let count = bytes.split(|byte| *byte == 0x1e).take(64).count();
                let read = fuzzed::read(folder.path(), None, count);
                assert_eq!(read.unusable, None);
                assert_eq!(read.memories.len() + read.skipped.len(), count);
                fuzzed::of(&read, "")
            });
    }
}
