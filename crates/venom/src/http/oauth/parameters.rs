//! Parameters of OAuth requests, and the answers that its RFCs lay down for mistakes.

use crate::failure::Failure;
use crate::http::limits::SIGN_IN_BYTES_MAX;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::collections::BTreeMap;
use venom_access::Refusal;

/// Longest value of a parameter, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;
/// Most parameters of a request.
const PARAMETERS_MAX: usize = 64;

/// Parameters by name. None comes twice (OAuth 2.1, section 3.1), an empty one counts as left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Parses a query or a form.
    ///
    /// # Errors
    /// The sentence that says what does not fit.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let shown: String = name.chars().take(40).collect();
            if found.len() >= PARAMETERS_MAX {
                return Err(format!("expected at most {PARAMETERS_MAX} parameters"));
            }
            if value.len() > VALUE_BYTES_MAX {
                return Err(format!(
                    "{shown} is too long: expected at most {VALUE_BYTES_MAX} bytes"
                ));
            }
            if found
                .insert(name.into_owned(), value.into_owned())
                .is_some()
            {
                return Err(format!("{shown} comes twice: expected it once"));
            }
        }
        found.retain(|_, value| !value.is_empty());
        Ok(Self(found))
    }

    /// A value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A value that has to be there.
    ///
    /// # Errors
    /// The sentence that says it is missing.
    pub(super) fn need(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("{name} is missing"))
    }
}

/// The scopes that are asked for: whether writing is among them. Nothing named means everything there is;
/// names that mean nothing here are passed over, since clients send those of other servers.
pub(super) fn wants_write(scope: Option<&str>) -> Option<bool> {
    let mut names = scope?.split_ascii_whitespace();
    let known: Vec<_> = names
        .by_ref()
        .filter(|name| matches!(*name, "read" | "write"))
        .collect();
    (!known.is_empty()).then(|| known.contains(&"write"))
}

/// Whether a URL names this server's resource: its MCP endpoint, that of the older transport, or the
/// origin, each with or without a slash at its end.
pub(super) fn is_resource(url: &str, origin: &str) -> bool {
    let bare = url.strip_suffix('/').unwrap_or(url);
    let Some(start) = bare.get(..origin.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(origin) && matches!(&bare[origin.len()..], "" | "/mcp" | "/sse")
}

/// An error of the token, registration and revocation endpoints (OAuth 2.1, section 3.2.4).
#[derive(Debug)]
pub(super) struct OauthError {
    status: StatusCode,
    /// Its name in the RFCs.
    pub(super) error: &'static str,
    description: String,
}

impl OauthError {
    /// An error that the request is to blame for.
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
        }
    }

    /// A request that does not have the form it needs.
    pub(super) fn invalid(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }
}

impl From<Refusal> for OauthError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Grant(why) => Self::new("invalid_grant", why),
            Refusal::Target(why) => Self::new("invalid_target", why),
            Refusal::Scope(why) => Self::new("invalid_scope", why),
        }
    }
}

impl From<Failure> for OauthError {
    /// What the client is not to blame for: it may try again, and the log says why.
    fn from(failure: Failure) -> Self {
        tracing::error!("{failure}");
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Self::new("temporarily_unavailable", "try again later")
        }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let body = json!({"error": self.error, "error_description": self.description});
        (self.status, NOT_STORED, axum::Json(body)).into_response()
    }
}

/// The body of a request as text. What cannot be read is told in OAuth's own form.
pub(super) struct Text(pub(super) String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = OauthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OauthError> {
        let status = |status| {
            move |why: &str| OauthError {
                status,
                ..OauthError::invalid(why)
            }
        };
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.into_response().status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        let why = format!("expected at most {} KiB", SIGN_IN_BYTES_MAX / 1024);
                        status(StatusCode::PAYLOAD_TOO_LARGE)(&why)
                    }
                    _ => status(StatusCode::BAD_REQUEST)("the body breaks off"),
                })?;
        let text = String::from_utf8(bytes.to_vec());
        text.map(Self)
            .map_err(|_| OauthError::invalid("expected text in UTF-8"))
    }
}

/// For answers that hold secrets, or depend on them.
pub(super) const NOT_STORED: [(header::HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::PRAGMA, "no-cache"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use venom_fuzz::Target;

    #[test]
    fn parameters_come_once_and_decoded() {
        let found = Parameters::parse("a=1&b=x%20y+z&c=").unwrap();
        assert_eq!(
            (found.get("a"), found.get("b"), found.get("c")),
            (Some("1"), Some("x y z"), None)
        );
        assert_eq!(
            Parameters::parse("a=1&a=2").unwrap_err(),
            "a comes twice: expected it once"
        );
        assert!(Parameters::parse(&format!("a={}", "x".repeat(5000))).is_err());
        let many: Vec<_> = (0..100).map(|n| format!("p{n}=1")).collect();
        let many = many.join("&");
        assert!(Parameters::parse(&many).is_err());
        assert_eq!(found.need("d").unwrap_err(), "d is missing");
    }

    #[test]
    fn scopes_that_mean_nothing_here_are_passed_over() {
        let check = |scope, expected| assert_eq!(wants_write(scope), expected, "{scope:?}");
        check(None, None);
        check(Some(""), None);
        check(Some("openid offline_access"), None);
        check(Some("read"), Some(false));
        check(Some("write"), Some(true));
        check(Some("read  write email"), Some(true));
        check(Some("READ readwrite"), None);
    }

    #[test]
    fn the_resource_is_this_server_and_no_other() {
        let origin = "https://venom.example";
        for url in [
            "https://venom.example",
            "https://venom.example/",
            "https://VENOM.example/mcp",
            "https://venom.example/mcp/",
            "https://venom.example/sse",
        ] {
            assert!(is_resource(url, origin), "{url}");
        }
        for url in [
            "",
            "https://evil.example/mcp",
            "https://venom.example.evil/mcp",
            "http://venom.example/mcp",
            "https://venom.example:444/mcp",
            "https://venom.example/mcp?x",
            "https://venom.example/mcp#x",
            "https://venom.example//",
            "https://venom.example/MCP",
            "https://x@venom.example/mcp",
            "ähttps://",
        ] {
            assert!(!is_resource(url, origin), "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,300}") {
            if let Ok(found) = Parameters::parse(&text) {
                prop_assert!(found.0.len() <= PARAMETERS_MAX);
                let _ = (wants_write(Some(&text)), is_resource(&text, "https://venom.example"));
            }
        }
    }

    #[test]
    fn fuzz_oauth_parameters() {
        let words = [
            "client_id=",
            "redirect_uri=",
            "scope=",
            "resource=",
            "state=",
            "code_challenge=",
            "&",
            "=",
            "%26",
            "%3D",
            "%00",
            "%FF",
            "+",
            ";",
            "read",
            "write",
            "offline_access",
            "https://venom.example",
            "/mcp",
        ];
        Target::new("oauth-parameters")
            .words(&words)
            .bytes_max(16 * 1024)
            .run(|bytes| {
                let text = String::from_utf8_lossy(bytes);
                let origin = "https://venom.example";
                let found = Parameters::parse(&text)?;
                assert!(found.0.len() <= PARAMETERS_MAX);
                let fits = |value: &String| (1..=VALUE_BYTES_MAX).contains(&value.len());
                assert!(found.0.values().all(fits));
                // Written as a client would, it reads the same.
                let mut again = form_urlencoded::Serializer::new(String::new());
                again.extend_pairs(&found.0);
                assert_eq!(Parameters::parse(&again.finish()).as_ref(), Ok(&found));
                let resource = found.get("resource").unwrap_or_default();
                let is_ours = is_resource(resource, origin);
                assert!(!is_ours || resource.to_ascii_lowercase().starts_with(origin));
                let scope = found.get("scope");
                let write = wants_write(scope);
                assert!(write != Some(true) || scope.is_some_and(|scope| scope.contains("write")));
                Ok::<_, String>((found.0.len().min(8), write, is_ours))
            });
    }
}
