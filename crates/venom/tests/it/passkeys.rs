//! Passkeys, with an authenticator of the tests' own: a key that signs what a browser would have it sign
//! (WebAuthn level 3, sections 6.1, 6.5 and 7).

use crate::guarded::{Guarded, csrf_of};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use venom_testing::Response;

/// The user is present and verified; for a new credential its data follow.
const PRESENT_AND_VERIFIED: u8 = 0b0000_0101;
const ATTESTED: u8 = 0b0100_0000;

/// One credential.
struct Authenticator {
    key: SigningKey,
    id: Vec<u8>,
    user: String,
    counter: u32,
}

impl Authenticator {
    fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_slice(&[seed; 32]).unwrap(),
            id: vec![seed; 32],
            user: String::new(),
            counter: 0,
        }
    }

    /// What a browser sends back for `navigator.credentials.create`.
    fn create(&mut self, options: &Value, origin: &str) -> String {
        options["user"]["id"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.user);
        let mut data = self.data(options["rp"]["id"].as_str().unwrap(), ATTESTED);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        data.extend_from_slice(&self.cose_key());
        // A CBOR map of three: fmt, attStmt, authData.
        let mut attestation = vec![0xa3];
        attestation.extend(text("fmt"));
        attestation.extend(text("none"));
        attestation.extend(text("attStmt"));
        attestation.push(0xa0);
        attestation.extend(text("authData"));
        attestation.extend([0x58, u8::try_from(data.len()).unwrap()]);
        attestation.extend(&data);
        let client = client_data("webauthn.create", options, origin);
        self.credential(&json!({
            "clientDataJSON": base64url(client.as_bytes()),
            "attestationObject": base64url(&attestation),
            "transports": ["internal"],
        }))
    }

    /// What a browser sends back for `navigator.credentials.get`.
    fn get(&mut self, options: &Value, origin: &str) -> String {
        let data = self.data(options["rpId"].as_str().unwrap(), 0);
        let client = client_data("webauthn.get", options, origin);
        let mut signed = data.clone();
        signed.extend(Sha256::digest(client.as_bytes()));
        let signature: Signature = self.key.sign(&signed);
        self.credential(&json!({
            "clientDataJSON": base64url(client.as_bytes()),
            "authenticatorData": base64url(&data),
            "signature": base64url(signature.to_der().as_bytes()),
            "userHandle": self.user,
        }))
    }

    /// Authenticator data without a credential: whose it is, flags, how often it was used.
    fn data(&mut self, rp_id: &str, flags: u8) -> Vec<u8> {
        self.counter += 1;
        let mut data = Sha256::digest(rp_id.as_bytes()).to_vec();
        data.push(PRESENT_AND_VERIFIED | flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    /// The public key as COSE has it: EC2, ES256, P-256, x, y.
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_encoded_point(false);
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32];
        key.extend_from_slice(point.x().unwrap());
        key.extend_from_slice(&[0x22, 0x58, 32]);
        key.extend_from_slice(point.y().unwrap());
        key
    }

    fn credential(&self, response: &Value) -> String {
        let id = base64url(&self.id);
        let credential = json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform",
            "response": response, "clientExtensionResults": {},
        });
        credential.to_string()
    }
}

/// A short CBOR text.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x60 + u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn client_data(kind: &str, options: &Value, origin: &str) -> String {
    json!({"type": kind, "challenge": options["challenge"], "origin": origin, "crossOrigin": false})
        .to_string()
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(
                LETTERS[(bits >> (18 - 6 * place)) as usize & 63],
            ));
        }
    }
    text
}

/// A server whose owner has added a passkey.
fn with_passkey() -> (Guarded, Authenticator) {
    let guarded = Guarded::start();
    let mut authenticator = Authenticator::new(7);
    let cookie = guarded.sign_in();
    let added = add(&guarded, &cookie, &mut authenticator);
    assert_eq!(added.status, 204, "{}", added.text());
    (guarded, authenticator)
}

fn add(guarded: &Guarded, cookie: &str, authenticator: &mut Authenticator) -> Response {
    let headers = [("cookie", cookie)];
    let csrf = csrf_of(&guarded.get("/account", &headers));
    let options = guarded.post("/account/passkey/begin", &headers, &[("csrf", &csrf)]);
    assert_eq!(options.status, 200, "{}", options.text());
    let credential = authenticator.create(&options.json(), &guarded.origin);
    let fields = [
        ("csrf", csrf.as_str()),
        ("name", "my phone"),
        ("credential", &credential),
    ];
    guarded.post("/account/passkey/finish", &headers, &fields)
}

fn begin(guarded: &Guarded) -> Value {
    guarded.post("/sign-in/passkey/begin", &[], &[]).json()
}

fn finish(guarded: &Guarded, credential: &str) -> Response {
    guarded.post(
        "/sign-in/passkey/finish",
        &[],
        &[("credential", credential)],
    )
}

#[test]
fn a_passkey_signs_the_owner_in() {
    let (mut guarded, mut authenticator) = with_passkey();
    assert!(
        guarded
            .get("/sign-in", &[])
            .text()
            .contains("Sign in with a passkey")
    );
    let signed_in = |guarded: &Guarded, authenticator: &mut Authenticator| {
        let credential = authenticator.get(&begin(guarded), &guarded.origin);
        let answer = finish(guarded, &credential);
        assert_eq!(answer.status, 204, "{}", answer.text());
        let cookie = answer
            .header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let account = guarded.get("/account", &[("cookie", &cookie)]).text();
        assert!(
            account.contains("Who may use your memory") && account.contains("my phone"),
            "{account}"
        );
    };
    signed_in(&guarded, &mut authenticator);
    guarded.restart(None);
    signed_in(&guarded, &mut authenticator);
    let log = guarded.audit();
    let told = |event: &str, subject: &str| {
        log.iter()
            .filter(|entry| entry["event"] == event && entry["subject"] == subject)
            .count()
    };
    assert_eq!(
        (
            told("passkey added", "passkey my phone"),
            told("signed in", "passkey")
        ),
        (1, 2)
    );
    assert!(
        guarded
            .venom(["grant", "list"])
            .run()
            .success()
            .contains("passkey  my phone, used 20")
    );
}

#[test]
fn what_a_passkey_signed_is_good_once_and_here() {
    let (guarded, mut authenticator) = with_passkey();
    let credential = authenticator.get(&begin(&guarded), &guarded.origin);
    assert_eq!(finish(&guarded, &credential).status, 204);
    let again = finish(&guarded, &credential);
    assert_eq!(again.status, 400);
    assert!(again.text().contains("answered before"), "{}", again.text());
    let phished = authenticator.get(&begin(&guarded), "https://evil.example");
    assert_eq!(
        finish(&guarded, &phished).status,
        403,
        "signed for a page of another site"
    );
}

#[test]
fn another_key_and_a_copied_one_are_refused() {
    let (guarded, mut authenticator) = with_passkey();
    let options = begin(&guarded);
    let mut other = Authenticator::new(9);
    other.user.clone_from(&authenticator.user);
    assert!(
        finish(&guarded, &other.get(&options, &guarded.origin))
            .text()
            .contains("not known here")
    );
    other.id.clone_from(&authenticator.id);
    assert_eq!(
        finish(&guarded, &other.get(&begin(&guarded), &guarded.origin)).status,
        403,
        "a forged signature"
    );
    assert_eq!(
        finish(
            &guarded,
            &authenticator.get(&begin(&guarded), &guarded.origin)
        )
        .status,
        204
    );
    authenticator.counter = 0;
    let copied = authenticator.get(&begin(&guarded), &guarded.origin);
    assert_eq!(
        finish(&guarded, &copied).status,
        403,
        "its counter went back"
    );
}

#[test]
fn a_passkey_is_added_once_and_can_be_removed() {
    let (guarded, mut authenticator) = with_passkey();
    let cookie = guarded.sign_in();
    assert_eq!(
        add(&guarded, &cookie, &mut authenticator).status,
        400,
        "known already"
    );
    let headers = [("cookie", cookie.as_str())];
    let csrf = csrf_of(&guarded.get("/account", &headers));
    let fields = [
        ("csrf", csrf.as_str()),
        ("action", "remove-passkey"),
        ("which", "1"),
    ];
    assert_eq!(guarded.post("/account", &headers, &fields).status, 303);
    let credential = authenticator.get(&begin(&guarded), &guarded.origin);
    assert_eq!(finish(&guarded, &credential).status, 403);
}
