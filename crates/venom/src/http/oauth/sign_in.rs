//! `/sign-in`: the owner shows the passphrase and gets a session, which a cookie carries.

use super::pages::{self, Page};
use super::parameters::{Parameters, Text};
use super::{Site, address};
use crate::access_file::AccessFile;
use crate::asked::SystemClock;
use crate::caller::address_text;
use crate::failure::Failure;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use venom_access::{Event, SESSION_SECONDS, Secret, SecretHash, Session, equal};
use venom_core::ErrorKind;
use venom_core::ports::Clock as _;

/// Where a sign-in leads that came from nowhere.
const ACCOUNT: &str = "/account";

/// The owner, signed in.
pub(super) struct Signed {
    cookie: Secret,
    /// The session of the browser.
    pub(super) session: Session,
}

impl Signed {
    /// What a form of this session carries, and no other site can know: it is made of the cookie, which
    /// no script can read.
    pub(super) fn csrf(&self) -> String {
        SecretHash::of(&format!("csrf {}", self.cookie.reveal())).to_hex()
    }
}

impl Site {
    /// Host-bound where there is TLS: no other name, not even a neighbour's, can set it.
    fn cookie_name(&self) -> &'static str {
        if self.is_secure() {
            "__Host-venom"
        } else {
            "venom"
        }
    }

    /// The cookie that comes with a request.
    fn cookie_of(&self, headers: &HeaderMap) -> Option<Secret> {
        cookie_in(headers, self.cookie_name()).map(Secret::shown)
    }

    /// The owner whose cookie comes with a request, if it is one.
    pub(super) async fn signed_in(&self, headers: &HeaderMap) -> Result<Option<Signed>, Failure> {
        let Some(cookie) = self.cookie_of(headers) else {
            return Ok(None);
        };
        let hash: SecretHash = cookie.hash();
        let session = self
            .file
            .ask(move |access| access.session(&hash, SystemClock.now()));
        Ok(session.await?.map(|session| Signed { cookie, session }))
    }

    /// A form that the owner sent from a page of this site, with what it holds.
    ///
    /// # Errors
    /// [`Failure`] if it may have been sent by anybody else.
    pub(super) async fn signed_form(
        &self,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<(Signed, Parameters), Failure> {
        self.own_form(headers)?;
        let form = Parameters::parse(body).map_err(Failure::invalid)?;
        let signed = self.signed_in(headers).await?;
        let signed = signed.ok_or_else(|| {
            Failure::new(
                ErrorKind::Forbidden,
                "you are not signed in: open the page again",
            )
        })?;
        if equal(&signed.csrf(), form.get("csrf").unwrap_or_default()) {
            Ok((signed, form))
        } else {
            Err(Failure::new(
                ErrorKind::Forbidden,
                "this form is not of your session: open the page again",
            ))
        }
    }

    /// Holds against a form that it comes from another site.
    pub(super) fn own_form(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.is_own_page(headers) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::Forbidden,
            format!(
                "this form comes from elsewhere: expected a page of {}",
                self.origin
            ),
        ))
    }

    /// The cookie of a session that begins.
    pub(super) async fn begin_session(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        how: &'static str,
    ) -> Result<HeaderValue, Failure> {
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        let agent = agent.unwrap_or_default().to_owned();
        let source = address_text(Some(address));
        let former = self.cookie_of(headers).map(|cookie| cookie.hash());
        let begun = self.file.ask(move |access| {
            access.begin_session(SystemClock.now(), former.as_ref(), &source, &agent, how)
        });
        let secret = begun.await?;
        self.attempts.succeeded(address);
        let cookie = self.cookie(secret.reveal(), SESSION_SECONDS);
        HeaderValue::from_str(&cookie).map_err(|error| Failure::internal(error.to_string()))
    }

    /// A cookie: for this site's requests only, also those that follow a link from elsewhere, which is how
    /// clients send the owner here.
    pub(super) fn cookie(&self, value: &str, seconds: i64) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let name = self.cookie_name();
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
    }

    /// Whether `shown` is the passphrase. It goes on to its end, and counts, also when nobody waits for the
    /// answer any more: to hang up is no way to try more often.
    ///
    /// # Errors
    /// [`Failure`]; one that comes too early, or while too many wait, says when to try again.
    async fn try_passphrase(&self, shown: String, address: IpAddr) -> Result<bool, Tried> {
        let too_early = |wait: Duration| {
            let seconds = wait.as_secs() + 1;
            let message = format!("too many failed attempts: try again in {seconds} s");
            Tried {
                failure: Failure::new(ErrorKind::Overloaded, message),
                wait: Some(wait),
            }
        };
        let busy = Duration::from_secs(1);
        let place = self.hashing.clone().try_acquire_owned();
        let place = place.map_err(|_| too_early(busy))?;
        self.attempts
            .begin(address, Instant::now())
            .map_err(too_early)?;
        let file = self.file.clone();
        let tried = tokio::spawn(async move {
            let _place = place;
            let is_it = file.ask(move |access| access.is_passphrase(&shown)).await?;
            if !is_it {
                tell_failure(&file, address, "passphrase").await?;
            }
            Ok::<_, Failure>(is_it)
        });
        let tried = tried
            .await
            .unwrap_or_else(|error| Err(Failure::internal(error.to_string())));
        tried.map_err(|failure| Tried {
            failure,
            wait: None,
        })
    }
}

/// Why an attempt was not made.
struct Tried {
    failure: Failure,
    wait: Option<Duration>,
}

/// Tells the audit log of a failed attempt.
pub(super) async fn tell_failure(
    file: &AccessFile,
    address: IpAddr,
    how: &'static str,
) -> Result<(), Failure> {
    let source = address_text(Some(address));
    let told = file.ask(move |access| {
        access.audit(
            SystemClock.now(),
            Event::SignInFailed,
            "unknown",
            &source,
            how,
        )
    });
    told.await
}

/// `GET /sign-in`.
pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
    ask(&site, ACCOUNT, StatusCode::OK, "").await
}

/// The sign-in page, which leads on to `next`.
pub(super) async fn ask(site: &Site, next: &str, status: StatusCode, wrong: &str) -> Response {
    let asked = site
        .file
        .ask(|access| Ok((access.has_passphrase()?, access.passkeys()?.is_empty())));
    let (has_passphrase, no_passkeys) = match asked.await {
        Ok(found) => found,
        Err(failure) => return pages::failed(&failure),
    };
    if !has_passphrase {
        let none = "no passphrase is set yet: run venom auth init beside the server";
        return pages::failed(&Failure::not_ready(none));
    }
    let next = pages::escaped(next);
    let passkey = if no_passkeys || !site.passkeys.are_possible() {
        String::new()
    } else {
        format!(
            "<form hidden data-passkey=get data-next=\"{next}\" action=/sign-in/passkey>\
             <p class=wrong role=alert></p><p><button>Sign in with a passkey</button></p></form>\
             <script src=/sign-in.js defer></script>"
        )
    };
    let body = format!(
        "<h1>Sign in to your memory</h1>{passkey}
<form method=post action=/sign-in><input type=hidden name=next value=\"{next}\">
<p class=wrong role=alert>{wrong}</p>
<input type=text name=username value=owner autocomplete=username hidden>
<label>Passphrase <input type=password name=passphrase autocomplete=current-password required autofocus></label>
<p><button>Sign in</button></p></form>
<p class=note>The server showed the passphrase at its first start. Lost? Run <code>venom auth init</code> \
where the server runs.</p>",
        wrong = pages::escaped(wrong),
    );
    Page::new("Sign in", &body)
        .with_status(status)
        .into_response()
}

/// `POST /sign-in`.
pub(super) async fn passphrase(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Response {
    let address = address(&extensions);
    let form = site
        .own_form(&headers)
        .and_then(|()| Parameters::parse(&body).map_err(Failure::invalid));
    let form = match form {
        Ok(form) => form,
        Err(failure) => return pages::failed(&failure),
    };
    let next = next(form.get("next"));
    let shown = form.get("passphrase").unwrap_or_default().to_owned();
    match site.try_passphrase(shown, address).await {
        Ok(true) => match site.begin_session(&headers, address, "passphrase").await {
            Ok(cookie) => {
                let mut response = pages::see_other(next);
                response.headers_mut().insert(header::SET_COOKIE, cookie);
                response
            }
            Err(failure) => pages::failed(&failure),
        },
        Ok(false) => {
            let wrong = "That is not the passphrase.";
            ask(&site, next, StatusCode::FORBIDDEN, wrong).await
        }
        Err(Tried {
            failure,
            wait: Some(wait),
        }) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut response = ask(&site, next, status, &failure.message).await;
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
        Err(Tried {
            failure,
            wait: None,
        }) => pages::failed(&failure),
    }
}

/// The value of a cookie, of several of its name the first.
fn cookie_in<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(value)
}

/// Where to go on to: a page of this site that sign-ins come from, and nowhere else.
pub(super) fn next(asked: Option<&str>) -> &str {
    let is_plain = |next: &&str| next.bytes().all(|byte| byte.is_ascii_graphic());
    asked
        .filter(is_plain)
        .filter(|next| next.starts_with("/authorize?"))
        .unwrap_or(ACCOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn a_sign_in_leads_to_pages_of_this_site_only() {
        assert_eq!(
            next(Some("/authorize?client_id=x")),
            "/authorize?client_id=x"
        );
        for elsewhere in [
            "",
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/authorize",
            "/authorize@evil.example",
            "javascript:alert(1)",
            "/authorize?x\r\nSet-Cookie: y",
        ] {
            assert_eq!(next(Some(elsewhere)), ACCOUNT, "{elsewhere:?}");
        }
        assert_eq!(next(None), ACCOUNT);
    }

    #[test]
    fn fuzz_cookies_and_next() {
        let words = [
            "__Host-venom",
            "venom",
            "=",
            ";",
            "; ",
            "\n",
            "/authorize?",
            "//",
            "\\",
            "https://",
            "\r",
            "%0d",
        ];
        Target::new("cookies-and-next").words(&words).run(|bytes| {
            let mut headers = HeaderMap::new();
            for line in bytes.split(|byte| *byte == b'\n') {
                headers.append(header::COOKIE, HeaderValue::from_bytes(line).ok()?);
            }
            let value = cookie_in(&headers, "__Host-venom");
            assert!(value.is_none_or(|value| !value.contains([';', '\n'])));
            let text = String::from_utf8_lossy(bytes);
            let to = next(Some(&text));
            assert!(to == ACCOUNT || to.starts_with("/authorize?"));
            assert!(HeaderValue::from_str(to).is_ok());
            Some((value.map(|value| value.len().min(4)), to == ACCOUNT))
        });
    }
}
