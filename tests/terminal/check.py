"""Plays a person at a terminal: what is asked there, what is shown there, and how the terminal is left.

    check.py path/to/venom

Works in a folder of its own. Says "ok" for each check, or fails with what was shown.
"""

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

PASSPHRASE = "correct horse battery staple"


class Terminal:
    """A command with a terminal of its own for stdin, stdout and stderr."""

    def __init__(self, *words):
        self.shown = ""
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.execv(words[0], words)

    def read(self):
        try:
            some = os.read(self.terminal, 4096)
        except OSError:  # how Linux says that nobody has the other end any more
            some = b""
        self.shown += some.decode(errors="replace")
        return bool(some)

    def until(self, words):
        """Waits for words; what is shown before them is done with."""
        while words not in self.shown:
            assert self.read(), f"expected {words!r}, shown {self.shown!r}"
        self.shown = self.shown.partition(words)[2]

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def shows_what_is_typed(self):
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

    def ends(self):
        """Its exit code and what it had shown since."""
        while self.read():
            pass
        _, status = os.waitpid(self.process, 0)
        return os.waitstatus_to_exitcode(status), self.shown


def passphrases_are_not_shown(venom):
    terminal = Terminal(venom, "backup", "backups", "--encrypt")
    for question in ("Passphrase of the backup: ", "The same again: "):
        terminal.until(question)
        assert not terminal.shows_what_is_typed()
        terminal.type(PASSPHRASE + "\n")
    code, shown = terminal.ends()
    assert code == 0 and "encrypted, verified" in shown and "horse" not in shown, (code, shown)

    terminal = Terminal(venom, "restore", "backups", "--to", "restored")
    terminal.until("Passphrase of the backup: ")
    terminal.type(PASSPHRASE + "\n")
    code, shown = terminal.ends()
    assert code == 0 and "Restored" in shown, (code, shown)


def slips_are_found(venom):
    terminal = Terminal(venom, "backup", "slips", "--encrypt")
    terminal.until("Passphrase of the backup: ")
    terminal.type(PASSPHRASE + "\n")
    terminal.until("The same again: ")
    terminal.type("correct house battery staple\n")
    code, shown = terminal.ends()
    assert code == 2 and "expected the same one twice" in shown, (code, shown)
    assert not Path("slips").exists()


def a_terminal_is_left_as_it_was(venom):
    ends = [("ctrl-c", 130), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, 131), (signal.SIGHUP, 129)]
    for end, expected in ends:
        terminal = Terminal(venom, "backup", "never", "--encrypt")
        terminal.until("Passphrase of the backup: ")
        assert not terminal.shows_what_is_typed()
        if end == "ctrl-c":
            terminal.type("\x03")
        else:
            os.kill(terminal.process, end)
        _, status = os.waitpid(terminal.process, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code == expected, (end, code)
        assert terminal.shows_what_is_typed(), end
    assert not Path("never").exists()


def an_import_shows_how_far_it_is(venom):
    lines = (f'{{"content": "Fact {number} of the harbour"}}\n' for number in range(300))
    Path("facts.jsonl").write_text("".join(lines))
    code, shown = Terminal(venom, "import", "facts.jsonl").ends()
    assert code == 0 and "Imported 300 memories" in shown, (code, shown)
    bar = r"\r\x1b\[K\[#* *\] \d+ of 300 records \(\d+ %\), \d+ a second, \d+ s left"
    assert re.search(bar, shown), shown
    last = shown.rpartition("\x1b[K")[2]
    assert last.startswith("Imported"), shown

    turns = '{"uuid": "1", "name": "Harbour", "chat_messages": ['
    turns += ", ".join(f'{{"uuid": "{n}", "sender": "human", "text": "Turn {n}"}}' for n in range(300))
    Path("conversations.json").write_text("[" + turns + "]}, ")
    code, shown = Terminal(venom, "import", "conversations.json", "--conversations").ends()
    assert code == 2 and "300 were imported" in shown.replace("memories ", ""), (code, shown)
    last = shown.rpartition("\x1b[K")[2]
    assert last.startswith("venom: "), shown

    again = subprocess.run([venom, "import", "facts.jsonl"], check=True, capture_output=True, text=True)
    assert "300 of 300 records" in again.stderr and "\x1b" not in again.stderr, again.stderr


def what_cannot_be_undone_is_asked_for(venom):
    stored = subprocess.run(
        [venom, "store", "The key lies under the mat", "--json"], check=True, capture_output=True, text=True
    ).stdout
    (memory,) = re.findall(r"mem_\d+", stored)[:1]
    # Ctrl-D types no line feed, and is shown as none.
    for typed, expected in [("no\n", "Nothing was erased."), ("\x04", "\r\nNothing was erased."), ("yes\n", "for good.")]:
        terminal = Terminal(venom, "erase", memory)
        terminal.until("Type yes: ")
        terminal.type(typed)
        code, shown = terminal.ends()
        assert code == 0 and expected in shown, (typed, code, shown)

    for typed in ("venom\n", "\x04"):
        terminal = Terminal(venom, "space", "delete", "venom_memories")
        terminal.until("Type the name of the space to go on: ")
        terminal.type(typed)
        code, shown = terminal.ends()
        assert code == 2 and "\r\nvenom: nothing was deleted" in shown, (code, shown)


def main():
    venom = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in [name for name in os.environ if name.startswith("VENOM_") and name != "VENOM_MODEL_DIR"]:
            del os.environ[name]
        os.environ["VENOM_DATA"] = folder + "/data"
        subprocess.run([venom, "store", "The treasure lies below the walnut tree"], check=True, capture_output=True)
        for check in (
            passphrases_are_not_shown,
            slips_are_found,
            a_terminal_is_left_as_it_was,
            an_import_shows_how_far_it_is,
            what_cannot_be_undone_is_asked_for,
        ):
            check(venom)
            print("ok", check.__name__)
        os.chdir("/")


if __name__ == "__main__":
    main()
