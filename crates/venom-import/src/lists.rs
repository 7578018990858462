//! Files that are a JSON list each, read one after the other and element by element: data exports, cut into parts or not.

use crate::bytes;
use crate::elements::{Element, Elements};
use crate::several::several;
use crate::start::{NoStart, start};
use crate::{Found, Kind, Options, Records, Skipped, Unusable};
use serde_json::Value;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// What a list is made of.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// Keys of which each element has one.
    pub(crate) keys: &'static [&'static str],
    /// What an element is called.
    pub(crate) element: &'static str,
    /// What the file should be.
    pub(crate) expected: &'static str,
}

/// Reads lists one after the other; that none of them is one is told before anything comes of it. Where one of several is
/// none or breaks off, the others come all the same.
pub(crate) fn lists<F>(
    kind: Kind,
    files: Vec<PathBuf>,
    form: Form,
    options: &Options,
    read: F,
) -> Result<Records, Unusable>
where
    F: Fn(&str, &Value) -> VecDeque<Found> + Clone + Send + 'static,
{
    let watch = options.watch.clone();
    for file in &files {
        watch.will_read(std::fs::metadata(file).map_or(0, |found| found.len()));
    }
    let sources = files.into_iter().map(|file| (bytes::name_of(&file), file));
    several(kind, sources.collect(), move |file| {
        let elements = Elements::new(bytes::open(file, form.expected)?, form.keys, &watch);
        list((kind, form.element), file, elements, read.clone())
    })
}

/// Reads a list element by element.
fn list(
    (kind, called): (Kind, &'static str),
    file: &Path,
    mut elements: Elements,
    read: impl Fn(&str, &Value) -> VecDeque<Found> + Send + 'static,
) -> Result<Records, Unusable> {
    let shown = file.display().to_string();
    let mut next = move || {
        let (number, element) = match elements.next() {
            Ok(element) => element?,
            Err(error) => return Some(Err(error.to_string())),
        };
        let place = format!("{called} {number}");
        Some(match element {
            Element::Value(value) => Ok(Ok(read(&place, &value))),
            Element::Bad(why) => Ok(Err(Skipped { place, why })),
            Element::Broken(why) => Err(why),
        })
    };
    let start = start(&mut next).map_err(|refused| {
        let why = match refused {
            NoStart::Broken(why) => why,
            NoStart::Bad(Skipped { place, why }) => format!("of {place} {why}"),
        };
        Unusable(format!("{shown} cannot be read as {}: {why}", kind.name()))
    })?;
    let mut ready: VecDeque<Found> = start.skipped.into_iter().map(Err).collect();
    ready.extend(start.first.into_iter().flatten());
    let found = move || {
        while ready.is_empty() {
            match next()? {
                Ok(Ok(found)) => ready = found,
                Ok(Err(skipped)) => ready.push_back(Err(skipped)),
                Err(why) => {
                    return Some(Err(Unusable(format!(
                        "{shown} cannot be read further: {why}"
                    ))));
                }
            }
        }
        ready.pop_front().map(Ok)
    };
    Ok(crate::ended(Records {
        kind,
        total: None,
        left: Vec::new(),
        found: Box::new(std::iter::from_fn(found)),
    }))
}
