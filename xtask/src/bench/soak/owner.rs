//! The owner with a browser, and an app that is let in.

use super::super::Outcome;
use serde_json::{Value, json};
use venom_testing::http::query;
use venom_testing::{Connection, Response};

/// A PKCE pair: the example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://app.example/callback";

/// The owner.
#[derive(Clone)]
pub(super) struct Owner {
    port: u16,
    origin: String,
    passphrase: String,
}

/// What an app was given.
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Owner {
    pub(super) fn new(port: u16, passphrase: &str) -> Self {
        Self {
            port,
            origin: format!("http://localhost:{port}"),
            passphrase: passphrase.to_owned(),
        }
    }

    /// Sends a form as a page of this site, from an address.
    fn post(
        &self,
        path: &str,
        address: &str,
        cookie: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Outcome<Response> {
        let mut headers = vec![
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", self.origin.as_str()),
            ("x-forwarded-for", address),
        ];
        headers.extend(cookie.map(|cookie| ("cookie", cookie)));
        let body = query(fields);
        Ok(Connection::open(self.port)?.request("POST", path, &headers, body.as_bytes())?)
    }

    /// Tries a passphrase.
    pub(super) fn try_passphrase(&self, passphrase: &str, address: &str) -> Outcome<Response> {
        self.post("/sign-in", address, None, &[("passphrase", passphrase)])
    }

    /// The cookie of a browser in which the owner has signed in.
    pub(super) fn sign_in(&self, address: &str) -> Outcome<String> {
        let answer = self.try_passphrase(&self.passphrase, address)?;
        let cookie = answer.header("set-cookie").filter(|_| answer.status == 303);
        let cookie = cookie.ok_or_else(|| format!("{}: {}", answer.status, answer.text()))?;
        Ok(cookie.split(';').next().unwrap_or_default().to_owned())
    }

    /// Registers an app.
    pub(super) fn register(&self, address: &str) -> Outcome<Response> {
        let body = json!({"client_name": "An app", "redirect_uris": [REDIRECT]}).to_string();
        let headers = [("x-forwarded-for", address)];
        Ok(Connection::open(self.port)?.request("POST", "/register", &headers, body.as_bytes())?)
    }

    /// Lets a registered app in.
    pub(super) fn let_in(&self, client_id: &str, address: &str) -> Outcome<Tokens> {
        let cookie = self.sign_in(address)?;
        let resource = format!("{}/mcp", self.origin);
        let question = query(&[
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("scope", "read write"),
            ("state", "a state"),
            ("resource", &resource),
        ]);
        let headers = [("cookie", cookie.as_str()), ("x-forwarded-for", address)];
        let path = format!("/authorize?{question}");
        let page = Connection::open(self.port)?.request("GET", &path, &headers, b"")?;
        let page = page.text();
        let csrf = page
            .split_once("name=csrf value=\"")
            .and_then(|(_, rest)| rest.split('"').next())
            .ok_or_else(|| format!("no form: {page}"))?;
        let fields = [
            ("request", question.as_str()),
            ("csrf", csrf),
            ("space", "all"),
            ("rights", "write"),
            ("decision", "allow"),
        ];
        let answer = self.post("/authorize", address, Some(&cookie), &fields)?;
        let location = answer.header("location").unwrap_or_default().to_owned();
        let code = location
            .split(['?', '&'])
            .find_map(|pair| pair.strip_prefix("code="))
            .ok_or_else(|| format!("no code: {} {}", answer.status, answer.text()))?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", REDIRECT),
        ];
        tokens(&self.post("/token", address, None, &fields)?)
    }

    /// New tokens for old ones.
    pub(super) fn refresh(&self, client_id: &str, token: &str, address: &str) -> Outcome<Tokens> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("refresh_token", token),
        ];
        tokens(&self.post("/token", address, None, &fields)?)
    }

    /// Gives a token back.
    pub(super) fn give_back(&self, client_id: &str, token: &str, address: &str) -> Outcome<()> {
        let fields = [("token", token), ("client_id", client_id)];
        let answer = self.post("/revoke", address, None, &fields)?;
        if answer.status == 200 {
            return Ok(());
        }
        Err(format!("not given back: {}", answer.status).into())
    }
}

fn tokens(answer: &Response) -> Outcome<Tokens> {
    let wrong = || format!("no tokens: {} {}", answer.status, answer.text());
    let json: Value = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
    let text = |name: &str| json[name].as_str().map(str::to_owned).ok_or_else(wrong);
    Ok(Tokens {
        access: text("access_token")?,
        refresh: text("refresh_token")?,
    })
}
