"""Where the bytes of a channel come from and go to. Runs on the node too.

A transport blocks. `read_into` is called by one thread only, `write` by one at a time. `close` ends both from any
thread. What became of the far side is told by `outcome` when the transport has ended.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Protocol


class Transport(Protocol):
    """What a channel needs."""

    def read_into(self, space: memoryview) -> int:
        """Wait for bytes; 0: the far side has ended. OSError likewise."""

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        """Write all parts, one after another. OSError: the far side has ended."""

    def close(self, patience: float) -> None:
        """End it within so many seconds, by force where needed: makes a waiting `read_into` return. Twice is fine."""

    def outcome(self, seconds: float) -> str:
        """Such as 'killed by SIGKILL' and the last lines of stderr, known within so many seconds; '' if nothing is."""

    def release(self) -> None:
        """Give back what it holds. No thread reads or writes any more."""


class PipeTransport:
    """Two file descriptors; the agent's end. A waiting read is woken by the far side only."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink

    def read_into(self, space: memoryview) -> int:
        return os.readv(self._source, [space])

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        write_all(self._sink, parts)

    def close(self, patience: float) -> None:
        """Descriptors stay open until the process ends: another thread may be about to use their numbers."""

    def outcome(self, seconds: float) -> str:
        return ""

    def release(self) -> None:
        """The process is about to end."""


def write_all(descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
    """All parts, whatever the kernel takes at a time."""
    written = os.writev(descriptor, parts)
    rest = sum(map(len, parts)) - written
    if rest:
        view = memoryview(b"".join(parts))[written:]
        while view:
            view = view[os.write(descriptor, view) :]


class SocketTransport:
    """One end of a connected stream socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read_into(self, space: memoryview) -> int:
        return self._connection.recv_into(space)

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        write_all(self._connection.fileno(), parts)

    def close(self, patience: float) -> None:
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already

    def outcome(self, seconds: float) -> str:
        return ""

    def release(self) -> None:
        self._connection.close()
