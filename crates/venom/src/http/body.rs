//! Bodies under watch: one that trickles in is given up, and the end of an answer is noticed.

use super::limits::{BODY_PAUSE_MAX, BODY_TIME_MAX};
use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep};

/// A body that pauses for too long, or takes too long as a whole.
#[derive(Debug, thiserror::Error)]
#[error("the body comes too slowly")]
pub(super) struct TooSlow;

impl TooSlow {
    /// Whether it is the cause of an error.
    pub(super) fn is_behind(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source())
            .any(<dyn std::error::Error>::is::<Self>)
    }
}

/// The body of a request: each part has to come within [`BODY_PAUSE_MAX`], all of it within
/// [`BODY_TIME_MAX`] of the first look at it.
pub(super) struct Timely<B> {
    body: B,
    /// When it is to have ended.
    end_by: Option<Instant>,
    /// When it is given up, if nothing comes before.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    /// Watches a body.
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            end_by: None,
            waiting: None,
        }
    }
}

impl<B> Body for Timely<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let end_by = *this
            .end_by
            .get_or_insert_with(|| Instant::now() + BODY_TIME_MAX);
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = None;
            return Poll::Ready(match frame {
                Some(Ok(_)) if Instant::now() >= end_by => Some(Err(TooSlow.into())),
                frame => frame.map(|frame| frame.map_err(Into::into)),
            });
        }
        let waiting = this.waiting.get_or_insert_with(|| {
            let pause = end_by
                .saturating_duration_since(Instant::now())
                .min(BODY_PAUSE_MAX);
            Box::pin(sleep(pause))
        });
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, with something that is dropped when it has been handed over.
pub(super) struct Answer<T> {
    body: axum::body::Body,
    _held: T,
}

impl<T> Answer<T> {
    /// Holds `held` as long as the body.
    pub(super) fn holding(held: T, body: axum::body::Body) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> Body for Answer<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
