//! Making segments in the background: reading a range of rows from the database a few at a time, between the calls
//! of others, and putting what was made of them in the place of blocks, gaps or smaller segments.

use crate::archive::{Name, Segment};
use crate::fault::{Doing, Fault};
use crate::index::Work;
use crate::load::Recipe;
use crate::pages::PageWriter;
use crate::quantised::{Quantizer, VectorFileWriter};
use crate::sealed::{self, Columns, Covered};
use crate::store::{Shared, Task};
use crate::{folder, load, read};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use venom_core::StoreError;
use venom_core::recall::SectionBuilder;

/// Memories that are read from the database at a time: writers wait that long at most …
const BATCH_MEMORIES: usize = 64;
/// … and so many while more memories than this wait, which only a bulk import brings about.
const BATCH_BEHIND: (usize, usize) = (1_024, 8_192);
/// Rows that are looked up at a time.
const BATCH_ROWS: usize = 4_096;
/// Memories from whose vectors the centre is learned.
const SAMPLE_MEMORIES: usize = 1_024;
/// Bytes of text that count as a word.
const BYTES_PER_WORD: u64 = 6;

/// The thread that makes segments.
#[derive(Debug)]
pub(crate) struct Indexer {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread waits for.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    work: bool,
    stop: bool,
    /// Whether the thread has something to do now.
    busy: bool,
    /// Things that were done or could not be done.
    ended: u64,
}

impl Signal {
    /// Says that there is work.
    pub(crate) fn wake(&self) {
        self.set(|wanted| wanted.work = true);
    }

    /// Waits until there is nothing to do.
    pub(crate) fn wait_until_idle(&self) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_busy = |wanted: &mut Wanted| (wanted.work || wanted.busy) && !wanted.stop;
        drop(self.changed.wait_while(wanted, is_busy));
    }

    /// Waits until another thing was done; `false` if none will be.
    pub(crate) fn wait_for_progress(&self) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = wanted.ended;
        let is_under_way = |wanted: &Wanted| (wanted.work || wanted.busy) && !wanted.stop;
        let unchanged = |wanted: &mut Wanted| wanted.ended == before && is_under_way(wanted);
        let changed = self.changed.wait_while(wanted, unchanged);
        is_under_way(&changed.unwrap_or_else(PoisonError::into_inner))
    }

    fn ended(&self) {
        self.set(|wanted| wanted.ended += 1);
    }

    fn set(&self, set: impl FnOnce(&mut Wanted)) {
        set(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits for work, but no longer than that; `false` if there shall be none any more.
    fn wait(&self, most: Option<Duration>) -> bool {
        self.set(|wanted| wanted.busy = false);
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |wanted: &mut Wanted| !wanted.work && !wanted.stop;
        let mut wanted = if let Some(most) = most {
            let changed = self.changed.wait_timeout_while(wanted, most, idle);
            changed.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let changed = self.changed.wait_while(wanted, idle);
            changed.unwrap_or_else(PoisonError::into_inner)
        };
        wanted.work = false;
        wanted.busy = true;
        !wanted.stop
    }

    pub(crate) fn stops(&self) -> bool {
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stop
    }
}

impl Indexer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub(crate) fn start(shared: Arc<Shared>, signal: Arc<Signal>) -> io::Result<Self> {
        let ending = Ending(signal.clone());
        let run = move || {
            let seen = &ending.0;
            while seen.wait(shared.cleaning.again_after()) {
                while let Some(task) = shared.next_task() {
                    match task {
                        Task::Make(work) => {
                            let outcome = Making::new(&shared, seen).make(&work);
                            shared.indexing_ended(&work.space, outcome.err());
                        }
                        Task::Clean => shared.clean(seen),
                    }
                    seen.ended();
                    if seen.stops() {
                        break;
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("venom-index".to_owned())
            .spawn(run)?;
        Ok(Self {
            signal,
            thread: Some(thread),
        })
    }
}

/// Lets nobody wait for a thread that has ended, however.
struct Ending(Arc<Signal>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.set(|wanted| wanted.stop = true);
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.signal.set(|wanted| wanted.stop = true);
        if let Some(thread) = self.thread.take() {
            // A panic there was told on stderr, and whatever it held is no longer used.
            let _ = thread.join();
        }
    }
}

/// A segment in the making.
struct Making<'a> {
    shared: &'a Shared,
    signal: &'a Signal,
    recipe: &'a Recipe,
}

impl<'a> Making<'a> {
    fn new(shared: &'a Shared, signal: &'a Signal) -> Self {
        Self {
            shared,
            signal,
            recipe: &shared.recipe,
        }
    }

    /// Makes a segment and puts it in its place. Nothing happens if the thread is to stop.
    fn make(&self, work: &Work) -> Result<(), StoreError> {
        let Some((space, change)) = self.read(|connection| {
            let space = read::space_row(connection, &work.space)?;
            let change = read::last_change(connection)?;
            Ok(space.map(|space| (space, change)))
        })?
        else {
            return Ok(());
        };
        let (rows, last) = self.rows(space, work)?;
        let covered = Covered {
            first: work.rows.0,
            last,
            change,
        };
        let name = Name { space, covered };
        folder::private_folder(&self.recipe.folder).map_err(|error| self.unwritten(&error))?;
        let written = self.write(name, &rows);
        if !matches!(written, Ok(true)) {
            name.remove(&self.recipe.folder);
            crate::pages::remove_unfinished(&name.text(&self.recipe.folder));
            crate::pages::remove_unfinished(&name.vectors(&self.recipe.folder));
            return written.map(drop);
        }
        let opened = Segment::open(
            &self.recipe.folder,
            name,
            &self.recipe.about,
            self.recipe.options.stemming,
        );
        let segment = opened.map_err(|error| StoreError::Other(error.to_string()))?;
        self.shared.install(segment)
    }

    fn read<T>(
        &self,
        ask: impl FnOnce(&rusqlite::Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.shared.read(ask)
    }

    fn unwritten(&self, error: &io::Error) -> StoreError {
        StoreError::Other(format!(
            "the index in {} cannot be written: {error}",
            self.recipe.folder.display()
        ))
    }

    /// The rows of the memories that become the segment, and the last row that it covers.
    fn rows(&self, space: i64, work: &Work) -> Result<(Vec<i64>, i64), StoreError> {
        let (mut next, last) = work.rows;
        let sizes = self.recipe.options.sizes;
        let bytes_max = sizes.segment_words_max.saturating_mul(BYTES_PER_WORD);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        loop {
            let batch = self.read(|connection| {
                read::rows_between(connection, space, (next, last), BATCH_ROWS)
            })?;
            let is_last = batch.len() < BATCH_ROWS;
            for (row, length) in batch {
                bytes += length;
                let is_full = rows.len() >= sizes.segment_memories_max || bytes > bytes_max;
                if work.may_be_cut && is_full && !rows.is_empty() {
                    return Ok((rows, next - 1));
                }
                rows.push(row);
                next = row + 1;
            }
            if is_last {
                return Ok((rows, last));
            }
        }
    }

    /// Where codes are centred: at the mean of a sample.
    fn quantizer(&self, rows: &[i64]) -> Result<Quantizer, StoreError> {
        let step = rows.len().div_ceil(SAMPLE_MEMORIES).max(1);
        let sampled: Vec<i64> = rows.iter().step_by(step).copied().collect();
        let mut sample = Vec::new();
        for batch in sampled.chunks(BATCH_MEMORIES) {
            self.read(|connection| {
                for row in batch {
                    sample.extend(read::vectors(connection, self.recipe.model, *row)?);
                }
                Ok(())
            })?;
        }
        let seed = rows.first().map_or(0, |row| row.cast_unsigned());
        Ok(Quantizer::learn(&sample, self.recipe.model.1, seed))
    }

    /// Writes the files of a segment; `false` if the thread is to stop.
    fn write(&self, name: Name, rows: &[i64]) -> Result<bool, StoreError> {
        let unwritten = |error: io::Error| self.unwritten(&error);
        let quantizer = self.quantizer(rows)?;
        let place = name.vectors(&self.recipe.folder);
        let disk = self.recipe.disk.clone();
        let vectors = VectorFileWriter::create_on(disk.clone(), &place, quantizer);
        let mut vectors = vectors.map_err(unwritten)?;
        let mut section = SectionBuilder::new(self.recipe.options.stemming);
        let mut columns = Columns::default();
        let mut rest = rows;
        while !rest.is_empty() {
            if self.signal.stops() {
                return Ok(false);
            }
            let is_behind = self.shared.waiting() > BATCH_BEHIND.1;
            let size = if is_behind {
                BATCH_BEHIND.0
            } else {
                BATCH_MEMORIES
            };
            let (batch, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            let memories = self.read(|connection| {
                let indexable = |row: &i64| read::indexable(connection, self.recipe.model, *row);
                batch.iter().map(indexable).collect::<Result<Vec<_>, _>>()
            })?;
            for memory in memories.into_iter().flatten() {
                let components = memory.vectors.chunks_exact(self.recipe.model.1);
                columns.rows.push(memory.seq);
                columns.ids.push(memory.id.digits());
                columns
                    .moments
                    .push(memory.origin.moment(memory.stored_at).as_micros());
                columns
                    .vectors
                    .push(u32::try_from(components.len()).unwrap_or(u32::MAX));
                for vector in components {
                    vectors.push(vector).map_err(unwritten)?;
                }
                section.add(memory.entry());
            }
        }
        vectors.finish().map_err(unwritten)?;
        let section = section.finish();
        let text = PageWriter::create_on(disk, &name.text(&self.recipe.folder));
        let text = text.map_err(unwritten)?;
        sealed::write(text, &self.recipe.about, name.covered, &section, &columns)
            .map_err(unwritten)?;
        Ok(true)
    }
}

impl Shared {
    /// Puts a segment in its place.
    fn install(&self, segment: Segment) -> Result<(), StoreError> {
        let name = segment.name;
        let state = self.state()?;
        let connection = &state.connection;
        let faulty = |fault: Fault| fault.into_store(&self.place.folder, Doing::Reading);
        // It may have another name than when the making began.
        let Some(space) = read::space_in_row(connection, name.space).map_err(faulty)? else {
            name.remove(&self.recipe.folder);
            return Ok(());
        };
        let changed = read::changed_since(connection, name.covered.change).map_err(faulty)?;
        let changed = changed.into_iter().map(|change| change.seq);
        let changed: Vec<i64> = changed.filter(|row| name.covered.has(*row)).collect();
        let erased = read::erased_since(connection, name.covered.change).map_err(faulty)?;
        let erased: Vec<i64> = erased.into_iter().map(|(row, _)| row).collect();
        let mut index = self.index_for_change()?;
        let (old, again) = index.install(&space, segment, (&changed, &erased));
        for name in old {
            name.remove(&self.recipe.folder);
        }
        for row in again {
            if let Err(fault) = load::add(&mut index, connection, &self.recipe, (&space, row)) {
                // It is in no block any more, and would be missed by every search.
                let error = fault.into_store(&self.place.folder, Doing::Reading);
                self.lose_step(error.to_string());
                return Err(error);
            }
        }
        Ok(())
    }
}
