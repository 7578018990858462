//! The document and the metadata of a record: texts, numbers, and the lists that ChromaDB 1.5 and later keep.

use super::{DOCUMENT, FIELD_BYTES_MAX, ID_BYTES_MAX, text_of};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde_json::{Map, Value};
use venom_core::InputError;
use venom_core::limits::CONTENT_BYTES_MAX;

/// Most fields of a record that are read, items of lists among them, and bytes of them all together, the document apart.
pub(super) const FIELDS_MAX: usize = 1_000;
const FIELDS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a record holds.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) all: Map<String, Value>,
    /// Whether there are more than are read.
    pub(super) is_cut: bool,
}

/// The fields of a row, the document among them. Lengths are asked before texts are read: SQLite tells them without
/// reading the text.
pub(super) fn fields(
    connection: &Connection,
    row: i64,
    has_lists: bool,
) -> Result<Fields, rusqlite::Error> {
    let mut found = Fields::default();
    let mut left = (FIELDS_MAX, FIELDS_BYTES_MAX);
    let columns = "iif(octet_length(key) > ?3, NULL, key), iif(octet_length(string_value) > ?2, NULL, string_value),
                   int_value, float_value, bool_value, octet_length(string_value)";
    let sql = format!(
        "SELECT {columns} FROM embedding_metadata WHERE id = ?1 ORDER BY key = '{DOCUMENT}' DESC LIMIT ?4"
    );
    found.is_cut = each(connection, &sql, row, &mut left, |key, value| {
        found.all.insert(key, value);
    })?;
    if has_lists && !found.is_cut {
        // In the order in which they came.
        let sql = format!(
            "SELECT {columns} FROM embedding_metadata_array WHERE id = ?1 ORDER BY rowid LIMIT ?4"
        );
        let lists = &mut found.all;
        found.is_cut = each(connection, &sql, row, &mut left, |key, value| {
            let list = lists.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            // What is both a field and a list is the field.
            if let Value::Array(items) = list {
                items.push(value);
            }
        })?;
    }
    Ok(found)
}

/// Reads rows for as long as there is room; `true` if there are more.
fn each(
    connection: &Connection,
    sql: &str,
    row: i64,
    (count, bytes): &mut (usize, usize),
    mut take: impl FnMut(String, Value),
) -> Result<bool, rusqlite::Error> {
    let mut statement = connection.prepare_cached(sql)?;
    // One more than there is room for tells that there are more.
    let most = i64::try_from(*count + 1).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![row, FIELD_BYTES_MAX, ID_BYTES_MAX, most])?;
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
        let length = value.as_str().map_or(0, str::len);
        if *count == 0 || length > *bytes {
            return Ok(true);
        }
        (*count, *bytes) = (*count - 1, *bytes - length);
        take(key, value);
    }
    Ok(false)
}

/// What stands for a text that is too long to be read; for a document in a form that no document has.
pub(super) fn left_out(key: &str, length: u64) -> Value {
    if key == DOCUMENT {
        return Value::Array(vec![length.into()]);
    }
    Value::String(format!("left out: {length} bytes"))
}

/// Why a document was left out, by what stands for it.
pub(super) fn why_left_out(document: &Value) -> Option<String> {
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
