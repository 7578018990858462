//! The command line: from words to a command, from an outcome to an exit code.

mod access;
mod backup;
mod commands;
mod doctor;
mod export;
mod handshake;
mod healthcheck;
mod import;
mod output;
mod past;
mod quarantine;
mod spaces;
mod words;

use crate::config::{self, Config, Surroundings};
use crate::failure::Failure;
use crate::serve;
use crate::settings::Values;
use clap::ArgMatches;
use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Exit code for wrong usage and wrong values.
const EXIT_USAGE: u8 = 2;

/// Runs the program: parses, resolves, acts.
pub(crate) fn run() -> ExitCode {
    let matches = match words::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; a closed pipe is no mistake.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
    };
    match act(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failures) => {
            for failure in &failures {
                let _ = writeln!(std::io::stderr(), "venom: {failure}");
            }
            ExitCode::from(failures.first().map_or(EXIT_USAGE, Failure::exit_code))
        }
    }
}

/// Everything that went wrong, each with one sentence.
type Failures = Vec<Failure>;

fn act(matches: &ArgMatches) -> Result<(), Failures> {
    if let Some(("completions", arguments)) = matches.subcommand() {
        output::completions(arguments);
        return Ok(());
    }
    let (config, mut failures) = configuration(matches)?;
    if serves(matches) {
        failures.extend(serve::preflight(&config));
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    let config = Arc::new(config);
    start_log(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(config.workers.clamp(1, 4))
        .build()
        .map_err(|e| {
            vec![Failure::not_ready(format!(
                "threads cannot be started: {e}"
            ))]
        })?;
    let outcome = runtime.block_on(async {
        match matches.subcommand() {
            _ if matches.get_flag("stdio") => serve::stdio(config).await,
            None | Some(("serve", _)) => serve::http(config).await,
            Some(("stdio", _)) => serve::stdio(config).await,
            Some(("healthcheck", _)) => healthcheck::run(&config),
            Some((name @ ("auth" | "token" | "grant" | "audit"), arguments)) => {
                access::run(name, arguments, &config)
            }
            Some((name, arguments)) => commands::run(name, arguments, config).await,
        }
        .map_err(|failure| vec![failure])
    });
    // What still runs in the background (a read of stdin, say) must not hold the process up.
    runtime.shutdown_background();
    outcome
}

/// Whether these words start a server: then the whole configuration is checked before anything opens.
fn serves(matches: &ArgMatches) -> bool {
    matches!(matches.subcommand_name(), None | Some("serve" | "stdio"))
}

/// Collects and parses all settings; the failures tell which of them cannot be taken.
fn configuration(matches: &ArgMatches) -> Result<(Config, Failures), Failures> {
    let dotenv = read_dotenv(Path::new(".env")).map_err(|failure| vec![failure])?;
    // A flag may stand before or after the subcommand.
    let flag = |name: &str| {
        let mut level = Some(matches);
        let mut found = None;
        while let Some(matches) = level {
            found = matches.get_one::<String>(name).cloned().or(found);
            level = matches.subcommand().map(|(_, inner)| inner);
        }
        found
    };
    let values = Values::collect(flag, |name| std::env::var(name).ok(), &dotenv);
    let (config, problems) = config::parse(&values, &Surroundings::of_this_process());
    Ok((config, problems.into_iter().map(Failure::invalid).collect()))
}

/// The variables in a `.env` file; none if there is no such file.
fn read_dotenv(path: &Path) -> Result<HashMap<String, String>, Failure> {
    let variables = match dotenvy::from_path_iter(path) {
        Ok(variables) => variables,
        Err(error) if error.not_found() => return Ok(HashMap::new()),
        Err(error) => {
            return Err(Failure::invalid(format!(
                ".env is there but cannot be read: {error}"
            )));
        }
    };
    variables_of(variables)
}

fn variables_of(lines: dotenvy::Iter<impl Read>) -> Result<HashMap<String, String>, Failure> {
    // The error of the library quotes the line, which may hold a secret.
    let broken =
        |_| Failure::invalid(".env cannot be understood: expected lines of the form NAME=value");
    lines.collect::<Result<_, _>>().map_err(broken)
}

fn start_log(config: &Config) {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // Colours are not built in; asking for them on a terminal is a complaint there, and a panic in debug builds.
        .with_ansi(false)
        .with_target(false);
    // Below `trace` the SDK may report failures of its own only: it logs every refused request as a
    // warning and, at `debug`, whole messages with the memories in them. To its service an answer whose
    // client has gone is a failure; but that is nobody's, and anybody could fill the log with it.
    let level = config.log;
    let own = tracing_subscriber::filter::filter_fn(move |metadata| {
        use tracing_subscriber::filter::LevelFilter;
        let least = match metadata.target() {
            _ if level >= tracing::Level::TRACE => level,
            "rmcp::service" => LevelFilter::OFF,
            target if target.starts_with("rmcp") => LevelFilter::ERROR.min(level),
            _ => level,
        };
        *metadata.level() <= least
    });
    let _ = tracing_subscriber::registry()
        .with(own)
        .with(lines)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn fuzz_dotenv() {
        let words = [
            "VENOM_PORT=",
            "VENOM_PUBLIC_URL=",
            "export ",
            "=",
            "\n",
            "#",
            "'",
            "\"",
            "$",
            "${",
            "}",
            "$VENOM_PORT",
            "\\",
            "\\n",
            "\\$",
            " ",
            "\u{feff}",
        ];
        let around = Surroundings {
            cache: None,
            program: None,
            cores: 1,
        };
        Target::new("dotenv").words(&words).run(|bytes| {
            let variables = variables_of(dotenvy::from_read_iter(bytes));
            let variables = variables.map_err(|failure| failure.message)?;
            assert!(variables.keys().all(|name| !name.is_empty()));
            let values = Values::collect(|_| None, |_| None, &variables);
            let (_, problems) = config::parse(&values, &around);
            assert!(
                problems
                    .iter()
                    .all(|problem| problem.contains(" in .env is "))
            );
            Ok::<_, String>((variables.len().min(6), problems.len()))
        });
    }
}
