//! The data export of Claude: `memories.json`, what it remembers, and `conversations.json`, whose turns come on demand.

use crate::bytes::{self, FILE_BYTES_MAX};
use crate::chatgpt;
use crate::elements::Elements;
use crate::record::{Loose, moment};
use crate::{Found, Kind, Options, Records, Skipped, Unusable};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::path::Path;
use venom_core::SpaceName;

const EXPECTED: &str = "memories.json or conversations.json of a data export of Claude";
const MEMORIES: &str = "memories.json";
const CONVERSATIONS: &str = "conversations.json";

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let is_folder = path.is_dir();
    let named = |name: &str| is_folder || path.file_name().is_some_and(|it| it == name);
    let mut found = VecDeque::new();
    let has_memories = named(MEMORIES) && (!is_folder || path.join(MEMORIES).exists());
    if has_memories {
        let file = bytes::file_of(path, MEMORIES, EXPECTED)?;
        found = memories(&file, &options.space)?;
    }
    let has_turns = if is_folder {
        path.join(CONVERSATIONS).exists()
    } else {
        !has_memories
    };
    if !has_turns {
        if !has_memories {
            let shown = path.display();
            return Err(Unusable(format!(
                "{shown} holds neither: expected {EXPECTED}"
            )));
        }
        return Ok(Records {
            kind: Kind::Claude,
            total: Some(found.len() as u64),
            found: Box::new(found.into_iter().map(Ok)),
        });
    }
    let file = bytes::file_of(path, CONVERSATIONS, EXPECTED)?;
    let elements = Elements::new(bytes::open(&file, EXPECTED)?);
    let (space, all) = (options.space.clone(), options.conversations);
    let read = move |place: &str, conversation: &Value| {
        if all {
            turns(place, conversation, &space)
        } else {
            VecDeque::new()
        }
    };
    let records = chatgpt::list(Kind::Claude, &file, elements, "chat_messages", read)?;
    Ok(Records {
        found: Box::new(found.into_iter().map(Ok).chain(records.found)),
        ..records
    })
}

/// What it remembers: of the user, and of each project.
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
    let mut found = VecDeque::new();
    for item in &list {
        let mut note = |text: &str, project: Option<&str>| {
            let mut rest = Map::new();
            if let Some(project) = project {
                rest.insert("project".to_owned(), Value::String(project.to_owned()));
            }
            // A paragraph is what it knows of one thing.
            for part in text.split("\n\n").filter(|part| !part.trim().is_empty()) {
                let loose = Loose {
                    text: part.to_owned(),
                    tags: vec!["claude".to_owned()],
                    rest: rest.clone(),
                    ..Loose::default()
                };
                found.push_back(loose.settle(space).map_err(|why| Skipped {
                    place: MEMORIES.to_owned(),
                    why,
                }));
            }
        };
        if let Some(text) = item.get("conversations_memory").and_then(Value::as_str) {
            note(text, None);
        }
        let projects = item.get("project_memories").and_then(Value::as_object);
        for (project, text) in projects.into_iter().flatten() {
            note(text.as_str().unwrap_or_default(), Some(project));
        }
    }
    Ok(found)
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
