//! What a file is, by its name and its first bytes.

use crate::bytes::{self, unreadable};
use crate::chroma::MAGIC;
use crate::claude::KEYS;
use crate::{Kind, Unusable, json, markdown};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Which kind a file is of.
///
/// # Errors
/// [`Unusable`] if it cannot be told.
pub(crate) fn detect(path: &Path) -> Result<Kind, Unusable> {
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !found.is_file() {
        return Err(unknown(path));
    }
    if markdown::is_note(path) {
        return Ok(Kind::Markdown);
    }
    file(path)
}

/// Those of these files that are not told to be of another kind.
pub(crate) fn of_kind(files: &[PathBuf], kind: Kind) -> Vec<PathBuf> {
    let may_be = |path: &&PathBuf| file(path).map_or(true, |found| found == kind);
    files.iter().filter(may_be).cloned().collect()
}

/// Whether a name is that of a file of JSON.
pub(crate) fn is_json(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str());
    extension.is_some_and(|it| it.eq_ignore_ascii_case("json") || it.eq_ignore_ascii_case("jsonl"))
}

pub(crate) fn unknown(path: &Path) -> Unusable {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    Unusable(format!(
        "{} is of no kind that can be told: expected --from with one of {}",
        path.display(),
        names.join(", ")
    ))
}

/// Which kind a plain file is of, by its first bytes.
///
/// # Errors
/// [`Unusable`] if it cannot be told.
pub(crate) fn file(path: &Path) -> Result<Kind, Unusable> {
    of_start(path, &start_of(path)?).ok_or_else(|| unknown(path))
}

/// Which kind a file of JSON is of, by its first bytes; `None` for sound JSON of no kind.
///
/// # Errors
/// [`Unusable`] if it cannot be told, for there is no sound JSON.
pub(crate) fn json_file(path: &Path) -> Result<Option<Kind>, Unusable> {
    let start = start_of(path)?;
    if let Some(kind) = of_start(path, &start) {
        return Ok(Some(kind));
    }
    let is_cut = start.len() as u64 == bytes::START_BYTES;
    match breaks(bytes::without_mark(&start), is_cut) {
        None => Ok(None),
        Some(why) => {
            let shown = path.display();
            Err(Unusable(format!(
                "{shown} is of no kind that can be told: {why}"
            )))
        }
    }
}

fn start_of(path: &Path) -> Result<Vec<u8>, Unusable> {
    bytes::start(path, bytes::START_BYTES, "something to import")
}

fn of_start(path: &Path, start: &[u8]) -> Option<Kind> {
    if start.starts_with(MAGIC) {
        return Some(Kind::Chroma);
    }
    let text = bytes::without_mark(start);
    let begins = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if !begins.is_some_and(|byte| b"[{".contains(byte)) && !is_json(path) {
        return None;
    }
    first_of(text, kind_of)
}

/// Why a text is no JSON, be it one value or several; `None` if it is, as far as it goes. O(bytes).
fn breaks(text: &[u8], is_cut: bool) -> Option<String> {
    if text.trim_ascii().is_empty() {
        return Some("it is blank".to_owned());
    }
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let error = values.find_map(Result::err)?;
    // Sound, but more than a value can hold.
    let is_beyond = ["recursion limit", "number out of range"];
    let is_beyond = is_beyond
        .iter()
        .any(|why| error.to_string().starts_with(why));
    let is_sound = is_beyond || is_cut && error.is_eof();
    (!is_sound).then(|| format!("it is no JSON: {error}"))
}

/// The kind of a file with an object that has these keys, in a list or by itself.
fn kind_of(keys: &[&[u8]], is_list: bool) -> Option<Kind> {
    let has = |key: &str| keys.contains(&key.as_bytes());
    let has_text = has("content") || has("text");
    let is_graph = has("entityType") || has("relationType") || has("entities") || has("relations");
    match () {
        // What we wrote is ours, whatever else it has.
        () if has("memory_id") && has_text => Some(Kind::Jsonl),
        () if has("chat_messages") || KEYS.iter().any(|key| has(key)) => Some(Kind::Claude),
        () if is_list && has("mapping") => Some(Kind::ChatGpt),
        () if is_list && has("memory") => Some(Kind::Mem0),
        () if has_text => Some(Kind::Jsonl),
        () if !is_list && (has("results") || has("memories")) => Some(Kind::Mem0),
        () if !is_list && is_graph => Some(Kind::ServerMemory),
        // Lines of what mem0 keeps.
        () if has("memory") => Some(Kind::Jsonl),
        () => None,
    }
}

/// What `take` says of the keys of the first object of which it says something: of the objects in a list, one by one, or
/// of those that stand by themselves. The last one may be cut short. Only their own keys count, not what is in them. O(bytes).
pub(crate) fn first_of<T>(text: &[u8], take: impl Fn(&[&[u8]], bool) -> Option<T>) -> Option<T> {
    let text = text.trim_ascii_start();
    let found = among(text, &take);
    if found.is_some() || text.starts_with(b"[") {
        return found;
    }
    // A line that is broken does no harm to those behind it.
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.find_map(|line| among(line, &take))
}

fn among<T>(text: &[u8], take: &impl Fn(&[&[u8]], bool) -> Option<T>) -> Option<T> {
    let is_list = text.starts_with(b"[");
    let own = 1 + usize::from(is_list);
    let (mut scan, mut depth, mut began) = (json::Scan::default(), 0_usize, None);
    let mut last: &[u8] = b"";
    let mut keys = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        if scan.in_text(*byte) {
            began.get_or_insert(at);
            // JSON has no line feed in a text: the line is broken.
            if *byte == b'\n' && !is_list {
                (scan, depth, began) = (json::Scan::default(), 0, None);
                keys.clear();
            }
            continue;
        }
        if let Some(began) = began.take() {
            last = &text[began + 1..at - 1];
        }
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth < own && !keys.is_empty() {
                    let found = take(&keys, is_list);
                    if found.is_some() {
                        return found;
                    }
                    keys.clear();
                }
            }
            b':' if depth == own => keys.push(last),
            _ => {}
        }
    }
    take(&keys, is_list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::outcome;
    use proptest::prelude::*;
    use serde_json::json;
    use venom_fuzz::Target;

    #[test]
    fn fuzz_import_kinds() {
        let words = [
            "SQLite format 3\0",
            "\u{feff}",
            "[",
            "{",
            "\"mapping\"",
            "\"chat_messages\"",
            "\"memory\"",
            "\"results\"",
            "\"entityType\"",
            "\"type\"",
            "\"content\"",
            "\"conversations_memory\"",
            ":",
            "PK\x03\x04",
        ];
        Target::new("import-kinds").words(&words).run(|bytes| {
            let any = outcome(None, "file", bytes);
            // What is told to be of a kind is read as that kind.
            if let Some(kind) = any.0.and_then(Kind::of_name) {
                assert_eq!(any, outcome(Some(kind), "file", bytes));
            }
            any
        });
    }

    #[track_caller]
    fn check(text: &str, expected: Option<Kind>) {
        assert_eq!(first_of(text.as_bytes(), kind_of), expected, "{text}");
    }

    #[test]
    fn only_the_keys_of_records_count() {
        let long = format!(r#"{{"content": "{}"#, "\"memory\": ".repeat(9));
        for (text, kind) in [
            (
                r#"{"content": "x", "metadata": {"entityType": "a", "type": "note"}}"#,
                Kind::Jsonl,
            ),
            (
                r#"{"content": "x", "memory": "m", "results": [1]}"#,
                Kind::Jsonl,
            ),
            (
                r#"{"memory_id": "mem_1", "content": "x", "chat_messages": 1}"#,
                Kind::Jsonl,
            ),
            ("{broken\n{\"content\": \"x\"}", Kind::Jsonl),
            ("{\"broken\n{\"content\": \"x\"}", Kind::Jsonl),
            ("{\"a\": [{\n{\"content\": \"x\"}", Kind::Jsonl),
            (r#"[{"content": "x"}]"#, Kind::Jsonl),
            (r#"{"memory": "x"}"#, Kind::Jsonl),
            (&long, Kind::Jsonl),
            (r#"{"results": []}"#, Kind::Mem0),
            (
                r#"{"results": [{"memory": "x"}], "relations": [{"source": "a"}]}"#,
                Kind::Mem0,
            ),
            (r#"[7, {"memory": "\"mapping\": {"}]"#, Kind::Mem0),
            (
                r#"{"type": "entity", "entityType": "a", "observations": ["\"content\":"]}"#,
                Kind::ServerMemory,
            ),
            (r#"{"entities": [{"content": 1}]}"#, Kind::ServerMemory),
            (
                r#"[{"title": "\"chat_messages\""}, {"title": "b", "mapping": {"#,
                Kind::ChatGpt,
            ),
            (
                r#"[{"uuid": "a", "chat_messages": [{"mapping": 1}]}]"#,
                Kind::Claude,
            ),
            (r#"{"project_memories": {"content": "a"}}"#, Kind::Claude),
        ] {
            check(text, Some(kind));
        }
        for text in [
            "",
            "{}",
            "[]",
            "[[{\"content\"",
            "{\"name\": {\"content\": 1}}",
            "\"content\": 1",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn json_is_sound_as_far_as_it_goes() {
        for (text, is_cut, expected) in [
            (&b"{\"a\": 1}\n{\"a\": 2}\n"[..], false, None),
            (b"[1, {\"a\": \"b", true, None),
            (b"[1, {\"a\": \"\xc3", true, None),
            (
                b"[1, {\"a\": \"b",
                false,
                Some("EOF while parsing a string at line 1 column 12"),
            ),
            (b"[1, }", true, Some("expected value at line 1 column 5")),
            (
                b"{\"a\": 1}\nnope\n",
                true,
                Some("expected ident at line 2 column 2"),
            ),
        ] {
            let expected = expected.map(|why| format!("it is no JSON: {why}"));
            assert_eq!(breaks(text, is_cut), expected, "{text:?}");
        }
        assert_eq!(breaks(b" \n", true), Some("it is blank".to_owned()));
        assert_eq!(breaks("[".repeat(200).as_bytes(), true), None);
        assert_eq!(breaks(b"[1e999]", false), None);
    }

    fn words() -> impl Strategy<Value = String> {
        let words = [
            "entityType",
            "relationType",
            "entities",
            "type",
            "memory",
            "memories",
            "results",
            "mapping",
            "content",
            "chat_messages",
            "conversations_memory",
            "memory_files",
            "\"memory\": [",
            "{\"mapping\"",
            "]}",
            "\n",
        ];
        prop::sample::select(words.to_vec()).prop_map(str::to_owned)
    }

    fn metadata() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            words().prop_map(Value::from),
            any::<i32>().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(words(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What we write is ours, whatever texts and metadata it has.
        #[test]
        fn an_export_is_told_to_be_one(text in words(), metadata in metadata(), before in any::<bool>()) {
            let line = json!({"content": text, "memory_id": "mem_1", "metadata": metadata, "tags": [text]}).to_string();
            prop_assert_eq!(first_of(line.as_bytes(), kind_of), Some(Kind::Jsonl));
            // Keys in another order, and cut where only the start is looked at.
            let turned = format!("{{\"metadata\":{metadata},\"content\":\"x\",\"memory_id\":\"mem_1\"}}\n{line}");
            let turned = if before { format!("{{broken\n{turned}") } else { turned };
            prop_assert_eq!(first_of(turned.as_bytes(), kind_of), Some(Kind::Jsonl));
        }
    }
}
