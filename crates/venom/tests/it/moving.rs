//! Moving in from elsewhere, and out again: imports, exports, and the predecessor's folder under a new program.

mod bad_files;
mod exports;
mod hostile;
mod kills;
mod predecessor;
mod sources;
mod takeover;

pub(crate) use kills::{next, seed};

use crate::venom;
use serde_json::Value;
use std::path::Path;
use venom_testing::Folder;

/// What an import says as JSON.
#[track_caller]
fn import<const WORDS: usize>(folder: &Folder, path: &Path, words: [&str; WORDS]) -> Value {
    let command = venom(folder, ["import", "--json"]).args([path]).args(words);
    serde_json::from_str(&command.run().success()).expect("JSON")
}

/// Imported, known already, skipped.
#[track_caller]
fn counts(summary: &Value) -> [u64; 3] {
    ["imported", "known", "skipped"].map(|key| summary[key].as_u64().expect("a count"))
}

/// The export of everything, in JSON lines.
#[track_caller]
fn exported(folder: &Folder) -> String {
    venom(folder, ["export", "--all-spaces"]).run().success()
}
