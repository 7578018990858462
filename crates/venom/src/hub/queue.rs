//! A bounded queue with worker threads between the event loop and the use cases.
//!
//! Inference takes milliseconds of pure CPU and a commit waits for the disk; neither may block the
//! event loop. Work waits in two lanes. `Quick` (searches, look-ups) goes before `Bulk` (stores), and
//! one extra worker takes quick work only, so a search never waits behind a burst of long stores. Each
//! lane has its own limit, so it is not refused for them either. Over the limit a caller is told to try
//! again, at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A piece of work; it delivers its own result.
type Job = Box<dyn FnOnce() + Send>;

/// Which lane work waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Someone waits for it: before bulk work.
    Quick,
    /// It may take long.
    Bulk,
}

#[derive(Default)]
struct Waiting {
    quick: VecDeque<Job>,
    bulk: VecDeque<Job>,
    closed: bool,
}

impl Waiting {
    fn take(&mut self, quick_only: bool) -> Option<Job> {
        let quick = self.quick.pop_front();
        if quick.is_some() || quick_only {
            quick
        } else {
            self.bulk.pop_front()
        }
    }
}

struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    /// Jobs never run under the lock, so a poisoned lock still guards a sound queue.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue was full, or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many calls wait in the lane as may wait.
    Full,
    /// The process is stopping.
    Closed,
}

/// The queue and its workers.
pub(super) struct Queue {
    shared: Arc<Shared>,
    /// Jobs that may wait in each lane.
    jobs_max: usize,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Queue {
    /// Starts `workers` threads for all work and one for quick work.
    pub(super) fn start(workers: usize, jobs_max: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting::default()),
            changed: Condvar::new(),
        });
        let mut handles = Vec::with_capacity(workers + 1);
        for index in 0..=workers {
            let shared = shared.clone();
            let quick_only = index == workers;
            let name = format!("venom-worker-{index}");
            let thread = std::thread::Builder::new().name(name);
            handles.push(thread.spawn(move || work(&shared, quick_only))?);
        }
        Ok(Self {
            shared,
            jobs_max,
            workers: Mutex::new(handles),
        })
    }

    /// Queues work. O(1), never blocks for longer than another `submit`.
    pub(super) fn submit(
        &self,
        lane: Lane,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refused> {
        let mut waiting = self.shared.lock();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        let jobs = match lane {
            Lane::Quick => &mut waiting.quick,
            Lane::Bulk => &mut waiting.bulk,
        };
        if jobs.len() >= self.jobs_max {
            return Err(Refused::Full);
        }
        jobs.push_back(Box::new(job));
        drop(waiting);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Takes no more work, finishes what waits, and ends the workers. Blocks until they are done.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        let workers =
            std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in workers {
            // A worker cannot panic: jobs are caught in `work`.
            let _ = worker.join();
        }
    }
}

impl Drop for Queue {
    /// Ends the workers without waiting for them: a queue that was not closed belongs to an engine that
    /// never came to be.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

fn work(shared: &Shared, quick_only: bool) {
    loop {
        let mut waiting = shared.lock();
        let job = loop {
            if let Some(job) = waiting.take(quick_only) {
                break job;
            }
            if waiting.closed {
                return;
            }
            waiting = shared
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(waiting);
        // A call that panics costs that call: its result channel closes and the caller is told.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a call panicked; this is a bug in Venom, the server goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Blocks every general worker until the sender is dropped; returns once they are all busy.
    fn block_workers(queue: &Queue, workers: usize) -> mpsc::Sender<()> {
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (busy, all_busy) = mpsc::channel();
        for _ in 0..workers {
            let (gate, busy) = (gate.clone(), busy.clone());
            queue
                .submit(Lane::Bulk, move || {
                    busy.send(()).unwrap();
                    let _ = gate.lock().unwrap().recv();
                })
                .unwrap();
        }
        for _ in 0..workers {
            all_busy.recv().unwrap();
        }
        release
    }

    #[test]
    fn quick_work_passes_blocked_bulk_work_and_a_full_lane_of_it() {
        let queue = Queue::start(2, 2).unwrap();
        let release = block_workers(&queue, 2);
        for _ in 0..2 {
            queue.submit(Lane::Bulk, || ()).unwrap();
        }
        assert_eq!(queue.submit(Lane::Bulk, || ()), Err(Refused::Full));
        let (done, answer) = mpsc::channel();
        queue
            .submit(Lane::Quick, move || done.send(7).unwrap())
            .unwrap();
        assert_eq!(answer.recv().unwrap(), 7);
        drop(release);
        queue.close();
    }

    #[test]
    fn over_the_limit_work_is_refused_and_what_waits_is_finished() {
        let queue = Queue::start(1, 3).unwrap();
        let release = block_workers(&queue, 1);
        let (done, answers) = mpsc::channel();
        for index in 0..3 {
            let done = done.clone();
            queue
                .submit(Lane::Bulk, move || done.send(index).unwrap())
                .unwrap();
        }
        assert_eq!(queue.submit(Lane::Bulk, || ()), Err(Refused::Full));
        drop(release);
        queue.close();
        assert_eq!(answers.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(queue.submit(Lane::Bulk, || ()), Err(Refused::Closed));
    }

    #[test]
    fn a_panic_costs_one_job() {
        let queue = Queue::start(1, 10).unwrap();
        queue
            .submit(Lane::Bulk, || panic!("deliberate, for the test"))
            .unwrap();
        let (done, answer) = mpsc::channel();
        queue
            .submit(Lane::Bulk, move || done.send(()).unwrap())
            .unwrap();
        answer.recv().unwrap();
        queue.close();
    }
}
