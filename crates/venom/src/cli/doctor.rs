//! `venom doctor`: looks at everything and says what is wrong, in words that a person understands.

use super::{handshake, output};
use crate::asked::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::hub::Hub;
use clap::ArgMatches;
use serde_json::json;
use std::sync::Arc;
use venom_core::ports::Clock as _;
use venom_embed::MiniLm;
use venom_store::doctor::{self, Finding, Task, Verdict};
use venom_store::{Lease, LeaseError};

/// Looks, prints what was found and fails if something is wrong.
///
/// # Errors
/// [`Failure`] that says how much is wrong.
pub(super) async fn run(arguments: &ArgMatches, config: Arc<Config>) -> Result<(), Failure> {
    let repair = arguments.get_flag("repair");
    // The flag, not the setting: a server's own public URL is no wish to go through its handshake.
    let url = arguments.get_one::<String>("public-url");
    let findings = match url {
        Some(url) => handshake::examine(url, &config).await?,
        None => examine(&config, repair).await?,
    };
    if arguments.get_flag("json") {
        let finding = |finding: &Finding| {
            json!({
                "topic": finding.topic,
                "verdict": finding.verdict.name(),
                "says": finding.says,
            })
        };
        let findings: Vec<_> = findings.iter().map(finding).collect();
        output::line(&json!(findings).to_string())?;
    } else {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        output::line(&lines.join("\n"))?;
    }
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    match (count(Verdict::Trouble), count(Verdict::Repairable)) {
        (0, 0) => Ok(()),
        (0, repairable) => Err(Failure::not_ready(format!(
            "{repairable} of {} things are wrong and can be repaired: run `venom doctor --repair`",
            findings.len()
        ))),
        (trouble, repairable) => Err(Failure::not_ready(format!(
            "{} of {} things are wrong",
            trouble + repairable,
            findings.len()
        ))),
    }
}

async fn examine(config: &Arc<Config>, repair: bool) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    if config.data.exists() {
        findings.extend(doctor::examine_folder(&config.data));
    }
    let folder = venom_embed::locate(&config.model, &config.model_folders);
    let embedder = folder.and_then(|folder| MiniLm::open(&folder, &config.embedding));
    let embedder = match embedder {
        Ok(embedder) => embedder,
        Err(error) => {
            findings.push(Finding::new("model", Verdict::Trouble, error.to_string()));
            return Ok(findings);
        }
    };
    if !config.data.exists() {
        let says = format!(
            "{} is not there yet: nothing was stored",
            config.data.display()
        );
        findings.push(Finding::new("folder", Verdict::Sound, says));
        return Ok(findings);
    }
    match Lease::try_acquire(&config.data) {
        Ok(lease) => {
            let task = Task {
                options: config.index_options(),
                now: SystemClock.now(),
                repair,
            };
            match doctor::examine(&lease, &embedder, &task) {
                Ok(found) => findings.extend(found),
                Err(error) => {
                    findings.push(Finding::new(
                        "database",
                        Verdict::Trouble,
                        error.to_string(),
                    ));
                }
            }
        }
        Err(LeaseError::Store(error)) => {
            findings.push(Finding::new("folder", Verdict::Trouble, error.to_string()));
        }
        Err(LeaseError::Busy(_)) if repair => {
            let data = config.data.display();
            return Err(Failure::not_ready(format!(
                "the data folder {data} is in use: stop Venom before you repair anything"
            )));
        }
        Err(LeaseError::Busy(holder)) => {
            let holder = holder.map_or_else(|| "another process".to_owned(), |h| h.to_string());
            let hub = Hub::open(config.clone()).await?;
            let answer = hub.check().await;
            let backups = hub.backups().await;
            let stats = hub.stats(config.space.clone()).await;
            hub.close().await;
            findings.push(match answer {
                Ok(()) => Finding::new(
                    "database",
                    Verdict::Note,
                    format!(
                        "{holder} uses it and says that it can serve; what lies in it is looked at when no \
                         process uses it"
                    ),
                ),
                Err(failure) => Finding::new(
                    "database",
                    Verdict::Trouble,
                    format!("{holder} uses it and cannot serve: {failure}"),
                ),
            });
            let unclean = stats.ok().and_then(|stats| stats.unclean);
            findings.extend(unclean.map(|reason| {
                let says = format!(
                    "bytes of erased memories may still be in the files, and Venom goes on trying: {reason}"
                );
                Finding::new("erased", Verdict::Trouble, says)
            }));
            findings.extend(backups.ok().as_deref().map(doctor::about_backups));
        }
    }
    Ok(findings)
}
