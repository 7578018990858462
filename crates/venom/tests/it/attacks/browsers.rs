//! What other sites make the owner's browser do.

use crate::guarded::{Guarded, REDIRECT, csrf_of};
use serde_json::json;

/// The fields of a consent.
fn consent<'a>(question: &'a str, csrf: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("request", question),
        ("csrf", csrf),
        ("space", "all"),
        ("rights", "write"),
        ("decision", "allow"),
    ]
}

#[test]
fn a_consent_that_another_site_sends() {
    let guarded = Guarded::start();
    let (client, cookie) = (guarded.register(REDIRECT), guarded.sign_in());
    let question = guarded.question(&client, &[]);
    let csrf = csrf_of(&guarded.consent_page(&cookie, &question));
    let fields = consent(&question, &csrf);
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost:1",
        "http://localhost.evil.example",
    ] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        let answer = guarded.post("/authorize", &headers, &fields);
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("location"), None);
    }
    assert_eq!(
        guarded
            .post("/authorize", &[("cookie", &cookie)], &fields)
            .status,
        303
    );
}

#[test]
fn a_consent_without_its_csrf_token() {
    let guarded = Guarded::start();
    let (client, cookie) = (guarded.register(REDIRECT), guarded.sign_in());
    let question = guarded.question(&client, &[]);
    let other = csrf_of(&guarded.consent_page(&guarded.sign_in(), &question));
    for csrf in ["", "guess", &other] {
        let answer = guarded.post(
            "/authorize",
            &[("cookie", &cookie)],
            &consent(&question, csrf),
        );
        assert_eq!(answer.status, 403);
    }
}

#[test]
fn a_consent_without_a_session() {
    let guarded = Guarded::start();
    let (client, cookie) = (guarded.register(REDIRECT), guarded.sign_in());
    let question = guarded.question(&client, &[]);
    let csrf = csrf_of(&guarded.consent_page(&cookie, &question));
    for cookie in ["", "venom=", "venom=guess", "other=x"] {
        let answer = guarded.post(
            "/authorize",
            &[("cookie", cookie)],
            &consent(&question, &csrf),
        );
        assert_eq!(answer.status, 403, "{cookie}");
    }
}

#[test]
fn a_consent_by_a_link() {
    let guarded = Guarded::start();
    let (client, cookie) = (guarded.register(REDIRECT), guarded.sign_in());
    let question = guarded.question(&client, &[("prompt", "none"), ("decision", "allow")]);
    let answer = guarded.consent_page(&cookie, &question);
    assert_eq!(
        answer.status, 200,
        "the owner is asked, whatever the link says"
    );
    assert!(answer.text().contains("Let it in"));
}

#[test]
fn a_consent_to_more_than_was_shown() {
    let guarded = Guarded::start();
    let (client, cookie) = (guarded.register(REDIRECT), guarded.sign_in());
    let question = guarded.question(&client, &[]);
    for change in [
        ("rights", "admin"),
        ("rights", ""),
        ("space", ""),
        ("space", "in "),
    ] {
        let answer = guarded.consent(&cookie, &question, &[change]);
        assert_eq!(answer.status, 400, "{change:?}");
    }
    // What comes back is held against the rules again, not trusted because it was shown.
    let elsewhere = guarded.question(&client, &[("redirect_uri", "https://evil.example/")]);
    let answer = guarded.consent(&cookie, &question, &[("request", &elsewhere)]);
    assert_eq!((answer.status, answer.header("location")), (400, None));
}

#[test]
fn a_page_in_a_frame() {
    let guarded = Guarded::start();
    let (client, cookie) = (guarded.register(REDIRECT), guarded.sign_in());
    for page in [
        guarded.get("/sign-in", &[]),
        guarded.get("/account", &[("cookie", &cookie)]),
        guarded.consent_page(&cookie, &guarded.question(&client, &[])),
    ] {
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("script-src 'unsafe-inline'"), "{policy}");
    }
}

#[test]
fn a_cookie_that_scripts_can_read() {
    let guarded = Guarded::start();
    let answer = guarded.post("/sign-in", &[], &[("passphrase", &guarded.passphrase)]);
    let cookie = answer.header("set-cookie").unwrap();
    for word in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let secure = Guarded::start_with(&[]);
    let mut secure = secure;
    secure.restart(Some("https://venom.example"));
    let answer = secure.post("/sign-in", &[], &[("passphrase", &secure.passphrase)]);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-venom=") && cookie.contains("; Secure"),
        "{cookie}"
    );
}

#[test]
fn a_sign_in_that_leads_elsewhere() {
    let guarded = Guarded::start();
    for next in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/authorize\r\nx: y",
    ] {
        let fields = [("passphrase", guarded.passphrase.as_str()), ("next", next)];
        let answer = guarded.post("/sign-in", &[], &fields);
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/account")),
            "{next:?}"
        );
    }
}

#[test]
fn a_sign_in_that_another_site_sends() {
    let guarded = Guarded::start();
    let fields = [("passphrase", guarded.passphrase.as_str())];
    let answer = guarded.post("/sign-in", &[("origin", "https://evil.example")], &fields);
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
}

#[test]
fn a_session_fixed_beforehand() {
    let guarded = Guarded::start();
    let fixed = "venom=0000000000000000000000000000000000000000000000000000000000000000";
    let fields = [("passphrase", guarded.passphrase.as_str())];
    let answer = guarded.post("/sign-in", &[("cookie", fixed)], &fields);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(!cookie.starts_with(fixed), "a sign-in makes a new one");
    assert!(
        guarded
            .get("/account", &[("cookie", fixed)])
            .text()
            .contains("Passphrase")
    );
}

#[test]
fn a_session_that_was_signed_out() {
    let guarded = Guarded::start();
    let cookie = guarded.sign_in();
    let account = guarded.get("/account", &[("cookie", &cookie)]);
    assert!(account.text().contains("Who may use your memory"));
    let csrf = csrf_of(&account);
    let fields = [("csrf", csrf.as_str()), ("action", "sign-out")];
    assert_eq!(
        guarded
            .post("/account", &[("cookie", &cookie)], &fields)
            .status,
        303
    );
    assert!(
        guarded
            .get("/account", &[("cookie", &cookie)])
            .text()
            .contains("Passphrase")
    );
}

#[test]
fn guessing_the_passphrase() {
    let guarded = Guarded::start();
    let mut statuses = Vec::new();
    for guess in 0..6 {
        let answer = guarded.post(
            "/sign-in",
            &[],
            &[("passphrase", &format!("guess {guess}"))],
        );
        if answer.status == 429 {
            assert!(
                answer
                    .header("retry-after")
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
                    >= 1
            );
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [403, 403, 403, 403, 429, 429]);
    let right = guarded.post("/sign-in", &[], &[("passphrase", &guarded.passphrase)]);
    assert_eq!(right.status, 429, "even the right one waits");
    let failed = guarded
        .audit()
        .iter()
        .filter(|entry| entry["event"] == "sign-in failed")
        .count();
    assert_eq!(failed, 4);
}

#[test]
fn guessing_many_at_a_time() {
    let guarded = Guarded::start();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let guess = |n| {
            let guarded = &guarded;
            scope.spawn(move || {
                let fields = [("passphrase", format!("guess {n}"))];
                let fields = [(fields[0].0, fields[0].1.as_str())];
                guarded.post("/sign-in", &[], &fields).status
            })
        };
        let guesses: Vec<_> = (0..40).map(guess).collect();
        guesses.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let checked = answers.iter().filter(|status| **status == 403).count();
    assert!((1..=4).contains(&checked), "{answers:?}");
    // Who hangs up has tried all the same: what is left of the attempts is none.
    let answer = guarded.post("/sign-in", &[], &[("passphrase", &guarded.passphrase)]);
    assert_eq!(answer.status, 429);
}

#[test]
fn passkeys_asked_for_without_end() {
    let guarded = Guarded::start();
    for _ in 0..100 {
        assert_eq!(guarded.post("/sign-in/passkey/begin", &[], &[]).status, 200);
    }
}

#[test]
fn a_passkey_that_is_none() {
    let guarded = Guarded::start();
    let begun = guarded.post("/sign-in/passkey/begin", &[], &[]);
    assert_eq!(begun.status, 200, "{}", begun.text());
    let options = begun.json();
    assert_eq!(options["userVerification"], "required");
    let forged = json!({
        "id": "AAAAAAAAAAAAAAAAAAAAAA", "rawId": "AAAAAAAAAAAAAAAAAAAAAA", "type": "public-key",
        "response": {"clientDataJSON": "e30", "authenticatorData": "AAAA", "signature": "AAAA", "userHandle": "dmVub20gb3duZXIgMDAwMQ"},
        "clientExtensionResults": {},
    });
    for credential in ["", "{}", "[[[", &forged.to_string()] {
        let answer = guarded.post(
            "/sign-in/passkey/finish",
            &[],
            &[("credential", credential)],
        );
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(answer.header("set-cookie"), None);
    }
    let adding = guarded.post("/account/passkey/begin", &[], &[]);
    assert_eq!(adding.status, 403, "only the owner adds one");
    let elsewhere = guarded.post(
        "/sign-in/passkey/begin",
        &[("origin", "https://evil.example")],
        &[],
    );
    assert_eq!(elsewhere.status, 403);
}

#[test]
fn a_name_rebound_to_this_machine() {
    let guarded = Guarded::start();
    for host in ["evil.example", "localhost.evil.example", "venom.example"] {
        for path in ["/mcp", "/sse", "/", "/account", "/authorize", "/token"] {
            assert_eq!(
                guarded.get(path, &[("host", host)]).status,
                403,
                "{host} {path}"
            );
        }
    }
}

#[test]
fn a_page_of_another_origin() {
    let guarded = Guarded::start();
    let bearer = format!("Bearer {}", guarded.owner_token);
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
    ] {
        let headers = [("authorization", bearer.as_str()), ("origin", origin)];
        let answer = guarded.rpc(&headers, "tools/list", &json!({}));
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (403, None),
            "{origin}"
        );
    }
    // What needs no cookie may be called from anywhere, and lets no cookie through.
    let metadata = guarded.get(
        "/.well-known/oauth-authorization-server",
        &[("origin", "https://app.example")],
    );
    assert_eq!(
        metadata.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(metadata.header("access-control-allow-credentials"), None);
    for path in ["/account", "/authorize", "/sign-in"] {
        let answer = guarded.get(path, &[("origin", "https://app.example")]);
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (403, None),
            "{path}"
        );
    }
}
