"""An executor for a build by hand: the first that any of the nodes has to give."""

import threading
from collections.abc import Sequence

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.queue.monitor import HeldSlot, Monitor


class NoSlot(RequestError):
    """No executor for this build; the text says why."""


class NotInTime(NoSlot):
    """There are executors for it, and none could be had in time."""


class Claim:
    """Takes one slot of those that it is offered, and gives the others back."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._slot: HeldSlot | None = None
        self._is_closed = False

    def offer(self, slot: HeldSlot) -> None:
        with self._changed:
            is_wanted = not self._is_closed and self._slot is None
            if is_wanted:
                self._slot = slot
                self._changed.notify_all()
        if not is_wanted:
            slot.release()

    def wait(self, monitors: Sequence[Monitor], seconds: float) -> HeldSlot:
        """Raises NotInTime after that time."""
        offer = self.offer
        for monitor in monitors:
            monitor.claim(offer)
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None, seconds)
            self._is_closed = True
        for monitor in monitors:
            monitor.withdraw(offer)
        if self._slot is None:
            raise NotInTime(f"no executor was free within {seconds:g} s: {', '.join(one.node for one in monitors)}")
        return self._slot
