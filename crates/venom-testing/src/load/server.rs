//! The server under load: one that asks for tokens, so that the check of each, the access file and the
//! audit log are part of what is measured.

use super::Target;
use crate::process::{Command, Server, free_port};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The server.
#[derive(Debug)]
pub struct Loaded {
    /// It, running.
    pub server: Server,
    /// How clients reach it.
    pub target: Target,
    binary: PathBuf,
    variables: Vec<(&'static str, String)>,
    folder: PathBuf,
}

impl Loaded {
    /// Makes so many tokens in a folder by the command line and starts a server there, with these variables
    /// besides.
    pub fn start(
        binary: &Path,
        folder: &Path,
        tokens: usize,
        mut variables: Vec<(&'static str, String)>,
    ) -> Self {
        std::fs::create_dir_all(folder.join("data")).expect("the folder can be written");
        let port = free_port();
        variables.push(("VENOM_PUBLIC_URL", format!("http://localhost:{port}")));
        let make = |name: &str, how: &[&str]| {
            let words = [&["token", "create", "--json", "--name", name], how].concat();
            let said = Command::new(binary, folder).args(words).run().success();
            let made: Value = serde_json::from_str(&said).expect("JSON");
            made["token"].as_str().expect("a token").to_owned()
        };
        let target = Target {
            port,
            tokens: (0..tokens)
                .map(|number| make(&format!("client-{number}"), &[]))
                .collect(),
            read_only: make("reader", &["--read-only"]),
        };
        Self {
            server: serve(binary, folder, port, &variables),
            target,
            binary: binary.to_owned(),
            variables,
            folder: folder.to_owned(),
        }
    }

    /// Ends the server as a power cut would and starts it again. What the log of the ended one says of
    /// failures: lines that are errors, and panics.
    pub fn kill_and_start(&mut self) -> Vec<String> {
        self.server.process.kill();
        let log = self.server.process.log();
        self.server = serve(
            &self.binary,
            &self.folder,
            self.target.port,
            &self.variables,
        );
        let failures = log
            .lines()
            .filter(|line| line.contains("ERROR") || line.contains("panicked"));
        failures.map(str::to_owned).collect()
    }

    /// Every memory there is, its text by its id.
    pub fn kept(&self) -> BTreeMap<String, String> {
        kept(&self.binary, &self.folder)
    }
}

fn serve(binary: &Path, folder: &Path, port: u16, variables: &[(&'static str, String)]) -> Server {
    let mut command = Command::new(binary, folder);
    for (name, value) in variables {
        command = command.env(name, value);
    }
    Server::start_with(command, folder, port)
}

/// Every memory in a folder by id, through the command line.
#[track_caller]
pub fn kept(binary: &Path, folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut before: Option<String> = None;
    loop {
        let mut command = Command::new(binary, folder).args(["list", "--json", "--limit", "1000"]);
        if let Some(id) = &before {
            command = command.args(["--before", id.as_str()]);
        }
        let page: Value = serde_json::from_str(&command.run().success()).expect("JSON");
        let page = page["memories"].as_array().expect("a list").clone();
        let Some(last) = page.last() else { return all };
        before = last["memory_id"].as_str().map(str::to_owned);
        for memory in &page {
            let text = |field: &str| memory[field].as_str().expect("a text").to_owned();
            let twice = all.insert(text("memory_id"), text("content"));
            assert_eq!(twice, None, "an id is listed once");
        }
    }
}
