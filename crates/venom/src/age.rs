//! How long something lasts, as people write it: `90d`, `12h`, `4w`.

use std::fmt;

/// A length of time in whole hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    hours: i64,
}

impl Age {
    /// Letters that may follow a number, and how many hours each stands for.
    const UNITS: [(char, i64); 3] = [('h', 1), ('d', 24), ('w', 7 * 24)];
    /// Largest number before a letter.
    const COUNT_MAX: i64 = 100_000;

    /// Parses a number up to 100000 and a letter; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::UNITS.into_iter().find_map(|(unit, hours)| {
            let digits = text.strip_suffix(unit)?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let count: i64 = digits.parse().ok().filter(|_| is_number)?;
            (count <= Self::COUNT_MAX).then_some(Self {
                hours: count * hours,
            })
        })
    }

    /// In microseconds.
    pub(crate) const fn as_micros(self) -> i64 {
        self.hours * 3_600_000_000
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.hours {
            hours if hours % 24 == 0 => (hours / 24, "day"),
            hours => (hours, "hour"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_shown() {
        let shown = |text| Age::parse(text).map(|age| age.to_string());
        for (text, expected) in [
            ("30d", "30 days"),
            (" 1d ", "1 day"),
            ("2w", "14 days"),
            ("36h", "36 hours"),
            ("1h", "1 hour"),
            ("0d", "0 days"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text:?}");
        }
        for bad in [
            "", "d", "30", "-1d", "+1d", "1.5d", "30 d", "100001d", "1m", "d30", "٣d",
        ] {
            assert_eq!(Age::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Age::parse("1d").map(Age::as_micros), Some(86_400_000_000));
    }
}
