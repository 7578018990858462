//! Calls about spaces as such, on the socket.

use super::WireSource;
use crate::failure::Failure;
use crate::hub::{SpaceAnswer, SpaceCall};
use serde::{Deserialize, Serialize};
use venom_core::{Emptied, MemoryId, Move, Moved, SpaceInfo, SpaceName, Timestamp, Within};

/// The spaces that a call may reach; absent for all.
pub(super) type WireWithin = Option<Vec<String>>;

pub(super) fn within(within: Within) -> WireWithin {
    match within {
        Within::Everywhere => None,
        Within::Spaces(spaces) => {
            let names = spaces.iter().map(|space| space.as_str().to_owned());
            Some(names.collect())
        }
    }
}

pub(super) fn parsed_within(wire: WireWithin) -> Result<Within, Failure> {
    let Some(names) = wire else {
        return Ok(Within::Everywhere);
    };
    let spaces = names.iter().map(|name| SpaceName::parse(name));
    Ok(Within::Spaces(spaces.collect::<Result<_, _>>()?))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireSpaceCall {
    List,
    Create {
        space: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Move {
        memory_ids: Vec<String>,
        to: String,
        within: WireWithin,
        source: WireSource,
    },
    Empty {
        space: String,
    },
}

impl From<SpaceCall> for WireSpaceCall {
    fn from(call: SpaceCall) -> Self {
        let text = |space: &SpaceName| space.as_str().to_owned();
        match call {
            SpaceCall::List => Self::List,
            SpaceCall::Create(space) => Self::Create {
                space: text(&space),
            },
            SpaceCall::Rename { from, to } => Self::Rename {
                from: text(&from),
                to: text(&to),
            },
            SpaceCall::Move(what) => Self::Move {
                memory_ids: what.ids().iter().map(ToString::to_string).collect(),
                to: text(&what.to),
                within: within(what.within),
                source: what.source.into(),
            },
            SpaceCall::Empty(space) => Self::Empty {
                space: text(&space),
            },
        }
    }
}

impl WireSpaceCall {
    pub(super) fn parse(self) -> Result<SpaceCall, Failure> {
        Ok(match self {
            Self::List => SpaceCall::List,
            Self::Create { space } => SpaceCall::Create(SpaceName::parse(&space)?),
            Self::Rename { from, to } => SpaceCall::Rename {
                from: SpaceName::parse(&from)?,
                to: SpaceName::parse(&to)?,
            },
            Self::Move {
                memory_ids,
                to,
                within,
                source,
            } => {
                let ids = memory_ids.iter().map(|id| MemoryId::parse(id));
                let ids = ids.collect::<Result<_, _>>()?;
                let mut what = Move::new(ids, SpaceName::parse(&to)?, source.parse()?)?;
                what.within = parsed_within(within)?;
                SpaceCall::Move(what)
            }
            Self::Empty { space } => SpaceCall::Empty(SpaceName::parse(&space)?),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireSpaceAnswer {
    List(Vec<WireSpace>),
    Created(bool),
    Renamed,
    Moved(Vec<WireMoved>),
    Emptied { forgotten: u64, deleted: bool },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireSpace {
    name: String,
    memories: u64,
    hidden: u64,
    newest_us: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireMoved {
    Moved,
    Already,
    NotFound,
}

impl From<SpaceAnswer> for WireSpaceAnswer {
    fn from(answer: SpaceAnswer) -> Self {
        let space = |info: SpaceInfo| WireSpace {
            name: info.name.as_str().to_owned(),
            memories: info.memories,
            hidden: info.hidden,
            newest_us: info.newest.map(Timestamp::as_micros),
        };
        let moved = |moved: Moved| match moved {
            Moved::Moved => WireMoved::Moved,
            Moved::Already => WireMoved::Already,
            Moved::NotFound => WireMoved::NotFound,
        };
        match answer {
            SpaceAnswer::List(spaces) => Self::List(spaces.into_iter().map(space).collect()),
            SpaceAnswer::Created(is_new) => Self::Created(is_new),
            SpaceAnswer::Renamed => Self::Renamed,
            SpaceAnswer::Moved(answers) => Self::Moved(answers.into_iter().map(moved).collect()),
            SpaceAnswer::Emptied(Emptied { forgotten, deleted }) => {
                Self::Emptied { forgotten, deleted }
            }
        }
    }
}

impl WireSpaceAnswer {
    pub(super) fn parse(self) -> Result<SpaceAnswer, Failure> {
        let space = |wire: WireSpace| {
            Ok::<_, Failure>(SpaceInfo {
                name: SpaceName::parse(&wire.name)?,
                memories: wire.memories,
                hidden: wire.hidden,
                newest: wire.newest_us.map(Timestamp::from_micros),
            })
        };
        let moved = |wire: WireMoved| match wire {
            WireMoved::Moved => Moved::Moved,
            WireMoved::Already => Moved::Already,
            WireMoved::NotFound => Moved::NotFound,
        };
        Ok(match self {
            Self::List(spaces) => {
                SpaceAnswer::List(spaces.into_iter().map(space).collect::<Result<_, _>>()?)
            }
            Self::Created(is_new) => SpaceAnswer::Created(is_new),
            Self::Renamed => SpaceAnswer::Renamed,
            Self::Moved(answers) => SpaceAnswer::Moved(answers.into_iter().map(moved).collect()),
            Self::Emptied { forgotten, deleted } => {
                SpaceAnswer::Emptied(Emptied { forgotten, deleted })
            }
        })
    }
}
