//! Memories as notes: front matter that other programs read, and the text.

use super::unwritable;
use crate::failure::Failure;
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use venom_core::{Memory, Metadata, SessionName, Speaker, Tag, visible};
use venom_store::folder;

/// Notes in a new folder, which go again unless they are finished.
pub(super) struct Notes {
    folder: PathBuf,
    /// The folder from before the first note, so that no error since is missed.
    opened: File,
    is_new: bool,
    by_month: bool,
    /// The names of the notes so far. Those of months are written newest first.
    written: HashSet<String>,
    is_done: bool,
}

impl Notes {
    pub(super) fn new(folder: PathBuf, by_month: bool) -> Result<Self, Failure> {
        let is_new = !folder.exists();
        let mut made = DirBuilder::new();
        let made = made.recursive(true).mode(0o700).create(&folder);
        let opened = made.and_then(|()| File::open(&folder));
        Ok(Self {
            opened: opened.map_err(|error| unwritable(&folder, &error))?,
            folder,
            is_new,
            by_month,
            written: HashSet::new(),
            is_done: false,
        })
    }

    /// Writes a memory into a note of its own, or adds it to its month.
    pub(super) fn write(&mut self, memory: &Memory) -> Result<(), Failure> {
        if !self.by_month {
            return self.append(&memory.id.to_string(), "", &note(memory));
        }
        let day = memory.moment().to_string();
        let month = day.get(..7).unwrap_or("undated");
        self.append(month, &format!("# {month}\n"), &section(memory, &day))
    }

    /// Adds a text to a note, which begins with a head.
    fn append(&mut self, name: &str, head: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(file_name(name));
        let is_new = !self.written.contains(name);
        let mut options = OpenOptions::new();
        options.append(true).create_new(is_new).mode(0o600);
        let file = options.open(&path);
        let mut file = file.map_err(|error| unwritable(&path, &error))?;
        let head = if is_new { head } else { "" };
        if is_new {
            self.written.insert(name.to_owned());
        }
        let written = file.write_all([head, text].concat().as_bytes());
        written.map_err(|error| unwritable(&path, &error))
    }

    /// Makes sure that the notes are there to stay.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let synced = folder::sync_files(&self.opened, &self.folder)
            .and_then(|()| super::sync_above(&self.folder));
        synced.map_err(|error| unwritable(&self.folder, &error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // What is half there is of no use, and would be in the way of the next.
        for name in &self.written {
            let _ = std::fs::remove_file(self.folder.join(file_name(name)));
        }
        if self.is_new {
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

fn file_name(name: &str) -> String {
    format!("{name}.md")
}

/// A whole note. Values are written as JSON, which is YAML, too.
fn note(memory: &Memory) -> String {
    let mut text = String::from("---\n");
    let mut field = |key: &str, value: serde_json::Value| {
        let _ = writeln!(text, "{key}: {value}");
    };
    field("memory_id", json!(memory.id.to_string()));
    field("space", json!(memory.space.as_str()));
    field("timestamp", json!(memory.stored_at.to_string()));
    if let Some(moment) = memory.origin.occurred_at {
        field("occurred_at", json!(moment.to_string()));
    }
    if let Some(speaker) = &memory.origin.speaker {
        field("speaker", json!(speaker.as_str()));
    }
    if let Some(session) = &memory.origin.session {
        field("session", json!(session.as_str()));
    }
    if !memory.tags.is_empty() {
        let tags = memory.tags.as_slice().iter().map(Tag::as_str);
        field("tags", json!(tags.collect::<Vec<_>>()));
    }
    if let Some(metadata) = &memory.metadata {
        let _ = writeln!(text, "metadata: {}", one_line(metadata));
    }
    let _ = write!(text, "---\n\n{}\n", memory.content.as_str());
    text
}

fn one_line(metadata: &Metadata) -> String {
    // Line feeds in texts are escaped in JSON; those between its parts say nothing.
    metadata.as_str().replace(['\r', '\n'], " ")
}

/// A memory among those of its month.
fn section(memory: &Memory, moment: &str) -> String {
    let day = moment.get(..16).unwrap_or(moment).replace('T', " ");
    let mut text = format!("\n## {day} · {}\n\n", memory.id);
    let speaker = memory.origin.speaker.as_ref().map(Speaker::as_str);
    let session = memory.origin.session.as_ref().map(SessionName::as_str);
    for (what, name) in [("Speaker", speaker), ("Session", session)] {
        if let Some(name) = name {
            let _ = writeln!(text, "{what}: {}  ", visible::line(name));
        }
    }
    if !memory.tags.is_empty() {
        let tags = memory.tags.as_slice().iter().map(Tag::as_str);
        let tags: Vec<&str> = tags.collect();
        let _ = writeln!(text, "Tags: {}  ", visible::line(&tags.join(", ")));
    }
    let _ = writeln!(text, "\n{}", memory.content.as_str());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_core::{Content, MemoryId, Origin, Source, SpaceName, Tags, Timestamp};
    use venom_testing::Folder;

    /// A memory of a day in January 1970.
    fn memory(day: u32) -> Memory {
        let micros = i64::from(day - 1) * 86_400_000_000;
        Memory {
            id: MemoryId::new(micros.unsigned_abs() + 1).unwrap(),
            space: SpaceName::parse("a space").unwrap(),
            content: Content::parse(&format!("Day {day}")).unwrap(),
            tags: Tags::default(),
            stored_at: Timestamp::from_micros(micros),
            origin: Origin::default(),
            source: Source::default(),
            quarantined: false,
            metadata: None,
        }
    }

    #[test]
    fn a_month_has_one_head() {
        let folder = Folder::new();
        let mut notes = Notes::new(folder.join("below/notes"), true).unwrap();
        for day in [32, 3, 2] {
            notes.write(&memory(day)).unwrap();
        }
        notes.finish().unwrap();
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let january = text("below/notes/1970-01.md");
        assert!(january.starts_with("# 1970-01\n\n## 1970-01-03 00:00"));
        assert_eq!(january.matches("# 1970-01\n").count(), 1, "{january}");
        let february = text("below/notes/1970-02.md");
        assert!(february.ends_with("Day 32\n"), "{february}");
    }

    /// So that what is half there is in nobody's way; what is not of this export stays.
    #[test]
    fn notes_that_are_not_finished_go_again() {
        for by_month in [false, true] {
            let folder = Folder::new();
            let new = folder.join("new");
            let mut notes = Notes::new(new.clone(), by_month).unwrap();
            notes.write(&memory(1)).unwrap();
            drop(notes);
            assert!(!new.exists());

            let mut notes = Notes::new(folder.path().to_owned(), by_month).unwrap();
            let mine = [memory(32).id.to_string(), "1970-02".to_owned()];
            for name in &mine {
                std::fs::write(folder.join(&file_name(name)), "mine").unwrap();
            }
            notes.write(&memory(1)).unwrap();
            let refused = notes.write(&memory(32)).unwrap_err();
            assert!(refused.message.contains("cannot be written"), "{refused}");
            drop(notes);
            let left = std::fs::read_dir(folder.path()).unwrap();
            assert_eq!(left.count(), mine.len());
            for name in &mine {
                let text = std::fs::read_to_string(folder.join(&file_name(name)));
                assert_eq!(text.unwrap(), "mine");
            }
        }
    }
}
