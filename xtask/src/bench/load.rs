//! `bench load`: many clients at once on the release build, some of their requests broken, and a power
//! cut at the end: no answer but the right ones, nothing acknowledged lost.
//!
//! The server asks for tokens, so their check, the access file and the audit log are in every request.
//! Clients and server share the machine: the more clients, the more of it is theirs.

use super::report::machine;
use super::sample::Sample;
use super::{Outcome, step};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use venom_testing::load::{Difference, Kind, Length, Loaded, Plan, Tally, run as run_plan};
use venom_testing::{Command, Folder};

/// Clients that share a token, so that the limit of a token (6,000 requests a minute) is far.
const CLIENTS_OF_A_TOKEN: usize = 10;
/// One of so many clients speaks the legacy HTTP+SSE.
const STREAM_EVERY: usize = 5;
const SEED: u64 = 1;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) clients: usize,
    pub(crate) seconds: u64,
    pub(crate) broken_percent: u64,
    /// What a client waits before its next request.
    pub(crate) pause_ms: u64,
    pub(crate) as_json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clients: 200,
            seconds: 60,
            broken_percent: 1,
            pause_ms: 0,
            as_json: false,
        }
    }
}

/// Everything that one run told.
struct Findings {
    options: Options,
    tally: Tally,
    difference: Difference,
    failures: Vec<String>,
    resident_bytes: u64,
    threads: u64,
    open_files: u64,
    written_bytes: u64,
    store_bytes: u64,
    access_bytes: u64,
    audited: usize,
}

/// Runs and reports.
///
/// # Errors
/// If an answer was not as it has to be, or anything acknowledged was lost.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let binary = super::build()?;
    let folder = Folder::new();
    let tokens = options.clients.div_ceil(CLIENTS_OF_A_TOKEN);
    step("making tokens");
    let mut loaded = Loaded::start(&binary, folder.path(), tokens, Vec::new());
    let plan = Plan {
        clients: options.clients,
        stream_every: STREAM_EVERY,
        length: Length::Time(Duration::from_secs(options.seconds)),
        broken_percent: options.broken_percent,
        pause: Duration::from_millis(options.pause_ms),
        keep: None,
        addresses: false,
        seed: SEED,
    };
    step("loading");
    let written = loaded.server.process.written_bytes().unwrap_or_default();
    let tally = run_plan(&loaded.target, &plan);
    let process = &loaded.server.process;
    let mut findings = Findings {
        options: options.clone(),
        tally,
        difference: Difference::default(),
        failures: Vec::new(),
        resident_bytes: process.resident_bytes().unwrap_or_default(),
        threads: process.threads().unwrap_or_default(),
        open_files: process.open_files().unwrap_or_default(),
        written_bytes: process.written_bytes().unwrap_or_default() - written,
        store_bytes: 0,
        access_bytes: 0,
        audited: 0,
    };
    step("killing, starting again, comparing every memory");
    findings.failures = loaded.kill_and_start();
    findings.difference = Difference::between(&findings.tally.acknowledged, &loaded.kept());
    findings.audited = audited(&binary, folder.path());
    (findings.store_bytes, findings.access_bytes) = sizes(&folder.join("data"));
    if options.as_json {
        println!("{:#}", findings.json());
    } else {
        print!("{}", findings.markdown());
    }
    findings.judge()
}

/// Stores that the audit log tells of.
fn audited(binary: &Path, folder: &Path) -> usize {
    let words = ["audit", "--json", "--limit", "100000"];
    let said = Command::new(binary, folder).args(words).run().success();
    said.lines()
        .filter(|line| line.contains("\"stored\""))
        .count()
}

/// Bytes of the memories with their log, and of the access file.
pub(super) fn sizes(data: &Path) -> (u64, u64) {
    let size = |name: &str| std::fs::metadata(data.join(name)).map_or(0, |file| file.len());
    (size("venom.db") + size("venom.db-wal"), size("access.db"))
}

/// The times of a kind as numbers.
fn times(sample: &Sample) -> [f64; 4] {
    [50, 95, 99, 100].map(|percent| sample.percentile_ms(percent))
}

impl Findings {
    fn judge(&self) -> Outcome<()> {
        let Difference {
            lost,
            altered,
            besides,
        } = &self.difference;
        if self.tally.unexpected == 0 && self.difference.is_empty() && self.failures.is_empty() {
            return Ok(());
        }
        let mut said = format!(
            "{} unexpected answers, {} memories lost, {} altered, {} kept that nobody was told of, {} errors in \
             the log",
            self.tally.unexpected,
            lost.len(),
            altered.len(),
            besides.len(),
            self.failures.len()
        );
        for words in self.tally.words.iter().chain(&self.failures).take(20) {
            let _ = write!(said, "\n  {words}");
        }
        Err(said.into())
    }

    fn per_second(&self) -> f64 {
        self.tally.requests() as f64 / self.tally.took.as_secs_f64()
    }

    fn samples(&self) -> Vec<(Kind, usize, [f64; 4])> {
        let all = self.tally.times.iter();
        all.map(|(kind, measured)| (*kind, measured.len(), times(&Sample::new(measured.clone()))))
            .collect()
    }

    fn markdown(&self) -> String {
        let mut text = String::from(
            "| request | count | p50 | p95 | p99 | longest |\n|---|---|---|---|---|---|\n",
        );
        for (kind, count, [p50, p95, p99, longest]) in self.samples() {
            let _ = writeln!(
                text,
                "| {} | {count} | {p50:.1} ms | {p95:.1} ms | {p99:.1} ms | {longest:.0} ms |",
                kind.name()
            );
        }
        let Options {
            clients,
            broken_percent,
            pause_ms,
            ..
        } = &self.options;
        let _ = write!(
            text,
            "\nVenom {} on {}, clients on the same cores. {clients} clients, each waiting for its answer and then \
             {pause_ms} ms, {broken_percent} % broken requests of {} kinds, {:.0} s: {:.0} requests a second, {} \
             refused by a limit, {} unexpected answers, {} errors in the log. Of {} searches for a memory of one's \
             own {:.1} % found it.\n",
            env!("CARGO_PKG_VERSION"),
            machine(),
            self.tally.broken.len(),
            self.tally.took.as_secs_f64(),
            self.per_second(),
            self.tally.limited,
            self.tally.unexpected,
            self.failures.len(),
            self.tally.asked,
            100.0 * self.tally.found as f64 / self.tally.asked.max(1) as f64,
        );
        let stored = self.tally.acknowledged.len().max(1) as f64;
        let _ = write!(
            text,
            "After SIGKILL and a new start: of {} acknowledged memories {} lost, {} altered; {} kept that nobody was \
             told of; {} lines of the audit log for them. At the end of the load: {:.0} MB resident, {} threads, {} \
             open files. On disk: {:.0} bytes of memories and {:.0} of the access file for each memory, {:.0} bytes \
             written for each.\n",
            self.tally.acknowledged.len(),
            self.difference.lost.len(),
            self.difference.altered.len(),
            self.difference.besides.len(),
            self.audited,
            self.resident_bytes as f64 / 1e6,
            self.threads,
            self.open_files,
            self.store_bytes as f64 / stored,
            self.access_bytes as f64 / stored,
            self.written_bytes as f64 / stored,
        );
        text
    }

    fn json(&self) -> Value {
        let kinds: Vec<Value> = self
            .samples()
            .into_iter()
            .map(|(kind, count, [p50, p95, p99, longest])| {
                json!({"kind": kind.name(), "count": count, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
                       "longest_ms": longest})
            })
            .collect();
        json!({
            "machine": machine(),
            "version": env!("CARGO_PKG_VERSION"),
            "clients": self.options.clients,
            "pause_ms": self.options.pause_ms,
            "seconds": self.tally.took.as_secs_f64(),
            "requests": self.tally.requests(),
            "requests_per_second": self.per_second(),
            "kinds": kinds,
            "broken": self.tally.broken,
            "limited": self.tally.limited,
            "unexpected": self.tally.unexpected,
            "unexpected_words": self.tally.words,
            "log_errors": self.failures,
            "own_asked": self.tally.asked,
            "own_found": self.tally.found,
            "acknowledged": self.tally.acknowledged.len(),
            "lost": self.difference.lost,
            "altered": self.difference.altered,
            "besides": self.difference.besides,
            "audited": self.audited,
            "resident_bytes": self.resident_bytes,
            "threads": self.threads,
            "open_files": self.open_files,
            "written_bytes": self.written_bytes,
            "store_bytes": self.store_bytes,
            "access_bytes": self.access_bytes,
        })
    }
}
