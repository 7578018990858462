//! A lock whose waiters get it in the order they came: who takes it again and again keeps nobody out.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, LockResult, Mutex, MutexGuard, PoisonError};

/// A value that one at a time uses, in turn.
#[derive(Debug, Default)]
pub(crate) struct Turns<T> {
    /// The number of the next who comes, and of whose turn it is.
    numbers: Mutex<(u64, u64)>,
    passed: Condvar,
    value: Mutex<T>,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, T> {
    /// First, so that the value is free before the next may have it.
    value: MutexGuard<'a, T>,
    _end: End<'a, T>,
}

#[derive(Debug)]
struct End<'a, T>(&'a Turns<T>);

impl<T> Turns<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            numbers: Mutex::new((0, 0)),
            passed: Condvar::new(),
            value: Mutex::new(value),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// If somebody panicked in a turn of theirs.
    pub(crate) fn lock(&self) -> LockResult<Turn<'_, T>> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = numbers.0;
        numbers.0 += 1;
        let not_yet = |numbers: &mut (u64, u64)| numbers.1 != own;
        let numbers = self.passed.wait_while(numbers, not_yet);
        drop(numbers.unwrap_or_else(PoisonError::into_inner));
        let end = End(self);
        match self.value.lock() {
            Ok(value) => Ok(Turn { value, _end: end }),
            Err(poisoned) => Err(PoisonError::new(Turn {
                value: poisoned.into_inner(),
                _end: end,
            })),
        }
    }
}

#[cfg(test)]
impl<T> Turns<T> {
    /// How many have a turn or wait for one.
    pub(crate) fn in_line(&self) -> u64 {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.0 - numbers.1
    }
}

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        let mut numbers = self
            .0
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        numbers.1 += 1;
        // Whose turn it is knows by the number only, so all have to look.
        if numbers.0 != numbers.1 {
            self.0.passed.notify_all();
        }
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn who_came_first_is_first() {
        let turns = Turns::new(Vec::new());
        let first = turns.lock().unwrap();
        std::thread::scope(|scope| {
            for number in 1..=4_u64 {
                let (turns, waits) = (&turns, &turns.numbers);
                scope.spawn(move || turns.lock().unwrap().push(number));
                while waits.lock().unwrap().0 <= number {
                    std::thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(*turns.lock().unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_panic_is_told_and_keeps_nobody_out() {
        let turns = Turns::new(0);
        let (told, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _turn = turns.lock().unwrap();
                told.send(()).unwrap();
                panic!("on purpose");
            });
            heard.recv().unwrap();
            assert!(turns.lock().is_err());
            assert!(panics.join().is_err());
        });
    }
}
