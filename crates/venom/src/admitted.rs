//! The use cases as one caller may use them.
//!
//! The only way from a door to the memories: every call is held against the caller's rights here, and
//! what it changed is told to the audit log, so that no door can forget either.

mod past;
mod spaces;

use crate::access_file::AccessFile;
use crate::backup::{self, Made};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::hub::Hub;
use venom_access::{Event, Spaces};
use venom_core::{
    Changed, Error, ErrorKind, Hit, Imported, ListPage, ListQuery, Memory, MemoryChange, MemoryId,
    NewConversation, NewImport, NewMemory, RecallQuery, Remembered, RememberedConversation,
    SpaceName, Verdict, counted,
};

/// The hub, for one caller.
pub(crate) struct Admitted<'a> {
    hub: &'a Hub,
    file: &'a AccessFile,
    caller: &'a Caller,
}

impl<'a> Admitted<'a> {
    /// The hub for this caller.
    pub(crate) const fn new(hub: &'a Hub, file: &'a AccessFile, caller: &'a Caller) -> Self {
        Self { hub, file, caller }
    }

    /// The space of a call that names none.
    pub(crate) fn default_space<'b>(&'b self, usual: &'b SpaceName) -> &'b SpaceName {
        self.caller.rights.default_space(usual)
    }

    /// Stores a memory; durable on return.
    pub(crate) async fn remember(&self, new: NewMemory) -> Result<Remembered, Failure> {
        self.may_write()?;
        self.may_touch(&new.space)?;
        let remembered = self.hub.remember(new).await?;
        let event = if remembered.duplicate {
            Event::Updated
        } else {
            Event::Stored
        };
        self.note(event, remembered.memory.id);
        Ok(remembered)
    }

    /// Stores a conversation, all of it or nothing; durable on return.
    pub(crate) async fn remember_conversation(
        &self,
        new: NewConversation,
    ) -> Result<RememberedConversation, Failure> {
        self.may_write()?;
        self.may_touch(&new.space)?;
        let remembered = self.hub.remember_conversation(new).await?;
        for memory in &remembered.memories {
            self.note(Event::Stored, memory.id);
        }
        Ok(remembered)
    }

    /// Stores memories from elsewhere in one transaction; one answer for each.
    pub(crate) async fn import(&self, batch: Vec<NewImport>) -> Result<Vec<Imported>, Failure> {
        self.may_write()?;
        for new in &batch {
            self.may_touch(&new.space)?;
        }
        let answers = self.hub.import(batch).await?;
        let is_new = |it: &&Imported| matches!(it, Imported::Stored(_) | Imported::Renumbered(_));
        let count = answers.iter().filter(is_new).count();
        if count > 0 {
            let subject = counted::memories(count);
            self.file.note(Event::Imported, self.caller, subject);
        }
        Ok(answers)
    }

    /// What [`Self::import`] would answer, without storing anything.
    pub(crate) async fn look_at_import(
        &self,
        batch: Vec<NewImport>,
    ) -> Result<Vec<Imported>, Failure> {
        self.may_write()?;
        for new in &batch {
            self.may_touch(&new.space)?;
        }
        self.hub.look_at_import(batch).await
    }

    /// Changes a memory.
    pub(crate) async fn update(&self, change: MemoryChange) -> Result<Changed, Failure> {
        self.may_write()?;
        let id = change.id;
        let changed = self.hub.update(change, self.within()).await;
        let changed = self.or_erased(id, changed).await?;
        self.note(Event::Updated, changed.memory.id);
        Ok(changed)
    }

    /// Finds memories, best first.
    pub(crate) async fn recall(&self, query: RecallQuery) -> Result<Vec<Hit>, Failure> {
        self.may_touch(&query.filter.space)?;
        self.hub.recall(query).await
    }

    /// A page of memories, newest first.
    pub(crate) async fn list(&self, query: ListQuery) -> Result<Vec<Memory>, Failure> {
        if !query.all_spaces {
            self.may_touch(&query.filter.space)?;
        } else if self.caller.rights.spaces != Spaces::All {
            return Err(Failure::new(
                ErrorKind::Forbidden,
                "the memories of all spaces are not open to this caller: expected one for all spaces",
            ));
        }
        self.hub.list(query).await
    }

    /// One memory. One in a space that the caller may not touch is as good as none.
    pub(crate) async fn show(&self, id: MemoryId) -> Result<Memory, Failure> {
        let memory = self.or_erased(id, self.hub.show(id).await).await?;
        self.reachable(memory)
    }

    /// Hides a memory.
    pub(crate) async fn forget(&self, id: MemoryId) -> Result<(), Failure> {
        self.may_write()?;
        let forgotten = self.hub.forget(id, self.within()).await;
        self.or_erased(id, forgotten).await?;
        self.note(Event::Forgotten, id);
        Ok(())
    }

    /// Shows a forgotten memory again.
    pub(crate) async fn restore(&self, id: MemoryId) -> Result<Memory, Failure> {
        self.may_write()?;
        let restored = self.hub.restore(id, self.within()).await;
        let memory = self.or_erased(id, restored).await?;
        self.note(Event::Restored, id);
        self.reachable(memory)
    }

    /// A page of what waits in quarantine, newest first. For the owner.
    pub(crate) async fn quarantined(
        &self,
        before: Option<MemoryId>,
        limit: ListPage,
    ) -> Result<Vec<Memory>, Failure> {
        self.hub.quarantined(before, limit).await
    }

    /// Decides about a memory in quarantine. For the owner.
    pub(crate) async fn judge(&self, id: MemoryId, verdict: Verdict) -> Result<(), Failure> {
        self.hub.judge(id, verdict).await?;
        let event = match verdict {
            Verdict::Release => Event::Released,
            Verdict::Discard => Event::Discarded,
        };
        self.note(event, id);
        Ok(())
    }

    /// Makes a backup. For the owner. `None` if there is one that is young enough.
    pub(crate) async fn back_up(&self, task: backup::Task) -> Result<Option<Made>, Failure> {
        let made = backup::make(task, self.hub, self.file).await?;
        if let Some(made) = &made {
            let subject = made.path.display().to_string();
            self.file.note(Event::BackedUp, self.caller, subject);
        }
        Ok(made)
    }

    fn note(&self, event: Event, id: MemoryId) {
        self.file.note(event, self.caller, id.to_string());
    }

    fn may_write(&self) -> Result<(), Failure> {
        if self.caller.rights.write {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::Forbidden,
            "this caller may read and not write: expected a token or grant with the right to write",
        ))
    }

    fn may_touch(&self, space: &SpaceName) -> Result<(), Failure> {
        let rights = &self.caller.rights;
        if rights.reach(space) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::Forbidden,
            format!(
                "the space {:?} is not open to this caller: expected {}",
                space.as_str(),
                rights.spaces_named()
            ),
        ))
    }

    /// A memory, if the caller may touch its space.
    fn reachable(&self, memory: Memory) -> Result<Memory, Failure> {
        if self.caller.rights.reach(&memory.space) {
            Ok(memory)
        } else {
            Err(Error::MemoryNotFound(memory.id).into())
        }
    }
}
