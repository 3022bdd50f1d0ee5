"""Code that tests send to nodes: standard library and remoting only."""

from __future__ import annotations

import os
from pathlib import Path

from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import Launcher

BIG = b"0123456789abcdef" * 130_000  # above the window of a pipe


def fill(folder: Path) -> None:
    """With files, links, and a tree."""
    (folder / "tree" / "deep").mkdir(parents=True)
    for name, data in (("file", b"text\n"), ("big", BIG), ("tree/a.xml", b"<a/>"), ("tree/deep/b.xml", b"<b/>")):
        (folder / name).write_bytes(data)
    for name, target in (("link", "file"), ("tree/out", "../file"), ("nowhere", "none")):
        (folder / name).symlink_to(target)


def count_bytes(folder: Path, pattern: str, *, plus: int = 0) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern)) + plus


def found_below(folder: Path, other: FilePath) -> tuple[bool, FilePath, FilePath]:
    assert other.channel is None
    return other.is_file(), FilePath(None, str(folder)) / "new", other


def read(folder: Path, theirs: FilePath) -> FilePath:
    assert theirs.channel is not None
    theirs.read_bytes()
    return theirs


def forge(folder: Path, theirs: FilePath) -> FilePath:
    """A path of the controller that was never sent here."""
    return FilePath(theirs.channel, "/etc/passwd")


def environment() -> dict[str, str]:
    return dict(os.environ)


def run_here(command: list[str]) -> int:
    """A process that a callable starts where it runs, and waits for."""
    return Launcher(None).launch(command).wait()


def start_here(command: list[str]) -> int:
    """One that is left running."""
    return Launcher(None).launch(command).pid
