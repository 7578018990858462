//! How far the cleaning is, why it does not get on, and who is told.

use crate::store::RETRY_AFTER;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use venom_core::StoreError;

/// A cleaning that was wanted so long ago is late: as long as a copy of the database, which it has to wait for, may
/// take.
const LATE_AFTER: Duration = Duration::from_hours(1);

/// Whether the files of a data folder have bytes of erased memories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleanness {
    /// They have none.
    Clean,
    /// They may have some, which are being removed or wait for that.
    UnderWay,
    /// They may have some, as the last try to remove them failed for this reason. There will be another.
    Failed(String),
}

/// Is told of every change; must not call the store.
type Observer = Box<dyn Fn(&Cleanness) + Send + Sync>;

/// How far the cleaning is.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Mutex<State>,
}

struct State {
    /// Goes up with every call that erased something.
    wanted: u64,
    /// What was wanted when the last cleaning that came to its end began.
    done: u64,
    /// Since when something is wanted that is not done.
    since: Option<Instant>,
    /// Why the last cleaning did not come to its end.
    failed: Option<String>,
    /// When it failed, unless it shall be tried again at once.
    put_off: Option<Instant>,
    /// Why a segment that has erased memories could not be made anew.
    unmade: Option<String>,
    told: Cleanness,
    observer: Option<Observer>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("wanted", &self.wanted)
            .field("done", &self.done)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl State {
    fn tell(&mut self, now: Cleanness) {
        if self.told != now {
            self.told = now;
            if let Some(observer) = &self.observer {
                observer(&self.told);
            }
        }
    }

    /// Tells how it is after something ended.
    fn settle(&mut self, has_erased: bool) {
        let is_clean = self.wanted == self.done && !has_erased;
        if is_clean {
            (self.since, self.failed, self.unmade) = (None, None, None);
        }
        let reason = self.failed.as_ref().or(self.unmade.as_ref());
        let now = match reason {
            _ if is_clean => Cleanness::Clean,
            Some(reason) => Cleanness::Failed(reason.clone()),
            None => Cleanness::UnderWay,
        };
        self.tell(now);
    }
}

impl Progress {
    /// Goes on with what was cut short, if that was wanted before.
    pub(crate) fn new(was_wanted: bool) -> Self {
        let told = if was_wanted {
            Cleanness::UnderWay
        } else {
            Cleanness::Clean
        };
        Self {
            state: Mutex::new(State {
                wanted: u64::from(was_wanted),
                done: 0,
                since: was_wanted.then(Instant::now),
                failed: None,
                put_off: None,
                unmade: None,
                told,
                observer: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how it is now, and from then on every change.
    pub(crate) fn watch(&self, observer: Observer) {
        let mut state = self.state();
        observer(&state.told);
        state.observer = Some(observer);
    }

    /// Says that something was erased: after the index knows of it, and before others can write.
    pub(crate) fn want(&self) {
        let mut state = self.state();
        state.wanted += 1;
        state.since.get_or_insert_with(Instant::now);
        state.put_off = None;
        state.tell(Cleanness::UnderWay);
    }

    /// What failed is not put off any longer; `false` if nothing did.
    pub(crate) fn try_again(&self) -> bool {
        let mut state = self.state();
        let has_failed = state.failed.is_some() || state.unmade.is_some();
        if has_failed {
            state.put_off = None;
            state.tell(Cleanness::UnderWay);
        }
        has_failed
    }

    /// Whether there is something to clean and it is not put off.
    pub(crate) fn is_due(&self) -> bool {
        let state = self.state();
        let is_put_off = state.put_off.is_some_and(|at| at.elapsed() < RETRY_AFTER);
        state.wanted > state.done && !is_put_off
    }

    /// How long to wait at most for other work before what failed is tried again.
    pub(crate) fn again_after(&self) -> Option<Duration> {
        let state = self.state();
        (state.failed.is_some() || state.unmade.is_some()).then_some(RETRY_AFTER)
    }

    /// Whether no byte of what was erased is in the files.
    pub(crate) fn is_clean(&self) -> bool {
        self.state().told == Cleanness::Clean
    }

    /// Why the last try failed.
    pub(crate) fn error(&self) -> Option<String> {
        let state = self.state();
        state.failed.clone().or_else(|| state.unmade.clone())
    }

    /// Why bytes that should be gone are not, for people; may name paths. From a failure on until all is clean, and
    /// where it takes too long.
    pub(crate) fn trouble(&self, now: Instant) -> Option<String> {
        let is_late = |since: Instant| now.saturating_duration_since(since) > LATE_AFTER;
        self.error().or_else(|| {
            self.state().since.is_some_and(is_late).then(|| {
                let minutes = LATE_AFTER.as_secs() / 60;
                format!("that has been waiting for more than {minutes} minutes, for a backup or other work")
            })
        })
    }

    /// What is wanted now: a cleaning begins.
    pub(crate) fn wanted(&self) -> u64 {
        self.state().wanted
    }

    /// A cleaning that began when so much was wanted has ended: `false` if it was cut short. `has_erased` tells whether
    /// a segment has erased memories, seen after its end.
    pub(crate) fn cleaned(&self, wanted: u64, outcome: Result<bool, StoreError>, has_erased: bool) {
        let mut state = self.state();
        match outcome {
            Ok(true) => {
                state.done = wanted;
                state.since = Some(Instant::now());
                (state.failed, state.put_off) = (None, None);
            }
            // It goes on when what it waits for is over, or at the next opening.
            Ok(false) => return,
            Err(error) => {
                state.failed = Some(error.to_string());
                state.put_off = Some(Instant::now());
            }
        }
        state.settle(has_erased);
    }

    /// The making of a segment has ended; as with [`Self::cleaned`].
    pub(crate) fn made(&self, error: Option<String>, has_erased: bool) {
        let mut state = self.state();
        match error {
            Some(error) if has_erased => state.unmade = Some(error),
            // That is no matter of cleaning.
            Some(_) => return,
            // What the new one stands for may still lie there.
            None if !has_erased && state.unmade.take().is_some() => state.wanted += 1,
            None => {}
        }
        state.settle(has_erased);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn fails(reason: &str) -> Result<bool, StoreError> {
        Err(StoreError::Folder(reason.to_owned()))
    }

    fn failed(reason: &str) -> Cleanness {
        Cleanness::Failed(reason.to_owned())
    }

    /// What is told, as it comes.
    fn told(progress: &Progress) -> Arc<Mutex<Vec<Cleanness>>> {
        let all = Arc::new(Mutex::new(Vec::new()));
        let kept = all.clone();
        progress.watch(Box::new(move |it| kept.lock().unwrap().push(it.clone())));
        all
    }

    #[test]
    fn a_failure_is_told_once_and_stays_until_all_is_clean() {
        let progress = Progress::new(false);
        let told = told(&progress);
        progress.want();
        for _ in 0..3 {
            progress.cleaned(progress.wanted(), fails("no room"), false);
        }
        assert!(!progress.is_due(), "it is put off");
        assert_eq!(progress.trouble(Instant::now()).unwrap(), "no room");
        // Whoever erases has it tried at once; until that ends the trouble stays.
        progress.want();
        assert!(progress.is_due());
        assert_eq!(progress.trouble(Instant::now()).unwrap(), "no room");
        assert_eq!(progress.again_after(), Some(RETRY_AFTER));
        progress.cleaned(progress.wanted(), Ok(true), false);
        assert_eq!(progress.trouble(Instant::now()), None);
        assert!(progress.is_clean() && !progress.is_due() && progress.again_after().is_none());
        let expected = [
            Cleanness::Clean,
            Cleanness::UnderWay,
            failed("no room"),
            Cleanness::UnderWay,
            Cleanness::Clean,
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[test]
    fn what_is_erased_while_a_cleaning_runs_is_wanted_again() {
        let progress = Progress::new(true);
        let began = progress.wanted();
        progress.want();
        progress.cleaned(began, Ok(true), false);
        assert!(!progress.is_clean() && progress.is_due());
        progress.cleaned(progress.wanted(), Ok(true), false);
        assert!(progress.is_clean());
    }

    #[test]
    fn a_segment_that_cannot_be_made_anew_is_trouble_and_the_files_are_looked_at_after_it() {
        let progress = Progress::new(false);
        // Of one that has no erased memories this tells nothing.
        progress.made(Some("no room".to_owned()), false);
        assert!(progress.is_clean());
        progress.want();
        progress.made(Some("no room".to_owned()), true);
        progress.cleaned(progress.wanted(), Ok(true), true);
        assert!(!progress.is_clean() && !progress.is_due());
        assert_eq!(progress.trouble(Instant::now()).unwrap(), "no room");
        assert_eq!(progress.again_after(), Some(RETRY_AFTER));
        assert!(progress.try_again());
        progress.made(None, false);
        assert!(!progress.is_clean() && progress.is_due());
        progress.cleaned(progress.wanted(), Ok(true), false);
        assert!(progress.is_clean() && !progress.try_again());
    }

    #[test]
    fn what_waits_too_long_is_trouble() {
        let progress = Progress::new(false);
        let late = LATE_AFTER + Duration::from_mins(1);
        assert_eq!(progress.trouble(Instant::now() + late), None);
        progress.want();
        progress.cleaned(progress.wanted(), Ok(false), false);
        assert_eq!(progress.trouble(Instant::now()), None);
        let said = progress.trouble(Instant::now() + late).unwrap();
        assert!(said.contains("more than 60 minutes"), "{said}");
        progress.cleaned(progress.wanted(), Ok(true), false);
        assert_eq!(progress.trouble(Instant::now() + late), None);
    }
}
