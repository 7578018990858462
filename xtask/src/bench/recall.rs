//! `bench recall`: how often the right memory is found, on conversations with questions.
//!
//! Reads `corpus.jsonl` and `queries.jsonl` of a folder, stores every conversation through the use cases that
//! MCP uses, asks every question and writes a run file: one line per question, `{"id", "ranked"}`.

use super::Outcome;
use super::sample::Sample;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use venom_core::ports::{Clock, Embedder, MemoryStore};
use venom_core::test_support::samples::Rng;
use venom_core::use_cases::{TimeIds, Venom};
use venom_core::{
    Content, Duplicates, EmbedError, Embedding, Filter, MemoryId, ModelStamp, NewMemory, Origin,
    Passage, QueryText, RecallQuery, Remembered, RequestKey, ResultLimit, SessionName, SpaceName,
    Speaker, Tags, Timestamp, limits,
};
use venom_embed::MiniLm;
use venom_store::{Lease, SqliteStore};
use venom_testing::Folder;

/// What to measure.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Folder of `corpus.jsonl` and `queries.jsonl`.
    pub(crate) data: PathBuf,
    /// Run file to write.
    pub(crate) out: Option<PathBuf>,
    /// All conversations in one space.
    pub(crate) merge: bool,
    /// Memories without session and time.
    pub(crate) without_sessions: bool,
    /// Every question with one slip of the hand.
    pub(crate) typos: bool,
}

/// Kinds of questions that have no answer in the corpus.
const UNANSWERABLE: [&str; 2] = ["adversarial", "abstention"];

struct Turn {
    store: String,
    id: String,
    origin: Origin,
    content: String,
}

struct Question {
    store: String,
    id: String,
    text: String,
    answerable: bool,
    relevant: HashSet<String>,
}

/// Stores, asks, writes the run file and prints the scores.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let turns = turns(options)?;
    let mut questions = questions(&options.data)?;
    if options.typos {
        let names = turns.iter().filter_map(|turn| turn.origin.speaker.as_ref());
        let names: HashSet<String> = names.map(Speaker::key).collect();
        let mut rng = Rng::new(1);
        for question in &mut questions {
            question.text = with_slip(&question.text, &names, &mut rng);
        }
    }
    let folder = Folder::new();
    let bench = Bench::open(folder.path())?;
    super::step(&format!("storing {} memories", turns.len()));
    let ids = bench.store(&turns, options.merge)?;
    super::step(&format!("asking {} questions", questions.len()));
    let mut scores = [Scores::default(), Scores::default()];
    let mut lines = String::new();
    let (mut whole, mut beside) = (Vec::new(), Vec::new());
    for question in &questions {
        let asked = bench.ask(question, options.merge)?;
        whole.push(asked.time);
        beside.push(asked.time.saturating_sub(asked.embedding));
        let ranked: Vec<&str> = asked
            .found
            .iter()
            .map(|id| name_of(&ids, *id, question))
            .collect();
        writeln!(lines, "{}", json!({"id": question.id, "ranked": ranked}))?;
        scores[1].add(&ranked, &question.relevant);
        if question.answerable {
            scores[0].add(&ranked, &question.relevant);
        }
    }
    if let Some(out) = &options.out {
        std::fs::write(out, lines)?;
    }
    println!("questions        n   R@1   R@5  R@10  R@20  nDCG@10   MRR");
    for (name, scores) in ["answerable", "all"].iter().zip(&scores) {
        println!("{name:<12} {scores}");
    }
    let (whole, beside) = (Sample::new(whole), Sample::new(beside));
    println!("a question takes {whole}, of that beside its embedding {beside}");
    Ok(())
}

/// A memory by the name it has in the corpus; one of another conversation is nobody's answer.
fn name_of<'a>(
    ids: &'a HashMap<MemoryId, (String, String)>,
    id: MemoryId,
    question: &Question,
) -> &'a str {
    let found = ids.get(&id).filter(|(store, _)| *store == question.store);
    found.map_or("another", |(_, name)| name.as_str())
}

struct Asked {
    found: Vec<MemoryId>,
    time: Duration,
    embedding: Duration,
}

struct Bench {
    venom: Venom,
    embedder: Arc<Timed>,
}

impl Bench {
    fn open(folder: &Path) -> Outcome<Self> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = std::env::home_dir().map(|home| home.join(".cache"));
        let models = std::env::var_os("VENOM_MODEL_DIR").map(PathBuf::from);
        let cached = cache.or(home).map(|cache| cache.join("venom/models"));
        let folders: Vec<PathBuf> = models.or(cached).into_iter().collect();
        let model = venom_embed::locate("all-MiniLM-L6-v2", &folders)?;
        let lease = Lease::try_acquire(folder)?;
        let store: Arc<dyn MemoryStore> = Arc::new(SqliteStore::open(&lease, &model.stamp())?);
        let embedder = Arc::new(Timed {
            model: MiniLm::open(&model)?,
            spent: Mutex::default(),
        });
        let ids = Arc::new(TimeIds::after(None));
        Ok(Self {
            venom: Venom::new(embedder.clone(), store, Arc::new(Now), ids),
            embedder,
        })
    }

    /// Stores every turn in order; which turn each memory is.
    fn store(&self, turns: &[Turn], merge: bool) -> Outcome<HashMap<MemoryId, (String, String)>> {
        let mut ids = HashMap::new();
        for (number, turn) in turns.iter().enumerate() {
            let new = NewMemory {
                space: space_of(&turn.store, merge)?,
                content: Content::parse(&turn.content)?,
                tags: Tags::default(),
                origin: turn.origin.clone(),
                duplicates: Duplicates::Keep,
            };
            let Remembered { memory, .. } = self.venom.remember(new, RequestKey(number as u128))?;
            ids.insert(memory.id, (turn.store.clone(), turn.id.clone()));
        }
        Ok(ids)
    }

    fn ask(&self, question: &Question, merge: bool) -> Outcome<Asked> {
        let query = RecallQuery {
            text: QueryText::parse(&question.text)?,
            limit: ResultLimit::parse(i64::try_from(limits::RESULTS_MAX)?)?,
            filter: Filter::everything_in(space_of(&question.store, merge)?),
            similarity_min: None,
        };
        self.embedder.take();
        let start = Instant::now();
        let hits = self.venom.recall(&query)?;
        Ok(Asked {
            found: hits.iter().map(|hit| hit.memory.id).collect(),
            time: start.elapsed(),
            embedding: self.embedder.take(),
        })
    }
}

fn space_of(store: &str, merge: bool) -> Outcome<SpaceName> {
    Ok(SpaceName::parse(if merge { "everything" } else { store })?)
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

// --- Data ------------------------------------------------------------------------------------------

fn lines(path: &Path) -> Outcome<Vec<Value>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn text(line: &Value, field: &str) -> Outcome<String> {
    let text = line[field].as_str().map(str::to_owned);
    text.ok_or_else(|| format!("expected a text in {field:?}, found {line}").into())
}

fn turns(options: &Options) -> Outcome<Vec<Turn>> {
    let turn = |line: Value| {
        let mut content = text(&line, "text")?;
        if let Some(caption) = line["caption"].as_str() {
            let _ = write!(content, " [shares a photo: {caption}]");
        }
        let store = text(&line, "store")?;
        let session = match &line["session"] {
            Value::Null => None,
            Value::String(name) => Some(name.clone()),
            number => Some(number.to_string()),
        };
        // Sessions of two conversations are two, also where both are in one space.
        let session = session.map(|session| SessionName::parse(&format!("{store} {session}")));
        let speaker = line["speaker"]
            .as_str()
            .filter(|name| !name.trim().is_empty());
        let origin = Origin {
            speaker: speaker.map(Speaker::parse).transpose()?,
            session: session.transpose()?.filter(|_| !options.without_sessions),
            occurred_at: line["timestamp"].as_str().and_then(Timestamp::parse),
        };
        let id = text(&line, "id")?;
        Ok(Turn {
            store,
            id,
            origin,
            content,
        })
    };
    lines(&options.data.join("corpus.jsonl"))?
        .into_iter()
        .map(turn)
        .collect()
}

fn questions(data: &Path) -> Outcome<Vec<Question>> {
    let question = |line: Value| {
        let relevant = line["relevant"].as_array().cloned().unwrap_or_default();
        Ok(Question {
            store: text(&line, "store")?,
            id: text(&line, "id")?,
            text: text(&line, "text")?,
            answerable: !UNANSWERABLE.contains(&line["category"].as_str().unwrap_or_default()),
            relevant: relevant
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        })
    };
    lines(&data.join("queries.jsonl"))?
        .into_iter()
        .map(question)
        .collect()
}

/// The text with two inner letters of one longer word swapped; names stay as they are.
fn with_slip(text: &str, names: &HashSet<String>, rng: &mut Rng) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let bare = |word: &str| {
        word.trim_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase()
    };
    let may_slip = |word: &String| {
        let bare = bare(word);
        let name = bare.strip_suffix("'s").unwrap_or(&bare);
        bare.len() >= 5 && bare.bytes().all(|b| b.is_ascii_alphabetic()) && !names.contains(name)
    };
    let candidates: Vec<usize> = (0..words.len())
        .filter(|at| may_slip(&words[*at]))
        .collect();
    if !candidates.is_empty() {
        let word = &mut words[rng.pick(&candidates)];
        let mut chars: Vec<char> = word.chars().collect();
        let inner = 1 + rng.below(chars.len() - 3);
        chars.swap(inner, inner + 1);
        *word = chars.into_iter().collect();
    }
    words.join(" ")
}

// --- Scores ----------------------------------------------------------------------------------------

/// Sums over questions: recall is the share of the relevant memories that were found, nDCG is binary.
#[derive(Debug, Default)]
struct Scores {
    questions: usize,
    sums: BTreeMap<&'static str, f64>,
}

impl Scores {
    fn add(&mut self, ranked: &[&str], relevant: &HashSet<String>) {
        let is_relevant = |id: &&str| relevant.contains(*id);
        self.questions += 1;
        let mut sum = |name, value: f64| *self.sums.entry(name).or_default() += value;
        for (name, depth) in [("R@1", 1), ("R@5", 5), ("R@10", 10), ("R@20", 20)] {
            let found = ranked
                .iter()
                .take(depth)
                .filter(|id| is_relevant(id))
                .count();
            sum(name, found as f64 / relevant.len().max(1) as f64);
        }
        let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
        let places = ranked
            .iter()
            .take(10)
            .enumerate()
            .filter(|(_, id)| is_relevant(id));
        let found: f64 = places.map(|(place, _)| gain(place)).sum();
        let best: f64 = (0..relevant.len().min(10)).map(gain).sum();
        sum("nDCG@10", if best > 0.0 { found / best } else { 0.0 });
        let first = ranked.iter().position(is_relevant);
        sum("MRR", first.map_or(0.0, |place| 1.0 / (place as f64 + 1.0)));
    }
}

impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>5}", self.questions)?;
        for (name, width) in [
            ("R@1", 6),
            ("R@5", 6),
            ("R@10", 6),
            ("R@20", 6),
            ("nDCG@10", 9),
            ("MRR", 6),
        ] {
            let sum = self.sums.get(name).copied().unwrap_or_default();
            write!(
                f,
                "{:>width$.1}",
                100.0 * sum / self.questions.max(1) as f64
            )?;
        }
        Ok(())
    }
}
