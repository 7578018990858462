//! What memories were before their changes.

use crate::fault::Fault;
use rusqlite::{Transaction, params};
use venom_core::{Cause, ClientName, Replaced, TokenName};

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
         SELECT seq, 1 + (SELECT coalesce(max(version), 0) FROM versions WHERE memory = ?1), ?2, ?3, ?4, ?5, space, stored_at_us,
             CASE WHEN ?6 THEN content END,
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
