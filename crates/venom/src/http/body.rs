//! Bodies under watch: one that trickles in or does not fit any more is given up, and the end of an
//! answer is noticed.

use super::limits::{BODY_PAUSE_MAX, BODY_TIME_MAX};
use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Why a body was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It paused for too long, or took too long as a whole.
    #[error("the body came too slowly: send it again")]
    TooSlow,
    /// All requests together hold as much as they may.
    #[error("too much is being sent at once: try again")]
    TooMuch,
}

impl Fault {
    /// The fault behind an error, if there is one.
    pub(super) fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|error| error.downcast_ref().copied())
    }
}

/// What the bodies of all requests may hold, in bytes.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// What one request takes of it: nothing so far.
    pub(super) fn share(&self) -> Share {
        Share {
            budget: self.0.clone(),
            held: Arc::default(),
        }
    }
}

/// What one request holds of the budget, until the last copy of this is dropped.
#[derive(Clone)]
pub(super) struct Share {
    budget: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Share {
    fn add(&self, bytes: usize) -> Result<(), Fault> {
        let bytes = u32::try_from(bytes).map_err(|_| Fault::TooMuch)?;
        let more = self.budget.clone().try_acquire_many_owned(bytes);
        let more = more.map_err(|_| Fault::TooMuch)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

/// The body of a request: each part has to come within [`BODY_PAUSE_MAX`], all of it within
/// [`BODY_TIME_MAX`] of the first look at it, and into the share of its request. Every copy of it is the
/// same body: what one has read the others do not find again.
pub(super) struct Timely<B>(Arc<Mutex<Coming<B>>>);

impl<B> Clone for Timely<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Coming<B> {
    body: B,
    share: Share,
    /// When it is to have ended.
    end_by: Option<Instant>,
    /// When it is given up, if nothing comes before.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    /// Watches a body.
    pub(super) fn new(body: B, share: Share) -> Self {
        Self(Arc::new(Mutex::new(Coming {
            body,
            share,
            end_by: None,
            waiting: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Coming<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self.lock();
        let end_by = *this
            .end_by
            .get_or_insert_with(|| Instant::now() + BODY_TIME_MAX);
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = None;
            let Some(Ok(frame)) = frame else {
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            };
            if Instant::now() >= end_by {
                return Poll::Ready(Some(Err(Fault::TooSlow.into())));
            }
            let added = this.share.add(frame.data_ref().map_or(0, Bytes::len));
            return Poll::Ready(Some(added.map(|()| frame).map_err(Into::into)));
        }
        let waiting = this.waiting.get_or_insert_with(|| {
            let left = end_by.saturating_duration_since(Instant::now());
            Box::pin(sleep(left.min(BODY_PAUSE_MAX)))
        });
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(Fault::TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(budget: &Budget, bytes: usize) -> (Share, Result<Bytes, Option<Fault>>) {
        let share = budget.share();
        let body = axum::body::Body::from(vec![0; bytes]);
        let body = axum::body::Body::new(Timely::new(body, share.clone()));
        let read = axum::body::to_bytes(body, usize::MAX).await;
        (share, read.map_err(|error| Fault::behind(&error)))
    }

    #[tokio::test]
    async fn all_bodies_together_hold_no_more_than_the_budget() {
        let budget = Budget::new(100);
        let (first, read_first) = read(&budget, 60).await;
        assert_eq!(read_first.unwrap().len(), 60);
        let (_, refused) = read(&budget, 41).await;
        assert_eq!(refused, Err(Some(Fault::TooMuch)));
        let (_second, read_second) = read(&budget, 40).await;
        assert_eq!(read_second.unwrap().len(), 40);
        drop(first);
        let (_, read_third) = read(&budget, 60).await;
        assert_eq!(
            read_third.unwrap().len(),
            60,
            "a request that is over gives back"
        );
    }
}
