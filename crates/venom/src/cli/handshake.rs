//! `venom doctor --public-url URL`: goes through the handshake of a remote app, from the first request to
//! the last that needs no owner, and says which step fails and why.
//!
//! It is the one command that calls out: to the address it is given, and nowhere else.

use crate::access_file::AccessFile;
use crate::addresses::{PublicUrl, is_loopback_name};
use crate::asked::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use venom_access::{NewToken, Rights, Secret};
use venom_core::ports::Clock as _;
use venom_core::{SpaceName, Timestamp};
use venom_store::doctor::{Finding, Verdict};

/// How long connecting, the handshake and each answer may take: what cloud apps wait.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Where systems keep the certificates that they trust.
const TRUSTED: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/opt/homebrew/etc/ca-certificates/cert.pem",
];
/// What a test app asks with: the example of RFC 7636.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1/callback";
/// How long the token lives that is made to see whether the header gets through, in seconds.
const TOKEN_SECONDS: i64 = 60;

/// An answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// What it is, in few words, for a sentence about an answer that was not expected.
    fn shown(&self) -> String {
        let start: String = String::from_utf8_lossy(&self.body)
            .chars()
            .take(80)
            .collect();
        let start: String = start
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        format!("{} {start:?}", self.status.as_u16())
    }
}

/// Goes through the steps; stops at the first that fails, since the next ones need it.
///
/// # Errors
/// [`Failure`] if the address cannot be one.
pub(super) async fn examine(url: &str, config: &Config) -> Result<Vec<Finding>, Failure> {
    let expected = |expected| Failure::invalid(format!("--public-url is {url:?}: {expected}"));
    let url = PublicUrl::parse(url.trim()).map_err(expected)?;
    let mut findings = Vec::new();
    let mut steps = Steps {
        url: &url,
        findings: &mut findings,
    };
    if let Err(why) = steps.all(config).await {
        let topic = why.0;
        findings.push(Finding::new(topic, Verdict::Trouble, why.1));
    }
    Ok(findings)
}

/// A step that failed: which, and why.
type Failed = (&'static str, String);

struct Steps<'a> {
    url: &'a PublicUrl,
    findings: &'a mut Vec<Finding>,
}

impl Steps<'_> {
    fn found(&mut self, topic: &'static str, says: impl Into<String>) {
        self.findings
            .push(Finding::new(topic, Verdict::Sound, says));
    }

    fn note(&mut self, topic: &'static str, says: impl Into<String>) {
        self.findings.push(Finding::new(topic, Verdict::Note, says));
    }

    async fn all(&mut self, config: &Config) -> Result<(), Failed> {
        self.address().await?;
        let challenge = self.challenge().await?;
        let issuer = self.resource(&challenge).await?;
        self.server(&issuer).await?;
        let client = self.register().await?;
        let outcome = async {
            self.sign_in_page(&client).await?;
            self.token_endpoint(&client).await
        };
        let outcome = outcome.await;
        self.clean_up(config, client).await;
        outcome?;
        self.header(config).await
    }

    /// Name, connection and certificate.
    async fn address(&mut self) -> Result<(), Failed> {
        let (name, port) = (self.url.host(), self.url.port());
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name, port))
            .await
            .map_err(|error| {
                (
                    "name",
                    format!("{name} is not known: {error}: set its DNS record"),
                )
            })?
            .collect();
        let private = addresses.iter().all(|address| is_private(address.ip()));
        if is_loopback_name(name) {
            self.note(
                "name",
                format!("{name} is this machine: fine for trying, no app elsewhere reaches it"),
            );
        } else if private {
            self.note(
                "name",
                format!("{name} has private addresses only: apps in the cloud (Claude, ChatGPT) do not reach it"),
            );
        } else {
            self.found("name", format!("{name} is known"));
        }
        let answer = self
            .send(Method::GET, "/health", &[], "")
            .await
            .map_err(|why| ("connection", why))?;
        if answer.status != StatusCode::OK || answer.json()["server_name"] != "venom" {
            let why = format!(
                "no Venom answers at {}/health: {}",
                self.url.origin(),
                answer.shown()
            );
            return Err(("connection", why));
        }
        let version = answer.json()["version"].as_str().unwrap_or("?").to_owned();
        let over = if self.url.is_https() {
            " over TLS, with a certificate that is trusted here"
        } else {
            ""
        };
        self.found("connection", format!("Venom {version} answers{over}"));
        Ok(())
    }

    /// The 401 that tells an app to sign in.
    async fn challenge(&mut self) -> Result<String, Failed> {
        let topic = "challenge";
        let fail = |why: String| (topic, why);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "venom doctor", "version": env!("CARGO_PKG_VERSION")}}});
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let answer = self
            .send(Method::POST, "/mcp", &headers, &body.to_string())
            .await
            .map_err(fail)?;
        match answer.status {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::OK => {
                return Err(fail(
                    "/mcp answers without a token: anyone who reaches it reads every memory; is \
                                 VENOM_OPEN_TO_EVERYONE set?"
                        .to_owned(),
                ));
            }
            StatusCode::FORBIDDEN => {
                return Err(fail(format!(
                    "/mcp refuses the request: {}: is VENOM_PUBLIC_URL the address that you gave here, and does the \
                     proxy pass Host on?",
                    answer.shown()
                )));
            }
            _ => {
                return Err(fail(format!(
                    "/mcp answers {}: expected 401",
                    answer.shown()
                )));
            }
        }
        let challenge = answer.header(header::WWW_AUTHENTICATE);
        let Some(address) = parameter(challenge, "resource_metadata") else {
            return Err(fail(format!(
                "the 401 does not say where to sign in ({challenge:?}): set VENOM_PUBLIC_URL={}; a proxy must pass \
                 WWW-Authenticate on",
                self.url.origin()
            )));
        };
        let address = address.to_owned();
        self.found(
            topic,
            "a call without a token gets 401 and is told where to sign in",
        );
        Ok(address)
    }

    /// The metadata of the resource; which server signs in for it.
    async fn resource(&mut self, address: &str) -> Result<String, Failed> {
        let topic = "resource";
        let metadata = self.document(topic, address).await?;
        let expected = format!("{}/mcp", self.url.origin());
        if metadata["resource"] != expected.as_str() {
            let why = format!(
                "the metadata says that the resource is {}: expected {expected}; set VENOM_PUBLIC_URL={}",
                metadata["resource"],
                self.url.origin()
            );
            return Err((topic, why));
        }
        let issuer = metadata["authorization_servers"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.found(topic, format!("it is {expected}"));
        Ok(issuer)
    }

    /// The metadata of the authorization server.
    async fn server(&mut self, issuer: &str) -> Result<(), Failed> {
        let topic = "server";
        let address = format!("{issuer}/.well-known/oauth-authorization-server");
        let metadata = self.document(topic, &address).await?;
        if metadata["issuer"] != issuer || issuer != self.url.origin() {
            let why = format!(
                "its issuer is {}: expected {}",
                metadata["issuer"],
                self.url.origin()
            );
            return Err((topic, why));
        }
        let lists = |name: &str, value: &str| {
            metadata[name]
                .as_array()
                .is_some_and(|list| list.iter().any(|item| item == value))
        };
        if !lists("code_challenge_methods_supported", "S256")
            || !lists("token_endpoint_auth_methods_supported", "none")
        {
            return Err((
                topic,
                "its metadata lacks S256 or none: something else answers there".to_owned(),
            ));
        }
        self.found(
            topic,
            "PKCE, registration and client-id documents are offered",
        );
        Ok(())
    }

    /// A registration, as an app makes one. The id.
    async fn register(&mut self) -> Result<String, Failed> {
        let topic = "registration";
        let body = json!({
            "client_name": "venom doctor", "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
        });
        let headers = [("content-type", "application/json")];
        let answer = self
            .send(Method::POST, "/register", &headers, &body.to_string())
            .await;
        let answer = answer.map_err(|why| (topic, why))?;
        let client = answer.json()["client_id"].as_str().map(str::to_owned);
        let Some(client) = client.filter(|_| answer.status == StatusCode::CREATED) else {
            return Err((
                topic,
                format!(
                    "/register answers {}: expected 201 and a client_id",
                    answer.shown()
                ),
            ));
        };
        self.found(topic, "an app can register");
        Ok(client)
    }

    /// The page where the owner signs in.
    async fn sign_in_page(&mut self, client: &str) -> Result<(), Failed> {
        let topic = "sign-in";
        let resource = format!("{}/mcp", self.url.origin());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", client),
                ("redirect_uri", REDIRECT),
                ("state", "doctor"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
                ("scope", "read write"),
                ("resource", &resource),
            ])
            .finish();
        let answer = self
            .send(
                Method::GET,
                &format!("/authorize?{query}"),
                &[("accept", "text/html")],
                "",
            )
            .await;
        let answer = answer.map_err(|why| (topic, why))?;
        let page = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status != StatusCode::OK || !page.contains("name=passphrase") {
            let why = if page.contains("no passphrase is set") {
                "no passphrase is set yet: run venom auth init where the server runs".to_owned()
            } else {
                format!(
                    "/authorize answers {}: expected the sign-in page",
                    answer.shown()
                )
            };
            return Err((topic, why));
        }
        self.found(topic, "the page for the passphrase opens");
        Ok(())
    }

    /// The endpoint for tokens, with a code that is none.
    async fn token_endpoint(&mut self, client: &str) -> Result<(), Failed> {
        let topic = "tokens";
        let verifier = "x".repeat(43);
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "authorization_code"),
                ("client_id", client),
                ("code", "doctor"),
                ("code_verifier", &verifier),
                ("redirect_uri", REDIRECT),
            ])
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self
            .send(Method::POST, "/token", &headers, &form)
            .await
            .map_err(|why| (topic, why))?;
        if answer.status != StatusCode::BAD_REQUEST || answer.json()["error"] != "invalid_grant" {
            return Err((
                topic,
                format!(
                    "/token answers {}: expected invalid_grant to a made-up code",
                    answer.shown()
                ),
            ));
        }
        self.found(topic, "a made-up code is refused, as it should be");
        Ok(())
    }

    /// Whether the header with a token gets through. That takes a token, so it is looked at where the data
    /// folder is at hand; the token lives for a minute and is revoked behind the call.
    async fn header(&mut self, config: &Config) -> Result<(), Failed> {
        let topic = "header";
        if !config.data.join(venom_access::FILE_NAME).exists() {
            self.note(
                topic,
                "not looked at: it takes the server's data folder (--data) to make a token for it",
            );
            return Ok(());
        }
        let file = AccessFile::new(config.data.clone());
        let now = SystemClock.now();
        let name = format!("doctor {}", now.as_micros());
        let random = Secret::new("doctor ").map_err(|error| (topic, error.to_string()))?;
        let nowhere =
            SpaceName::parse(random.reveal()).map_err(|error| (topic, error.to_string()))?;
        let new = NewToken {
            name: name.clone(),
            // Whoever answers at the address gets to see it: it opens one space, in which nothing is.
            rights: Rights::within(vec![nowhere], false)
                .map_err(|error| (topic, error.to_string()))?,
            expires: Some(Timestamp::from_micros(
                now.as_micros() + TOKEN_SECONDS * 1_000_000,
            )),
        };
        let made = file
            .ask(move |access| access.create_token(&new, now, "doctor"))
            .await;
        let token = made.map_err(|failure| (topic, failure.message))?;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
        let bearer = format!("Bearer {}", token.reveal());
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("authorization", bearer.as_str()),
            ("mcp-protocol-version", "2025-06-18"),
        ];
        let answer = self.send(Method::POST, "/mcp", &headers, &body).await;
        let revoked = file
            .ask(move |access| access.revoke_token(&name, SystemClock.now(), "doctor"))
            .await;
        revoked.map_err(|failure| (topic, failure.message))?;
        let answer = answer.map_err(|why| (topic, why))?;
        match answer.status {
            StatusCode::OK => {
                self.found(topic, "a token in the Authorization header gets through, and opens the door");
                Ok(())
            }
            StatusCode::UNAUTHORIZED => Err((
                topic,
                "a valid token is refused: does the proxy drop the Authorization header, or does the server use \
                 another data folder?".to_owned(),
            )),
            _ => Err((topic, format!("/mcp answers {} to a valid token", answer.shown()))),
        }
    }

    /// Takes the registration back, where that is possible.
    async fn clean_up(&mut self, config: &Config, client: String) {
        if config.data.join(venom_access::FILE_NAME).exists() {
            let file = AccessFile::new(config.data.clone());
            // On another server it makes room by itself when others register.
            let _ = file
                .ask(move |access| access.remove_client(&client, SystemClock.now(), "doctor"))
                .await;
        }
    }

    /// A document of metadata, at an address of this server.
    async fn document(&self, topic: &'static str, address: &str) -> Result<Value, Failed> {
        let Some(path) = address
            .strip_prefix(self.url.origin())
            .filter(|path| path.starts_with('/'))
        else {
            return Err((
                topic,
                format!(
                    "its metadata lie at {address}, not below {}: set VENOM_PUBLIC_URL={}",
                    self.url.origin(),
                    self.url.origin()
                ),
            ));
        };
        let answer = self
            .send(Method::GET, path, &[("accept", "application/json")], "")
            .await;
        let answer = answer.map_err(|why| (topic, why))?;
        if answer.status != StatusCode::OK || !answer.json().is_object() {
            return Err((
                topic,
                format!(
                    "{path} answers {}: expected JSON; a proxy must pass /.well-known/ on",
                    answer.shown()
                ),
            ));
        }
        Ok(answer.json())
    }

    /// One request on a connection of its own. No redirect is followed.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, String> {
        let origin = self.url.origin();
        let asked = tokio::time::timeout(STEP_TIME_MAX, self.exchange(method, path, headers, body));
        match asked.await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "{origin} did not answer within {} s",
                STEP_TIME_MAX.as_secs()
            )),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, String> {
        let (name, port) = (self.url.host(), self.url.port());
        let stream = TcpStream::connect((name, port))
            .await
            .map_err(|error| format!("{name} port {port} cannot be reached: {error}"))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.url.authority());
        for (key, value) in headers {
            request = request.header(*key, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        let request = request.map_err(|error| error.to_string())?;
        if !self.url.is_https() {
            return answer(TokioIo::new(stream), request).await;
        }
        let connector = tokio_rustls::TlsConnector::from(trusting()?);
        let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let stream = connector.connect(server, stream).await.map_err(|error| {
            format!("the certificate of {name} is not trusted, or no TLS is spoken there: {error}")
        })?;
        answer(TokioIo::new(stream), request).await
    }
}

async fn answer<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(broken)?;
    let running = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body
        .map_err(|error| format!("the answer breaks off: {error}"))?
        .to_bytes();
    running.abort();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

/// A client that trusts whom this system trusts.
fn trusting() -> Result<Arc<ClientConfig>, String> {
    let named = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    let usual = TRUSTED.iter().map(std::path::PathBuf::from);
    let bytes = named
        .into_iter()
        .chain(usual)
        .find_map(|path| std::fs::read(path).ok());
    let bytes = bytes
        .ok_or("this system has no list of trusted certificates: expected one, or SSL_CERT_FILE")?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).flatten());
    let client =
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be spoken: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(Arc::new(client))
}

/// A parameter of a challenge.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// Whether apps in the cloud cannot reach an address.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let shared = first == 100 && (64..128).contains(&second);
            address.is_private() || address.is_loopback() || address.is_link_local() || shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let challenge =
            "Bearer realm=\"venom\", resource_metadata=\"https://v.example/x\", scope=\"read\"";
        assert_eq!(
            parameter(challenge, "resource_metadata"),
            Some("https://v.example/x")
        );
        assert_eq!(parameter(challenge, "error"), None);
    }

    #[test]
    fn addresses_that_the_cloud_does_not_reach() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "100.100.1.1",
            "169.254.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "100.128.0.1", "2001:4860::1"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
