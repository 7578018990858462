//! The data export of Claude: what it remembers, `memories.json` or the files of the folder `memories`, and
//! `conversations.json`, whose turns come on demand. It comes as one archive or as one of each.

use crate::bytes::{self, unreadable};
use crate::chatgpt::{self, CONVERSATIONS, Form};
use crate::record::{Loose, moment};
use crate::{Found, Kind, Options, Records, Skipped, Unusable, detect};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::io::Read as _;
use std::path::Path;
use venom_core::{SpaceName, Timestamp};

const EXPECTED: &str = "memories.json or conversations.json of a data export of Claude";
/// Name of the files and of the folder with what it remembers.
pub(crate) const MEMORIES: &str = "memories";
/// What it remembers: of the user, of each project by its id, and by topic in files of its own.
pub(crate) const KEYS: [&str; 3] = ["conversations_memory", "project_memories", "memory_files"];
/// Longest id of a project, in bytes: each memory of it has it.
const PROJECT_BYTES_MAX: usize = 256;
/// Bytes of a file by which it is told what is in it.
const START_BYTES: u64 = 64 * 1024;

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let (memory_files, conversation_files) = if found.is_dir() {
        let files = (
            bytes::parts_of(path, MEMORIES, true),
            bytes::parts_of(path, CONVERSATIONS, false),
        );
        let ours = (
            detect::of_kind(&files.0, Kind::Claude),
            detect::of_kind(&files.1, Kind::Claude),
        );
        let is_none = ours.0.is_empty() && ours.1.is_empty();
        // If none is, their reader says what is wrong with them.
        if is_none { files } else { ours }
    } else if holds_memories(path)? {
        (vec![path.to_owned()], Vec::new())
    } else {
        (Vec::new(), vec![path.to_owned()])
    };
    if memory_files.is_empty() && conversation_files.is_empty() {
        let shown = path.display();
        return Err(Unusable(format!(
            "{shown} holds neither: expected {EXPECTED}"
        )));
    }
    // A first file that is none imports nothing, a later one is passed over like any record.
    let mut memory_files = memory_files.into_iter();
    let first = memory_files
        .next()
        .map(|file| memories(&file, &options.space));
    let space = options.space.clone();
    let rest = memory_files.flat_map(move |file| {
        let (made, skipped) = match memories(&file, &space) {
            Ok(made) => (Some(made), None),
            Err(Unusable(why)) => {
                let place = name_of(&file);
                (None, Some(Err(Skipped { place, why })))
            }
        };
        skipped.into_iter().chain(made.into_iter().flatten())
    });
    let first = first.transpose()?.into_iter().flatten();
    let found: Box<dyn Iterator<Item = Found> + Send> = Box::new(first.chain(rest));
    if conversation_files.is_empty() {
        return Ok(Records {
            kind: Kind::Claude,
            total: None,
            left: Vec::new(),
            found: Box::new(found.map(Ok)),
        });
    }
    let (space, all) = (options.space.clone(), options.conversations);
    let read = move |place: &str, conversation: &Value| {
        if all {
            turns(place, conversation, &space)
        } else {
            VecDeque::new()
        }
    };
    let form = Form {
        keys: &["chat_messages"],
        element: "conversation",
        expected: EXPECTED,
    };
    let records = chatgpt::lists(Kind::Claude, conversation_files, form, options, read)?;
    Ok(Records {
        found: Box::new(found.map(Ok).chain(records.found)),
        ..records
    })
}

/// Whether a file begins with what it remembers, and not with conversations.
fn holds_memories(file: &Path) -> Result<bool, Unusable> {
    let mut start = Vec::new();
    let read = bytes::open(file, EXPECTED)?
        .take(START_BYTES)
        .read_to_end(&mut start);
    read.map_err(|error| unreadable(file, &error))?;
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    let of = |keys: &[&[u8]], _| {
        let has = |key: &str| keys.contains(&key.as_bytes());
        let is_memory = KEYS.iter().any(|key| has(key));
        (is_memory || has("chat_messages")).then_some(is_memory)
    };
    Ok(detect::first_of(start, of).unwrap_or(false))
}

fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What it remembers: of the user, of each project, and in files of its own; one memory after the other, since each says
/// again of which project it is.
fn memories(
    file: &Path,
    space: &SpaceName,
) -> Result<impl Iterator<Item = Found> + Send + use<>, Unusable> {
    let items = match bytes::json(file, EXPECTED)? {
        Value::Array(list) => list,
        object @ Value::Object(_) => vec![object],
        _ => {
            let shown = file.display();
            return Err(Unusable(format!(
                "{shown} holds no memories: expected {EXPECTED}"
            )));
        }
    };
    let is_any = |item: &Value| KEYS.iter().any(|key| item.get(key).is_some());
    if !items.is_empty() && !items.iter().any(is_any) {
        let shown = file.display();
        return Err(Unusable(format!(
            "{shown} holds none of {}: expected {EXPECTED}",
            KEYS.join(", ")
        )));
    }
    let (place, space) = (name_of(file), space.clone());
    let told = items.into_iter().flat_map(told).flat_map(Told::pieces);
    Ok(told.map(move |loose| {
        let made = loose.and_then(|loose| loose.settle(&space));
        made.map_err(|why| Skipped {
            place: place.clone(),
            why,
        })
    }))
}

/// A part of what it remembers.
enum Told {
    /// Of the user or a project: a memory for each paragraph.
    Text(Paragraphs),
    /// A file of its own.
    File(Value),
    /// It cannot be read: one sentence.
    Bad(String),
}

/// What an item of a file tells.
fn told(mut item: Value) -> Vec<Told> {
    let mut take = |key: &str| item.get_mut(key).map(Value::take).unwrap_or_default();
    let bad = |key: &str, expected: &str| vec![Told::Bad(format!("its {key} is no {expected}"))];
    let paragraphs = |text: String, rest: Map<String, Value>| {
        let at = 0;
        Told::Text(Paragraphs { text, at, rest })
    };
    let project = |(id, text): (String, Value)| match text {
        Value::Null => None,
        Value::String(_) if id.len() > PROJECT_BYTES_MAX => {
            let length = id.len();
            Some(Told::Bad(format!(
                "the id of a project has {length} bytes: expected at most {PROJECT_BYTES_MAX}"
            )))
        }
        Value::String(text) => {
            let rest = Map::from_iter([("project".to_owned(), Value::String(id))]);
            Some(paragraphs(text, rest))
        }
        _ => Some(Told::Bad(
            "what it remembers of a project is no text".to_owned(),
        )),
    };
    let mut told = match take(KEYS[0]) {
        Value::Null => Vec::new(),
        Value::String(text) => vec![paragraphs(text, Map::new())],
        _ => bad(KEYS[0], "text"),
    };
    told.extend(match take(KEYS[1]) {
        Value::Null => Vec::new(),
        Value::Object(projects) => projects.into_iter().filter_map(project).collect(),
        _ => bad(KEYS[1], "object"),
    });
    told.extend(match take(KEYS[2]) {
        Value::Null => Vec::new(),
        Value::Array(files) => files.into_iter().map(Told::File).collect(),
        _ => bad(KEYS[2], "list"),
    });
    told
}

impl Told {
    /// What memories are made of.
    fn pieces(self) -> Box<dyn Iterator<Item = Result<Loose, String>> + Send> {
        match self {
            Self::Text(paragraphs) => Box::new(paragraphs.map(Ok)),
            Self::File(file) => Box::new(memory_file(file).transpose().into_iter()),
            Self::Bad(why) => Box::new(std::iter::once(Err(why))),
        }
    }
}

/// What it remembers in a file; `None` if that is nothing.
fn memory_file(mut file: Value) -> Result<Option<Loose>, String> {
    let Some(Value::String(text)) = file.get_mut("content").map(Value::take) else {
        return Err("a file of what it remembers has no content".to_owned());
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let path = file.get_mut("path").map(Value::take).unwrap_or_default();
    let rest = Map::from_iter([("path".to_owned(), path)]);
    let stored_at = file.get("updated_at").and_then(moment);
    Ok(Some(loose(text, stored_at, rest)))
}

fn loose(text: String, stored_at: Option<Timestamp>, rest: Map<String, Value>) -> Loose {
    Loose {
        text,
        tags: vec!["claude".to_owned()],
        stored_at,
        rest,
        ..Loose::default()
    }
}

/// A text cut at blank lines: a paragraph is what it knows of one thing.
struct Paragraphs {
    text: String,
    /// Bytes that were read.
    at: usize,
    rest: Map<String, Value>,
}

impl Iterator for Paragraphs {
    type Item = Loose;

    fn next(&mut self) -> Option<Loose> {
        while self.at < self.text.len() {
            let left = &self.text[self.at..];
            let (part, used) = match left.split_once("\n\n") {
                Some((part, _)) => (part, part.len() + 2),
                None => (left, left.len()),
            };
            self.at += used;
            if !part.trim().is_empty() {
                return Some(loose(part.to_owned(), None, self.rest.clone()));
            }
        }
        None
    }
}

/// The turns of a conversation.
fn turns(place: &str, conversation: &Value, space: &SpaceName) -> VecDeque<Found> {
    let session = chatgpt::session(conversation, "name", &["uuid"]);
    let messages = conversation.get("chat_messages").and_then(Value::as_array);
    let turn = |message: &Value| {
        let text = text(message);
        if text.trim().is_empty() {
            return None;
        }
        let at = message.get("created_at").and_then(moment);
        let is_user = message.get("sender").and_then(Value::as_str) == Some("human");
        let loose = Loose {
            text,
            stored_at: at,
            occurred_at: at,
            speaker: Some(if is_user { "user" } else { "assistant" }.to_owned()),
            session: Some(session.clone()),
            ..Loose::default()
        };
        Some(loose.settle(space).map_err(|why| Skipped {
            place: place.to_owned(),
            why,
        }))
    };
    messages.into_iter().flatten().filter_map(turn).collect()
}

fn text(message: &Value) -> String {
    let plain = message.get("text").and_then(Value::as_str);
    if let Some(text) = plain.filter(|text| !text.trim().is_empty()) {
        return text.to_owned();
    }
    let parts = message.get("content").and_then(Value::as_array);
    let texts = parts.into_iter().flatten();
    let texts = texts.filter_map(|part| part.get("text").and_then(Value::as_str));
    texts.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::{self, outcome};
    use venom_fuzz::Target;

    #[test]
    fn what_cannot_be_kept_is_told() {
        let long = "p".repeat(PROJECT_BYTES_MAX + 1);
        let text = format!(
            r#"{{"conversations_memory": ["a"], "project_memories": {{"a": "one\n\n\n\ntwo", "b": null, "c": 7, "{long}":
               "b\n\nc"}}, "memory_files": [{{"content": "three", "path": "/a"}}, 7, {{"content": " "}}]}}"#
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("memories.json");
        std::fs::write(&path, text).expect("it can be written");
        let read = fuzzed::read(&path, None, 9);
        let texts = read.memories.iter().map(|new| new.content.as_str());
        assert_eq!(texts.collect::<Vec<_>>(), ["one", "two", "three"]);
        let told = read
            .skipped
            .iter()
            .map(|it| format!("{}: {}", it.place, it.why));
        let expected = [
            "memories.json: its conversations_memory is no text",
            "memories.json: what it remembers of a project is no text",
            "memories.json: the id of a project has 257 bytes: expected at most 256",
            "memories.json: a file of what it remembers has no content",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn fuzz_import_claude() {
        Target::new("import-claude")
            .words(&[
                "\"conversations_memory\":",
                "\"project_memories\":",
                "\"memory_files\":",
                "\"path\":",
                "\"content\":",
                "\"updated_at\":",
                "\"chat_messages\":",
                "\"uuid\":",
                "\"name\":",
                "\"sender\":",
                "\"human\"",
                "\"text\":",
                "\"created_at\":",
                "\\n\\n",
                "{\"uuid\":",
                "}",
                "]",
                ",",
            ])
            .run(|bytes| outcome(Some(Kind::Claude), "claude.json", bytes));
    }
}
