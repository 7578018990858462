//! `bench index`: the vector index by itself, from 1,000 to a million vectors, and beside Chroma.

mod limits;
pub(crate) mod probe;
mod vectors;

use super::sample::Sample;
use super::{Outcome, step};
pub(super) use limits::Limits;
pub(super) use probe::resident_bytes;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
pub(super) use vectors::Source;
use venom_core::ports::MemoryStore as _;
use venom_core::test_support::samples;
use venom_core::{Embedding, ModelStamp};
use venom_store::quantised::{Quantizer, VectorFileWriter};
use venom_store::{Lease, SqliteStore};
use venom_testing::Folder;

/// Results of a search.
const RESULTS: usize = 10;
/// Searches of each kind.
const QUESTIONS: usize = 200;
/// Questions that are asked before, where the index is to be warm.
const OTHERS: usize = 800;
/// Shares of the rows that filters let pass, in percent.
const FILTERS: [usize; 3] = [100, 10, 1];
/// Memories that are stored one by one.
const SINGLE: usize = 300;
/// Vectors that the centre is learned from.
const SAMPLE: usize = 10_000;
/// Chroma takes minutes for more vectors.
const CHROMA_MAX: usize = 100_000;

/// What to measure.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Numbers of vectors.
    pub(crate) counts: Vec<usize>,
    /// Whether Chroma is measured beside it.
    pub(crate) chroma: bool,
}

impl Options {
    /// Reads `1k,10k,1M`.
    pub(crate) fn read_counts(&mut self, words: &str) -> Option<()> {
        self.counts = counts(words)?;
        Some(())
    }
}

/// Reads `1k,10k,1M`.
pub(crate) fn counts(words: &str) -> Option<Vec<usize>> {
    let count = |word: &str| {
        let (digits, unit) = match word.strip_suffix('k') {
            Some(digits) => (digits, 1_000),
            None => word.strip_suffix('M').map_or((word, 1), |d| (d, 1_000_000)),
        };
        let count = digits.parse::<usize>().ok()?.checked_mul(unit)?;
        Some(count).filter(|count| *count > 0)
    };
    words.split(',').map(count).collect()
}

/// Whether a filter of that many percent lets a row pass.
const fn passes(row: usize, percent: usize) -> bool {
    row.is_multiple_of(100 / percent)
}

/// Components of the vectors of a folder.
fn dimensions(folder: &Path) -> Outcome<usize> {
    Ok(std::fs::read_to_string(folder.join("dimensions"))?.parse()?)
}

/// Measures and prints the report.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    step("embedding 2,000 made-up texts");
    let source = Source::new()?;
    println!(
        "Vectors: embeddings of 1,000 made-up memories, resampled with their covariance; questions likewise.\n"
    );
    for count in &options.counts {
        measure(&source, *count, options.chroma && *count <= CHROMA_MAX)?;
    }
    let single = single_stores(source.dimensions())?;
    println!("A durable store of one memory: {single}.");
    Ok(())
}

fn measure(source: &Source, count: usize, chroma: bool) -> Outcome<()> {
    step(&format!("{count} vectors"));
    let folder = Folder::new();
    let folder = folder.path();
    let memories = source.memories(count);
    let questions = source.questions(QUESTIONS + OTHERS);
    std::fs::write(folder.join("dimensions"), source.dimensions().to_string())?;
    vectors::write(&folder.join("vectors"), &memories)?;
    vectors::write(&folder.join("questions"), &questions)?;
    let built = build(&folder.join("index"), &memories, source.dimensions())?;
    let bytes = std::fs::metadata(folder.join("index"))?.len();
    step("searching every vector itself");
    let exact = FILTERS.map(|percent| {
        let questions = questions.chunks_exact(source.dimensions()).take(QUESTIONS);
        let found = questions.map(|question| probe::exact(&memories, question, percent));
        found.collect::<Vec<_>>()
    });
    drop(memories);
    step("searching");
    println!(
        "{count} vectors: {:.0} bytes each in the file, {:.0} vectors/s written in bulk\n",
        bytes as f64 / count as f64,
        count as f64 / built.as_secs_f64()
    );
    println!(
        "| | plain p50 / p95 ms | recall@10 | 10 % | recall | 1 % | recall | open ms | first answer ms | peak MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let free = probed(probe_command(folder, "warm")?)?;
    print_row("index, after 800 other searches", &free, &exact);
    match drop_caches() {
        Ok(()) => print_row(
            "just opened, file cache dropped",
            &probed(probe_command(folder, "cold")?)?,
            &exact,
        ),
        Err(reason) => println!("| file cache not dropped: {reason} |"),
    }
    match Limits::new() {
        Ok(limits) => {
            let _ = drop_caches();
            let mut command = limits.command(std::env::current_exe()?.as_os_str());
            command.args(["bench", "index-probe", "cold"]).arg(folder);
            print_row(
                "just opened, in 0.5 CPU and 1 GB",
                &probed(command)?,
                &exact,
            );
        }
        Err(reason) => println!("| no limits: {reason} |"),
    }
    if chroma {
        step("Chroma on the same vectors");
        let other = run_chroma(folder)?;
        print_row(
            &format!("Chroma {}, after as many", text(&other["version"])),
            &other,
            &exact,
        );
        let ratio =
            |at: usize| number(&other["filters"][at]["p50"]) / number(&free["filters"][at]["p50"]);
        println!(
            "| **times faster than Chroma** | {:.1} | | {:.1} | | {:.1} | | | | |",
            ratio(0),
            ratio(1),
            ratio(2)
        );
        println!(
            "\nChroma adds {:.0} vectors/s in bulk, and one in {:.2} ms (p50).",
            number(&other["bulk"]),
            number(&other["single"])
        );
    }
    println!();
    Ok(())
}

fn build(place: &Path, memories: &[f32], dimensions: usize) -> Outcome<Duration> {
    step("writing the index");
    let began = Instant::now();
    let stride = (memories.len() / dimensions).div_ceil(SAMPLE);
    let sample = memories.chunks_exact(dimensions).step_by(stride);
    let sample: Vec<f32> = sample.flatten().copied().collect();
    let mut writer = VectorFileWriter::create(place, Quantizer::learn(&sample, dimensions, 1))?;
    for vector in memories.chunks_exact(dimensions) {
        writer.push(vector)?;
    }
    writer.finish()?;
    Ok(began.elapsed())
}

fn probe_command(folder: &Path, cache: &str) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "index-probe", cache]).arg(folder);
    Ok(command)
}

/// The answer of a program that prints one line of JSON.
pub(super) fn probed(mut command: Command) -> Outcome<Value> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if !child.wait()?.success() {
        return Err(format!("{} failed", command.get_program().display()).into());
    }
    Ok(serde_json::from_str(&line)?)
}

fn run_chroma(folder: &Path) -> Outcome<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = root.join("src/bench/index");
    let made = Command::new("python3")
        .arg(root.join("../scripts/python-env"))
        .arg(files.join("requirements.txt"))
        .stderr(Stdio::inherit())
        .output()?;
    let python = PathBuf::from(String::from_utf8(made.stdout)?.trim());
    if !made.status.success() {
        return Err("no environment for Chroma".into());
    }
    let mut command = Command::new(python);
    command.arg(files.join("chroma.py")).arg(folder);
    command.args([RESULTS, QUESTIONS].map(|count| count.to_string()));
    command.args(FILTERS.map(|percent| percent.to_string()));
    probed(command)
}

/// Makes the system forget what it keeps of files.
pub(super) fn drop_caches() -> std::io::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

fn print_row(name: &str, probe: &Value, exact: &[Vec<Vec<usize>>; 3]) {
    let mut row = format!("| {name} |");
    for (filter, exact) in FILTERS
        .iter()
        .enumerate()
        .map(|(at, _)| &probe["filters"][at])
        .zip(exact)
    {
        let (p50, p95) = (number(&filter["p50"]), number(&filter["p95"]));
        let _ = write!(
            row,
            " {p50:.2} / {p95:.2} | {:.4} |",
            recall(&filter["found"], exact)
        );
    }
    let known = |value: &Value| {
        value
            .as_f64()
            .map_or_else(String::new, |ms| format!("{ms:.0}"))
    };
    let _ = write!(
        row,
        " {} | {} | {} |",
        known(&probe["open"]),
        known(&probe["first"]),
        probe["resident"]
            .as_f64()
            .map_or_else(String::new, |bytes| format!("{:.0}", bytes / 1e6))
    );
    println!("{row}");
}

/// Share of the exact answers that was found.
fn recall(found: &Value, exact: &[Vec<usize>]) -> f64 {
    let (mut same, mut all) = (0, 0);
    for (found, exact) in found.as_array().into_iter().flatten().zip(exact) {
        let found: Vec<u64> = found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        same += exact
            .iter()
            .filter(|row| found.contains(&(**row as u64)))
            .count();
        all += exact.len();
    }
    same as f64 / f64::from(u32::try_from(all.max(1)).unwrap_or(u32::MAX))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Memories stored one by one, each on the disk before the next.
fn single_stores(dimensions: usize) -> Outcome<Sample> {
    step("storing memories one by one");
    let folder = Folder::new();
    let lease = Lease::try_acquire(folder.path())?;
    let model = ModelStamp {
        name: "bench".to_owned(),
        sha256: "0".repeat(64),
        dimensions,
    };
    let store = SqliteStore::open(&lease, &model)?;
    let mut rng = samples::Rng::new(3);
    let mut times = Vec::new();
    for number in 0..SINGLE {
        let raw = (0..dimensions)
            .map(|_| rng.below(2_001) as f32 / 1_000.0 - 1.0)
            .collect();
        let vector = Embedding::normalize(raw).ok_or("a vector of zeros")?;
        let text = format!("made-up memory {number}");
        let mut record = samples::record(number as u64 + 1, &text, &[1.0]);
        record.passages[0].embedding = vector;
        let began = Instant::now();
        store.insert(&[record])?;
        times.push(began.elapsed());
    }
    Ok(Sample::new(times))
}
