//! Passkeys (WebAuthn, level 3): the owner signs in with the lock of a device instead of the passphrase.
//!
//! Challenges are kept in memory until they are answered, at most [`PASSKEYS_PENDING_MAX`] of each kind and once
//! each. The cryptography and what has to be checked is the library's (`webauthn_rp`).

use super::parameters::{NOT_STORED, Parameters, Text};
use super::sign_in::{Signed, tell_failure};
use super::{Site, address};
use crate::addresses::PublicUrl;
use crate::asked::SystemClock;
use crate::caller::address_text;
use crate::failure::Failure;
use crate::http::limits::{PASSKEYS_PENDING_ADDRESS_MAX, PASSKEYS_PENDING_MAX};
use crate::http::peer::one_network;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use venom_access::{Access, Passkey};
use venom_core::ErrorKind;
use venom_core::ports::Clock as _;
use webauthn_rp::bin::{Decode as _, Encode as _};
use webauthn_rp::request::auth::AuthenticationVerificationOptions;
use webauthn_rp::request::register::{
    CredProtect, PublicKeyCredentialUserEntity, RegistrationVerificationOptions, UserHandle,
    Username,
};
use webauthn_rp::request::{AsciiDomain, PublicKeyCredentialDescriptor, RpId, TimedCeremony};
use webauthn_rp::response::auth::DiscoverableAuthentication;
use webauthn_rp::response::auth::ser_relaxed::DiscoverableAuthenticationRelaxed;
use webauthn_rp::response::register::ser_relaxed::RegistrationRelaxed;
use webauthn_rp::response::register::{CompressedPubKey, DynamicState, Registration, StaticState};
use webauthn_rp::response::{AuthTransports, CredentialId};
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthenticationServerState,
    DiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions,
    RegistrationServerState,
};

/// The owner, as authenticators know it. There is one owner, so it is the same everywhere; who has two
/// servers tells them apart by their names.
const OWNER_HANDLE: [u8; 16] = *b"venom owner 0001";
/// Bytes of what changes with use: user verification, backup, counter, attachment.
const DYNAMIC_BYTES: usize = 7;

type Key = CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>;
type Handle = UserHandle<16>;

/// Challenges that wait for their answer, with the network that they were given to.
type Pending<S> = Mutex<HashMap<u128, (IpAddr, S)>>;

/// Challenges that wait, and the name they are for.
pub(super) struct Passkeys {
    /// `None` where the public URL is an address: passkeys belong to names.
    rp_id: Option<RpId>,
    origin: String,
    adding: Pending<RegistrationServerState<16>>,
    signing_in: Pending<DiscoverableAuthenticationServerState>,
}

/// A credential as it is kept in one column: transports, what changes, the public key.
struct Kept {
    transports: u8,
    dynamic: [u8; DYNAMIC_BYTES],
    public: Vec<u8>,
}

impl Kept {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.transports];
        bytes.extend_from_slice(&self.dynamic);
        bytes.extend_from_slice(&self.public);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (transports, rest) = bytes.split_first()?;
        let (dynamic, public) = rest.split_first_chunk()?;
        Some(Self {
            transports: *transports,
            dynamic: *dynamic,
            public: public.to_vec(),
        })
    }
}

fn broken(what: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("a passkey that is kept cannot be read: {what}"))
}

/// An answer that is none to a challenge of ours.
fn unasked(why: impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("the passkey was not taken: {why}"))
}

fn wrong(why: impl std::fmt::Display) -> Failure {
    Failure::new(
        ErrorKind::Forbidden,
        format!("the passkey was not taken: {why}"),
    )
}

impl Passkeys {
    pub(super) fn new(public: &PublicUrl) -> Self {
        let is_name = public.host().parse::<std::net::IpAddr>().is_err();
        let domain = AsciiDomain::try_from(public.host().to_owned())
            .ok()
            .filter(|_| is_name);
        Self {
            rp_id: domain.map(RpId::Domain),
            origin: public.origin().to_owned(),
            adding: Mutex::default(),
            signing_in: Mutex::default(),
        }
    }

    /// Whether this site can have any.
    pub(super) const fn are_possible(&self) -> bool {
        self.rp_id.is_some()
    }

    fn rp_id(&self) -> Result<&RpId, Failure> {
        let none = "passkeys need a public URL with a name, not an address";
        self.rp_id.as_ref().ok_or_else(|| Failure::invalid(none))
    }

    /// The options for a new passkey, as the browser takes them.
    fn begin_adding(&self, known: &[Passkey], address: IpAddr) -> Result<String, Failure> {
        let known = known.iter().map(|passkey| {
            let state = Kept::decode(&passkey.state).ok_or_else(|| broken("it is too short"))?;
            Ok(PublicKeyCredentialDescriptor {
                id: CredentialId::<Vec<u8>>::decode(passkey.credential.clone()).map_err(broken)?,
                transports: AuthTransports::decode(state.transports).map_err(broken)?,
            })
        });
        let known = known.collect::<Result<Vec<_>, Failure>>()?;
        let handle = Handle::decode(OWNER_HANDLE).map_err(broken)?;
        let user = PublicKeyCredentialUserEntity {
            name: Username::try_from("owner").map_err(broken)?,
            id: &handle,
            display_name: None,
        };
        let rp_id = self.rp_id()?;
        let mut options = PublicKeyCredentialCreationOptions::passkey(rp_id, user, known);
        // Asked for, it keeps out authenticators that do not know it; the user is verified each time anyway.
        options.extensions.cred_protect = CredProtect::None;
        let (state, for_client) = options.start_ceremony().map_err(broken)?;
        let json = serde_json::to_string(&for_client).map_err(broken)?;
        keep(&self.adding, state.sent_challenge().0, address, state);
        Ok(json)
    }

    /// Id and state of the passkey that a browser made.
    fn finish_adding(&self, credential: &str) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let response: Registration = serde_json::from_str::<RegistrationRelaxed>(credential)
            .map_err(unasked)?
            .0;
        let challenge = response.challenge_relaxed().map_err(unasked)?;
        let state = take(&self.adding, challenge.0)?;
        let origins = [self.origin.as_str()];
        let options = RegistrationVerificationOptions::<&str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..Default::default()
        };
        let made = state
            .verify(self.rp_id()?, &response, &options)
            .map_err(wrong)?;
        let kept = Kept {
            transports: made.transports().encode().map_err(broken)?,
            dynamic: made.dynamic_state().encode().map_err(broken)?,
            public: made.static_state().encode().map_err(broken)?,
        };
        Ok((made.id().as_ref().to_vec(), kept.encode()))
    }

    /// The options for a sign-in, as the browser takes them.
    fn begin_sign_in(&self, address: IpAddr) -> Result<String, Failure> {
        let options = DiscoverableCredentialRequestOptions::passkey(self.rp_id()?);
        let (state, for_client) = options.start_ceremony().map_err(broken)?;
        let json = serde_json::to_string(&for_client).map_err(broken)?;
        keep(&self.signing_in, state.sent_challenge().0, address, state);
        Ok(json)
    }

    /// Which of the passkeys a browser signed in with, and its state now.
    fn finish_sign_in(
        &self,
        credential: &str,
        known: &[Passkey],
    ) -> Result<(i64, Vec<u8>), Failure> {
        let response: DiscoverableAuthentication<16> =
            serde_json::from_str::<DiscoverableAuthenticationRelaxed<16>>(credential)
                .map_err(unasked)?
                .0;
        let challenge = response.challenge_relaxed().map_err(unasked)?;
        let state = take(&self.signing_in, challenge.0)?;
        let id = response.raw_id();
        let passkey = known
            .iter()
            .find(|passkey| passkey.credential == id.as_ref());
        let passkey = passkey.ok_or_else(|| wrong("it is not known here"))?;
        let mut kept = Kept::decode(&passkey.state).ok_or_else(|| broken("it is too short"))?;
        let handle = Handle::decode(OWNER_HANDLE).map_err(broken)?;
        let mut credential = AuthenticatedCredential::new(
            id,
            &handle,
            StaticState::<Key>::decode(kept.public.as_slice()).map_err(broken)?,
            DynamicState::decode(kept.dynamic).map_err(broken)?,
        )
        .map_err(broken)?;
        let origins = [self.origin.as_str()];
        let options = AuthenticationVerificationOptions::<&str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..Default::default()
        };
        state
            .verify(self.rp_id()?, &response, &mut credential, &options)
            .map_err(wrong)?;
        kept.dynamic = credential.dynamic_state().encode().map_err(broken)?;
        Ok((passkey.id, kept.encode()))
    }
}

/// Keeps a challenge until it is answered. Where there are too many, of one network or of all, the oldest
/// makes room: nobody keeps others from signing in by asking without end.
fn keep<S: TimedCeremony>(pending: &Pending<S>, challenge: u128, address: IpAddr, state: S) {
    let network = one_network(address);
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    pending.retain(|_, (_, state)| state.expiration() > now);
    let of_network = pending.values().filter(|(of, _)| *of == network).count();
    let one_of_many = of_network >= PASSKEYS_PENDING_ADDRESS_MAX;
    if one_of_many || pending.len() >= PASSKEYS_PENDING_MAX {
        let oldest = pending
            .iter()
            .filter(|(_, (of, _))| !one_of_many || *of == network)
            .min_by_key(|(_, (_, state))| state.expiration())
            .map(|(challenge, _)| *challenge);
        oldest.map(|challenge| pending.remove(&challenge));
    }
    pending.insert(challenge, (network, state));
}

/// The challenge that an answer is for; it is good once.
fn take<S>(pending: &Pending<S>, challenge: u128) -> Result<S, Failure> {
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    let state = pending.remove(&challenge).map(|(_, state)| state);
    state.ok_or_else(|| unasked("its challenge is not known, or was answered before"))
}

fn json(text: String) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        NOT_STORED,
        text,
    )
        .into_response()
}

/// `POST /account/passkey/begin`.
pub(super) async fn begin_adding(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Response {
    let begun = async {
        let _: (Signed, Parameters) = site.signed_form(&headers, &body).await?;
        let known = site.file.ask(Access::passkeys).await?;
        site.passkeys.begin_adding(&known, address(&extensions))
    };
    begun.await.map_or_else(IntoResponse::into_response, json)
}

/// `POST /account/passkey/finish`.
pub(super) async fn finish_adding(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Response {
    let finished = async {
        let (_, form) = site.signed_form(&headers, &body).await?;
        let credential = form.get("credential").unwrap_or_default();
        let (id, state) = site.passkeys.finish_adding(credential)?;
        let name = form.get("name").unwrap_or("passkey").to_owned();
        let source = address_text(Some(address(&extensions)));
        let added = site
            .file
            .ask(move |access| access.add_passkey(&name, &id, &state, SystemClock.now(), &source));
        added.await
    };
    finished
        .await
        .map_or_else(IntoResponse::into_response, |()| {
            StatusCode::NO_CONTENT.into_response()
        })
}

/// `POST /sign-in/passkey/begin`.
pub(super) async fn begin_sign_in(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    let begun = site.own_form(&headers);
    let begun = begun.and_then(|()| site.passkeys.begin_sign_in(address(&extensions)));
    begun.map_or_else(IntoResponse::into_response, json)
}

/// `POST /sign-in/passkey/finish`.
pub(super) async fn finish_sign_in(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    extensions: Extensions,
    Text(body): Text,
) -> Response {
    let address = address(&extensions);
    let finished = async {
        site.own_form(&headers)?;
        let form = Parameters::parse(&body).map_err(Failure::invalid)?;
        let known = site.file.ask(Access::passkeys).await?;
        let signed = site
            .passkeys
            .finish_sign_in(form.get("credential").unwrap_or_default(), &known);
        let (id, state) = match signed {
            Ok(signed) => signed,
            Err(failure) => {
                // Nobody guesses a signature, so nobody has to wait; only answers to challenges of ours are told.
                if !matches!(failure.kind, ErrorKind::InvalidInput) {
                    tell_failure(&site.file, address, "passkey").await?;
                }
                return Err(failure);
            }
        };
        site.file
            .ask(move |access| access.use_passkey(id, &state, SystemClock.now()))
            .await?;
        site.begin_session(&headers, address, "passkey").await
    };
    match finished.await {
        Ok(cookie) => (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response(),
        Err(failure) => failure.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn fuzz_passkey_answers() {
        let passkeys = Passkeys::new(&PublicUrl::parse("https://venom.example").unwrap());
        let words = [
            "\"id\":",
            "\"rawId\":",
            "\"type\":\"public-key\"",
            "\"response\":",
            "\"clientDataJSON\":",
            "\"attestationObject\":",
            "\"authenticatorData\":",
            "\"signature\":",
            "\"userHandle\":",
            "\"clientExtensionResults\":{}",
            "{",
            "}",
            "\"",
            ",",
            "AAAA",
        ];
        Target::new("passkey-answers").words(&words).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let added = passkeys.finish_adding(&text);
            let signed = passkeys.finish_sign_in(&text, &[]);
            assert!(added.is_err() && signed.is_err(), "nobody was asked");
            (
                added.err().map(|it| it.message),
                signed.err().map(|it| it.message),
            )
        });
    }
}
