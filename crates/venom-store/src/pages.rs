//! Files that are written once and notice every damage: pages with a checksum each.
//!
//! A file is its content, cut into pages of [`PAGE`] bytes, then a CRC-32 for each page, then a footer that says
//! how long the content is and has a checksum of the checksums. It is written beside its place, and moved
//! there when it is whole. Nothing is synced: what power loss takes away is found damaged and made anew.
//!
//! Reading is by position, not by a memory map: a file that is cut short under us is an error and not the end of
//! the process, and network shares are no special case.

use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IoSliceMut, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes of a page, the last of a file may be shorter.
pub const PAGE: usize = 4_096;
/// Most bytes that are read at once.
const READ_AT_ONCE: usize = 64 * PAGE;
/// Most bytes that the system is asked to fetch at once.
const EXPECTED_AT_ONCE: usize = 32 * PAGE;
/// Last bytes of a whole file.
const MAGIC: [u8; 8] = *b"VenomPg1";
/// Length of the content, checksum of both, magic.
const FOOTER: usize = 8 + 4 + MAGIC.len();

/// Where files of pages are written: a seam, so that tests can let any write fail.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Makes a file that only its owner may read, or empties one.
    fn create(&self, place: &Path) -> io::Result<Box<dyn io::Write + Send>>;

    /// Moves a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, place: &Path) -> io::Result<Box<dyn io::Write + Send>> {
        let mut options = crate::folder::private_file();
        let file = options.create(true).truncate(true).open(place)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
}

/// Writes a file of pages.
pub struct PageWriter {
    disk: Arc<dyn Disk>,
    file: BufWriter<Box<dyn io::Write + Send>>,
    place: PathBuf,
    sums: Vec<u32>,
    page: crc32fast::Hasher,
    length: u64,
}

impl fmt::Debug for PageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PageWriter of {}, {} bytes",
            self.place.display(),
            self.length
        )
    }
}

impl PageWriter {
    /// Begins a file that shall be at `place`. Until [`Self::finish`] it is beside it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(place: &Path) -> io::Result<Self> {
        Self::create_on(Arc::new(RealDisk), place)
    }

    pub(crate) fn create_on(disk: Arc<dyn Disk>, place: &Path) -> io::Result<Self> {
        let file = disk.create(&unfinished(place))?;
        Ok(Self {
            disk,
            file: BufWriter::with_capacity(64 * PAGE, file),
            place: place.to_owned(),
            sums: Vec::new(),
            page: crc32fast::Hasher::new(),
            length: 0,
        })
    }

    /// Where the next byte goes.
    pub const fn position(&self) -> u64 {
        self.length
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        while !bytes.is_empty() {
            let room = PAGE - self.within_page();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.page.update(now);
            self.length += now.len() as u64;
            if self.within_page() == 0 {
                self.close_page();
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Appends zeros up to the start of the next page, none if one starts here.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn align(&mut self) -> io::Result<()> {
        let missing = (PAGE - self.within_page()) % PAGE;
        self.write(&[0; PAGE][..missing])
    }

    /// Completes the file and moves it to its place.
    ///
    /// # Errors
    /// If that fails; then nothing is at its place that was not there before.
    pub fn finish(mut self) -> io::Result<()> {
        if self.within_page() > 0 {
            self.close_page();
        }
        let sums: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        self.file.write_all(&sums)?;
        self.file.write_all(&footer(self.length, &sums))?;
        self.file.flush()?;
        self.disk.rename(&unfinished(&self.place), &self.place)
    }

    fn within_page(&self) -> usize {
        usize::try_from(self.length % PAGE as u64).unwrap_or(0)
    }

    fn close_page(&mut self) {
        let page = std::mem::take(&mut self.page);
        self.sums.push(page.finalize());
    }
}

/// Where a file is until it is whole.
fn unfinished(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Removes what was written of a file that was not completed.
pub(crate) fn remove_unfinished(place: &Path) {
    let _ = std::fs::remove_file(unfinished(place));
}

/// Has the system fetch the last bytes of a file, which are read first, meanwhile.
pub(crate) fn expect_end(place: &Path) {
    let Ok(file) = File::open(place) else {
        return;
    };
    let bytes = file.metadata().map_or(0, |found| found.len());
    // Four bytes a page and the last page.
    let end = bytes / (PAGE as u64 / 4) + 4 * PAGE as u64;
    let _ = rustix::fs::fadvise(&file, bytes.saturating_sub(end), None, Advice::WillNeed);
}

fn footer(length: u64, sums: &[u8]) -> [u8; FOOTER] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(sums);
    sum.update(&length.to_le_bytes());
    let mut footer = [0; FOOTER];
    footer[..8].copy_from_slice(&length.to_le_bytes());
    footer[8..12].copy_from_slice(&sum.finalize().to_le_bytes());
    footer[12..].copy_from_slice(&MAGIC);
    footer
}

/// Why a file of pages cannot be read.
#[derive(Debug)]
pub enum PageError {
    /// It is not as it was written.
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system does not give it.
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { file, reason } => write!(f, "{} is damaged: {reason}", file.display()),
            Self::Io { file, error } => write!(f, "{} cannot be read: {error}", file.display()),
        }
    }
}

impl PageError {
    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            Self::Damaged { file, .. } | Self::Io { file, .. } => file,
        }
    }
}

impl std::error::Error for PageError {}

/// A whole file of pages, open for reading from many threads.
#[derive(Debug)]
pub struct Pages {
    file: File,
    place: PathBuf,
    length: u64,
    sums: Vec<u32>,
    /// One bit per page: whether it was read and found right.
    checked: Vec<AtomicU64>,
    /// By page: its content, where it is kept.
    kept: Vec<OnceLock<Box<[u8]>>>,
    /// How many pages more may be kept.
    room: AtomicUsize,
}

impl Pages {
    /// Opens a file and reads its checksums. O(pages).
    ///
    /// # Errors
    /// [`PageError`] if it is not there or not whole.
    pub fn open(place: &Path) -> Result<Self, PageError> {
        let io = |error| PageError::Io {
            file: place.to_owned(),
            error,
        };
        let file = File::open(place).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let mut pages = Self {
            file,
            place: place.to_owned(),
            length: 0,
            sums: Vec::new(),
            checked: Vec::new(),
            kept: Vec::new(),
            room: AtomicUsize::new(0),
        };
        let cut = |pages: &Self| {
            pages.damaged(format!(
                "expected a file that was written whole, found {bytes} bytes"
            ))
        };
        let footer_at = bytes
            .checked_sub(FOOTER as u64)
            .ok_or_else(|| cut(&pages))?;
        let mut found = [0; FOOTER];
        pages.read_plain(footer_at, &mut found)?;
        let (length, _) = found.split_first_chunk().expect("a footer is longer");
        let length = u64::from_le_bytes(*length);
        let count = length.div_ceil(PAGE as u64);
        let expected = length.checked_add(4 * count).filter(|at| *at == footer_at);
        let count = usize::try_from(count).ok().filter(|_| expected.is_some());
        let count = count.ok_or_else(|| cut(&pages))?;
        let mut sums = vec![0; 4 * count];
        pages.read_plain(length, &mut sums)?;
        if footer(length, &sums) != found {
            return Err(cut(&pages));
        }
        let (sums, _) = sums.as_chunks();
        pages.sums = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        pages
            .checked
            .resize_with(count.div_ceil(64), AtomicU64::default);
        pages.kept.resize_with(count, OnceLock::new);
        pages.length = length;
        Ok(pages)
    }

    /// Where the file is.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Bytes of its content.
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether it has no content.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Fills `into` with the content from `start` on; every page that it touches is checked.
    /// O(bytes + [`PAGE`]).
    ///
    /// # Errors
    /// [`PageError`] if a page is not as it was written, or the content ends before.
    pub fn read(&self, start: u64, into: &mut [u8]) -> Result<(), PageError> {
        let end = start.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(self.damaged(format!(
                "expected {} bytes from {start} on, found a content of {}",
                into.len(),
                self.length
            )));
        }
        let (mut at, mut into) = (start, into);
        while !into.is_empty() {
            let number = at / PAGE as u64;
            let first = number * PAGE as u64;
            // So much at a time that it is still in a cache when it is checked.
            let whole = into.len().min(READ_AT_ONCE) / PAGE * PAGE;
            let count = if at == first && whole > 0 {
                let pages = &mut into[..whole];
                self.read_plain(at, pages)?;
                for (number, page) in (number..).zip(pages.chunks_exact(PAGE)) {
                    self.check(number, page)?;
                }
                whole
            } else {
                let size = usize::try_from(self.length - first).map_or(PAGE, |rest| rest.min(PAGE));
                let mut page = [0; PAGE];
                let page = &mut page[..size];
                self.read_plain(first, page)?;
                self.check(number, page)?;
                self.keep(number, page);
                let wanted = &page[usize::try_from(at - first).unwrap_or(0)..];
                let count = into.len().min(wanted.len());
                into[..count].copy_from_slice(&wanted[..count]);
                count
            };
            at += count as u64;
            into = &mut into[count..];
        }
        Ok(())
    }

    /// Reads every page. O(bytes).
    ///
    /// # Errors
    /// [`PageError`] for the first that is not as it was written.
    pub fn check_all(&self) -> Result<(), PageError> {
        let mut some = vec![0; READ_AT_ONCE];
        let mut at = 0;
        while at < self.length {
            let rest = usize::try_from(self.length - at).unwrap_or(usize::MAX);
            let count = some.len().min(rest);
            self.read(at, &mut some[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    /// Reads `length` bytes from each of `starts` on and hands them out in this order. What the system does not have
    /// at hand it fetches all at once and not one after the other. O(bytes).
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_each(
        &self,
        starts: &[u64],
        length: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), PageError> {
        let mut bytes = vec![0; length * starts.len()];
        let mut missing = Vec::new();
        for (start, into) in starts.iter().zip(bytes.chunks_exact_mut(length)) {
            if !self.read_at_hand(*start, into) {
                let length = NonZeroU64::new(length as u64);
                let _ = rustix::fs::fadvise(&self.file, *start, length, Advice::WillNeed);
                missing.push((start, into));
            }
        }
        for (start, into) in missing {
            self.read(*start, into)?;
        }
        bytes.chunks_exact(length).for_each(&mut each);
        Ok(())
    }

    /// Says that this will be read: what was never read before the system fetches meanwhile.
    pub fn expect(&self, start: u64, length: u64) {
        let end = start.saturating_add(length).min(self.length);
        let mut pages = start / PAGE as u64..end.div_ceil(PAGE as u64);
        if pages.all(|page| self.was_checked(page)) {
            return;
        }
        // Of a longer piece the system may fetch the beginning only.
        for at in (start..end).step_by(EXPECTED_AT_ONCE) {
            let length = NonZeroU64::new((end - at).min(EXPECTED_AT_ONCE as u64));
            let _ = rustix::fs::fadvise(&self.file, at, length, Advice::WillNeed);
        }
    }

    /// Reads what is in pages that were checked before and that the system has at hand; else `false`.
    fn read_at_hand(&self, start: u64, into: &mut [u8]) -> bool {
        if self.read_kept(start, into).is_some() {
            return true;
        }
        // Behind the content are the checksums.
        let end = start.checked_add(into.len() as u64);
        let Some(end) = end.filter(|end| *end <= self.length) else {
            return false;
        };
        let mut pages = start / PAGE as u64..end.div_ceil(PAGE as u64);
        let parts = &mut [IoSliceMut::new(into)];
        self.room.load(Ordering::Relaxed) == 0
            && pages.all(|page| self.was_checked(page))
            && rustix::io::preadv2(&self.file, parts, start, ReadWriteFlags::NOWAIT)
                .is_ok_and(|count| count == parts[0].len())
    }

    /// Reads what is in pages that are kept, no longer than a page; else nothing.
    fn read_kept(&self, start: u64, into: &mut [u8]) -> Option<()> {
        let number = usize::try_from(start / PAGE as u64).ok()?;
        let skipped = usize::try_from(start % PAGE as u64).ok()?;
        let first = self.kept.get(number)?.get()?.get(skipped..)?;
        let (head, tail) = into.split_at_mut(first.len().min(into.len()));
        if !tail.is_empty() {
            let second = self.kept.get(number + 1)?.get()?;
            tail.copy_from_slice(second.get(..tail.len())?);
        }
        head.copy_from_slice(&first[..head.len()]);
        Some(())
    }

    /// Keeps up to so many bytes of the pages that are read in parts from now on.
    pub fn keep_up_to(&self, bytes: usize) {
        self.room.store(bytes / PAGE, Ordering::Relaxed);
    }

    fn keep(&self, number: u64, page: &[u8]) {
        let slot = usize::try_from(number).ok().and_then(|n| self.kept.get(n));
        let one_less = |room: usize| room.checked_sub(1);
        let taken = |room: &AtomicUsize| {
            room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok()
        };
        if let Some(slot) = slot.filter(|slot| slot.get().is_none())
            && taken(&self.room)
            && slot.set(page.into()).is_err()
        {
            self.room.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn was_checked(&self, page: u64) -> bool {
        let page = usize::try_from(page).unwrap_or(usize::MAX);
        let word = self.checked.get(page / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (page % 64) & 1 == 1)
    }

    /// Tells the system that what follows a read is not wanted.
    pub fn expect_scattered_reads(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Random);
    }

    fn check(&self, number: u64, page: &[u8]) -> Result<(), PageError> {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if self.sums.get(at) == Some(&crc32fast::hash(page)) {
            self.checked[at / 64].fetch_or(1 << (at % 64), Ordering::Relaxed);
            return Ok(());
        }
        Err(self.damaged(format!("page {number} has another checksum than expected")))
    }

    fn read_plain(&self, at: u64, into: &mut [u8]) -> Result<(), PageError> {
        self.file
            .read_exact_at(into, at)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    self.damaged(format!("expected bytes from {at} on, found its end"))
                }
                _ => PageError::Io {
                    file: self.place.clone(),
                    error,
                },
            })
    }

    /// What is wrong with this file, for what its readers find.
    pub fn damaged(&self, reason: String) -> PageError {
        PageError::Damaged {
            file: self.place.clone(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use venom_fuzz::Target;

    fn written(place: &Path, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = PageWriter::create(place).unwrap();
        for part in parts {
            writer.write(part).unwrap();
        }
        assert!(!place.exists());
        writer.finish().unwrap();
        parts.concat()
    }

    fn content(place: &Path) -> Result<Vec<u8>, PageError> {
        let pages = Pages::open(place)?;
        let mut content = vec![0; usize::try_from(pages.len()).unwrap()];
        pages.read(0, &mut content)?;
        Ok(content)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_range_is_read_as_it_was_written(
            parts in vec(vec(any::<u8>(), 0..6_000), 0..5),
            ranges in vec((0_usize..24_000, 0_usize..9_000), 8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("file");
            let expected = written(&place, &parts);
            let pages = Pages::open(&place).unwrap();
            prop_assert_eq!(pages.len(), expected.len() as u64);
            for (start, length) in ranges {
                let mut found = vec![0; length];
                let read = pages.read(start as u64, &mut found);
                match expected.get(start..start + length) {
                    Some(expected) => {
                        read.unwrap();
                        prop_assert_eq!(found, expected);
                    }
                    None => prop_assert!(read.is_err()),
                }
            }
        }

        #[test]
        fn pieces_are_read_as_they_were_written(
            content in vec(any::<u8>(), 20_000),
            starts in vec(0_u64..=19_000, 40),
            length in 1_usize..1_000,
            kept in 0_usize..6,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("file");
            written(&place, std::slice::from_ref(&content));
            let pages = Pages::open(&place).unwrap();
            pages.expect_scattered_reads();
            pages.keep_up_to(kept * PAGE);
            for starts in starts.chunks(10) {
                let mut found = Vec::new();
                pages.read_each(starts, length, |piece| found.push(piece.to_vec())).unwrap();
                let expected = starts.iter().map(|start| usize::try_from(*start).unwrap());
                let expected: Vec<&[u8]> = expected.map(|start| &content[start..][..length]).collect();
                prop_assert_eq!(found, expected);
            }
            prop_assert!(pages.kept.iter().filter_map(OnceLock::get).count() <= kept);
            let beyond = pages.read_each(&[19_999, 20_000], length, |_| {});
            prop_assert!(beyond.is_err());
        }

        #[test]
        fn no_damage_goes_unnoticed(
            parts in vec(vec(any::<u8>(), 0..6_000), 1..3),
            at in any::<prop::sample::Index>(),
            cut: bool,
            flip in 1_u8..,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("file");
            written(&place, &parts);
            let mut bytes = std::fs::read(&place).unwrap();
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= flip;
            }
            std::fs::write(&place, bytes).unwrap();
            let is_noticed = matches!(content(&place), Err(PageError::Damaged { .. }));
            prop_assert!(is_noticed);
        }
    }

    #[test]
    fn parts_can_start_on_pages() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        let mut writer = PageWriter::create(&place).unwrap();
        writer.align().unwrap();
        assert_eq!(writer.position(), 0);
        writer.write(&[1; 10]).unwrap();
        writer.align().unwrap();
        writer.align().unwrap();
        assert_eq!(writer.position(), PAGE as u64);
        writer.write(&[2]).unwrap();
        writer.finish().unwrap();
        let mut found = [7; 2];
        Pages::open(&place)
            .unwrap()
            .read(PAGE as u64 - 1, &mut found)
            .unwrap();
        assert_eq!(found, [0, 2]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Pages::open(Path::new("/no/such/file")).unwrap_err();
        assert!(matches!(error, PageError::Io { .. }));
        assert!(
            error
                .to_string()
                .starts_with("/no/such/file cannot be read: ")
        );
    }

    #[test]
    fn fuzz_pages() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        let mut target = Target::new("pages")
            .words(&["VenomPg1"])
            .bytes_max(12 * 1024)
            .memory_max(crate::tests::fuzzed::MEMORY_MAX);
        for length in [0, 1, PAGE, PAGE + 7, 2 * PAGE] {
            let whole = folder.path().join(length.to_string());
            written(&whole, &[vec![7; length]]);
            target = target.seed(std::fs::read(whole).unwrap());
        }
        target.run(|bytes| {
            std::fs::write(&place, bytes).unwrap();
            let opened = Pages::open(&place);
            let pages = opened.map_err(|error| crate::tests::fuzzed::kind_of(&error))?;
            assert!(pages.len() <= bytes.len() as u64);
            pages.keep_up_to(PAGE);
            pages.expect(1, u64::MAX);
            let starts = [0, pages.len() / 2, pages.len().saturating_sub(9)];
            let parts = pages.read_each(&starts, 9, |part| assert_eq!(part.len(), 9));
            assert!(pages.read(pages.len(), &mut [0]).is_err());
            assert!(pages.read(u64::MAX, &mut [0; 2]).is_err());
            let all = content(&place).ok();
            assert_eq!(all.is_some(), pages.check_all().is_ok());
            // What is read is what was written.
            assert!(all.iter().all(|all| bytes.starts_with(all)));
            Ok::<_, String>((
                pages.len().min(3 * PAGE as u64) / 1024,
                all.is_some(),
                parts.is_ok(),
            ))
        });
    }
}
