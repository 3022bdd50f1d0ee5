"""The connection of one executor: takes the builds of its node, one job at a time.

1. It grabs only in its node's turn (monitor.py). The executor is reserved, and the build begun, in the step that
   receives the job; then the turn ends, however that went.
2. A job whose function is not wanted any more, but was when it was handed out, is run if its definition is known. Any
   other that was not offered here is failed, and the next one is asked for.
3. When the connection breaks, the build goes on and keeps its slot; what it says is not sent any more.
"""

import logging
from collections.abc import Callable
from functools import partial

from zuul_launcher.worker.parts import Assignment, Delivery, Slot
from zuul_launcher.worker.queue.connection import GivenJob, Turn, WorkerConnection
from zuul_launcher.worker.queue.delivery import HandleDelivery
from zuul_launcher.worker.queue.functions import split_function
from zuul_launcher.worker.queue.monitor import Monitor
from zuul_launcher.worker.queue.outage import Outage
from zuul_launcher.worker.queue.settings import QueueSettings

log = logging.getLogger("zuul_launcher.worker.queue")

Assigned = Callable[[Assignment, Slot, Delivery], None]


class Executor(WorkerConnection):
    def __init__(
        self,
        settings: QueueSettings,
        client_id: str,
        outage: Outage,
        functions: frozenset[str],
        *,
        index: int,
        monitor: Monitor,
        knows: Callable[[str], bool],
        assigned: Assigned,
    ) -> None:
        """`knows(job)`: is there a definition of it? `assigned` returns at once."""
        super().__init__(settings, client_id, outage, functions)
        self.index = index
        self._monitor = monitor
        self._knows = knows
        self._assigned = assigned
        self._delivery: HandleDelivery | None = None  # of the job that it has

    def take_turn(self) -> None:
        self._monitor.ask(self, partial(self.call, self._granted))

    def _granted(self) -> None:
        """It may have been given back since."""
        if self.turn is Turn.AWAKE and self._monitor.has_turn(self):
            self.grab()

    def end_turn(self) -> None:
        self._monitor.give_back(self)

    def given(self, job: GivenJob) -> None:
        self._delivery = HandleDelivery(self, job.handle)
        try:
            self._begin(job, self._delivery)
        finally:
            self.end_turn()

    def _begin(self, job: GivenJob, delivery: HandleDelivery) -> None:
        names = split_function(job.function) if job.function in self.registered else None
        slot = self._monitor.reserve(self) if names is not None and self._knows(names[0]) else None
        if names is None or slot is None:
            log.warning("%s: %s has no definition, or was not offered: failed", self.name, job.function)
            delivery.fail()
            return
        assignment = Assignment(
            job=names[0],
            label=names[1],
            unique=job.unique,
            payload=job.payload,
            worker=self.name,
            node=self._monitor.node,
        )
        try:
            self._assigned(assignment, slot, delivery)
        except Exception as error:
            self.faults += 1
            log.exception("%s: a build of %s could not be begun", self.name, assignment.job)
            slot.release()
            delivery.exception(f"it could not be begun: {error}")

    def closed(self) -> None:
        self._delivery = None
        super().closed()

    def deliver(self, delivery: HandleDelivery, packets: bytes, *, last: bool) -> None:
        self.call(partial(self._deliver, delivery, packets, last))

    def _deliver(self, delivery: HandleDelivery, packets: bytes, last: bool) -> None:
        if delivery is self._delivery:
            self._delivery = None if last else delivery
            self.say(packets, last=last)
