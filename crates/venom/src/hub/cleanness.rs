//! Whether the files have bytes of erased memories: told in the log, and awaited by whoever erases.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use venom_core::Erasures;
use venom_store::{Cleanness, SqliteStore};

/// Whoever erases waits so long at most until the files are clean; then that goes on without them.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// How the files are. Cheap to clone; keeps no store open.
pub(super) type Watch = watch::Receiver<Cleanness>;

/// Has the log told when erased memories cannot be removed from the files, and when that is over.
pub(super) fn watch(store: &SqliteStore) -> Watch {
    let (tell, watch) = watch::channel(Cleanness::Clean);
    let has_failed = AtomicBool::new(false);
    store.watch_cleanness(move |now| {
        match now {
            Cleanness::Failed(reason) => {
                if !has_failed.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "bytes of erased memories cannot be removed from the files yet, that is tried again every \
                         30 s: {reason}"
                    );
                }
            }
            Cleanness::Clean => {
                if has_failed.swap(false, Ordering::Relaxed) {
                    tracing::info!("bytes of erased memories were removed from the files");
                }
            }
            Cleanness::UnderWay => {}
        }
        tell.send_replace(now.clone());
    });
    watch
}

/// What came of erasing once the files are clean, cannot be cleaned, or that takes too long; at once when Venom ends.
/// Holds no worker meanwhile.
pub(super) async fn settled(
    erasures: Erasures,
    mut watch: Watch,
    ends: &CancellationToken,
) -> Erasures {
    if !erasures.is_under_way {
        return erasures;
    }
    let settled = async {
        let now = watch.wait_for(|now| *now != Cleanness::UnderWay).await;
        now.map_or(Cleanness::UnderWay, |now| now.clone())
    };
    let now = tokio::select! {
        now = settled => now,
        () = tokio::time::sleep(WAIT_MAX) => Cleanness::UnderWay,
        () = ends.cancelled() => Cleanness::UnderWay,
    };
    Erasures {
        is_under_way: now != Cleanness::Clean,
        stuck: match now {
            Cleanness::Failed(reason) => Some(reason),
            Cleanness::Clean | Cleanness::UnderWay => None,
        },
        ..erasures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasures(is_under_way: bool) -> Erasures {
        Erasures {
            each: Vec::new(),
            is_under_way,
            stuck: None,
            backups: Vec::new(),
        }
    }

    /// What is answered when the files become so, with the time that stands still but for those who wait.
    async fn answer(becomes: Option<Cleanness>, ends: bool) -> (bool, Option<String>, Duration) {
        let (tell, watch) = watch::channel(Cleanness::UnderWay);
        let token = CancellationToken::new();
        let began = tokio::time::Instant::now();
        let waits = settled(erasures(true), watch, &token);
        let happens = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if let Some(now) = becomes {
                tell.send_replace(now);
            }
            if ends {
                token.cancel();
            }
        };
        let (answer, ()) = tokio::join!(waits, happens);
        (answer.is_under_way, answer.stuck, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_erases_waits_for_clean_files_but_not_for_ever() {
        let seconds = Duration::from_secs;
        let failed = Cleanness::Failed("no room".to_owned());
        for (becomes, ends, expected) in [
            (Some(Cleanness::Clean), false, (false, None, seconds(5))),
            (
                Some(failed),
                false,
                (true, Some("no room".to_owned()), seconds(5)),
            ),
            (None, true, (true, None, seconds(5))),
            (None, false, (true, None, WAIT_MAX)),
        ] {
            let found = answer(becomes.clone(), ends).await;
            assert_eq!(found, expected, "{becomes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_clean_files_or_a_store_that_is_closed() {
        let token = CancellationToken::new();
        let (tell, watch) = watch::channel(Cleanness::UnderWay);
        let began = tokio::time::Instant::now();
        let clean = settled(erasures(false), watch.clone(), &token).await;
        assert!(!clean.is_under_way);
        drop(tell);
        let closed = settled(erasures(true), watch, &token).await;
        assert!(closed.is_under_way);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
