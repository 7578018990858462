//! JSON lines: one memory each, as `venom export` writes them. Also what others write that has a text and perhaps an
//! id, tags and times.

use crate::bytes::{self, LINE_BYTES_MAX};
use crate::lines::{self, Line, Lines};
use crate::lists::{Form, lists};
use crate::record::{Loose, take_moment, take_tags, take_text};
use crate::start::{NoStart, start};
use crate::{Found, Kind, Options, Records, Skipped, Unusable, json, mem0};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::path::Path;
use venom_core::{ClientName, InputError, Source, SpaceName, TokenName};

const EXPECTED: &str = "JSON lines with a \"content\" each";
/// What the text of a memory is called.
const TEXTS: [&str; 3] = ["content", "text", "memory"];
/// Bytes of a file by which it is told whether it is a list.
const LIST_START_BYTES: u64 = 1024;

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    if is_list(path)? {
        return list(path, options);
    }
    let total = lines::count(bytes::open(path, EXPECTED)?);
    let total = total.map_err(|error| bytes::unreadable(path, &error))?;
    let space = options.space.clone();
    let shown = path.display().to_string();
    let mut lines = Lines::new(bytes::open(path, EXPECTED)?, LINE_BYTES_MAX);
    let mut next = move || {
        let (number, line) = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return None,
            Err(error) => return Some(Err(Unusable(format!("{shown} cannot be read: {error}")))),
        };
        let place = format!("line {number}");
        Some(Ok(crate::found(place, read(line, &space))))
    };
    let shown = path.display();
    let start = start(&mut next).map_err(|refused| match refused {
        NoStart::Broken(unusable) => unusable,
        NoStart::Bad(Skipped { place, why }) => Unusable(format!(
            "{shown} is not what it should be: expected {EXPECTED}, but of {place} {why}"
        )),
    })?;
    let Some(first) = start.first else {
        return Err(Unusable(format!("{shown} is blank: expected {EXPECTED}")));
    };
    let skipped = start.skipped.into_iter().map(|skipped| Ok(Err(skipped)));
    let start = skipped.chain(std::iter::once(Ok(Ok(first))));
    Ok(Records {
        kind: Kind::Jsonl,
        total: Some(total),
        left: Vec::new(),
        found: Box::new(start.chain(std::iter::from_fn(next))),
    })
}

/// Whether a file is one JSON list of objects rather than lines of them.
fn is_list(path: &Path) -> Result<bool, Unusable> {
    let start = bytes::start(path, LIST_START_BYTES, EXPECTED)?;
    let rest = bytes::without_mark(&start).trim_ascii_start();
    let rest = rest.strip_prefix(b"[");
    Ok(rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"{")))
}

/// The same records in one JSON list.
fn list(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let space = options.space.clone();
    let read = move |place: &str, value: &Value| {
        let make = |object| loose(object, &space);
        VecDeque::from([item(value.clone(), place.to_owned(), make)])
    };
    let form = Form {
        keys: &TEXTS,
        element: "record",
        expected: EXPECTED,
    };
    lists(Kind::Jsonl, vec![path.to_owned()], form, options, read)
}

fn read(line: Line, space: &SpaceName) -> Result<venom_core::NewImport, String> {
    let text = match line {
        Line::Text(text) => text,
        Line::Bad(why) => return Err(why),
    };
    match json::parse_line(&text, LINE_BYTES_MAX)? {
        Value::Object(object) => loose(object, space),
        _ => Err("it is no JSON object: expected one with a content".to_owned()),
    }
}

/// A memory from an object of whatever program; mem0 has names of its own.
fn loose(object: Map<String, Value>, space: &SpaceName) -> Result<venom_core::NewImport, String> {
    let is_of_mem0 = !object.contains_key("content") && !object.contains_key("text");
    memory(
        if is_of_mem0 {
            mem0::renamed(object)
        } else {
            object
        },
        space,
    )
}

/// A memory from an object with its fields.
pub(crate) fn memory(
    mut object: Map<String, Value>,
    space: &SpaceName,
) -> Result<venom_core::NewImport, String> {
    let is_ours = object.contains_key("memory_id");
    let text = take_text(&mut object, &TEXTS).ok_or("it has no content: expected a text")?;
    let mut loose = Loose {
        id: take_text(&mut object, &["memory_id", "id"]),
        space: take_text(&mut object, &["space"]),
        text,
        tags: take_tags(&mut object, &["tags"]),
        stored_at: time(&mut object, &["timestamp", "created_at", "stored_at"])?,
        occurred_at: time(&mut object, &["occurred_at"])?,
        speaker: take_text(&mut object, &["speaker"]),
        session: take_text(&mut object, &["session"]),
        source: source(&mut object)?.or_else(|| is_ours.then(Source::default)),
        ..Loose::default()
    };
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        loose.rest = std::mem::take(metadata);
        object.remove("metadata");
    }
    for (key, value) in object {
        if !value.is_null() {
            loose.keep(&key, value);
        }
    }
    loose.settle(space)
}

/// A time; one that cannot be read is a mistake, not to be passed over.
fn time(
    object: &mut Map<String, Value>,
    keys: &[&'static str],
) -> Result<Option<venom_core::Timestamp>, String> {
    const FORMS: &str = "RFC 3339 or seconds since 1970";
    if let Some(moment) = take_moment(object, keys) {
        return Ok(Some(moment));
    }
    for key in keys {
        let received = match object.get(*key) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        return Err(InputError::malformed(key, FORMS, &received).to_string());
    }
    Ok(None)
}

/// Through whom it came in; `None` if it does not say.
fn source(object: &mut Map<String, Value>) -> Result<Option<Source>, String> {
    let Some(Value::Object(origin)) = object.get("origin") else {
        return Ok(None);
    };
    let text = |key: &str| origin.get(key).and_then(Value::as_str);
    let client = text("client").map(ClientName::parse).transpose();
    let token = text("token").map(TokenName::parse).transpose();
    let source = Source {
        client: client.map_err(|error| error.to_string())?,
        token: token.map_err(|error| error.to_string())?,
    };
    object.remove("origin");
    Ok(Some(source))
}

/// The same as an item of a source.
pub(crate) fn item(
    value: Value,
    place: String,
    make: impl FnOnce(Map<String, Value>) -> Result<venom_core::NewImport, String>,
) -> Found {
    let memory = match value {
        Value::Object(object) => make(object),
        _ => Err("it is no JSON object".to_owned()),
    };
    crate::found(place, memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::outcome;
    use serde_json::json;
    use venom_fuzz::Target;

    /// Fields and metadata of one name, names that cannot be kept as such, and what mem0 calls by other names.
    #[test]
    fn nothing_is_lost_where_names_meet() {
        let space = SpaceName::parse("default").expect("a name");
        let long = "n".repeat(200);
        for (record, expected) in [
            (
                json!({"content": "x", "a": 2, "metadata": {"a": 1}}),
                json!({"a": 1, "a_": 2}),
            ),
            (
                json!({"content": "x", "a": 1, "metadata": {"a": 1}}),
                json!({"a": 1}),
            ),
            (
                json!({"content": "x", "speaker": long, "metadata": {"speaker": "y"}}),
                json!({"speaker": "y", "speaker_": long}),
            ),
            (
                json!({"content": "x", "id": "b", "metadata": {"original_id": "a"}}),
                json!({"original_id": "a", "original_id_": "b"}),
            ),
            (
                json!({"memory": "x", "categories": ["a"], "tags": ["b"]}),
                json!({"categories": ["a"]}),
            ),
        ] {
            let Value::Object(object) = record.clone() else {
                panic!("it is an object")
            };
            let made = loose(object, &space).expect("a memory");
            let kept = made.metadata.expect("there is more");
            let kept: Value = serde_json::from_str(kept.as_str()).expect("JSON");
            assert_eq!(kept, expected, "{record}");
        }
    }

    #[test]
    fn fuzz_import_lines() {
        Target::new("import-lines")
            .words(&[
                "\"memory_id\":",
                "\"mem_1700000000\"",
                "\"content\":",
                "\"text\":",
                "\"tags\":",
                "\"timestamp\":",
                "\"occurred_at\":",
                "\"speaker\":",
                "\"session\":",
                "\"space\":",
                "\"origin\":",
                "\"client\":",
                "\"metadata\":",
                "\n",
                "\\ud800",
                "\"9999-12-30T21:59:59.999999Z\"",
                "253402207199999999",
            ])
            .run(|bytes| outcome(Some(Kind::Jsonl), "lines.jsonl", bytes));
    }
}
