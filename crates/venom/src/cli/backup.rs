//! `backup` and `restore`.

mod told;

use super::commands::{DOOR, path_of, text_of, with_memories};
use super::output;
use crate::access_file::AccessFile;
use crate::asked::SystemClock;
use crate::backup::{
    self, Fate, Fates, Keep, Made, Manifest, Parts, Passphrase, Plan, Prompt, Restored, Task, Wish,
    megabytes, parse_kept,
};
use crate::caller::Caller;
use crate::config::Config;
use crate::failure::Failure;
use crate::hub::Hub;
use clap::ArgMatches;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use venom_access::Event;
use venom_core::ports::Clock as _;
use venom_core::{counted, visible};
use venom_store::{DatabaseFacts, Lease, LeaseError};

/// Makes a backup.
///
/// # Errors
/// [`Failure`] that says why there is none.
pub(super) async fn back_up(arguments: &ArgMatches, config: Arc<Config>) -> Result<(), Failure> {
    let settings = &config.backups;
    let given = path_of(arguments, "folder")?;
    let shelf = given.or_else(|| settings.folder.clone()).ok_or_else(|| {
        Failure::invalid("the folder is missing: expected venom backup FOLDER, or VENOM_BACKUP_DIR")
    })?;
    let keep = Keep {
        count: kept(arguments, "keep")?.or(settings.keep.count),
        days: kept(arguments, "keep-days")?.or(settings.keep.days),
    };
    if !config.data.join("venom.db").exists() {
        return Err(Failure::not_ready(format!(
            "{} holds no memories: expected the data folder that is to be backed up (--data)",
            config.data.display()
        )));
    }
    let passphrase = match &settings.passphrase_file {
        Some(path) => Some(Passphrase::in_file(path, Prompt::ToSeal)?),
        None if arguments.get_flag("encrypt") => Some(Passphrase::ask(Prompt::ToSeal)?),
        None => None,
    };
    let task = Task {
        shelf,
        data: config.data.clone(),
        personas: config.persona_folders.clone(),
        named_personas: config.named_persona_folder().map(Into::into),
        passphrase,
        keep,
        now: SystemClock.now(),
        older_than_us: None,
    };
    let made = with_memories(&config, async |admitted, _| admitted.back_up(task).await).await?;
    let made = made.ok_or_else(|| Failure::internal("a backup of any age was young enough"))?;
    tell_notes(&made.notes);
    if arguments.get_flag("json") {
        return output::line(&made_json(&made).to_string());
    }
    output::text(&made_text(&made))
}

fn kept(arguments: &ArgMatches, name: &str) -> Result<Option<u32>, Failure> {
    let Some(text) = text_of(arguments, name) else {
        return Ok(None);
    };
    let kept = parse_kept(text.trim());
    kept.map(Some)
        .map_err(|expected| Failure::invalid(format!("--{name} is {text:?}: {expected}")))
}

/// What is worth a word goes to stderr: stdout has the answer.
fn tell_notes(notes: &[String]) {
    for note in notes {
        let _ = writeln!(io::stderr(), "venom: {}", visible::line(note));
    }
}

fn made_json(made: &Made) -> Value {
    let manifest = &made.manifest;
    let removed: Vec<String> = made
        .removed
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    json!({
        "backup": made.path.display().to_string(),
        "made_at": manifest.made_at.to_string(),
        "memories": manifest.facts.memories,
        "personas": made.personas,
        "bytes": manifest.bytes(),
        "files": manifest.files.len(),
        "encrypted": manifest.encrypted,
        "verified": true,
        "removed": removed,
    })
}

fn made_text(made: &Made) -> String {
    let manifest = &made.manifest;
    let mut text = format!(
        "Backed up {} to {}: {}, verified.\n",
        made.counted(),
        made.path.display(),
        files(manifest)
    );
    for path in &made.removed {
        let _ = writeln!(text, "Removed the backup {}.", path.display());
    }
    text
}

fn files(manifest: &Manifest) -> String {
    let files = manifest.files.iter();
    let mut named: Vec<String> = files
        .map(|file| format!("{} {}", file.holds, megabytes(file.bytes)))
        .collect();
    if manifest.encrypted {
        named.push("encrypted".to_owned());
    }
    named.join(", ")
}

/// Restores a backup, or says what that would do.
///
/// # Errors
/// [`Failure`] that says what is in the way, or what is wrong with the backup.
pub(super) async fn restore(arguments: &ArgMatches, config: Arc<Config>) -> Result<(), Failure> {
    let wish = wish(arguments, &config)?;
    let data = wish.data.clone();
    let plan = backup::look(wish)?;
    let passphrase = match &config.backups.passphrase_file {
        _ if !plan.manifest.encrypted => None,
        Some(path) => Some(Passphrase::in_file(path, Prompt::ToOpen)?),
        None => Some(Passphrase::ask(Prompt::ToOpen)?),
    };
    let mut notes = plan.notes.clone();
    notes.extend(model_note(&plan, &config));
    let json = arguments.get_flag("json");
    if arguments.get_flag("dry-run") {
        let personas = plan.check(passphrase.as_ref())?;
        let present = match plan.parts() {
            Parts::Personas => Present::Nothing,
            Parts::All | Parts::Memories => present(&data, &config).await?,
        };
        notes.extend(told::elsewhere(&personas, &config));
        notes.extend(told::failed(&plan, &personas));
        tell_notes(&notes);
        return if json {
            output::line(&plan_json(&plan, present.as_ref(), &personas).to_string())
        } else {
            output::text(&plan_text(&plan, &data, &present, &personas))
        };
    }
    let restored = backup::restore(&plan, passphrase.as_ref())?;
    // Personas need no data folder, and put nothing into one.
    if plan.parts() != Parts::Personas || data.join("access.db").exists() {
        let file = AccessFile::new(data.clone());
        let subject = plan.backup.display().to_string();
        file.note(Event::BackupRestored, &Caller::local(DOOR), subject);
        file.close();
    }
    notes.extend(told::elsewhere(&restored.personas, &config));
    tell_notes(&notes);
    if json {
        output::line(&restored_json(&plan, &restored).to_string())?;
    } else {
        output::text(&restored_text(&plan, &restored, &data))?;
    }
    // What was restored stays so, and what was not is no success.
    told::failed(&plan, &restored.personas).map_or(Ok(()), |why| Err(Failure::not_ready(why)))
}

fn wish(arguments: &ArgMatches, config: &Config) -> Result<Wish, Failure> {
    let to = path_of(arguments, "to")?;
    Ok(Wish {
        source: path_of(arguments, "backup")?.unwrap_or_default(),
        // A restore beside the real folder leaves the real personas alone, too.
        personas: to
            .as_ref()
            .map_or_else(|| config.persona_folder(), |to| to.join("personalities")),
        data: to.unwrap_or_else(|| config.data.clone()),
        replace: arguments.get_flag("replace"),
        parts: if arguments.get_flag("memories-only") {
            Parts::Memories
        } else if arguments.get_flag("personas-only") {
            Parts::Personas
        } else {
            Parts::All
        },
        now: SystemClock.now(),
    })
}

/// What to say of a backup whose memories were embedded with another model than the configured one.
fn model_note(plan: &Plan, config: &Config) -> Option<String> {
    let made = plan.manifest.facts.model.as_ref();
    let made = made.filter(|_| plan.parts() != Parts::Personas)?;
    let folder = venom_embed::locate(&config.model, &config.model_folders).ok()?;
    let ours = folder.stamp().filter(|ours| ours != made)?;
    Some(format!(
        "the backup was embedded with {made}, the configured model is {ours}: run `venom reembed` after restoring, \
         or configure the former model"
    ))
}

/// What a data folder holds now.
enum Present {
    Nothing,
    Facts(DatabaseFacts),
    /// Memories, and who uses them.
    InUse(u64, String),
}

impl Present {
    fn as_ref(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Facts(facts) => Some(facts.memories),
            Self::InUse(memories, _) => Some(*memories),
        }
    }
}

/// Looks at what a data folder holds now, and makes none.
async fn present(data: &Path, config: &Arc<Config>) -> Result<Present, Failure> {
    if !data.join("venom.db").exists() {
        return Ok(Present::Nothing);
    }
    match Lease::try_acquire(data) {
        Ok(lease) => {
            let found = venom_store::restore::present(&lease)?;
            Ok(found.map_or(Present::Nothing, Present::Facts))
        }
        Err(LeaseError::Store(error)) => Err(error.into()),
        Err(LeaseError::Busy(holder)) => {
            let holder = holder.map_or_else(|| "another process".to_owned(), |h| h.to_string());
            let config = Arc::new(Config {
                data: data.to_owned(),
                ..Config::clone(config)
            });
            let hub = Hub::open(config.clone()).await?;
            let stats = hub.stats(config.space.clone()).await;
            hub.close().await;
            Ok(Present::InUse(stats?.memories, holder))
        }
    }
}

fn plan_json(plan: &Plan, present: Option<u64>, personas: &Fates) -> Value {
    let manifest = &plan.manifest;
    let mut answer = json!({
        "dry_run": true,
        "backup": plan.backup.display().to_string(),
        "made_at": manifest.made_at.to_string(),
        "memories": memories(plan),
        "bytes": manifest.bytes(),
        "with_access": plan.with_access(),
        "memories_there_now": present,
        "in_the_way": plan.in_the_way(),
    });
    told::json(personas, &mut answer);
    answer
}

/// How many memories are restored.
fn memories(plan: &Plan) -> u64 {
    match plan.parts() {
        Parts::Personas => 0,
        Parts::All | Parts::Memories => plan.manifest.facts.memories,
    }
}

/// The backup in a line.
fn described(plan: &Plan) -> String {
    let manifest = &plan.manifest;
    let facts = &manifest.facts;
    format!(
        "{}, made at {} by Venom {}: {} in {}, {} hidden; {}",
        plan.backup.display(),
        manifest.made_at,
        visible::line(&manifest.made_by),
        counted::memories(facts.memories),
        counted(facts.spaces, "space", "spaces"),
        facts.hidden,
        files(manifest)
    )
}

fn plan_text(plan: &Plan, data: &Path, present: &Present, personas: &Fates) -> String {
    let mut text = format!(
        "{}.\nEverything in it is as it was written.\n",
        described(plan)
    );
    let data = data.display();
    if plan.parts() != Parts::Personas {
        let _ = match present {
            Present::Nothing => writeln!(text, "{data} holds no memories now."),
            Present::Facts(facts) => {
                writeln!(
                    text,
                    "{data} holds {} now.",
                    counted::memories(facts.memories)
                )
            }
            Present::InUse(memories, holder) => writeln!(
                text,
                "{data} holds {} now and is in use by {holder}: stop it before you restore.",
                counted::memories(*memories)
            ),
        };
    }
    let in_the_way = plan.in_the_way();
    if !in_the_way.is_empty() {
        let _ = writeln!(
            text,
            "With --replace, {} would be moved to {data}/before-restore-….",
            in_the_way.join(" and ")
        );
    }
    if plan.parts() != Parts::Personas && !plan.with_access() {
        text.push_str("Tokens, passkeys and the audit log would stay as they are.\n");
    }
    text += &told::text(personas);
    let replaced = personas.of(&Fate::Replaced);
    if !replaced.is_empty() {
        let _ = writeln!(
            text,
            "What is there as {} would be moved to {data}/before-restore-….",
            told::named(&replaced)
        );
    }
    text.push_str("Nothing was changed.\n");
    text
}

fn restored_json(plan: &Plan, restored: &Restored) -> Value {
    let aside = restored.aside.as_ref();
    let mut answer = json!({
        "dry_run": false,
        "backup": plan.backup.display().to_string(),
        "made_at": plan.manifest.made_at.to_string(),
        "memories": memories(plan),
        "with_access": restored.with_access,
        "before": aside.map(|path| path.display().to_string()),
    });
    told::json(&restored.personas, &mut answer);
    answer
}

fn restored_text(plan: &Plan, restored: &Restored, data: &Path) -> String {
    let mut text = match plan.parts() {
        Parts::Personas => format!("Restored personas alone, from {}.\n", described(plan)),
        Parts::All | Parts::Memories => format!(
            "Restored {} to {}, from {}.\n",
            counted::memories(plan.manifest.facts.memories),
            data.display(),
            described(plan)
        ),
    };
    text += &told::text(&restored.personas);
    if let Some(aside) = &restored.aside {
        let _ = writeln!(text, "What was there before lies in {}.", aside.display());
    }
    if plan.parts() != Parts::Personas && !restored.with_access {
        text.push_str("Tokens, passkeys and the audit log stay as they are.\n");
    }
    text
}
