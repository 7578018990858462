//! Chores of the repository: `cargo xtask bench smoke`, `bench recall`, `bench index`,
//! `bench scale`, `bench load`, `bench soak` and more.

mod bench;

use bench::recall::Options;
use bench::recall::baselines::Kind;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask bench smoke [--json]
       cargo xtask bench recall --data FOLDER [--out FILE] [--system venom|predecessor|bm25|hybrid]
                                [--merge] [--without-sessions] [--typos] [--archived] [--fill COUNT]
                                [--precision int8|f32]
       cargo xtask bench embed [--against onnxruntime]
       cargo xtask bench index --vectors 1k,10k,100k,1M [--against chroma]
       cargo xtask bench scale --memories 10k,100k,1M [--keep FOLDER]
       cargo xtask bench load [--clients 200] [--seconds 60] [--broken 1] [--pause-ms 0] [--json]
       cargo xtask bench soak [--minutes 10] [--json]
       cargo xtask bench access";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["bench", "smoke"] => bench::smoke(false),
        ["bench", "smoke", "--json"] => bench::smoke(true),
        ["bench", "recall", options @ ..] if let Some(options) = recall_options(options) => {
            bench::recall::run(&options)
        }
        ["bench", "index", options @ ..] if let Some(options) = index_options(options) => {
            bench::index::run(&options)
        }
        ["bench", "embed"] => bench::embed::run(false),
        ["bench", "embed", "--against", "onnxruntime"] => bench::embed::run(true),
        ["bench", "scale", "--memories", counts]
            if let Some(counts) = bench::index::counts(counts) =>
        {
            bench::scale::run(&counts, None)
        }
        ["bench", "scale", "--memories", counts, "--keep", folder]
            if let Some(counts) = bench::index::counts(counts) =>
        {
            bench::scale::run(&counts, Some(folder.as_ref()))
        }
        ["bench", "load", options @ ..] if let Some(options) = load_options(options) => {
            bench::load::run(&options)
        }
        ["bench", "soak", options @ ..] if let Some((minutes, json)) = soak_options(options) => {
            bench::soak::run(minutes, json)
        }
        ["bench", "access"] => bench::access::run(),
        ["bench", "scale-probe", cache, data, questions] => {
            bench::scale::probe(data.as_ref(), questions.as_ref(), *cache == "warm")
        }
        ["bench", "index-probe", cache, folder] => {
            bench::index::probe::run(folder.as_ref(), *cache == "warm")
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `None` for words that are not understood, or without a folder.
fn recall_options(words: &[&str]) -> Option<Options> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--data" => options.data = words.next()?.into(),
            "--out" => options.out = Some(words.next()?.into()),
            "--system" => {
                options.baseline = match *words.next()? {
                    "venom" => None,
                    "predecessor" => Some(Kind::Predecessor),
                    "bm25" => Some(Kind::Bm25),
                    "hybrid" => Some(Kind::Hybrid),
                    _ => return None,
                }
            }
            "--precision" => options.precision = words.next()?.parse().ok()?,
            "--fill" => options.fill = words.next()?.parse().ok()?,
            "--archived" => options.archived = true,
            "--merge" => options.merge = true,
            "--without-sessions" => options.without_sessions = true,
            "--typos" => options.typos = true,
            _ => return None,
        }
    }
    (!options.data.as_os_str().is_empty()).then_some(options)
}

/// `None` for words that are not understood, or without numbers of vectors.
fn index_options(words: &[&str]) -> Option<bench::index::Options> {
    let mut options = bench::index::Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match (*word, *words.next()?) {
            ("--vectors", counts) => options.read_counts(counts)?,
            ("--against", "chroma") => options.chroma = true,
            _ => return None,
        }
    }
    (!options.counts.is_empty()).then_some(options)
}

/// `None` for words that are not understood.
fn load_options(words: &[&str]) -> Option<bench::load::Options> {
    let mut options = bench::load::Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--clients" => {
                options.clients = words.next()?.parse().ok().filter(|count| *count > 0)?
            }
            "--seconds" => options.seconds = words.next()?.parse().ok()?,
            "--broken" => options.broken_percent = words.next()?.parse().ok()?,
            "--pause-ms" => options.pause_ms = words.next()?.parse().ok()?,
            "--json" => options.as_json = true,
            _ => return None,
        }
    }
    Some(options)
}

/// Minutes, and whether JSON is wanted. `None` for words that are not understood.
fn soak_options(words: &[&str]) -> Option<(u64, bool)> {
    let (mut minutes, mut json) = (10, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--minutes" => minutes = words.next()?.parse().ok().filter(|count| *count > 0)?,
            "--json" => json = true,
            _ => return None,
        }
    }
    Some((minutes, json))
}
