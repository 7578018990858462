//! What clients read first: the protected resource (RFC 9728) and its authorization server (RFC 8414).

use super::Site;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where the resource's metadata lies, as the challenge names it.
pub(super) const RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource/mcp";
/// The same for the older transport.
pub(super) const SSE_RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource/sse";
/// The same for clients that look at the root, or come for the older transport.
pub(super) const RESOURCE_PATHS: [&str; 3] = [
    RESOURCE_PATH,
    "/.well-known/oauth-protected-resource",
    SSE_RESOURCE_PATH,
];
/// Where the authorization server's metadata lies; some clients append the path of the resource.
pub(super) const SERVER_PATHS: [&str; 2] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/mcp",
];
/// Whether a path is one of them.
pub(super) fn is_path(path: &str) -> bool {
    RESOURCE_PATHS.contains(&path) || SERVER_PATHS.contains(&path)
}

/// The resource, under the name by which the client came: some hold it against the address they were given.
/// Whichever it is, a token for it is good at both doors.
pub(super) async fn resource(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let resource = if uri.path().ends_with("/sse") {
        format!("{}/sse", site.origin)
    } else {
        site.resource.clone()
    };
    document(&json!({
        "resource": resource,
        "authorization_servers": [site.origin],
        "scopes_supported": ["read", "write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Venom",
    }))
}

/// The authorization server.
pub(super) async fn server(State(site): State<Arc<Site>>) -> Response {
    let at = |path: &str| format!("{}{path}", site.origin);
    document(&json!({
        "issuer": site.origin,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "registration_endpoint": at("/register"),
        "revocation_endpoint": at("/revoke"),
        "scopes_supported": ["read", "write"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
        "protected_resources": [site.resource],
    }))
}

fn document(json: &Value) -> Response {
    let cached = [(header::CACHE_CONTROL, "max-age=300")];
    (cached, axum::Json(json)).into_response()
}
