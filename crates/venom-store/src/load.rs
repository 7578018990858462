//! From the database and the files beside it to an index, at the opening of a store.

use crate::archive::{Archive, FOLDER, Name, Segment};
use crate::fault::Fault;
use crate::index::{Index, IndexOptions};
use crate::pages::{self, Disk, PageError, RealDisk};
use crate::read::{self, Change};
use crate::sealed::About;
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use venom_core::{ModelStamp, SpaceName};

/// Most threads that open segments.
const THREADS_MAX: usize = 4;

/// What an index is made of and for.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Row of the model in the database, and how many components its vectors have.
    pub(crate) model: (i64, usize),
    pub(crate) about: About,
    pub(crate) options: IndexOptions,
    /// Where segments lie.
    pub(crate) folder: PathBuf,
    /// What they are written with.
    pub(crate) disk: Arc<dyn Disk>,
}

impl Recipe {
    pub(crate) fn new(
        data: &Path,
        (row, model): (i64, &ModelStamp),
        options: &IndexOptions,
    ) -> Self {
        Self {
            model: (row, model.dimensions),
            about: About::new(model, options.stemming),
            options: options.clone(),
            folder: data.join(FOLDER),
            disk: Arc::new(RealDisk),
        }
    }
}

/// Has the system fetch the ends of all segments, which say what is where, while other things are done.
pub(crate) fn expect_ends(data: &Path) {
    let folder = data.join(FOLDER);
    for name in names(&folder) {
        for file in [name.text(&folder), name.vectors(&folder)] {
            pages::expect_end(&file);
        }
    }
}

/// Loads small spaces whole, and of large ones what is in no segment. O(small spaces + segments + changes since they
/// were made).
pub(crate) fn load(connection: &Connection, recipe: &Recipe) -> Result<Index, Fault> {
    let largest = read::largest_id(connection)?;
    let mut index = Index::new(recipe.model.1, largest, recipe.options.clone());
    // One that knows of rows or changes which the database has not was made of another.
    let (last, change) = (read::last_row(connection)?, read::last_change(connection)?);
    let is_of_this = |name: &Name| name.covered.last <= last && name.covered.change <= change;
    let mut names: Vec<Name> = names(&recipe.folder)
        .into_iter()
        .filter(is_of_this)
        .collect();
    // The oldest rows first, of those that begin with the same row the largest and newest.
    names.sort_by_key(|name| {
        let covered = name.covered;
        (covered.first, -covered.last, -covered.change)
    });
    // From a cold disk that takes longer than all else.
    for name in &names {
        Segment::expect(&recipe.folder, *name);
    }
    let oldest = names.iter().map(|name| name.covered.change).min();
    let changes = oldest.map(|change| Changes::since(connection, change));
    let changes = changes.transpose()?.unwrap_or_default();
    for (row, space, memories) in read::spaces(connection)? {
        let (of_space, others): (Vec<Name>, Vec<Name>) = std::mem::take(&mut names)
            .into_iter()
            .partition(|name| name.space == row);
        names = others;
        // Of a space that was emptied nothing needs to be opened.
        let segments = match memories {
            0 => Vec::new(),
            _ => open_segments(&of_space, recipe),
        };
        if segments.is_empty() && memories <= recipe.options.sizes.exact_memories_max {
            for seq in read::rows_of_space(connection, row)? {
                add(&mut index, connection, recipe, (&space, seq))?;
            }
        } else {
            let large = (row, &space, segments);
            load_large(&mut index, connection, recipe, &changes, large)?;
        }
    }
    // What is left is told by a cleaning; it is no reason not to open.
    let _ = remove_leftovers(&recipe.folder, &index.segment_names());
    Ok(index)
}

/// What was changed since the oldest segment was made. Read once for all spaces: what is in one now may have been in a
/// segment of any.
#[derive(Default)]
struct Changes {
    /// By row.
    changed: Vec<Change>,
    /// Rows, and the numbers of the changes, by row.
    erased: Vec<(i64, i64)>,
}

impl Changes {
    /// What was changed after the change of that number. O(changes since).
    fn since(connection: &Connection, change: i64) -> Result<Self, Fault> {
        Ok(Self {
            changed: read::changed_since(connection, change)?,
            erased: read::erased_since(connection, change)?,
        })
    }

    /// The changed ones among these rows, both ends included.
    fn of_rows(&self, first: i64, last: i64) -> &[Change] {
        let start = self.changed.partition_point(|change| change.seq < first);
        let rest = self.changed.get(start..).unwrap_or_default();
        let count = rest.partition_point(|change| change.seq <= last);
        rest.get(..count).unwrap_or_default()
    }
}

/// Adds a space with segments, or one that shall have some.
fn load_large(
    index: &mut Index,
    connection: &Connection,
    recipe: &Recipe,
    changes: &Changes,
    (row, space, mut segments): (i64, &SpaceName, Vec<Segment>),
) -> Result<(), Fault> {
    let mut again = Vec::new();
    for segment in &mut segments {
        let covered = segment.name.covered;
        let here = changes.of_rows(covered.first, covered.last);
        for change in here.iter().filter(|it| it.number > covered.change) {
            // One that is elsewhere now may have been here.
            if let Some(slot) = segment.text.slot(change.seq) {
                segment.text.remove(slot);
            }
            if change.space == row {
                again.push(change.seq);
            }
        }
        let erased = changes.erased.iter();
        let erased = erased.filter(|(_, number)| *number > covered.change);
        segment.erase(&erased.map(|(seq, _)| *seq).collect::<Vec<_>>());
    }
    let (mut gaps, mut next) = (Vec::new(), 1);
    for segment in &segments {
        let covered = segment.name.covered;
        if next < covered.first {
            gaps.push((next, covered.first - 1));
        }
        next = covered.last + 1;
    }
    let most = recipe.options.sizes.exact_memories_max;
    let mut tail = read::rows_between(connection, row, (next, i64::MAX), most.saturating_add(1))?;
    if tail.len() > most {
        gaps.push((next, read::last_row(connection)?));
        tail.clear();
    }
    index.restore(space, Archive::new(segments), gaps);
    for seq in again
        .into_iter()
        .chain(tail.into_iter().map(|(seq, _)| seq))
    {
        add(index, connection, recipe, (space, seq))?;
    }
    Ok(())
}

/// Adds the memory in a row, if it is visible.
pub(crate) fn add(
    index: &mut Index,
    connection: &Connection,
    recipe: &Recipe,
    (space, seq): (&SpaceName, i64),
) -> Result<(), Fault> {
    let Some(memory) = read::indexable(connection, recipe.model, seq)? else {
        return Ok(());
    };
    if index.add((space, seq), memory.entry(), |v| {
        v.extend_from_slice(&memory.vectors);
    }) {
        return Ok(());
    }
    Err(Fault::corrupt(format!(
        "memory row {seq} cannot be indexed"
    )))
}

/// Whether a data folder has segments.
pub(crate) fn has_segments(data: &Path) -> bool {
    !names(&data.join(FOLDER)).is_empty()
}

/// The segments in a folder, in any order.
pub(crate) fn names(folder: &Path) -> Vec<Name> {
    let names = files(folder).into_iter();
    names.filter_map(|name| Name::parse(&name)).collect()
}

/// Removes files of segments that are not in use, and what was not finished.
///
/// # Errors
/// One sentence about the first that cannot be removed; the others are.
pub(crate) fn remove_leftovers(folder: &Path, used: &[Name]) -> Result<(), String> {
    let mut first = Ok(());
    for file in leftovers(folder, used) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && first.is_ok() => {
                let file = file.display();
                first = Err(format!(
                    "{file} is in no use and cannot be removed: {error}"
                ));
            }
            _ => {}
        }
    }
    first
}

/// Files of segments that are not in use, and what was not finished.
pub(crate) fn leftovers(folder: &Path, used: &[Name]) -> Vec<PathBuf> {
    let used = used
        .iter()
        .flat_map(|name| [name.text(folder), name.vectors(folder)]);
    let used: BTreeSet<PathBuf> = used.collect();
    let is_ours = |file: &String| {
        [".text", ".vectors", ".new"]
            .iter()
            .any(|end| file.ends_with(end))
    };
    let ours = files(folder).into_iter().filter(is_ours);
    let places = ours.map(|file| folder.join(file));
    places.filter(|file| !used.contains(file)).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.file_name().into_string().ok())
        .collect()
}

/// Opens the segments of a space that overlap none before them. The others are damaged, made for something else, or
/// another is in their place.
fn open_segments(names: &[Name], recipe: &Recipe) -> Vec<Segment> {
    let (mut segments, mut end) = (Vec::new(), 0);
    for (name, opened) in names.iter().zip(opened(names, recipe)) {
        match opened {
            Ok(segment) if name.covered.first > end => {
                end = name.covered.last;
                segments.push(segment);
            }
            _ => {}
        }
    }
    segments
}

/// Opens segments side by side, as the time goes into checksums.
fn opened(names: &[Name], recipe: &Recipe) -> Vec<Result<Segment, PageError>> {
    let open = |name: &Name| {
        let (about, stemming) = (&recipe.about, recipe.options.stemming);
        Segment::open(&recipe.folder, *name, about, stemming)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = names.len().div_ceil(threads.min(THREADS_MAX)).max(1);
    std::thread::scope(|scope| {
        let (first, rest) = names.split_at(share.min(names.len()));
        let others: Vec<_> = rest
            .chunks(share)
            .map(|names| scope.spawn(|| names.iter().map(open).collect::<Vec<_>>()))
            .collect();
        let mut opened: Vec<_> = first.iter().map(open).collect();
        for thread in others {
            let others = thread.join();
            opened.extend(others.expect("opening a segment returns errors, it does not panic"));
        }
        opened
    })
}
