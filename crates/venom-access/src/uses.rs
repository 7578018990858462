//! Which uses of tokens and grants are written: enough to see who comes from where, few enough that a
//! token in use in two places does not write with every call.

use crate::AccessError;
use crate::audit::{Event, note};
use rusqlite::Connection;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, PoisonError};
use venom_core::Timestamp;

/// A use is written once in so many microseconds, for each address.
const LAST_USE_EVERY_US: i64 = 60_000_000;
/// After so many microseconds without a use the audit log is told of the next.
const USED_AGAIN_US: i64 = 86_400_000_000;
/// Uses that are remembered. Beyond them those of the last day are forgotten, too, and written again.
const USES_MAX: usize = 10_000;

/// When uses were written by this process: by a hash of what was used and from where. The file itself
/// knows the last place only.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    hasher: RandomState,
    written_us: Mutex<HashMap<u64, i64>>,
}

/// The use that the file knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastUse<'a> {
    pub(crate) at: Option<Timestamp>,
    pub(crate) from: Option<&'a str>,
}

impl Uses {
    /// Whether a use has to be written, which is remembered: `None` if not, else whether the audit log is
    /// told as well. It is told of the first, of the first from an address, and of those after a day without.
    pub(crate) fn worth(
        &self,
        what: impl Hash,
        last: LastUse<'_>,
        now: Timestamp,
        source: &str,
    ) -> Option<bool> {
        let passed = |since_us: i64| now.as_micros() - since_us;
        let last_passed = last.at.map(|at| passed(at.as_micros()));
        let elsewhere = last.from != Some(source);
        let stale = |after_us: i64| elsewhere || last_passed.is_none_or(|us| us >= after_us);
        if !stale(LAST_USE_EVERY_US) {
            return None;
        }
        let key = self.hasher.hash_one((what, source));
        let mut written = self
            .written_us
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = written.get(&key).map(|at_us| passed(*at_us));
        if known.is_some_and(|us| us < LAST_USE_EVERY_US) {
            return None;
        }
        if written.len() >= USES_MAX {
            written.retain(|_, at_us| passed(*at_us) < USED_AGAIN_US);
            if written.len() >= USES_MAX {
                written.clear();
            }
        }
        written.insert(key, now.as_micros());
        Some(stale(USED_AGAIN_US) && known.is_none_or(|us| us >= USED_AGAIN_US))
    }
}

pub(crate) fn tell_use(
    connection: &Connection,
    told: bool,
    who: &str,
    now: Timestamp,
    source: &str,
) -> Result<(), AccessError> {
    if told {
        note(connection, now, Event::TokenUsed, who, source, "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::at;

    #[test]
    fn two_places_by_turns_are_written_once_a_minute_each_and_told_once() {
        let uses = Uses::default();
        let mut last: Option<(i64, &str)> = None;
        let mut written = Vec::new();
        for (now, source) in [
            (0, "a"),
            (1, "b"),
            (2, "a"),
            (3, "b"),
            (59, "a"),
            (60, "a"),
            (62, "b"),
        ] {
            let known = LastUse {
                at: last.map(|(now, _)| at(now)),
                from: last.map(|(_, source)| source),
            };
            if let Some(told) = uses.worth("token", known, at(now), source) {
                written.push((now, source, told));
                last = Some((now, source));
            }
        }
        let expected = [
            (0, "a", true),
            (1, "b", true),
            (60, "a", false),
            (62, "b", false),
        ];
        assert_eq!(written, expected);
        let other = LastUse {
            at: None,
            from: None,
        };
        assert_eq!(uses.worth("another token", other, at(62), "a"), Some(true));
    }

    #[test]
    fn memory_has_an_end() {
        let uses = Uses::default();
        for n in 0..USES_MAX + 10 {
            let last = LastUse {
                at: Some(at(0)),
                from: Some("elsewhere"),
            };
            assert_eq!(uses.worth("token", last, at(0), &n.to_string()), Some(true));
            assert!(uses.written_us.lock().unwrap().len() <= USES_MAX);
        }
    }
}
