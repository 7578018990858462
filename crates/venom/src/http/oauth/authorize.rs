//! `/authorize`: who asks for what, and what the owner says to it.
//!
//! Nothing is kept between the question and the decision: the consent form carries the client's whole
//! request, and it is read and checked anew when the form comes back.

use super::clients::Answerable;
use super::pages::{self, Page};
use super::parameters::{Parameters, Text, is_resource, wants_write};
use super::sign_in::{self, Signed};
use super::{Site, address};
use crate::addresses::is_loopback_name;
use crate::asked::SystemClock;
use crate::caller::address_text;
use crate::failure::Failure;
use axum::extract::{RawQuery, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use venom_access::{Consent, Event, Rights};
use venom_core::SpaceName;
use venom_core::ports::Clock as _;

/// Characters of a PKCE challenge: SHA-256 in base64url.
const CHALLENGE_CHARS: usize = 43;

/// What a client asks for.
struct Request {
    client_id: String,
    client: Answerable,
    /// What does not fit, if anything: OAuth's error and a sentence, which the client gets.
    asks: Result<Asks, (&'static str, String)>,
    state: Option<String>,
}

struct Asks {
    challenge: String,
    write: bool,
}

impl Site {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Failure`] for the owner to read, where it is not sure that the client may be answered at the
    /// address that it gives. Nobody is sent there then.
    async fn request(&self, query: &str) -> Result<Request, Failure> {
        let parameters = Parameters::parse(query).map_err(Failure::invalid)?;
        let client_id = parameters.need("client_id").map_err(Failure::invalid)?;
        let redirect_uri = parameters.need("redirect_uri").map_err(Failure::invalid)?;
        let client = self.answerable(client_id, redirect_uri).await?;
        Ok(Request {
            client_id: client_id.to_owned(),
            client,
            asks: asks(&parameters, &self.origin, &self.resource),
            state: parameters.get("state").map(str::to_owned),
        })
    }

    /// Tells a client that its request does not fit. A client that anybody may have made up is not sent to
    /// by itself: the link would be an open redirect under this server's name (RFC 9700, section 4.11.2).
    fn refuse(&self, request: &Request, error: &str, why: &str) -> Response {
        let answer = [("error", error), ("error_description", why)];
        if request.client.is_known {
            return self.back(request, &answer);
        }
        let body = format!(
            "<h1>That did not work</h1><p>{name} asked for something that cannot be: {why}.</p>\
             <p>Go back to the app, or <a href=\"{address}\" rel=noreferrer>tell it so</a> at {host}.</p>",
            name = pages::escaped(&request.client.name),
            why = pages::escaped(why),
            address = pages::escaped(&self.address_back(request, &answer)),
            host = pages::escaped(&request.client.redirect_host),
        );
        let status = StatusCode::BAD_REQUEST;
        Page::new("Not done", &body)
            .with_status(status)
            .into_response()
    }

    /// Sends the browser back to the client.
    fn back(&self, request: &Request, answer: &[(&str, &str)]) -> Response {
        pages::see_other(&self.address_back(request, answer))
    }

    /// Where the client hears an answer.
    fn address_back(&self, request: &Request, answer: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(answer);
        if let Some(state) = &request.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.origin);
        let uri = &request.client.redirect_uri;
        let joint = if uri.contains('?') { '&' } else { '?' };
        format!("{uri}{joint}{}", query.finish())
    }
}

/// What a client asks of the site for which `origin` and `resource` stand.
fn asks(
    parameters: &Parameters,
    origin: &str,
    resource: &str,
) -> Result<Asks, (&'static str, String)> {
    let invalid = |why: String| ("invalid_request", why);
    if parameters.need("response_type").map_err(invalid)? != "code" {
        return Err((
            "unsupported_response_type",
            "expected response_type=code".to_owned(),
        ));
    }
    // Without a method the RFC means `plain`, which proves nothing.
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(invalid(
            "expected PKCE with code_challenge_method=S256".to_owned(),
        ));
    }
    let challenge = parameters.need("code_challenge").map_err(invalid)?;
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if challenge.len() != CHALLENGE_CHARS || !challenge.bytes().all(is_base64url) {
        return Err(invalid(format!(
            "expected a code_challenge of {CHALLENGE_CHARS} characters of base64url"
        )));
    }
    if parameters.get("request").is_some() || parameters.get("request_uri").is_some() {
        return Err((
            "request_not_supported",
            "expected plain parameters".to_owned(),
        ));
    }
    if parameters
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err(invalid("expected response_mode=query".to_owned()));
    }
    match parameters.get("resource") {
        Some(named) if !is_resource(named, origin) => Err((
            "invalid_target",
            format!("expected the resource {resource}"),
        )),
        _ => Ok(Asks {
            challenge: challenge.to_owned(),
            write: wants_write(parameters.get("scope")).unwrap_or(true),
        }),
    }
}

/// `GET /authorize`: the sign-in page, then the consent page.
pub(super) async fn ask(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let request = match site.request(&query).await {
        Ok(request) => request,
        Err(failure) => return pages::failed(&failure),
    };
    let asks = match &request.asks {
        Ok(asks) => asks,
        Err((error, why)) => return site.refuse(&request, error, why),
    };
    let signed = match site.signed_in(&headers).await {
        Ok(Some(signed)) => signed,
        Ok(None) => {
            return sign_in::ask(&site, &format!("/authorize?{query}"), StatusCode::OK, "").await;
        }
        Err(failure) => return pages::failed(&failure),
    };
    let spaces = match site.hub.stats(site.space.clone()).await {
        Ok(stats) => stats.spaces,
        Err(failure) => return pages::failed(&failure),
    };
    consent_page(&site, &request, asks, &query, &signed, spaces)
}

fn consent_page(
    site: &Site,
    request: &Request,
    asks: &Asks,
    query: &str,
    signed: &Signed,
    mut spaces: Vec<SpaceName>,
) -> Response {
    let client = &request.client;
    let note = if client.is_known {
        ""
    } else {
        "<p class=note>This is what the app calls itself; Venom does not know it. Go on only if you have \
         just asked an app to connect, and the address below is its own.</p>"
    };
    let where_to = if is_loopback_name(&client.redirect_host) {
        " (a program on your own machine)"
    } else if client.redirect_host.ends_with(':') {
        " (an app on your own device)"
    } else {
        ""
    };
    // Of an app that is not known the whole address: its owner may be one of many on that host.
    let whole = if client.is_known {
        String::new()
    } else {
        format!(
            "<br><span class=note>{}</span>",
            pages::escaped(&client.redirect_uri)
        )
    };
    if !spaces.contains(&site.space) {
        spaces.push(site.space.clone());
    }
    let option = |space: &SpaceName| {
        let selected = if *space == site.space {
            " selected"
        } else {
            ""
        };
        let name = pages::escaped(space.as_str());
        format!("<option value=\"in {name}\"{selected}>the space {name}</option>")
    };
    let spaces: String = spaces.iter().map(option).collect();
    let (reads, writes) = if asks.write {
        ("", " checked")
    } else {
        (" checked", "")
    };
    let body = format!(
        "<h1>Let {name} in?</h1>{note}
<dl><dt>App<dd>{name}<dt>Answers go to<dd><b>{host}</b>{where_to}{whole}</dl>
<form method=post action=/authorize>
<input type=hidden name=request value=\"{query}\"><input type=hidden name=csrf value=\"{csrf}\">
<label>It may use <select name=space>{spaces}<option value=all>all spaces</option></select></label>
<fieldset><legend>It may</legend>
<label><input type=radio name=rights value=read{reads}> search and read memories</label>
<label><input type=radio name=rights value=write{writes}> also store, change and forget them</label></fieldset>
<p><button name=decision value=allow>Let it in</button>
<button name=decision value=deny class=quiet>Do not</button></p></form>
<p class=note>You can shut it out again on <a href=/account>your account page</a>.</p>",
        name = pages::escaped(&client.name),
        host = pages::escaped(&client.redirect_host),
        query = pages::escaped(query),
        csrf = signed.csrf(),
    );
    Page::new("Let an app in", &body)
        .with_forms_that_lead_on()
        .into_response()
}

/// `POST /authorize`: what the owner decided.
pub(super) async fn decide(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Response {
    let form = match site.signed_form(&headers, &body).await {
        Ok((_, form)) => form,
        Err(failure) => return pages::failed(&failure),
    };
    let query = form.get("request").unwrap_or_default();
    let request = match site.request(query).await {
        Ok(request) => request,
        Err(failure) => return pages::failed(&failure),
    };
    let asks = match &request.asks {
        Ok(asks) => asks,
        Err((error, why)) => return site.refuse(&request, error, why),
    };
    let source = address_text(Some(address(&extensions)));
    let now = SystemClock.now();
    if form.get("decision") != Some("allow") {
        let subject = format!(
            "{} at {}",
            request.client.name, request.client.redirect_host
        );
        let told = site
            .file
            .ask(move |access| access.audit(now, Event::GrantDenied, "owner", &source, &subject));
        if let Err(failure) = told.await {
            return pages::failed(&failure);
        }
        let answer = [
            ("error", "access_denied"),
            ("error_description", "the owner said no"),
        ];
        return site.back(&request, &answer);
    }
    let rights = match rights(&form) {
        Ok(rights) => rights,
        Err(failure) => return pages::failed(&failure),
    };
    let consent = Consent {
        client_id: request.client_id.clone(),
        client_name: request.client.name.clone(),
        redirect_uri: request.client.redirect_uri.clone(),
        redirect_host: request.client.redirect_host.clone(),
        challenge: asks.challenge.clone(),
        rights,
        resource: site.resource.clone(),
    };
    match site
        .file
        .ask(move |access| access.agree(&consent, now, &source))
        .await
    {
        Ok(code) => site.back(&request, &[("code", code.reveal())]),
        Err(failure) => pages::failed(&failure),
    }
}

/// The rights that the owner chose.
fn rights(form: &Parameters) -> Result<Rights, Failure> {
    let write = match form.get("rights") {
        Some("write") => true,
        Some("read") => false,
        _ => {
            return Err(Failure::invalid(
                "rights is missing: expected read or write",
            ));
        }
    };
    let spaces = match form.get("space") {
        Some("all") => Vec::new(),
        Some(named) if named.starts_with("in ") => vec![SpaceName::parse(&named[3..])?],
        _ => {
            return Err(Failure::invalid(
                "space is missing: expected a space, or all",
            ));
        }
    };
    Ok(Rights::within(spaces, write)?)
}

/// The header that no page may be without: what it shows is for the owner's eyes.
pub(super) const PRIVATE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    /// A client's query, and the owner's form.
    #[test]
    fn fuzz_authorization_requests() {
        let (origin, resource) = ("https://venom.example", "https://venom.example/mcp");
        let words = [
            "response_type=code",
            "&",
            "code_challenge_method=S256",
            "code_challenge=",
            "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE",
            "resource=",
            "scope=",
            "read",
            "write",
            "response_mode=query",
            "request=",
            "rights=",
            "space=",
            "in+",
            "all",
            "%00",
            "=",
        ];
        Target::new("authorization-requests")
            .words(&words)
            .run(|bytes| {
                let parameters = Parameters::parse(&String::from_utf8_lossy(bytes)).ok()?;
                let asked = asks(&parameters, origin, resource);
                if let Ok(asked) = &asked {
                    assert_eq!(asked.challenge.len(), CHALLENGE_CHARS);
                    assert_eq!(parameters.get("code_challenge_method"), Some("S256"));
                    assert!(parameters.get("request").is_none());
                }
                let given = rights(&parameters);
                if let Ok(given) = &given {
                    assert!(!given.write || parameters.get("rights") == Some("write"));
                }
                let asked = asked.map(|asked| asked.write);
                Some((
                    asked,
                    given
                        .map_err(|failure| failure.message.len())
                        .map(|it| it.write),
                ))
            });
    }
}
