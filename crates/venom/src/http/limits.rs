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
/// How long a body may pause.
pub(super) const BODY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a body may take.
pub(super) const BODY_TIME_MAX: Duration = Duration::from_mins(2);
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
