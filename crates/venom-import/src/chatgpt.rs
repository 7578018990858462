//! The data export of ChatGPT: `conversations.json`, a list of trees of messages; a large one in parts,
//! `conversations-000.json` and so on.
//!
//! What it was told to remember stands there as messages to the tool `bio`, wherever in the tree; these are its saved
//! memories. The turns of conversations come on demand: those that lead to the last one shown, of the user and the
//! assistant.

use crate::bytes::{self, unreadable};
use crate::lists::{Form, lists};
use crate::record::{Loose, moment};
use crate::{Found, Kind, Options, Records, Unusable, Watch, detect};
use serde_json::{Map, Value};
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use venom_core::{NewImport, SpaceName};

const EXPECTED: &str = "conversations.json of a data export of ChatGPT";
/// Name of the files, without the number of a part.
pub(crate) const CONVERSATIONS: &str = "conversations";
/// What the id of a conversation is called.
const IDS: [&str; 2] = ["conversation_id", "id"];
/// Longest id of a conversation or a turn by which a turn is recognised, in bytes.
const ID_BYTES_MAX: usize = 256;
/// Characters of a title in the name of a session.
const TITLE_CHARS_MAX: usize = 100;

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let files = conversations(path, EXPECTED)?;
    let (space, all) = (options.space.clone(), options.conversations);
    let watch = options.watch.clone();
    let read =
        move |place: &str, conversation: &Value| turns(place, conversation, all, (&space, &watch));
    let form = Form {
        keys: &["mapping"],
        element: "conversation",
        expected: EXPECTED,
    };
    lists(Kind::ChatGpt, files, form, options, read)
}

/// The file that was named, or the files of a folder that hold its conversations.
pub(crate) fn conversations(path: &Path, expected: &str) -> Result<Vec<PathBuf>, Unusable> {
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let files = bytes::parts_of(path, CONVERSATIONS, false);
    if files.is_empty() {
        let shown = path.display();
        return Err(Unusable(format!(
            "{shown} holds no conversations.json: expected {expected}"
        )));
    }
    let ours = detect::of_kind(&files, Kind::ChatGpt);
    // If none is, their reader says what is wrong with them.
    Ok(if ours.is_empty() { files } else { ours })
}

/// What a conversation makes.
fn turns(
    place: &str,
    conversation: &Value,
    all: bool,
    (space, watch): (&SpaceName, &Watch),
) -> VecDeque<Found> {
    let empty = Map::new();
    let nodes = conversation
        .get("mapping")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let session = session(conversation, "title", &IDS);
    let id = id_of(conversation, &IDS);
    let mut found = VecDeque::new();
    let shown = path(conversation, nodes);
    let on_path: HashSet<&str> = shown.iter().copied().collect();
    let elsewhere = nodes.keys().map(String::as_str);
    let elsewhere = elsewhere.filter(|node| !on_path.contains(node));
    for node in shown.iter().copied().chain(elsewhere) {
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
        let is_said = all && recipient == "all" && ["user", "assistant"].contains(&role);
        let is_hidden = message.pointer("/metadata/is_visually_hidden_from_conversation");
        let is_hidden = is_hidden == Some(&Value::Bool(true));
        let text = parts(message);
        let is_blank = text.trim().is_empty();
        if is_said && !is_blank && !on_path.contains(node) {
            watch.pass_over(
                "turns of other branches, which were replaced or not gone on with",
                1,
            );
        } else if is_said && !is_blank && is_hidden {
            watch.pass_over("turns that the app hides", 1);
        } else if is_said && is_blank && !is_hidden && on_path.contains(node) {
            watch.pass_over(
                "turns without a text, such as pictures and what it thought",
                1,
            );
        }
        let is_turn = is_said && !is_hidden && on_path.contains(node);
        if !(is_saved || is_turn) || is_blank {
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
        let message = message.get("id").and_then(Value::as_str).unwrap_or(node);
        let made = loose.settle(space).map(|new| NewImport {
            turn: turn_id(id, message).filter(|_| is_turn),
            ..new
        });
        found.push_back(crate::found(place.to_owned(), made));
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
    // What was spoken is a part of its own, with its words.
    let said = |part: &'_ Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
    let texts = parts.into_iter().flatten();
    let texts = texts.filter_map(|part| part.as_str().map(str::to_owned).or_else(|| said(part)));
    let text = texts.collect::<Vec<_>>().join("\n");
    // What goes to a tool may stand there as code.
    let code = message.pointer("/content/text").and_then(Value::as_str);
    if parts.is_none() {
        code.unwrap_or_default().to_owned()
    } else {
        text
    }
}

/// The id of a conversation.
pub(crate) fn id_of<'a>(conversation: &'a Value, ids: &[&str]) -> &'a str {
    let text = |key: &&str| conversation.get(*key).and_then(Value::as_str);
    ids.iter().find_map(text).unwrap_or_default()
}

/// Which turn it is, wherever its conversation is moved or renamed; `None` if that is not said.
pub(crate) fn turn_id(conversation: &str, message: &str) -> Option<String> {
    let is_plain = |id: &str| {
        !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains(|c: char| c.is_control())
    };
    (is_plain(conversation) && is_plain(message)).then(|| format!("{conversation}/{message}"))
}

/// A name for a conversation: its title and the start of its id.
pub(crate) fn session(conversation: &Value, title: &str, ids: &[&str]) -> String {
    let id = id_of(conversation, ids);
    let title = conversation.get(title).and_then(Value::as_str);
    let title = title.filter(|title| !title.trim().is_empty());
    let title: String = title
        .unwrap_or("conversation")
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE_CHARS_MAX)
        .collect();
    let id: String = id.chars().filter(|c| !c.is_control()).take(8).collect();
    format!("{} {id}", title.trim()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::outcome;
    use serde_json::json;
    use venom_fuzz::Target;

    fn node(parent: &str, role: &str, parts: &Value, hidden: bool) -> Value {
        let metadata = json!({ "is_visually_hidden_from_conversation": hidden });
        let content = json!({ "parts": parts });
        let author = json!({ "role": role });
        json!({"parent": parent, "message": {"author": author, "content": content, "metadata": metadata}})
    }

    #[test]
    fn spoken_turns_come_and_hidden_ones_are_told() {
        let spoken = json!([{"content_type": "audio_transcription", "text": "Which boat?"}, {"content_type": "audio"}]);
        let conversation = |title: &str| {
            json!({"id": "c", "title": title, "current_node": "4", "mapping": {
                "1": node("", "user", &json!(["a rule of the app"]), true),
                "2": node("1", "user", &spoken, false),
                "3": node("2", "assistant", &json!([{"asset_pointer": "file"}]), false),
                "4": node("3", "assistant", &json!(["The blue one."]), false),
                "5": node("2", "assistant", &json!(["The red one."]), false)}})
        };
        let read = |title: &str| {
            let watch = Watch::default();
            let space = SpaceName::parse("default").expect("a name");
            let found = turns("c", &conversation(title), true, (&space, &watch));
            let made: Vec<NewImport> = found
                .into_iter()
                .map(|found| found.expect("a turn").new)
                .collect();
            (made, watch.passed_over())
        };
        let (made, passed) = read("Boats");
        let texts: Vec<&str> = made.iter().map(|new| new.content.as_str()).collect();
        assert_eq!(texts, ["Which boat?", "The blue one."]);
        let passed: Vec<_> = passed
            .iter()
            .map(|(what, count)| (&what[..10], *count))
            .collect();
        assert_eq!(
            passed,
            [("turns of o", 1), ("turns that", 1), ("turns with", 1)]
        );
        // Under another name it is the same.
        let renamed = read("Blue boats").0;
        assert!(renamed[0].origin != made[0].origin);
        let keys = |made: &[NewImport]| made.iter().map(NewImport::key).collect::<Vec<_>>();
        assert_eq!(keys(&renamed), keys(&made));
    }

    #[test]
    fn among_several_files_a_conversation_is_told_by_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let parts = json!(["Which boat?"]);
        let whole = json!({"current_node": "1", "mapping": {"1": node("", "user", &parts, false)}});
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str| {
            let list = json!([whole, 7, whole]).to_string();
            std::fs::write(path(name), list).expect("it can be written");
        };
        let places = || {
            let options = crate::fuzzed::options(folder.path());
            let records = crate::open(folder.path(), None, &options).expect("it can be read");
            let places = records.found.map(|found| match found.expect("a list") {
                Ok(record) => record.place,
                Err(skipped) => format!("not {}", skipped.place),
            });
            places.collect::<Vec<_>>()
        };
        write("conversations-000.json");
        let alone = ["conversation 1", "not conversation 2", "conversation 3"];
        assert_eq!(places(), alone);
        write("conversations-001.json");
        let of = |file: &str| {
            [
                format!("{file}, conversation 1"),
                format!("not {file}, conversation 2"),
                format!("{file}, conversation 3"),
            ]
        };
        let [first, second] = ["conversations-000.json", "conversations-001.json"].map(of);
        assert_eq!(places(), [&first[..], &second].concat());
        // One that is cut short stops none of the others, be they parts of this export or another one beside it.
        let list = json!([whole, 7, whole]).to_string();
        std::fs::write(path("conversations-000.json"), list.trim_end_matches(']'))
            .expect("it can be written");
        let cut = ["not conversations-000.json".to_owned()];
        let expected = [&first[..], &cut, &second].concat();
        assert_eq!(places(), expected);
        std::fs::write(path("conversations-000.json"), "").expect("it can be written");
        assert_eq!(places(), [&cut[..], &second].concat());
        std::fs::write(path("conversations-000.json"), list.trim_end_matches(']'))
            .expect("it can be written");
        for name in ["a", "b"] {
            std::fs::create_dir(path(name)).expect("it can be made");
            for part in ["conversations-000.json", "conversations-001.json"] {
                std::fs::copy(path(part), path(name).join(part)).expect("it can be copied");
            }
        }
        for part in ["conversations-000.json", "conversations-001.json"] {
            std::fs::remove_file(path(part)).expect("it can be removed");
        }
        let deep = |name: &str| {
            expected
                .iter()
                .map(|place| match place.strip_prefix("not ") {
                    Some(place) => format!("not {name}, {place}"),
                    None => format!("{name}, {place}"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(places(), [deep("a"), deep("b")].concat());
    }

    #[test]
    fn fuzz_import_chatgpt() {
        Target::new("import-chatgpt")
            .words(&[
                "\"title\":",
                "\"mapping\":",
                "\"current_node\":",
                "\"parent\":",
                "\"message\":",
                "\"author\":",
                "\"role\":",
                "\"user\"",
                "\"assistant\"",
                "\"recipient\":",
                "\"bio\"",
                "\"content\":",
                "\"parts\":",
                "\"create_time\":",
                "\"conversation_id\":",
                "{\"title\":",
                "}",
                "]",
                ",",
            ])
            .run(|bytes| outcome(Some(Kind::ChatGpt), "conversations.json", bytes));
    }
}
