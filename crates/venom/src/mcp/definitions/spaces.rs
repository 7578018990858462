//! The tools about spaces as such.

use super::{Effect, meaning, of, some_object, text, texts, tool};
use rmcp::model::Tool;
use serde_json::json;

pub(super) fn list_spaces() -> Tool {
    tool(
        ("list_spaces", "List spaces"),
        Effect::Reads,
        "Which spaces keep memories apart.",
        &json!({"type": "object"}),
        Some(some_object()),
    )
}

pub(super) fn move_memories() -> Tool {
    tool(
        ("move_memories", "Move memories"),
        Effect::Changes,
        "Move memories to another space.",
        &of(
            &json!({"memory_ids": texts(), "to": text()}),
            &["memory_ids", "to"],
        ),
        Some(some_object()),
    )
}

pub(super) fn manage_space() -> Tool {
    let input = json!({
        "action": {"enum": ["create", "rename", "delete"]},
        "space": text(),
        "new_name": text(),
        "confirm": meaning(text(), "To delete: its name")
    });
    tool(
        ("manage_space", "Manage a space"),
        Effect::Changes,
        "Only when asked. Deleting hides all its memories: have the user confirm.",
        &of(&input, &["action", "space"]),
        Some(some_object()),
    )
}
