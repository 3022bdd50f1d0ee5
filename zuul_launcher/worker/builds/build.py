"""One build from its assignment to its end, as everybody else sees it: who waits for it, how far it is, how it is told
to end.

A client that asks for the same build again (its connection broke, the server handed the job out anew) is added to
those who wait. Whatever happens, each of them hears the end, and the one slot that the build has is free then.
"""

import logging
import threading
from collections.abc import Callable
from typing import Literal

from zuul_launcher.worker.builds.abort import Abort, Reason
from zuul_launcher.worker.builds.console import Console
from zuul_launcher.worker.builds.news import progress
from zuul_launcher.worker.builds.parameters import Parameters
from zuul_launcher.worker.parts import Assignment, BuildRecord, Delivery, Slot, StopState

State = Literal["new", "queued", "running", "publishing", "over"]

log = logging.getLogger("zuul_launcher.worker.builds")


class Build:
    """`unique`: that of the client, or one of ours. From any thread."""

    def __init__(self, assignment: Assignment, parameters: Parameters, unique: str, clock: Callable[[], float]) -> None:
        self.assignment = assignment
        self.parameters = parameters
        self.unique = unique
        self.steps = Abort()
        self.publishers = Abort()  # they run after an abort of the steps, and are aborted in their turn
        self.state: State = "new"
        self.record: BuildRecord | None = None  # from when it has a number
        self.console: Console | None = None
        self.executor = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._waiting: list[Delivery] = []
        self._slot: Slot | None = None  # who comes later needs no executor: there is one build
        self._start = b""
        self._end: Callable[[Delivery], object] | None = None

    # Who waits

    def attach(self, delivery: Delivery, slot: Slot) -> None:
        """It hears what has been told so far, and the rest as it comes. The first slot is kept until the end."""
        with self._lock:
            end = self._end
            if end is None:
                self._waiting.append(delivery)
                if self._start:
                    _told(delivery, self._say_start)
                if self._slot is None:
                    self._slot, self.executor = slot, slot.index
                    return
        if end is not None:
            _told(delivery, end)
        slot.release()

    def announce(self, data: bytes, record: BuildRecord) -> None:
        """It has a number."""
        with self._lock:
            self._start, self.record, self.state = data, record, "queued"
            for delivery in self._waiting:
                _told(delivery, self._say_start)

    def tell_progress(self) -> None:
        with self._lock:
            if self._end is None and self._start:
                for delivery in self._waiting:
                    _told(delivery, self._say_progress)

    def conclude(self, end: Callable[[Delivery], object]) -> None:
        """`end` tells the last of it to a delivery. Only the first call counts."""
        with self._lock:
            if self._end is not None:
                return
            self._end, self.state = end, "over"
            waiting, self._waiting = self._waiting, []
            for delivery in waiting:
                _told(delivery, end)
        self._opened.set()
        if self._slot is not None:
            self._slot.release()

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody is still connected who wants to know."""
        with self._lock:
            return self._end is not None or any(delivery.is_connected for delivery in self._waiting)

    def _say_start(self, delivery: Delivery) -> None:
        delivery.data(self._start)
        self._say_progress(delivery)

    def _say_progress(self, delivery: Delivery) -> None:
        assert self.record is not None
        delivery.status(*progress(self._clock() - self.record.started_at, self.record.estimated))

    # Its console

    def open(self, console: Console) -> None:
        self.console = console
        self._opened.set()

    def wait_opened(self) -> Console | None:
        """None: it ended before it had one."""
        self._opened.wait()
        return self.console

    # Its end

    def ask(self, reason: Reason) -> StopState:
        """Begins to end it. Returns at once, with what was met."""
        met = self.state
        if met == "over":
            return "finished"
        is_first = self.steps.ask(reason)
        if reason != "stopped" or (is_first and met == "publishing"):
            self.publishers.ask(reason)
        return "queued" if is_first and met in ("new", "queued") else "aborting"


def _told(delivery: Delivery, tell: Callable[[Delivery], object]) -> None:
    """A connection that fails keeps nobody else from hearing, and no slot from being released."""
    try:
        tell(delivery)
    except Exception:
        log.exception("a delivery failed")
