//! The calls about what memories were, and about erasing them.

use super::{Answer, unexpected};
use crate::failure::Failure;
use crate::hub::queue::Lane;
use venom_core::use_cases::Venom;
use venom_core::{Erased, Erasures, Error, History, MemoryId, RequestKey, Source};

/// One use case with its arguments.
#[derive(Clone, Debug)]
pub(crate) enum Past {
    /// What a memory was and is.
    History(MemoryId),
    /// Bring a version of a memory back.
    RestoreVersion(MemoryId, u32, Source),
    /// Erase memories for good.
    Erase(Vec<MemoryId>),
    /// What is known of a memory that was erased.
    Erased(MemoryId),
}

impl Past {
    /// Where it waits.
    pub(in crate::hub) const fn lane(&self) -> Lane {
        match self {
            Self::History(_) | Self::Erased(_) => Lane::Quick,
            Self::RestoreVersion(..) | Self::Erase(_) => Lane::Bulk,
        }
    }
}

/// What a use case answered.
#[derive(Debug)]
pub(crate) enum PastAnswer {
    /// What a memory was and is.
    History(Box<History>),
    /// What came of erasing.
    Erasures(Erasures),
    /// What is known of a memory, if it was erased.
    Erased(Option<Erased>),
}

/// Carries out a call on this thread.
pub(super) fn carry_out(venom: &Venom, call: Past, key: RequestKey) -> Result<Answer, Error> {
    Ok(match call {
        Past::History(id) => Answer::Past(PastAnswer::History(Box::new(venom.history(id)?))),
        Past::RestoreVersion(id, version, source) => {
            Answer::Memory(venom.restore_version(id, version, source, key)?)
        }
        Past::Erase(ids) => Answer::Past(PastAnswer::Erasures(venom.erase(&ids)?)),
        Past::Erased(id) => Answer::Past(PastAnswer::Erased(venom.erased(id)?)),
    })
}

impl Answer {
    pub(in crate::hub) fn history(self) -> Result<History, Failure> {
        match self {
            Self::Past(PastAnswer::History(history)) => Ok(*history),
            other => unexpected(&other),
        }
    }

    pub(in crate::hub) fn erasures(self) -> Result<Erasures, Failure> {
        match self {
            Self::Past(PastAnswer::Erasures(erasures)) => Ok(erasures),
            other => unexpected(&other),
        }
    }

    pub(in crate::hub) fn erased(self) -> Result<Option<Erased>, Failure> {
        match self {
            Self::Past(PastAnswer::Erased(erased)) => Ok(erased),
            other => unexpected(&other),
        }
    }
}
