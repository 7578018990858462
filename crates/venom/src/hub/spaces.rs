//! The calls about spaces as such.

use super::calls::unexpected;
use super::{Answer, Call, Hub};
use crate::failure::Failure;
use venom_core::use_cases::Venom;
use venom_core::{Emptied, Error, Move, Moved, RequestKey, SpaceInfo, SpaceName};

/// One use case with its arguments.
#[derive(Clone, Debug)]
pub(crate) enum SpaceCall {
    /// Which there are.
    List,
    /// Make one.
    Create(SpaceName),
    /// Give one another name.
    Rename {
        /// The old name.
        from: SpaceName,
        /// The new one.
        to: SpaceName,
    },
    /// Move memories.
    Move(Move),
    /// Hide some of the memories of one, and delete it if none is left.
    Empty(SpaceName),
}

/// What a use case answered.
#[derive(Debug)]
pub(crate) enum SpaceAnswer {
    /// The spaces.
    List(Vec<SpaceInfo>),
    /// Whether it is new.
    Created(bool),
    /// It is done.
    Renamed,
    /// One answer for each memory.
    Moved(Vec<Moved>),
    /// What the step did.
    Emptied(Emptied),
}

/// Carries out a call on this thread.
pub(super) fn carry_out(
    venom: &Venom,
    call: SpaceCall,
    key: RequestKey,
) -> Result<SpaceAnswer, Error> {
    Ok(match call {
        SpaceCall::List => SpaceAnswer::List(venom.spaces()?),
        SpaceCall::Create(space) => SpaceAnswer::Created(venom.create_space(&space)?),
        SpaceCall::Rename { from, to } => {
            venom.rename_space(&from, &to)?;
            SpaceAnswer::Renamed
        }
        SpaceCall::Move(what) => SpaceAnswer::Moved(venom.move_memories(&what, key)?),
        SpaceCall::Empty(space) => SpaceAnswer::Emptied(venom.empty_space(&space)?),
    })
}

impl Hub {
    /// The spaces that are there, by name.
    pub(crate) async fn spaces(&self) -> Result<Vec<SpaceInfo>, Failure> {
        match self.ask(SpaceCall::List).await? {
            SpaceAnswer::List(spaces) => Ok(spaces),
            other => unexpected(&other),
        }
    }

    /// Makes a space; `false` if it was there.
    pub(crate) async fn create_space(&self, space: SpaceName) -> Result<bool, Failure> {
        match self.ask(SpaceCall::Create(space)).await? {
            SpaceAnswer::Created(is_new) => Ok(is_new),
            other => unexpected(&other),
        }
    }

    /// Gives a space another name. May be repeated.
    pub(crate) async fn rename_space(&self, from: SpaceName, to: SpaceName) -> Result<(), Failure> {
        match self.ask(SpaceCall::Rename { from, to }).await? {
            SpaceAnswer::Renamed => Ok(()),
            other => unexpected(&other),
        }
    }

    /// Moves memories in one transaction; one answer for each.
    pub(crate) async fn move_memories(&self, what: Move) -> Result<Vec<Moved>, Failure> {
        match self.ask(SpaceCall::Move(what)).await? {
            SpaceAnswer::Moved(answers) => Ok(answers),
            other => unexpected(&other),
        }
    }

    /// One step of deleting a space.
    pub(crate) async fn empty_space(&self, space: SpaceName) -> Result<Emptied, Failure> {
        match self.ask(SpaceCall::Empty(space)).await? {
            SpaceAnswer::Emptied(emptied) => Ok(emptied),
            other => unexpected(&other),
        }
    }

    async fn ask(&self, call: SpaceCall) -> Result<SpaceAnswer, Failure> {
        match self.call(Call::Spaces(call)).await? {
            Answer::Spaces(answer) => Ok(answer),
            other => unexpected(&other),
        }
    }
}
