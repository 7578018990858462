//! Zeroing what belongs to nothing in a SQLite database file: room between cells, free pages, the ends of chains.
//!
//! SQLite leaves the bytes of what was deleted where they are, and copies of what it moved from page to page, even
//! with `secure_delete`. Nothing reads these bytes, so they may be zeroed in place, a page at a time, and a write that
//! is cut short harms nothing. The owner of the file calls this with its log empty, its cache dropped and nobody
//! writing. The format is in <https://www.sqlite.org/fileformat2.html>, by whose sections things are named here.
//! What stays are fragments: up to three bytes between two cells.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of the file's header, before the page header of page 1.
const FILE_HEADER: usize = 100;
/// Most pages from a root to a leaf; SQLite's own limit.
const DEPTH_MAX: usize = 20;

/// Kinds of b-tree pages, by their first byte.
const INTERIOR_INDEX: u8 = 2;
const INTERIOR_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;

/// A database file whose free room is zeroed.
#[derive(Debug)]
pub(crate) struct Scrubber<'a> {
    file: &'a File,
    page_bytes: usize,
    /// Bytes of a page that hold anything.
    usable: usize,
    pages: u32,
}

impl<'a> Scrubber<'a> {
    /// For a file with nothing in its log.
    ///
    /// # Errors
    /// If it cannot be read or is no database.
    pub(crate) fn new(file: &'a File) -> io::Result<Self> {
        let mut header = [0; FILE_HEADER];
        file.read_exact_at(&mut header, 0)?;
        let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            bytes => usize::from(bytes),
        };
        let usable = page_bytes.saturating_sub(usize::from(header[20]));
        if !page_bytes.is_power_of_two() || usable < 480 {
            return Err(strange(1, "a page size"));
        }
        let pages = file.metadata()?.len() / page_bytes as u64;
        Ok(Self {
            file,
            page_bytes,
            usable,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
        })
    }

    /// Zeroes what free pages hold. O(free pages).
    ///
    /// # Errors
    /// If the file cannot be read or written, or is not as it should be.
    pub(crate) fn free_pages(&self) -> io::Result<()> {
        let first = self.page(1)?;
        let (mut trunk, mut left) = (number(&first, 32), number(&first, 36));
        if left > self.pages {
            return Err(strange(1, "a count of free pages"));
        }
        while trunk != 0 {
            let page = self.page(trunk)?;
            let leaves = number(&page, 4);
            let end = (leaves as usize).saturating_mul(4).saturating_add(8);
            if end > self.usable || leaves >= left {
                return Err(strange(trunk, "a list of free pages"));
            }
            for place in (8..end).step_by(4) {
                let leaf = number(&page, place);
                let held = self.page(leaf)?;
                self.zero(leaf, &held, 0, self.page_bytes)?;
            }
            self.zero(trunk, &page, end, self.page_bytes)?;
            left -= leaves + 1;
            trunk = number(&page, 0);
        }
        Ok(())
    }

    /// The numbers of all pages of these b-trees. O(pages above the leaves).
    ///
    /// # Errors
    /// As [`Self::free_pages`].
    pub(crate) fn trees(&self, roots: &[u32]) -> io::Result<BTreeSet<u32>> {
        let mut all = BTreeSet::new();
        for root in roots {
            let mut level = vec![*root];
            for _ in 0..DEPTH_MAX {
                all.extend(&level);
                // All leaves are equally deep.
                let Some(first) = level.first() else { break };
                if !is_interior(kind(&self.page(*first)?, *first)?) {
                    break;
                }
                let mut below = Vec::new();
                for number in &level {
                    self.children(*number, &mut below)?;
                    if below.len() > self.pages as usize {
                        return Err(strange(*number, "fewer pages below it"));
                    }
                }
                level = below;
            }
        }
        Ok(all)
    }

    fn children(&self, page_number: u32, into: &mut Vec<u32>) -> io::Result<()> {
        let page = self.page(page_number)?;
        let start = header_start(page_number);
        if !is_interior(kind(&page, page_number)?) {
            return Err(strange(page_number, "a page above the leaves"));
        }
        for cell in self.cells(&page, page_number)? {
            into.push(number(&page, cell));
        }
        into.push(number(&page, start + 8));
        Ok(())
    }

    /// Zeroes the room of a page of a b-tree that is not in use, and what is behind the ends of the chains that begin
    /// on it.
    ///
    /// # Errors
    /// As [`Self::free_pages`].
    pub(crate) fn tree_page(&self, page_number: u32) -> io::Result<()> {
        let page = self.page(page_number)?;
        let (kind, start) = (kind(&page, page_number)?, header_start(page_number));
        let cells = self.cells(&page, page_number)?;
        let list_end = start + header_bytes(kind) + 2 * cells.len();
        let content = match short(&page, start + 5) {
            0 => 65_536,
            at => at,
        };
        if content < list_end || content > self.usable {
            return Err(strange(page_number, "cells behind their list"));
        }
        self.zero(page_number, &page, list_end, content)?;
        let mut block = short(&page, start + 1);
        while block != 0 {
            let (next, length) = match page.get(block..block + 4) {
                Some(_) if block >= content => (short(&page, block), short(&page, block + 2)),
                _ => return Err(strange(page_number, "a free block within the page")),
            };
            let end = block + length;
            if length < 4 || end > self.usable || (next != 0 && next < end) {
                return Err(strange(page_number, "a free block within the page"));
            }
            self.zero(page_number, &page, block + 4, end)?;
            block = next;
        }
        if kind != INTERIOR_TABLE {
            for cell in cells {
                if let Some((first, bytes)) = self.chain(&page, page_number, (kind, cell))? {
                    self.chain_end(first, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Where the chain of a cell begins and how many bytes it has; `None` if all of the cell is on its page.
    fn chain(
        &self,
        page: &[u8],
        page_number: u32,
        (kind, cell): (u8, usize),
    ) -> io::Result<Option<(u32, usize)>> {
        let lost = || strange(page_number, "a cell within the page");
        let mut at = cell + if kind == INTERIOR_INDEX { 4 } else { 0 };
        let payload = varint(page, &mut at).ok_or_else(lost)?;
        if kind == LEAF_TABLE {
            varint(page, &mut at).ok_or_else(lost)?;
        }
        let payload = usize::try_from(payload).map_err(|_| lost())?;
        if payload / self.usable > self.pages as usize {
            return Err(lost());
        }
        let most = if kind == LEAF_TABLE {
            self.usable - 35
        } else {
            (self.usable - 12) * 64 / 255 - 23
        };
        if payload <= most {
            return Ok(None);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let whole_chain = least + (payload - least) % (self.usable - 4);
        let here = if whole_chain <= most {
            whole_chain
        } else {
            least
        };
        if at + here + 4 > self.usable {
            return Err(lost());
        }
        Ok(Some((number(page, at + here), payload - here)))
    }

    /// Zeroes what is behind the last byte of a chain.
    fn chain_end(&self, first: u32, bytes: usize) -> io::Result<()> {
        let (mut next, mut left) = (first, bytes);
        let each = self.usable - 4;
        while left > each {
            let mut head = [0; 4];
            self.file.read_exact_at(&mut head, self.place(next)?)?;
            next = u32::from_be_bytes(head);
            left -= each;
        }
        let page = self.page(next)?;
        if number(&page, 0) != 0 {
            return Err(strange(next, "the end of a chain"));
        }
        self.zero(next, &page, 4 + left, self.usable)
    }

    /// Where the cells of a page start.
    fn cells(&self, page: &[u8], page_number: u32) -> io::Result<Vec<usize>> {
        let start = header_start(page_number);
        let count = short(page, start + 3);
        let list = start + header_bytes(kind(page, page_number)?);
        let list = page.get(list..list + 2 * count);
        let list = list.ok_or_else(|| strange(page_number, "a list of cells"))?;
        let (places, _) = list.as_chunks();
        let places = places
            .iter()
            .map(|place| usize::from(u16::from_be_bytes(*place)));
        let places: Vec<usize> = places.collect();
        if places.iter().any(|place| place + 4 > self.usable) {
            return Err(strange(page_number, "cells within the page"));
        }
        Ok(places)
    }

    fn place(&self, page_number: u32) -> io::Result<u64> {
        if page_number == 0 || page_number > self.pages {
            return Err(strange(page_number, "a page within the file"));
        }
        Ok(u64::from(page_number - 1) * self.page_bytes as u64)
    }

    fn page(&self, page_number: u32) -> io::Result<Vec<u8>> {
        let mut page = vec![0; self.page_bytes];
        self.file
            .read_exact_at(&mut page, self.place(page_number)?)?;
        Ok(page)
    }

    /// Zeroes bytes of a page, unless they are zero.
    fn zero(&self, page_number: u32, page: &[u8], start: usize, end: usize) -> io::Result<()> {
        let held = page.get(start..end).unwrap_or_default();
        if held.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let zeros = vec![0; held.len()];
        self.file
            .write_all_at(&zeros, self.place(page_number)? + start as u64)
    }
}

/// Where the header of a b-tree page starts.
const fn header_start(page_number: u32) -> usize {
    if page_number == 1 { FILE_HEADER } else { 0 }
}

fn kind(page: &[u8], page_number: u32) -> io::Result<u8> {
    match page.get(header_start(page_number)) {
        Some(&kind @ (INTERIOR_INDEX | INTERIOR_TABLE | LEAF_INDEX | LEAF_TABLE)) => Ok(kind),
        _ => Err(strange(page_number, "a page of a b-tree")),
    }
}

const fn is_interior(kind: u8) -> bool {
    matches!(kind, INTERIOR_INDEX | INTERIOR_TABLE)
}

const fn header_bytes(kind: u8) -> usize {
    if is_interior(kind) { 12 } else { 8 }
}

/// Two bytes, big-endian; 0 where there are none.
fn short(page: &[u8], at: usize) -> usize {
    let bytes = page.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, |bytes| usize::from(u16::from_be_bytes(bytes)))
}

/// Four bytes, big-endian; 0 where there are none.
fn number(page: &[u8], at: usize) -> u32 {
    let bytes = page.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

/// A number of one to nine bytes, seven bits in each but the ninth, the highest first.
fn varint(page: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for count in 1..=9 {
        let byte = *page.get(*at)?;
        *at += 1;
        if count == 9 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn strange(page_number: u32, expected: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("page {page_number} of venom.db is damaged: expected {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;
    use std::path::Path;

    fn scrub(path: &Path, roots: &[u32]) -> io::Result<usize> {
        let file = File::options().read(true).write(true).open(path)?;
        let scrubber = Scrubber::new(&file)?;
        scrubber.free_pages()?;
        let pages = scrubber.trees(roots)?;
        for page in &pages {
            scrubber.tree_page(*page)?;
        }
        Ok(pages.len())
    }

    fn roots(connection: &Connection) -> Vec<u32> {
        crate::erase::roots(connection).unwrap()
    }

    /// Everything that the database says.
    fn contents(connection: &Connection) -> Vec<(i64, Option<String>, Option<Vec<u8>>)> {
        let mut all = connection
            .prepare("SELECT id, name, body FROM t ORDER BY id")
            .unwrap();
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// A database of small pages after inserts, changes and deletions; every text and body has its number in it.
    fn made(path: &Path, page_bytes: u32, steps: &[(u8, u16, u16)]) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .pragma_update(None, "page_size", page_bytes)
            .unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, body BLOB);
                 CREATE INDEX by_name ON t (name);
                 CREATE TABLE w (name TEXT PRIMARY KEY, id INTEGER) WITHOUT ROWID;",
            )
            .unwrap();
        for (step, (kind, id, length)) in steps.iter().enumerate() {
            let (id, length) = (i64::from(*id % 200), usize::from(*length % 9_000));
            let name = format!("gone{step:08}{}", "n".repeat(length / 7));
            let body = format!("gone{step:08}").into_bytes().repeat(length / 12);
            let done = match kind % 4 {
                0 => connection.execute("DELETE FROM t WHERE id = ?1", [id]),
                1 => connection.execute("DELETE FROM w WHERE id = ?1", [id]),
                2 => connection.execute("INSERT OR REPLACE INTO w VALUES (?1, ?2)", (&name, id)),
                _ => connection.execute(
                    "INSERT OR REPLACE INTO t VALUES (?1, ?2, ?3)",
                    (id, &name, &body),
                ),
            };
            done.unwrap();
        }
        connection
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_scrubbed_says_the_same_and_nothing_else(
            steps in prop::collection::vec(any::<(u8, u16, u16)>(), 1..400),
            page_bytes in prop::sample::select(vec![512_u32, 1_024, 8_192, 65_536]),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.db");
            let connection = made(&path, page_bytes, &steps);
            let (before, roots) = (contents(&connection), roots(&connection));
            drop(connection);
            let pages = scrub(&path, &roots).unwrap();
            prop_assert!(pages >= roots.len());
            let connection = Connection::open(&path).unwrap();
            let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            prop_assert_eq!(sound, "ok");
            prop_assert_eq!(&contents(&connection), &before);
            // Of the numbers of all steps only those of what is there are in the file.
            let mut there: BTreeSet<String> = before.iter().filter_map(|row| row.1.clone()).collect();
            let mut names = connection.prepare("SELECT name FROM w").unwrap();
            there.extend(names.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
            let there: BTreeSet<&str> = there.iter().map(|name| &name[..12]).collect();
            let bytes = std::fs::read(&path).unwrap();
            // Those that are cut by the end of a page are no numbers.
            let is_number = |part: &[u8]| part.starts_with(b"gone") && part[4..].iter().all(u8::is_ascii_digit);
            for part in bytes.windows(12).filter(|part| is_number(part)) {
                let number = std::str::from_utf8(part).unwrap();
                prop_assert!(there.contains(number), "{}", number);
            }
        }

        #[test]
        fn a_damaged_file_ends_in_an_error_and_no_panic(
            places in prop::collection::vec(any::<(u16, u8)>(), 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.db");
            let steps: Vec<(u8, u16, u16)> = (0..300).map(|n: u16| (n.to_le_bytes()[0], n * 7, n * 31)).collect();
            let connection = made(&path, 1_024, &steps);
            let roots = roots(&connection);
            drop(connection);
            let mut bytes = std::fs::read(&path).unwrap();
            for (place, byte) in places {
                // Headers and lists of cells are at the starts of pages.
                let at = usize::from(place) * 1_024 / 64 + usize::from(place) % 64;
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            std::fs::write(&path, bytes).unwrap();
            // Whether it is noticed depends on the place.
            let _ = scrub(&path, &roots);
        }
    }
}
