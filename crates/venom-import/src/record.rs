//! From what a record says, in whatever form, to a memory that may be imported.

use serde_json::{Map, Value};
use venom_core::limits::{METADATA_BYTES_MAX, TAGS_MAX};
use venom_core::{
    Content, MemoryId, Metadata, NewImport, ORIGINAL_ID, Origin, SessionName, Source, SpaceName,
    Speaker, Tag, Tags, Timestamp,
};

/// Numbers from here on are milliseconds since 1970, from [`MICROS_MIN`] on microseconds; below it seconds.
const MILLIS_MIN: f64 = 1e11;
const MICROS_MIN: f64 = 1e14;

/// Other values that may have the same name, at most.
const NAMESAKES_MAX: usize = 16;

/// What a record says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loose {
    pub(crate) id: Option<String>,
    pub(crate) space: Option<String>,
    pub(crate) text: String,
    pub(crate) tags: Vec<String>,
    pub(crate) stored_at: Option<Timestamp>,
    /// Whether that is only a guess.
    pub(crate) is_time_guessed: bool,
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) speaker: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) source: Option<Source>,
    /// What else it says.
    pub(crate) rest: Map<String, Value>,
}

impl Loose {
    /// The memory that it makes. What has no place of its own (an id of another form, too many tags, a name that is
    /// too long) is kept among the metadata.
    ///
    /// # Errors
    /// One sentence if it has no text that can be kept, or names no space.
    pub(crate) fn settle(mut self, space: &SpaceName) -> Result<NewImport, String> {
        let content = Content::parse(&self.text).map_err(|error| error.to_string())?;
        let space = match self.space.take() {
            Some(name) => SpaceName::parse(&name).map_err(|error| error.to_string())?,
            None => space.clone(),
        };
        let id = self.id.take();
        let known = id.as_deref().and_then(|id| MemoryId::parse(id).ok());
        if let (Some(other), None) = (id, known) {
            // Under the name under which an id is kept that another memory has.
            self.keep(ORIGINAL_ID, Value::String(other));
        }
        let speaker = self.speaker.take();
        let speaker = self.named("speaker", speaker, |name| Speaker::parse(name).ok());
        let session = self.session.take();
        let session = self.named("session", session, |name| SessionName::parse(name).ok());
        let tags = self.tags();
        Ok(NewImport {
            id: known,
            space,
            content,
            tags,
            origin: Origin {
                speaker,
                session,
                occurred_at: self.occurred_at,
            },
            stored_at: self.stored_at,
            is_time_guessed: self.is_time_guessed,
            source: self.source.take().unwrap_or_else(Source::command_line),
            metadata: metadata(&self.rest),
            turn: None,
        })
    }

    /// Adds to the metadata, with `_` behind its key where that has another value; what has more than [`NAMESAKES_MAX`]
    /// such was made to cost time, and is left out.
    pub(crate) fn keep(&mut self, key: &str, value: Value) {
        let mut key = key.to_owned();
        for _ in 0..=NAMESAKES_MAX {
            if self.rest.get(&key).is_none_or(|kept| *kept == value) {
                self.rest.insert(key, value);
                return;
            }
            key.push('_');
        }
    }

    fn named<T>(
        &mut self,
        key: &str,
        name: Option<String>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let name = name.filter(|name| !name.trim().is_empty())?;
        let parsed = parse(&name);
        if parsed.is_none() {
            self.keep(key, Value::String(name));
        }
        parsed
    }

    /// As many of the tags as can be kept; if that is not all, all are among the metadata.
    fn tags(&mut self) -> Tags {
        let given = std::mem::take(&mut self.tags);
        let given: Vec<&str> = given.iter().map(|tag| tag.trim()).collect();
        let mut fit: Vec<&str> = Vec::new();
        for tag in given.iter().copied().filter(|tag| !tag.is_empty()) {
            if Tag::parse(tag, 1).is_ok() && !fit.contains(&tag) && fit.len() < TAGS_MAX {
                fit.push(tag);
            }
        }
        if given
            .iter()
            .any(|tag| !tag.is_empty() && !fit.contains(tag))
        {
            self.keep("tags", given.iter().copied().collect());
        }
        Tags::parse(&fit).unwrap_or_default()
    }
}

/// Metadata as it is kept; of more than fits only how long it was.
fn metadata(rest: &Map<String, Value>) -> Option<Metadata> {
    if rest.is_empty() {
        return None;
    }
    // Text has no NUL here: JSON writes it as an escape.
    let text = serde_json::to_string(rest).unwrap_or_default();
    let why = format!(", at most {METADATA_BYTES_MAX} are kept");
    Some(Metadata::parse(&text).unwrap_or_else(|_| Metadata::left_out(text.len(), &why)))
}

/// A time in JSON: RFC 3339 or the like, or seconds, milliseconds or microseconds since 1970.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => since_epoch(number.as_f64()?),
        Value::String(text) => moment_of_text(text),
        _ => None,
    }
}

/// The same of a text.
pub(crate) fn moment_of_text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let number = || {
        let is_day = text.starts_with("19") || text.starts_with("20");
        // A year and a day written without dashes are no seconds.
        let is_other = matches!((text.len(), is_day), (..=8, _) | (12 | 14, true));
        let seconds = text.parse().ok().filter(|_| !is_other);
        seconds.and_then(since_epoch)
    };
    let in_note = || Timestamp::parse(&as_rfc_3339(text));
    Timestamp::parse(text).or_else(number).or_else(in_note)
}

/// A time as notes have it, in the form of RFC 3339: `2021/03/04` with dashes, `2020-12-31 23:59:59 +0200` without the
/// space before the offset, and without the brackets of a link to the note of a day.
fn as_rfc_3339(text: &str) -> String {
    let link = text.strip_prefix("[[").and_then(|it| it.strip_suffix("]]"));
    let text = link.unwrap_or(text).trim();
    let day_end = text.find([' ', 'T']).unwrap_or(text.len());
    let (day, time) = text.split_at(day_end);
    day.replace('/', "-")
        + &time
            .replace(" +", "+")
            .replace(" -", "-")
            .replace(" Z", "Z")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is out of range is no time, and parts of a microsecond are of no use"
)]
fn since_epoch(number: f64) -> Option<Timestamp> {
    let size = number.abs();
    let micros = if size >= MICROS_MIN {
        number
    } else if size >= MILLIS_MIN {
        number * 1e3
    } else {
        number * 1e6
    };
    // What is no number becomes 0, and what is too large the largest: that has no month.
    let moment = Timestamp::from_micros(micros.round() as i64);
    (!micros.is_nan() && moment.month().is_some()).then_some(moment)
}

/// Takes a text out of an object.
pub(crate) fn take_text(object: &mut Map<String, Value>, keys: &[&str]) -> Option<String> {
    let key = keys
        .iter()
        .find(|key| object.get(**key).is_some_and(Value::is_string))?;
    match object.remove(*key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Takes a time out of an object; what is no time stays there.
pub(crate) fn take_moment(object: &mut Map<String, Value>, keys: &[&str]) -> Option<Timestamp> {
    let found = keys.iter().find_map(|key| {
        let moment = object.get(*key).and_then(moment)?;
        Some((*key, moment))
    });
    let (key, moment) = found?;
    object.remove(key);
    Some(moment)
}

/// Takes tags out of an object: a list of texts, or a text with commas.
pub(crate) fn take_tags(object: &mut Map<String, Value>, keys: &[&str]) -> Vec<String> {
    let is_text = |value: &Value| value.is_string();
    let are_tags = |value: &Value| match value {
        Value::Array(tags) => tags.iter().all(is_text),
        other => other.is_string() || other.is_null(),
    };
    let Some(key) = keys
        .iter()
        .find(|key| object.get(**key).is_some_and(are_tags))
    else {
        return Vec::new();
    };
    match object.remove(*key) {
        Some(Value::String(text)) => parted(&text),
        Some(Value::Array(tags)) => tags
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// Tags that are separated by commas.
pub(crate) fn parted(text: &str) -> Vec<String> {
    text.split(',')
        .map(|tag| tag.trim().to_owned())
        .filter(|tag| !tag.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use venom_core::SecretPolicy;

    #[test]
    fn times_come_in_many_forms() {
        let day = Timestamp::parse("2023-11-14T22:13:20Z");
        for form in [
            json!("2023-11-14T22:13:20+00:00"),
            json!("2023-11-14 22:13:20"),
            json!("2023-11-14T22:13:20"),
            json!(1_700_000_000),
            json!(1_700_000_000.0),
            json!(1_700_000_000_000_i64),
            json!(1_700_000_000_000_000_i64),
            json!("1700000000"),
        ] {
            assert_eq!(moment(&form), day, "{form}");
        }
        for form in [
            "2023-11-15 00:13:20 +0200",
            "2023-11-15 00:13:20 +02:00",
            "2023-11-14 17:13:20 -0500",
            "2023-11-14T22:13:20 Z",
            "2023/11/14 22:13:20",
            "[[2023-11-14T22:13:20]]",
        ] {
            assert_eq!(moment_of_text(form), day, "{form}");
        }
        let midnight = Timestamp::parse("2023-11-14");
        for form in ["2023/11/14", "[[2023-11-14]]"] {
            assert_eq!(moment_of_text(form), midnight, "{form}");
        }
        for year in ["0000", "9999"] {
            assert!(moment(&json!(format!("{year}-01-01T00:00:00Z"))).is_some());
        }
        // One is the last microsecond that can be written, the other one more.
        assert!(moment(&json!(253_402_207_200_000_000_i64 - 64)).is_some());
        for bad in [
            json!("soon"),
            json!("14/11/2023"),
            json!("2023/11"),
            json!("2023"),
            json!("202311142213"),
            json!("20231114221320"),
            json!("[[2023-11-14|Tuesday]]"),
            json!("2023-11-14 +0200"),
            json!(null),
            json!(1e300),
            json!("NaN"),
            json!("-inf"),
            json!(253_402_207_200_000_064_i64),
        ] {
            assert_eq!(moment(&bad), None, "{bad}");
        }
    }

    #[test]
    fn what_has_no_place_is_among_the_metadata() {
        let space = SpaceName::parse("default").expect("a name");
        let loose = Loose {
            id: Some("x-1".to_owned()),
            text: " a fact ".to_owned(),
            tags: (0..12).map(|number| format!("t{number}")).collect(),
            speaker: Some("n".repeat(200)),
            ..Loose::default()
        };
        let made = loose.settle(&space).expect("it has a text");
        assert_eq!((made.id, made.content.as_str()), (None, "a fact"));
        assert_eq!(made.tags.as_slice().len(), TAGS_MAX);
        let rest = made.metadata.expect("there is more");
        let rest: Value = serde_json::from_str(rest.as_str()).expect("JSON");
        assert_eq!(rest[ORIGINAL_ID], "x-1");
        assert_eq!(rest["tags"].as_array().map(Vec::len), Some(12));
        assert_eq!(rest["speaker"].as_str().map(str::len), Some(200));
        assert!(Loose::default().settle(&space).is_err());
    }

    #[test]
    fn what_has_the_name_of_something_else_is_kept_beside_it() {
        let mut loose = Loose::default();
        let values = [1, 1, 2, 3, 2, 1].map(Value::from);
        for value in values {
            loose.keep("a", value);
        }
        let expected = json!({"a": 1, "a_": 2, "a__": 3});
        assert_eq!(Value::Object(loose.rest), expected);
        let mut many = Loose::default();
        (0..1_000).for_each(|value| many.keep("a", json!(value)));
        assert_eq!(many.rest.len(), NAMESAKES_MAX + 1);
    }

    /// Values that hold a secret in one string at most: with their words, signs that are escaped, and what the same is
    /// without the secret.
    fn value() -> impl Strategy<Value = (Value, Value)> {
        let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
        let text = ("(.|[\"\\\\\n é]){0,8}", any::<bool>()).prop_map(move |(words, has_key)| {
            let with = |secret: &str| json!(format!("{words} {secret} \"{words}"));
            let mark = "[AWS access key removed]";
            if has_key {
                (with(&key), with(mark))
            } else {
                (json!(words), json!(words))
            }
        });
        let other = prop::sample::select(vec![json!(null), json!(true), json!(-1.5), json!([])]);
        let leaf = prop_oneof![text, other.prop_map(|value| (value.clone(), value))];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| {
                let (with, without): (Vec<Value>, Vec<Value>) = items.into_iter().unzip();
                (json!(with), json!(without))
            });
            prop_oneof![list, object(inner)]
        })
    }

    fn object(
        value: impl Strategy<Value = (Value, Value)>,
    ) -> impl Strategy<Value = (Value, Value)> {
        prop::collection::btree_map("[a-d\"\\\\é{:]{0,3}", value, 0..4).prop_map(|fields| {
            let (mut with, mut without) = (Map::new(), Map::new());
            for (name, (before, after)) in fields {
                with.insert(name.clone(), before);
                without.insert(name, after);
            }
            (json!(with), json!(without))
        })
    }

    proptest! {
        #[test]
        fn masked_metadata_is_the_same_but_for_the_secrets((with, without) in object(value())) {
            let Value::Object(rest) = with else {
                return Ok(());
            };
            let loose = Loose { text: "a fact".to_owned(), rest, ..Loose::default() };
            let made = loose.settle(&SpaceName::parse("default").expect("a name")).expect("it has a text");
            let kept = made.screened(SecretPolicy::Mask).expect("nothing is refused").metadata;
            let kept = kept.map_or(Ok(json!({})), |kept| serde_json::from_str(kept.as_str()));
            prop_assert_eq!(kept.expect("JSON"), without);
        }
    }
}
