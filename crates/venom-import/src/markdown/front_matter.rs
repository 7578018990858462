//! The lines between `---` at the start of a note: the part of YAML that notes use.
//!
//! `key: value`, `key: [a, b]` and a list of lines `- a` below a key. Texts may be quoted; `{...}` is read as JSON. What
//! is of another form is kept as the text that it is.

use serde_json::{Map, Value};

/// The fields of a note and its body. Without front matter all of it is body.
pub(super) fn split(text: &str) -> (Map<String, Value>, &str) {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.split_inclusive('\n');
    if lines.next().map(str::trim_end) != Some("---") {
        return (Map::new(), text);
    }
    let begin = text.find('\n').map_or(text.len(), |at| at + 1);
    let mut end = begin;
    for line in lines {
        let mark = line.trim_end();
        if mark == "---" || mark == "..." {
            return (fields(&text[begin..end]), &text[end + line.len()..]);
        }
        end += line.len();
    }
    // It never ends: then it was none.
    (Map::new(), text)
}

fn fields(text: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut list: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let (Some(item), Some(key)) = (trimmed.strip_prefix("- "), &list) {
            if let Some(Value::Array(items)) = fields.get_mut(key) {
                items.push(Value::String(scalar(item)));
            }
            continue;
        }
        let Some((key, value)) = trimmed.split_once(':') else {
            continue;
        };
        let (key, value) = (key.trim().to_owned(), value.trim());
        list = value.is_empty().then(|| key.clone());
        fields.insert(key, read(value));
    }
    fields.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    fields
}

fn read(value: &str) -> Value {
    if value.is_empty() {
        return Value::Array(Vec::new());
    }
    if value.starts_with('{')
        && let Ok(object) = serde_json::from_str(value)
    {
        return object;
    }
    let inner = value.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Some(inner) = inner {
        if let Ok(list) = serde_json::from_str(value) {
            return list;
        }
        let items = inner.split(',').map(scalar).filter(|item| !item.is_empty());
        return items.map(Value::String).collect();
    }
    Value::String(scalar(value))
}

/// A text, without its quotes.
fn scalar(text: &str) -> String {
    let text = text.trim();
    if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
        return serde_json::from_str(text).unwrap_or_else(|_| text[1..text.len() - 1].to_owned());
    }
    if text.len() >= 2 && text.starts_with('\'') && text.ends_with('\'') {
        return text[1..text.len() - 1].replace("''", "'");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn notes_are_read_as_people_write_them() {
        let note = "---\ntitle: \"A: b\"\ntags:\n  - one\n  - 'two'\naliases: [x, \"y\"]\nempty:\n# no\n---\n\nBody\n---\n";
        let (fields, body) = split(note);
        let expected = json!({"title": "A: b", "tags": ["one", "two"], "aliases": ["x", "y"]});
        assert_eq!(Value::Object(fields), expected);
        assert_eq!(body, "\nBody\n---\n");
        for plain in ["", "---", "--- \nnever ends", "text\n---\na: b\n---"] {
            assert_eq!(split(plain), (Map::new(), plain));
        }
    }
}
