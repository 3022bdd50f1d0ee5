"""Unpacks a tar stream from anybody into a folder: nothing is written outside it, and never more than the limits.

Taken are regular files, folders, links that stay inside, and hard links to files that lie inside. Everything else
(absolute paths, `..`, links out, devices, sparse files) is refused with its name, and unpacking stops. tarfile itself
is not used to unpack: its filters follow links that exist already, and it keeps headers of any size in memory.
Format: POSIX pax and ustar, and GNU long names. Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zuul_launcher.remoting import beneath
from zuul_launcher.remoting.tarpack import BLOCK, CHUNK, link_stays_inside

HEADER_BYTES = 64 * 1024  # of one extended header: paths and times, no more
MOST_ENTRIES = 1_000_000
MOST_BYTES = 64 * 1024**3
LATEST = 2**33  # seconds since the epoch
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}


@dataclass(frozen=True)
class Limits:
    entries: int = MOST_ENTRIES
    size: int = MOST_BYTES  # bytes of all files together


def unpack(folder: str, stream: BinaryIO, limits: Limits = Limits()) -> tuple[int, int]:
    """Makes the folder if it is missing and fills it; answers with the numbers of entries and bytes.

    What is there already is replaced, but a folder is not replaced by something else. OSError names the entry: EINVAL
    (broken), EPERM (leads out of the folder, or is of a kind that is not taken), EFBIG (more than the limits).
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _Unpacking(root, stream, limits).run()
    finally:
        os.close(root)


class _Unpacking:
    def __init__(self, root: int, stream: BinaryIO, limits: Limits) -> None:
        self._root, self._stream, self._limits = root, stream, limits
        self._entries = self._size = 0

    def run(self) -> tuple[int, int]:
        extended: dict[str, str] = {}
        folders: list[tuple[list[str], int]] = []
        while True:
            entry = self._next_header()
            if entry is None:
                break
            if entry.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, *_LONG):
                extended.update(self._extension(entry))
                continue
            entry.name, entry.linkname = extended.get("path", entry.name), extended.get("linkpath", entry.linkname)
            entry.size = int(extended.get("size", entry.size))
            extended = {}
            self._count(entry)
            names = _split(entry, entry.name)
            self._make(entry, names)
            if entry.isdir():
                folders.append((names, entry.mode))
        for names, mode in reversed(folders):  # a read-only folder is made so when all is in it
            self._set_mode(names, mode)
        return self._entries, self._size

    def _next_header(self) -> tarfile.TarInfo | None:
        """None at the end of the archive. What follows its two empty blocks is read: the writer must finish."""
        block = self._read(BLOCK)
        if not block.strip(b"\0"):
            if self._read(BLOCK).strip(b"\0"):
                raise OSError(errno.EINVAL, "the archive is broken: an empty block in the middle")
            while self._stream.read(CHUNK):
                pass
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise OSError(errno.EINVAL, f"the archive is broken: {error}") from None

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            chunk = self._stream.read(size - len(found))
            if not chunk:
                raise OSError(errno.EINVAL, "the archive is cut off")
            found += chunk
        return found

    def _extension(self, entry: tarfile.TarInfo) -> dict[str, str]:
        if not 0 <= entry.size <= HEADER_BYTES:
            raise OSError(errno.EFBIG, f"an extended header of {entry.size} bytes")
        data = self._read(entry.size)
        self._read(-entry.size % BLOCK)
        if entry.type == tarfile.XGLTYPE:
            return {}  # comments of git archive
        if entry.type in _LONG:
            return {_LONG[entry.type]: data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
        return _pax(data)

    def _count(self, entry: tarfile.TarInfo) -> None:
        self._entries += 1
        self._size += entry.size if entry.isreg() else 0
        if entry.size < 0 or entry.type == tarfile.GNUTYPE_SPARSE:
            raise OSError(errno.EINVAL, "an entry of a kind that is not taken", entry.name)
        if self._entries > self._limits.entries:
            raise OSError(errno.EFBIG, f"the archive has more than {self._limits.entries} entries", entry.name)
        if self._size > self._limits.size:
            raise OSError(errno.EFBIG, f"the archive has more than {self._limits.size} bytes", entry.name)

    def _make(self, entry: tarfile.TarInfo, names: list[str]) -> None:
        if entry.isdir():
            os.close(beneath.open_folder(self._root, names, make=True))
            return
        if not names:
            raise OSError(errno.EPERM, "the folder itself cannot be a file", entry.name)
        folder = beneath.open_folder(self._root, names[:-1], make=True)
        try:
            if entry.isreg():
                self._make_file(entry, names[-1], folder)
            elif entry.issym():
                if not link_stays_inside("/".join(names), entry.linkname):
                    raise OSError(errno.EPERM, f"the link leads out of the folder, to {entry.linkname!r}", entry.name)
                _make_room(names[-1], folder)
                os.symlink(entry.linkname, names[-1], dir_fd=folder)
            elif entry.islnk():
                self._make_hard_link(entry, names[-1], folder)
            else:
                raise OSError(errno.EPERM, "an entry of a kind that is not taken: device or pipe", entry.name)
        finally:
            os.close(folder)

    def _make_file(self, entry: tarfile.TarInfo, name: str, folder: int) -> None:
        _make_room(name, folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, 0o600, dir_fd=folder)
        try:
            left = entry.size
            while left:
                chunk = self._stream.read(min(CHUNK, left))
                if not chunk:
                    raise OSError(errno.EINVAL, "the archive is cut off", entry.name)
                _write_all(file, chunk)
                left -= len(chunk)
            self._read(-entry.size % BLOCK)
            os.fchmod(file, entry.mode & 0o777)
            modified = min(max(int(entry.mtime), 0), LATEST)
            os.utime(file, (modified, modified))
        finally:
            os.close(file)

    def _make_hard_link(self, entry: tarfile.TarInfo, name: str, folder: int) -> None:
        """Only to a regular file: a second name for a link would lie in another folder, and lead elsewhere."""
        target = _split(entry, entry.linkname)
        if not target:
            raise OSError(errno.EPERM, "the link leads to no file", entry.name)
        source = beneath.open_folder(self._root, target[:-1])
        try:
            if not stat.S_ISREG(os.stat(target[-1], dir_fd=source, follow_symlinks=False).st_mode):
                raise OSError(errno.EPERM, "the link leads to no file", entry.name)
            _make_room(name, folder)
            os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(source)

    def _set_mode(self, names: list[str], mode: int) -> None:
        if not names:
            return  # the folder was there before
        folder = beneath.open_folder(self._root, names)
        try:
            os.fchmod(folder, mode & 0o777)
        finally:
            os.close(folder)


def _split(entry: tarfile.TarInfo, path: str) -> list[str]:
    try:
        return beneath.split(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, entry.name) from None


def _make_room(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def _write_all(file: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(file, view) :]


def _pax(data: bytes) -> dict[str, str]:
    """Records `LENGTH KEY=VALUE\\n`. Source: pax(1), "pax Extended Header"."""
    found: dict[str, str] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        length = data[position : max(space, position)]
        if not length.isdigit() or not len(length) + 2 < int(length) <= len(data) - position:
            raise OSError(errno.EINVAL, "the archive is broken: an extended header")
        record = data[space + 1 : position + int(length) - 1]
        key, _, value = record.decode("utf-8", "surrogateescape").partition("=")
        if key.startswith("GNU.sparse"):
            raise OSError(errno.EINVAL, "sparse files are not taken")
        if key == "size" and not (value.isdigit() and value.isascii() and len(value) < 20):
            raise OSError(errno.EINVAL, "the archive is broken: a size")
        found[key] = value
        position += int(length)
    return found
