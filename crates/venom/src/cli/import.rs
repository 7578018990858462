//! `import`: memories out of other programs' files, and out of our own exports.

use super::commands::{text_of, with_memories};
use super::output;
use crate::admitted::Admitted;
use crate::asked::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::imports::{Batches, Progress, Tally};
use clap::ArgMatches;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use venom_core::{
    Clock as _, Foretold, Imported, MemoryId, NewImport, SecretPolicy, counted, visible,
    without_secrets,
};
use venom_import::{Kind, Left, Options, Records, Unusable, Watch};

/// Records that are named with the reason why they were left out.
const REASONS_SHOWN_MAX: usize = 20;

/// Imports a file or folder.
///
/// # Errors
/// [`Failure`] if there is nothing there that can be read, or it cannot be stored.
pub(super) async fn run(arguments: &ArgMatches, config: Arc<Config>) -> Result<(), Failure> {
    let path = text_of(arguments, "path")
        .map(PathBuf::from)
        .unwrap_or_default();
    let kind = text_of(arguments, "from").map(kind_of).transpose()?;
    let options = Options {
        space: config.space.clone(),
        other_collections: true,
        conversations: arguments.get_flag("conversations"),
        scratch: std::env::temp_dir(),
        watch: Watch::default(),
    };
    // Bad input is found before the data folder is touched.
    let records = venom_import::open(&path, kind, &options).map_err(unusable)?;
    let left = if kind.is_none() {
        records.left.clone()
    } else {
        // Whoever named a kind knows that there are others.
        Vec::new()
    };
    let kind = records.kind;
    let json = arguments.get_flag("json");
    let dry = arguments.get_flag("dry-run");
    let tally = if !dry {
        with_memories(&config, async |admitted, _| {
            import(records, &options.watch, admitted).await
        })
        .await?
    } else if config.data.is_dir() {
        with_memories(&config, async |admitted, _| {
            look(records, Some(admitted), &config).await
        })
        .await?
    } else {
        // To look makes no data folder.
        look(records, None, &config).await?
    };
    let (notes, passed_over) = (options.watch.take_notes(), options.watch.passed_over());
    if json {
        let mut summary = as_json(kind, &tally, dry, &left);
        summary["notes"] = notes.into();
        summary["passed_over"] = passed_over
            .iter()
            .map(|(what, count)| ((*what).to_owned(), json!(count)))
            .collect();
        return output::line(&format!("{summary:#}"));
    }
    let mut text = as_text(kind, &tally, dry);
    for (what, count) in &passed_over {
        let _ = writeln!(text, "passed over: {count} {what}");
    }
    for note in &notes {
        let _ = writeln!(text, "note: {}", visible::line(note));
    }
    for left in &left {
        let _ = writeln!(text, "{}", left_out(left, &path));
    }
    output::text(&text)
}

fn kind_of(name: &str) -> Result<Kind, Failure> {
    Kind::of_name(name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        Failure::invalid(format!(
            "from is malformed: expected one of {}, received {name:?}",
            names.join(", ")
        ))
    })
}

fn unusable(Unusable(why): Unusable) -> Failure {
    // It may quote the first record.
    Failure::invalid(without_secrets(&why))
}

/// Reads everything and stores nothing. Without a data folder everything is new.
async fn look(
    records: Records,
    admitted: Option<&Admitted<'_>>,
    config: &Config,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut foretold = Foretold::default();
    for batch in Batches::new(records.found) {
        let batch = batch.map_err(unusable)?;
        tally.read(&batch);
        let secrets = config.rules.secrets;
        let answers = match admitted {
            Some(admitted) => admitted.look_at_import(batch.new.clone()).await?,
            None => batch.new.iter().map(|new| alone(new, secrets)).collect(),
        };
        let records = batch.places.into_iter().zip(batch.new).zip(answers);
        for ((place, new), answer) in records {
            let key = new.key();
            // What another process keeps as it is, it does.
            let kept = new.clone().screened(secrets).unwrap_or(new);
            tally.came(&[place], &[foretold.settle(key, &kept, answer)]);
        }
    }
    Ok(tally)
}

/// What would become of a record where no memories are: it keeps its id, if that is of the past.
fn alone(new: &NewImport, secrets: SecretPolicy) -> Imported {
    if let Err(error) = new.clone().screened(secrets) {
        return Imported::Refused(error.to_string());
    }
    let now = u64::try_from(SystemClock.now().as_micros()).unwrap_or_default();
    let given = MemoryId::new(now).expect("microseconds stay below i64::MAX until 294246 AD");
    Imported::Stored(new.id.filter(|id| *id < given).unwrap_or(given))
}

async fn import(
    records: Records,
    watch: &Watch,
    admitted: &Admitted<'_>,
) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut progress = Progress::new(records.total, watch);
    let is_terminal = io::stderr().is_terminal();
    let mut bar = is_terminal.then(|| Bar(io::stderr()));
    for batch in Batches::new(records.found) {
        let batch = batch.map_err(|Unusable(why)| {
            let (were, known) = (if tally.stored == 1 { "was" } else { "were" }, tally.known);
            Failure::invalid(format!(
                "{}; before that, {} {were} imported and {known} known already",
                without_secrets(&why),
                counted::memories(tally.stored)
            ))
        })?;
        tally.read(&batch);
        tally.came(&batch.places, &admitted.import(batch.new).await?);
        if let Some(bar) = &mut bar {
            bar.show(&progress.bar(tally.records()));
        } else if let Some(line) = progress.line(tally.records()) {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
    Ok(tally)
}

/// The line of a terminal that shows how far it is. Whatever comes of the import begins on an empty line.
struct Bar(io::Stderr);

impl Bar {
    fn show(&mut self, text: &str) {
        let _ = write!(self.0, "\r\x1b[K{text}");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let _ = write!(self.0, "\r\x1b[K");
    }
}

/// The summary for programs.
fn as_json(kind: Kind, tally: &Tally, dry: bool, left: &[Left]) -> Value {
    let left = left
        .iter()
        .map(|left| json!({"kind": left.kind.name(), "count": left.count, "first": left.first}));
    json!({
        "kind": kind.name(),
        "dry_run": dry,
        "imported": tally.stored,
        "known": tally.known,
        "hidden": tally.hidden,
        "skipped": tally.skipped,
        "reasons": tally.reasons,
        "renumbered": tally.new_ids(),
        "left": left.collect::<Vec<_>>(),
    })
}

/// What is of another kind, with the command that imports it.
fn left_out(left: &Left, path: &Path) -> String {
    let kind = left.kind.name();
    let first = visible::line(&left.first);
    let what = match left.count {
        1 => format!("{first} is {kind}"),
        count => format!("{first} and {} more are {kind}", count - 1),
    };
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+~@%".contains(c);
    let path = if path.chars().all(is_plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    };
    let path = visible::line(&path);
    format!("left alone: {what}, to be imported with venom import {path} --from {kind}")
}

/// The summary for people.
fn as_text(kind: Kind, tally: &Tally, dry: bool) -> String {
    let (stored, skipped) = (counted::memories(tally.stored), tally.skipped);
    let known = match tally.hidden {
        0 => format!("{} known already", tally.known),
        hidden => format!(
            "{} known already ({hidden} of them hidden or erased here)",
            tally.known
        ),
    };
    let mut text = if dry {
        format!(
            "Would import {stored} from {}, {known}, {skipped} skipped. Nothing was stored.\n",
            kind.name()
        )
    } else {
        format!(
            "Imported {stored} from {}, {known}, {skipped} skipped.\n",
            kind.name()
        )
    };
    let ids = tally.new_ids();
    if !ids.is_empty() {
        let _ = writeln!(
            text,
            "New ids, since other memories have theirs: {}",
            ids.join(", ")
        );
    }
    for reason in tally.reasons.iter().take(REASONS_SHOWN_MAX) {
        let _ = writeln!(text, "skipped {}", visible::line(reason));
    }
    let shown = tally.reasons.len().min(REASONS_SHOWN_MAX) as u64;
    if skipped > shown {
        let _ = writeln!(text, "and {} more", skipped - shown);
    }
    if tally.stored + tally.known + skipped == 0 && matches!(kind, Kind::ChatGpt | Kind::Claude) {
        text.push_str(
            "No saved memories are in it; its conversations come with --conversations.\n",
        );
    }
    text
}
