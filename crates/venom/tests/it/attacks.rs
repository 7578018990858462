//! Attacks, each a test. `docs/security.md` has the table of them; a test keeps the two equal.

mod browsers;
mod flows;
mod leaks;
mod requests;
mod tokens;

use std::collections::BTreeSet;
use std::path::Path;

/// Every test below this folder is in the table, and every row of the table is a test.
#[test]
fn the_table_of_attacks_is_complete() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/attacks");
    let mut tests = BTreeSet::new();
    for file in std::fs::read_dir(here).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line == "#[test]" {
                let name = lines.next().unwrap().trim_start_matches("fn ");
                tests.insert(name.split('(').next().unwrap().to_owned());
            }
        }
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("## Attacks").expect("a section");
    let table = table.split("\n## ").next().unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.rsplit('`').nth(1));
    let rows: BTreeSet<_> = rows.map(str::to_owned).collect();
    assert_eq!(tests, rows, "docs/security.md and the tests differ");
    assert!(tests.len() >= 60, "{}", tests.len());
}
