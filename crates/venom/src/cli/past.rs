//! `venom history`, `venom restore-memory --version` and `venom erase`.

use super::{commands, output};
use crate::admitted::Admitted;
use crate::age::Age;
use crate::config::Config;
use crate::failure::Failure;
use crate::mcp::{View, made_by, versions_json};
use clap::ArgMatches;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use venom_core::{
    Cause, Erasure, Erasures, ErrorKind, History, InputError, MemoryId, Replaced, Source, Version,
    counted, visible,
};

/// Longest line of a memory that is shown before it is erased, in characters.
const LINE_CHARS_MAX: usize = 80;
/// Most memories that are erased at once.
const IDS_MAX: usize = 1_000;

/// What is asked.
enum Asked {
    History { id: MemoryId, kept: Option<Age> },
    Restore { id: MemoryId, version: u32 },
    Erase { ids: Vec<MemoryId>, sure: bool },
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the sentence and kind to show.
pub(super) async fn run(
    name: &str,
    arguments: &ArgMatches,
    config: Arc<Config>,
) -> Result<(), Failure> {
    let asked = parse(name, arguments, &config)?;
    let json = arguments.get_flag("json");
    commands::with_memories(&config, async |admitted, _| match asked {
        Asked::History { id, kept } => show_history(&admitted.history(id).await?, kept, json),
        Asked::Restore { id, version } => {
            let source = Source::command_line();
            output::memory(&admitted.restore_version(id, version, source).await?, json)
        }
        Asked::Erase { ids, sure } => erase(admitted, &ids, (sure, json)).await,
    })
    .await
}

fn parse(name: &str, arguments: &ArgMatches, config: &Config) -> Result<Asked, Failure> {
    Ok(match name {
        "history" => Asked::History {
            id: commands::memory_id(arguments)?,
            kept: config.erase_after,
        },
        "erase" => {
            let given = arguments.get_many::<String>("id").unwrap_or_default();
            let mut ids = given
                .map(|id| MemoryId::parse(id))
                .collect::<Result<Vec<_>, _>>()?;
            ids.sort();
            ids.dedup();
            if ids.len() > IDS_MAX {
                return Err(Failure::new(
                    ErrorKind::TooLarge,
                    format!(
                        "too many memories: expected at most {IDS_MAX}, received {}",
                        ids.len()
                    ),
                ));
            }
            let sure = arguments.get_flag("yes");
            if !sure && !io::stdin().is_terminal() {
                return Err(Failure::invalid(
                    "what is erased cannot be restored: expected --yes, or a terminal to ask on",
                ));
            }
            Asked::Erase { ids, sure }
        }
        _ => {
            let text = commands::text_of(arguments, "version").unwrap_or_default();
            let version = text.trim().parse().ok().filter(|number| *number > 0);
            let expected = "the number of a version, 1 or larger";
            Asked::Restore {
                id: commands::memory_id(arguments)?,
                version: version.ok_or_else(|| InputError::malformed("version", expected, text))?,
            }
        }
    })
}

fn show_history(history: &History, kept: Option<Age>, json: bool) -> Result<(), Failure> {
    if json {
        return output::json_line(&json!({
            "memory_id": history.id.to_string(),
            "hidden_at": history.hidden_at.map(|at| at.to_string()),
            "quarantined": history.quarantined,
            "versions": versions_json(history, View::Original).collect::<Vec<_>>(),
            "older_versions": history.older,
        }));
    }
    let mut text = String::new();
    if let Some(at) = history.hidden_at {
        let what = if history.quarantined {
            "In quarantine since"
        } else {
            "Forgotten at"
        };
        let kept = kept.filter(|_| !history.quarantined);
        let erased = kept.map_or_else(String::new, |age| format!(", erased for good after {age}"));
        let _ = writeln!(text, "{what} {at}{erased}.");
    }
    if history.older > 0 {
        let older = counted(history.older, "older version is", "older versions are");
        let _ = writeln!(text, "     ({older} not shown)");
    }
    let mut before: Option<&Version> = None;
    for (version, made) in history.versions.iter().zip(made_by(history)) {
        text.push_str(&version_head(history, version, made));
        match before {
            Some(before) if before.content == version.content => text.push_str("    (same text)\n"),
            _ => text.push_str(&output::indented(version.content.as_str())),
        }
        before = Some(version);
    }
    output::text(&text)
}

/// Number, moment, cause, through whom, who said it, tags.
fn version_head(history: &History, version: &Version, made: Option<&Replaced>) -> String {
    let (at, what, by) = match made {
        Some(change) => (
            change.at,
            what_was_done(change.cause),
            output::via(&change.by),
        ),
        None if version.number == 1 => (version.stored_at, "stored", output::via(&history.source)),
        None => (version.stored_at, "changed", String::new()),
    };
    let at = at.to_string();
    let mut head = format!(
        "{:>3}  {}  {what}",
        version.number,
        at.get(..19).unwrap_or(&at)
    );
    if let Some(speaker) = &version.origin.speaker {
        let _ = write!(head, "  {}:", visible::line(speaker.as_str()));
    }
    for tag in version.tags.as_slice() {
        let _ = write!(head, "  #{}", visible::line(tag.as_str()));
    }
    head + &by + "\n"
}

const fn what_was_done(cause: Cause) -> &'static str {
    match cause {
        Cause::Updated => "updated",
        Cause::StoredAgain => "stored again",
        Cause::Restored => "former version restored",
        Cause::Moved => "moved to another space",
    }
}

async fn erase(
    admitted: &Admitted<'_>,
    ids: &[MemoryId],
    (sure, json): (bool, bool),
) -> Result<(), Failure> {
    // Whoever mistypes one shall not lose the others.
    let mut lines = String::new();
    for id in ids {
        match admitted.history(*id).await {
            Ok(history) => {
                let line = first_line(&history);
                let _ = writeln!(lines, "{id}  {line}");
            }
            Err(failure) if failure.kind == ErrorKind::Gone => {}
            Err(failure) if ids.len() > 1 => {
                let message = format!("{}: nothing was erased", failure.message);
                return Err(Failure { message, ..failure });
            }
            Err(failure) => return Err(failure),
        }
    }
    if !sure && !lines.is_empty() && !confirmed(&lines)? {
        return output::line("Nothing was erased.");
    }
    let erasures = admitted.erase(ids).await?;
    if json {
        return output::json_line(&erasures_json(ids, &erasures));
    }
    output::text(&erasures_text(ids, &erasures))
}

/// The start of the first line of what a memory is now.
fn first_line(history: &History) -> String {
    let text = history
        .versions
        .last()
        .map_or("", |version| version.content.as_str());
    let line = visible::line(text.lines().next().unwrap_or_default()).into_owned();
    let start: String = line.chars().take(LINE_CHARS_MAX).collect();
    if start.len() < text.len() {
        start + "…"
    } else {
        start
    }
}

/// Asks on the terminal.
fn confirmed(lines: &str) -> Result<bool, Failure> {
    let question = format!("{lines}Erase for good, with all former versions? Type yes: ");
    let answer = commands::asked_for(&question)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

fn erasures_text(ids: &[MemoryId], erasures: &Erasures) -> String {
    let mut text = String::new();
    for (id, erasure) in ids.iter().zip(&erasures.each) {
        let _ = match erasure {
            Erasure::Erased => writeln!(text, "Erased {id} for good."),
            Erasure::Before(at) => writeln!(text, "{id} was erased before, at {at}."),
            Erasure::Unknown => writeln!(text, "{id} was not found."),
        };
    }
    if erasures.is_under_way {
        let _ = match &erasures.stuck {
            Some(reason) => writeln!(
                text,
                "Bytes of it may still be in files of the data folder, as they cannot be removed now: {}. Give the same \
                 command again to try again.",
                visible::line(reason)
            ),
            None => writeln!(
                text,
                "Bytes of it may still be in files of the data folder; they are removed in the background as long as \
                 Venom runs, and from its next start on. Give the same command again to see whether that is done."
            ),
        };
    }
    if !erasures.backups.is_empty() {
        text.push_str("These backups may still hold it; restoring one brings it back:\n");
        for backup in &erasures.backups {
            let _ = writeln!(
                text,
                "    {}  of {}",
                visible::line(&backup.path),
                backup.made_at
            );
        }
    }
    text
}

fn erasures_json(ids: &[MemoryId], erasures: &Erasures) -> Value {
    let each = ids.iter().zip(&erasures.each).map(|(id, erasure)| {
        let mut value =
            json!({"memory_id": id.to_string(), "erased": *erasure != Erasure::Unknown});
        if let Erasure::Before(at) = erasure {
            value["erased_before"] = json!(at.to_string());
        }
        value
    });
    let backups = erasures.backups.iter();
    let backups = backups.map(|it| json!({"path": it.path, "made_at": it.made_at.to_string()}));
    json!({
        "memories": each.collect::<Vec<_>>(),
        "under_way": erasures.is_under_way,
        "stuck": erasures.stuck,
        "backups": backups.collect::<Vec<_>>(),
    })
}
