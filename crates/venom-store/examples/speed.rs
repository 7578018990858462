//! Times of a store in a folder that is made for it: `cargo run --release -p venom-store --example
//! speed FOLDER`. One passage of 384 dimensions a memory; prints medians. The disk decides the first
//! number, so name a folder on the disk that matters.

use std::path::Path;
use std::time::Instant;
use venom_core::ports::{MemoryRecord, MemoryStore, NoVocabulary, Search};
use venom_core::recall::Question;
use venom_core::test_support::samples::{Rng, record, space, tag, tagged};
use venom_core::{Embedding, Filter, ModelStamp};
use venom_store::{Lease, SqliteStore};

const DIMENSIONS: usize = 384;
const TAGS: [&str; 3] = ["rare", "half", "other"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("expected a folder")?;
    let folder = Path::new(&folder);
    let model = ModelStamp {
        name: "speed".to_owned(),
        sha256: "0".repeat(64),
        dimensions: DIMENSIONS,
    };
    let lease = Lease::try_acquire(folder)?;
    let store = SqliteStore::open(&lease, &model)?;
    println!("{:?}", store.info());
    let mut rng = Rng::new(1);
    let mut next = 1;
    let single: Vec<MemoryRecord> = records(&mut rng, &mut next, 1_000);
    let mut times = Vec::new();
    for record in &single {
        let start = Instant::now();
        store.insert(std::slice::from_ref(record))?;
        times.push(start.elapsed());
    }
    times.sort();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("durable insert: p50 {p50:?}, p99 {p99:?}");
    searches(&store, &mut rng, "1,000")?;
    let bulk = records(&mut rng, &mut next, 19_000);
    let start = Instant::now();
    for batch in bulk.chunks(1_000) {
        store.insert(batch)?;
    }
    let rate = bulk.len() as f64 / start.elapsed().as_secs_f64();
    println!("bulk insert, 1,000 a batch: {rate:.0} a second");
    searches(&store, &mut rng, "20,000")?;
    copies(
        &store,
        &folder.join("copy.db"),
        &records(&mut rng, &mut next, 1_000),
    )?;
    let stats = store.stats(&space("default"))?;
    drop(store);
    let start = Instant::now();
    let store = SqliteStore::open(&lease, &model)?;
    let (opened, bytes) = (start.elapsed(), stats.database_bytes);
    println!("open at 20,000: {opened:?}, database {bytes} bytes");
    drop(store);
    Ok(())
}

/// Inserts while copies are made, one after the other.
fn copies(
    store: &SqliteStore,
    copy: &Path,
    records: &[MemoryRecord],
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut inserts, mut copies) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let inserting = scope.spawn(|| {
            for record in records {
                let start = Instant::now();
                store.insert(std::slice::from_ref(record))?;
                inserts.push(start.elapsed());
            }
            Ok::<_, venom_core::StoreError>(())
        });
        while !inserting.is_finished() {
            let start = Instant::now();
            store.snapshot(copy)?;
            copies.push(start.elapsed());
            std::fs::remove_file(copy)?;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    inserts.sort();
    copies.sort();
    let (p50, p99) = (
        inserts[inserts.len() / 2],
        inserts[inserts.len() * 99 / 100],
    );
    println!(
        "copy of 20,000: {:?}; durable insert beside it: p50 {p50:?}, p99 {p99:?}, {} inserts and {} copies",
        copies[copies.len() / 2],
        inserts.len(),
        copies.len()
    );
    Ok(())
}

fn word(rng: &mut Rng) -> String {
    format!("word{}", rng.below(5_000))
}

fn embedding(rng: &mut Rng) -> Embedding {
    let raw = (0..DIMENSIONS).map(|_| rng.below(2_001) as f32 - 1_000.0);
    Embedding::normalize(raw.collect()).expect("random vectors have a direction")
}

/// Texts of 20 words; 1 % tagged `rare`, half tagged `half`.
fn records(rng: &mut Rng, next: &mut u64, count: usize) -> Vec<MemoryRecord> {
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let words: Vec<String> = (0..20).map(|_| word(rng)).collect();
        let mut record = record(*next, &words.join(" "), &[1.0]);
        record.passages[0].embedding = embedding(rng);
        let tags = match *next {
            n if n.is_multiple_of(100) => &TAGS[..2],
            n if n.is_multiple_of(2) => &TAGS[1..],
            _ => &TAGS[2..],
        };
        records.push(tagged(record, tags));
        *next += 1;
    }
    records
}

fn searches(
    store: &SqliteStore,
    rng: &mut Rng,
    size: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    for tags in [&TAGS[..0], &TAGS[..1], &TAGS[1..2]] {
        let mut filter = Filter::everything_in(space("default"));
        filter.tags_any = tags.iter().map(|name| tag(name)).collect();
        let mut times = Vec::new();
        for _ in 0..200 {
            let vector = embedding(rng);
            let words: Vec<String> = (0..6).map(|_| word(rng)).collect();
            let question = Question::new(&words.join(" "));
            let start = Instant::now();
            store.search(&Search {
                question: &question,
                vector: &vector,
                vocabulary: &NoVocabulary,
                filter: &filter,
                similarity_min: None,
                limit: 5,
                explain: false,
            })?;
            times.push(start.elapsed());
        }
        times.sort();
        println!(
            "search in {size}, tags {tags:?}: p50 {:?}",
            times[times.len() / 2]
        );
    }
    Ok(())
}
