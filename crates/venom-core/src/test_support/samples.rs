//! Small values for tests, and a seeded source of numbers that is the same on every machine.

use crate::embedding::{Embedding, ModelStamp, Passage, PassageSpan};
use crate::error::StoreError;
use crate::memory::{
    Content, Duplicates, Memory, MemoryId, Origin, RequestKey, SessionName, SpaceName, Speaker,
    Tag, Tags,
};
use crate::ports::{MemoryRecord, MemoryStore, NoVocabulary, Search};
use crate::query::{Filter, Hit};
use crate::recall::Question;
use crate::source::{ClientName, Source, TokenName};
use crate::time::Timestamp;

/// Components of the vectors that the store suites work with.
pub const DIMENSIONS: usize = 8;

/// The model that every store under a suite must have been opened with.
pub fn model() -> ModelStamp {
    ModelStamp {
        name: "contract".to_owned(),
        sha256: "c0".repeat(32),
        dimensions: DIMENSIONS,
    }
}

/// The id with these digits.
pub fn id(digits: u64) -> MemoryId {
    MemoryId::new(digits).expect("test ids are small")
}

/// The space of this name.
pub fn space(name: &str) -> SpaceName {
    SpaceName::parse(name).expect("test names are valid")
}

/// The tag of this text.
pub fn tag(text: &str) -> Tag {
    Tag::parse(text, 1).expect("test tags are valid")
}

/// The unit vector in the direction of `raw`, padded with zeros to [`DIMENSIONS`].
pub fn vector(raw: &[f32]) -> Embedding {
    let mut padded = raw.to_vec();
    padded.resize(DIMENSIONS, 0.0);
    Embedding::normalize(padded).expect("test vectors have a direction")
}

/// A record in space `default` without tags, stored at `digits` microseconds, with one passage that
/// covers all of `text`; its request key is its id.
pub fn record(digits: u64, text: &str, raw: &[f32]) -> MemoryRecord {
    let content = Content::parse(text).expect("test texts are valid");
    let passage = Passage {
        span: PassageSpan(0..content.as_str().len()),
        embedding: vector(raw),
    };
    MemoryRecord {
        memory: Memory {
            id: id(digits),
            space: space("default"),
            content,
            tags: Tags::default(),
            stored_at: Timestamp::from_micros(i64::try_from(digits).expect("test ids are small")),
            origin: Origin::default(),
            source: Source::default(),
            quarantined: false,
            metadata: None,
        },
        passages: vec![passage],
        request: RequestKey(u128::from(digits)),
        duplicates: Duplicates::Keep,
    }
}

/// `record` with these tags.
pub fn tagged(record: MemoryRecord, tags: &[&str]) -> MemoryRecord {
    let tags = Tags::parse(tags).expect("test tags are valid");
    let memory = Memory {
        tags,
        ..record.memory
    };
    MemoryRecord { memory, ..record }
}

/// `record` said by somebody in a session.
pub fn said(record: MemoryRecord, speaker: &str, session: &str) -> MemoryRecord {
    let origin = Origin {
        speaker: Some(Speaker::parse(speaker).expect("test names are valid")),
        session: Some(SessionName::parse(session).expect("test names are valid")),
        occurred_at: None,
    };
    let memory = Memory {
        origin,
        ..record.memory
    };
    MemoryRecord { memory, ..record }
}

/// `record` in quarantine.
pub fn waiting(mut record: MemoryRecord) -> MemoryRecord {
    record.memory.quarantined = true;
    record
}

/// `record` stored by a client.
pub fn stored_by(mut record: MemoryRecord, client: &str, token: &str) -> MemoryRecord {
    record.memory.source = Source {
        client: ClientName::told(client),
        token: TokenName::told(token),
    };
    record
}

/// `record` in a session of its own, so that no other memory is its context.
pub fn alone(record: MemoryRecord) -> MemoryRecord {
    let session = record.memory.id.to_string();
    said(record, "user", &session)
}

/// A question without a word to look for, so that vectors decide.
pub fn wordless() -> Question {
    Question::new("?")
}

/// A search in which vectors decide, as the question has no words.
///
/// # Errors
/// Those of the store.
pub fn nearest(
    store: &dyn MemoryStore,
    vector: &Embedding,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Hit>, StoreError> {
    store.search(&Search {
        question: &wordless(),
        vector,
        vocabulary: &NoVocabulary,
        filter,
        similarity_min: None,
        limit,
        explain: false,
    })
}

/// `record` in another space.
pub fn in_space(record: MemoryRecord, name: &str) -> MemoryRecord {
    let memory = Memory {
        space: space(name),
        ..record.memory
    };
    MemoryRecord { memory, ..record }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0. The slight bias does not matter to tests.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize has at most 64 bits");
        usize::try_from(self.bits() % bound).expect("it is below a usize")
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A unit vector of [`DIMENSIONS`] with components out of few values, so that equal similarities
    /// are common.
    pub fn vector(&mut self) -> Embedding {
        let mut raw: Vec<f32> = (0..DIMENSIONS)
            .map(|_| self.pick(&[-1.0, 0.0, 0.0, 1.0]))
            .collect();
        if raw.iter().all(|x| *x == 0.0) {
            raw[0] = 1.0;
        }
        vector(&raw)
    }
}
