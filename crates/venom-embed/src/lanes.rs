//! Keeps a forward pass on one core.
//!
//! The matrix products of candle spread over the rayon pool of the thread that they are called on, by
//! default one for the whole process with a thread per core. For one text that is slower than a
//! single core, and calls at the same time get in each other's way. A pool of one thread runs them in
//! sequence; each call in progress has a pool for itself.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, PoisonError};
use venom_core::EmbedError;

/// One-thread pools that no call uses at the moment. There are as many in all as there were calls at
/// the same time, at the most.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<Vec<ThreadPool>>);

impl Lanes {
    /// Runs `work` on a thread of its own and waits for it.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, EmbedError> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let lane = match idle {
            Some(lane) => lane,
            None => ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(|_| "venom-embed".to_owned())
                .build()
                .map_err(|error| EmbedError::Inference(format!("no thread: {error}")))?,
        };
        let result = lane.install(work);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(lane);
        Ok(result)
    }
}
