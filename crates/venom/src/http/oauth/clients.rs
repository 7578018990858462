//! Which clients there are: those that register (RFC 7591) and those whose id is the address of a
//! document about them (draft-ietf-oauth-client-id-metadata-document).
//!
//! Venom calls nobody, so it fetches no document. What the well-known clients' documents say is written
//! down here. Of any other, only what needs no document is believed: that whoever owns the host of the
//! id may be answered at that host, and that a program on the owner's machine may be answered there.
//! That is no more than anybody gets by registering, and the consent page says so.

use super::parameters::{OauthError, Text};
use super::{Site, address, parameters};
use crate::failure::Failure;
use crate::http::peer::one_network;
use crate::http::rate::too_many;
use axum::extract::State;
use axum::http::{Extensions, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use venom_access::NewClient;
use venom_core::ErrorKind;
use venom_core::ports::Clock as _;

/// Most addresses that a client may be answered at.
const REDIRECT_URIS_MAX: usize = 16;
/// Longest of them, in bytes.
const REDIRECT_URI_BYTES_MAX: usize = 1_024;
/// Longest name of a client, in characters.
const NAME_CHARS_MAX: usize = 60;
/// Schemes of apps that have no dot in them. Those with a dot are an app's own by their form (RFC 8252,
/// section 7.1); others may run or show something instead of opening an app.
const APP_SCHEMES: [&str; 20] = [
    "antigravity",
    "chatgpt",
    "claude",
    "cline",
    "codex",
    "cursor",
    "devin",
    "goose",
    "jan",
    "kiro",
    "lmstudio",
    "mcp",
    "opencode",
    "raycast",
    "trae",
    "vscode",
    "vscode-insiders",
    "vscodium",
    "windsurf",
    "zed",
];

/// What documents of well-known clients say: id, name, where they are answered.
const KNOWN: [(&str, &str, &[&str]); 7] = [
    (
        "https://claude.ai/oauth/mcp-oauth-client-metadata",
        "Claude",
        &[
            "https://claude.ai/api/mcp/auth_callback",
            "https://claude.com/api/mcp/auth_callback",
        ],
    ),
    (
        "https://claude.ai/oauth/claude-code-client-metadata",
        "Claude Code",
        &["http://localhost/callback", "http://127.0.0.1/callback"],
    ),
    (
        "https://chatgpt.com/oauth/client.json",
        "ChatGPT",
        &["https://chatgpt.com/connector_platform_oauth_redirect"],
    ),
    (
        "https://chatgpt.com/oauth/codex/client.json",
        "Codex",
        &["http://127.0.0.1/callback", "http://localhost/callback"],
    ),
    (
        "https://vscode.dev/oauth/client-metadata.json",
        "Visual Studio Code",
        &[
            "http://127.0.0.1:33418/",
            "http://127.0.0.1:33418",
            "https://vscode.dev/redirect",
            "https://insiders.vscode.dev/redirect",
        ],
    ),
    (
        "https://opencode.ai/oauth/opencode/client.json",
        "OpenCode",
        &["http://127.0.0.1/callback", "http://localhost/callback"],
    ),
    (
        "https://zed.dev/oauth/client-metadata.json",
        "Zed",
        &["http://127.0.0.1/callback"],
    ),
];

/// A client that may be answered at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answerable {
    /// Its name, for the consent page.
    pub(super) name: String,
    /// Where it will be answered.
    pub(super) redirect_uri: String,
    /// The host of that, or the app's scheme.
    pub(super) redirect_host: String,
    /// Whether the name is more than what the client says of itself.
    pub(super) is_known: bool,
}

impl Site {
    /// The client of this id, if it may be answered at this address.
    ///
    /// # Errors
    /// [`Failure`] for people: it is shown to the owner and never sent to the address.
    pub(super) async fn answerable(
        &self,
        client_id: &str,
        redirect_uri: &str,
    ) -> Result<Answerable, Failure> {
        let place = Place::of(redirect_uri).map_err(Failure::invalid)?;
        let (name, fits, is_known) = if let Some((_, name, uris)) =
            KNOWN.iter().find(|(known, ..)| *known == client_id)
        {
            // ChatGPT adds an address for each connector below its own.
            let own = *name == "ChatGPT" && is_connector_of_chatgpt(redirect_uri);
            let fits = own || uris.iter().any(|uri| matches(uri, redirect_uri));
            ((*name).to_owned(), fits, true)
        } else if let Some(host) = host_of_document(client_id) {
            // A query may lead on to anywhere, where the host has a page that does so.
            let at_home = place.is_https && place.host == host && !redirect_uri.contains('?');
            let name = if place.is_loopback {
                format!("{host}, as a program on your machine says")
            } else {
                host.to_owned()
            };
            (name, place.is_loopback || at_home, false)
        } else {
            let id = client_id.to_owned();
            let client = self.file.ask(move |access| access.client(&id)).await?;
            let client = client.ok_or_else(|| {
                let shown: String = client_id.chars().take(60).collect();
                Failure::new(
                    ErrorKind::InvalidInput,
                    format!("no client {shown:?} is registered here: remove the server in your app and add it again"),
                )
            })?;
            let fits = client
                .redirect_uris
                .iter()
                .any(|uri| matches(uri, redirect_uri));
            (client.name, fits, false)
        };
        if fits {
            Ok(Answerable {
                name,
                redirect_uri: redirect_uri.to_owned(),
                redirect_host: place.host,
                is_known,
            })
        } else {
            let shown: String = redirect_uri.chars().take(100).collect();
            Err(Failure::invalid(format!(
                "{name} may not be answered at {shown:?}: expected an address that it named when it registered"
            )))
        }
    }
}

/// An address to answer at, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The host, or the scheme of an app.
    host: String,
    is_https: bool,
    is_loopback: bool,
}

impl Place {
    /// Reads an address: `https`, `http` on loopback, or the scheme of an app. The checks are on the text
    /// as it stands: whatever a browser might read differently is refused.
    fn of(uri: &str) -> Result<Self, String> {
        let shown: String = uri.chars().take(100).collect();
        let wrong = |why: &str| format!("redirect_uri {shown:?} cannot be taken: {why}");
        if uri.len() > REDIRECT_URI_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        if !uri.bytes().all(|byte| byte.is_ascii_graphic())
            || uri.contains(['\\', '#', '"', '<', '>'])
        {
            return Err(wrong(
                "expected printable ASCII without a fragment, quotes and backslashes",
            ));
        }
        let Some((scheme, rest)) = uri.split_once(':') else {
            return Err(wrong("expected an absolute address"));
        };
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
        if !is_scheme {
            return Err(wrong("expected a scheme in lower case"));
        }
        if !matches!(scheme, "https" | "http") {
            if !scheme.contains('.') && !APP_SCHEMES.contains(&scheme) {
                return Err(wrong(
                    "expected https, http on loopback or the scheme of an app",
                ));
            }
            return Ok(Self {
                host: format!("{scheme}:"),
                is_https: false,
                is_loopback: false,
            });
        }
        let rest = rest
            .strip_prefix("//")
            .ok_or_else(|| wrong("expected // behind the scheme"))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(wrong("expected no user name in it"));
        }
        let (host, _) = crate::addresses::split_authority(authority)
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| wrong("expected a host name"))?;
        let host = host.to_ascii_lowercase();
        let is_loopback = scheme == "http" && crate::addresses::is_loopback_name(&host);
        if scheme == "http" && !is_loopback {
            return Err(wrong(
                "expected https: http is for programs on your own machine",
            ));
        }
        Ok(Self {
            host,
            is_https: scheme == "https",
            is_loopback,
        })
    }
}

/// Whether an address is one that a client named. On loopback any port will do, since programs take
/// one that is free (RFC 8252, section 7.3).
fn matches(named: &str, given: &str) -> bool {
    if named == given {
        return true;
    }
    let both = Place::of(named).ok().zip(Place::of(given).ok());
    both.is_some_and(|(named_at, given_at)| named_at.is_loopback && named_at == given_at)
        && path_of(named) == path_of(given)
}

/// Everything behind scheme, host and port.
fn path_of(uri: &str) -> &str {
    let rest = uri.split_once("//").map_or("", |(_, rest)| rest);
    rest.find(['/', '?']).map_or("", |at| &rest[at..])
}

fn is_connector_of_chatgpt(uri: &str) -> bool {
    let id = uri.strip_prefix("https://chatgpt.com/connector/oauth/");
    id.is_some_and(|id| {
        !id.is_empty()
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    })
}

/// The host of an id that is the address of a document: https, a path, nothing that could be read in
/// two ways.
fn host_of_document(client_id: &str) -> Option<&str> {
    let rest = client_id.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    let fits = client_id.len() <= REDIRECT_URI_BYTES_MAX
        && !path.is_empty()
        && path.chars().all(plain)
        && !path.split('/').any(|part| matches!(part, "." | ".."))
        && host.contains('.')
        && host
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    fits.then_some(host)
}

/// `POST /register`. Whoever registers gains nothing but an id: the owner decides.
pub(super) async fn register(
    State(site): State<Arc<Site>>,
    extensions: Extensions,
    Text(body): Text,
) -> Response {
    let address = address(&extensions);
    if let Err(wait) = site
        .registrations
        .admit(&one_network(address), Instant::now())
    {
        return too_many("registration from this address", wait);
    }
    let new = match new_client(body.as_bytes()) {
        Ok(new) => new,
        Err(error) => return error.into_response(),
    };
    let now = crate::asked::SystemClock.now();
    let registered = site.file.ask(move |access| {
        access.register_client(&new, now, &crate::caller::address_text(Some(address)))
    });
    match registered.await {
        Ok(client) => {
            let body = json!({
                "client_id": client.client_id,
                "client_id_issued_at": client.created.as_micros() / 1_000_000,
                "client_name": client.name,
                "redirect_uris": client.redirect_uris,
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
                "scope": "read write",
            });
            (
                StatusCode::CREATED,
                parameters::NOT_STORED,
                axum::Json(body),
            )
                .into_response()
        }
        Err(failure) => failure.into_response(),
    }
}

/// Reads a registration. Addresses that cannot be taken are left out as long as one can: some clients
/// name several for one to fit.
fn new_client(body: &[u8]) -> Result<NewClient, OauthError> {
    let metadata = |why: &str| OauthError::new("invalid_client_metadata", why);
    let body: Value =
        serde_json::from_slice(body).map_err(|_| metadata("expected a JSON object"))?;
    let Some(uris) = body["redirect_uris"].as_array() else {
        return Err(metadata(
            "redirect_uris is missing: expected a list of addresses",
        ));
    };
    if uris.len() > REDIRECT_URIS_MAX {
        return Err(metadata(&format!(
            "expected at most {REDIRECT_URIS_MAX} redirect_uris"
        )));
    }
    let mut kept = Vec::new();
    let mut why = "expected at least one address".to_owned();
    for uri in uris {
        let uri = uri.as_str().unwrap_or_default();
        match Place::of(uri) {
            Ok(_) => kept.push(uri.to_owned()),
            Err(refused) => why = refused,
        }
    }
    if kept.is_empty() {
        return Err(OauthError::new("invalid_redirect_uri", why));
    }
    let name = body["client_name"]
        .as_str()
        .unwrap_or("A client without a name");
    Ok(NewClient {
        name: plain_name(name),
        redirect_uris: kept,
    })
}

/// A client's name as it may be shown: anybody may send anything.
fn plain_name(name: &str) -> String {
    let shown = |c: &char| c.is_alphanumeric() || " -_.,:()&+@/'".contains(*c);
    let name: String = name.chars().filter(shown).take(NAME_CHARS_MAX).collect();
    match name.trim() {
        "" => "A client without a name".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use venom_fuzz::Target;

    #[test]
    fn addresses_to_answer_at() {
        let check = |uri: &str, host: &str| assert_eq!(Place::of(uri).unwrap().host, host, "{uri}");
        check("https://claude.ai/api/mcp/auth_callback", "claude.ai");
        check("https://A.example:8443?x=1", "a.example");
        check("http://localhost:3118/callback", "localhost");
        check("http://127.0.0.1:33418", "127.0.0.1");
        check("http://[::1]:5000/cb", "::1");
        check("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:");
        check("com.example.app:/oauth", "com.example.app:");
        for wrong in [
            "",
            "callback",
            "/callback",
            "//evil.example",
            "http://evil.example/",
            "https:evil.example",
            "https:///x",
            "https://user@evil.example/",
            "https://claude.ai\\@evil.example",
            "https://a.example/#x",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://a.example/\r\nX: y",
            "https://a.example/ü",
            "https://a.example/\"onload=x",
            "1x://y",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example/",
            "http://127.0.0.1@evil.example/",
        ] {
            assert!(Place::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn any_port_will_do_on_loopback_and_nowhere_else() {
        assert!(matches(
            "http://localhost/callback",
            "http://localhost:49152/callback"
        ));
        assert!(matches("http://127.0.0.1:33418/", "http://127.0.0.1:5/"));
        for (named, given) in [
            ("https://a.example/cb", "https://a.example:444/cb"),
            ("https://a.example/cb", "https://a.example/cb/"),
            ("https://a.example/cb", "https://a.example/cb?x=1"),
            ("https://a.example/cb", "https://a.example/CB"),
            ("http://localhost/callback", "http://localhost:1/other"),
            ("http://localhost/callback", "http://127.0.0.1:1/callback"),
            ("http://localhost/callback", "https://localhost:1/callback"),
            ("cursor://a/cb", "cursor://b/cb"),
        ] {
            assert!(!matches(named, given), "{named} {given}");
        }
    }

    #[test]
    fn documents_are_addressed_plainly() {
        assert_eq!(
            host_of_document("https://app.example/oauth/client.json"),
            Some("app.example")
        );
        for wrong in [
            "client_1",
            "http://app.example/c",
            "https://app.example",
            "https://app.example/",
            "https://app.example/../c",
            "https://app.example/a//../c",
            "https://u@app.example/c",
            "https://app.example:1/c",
            "https://APP.example/c",
            "https://app.example/c?x",
            "https://app.example/c#x",
            "https://localhost/c",
        ] {
            assert_eq!(host_of_document(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn chatgpt_has_an_address_for_each_connector() {
        assert!(is_connector_of_chatgpt(
            "https://chatgpt.com/connector/oauth/abc-1_2"
        ));
        for wrong in [
            "https://chatgpt.com/connector/oauth/",
            "https://chatgpt.com/connector/oauth/../x",
            "https://chatgpt.com.evil.example/connector/oauth/a",
        ] {
            assert!(!is_connector_of_chatgpt(wrong), "{wrong}");
        }
    }

    #[test]
    fn registrations_are_read() {
        let read = |body: Value| new_client(body.to_string().as_bytes());
        let new = read(json!({"client_name": "Cur<b>sor\u{202e}", "redirect_uris":
            ["cursor://anysphere.cursor-mcp/oauth/callback", "http://evil.example/", "http://localhost:8787/callback"]})).unwrap();
        assert_eq!(new.name, "Curbsor");
        assert_eq!(
            new.redirect_uris.len(),
            2,
            "what cannot be taken is left out"
        );
        assert_eq!(
            read(json!({"redirect_uris": ["https://a.example/"]}))
                .unwrap()
                .name,
            "A client without a name"
        );
        for (body, error) in [
            (json!([]), "invalid_client_metadata"),
            (json!({}), "invalid_client_metadata"),
            (
                json!({"redirect_uris": "https://a.example/"}),
                "invalid_client_metadata",
            ),
            (json!({"redirect_uris": []}), "invalid_redirect_uri"),
            (
                json!({"redirect_uris": ["javascript:alert(1)", 7]}),
                "invalid_redirect_uri",
            ),
            (
                json!({"redirect_uris": vec!["https://a.example/"; 17]}),
                "invalid_client_metadata",
            ),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().error, error, "{body}");
        }
    }

    proptest! {
        /// Whatever is taken starts with its scheme and host, so that a browser goes where we say.
        #[test]
        fn what_is_taken_goes_where_it_says(uri in "(https|http|cursor)://[a-z.@:/\\\\\\[\\]0-9#?%]{0,40}") {
            if let Ok(place) = Place::of(&uri) {
                if place.is_https {
                    let start = format!("https://{}", place.host);
                    prop_assert!(uri.starts_with(&start) || uri.starts_with("https://["));
                }
                prop_assert!(!uri.contains('@') || !uri.starts_with("http") || uri.find('@') > uri[8..].find(['/', '?']).map(|at| at + 8));
            }
            let _ = host_of_document(&uri);
        }
    }

    #[test]
    fn fuzz_redirect_addresses() {
        let words = [
            "https://",
            "http://",
            "localhost",
            "127.0.0.1",
            "[::1]",
            ":8000",
            "@",
            "/",
            "?",
            "#",
            "\\",
            "..",
            "%2f",
            "cursor:",
            "javascript:",
            "claude.ai",
            "chatgpt.com/connector/oauth/",
            "\t",
            "a.example",
            "\n",
        ];
        Target::new("redirect-addresses")
            .words(&words)
            .run(|bytes| {
                let text = String::from_utf8_lossy(bytes);
                let (named, uri) = text.split_once('\n').unwrap_or((&text, &text));
                assert!(matches(uri, uri));
                let document = host_of_document(uri);
                if let Some(host) = document {
                    let rest = uri
                        .strip_prefix("https://")
                        .and_then(|it| it.strip_prefix(host));
                    assert!(rest.is_some_and(|rest| rest.starts_with('/')), "{uri}");
                }
                let place = Place::of(uri);
                if let Ok(place) = &place {
                    assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()));
                    // As a browser reads it: up to the first of these the host, and nothing before it.
                    if let Some(rest) = uri.strip_prefix("https://").or(uri.strip_prefix("http://"))
                    {
                        let host = rest.split(['/', '?', '#', '\\']).next().unwrap();
                        let bare = host.replace(['[', ']'], "").to_ascii_lowercase();
                        assert!(
                            !host.contains('@') && bare.starts_with(&place.host),
                            "{uri}"
                        );
                        let port = &bare[place.host.len()..];
                        assert!(port.is_empty() || port.starts_with(':'), "{uri}");
                    }
                    assert!(!place.is_loopback || crate::addresses::is_loopback_name(&place.host));
                    assert_eq!(place.is_https, uri.starts_with("https://"));
                }
                let same = matches(named, uri);
                assert!(
                    !same || named == uri || place.as_ref().is_ok_and(|place| place.is_loopback)
                );
                (
                    place.map(|it| (it.is_https, it.is_loopback)).ok(),
                    document.is_some(),
                    same,
                    is_connector_of_chatgpt(uri),
                )
            });
    }

    #[test]
    fn fuzz_registrations() {
        let words = [
            "\"redirect_uris\":",
            "\"client_name\":",
            "[",
            "]",
            "{",
            "}",
            ",",
            "\"",
            "\"https://a.example/cb\"",
            "\"http://localhost/cb\"",
            "\\u202e",
            "\\u0000",
            "null",
            "<b>",
        ];
        Target::new("registrations").words(&words).run(|bytes| {
            let new = new_client(bytes).map_err(|refused| refused.error)?;
            assert!((1..=REDIRECT_URIS_MAX).contains(&new.redirect_uris.len()));
            assert!(new.redirect_uris.iter().all(|uri| Place::of(uri).is_ok()));
            let shown = |c: char| !c.is_control() && !"<>\"\\\u{202e}".contains(c);
            assert!(new.name.chars().all(shown) && !new.name.trim().is_empty());
            assert!(new.name.chars().count() <= NAME_CHARS_MAX);
            Ok::<_, &str>((new.redirect_uris.len(), new.name.len().min(8)))
        });
    }
}
