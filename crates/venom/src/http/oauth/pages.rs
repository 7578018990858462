//! The pages that the owner sees: plain HTML, nothing from elsewhere, no script but our own file.

use super::authorize::PRIVATE;
use crate::failure::Failure;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

const STYLE: &str = "body{font:17px/1.6 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem;\
color:#1c1c22;background:#fff}h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem;margin-top:2rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#666}dd{margin:0;overflow-wrap:anywhere}\
label{display:block;margin:.4rem 0}fieldset{border:1px solid #ccc;border-radius:8px;margin:1rem 0}\
input[type=password],input[type=text],select{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid #999;\
border-radius:8px;background:inherit;color:inherit}button{font:inherit;padding:.5rem 1rem;border:0;border-radius:8px;\
background:#2d6a4f;color:#fff;cursor:pointer}button.quiet{background:#e4e4ea;color:#1c1c22}table{width:100%;border-collapse:collapse}\
td{padding:.4rem .3rem;border-top:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}td form{margin:0}.button{width:1%}button{white-space:nowrap}.note{color:#666;font-size:.9rem}\
.wrong{color:#b3261e}@media(prefers-color-scheme:dark){body{color:#e8e8ee;background:#101014}.note,dt{color:#999}\
button.quiet{background:#2a2a33;color:#e8e8ee}td{border-color:#333}.wrong{color:#ff8a80}}";

/// The script of the passkeys.
const SCRIPT: &str = include_str!("sign-in.js");

const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");

/// A page.
pub(super) struct Page {
    html: String,
    status: StatusCode,
    form_action: &'static str,
}

impl Page {
    /// A page with this body, which is HTML: whatever came from outside is escaped in it.
    pub(super) fn new(title: &str, body: &str) -> Self {
        let html = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
             content=\"width=device-width,initial-scale=1\"><title>{} · Venom</title>\
             <link rel=icon href=/icon.svg type=image/svg+xml><style>{STYLE}</style>{body}</html>",
            escaped(title)
        );
        Self {
            html,
            status: StatusCode::OK,
            form_action: " form-action 'self';",
        }
    }

    /// The same with another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Lets a form of this page lead on to other sites. Browsers hold every redirect behind a form against
    /// the policy, also those that the app itself makes on its way home, which nobody knows beforehand.
    pub(super) fn with_forms_that_lead_on(self) -> Self {
        Self {
            form_action: "",
            ..self
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let policy = format!(
            "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'self'; connect-src \
             'self';{} frame-ancestors 'none'; base-uri 'none'",
            self.form_action
        );
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
        let mut response = (self.status, [PRIVATE], Html(self.html)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        // A form still says where it comes from; other sites learn nothing.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }
}

/// A page that says what went wrong.
pub(super) fn failed(failure: &Failure) -> Response {
    let body = format!(
        "<h1>That did not work</h1><p>{}.</p><p><a href=/account>Your account page</a></p>",
        escaped(&failure.message)
    );
    let status = StatusCode::from_u16(failure.http_status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Page::new("Not done", &body)
        .with_status(status)
        .into_response()
}

/// Sends the browser on. An address that cannot stand in a header leads nowhere.
pub(super) fn see_other(address: &str) -> Response {
    match HeaderValue::from_str(address) {
        Ok(address) => {
            let mut response = (StatusCode::SEE_OTHER, [PRIVATE]).into_response();
            let headers = response.headers_mut();
            headers.insert(header::LOCATION, address);
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        }
        Err(_) => failed(&Failure::invalid("the address to go on to is no address")),
    }
}

/// `GET /sign-in.js`.
pub(super) async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, SCRIPT).into_response()
}

/// Text as it may stand in HTML, also between quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(
            escaped("<a href='x' b=\"y\">&amp;"),
            "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;amp;"
        );
    }

    #[test]
    fn pages_let_nobody_frame_them_and_forms_stay_here() {
        let policy = |page: Page| {
            let page = page.into_response();
            let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .to_owned();
            assert!(
                policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'")
            );
            policy
        };
        assert!(policy(Page::new("x", "")).contains("form-action 'self';"));
        let leads_on = policy(Page::new("x", "").with_forms_that_lead_on());
        assert!(!leads_on.contains("form-action"), "{leads_on}");
    }
}
