//! Importing batch by batch: how large a batch is, what came of it, how far it is.

use std::time::Instant;
use venom_core::limits::IMPORT_BATCH_MAX;
use venom_core::{Imported, MemoryId, NewImport, without_secrets};
use venom_import::{Found, Record, Skipped, Unusable, Watch};

/// Text of a batch at most, in bytes, unless a single memory has more (1 MiB): what one transaction embeds.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Reasons that are kept word for word; the rest is counted.
const REASONS_MAX: usize = 100;

/// Records that are imported together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What shall be stored.
    pub(crate) new: Vec<NewImport>,
    /// Where each is.
    pub(crate) places: Vec<String>,
    /// What was left out on the way.
    pub(crate) skipped: Vec<Skipped>,
}

/// Cuts records into batches. What was read before a failure comes before it.
pub(crate) struct Batches<I> {
    found: I,
    /// What ended it, once what came before is delivered.
    failure: Option<Unusable>,
    ended: bool,
}

impl<I: Iterator<Item = Result<Found, Unusable>>> Batches<I> {
    /// Of these records.
    pub(crate) const fn new(found: I) -> Self {
        Self {
            found,
            failure: None,
            ended: false,
        }
    }
}

impl<I: Iterator<Item = Result<Found, Unusable>>> Iterator for Batches<I> {
    type Item = Result<Batch, Unusable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return self.failure.take().map(Err);
        }
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.new.len() + batch.skipped.len() < IMPORT_BATCH_MAX && bytes < BATCH_BYTES_MAX {
            match self.found.next() {
                Some(Ok(Ok(Record { place, new }))) => {
                    bytes += new.content.as_str().len();
                    batch.new.push(new);
                    batch.places.push(place);
                }
                Some(Ok(Err(skipped))) => batch.skipped.push(skipped),
                Some(Err(unusable)) => {
                    self.failure = Some(unusable);
                    self.ended = true;
                    break;
                }
                None => {
                    self.ended = true;
                    break;
                }
            }
        }
        let is_empty = batch.new.is_empty() && batch.skipped.is_empty();
        if is_empty {
            return self.failure.take().map(Err);
        }
        Some(Ok(batch))
    }
}

/// What became of all records.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// New memories.
    pub(crate) stored: u64,
    /// Records that were memories already.
    pub(crate) known: u64,
    /// How many of those are not shown any more.
    pub(crate) hidden: u64,
    /// Records that were left out.
    pub(crate) skipped: u64,
    /// Ids that new memories got because others have theirs, the first of them.
    renumbered: Vec<MemoryId>,
    /// Why records were left out, the first of them.
    pub(crate) reasons: Vec<String>,
}

impl Tally {
    /// Counts what was left out on the way.
    pub(crate) fn read(&mut self, batch: &Batch) {
        for Skipped { place, why } in &batch.skipped {
            self.leave_out(place, why);
        }
    }

    /// Counts what came of the records of a batch at these places.
    pub(crate) fn came(&mut self, places: &[String], answers: &[Imported]) {
        for (place, answer) in places.iter().zip(answers) {
            match answer {
                Imported::Stored(_) => self.stored += 1,
                Imported::Renumbered(id) => {
                    self.stored += 1;
                    if self.renumbered.len() < REASONS_MAX {
                        self.renumbered.push(*id);
                    }
                }
                Imported::Known(_) => self.known += 1,
                Imported::Hidden(_) => {
                    self.known += 1;
                    self.hidden += 1;
                }
                Imported::Refused(why) => self.leave_out(place, why),
            }
        }
    }

    /// Counts a record that was left out. A place may be an id and a reason may quote the record: neither tells a secret.
    fn leave_out(&mut self, place: &str, why: &str) {
        self.skipped += 1;
        if self.reasons.len() < REASONS_MAX {
            let [place, why] = [place, why].map(without_secrets);
            self.reasons.push(format!("{place}: {why}"));
        }
    }

    /// The first of the ids that new memories got because others have theirs.
    pub(crate) fn new_ids(&self) -> Vec<String> {
        self.renumbered.iter().map(ToString::to_string).collect()
    }

    /// Records so far.
    pub(crate) const fn records(&self) -> u64 {
        self.stored + self.known + self.skipped
    }
}

/// How far it is, in lines for people: one for each percent, or each thousand where the end is not known.
#[derive(Debug)]
pub(crate) struct Progress {
    total: Option<u64>,
    /// Counts the bytes of the files, where the number of records is not known.
    watch: Watch,
    began: Instant,
    shown: u64,
}

impl Progress {
    /// Begins now.
    pub(crate) fn new(total: Option<u64>, watch: &Watch) -> Self {
        Self {
            total,
            watch: watch.clone(),
            began: Instant::now(),
            shown: 0,
        }
    }

    /// Seconds since the beginning.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What to say now, if there is something new.
    pub(crate) fn line(&mut self, done: u64) -> Option<String> {
        let step = match self.part(done) {
            Some((part, whole)) => percent(part, whole),
            None => done / 1_000,
        };
        if step <= self.shown {
            return None;
        }
        self.shown = step;
        Some(self.text(done))
    }

    /// How far it is, in one line for a terminal: with a bar where the end is known.
    pub(crate) fn bar(&self, done: u64) -> String {
        const WIDTH: usize = 20;
        let text = self.text(done);
        let Some((part, whole)) = self.part(done) else {
            return text;
        };
        let full = (WIDTH as u64 * part).checked_div(whole);
        let full = full.and_then(|full| usize::try_from(full).ok());
        let full = full.unwrap_or(WIDTH).min(WIDTH);
        format!("[{:<WIDTH$}] {text}", "#".repeat(full))
    }

    /// How much of the whole is done: in records, or in bytes where their number is not known.
    fn part(&self, done: u64) -> Option<(u64, u64)> {
        let records = self.total.map(|total| (done, total));
        records.or_else(|| self.watch.bytes())
    }

    /// How far it is.
    fn text(&self, done: u64) -> String {
        let seconds = self.seconds().max(1e-3);
        let rate = done as f64 / seconds;
        let Some((part, whole)) = self.part(done) else {
            return format!("{done} records, {rate:.0} a second");
        };
        let left = whole.saturating_sub(part) as f64 * seconds / part.max(1) as f64;
        let percent = percent(part, whole);
        let of = self
            .total
            .map_or(String::new(), |total| format!(" of {total}"));
        format!("{done}{of} records ({percent} %), {rate:.0} a second, {left:.0} s left")
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    (100 * part).checked_div(whole).unwrap_or(100).min(100)
}
