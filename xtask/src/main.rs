//! Chores of the repository: `cargo xtask bench smoke`.

mod bench;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask bench smoke [--json]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let json = match words.as_slice() {
        ["bench", "smoke"] => false,
        ["bench", "smoke", "--json"] => true,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match bench::smoke(json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
