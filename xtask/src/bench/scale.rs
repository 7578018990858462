//! `bench scale`: the whole store with up to a million memories, as the server uses it.
//!
//! Texts are made of the model's own words, the common ones as much more often than the rare ones as in a language;
//! vectors are those of `bench index`. Questions are some words of a memory with a vector near its own, so whether
//! it is found is told beside the times.

use super::index::{Limits, Source, drop_caches, probed, resident_bytes};
use super::recall::product::model;
use super::sample::Sample;
use super::{Outcome, step};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use venom_core::ports::{Embedder as _, MemoryRecord, MemoryStore as _, Search, Vocabulary};
use venom_core::recall::Question;
use venom_core::test_support::samples::{self, Rng};
use venom_core::{Embedding, Filter, RequestKey, Tag, Tags};
use venom_store::{Lease, SqliteStore};
use venom_testing::{Folder, HttpClient, Server, tool_json};

/// Memories that are stored at a time.
const BATCH: usize = 1_000;
/// Memories of a conversation.
const TURNS: usize = 20;
/// Questions of each kind.
const QUESTIONS: usize = 200;
/// Questions that are asked before, where the store is to be warm.
const OTHERS: usize = 300;
/// Results of a search.
const RESULTS: usize = 10;
/// Stores measured one by one.
const SINGLE: usize = 300;
/// Kinds of searches: all memories, every tenth, every hundredth.
const TAGS: [Option<&str>; 3] = [None, Some("tenth"), Some("hundredth")];

/// Measures and prints the report. What was stored stays in `kept`, a folder per number of memories, and is used
/// again where it is there.
pub(crate) fn run(counts: &[usize], kept: Option<&Path>) -> Outcome<()> {
    let binary = super::build()?;
    step("embedding 2,000 made-up texts");
    let source = Source::new()?;
    println!(
        "Texts: 8 to 30 of the model's words each, as often as words are (Zipf); vectors as in `bench index`.\n"
    );
    for count in counts {
        match kept {
            Some(kept) => {
                let folder = kept.join(count.to_string());
                std::fs::create_dir_all(&folder)?;
                measure(&source, *count, &binary, &folder)?;
            }
            None => measure(&source, *count, &binary, Folder::new().path())?,
        }
    }
    Ok(())
}

fn measure(source: &Source, count: usize, binary: &Path, folder: &Path) -> Outcome<()> {
    let (data, questions) = (folder.join("data"), folder.join("questions"));
    println!("{count} memories:\n");
    if questions.exists() {
        step("bringing the index up to date");
        let lease = Lease::try_acquire(&data)?;
        SqliteStore::open(&lease, model()?.model())?.settle()?;
    } else {
        step(&format!("storing {count} memories"));
        let (bulk, single, settled) = fill(source, count, &data)?;
        write_questions(source, count, &questions)?;
        println!(
            "- {:.0} stored a second in bulk, one by one {single}; segments {:.0} s later",
            count as f64 / bulk.as_secs_f64(),
            settled.as_secs_f64(),
        );
    }
    println!(
        "- {:.0} bytes a memory beside the database of {:.0}\n",
        bytes_of(&data.join("index"))? / count as f64,
        bytes_of(&data)? / count as f64,
    );
    println!(
        "| | plain p50 / p95 ms | found first | 10 % | | 1 % | | words alone | open ms | first search | peak MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let probe = |cache: &str, mut command: Command| -> Outcome<Value> {
        command.args(["bench", "scale-probe", cache]).arg(&data);
        command.arg(&questions);
        probed(command)
    };
    let program = std::env::current_exe()?;
    print_row(
        "after 300 other searches",
        &probe("warm", Command::new(&program))?,
    );
    match drop_caches() {
        Ok(()) => print_row(
            "file cache dropped",
            &probe("cold", Command::new(&program))?,
        ),
        Err(reason) => println!("| file cache not dropped: {reason} |"),
    }
    match Limits::new() {
        Ok(limits) => {
            let _ = drop_caches();
            let command = limits.command(program.as_os_str());
            print_row(
                "file cache dropped, in 0.5 CPU and 1 GB",
                &probe("cold", command)?,
            );
        }
        Err(reason) => println!("| no limits: {reason} |"),
    }
    println!("\nThe server, from process start to the first answered search:\n");
    for (name, dropped) in [("files at hand", false), ("file cache dropped", true)] {
        let mut times = Vec::new();
        let mut resident = 0;
        for _ in 0..5 {
            if dropped {
                let _ = drop_caches();
            }
            let began = Instant::now();
            let server = Server::start(binary, folder);
            let mut client = HttpClient::open(server.port)?;
            tool_json(&client.call("search_memory", &json!({"query": "garden music"}))?);
            times.push(began.elapsed());
            resident = server.process.resident_bytes().unwrap_or_default();
        }
        println!(
            "- {name}: {}, then {} MB resident",
            Sample::new(times),
            resident / 1_000_000
        );
    }
    println!();
    Ok(())
}

/// Stores everything; tells how long that took in bulk, one by one, and until all segments were made.
fn fill(source: &Source, count: usize, data: &Path) -> Outcome<(Duration, Sample, Duration)> {
    let model = model()?;
    let lease = Lease::try_acquire(data)?;
    let store = SqliteStore::open(&lease, model.model())?;
    let vectors = source.memories(count);
    let vectors: Vec<&[f32]> = vectors.chunks_exact(source.dimensions()).collect();
    let mut texts = Texts::new(model.vocabulary());
    let began = Instant::now();
    for (batch, vectors) in vectors.chunks(BATCH).enumerate() {
        let of_batch = vectors.iter().enumerate();
        let records = of_batch.map(|(at, vector)| record(batch * BATCH + at, vector, &mut texts));
        store.insert(&records.collect::<Outcome<Vec<_>>>()?)?;
    }
    let bulk = began.elapsed();
    let began = Instant::now();
    store.settle()?;
    let settled = began.elapsed();
    let mut times = Vec::new();
    for at in 0..SINGLE {
        let record = record(count + at, vectors[at % vectors.len()], &mut texts)?;
        let began = Instant::now();
        store.insert(&[record])?;
        times.push(began.elapsed());
    }
    Ok((bulk, Sample::new(times), settled))
}

fn record(number: usize, vector: &[f32], texts: &mut Texts<'_>) -> Outcome<MemoryRecord> {
    let text = texts.next();
    let speaker = ["user", "Anna", "Ben"][number % 3];
    let record = samples::record(number as u64 + 1, &text, &[1.0]);
    let session = format!("conversation {}", number / TURNS);
    let mut record = samples::said(record, speaker, &session);
    record.memory.space = samples::space("venom_memories");
    record.request = RequestKey(number as u128);
    record.passages[0].embedding =
        Embedding::normalize(vector.to_vec()).ok_or("a vector of zeros")?;
    let tags = [(10, "tenth"), (100, "hundredth")].into_iter();
    let tags: Vec<&str> = tags
        .filter(|(every, _)| number.is_multiple_of(*every))
        .map(|(_, tag)| tag)
        .collect();
    record.memory.tags = Tags::parse(&tags)?;
    Ok(record)
}

/// Made-up texts, the same in every process.
struct Texts<'a> {
    words: &'a [String],
    rng: Rng,
}

impl<'a> Texts<'a> {
    fn new(vocabulary: &'a dyn Vocabulary) -> Self {
        Self {
            words: vocabulary.words(),
            rng: Rng::new(5),
        }
    }

    fn next(&mut self) -> String {
        let count = 8 + self.rng.below(23);
        let words: Vec<&str> = (0..count).map(|_| self.word()).collect();
        words.join(" ")
    }

    /// The word of rank r with a chance of 1 in r (Zipf), by the inverse of the harmonic sum.
    fn word(&mut self) -> &'a str {
        let share = self.rng.below(1_000_000) as f64 / 1e6;
        let rank = (self.words.len() as f64).powf(share);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1 to the number of words"
        )]
        let at = (rank as usize).min(self.words.len()) - 1;
        &self.words[at]
    }
}

/// Opens the store of a folder, searches and prints a line of JSON with what it took.
pub(crate) fn probe(data: &Path, questions: &Path, warm: bool) -> Outcome<()> {
    let model = model()?;
    let questions = read_questions(questions)?;
    let lease = Lease::try_acquire(data)?;
    let began = Instant::now();
    let store = SqliteStore::open(&lease, model.model())?;
    let opened = began.elapsed();
    let (asked, others) = questions.split_at(QUESTIONS);
    let began = Instant::now();
    ask(&store, model.vocabulary(), &others[0], None)?;
    let first_search = began.elapsed();
    if warm {
        for asked in others {
            ask(&store, model.vocabulary(), asked, None)?;
        }
    }
    let mut kinds = Vec::new();
    for tag in TAGS {
        let (mut times, mut first) = (Vec::new(), 0);
        for asked in asked {
            let began = Instant::now();
            let found = ask(&store, model.vocabulary(), asked, tag)?;
            times.push(began.elapsed());
            first += usize::from(found == Some(asked.memory));
        }
        let times = Sample::new(times);
        kinds.push(json!({"p50": times.p50_ms(), "p95": times.p95_ms(), "first": first}));
    }
    let mut times = Vec::new();
    for asked in asked {
        let began = Instant::now();
        with_search(model.vocabulary(), asked, None, |search| {
            Ok(store.ask_words(search)?)
        })?;
        times.push(began.elapsed());
    }
    let words = Sample::new(times);
    let [opened, first_search] = [opened, first_search].map(|time| time.as_secs_f64() * 1e3);
    println!(
        "{}",
        json!({
            "open": opened,
            "first_search": first_search,
            "kinds": kinds,
            "words": {"p50": words.p50_ms(), "p95": words.p95_ms()},
            "resident": resident_bytes(),
        })
    );
    Ok(())
}

/// A question for a memory, by its number.
struct Asked {
    memory: usize,
    question: Question,
    vector: Embedding,
}

/// Writes questions for memories that every filter lets pass: some of their words, and a vector between theirs and
/// another.
fn write_questions(source: &Source, count: usize, place: &Path) -> Outcome<()> {
    let model = model()?;
    let mut texts = Texts::new(model.vocabulary());
    let all: Vec<String> = (0..count).map(|_| texts.next()).collect();
    let vectors = source.memories(count);
    let vectors: Vec<&[f32]> = vectors.chunks_exact(source.dimensions()).collect();
    let mut rng = Rng::new(6);
    let question = |_| {
        let memory = rng.below(count.div_ceil(100)) * 100;
        let words: Vec<&str> = all[memory].split(' ').collect();
        let some: Vec<&str> = (0..5).map(|_| rng.pick(&words)).collect();
        let (own, other) = (vectors[memory], vectors[rng.below(count)]);
        let mixed = own.iter().zip(other).map(|(own, other)| own + 0.7 * other);
        json!({"memory": memory, "text": some.join(" "), "vector": mixed.collect::<Vec<f32>>()})
    };
    let questions: Vec<Value> = (0..QUESTIONS + OTHERS).map(question).collect();
    Ok(std::fs::write(place, serde_json::to_vec(&questions)?)?)
}

fn read_questions(place: &Path) -> Outcome<Vec<Asked>> {
    let questions: Vec<Value> = serde_json::from_slice(&std::fs::read(place)?)?;
    let asked = |question: &Value| {
        let vector: Vec<f32> = serde_json::from_value(question["vector"].clone())?;
        Ok(Asked {
            memory: serde_json::from_value(question["memory"].clone())?,
            question: Question::new(question["text"].as_str().unwrap_or_default()),
            vector: Embedding::normalize(vector).ok_or("a vector of zeros")?,
        })
    };
    questions.iter().map(asked).collect()
}

/// Asks something of a search for a question among all memories or those with a tag.
fn with_search<T>(
    vocabulary: &dyn Vocabulary,
    asked: &Asked,
    tag: Option<&str>,
    ask: impl FnOnce(&Search<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let mut filter = Filter::everything_in(samples::space("venom_memories"));
    let tag = tag.map(|tag| Tag::parse(tag, 1)).transpose()?;
    filter.tags_any = tag.into_iter().collect();
    ask(&Search {
        question: &asked.question,
        vector: &asked.vector,
        vocabulary,
        filter: &filter,
        similarity_min: None,
        limit: RESULTS,
        explain: false,
    })
}

/// The number of the memory that is found first.
fn ask(
    store: &SqliteStore,
    vocabulary: &dyn Vocabulary,
    asked: &Asked,
    tag: Option<&str>,
) -> Outcome<Option<usize>> {
    let hits = with_search(vocabulary, asked, tag, |search| Ok(store.search(search)?))?;
    if hits.len() != RESULTS {
        return Err(format!("expected {RESULTS} results, found {}", hits.len()).into());
    }
    Ok(usize::try_from(hits[0].memory.id.digits())
        .ok()
        .map(|digits| digits - 1))
}

fn bytes_of(folder: &Path) -> Outcome<f64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        let file = file?.metadata()?;
        bytes += if file.is_file() { file.len() } else { 0 };
    }
    Ok(bytes as f64)
}

fn print_row(name: &str, probe: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let kinds = probe["kinds"].as_array().into_iter().flatten().map(|kind| {
        let found = number(&kind["first"]) * 100.0 / QUESTIONS as f64;
        format!(
            " {:.1} / {:.1} | {found:.0} % |",
            number(&kind["p50"]),
            number(&kind["p95"])
        )
    });
    let kinds: String = kinds.collect();
    let words = &probe["words"];
    println!(
        "| {name} |{kinds} {:.1} / {:.1} | {:.0} | {:.0} | {:.0} |",
        number(&words["p50"]),
        number(&words["p95"]),
        number(&probe["open"]),
        number(&probe["first_search"]),
        number(&probe["resident"]) / 1e6
    );
}
