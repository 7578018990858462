//! Who may come in: the Host and Origin checks that keep web pages out of a local server, and the token
//! that a server beyond this machine asks for.
//!
//! The guard stands in front of every route. Whoever passes is a [`Caller`], an extension of the request.

use super::error;
use super::oauth::Site;
use super::peer::{Peer, one_network};
use crate::access_file::AccessFile;
use crate::addresses::{is_loopback_name, split_authority};
use crate::asked::SystemClock;
use crate::caller::{Caller, address_text};
use crate::config::Config;
use crate::failure::Failure;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use venom_access::{Event, SecretHash};
use venom_core::ports::Clock as _;

/// What every token of ours begins with.
const TOKEN_PREFIX: &str = "venom_";
/// Paths that need no token and say nothing private.
const OPEN_PATHS: [&str; 4] = ["/", "/health", "/icon.svg", "/favicon.ico"];
/// Refusals of an address that the audit log tells of: one in this many microseconds.
const REFUSED_EVERY_US: i64 = 60_000_000;
/// Addresses whose last refusal is remembered.
const REFUSED_ADDRESSES_MAX: usize = 1_000;

/// Request headers that pages of allowed origins may send.
const TAKEN_HEADERS: &str = "accept, authorization, content-type, last-event-id, mcp-method, mcp-name, \
                             mcp-protocol-version, mcp-session-id";
/// Response headers that they may read.
const EXPOSED_HEADERS: &str = "mcp-protocol-version, mcp-session-id, www-authenticate";

/// The rules for one server.
pub(crate) struct Guard {
    file: AccessFile,
    /// Whether callers must show a token.
    asks: bool,
    /// Host names taken; `None` takes all, where a token protects the server.
    hosts: Option<Vec<String>>,
    origins: Vec<String>,
    /// Where the owner signs in, if anywhere.
    site: Option<Arc<Site>>,
    refused: Mutex<HashMap<Option<IpAddr>, i64>>,
}

impl Guard {
    /// The rules of a configuration.
    pub(crate) fn new(config: &Config, file: AccessFile, site: Option<Arc<Site>>) -> Self {
        let lower = |texts: &[String]| texts.iter().map(|it| it.to_ascii_lowercase()).collect();
        let mut hosts: Vec<String> = lower(&config.allowed_hosts);
        let mut origins: Vec<String> = lower(&config.allowed_origins);
        if let Some(public) = &config.public_url {
            hosts.push(public.host().to_owned());
            origins.push(public.origin().to_owned());
        }
        let guarded = config.is_loopback() || !hosts.is_empty();
        Self {
            file,
            asks: config.asks_for_token(),
            hosts: guarded.then_some(hosts),
            origins,
            site,
            refused: Mutex::default(),
        }
    }

    /// Whether a request with these headers is addressed to us, by a page that may call if by a page.
    fn knows(&self, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers
            .get(header::HOST)
            .map(text)
            .transpose()?
            .unwrap_or_default();
        let name = host_name(&host);
        // Orchestrators ask for health at whatever address a container has; a local server has no such.
        let is_probe = self.asks && path == "/health";
        if let Some(hosts) = &self.hosts
            && !is_probe
            && !is_loopback_name(name)
            && !hosts
                .iter()
                .any(|allowed| allowed == name || *allowed == host)
        {
            return Err(Refusal::Host(host));
        }
        if let Some(origin) = headers.get(header::ORIGIN)
            && !self.is_for_any_page(path)
        {
            let origin = text(origin)?;
            let name = origin
                .split_once("://")
                .map_or("", |(_, authority)| host_name(authority));
            if !is_loopback_name(name) && !self.origins.contains(&origin) {
                return Err(Refusal::Origin(origin));
            }
        }
        Ok(())
    }

    /// Whether the pages of any site may call this path: what it answers depends on nothing that a
    /// browser adds by itself.
    fn is_for_any_page(&self, path: &str) -> bool {
        self.site.is_some() && Site::is_for_any_page(path)
    }

    /// Whether a path asks for no token: it is open, or has its own way of asking.
    fn is_open(&self, path: &str) -> bool {
        let is_own = || self.site.is_some() && Site::is_own(path);
        // What is not there is not there for anybody: clients look in many places.
        OPEN_PATHS.contains(&path) || path.starts_with("/.well-known/") || is_own()
    }

    /// The caller that shows these headers.
    async fn caller(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Caller, NoPass> {
        let shown = bearer(headers);
        // On a server that asks nobody, only what was meant for Venom is looked at.
        let looks_at = |shown: &&str| self.asks || shown.starts_with(TOKEN_PREFIX);
        let Some(shown) = shown.filter(looks_at) else {
            return if self.asks {
                Err(NoPass::Missing)
            } else {
                Ok(Caller::at(address))
            };
        };
        let hash = SecretHash::of(shown);
        let resource = self.site.as_ref().map(|site| site.resource().to_owned());
        let asked = self.file.ask(move |access| {
            let (now, source) = (SystemClock.now(), address_text(address));
            if let Some((name, rights)) = access.use_token(&hash, now, &source)? {
                return Ok(Some(Caller::with_token(name, rights, address)));
            }
            let Some(resource) = resource else {
                return Ok(None);
            };
            let grant = access.use_access_token(&hash, &resource, now, &source)?;
            Ok(grant.map(|grant| Caller::with_grant(grant, address)))
        });
        match asked.await {
            Ok(Some(caller)) => Ok(caller),
            Ok(None) => {
                self.tell_refusal(address).await;
                Err(NoPass::Void)
            }
            Err(failure) => Err(NoPass::Unknown(failure)),
        }
    }

    /// Tells the audit log that a token was refused, unless it was told of the same address just now.
    async fn tell_refusal(&self, address: Option<IpAddr>) {
        let now = SystemClock.now();
        let network = address.map(one_network);
        {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            if refused.len() >= REFUSED_ADDRESSES_MAX {
                refused.retain(|_, told| now.as_micros() - *told < REFUSED_EVERY_US);
            }
            let told = refused.get(&network).copied();
            let just_now = told.is_some_and(|told| now.as_micros() - told < REFUSED_EVERY_US);
            if just_now || refused.len() >= REFUSED_ADDRESSES_MAX {
                return;
            }
            refused.insert(network, now.as_micros());
        }
        let source = address_text(address);
        let told = self.file.ask(move |access| {
            access.audit(now, Event::Refused, "unknown", &source, "token not valid")
        });
        if let Err(failure) = told.await {
            tracing::error!("the audit log cannot be written: {failure}");
        }
    }

    /// What tells a client how to get a token (RFC 9728, section 5.1; RFC 6750, section 3).
    fn challenge(&self, path: &str, error: Option<&str>) -> HeaderValue {
        let mut challenge = String::from("Bearer realm=\"venom\"");
        if let Some(error) = error {
            challenge.push_str(", error=\"invalid_token\", error_description=\"");
            challenge.push_str(error);
            challenge.push('"');
        }
        if let Some(site) = &self.site {
            challenge.push_str(&site.challenge_parameters(path));
        }
        HeaderValue::from_str(&challenge).unwrap_or(HeaderValue::from_static("Bearer"))
    }

    /// The answer to a caller without a pass.
    fn turn_away(&self, path: &str, no_pass: NoPass) -> Response {
        let (description, message) = match no_pass {
            NoPass::Missing => (
                None,
                "this server needs a token: expected the header Authorization: Bearer and a token of venom \
                 token create",
            ),
            NoPass::Void => (
                Some("the token is not known, has expired or was revoked"),
                "the token is not known, has expired or was revoked: expected a valid one",
            ),
            NoPass::Unknown(failure) => return failure.into_response(),
        };
        let mut response = error(StatusCode::UNAUTHORIZED, message);
        let challenge = self.challenge(path, description);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        response
    }
}

/// Why a caller has no pass.
#[derive(Debug)]
enum NoPass {
    /// No token was shown.
    Missing,
    /// One that is void was.
    Void,
    /// Whether it is good could not be found out.
    Unknown(Failure),
}

/// Why a request is not for us, whoever sends it.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Host(String),
    Origin(String),
    Header,
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
        }
    }
}

fn text(value: &HeaderValue) -> Result<String, Refusal> {
    value
        .to_str()
        .map(str::to_ascii_lowercase)
        .map_err(|_| Refusal::Header)
}

/// The name in `name:port`, `[::1]:port` or `name`; nothing for what is none of them.
fn host_name(host: &str) -> &str {
    split_authority(host).map_or("", |(name, _)| name)
}

/// The token that is shown: in the one header where it may stand.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The middleware. A page that may call gets what its browser needs to let it (CORS).
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    // Neither the page nor the name is known: the page is told nothing that it could read.
    if let Err(refusal) = guard.knows(&path, request.headers()) {
        return refusal.into_response();
    }
    let address = request.extensions().get::<Peer>().map(|peer| peer.address);
    let mut response = if preflight {
        // A browser asks without the token; the call itself will carry it.
        StatusCode::NO_CONTENT.into_response()
    } else if guard.is_open(&path) {
        next.run(request).await
    } else {
        match guard.caller(request.headers(), address).await {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Err(no_pass) => guard.turn_away(&path, no_pass),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    fn local() -> Guard {
        Guard {
            file: AccessFile::new("/nowhere".into()),
            asks: false,
            hosts: Some(vec!["venom.example".to_owned()]),
            origins: Vec::new(),
            site: None,
            refused: Mutex::default(),
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
                local().knows("/mcp", &headers(&[(header::HOST, host)])),
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
            let refused = local().knows("/health", &headers(&[(header::HOST, host)]));
            assert!(matches!(refused, Err(Refusal::Host(_))), "{host}");
        }
    }

    #[test]
    fn health_of_a_server_that_asks_for_a_token_answers_under_any_name() {
        let guard = Guard {
            asks: true,
            ..local()
        };
        let probe = headers(&[(header::HOST, "10.0.0.7:8000")]);
        assert_eq!(guard.knows("/health", &probe), Ok(()));
        assert!(matches!(guard.knows("/mcp", &probe), Err(Refusal::Host(_))));
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        let guard = Guard {
            origins: vec!["https://app.example".to_owned()],
            ..local()
        };
        let knows = |origin| {
            guard.knows(
                "/mcp",
                &headers(&[(header::HOST, "localhost"), (header::ORIGIN, origin)]),
            )
        };
        for origin in [
            "http://localhost:3000",
            "https://app.example",
            "http://[::1]",
        ] {
            assert_eq!(knows(origin), Ok(()), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "https://app.example.evil",
            "http://localhost.evil",
        ] {
            assert!(knows(origin).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_token_stands_in_one_header_in_one_form() {
        let shown = |value| bearer(&headers(&[(header::AUTHORIZATION, value)])).map(str::to_owned);
        assert_eq!(shown("Bearer venom_x").as_deref(), Some("venom_x"));
        assert_eq!(shown("bearer  venom_x ").as_deref(), Some("venom_x"));
        for wrong in ["Basic venom_x", "venom_x", "Bearer ", "Bearer", ""] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    /// Host, origin and authorization, a line each.
    #[test]
    fn fuzz_who_may_come_in() {
        let words = [
            "localhost",
            "127.0.0.1",
            "[::1]",
            ":8000",
            "venom.example",
            "https://",
            "http://",
            "null",
            "Bearer ",
            "\n",
            "@",
            ".",
            " ",
        ];
        Target::new("guard").words(&words).run(|bytes| {
            let names = [header::HOST, header::ORIGIN, header::AUTHORIZATION];
            let mut headers = HeaderMap::new();
            for (name, line) in names.into_iter().zip(bytes.split(|byte| *byte == b'\n')) {
                headers.insert(name, HeaderValue::from_bytes(line).ok()?);
            }
            let known = local().knows("/mcp", &headers);
            let own =
                |name: &str| is_loopback_name(name) || name.eq_ignore_ascii_case("venom.example");
            if known.is_ok() {
                // Other hosts are refused before.
                let host = headers.get(header::HOST)?.to_str().unwrap();
                let host = split_authority(host);
                assert!(host.is_none_or(|(name, _)| own(name)), "{host:?}");
                let origin = headers.get(header::ORIGIN).map(|it| it.to_str().unwrap());
                let origin = origin.and_then(|origin| origin.split_once("://"));
                let origin = origin.and_then(|(_, rest)| split_authority(rest));
                assert!(origin.is_none_or(|(name, _)| own(name)), "{origin:?}");
            }
            let shown = bearer(&headers);
            assert!(shown.is_none_or(|token| !token.is_empty() && token.trim() == token));
            Some((
                known.err().map(|refusal| std::mem::discriminant(&refusal)),
                shown.is_some(),
            ))
        });
    }
}
