"""Writes a tree as one tar stream (POSIX pax format): regular files, folders, and links that stay inside the tree.

A link is packed as a link, never followed; one that leads out of the tree is left out and named in the answer, as are
devices, sockets and pipes. Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from typing import BinaryIO

from zuul_launcher.remoting import beneath, trees
from zuul_launcher.remoting.globs import Selection

BLOCK = tarfile.BLOCKSIZE
CHUNK = 256 * 1024


def pack(folder: str, stream: BinaryIO, selection: Selection) -> tuple[int, int, list[str]]:
    """Writes what is selected; answers with numbers of entries and bytes, and what was left out (100 names at most)."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    entries = size = 0
    left_out: list[str] = []
    try:
        for found in trees.walk(root, selection):
            written = _write(root, found, stream)
            if written is not None:
                entries, size = entries + 1, size + written
            elif len(left_out) < 100:
                left_out.append(found.path)
    finally:
        os.close(root)
    stream.write(bytes(2 * BLOCK))
    return entries, size, left_out


def _write(root: int, found: trees.Found, stream: BinaryIO) -> int | None:
    """The number of bytes of the file; None: this is no thing to pack, or it is gone."""
    mode = found.status.st_mode
    if stat.S_ISREG(mode):
        return _write_file(root, found, stream)
    if stat.S_ISLNK(mode):
        target = _link_target(root, found.path)
        if target is None or not link_stays_inside(found.path, target):
            return None
        _write_header(found, stream, tarfile.SYMTYPE, target=target)
        return 0
    if stat.S_ISDIR(mode):
        _write_header(found, stream, tarfile.DIRTYPE)
        return 0
    return None


def _write_file(root: int, found: trees.Found, stream: BinaryIO) -> int | None:
    """Exactly as many bytes as the header says: a file that grows is cut there, one that shrinks is an error."""
    try:
        file = beneath.open_file(root, found.path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL):
            return None
        raise OSError(error.errno, error.strerror, found.path) from None
    with file:
        status = os.fstat(file.fileno())
        _write_header(trees.Found(found.path, status), stream, tarfile.REGTYPE, size=status.st_size)
        left = status.st_size
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise OSError(errno.EIO, "the file became shorter while it was read", found.path)
            stream.write(chunk)
            left -= len(chunk)
    stream.write(bytes(-status.st_size % BLOCK))
    return status.st_size


def _write_header(found: trees.Found, stream: BinaryIO, kind: bytes, *, size: int = 0, target: str = "") -> None:
    """Owners are not told: who unpacks owns the files."""
    entry = tarfile.TarInfo(found.path)
    entry.type, entry.size, entry.linkname = kind, size, target
    entry.mode = stat.S_IMODE(found.status.st_mode)
    entry.mtime = int(found.status.st_mtime)
    stream.write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))


def _link_target(root: int, path: str) -> str | None:
    names = beneath.split(path)
    try:
        folder = beneath.open_folder(root, names[:-1])
        try:
            return os.readlink(names[-1], dir_fd=folder)
        finally:
            os.close(folder)
    except OSError:
        return None


def link_stays_inside(path: str, target: str) -> bool:
    """Whether a link at `path` in a tree leads to a place in the tree, whatever other such links the tree has.

    `..` counts only at the front, where it climbs folders that are real ones; after a name it could climb out
    through a link.
    """
    names = [name for name in target.split("/") if name not in ("", ".")]
    climbs = 0
    while climbs < len(names) and names[climbs] == "..":
        climbs += 1
    return not target.startswith("/") and target != "" and ".." not in names[climbs:] and climbs <= path.count("/")
