//! Everybody else who comes by: guessers, browsers, apps, and those who hang around.

use super::super::Outcome;
use super::owner::{Owner, Tokens};
use serde_json::json;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};
use venom_testing::load::{Random, Target};
use venom_testing::{Connection, HttpClient, Response, SseClient};

/// Words that are kept of each.
const WORDS_KEPT: usize = 5;
/// Streams that are opened and dropped together.
const STREAMS: usize = 8;
/// Connections that send a byte a turn.
const SLOW: usize = 20;
/// Calls with a pair of tokens until the owner's app gives them back and is let in again.
const REFRESHES: usize = 100;

/// What one of them tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) what: &'static str,
    pub(super) done: u64,
    pub(super) limited: u64,
    pub(super) unexpected: u64,
    pub(super) words: Vec<String>,
}

impl Told {
    fn add(&mut self, outcome: Outcome<Came>) {
        match outcome {
            Ok(Came::Done(times)) => self.done += times,
            Ok(Came::Limited) => self.limited += 1,
            Err(error) => {
                self.unexpected += 1;
                if self.words.len() < WORDS_KEPT {
                    self.words.push(format!("{}: {error}", self.what));
                }
            }
        }
    }
}

/// What came of a turn.
enum Came {
    Done(u64),
    Limited,
}

/// Does something again and again until the end.
fn repeat(
    what: &'static str,
    pause_ms: u64,
    end: Instant,
    mut turn: impl FnMut() -> Outcome<Came>,
) -> Told {
    let mut told = Told {
        what,
        ..Told::default()
    };
    while Instant::now() < end {
        told.add(turn());
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
    told
}

/// Starts them all.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    target: &Target,
    owner: Owner,
    end: Instant,
) -> Vec<ScopedJoinHandle<'scope, Told>> {
    let port = target.port;
    let token = target.tokens[0].clone();
    let (browser, strangers, app) = (owner.clone(), owner.clone(), owner);
    vec![
        scope.spawn(move || guess(port, end)),
        scope.spawn(move || browse(port, &browser, end)),
        scope.spawn(move || guess_passphrases(&strangers, end)),
        scope.spawn(move || register(port, end)),
        scope.spawn(move || refresh(port, &app, end)),
        scope.spawn(move || open_streams(port, &token, end)),
        scope.spawn(move || dawdle(port, end)),
    ]
}

/// An address that hardly anybody else has: of IPv4, or of IPv6 with a network of its own.
fn any_address(random: &mut Random) -> String {
    let bits = random.next();
    if bits.is_multiple_of(2) {
        let [a, b, c, ..] = bits.to_le_bytes();
        format!("100.{}.{b}.{c}", a / 2)
    } else {
        let [a, b, c, ..] = bits.to_le_bytes();
        format!("2001:db8:{a:x}:{:x}::1", u16::from_le_bytes([b, c]))
    }
}

fn expect(answer: &Response, statuses: &[u16]) -> Outcome<Came> {
    if answer.status == 429 && answer.header("retry-after").is_some() {
        return Ok(Came::Limited);
    }
    if statuses.contains(&answer.status) {
        return Ok(Came::Done(1));
    }
    Err(format!(
        "expected {statuses:?}, received {}: {}",
        answer.status,
        answer.text()
    )
    .into())
}

/// Wrong tokens from ever other addresses.
fn guess(port: u16, end: Instant) -> Told {
    let mut random = Random::new(11);
    let mut connection = None;
    repeat("wrong tokens, each from another address", 15, end, || {
        let address = any_address(&mut random);
        let headers = [
            ("authorization", "Bearer venom_guess"),
            ("x-forwarded-for", address.as_str()),
        ];
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(port)?,
        };
        let answer = open.request("POST", "/mcp", &headers, b"{}")?;
        connection = Some(open);
        expect(&answer, &[401])
    })
}

/// Pages that need no session, and now and then the owner.
fn browse(port: u16, owner: &Owner, end: Instant) -> Told {
    let mut random = Random::new(12);
    let mut turn = 0_u64;
    repeat("pages, and the owner signing in", 100, end, move || {
        turn += 1;
        if turn.is_multiple_of(50) {
            owner.sign_in("192.0.2.7")?;
            return Ok(Came::Done(1));
        }
        let path = *random.one_of(&[
            "/",
            "/sign-in",
            "/sign-in.js",
            "/health",
            "/icon.svg",
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-protected-resource",
        ]);
        let address = any_address(&mut random);
        let headers = [("x-forwarded-for", address.as_str())];
        expect(
            &Connection::open(port)?.request("GET", path, &headers, b"")?,
            &[200],
        )
    })
}

/// Wrong passphrases: each takes the server tens of milliseconds and 19 MiB. Slower than the limit of all
/// together, which would hold up the owner, too.
fn guess_passphrases(owner: &Owner, end: Instant) -> Told {
    let mut random = Random::new(13);
    repeat("wrong passphrases", 2_000, end, || {
        let address = any_address(&mut random);
        expect(&owner.try_passphrase("open sesame", &address)?, &[401, 403])
    })
}

/// Apps that register and never come back.
fn register(port: u16, end: Instant) -> Told {
    let mut random = Random::new(14);
    let owner = Owner::new(port, "");
    repeat("registrations", 500, end, || {
        expect(&owner.register(&any_address(&mut random))?, &[201])
    })
}

/// An app that is let in, refreshes its tokens with every call, gives them back and comes again.
fn refresh(port: u16, owner: &Owner, end: Instant) -> Told {
    const ADDRESS: &str = "192.0.2.9";
    let mut client_id = String::new();
    let mut tokens: Option<Tokens> = None;
    let mut calls = 0;
    repeat("token refreshes, each with a call", 80, end, || {
        if client_id.is_empty() {
            let answer = owner.register(ADDRESS)?.json();
            answer["client_id"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut client_id);
        }
        let now = match tokens.take() {
            None => owner.let_in(&client_id, ADDRESS)?,
            Some(old) => owner.refresh(&client_id, &old.refresh, ADDRESS)?,
        };
        let mut client = HttpClient::open(port)?.with_token(&now.access);
        let answer = client.call("list_memories", &json!({"limit": 1}))?;
        if answer["result"]["isError"] != false {
            return Err(format!("a call with an access token: {answer}").into());
        }
        calls += 1;
        if calls % REFRESHES == 0 {
            owner.give_back(&client_id, &now.refresh, ADDRESS)?;
        } else {
            tokens = Some(now);
        }
        Ok(Came::Done(1))
    })
}

/// Streams that are opened, some asked something, and dropped without a word.
fn open_streams(port: u16, token: &str, end: Instant) -> Told {
    let mut random = Random::new(15);
    repeat("streams opened and dropped", 300, end, || {
        let mut open = Vec::new();
        for number in 0..STREAMS {
            let address = format!("203.0.113.{}", random.below(16));
            let headers = vec![
                ("authorization", format!("Bearer {token}")),
                ("x-forwarded-for", address),
            ];
            let mut stream = SseClient::open_with(port, headers)?;
            if number % 2 == 0 {
                let search = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params":
                    {"name": "search_memory", "arguments": {"query": "who has the telescope"}}});
                stream.post(search.to_string().as_bytes())?;
            }
            open.push(stream);
        }
        Ok(Came::Done(STREAMS as u64))
    })
}

/// Connections that send a byte a turn, and come again when they are closed.
fn dawdle(port: u16, end: Instant) -> Told {
    const HEAD: &[u8] =
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut slow: Vec<Option<(TcpStream, usize)>> = (0..SLOW).map(|_| None).collect();
    repeat(
        "slow connections, closed by the server",
        500,
        end,
        move || {
            let mut closed = 0;
            for place in &mut slow {
                let (mut stream, sent) = match place.take() {
                    Some(open) => open,
                    None => (TcpStream::connect(("127.0.0.1", port))?, 0),
                };
                let gone = stream.write_all(&HEAD[sent..=sent]).is_err();
                if gone {
                    closed += 1;
                } else {
                    *place = Some((stream, (sent + 1) % HEAD.len()));
                }
            }
            Ok(Came::Done(closed))
        },
    )
}
