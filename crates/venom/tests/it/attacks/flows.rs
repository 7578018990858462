//! The flow of OAuth, bent.

use crate::guarded::{CHALLENGE, Guarded, REDIRECT, VERIFIER, oauth_error, parameter, tokens};
use serde_json::json;
use venom_testing::http::query;

/// The error that a well-known client is sent back with. One that anybody may have made up gets the same on a
/// page, from which nobody is led away unasked.
#[track_caller]
fn sent_back(guarded: &Guarded, changes: &[(&str, &str)]) -> String {
    let cookie = guarded.sign_in();
    let claude = "https://claude.ai/oauth/mcp-oauth-client-metadata";
    let callback = "https://claude.ai/api/mcp/auth_callback";
    let mut known = vec![("redirect_uri", callback)];
    known.extend_from_slice(changes);
    let answer = guarded.consent_page(&cookie, &guarded.question(claude, &known));
    assert_eq!(answer.status, 303, "{}", answer.text());
    let address = answer.header("location").unwrap();
    assert!(address.starts_with(&format!("{callback}?")), "{address}");
    let issuer = parameter(address, "iss");
    assert_eq!(issuer.as_deref(), Some(guarded.origin.as_str()));
    assert_eq!(parameter(address, "code"), None);
    let error = parameter(address, "error").unwrap();

    let client = guarded.register(REDIRECT);
    let answer = guarded.consent_page(&cookie, &guarded.question(&client, changes));
    assert_eq!((answer.status, answer.header("location")), (400, None));
    assert!(
        answer.text().contains(&format!("error={error}")),
        "{}",
        answer.text()
    );
    error
}

/// Asserts that a question ends on a page for the owner, and leads nowhere.
#[track_caller]
fn stays_here(guarded: &Guarded, question: &str) {
    let cookie = guarded.sign_in();
    let answer = guarded.consent_page(&cookie, question);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.header("location"), None);
    assert!(!answer.text().contains("name=csrf"));
}

#[test]
fn a_plain_challenge() {
    let guarded = Guarded::start();
    assert_eq!(
        sent_back(&guarded, &[("code_challenge_method", "plain")]),
        "invalid_request"
    );
}

#[test]
fn a_challenge_without_its_method() {
    let guarded = Guarded::start();
    assert_eq!(
        sent_back(&guarded, &[("code_challenge_method", "")]),
        "invalid_request"
    );
}

#[test]
fn no_challenge() {
    let guarded = Guarded::start();
    assert_eq!(
        sent_back(&guarded, &[("code_challenge", "")]),
        "invalid_request"
    );
    assert_eq!(
        sent_back(&guarded, &[("code_challenge", "short")]),
        "invalid_request"
    );
}

#[test]
fn a_code_without_its_verifier() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &[("code_verifier", "")])),
        "invalid_request"
    );
    let other = "x".repeat(43);
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &[("code_verifier", &other)])),
        "invalid_grant"
    );
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &[])),
        "invalid_grant",
        "one guess is all"
    );
}

#[test]
fn the_challenge_as_the_verifier() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    let answer = guarded.exchange(&client, &code, &[("code_verifier", CHALLENGE)]);
    assert_eq!(oauth_error(&answer), "invalid_grant");
}

#[test]
fn a_code_that_comes_again() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    let first = tokens(&guarded.exchange(&client, &code, &[]));
    assert!(guarded.opens(&first.access));
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &[])),
        "invalid_grant"
    );
    assert!(!guarded.opens(&first.access), "what it had brought is void");
}

#[test]
fn a_code_of_another_client() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let other = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    assert_eq!(
        oauth_error(&guarded.exchange(&other, &code, &[])),
        "invalid_grant"
    );
}

#[test]
fn a_code_for_another_address() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    let elsewhere = [("redirect_uri", "https://evil.example/callback")];
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &elsewhere)),
        "invalid_grant"
    );
}

#[test]
fn a_code_that_is_too_old() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    super::tokens::change(
        &guarded,
        "UPDATE codes SET expires_us = expires_us - 61000000",
    );
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &[])),
        "invalid_grant"
    );
}

#[test]
fn a_guessed_code() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    for code in ["0", &"0".repeat(64), "' OR 1=1 --"] {
        assert_eq!(
            oauth_error(&guarded.exchange(&client, code, &[])),
            "invalid_grant"
        );
    }
}

#[test]
fn an_open_redirect() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    for uri in [
        "https://evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://app.example/callback/../../evil",
        "https://app.example/callback?next=https://evil.example",
        "https://app.example@evil.example/callback",
        "https://app.example\\@evil.example/callback",
        "http://app.example/callback",
        "https://app.example:444/callback",
        "//app.example/callback",
        "javascript:alert(1)//app.example/callback",
        "data:text/html,x",
    ] {
        stays_here(
            &guarded,
            &guarded.question(&client, &[("redirect_uri", uri)]),
        );
    }
    stays_here(
        &guarded,
        &guarded.question(&client, &[("redirect_uri", "")]),
    );
}

#[test]
fn a_link_that_sends_elsewhere() {
    let guarded = Guarded::start();
    // Neither signed in nor registered, and nobody asked: the server's name lends itself to nothing.
    for (client, uri) in [
        (
            "https://evil.example/client.json",
            "https://evil.example/phish",
        ),
        ("https://evil.example/client.json", "http://127.0.0.1:1/"),
    ] {
        let question = guarded.question(client, &[("redirect_uri", uri), ("response_type", "x")]);
        let answer = guarded.get(&format!("/authorize?{question}"), &[]);
        assert_eq!(
            (answer.status, answer.header("location")),
            (400, None),
            "{uri}"
        );
    }
}

#[test]
fn a_host_that_leads_on() {
    let guarded = Guarded::start();
    let uri = "https://app.example/url?q=https://evil.example/";
    let question = guarded.question("https://app.example/client.json", &[("redirect_uri", uri)]);
    stays_here(&guarded, &question);
    // Of an app that is not known the whole address is shown.
    let client = guarded.register("https://app.example/users/evil/callback");
    let question = guarded.question(
        &client,
        &[("redirect_uri", "https://app.example/users/evil/callback")],
    );
    let page = guarded.consent_page(&guarded.sign_in(), &question);
    assert!(
        page.text()
            .contains("https://app.example/users/evil/callback"),
        "{}",
        page.text()
    );
}

#[test]
fn an_unknown_client() {
    let guarded = Guarded::start();
    for client in [
        "client_0",
        "",
        "https://",
        "https://localhost/x",
        "http://app.example/client.json",
    ] {
        stays_here(&guarded, &guarded.question(client, &[]));
    }
}

#[test]
fn a_document_of_another_host() {
    let guarded = Guarded::start();
    // Its own host may be answered; another's may not, well known or not.
    stays_here(
        &guarded,
        &guarded.question("https://evil.example/client.json", &[]),
    );
    let claude = "https://claude.ai/oauth/mcp-oauth-client-metadata";
    stays_here(
        &guarded,
        &guarded.question(
            claude,
            &[("redirect_uri", "https://evil.example/api/mcp/auth_callback")],
        ),
    );
    stays_here(
        &guarded,
        &guarded.question(claude, &[("redirect_uri", "https://claude.ai/elsewhere")]),
    );
    let cookie = guarded.sign_in();
    let own = guarded.question("https://app.example/client.json", &[]);
    let page = guarded.consent_page(&cookie, &own);
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("Venom does not know it"),
        "{}",
        page.text()
    );
}

#[test]
fn an_address_that_runs_a_script() {
    let guarded = Guarded::start();
    for uri in [
        "javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "http://evil.example/",
        "ms-msdt:/id",
        "intent://x",
        "search-ms:query=x",
        "mailto:x@evil.example",
        "wss://evil.example/",
    ] {
        let body = json!({"redirect_uris": [uri]}).to_string();
        let answer = guarded.send("POST", "/register", &[], body.as_bytes());
        assert_eq!(oauth_error(&answer), "invalid_redirect_uri", "{uri}");
    }
}

#[test]
fn another_resource() {
    let guarded = Guarded::start();
    assert_eq!(
        sent_back(&guarded, &[("resource", "https://evil.example/mcp")]),
        "invalid_target"
    );
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    let answer = guarded.exchange(&client, &code, &[("resource", "https://evil.example/mcp")]);
    assert_eq!(oauth_error(&answer), "invalid_target");
}

#[test]
fn a_token_without_a_code() {
    let guarded = Guarded::start();
    for kind in [
        "implicit",
        "password",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "",
    ] {
        let answer = guarded.post("/token", &[], &[("grant_type", kind), ("client_id", "x")]);
        assert_eq!(oauth_error(&answer), "unsupported_grant_type", "{kind}");
    }
    for kind in ["token", "id_token", "code token", ""] {
        let error = sent_back(&guarded, &[("response_type", kind)]);
        assert!(
            matches!(
                error.as_str(),
                "unsupported_response_type" | "invalid_request"
            ),
            "{kind}: {error}"
        );
    }
}

#[test]
fn a_mixed_up_issuer() {
    let guarded = Guarded::start();
    let metadata = guarded
        .get("/.well-known/oauth-authorization-server", &[])
        .json();
    assert_eq!(metadata["issuer"], guarded.origin.as_str());
    assert_eq!(
        metadata["authorization_response_iss_parameter_supported"],
        true
    );
    // Asked by another name it is no other issuer, so that nobody is led to believe there are two.
    let by_address = guarded
        .get(
            "/.well-known/oauth-authorization-server",
            &[("host", "127.0.0.1")],
        )
        .json();
    assert_eq!(by_address, metadata);
    let client = guarded.register(REDIRECT);
    let cookie = guarded.sign_in();
    for decision in ["allow", "deny"] {
        let question = guarded.question(&client, &[]);
        let answer = guarded.consent(&cookie, &question, &[("decision", decision)]);
        let address = answer.header("location").unwrap();
        assert_eq!(
            parameter(address, "iss").as_deref(),
            Some(guarded.origin.as_str()),
            "{address}"
        );
        assert_eq!(parameter(address, "state").as_deref(), Some("a state"));
    }
}

#[test]
fn a_parameter_that_comes_twice() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let question = guarded.question(&client, &[]);
    stays_here(
        &guarded,
        &format!("{question}&redirect_uri=https%3A%2F%2Fevil.example%2F"),
    );
    stays_here(&guarded, &format!("{question}&client_id=other"));
    let code = guarded.code(&client, &[]);
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("code", &code),
        ("code", "other"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(
        oauth_error(&guarded.post("/token", &[], &fields)),
        "invalid_request"
    );
}

#[test]
fn a_request_object() {
    let guarded = Guarded::start();
    assert_eq!(
        sent_back(&guarded, &[("request", "eyJhbGciOiJub25lIn0.e30.")]),
        "request_not_supported"
    );
    assert_eq!(
        sent_back(&guarded, &[("request_uri", "https://evil.example/x")]),
        "request_not_supported"
    );
}

#[test]
fn a_state_that_breaks_out() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let cookie = guarded.sign_in();
    let state = "x&code=evil#\r\nSet-Cookie: a=b\"><script>";
    let question = guarded.question(&client, &[("state", state)]);
    let page = guarded.consent_page(&cookie, &question);
    assert!(!page.text().contains("<script>"), "{}", page.text());
    let answer = guarded.consent(&cookie, &question, &[]);
    let address = answer.header("location").unwrap();
    assert_eq!(address.matches("code=").count(), 1, "{address}");
    assert!(
        answer.header("set-cookie").is_none() && !address.contains('#'),
        "{address}"
    );
}

#[test]
fn a_flood_of_registrations() {
    let guarded = Guarded::start();
    let body = json!({"redirect_uris": [REDIRECT]}).to_string();
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let answer = guarded.send("POST", "/register", &[], body.as_bytes());
        if answer.status == 429 {
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
        }
        statuses.push(answer.status);
    }
    assert!(
        statuses.contains(&429) && statuses[0] == 201,
        "{statuses:?}"
    );
}

#[test]
fn a_client_that_calls_itself_the_owner() {
    let guarded = Guarded::start();
    let body = json!({"redirect_uris": [REDIRECT], "client_name": "owner"}).to_string();
    guarded.send("POST", "/register", &[], body.as_bytes());
    let log = guarded.audit();
    let told = log
        .iter()
        .find(|entry| entry["event"] == "client registered")
        .unwrap();
    assert_eq!(told["who"], "unknown");
}

#[test]
fn a_code_on_its_way_when_all_is_revoked() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    guarded.venom(["grant", "revoke-all"]).run().success();
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &[])),
        "invalid_grant"
    );
    let code = guarded.code(&client, &[]);
    guarded.venom(["auth", "init"]).run().success();
    assert_eq!(
        oauth_error(&guarded.exchange(&client, &code, &[])),
        "invalid_grant"
    );
}

#[test]
fn a_huge_registration() {
    let guarded = Guarded::start();
    let name = "x".repeat(100_000);
    let body = json!({"redirect_uris": [REDIRECT], "client_name": name}).to_string();
    assert_eq!(
        guarded
            .send("POST", "/register", &[], body.as_bytes())
            .status,
        413
    );
    let many: Vec<_> = (0..100)
        .map(|n| format!("https://app.example/{n}"))
        .collect();
    let body = json!({"redirect_uris": many}).to_string();
    assert_eq!(
        oauth_error(&guarded.send("POST", "/register", &[], body.as_bytes())),
        "invalid_client_metadata"
    );
    assert_eq!(
        oauth_error(&guarded.send("POST", "/register", &[], b"[[[[")),
        "invalid_client_metadata"
    );
}

#[test]
fn a_name_that_deceives() {
    let guarded = Guarded::start();
    let name = "Claude\u{202e}<img src=x onerror=alert(1)>\n\u{200b}";
    let body = json!({"redirect_uris": [REDIRECT], "client_name": name}).to_string();
    let client = guarded
        .send("POST", "/register", &[], body.as_bytes())
        .json();
    let client = client["client_id"].as_str().unwrap();
    let cookie = guarded.sign_in();
    let page = guarded
        .consent_page(&cookie, &guarded.question(client, &[]))
        .text();
    assert!(
        !page.contains("<img src=x") && !page.contains('\u{202e}') && !page.contains('\u{200b}'),
        "{page}"
    );
    assert!(
        page.contains("app.example") && page.contains("Venom does not know it"),
        "{page}"
    );
}

#[test]
fn tokens_that_a_cache_could_keep() {
    let guarded = Guarded::start();
    let client = guarded.register(REDIRECT);
    let code = guarded.code(&client, &[]);
    let answer = guarded.exchange(&client, &code, &[]);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let cookie = guarded.sign_in();
    let page = guarded.consent_page(&cookie, &guarded.question(&client, &[]));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[test]
fn parameters_as_json() {
    let guarded = Guarded::start();
    let body =
        json!({"grant_type": "authorization_code", "code": "x", "client_id": "y"}).to_string();
    let answer = guarded.send(
        "POST",
        "/token",
        &[("content-type", "application/json")],
        body.as_bytes(),
    );
    assert_eq!(oauth_error(&answer), "invalid_request");
    let get = format!("/token?{}", query(&[("grant_type", "authorization_code")]));
    assert_eq!(guarded.get(&get, &[]).status, 405);
}
