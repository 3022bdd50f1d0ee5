"""What the reader thread must know of a message that is decoded later. Runs on the node too.

`pipes u16 | proxies u16`, then so many numbers of each. Pipes: those that the receiver reads; their data may come
first. Proxies: those that come home; their objects are held until the message is decoded, whatever is dropped.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting.errors import ProtocolError
from zuul_launcher.remoting.pipeends import PipeReader

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

_COUNTS = struct.Struct("!HH")
NOTHING = _COUNTS.pack(0, 0)


def announcement(parcel: list[Any]) -> bytes:
    """For the items that a message has put into its parcel."""
    if not parcel:
        return NOTHING
    pipes = [number for item in parcel if (number := getattr(item, "announced_pipe", None)) is not None]
    proxies = [number for item in parcel if (number := getattr(item, "announced_proxy", None)) is not None]
    return struct.pack(f"!HH{len(pipes) + len(proxies)}I", len(pipes), len(proxies), *pipes, *proxies)


def expect(channel: Channel, body: bytes, start: int) -> tuple[list[PipeReader], list[Any], int]:
    """Reading ends, held objects, and where the content begins. ProtocolError: it makes no sense."""
    try:
        pipes, proxies = _COUNTS.unpack_from(body, start)
        start += _COUNTS.size
        numbers = struct.unpack_from(f"!{pipes + proxies}I", body, start)
    except struct.error:
        raise ProtocolError("a message that ends in its head") from None
    ends = []
    for number in numbers[:pipes]:
        end = PipeReader()
        if not channel.adopt_pipe(number, end):
            raise ProtocolError("a pipe is announced whose number is in use")
        ends.append(end)
    held = [entry for number in numbers[pipes:] if (entry := channel.exports.peek(number)) is not None]
    return ends, held, start + 4 * len(numbers)
