"""Opens what lies below a folder, never through a symbolic link: whatever others do there meanwhile, it stays below.

Every name on the way is opened by itself (openat with O_NOFOLLOW), relative to the one before.
Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import BinaryIO

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEPTH = 256  # folders inside each other; nothing that people build is that deep


def split(path: str) -> list[str]:
    """The names of a relative path. OSError for one that leads out, is absolute, or is too deep."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    if path.startswith("/") or ".." in names or "\0" in path:
        raise OSError(errno.EPERM, "the path leads out of the folder", path)
    if len(names) > DEPTH:
        raise OSError(errno.ENAMETOOLONG, f"more than {DEPTH} folders inside each other", path[:200])
    return names


def open_folder(root: int, names: Sequence[str], *, make: bool = False) -> int:
    """A new descriptor of a folder below `root` (a descriptor), which the caller closes.

    `make`: create what is missing. OSError (ENOTDIR or ELOOP) where a name on the way is a link or no folder.
    """
    at = os.dup(root)
    try:
        for name in names:
            if make:
                try:
                    os.mkdir(name, 0o777, dir_fd=at)
                except FileExistsError:
                    pass
            below = os.open(name, FOLDER, dir_fd=at)
            os.close(at)
            at = below
    except BaseException as error:
        os.close(at)
        if isinstance(error, OSError):
            error.filename = "/".join(names)
        raise
    return at


def open_file(root: int, path: str) -> BinaryIO:
    """A regular file below `root`, for reading. OSError (EINVAL) if it is something else; a pipe never blocks us."""
    names = split(path)
    folder = open_folder(root, names[:-1])
    try:
        file = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(file, "rb")
