"""One target's share of the outbox: deliver its rows in order, at least once, until each is answered.

A row that the target cannot take now holds up those behind it: reports and submits keep their order.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum

import msgspec
from sqlalchemy import Engine

from zuul_launcher.db import outbox
from zuul_launcher.errors import RemoteUnavailable, ZuulLauncherError
from zuul_launcher.service.payload import PAYLOADS, LaunchPayload, Payload

DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds before the next try of a row; the last one repeats
IDLE = 60.0  # seconds until the table is looked at again without being woken

log = logging.getLogger("zuul_launcher.outbox")


class Delivered(Enum):
    DONE = "done"
    ANSWER_FOLLOWS = "answer follows"  # an event will finish the row


class GivenUp(ZuulLauncherError):
    """This row is tried no more: the text says why."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One try of one row."""

    row: int
    payload: Payload
    first: bool  # nobody has tried before: no trace of it can be in the world
    since: float  # epoch seconds of the first try


class Outlet:
    """Not a thread: `turn` delivers what is due in the caller's thread."""

    def __init__(
        self,
        engine: Engine,
        token: int,
        target: str,
        clock: Callable[[], float],
    ) -> None:
        """Set `perform` before the first turn."""
        self._engine = engine
        self._token = token
        self.target = target
        self.perform: Callable[[Delivery], Delivered]
        self.awake = threading.Event()
        self._clock = clock
        self._answer_follows: set[int] = set()
        self._settled: deque[int] = deque()
        self._troubled = False

    @property
    def troubled(self) -> bool:
        """Does a row wait since the target is away?"""
        return self._troubled

    def settle(self, row: int) -> None:
        """From any thread: this row needs nothing more; the next turn says so in the table."""
        self._settled.append(row)
        self.awake.set()

    def launching(self) -> set[str]:
        """uuids of the builds whose launch is still to be delivered."""
        rows = outbox.todo(self._engine, self.target)
        return {msgspec.json.decode(row.payload, type=LaunchPayload).build for row in rows if row.kind == "Launch"}

    def run(self, stopping: threading.Event) -> None:
        """Turn after turn, whenever there is something to do, until told to stop (and woken)."""
        while not stopping.is_set():
            self.awake.clear()
            try:
                pause = self.turn()
            except RemoteUnavailable as error:
                log.warning("%s: %s", self.target, error)
                pause = DELAYS[0]
            self.awake.wait(pause)

    def turn(self) -> float:
        """Deliver every row that is due. Seconds until there may be more to do.

        RemoteUnavailable: the database is away. Fenced: another scheduler took over.
        """
        while self._settled:
            outbox.finish(self._engine, self._token, self._settled[0])
            self._settled.popleft()
        rows = outbox.todo(self._engine, self.target)
        self._answer_follows &= {row.id for row in rows}
        for row in rows:
            if row.id in self._answer_follows:
                continue
            now = self._clock()
            if row.not_before > now:
                return row.not_before - now
            if pause := self._try(row, now):
                return pause
        return IDLE

    def _try(self, row: outbox.Row, now: float) -> float:
        """0, or the seconds until the next try."""
        outbox.trying(self._engine, self._token, row.id, now)
        delivery = Delivery(
            row=row.id,
            payload=msgspec.json.decode(row.payload, type=PAYLOADS[row.kind]),
            first=row.deliveries == 0,
            since=now if row.first_tried_at is None else row.first_tried_at,
        )
        try:
            outcome = self.perform(delivery)
        except RemoteUnavailable as error:
            return self._postpone(row, error)
        except GivenUp as error:
            log.error("%s: %s of item %s is given up: %s", self.target, row.kind, row.key, error)
            outbox.finish(self._engine, self._token, row.id, str(error))
            return 0.0
        self._say_recovered()
        if outcome is Delivered.ANSWER_FOLLOWS:
            self._answer_follows.add(row.id)
        else:
            outbox.finish(self._engine, self._token, row.id)
        return 0.0

    def _postpone(self, row: outbox.Row, error: RemoteUnavailable) -> float:
        delay = DELAYS[min(row.deliveries, len(DELAYS) - 1)]
        outbox.postpone(self._engine, self._token, row.id, self._clock() + delay, str(error))
        if not self._troubled:
            log.warning("%s: %s waits: %s", self.target, row.kind, error)
        self._troubled = True
        return delay

    def _say_recovered(self) -> None:
        if self._troubled:
            log.info("%s: goes on", self.target)
        self._troubled = False
