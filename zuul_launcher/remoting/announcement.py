"""What the reader thread must know of a message that is decoded later. Runs on the node too.

`pipes u32 | home u32 | new u32 | sinks u32`, then so many numbers of each. Pipes: those that the receiver reads; their
data may come first. Home: objects of the receiver that come back. New: objects of the sender, each as often as it is
sent. Both are held until the message is decoded, so that none is lost where decoding fails. Sinks, in answers: those
that the call wrote to.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting.errors import MessageTooLarge, ProtocolError
from zuul_launcher.remoting.pipeends import PipeReader
from zuul_launcher.remoting.proxy import Held

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

MAX_NUMBERS = 1 << 20
_COUNTS = struct.Struct("!IIII")
NOTHING = _COUNTS.pack(0, 0, 0, 0)


def announcement(parcel: list[Any], sinks: Sequence[int] = ()) -> bytes:
    """For the items that a message has put into its parcel. MessageTooLarge: more than anybody needs."""
    if not parcel and not sinks:
        return NOTHING
    kinds = [_numbers(parcel, name) for name in ("announced_pipe", "announced_home", "announced_new")]
    kinds.append(list(sinks))
    numbers = [number for kind in kinds for number in kind]
    if len(numbers) > MAX_NUMBERS:
        raise MessageTooLarge(f"{len(numbers)} objects, pipes and sinks in one message; the limit is {MAX_NUMBERS}")
    return _COUNTS.pack(*map(len, kinds)) + struct.pack(f"!{len(numbers)}I", *numbers)


def _numbers(parcel: list[Any], name: str) -> list[int]:
    return [number for item in parcel if (number := getattr(item, name, None)) is not None]


def expect(channel: Channel, body: bytes, start: int) -> tuple[list[Any], list[int], int]:
    """What the message brings, the sinks that were written to, and where the content begins.

    ProtocolError: it makes no sense.
    """
    if body.startswith(NOTHING, start):
        return [], [], start + _COUNTS.size
    try:
        pipes, home, new, sinks = _COUNTS.unpack_from(body, start)
        if pipes + home + new + sinks > MAX_NUMBERS:
            raise ProtocolError(f"a message that brings more than {MAX_NUMBERS} objects")
        start += _COUNTS.size
        numbers = struct.unpack_from(f"!{pipes + home + new + sinks}I", body, start)
    except struct.error:
        raise ProtocolError("a message that ends in its head") from None
    brought: list[Any] = []
    if home or new:
        brought.append(Held(channel, numbers[pipes : pipes + home], numbers[pipes + home : pipes + home + new]))
    for number in numbers[:pipes]:
        end = PipeReader()
        if not channel.adopt_pipe(number, end):
            raise ProtocolError("a pipe is announced whose number is in use")
        brought.append(end)
    return brought, list(numbers[pipes + home + new :]), start + 4 * len(numbers)
