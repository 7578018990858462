#!/usr/bin/env python3
"""Builds the container image from the Dockerfile without a Docker engine, reproducibly.

    scripts/image/build.py                     target/image/venom-amd64.tar and its SBOM
    scripts/image/build.py --platform arm64    the same for the other processor

The archive goes into any engine: `docker load -i`, `podman load -i`. Needs root on Debian or Ubuntu;
installs buildah, podman, runc and mmdebstrap where they are missing. Where the base images of the
Dockerfile cannot be pulled, a stand-in takes their place: Debian with Python, gcc and the Rust
toolchain of this machine.
"""

import argparse
import datetime
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = ROOT / "scripts/image/requirements-sbom.txt"
# The program that tells whether it is there, and its package.
TOOLS = {"buildah": "buildah", "podman": "podman", "runc": "runc", "mmdebstrap": "mmdebstrap"}
TRIPLES = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
PULL_SECONDS_MAX = 600
LABELS = "org.opencontainers.image"
# Every file in every layer, in seconds since 1970: not the commit's time, for then a layer that did not
# change, as the model's, would be another in every version, and one from the cache would differ from one
# made now. The label `created` has the commit's.
LAYERS_AT = 0
BASE_PACKAGES = "python3,python3-pip,ca-certificates,gcc,libc6-dev"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "CARGO_HTTP_CAINFO")
# What works everywhere root works, also inside a container or a sandbox.
os.environ["STORAGE_DRIVER"] = "vfs"
os.environ["BUILDAH_ISOLATION"] = "chroot"


class Failure(Exception):
    """One sentence for the person who runs this."""


def run(*words, check=True, **options):
    """Runs a program; its output is in the result, or in the failure."""
    options = {"text": True, "capture_output": True} | options
    done = subprocess.run([str(word) for word in words], check=False, **options)
    if check and done.returncode != 0:
        log = (done.stdout or "")[-2000:] + (done.stderr or "")[-4000:]
        raise Failure(f"{shlex.join(map(str, words))} ended with {done.returncode}\n{log}")
    return done


def install(tools):
    """Installs the Debian packages of the programs that are missing."""
    missing = [package for tool, package in tools.items() if not shutil.which(tool)]
    if not missing:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise Failure(f"{', '.join(missing)} missing: install them, or run this as root on Debian or Ubuntu")
    print(f"installing {', '.join(missing)}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-q", env=environment)
    run("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing, env=environment)


def this_processor():
    return PROCESSORS.get(platform.machine(), platform.machine())


def dockerfile_bases():
    """The base images that the Dockerfile names, by build argument."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.removeprefix("ARG ").split("=", 1) for line in lines if line.startswith("ARG ")]
    return {word[0]: word[1] for word in words if word[0].endswith("_IMAGE")}


def can_pull(image):
    try:
        done = run("podman", "pull", "--quiet", image, check=False, timeout=PULL_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def bases(processor):
    """The base images to build from, by build argument: the real ones, else a stand-in."""
    named = dockerfile_bases()
    if all(can_pull(image) for image in named.values()):
        return named
    return dict.fromkeys(named, stand_in(processor))


def stand_in(processor):
    """An image in which both build stages can run. Its tag changes with what goes into it."""
    packages = BASE_PACKAGES
    if processor != this_processor():
        packages += f",gcc-{TRIPLES[processor].split('-', maxsplit=1)[0]}-linux-gnu,libc6-dev-{processor}-cross"
        run("rustup", "target", "add", TRIPLES[processor])
    toolchain = run("rustc", "--print", "sysroot").stdout.strip()
    rust = "$1/usr/local/rust"
    hooks = [
        f'mkdir -p "{rust}/lib"',
        f'cp -a {toolchain}/bin "{rust}/"',
        f'cp -a {toolchain}/lib/rustlib {toolchain}/lib/*.so* "{rust}/lib/"',
        f'cp {CA_BUNDLE} "$1{CA_BUNDLE}"',
        'rm -rf "$1/var/lib/apt/lists" "$1/usr/share/doc" "$1/usr/share/locale"',
    ]
    changes = [
        "ENV PATH=/usr/local/rust/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV CARGO_HOME=/usr/local/cargo",
        *(f"ENV {name}={CA_BUNDLE}" for name in CA_VARIABLES),
    ]
    codename = run("sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME").stdout.strip()
    recipe = repr((run("rustc", "--version").stdout, codename, packages, hooks, changes))
    name = f"localhost/venom-base:{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if run("podman", "image", "exists", name, check=False).returncode == 0:
        return name
    print("the base images cannot be pulled: making a stand-in from Debian packages", flush=True)
    with tempfile.TemporaryDirectory() as work:
        archive = Path(work) / "base.tar"
        words = [f"--customize-hook={hook}" for hook in hooks]
        run("mmdebstrap", "--variant=minbase", f"--include={packages}", *words, codename, archive)
        run("podman", "import", *(f"--change={change}" for change in changes), archive, name)
    return name


def git(*words):
    return run("git", *words, cwd=ROOT, check=False).stdout.strip()


def committed():
    """When the source was committed, in seconds since 1970, unless SOURCE_DATE_EPOCH says."""
    return os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or "0"


def build(tag, base, *options, context=ROOT, processor=None):
    """Builds the Dockerfile of `context` and returns what the build printed."""
    source = git("config", "--get", "remote.origin.url")
    # Docker sets BUILDPLATFORM by itself; older versions of buildah do not.
    builder = f"linux/{this_processor()}"
    arguments = base | {"BUILDPLATFORM": builder}
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    # Not as arguments: older versions of buildah take a label from their cache by its text in the
    # Dockerfile, whatever the argument in it says now.
    created = datetime.datetime.fromtimestamp(int(committed()), datetime.timezone.utc)
    labels = {"revision": git("rev-parse", "HEAD") or "unknown", "created": created.isoformat()}
    if source.startswith("https://"):
        labels["source"] = source
    words += [word for name, value in labels.items() for word in ("--label", f"{LABELS}.{name}={value}")]
    target = f"linux/{processor or this_processor()}"
    # The health check exists in Docker's image format only.
    fixed = ("--format", "docker", "--platform", target, "--timestamp", LAYERS_AT, "--pull-never")
    print(f"building {tag} for {target}", flush=True)
    try:
        done = run("buildah", "bud", *fixed, *words, *options, "--tag", tag, context)
    except Failure as failure:
        # A full disk shows as a closed pipe in what buildah says.
        store = run("podman", "info", "--format", "{{.Store.GraphRoot}}").stdout.strip()
        free = shutil.disk_usage(store).free / 1e9
        raise Failure(f"{failure}\n{free:.1f} GB are free in {store}, where the layers of the image go") from None
    return done.stdout + done.stderr


def write_sbom(file, processor):
    python = run(ROOT / "scripts/python-env", REQUIREMENTS).stdout.strip()
    run(python, ROOT / "scripts/image/sbom.py", "--target", TRIPLES[processor], "--stamp", committed(), "--out", file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--platform", choices=sorted(TRIPLES), default=this_processor())
    processor = parser.parse_args().platform
    install(TOOLS)
    folder = ROOT / "target/image"
    folder.mkdir(parents=True, exist_ok=True)
    tag = f"localhost/venom:{processor}"
    build(tag, bases(processor), "--layers", processor=processor)
    archive, sbom = folder / f"venom-{processor}.tar", folder / f"venom-{processor}.cdx.json"
    archive.unlink(missing_ok=True)
    run("podman", "save", "--format", "docker-archive", "--output", archive, tag)
    write_sbom(sbom, processor)
    print(f"{archive}  docker load -i, podman load -i\n{sbom}  what is in it: CycloneDX")


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        sys.exit(f"scripts/image/build.py: {failure}")
