#!/usr/bin/env python3
"""Plays the sign-in of well-known apps, request by request, against a running Venom with a public URL.

Each app is a row of a table: how it makes itself known, where it wants to be answered, what it looks
for first and which parameters it sends. Behind the table stand the checks of what no app may get. Prints
one line per check and closes with "N passed, N failed". Standard library only.

    tests/clients/callbacks.py --url https://venom.example --at 127.0.0.1:8000 \\
        --passphrase abcde-fghij-klmno-pqrst

Give it a server that was just started: ten registrations a minute are all that one takes.
"""

import argparse
import base64
import hashlib
import inspect
import json
import re
import secrets
import sys
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from browser import Answer, Browser, answered
from checks import Tally, equal, expect, shorten

MCP_ACCEPT = "application/json, text/event-stream"
REVISION = "2025-11-25"
READING = {"get_memory", "list_memories", "list_spaces", "search_memory", "spawn_venom"}
FORM = "application/x-www-form-urlencoded"
RESOURCE_METADATA = "/.well-known/oauth-protected-resource/mcp"
SERVER_METADATA = "/.well-known/oauth-authorization-server"
# What apps look for that this server does not have; anything but a "not here" would stop them.
NOT_HERE = (
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/mcp",
    "/mcp/.well-known/openid-configuration",
)


@dataclass(frozen=True)
class App:
    name: str
    callbacks: tuple  # Each is tried on its own.
    document: str = None  # Its id, where that is the address of a document about it.
    registration: dict = None  # Otherwise what it registers with; `redirect_uris` are the callbacks unless named.
    opening: tuple = ("POST",)  # Requests to the endpoint before it signs in.
    looks_for: tuple = (RESOURCE_METADATA, SERVER_METADATA)
    scope: str = "read write"  # None sends none.
    resource: str = "/mcp"  # Behind the origin; None sends none.
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    parameters: dict = field(default_factory=dict)  # More of them for /authorize.
    agent: str = "node"
    scope_in_refresh: bool = False


LOOPBACK_PORTS = (54212, 3118)
VSCODE_STATE = quote("vscode://dynamicauthprovider/42/redirect?nonce=Zm9v+/8=&windowId=1", safe="")

APPS = [
    App(
        "Claude",
        ("https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"),
        document="https://claude.ai/oauth/mcp-oauth-client-metadata",
        looks_for=(RESOURCE_METADATA, "/.well-known/oauth-protected-resource", SERVER_METADATA),
        scope="read write offline_access",
        agent="Claude-User",
    ),
    App(
        "Claude that registers",
        ("https://claude.ai/api/mcp/auth_callback",),
        registration={
            "client_name": "Claude",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_post",
            "scope": "claudeai",
        },
        scope="claudeai",
        agent="python-httpx/0.28.1",
    ),
    App(
        "Claude Code",
        tuple(f"http://localhost:{port}/callback" for port in LOOPBACK_PORTS),
        document="https://claude.ai/oauth/claude-code-client-metadata",
        agent="claude-code/2.0 (cli)",
    ),
    App(
        "Claude Code that registers",
        ("http://localhost:54212/callback",),
        registration={
            "client_name": "Claude Code (venom)",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        resource=None,
        scope=None,
        agent="claude-code/2.0 (cli)",
    ),
    App(
        "ChatGPT",
        (
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "https://chatgpt.com/connector/oauth/Xk3_v9-Qa2",
        ),
        document="https://chatgpt.com/oauth/client.json",
        looks_for=(RESOURCE_METADATA, SERVER_METADATA, "/.well-known/oauth-protected-resource"),
        scope="read write offline_access openid email",
        resource="/mcp/",
        state="oauth_s_" + base64.b64encode(b"\xfb\xff\xfe state?&=").decode(),
        agent="openai-mcp/1.0.0",
    ),
    App(
        "ChatGPT that registers",
        ("https://chatgpt.com/connector/oauth/Xk3_v9-Qa2",),
        registration={
            "client_name": "ChatGPT",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        agent="openai-mcp/1.0.0",
    ),
    App(
        "Visual Studio Code",
        (
            "http://127.0.0.1:33418/",
            "http://127.0.0.1:33418",
            "http://127.0.0.1:54213/",
            "https://vscode.dev/redirect",
            "https://insiders.vscode.dev/redirect",
        ),
        document="https://vscode.dev/oauth/client-metadata.json",
        looks_for=(RESOURCE_METADATA, SERVER_METADATA),
        state=VSCODE_STATE,
        parameters={"prompt": "consent"},
    ),
    App(
        "Visual Studio Code that registers",
        (
            "http://127.0.0.1:33418/",
            "http://127.0.0.1:54213/",
            "https://vscode.dev/redirect",
            "https://insiders.vscode.dev/redirect",
        ),
        registration={
            "client_name": "Visual Studio Code",
            "client_uri": "https://code.visualstudio.com",
            "redirect_uris": [
                "https://insiders.vscode.dev/redirect",
                "https://vscode.dev/redirect",
                "http://127.0.0.1/",
                "http://127.0.0.1:33418/",
            ],
            "grant_types": [
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        },
        state=VSCODE_STATE,
    ),
    App(
        "Cursor",
        (
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ),
        registration={
            "client_name": "Cursor",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        state=json.dumps({"id": "user-venom", "n": "a+b/c=="}),
    ),
    App(
        "mcp-remote",
        ("http://localhost:20437/oauth/callback",),
        registration={
            "client_name": "MCP CLI Client",
            "client_uri": "https://github.com/modelcontextprotocol/mcp-cli",
            "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
            "software_version": "0.15.1",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
            "scope": "read write",
        },
        opening=("GET", "GET", "POST"),
        scope_in_refresh=True,
    ),
    App(
        "An app that nobody knows",
        ("https://app.example/oauth/done", "http://127.0.0.1:5000/done", "http://[::1]:5000/done"),
        document="https://app.example/oauth/client.json",
        resource="/",
        state="",
    ),
]


class Server:
    """The server as apps see it: behind its public URL."""

    def __init__(self, arguments):
        self.origin = arguments.url
        self.at = arguments.at
        self.passphrase = arguments.passphrase

    def ask(self, method, path, headers=None, body=None):
        url = path if "://" in path else self.origin + path
        return Answer(method, url, headers, body, self.at)

    def post_form(self, path, form, headers=None):
        return self.ask("POST", path, {"Content-Type": FORM, **(headers or {})}, urlencode(form))

    def register(self, metadata, headers=None):
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.ask("POST", "/register", sent, json.dumps(metadata))

    def rpc(self, method, params=None, token=None, headers=None):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        sent = {"Accept": MCP_ACCEPT, "Content-Type": "application/json", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if method != "initialize":
            sent["MCP-Protocol-Version"] = REVISION
        return self.ask("POST", "/mcp", sent, json.dumps(message))

    def call(self, tool, token, **arguments):
        return self.rpc("tools/call", {"name": tool, "arguments": arguments}, token)

    def browser(self):
        return Browser(self.origin, self.passphrase, self.at)


def initialize_params(name):
    return {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}


def result_of(answer):
    """The result of a call that must have succeeded."""
    equal("status", answer.status, 200)
    message = json_of(answer)
    expect("result" in message, f"the call failed: {shorten(answer.text)}")
    expect(not message["result"].get("isError"), f"the tool failed: {shorten(answer.text)}")
    return message["result"]


def json_of(answer):
    kind = answer.headers["Content-Type"] or ""
    expect(kind.startswith("application/json"), f"{answer.url} answered {answer.status} as {kind!r}")
    return json.loads(answer.text)


def refused(answer, error, status=400):
    """An answer that says no in OAuth's words."""
    equal(f"status of {shorten(answer.text)}", answer.status, status)
    body = json_of(answer)
    equal("error", body.get("error"), error)
    expect(body.get("error_description"), "the error has no description")
    not_stored(answer)


def not_stored(answer):
    equal(f"Cache-Control of {answer.url}", answer.headers["Cache-Control"], "no-store")


def challenge_of(answer):
    """The parameters of the challenge of a 401 or 403."""
    scheme, _, rest = (answer.headers["WWW-Authenticate"] or "").partition(" ")
    equal("scheme of the challenge", scheme, "Bearer")
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def proof_key():
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# --- One app, from its first request to its last ---------------------------------------------------


class Way:
    """An app on its way in, answered at one of its callbacks."""

    def __init__(self, server, app, callback, client_id=None):
        self.server = server
        self.app = app
        self.callback = callback
        self.client_id = client_id or app.document
        self.headers = {"User-Agent": app.agent}

    def finds_the_way(self):
        """Refused, it learns from the challenge and from two documents where to go."""
        for method in self.app.opening:
            if method == "GET":
                answer = self.server.ask("GET", "/mcp", {"Accept": MCP_ACCEPT, **self.headers})
            else:
                answer = self.server.rpc("initialize", initialize_params(self.app.name), headers=self.headers)
            equal(f"status of {method} without a token", answer.status, 401)
        challenge = challenge_of(answer)
        expect("error" not in challenge, "a request without a token is told of an error (RFC 6750, section 3.1)")
        equal("resource_metadata", challenge.get("resource_metadata"), self.server.origin + RESOURCE_METADATA)
        asked = {"MCP-Protocol-Version": REVISION, "Accept": "application/json", **self.headers}
        for path in self.app.looks_for:
            equal(f"status of {path}", self.server.ask("GET", path, asked).status, 200)
        for path in NOT_HERE:
            status = self.server.ask("GET", path, asked).status
            expect(400 <= status < 500, f"{path} is answered with {status}")
        resource = json_of(self.server.ask("GET", challenge["resource_metadata"], asked))
        equal("resource", resource["resource"], self.server.origin + "/mcp")
        equal("authorization_servers", resource["authorization_servers"], [self.server.origin])
        self.metadata = json_of(self.server.ask("GET", SERVER_METADATA, asked))
        equal("issuer", self.metadata["issuer"], self.server.origin)
        equal("code_challenge_methods_supported", self.metadata["code_challenge_methods_supported"], ["S256"])
        for supported in ("client_id_metadata_document_supported", "authorization_response_iss_parameter_supported"):
            equal(supported, self.metadata.get(supported), True)
        for name in ("authorization", "token", "registration", "revocation"):
            place = self.metadata[f"{name}_endpoint"]
            expect(place.startswith(self.server.origin + "/"), f"{name}_endpoint is {place}")

    def registers(self):
        metadata = {"redirect_uris": list(self.app.callbacks), **self.app.registration}
        answer = self.server.ask("POST", self.metadata["registration_endpoint"],
                                 {"Content-Type": "application/json", **self.headers}, json.dumps(metadata))
        equal(f"status of {shorten(answer.text)}", answer.status, 201)
        not_stored(answer)
        client = json_of(answer)
        equal("redirect_uris", sorted(client["redirect_uris"]), sorted(metadata["redirect_uris"]))
        equal("token_endpoint_auth_method", client["token_endpoint_auth_method"], "none")
        expect("client_secret" not in client, "a public client got a secret")
        expect(set(client["grant_types"]) <= set(self.metadata["grant_types_supported"]), f"{client['grant_types']}")
        self.client_id = client["client_id"]

    def authorize_url(self, challenge, **changes):
        """The address that the owner is sent to. A change to None leaves a parameter out."""
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "redirect_uri": self.callback,
            "state": self.app.state,
            "scope": self.app.scope,
            "resource": self.app.resource and self.server.origin + self.app.resource,
            **self.app.parameters,
            **changes,
        }
        sent = {name: value for name, value in parameters.items() if value is not None}
        return f"{self.server.origin}/authorize?{urlencode(sent)}"

    def asks_the_owner(self, **choices):
        """Sends the owner to the consent page; the parameters that come back to the callback."""
        self.verifier, challenge = proof_key()
        self.browser = self.server.browser()
        url = self.authorize_url(challenge)
        page = self.browser.consent_page(url)
        equal(f"status of the consent page ({shorten(page.words)})", page.status, 200)
        parts = urlsplit(self.callback)
        shown = parts.hostname if parts.scheme in ("http", "https") else f"{parts.scheme}:"
        expect(shown in page.words, f"the consent page does not say where answers go: {page.words}")
        not_stored(page)
        answer = self.browser.answer_app(url, **choices)
        joint = "&" if "?" in self.callback else "?"
        expect(answer.startswith(self.callback + joint), f"the answer goes to {answer}")
        found = answered(answer)
        equal("iss", found.get("iss"), self.server.origin)
        equal("state", found.get("state"), self.app.state or None)
        return found

    def redeems(self, code, **changes):
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": self.verifier,
            "redirect_uri": self.callback,
            "client_id": self.client_id,
            "resource": self.app.resource and self.server.origin + self.app.resource,
            **changes,
        }
        sent = {name: value for name, value in form.items() if value is not None}
        return self.server.post_form("/token", sent, self.headers)

    def refreshes(self, refresh_token, **changes):
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": self.client_id,
            "resource": self.app.resource and self.server.origin + self.app.resource,
            "scope": self.tokens["scope"] if self.app.scope_in_refresh else None,
            **changes,
        }
        sent = {name: value for name, value in form.items() if value is not None}
        return self.server.post_form("/token", sent, self.headers)

    def takes(self, answer, scope="read write"):
        """The tokens of an answer that must hold some."""
        equal(f"status of {shorten(answer.text)}", answer.status, 200)
        not_stored(answer)
        self.tokens = json_of(answer)
        equal("token_type", self.tokens["token_type"], "Bearer")
        expect(isinstance(self.tokens["expires_in"], int) and self.tokens["expires_in"] >= 300, "expires_in")
        equal("scope", self.tokens["scope"], scope)
        expect(len(self.tokens["refresh_token"]) >= 32, "there is no refresh token")
        return self.tokens

    def lets_in(self, **choices):
        """The whole way, for checks of what comes after."""
        return self.takes(self.redeems(self.asks_the_owner(**choices)["code"]),
                          "read" if choices.get("rights") == "read" else "read write")


def signs_in(way):
    code = way.asks_the_owner()["code"]
    way.takes(way.redeems(code))


def uses_its_token(way):
    server, token = way.server, way.tokens["access_token"]
    result = result_of(server.rpc("initialize", initialize_params(way.app.name), token, way.headers))
    equal("server", result["serverInfo"]["name"], "venom")
    tools = {tool["name"] for tool in result_of(server.rpc("tools/list", token=token, headers=way.headers))["tools"]}
    expect(READING < tools and "store_memory" in tools, f"tools {sorted(tools)}")
    equal("tools of connectors", {"search", "fetch"} <= tools, "openai" in way.app.agent)
    mark = secrets.token_hex(8)
    content = f"{way.app.name} was let in and says hello {mark}"
    stored = result_of(server.call("store_memory", token, content=content))["structuredContent"]
    found = result_of(server.call("search_memory", token, query=content))["structuredContent"]
    expect(stored["memory_id"] in [memory["memory_id"] for memory in found["results"]], "what it stored is not found")


def refreshes_and_gives_back(way):
    before = way.tokens
    after = way.takes(way.refreshes(before["refresh_token"]))
    for name in ("access_token", "refresh_token"):
        expect(before[name] != after[name], f"the {name} stayed the same")
    result_of(way.server.call("search_memory", after["access_token"], query="hello"))
    gone = way.server.post_form("/revoke", {"token": after["refresh_token"], "client_id": way.client_id,
                                            "token_type_hint": "refresh_token"}, way.headers)
    equal("status of /revoke", gone.status, 200)
    answer = way.server.call("search_memory", after["access_token"], query="hello")
    equal("status with a token that was given back", answer.status, 401)
    equal("error of the challenge", challenge_of(answer).get("error"), "invalid_token")
    refused(way.refreshes(after["refresh_token"]), "invalid_grant")


# --- What no app may get ---------------------------------------------------------------------------

CLAUDE_CODE = next(app for app in APPS if app.name == "Claude Code")


def way_of(server, app=CLAUDE_CODE, callback=None):
    return Way(server, app, callback or app.callbacks[0])


def a_code_is_good_once(server):
    way = way_of(server)
    code = way.asks_the_owner()["code"]
    tokens = way.takes(way.redeems(code))
    refused(way.redeems(code), "invalid_grant")
    answer = server.call("search_memory", tokens["access_token"], query="hello")
    equal("status after its code came twice", answer.status, 401)


def two_programs_of_an_app_refresh_at_the_same_time(server):
    """They share their settings; within half a minute neither throws the other out."""
    way = way_of(server)
    first = way.lets_in()
    for tokens in [way.takes(way.refreshes(first["refresh_token"])) for _ in range(2)]:
        answer = server.call("search_memory", tokens["access_token"], query="hello")
        equal("status of a program that refreshed", answer.status, 200)


def a_code_is_for_who_asked(server):
    for error, changes in [
        ("invalid_grant", {"code_verifier": secrets.token_urlsafe(32)}),
        ("invalid_grant", {"client_id": "https://vscode.dev/oauth/client-metadata.json"}),
        ("invalid_grant", {"redirect_uri": "http://localhost:1/callback"}),
        ("invalid_target", {"resource": "https://elsewhere.example/mcp"}),
        ("invalid_request", {"code_verifier": None}),
        ("invalid_request", {"code_verifier": "short"}),
        ("invalid_request", {"client_id": None}),
        ("unsupported_grant_type", {"grant_type": "password"}),
    ]:
        way = way_of(server)
        refused(way.redeems(way.asks_the_owner()["code"], **changes), error)


def a_refresh_token_is_for_who_got_it(server):
    way = way_of(server)
    refresh_token = way.lets_in(rights="read")["refresh_token"]
    refused(way.refreshes(refresh_token, client_id="https://vscode.dev/oauth/client-metadata.json"), "invalid_grant")
    refused(way.refreshes(refresh_token, resource="https://elsewhere.example/"), "invalid_target")
    refused(way.refreshes(refresh_token, scope="read write"), "invalid_scope")
    way.takes(way.refreshes(refresh_token), "read")
    # Whose token it is matters for giving it back, too.
    server.post_form("/revoke", {"token": way.tokens["refresh_token"], "client_id": "https://zed.dev/oauth/x.json"})
    way.takes(way.refreshes(way.tokens["refresh_token"]), "read")


def nobody_is_answered_elsewhere(server):
    """The owner reads why; the address is not followed."""
    for changes in [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://localhost:54212/other"},
        {"redirect_uri": "http://localhost.evil.example:54212/callback"},
        {"redirect_uri": "http://localhost:54212@evil.example/callback"},
        {"redirect_uri": "http://evil.example#http://localhost:54212/callback"},
        {"redirect_uri": "https://localhost:54212/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": None},
        {"client_id": "client_that_never_registered"},
        {"client_id": "https://evil.example/client.json", "redirect_uri": "https://claude.ai/api/mcp/auth_callback"},
        {"client_id": "https://chatgpt.com/oauth/client.json", "redirect_uri": "https://chatgpt.com/connector/oauth/"},
        {"client_id": None},
    ]:
        way = way_of(server)
        page = server.browser().open(way.authorize_url(proof_key()[1], **changes))
        equal(f"where {changes} leads", page.leads_to, None)
        equal(f"status of {changes}", page.status, 400)
        not_stored(page)


def what_does_not_fit_is_told_to_the_app(server):
    for error, changes in [
        ("unsupported_response_type", {"response_type": "token"}),
        ("invalid_request", {"response_type": None}),
        ("invalid_request", {"code_challenge": None}),
        ("invalid_request", {"code_challenge": "short"}),
        ("invalid_request", {"code_challenge_method": "plain"}),
        ("invalid_request", {"code_challenge_method": None}),
        ("invalid_target", {"resource": "https://elsewhere.example/mcp"}),
        ("invalid_request", {"response_mode": "fragment"}),
    ]:
        way = way_of(server)
        page = server.browser().open(way.authorize_url(proof_key()[1], **changes))
        expect(page.leads_to and page.leads_to.startswith(way.callback + "?"), f"{changes}: {page.status}")
        found = answered(page.leads_to)
        equal(f"error of {changes}", found.get("error"), error)
        equal("state", found.get("state"), way.app.state)
        equal("iss", found.get("iss"), server.origin)


def the_owner_says_no(server):
    found = way_of(server).asks_the_owner(decision="deny")
    equal("error", found.get("error"), "access_denied")
    expect("code" not in found, "a code came with the no")


def the_owner_grants_less_than_was_asked_for(server):
    way = way_of(server)
    token = way.lets_in(rights="read")["access_token"]
    tools = {tool["name"] for tool in result_of(server.rpc("tools/list", token=token))["tools"]}
    equal("tools", tools, READING)
    answer = server.call("store_memory", token, content="refused: this app may only read")
    equal("status of a store", answer.status, 403)
    challenge = challenge_of(answer)
    equal("error", challenge.get("error"), "insufficient_scope")
    expect("write" in challenge.get("scope", "").split(), f"scope {challenge.get('scope')!r}")
    equal("resource_metadata", challenge.get("resource_metadata"), server.origin + RESOURCE_METADATA)
    result_of(server.call("search_memory", token, query="hello"))


def a_batch_is_no_way_around(server):
    """Clients of 2025-03-26 may send several calls at once; each is held against the rights on its own."""
    token = way_of(server).lets_in(rights="read")["access_token"]
    params = {"name": "store_memory", "arguments": {"content": "refused: this app may only read"}}
    headers = {"Accept": MCP_ACCEPT, "Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = server.ask("POST", "/mcp", {**headers, "MCP-Protocol-Version": "2025-03-26"}, json.dumps([call]))
    [message] = json_of(answer)
    expect(message["result"].get("isError"), f"it stored: {shorten(answer.text)}")


def a_grant_is_for_its_space(server):
    token = way_of(server).lets_in()["access_token"]
    for tool, arguments in [("store_memory", {"content": "refused"}), ("search_memory", {"query": "hello"})]:
        answer = server.call(tool, token, space="elsewhere", **arguments)
        expect(json_of(answer)["result"].get("isError"), f"{tool} reached another space: {shorten(answer.text)}")
    token = way_of(server).lets_in(space="all")["access_token"]
    result_of(server.call("store_memory", token, space="elsewhere", content="An app that may use all spaces"))


def more_is_not_granted_than_was_asked_for_unseen(server):
    """An app that asks to read gets a page on which reading is chosen."""
    way = way_of(server)
    way.verifier, challenge = proof_key()
    page = server.browser().consent_page(way.authorize_url(challenge, scope="read"))
    equal("rights chosen", page.form_with("decision").values.get("rights"), "read")


def consent_needs_the_owners_own_page(server):
    """A form from elsewhere, without the session, or without its secret changes nothing."""
    way = way_of(server)
    way.verifier, challenge = proof_key()
    browser = server.browser()
    page = browser.consent_page(way.authorize_url(challenge))
    form = page.form_with("decision")
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    sent = {**form.values, "decision": "allow"}
    for headers, values in [
        ({**cookie, "Origin": "https://evil.example"}, sent),
        ({**cookie, "Origin": "null"}, sent),
        (cookie, sent),
        ({"Origin": server.origin}, sent),
        ({**cookie, "Origin": server.origin}, {**sent, "csrf": "0" * 64}),
        ({**cookie, "Origin": server.origin}, {name: value for name, value in sent.items() if name != "csrf"}),
    ]:
        answer = server.post_form("/authorize", values, headers)
        equal(f"status with {sorted(headers)}", answer.status, 403)
    for name in ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy"):
        expect(page.headers[name], f"the consent page has no {name}")
    expect("frame-ancestors 'none'" in page.headers["Content-Security-Policy"], "the page may be framed")


def registrations_that_cannot_be_taken(server):
    for error, metadata in [
        ("invalid_redirect_uri", {"client_name": "x", "redirect_uris": ["http://evil.example/callback"]}),
        ("invalid_client_metadata", {"client_name": "x"}),
    ]:
        refused(server.register(metadata), error)


# --- Apps that are web pages -----------------------------------------------------------------------

PAGE = "https://inspector.example"


def pages_may_sign_in(server):
    """The documents, registration and tokens are for pages of any origin, with no cookies in play."""
    way = way_of(server)
    code = way.asks_the_owner()["code"]
    answers = [
        server.ask("GET", RESOURCE_METADATA, {"Origin": PAGE, "MCP-Protocol-Version": REVISION}),
        server.ask("GET", SERVER_METADATA, {"Origin": PAGE, "MCP-Protocol-Version": REVISION}),
        server.register({"client_name": "Inspector", "redirect_uris": [PAGE + "/oauth/callback"]}, {"Origin": PAGE}),
        server.post_form("/token", {"grant_type": "authorization_code", "code": code, "client_id": way.client_id,
                                    "code_verifier": way.verifier, "redirect_uri": way.callback}, {"Origin": PAGE}),
    ]
    equal("statuses", [answer.status for answer in answers], [200, 200, 201, 200])
    for answer in answers:
        expect(answer.headers["Access-Control-Allow-Origin"] in ("*", PAGE), f"{answer.url} is not for {PAGE}")
        equal("with cookies", answer.headers["Access-Control-Allow-Credentials"], None)


def pages_are_told_that_they_may(server):
    """The preflight of a browser, with the headers that the official client sends."""
    for path, method, headers in [
        (RESOURCE_METADATA, "GET", "mcp-protocol-version"),
        (SERVER_METADATA, "GET", "mcp-protocol-version"),
        ("/register", "POST", "content-type"),
        ("/token", "POST", "content-type"),
        ("/revoke", "POST", "content-type"),
    ]:
        answer = server.ask("OPTIONS", path, {
            "Origin": PAGE,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        })
        expect(answer.status in (200, 204), f"{path}: {answer.status}")
        expect(answer.headers["Access-Control-Allow-Origin"] in ("*", PAGE), f"{path} is not for {PAGE}")
        methods = answer.headers["Access-Control-Allow-Methods"] or ""
        expect(method in methods, f"{path} may not be called with {method}, only with {methods}")
        allowed = (answer.headers["Access-Control-Allow-Headers"] or "").lower().split(", ")
        expect(headers in allowed, f"{path} may not be sent {headers}, only {allowed}")


def pages_from_elsewhere_do_not_reach_the_memories(server):
    token = way_of(server).lets_in()["access_token"]
    answer = server.rpc("tools/list", token=token, headers={"Origin": PAGE})
    equal("status", answer.status, 403)
    for path in ("/account", "/authorize", "/sign-in"):
        answer = server.ask("GET", path, {"Origin": PAGE})
        equal(f"status of {path}", answer.status, 403)
        equal(f"{path} is for", answer.headers["Access-Control-Allow-Origin"], None)


def a_page_of_this_machine_reads_the_challenge(server):
    answer = server.rpc("initialize", initialize_params("inspector"), headers={"Origin": "http://localhost:6274"})
    equal("status", answer.status, 401)
    exposed = (answer.headers["Access-Control-Expose-Headers"] or "").lower()
    expect("www-authenticate" in exposed, f"the page may read {exposed!r} only")


STEPS = [signs_in, uses_its_token, refreshes_and_gives_back]
CHECKS = [
    a_code_is_good_once,
    two_programs_of_an_app_refresh_at_the_same_time,
    a_code_is_for_who_asked,
    a_refresh_token_is_for_who_got_it,
    nobody_is_answered_elsewhere,
    what_does_not_fit_is_told_to_the_app,
    the_owner_says_no,
    the_owner_grants_less_than_was_asked_for,
    a_batch_is_no_way_around,
    a_grant_is_for_its_space,
    more_is_not_granted_than_was_asked_for_unseen,
    consent_needs_the_owners_own_page,
    registrations_that_cannot_be_taken,
    pages_may_sign_in,
    pages_are_told_that_they_may,
    pages_from_elsewhere_do_not_reach_the_memories,
    a_page_of_this_machine_reads_the_challenge,
]


def run_app(tally, server, app):
    """Step by step; a step that fails ends the way, since the next ones build on it."""

    def took(label, step, *arguments):
        try:
            step(*arguments)
        except Exception as error:  # A step may fail in any way; the next app is still played.
            tally.fail(f"{app.name}: {label}", error)
            return False
        tally.ok(f"{app.name}: {label}")
        return True

    first = Way(server, app, app.callbacks[0])
    if not took("finds_the_way", first.finds_the_way):
        return
    if app.registration is not None and not took("registers", first.registers):
        return
    for callback in app.callbacks:
        way = Way(server, app, callback, first.client_id)
        for step in STEPS:
            if not took(f"{step.__name__} at {callback}", step, way):
                break


def main():
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]).splitlines()[0])
    parser.add_argument("--url", required=True, help="the server's public URL, such as https://venom.example")
    parser.add_argument("--at", help="where it listens, such as 127.0.0.1:8000, if not there")
    parser.add_argument("--passphrase", required=True, help="the owner's passphrase")
    parser.add_argument("--verbose", action="store_true", help="print a traceback for each failure")
    arguments = parser.parse_args()
    arguments.url = arguments.url.rstrip("/")
    tally = Tally(arguments.verbose)
    server = Server(arguments)
    for app in APPS:
        run_app(tally, server, app)
    for check in CHECKS:
        try:
            check(server)
        except Exception as error:  # A check may fail in any way; the next one still runs.
            tally.fail(check.__name__, error)
        else:
            tally.ok(check.__name__)
    sys.exit(tally.close())


if __name__ == "__main__":
    main()
