//! Makes the data folder that the test of old formats opens: run it once for each new version of the
//! format, with a folder that does not exist yet, and commit the `venom.db` it leaves.

use std::path::Path;
use venom_core::ports::MemoryStore;
use venom_core::test_support::samples::{id, in_space, model, record, tagged, vector};
use venom_core::{PassageSpan, RequestKey};
use venom_store::{Lease, SqliteStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("expected a folder")?;
    let store = SqliteStore::open(&Lease::try_acquire(Path::new(&folder))?, &model())?;
    let mut long = tagged(record(2, "Größe: 3 m, 茶 🍵", &[0.0, 1.0]), &["z", "a"]);
    let end = long.passages[0].span.0.end;
    let mut rest = long.passages[0].clone();
    long.passages[0].span = PassageSpan(0..8);
    rest.span = PassageSpan(8..end);
    rest.embedding = vector(&[1.0, 1.0]);
    long.passages.push(rest);
    let first = tagged(record(1, "one", &[1.0]), &["a"]);
    store.insert(&[first, long])?;
    store.insert(&[in_space(record(3, "trois", &[1.0]), "été")])?;
    store.insert(&[record(4, "forgotten", &[1.0])])?;
    store.forget(&[id(4)], RequestKey(40))?;
    Ok(())
}
