//! Vectors in a file, as codes and bytes. `docs/file-format.md` describes it byte by byte.

use super::codes::Codes;
use super::kernels::{Factors, LANES};
use super::{DIMENSIONS_MAX, Quantizer, Query, byte_dot, in_bytes};
use crate::pages::{Disk, PAGE, PageError, PageWriter, Pages, RealDisk};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// First bytes of the last page.
const MAGIC: [u8; 8] = *b"VenomVec";
/// Version of the format.
const VERSION: u32 = 1;
/// Bytes of rows that are kept in memory once they were read: those of 120,000 vectors of 384 components.
const KEPT_BYTES: usize = 48 * 1024 * 1024;
/// Bytes of a float.
const FLOAT: usize = size_of::<f32>();
/// Bytes of the factors of a block.
const FACTORS: usize = 2 * LANES * size_of::<u16>();

/// Writes a [`VectorFile`].
#[derive(Debug)]
pub struct VectorFileWriter {
    pages: PageWriter,
    quantizer: Quantizer,
    codes: Codes,
}

impl VectorFileWriter {
    /// Begins a file at `place`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(place: &Path, quantizer: Quantizer) -> io::Result<Self> {
        Self::create_on(Arc::new(RealDisk), place, quantizer)
    }

    pub(crate) fn create_on(
        disk: Arc<dyn Disk>,
        place: &Path,
        quantizer: Quantizer,
    ) -> io::Result<Self> {
        Ok(Self {
            pages: PageWriter::create_on(disk, place)?,
            codes: Codes::new(quantizer.dimensions()),
            quantizer,
        })
    }

    /// Appends a vector in the next row. O(dimensions * log dimensions).
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// For a vector of another length than the quantizer's.
    pub fn push(&mut self, vector: &[f32]) -> io::Result<()> {
        assert_eq!(
            vector.len(),
            self.quantizer.dimensions(),
            "components of a vector"
        );
        let (residual, base) = (self.quantizer.residual(vector), self.quantizer.base(vector));
        self.codes.push(&residual, base);
        let (bytes, step) = in_bytes(&residual);
        let bytes: Vec<u8> = bytes.iter().map(|byte| byte.cast_unsigned()).collect();
        self.pages.write(&bytes)?;
        self.pages.write(&step.to_le_bytes())?;
        self.pages.write(&base.to_le_bytes())
    }

    /// Completes the file and moves it to its place.
    ///
    /// # Errors
    /// If that fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.pages.align()?;
        self.pages.write(self.codes.blocks.as_flattened())?;
        self.pages.align()?;
        for Factors { scales, bases } in &self.codes.factors {
            let both = [scales, bases].into_iter().flatten();
            let bytes: Vec<u8> = both.flat_map(|half| half.to_le_bytes()).collect();
            self.pages.write(&bytes)?;
        }
        self.pages.align()?;
        self.pages
            .write(&floats(self.quantizer.centre.iter().copied()))?;
        self.pages.align()?;
        let header = Header {
            dimensions: self.quantizer.dimensions(),
            rows: self.codes.len(),
            seed: self.quantizer.seed,
        };
        self.pages.write(&header.encode())?;
        self.pages.finish()
    }
}

/// What the last page of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    dimensions: usize,
    rows: usize,
    seed: u64,
}

impl Header {
    fn encode(self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        page[16..24].copy_from_slice(&(self.dimensions as u64).to_le_bytes());
        page[24..32].copy_from_slice(&(self.rows as u64).to_le_bytes());
        page[32..40].copy_from_slice(&self.seed.to_le_bytes());
        page
    }

    /// Reads the last page.
    fn read(pages: &Pages) -> Result<Self, PageError> {
        let mut page = [0; PAGE];
        if let Some(at) = pages.len().checked_sub(PAGE as u64) {
            pages.read(at, &mut page)?;
        }
        Self::decode(&page).ok_or_else(|| strange(pages))
    }

    /// Where the codes, the factors and the centre begin in a file that ends with this header.
    fn parts(self, pages: &Pages) -> Result<[u64; 3], PageError> {
        let is_last = |header: u64| header.checked_add(PAGE as u64) == Some(pages.len());
        let [codes, factors, centre, _] = self
            .layout()
            .filter(|[.., header]| is_last(*header))
            .ok_or_else(|| strange(pages))?;
        Ok([codes, factors, centre])
    }

    /// `None` for what is no header of a file of this version.
    fn decode(page: &[u8; PAGE]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = page[at..].first_chunk().expect("a page is longer");
            u64::from_le_bytes(*bytes)
        };
        let dimensions = usize::try_from(number(16)).ok()?;
        let version = u32::try_from(number(8)).ok()?;
        let is_known = page.starts_with(&MAGIC) && version == VERSION;
        (is_known && (1..=DIMENSIONS_MAX).contains(&dimensions)).then_some(())?;
        Some(Self {
            dimensions,
            rows: usize::try_from(number(24)).ok()?,
            seed: number(32),
        })
    }

    /// Where the codes, the factors, the centre and the header begin; `None` if that is no number.
    fn layout(self) -> Option<[u64; 4]> {
        let after = |start: u64, count: usize, each: usize| {
            let end = (count as u64)
                .checked_mul(each as u64)?
                .checked_add(start)?;
            end.checked_next_multiple_of(PAGE as u64)
        };
        let codes = after(0, self.rows, self.row_bytes())?;
        let blocks = self.rows.div_ceil(LANES);
        let factors = after(codes, blocks, self.block_bytes())?;
        let centre = after(factors, blocks, FACTORS)?;
        let header = after(centre, self.dimensions, FLOAT)?;
        Some([codes, factors, centre, header])
    }

    /// Bytes of a row: its components, what a step of them is worth, its base.
    const fn row_bytes(self) -> usize {
        self.dimensions + 2 * FLOAT
    }

    const fn block_bytes(self) -> usize {
        self.dimensions.div_ceil(8) * LANES
    }
}

/// Vectors in a file, open for searches: codes in memory, bytes read when they are wanted.
#[derive(Debug)]
pub struct VectorFile {
    pages: Pages,
    header: Header,
    quantizer: Quantizer,
    codes: Codes,
}

impl VectorFile {
    /// Has the system fetch meanwhile what an opening of this file reads; nothing of one that cannot be opened.
    pub(crate) fn expect(place: &Path) {
        let Ok(pages) = Pages::open(place) else {
            return;
        };
        let parts = Header::read(&pages).and_then(|header| header.parts(&pages));
        if let Ok([codes_at, ..]) = parts {
            pages.expect(codes_at, pages.len() - codes_at);
        }
    }

    /// Opens a file and reads its codes. O(rows * dimensions / 8).
    ///
    /// # Errors
    /// [`PageError`] if it is not there, not whole or of another format.
    pub fn open(place: &Path) -> Result<Self, PageError> {
        Self::open_keeping(place, KEPT_BYTES)
    }

    /// The same, with at most so many bytes of rows kept in memory once they were read.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_keeping(place: &Path, kept_bytes: usize) -> Result<Self, PageError> {
        let pages = Pages::open(place)?;
        let header = Header::read(&pages)?;
        let [codes_at, factors_at, centre_at] = header.parts(&pages)?;
        let blocks = header.rows.div_ceil(LANES);
        let mut codes = vec![[0; LANES]; blocks * header.dimensions.div_ceil(8)];
        pages.read(codes_at, codes.as_flattened_mut())?;
        let mut factors = vec![0; blocks * FACTORS];
        pages.read(factors_at, &mut factors)?;
        let factors = factors.chunks_exact(FACTORS).map(decode_factors).collect();
        let codes = Codes::restore((header.rows, header.dimensions), codes, factors);
        let centre = read_floats(&pages, centre_at, header.dimensions)?;
        pages.expect_scattered_reads();
        pages.keep_up_to(kept_bytes);
        Ok(Self {
            quantizer: Quantizer::with_centre(centre, header.seed),
            pages,
            header,
            codes,
        })
    }

    /// Rows.
    pub const fn len(&self) -> usize {
        self.header.rows
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the file, checksums left out.
    pub const fn bytes(&self) -> u64 {
        self.pages.len()
    }

    /// Where the file is.
    pub fn place(&self) -> &Path {
        self.pages.place()
    }

    /// Reads every page. O(bytes).
    ///
    /// # Errors
    /// [`PageError`] for the first that is not as it was written.
    pub fn check(&self) -> Result<(), PageError> {
        self.pages.check_all()
    }

    /// The dot products of a query and these rows by bytes, in their order. O(rows asked for).
    ///
    /// # Errors
    /// [`PageError`] if they cannot be read.
    pub fn similarities(&self, query: &[f32], rows: &[usize]) -> Result<Vec<f32>, PageError> {
        let mut similarities = Vec::with_capacity(rows.len());
        let query = self.quantizer.query(query);
        self.compare(&query, rows.iter().copied(), |_, similarity| {
            similarities.push(similarity);
        })?;
        Ok(similarities)
    }

    pub(super) const fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    pub(super) const fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Tells `found` each of these rows with its dot product with the query by bytes. O(rows asked for).
    pub(super) fn compare(
        &self,
        query: &Query,
        rows: impl Iterator<Item = usize> + Clone,
        mut found: impl FnMut(usize, f32),
    ) -> Result<(), PageError> {
        let length = self.header.row_bytes();
        let starts: Vec<u64> = rows.clone().map(|row| (row * length) as u64).collect();
        let mut rows = rows;
        self.pages.read_each(&starts, length, |bytes| {
            let (components, factors) = bytes.split_at(self.header.dimensions);
            let (factors, _) = factors.as_chunks();
            let [step, base] = [0, 1].map(|at| f32::from_le_bytes(factors[at]));
            let sum = byte_dot(components, &query.bytes) as f32;
            if let Some(row) = rows.next() {
                found(row, sum * step * query.byte_step + base + query.shift);
            }
        })
    }
}

fn strange(pages: &Pages) -> PageError {
    pages.damaged(format!("expected vectors of version {VERSION}"))
}

fn decode_factors(bytes: &[u8]) -> Factors {
    let (halves, _) = bytes.as_chunks();
    let half = |at: usize| u16::from_le_bytes(halves[at]);
    Factors {
        scales: std::array::from_fn(half),
        bases: std::array::from_fn(|lane| half(LANES + lane)),
    }
}

fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

fn read_floats(pages: &Pages, at: u64, count: usize) -> Result<Vec<f32>, PageError> {
    let mut bytes = vec![0; count * FLOAT];
    pages.read(at, &mut bytes)?;
    let (floats, _) = bytes.as_chunks();
    Ok(floats
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}
