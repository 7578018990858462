//! ChromaDB's `chroma.sqlite3`, as versions 0.4 to 1.x write it.
//!
//! Documents and metadata lie in the segment of scope `METADATA` of a collection: a row in `embeddings` for each, its
//! fields in `embedding_metadata`. What was written lies in `embeddings_queue` first; what is newer there than
//! `max_seq_id` of the segment was not carried out yet, and counts. Sequence numbers are 8 bytes, big-endian, or
//! integers, by version. What is read is a copy of one state: nothing is ever written beside the file.

mod collections;
mod copy;
mod fields;
mod queue;
#[cfg(test)]
mod tests;

use crate::record::{Loose, moment_of_text, parted};
use crate::{Found, Kind, Options, Records, Skipped, Unusable, Watch, bytes};
use collections::{Collection, collections};
use fields::{FIELDS_MAX, Fields, fields, why_left_out};
use queue::{Pending, State};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::path::Path;
use venom_core::limits::METADATA_BYTES_MAX;
use venom_core::{MemoryId, Metadata, Source, SpaceName, Timestamp};

pub(crate) use copy::MAGIC;
pub use copy::chroma_state;
pub(crate) use venom_core::import::CHROMA_FILE;

/// The key of a document among the metadata.
const DOCUMENT: &str = "chroma:document";
/// Rows that are read at a time.
const PAGE_ROWS: usize = 256;
/// Longest text of a field that is read, in bytes (1 MiB): no memory may be as long. Of a longer one only its length is.
const FIELD_BYTES_MAX: i64 = 1024 * 1024;
/// Longest id that is read, in bytes.
const ID_BYTES_MAX: i64 = 1024;
/// Digits of an id that tells whole seconds: of the years 2001 to 2286.
const SECONDS_DIGITS: usize = 10;

/// Opens a folder of ChromaDB, or its file.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let file = bytes::file_of(path, CHROMA_FILE, "a folder or database of ChromaDB")?;
    let connection = copy::open(&file, &options.scratch)?;
    let broken = |error: rusqlite::Error| {
        let shown = file.display();
        Unusable(format!("{shown} cannot be read as a ChromaDB: {error}"))
    };
    let (collections, skipped) =
        collections(&connection, options, &options.watch).map_err(broken)?;
    let has_lists = has_lists(&connection).map_err(broken)?;
    if collections.is_empty() && skipped.is_empty() && options.other_collections {
        let shown = file.display();
        return Err(Unusable(format!(
            "{shown} has no collection: expected one at least"
        )));
    }
    let mut total = 0;
    for collection in &collections {
        total += count(&connection, &collection.segment).map_err(broken)?;
    }
    let shown = file.display().to_string();
    let mut reader = Reader {
        connection,
        has_lists,
        watch: options.watch.clone(),
        collections: collections.into(),
        current: None,
        ready: VecDeque::new(),
        failure: None,
    };
    // The first page is read now: a database that is none is refused before anything comes of it.
    match reader.fill() {
        Err(error) if reader.ready.is_empty() => return Err(broken(error)),
        filled => reader.failure = filled.err(),
    }
    for skipped in skipped.into_iter().rev() {
        reader.ready.push_front(Err(skipped));
    }
    let found = std::iter::from_fn(move || reader.next().transpose());
    Ok(Records {
        kind: Kind::Chroma,
        total: Some(total),
        left: Vec::new(),
        found: Box::new(found.map(move |found| {
            found.map_err(|error| Unusable(format!("{shown} cannot be read further: {error}")))
        })),
    })
}

/// Whether there is such a table. A view is none: it could compute for ever.
fn has_table(connection: &Connection, name: &str) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    connection.query_row(sql, [name], |row| row.get(0))
}

/// Whether metadata may have lists: since ChromaDB 1.5.
fn has_lists(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT rowid, id, key, string_value, int_value, float_value, bool_value FROM embedding_metadata_array";
    Ok(has_table(connection, "embedding_metadata_array")? && connection.prepare(sql).is_ok())
}

fn count(connection: &Connection, segment: &str) -> Result<u64, rusqlite::Error> {
    let sql = "SELECT count(*) FROM embeddings WHERE segment_id = ?1";
    connection.query_row(sql, [segment], |row| row.get(0))
}

/// A sequence number, in either form.
fn seq(column: ValueRef<'_>) -> i64 {
    match column {
        ValueRef::Integer(number) => number,
        ValueRef::Blob(bytes) => bytes
            .iter()
            .fold(0_i64, |number, byte| (number << 8) | i64::from(*byte)),
        _ => 0,
    }
}

/// Reads page by page.
struct Reader {
    connection: Connection,
    has_lists: bool,
    watch: Watch,
    /// Those that were not begun.
    collections: VecDeque<Collection>,
    current: Option<Current>,
    ready: VecDeque<Found>,
    /// What ends it, once what is ready was delivered.
    failure: Option<rusqlite::Error>,
}

/// The collection that is read.
struct Current {
    collection: Collection,
    pending: Pending,
    /// The last row that was read of `embeddings`.
    last: i64,
}

impl Reader {
    fn next(&mut self) -> Result<Option<Found>, rusqlite::Error> {
        if self.ready.is_empty() && self.failure.is_none() {
            self.failure = self.fill().err();
        }
        match self.ready.pop_front() {
            Some(found) => Ok(Some(found)),
            None => self.failure.take().map_or(Ok(None), Err),
        }
    }

    /// Reads until there is something, or the end.
    fn fill(&mut self) -> Result<(), rusqlite::Error> {
        let connection = &self.connection;
        while self.ready.is_empty() {
            let Some(current) = &mut self.current else {
                let Some(collection) = self.collections.pop_front() else {
                    return Ok(());
                };
                let pending = Pending::new(connection, &collection.segment, &collection.topic)?;
                self.current = Some(Current {
                    collection,
                    pending,
                    last: i64::MIN,
                });
                continue;
            };
            let (rows, damage) = page(connection, current)?;
            for (row, id, created) in &rows {
                current.last = *row;
                if id.is_empty() {
                    self.ready.push_back(Err(Skipped {
                        place: format!("row {row}"),
                        why: format!("it has no id of 1 to {ID_BYTES_MAX} bytes"),
                    }));
                    continue;
                }
                let Fields { all, is_cut } = fields(connection, *row, self.has_lists)?;
                if is_cut {
                    self.watch.note(format!(
                        "{id} has more metadata than is read: expected at most {FIELDS_MAX} fields, the rest was left out"
                    ));
                }
                let mut state = State::Kept(all);
                for change in current.pending.take(connection, id)? {
                    state.apply(change);
                }
                if let State::Kept(fields) = state {
                    let space = &current.collection.space;
                    let memory = memory((id, fields, created), space, &self.watch);
                    self.ready.push_back(memory);
                }
            }
            if let Some(damage) = damage {
                return Err(damage);
            }
            if rows.is_empty() {
                // What is in the queue alone, in the order in which it came.
                let Some(id) = current.pending.next_id() else {
                    self.current = None;
                    continue;
                };
                let mut state = State::Gone;
                for change in current.pending.take(connection, &id)? {
                    state.apply(change);
                }
                if let State::Kept(fields) = state {
                    let space = &current.collection.space;
                    let memory = memory((&id, fields, ""), space, &self.watch);
                    self.ready.push_back(memory);
                }
            }
        }
        Ok(())
    }
}

/// Number, id, and when it was made.
type EmbeddingRow = (i64, String, String);

/// The next rows, and why those behind them cannot be read.
fn page(
    connection: &Connection,
    current: &Current,
) -> Result<(Vec<EmbeddingRow>, Option<rusqlite::Error>), rusqlite::Error> {
    let sql = "SELECT id, iif(octet_length(embedding_id) > ?4, NULL, embedding_id),
                   iif(octet_length(created_at) > ?4, NULL, created_at)
               FROM embeddings WHERE segment_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(PAGE_ROWS).unwrap_or(i64::MAX);
    let values = params![
        current.collection.segment,
        current.last,
        limit,
        ID_BYTES_MAX
    ];
    let row = |row: &Row<'_>| {
        let (id, created) = (text_of(row.get_ref(1)?), text_of(row.get_ref(2)?));
        Ok((row.get(0)?, id, created))
    };
    let mut rows = Vec::new();
    for row in statement.query_map(values, row)? {
        match row {
            Ok(row) => rows.push(row),
            Err(damage) => return Ok((rows, Some(damage))),
        }
    }
    Ok((rows, None))
}

/// Text that may not be UTF-8: what is wrong in it is replaced.
fn text_of(column: ValueRef<'_>) -> String {
    match column {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        ValueRef::Integer(number) => number.to_string(),
        _ => String::new(),
    }
}

/// A memory of an id, its fields, and when it was made.
fn memory(
    (id, mut fields, created): (&str, Map<String, Value>, &str),
    space: &SpaceName,
    watch: &Watch,
) -> Found {
    let text = match fields.remove(DOCUMENT) {
        Some(Value::String(text)) => text,
        document => {
            if let Some(why) = document.as_ref().and_then(why_left_out) {
                let place = id.to_owned();
                return Err(Skipped { place, why });
            }
            String::new()
        }
    };
    let tags = match fields.get("tags") {
        Some(Value::String(tags)) => parted(tags),
        Some(Value::Array(tags)) if tags.iter().all(Value::is_string) => {
            let tags = tags.iter().filter_map(Value::as_str);
            tags.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    if !tags.is_empty() || fields.get("tags") == Some(&Value::String(String::new())) {
        fields.remove("tags");
    }
    let told = crate::record::take_moment(&mut fields, &["timestamp"]);
    let stored_at = told
        .or_else(|| second_of(id))
        .or_else(|| moment_of_text(created));
    let loose = Loose {
        id: Some(id.to_owned()),
        space: Some(space.as_str().to_owned()),
        text,
        tags,
        stored_at,
        // Through whom it came in there is not known.
        source: Some(Source::default()),
        rest: fields,
        ..Loose::default()
    };
    let record = crate::found(id.to_owned(), loose.settle(space))?;
    let metadata = record.new.metadata.as_ref();
    if metadata.is_some_and(Metadata::is_left_out) {
        watch.note(format!(
            "{id} is kept without its metadata: expected at most {METADATA_BYTES_MAX} bytes of JSON"
        ));
    }
    Ok(record)
}

/// The time that an id of the predecessor tells.
fn second_of(id: &str) -> Option<Timestamp> {
    let id = MemoryId::parse(id).ok()?;
    let digits = id.digits();
    (digits.to_string().len() == SECONDS_DIGITS)
        .then(|| i64::try_from(digits).ok())
        .flatten()
        .map(|seconds| Timestamp::from_micros(seconds * 1_000_000))
}
