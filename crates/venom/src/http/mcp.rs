//! `/mcp`: Streamable HTTP by the SDK, for every revision, without sessions.
//!
//! Without sessions a request carries all it needs, so a restart of the server breaks no client: a
//! session id from before is simply not looked at. Around the SDK, this door reads bodies itself, to
//! answer broken ones with one clear JSON-RPC error, and splits the batches of revision 2025-03-26.

use super::{Shared, read_body};
use crate::caller::{Caller, Pass};
use crate::mcp::messages::{MESSAGE_BYTES_MAX, Parsed, parse};
use crate::mcp::{VenomServer, writes};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;

/// Both content types that a client of this transport has to accept.
const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// JSON-RPC's number for a call that its caller may not make; of the range that is left to servers.
const FORBIDDEN: ErrorCode = ErrorCode(-32003);

/// The SDK's service.
pub(super) type StreamableHttpSdk = StreamableHttpService<VenomServer, NeverSessionManager>;

/// The transport.
#[derive(Clone)]
pub(super) struct StreamableHttp(StreamableHttpSdk);

impl StreamableHttp {
    /// A transport for a server.
    pub(super) fn new(server: VenomServer) -> Self {
        // Host and Origin are checked for every route by the guard. The SDK's own token for stopping is
        // left alone: it cuts running requests off.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(MESSAGE_BYTES_MAX)
            .disable_allowed_hosts();
        Self(StreamableHttpSdk::new(
            move || Ok(server.clone()),
            NeverSessionManager::default().into(),
            config,
        ))
    }

    async fn pass(&self, parts: Parts, body: impl Into<Body>) -> Response {
        let request = Request::from_parts(parts, body.into());
        self.0.handle(request).await.map(Body::new)
    }
}

/// The handler.
pub(super) async fn mcp(State(shared): State<Shared>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return shared.mcp.pass(parts, Body::empty()).await;
    }
    let bytes = match read_body(body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    accept_what_we_send(&mut parts);
    match parse(&bytes) {
        Ok(Parsed::Single(message)) => {
            if let Some(refused) = shared.step_up(&parts, &message) {
                return refused;
            }
            shared.mcp.pass(parts, bytes).await
        }
        Ok(Parsed::Batch(messages)) => batch(&shared.mcp, &parts, messages).await,
        Err(error) => answer(StatusCode::BAD_REQUEST, &error),
    }
}

impl Shared {
    /// The answer to a client that may only read and wants to write: 403, and what to ask the owner for
    /// (RFC 6750, section 3.1). Callers with a token have nobody to ask; they get the tool's error.
    fn step_up(&self, parts: &Parts, message: &ClientJsonRpcMessage) -> Option<Response> {
        let caller = parts.extensions.get::<Caller>()?;
        let site = self.site.as_ref()?;
        let ClientJsonRpcMessage::Request(request) = message else {
            return None;
        };
        let ClientRequest::CallToolRequest(call) = &request.request else {
            return None;
        };
        let is_grant = matches!(caller.pass, Pass::Grant { .. });
        if !is_grant || caller.rights.write || !writes(&call.params.name) {
            return None;
        }
        let why = "this grant may read and not write: expected one with the scope write";
        let error = ErrorData::new(FORBIDDEN, why, None);
        let error = ServerJsonRpcMessage::error(error, Some(request.id.clone()));
        let mut response = answer(StatusCode::FORBIDDEN, &error);
        let challenge = format!(
            "Bearer realm=\"venom\", error=\"insufficient_scope\", error_description=\"{why}\"{}",
            site.challenge_parameters(parts.uri.path())
        );
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        Some(response)
    }
}

/// A client that takes anything, or JSON, or did not say, takes what this server sends.
fn accept_what_we_send(parts: &mut Parts) {
    let accept = parts
        .headers
        .get(header::ACCEPT)
        .map(|value| value.to_str().unwrap_or_default());
    if matches!(accept, None | Some("*/*" | "application/json")) {
        parts.headers.insert(header::ACCEPT, ACCEPT_BOTH);
    }
}

fn answer(status: StatusCode, message: &ServerJsonRpcMessage) -> Response {
    (status, axum::Json(message)).into_response()
}

/// Answers a batch: every request in it on its own, the answers in one array.
async fn batch(
    transport: &StreamableHttp,
    parts: &Parts,
    messages: Vec<Result<ClientJsonRpcMessage, Box<ServerJsonRpcMessage>>>,
) -> Response {
    let mut answers = Vec::new();
    for message in messages {
        match message {
            Err(error) => answers.extend(serde_json::to_value(error).ok()),
            Ok(message) => {
                let body = serde_json::to_vec(&message).unwrap_or_default();
                let response = transport.pass(parts.clone(), body).await;
                if response.status() == StatusCode::ACCEPTED {
                    continue;
                }
                match json_of(response).await {
                    Ok(answer) => answers.push(answer),
                    Err(response) => return response,
                }
            }
        }
    }
    if answers.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    axum::Json(answers).into_response()
}

/// The JSON of a response, or the response itself where it is none.
async fn json_of(response: Response) -> Result<Value, Response> {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, MESSAGE_BYTES_MAX)
        .await
        .unwrap_or_else(|_| Bytes::new());
    serde_json::from_slice(&bytes).map_err(|_| Response::from_parts(parts, Body::from(bytes)))
}
