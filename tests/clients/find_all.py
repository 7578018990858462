"""Asks a server by the official client for memories that it must have, and for no others.

    find_all.py --url URL FILE

FILE is JSON: a list of {id, text}. Every memory must be on the pages of list_memories, come by its id, and be the first
that a search for its own text finds. Closes with how many were found.
"""

import argparse
import json
import sys
from pathlib import Path

import anyio

from check_client import DISCOVER, connected
from checks import Check, equal, expect


async def everything_listed(link):
    """The texts of all pages, by id."""
    listed, cursor = {}, {}
    while True:
        page = await link.structured("list_memories", limit=100, max_tokens=100_000, **cursor)
        for memory in page["memories"]:
            expect(memory["memory_id"] not in listed, f"{memory['memory_id']} is listed twice")
            listed[memory["memory_id"]] = memory["content"]
        if page["next_cursor"] is None:
            return listed
        cursor = {"cursor": page["next_cursor"]}


async def find_all(link, expected):
    equal("listed", await everything_listed(link), expected)
    for memory_id, text in expected.items():
        memory = await link.structured("get_memory", memory_id=memory_id)
        equal(memory_id, memory["content"], text)
        found = await link.structured("search_memory", query=text, limit=1)
        equal(f"the first for {text!r}", found["results"][0]["memory_id"], memory_id)


async def run(arguments):
    memories = json.loads(arguments.file.read_text(encoding="utf-8"))
    expected = {memory["id"]: memory["text"] for memory in memories}
    async with connected(arguments, DISCOVER) as link:
        await find_all(link, expected)
    print(f"{len(expected)} found")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    arguments.transport = "http"
    try:
        anyio.run(run, arguments)
    except Check as failure:
        sys.exit(f"find_all.py: {failure}")


if __name__ == "__main__":
    main()
