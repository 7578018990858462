//! What crosses the local socket: one JSON object a line, in both directions.
//!
//! These are twins of the domain types, converted by hand, so that a change of the domain never
//! changes the socket unseen. [`PROTOCOL`] grows with every change that an older process would
//! misread.

mod backup;
mod import;
mod past;
mod source;
mod spaces;

use super::calls::{Answer, Call};
use crate::failure::{Failure, WireFailure};
use backup::{WireBackup, WireBackupCall, WireFacts};
use import::{WireImport, WireImported};
use past::{WirePast, WirePastAnswer};
use serde::{Deserialize, Serialize};
use source::{WirePrecautions, WireSource, kinds, names};
use spaces::{WireSpaceAnswer, WireSpaceCall, WireWithin};
use venom_core::recall::{Part, Parts};
use venom_core::{
    Changed, Content, Duplicates, Filter, Hit, InputError, ListPage, ListQuery, Memory,
    MemoryChange, MemoryId, Metadata, ModelStamp, NewConversation, NewMemory, Origin, PassageSpan,
    QueryText, RecallQuery, Remembered, RememberedConversation, RequestKey, ResultLimit,
    SessionName, SpaceName, Speaker, Stats, Tag, Tags, TakenOver, Timestamp, Turn, Verdict,
};

/// Version of this protocol.
pub(super) const PROTOCOL: u32 = 8;
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
        source: WireSource,
        precautions: WirePrecautions,
        merge: bool,
    },
    RememberConversation {
        space: String,
        session: Option<String>,
        source: WireSource,
        precautions: WirePrecautions,
        turns: Vec<WireTurn>,
    },
    Update {
        memory_id: String,
        content: Option<String>,
        tags: Option<Vec<String>>,
        origin: WireOrigin,
        source: WireSource,
        precautions: WirePrecautions,
        within: WireWithin,
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
        all_spaces: bool,
        filter: WireFilter,
    },
    Show {
        memory_id: String,
    },
    Forget {
        memory_id: String,
        within: WireWithin,
    },
    Restore {
        memory_id: String,
        within: WireWithin,
    },
    Quarantined {
        before: Option<String>,
        limit: i64,
    },
    Judge {
        memory_id: String,
        release: bool,
    },
    Stats {
        space: String,
    },
    Check,
    Embed {
        texts: Vec<String>,
    },
    Import {
        batch: Vec<WireImport>,
    },
    LookAtImport {
        batch: Vec<WireImport>,
    },
    Spaces {
        call: WireSpaceCall,
    },
    Backup(WireBackupCall),
    Past(WirePast),
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
    Remembered {
        memory: WireMemory,
        duplicate: bool,
        masked: Vec<String>,
    },
    Conversation {
        memories: Vec<WireMemory>,
        masked: Vec<String>,
    },
    Changed {
        memory: WireMemory,
        masked: Vec<String>,
    },
    Hits(Vec<WireHit>),
    Memories(Vec<WireMemory>),
    Done,
    Stats(WireStats),
    Vectors(Vec<Vec<f32>>),
    Imported(Vec<WireImported>),
    Spaces(WireSpaceAnswer),
    Snapshot(WireFacts),
    Backups(Vec<WireBackup>),
    Past(WirePastAnswer),
}

#[derive(Debug, Serialize, Deserialize)]
struct WireMemory {
    memory_id: String,
    space: String,
    content: String,
    tags: Vec<String>,
    stored_at_us: i64,
    origin: WireOrigin,
    source: WireSource,
    quarantined: bool,
    metadata: Option<String>,
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
    quarantined: u64,
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
    unclean: Option<String>,
    /// Memories and skipped records.
    taken_over: Option<(u64, u64)>,
}

impl CallLine {
    pub(super) fn new(id: u64, key: RequestKey, call: &Call) -> Self {
        let call = match call.clone() {
            Call::Remember(new) => WireCall::Remember {
                space: new.space.as_str().to_owned(),
                content: new.content.as_str().to_owned(),
                tags: texts(new.tags.as_slice()),
                origin: new.origin.into(),
                source: new.source.into(),
                precautions: new.precautions.into(),
                merge: new.duplicates == Duplicates::Merge,
            },
            Call::RememberConversation(new) => WireCall::RememberConversation {
                space: new.space.as_str().to_owned(),
                session: new.session.as_ref().map(|name| name.as_str().to_owned()),
                source: new.source.clone().into(),
                precautions: new.precautions.into(),
                turns: new.into_turns().into_iter().map(Into::into).collect(),
            },
            Call::Update(change, within) => WireCall::Update {
                memory_id: change.id.to_string(),
                content: change.content.map(|text| text.as_str().to_owned()),
                tags: change.tags.map(|tags| texts(tags.as_slice())),
                origin: change.origin.into(),
                source: change.source.into(),
                precautions: change.precautions.into(),
                within: spaces::within(within),
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
                all_spaces: query.all_spaces,
                filter: query.filter.into(),
            },
            Call::Show(id) => WireCall::Show {
                memory_id: id.to_string(),
            },
            Call::Forget(id, within) => WireCall::Forget {
                memory_id: id.to_string(),
                within: spaces::within(within),
            },
            Call::Restore(id, within) => WireCall::Restore {
                memory_id: id.to_string(),
                within: spaces::within(within),
            },
            Call::Quarantined(before, limit) => WireCall::Quarantined {
                before: before.map(|id| id.to_string()),
                limit: signed(limit.get()),
            },
            Call::Judge(id, verdict) => WireCall::Judge {
                memory_id: id.to_string(),
                release: verdict == Verdict::Release,
            },
            Call::Stats(space) => WireCall::Stats {
                space: space.as_str().to_owned(),
            },
            Call::Check => WireCall::Check,
            Call::Embed(texts) => WireCall::Embed { texts },
            Call::Import(batch) => WireCall::Import {
                batch: batch.into_iter().map(Into::into).collect(),
            },
            Call::LookAtImport(batch) => WireCall::LookAtImport {
                batch: batch.into_iter().map(Into::into).collect(),
            },
            Call::Spaces(call) => WireCall::Spaces { call: call.into() },
            Call::Backup(call) => WireCall::Backup(call.into()),
            Call::Past(past) => WireCall::Past(past.into()),
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
        Ok((RequestKey(key), self.call.parse()?))
    }
}

impl WireCall {
    fn parse(self) -> Result<Call, Failure> {
        Ok(match self {
            Self::Remember {
                space,
                content,
                tags,
                origin,
                source,
                precautions,
                merge,
            } => Call::Remember(NewMemory {
                space: SpaceName::parse(&space)?,
                content: Content::parse(&content)?,
                tags: Tags::parse(&tags)?,
                origin: origin.parse()?,
                source: source.parse()?,
                precautions: precautions.into(),
                duplicates: duplicates(merge),
            }),
            Self::RememberConversation {
                space,
                session,
                source,
                precautions,
                turns,
            } => {
                let turns = turns.into_iter().map(WireTurn::parse);
                let new = NewConversation::new(
                    SpaceName::parse(&space)?,
                    parsed(session.as_deref(), SessionName::parse)?,
                    turns.collect::<Result<_, _>>()?,
                )?;
                Call::RememberConversation(new.from_source(source.parse()?, precautions.into()))
            }
            Self::Update {
                memory_id,
                content,
                tags,
                origin,
                source,
                precautions,
                within,
            } => {
                let change = MemoryChange {
                    id: MemoryId::parse(&memory_id)?,
                    content: parsed(content.as_deref(), Content::parse)?,
                    tags: tags.map(|tags| Tags::parse(&tags)).transpose()?,
                    origin: origin.parse()?,
                    source: source.parse()?,
                    precautions: precautions.into(),
                };
                Call::Update(change, spaces::parsed_within(within)?)
            }
            Self::Recall {
                query,
                limit,
                filter,
                similarity_min,
                explain,
            } => Call::Recall(RecallQuery {
                text: QueryText::parse(&query)?,
                limit: ResultLimit::parse(limit)?,
                filter: filter.parse()?,
                similarity_min: similarity_min.map(cosine).transpose()?,
                explain,
            }),
            Self::List {
                limit,
                before,
                all_spaces,
                filter,
            } => Call::List(ListQuery {
                filter: filter.parse()?,
                all_spaces,
                limit: ListPage::parse(limit)?,
                before: before.map(|id| MemoryId::parse(&id)).transpose()?,
            }),
            Self::Show { memory_id } => Call::Show(MemoryId::parse(&memory_id)?),
            Self::Forget { memory_id, within } => {
                Call::Forget(MemoryId::parse(&memory_id)?, spaces::parsed_within(within)?)
            }
            Self::Restore { memory_id, within } => {
                Call::Restore(MemoryId::parse(&memory_id)?, spaces::parsed_within(within)?)
            }
            Self::Quarantined { before, limit } => Call::Quarantined(
                before.map(|id| MemoryId::parse(&id)).transpose()?,
                ListPage::parse(limit)?,
            ),
            Self::Judge { memory_id, release } => {
                Call::Judge(MemoryId::parse(&memory_id)?, verdict(release))
            }
            Self::Stats { space } => Call::Stats(SpaceName::parse(&space)?),
            Self::Check => Call::Check,
            Self::Embed { texts } => Call::Embed(texts),
            Self::Import { batch } => Call::Import(import::parsed_all(batch)?),
            Self::LookAtImport { batch } => Call::LookAtImport(import::parsed_all(batch)?),
            Self::Spaces { call } => Call::Spaces(call.parse()?),
            Self::Backup(call) => Call::Backup(call.parse()?),
            Self::Past(past) => Call::Past(past.parse()?),
        })
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
            WireAnswer::Remembered {
                memory,
                duplicate,
                masked,
            } => Answer::Remembered(Remembered {
                memory: memory.parse()?,
                duplicate,
                masked: kinds(&masked)?,
            }),
            WireAnswer::Conversation { memories, masked } => {
                Answer::Conversation(RememberedConversation {
                    memories: parsed_memories(memories)?,
                    masked: kinds(&masked)?,
                })
            }
            WireAnswer::Changed { memory, masked } => Answer::Changed(Changed {
                memory: memory.parse()?,
                masked: kinds(&masked)?,
            }),
            WireAnswer::Memories(memories) => Answer::Memories(parsed_memories(memories)?),
            WireAnswer::Hits(hits) => Answer::Hits(
                hits.into_iter()
                    .map(WireHit::parse)
                    .collect::<Result<_, _>>()?,
            ),
            WireAnswer::Done => Answer::Done,
            WireAnswer::Stats(stats) => Answer::Stats(Box::new(stats.parse()?)),
            WireAnswer::Vectors(vectors) => Answer::Vectors(vectors),
            WireAnswer::Imported(answers) => {
                let answers = answers.into_iter().map(WireImported::parse);
                Answer::Imported(answers.collect::<Result<_, _>>()?)
            }
            WireAnswer::Spaces(answer) => Answer::Spaces(answer.parse()?),
            WireAnswer::Snapshot(facts) => Answer::Snapshot(facts.parse()),
            WireAnswer::Backups(all) => {
                Answer::Backups(all.into_iter().map(WireBackup::parse).collect())
            }
            WireAnswer::Past(past) => Answer::Past(past.parse()?),
        })
    }
}

impl From<Answer> for WireAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Memory(memory) => Self::Memory(memory.into()),
            Answer::Remembered(remembered) => Self::Remembered {
                memory: remembered.memory.into(),
                duplicate: remembered.duplicate,
                masked: names(&remembered.masked),
            },
            Answer::Conversation(conversation) => Self::Conversation {
                memories: conversation.memories.into_iter().map(Into::into).collect(),
                masked: names(&conversation.masked),
            },
            Answer::Changed(changed) => Self::Changed {
                memory: changed.memory.into(),
                masked: names(&changed.masked),
            },
            Answer::Memories(memories) => {
                Self::Memories(memories.into_iter().map(Into::into).collect())
            }
            Answer::Hits(hits) => Self::Hits(hits.into_iter().map(Into::into).collect()),
            Answer::Done => Self::Done,
            Answer::Stats(stats) => Self::Stats((*stats).into()),
            Answer::Vectors(vectors) => Self::Vectors(vectors),
            Answer::Imported(answers) => {
                Self::Imported(answers.into_iter().map(Into::into).collect())
            }
            Answer::Spaces(answer) => Self::Spaces(answer.into()),
            Answer::Snapshot(facts) => Self::Snapshot(facts.into()),
            Answer::Backups(all) => Self::Backups(all.into_iter().map(Into::into).collect()),
            Answer::Past(past) => Self::Past(past.into()),
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
            source: memory.source.into(),
            quarantined: memory.quarantined,
            metadata: memory.metadata.map(|it| it.as_str().to_owned()),
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
            source: self.source.parse()?,
            quarantined: self.quarantined,
            metadata: parsed(self.metadata.as_deref(), Metadata::parse)?,
        })
    }
}

fn parsed_memories(memories: Vec<WireMemory>) -> Result<Vec<Memory>, Failure> {
    memories.into_iter().map(WireMemory::parse).collect()
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
            quarantined: stats.quarantined,
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
            unclean: stats.unclean,
            taken_over: stats.taken_over.map(|it| (it.memories, it.skipped)),
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
            quarantined: self.quarantined,
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
            unclean: self.unclean,
            taken_over: self
                .taken_over
                .map(|(memories, skipped)| TakenOver { memories, skipped }),
        })
    }
}

fn parsed<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, InputError>,
) -> Result<Option<T>, Failure> {
    Ok(text.map(parse).transpose()?)
}

/// JSON has numbers that no cosine is.
fn cosine(number: f32) -> Result<f32, Failure> {
    if (-1.0..=1.0).contains(&number) {
        return Ok(number);
    }
    Err(Failure::invalid(
        "similarity_min is out of range: expected a cosine",
    ))
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

const fn verdict(release: bool) -> Verdict {
    if release {
        Verdict::Release
    } else {
        Verdict::Discard
    }
}

const fn duplicates(merge: bool) -> Duplicates {
    if merge {
        Duplicates::Merge
    } else {
        Duplicates::Keep
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("every parsed count is below 1,001")
}

#[cfg(test)]
mod tests;
