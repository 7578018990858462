//! `/token` and `/revoke`: a code becomes tokens, a refresh token new ones, and what is given back is void.

use super::parameters::{NOT_STORED, Parameters, is_resource, oauth_error, refused, wants_write};
use super::{Site, address};
use crate::asked::SystemClock;
use crate::caller::address_text;
use crate::failure::Failure;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use venom_access::{ACCESS_SECONDS, Exchange, Redeemed, Refusal, Secret};
use venom_core::ports::Clock as _;

/// Characters of a PKCE verifier (RFC 7636, section 4.1).
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;

/// `POST /token`.
pub(super) async fn token(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    body: String,
) -> Response {
    let source = address_text(Some(address(&extensions)));
    let form = match form(&headers, &body) {
        Ok(form) => form,
        Err(response) => return response,
    };
    let outcome = match form.get("grant_type") {
        Some("authorization_code") => redeem(&site, &form, source).await,
        Some("refresh_token") => refresh(&site, &form, source).await,
        _ => {
            let expected = "expected authorization_code or refresh_token";
            return oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type", expected);
        }
    };
    match outcome {
        Ok(Ok(tokens)) => {
            let body = json!({
                "access_token": tokens.access.reveal(),
                "token_type": "Bearer",
                "expires_in": ACCESS_SECONDS,
                "refresh_token": tokens.refresh.reveal(),
                "scope": tokens.rights.scope(),
            });
            (NOT_STORED, axum::Json(body)).into_response()
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(response) => response,
    }
}

async fn redeem(
    site: &Site,
    form: &Parameters,
    source: String,
) -> Result<Result<Redeemed, Refusal>, Response> {
    let verifier = need(form, "code_verifier")?;
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !VERIFIER_CHARS.contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        return Err(invalid(
            "expected a code_verifier of 43 to 128 unreserved characters",
        ));
    }
    let exchange = Exchange {
        code: Secret::shown(need(form, "code")?),
        client_id: need(form, "client_id")?.to_owned(),
        redirect_uri: form.get("redirect_uri").map(str::to_owned),
        verifier: Secret::shown(verifier),
        resource: resource(site, form)?,
    };
    let asked = site
        .file
        .ask(move |access| access.redeem(&exchange, SystemClock.now(), &source));
    asked.await.map_err(|failure| unavailable(&failure))
}

async fn refresh(
    site: &Site,
    form: &Parameters,
    source: String,
) -> Result<Result<Redeemed, Refusal>, Response> {
    let shown = Secret::shown(need(form, "refresh_token")?);
    let client_id = need(form, "client_id")?.to_owned();
    let write = wants_write(form.get("scope"));
    let resource = resource(site, form)?;
    let asked = site.file.ask(move |access| {
        let now = SystemClock.now();
        access.refresh(&shown, &client_id, write, resource.as_deref(), now, &source)
    });
    asked.await.map_err(|failure| unavailable(&failure))
}

/// `POST /revoke`. What it answers does not tell whether the token was known (RFC 7009, section 2.2).
pub(super) async fn revoke(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    body: String,
) -> Response {
    let source = address_text(Some(address(&extensions)));
    let asked = async {
        let form = form(&headers, &body)?;
        let shown = Secret::shown(need(&form, "token")?);
        let client_id = need(&form, "client_id")?.to_owned();
        let asked = site
            .file
            .ask(move |access| access.give_back(&shown, &client_id, SystemClock.now(), &source));
        asked.await.map_err(|failure| unavailable(&failure))
    };
    match asked.await {
        Ok(()) => (StatusCode::OK, NOT_STORED).into_response(),
        Err(response) => response,
    }
}

/// The form of a request. JSON is no form, and is told so.
fn form(headers: &HeaderMap, body: &str) -> Result<Parameters, Response> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if !kind
        .unwrap_or_default()
        .starts_with("application/x-www-form-urlencoded")
    {
        return Err(invalid(
            "expected Content-Type: application/x-www-form-urlencoded",
        ));
    }
    Parameters::parse(body).map_err(|why| invalid(&why))
}

fn need<'a>(form: &'a Parameters, name: &str) -> Result<&'a str, Response> {
    form.need(name).map_err(|why| invalid(&why))
}

/// The resource that a client names, in our own words.
fn resource(site: &Site, form: &Parameters) -> Result<Option<String>, Response> {
    match form.get("resource") {
        None => Ok(None),
        Some(named) if is_resource(named, &site.origin) => Ok(Some(site.resource.clone())),
        Some(_) => {
            let expected = format!("expected the resource {}", site.resource);
            Err(oauth_error(
                StatusCode::BAD_REQUEST,
                "invalid_target",
                &expected,
            ))
        }
    }
}

fn invalid(why: &str) -> Response {
    oauth_error(StatusCode::BAD_REQUEST, "invalid_request", why)
}

fn unavailable(failure: &Failure) -> Response {
    tracing::error!("{failure}");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    oauth_error(status, "temporarily_unavailable", "try again later")
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    /// The content type, a line feed, the form.
    #[test]
    fn fuzz_token_forms() {
        let words = [
            "application/x-www-form-urlencoded",
            "; charset=utf-8",
            "\n",
            "grant_type=",
            "code=",
            "&",
            "refresh_token",
            "%",
        ];
        Target::new("token-forms").words(&words).run(|bytes| {
            let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            let (kind, body) = bytes.split_at(line);
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_TYPE,
                axum::http::HeaderValue::from_bytes(kind).ok()?,
            );
            let body = String::from_utf8_lossy(body.get(1..).unwrap_or_default());
            let read = form(&headers, &body);
            let refused = match &read {
                Ok(form) => need(form, "code").map(str::to_owned).err(),
                Err(refused) => Some(refused.status().into_response()),
            };
            assert!(
                refused
                    .as_ref()
                    .is_none_or(|it| it.status() == StatusCode::BAD_REQUEST)
            );
            Some((
                read.is_ok(),
                refused.is_none(),
                Parameters::parse(&body).is_ok(),
            ))
        });
    }
}
