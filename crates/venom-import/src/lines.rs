//! Lines of a file, each within a limit; of one that is longer nothing is kept.

use crate::bytes::without_mark;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// A line, or why it is none.
pub(crate) enum Line {
    /// Its text, without the line feed.
    Text(String),
    /// It cannot be read: one sentence.
    Bad(String),
}

/// The lines of a file, with their numbers, from 1. Blank lines are left out.
pub(crate) struct Lines {
    reader: BufReader<File>,
    bytes_max: usize,
    number: u64,
}

impl Lines {
    pub(crate) const fn new(reader: BufReader<File>, bytes_max: usize) -> Self {
        Self {
            reader,
            bytes_max,
            number: 0,
        }
    }

    /// The next line that is not blank.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<(u64, Line)>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let Some(whole) = self.read(&mut bytes)? else {
                return Ok(None);
            };
            self.number += 1;
            if whole > self.bytes_max {
                let bytes_max = self.bytes_max;
                let why = format!("it has {whole} bytes: expected at most {bytes_max} in a line");
                return Ok(Some((self.number, Line::Bad(why))));
            }
            let text = if self.number == 1 {
                without_mark(&bytes)
            } else {
                &bytes
            };
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line = match std::str::from_utf8(text) {
                Ok(text) => Line::Text(text.trim_end().to_owned()),
                Err(error) => Line::Bad(format!(
                    "it is not UTF-8: expected text, found an invalid byte at {}",
                    error.valid_up_to()
                )),
            };
            return Ok(Some((self.number, line)));
        }
    }

    /// Reads to the end of a line and keeps as much as a line may have. Returns its bytes without the line feed, 0 for an
    /// empty line; `None` at the end.
    fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let mut whole = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok((whole > 0).then_some(whole));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = (self.bytes_max + 1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&part[..part.len().min(room)]);
            whole += part.len();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(whole));
            }
        }
    }
}

/// How many lines a file has, at most: its line feeds and one. O(bytes).
pub(crate) fn count(mut reader: BufReader<File>) -> io::Result<u64> {
    let mut lines = 0;
    let mut last = b'\n';
    loop {
        let buffer = reader.fill_buf()?;
        let Some(end) = buffer.last() else {
            return Ok(lines + u64::from(last != b'\n'));
        };
        last = *end;
        lines += buffer.split(|byte| *byte == b'\n').skip(1).count() as u64;
        let used = buffer.len();
        reader.consume(used);
    }
}
