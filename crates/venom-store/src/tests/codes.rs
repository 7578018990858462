//! Neither the vector nor the codes of an erased memory are in any file. The codes are taken from the files by their
//! layout as `docs/file-format.md` tells it, not by the code that reads them otherwise.

use super::{Folders, SMALL};
use crate::index::{Index, IndexOptions};
use crate::lease::Lease;
use crate::store::SqliteStore;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use venom_core::ports::{MemoryRecord, MemoryStore as _};
use venom_core::test_support::samples::{Rng, id, model, record};
use venom_core::{Embedding, MemoryId, ModelStamp, Passage, PassageSpan, Timestamp};
use venom_testing::folder::files;

/// So many that no two memories have the same code of one bit for each.
const WIDE: usize = 128;
const PAGE: usize = 4_096;
/// Length, checksum and name at the end of a file of pages.
const END_BYTES: usize = 20;
/// Two floats that follow the bytes of a row.
const ROW_EXTRA: usize = 8;
/// Vectors whose codes lie in one block.
const BLOCK: usize = 64;

fn open_wide(folder: &Path) -> SqliteStore {
    let options = IndexOptions {
        sizes: SMALL,
        ..IndexOptions::default()
    };
    let stamp = ModelStamp {
        dimensions: WIDE,
        ..model()
    };
    SqliteStore::open_with(&Lease::try_acquire(folder).unwrap(), &stamp, &options).unwrap()
}

/// A direction of its own for each passage of each memory.
fn direction(digits: u64, passage: u64) -> Embedding {
    let mut rng = Rng::new(digits * 10 + passage);
    let raw = (0..WIDE).map(|_| rng.below(2_000_001) as f32 - 1_000_000.0);
    Embedding::normalize(raw.collect()).unwrap()
}

/// Passages of a memory; every third has two.
fn passages(digits: u64) -> u64 {
    1 + u64::from(digits.is_multiple_of(3))
}

fn memory(digits: u64) -> MemoryRecord {
    let text = format!("note {digits}");
    let passages = (0..passages(digits)).map(|passage| Passage {
        span: PassageSpan(0..text.len()),
        embedding: direction(digits, passage),
    });
    MemoryRecord {
        passages: passages.collect(),
        ..record(digits, &text, &[1.0])
    }
}

/// Each as the bytes that would lie in a file, and the code gathered from its block.
#[derive(Debug, Default)]
struct Traces {
    /// Rows of bytes with their step and base, as they lie in a file.
    rows: Vec<Vec<u8>>,
    /// Codes of one bit, which lie in a file byte by byte apart.
    codes: BTreeSet<Vec<u8>>,
}

fn number(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[at..at + 8].try_into().unwrap();
    usize::try_from(u64::from_le_bytes(bytes)).unwrap()
}

/// Row and code of each vector in the content of a `.vectors` file, in order.
fn vectors_of(file: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let length = number(file, file.len() - END_BYTES);
    let last = (length - 1) / PAGE * PAGE;
    assert_eq!(&file[last..last + 8], b"VenomVec");
    let (dimensions, rows) = (number(file, last + 16), number(file, last + 24));
    assert_eq!(dimensions, WIDE);
    let row_bytes = dimensions + ROW_EXTRA;
    let codes = (rows * row_bytes).next_multiple_of(PAGE);
    let code = |row: usize| {
        let block = codes + row / BLOCK * BLOCK * (dimensions / 8);
        let byte = |at: usize| file[block + at * BLOCK + row % BLOCK];
        (0..dimensions / 8).map(byte).collect()
    };
    let row = |row: usize| file[row * row_bytes..(row + 1) * row_bytes].to_vec();
    (0..rows).map(|at| (row(at), code(at))).collect()
}

fn all_codes(folder: &Path) -> BTreeSet<Vec<u8>> {
    let files = files(folder).into_iter();
    let of_vectors = files.filter(|(path, _)| path.to_string_lossy().contains(".vectors"));
    let read = of_vectors.flat_map(|(_, bytes)| vectors_of(&bytes));
    read.map(|(_, code)| code).collect()
}

/// What the segments in use have of these memories, found by their slots.
fn traces(store: &SqliteStore, folder: &Path, digits: &[u64]) -> Traces {
    let rows: Vec<i64> = digits.iter().map(|digits| digits.cast_signed()).collect();
    store.with_index(|index| {
        let mut traces = Traces::default();
        for segment in index.archives().flat_map(|(_, archive)| archive.segments()) {
            let place = segment.name.vectors(&folder.join("index"));
            let vectors = vectors_of(&std::fs::read(place).unwrap());
            for slot in rows
                .iter()
                .filter_map(|row| segment.text.slot_in_file(*row))
            {
                for (row, code) in &vectors[segment.text.vectors(slot)] {
                    traces.rows.push(row.clone());
                    traces.codes.insert(code.clone());
                }
            }
        }
        traces
    })
}

/// Which of the needles are in which file.
fn found(folder: &Path, needles: &[Vec<u8>]) -> Vec<(PathBuf, usize)> {
    let has = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    let mut found = Vec::new();
    for (file, bytes) in files(folder) {
        let those = needles.iter().filter(|needle| has(&bytes, needle)).count();
        if those > 0 {
            found.push((file, those));
        }
    }
    found
}

#[test]
fn neither_vector_nor_codes_of_an_erased_memory_are_in_any_file() {
    let folders = Folders::new();
    let folder = folders.fresh();
    let store = open_wide(&folder);
    let all: Vec<u64> = (1..=200).collect();
    for digits in &all {
        // Rows are numbered as they come, here as their ids.
        store.insert(&[memory(*digits)]).unwrap();
    }
    store.settle().unwrap();
    let end = store.with_index(|index| index.archives().map(|(_, it)| it.end()).max());
    let goes: Vec<u64> = [1, 2, 3, 64, 65, 99, 150].into();
    assert!(end.unwrap() > 150, "all of them are in segments");
    let stays: Vec<u64> = all.iter().copied().filter(|n| !goes.contains(n)).collect();

    // What is sought is there, and of these memories alone.
    let (gone, others) = (
        traces(&store, &folder, &goes),
        traces(&store, &folder, &stays),
    );
    let count = goes.iter().map(|digits| passages(*digits)).sum::<u64>();
    let count = usize::try_from(count).unwrap();
    assert_eq!((gone.rows.len(), gone.codes.len()), (count, count));
    assert!(gone.codes.is_disjoint(&others.codes) && gone.codes.is_subset(&all_codes(&folder)));
    assert!(gone.rows.iter().all(|row| !others.rows.contains(row)));
    let vectors = goes.iter().flat_map(|digits| {
        (0..passages(*digits)).map(|passage| {
            let vector = direction(*digits, passage);
            let components = vector.as_slice().iter();
            components
                .flat_map(|it| it.to_le_bytes())
                .collect::<Vec<u8>>()
        })
    });
    let needles: Vec<Vec<u8>> = vectors.chain(gone.rows).collect();
    assert!(
        found(&folder, &needles)
            .iter()
            .map(|(_, those)| those)
            .sum::<usize>()
            >= needles.len()
    );

    let ids: Vec<MemoryId> = goes.iter().copied().map(id).collect();
    store.erase(&ids, Timestamp::from_micros(5)).unwrap();
    store.settle().unwrap();
    let nothing: Vec<(PathBuf, usize)> = Vec::new();
    assert_eq!(found(&folder, &needles), nothing);
    assert!(gone.codes.is_disjoint(&all_codes(&folder)));
    // The others have theirs, by new codes, and there is no file that is in no use.
    let after = traces(&store, &folder, &stays);
    assert_eq!(after.rows.len(), others.rows.len());
    let used = store.with_index(Index::segment_names);
    assert_eq!(
        crate::load::leftovers(&folder.join("index"), &used),
        Vec::<PathBuf>::new()
    );
    drop(store);
    let store = open_wide(&folder);
    store.settle().unwrap();
    assert_eq!(found(&folder, &needles), nothing);
    assert!(gone.codes.is_disjoint(&all_codes(&folder)));
}
