//! The tables, as numbered migrations. `docs/file-format.md` explains each column.
//!
//! A migration that was released never changes: a new version of the schema is a new entry at the end.

use crate::fault::Fault;
use crate::write;
use rusqlite::{Connection, Transaction};
use venom_core::StoreError;

/// "Veno" in ASCII, in the header of every database of ours.
pub(crate) const APPLICATION_ID: i32 = 0x5665_6e6f;

/// One step of a migration, run inside its transaction.
type Step = fn(&Transaction<'_>) -> Result<(), Fault>;

/// Entry `n` leads from version `n` to `n + 1`: statements, then what SQL cannot do.
const MIGRATIONS: [(&str, Option<Step>); 7] = [
    (V1, None),
    (V2, None),
    (V3, Some(write::fingerprint_all)),
    (V4, None),
    (V5, None),
    (V6, None),
    (V7, None),
];

/// Full text is contentless: a row can be deleted without its old text, the text is not kept twice,
/// and what is indexed may come to differ from what is shown.
const V1: &str = "
CREATE TABLE models (
    model      INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    dimensions INTEGER NOT NULL CHECK (dimensions > 0),
    active     INTEGER NOT NULL CHECK (active IN (0, 1)),
    UNIQUE (name, sha256, dimensions)
) STRICT;
CREATE UNIQUE INDEX models_active ON models (active) WHERE active = 1;

CREATE TABLE spaces (
    space     INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    memories  INTEGER NOT NULL CHECK (memories >= 0),
    forgotten INTEGER NOT NULL CHECK (forgotten >= 0),
    passages  INTEGER NOT NULL CHECK (passages >= 0)
) STRICT;

CREATE TABLE memories (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              INTEGER NOT NULL UNIQUE CHECK (id >= 0),
    space           INTEGER NOT NULL REFERENCES spaces,
    stored_at_us    INTEGER NOT NULL,
    forgotten_at_us INTEGER,
    content         TEXT NOT NULL
) STRICT;
CREATE INDEX memories_by_id ON memories (space, id) WHERE forgotten_at_us IS NULL;
CREATE INDEX memories_by_time ON memories (space, stored_at_us) WHERE forgotten_at_us IS NULL;

CREATE TABLE tags (
    memory   INTEGER NOT NULL REFERENCES memories,
    position INTEGER NOT NULL,
    tag      TEXT NOT NULL,
    PRIMARY KEY (memory, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags (tag, memory);

CREATE TABLE passages (
    passage    INTEGER PRIMARY KEY,
    model      INTEGER NOT NULL REFERENCES models,
    memory     INTEGER NOT NULL REFERENCES memories,
    ordinal    INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    end_byte   INTEGER NOT NULL CHECK (end_byte >= start_byte),
    embedding  BLOB NOT NULL,
    UNIQUE (model, memory, ordinal)
) STRICT;

CREATE TABLE requests (
    number        INTEGER PRIMARY KEY,
    key           BLOB NOT NULL CHECK (length(key) = 16),
    kind          INTEGER NOT NULL CHECK (kind IN (1, 2)),
    memory        INTEGER NOT NULL REFERENCES memories,
    applied_at_us INTEGER NOT NULL,
    UNIQUE (key, kind, memory)
) STRICT;

CREATE VIRTUAL TABLE memories_fts USING fts5 (
    content,
    content = '',
    contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);
";

/// Where memories come from; they are ordered by when they happened.
const V2: &str = "
ALTER TABLE memories ADD COLUMN speaker TEXT;
ALTER TABLE memories ADD COLUMN session TEXT;
ALTER TABLE memories ADD COLUMN occurred_at_us INTEGER;
DROP INDEX memories_by_time;
CREATE INDEX memories_by_moment ON memories (space, coalesce(occurred_at_us, stored_at_us))
    WHERE forgotten_at_us IS NULL;
CREATE INDEX memories_by_session ON memories (space, session)
    WHERE forgotten_at_us IS NULL AND session IS NOT NULL;
";

/// Memories are found by what they say, and calls may change and restore them.
const V3: &str = "
ALTER TABLE memories ADD COLUMN fingerprint INTEGER;
CREATE INDEX memories_by_fingerprint ON memories (space, fingerprint) WHERE forgotten_at_us IS NULL;
ALTER TABLE requests RENAME TO requests_v2;
CREATE TABLE requests (
    number        INTEGER PRIMARY KEY,
    key           BLOB NOT NULL CHECK (length(key) = 16),
    kind          INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    memory        INTEGER NOT NULL REFERENCES memories,
    applied_at_us INTEGER NOT NULL,
    UNIQUE (key, kind, memory)
) STRICT;
INSERT INTO requests SELECT number, key, kind, memory, applied_at_us FROM requests_v2;
DROP TABLE requests_v2;
";

/// What was made of memories in files knows by this which of them were changed since.
const V4: &str = "
ALTER TABLE memories ADD COLUMN changed INTEGER;
CREATE INDEX memories_by_change ON memories (changed) WHERE changed IS NOT NULL;
";

/// Memories know through whom they came in, and may wait for the owner: what does is hidden as the forgotten are.
const V5: &str = "
ALTER TABLE memories ADD COLUMN client TEXT;
ALTER TABLE memories ADD COLUMN token TEXT;
ALTER TABLE memories ADD COLUMN quarantine INTEGER CHECK (quarantine IN (1, 2, 3));
CREATE INDEX memories_by_quarantine ON memories (id) WHERE quarantine = 1;
";

/// Memories come from elsewhere, with what was known of them there, and are recognised when they come again.
const V6: &str = "
ALTER TABLE memories ADD COLUMN metadata TEXT;
CREATE TABLE imports (
    key    BLOB PRIMARY KEY CHECK (length(key) = 16),
    memory INTEGER NOT NULL REFERENCES memories
) STRICT, WITHOUT ROWID;
CREATE TABLE sources (
    name     TEXT PRIMARY KEY,
    state    TEXT NOT NULL,
    memories INTEGER NOT NULL CHECK (memories >= 0),
    skipped  INTEGER NOT NULL CHECK (skipped >= 0)
) STRICT, WITHOUT ROWID;
";

/// Memories keep their former versions until they are erased, and then only their ids; spaces may be empty or deleted;
/// backups are known.
const V7: &str = "
CREATE TABLE versions (
    memory         INTEGER NOT NULL REFERENCES memories,
    version        INTEGER NOT NULL CHECK (version > 0),
    replaced_at_us INTEGER NOT NULL,
    cause          INTEGER NOT NULL CHECK (cause IN (1, 2, 3, 4)),
    client         TEXT,
    token          TEXT,
    space          INTEGER NOT NULL REFERENCES spaces,
    stored_at_us   INTEGER NOT NULL,
    content        TEXT,
    tags           TEXT NOT NULL,
    speaker        TEXT,
    session        TEXT,
    occurred_at_us INTEGER,
    PRIMARY KEY (memory, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE erased (
    memory       INTEGER PRIMARY KEY,
    id           INTEGER NOT NULL UNIQUE CHECK (id >= 0),
    space        INTEGER NOT NULL REFERENCES spaces,
    erased_at_us INTEGER NOT NULL,
    changed      INTEGER NOT NULL
) STRICT;
CREATE INDEX erased_by_change ON erased (changed);

ALTER TABLE imports RENAME TO imports_v6;
CREATE TABLE imports (
    key    BLOB PRIMARY KEY CHECK (length(key) = 16),
    memory INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO imports SELECT key, memory FROM imports_v6;
DROP TABLE imports_v6;
CREATE INDEX imports_by_memory ON imports (memory);

DROP INDEX memories_by_fingerprint;
CREATE INDEX memories_by_fingerprint ON memories (space, fingerprint, occurred_at_us)
    WHERE forgotten_at_us IS NULL;

ALTER TABLE requests RENAME TO requests_v6;
CREATE TABLE requests (
    number        INTEGER PRIMARY KEY,
    key           BLOB NOT NULL CHECK (length(key) = 16),
    kind          INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    memory        INTEGER NOT NULL,
    applied_at_us INTEGER NOT NULL,
    UNIQUE (key, kind, memory)
) STRICT;
INSERT INTO requests SELECT number, key, kind, memory, applied_at_us FROM requests_v6;
DROP TABLE requests_v6;

ALTER TABLE spaces ADD COLUMN deleted_at_us INTEGER;

CREATE TABLE backups (
    path       TEXT PRIMARY KEY,
    made_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX memories_by_forgetting ON memories (forgotten_at_us) WHERE forgotten_at_us IS NOT NULL;

CREATE TABLE marks (
    name  TEXT PRIMARY KEY,
    at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO marks VALUES ('erasing_since', CAST(unixepoch('subsec') * 1000000 AS INTEGER));
";

/// The version of a database that is empty or ours, and the newest there is.
///
/// # Errors
/// As of [`migrate`].
pub(crate) fn check_version(connection: &Connection) -> Result<(i64, i64), Fault> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let found = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if tables > 0 && application != i64::from(APPLICATION_ID) {
        return Err(Fault::Store(StoreError::Folder(format!(
            "venom.db belongs to another program: expected application id {APPLICATION_ID:#x}, \
             found {application:#x}"
        ))));
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Fault::Store(StoreError::NewerSchema { found, known }));
    }
    Ok((found, known))
}

/// Brings the database to the newest version, inside the caller's transaction.
///
/// # Errors
/// [`StoreError::NewerSchema`] for a database of a newer program, [`StoreError::Folder`] for one of
/// another program.
pub(crate) fn migrate(tx: &Transaction<'_>) -> Result<(), Fault> {
    let (found, known) = check_version(tx)?;
    let done = usize::try_from(found)
        .map_err(|_| Fault::corrupt(format!("the schema version is {found}")))?;
    let Some(missing @ [_, ..]) = MIGRATIONS.get(done..) else {
        return Ok(());
    };
    for (statements, step) in missing {
        tx.execute_batch(statements)?;
        if let Some(step) = step {
            step(tx)?;
        }
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known)?;
    Ok(())
}
