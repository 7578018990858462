//! The owner's socket: serves the processes that attach. Unix sockets, usable by their owner only.
//!
//! The socket lies in the data folder where that works. A path there may be too long for a socket
//! address (about 100 bytes) or on a share that has no sockets; then it lies in a folder of its own,
//! mode 0700, below the user's run-time or temporary folder. The lease tells where.

use super::engine::Engine;
use super::wire::{CALL_BYTES_MAX, CallLine, Hello, PROTOCOL, ReplyLine};
use crate::failure::Failure;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use venom_store::Lease;

/// The socket's name in the data folder.
pub(super) const NAME: &str = "venom.sock";
/// Longest path that every Unix takes for a socket, in bytes (macOS: 104 with the final NUL).
const SOCKET_PATH_BYTES_MAX: usize = 100;
/// Replies that may wait for one slow reader before its calls wait, too.
const REPLIES_WAITING_MAX: usize = 64;

/// Calls of one process that may be under way or wait for it to read their replies.
const CALLS_OPEN_MAX: usize = 4096;
/// Pause after the socket failed to accept a process.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The socket of an owner, and its lease.
pub(super) struct Listener {
    lease: Lease,
    /// `None` where no socket can be made: then nobody attaches, and this process serves alone.
    path: Option<PathBuf>,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Listener {
    /// Binds the socket, announces it in the lease and serves it.
    ///
    /// # Errors
    /// [`Failure`] if the lease cannot be written.
    pub(super) fn start(
        data: &Path,
        engine: Arc<Engine>,
        mut lease: Lease,
    ) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let path = match bind(data) {
            Ok((listener, path)) => {
                lease.announce(&path)?;
                connections.spawn(accept(listener, engine, stop.clone(), connections.clone()));
                Some(path)
            }
            Err(reasons) => {
                tracing::warn!(
                    "other processes cannot use the data folder while this one does, as no local socket \
                     can be made: {reasons}"
                );
                None
            }
        };
        Ok(Self {
            lease,
            path,
            stop,
            connections,
        })
    }

    /// Takes no more calls and waits until those under way are answered.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.connections.close();
        self.connections.wait().await;
    }

    /// Gives the data folder up.
    pub(super) fn release(self) {
        if let Some(path) = self.path {
            let _ = std::fs::remove_file(path);
        }
        drop(self.lease);
    }
}

/// Binds at the first place that works. The error says why none does.
fn bind(data: &Path) -> Result<(UnixListener, PathBuf), String> {
    let mut reasons = Vec::new();
    for path in candidates(data) {
        match path.and_then(|path| bind_at(&path).map(|listener| (listener, path))) {
            Ok(bound) => return Ok(bound),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(reasons.join("; "))
}

fn candidates(data: &Path) -> impl Iterator<Item = io::Result<PathBuf>> {
    let absolute = std::path::absolute(data);
    let in_data = absolute
        .as_ref()
        .map(|data| data.join(NAME))
        .map_err(clone_error);
    let name = absolute.map(|data| {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(data.as_os_str().as_bytes());
        digest
            .iter()
            .take(8)
            .fold(String::new(), |name, byte| format!("{name}{byte:02x}"))
    });
    let user = rustix::process::getuid().as_raw();
    let run_time = std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from);
    let bases = [run_time, Some(std::env::temp_dir())];
    let elsewhere = bases.into_iter().flatten().map(move |base| {
        let name = name.as_ref().map_err(clone_error)?;
        let folder = base.join(format!("venom-{user}"));
        private_folder(&folder, user)?;
        Ok(folder.join(format!("{name}.sock")))
    });
    std::iter::once(in_data).chain(elsewhere)
}

fn clone_error(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Makes a folder that only `user` can enter; refuses one that somebody else prepared.
fn private_folder(folder: &Path, user: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = std::fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        let folder = folder.display();
        return Err(io::Error::other(format!(
            "{folder} is not a folder that only its owner can enter"
        )));
    }
    Ok(())
}

fn bind_at(path: &Path) -> io::Result<UnixListener> {
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        let path = path.display();
        return Err(io::Error::other(format!(
            "{path} is too long for a socket ({bytes} bytes)"
        )));
    }
    // The lease is ours, so a socket that lies here belongs to a process that has ended.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(
    listener: UnixListener,
    engine: Arc<Engine>,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, _)) if is_ours(&stream) => {
                connections.spawn(serve(stream, engine.clone(), stop.clone()));
            }
            Ok(_) => tracing::warn!("refused a process of another user at the local socket"),
            Err(error) => {
                tracing::warn!("the local socket failed to accept a process: {error}");
                // Out of file descriptors, most likely: it would fail again at once.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the process at the other end belongs to the same user (or is root, who may do anything).
pub(super) fn is_ours(stream: &UnixStream) -> bool {
    let user = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == user || peer.uid() == 0)
}

/// Serves one attached process until it goes or the owner stops.
async fn serve(stream: UnixStream, engine: Arc<Engine>, stop: CancellationToken) {
    let (reader, mut writer) = stream.into_split();
    let (replies, mut outgoing) = mpsc::channel::<Vec<u8>>(REPLIES_WAITING_MAX);
    let hello = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    };
    let write = async move {
        if writer.write_all(&line(&hello)).await.is_err() {
            return;
        }
        while let Some(reply) = outgoing.recv().await {
            if writer.write_all(&reply).await.is_err() {
                return;
            }
        }
    };
    let read = async move {
        let mut reader = BufReader::new(reader);
        let open = Arc::new(Semaphore::new(CALLS_OPEN_MAX));
        loop {
            let Ok(permit) = open.clone().acquire_owned().await else {
                return;
            };
            let text = tokio::select! {
                () = stop.cancelled() => return,
                text = read_line(&mut reader, CALL_BYTES_MAX) => text,
            };
            let Ok(Some(text)) = text else { return };
            let call: CallLine = match serde_json::from_slice(&text) {
                Ok(call) => call,
                Err(error) => {
                    tracing::warn!("an attached process sent a line that is no call: {error}");
                    return;
                }
            };
            let (engine, replies) = (engine.clone(), replies.clone());
            tokio::spawn(async move {
                let id = call.id;
                let reply = match call.parse() {
                    Ok((key, call)) => engine.call(call, key).await,
                    Err(failure) => Err(failure),
                };
                let _ = replies.send(line(&ReplyLine::new(id, reply))).await;
                drop(permit);
            });
        }
    };
    // `write` ends when every call under way has sent its reply and `read` has ended.
    tokio::join!(write, read);
}

/// One JSON object and a line feed.
pub(super) fn line(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("wire types have no maps with non-text keys");
    bytes.push(b'\n');
    bytes
}

/// The next line without its line feed; `None` at the end. A longer line than the limit is an error.
pub(super) async fn read_line(
    reader: &mut (impl tokio::io::AsyncBufRead + Unpin),
    bytes_max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let count = reader.take(bytes_max).read_until(b'\n', &mut text).await?;
    match text.pop() {
        Some(b'\n') => Ok(Some(text)),
        Some(_) if u64::try_from(count).is_ok_and(|count| count >= bytes_max) => {
            Err(io::Error::other("the line is too long"))
        }
        // The end, or the other end was killed in the middle of a line.
        None | Some(_) => Ok(None),
    }
}
