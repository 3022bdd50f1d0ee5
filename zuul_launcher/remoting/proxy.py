"""Objects that stay where they are, and proxies that call them from the other side. Runs on the node too.

1. Only listed public methods can be called; nothing else of the object can be seen.
2. The exporting side counts how often it sent an object; the importing side has one proxy for all of these, and says
   how many it drops when that proxy is collected (or closed). At zero the object is let go.
3. A proxy that is sent home becomes the object itself. Over another channel it cannot travel.
"""

from __future__ import annotations

import logging
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting.errors import MethodNotExported, ProxyGone, ResultRejected, WrongChannel
from zuul_launcher.remoting.portable import Portable, travel

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

LOG = logging.getLogger(__name__)
_REMEMBERED = 1024


class Export(Portable, kind="proxy"):
    """An object of this side, to be passed as argument or result."""

    def __init__(self, channel: Channel, instance: object, methods: frozenset[str], origin: str) -> None:
        self.channel = channel
        self.instance = instance
        self.methods = methods
        self.origin = origin

    def depart(self, channel: Channel) -> Any:
        if channel is not self.channel:
            raise WrongChannel(f"exported to {self.channel.name}, not to {channel.name}")
        number = channel.exports.sent(self)
        if travel.parcel is not None:
            travel.parcel.append(_Count(channel, number))
        return [True, number, sorted(self.methods)]

    @classmethod
    def arrive(cls, data: Any, channel: Channel) -> Any:
        far, number, methods = data
        held = next((item for item in travel.parcel or () if isinstance(item, Held)), None)
        if held is None or type(number) is not int:
            raise ResultRejected(f"a proxy of number {number!r:.40}, which was not announced")
        return held.proxy(number, methods) if far else held.instance(number)


class Held:
    """The objects that a message brings, from when it came until it is decoded, whatever is dropped meanwhile.

    Each sending of a new one is counted here, once: what nobody takes out, because decoding fails, is dropped.
    """

    def __init__(self, channel: Channel, home: Iterable[int], new: Iterable[int]) -> None:
        self._imports = channel.imports
        self._home = {number: entry for number in home if (entry := channel.exports.peek(number)) is not None}
        self._new = {number: channel.imports.count(number) for number in new}

    def instance(self, number: int) -> Any:
        """An own object that comes home. ProxyGone: it was released, or never sent."""
        if number not in self._home:
            raise ProxyGone(f"the object {number} was released")
        return self._home[number].instance

    def proxy(self, number: int, methods: Iterable[object]) -> Proxy:
        """The proxy of an object of the far side."""
        if number not in self._new:
            raise ResultRejected(f"a proxy of number {number}, which was not announced")
        self._imports.learn(self._new[number], frozenset(str(name) for name in methods))
        return self._new[number]

    def clear(self) -> None:
        """The message is decoded, or cannot be."""
        self._home.clear()
        self._new.clear()


class _Home:
    """A proxy on its way home lives until the message is there."""

    def __init__(self, proxy: Proxy, number: int) -> None:
        self._proxy = proxy
        self.announced_home = number

    def undo(self) -> None:
        """The proxy stays as it was."""

    def departed(self) -> None:
        """Held until the request is answered."""

    def answered(self) -> None:
        """Let go with the parcel."""


class _Count:
    """One sending of an export, which may fail."""

    def __init__(self, channel: Channel, number: int) -> None:
        self._channel = channel
        self.announced_new = number

    def undo(self) -> None:
        self._channel.exports.release(self.announced_new, 1)

    def departed(self) -> None:
        """The far side is going to count it."""

    def answered(self) -> None:
        """The far side says itself what it has dropped."""


class Entry:
    """An object that the far side knows."""

    def __init__(self, export: Export, number: int) -> None:
        self.number = number
        self.instance = export.instance
        self.methods = export.methods
        self.origin = export.origin
        self.count = 0


class Exports:
    """What this side has sent, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}
        self._numbers: dict[int, int] = {}  # id of the object → its number
        self._next = 0
        self._released: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)

    def __len__(self) -> int:
        return len(self._entries)

    def sent(self, export: Export) -> int:
        """Count one more; the object's number."""
        with self._lock:
            number = self._numbers.get(id(export.instance))
            if number is None:
                self._next += 1
                number = self._numbers[id(export.instance)] = self._next
                self._entries[number] = Entry(export, number)
            entry = self._entries[number]
            entry.methods |= export.methods
            entry.count += 1
            return number

    def peek(self, number: int) -> Entry | None:
        """None: it was released, or never sent."""
        return self._entries.get(number)

    def find(self, number: int) -> Entry:
        """ProxyGone: it was released, or never sent."""
        entry = self._entries.get(number)
        if entry is None:
            raise ProxyGone(f"the object {number} was released")
        return entry

    def method(self, number: int, name: str) -> Callable[..., Any]:
        """MethodNotExported: it is not listed."""
        entry = self.find(number)
        if name not in entry.methods:
            raise MethodNotExported(f"{type(entry.instance).__name__}.{name} is not exported")
        method: Callable[..., Any] = getattr(entry.instance, name)
        return method

    def release(self, number: int, count: int) -> None:
        """The far side has dropped so many."""
        with self._lock:
            entry = self._entries.get(number)
            if entry is None:
                seen = dict(self._released).get(number, "never sent")
                LOG.warning("release of the object %d, which is not exported (%s)", number, seen)
                return
            entry.count -= count
            if entry.count <= 0:
                del self._entries[number], self._numbers[id(entry.instance)]
                self._released.append((number, f"released before: {type(entry.instance).__name__} {entry.origin}"))
        del entry  # outside of the lock: the object's own code may run now

    def clear(self) -> None:
        """The channel has ended."""
        with self._lock:
            entries, self._entries = self._entries, {}
            self._numbers.clear()
        entries.clear()

    def dump(self) -> list[str]:
        """One line for each object."""
        with self._lock:
            return [
                f"{number}: {type(entry.instance).__name__}, sent {entry.count} times {entry.origin}".rstrip()
                for number, entry in self._entries.items()
            ]


class _Reference(weakref.ref):  # type: ignore[type-arg] # Python 3.8 knows no ref[Proxy] here
    """A proxy, and how often its object came. Not `__del__`: another thread may find what has one while it runs."""

    __slots__ = ("count", "number")
    count: int
    number: int

    def __new__(cls, proxy: Proxy, callback: Callable[[Any], object], number: int) -> _Reference:
        made = super().__new__(cls, proxy, callback)
        made.count, made.number = 0, number
        return made

    def __init__(self, *_: object) -> None:
        """`__new__` has done all."""


class Imports:
    """Proxies of this side, each while somebody holds it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._known: dict[int, _Reference] = {}
        self.dropped: deque[_Reference] = deque()  # filled while garbage is collected: no lock may be taken there

    def count(self, number: int) -> Proxy:
        """The one proxy for an object of the far side, which has sent it once more."""
        with self._lock:
            reference = self._known.get(number)
            found = None if reference is None else reference()
            if reference is None or found is None:
                found = Proxy(self._channel, number)
                reference = self._known[number] = _Reference(found, self.dropped.append, number)
            reference.count += 1
            return found

    def learn(self, proxy: Proxy, methods: frozenset[str]) -> None:
        """These of its methods may be called as well."""
        with self._lock:
            proxy._methods |= methods

    def close(self, proxy: Proxy) -> None:
        """Drop it, whoever still holds it."""
        with self._lock:
            reference = self._known.get(proxy._number)
            if reference is not None and reference() is proxy:
                del self._known[proxy._number]
                self.dropped.append(reference)

    def take_dropped(self) -> list[tuple[int, int]]:
        """Numbers and counts that the far side does not know of yet."""
        counts: dict[int, int] = {}
        with self._lock:
            while self.dropped:
                reference = self.dropped.popleft()
                counts[reference.number] = counts.get(reference.number, 0) + reference.count
                reference.count = 0  # one that was closed comes again when it is collected
                if self._known.get(reference.number) is reference:
                    del self._known[reference.number]
        return [(number, count) for number, count in counts.items() if count]


class Proxy(Portable):
    """Calls listed methods of an object of the far side. Equal to another proxy of the same object only."""

    def __init__(self, channel: Channel, number: int) -> None:
        self._channel = channel
        self._number = number
        self._methods: frozenset[str] = frozenset()
        self._closed = False

    kind = Export.kind

    def depart(self, channel: Channel) -> Any:
        if channel is not self._channel:
            raise WrongChannel(f"a proxy of {self._channel.name} cannot travel over {channel.name}")
        if travel.parcel is not None:
            travel.parcel.append(_Home(self, self._number))
        return [False, self._number, []]

    @classmethod
    def arrive(cls, data: Any, channel: Channel) -> Any:
        return Export.arrive(data, channel)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in self._methods:
            raise MethodNotExported(f"{name} is not among the methods that were exported")

        def method(*args: Any, **keywords: Any) -> Any:
            if self._closed:
                raise ProxyGone("the proxy was closed")
            return self._channel.call_proxy(self._number, name, args, keywords)

        return method

    def close(self) -> None:
        """Let the object go now."""
        self._closed = True
        self._channel.imports.close(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and (self._channel, self._number) == (other._channel, other._number)

    def __hash__(self) -> int:
        return hash((id(self._channel), self._number))

    def __repr__(self) -> str:
        return f"<proxy of {self._channel.name} object {self._number}: {', '.join(sorted(self._methods))}>"


def export(channel: Channel, instance: object, methods: Sequence[str] | None) -> Export:
    """ValueError: no methods, or one that is private or missing."""
    listed = methods if methods is not None else getattr(type(instance), "remote_methods", ())
    if not listed:
        raise ValueError(f"{type(instance).__name__}: no methods to export (methods=, or remote_methods of the class)")
    for name in listed:
        if name.startswith("_") or not callable(getattr(instance, name, None)):
            raise ValueError(f"{type(instance).__name__}.{name} is no public method")
    origin = ""
    if channel.settings.debug:
        origin = "exported at " + "".join(traceback.format_stack(limit=4)[:-2]).strip().replace("\n", " ")
    return Export(channel, instance, frozenset(listed), origin)
