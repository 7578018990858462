//! What a file or folder is, by its names and its first bytes.

use crate::bytes::{parts_of, refusal, unreadable};
use crate::chatgpt::CONVERSATIONS;
use crate::chroma::CHROMA_FILE;
use crate::{Kind, Unusable, claude, markdown};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes that are looked at.
const START_BYTES: u64 = 64 * 1024;

/// What is there.
///
/// # Errors
/// [`Unusable`] if it cannot be told.
pub(crate) fn detect(path: &Path) -> Result<Kind, Unusable> {
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if found.is_dir() {
        return folder(path);
    }
    if !found.is_file() {
        return Err(unknown(path));
    }
    if markdown::is_note(path) {
        return Ok(Kind::Markdown);
    }
    file(path)
}

fn unknown(path: &Path) -> Unusable {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    Unusable(format!(
        "{} is of no kind that can be told: expected --from with one of {}",
        path.display(),
        names.join(", ")
    ))
}

fn folder(path: &Path) -> Result<Kind, Unusable> {
    if path.join(CHROMA_FILE).is_file() {
        return Ok(Kind::Chroma);
    }
    for (name, within) in [(CONVERSATIONS, false), ("memories", true)] {
        if let Some(file) = parts_of(path, name, within).first() {
            return self::file(file);
        }
    }
    let mut entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let is_any = entries.any(|entry| {
        entry.is_ok_and(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_folder || markdown::is_note(&entry.path())
        })
    });
    if is_any {
        Ok(Kind::Markdown)
    } else {
        Err(unknown(path))
    }
}

fn file(path: &Path) -> Result<Kind, Unusable> {
    let mut start = Vec::new();
    let opened = File::open(path).map_err(|error| unreadable(path, &error))?;
    let read = opened.take(START_BYTES).read_to_end(&mut start);
    read.map_err(|error| unreadable(path, &error))?;
    if start.starts_with(b"SQLite format 3\0") {
        return Ok(Kind::Chroma);
    }
    if let Some(unusable) = refusal(path, &start, "something to import") {
        return Err(unusable);
    }
    let text = String::from_utf8_lossy(&start);
    let has = |key: &str| text.contains(&format!("\"{key}\""));
    let first = text.trim_start_matches('\u{feff}').trim_start();
    let is_list = first.starts_with('[');
    if !is_list && !first.starts_with('{') {
        return Err(unknown(path));
    }
    let is_graph = has("entityType") || has("relationType");
    Ok(match () {
        () if claude::is_memory(&text) || has("chat_messages") => Kind::Claude,
        () if is_list && has("mapping") => Kind::ChatGpt,
        () if is_graph && (has("type") || has("entities")) => Kind::ServerMemory,
        () if has("memory") && (is_list || has("results") || has("memories")) => Kind::Mem0,
        () if !is_list && (has("content") || has("text")) => Kind::Jsonl,
        () => return Err(unknown(path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::outcome;
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
}
