//! The legacy HTTP+SSE transport (protocol 2024-11-05): `GET /sse` opens a stream, `POST /messages/`
//! sends into it, answers come over the stream.
//!
//! A client whose stream broke opens a new one and goes on, also without initializing again: the
//! server behind a session needs nothing from it. So a stream that nobody uses may be ended.

use super::limits::{STREAM_IDLE_MAX, STREAMS_ADDRESS_MAX, STREAMS_MAX};
use super::peer::one_network;
use super::{Peer, Shared, error, read_body};
use crate::access_file::AccessFile;
use crate::asked::SystemClock;
use crate::caller::{Caller, Pass};
use crate::mcp::messages::{ChannelTransport, MESSAGES_WAITING_MAX, Parsed, parse};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::{Stream, StreamExt, stream};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::serve_directly_with_ct;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use venom_core::ports::Clock as _;

/// How often an idle stream shows that it lives, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a stream asks whether its token or grant is still there.
const PASS_CHECKED_EVERY: Duration = Duration::from_mins(1);
/// Random bytes in a session id.
const SESSION_ID_BYTES: usize = 16;

/// The two ways into a session.
#[derive(Clone)]
struct Session {
    /// Who opened it: nobody else may speak in it.
    caller: Caller,
    incoming: mpsc::Sender<ClientJsonRpcMessage>,
    outgoing: mpsc::Sender<ServerJsonRpcMessage>,
    used: Used,
    /// Where it was opened from, if that is counted.
    network: Option<IpAddr>,
}

/// When a session last had a message or an answer.
#[derive(Clone)]
struct Used(Arc<Mutex<Instant>>);

impl Used {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn again(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When the session will have been idle for too long, as far as is known now.
    fn expires(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) + STREAM_IDLE_MAX
    }
}

/// The open sessions.
#[derive(Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session, if one more may be open.
    fn add(&self, id: String, session: Session) -> Result<(), String> {
        let mut sessions = self.lock();
        if sessions.len() >= STREAMS_MAX {
            return Err(format!(
                "{STREAMS_MAX} streams are open already: try again later"
            ));
        }
        let same = |other: &&Session| other.network == session.network;
        if session.network.is_some()
            && sessions.values().filter(same).count() >= STREAMS_ADDRESS_MAX
        {
            return Err(format!(
                "{STREAMS_ADDRESS_MAX} streams of this address are open already: close one"
            ));
        }
        sessions.insert(id, session);
        Ok(())
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
    Extension(peer): Extension<Peer>,
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
    let used = Used::now();
    let session = Session {
        caller: caller.clone(),
        incoming,
        outgoing: outgoing.clone(),
        used: used.clone(),
        network: (!peer.address.is_loopback()).then(|| one_network(peer.address)),
    };
    if let Err(message) = shared.sessions.add(id.clone(), session) {
        return error(StatusCode::TOO_MANY_REQUESTS, &message);
    }
    let ended = shared.stop.child_token();
    let transport = ChannelTransport::new(messages, outgoing, ended.clone());
    tokio::spawn(end_with_pass(
        shared.file.clone(),
        caller.clone(),
        ended.clone(),
    ));
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
    Sse::new(events(&id, answers, used, open))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

/// Ends a session whose token or grant is gone.
async fn end_with_pass(file: AccessFile, caller: Caller, ended: CancellationToken) {
    if caller.pass == Pass::Local {
        return;
    }
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(PASS_CHECKED_EVERY) => {}
        }
        let caller = caller.clone();
        let now = SystemClock.now();
        let asked = file.ask(move |access| match &caller.pass {
            Pass::Local => Ok(true),
            Pass::Token(name) => access.has_token(name, &caller.rights, now),
            Pass::Grant { id, .. } => access.has_grant(*id, now),
            Pass::Nobody => Ok(false),
        });
        // A file that cannot be read now says nothing about the pass; each message is asked for it anyway.
        if matches!(asked.await, Ok(false)) {
            ended.cancel();
            return;
        }
    }
}

/// First where to send messages, then every answer; the end when nobody uses it any more.
fn events(
    id: &str,
    answers: mpsc::Receiver<ServerJsonRpcMessage>,
    used: Used,
    open: Open,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let endpoint = Event::default()
        .event("endpoint")
        .data(format!("/messages/?session_id={id}"));
    let answers = stream::unfold((answers, open), move |(mut answers, open)| {
        let used = used.clone();
        async move {
            let answer = next(&mut answers, &used).await?;
            let json = serde_json::to_string(&answer).unwrap_or_default();
            let event = Event::default().event("message").data(json);
            Some((Ok(event), (answers, open)))
        }
    });
    stream::once(std::future::ready(Ok(endpoint))).chain(answers)
}

/// The next answer; `None` after the last one, or when the session was idle for too long.
async fn next(
    answers: &mut mpsc::Receiver<ServerJsonRpcMessage>,
    used: &Used,
) -> Option<ServerJsonRpcMessage> {
    loop {
        let expires = used.expires();
        if let Ok(answer) = timeout_at(expires, answers.recv()).await {
            used.again();
            return answer;
        }
        if used.expires() <= expires {
            return None;
        }
    }
}

/// `POST /messages/?session_id=…`.
pub(super) async fn message(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
    body: Body,
) -> Response {
    take(&shared.sessions, &caller, &query, body).await
}

/// Takes what a caller sends into the session that the query names.
async fn take(
    sessions: &Sessions,
    caller: &Caller,
    query: &HashMap<String, String>,
    body: Body,
) -> Response {
    let Some(id) = query.get("session_id") else {
        let message = "session_id is missing: expected the address that /sse sent first";
        return error(StatusCode::BAD_REQUEST, message);
    };
    let session = sessions.lock().get(id).cloned();
    // To anybody else the session is as good as none. The rights are those of whoever opened it.
    let session = session.filter(|session| {
        session.caller.pass == caller.pass && session.caller.rights == caller.rights
    });
    let Some(session) = session else {
        let id: String = id.chars().take(60).collect();
        let message = format!("no session {id:?} is open: open /sse again for a new one");
        return error(StatusCode::NOT_FOUND, &message);
    };
    session.used.again();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use venom_fuzz::Target;

    fn session(network: Option<&str>) -> Session {
        Session {
            caller: Caller::nobody(),
            incoming: mpsc::channel(1).0,
            outgoing: mpsc::channel(1).0,
            used: Used::now(),
            network: network.map(|address| address.parse().unwrap()),
        }
    }

    #[tokio::test]
    async fn one_address_cannot_take_all_streams() {
        let sessions = Sessions::default();
        let add = |id: usize, network: Option<&str>| sessions.add(id.to_string(), session(network));
        for id in 0..STREAMS_ADDRESS_MAX {
            assert_eq!(add(id, Some("192.0.2.1")), Ok(()));
        }
        let refused = add(1_001, Some("192.0.2.1")).unwrap_err();
        assert!(refused.contains("of this address"), "{refused}");
        assert_eq!(add(1_002, Some("192.0.2.2")), Ok(()));
        for id in STREAMS_ADDRESS_MAX + 1..STREAMS_MAX {
            assert_eq!(add(id, None), Ok(()), "this machine's own are not counted");
        }
        let refused = add(1_003, Some("192.0.2.3")).unwrap_err();
        assert!(refused.contains("1000 streams are open"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_uses_ends_and_one_in_use_goes_on() {
        let (_sender, mut answers) = mpsc::channel(1);
        let used = Used::now();
        let started = Instant::now();
        let client = used.clone();
        let nearly = STREAM_IDLE_MAX.saturating_sub(Duration::from_secs(1));
        let using = tokio::spawn(async move {
            tokio::time::sleep(nearly).await;
            client.again();
        });
        assert!(next(&mut answers, &used).await.is_none());
        assert_eq!(
            started.elapsed().as_secs(),
            (nearly + STREAM_IDLE_MAX).as_secs()
        );
        using.await.unwrap();
    }

    /// The query, a line feed, the body.
    #[test]
    fn fuzz_sse_messages() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.unwrap();
        let (sessions, own) = (Sessions::default(), "0123456789abcdef0123456789abcdef");
        let (incoming, mut messages) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (outgoing, mut answers) = mpsc::channel(MESSAGES_WAITING_MAX);
        let local = Caller::local("test");
        let of = |caller: &Caller| Session {
            caller: caller.clone(),
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            used: Used::now(),
            network: None,
        };
        sessions.add(own.to_owned(), of(&local)).unwrap();
        sessions
            .add("stranger".to_owned(), of(&Caller::nobody()))
            .unwrap();
        let words = [
            "session_id=",
            own,
            "stranger",
            "&",
            "%",
            "%30",
            "+",
            "\n",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            "[",
            "]",
            ",",
        ];
        Target::new("sse-messages").words(&words).run(|bytes| {
            let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            let (query, body) = bytes.split_at(line);
            let uri = [b"/messages/?", query].concat();
            let uri = axum::http::Uri::try_from(uri).ok()?;
            let Query(query) = Query::<HashMap<String, String>>::try_from_uri(&uri).ok()?;
            let answer = runtime.block_on(take(&sessions, &local, &query, body.to_vec().into()));
            let mut came = 0;
            while messages.try_recv().is_ok() || answers.try_recv().is_ok() {
                came += 1;
            }
            let is_own = query.get("session_id").map(String::as_str) == Some(own);
            let status = answer.status();
            assert_eq!(came > 0, status == StatusCode::ACCEPTED);
            assert!(
                is_own || came == 0,
                "only whoever opened a session speaks in it"
            );
            assert!(status.is_success() || status.is_client_error(), "{status}");
            Some((status.as_u16(), came.min(3)))
        });
    }
}
