//! `venom healthcheck`: asks the server on this machine for its health, for container engines that can
//! only run a command. An image without a shell has no other way to ask.

use crate::config::{Config, TlsFiles};
use crate::failure::Failure;
use crate::http::{own_client, read_chain};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long connecting, sending and each read may take.
const STEP_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Succeeds if the server of this configuration answers that it is healthy.
///
/// # Errors
/// [`Failure`] with the server's reason, or why it could not be asked.
pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let address = SocketAddr::from((reachable(config.host), config.port));
    let answer = ask(address, config.tls.as_ref()).map_err(|error| {
        Failure::not_ready(format!("no healthy answer from {address}: {error}"))
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return super::output::line("healthy");
    }
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let reason = body["reason"]
        .as_str()
        .unwrap_or("the answer gives no reason");
    Err(Failure::not_ready(format!(
        "the server at {address} is unhealthy: {reason}"
    )))
}

/// Where a server that listens on `host` is reached from its own machine.
const fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    }
}

/// The whole answer to `GET /health`.
fn ask(address: SocketAddr, tls: Option<&TlsFiles>) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, STEP_TIME_MAX)?;
    stream.set_read_timeout(Some(STEP_TIME_MAX))?;
    stream.set_write_timeout(Some(STEP_TIME_MAX))?;
    let Some(files) = tls else {
        return exchange(stream);
    };
    // On loopback nobody else answers. There the one before a broken new certificate will do as well.
    let expected = if address.ip().is_loopback() {
        None
    } else {
        let chain = read_chain(&files.certificate).map_err(io::Error::other)?;
        chain.into_iter().next()
    };
    let client = own_client(expected).map_err(io::Error::other)?;
    let name = ServerName::from(address.ip());
    let connection = ClientConnection::new(client, name).map_err(io::Error::other)?;
    exchange(StreamOwned::new(connection, stream))
}

/// Sends the request, addressed to a loopback name, which every server takes, and reads the answer.
fn exchange(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        for (host, expected) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("10.1.2.3", "10.1.2.3"),
        ] {
            assert_eq!(reachable(host.parse().unwrap()).to_string(), expected);
        }
    }
}
