//! The settings of backups.

use super::keep::Keep;
use crate::config::{count, optional, wrong};
use crate::settings::Values;
use std::path::PathBuf;

/// Most backups or days that may be kept: a number beyond any use.
const KEPT_MAX: usize = 100_000;

/// What was said about backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackupSettings {
    /// How often a server makes one, in microseconds; never if `None`.
    pub(crate) every_us: Option<i64>,
    /// Where they are made. There is one wherever `every_us` is.
    pub(crate) folder: Option<PathBuf>,
    /// Which of them stay.
    pub(crate) keep: Keep,
    /// The file with the passphrase that they are encrypted with.
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Parses them; `note` is told what cannot be taken.
pub(crate) fn parse(values: &Values, note: &mut impl FnMut(String)) -> BackupSettings {
    let path = |flag| values.get(flag).map(|given| PathBuf::from(&given.text));
    let mut settings = BackupSettings {
        every_us: optional(values, "backup-every", note, parse_every),
        folder: path("backup-dir"),
        keep: Keep {
            count: optional(values, "backup-keep", note, parse_kept),
            days: optional(values, "backup-keep-days", note, parse_kept),
        },
        passphrase_file: path("backup-passphrase-file"),
    };
    if let (Some(_), None, Some(given)) = (
        settings.every_us,
        &settings.folder,
        values.get("backup-every"),
    ) {
        note(wrong(
            given,
            "expected --backup-dir (VENOM_BACKUP_DIR) with it",
        ));
        settings.every_us = None;
    }
    settings
}

/// How many, or for how many days.
pub(crate) fn parse_kept(text: &str) -> Result<u32, String> {
    let count = count(text, KEPT_MAX)?;
    Ok(u32::try_from(count).expect("at most 100,000"))
}

/// A stretch of time in microseconds: `30m`, `6h`, `1d`, `2w`.
fn parse_every(text: &str) -> Result<i64, String> {
    let expected =
        || "expected a time between backups such as 30m, 6h, 1d or 1w, at most 3660d".to_owned();
    let units = [
        ('s', 1_i64),
        ('m', 60),
        ('h', 3_600),
        ('d', 86_400),
        ('w', 7 * 86_400),
    ];
    let of_unit = |(unit, seconds): (char, i64)| {
        let count: i64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        count.checked_mul(seconds)
    };
    let seconds = units.into_iter().find_map(of_unit).ok_or_else(expected)?;
    if !(1..=3_660 * 86_400).contains(&seconds) {
        return Err(expected());
    }
    Ok(seconds * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn parsed(given: &[(&str, &str)]) -> (BackupSettings, Vec<String>) {
        let flag = |name: &str| {
            let mut given = given.iter();
            given
                .find(|(flag, _)| *flag == name)
                .map(|(_, text)| (*text).to_owned())
        };
        let values = Values::collect(flag, |_| None, &HashMap::new());
        let mut problems = Vec::new();
        let settings = parse(&values, &mut |problem| problems.push(problem));
        (settings, problems)
    }

    #[test]
    fn all_can_be_said() {
        assert_eq!(parsed(&[]), (BackupSettings::default(), Vec::new()));
        let (settings, problems) = parsed(&[
            ("backup-every", "6h"),
            ("backup-dir", "/b"),
            ("backup-keep", "7"),
            ("backup-keep-days", "30"),
            ("backup-passphrase-file", "/run/secrets/p"),
        ]);
        assert_eq!(problems, [""; 0]);
        let expected = BackupSettings {
            every_us: Some(6 * 3_600_000_000),
            folder: Some("/b".into()),
            keep: Keep {
                count: Some(7),
                days: Some(30),
            },
            passphrase_file: Some("/run/secrets/p".into()),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn times_between_backups() {
        for (text, seconds) in [
            ("1s", 1),
            ("30m", 1_800),
            ("1d", 86_400),
            ("2 w", 1_209_600),
        ] {
            assert_eq!(parse_every(text), Ok(seconds * 1_000_000), "{text}");
        }
        for bad in [
            "",
            "d",
            "0d",
            "-1d",
            "1",
            "1y",
            "1.5h",
            "999999999w",
            "9223372036854775807d",
            "1é",
        ] {
            assert!(
                parse_every(bad).unwrap_err().starts_with("expected a time"),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_cannot_be_taken_is_told() {
        let (settings, problems) = parsed(&[("backup-every", "1d"), ("backup-keep", "0")]);
        assert_eq!(settings, BackupSettings::default());
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("--backup-keep is \"0\": expected"));
        let expected = "--backup-every is \"1d\": expected --backup-dir (VENOM_BACKUP_DIR) with it";
        assert_eq!(problems[1], expected);
    }
}
