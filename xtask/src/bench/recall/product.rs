//! Venom itself: the use cases that MCP uses, over a store of their own.

use super::super::{Outcome, texts};
use super::data::{Question, Turn};
use super::{Asked, System};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use venom_core::ports::{Clock, Embedder, MemoryStore, Vocabulary};
use venom_core::use_cases::{TimeIds, Venom};
use venom_core::{
    Content, Duplicates, EmbedError, Embedding, Filter, MemoryId, ModelStamp, NewConversation,
    NewMemory, Passage, Precautions, QueryText, RecallQuery, RequestKey, ResultLimit, Rules,
    SecretPolicy, Source, SpaceName, Speaker, Tags, Timestamp, limits,
};
use venom_embed::{MiniLm, ModelFolder, Options, Precision};
use venom_store::{IndexOptions, IndexSizes, Lease, SqliteStore};

/// Turns of a made-up conversation.
const FILL_TURNS: usize = 20;

/// Venom with the conversations in it.
pub(super) struct Product {
    venom: Venom,
    store: Arc<SqliteStore>,
    embedder: Arc<Timed>,
    merge: bool,
    names: HashMap<MemoryId, (String, String)>,
}

/// The model where `make model` puts it, as it is run by default.
pub(in super::super) fn model() -> Outcome<MiniLm> {
    model_in(Precision::default())
}

/// The same in numbers of a kind.
pub(in super::super) fn model_in(precision: Precision) -> Outcome<MiniLm> {
    let options = Options {
        precision,
        ..Options::default()
    };
    Ok(MiniLm::open(&model_folder()?, &options)?)
}

/// Where `make model` puts it.
pub(in super::super) fn model_folder() -> Outcome<ModelFolder> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::home_dir().map(|home| home.join(".cache"));
    let models = std::env::var_os("VENOM_MODEL_DIR").map(PathBuf::from);
    let cached = cache.or(home).map(|cache| cache.join("venom/models"));
    let folders: Vec<PathBuf> = models.or(cached).into_iter().collect();
    Ok(venom_embed::locate("all-MiniLM-L6-v2", &folders)?)
}

impl Product {
    /// An empty Venom; with `merge` all conversations share one space.
    pub(super) fn open(
        folder: &Path,
        merge: bool,
        sizes: IndexSizes,
        precision: Precision,
    ) -> Outcome<Self> {
        let embedder = Arc::new(Timed {
            model: model_in(precision)?,
            spent: Mutex::default(),
        });
        let lease = Lease::try_acquire(folder)?;
        let model = embedder.model();
        let options = IndexOptions {
            sizes,
            ..IndexOptions::default()
        };
        let store = SqliteStore::open_with(&lease, model, &options)?;
        let store = Arc::new(store);
        let port: Arc<dyn MemoryStore> = store.clone();
        let ids = Arc::new(TimeIds::after(None));
        let rules = Rules {
            secrets: SecretPolicy::Keep,
            ..Rules::default()
        };
        Ok(Self {
            venom: Venom::new(embedder.clone(), port, Arc::new(Now), ids).with_rules(rules),
            store,
            embedder,
            merge,
            names: HashMap::new(),
        })
    }

    /// Waits until everything is where it shall be.
    pub(super) fn settle(&self) -> Outcome<()> {
        Ok(self.store.settle()?)
    }

    /// Stores every turn in order.
    pub(super) fn store(&mut self, turns: &[Turn]) -> Outcome<()> {
        for (number, turn) in turns.iter().enumerate() {
            let new = NewMemory {
                space: self.space(&turn.store)?,
                content: Content::parse(&turn.content)?,
                tags: Tags::default(),
                origin: turn.origin.clone(),
                source: Source::default(),
                duplicates: Duplicates::Keep,
                precautions: Precautions::NONE,
            };
            let remembered = self.venom.remember(new, RequestKey(number as u128))?;
            let name = (turn.store.clone(), turn.id.clone());
            self.names.insert(remembered.memory.id, name);
        }
        Ok(())
    }

    /// Stores made-up conversations, `count` memories in all, in every space of these conversations.
    pub(super) fn fill(&self, turns: &[Turn], count: usize) -> Outcome<()> {
        let mut spaces: Vec<SpaceName> = Vec::new();
        for turn in turns {
            let space = self.space(&turn.store)?;
            if !spaces.contains(&space) {
                spaces.push(space);
            }
        }
        let mut key = u128::MAX / 2;
        for space in spaces {
            for start in (0..count).step_by(FILL_TURNS) {
                let turns = (start..count.min(start + FILL_TURNS)).map(made_up);
                let turns = turns.collect::<Outcome<Vec<_>>>()?;
                key += limits::TURNS_MAX as u128;
                let conversation = NewConversation::new(space.clone(), None, turns)?;
                self.venom
                    .remember_conversation(conversation, RequestKey(key))?;
            }
        }
        Ok(())
    }

    fn space(&self, store: &str) -> Outcome<SpaceName> {
        Ok(SpaceName::parse(if self.merge {
            "everything"
        } else {
            store
        })?)
    }
}

/// A remark of a made-up conversation: two sentences in turn, so that no two are the same.
fn made_up(number: usize) -> Outcome<venom_core::Turn> {
    let (one, other) = (
        texts::memory(number % 1_000),
        texts::memory(number * 7 % 993),
    );
    Ok(venom_core::Turn {
        content: Content::parse(&format!("{one}. {other}, since {}.", 1_000 + number))?,
        tags: Tags::default(),
        speaker: Some(Speaker::parse(["Kim", "Noa"][number % 2])?),
        occurred_at: Some(Timestamp::from_micros(
            1_700_000_000_000_000 + i64::try_from(number)? * 3_600_000_000,
        )),
    })
}

impl System for Product {
    fn ask(&self, question: &Question) -> Outcome<Asked> {
        let query = RecallQuery {
            text: QueryText::parse(&question.text)?,
            limit: ResultLimit::parse(i64::try_from(limits::RESULTS_MAX)?)?,
            filter: Filter::everything_in(self.space(&question.store)?),
            similarity_min: None,
            explain: false,
        };
        self.embedder.take();
        let start = Instant::now();
        let hits = self.venom.recall(&query)?;
        let time = start.elapsed();
        let other = || (String::new(), String::new());
        let name = |id| self.names.get(&id).cloned().unwrap_or_else(other);
        Ok(Asked {
            found: hits.iter().map(|hit| name(hit.memory.id)).collect(),
            time,
            embedding: self.embedder.take(),
        })
    }
}

/// The model, with the time it took.
struct Timed {
    model: MiniLm,
    spent: Mutex<Duration>,
}

impl Timed {
    /// What was spent since it was asked last.
    fn take(&self) -> Duration {
        self.spent
            .lock()
            .map_or_else(|_| Duration::ZERO, |mut spent| std::mem::take(&mut spent))
    }

    fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        if let Ok(mut spent) = self.spent.lock() {
            *spent += start.elapsed();
        }
        done
    }
}

impl Embedder for Timed {
    fn model(&self) -> &ModelStamp {
        self.model.model()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        self.timed(|| self.model.embed(texts))
    }

    fn embed_passages(&self, texts: &[&str]) -> Result<Vec<Vec<Passage>>, EmbedError> {
        self.timed(|| self.model.embed_passages(texts))
    }

    fn vocabulary(&self) -> &dyn Vocabulary {
        self.model.vocabulary()
    }
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
