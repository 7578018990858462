#!/usr/bin/env python3
"""Signs in to a running Venom with the official MCP client for Python, as apps do, and plays the owner
in the browser: signing in, read-only grants and more rights later, a no, refreshing, and revoking.

Runs with the client's 1.x and 2.x line, like check_client.py, and prints its results the same way. The
server has to have a public URL; its passphrase is what it showed at its first start.

    target/python/mcp2/bin/python tests/clients/sign_in.py --url http://localhost:8000 \\
        --passphrase abcde-fghij-klmno-pqrst --command "target/debug/venom --data ./data"
"""

import argparse
import inspect
import json
import logging
import shlex
import subprocess
import sys
import time
import uuid
from collections import Counter
from urllib.parse import urlsplit

import anyio
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientMetadata

from browser import Browser, answered
from check_client import DISCOVER, INITIALIZE, MAJOR, READING, TOOLS, MCPError, connected, shorten, texts
from checks import Check, Tally, equal, expect, innermost

MESSAGES = "/messages/"
CALLBACK = "http://localhost:39117/callback"
KNOWN_CLIENT = "https://claude.ai/oauth/claude-code-client-metadata"
CHECK_SECONDS_MAX = 60


class Denied(Exception):
    """What the owner's browser brought back instead of a code."""


class App:
    """An app with the client in it. What it keeps and what it does on the wire can be looked at."""

    registered = None  # The first app's registration: a server takes a few a minute from one address.

    def __init__(self, arguments, lifecycle):
        self.arguments = arguments
        self.lifecycle = lifecycle
        self.browser = Browser(arguments.url, arguments.passphrase)
        self.choices = {}  # What the owner will choose on the consent page.
        self.tokens = None
        self.client = App.registered
        self.asked = []  # The addresses that the owner was sent to.
        self.sent = []  # (method, path, status)
        self.start()

    def start(self, metadata_url=None):
        """Starts the app anew: it knows what it stored and nothing else."""
        self.provider = OAuthClientProvider(
            server_url=self.arguments.endpoint,
            client_metadata=OAuthClientMetadata(client_name=f"mcp {MAJOR}.x", redirect_uris=[CALLBACK]),
            storage=self,
            redirect_handler=self.send_owner,
            callback_handler=self.take_answer,
            client_metadata_url=metadata_url,
        )

    # The storage of the client.

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info

    # The way through the browser.

    async def send_owner(self, url):
        self.asked.append(answered(url))
        self.answer = await anyio.to_thread.run_sync(lambda: self.browser.answer_app(url, **self.choices))
        expect(self.answer.startswith(CALLBACK + "?"), f"the answer went to {self.answer}")

    async def take_answer(self):
        answer = answered(self.answer)
        equal("iss", answer.get("iss"), self.arguments.url)
        if "error" in answer:
            equal("state", answer.get("state"), self.asked[-1]["state"])
            raise Denied(answer["error"])
        if MAJOR < 2:
            return answer["code"], answer["state"]
        from mcp.shared.auth import AuthorizationCodeResult

        return AuthorizationCodeResult(code=answer["code"], state=answer["state"], iss=answer["iss"])

    # The wire.

    def connected(self):
        async def note(response):
            self.sent.append((response.request.method, response.request.url.path, response.status_code))

        return connected(self.arguments, self.lifecycle, auth=self.provider, event_hooks={"response": [note]})

    def count(self, method, path, status):
        return Counter(self.sent)[method, path, status]


async def tools_of(link):
    return sorted(tool["name"] for tool in (await link.ask("list_tools"))["tools"])


async def stores(link):
    content = f"The lighthouse keeper of Hanstholm plays the cello. {uuid.uuid4().hex}"
    stored = await link.structured("store_memory", content=content)
    found = await link.structured("search_memory", query=content, limit=20)
    expect(stored["memory_id"] in [memory["memory_id"] for memory in found["results"]], "what was stored is not found")


# --- The checks: each has an app of its own --------------------------------------------------------


async def an_app_signs_in(app):
    app.client = None
    async with app.connected() as link:
        equal("tools", await tools_of(link), TOOLS)
        await stores(link)
    path = urlsplit(app.arguments.endpoint).path
    steps = [step for step in app.sent if step[1] not in (path, MESSAGES) or step[2] == 401]
    equal("the way in", steps, [
        ("GET" if path == "/sse" else "POST", path, 401),
        ("GET", f"/.well-known/oauth-protected-resource{path}", 200),
        ("GET", "/.well-known/oauth-authorization-server", 200),
        ("POST", "/register", 201),
        ("POST", "/token", 200),
    ])
    equal("times that the owner was asked", len(app.asked), 1)
    equal("resource", app.asked[0].get("resource"), app.arguments.endpoint)
    equal("scope of the token", app.tokens.scope, "read write")
    equal("kind of the token", app.tokens.token_type, "Bearer")
    App.registered = app.client
    expect(app.tokens.expires_in > 60 and app.tokens.refresh_token, "the token cannot be refreshed")


async def an_app_of_a_known_name_need_not_register(app):
    app.client = None
    app.start(metadata_url=KNOWN_CLIENT)
    async with app.connected() as link:
        await stores(link)
    equal("client_id", app.asked[0]["client_id"], KNOWN_CLIENT)
    equal("registrations", [step for step in app.sent if step[1] == "/register"], [])


async def what_an_app_stored_lets_it_in_again(app):
    async with app.connected() as link:
        await stores(link)
    app.start()
    app.sent.clear()
    async with app.connected() as link:
        await stores(link)
    equal("times that the owner was asked", len(app.asked), 1)
    equal("refusals", [step for step in app.sent if step[2] >= 400 and step[0] == "POST"], [])


async def a_token_that_expired_is_refreshed(app):
    async with app.connected() as link:
        before = app.tokens
        for _ in range(2):
            app.provider.context.token_expiry_time = time.time() - 1
            await stores(link)
    equal("refreshes", app.count("POST", "/token", 200), 3)
    equal("times that the owner was asked", len(app.asked), 1)
    expect(app.tokens.access_token != before.access_token, "the access token stayed the same")
    expect(app.tokens.refresh_token != before.refresh_token, "the refresh token stayed the same")
    equal("scope", app.tokens.scope, "read write")


async def an_app_that_may_only_read(app):
    app.choices = {"rights": "read"}
    async with app.connected() as link:
        equal("scope of the token", app.tokens.scope, "read")
        equal("tools", await tools_of(link), sorted(READING))
        await link.structured("search_memory", query="lighthouse")


async def a_no_to_more_rights_ends_the_call(app):
    """A call that would write sends the owner to the consent page. Who stays with reading goes on reading."""
    app.choices = {"rights": "read"}
    try:
        async with app.connected() as link:
            await tools_of(link)
            refusal = await refused_store(link)
    except Exception as error:  # 1.x gives the connection up.
        refusal = str(innermost(error))
    # 2.x shows the server's own words only where the body is an error of JSON-RPC.
    known = ("403", "may read and not write", "Server returned an error response")
    expect(any(words in refusal for words in known), refusal)
    equal("times that the owner was asked", len(app.asked), 2)
    equal("refusals", app.count("POST", "/mcp", 403), 2)
    async with app.connected() as link:
        await link.structured("search_memory", query="lighthouse")
    equal("times that the owner was asked", len(app.asked), 2)


async def refused_store(link):
    """How a store fails, one way or another."""
    try:
        result = await link.call("store_memory", content="refused: this app may only read")
    except MCPError as error:
        return str(error)
    expect(result.get("isError"), f"an app that may only read stored: {shorten(texts(result))}")
    return texts(result)[0]


async def more_rights_are_asked_for_when_they_are_needed(app):
    app.choices = {"rights": "read"}
    async with app.connected() as link:
        equal("tools", await tools_of(link), sorted(READING))
        app.choices = {"rights": "write"}
        await stores(link)
        equal("tools", await tools_of(link), TOOLS)
    equal("times that the owner was asked", len(app.asked), 2)
    expect("write" in app.asked[1]["scope"].split(), f"scope {app.asked[1]['scope']}")
    equal("times that the owner signed in", app.browser.sign_ins, 1)
    equal("refusals", app.count("POST", "/mcp", 403), 1)


async def a_no_reaches_the_app(app):
    app.choices = {"decision": "deny"}
    try:
        async with app.connected():
            pass
    except Exception as error:  # Wrapped in what the client wraps it in.
        denied = innermost(error)
        expect(isinstance(denied, Denied), f"the app learned {denied!r}")
        equal("error", str(denied), "access_denied")
    else:
        raise Check("the app got in")
    equal("tokens", app.tokens, None)


async def a_grant_that_is_revoked_ends_at_once(app):
    async with app.connected() as link:
        await stores(link)
        venom = shlex.split(app.arguments.command)
        granted = json.loads(run([*venom, "grant", "list", "--json"]))
        run([*venom, "grant", "revoke", str(max(grant["number"] for grant in granted["grants"]))])
        await stores(link)
    equal("times that the owner was asked", len(app.asked), 2)
    equal("times that it was refused", len([step for step in app.sent if step[2] == 401]), 2)


async def a_revoked_grant_cannot_be_refreshed(app):
    async with app.connected() as link:
        await stores(link)
        venom = shlex.split(app.arguments.command)
        run([*venom, "grant", "revoke-all"])
        app.provider.context.token_expiry_time = time.time() - 1
        await stores(link)
    equal("refused refreshes", app.count("POST", "/token", 400), 1)
    equal("times that the owner was asked", len(app.asked), 2)
    equal("times that the owner signed in", app.browser.sign_ins, 2)


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    expect(done.returncode == 0, f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout


CHECKS = [
    an_app_signs_in,
    an_app_of_a_known_name_need_not_register,
    what_an_app_stored_lets_it_in_again,
    a_token_that_expired_is_refreshed,
    an_app_that_may_only_read,
    a_no_to_more_rights_ends_the_call,
    more_rights_are_asked_for_when_they_are_needed,
    a_no_reaches_the_app,
    a_grant_that_is_revoked_ends_at_once,
    a_revoked_grant_cannot_be_refreshed,
]
# Over the older transport rights are those of the stream: with others, an app has to open another one.
OVER_SSE = [
    an_app_signs_in,
    what_an_app_stored_lets_it_in_again,
    a_token_that_expired_is_refreshed,
    an_app_that_may_only_read,
    a_no_reaches_the_app,
]


async def run_all(arguments):
    tally = Tally(arguments.verbose)
    older = arguments.transport == "sse"
    for lifecycle in [INITIALIZE] if MAJOR < 2 or older else [INITIALIZE, DISCOVER]:
        for check in OVER_SSE if older else CHECKS:
            label = f"mcp {MAJOR}.x {arguments.transport} {lifecycle}: {check.__name__}"
            try:
                with anyio.fail_after(CHECK_SECONDS_MAX):
                    await check(App(arguments, lifecycle))
            except Exception as error:  # A check may fail in any way; the next one still runs.
                tally.fail(label, error)
            else:
                tally.ok(label)
    return tally.close()


def main():
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]).splitlines()[0])
    parser.add_argument("--url", required=True, help="the server's public URL, such as http://localhost:8000")
    parser.add_argument("--transport", choices=("http", "sse"), default="http")
    parser.add_argument("--passphrase", required=True, help="the owner's passphrase")
    parser.add_argument("--command", required=True, help="the command line of the server's data folder")
    parser.add_argument("--verbose", action="store_true", help="print a traceback for each failure")
    arguments = parser.parse_args()
    arguments.url = arguments.url.rstrip("/")
    arguments.endpoint = arguments.url + ("/sse" if arguments.transport == "sse" else "/mcp")
    logging.disable(logging.CRITICAL)
    sys.exit(anyio.run(run_all, arguments))


if __name__ == "__main__":
    main()
