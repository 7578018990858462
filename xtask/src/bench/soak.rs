//! `bench soak`: a server that is used and abused at a moderate rate for some minutes, and whether it
//! grows.
//!
//! Clients store, search and forget, so that the number of memories stays the same; around them go those
//! who guess tokens from ever other addresses, register, sign in, refresh tokens, open streams and drop
//! them, send a byte a second. The server believes what a proxy on this machine tells of addresses. Flat
//! means: over the second half resident memory grows, by its slope, less than 5 % or 2 MB, whichever is
//! more.

mod others;
mod owner;

use super::load::sizes;
use super::report::machine;
use super::{Outcome, step};
use owner::Owner;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use venom_testing::load::{Difference, Length, Loaded, Plan, Tally, run as run_plan};
use venom_testing::process::Process;
use venom_testing::{Command, Folder};

/// Between two looks at the process.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Clients that store and search, and the tokens they share: each is used from several addresses.
const CLIENTS: usize = 20;
const TOKENS: usize = 5;
/// What they wait before the next request.
const PAUSE: Duration = Duration::from_millis(200);
/// Memories that each keeps.
const KEEP: usize = 20;
const BROKEN_PERCENT: u64 = 10;
/// Growth over the second half that still is flat: so much of the resident memory, or so many bytes.
const FLAT_SHARE: f64 = 0.05;
const FLAT_BYTES: f64 = 2e6;
const PASSPHRASE: &str = "a passphrase for ten minutes of trouble";

/// One look at the process.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    minutes: f64,
    resident: f64,
    anonymous: f64,
    open_files: f64,
    threads: f64,
}

/// Everything that one run told.
struct Findings {
    looks: Vec<Look>,
    tally: Tally,
    others: Vec<others::Told>,
    difference: Difference,
    failures: Vec<String>,
    sizes_before: (u64, u64),
    sizes_after: (u64, u64),
    written_bytes: u64,
    open_files_after: u64,
}

/// Runs for so many minutes and reports.
///
/// # Errors
/// If memory was not flat, an answer not as it has to be, or anything acknowledged lost.
pub(crate) fn run(minutes: u64, as_json: bool) -> Outcome<()> {
    let binary = super::build()?;
    let folder = Folder::new();
    let mut loaded = prepare(&binary, folder.path())?;
    let data = folder.join("data");
    let sizes_before = sizes(&data);
    let length = Duration::from_secs(minutes * 60);
    let plan = Plan {
        clients: CLIENTS,
        stream_every: 4,
        length: Length::Time(length),
        broken_percent: BROKEN_PERCENT,
        pause: PAUSE,
        keep: Some(KEEP),
        addresses: true,
        seed: 1,
    };
    step("soaking");
    let end = Instant::now() + length;
    let target = loaded.target.clone();
    let (looks, tally, others) = std::thread::scope(|scope| {
        let clients = scope.spawn(|| run_plan(&target, &plan));
        let others = others::start(scope, &target, Owner::new(target.port, PASSPHRASE), end);
        let looks = look_until(&loaded.server.process, end);
        let tally = clients.join().map_err(|_| "a client failed")?;
        let told: Result<Vec<_>, _> = others.into_iter().map(|other| other.join()).collect();
        let told = told.map_err(|_| "somebody failed")?;
        Ok::<_, &'static str>((looks, tally, told))
    })?;
    let process = &loaded.server.process;
    let (written_bytes, open_files_after) = (process.written_bytes(), process.open_files());
    step("killing, starting again, comparing every memory");
    let sizes_after = sizes(&data);
    let failures = loaded.kill_and_start();
    let findings = Findings {
        difference: Difference::between(&tally.acknowledged, &loaded.kept()),
        looks,
        tally,
        others,
        failures,
        sizes_before,
        sizes_after,
        written_bytes: written_bytes.unwrap_or_default(),
        open_files_after: open_files_after.unwrap_or_default(),
    };
    if as_json {
        println!("{:#}", findings.json());
    } else {
        print!("{}", findings.markdown());
    }
    findings.judge()
}

/// A server whose owner has a passphrase, behind a proxy that it trusts.
fn prepare(binary: &Path, folder: &Path) -> Outcome<Loaded> {
    std::fs::create_dir_all(folder.join("data"))?;
    let words = ["auth", "init", "--passphrase-stdin"];
    Command::new(binary, folder)
        .args(words)
        .run_with(PASSPHRASE.as_bytes())
        .success();
    let proxies = ("VENOM_TRUSTED_PROXIES", "127.0.0.1".to_owned());
    Ok(Loaded::start(binary, folder, TOKENS, vec![proxies]))
}

fn look_until(process: &Process, end: Instant) -> Vec<Look> {
    let started = Instant::now();
    let mut looks = Vec::new();
    while Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
        let number = |told: Option<u64>| told.unwrap_or_default() as f64;
        looks.push(Look {
            minutes: started.elapsed().as_secs_f64() / 60.0,
            resident: number(process.resident_bytes()),
            anonymous: number(process.anonymous_bytes()),
            open_files: number(process.open_files()),
            threads: number(process.threads()),
        });
    }
    looks
}

/// The slope of the line that fits best (least squares), in units of `of` a minute.
fn slope(looks: &[Look], of: impl Fn(&Look) -> f64) -> f64 {
    let count = looks.len().max(1) as f64;
    let mean_minutes = looks.iter().map(|look| look.minutes).sum::<f64>() / count;
    let mean = looks.iter().map(&of).sum::<f64>() / count;
    let (mut over, mut under) = (0.0, 0.0);
    for look in looks {
        over += (look.minutes - mean_minutes) * (of(look) - mean);
        under += (look.minutes - mean_minutes).powi(2);
    }
    if under > 0.0 { over / under } else { 0.0 }
}

/// The mean of the looks.
fn mean(looks: &[Look]) -> Look {
    let count = looks.len().max(1) as f64;
    let of = |of: fn(&Look) -> f64| looks.iter().map(of).sum::<f64>() / count;
    Look {
        minutes: of(|look| look.minutes),
        resident: of(|look| look.resident),
        anonymous: of(|look| look.anonymous),
        open_files: of(|look| look.open_files),
        threads: of(|look| look.threads),
    }
}

impl Findings {
    fn second_half(&self) -> &[Look] {
        &self.looks[self.looks.len() / 2..]
    }

    /// Growth over the second half, and how much would still be flat, in bytes.
    fn growth(&self) -> (f64, f64) {
        let half = self.second_half();
        let minutes = match half {
            [first, .., last] => last.minutes - first.minutes,
            _ => 0.0,
        };
        let growth = slope(half, |look| look.resident) * minutes;
        (growth, (mean(half).resident * FLAT_SHARE).max(FLAT_BYTES))
    }

    fn unexpected(&self) -> u64 {
        let others: u64 = self.others.iter().map(|told| told.unexpected).sum();
        self.tally.unexpected + others
    }

    fn judge(&self) -> Outcome<()> {
        let (growth, bar) = self.growth();
        let flat = growth < bar;
        let unexpected = self.unexpected();
        if flat && unexpected == 0 && self.difference.is_empty() && self.failures.is_empty() {
            return Ok(());
        }
        let mut said = format!(
            "{}, {unexpected} unexpected answers, {:?}, {} errors in the log",
            if flat { "flat" } else { "not flat" },
            self.difference,
            self.failures.len(),
        );
        let others = self.others.iter().flat_map(|told| &told.words);
        let words = self.tally.words.iter().chain(others).chain(&self.failures);
        for words in words.take(30) {
            let _ = write!(said, "\n  {words}");
        }
        Err(said.into())
    }

    fn minutes(&self) -> Vec<Look> {
        let of_minute = |a: &Look, b: &Look| a.minutes.floor() == b.minutes.floor();
        self.looks.chunk_by(of_minute).map(mean).collect()
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "| minute | resident | of it no file | open files | threads |\n|---|---|---|---|---|\n",
        );
        for look in self.minutes() {
            let _ = writeln!(
                text,
                "| {:.0} | {:.1} MB | {:.1} MB | {:.0} | {:.0} |",
                look.minutes.floor() + 1.0,
                look.resident / 1e6,
                look.anonymous / 1e6,
                look.open_files,
                look.threads
            );
        }
        let (growth, bar) = self.growth();
        let half = self.second_half();
        let _ = write!(
            text,
            "\nVenom {} on {}, all callers on the same cores. Second half: resident memory {:+.0} bytes a minute, \
             {growth:+.0} in all, {} (up to {bar:.0}); of it no file {:+.0} bytes a minute. Open files when everybody \
             had gone: {}.\n{CLIENTS} clients: {} requests, {} refused by a limit, {} unexpected answers; {} errors in \
             the log; {} lost, {} altered.\n",
            env!("CARGO_PKG_VERSION"),
            machine(),
            slope(half, |look| look.resident),
            if growth < bar { "flat" } else { "NOT FLAT" },
            slope(half, |look| look.anonymous),
            self.open_files_after,
            self.tally.requests(),
            self.tally.limited,
            self.unexpected(),
            self.failures.len(),
            self.difference.lost.len(),
            self.difference.altered.len(),
        );
        for told in &self.others {
            let _ = writeln!(
                text,
                "- {}: {} ({} refused by a limit)",
                told.what, told.done, told.limited
            );
        }
        let ((store, access), (store_after, access_after)) = (self.sizes_before, self.sizes_after);
        let _ = writeln!(
            text,
            "On disk, begin and end: memories {:.2} and {:.2} MB ({} stores), access file {:.2} and {:.2} MB; {:.0} MB \
             written.",
            store as f64 / 1e6,
            store_after as f64 / 1e6,
            self.stores(),
            access as f64 / 1e6,
            access_after as f64 / 1e6,
            self.written_bytes as f64 / 1e6,
        );
        text
    }

    fn stores(&self) -> usize {
        let stores = self.tally.times.get(&venom_testing::load::Kind::Store);
        stores.map_or(0, Vec::len)
    }

    fn json(&self) -> Value {
        let (growth, bar) = self.growth();
        let series = |looks: &[Look]| -> Vec<Value> {
            let line = |look: &Look| {
                json!({"minutes": look.minutes, "resident_bytes": look.resident, "anonymous_bytes": look.anonymous,
                       "open_files": look.open_files, "threads": look.threads})
            };
            looks.iter().map(line).collect()
        };
        let others: Vec<Value> = self
            .others
            .iter()
            .map(|told| json!({"what": told.what, "done": told.done, "limited": told.limited}))
            .collect();
        json!({
            "machine": machine(),
            "version": env!("CARGO_PKG_VERSION"),
            "looks": series(&self.looks),
            "growth_bytes": growth,
            "flat_bytes": bar,
            "slope_bytes_per_minute": slope(self.second_half(), |look| look.resident),
            "requests": self.tally.requests(),
            "limited": self.tally.limited,
            "unexpected": self.unexpected(),
            "log_errors": self.failures,
            "others": others,
            "store_bytes": [self.sizes_before.0, self.sizes_after.0],
            "access_bytes": [self.sizes_before.1, self.sizes_after.1],
            "written_bytes": self.written_bytes,
            "stores": self.stores(),
            "lost": self.difference.lost,
            "altered": self.difference.altered,
            "open_files_after": self.open_files_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_a_line() {
        let looks: Vec<Look> = (0..10)
            .map(|n| Look {
                minutes: f64::from(n) / 2.0,
                resident: 100.0 + 3.0 * f64::from(n),
                ..Look::default()
            })
            .collect();
        assert!((slope(&looks, |look| look.resident) - 6.0).abs() < 1e-9);
        assert!(slope(&looks[..1], |look| look.resident).abs() < 1e-9);
    }
}
