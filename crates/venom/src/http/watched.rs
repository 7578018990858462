//! A connection under watch: a head that trickles in, a caller that is silent between requests, and
//! one that takes nothing of its answer end it. Bodies are watched in `body.rs`, as only the HTTP
//! library knows where they begin.

use super::limits::{HEAD_TIME_MAX, IDLE_TIME_MAX, WRITE_PAUSE_MAX};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// A request began, or the connection.
    Head,
    /// A request is being answered.
    Busy,
}

impl Phase {
    /// How long it may last without the end of the connection.
    const fn time_max(self) -> Option<Duration> {
        match self {
            Self::Idle => Some(IDLE_TIME_MAX),
            Self::Head => Some(HEAD_TIME_MAX),
            Self::Busy => None,
        }
    }
}

/// The phase of a connection, known to both ends of the HTTP library: the stream below and the service
/// above.
#[derive(Clone)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    /// Of a connection that was just opened.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(Phase::Head as u8)))
    }

    /// A request came whole; it is answered when the result is dropped.
    pub(super) fn answering(&self) -> Answering {
        self.set(Phase::Busy);
        Answering(self.clone())
    }

    fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Phase {
        let known = self.0.load(Ordering::Relaxed);
        let phases = [Phase::Idle, Phase::Head];
        let found = phases.into_iter().find(|phase| *phase as u8 == known);
        found.unwrap_or(Phase::Busy)
    }
}

/// A request is being answered.
pub(super) struct Answering(Progress);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(Phase::Idle);
    }
}

/// The stream.
pub(super) struct Watched<S> {
    stream: S,
    progress: Progress,
    /// The phase that `reading` counts for.
    counted: Phase,
    /// When the phase has lasted too long.
    reading: Pin<Box<Sleep>>,
    /// When the caller has taken nothing for too long; `None` while it takes all there is.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    /// Watches a stream.
    pub(super) fn new(stream: S, progress: Progress) -> Self {
        Self {
            stream,
            progress,
            counted: Phase::Head,
            reading: Box::pin(sleep(HEAD_TIME_MAX)),
            writing: None,
        }
    }

    /// Starts to count for a phase.
    fn count(&mut self, phase: Phase) {
        self.counted = phase;
        if let Some(time_max) = phase.time_max() {
            self.reading.as_mut().reset(Instant::now() + time_max);
        }
    }

    /// Ends the wait for the caller when it takes too long.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let writing = self
            .writing
            .get_or_insert_with(|| Box::pin(sleep(WRITE_PAUSE_MAX)));
        writing.as_mut().poll(cx).map(|()| Err(too_late()))
    }
}

fn too_late() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let filled = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let phase = this.progress.get();
        if read.is_ready() {
            if phase == Phase::Idle && buf.filled().len() > filled {
                this.progress.set(Phase::Head);
                this.count(Phase::Head);
            }
            return read;
        }
        // An answer that is complete for the library may still be on its way: that is not idle.
        let sending = phase == Phase::Idle && this.writing.is_some();
        if phase != this.counted || sending {
            this.count(phase);
        }
        if phase == Phase::Busy {
            return Poll::Pending;
        }
        this.reading.as_mut().poll(cx).map(|()| Err(too_late()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch_write(cx, ended)
    }
}
