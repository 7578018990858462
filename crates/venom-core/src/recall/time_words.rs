//! Words that tell or ask a time.

use crate::time::MONTHS;

/// A text with one of these tells a time. Not "day" (a nice one) nor "may".
#[rustfmt::skip]
const TIME_WORDS: &[&str] = &[
    "ago", "april", "august", "days", "december", "february", "friday", "january", "july", "june",
    "last", "march", "monday", "month", "next", "november", "october", "recently", "saturday",
    "september", "since", "sunday", "thursday", "today", "tomorrow", "tonight", "tuesday", "wednesday",
    "week", "weekend", "year", "years", "yesterday",
];

/// Whether a text of these words has an expression of time, such as `yesterday` or `2026`.
pub(super) fn tells_time(words: &[String]) -> bool {
    words.iter().any(|word| is_time_word(word))
}

fn is_time_word(word: &str) -> bool {
    TIME_WORDS.binary_search(&word).is_ok() || is_year(word)
}

/// From 1900 to 2099.
fn is_year(word: &str) -> bool {
    word.len() == 4
        && (word.starts_with("19") || word.starts_with("20"))
        && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a question asks for a time: `when`, `what year`, `how many weeks`, `how long`.
pub(super) fn asks_time(words: &[String]) -> bool {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let starts = match (word(0), word(1)) {
        ("how", "long") => true,
        ("how", "many") => matches!(word(2), "days" | "weeks" | "months" | "years"),
        _ => false,
    };
    let unit = |word: &str| matches!(word, "day" | "date" | "month" | "year");
    starts
        || words.iter().any(|word| word == "when")
        || words
            .windows(2)
            .any(|pair| matches!(pair[0].as_str(), "what" | "which") && unit(&pair[1]))
}

/// Words before a month that could be another word: "in may", "3rd march".
const BEFORE_MONTH: [&str; 10] = [
    "after", "before", "by", "in", "last", "of", "on", "since", "this", "until",
];

/// The months and years that a question names. It is a hint, not a filter: people err, and what happened in
/// a month is often told in the next.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedTime {
    /// 0 is January.
    months: Vec<i32>,
    years: Vec<i32>,
}

impl NamedTime {
    pub(super) fn in_words(words: &[String]) -> Self {
        let mut named = Self::default();
        for (at, word) in words.iter().enumerate() {
            if is_year(word) {
                named.years.extend(word.parse::<i32>());
            }
            let Some(month) = MONTHS.iter().position(|name| name == word) else {
                continue;
            };
            let ambiguous = matches!(word.as_str(), "march" | "may");
            let is_number = |word: &String| word.starts_with(|c: char| c.is_ascii_digit());
            let before = at.checked_sub(1).and_then(|before| words.get(before));
            let dated = words.get(at + 1).is_some_and(is_number)
                || before
                    .is_some_and(|word| is_number(word) || BEFORE_MONTH.contains(&word.as_str()));
            if dated || !ambiguous {
                named.months.extend(i32::try_from(month));
            }
        }
        named
    }

    /// How well a month fits, counted from January of the year 0: 1 in what is named, 0.5 in the month after
    /// a named one, else 0.
    pub(super) fn of_month(&self, month: Option<i32>) -> f32 {
        let Some(month) = month else { return 0.0 };
        let in_year =
            |month: i32| self.years.is_empty() || self.years.contains(&month.div_euclid(12));
        let is_named = |month: i32| self.months.contains(&month.rem_euclid(12)) && in_year(month);
        if self.months.is_empty() {
            return f32::from(u8::from(!self.years.is_empty() && in_year(month)));
        }
        match (is_named(month), is_named(month - 1)) {
            (true, _) => 1.0,
            (false, true) => 0.5,
            (false, false) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::analysis;
    use super::*;

    #[test]
    fn times_are_told_and_asked() {
        assert!(TIME_WORDS.is_sorted());
        for text in ["Last Friday", "it was in 2023", "two days ago"] {
            assert!(tells_time(&analysis::words(text)), "{text}");
        }
        for text in ["a nice day", "route 66, km 20233", ""] {
            assert!(!tells_time(&analysis::words(text)), "{text}");
        }
        let asks = |text: &str| asks_time(&analysis::words(text));
        for text in [
            "When was it?",
            "In what year?",
            "How long ago",
            "how many weeks until",
        ] {
            assert!(asks(text), "{text}");
        }
        let fit = |text: &str, month: i32| {
            let named = NamedTime::in_words(&analysis::words(text));
            (named.of_month(Some(2023 * 12 + month - 1)) * 2.0).to_string()
        };
        for (text, month, halves) in [
            ("what in May 2023?", 5, "2"),
            ("what in May 2023?", 6, "1"),
            ("what in May 2024?", 5, "0"),
            ("what in june", 5, "0"),
            ("on 3 march", 3, "2"),
            ("may I march?", 5, "0"),
            ("in 2023", 9, "2"),
        ] {
            assert_eq!(fit(text, month), halves, "{text}");
        }
        for text in ["What happened?", "So how long is it", "How many cats", ""] {
            assert!(!asks(text), "{text}");
        }
    }
}
