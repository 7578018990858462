//! Moments in time: microseconds since the Unix epoch, printed as RFC 3339 in UTC.

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
        let moment = jiff::Timestamp::from_microsecond(self.0).ok()?;
        let date = jiff::tz::TimeZone::UTC.to_datetime(moment);
        Some(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
    }

    /// The day in UTC as people write it, such as `8 May 2023`. `None` outside the years -9999 to 9999.
    pub fn day(self) -> Option<String> {
        let moment = jiff::Timestamp::from_microsecond(self.0).ok()?;
        let date = jiff::tz::TimeZone::UTC.to_datetime(moment).date();
        Some(date.strftime("%-d %B %Y").to_string())
    }

    /// Parses RFC 3339 (`2026-03-01T08:30:00Z`, any offset), the same without an offset (then UTC) or a
    /// bare date (`2026-03-01`, midnight UTC).
    /// `None` if `text` is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Some(Self(moment.as_microsecond()));
        }
        let date: jiff::civil::DateTime = text.parse().ok()?;
        let moment = jiff::tz::TimeZone::UTC.to_timestamp(date).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
