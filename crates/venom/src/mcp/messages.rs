//! JSON-RPC messages in and out, shared by every transport: parsing with clear errors, and a
//! transport over channels for those that the SDK has no server for.

use super::depth;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ErrorData, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::Transport;
use serde_json::Value;
use std::collections::HashSet;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use venom_core::limits;

/// Longest message taken, in bytes. Far above the longest content, so that a text that is too long
/// is refused by the tool, with the limit named, also when every character of it is escaped.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most messages in one batch (revision 2025-03-26 has batches).
pub(crate) const BATCH_MESSAGES_MAX: usize = 100;
/// Most arrays and objects in each other. A call of a tool needs about ten.
pub(crate) const DEPTH_MAX: usize = 64;
/// How long a closed connection may take to answer what is under way.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(6);
/// Messages that may wait for a slow reader or writer.
pub(crate) const MESSAGES_WAITING_MAX: usize = 256;

const _: () = assert!(MESSAGE_BYTES_MAX > 2 * limits::CONTENT_BYTES_MAX);

/// One message, or several in a batch, each parsed on its own.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A message.
    Single(Box<ClientJsonRpcMessage>),
    /// A batch: each message, or the error to answer it with.
    Batch(Vec<Result<ClientJsonRpcMessage, Box<ServerJsonRpcMessage>>>),
}

/// Parses the bytes of one message or batch.
///
/// # Errors
/// The JSON-RPC error to answer with: -32700 for bytes that are no JSON, -32600 for JSON that is no
/// request or nested too deep.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Box<ServerJsonRpcMessage>> {
    let parse_error = |why: String| {
        let message =
            format!("the message cannot be read: expected one JSON-RPC 2.0 object, {why}");
        Box::new(ServerJsonRpcMessage::error(
            ErrorData::parse_error(message, None),
            None,
        ))
    };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        parse_error(format!(
            "received invalid UTF-8 at byte {}",
            e.valid_up_to()
        ))
    })?;
    if depth::is_deeper_than(DEPTH_MAX, bytes) {
        let why = format!("received one nested deeper than {DEPTH_MAX} levels");
        return Err(invalid(&why, None));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| parse_error(format!("received {}", json_fault(&error))))?;
    match value {
        Value::Array(items) if items.is_empty() => Err(invalid("received an empty batch", None)),
        Value::Array(items) if items.len() > BATCH_MESSAGES_MAX => {
            let why = format!(
                "received a batch of {}, at most {BATCH_MESSAGES_MAX} fit",
                items.len()
            );
            Err(invalid(&why, None))
        }
        Value::Array(items) => Ok(Parsed::Batch(items.into_iter().map(message).collect())),
        value => Ok(Parsed::Single(Box::new(message(value)?))),
    }
}

/// What is wrong with a text that is no JSON. The library's words for a surrogate without its twin say
/// something else than what people see.
fn json_fault(error: &serde_json::Error) -> String {
    let fault = error.to_string();
    if fault.contains("hex escape") || fault.contains("surrogate") {
        let (line, column) = (error.line(), error.column());
        return format!("a broken \\u escape or a lone surrogate at line {line} column {column}");
    }
    fault
}

/// The error for a message that was too long to read.
pub(crate) fn too_long() -> Box<ServerJsonRpcMessage> {
    invalid(
        &format!("received more than {MESSAGE_BYTES_MAX} bytes"),
        None,
    )
}

/// The answer to a message that did not arrive whole.
pub(crate) fn cut_short() -> Box<ServerJsonRpcMessage> {
    invalid("the body could not be read to its end", None)
}

fn invalid(why: &str, id: Option<RequestId>) -> Box<ServerJsonRpcMessage> {
    let message =
        format!("the message is no valid request: expected one JSON-RPC 2.0 object, {why}");
    Box::new(ServerJsonRpcMessage::error(
        ErrorData::invalid_request(message, None),
        id,
    ))
}

fn message(value: Value) -> Result<ClientJsonRpcMessage, Box<ServerJsonRpcMessage>> {
    let id = value
        .get("id")
        .and_then(|id| serde_json::from_value(id.clone()).ok());
    if !value.is_object() {
        return Err(invalid("received something else", id));
    }
    if value.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid("received one without \"jsonrpc\": \"2.0\"", id));
    }
    let why = match value.get("method") {
        Some(method) if !method.is_string() => "received one whose method is no text",
        None if value.get("result").is_none() && value.get("error").is_none() => {
            "received one without a method"
        }
        _ => "received one whose id or params have a wrong type",
    };
    serde_json::from_value(value).map_err(|_| invalid(why, id))
}

/// A transport over two channels. It ends when the incoming channel is closed and every request that
/// came in has been answered or cancelled, or after [`DRAIN_TIME_MAX`].
pub(crate) struct ChannelTransport {
    incoming: mpsc::Receiver<ClientJsonRpcMessage>,
    outgoing: mpsc::Sender<ServerJsonRpcMessage>,
    /// A set: a cancelled request is never answered, and one id sent twice is answered once or twice.
    unanswered: watch::Sender<HashSet<RequestId>>,
    stop: CancellationToken,
    ended: CancellationToken,
    /// When the answers of a closed connection are no longer waited for.
    drained_by: Option<Instant>,
}

impl ChannelTransport {
    /// A transport that reads `incoming` until it ends or `stop` is cancelled, and writes `outgoing`.
    pub(crate) fn new(
        incoming: mpsc::Receiver<ClientJsonRpcMessage>,
        outgoing: mpsc::Sender<ServerJsonRpcMessage>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            incoming,
            outgoing,
            unanswered: watch::Sender::default(),
            stop,
            ended: CancellationToken::new(),
            drained_by: None,
        }
    }

    /// Cancelled once the transport has nothing more to receive and has waited for the last answers.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Keeps the set of unanswered requests up to date.
    fn note(&self, message: &ClientJsonRpcMessage) {
        match message {
            ClientJsonRpcMessage::Request(request) => {
                let id = request.id.clone();
                self.unanswered.send_modify(|ids| _ = ids.insert(id));
            }
            ClientJsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.unanswered.send_modify(|ids| _ = ids.remove(id));
                }
            }
            _ => {}
        }
    }
}

impl Transport<rmcp::RoleServer> for ChannelTransport {
    type Error = io::Error;

    fn send(
        &mut self,
        item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let (outgoing, unanswered) = (self.outgoing.clone(), self.unanswered.clone());
        let answered = match &item {
            ServerJsonRpcMessage::Response(response) => Some(response.id.clone()),
            ServerJsonRpcMessage::Error(error) => error.id.clone(),
            _ => None,
        };
        async move {
            let sent = outgoing.send(item).await;
            if let Some(id) = answered {
                unanswered.send_modify(|ids| _ = ids.remove(&id));
            }
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        // A client that does not read its answers is not read from either.
        let mut unanswered = self.unanswered.subscribe();
        let _ = unanswered
            .wait_for(|ids| ids.len() < MESSAGES_WAITING_MAX)
            .await;
        let message = tokio::select! {
            message = self.incoming.recv() => message,
            () = self.stop.cancelled() => {
                // What was taken in before is still served.
                self.incoming.close();
                self.incoming.recv().await
            }
        };
        if let Some(message) = message {
            self.note(&message);
            return Some(message);
        }
        // This may be called anew after every answer: the time counts from the first call.
        let drained_by = *self
            .drained_by
            .get_or_insert_with(|| Instant::now() + DRAIN_TIME_MAX);
        let drained = unanswered.wait_for(HashSet::is_empty);
        if tokio::time::timeout_at(drained_by, drained).await.is_err() {
            tracing::warn!("a connection was closed with calls unanswered");
        }
        self.ended.cancel();
        None
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.incoming.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[track_caller]
    fn check_error(bytes: &[u8], code: i64, words: &str) {
        let error = match parse(bytes) {
            Err(error) => *error,
            Ok(parsed) => panic!("{parsed:?}"),
        };
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(json["error"]["code"], code, "{json}");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }

    #[test]
    fn every_broken_message_gets_one_clear_sentence() {
        check_error(b"{", -32700, "EOF while parsing");
        check_error(b"\xff{}", -32700, "invalid UTF-8 at byte 0");
        check_error(br#"{"a":"\ud800"}"#, -32700, "a lone surrogate");
        check_error(b"7", -32600, "something else");
        check_error(b"[]", -32600, "empty batch");
        check_error(b"{}", -32600, "without \"jsonrpc\"");
        check_error(br#"{"jsonrpc":"2.0","id":1}"#, -32600, "without a method");
        check_error(
            br#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            -32600,
            "method is no text",
        );
        check_error(
            br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            -32600,
            "id or params",
        );
        check_error(
            "[1]".replace('1', &vec!["1"; 101].join(",")).as_bytes(),
            -32600,
            "batch of 101",
        );
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        let nested = |levels: usize| {
            let params = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{params}}}}}"#)
        };
        assert!(parse(nested(DEPTH_MAX - 2).as_bytes()).is_ok());
        let sentence = "nested deeper than 64 levels";
        check_error(nested(DEPTH_MAX - 1).as_bytes(), -32600, sentence);
        check_error("[".repeat(1_000_000).as_bytes(), -32600, sentence);
        check_error("{\"a\":".repeat(1_000_000).as_bytes(), -32600, sentence);
    }

    #[test]
    fn an_error_keeps_the_id_of_its_request() {
        let error = parse(br#"{"id":9,"method":"ping"}"#).unwrap_err();
        assert_eq!(serde_json::to_value(&*error).unwrap()["id"], 9);
    }

    #[test]
    fn batches_are_parsed_one_by_one() {
        let Ok(Parsed::Batch(items)) = parse(br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}, 5]"#)
        else {
            panic!("a batch")
        };
        assert!(items[0].is_ok() && items[1].is_err());
    }

    fn nesting(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(nesting).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What a message is, or the code and the sentence of the error that answers it.
    fn checked(
        message: Result<&ClientJsonRpcMessage, &ServerJsonRpcMessage>,
    ) -> Result<String, (i64, String)> {
        match message {
            Ok(message) => {
                let bytes = serde_json::to_vec(message).unwrap();
                let again = parse(&bytes).expect("what was taken is taken again");
                assert!(matches!(again, Parsed::Single(_)));
                let kind = format!("{message:?}");
                Ok(kind.chars().take_while(char::is_ascii_alphabetic).collect())
            }
            Err(error) => {
                let json = serde_json::to_value(error).unwrap();
                assert_eq!(json["jsonrpc"], "2.0");
                let code = json["error"]["code"].as_i64().unwrap();
                assert!(matches!(code, -32700 | -32600), "{json}");
                let sentence = json["error"]["message"].as_str().unwrap();
                assert!(sentence.len() < 300, "{sentence}");
                Err((
                    code,
                    sentence.chars().filter(|c| !c.is_ascii_digit()).collect(),
                ))
            }
        }
    }

    #[test]
    fn fuzz_json_rpc() {
        let words = [
            "\"jsonrpc\":\"2.0\"",
            "\"id\":",
            "\"method\":",
            "\"params\":",
            "\"result\":",
            "\"error\":",
            "\"initialize\"",
            "\"tools/call\"",
            "\"notifications/cancelled\"",
            "\"requestId\":",
            "\"arguments\":",
            "\"_meta\":",
            "\"name\":",
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "\"",
            "\\ud800",
            "\\",
            "null",
            "true",
            "1e5",
            "-0.0",
        ];
        Target::new("json-rpc")
            .words(&words)
            .run(|bytes| match parse(bytes) {
                Ok(parsed) => {
                    let value: Value = serde_json::from_slice(bytes).unwrap();
                    assert!(nesting(&value) <= DEPTH_MAX);
                    match parsed {
                        Parsed::Single(message) => vec![checked(Ok(&message))],
                        Parsed::Batch(items) => {
                            assert!((1..=BATCH_MESSAGES_MAX).contains(&items.len()));
                            let items = items.iter().take(4);
                            items
                                .map(|item| checked(item.as_ref().map_err(|e| &**e)))
                                .collect()
                        }
                    }
                }
                Err(error) => vec![checked(Err(&error))],
            });
    }
}
