//! What is made of the bytes of requests.

use super::*;
use proptest::prelude::*;
use venom_fuzz::Target;

/// How many answers came, and the first line of the first.
async fn answers_to(bytes: &str) -> (usize, String) {
    let running = Running::start();
    let mut client = running.connect("192.0.2.1");
    client.send(bytes).await;
    let (said, _) = client.rest().await;
    let first = said.lines().next().unwrap_or_default().to_owned();
    (said.matches("HTTP/1.1 ").count(), first)
}

/// What one program takes for a body and another for the next request is never answered as one.
#[tokio::test(start_paused = true)]
async fn no_request_is_smuggled_in_the_body_of_another() {
    let hidden = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let chunked = format!("5\r\nhello\r\n0\r\n\r\n{hidden}");
    let length = format!("content-length: {}\r\n", chunked.len());
    let coded = "transfer-encoding: chunked\r\n";
    let post = "POST /body HTTP/1.1\r\nhost: localhost\r\n";
    for (headers, status) in [
        (format!("{length}{coded}"), "200"),
        (format!("{coded}{length}"), "200"),
        (format!("{coded}{coded}"), "400"),
        ("transfer-encoding: chunked, identity\r\n".to_owned(), "400"),
        ("transfer-encoding: xchunked\r\n".to_owned(), "400"),
        ("transfer-encoding: gzip, chunked\r\n".to_owned(), "400"),
        ("transfer-encoding : chunked\r\n".to_owned(), "400"),
        (format!("{length}content-length: 3\r\n"), "400"),
        ("content-length: +5\r\n".to_owned(), "400"),
        ("content-length: 5, 5\r\n".to_owned(), "400"),
        ("content-length: -1\r\n".to_owned(), "400"),
        (" folded: x\r\n".to_owned(), "400"),
        ("x: a\r\n b: c\r\n".to_owned(), "400"),
        ("x\0y: a\r\n".to_owned(), "400"),
    ] {
        let (count, first) = answers_to(&format!("{post}{headers}\r\n{chunked}")).await;
        assert_eq!(count, 1, "{headers:?}");
        assert!(
            first.starts_with(&format!("HTTP/1.1 {status}")),
            "{headers:?}: {first}"
        );
    }
    let old = format!("POST /body HTTP/1.0\r\nhost: localhost\r\n{coded}\r\n{chunked}");
    assert_eq!(answers_to(&old).await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn heads_over_the_limits_are_refused() {
    let long = format!("x: {}\r\n", "y".repeat(HEAD_BYTES_MAX));
    let many = "x: y\r\n".repeat(HEADERS_MAX);
    for headers in [long, many] {
        let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        let running = Running::start();
        let Client { reader, writer } = running.connect("192.0.2.1");
        trickle(writer, head, Duration::ZERO);
        let writer = split(duplex(1).0).1;
        let (said, _) = Client { reader, writer }.rest().await;
        assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_trusted_proxies_tell_who_calls_and_how_often() {
    let running = Running::start_with(2, None);
    let told = |address: &str| {
        format!(
            "GET /peer HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {address}\r\n\
             x-forwarded-proto: https\r\n\r\n"
        )
    };
    let mut stranger = running.connect("192.0.2.1");
    for address in ["198.51.100.1", "198.51.100.2"] {
        stranger.send(&told(address)).await;
        let said = stranger.until("}").await;
        assert!(
            said.ends_with("Peer { address: 192.0.2.1, tls: false }"),
            "{said}"
        );
    }
    stranger.send(&told("198.51.100.3")).await;
    let said = stranger.until("\"}").await;
    assert!(
        said.starts_with("HTTP/1.1 429") && said.contains("retry-after: 30"),
        "{said}"
    );

    let mut proxy = running.connect("10.0.0.1");
    for address in [
        "198.51.100.1",
        "198.51.100.2",
        "198.51.100.1",
        "198.51.100.2",
    ] {
        proxy.send(&told(address)).await;
        let said = proxy.until("}").await;
        let expected = format!("Peer {{ address: {address}, tls: true }}");
        assert!(said.ends_with(&expected), "{said}");
    }
    proxy.send(&told("198.51.100.1")).await;
    let said = proxy.until("\"}").await;
    assert!(
        said.contains("too many requests of this address: try again in 30 s"),
        "{said}"
    );
}

/// Pieces of requests, in any order.
const PIECES: [&str; 16] = [
    "GET ",
    "POST ",
    "/body",
    "/",
    "http://",
    " HTTP/1.1",
    " HTTP/1.0",
    "\r\n",
    "\n",
    "host: localhost",
    "content-length: 5",
    "transfer-encoding: chunked",
    "expect: 100-continue",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "\0\u{e9}: ",
];

proptest! {
    /// Whatever is sent, every answer is one, the connection ends in time, and others are served.
    #[test]
    fn any_bytes_are_answered_or_cut_off(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40),
        begins_well: bool,
    ) {
        let start = if begins_well { "POST /body HTTP/1.1\r\nhost: localhost\r\n" } else { "" };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (said, took) = runtime.block_on(async {
            let running = Running::start();
            let mut client = running.connect("192.0.2.1");
            client.send(&(start.to_owned() + &pieces.concat())).await;
            let ended = client.rest().await;
            running.connect("192.0.2.1").get("/", "here").await;
            ended
        });
        prop_assert!(took <= BODY_PAUSE_MAX + IDLE_TIME_MAX + HEAD_TIME_MAX, "{:?}", took);
        let statuses = said.match_indices("HTTP/1.").map(|(at, _)| &said[at + 9..at + 12]);
        for status in statuses {
            prop_assert!(status.parse().is_ok_and(|code: u16| (100..500).contains(&code)), "{}", said);
        }
    }
}

/// The same for bytes that were mutated.
#[test]
fn fuzz_requests() {
    Target::new("requests").words(&PIECES).run(|bytes| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (said, took) = runtime.block_on(async {
            let running = Running::start();
            let mut client = running.connect("192.0.2.1");
            // The listener may have closed the connection before it has all of it.
            let _ = client.writer.write_all(bytes).await;
            let (started, mut said) = (Instant::now(), Vec::new());
            client.reader.read_to_end(&mut said).await.unwrap();
            let took = started.elapsed();
            running.connect("192.0.2.1").get("/", "here").await;
            (String::from_utf8_lossy(&said).into_owned(), took)
        });
        // Only these routes wait on their own.
        let waits = ["/never", "/ticks", "/slow"];
        let waits = waits.iter().any(|path| {
            bytes
                .windows(path.len())
                .any(|part| part == path.as_bytes())
        });
        assert!(
            waits || took <= BODY_PAUSE_MAX + IDLE_TIME_MAX + HEAD_TIME_MAX,
            "{took:?}"
        );
        let lines = said
            .match_indices("HTTP/1.")
            .map(|(at, _)| said.get(at + 9..at + 12));
        let statuses: Vec<Option<u16>> = lines.map(|code| code?.parse().ok()).collect();
        let known = |code: &Option<u16>| code.is_some_and(|code| (100..500).contains(&code));
        assert!(statuses.iter().all(known), "{said}");
        statuses
    });
}
