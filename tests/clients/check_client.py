#!/usr/bin/env python3
"""Talks to a running Venom, or starts one, with the official MCP client for Python and checks the
outside contract: the handshake, the lists, storing and finding, and every kind of bad input.

The same script runs with the client's 1.x and 2.x line (see `setup`); the class Link below hides
where they differ. It prints one line per check and closes with "N passed, N failed". Give it a
server with a data folder of its own: it stores some sixty memories per connection and removes none.

    target/clients/mcp2/bin/python tests/clients/check_client.py --transport stdio \\
        --command "target/debug/venom stdio"
    target/clients/mcp1/bin/python tests/clients/check_client.py --transport http \\
        --url http://127.0.0.1:8000
"""

import argparse
import contextlib
import importlib.metadata
import inspect
import json
import logging
import os
import re
import shlex
import sys
import uuid

import anyio
import mcp
from mcp import ClientSession, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from checks import Check, Tally, equal, expect, shorten

MAJOR = int(importlib.metadata.version("mcp").split(".")[0])
if MAJOR >= 2:
    import httpx2 as http_library
    from mcp import MCPError
else:
    import httpx as http_library
    from mcp import McpError as MCPError

READING = {"get_memory", "list_memories", "list_spaces", "search_memory", "spawn_venom"}
CHANGING = {"forget_memory", "manage_space", "move_memories", "update_memory"}
TOOLS = sorted(READING | CHANGING | {"store_conversation", "store_memory"})
PROMPTS = ["Spawn Venom", "venom_identity"]
STATELESS_REVISION = "2026-07-28"
TEN_MIB = 10 * 1024 * 1024
ANSWER_SECONDS_MAX = 60
SENTENCE_CHARS_MAX = 300
TOOL_LIST_TOKENS_MAX = 1_800
CHARS_PER_TOKEN = 4
INVALID_PARAMS = -32602
MEMORY_ID = re.compile(r"mem_[0-9]+")
RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
# What a debug print, a stack trace or a library's own words look like.
NOT_A_SENTENCE = ("Traceback", "panicked", "Some(", "None)", "Error {", "error[", "\n", "\x00", "  at ")
INITIALIZE, DISCOVER = "initialize", "discover"


# --- One client, whichever version ----------------------------------------------------------------


class Link:
    """A connected client. Results are plain JSON-like values with the protocol's own field names."""

    def __init__(self, client, server):
        self.client = client
        self.server = server  # name, version, instructions, protocol, capabilities

    async def ask(self, method, *arguments):
        with anyio.move_on_after(ANSWER_SECONDS_MAX):
            return plain(await getattr(self.client, method)(*arguments))
        raise Check(f"{method}: no answer within {ANSWER_SECONDS_MAX} s")

    async def call(self, tool, **arguments):
        return await self.ask("call_tool", tool, arguments)

    async def structured(self, tool, **arguments):
        """The structured content of a call that must succeed."""
        result = await self.call(tool, **arguments)
        expect(not result.get("isError"), f"{tool} failed: {shorten(texts(result))}")
        content = result.get("structuredContent")
        expect(isinstance(content, dict), f"{tool} gave no structured content")
        return content


def plain(result):
    return result.model_dump(mode="json", by_alias=True)


def texts(result):
    return [block.get("text", "") for block in result.get("content", [])]


def streams(arguments, headers=None, **http):
    """The transport's context manager. It yields (read, write) and, in 1.x over HTTP, one more."""
    if arguments.transport == "stdio":
        command, *rest = shlex.split(arguments.command)
        # The client passes on only a handful of variables by itself; ours are in the environment.
        return stdio_client(StdioServerParameters(command=command, args=rest, env=dict(os.environ)))
    base = arguments.url.rstrip("/")
    for path in ("/mcp", "/sse"):
        base = base.removesuffix(path)
    if arguments.transport == "sse":
        return sse_client(base + "/sse", headers=headers, httpx_client_factory=lambda **usual: client_of(usual | http))
    client = client_of({"headers": headers, "timeout": ANSWER_SECONDS_MAX} | http)
    return streamable_http_client(base + "/mcp", http_client=client)


def client_of(options):
    return http_library.AsyncClient(**options)


@contextlib.asynccontextmanager
async def connected(arguments, lifecycle, headers=None, **http):
    if MAJOR >= 2:
        mode = "legacy" if lifecycle == INITIALIZE else "auto"
        transport = streams(arguments, headers, **http)
        limit = ANSWER_SECONDS_MAX
        async with mcp.Client(transport, mode=mode, cache=None, read_timeout_seconds=limit) as client:
            info = client.server_info
            yield Link(client, {
                "name": info.name if info else None,
                "version": info.version if info else None,
                "icons": getattr(info, "icons", None),
                "instructions": client.instructions,
                "protocol": client.protocol_version,
                "capabilities": plain(client.server_capabilities),
            })
        return
    async with streams(arguments, headers, **http) as (read, write, *_), ClientSession(read, write) as session:
        with anyio.fail_after(ANSWER_SECONDS_MAX):
            result = await session.initialize()
        yield Link(session, {
            "name": result.serverInfo.name,
            "version": result.serverInfo.version,
            "icons": result.serverInfo.icons,
            "instructions": result.instructions,
            "protocol": result.protocolVersion,
            "capabilities": plain(result.capabilities),
        })


# --- The checks, run in the order in which they stand here -----------------------------------------


async def server_presents_itself(link, run):
    server = link.server
    equal("server name", server["name"], "venom")
    expect(server["version"], "the server tells no version")
    instructions = server["instructions"] or ""
    for word in ("search_memory", "store_memory", "spawn_venom"):
        expect(word in instructions, f"the instructions do not mention {word}")
    for capability in ("tools", "prompts", "resources"):
        expect(server["capabilities"].get(capability) is not None, f"no {capability} capability")
    expect(server["icons"], "the server announces no icon")


async def protocol_is_the_newest_both_speak(link, run):
    if run.lifecycle == DISCOVER and run.arguments.transport != "sse":
        equal("protocol", link.server["protocol"], STATELESS_REVISION)
    else:
        expect(link.server["protocol"] >= "2024-11-05", f"protocol {link.server['protocol']}")


async def every_tool_is_listed(link, run):
    tools = (await link.ask("list_tools"))["tools"]
    equal("tools", sorted(tool["name"] for tool in tools), TOOLS)
    for tool in tools:
        name = tool["name"]
        expect(tool.get("title"), f"{name} has no title")
        expect(tool.get("description"), f"{name} has no description")
        equal(f"{name} input schema type", tool["inputSchema"].get("type"), "object")
        hints = tool.get("annotations") or {}
        equal(f"{name} readOnlyHint", hints.get("readOnlyHint"), name in READING)
        equal(f"{name} destructiveHint", hints.get("destructiveHint"), name in CHANGING)
        expect(isinstance(hints.get("idempotentHint"), bool), f"{name} has no idempotentHint")
        equal(f"{name} openWorldHint", hints.get("openWorldHint"), False)
    schemas = {tool["name"]: tool for tool in tools}
    for name, fields in (
        ("search_memory", {"results", "total_results", "query_embedding_generated"}),
        ("store_memory", {"memory_id", "success", "timestamp", "embedding_dimensions"}),
    ):
        schema = schemas[name].get("outputSchema") or {}
        found = set(schema.get("properties", {}))
        expect(fields <= found, f"{name} output schema lacks {sorted(fields - found)}")
    equal("store_memory required", schemas["store_memory"]["inputSchema"].get("required"), ["content"])
    equal("search_memory required", schemas["search_memory"]["inputSchema"].get("required"), ["query"])
    expect(not schemas["spawn_venom"]["inputSchema"].get("required"), "spawn_venom requires something")


async def tool_list_costs_few_tokens(link, run):
    # The JSON as it crosses the wire: without the nulls that the client's model adds.
    tools = [without_nulls(tool) for tool in (await link.ask("list_tools"))["tools"]]
    tokens = len(json.dumps(tools, separators=(",", ":"))) // CHARS_PER_TOKEN
    expect(tokens < TOOL_LIST_TOKENS_MAX, f"the tool list is about {tokens} tokens")


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


async def prompts_are_listed_and_read(link, run):
    prompts = (await link.ask("list_prompts"))["prompts"]
    names = [prompt["name"] for prompt in prompts]
    expect(len(set(names)) == len(names), f"a prompt is listed twice: {names}")
    for prompt in prompts:
        expect(prompt.get("description"), f"the prompt {prompt['name']} has no description")
    for name in PROMPTS:
        expect(name in names, f"the prompt {name} is missing among {names}")
    for name in names:
        messages = (await link.ask("get_prompt", name))["messages"]
        expect(messages, f"the prompt {name} has no message")
        text = messages[0]["content"].get("text", "")
        expect(len(text) > 20, f"the prompt {name} is {shorten(text)!r}")


async def personas_are_resources(link, run):
    resources = (await link.ask("list_resources"))["resources"]
    expect(resources, "no resource is listed")
    for resource in resources:
        expect(resource.get("name"), f"the resource {resource['uri']} has no name")
        [content, *_] = (await link.ask("read_resource", resource["uri"]))["contents"]
        equal("the uri of the content", content["uri"], resource["uri"])
        expect(len(content.get("text", "")) > 20, f"the resource {resource['uri']} is empty")


async def spawn_venom_gives_the_persona(link, run):
    result = await link.call("spawn_venom")
    expect(not result.get("isError"), f"spawn_venom failed: {shorten(texts(result))}")
    [text] = texts(result)
    expect("search_memory" in text, "the persona does not speak of search_memory")
    prompt = (await link.ask("get_prompt", "venom_identity"))["messages"][0]["content"]["text"]
    expect(text.strip() in prompt or prompt.strip() in text, "the tool and the prompt give different personas")


async def stored_memory_is_found(link, run):
    mark = uuid.uuid4().hex
    content = f"The harbour master of Skagen keeps a grey parrot named Otto. {mark}"
    tags = ["birds", "north sea"]
    stored = await link.structured("store_memory", content=content, tags=tags)
    equal("fields", sorted(stored), ["embedding_dimensions", "memory_id", "success", "timestamp"])
    expect(MEMORY_ID.fullmatch(stored["memory_id"]), f"memory_id {stored['memory_id']!r}")
    equal("success", stored["success"], True)
    expect(RFC3339_UTC.fullmatch(stored["timestamp"]), f"timestamp {stored['timestamp']!r}")
    equal("embedding_dimensions", stored["embedding_dimensions"], 384)

    query = f"Which bird lives with the harbour master? {mark}"
    found = await link.structured("search_memory", query=query, limit=20)
    equal("fields", sorted(found), ["note", "query_embedding_generated", "results", "total_results"])
    equal("query_embedding_generated", found["query_embedding_generated"], True)
    equal("total_results", found["total_results"], len(found["results"]))
    for memory in found["results"]:
        check_found_memory(memory)
    scores = [memory["score"] for memory in found["results"]]
    equal("order", scores, sorted(scores, reverse=True))
    hits = [memory for memory in found["results"] if memory["memory_id"] == stored["memory_id"]]
    expect(len(hits) == 1, f"{stored['memory_id']} was found {len(hits)} times")
    equal("content", hits[0]["content"], content)
    equal("tags", hits[0]["tags"], tags)
    equal("timestamp", hits[0]["timestamp"], stored["timestamp"])
    expect(hits[0]["relevance_score"] > 30, f"relevance_score {hits[0]['relevance_score']} of a clear match")


def check_found_memory(memory):
    fields = ["content", "memory_id", "rank", "relevance_score", "score", "tags", "timestamp"]
    # Where it comes from and came in is told as far as it is known.
    equal("fields of a result", sorted(set(memory) - {"speaker", "session", "occurred_at", "origin"}), fields)
    expect(MEMORY_ID.fullmatch(memory["memory_id"]), f"memory_id {memory['memory_id']!r}")
    expect(isinstance(memory["content"], str), "content is no text")
    expect(RFC3339_UTC.fullmatch(memory["timestamp"]), f"timestamp {memory['timestamp']!r}")
    score = memory["relevance_score"]
    expect(isinstance(score, (int, float)) and 0 <= score <= 100, f"relevance_score {score!r}")
    equal("relevance_score with one decimal", score, round(score, 1))
    tags = memory["tags"]
    expect(tags is None or all(isinstance(tag, str) for tag in tags), f"tags {tags!r}")


async def a_conversation_is_kept_whole(link, run):
    session = f"talk {run}"
    turns = [
        {"speaker": "user", "content": f"Which boat did we rent for {run}?"},
        {"speaker": "Zora", "content": "The blue one with the loud engine.", "occurred_at": "2026-03-01"},
    ]
    stored = await link.structured("store_conversation", turns=turns, session=session)
    equal("turns", len(stored["memory_ids"]), 2)
    equal("session", stored["session"], session)
    listed = await link.structured("list_memories", session=session)
    equal("newest first", [memory["memory_id"] for memory in listed["memories"]], stored["memory_ids"][::-1])
    found = await link.structured("search_memory", query=f"boat rented for {run}", session=session, explain=True)
    equal("found", len(found["results"]), 2)
    expect(found["results"][0]["explanation"]["parts"], "the score is not explained")


async def a_memory_is_changed_forgotten_and_brought_back(link, run):
    memory_id = (await link.structured("store_memory", content=f"The code word of {run} is plum"))["memory_id"]
    again = await link.structured("store_memory", content=f"the code word of {run}  is plum.", tags=["again"])
    equal("duplicate_of", again["duplicate_of"], memory_id)
    await link.structured("update_memory", memory_id=memory_id, content=f"The code word of {run} is fig")
    memory = await link.structured("get_memory", memory_id=memory_id)
    equal("content", memory["content"], f"The code word of {run} is fig")
    equal("tags", memory["tags"], ["again"])
    await link.structured("forget_memory", memory_id=memory_id)
    gone = await link.call("get_memory", memory_id=memory_id)
    equal("isError", gone.get("isError"), True)
    await link.structured("forget_memory", memory_id=memory_id, undo=True)
    equal("back", (await link.structured("get_memory", memory_id=memory_id))["content"], memory["content"])


async def text_block_is_the_same_json(link, run):
    calls = (
        ("store_memory", {"content": "The text block and the structured content agree."}),
        ("search_memory", {"query": "do text and structure agree?"}),
    )
    for tool, arguments in calls:
        result = await link.call(tool, **arguments)
        [text] = texts(result)
        try:
            parsed = json.loads(text)
        except ValueError:
            raise Check(f"the text block of {tool} is no JSON: {shorten(text)}") from None
        equal(f"text block of {tool}", parsed, result["structuredContent"])


async def memory_without_tags(link, run):
    mark = uuid.uuid4().hex
    content = f"No tags hang on this memory {mark}"
    stored = await link.structured("store_memory", content=content)
    found = await link.structured("search_memory", query=content, limit=20)
    [hit] = [memory for memory in found["results"] if memory["memory_id"] == stored["memory_id"]]
    expect(not hit["tags"], f"tags {hit['tags']!r}")


async def text_comes_back_unchanged(link, run):
    content = f'Grüße aus 東京 🕷️ — "quoted", \\ and\n\tnew lines, U+2028 \u2028 {uuid.uuid4().hex}'
    tag = "süß 🕷️"
    stored = await link.structured("store_memory", content=content, tags=[tag])
    found = await link.structured("search_memory", query=content, limit=20)
    [hit] = [memory for memory in found["results"] if memory["memory_id"] == stored["memory_id"]]
    # What a reader cannot see is made visible, all else is as it was stored.
    equal("content", hit["content"], content.replace("\u2028", "⟨U+2028⟩"))
    equal("tags", hit["tags"], [tag])


async def limit_is_kept(link, run):
    for number in range(7):
        await link.structured("store_memory", content=f"Limit filler number {number}: lighthouses and tides.")
    for limit in (1, 3, 20):
        found = await link.structured("search_memory", query="lighthouses and tides", limit=limit)
        expect(len(found["results"]) <= limit, f"limit {limit} gave {len(found['results'])} results")
    found = await link.structured("search_memory", query="lighthouses and tides")
    equal("results without a limit", len(found["results"]), 5)


async def twenty_stores_at_once_keep_twenty(link, run):
    mark = uuid.uuid4().hex
    ids = {}

    async def store(content):
        ids[content] = (await link.structured("store_memory", content=content))["memory_id"]

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(store, f"Burst {number} of {mark}")
    equal("different ids", len(set(ids.values())), 20)
    for content, memory_id in ids.items():
        found = await link.structured("search_memory", query=content, limit=20)
        expect(memory_id in [memory["memory_id"] for memory in found["results"]], f"{content!r} is lost")


# --- Bad input -------------------------------------------------------------------------------------

# Name, tool, arguments, and a word that the answer must have.
REFUSED = [
    ("empty_query", "search_memory", {"query": ""}, "query"),
    ("blank_query", "search_memory", {"query": " \t\n "}, "query"),
    ("query_of_10_mb", "search_memory", {"query": "x" * TEN_MIB}, "query"),
    ("nul_in_query", "search_memory", {"query": "a\0b"}, "query"),
    ("query_is_a_number", "search_memory", {"query": 5}, "query"),
    ("missing_query", "search_memory", {}, "query"),
    ("limit_0", "search_memory", {"query": "tea", "limit": 0}, "limit"),
    ("limit_21", "search_memory", {"query": "tea", "limit": 21}, "limit"),
    ("limit_five", "search_memory", {"query": "tea", "limit": "five"}, "limit"),
    ("empty_content", "store_memory", {"content": ""}, "content"),
    ("blank_content", "store_memory", {"content": " \n\t "}, "content"),
    ("missing_content", "store_memory", {"tags": ["refused"]}, "content"),
    ("content_is_a_list", "store_memory", {"content": ["refused"]}, "content"),
    ("content_of_10_mb", "store_memory", {"content": "x" * TEN_MIB}, "content"),
    ("nul_in_content", "store_memory", {"content": "refused \0 here"}, "content"),
    ("eleven_tags", "store_memory", {"content": "refused", "tags": [f"t{n}" for n in range(11)]}, "tag"),
    ("empty_tag", "store_memory", {"content": "refused", "tags": ["ok", ""]}, "tag"),
    ("tag_of_51_characters", "store_memory", {"content": "refused", "tags": ["ü" * 51]}, "tag"),
    ("tags_is_text", "store_memory", {"content": "refused", "tags": "refused"}, "tag"),
]


def refused(tool, arguments, word):
    async def check(link, run):
        result = await link.call(tool, **arguments)
        equal("isError", result.get("isError"), True)
        expect(not result.get("structuredContent"), "a failure carries structured content")
        found = texts(result)
        equal("text blocks", len(found), 1)
        check_sentence(found[0])
        expect(word in found[0].lower(), f"the answer does not mention {word}: {found[0]!r}")
        await still_answers(link)

    return check


def check_sentence(text):
    expect(len(text.split()) >= 3, f"no sentence: {text!r}")
    expect(len(text) <= SENTENCE_CHARS_MAX, f"a sentence of {len(text)} characters: {shorten(text)!r}")
    for mark in NOT_A_SENTENCE:
        expect(mark not in text, f"{mark!r} in {shorten(text)!r}")


async def still_answers(link):
    await link.structured("search_memory", query="are we still there?", limit=1)


async def unknown_tool(link, run):
    try:
        result = await link.call("forget_everything")
    except MCPError as error:
        equal("code", error.error.code, INVALID_PARAMS)
        message = error.error.message
    else:
        equal("isError", result.get("isError"), True)
        [message] = texts(result)
    check_sentence(message)
    expect("forget_everything" in message, f"the answer does not name the tool: {message!r}")
    await still_answers(link)


async def unknown_prompt(link, run):
    await refused_request(link, "get_prompt", "nobody")
    await still_answers(link)


async def unknown_resource(link, run):
    await refused_request(link, "read_resource", "venom://persona/nobody")
    await still_answers(link)


async def refused_request(link, method, name):
    try:
        await link.ask(method, name)
    except MCPError as error:
        expect(error.error.code in (INVALID_PARAMS, -32002), f"code {error.error.code}")
        check_sentence(error.error.message)
        expect("nobody" in error.error.message, f"the answer does not name it: {error.error.message!r}")
    else:
        raise Check(f"{method} of an unknown name succeeded")


async def unknown_persona(link, run):
    result = await link.call("spawn_venom", persona="nobody-of-this-name")
    expect(texts(result), "spawn_venom said nothing")
    if result.get("isError"):
        check_sentence(texts(result)[0])
    await still_answers(link)


async def nothing_refused_was_kept(link, run):
    found = await link.structured("search_memory", query="refused", limit=20)
    contents = [memory["content"] for memory in found["results"]]
    kept = [text for text in contents if text.startswith("refused") or len(text) > 1_000_000]
    equal("kept although refused", kept, [])


# --- On their own connection -----------------------------------------------------------------------


async def unknown_session_id_is_served(arguments, lifecycle):
    """A client that outlived a server restart goes on with the session id of the old one."""
    headers = {"Mcp-Session-Id": "00000000-no-such-session"}
    async with connected(arguments, lifecycle, headers) as link:
        await still_answers(link)


async def two_clients_at_once_see_the_same(arguments, lifecycle):
    content = f"Two clients share what we remember. {uuid.uuid4().hex}"
    async with connected(arguments, lifecycle) as one, connected(arguments, lifecycle) as two:
        stored = await one.structured("store_memory", content=content)
        found = await two.structured("search_memory", query=content, limit=20)
        expect(stored["memory_id"] in [m["memory_id"] for m in found["results"]], "the other client does not see it")


SHARED = [
    server_presents_itself,
    protocol_is_the_newest_both_speak,
    every_tool_is_listed,
    tool_list_costs_few_tokens,
    prompts_are_listed_and_read,
    personas_are_resources,
    spawn_venom_gives_the_persona,
    stored_memory_is_found,
    a_conversation_is_kept_whole,
    a_memory_is_changed_forgotten_and_brought_back,
    text_block_is_the_same_json,
    memory_without_tags,
    text_comes_back_unchanged,
    limit_is_kept,
    twenty_stores_at_once_keep_twenty,
    *[(f"refuses_{name}", refused(tool, arguments, word)) for name, tool, arguments, word in REFUSED],
    unknown_tool,
    unknown_prompt,
    unknown_resource,
    unknown_persona,
    nothing_refused_was_kept,
]


# --- Running them ----------------------------------------------------------------------------------


class Run(Tally):
    def __init__(self, arguments, lifecycle):
        super().__init__(arguments.verbose)
        self.arguments = arguments
        self.lifecycle = lifecycle

    async def one(self, name, check, *parameters):
        label = f"mcp {MAJOR}.x {self.arguments.transport} {self.lifecycle}: {name}"
        try:
            await check(*parameters)
        except Exception as error:  # A check may fail in any way; the next one still runs.
            self.fail(label, error)
        else:
            self.ok(label)


async def run_lifecycle(arguments, lifecycle):
    run = Run(arguments, lifecycle)

    async def shared():
        async with connected(arguments, lifecycle) as link:
            for check in SHARED:
                name, function = check if isinstance(check, tuple) else (check.__name__, check)
                await run.one(name, function, link, run)

    # Counted as one more check: that the client connects and parts without an error.
    await run.one("connects_and_closes", shared)
    if arguments.transport != "stdio":
        separate = [two_clients_at_once_see_the_same]
        if arguments.transport == "http":
            separate.append(unknown_session_id_is_served)
        for check in separate:
            await run.one(check.__name__, check, arguments, lifecycle)
    return run


async def run_all(arguments):
    lifecycles = [INITIALIZE] if MAJOR < 2 else [INITIALIZE, DISCOVER]
    if arguments.lifecycle:
        lifecycles = [lifecycle for lifecycle in lifecycles if lifecycle == arguments.lifecycle]
    total = Tally()
    for lifecycle in lifecycles:
        run = await run_lifecycle(arguments, lifecycle)
        total.passed += run.passed
        total.failed += run.failed
    return total.close()


def main():
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]).splitlines()[0])
    parser.add_argument("--transport", choices=("stdio", "http", "sse"), required=True)
    parser.add_argument("--command", help="the command that serves on stdin and stdout, for --transport stdio")
    parser.add_argument("--url", help="the server's root, such as http://127.0.0.1:8000, for http and sse")
    parser.add_argument("--lifecycle", choices=(INITIALIZE, DISCOVER), help="only this way to connect (2.x has both)")
    parser.add_argument("--verbose", action="store_true", help="print a traceback for each failure")
    arguments = parser.parse_args()
    if arguments.transport == "stdio" and not arguments.command:
        parser.error("--transport stdio needs --command")
    if arguments.transport != "stdio" and not arguments.url:
        parser.error(f"--transport {arguments.transport} needs --url")
    # The client logs what the checks provoke on purpose; a failed check says all that matters.
    logging.disable(logging.CRITICAL)
    sys.exit(anyio.run(run_all, arguments))


if __name__ == "__main__":
    main()
