//! Answers on stdout, for people or as JSON.

use crate::failure::Failure;
use crate::mcp::{excerpt, memory_json, relevance_score, result_json};
use clap::ArgMatches;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use venom_core::recall::Parts;
use venom_core::{Hit, Memory, Persona, PersonaName, Remembered, SessionName, SpaceName, Stats};

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

fn json_line(value: &Value) -> Result<(), Failure> {
    line(&format!("{value:#}"))
}

/// Stored text may hold anything; to a terminal go no control characters but line feeds and tabs.
fn printable(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{FFFD}'
        } else {
            c
        }
    };
    text.chars().map(plain).collect()
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
        let _ = write!(text, "  {}:", printable(speaker.as_str()));
    }
    for tag in memory.tags.as_slice() {
        let _ = write!(text, "  #{}", printable(tag.as_str()));
    }
    text.push('\n');
    text
}

fn indented(content: &str) -> String {
    let mut text = String::new();
    for line in printable(content).lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// The answer to `store`.
pub(super) fn stored(remembered: &Remembered, json: bool) -> Result<(), Failure> {
    let Remembered { memory, duplicate } = remembered;
    if json {
        let mut value = memory_json(memory);
        if *duplicate {
            value["duplicate_of"] = json!(memory.id.to_string());
        }
        return json_line(&value);
    }
    line(&if *duplicate {
        format!("Remembered already as {}.", memory.id)
    } else {
        format!("Remembered as {}.", memory.id)
    })
}

/// The answer to `store-conversation`.
pub(super) fn stored_conversation(memories: &[Memory], json: bool) -> Result<(), Failure> {
    if json {
        let items: Vec<Value> = memories.iter().map(memory_json).collect();
        return json_line(&json!({ "memories": items }));
    }
    let session = memories
        .first()
        .and_then(|first| first.origin.session.as_ref());
    let session = session.map_or("", SessionName::as_str);
    line(&format!(
        "Remembered {} turns of {}.",
        memories.len(),
        printable(session)
    ))
}

/// The answer to `update` and `restore-memory`.
pub(super) fn changed(memory: &Memory, json: bool) -> Result<(), Failure> {
    if json {
        json_line(&memory_json(memory))
    } else {
        text(&memory_text(memory))
    }
}

/// The answer to `search`.
pub(super) fn hits(hits: &[Hit], json: bool, explain: bool) -> Result<(), Failure> {
    if json {
        let results = hits.iter().enumerate();
        let results: Vec<Value> = results
            .map(|(at, hit)| result_json(hit, at + 1, explain))
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
            let _ = writeln!(answer, "    words: {}", printable(&words));
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
    if json {
        let items: Vec<Value> = memories.iter().map(memory_json).collect();
        return json_line(&json!({ "memories": items }));
    }
    if memories.is_empty() {
        return line("No memories.");
    }
    text(&memories.iter().map(memory_text).collect::<String>())
}

/// The answer to `show`.
pub(super) fn memory(memory: &Memory, json: bool) -> Result<(), Failure> {
    if json {
        json_line(&memory_json(memory))
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
        }));
    }
    let spaces: Vec<&str> = stats.spaces.iter().map(SpaceName::as_str).collect();
    let rebuilding = match stats.rebuilding {
        0 => String::new(),
        count => format!(
            "index      being made anew for {count} large spaces: searches there take longer\n"
        ),
    };
    text(&format!(
        "memories   {} in {}, {} in all, {} forgotten\npassages   {}\nspaces     {}\nmodel      {}\n\
         engine     {}\ndata       {} ({:.1} MB, {})\n{rebuilding}process    {process}\n",
        stats.space_memories,
        space.as_str(),
        stats.memories,
        stats.forgotten,
        stats.passages,
        if spaces.is_empty() {
            "none".to_owned()
        } else {
            spaces.join(", ")
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
            printable(&persona.title)
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
