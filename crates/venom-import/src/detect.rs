//! What a file is, by its name and its first bytes.

use crate::bytes::{refusal, unreadable};
use crate::{Kind, Unusable, claude, markdown};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes that are looked at.
const START_BYTES: u64 = 64 * 1024;

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
