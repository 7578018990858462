//! The predecessor's ChromaDB in the data folder: its memories come in before the first call is answered.
//!
//! Nothing is written into its files. What came is recognised when it comes again, so that a start that was cut short
//! goes on where it was; a database that was read whole is read again only when its files changed.

use crate::config::Config;
use crate::failure::Failure;
use crate::imports::{Batches, Progress, Tally};
use venom_core::use_cases::Venom;
use venom_core::{ORIGINAL_ID, SecretPolicy, TakenOver, counted, visible, without_secrets};
use venom_import::{CHROMA_FILE, Kind, Options, Unusable, Watch, chroma_state};
use venom_store::SqliteStore;

/// Records whose reasons are told in the log.
const REASONS_MAX: usize = 20;

/// Imports what is there, unless that was done before or is not wanted.
///
/// # Errors
/// [`Failure`] if the database is there and cannot be read, or the memories cannot be stored.
pub(super) fn take_over(
    config: &Config,
    store: &SqliteStore,
    venom: &Venom,
) -> Result<(), Failure> {
    // What a start left that was killed, whether there is anything to take over or not.
    venom_import::remove_left(&config.data);
    let file = config.data.join(CHROMA_FILE);
    if !config.import_predecessor || std::fs::symlink_metadata(&file).is_err() {
        return Ok(());
    }
    if !file.is_file() {
        let shown = file.display();
        tracing::warn!(
            "nothing was taken over: expected {shown} to be a database of the predecessor, found no file there, or a \
             link that leads to none"
        );
        return Ok(());
    }
    // Each collection is a source of its own: of another one nothing has come yet.
    let source = format!("{CHROMA_FILE}, collection {}", config.space.as_str());
    let state = chroma_state(&file).map_err(unusable)?;
    if store.source_state(&source)?.as_deref() == Some(&state) {
        return Ok(());
    }
    let options = Options {
        space: config.space.clone(),
        other_collections: false,
        conversations: false,
        scratch: config.data.clone(),
        watch: Watch::default(),
    };
    let records = venom_import::open(&file, Some(Kind::Chroma), &options).map_err(unusable)?;
    let space = config.space.as_str();
    tracing::info!(
        "taking over the memories of the predecessor, collection {space:?} of {CHROMA_FILE}"
    );
    let mut progress = Progress::new(records.total, &options.watch);
    let mut tally = Tally::default();
    for batch in Batches::new(records.found) {
        let batch = batch.map_err(unusable)?;
        tally.read(&batch);
        // They were kept before: none is lost to a rule that is newer.
        let answers = venom.import(batch.new, Some(SecretPolicy::Keep))?;
        tally.came(&batch.places, &answers);
        if let Some(line) = progress.line(tally.records()) {
            tracing::info!("{line}");
        }
    }
    warn(&tally, &options.watch);
    let came = TakenOver {
        memories: tally.stored,
        skipped: tally.skipped,
    };
    store.note_source(&source, &state, came)?;
    let (stored, known, skipped) = (counted::memories(tally.stored), tally.known, tally.skipped);
    tracing::info!(
        "took over {stored} of the predecessor in {:.1} s ({known} were here already, {skipped} were left \
         out); its files are as they were",
        progress.seconds()
    );
    Ok(())
}

/// The sentence that ends a start.
fn unusable(Unusable(why): Unusable) -> Failure {
    Failure::not_ready(format!(
        "the memories of the predecessor cannot be taken over: {}; to start without them, set \
         VENOM_IMPORT_PREDECESSOR=no",
        without_secrets(&why)
    ))
}

/// Tells what did not come as it was.
fn warn(tally: &Tally, watch: &Watch) {
    for skipped in tally.reasons.iter().take(REASONS_MAX) {
        let skipped = visible::line(skipped);
        tracing::warn!("a record of {CHROMA_FILE} was left out: {skipped}");
    }
    for note in watch.take_notes() {
        tracing::warn!("of {CHROMA_FILE}: {}", visible::line(&note));
    }
    let ids = tally.new_ids();
    if !ids.is_empty() {
        let ids = ids.join(", ");
        tracing::warn!(
            "new ids, since other memories have theirs, which are kept in the metadata as {ORIGINAL_ID}: {ids}"
        );
    }
}
