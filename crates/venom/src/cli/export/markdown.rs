//! Memories as notes: front matter that other programs read, and the text.

use super::unwritable;
use crate::failure::Failure;
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use venom_core::{Memory, Metadata, SessionName, Speaker, Tag, visible};

/// Notes in a new folder.
pub(super) struct Notes {
    folder: PathBuf,
    by_month: bool,
    /// The months that have a file; those are written newest first.
    months: HashSet<String>,
}

impl Notes {
    pub(super) fn new(folder: PathBuf, by_month: bool) -> Result<Self, Failure> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(|error| unwritable(&folder, &error))?;
        Ok(Self {
            folder,
            by_month,
            months: HashSet::new(),
        })
    }

    /// Writes a memory into a note of its own, or adds it to its month.
    pub(super) fn write(&mut self, memory: &Memory) -> Result<(), Failure> {
        let day = memory.moment().to_string();
        let (name, text) = if self.by_month {
            let month = day.get(..7).unwrap_or("undated").to_owned();
            let head = if self.months.insert(month.clone()) {
                format!("# {month}\n")
            } else {
                String::new()
            };
            (month, head + &section(memory, &day))
        } else {
            (memory.id.to_string(), note(memory))
        };
        let path = self.folder.join(name + ".md");
        let mut options = OpenOptions::new();
        options.mode(0o600);
        if self.by_month {
            options.append(true).create(true);
        } else {
            options.write(true).create_new(true);
        }
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| unwritable(&path, &error))
    }

    /// Makes sure that the names are there to stay.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let synced = std::fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| unwritable(&self.folder, &error))
    }
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
