"""A file or folder on this machine or on a node, with the same methods for both; every method is one call.

A value: it holds a channel and an absolute path, nothing of the file. It travels as an argument or in a result, and
leads to the same file afterwards: the path of a node is a local one there. `FilePath(None, path)` is of the process
that runs. Where much is to be read, send code instead of fetching data: `act`. Runs on nodes too.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, List, Literal, cast  # noqa: UP035 - see list()
from weakref import WeakKeyDictionary

from zuul_launcher.remoting import nodefiles
from zuul_launcher.remoting.errors import ResultRejected, WrongChannel
from zuul_launcher.remoting.factory import created
from zuul_launcher.remoting.filestreams import Counted, Download, Replacement, Upload
from zuul_launcher.remoting.nodefiles import FileStatus, TreeCopy
from zuul_launcher.remoting.portable import Portable
from zuul_launcher.remoting.trees import delete_tree

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

    Progress = Callable[[int], object]  # is told how many more bytes have gone

CHUNK = 256 * 1024
READ_BYTES = 64 * 1024**2
LIST_ENTRIES = 100_000
TREE_BYTES = 64 * 1024**3
ALL = ("**",)

# Paths of the controller that a channel has carried to its node, and may bring back.
_lent: WeakKeyDictionary[Channel, set[str]] = WeakKeyDictionary()


class FilePath(Portable, kind="path"):
    """`channel`: where the file is, None for this process. ValueError for a relative path: there is no shared folder.

    Methods raise the OSError that a local file would raise, with errno and path, and ChannelClosed if the node is lost.
    """

    __slots__ = ("channel", "path")

    def __init__(self, channel: Channel | None, path: str | PurePosixPath) -> None:
        text = os.fspath(path)
        if not isinstance(text, str) or not text.startswith("/") or "\0" in text:
            raise ValueError(f"a FilePath is absolute, {text!r} is not: nodes share no current folder")
        self.channel = channel
        self.path = PurePosixPath(text)

    def __truediv__(self, name: str | PurePosixPath) -> FilePath:
        """What lies below. Names may come from outside, so absolute ones and `..` are refused: see `parent`."""
        below = PurePosixPath(name)
        if below.is_absolute() or ".." in below.parts:
            raise ValueError(f"{str(name)!r} does not lie below {self.path}")
        return FilePath(self.channel, self.path / below)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"FilePath({self.channel.name if self.channel else 'here'}:{self.path})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FilePath) and self.channel is other.channel and self.path == other.path

    def __hash__(self) -> int:
        return hash((id(self.channel), self.path))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def parent(self) -> FilePath:
        return FilePath(self.channel, self.path.parent)

    # Asking

    def exists(self) -> bool:
        """Whether something is there; a link that leads nowhere is not."""
        return bool(self._ask(nodefiles.kind) != "")

    def is_file(self) -> bool:
        return bool(self._ask(nodefiles.kind) == "file")

    def is_dir(self) -> bool:
        return bool(self._ask(nodefiles.kind) == "directory")

    def stat(self) -> FileStatus:
        return self._ask(nodefiles.status, True)  # type: ignore[no-any-return] # what the function gives

    def lstat(self) -> FileStatus:
        """Of a link itself."""
        return self._ask(nodefiles.status, False)  # type: ignore[no-any-return] # what the function gives

    def size(self) -> int:
        return self.stat().size

    def list(self, glob: str = "*") -> List[FilePath]:  # noqa: UP006 - the name of this method hides the class
        """What matches, files and folders, by name: `*` just here, `**/*.xml` at any depth. Links are not entered."""
        return list(self.scan([glob]))

    def scan(self, includes: Sequence[str] = ("*",), excludes: Sequence[str] = ()) -> dict[FilePath, FileStatus]:
        """What matches, and what lstat says about each: many files in one call. OSError (EOVERFLOW) above 100,000."""
        found = self._ask(nodefiles.scan, [*includes], [*excludes], LIST_ENTRIES)
        return {self / path: status for path, status in found}

    def digest(self, algorithm: str = "sha256") -> str:
        """Hexadecimal, made where the file is."""
        return str(self._ask(nodefiles.digest, algorithm))

    def disk_free(self) -> int:
        """Bytes that a plain user may still write on that file system."""
        return int(self._ask(nodefiles.disk_free))

    # Changing

    def mkdirs(self) -> None:
        """The folder with all above it; fine if it is there."""
        self._ask(nodefiles.make_folders)

    def delete(self) -> None:
        """A file, a link (not what it leads to), or an empty folder."""
        self._ask(nodefiles.delete)

    def delete_tree(self) -> None:
        """With all that is in it; fine if it is not there. Links are not followed, and what is mounted in it stays."""
        self._ask(delete_tree)

    def rename(self, target: FilePath) -> None:
        """On the same node; replaces a file. ValueError for another node: use copy_to."""
        self._same_node(target)
        self._ask(nodefiles.rename, str(target))

    def chmod(self, mode: int) -> None:
        self._ask(nodefiles.chmod, mode)

    def symlink(self, target: str | FilePath) -> None:
        """Makes this a link that leads to `target`, a text as in `ln -s` or a path of the same node."""
        if isinstance(target, FilePath):
            self._same_node(target)
        self._ask(nodefiles.symlink, str(target))

    def touch(self, modified: float | None = None) -> None:
        """Makes an empty file if there is none; sets when it was modified: seconds since the epoch, else now."""
        self._ask(nodefiles.touch, modified)

    def temp_file(self, prefix: str = "", suffix: str = "") -> FilePath:
        """A new file in this folder, which only its owner may read."""
        return self._made(self._ask(nodefiles.make_temp_file, _part(prefix), _part(suffix)))

    def temp_dir(self, prefix: str = "", suffix: str = "") -> FilePath:
        """A new folder in this folder, which only its owner may enter."""
        return self._made(self._ask(nodefiles.make_temp_folder, _part(prefix), _part(suffix)))

    # Bytes

    def read_bytes(self) -> bytes:
        """OSError (EFBIG) above 64 MiB: use open or copy_to, or send the code that reads it (act)."""
        return bytes(self._ask(nodefiles.read, READ_BYTES))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def write_bytes(self, data: bytes) -> None:
        """Atomic: others see the old file or the new one, never a part. Permissions stay."""
        self._ask(nodefiles.write, bytes(data))

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Atomic, as write_bytes."""
        self.write_bytes(text.encode(encoding))

    def open(self, mode: Literal["rb", "wb"] = "rb") -> BinaryIO:
        """A stream of any size, with back-pressure. What is written appears at close(); never if the block fails."""
        if mode == "wb":
            return self._upload(None)
        if mode == "rb":
            return self._download()
        raise ValueError(f"a FilePath opens with 'rb' or 'wb', not {mode!r}")

    def copy_to(self, target: FilePath, progress: Progress | None = None) -> None:
        """One file with its permissions, between any two machines; it appears complete or not at all."""
        if _path(target).channel is self.channel:
            self._ask(nodefiles.copy, str(target))
            return
        mode = self.stat().mode
        with self.open("rb") as source, target._upload(mode) as copied:
            while chunk := source.read(CHUNK):
                copied.write(chunk)
                if progress:
                    progress(len(chunk))

    def copy_tree_to(
        self,
        target: FilePath,
        includes: Sequence[str] = ALL,
        excludes: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> TreeCopy:
        """What matches below this folder, as one stream. Links that lead out are left out, and named in the answer."""
        if _path(target).channel is self.channel:
            return _tree_copy(self._ask(nodefiles.copy_tree, str(target), [*includes], [*excludes]))
        if target.channel is None:
            with self._archive(includes, excludes) as archive:
                target.untar_from(cast(BinaryIO, Counted(archive, progress)))
                return _tree_copy(archive.answer())
        with Upload(target.channel, nodefiles.unpack_from, str(target), TREE_BYTES) as sink:
            return self.tar_to(cast(BinaryIO, Counted(sink, progress)), includes, excludes)

    def tar_to(self, stream: BinaryIO, includes: Sequence[str] = ALL, excludes: Sequence[str] = ()) -> TreeCopy:
        """Writes what matches below this folder into a binary stream of this process, as a plain tar archive."""
        if self.channel is None:
            return nodefiles.pack(str(self), stream, [*includes], [*excludes])
        with self._archive(includes, excludes) as archive:
            shutil.copyfileobj(archive, stream, CHUNK)
            return _tree_copy(archive.answer())

    def untar_from(self, stream: BinaryIO, most_bytes: int = TREE_BYTES) -> TreeCopy:
        """Fills this folder from a plain tar archive (for a compressed one give `gzip.open(...)`) of anybody.

        OSError names the entry that is refused: EPERM if it would leave the folder, EFBIG above `most_bytes`.
        """
        if self.channel is None:
            return nodefiles.unpack(str(self), stream, most_bytes)
        with Upload(self.channel, nodefiles.unpack_from, str(self), most_bytes) as sink:
            shutil.copyfileobj(stream, sink, CHUNK)
        return _tree_copy(sink.answer())

    # Code

    def act(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Runs `function(pathlib.Path, *arguments, **keywords)` where the file is, and gives its result."""
        act = nodefiles.Act(function, str(self))
        if self.channel is not None:
            return self.channel.apply(act, arguments, keywords)
        with created(arguments, keywords) as (given, named):
            return act(*given, **named)

    # Travelling

    def depart(self, channel: Channel) -> Any:
        """Whose machine it is on, seen from here."""
        if self.channel is channel:
            return "yours", str(self)
        if self.channel is None:
            if channel.is_controller:
                _lent.setdefault(channel, set()).add(str(self))
            return "mine", str(self)
        raise WrongChannel(f"{self!r} cannot travel over the channel {channel.name}: there nobody can reach it")

    @classmethod
    def arrive(cls, data: Any, channel: Channel) -> FilePath:
        """The other side's own path is a remote one here; a path of ours has come home and is local again.

        What a node says is ours must have been sent there: no node may point at other files of the controller.
        """
        whose, path = data
        if whose != "mine" and channel.is_controller and path not in _lent.get(channel, ()):
            raise ResultRejected(f"{channel.name} gives back a path of the controller that it never got: {path!r:.200}")
        return cls(channel if whose == "mine" else None, path)

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.channel is None:
            return function(str(self), *arguments)
        return self.channel.call(function, str(self), *arguments)

    def _download(self) -> BinaryIO:
        if self.channel is None:
            return Path(str(self)).open("rb")
        stream = io.BufferedReader(Download(self.channel, nodefiles.send, str(self)), CHUNK)
        try:
            stream.peek(1)  # so that a missing file is told here
        except BaseException:
            stream.close()
            raise
        return stream

    def _archive(self, includes: Sequence[str], excludes: Sequence[str]) -> Download:
        assert self.channel is not None
        return Download(self.channel, nodefiles.pack_into, str(self), [*includes], [*excludes])

    def _upload(self, mode: int | None) -> BinaryIO:
        if self.channel is None:
            return cast(BinaryIO, Replacement(str(self), mode))
        return cast(BinaryIO, Upload(self.channel, nodefiles.receive, str(self), mode))

    def _same_node(self, target: FilePath) -> None:
        if _path(target).channel is not self.channel:
            raise ValueError(f"{target!r} is not on the same machine as {self!r}: use copy_to")

    def _made(self, path: str) -> FilePath:
        """The node is asked to make something in this folder; an answer that leads elsewhere is not followed."""
        made = FilePath(self.channel, path)
        if made.parent != self:
            raise ResultRejected(f"{made!r} is not in {self!r}")
        return made


def _path(target: FilePath) -> FilePath:
    """Checks what callers mistake most often: a text does not say which machine it is about."""
    if not isinstance(target, FilePath):
        raise TypeError(f"the target is a FilePath, which knows its machine: FilePath(None, {str(target)!r}) is here")
    return target


def _tree_copy(answer: Any) -> TreeCopy:
    if not isinstance(answer, TreeCopy):
        raise ResultRejected(f"the node answers {answer!r:.100} where a TreeCopy is due")
    return answer


def _part(name: str) -> str:
    if "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is no part of a name")
    return name
