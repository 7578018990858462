//! `/account`: what the owner has granted, and how it is taken back.

use super::pages::{self, Page, escaped};
use super::parameters::Text;
use super::sign_in::{self, Signed};
use super::{Site, address};
use crate::asked::SystemClock;
use crate::caller::address_text;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use venom_access::{Access, AccessError, Grant, Passkey, Session, Token};
use venom_core::Timestamp;
use venom_core::ports::Clock as _;

/// `GET /account`.
pub(super) async fn show(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let signed = match site.signed_in(&headers).await {
        Ok(Some(signed)) => signed,
        Ok(None) => return sign_in::ask(&site, "/account", StatusCode::OK, "").await,
        Err(failure) => return pages::failed(&failure),
    };
    let now = SystemClock.now();
    let asked = site.file.ask(move |access| {
        Ok((
            access.grants(now)?,
            access.tokens()?,
            access.sessions(now)?,
            access.passkeys()?,
        ))
    });
    match asked.await {
        Ok((grants, tokens, sessions, passkeys)) => {
            let lists = [
                apps(&signed, &grants),
                given_tokens(&signed, &tokens),
                browsers(&signed, &sessions),
                own_passkeys(&site, &signed, &passkeys),
            ];
            let body = format!(
                "<h1>Who may use your memory</h1>{}{}",
                lists.concat(),
                form(&signed, "sign-out", "", "Sign out")
            );
            Page::new("Your account", &body).into_response()
        }
        Err(failure) => pages::failed(&failure),
    }
}

fn apps(signed: &Signed, grants: &[Grant]) -> String {
    let row = |grant: &Grant| {
        row(
            &format!(
                "<b>{}</b> at {}",
                escaped(&grant.client_name),
                escaped(&grant.redirect_host)
            ),
            &format!(
                "{}, {}",
                if grant.rights.write {
                    "reads and writes"
                } else {
                    "reads"
                },
                escaped(&grant.rights.spaces_named())
            ),
            &used(grant.last_used, grant.last_used_from.as_deref()),
            &form(signed, "revoke-grant", &grant.id.to_string(), "Shut out"),
        )
    };
    list(
        "Apps",
        "No app has been let in yet.",
        &grants.iter().map(row).collect::<Vec<_>>(),
    )
}

fn given_tokens(signed: &Signed, tokens: &[Token]) -> String {
    let row = |token: &Token| {
        let expires = token
            .expires
            .map_or_else(String::new, |at| format!(", until {}", day(at)));
        row(
            &format!("<b>{}</b>", escaped(&token.name)),
            &format!(
                "{}, {}{expires}",
                if token.rights.write {
                    "reads and writes"
                } else {
                    "reads"
                },
                escaped(&token.rights.spaces_named())
            ),
            &used(token.last_used, token.last_used_from.as_deref()),
            &form(signed, "revoke-token", &token.name, "Revoke"),
        )
    };
    list(
        "Tokens",
        "There are none. venom token create makes one.",
        &tokens.iter().map(row).collect::<Vec<_>>(),
    )
}

fn browsers(signed: &Signed, sessions: &[Session]) -> String {
    let row = |session: &Session| {
        let this = if session.id == signed.session.id {
            " (this one)"
        } else {
            ""
        };
        row(
            &format!("<b>{}</b>{this}", escaped(&session.address)),
            &escaped(&session.agent),
            &format!("since {}", day(session.created)),
            &form(signed, "revoke-session", &session.id.to_string(), "End"),
        )
    };
    list(
        "Browsers",
        "",
        &sessions.iter().map(row).collect::<Vec<_>>(),
    )
}

fn own_passkeys(site: &Site, signed: &Signed, passkeys: &[Passkey]) -> String {
    if !site.passkeys.are_possible() {
        return String::new();
    }
    let row = |passkey: &Passkey| {
        row(
            &format!("<b>{}</b>", escaped(&passkey.name)),
            &format!("since {}", day(passkey.created)),
            &used(passkey.last_used, None),
            &form(signed, "remove-passkey", &passkey.id.to_string(), "Remove"),
        )
    };
    let add = format!(
        "<form hidden data-passkey=add data-next=/account action=/account/passkey>\
         <input type=hidden name=csrf value=\"{}\"><p class=wrong role=alert></p>\
         <label>Name of a new one <input type=text name=name maxlength=60 required value=\"my device\"></label>\
         <p><button>Add a passkey</button></p></form><script src=/sign-in.js defer></script>",
        signed.csrf()
    );
    list(
        "Passkeys",
        "There are none yet.",
        &passkeys.iter().map(row).collect::<Vec<_>>(),
    ) + &add
}

fn list(title: &str, none: &str, rows: &[String]) -> String {
    if rows.is_empty() {
        return format!("<h2>{title}</h2><p class=note>{none}</p>");
    }
    format!("<h2>{title}</h2><table>{}</table>", rows.concat())
}

fn row(what: &str, how: &str, used: &str, button: &str) -> String {
    format!("<tr><td>{what}<br><span class=note>{how}<br>{used}</span><td class=button>{button}")
}

fn used(at: Option<Timestamp>, from: Option<&str>) -> String {
    let from = from.map_or_else(String::new, |from| format!(" from {}", escaped(from)));
    at.map_or_else(
        || "never used".to_owned(),
        |at| format!("last used {}{from}", day(at)),
    )
}

fn day(at: Timestamp) -> String {
    at.day().unwrap_or_default()
}

/// A form of one button.
fn form(signed: &Signed, action: &str, which: &str, label: &str) -> String {
    format!(
        "<form method=post action=/account><input type=hidden name=csrf value=\"{}\">\
         <input type=hidden name=which value=\"{}\"><button class=quiet name=action value={action}>{label}</button></form>",
        signed.csrf(),
        escaped(which)
    )
}

/// `POST /account`.
pub(super) async fn change(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Response {
    let (signed, form) = match site.signed_form(&headers, &body).await {
        Ok(signed_form) => signed_form,
        Err(failure) => return pages::failed(&failure),
    };
    let action = form.get("action").unwrap_or_default().to_owned();
    let which = match action.as_str() {
        "sign-out" => signed.session.id.to_string(),
        _ => form.get("which").unwrap_or_default().to_owned(),
    };
    let source = address_text(Some(address(&extensions)));
    let signs_out = action == "sign-out";
    let done = site
        .file
        .ask(move |access| take_back(access, &action, &which, &source));
    match done.await {
        Ok(()) => {
            let mut response = pages::see_other("/account");
            if signs_out && let Ok(cookie) = HeaderValue::from_str(&site.cookie("", 0)) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(failure) => pages::failed(&failure),
    }
}

fn take_back(access: &Access, action: &str, which: &str, source: &str) -> Result<(), AccessError> {
    let now = SystemClock.now();
    let number = || {
        which
            .parse::<i64>()
            .map_err(|_| AccessError::Invalid("expected a number".to_owned()))
    };
    match action {
        "revoke-grant" => access.revoke_grant(number()?, now, source),
        "revoke-token" => access.revoke_token(which, now, source),
        "revoke-session" | "sign-out" => access.revoke_session(number()?, now, source),
        "remove-passkey" => access.remove_passkey(number()?, now, source),
        _ => Err(AccessError::Invalid(
            "action is missing: expected what to take back".to_owned(),
        )),
    }
}
