//! Vectors in three sizes: a code of one bit per component for the scan of all, one byte per component for the
//! best of that, the vector itself for the best of those.
//!
//! Codes are made as in RaBitQ (Gao, Long: "RaBitQ: Quantizing high-dimensional vectors with a theoretical error
//! bound for approximate nearest neighbor search", SIGMOD 2024): centred, rotated at random, the sign of each
//! component kept, with a factor per vector that makes the estimate unbiased. It is a flat scan: a filter
//! only masks it, and the order of insertion does not matter.
//!
//! Codes are in memory, bytes stay in the files ([`VectorFile`]), the vectors themselves are the caller's.

mod codes;
mod file;
mod kernels;
mod rotation;

use crate::pages::PageError;
pub use file::{VectorFile, VectorFileWriter};
use kernels::LANES;
pub use rotation::Rotation;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use venom_core::embedding::dot;

/// At most so many of the best by code are compared by bytes, or so many for each result …
const BY_BYTES: (usize, usize) = (200, 10);
/// … and one of so many rows in addition, as the errors of estimates let more pass among more.
const BY_BYTES_SHARE: usize = 1_600;
/// An estimate is trusted to be off by at most so many typical errors. Among a million vectors recall@10 is 0.986
/// with 1, 0.995 with 1.5 and 0.999 with 2, at 3.1, 3.2 and 3.6 ms.
const ERRORS_MAX: f32 = 1.5;
/// So many of them at a time, until the next ones can hardly be among the best any more.
const BATCH: usize = 48;
/// At least so many of the best by bytes are compared by the vectors themselves, and so many for each result.
const BY_VECTOR: (usize, usize) = (20, 2);
/// Steps of a component of a byte, from zero to the largest.
const BYTE_STEPS: f32 = 127.0;
/// Longest vectors: sums over the codes of longer ones would not fit 16 bits.
pub const DIMENSIONS_MAX: usize = 4_096;

/// Where codes are centred and how they are rotated.
#[derive(Clone, Debug)]
pub struct Quantizer {
    centre: Vec<f32>,
    seed: u64,
    rotation: Rotation,
}

impl Quantizer {
    /// Centred at the mean of `sample`, `[vectors, dimensions]`; an empty one means zero.
    /// O(sample).
    ///
    /// # Panics
    /// For no dimensions or more than [`DIMENSIONS_MAX`].
    pub fn learn(sample: &[f32], dimensions: usize, seed: u64) -> Self {
        assert!(
            (1..=DIMENSIONS_MAX).contains(&dimensions),
            "{dimensions} dimensions: expected 1 to {DIMENSIONS_MAX}"
        );
        let mut centre = vec![0.0; dimensions];
        let rows = sample.chunks_exact(dimensions);
        let share = 1.0 / rows.len().max(1) as f32;
        for row in rows {
            for (sum, x) in centre.iter_mut().zip(row) {
                *sum += x * share;
            }
        }
        Self::with_centre(centre, seed)
    }

    /// Centred at `centre`, rotated as `seed` says.
    fn with_centre(centre: Vec<f32>, seed: u64) -> Self {
        let rotation = Rotation::new(centre.len(), seed);
        Self {
            centre,
            seed,
            rotation,
        }
    }

    /// Components of a vector.
    pub fn dimensions(&self) -> usize {
        self.centre.len()
    }

    /// A vector less the centre, rotated.
    fn residual(&self, vector: &[f32]) -> Vec<f32> {
        let mut residual: Vec<f32> = vector
            .iter()
            .zip(&self.centre)
            .map(|(x, c)| x - c)
            .collect();
        self.rotation.rotate(&mut residual);
        residual
    }

    /// What the centre adds to every dot product with a vector, apart from what it adds to all alike.
    fn base(&self, vector: &[f32]) -> f32 {
        dot(vector, &self.centre) - dot(&self.centre, &self.centre)
    }
}

/// A set of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// One bit per row, 64 to a word as in a block of codes.
    bits: Vec<u64>,
    count: usize,
}

impl Rows {
    /// Rows in the set.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a row is in the set.
    pub fn contains(&self, row: usize) -> bool {
        self.word(row / LANES) >> (row % LANES) & 1 == 1
    }

    /// Adds a row; `false` if it was there.
    pub fn insert(&mut self, row: usize) -> bool {
        let is_new = !self.contains(row);
        if is_new {
            self.bits.resize(self.bits.len().max(row / LANES + 1), 0);
            self.bits[row / LANES] |= 1 << (row % LANES);
            self.count += 1;
        }
        is_new
    }

    /// Adds rows behind all that were ever in the set. O(rows / 64).
    fn insert_all(&mut self, rows: Range<usize>) {
        self.bits
            .resize(self.bits.len().max(rows.end.div_ceil(LANES)), 0);
        for (word, bits) in self.bits.iter_mut().enumerate().skip(rows.start / LANES) {
            let [from, until] =
                [rows.start, rows.end].map(|row| row.saturating_sub(word * LANES).min(LANES));
            let below = |count: usize| match count {
                LANES => u64::MAX,
                count => (1 << count) - 1,
            };
            *bits |= below(until) & !below(from);
        }
        self.count += rows.len();
    }

    /// Takes a row away; `false` if it was not there.
    pub fn remove(&mut self, row: usize) -> bool {
        let was_there = self.contains(row);
        if was_there {
            self.bits[row / LANES] &= !(1 << (row % LANES));
            self.count -= 1;
        }
        was_there
    }

    /// Its rows, increasing.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.bits.iter().enumerate();
        words.flat_map(|(at, word)| ones(*word).map(move |bit| at * LANES + bit))
    }

    fn word(&self, at: usize) -> u64 {
        self.bits.get(at).copied().unwrap_or(0)
    }
}

impl FromIterator<usize> for Rows {
    fn from_iter<I: IntoIterator<Item = usize>>(rows: I) -> Self {
        let mut set = Self::default();
        for row in rows {
            set.insert(row);
        }
        set
    }
}

/// The places of the ones of a word, increasing.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = word.trailing_zeros() as usize;
        (word != 0).then(|| word &= word - 1)?;
        Some(place)
    })
}

/// A row that was found, with its dot product with the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Its number.
    pub row: usize,
    /// The dot product: the cosine for vectors of unit length. Only where it says so an estimate.
    pub similarity: f32,
}

/// Vectors in files, searched as one. Rows are numbered through; each file begins at a multiple of 64.
#[derive(Debug, Default)]
pub struct FlatIndex {
    /// Each with the number of its first row.
    files: Vec<(usize, Arc<VectorFile>)>,
    live: Rows,
}

impl FlatIndex {
    /// Adds a file and returns the number of its first row.
    pub fn add(&mut self, file: impl Into<Arc<VectorFile>>) -> usize {
        let file = file.into();
        let last = self.files.last();
        let first = last.map_or(0, |(first, file)| {
            first + file.len().next_multiple_of(LANES)
        });
        self.live.insert_all(first..first + file.len());
        self.files.push((first, file));
        first
    }

    /// Rows that are searched.
    pub const fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none is searched.
    pub const fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Leaves a row out of every search; `false` if it was left out before or never there.
    pub fn remove(&mut self, row: usize) -> bool {
        self.live.remove(row)
    }

    /// The nearest `count` rows, nearest first, of equal ones the first; only `selected` ones if given. As many as
    /// there are: a selection never cuts them short. A near one is missed now and then, hardly ever among few.
    /// `vector` gives the vector of a row. O(rows * dimensions / 64).
    ///
    /// # Errors
    /// Those of `vector`, and [`PageError`] of a file.
    pub fn search<E: From<PageError>>(
        &self,
        query: &[f32],
        count: usize,
        selected: Option<&Rows>,
        mut vector: impl FnMut(usize) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<Nearest>, E> {
        let mut best = Best::new(count);
        for found in self.near(query, wanted(BY_VECTOR, count), count, selected)? {
            best.offer(found.row, dot(&vector(found.row)?, query));
        }
        Ok(best.finish())
    }

    /// The nearest `count` rows by their bytes, nearest first; only `selected` ones if given. Cosines of bytes are off by
    /// some thousandths. O(rows * dimensions / 64).
    ///
    /// # Errors
    /// [`PageError`] of a file.
    pub fn nearest_by_bytes(
        &self,
        query: &[f32],
        count: usize,
        selected: Option<&Rows>,
    ) -> Result<Vec<Nearest>, PageError> {
        self.near(query, count, count.div_ceil(4), selected)
    }

    /// The best `count` rows by their bytes, of those that their codes speak for.
    fn near(
        &self,
        query: &[f32],
        count: usize,
        results: usize,
        selected: Option<&Rows>,
    ) -> Result<Vec<Nearest>, PageError> {
        let queries: Vec<Query> = self
            .files
            .iter()
            .map(|(_, file)| file.quantizer().query(query))
            .collect();
        let mut by_code = Best::new(wanted(BY_BYTES, results) + self.len() / BY_BYTES_SHARE);
        for ((first, file), query) in self.files.iter().zip(&queries) {
            let words = first / LANES..(first + file.len()).div_ceil(LANES);
            let masks = words.map(|word| {
                self.live.word(word) & selected.map_or(u64::MAX, |rows| rows.word(word))
            });
            let masks: Vec<u64> = masks.collect();
            file.codes().scan(
                &query.residual,
                &masks,
                by_code.least - query.shift,
                |found| {
                    by_code.offer(first + found.row, found.similarity + query.shift);
                    by_code.least - query.shift
                },
            );
        }
        let by_code = by_code.finish();
        let mut by_bytes = Best::new(count);
        let mut errors = Errors::default();
        for batch in by_code.chunks(BATCH) {
            if errors.rule_out(batch[0].similarity, by_bytes.least()) {
                break;
            }
            for ((first, file), query) in self.files.iter().zip(&queries) {
                let of_file = first..&(first + file.len());
                let found = batch.iter().filter(|found| of_file.contains(&&found.row));
                let rows = found.clone().map(|found| found.row - first);
                let mut estimates = found.map(|found| found.similarity);
                file.compare(query, rows, |row, similarity| {
                    by_bytes.offer(first + row, similarity);
                    errors.add(similarity - estimates.next().unwrap_or(similarity));
                })?;
            }
        }
        Ok(by_bytes.finish())
    }
}

/// A query as the codes and bytes of one quantizer are compared with it.
struct Query {
    residual: Vec<f32>,
    bytes: Vec<i8>,
    byte_step: f32,
    /// What the centre adds to the dot product with every vector of a file: other files have other centres.
    shift: f32,
}

impl Quantizer {
    fn query(&self, vector: &[f32]) -> Query {
        let residual = self.residual(vector);
        let (bytes, byte_step) = in_bytes(&residual);
        Query {
            residual,
            bytes,
            byte_step,
            shift: dot(vector, &self.centre),
        }
    }
}

/// How many are compared again, for that many results.
fn wanted((least, each): (usize, usize), count: usize) -> usize {
    least.max(each.saturating_mul(count))
}

/// Components as bytes, and what a step of them is worth.
#[expect(
    clippy::cast_possible_truncation,
    reason = "-127 to 127 by construction, and the cast saturates"
)]
fn in_bytes(vector: &[f32]) -> (Vec<i8>, f32) {
    let largest = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let step = (largest / BYTE_STEPS).max(f32::MIN_POSITIVE);
    let bytes = vector.iter().map(|x| (x / step).round() as i8);
    (bytes.collect(), step)
}

/// The dot product of two rows of bytes, exact.
fn byte_dot(a: &[u8], b: &[i8]) -> i32 {
    let products = a.iter().zip(b);
    let products = products.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(*b));
    products.sum()
}

/// How far estimates are off.
#[derive(Debug, Default)]
struct Errors {
    count: f32,
    squares: f32,
}

impl Errors {
    fn add(&mut self, error: f32) {
        self.count += 1.0;
        self.squares += error * error;
    }

    /// Whether a row of that estimate, or a lower one, is hardly ever at least that near.
    fn rule_out(&self, estimate: f32, least: f32) -> bool {
        let typical = (self.squares / self.count.max(1.0)).sqrt();
        self.count > 0.0 && estimate + ERRORS_MAX * typical < least
    }
}

/// The best rows so far.
struct Best {
    count: usize,
    /// At most twice as many as wanted, in any order.
    found: Vec<Nearest>,
    /// What a row must have to be among them.
    least: f32,
}

impl Best {
    fn new(count: usize) -> Self {
        Self {
            count,
            found: Vec::new(),
            least: f32::NEG_INFINITY,
        }
    }

    /// What a row must have to be among the best now, the lowest number while there are fewer than wanted. O(found).
    fn least(&mut self) -> f32 {
        self.cut();
        self.least
    }

    fn cut(&mut self) {
        if self.count > 0 && self.found.len() >= self.count {
            self.found.select_nth_unstable_by(self.count - 1, better);
            self.found.truncate(self.count);
            self.least = self.found[self.count - 1].similarity;
        }
    }

    /// Amortised O(1).
    fn offer(&mut self, row: usize, similarity: f32) {
        if similarity < self.least || self.count == 0 {
            return;
        }
        self.found.push(Nearest { row, similarity });
        if self.found.len() >= 2 * self.count {
            self.cut();
        }
    }

    fn finish(mut self) -> Vec<Nearest> {
        self.found.sort_unstable_by(better);
        self.found.truncate(self.count);
        self.found
    }
}

/// The nearer first, of equal ones the older.
fn better(a: &Nearest, b: &Nearest) -> Ordering {
    let by_similarity = b.similarity.total_cmp(&a.similarity);
    by_similarity.then(a.row.cmp(&b.row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::{PAGE, PageWriter};
    use crate::tests::fuzzed;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use venom_core::test_support::samples::Rng;
    use venom_fuzz::Target;

    const DIMENSIONS: usize = 384;

    /// A number between -1 and 1, most near 0.
    fn noise(rng: &mut Rng) -> f32 {
        let mut uniform = || rng.below(2_001) as f32 / 1_000.0 - 1.0;
        (uniform() + uniform() + uniform()) / 3.0
    }

    /// Unit vectors around topics that have a direction in common, as texts have.
    fn texts(rng: &mut Rng, count: usize, dimensions: usize) -> Vec<Vec<f32>> {
        let random = |rng: &mut Rng| -> Vec<f32> { (0..dimensions).map(|_| noise(rng)).collect() };
        let common = random(rng);
        let topics: Vec<Vec<f32>> = (0..50).map(|_| random(rng)).collect();
        let text = |_| {
            let (topic, own) = (&topics[rng.below(topics.len())], random(rng));
            let parts = common.iter().zip(topic).zip(&own);
            let mixed: Vec<f32> = parts.map(|((c, t), o)| 0.5 * c + t + o).collect();
            let length = dot(&mixed, &mixed).sqrt().max(f32::MIN_POSITIVE);
            mixed.iter().map(|x| x / length).collect()
        };
        (0..count).map(text).collect()
    }

    /// The vectors in files of these many rows each.
    struct Indexed {
        vectors: Vec<Vec<f32>>,
        /// By number of row.
        by_row: BTreeMap<usize, usize>,
        index: FlatIndex,
        folder: tempfile::TempDir,
    }

    impl Indexed {
        fn new(vectors: Vec<Vec<f32>>, cuts: &[usize]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (mut index, mut by_row) = (FlatIndex::default(), BTreeMap::new());
            let ends = cuts.iter().copied().chain([vectors.len()]);
            let mut start = 0;
            for (number, end) in ends.enumerate() {
                let part = &vectors[start..end];
                let place = folder.path().join(number.to_string());
                let seed = number as u64;
                let quantizer = Quantizer::learn(&part.concat(), vectors[0].len(), seed);
                let mut writer = VectorFileWriter::create(&place, quantizer).unwrap();
                for vector in part {
                    writer.push(vector).unwrap();
                }
                writer.finish().unwrap();
                let first = index.add(VectorFile::open(&place).unwrap());
                by_row.extend((start..end).map(|at| (first + at - start, at)));
                start = end;
            }
            Self {
                vectors,
                by_row,
                index,
                folder,
            }
        }

        fn search(&self, query: &[f32], count: usize, selected: Option<&Rows>) -> Vec<Nearest> {
            let vector = |row| Ok::<_, PageError>(self.vectors[self.by_row[&row]].clone());
            self.index.search(query, count, selected, vector).unwrap()
        }

        fn exact(&self, query: &[f32], count: usize, selected: Option<&Rows>) -> Vec<Nearest> {
            let live = self.by_row.iter().filter(|(row, _)| {
                self.index.live.contains(**row) && selected.is_none_or(|rows| rows.contains(**row))
            });
            let found = live.map(|(row, at)| Nearest {
                row: *row,
                similarity: dot(&self.vectors[*at], query),
            });
            let mut found: Vec<Nearest> = found.collect();
            found.sort_by(better);
            found.truncate(count);
            found
        }
    }

    #[test]
    fn codes_find_what_the_vectors_find() {
        let mut rng = Rng::new(3);
        let mut vectors = texts(&mut rng, 6_100, DIMENSIONS);
        let queries = vectors.split_off(6_000);
        let indexed = Indexed::new(vectors, &[5_000]);
        let (mut same, mut all) = (0, 0);
        for query in &queries {
            let exact = indexed.exact(query, 10, None);
            let found = indexed.search(query, 10, None);
            all += exact.len();
            same += exact.iter().filter(|near| found.contains(near)).count();
        }
        assert_eq!(all, 1_000);
        assert!(same >= 990, "{same} of {all}");
    }

    #[test]
    fn a_selection_and_removals_take_away_and_cut_nothing_short() {
        let mut rng = Rng::new(4);
        let vectors = texts(&mut rng, 1_000, DIMENSIONS);
        let query = vectors[3].clone();
        let mut indexed = Indexed::new(vectors, &[64, 70]);
        let rows: Vec<usize> = indexed.by_row.keys().copied().collect();
        let selected: Rows = rows.iter().copied().skip(3).step_by(20).collect();
        assert_eq!(selected.len(), 50);
        for row in [rows[3], rows[23], rows[24]] {
            assert!(indexed.index.remove(row) && !indexed.index.remove(row));
        }
        assert_eq!(
            (indexed.index.len(), indexed.index.is_empty()),
            (997, false)
        );
        assert!(!indexed.index.remove(100_000));
        for count in [0, 1, 20, 48, 60] {
            let expected = indexed.exact(&query, count, Some(&selected));
            assert_eq!(expected.len(), count.min(48));
            assert_eq!(indexed.search(&query, count, Some(&selected)), expected);
        }
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let indexed = Indexed::new(vec![vec![1.0, 0.0]], &[0]);
        assert_eq!(indexed.search(&[1.0, 0.0], 3, None).len(), 1);
        assert_eq!(indexed.search(&[1.0, 0.0], 3, Some(&Rows::default())), []);
        let empty = FlatIndex::default();
        let found = empty.search(&[1.0], 3, None, |_| Ok::<_, PageError>(Vec::new()));
        assert_eq!(found.unwrap(), []);
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        for content in [&[][..], &[7; PAGE], &[7; 100]] {
            let mut writer = PageWriter::create(&place).unwrap();
            writer.write(content).unwrap();
            writer.finish().unwrap();
            let refused = VectorFile::open(&place).unwrap_err().to_string();
            assert!(
                refused.ends_with("is damaged: expected vectors of version 1"),
                "{refused}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn few_vectors_of_any_length_are_found_exactly(
            (dimensions, components) in (1_usize..40)
                .prop_flat_map(|dimensions| (Just(dimensions), vec(-1.0_f32..1.0, dimensions * 150))),
            cut in 0_usize..=150,
        ) {
            let vectors = components.chunks_exact(dimensions).map(<[f32]>::to_vec).collect();
            let indexed = Indexed::new(vectors, &[cut]);
            let query = &components[..dimensions];
            // All 150 are compared by bytes, then by themselves.
            prop_assert_eq!(indexed.search(query, 150, None), indexed.exact(query, 150, None));
        }

        /// Each file has a centre of its own.
        #[test]
        fn similarities_of_bytes_are_those_of_the_vectors_in_whatever_file(seed: u64, cut in 1_usize..=129) {
            let mut rng = Rng::new(seed);
            let mut vectors = texts(&mut rng, cut, 64);
            vectors.extend(texts(&mut rng, 130 - cut, 64));
            let query = vectors[cut / 2].clone();
            let indexed = Indexed::new(vectors, &[cut]);
            let near = indexed.index.nearest_by_bytes(&query, 130, None).unwrap();
            prop_assert_eq!(near.len(), 130);
            for found in near {
                let exact = dot(&indexed.vectors[indexed.by_row[&found.row]], &query);
                prop_assert!((found.similarity - exact).abs() < 0.02, "{} {exact}", found.similarity);
            }
        }

        #[test]
        fn damage_anywhere_is_an_error_and_never_a_wrong_answer(
            at in any::<prop::sample::Index>(), flip in 1_u8..,
        ) {
            let vectors = texts(&mut Rng::new(5), 130, 24);
            let query = vectors[7].clone();
            let indexed = Indexed::new(vectors, &[]);
            let place = indexed.folder.path().join("0");
            let expected = indexed.search(&query, 10, None);
            let mut bytes = std::fs::read(&place).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            std::fs::write(&place, bytes).unwrap();
            let Ok(file) = VectorFile::open(&place) else { return Ok(()); };
            let mut index = FlatIndex::default();
            index.add(file);
            let vector = |row: usize| Ok::<_, PageError>(indexed.vectors[row].clone());
            if let Ok(found) = index.search(&query, 10, None, vector) {
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn rows_are_a_set(changes in vec((any::<bool>(), 0_usize..300), 0..200)) {
            let (mut rows, mut model) = (Rows::default(), std::collections::BTreeSet::new());
            for (insert, row) in changes {
                if insert {
                    prop_assert_eq!(rows.insert(row), model.insert(row));
                } else {
                    prop_assert_eq!(rows.remove(row), model.remove(&row));
                }
                prop_assert_eq!((rows.len(), rows.is_empty()), (model.len(), model.is_empty()));
            }
            prop_assert!(rows.iter().eq(model.iter().copied()));
        }
    }

    /// Files with the right checksums, so that it is their content that counts.
    #[test]
    fn fuzz_vector_files() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        let mut target = Target::new("vector-files")
            .words(&["VenomVec"])
            .bytes_max(fuzzed::BYTES_MAX)
            .memory_max(fuzzed::MEMORY_MAX);
        for (rows, dimensions) in [(0, 8), (3, 8), (70, 12), (2, 24)] {
            let vectors = texts(&mut Rng::new(6), rows, dimensions);
            let quantizer = Quantizer::learn(&vectors.concat(), dimensions, 9);
            let mut writer = VectorFileWriter::create(&place, quantizer).unwrap();
            for vector in &vectors {
                writer.push(vector).unwrap();
            }
            writer.finish().unwrap();
            target = target.seed(fuzzed::input_of(&place));
        }
        target.run(|input| {
            fuzzed::write(input, &place);
            VectorFile::expect(&place);
            let opened = VectorFile::open_keeping(&place, PAGE);
            let file = opened.map_err(|error| fuzzed::kind_of(&error))?;
            let (rows, dimensions) = (file.len(), file.quantizer().dimensions());
            assert!(rows * dimensions <= usize::try_from(file.bytes()).unwrap());
            file.check().unwrap();
            let query: Vec<f32> = (0..dimensions).map(|at| 1.0 / (at + 1) as f32).collect();
            let every: Vec<usize> = (0..rows).collect();
            assert_eq!(file.similarities(&query, &every).unwrap().len(), rows);
            assert!(
                file.similarities(&query, &[rows])
                    .is_ok_and(|found| found.len() == 1)
                    || rows < PAGE
            );
            let mut index = FlatIndex::default();
            index.add(file);
            let found = index.nearest_by_bytes(&query, 5, None).unwrap();
            assert!(found.len() <= rows.min(5) && found.iter().all(|near| near.row < rows));
            Ok::<_, String>((rows.min(200), dimensions, found.len()))
        });
    }
}
