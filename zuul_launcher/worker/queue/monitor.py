"""Who may ask for a job on a node, and which of its executors are taken.

1. One connection of a node at a time has a GRAB under way, and only if an executor is idle: so a job that is accepted
   can begin at once. That is the turn; it ends when the GRAB is answered.
2. The executor is reserved in the step that receives the job, before the turn ends.
3. Builds by hand take executors the same way, but never the one that a turn may need.
4. Whoever waits is called back in the order of asking, with no lock held; nobody is blocked.
5. A build may keep its node to itself: then no other one begins there until it is over.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct


class Asker(Protocol):
    """Whoever grabs; told apart by identity."""

    @property
    def index(self) -> int:
        """The executor that it would like to have."""


class HeldSlot:
    """A reserved executor (`parts.Slot`)."""

    def __init__(self, monitor: "Monitor", index: int) -> None:
        self.index = index
        self._monitor = monitor

    @property
    def node(self) -> str:
        return self._monitor.node

    def keep_others_out(self) -> None:
        """No other build begins on the node until this one is released; those that run go on.

        Called while the build is being assigned, it leaves no gap."""
        self._monitor.keep_others_out(self)

    def release(self) -> None:
        self._monitor.release(self)


class _Waiter(Struct, frozen=True, eq=False):
    asker: Asker | None  # None: a build by hand
    granted: Callable[[], None] | None = None
    offer: Callable[[HeldSlot], None] | None = None


_Call = Callable[[], None]


class Monitor:
    """The executors of one node. All methods may be called from any thread and return at once."""

    def __init__(self, node: str, executors: int) -> None:
        self.node = node
        self._executors = executors
        self._lock = threading.Lock()
        self._turn: Asker | None = None
        self._waiters: list[_Waiter] = []
        self._taken: dict[int, HeldSlot] = {}
        self._alone: set[HeldSlot] = set()

    @property
    def busy(self) -> int:
        """How many executors are taken."""
        return len(self._taken)

    def resize(self, executors: int) -> None:
        """Executors that are taken beyond that number end with their builds."""
        with self._lock:
            self._executors = executors
            calls = list(self._serve())
        _run(calls)

    def ask(self, asker: Asker, granted: _Call) -> None:
        """Call `granted` when it is the asker's turn, perhaps at once. Give each turn back."""
        with self._lock:
            self._waiters.append(_Waiter(asker, granted=granted))
            calls = list(self._serve())
        _run(calls)

    def has_turn(self, asker: Asker) -> bool:
        return self._turn is asker

    def give_back(self, asker: Asker) -> None:
        """End its turn, or its waiting; harmless without either."""
        with self._lock:
            self._waiters = [waiter for waiter in self._waiters if waiter.asker is not asker]
            if self._turn is asker:
                self._turn = None
            calls = list(self._serve())
        _run(calls)

    def reserve(self, asker: Asker) -> HeldSlot | None:
        """The executor for the job that the asker was given; None if it was not its turn. The turn goes on."""
        with self._lock:
            return self._take(asker.index) if self._turn is asker else None

    def claim(self, offer: Callable[[HeldSlot], None]) -> None:
        """For a build by hand: offer it an executor when one is idle, once. Whoever does not want it releases it."""
        with self._lock:
            self._waiters.append(_Waiter(None, offer=offer))
            calls = list(self._serve())
        _run(calls)

    def withdraw(self, offer: Callable[[HeldSlot], None]) -> None:
        with self._lock:
            self._waiters = [waiter for waiter in self._waiters if waiter.offer is not offer]

    # For slots

    def release(self, slot: HeldSlot) -> None:
        with self._lock:
            self._alone.discard(slot)
            if self._taken.get(slot.index) is slot:
                del self._taken[slot.index]
            calls = list(self._serve())
        _run(calls)

    def keep_others_out(self, slot: HeldSlot) -> None:
        with self._lock:
            if self._taken.get(slot.index) is slot:
                self._alone.add(slot)

    # Under the lock

    def _serve(self) -> Iterator[_Call]:
        """Give what can be given, in the order of asking: what is to be called when the lock is free."""
        for waiter in list(self._waiters):
            idle = 0 if self._alone else self._executors - len(self._taken) - (self._turn is not None)
            if idle <= 0:
                return
            if waiter.offer is not None:
                self._waiters.remove(waiter)
                yield _offering(waiter.offer, self._take(0))
            elif waiter.granted is not None and self._turn is None:
                self._waiters.remove(waiter)
                self._turn = waiter.asker
                yield waiter.granted

    def _take(self, wanted: int) -> HeldSlot:
        """That one, else the lowest that is not taken: two builds of a node never have the same."""
        index = wanted
        if index in self._taken:
            index = next(number for number in range(len(self._taken) + 1) if number not in self._taken)
        slot = self._taken[index] = HeldSlot(self, index)
        return slot


def _offering(offer: Callable[[HeldSlot], None], slot: HeldSlot) -> _Call:
    return lambda: offer(slot)


def _run(calls: list[_Call]) -> None:
    for call in calls:
        call()
