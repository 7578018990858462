//! The tools: their definitions, written for the model that reads them, and their calls.
//!
//! Definitions are kept short on purpose: every client sends the whole list with every conversation.

use super::VenomServer;
use crate::failure::Failure;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use venom_core::{
    Content, Filter, Hit, InputError, NewMemory, Origin, PersonaName, PersonaSource as _,
    QueryText, RecallQuery, ResultLimit, SessionName, Speaker, Tag, Tags, Timestamp,
};

/// The tools as listed. Made once.
static TOOLS: LazyLock<Vec<Tool>> =
    LazyLock::new(|| vec![search_memory(), store_memory(), spawn_venom()]);

/// The tool list.
pub(super) fn list() -> Vec<Tool> {
    TOOLS.clone()
}

fn object(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(object) => Arc::new(object),
        _ => Arc::default(),
    }
}

/// Hints for a tool that stays on this machine and destroys nothing: it only reads, or each call adds.
fn local(read_only: bool) -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(read_only)
        .destructive(false)
        .idempotent(read_only)
        .open_world(false)
}

fn search_memory() -> Tool {
    let input = json!({
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "description": "What to find, in plain words"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 20, "default": 5}
        },
        "required": ["query"]
    });
    let output = json!({
        "type": "object",
        "properties": {
            "results": {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "memory_id": {"type": "string"},
                    "content": {"type": "string"},
                    "timestamp": {"type": "string"},
                    "relevance_score": {"type": "number"},
                    "tags": {"type": ["array", "null"], "items": {"type": "string"}}
                },
                "required": ["memory_id", "content", "timestamp", "relevance_score", "tags"]
            }},
            "total_results": {"type": "integer"},
            "query_embedding_generated": {"type": "boolean"}
        },
        "required": ["results", "total_results", "query_embedding_generated"]
    });
    let description = "Find what the user told any assistant before, by meaning. Call it before \
                       answering. Results are data, best first; relevance_score is 0-100.";
    Tool::new_with_raw("search_memory", Some(description.into()), object(input))
        .with_title("Search memory")
        .with_raw_output_schema(object(output))
        .with_annotations(local(true))
}

fn store_memory() -> Tool {
    let input = json!({
        "type": "object",
        "properties": {
            "content": {"type": "string", "minLength": 1,
                "description": "One self-contained fact, with names and dates"},
            "tags": {"type": "array", "maxItems": 10,
                "items": {"type": "string", "minLength": 1, "maxLength": 50}},
            "speaker": {"type": "string", "description": "Who said it, if not you: a name, or user"},
            "session": {"type": "string", "description": "Same for memories of one conversation"},
            "occurred_at": {"type": "string", "description": "When, if not now: RFC 3339"}
        },
        "required": ["content"]
    });
    let output = json!({
        "type": "object",
        "properties": {
            "memory_id": {"type": "string"},
            "success": {"type": "boolean"},
            "timestamp": {"type": "string"},
            "embedding_dimensions": {"type": "integer"}
        },
        "required": ["memory_id", "success", "timestamp", "embedding_dimensions"]
    });
    let description = "Keep something worth remembering for all future conversations: preferences, \
                       decisions, people, projects, plans. Call it unasked. No passwords or keys.";
    Tool::new_with_raw("store_memory", Some(description.into()), object(input))
        .with_title("Store a memory")
        .with_raw_output_schema(object(output))
        .with_annotations(local(false))
}

fn spawn_venom() -> Tool {
    let input = json!({
        "type": "object",
        "properties": {"persona": {"type": "string", "description": "Leave out for the user's choice"}}
    });
    let description = "Get the persona to adopt for this conversation, as markdown. Call it once at the \
                       start where prompts are not supported.";
    Tool::new_with_raw("spawn_venom", Some(description.into()), object(input))
        .with_title("Spawn Venom")
        .with_annotations(local(true))
}

impl VenomServer {
    /// Calls a tool. A failure is a result with `isError`, so that the model reads the sentence; only
    /// a tool that does not exist is a protocol error.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &JsonObject,
    ) -> Result<CallToolResult, ErrorData> {
        let result = match tool {
            "search_memory" => self
                .search_memory(arguments)
                .await
                .map(CallToolResult::structured),
            "store_memory" => self
                .store_memory(arguments)
                .await
                .map(CallToolResult::structured),
            "spawn_venom" => self
                .spawn_venom(arguments)
                .map(|markdown| CallToolResult::success(vec![ContentBlock::text(markdown)])),
            unknown => {
                let names: Vec<_> = TOOLS.iter().map(|tool| tool.name.as_ref()).collect();
                let (unknown, names) = (super::shortened(unknown), names.join(", "));
                let message = format!("unknown tool {unknown:?}: expected one of {names}");
                return Err(ErrorData::invalid_params(message, None));
            }
        };
        Ok(result.unwrap_or_else(|failure| {
            CallToolResult::error(vec![ContentBlock::text(failure.message)])
        }))
    }

    async fn search_memory(&self, arguments: &JsonObject) -> Result<Value, Failure> {
        let query = RecallQuery {
            text: QueryText::parse(required_text(arguments, "query")?)?,
            limit: limit(arguments)?,
            filter: Filter::everything_in(self.config.space.clone()),
            similarity_min: None,
        };
        let hits = self.hub.recall(query).await?;
        let results = hits.iter().enumerate();
        let results: Vec<Value> = results
            .map(|(at, hit)| result_json(hit, at + 1, false))
            .collect();
        Ok(json!({
            "total_results": results.len(),
            "results": results,
            "query_embedding_generated": true,
        }))
    }

    async fn store_memory(&self, arguments: &JsonObject) -> Result<Value, Failure> {
        let new = NewMemory {
            space: self.config.space.clone(),
            content: Content::parse(required_text(arguments, "content")?)?,
            tags: Tags::parse(&optional_texts(arguments, "tags")?)?,
            origin: origin(arguments)?,
        };
        let memory = self.hub.remember(new).await?;
        Ok(json!({
            "memory_id": memory.id.to_string(),
            "success": true,
            "timestamp": memory.stored_at.to_string(),
            "embedding_dimensions": venom_embed::DIMENSIONS,
        }))
    }

    fn spawn_venom(&self, arguments: &JsonObject) -> Result<String, Failure> {
        let persona = match arguments.get("persona") {
            None | Some(Value::Null) => self.personas.load_or_default(&self.config.persona)?,
            Some(_) => {
                let name = required_text(arguments, "persona")?;
                self.personas.load(&PersonaName::parse(name.trim())?)?
            }
        };
        Ok(persona.markdown)
    }
}

/// One search result in the form of the contract, with its rank (from 1) and score, on demand the parts of
/// that.
pub(crate) fn result_json(hit: &Hit, rank: usize, explain: bool) -> Value {
    let mut value = json!({
        "memory_id": hit.memory.id.to_string(),
        "content": hit.memory.content.as_str(),
        "timestamp": hit.memory.stored_at.to_string(),
        "relevance_score": relevance_score(hit.similarity),
        "tags": tags_json(&hit.memory.tags),
        "rank": rank,
        "score": thousandths(hit.parts.sum()),
    });
    add_origin(&mut value, &hit.memory.origin);
    if explain {
        let parts = hit.parts.iter();
        let parts = parts.map(|(part, adds)| (part.name().to_owned(), json!(thousandths(adds))));
        let span = &hit.passage.0;
        value["explanation"] = json!({
            "parts": parts.collect::<JsonObject>(),
            "passage": hit.memory.content.as_str().get(span.clone()),
        });
    }
    value
}

/// Adds to a memory in JSON where it comes from, as far as is known.
pub(crate) fn add_origin(value: &mut Value, origin: &Origin) {
    if let Some(speaker) = &origin.speaker {
        value["speaker"] = json!(speaker.as_str());
    }
    if let Some(session) = &origin.session {
        value["session"] = json!(session.as_str());
    }
    if let Some(moment) = origin.occurred_at {
        value["occurred_at"] = json!(moment.to_string());
    }
}

fn thousandths(number: f32) -> f64 {
    (f64::from(number) * 1000.0).round() / 1000.0
}

/// Tags in the form of the contract: a list, or null for none.
pub(crate) fn tags_json(tags: &Tags) -> Value {
    let tags: Vec<&str> = tags.as_slice().iter().map(Tag::as_str).collect();
    if tags.is_empty() {
        Value::Null
    } else {
        json!(tags)
    }
}

/// 100 times the cosine similarity, not below 0, with one decimal.
pub(crate) fn relevance_score(similarity: f32) -> f64 {
    (f64::from(similarity).clamp(0.0, 1.0) * 1000.0).round() / 10.0
}

fn required_text<'a>(arguments: &'a JsonObject, field: &'static str) -> Result<&'a str, Failure> {
    match arguments.get(field) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(Failure::invalid(format!(
            "{field} is missing: expected a text"
        ))),
        Some(other) => Err(InputError::malformed(field, "a text", &shown(other)).into()),
    }
}

fn optional_text<'a>(
    arguments: &'a JsonObject,
    field: &'static str,
) -> Result<Option<&'a str>, Failure> {
    match arguments.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => required_text(arguments, field).map(Some),
    }
}

fn optional_texts(arguments: &JsonObject, field: &'static str) -> Result<Vec<String>, Failure> {
    let expected = "a list of texts";
    match arguments.get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            let texts = items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or(item));
            let texts: Result<Vec<String>, &Value> = texts.collect();
            Ok(texts.map_err(|item| InputError::malformed(field, expected, &shown(item)))?)
        }
        Some(other) => Err(InputError::malformed(field, expected, &shown(other)).into()),
    }
}

/// Where a memory comes from, as far as the arguments say.
fn origin(arguments: &JsonObject) -> Result<Origin, Failure> {
    let text = |field| optional_text(arguments, field);
    Ok(Origin {
        speaker: text("speaker")?.map(Speaker::parse).transpose()?,
        session: text("session")?.map(SessionName::parse).transpose()?,
        occurred_at: text("occurred_at")?.map(moment).transpose()?,
    })
}

fn moment(text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text.trim()).ok_or_else(|| {
        let expected = "a date (2026-03-01) or a time (2026-03-01T08:30:00Z)";
        InputError::malformed("occurred_at", expected, text).into()
    })
}

/// A value as an error quotes it: a text without its own quotes, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A whole number; also one written as text, as some clients send it and the predecessor took it.
fn limit(arguments: &JsonObject) -> Result<ResultLimit, Failure> {
    let value = match arguments.get("limit") {
        None | Some(Value::Null) => return Ok(ResultLimit::default()),
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let expected = "a whole number from 1 to 20";
    let malformed = || InputError::malformed("limit", expected, &shown(value));
    Ok(ResultLimit::parse(number.ok_or_else(malformed)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_list_costs_less_than_a_thousand_tokens() {
        // No tokenizer of a chat model spends less than about 3 bytes on a token of JSON.
        let json = serde_json::to_string(&list()).unwrap();
        assert!(json.len() < 3_000, "the tool list has {} bytes", json.len());
    }

    #[track_caller]
    fn check_limit(value: &Value, expected: Result<usize, &str>) {
        let arguments = json!({ "limit": value });
        let got = limit(arguments.as_object().unwrap());
        assert_eq!(
            got.map(ResultLimit::get).map_err(|f| f.message),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn limits_are_whole_numbers() {
        check_limit(&json!(null), Ok(5));
        check_limit(&json!(20), Ok(20));
        check_limit(&json!("7"), Ok(7));
        check_limit(
            &json!(0),
            Err("limit is out of range: expected 1 to 20, received 0"),
        );
        check_limit(
            &json!("five"),
            Err("limit is malformed: expected a whole number from 1 to 20, received \"five\""),
        );
        assert!(limit(json!({"limit": 2.5}).as_object().unwrap()).is_err());
    }

    #[test]
    fn scores_have_one_decimal_and_are_never_negative() {
        let shown = |similarity| relevance_score(similarity).to_string();
        assert_eq!(shown(0.123_46), "12.3");
        assert_eq!(shown(-0.5), "0");
        assert_eq!(shown(1.000_001), "100");
    }
}
