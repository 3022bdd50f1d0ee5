"""Files of a build, opened for a request: a name never leads out of its folder, whatever links are there.

A link is served if what it leads to lies in the folder; it is resolved first and then opened without following any.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from zuul_launcher.remoting import beneath, globs, trees

ENTRIES = 5000  # of a folder that are listed
FILES = 1000  # of a tree that are named


class Entry(Struct, frozen=True):
    """A name in a folder."""

    name: str
    is_folder: bool
    size: int


class File(Struct, frozen=True):
    """A file that is open, or a folder (no stream)."""

    stream: BinaryIO | None
    size: int
    changed: float
    entries: Sequence[Entry] = ()


def opened(folder: Path, names: Sequence[str]) -> File | None:
    """What lies at these names below `folder`. None: nothing, or nothing that is served."""
    try:
        root = os.open(folder, beneath.FOLDER)
    except OSError:
        return None
    try:
        top = Path(os.path.realpath(folder))
        place = Path(os.path.realpath(top.joinpath(*names)))
        return _opened(root, top, place)
    except (OSError, ValueError):  # it is not there, or leads out
        return None
    finally:
        os.close(root)


def tree(folder: Path) -> tuple[Sequence[tuple[str, int]], bool]:
    """(path, size) of the files below a folder, in order. True: there are more than are named."""
    try:
        root = os.open(folder, beneath.FOLDER)
    except OSError:
        return [], False
    found: list[tuple[str, int]] = []
    try:
        for entry in trees.walk(root, globs.select(["**"])):
            if stat.S_ISREG(entry.status.st_mode):
                if len(found) == FILES:
                    return found, True
                found.append((entry.path, entry.status.st_size))
    except OSError:
        pass  # what could be read is told
    finally:
        os.close(root)
    return sorted(found), False


def _opened(root: int, top: Path, place: Path) -> File:
    """ValueError: the place is not below `top`."""
    path = str(place.relative_to(top))
    status = os.stat(path, dir_fd=root, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        folder = beneath.open_folder(root, beneath.split(path))
        try:
            return File(None, 0, status.st_mtime, _entries(folder, top, place))
        finally:
            os.close(folder)
    stream = beneath.open_file(root, path)
    status = os.fstat(stream.fileno())
    return File(stream, status.st_size, status.st_mtime)


def _entries(folder: int, top: Path, place: Path) -> Sequence[Entry]:
    """Folders first, by name; a link as what it leads to, if that is served."""
    found: list[Entry] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(found) == ENTRIES:
                break
            if entry.is_symlink() and not Path(os.path.realpath(place / entry.name)).is_relative_to(top):
                continue
            try:
                status = entry.stat()
            except OSError:
                continue  # a link to nowhere, or gone
            is_folder = stat.S_ISDIR(status.st_mode)
            found.append(Entry(entry.name, is_folder, 0 if is_folder else status.st_size))
    return sorted(found, key=lambda entry: (not entry.is_folder, entry.name))
