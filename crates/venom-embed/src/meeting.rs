//! Where the threads of a pass wait for each other.
//!
//! A barrier that can be called off: when one of the threads dies or cannot be started, the others are
//! told, where those of the standard library would wait forever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A meeting that takes place again and again.
pub(crate) struct Meeting {
    members: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    arrived: usize,
    /// Meetings that took place.
    held: usize,
    called_off: bool,
}

/// Calls the meeting off if its holder panics.
pub(crate) struct Seat<'a>(&'a Meeting);

impl Meeting {
    pub(crate) fn of(members: usize) -> Self {
        Self {
            members,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Held by each member while it takes part.
    pub(crate) fn seat(&self) -> Seat<'_> {
        Seat(self)
    }

    /// Waits until all members are here. `false` if the meeting was called off.
    pub(crate) fn wait(&self) -> bool {
        if self.members == 1 {
            return true;
        }
        let mut state = self.lock();
        state.arrived += 1;
        if state.arrived == self.members {
            state.arrived = 0;
            state.held += 1;
            self.changed.notify_all();
            return !state.called_off;
        }
        let held = state.held;
        while state.held == held && !state.called_off {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !state.called_off
    }

    /// There will be no more meetings.
    pub(crate) fn call_off(&self) {
        self.lock().called_off = true;
        self.changed.notify_all();
    }

    /// No member panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.call_off();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn nobody_goes_on_before_all_are_there() {
        let (meeting, arrived) = (Meeting::of(4), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 1..=100 {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        assert!(meeting.wait());
                        assert!(arrived.load(Ordering::SeqCst) >= 4 * round);
                        assert!(meeting.wait());
                    }
                });
            }
        });
    }

    #[test]
    fn a_member_that_dies_frees_the_others() {
        let meeting = Meeting::of(2);
        thread::scope(|scope| {
            let dying = scope.spawn(|| {
                let _seat = meeting.seat();
                panic!("deliberate, for the test");
            });
            assert!(!meeting.wait());
            assert!(dying.join().is_err());
        });
        assert!(!meeting.wait());
    }
}
