//! `venom space`: which spaces there are, and what becomes of them.

use super::{commands, output};
use crate::admitted::Admitted;
use crate::asked::FilterWords;
use crate::config::Config;
use crate::failure::Failure;
use clap::ArgMatches;
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use venom_core::counted::memories;
use venom_core::{
    Error, ErrorKind, Filter, ListPage, ListQuery, MemoryId, Move, Moved, Source, SpaceInfo,
    SpaceName, limits, visible,
};

/// What is asked.
enum Asked {
    List {
        json: bool,
    },
    Create(SpaceName),
    Rename {
        from: SpaceName,
        to: SpaceName,
    },
    Move {
        which: Which,
        to: SpaceName,
        dry_run: bool,
    },
    Delete {
        space: SpaceName,
        yes: bool,
    },
}

/// The memories that are to be moved.
enum Which {
    Ids(Vec<MemoryId>),
    Found(Filter),
}

/// What became of memories that were to be moved.
#[derive(Default)]
struct Tally {
    moved: usize,
    already: usize,
    missing: Vec<MemoryId>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the sentence and kind to show.
pub(super) async fn run(arguments: &ArgMatches, config: Arc<Config>) -> Result<(), Failure> {
    let asked = parse(arguments)?;
    commands::with_memories(&config, async |admitted, _| {
        carry_out(admitted, asked, &config).await
    })
    .await
}

fn parse(arguments: &ArgMatches) -> Result<Asked, Failure> {
    let name = |arguments: &ArgMatches, field: &str| {
        SpaceName::parse(commands::text_of(arguments, field).unwrap_or_default())
    };
    Ok(match arguments.subcommand() {
        Some(("list", arguments)) => Asked::List {
            json: arguments.get_flag("json"),
        },
        Some(("create", arguments)) => Asked::Create(name(arguments, "name")?),
        Some(("rename", arguments)) => Asked::Rename {
            from: name(arguments, "old")?,
            to: name(arguments, "new")?,
        },
        Some(("move", arguments)) => {
            let to = name(arguments, "to")?;
            Asked::Move {
                which: which(arguments, &to)?,
                to,
                dry_run: arguments.get_flag("dry-run"),
            }
        }
        Some(("delete", arguments)) => Asked::Delete {
            space: name(arguments, "name")?,
            yes: arguments.get_flag("yes"),
        },
        _ => {
            return Err(Failure::invalid(
                "expected space list, space create, space rename, space move or space delete",
            ));
        }
    })
}

fn which(arguments: &ArgMatches, to: &SpaceName) -> Result<Which, Failure> {
    let Some(from) = commands::text_of(arguments, "from") else {
        let ids = commands::texts(arguments, "ids");
        let ids = ids.iter().map(|id| MemoryId::parse(id));
        let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
        let mut met = HashSet::new();
        ids.retain(|id| met.insert(*id));
        return Ok(Which::Ids(ids));
    };
    let words = FilterWords {
        space: Some(from),
        ..commands::filter_words(arguments)
    };
    // The name that is asked for is the one that counts.
    let filter = words.read(to)?;
    if filter.space == *to {
        return Err(Failure::invalid(format!(
            "from and to are the same space: expected two, received {:?} twice",
            to.as_str()
        )));
    }
    Ok(Which::Found(filter))
}

async fn carry_out(hub: &Admitted<'_>, asked: Asked, config: &Config) -> Result<(), Failure> {
    let usual = &config.space;
    match asked {
        Asked::List { json } => list(&hub.spaces().await?, usual, json),
        Asked::Create(space) => {
            let named = shown(&space);
            let is_new = hub.create_space(space).await?;
            output::line(&if is_new {
                format!("Made the space {named}.")
            } else {
                format!("The space {named} was there already.")
            })
        }
        Asked::Rename { from, to } => {
            hub.rename_space(from.clone(), to.clone()).await?;
            output::line(&format!("Renamed {} to {}.", shown(&from), shown(&to)))?;
            if from != to && from == *usual {
                output::line(&format!(
                    "Calls that name no space still go to {}: set COLLECTION_NAME to {} where Venom is started.",
                    shown(&from),
                    shown(&to)
                ))?;
            }
            Ok(())
        }
        Asked::Move { which, to, dry_run } => {
            let tally = match which {
                Which::Ids(ids) => move_ids(hub, ids, &to, dry_run).await?,
                Which::Found(filter) => move_found(hub, filter, &to, dry_run).await?,
            };
            tell_moved(&tally, &to, dry_run)
        }
        Asked::Delete { space, yes } => delete(hub, space, yes, config).await,
    }
}

fn list(spaces: &[SpaceInfo], usual: &SpaceName, json: bool) -> Result<(), Failure> {
    if json {
        let spaces: Vec<_> = spaces
            .iter()
            .map(|space| {
                json!({
                    "space": space.name.as_str(),
                    "memories": space.memories,
                    "hidden": space.hidden,
                    "newest": space.newest.map(|newest| newest.to_string()),
                    "default": space.name == *usual,
                })
            })
            .collect();
        return output::line(&format!("{:#}", json!({ "spaces": spaces })));
    }
    if spaces.is_empty() {
        return output::line("There is no space yet: the first memory makes one.");
    }
    let mut text = String::new();
    for space in spaces {
        let mut line = format!("{}  {}", shown(&space.name), memories(space.memories));
        if let Some(newest) = space.newest {
            let newest = newest.to_string();
            let day = newest.get(..10).unwrap_or(&newest);
            let _ = write!(line, ", newest {day}");
        }
        if space.hidden > 0 {
            let _ = write!(line, ", {} hidden", space.hidden);
        }
        if space.name == *usual {
            line += "  (default)";
        }
        text += &line;
        text.push('\n');
    }
    output::text(&text)
}

/// A name as a terminal may show it.
fn shown(space: &SpaceName) -> String {
    visible::line(space.as_str()).into_owned()
}

async fn move_ids(
    hub: &Admitted<'_>,
    ids: Vec<MemoryId>,
    to: &SpaceName,
    dry_run: bool,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    if dry_run {
        for id in ids {
            match hub.show(id).await {
                Ok(memory) if memory.space == *to => tally.already += 1,
                Ok(_) => tally.moved += 1,
                Err(failure) => match failure.kind {
                    // To a move, what was erased is not there.
                    ErrorKind::NotFound | ErrorKind::Gone => tally.missing.push(id),
                    _ => return Err(failure),
                },
            }
        }
        return Ok(tally);
    }
    for ids in ids.chunks(limits::SPACE_BATCH_MAX) {
        tally.add(hub, ids.to_vec(), to).await?;
    }
    Ok(tally)
}

/// Moves what a filter finds, page by page; what is stored meanwhile stays.
async fn move_found(
    hub: &Admitted<'_>,
    filter: Filter,
    to: &SpaceName,
    dry_run: bool,
) -> Result<Tally, Failure> {
    let spaces = hub.spaces().await?;
    if spaces.iter().all(|space| space.name != filter.space) {
        return Err(Error::SpaceNotFound(filter.space).into());
    }
    let limit = ListPage::parse(i64::try_from(limits::SPACE_BATCH_MAX).unwrap_or(1))?;
    let (mut tally, mut before) = (Tally::default(), None);
    loop {
        let query = ListQuery {
            filter: filter.clone(),
            all_spaces: false,
            limit,
            before,
        };
        let page = hub.list(query).await?;
        let ids: Vec<MemoryId> = page.iter().map(|memory| memory.id).collect();
        before = ids.last().copied();
        if before.is_none() {
            return Ok(tally);
        }
        if dry_run {
            tally.moved += ids.len();
        } else {
            tally.add(hub, ids, to).await?;
        }
    }
}

impl Tally {
    async fn add(
        &mut self,
        hub: &Admitted<'_>,
        ids: Vec<MemoryId>,
        to: &SpaceName,
    ) -> Result<(), Failure> {
        let what = Move::new(ids.clone(), to.clone(), Source::command_line())?;
        for (id, answer) in ids.into_iter().zip(hub.move_memories(what).await?) {
            match answer {
                Moved::Moved => self.moved += 1,
                Moved::Already => self.already += 1,
                Moved::NotFound => self.missing.push(id),
            }
        }
        Ok(())
    }
}

fn tell_moved(tally: &Tally, to: &SpaceName, dry_run: bool) -> Result<(), Failure> {
    let verb = if dry_run { "Would move" } else { "Moved" };
    let moved = memories(tally.moved as u64);
    let mut said = format!("{verb} {moved} to {}", shown(to));
    if tally.already > 0 {
        let _ = write!(said, "; {} there already", tally.already);
    }
    output::line(&format!("{said}."))?;
    if tally.missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = tally.missing.iter().map(ToString::to_string).collect();
    let message = format!("not found: {}", missing.join(", "));
    Err(Failure::new(ErrorKind::NotFound, message))
}

async fn delete(
    hub: &Admitted<'_>,
    space: SpaceName,
    yes: bool,
    config: &Config,
) -> Result<(), Failure> {
    let spaces = hub.spaces().await?;
    let Some(info) = spaces.into_iter().find(|it| it.name == space) else {
        return Err(Error::SpaceNotFound(space).into());
    };
    if !yes {
        confirm(&info)?;
    }
    let named = shown(&space);
    output::line(&match hub.delete_space(space.clone()).await? {
        0 => format!("Deleted the space {named}: there was no memory to hide."),
        forgotten => format!(
            "Deleted the space {named}: hid {}. venom restore-memory ID brings one back, and the space with it{}.",
            memories(forgotten),
            config.erase_after.map_or_else(String::new, |age| format!(
                ", until they are erased after {age}"
            ))
        ),
    })?;
    if space == config.space {
        output::line(
            "It is the space of calls that name none (COLLECTION_NAME): the next memory that they store makes it anew.",
        )?;
    }
    Ok(())
}

/// Has the user type the name of the space, as what is asked for is more than a slip of the hand should do.
fn confirm(info: &SpaceInfo) -> Result<(), Failure> {
    let named = shown(&info.name);
    if !io::stdin().is_terminal() {
        return Err(Failure::invalid(format!(
            "nothing was deleted: expected --yes, as nobody can be asked, to hide {} of the space {named}",
            memories(info.memories)
        )));
    }
    let typed = commands::asked_for(&format!(
        "This hides {} of the space {named} from every assistant. Type the name of the space to go on: ",
        memories(info.memories)
    ))?;
    if typed.trim() == info.name.as_str() {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "nothing was deleted: expected {named}, received {:?}",
        typed.trim()
    )))
}
