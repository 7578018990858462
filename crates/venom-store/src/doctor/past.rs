//! Whether former versions are whole, and what was erased is gone.

use super::{Patient, Verdict};
use crate::archive::Segment;
use crate::index::IndexOptions;
use crate::load::{self, Recipe};
use crate::marks;
use crate::{erase, read};
use venom_core::{StoreError, counted};

impl Patient<'_> {
    /// Former versions are numbered without gaps, and no table has anything of what was erased.
    pub(super) fn past(&mut self, options: &IndexOptions) -> Result<(), StoreError> {
        let versions: i64 = self.read(|connection| {
            let sql = "SELECT count(*) FROM versions";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        })?;
        if let Some(id) = self.read(erase::broken_history)? {
            let says = format!("former versions of {id} are missing: restore a backup");
            self.found("history", Verdict::Trouble, says);
        } else {
            let says = format!(
                "{}, none is missing",
                counted(versions, "former version", "former versions")
            );
            self.found("history", Verdict::Sound, says);
        }
        let erased = counted(self.read(erase::count)?, "erased memory", "erased memories");
        if let Some((seq, table)) = self.read(erase::leftover)? {
            let says = format!("row {seq} of memories was erased and is still in {table}");
            self.found("erased", Verdict::Trouble, says);
        } else if self.is_unclean(options)? {
            let says = format!(
                "bytes of {erased} are still in the files: the next start of Venom removes them"
            );
            self.found("erased", Verdict::Note, says);
        } else {
            let says = format!("nothing is left of {erased}");
            self.found("erased", Verdict::Sound, says);
        }
        Ok(())
    }

    /// Whether the database file or a segment may have bytes of what was erased.
    fn is_unclean(&self, options: &IndexOptions) -> Result<bool, StoreError> {
        if self
            .read(|connection| marks::at(connection, erase::CLEANING))?
            .is_some()
        {
            return Ok(true);
        }
        let recipe = Recipe::new(self.folder, (0, self.embedder.model()), options);
        for name in load::names(&recipe.folder) {
            let erased =
                self.read(|connection| read::erased_since(connection, name.covered.change))?;
            let mut erased = erased.into_iter().map(|(row, _)| row);
            let opened =
                Segment::open(&recipe.folder, name, &recipe.about, recipe.options.stemming);
            // One that cannot be opened may have any of the rows that it covers. It goes at the next start.
            let may_have = |row: i64| match &opened {
                Ok(segment) => segment.text.slot_in_file(row).is_some(),
                Err(_) => name.covered.has(row),
            };
            if erased.any(may_have) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
