//! Moments in time: microseconds since the Unix epoch, printed as RFC 3339 in UTC.

use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fmt;

/// A moment, in whole microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// A moment `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The month in UTC, counted from January of the year 0. `None` outside the years -9999 to 9999.
    pub fn month(self) -> Option<i32> {
        let date = self.date()?;
        Some(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
    }

    /// The day in UTC as people write it, such as `8 May 2023`. `None` outside the years -9999 to 9999.
    pub fn day(self) -> Option<String> {
        Some(self.date()?.strftime("%-d %B %Y").to_string())
    }

    fn jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_microsecond(self.0).ok()
    }

    /// The day in UTC.
    fn date(self) -> Option<Date> {
        Some(TimeZone::UTC.to_datetime(self.jiff()?).date())
    }

    /// Parses RFC 3339 (`2026-03-01T08:30:00Z`, any offset), the same without an offset (then UTC) or a
    /// bare date (`2026-03-01`, midnight UTC).
    /// `None` if `text` is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Some(Self(moment.as_microsecond()));
        }
        let date: jiff::civil::DateTime = text.parse().ok()?;
        let moment = TimeZone::UTC.to_timestamp(date).ok()?;
        Some(Self(moment.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with six decimals, so that text order is time order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            Err(_) => write!(f, "{} us since 1970", self.0),
        }
    }
}

/// A stretch of time: from `start` up to, not including, `end`. A moment is a stretch of no length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// What [`Period::parse`] takes, for error messages.
pub const PERIOD_FORMS: &str = "a date (2026-03-01, 2026-03, 2026), a time (2026-03-01T08:30:00Z) or words \
                                (yesterday, last week, 3 days ago, past 2 months, march)";

impl Period {
    /// What people call a time, in UTC: everything [`Timestamp::parse`] takes; a day, month or year
    /// (`2026-03-01`, `2026-03`, `2026`, `march`, `march 2026`, `monday`); `now`, `today`, `yesterday`; `this`,
    /// `last` with `week`, `month`, `year`, a weekday or a month; `3 days ago`; `past 3 days` (the same is
    /// `last 3 days`). Weeks start on Monday; a bare weekday or month is the latest that has begun.
    pub fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let today = now.date()?;
        match words.as_slice() {
            ["now"] => Some(Self::moment(now)),
            ["today"] => Self::days(today, Span::new().days(1)),
            ["yesterday"] => Self::days(today.yesterday().ok()?, Span::new().days(1)),
            ["this", unit] => Self::unit(unit, today).or_else(|| Self::latest(unit, today)),
            ["last" | "past", unit] => {
                let before = |span: Span| Self::unit(unit, today.checked_sub(span).ok()?);
                match *unit {
                    "week" => before(Span::new().weeks(1)),
                    "month" => before(Span::new().months(1)),
                    "year" => before(Span::new().years(1)),
                    _ => Self::latest(unit, today.yesterday().ok()?),
                }
            }
            [count, unit, "ago"] => Self::ago(count, unit, now),
            ["last" | "past", count, unit] => {
                let start = Self::ago_moment(count, unit, now)?;
                Some(Self { start, end: now })
            }
            [month, year] if MONTHS.contains(month) => {
                Self::month(year.parse().ok()?, month_number(month)?)
            }
            [word] => Self::written(word).or_else(|| Self::latest(word, today)),
            _ => Timestamp::parse(text.trim()).map(Self::moment),
        }
    }

    const fn moment(at: Timestamp) -> Self {
        Self { start: at, end: at }
    }

    fn days(first: Date, length: Span) -> Option<Self> {
        let midnight = |date: Date| {
            let moment = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
            Some(Timestamp(moment.as_microsecond()))
        };
        Some(Self {
            start: midnight(first)?,
            end: midnight(first.checked_add(length).ok()?)?,
        })
    }

    fn month(year: i16, month: i8) -> Option<Self> {
        Self::days(Date::new(year, month, 1).ok()?, Span::new().months(1))
    }

    /// The week, month or year around a day.
    fn unit(unit: &str, day: Date) -> Option<Self> {
        match unit {
            "week" => {
                let since_monday = day.weekday().to_monday_zero_offset();
                let monday = day.checked_sub(Span::new().days(since_monday)).ok()?;
                Self::days(monday, Span::new().weeks(1))
            }
            "month" => Self::month(day.year(), day.month()),
            "year" => Self::days(Date::new(day.year(), 1, 1).ok()?, Span::new().years(1)),
            _ => None,
        }
    }

    /// The latest weekday or month of a name that has begun by a day.
    fn latest(name: &str, day: Date) -> Option<Self> {
        if let Some(month) = month_number(name) {
            let year = if month <= day.month() {
                day.year()
            } else {
                day.year() - 1
            };
            return Self::month(year, month);
        }
        let wanted = WEEKDAYS.iter().position(|known| *known == name)?;
        let wanted = i8::try_from(wanted).ok()?;
        let back = (day.weekday().to_monday_zero_offset() - wanted).rem_euclid(7);
        Self::days(
            day.checked_sub(Span::new().days(back)).ok()?,
            Span::new().days(1),
        )
    }

    /// A year, a month, a day or a moment in digits.
    fn written(word: &str) -> Option<Self> {
        let is_plain = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
        let number = |part: &str| Some(part).filter(is_plain)?.parse().ok();
        let numbers: Option<Vec<i16>> = word.split('-').map(number).collect();
        let whole = |length: usize| word.len() == length;
        match numbers.as_deref() {
            Some([year]) if whole(4) => {
                Self::days(Date::new(*year, 1, 1).ok()?, Span::new().years(1))
            }
            Some([year, month]) if whole(7) => Self::month(*year, i8::try_from(*month).ok()?),
            _ if word
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-') =>
            {
                Self::days(word.parse().ok()?, Span::new().days(1))
            }
            // Letters of times are capitals, also where people write them small.
            _ => Timestamp::parse(&word.to_uppercase()).map(Self::moment),
        }
    }

    /// The day that was so many units ago; of hours and minutes the moment.
    fn ago(count: &str, unit: &str, now: Timestamp) -> Option<Self> {
        let start = Self::ago_moment(count, unit, now)?;
        if unit.starts_with("hour") || unit.starts_with("minute") {
            return Some(Self::moment(start));
        }
        Self::days(start.date()?, Span::new().days(1))
    }

    fn ago_moment(count: &str, unit: &str, now: Timestamp) -> Option<Timestamp> {
        let count: i64 = match count {
            "a" | "an" | "one" => 1,
            digits => digits
                .parse()
                .ok()
                .filter(|count| (0..=10_000).contains(count))?,
        };
        let span = match unit.strip_suffix('s').unwrap_or(unit) {
            "minute" => Span::new().minutes(count),
            "hour" => Span::new().hours(count),
            "day" => Span::new().days(count),
            "week" => Span::new().weeks(count),
            "month" => Span::new().months(count),
            "year" => Span::new().years(count),
            _ => return None,
        };
        let then = TimeZone::UTC
            .to_datetime(now.jiff()?)
            .checked_sub(span)
            .ok()?;
        let moment = TimeZone::UTC.to_timestamp(then).ok()?;
        Some(Timestamp(moment.as_microsecond()))
    }
}

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Names of months in lower case, January first.
pub(crate) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// 1 for January.
fn month_number(name: &str) -> Option<i8> {
    let at = MONTHS.iter().position(|month| *month == name)?;
    i8::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn prints_rfc_3339_with_six_decimals() {
        assert_eq!(
            Timestamp::from_micros(0).to_string(),
            "1970-01-01T00:00:00.000000Z"
        );
        assert_eq!(
            Timestamp::from_micros(1_700_000_000_123_456).to_string(),
            "2023-11-14T22:13:20.123456Z"
        );
    }

    #[test]
    fn a_day_is_written_out() {
        let noon = Timestamp::parse("2023-05-08T12:00:00Z").unwrap();
        assert_eq!(noon.day().as_deref(), Some("8 May 2023"));
        assert_eq!(Timestamp::from_micros(i64::MAX).day(), None);
    }

    #[test]
    fn parses_what_people_write() {
        let noon = Timestamp::parse("2026-03-01T12:00:00+02:00");
        assert_eq!(noon, Timestamp::parse("2026-03-01T10:00:00Z"));
        assert_eq!(
            Timestamp::parse("2026-03-01"),
            Timestamp::parse("2026-03-01T00:00:00Z")
        );
        assert_eq!(Timestamp::parse("2026-03-01T10:00:00"), noon);
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[track_caller]
    fn check_period(text: &str, expected: Option<(&str, &str)>) {
        // A Tuesday.
        let now = Timestamp::parse("2026-03-17T10:30:00Z").unwrap();
        let found = Period::parse(text, now);
        let moment = |text| Timestamp::parse(text).unwrap();
        let expected = expected.map(|(start, end)| (moment(start), moment(end)));
        assert_eq!(found.map(|p| (p.start, p.end)), expected, "{text:?}");
    }

    #[test]
    fn periods_in_digits() {
        check_period("2026", Some(("2026-01-01", "2027-01-01")));
        check_period("2026-02", Some(("2026-02-01", "2026-03-01")));
        for day in [" 2024-02-29 ", "20240229"] {
            check_period(day, Some(("2024-02-29", "2024-03-01")));
        }
        let moment = "2026-03-01T08:30:00Z";
        check_period(moment, Some((moment, moment)));
        check_period("2026-03-01t08:30:00z", Some((moment, moment)));
        check_period("2026-03-01 08:30:00", Some((moment, moment)));
        for bad in [
            "2026-13",
            "2026-02-30",
            "26",
            "-2026",
            "+026",
            "2026-+1",
            "",
            "soon",
            "march 1 2026",
        ] {
            check_period(bad, None);
        }
    }

    #[test]
    fn periods_in_words() {
        let now = "2026-03-17T10:30:00Z";
        for (text, start, end) in [
            ("now", now, now),
            ("Today", "2026-03-17", "2026-03-18"),
            ("yesterday", "2026-03-16", "2026-03-17"),
            ("this week", "2026-03-16", "2026-03-23"),
            ("last week", "2026-03-09", "2026-03-16"),
            ("last month", "2026-02-01", "2026-03-01"),
            ("this year", "2026-01-01", "2027-01-01"),
            ("last year", "2025-01-01", "2026-01-01"),
            ("3 days ago", "2026-03-14", "2026-03-15"),
            ("a month ago", "2026-02-17", "2026-02-18"),
            (
                "2 hours ago",
                "2026-03-17T08:30:00Z",
                "2026-03-17T08:30:00Z",
            ),
            ("past 2 weeks", "2026-03-03T10:30:00Z", now),
            ("last 1 day", "2026-03-16T10:30:00Z", now),
            ("tuesday", "2026-03-17", "2026-03-18"),
            ("last tuesday", "2026-03-10", "2026-03-11"),
            ("sunday", "2026-03-15", "2026-03-16"),
            ("march", "2026-03-01", "2026-04-01"),
            ("April", "2025-04-01", "2025-05-01"),
            ("april 2026", "2026-04-01", "2026-05-01"),
        ] {
            check_period(text, Some((start, end)));
        }
        for bad in [
            "next week",
            "-1 days ago",
            "3 days",
            "many days ago",
            "99999 years ago",
            "last",
        ] {
            check_period(bad, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[a-z0-9 :+-]{0,24}|.{0,12}", now: i64) {
            let period = Period::parse(&text, Timestamp::from_micros(now));
            proptest::prop_assert!(period.is_none_or(|p| p.start <= p.end));
        }
    }

    #[test]
    fn fuzz_time_words() {
        let words = [
            "last", "past", "this", "ago", "week", "months", "3", "10000", "february", "sunday",
            "-", ":", "T", "Z", "+02:00", "[UTC]", "9999", "0000", "now", "today", " ", ".",
        ];
        Target::new("time-words").words(&words).run(|bytes| {
            let (moment, text) = bytes.split_at_checked(8).unwrap_or((&[0; 8], bytes));
            let text = String::from_utf8_lossy(text);
            let any = i64::from_le_bytes(moment.try_into().expect("eight bytes"));
            let mut outcome = 0_u8;
            for now in [any, any >> 12, 1_800_000_000_000_000] {
                let period = Period::parse(&text, Timestamp::from_micros(now));
                assert!(period.is_none_or(|period| period.start <= period.end));
                outcome = outcome * 2 + u8::from(period.is_some());
            }
            if let Some(moment) = Timestamp::parse(&text) {
                assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
            }
            let shown = Timestamp::from_micros(any);
            if shown.day().is_some() {
                assert_eq!(Timestamp::parse(&shown.to_string()), Some(shown));
            }
            outcome
        });
    }
}
