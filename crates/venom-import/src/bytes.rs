//! Files as they come from outside, read within limits. What lists a folder leaves links in it alone; a file that was
//! named is opened also where it is a link.

use crate::{Unusable, json};
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

/// Longest line of a file of JSON lines, in bytes (4 MiB): the longest memory with every byte escaped and more.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest record in a JSON list, in bytes (64 MiB): a conversation with everything that was said in it.
pub const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest file that is read whole, in bytes (64 MiB).
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most files of a folder of notes.
pub const FOLDER_FILES_MAX: usize = 1_000_000;

/// Bytes at the start of a file that tell what it is.
pub(crate) const START_BYTES: u64 = 64 * 1024;
/// The mark of byte order that some programs write in front of a text.
pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

pub(crate) fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Unusable {
    Unusable(format!("{} cannot be read: {error}", path.display()))
}

/// The file that was named, or of a folder the file of that name in it; a plain file, not a link.
pub(crate) fn file_of(path: &Path, name: &str, expected: &str) -> Result<PathBuf, Unusable> {
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !found.is_dir() {
        return Ok(path.to_owned());
    }
    let file = path.join(name);
    match std::fs::symlink_metadata(&file) {
        Ok(found) if found.is_file() => Ok(file),
        Ok(_) => Err(Unusable(format!(
            "{} is no plain file: expected {expected}",
            file.display()
        ))),
        Err(_) => Err(Unusable(format!(
            "{} holds no {name}: expected {expected}",
            path.display()
        ))),
    }
}

/// The files of a data export that go by a name: `NAME.json`, or `NAME-000.json` and so on where it was cut into parts;
/// with `within` also every file of the folder NAME. Plain files only, sorted. None in a folder that cannot be listed.
pub(crate) fn parts_of(folder: &Path, name: &str, within: bool) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = json_files(folder)
        .filter(|path| is_part(path, name))
        .collect();
    if within && !is_link(&folder.join(name)) {
        files.extend(json_files(&folder.join(name)));
    }
    files.sort();
    files
}

/// Whether a file is called `NAME.json` or, as a part, `NAME-000.json` and so on.
pub(crate) fn is_part(path: &Path, name: &str) -> bool {
    let stem = path.file_stem().and_then(|it| it.to_str());
    let rest = stem.and_then(|stem| stem.strip_prefix(name));
    let is_number = |rest: &str| {
        let digits = rest.strip_prefix('-').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_json = path.extension().is_some_and(|it| it == "json");
    is_json && rest.is_some_and(|rest| rest.is_empty() || is_number(rest))
}

/// The name of a file, without its folder.
pub(crate) fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn json_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let paths = files.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "json"))
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// Whether bytes begin an archive: zip (also an empty or split one), gzip, bzip2, xz, zstd, 7-zip. Where a plain
/// file is expected none is unpacked.
fn is_archive(start: &[u8]) -> bool {
    const STARTS: [&[u8]; 8] = [
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"PK\x07\x08",
        &[0x1f, 0x8b],
        b"BZh",
        b"\xfd7zXZ",
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"7z\xbc\xaf",
    ];
    STARTS.iter().any(|archive| start.starts_with(archive))
}

/// Why a file that begins so is none of those that are read; `None` if it may be one.
pub(crate) fn refusal(path: &Path, start: &[u8], expected: &str) -> Option<Unusable> {
    let (what, advice) = match start {
        [] | MARK => ("empty", ""),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("UTF-16, not UTF-8", "; save it as UTF-8 first"),
        start if is_archive(start) => ("an archive", "; extract it first"),
        _ => return None,
    };
    let shown = path.display();
    Some(Unusable(format!(
        "{shown} is {what}: expected {expected}{advice}"
    )))
}

/// Opens a file that has something in it and is no archive.
pub(crate) fn open(path: &Path, expected: &str) -> Result<BufReader<File>, Unusable> {
    let shown = path.display();
    // Before it is opened: a pipe would wait for a writer.
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !found.is_file() {
        return Err(Unusable(format!("{shown} is no file: expected {expected}")));
    }
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut start = Vec::new();
    let read = (&file).take(8).read_to_end(&mut start);
    read.map_err(|error| unreadable(path, &error))?;
    if let Some(unusable) = refusal(path, &start, expected) {
        return Err(unusable);
    }
    file.rewind().map_err(|error| unreadable(path, &error))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// The first bytes of such a file, at most so many.
pub(crate) fn start(path: &Path, bytes_max: u64, expected: &str) -> Result<Vec<u8>, Unusable> {
    let mut start = Vec::new();
    let read = open(path, expected)?
        .take(bytes_max)
        .read_to_end(&mut start);
    read.map_err(|error| unreadable(path, &error))?;
    Ok(start)
}

/// A text without a mark of byte order in front of it.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// A whole file as text.
pub(crate) fn text(path: &Path, bytes_max: usize, expected: &str) -> Result<String, Unusable> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let read = open(path, expected)?
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error))?;
    if bytes.len() > bytes_max {
        return Err(Unusable(format!(
            "{shown} is too long: expected at most {bytes_max} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Unusable(format!(
            "{shown} is not UTF-8: expected text, found an invalid byte at {at}"
        ))
    })
}

/// A whole file of JSON.
pub(crate) fn json(path: &Path, expected: &str) -> Result<Value, Unusable> {
    let text = text(path, FILE_BYTES_MAX, expected)?;
    // A mark of byte order stands at the start of what some programs write.
    let text = text.trim_start_matches('\u{feff}');
    json::parse(text.as_bytes(), FILE_BYTES_MAX).map_err(|why| {
        let shown = path.display();
        Unusable(format!(
            "{shown} cannot be read: expected {expected}, but {why}"
        ))
    })
}
