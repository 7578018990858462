//! The calls that doors make and the answers they get, in domain types.

mod past;

pub(crate) use past::{Past, PastAnswer};

use super::spaces::{self, SpaceAnswer, SpaceCall};
use crate::failure::Failure;
use std::fmt::Debug;
use std::path::Path;
use venom_core::use_cases::Venom;
use venom_core::{
    Backup, BackupNote, Changed, Error, Hit, Imported, ListPage, ListQuery, Memory, MemoryChange,
    MemoryId, NewConversation, NewImport, NewMemory, RecallQuery, Remembered,
    RememberedConversation, RequestKey, SpaceName, Stats, Verdict, Within,
};
use venom_store::{DatabaseFacts, SqliteStore};

/// One use case with its arguments.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Store a memory.
    Remember(NewMemory),
    /// Store a conversation.
    RememberConversation(NewConversation),
    /// Change a memory in one of these spaces.
    Update(MemoryChange, Within),
    /// Search.
    Recall(RecallQuery),
    /// List, newest first.
    List(ListQuery),
    /// Show one memory.
    Show(MemoryId),
    /// Hide a memory in one of these spaces.
    Forget(MemoryId, Within),
    /// Show a forgotten memory in one of these spaces again.
    Restore(MemoryId, Within),
    /// What waits in quarantine, older than a memory.
    Quarantined(Option<MemoryId>, ListPage),
    /// Decide about a memory in quarantine.
    Judge(MemoryId, Verdict),
    /// Count.
    Stats(SpaceName),
    /// Can it serve?
    Check,
    /// Vectors for texts.
    Embed(Vec<String>),
    /// Store memories from elsewhere, all or none.
    Import(Vec<NewImport>),
    /// What would become of memories from elsewhere.
    LookAtImport(Vec<NewImport>),
    /// What memories were, and erasing them.
    Past(Past),
    /// What concerns spaces as such.
    Spaces(SpaceCall),
    /// Something about backups.
    Backup(BackupCall),
}

/// What concerns backups.
#[derive(Clone, Debug)]
pub(crate) enum BackupCall {
    /// Write a copy of the database to an absolute path where nothing is yet.
    Snapshot(String),
    /// Note what became of backups.
    Note(BackupNote),
    /// Which backups there are.
    List,
}

/// What a use case answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One memory.
    Memory(Memory),
    /// What became of a new memory.
    Remembered(Remembered),
    /// What became of a conversation.
    Conversation(RememberedConversation),
    /// What became of a change.
    Changed(Changed),
    /// Results of a search.
    Hits(Vec<Hit>),
    /// A page.
    Memories(Vec<Memory>),
    /// Nothing to tell.
    Done,
    /// Counts.
    Stats(Box<Stats>),
    /// One vector per text.
    Vectors(Vec<Vec<f32>>),
    /// What became of each memory from elsewhere.
    Imported(Vec<Imported>),
    /// What concerns spaces as such.
    Spaces(SpaceAnswer),
    /// What a copy of the database holds.
    Snapshot(DatabaseFacts),
    /// Backups, oldest first.
    Backups(Vec<Backup>),
    /// What memories were, and erasing them.
    Past(PastAnswer),
}

/// Carries out a call on this thread.
pub(super) fn carry_out(
    venom: &Venom,
    store: &SqliteStore,
    (call, key): (Call, RequestKey),
) -> Result<Answer, Error> {
    Ok(match call {
        Call::Remember(new) => Answer::Remembered(venom.remember(new, key)?),
        Call::RememberConversation(new) => {
            Answer::Conversation(venom.remember_conversation(new, key)?)
        }
        Call::Update(change, within) => Answer::Changed(venom.update(change, &within, key)?),
        Call::Recall(query) => Answer::Hits(venom.recall(&query)?),
        Call::List(query) => Answer::Memories(venom.list(&query)?),
        Call::Show(id) => Answer::Memory(venom.show(id)?),
        Call::Forget(id, within) => {
            venom.forget(id, &within, key)?;
            Answer::Done
        }
        Call::Restore(id, within) => Answer::Memory(venom.restore(id, &within, key)?),
        Call::Quarantined(before, limit) => Answer::Memories(venom.quarantined(before, limit)?),
        Call::Judge(id, verdict) => {
            venom.judge(id, verdict)?;
            Answer::Done
        }
        Call::Stats(space) => Answer::Stats(Box::new(venom.stats(&space)?)),
        Call::Check => {
            venom.check()?;
            Answer::Done
        }
        Call::Embed(texts) => {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let vectors = venom.embed(&texts)?;
            Answer::Vectors(vectors.iter().map(|v| v.as_slice().to_vec()).collect())
        }
        Call::Import(batch) => Answer::Imported(venom.import(batch, None)?),
        Call::LookAtImport(batch) => Answer::Imported(venom.look_at_import(batch, None)?),
        Call::Past(past) => past::carry_out(venom, past, key)?,
        Call::Spaces(call) => Answer::Spaces(spaces::carry_out(venom, call, key)?),
        Call::Backup(call) => carry_out_backup(venom, store, call)?,
    })
}

fn carry_out_backup(venom: &Venom, store: &SqliteStore, call: BackupCall) -> Result<Answer, Error> {
    Ok(match call {
        BackupCall::Snapshot(path) => Answer::Snapshot(store.snapshot(Path::new(&path))?),
        BackupCall::Note(note) => {
            venom.note_backups(&note)?;
            Answer::Done
        }
        BackupCall::List => Answer::Backups(venom.backups()?),
    })
}

/// An answer of another kind than its call: only a bug on the other side of a socket makes one.
pub(super) fn unexpected<T>(answer: &impl Debug) -> Result<T, Failure> {
    Err(Failure::internal(format!(
        "the owner answered another question: {answer:?}"
    )))
}

impl Answer {
    pub(super) fn memory(self) -> Result<Memory, Failure> {
        if let Self::Memory(memory) = self {
            Ok(memory)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn remembered(self) -> Result<Remembered, Failure> {
        if let Self::Remembered(remembered) = self {
            Ok(remembered)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn conversation(self) -> Result<RememberedConversation, Failure> {
        if let Self::Conversation(conversation) = self {
            Ok(conversation)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn changed(self) -> Result<Changed, Failure> {
        if let Self::Changed(changed) = self {
            Ok(changed)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn hits(self) -> Result<Vec<Hit>, Failure> {
        if let Self::Hits(hits) = self {
            Ok(hits)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn memories(self) -> Result<Vec<Memory>, Failure> {
        if let Self::Memories(memories) = self {
            Ok(memories)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn done(self) -> Result<(), Failure> {
        if let Self::Done = self {
            Ok(())
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn stats(self) -> Result<Stats, Failure> {
        if let Self::Stats(stats) = self {
            Ok(*stats)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn imported(self) -> Result<Vec<Imported>, Failure> {
        if let Self::Imported(imported) = self {
            Ok(imported)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn snapshot(self) -> Result<DatabaseFacts, Failure> {
        if let Self::Snapshot(facts) = self {
            Ok(facts)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn backups(self) -> Result<Vec<Backup>, Failure> {
        if let Self::Backups(all) = self {
            Ok(all)
        } else {
            unexpected(&self)
        }
    }

    pub(super) fn vectors(self) -> Result<Vec<Vec<f32>>, Failure> {
        if let Self::Vectors(vectors) = self {
            Ok(vectors)
        } else {
            unexpected(&self)
        }
    }
}
