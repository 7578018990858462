//! The lines between `---` at the start of a note: the part of YAML that notes use.
//!
//! `key: value`, `key: [a, b]` in one line or several, a list of lines `- a` below a key, fields below a field, and texts
//! of several lines (`|` and `>`). Texts may be quoted; `{...}` is read as JSON, else as fields such as `{key: value}`. What
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

/// Fields within fields, at most; what lies deeper is kept as text.
const DEPTH_MAX: usize = 8;

fn fields(text: &str) -> Map<String, Value> {
    block(&text.lines().collect::<Vec<_>>(), 0)
}

/// The fields of lines. What belongs to one is indented below it and never a field beside it.
fn block(lines: &[&str], depth: usize) -> Map<String, Value> {
    let mut fields = Map::new();
    let own = lines
        .iter()
        .find(|line| says(line))
        .map_or(0, |it| indent(it));
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if !says(line) || indent(line) != own {
            continue;
        }
        let Some((key, value)) = key_and_value(line) else {
            continue;
        };
        let value = without_comment(value);
        // A list below a field may stand as far left as the field.
        let is_below = |line: &&&str| {
            line.trim().is_empty()
                || indent(line) > own
                || (value.is_empty() && indent(line) == own && is_item(line))
                || (indent(line) <= own && line.trim_start().starts_with('#'))
        };
        let below = lines[at..].iter().take_while(is_below).count();
        let below = below.max(bracketed(value, &lines[at..], own));
        let below = &lines[at..at + below];
        at += below.len();
        fields.insert(scalar(key), field(value, below, depth));
    }
    fields.retain(|_, value| !is_nothing(value));
    fields
}

/// Whether it is the value of a field that says nothing.
fn is_nothing(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// The key of a field and what is behind its colon.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let said = without_comment(line);
    // Who leaves out the space means the first colon.
    let at = key_end(said).or_else(|| said.find(':'))?;
    Some((&line[..at], &line[at + 1..]))
}

/// Where the colon behind a key is: after the quotes that the key is in, else before white space or at the end. Other
/// colons belong to the key.
fn key_end(line: &str) -> Option<usize> {
    let mut quotes = Quotes::default();
    let (plain, _) = line.char_indices().find(|(_, c)| !quotes.take(*c))?;
    if plain > 0 {
        let rest = line[plain..].trim_start();
        return rest.starts_with(':').then(|| line.len() - rest.len());
    }
    let is_end = |at: &usize| {
        let behind = &line[at + 1..];
        behind.is_empty() || behind.starts_with(char::is_whitespace)
    };
    line.match_indices(':').map(|(at, _)| at).find(is_end)
}

/// How many of the lines behind a field belong to its value in brackets, 0 if they never close. Those stand deeper than
/// the field, or beside it as long as they are no field: then each is looked at for one field only.
fn bracketed(value: &str, lines: &[&str], own: usize) -> usize {
    let is_within = |line: &&&str| {
        let is_field = || key_end(without_comment(line.trim())).is_some();
        !says(line) || indent(line) > own || (indent(line) == own && !is_field())
    };
    let within = lines.iter().take_while(is_within);
    let parts = std::iter::once(value).chain(within.map(|line| without_comment(line)));
    let mut brackets = Brackets::default();
    for (count, part) in parts.enumerate().filter(|(_, part)| !part.is_empty()) {
        if brackets.depth == 0 && !part.starts_with(['[', '{']) {
            break;
        }
        // A line feed is white space.
        for c in part.chars().chain([' ']) {
            brackets.take(c);
        }
        if brackets.depth == 0 {
            return count;
        }
    }
    0
}

/// The value of a field, with the lines below it.
fn field(value: &str, below: &[&str], depth: usize) -> Value {
    if value.starts_with(['|', '>']) && value[1..].chars().all(|c| "+-123456789".contains(c)) {
        return Value::String(block_text(below, value.starts_with('>')));
    }
    let said: Vec<&str> = below.iter().copied().filter(|line| says(line)).collect();
    if !value.is_empty() {
        return read(&in_one_line(value, &said), depth);
    }
    match said.first() {
        None => Value::Array(Vec::new()),
        Some(first) if is_item(first) => items(&said, depth),
        Some(first) if first.trim_start().starts_with(['[', '{']) => {
            read(&in_one_line("", &said), depth)
        }
        Some(_) => {
            let nested = if depth < DEPTH_MAX {
                block(below, depth + 1)
            } else {
                Map::new()
            };
            if nested.is_empty() {
                Value::String(
                    said.iter()
                        .map(|line| line.trim())
                        .collect::<Vec<_>>()
                        .join(" "),
                )
            } else {
                Value::Object(nested)
            }
        }
    }
}

/// The items of a list, each behind a dash; one that has fields of its own is an object.
fn items(lines: &[&str], depth: usize) -> Value {
    let own = lines.first().map_or(0, |line| indent(line));
    let is_start = |line: &str| indent(line) <= own && is_item(line);
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let below = lines[at + 1..]
            .iter()
            .take_while(|line| !is_start(line))
            .count();
        let below = &lines[at + 1..at + 1 + below];
        at += 1 + below.len();
        let first = line.trim_start().strip_prefix('-').unwrap_or(line);
        let text = without_comment(first);
        let is_object = !text.starts_with(['[', '{']) && key_end(text).is_some();
        let item = if is_object && !below.is_empty() && depth < DEPTH_MAX {
            // The first field of an object stands behind the dash, as far right as those below it.
            let first = format!(
                "{}{text}",
                " ".repeat(below.iter().map(|line| indent(line)).min().unwrap_or(0))
            );
            let lines: Vec<&str> = std::iter::once(first.as_str())
                .chain(below.iter().copied())
                .collect();
            Value::Object(block(&lines, depth + 1))
        } else {
            read(&in_one_line(text, below), depth)
        };
        if !is_nothing(&item) {
            items.push(item);
        }
    }
    Value::Array(items)
}

/// A text and what lines say besides comments, in one line.
fn in_one_line(text: &str, lines: &[&str]) -> String {
    let more = lines.iter().map(|line| without_comment(line));
    let parts = std::iter::once(text).chain(more);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// The text of lines as they stand, or in one line (`>`).
fn block_text(lines: &[&str], is_folded: bool) -> String {
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let own = filled.map(|line| indent(line)).min().unwrap_or(0);
    let lines = lines
        .iter()
        .map(|line| line.chars().skip(own).collect::<String>());
    let text = lines
        .collect::<Vec<_>>()
        .join(if is_folded { " " } else { "\n" });
    text.trim_end().to_owned()
}

/// Whether a line is neither blank nor a comment.
fn says(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#')
}

/// Characters before the first that is no white space.
fn indent(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace()).count()
}

fn is_item(line: &str) -> bool {
    let line = line.trim();
    line == "-" || line.starts_with("- ")
}

/// A value without the white space around it and without a comment behind it, which begins with a # after white space
/// and outside of quotes.
fn without_comment(text: &str) -> &str {
    let text = text.trim();
    let mut quotes = Quotes::default();
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if !quotes.take(c) && c == '#' && before.is_whitespace() {
            return text[..at].trim_end();
        }
        before = c;
    }
    text
}

/// Where a value is in quotes: double ones with escapes behind a backslash, single ones in which two stand for one.
struct Quotes {
    open: Option<char>,
    is_escaped: bool,
    /// Whether the last character closed a single quote, unless another one follows.
    is_closing: bool,
    before: char,
}

impl Default for Quotes {
    fn default() -> Self {
        Self {
            open: None,
            is_escaped: false,
            is_closing: false,
            before: ' ',
        }
    }
}

impl Quotes {
    /// Takes the next character: whether it is in quotes or one of them.
    fn take(&mut self, c: char) -> bool {
        let before = std::mem::replace(&mut self.before, c);
        let Some(open) = self.open else {
            // Within a word it is an apostrophe.
            let is_start = before.is_whitespace() || "[{,:".contains(before);
            let is_second = std::mem::take(&mut self.is_closing) && c == '\'';
            let opens = matches!(c, '"' | '\'') && is_start || is_second;
            self.open = Some(c).filter(|_| opens);
            return opens;
        };
        if self.is_escaped {
            self.is_escaped = false;
        } else if c == '\\' && open == '"' {
            self.is_escaped = true;
        } else if c == open {
            self.open = None;
            self.is_closing = c == '\'';
        }
        true
    }
}

/// How deep in brackets a text is, but for those in quotes.
#[derive(Default)]
struct Brackets {
    quotes: Quotes,
    depth: usize,
}

impl Brackets {
    /// Takes the next character: whether it is in quotes or one of them.
    fn take(&mut self, c: char) -> bool {
        let is_quoted = self.quotes.take(c);
        match c {
            _ if is_quoted => {}
            '[' | '{' => self.depth += 1,
            ']' | '}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        is_quoted
    }
}

fn read(value: &str, depth: usize) -> Value {
    if value.is_empty() {
        return Value::Array(Vec::new());
    }
    if value.starts_with('{')
        && let Ok(object) = serde_json::from_str(value)
    {
        return object;
    }
    if let Some(fields) = object(value, depth) {
        return Value::Object(fields);
    }
    let inner = value.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    // Two brackets are a link to a note.
    if let Some(inner) = inner.filter(|_| !value.starts_with("[[")) {
        let items = parts(inner).into_iter().filter(|item| !item.is_empty());
        return items.map(|item| read_item(item, depth)).collect();
    }
    if let (true, Ok(list)) = (inner.is_some(), serde_json::from_str(value)) {
        return list;
    }
    Value::String(scalar(value))
}

/// An item of a list in one line; numbers are texts, as they are in a list of lines.
fn read_item(text: &str, depth: usize) -> Value {
    let nested = text
        .starts_with(['{', '['])
        .then(|| serde_json::from_str(text));
    match nested {
        Some(Ok(value)) => value,
        _ => object(text, depth).map_or_else(|| Value::String(scalar(text)), Value::Object),
    }
}

/// The fields in braces; `None` of what is no such thing, as `{{date}}` in a template or `{a: b} and {c: d}`.
fn object(text: &str, depth: usize) -> Option<Map<String, Value>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut brackets = Brackets::default();
    let is_one = text[..text.len() - 1].chars().all(|c| {
        brackets.take(c);
        brackets.depth > 0
    });
    if depth >= DEPTH_MAX || inner.starts_with('{') || !is_one {
        return None;
    }
    let mut fields = Map::new();
    for part in parts(inner).into_iter().filter(|part| !part.is_empty()) {
        let at = key_end(part)?;
        let value = read(part[at + 1..].trim(), depth + 1);
        fields.insert(scalar(&part[..at]), value);
    }
    fields.retain(|_, value| !is_nothing(value));
    Some(fields)
}

/// A list cut at its commas, but not at those in quotes or brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut brackets, mut began) = (Brackets::default(), 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        if !brackets.take(c) && c == ',' && brackets.depth == 0 {
            parts.push(text[began..at].trim());
            began = at + 1;
        }
    }
    parts.push(text[began..].trim());
    parts
}

/// A text, without its quotes.
fn scalar(text: &str) -> String {
    let text = text.trim();
    if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
        return serde_json::from_str(text).unwrap_or_else(|_| unescaped(&text[1..text.len() - 1]));
    }
    if text.len() >= 2 && text.starts_with('\'') && text.ends_with('\'') {
        return text[1..text.len() - 1].replace("''", "'");
    }
    text.to_owned()
}

/// What was in double quotes, with the characters that its escapes stand for; what is no escape stays.
fn unescaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut left = text;
    while let Some((before, behind)) = left.split_once('\\') {
        let (c, length) = escaped(behind).unwrap_or(('\\', 0));
        made.push_str(before);
        made.push(c);
        left = &behind[length..];
    }
    made + left
}

/// The character that is meant behind a backslash, and how many bytes say so (YAML 1.2, 5.7).
fn escaped(text: &str) -> Option<(char, usize)> {
    let c = match text.chars().next()? {
        '0' => '\0',
        'a' => '\x07',
        'b' => '\x08',
        'e' => '\x1b',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        c @ ('"' | '/' | '\\') => c,
        'x' => return code(text, 2),
        'u' => return code(text, 4),
        'U' => return code(text, 8),
        _ => return None,
    };
    Some((c, 1))
}

/// The same of a letter and the digits behind it.
fn code(text: &str, digits: usize) -> Option<(char, usize)> {
    let code = text.get(1..=digits)?;
    // A number may have a sign, a code has none.
    let is_code = code.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(code, 16).ok().filter(|_| is_code)?;
    Some((char::from_u32(number)?, 1 + digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(front: &str, expected: &Value) {
        assert_eq!(&Value::Object(fields(front)), expected, "{front}");
    }

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

    #[test]
    fn what_lies_within_a_field_is_no_field_of_the_note() {
        for (front, expected) in [
            (
                "title: Mine\ntags: [work, home] # mine\nauthor:\n  name: Bob\n  title: Dr.\n  tags: evil\n",
                json!({"title": "Mine", "tags": ["work", "home"], "author": {"name": "Bob", "title": "Dr.", "tags": "evil"}}),
            ),
            (
                "summary: |\n  tags: no\n\n    id: x\ntags:\n- a\n- b # c\nlong: >-\n  one\n  two\n",
                json!({"summary": "tags: no\n\n  id: x", "tags": ["a", "b"], "long": "one two"}),
            ),
            (
                "tasks:\n  - name: x\n    tags: evil\n  - name: y\ntags:\n  - ok\n",
                json!({"tasks": [{"name": "x", "tags": "evil"}, "name: y"], "tags": ["ok"]}),
            ),
            (
                "tags: [2024, 2025]\nyear:\n  - 2024\n",
                json!({"tags": ["2024", "2025"], "year": ["2024"]}),
            ),
            (
                "up: [[Home]]\nrelated:\n  - \"[[A]]\"\n  - [[B]]\nboth: [\"[[A]]\", [[B]]]\n",
                json!({"up": "[[Home]]", "related": ["[[A]]", "[[B]]"], "both": ["[[A]]", "[[B]]"]}),
            ),
            (
                "tags: [a,\n  b]\nname: one\n  title: two\n",
                json!({"tags": ["a", "b"], "name": "one title: two"}),
            ),
            (
                "tags: [\"a, b\", 'c # d', it's, \"e\\\"f\"] # g\ncolour: \"#fff\" # h\nissue: C#1\n",
                json!({"tags": ["a, b", "c # d", "it's", "e\"f"], "colour": "#fff", "issue": "C#1"}),
            ),
            (
                "tags: [\"C:\\\\\",\"see #4\"]\none: 'C:\\' # a\ntwo: 'it''s #1'\nthree: ['it''s, no', \"[\\\"\", 'a\\']\n",
                json!({"tags": ["C:\\", "see #4"], "one": "C:\\", "two": "it's #1", "three": ["it's, no", "[\"", "a\\"]}),
            ),
            (
                "  a: 1\n  b:\n    - 2\n# no\n\n  c: 3\n",
                json!({"a": "1", "b": ["2"], "c": "3"}),
            ),
        ] {
            check(front, &expected);
        }
    }

    #[test]
    fn a_list_in_brackets_may_take_several_lines() {
        let listed = json!({"tags": ["a, b", "c # d", "e]"], "up": "x"});
        for front in [
            "tags: [\n  \"a, b\", # ] one\n  'c # d',\n\n# ] two\n  \"e]\"\n]\nup: x\n",
            "tags: [ # one\n\"a, b\",\n'c # d', \"e]\",\n] # two: 2\nup: x\n",
            "tags:\n  [\"a, b\", 'c # d', \"e]\"] # one\nup: x\n",
            "tags:\n  # ] one\n  [\n    \"a, b\",\n    'c # d',\n    \"e]\",\n  ]\nup: x\n",
            "tags:\n[\n\"a, b\", 'c # d',\n\"e]\"\n]\nup: x\n",
        ] {
            check(front, &listed);
        }
        check(
            "tags: [\n\"a: b\",\nhttp://a.example,\nc\n]\nup: x\n",
            &json!({"tags": ["a: b", "http://a.example", "c"], "up": "x"}),
        );
        check(
            "in:\n  all: [\n    a\n  ]\n  up: [[b]]\nmap: {\n  \"a\": [1,\n  2]\n}\nend: c\n",
            &json!({"in": {"all": ["a"], "up": "[[b]]"}, "map": {"a": [1, 2]}, "end": "c"}),
        );
    }

    #[test]
    fn a_list_that_never_closes_is_text_and_takes_no_other_field() {
        check(
            "tags: [\n  a,\n  b\ntitle: x]\nup: [c]\n",
            &json!({"tags": "[ a, b", "title": "x]", "up": ["c"]}),
        );
        check(
            "tags: [a,\nb\n\"up\": [[c]]\nlast:]\n",
            &json!({"tags": "[a,", "up": "[[c]]", "last": "]"}),
        );
        check(
            "tags:\n  [a,\n  b\nup: c]\n",
            &json!({"tags": "[a, b", "up": "c]"}),
        );
        check(
            "tags: [Draft] a\nb]\nup: c\n",
            &json!({"tags": "[Draft] a", "up": "c"}),
        );
    }

    #[test]
    fn fields_in_braces_are_read() {
        check(
            "one: {e: 'f''g', \"h: i\": \"j, k\", l: [m, {n: 1}], o:, p: {q: r:s},}\nall: [{a: b}, c]\nmap: {\n  a: 1, # b: 2\n  c: d\n}\n",
            &json!({
                "one": {"e": "f'g", "h: i": "j, k", "l": ["m", {"n": "1"}], "p": {"q": "r:s"}},
                "all": [{"a": "b"}, "c"],
                "map": {"a": "1", "c": "d"},
            }),
        );
        for text in [
            "{{date}}",
            "{{ a: b }}",
            "{a: b} and {c: d}",
            "{a: b, c}",
            "{a",
        ] {
            check(&format!("text: {text}\n"), &json!({"text": text}));
        }
        let json = json!({"a": 1, "b": [null, {"c": "d\n"}]});
        check(&format!("metadata: {json}\n"), &json!({"metadata": json}));
        let deep = format!("a: {}{}", "{a: ".repeat(1_000), "}".repeat(1_000));
        let (mut deep, mut depth) = (&Value::Object(fields(&deep)), 0);
        while let Some(inner) = deep.get("a") {
            (deep, depth) = (inner, depth + 1);
        }
        assert_eq!(depth, DEPTH_MAX + 1);
    }

    #[test]
    fn escapes_in_double_quotes_are_those_of_yaml() {
        for (quoted, expected) in [
            (r#""\x41\e[0m""#, "A\x1b[0m"),
            (
                r#""\0\a\b\e\f\n\r\t\v\"\/\\""#,
                "\0\x07\x08\x1b\x0c\n\r\t\x0b\"/\\",
            ),
            (r#""\xe4\u00fc\U0001F600""#, "\u{e4}\u{fc}\u{1f600}"),
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (
                r#""\q\x4\x+1\u12\ud83d\x41\xä""#,
                r"\q\x4\x+1\u12\ud83dA\xä",
            ),
            (r#""C:\Users\Me\""#, r"C:\Users\Me\"),
            (r"'\x41'", r"\x41"),
        ] {
            assert_eq!(scalar(quoted), expected, "{quoted}");
        }
    }

    #[test]
    fn a_key_may_hold_colons() {
        check(
            "\"a:b\": 1\n'c: d' : 2\nk:colon: x\nat:noon:\n  'it''s: 1': \"y: z\"\n  u:v: w # x: y\n",
            &json!({"a:b": "1", "c: d": "2", "k:colon": "x", "at:noon": {"it's: 1": "y: z", "u:v": "w"}}),
        );
        check(
            "all:\n  - \"a:b\": 1\n    c: 2\n  - \"d: e\n    f\"\n",
            &json!({"all": [{"a:b": "1", "c": "2"}, "d: e f"]}),
        );
        // No space behind the colon, and quotes that begin no quoted key.
        check(
            "a:b # c: d\n'tis: x\n\"b: c\n'90s' hits: y\nurl: http://z\n",
            &json!({"a": "b", "'tis": "x", "\"b": "c", "'90s' hits": "y", "url": "http://z"}),
        );
    }

    #[test]
    fn what_lies_too_deep_is_text() {
        let lines = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth)));
        let deep = fields(&lines.collect::<String>());
        let depth = serde_json::to_string(&deep)
            .expect("JSON")
            .matches('{')
            .count();
        assert_eq!(depth, DEPTH_MAX + 1);
    }
}
