//! The binary as a process: a command that ends, or a server that stays.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long words may take to come into a log before the test fails.
const LOG_TIME_MAX: Duration = Duration::from_mins(1);

/// A call of the binary that is being put together. Starts from an environment without any of
/// Venom's variables and works in the test's folder, where there is no `.env`.
#[derive(Debug)]
pub struct Command(std::process::Command);

impl Command {
    /// The binary, working in `folder`, its data in `folder/data`.
    pub fn new(binary: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = std::process::Command::new(binary);
        let ours = [
            "VENOM_DATA",
            "CHROMADB_PATH",
            "COLLECTION_NAME",
            "VENOM_IMPORT_PREDECESSOR",
            "VENOM_DUPLICATES",
            "VENOM_SECRETS",
            "VENOM_QUARANTINE",
            "VENOM_ERASE_AFTER",
            "VENOM_CONNECTOR_TOOLS",
            "VENOM_LANGUAGE",
            "HOST",
            "PORT",
            "EMBEDDING_MODEL",
            "VENOM_PERSONALITY",
            "PERSONALITY_DIR",
            "ICON_URL",
            "VENOM_ALLOWED_HOSTS",
            "VENOM_ALLOWED_ORIGINS",
            "VENOM_OPEN_TO_EVERYONE",
            "VENOM_PUBLIC_URL",
            "VENOM_TRUSTED_PROXIES",
            "VENOM_TLS_CERT",
            "VENOM_TLS_KEY",
            "VENOM_RATE_ADDRESS",
            "VENOM_RATE_TOKEN",
            "VENOM_WORKERS",
            "VENOM_QUEUE",
            "VENOM_BACKUP_EVERY",
            "VENOM_BACKUP_DIR",
            "VENOM_BACKUP_KEEP",
            "VENOM_BACKUP_KEEP_DAYS",
            "VENOM_BACKUP_PASSPHRASE_FILE",
            "VENOM_LOG",
        ];
        for name in ours {
            command.env_remove(name);
        }
        command
            .current_dir(folder)
            .env("VENOM_DATA", folder.join("data"));
        Self(command)
    }

    /// Adds words.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    /// Runs to the end with these bytes on stdin.
    pub fn run_with(mut self, input: &[u8]) -> Output {
        self.0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_vec();
        // A process that ends without reading its input closes the pipe: that is its right.
        let feeder = std::thread::spawn(move || stdin.write_all(&input));
        let output = child
            .wait_with_output()
            .expect("the process can be waited for");
        let _ = feeder.join();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs to the end with nothing on stdin.
    pub fn run(self) -> Output {
        self.run_with(b"")
    }

    /// Starts with stdin and stdout piped, stderr collected.
    pub fn spawn(mut self) -> Process {
        self.0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("the binary starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let collected = log.clone();
        let collector = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut chunk) {
                let mut bytes = collected.0.lock().expect("nobody panics under this lock");
                bytes.extend_from_slice(&chunk[..count]);
                drop(bytes);
                collected.1.notify_all();
            }
        });
        Process {
            child,
            stdin,
            stdout,
            log,
            collector: Some(collector),
        }
    }
}

/// What a process that ended left behind.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Output {
    /// Stdout of a process that must have succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Stderr of a process that must have failed with this code.
    #[track_caller]
    pub fn failure(self, code: i32) -> String {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stderr
    }
}

/// A running process. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Its stdin, until taken or closed.
    pub stdin: Option<ChildStdin>,
    /// Its stdout.
    pub stdout: BufReader<ChildStdout>,
    log: Arc<(Mutex<Vec<u8>>, Condvar)>,
    collector: Option<JoinHandle<()>>,
}

impl Process {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of stdout, without its line feed; `None` at the end.
    pub fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.stdout.read_line(&mut line).expect("stdout is UTF-8");
        (count > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// Everything it wrote to stderr; of a process that still runs, what was read so far.
    pub fn log(&self) -> String {
        let log = self.log.0.lock().expect("nobody panics under this lock");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What a running process wrote to stderr, once these words are in it.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn log_with(&self, words: &str) -> String {
        let has_words = |log: &[u8]| String::from_utf8_lossy(log).contains(words);
        let log = self.log.0.lock().expect("nobody panics under this lock");
        let waited = self
            .log
            .1
            .wait_timeout_while(log, LOG_TIME_MAX, |log| !has_words(log));
        let (log, _) = waited.expect("nobody panics under this lock");
        assert!(
            has_words(&log),
            "no {words:?} in: {}",
            String::from_utf8_lossy(&log)
        );
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Ends it at once, as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.wait();
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.id().to_string()])
            .status()
            .expect("kill is part of every system");
        assert!(status.success());
    }

    /// Waits for its end; the exit code, or `None` if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let status = self.child.wait().expect("the process can be waited for");
        // Its log is complete once stderr has ended, too.
        if let Some(collector) = self.collector.take() {
            let _ = collector.join();
        }
        status.code()
    }

    /// Resident memory in bytes; `None` where the system does not tell.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.status("VmRSS:").map(|kib| kib * 1024)
    }

    /// What of it is no file, in bytes; `None` where the system does not tell.
    pub fn anonymous_bytes(&self) -> Option<u64> {
        self.status("RssAnon:").map(|kib| kib * 1024)
    }

    /// Running threads; `None` where the system does not tell.
    pub fn threads(&self) -> Option<u64> {
        self.status("Threads:")
    }

    /// Open files, sockets included; `None` where the system does not tell.
    pub fn open_files(&self) -> Option<u64> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id())).ok()?;
        u64::try_from(files.count()).ok()
    }

    /// Bytes that it has had written to disks; `None` where the system does not tell.
    pub fn written_bytes(&self) -> Option<u64> {
        self.number_in("io", "write_bytes:")
    }

    fn status(&self, name: &str) -> Option<u64> {
        self.number_in("status", name)
    }

    fn number_in(&self, file: &str, name: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.id())).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running `venom serve`.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub process: Process,
    /// Its port on loopback.
    pub port: u16,
    /// The lines it printed at its start.
    pub banner: Vec<String>,
    /// Where its memories lie.
    pub folder: PathBuf,
}

impl Server {
    /// Starts one in `folder` on a free port and waits until it says that it listens.
    pub fn start(binary: impl AsRef<OsStr>, folder: &Path) -> Self {
        Self::start_with(Command::new(binary, folder), folder, free_port())
    }

    /// The same, from a command that was put together before.
    ///
    /// # Panics
    /// If it ends instead; the message holds its log.
    pub fn start_with(command: Command, folder: &Path, port: u16) -> Self {
        let mut process = command
            .args(["serve"])
            .env("PORT", port.to_string())
            .spawn();
        let mut banner = Vec::new();
        while banner.len() < 3 {
            let Some(line) = process.read_line() else {
                let code = process.wait();
                panic!("the server ended with {code:?}: {}", process.log());
            };
            banner.push(line);
        }
        Self {
            process,
            port,
            banner,
            folder: folder.to_owned(),
        }
    }
}

/// A TCP port on loopback that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    listener.local_addr().expect("it is bound").port()
}
