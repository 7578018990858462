//! Chores of the repository: `cargo xtask bench smoke`, `cargo xtask bench recall`.

mod bench;

use bench::recall::Options;
use bench::recall::baselines::Kind;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask bench smoke [--json]
       cargo xtask bench recall --data FOLDER [--out FILE] [--system venom|predecessor|bm25|hybrid]
                                [--merge] [--without-sessions] [--typos] [--fill COUNT]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["bench", "smoke"] => bench::smoke(false),
        ["bench", "smoke", "--json"] => bench::smoke(true),
        ["bench", "recall", options @ ..] if let Some(options) = recall_options(options) => {
            bench::recall::run(&options)
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
            "--fill" => options.fill = words.next()?.parse().ok()?,
            "--merge" => options.merge = true,
            "--without-sessions" => options.without_sessions = true,
            "--typos" => options.typos = true,
            _ => return None,
        }
    }
    (!options.data.as_os_str().is_empty()).then_some(options)
}
