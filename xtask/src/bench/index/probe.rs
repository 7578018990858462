//! Searches an index in a process of its own, so that its start, its cache and its memory are its own.

use super::super::Outcome;
use super::super::sample::Sample;
use super::{FILTERS, RESULTS, passes, vectors};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;
use venom_store::pages::PageError;
use venom_store::quantised::{FlatIndex, Nearest, Rows, VectorFile};

/// Opens the index of a folder, searches and prints a line of JSON with what it took. `warm` asks other questions
/// first, as a server has been asked that runs for a while.
pub(crate) fn run(folder: &Path, warm: bool) -> Outcome<()> {
    let started = Instant::now();
    let file = VectorFile::open(&folder.join("index"))?;
    let rows = file.len();
    let mut index = FlatIndex::default();
    index.add(file);
    let opened = started.elapsed();
    let questions = vectors::read(&folder.join("questions"))?;
    let originals = File::open(folder.join("vectors"))?;
    let dimensions = super::dimensions(folder)?;
    let (questions, others) = questions.split_at(super::QUESTIONS * dimensions);
    let questions = || questions.chunks_exact(dimensions);
    let search = |question: &[f32], selected: Option<&Rows>| {
        let vector = |row| original(&originals, row, dimensions);
        index.search(question, RESULTS, selected, vector)
    };
    let began = Instant::now();
    let first = questions().next().ok_or("there is no question")?;
    search(first, None)?;
    let first = opened + began.elapsed();
    if warm {
        for question in others.chunks_exact(dimensions) {
            search(question, None)?;
        }
    }
    let mut filters = Vec::new();
    for percent in FILTERS {
        let selected: Rows = (0..rows).filter(|row| passes(*row, percent)).collect();
        let selected = (percent < 100).then_some(&selected);
        let (mut times, mut found) = (Vec::new(), Vec::new());
        for question in questions() {
            let began = Instant::now();
            let nearest = search(question, selected)?;
            times.push(began.elapsed());
            found.push(nearest.iter().map(|near| near.row).collect::<Vec<_>>());
        }
        let times = Sample::new(times);
        filters.push(json!({"p50": times.p50_ms(), "p95": times.p95_ms(), "found": found}));
    }
    let answer: Value = json!({
        "open": opened.as_secs_f64() * 1e3,
        "first": first.as_secs_f64() * 1e3,
        "filters": filters,
        "resident": resident_bytes(),
    });
    println!("{answer}");
    Ok(())
}

/// The vector of a row, as the database would give it.
fn original(file: &File, row: usize, dimensions: usize) -> Result<Vec<f32>, PageError> {
    let mut bytes = vec![0; dimensions * size_of::<f32>()];
    let at = (row * bytes.len()) as u64;
    file.read_exact_at(&mut bytes, at)
        .map_err(|error| PageError::Io {
            file: "vectors".into(),
            error,
        })?;
    let (floats, _) = bytes.as_chunks();
    Ok(floats
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

/// Most memory that this process had, in bytes.
pub(in super::super) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// The same search, with every vector.
pub(super) fn exact(vectors: &[f32], question: &[f32], percent: usize) -> Vec<usize> {
    let rows = vectors.chunks_exact(question.len()).enumerate();
    let rows = rows.filter(|(row, _)| passes(*row, percent));
    let mut found: Vec<Nearest> = rows
        .map(|(row, vector)| Nearest {
            row,
            similarity: venom_core::embedding::dot(vector, question),
        })
        .collect();
    let better = |a: &Nearest, b: &Nearest| b.similarity.total_cmp(&a.similarity);
    if found.len() > RESULTS {
        found.select_nth_unstable_by(RESULTS, better);
        found.truncate(RESULTS);
    }
    found.iter().map(|near| near.row).collect()
}
