//! One bad record stops nothing: whatever stands between good records, all of them come, and it is told by its number.

use crate::bytes::LINE_BYTES_MAX;
use crate::fuzzed::{Read, read};
use crate::{Kind, json};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use std::collections::BTreeSet;

/// What is no record of any kind, wherever it stands.
const STRAYS: [&[u8]; 16] = [
    b"}",
    b"]",
    b"7",
    b"null",
    b"\"text\"",
    b"[\"list\"]",
    b"[[[[",
    b"{\"unfinished",
    b"{\"a\": {\"b\": [",
    b"{\"a\": \"b",
    b"{\"a\": \"\\ud800\"}",
    b"{\"a\": 1}",
    b"{}",
    b"\0",
    b"\xff\xfe",
    b"{\"a\": \"\xc3\x28\"}",
];

/// Something between good records.
#[derive(Clone, Debug)]
enum Bad {
    Stray(usize),
    /// A good record that ends within.
    Cut(Index),
    /// A good record with another byte in it, at which JSON breaks.
    Broken(Index),
    /// Longer than a line may be.
    Long,
}

impl Bad {
    fn bytes(&self, good: &[u8]) -> Vec<u8> {
        match self {
            Self::Stray(number) => STRAYS[*number].to_vec(),
            Self::Cut(at) => good[..=at.index(good.len() - 1)].to_vec(),
            Self::Broken(at) => {
                let mut broken = good.to_vec();
                broken[at.index(good.len())] = 0x01;
                broken
            }
            Self::Long => vec![b'x'; LINE_BYTES_MAX + 1],
        }
    }
}

fn bad() -> impl Strategy<Value = Bad> {
    prop_oneof![
        40 => (0..STRAYS.len()).prop_map(Bad::Stray),
        40 => any::<Index>().prop_map(Bad::Cut),
        20 => any::<Index>().prop_map(Bad::Broken),
        1 => Just(Bad::Long),
    ]
}

/// Good records, `None`, and bad ones between them, also before them; one is good: a file of bad ones is refused.
fn records() -> impl Strategy<Value = Vec<Option<Bad>>> {
    let record = prop_oneof![2 => Just(None), 1 => bad().prop_map(Some)];
    let records = prop::collection::vec(record, 0..12);
    (records, any::<Index>()).prop_map(|(mut records, good)| {
        records.insert(good.index(records.len() + 1), None);
        records
    })
}

/// A good record of a kind with a number in it, and the text of the memory that it makes.
fn good(kind: Kind, number: usize) -> (Vec<u8>, String) {
    let text = format!("fact {number}");
    let record = match kind {
        Kind::ServerMemory => json!({"entityType": "a", "name": "", "observations": [text]}),
        Kind::ChatGpt => {
            json!({"conversation_id": "c", "current_node": "a", "mapping": {"a": {"message":
            {"author": {"role": "user"}, "content": {"parts": [text]}}}}})
        }
        Kind::Claude => json!({"chat_messages": [{"sender": "human", "text": text}], "uuid": "c"}),
        Kind::Mem0 => json!({"memory": text, "categories": ["a"]}),
        _ => json!({"content": text, "tags": ["a"]}),
    };
    (record.to_string().into_bytes(), text)
}

/// What is read of records with bad ones among them, and what must be: the texts, and the numbers of the bad.
fn told(
    kind: Kind,
    records: &[Option<Bad>],
    (start, between, end): (&str, &str, &str),
) -> (Read, Vec<String>, Vec<usize>) {
    let mut file = start.as_bytes().to_vec();
    let (mut texts, mut bad) = (Vec::new(), Vec::new());
    for (number, record) in (1..).zip(records) {
        if number > 1 {
            file.extend_from_slice(between.as_bytes());
        }
        let (bytes, text) = good(kind, number);
        if let Some(record) = record {
            file.extend(record.bytes(&bytes));
            bad.push(number);
        } else {
            file.extend(bytes);
            texts.push(text);
        }
    }
    file.extend_from_slice(end.as_bytes());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, &file).expect("it can be written");
    (read(&path, Some(kind), file.len()), texts, bad)
}

fn texts(read: &Read) -> Vec<String> {
    let texts = read
        .memories
        .iter()
        .map(|new| new.content.as_str().to_owned());
    texts.collect()
}

/// The numbers of what was left out.
fn numbers(read: &Read) -> Vec<usize> {
    let number = |place: &str| place.rsplit_once(' ')?.1.parse().ok();
    let places = read.skipped.iter().map(|skipped| skipped.place.as_str());
    places
        .map(|place| number(place).expect("a number"))
        .collect()
}

proptest! {
    #[test]
    fn among_lines(records in records(), is_a_graph: bool, windows: bool) {
        let kind = if is_a_graph { Kind::ServerMemory } else { Kind::Jsonl };
        // At the start it is the mark of UTF-16.
        prop_assume!(!matches!(records[0], Some(Bad::Stray(number)) if STRAYS[number] == b"\xff\xfe"));
        let between = if windows { "\r\n" } else { "\n" };
        let (read, expected, bad) = told(kind, &records, ("", between, between));
        prop_assert_eq!(&read.unusable, &None);
        prop_assert_eq!(texts(&read), expected);
        prop_assert_eq!(numbers(&read), bad);
    }

    #[test]
    fn among_the_conversations_of_a_list(records in records(), is_claude: bool, pretty: bool) {
        let kind = if is_claude { Kind::Claude } else { Kind::ChatGpt };
        let frame = if pretty { ("\u{feff}[\n  ", ",\n  ", "\n]\n") } else { ("[", ",", "]") };
        let (read, expected, bad) = told(kind, &records, frame);
        prop_assert_eq!(texts(&read), expected);
        // A bad one may be told in parts, and what is never closed holds bad ones behind it.
        let is_told = !read.skipped.is_empty() || read.unusable.is_some();
        prop_assert_eq!(is_told, !bad.is_empty());
        // A list that ends in a bad one may seem to be cut short.
        let ends_well = !matches!(records.last(), Some(Some(_)));
        prop_assert!(!ends_well || read.unusable.is_none(), "{:?}", read);
    }

    /// In one JSON value a bad record is one of a wrong form. Where its JSON is broken, nothing comes.
    #[test]
    fn among_the_memories_of_mem0(records in records()) {
        let (read, expected, bad) = told(Kind::Mem0, &records, ("{\"results\": [", ", ", "]}"));
        let whole = |record: &Option<Bad>| match record {
            None => true,
            Some(Bad::Stray(number)) => json::parse(STRAYS[*number], 1 << 10).is_ok(),
            Some(_) => false,
        };
        if records.iter().all(whole) {
            prop_assert_eq!(texts(&read), expected);
            prop_assert_eq!(numbers(&read), bad);
        } else {
            prop_assert!(read.unusable.is_some() && read.kind.is_none(), "{:?}", read);
            prop_assert!(read.memories.is_empty());
        }
    }

    #[test]
    fn among_the_notes_of_a_folder(records in prop::collection::vec(prop::option::of(0_usize..8), 1..12)) {
        let long = vec![b'x'; venom_core::limits::CONTENT_BYTES_MAX + 1];
        let endless = vec![b'x'; 3 * venom_core::limits::CONTENT_BYTES_MAX];
        let bad: [&[u8]; 8] =
            [b"", b"\xef\xbb\xbf", b"\xff\xfea\0", b"a\0b", b"\xc3\x28", b"---\na: b\n---\n", &long, &endless];
        let folder = tempfile::tempdir().expect("a folder");
        let (mut expected, mut left_out) = (Vec::new(), BTreeSet::new());
        for (number, record) in records.iter().enumerate() {
            let name = format!("note {number:02}.md");
            let text = format!("fact {number}");
            let bytes = record.map_or(text.as_bytes(), |which| bad[which]);
            std::fs::write(folder.path().join(&name), bytes).expect("it can be written");
            if record.is_some() {
                left_out.insert(name);
            } else {
                expected.push(format!("note {number:02}\n\n{text}"));
            }
        }
        let read = read(folder.path(), None, records.len());
        prop_assert_eq!(&read.unusable, &None);
        prop_assert_eq!(texts(&read), expected);
        let places: BTreeSet<String> = read.skipped.iter().map(|skipped| skipped.place.clone()).collect();
        prop_assert_eq!(places, left_out);
    }
}
