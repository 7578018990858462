"""Opens the encrypted copy of the memories in a backup with another program's reader, and counts what is in it.

    open_age.py venom.db.age passphrase-file
"""

import sqlite3
import sys
import tempfile
from pathlib import Path

import pyrage


def main():
    sealed, passphrase = (Path(argument).read_bytes() for argument in sys.argv[1:3])
    plain = pyrage.passphrase.decrypt(sealed, passphrase.decode().strip())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "venom.db"
        path.write_bytes(plain)
        database = sqlite3.connect(path)
        (found,) = database.execute("PRAGMA integrity_check").fetchone()
        (count,) = database.execute("SELECT count(*) FROM memories").fetchone()
        print(found, count)


if __name__ == "__main__":
    main()
