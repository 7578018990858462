//! What memories were, and erasing them, on the socket.

use super::{WireOrigin, WireSource, texts};
use crate::failure::Failure;
use crate::hub::calls::{Past, PastAnswer};
use serde::{Deserialize, Serialize};
use venom_core::{
    Backup, Cause, Content, Erased, Erasure, Erasures, History, MemoryId, Replaced, SpaceName,
    Tags, Timestamp, Version,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub(super) enum WirePast {
    History {
        memory_id: String,
    },
    RestoreVersion {
        memory_id: String,
        version: u32,
        source: WireSource,
    },
    Erase {
        memory_ids: Vec<String>,
    },
    Erased {
        memory_id: String,
    },
}

impl From<Past> for WirePast {
    fn from(past: Past) -> Self {
        match past {
            Past::History(id) => Self::History {
                memory_id: id.to_string(),
            },
            Past::RestoreVersion(id, version, source) => Self::RestoreVersion {
                memory_id: id.to_string(),
                version,
                source: source.into(),
            },
            Past::Erase(ids) => Self::Erase {
                memory_ids: ids.iter().map(ToString::to_string).collect(),
            },
            Past::Erased(id) => Self::Erased {
                memory_id: id.to_string(),
            },
        }
    }
}

impl WirePast {
    pub(super) fn parse(self) -> Result<Past, Failure> {
        Ok(match self {
            Self::History { memory_id } => Past::History(MemoryId::parse(&memory_id)?),
            Self::RestoreVersion {
                memory_id,
                version,
                source,
            } => Past::RestoreVersion(MemoryId::parse(&memory_id)?, version, source.parse()?),
            Self::Erase { memory_ids } => {
                let ids = memory_ids.iter().map(|id| MemoryId::parse(id));
                Past::Erase(ids.collect::<Result<_, _>>()?)
            }
            Self::Erased { memory_id } => Past::Erased(MemoryId::parse(&memory_id)?),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WirePastAnswer {
    History {
        memory_id: String,
        source: WireSource,
        hidden_at_us: Option<i64>,
        quarantined: bool,
        versions: Vec<WireVersion>,
        older: u32,
    },
    Erasures {
        each: Vec<WireErasure>,
        is_under_way: bool,
        stuck: Option<String>,
        /// Where, and when they were begun.
        backups: Vec<(String, i64)>,
    },
    /// Space and moment.
    Erased(Option<(String, i64)>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireVersion {
    number: u32,
    space: String,
    content: String,
    tags: Vec<String>,
    stored_at_us: i64,
    origin: WireOrigin,
    replaced: Option<WireReplaced>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireReplaced {
    at_us: i64,
    cause: String,
    by: WireSource,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireErasure {
    Erased,
    Before(i64),
    Unknown,
}

impl From<PastAnswer> for WirePastAnswer {
    fn from(answer: PastAnswer) -> Self {
        match answer {
            PastAnswer::History(history) => Self::History {
                memory_id: history.id.to_string(),
                source: history.source.into(),
                hidden_at_us: history.hidden_at.map(Timestamp::as_micros),
                quarantined: history.quarantined,
                versions: history.versions.into_iter().map(Into::into).collect(),
                older: history.older,
            },
            PastAnswer::Erasures(erasures) => {
                let backups = erasures.backups.into_iter();
                Self::Erasures {
                    each: erasures.each.into_iter().map(Into::into).collect(),
                    is_under_way: erasures.is_under_way,
                    stuck: erasures.stuck,
                    backups: backups
                        .map(|it| (it.path, it.made_at.as_micros()))
                        .collect(),
                }
            }
            PastAnswer::Erased(erased) => {
                let pair =
                    |erased: Erased| (erased.space.as_str().to_owned(), erased.at.as_micros());
                Self::Erased(erased.map(pair))
            }
        }
    }
}

impl WirePastAnswer {
    pub(super) fn parse(self) -> Result<PastAnswer, Failure> {
        Ok(match self {
            Self::History {
                memory_id,
                source,
                hidden_at_us,
                quarantined,
                versions,
                older,
            } => PastAnswer::History(Box::new(History {
                id: MemoryId::parse(&memory_id)?,
                source: source.parse()?,
                hidden_at: hidden_at_us.map(Timestamp::from_micros),
                quarantined,
                versions: versions
                    .into_iter()
                    .map(WireVersion::parse)
                    .collect::<Result<_, _>>()?,
                older,
            })),
            Self::Erasures {
                each,
                is_under_way,
                stuck,
                backups,
            } => PastAnswer::Erasures(Erasures {
                each: each.into_iter().map(Into::into).collect(),
                is_under_way,
                stuck,
                backups: backups
                    .into_iter()
                    .map(|(path, at)| Backup {
                        path,
                        made_at: Timestamp::from_micros(at),
                    })
                    .collect(),
            }),
            Self::Erased(None) => PastAnswer::Erased(None),
            Self::Erased(Some((space, at))) => PastAnswer::Erased(Some(Erased {
                space: SpaceName::parse(&space)?,
                at: Timestamp::from_micros(at),
            })),
        })
    }
}

impl From<Version> for WireVersion {
    fn from(version: Version) -> Self {
        Self {
            number: version.number,
            space: version.space.as_str().to_owned(),
            content: version.content.as_str().to_owned(),
            tags: texts(version.tags.as_slice()),
            stored_at_us: version.stored_at.as_micros(),
            origin: version.origin.into(),
            replaced: version.replaced.map(|replaced| WireReplaced {
                at_us: replaced.at.as_micros(),
                cause: replaced.cause.name().to_owned(),
                by: replaced.by.into(),
            }),
        }
    }
}

impl WireVersion {
    fn parse(self) -> Result<Version, Failure> {
        Ok(Version {
            number: self.number,
            space: SpaceName::parse(&self.space)?,
            content: Content::parse(&self.content)?,
            tags: Tags::parse(&self.tags)?,
            stored_at: Timestamp::from_micros(self.stored_at_us),
            origin: self.origin.parse()?,
            replaced: self.replaced.map(WireReplaced::parse).transpose()?,
        })
    }
}

impl WireReplaced {
    fn parse(self) -> Result<Replaced, Failure> {
        let unknown = || Failure::internal(format!("the owner knows a cause {:?}", self.cause));
        Ok(Replaced {
            at: Timestamp::from_micros(self.at_us),
            cause: Cause::of_name(&self.cause).ok_or_else(unknown)?,
            by: self.by.parse()?,
        })
    }
}

impl From<Erasure> for WireErasure {
    fn from(erasure: Erasure) -> Self {
        match erasure {
            Erasure::Erased => Self::Erased,
            Erasure::Before(at) => Self::Before(at.as_micros()),
            Erasure::Unknown => Self::Unknown,
        }
    }
}

impl From<WireErasure> for Erasure {
    fn from(wire: WireErasure) -> Self {
        match wire {
            WireErasure::Erased => Self::Erased,
            WireErasure::Before(at) => Self::Before(Timestamp::from_micros(at)),
            WireErasure::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::calls::{Answer, Call};
    use crate::hub::wire::{CallLine, ReplyLine};
    use venom_core::{Origin, RequestKey, SessionName, Source, Speaker};

    #[test]
    fn every_call_about_the_past_crosses_the_socket_unchanged() {
        let id = MemoryId::parse("mem_42").unwrap();
        for past in [
            Past::History(id),
            Past::RestoreVersion(id, 3, Source::command_line()),
            Past::Erase(vec![id, MemoryId::parse("mem_7").unwrap()]),
            Past::Erased(id),
        ] {
            let call = Call::Past(past);
            let line = serde_json::to_string(&CallLine::new(7, RequestKey(1), &call)).unwrap();
            let back: CallLine = serde_json::from_str(&line).unwrap();
            assert_eq!(
                format!("{:?}", back.parse().unwrap().1),
                format!("{call:?}")
            );
        }
    }

    #[test]
    fn every_answer_about_the_past_crosses_the_socket_unchanged() {
        let version = |number, replaced| Version {
            number,
            space: SpaceName::parse("s p").unwrap(),
            content: Content::parse("größe\n\"x\"").unwrap(),
            tags: Tags::parse(&["a", "ü"]).unwrap(),
            stored_at: Timestamp::from_micros(-4),
            origin: Origin {
                speaker: Speaker::parse("Zoë").ok(),
                session: SessionName::parse("s").ok(),
                occurred_at: Some(Timestamp::from_micros(5)),
            },
            replaced,
        };
        let replaced = |cause| Replaced {
            at: Timestamp::from_micros(9),
            cause,
            by: Source::command_line(),
        };
        let mut versions: Vec<Version> = Cause::ALL
            .into_iter()
            .zip(1..)
            .map(|(cause, number)| version(number, Some(replaced(cause))))
            .collect();
        versions.push(version(5, None));
        let history = History {
            id: MemoryId::parse("mem_42").unwrap(),
            source: Source::default(),
            hidden_at: Some(Timestamp::from_micros(1)),
            quarantined: true,
            versions,
            older: 7,
        };
        let erasures = Erasures {
            each: vec![
                Erasure::Erased,
                Erasure::Before(Timestamp::from_micros(3)),
                Erasure::Unknown,
            ],
            is_under_way: true,
            stuck: Some("no room\n".to_owned()),
            backups: vec![Backup {
                path: "/b/größe".to_owned(),
                made_at: Timestamp::from_micros(8),
            }],
        };
        let erased = Erased {
            space: SpaceName::parse("s").unwrap(),
            at: Timestamp::from_micros(2),
        };
        for past in [
            PastAnswer::History(Box::new(history)),
            PastAnswer::Erasures(erasures),
            PastAnswer::Erased(Some(erased)),
            PastAnswer::Erased(None),
        ] {
            let answer = Answer::Past(past);
            let expected = format!("{answer:?}");
            let line = serde_json::to_string(&ReplyLine::new(7, Ok(answer))).unwrap();
            let back: ReplyLine = serde_json::from_str(&line).unwrap();
            assert_eq!(format!("{:?}", back.parse().unwrap()), expected);
        }
    }
}
