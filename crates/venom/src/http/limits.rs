//! Every limit of the HTTP server, with its unit and what happens over it. The page
//! `docs/operations.md` has the same table: a test keeps the two equal.

use std::time::Duration;

/// Connections open at once, fewer where the system lets the process open fewer files.
pub(super) const CONNECTIONS_MAX: usize = 2_048;
/// Connections from one address, of IPv6 from one network of 64 bits.
pub(super) const CONNECTIONS_ADDRESS_MAX: usize = 256;
/// Files that connections leave to the store.
pub(super) const FILES_KEPT: u64 = 256;
/// Bytes of the request line and the headers.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
pub(super) const HEADERS_MAX: usize = 100;
/// From the first byte of a request, or from the connection, to the end of its headers.
pub(super) const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection may stay open between two requests. Longer than proxies keep theirs, so that
/// none sends a request into a connection that is just being closed.
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_secs(150);
/// How long a TLS handshake may take.
pub(super) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a body that an answer leaves unread which are still read, so that the connection can go on.
pub(super) const UNREAD_BYTES_MAX: usize = 64 * 1024;
/// How long a body may pause.
pub(super) const BODY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a body may take.
pub(super) const BODY_TIME_MAX: Duration = Duration::from_mins(2);
/// Bytes that the bodies of all requests under way hold together.
pub(super) const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a caller may take nothing of an answer that is waiting for it.
pub(super) const WRITE_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a request may take until its answer begins. Streams are not cut off by it.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_mins(5);
/// Requests under way at once. An open stream is none, and `/health` is always answered.
pub(super) const REQUESTS_MAX: usize = 1_024;
/// Addresses, or tokens, whose requests are counted at once.
pub(super) const RATE_KEYS_MAX: usize = 10_000;
/// Legacy streams open at once.
pub(super) const STREAMS_MAX: usize = 1_000;
/// Legacy streams from one address.
pub(super) const STREAMS_ADDRESS_MAX: usize = 64;
/// How long a legacy stream may go without a message and an answer. Longer than a working day's
/// meeting, as some clients do not open a new one by themselves.
pub(super) const STREAM_IDLE_MAX: Duration = Duration::from_hours(4);

/// Bytes of a request to the pages and endpoints of sign-in.
pub(super) const SIGN_IN_BYTES_MAX: usize = 64 * 1024;
/// Clients that may register in a minute from one address.
pub(super) const REGISTRATIONS_PER_MINUTE: u32 = 10;
/// Passphrases that wait to be checked: one after the other, in the same 19 MiB.
pub(super) const PASSPHRASES_WAITING_MAX: usize = 16;
/// Failed sign-ins of an address that cost nothing: people mistype.
pub(super) const FREE_FAILURES: u32 = 3;
/// The longest wait after one more; it doubles with each up to here, and failures are forgotten after it.
pub(super) const SIGN_IN_WAIT_MAX: Duration = Duration::from_mins(15);
/// Failed sign-ins a minute from everywhere together, beyond which everybody waits.
pub(super) const FAILURES_PER_MINUTE_MAX: u32 = 60;
/// Passkeys of each kind that are being asked for at the same time.
pub(super) const PASSKEYS_PENDING_MAX: usize = 1_024;
/// Of those from one address, of IPv6 from one network of 64 bits.
pub(super) const PASSKEYS_PENDING_ADDRESS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::messages::{BATCH_MESSAGES_MAX, DEPTH_MAX, MESSAGE_BYTES_MAX};
    use std::fmt::Write as _;

    /// What is limited, how much, and what happens over it.
    type Row = (&'static str, String, &'static str);

    fn seconds(time: Duration) -> String {
        format!("{} s", time.as_secs())
    }

    fn count(count: usize, unit: &str) -> String {
        format!("{count} {unit}")
    }

    fn of_connections() -> Vec<Row> {
        vec![
            (
                "connections open at once",
                count(CONNECTIONS_MAX, "connections"),
                "503 and closed; fewer where the system lets Venom open fewer files, of which 256 are left to the store",
            ),
            (
                "of those from one address (IPv6: one /64)",
                count(CONNECTIONS_ADDRESS_MAX, "connections"),
                "429 and closed; loopback and trusted proxies are not counted",
            ),
            (
                "request line and headers",
                format!("{} KiB", HEAD_BYTES_MAX / 1024),
                "431 and closed",
            ),
            ("headers", count(HEADERS_MAX, "headers"), "431 and closed"),
            (
                "time for the request line and headers",
                seconds(HEAD_TIME_MAX),
                "closed",
            ),
            (
                "time between two requests",
                seconds(IDLE_TIME_MAX),
                "closed",
            ),
            (
                "time for a TLS handshake",
                seconds(HANDSHAKE_TIME_MAX),
                "closed",
            ),
            (
                "rest of a body that an answer leaves unread",
                format!("{} KiB", UNREAD_BYTES_MAX / 1024),
                "closed behind the answer",
            ),
            ("pause in a body", seconds(BODY_PAUSE_MAX), "408 and closed"),
            ("time for a body", seconds(BODY_TIME_MAX), "408 and closed"),
            (
                "bodies of all requests under way together",
                format!("{} MiB", BODIES_BYTES_MAX / (1024 * 1024)),
                "503 with `Retry-After`",
            ),
            (
                "pause in taking an answer or a stream",
                seconds(WRITE_PAUSE_MAX),
                "closed",
            ),
            (
                "time until an answer begins",
                seconds(REQUEST_TIME_MAX),
                "503; the call may have been done",
            ),
        ]
    }

    fn of_requests() -> Vec<Row> {
        vec![
            (
                "requests under way at once",
                count(REQUESTS_MAX, "requests"),
                "503 with `Retry-After`; streams and `/health` are not counted",
            ),
            (
                "requests of one address (IPv6: one /64)",
                "`VENOM_RATE_ADDRESS` a minute".to_owned(),
                "429 with `Retry-After`; loopback is not counted",
            ),
            (
                "requests of one token",
                "`VENOM_RATE_TOKEN` a minute".to_owned(),
                "429 with `Retry-After`",
            ),
            (
                "addresses, or tokens, that are counted",
                count(RATE_KEYS_MAX, "of each"),
                "those that were not seen for longest start afresh",
            ),
            (
                "MCP message",
                format!("{} MiB", MESSAGE_BYTES_MAX / (1024 * 1024)),
                "413 and a JSON-RPC error",
            ),
            (
                "arrays and objects in each other in a message",
                count(DEPTH_MAX, "levels"),
                "a JSON-RPC error",
            ),
            (
                "MCP batch (revision 2025-03-26)",
                count(BATCH_MESSAGES_MAX, "messages"),
                "a JSON-RPC error",
            ),
            (
                "legacy SSE streams open at once",
                count(STREAMS_MAX, "streams"),
                "429",
            ),
            (
                "of those from one address (IPv6: one /64)",
                count(STREAMS_ADDRESS_MAX, "streams"),
                "429; loopback is not counted",
            ),
            (
                "time of a stream without message and answer",
                format!("{} h", STREAM_IDLE_MAX.as_secs() / 3600),
                "the stream ends",
            ),
        ]
    }

    fn of_sign_in() -> Vec<Row> {
        use venom_access::{
            ACCESS_SECONDS, CLIENTS_MAX, CODE_SECONDS, GRANTS_MAX, LEEWAY_SECONDS, PASSKEYS_MAX,
            REFRESH_SECONDS, SESSION_SECONDS, SESSIONS_MAX, SPACES_MAX, TOKENS_MAX,
        };
        vec![
            (
                "request to a page or endpoint of sign-in",
                format!("{} KiB", SIGN_IN_BYTES_MAX / 1024),
                "413",
            ),
            (
                "failed sign-ins of one address (IPv6: one /64)",
                format!("{FREE_FAILURES} without a wait"),
                "429 with `Retry-After`: 2 s after the next, then twice as long each, up to 15 minutes",
            ),
            (
                "failed sign-ins from everywhere",
                format!("{FAILURES_PER_MINUTE_MAX} a minute"),
                "429 with `Retry-After`, but for networks that the owner has signed in from",
            ),
            (
                "passphrases that wait to be checked, one after the other",
                count(PASSPHRASES_WAITING_MAX, "passphrases"),
                "429 with `Retry-After`",
            ),
            (
                "passkeys being asked for",
                format!("{PASSKEYS_PENDING_MAX}, {PASSKEYS_PENDING_ADDRESS_MAX} of one address"),
                "the oldest is forgotten",
            ),
            (
                "registrations of one address (IPv6: one /64)",
                format!("{REGISTRATIONS_PER_MINUTE} a minute"),
                "429 with `Retry-After`",
            ),
            (
                "registered clients",
                count(CLIENTS_MAX, "clients"),
                "the oldest without a grant is forgotten",
            ),
            (
                "grants",
                count(GRANTS_MAX, "grants"),
                "429; shut an app out first",
            ),
            (
                "tokens of `venom token`",
                count(TOKENS_MAX, "tokens"),
                "an error; revoke one first",
            ),
            ("spaces of a token", count(SPACES_MAX, "spaces"), "an error"),
            (
                "browser sessions",
                count(SESSIONS_MAX, "sessions"),
                "the oldest ends",
            ),
            (
                "passkeys",
                count(PASSKEYS_MAX, "passkeys"),
                "429; remove one first",
            ),
            (
                "life of a code",
                format!("{CODE_SECONDS} s"),
                "`invalid_grant`",
            ),
            (
                "life of an access token",
                format!("{ACCESS_SECONDS} s"),
                "401",
            ),
            (
                "life of a refresh token",
                format!("{} days", REFRESH_SECONDS / 86_400),
                "`invalid_grant`; the app signs in anew",
            ),
            (
                "time in which a used refresh token may come again",
                format!("{LEEWAY_SECONDS} s"),
                "the grant ends",
            ),
            (
                "life of a browser session",
                format!("{} h", SESSION_SECONDS / 3_600),
                "the owner signs in anew",
            ),
        ]
    }

    #[test]
    fn the_documented_limits_are_those_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let mut page = std::fs::read_to_string(path).unwrap_or_default();
        let all = [of_connections(), of_requests(), of_sign_in()].concat();
        let mut table = String::from("| what | at most | over it |\n|---|---|---|\n");
        for (what, at_most, over) in all {
            let _ = writeln!(table, "| {what} | {at_most} | {over} |");
        }
        let start = page.find("| what | at most | over it |").unwrap();
        let end = start + page[start..].find("\n\n").unwrap() + 1;
        if std::env::var_os("VENOM_UPDATE_DOCS").is_some() {
            page.replace_range(start..end, &table);
            std::fs::write(path, page).unwrap();
            return;
        }
        assert_eq!(
            page[start..end],
            table,
            "docs/operations.md differs from the limits: run \
             `VENOM_UPDATE_DOCS=1 cargo test -p venom --bin venom limits`"
        );
        assert_eq!(FILES_KEPT, 256, "the first row names it");
        assert_eq!(SIGN_IN_WAIT_MAX.as_secs(), 15 * 60, "a row names it");
    }
}
