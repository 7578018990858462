//! The calls of the tools. How they are listed: [`super::definitions`].

use super::VenomServer;
use super::answers::{
    Budget, NOTE, View, add_masked, memory_json, short_memory_json, short_result_json,
};
use super::arguments::{
    filter, flag, memory_id, number, number_within, optional_text, optional_texts, origin,
    required_text,
};
use super::definitions;
use super::past::versions_json;
use crate::admitted::Admitted;
use crate::asked::{self, texts};
use crate::caller::Caller;
use crate::failure::Failure;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use serde_json::{Value, json};
use venom_core::{
    Content, Filter, InputError, ListPage, ListQuery, Memory, MemoryChange, MemoryId, NewMemory,
    PersonaName, PersonaSource as _, QueryText, RecallQuery, ResultLimit, Source, Tags, limits,
    visible,
};

/// Least and most tokens of an answer that may be asked for.
const ANSWER_TOKENS: (i64, i64, &str) = (100, 100_000, "a whole number from 100 to 100000");
/// Most memories on a page for a model.
const PAGE_MEMORIES: (i64, i64, &str) = (1, 100, "a whole number from 1 to 100");
/// Where a text may be read on, in characters of what is shown: no text is longer.
const OFFSETS: (i64, i64, &str) = (0, 3_145_728, "a whole number from 0 to 3145728");
const _: () =
    assert!(OFFSETS.1.unsigned_abs() == (limits::CONTENT_BYTES_MAX * visible::GROWTH_MAX) as u64);

/// Longest title of a search result for a connector, in characters.
const TITLE_CHARS_MAX: usize = 80;

impl VenomServer {
    /// Calls a tool. A failure is a result with `isError`, so that the model reads the sentence; only
    /// a tool that does not exist is a protocol error.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &JsonObject,
        caller: &Caller,
        source: Source,
    ) -> Result<CallToolResult, ErrorData> {
        let hub = &self.admitted(caller);
        let answer = match tool {
            "search_memory" => self.search_memory(arguments, hub).await,
            "store_memory" => self.store_memory(arguments, hub, source).await,
            "store_conversation" => self.store_conversation(arguments, hub, source).await,
            "list_memories" => self.list_memories(arguments, hub).await,
            "get_memory" => get_memory(arguments, hub).await,
            "update_memory" => self.update_memory(arguments, hub, source).await,
            "forget_memory" => self.forget_memory(arguments, hub, &source).await,
            "list_spaces" => self.list_spaces(hub).await,
            "move_memories" => self.move_memories(arguments, hub, source).await,
            "manage_space" => self.manage_space(arguments, hub, &source).await,
            "search" => self.search(arguments, hub).await,
            "fetch" => fetch(arguments, hub).await,
            "spawn_venom" => {
                let persona = self.spawn_venom(arguments);
                return Ok(persona.map_or_else(failed, |markdown| {
                    CallToolResult::success(vec![ContentBlock::text(markdown)])
                }));
            }
            unknown => {
                let tools = definitions::list(false);
                let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
                let (unknown, names) = (super::shortened(unknown), names.join(", "));
                let message = format!("unknown tool {unknown:?}: expected one of {names}");
                return Err(ErrorData::invalid_params(message, None));
            }
        };
        Ok(answer.map_or_else(failed, CallToolResult::structured))
    }

    async fn search_memory(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
    ) -> Result<Value, Failure> {
        let text = QueryText::parse(required_text(arguments, "query")?)?;
        let limit = number(arguments, "limit", "a whole number from 1 to 20")?;
        let explain = flag(arguments, "explain")?;
        let budget = budget(arguments)?;
        let query = RecallQuery {
            text,
            limit: limit.map_or_else(|| Ok(ResultLimit::default()), ResultLimit::parse)?,
            filter: filter(arguments, hub.default_space(&self.config.space))?,
            similarity_min: least_similarity(arguments)?,
            explain,
        };
        let hits = hub.recall(query).await?;
        let results = hits.iter().enumerate();
        let results = results.map(|(at, hit)| short_result_json(hit, at + 1, explain));
        let results = budget.fitting(results);
        let mut answer = json!({
            "total_results": results.len(),
            "results": results,
            "query_embedding_generated": true,
        });
        if !hits.is_empty() {
            answer["note"] = json!(NOTE);
        }
        if results.len() < hits.len() {
            answer["omitted_results"] = json!(hits.len() - results.len());
        }
        Ok(answer)
    }

    async fn store_memory(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
        source: Source,
    ) -> Result<Value, Failure> {
        let new = NewMemory {
            space: asked::space(
                optional_text(arguments, "space")?,
                hub.default_space(&self.config.space),
            )?,
            content: Content::parse(required_text(arguments, "content")?)?,
            tags: Tags::parse(&texts(arguments, "tags")?)?,
            origin: origin(arguments)?,
            precautions: self.config.precautions(&source),
            source,
            duplicates: self.config.duplicates,
        };
        let dimensions = self.hub.dimensions().await?;
        let remembered = hub.remember(new).await?;
        let memory = remembered.memory;
        let mut answer = json!({
            "memory_id": memory.id.to_string(),
            "success": true,
            "timestamp": memory.stored_at.to_string(),
            "embedding_dimensions": dimensions,
        });
        if remembered.duplicate {
            answer["duplicate_of"] = json!(memory.id.to_string());
        }
        if memory.quarantined {
            answer["quarantined"] = json!(true);
        }
        add_masked(&mut answer, &remembered.masked);
        Ok(answer)
    }

    async fn store_conversation(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
        source: Source,
    ) -> Result<Value, Failure> {
        let Some(Value::Array(turns)) = arguments.get("turns") else {
            let expected = "turns is missing: expected a list of objects with content and speaker";
            return Err(Failure::invalid(expected));
        };
        let space = asked::space(
            optional_text(arguments, "space")?,
            hub.default_space(&self.config.space),
        )?;
        let session = optional_text(arguments, "session")?;
        let precautions = self.config.precautions(&source);
        let new = asked::conversation(space, session, turns)?.from_source(source, precautions);
        let remembered = hub.remember_conversation(new).await?;
        let memories = remembered.memories;
        let first = memories.first();
        let session = first.and_then(|first| first.origin.session.as_ref());
        let session = session.map(|name| visible::line(name.as_str()));
        let ids: Vec<String> = memories
            .iter()
            .map(|memory| memory.id.to_string())
            .collect();
        let mut answer = json!({
            "memory_ids": ids,
            "session": session,
            "success": true,
        });
        if first.is_some_and(|first| first.quarantined) {
            answer["quarantined"] = json!(true);
        }
        add_masked(&mut answer, &remembered.masked);
        Ok(answer)
    }

    async fn list_memories(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
    ) -> Result<Value, Failure> {
        let limit = number_within(arguments, "limit", PAGE_MEMORIES)?;
        let cursor = optional_text(arguments, "cursor")?;
        let cursor = cursor.map(|text| {
            MemoryId::parse(text.trim()).map_err(|_| {
                InputError::malformed("cursor", "next_cursor of the page before", text)
            })
        });
        let budget = budget(arguments)?;
        let page = limit.unwrap_or(venom_core::limits::PAGE_MEMORIES_DEFAULT);
        let query = ListQuery {
            filter: filter(arguments, hub.default_space(&self.config.space))?,
            all_spaces: false,
            // One more tells whether there is another page.
            limit: ListPage::parse(i64::try_from(page + 1).unwrap_or(i64::MAX))?,
            before: cursor.transpose()?,
        };
        let mut memories = hub.list(query).await?;
        let mut is_last = memories.len() <= page;
        memories.truncate(page);
        let listed = budget.fitting(memories.iter().map(short_memory_json));
        is_last &= listed.len() == memories.len();
        let last = listed.last().map(|memory| memory["memory_id"].clone());
        let next_cursor = last.filter(|_| !is_last).unwrap_or(Value::Null);
        let mut answer = json!({"memories": listed, "next_cursor": next_cursor});
        if !memories.is_empty() {
            answer["note"] = json!(NOTE);
        }
        Ok(answer)
    }

    async fn update_memory(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
        source: Source,
    ) -> Result<Value, Failure> {
        let content = optional_text(arguments, "content")?;
        let tags = optional_texts(arguments, "tags")?;
        let change = MemoryChange {
            id: memory_id(arguments, "memory_id")?,
            content: content.map(Content::parse).transpose()?,
            tags: tags.map(|tags| Tags::parse(&tags)).transpose()?,
            origin: origin(arguments)?,
            precautions: self.config.precautions(&source),
            source,
        };
        if change.is_empty() {
            return Err(Failure::invalid(
                "nothing to change: expected content, tags, speaker, session or occurred_at",
            ));
        }
        let changed = hub.update(change).await?;
        let mut answer = memory_json(&changed.memory, View::Shown);
        add_masked(&mut answer, &changed.masked);
        Ok(answer)
    }

    async fn forget_memory(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
        source: &Source,
    ) -> Result<Value, Failure> {
        let id = memory_id(arguments, "memory_id")?;
        let undo = flag(arguments, "undo")?;
        if self.config.precautions(source).quarantine {
            return Err(InputError::Quarantined.into());
        }
        if undo {
            hub.restore(id).await?;
        } else {
            hub.forget(id).await?;
        }
        let mut answer = json!({"memory_id": id.to_string(), "forgotten": !undo});
        if let Some(age) = self.config.erase_after.filter(|_| !undo) {
            answer["erased_after"] = json!(age.to_string());
        }
        Ok(answer)
    }

    /// The connector's search: what it finds is fetched one by one.
    async fn search(&self, arguments: &JsonObject, hub: &Admitted<'_>) -> Result<Value, Failure> {
        let query = RecallQuery {
            text: QueryText::parse(required_text(arguments, "query")?)?,
            limit: ResultLimit::parse(10)?,
            filter: Filter::everything_in(hub.default_space(&self.config.space).clone()),
            similarity_min: None,
            explain: false,
        };
        let hits = hub.recall(query).await?;
        let result = |memory: &Memory| {
            json!({
                "id": memory.id.to_string(),
                "title": title(memory),
                "url": url(memory),
            })
        };
        let results: Vec<Value> = hits.iter().map(|hit| result(&hit.memory)).collect();
        Ok(json!({ "results": results }))
    }

    fn spawn_venom(&self, arguments: &JsonObject) -> Result<String, Failure> {
        let persona = match optional_text(arguments, "persona")? {
            None => self.personas.load_or_default(&self.config.persona)?,
            Some(name) => self.personas.load(&PersonaName::parse(name.trim())?)?,
        };
        Ok(persona.markdown)
    }
}

async fn get_memory(arguments: &JsonObject, hub: &Admitted<'_>) -> Result<Value, Failure> {
    let id = memory_id(arguments, "memory_id")?;
    let offset = number_within(arguments, "offset", OFFSETS)?.unwrap_or(0);
    let budget = budget(arguments)?;
    let memory = hub.show(id).await?;
    let mut answer = memory_json(&memory, View::Shown);
    // Pages are cut from what is shown, so that together they are the whole of it.
    let content = visible::text(memory.content.as_str());
    let start = content
        .char_indices()
        .nth(offset)
        .map_or(content.len(), |(at, _)| at);
    let part = budget.start_of(&content[start..]);
    answer["content"] = json!(part);
    if start + part.len() < content.len() {
        answer["next_offset"] = json!(offset + part.chars().count());
    }
    if flag(arguments, "history")? {
        let history = hub.history(id).await?;
        // The answer is what it is now; of what it was the newest matters most.
        let former = versions_json(&history, View::Shown).rev().skip(1);
        let versions = budget.fitting(former);
        let left_out = history.versions.len().saturating_sub(versions.len() + 1);
        answer["versions"] = json!(versions);
        match history.older as usize + left_out {
            0 => {}
            older => answer["older_versions"] = json!(older),
        }
    }
    Ok(answer)
}

async fn fetch(arguments: &JsonObject, hub: &Admitted<'_>) -> Result<Value, Failure> {
    let memory = hub.show(memory_id(arguments, "id")?).await?;
    let mut metadata = memory_json(&memory, View::Shown);
    if let Value::Object(fields) = &mut metadata {
        fields.retain(|name, value| name != "memory_id" && name != "content" && !value.is_null());
    }
    Ok(json!({
        "id": memory.id.to_string(),
        "title": title(&memory),
        "text": visible::text(memory.content.as_str()),
        "url": url(&memory),
        "metadata": metadata,
    }))
}

fn failed(failure: Failure) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(failure.message)])
}

fn budget(arguments: &JsonObject) -> Result<Budget, Failure> {
    let tokens = number_within(arguments, "max_tokens", ANSWER_TOKENS)?;
    Ok(Budget::of_tokens(tokens))
}

/// The least cosine similarity, from a relevance of 0 to 100.
fn least_similarity(arguments: &JsonObject) -> Result<Option<f32>, Failure> {
    match arguments.get("min_relevance") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => asked::least_similarity("min_relevance", &asked::shown(value)).map(Some),
    }
}

/// The start of the first line.
fn title(memory: &Memory) -> String {
    let line = memory.content.as_str().lines().next().unwrap_or_default();
    let line = visible::line(line);
    let mut title: String = line.chars().take(TITLE_CHARS_MAX).collect();
    if title.len() < line.len() {
        title.push('…');
    }
    title
}

/// Names a memory where a connector wants an address to cite. Nothing is served there.
fn url(memory: &Memory) -> String {
    format!("venom://memories/{}", memory.id)
}
