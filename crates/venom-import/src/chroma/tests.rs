//! Rows as no program writes them, in tables as ChromaDB makes them.

use super::*;
use crate::fuzzed;
use rusqlite::types::Value as Column;
use venom_fuzz::Target;

/// The tables that are read, as ChromaDB 1.5.9 makes them, without indexes.
const TABLES: &str = "
    CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE segments (id TEXT PRIMARY KEY, scope TEXT NOT NULL, collection TEXT);
    CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT NOT NULL, embedding_id TEXT NOT NULL,
        seq_id BLOB NOT NULL, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE embedding_metadata (id INTEGER, key TEXT NOT NULL, string_value TEXT, int_value INTEGER,
        float_value REAL, bool_value INTEGER, PRIMARY KEY (id, key));
    CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, operation INTEGER NOT NULL, topic TEXT NOT NULL,
        id TEXT NOT NULL, metadata TEXT);
    CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id BLOB NOT NULL);";
const STATEMENTS: [(u8, &str); 6] = [
    (b'c', "INSERT OR REPLACE INTO collections (id, name) VALUES"),
    (
        b's',
        "INSERT OR REPLACE INTO segments (id, scope, collection) VALUES",
    ),
    (
        b'e',
        "INSERT OR REPLACE INTO embeddings (id, segment_id, embedding_id, seq_id, created_at) VALUES",
    ),
    (
        b'm',
        "INSERT OR REPLACE INTO embedding_metadata (id, key, string_value, int_value, float_value, bool_value) VALUES",
    ),
    (
        b'q',
        "INSERT OR REPLACE INTO embeddings_queue (seq_id, operation, topic, id, metadata) VALUES",
    ),
    (
        b'x',
        "INSERT OR REPLACE INTO max_seq_id (segment_id, seq_id) VALUES",
    ),
];
/// Columns of the widest table.
const COLUMNS: usize = 6;
const BEGIN: &str = "c|tc|tdefault\nc|td|tother\ns|ts|tMETADATA|tc\ns|tt|tMETADATA|td\n";

/// A value by its first letter: an integer, a real, bytes, nothing, or text, which need not be UTF-8.
fn value(field: &[u8]) -> (&'static str, Column) {
    let (form, rest) = field.split_first().unwrap_or((&b'n', b""));
    let text = String::from_utf8_lossy(rest);
    match form {
        b'i' => ("?", text.parse().map_or(Column::Null, Column::Integer)),
        b'r' => ("?", text.parse().map_or(Column::Null, Column::Real)),
        b'b' => ("?", Column::Blob(rest.to_vec())),
        b't' => ("CAST(? AS TEXT)", Column::Blob(rest.to_vec())),
        _ => ("?", Column::Null),
    }
}

/// Puts the rows of an input into a database, a line each: the letter of a table, then its values, with `|` between
/// them. What the database refuses is left out.
fn fill(database: &Connection, input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b'|');
        let table = fields.next().unwrap_or_default();
        let Some((letter, statement)) = STATEMENTS.iter().find(|(letter, _)| table == [*letter])
        else {
            continue;
        };
        let count = match letter {
            b'c' | b'x' => 2,
            b's' => 3,
            b'e' | b'q' => 5,
            _ => COLUMNS,
        };
        let values = fields
            .chain(std::iter::repeat(&b""[..]))
            .take(count)
            .map(value);
        let (marks, values): (Vec<&str>, Vec<Column>) = values.unzip();
        let sql = format!("{statement} ({})", marks.join(", "));
        let mut statement = database.prepare_cached(&sql).unwrap();
        let _ = statement.execute(rusqlite::params_from_iter(values));
    }
}

#[test]
fn fuzz_import_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CHROMA_FILE);
    let database = Connection::open(&path).unwrap();
    let quick = "PRAGMA journal_mode = memory; PRAGMA synchronous = off;";
    database.execute_batch(&format!("{quick}{TABLES}")).unwrap();
    let read = || fuzzed::read(folder.path(), Some(Kind::Chroma), 1_000);
    let take = |input: &[u8]| {
        database.execute_batch("BEGIN").unwrap();
        for table in copy::TABLES {
            database
                .execute(&format!("DELETE FROM {table}"), [])
                .unwrap();
        }
        fill(&database, BEGIN.as_bytes());
        fill(&database, input);
        database.execute_batch("COMMIT").unwrap();
        let once = read();
        assert_eq!(once, read());
        assert_eq!(
            once.unusable, None,
            "rows make records, or are left out each by itself"
        );
        fuzzed::of(&once, "")
    };
    let words = [
        "\nc|",
        "\ns|",
        "\ne|i1|ts|tmem_1700000001|i1|t2023-11-14 22:13:20",
        "\nm|i1|tchroma:document|tTea.",
        "\nm|i1|ttags|ta,b",
        "\nq|i9|i",
        "|tpersistent://default/default/c|",
        "{\"chroma:document\": \"\", \"a\": null}",
        "\nx|ts|",
        "|b\0\0\0\0\0\0\0\x01",
        "|i1",
        "|r0.5",
        "|tMETADATA",
        "|n",
        "ttimestamp|t",
        "|tdefault",
    ];
    Target::new("import-rows").words(&words).run(take);
}

/// Of a collection whose id ends as that of another one nothing is taken for the other, whatever letters it has.
#[test]
fn what_waits_for_another_collection_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CHROMA_FILE);
    let database = Connection::open(&path).unwrap();
    database.execute_batch(TABLES).unwrap();
    let rows = "c|ta_c|tdefault\ns|ts|tMETADATA|ta_c\nq|i1|i0|tx/abc|tmem_1|t{\"chroma:document\": \"other\"}\n\
                q|i2|i0|tx/A_C|tmem_2|t{\"chroma:document\": \"other\"}\n\
                q|i3|i0|tx/a_c|tmem_3|t{\"chroma:document\": \"mine\"}";
    fill(&database, rows.as_bytes());
    let read = fuzzed::read(&path, None, 9);
    let texts = read.memories.iter().map(|new| new.content.as_str());
    assert_eq!(texts.collect::<Vec<_>>(), ["mine"]);
}

/// More than a page of them.
const ROWS: usize = PAGE_ROWS + 3;

/// A folder with a database of records and one that cannot be read behind them: a row whose number is none.
fn spoilt(folder: &Path, text: &str, rows: usize) {
    std::fs::create_dir(folder).unwrap();
    let database = Connection::open(folder.join(CHROMA_FILE)).unwrap();
    let tables = TABLES.replace("embeddings (id INTEGER PRIMARY KEY", "embeddings (id");
    database.execute_batch(&tables).unwrap();
    let rows = (1..=rows).map(|row| {
        format!("e|i{row}|ts|tmem_{row}|i1|t\nm|i{row}|tchroma:document|t{text} {row}.\n")
    });
    let rows = format!("{BEGIN}{}e|tnone|ts|tmem_0|i1|t", rows.collect::<String>());
    fill(&database, rows.as_bytes());
}

#[test]
fn a_database_that_is_spoilt_ends_there_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    spoilt(&folder.path().join("a"), "Tea", ROWS);
    spoilt(&folder.path().join("b"), "Coffee", ROWS);
    let read = fuzzed::read(folder.path(), None, 2 * ROWS + 2);
    let of = |text: &str| {
        let texts = read.memories.iter().map(|new| new.content.as_str());
        texts.filter(|it| it.starts_with(text)).count()
    };
    assert_eq!((of("Tea"), of("Coffee")), (ROWS, ROWS));
    let places: Vec<&str> = read.skipped.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(places, ["a", "b"]);
    assert!(read.skipped[0].why.contains("cannot be read further"));
    spoilt(&folder.path().join("c"), "Cocoa", 3);
    for (name, rows) in [("a", ROWS), ("c", 3)] {
        let alone = fuzzed::read(&folder.path().join(name), None, rows + 1);
        assert_eq!(alone.memories.len(), rows);
        assert!(alone.unusable.is_some());
    }
}
