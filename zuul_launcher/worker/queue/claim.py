"""An executor for a build by hand: the first that any of the nodes has to give."""

import threading
from collections.abc import Sequence
from typing import Self

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.queue.monitor import HeldSlot, Monitor


class NoSlot(RequestError):
    """No executor for this build; the text says why."""


class NotInTime(NoSlot):
    """There are executors for it, and none could be had in time."""


class Claim:
    """Takes one slot of those that it is offered, and gives the others back. It keeps its place in the line of each
    node from the first `wait` that names it until the end of the `with`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._slot: HeldSlot | None = None
        self._is_closed = False
        self._monitors: list[Monitor] = []
        self._offer = self._take  # one object: the monitors tell claims apart by it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A slot that came when nobody waited is given back."""
        with self._changed:
            self._is_closed = True
            slot, self._slot = self._slot, None
        self._stand_at([])
        if slot is not None:
            slot.release()

    def wait(self, monitors: Sequence[Monitor], seconds: float) -> HeldSlot:
        """Raises NotInTime after that time: to be called again. The slot is the caller's from here on."""
        self._stand_at(monitors)
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None, seconds)
            slot, self._slot = self._slot, None
            self._is_closed = slot is not None
        if slot is None:
            raise NotInTime(f"no executor was free within {seconds:g} s: {', '.join(one.node for one in monitors)}")
        return slot

    def _take(self, slot: HeldSlot) -> None:
        with self._changed:
            is_wanted = not self._is_closed and self._slot is None
            if is_wanted:
                self._slot = slot
                self._changed.notify_all()
        if not is_wanted:
            slot.release()

    def _stand_at(self, monitors: Sequence[Monitor]) -> None:
        """In these lines, and in no others."""
        before, self._monitors = self._monitors, list(monitors)
        for monitor in before:
            if monitor not in monitors:
                monitor.withdraw(self._offer)
        for monitor in monitors:
            if monitor not in before:
                monitor.claim(self._offer)
