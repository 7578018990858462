//! The data export of ChatGPT: `conversations.json`, a list of trees of messages.
//!
//! What it was told to remember stands there as messages to the tool `bio`; these are its saved memories. The turns of
//! conversations come on demand: those that lead to the last one shown, of the user and the assistant.

use crate::bytes;
use crate::elements::{Element, Elements};
use crate::record::{Loose, moment};
use crate::{Found, Kind, Options, Records, Skipped, Unusable};
use serde_json::{Map, Value};
use std::collections::{HashSet, VecDeque};
use std::path::Path;
use venom_core::SpaceName;

const EXPECTED: &str = "conversations.json of a data export of ChatGPT";
/// Characters of a title in the name of a session.
const TITLE_CHARS_MAX: usize = 100;

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let file = bytes::file_of(path, "conversations.json", EXPECTED)?;
    let elements = Elements::new(bytes::open(&file, EXPECTED)?);
    let (space, all) = (options.space.clone(), options.conversations);
    let read = move |place: &str, conversation: &Value| turns(place, conversation, all, &space);
    list(Kind::ChatGpt, &file, elements, "mapping", read)
}

/// Reads a list of conversations one by one.
pub(crate) fn list(
    kind: Kind,
    file: &Path,
    mut elements: Elements,
    key: &'static str,
    read: impl Fn(&str, &Value) -> VecDeque<Found> + Send + 'static,
) -> Result<Records, Unusable> {
    let shown = file.display().to_string();
    let mut next = move || match elements.next() {
        Ok(None) => None,
        Ok(Some((number, Element::Value(value)))) if value.get(key).is_some() => {
            Some(Ok(read(&format!("conversation {number}"), &value)))
        }
        Ok(Some((number, Element::Value(_)))) => Some(Err((
            number,
            format!("conversation {number} has no {key:?}"),
        ))),
        Ok(Some((number, Element::Bad(why)))) => {
            Some(Err((number, format!("conversation {number}: {why}"))))
        }
        Ok(Some((_, Element::Broken(why)))) => Some(Err((0, why))),
        Err(error) => Some(Err((0, error.to_string()))),
    };
    let broken = |why: &str| Unusable(format!("{shown} cannot be read as {}: {why}", kind.name()));
    // A file that is broken at its start imports nothing.
    let mut ready = match next() {
        Some(Ok(found)) => found,
        Some(Err((_, why))) => return Err(broken(&why)),
        None => VecDeque::new(),
    };
    let shown = shown.clone();
    let found = move || {
        while ready.is_empty() {
            match next()? {
                Ok(found) => ready = found,
                Err((0, why)) => {
                    return Some(Err(Unusable(format!(
                        "{shown} cannot be read further: {why}"
                    ))));
                }
                Err((number, why)) => ready.push_back(Err(Skipped {
                    place: format!("conversation {number}"),
                    why,
                })),
            }
        }
        ready.pop_front().map(Ok)
    };
    Ok(Records {
        kind,
        total: None,
        found: Box::new(std::iter::from_fn(found)),
    })
}

/// What a conversation makes.
fn turns(place: &str, conversation: &Value, all: bool, space: &SpaceName) -> VecDeque<Found> {
    let empty = Map::new();
    let nodes = conversation
        .get("mapping")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let session = session(conversation, "title", &["conversation_id", "id"]);
    let mut found = VecDeque::new();
    for node in path(conversation, nodes) {
        let Some(message) = nodes.get(node).and_then(|node| node.get("message")) else {
            continue;
        };
        let role = message
            .pointer("/author/role")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let recipient = message
            .get("recipient")
            .and_then(Value::as_str)
            .unwrap_or("all");
        let is_saved = recipient == "bio" && role == "assistant";
        let is_turn = all && recipient == "all" && ["user", "assistant"].contains(&role);
        let text = parts(message);
        if !(is_saved || is_turn) || text.trim().is_empty() {
            continue;
        }
        let at = message.get("create_time").and_then(moment);
        let at = at.or_else(|| conversation.get("create_time").and_then(moment));
        let loose = Loose {
            text,
            tags: if is_saved {
                vec!["chatgpt".to_owned()]
            } else {
                Vec::new()
            },
            stored_at: at,
            occurred_at: at.filter(|_| is_turn),
            speaker: is_turn.then(|| role.to_owned()),
            session: is_turn.then(|| session.clone()),
            ..Loose::default()
        };
        found.push_back(loose.settle(space).map_err(|why| Skipped {
            place: place.to_owned(),
            why,
        }));
    }
    found
}

/// The nodes from the root to the one that was shown last; all of them, as they stand, if it is not said which.
fn path<'a>(conversation: &'a Value, nodes: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut path = Vec::new();
    let mut seen = HashSet::new();
    let mut at = conversation.get("current_node").and_then(Value::as_str);
    while let Some(id) = at {
        // A hostile file may have a circle.
        if !seen.insert(id) {
            break;
        }
        path.push(id);
        at = nodes
            .get(id)
            .and_then(|node| node.get("parent"))
            .and_then(Value::as_str);
    }
    path.reverse();
    if path.is_empty() {
        path.extend(nodes.keys().map(String::as_str));
    }
    path
}

fn parts(message: &Value) -> String {
    let parts = message.pointer("/content/parts").and_then(Value::as_array);
    let texts = parts.into_iter().flatten().filter_map(Value::as_str);
    texts.collect::<Vec<_>>().join("\n")
}

/// A name for a conversation: its title and the start of its id.
pub(crate) fn session(conversation: &Value, title: &str, ids: &[&str]) -> String {
    let text = |key: &str| conversation.get(key).and_then(Value::as_str);
    let id = ids.iter().find_map(|key| text(key)).unwrap_or_default();
    let title = text(title).filter(|title| !title.trim().is_empty());
    let title: String = title
        .unwrap_or("conversation")
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE_CHARS_MAX)
        .collect();
    let id: String = id.chars().filter(|c| !c.is_control()).take(8).collect();
    format!("{} {id}", title.trim()).trim().to_owned()
}
