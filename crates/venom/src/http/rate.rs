//! How many requests a minute one caller may make. The memory of the counters has an end, whoever
//! calls.

use super::error;
use super::limits::RATE_KEYS_MAX;
use super::peer::one_network;
use crate::caller::Caller;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_mins(1);

/// A token bucket for each key. A full bucket holds the requests of one minute; it fills evenly.
///
/// Of each key only a hash is kept, by a secret of this process, and the time at which its bucket is
/// full again. So at most [`RATE_KEYS_MAX`] times 24 bytes are used; the keys that were not seen for
/// longest are forgotten first, which lets them start with a full bucket.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// Time in which one request fills up again; `None` without a limit.
    interval: Option<Duration>,
    hasher: RandomState,
    full_at: Mutex<Generations>,
}

/// Two generations of keys: whoever is seen moves into the young one; once that is half of what may be
/// kept, it becomes the old one, and what was old is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Instant>,
    old: HashMap<u64, Instant>,
}

impl RateLimiter {
    /// A limiter for this many requests a minute for each key; 0 is no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            interval: (per_minute > 0).then(|| MINUTE / per_minute),
            hasher: RandomState::new(),
            full_at: Mutex::default(),
        }
    }

    /// Counts a request of `key` at `now`.
    ///
    /// # Errors
    /// The time after which the next request will be taken, for one that is too many. It is not counted.
    pub(crate) fn admit<K: Hash + ?Sized>(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let Some(interval) = self.interval else {
            return Ok(());
        };
        let key = self.hasher.hash_one(key);
        let mut kept = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = kept.get(key).map_or(now, |full_at| full_at.max(now)) + interval;
        // An empty bucket would be full again after a minute.
        let wait = full_at.duration_since(now).saturating_sub(MINUTE);
        if wait.is_zero() {
            kept.set(key, full_at);
            return Ok(());
        }
        Err(wait)
    }
}

impl Generations {
    fn get(&self, key: u64) -> Option<Instant> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn set(&mut self, key: u64, full_at: Instant) {
        if self.young.len() >= RATE_KEYS_MAX / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, full_at);
    }
}

/// Counts a request from an address. Callers on this machine are not counted.
///
/// # Errors
/// The time to wait, for one that is too many.
pub(super) fn check_address(
    limiter: &RateLimiter,
    address: IpAddr,
    now: Instant,
) -> Result<(), Duration> {
    if address.is_loopback() {
        return Ok(());
    }
    limiter.admit(&one_network(address), now)
}

/// Counts a request by the pass of its caller, wherever it calls from. The guard stands in front and says
/// who that is.
pub(super) async fn check_token(
    State(limiter): State<Arc<RateLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    let caller = request.extensions().get::<Caller>();
    if let Some(key) = caller.and_then(Caller::rate_key)
        && let Err(wait) = limiter.admit(&key, Instant::now())
    {
        return too_many("this token", wait);
    }
    next.run(request).await
}

/// The answer to a request that is too many: 429, and when to try again.
pub(crate) fn too_many(of_whom: &str, wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("too many requests of {of_whom}: try again in {seconds} s");
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, &message);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_minute_has_so_many_requests_and_refills_evenly() {
        let limiter = RateLimiter::new(60);
        let start = Instant::now();
        for _ in 0..60 {
            assert_eq!(limiter.admit("a", start), Ok(()));
        }
        assert_eq!(limiter.admit("a", start), Err(Duration::from_secs(1)));
        assert_eq!(limiter.admit("b", start), Ok(()), "others are not held up");
        let later = start + Duration::from_millis(1_500);
        assert_eq!(limiter.admit("a", later), Ok(()));
        let wait = limiter.admit("a", later);
        assert_eq!(
            wait,
            Err(Duration::from_millis(500)),
            "refused ones cost nothing"
        );
        let idle = start + Duration::from_mins(10);
        let taken = (0..100).filter(|_| limiter.admit("a", idle).is_ok());
        assert_eq!(taken.count(), 60, "a full bucket does not grow");
    }

    #[test]
    fn nought_is_no_limit() {
        let limiter = RateLimiter::new(0);
        let now = Instant::now();
        assert!((0..1_000).all(|_| limiter.admit("a", now).is_ok()));
    }

    #[test]
    fn memory_has_an_end_and_those_who_call_are_remembered() {
        let limiter = RateLimiter::new(1);
        let now = Instant::now();
        assert_eq!(limiter.admit("busy", now), Ok(()));
        for key in 0..RATE_KEYS_MAX * 3 {
            assert_eq!(limiter.admit(&key, now), Ok(()));
            let kept = limiter.full_at.lock().unwrap();
            assert!(kept.young.len() + kept.old.len() <= RATE_KEYS_MAX);
        }
        let newest = RATE_KEYS_MAX * 3 - RATE_KEYS_MAX / 4;
        assert!(limiter.admit(&newest, now).is_err());
        assert_eq!(limiter.admit("busy", now), Ok(()), "long forgotten");
    }

    #[test]
    fn the_answer_says_when_in_whole_seconds() {
        let response = too_many("this address", Duration::from_millis(1_001));
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn neighbours_in_one_network_of_ipv6_share_and_this_machine_is_free() {
        let limiter = RateLimiter::new(1);
        let now = Instant::now();
        let check = |address: &str| check_address(&limiter, address.parse().unwrap(), now);
        assert!(check("2001:db8::1").is_ok());
        assert!(check("2001:db8::2").is_err());
        assert!(check("2001:db8:0:1::1").is_ok());
        assert!(check("192.0.2.1").is_ok() && check("192.0.2.2").is_ok());
        assert!((0..5).all(|_| check("127.0.0.1").is_ok() && check("::1").is_ok()));
    }

    proptest! {
        /// However requests come, at most the bucket and its refill are admitted.
        #[test]
        fn never_more_than_bucket_and_refill(
            per_minute in 1_u32..200,
            pauses in prop::collection::vec(0_u64..3_000, 1..400),
        ) {
            let limiter = RateLimiter::new(per_minute);
            let start = Instant::now();
            let mut now = start;
            let mut taken = 0_u32;
            for pause in pauses {
                now += Duration::from_millis(pause);
                match limiter.admit("a", now) {
                    Ok(()) => taken += 1,
                    Err(wait) => {
                        prop_assert!(wait <= MINUTE);
                        // Whoever waits as told is taken.
                        now += wait;
                        prop_assert_eq!(limiter.admit("a", now), Ok(()));
                        taken += 1;
                    }
                }
            }
            let refill = (now - start).as_secs_f64() / 60.0 * f64::from(per_minute);
            prop_assert!(f64::from(taken) <= f64::from(per_minute) + refill + 1.0);
        }
    }
}
