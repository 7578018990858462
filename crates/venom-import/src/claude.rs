//! The data export of Claude: what it remembers, `memories.json` or the files of the folder `memories`, and
//! `conversations.json`, whose turns come on demand. It comes as one archive or as one of each.

use crate::bytes::{self, FILE_BYTES_MAX, unreadable};
use crate::chatgpt::{self, CONVERSATIONS};
use crate::record::{Loose, moment};
use crate::{Found, Kind, Options, Records, Skipped, Unusable};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::io::Read as _;
use std::path::Path;
use venom_core::{SpaceName, Timestamp};

const EXPECTED: &str = "memories.json or conversations.json of a data export of Claude";
/// Name of the files and of the folder with what it remembers.
const MEMORIES: &str = "memories";
/// What it remembers: of the user, of each project by its id, and by topic in files of its own.
const KEYS: [&str; 3] = ["conversations_memory", "project_memories", "memory_files"];
/// Bytes of a file by which it is told what is in it.
const START_BYTES: u64 = 64 * 1024;

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let (memory_files, conversation_files) = if found.is_dir() {
        (
            bytes::parts_of(path, MEMORIES, true),
            bytes::parts_of(path, CONVERSATIONS, false),
        )
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
    let mut found = VecDeque::new();
    for file in &memory_files {
        found.extend(memories(file, &options.space)?);
    }
    if conversation_files.is_empty() {
        return Ok(Records {
            kind: Kind::Claude,
            total: Some(found.len() as u64),
            found: Box::new(found.into_iter().map(Ok)),
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
    let key = ("chat_messages", EXPECTED);
    let records = chatgpt::lists(Kind::Claude, conversation_files, key, read)?;
    Ok(Records {
        found: Box::new(found.into_iter().map(Ok).chain(records.found)),
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
    let start = String::from_utf8_lossy(&start);
    Ok(is_memory(&start) && !start.contains("\"chat_messages\""))
}

/// Whether a text has a key of what it remembers.
pub(crate) fn is_memory(text: &str) -> bool {
    KEYS.iter().any(|key| text.contains(&format!("\"{key}\"")))
}

/// What it remembers: of the user, of each project, and in files of its own.
fn memories(file: &Path, space: &SpaceName) -> Result<VecDeque<Found>, Unusable> {
    let shown = file.display();
    let text = bytes::text(file, FILE_BYTES_MAX, EXPECTED)?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Unusable(format!("{shown} is no JSON: expected {EXPECTED}; {error}")))?;
    let list = match value {
        Value::Array(list) => list,
        Value::Object(_) => vec![value],
        _ => {
            return Err(Unusable(format!(
                "{shown} holds no memories: expected {EXPECTED}"
            )));
        }
    };
    let place = file.file_name().unwrap_or_default().to_string_lossy();
    let mut found = VecDeque::new();
    for item in &list {
        // A paragraph is what it knows of one thing.
        let mut paragraphs = |text: &str, rest: &Map<String, Value>| {
            for part in text.split("\n\n").filter(|part| !part.trim().is_empty()) {
                found.push_back(settled(part, None, rest, (&place, space)));
            }
        };
        if let Some(text) = item.get(KEYS[0]).and_then(Value::as_str) {
            paragraphs(text, &Map::new());
        }
        let projects = item.get(KEYS[1]).and_then(Value::as_object);
        for (project, text) in projects.into_iter().flatten() {
            let rest = Map::from_iter([("project".to_owned(), json!(project))]);
            paragraphs(text.as_str().unwrap_or_default(), &rest);
        }
        let files = item.get(KEYS[2]).and_then(Value::as_array);
        for file in files.into_iter().flatten() {
            let text = file.get("content").and_then(Value::as_str);
            let text = text.unwrap_or_default();
            if text.trim().is_empty() {
                continue;
            }
            let at = file.get("updated_at").and_then(moment);
            let path = file.get("path").cloned().unwrap_or_default();
            let rest = Map::from_iter([("path".to_owned(), path)]);
            found.push_back(settled(text, at, &rest, (&place, space)));
        }
    }
    Ok(found)
}

/// A memory of what it remembers.
fn settled(
    text: &str,
    stored_at: Option<Timestamp>,
    rest: &Map<String, Value>,
    (place, space): (&str, &SpaceName),
) -> Found {
    let loose = Loose {
        text: text.to_owned(),
        tags: vec!["claude".to_owned()],
        stored_at,
        rest: rest.clone(),
        ..Loose::default()
    };
    loose.settle(space).map_err(|why| Skipped {
        place: place.to_owned(),
        why,
    })
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
