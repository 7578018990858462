//! The file format: old folders open, and the page about it names every table and column.

use super::Folders;
use crate::{Lease, SqliteStore};
use rusqlite::Connection;
use std::path::Path;
use venom_core::ports::{Inserted, MemoryStore};
use venom_core::test_support::samples::{id, model, nearest, record, space, vector};
use venom_core::{Duplicates, Filter, RequestKey};

/// The folder `tests/golden/vN` was made with `cargo run -p venom-store --example golden FOLDER` by
/// version N of the format.
#[test]
fn data_folders_of_older_versions_still_open() {
    for version in ["v1", "v2", "v3", "v4"] {
        check_golden(version);
    }
}

fn check_golden(version: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden = golden.join(version).join("venom.db");
    let folder = Folders::new().fresh();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(golden, folder.join("venom.db")).unwrap();
    let store = SqliteStore::open(&Lease::try_acquire(&folder).unwrap(), &model()).unwrap();
    let stats = store.stats(&space("default")).unwrap();
    assert_eq!((stats.memories, stats.space_memories), (3, 2));
    assert_eq!((stats.forgotten, stats.quarantined), (1, 0));
    assert_eq!(stats.passages, 4);
    assert_eq!(stats.spaces, [space("default"), space("été")]);
    let memory = store.get(&[id(2)]).unwrap().pop().unwrap().unwrap();
    assert_eq!(memory.content.as_str(), "Größe: 3 m, 茶 🍵");
    assert!(memory.source.is_unknown() && !memory.quarantined);
    let tags: Vec<_> = memory
        .tags
        .as_slice()
        .iter()
        .map(venom_core::Tag::as_str)
        .collect();
    assert_eq!(tags, ["z", "a"]);
    let filter = Filter::everything_in(space("default"));
    let hits = nearest(&store, &vector(&[0.0, 1.0]), &filter, 5).unwrap();
    assert_eq!(
        (hits[0].memory.id, hits[0].passage.0.clone()),
        (id(2), 0..8)
    );
    assert_eq!(hits.len(), 2);
    // Keys of calls are known across versions, and the next id is larger than the forgotten one's.
    assert_eq!(store.forget(&[id(4)], RequestKey(40)).unwrap(), [true]);
    assert_eq!(store.largest_id(), Some(id(4)));
    store.insert(&[record(5, "five", &[1.0])]).unwrap();
    // What is kept since then is found by what it says.
    let mut again = record(6, "größe: 3 m, 茶 🍵", &[1.0]);
    again.duplicates = Duplicates::Merge;
    let answer = store.insert(&[again]).unwrap();
    assert!(matches!(&answer[..], [Inserted::Duplicate(memory)] if memory.id == id(2)));
    assert_eq!(store.restore(&[id(4)], RequestKey(41)).unwrap(), [true]);
    assert_eq!(
        nearest(&store, &vector(&[1.0]), &filter, 9).unwrap().len(),
        4
    );
}

#[test]
fn the_page_on_the_format_names_every_table_and_column() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/file-format.md");
    let page = std::fs::read_to_string(page).unwrap();
    let folder = Folders::new().fresh();
    drop(super::open(&folder));
    let connection = Connection::open(folder.join("venom.db")).unwrap();
    let sql = "SELECT t.name, group_concat(c.name) FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
               WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '%_fts_%'
               GROUP BY t.name";
    let mut statement = connection.prepare(sql).unwrap();
    let mut tables = statement.query([]).unwrap();
    let mut count = 0;
    while let Some(row) = tables.next().unwrap() {
        let (table, columns): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let heading = format!("### `{table}`\n");
        let (_, section) = page
            .split_once(&heading)
            .unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n### ").next().unwrap();
        for column in columns.split(',') {
            assert!(
                section.contains(&format!("| `{column}` |")),
                "{table}.{column}"
            );
        }
        count += 1;
    }
    assert_eq!(count, 13);
}
