//! A person at a terminal, played by a script.

use crate::{BINARY, scripts};
use std::process::Command;

#[test]
fn a_terminal_is_asked_and_shown_and_left_as_it_was() {
    let mut script = Command::new("python3");
    let script = script.arg(scripts::repository("tests/terminal/check.py"));
    let said = scripts::run(script.arg(BINARY));
    let checks = said.lines().filter(|line| line.starts_with("ok "));
    assert_eq!(checks.count(), 5, "{said}");
}
