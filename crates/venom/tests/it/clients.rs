//! The official clients for Python, in both its major lines, and for TypeScript, the official conformance
//! suite, and the ways in which well-known apps sign in. Their installers keep what they fetch below
//! `target/`.

use crate::scripts::{self, repository, run};
use crate::{BINARY, serve, venom};
use std::process::Command;
use std::sync::Once;
use venom_testing::process::free_port;
use venom_testing::{Folder, Server};

/// The interpreter that has a line of the official client.
fn python(line: &str) -> String {
    scripts::python(&format!("tests/clients/requirements-{line}.txt"))
}

/// A script of the conformance suite, which is installed first.
fn with_suite(script: &str) -> Command {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let install = repository("tests/conformance/run.py");
        run(Command::new("python3").arg(install).arg("install"));
    });
    let mut command = Command::new("python3");
    command.arg(repository("tests/conformance").join(script));
    command
}

/// Runs a script that closes with how many of its checks passed: none may have failed.
#[track_caller]
fn check(command: &mut Command) {
    let said = run(command);
    let last = said.lines().last().unwrap_or_default();
    println!("{command:?}: {last}");
    assert!(last.ends_with(" 0 failed"), "{said}");
}

/// One line of the client over all three transports, each with a data folder of its own.
fn check_python_client(line: &str) {
    let python = python(line);
    let check_over = |folder: &Folder, words: [&str; 4]| {
        let mut command = Command::new(&python);
        command
            .arg(repository("tests/clients/check_client.py"))
            .args(words);
        command
            .current_dir(folder.path())
            .env("VENOM_DATA", folder.join("data"));
        check(&mut command);
    };
    for transport in ["http", "sse"] {
        let folder = Folder::new();
        let server = serve(&folder);
        let url = format!("http://127.0.0.1:{}", server.port);
        check_over(&folder, ["--transport", transport, "--url", &url]);
    }
    let stdio = format!("{BINARY} stdio");
    check_over(
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
    let said = run(with_suite("run.py").arg(url));
    assert!(
        said.contains("Requirements of 2025-11-25") && said.contains("Requirements of 2026-07-28")
    );
    print!("{said}");
}

/// A server where apps sign in, and what its owner needs.
struct Site {
    server: Server,
    folder: Folder,
    url: String,
    passphrase: String,
}

impl Site {
    /// A server that browsers reach at its own port.
    fn new() -> Self {
        let port = free_port();
        Self::at(port, format!("http://localhost:{port}"))
    }

    /// A server behind a proxy, which the scripts play.
    fn at(port: u16, url: String) -> Self {
        let folder = Folder::new();
        let command = venom(&folder, []).env("VENOM_PUBLIC_URL", &url);
        let server = Server::start_with(command, folder.path(), port);
        let log = server.process.log_with("This is shown only now");
        let (_, behind) = log.split_once("where apps sign in:").unwrap();
        let passphrase = behind.split_whitespace().next().unwrap().to_owned();
        Self {
            server,
            folder,
            url,
            passphrase,
        }
    }

    /// Has a script sign in. Grants are revoked on the command line of the same data folder.
    #[track_caller]
    fn check(&self, command: &mut Command) {
        let data = self.folder.join("data");
        let venom = format!("{BINARY} --data {}", data.display());
        let words = ["--url", &self.url, "--passphrase", &self.passphrase];
        check(command.args(words).args(["--command", &venom]));
    }
}

/// One line of the client over both transports, each with a server of its own.
fn check_python_client_signs_in(line: &str) {
    let script = repository("tests/clients/sign_in.py");
    for transport in ["http", "sse"] {
        let mut command = Command::new(python(line));
        Site::new().check(command.arg(&script).args(["--transport", transport]));
    }
}

#[test]
fn the_python_client_1_x_signs_in() {
    check_python_client_signs_in("mcp1");
}

#[test]
fn the_python_client_2_x_signs_in() {
    check_python_client_signs_in("mcp2");
}

#[test]
fn the_typescript_client_signs_in() {
    Site::new().check(&mut with_suite("sign_in.py"));
}

/// The scenarios for authorization servers: what is skipped or only warned of fails, too.
#[test]
fn the_official_conformance_suite_signs_in() {
    let site = Site::new();
    let said = run(with_suite("run.py")
        .arg(format!("{}/mcp", site.url))
        .args(["--passphrase", &site.passphrase]));
    assert!(said.contains("authorization-code-grant"), "{said}");
    print!("{said}");
}

/// Claude, ChatGPT, editors and others, request by request, and what no app may get.
#[test]
fn well_known_apps_sign_in() {
    let site = Site::at(free_port(), "https://venom.example".to_owned());
    check(
        Command::new("python3")
            .arg(repository("tests/clients/callbacks.py"))
            .args(["--url", &site.url, "--passphrase", &site.passphrase])
            .args(["--at", &format!("127.0.0.1:{}", site.server.port)]),
    );
}
