//! ChromaDB's `chroma.sqlite3`, as versions 0.4 to 1.x write it.
//!
//! Documents and metadata lie in the segment of scope `METADATA` of a collection: a row in `embeddings` for each, its
//! fields in `embedding_metadata`. What was written lies in `embeddings_queue` first; what is newer there than
//! `max_seq_id` of the segment was not carried out yet, and counts. Sequence numbers are 8 bytes, big-endian, or
//! integers, by version. Nothing is ever written beside the file: with a journal or a write-ahead log there, a copy is
//! read.

mod copy;
mod queue;
#[cfg(test)]
mod tests;

use crate::record::{Loose, moment_of_text, parted};
use crate::{Found, Kind, Options, Records, Skipped, Unusable, bytes};
use copy::Opened;
use queue::{Pending, State};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::path::Path;
use venom_core::limits::CONTENT_BYTES_MAX;
use venom_core::{InputError, MemoryId, Source, SpaceName, Timestamp};

pub use copy::{CHROMA_FILE, chroma_state};

/// The key of a document among the metadata.
const DOCUMENT: &str = "chroma:document";
/// Rows that are read at a time.
const PAGE_ROWS: usize = 256;
/// Longest text of a field that is read, in bytes (1 MiB): no memory may be as long. Of a longer one only its length is.
const FIELD_BYTES_MAX: i64 = 1024 * 1024;
/// Longest id that is read, in bytes.
const ID_BYTES_MAX: i64 = 1024;
/// Most fields of a record that are read, and bytes of them all together, the document apart.
const FIELDS_MAX: usize = 1_000;
const FIELDS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Digits of an id that tells whole seconds: of the years 2001 to 2286.
const SECONDS_DIGITS: usize = 10;

/// A collection and where its memories go.
#[derive(Clone, Debug)]
struct Collection {
    segment: String,
    /// How what the queue calls it ends.
    topic: String,
    space: SpaceName,
}

/// Opens a folder of ChromaDB, or its file.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Records, Unusable> {
    let file = bytes::file_of(path, CHROMA_FILE, "a folder or database of ChromaDB")?;
    let opened = Opened::new(&file, &options.scratch)?;
    let broken = |error: rusqlite::Error| {
        let shown = file.display();
        Unusable(format!("{shown} cannot be read as a ChromaDB: {error}"))
    };
    let (collections, skipped) = collections(&opened.connection, options).map_err(broken)?;
    if collections.is_empty() && skipped.is_empty() && options.other_collections {
        let shown = file.display();
        return Err(Unusable(format!(
            "{shown} has no collection: expected one at least"
        )));
    }
    let mut total = 0;
    for collection in &collections {
        total += count(&opened.connection, &collection.segment).map_err(broken)?;
    }
    let shown = file.display().to_string();
    let mut reader = Reader {
        opened,
        collections: collections.into(),
        current: None,
        ready: VecDeque::new(),
    };
    // The first page is read now: a database that is none is refused before anything comes of it.
    reader.fill().map_err(broken)?;
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

/// The collections that are read, and those that cannot be.
fn collections(
    connection: &Connection,
    options: &Options,
) -> Result<(Vec<Collection>, Vec<Skipped>), rusqlite::Error> {
    let sql =
        "SELECT iif(octet_length(c.name) > ?1, NULL, c.name), iif(octet_length(c.id) > ?1, NULL, c.id),
                      iif(octet_length(s.id) > ?1, NULL, s.id)
               FROM collections AS c JOIN segments AS s ON s.collection = c.id
               WHERE s.scope = 'METADATA' ORDER BY c.name, c.id";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([ID_BYTES_MAX])?;
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let name = text_of(row.get_ref(0)?);
        let (Ok(id), Ok(segment)) = (row.get_ref(1)?.as_str(), row.get_ref(2)?.as_str()) else {
            let place = format!("collection {name}");
            let why = format!("its ids are no texts of at most {ID_BYTES_MAX} bytes");
            skipped.push(Skipped { place, why });
            continue;
        };
        let space = SpaceName::parse(&name).unwrap_or_else(|_| options.space.clone());
        if options.other_collections || space == options.space {
            found.push(Collection {
                segment: segment.to_owned(),
                topic: format!("/{id}"),
                space,
            });
        }
    }
    Ok((found, skipped))
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

/// Reads page by page; the copy, if there is one, lives as long.
struct Reader {
    opened: Opened,
    /// Those that were not begun.
    collections: VecDeque<Collection>,
    current: Option<Current>,
    ready: VecDeque<Found>,
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
        if self.ready.is_empty() {
            self.fill()?;
        }
        Ok(self.ready.pop_front())
    }

    /// Reads until there is something, or the end.
    fn fill(&mut self) -> Result<(), rusqlite::Error> {
        let connection = &self.opened.connection;
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
            let rows = page(connection, current)?;
            for (row, id, created) in &rows {
                current.last = *row;
                if id.is_empty() {
                    self.ready.push_back(Err(Skipped {
                        place: format!("row {row}"),
                        why: format!("it has no id of 1 to {ID_BYTES_MAX} bytes"),
                    }));
                    continue;
                }
                let mut state = State::Kept(fields(connection, *row)?);
                for change in current.pending.take(connection, id)? {
                    state.apply(change);
                }
                if let State::Kept(fields) = state {
                    let space = &current.collection.space;
                    self.ready.push_back(memory(id, fields, created, space));
                }
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
                    self.ready.push_back(memory(&id, fields, "", space));
                }
            }
        }
        Ok(())
    }
}

/// Number, id, and when it was made.
type EmbeddingRow = (i64, String, String);

fn page(connection: &Connection, current: &Current) -> Result<Vec<EmbeddingRow>, rusqlite::Error> {
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
    statement.query_map(values, row)?.collect()
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

/// The fields of a row, the document among them. Lengths are asked before texts are read: SQLite tells them without
/// reading the text.
fn fields(connection: &Connection, row: i64) -> Result<Map<String, Value>, rusqlite::Error> {
    let sql = "SELECT iif(octet_length(key) > ?3, NULL, key), iif(octet_length(string_value) > ?2, NULL, string_value),
                   int_value, float_value, bool_value, octet_length(string_value)
               FROM embedding_metadata WHERE id = ?1 ORDER BY key = ?4 DESC LIMIT ?5";
    let mut statement = connection.prepare_cached(sql)?;
    let most = i64::try_from(FIELDS_MAX).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![row, FIELD_BYTES_MAX, ID_BYTES_MAX, DOCUMENT, most])?;
    let (mut fields, mut bytes) = (Map::new(), 0);
    while let Some(row) = rows.next()? {
        let key = text_of(row.get_ref(0)?);
        let length: Option<u64> = row.get(5)?;
        let value = match row.get_ref(1)? {
            ValueRef::Null => match length {
                Some(length) => left_out(&key, length),
                None => number_of(row)?,
            },
            text => Value::String(text_of(text)),
        };
        bytes += value.as_str().map_or(0, str::len);
        if bytes > FIELDS_BYTES_MAX {
            break;
        }
        fields.insert(key, value);
    }
    Ok(fields)
}

/// What stands for a text that is too long to be read; for a document in a form that no document has.
fn left_out(key: &str, length: u64) -> Value {
    if key == DOCUMENT {
        return Value::Array(vec![length.into()]);
    }
    Value::String(format!("left out: {length} bytes"))
}

/// Why a document was left out, by what stands for it.
fn why_left_out(document: &Value) -> Option<String> {
    let bytes = document.get(0)?.as_u64()?;
    let error = InputError::TooLong {
        field: "content",
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        bytes_max: CONTENT_BYTES_MAX,
    };
    Some(error.to_string())
}

/// A value that is no text; what is of another type than its column says is nothing.
fn number_of(row: &Row<'_>) -> Result<Value, rusqlite::Error> {
    if let ValueRef::Integer(number) = row.get_ref(2)? {
        return Ok(number.into());
    }
    if let ValueRef::Real(number) = row.get_ref(3)? {
        return Ok(number.into());
    }
    Ok(match row.get_ref(4)? {
        ValueRef::Integer(flag) => Value::Bool(flag != 0),
        _ => Value::Null,
    })
}

fn memory(id: &str, mut fields: Map<String, Value>, created: &str, space: &SpaceName) -> Found {
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
    loose.settle(space).map_err(|why| Skipped {
        place: id.to_owned(),
        why,
    })
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
