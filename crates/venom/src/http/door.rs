//! What every request passes before the routes: an unambiguous head, who calls, how often, how many at
//! once, and for how long.

use super::body::{Budget, Timely};
use super::limits::{BODIES_BYTES_MAX, REQUEST_TIME_MAX, REQUESTS_MAX, UNREAD_BYTES_MAX};
use super::rate::check_address;
use super::{Peer, RateLimiter, busy, error, head, too_many};
use crate::addresses::Network;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use axum::{BoxError, Router};
use hyper::body::Body as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::Semaphore;

/// The door of one server.
pub(super) struct Door {
    routes: TowerToHyperService<Router>,
    proxies: Vec<Network>,
    rate: RateLimiter,
    /// One for each request that may be under way.
    places: Semaphore,
    bodies: Budget,
    /// Whether it was said that tokens cross the network readable.
    said_readable: AtomicBool,
}

impl Door {
    /// A door to these routes, for callers of at most this many requests a minute and address.
    pub(super) fn new(routes: Router, proxies: Vec<Network>, rate_address: u32) -> Self {
        Self {
            routes: TowerToHyperService::new(routes),
            proxies,
            rate: RateLimiter::new(rate_address),
            places: Semaphore::new(REQUESTS_MAX),
            bodies: Budget::new(BODIES_BYTES_MAX),
            said_readable: AtomicBool::new(false),
        }
    }

    /// Whether the other end of a connection may bring many callers.
    pub(super) fn brings_many(&self, peer: Peer) -> bool {
        peer.address.is_loopback() || peer.is_among(&self.proxies)
    }

    /// Answers a request that came over a connection.
    pub(super) async fn answer<B>(&self, connection: Peer, request: Request<B>) -> Response
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        // Of a request that names its length twice, as chunks and as a number, the library drops the
        // number. Whoever went by it sees another end: nothing may follow on this connection.
        let last = parts.headers.contains_key(header::TRANSFER_ENCODING);
        // Whatever the routes make of the body counts until they have answered.
        let share = self.bodies.share();
        let body = Timely::new(body, share.clone());
        let (mut response, is_read) = match self.admit(connection, &parts) {
            Ok(peer) => {
                parts.extensions.insert(peer);
                let request = Request::from_parts(parts, Body::new(body.clone()));
                let response = self.pass(request).await;
                (response, read_rest(body).await)
            }
            Err(refusal) => (*refusal, body.is_end_stream()),
        };
        drop(share);
        if last || !is_read {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    /// Who calls, if the request may pass; else the answer to give.
    fn admit(&self, connection: Peer, parts: &Parts) -> Result<Peer, Box<Response>> {
        if let Some(problem) = head::problem(parts) {
            return Err(Box::new(error(StatusCode::BAD_REQUEST, &problem)));
        }
        let peer = connection.behind(&parts.headers, &self.proxies);
        check_address(&self.rate, peer.address, Instant::now())
            .map_err(|wait| Box::new(too_many("this address", wait)))?;
        let readable = !peer.tls && !peer.address.is_loopback();
        if readable
            && parts.headers.contains_key(header::AUTHORIZATION)
            && !self.said_readable.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "a token came without TLS, readable for everyone on the way: expected VENOM_TLS_CERT and \
                 VENOM_TLS_KEY, or a proxy with TLS that VENOM_TRUSTED_PROXIES names"
            );
        }
        Ok(peer)
    }

    /// Hands a request to the routes, if there is a place for it.
    async fn pass(&self, request: Request<Body>) -> Response {
        let _place = match self.places.try_acquire() {
            Ok(place) => Some(place),
            Err(_) if request.uri().path() == "/health" => None,
            Err(_) => {
                let message = format!("{REQUESTS_MAX} requests are under way already: try again");
                return busy(&message);
            }
        };
        match tokio::time::timeout(REQUEST_TIME_MAX, self.routes.call(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                let seconds = REQUEST_TIME_MAX.as_secs();
                let message = format!(
                    "the answer took longer than {seconds} s: look what was done before you ask again"
                );
                error(StatusCode::SERVICE_UNAVAILABLE, &message)
            }
        }
    }
}

/// Reads what the routes have left of a body. A connection whose request is not read to its end closes
/// behind the answer: a client that sends head and body apart, or uses the connection again, would find it
/// broken. Of a long body nobody waits for the end; the answer says then that the connection closes.
async fn read_rest<B>(body: Timely<B>) -> bool
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    body.is_end_stream()
        || axum::body::to_bytes(Body::new(body), UNREAD_BYTES_MAX)
            .await
            .is_ok()
}
