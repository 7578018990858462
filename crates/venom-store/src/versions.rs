//! What memories were before their changes.

use crate::fault::Fault;
use crate::rows::Quarantine;
use crate::write::{self, Kind};
use crate::{read, rows};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use venom_core::limits::{VERSIONS_BYTES_MAX, VERSIONS_MAX};
use venom_core::ports::VersionRestore;
use venom_core::{
    Cause, ClientName, Content, History, Memory, MemoryId, Replaced, SpaceName, Tags, Timestamp,
    TokenName, Version,
};

/// The column of a cause.
const fn cause_column(cause: Cause) -> i64 {
    match cause {
        Cause::Updated => 1,
        Cause::StoredAgain => 2,
        Cause::Restored => 3,
        Cause::Moved => 4,
    }
}

/// Keeps what the memory in a row is now, before a change of it. The text is kept only where the change gives it
/// another: else that of the next version is this one's, too.
pub(crate) fn keep_version(
    tx: &Transaction<'_>,
    seq: i64,
    change: &Replaced,
    gets_another_text: bool,
) -> Result<(), Fault> {
    tx.prepare_cached(
        "INSERT INTO versions (memory, version, replaced_at_us, cause, client, token, space, stored_at_us, content,
             tags, speaker, session, occurred_at_us)
         SELECT seq, 1 + (SELECT coalesce(max(version), 0) FROM versions WHERE memory = ?1), ?2, ?3, ?4, ?5, space,
             stored_at_us, CASE WHEN ?6 THEN content END,
             (SELECT json_group_array(tag ORDER BY position) FROM tags WHERE memory = ?1),
             speaker, session, occurred_at_us
         FROM memories WHERE seq = ?1",
    )?
    .execute(params![
        seq,
        change.at.as_micros(),
        cause_column(change.cause),
        change.by.client.as_ref().map(ClientName::as_str),
        change.by.token.as_ref().map(TokenName::as_str),
        gets_another_text,
    ])?;
    Ok(())
}

/// What a memory was and is; `None` if there is none. O(versions that are told + their texts).
pub(crate) fn history(connection: &Connection, id: MemoryId) -> Result<Option<History>, Fault> {
    let sql = "SELECT seq, forgotten_at_us FROM memories WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([rows::id_column(id)], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
    });
    let Some((seq, hidden_at)) = found.optional()? else {
        return Ok(None);
    };
    let memory = read::memory_in_row(connection, seq)?;
    let (source, quarantined) = (memory.source.clone(), memory.quarantined);
    let (versions, older) = versions(connection, seq, memory)?;
    Ok(Some(History {
        id,
        source,
        hidden_at: hidden_at.map(Timestamp::from_micros),
        quarantined,
        versions,
        older,
    }))
}

/// One version of a memory; `None` if there is none. O(versions since then + its text).
pub(crate) fn version(
    connection: &Connection,
    id: MemoryId,
    number: u32,
) -> Result<Option<Version>, Fault> {
    let sql = "SELECT seq FROM memories WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let seq = statement.query_row([rows::id_column(id)], |row| row.get(0));
    let Some(seq) = seq.optional()? else {
        return Ok(None);
    };
    version_in_row(connection, seq, number)
}

/// One version of the memory in a row, as [`version`].
fn version_in_row(
    connection: &Connection,
    seq: i64,
    number: u32,
) -> Result<Option<Version>, Fault> {
    let memory = read::memory_in_row(connection, seq)?;
    let sql = "SELECT coalesce(max(version), 0) FROM versions WHERE memory = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let former: u32 = statement.query_row([seq], |row| row.get(0))?;
    if number.checked_sub(1) == Some(former) {
        return Ok(Some(present(memory, number)));
    }
    // Its own text, or that of the next one that has any.
    let text = "(SELECT n.content FROM versions AS n WHERE n.memory = ?1 AND n.version >= ?2 AND n.content IS NOT NULL
                 ORDER BY n.version LIMIT 1)";
    let sql = select_former(text) + " AND v.version = ?2";
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![seq, number])?;
    let found = found.next()?;
    found
        .map(|row| former_version(connection, seq, row, &memory.content))
        .transpose()
}

/// What a memory is now.
fn present(memory: Memory, number: u32) -> Version {
    Version {
        number,
        space: memory.space,
        content: memory.content,
        tags: memory.tags,
        stored_at: memory.stored_at,
        origin: memory.origin,
        replaced: None,
    }
}

/// The statement that [`former_version`] reads the rows of, for the former versions of a memory, with this text.
fn select_former(text: &str) -> String {
    format!(
        "SELECT v.version, v.cause, v.replaced_at_us, v.client, v.token, s.name, v.stored_at_us, {text},
             v.speaker, v.session, v.occurred_at_us
         FROM versions AS v JOIN spaces AS s USING (space) WHERE v.memory = ?1"
    )
}

/// The newest versions of the memory in a row, oldest first, and what it is now; how many older ones there are.
fn versions(
    connection: &Connection,
    seq: i64,
    memory: Memory,
) -> Result<(Vec<Version>, u32), Fault> {
    let sql = select_former("v.content") + " ORDER BY v.version DESC";
    let mut statement = connection.prepare_cached(&sql)?;
    let mut former = statement.query([seq])?;
    let mut bytes = memory.content.as_str().len();
    let (mut newer, mut older) = (present(memory, 0), 0);
    let mut versions = Vec::new();
    while let Some(row) = former.next()? {
        let version = former_version(connection, seq, row, &newer.content)?;
        versions.push(std::mem::replace(&mut newer, version));
        bytes += newer.content.as_str().len();
        if versions.len() == VERSIONS_MAX || bytes > VERSIONS_BYTES_MAX {
            older = newer.number;
            break;
        }
    }
    if older == 0 {
        versions.push(newer);
    }
    versions.reverse();
    for (number, version) in (older + 1..).zip(&mut versions) {
        // Written without gaps, so that the place is the number.
        if version.replaced.is_some() && version.number != number {
            return Err(Fault::corrupt(format!(
                "memory row {seq} has no version {number}"
            )));
        }
        version.number = number;
    }
    Ok((versions, older))
}

/// A former version; a text that it has not is that of the next one.
fn former_version(
    connection: &Connection,
    seq: i64,
    row: &Row<'_>,
    next_text: &Content,
) -> Result<Version, Fault> {
    let number: u32 = row.get(0)?;
    let broken = |what: &str| {
        Fault::corrupt(format!(
            "the {what} of version {number} of memory row {seq} is not valid"
        ))
    };
    let cause: i64 = row.get(1)?;
    let cause = Cause::ALL
        .into_iter()
        .find(|known| cause_column(*known) == cause);
    let space: String = row.get(5)?;
    let content = match row.get::<_, Option<String>>(7)? {
        Some(text) => Content::parse(&text).map_err(|_| broken("text"))?,
        None => next_text.clone(),
    };
    let sql = "SELECT t.value FROM versions AS v, json_each(v.tags) AS t
               WHERE v.memory = ?1 AND v.version = ?2 ORDER BY t.key";
    let mut statement = connection.prepare_cached(sql)?;
    let tags = statement.query_map(params![seq, number], |row| row.get::<_, String>(0))?;
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    Ok(Version {
        number,
        space: SpaceName::parse(&space).map_err(|_| broken("space"))?,
        content,
        tags: Tags::parse(&tags).map_err(|_| broken("tags"))?,
        stored_at: Timestamp::from_micros(row.get(6)?),
        origin: rows::origin(row, seq, 8)?,
        replaced: Some(Replaced {
            at: Timestamp::from_micros(row.get(2)?),
            cause: cause.ok_or_else(|| broken("cause"))?,
            by: rows::source(row, seq, 3)?,
        }),
    })
}

/// What bringing a version back did.
pub(crate) struct VersionRestored {
    pub(crate) seq: i64,
    /// As it is now; `None` if it was forgotten after an earlier call with the same key.
    pub(crate) memory: Option<Memory>,
    /// Whether anything was changed now.
    pub(crate) is_new: bool,
}

/// Gives a memory the text, tags and origin of a former version, and shows it; `None` where there is no such version,
/// or it is not to be shown.
pub(crate) fn restore(
    tx: &Transaction<'_>,
    model: i64,
    restore: &VersionRestore,
) -> Result<Option<VersionRestored>, Fault> {
    let row = write::find(tx, restore.id)?;
    let row = row.filter(|row| !row.quarantine.is_some_and(Quarantine::hides));
    let Some(row) = row else {
        return Ok(None);
    };
    let Some(version) = version_in_row(tx, row.seq, restore.version)? else {
        return Ok(None);
    };
    let (seq, old) = (row.seq, read::memory_in_row(tx, row.seq)?);
    if write::was_applied(tx, restore.request, Kind::Restore, seq)? {
        return Ok(Some(VersionRestored {
            seq,
            memory: (!row.forgotten).then_some(old),
            is_new: false,
        }));
    }
    if row.forgotten {
        write::show(tx, model, seq)?;
    }
    let memory = if version.replaced.is_some() {
        let gets_another_text = version.content != old.content;
        let change = Replaced {
            at: restore.stored_at,
            cause: Cause::Restored,
            by: restore.source.clone(),
        };
        keep_version(tx, seq, &change, gets_another_text)?;
        let memory = Memory {
            content: version.content,
            tags: version.tags,
            origin: version.origin,
            stored_at: restore.stored_at,
            ..old
        };
        write::rewrite(tx, seq, &memory)?;
        if gets_another_text {
            write::replace_passages(tx, model, seq, &restore.passages)?;
        }
        memory
    } else {
        old
    };
    write::applied(tx, restore.request, Kind::Restore, seq, write::now_us())?;
    Ok(Some(VersionRestored {
        seq,
        memory: Some(memory),
        is_new: true,
    }))
}
