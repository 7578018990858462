//! The knowledge graph of the MCP reference server: a line of JSON for each entity and each relation, or one object with
//! lists of both. Each observation of an entity makes a memory, each relation one.

use crate::bytes::{self, FILE_BYTES_MAX, LINE_BYTES_MAX};
use crate::lines::{self, Line, Lines};
use crate::record::Loose;
use crate::{Found, Kind, Options, Records, Skipped, Unusable};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::path::Path;
use venom_core::SpaceName;

const EXPECTED: &str = "JSON lines of entities and relations";

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let space = options.space.clone();
    let mut lines = Lines::new(bytes::open(path, EXPECTED)?, LINE_BYTES_MAX);
    let unreadable = |error| bytes::unreadable(path, &error);
    let Some((_, first)) = lines.next_line().map_err(unreadable)? else {
        let shown = path.display();
        return Err(Unusable(format!("{shown} is blank: expected {EXPECTED}")));
    };
    let Some(start) = graph_line(&first) else {
        return whole(path, &space);
    };
    let total = lines::count(bytes::open(path, EXPECTED)?).map_err(unreadable)?;
    let mut ready = made("line 1", &start, &space);
    let shown = path.display().to_string();
    let next = move || {
        while ready.is_empty() {
            let (number, line) = match lines.next_line() {
                Ok(line) => line?,
                Err(error) => {
                    return Some(Err(Unusable(format!("{shown} cannot be read: {error}"))));
                }
            };
            let place = format!("line {number}");
            match graph_line(&line) {
                Some(object) => ready = made(&place, &object, &space),
                None => ready.push_back(Err(Skipped {
                    place,
                    why: "it is no entity and no relation".to_owned(),
                })),
            }
        }
        ready.pop_front().map(Ok)
    };
    Ok(Records {
        kind: Kind::ServerMemory,
        total: Some(total),
        found: Box::new(std::iter::from_fn(next)),
    })
}

/// A line that is an entity or a relation.
fn graph_line(line: &Line) -> Option<Map<String, Value>> {
    let Line::Text(text) = line else {
        return None;
    };
    match serde_json::from_str(text).ok()? {
        Value::Object(object) if is_graph(&object) => Some(object),
        _ => None,
    }
}

fn is_graph(object: &Map<String, Value>) -> bool {
    object.contains_key("entityType") || object.contains_key("relationType")
}

/// One object with everything in it.
fn whole(path: &Path, space: &SpaceName) -> Result<Records, Unusable> {
    let shown = path.display();
    let text = bytes::text(path, FILE_BYTES_MAX, EXPECTED)?;
    let graph: Value = serde_json::from_str(&text)
        .map_err(|error| Unusable(format!("{shown} is no JSON: expected {EXPECTED}; {error}")))?;
    let lists = ["entities", "relations"].map(|key| graph.get(key).and_then(Value::as_array));
    if lists.iter().all(Option::is_none) {
        return Err(Unusable(format!(
            "{shown} holds no entities and no relations: expected {EXPECTED}"
        )));
    }
    let mut found = VecDeque::new();
    for (place, item) in lists.into_iter().flatten().flatten().enumerate() {
        let place = format!("item {}", place + 1);
        if let Value::Object(object) = item {
            found.append(&mut made(&place, object, space));
        }
    }
    Ok(Records {
        kind: Kind::ServerMemory,
        total: Some(found.len() as u64),
        found: Box::new(found.into_iter().map(Ok)),
    })
}

/// What an entity or a relation makes.
fn made(place: &str, object: &Map<String, Value>, space: &SpaceName) -> VecDeque<Found> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut texts: Vec<String> = Vec::new();
    let mut tags = Vec::new();
    if object.contains_key("relationType") {
        let how = text("relationType").replace('_', " ");
        texts.push(format!("{} {how} {}", text("from"), text("to")));
    } else {
        let (name, kind) = (text("name"), text("entityType"));
        let observations = object.get("observations").and_then(Value::as_array);
        let observations = observations.into_iter().flatten().filter_map(Value::as_str);
        texts.extend(observations.map(|seen| {
            if seen.to_lowercase().contains(&name.to_lowercase()) {
                seen.to_owned()
            } else {
                format!("{name}: {seen}")
            }
        }));
        if texts.is_empty() && !name.is_empty() {
            texts.push(format!("{name} ({kind})"));
        }
        tags.push(kind.to_owned());
    }
    let mut rest = object.clone();
    for key in ["type", "observations"] {
        rest.remove(key);
    }
    let memory = |text: String| {
        let loose = Loose {
            text,
            tags: tags.clone(),
            rest: rest.clone(),
            ..Loose::default()
        };
        loose.settle(space).map_err(|why| Skipped {
            place: place.to_owned(),
            why,
        })
    };
    texts.into_iter().map(memory).collect()
}
