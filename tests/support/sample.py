"""Keep a SQLite database as a text, for tests/db/samples: `python sample.py DATABASE > RELEASE.sql`."""

import sqlite3
import sys
from pathlib import Path


def dump(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        text = "\n".join(connection.iterdump()) + "\n"
    connection.close()
    return text


def restore(text: str, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(text)
    connection.close()


if __name__ == "__main__":
    sys.stdout.write(dump(Path(sys.argv[1])))
