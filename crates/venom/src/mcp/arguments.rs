//! The arguments of a tool call, taken one by one out of the JSON that came.

use crate::asked::{FilterWords, OriginWords, shown, texts};
use crate::failure::Failure;
use rmcp::model::JsonObject;
use serde_json::Value;
use venom_core::{Filter, InputError, MemoryId, Origin, SpaceName};

/// A text that must be there.
pub(super) fn required_text<'a>(
    arguments: &'a JsonObject,
    field: &'static str,
) -> Result<&'a str, Failure> {
    match arguments.get(field) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(Failure::invalid(format!(
            "{field} is missing: expected a text"
        ))),
        Some(other) => Err(InputError::malformed(field, "a text", &shown(other)).into()),
    }
}

/// A text that may be there.
pub(super) fn optional_text<'a>(
    arguments: &'a JsonObject,
    field: &'static str,
) -> Result<Option<&'a str>, Failure> {
    match arguments.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => required_text(arguments, field).map(Some),
    }
}

/// True or false; false if it is not there. Also written as text, as some clients send it.
pub(super) fn flag(arguments: &JsonObject, field: &'static str) -> Result<bool, Failure> {
    match arguments.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::String(text)) if matches!(text.trim(), "true" | "false") => {
            Ok(text.trim() == "true")
        }
        Some(other) => Err(InputError::malformed(field, "true or false", &shown(other)).into()),
    }
}

/// A whole number that may be there; also one written as text, as some clients send it and the predecessor
/// took it.
pub(super) fn number(
    arguments: &JsonObject,
    field: &'static str,
    expected: &'static str,
) -> Result<Option<i64>, Failure> {
    let value = match arguments.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let malformed = || InputError::malformed(field, expected, &shown(value));
    Ok(Some(number.ok_or_else(malformed)?))
}

/// A whole number within limits that may be there.
pub(super) fn number_within(
    arguments: &JsonObject,
    field: &'static str,
    (min, max, expected): (i64, i64, &'static str),
) -> Result<Option<usize>, Failure> {
    let Some(received) = number(arguments, field, expected)? else {
        return Ok(None);
    };
    let out_of_range = || InputError::OutOfRange {
        field,
        min,
        max,
        received,
    };
    let number = usize::try_from(received)
        .ok()
        .filter(|_| (min..=max).contains(&received));
    Ok(Some(number.ok_or_else(out_of_range)?))
}

/// The memory that is named.
pub(super) fn memory_id(arguments: &JsonObject, field: &'static str) -> Result<MemoryId, Failure> {
    Ok(MemoryId::parse(required_text(arguments, field)?.trim())?)
}

/// A list that may be there; `None` is not the same as an empty one.
pub(super) fn optional_texts(
    arguments: &JsonObject,
    field: &'static str,
) -> Result<Option<Vec<String>>, Failure> {
    let list = texts(arguments, field)?;
    let given = !matches!(arguments.get(field), None | Some(Value::Null));
    Ok(given.then_some(list))
}

/// Where a memory comes from, as far as the arguments say.
pub(super) fn origin(arguments: &JsonObject) -> Result<Origin, Failure> {
    let words = OriginWords {
        speaker: optional_text(arguments, "speaker")?,
        session: optional_text(arguments, "session")?,
        occurred_at: optional_text(arguments, "occurred_at")?,
    };
    words.read()
}

/// Which memories count.
pub(super) fn filter(arguments: &JsonObject, configured: &SpaceName) -> Result<Filter, Failure> {
    let words = FilterWords {
        space: optional_text(arguments, "space")?,
        tags_any: texts(arguments, "tags")?,
        tags_all: texts(arguments, "tags_all")?,
        tags_none: texts(arguments, "tags_none")?,
        since: optional_text(arguments, "since")?,
        until: optional_text(arguments, "until")?,
        speaker: optional_text(arguments, "speaker")?,
        session: optional_text(arguments, "session")?,
    };
    words.read(configured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check_limit(value: &Value, expected: Result<Option<usize>, &str>) {
        let arguments = json!({ "limit": value });
        let limits = (1, 20, "a whole number from 1 to 20");
        let got = number_within(arguments.as_object().unwrap(), "limit", limits);
        assert_eq!(got.map_err(|f| f.message), expected.map_err(str::to_owned));
    }

    #[test]
    fn limits_are_whole_numbers() {
        check_limit(&json!(null), Ok(None));
        check_limit(&json!(20), Ok(Some(20)));
        check_limit(&json!("7"), Ok(Some(7)));
        check_limit(
            &json!(0),
            Err("limit is out of range: expected 1 to 20, received 0"),
        );
        check_limit(
            &json!("five"),
            Err("limit is malformed: expected a whole number from 1 to 20, received \"five\""),
        );
        check_limit(
            &json!(2.5),
            Err("limit is malformed: expected a whole number from 1 to 20, received \"2.5\""),
        );
    }

    #[test]
    fn flags_may_be_written_as_text() {
        let read = |value| flag(json!({ "explain": value }).as_object().unwrap(), "explain");
        assert_eq!(read(json!(null)), Ok(false));
        assert_eq!(read(json!("true")), Ok(true));
        let message = read(json!("yes")).unwrap_err().message;
        assert_eq!(
            message,
            "explain is malformed: expected true or false, received \"yes\""
        );
    }
}
