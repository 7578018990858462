//! What a memory was, in JSON.

use super::answers::{View, memory_json};
use serde_json::{Value, json};
use venom_core::{History, Memory, Replaced, Source, Version};

/// The versions of a memory, oldest first: each as the memory was, with its number and what made it. Its time is when it
/// was made, its origin through whom. Each is made when it is asked for.
pub(crate) fn versions_json(
    history: &History,
    view: View,
) -> impl DoubleEndedIterator<Item = Value> {
    let versions = history.versions.iter().zip(made_by(history));
    versions.map(move |(version, made)| version_json(history, version, made, view))
}

/// By which change each version was made, oldest first; `None` for what was stored first, and for one whose version
/// before is not for this reader, or not among those that are told. O(versions).
pub(crate) fn made_by(
    history: &History,
) -> impl DoubleEndedIterator<Item = Option<&Replaced>> + ExactSizeIterator {
    let versions = &history.versions;
    (0..versions.len()).map(move |at| {
        let (former, version) = (versions.get(at.checked_sub(1)?)?, versions.get(at)?);
        let made = former.replaced.as_ref();
        made.filter(|_| former.number + 1 == version.number)
    })
}

fn version_json(
    history: &History,
    version: &Version,
    made: Option<&Replaced>,
    view: View,
) -> Value {
    let by = match made {
        Some(change) => change.by.clone(),
        None if version.number == 1 => history.source.clone(),
        None => Source::default(),
    };
    let memory = Memory {
        id: history.id,
        space: version.space.clone(),
        content: version.content.clone(),
        tags: version.tags.clone(),
        stored_at: version.stored_at,
        origin: version.origin.clone(),
        source: by,
        quarantined: false,
        metadata: None,
    };
    let mut value = memory_json(&memory, view);
    if let Value::Object(fields) = &mut value {
        fields.remove("memory_id");
    }
    value["version"] = json!(version.number);
    value["cause"] = match made {
        Some(change) => json!(change.cause.name()),
        None if version.number == 1 => json!("stored"),
        None => Value::Null,
    };
    if let Some(change) = made {
        value["timestamp"] = json!(change.at.to_string());
    }
    value
}
