"""What FilePath asks of the machine where the file is: one function a method, each of them one call.

Paths are absolute texts. Whatever is written appears under its name only when it is complete.
Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from zuul_launcher.remoting import globs, tarpack, tarunpack, trees
from zuul_launcher.remoting.context import check_cancelled, transferable

CHUNK = 256 * 1024


@transferable
@dataclass(frozen=True)
class FileStatus:
    """What stat says. `kind`: file, directory, link or other; `modified`: seconds since the epoch, by the node."""

    kind: str
    size: int
    mode: int  # permission bits: 0o644
    modified: float
    owner: int
    group: int

    @property
    def is_file(self) -> bool:
        return self.kind == "file"

    @property
    def is_dir(self) -> bool:
        return self.kind == "directory"


@transferable
@dataclass(frozen=True)
class TreeCopy:
    """What a copy of a tree took along: entries, bytes, and what was left out (links that lead out; 100 at most)."""

    entries: int
    size: int
    left_out: tuple[str, ...] = ()


def status(path: str, follow: bool) -> FileStatus:
    return _status(Path(path).stat() if follow else Path(path).lstat())


def _status(found: os.stat_result) -> FileStatus:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return FileStatus(
        kind=kinds.get(stat.S_IFMT(found.st_mode), "other"),
        size=found.st_size,
        mode=stat.S_IMODE(found.st_mode),
        modified=found.st_mtime,
        owner=found.st_uid,
        group=found.st_gid,
    )


def kind(path: str) -> str:
    """The kind of what a path leads to; empty: nothing is there, or it cannot be reached."""
    try:
        return status(path, True).kind
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if error.errno == errno.ELOOP:
            return ""
        raise


def scan(path: str, includes: list[str], excludes: list[str], most: int) -> list[tuple[str, FileStatus]]:
    """Paths below `path`, with what lstat says. OSError (EOVERFLOW) if more than `most` match."""
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    found: list[tuple[str, FileStatus]] = []
    try:
        for entry in trees.walk(root, globs.select(includes, excludes)):
            check_cancelled()
            if len(found) == most:
                raise OSError(errno.EOVERFLOW, f"more than {most} entries match", path)
            found.append((entry.path, _status(entry.status)))
    finally:
        os.close(root)
    return found


def read(path: str, most: int) -> bytes:
    """All bytes. OSError (EFBIG) if these are more than `most`."""
    with Path(path).open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes: use open() or copy_to()", path)
    return data


def write(path: str, data: bytes) -> None:
    with replacement(path) as file:
        file.write(data)


@contextmanager
def replacement(path: str, mode: int | None = None) -> Iterator[BinaryIO]:
    """A new file, which takes the name when the block ends well. Without `mode` permissions stay as they were.

    OSError (EINVAL) if something is there that is no file: a folder or device is not replaced.
    """
    place = Path(path)
    try:
        before = place.lstat()
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISREG(before.st_mode) and not stat.S_ISLNK(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if mode is None and stat.S_ISREG(before.st_mode):
            mode = stat.S_IMODE(before.st_mode)
    part = place.with_name(f".{place.name[:100]}.{os.urandom(6).hex()}.part")
    try:
        with part.open("xb") as file:
            yield file
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        part.replace(place)
    except BaseException as error:
        try:
            part.unlink()
        except OSError:
            pass  # it was not made, or cannot be reached any more
        if isinstance(error, OSError) and error.filename == str(part):
            raise OSError(error.errno, error.strerror, path) from None  # the name that the caller knows
        raise


def send(path: str, pipe: Any) -> None:
    """Writes the file into a pipe. The reader may stop early. Closed only at the end: a part never looks complete."""
    with Path(path).open("rb") as file:
        try:
            shutil.copyfileobj(file, pipe.writer, CHUNK)
            pipe.writer.close()
        except BrokenPipeError:
            pass


def receive(path: str, pipe: Any, ready: Any, mode: int | None) -> None:
    """Fills the file from a pipe, after saying that it can be. If the pipe breaks, the file stays what it was."""
    with replacement(path, mode) as file:
        ready.writer.write(b"1")
        shutil.copyfileobj(pipe.reader, file, CHUNK)


def copy(source: str, target: str) -> None:
    with Path(source).open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        with replacement(target, mode) as copied:
            shutil.copyfileobj(file, copied, CHUNK)


def copy_tree(source: str, target: str, includes: list[str], excludes: list[str]) -> TreeCopy:
    """On one machine, by the rules of the archive."""
    inside = os.path.realpath(source)
    if os.path.realpath(target) == inside or os.path.realpath(target).startswith(inside + "/"):
        raise OSError(errno.EINVAL, "a tree is not copied into itself", target)
    reading, writing = os.pipe()
    answers: list[TreeCopy] = []
    errors: list[BaseException] = []

    def pack_there() -> None:
        try:
            with os.fdopen(writing, "wb") as stream:
                answers.append(pack(source, stream, includes, excludes))
        except BaseException as error:  # raised again below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=pack_there, name="copy_tree", daemon=True)
    thread.start()
    try:
        with os.fdopen(reading, "rb") as stream:
            tarunpack.unpack(target, stream)
    except OSError:
        thread.join()
        if not errors or isinstance(errors[0], BrokenPipeError):
            raise
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


def pack(path: str, stream: Any, includes: list[str], excludes: list[str]) -> TreeCopy:
    entries, size, left_out = tarpack.pack(path, stream, globs.select(includes, excludes))
    return TreeCopy(entries, size, tuple(left_out))


def pack_into(path: str, pipe: Any, includes: list[str], excludes: list[str]) -> TreeCopy:
    packed = pack(path, pipe.writer, includes, excludes)
    pipe.writer.close()
    return packed


def unpack_from(path: str, pipe: Any, ready: Any, most_bytes: int) -> TreeCopy:
    make_folders(path)
    ready.writer.write(b"1")
    return unpack(path, pipe.reader, most_bytes)


def unpack(path: str, stream: BinaryIO, most_bytes: int) -> TreeCopy:
    return TreeCopy(*tarunpack.unpack(path, stream, tarunpack.Limits(size=most_bytes)))


def make_folders(path: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)


def delete(path: str) -> None:
    """A file, a link, or an empty folder."""
    place = Path(path)
    if stat.S_ISDIR(place.lstat().st_mode):
        place.rmdir()
    else:
        place.unlink()


def rename(path: str, target: str) -> None:
    Path(path).replace(target)


def chmod(path: str, mode: int) -> None:
    Path(path).chmod(mode)


def symlink(path: str, target: str) -> None:
    Path(path).symlink_to(target)


def touch(path: str, modified: float | None) -> None:
    Path(path).touch()
    if modified is not None:
        os.utime(path, (modified, modified))


def make_temp_file(folder: str, prefix: str, suffix: str) -> str:
    """A new empty file that only its owner may read."""
    file, path = tempfile.mkstemp(suffix, prefix, folder)
    os.close(file)
    return path


def make_temp_folder(folder: str, prefix: str, suffix: str) -> str:
    return tempfile.mkdtemp(suffix, prefix, folder)


def digest(path: str, algorithm: str) -> str:
    """Hexadecimal. ValueError for an algorithm that this Python does not have."""
    found = hashlib.new(algorithm)
    with Path(path).open("rb") as file:
        while chunk := file.read(CHUNK):
            check_cancelled()
            found.update(chunk)
    return found.hexdigest()


def disk_free(path: str) -> int:
    """Bytes that a plain user may still write there."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def act(path: str, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """What `FilePath.act` does, for a call with a deadline of its own."""
    return function(Path(path), *arguments, **keywords)


class Act:
    """A function that gets this path first. Errors and dumps name it, and what it gets, as the caller does."""

    def __init__(self, function: Callable[..., Any], path: str) -> None:
        self.__wrapped__ = function
        self.__qualname__ = getattr(function, "__qualname__", type(function).__name__)
        self._path = path

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.__wrapped__(Path(self._path), *arguments, **keywords)
