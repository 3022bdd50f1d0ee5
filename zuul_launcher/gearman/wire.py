"""What a Gearman server sends, taken apart; pure.

Rules: a message that starts with NUL is a packet, any other a line of text; both alternate on one connection. Both
magic codes are taken (gear's server sends WORK_FAIL with the request's one). A packet longer than the limit is cut,
never stored: what is left of it is no JSON, so only the build that it is about suffers. Anything else raises
JunkReceived.
"""

import struct
from collections.abc import Iterator

import gear
from gear import constants

from zuul_launcher.errors import RemoteError

HEADER = struct.Struct(">4sII")
PACKET_LIMIT = 32 * 1024 * 1024  # bytes
LINE_LIMIT = 1024 * 1024  # bytes


class JunkReceived(RemoteError):
    """The other side does not speak Gearman."""


def encode(command: int, *arguments: bytes) -> bytes:
    """The bytes of a request."""
    return bytes(gear.Packet(constants.REQ, command, b"\0".join(arguments)).toBinary())


class Frames:
    """Collects what arrives on one connection and hands it out message by message: (type, body), or a line without
    its end."""

    def __init__(self, packet_limit: int = PACKET_LIMIT) -> None:
        self._limit = packet_limit
        self._buffer = bytearray()
        self._skip = 0  # bytes of a packet that was cut

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes] | str]:
        dropped = min(len(data), self._skip)
        self._skip -= dropped
        self._buffer += data[dropped:] if dropped else data
        while self._buffer:
            message = self._next_line() if self._buffer[0] else self._next_packet()
            if message is None:
                return
            yield message

    def _next_packet(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < HEADER.size:
            return None
        magic, command, size = HEADER.unpack_from(buffer)
        if magic not in (constants.RES, constants.REQ):
            raise JunkReceived(f"a packet begins with {magic!r}")
        end = HEADER.size + min(size, self._limit)
        if len(buffer) < end:
            return None
        body = bytes(memoryview(buffer)[HEADER.size : end])
        whole = HEADER.size + size
        self._skip = max(0, whole - len(buffer))
        del buffer[: min(whole, len(buffer))]
        return command, body

    def _next_line(self) -> str | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > LINE_LIMIT:
                raise JunkReceived(f"a line of more than {LINE_LIMIT} bytes")
            return None
        line = self._buffer[:end].decode(errors="replace").rstrip("\r")
        del self._buffer[: end + 1]
        return line
