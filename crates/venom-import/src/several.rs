//! Several sources of one kind, one after the other: places in a folder, or the parts of a data export.

use crate::{Found, Kind, Record, Records, Skipped, Unusable, calling};
use std::iter;
use std::path::{Path, PathBuf};

/// The records of sources, each with its name and path. One that cannot be read is left out, unless none can; the records
/// of one alone are as they are.
///
/// # Errors
/// [`Unusable`] of the first, if none can be read.
pub(crate) fn several(
    kind: Kind,
    sources: Vec<(String, PathBuf)>,
    open: impl Fn(&Path) -> Result<Records, Unusable> + Send + 'static,
) -> Result<Records, Unusable> {
    let is_one = sources.len() == 1;
    let mut sources = sources.into_iter();
    let mut opened = Vec::new();
    for source in sources.by_ref() {
        let records = open(&source.1);
        let is_readable = records.is_ok();
        opened.push((source, records));
        if is_readable {
            break;
        }
    }
    let can_be_read = opened.iter().any(|(_, records)| records.is_ok());
    if is_one || !can_be_read {
        let first = opened.into_iter().next();
        return first.map_or_else(|| Ok(none(kind)), |(_, records)| records);
    }
    let rest = sources.map(move |source| {
        let records = open(&source.1);
        (source, records)
    });
    let found = opened.into_iter().chain(rest).flat_map(named);
    Ok(Records {
        found: Box::new(found.map(Ok)),
        ..none(kind)
    })
}

fn none(kind: Kind) -> Records {
    Records {
        kind,
        total: None,
        left: Vec::new(),
        found: Box::new(iter::empty()),
    }
}

/// The records of a source with its name, or why there are none.
fn named(
    ((name, path), records): ((String, PathBuf), Result<Records, Unusable>),
) -> impl Iterator<Item = Found> {
    let found = match records {
        Ok(records) => records.found,
        Err(unusable) => Box::new(iter::once(Err(unusable))),
    };
    found.map(move |found| among_others((&name, &path), found))
}

/// A record of one among several sources, of the name and path of that: its place tells of which. What ends one of them
/// is left out itself, and stops none of the others.
pub(crate) fn among_others((name, path): (&str, &Path), found: Result<Found, Unusable>) -> Found {
    let within = |place: String| format!("{name}, {place}");
    match found {
        Ok(Ok(record)) => Ok(Record {
            place: within(record.place),
            ..record
        }),
        Ok(Err(skipped)) => Err(Skipped {
            place: within(skipped.place),
            ..skipped
        }),
        Err(unusable) => Err(Skipped {
            place: name.to_owned(),
            why: calling("it", path, &unusable),
        }),
    }
}
