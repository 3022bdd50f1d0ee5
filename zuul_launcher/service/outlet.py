"""One target's share of the outbox: deliver its rows in order, at least once, until each is answered.

A row that the target cannot take now holds up those behind it: reports and submits keep their order. One that fails by
a mistake of ours (bytes that cannot be read, an exception that nobody expects) does so a few times only; then it is
given up, and so is the item that waits for it.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

import msgspec
from sqlalchemy import Engine

from zuul_launcher.db import outbox
from zuul_launcher.db.lease import Fenced
from zuul_launcher.db.outbox import Finished
from zuul_launcher.errors import RemoteUnavailable, ZuulLauncherError
from zuul_launcher.model.events import ItemRefused
from zuul_launcher.service.inbox import Envelope, Inbox
from zuul_launcher.service.payload import PAYLOADS, LaunchPayload, Payload, ReportPayload

DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds before the next try of a row; the last one repeats
MOST_FAULTS = 3  # tries of a row that end by a mistake of ours
UNAWAITED = frozenset({"Cancel", "Describe", "Mail", "Record", "Fetch"})  # rows that no item waits for
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
        inbox: Inbox,
    ) -> None:
        """Set `perform` before the first turn."""
        self._engine = engine
        self._token = token
        self.target = target
        self.perform: Callable[[Delivery], Delivered]
        self.awake = threading.Event()
        self.given_up = 0  # rows, by a mistake of ours
        self._clock = clock
        self._inbox = inbox
        self._faults: Counter[int] = Counter()  # row -> tries that ended by a mistake of ours
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
        found = set()
        for row in outbox.todo(self._engine, self.target):
            if row.kind == "Launch":
                with suppress(msgspec.MsgspecError):  # `turn` deals with it
                    found.add(msgspec.json.decode(row.payload, type=LaunchPayload).build)
        return found

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
        try:
            outcome = self.perform(_delivery(row, now))
        except RemoteUnavailable as error:
            return self._postpone(row, error)
        except GivenUp as error:
            log.error("%s: %s of item %s is given up: %s", self.target, row.kind, row.key, error)
            outbox.finish(self._engine, self._token, row.id, str(error))
            return 0.0
        except Fenced:
            raise
        except Exception as error:
            return self._stumble(row, error)
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

    def _stumble(self, row: outbox.Row, error: Exception) -> float:
        """A mistake of ours: it may come right, but may not stand in the way of the others for ever."""
        reason = f"{type(error).__name__}: {error}"
        self._faults[row.id] += 1
        if self._faults[row.id] < MOST_FAULTS:
            delay = DELAYS[self._faults[row.id] - 1]
            log.warning("%s: %s of item %s is tried again in %g s: %s", self.target, row.kind, row.key, delay, reason)
            outbox.postpone(self._engine, self._token, row.id, self._clock() + delay, reason)
            return delay
        log.error("%s: %s of item %s is given up: %s", self.target, row.kind, row.key, reason, exc_info=error)
        if _is_awaited(row):
            self._answer_follows.add(row.id)
            refused = ItemRefused(at=self._clock(), item=row.key, reason=f"{row.kind}: {reason}")
            self._inbox.put(Envelope(refused, finished=(Finished(id=row.id, error=reason),)))
        else:
            outbox.finish(self._engine, self._token, row.id, reason)
        del self._faults[row.id]
        self.given_up += 1
        self._inbox.wake()  # the page is to tell of it
        return 0.0

    def _say_recovered(self) -> None:
        if self._troubled:
            log.info("%s: goes on", self.target)
        self._troubled = False


def _delivery(row: outbox.Row, now: float) -> Delivery:
    """KeyError, MsgspecError: nobody can read it."""
    return Delivery(
        row=row.id,
        payload=msgspec.json.decode(row.payload, type=PAYLOADS[row.kind]),
        first=row.deliveries == 0,
        since=now if row.first_tried_at is None else row.first_tried_at,
    )


def _is_awaited(row: outbox.Row) -> bool:
    """Does the item stand still until it hears what became of this?"""
    if row.kind != "Report":
        return row.kind not in UNAWAITED
    try:
        return msgspec.json.decode(row.payload, type=ReportPayload).verdict != "start"
    except msgspec.MsgspecError:
        return True
