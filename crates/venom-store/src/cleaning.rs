//! After memories were erased: until no byte of them is in the files of the data folder.
//!
//! The transaction that erases notes that there is something to clean, so that whatever is cut short goes on at the
//! next opening. The thread that makes segments does it: it makes those anew that have erased memories, merges the
//! full-text index, and zeroes what belongs to nothing in the database file, a slice at a time, between the calls of
//! others.

mod progress;

pub use progress::Cleanness;
pub(crate) use progress::Progress;

use crate::erase;
use crate::fault::{Doing, Fault};
use crate::indexer::Signal;
use crate::scrub::Scrubber;
use crate::store::{Shared, Step};
use crate::{folder, load, marks, open};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::TryLockError;
use venom_core::{Erased, Erasure, Erasures, MemoryId, StoreError, Timestamp};

/// Pages of the full-text index that are merged in a transaction: writers wait that long at most.
const MERGED_PAGES: i64 = 64;
/// Each turn merges more than the one before by one in so many.
const MERGED_SLOWER: i64 = 8;
/// Passes over the file beside which others may write; in the next they only read.
const PASSES_MAX: usize = 3;
/// Pages of the file that are looked at in a turn.
const SCRUBBED_PAGES: usize = 1_024;

impl Shared {
    /// Erases memories. The files are cleaned in the background.
    pub(crate) fn erase(&self, ids: &[MemoryId], now: Timestamp) -> Result<Erasures, StoreError> {
        let folder = &self.place.folder;
        // What cannot be removed is told.
        let _ = folder::remove_left_copies(folder);
        let (mut backups, is_imported) = self.read(|connection| {
            let is_imported = erase::is_any_imported(connection, ids)?;
            Ok((erase::backups_of(connection, ids)?, is_imported))
        })?;
        backups.extend(erase::copies_beside(folder, is_imported));
        // Whoever erases may have removed what was in the way before.
        self.forget_skipped();
        let each = self.erase_rows(now, |_| Ok(ids.to_vec()))?.1;
        if !each.contains(&Erasure::Erased) && self.cleaning.try_again() {
            self.signal.wake();
        }
        Ok(Erasures {
            each,
            is_under_way: !self.cleaning.is_clean(),
            stuck: None,
            backups,
        })
    }

    /// Erases what was hidden before a moment. The files are cleaned in the background.
    pub(crate) fn erase_due(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<MemoryId>, StoreError> {
        if self
            .read(|connection| erase::due(connection, before, limit))?
            .is_empty()
        {
            return Ok(Vec::new());
        }
        let due = |connection: &Connection| erase::due(connection, before, limit);
        Ok(self.erase_rows(now, due)?.0)
    }

    fn erase_rows(
        &self,
        now: Timestamp,
        which: impl FnOnce(&Connection) -> Result<Vec<MemoryId>, Fault>,
    ) -> Result<(Vec<MemoryId>, Vec<Erasure>), StoreError> {
        let writer = self.writer()?;
        let mut state = self.state()?;
        let foreign_keys = |state: &crate::store::State, on: bool| {
            let set = state.connection.pragma_update(None, "foreign_keys", on);
            set.map_err(|error| Fault::from(error).into_store(&self.place.folder, Doing::Reading))
        };
        foreign_keys(&state, false)?;
        let erased = self.write_in(&mut state, |tx| {
            let ids = which(tx)?;
            let done = erase::erase(tx, self.model_row, &ids, now)?;
            let steps = if done.rows.is_empty() {
                Vec::new()
            } else {
                vec![Step::Erase { rows: done.rows }]
            };
            let any = !steps.is_empty();
            Ok(((ids, done.each, any), steps))
        });
        foreign_keys(&state, true)?;
        let (ids, each, any) = erased?;
        if any {
            // Before the turn ends, so that no cleaning that ends now takes it for done.
            self.cleaning.want();
        }
        drop(state);
        drop(writer);
        self.signal.wake();
        Ok((ids, each))
    }

    /// What is known of memories that were erased.
    pub(crate) fn erased(&self, ids: &[MemoryId]) -> Result<Vec<Option<Erased>>, StoreError> {
        self.read(|connection| {
            ids.iter()
                .map(|id| erase::erased(connection, *id))
                .collect()
        })
    }

    /// Whether there is something to clean now. Not while the database is copied: the thread has other things to do
    /// meanwhile, and is woken at the end of the copy.
    pub(crate) fn cleaning_is_due(&self) -> bool {
        let is_copied = || matches!(self.copying.try_lock(), Err(TryLockError::WouldBlock));
        self.cleaning.is_due() && !is_copied()
    }

    /// Whether a segment has erased memories in its files; yes where that cannot be told.
    pub(crate) fn has_erased(&self) -> bool {
        self.index().map_or(true, |index| index.has_erased())
    }

    /// Removes files that are in no use, merges the full-text index and zeroes what belongs to nothing. Called when no
    /// segment that can be made anew has erased memories.
    pub(crate) fn clean(&self, signal: &Signal) {
        let wanted = self.cleaning.wanted();
        let outcome = self.try_clean(signal, wanted);
        self.cleaning.cleaned(wanted, outcome, self.has_erased());
    }

    /// `false` if it was cut short.
    fn try_clean(&self, signal: &Signal, wanted: u64) -> Result<bool, StoreError> {
        let used = self.index()?.segment_names();
        load::remove_leftovers(&self.recipe.folder, &used).map_err(StoreError::Folder)?;
        // What becomes free from now on is zeroed by SQLite: it may be where nobody looks any more.
        self.secure_delete(true)?;
        let cleaned = self
            .purge_words(signal)
            .and_then(|go_on| Ok(go_on && self.scrub(signal)?));
        self.secure_delete(false)?;
        if !cleaned? {
            return Ok(false);
        }
        let mut state = self.state()?;
        // Whoever erased meanwhile wants it all again.
        if self.cleaning.wanted() == wanted {
            self.write_in(&mut state, |tx| {
                Ok((marks::remove(tx, erase::CLEANING)?, Vec::new()))
            })?;
        }
        Ok(true)
    }

    fn secure_delete(&self, on: bool) -> Result<(), StoreError> {
        self.read(|connection| Ok(connection.pragma_update(None, "secure_delete", on)?))
    }

    fn purge_words(&self, signal: &Signal) -> Result<bool, StoreError> {
        let mut pages = MERGED_PAGES;
        loop {
            if signal.stops() {
                return Ok(false);
            }
            let mut state = self.state()?;
            let has_more = self.write_in(&mut state, |tx| {
                Ok((erase::purge_words(tx, pages)?, Vec::new()))
            })?;
            if !has_more {
                return Ok(true);
            }
            // Whoever stores meanwhile has some of it done again: each turn does more, so that one is the last.
            pages += (pages / MERGED_SLOWER).max(1);
        }
    }

    /// Passes over the file until nobody wrote meanwhile: SQLite may move what was not looked at yet to where that was
    /// done already.
    fn scrub(&self, signal: &Signal) -> Result<bool, StoreError> {
        for _ in 0..PASSES_MAX {
            let written = self.read(erase::written)?;
            if !self.scrub_once(signal, Pass::default())? {
                return Ok(false);
            }
            if self.read(erase::written)? == written {
                return Ok(true);
            }
        }
        let _no_writer = self.writer()?;
        let pass = Pass {
            stands_still: true,
            ..Pass::default()
        };
        self.scrub_once(signal, pass)
    }

    /// Some pages in a turn, in the order of pages: first what is free, so that what is taken from there is zero.
    fn scrub_once(&self, signal: &Signal, mut pass: Pass) -> Result<bool, StoreError> {
        loop {
            if signal.stops() {
                return Ok(false);
            }
            // A copy that is being made reads the file as it stands; when it ends the cleaning begins anew.
            let _no_copy = match self.copying.try_lock() {
                Ok(no_copy) => no_copy,
                Err(TryLockError::Poisoned(no_copy)) => no_copy.into_inner(),
                Err(TryLockError::WouldBlock) => return Ok(false),
            };
            let state = self.state()?;
            self.scrub_some(&state.connection, &mut pass)?;
            if pass.rest.is_empty() {
                return Ok(true);
            }
        }
    }

    fn scrub_some(&self, connection: &Connection, pass: &mut Pass) -> Result<(), StoreError> {
        let faulty = |fault: Fault| fault.into_store(&self.place.folder, Doing::Reading);
        open::empty_log(connection).map_err(faulty)?;
        let roots = erase::roots(connection).map_err(faulty)?;
        // What SQLite holds of pages would come back with the next change of them.
        connection
            .execute_batch("PRAGMA shrink_memory")
            .map_err(|error| faulty(error.into()))?;
        let scrubbed = pass.turn(&self.file, &roots);
        scrubbed.map_err(|error| {
            let folder = self.place.folder.display();
            StoreError::Other(format!(
                "what was erased cannot be removed from {folder}: {error}"
            ))
        })
    }
}

/// A pass over the database file.
#[derive(Default)]
struct Pass {
    /// Whether nobody writes while it lasts: then the trees have the same pages in all its turns.
    stands_still: bool,
    /// The page of a tree that was looked at last.
    last: Option<u32>,
    /// Those behind it.
    rest: BTreeSet<u32>,
}

impl Pass {
    /// Looks at the next pages. O(pages of the trees), and those that are free in the first turn; where nobody writes,
    /// O(1) in all others.
    fn turn(&mut self, file: &File, roots: &[u32]) -> io::Result<()> {
        let scrubber = Scrubber::new(file)?;
        if self.last.is_none() {
            scrubber.free_pages()?;
        }
        if self.last.is_none() || !self.stands_still {
            let mut pages = scrubber.trees(roots)?;
            let behind = self.last.map_or(0, |last| last.saturating_add(1));
            self.rest = pages.split_off(&behind);
        }
        for _ in 0..SCRUBBED_PAGES {
            let Some(page) = self.rest.pop_first() else {
                break;
            };
            scrubber.tree_page(page)?;
            self.last = Some(page);
        }
        file.sync_data()
    }
}
