#!/usr/bin/env python3
"""Builds the image from the Dockerfile and runs it as people do, hardened: `make test-image`.

    tests/image/run.py [CHECK...] build and check, everything or the named checks
    tests/image/run.py --arm64    build for arm64 on another processor and try its binary, emulated

Needs what scripts/image/build.py needs. Prints one line per check and closes with "N passed, N failed".
"""

import contextlib
import functools
import gzip
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts/image"))

import build as image  # noqa: E402, after the path to it is known
from build import Failure, run  # noqa: E402

IMAGE = "localhost/venom:test"
# What `docker run` is given in docs/container.md, and the limits that podman sets where it must not.
HARDENED = [
    *("--runtime", "runc", "run", "--rm", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges", "--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"),
]
USER = 65532
IMAGE_BYTES_MAX = 50_000_000
CONTEXT_BYTES_MAX = 3_000_000
HEALTHY_SECONDS_MAX = 30

# --- Running ---------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def data_folder():
    """A folder as the container's user owns it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, USER, USER)
        yield folder


class Container:
    """A running server on the host's network, as the image starts it but for address and port."""

    def __init__(self, data, *options, **environment):
        self.port = free_port()
        self.name = f"venom-test-{os.getpid()}-{self.port}"
        variables = {"PORT": self.port, "HOST": "127.0.0.1"} | environment
        words = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        words += ["--detach", "--rm=false", "--name", self.name, "--network", "host", f"--volume={data}:/app/data", *options]
        self.asked = time.monotonic()
        run("podman", *HARDENED, *words, IMAGE)

    def __enter__(self):
        try:
            self.wait_until_healthy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        run("podman", "rm", "--force", "--volumes", "--time", "0", self.name, check=False)

    def wait_until_healthy(self):
        while time.monotonic() < self.asked + HEALTHY_SECONDS_MAX:
            with contextlib.suppress(OSError):
                if self.get("/health")[0] == 200:
                    self.healthy_at = time.clock_gettime(time.CLOCK_BOOTTIME)
                    return
        raise Failure(f"not healthy within {HEALTHY_SECONDS_MAX} s: {self.log()}")

    def get(self, path, method="GET", body=None, **headers):
        url = f"http://127.0.0.1:{self.port}{path}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def call(self, tool, token=None, **arguments):
        """Calls a tool; the status and what the tool answered."""
        params = {"name": tool, "arguments": arguments}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        headers = {"Content_Type": "application/json", "Accept": "application/json, text/event-stream"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        status, answer = self.get("/mcp", "POST", body, **headers)
        return status, json.loads(answer)

    def store(self, content):
        status, answer = self.call("store_memory", content=content)
        expect(status == 200 and not answer["result"]["isError"], answer)

    def search(self, query):
        """The contents found, best first."""
        status, answer = self.call("search_memory", query=query)
        expect(status == 200 and not answer["result"]["isError"], answer)
        return [hit["content"] for hit in answer["result"]["structuredContent"]["results"]]

    def health(self):
        return json.loads(self.get("/health")[1])

    def log(self):
        done = run("podman", "logs", self.name, check=False)
        return done.stdout + done.stderr

    def process(self):
        """The id of its process, seen from here."""
        return int(run("podman", "inspect", "--format", "{{.State.Pid}}", self.name).stdout)

    def status_of_process(self, field):
        status = Path(f"/proc/{self.process()}/status").read_text(encoding="utf-8")
        return re.search(rf"^{field}:\s+(.*)$", status, re.MULTILINE)[1]

    def memory_bytes(self):
        return int(self.status_of_process("VmRSS").removesuffix(" kB")) * 1024

    def healthcheck(self):
        return run("podman", "--runtime", "runc", "exec", self.name, "/app/venom", "healthcheck", check=False)

    def stop(self):
        """Stops it as an engine does; the seconds that took and its exit code."""
        asked = time.monotonic()
        run("podman", "stop", "--time", "20", self.name)
        seconds = time.monotonic() - asked
        return seconds, run("podman", "wait", self.name).stdout.strip()


def stdio_command(data, *options):
    """The words with which a client starts the image over stdio."""
    words = ["--interactive", "--network", "none", f"--volume={data}:/app/data", *options]
    return ["podman", *HARDENED, *words, IMAGE, "stdio"]


def files_of(name, tree=""):
    """Every file of an image with its size, without what the engine puts into every container."""
    container = run("podman", "--runtime", "runc", "create", name, "x").stdout.strip()
    try:
        with subprocess.Popen(["podman", "export", container], stdout=subprocess.PIPE) as export:
            listing = run("tar", "--list", "--verbose", stdin=export.stdout).stdout
    finally:
        run("podman", "rm", "--volumes", container)
    rows = [line.split(None, 5) for line in listing.splitlines() if line.startswith("-")]
    engine = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "run/.containerenv")
    return {row[5]: int(row[2]) for row in rows if row[5] not in engine and row[5].startswith(tree)}


def layers_of(name):
    """Each layer with its size as stored and as sent, in bytes, and what made it."""
    with tempfile.TemporaryDirectory() as work:
        run("podman", "push", "--quiet", "--format", "oci", name, f"oci:{work}/image")
        blob = lambda digest: Path(work) / "image/blobs" / digest.replace(":", "/")  # noqa: E731
        index = json.loads((Path(work) / "image/index.json").read_text(encoding="utf-8"))
        manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text(encoding="utf-8"))
        config = json.loads(blob(manifest["config"]["digest"]).read_text(encoding="utf-8"))
        steps = [step["created_by"] for step in config["history"] if not step.get("empty_layer")]
        for layer, step in zip(manifest["layers"], steps):
            with gzip.open(blob(layer["digest"])) as file:
                size = sum(len(part) for part in iter(lambda: file.read(1 << 20), b""))
            yield size, layer["size"], step


# --- Checks ----------------------------------------------------------------------------------------

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise Failure(str(what))


@check
def the_image_says_what_it_is():
    found = json.loads(run("podman", "image", "inspect", IMAGE).stdout)[0]
    config = found["Config"]
    expect(config["User"] == f"{USER}:{USER}", config["User"])
    expect(config["WorkingDir"] == "/app", config["WorkingDir"])
    expect(list(config["ExposedPorts"]) == ["8000/tcp"], config["ExposedPorts"])
    expect(list(config["Volumes"]) == ["/app/data"], config["Volumes"])
    expect({"HOST=0.0.0.0", "PORT=8000"} <= set(config["Env"]), config["Env"])
    health = config.get("Healthcheck") or found["Healthcheck"]  # Versions of podman differ in the place.
    expect(health["Test"] == ["CMD", "/app/venom", "healthcheck"], health)
    labels = {name.rsplit(".", 1)[1]: text for name, text in config["Labels"].items() if "opencontainers" in name}
    expect({"title", "description", "source", "licenses"} <= set(labels), labels)
    version = run("podman", *HARDENED, "--network", "none", IMAGE, "--version").stdout.split()[1]
    expect(labels["version"] == version, f"label {labels['version']}, program {version}")
    expect(labels["revision"] == image.git("rev-parse", "HEAD"), labels["revision"])


@check
def nothing_is_inside_but_what_is_needed():
    files = files_of(IMAGE)
    named = {"app/venom", *(f"app/licences/{name}" for name in ("LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt"))}
    expect(named <= set(files), sorted(files))
    expect(all(name in named or name.startswith("app/personalities/") for name in files), sorted(files))
    total, program = sum(files.values()), files["app/venom"]
    print(f"     {total / 1e6:.1f} MB: the program with the model {program / 1e6:.1f}")
    for stored, sent, step in layers_of(IMAGE):
        print(f"     {stored / 1e6:7.2f} MB, {sent / 1e6:6.2f} MB compressed: {step.split('#(nop) ')[-1][:80]}")
    expect(total <= IMAGE_BYTES_MAX, total)


def copy_of_the_sources(folder):
    """What git knows or would take, as it is now, committed or not."""
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout
    for name in filter(lambda name: name and (ROOT / name).is_file(), names.split("\0")):
        copy = Path(folder) / "tree" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy)
    return Path(folder) / "tree"


def everything_copied():
    """A Dockerfile that copies the whole context, and by name what the real one copies: engines differ
    in whether they look for named files inside a folder that is shut out."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    sources = [source for line in words for source in line]
    folders = {source: source if (ROOT / source).is_dir() else os.path.dirname(source) or "." for source in sources}
    copies = [f"COPY {source} /{folder}/" for source, folder in folders.items()]
    return "\n".join(["FROM scratch", "COPY . /", *copies, ""])


@check
def only_what_is_named_enters_the_build():
    """A tree full of secrets: whatever the allow list lets through would be in this image."""
    with tempfile.TemporaryDirectory() as work:
        tree = copy_of_the_sources(work)
        secrets = (".env", "data/venom.db", "crates/venom/src/.env", "crates/venom/src/key.pem", "notes.txt",
                   "personalities/.env.local", "personalities/venom.db", "models/weights.bin", "id.key")
        for name in secrets:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("do not ship", encoding="utf-8")
        (Path(work) / "Everything").write_text(everything_copied(), encoding="utf-8")
        tag = "localhost/venom-context:test"
        run("buildah", "bud", "--layers=false", "--tag", tag, "--file", Path(work) / "Everything", tree)
    files = files_of(tag)
    run("podman", "rmi", tag)
    expect("crates/venom/src/main.rs" in files and "Cargo.lock" in files, sorted(files)[:40])
    allowed = re.compile(
        r"crates/[^/]+/(Cargo\.toml|build\.rs|src/.+\.(rs|svg|html|js))|personalities/[^/]+\.md|scripts/get-model\.py|"
        r"scripts/image/[^/]+\.sh|xtask/Cargo\.toml|Cargo\.(toml|lock)|LICENSE-(MIT|APACHE)"
    )
    strangers = [name for name in files if name in secrets or not allowed.fullmatch(name)]
    expect(not strangers, strangers)
    size = sum(files.values())
    print(f"     the context has {size / 1e6:.2f} MB in {len(files)} files")
    expect(size < CONTEXT_BYTES_MAX, size)


@check
def it_serves_hardened_and_the_official_client_works():
    python = python_with("tests/clients/requirements-mcp2.txt")
    client = (python, ROOT / "tests/clients/check_client.py")
    with data_folder() as data, Container(data) as server:
        expect(server.status_of_process("Uid").split()[0] == str(USER), server.status_of_process("Uid"))
        for field in ("CapPrm", "CapEff", "CapBnd"):
            expect(int(server.status_of_process(field), 16) == 0, f"{field} is not empty")
        expect(server.status_of_process("NoNewPrivs") == "1", "privileges may be gained")
        over_http = run(*client, "--transport", "http", "--url", f"http://127.0.0.1:{server.port}")
    with data_folder() as data:
        over_stdio = run(*client, "--transport", "stdio", "--command", shlex.join(stdio_command(data)))
    for transport, done in (("HTTP", over_http), ("stdio without a network", over_stdio)):
        print(f"     {transport}: {done.stdout.splitlines()[-1]}")


@check
def it_starts_fast_and_stays_small():
    """Figures for people; nothing here fails for being slow."""
    with data_folder() as data, Container(data, "--cpus", "0.5", "--memory", "512m") as server:
        print(f"     with 0.5 CPU and 512 MB: {seconds_since_start(server):.2f} s from the process to healthy")
    with data_folder() as data, Container(data) as server:
        healthy = seconds_since_start(server)
        server.search("anything")
        print(f"     {healthy:.2f} s from the start of the process to healthy,"
              f" {time.monotonic() - server.asked:.2f} s from `run` to the first answered search")
        idle = server.memory_bytes()
        for number in range(1000):
            server.store(f"The lighthouse keeper noted ship number {number} at dusk")
        print(f"     {idle / 1e6:.0f} MB resident idle, {server.memory_bytes() / 1e6:.0f} MB after 1,000 stores")


def seconds_since_start(server):
    """From the start of the server's process, which the kernel counts in hundredths, until healthy."""
    started = Path(f"/proc/{server.process()}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19]
    return server.healthy_at - int(started) / os.sysconf("SC_CLK_TCK")


@check
def it_stops_in_time_and_keeps_every_memory():
    with data_folder() as data:
        with Container(data) as server:
            for number in range(20):
                server.store(f"Kept over the restart, number {number}")
            seconds, code = server.stop()
            expect(seconds < 10 and code == "0", (seconds, code))
        with Container(data) as server:
            expect(server.health()["memory_count"] == 20, server.health())


@check
def containers_on_one_volume_share_one_memory():
    """What happens when every client starts an image of its own: other host names, no network."""
    words = lambda data, *rest: ["podman", *HARDENED, "--network", "none", f"--volume={data}:/app/data", IMAGE, *rest]  # noqa: E731
    with data_folder() as data, Container(data) as server:
        run(*words(data, "store", "The tide table hangs in the hall"))
        expect(server.search("when is high water") == ["The tide table hangs in the hall"], server.log())
        found = run(*words(data, "search", "when is high water")).stdout
        expect("The tide table hangs in the hall" in found, found)


@check
def the_health_check_notices_a_broken_store():
    with data_folder() as data, Container(data) as server:
        expect(server.healthcheck().returncode == 0, server.log())
        (Path(data) / "venom.db").rename(Path(data) / "elsewhere.db")
        broken = server.healthcheck()
        expect(broken.returncode == 69 and "unhealthy" in broken.stderr, broken)
        # What the engine itself makes of it.
        engine = run("podman", "--runtime", "runc", "healthcheck", "run", server.name, check=False)
        expect(engine.returncode == 1, engine)


@check
def a_server_in_public_makes_a_token_and_asks_for_it():
    with data_folder() as data:
        with Container(data, HOST="0.0.0.0") as server:
            token = re.search(r"venom_[0-9a-f]{64}", server.log())[0]
            expect(server.call("spawn_venom")[0] == 401, "open without a token")
            expect(server.call("spawn_venom", token)[0] == 200, "the printed token is refused")
            expect(server.get("/")[0] == 200, "the landing page asks for a token")
            expect(server.healthcheck().returncode == 0, "the health check asks for a token")
        kept = b"".join(file.read_bytes() for file in Path(data).iterdir() if file.is_file())
        expect(token.encode() not in kept, "the token itself is kept in the volume")
        with Container(data, HOST="0.0.0.0") as server:
            expect("venom_" not in server.log(), server.log())
            expect(server.call("spawn_venom", token)[0] == 200, "the token of the first start is refused")
        with Container(data, HOST="0.0.0.0", VENOM_OPEN_TO_EVERYONE="yes") as server:
            expect(server.call("spawn_venom")[0] == 200, "opened to everyone, yet closed")
            expect("open to everyone" in server.log(), server.log())


@check
def the_predecessors_variables_and_volume_work():
    with data_folder() as data:
        old = {"CHROMADB_PATH": "/app/data/chroma", "COLLECTION_NAME": "diary", "VENOM_PERSONALITY": "variant2"}
        with Container(data, EMBEDDING_MODEL="all-MiniLM-L6-v2", **old) as server:
            health = server.health()
            expect((health["collection_name"], health["personality_variant"]) == ("diary", "variant2"), health)
        expect((Path(data) / "chroma/venom.db").exists(), os.listdir(data))


@check
def the_predecessors_memories_come_along_and_the_way_back_stays_open():
    """Its volume with 1,000 memories: found by their old ids, by the official client; then the old program again, then
    ours. The old files are never written."""
    client = python_with("tests/clients/requirements-mcp2.txt")
    for version in ("chroma04", "chroma05", "chroma15"):
        python = python_with(f"tests/import/requirements-{version}.txt")
        with data_folder() as data, tempfile.TemporaryDirectory() as work:
            made = last_line(run(python, ROOT / "tests/import/make_chroma.py", data, 1001))
            expected = Path(work) / "expected.json"
            expected.write_text(json.dumps(made["memories"]), encoding="utf-8")
            expect(len(made["memories"]) == 1000, len(made["memories"]))
            run("chown", "--recursive", f"{USER}:{USER}", data)
            before = hashes(data)

            def find_all(server):
                words = ("--url", f"http://127.0.0.1:{server.port}", expected)
                done = run(client, ROOT / "tests/clients/find_all.py", *words)
                expect(done.stdout.splitlines()[-1:] == ["1000 found"], done.stdout)

            with Container(data) as server:
                healthy = time.monotonic() - server.asked
                health = server.health()
                expect((health["memory_count"], health["imported"]["memories"]) == (1000, 1000), health)
                find_all(server)
                server.stop()
            expect(before == {name: hash for name, hash in hashes(data).items() if name in before}, "an old file changed")
            back = last_line(run(python, ROOT / "tests/import/read_chroma.py", data))
            texts = lambda memories: {memory["id"]: memory["text"] for memory in memories}  # noqa: E731
            expect(texts(back["memories"]) == texts(made["memories"]), "the old program finds something else")
            with Container(data) as server:
                expect(server.health()["memory_count"] == 1000, server.health())
                find_all(server)
            print(f"     ChromaDB {made['version']}: 1,000 memories, healthy with them after {healthy:.1f} s;"
                  f" {len(before)} old files unchanged")


def python_with(requirements):
    return run(sys.executable, ROOT / "scripts/python-env", ROOT / requirements).stdout.strip()


def last_line(done):
    return json.loads(done.stdout.splitlines()[-1])


def hashes(folder):
    """Every file below a folder but ours, by its bytes."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)): path for path in files}
    ours = ("venom", "access.db", "index/")
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in names.items() if not name.startswith(ours)}


@check
def personas_can_be_mounted():
    with data_folder() as data, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "venom_personality_pirate.md").write_text("Arr, matey.\n", encoding="utf-8")
        mount = f"--volume={folder}:/app/personalities:ro"
        with Container(data, mount, VENOM_PERSONALITY="pirate") as server:
            status, answer = server.call("spawn_venom")
            expect(status == 200 and "Arr, matey." in json.dumps(answer), answer)


@check
def a_volume_of_another_user_is_told_in_one_line():
    with tempfile.TemporaryDirectory() as data:
        os.chmod(data, 0o755)
        done = run("podman", *HARDENED, "--network", "none", f"--volume={data}:/app/data", IMAGE, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("venom:")]
    expect(done.returncode == 69 and len(lines) == 1, done)
    expect("data folder" in lines[0] and str(USER) in lines[0], lines)


@check
def the_exact_mode_says_that_it_needs_the_weights():
    with data_folder() as data:
        words = ("--env=VENOM_PRECISION=f32", f"--volume={data}:/app/data", IMAGE)
        done = run("podman", *HARDENED, "--network", "none", *words, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("venom:")]
    expect(done.returncode == 69 and len(lines) == 1, done)
    expect("model.safetensors" in lines[0] and "models/all-MiniLM-L6-v2" in lines[0], lines)


@check
def root_may_run_it_too():
    """Those whose volume belongs to root and must stay so."""
    with tempfile.TemporaryDirectory() as data, Container(data, "--user", "0") as server:
        server.store("Kept as root")
        expect(server.search("who keeps it") == ["Kept as root"], server.log())


@check
def the_bill_of_materials_is_complete():
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "venom.cdx.json"
        image.write_sbom(file, image.this_processor())
        bill = json.loads(file.read_text(encoding="utf-8"))
    parts = {part["name"]: part for part in bill["components"]}
    model = {file["name"]: file["hashes"][0]["content"] for file in parts["all-MiniLM-L6-v2"]["components"]}
    notices = notice_names()
    crates = {name for name, part in parts.items() if part.get("purl", "").startswith("pkg:cargo/")}
    expect(crates == notices, crates ^ notices)
    expect(all(part.get("licenses") for part in parts.values()), "a part without a licence")
    expect("sqlite" in parts, sorted(parts))
    print(f"     {len(crates)} crates, SQLite {parts['sqlite']['version']}, the model {model['model.safetensors'][:12]}…")


def notice_names():
    """The crates that the notices in the image name."""
    container = run("podman", "--runtime", "runc", "create", IMAGE, "x").stdout.strip()
    try:
        with tempfile.TemporaryDirectory() as work:
            run("podman", "cp", f"{container}:/app/licences/THIRD-PARTY.txt", work)
            text = (Path(work) / "THIRD-PARTY.txt").read_text(encoding="utf-8")
    finally:
        run("podman", "rm", "--volumes", container)
    listed = text.split("\n\n")[1]
    return {line.split()[0] for line in listed.splitlines()}


# --- Building again --------------------------------------------------------------------------------


def images():
    """The ids of all images, also of those between that have no name."""
    return set(run("podman", "images", "--all", "--quiet", "--no-trunc").stdout.split())


@contextlib.contextmanager
def no_image_left():
    """Removes the images that come within it, those between too: a build leaves gigabytes of them."""
    before = images()
    try:
        yield
    finally:
        if came := images() - before:
            run("podman", "rmi", *came, check=False)


def a_change_of_our_code_builds_no_dependency(base):
    with tempfile.TemporaryDirectory() as work, no_image_left():
        tree = copy_of_the_sources(work)
        with open(tree / "crates/venom/src/main.rs", "a", encoding="utf-8") as file:
            file.write("// A change.\n")
        tag = "localhost/venom-changed:test"
        said = image.build(tag, base, "--layers", "--target", "builder", context=tree)
    built = re.findall(r"^ *Compiling (\S+) ", said, re.MULTILINE)
    # Layers from the cache do not print again what they printed.
    expect(built and all(name.startswith("venom") for name in built), built)


def the_same_source_gives_the_same_bytes(base):
    """Built again without any cache."""
    again = "localhost/venom-again:test"
    with no_image_left():
        image.build(again, base, "--layers", "--no-cache")
        found = [json.loads(run("podman", "image", "inspect", name).stdout)[0] for name in (IMAGE, again)]
    layers = [one["RootFS"]["Layers"] for one in found]
    expect(len(layers[0]) > 1 and layers[0] == layers[1], layers)
    print(f"     the last of {len(layers[0])} equal layers is {layers[0][-1]}")


def emulated_arm64():
    """Builds the other image and tries its binary, with the model, under user-mode emulation."""
    image.install({"qemu-aarch64-static": "qemu-user-static"})
    tag = "localhost/venom-arm64:test"
    image.build(tag, image.bases("arm64"), "--layers", processor="arm64")
    found = json.loads(run("podman", "image", "inspect", tag).stdout)[0]
    expect(found["Architecture"] == "arm64", found["Architecture"])
    with tempfile.TemporaryDirectory() as work:
        container = run("podman", "create", "--arch", "arm64", tag, "x").stdout.strip()
        run("podman", "cp", f"{container}:/app", work)
        run("podman", "rm", "--volumes", container)
        environment = os.environ | {"VENOM_DATA": f"{work}/data", "HOME": work}
        venom = ("qemu-aarch64-static", f"{work}/app/venom")
        run(*venom, "store", "The tide table hangs in the hall", env=environment)
        print(run(*venom, "search", "when is high water", env=environment).stdout, end="")
        print(run(*venom, "stats", env=environment).stdout, end="")
        print(run("file", "-b", f"{work}/app/venom", check=False).stdout, end="")


def main():
    image.install(image.TOOLS)
    if "--arm64" in sys.argv[1:]:
        emulated_arm64()
        return 0
    base = image.bases(image.this_processor())
    image.build(IMAGE, base, "--layers")
    later = (a_change_of_our_code_builds_no_dependency, the_same_source_gives_the_same_bytes)
    checks = [*CHECKS, *(functools.partial(one, base) for one in later)]
    named = {getattr(one, "func", one).__name__: one for one in checks}
    passed, failed = 0, 0
    for name in sys.argv[1:] or named:
        try:
            named[name]()
            passed += 1
            print(f"ok   {name}", flush=True)
        except (Failure, OSError, LookupError, TypeError, ValueError) as error:
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, OSError) as failure:
        sys.exit(f"tests/image/run.py: {failure}")
