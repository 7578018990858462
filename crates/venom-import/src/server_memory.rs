//! The knowledge graph of the MCP reference server: a line of JSON for each entity and each relation, or one object with
//! lists of both. Each observation of an entity makes a memory, each relation one.

use crate::bytes::{self, LINE_BYTES_MAX};
use crate::lines::{Line, Lines};
use crate::record::Loose;
use crate::start::{NoStart, Start, start};
use crate::{Found, Kind, Options, Records, Skipped, Unusable, json};
use serde_json::{Map, Value};
use std::path::Path;
use venom_core::SpaceName;

const EXPECTED: &str = "JSON lines of entities and relations";
/// Longest entity or relation without its observations, in bytes of JSON (16 KiB): each memory that is made of it has it.
const ENTITY_BYTES_MAX: usize = 16 * 1024;

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let space = options.space.clone();
    let mut lines = Lines::new(bytes::open(path, EXPECTED)?, LINE_BYTES_MAX);
    let shown = path.display().to_string();
    let mut next_item = move || {
        let (number, line) = match lines.next_line() {
            Ok(line) => line?,
            Err(error) => {
                return Some(Err(Unusable(format!("{shown} cannot be read: {error}"))));
            }
        };
        let place = format!("line {number}");
        Some(Ok(match graph_line(line) {
            Ok(object) => Ok((place, object)),
            Err(why) => Err(Skipped { place, why }),
        }))
    };
    let first = match next_item() {
        None => {
            let shown = path.display();
            return Err(Unusable(format!("{shown} is blank: expected {EXPECTED}")));
        }
        Some(Err(unusable)) => return Err(unusable),
        Some(Ok(first)) => first,
    };
    let (skipped, (place, object)) = match first {
        Ok(item) => (Vec::new(), item),
        Err(bad) => {
            // One object in many lines, or lines of which the first is bad.
            let why = match whole(path, &space) {
                Ok(records) => return Ok(records),
                Err(why) => why,
            };
            let mut skipped = vec![bad];
            match start(&mut next_item) {
                Ok(Start {
                    skipped: more,
                    first: Some(item),
                }) => {
                    skipped.extend(more);
                    (skipped, item)
                }
                Err(NoStart::Broken(unusable)) => return Err(unusable),
                Ok(_) | Err(NoStart::Bad(_)) => return Err(why),
            }
        }
    };
    let mut made = Made::new(&place, object, &space);
    let next = move || {
        loop {
            if let Some(found) = made.next() {
                return Some(Ok(found));
            }
            match next_item()? {
                Ok(Ok((place, object))) => made = Made::new(&place, object, &space),
                Ok(Err(skipped)) => return Some(Ok(Err(skipped))),
                Err(unusable) => return Some(Err(unusable)),
            }
        }
    };
    let skipped = skipped.into_iter().map(|skipped| Ok(Err(skipped)));
    Ok(Records {
        kind: Kind::ServerMemory,
        // A line makes as many as it likes.
        total: None,
        left: Vec::new(),
        found: Box::new(skipped.chain(std::iter::from_fn(next))),
    })
}

/// A line that is an entity or a relation.
fn graph_line(line: Line) -> Result<Map<String, Value>, String> {
    let text = match line {
        Line::Text(text) => text,
        Line::Bad(why) => return Err(why),
    };
    graph_item(json::parse_line(&text, LINE_BYTES_MAX)?)
}

fn graph_item(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object)
            if object.contains_key("entityType") || object.contains_key("relationType") =>
        {
            Ok(object)
        }
        _ => Err("it is no entity and no relation".to_owned()),
    }
}

/// One object with everything in it.
fn whole(path: &Path, space: &SpaceName) -> Result<Records, Unusable> {
    let shown = path.display();
    let mut graph = bytes::json(path, EXPECTED)?;
    let mut items = Vec::new();
    let mut is_graph = false;
    for key in ["entities", "relations"] {
        match graph.get_mut(key).map(Value::take) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                is_graph = true;
                items.extend(list);
            }
            Some(_) => {
                return Err(Unusable(format!(
                    "{shown} has {key} that are no list: expected {EXPECTED}"
                )));
            }
        }
    }
    if !is_graph {
        return Err(Unusable(format!(
            "{shown} holds no entities and no relations: expected {EXPECTED}"
        )));
    }
    let observations = |item: &Value| item.get("observations")?.as_array().map(Vec::len);
    let memories = |item| observations(item).unwrap_or(0).max(1) as u64;
    let total = items.iter().map(memories).sum();
    let space = space.clone();
    let found = (1_u64..).zip(items).flat_map(move |(number, item)| {
        let place = format!("item {number}");
        let (made, skipped) = match graph_item(item) {
            Ok(object) => (Some(Made::new(&place, object, &space)), None),
            Err(why) => (None, Some(Err(Skipped { place, why }))),
        };
        skipped.into_iter().chain(made.into_iter().flatten())
    });
    Ok(Records {
        kind: Kind::ServerMemory,
        total: Some(total),
        left: Vec::new(),
        found: Box::new(found.map(Ok)),
    })
}

/// What an entity or a relation makes, one memory after the other: of a short file that says much of a long name they
/// would not all have room.
struct Made {
    place: String,
    space: SpaceName,
    /// What each observation is put behind, unless it names it itself.
    name: String,
    name_lowercase: String,
    /// What every memory has.
    common: Loose,
    texts: std::iter::Enumerate<std::vec::IntoIter<Value>>,
    /// Why there is none.
    refused: Option<String>,
}

impl Made {
    fn new(place: &str, mut object: Map<String, Value>, space: &SpaceName) -> Self {
        object.remove("type");
        let observations = object.remove("observations");
        let (texts, refused) = match texts(&object, observations) {
            Ok(texts) => (texts, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let is_relation = object.contains_key("relationType");
        let (name, kind) = (text(&object, "name"), text(&object, "entityType"));
        let (name, tags) = if is_relation {
            (String::new(), Vec::new())
        } else {
            (name.to_owned(), vec![kind.to_owned()])
        };
        Self {
            place: place.to_owned(),
            space: space.clone(),
            name_lowercase: name.to_lowercase(),
            name,
            common: Loose {
                tags,
                rest: object,
                ..Loose::default()
            },
            texts: texts.into_iter().enumerate(),
            refused,
        }
    }

    fn memory(&self, number: usize, text: Value) -> Result<venom_core::NewImport, String> {
        let Value::String(text) = text else {
            return Err(format!("its observation {} is no text", number + 1));
        };
        if text.trim().is_empty() {
            return Err(format!("its observation {} is empty", number + 1));
        }
        let is_named = has_words(&text.to_lowercase(), &self.name_lowercase);
        let loose = Loose {
            text: if is_named {
                text
            } else {
                format!("{}: {text}", self.name)
            },
            ..self.common.clone()
        };
        loose.settle(&self.space)
    }
}

impl Iterator for Made {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let made = if let Some(why) = self.refused.take() {
            Err(why)
        } else {
            let (number, text) = self.texts.next()?;
            self.memory(number, text)
        };
        Some(crate::found(self.place.clone(), made))
    }
}

/// Whether a text has words in it, whole.
fn has_words(text: &str, words: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let ends = (words.chars().next(), words.chars().next_back());
    let mut places = text.match_indices(words);
    places.any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + words.len()..].chars().next();
        // Where a name ends in a mark, it ends there.
        let goes_on = is_word(before) && is_word(ends.0) || is_word(behind) && is_word(ends.1);
        !goes_on
    })
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What an entity or a relation says, a text for each memory.
fn texts(object: &Map<String, Value>, observations: Option<Value>) -> Result<Vec<Value>, String> {
    let length = serde_json::to_string(object).map_or(0, |text| text.len());
    if length > ENTITY_BYTES_MAX {
        return Err(format!(
            "it has {length} bytes beside its observations: expected at most {ENTITY_BYTES_MAX}"
        ));
    }
    if object.contains_key("relationType") {
        let [from, how, to] = ["from", "relationType", "to"].map(|key| text(object, key));
        if [from, how, to].iter().any(|part| part.trim().is_empty()) {
            return Err("it is no relation: expected a from, a relationType and a to".to_owned());
        }
        return Ok(vec![Value::String(format!(
            "{from} {} {to}",
            how.replace('_', " ")
        ))]);
    }
    let observations = match observations {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("its observations are no list".to_owned()),
    };
    let (name, kind) = (text(object, "name"), text(object, "entityType"));
    if !observations.is_empty() {
        return Ok(observations);
    }
    if name.trim().is_empty() {
        return Err("it has no name and no observations".to_owned());
    }
    Ok(vec![Value::String(format!("{name} ({kind})"))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::{self, outcome};
    use venom_fuzz::Target;

    /// Whatever says nothing is told, and a long name is not put before each of many observations.
    #[test]
    fn what_cannot_be_kept_is_told() {
        let long = "n".repeat(ENTITY_BYTES_MAX);
        let lines = [
            r#"{"name": "Ana", "entityType": "a", "observations": ["sails", 7, null, " "]}"#,
            r#"{"name": "", "entityType": "a", "observations": []}"#,
            r#"{"name": "Ben", "entityType": "a", "observations": "runs"}"#,
            r#"{"from": "Ana", "to": "", "relationType": "knows"}"#,
            &format!(r#"{{"name": "{long}", "entityType": "a", "observations": ["b", "c"]}}"#),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("memory.jsonl");
        std::fs::write(&path, lines.join("\n")).expect("it can be written");
        let read = fuzzed::read(&path, Some(Kind::ServerMemory), 9);
        assert_eq!(read.memories.len(), 1);
        let told = read
            .skipped
            .iter()
            .map(|it| format!("{}: {}", it.place, it.why));
        let expected = [
            "line 1: its observation 2 is no text",
            "line 1: its observation 3 is no text",
            "line 1: its observation 4 is empty",
            "line 2: it has no name and no observations",
            "line 3: its observations are no list",
            "line 4: it is no relation: expected a from, a relationType and a to",
            "line 5: it has 16412 bytes beside its observations: expected at most 16384",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_name_is_a_whole_word() {
        for (text, name, is_named) in [
            ("ed likes tea", "ed", true),
            ("tea is what ed's dog likes", "ed", true),
            ("needed a laptop", "ed", false),
            ("is allergic to al", "al", true),
            ("is allergic", "al", false),
            ("écu", "cu", false),
            ("works on c++11", "c++", true),
            ("anything", "", true),
        ] {
            assert_eq!(has_words(text, name), is_named, "{name} in {text}");
        }
    }

    #[test]
    fn fuzz_import_graphs() {
        Target::new("import-graphs")
            .words(&[
                "\"type\":",
                "\"entity\"",
                "\"relation\"",
                "\"name\":",
                "\"entityType\":",
                "\"observations\":",
                "\"from\":",
                "\"to\":",
                "\"relationType\":",
                "\"entities\":",
                "\"relations\":",
                "\n",
            ])
            .run(|bytes| outcome(Some(Kind::ServerMemory), "memory.jsonl", bytes));
    }
}
