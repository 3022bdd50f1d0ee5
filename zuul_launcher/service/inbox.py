"""Where every thread puts what happened, and the loop takes it: requests of people first, then results, then triggers.

Results go before triggers since they let builds be stopped that would only waste time (as v2 does).
"""

import itertools
import queue
from collections.abc import Sequence
from dataclasses import dataclass

from zuul_launcher.db.outbox import Finished
from zuul_launcher.model.events import (
    AnyEvent,
    FactsSeen,
    LayoutLoaded,
    LayoutRefused,
    Request,
    SiblingsSeen,
    TimerFired,
    Triggered,
)
from zuul_launcher.model.layout import Layout


@dataclass(frozen=True)
class Envelope:
    """An event on its way to the loop, with what its step settles."""

    event: AnyEvent
    received: Sequence[int] = ()  # rows of `received` that it came from
    finished: Sequence[Finished] = ()  # outbox rows that it answers
    layout: Layout | None = None  # with LayoutLoaded


class Inbox:
    """First in, first out in each of three ranks. Any thread puts; the loop takes."""

    def __init__(self) -> None:
        self._queue: queue.PriorityQueue[tuple[int, int, Envelope | None]] = queue.PriorityQueue()
        self._number = itertools.count()

    def put(self, envelope: Envelope) -> None:
        self._queue.put((_rank(envelope.event), next(self._number), envelope))

    def wake(self) -> None:
        """Make `take` return at once, with None."""
        self._queue.put((-1, next(self._number), None))

    def take(self, timeout: float) -> Envelope | None:
        """The next one; None if nothing came within `timeout` seconds, or `wake` was called."""
        try:
            return self._queue.get(timeout=timeout)[2]
        except queue.Empty:
            return None

    def lengths(self) -> tuple[int, int]:
        """(triggers, results) waiting, for the status page: a picture, not a promise."""
        waiting = [rank for rank, _, envelope in list(self._queue.queue) if envelope is not None]
        return waiting.count(2), waiting.count(1)


def _rank(event: AnyEvent) -> int:
    match event:
        case Request() | LayoutLoaded() | LayoutRefused():
            return 0
        case Triggered() | FactsSeen() | TimerFired() | SiblingsSeen():
            return 2
        case _:
            return 1
