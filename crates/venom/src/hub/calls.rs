//! The calls that doors make and the answers they get, in domain types.

mod past;

pub(crate) use past::{Past, PastAnswer};

use crate::failure::Failure;
use venom_core::use_cases::Venom;
use venom_core::{
    Changed, Error, Hit, Imported, ListPage, ListQuery, Memory, MemoryChange, MemoryId,
    NewConversation, NewImport, NewMemory, RecallQuery, Remembered, RememberedConversation,
    RequestKey, SpaceName, Stats, Verdict,
};

/// One use case with its arguments.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Store a memory.
    Remember(NewMemory),
    /// Store a conversation.
    RememberConversation(NewConversation),
    /// Change a memory.
    Update(MemoryChange),
    /// Search.
    Recall(RecallQuery),
    /// List, newest first.
    List(ListQuery),
    /// Show one memory.
    Show(MemoryId),
    /// Hide a memory.
    Forget(MemoryId),
    /// Show a forgotten memory again.
    Restore(MemoryId),
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
    /// What memories were, and erasing them.
    Past(Past),
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
    /// What memories were, and erasing them.
    Past(PastAnswer),
}

/// Carries out a call on this thread.
pub(super) fn carry_out(venom: &Venom, call: Call, key: RequestKey) -> Result<Answer, Error> {
    Ok(match call {
        Call::Remember(new) => Answer::Remembered(venom.remember(new, key)?),
        Call::RememberConversation(new) => {
            Answer::Conversation(venom.remember_conversation(new, key)?)
        }
        Call::Update(change) => Answer::Changed(venom.update(change, key)?),
        Call::Recall(query) => Answer::Hits(venom.recall(&query)?),
        Call::List(query) => Answer::Memories(venom.list(&query)?),
        Call::Show(id) => Answer::Memory(venom.show(id)?),
        Call::Forget(id) => {
            venom.forget(id, key)?;
            Answer::Done
        }
        Call::Restore(id) => Answer::Memory(venom.restore(id, key)?),
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
        Call::Past(past) => past::carry_out(venom, past, key)?,
    })
}

/// An answer of another kind than its call: only a bug on the other side of a socket makes one.
fn unexpected<T>(answer: &Answer) -> Result<T, Failure> {
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

    pub(super) fn vectors(self) -> Result<Vec<Vec<f32>>, Failure> {
        if let Self::Vectors(vectors) = self {
            Ok(vectors)
        } else {
            unexpected(&self)
        }
    }
}
