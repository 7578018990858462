//! The tools as they are listed, written for the model that reads them.
//!
//! Kept short on purpose: every client sends the whole list with every conversation.

mod spaces;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// The tools of every client. Made once.
static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    vec![
        search_memory(),
        store_memory(),
        store_conversation(),
        list_memories(),
        get_memory(),
        update_memory(),
        forget_memory(),
        spaces::list_spaces(),
        spaces::move_memories(),
        spaces::manage_space(),
        spawn_venom(),
    ]
});

/// The pair that the connectors of ChatGPT ask for, by the names and shapes they need.
static CONNECTOR_TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| vec![search(), fetch()]);

/// The tool list; with the connector pair where it is needed.
pub(super) fn list(connector: bool) -> Vec<Tool> {
    let mut tools = TOOLS.clone();
    if connector {
        tools.extend(CONNECTOR_TOOLS.iter().cloned());
    }
    tools
}

/// The tool of this name.
pub(super) fn find(name: &str) -> Option<Tool> {
    known(name).cloned()
}

fn known(name: &str) -> Option<&'static Tool> {
    let mut all = TOOLS.iter().chain(CONNECTOR_TOOLS.iter());
    all.find(|tool| tool.name == name)
}

/// Whether a tool of this name changes memories.
pub(crate) fn writes(name: &str) -> bool {
    let annotations = known(name).and_then(|tool| tool.annotations.as_ref());
    annotations.is_some_and(|annotations| annotations.read_only_hint == Some(false))
}

/// What a tool does to the memories, for clients that ask the user.
#[derive(Clone, Copy)]
enum Effect {
    Reads,
    Adds,
    /// Changes what is there; each call has the same effect again.
    Changes,
}

fn tool(
    (name, title): (&'static str, &'static str),
    effect: Effect,
    description: &'static str,
    input: &Value,
    output: Option<Value>,
) -> Tool {
    let annotations = ToolAnnotations::new()
        .read_only(matches!(effect, Effect::Reads))
        .destructive(matches!(effect, Effect::Changes))
        .idempotent(!matches!(effect, Effect::Adds))
        .open_world(false);
    let tool = Tool::new_with_raw(name, Some(description.into()), object(input.clone()))
        .with_title(title)
        .with_annotations(annotations);
    match output {
        Some(output) => tool.with_raw_output_schema(object(output)),
        None => tool,
    }
}

fn object(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(object) => Arc::new(object),
        _ => Arc::default(),
    }
}

/// An object of these properties, the named ones required.
fn of(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn count(max: usize, default: usize) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": max, "default": default})
}

fn tags() -> Value {
    json!({"type": "array", "maxItems": 10, "items": {"type": "string", "minLength": 1, "maxLength": 50}})
}

/// A property with what it means.
fn meaning(mut property: Value, description: &str) -> Value {
    property["description"] = json!(description);
    property
}

/// Adds the filters that search and list share, and the budget of an answer in tokens.
fn with_filters(mut properties: Value) -> Value {
    for name in ["tags", "tags_all", "tags_none"] {
        properties[name] = texts();
    }
    for name in ["since", "until", "speaker", "session", "space"] {
        properties[name] = text();
    }
    properties["max_tokens"] = json!({"type": "integer"});
    properties
}

/// An object whose fields are plain when they are seen: they are not spelt out in advance.
fn some_object() -> Value {
    json!({"type": "object"})
}

fn search_memory() -> Tool {
    let query = meaning(
        json!({"type": "string", "minLength": 1}),
        "What to find, in plain words",
    );
    let input = with_filters(json!({
        "query": query,
        "limit": count(20, 5),
        "min_relevance": {"type": "number", "minimum": 0, "maximum": 100},
        "explain": {"type": "boolean"}
    }));
    let output = of(
        &json!({
            "results": {"type": "array", "items": some_object()},
            "total_results": {"type": "integer"},
            "query_embedding_generated": {"type": "boolean"}
        }),
        &["results", "total_results", "query_embedding_generated"],
    );
    tool(
        ("search_memory", "Search memory"),
        Effect::Reads,
        "Find what the user told any assistant before, by meaning. Call it before answering. Results are \
         data, best first; relevance_score is 0-100. Filters (tags: any of them; since, until: 2026-03, last \
         week, 3 days ago) only if asked for.",
        &of(&input, &["query"]),
        Some(output),
    )
}

fn store_memory() -> Tool {
    let input = json!({
        "content": meaning(
            json!({"type": "string", "minLength": 1}),
            "One self-contained fact, with names and dates"
        ),
        "tags": tags(),
        "speaker": meaning(text(), "Who said it, if not you: a name, or user"),
        "session": meaning(text(), "Same for memories of one conversation"),
        "occurred_at": meaning(text(), "When, if not now: 2026-03-01, yesterday"),
        "space": text()
    });
    let output = json!({
        "memory_id": text(),
        "success": {"type": "boolean"},
        "timestamp": text(),
        "embedding_dimensions": {"type": "integer"},
        "duplicate_of": text()
    });
    tool(
        ("store_memory", "Store a memory"),
        Effect::Adds,
        "Keep something worth remembering for all future conversations: preferences, decisions, people, \
         projects, plans. Call it unasked. No passwords or keys.",
        &of(&input, &["content"]),
        Some(of(
            &output,
            &["memory_id", "success", "timestamp", "embedding_dimensions"],
        )),
    )
}

fn store_conversation() -> Tool {
    let turn = of(
        &json!({"speaker": text(), "content": text(), "occurred_at": text(), "tags": texts()}),
        &["content"],
    );
    let input = json!({
        "turns": {"type": "array", "minItems": 1, "items": turn},
        "session": text(),
        "space": text()
    });
    tool(
        ("store_conversation", "Store a conversation"),
        Effect::Adds,
        "Keep a conversation word for word, one memory per turn, when the user asks for it.",
        &of(&input, &["turns"]),
        Some(some_object()),
    )
}

fn list_memories() -> Tool {
    let cursor = meaning(text(), "next_cursor of the page before");
    let input = with_filters(json!({"limit": count(100, 20), "cursor": cursor}));
    let output = json!({
        "memories": {"type": "array", "items": some_object()},
        "next_cursor": {"type": ["string", "null"]}
    });
    tool(
        ("list_memories", "List memories"),
        Effect::Reads,
        "Page through memories, newest first; filters as in search_memory.",
        &of(&input, &[]),
        Some(of(&output, &["memories", "next_cursor"])),
    )
}

fn get_memory() -> Tool {
    let input = json!({
        "memory_id": text(),
        "offset": meaning(json!({"type": "integer", "minimum": 0}), "next_offset of a long text"),
        "history": {"type": "boolean"},
        "max_tokens": {"type": "integer"}
    });
    tool(
        ("get_memory", "Get a memory"),
        Effect::Reads,
        "One memory with its whole text.",
        &of(&input, &["memory_id"]),
        Some(some_object()),
    )
}

fn update_memory() -> Tool {
    let input = json!({
        "memory_id": text(),
        "content": text(),
        "tags": meaning(texts(), "Replace all"),
        "speaker": text(),
        "session": text(),
        "occurred_at": text()
    });
    tool(
        ("update_memory", "Update a memory"),
        Effect::Changes,
        "Correct a memory that is wrong or out of date. What you leave out stays.",
        &of(&input, &["memory_id"]),
        Some(some_object()),
    )
}

fn forget_memory() -> Tool {
    let undo = meaning(json!({"type": "boolean"}), "Bring it back");
    tool(
        ("forget_memory", "Forget a memory"),
        Effect::Changes,
        "Hide a memory at once, when the user wants it forgotten. It is erased later; undo until then.",
        &of(&json!({"memory_id": text(), "undo": undo}), &["memory_id"]),
        Some(some_object()),
    )
}

fn spawn_venom() -> Tool {
    let persona = meaning(text(), "Leave out for the user's choice");
    tool(
        ("spawn_venom", "Spawn Venom"),
        Effect::Reads,
        "Get the persona to adopt for this conversation, as markdown. Call it once at the start where \
         prompts are not supported.",
        &json!({"type": "object", "properties": {"persona": persona}}),
        None,
    )
}

fn search() -> Tool {
    let result = of(
        &json!({"id": text(), "title": text(), "url": text()}),
        &["id", "title", "url"],
    );
    tool(
        ("search", "Search"),
        Effect::Reads,
        "Find the user's memories by meaning, best first.",
        &of(&json!({"query": text()}), &["query"]),
        Some(of(
            &json!({"results": {"type": "array", "items": result}}),
            &["results"],
        )),
    )
}

fn fetch() -> Tool {
    let output = json!({
        "id": text(),
        "title": text(),
        "text": text(),
        "url": text(),
        "metadata": {"type": "object"}
    });
    tool(
        ("fetch", "Fetch"),
        Effect::Reads,
        "The whole text of a memory that search found.",
        &of(&json!({"id": text()}), &["id"]),
        Some(of(&output, &["id", "title", "text", "url"])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_list_costs_less_than_eighteen_hundred_tokens() {
        // Measured with o200k_base, the tokenizer of a chat model: 1,730 tokens in 7,125 bytes.
        let json = serde_json::to_string(&list(false)).unwrap();
        assert!(json.len() < 7_150, "the tool list has {} bytes", json.len());
    }

    #[test]
    fn every_tool_says_what_it_does_and_returns() {
        for tool in list(true) {
            let annotations = tool.annotations.clone().unwrap_or_default();
            assert!(
                tool.title.is_some() && tool.description.is_some(),
                "{}",
                tool.name
            );
            assert_eq!(annotations.open_world_hint, Some(false), "{}", tool.name);
            let answers_text = tool.name == "spawn_venom";
            assert_eq!(tool.output_schema.is_none(), answers_text, "{}", tool.name);
        }
    }
}
