//! The official Python client in both its major lines, and the official conformance suite. Their
//! installers keep what they fetch below `target/`.

use crate::{BINARY, serve};
use std::path::{Path, PathBuf};
use std::process::Command;
use venom_testing::Folder;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Runs a script of ours; its output, or a failed test that shows it.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}\n{log}");
    said
}

/// One line of the client over all three transports, each with a data folder of its own.
fn check_python_client(line: &str) {
    let python = run(Command::new("python3")
        .arg(repository("scripts/python-env"))
        .arg(repository(&format!(
            "tests/clients/requirements-{line}.txt"
        ))));
    let check = |folder: &Folder, words: [&str; 4]| {
        let mut command = Command::new(python.trim());
        command
            .arg(repository("tests/clients/check_client.py"))
            .args(words);
        command
            .current_dir(folder.path())
            .env("VENOM_DATA", folder.join("data"));
        let said = run(&mut command);
        let last = said.lines().last().unwrap_or_default();
        println!("{line} {}: {last}", words[1]);
        assert!(last.ends_with(" 0 failed"), "{said}");
    };
    for transport in ["http", "sse"] {
        let folder = Folder::new();
        let server = serve(&folder);
        let url = format!("http://127.0.0.1:{}", server.port);
        check(&folder, ["--transport", transport, "--url", &url]);
    }
    let stdio = format!("{BINARY} stdio");
    check(
        &Folder::new(),
        ["--transport", "stdio", "--command", &stdio],
    );
}

#[test]
fn the_python_client_1_x() {
    check_python_client("mcp1");
}

#[test]
fn the_python_client_2_x() {
    check_python_client("mcp2");
}

/// Requirement sets 2025-11-25 and 2026-07-28, held against a strict list of expected failures.
#[test]
fn the_official_conformance_suite() {
    let folder = Folder::new();
    let server = serve(&folder);
    let url = format!("http://127.0.0.1:{}/mcp", server.port);
    let said = run(Command::new("python3")
        .arg(repository("tests/conformance/run.py"))
        .arg(url));
    assert!(
        said.contains("Requirements of 2025-11-25") && said.contains("Requirements of 2026-07-28")
    );
    print!("{said}");
}
