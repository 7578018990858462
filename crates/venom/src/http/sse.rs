//! The legacy HTTP+SSE transport (protocol 2024-11-05): `GET /sse` opens a stream, `POST /messages/`
//! sends into it, answers come over the stream.
//!
//! A client whose stream broke opens a new one and goes on, also without initializing again: the
//! server behind a session needs nothing from it.

use super::{Shared, error, read_body};
use crate::caller::Caller;
use crate::mcp::messages::{ChannelTransport, MESSAGES_WAITING_MAX, Parsed, parse};
use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::{Stream, StreamExt, stream};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::serve_directly_with_ct;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most streams open at once.
const STREAMS_MAX: usize = 1_000;
/// How often an idle stream shows that it lives, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Random bytes in a session id.
const SESSION_ID_BYTES: usize = 16;

/// The two ways into a session.
#[derive(Clone)]
struct Session {
    /// Who opened it: nobody else may speak in it.
    caller: Caller,
    incoming: mpsc::Sender<ClientJsonRpcMessage>,
    outgoing: mpsc::Sender<ServerJsonRpcMessage>,
}

/// The open sessions.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends its session when the stream is dropped, because the client went or the last answer is sent.
struct Open {
    id: String,
    sessions: Sessions,
    ended: CancellationToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
        self.ended.cancel();
    }
}

/// `GET /sse`.
pub(super) async fn open(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let mut bytes = [0; SESSION_ID_BYTES];
    if getrandom::fill(&mut bytes).is_err() {
        return error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the system gave no random numbers",
        );
    }
    let id = bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    });
    let (incoming, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
    let (outgoing, answers) = mpsc::channel(MESSAGES_WAITING_MAX);
    {
        let mut sessions = shared.sessions.lock();
        if sessions.len() >= STREAMS_MAX {
            let message = format!("{STREAMS_MAX} streams are open already: try again later");
            return error(StatusCode::TOO_MANY_REQUESTS, &message);
        }
        sessions.insert(
            id.clone(),
            Session {
                caller: caller.clone(),
                incoming,
                outgoing: outgoing.clone(),
            },
        );
    }
    let ended = shared.stop.child_token();
    let transport = ChannelTransport::new(messages, outgoing, ended.clone());
    let server = shared.server.with_caller(caller);
    let running = serve_directly_with_ct(server, transport, None, CancellationToken::new());
    let sessions = shared.sessions.clone();
    let ended_id = id.clone();
    // With the last answer the last sender goes, and so the stream ends.
    tokio::spawn(async move {
        let _ = running.waiting().await;
        sessions.lock().remove(&ended_id);
    });
    let open = Open {
        id: id.clone(),
        sessions: shared.sessions.clone(),
        ended,
    };
    Sse::new(events(&id, answers, open))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

/// First where to send messages, then every answer.
fn events(
    id: &str,
    answers: mpsc::Receiver<ServerJsonRpcMessage>,
    open: Open,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let endpoint = Event::default()
        .event("endpoint")
        .data(format!("/messages/?session_id={id}"));
    let answers = stream::unfold((answers, open), |(mut answers, open)| async move {
        let answer = answers.recv().await?;
        let json = serde_json::to_string(&answer).unwrap_or_default();
        Some((
            Ok(Event::default().event("message").data(json)),
            (answers, open),
        ))
    });
    stream::once(std::future::ready(Ok(endpoint))).chain(answers)
}

/// `POST /messages/?session_id=…`.
pub(super) async fn message(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
    body: Body,
) -> Response {
    let Some(id) = query.get("session_id") else {
        let message = "session_id is missing: expected the address that /sse sent first";
        return error(StatusCode::BAD_REQUEST, message);
    };
    let session = shared.sessions.lock().get(id).cloned();
    // To anybody else the session is as good as none. The rights are those of whoever opened it.
    let session = session.filter(|session| {
        session.caller.pass == caller.pass && session.caller.rights == caller.rights
    });
    let Some(session) = session else {
        let id: String = id.chars().take(60).collect();
        let message = format!("no session {id:?} is open: open /sse again for a new one");
        return error(StatusCode::NOT_FOUND, &message);
    };
    let bytes = match read_body(body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let messages = match parse(&bytes) {
        Ok(Parsed::Single(message)) => vec![Ok(*message)],
        Ok(Parsed::Batch(messages)) => messages,
        Err(error) => return (StatusCode::BAD_REQUEST, axum::Json(*error)).into_response(),
    };
    for message in messages {
        let taken = match message {
            Ok(message) => session.incoming.send(message).await.is_ok(),
            Err(error) => session.outgoing.send(*error).await.is_ok(),
        };
        if !taken {
            return error(
                StatusCode::NOT_FOUND,
                "the session has ended: open /sse again",
            );
        }
    }
    (StatusCode::ACCEPTED, "Accepted").into_response()
}
