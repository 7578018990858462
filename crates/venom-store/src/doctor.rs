//! What is well with a data folder and what is not, and the mending of what follows from something else.
//!
//! The text of memories and what belongs to it is the truth and never changed here. Counters, full text, fingerprints
//! and vectors follow from it and can be made anew.

mod past;

use crate::archive::{self, Archive, Name, Segment};
use crate::block::best_row;
use crate::fault::{Doing, Fault};
use crate::index::IndexOptions;
use crate::lease::Lease;
use crate::load::{self, Recipe};
use crate::store::{SqliteStore, commit};
use crate::{backups, folder, open, read, rows, write};
use rusqlite::{Connection, Transaction};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use venom_core::embedding::dot;
use venom_core::ports::{MemoryStore as _, Search};
use venom_core::recall::Question;
use venom_core::{
    Backup, Embedder, Error, Filter, Memory, MemoryId, Passage, StoreError, Timestamp, counted,
    limits,
};

/// Memories that are embedded again and searched for.
const SAMPLE: i64 = 50;
/// Results of a search for a memory by its own words.
const RESULTS: usize = 10;
/// Least cosine of a vector and the one that the model gives for its text now. Other processors and other
/// numbers (int8 or f32) give other last digits, down to 0.99; another text is far below.
const SAME_COSINE_MIN: f32 = 0.98;
/// Least share of what comparing all finds that segments should find.
const INDEX_RECALL_MIN: f64 = 0.95;
/// Cosines that differ by less are equal.
const EQUAL: f32 = 1e-3;
/// A disk with less room is worth a word, in bytes.
const FREE_BYTES_LOW: u64 = 100 * 1024 * 1024;
/// How far the newest memory may lie in the future, in microseconds: five minutes.
const AHEAD_US_MAX: i64 = 5 * 60 * 1_000_000;
/// Troubles of one kind that are told one by one.
const TOLD: usize = 3;

/// What was found of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Sound,
    /// Worth knowing.
    Note,
    /// It was wrong and is right now.
    Repaired,
    /// It is wrong, and can be repaired.
    Repairable,
    /// It is wrong.
    Trouble,
}

impl Verdict {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "ok",
            Self::Note => "note",
            Self::Repaired => "repaired",
            Self::Repairable => "repairable",
            Self::Trouble => "trouble",
        }
    }

    /// Whether something is still wrong.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Repairable | Self::Trouble)
    }
}

/// A thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub topic: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, a sentence for people.
    pub says: String,
}

impl Finding {
    /// A finding.
    pub fn new(topic: &'static str, verdict: Verdict, says: impl Into<String>) -> Self {
        let says = says.into();
        Self {
            topic,
            verdict,
            says,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<12} {:<10} {}",
            self.topic,
            self.verdict.name(),
            self.says
        )
    }
}

/// Looks at a data folder from outside: disk, file system, database file. Touches nothing.
pub fn examine_folder(folder: &Path) -> Vec<Finding> {
    let network = folder::network_file_system(folder);
    let mut findings = vec![match folder::room(folder) {
        Err(error) => Finding::new(
            "folder",
            Verdict::Trouble,
            folder::unusable(folder, &error).to_string(),
        ),
        Ok(room) if room.read_only => Finding::new(
            "folder",
            Verdict::Trouble,
            format!(
                "{} is on a file system that takes no writes",
                folder.display()
            ),
        ),
        Ok(room) => free_space(room.free_bytes),
    }];
    findings.push(match network {
        None => Finding::new("file system", Verdict::Sound, "local disk"),
        Some(name) => Finding::new(
            "file system",
            Verdict::Note,
            format!(
                "network file system ({name}): opened with a rollback journal and an exclusive lock, without \
                 memory maps; slower than a local disk, and only as safe as its syncs"
            ),
        ),
    });
    findings
}

/// What there is to say of the backups that are known, oldest first.
pub fn about_backups(known: &[Backup]) -> Finding {
    let is_there = |backup: &&Backup| Path::new(&backup.path).exists();
    let (verdict, says) = match (known.iter().rev().find(is_there), known.last()) {
        (Some(last), _) => (
            Verdict::Sound,
            format!("the last was made at {} in {}", last.made_at, last.path),
        ),
        (None, Some(last)) => (
            Verdict::Note,
            format!(
                "none is where it was made; the last was begun at {} in {}",
                last.made_at, last.path
            ),
        ),
        (None, None) => (
            Verdict::Sound,
            "none was made of this folder yet: see docs/backup.md".to_owned(),
        ),
    };
    Finding::new("backups", verdict, says)
}

fn free_space(bytes: Option<u64>) -> Finding {
    let Some(bytes) = bytes else {
        let says = "the file system does not tell how much room it has";
        return Finding::new("disk", Verdict::Note, says);
    };
    let verdict = match bytes {
        ..crate::FREE_BYTES_MIN => Verdict::Trouble,
        crate::FREE_BYTES_MIN..FREE_BYTES_LOW => Verdict::Note,
        _ => Verdict::Sound,
    };
    let mib = bytes / (1024 * 1024);
    Finding::new("disk", verdict, format!("{mib} MiB free"))
}

/// How to examine.
#[derive(Clone, Debug)]
pub struct Task {
    /// How the store is searched.
    pub options: IndexOptions,
    /// The time by this machine's clock.
    pub now: Timestamp,
    /// Whether to mend what follows from the memories.
    pub repair: bool,
}

/// Looks at the database of a folder and what follows from it, all of it; with `repair` mends what follows. A folder
/// without a database has nothing to look at. O(everything stored).
///
/// # Errors
/// [`Error`] if the database cannot be opened or read to the end, or the model fails.
pub fn examine(lease: &Lease, embedder: &dyn Embedder, task: &Task) -> Result<Vec<Finding>, Error> {
    let folder = lease.folder();
    if !open::exists(folder) {
        let says = "there is none yet: nothing was stored here";
        return Ok(vec![Finding::new("database", Verdict::Sound, says)]);
    }
    // The file is closed after the connection.
    let open::Database {
        connection,
        file: _file,
        ..
    } = open::open(&lease.share(), folder)?;
    let mut patient = Patient {
        folder,
        connection,
        embedder,
        repair: task.repair,
        findings: Vec::new(),
    };
    let is_readable = patient.database()?;
    if is_readable {
        patient.clock(task.now)?;
        let is_of_model = patient.model()?;
        patient.counters()?;
        patient.full_text()?;
        patient.fingerprints()?;
        patient.backups()?;
        patient.past(&task.options)?;
        if is_of_model {
            patient.vectors()?;
            patient.index(&task.options)?;
        }
    }
    let Patient {
        mut findings,
        connection,
        ..
    } = patient;
    let sample = memories(&connection, SAMPLE).map_err(|f| f.into_store(folder, Doing::Reading));
    drop(connection);
    if findings.iter().all(|finding| !finding.verdict.is_bad()) {
        findings.push(recall(lease, embedder, &task.options, &sample?)?);
    }
    Ok(findings)
}

/// A database under examination.
struct Patient<'a> {
    folder: &'a Path,
    connection: Connection,
    embedder: &'a dyn Embedder,
    repair: bool,
    findings: Vec<Finding>,
}

impl Patient<'_> {
    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        ask(&self.connection).map_err(|fault| fault.into_store(self.folder, Doing::Reading))
    }

    fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let folder = self.folder;
        commit(&mut self.connection, change).map_err(|f| f.into_store(folder, Doing::Writing))
    }

    fn found(&mut self, topic: &'static str, verdict: Verdict, says: impl Into<String>) {
        self.findings.push(Finding::new(topic, verdict, says));
    }

    /// Tells what is wrong, or mends it first where that is wanted; `sound` is said where nothing is wrong.
    fn mend(
        &mut self,
        topic: &'static str,
        (wrong, sound): (Option<String>, String),
        mend: impl FnOnce(&Transaction<'_>) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        let Some(wrong) = wrong else {
            self.found(topic, Verdict::Sound, sound);
            return Ok(());
        };
        if self.repair {
            self.write(mend)?;
            self.found(topic, Verdict::Repaired, wrong);
        } else {
            self.found(topic, Verdict::Repairable, wrong);
        }
        Ok(())
    }

    /// The last backup that was noted.
    fn backups(&mut self) -> Result<(), StoreError> {
        let known = self.read(backups::all)?;
        self.findings.push(about_backups(&known));
        Ok(())
    }

    /// Whether every page and every reference is as it should be.
    fn database(&mut self) -> Result<bool, StoreError> {
        let mut wrong = self.read(|connection| {
            let sql = "PRAGMA integrity_check(20)";
            let mut statement = connection.prepare(sql)?;
            let found = statement.query_map([], |row| row.get::<_, String>(0))?;
            let mut wrong = found.collect::<Result<Vec<_>, _>>()?;
            wrong.retain(|line| line != "ok");
            let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
            let found = statement.query_map([], |row| {
                let (table, row): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
                Ok(format!("row {row:?} of {table} belongs to nothing"))
            })?;
            wrong.extend(found.collect::<Result<Vec<_>, _>>()?);
            Ok(wrong)
        })?;
        if wrong.is_empty() {
            let counts = "SELECT coalesce(sum(memories), 0), coalesce(sum(forgotten), 0),
                              (SELECT count(*) FROM memories WHERE quarantine = 1) FROM spaces";
            let (memories, hidden, waiting): (i64, i64, i64) = self.read(|connection| {
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                Ok(connection.query_row(counts, [], row)?)
            })?;
            let forgotten = hidden - waiting;
            let waiting = match waiting {
                0 => String::new(),
                count => format!(", {count} in quarantine"),
            };
            let says = format!(
                "every page was read; {}, {forgotten} forgotten{waiting}",
                counted::memories(memories)
            );
            self.found("database", Verdict::Sound, says);
            return Ok(true);
        }
        let more = wrong.len().saturating_sub(TOLD);
        wrong.truncate(TOLD);
        let says = format!(
            "venom.db is damaged ({}{}): stop Venom, keep a copy of the folder, restore a backup",
            wrong.join("; "),
            if more > 0 { "; and more" } else { "" }
        );
        self.found("database", Verdict::Trouble, says);
        Ok(false)
    }

    fn clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let newest: Option<i64> = self.read(|connection| {
            let sql = "SELECT max(stored_at_us) FROM memories";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        })?;
        match newest.map(Timestamp::from_micros) {
            Some(newest) if newest.as_micros() - now.as_micros() > AHEAD_US_MAX => {
                let says = format!(
                    "it is {now} by this machine's clock, and the newest memory is of {newest}: one of the two is \
                     wrong"
                );
                self.found("clock", Verdict::Trouble, says);
            }
            _ => self.found("clock", Verdict::Sound, format!("it is {now}")),
        }
        Ok(())
    }

    fn model(&mut self) -> Result<bool, StoreError> {
        let active = self.read(read::active_model)?;
        let (configured, empty) = (self.embedder.model(), self.read(read::is_empty)?);
        match active {
            Some((_, active)) if active != *configured && !empty => {
                let says = format!(
                    "the memories were embedded with {active}, configured is {configured}: set the former again, or \
                     run `venom reembed`"
                );
                self.found("model", Verdict::Trouble, says);
                Ok(false)
            }
            active => {
                let says = format!("{configured}, every byte checked");
                self.found("model", Verdict::Sound, says);
                Ok(active.is_some() && !empty)
            }
        }
    }

    fn counters(&mut self) -> Result<(), StoreError> {
        let wrong: i64 = self.read(|connection| {
            let sql = format!("SELECT count(*) FROM spaces AS s JOIN ({COUNTS}) AS c USING (space)
                 WHERE (s.memories, s.forgotten, s.passages) IS NOT (c.memories, c.forgotten, c.passages)");
            Ok(connection.query_row(&sql, [], |row| row.get(0))?)
        })?;
        let says = (wrong > 0).then(|| {
            format!(
                "the counts of {} were wrong",
                counted(wrong, "space", "spaces")
            )
        });
        self.mend("counters", (says, "as counted".to_owned()), |tx| {
            let sql = format!(
                "UPDATE spaces SET (memories, forgotten, passages) =
                     (SELECT c.memories, c.forgotten, c.passages FROM ({COUNTS}) AS c
                      WHERE c.space = spaces.space)"
            );
            tx.execute(&sql, [])?;
            Ok(())
        })
    }

    fn full_text(&mut self) -> Result<(), StoreError> {
        let check = "INSERT INTO memories_fts (memories_fts) VALUES ('integrity-check')";
        let is_whole = self.connection.execute(check, []).is_ok();
        let (indexed, visible): (i64, i64) = self.read(|connection| {
            let sql = "SELECT (SELECT count(*) FROM memories_fts_docsize),
                              (SELECT count(*) FROM memories WHERE forgotten_at_us IS NULL)";
            Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })?;
        let wrong = match is_whole {
            false => Some("the full-text index was damaged".to_owned()),
            true if indexed != visible => Some(format!(
                "the full-text index had {indexed} of {}",
                counted::memories(visible)
            )),
            true => None,
        };
        let sound = format!("{} in the full-text index", counted::memories(visible));
        self.mend("full text", (wrong, sound), write::index_words_anew)
    }

    fn fingerprints(&mut self) -> Result<(), StoreError> {
        let wrong = self.read(write::wrong_fingerprints)?;
        let says = (wrong > 0).then(|| {
            format!(
                "the fingerprints of {} were wrong",
                counted::memories(wrong)
            )
        });
        let sound = "every memory is known by its words".to_owned();
        self.mend("fingerprints", (says, sound), write::fingerprint_all)
    }

    /// Vectors that are missing or no vectors, then a sample of those that are there.
    fn vectors(&mut self) -> Result<(), Error> {
        let stamp = self.embedder.model().clone();
        let Some((model, _)) = self.read(read::active_model)? else {
            return Ok(());
        };
        let broken =
            self.read(|connection| broken_vectors(connection, (model, stamp.dimensions)))?;
        let sampled = self.read(|connection| memories(connection, SAMPLE))?;
        let mut wrong: Vec<i64> = Vec::new();
        let is_sampled = |seq: &i64| broken.binary_search(seq).is_err();
        for (seq, memory) in sampled.iter().filter(|(seq, _)| is_sampled(seq)) {
            if !self.is_embedded(model, (*seq, memory))? {
                wrong.push(*seq);
            }
        }
        let looked_at = sampled.len();
        if wrong.is_empty() && broken.is_empty() {
            let says = format!(
                "every memory has its vectors; {looked_at} were embedded again and gave the same"
            );
            self.found("vectors", Verdict::Sound, says);
            return Ok(());
        }
        let says = format!(
            "{} had no valid vectors, {} of {looked_at} sampled ones had those of another text",
            counted::memories(broken.len()),
            wrong.len()
        );
        if !self.repair {
            self.found("vectors", Verdict::Repairable, says);
            return Ok(());
        }
        // Where a sample shows wrong ones there may be more.
        let all = if wrong.is_empty() { 0 } else { i64::MAX };
        for (seq, memory) in self.read(|connection| memories(connection, all))? {
            if broken.binary_search(&seq).is_err() && !self.is_embedded(model, (seq, &memory))? {
                wrong.push(seq);
            }
        }
        wrong.extend(broken);
        wrong.sort_unstable();
        wrong.dedup();
        // Before anything changes: what was made of the former vectors.
        for name in load::names(&self.folder.join(archive::FOLDER)) {
            name.remove(&self.folder.join(archive::FOLDER));
        }
        for seq in &wrong {
            let memory = self.read(|connection| read::memory_in_row(connection, *seq))?;
            let passages = self.passages(&memory)?;
            self.write(|tx| {
                tx.execute("DELETE FROM passages WHERE memory = ?1", [seq])?;
                write::insert_passages(tx, model, *seq, &passages)
            })?;
        }
        self.write(|tx| write::switch_model(tx, model))?;
        let says = format!("{says}; {} were embedded again", wrong.len());
        self.found("vectors", Verdict::Repaired, says);
        Ok(())
    }

    /// Whether every segment can be read, has the memories that it should, and finds what comparing all would find.
    fn index(&mut self, options: &IndexOptions) -> Result<(), Error> {
        let stamp = self.embedder.model().clone();
        let Some((model, _)) = self.read(read::active_model)? else {
            return Ok(());
        };
        let recipe = Recipe::new(self.folder, (model, &stamp), options);
        let (mut segments, mut wrong): (Vec<Segment>, Vec<(Name, String)>) =
            (Vec::new(), Vec::new());
        for name in load::names(&recipe.folder) {
            let opened =
                Segment::open(&recipe.folder, name, &recipe.about, recipe.options.stemming);
            match opened.and_then(|segment| segment.check().map(|()| segment)) {
                Err(error) => wrong.push((name, error.to_string())),
                Ok(segment) => match self.read(|connection| missing_rows(connection, &segment))? {
                    0 => segments.push(segment),
                    missing => {
                        let says = format!(
                            "{missing} memories of rows {} on are missing",
                            name.covered.first
                        );
                        wrong.push((name, says));
                    }
                },
            }
        }
        if let Some((_, first)) = wrong.first() {
            let says = format!(
                "{} of {} segments were of no use ({first})",
                wrong.len(),
                wrong.len() + segments.len()
            );
            if self.repair {
                for (name, _) in &wrong {
                    name.remove(&recipe.folder);
                }
                self.found(
                    "index",
                    Verdict::Repaired,
                    format!("{says}; they are made anew at the next start"),
                );
            } else {
                self.found("index", Verdict::Repairable, says);
            }
            return Ok(());
        }
        if segments.is_empty() {
            self.found("index", Verdict::Sound, "every memory is compared exactly");
            return Ok(());
        }
        let (count, bytes) = (
            segments.len(),
            segments.iter().map(Segment::bytes).sum::<u64>(),
        );
        let recall = self.read(|connection| index_recall(connection, &recipe, segments))?;
        let verdict = if recall < INDEX_RECALL_MIN {
            Verdict::Note
        } else {
            Verdict::Sound
        };
        let says = format!(
            "{}, {:.1} MB, every page was read; {:.1} % of the nearest {RESULTS} of sampled memories are those that \
             comparing all finds",
            if count == 1 {
                "1 segment".to_owned()
            } else {
                format!("{count} segments")
            },
            bytes as f64 / 1e6,
            100.0 * recall
        );
        self.found("index", verdict, says);
        Ok(())
    }

    fn passages(&self, memory: &Memory) -> Result<Vec<Passage>, Error> {
        let passages = self.embedder.embed_passages(&[memory.content.as_str()])?;
        Ok(passages.into_iter().next().unwrap_or_default())
    }

    /// Whether the vectors of a memory are those that the model gives for its text.
    fn is_embedded(&self, model: i64, (seq, memory): (i64, &Memory)) -> Result<bool, Error> {
        let dimensions = self.embedder.model().dimensions;
        let stored = self.read(|connection| read::vectors(connection, (model, dimensions), seq))?;
        let expected = self.passages(memory)?;
        let mut pairs = stored.chunks_exact(dimensions).zip(&expected);
        let are_equal = |(stored, expected): (&[f32], &Passage)| {
            dot(stored, expected.embedding.as_slice()) >= SAME_COSINE_MIN
        };
        Ok(stored.len() == expected.len() * dimensions && pairs.all(are_equal))
    }
}

/// What the counters of every space should be.
const COUNTS: &str = "
    SELECT s.space,
        (SELECT count(*) FROM memories AS m WHERE m.space = s.space AND m.forgotten_at_us IS NULL) AS memories,
        (SELECT count(*) FROM memories AS m WHERE m.space = s.space AND m.forgotten_at_us IS NOT NULL) AS forgotten,
        (SELECT count(*) FROM memories AS m JOIN passages AS p ON p.memory = m.seq
         WHERE m.space = s.space AND m.forgotten_at_us IS NULL
             AND p.model = (SELECT model FROM models WHERE active = 1)) AS passages
    FROM spaces AS s";

/// At most `count` visible memories with their rows, evenly from the oldest to the newest.
fn memories(connection: &Connection, count: i64) -> Result<Vec<(i64, Memory)>, Fault> {
    let sql = "SELECT seq FROM (
                   SELECT seq, row_number() OVER (ORDER BY seq) - 1 AS place, count(*) OVER () AS all_of_them
                   FROM memories WHERE forgotten_at_us IS NULL)
               WHERE place % max(1, (all_of_them + ?1 - 1) / max(1, ?1)) = 0 AND ?1 > 0 ORDER BY seq";
    let mut statement = connection.prepare(sql)?;
    // Rounded up, a division by the largest number would overflow.
    let found = statement.query_map([count.min(i64::from(u32::MAX))], |row| row.get(0))?;
    let rows: Vec<i64> = found.collect::<Result<_, _>>()?;
    let memory = |seq| Ok((seq, read::memory_in_row(connection, seq)?));
    rows.into_iter().map(memory).collect()
}

/// The rows of memories, forgotten ones too, whose passages are not numbered from 0 on or have no valid vector,
/// increasing.
fn broken_vectors(
    connection: &Connection,
    (model, dimensions): (i64, usize),
) -> Result<Vec<i64>, Fault> {
    let mut statement = connection.prepare(
        "SELECT m.seq, p.ordinal, p.embedding, p.start_byte, p.end_byte, length(CAST(m.content AS BLOB))
         FROM memories AS m LEFT JOIN passages AS p ON p.memory = m.seq AND p.model = ?1
         ORDER BY m.seq, p.ordinal",
    )?;
    let mut found = statement.query([model])?;
    let (mut broken, mut vector): (Vec<i64>, Vec<f32>) = (Vec::new(), Vec::new());
    let (mut memory, mut next) = (0, 0);
    while let Some(row) = found.next()? {
        let seq: i64 = row.get(0)?;
        if seq != memory {
            (memory, next) = (seq, 0);
        }
        let ordinal: Option<i64> = row.get(1)?;
        let column = row
            .get_ref(2)?
            .as_blob_or_null()
            .map_err(rusqlite::Error::from)?;
        vector.clear();
        let is_vector =
            column.and_then(|bytes| rows::decode_vector(bytes, dimensions, &mut vector));
        let place: (Option<i64>, Option<i64>, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let is_within =
            matches!(place, (Some(start), Some(end), length) if 0 <= start && end <= length);
        if (ordinal != Some(next) || is_vector.is_none() || !is_within)
            && broken.last() != Some(&seq)
        {
            broken.push(seq);
        }
        next += 1;
    }
    Ok(broken)
}

/// How many visible memories a segment should have and has not, or has and should not, as far as they were not changed
/// since it was written.
fn missing_rows(connection: &Connection, segment: &Segment) -> Result<usize, Fault> {
    let (space, covered) = (segment.name.space, segment.name.covered);
    let changed = read::changed_since(connection, covered.change)?;
    let is_as_it_was = |row: &i64| changed.binary_search_by_key(row, |it| it.seq).is_err();
    let rows = read::rows_between(
        connection,
        space,
        (covered.first, covered.last),
        usize::MAX / 2,
    )?;
    let rows: BTreeSet<i64> = rows
        .into_iter()
        .map(|(row, _)| row)
        .filter(is_as_it_was)
        .collect();
    let slots = 0..segment.text.slots();
    let indexed: BTreeSet<i64> = slots
        .map(|slot| segment.text.row(slot))
        .filter(is_as_it_was)
        .collect();
    Ok(rows.symmetric_difference(&indexed).count())
}

/// Share of the nearest of sampled memories that the segments of their space find, of those that comparing every vector
/// of it finds.
/// O(vectors * sampled memories).
fn index_recall(
    connection: &Connection,
    recipe: &Recipe,
    segments: Vec<Segment>,
) -> Result<f64, Fault> {
    let (model, dimensions) = recipe.model;
    let mut by_space: BTreeMap<i64, Vec<Segment>> = BTreeMap::new();
    for segment in segments {
        by_space
            .entry(segment.name.space)
            .or_default()
            .push(segment);
    }
    let archives: Vec<Archive> = by_space.into_values().map(Archive::new).collect();
    let home_of = |row: i64| archives.iter().position(|archive| archive.has(row));
    let mut sampled = Vec::new();
    for (row, _) in memories(connection, SAMPLE)? {
        if let Some(home) = home_of(row) {
            let vector = read::vectors(connection, recipe.model, row)?;
            let first = vector.get(..dimensions).map(<[f32]>::to_vec);
            sampled.extend(first.map(|vector| (home, vector)));
        }
    }
    let mut exact: Vec<Vec<(f32, i64)>> = vec![Vec::new(); sampled.len()];
    let mut statement =
        connection.prepare("SELECT memory, embedding FROM passages WHERE model = ?1")?;
    let (mut rows, mut vector) = (statement.query([model])?, Vec::new());
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        vector.clear();
        let column = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let home = home_of(seq);
        if home.is_none() || rows::decode_vector(column, dimensions, &mut vector).is_none() {
            continue;
        }
        let of_space = sampled.iter().zip(&mut exact);
        for ((_, query), best) in of_space.filter(|((other, _), _)| Some(*other) == home) {
            best.push((dot(query, &vector), seq));
            if best.len() > 2 * RESULTS {
                best.select_nth_unstable_by(RESULTS - 1, |a, b| b.0.total_cmp(&a.0));
                best.truncate(RESULTS);
            }
        }
    }
    let (mut same, mut all) = (0, 0);
    for ((home, query), mut best) in sampled.iter().zip(exact) {
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        best.truncate(RESULTS);
        let Some((least, _)) = best.last() else {
            continue;
        };
        let found = archives[*home].nearest(query, best.len());
        // Of equally near ones any will do.
        for seq in found.map_err(|error| StoreError::Other(error.to_string()))? {
            let vectors = read::vectors(connection, recipe.model, seq)?;
            same += usize::from(best_row(&vectors, query).0 >= least - EQUAL);
        }
        all += best.len();
    }
    Ok(same as f64 / f64::max(all as f64, 1.0))
}

/// Whether memories are found by their own words.
fn recall(
    lease: &Lease,
    embedder: &dyn Embedder,
    options: &IndexOptions,
    sample: &[(i64, Memory)],
) -> Result<Finding, Error> {
    let store = SqliteStore::open_with(lease, embedder.model(), options)?;
    let mut missed: Vec<MemoryId> = Vec::new();
    for (_, memory) in sample {
        let text = memory.content.as_str();
        let end = text.floor_char_boundary(limits::QUERY_BYTES_MAX);
        let vectors = embedder.embed(&[&text[..end]])?;
        let Some(vector) = vectors.first() else {
            continue;
        };
        let hits = store.search(&Search {
            question: &Question::new(&text[..end]),
            vector,
            vocabulary: embedder.vocabulary(),
            filter: &Filter::everything_in(memory.space.clone()),
            similarity_min: None,
            limit: RESULTS,
            explain: false,
        })?;
        if hits.iter().all(|hit| hit.memory.content != memory.content) {
            missed.push(memory.id);
        }
    }
    let found = sample.len() - missed.len();
    let says = format!(
        "{found} of {} sampled memories are among the first {RESULTS} when asked for by their own words",
        sample.len()
    );
    if missed.is_empty() {
        return Ok(Finding::new("recall", Verdict::Sound, says));
    }
    let missed: Vec<String> = missed.iter().take(TOLD).map(ToString::to_string).collect();
    let says = format!("{says}; not {}", missed.join(", "));
    Ok(Finding::new("recall", Verdict::Note, says))
}
