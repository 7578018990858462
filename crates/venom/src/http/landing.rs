//! `/`: JSON for programs, a page for browsers.

use super::Shared;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

/// The page; `{version}` is filled in.
const PAGE: &str = include_str!("landing.html");

/// The handler.
pub(super) async fn landing(State(_): State<Shared>, headers: HeaderMap) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        return Html(PAGE.replace("{version}", version)).into_response();
    }
    axum::Json(json!({"server": "venom", "status": "running", "version": version})).into_response()
}
