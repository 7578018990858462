#!/usr/bin/env python3
"""Writes what is in the image, as a CycloneDX 1.6 bill of materials: every crate that is linked into
the binary with its licence, hash and dependencies, SQLite, and the model with its hash and licence.

The same source and stamp give the same bytes. Needs Python 3.11 and runs in the environment of
requirements-sbom.txt; build.py calls it.
"""

import argparse
import datetime
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL_LICENCE = "Apache-2.0"


def metadata(target):
    words = ("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target)
    return json.loads(subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout)


def chosen(target):
    """Name and version of every crate in the binary. Unlike the metadata, this knows which features the
    binary was built with; other crates of the workspace may ask for more."""
    words = ("cargo", "tree", "--locked", "--package", "venom", "--edges", "normal,no-proc-macro", "--target", target)
    tree = subprocess.run((*words, "--prefix", "none", "--format", "{p}"), cwd=ROOT, check=True, capture_output=True)
    return {tuple(line.split()[:2]) for line in tree.stdout.decode().splitlines()}


def linked(data, target):
    """The packages linked into the binary and what each depends on, by package id."""
    wanted = chosen(target)
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    packages = {package["id"]: package for package in data["packages"]}
    [start] = [member for member in data["workspace_members"] if packages[member]["name"] == "venom"]
    found, waiting = {}, [start]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found[package] = [
            dependency["pkg"]
            for dependency in nodes[package]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            and (packages[dependency["pkg"]]["name"], f"v{packages[dependency['pkg']]['version']}") in wanted
        ]
        waiting.extend(found[package])
    return start, found


def crate(package, hashes):
    """A crate as a component. Crates of our own have no hash: they are the source itself."""
    name, version = package["name"], package["version"]
    licence = package["license"].replace("/", " OR ")
    kind = ComponentType.APPLICATION if name == "venom" else ComponentType.LIBRARY
    checksum = hashes.get((name, version))
    return Component(
        name=name,
        version=version,
        type=kind,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("cargo", None, name, version) if checksum else None,
        licenses=[LicenseFactory().make_from_string(licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
    )


def sqlite(data):
    """The C library inside libsqlite3-sys, which scanners look for under its own name."""
    [source] = [package["manifest_path"] for package in data["packages"] if package["name"] == "libsqlite3-sys"]
    header = (Path(source).parent / "sqlite3/sqlite3.h").read_text(encoding="utf-8")
    version = re.search(r'#define SQLITE_VERSION\s+"([\d.]+)"', header)[1]
    return Component(
        name="sqlite",
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"sqlite@{version}",
        purl=PackageURL("generic", None, "sqlite", version),
        licenses=[LicenseFactory().make_from_string("blessing")],
    )


def model_script():
    """scripts/get-model.py, which knows the model's name, source and hashes."""
    spec = importlib.util.spec_from_file_location("get_model", ROOT / "scripts/get-model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model():
    script = model_script()
    name, version = script.WHEEL.split("==")
    files = [
        Component(
            name=file,
            type=ComponentType.FILE,
            bom_ref=f"model/{file}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        )
        for file, _, digest in script.CHECKED
    ]
    source = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{name}/{version}/"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=script.WHEEL_SHA256)],
    )
    return Component(
        name=script.NAME,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        licenses=[LicenseFactory().make_from_string(MODEL_LICENCE)],
        components=files,
        external_references=[source],
    )


def bill(target, stamp):
    data = metadata(target)
    packages = {package["id"]: package for package in data["packages"]}
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    hashes = {(one["name"], one["version"]): one["checksum"] for one in locked if "checksum" in one}
    start, graph = linked(data, target)
    components = {package: crate(packages[package], hashes) for package in graph}
    bom = Bom(components=[part for package, part in components.items() if package != start])
    bom.metadata.component = components[start]
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(stamp, datetime.timezone.utc)
    bom.components.update([sqlite(data), model()])
    for package, dependencies in graph.items():
        bom.register_dependency(components[package], [components[one] for one in dependencies])
    content = f"{target} {stamp} {sorted(graph)}"
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, content)
    return bom


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", required=True, help="target triple of the binary")
    parser.add_argument("--stamp", required=True, type=int, help="time of the bill, seconds since 1970")
    parser.add_argument("--out", required=True, type=Path)
    words = parser.parse_args()
    text = JsonV1Dot6(bill(words.target, words.stamp)).output_as_string(indent=2)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"sbom.py: the bill does not fit its schema: {fault}")
    words.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
