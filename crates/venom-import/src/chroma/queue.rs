//! What was written and not carried out yet.

use super::fields::left_out;
use super::{DOCUMENT, FIELD_BYTES_MAX, ID_BYTES_MAX, seq, text_of};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// What the queue says of a memory.
pub(super) enum Change {
    /// It is new; nothing happens if there is one of its id.
    Add(Map<String, Value>),
    /// These fields are other now; nothing happens if there is none.
    Update(Map<String, Value>),
    /// Whichever fits.
    Upsert(Map<String, Value>),
    /// It is gone.
    Delete,
}

/// A memory under changes.
pub(super) enum State {
    Kept(Map<String, Value>),
    Gone,
}

impl State {
    pub(super) fn apply(&mut self, change: Change) {
        match (&mut *self, change) {
            (Self::Kept(fields), Change::Update(new) | Change::Upsert(new)) => {
                for (key, value) in new {
                    // A field that is set to nothing is gone.
                    if value.is_null() {
                        fields.remove(&key);
                    } else {
                        fields.insert(key, value);
                    }
                }
            }
            (Self::Gone, Change::Add(mut new) | Change::Upsert(mut new)) => {
                new.retain(|_, value| !value.is_null());
                *self = Self::Kept(new);
            }
            (_, Change::Delete) => *self = Self::Gone,
            (Self::Kept(_), Change::Add(_)) | (Self::Gone, Change::Update(_)) => {}
        }
    }
}

/// What waits in the queue: only ids and numbers are in memory.
pub(super) struct Pending {
    by_id: HashMap<String, Vec<i64>>,
    /// The ids by the first of their numbers.
    order: BTreeMap<i64, String>,
}

impl Pending {
    /// O(what waits).
    pub(super) fn new(
        connection: &Connection,
        segment: &str,
        topic: &str,
    ) -> Result<Self, rusqlite::Error> {
        let sql = "SELECT CASE typeof(seq_id) WHEN 'blob' THEN substr(seq_id, 1, 8) WHEN 'integer' THEN seq_id END
                   FROM max_seq_id WHERE segment_id = ?1";
        let done = connection.query_row(sql, [segment], |row| Ok(seq(row.get_ref(0)?)));
        let done = done.optional()?.unwrap_or(0);
        // An id that is too long to be read is of nothing that was.
        let sql = "SELECT seq_id, id FROM embeddings_queue
                   WHERE seq_id > ?1 AND substr(topic, -length(?2)) = ?2 AND octet_length(id) <= ?3 ORDER BY seq_id";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query(params![done, topic, ID_BYTES_MAX])?;
        let mut pending = Self {
            by_id: HashMap::new(),
            order: BTreeMap::new(),
        };
        while let Some(row) = rows.next()? {
            let (number, id) = (row.get(0)?, text_of(row.get_ref(1)?));
            let numbers = pending.by_id.entry(id.clone()).or_default();
            if numbers.is_empty() {
                pending.order.insert(number, id);
            }
            numbers.push(number);
        }
        Ok(pending)
    }

    /// The id that came first of those that are left.
    pub(super) fn next_id(&mut self) -> Option<String> {
        while let Some((_, id)) = self.order.pop_first() {
            if self.by_id.contains_key(&id) {
                return Some(id);
            }
        }
        None
    }

    /// Takes out what waits for an id, in order.
    pub(super) fn take(
        &mut self,
        connection: &Connection,
        id: &str,
    ) -> Result<Vec<Change>, rusqlite::Error> {
        let numbers = self.by_id.remove(id).unwrap_or_default();
        let read = |number: &i64| {
            let sql = "SELECT operation, iif(octet_length(metadata) > ?2, NULL, metadata), octet_length(metadata)
                       FROM embeddings_queue WHERE seq_id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_row([*number, FIELD_BYTES_MAX], |row| {
                let operation = seq(row.get_ref(0)?);
                let told = text_of(row.get_ref(1)?);
                let fields = match serde_json::from_str(&told) {
                    Ok(Value::Object(fields)) => fields,
                    _ => match row.get::<_, Option<u64>>(2)? {
                        // As much may be a document.
                        Some(length) if told.is_empty() && length > 0 => {
                            let document = left_out(DOCUMENT, length);
                            Map::from_iter([(DOCUMENT.to_owned(), document)])
                        }
                        _ => Map::new(),
                    },
                };
                Ok(match operation {
                    0 => Change::Add(fields),
                    1 => Change::Update(fields),
                    2 => Change::Upsert(fields),
                    3 => Change::Delete,
                    // Of an operation that nobody knows nothing comes.
                    _ => Change::Update(Map::new()),
                })
            })
        };
        numbers.iter().map(read).collect()
    }
}
