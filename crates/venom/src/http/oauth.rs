//! Sign-in for clients that come from outside: OAuth 2.1 (draft-ietf-oauth-v2-1) as MCP asks for it, with
//! Venom as the authorization server and the resource at once.
//!
//! The flow, in the order in which a client meets it: `metadata` tells where everything is, `clients`
//! knows or registers the client, `authorize` shows the owner who asks for what, after `sign_in` made
//! sure that it is the owner, and `token` changes the code into tokens and back. `account` is where the
//! owner looks over what was granted. All of it is there only where `VENOM_PUBLIC_URL` is set, since a
//! token has to say where it is good.

mod account;
mod attempts;
mod authorize;
mod clients;
mod metadata;
mod pages;
mod parameters;
mod passkeys;
mod sign_in;
mod token;

use super::limits::{PASSPHRASES_WAITING_MAX, REGISTRATIONS_PER_MINUTE, SIGN_IN_BYTES_MAX};
use super::peer::Peer;
use super::rate::RateLimiter;
use crate::access_file::AccessFile;
use crate::addresses::PublicUrl;
use crate::config::Config;
use crate::hub::Hub;
use attempts::Attempts;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Extensions, HeaderMap, header};
use axum::routing::{get, post};
use passkeys::Passkeys;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::Semaphore;
use venom_core::SpaceName;

/// The place where the owner signs in.
pub(crate) struct Site {
    file: AccessFile,
    hub: Hub,
    /// Space that is offered first.
    space: SpaceName,
    origin: String,
    resource: String,
    attempts: Attempts,
    registrations: RateLimiter,
    hashing: Arc<Semaphore>,
    passkeys: Passkeys,
}

impl Site {
    /// The site of a configuration; `None` without a public URL, or where nobody needs a token.
    pub(crate) fn new(config: &Config, hub: &Hub, file: &AccessFile) -> Option<Arc<Self>> {
        let public: &PublicUrl = config
            .public_url
            .as_ref()
            .filter(|_| config.asks_for_token())?;
        Some(Arc::new(Self {
            file: file.clone(),
            hub: hub.clone(),
            space: config.space.clone(),
            origin: public.origin().to_owned(),
            resource: format!("{}/mcp", public.origin()),
            attempts: Attempts::default(),
            registrations: RateLimiter::new(REGISTRATIONS_PER_MINUTE),
            hashing: Arc::new(Semaphore::new(PASSPHRASES_WAITING_MAX)),
            passkeys: Passkeys::new(public),
        }))
    }

    /// What tokens are good for (RFC 8707): the address of the MCP endpoint.
    pub(crate) fn resource(&self) -> &str {
        &self.resource
    }

    /// Whether a path belongs to the site, which asks in its own way who calls.
    pub(crate) fn is_own(path: &str) -> bool {
        const OWN: [&str; 11] = [
            "/authorize",
            "/token",
            "/register",
            "/revoke",
            "/account",
            "/account/passkey/begin",
            "/account/passkey/finish",
            "/sign-in",
            "/sign-in/passkey/begin",
            "/sign-in/passkey/finish",
            "/sign-in.js",
        ];
        OWN.contains(&path) || metadata::is_path(path)
    }

    /// Whether any page may call a path: it looks at no cookie and at nothing else that a browser adds.
    pub(crate) fn is_for_any_page(path: &str) -> bool {
        matches!(path, "/token" | "/register" | "/revoke") || metadata::is_path(path)
    }

    /// What a challenge tells a client: where to begin and what to ask for. Both scopes, whichever it has.
    /// `path` is the one that was called.
    pub(crate) fn challenge_parameters(&self, path: &str) -> String {
        let is_older = path.starts_with("/sse") || path.starts_with("/messages");
        let metadata = if is_older {
            metadata::SSE_RESOURCE_PATH
        } else {
            metadata::RESOURCE_PATH
        };
        let origin = &self.origin;
        format!(", resource_metadata=\"{origin}{metadata}\", scope=\"read write\"")
    }

    /// Whether cookies may go over TLS only.
    fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// Whether a form was sent by a page of this site. Every browser tells with a form where it comes from.
    fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let origin = headers
            .get(header::ORIGIN)
            .and_then(|origin| origin.to_str().ok());
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(&self.origin))
    }
}

/// The routes.
pub(super) fn router(site: Arc<Site>) -> Router {
    let mut router = Router::new()
        .route("/authorize", get(authorize::ask).post(authorize::decide))
        .route("/token", post(token::token))
        .route("/register", post(clients::register))
        .route("/revoke", post(token::revoke))
        .route("/account", get(account::show).post(account::change))
        .route("/account/passkey/begin", post(passkeys::begin_adding))
        .route("/account/passkey/finish", post(passkeys::finish_adding))
        .route("/sign-in", get(sign_in::page).post(sign_in::passphrase))
        .route("/sign-in/passkey/begin", post(passkeys::begin_sign_in))
        .route("/sign-in/passkey/finish", post(passkeys::finish_sign_in))
        .route("/sign-in.js", get(pages::script));
    for path in metadata::RESOURCE_PATHS {
        router = router.route(path, get(metadata::resource));
    }
    for path in metadata::SERVER_PATHS {
        router = router.route(path, get(metadata::server));
    }
    router
        .layer(DefaultBodyLimit::max(SIGN_IN_BYTES_MAX))
        .with_state(site)
}

/// Who is at the other end.
fn address(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address)
}
