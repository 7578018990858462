//! What crosses the local socket: one JSON object a line, in both directions.
//!
//! These are twins of the domain types, converted by hand, so that a change of the domain never
//! changes the socket unseen. [`PROTOCOL`] grows with every change that an older process would
//! misread.

use super::calls::{Answer, Call};
use crate::failure::{Failure, WireFailure};
use serde::{Deserialize, Serialize};
use venom_core::recall::{Part, Parts};
use venom_core::{
    Content, Duplicates, Filter, Hit, InputError, ListPage, ListQuery, Memory, MemoryChange,
    MemoryId, ModelStamp, NewConversation, NewMemory, Origin, PassageSpan, QueryText, RecallQuery,
    Remembered, RequestKey, ResultLimit, SessionName, SpaceName, Speaker, Stats, Tag, Tags,
    Timestamp, Turn,
};

/// Version of this protocol.
pub(super) const PROTOCOL: u32 = 4;
/// Longest call, in bytes: the largest batch of texts to embed with every byte escaped.
pub(super) const CALL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest reply. The attached process trusts its owner, which holds the same answer in memory: a page
/// of a thousand long memories is as long as it is.
pub(super) const REPLY_BYTES_MAX: u64 = u64::MAX;

/// The owner's first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    pub(super) version: String,
    pub(super) pid: u32,
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CallLine {
    pub(super) id: u64,
    /// The request key, 32 hex digits.
    key: String,
    call: WireCall,
}

/// The reply to the call with the same id.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReplyLine {
    pub(super) id: u64,
    reply: Result<WireAnswer, WireFailure>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum WireCall {
    Remember {
        space: String,
        content: String,
        tags: Vec<String>,
        origin: WireOrigin,
        merge: bool,
    },
    RememberConversation {
        space: String,
        session: Option<String>,
        turns: Vec<WireTurn>,
    },
    Update {
        memory_id: String,
        content: Option<String>,
        tags: Option<Vec<String>>,
        origin: WireOrigin,
    },
    Recall {
        query: String,
        limit: i64,
        filter: WireFilter,
        similarity_min: Option<f32>,
        explain: bool,
    },
    List {
        limit: i64,
        before: Option<String>,
        filter: WireFilter,
    },
    Show {
        memory_id: String,
    },
    Forget {
        memory_id: String,
    },
    Restore {
        memory_id: String,
    },
    Stats {
        space: String,
    },
    Check,
    Embed {
        texts: Vec<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct WireFilter {
    space: String,
    tags_any: Vec<String>,
    tags_all: Vec<String>,
    tags_none: Vec<String>,
    since_us: Option<i64>,
    until_us: Option<i64>,
    speaker: Option<String>,
    session: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireTurn {
    content: String,
    tags: Vec<String>,
    speaker: Option<String>,
    occurred_at_us: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireOrigin {
    speaker: Option<String>,
    session: Option<String>,
    occurred_at_us: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireAnswer {
    Memory(WireMemory),
    Remembered { memory: WireMemory, duplicate: bool },
    Hits(Vec<WireHit>),
    Memories(Vec<WireMemory>),
    Done,
    Stats(WireStats),
    Vectors(Vec<Vec<f32>>),
}

#[derive(Debug, Serialize, Deserialize)]
struct WireMemory {
    memory_id: String,
    space: String,
    content: String,
    tags: Vec<String>,
    stored_at_us: i64,
    origin: WireOrigin,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireHit {
    memory: WireMemory,
    /// In the order of [`Parts::to_array`].
    parts: [f32; Part::ALL.len()],
    similarity: f32,
    passage: (usize, usize),
    matched_words: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireStats {
    space_memories: u64,
    memories: u64,
    forgotten: u64,
    passages: u64,
    database_bytes: u64,
    spaces: Vec<String>,
    model_name: String,
    model_sha256: String,
    model_dimensions: usize,
    /// Not told by versions before this field.
    #[serde(default)]
    engine: String,
    location: String,
    storage: String,
    /// An older owner does not tell.
    #[serde(default)]
    rebuilding: u64,
}

impl CallLine {
    pub(super) fn new(id: u64, key: RequestKey, call: &Call) -> Self {
        let call = match call.clone() {
            Call::Remember(new) => WireCall::Remember {
                space: new.space.as_str().to_owned(),
                content: new.content.as_str().to_owned(),
                tags: texts(new.tags.as_slice()),
                origin: new.origin.into(),
                merge: new.duplicates == Duplicates::Merge,
            },
            Call::RememberConversation(new) => WireCall::RememberConversation {
                space: new.space.as_str().to_owned(),
                session: new.session.as_ref().map(|name| name.as_str().to_owned()),
                turns: new.into_turns().into_iter().map(Into::into).collect(),
            },
            Call::Update(change) => WireCall::Update {
                memory_id: change.id.to_string(),
                content: change.content.map(|text| text.as_str().to_owned()),
                tags: change.tags.map(|tags| texts(tags.as_slice())),
                origin: change.origin.into(),
            },
            Call::Recall(query) => WireCall::Recall {
                query: query.text.as_str().to_owned(),
                limit: signed(query.limit.get()),
                filter: query.filter.into(),
                similarity_min: query.similarity_min,
                explain: query.explain,
            },
            Call::List(query) => WireCall::List {
                limit: signed(query.limit.get()),
                before: query.before.map(|id| id.to_string()),
                filter: query.filter.into(),
            },
            Call::Show(id) => WireCall::Show {
                memory_id: id.to_string(),
            },
            Call::Forget(id) => WireCall::Forget {
                memory_id: id.to_string(),
            },
            Call::Restore(id) => WireCall::Restore {
                memory_id: id.to_string(),
            },
            Call::Stats(space) => WireCall::Stats {
                space: space.as_str().to_owned(),
            },
            Call::Check => WireCall::Check,
            Call::Embed(texts) => WireCall::Embed { texts },
        };
        Self {
            id,
            key: format!("{:032x}", key.0),
            call,
        }
    }

    /// Back into the domain; everything is parsed again on this side.
    pub(super) fn parse(self) -> Result<(RequestKey, Call), Failure> {
        let key = u128::from_str_radix(&self.key, 16).map_err(|_| {
            Failure::invalid("the request key is malformed: expected 32 hex digits")
        })?;
        let call = match self.call {
            WireCall::Remember {
                space,
                content,
                tags,
                origin,
                merge,
            } => Call::Remember(NewMemory {
                space: SpaceName::parse(&space)?,
                content: Content::parse(&content)?,
                tags: Tags::parse(&tags)?,
                origin: origin.parse()?,
                duplicates: if merge {
                    Duplicates::Merge
                } else {
                    Duplicates::Keep
                },
            }),
            WireCall::RememberConversation {
                space,
                session,
                turns,
            } => {
                let turns = turns.into_iter().map(WireTurn::parse);
                Call::RememberConversation(NewConversation::new(
                    SpaceName::parse(&space)?,
                    parsed(session.as_deref(), SessionName::parse)?,
                    turns.collect::<Result<_, _>>()?,
                )?)
            }
            WireCall::Update {
                memory_id,
                content,
                tags,
                origin,
            } => Call::Update(MemoryChange {
                id: MemoryId::parse(&memory_id)?,
                content: parsed(content.as_deref(), Content::parse)?,
                tags: tags.map(|tags| Tags::parse(&tags)).transpose()?,
                origin: origin.parse()?,
            }),
            WireCall::Recall {
                query,
                limit,
                filter,
                similarity_min,
                explain,
            } => Call::Recall(RecallQuery {
                text: QueryText::parse(&query)?,
                limit: ResultLimit::parse(limit)?,
                filter: filter.parse()?,
                similarity_min,
                explain,
            }),
            WireCall::List {
                limit,
                before,
                filter,
            } => Call::List(ListQuery {
                filter: filter.parse()?,
                limit: ListPage::parse(limit)?,
                before: before.map(|id| MemoryId::parse(&id)).transpose()?,
            }),
            WireCall::Show { memory_id } => Call::Show(MemoryId::parse(&memory_id)?),
            WireCall::Forget { memory_id } => Call::Forget(MemoryId::parse(&memory_id)?),
            WireCall::Restore { memory_id } => Call::Restore(MemoryId::parse(&memory_id)?),
            WireCall::Stats { space } => Call::Stats(SpaceName::parse(&space)?),
            WireCall::Check => Call::Check,
            WireCall::Embed { texts } => Call::Embed(texts),
        };
        Ok((RequestKey(key), call))
    }
}

impl ReplyLine {
    pub(super) fn new(id: u64, reply: Result<Answer, Failure>) -> Self {
        Self {
            id,
            reply: reply.map(WireAnswer::from).map_err(WireFailure::from),
        }
    }

    /// Back into the domain.
    pub(super) fn parse(self) -> Result<Answer, Failure> {
        Ok(match self.reply? {
            WireAnswer::Memory(memory) => Answer::Memory(memory.parse()?),
            WireAnswer::Remembered { memory, duplicate } => Answer::Remembered(Remembered {
                memory: memory.parse()?,
                duplicate,
            }),
            WireAnswer::Memories(memories) => Answer::Memories(
                memories
                    .into_iter()
                    .map(WireMemory::parse)
                    .collect::<Result<_, _>>()?,
            ),
            WireAnswer::Hits(hits) => Answer::Hits(
                hits.into_iter()
                    .map(WireHit::parse)
                    .collect::<Result<_, _>>()?,
            ),
            WireAnswer::Done => Answer::Done,
            WireAnswer::Stats(stats) => Answer::Stats(Box::new(stats.parse()?)),
            WireAnswer::Vectors(vectors) => Answer::Vectors(vectors),
        })
    }
}

impl From<Answer> for WireAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Memory(memory) => Self::Memory(memory.into()),
            Answer::Remembered(Remembered { memory, duplicate }) => Self::Remembered {
                memory: memory.into(),
                duplicate,
            },
            Answer::Memories(memories) => {
                Self::Memories(memories.into_iter().map(Into::into).collect())
            }
            Answer::Hits(hits) => Self::Hits(hits.into_iter().map(Into::into).collect()),
            Answer::Done => Self::Done,
            Answer::Stats(stats) => Self::Stats((*stats).into()),
            Answer::Vectors(vectors) => Self::Vectors(vectors),
        }
    }
}

impl From<Filter> for WireFilter {
    fn from(filter: Filter) -> Self {
        Self {
            space: filter.space.as_str().to_owned(),
            tags_any: texts(&filter.tags_any),
            tags_all: texts(&filter.tags_all),
            tags_none: texts(&filter.tags_none),
            since_us: filter.since.map(Timestamp::as_micros),
            until_us: filter.until.map(Timestamp::as_micros),
            speaker: filter.speaker.map(|name| name.as_str().to_owned()),
            session: filter.session.map(|name| name.as_str().to_owned()),
        }
    }
}

impl WireFilter {
    fn parse(self) -> Result<Filter, Failure> {
        Ok(Filter {
            space: SpaceName::parse(&self.space)?,
            tags_any: tags(&self.tags_any)?,
            tags_all: tags(&self.tags_all)?,
            tags_none: tags(&self.tags_none)?,
            since: self.since_us.map(Timestamp::from_micros),
            until: self.until_us.map(Timestamp::from_micros),
            speaker: parsed(self.speaker.as_deref(), Speaker::parse)?,
            session: parsed(self.session.as_deref(), SessionName::parse)?,
        })
    }
}

impl From<Turn> for WireTurn {
    fn from(turn: Turn) -> Self {
        Self {
            content: turn.content.as_str().to_owned(),
            tags: texts(turn.tags.as_slice()),
            speaker: turn.speaker.map(|name| name.as_str().to_owned()),
            occurred_at_us: turn.occurred_at.map(Timestamp::as_micros),
        }
    }
}

impl WireTurn {
    fn parse(self) -> Result<Turn, Failure> {
        Ok(Turn {
            content: Content::parse(&self.content)?,
            tags: Tags::parse(&self.tags)?,
            speaker: parsed(self.speaker.as_deref(), Speaker::parse)?,
            occurred_at: self.occurred_at_us.map(Timestamp::from_micros),
        })
    }
}

impl From<Origin> for WireOrigin {
    fn from(origin: Origin) -> Self {
        Self {
            speaker: origin.speaker.map(|name| name.as_str().to_owned()),
            session: origin.session.map(|name| name.as_str().to_owned()),
            occurred_at_us: origin.occurred_at.map(Timestamp::as_micros),
        }
    }
}

impl WireOrigin {
    fn parse(self) -> Result<Origin, Failure> {
        Ok(Origin {
            speaker: parsed(self.speaker.as_deref(), Speaker::parse)?,
            session: parsed(self.session.as_deref(), SessionName::parse)?,
            occurred_at: self.occurred_at_us.map(Timestamp::from_micros),
        })
    }
}

impl From<Memory> for WireMemory {
    fn from(memory: Memory) -> Self {
        Self {
            memory_id: memory.id.to_string(),
            space: memory.space.as_str().to_owned(),
            content: memory.content.as_str().to_owned(),
            tags: texts(memory.tags.as_slice()),
            stored_at_us: memory.stored_at.as_micros(),
            origin: memory.origin.into(),
        }
    }
}

impl WireMemory {
    fn parse(self) -> Result<Memory, Failure> {
        Ok(Memory {
            id: MemoryId::parse(&self.memory_id)?,
            space: SpaceName::parse(&self.space)?,
            content: Content::parse(&self.content)?,
            tags: Tags::parse(&self.tags)?,
            stored_at: Timestamp::from_micros(self.stored_at_us),
            origin: self.origin.parse()?,
        })
    }
}

impl From<Hit> for WireHit {
    fn from(hit: Hit) -> Self {
        let span = hit.passage.0;
        Self {
            memory: hit.memory.into(),
            parts: hit.parts.to_array(),
            similarity: hit.similarity,
            passage: (span.start, span.end),
            matched_words: hit.matched_words,
        }
    }
}

impl WireHit {
    fn parse(self) -> Result<Hit, Failure> {
        Ok(Hit {
            memory: self.memory.parse()?,
            parts: Parts::from_array(self.parts),
            similarity: self.similarity,
            passage: PassageSpan(self.passage.0..self.passage.1),
            matched_words: self.matched_words,
        })
    }
}

impl From<Stats> for WireStats {
    fn from(stats: Stats) -> Self {
        Self {
            space_memories: stats.space_memories,
            memories: stats.memories,
            forgotten: stats.forgotten,
            passages: stats.passages,
            database_bytes: stats.database_bytes,
            spaces: stats
                .spaces
                .iter()
                .map(|space| space.as_str().to_owned())
                .collect(),
            model_name: stats.model.name,
            model_sha256: stats.model.sha256,
            model_dimensions: stats.model.dimensions,
            engine: stats.engine,
            location: stats.location,
            storage: stats.storage,
            rebuilding: stats.rebuilding,
        }
    }
}

impl WireStats {
    fn parse(self) -> Result<Stats, Failure> {
        let spaces: Result<Vec<_>, _> = self.spaces.iter().map(|s| SpaceName::parse(s)).collect();
        Ok(Stats {
            space_memories: self.space_memories,
            memories: self.memories,
            forgotten: self.forgotten,
            passages: self.passages,
            database_bytes: self.database_bytes,
            spaces: spaces?,
            model: ModelStamp {
                name: self.model_name,
                sha256: self.model_sha256,
                dimensions: self.model_dimensions,
            },
            engine: self.engine,
            location: self.location,
            storage: self.storage,
            rebuilding: self.rebuilding,
        })
    }
}

fn parsed<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, InputError>,
) -> Result<Option<T>, Failure> {
    Ok(text.map(parse).transpose()?)
}

fn texts(tags: &[Tag]) -> Vec<String> {
    tags.iter().map(|tag| tag.as_str().to_owned()).collect()
}

fn tags(texts: &[String]) -> Result<Vec<Tag>, Failure> {
    let parsed = texts
        .iter()
        .enumerate()
        .map(|(index, text)| Tag::parse(text, index + 1));
    Ok(parsed.collect::<Result<_, _>>()?)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("every parsed count is below 1,001")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_round_trip(call: &Call) {
        let line = serde_json::to_string(&CallLine::new(7, RequestKey(u128::MAX), call)).unwrap();
        let back: CallLine = serde_json::from_str(&line).unwrap();
        let (key, parsed) = back.parse().unwrap();
        assert_eq!(key, RequestKey(u128::MAX));
        assert_eq!(format!("{parsed:?}"), format!("{call:?}"));
    }

    fn filter() -> Filter {
        Filter {
            space: SpaceName::parse("work").unwrap(),
            tags_any: vec![Tag::parse("a", 1).unwrap()],
            tags_all: vec![Tag::parse("b", 1).unwrap()],
            tags_none: vec![Tag::parse("ü", 1).unwrap()],
            since: Some(Timestamp::from_micros(-1)),
            until: None,
            speaker: Some(Speaker::parse("Anna").unwrap()),
            session: Some(SessionName::parse("monday").unwrap()),
        }
    }

    fn origin() -> Origin {
        Origin {
            speaker: Some(Speaker::parse("Zoë").unwrap()),
            session: Some(SessionName::parse("s").unwrap()),
            occurred_at: Some(Timestamp::from_micros(-7)),
        }
    }

    #[test]
    fn every_call_crosses_the_socket_unchanged() {
        let id = MemoryId::parse("mem_42").unwrap();
        check_round_trip(&Call::Remember(NewMemory {
            space: SpaceName::parse("s p").unwrap(),
            content: Content::parse("line\nbreak \u{1F980} \"quoted\"").unwrap(),
            tags: Tags::parse(&["x", "y"]).unwrap(),
            origin: origin(),
            duplicates: Duplicates::Keep,
        }));
        let turn = Turn {
            content: Content::parse("said").unwrap(),
            tags: Tags::parse(&["x"]).unwrap(),
            speaker: origin().speaker,
            occurred_at: origin().occurred_at,
        };
        let space = SpaceName::parse("s").unwrap();
        let conversation = NewConversation::new(space, origin().session, vec![turn]).unwrap();
        check_round_trip(&Call::RememberConversation(conversation));
        check_round_trip(&Call::Update(MemoryChange {
            id,
            content: None,
            tags: Some(Tags::default()),
            origin: origin(),
        }));
        check_round_trip(&Call::Recall(RecallQuery {
            text: QueryText::parse("tea").unwrap(),
            limit: ResultLimit::default(),
            filter: filter(),
            similarity_min: Some(0.1 + 0.2),
            explain: true,
        }));
        check_round_trip(&Call::List(ListQuery {
            filter: filter(),
            limit: ListPage::default(),
            before: Some(id),
        }));
        for call in [
            Call::Show(id),
            Call::Forget(id),
            Call::Restore(id),
            Call::Stats(SpaceName::parse("x").unwrap()),
            Call::Check,
            Call::Embed(vec!["a".to_owned()]),
        ] {
            check_round_trip(&call);
        }
    }

    #[test]
    fn hits_and_vectors_keep_every_bit() {
        let memory = Memory {
            id: MemoryId::parse("mem_1").unwrap(),
            space: SpaceName::parse("s").unwrap(),
            content: Content::parse("c").unwrap(),
            tags: Tags::default(),
            stored_at: Timestamp::from_micros(5),
            origin: origin(),
        };
        let hit = Hit {
            memory,
            parts: Parts::from_array([
                0.1 + 0.2,
                -0.0,
                0.0,
                1.0e-30,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
                0.7,
            ]),
            similarity: 0.1 + 0.2,
            passage: PassageSpan(3..9),
            matched_words: vec!["walnut".to_owned()],
        };
        let line = ReplyLine::new(1, Ok(Answer::Hits(vec![hit.clone()])));
        let text = serde_json::to_string(&line).unwrap();
        let back: ReplyLine = serde_json::from_str(&text).unwrap();
        assert_eq!(back.parse().unwrap().hits().unwrap(), [hit]);
        let vector = vec![vec![1.0e-30_f32, -0.333_333_34, f32::MIN_POSITIVE]];
        let text = serde_json::to_string(&ReplyLine::new(1, Ok(Answer::Vectors(vector.clone()))));
        let back: ReplyLine = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(back.parse().unwrap().vectors().unwrap(), vector);
    }
}
