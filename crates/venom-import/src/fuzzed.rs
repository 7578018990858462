//! What holds for every file that is read, whatever is in it: the measure of the fuzz targets beside the parsers.

use crate::{Kind, Options, Skipped, Unusable, Watch};
use std::collections::BTreeSet;
use std::path::Path;
use venom_core::limits::{CONTENT_BYTES_MAX, TAGS_MAX};
use venom_core::{
    Content, MemoryId, Metadata, NewImport, SessionName, SpaceName, Speaker, Tag, Timestamp,
};

/// Longest reason why a record is left out, and longest place of one, in bytes: an id may have 1,024 characters.
const REASON_BYTES_MAX: usize = 4 * 1024;

/// What was told of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) kind: Option<Kind>,
    pub(crate) memories: Vec<NewImport>,
    pub(crate) skipped: Vec<Skipped>,
    /// Why it could not be read, or not to its end.
    pub(crate) unusable: Option<String>,
}

pub(crate) fn options(folder: &Path) -> Options {
    Options {
        space: SpaceName::parse("default").expect("a name"),
        other_collections: true,
        conversations: true,
        scratch: folder.to_owned(),
        watch: Watch::default(),
    }
}

/// Reads a file or folder as a kind and looks at everything that comes, of which there may be `records_max`.
pub(crate) fn read(path: &Path, kind: Option<Kind>, records_max: usize) -> Read {
    let mut read = Read {
        kind: None,
        memories: Vec::new(),
        skipped: Vec::new(),
        unusable: None,
    };
    let records = match crate::open(path, kind, &options(&std::env::temp_dir())) {
        Ok(records) => records,
        Err(Unusable(why)) => {
            check_reason(&why);
            read.unusable = Some(why);
            return read;
        }
    };
    assert!(kind.is_none_or(|kind| kind == records.kind));
    read.kind = Some(records.kind);
    for (count, found) in records.found.enumerate() {
        assert_eq!(read.unusable, None, "nothing comes after it");
        assert!(count < records_max, "more than {records_max} records");
        match found {
            Ok(Ok(record)) => {
                check_memory(&record.new);
                assert!(!record.place.is_empty() && record.place.len() <= REASON_BYTES_MAX);
                read.memories.push(record.new);
            }
            Ok(Err(skipped)) => {
                check_reason(&skipped.why);
                assert!(skipped.place.len() <= REASON_BYTES_MAX);
                read.skipped.push(skipped);
            }
            Err(Unusable(why)) => {
                check_reason(&why);
                read.unusable = Some(why);
            }
        }
    }
    let numbers = read.skipped.iter().filter_map(|skipped| {
        let (of, number) = skipped.place.rsplit_once(' ')?;
        Some((of, number.parse::<u64>().ok()?))
    });
    // Each file counts for itself.
    let numbers: Vec<_> = numbers.collect();
    let mut files = numbers.chunk_by(|one, other| one.0 == other.0);
    assert!(files.all(<[_]>::is_sorted), "{:?}", read.skipped);
    read
}

fn check_reason(why: &str) {
    assert!(
        !why.trim().is_empty() && why.len() <= REASON_BYTES_MAX,
        "{why}"
    );
}

/// A memory is one that the domain takes: all of its parts can be written out and parsed again.
fn check_memory(new: &NewImport) {
    let text = new.content.as_str();
    assert!(text.len() <= CONTENT_BYTES_MAX);
    assert_eq!(Content::parse(text).as_ref(), Ok(&new.content));
    assert!(new.tags.as_slice().len() <= TAGS_MAX);
    for tag in new.tags.as_slice() {
        assert_eq!(Tag::parse(tag.as_str(), 1).as_ref(), Ok(tag));
    }
    for time in [new.stored_at, new.origin.occurred_at]
        .into_iter()
        .flatten()
    {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
    }
    assert_eq!(
        SpaceName::parse(new.space.as_str()).as_ref(),
        Ok(&new.space)
    );
    if let Some(id) = new.id {
        assert_eq!(MemoryId::parse(&id.to_string()), Ok(id));
    }
    if let Some(speaker) = &new.origin.speaker {
        assert_eq!(Speaker::parse(speaker.as_str()).as_ref(), Ok(speaker));
    }
    if let Some(session) = &new.origin.session {
        assert_eq!(SessionName::parse(session.as_str()).as_ref(), Ok(session));
    }
    if let Some(metadata) = &new.metadata {
        assert_eq!(Metadata::parse(metadata.as_str()).as_ref(), Ok(metadata));
        let object = serde_json::from_str::<serde_json::Value>(metadata.as_str());
        assert!(
            object.is_ok_and(|object| object.is_object()),
            "{metadata:?}"
        );
    }
}

/// Which outcome an input had: by what was told of it, without what is different with each.
pub(crate) type Outcome = (Option<&'static str>, u32, Option<u32>, BTreeSet<String>);

/// Takes a file with these bytes as a fuzz target does: twice, with the same outcome.
pub(crate) fn outcome(kind: Option<Kind>, name: &str, bytes: &[u8]) -> Outcome {
    // One for all inputs of a target: to make folders takes longer than all the rest.
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder"));
    let folder = FOLDER.with(|folder| folder.path().to_owned());
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("it can be written");
    // Each record takes a byte at least, and each file may be refused.
    let once = read(&path, kind, bytes.len() + 1);
    let twice = read(&path, kind, bytes.len() + 1);
    assert_eq!(once, twice);
    of(&once, &folder.display().to_string())
}

/// The outcome of what was read in a folder.
pub(crate) fn of(read: &Read, folder: &str) -> Outcome {
    let places = read.skipped.iter().map(|skipped| skipped.why.as_str());
    let reasons = places.chain(read.unusable.as_deref()).map(|why| {
        let why = why.replace(folder, "");
        let words = why.split(|c: char| !c.is_ascii_alphabetic());
        words.take(12).collect::<Vec<_>>().join(" ")
    });
    // What a memory has, a bit each.
    let has = read.memories.iter().map(|new| {
        let has = [
            new.id.is_some(),
            new.stored_at.is_some(),
            new.origin.occurred_at.is_some(),
            new.origin.speaker.is_some(),
            new.origin.session.is_some(),
            new.metadata.is_some(),
            !new.tags.as_slice().is_empty(),
            new.space.as_str() != "default",
        ];
        has.into_iter()
            .fold(0_u32, |bits, has| 2 * bits + u32::from(has))
    });
    let count = read.memories.len() + read.skipped.len();
    (
        read.kind.map(Kind::name),
        count.checked_ilog2().unwrap_or_default(),
        has.reduce(|all, one| all | one),
        reasons.collect(),
    )
}
