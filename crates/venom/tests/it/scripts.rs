//! Python scripts of ours, and the interpreters with what they need.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Runs a script of ours; its output, or a failed test that shows it.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}\n{log}");
    said
}

/// The interpreter that has what a file of requirements names.
pub(crate) fn python(requirements: &str) -> String {
    // One after the other: two that want the same would be in each other's way.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let said = run(Command::new("python3")
        .arg(repository("scripts/python-env"))
        .arg(repository(requirements)));
    said.trim().to_owned()
}
