//! What was measured, as a table to read and as JSON.

use super::sample::Sample;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// At which place the right memory was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    asked: usize,
    first: usize,
    in_five: usize,
}

impl Found {
    /// Counts one search: the place of the right memory among five, from 0.
    pub(crate) fn add(&mut self, place: Option<usize>) {
        self.asked += 1;
        self.first += usize::from(place == Some(0));
        self.in_five += usize::from(place.is_some());
    }

    fn percent(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.asked.max(1) as f64
    }
}

/// Everything that one run measured.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) starts_http: Sample,
    pub(crate) starts_stdio: Sample,
    pub(crate) resident_bytes: u64,
    pub(crate) stores: Sample,
    pub(crate) searches: Sample,
    pub(crate) searches_per_second_8: f64,
    pub(crate) searches_per_second_10: f64,
    pub(crate) http_floor: Sample,
    pub(crate) disk_floor: Sample,
    pub(crate) found: Found,
    pub(crate) binary_bytes: u64,
}

/// One line of the table. The two columns beside ours are figures measured before, on a machine of the
/// same kind: the predecessor, and for each line the best other memory server with the same model.
struct Row {
    what: &'static str,
    ours: String,
    predecessor: &'static str,
    best_peer: &'static str,
}

const fn row(
    what: &'static str,
    ours: String,
    predecessor: &'static str,
    best_peer: &'static str,
) -> Row {
    Row {
        what,
        ours,
        predecessor,
        best_peer,
    }
}

impl Figures {
    fn rows(&self) -> [Row; 7] {
        let both = |sample: &Sample| format!("{:.1} / {:.1} ms", sample.p50_ms(), sample.p95_ms());
        let start = |sample: &Sample| {
            let (least, most) = (sample.percentile_ms(0), sample.percentile_ms(100));
            format!("{:.0} ms ({least:.0}–{most:.0})", sample.p50_ms())
        };
        let megabytes = self.resident_bytes as f64 / 1e6;
        [
            row(
                "process start to first answered search, HTTP",
                start(&self.starts_http),
                "7–11 s",
                "2.2 s",
            ),
            row("the same over stdio", start(&self.starts_stdio), "", ""),
            row(
                "resident memory",
                format!("{megabytes:.0} MB"),
                "900 MB",
                "337 MB",
            ),
            row("store, p50 / p95", both(&self.stores), "76 ms", "24 ms"),
            row(
                "search, p50 / p95",
                both(&self.searches),
                "114 ms",
                "9–13 ms",
            ),
            row(
                "searches per second, 10 clients",
                format!("{:.0}", self.searches_per_second_10),
                "3",
                "",
            ),
            row(
                "searches per second, 8 clients",
                format!("{:.0}", self.searches_per_second_8),
                "",
                "118",
            ),
        ]
    }

    /// The table with its caveats.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| 1,000 memories, MCP over HTTP | Venom | predecessor | best peer |\n|---|---|---|---|\n",
        );
        for Row {
            what,
            ours,
            predecessor,
            best_peer,
        } in self.rows()
        {
            let _ = writeln!(text, "| {what} | {ours} | {predecessor} | {best_peer} |");
        }
        let (http, disk) = (self.http_floor.p50_ms(), self.disk_floor.p50_ms());
        let _ = write!(
            text,
            "\nVenom {} ({:.1} MB binary) on {}. In the same run: an empty request {http:.2} ms (a search is \
             {:.0} of them), a synced write of 4 KiB {disk:.2} ms (a store is {:.0} of them). The right one of \
             1,000 similar memories came first for {:.0} % of the questions and was among five for {:.0} %.\n",
            env!("CARGO_PKG_VERSION"),
            self.binary_bytes as f64 / 1e6,
            machine(),
            self.searches.p50_ms() / http,
            self.stores.p50_ms() / disk,
            self.found.percent(self.found.first),
            self.found.percent(self.found.in_five),
        );
        text
    }

    /// The raw figures.
    pub(crate) fn json(&self) -> Value {
        let percentiles =
            |sample: &Sample| json!({"p50_ms": sample.p50_ms(), "p95_ms": sample.p95_ms()});
        json!({
            "machine": machine(),
            "version": env!("CARGO_PKG_VERSION"),
            "binary_bytes": self.binary_bytes,
            "start_http": percentiles(&self.starts_http),
            "start_stdio": percentiles(&self.starts_stdio),
            "resident_bytes": self.resident_bytes,
            "store": percentiles(&self.stores),
            "search": percentiles(&self.searches),
            "searches_per_second_8": self.searches_per_second_8,
            "searches_per_second_10": self.searches_per_second_10,
            "http_floor": percentiles(&self.http_floor),
            "disk_floor": percentiles(&self.disk_floor),
            "found_first_percent": self.found.percent(self.found.first),
            "found_in_five_percent": self.found.percent(self.found.in_five),
        })
    }
}

/// Processor and cores, as far as the system tells.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = named.map_or("an unnamed processor", |rest| {
        rest.trim_start_matches([':', ' ', '\t'])
    });
    format!("{name}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_counts_places() {
        let mut found = Found::default();
        for place in [Some(0), Some(4), None, Some(0)] {
            found.add(place);
        }
        assert_eq!((found.first, found.in_five), (2, 3));
        assert_eq!(found.percent(found.in_five).to_string(), "75");
    }
}
