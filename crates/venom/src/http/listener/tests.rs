//! The listener with connections in memory and a clock that stands still until everybody waits.

use super::*;
use crate::addresses::Network;
use crate::http::limits::{
    BODY_PAUSE_MAX, BODY_TIME_MAX, HEAD_TIME_MAX, IDLE_TIME_MAX, REQUEST_TIME_MAX, REQUESTS_MAX,
    WRITE_PAUSE_MAX,
};
use crate::http::read_body;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use axum::{Extension, Router};
use std::future::pending;
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

mod requests;

type Accepted = io::Result<(DuplexStream, SocketAddr)>;

/// Bytes under way that nobody has read yet.
const PIPE_BYTES: usize = 16 * 1024;
/// An answer that does not fit into the pipe.
const LARGE_BYTES: usize = 256 * 1024;

struct Waiting(AsyncMutex<mpsc::UnboundedReceiver<Accepted>>);

impl Source for Waiting {
    type Stream = DuplexStream;

    async fn accept(&self) -> Accepted {
        match self.0.lock().await.recv().await {
            Some(accepted) => accepted,
            None => pending().await,
        }
    }
}

/// A listener that runs.
struct Running {
    arrivals: mpsc::UnboundedSender<Accepted>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

fn routes() -> Router {
    let ticks = || async {
        let ticks = futures::stream::unfold((), |()| async {
            sleep(Duration::from_mins(10)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"tick")), ()))
        });
        Body::from_stream(ticks)
    };
    Router::new()
        .route("/", get(|| async { "here" }))
        .route("/health", get(|| async { "well" }))
        .route("/never", get(pending::<()>))
        .route(
            "/slow",
            get(|| async { sleep(Duration::from_secs(2)).await }),
        )
        .route("/large", get(|| async { vec![b'x'; LARGE_BYTES] }))
        .route("/ticks", get(ticks))
        .route(
            "/peer",
            get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }),
        )
        .route(
            "/body",
            post(|body: Body| async {
                let body = read_body(body).await?;
                Ok::<_, axum::response::Response>(body.len().to_string())
            }),
        )
}

impl Running {
    fn start_with(rate_address: u32, certificates: Option<Certificates>) -> Self {
        let proxies = vec![Network::parse("10.0.0.0/8").unwrap()];
        let door = Door::new(routes(), proxies, rate_address);
        let (arrivals, waiting) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let source = Waiting(AsyncMutex::new(waiting));
        let serving = tokio::spawn(serve(source, door, certificates, stop.clone()));
        Self {
            arrivals,
            stop,
            serving,
        }
    }

    fn start() -> Self {
        Self::start_with(0, None)
    }

    fn connect(&self, from: &str) -> Client {
        let (ours, theirs) = duplex(PIPE_BYTES);
        let address = SocketAddr::new(from.parse().unwrap(), 4711);
        self.arrivals.send(Ok((theirs, address))).unwrap();
        let (reader, writer) = split(ours);
        Client { reader, writer }
    }
}

struct Client {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything until the connection is closed, and how long that took.
    async fn rest(&mut self) -> (String, Duration) {
        let started = Instant::now();
        let mut text = String::new();
        self.reader.read_to_string(&mut text).await.unwrap();
        (text, started.elapsed())
    }

    /// What comes up to these words.
    async fn until(&mut self, words: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(words.as_bytes()) {
            bytes.push(self.reader.read_u8().await.unwrap());
        }
        String::from_utf8(bytes).unwrap()
    }

    async fn get(&mut self, path: &str, until: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
            .await;
        self.until(until).await
    }
}

/// Writes a byte a time until nobody takes them.
fn trickle(mut writer: WriteHalf<DuplexStream>, text: String, pause: Duration) {
    tokio::spawn(async move {
        for byte in text.bytes() {
            if writer.write_u8(byte).await.is_err() {
                break;
            }
            sleep(pause).await;
        }
        pending::<()>().await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_in_is_cut_off() {
    let running = Running::start();
    let Client { reader, writer } = running.connect("192.0.2.1");
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}", "y".repeat(99));
    trickle(writer, head, Duration::from_millis(500));
    let writer = split(duplex(1).0).1;
    let (said, took) = Client { reader, writer }.rest().await;
    assert_eq!((said.as_str(), took), ("", HEAD_TIME_MAX));

    let (said, took) = running.connect("192.0.2.1").rest().await;
    assert_eq!((said.as_str(), took), ("", HEAD_TIME_MAX), "silence, too");
}

#[tokio::test(start_paused = true)]
async fn a_connection_stays_open_between_requests_and_not_for_ever() {
    let running = Running::start();
    let mut client = running.connect("192.0.2.1");
    for _ in 0..3 {
        client.get("/", "here").await;
        sleep(IDLE_TIME_MAX.saturating_sub(Duration::from_secs(1))).await;
    }
    client.get("/", "here").await;
    let (said, took) = client.rest().await;
    assert_eq!((said.as_str(), took), ("", IDLE_TIME_MAX));

    let mut client = running.connect("192.0.2.1");
    client.get("/", "here").await;
    sleep(IDLE_TIME_MAX / 2).await;
    client.send("GET / HT").await;
    let (said, took) = client.rest().await;
    assert_eq!((said.as_str(), took), ("", HEAD_TIME_MAX));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_in_is_given_up() {
    let running = Running::start();
    let head = "POST /body HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
    let mut client = running.connect("192.0.2.1");
    client.send(head).await;
    let (said, took) = client.rest().await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("{\"error\":\"the body came too slowly: send it again\"}"));
    assert_eq!(took, BODY_PAUSE_MAX);

    let mut client = running.connect("192.0.2.1");
    client.send(head).await;
    let Client { reader, writer } = client;
    trickle(writer, "x".repeat(999), Duration::from_secs(9));
    let writer = split(duplex(1).0).1;
    let (said, took) = Client { reader, writer }.rest().await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert_eq!(took, BODY_TIME_MAX);

    let mut client = running.connect("192.0.2.1");
    client.send(head).await;
    sleep(BODY_PAUSE_MAX / 2).await;
    client.send(&"x".repeat(1_000)).await;
    client.until("1000").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_for_ever_is_answered_and_a_stream_goes_on() {
    let running = Running::start();
    let mut streaming = running.connect("192.0.2.1");
    streaming.get("/ticks", "tick").await;
    let started = Instant::now();
    let mut client = running.connect("192.0.2.1");
    let said = client.get("/never", "\"}").await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert!(said.contains("the answer took longer than 300 s"), "{said}");
    assert_eq!(started.elapsed(), REQUEST_TIME_MAX);
    for _ in 0..20 {
        streaming.until("tick").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_takes_nothing_of_its_answer_is_cut_off() {
    let running = Running::start();
    let mut client = running.connect("192.0.2.1");
    client.get("/large", "\r\n\r\n").await;
    let mut slow = running.connect("192.0.2.1");
    slow.get("/large", "\r\n\r\n").await;
    let mut taken = 0;
    let mut chunk = vec![0; PIPE_BYTES];
    while taken < LARGE_BYTES {
        sleep(WRITE_PAUSE_MAX.saturating_sub(Duration::from_secs(1))).await;
        let count = slow.reader.read(&mut chunk).await.unwrap();
        assert!(count > 0, "cut off after {taken}");
        taken += count;
    }
    let (rest, _) = client.rest().await;
    assert!(rest.len() <= PIPE_BYTES, "{} came", rest.len());
}

#[tokio::test(start_paused = true)]
async fn one_address_cannot_take_all_connections() {
    let running = Running::start();
    let mut clients = Vec::new();
    for host in 0..CONNECTIONS_ADDRESS_MAX {
        let mut client = running.connect(&format!("2001:db8::{host:x}"));
        client.get("/", "here").await;
        clients.push(client);
    }
    let (said, _) = running.connect("2001:db8::ffff").rest().await;
    assert!(said.starts_with("HTTP/1.1 429"), "{said}");
    assert!(
        said.contains("too many connections of this address"),
        "{said}"
    );
    // Neither a neighbour nor a proxy nor this machine is meant.
    for other in ["2001:db8:0:1::1", "192.0.2.1", "10.1.2.3", "127.0.0.1"] {
        running.connect(other).get("/", "here").await;
    }
    // A place is free as soon as one ends.
    let (ended, _) = {
        let mut client = clients.pop().unwrap();
        client.writer.shutdown().await.unwrap();
        client.rest().await
    };
    assert_eq!(ended, "");
    running.connect("2001:db8::ffff").get("/", "here").await;
}

#[tokio::test(start_paused = true)]
async fn connections_have_an_end_that_is_told() {
    let running = Running::start();
    let mut clients = Vec::new();
    for _ in 0..connections_max() {
        let mut client = running.connect("127.0.0.1");
        client.get("/", "here").await;
        clients.push(client);
    }
    let (said, _) = running.connect("127.0.0.1").rest().await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert!(said.contains("retry-after: 1"), "{said}");
    clients[0].get("/", "here").await;
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_have_an_end_and_health_is_answered() {
    let running = Running::start();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..REQUESTS_MAX {
        let mut client = running.connect("127.0.0.1");
        client
            .send("GET /never HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        clients.push(client);
    }
    let mut client = running.connect("127.0.0.1");
    let said = client.get("/", "try again\"}").await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert!(said.contains("retry-after: 1"), "{said}");
    client.get("/health", "well").await;
    clients.clear();
    // Those who went have given their places back.
    sleep(Duration::from_millis(1)).await;
    client.get("/", "here").await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_accept_neither_spins_nor_ends_the_server() {
    let running = Running::start();
    let started = Instant::now();
    for _ in 0..5 {
        let no_files = io::Error::from_raw_os_error(24);
        running.arrivals.send(Err(no_files)).unwrap();
    }
    running.connect("127.0.0.1").get("/", "here").await;
    assert_eq!(started.elapsed(), 5 * ACCEPT_PAUSE);
    let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
    running.arrivals.send(Err(aborted)).unwrap();
    running.connect("127.0.0.1").get("/", "here").await;
    assert_eq!(started.elapsed(), 5 * ACCEPT_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_idle_connections_and_waits_for_answers() {
    let running = Running::start();
    let mut idle = running.connect("127.0.0.1");
    idle.get("/", "here").await;
    let mut silent = running.connect("127.0.0.1");
    let mut busy = running.connect("127.0.0.1");
    busy.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    running.stop.cancel();
    idle.rest().await;
    silent.rest().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    let (said, _) = busy.rest().await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    running.serving.await.unwrap();
    assert!(started.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_cut_off() {
    let folder = std::env::temp_dir().join(format!("venom-handshake-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = crate::config::TlsFiles {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let running = Running::start_with(0, Some(Certificates::load(files).unwrap()));
    std::fs::remove_dir_all(&folder).unwrap();
    let (said, took) = running.connect("192.0.2.1").rest().await;
    assert_eq!((said.as_str(), took), ("", HANDSHAKE_TIME_MAX));
    // Plain HTTP is not spoken there, and a stop does not wait for handshakes.
    let Client { mut reader, .. } = {
        let mut plain = running.connect("192.0.2.1");
        plain
            .send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        plain
    };
    let mut said = Vec::new();
    reader.read_to_end(&mut said).await.unwrap();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    let mut silent = running.connect("192.0.2.1");
    sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    running.stop.cancel();
    silent.rest().await;
    running.serving.await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
}
