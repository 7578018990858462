//! How deep JSON is nested, looked at before it is parsed: parsers go down into it by recursion.

/// Whether arrays and objects lie more than `levels` deep in each other. One pass over the bytes,
/// without memory of its own; of bytes that are no JSON any answer will do.
pub(super) fn is_deeper_than(levels: usize, json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                // To the end of the text. What follows a backslash ends nothing.
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => _ = bytes.next(),
                        _ => {}
                    }
                }
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > levels {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn brackets_count_and_texts_do_not() {
        assert!(!is_deeper_than(2, b"[[], {\"a\": []}]".split_at(3).0));
        assert!(is_deeper_than(2, b"[[], {\"a\": []}]"));
        assert!(!is_deeper_than(1, br#"["[[[\"[[[", "\\", "{"]"#));
        assert!(is_deeper_than(1, br#"["\\", [1]]"#));
        assert!(
            !is_deeper_than(0, b"7") && !is_deeper_than(0, b"") && !is_deeper_than(0, b"]\"\\")
        );
        let deep = "[".repeat(10_000_000);
        assert!(is_deeper_than(64, deep.as_bytes()));
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{}\"\\\\a\u{e9}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(8, 64, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[\\[{\"\\\\]{0,4}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_the_depth_of_the_parsed_value(value in json(), levels in 0_usize..10) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(is_deeper_than(levels, text.as_bytes()), depth(&value) > levels);
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = is_deeper_than(3, &bytes);
        }
    }
}
