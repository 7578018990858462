//! One client: its connection, what it asks for, and what it makes of the answers.

use super::broken::{self, Head, How, KINDS, short};
use super::{Kind, Length, Plan, Random, Tally, Target, words};
use crate::http::{Connection, Response};
use crate::mcp::{self, REVISION, SseClient};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest wait after an answer that told to wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Why a request came to nothing.
enum Trouble {
    /// A limit was met: try again after this time.
    Limited(Duration),
    /// That was not to happen.
    Unexpected(String),
}

impl From<String> for Trouble {
    fn from(words: String) -> Self {
        Self::Unexpected(words)
    }
}

type Outcome<T> = Result<T, Trouble>;

pub(super) struct Client<'a> {
    target: &'a Target,
    plan: &'a Plan,
    number: usize,
    token: &'a str,
    /// Where it says that it comes from.
    address: Option<String>,
    random: Random,
    connection: Option<Connection>,
    stream: Option<SseClient>,
    next_id: u64,
    stores: u64,
    /// Its memories, oldest first: id and text.
    stored: VecDeque<(String, String)>,
    tally: Tally,
}

impl<'a> Client<'a> {
    pub(super) fn new(target: &'a Target, plan: &'a Plan, number: usize) -> Self {
        let seed = plan
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(number as u64);
        Self {
            target,
            plan,
            number,
            token: &target.tokens[number % target.tokens.len()],
            address: plan
                .addresses
                .then(|| format!("198.51.{}.{}", 100 + number / 250, 1 + number % 250)),
            random: Random::new(seed),
            connection: None,
            stream: None,
            next_id: 0,
            stores: 0,
            stored: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Asks until the plan's end.
    pub(super) fn run(mut self, started: Instant) -> Tally {
        let mut requests = 0;
        loop {
            let over = match self.plan.length {
                Length::Time(time) => started.elapsed() >= time,
                Length::Requests(count) => requests >= count,
            };
            if over {
                break;
            }
            requests += 1;
            self.step();
            if !self.plan.pause.is_zero() {
                std::thread::sleep(self.plan.pause);
            }
        }
        self.tally.acknowledged = self.stored.into_iter().collect();
        self.tally
    }

    /// One request, whatever comes of it.
    fn step(&mut self) {
        let kind = self.choose();
        let began = Instant::now();
        let outcome = match kind {
            Kind::Store => self.store(),
            Kind::Search => self.search(),
            Kind::List => self.list(),
            Kind::Get => self.get(),
            Kind::Forget => self.forget(),
            Kind::Broken => self.broken(),
        };
        match outcome {
            Ok(()) => {
                let times = self.tally.times.entry(kind).or_default();
                times.push(began.elapsed());
            }
            Err(Trouble::Limited(wait)) => {
                self.tally.limited += 1;
                std::thread::sleep(wait.min(WAIT_MAX));
            }
            Err(Trouble::Unexpected(words)) => {
                let client = self.number;
                let words = format!("client {client}, {}: {words}", kind.name());
                self.tally.add_unexpected(words);
            }
        }
    }

    /// 30 % stores, 60 % searches, 5 % lists, 5 % reads; the plan's share of broken ones before.
    fn choose(&mut self) -> Kind {
        if self.random.below(100) < self.plan.broken_percent {
            return Kind::Broken;
        }
        match self.random.below(100) {
            0..30 if self.plan.keep.is_some_and(|keep| self.stored.len() >= keep) => Kind::Forget,
            0..30 => Kind::Store,
            30..90 => Kind::Search,
            90..95 => Kind::List,
            _ if self.stored.is_empty() => Kind::List,
            _ => Kind::Get,
        }
    }

    fn store(&mut self) -> Outcome<()> {
        let text = words::memory(&mut self.random, self.number, self.stores);
        self.stores += 1;
        let answer = self.tool("store_memory", &json!({"content": text, "tags": ["load"]}))?;
        let id = answer["memory_id"]
            .as_str()
            .filter(|_| answer["success"] == true);
        let id = id.ok_or_else(|| format!("no acknowledgement: {answer}"))?;
        self.stored.push_back((id.to_owned(), text));
        Ok(())
    }

    /// Half of the searches are for a memory of its own, by its words.
    fn search(&mut self) -> Outcome<()> {
        let for_own = self.random.below(2) == 0;
        let own = self.own_memory().filter(|_| for_own);
        let query = match &own {
            Some((_, text)) => text.clone(),
            None => words::question(&mut self.random),
        };
        let answer = self.tool("search_memory", &json!({ "query": query }))?;
        let hits = answer["results"]
            .as_array()
            .ok_or_else(|| format!("no results: {answer}"))?;
        if let Some((id, _)) = own {
            self.tally.asked += 1;
            let has = hits.iter().any(|hit| hit["memory_id"] == id.as_str());
            self.tally.found += u64::from(has);
        }
        Ok(())
    }

    fn list(&mut self) -> Outcome<()> {
        let answer = self.tool("list_memories", &json!({"limit": 20}))?;
        let listed = answer["memories"].is_array();
        if listed {
            Ok(())
        } else {
            Err(format!("no list: {answer}").into())
        }
    }

    fn get(&mut self) -> Outcome<()> {
        let Some((id, text)) = self.own_memory() else {
            return self.list();
        };
        let answer = self.tool("get_memory", &json!({ "memory_id": id }))?;
        let same = answer["content"] == text.as_str();
        if same {
            Ok(())
        } else {
            Err(format!("{id} should say {text:?}: {answer}").into())
        }
    }

    fn forget(&mut self) -> Outcome<()> {
        let Some((id, _)) = self.stored.front() else {
            return self.list();
        };
        let arguments = json!({ "memory_id": id });
        self.tool("forget_memory", &arguments)?;
        self.stored.pop_front();
        Ok(())
    }

    fn own_memory(&mut self) -> Option<(String, String)> {
        let count = self.stored.len() as u64;
        let place = (count > 0).then(|| self.random.below(count))?;
        self.stored.get(usize::try_from(place).ok()?).cloned()
    }

    fn broken(&mut self) -> Outcome<()> {
        let (name, how) = self.random.one_of(&KINDS);
        *self.tally.broken.entry(name).or_default() += 1;
        let done = match how {
            How::Message(bytes, code) => self.refused_message(&bytes(), *code),
            How::Method(method, code) => self.refused_call(method, &json!({}), *code),
            How::Tool(tool, code) => {
                self.refused_call("tools/call", &mcp::call(tool, &json!({})), *code)
            }
            How::Arguments(tool, arguments, sentence) => {
                self.refused_arguments(tool, &arguments(), sentence)
            }
            How::Head(head, status) => self.refused_head(head, *status),
            How::Bytes(bytes, status) => self.send_bytes(&bytes(self.token), *status),
        };
        done.map_err(|trouble| match trouble {
            Trouble::Unexpected(words) => Trouble::Unexpected(format!("{name}: {words}")),
            limited @ Trouble::Limited(_) => limited,
        })
    }

    fn refused_message(&mut self, body: &[u8], code: i64) -> Outcome<()> {
        let response = if self.speaks_streams() {
            let posted = self.stream()?.post(body);
            self.received(posted)?
        } else {
            self.post(body)?
        };
        broken::check(&response, 400, &format!("\"code\":{code},"))?;
        Ok(())
    }

    fn refused_call(&mut self, method: &str, params: &Value, code: i64) -> Outcome<()> {
        let answer = self.ask(method, params)?;
        if answer["error"]["code"] == code {
            return Ok(());
        }
        Err(format!("expected the code {code}: {answer}").into())
    }

    fn refused_arguments(&mut self, tool: &str, arguments: &Value, sentence: &str) -> Outcome<()> {
        let answer = self.ask("tools/call", &mcp::call(tool, arguments))?;
        let result = &answer["result"];
        let said = result["content"][0]["text"].as_str().unwrap_or_default();
        if result["isError"] == true && said.starts_with(sentence) {
            return Ok(());
        }
        Err(format!("expected {sentence:?}: {answer}").into())
    }

    fn refused_head(&mut self, head: &Head, status: u16) -> Outcome<()> {
        let token = if head.read_only {
            &self.target.read_only
        } else {
            self.token
        };
        let mut headers = self.headers(token);
        if let Some((name, value)) = head.header {
            headers.retain(|(known, _)| *known != name);
            if !value.is_empty() {
                headers.push((name, value.to_owned()));
            }
        }
        let body = broken::store_message();
        let response = self.exchange(head.method, head.path, &headers, &body)?;
        broken::check(&response, status, head.says)?;
        Ok(())
    }

    fn send_bytes(&self, bytes: &[u8], status: Option<u16>) -> Outcome<()> {
        let broke = |error| Trouble::Unexpected(format!("a connection of its own: {error}"));
        let Some(status) = status else {
            let mut stream = TcpStream::connect(("127.0.0.1", self.target.port)).map_err(broke)?;
            return stream.write_all(bytes).map_err(broke);
        };
        let mut connection = Connection::open(self.target.port).map_err(broke)?;
        connection.send_bytes(bytes).map_err(broke)?;
        let (received, _) = connection.read_head().map_err(broke)?;
        if received == status {
            return Ok(());
        }
        Err(format!("expected {status}, received {received}").into())
    }

    /// What a tool gave back, if it did what was asked.
    fn tool(&mut self, tool: &str, arguments: &Value) -> Outcome<Value> {
        let answer = self.ask("tools/call", &mcp::call(tool, arguments))?;
        let result = &answer["result"];
        let said = result["content"][0]["text"].as_str().unwrap_or_default();
        if result["isError"] == true && said.starts_with("Venom is busy") {
            return Err(Trouble::Limited(Duration::from_secs(1)));
        }
        if result["isError"] != false || !result["structuredContent"].is_object() {
            return Err(format!("not done: {}", short(&answer.to_string())).into());
        }
        Ok(result["structuredContent"].clone())
    }

    /// The whole answer to a request.
    fn ask(&mut self, method: &str, params: &Value) -> Outcome<Value> {
        self.next_id += 1;
        let id = self.next_id;
        let body = mcp::request(id, method, params).to_string();
        let answer = if self.speaks_streams() {
            self.over_stream(body.as_bytes())?
        } else {
            let response = self.post(body.as_bytes())?;
            broken::check(&response, 200, "")?;
            serde_json::from_slice(&response.body)
                .map_err(|e| format!("{e}: {}", response.text()))?
        };
        if answer["id"] == id {
            return Ok(answer);
        }
        Err(format!(
            "expected the answer to {id}: {}",
            short(&answer.to_string())
        )
        .into())
    }

    fn speaks_streams(&self) -> bool {
        let every = self.plan.stream_every;
        every > 0 && self.number % every == every - 1
    }

    fn over_stream(&mut self, body: &[u8]) -> Outcome<Value> {
        let posted = self.stream()?.post(body);
        let response = self.received(posted)?;
        broken::check(&response, 202, "")?;
        let message = self.stream()?.receive();
        message.map_err(|error| {
            self.stream = None;
            format!("the stream broke: {error}").into()
        })
    }

    fn stream(&mut self) -> Outcome<&mut SseClient> {
        if self.stream.is_none() {
            let headers = self.own_headers(self.token);
            let opened = SseClient::open_with(self.target.port, headers);
            self.stream = Some(opened.map_err(|error| format!("no stream: {error}"))?);
        }
        self.stream
            .as_mut()
            .ok_or_else(|| "no stream".to_owned().into())
    }

    fn post(&mut self, body: &[u8]) -> Outcome<Response> {
        let headers = self.headers(self.token);
        self.exchange("POST", "/mcp", &headers, body)
    }

    /// A request on the kept connection.
    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Outcome<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                Connection::open(self.target.port).map_err(|e| format!("no connection: {e}"))?
            }
        };
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answered = connection.request(method, path, &headers, body);
        let closes = |response: &Response| response.header("connection") == Some("close");
        if answered.as_ref().is_ok_and(|response| !closes(response)) {
            self.connection = Some(connection);
        }
        self.received(answered)
    }

    /// An answer, unless a limit was met.
    fn received(&mut self, answered: std::io::Result<Response>) -> Outcome<Response> {
        let response = answered.map_err(|error| {
            self.stream = None;
            format!("the connection broke: {error}")
        })?;
        let wait = response
            .header("retry-after")
            .and_then(|seconds| seconds.parse().ok());
        match wait {
            Some(seconds) if matches!(response.status, 429 | 503) => {
                Err(Trouble::Limited(Duration::from_secs(seconds)))
            }
            _ => Ok(response),
        }
    }

    fn headers(&self, token: &str) -> Vec<(&'static str, String)> {
        let mut headers = self.own_headers(token);
        headers.push(("content-type", "application/json".to_owned()));
        headers.push(("accept", "application/json, text/event-stream".to_owned()));
        headers.push(("mcp-protocol-version", REVISION.to_owned()));
        headers
    }

    fn own_headers(&self, token: &str) -> Vec<(&'static str, String)> {
        let mut headers = vec![("authorization", format!("Bearer {token}"))];
        headers.extend(
            self.address
                .clone()
                .map(|address| ("x-forwarded-for", address)),
        );
        headers
    }
}
