//! Embedding every memory again, with another model.
//!
//! The new vectors are written beside the old ones, batch by batch, each batch committed; only when
//! every memory has one, one transaction switches the model and removes the old vectors. Killed at any
//! moment, the store still answers with the old model, and the next run goes on where this one was.

use crate::fault::{Doing, Fault};
use crate::lease::Lease;
use crate::store::commit;
use crate::{open, read, write};
use rusqlite::Connection;
use std::path::Path;
use venom_core::{Embedder, Error, StoreError};

/// Memories embedded and committed at a time.
const BATCH_MEMORIES: i64 = 64;

/// Embeds all memories in the folder of `lease`, forgotten ones too, with `embedder`. `progress` is
/// told (memories done, all memories) at the start and after each batch. Returns how many were embedded
/// by this run: 0 if the model is the store's already, fewer than all if an earlier run was cut short.
///
/// # Errors
/// [`Error::Embed`] if the model fails, [`Error::Store`] if the store does, or cannot be opened; then
/// what was embedded so far is kept for the next run, and the former model stays in use.
pub fn reembed(
    lease: &Lease,
    embedder: &dyn Embedder,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, Error> {
    let folder = lease.folder();
    let mut database = open::open(&lease.share(), folder)?;
    let connection = &mut database.connection;
    let stored = |fault: Fault| Error::Store(fault.into_store(folder, Doing::Writing));
    if let Some((_, active)) = read::active_model(connection).map_err(stored)?
        && active == *embedder.model()
    {
        return Ok(0);
    }
    let model = commit(connection, |tx| write::model_row(tx, embedder.model())).map_err(stored)?;
    let (mut done, total) = count(connection, model).map_err(stored)?;
    let before = done;
    progress(done, total);
    let mut after = 0;
    loop {
        let batch = missing(connection, model, after).map_err(stored)?;
        let Some((last, _)) = batch.last() else { break };
        after = *last;
        embed_batch(connection, (folder, model), embedder, &batch)?;
        done += u64::try_from(batch.len()).unwrap_or(0);
        progress(done, total);
    }
    commit(connection, |tx| write::switch_model(tx, model)).map_err(stored)?;
    Ok(done - before)
}

fn embed_batch(
    connection: &mut Connection,
    (folder, model): (&Path, i64),
    embedder: &dyn Embedder,
    batch: &[(i64, String)],
) -> Result<(), Error> {
    let texts: Vec<&str> = batch.iter().map(|(_, text)| text.as_str()).collect();
    let passages = embedder.embed_passages(&texts)?;
    let whole = passages.len() == batch.len() && passages.iter().all(|p| !p.is_empty());
    let expected = embedder.model().dimensions;
    let mut vectors = passages.iter().flatten().map(|p| p.embedding.dimensions());
    if !whole || vectors.any(|dimensions| dimensions != expected) {
        let error = "the embedder returned other passages than it was asked for";
        return Err(StoreError::Other(error.to_owned()).into());
    }
    let written = commit(connection, |tx| {
        for ((seq, _), passages) in batch.iter().zip(&passages) {
            write::insert_passages(tx, model, *seq, passages)?;
        }
        Ok(())
    });
    written.map_err(|fault| fault.into_store(folder, Doing::Writing).into())
}

/// Memories that have vectors of `model`, and all memories.
fn count(connection: &Connection, model: i64) -> Result<(u64, u64), Fault> {
    let sql = "SELECT (SELECT count(DISTINCT memory) FROM passages WHERE model = ?1),
                      (SELECT count(*) FROM memories)";
    Ok(connection.query_row(sql, [model], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// The next memories without vectors of `model`: rows and texts, in the order of rows.
fn missing(connection: &Connection, model: i64, after: i64) -> Result<Vec<(i64, String)>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT m.seq, m.content FROM memories AS m
         WHERE m.seq > ?2 AND NOT EXISTS
             (SELECT 1 FROM passages AS p WHERE p.model = ?1 AND p.memory = m.seq)
         ORDER BY m.seq LIMIT ?3",
    )?;
    let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found = statement.query_map([model, after, BATCH_MEMORIES], columns)?;
    Ok(found.collect::<Result<_, _>>()?)
}
