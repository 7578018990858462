//! A server that apps sign in to, and its owner with a browser: what the tests of sign-in start from.

use crate::BINARY;
use serde_json::{Value, json};
use venom_testing::http::query;
use venom_testing::{Command, Connection, Folder, Response, Server, process::free_port};

/// A PKCE pair: the example of RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Where the client of the tests is answered.
pub(crate) const REDIRECT: &str = "https://app.example/callback";

/// The server. Everything goes with it when it is dropped.
pub(crate) struct Guarded {
    pub(crate) folder: Folder,
    pub(crate) server: Server,
    pub(crate) origin: String,
    pub(crate) passphrase: String,
    pub(crate) owner_token: String,
}

/// A pair of tokens.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Guarded {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with these variables besides.
    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let port = free_port();
        let server = start(
            &folder,
            port,
            &format!("http://localhost:{port}"),
            variables,
        );
        let log = server.process.log_with("venom auth init");
        let lines: Vec<&str> = log.lines().map(str::trim).collect();
        let behind = |words: &str| {
            let at = lines
                .iter()
                .position(|line| line.contains(words))
                .expect(words);
            lines[at + 2]
                .trim_start_matches("Authorization: Bearer ")
                .to_owned()
        };
        Self {
            origin: format!("http://localhost:{port}"),
            passphrase: behind("owner's passphrase"),
            owner_token: behind("owner token"),
            folder,
            server,
        }
    }

    /// Stops the server and starts it again, at another public URL if one is given.
    pub(crate) fn restart(&mut self, public_url: Option<&str>) {
        self.server.process.kill();
        let port = self.server.port;
        let url = public_url.unwrap_or(&self.origin).to_owned();
        self.server = start(&self.folder, port, &url, &[]);
        self.origin = url;
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut connection = Connection::open(self.server.port).unwrap();
        connection.request(method, path, headers, body).unwrap()
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.send("GET", path, headers, b"")
    }

    /// Sends a form, as a page of this site unless the headers say otherwise.
    pub(crate) fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Response {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        if headers.iter().all(|(name, _)| *name != "origin") {
            all.push(("origin", self.origin.as_str()));
        }
        all.extend_from_slice(headers);
        self.send("POST", path, &all, query(fields).as_bytes())
    }

    /// Runs a command beside the server.
    pub(crate) fn venom<const WORDS: usize>(&self, words: [&str; WORDS]) -> Command {
        crate::venom(&self.folder, words)
    }

    /// The cookie of a browser in which the owner has signed in.
    pub(crate) fn sign_in(&self) -> String {
        let answer = self.post("/sign-in", &[], &[("passphrase", &self.passphrase)]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie").expect("a cookie");
        cookie.split(';').next().unwrap().to_owned()
    }

    /// The id of a client that registers.
    pub(crate) fn register(&self, redirect_uri: &str) -> String {
        let body = json!({"client_name": "An app", "redirect_uris": [redirect_uri]}).to_string();
        let answer = self.send("POST", "/register", &[], body.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// What a client asks for, with some of it changed; an empty value leaves a parameter out.
    pub(crate) fn question(&self, client_id: &str, changes: &[(&str, &str)]) -> String {
        let resource = format!("{}/mcp", self.origin);
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("scope", "read write"),
            ("state", "a state"),
            ("resource", &resource),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name, value));
            }
        }
        query(&fields)
    }

    /// The consent page of a question.
    pub(crate) fn consent_page(&self, cookie: &str, question: &str) -> Response {
        self.get(&format!("/authorize?{question}"), &[("cookie", cookie)])
    }

    /// What the owner's consent leads to: the address that the browser is sent to.
    pub(crate) fn consent(
        &self,
        cookie: &str,
        question: &str,
        changes: &[(&str, &str)],
    ) -> Response {
        let page = self.consent_page(cookie, question);
        let csrf = csrf_of(&page);
        let mut fields = vec![
            ("request", question),
            ("csrf", csrf.as_str()),
            ("space", "all"),
            ("rights", "write"),
            ("decision", "allow"),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        self.post("/authorize", &[("cookie", cookie)], &fields)
    }

    /// A code for a client.
    pub(crate) fn code(&self, client_id: &str, changes: &[(&str, &str)]) -> String {
        let cookie = self.sign_in();
        let answer = self.consent(&cookie, &self.question(client_id, &[]), changes);
        parameter(answer.header("location").expect("a code"), "code").expect("a code")
    }

    /// Shows a code, with some of what goes with it changed.
    pub(crate) fn exchange(
        &self,
        client_id: &str,
        code: &str,
        changes: &[(&str, &str)],
    ) -> Response {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", REDIRECT),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name, value));
            }
        }
        self.post("/token", &[], &fields)
    }

    pub(crate) fn refresh(&self, client_id: &str, token: &str) -> Response {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("refresh_token", token),
        ];
        self.post("/token", &[], &fields)
    }

    /// A client that was let in, with its tokens.
    pub(crate) fn let_in(&self, changes: &[(&str, &str)]) -> (String, Tokens) {
        let client_id = self.register(REDIRECT);
        let code = self.code(&client_id, changes);
        let tokens = tokens(&self.exchange(&client_id, &code, &[]));
        (client_id, tokens)
    }

    /// Calls a tool with a token.
    pub(crate) fn call(&self, token: &str, tool: &str, arguments: &Value) -> Response {
        let bearer = format!("Bearer {token}");
        self.rpc(
            &[("authorization", &bearer)],
            "tools/call",
            &json!({"name": tool, "arguments": arguments}),
        )
    }

    /// Makes a request to `/mcp`.
    pub(crate) fn rpc(&self, headers: &[(&str, &str)], method: &str, params: &Value) -> Response {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", "/mcp", &all, body.as_bytes())
    }

    /// Whether a token opens the door.
    pub(crate) fn opens(&self, token: &str) -> bool {
        match self.call(token, "list_memories", &json!({})).status {
            200 => true,
            401 => false,
            other => panic!("status {other}"),
        }
    }

    /// Stores a memory as the owner; its id.
    pub(crate) fn store(&self, space: &str, content: &str) -> String {
        let arguments = json!({"content": content, "space": space});
        let answer = self
            .call(&self.owner_token, "store_memory", &arguments)
            .json();
        answer["result"]["structuredContent"]["memory_id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// The audit log's lines, as JSON.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let said = self
            .venom(["audit", "--json", "--limit", "1000"])
            .run()
            .success();
        said.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn start(folder: &Folder, port: u16, url: &str, variables: &[(&str, &str)]) -> Server {
    let mut command = Command::new(BINARY, folder.path()).env("VENOM_PUBLIC_URL", url);
    for (name, value) in variables {
        command = command.env(name, value);
    }
    Server::start_with(command, folder.path(), port)
}

/// The tokens in an answer.
#[track_caller]
pub(crate) fn tokens(answer: &Response) -> Tokens {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let text = |name: &str| json[name].as_str().expect(name).to_owned();
    Tokens {
        access: text("access_token"),
        refresh: text("refresh_token"),
    }
}

/// OAuth's name of an error.
#[track_caller]
pub(crate) fn oauth_error(answer: &Response) -> String {
    assert_eq!(answer.status, 400, "{}", answer.text());
    answer.json()["error"]
        .as_str()
        .expect("an error")
        .to_owned()
}

/// The token against forged forms in a page.
#[track_caller]
pub(crate) fn csrf_of(page: &Response) -> String {
    let text = page.text();
    let (_, rest) = text
        .split_once("name=csrf value=\"")
        .unwrap_or_else(|| panic!("{text}"));
    rest.split('"').next().unwrap().to_owned()
}

/// A parameter of an address, decoded as far as tests need.
pub(crate) fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(
        value
            .replace("%3A", ":")
            .replace("%2F", "/")
            .replace('+', " "),
    )
}
