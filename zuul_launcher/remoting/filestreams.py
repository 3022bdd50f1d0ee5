"""Streams behind FilePath: a call that runs on the node, and the pipe that feeds or drains it.

An upload counts when it was closed, and only then: a block that fails, or a stream that is forgotten, leaves what was
there. The error of the node's side wins over that of the pipe: "no space left" says more than "broken pipe".
Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting.nodefiles import replacement
from zuul_launcher.remoting.pipe import Pipe

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel


class _Target(io.BufferedIOBase):
    """What is written counts after close(); `_commit` and `_discard` say what that means."""

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._commit()

    def discard(self, error: BaseException) -> None:
        if not self.closed:
            super().close()
            self._discard(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard(error)

    def __del__(self) -> None:
        if hasattr(self, "_is_ready"):
            self.discard(InterruptedError("the stream was never closed"))

    def _commit(self) -> None:
        raise NotImplementedError

    def _discard(self, error: BaseException) -> None:
        raise NotImplementedError


class Replacement(_Target):
    """A file of this process."""

    def __init__(self, path: str, mode: int | None) -> None:
        self._stack = ExitStack()
        self._file = self._stack.enter_context(replacement(path, mode))
        self._is_ready = True

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def _commit(self) -> None:
        self._stack.close()

    def _discard(self, error: BaseException) -> None:
        try:
            self._stack.__exit__(type(error), error, None)
        except BaseException as same:
            if same is not error:
                raise


class Upload(_Target):
    """Feeds `function(path, pipe, ready, *arguments)` of the node, which writes into `ready` when it can begin.

    So the error of a folder that is missing is raised at once, as `open` does it for a local file.
    """

    def __init__(self, channel: Channel, function: Callable[..., Any], path: str, *arguments: Any) -> None:
        pipe, ready = Pipe.to_remote(), Pipe.to_local()
        self._future = channel.call_async(function, path, pipe, ready, *arguments)
        self._writer = pipe.writer
        try:
            ready.reader.read1(1)
        except OSError:
            self._future.result()
            raise
        self._is_ready = True

    def write(self, data: Any) -> int:
        try:
            return self._writer.write(data)
        except OSError:
            self._future.result()
            raise

    def answer(self) -> Any:
        """What the function gave, after close()."""
        return self._future.result()

    def _commit(self) -> None:
        try:
            self._writer.close()
        finally:
            self._future.result()

    def _discard(self, error: BaseException) -> None:
        try:
            self._writer.error(error if isinstance(error, Exception) else InterruptedError("interrupted"))
            self._future.result()
        except Exception:  # noqa: S110 - the error that made us discard it is on its way
            pass


class Download(io.RawIOBase):
    """Drains `function(path, pipe, *arguments)` of the node. Errors of its beginning are raised at once."""

    def __init__(self, channel: Channel, function: Callable[..., Any], path: str, *arguments: Any) -> None:
        pipe = Pipe.to_local()
        self._is_complete = False
        self._reader = pipe.reader
        self._future = channel.call_async(function, path, pipe, *arguments)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._reader.readinto1(buffer)
        except OSError:
            self._future.result()
            raise
        if count == 0 and not self._is_complete:
            self._is_complete = True
            self._future.result()
        return count

    def answer(self) -> Any:
        """What the function gave, after all was read."""
        return self._future.result()

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        if not self._is_complete:
            self._future.cancel()  # nobody wants the rest
        self._reader.close()


class Counted:
    """Tells `progress` how many more bytes went through a stream."""

    def __init__(self, stream: Any, progress: Callable[[int], object] | None) -> None:
        self._stream = stream
        self._progress = progress or (lambda count: None)

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        self._progress(len(data))
        return data

    def write(self, data: Any) -> int:
        count: int = self._stream.write(data)
        self._progress(count)
        return count
