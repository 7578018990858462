//! Who may come in: the Host and Origin checks that keep web pages out of a local server, and the
//! owner token that a server beyond this machine asks for.

use super::error;
use crate::config::Config;
use crate::failure::Failure;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// File in the data folder that holds the SHA-256 of the owner token, in hex.
const TOKEN_FILE: &str = "owner-token.sha256";
/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// Paths that need no token and say nothing private.
const OPEN_PATHS: [&str; 4] = ["/", "/health", "/icon.svg", "/favicon.ico"];

/// Request headers that pages of allowed origins may send.
const TAKEN_HEADERS: &str = "accept, authorization, content-type, last-event-id, mcp-method, mcp-name, \
                             mcp-protocol-version, mcp-session-id";
/// Response headers that they may read.
const EXPOSED_HEADERS: &str = "mcp-protocol-version, mcp-session-id, www-authenticate";

/// The rules for one server.
pub(crate) struct Guard {
    /// SHA-256 of the token that callers must show.
    token: Option<[u8; 32]>,
    /// Host names taken; `None` takes all, where a token protects the server.
    hosts: Option<Vec<String>>,
    origins: Vec<String>,
}

impl Guard {
    /// The rules of a configuration, with the token its callers must show, if any.
    pub(crate) fn new(config: &Config, token: Option<[u8; 32]>) -> Self {
        let public = config.public_url.as_ref();
        let hosts = config
            .allowed_hosts
            .iter()
            .map(|host| host.to_ascii_lowercase())
            .chain(public.map(|url| url.host().to_owned()))
            .collect();
        let guarded = config.is_loopback() || !config.allowed_hosts.is_empty();
        Self {
            token,
            hosts: guarded.then_some(hosts),
            origins: config
                .allowed_origins
                .iter()
                .map(|o| o.to_ascii_lowercase())
                .chain(public.map(|url| url.origin().to_owned()))
                .collect(),
        }
    }

    /// Whether a request to `path` with these headers may pass.
    fn admit(&self, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers
            .get(header::HOST)
            .map(text)
            .transpose()?
            .unwrap_or_default();
        let name = host_name(&host);
        if let Some(hosts) = &self.hosts
            && !is_loopback_name(name)
            && !hosts
                .iter()
                .any(|allowed| allowed == name || *allowed == host)
        {
            return Err(Refusal::Host(host));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = text(origin)?;
            let name = origin
                .split_once("://")
                .map_or("", |(_, authority)| host_name(authority));
            if !is_loopback_name(name) && !self.origins.contains(&origin) {
                return Err(Refusal::Origin(origin));
            }
        }
        match &self.token {
            Some(token) if !OPEN_PATHS.contains(&path) && !shows(headers, token) => {
                Err(Refusal::Token)
            }
            _ => Ok(()),
        }
    }
}

/// Why a request was not let in.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Host(String),
    Origin(String),
    Header,
    Token,
}

impl Refusal {
    fn into_response(self) -> Response {
        let short = |text: &str| text.chars().take(60).collect::<String>();
        match self {
            Self::Host(host) => error(
                StatusCode::FORBIDDEN,
                &format!(
                    "the Host {:?} is not known here: expected a loopback name, or one from \
                     VENOM_ALLOWED_HOSTS",
                    short(&host)
                ),
            ),
            Self::Origin(origin) => error(
                StatusCode::FORBIDDEN,
                &format!(
                    "pages of {:?} may not call Venom: expected a loopback origin, or one from \
                     VENOM_ALLOWED_ORIGINS",
                    short(&origin)
                ),
            ),
            Self::Header => error(
                StatusCode::BAD_REQUEST,
                "the Host or Origin header is no text",
            ),
            Self::Token => {
                let message = "this server needs the owner token: expected the header \
                               Authorization: Bearer and the token that it printed at its first start";
                let mut response = error(StatusCode::UNAUTHORIZED, message);
                let challenge = HeaderValue::from_static("Bearer realm=\"venom\"");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
        }
    }
}

fn text(value: &HeaderValue) -> Result<String, Refusal> {
    value
        .to_str()
        .map(str::to_ascii_lowercase)
        .map_err(|_| Refusal::Header)
}

/// The name in `name:port`, `[::1]:port` or `name`.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether the bearer token in the headers has this hash. Compares hashes, so the time it takes says
/// nothing about the token.
fn shows(headers: &HeaderMap, token: &[u8; 32]) -> bool {
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let bearer = shown.and_then(|value| value.split_once(' '));
    bearer.is_some_and(|(scheme, shown)| {
        let hash: [u8; 32] = Sha256::digest(shown.trim().as_bytes()).into();
        let differing = hash
            .iter()
            .zip(token)
            .fold(0, |bits, (a, b)| bits | (a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && differing == 0
    })
}

/// The middleware. A page that may call gets what its browser needs to let it (CORS).
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match guard.admit(request.uri().path(), request.headers()) {
        // A browser asks without the token; the call itself will carry it.
        Ok(()) | Err(Refusal::Token) if preflight => StatusCode::NO_CONTENT.into_response(),
        Ok(()) => next.run(request).await,
        Err(Refusal::Token) => Refusal::Token.into_response(),
        // Neither the page nor the name is known: the page is told nothing that it could read.
        Err(refusal) => return refusal.into_response(),
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED_HEADERS),
        );
        if preflight {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("GET, POST"),
            );
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(TAKEN_HEADERS),
            );
            headers.insert(
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static("600"),
            );
        }
    }
    response
}

/// The owner token of a data folder: its hash, and the token itself if it was made now. Only the
/// hash is kept.
///
/// # Errors
/// [`Failure`] if the file cannot be read or written, or holds something else.
pub(crate) fn owner_token(data: &Path) -> Result<([u8; 32], Option<String>), Failure> {
    let path = data.join(TOKEN_FILE);
    let broken = |why: String| {
        let path = path.display();
        Failure::not_ready(format!(
            "the owner token's hash in {path} cannot be used: {why}"
        ))
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let why = "expected 64 hex digits; delete the file to get a new token";
            Ok((
                from_hex(text.trim()).ok_or_else(|| broken(why.to_owned()))?,
                None,
            ))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0; TOKEN_BYTES];
            getrandom::fill(&mut bytes).map_err(|e| broken(e.to_string()))?;
            let token = format!("venom_{}", hex(&bytes));
            let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
            let mut options = std::fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(&path);
            file.and_then(|mut file| {
                file.write_all(hex(&hash).as_bytes())?;
                file.sync_all()
            })
            .map_err(|e| broken(e.to_string()))?;
            Ok((hash, Some(token)))
        }
        Err(error) => Err(broken(error.to_string())),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    fn local() -> Guard {
        Guard {
            token: None,
            hosts: Some(vec!["venom.example".to_owned()]),
            origins: Vec::new(),
        }
    }

    #[test]
    fn a_local_server_knows_loopback_names_only() {
        for host in [
            "localhost",
            "127.0.0.1:8000",
            "[::1]:8000",
            "LOCALHOST:1",
            "venom.example",
        ] {
            assert_eq!(
                local().admit("/mcp", &headers(&[(header::HOST, host)])),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8000",
            "",
        ] {
            let refused = local().admit("/mcp", &headers(&[(header::HOST, host)]));
            assert!(matches!(refused, Err(Refusal::Host(_))), "{host}");
        }
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        let guard = Guard {
            origins: vec!["https://app.example".to_owned()],
            ..local()
        };
        let admit = |origin| {
            guard.admit(
                "/mcp",
                &headers(&[(header::HOST, "localhost"), (header::ORIGIN, origin)]),
            )
        };
        for origin in [
            "http://localhost:3000",
            "https://app.example",
            "http://[::1]",
        ] {
            assert_eq!(admit(origin), Ok(()), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "https://app.example.evil",
            "http://localhost.evil",
        ] {
            assert!(admit(origin).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_public_server_asks_for_its_token() {
        let token = Sha256::digest(b"venom_secret").into();
        let guard = Guard {
            token: Some(token),
            hosts: None,
            origins: Vec::new(),
        };
        let host = (header::HOST, "venom.example");
        let with = |value| headers(&[host.clone(), (header::AUTHORIZATION, value)]);
        assert_eq!(
            guard.admit("/mcp", &headers(std::slice::from_ref(&host))),
            Err(Refusal::Token)
        );
        assert_eq!(
            guard.admit("/health", &headers(std::slice::from_ref(&host))),
            Ok(())
        );
        assert_eq!(guard.admit("/mcp", &with("Bearer venom_secret")), Ok(()));
        for wrong in [
            "Bearer venom_secret2",
            "Basic venom_secret",
            "venom_secret",
            "Bearer ",
        ] {
            assert_eq!(
                guard.admit("/mcp", &with(wrong)),
                Err(Refusal::Token),
                "{wrong}"
            );
        }
        assert_eq!(
            guard.admit("/health/../mcp", &headers(&[host])),
            Err(Refusal::Token)
        );
    }

    #[test]
    fn the_token_is_made_once_and_kept_as_a_hash() {
        let folder = std::env::temp_dir().join(format!("venom-token-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (hash, token) = owner_token(&folder).unwrap();
        let token = token.expect("made at the first start");
        let kept = std::fs::read_to_string(folder.join(TOKEN_FILE)).unwrap();
        assert!(!kept.contains(&token) && !token.contains(&kept));
        assert_eq!(owner_token(&folder).unwrap(), (hash, None));
        let headers = headers(&[(header::AUTHORIZATION, &format!("Bearer {token}"))]);
        assert!(shows(&headers, &hash));
        std::fs::write(folder.join(TOKEN_FILE), "oops").unwrap();
        assert!(owner_token(&folder).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
