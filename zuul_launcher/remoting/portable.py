"""Objects that change their shape when they travel over a channel: pipes, proxies, paths. Runs on the node too.

A class of them says what it is on the wire (`depart`, plain data of the codec) and what it becomes on arrival
(`arrive`). Both learn the channel of their side. The same object may not be pickled outside of a channel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from zuul_launcher.remoting.errors import NotSerializable

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

KINDS: dict[str, type[Portable]] = {}


class Travel(threading.local):
    """The message that this thread encodes or decodes."""

    message: tuple[Channel | None, list[Any] | None] = (None, None)

    @property
    def channel(self) -> Channel | None:
        return self.message[0]

    @property
    def parcel(self) -> list[Any] | None:
        """What the message has opened here: ends of pipes, counts of exports."""
        return self.message[1]


travel = Travel()


class travelling:
    """`with travelling(channel, parcel)`: the block encodes or decodes one message of the channel."""

    __slots__ = ("_after", "_before")

    def __init__(self, channel: Channel, parcel: list[Any]) -> None:
        self._after = (channel, parcel)

    def __enter__(self) -> None:
        self._before, travel.message = travel.message, self._after

    def __exit__(self, *_: object) -> None:
        travel.message = self._before


class Portable:
    """Base of what travels in another shape. `class X(Portable, kind="x")`: the kind names the class on the wire."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, kind: str = "", **others: Any) -> None:
        super().__init_subclass__(**others)
        if kind:
            cls.kind = kind
            KINDS[kind] = cls

    def depart(self, channel: Channel) -> Any:
        """Plain data for the far side of `channel`. WrongChannel: it belongs to another one."""
        raise NotImplementedError

    @classmethod
    def arrive(cls, data: Any, channel: Channel) -> Any:
        """The object of this side for what `depart` of the far side gave. The data may be hostile: check them."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if travel.channel is None:
            raise NotSerializable(f"{type(self).__name__} travels over a channel only")
        return _arrive, (type(self), self.depart(travel.channel))


def _arrive(cls: type[Portable], data: Any) -> Any:
    if travel.channel is None:
        raise NotSerializable(f"{cls.__name__} travels over a channel only")
    return cls.arrive(data, travel.channel)
