//! Erasing what was forgotten long ago: at the start and then every hour, some memories at a time, between the calls
//! of others.

use super::queue::{Lane, Queue};
use crate::access_file::AccessFile;
use crate::caller::Caller;
use crate::config::Config;
use std::sync::{Arc, Weak};
use std::time::Duration;
use venom_access::Event;
use venom_core::counted;
use venom_core::use_cases::Venom;

/// Time between two looks for what is due.
const PAUSE: Duration = Duration::from_hours(1);
/// Memories that are erased in one transaction.
const BATCH: usize = 64;
/// Where these events come from, in the audit log.
const DOOR: &str = "erase-after";

/// What erases in the background.
pub(super) struct Retention {
    file: AccessFile,
}

/// What a look needs.
#[derive(Clone)]
struct Look {
    venom: Weak<Venom>,
    queue: Weak<Queue>,
    file: AccessFile,
    age_us: i64,
}

impl Retention {
    /// Begins with what is due now; `None` if nothing ever is.
    pub(super) fn start(config: &Config, venom: &Arc<Venom>, queue: &Arc<Queue>) -> Option<Self> {
        let look = Look {
            venom: Arc::downgrade(venom),
            queue: Arc::downgrade(queue),
            file: AccessFile::new(config.data.clone()),
            age_us: config.erase_after?.as_micros(),
        };
        let file = look.file.clone();
        look.clone().queue();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                if !look.clone().queue() {
                    return;
                }
            }
        });
        Some(Self { file })
    }

    /// Writes what is left of the audit log. After the queue was closed.
    pub(super) async fn close(&self) {
        let file = self.file.clone();
        let _ = tokio::task::spawn_blocking(move || file.close()).await;
    }
}

impl Look {
    /// Queues a batch behind the calls that wait; `false` once the engine is gone. Where too much waits it is for the
    /// next time.
    fn queue(self) -> bool {
        let Some(queue) = self.queue.upgrade() else {
            return false;
        };
        // Dropped with the job, so that the store is closed when the engine is.
        let Some(venom) = self.venom.upgrade() else {
            return false;
        };
        let _ = queue.submit(Lane::Bulk, move || self.erase(&venom));
        true
    }

    fn erase(self, venom: &Venom) {
        match venom.erase_due(self.age_us, BATCH) {
            Ok(ids) if ids.is_empty() => {}
            Ok(ids) => {
                tracing::info!(
                    "erased {} for good, forgotten long ago",
                    counted::memories(ids.len())
                );
                let caller = Caller::local(DOOR);
                for id in &ids {
                    self.file.note(Event::Erased, &caller, id.to_string());
                }
                if ids.len() == BATCH {
                    self.queue();
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what was forgotten long ago cannot be erased"
                );
            }
        }
    }
}
