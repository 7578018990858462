//! The listener: takes connections, as many as there may be, and serves HTTP/1.1 on each.

use super::Peer;
use super::body::Answer;
use super::door::Door;
use super::limits::{
    CONNECTIONS_ADDRESS_MAX, CONNECTIONS_MAX, FILES_KEPT, HANDSHAKE_TIME_MAX, HEAD_BYTES_MAX,
    HEADERS_MAX,
};
use super::peer::one_network;
use super::tls::Certificates;
use super::watched::{Progress, Watched};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait when the system gives no connection, such as for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the end of a refused connection is waited for, so that the refusal arrives.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);
/// Connections that are being refused at once; more are closed without a word.
const REFUSALS_MAX: usize = 64;
/// The library's own limit for heads. It counts while a slow caller still takes the answer before.
const LIBRARY_TIME_MAX: Duration = Duration::from_hours(24);
/// The answer to a connection too many.
const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\n\r\n\
    {\"error\":\"too many connections are open: try again later\"}\n";
/// The answer to a connection too many of one address.
const TOO_MANY_OF_ONE: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\n\r\n\
    {\"error\":\"too many connections of this address are open: close some\"}\n";

/// Where connections come from.
pub(super) trait Source: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next one.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Source for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = Self::accept(self).await?;
        // An answer is written at once; waiting for more of it only delays it.
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }
}

/// Serves until `stop` is cancelled, then until every connection has ended.
pub(super) async fn serve(
    source: impl Source,
    door: Door,
    certificates: Option<Certificates>,
    stop: CancellationToken,
) {
    let listener = Arc::new(Listener::new(door, certificates, stop.clone()));
    let running = TaskTracker::new();
    let mut said_failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = source.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                said_failing = false;
                listener.take(stream, address, &running);
            }
            Err(error) if is_over(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut said_failing, true) {
                    tracing::warn!("no connection can be taken for now: {error}");
                }
                tokio::select! {
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    () = stop.cancelled() => break,
                }
            }
        }
    }
    drop(source);
    running.close();
    running.wait().await;
}

/// Whether it is only this one connection that failed before it was taken.
fn is_over(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

struct Listener {
    door: Door,
    certificates: Option<Certificates>,
    stop: CancellationToken,
    /// One for each connection that may be open.
    places: Arc<Semaphore>,
    /// One for each connection that may be being refused.
    refusals: Arc<Semaphore>,
    /// Open connections of each network, where they are counted.
    from: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The place of an open connection.
struct Place {
    _one_of_all: OwnedSemaphorePermit,
    _one_of_its_network: Option<OneOfItsNetwork>,
}

/// Counts a connection of a network until it is dropped.
struct OneOfItsNetwork {
    from: Arc<Mutex<HashMap<IpAddr, usize>>>,
    network: IpAddr,
}

impl Drop for OneOfItsNetwork {
    fn drop(&mut self) {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = from.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Listener {
    fn new(door: Door, certificates: Option<Certificates>, stop: CancellationToken) -> Self {
        Self {
            door,
            certificates,
            stop,
            places: Arc::new(Semaphore::new(connections_max())),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            from: Arc::default(),
        }
    }

    /// Serves a connection in a task of its own, or refuses it.
    fn take<S>(self: &Arc<Self>, stream: S, address: SocketAddr, running: &TaskTracker)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let peer = Peer::of_connection(address, self.certificates.is_some());
        match self.place(peer) {
            Ok(place) => _ = running.spawn(self.clone().serve(stream, peer, place)),
            // Nothing can be said before a handshake.
            Err(_) if self.certificates.is_some() => {}
            Err(refusal) => {
                if let Ok(place) = self.refusals.clone().try_acquire_owned() {
                    running.spawn(refuse(stream, refusal, place));
                }
            }
        }
    }

    /// A place for a connection, or the answer to one too many.
    fn place(&self, peer: Peer) -> Result<Place, &'static str> {
        let one_of_its_network = if self.door.brings_many(peer) {
            None
        } else {
            let network = one_network(peer.address);
            let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
            let count = from.entry(network).or_default();
            if *count >= CONNECTIONS_ADDRESS_MAX {
                return Err(TOO_MANY_OF_ONE);
            }
            *count += 1;
            let from = self.from.clone();
            Some(OneOfItsNetwork { from, network })
        };
        let one_of_all = self.places.clone().try_acquire_owned();
        Ok(Place {
            _one_of_all: one_of_all.map_err(|_| TOO_MANY)?,
            _one_of_its_network: one_of_its_network,
        })
    }

    /// Serves a connection to its end.
    async fn serve<S>(self: Arc<Self>, stream: S, peer: Peer, _place: Place)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(certificates) = &self.certificates else {
            return self.speak(stream, peer).await;
        };
        let acceptor = TlsAcceptor::from(certificates.current(std::time::Instant::now()));
        let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream));
        let shaken = tokio::select! {
            shaken = shaken => shaken,
            () = self.stop.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.speak(stream, peer).await,
            Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// Speaks HTTP.
    async fn speak<S>(self: &Arc<Self>, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let progress = Progress::new();
        let stream = TokioIo::new(Watched::new(stream, progress.clone()));
        let service = service_fn(|request| {
            let answering = progress.answering();
            async move {
                let response = self.door.answer(peer, request).await;
                Ok::<_, Infallible>(response.map(|body| Answer::holding(answering, body)))
            }
        });
        let mut http = http1::Builder::new();
        // The stream is stricter; but only with a time of its own the library reads between requests.
        http.timer(TokioTimer::new())
            .header_read_timeout(LIBRARY_TIME_MAX)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        let mut connection = std::pin::pin!(http.serve_connection(stream, service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!("a connection ended early: {error}");
        }
    }
}

/// Tells a connection too many so, and waits a little for its end: closed at once, with a request unread,
/// it would be reset and the refusal lost.
async fn refuse<S>(mut stream: S, refusal: &'static str, _place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let said = async {
        stream.write_all(refusal.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(REFUSAL_TIME_MAX, said).await;
}

/// Connections that the system lets this process open. The soft limit is raised for them as far as it
/// goes.
fn connections_max() -> usize {
    let wanted = CONNECTIONS_MAX as u64 + FILES_KEPT;
    let limit = getrlimit(Resource::Nofile);
    let mut files = limit.current.unwrap_or(u64::MAX);
    if files < wanted {
        let raised = limit.maximum.unwrap_or(u64::MAX).min(wanted);
        let limit = Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            files = raised;
        }
    }
    let left = usize::try_from(files.saturating_sub(FILES_KEPT)).unwrap_or(usize::MAX);
    left.clamp(16, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests;
