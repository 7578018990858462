//! What callers ask, in the words in which they ask it: read in one place for MCP and the command line.

use crate::failure::Failure;
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};
use venom_core::time::PERIOD_FORMS;
use venom_core::{
    Clock, Content, Filter, InputError, NewConversation, Origin, Period, SessionName, SpaceName,
    Speaker, Tag, Tags, Timestamp, Turn,
};

/// The system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The space that is named, else the configured one.
pub(crate) fn space(named: Option<&str>, configured: &SpaceName) -> Result<SpaceName, Failure> {
    let space = named.map(SpaceName::parse).transpose()?;
    Ok(space.unwrap_or_else(|| configured.clone()))
}

/// Where a memory comes from, as far as that is told.
#[derive(Debug, Default)]
pub(crate) struct OriginWords<'a> {
    pub(crate) speaker: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) occurred_at: Option<&'a str>,
}

impl OriginWords<'_> {
    /// Reads them.
    pub(crate) fn read(&self) -> Result<Origin, Failure> {
        let moment = |text| period("occurred_at", text).map(|period| period.start);
        Ok(Origin {
            speaker: self.speaker.map(Speaker::parse).transpose()?,
            session: self.session.map(SessionName::parse).transpose()?,
            occurred_at: self.occurred_at.map(moment).transpose()?,
        })
    }
}

/// A filter.
#[derive(Debug, Default)]
pub(crate) struct FilterWords<'a> {
    pub(crate) space: Option<&'a str>,
    pub(crate) tags_any: Vec<String>,
    pub(crate) tags_all: Vec<String>,
    pub(crate) tags_none: Vec<String>,
    pub(crate) since: Option<&'a str>,
    pub(crate) until: Option<&'a str>,
    pub(crate) speaker: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
}

impl FilterWords<'_> {
    /// Reads it. A period counts whole: until March takes all of March.
    pub(crate) fn read(&self, configured: &SpaceName) -> Result<Filter, Failure> {
        let since = self.since.map(|text| period("since", text)).transpose()?;
        let until = self.until.map(|text| period("until", text)).transpose()?;
        if let (Some(since), Some(until)) = (since, until)
            && since.start > until.end
        {
            let (since, until) = (since.start, until.end);
            return Err(Failure::invalid(format!(
                "since is after until: expected a stretch of time, received {since} to {until}"
            )));
        }
        Ok(Filter {
            space: space(self.space, configured)?,
            tags_any: tags(&self.tags_any)?,
            tags_all: tags(&self.tags_all)?,
            tags_none: tags(&self.tags_none)?,
            since: since.map(|period| period.start),
            until: until.map(|period| period.end),
            speaker: self.speaker.map(Speaker::parse).transpose()?,
            session: self.session.map(SessionName::parse).transpose()?,
        })
    }
}

pub(crate) fn period(field: &'static str, text: &str) -> Result<Period, Failure> {
    Period::parse(text, SystemClock.now())
        .ok_or_else(|| InputError::malformed(field, PERIOD_FORMS, text).into())
}

fn tags(texts: &[String]) -> Result<Vec<Tag>, Failure> {
    // As many as a memory may carry; repeated ones do no harm.
    Ok(Tags::parse(texts)?.as_slice().to_vec())
}

/// A least relevance of 0 to 100 as a cosine.
pub(crate) fn least_similarity(field: &'static str, text: &str) -> Result<f32, Failure> {
    match text.trim().parse::<f32>() {
        Ok(score) if (0.0..=100.0).contains(&score) => Ok(score / 100.0),
        _ => Err(InputError::malformed(field, "a number from 0 to 100", text).into()),
    }
}

/// A conversation from a list of turns in JSON.
pub(crate) fn conversation(
    space: SpaceName,
    session: Option<&str>,
    turns: &[Value],
) -> Result<NewConversation, Failure> {
    let turns = turns.iter().enumerate().map(|(at, value)| {
        turn(value).map_err(|failure| {
            let Failure { kind, message } = failure;
            Failure::new(kind, format!("turn {}: {message}", at + 1))
        })
    });
    let turns = turns.collect::<Result<_, _>>()?;
    let session = session.map(SessionName::parse).transpose()?;
    Ok(NewConversation::new(space, session, turns)?)
}

/// A conversation from a file: a list of turns in JSON, an object with `turns` (or `messages`) and perhaps
/// `session`, or one turn a line.
pub(crate) fn conversation_file(
    space: SpaceName,
    session: Option<&str>,
    text: &str,
) -> Result<NewConversation, Failure> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let values = values.collect::<Result<Vec<_>, _>>().map_err(|error| {
        let expected = "expected a list of turns in JSON, or one turn a line";
        Failure::invalid(format!("the conversation is not JSON: {expected}: {error}"))
    })?;
    let (session_in_file, turns) = match values.as_slice() {
        [Value::Array(turns)] => (None, turns.as_slice()),
        [Value::Object(whole)] => match whole.get("turns").or_else(|| whole.get("messages")) {
            Some(Value::Array(turns)) => (optional(whole, &["session"])?, turns.as_slice()),
            _ => (None, values.as_slice()),
        },
        _ => (None, values.as_slice()),
    };
    conversation(space, session.or(session_in_file), turns)
}

fn turn(value: &Value) -> Result<Turn, Failure> {
    let Value::Object(fields) = value else {
        let shown = value.to_string();
        return Err(InputError::malformed("the turn", "an object with content", &shown).into());
    };
    let content = optional(fields, &["content", "text"])?;
    let content = content.ok_or_else(|| Failure::invalid("content is missing: expected a text"))?;
    let origin = OriginWords {
        speaker: optional(fields, &["speaker", "role"])?,
        session: None,
        occurred_at: optional(fields, &["occurred_at", "timestamp"])?,
    };
    let Origin {
        speaker,
        occurred_at,
        ..
    } = origin.read()?;
    Ok(Turn {
        content: Content::parse(content)?,
        tags: Tags::parse(&texts(fields, "tags")?)?,
        speaker,
        occurred_at,
    })
}

/// The text of the first of these fields that is there.
fn optional<'a>(
    fields: &'a Map<String, Value>,
    names: &[&'static str],
) -> Result<Option<&'a str>, Failure> {
    for name in names {
        match fields.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => return Ok(Some(text)),
            Some(other) => return Err(InputError::malformed(name, "a text", &shown(other)).into()),
        }
    }
    Ok(None)
}

/// A list of texts; none if it is not there.
pub(crate) fn texts(
    fields: &Map<String, Value>,
    name: &'static str,
) -> Result<Vec<String>, Failure> {
    let expected = "a list of texts";
    match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| shown(item));
            let texts: Result<Vec<String>, String> = items.iter().map(text).collect();
            Ok(texts.map_err(|item| InputError::malformed(name, expected, &item))?)
        }
        Some(other) => Err(InputError::malformed(name, expected, &shown(other)).into()),
    }
}

/// A value as an error quotes it: a text without its own quotes, anything else as JSON.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    fn here() -> SpaceName {
        SpaceName::parse("here").unwrap()
    }

    #[test]
    fn a_filter_takes_whole_periods() {
        let words = FilterWords {
            since: Some("2026-02"),
            until: Some("2026-03"),
            tags_any: vec!["a".to_owned()],
            ..FilterWords::default()
        };
        let filter = words.read(&here()).unwrap();
        assert_eq!(filter.since, Timestamp::parse("2026-02-01"));
        assert_eq!(filter.until, Timestamp::parse("2026-04-01"));
        assert_eq!((filter.tags_any.len(), filter.space), (1, here()));
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        let message = |words: FilterWords<'_>| words.read(&here()).unwrap_err().message;
        let backwards = message(FilterWords {
            since: Some("2026-03"),
            until: Some("2025"),
            ..FilterWords::default()
        });
        assert!(backwards.starts_with("since is after until"), "{backwards}");
        let unknown = message(FilterWords {
            until: Some("the day of wrath"),
            ..FilterWords::default()
        });
        assert!(
            unknown.starts_with("until is malformed: expected a date"),
            "{unknown}"
        );
        let many = message(FilterWords {
            tags_none: vec!["x".to_owned(); 11],
            ..FilterWords::default()
        });
        assert_eq!(many, "too many tags: expected at most 10, received 11");
    }

    #[track_caller]
    fn check_file(text: &str, expected: Result<(Option<&str>, &[&str]), &str>) {
        let read = conversation_file(here(), None, text);
        let found = read.as_ref().map(|read| {
            let session = read.session.as_ref().map(SessionName::as_str);
            let said = |turn: &Turn| {
                let speaker = turn.speaker.as_ref().map_or("", Speaker::as_str);
                format!("{speaker}: {}", turn.content.as_str())
            };
            (session, read.turns().iter().map(said).collect::<Vec<_>>())
        });
        let expected = expected
            .map(|(session, turns)| (session, turns.iter().map(ToString::to_string).collect()));
        assert_eq!(found.map_err(|failure| failure.message.as_str()), expected);
    }

    #[test]
    fn conversations_come_in_three_forms() {
        let turns: &[&str] = &["user: Hi", "Anna: Hello"];
        check_file(
            r#"[{"role": "user", "content": "Hi"}, {"speaker": "Anna", "text": "Hello"}]"#,
            Ok((None, turns)),
        );
        check_file(
            r#"{"session": "one", "messages": [{"role": "user", "content": "Hi"},
                {"speaker": "Anna", "content": "Hello", "occurred_at": "2026-03-01", "tags": ["a"]}]}"#,
            Ok((Some("one"), turns)),
        );
        check_file(
            "{\"speaker\": \"user\", \"content\": \"Hi\"}\n{\"speaker\": \"Anna\", \"content\": \"Hello\"}\n",
            Ok((None, turns)),
        );
    }

    #[test]
    fn a_broken_conversation_says_where() {
        let none = "the number of turns is out of range: expected 1 to 1000, received 0";
        check_file("[]", Err(none));
        check_file("", Err(none));
        check_file(
            r#"[{"content": "Hi"}, {"speaker": "x"}]"#,
            Err("turn 2: content is missing: expected a text"),
        );
        check_file(
            r#"[{"content": "Hi", "timestamp": "soon"}]"#,
            Err(&format!(
                "turn 1: occurred_at is malformed: expected {PERIOD_FORMS}, received \"soon\""
            )),
        );
        check_file(
            r#"["Hi"]"#,
            Err(
                "turn 1: the turn is malformed: expected an object with content, received \"\\\"Hi\\\"\"",
            ),
        );
        let error = conversation_file(here(), None, "Anna: hi").unwrap_err();
        assert!(
            error
                .message
                .starts_with("the conversation is not JSON: expected a list")
        );
    }

    #[test]
    fn fuzz_conversations() {
        let words = [
            "\"content\":",
            "\"speaker\":",
            "\"role\":",
            "\"turns\":",
            "\"messages\":",
            "\"session\":",
            "\"occurred_at\":",
            "\"tags\":",
            "\"2026-03-01\"",
            "\"Hi\"",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\n",
            "null",
            "7",
            "{\"content\":\"x\"}",
        ];
        Target::new("conversations").words(&words).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let conversation = conversation_file(here(), None, &text);
            let conversation = conversation.map_err(|failure| {
                assert!(failure.message.len() < 2_000, "{}", failure.message.len());
                failure
                    .message
                    .chars()
                    .filter(char::is_ascii_lowercase)
                    .take(60)
                    .collect::<String>()
            })?;
            assert!((1..=venom_core::limits::TURNS_MAX).contains(&conversation.turns().len()));
            Ok::<_, String>((
                conversation.turns().len().min(5),
                conversation.session.is_some(),
            ))
        });
    }

    /// Since, until, speaker, session, relevance, then tags, by lines.
    #[test]
    fn fuzz_filters() {
        let words = [
            "2026-03",
            "2026",
            "yesterday",
            "last week",
            "now",
            "\n",
            "Anna",
            "work",
            "55.5",
            "1e40",
            "-0",
            "NaN",
            "inf",
        ];
        Target::new("filters").words(&words).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let mut lines = text.split('\n');
            let mut next = || lines.next().filter(|line| !line.is_empty());
            let words = FilterWords {
                since: next(),
                until: next(),
                speaker: next(),
                session: next(),
                ..FilterWords::default()
            };
            let least = next().map(|text| least_similarity("min_relevance", text).ok());
            assert!(
                least
                    .flatten()
                    .is_none_or(|least| (0.0..=1.0).contains(&least))
            );
            let tags_any = lines.map(str::to_owned).collect();
            let filter = FilterWords { tags_any, ..words }.read(&here());
            let filter = filter.map_err(|it| it.message.split(' ').next().map(str::to_owned))?;
            assert!(
                filter
                    .since
                    .zip(filter.until)
                    .is_none_or(|(since, until)| since <= until)
            );
            let parts = (
                filter.since.is_some(),
                filter.until.is_some(),
                filter.tags_any.len(),
            );
            Ok::<_, Option<String>>((
                parts,
                filter.speaker.is_some(),
                least.map(|it| it.is_some()),
            ))
        });
    }
}
