//! Whether the files have bytes of erased memories: told in the log, and awaited by whoever erases.

use std::sync::atomic::{AtomicBool, Ordering};
use venom_store::{Cleanness, SqliteStore};

/// Has the log told when erased memories cannot be removed from the files, and when that is over.
pub(super) fn watch(store: &SqliteStore) {
    let has_failed = AtomicBool::new(false);
    store.watch_cleanness(move |now| match now {
        Cleanness::Failed(reason) => {
            if !has_failed.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    "bytes of erased memories cannot be removed from the files yet, that is tried again every 30 s: \
                     {reason}"
                );
            }
        }
        Cleanness::Clean => {
            if has_failed.swap(false, Ordering::Relaxed) {
                tracing::info!("bytes of erased memories were removed from the files");
            }
        }
        Cleanness::UnderWay => {}
    });
}
