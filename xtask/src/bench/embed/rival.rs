//! ONNX Runtime in a process of its own, asked line by line.

use crate::bench::Outcome;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A running ONNX Runtime with the model.
pub(super) struct Rival {
    pub(super) version: String,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What came of a request.
pub(super) struct Answer {
    pub(super) times: Vec<Duration>,
    /// Of unit length.
    pub(super) vectors: Vec<Vec<f32>>,
}

impl Rival {
    /// Installs it where it is missing, and builds the model from `folder` in `work`.
    pub(super) fn start(folder: &Path, work: &Path) -> Outcome<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = root.join("src/bench/embed");
        let made = Command::new("python3")
            .arg(root.join("../scripts/python-env"))
            .arg(files.join("requirements-onnxruntime.txt"))
            .stderr(Stdio::inherit())
            .output()?;
        if !made.status.success() {
            return Err("no environment for ONNX Runtime".into());
        }
        let python = PathBuf::from(String::from_utf8(made.stdout)?.trim());
        let mut process = Command::new(python)
            .arg(files.join("onnx_runtime.py"))
            .args([folder, work])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let requests = process.stdin.take();
        let answers = process.stdout.take().ok_or("a process without output")?;
        let mut rival = Self {
            version: String::new(),
            process,
            requests,
            answers: BufReader::new(answers),
        };
        let hello = rival.read()?;
        let version = hello["version"].as_str().unwrap_or_default();
        version.clone_into(&mut rival.version);
        Ok(rival)
    }

    /// Runs texts of equal length `rounds` times.
    pub(super) fn run(
        &mut self,
        precision: &str,
        threads: usize,
        ids: &[Vec<u32>],
        rounds: usize,
    ) -> Outcome<Answer> {
        let request = json!({
            "precision": precision, "threads": threads, "ids": ids, "rounds": rounds,
        });
        let requests = self.requests.as_mut().ok_or("a process without input")?;
        writeln!(requests, "{request}")?;
        let answer = self.read()?;
        let times: Vec<f64> = serde_json::from_value(answer["ms"].clone())?;
        let seconds = times.into_iter().map(|ms| ms / 1e3);
        Ok(Answer {
            times: seconds.map(Duration::from_secs_f64).collect(),
            vectors: serde_json::from_value(answer["vectors"].clone())?,
        })
    }

    fn read(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("ONNX Runtime ended early".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Rival {
    /// It ends with its input.
    fn drop(&mut self) {
        self.requests.take();
        // Its code says nothing that was not noticed before.
        let _ = self.process.wait();
    }
}
