//! A mem0 export: a JSON list of memories, or an object with such a list in `results` or `memories`.

use crate::bytes;
use crate::jsonl;
use crate::{Kind, Options, Records, Unusable};
use serde_json::{Map, Value};
use std::path::Path;

const EXPECTED: &str = "a JSON list of memories of mem0";

pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let shown = path.display();
    let mut value = bytes::json(path, EXPECTED)?;
    for key in ["results", "memories"] {
        if let Some(list) = value.get_mut(key) {
            value = list.take();
        }
    }
    let Value::Array(list) = value else {
        return Err(Unusable(format!(
            "{shown} holds no list: expected {EXPECTED}"
        )));
    };
    let is_memory = |item: &Value| item.get("memory").or_else(|| item.get("text")).is_some();
    if !list.is_empty() && !list.iter().any(is_memory) {
        return Err(Unusable(format!(
            "{shown} holds nothing with a \"memory\": expected {EXPECTED}"
        )));
    }
    let space = options.space.clone();
    let total = list.len() as u64;
    let found = list.into_iter().enumerate().map(move |(place, item)| {
        let place = || format!("memory {}", place + 1);
        let make = |object| jsonl::memory(renamed(object), &space);
        Ok(jsonl::item(item, place, make))
    });
    Ok(Records {
        kind: Kind::Mem0,
        total: Some(total),
        left: Vec::new(),
        found: Box::new(found),
    })
}

/// The same with our names; what mem0 computes from the text is left out.
fn renamed(mut object: Map<String, Value>) -> Map<String, Value> {
    for key in ["hash", "score"] {
        object.remove(key);
    }
    if let Some(memory) = object.remove("memory") {
        object.insert("content".to_owned(), memory);
    }
    if let Some(categories @ Value::Array(_)) = object.remove("categories") {
        object.entry("tags").or_insert(categories);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::outcome;
    use venom_fuzz::Target;

    #[test]
    fn fuzz_import_memories() {
        Target::new("import-mem0")
            .words(&[
                "\"results\":",
                "\"memories\":",
                "\"memory\":",
                "\"hash\":",
                "\"categories\":",
                "\"created_at\":",
                "\"metadata\":",
                "{}",
                "\\ud800",
            ])
            .run(|bytes| outcome(Some(Kind::Mem0), "mem0.json", bytes));
    }
}
