//! Answers on stdout, for people or as JSON.

use crate::failure::Failure;
use crate::mcp::{View, add_masked, excerpt, memory_json, relevance_score, result_json};
use clap::ArgMatches;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use venom_core::recall::Parts;
use venom_core::{
    Changed, ClientName, Hit, Memory, Persona, PersonaName, Remembered, RememberedConversation,
    SecretKind, SessionName, Source, SpaceName, Stats, TokenName, visible,
};

/// Writes text to stdout. A reader that has gone away (`| head`) is no failure.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::internal(format!(
            "the answer cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Writes one line.
pub(super) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

pub(super) fn json_line(value: &Value) -> Result<(), Failure> {
    line(&format!("{value:#}"))
}

/// A memory as programs read it: as it was stored.
fn original(memory: &Memory) -> Value {
    memory_json(memory, View::Original)
}

/// Head line (id, day, tags) and indented text of a memory.
fn memory_text(memory: &Memory) -> String {
    memory_head(memory) + &indented(memory.content.as_str())
}

fn memory_head(memory: &Memory) -> String {
    let mut text = memory.id.to_string();
    let time = memory.moment().to_string();
    let _ = write!(text, "  {}", time.get(..10).unwrap_or(&time));
    if let Some(speaker) = &memory.origin.speaker {
        let _ = write!(text, "  {}:", visible::line(speaker.as_str()));
    }
    for tag in memory.tags.as_slice() {
        let _ = write!(text, "  #{}", visible::line(tag.as_str()));
    }
    text.push_str(&via(&memory.source));
    text.push('\n');
    text
}

/// Through whom a memory came in, but for the owner's own words at the command line.
pub(super) fn via(source: &Source) -> String {
    if source.is_command_line() {
        return String::new();
    }
    let client = source.client.as_ref().map(ClientName::as_str);
    let token = source.token.as_ref().map(TokenName::as_str);
    match (client, token) {
        (Some(client), Some(token)) => format!("  via {client} ({token})"),
        (Some(name), None) | (None, Some(name)) => format!("  via {name}"),
        (None, None) => String::new(),
    }
}

pub(super) fn indented(content: &str) -> String {
    let mut text = String::new();
    for line in visible::text(content).lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// The answer to `store`.
pub(super) fn stored(remembered: &Remembered, json: bool) -> Result<(), Failure> {
    let Remembered {
        memory,
        duplicate,
        masked,
    } = remembered;
    if json {
        let mut value = original(memory);
        if *duplicate {
            value["duplicate_of"] = json!(memory.id.to_string());
        }
        add_masked(&mut value, masked);
        return json_line(&value);
    }
    let what = match (duplicate, memory.quarantined) {
        (true, _) => "Remembered already as",
        (false, true) => "Put into quarantine as",
        (false, false) => "Remembered as",
    };
    line(&format!("{what} {}{}.", memory.id, without(masked)))
}

/// What was masked, for people.
fn without(masked: &[SecretKind]) -> String {
    let names: Vec<&str> = masked.iter().map(|kind| kind.name()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(", masked: {}", names.join(", "))
}

/// The answer to `store-conversation`.
pub(super) fn stored_conversation(
    remembered: &RememberedConversation,
    json: bool,
) -> Result<(), Failure> {
    let RememberedConversation { memories, masked } = remembered;
    if json {
        let items: Vec<Value> = memories.iter().map(original).collect();
        let mut value = json!({ "memories": items });
        add_masked(&mut value, masked);
        return json_line(&value);
    }
    let session = memories
        .first()
        .and_then(|first| first.origin.session.as_ref());
    let session = session.map_or("", SessionName::as_str);
    line(&format!(
        "Remembered {} turns of {}{}.",
        memories.len(),
        visible::line(session),
        without(masked)
    ))
}

/// The answer to `update`.
pub(super) fn changed(changed: &Changed, json: bool) -> Result<(), Failure> {
    let Changed { memory, masked } = changed;
    if json {
        let mut value = original(memory);
        add_masked(&mut value, masked);
        json_line(&value)
    } else {
        text(&memory_text(memory))
    }
}

/// The answer to `search`.
pub(super) fn hits(hits: &[Hit], json: bool, explain: bool) -> Result<(), Failure> {
    if json {
        let results = hits.iter().enumerate();
        let results: Vec<Value> = results
            .map(|(at, hit)| result_json(hit, at + 1, explain, View::Original))
            .collect();
        return json_line(&json!({ "total_results": results.len(), "results": results }));
    }
    if hits.is_empty() {
        return line("Nothing found.");
    }
    let mut answer = String::new();
    for hit in hits {
        let content = hit.memory.content.as_str();
        let shown = excerpt(hit).unwrap_or(content);
        let relevance = relevance_score(hit.similarity);
        let _ = write!(answer, "{relevance:5.1}  {}", memory_head(&hit.memory));
        answer.push_str(&indented(shown));
        if shown.len() < content.len() {
            let (chars, id) = (content.chars().count(), hit.memory.id);
            let _ = writeln!(answer, "    … of {chars} characters: venom show {id}");
        }
        if explain {
            let _ = writeln!(answer, "    = {}", explanation(&hit.parts));
            let words = hit.matched_words.join(" ");
            let _ = writeln!(answer, "    words: {}", visible::line(&words));
            if let Some(passage) = content.get(hit.passage.0.clone()).filter(|p| *p != shown) {
                let _ = write!(answer, "    passage:\n{}", indented(passage));
            }
        }
    }
    text(&answer)
}

/// The parts of a score that are not zero.
fn explanation(parts: &Parts) -> String {
    let shown = parts.iter().filter(|(_, adds)| *adds != 0.0);
    let shown: Vec<String> = shown
        .map(|(part, adds)| format!("{} {adds:.2}", part.name()))
        .collect();
    format!("score {:.2}: {}", parts.sum(), shown.join(" + "))
}

/// The answer to `list`.
pub(super) fn memories(memories: &[Memory], json: bool) -> Result<(), Failure> {
    listed(memories, "No memories.", json)
}

/// The answer to `quarantine list`.
pub(super) fn quarantined(memories: &[Memory], json: bool) -> Result<(), Failure> {
    listed(memories, "Nothing waits in quarantine.", json)
}

fn listed(memories: &[Memory], nothing: &str, json: bool) -> Result<(), Failure> {
    if json {
        let items: Vec<Value> = memories.iter().map(original).collect();
        return json_line(&json!({ "memories": items }));
    }
    if memories.is_empty() {
        return line(nothing);
    }
    text(&memories.iter().map(memory_text).collect::<String>())
}

/// The answer to `show` and `restore-memory`.
pub(super) fn memory(memory: &Memory, json: bool) -> Result<(), Failure> {
    if json {
        json_line(&original(memory))
    } else {
        text(&memory_text(memory))
    }
}

/// The answer to `stats`.
pub(super) fn stats(
    stats: &Stats,
    space: &SpaceName,
    process: &str,
    json: bool,
) -> Result<(), Failure> {
    if json {
        let spaces: Vec<&str> = stats.spaces.iter().map(SpaceName::as_str).collect();
        return json_line(&json!({
            "space": space.as_str(),
            "space_memories": stats.space_memories,
            "memories": stats.memories,
            "forgotten": stats.forgotten,
            "quarantined": stats.quarantined,
            "passages": stats.passages,
            "database_bytes": stats.database_bytes,
            "spaces": spaces,
            "model": stats.model.name,
            "model_sha256": stats.model.sha256,
            "embedding_dimensions": stats.model.dimensions,
            "engine": stats.engine,
            "data": stats.location,
            "storage": stats.storage,
            "spaces_being_indexed": stats.rebuilding,
            "unclean": stats.unclean,
        }));
    }
    let spaces: Vec<&str> = stats.spaces.iter().map(SpaceName::as_str).collect();
    let rebuilding = match stats.rebuilding {
        0 => String::new(),
        count => format!(
            "index      being made anew for {count} large spaces: searches there take longer\n"
        ),
    };
    let unclean = stats.unclean.as_ref().map_or_else(String::new, |reason| {
        format!("erased     bytes of erased memories may still be in the files: {reason}\n")
    });
    let waiting = match stats.quarantined {
        0 => String::new(),
        count => format!(", {count} in quarantine"),
    };
    text(&format!(
        "memories   {} in {}, {} in all, {} forgotten{waiting}\npassages   {}\nspaces     {}\nmodel      {}\n\
         engine     {}\ndata       {} ({:.1} MB, {})\n{rebuilding}{unclean}process    {process}\n",
        stats.space_memories,
        visible::line(space.as_str()),
        stats.memories,
        stats.forgotten,
        stats.passages,
        if spaces.is_empty() {
            "none".to_owned()
        } else {
            visible::line(&spaces.join(", ")).into_owned()
        },
        stats.model,
        stats.engine,
        stats.location,
        stats.database_bytes as f64 / 1e6,
        stats.storage,
    ))
}

/// The answer to `persona list`.
pub(super) fn personas(
    personas: &[Persona],
    chosen: &PersonaName,
    json: bool,
) -> Result<(), Failure> {
    if json {
        let items = personas.iter().map(|persona| {
            json!({
                "name": persona.name.as_str(),
                "title": persona.title,
                "configured": persona.name == *chosen,
            })
        });
        return json_line(&json!({ "personas": items.collect::<Vec<_>>() }));
    }
    let line = |persona: &Persona| {
        let mark = if persona.name == *chosen { '*' } else { ' ' };
        format!(
            "{mark} {:<16}  {}\n",
            persona.name.as_str(),
            visible::line(&persona.title)
        )
    };
    text(&personas.iter().map(line).collect::<String>())
}

/// Prints a completion script.
pub(super) fn completions(arguments: &ArgMatches) {
    if let Some(shell) = arguments.get_one::<clap_complete::Shell>("shell") {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut super::words::command(), "venom", &mut script);
        let _ = io::stdout().write_all(&script);
    }
}
