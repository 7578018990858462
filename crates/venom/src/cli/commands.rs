//! The commands: the use cases without a server. Where a server owns the folder, through it.

use super::{backup, doctor, export, import, output, past, quarantine, spaces};
use crate::access_file::AccessFile;
use crate::admitted::Admitted;
use crate::age::Age;
use crate::asked::{self, FilterWords, OriginWords};
use crate::caller::Caller;
use crate::config::Config;
use crate::failure::Failure;
use crate::hub::Hub;
use crate::mcp::messages::MESSAGE_BYTES_MAX;
use crate::personas::FilePersonas;
use clap::ArgMatches;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use venom_core::{
    Content, Filter, InputError, ListPage, ListQuery, MemoryChange, MemoryId, NewConversation,
    NewMemory, Origin, PersonaName, PersonaSource, QueryText, RecallQuery, ResultLimit, Source,
    Tags, counted, limits,
};
use venom_embed::MiniLm;
use venom_store::{Lease, LeaseError};

/// Where commands come from, in the audit log.
pub(super) const DOOR: &str = "command line";
/// Texts that `embed` sends at a time.
const EMBED_BATCH_TEXTS: usize = 16;
/// Longest line that `embed` takes, in bytes.
const EMBED_LINE_BYTES_MAX: usize = limits::CONTENT_BYTES_MAX;

/// Runs one command.
///
/// # Errors
/// [`Failure`] with the sentence and kind to show.
pub(super) async fn run(
    name: &str,
    arguments: &ArgMatches,
    config: Arc<Config>,
) -> Result<(), Failure> {
    match name {
        "persona" => return persona(arguments, &config),
        "reembed" => return reembed(&config),
        "model" => return pack_model(arguments, &config),
        "doctor" => return doctor::run(arguments, config).await,
        "quarantine" => return quarantine::run(arguments, config).await,
        "history" | "erase" => return past::run(name, arguments, config).await,
        "restore-memory" if text_of(arguments, "version").is_some() => {
            return past::run(name, arguments, config).await;
        }
        "import" => return import::run(arguments, config).await,
        "space" => return spaces::run(arguments, config).await,
        "export" => return export::run(arguments, config).await,
        "backup" => return backup::back_up(arguments, config).await,
        "restore" => return backup::restore(arguments, config).await,
        _ => {}
    }
    // Bad input is found before the data folder is touched.
    let command = Command::parse(name, arguments, &config)?;
    with_memories(&config, async |admitted, hub| {
        command.carry_out(admitted, hub).await
    })
    .await
}

/// Does something with the memories as the local user, and closes what was opened for it.
///
/// # Errors
/// Those of `work`, and [`Failure`] if the data folder cannot be opened or reached.
pub(super) async fn with_memories<T>(
    config: &Arc<Config>,
    work: impl AsyncFnOnce(&Admitted<'_>, &Hub) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let hub = Hub::open(config.clone()).await?;
    let file = AccessFile::new(config.data.clone());
    let caller = Caller::local(DOOR);
    let outcome = work(&Admitted::new(&hub, &file, &caller), &hub).await;
    hub.close().await;
    file.close();
    outcome
}

/// A parsed command.
enum Command {
    Store { new: NewMemory, json: bool },
    StoreConversation { new: NewConversation, json: bool },
    Update { change: MemoryChange, json: bool },
    Search { query: RecallQuery, json: bool },
    List { query: ListQuery, json: bool },
    Show { id: MemoryId, json: bool },
    Forget { id: MemoryId, kept: Option<Age> },
    Restore { id: MemoryId, json: bool },
    Stats { config: Arc<Config>, json: bool },
    Embed,
}

impl Command {
    fn parse(name: &str, arguments: &ArgMatches, config: &Arc<Config>) -> Result<Self, Failure> {
        let json = arguments
            .try_get_one::<bool>("json")
            .ok()
            .flatten()
            .copied()
            .unwrap_or_default();
        Ok(match name {
            "store" => {
                let text = text_or_stdin(arguments, "content")?;
                let content = Content::parse(&text)?;
                let tags = Tags::parse(&texts(arguments, "tag"))?;
                Self::Store {
                    new: NewMemory {
                        space: config.space.clone(),
                        content,
                        tags,
                        origin: origin(arguments)?,
                        source: Source::command_line(),
                        duplicates: config.duplicates,
                        precautions: config.precautions(&Source::command_line()),
                    },
                    json,
                }
            }
            "store-conversation" => Self::StoreConversation {
                new: conversation(arguments, config)?,
                json,
            },
            "update" => Self::Update {
                change: change(arguments, config)?,
                json,
            },
            "search" => {
                let limit =
                    ResultLimit::parse(number(arguments, "limit", "a whole number from 1 to 20")?)?;
                let filter = filter(arguments, config)?;
                let text = text_or_stdin(arguments, "query")?;
                Self::Search {
                    query: RecallQuery {
                        text: QueryText::parse(&text)?,
                        limit,
                        filter,
                        similarity_min: text_of(arguments, "min-relevance")
                            .map(|text| asked::least_similarity("min-relevance", text))
                            .transpose()?,
                        explain: arguments.get_flag("explain"),
                    },
                    json,
                }
            }
            "list" => {
                let limit =
                    ListPage::parse(number(arguments, "limit", "a whole number from 1 to 1000")?)?;
                let before = arguments
                    .get_one::<String>("before")
                    .map(|id| MemoryId::parse(id));
                let filter = filter(arguments, config)?;
                Self::List {
                    query: ListQuery {
                        filter,
                        all_spaces: false,
                        limit,
                        before: before.transpose()?,
                    },
                    json,
                }
            }
            "show" => Self::Show {
                id: memory_id(arguments)?,
                json,
            },
            "forget" => Self::Forget {
                id: memory_id(arguments)?,
                kept: config.erase_after,
            },
            "restore-memory" => Self::Restore {
                id: memory_id(arguments)?,
                json,
            },
            "stats" => Self::Stats {
                config: config.clone(),
                json,
            },
            "embed" => Self::Embed,
            other => {
                return Err(Failure::internal(format!(
                    "the command {other} is not wired"
                )));
            }
        })
    }

    async fn carry_out(self, admitted: &Admitted<'_>, hub: &Hub) -> Result<(), Failure> {
        match self {
            Self::Store { new, json } => output::stored(&admitted.remember(new).await?, json),
            Self::StoreConversation { new, json } => {
                output::stored_conversation(&admitted.remember_conversation(new).await?, json)
            }
            Self::Update { change, json } => output::changed(&admitted.update(change).await?, json),
            Self::Search { query, json } => {
                let explain = query.explain;
                output::hits(&admitted.recall(query).await?, json, explain)
            }
            Self::List { query, json } => output::memories(&admitted.list(query).await?, json),
            Self::Show { id, json } => output::memory(&admitted.show(id).await?, json),
            Self::Forget { id, kept } => {
                admitted.forget(id).await?;
                let until = kept.map_or_else(String::new, |age| format!(" within {age}"));
                output::line(&format!(
                    "Forgot {id}. It can be restored{until}: venom restore-memory {id}"
                ))
            }
            Self::Restore { id, json } => output::memory(&admitted.restore(id).await?, json),
            Self::Stats { config, json } => {
                let stats = hub.stats(config.space.clone()).await?;
                output::stats(&stats, &config.space, &hub.describe().await, json)
            }
            Self::Embed => embed(hub).await,
        }
    }
}

pub(super) fn memory_id(arguments: &ArgMatches) -> Result<MemoryId, Failure> {
    let id = arguments.get_one::<String>("id").map_or("", String::as_str);
    Ok(MemoryId::parse(id)?)
}

pub(super) fn number(
    arguments: &ArgMatches,
    name: &'static str,
    expected: &'static str,
) -> Result<i64, Failure> {
    let text = arguments.get_one::<String>(name).map_or("", String::as_str);
    Ok(text
        .parse()
        .map_err(|_| InputError::malformed(name, expected, text))?)
}

pub(super) fn texts(arguments: &ArgMatches, name: &str) -> Vec<String> {
    arguments
        .get_many::<String>(name)
        .unwrap_or_default()
        .cloned()
        .collect()
}

/// The text of an argument that the command may not even have.
pub(super) fn text_of<'a>(arguments: &'a ArgMatches, name: &str) -> Option<&'a str> {
    let given = arguments.try_get_one::<String>(name);
    given.ok().flatten().map(String::as_str)
}

/// Asks on a terminal, for a line of text. A question is no answer, and goes to stderr; what comes after it begins on a
/// line of its own, also where the terminal was closed rather than answered (Ctrl-D).
///
/// # Errors
/// [`Failure`] if the terminal fails, or what is typed is not UTF-8.
pub(super) fn asked_for(question: &str) -> Result<String, Failure> {
    let _ = write!(io::stderr(), "{question}");
    let mut typed = String::new();
    let read = io::stdin().lock().read_line(&mut typed);
    if !typed.ends_with('\n') {
        let _ = writeln!(io::stderr());
    }
    read.map_err(|error| Failure::invalid(format!("what is typed cannot be read: {error}")))?;
    Ok(typed)
}

/// A path that was given.
///
/// # Errors
/// [`Failure`] if it is empty: a variable that was not set, most likely.
pub(super) fn path_of(arguments: &ArgMatches, name: &str) -> Result<Option<PathBuf>, Failure> {
    let given = text_of(arguments, name);
    if given == Some("") {
        return Err(Failure::invalid(format!(
            "{name} is empty: expected a path"
        )));
    }
    Ok(given.map(PathBuf::from))
}

/// Where a memory comes from, as far as the arguments say.
fn origin(arguments: &ArgMatches) -> Result<Origin, Failure> {
    let words = OriginWords {
        speaker: text_of(arguments, "speaker"),
        session: text_of(arguments, "session"),
        occurred_at: text_of(arguments, "occurred-at"),
    };
    words.read()
}

pub(super) fn filter(arguments: &ArgMatches, config: &Config) -> Result<Filter, Failure> {
    filter_words(arguments).read(&config.space)
}

/// The filter that the arguments describe; of no space that is named.
pub(super) fn filter_words(arguments: &ArgMatches) -> FilterWords<'_> {
    FilterWords {
        space: None,
        tags_any: texts(arguments, "tag"),
        tags_all: texts(arguments, "tag-all"),
        tags_none: texts(arguments, "tag-none"),
        since: text_of(arguments, "since"),
        until: text_of(arguments, "until"),
        speaker: text_of(arguments, "speaker"),
        session: text_of(arguments, "session"),
    }
}

fn conversation(arguments: &ArgMatches, config: &Config) -> Result<NewConversation, Failure> {
    let text = match text_of(arguments, "file").filter(|file| *file != "-") {
        Some(file) => {
            let bytes = std::fs::read(file);
            let bytes = bytes
                .map_err(|error| Failure::invalid(format!("{file} cannot be read: {error}")))?;
            utf8(bytes, file)?
        }
        None => stdin_text("the conversation")?,
    };
    let session = text_of(arguments, "session");
    let new = asked::conversation_file(config.space.clone(), session, &text)?;
    let source = Source::command_line();
    let precautions = config.precautions(&source);
    Ok(new.from_source(source, precautions))
}

fn change(arguments: &ArgMatches, config: &Config) -> Result<MemoryChange, Failure> {
    let text = match text_of(arguments, "text") {
        Some("-") => Some(stdin_text("content")?),
        given => given.map(str::to_owned),
    };
    let tags = texts(arguments, "tag");
    let given: Vec<&str> = tags
        .iter()
        .map(String::as_str)
        .filter(|tag| !tag.is_empty())
        .collect();
    let change = MemoryChange {
        id: memory_id(arguments)?,
        content: text.as_deref().map(Content::parse).transpose()?,
        tags: (!tags.is_empty())
            .then(|| Tags::parse(&given))
            .transpose()?,
        origin: origin(arguments)?,
        source: Source::command_line(),
        precautions: config.precautions(&Source::command_line()),
    };
    if change.is_empty() {
        return Err(Failure::invalid(
            "nothing to change: expected a text, --tag, --speaker, --session or --occurred-at",
        ));
    }
    Ok(change)
}

/// The text given as an argument, or all of stdin.
fn text_or_stdin(arguments: &ArgMatches, field: &'static str) -> Result<String, Failure> {
    if let Some(text) = arguments
        .get_one::<String>("text")
        .filter(|text| *text != "-")
    {
        return Ok(text.clone());
    }
    if io::stdin().is_terminal() && arguments.get_one::<String>("text").is_none() {
        return Err(Failure::invalid(format!(
            "{field} is missing: expected a text, or a text on stdin"
        )));
    }
    stdin_text(field)
}

fn stdin_text(field: &str) -> Result<String, Failure> {
    // Far more than fits, so that the error can tell how much came.
    let most = u64::try_from(MESSAGE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(most).read_to_end(&mut bytes);
    read.map_err(|e| Failure::invalid(format!("stdin cannot be read: {e}")))?;
    utf8(bytes, field)
}

fn utf8(bytes: Vec<u8>, field: &str) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::invalid(format!(
            "{field} is not UTF-8: expected text, received an invalid byte at {at}"
        ))
    })
}

fn persona(arguments: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let personas = FilePersonas::new(config.persona_folders.clone());
    match arguments.subcommand() {
        Some(("list", arguments)) => output::personas(
            &personas.list()?,
            &config.persona,
            arguments.get_flag("json"),
        ),
        Some(("show", arguments)) => {
            let persona = match arguments.get_one::<String>("name") {
                Some(name) => personas.load(&PersonaName::parse(name)?)?,
                None => personas.load_or_default(&config.persona)?,
            };
            output::line(persona.markdown.trim_end())
        }
        _ => Err(Failure::invalid("expected persona list or persona show")),
    }
}

/// One vector a line for one text a line. Every line counts, so that lines in and out correspond.
async fn embed(hub: &Hub) -> Result<(), Failure> {
    let mut input = io::stdin().lock();
    let mut number = 0_usize;
    loop {
        let mut batch = Vec::with_capacity(EMBED_BATCH_TEXTS);
        while batch.len() < EMBED_BATCH_TEXTS {
            match embed_line(&mut input, number + 1)? {
                Some(text) => batch.push(text),
                None => break,
            }
            number += 1;
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for vector in hub.embed(batch).await? {
            let json = serde_json::to_string(&vector);
            lines.push_str(&json.map_err(|e| Failure::internal(e.to_string()))?);
            lines.push('\n');
        }
        output::text(&lines)?;
    }
}

fn embed_line(input: &mut impl BufRead, number: usize) -> Result<Option<String>, Failure> {
    let mut bytes = Vec::new();
    let most = u64::try_from(EMBED_LINE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let read = input.take(most).read_until(b'\n', &mut bytes);
    read.map_err(|e| Failure::invalid(format!("stdin cannot be read: {e}")))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.pop_if(|byte| *byte == b'\n').is_some() {
        bytes.pop_if(|byte| *byte == b'\r');
    }
    if bytes.len() > EMBED_LINE_BYTES_MAX {
        let error = InputError::TooLong {
            field: "text",
            bytes: bytes.len(),
            bytes_max: EMBED_LINE_BYTES_MAX,
        };
        return Err(Failure::new(
            error.kind(),
            format!("line {number}: {error}"),
        ));
    }
    utf8(bytes, &format!("line {number}")).map(Some)
}

/// Writes the packed form of the model, whole or not at all.
fn pack_model(arguments: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let folder = venom_embed::locate(&config.model, &config.model_folders)?;
    let given = arguments
        .subcommand_matches("pack")
        .and_then(|pack| pack.get_one::<PathBuf>("out").cloned());
    let path = given.unwrap_or_else(|| folder.path.join(venom_embed::PACKED_FILE));
    let bytes = venom_embed::pack(&folder)?;
    let unwritable = |error: io::Error| {
        Failure::invalid(format!("{} cannot be written: {error}", path.display()))
    };
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    std::fs::write(&beside, &bytes)
        .and_then(|()| std::fs::rename(&beside, &path))
        .inspect_err(|_| {
            // What is half there is of no use; that it cannot be removed adds nothing to the error.
            let _ = std::fs::remove_file(&beside);
        })
        .map_err(unwritable)?;
    let megabytes = bytes.len() as f64 / 1e6;
    output::line(&format!(
        "Packed {} into {} ({megabytes:.1} MB).",
        folder.model.name,
        path.display()
    ))
}

/// Embeds everything again with the configured model. Needs the data folder for itself.
fn reembed(config: &Config) -> Result<(), Failure> {
    let lease = match Lease::try_acquire(&config.data) {
        Ok(lease) => lease,
        Err(LeaseError::Store(error)) => return Err(error.into()),
        Err(LeaseError::Busy(holder)) => {
            let holder = holder.map_or_else(|| "another process".to_owned(), |h| h.to_string());
            let data = config.data.display();
            return Err(Failure::not_ready(format!(
                "the data folder {data} is in use by {holder}: stop it before you run reembed"
            )));
        }
    };
    let folder = venom_embed::locate(&config.model, &config.model_folders)?;
    let embedder = MiniLm::open(&folder, &config.embedding)?;
    let mut shown = 0;
    let mut progress = |done: u64, total: u64| {
        let percent = (100 * done).checked_div(total).unwrap_or(100);
        if percent >= shown + 5 || done == total {
            shown = percent;
            let _ = writeln!(
                io::stderr(),
                "embedded {done} of {} ({percent} %)",
                counted::memories(total)
            );
        }
    };
    let count = venom_store::reembed(&lease, &embedder, &mut progress)?;
    output::line(&format!(
        "Embedded {} again with {}.",
        counted::memories(count),
        config.model
    ))
}
