//! The attached side: sends calls to the owner over its socket, many at a time over one connection.

use super::calls::{Answer, Call};
use super::socket::{self, line, read_line};
use super::wire::{CallLine, Hello, PROTOCOL, REPLY_BYTES_MAX, ReplyLine};
use crate::config::Config;
use crate::failure::Failure;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use venom_core::RequestKey;
use venom_store::Holder;

/// How long an owner may take to greet. It greets from its event loop, which nothing blocks.
const HELLO_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest greeting, in bytes: whatever else listens there is not the owner.
const HELLO_BYTES_MAX: u64 = 4096;
/// Calls that may wait for the connection to take them before their callers wait, too.
const CALLS_WAITING_MAX: usize = 64;

/// The owner ended before it answered; the call may or may not have been carried out.
#[derive(Debug)]
pub(super) struct Lost;

type Replies = Mutex<HashMap<u64, oneshot::Sender<ReplyLine>>>;

/// A connection to the owner.
pub(super) struct Link {
    owner_pid: u32,
    /// Lines for the task that writes, so that a caller who goes away never cuts one short.
    outgoing: mpsc::Sender<Vec<u8>>,
    next_id: AtomicU64,
    replies: Arc<Replies>,
    lost: CancellationToken,
}

impl Link {
    /// Connects to the owner of the data folder. `None` if it has no socket yet, has just ended or
    /// runs on another machine.
    ///
    /// # Errors
    /// [`Failure`] if the owner can never be attached to: it speaks another version of the protocol.
    pub(super) async fn attach(holder: &Holder, config: &Config) -> Result<Option<Self>, Failure> {
        let mut greeted = None;
        for path in sockets(holder, &config.data) {
            greeted = greet(&path).await;
            if greeted.is_some() {
                break;
            }
        }
        let Some((hello, reader, writer)) = greeted else {
            return Ok(None);
        };
        let data = config.data.display();
        if hello.protocol != PROTOCOL {
            return Err(Failure::not_ready(format!(
                "the data folder {data} is owned by process {} of Venom {}, which this Venom {} cannot \
                 talk to: stop that process, or use the same version",
                hello.pid,
                hello.version,
                env!("CARGO_PKG_VERSION")
            )));
        }
        let (outgoing, lines) = mpsc::channel(CALLS_WAITING_MAX);
        let link = Self {
            owner_pid: hello.pid,
            outgoing,
            next_id: AtomicU64::new(0),
            replies: Arc::default(),
            lost: CancellationToken::new(),
        };
        tokio::spawn(send(writer, lines, link.lost.clone()));
        tokio::spawn(receive(reader, link.replies.clone(), link.lost.clone()));
        Ok(Some(link))
    }

    /// The owner's process id.
    pub(super) const fn owner_pid(&self) -> u32 {
        self.owner_pid
    }

    /// Whether the owner is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Waits until the owner is gone.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Sends a call and waits for its reply.
    ///
    /// # Errors
    /// [`Lost`] if the owner ended before it answered.
    pub(super) async fn call(
        &self,
        call: &Call,
        key: RequestKey,
    ) -> Result<Result<Answer, Failure>, Lost> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.replies).insert(id, sender);
        let bytes = line(&CallLine::new(id, key, call));
        let sent = self.outgoing.send(bytes).await;
        // The receiving task may have emptied the map before the call was entered.
        if sent.is_err() || self.is_lost() {
            lock(&self.replies).remove(&id);
            return Err(Lost);
        }
        receiver.await.map(ReplyLine::parse).map_err(|_| Lost)
    }
}

fn lock(replies: &Replies) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<ReplyLine>>> {
    replies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the owner may be reached. Seen from another container the data folder has another path and
/// the owner another host name, yet the socket in that folder is the same; one that lies elsewhere is
/// the owner's only on its own host.
fn sockets(holder: &Holder, data: &Path) -> impl Iterator<Item = PathBuf> {
    let announced = holder.socket.clone();
    let shared = announced.as_deref().and_then(Path::file_name) == Some(OsStr::new(socket::NAME));
    let in_data = shared.then(|| data.join(socket::NAME));
    let elsewhere = announced.filter(|_| holder.is_on_this_host());
    in_data.into_iter().chain(elsewhere)
}

async fn greet(path: &Path) -> Option<(Hello, BufReader<OwnedReadHalf>, OwnedWriteHalf)> {
    let stream = UnixStream::connect(path).await.ok()?;
    // Memories go to no other user's process, whoever made this socket.
    let (reader, writer) = socket::is_ours(&stream).then(|| stream.into_split())?;
    let mut reader = BufReader::new(reader);
    let text = tokio::time::timeout(HELLO_TIME_MAX, read_line(&mut reader, HELLO_BYTES_MAX))
        .await
        .ok()?
        .ok()??;
    Some((serde_json::from_slice(&text).ok()?, reader, writer))
}

/// Writes lines until the link is dropped or the owner is gone.
async fn send(
    mut writer: OwnedWriteHalf,
    mut lines: mpsc::Receiver<Vec<u8>>,
    lost: CancellationToken,
) {
    while let Some(line) = lines.recv().await {
        if writer.write_all(&line).await.is_err() {
            // Callers must not take this link for alive until the reading side notices, too.
            lost.cancel();
            return;
        }
    }
}

/// Hands replies to their callers; at the end every caller left learns that the owner is gone.
async fn receive(
    mut reader: BufReader<OwnedReadHalf>,
    replies: Arc<Replies>,
    lost: CancellationToken,
) {
    while let Ok(Some(text)) = read_line(&mut reader, REPLY_BYTES_MAX).await {
        let Ok(reply) = serde_json::from_slice::<ReplyLine>(&text) else {
            tracing::error!("the owner of the data folder sent a line that is no reply");
            break;
        };
        if let Some(sender) = lock(&replies).remove(&reply.id) {
            let _ = sender.send(reply);
        }
    }
    lost.cancel();
    lock(&replies).clear();
}
