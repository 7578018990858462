use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use venom_fuzz::Target;

/// A text with a secret, put together here so that no part of this file looks like one: the kind, what stands before
/// the secret, the secret in pieces, what stands behind it.
type Sample = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
);

const SECRETS: &[Sample] = &[
    (
        "card number",
        "cards: ",
        &["41111111", "11111111"],
        ", and none",
    ),
    (
        "AWS access key",
        "key ",
        &["AKIA", "IOSFODNN7", "EXAMPLE"],
        " of staging",
    ),
    ("AWS access key", "", &["ASIA", "Y34FZKBOK", "MUTVV7A"], ""),
    (
        "GitHub token",
        "gh: ",
        &["ghp", "_16C7e42F292c6912", "E7710c838347Ae178B4a"],
        ".",
    ),
    (
        "GitHub token",
        "(",
        &["gho", "_16C7e42F292c6912", "E7710c838347Ae178B4a"],
        ")",
    ),
    (
        "GitHub token",
        "",
        &["ghs", "_16C7e42F292c6912", "E7710c838347Ae178B4a"],
        ", for CI",
    ),
    (
        "GitHub token",
        "use ",
        &[
            "github",
            "_pat_11ABCDEFG0a1b2c3d4e5f6",
            "_a1B2c3D4e5F6g7H8i9J0k1L2m3N4",
        ],
        "",
    ),
    (
        "GitLab token",
        "",
        &["glpat", "-Zx9yWv8u", "Ts7rQp6o", "Nm5l"],
        "",
    ),
    (
        "Slack token",
        "bot ",
        &["xoxb", "-2048-4096-", "AbCdEfGhIjKl0123"],
        "",
    ),
    (
        "Slack token",
        "",
        &["xoxp", "-2048-4096-8192-", "a0b1c2d3e4f5"],
        "",
    ),
    (
        "Stripe key",
        "live: ",
        &["sk_", "live_4eC39HqLyjWDar", "jtT1zdp7dc"],
        "\n",
    ),
    (
        "Stripe key",
        "",
        &["rk_", "live_51H8xLyjWDarj", "tT1zdp7dc"],
        "",
    ),
    (
        "OpenAI key",
        "",
        &["sk-", "proj-Ab12Cd34_Ef56", "Gh78-Ij90Kl"],
        "",
    ),
    (
        "OpenAI key",
        "the key is ",
        &["sk-", "abcd1234EFGH5678ijkl", "9012MNOP3456qrst7890UVWX"],
        "",
    ),
    (
        "Anthropic key",
        "",
        &["sk-", "ant-api03-Ab12Cd34", "Ef56Gh78Ij90"],
        " works",
    ),
    (
        "Google key",
        "maps ",
        &["AIza", "SyA1b2C3d4E5f6G7h8I9", "j0K1l2M3n4O5p6Q"],
        "",
    ),
    (
        "Hugging Face token",
        "",
        &["hf", "_AbCdEfGhIjKlMnOp", "QrStUvWxYzAbCdEfGh"],
        "",
    ),
    (
        "npm token",
        "",
        &["npm", "_a1B2c3D4e5F6g7H8i9", "J0k1L2m3N4o5P6q7R8"],
        "",
    ),
    (
        "PyPI token",
        "",
        &[
            "pypi",
            "-AgEIcHlwaS5vcmcCJDAxMjM0NTY3",
            "LTg5YWItY2RlZi0wMTIzLTQ1Njc4OWFi",
        ],
        "",
    ),
    (
        "SendGrid key",
        "",
        &[
            "SG",
            ".aB1cD2eF3gH4iJ5kL6mN7o.",
            "pQ8rS9tU0vW1xY2zA3bC4dE5fG6hI7jK8lM9nO0pQ1r",
        ],
        "",
    ),
    (
        "Twilio key",
        "",
        &["SK", "0123456789abcdef", "fedcba9876543210"],
        "",
    ),
    (
        "Venom token",
        "mine is ",
        &[
            "venom",
            "_0123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef",
        ],
        "",
    ),
    (
        "Telegram bot token",
        "bot ",
        &["123456789", ":AA", "HdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"],
        "",
    ),
    (
        "JSON web token",
        "jwt ",
        &[
            "eyJ",
            "hbGciOiJIUzI1NiJ9",
            ".eyJ",
            "zdWIiOiIxMjM0In0",
            ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        ],
        "",
    ),
    (
        "private key",
        "here: ",
        &[
            "-----BEGIN RSA PRIV",
            "ATE KEY-----\nMIIEowIBAAKCAQEAx5kq\nqq3vD8f0aZr5yKQm7w==\n-----END RSA PRIV",
            "ATE KEY-----",
        ],
        " end",
    ),
    (
        "private key",
        "",
        &[
            "-----BEGIN OPENSSH PRIV",
            "ATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIV",
            "ATE KEY-----",
        ],
        "\n",
    ),
    (
        "private key",
        "",
        &[
            "-----BEGIN PGP PRIV",
            "ATE KEY BLOCK-----\nVersion: 1\n\nlQOYBFzKq0sBCADEh3sZ0r1b2c3d4e5f6\n-----END PGP PRIV",
            "ATE KEY BLOCK-----",
        ],
        "",
    ),
    (
        "private key",
        "{\"private_key\": \"",
        &[
            "-----BEGIN PRIV",
            "ATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n-----END PRIV",
            "ATE KEY-----",
        ],
        "\\n\"}",
    ),
    (
        "password in a URL",
        "postgres://anna:",
        &["s3cr", "etPw"],
        "@db.example:5432/app",
    ),
    (
        "password in a URL",
        "see https://bot:",
        &["hun", "terTwo"],
        "@git.example/x.git now",
    ),
    ("password in a URL", "redis://:", &["f00ba", "r"], "@cache"),
    ("password", "password: ", &["hun", "ter2"], ""),
    ("password", "**Password:** ", &["hun", "ter2"], "\n"),
    (
        "API key or token",
        "https://x.example/?api_key=",
        &["0a1b2c3d4e5f", "60718293"],
        "&page=2",
    ),
    ("password", "My Wi-Fi password: ", &["Tr0ub4", "dor&3"], "."),
    ("password", "DB_PASSWORD=", &["x9!k", "Lm2p"], "\nPORT=5432"),
    (
        "password",
        "{\"password\": \"",
        &["correct horse 9 b", "attery"],
        "\"}",
    ),
    ("password", "Passwort: ", &["Sommer", "2024!"], ""),
    ("password", "passwd = '", &["swordfish", "#1"], "'"),
    (
        "API key or token",
        "api_key = \"",
        &["0a1b2c3d4e5f6071", "8293a4b5c6d7e8f9"],
        "\"",
    ),
    (
        "API key or token",
        "aws_secret_access_key=",
        &["wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYEXAMPL3KEY"],
        "",
    ),
    (
        "API key or token",
        "The API key: ",
        &["Zx81Qp-77aKd", "02mmVb4"],
        "",
    ),
    (
        "API key or token",
        "client-secret: ",
        &["q1W2e3R4t5", "Y6u7I8o9"],
        "",
    ),
    (
        "access token",
        "Authorization: Bearer ",
        &["a1b2c3d4e5f6", "a7b8c9d0e1f2"],
        "",
    ),
    (
        "card number",
        "Visa ",
        &["4111 1111 ", "1111 1111"],
        " exp 12/27",
    ),
    ("card number", "", &["4111-1111-", "1111-1111"], ""),
    ("card number", "mc ", &["55555555", "55554444"], "."),
    ("card number", "amex ", &["3782 822463 ", "10005"], ""),
    (
        "card number",
        "card ",
        &["4012888888", "881881"],
        " 12/27 123",
    ),
    ("card number", "card ", &["4012 8888 8888 ", "1881"], " 123"),
    ("card number", "", &["6011 1111 ", "1111 1117"], ""),
    ("card number", "diners ", &["3056 930902 ", "5904"], ""),
];

const HARMLESS: &[&str] = &[
    "ERROR_INVALID_PASSWORD: WIN32_ERROR = 86",
    "&username=alice&password=alice-pw&grant_type=password",
    "let limbs = [\n    2251799813685228,\n    4111111111111111\n];",
    "x < 4111111111111111 and y",
    "keys begin with -----BEGIN RSA PRIVATE KEY-----\n```\nFromThePrivateKeyInformation1234",
    "USDT token: 0xdAC17F958D2ee523a2206206994597C13D831ec7",
    "**Password:** see the vault",
    "My token of appreciation for Anna was a book",
    "The secret to good bread: time and patience",
    "Secret: she is planning a party for 2026-03-01",
    "secret: meetingminutes2025",
    "password: ask Anna",
    "The password is kept in the safe at home",
    "Password: none",
    "password: ********",
    "password: <your password>",
    "password=${DB_PASSWORD}",
    "password: $DB_PASSWORD",
    "password = getpass.getpass()",
    "password: str | None = None",
    "password: changeme",
    "Password manager: 1Password 8",
    "My password: 1Password",
    "password: required",
    "password_hash: argon2id",
    "if password == stored_value1 { return; }",
    "std::token::Token1234567890abcd",
    "token: top-of-the-stack-2025",
    "tokens: 1434 in 5900 bytes",
    "max_tokens=100000",
    "tokenizer: bert-base-uncased-v2-2024",
    "token: mem_1795447200000000",
    "token: https://example.org/how-to-get-1-token-2024",
    "token: anna@mail2024.example.org",
    "secretary: Anna2 Miller3",
    "The API key is in the vault",
    "api_key: YOUR_API_KEY_1234567890",
    "api_key = os.environ['KEY_1']",
    "the header is Authorization: Bearer <token>",
    "Bearer of good news since 1998, all of them",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0B\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    "PEM files start with -----BEGIN PRIVATE KEY----- and are text",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1b2c3d4e5f6 anna@laptop",
    "550e8400-e29b-41d4-a716-446655440000",
    "request 7f3a9c12-5b6d-4e8f-9a0b-1c2d3e4f5a6b failed",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "md5 d41d8cd98f00b204e9800998ecf8427e",
    "mem_1795447200000000 and mem_1700000000",
    "+49 151 23456789 or +1 (415) 555-2671",
    "call 0800 411 111 11 11 after 5",
    "2026-03-01T08:30:00.123456Z to 20260301083000",
    "order 4111111111111111 arrived",
    "Invoice number 5555555555554444 of March",
    "tracking 4012888888881881",
    "4111 1111 1111 1112 is one digit off",
    "1234 5678 9012 3456",
    "0000 0000 0000 0000",
    "IMEI 490154203237518",
    "ISBN 978-3-16-148410-0",
    "DE89 3704 0044 0532 0130 00",
    "GB82 WEST 1234 5698 7654 32",
    "3.14159265358979323846",
    "it was 1795447200000000 microseconds, or 1795447200000 ms",
    "4111.1111 and 1111,1111",
    "version 4111111111111111.2",
    "https://shop.example/item/4111111111111111",
    "2019 2020 2021 2022 2023 2024",
    "https://example.org:8080/a:b@c",
    "https://anna@example.org/inbox",
    "postgres://anna:password@localhost/app",
    "mysql://root:${MYSQL_PW}@db",
    "git@github.com:venom/venom.git",
    "mailto:anna@example.org",
    "ssh://git@host:22/repo",
    "sk-learn and sk-image are libraries",
    "sk_test and sk_live are prefixes, as is ghp_",
    "AKIA is where they begin, AKIAAAAAAAAAAAAAAAAA is none",
    "venom_personality_v2.md, venom_memories",
    "hf_transfer speeds up hf_hub_download",
    "npm_config_registry=https://registry.example",
    "eyJ is how they start: eyJabc.eyJdef",
    "xoxb-tokens are for bots",
    "AIzawa Station, Tokyo",
    "SKU 0123456789 and SK0123",
    "ratio 4:3, time 12:30pm, score=10",
    "x = y + 1; key: value; name=Anna",
    "Meeting room key: 4 on floor 12b",
    "My favourite key: A minor",
    "Wi-Fi: home network 5GHz",
    "Das Passwort: frag Anna",
    "Passcode for the door: 4711",
    "keyboard: QMK v0.22.14",
    "ключ: в сейфе; 密码:在保险箱里",
];

fn put_together((kind, before, secret, after): &Sample) -> (String, SecretKind, Range<usize>) {
    let secret = secret.concat();
    let kind = SecretKind::of_name(kind).unwrap_or_else(|| panic!("no kind {kind}"));
    let span = before.len()..before.len() + secret.len();
    (format!("{before}{secret}{after}"), kind, span)
}

#[test]
fn secrets_are_found_with_their_kind_and_place() {
    assert!(SECRETS.len() >= 40);
    for sample in SECRETS {
        let (text, kind, span) = put_together(sample);
        let found = find(&text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert_eq!(found[0].kind, kind, "{text:?}");
        // A token may be longer than the sample by what follows it.
        assert!(
            found[0].span.start == span.start && found[0].span.end >= span.end,
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn prose_ids_and_numbers_are_no_secrets() {
    assert!(HARMLESS.len() >= 60);
    for text in HARMLESS {
        assert_eq!(find(text), [], "{text:?}");
    }
}

#[test]
fn a_secret_key_beside_its_access_key_is_found() {
    let (access, secret) = (
        ["AKIA", "IOSFODNN7EXAMPLE"].concat(),
        ["wJalrXUtnFEMI/K7MDENG/", "bPxRfiCYEXAMPLEKEY"].concat(),
    );
    let text = format!("{access}\n{secret}\n");
    let kinds: Vec<&str> = find(&text)
        .iter()
        .map(|secret| secret.kind.name())
        .collect();
    assert_eq!(kinds, ["AWS access key", "AWS secret key"]);
    assert_eq!(find(&secret), [], "alone it may be anything");
}

#[track_caller]
fn screened(policy: SecretPolicy, text: &str) -> (Result<String, String>, Vec<&'static str>) {
    let mut screen = Screen::new(policy);
    let content = Content::parse(text).unwrap();
    let kept = screen
        .content(content)
        .map(|content| content.as_str().to_owned());
    let masked = screen.masked().into_iter().map(SecretKind::name).collect();
    (kept.map_err(|error| error.to_string()), masked)
}

#[test]
fn a_text_is_refused_masked_or_kept() {
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let text = format!("schlüssel: {key}, and once more {key}");
    let (refused, masked) = screened(SecretPolicy::Refuse, &text);
    let message = refused.unwrap_err();
    assert!(
        message.starts_with(
            "content holds an AWS access key at character 12: expected text without secrets"
        ),
        "{message}"
    );
    assert!(!message.contains(&key) && masked.is_empty());
    let (kept, masked) = screened(SecretPolicy::Mask, &text);
    let expected = "schlüssel: [AWS access key removed], and once more [AWS access key removed]";
    assert_eq!(
        (kept.as_deref(), masked.as_slice()),
        (Ok(expected), &["AWS access key"][..])
    );
    assert_eq!(screened(SecretPolicy::Keep, &text), (Ok(text), vec![]));
    let harmless = "Anna likes tea";
    assert_eq!(
        screened(SecretPolicy::Refuse, harmless),
        (Ok(harmless.to_owned()), vec![])
    );
}

#[test]
fn names_and_tags_are_screened_too() {
    let key = ["ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"].concat();
    let tags = Tags::parse(&["ok", &key]).unwrap();
    let mut screen = Screen::new(SecretPolicy::Refuse);
    let message = screen.tags(tags.clone()).unwrap_err().to_string();
    assert!(
        message.starts_with("tag holds a GitHub token at character 1"),
        "{message}"
    );
    let mut screen = Screen::new(SecretPolicy::Mask);
    let kept = screen.tags(tags).unwrap();
    assert_eq!(kept.as_slice()[1].as_str(), "[GitHub token removed]");
    let speaker = screen.speaker(Speaker::parse(&key).ok()).unwrap().unwrap();
    let session = screen
        .session(SessionName::parse("monday").ok())
        .unwrap()
        .unwrap();
    assert_eq!(
        (speaker.as_str(), session.as_str()),
        ("[GitHub token removed]", "monday")
    );
    assert_eq!(screen.masked().len(), 1);
}

/// Metadata as it is kept where secrets are masked, and what is said where they are refused.
#[track_caller]
fn check_metadata(metadata: &str, kept: &str, refused: &str) {
    let parsed = || Metadata::parse(metadata).map(Some).unwrap();
    let masked = Screen::new(SecretPolicy::Mask).metadata(parsed()).unwrap();
    assert_eq!(masked.unwrap().as_str(), kept);
    let error = Screen::new(SecretPolicy::Refuse).metadata(parsed());
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("metadata holds {refused}: expected")),
        "{error}"
    );
    let as_it_is = Screen::new(SecretPolicy::Keep).metadata(parsed());
    assert_eq!(as_it_is.unwrap(), parsed());
}

#[test]
fn metadata_keeps_all_but_the_secret() {
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let begin = ["-----BEGIN PRIV", "ATE KEY-----"].concat();
    let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    let mark = "[AWS access key removed]";
    for (metadata, kept, refused) in [
        (
            format!(r#"{{"project":"apollo","cfg":"{key}"}}"#),
            format!(r#"{{"project":"apollo","cfg":"{mark}"}}"#),
            r#"an AWS access key in "cfg""#,
        ),
        // Behind an escape, among quotes, deep within.
        (
            format!(r#"{{"a":{{"b":["\"x\"\n{key}\u00e9",7]}} , "c" : null}}"#),
            format!(r#"{{"a":{{"b":["\"x\"\n{mark}é",7]}} , "c" : null}}"#),
            r#"an AWS access key in "a""#,
        ),
        (
            format!(r#"{{"note":"\ud83d\ude00 {key}"}}"#),
            format!(r#"{{"note":"😀 {mark}"}}"#),
            r#"an AWS access key in "note""#,
        ),
        (
            format!(r#"{{"a":1,"{key}":2}}"#),
            format!(r#"{{"a":1,"{mark}":2}}"#),
            "an AWS access key in the name of a field",
        ),
        (
            format!(r#"{{"original_id_":"{key}"}}"#),
            format!(r#"{{"original_id_":"{mark}"}}"#),
            r#"an AWS access key in "original_id_", the id that it had elsewhere"#,
        ),
        (
            r#"{"a":{"db_password":"hunter2\!"},"b":"c"}"#.to_owned(),
            r#"{"a":{"db_password":"[password removed]"},"b":"c"}"#.to_owned(),
            r#"a password in "a""#,
        ),
        (
            r#"{"card":4111111111111111,"b":-1.5}"#.to_owned(),
            r#"{"card":"[card number removed]","b":-1.5}"#.to_owned(),
            r#"a card number in "card""#,
        ),
        // Without an end, and with it in another string.
        (
            format!(r#"{{"pem":"{begin}\n{body}","b":["c"]}}"#),
            r#"{"pem":"[private key removed]","b":["c"]}"#.to_owned(),
            r#"a private key in "pem""#,
        ),
        (
            format!(r#"{{"a":["{begin}\n{body}",1,"x-----END PRIVATE KEY----- y"]}}"#),
            r#"{"a":["[private key removed]",1,"[private key removed] y"]}"#.to_owned(),
            r#"a private key in "a""#,
        ),
    ] {
        check_metadata(&metadata, &kept, refused);
    }
}

#[test]
fn fields_with_secrets_for_names_keep_their_values() {
    let keys = ["AKIA", "ASIA"].map(|start| format!("{start}IOSFODNN7EXAMPLE"));
    let metadata = format!(r#"{{"{}":1,"{}":2}}"#, keys[0], keys[1]);
    let mark = "[AWS access key removed]";
    let kept = format!(r#"{{"{mark}":1,"{mark}_":2}}"#);
    check_metadata(&metadata, &kept, "an AWS access key in the name of a field");
}

/// What its strings say one by one tells nothing of it, so that none of them can be kept.
#[test]
fn of_a_key_whose_lines_are_strings_of_a_list_the_length_is_kept() {
    let begin = ["PuTTY-User-Key", "-File-2: ssh-rsa"].concat();
    let metadata = format!(r#"{{"lines":["{begin}","Private-Lines: 14","AAAAgQCx"]}}"#);
    let kept = format!(
        r#"{{"left_out":"{} bytes of metadata with secrets"}}"#,
        metadata.len()
    );
    check_metadata(&metadata, &kept, "a private key in \"lines\"");
}

#[test]
fn of_metadata_that_is_too_long_with_the_marks_the_length_is_kept() {
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let room = crate::limits::METADATA_BYTES_MAX - key.len() - 10;
    let full = format!(r#"{{"a":"{} {key}"}}"#, "x".repeat(room));
    let kept = Screen::new(SecretPolicy::Mask).metadata(Metadata::parse(&full).ok());
    let expected = format!(
        r#"{{"left_out":"{} bytes of metadata with secrets"}}"#,
        full.len()
    );
    assert_eq!(kept.unwrap().unwrap().as_str(), expected);
}

#[test]
fn a_mark_fits_a_tag_and_every_kind_has_a_name() {
    for sample in SECRETS {
        let kind = put_together(sample).1;
        assert!(
            kind.mark().len() <= crate::limits::TAG_CHARS_MAX,
            "{}",
            kind.name()
        );
        assert_eq!(SecretKind::of_name(kind.name()), Some(kind));
    }
    let articles = [
        "an AWS access key",
        "an OpenAI key",
        "a GitHub token",
        "an npm token",
        "a Notion token",
    ];
    for article in articles {
        let (_, name) = article.split_once(' ').unwrap();
        assert_eq!(SecretKind::of_name(name).unwrap().with_article(), article);
    }
}

#[test]
fn an_error_quotes_no_secret() {
    let sent = |text: &str| InputError::malformed("after", "a time", text).to_string();
    for sample in SECRETS {
        let (text, _, span) = put_together(sample);
        let start = &text[span.start..span.start + 6];
        for told in [sent(&text), without_secrets(&text)] {
            assert!(!told.contains(start), "{told}");
        }
    }
    let expected = "after is malformed: expected a time, received \"soon\"";
    assert_eq!(sent("soon"), expected);
    assert!(sent(&"é".repeat(41)).ends_with(&format!("\"{}…\"", "é".repeat(40))));
}

#[test]
fn the_stricter_policy_is_greater() {
    assert!(SecretPolicy::Keep < SecretPolicy::Mask && SecretPolicy::Mask < SecretPolicy::Refuse);
    assert_eq!(SecretPolicy::default(), SecretPolicy::Refuse);
}

/// Texts that make a scanner look far ahead at every byte.
#[test]
fn the_longest_text_takes_no_time() {
    let bytes_max = crate::limits::CONTENT_BYTES_MAX;
    for piece in [
        "sk-",
        "password=",
        "eyJ",
        "a://b:c",
        "4111 ",
        "-----BEGIN PRIVATE KEY-----",
        "bearer ",
        "AKIA",
        "1-",
        ":=\"",
        "hf_a.",
        "é=",
        "token=aB3dE6gH9jK2mN5p",
        "bearer aB3dE6gH9jK2mN5p",
    ] {
        let text = piece.repeat(bytes_max / piece.len());
        let start = std::time::Instant::now();
        find(&text);
        // In an optimised build a few milliseconds.
        assert!(
            start.elapsed().as_secs() < 5,
            "{piece:?} took {:?}",
            start.elapsed()
        );
    }
}

proptest! {
    #[test]
    fn a_masked_text_has_no_secret_left(picked in prop::collection::vec(0..SECRETS.len(), 0..5), between in "[ -~\n]{0,12}") {
        let texts: Vec<String> = picked.iter().map(|at| put_together(&SECRETS[*at]).0).collect();
        let text = texts.join(&format!(" {between} "));
        let secrets = find(&text);
        let ends: Vec<usize> = secrets.iter().flat_map(|secret| [secret.span.start, secret.span.end]).collect();
        prop_assert!(ends.is_sorted() && ends.iter().all(|at| text.is_char_boundary(*at)));
        if let Ok(content) = Content::parse(&text) {
            let kept = Screen::new(SecretPolicy::Mask).content(content).unwrap();
            prop_assert_eq!(find(kept.as_str()), []);
        }
    }

    #[test]
    fn masked_metadata_has_no_secret_left(text in "(\\\\.|[{}\\[\\]:, \"]|\\\\u[0-9a-f]{4}|password|card|4111111111111111|é|[0-9]{3}|a1!B2c3){0,60}") {
        let Ok(metadata) = Metadata::parse(&format!("{{{text}}}")) else {
            return Ok(());
        };
        let kept = Screen::new(SecretPolicy::Mask).metadata(Some(metadata)).unwrap();
        prop_assert_eq!(find(json::Json::read(kept.unwrap().as_str()).plain()), []);
    }

    #[test]
    fn any_text_can_be_scanned(text in "(.|[ -~]|password[:=]|://|@|4111 1111|AKIA|eyJ|é|[0-9]{4}){0,60}") {
        let secrets = find(&text);
        let ends: Vec<usize> = secrets.iter().flat_map(|secret| [secret.span.start, secret.span.end]).collect();
        prop_assert!(ends.is_sorted() && ends.iter().all(|at| text.is_char_boundary(*at)));
    }
}

#[test]
fn a_long_secret_is_masked_to_its_end() {
    let long = |bytes: usize| "aB3dE6gH9jK2mN5pQ8sT1vW4".repeat(bytes / 24 + 1);
    for bytes in [100, 500, 513, 2_000, 20_000] {
        for text in [
            format!("{}AgE{} end", "pypi-", long(bytes)),
            format!("api_key={} end", long(bytes)),
            format!("Authorization: Bearer {} end", long(bytes)),
            format!("{}.{}.{} end", "eyJhbGciOiJI", "eyJzdWIiOiIx", long(bytes)),
        ] {
            let kept = Screen::new(SecretPolicy::Mask).content(Content::parse(&text).unwrap());
            let kept = kept.unwrap();
            assert!(kept.as_str().ends_with("removed] end"), "{}", kept.as_str());
        }
    }
}

#[test]
fn the_end_of_a_private_key_is_between_characters() {
    for before in 50..80 {
        let text = format!(
            "-----BEGIN {} KEY-----\n{}\n-----END {}é",
            "PRIVATE",
            "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU",
            "x".repeat(before)
        );
        let kept = Screen::new(SecretPolicy::Mask).content(Content::parse(&text).unwrap());
        assert!(kept.unwrap().as_str().starts_with('['), "{before}");
    }
}

/// Also that it takes no longer than a second for 64 KiB of anything.
#[test]
fn fuzz_secrets() {
    let samples: Vec<String> = SECRETS
        .iter()
        .map(|sample| put_together(sample).0)
        .collect();
    let words = [
        "password",
        "passwort",
        ": ",
        "=",
        "://",
        "@",
        "Bearer ",
        "api_key",
        "AKIA",
        "eyJ",
        ".",
        "ghp_",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "\n",
        "'",
        "\"",
        "4111 1111",
        "-",
        "_",
        "a1B2c3D4e5F6",
        " ",
        "is",
    ];
    let mut target = Target::new("secrets").words(&words).bytes_max(64 * 1024);
    for sample in samples {
        target = target.seed(sample);
    }
    target.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let secrets = find(&text);
        let ends: Vec<usize> = secrets
            .iter()
            .flat_map(|secret| [secret.span.start, secret.span.end])
            .collect();
        assert!(ends.is_sorted() && ends.iter().all(|at| text.is_char_boundary(*at)));
        if let Ok(content) = Content::parse(&text)
            && let Ok(kept) = Screen::new(SecretPolicy::Mask).content(content)
        {
            assert_eq!(find(kept.as_str()), [], "a masked text has no secret left");
        }
        if let Ok(metadata) = Metadata::parse(&format!("{{{text}}}")) {
            let kept = Screen::new(SecretPolicy::Mask).metadata(Some(metadata));
            let kept = kept.unwrap().unwrap();
            assert_eq!(find(json::Json::read(kept.as_str()).plain()), []);
        }
        secrets
            .iter()
            .map(|secret| secret.kind)
            .collect::<BTreeSet<_>>()
    });
}
