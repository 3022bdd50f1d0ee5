"""Framing: bytes become packets and lines of text, and packets become bytes. No I/O, no meaning.

Rule: a message that starts with a NUL byte is a binary packet, any other is a line of the text protocol; both may
alternate on one connection. What is neither raises JunkReceived, and the connection is of no more use.

Source: PROTOCOL of gearmand (http://gearman.org/protocol/): 4 bytes magic, 4 bytes type, 4 bytes size (big endian),
then arguments separated by NUL. Type 101 is private to Zuul ("mass do").
"""

import enum
import struct
from dataclasses import dataclass

from zuul_launcher.errors import RemoteError

MAGIC_REQUEST = b"\0REQ"
MAGIC_RESPONSE = b"\0RES"
HEADER = struct.Struct(">4sII")
LINE_LIMIT = 4096
# What a line may hold: tab, carriage return (before the newline), printable ASCII. A TLS hello, for one, does not pass.
_TEXT = bytes([0x09, 0x0D, *range(0x20, 0x7F)])


class Command(enum.IntEnum):
    """Packet types that the server or its clients use."""

    CAN_DO = 1
    CANT_DO = 2
    RESET_ABILITIES = 3
    PRE_SLEEP = 4
    NOOP = 6
    SUBMIT_JOB = 7
    JOB_CREATED = 8
    GRAB_JOB = 9
    NO_JOB = 10
    JOB_ASSIGN = 11
    WORK_STATUS = 12
    WORK_COMPLETE = 13
    WORK_FAIL = 14
    GET_STATUS = 15
    ECHO_REQ = 16
    ECHO_RES = 17
    SUBMIT_JOB_BG = 18
    ERROR = 19
    STATUS_RES = 20
    SUBMIT_JOB_HIGH = 21
    SET_CLIENT_ID = 22
    CAN_DO_TIMEOUT = 23
    WORK_EXCEPTION = 25
    OPTION_REQ = 26
    OPTION_RES = 27
    WORK_DATA = 28
    WORK_WARNING = 29
    GRAB_JOB_UNIQ = 30
    JOB_ASSIGN_UNIQ = 31
    SUBMIT_JOB_HIGH_BG = 32
    SUBMIT_JOB_LOW = 33
    SUBMIT_JOB_LOW_BG = 34
    GRAB_JOB_ALL = 39
    GET_STATUS_UNIQUE = 41
    STATUS_RES_UNIQUE = 42
    MASS_DO = 101


_KNOWN = frozenset(Command)


class JunkReceived(RemoteError):
    """The peer does not speak Gearman; `code` is the error code that it is told before it is closed, empty for none."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class ArgumentsMissing(RemoteError):
    """A packet has fewer arguments than its type needs. Its frame is sound, so the connection stays usable."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One binary message; `command` may be a number that no Command has."""

    command: int
    body: bytes = b""

    @property
    def name(self) -> str:
        """Of its type, as the protocol has it: CAN_DO."""
        return Command(self.command).name if self.command in _KNOWN else "UNKNOWN"

    def arguments(self, count: int) -> list[bytes]:
        """Exactly `count` arguments; the last one takes all that is left, NUL bytes included."""
        found = self.body.split(b"\0", count - 1)
        if len(found) != count:
            raise ArgumentsMissing(f"packet of type {self.command} needs {count} arguments, it has {len(found)}")
        return found


def request(command: Command, *arguments: bytes) -> bytes:
    """The bytes that a client or worker sends."""
    return _encode(MAGIC_REQUEST, command, arguments)


def response(command: Command, *arguments: bytes) -> bytes:
    """The bytes that a server sends."""
    return _encode(MAGIC_RESPONSE, command, arguments)


def _encode(magic: bytes, command: Command, arguments: tuple[bytes, ...]) -> bytes:
    body = b"\0".join(arguments)
    return HEADER.pack(magic, command, len(body)) + body


class Framing:
    """Collects what arrives on one connection, in whatever pieces, and hands it out message by message."""

    def __init__(self, packet_limit: int, magic: bytes = MAGIC_REQUEST) -> None:
        self.packet_limit = packet_limit
        self.magic = magic
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def missing(self) -> int:
        """Bytes that the message begun still lacks, at least; 0 if none is begun."""
        have = len(self._buffer)
        if not have:
            return 0
        if self._buffer[0] or have < HEADER.size:
            return 1
        return int.from_bytes(self._buffer[8:12], "big") + HEADER.size - have

    def next(self) -> Packet | str | None:
        """The next complete packet or line (without its end), None if more bytes are needed. Raises JunkReceived."""
        if not self._buffer:
            return None
        return self._next_line() if self._buffer[0] else self._next_packet()

    def _next_packet(self) -> Packet | None:
        buffer = self._buffer
        magic = bytes(buffer[:4])
        if magic != self.magic[: len(magic)]:
            raise JunkReceived("a packet that begins with another magic code", "INVALID_MAGIC")
        if len(buffer) < HEADER.size:
            return None
        _, command, size = HEADER.unpack_from(buffer)
        if size > self.packet_limit:
            raise JunkReceived(f"a packet of {size} bytes, {self.packet_limit} are allowed", "PACKET_TOO_LARGE")
        end = HEADER.size + size
        if len(buffer) < end:
            return None
        packet = Packet(command, bytes(memoryview(buffer)[HEADER.size : end]))
        del buffer[:end]
        return packet

    def _next_line(self) -> str | None:
        end = self._buffer.find(b"\n", 0, LINE_LIMIT + 1)
        line = bytes(self._buffer[:end]) if end >= 0 else bytes(self._buffer[: LINE_LIMIT + 1])
        if len(line) > LINE_LIMIT:
            raise JunkReceived(f"a line of more than {LINE_LIMIT} bytes")
        if line.translate(None, _TEXT):
            raise JunkReceived("bytes that are neither a packet nor a line of text")
        if end < 0:
            return None
        del self._buffer[: end + 1]
        return line.decode("ascii").rstrip("\r")
