//! The data export of Claude: what it remembers, `memories.json` or the files of the folder `memories`, and
//! `conversations.json`, whose turns come on demand. It comes as one archive or as one of each.

use crate::bytes::{self, unreadable};
use crate::chatgpt::{self, CONVERSATIONS};
use crate::lists::{Form, lists};
use crate::record::{Loose, moment};
use crate::{Found, Kind, Options, Records, Skipped, Unusable, Watch, detect, several};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::path::Path;
use venom_core::{NewImport, SpaceName, Timestamp};

const EXPECTED: &str = "memories.json or conversations.json of a data export of Claude";
/// Name of the files and of the folder with what it remembers.
pub(crate) const MEMORIES: &str = "memories";
/// Name of the files with what was written in its projects.
const PROJECTS: &str = "projects";
/// What it remembers: of the user, of each project by its id, and by topic in files of its own.
pub(crate) const KEYS: [&str; 3] = ["conversations_memory", "project_memories", "memory_files"];
/// Longest id of a project, in bytes: each memory of it has it.
const PROJECT_BYTES_MAX: usize = 256;

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
    if found.is_dir() {
        pass_over_projects(path, &options.watch);
    }
    if memory_files.is_empty() && conversation_files.is_empty() {
        let shown = path.display();
        return Err(Unusable(format!(
            "{shown} holds neither: expected {EXPECTED}"
        )));
    }
    // A first file that is none imports nothing, a later one is passed over like any record.
    let are_memories = !memory_files.is_empty();
    let mut memory_files = memory_files.into_iter();
    let first = memory_files
        .next()
        .map(|file| memories(&file, &options.space));
    let space = options.space.clone();
    let rest = memory_files.flat_map(move |file| {
        let (made, skipped) = match memories(&file, &space) {
            Ok(made) => (Some(made), None),
            Err(unusable) => {
                let place = bytes::name_of(&file);
                let why = crate::calling("it", &file, &unusable);
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
    let first_file = conversation_files.first().cloned();
    let records = lists(Kind::Claude, conversation_files, form, options, read);
    let conversations = match (records, first_file) {
        (Ok(records), _) => records.found,
        // They stop no memories.
        (Err(unusable), Some(file)) if are_memories => {
            let refused = several::among_others((&bytes::name_of(&file), &file), Err(unusable));
            Box::new(std::iter::once(Ok(refused)))
        }
        (Err(unusable), _) => return Err(unusable),
    };
    Ok(Records {
        kind: Kind::Claude,
        total: None,
        left: Vec::new(),
        found: Box::new(found.map(Ok).chain(conversations)),
    })
}

/// Counts what was written in projects: documents are no memories, nor are templates.
fn pass_over_projects(folder: &Path, watch: &Watch) {
    for file in bytes::parts_of(folder, PROJECTS, true) {
        let projects = match bytes::json(&file, EXPECTED) {
            Ok(Value::Array(projects)) => projects,
            Ok(project) => vec![project],
            Err(_) => Vec::new(),
        };
        let documents = |project: &Value| Some(project.get("docs")?.as_array()?.len() as u64);
        let documents = projects.iter().filter_map(documents).sum();
        watch.pass_over("documents of projects (projects.json)", documents);
        let template = |project: &&Value| {
            let text = project.get("prompt_template").and_then(Value::as_str);
            text.is_some_and(|text| !text.trim().is_empty())
        };
        let templates = projects.iter().filter(template).count() as u64;
        watch.pass_over("prompt templates of projects (projects.json)", templates);
    }
}

/// Whether a file begins with what it remembers, and not with conversations.
fn holds_memories(file: &Path) -> Result<bool, Unusable> {
    let start = bytes::start(file, bytes::START_BYTES, EXPECTED)?;
    let of = |keys: &[&[u8]], _| {
        let has = |key: &str| keys.contains(&key.as_bytes());
        let is_memory = KEYS.iter().any(|key| has(key));
        (is_memory || has("chat_messages")).then_some(is_memory)
    };
    Ok(detect::first_of(bytes::without_mark(&start), of).unwrap_or(false))
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
    let (name, space) = (bytes::name_of(file), space.clone());
    let told = items.into_iter().flat_map(told).flat_map(Told::pieces);
    Ok((1_u64..).zip(told).map(move |(number, loose)| {
        let made = loose.and_then(|loose| loose.settle(&space));
        crate::found(format!("{name}, memory {number}"), made)
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
        Told::Text(Paragraphs {
            text,
            at: 0,
            heading: String::new(),
            rest,
        })
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
    /// The heading that stands above, if there is one.
    heading: String,
    rest: Map<String, Value>,
}

/// Longest line that is taken for a heading, in bytes: it is put before each paragraph below it.
const HEADING_BYTES_MAX: usize = 120;

/// Whether a paragraph is a heading: one line that is all bold, or begins with #.
fn is_heading(part: &str) -> bool {
    let part = part.trim();
    let bold = part.strip_prefix("**").and_then(|it| it.strip_suffix("**"));
    let is_bold = bold.is_some_and(|it| !it.is_empty() && !it.contains("**"));
    let is_marked = part.trim_start_matches('#').starts_with(' ') && part.starts_with('#');
    !part.contains('\n') && part.len() <= HEADING_BYTES_MAX && (is_bold || is_marked)
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
            if part.trim().is_empty() {
                continue;
            }
            if is_heading(part) {
                self.heading = part.trim().to_owned();
                continue;
            }
            // A heading says nothing alone, and what is below it says more with it.
            let text = if self.heading.is_empty() {
                part.to_owned()
            } else {
                format!("{}\n{part}", self.heading)
            };
            return Some(loose(text, None, self.rest.clone()));
        }
        None
    }
}

/// The turns of a conversation.
fn turns(place: &str, conversation: &Value, space: &SpaceName) -> VecDeque<Found> {
    let session = chatgpt::session(conversation, "name", &["uuid"]);
    let conversation_id = chatgpt::id_of(conversation, &["uuid"]);
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
        let id = message.get("uuid").and_then(Value::as_str);
        let made = loose.settle(space).map(|new| NewImport {
            turn: id.and_then(|id| chatgpt::turn_id(conversation_id, id)),
            ..new
        });
        Some(crate::found(place.to_owned(), made))
    };
    messages.into_iter().flatten().filter_map(turn).collect()
}

/// What was said, and behind it the texts that were attached, each under its name.
fn text(message: &Value) -> String {
    let plain = message.get("text").and_then(Value::as_str);
    let parted = || {
        let parts = message.get("content").and_then(Value::as_array);
        let texts = parts.into_iter().flatten();
        let texts = texts.filter_map(|part| part.get("text").and_then(Value::as_str));
        texts.collect::<Vec<_>>().join("\n")
    };
    let plain = plain.filter(|text| !text.trim().is_empty());
    let mut text = plain.map_or_else(parted, str::to_owned);
    let attached = message.get("attachments").and_then(Value::as_array);
    for attachment in attached.into_iter().flatten() {
        let said = |key: &str| attachment.get(key).and_then(Value::as_str).map(str::trim);
        let content = said("extracted_content").filter(|content| !content.is_empty());
        let Some(content) = content else {
            continue;
        };
        let name = said("file_name").filter(|name| !name.is_empty());
        text = format!("{text}\n\n{}:\n{content}", name.unwrap_or("attachment"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::{self, outcome};
    use serde_json::json;
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
            "memories.json, memory 1: its conversations_memory is no text",
            "memories.json, memory 4: what it remembers of a project is no text",
            "memories.json, memory 5: the id of a project has 257 bytes: expected at most 256",
            "memories.json, memory 7: a file of what it remembers has no content",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_heading_stands_above_what_is_below_it() {
        let text = "**Work**\n\nShe is a nurse.\n\nIn Graz.\n\n# Home\n\n**Both** are bold **here**\n\n**Last**";
        let paragraphs = Paragraphs {
            text: text.to_owned(),
            at: 0,
            heading: String::new(),
            rest: Map::new(),
        };
        let texts: Vec<String> = paragraphs.map(|loose| loose.text).collect();
        let expected = [
            "**Work**\nShe is a nurse.",
            "**Work**\nIn Graz.",
            "# Home\n**Both** are bold **here**",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn what_was_attached_stands_below_what_was_said() {
        let message = json!({"text": "See this", "attachments": [{"file_name": "pie.txt", "extracted_content": "3 apples\n"},
            {"extracted_content": "flour"}, {"file_name": "empty"}, 7]});
        assert_eq!(
            text(&message),
            "See this\n\npie.txt:\n3 apples\n\nattachment:\nflour"
        );
    }

    #[test]
    fn projects_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let projects = json!([{"name": "a", "docs": [{}, {}], "prompt_template": "b"}, {"name": "c", "prompt_template": ""}]);
        let file = |name: &str, value: Value| {
            std::fs::write(folder.path().join(name), value.to_string()).expect("it can be written");
        };
        file("projects.json", projects);
        file("memories.json", json!({"conversations_memory": "one"}));
        let options = fuzzed::options(folder.path());
        let records = crate::open(folder.path(), None, &options).expect("it can be read");
        assert_eq!((records.kind, records.found.count()), (Kind::Claude, 1));
        let passed = options.watch.passed_over();
        let passed: Vec<_> = passed
            .iter()
            .map(|(what, count)| (&what[..9], *count))
            .collect();
        assert_eq!(passed, [("documents", 2), ("prompt te", 1)]);
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
