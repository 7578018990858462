//! The access file of the data folder, opened when it is first needed, and the audit log's writer.
//!
//! Events of sign-in are written with what they tell of, in one transaction. Those of memories are many
//! and their store is another file, so a thread writes them behind the answer, those of a second together:
//! a transaction waits for the disk several times, and whoever shows a token waits for it.

use crate::asked::SystemClock;
use crate::caller::Caller;
use crate::failure::Failure;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use venom_access::{Access, AccessError, Event, NewAuditEntry};
use venom_core::ErrorKind;
use venom_core::ports::Clock as _;
use venom_store::{Lease, LeaseError};

/// Lines of the audit log that may wait to be written.
const LINES_WAITING_MAX: usize = 10_000;
/// Lines written in one transaction.
const BATCH_LINES_MAX: usize = 1_000;
/// How long the first line of a batch waits for others. As much of the log a power cut may take.
const BATCH_TIME_MAX: Duration = Duration::from_secs(1);

/// The access file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AccessFile(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    opened: OnceLock<Arc<Access>>,
    opening: Mutex<()>,
    writer: Mutex<Option<Writer>>,
}

struct Writer {
    lines: SyncSender<NewAuditEntry>,
    thread: JoinHandle<()>,
}

impl AccessFile {
    /// The access file of a data folder. Opens nothing yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(Arc::new(Inner {
            folder,
            opened: OnceLock::new(),
            opening: Mutex::new(()),
            writer: Mutex::new(None),
        }))
    }

    /// Opens it, unless it is open. Blocks.
    ///
    /// # Errors
    /// [`Failure`] that names the file.
    pub(crate) fn open(&self) -> Result<Arc<Access>, Failure> {
        let _one_at_a_time = self
            .0
            .opening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(access) = self.0.opened.get() {
            return Ok(access.clone());
        }
        self.finish_restore()?;
        let access = Arc::new(Access::open(&self.0.folder)?);
        Ok(self.0.opened.get_or_init(|| access).clone())
    }

    /// A restore that was cut short is finished before the file is opened that it replaces.
    fn finish_restore(&self) -> Result<(), Failure> {
        let folder = &self.0.folder;
        if !venom_store::restore::is_pending(folder) {
            return Ok(());
        }
        match Lease::try_acquire(folder) {
            Ok(_) => Ok(()),
            Err(LeaseError::Store(error)) => Err(error.into()),
            // Whoever has the lease has finished it, or is doing so now.
            Err(LeaseError::Busy(_)) if !venom_store::restore::is_pending(folder) => Ok(()),
            Err(LeaseError::Busy(_)) => Err(Failure::not_ready(format!(
                "{} is being restored from a backup now: try again in a moment",
                folder.display()
            ))),
        }
    }

    /// Does something with it on a thread that may wait.
    ///
    /// # Errors
    /// Those of `what`, and [`Failure`] if the file cannot be opened.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Access) -> Result<T, AccessError> + Send + 'static,
    ) -> Result<T, Failure> {
        let file = self.clone();
        let asked = tokio::task::spawn_blocking(move || Ok(what(&*file.open()?)?));
        asked.await.unwrap_or_else(|error| {
            Err(Failure::internal(format!(
                "the access file could not be asked: {error}"
            )))
        })
    }

    /// Tells the audit log what a caller did to a memory. Returns at once.
    pub(crate) fn note(&self, event: Event, caller: &Caller, subject: String) {
        let line = NewAuditEntry {
            at: SystemClock.now(),
            event,
            who: caller.name(),
            source: caller.source.clone(),
            subject,
        };
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            *writer = self.start_writer();
        }
        let Some(writer) = writer.as_ref() else {
            return;
        };
        match writer.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                tracing::error!("the audit log cannot keep up: a line was lost");
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the audit log's writer has ended: a line was lost");
            }
        }
    }

    fn start_writer(&self) -> Option<Writer> {
        let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
        let file = self.clone();
        let thread = std::thread::Builder::new().name("venom-audit".to_owned());
        // It ends with its channel: `close` takes the sender away.
        match thread.spawn(move || write(&file, &waiting)) {
            Ok(thread) => Some(Writer { lines, thread }),
            Err(error) => {
                tracing::error!(
                    "the audit log's writer cannot be started, so a line was lost: {error}"
                );
                None
            }
        }
    }

    /// Writes what waits and ends the writer. Blocks for a transaction at most.
    pub(crate) fn close(&self) {
        let writer = self
            .0
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Writer { lines, thread }) = writer {
            drop(lines);
            // It does not panic; and if it did, there would be nothing left to write.
            let _ = thread.join();
        }
    }
}

/// Writes lines until nobody sends any more.
fn write(file: &AccessFile, waiting: &Receiver<NewAuditEntry>) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        let until = Instant::now() + BATCH_TIME_MAX;
        while batch.len() < BATCH_LINES_MAX {
            // At the end of the channel there is nothing to wait for.
            match waiting.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => batch.push(line),
                Err(_) => break,
            }
        }
        let written = file.open().and_then(|access| Ok(access.audit_all(&batch)?));
        if let Err(failure) = written {
            tracing::error!(
                "{} lines of the audit log were lost: {failure}",
                batch.len()
            );
        }
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        let kind = match error {
            AccessError::Invalid(_) => ErrorKind::InvalidInput,
            AccessError::NotFound(_) => ErrorKind::NotFound,
            AccessError::Full(_) => ErrorKind::Overloaded,
            AccessError::Failed(_) => ErrorKind::NotReady,
        };
        Self::new(kind, error.to_string())
    }
}
