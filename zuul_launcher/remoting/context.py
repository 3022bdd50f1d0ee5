"""What a callable can ask while it runs: its channel, and whether it was cancelled. Runs on the node too.

A call knows the threads' conditions that it waits on, so that a cancel wakes them: every wait of remoting goes through
`wait_for`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from zuul_launcher.remoting.errors import Cancelled, NotOnAgent

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

_Function = TypeVar("_Function", bound="Callable[..., Any]")
_Class = TypeVar("_Class", bound="type")

CALLABLE_FROM_AGENT: dict[str, Callable[..., Any]] = {}  # "module:qualname" → function
TRANSFERABLE: dict[str, type] = {}  # "module:qualname" → class


def callable_from_agent(function: _Function) -> _Function:
    """Mark a module function that code on the node may call on the controller. Its arguments are hostile data."""
    if function.__qualname__ != function.__name__:
        raise TypeError(f"{function.__qualname__} is no function of a module")
    CALLABLE_FROM_AGENT[f"{function.__module__}:{function.__qualname__}"] = function
    return function


def transferable(cls: _Class) -> _Class:
    """Mark a dataclass, Enum or exception class that results may hold. Fields arrive without `__init__` being run."""
    TRANSFERABLE[f"{cls.__module__}:{cls.__qualname__}"] = cls
    return cls


class CallContext:
    """One running call on the side that runs it."""

    def __init__(self, channel: Channel, depth: int = 0) -> None:
        self.channel = channel
        self.depth = depth
        self.cancelled = False
        self._lock = threading.Lock()
        self._reactions: list[Callable[[], object]] = []
        self._sinks: set[int] = set()

    def note_sink(self, number: int) -> None:
        """The call has written to this sink: who sees its answer sees that too."""
        with self._lock:
            self._sinks.add(number)

    def sinks(self) -> list[int]:
        """Those that the call has written to."""
        if not self._sinks:
            return []
        with self._lock:
            return sorted(self._sinks)

    def cancel(self) -> None:
        """Wake every wait of the call with Cancelled and run its reactions. On a thread of the pool, never a reader."""
        with self._lock:
            self.cancelled = True
            reactions = list(self._reactions)
        for reaction in reactions:
            reaction()

    @contextmanager
    def reaction(self, reaction: Callable[[], object]) -> Iterator[None]:
        """While the block runs, a cancel calls `reaction` (on another thread). At once if it was cancelled before."""
        with self._lock:
            if self.cancelled:
                raise Cancelled("the call was cancelled")
            self._reactions.append(reaction)
        try:
            yield
        finally:
            with self._lock:
                self._reactions.remove(reaction)


class _Current(threading.local):
    call: CallContext | None = None


_current = _Current()


def current_call() -> CallContext | None:
    """The call that this thread runs for the far side, or None."""
    return _current.call


class running:
    """`with running(call)`: the block runs as this call. A thread that a callable starts joins its call with it."""

    __slots__ = ("_after", "_before")

    def __init__(self, call: CallContext) -> None:
        self._after = call

    def __enter__(self) -> None:
        self._before, _current.call = _current.call, self._after

    def __exit__(self, *_: object) -> None:
        _current.call = self._before


def current_channel() -> Channel:
    """The channel whose far side asked for the call that this thread runs. NotOnAgent: no call is running here."""
    if _current.call is None:
        raise NotOnAgent("no call of a channel runs in this thread: there is no current channel")
    return _current.call.channel


def check_cancelled() -> None:
    """Raise Cancelled if the call that this thread runs was cancelled."""
    if _current.call is not None and _current.call.cancelled:
        raise Cancelled("the call was cancelled")


def wait_for(condition: threading.Condition, ready: Callable[[], Any], timeout: float | None = None) -> bool:
    """Wait with `condition` held until ready() is true; False: not within `timeout` seconds. Cancelled: call ended."""
    call = _current.call
    if call is None:
        return bool(condition.wait_for(ready, timeout))

    def wake() -> None:
        with condition:
            condition.notify_all()

    with call.reaction(wake):
        if not ready():
            with call.channel.pool.waiting():
                condition.wait_for(lambda: ready() or call.cancelled, timeout)
        if ready():
            return True
        check_cancelled()
        return False


def sleep(seconds: float) -> None:
    """Sleep that a cancel ends with Cancelled."""
    condition = threading.Condition()
    end = time.monotonic() + seconds
    with condition:
        wait_for(condition, lambda: time.monotonic() >= end, seconds)
