"""The wire, without any I/O: bytes in, frames out, and back. Runs on the node too.

A frame is `length u32 | request u32 | kind u8 | flags u8`, big-endian, then `length` bytes. A message longer than a
frame is split; all its frames but the last have the flag MORE, and frames of other requests may come between them.
Kinds below OPTIONAL must be understood; others are skipped by who does not know them. Any breach is a ProtocolError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from zuul_launcher.remoting.errors import ProtocolError

CALL, RESULT, ERROR, CANCEL, MODULE_REQ, MODULE_RES, PING, PONG, LOG = range(1, 10)
PIPE_DATA, PIPE_ACK, PIPE_CLOSE, PIPE_ERROR, UNEXPORT, PROXY_CALL, CLOSE = range(10, 17)
NAMES = (
    *("-", "CALL", "RESULT", "ERROR", "CANCEL", "MODULE_REQ", "MODULE_RES", "PING", "PONG", "LOG"),
    *("PIPE_DATA", "PIPE_ACK", "PIPE_CLOSE", "PIPE_ERROR", "UNEXPORT", "PROXY_CALL", "CLOSE"),
)
OPTIONAL = 128
MORE = 1
HEADER = struct.Struct("!IIBB")
HEADER_SIZE = HEADER.size
_NUMBER = struct.Struct("!I")
_SLOTS = 2  # frames of full size that the parser reads at once


class Frame(NamedTuple):
    """One frame as it came. Data of a pipe have the number of the pipe as `request`: so they are copied only once."""

    kind: int
    request: int
    flags: int
    body: bytes


def split(kind: int, request: int, body: bytes | memoryview, limit: int) -> Iterator[tuple[bytes, bytes | memoryview]]:
    """A message as frames, each as (header, part of the body)."""
    if len(body) <= limit:
        yield HEADER.pack(len(body), request, kind, 0), body
        return
    view = memoryview(body)
    for start in range(0, len(view), limit):
        part = view[start : start + limit]
        yield HEADER.pack(len(part), request, kind, MORE if start + limit < len(view) else 0), part


class FrameParser:
    """Takes bytes as they come, in a buffer of its own, and gives whole frames."""

    def __init__(self, max_frame: int, received: bytes = b"") -> None:
        self._max = max_frame
        self._buffer = bytearray(max(_SLOTS * (max_frame + HEADER_SIZE), 2 * len(received)))
        self._view = memoryview(self._buffer)
        self._view[: len(received)] = received
        self._start, self._end = 0, len(received)

    def space(self) -> memoryview:
        """Where the next bytes are to be read into; then call `frames` with their number."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start and len(self._buffer) - self._end <= self._max + HEADER_SIZE:
            rest = bytes(self._view[self._start : self._end])
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        return self._view[self._end :]

    def frames(self, count: int) -> Iterator[Frame]:
        """The frames that `count` more bytes complete."""
        end = self._end = self._end + count
        while (begin := self._start + HEADER_SIZE) <= end:
            length, request, kind, flags = HEADER.unpack_from(self._buffer, self._start)
            if length > self._max:
                raise ProtocolError(f"a frame of {length} bytes; the limit is {self._max}")
            if end < begin + length:
                return
            self._start = begin + length
            if kind == PIPE_DATA:
                if length < _NUMBER.size or flags:
                    raise ProtocolError("data of a pipe without its number, or in parts")
                (request,) = _NUMBER.unpack_from(self._buffer, begin)
                begin += _NUMBER.size
            yield Frame(kind, request, flags, bytes(self._view[begin : self._start]))


class Assembler:
    """Puts split messages together, within a limit for each and twice that for all that are open.

    `awaits` says whether an answer of this number is waited for: parts of others are a breach.
    """

    def __init__(self, max_message: int, awaits: Callable[[int], bool] = lambda number: True) -> None:
        self._max = max_message
        self._awaits = awaits
        self._open: dict[tuple[int, int], _Parts] = {}
        self._size = 0

    def add(self, part: Frame) -> Frame | None:
        """The whole message if this frame completes one."""
        if not self._open and not part.flags & MORE:
            return part
        key = (part.kind, part.request)
        parts = self._open.get(key)
        if parts is None:
            if not part.flags & MORE:
                return part
            if part.kind in (RESULT, ERROR) and not self._awaits(part.request):
                raise ProtocolError(f"parts of an answer to the request {part.request}, which is not open")
            parts = self._open[key] = _Parts()
        parts.bodies.append(part.body)
        parts.size += len(part.body)
        self._size += len(part.body)
        if parts.size > self._max:
            raise ProtocolError(f"a message of more than {self._max} bytes")
        if self._size > 2 * self._max:
            raise ProtocolError(f"open messages of more than {2 * self._max} bytes")
        if part.flags & MORE:
            return None
        del self._open[key]
        self._size -= parts.size
        return Frame(part.kind, part.request, 0, b"".join(parts.bodies))


class _Parts:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.size = 0
