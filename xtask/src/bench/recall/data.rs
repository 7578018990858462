//! Conversations and the questions about them, read from files.

use super::super::Outcome;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use venom_core::test_support::samples::Rng;
use venom_core::{Origin, SessionName, Speaker, Timestamp};

/// Kinds of questions that have no answer in the corpus.
const UNANSWERABLE: [&str; 2] = ["adversarial", "abstention"];

/// What somebody said: one memory.
pub(super) struct Turn {
    /// The conversation: a memory of its own.
    pub(super) store: String,
    pub(super) id: String,
    pub(super) origin: Origin,
    /// With what a shared photo shows.
    pub(super) content: String,
}

pub(super) struct Question {
    pub(super) store: String,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) answerable: bool,
    /// Ids of the turns that answer it.
    pub(super) relevant: HashSet<String>,
}

fn lines(path: &Path) -> Outcome<Vec<Value>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn text(line: &Value, field: &str) -> Outcome<String> {
    let text = line[field].as_str().map(str::to_owned);
    text.ok_or_else(|| format!("expected a text in {field:?}, found {line}").into())
}

pub(super) fn turns(data: &Path, without_sessions: bool) -> Outcome<Vec<Turn>> {
    let turn = |line: Value| {
        let mut content = text(&line, "text")?;
        if let Some(caption) = line["caption"].as_str() {
            let _ = write!(content, " [shares a photo: {caption}]");
        }
        let store = text(&line, "store")?;
        let session = match &line["session"] {
            Value::Null => None,
            Value::String(name) => Some(name.clone()),
            number => Some(number.to_string()),
        };
        // Sessions of two conversations are two, also where both are in one space.
        let session = session.map(|session| SessionName::parse(&format!("{store} {session}")));
        let speaker = line["speaker"]
            .as_str()
            .filter(|name| !name.trim().is_empty());
        let origin = Origin {
            speaker: speaker.map(Speaker::parse).transpose()?,
            session: session.transpose()?.filter(|_| !without_sessions),
            occurred_at: line["timestamp"].as_str().and_then(Timestamp::parse),
        };
        let id = text(&line, "id")?;
        Ok(Turn {
            store,
            id,
            origin,
            content,
        })
    };
    lines(&data.join("corpus.jsonl"))?
        .into_iter()
        .map(turn)
        .collect()
}

pub(super) fn questions(data: &Path) -> Outcome<Vec<Question>> {
    let question = |line: Value| {
        let relevant = line["relevant"].as_array().cloned().unwrap_or_default();
        Ok(Question {
            store: text(&line, "store")?,
            id: text(&line, "id")?,
            text: text(&line, "text")?,
            answerable: !UNANSWERABLE.contains(&line["category"].as_str().unwrap_or_default()),
            relevant: relevant
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        })
    };
    lines(&data.join("queries.jsonl"))?
        .into_iter()
        .map(question)
        .collect()
}

/// The text with two inner letters of one longer word swapped; names stay as they are.
pub(super) fn with_slip(text: &str, names: &HashSet<String>, rng: &mut Rng) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let bare = |word: &str| {
        word.trim_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase()
    };
    let may_slip = |word: &String| {
        let bare = bare(word);
        let name = bare.strip_suffix("'s").unwrap_or(&bare);
        bare.len() >= 5 && bare.bytes().all(|b| b.is_ascii_alphabetic()) && !names.contains(name)
    };
    let candidates: Vec<usize> = (0..words.len())
        .filter(|at| may_slip(&words[*at]))
        .collect();
    if !candidates.is_empty() {
        let word = &mut words[rng.pick(&candidates)];
        let mut chars: Vec<char> = word.chars().collect();
        let inner = 1 + rng.below(chars.len() - 3);
        chars.swap(inner, inner + 1);
        *word = chars.into_iter().collect();
    }
    words.join(" ")
}
