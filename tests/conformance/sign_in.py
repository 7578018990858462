#!/usr/bin/env python3
"""Signs in to a running Venom with the official MCP client for TypeScript, and plays the owner in the
browser. The checks are in sign_in.mjs, which says how the two talk.

    tests/conformance/sign_in.py --url http://localhost:8000 --passphrase abcde-fghij-klmno-pqrst \\
        --command "target/debug/venom --data ./data"

The client comes with the conformance suite, which run.py installs on first use.
"""

import argparse
import inspect
import json
import shlex
import subprocess
import sys
import threading

from run import HERE, SUITE_MAIN, Browser, Failure, Surprise, install, installation, node

RUN_SECONDS_MAX = 120


def answer(asked, browser, venom):
    """Does what the app asks of the owner; the line that it waits for."""
    if "visit" in asked:
        return browser.answer_app(asked.pop("visit"), **asked)
    if asked == {"revoke": True}:
        subprocess.run([*venom, "grant", "revoke-all"], stdout=subprocess.DEVNULL, check=True)
        return "done"
    raise Failure(f"sign_in.mjs asked for {asked}")


def main():
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]).splitlines()[0])
    parser.add_argument("--url", required=True, help="the server's public URL, such as http://localhost:8000")
    parser.add_argument("--passphrase", required=True, help="the owner's passphrase")
    parser.add_argument("--command", required=True, help="the command line of the server's data folder")
    arguments = parser.parse_args()
    origin = arguments.url.rstrip("/")
    folder = installation()
    if not (folder / SUITE_MAIN).is_file():
        install(folder)
    browser = Browser(origin, arguments.passphrase)
    command = [str(node(folder)), str(HERE / "sign_in.mjs"), str(folder), origin]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, **pipes) as app:
        patience = threading.Timer(RUN_SECONDS_MAX, app.kill)
        patience.start()
        try:
            for line in app.stdout:
                if line.startswith("{"):
                    app.stdin.write(answer(json.loads(line), browser, shlex.split(arguments.command)) + "\n")
                    app.stdin.flush()
                else:
                    print(line, end="", flush=True)
            return app.wait()
        finally:
            patience.cancel()
            app.kill()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, Surprise) as failure:
        sys.exit(f"tests/conformance/sign_in.py: {failure}")
