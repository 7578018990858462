//! `venom quarantine`: what waits for the owner, and what becomes of it.

use super::{commands, output};
use crate::admitted::Admitted;
use crate::config::Config;
use crate::failure::Failure;
use clap::ArgMatches;
use std::sync::Arc;
use venom_core::{ListPage, MemoryId, Verdict, counted, limits};

/// What is asked.
enum Asked {
    List {
        before: Option<MemoryId>,
        limit: ListPage,
        json: bool,
    },
    Judge(MemoryId, Verdict),
    ReleaseAll,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the sentence and kind to show.
pub(super) async fn run(arguments: &ArgMatches, config: Arc<Config>) -> Result<(), Failure> {
    let asked = parse(arguments)?;
    commands::with_memories(&config, async |admitted, _| {
        carry_out(admitted, asked).await
    })
    .await
}

fn parse(arguments: &ArgMatches) -> Result<Asked, Failure> {
    let judge = |arguments, verdict| Ok(Asked::Judge(commands::memory_id(arguments)?, verdict));
    match arguments.subcommand() {
        Some(("list", arguments)) => {
            let expected = "a whole number from 1 to 1000";
            let before = arguments.get_one::<String>("before");
            Ok(Asked::List {
                before: before.map(|id| MemoryId::parse(id)).transpose()?,
                limit: ListPage::parse(commands::number(arguments, "limit", expected)?)?,
                json: arguments.get_flag("json"),
            })
        }
        Some(("release", arguments)) if arguments.get_flag("all") => Ok(Asked::ReleaseAll),
        Some(("release", arguments)) => judge(arguments, Verdict::Release),
        Some(("discard", arguments)) => judge(arguments, Verdict::Discard),
        _ => Err(Failure::invalid(
            "expected quarantine list, quarantine release or quarantine discard",
        )),
    }
}

async fn carry_out(hub: &Admitted<'_>, asked: Asked) -> Result<(), Failure> {
    match asked {
        Asked::List {
            before,
            limit,
            json,
        } => output::quarantined(&hub.quarantined(before, limit).await?, json),
        Asked::Judge(id, verdict) => {
            hub.judge(id, verdict).await?;
            output::line(&match verdict {
                Verdict::Release => format!("Released {id}."),
                Verdict::Discard => format!("Discarded {id}."),
            })
        }
        Asked::ReleaseAll => {
            let waiting = all_waiting(hub).await?;
            for id in &waiting {
                hub.judge(*id, Verdict::Release).await?;
            }
            output::line(&format!("Released {}.", counted::memories(waiting.len())))
        }
    }
}

/// Everything that waits now, so that what comes meanwhile goes on waiting.
async fn all_waiting(hub: &Admitted<'_>) -> Result<Vec<MemoryId>, Failure> {
    let page = i64::try_from(limits::PAGE_MEMORIES_MAX).unwrap_or(1);
    let limit = ListPage::parse(page)?;
    let mut ids: Vec<MemoryId> = Vec::new();
    loop {
        let page = hub.quarantined(ids.last().copied(), limit).await?;
        if page.is_empty() {
            return Ok(ids);
        }
        ids.extend(page.iter().map(|memory| memory.id));
    }
}
