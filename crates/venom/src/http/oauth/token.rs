//! `/token` and `/revoke`: a code becomes tokens, a refresh token new ones, and what is given back is void.

use super::parameters::{NOT_STORED, OauthError, Parameters, Text, is_resource, wants_write};
use super::{Site, address};
use crate::asked::SystemClock;
use crate::caller::address_text;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use venom_access::{ACCESS_SECONDS, Exchange, Redeemed, Secret};
use venom_core::ports::Clock as _;

/// Characters of a PKCE verifier (RFC 7636, section 4.1).
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;

/// `POST /token`.
pub(super) async fn token(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Result<Response, OauthError> {
    let source = address_text(Some(address(&extensions)));
    let form = form(&headers, &body)?;
    let tokens = match form.get("grant_type") {
        Some("authorization_code") => redeem(&site, &form, source).await?,
        Some("refresh_token") => refresh(&site, &form, source).await?,
        _ => {
            let expected = "expected authorization_code or refresh_token";
            return Err(OauthError::new("unsupported_grant_type", expected));
        }
    };
    let body = json!({
        "access_token": tokens.access.reveal(),
        "token_type": "Bearer",
        "expires_in": ACCESS_SECONDS,
        "refresh_token": tokens.refresh.reveal(),
        "scope": tokens.rights.scope(),
    });
    Ok((NOT_STORED, axum::Json(body)).into_response())
}

async fn redeem(site: &Site, form: &Parameters, source: String) -> Result<Redeemed, OauthError> {
    let verifier = need(form, "code_verifier")?;
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !VERIFIER_CHARS.contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        let expected = "expected a code_verifier of 43 to 128 unreserved characters";
        return Err(OauthError::invalid(expected));
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
    Ok(asked.await??)
}

async fn refresh(site: &Site, form: &Parameters, source: String) -> Result<Redeemed, OauthError> {
    let shown = Secret::shown(need(form, "refresh_token")?);
    let client_id = need(form, "client_id")?.to_owned();
    let write = wants_write(form.get("scope"));
    let resource = resource(site, form)?;
    let asked = site.file.ask(move |access| {
        let now = SystemClock.now();
        access.refresh(&shown, &client_id, write, resource.as_deref(), now, &source)
    });
    Ok(asked.await??)
}

/// `POST /revoke`. What it answers does not tell whether the token was known (RFC 7009, section 2.2).
pub(super) async fn revoke(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Result<Response, OauthError> {
    let source = address_text(Some(address(&extensions)));
    let form = form(&headers, &body)?;
    let shown = Secret::shown(need(&form, "token")?);
    let client_id = need(&form, "client_id")?.to_owned();
    let asked = site
        .file
        .ask(move |access| access.give_back(&shown, &client_id, SystemClock.now(), &source));
    asked.await?;
    Ok((StatusCode::OK, NOT_STORED).into_response())
}

/// The form of a request. JSON is no form, and is told so.
fn form(headers: &HeaderMap, body: &str) -> Result<Parameters, OauthError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if !kind
        .unwrap_or_default()
        .starts_with("application/x-www-form-urlencoded")
    {
        let expected = "expected Content-Type: application/x-www-form-urlencoded";
        return Err(OauthError::invalid(expected));
    }
    Parameters::parse(body).map_err(OauthError::invalid)
}

fn need<'a>(form: &'a Parameters, name: &str) -> Result<&'a str, OauthError> {
    form.need(name).map_err(OauthError::invalid)
}

/// The resource that a client names, in our own words.
fn resource(site: &Site, form: &Parameters) -> Result<Option<String>, OauthError> {
    match form.get("resource") {
        None => Ok(None),
        Some(named) if is_resource(named, &site.origin) => Ok(Some(site.resource.clone())),
        Some(_) => {
            let expected = format!("expected the resource {}", site.resource);
            Err(OauthError::new("invalid_target", expected))
        }
    }
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
            let is_form = read.is_ok();
            let refused = read
                .and_then(|form| need(&form, "code").map(str::to_owned))
                .err();
            let is_read = refused.is_none();
            let answers_400 =
                |it: OauthError| it.into_response().status() == StatusCode::BAD_REQUEST;
            assert!(refused.is_none_or(answers_400));
            Some((is_form, is_read, Parameters::parse(&body).is_ok()))
        });
    }
}
