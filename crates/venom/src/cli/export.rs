//! `export`: memories as JSON lines, or as markdown that people read. Newest first, page by page.

mod markdown;

use super::commands::{filter, path_of, text_of, with_memories};
use super::output;
use crate::admitted::Admitted;
use crate::config::Config;
use crate::failure::Failure;
use crate::mcp::{View, memory_json};
use clap::ArgMatches;
use markdown::Notes;
use std::fs::File;
use std::io::ErrorKind::{AlreadyExists, PermissionDenied};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use venom_core::{Error, ListPage, ListQuery, Memory, counted, limits};
use venom_store::folder;

/// Files that killed exports may have left beside the one that is to be written.
const PARTS_LEFT_MAX: u32 = 1_000;

/// Where memories go.
enum Target {
    /// JSON lines on stdout.
    Stdout,
    /// JSON lines in a new file.
    Lines(PathBuf),
    /// Notes in a folder, one for each memory or for each month.
    Notes { folder: PathBuf, by_month: bool },
}

/// Exports what the filters take.
///
/// # Errors
/// [`Failure`] if the target is there already or cannot be written, or the memories cannot be read.
pub(super) async fn run(arguments: &ArgMatches, config: Arc<Config>) -> Result<(), Failure> {
    let target = target(arguments)?;
    let filter = filter(arguments, &config)?;
    let query = ListQuery {
        filter,
        all_spaces: arguments.get_flag("all-spaces"),
        limit: ListPage::parse(i64::try_from(limits::PAGE_MEMORIES_MAX).unwrap_or(1))?,
        before: None,
    };
    with_memories(&config, async |admitted, _| {
        refuse_unknown_space(admitted, &query).await?;
        export(admitted, query, target).await
    })
    .await
}

/// A name that is mistyped is no empty space: where there are spaces, it has to be one of them.
async fn refuse_unknown_space(admitted: &Admitted<'_>, query: &ListQuery) -> Result<(), Failure> {
    let spaces = admitted.spaces().await?;
    let space = &query.filter.space;
    let is_known = spaces.is_empty() || spaces.iter().any(|known| known.name == *space);
    if query.all_spaces || is_known {
        return Ok(());
    }
    Err(Error::SpaceNotFound(space.clone()).into())
}

fn target(arguments: &ArgMatches) -> Result<Target, Failure> {
    let out = path_of(arguments, "out")?;
    let by_month = arguments.get_flag("by-month");
    match (text_of(arguments, "to"), out) {
        (Some("markdown"), Some(folder)) => {
            if !is_empty_folder(&folder) {
                refuse_if_there(&folder)?;
            }
            Ok(Target::Notes { folder, by_month })
        }
        (Some("markdown"), None) => Err(Failure::invalid(
            "out is missing: expected --out FOLDER for markdown",
        )),
        (_, _) if by_month => Err(Failure::invalid(
            "by-month was given with jsonl: expected it with --to markdown",
        )),
        (_, None) => Ok(Target::Stdout),
        (_, Some(file)) => {
            refuse_if_there(&file)?;
            Ok(Target::Lines(file))
        }
    }
}

/// Nothing is overwritten.
fn refuse_if_there(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Err(taken(path)),
        Err(_) => Ok(()),
    }
}

/// For a folder, an empty one is as good as none.
fn is_empty_folder(path: &Path) -> bool {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    is_folder && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn taken(path: &Path) -> Failure {
    Failure::invalid(format!(
        "{} exists already: expected a name that is free, since nothing is overwritten",
        path.display()
    ))
}

async fn export(admitted: &Admitted<'_>, query: ListQuery, target: Target) -> Result<(), Failure> {
    match target {
        Target::Stdout => {
            let mut gone = false;
            let mut write = |memory: &Memory| {
                let line = line(memory)?;
                let written = io::stdout().lock().write_all(line.as_bytes());
                // A reader that has gone away (`| head`) is no failure.
                match written {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => gone = true,
                    other => other.map_err(|error| unwritable(Path::new("stdout"), &error))?,
                }
                Ok(!gone)
            };
            pages(admitted, query, &mut write).await.map(drop)
        }
        Target::Lines(file) => {
            let mut part = Part::new(file)?;
            let mut write = |memory: &Memory| part.write(&line(memory)?).map(|()| true);
            let count = pages(admitted, query, &mut write).await?;
            let shown = part.finish()?;
            output::line(&format!(
                "Exported {} to {}.",
                counted::memories(count),
                shown.display()
            ))
        }
        Target::Notes { folder, by_month } => {
            let mut notes = Notes::new(folder.clone(), by_month)?;
            let mut write = |memory: &Memory| notes.write(memory).map(|()| true);
            let count = pages(admitted, query, &mut write).await?;
            notes.finish()?;
            output::line(&format!(
                "Exported {} to {}.",
                counted::memories(count),
                folder.display()
            ))
        }
    }
}

/// Tells `each` every memory that a query takes, until it has enough. Returns how many.
async fn pages(
    admitted: &Admitted<'_>,
    mut query: ListQuery,
    each: &mut (dyn FnMut(&Memory) -> Result<bool, Failure> + Send),
) -> Result<u64, Failure> {
    let mut count = 0;
    loop {
        let page = admitted.list(query.clone()).await?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        query.before = Some(last.id);
        for memory in &page {
            if !each(memory)? {
                return Ok(count);
            }
            count += 1;
        }
    }
}

/// A memory on one line.
fn line(memory: &Memory) -> Result<String, Failure> {
    let value = memory_json(memory, View::Original);
    let line = serde_json::to_string(&value);
    Ok(line.map_err(|error| Failure::internal(error.to_string()))? + "\n")
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::not_ready(format!("{} cannot be written: {error}", path.display()))
}

/// A file that has its name once it is whole.
struct Part {
    file: BufWriter<File>,
    beside: PathBuf,
    whole: PathBuf,
    is_done: bool,
}

impl Part {
    fn new(whole: PathBuf) -> Result<Self, Failure> {
        let mut number = 0;
        let (file, beside) = loop {
            let beside = beside(&whole, number);
            match folder::private_file().create_new(true).open(&beside) {
                // What a killed export left, or the one of another process with this number.
                Err(error) if error.kind() == AlreadyExists && number < PARTS_LEFT_MAX => {
                    number += 1;
                }
                opened => break (opened.map_err(|error| unwritable(&beside, &error))?, beside),
            }
        };
        Ok(Self {
            file: BufWriter::new(file),
            beside,
            whole,
            is_done: false,
        })
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| unwritable(&self.beside, &error))
    }

    /// Gives it its name, unless that was taken meanwhile, and makes both durable.
    fn finish(mut self) -> Result<PathBuf, Failure> {
        let synced = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| unwritable(&self.beside, &error))?;
        let renamed = folder::rename_to_free(&self.beside, &self.whole);
        renamed.map_err(|error| match error.kind() {
            AlreadyExists => taken(&self.whole),
            _ => unwritable(&self.whole, &error),
        })?;
        self.is_done = true;
        sync_above(&self.whole).map_err(|error| {
            Failure::not_ready(format!(
                "{} was written, but a power cut may take it: {error}",
                self.whole.display()
            ))
        })?;
        Ok(self.whole.clone())
    }
}

/// Makes the name of a file or folder durable, if the one above may be read: without that it can be written to, but not
/// synced.
fn sync_above(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    match path.parent().map_or(Ok(()), folder::sync) {
        Err(error) if error.kind() == PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// The name of a file until it is whole.
fn beside(whole: &Path, number: u32) -> PathBuf {
    let mut beside = whole.as_os_str().to_owned();
    beside.push(format!(".part-{}", std::process::id()));
    if number > 0 {
        beside.push(format!("-{number}"));
    }
    PathBuf::from(beside)
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_done {
            // What is half there is of no use.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use venom_core::{
        ClientName, Content, MemoryId, Metadata, Origin, SessionName, Source, SpaceName, Speaker,
        Tags, Timestamp, TokenName,
    };
    use venom_import::{Kind, Options};
    use venom_testing::Folder;

    /// Moments of the years 0 to 9999, in microseconds.
    const MOMENTS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_207_200_000_000;

    prop_compose! {
        fn memory()(
            digits in 0_u64..=i64::MAX as u64,
            text in "[ -~éß茶\n\t\u{1F980}]{0,60}[a-z]",
            tags in prop::collection::vec("[a-z,#é'\"\\\\\\[{ ]{0,8}[a-z\\\\'\"\\]]", 0..10),
            (stored, occurred) in (MOMENTS, prop::option::of(MOMENTS)),
            names in prop::array::uniform4(prop::option::of("[a-z\"é\\\\#' ]{0,8}[a-z\\\\]")),
            // Words by which files of other kinds are told.
            word in prop::sample::select(vec![
                "entityType", "relationType", "type", "memory", "results", "memories", "mapping", "chat_messages",
                "conversations_memory", "content", "text",
            ]),
            weight in prop::option::of(any::<f64>().prop_filter("JSON", |number| number.is_finite())),
        ) -> Memory {
            let [speaker, session, client, token] = names;
            Memory {
                id: MemoryId::new(digits).unwrap(),
                space: SpaceName::parse("a space").unwrap(),
                content: Content::parse(&text).unwrap(),
                tags: Tags::parse(&tags).unwrap(),
                stored_at: Timestamp::from_micros(stored),
                origin: Origin {
                    speaker: speaker.map(|name| Speaker::parse(&name).unwrap()),
                    session: session.map(|name| SessionName::parse(&name).unwrap()),
                    occurred_at: occurred.map(Timestamp::from_micros),
                },
                source: Source {
                    client: client.as_deref().and_then(ClientName::told),
                    token: token.as_deref().and_then(TokenName::told),
                },
                quarantined: false,
                metadata: weight.and_then(|weight| {
                    let value = serde_json::json!({ "nested": [{ "weight": weight }], "speaker": "C:\\", word: [{ word: " #1" }] });
                    Metadata::parse(&value.to_string()).ok()
                }),
            }
        }
    }

    /// What is imported from a file or folder.
    fn imported(path: &Path, kind: Kind) -> Vec<venom_import::Record> {
        let options = Options {
            space: SpaceName::parse("another").unwrap(),
            other_collections: true,
            conversations: false,
            scratch: std::env::temp_dir(),
            watch: venom_import::Watch::default(),
        };
        let records = venom_import::open(path, None, &options).unwrap();
        assert_eq!(records.kind, kind);
        records.found.map(|found| found.unwrap().unwrap()).collect()
    }

    /// The memory that a record makes where there are no others.
    fn again(record: venom_import::Record) -> Memory {
        let new = record.new;
        Memory {
            id: new.id.unwrap(),
            space: new.space,
            content: new.content,
            tags: new.tags,
            stored_at: new.stored_at.unwrap(),
            origin: new.origin,
            source: new.source,
            quarantined: false,
            metadata: new.metadata,
        }
    }

    /// A process has the same number as another one where each is the first of its container.
    #[test]
    fn what_a_killed_export_left_keeps_nobody_out() {
        let folder = Folder::new();
        let whole = folder.join("export.jsonl");
        for number in 0..2 {
            std::fs::write(beside(&whole, number), "half").unwrap();
        }
        let mut part = Part::new(whole.clone()).unwrap();
        part.write("all").unwrap();
        assert_eq!(part.finish().unwrap(), whole);
        assert_eq!(std::fs::read(&whole).unwrap(), b"all");
        assert!(beside(&whole, 1).exists() && !beside(&whole, 2).exists());
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_not_overwritten() {
        let folder = Folder::new();
        let whole = folder.join("export.jsonl");
        let part = Part::new(whole.clone()).unwrap();
        std::fs::write(&whole, "mine").unwrap();
        let refused = part.finish().unwrap_err();
        assert!(refused.message.contains("exists already"), "{refused}");
        assert_eq!(std::fs::read(&whole).unwrap(), b"mine");
        assert!(!beside(&whole, 0).exists());
    }

    #[test]
    fn the_file_that_cannot_be_written_is_named() {
        let folder = Folder::new();
        let whole = folder.join("nowhere/export.jsonl");
        let refused = Part::new(whole.clone()).map(drop).unwrap_err();
        let named = beside(&whole, 0);
        assert!(refused.message.contains(named.to_str().unwrap()));
    }

    proptest! {
        #[test]
        fn an_export_has_everything(memories in prop::collection::vec(memory(), 1..8)) {
            let folder = Folder::new();
            let file = folder.join("export.jsonl");
            let lines: String = memories.iter().map(|memory| line(memory).unwrap()).collect();
            std::fs::write(&file, lines).unwrap();
            let back = imported(&file, Kind::Jsonl).into_iter().map(again);
            prop_assert_eq!(back.collect::<Vec<_>>(), memories);
        }

        #[test]
        fn notes_have_everything_but_who_stored_them(memories in prop::collection::vec(memory(), 1..8)) {
            let memories = memories.into_iter().map(|memory| (memory.id, memory));
            let memories: BTreeMap<MemoryId, Memory> = memories.collect();
            let folder = Folder::new();
            let mut notes = Notes::new(folder.join("notes"), false).unwrap();
            for memory in memories.values() {
                notes.write(memory).unwrap();
            }
            notes.finish().unwrap();
            let back = imported(&folder.join("notes"), Kind::Markdown).into_iter().map(again);
            let back: BTreeMap<MemoryId, Memory> = back.map(|memory| (memory.id, memory)).collect();
            let source = Source::command_line();
            let expected = memories.into_iter().map(|(id, memory)| (id, Memory { source: source.clone(), ..memory }));
            prop_assert_eq!(back, expected.collect::<BTreeMap<_, _>>());
        }
    }
}
