"""Data files of packages, for agents: those that a pattern allows, and only below the package. Controller only.

Links are not followed, whatever lies behind them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from zuul_launcher.remoting.beneath import open_file
from zuul_launcher.remoting.globs import Places, Selection, select

MAX_BYTES = 16 << 20  # what is bigger is no part of a program: use a pipe
MAX_NAMES = 10_000


def read_data(folder: Path, below: str, path: str, patterns: Sequence[str]) -> str | None:
    """A file as text, each byte a character; for the path "" the names of all files below `below`, one a line.

    Patterns are relative to `folder`, `path` is relative to `below` in it. None: no such file, or it is not allowed.
    """
    allowed = select(patterns)
    prefix = below and f"{below}/"
    if not path:
        names = [name[len(prefix) :] for name in _names(folder, allowed) if name.startswith(prefix)]
        return "\n".join(names).encode("utf-8", "surrogateescape").decode("latin-1")
    places = allowed.start()
    for name in f"{prefix}{path}".split("/"):
        places = allowed.enter(places, name)
    if not allowed.is_match(places):
        return None
    try:
        return _read(folder, f"{prefix}{path}")
    except OSError:
        return None


def _read(folder: Path, path: str) -> str | None:
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open_file(root, path) as file:
            data = file.read(MAX_BYTES + 1)
    finally:
        os.close(root)
    return data.decode("latin-1") if len(data) <= MAX_BYTES else None


def _names(folder: Path, allowed: Selection) -> list[str]:
    return sorted(islice(_walk(folder, "", allowed, allowed.start()), MAX_NAMES))


def _walk(folder: Path, prefix: str, allowed: Selection, places: tuple[Places, Places]) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                here = allowed.enter(places, entry.name)
                if "\n" in entry.name:
                    continue
                if entry.is_file(follow_symlinks=False) and allowed.is_match(here):
                    yield prefix + entry.name
                elif entry.is_dir(follow_symlinks=False) and allowed.goes_on(here):
                    yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", allowed, here)
    except OSError:
        return  # a folder that cannot be read has no files to send
