"""Walks and deletes trees of files: never follows a link, never leaves the tree, never removes what is mounted in it.

Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zuul_launcher.remoting import beneath
from zuul_launcher.remoting.globs import Selection

MOUNTS = Path("/proc/self/mountinfo")  # proc(5): the fifth field is the place, with octal escapes


@dataclass(frozen=True)
class Found:
    """Something in a tree: its path below the root, and what lstat says about it."""

    path: str
    status: os.stat_result


def walk(root: int, selection: Selection) -> Iterator[Found]:
    """Everything below a folder (an open descriptor) that is selected, each folder before what is in it, by name.

    What vanishes meanwhile is left out. OSError where a folder cannot be read.
    """
    waiting = [("", selection.start())]
    while waiting:
        path, places = waiting.pop()
        below = []
        for name, status in _entries(root, path):
            inside = selection.enter(places, name)
            whole = f"{path}/{name}" if path else name
            if selection.is_match(inside):
                yield Found(whole, status)
            if stat.S_ISDIR(status.st_mode) and selection.goes_on(inside):
                below.append((whole, inside))
        waiting.extend(reversed(below))


def _entries(root: int, path: str) -> list[tuple[str, os.stat_result]]:
    try:
        folder = beneath.open_folder(root, beneath.split(path))
    except OSError as error:
        if path and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return []  # it went, or became something else, since it was listed
        raise
    try:
        found = []
        for name in sorted(_names(folder)):
            try:
                found.append((name, os.stat(name, dir_fd=folder, follow_symlinks=False)))
            except FileNotFoundError:
                continue
        return found
    finally:
        os.close(folder)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def delete_tree(path: str) -> None:
    """Removes a file, a link, or a folder with all that is in it; nothing is there: fine.

    A folder without permissions is made ours first. What is mounted inside stays, with the folders above it, and
    OSError (EBUSY) tells so after all the rest is gone. Of any depth: a handful of descriptors is open at a time.
    """
    folder, name = os.path.split(path.rstrip("/"))
    if not name:
        raise OSError(errno.EBUSY, "the root of the file system is not deleted", path)
    try:
        above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    kept: list[str] = []
    try:
        real = f"{os.path.realpath(folder)}/{name}".replace("//", "/")
        _Deletion(above, real, kept).run(name)
    finally:
        os.close(above)
    if kept:
        raise OSError(errno.EBUSY, "something is mounted there, it is left alone", kept[0])


class _Deletion:
    """A walk down and up, by descriptor: `..` is taken only if it is the folder that the walk came from."""

    def __init__(self, above: int, path: str, kept: list[str]) -> None:
        self._above, self._path, self._kept = above, path, kept
        self._mounts = mounts_below(path)
        self._device = -1

    def run(self, name: str) -> None:
        try:
            status = os.stat(name, dir_fd=self._above, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=self._above)
            return
        self._device = status.st_dev
        if self._path in self._mounts:
            self._kept.append(self._path)
            return
        at = self._enter(self._above, name)
        try:
            self._empty(at)
        finally:
            os.close(at)
        if not self._kept:
            os.rmdir(name, dir_fd=self._above)

    def _empty(self, top: int) -> None:
        at = os.dup(top)
        way: list[tuple[str, os.stat_result]] = []  # names entered, and the folders that they were in
        try:
            waiting = [self._take_files(at, way)]
            while True:
                if waiting[-1]:
                    name = waiting[-1].pop()
                    below = self._enter(at, name)
                    way.append((name, os.fstat(at)))
                    os.close(at)
                    at = below
                    waiting.append(self._take_files(at, way))
                elif way:
                    waiting.pop()
                    at = self._leave(at, way)
                else:
                    return
        finally:
            os.close(at)

    def _leave(self, at: int, way: list[tuple[str, os.stat_result]]) -> int:
        """The folder above, where the one that was left is removed."""
        above = os.open("..", beneath.FOLDER, dir_fd=at)
        left = "/".join([self._path, *(name for name, _ in way)])
        name, parent = way.pop()
        try:
            if not os.path.samestat(os.fstat(above), parent):
                raise OSError(errno.EAGAIN, "the tree was moved while it was deleted", left)
            if not any(each.startswith(left + "/") for each in self._kept):
                os.rmdir(name, dir_fd=above)
        except BaseException:
            os.close(above)
            raise
        os.close(at)
        return above

    def _take_files(self, at: int, way: list[tuple[str, os.stat_result]]) -> list[str]:
        """Removes what is no folder; the names of the folders, which are to be emptied."""
        here, folders = "/".join([self._path, *(name for name, _ in way)]), []
        for name in _names(at):
            try:
                status = os.stat(name, dir_fd=at, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    os.unlink(name, dir_fd=at)
                elif status.st_dev != self._device or f"{here}/{name}" in self._mounts:
                    self._kept.append(f"{here}/{name}")
                else:
                    folders.append(name)
            except FileNotFoundError:
                continue
        return folders

    def _enter(self, at: int, name: str) -> int:
        try:
            found = os.open(name, beneath.FOLDER, dir_fd=at)
        except PermissionError:
            self._make_ours(at, name)
            found = os.open(name, beneath.FOLDER, dir_fd=at)
        status = os.fstat(found)
        if status.st_mode & 0o700 != 0o700:
            os.fchmod(found, stat.S_IMODE(status.st_mode) | 0o700)
        return found

    def _make_ours(self, at: int, name: str) -> None:
        """chmod of a folder that may not even be read. Linux has no chmod that follows no link, but a path handle."""
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
        try:
            Path(f"/proc/self/fd/{handle}").chmod(0o700)
        finally:
            os.close(handle)


def mounts_below(path: str) -> set[str]:
    """The places at and below a path where something is mounted, bind mounts too. Empty if the system tells nothing."""
    try:
        with MOUNTS.open(encoding="utf-8", errors="surrogateescape") as file:
            places = {_unescaped(line.split(" ")[4]) for line in file}
    except OSError:
        return set()
    return {each for each in places if each == path or each.startswith(path.rstrip("/") + "/")}


def _unescaped(text: str) -> str:
    for code in ("040", "011", "012"):
        text = text.replace("\\" + code, chr(int(code, 8)))
    return text.replace("\\134", "\\")
