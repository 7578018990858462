//! Which backups stay.

use super::shelf::Shelved;
use std::path::{Path, PathBuf};
use venom_core::Timestamp;

/// What is kept; all of it where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    /// The newest so many.
    pub(crate) count: Option<u32>,
    /// Those that are not older than so many days.
    pub(crate) days: Option<u32>,
}

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

impl Keep {
    /// The backups that go, of all that lie on a shelf, oldest first: those beyond the newest so many, and those that
    /// are too old. `made` has just been made and stays, whatever the clock says.
    pub(super) fn gone(self, all: &[Shelved], made: &Path, now: Timestamp) -> Vec<PathBuf> {
        let count = self.count.map_or(all.len(), |count| count as usize);
        let beyond = all.len().saturating_sub(count);
        let oldest = self
            .days
            .map(|days| now.as_micros().saturating_sub(i64::from(days) * DAY_US));
        let is_gone = |(place, backup): &(usize, &Shelved)| {
            let is_old = oldest.is_some_and(|oldest| backup.manifest.made_at.as_micros() < oldest);
            (*place < beyond || is_old) && backup.path != made
        };
        let all = all.iter().enumerate();
        all.filter(is_gone)
            .map(|(_, backup)| backup.path.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::manifest::tests::manifest;
    use proptest::prelude::*;

    fn shelf(ages_days: &[i64], now: Timestamp) -> Vec<Shelved> {
        let shelved = |days: &i64| {
            let mut manifest = manifest(false);
            manifest.made_at = Timestamp::from_micros(now.as_micros() - days * DAY_US);
            let path = PathBuf::from(format!("/b/{days}"));
            Shelved { path, manifest }
        };
        ages_days.iter().map(shelved).collect()
    }

    const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

    #[track_caller]
    fn check(count: Option<u32>, days: Option<u32>, expected: &[&str]) {
        let all = shelf(&[40, 30, 8, 7, 1, 0], NOW);
        let keep = Keep { count, days };
        let gone = keep.gone(&all, Path::new("/b/0"), NOW);
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(gone, expected);
    }

    #[test]
    fn the_newest_and_the_young_stay() {
        check(None, None, &[]);
        check(Some(6), None, &[]);
        check(Some(5), None, &["/b/40"]);
        check(Some(1), None, &["/b/40", "/b/30", "/b/8", "/b/7", "/b/1"]);
        check(None, Some(7), &["/b/40", "/b/30", "/b/8"]);
        check(Some(5), Some(30), &["/b/40"]);
        check(Some(2), Some(365), &["/b/40", "/b/30", "/b/8", "/b/7"]);
    }

    /// A clock that was set back makes a backup that looks older than all others.
    #[test]
    fn what_was_just_made_stays_whatever_the_clock_says() {
        let all = shelf(&[400, 3, 2, 1], NOW);
        let keep = Keep {
            count: Some(1),
            days: Some(30),
        };
        let gone = keep.gone(&all, Path::new("/b/400"), NOW);
        assert_eq!(gone, ["/b/3", "/b/2"].map(PathBuf::from));
    }

    proptest! {
        #[test]
        fn as_many_stay_as_shall(
            ages in prop::collection::btree_set(0..1_000_i64, 1..30),
            count in 1..40_u32,
        ) {
            let ages: Vec<i64> = ages.into_iter().rev().collect();
            let all = shelf(&ages, NOW);
            let newest = all.last().unwrap().path.clone();
            let keep = Keep { count: Some(count), days: None };
            let gone = keep.gone(&all, &newest, NOW);
            prop_assert_eq!(all.len() - gone.len(), all.len().min(count as usize));
            prop_assert!(!gone.contains(&newest));
        }
    }
}
