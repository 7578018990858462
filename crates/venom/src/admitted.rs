//! The use cases as one caller may use them.
//!
//! The only way from a door to the memories: every call is held against the caller's rights here, and
//! what it changed is told to the audit log, so that no door can forget either.

mod past;

use crate::access_file::AccessFile;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::hub::Hub;
use venom_access::{Event, Spaces};
use venom_core::{
    Changed, Error, ErrorKind, Hit, Imported, ListPage, ListQuery, Memory, MemoryChange, MemoryId,
    NewConversation, NewImport, NewMemory, RecallQuery, Remembered, RememberedConversation,
    SpaceName, Verdict,
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
            let subject = format!("{count} memories");
            self.file.note(Event::Imported, self.caller, subject);
        }
        Ok(answers)
    }

    /// Changes a memory.
    pub(crate) async fn update(&self, change: MemoryChange) -> Result<Changed, Failure> {
        self.may_write()?;
        self.find_if_bound(change.id).await?;
        let id = change.id;
        let changed = self.or_erased(id, self.hub.update(change).await).await?;
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
        self.may_touch(&query.filter.space)?;
        self.hub.list(query).await
    }

    /// One memory. One in a space that the caller may not touch is as good as none.
    pub(crate) async fn show(&self, id: MemoryId) -> Result<Memory, Failure> {
        let memory = self.or_erased(id, self.hub.show(id).await).await?;
        if self.caller.rights.reach(&memory.space) {
            Ok(memory)
        } else {
            Err(Error::MemoryNotFound(id).into())
        }
    }

    /// Hides a memory.
    pub(crate) async fn forget(&self, id: MemoryId) -> Result<(), Failure> {
        self.may_write()?;
        self.find_if_bound(id).await?;
        self.or_erased(id, self.hub.forget(id).await).await?;
        self.note(Event::Forgotten, id);
        Ok(())
    }

    /// Shows a forgotten memory again. Of a forgotten memory nobody is told the space before it is shown
    /// again, so this is for callers that may touch every space.
    pub(crate) async fn restore(&self, id: MemoryId) -> Result<Memory, Failure> {
        self.may_restore(id)?;
        let memory = self.or_erased(id, self.hub.restore(id).await).await?;
        self.note(Event::Restored, id);
        Ok(memory)
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

    fn may_restore(&self, id: MemoryId) -> Result<(), Failure> {
        self.may_write()?;
        if self.caller.rights.spaces == Spaces::All {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::Forbidden,
            format!(
                "{id} cannot be restored by a caller that is bound to spaces: expected the owner's \
                 venom restore-memory {id}"
            ),
        ))
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

    /// Before a memory is changed by its id: a caller bound to spaces must be able to see it. A memory
    /// never moves to another space, so that nothing can come between.
    async fn find_if_bound(&self, id: MemoryId) -> Result<(), Failure> {
        if self.caller.rights.spaces == Spaces::All {
            return Ok(());
        }
        self.show(id).await.map(|_| ())
    }
}
