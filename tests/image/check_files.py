#!/usr/bin/env python3
"""Checks what people deploy Venom with, each file by the tool of its field: the Dockerfile by
hadolint, compose.yaml by the Compose specification, deploy/kubernetes.yaml by the schemas of
Kubernetes, deploy/azure-container-apps.json by the models of Azure's own client library.

Runs in the environment of requirements-deploy.txt; `make test-image` calls it. Prints one line per
file and closes with "N passed, N failed".
"""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import kubernetes_validate
import yaml
from azure.core.exceptions import DeserializationError
from azure.mgmt.appcontainers import models as apps
from azure.mgmt.storage import models as storage

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(sysconfig.get_path("purelib")) / "bin"
# Oldest Kubernetes whose schemas are held, and a recent one.
KUBERNETES = ("1.29", "1.37")
# What the template has of each resource beside what the service itself takes.
TEMPLATE_KEYS = ("apiVersion", "dependsOn", "type", "name")
AZURE_MODELS = {
    "Microsoft.Storage/storageAccounts": storage.StorageAccountCreateParameters,
    "Microsoft.Storage/storageAccounts/fileServices/shares": storage.FileShare,
    "Microsoft.App/managedEnvironments": apps.ManagedEnvironment,
    "Microsoft.App/managedEnvironments/storages": apps.ManagedEnvironmentStorage,
    "Microsoft.App/containerApps": apps.ContainerApp,
}


class Failure(Exception):
    """What is wrong with a file."""


def run(*words):
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{done.stdout}{done.stderr}".strip())


def dockerfile():
    run(PROGRAMS / "hadolint", "--failure-threshold", "style", "Dockerfile")


def compose():
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def kubernetes():
    text = (ROOT / "deploy/kubernetes.yaml").read_text(encoding="utf-8")
    for version in KUBERNETES:
        for document in yaml.safe_load_all(text):
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                place = ".".join(map(str, error.path))
                raise Failure(f"Kubernetes {version}, {document['kind']}, {place}: {error.message}") from error


def is_expression(value):
    """Whether a value is known only to the service that deploys: `[parameters('name')]`."""
    return isinstance(value, str) and value.startswith("[")


def without_conditions(value):
    """A value without the fields whose kind is not known before deployment."""
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if not (is_expression(part) and part.startswith("[if("))}
        return {key: without_conditions(part) for key, part in kept.items()}
    if isinstance(value, list):
        return [without_conditions(part) for part in value]
    return value


def differences(given, understood, place=""):
    """The fields that a model dropped or changed: those that the service does not know."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for key, part in given.items():
            yield from differences(part, understood.get(key), f"{place}.{key}")
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        for index, pair in enumerate(zip(given, understood)):
            yield from differences(*pair, f"{place}[{index}]")
    elif given != understood:
        yield f"{place} is {given!r}, understood as {understood!r}"


def azure():
    template = json.loads((ROOT / "deploy/azure-container-apps.json").read_text(encoding="utf-8"))
    for resource in template["resources"]:
        kind = resource["type"]
        if kind not in AZURE_MODELS:
            raise Failure(f"no model is known for {kind}")
        given = without_conditions({key: part for key, part in resource.items() if key not in TEMPLATE_KEYS})
        try:
            model = AZURE_MODELS[kind].deserialize(given)
        except DeserializationError as error:
            raise Failure(f"{kind}: {error}") from error
        if faults := list(differences(given, model.serialize(keep_readonly=True))):
            raise Failure(f"{kind}: {'; '.join(faults)}")
    scale = template["resources"][-1]["properties"]["template"]["scale"]
    if (scale["minReplicas"], scale["maxReplicas"]) != (0, 1):
        raise Failure(f"one process owns the data folder and none runs unasked: found {scale}")


def main():
    passed, failed = 0, 0
    for check in (dockerfile, compose, kubernetes, azure):
        try:
            check()
            passed += 1
            print(f"ok   {check.__name__}")
        except Failure as failure:
            failed += 1
            print(f"FAIL {check.__name__}: {failure}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
