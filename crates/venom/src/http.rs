//! The HTTP server: routes, the guard in front of them, and an orderly stop.

mod body;
mod door;
mod guard;
mod head;
mod health;
mod landing;
mod limits;
mod listener;
mod mcp;
mod oauth;
mod own_server;
mod peer;
mod rate;
mod sse;
mod tls;
mod watched;

pub(crate) use guard::Guard;
pub(crate) use oauth::Site;
pub(crate) use own_server::own_client;
pub(crate) use peer::Peer;
pub(crate) use rate::{RateLimiter, too_many};
pub(crate) use tls::read_chain;

use self::body::Fault;
use self::door::Door;
use self::tls::Certificates;
use crate::access_file::AccessFile;
use crate::backup::Schedule;
use crate::caller::Caller;
use crate::config::Config;
use crate::failure::Failure;
use crate::hub::Hub;
use crate::mcp::messages::{MESSAGE_BYTES_MAX, cut_short, too_long};
use crate::mcp::{ICON_SVG, VenomServer};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http_body_util::LengthLimitError;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long running requests may take to finish once the server was told to stop.
pub(crate) const STOP_TIME_MAX: Duration = Duration::from_secs(8);

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    hub: Hub,
    config: Arc<Config>,
    server: VenomServer,
    mcp: mcp::StreamableHttp,
    sessions: sse::Sessions,
    site: Option<Arc<Site>>,
    file: AccessFile,
    backups: Schedule,
    /// Cancelled when the server is told to stop: long-lived streams end then.
    stop: CancellationToken,
}

/// What stands behind the doors.
pub(crate) struct Doors {
    /// The use cases.
    pub(crate) hub: Hub,
    /// Who may come in.
    pub(crate) file: AccessFile,
    /// How backups went that this server makes.
    pub(crate) backups: Schedule,
    /// The configuration.
    pub(crate) config: Arc<Config>,
    /// Who stands in front of every route.
    pub(crate) guard: Guard,
    /// Where the owner signs in, if anywhere.
    pub(crate) site: Option<Arc<Site>>,
}

/// The address that is listened on, and what TLS is spoken with there.
pub(crate) struct Bound {
    listener: TcpListener,
    certificates: Option<Certificates>,
}

/// Binds the address of the configuration and reads its certificate.
///
/// # Errors
/// [`Failure`] that names the address and the next step.
pub(crate) async fn bind(config: &Config) -> Result<Bound, Failure> {
    let certificates = config.tls.clone().map(Certificates::load).transpose()?;
    let address = SocketAddr::from((config.host, config.port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::not_ready(format!(
            "port {} on {} is in use by another program: stop it, or choose another with --port",
            config.port, config.host
        )),
        _ => Failure::not_ready(format!("{address} cannot be listened on: {error}")),
    })?;
    Ok(Bound {
        listener,
        certificates,
    })
}

/// Serves until `stop` is cancelled, then finishes running requests within [`STOP_TIME_MAX`].
pub(crate) async fn serve(bound: Bound, doors: Doors, stop: CancellationToken) {
    let Doors {
        hub,
        file,
        backups,
        config,
        guard,
        site,
    } = doors;
    // The guard says with each request who calls; a request without its word may do nothing.
    let server = VenomServer::new(hub.clone(), file.clone(), config.clone(), Caller::nobody());
    let shared = Shared {
        hub,
        config: config.clone(),
        mcp: mcp::StreamableHttp::new(server.clone()),
        server,
        sessions: sse::Sessions::default(),
        site: site.clone(),
        file,
        backups,
        stop: stop.clone(),
    };
    let proxies = config.trusted_proxies.clone();
    let door = Door::new(router(shared, guard, site), proxies, config.rate_address);
    let serving = listener::serve(bound.listener, door, bound.certificates, stop.clone());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_TIME_MAX).await;
    };
    tokio::select! {
        () = serving => {}
        () = too_late => tracing::warn!("some requests did not finish in time and were cut off"),
    }
}

fn router(shared: Shared, guard: Guard, site: Option<Arc<Site>>) -> Router {
    let rate = Arc::new(RateLimiter::new(shared.config.rate_token));
    let router = Router::new()
        .route("/", get(landing::landing))
        .route("/health", get(health::health))
        .route("/icon.svg", get(icon))
        .route("/favicon.ico", get(icon))
        .route("/mcp", any(mcp::mcp))
        .route("/mcp/", any(mcp::mcp))
        .route("/sse", get(sse::open))
        .route("/messages", post(sse::message))
        .route("/messages/", post(sse::message))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(
            rate,
            rate::check_token,
        ))
        .with_state(shared);
    let router = match site {
        Some(site) => router.merge(oauth::router(site)),
        None => router,
    };
    router.layer(axum::middleware::from_fn_with_state(
        Arc::new(guard),
        guard::check,
    ))
}

/// A whole request body. A length that is announced is checked before anything is read.
///
/// # Errors
/// The answer to give: 413 for one that is longer than a message may be, 408 for one that comes too
/// slowly, 503 when all together are too long, 400 for one that breaks off.
async fn read_body(body: Body) -> Result<Bytes, Response> {
    let too_long = || (StatusCode::PAYLOAD_TOO_LARGE, axum::Json(*too_long())).into_response();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MESSAGE_BYTES_MAX {
        return Err(too_long());
    }
    let read = axum::body::to_bytes(body, MESSAGE_BYTES_MAX).await;
    read.map_err(|error| {
        let cause = std::error::Error::source(&error);
        if cause.is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) {
            too_long()
        } else if let Some(fault) = Fault::behind(&error) {
            match fault {
                Fault::TooSlow => self::error(StatusCode::REQUEST_TIMEOUT, &fault.to_string()),
                Fault::TooMuch => busy(&fault.to_string()),
            }
        } else {
            (StatusCode::BAD_REQUEST, axum::Json(*cut_short())).into_response()
        }
    })
}

async fn icon() -> Response {
    (
        [
            (header::CONTENT_TYPE, "image/svg+xml"),
            (header::CACHE_CONTROL, "max-age=86400"),
        ],
        ICON_SVG,
    )
        .into_response()
}

async fn not_found(uri: axum::http::Uri) -> Response {
    let path: String = uri.path().chars().take(60).collect();
    let message = format!("{path} does not exist: expected /mcp, /sse, /messages/, /health or /");
    error(StatusCode::NOT_FOUND, &message)
}

async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Response {
    let expected = if uri.path().starts_with("/messages") {
        "POST"
    } else {
        "GET"
    };
    let path = uri.path();
    let message = format!("{path} does not take {method}: expected {expected}");
    error(StatusCode::METHOD_NOT_ALLOWED, &message)
}

/// An error answer: one sentence, as JSON.
fn error(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "error": message }))).into_response()
}

/// The answer to what may be tried again soon.
fn busy(message: &str) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, message);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    response
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.http_status());
        let mut response = error(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            &self.message,
        );
        if self.kind == venom_core::ErrorKind::Overloaded {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
