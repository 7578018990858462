//! Folders: what of which kinds is in one, and reading everything of a kind.
//!
//! Links are not followed and folders whose names begin with a dot are left alone.

use crate::bytes::{FOLDER_FILES_MAX, is_part, unreadable};
use crate::chatgpt::CONVERSATIONS;
use crate::chroma::CHROMA_FILE;
use crate::claude::MEMORIES;
use crate::several::several;
use crate::{Kind, Left, Options, Records, Unusable, Watch, detect, markdown};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use venom_core::counted;

/// Most files of JSON whose kind is looked at. Those behind them, by name, are left alone, and it is noted how many.
const JSON_FILES_MAX: usize = 10_000;

/// Files of which it is noted why their kind cannot be told; of the rest it is noted how many there are.
const BROKEN_NAMED_MAX: usize = 20;

/// What a walk comes by.
pub(crate) enum Met {
    /// A plain file.
    File(PathBuf),
    /// A link.
    Link(PathBuf),
    /// A folder that cannot be read, and why.
    Closed(PathBuf, String),
}

/// Comes by everything in a folder and those in it, in no order. What is neither file, folder nor link is passed over.
///
/// # Errors
/// [`Unusable`] if the folder itself cannot be read, or what `take` returns.
pub(crate) fn walk(
    root: &Path,
    mut take: impl FnMut(Met) -> Result<(), Unusable>,
) -> Result<(), Unusable> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if folder == root => return Err(unreadable(root, &error)),
            Err(error) => {
                take(Met::Closed(folder, error.to_string()))?;
                continue;
            }
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => take(Met::File(entry.path()))?,
                Ok(kind) if kind.is_symlink() => take(Met::Link(entry.path()))?,
                _ => {}
            }
            if folders.len() > FOLDER_FILES_MAX {
                let shown = folder.display();
                return Err(Unusable(format!(
                    "{shown} holds too much: expected at most {FOLDER_FILES_MAX} folders"
                )));
            }
        }
    }
    Ok(())
}

/// Reads everything of a kind that is in a folder, of the first kind that is there if none is given.
///
/// # Errors
/// [`Unusable`] if there is nothing of that kind that can be read.
pub(crate) fn open(
    root: &Path,
    kind: Option<Kind>,
    options: &Options,
) -> Result<Records, Unusable> {
    if let Some(kind @ (Kind::Markdown | Kind::BasicMemory)) = kind {
        return markdown::open(root, kind, options);
    }
    let survey = Survey::new(root, &options.watch)?;
    let is_named = kind.is_some();
    let Some(kind) = kind.or_else(|| survey.first(root)) else {
        let broken = survey.broken.into_iter().next().map(|(_, why)| why);
        let why = survey.unusable.or(broken);
        return Err(why.unwrap_or_else(|| detect::unknown(root)));
    };
    let of_kind = survey.places.iter().filter(|place| place.kind == kind);
    let mut places: Vec<PathBuf> = of_kind.map(|place| place.path.clone()).collect();
    if places.is_empty() && matches!(kind, Kind::Jsonl | Kind::Mem0 | Kind::ServerMemory) {
        return Err(survey.without(root, kind));
    }
    if places.is_empty() {
        // Its reader says what is expected there.
        places.push(root.to_owned());
    }
    let named = |place: PathBuf| (within(root, &place), place);
    let opened = options.clone();
    let records = several(
        kind,
        places.into_iter().map(named).collect(),
        move |place| crate::open_as(kind, place, &opened),
    )?;
    survey.note_broken(root, kind, &options.watch);
    if !is_named {
        // Whoever names a kind knows that there are others.
        survey.note_foreign(root, &options.watch);
    }
    Ok(Records {
        left: survey.left(root, kind),
        ..records
    })
}

/// A path as it is called within a folder.
fn within(root: &Path, path: &Path) -> String {
    let name = path.strip_prefix(root).unwrap_or(path);
    if name.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        name.display().to_string()
    }
}

/// Something that can be read as a kind: a file or a folder.
struct Place {
    kind: Kind,
    path: PathBuf,
    /// What it was told by.
    file: PathBuf,
}

/// What is in a folder.
struct Survey {
    /// Sorted by their files; notes are one place, the folder itself.
    places: Vec<Place>,
    /// The same, to be found at once.
    met: HashSet<(Kind, PathBuf)>,
    notes: u64,
    /// Files of JSON whose kind cannot be told, since they are broken or empty, and why; sorted.
    broken: Vec<(PathBuf, Unusable)>,
    /// Files of sound JSON that are of no kind, sorted.
    foreign: Vec<PathBuf>,
    /// Folders that cannot be looked into, and why.
    closed: Vec<(PathBuf, Unusable)>,
    /// Why a file that goes by the name of a data export is of no kind, or a folder cannot be looked into.
    unusable: Option<Unusable>,
}

impl Survey {
    fn new(root: &Path, watch: &Watch) -> Result<Self, Unusable> {
        let mut survey = Self {
            places: Vec::new(),
            met: HashSet::new(),
            notes: 0,
            broken: Vec::new(),
            foreign: Vec::new(),
            closed: Vec::new(),
            unusable: None,
        };
        let mut first_note: Option<PathBuf> = None;
        let (mut json, mut unsorted) = (Vec::new(), 0);
        walk(root, |met| {
            let file = match met {
                Met::File(file) => file,
                Met::Link(_) => return Ok(()),
                Met::Closed(folder, why) => {
                    let closed = unreadable(&folder, &why);
                    survey.unusable.get_or_insert_with(|| closed.clone());
                    survey.closed.push((folder, closed));
                    return Ok(());
                }
            };
            if markdown::is_note(&file) {
                survey.notes += 1;
                if first_note.as_ref().is_none_or(|first| file < *first) {
                    first_note = Some(file);
                }
            } else if is_named(&file, CHROMA_FILE) {
                survey.add(Kind::Chroma, parent(&file), file.clone());
            } else if detect::is_json(&file) {
                if json.len() < FOLDER_FILES_MAX {
                    json.push(file);
                } else {
                    unsorted += 1;
                }
            }
            Ok(())
        })?;
        json.sort();
        let more = json.len().saturating_sub(JSON_FILES_MAX) + unsorted;
        if more > 0 {
            let files = counted(more, "more file of JSON was", "more files of JSON were");
            watch.note(format!(
                "{files} not looked at: expected at most {JSON_FILES_MAX} in a folder and those in it"
            ));
        }
        for file in json.into_iter().take(JSON_FILES_MAX) {
            survey.sort_in(file);
        }
        if let Some(note) = first_note {
            survey.add(Kind::Markdown, root.to_owned(), note);
        }
        survey
            .places
            .sort_by(|one, other| one.file.cmp(&other.file));
        Ok(survey)
    }

    /// Looks at a file of JSON.
    fn sort_in(&mut self, file: PathBuf) {
        let folder = export_of(&file);
        match (detect::json_file(&file), folder) {
            (Ok(Some(kind @ (Kind::ChatGpt | Kind::Claude))), Some(folder)) => {
                self.add(kind, folder, file);
            }
            (Ok(Some(kind)), _) => self.add(kind, file.clone(), file),
            (Ok(None), folder) => {
                if folder.is_some() {
                    self.unusable.get_or_insert_with(|| detect::unknown(&file));
                }
                self.foreign.push(file);
            }
            (Err(why), folder) => {
                if folder.is_some() {
                    self.unusable.get_or_insert_with(|| why.clone());
                }
                self.broken.push((file, why));
            }
        }
    }

    fn add(&mut self, kind: Kind, path: PathBuf, file: PathBuf) {
        if self.met.insert((kind, path.clone())) {
            self.places.push(Place { kind, path, file });
        }
    }

    /// The kind that is read if none is named: what the folder itself is, or else the first that is in it.
    fn first(&self, root: &Path) -> Option<Kind> {
        let kinds = [Kind::Chroma, Kind::ChatGpt, Kind::Claude, Kind::Markdown];
        let is_root = |kind: &Kind| {
            let mut places = self.places.iter();
            places.any(|place| place.kind == *kind && place.path == root)
        };
        let of_root = kinds.into_iter().find(is_root);
        of_root.or_else(|| Some(self.places.first()?.kind))
    }

    /// Why nothing of a kind is read.
    fn without(&self, root: &Path, kind: Kind) -> Unusable {
        let (shown, name) = (root.display(), kind.name());
        let but = match self.broken.first() {
            Some((file, why)) => {
                let why = crate::calling(&within(root, file), file, why);
                format!(", and {why}")
            }
            None => ": expected one, or the file itself".to_owned(),
        };
        Unusable(format!(
            "{shown} holds no file that is told to be {name}{but}"
        ))
    }

    /// Notes what cannot be told to be of a kind, unless whoever reads that kind tells of it.
    fn note_broken(&self, root: &Path, read: Kind, watch: &Watch) {
        let files = self.broken.iter();
        let files = files.filter(|(file, _)| !self.is_of_export(file));
        let closed = self.closed.iter().filter(|_| read != Kind::Markdown);
        let mut all = files.chain(closed);
        for (path, why) in all.by_ref().take(BROKEN_NAMED_MAX) {
            watch.note(crate::calling(&within(root, path), path, why));
        }
        let more = all.count();
        if more > 0 {
            let more = counted(more, "more is", "more are");
            watch.note(format!("{more} left out for such reasons"));
        }
    }

    /// Whether a file is a part of a data export of which other parts can be read: with these it is told of.
    fn is_of_export(&self, file: &Path) -> bool {
        let Some(folder) = export_of(file) else {
            return false;
        };
        let is_met = |kind| self.met.contains(&(kind, folder.clone()));
        is_met(Kind::Claude) || is_part(file, CONVERSATIONS) && is_met(Kind::ChatGpt)
    }

    /// Notes how many files of JSON are somebody else's. What is in the folder of a data export belongs to that.
    fn note_foreign(&self, root: &Path, watch: &Watch) {
        let exports = self.places.iter().filter_map(|place| match place.kind {
            Kind::ChatGpt | Kind::Claude => Some(place.path.as_path()),
            _ => None,
        });
        let exports: HashSet<&Path> = exports.collect();
        let is_in_none = |file: &&PathBuf| !file.ancestors().any(|folder| exports.contains(folder));
        let mut foreign = self.foreign.iter().filter(is_in_none);
        let Some(first) = foreign.next() else {
            return;
        };
        let first = within(root, first);
        watch.note(match foreign.count() {
            0 => format!("{first} is JSON of no kind that is known"),
            more => format!("{first} and {more} more are JSON of no kind that is known"),
        });
    }

    /// What is there beside a kind.
    fn left(&self, root: &Path, read: Kind) -> Vec<Left> {
        let of = |kind: Kind| {
            let mut places = self.places.iter().filter(|place| place.kind == kind);
            let first = within(root, &places.next()?.file);
            let more = places.count() as u64;
            let count = if kind == Kind::Markdown {
                self.notes
            } else {
                more + 1
            };
            Some(Left { kind, count, first })
        };
        let others = Kind::ALL.into_iter().filter(|kind| *kind != read);
        others.filter_map(of).collect()
    }
}

fn parent(file: &Path) -> PathBuf {
    file.parent().unwrap_or(file).to_owned()
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|it| it == name)
}

/// The folder of a data export that has a file by its name; `None` for another file.
fn export_of(file: &Path) -> Option<PathBuf> {
    let folder = parent(file);
    if is_part(file, CONVERSATIONS) || is_part(file, MEMORIES) {
        return Some(folder);
    }
    let is_memory = file.extension().is_some_and(|it| it == "json") && is_named(&folder, MEMORIES);
    is_memory.then(|| parent(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::{Read, options, read};
    use venom_testing::archive::zipped;

    const LINES: &str = "{\"content\": \"of lines\"}\n";
    const MEM0: &str = "[{\"memory\": \"of mem0\"}]";
    const CHATGPT: &str = r#"[{"mapping": {"a": {"message": {"author": {"role": "assistant"}, "recipient": "bio",
        "content": {"parts": ["of chatgpt"]}}}}}]"#;
    const CLAUDE: &str = "{\"conversations_memory\": \"of claude\"}";
    const GRAPH: &str =
        "{\"type\": \"relation\", \"from\": \"a\", \"relationType\": \"b\", \"to\": \"c\"}";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(parent(&path)).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn texts(read: &Read) -> Vec<&str> {
        let texts = read.memories.iter().map(|new| new.content.as_str());
        texts.collect()
    }

    /// Each kind by itself, with what is left beside it.
    #[test]
    fn what_is_not_read_is_named_and_can_be_read_as_what_it_is() {
        let folder = folder(&[
            ("a.md", "Tea."),
            ("deep/b.md", "Coffee."),
            ("deep/lines.jsonl", LINES),
            ("lines.json", LINES),
            ("mem0.JSON", MEM0),
            ("one/conversations-000.json", CHATGPT),
            ("one/conversations-001.json", CHATGPT),
            ("one/memories-000.json", CLAUDE),
            ("two/memories/0198.json", CLAUDE),
            ("memory.json", GRAPH),
            ("user.json", "{\"name\": \"Ana\"}"),
            ("empty.json", ""),
            (".hidden/lines.jsonl", LINES),
        ]);
        let records = crate::open(folder.path(), None, &options(folder.path())).unwrap();
        assert_eq!(records.kind, Kind::Markdown);
        let left = |kind, count, first: &str| Left {
            kind,
            count,
            first: first.to_owned(),
        };
        let expected = [
            left(Kind::Jsonl, 2, "deep/lines.jsonl"),
            left(Kind::Mem0, 1, "mem0.JSON"),
            left(Kind::ServerMemory, 1, "memory.json"),
            left(Kind::ChatGpt, 1, "one/conversations-000.json"),
            left(Kind::Claude, 2, "one/memories-000.json"),
        ];
        assert_eq!(records.left, expected);
        for (kind, expected) in [
            (Kind::Markdown, &["a\n\nTea.", "b\n\nCoffee."][..]),
            (Kind::Jsonl, &["of lines"; 2]),
            (Kind::Mem0, &["of mem0"]),
            (Kind::ServerMemory, &["a b c"]),
            (Kind::ChatGpt, &["of chatgpt"; 2]),
            (Kind::Claude, &["of claude"; 2]),
        ] {
            let read = read(folder.path(), Some(kind), 9);
            assert_eq!(
                (texts(&read), &read.skipped),
                (expected.to_vec(), &Vec::new())
            );
        }
        let records = crate::open(folder.path(), Some(Kind::Jsonl), &options(folder.path()));
        let left = records.unwrap().left;
        assert!(left.contains(&Left {
            kind: Kind::Markdown,
            count: 2,
            first: "a.md".to_owned(),
        }));
    }

    /// Without notes a data export comes first, then whatever is there.
    #[test]
    fn the_kind_of_a_folder_is_what_it_holds() {
        for (files, kind) in [
            (&[("memories.json", MEM0)][..], Kind::Mem0),
            (&[("memories.json", CLAUDE), ("a.md", "Tea.")], Kind::Claude),
            (
                &[("conversations.json", CHATGPT), ("memories.json", CLAUDE)],
                Kind::ChatGpt,
            ),
            (&[("a/b/memory.jsonl", GRAPH)], Kind::ServerMemory),
            (&[("b.json", MEM0), ("a/a.jsonl", LINES)], Kind::Jsonl),
        ] {
            let folder = folder(files);
            let read = read(folder.path(), None, 9);
            assert_eq!(
                (read.kind, read.memories.len()),
                (Some(kind), 1),
                "{files:?}"
            );
        }
        let folder = folder(&[("user.json", "{}"), ("conversations.json", "")]);
        let told = read(folder.path(), None, 9).unusable.unwrap();
        assert!(
            told.ends_with("conversations.json is empty: expected something to import"),
            "{told}"
        );
    }

    #[test]
    fn files_beyond_the_limit_are_told() {
        let folder = folder(&[("a.jsonl", LINES)]);
        let told = |count: usize| {
            for number in 1..count {
                std::fs::write(folder.path().join(format!("b{number}.json")), "{}").unwrap();
            }
            let options = options(folder.path());
            let records = crate::open(folder.path(), None, &options).unwrap();
            assert_eq!(records.found.count(), 1);
            options.watch.take_notes()
        };
        let foreign = "b1.json and 9998 more are JSON of no kind that is known";
        assert_eq!(told(JSON_FILES_MAX), [foreign]);
        let expected = "2 more files of JSON were not looked at: expected at most 10000 in a folder and those in it";
        assert_eq!(told(JSON_FILES_MAX + 2), [expected, foreign]);
    }

    /// What is noted of a folder beside its records, and what it is read as.
    fn noted(files: &[(&str, &str)], kind: Option<Kind>) -> (Kind, Vec<String>) {
        let folder = folder(files);
        let options = options(folder.path());
        let records = crate::open(folder.path(), kind, &options).unwrap();
        (records.kind, options.watch.take_notes())
    }

    #[test]
    fn a_file_whose_kind_cannot_be_told_is_noted() {
        let nope = "nope\n".repeat(1_500);
        let files = [
            ("a/bad.jsonl", &nope[..]),
            ("d.jsonl", ""),
            ("e.json", " \n"),
            ("good.jsonl", LINES),
            ("other.json", "{\"name\": \"Ana\"}"),
            ("package.json", "{}"),
            ("x.json", "\u{1}\u{2}"),
            (".obsidian/app.json", ""),
        ];
        let broken = [
            "a/bad.jsonl is of no kind that can be told: it is no JSON: expected ident at line 1 column 2",
            "d.jsonl is empty: expected something to import",
            "e.json is of no kind that can be told: it is blank",
            "x.json is of no kind that can be told: it is no JSON: expected value at line 1 column 1",
        ];
        let foreign = "other.json and 1 more are JSON of no kind that is known";
        let all: Vec<&str> = broken.into_iter().chain([foreign]).collect();
        let (kind, notes) = noted(&files, None);
        assert_eq!(
            (kind, notes),
            (Kind::Jsonl, all.iter().map(|it| (*it).to_owned()).collect())
        );
        // Whoever names a kind knows that there are others.
        assert_eq!(noted(&files, Some(Kind::Jsonl)).1, broken);
        let zip = tempfile::tempdir().unwrap();
        let path = zip.path().join("all.zip");
        let entries: Vec<(&str, &[u8])> =
            files.map(|(name, text)| (name, text.as_bytes())).to_vec();
        std::fs::write(&path, zipped(&entries)).unwrap();
        let options = options(zip.path());
        crate::open(&path, None, &options).unwrap();
        assert_eq!(options.watch.take_notes(), all);
        let vault = [
            ("a.md", "Tea."),
            (".obsidian/app.json", ""),
            ("b.canvas", ""),
        ];
        assert_eq!(noted(&vault, None), (Kind::Markdown, Vec::new()));
        let mut many = vec![("a.md", "Tea.")];
        let names: Vec<String> = (10..40).map(|number| format!("{number}.json")).collect();
        many.extend(names.iter().map(|name| (&name[..], "")));
        let (_, notes) = noted(&many, None);
        assert_eq!(notes.len(), BROKEN_NAMED_MAX + 1);
        assert_eq!(
            notes[BROKEN_NAMED_MAX],
            "10 more are left out for such reasons"
        );
    }

    /// Nothing is told twice, and what a data export has beside its conversations is no stranger.
    #[test]
    fn a_data_export_tells_of_its_own_parts() {
        let files = [
            ("conversations-000.json", CHATGPT),
            ("conversations-001.json", ""),
            ("user.json", "{}"),
        ];
        assert_eq!(noted(&files, None), (Kind::ChatGpt, Vec::new()));
        let folder = folder(&files);
        let skipped = read(folder.path(), None, 9).skipped;
        assert_eq!(skipped.len(), 1, "{skipped:?}");
        let first = [
            ("conversations-000.json", ""),
            ("conversations-001.json", CHATGPT),
        ];
        assert_eq!(noted(&first, None), (Kind::ChatGpt, Vec::new()));
        let claude = [("memories.json", CLAUDE), ("conversations.json", "")];
        assert_eq!(noted(&claude, None), (Kind::Claude, Vec::new()));
        for files in [first, claude] {
            let folder = self::folder(&files);
            let read = read(folder.path(), None, 9);
            assert_eq!(
                (read.memories.len(), read.skipped.len()),
                (1, 1),
                "{read:?}"
            );
        }
        let memories = [("memories/a.json", CLAUDE), ("memories/b.jsonl", "nope")];
        assert_eq!(noted(&memories, None).1.len(), 1);
        let beside = [("conversations.json", CHATGPT), ("memories.json", "")];
        let told = "memories.json is empty: expected something to import".to_owned();
        assert_eq!(noted(&beside, None), (Kind::ChatGpt, vec![told]));
    }

    #[test]
    fn a_folder_of_broken_files_is_refused_with_the_first() {
        let folder = folder(&[("b.jsonl", "nope"), ("c.jsonl", "")]);
        let told = |kind| read(folder.path(), kind, 9).unusable.unwrap();
        let shown = folder.path().display().to_string();
        let why = "b.jsonl is of no kind that can be told: it is no JSON: expected ident at line 1 column 2";
        assert_eq!(told(None), format!("{shown}/{why}"));
        let expected = format!("{shown} holds no file that is told to be jsonl, and {why}");
        assert_eq!(told(Some(Kind::Jsonl)), expected);
    }

    #[test]
    fn a_file_that_is_broken_at_its_start_stops_no_other() {
        let broken = "{\"content\": \"broken\n";
        let folder = folder(&[
            ("a.jsonl", broken),
            ("b.jsonl", &format!("{LINES}{broken}")),
            ("c.jsonl", broken),
        ]);
        let read = read(folder.path(), None, 9);
        assert_eq!((texts(&read), &read.unusable), (vec!["of lines"], &None));
        let places: Vec<&str> = read.skipped.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["a.jsonl", "b.jsonl, line 2", "c.jsonl"]);
        for file in ["b.jsonl", "c.jsonl"] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
        let told = super::open(folder.path(), None, &options(folder.path()));
        let Err(Unusable(told)) = told else {
            panic!("it is broken")
        };
        assert!(told.contains("a.jsonl is not what it should be"), "{told}");
    }
}
