//! Sign-in attempts that failed, and how long to wait before the next.

use crate::http::limits::{FAILURES_PER_MINUTE_MAX, FREE_FAILURES, SIGN_IN_WAIT_MAX};
use crate::http::peer::one_network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;
/// Networks that the owner is known to sign in from.
const KNOWN_NETWORKS_MAX: usize = 100;
const MINUTE: Duration = Duration::from_mins(1);

/// What is remembered of attempts. An attempt counts as failed from its beginning, so that many at the same
/// time are no more than one after the other; success takes it back.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    of: HashMap<IpAddr, (u32, Instant)>,
    /// Failures of everybody in the minute since.
    together: Option<(u32, Instant)>,
    /// Networks that the owner has signed in from: what others do does not keep them out.
    known: Vec<IpAddr>,
}

impl Attempts {
    /// Begins an attempt of an address.
    ///
    /// # Errors
    /// The time to wait, for one that comes too early; it does not count.
    pub(super) fn begin(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let network = one_network(address);
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = failures
            .of
            .get(&network)
            .map(|(count, last)| *last + wait_after(*count));
        let together = failures.together.filter(|(count, since)| {
            *count >= FAILURES_PER_MINUTE_MAX
                && now.duration_since(*since) < MINUTE
                && !failures.known.contains(&network)
        });
        let together = together.map(|(_, since)| since + MINUTE);
        match alone.max(together) {
            Some(until) if until > now => return Err(until - now),
            _ => {}
        }
        failures.count(network, now);
        Ok(())
    }

    /// Takes back what counted against an address: its owner is there.
    pub(super) fn succeeded(&self, address: IpAddr) {
        let network = one_network(address);
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.of.remove(&network);
        if let Some((count, _)) = &mut failures.together {
            *count = count.saturating_sub(1);
        }
        failures.known.retain(|known| *known != network);
        failures.known.push(network);
        if failures.known.len() > KNOWN_NETWORKS_MAX {
            failures.known.remove(0);
        }
    }
}

impl Failures {
    fn count(&mut self, network: IpAddr, now: Instant) {
        if self.of.len() >= ADDRESSES_MAX {
            self.of
                .retain(|_, (_, last)| now.duration_since(*last) < SIGN_IN_WAIT_MAX);
        }
        // With all places taken by failures of the last minutes, the common limit holds.
        if self.of.len() < ADDRESSES_MAX || self.of.contains_key(&network) {
            let (count, last) = self.of.entry(network).or_insert((0, now));
            let forgotten = now.duration_since(*last) >= SIGN_IN_WAIT_MAX;
            *count = if forgotten {
                1
            } else {
                count.saturating_add(1)
            };
            *last = now;
        }
        let together = self.together.get_or_insert((0, now));
        if now.duration_since(together.1) >= MINUTE {
            *together = (0, now);
        }
        together.0 += 1;
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
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..14 {
            let wait = attempts.begin(address(1), now).err().unwrap_or_default();
            now += wait;
            if !wait.is_zero() {
                attempts.begin(address(1), now).unwrap();
            }
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
        assert_eq!(
            attempts.begin(address(2), now),
            Ok(()),
            "others are not held up"
        );
        attempts.succeeded(address(1));
        assert_eq!(attempts.begin(address(1), now), Ok(()));
    }

    #[test]
    fn many_at_the_same_time_are_no_more_than_one_after_the_other() {
        let attempts = Attempts::default();
        let now = Instant::now();
        let taken = (0..300)
            .filter(|_| attempts.begin(address(1), now).is_ok())
            .count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn many_addresses_do_not_try_more_together_but_keep_the_owner_out_nowhere_known() {
        let attempts = Attempts::default();
        let start = Instant::now();
        attempts.begin(address(250), start).unwrap();
        attempts.succeeded(address(250));
        for last in 0..60 {
            assert_eq!(attempts.begin(address(last), start), Ok(()));
        }
        assert!(attempts.begin(address(200), start).is_err());
        assert_eq!(attempts.begin(address(250), start), Ok(()), "the owner's");
        assert_eq!(attempts.begin(address(200), start + MINUTE), Ok(()));
        assert_eq!(attempts.begin(address(201), start + MINUTE), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for n in 0..(u32::try_from(ADDRESSES_MAX).unwrap() + 50) {
            let mut failures = attempts.0.lock().unwrap();
            failures.count(IpAddr::from(n.to_be_bytes()), start);
        }
        assert_eq!(attempts.0.lock().unwrap().of.len(), ADDRESSES_MAX);
        for last in 0..200 {
            attempts.succeeded(address(last));
        }
        assert_eq!(attempts.0.lock().unwrap().known.len(), KNOWN_NETWORKS_MAX);
    }
}
