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
    let relations = value.get("relations").and_then(Value::as_array);
    let relations = relations.map_or(0, |list| list.len() as u64);
    let has_next = value.get("next").is_some_and(Value::is_string);
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
    let watch = &options.watch;
    watch.pass_over("relations of its graph", relations);
    watch.pass_over(
        "further pages: it says where its next page is, which was not exported",
        u64::from(has_next),
    );
    let space = options.space.clone();
    let total = list.len() as u64;
    let found = list.into_iter().enumerate().map(move |(place, item)| {
        let place = format!("memory {}", place + 1);
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
pub(crate) fn renamed(mut object: Map<String, Value>) -> Map<String, Value> {
    for key in ["hash", "score"] {
        object.remove(key);
    }
    rename(&mut object, "memory", "content");
    let has_tags = object.get("tags").is_some_and(|tags| !tags.is_null());
    if object.get("categories").is_some_and(Value::is_array) && !has_tags {
        rename(&mut object, "categories", "tags");
    }
    object
}

/// Gives a field another name; what had that gets the name that is free now.
fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    let Some(value) = object.remove(from) else {
        return;
    };
    if let Some(other) = object.insert(to.to_owned(), value) {
        object.insert(from.to_owned(), other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::outcome;
    use venom_fuzz::Target;

    #[test]
    fn what_is_beside_the_memories_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mem0.json");
        let options = crate::fuzzed::options(folder.path());
        let told = |text: &str| {
            std::fs::write(&path, text).expect("it can be written");
            let options = Options {
                watch: crate::Watch::default(),
                ..options.clone()
            };
            let count = crate::open(&path, None, &options).map(|records| records.found.count());
            (count, options.watch.passed_over())
        };
        let (count, passed) =
            told(r#"{"results": [{"memory": "a"}], "relations": [{}, {}], "next": "https://x"}"#);
        assert_eq!(count, Ok(1));
        let counts: Vec<u64> = passed.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2]);
        assert_eq!(
            told(r#"{"results": [], "next": null}"#),
            (Ok(0), Vec::new())
        );
    }

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
