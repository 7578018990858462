//! A backup every so often, made by a server that serves HTTP.
//!
//! What counts is the age of the newest backup in the folder, so that a restart neither skips one nor makes one too many.
//! Of several servers with one folder the first that takes its lock makes it; the others find it young.

use super::make::{Made, Task, blocking};
use super::{Passphrase, Prompt, shelf};
use crate::access_file::AccessFile;
use crate::admitted::Admitted;
use crate::asked::SystemClock;
use crate::caller::Caller;
use crate::config::Config;
use crate::failure::Failure;
use crate::hub::Hub;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use venom_core::ports::Clock as _;
use venom_core::{ErrorKind, Timestamp};

/// How often the folder is looked at at least: clocks are set, machines sleep.
const LOOK_TIME_MAX: Duration = Duration::from_hours(1);
/// When a backup that failed is tried again, unless one is due earlier.
const RETRY_AFTER: Duration = Duration::from_mins(10);

/// Whether backups are made as they should be. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule(Arc<AtomicBool>);

impl Schedule {
    /// Whether the last one failed, and none was made since that is young enough, by whomever.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes what came of making one if it was due; how long to wait then.
    fn note(&self, turn: &Result<Turn, Failure>, every: Duration) -> Duration {
        match turn {
            Ok(turn) => {
                self.0.store(false, Ordering::Relaxed);
                turn.wait.min(LOOK_TIME_MAX)
            }
            // Another process is at it.
            Err(failure) if failure.kind == ErrorKind::Overloaded => {
                tracing::info!("{failure}");
                RETRY_AFTER.min(every)
            }
            Err(failure) => {
                self.0.store(true, Ordering::Relaxed);
                tracing::error!("the scheduled backup failed: {failure}");
                RETRY_AFTER.min(every)
            }
        }
    }
}

/// What came of making a backup if it was due.
struct Turn {
    /// Until the next may be due.
    wait: Duration,
    /// The one that was made now.
    made: Option<Made>,
}

/// How long until a backup is due, that is a time after the newest one.
fn due_in(newest: Option<Timestamp>, now: Timestamp, every_us: i64) -> Duration {
    let Some(newest) = newest else {
        return Duration::ZERO;
    };
    let since = now.as_micros().saturating_sub(newest.as_micros());
    Duration::from_micros(u64::try_from(every_us.saturating_sub(since)).unwrap_or(0))
}

/// Makes backups until the server stops, if that is configured.
pub(crate) fn start(
    config: &Arc<Config>,
    hub: &Hub,
    file: &AccessFile,
    stop: &CancellationToken,
) -> Schedule {
    let schedule = Schedule::default();
    let backups = &config.backups;
    if let (Some(every_us), Some(folder)) = (backups.every_us, backups.folder.clone()) {
        let worker = Worker {
            every_us,
            folder,
            config: config.clone(),
            hub: hub.clone(),
            file: file.clone(),
            schedule: schedule.clone(),
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = worker.run() => {}
                () = stop.cancelled() => {}
            }
        });
    }
    schedule
}

struct Worker {
    every_us: i64,
    folder: PathBuf,
    config: Arc<Config>,
    hub: Hub,
    file: AccessFile,
    schedule: Schedule,
}

impl Worker {
    async fn run(&self) {
        let every = Duration::from_micros(self.every_us.unsigned_abs());
        loop {
            let turn = self.next().await;
            let wait = self.schedule.note(&turn, every);
            if let Some(made) = turn.ok().and_then(|turn| turn.made) {
                tell(&made);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes one if it is due; else tells when it is.
    async fn next(&self) -> Result<Turn, Failure> {
        let folder = self.folder.clone();
        let now = SystemClock.now();
        let newest = blocking(move || shelf::newest(&folder, now)).await?;
        let wait = due_in(newest, now, self.every_us);
        if wait > Duration::ZERO {
            tracing::debug!("the next backup is due in {} s", wait.as_secs());
            return Ok(Turn { wait, made: None });
        }
        let passphrase = self.config.backups.passphrase_file.as_ref();
        let passphrase = passphrase.map(|path| Passphrase::in_file(path, Prompt::ToSeal));
        let task = Task {
            shelf: self.folder.clone(),
            data: self.config.data.clone(),
            personas: self.config.persona_folders.clone(),
            named_personas: self.config.named_persona_folder().map(Into::into),
            passphrase: passphrase.transpose()?,
            keep: self.config.backups.keep,
            now,
            older_than_us: Some(self.every_us),
        };
        let caller = Caller::local("schedule");
        let admitted = Admitted::new(&self.hub, &self.file, &caller);
        let made = admitted.back_up(task).await?;
        let wait = Duration::ZERO;
        Ok(Turn { wait, made })
    }
}

fn tell(made: &Made) {
    let path = made.path.display();
    tracing::info!("backed up {} to {path}, verified", made.counted());
    for path in &made.removed {
        tracing::info!("removed the backup {}", path.display());
    }
    for note in &made.notes {
        tracing::warn!("{note}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(newest: Option<i64>, now: i64, every: i64, expected: u64) {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let found = due_in(newest.map(at), at(now), every * 1_000_000);
        assert_eq!(found, Duration::from_secs(expected));
    }

    #[test]
    fn a_failure_counts_until_there_is_a_backup_that_is_young_enough() {
        let (schedule, every) = (Schedule::default(), Duration::from_hours(6));
        let failed = Err(Failure::not_ready("the disk is full"));
        assert_eq!(schedule.note(&failed, every), RETRY_AFTER);
        assert!(schedule.has_failed());
        // Somebody else makes one now, which may fail as well.
        let busy = Err(Failure::new(ErrorKind::Overloaded, "it is locked"));
        assert_eq!(schedule.note(&busy, every), RETRY_AFTER);
        assert!(schedule.has_failed());
        // It is found when it is there.
        let (wait, made) = (every, None);
        let found = Ok(Turn { wait, made });
        assert_eq!(schedule.note(&found, every), LOOK_TIME_MAX);
        assert!(!schedule.has_failed());
    }

    #[test]
    fn a_backup_is_due_a_time_after_the_newest() {
        check(None, 1_000, 60, 0);
        check(Some(1_000), 1_000, 60, 60);
        check(Some(1_000), 1_059, 60, 1);
        check(Some(1_000), 1_060, 60, 0);
        // The server was off for long: one is made, not as many as were missed.
        check(Some(1_000), 900_000, 60, 0);
    }
}
