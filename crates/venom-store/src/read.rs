//! The reading statements. Each takes the connection; none writes.

use crate::fault::Fault;
use crate::import;
use crate::index::{Found, Selection};
use crate::rows;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use venom_core::ports::Search;
use venom_core::recall::{Document, NewEntry};
use venom_core::{
    Content, Filter, Hit, ListQuery, Memory, MemoryId, ModelStamp, Origin, SpaceName, Speaker,
    Stats, Tag, Timestamp,
};

/// Most words of a question that are looked up in the full-text index.
const WORDS_MAX: usize = 16;
/// A word that more memories have is common.
const WITH_WORD_MAX: usize = 1_000;

/// The model whose vectors are searched, with its row.
pub(crate) fn active_model(connection: &Connection) -> Result<Option<(i64, ModelStamp)>, Fault> {
    let sql = "SELECT model, name, sha256, dimensions FROM models WHERE active = 1";
    let found = connection.query_row(sql, [], |row| Ok((row.get(0)?, rows::model(row, 1)?)));
    Ok(found.optional()?)
}

/// Whether no memory was ever stored. O(1).
pub(crate) fn is_empty(connection: &Connection) -> Result<bool, Fault> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM memories)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// The largest id ever given, of forgotten and erased memories too. O(log memories).
pub(crate) fn largest_id(connection: &Connection) -> Result<Option<MemoryId>, Fault> {
    let sql = "SELECT max(id) FROM (SELECT max(id) AS id FROM memories UNION ALL SELECT max(id) FROM erased)";
    let largest: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
    largest.map(rows::memory_id).transpose()
}

/// Every space with its row and how many visible memories it has.
pub(crate) fn spaces(connection: &Connection) -> Result<Vec<(i64, SpaceName, usize)>, Fault> {
    let mut statement =
        connection.prepare("SELECT space, name, memories FROM spaces ORDER BY space")?;
    let columns = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?));
    let found = statement.query_map([], columns)?;
    let named = |found: Result<(i64, String, usize), rusqlite::Error>| {
        let (row, name, memories) = found?;
        Ok((row, rows::space_name(&name)?, memories))
    };
    found.map(named).collect()
}

/// The row of a space.
pub(crate) fn space_row(connection: &Connection, space: &SpaceName) -> Result<Option<i64>, Fault> {
    let mut statement = connection.prepare_cached("SELECT space FROM spaces WHERE name = ?1")?;
    Ok(statement
        .query_row([space.as_str()], |row| row.get(0))
        .optional()?)
}

/// The name of the space in a row.
pub(crate) fn space_in_row(connection: &Connection, row: i64) -> Result<Option<SpaceName>, Fault> {
    let mut statement = connection.prepare_cached("SELECT name FROM spaces WHERE space = ?1")?;
    let found = statement.query_row([row], |row| row.get::<_, String>(0));
    let found = found.optional()?;
    found.as_deref().map(rows::space_name).transpose()
}

/// The rows of all visible memories of a space, increasing. O(memories of the space).
pub(crate) fn rows_of_space(connection: &Connection, space: i64) -> Result<Vec<i64>, Fault> {
    let sql = "SELECT seq FROM memories INDEXED BY memories_by_id
               WHERE space = ?1 AND forgotten_at_us IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([space], |row| row.get(0))?;
    let mut rows = found.collect::<Result<Vec<i64>, _>>()?;
    rows.sort_unstable();
    Ok(rows)
}

/// The first `limit` rows of visible memories of a space from `first` to `last`, increasing, each with the bytes of its
/// text. O(rows of all spaces that are passed over).
pub(crate) fn rows_between(
    connection: &Connection,
    space: i64,
    (first, last): (i64, i64),
    limit: usize,
) -> Result<Vec<(i64, u64)>, Fault> {
    let sql = "SELECT seq, octet_length(content) FROM memories NOT INDEXED
               WHERE seq BETWEEN ?2 AND ?3 AND space = ?1 AND forgotten_at_us IS NULL
               ORDER BY seq LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let values = params![space, first, last, rows::count_column(limit)];
    let found = statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The last row that a memory ever had; 0 if there is none.
pub(crate) fn last_row(connection: &Connection) -> Result<i64, Fault> {
    let sql = "SELECT max(coalesce((SELECT max(seq) FROM memories), 0), coalesce((SELECT max(memory) FROM erased), 0))";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// The number of the last change; 0 if there was none. O(log changes).
pub(crate) fn last_change(connection: &Connection) -> Result<i64, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT max(coalesce((SELECT max(changed) FROM memories WHERE changed IS NOT NULL), 0),
                    coalesce((SELECT max(changed) FROM erased), 0))",
    )?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// A memory that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    pub(crate) seq: i64,
    /// The number of its last change.
    pub(crate) number: i64,
    /// Row of the space where it is now, or was when it was erased.
    pub(crate) space: i64,
}

/// The memories of all spaces that were changed or erased after the change of that number, by row. Of all, since one
/// that is in another space now may have moved there from any. O(changes since).
pub(crate) fn changed_since(connection: &Connection, change: i64) -> Result<Vec<Change>, Fault> {
    let sql = "SELECT seq, changed, space FROM memories INDEXED BY memories_by_change
               WHERE changed > ?1
               UNION ALL SELECT memory, changed, space FROM erased WHERE changed > ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let change_of = |row: &Row<'_>| {
        Ok(Change {
            seq: row.get(0)?,
            number: row.get(1)?,
            space: row.get(2)?,
        })
    };
    let found = statement.query_map([change], change_of)?;
    let mut changes = found.collect::<Result<Vec<_>, _>>()?;
    changes.sort_unstable();
    Ok(changes)
}

/// The rows of the memories of all spaces that were erased after the change of that number, each with the number of
/// that change. O(those).
pub(crate) fn erased_since(connection: &Connection, change: i64) -> Result<Vec<(i64, i64)>, Fault> {
    let sql = "SELECT memory, changed FROM erased WHERE changed > ?1 ORDER BY memory";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([change], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// A visible memory as an index keeps it.
#[derive(Debug)]
pub(crate) struct Indexable {
    pub(crate) seq: i64,
    pub(crate) id: MemoryId,
    pub(crate) stored_at: Timestamp,
    pub(crate) origin: Origin,
    pub(crate) document: Document,
    /// One after the other, at least one.
    pub(crate) vectors: Vec<f32>,
}

impl Indexable {
    /// What a section needs of it.
    pub(crate) fn entry(&self) -> NewEntry<'_> {
        NewEntry {
            id: self.id,
            stored_at: self.stored_at,
            origin: &self.origin,
            document: self.document.clone(),
        }
    }
}

/// The visible memory in a row with its vectors of `model`; `None` for one that is forgotten or has none.
pub(crate) fn indexable(
    connection: &Connection,
    (model, dimensions): (i64, usize),
    seq: i64,
) -> Result<Option<Indexable>, Fault> {
    let sql =
        "SELECT p.ordinal, p.embedding, m.id, m.stored_at_us, m.content, m.speaker, m.session,
                      m.occurred_at_us
               FROM memories AS m CROSS JOIN passages AS p ON p.memory = m.seq
               WHERE m.seq = ?1 AND p.model = ?2 AND m.forgotten_at_us IS NULL ORDER BY p.ordinal";
    let mut statement = connection.prepare_cached(sql)?;
    let mut passages = statement.query([seq, model])?;
    let mut found: Option<Indexable> = None;
    let mut next = 0;
    while let Some(row) = passages.next()? {
        if found.is_none() {
            let content = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
            let content = Content::parse(content).map_err(|_| {
                Fault::corrupt(format!("the text of memory row {seq} is not valid"))
            })?;
            let origin = rows::origin(row, seq, 5)?;
            found = Some(Indexable {
                seq,
                id: rows::memory_id(row.get(2)?)?,
                stored_at: Timestamp::from_micros(row.get(3)?),
                document: Document::new(&origin, &content),
                origin,
                vectors: Vec::with_capacity(dimensions),
            });
        }
        let ordinal: usize = row.get(0)?;
        let column = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let memory = found.as_mut().filter(|_| ordinal == next);
        memory
            .and_then(|memory| rows::decode_vector(column, dimensions, &mut memory.vectors))
            .ok_or_else(|| {
                Fault::corrupt(format!(
                    "passage {ordinal} of memory row {seq} is not valid"
                ))
            })?;
        next += 1;
    }
    Ok(found)
}

/// Up to `limit` passages of the visible memories of a filter in rows from `first` to `last`: tells `each` the row and
/// the vector. Returns the last row that was told about, `None` at the end.
pub(crate) fn scan(
    connection: &Connection,
    (model, filter): (i64, &Filter),
    (first, last): (i64, i64),
    limit: usize,
    each: &mut dyn FnMut(i64, &[u8]),
) -> Result<Option<i64>, Fault> {
    let (condition, mut values) = condition(connection, filter, Some(&filter.space))?;
    let sql = format!(
        "SELECT m.seq, p.embedding FROM (
             SELECT m.seq FROM memories AS m NOT INDEXED
             WHERE {condition} AND m.seq BETWEEN ? AND ? ORDER BY m.seq LIMIT ?) AS m
         CROSS JOIN passages AS p ON p.memory = m.seq WHERE p.model = ?"
    );
    values.extend([first, last, rows::count_column(limit), model].map(Value::from));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut reached = None;
    while let Some(row) = found.next()? {
        let seq = row.get(0)?;
        each(
            seq,
            row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?,
        );
        reached = reached.max(Some(seq));
    }
    Ok(reached)
}

/// Up to `limit` rows from `first` to `last` of the visible memories of a filter that have the rarest of these words, by
/// the full-text index; common words and all but the first [`WORDS_MAX`] are not looked up, so that writers wait no
/// longer than for another step of a scan. O(1).
pub(crate) fn with_words<'a>(
    connection: &Connection,
    filter: &Filter,
    (first, last): (i64, i64),
    words: impl Iterator<Item = &'a str>,
    limit: usize,
) -> Result<Vec<i64>, Fault> {
    let sql = "SELECT rowid FROM memories_fts
               WHERE memories_fts MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut distinct: BTreeSet<&str> = BTreeSet::new();
    for word in words {
        if distinct.len() < WORDS_MAX {
            distinct.insert(word);
        }
    }
    let mut scores: BTreeMap<i64, f64> = BTreeMap::new();
    for word in distinct {
        // Words have no quotation marks in them.
        let values = params![format!("\"{word}\""), first, last, WITH_WORD_MAX + 1];
        let found = statement.query_map(values, |row| row.get(0));
        // Vectors answer alone where the full-text index is damaged.
        let rows: Vec<i64> = found.map_or_else(|_| Vec::new(), |rows| rows.flatten().collect());
        if rows.len() <= WITH_WORD_MAX {
            for row in &rows {
                *scores.entry(*row).or_default() += 1.0 / rows.len() as f64;
            }
        }
    }
    let mut best: Vec<(i64, f64)> = scores.into_iter().collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    best.truncate(WITH_WORD_MAX);
    let (condition, mut values) = condition(connection, filter, Some(&filter.space))?;
    let sql = format!("SELECT 1 FROM memories AS m WHERE {condition} AND m.seq = ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut passed = Vec::new();
    for (row, _) in best {
        if passed.len() == limit {
            break;
        }
        values.push(Value::from(row));
        if statement.exists(params_from_iter(&values))? {
            passed.push(row);
        }
        values.pop();
    }
    Ok(passed)
}

/// The visible memory with this id.
pub(crate) fn memory(connection: &Connection, id: MemoryId) -> Result<Option<Memory>, Fault> {
    let columns = rows::MEMORY_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM memories AS m JOIN spaces AS s USING (space)
         WHERE m.id = ?1 AND m.forgotten_at_us IS NULL"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([rows::id_column(id)])?;
    let row = found.next()?;
    row.map(|row| rows::memory(connection, row)).transpose()
}

/// The memory in this row, forgotten or not.
pub(crate) fn memory_in_row(connection: &Connection, seq: i64) -> Result<Memory, Fault> {
    let columns = rows::MEMORY_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM memories AS m JOIN spaces AS s USING (space) WHERE m.seq = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([seq])?;
    let row = found.next()?;
    let memory = row.map(|row| rows::memory(connection, row)).transpose()?;
    memory.ok_or_else(|| Fault::corrupt(format!("memory row {seq} is missing")))
}

/// The vectors of the memory in a row, one after the other.
pub(crate) fn vectors(
    connection: &Connection,
    (model, dimensions): (i64, usize),
    seq: i64,
) -> Result<Vec<f32>, Fault> {
    let sql = "SELECT embedding FROM passages WHERE model = ?1 AND memory = ?2 ORDER BY ordinal";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([model, seq])?;
    let mut vectors = Vec::new();
    while let Some(row) = found.next()? {
        let column = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        rows::decode_vector(column, dimensions, &mut vectors)
            .ok_or_else(|| Fault::corrupt(format!("a passage of memory row {seq} is not valid")))?;
    }
    Ok(vectors)
}

/// `Filter::matches` in SQL, over `memories AS m`; one `?` per value, in order. Without a space,
/// `Filter::matches_in_any_space`.
fn condition(
    connection: &Connection,
    filter: &Filter,
    space: Option<&SpaceName>,
) -> Result<(String, Vec<Value>), Fault> {
    let mut sql = "m.forgotten_at_us IS NULL".to_owned();
    let mut values = Vec::new();
    if let Some(space) = space {
        sql.push_str(" AND m.space = (SELECT space FROM spaces WHERE name = ?)");
        values.push(Value::from(space.as_str().to_owned()));
    }
    let mut tags = |operator: &str, tags: &[Tag], tail: &str| {
        let tags: BTreeSet<&Tag> = tags.iter().collect();
        if tags.is_empty() {
            return;
        }
        let marks = vec!["?"; tags.len()].join(", ");
        let tail = tail.replace("COUNT", &tags.len().to_string());
        let clause =
            format!(" AND m.seq {operator} (SELECT memory FROM tags WHERE tag IN ({marks}){tail})");
        sql.push_str(&clause);
        values.extend(tags.iter().map(|tag| Value::from(tag.as_str().to_owned())));
    };
    tags("IN", &filter.tags_any, "");
    tags(
        "IN",
        &filter.tags_all,
        " GROUP BY memory HAVING count(*) = COUNT",
    );
    tags("NOT IN", &filter.tags_none, "");
    if let Some(since) = filter.since {
        sql.push_str(" AND coalesce(m.occurred_at_us, m.stored_at_us) >= ?");
        values.push(Value::from(since.as_micros()));
    }
    if let Some(until) = filter.until {
        sql.push_str(" AND coalesce(m.occurred_at_us, m.stored_at_us) < ?");
        values.push(Value::from(until.as_micros()));
    }
    if let Some(session) = &filter.session {
        sql.push_str(" AND m.session = ?");
        values.push(Value::from(session.as_str().to_owned()));
    }
    if let Some(speaker) = &filter.speaker {
        let spellings = spellings(connection, space, speaker)?;
        let marks = vec!["?"; spellings.len()].join(", ");
        let _ = write!(sql, " AND m.speaker IN ({marks})");
        values.extend(spellings.into_iter().map(Value::from));
    }
    Ok((sql, values))
}

/// How a speaker is written in a space, or in all: SQLite knows upper and lower case of ASCII only. O(memories).
fn spellings(
    connection: &Connection,
    space: Option<&SpaceName>,
    speaker: &Speaker,
) -> Result<Vec<String>, Fault> {
    let sql = "SELECT DISTINCT speaker FROM memories
               WHERE (?1 IS NULL OR space = (SELECT space FROM spaces WHERE name = ?1)) AND speaker IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let name = space.map(SpaceName::as_str);
    let found = statement.query_map([name], |row| row.get::<_, String>(0))?;
    let all = found.collect::<Result<Vec<_>, _>>()?;
    let same = |name: &String| Speaker::parse(name).is_ok_and(|found| found.key() == speaker.key());
    Ok(all.into_iter().filter(same).collect())
}

/// What the index needs to know to select the memories that pass the filter. Tags are looked up here,
/// among the memories of all spaces and the forgotten; the index knows which of them count.
pub(crate) fn selection(connection: &Connection, filter: &Filter) -> Result<Selection, Fault> {
    let any = with_tags(connection, &filter.tags_any, 1)?;
    let distinct = filter.tags_all.iter().collect::<BTreeSet<_>>().len();
    let all = with_tags(connection, &filter.tags_all, distinct)?;
    let none = with_tags(connection, &filter.tags_none, 1)?;
    let included = match (any, all) {
        (Some(mut any), Some(all)) => {
            any.retain(|seq| all.binary_search(seq).is_ok());
            Some(any)
        }
        (any, all) => any.or(all),
    };
    Ok(Selection {
        included,
        excluded: none.unwrap_or_default(),
        since: filter.since,
        until: filter.until,
        speaker: filter.speaker.as_ref().map(Speaker::key),
        session: filter.session.clone(),
    })
}

/// The rows of the memories with at least `least` of the tags, increasing; `None` if no tag is given.
fn with_tags(
    connection: &Connection,
    tags: &[Tag],
    least: usize,
) -> Result<Option<Vec<i64>>, Fault> {
    let tags: BTreeSet<&str> = tags.iter().map(Tag::as_str).collect();
    if tags.is_empty() {
        return Ok(None);
    }
    let marks = vec!["?"; tags.len()].join(", ");
    let sql = format!("SELECT memory FROM tags WHERE tag IN ({marks})");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(&tags), |row| row.get(0))?;
    let mut seqs = found.collect::<Result<Vec<i64>, _>>()?;
    seqs.sort_unstable();
    let groups = seqs.chunk_by(|a, b| a == b);
    Ok(Some(
        groups
            .filter(|group| group.len() >= least)
            .map(|group| group[0])
            .collect(),
    ))
}

/// A page of memories, newest first.
pub(crate) fn list(connection: &Connection, query: &ListQuery) -> Result<Vec<Memory>, Fault> {
    let space = (!query.all_spaces).then_some(&query.filter.space);
    let (condition, mut values) = condition(connection, &query.filter, space)?;
    let columns = rows::MEMORY_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM memories AS m JOIN spaces AS s USING (space)
         WHERE {condition} AND m.id <= ? ORDER BY m.id DESC LIMIT ?"
    );
    // The ids below `before` are those up to the one before it; there is none below 0.
    let largest = query.before.map_or(i64::MAX, |id| rows::id_column(id) - 1);
    values.push(Value::from(largest));
    values.push(Value::from(rows::count_column(query.limit.get())));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut memories = Vec::new();
    while let Some(row) = found.next()? {
        memories.push(rows::memory(connection, row)?);
    }
    Ok(memories)
}

/// What the index found, with text. `None` if one of the memories was forgotten meanwhile, or does not
/// pass the filter because it came after its tags were looked up.
pub(crate) fn hits(
    connection: &Connection,
    (model, search): (i64, &Search<'_>),
    found: &[Found],
) -> Result<Option<Vec<Hit>>, Fault> {
    let columns = rows::MEMORY_COLUMNS;
    let sql = format!(
        "SELECT {columns}, p.start_byte, p.end_byte
         FROM memories AS m JOIN spaces AS s USING (space) JOIN passages AS p ON p.memory = m.seq
         WHERE m.seq = ?1 AND m.forgotten_at_us IS NULL AND p.model = ?2 AND p.ordinal = ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut hits = Vec::with_capacity(found.len());
    for one in found {
        if hits.len() == search.limit {
            break;
        }
        let (similarity, ordinal) = match one.ordinal {
            Some(ordinal) => (one.similarity, ordinal),
            None => best_passage(connection, model, one.seq, search.vector.as_slice())?,
        };
        if search
            .similarity_min
            .is_some_and(|least| similarity < least)
        {
            continue;
        }
        let ordinal = rows::count_column(ordinal);
        let mut rows = statement.query(params![one.seq, model, ordinal])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let memory = rows::memory(connection, row)?;
        if !search.filter.matches(&memory) {
            return Ok(None);
        }
        hits.push(Hit {
            memory,
            parts: one.parts,
            similarity,
            passage: rows::span(row, rows::MEMORY_COLUMNS_COUNT)?,
            matched_words: Vec::new(),
        });
    }
    Ok(Some(hits))
}

/// The cosine of the passage of a memory that is nearest to a query and which that is, of equal ones the first.
fn best_passage(
    connection: &Connection,
    model: i64,
    seq: i64,
    query: &[f32],
) -> Result<(f32, usize), Fault> {
    let vectors = vectors(connection, (model, query.len()), seq)?;
    Ok(crate::block::best_row(&vectors, query))
}

/// A page of the memories that wait in quarantine, newest first. O(memories in quarantine).
pub(crate) fn quarantined(
    connection: &Connection,
    before: Option<MemoryId>,
    limit: usize,
) -> Result<Vec<Memory>, Fault> {
    let columns = rows::MEMORY_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM memories AS m INDEXED BY memories_by_quarantine JOIN spaces AS s USING (space)
         WHERE m.quarantine = 1 AND m.id <= ?1 ORDER BY m.id DESC LIMIT ?2"
    );
    let largest = before.map_or(i64::MAX, |id| rows::id_column(id) - 1);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([largest, rows::count_column(limit)])?;
    let mut memories = Vec::new();
    while let Some(row) = found.next()? {
        memories.push(rows::memory(connection, row)?);
    }
    Ok(memories)
}

/// How many memories wait in quarantine. O(those).
pub(crate) fn waiting(connection: &Connection) -> Result<u64, Fault> {
    let sql =
        "SELECT count(*) FROM memories INDEXED BY memories_by_quarantine WHERE quarantine = 1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// The counters of every space, added up. What no table knows is left for the caller.
pub(crate) fn stats(
    connection: &Connection,
    space: &SpaceName,
    model: &ModelStamp,
) -> Result<Stats, Fault> {
    let mut stats = Stats {
        space_memories: 0,
        memories: 0,
        forgotten: 0,
        quarantined: waiting(connection)?,
        passages: 0,
        database_bytes: 0,
        spaces: Vec::new(),
        model: model.clone(),
        engine: String::new(),
        location: String::new(),
        storage: String::new(),
        rebuilding: 0,
        unclean: None,
        taken_over: import::taken_over(connection)?,
    };
    let sql = "SELECT name, memories, forgotten, passages, deleted_at_us IS NULL FROM spaces";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let name = rows::space_name(&row.get::<_, String>(0)?)?;
        let memories: u64 = row.get(1)?;
        stats.memories += memories;
        stats.forgotten += row.get::<_, u64>(2)?;
        stats.passages += row.get::<_, u64>(3)?;
        if name == *space {
            stats.space_memories = memories;
        }
        if row.get(4)? {
            stats.spaces.push(name);
        }
    }
    // What waits is hidden as the forgotten are, and counted with them.
    stats.forgotten = stats.forgotten.saturating_sub(stats.quarantined);
    stats.spaces.sort();
    Ok(stats)
}

/// Reads one page of the file at least, which is all a health check needs to know.
pub(crate) fn probe(connection: &Connection) -> Result<(), Fault> {
    active_model(connection).map(drop)
}
