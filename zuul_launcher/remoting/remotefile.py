"""An open file of this side as an argument: a binary file on the far side. Runs on the node too.

Read: on demand, a block for each request; greedy: pushed ahead, as far as a window. Written: each block is a request
that fails where the file does; greedy: nobody waits for it. All is written when the call has returned. The file on the
far side ends with its call; the one here stays open.
"""

from __future__ import annotations

import io
import logging
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from zuul_launcher.remoting.errors import RemotingError, ResultRejected
from zuul_launcher.remoting.pipe import Pipe
from zuul_launcher.remoting.pipeends import PipeWriter
from zuul_launcher.remoting.portable import Portable, travel
from zuul_launcher.remoting.proxy import Proxy, export
from zuul_launcher.remoting.sink import send_sink, take_writer

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

LOG = logging.getLogger(__name__)
_BLOCK = 1 << 18


class RemoteFile(Portable, kind="file"):
    """`RemoteFile(file, mode, greedy)`: mode "rb" to be read, "wb" to be written on the far side."""

    def __init__(self, file: BinaryIO, mode: str, greedy: bool = False) -> None:
        if mode not in ("rb", "wb"):
            raise ValueError(f'a remote file has the mode "rb" or "wb", not {mode!r}')
        self._file = file
        self._mode = mode
        self._greedy = greedy

    def depart(self, channel: Channel) -> Any:
        inner: Any
        if not self._greedy:
            inner = export(channel, _Near(self._file), ["read" if self._mode == "rb" else "write"])
        elif self._mode == "wb":
            inner = send_sink(channel, lambda data: _write_all(self._file, data))
        else:
            inner = pipe = Pipe.to_remote()
            if travel.parcel is not None:
                travel.parcel.append(_Pump(self._file, pipe.writer))
        return [self._mode, self._greedy, inner]

    @classmethod
    def arrive(cls, data: Any, channel: Channel) -> Any:
        mode, greedy, inner = data
        file: _File
        if greedy and isinstance(inner, Pipe):
            return inner.reader
        if greedy:
            file = _File(io.BufferedWriter(_Sink(take_writer(channel, inner)), _BLOCK))
        elif isinstance(inner, Proxy) and mode == "rb":
            file = _File(io.BufferedReader(_Source(inner), _BLOCK))
        elif isinstance(inner, Proxy) and mode == "wb":
            file = _File(io.BufferedWriter(_Sink(inner), _BLOCK))
        else:
            raise ResultRejected("a file that is none")
        if travel.parcel is not None:
            travel.parcel.append(file)
        return file.file


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class _Near:
    """The exported file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(max(0, min(size, _BLOCK)))

    def write(self, data: bytes) -> None:
        _write_all(self._file, data)


class _Pump:
    """Pushes a file into a pipe once the message is on its way."""

    def __init__(self, file: BinaryIO, writer: PipeWriter) -> None:
        self._file = file
        self._writer = writer

    def undo(self) -> None:
        """Nothing was read."""

    def departed(self) -> None:
        threading.Thread(target=self._run, name="push of a file", daemon=True).start()

    def answered(self) -> None:
        """The reader has closed: the next write ends the thread."""

    def _run(self) -> None:
        try:
            while block := self._file.read(_BLOCK):
                self._writer.write(block)
            self._writer.close()
        except (BrokenPipeError, RemotingError):
            return  # nobody reads on
        except Exception as error:  # the reader is told
            self._writer.error(error)


class _Source(io.RawIOBase):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._proxy.read(len(view))
        if type(data) is not bytes or len(data) > len(view):
            raise ResultRejected("more data than asked for, or none")
        view[: len(data)] = data
        return len(data)


class _Sink(io.RawIOBase):
    def __init__(self, target: Any) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._target.write(bytes(data))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._target.close()
            super().close()


class _File:
    """Ends with the call that brought it."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def finish(self, error: BaseException | None) -> None:
        self.file.close()
