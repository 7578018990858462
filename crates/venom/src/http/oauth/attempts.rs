//! Sign-in attempts that failed, and how long to wait before the next.

use crate::http::limits::{FAILURES_PER_MINUTE_MAX, FREE_FAILURES, SIGN_IN_WAIT_MAX};
use crate::http::peer::one_network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;
const MINUTE: Duration = Duration::from_mins(1);

/// What is remembered of failed attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    of: HashMap<IpAddr, (u32, Instant)>,
    /// Failures of everybody in the minute since.
    together: Option<(u32, Instant)>,
}

impl Attempts {
    /// Whether an address may try now.
    ///
    /// # Errors
    /// The time to wait.
    pub(super) fn may_try(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = failures
            .of
            .get(&one_network(address))
            .map(|(count, last)| *last + wait_after(*count));
        let together = failures
            .together
            .filter(|(count, _)| *count >= FAILURES_PER_MINUTE_MAX);
        let together = together.map(|(_, since)| since + MINUTE);
        match alone.max(together) {
            Some(until) if until > now => Err(until - now),
            _ => Ok(()),
        }
    }

    /// Remembers a failure.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.of.len() >= ADDRESSES_MAX {
            failures
                .of
                .retain(|_, (_, last)| now.duration_since(*last) < SIGN_IN_WAIT_MAX);
        }
        // With all places taken by failures of the last minutes, the common limit holds.
        let room = failures.of.len() < ADDRESSES_MAX;
        let known = one_network(address);
        if room || failures.of.contains_key(&known) {
            let (count, last) = failures.of.entry(known).or_insert((0, now));
            let forgotten = now.duration_since(*last) >= SIGN_IN_WAIT_MAX;
            *count = if forgotten {
                1
            } else {
                count.saturating_add(1)
            };
            *last = now;
        }
        let together = failures.together.get_or_insert((0, now));
        if now.duration_since(together.1) >= MINUTE {
            *together = (0, now);
        }
        together.0 += 1;
    }

    /// Forgets the failures of an address: its owner is there.
    pub(super) fn succeeded(&self, address: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.of.remove(&one_network(address));
    }
}

/// 2 s after the first failure that costs something, then twice as long each time.
fn wait_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES) {
        None | Some(0) => Duration::ZERO,
        Some(costly) => Duration::from_secs(1 << costly.min(10)).min(SIGN_IN_WAIT_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn waiting_doubles_and_ends() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for _ in 0..FREE_FAILURES {
            attempts.failed(address(1), start);
            assert_eq!(attempts.may_try(address(1), start), Ok(()));
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            attempts.failed(address(1), start);
            waits.push(attempts.may_try(address(1), start).unwrap_err().as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(
            attempts.may_try(address(2), start),
            Ok(()),
            "others are not held up"
        );
        assert_eq!(
            attempts.may_try(address(1), start + SIGN_IN_WAIT_MAX),
            Ok(())
        );
        attempts.succeeded(address(1));
        assert_eq!(attempts.may_try(address(1), start), Ok(()));
    }

    #[test]
    fn many_addresses_do_not_try_more_together() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for last in 0..60 {
            assert_eq!(attempts.may_try(address(last), start), Ok(()));
            attempts.failed(address(last), start);
        }
        assert!(attempts.may_try(address(200), start).is_err());
        assert_eq!(attempts.may_try(address(200), start + MINUTE), Ok(()));
        attempts.failed(address(200), start + MINUTE);
        assert_eq!(attempts.may_try(address(201), start + MINUTE), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for n in 0..(u32::try_from(ADDRESSES_MAX).unwrap() + 50) {
            attempts.failed(IpAddr::from(n.to_be_bytes()), start);
        }
        assert_eq!(attempts.0.lock().unwrap().of.len(), ADDRESSES_MAX);
    }
}
