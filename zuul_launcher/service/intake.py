"""From a line of Gerrit's event stream to an event in the inbox: stored on arrival, then resolved, in order.

One thread watches (`receive`), another resolves (`run`): a slow query never keeps lines waiting in Gerrit. What Gerrit
refuses is asked for a few times more; then the line is put aside, so that nothing gets lost without a word.
"""

import logging
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy import Engine

from zuul_launcher.db import journal
from zuul_launcher.db.outbox import Finished
from zuul_launcher.errors import RemoteError, RemoteRefused, RemoteUnavailable
from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.catchup import missed
from zuul_launcher.gerrit.closure import DependencyProblem
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.record import ParseError
from zuul_launcher.gerrit.resolve import Resolver
from zuul_launcher.metrics import Measurement
from zuul_launcher.model.change import Change
from zuul_launcher.model.events import SiblingsSeen, Trigger, Triggered
from zuul_launcher.service.inbox import Envelope, Inbox
from zuul_launcher.service.screening import Screening

RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds between tries while Gerrit or the database is away
REFUSAL_DELAYS = (1.0, 3.0, 8.0)  # seconds before what Gerrit refused is asked for again: it may have had a bad moment
REMEMBERED = 2000  # triggers, to tell what catching up has missed from what was seen

log = logging.getLogger("zuul_launcher.intake")

Work = Callable[[], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """One stored line of the stream."""

    id: int
    at: float
    payload: bytes


class Intake:
    """Everything that comes from one Gerrit, and every question that only it can answer."""

    def __init__(
        self,
        connection: str,
        engine: Engine,
        token: int,
        inbox: Inbox,
        query: Query,
        resolver: Resolver,
        screening: Screening,
        *,
        strip_branch_ref: bool,
        concerns: Callable[[str], bool],
        measured: Callable[[Sequence[Measurement]], None],
        clock: Callable[[], float],
        stopping: threading.Event,
        refusal_delays: Sequence[float] = REFUSAL_DELAYS,
    ) -> None:
        """`concerns`: does an event of this project matter to the layout?"""
        self._connection = connection
        self._engine = engine
        self._token = token
        self._inbox = inbox
        self._query = query
        self._resolver = resolver
        self.screening = screening  # for `ask` only
        self._strip_branch_ref = strip_branch_ref
        self._concerns = concerns
        self._measured = measured
        self._clock = clock
        self._stopping = stopping
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._seen: deque[Trigger] = deque(maxlen=REMEMBERED)
        self._refusal_delays = refusal_delays
        self._not_caught_up: float | None = None  # events since then are missing, epoch seconds
        self._why_not_caught_up = ""
        self.put_aside = 0  # lines
        self.unreadable = 0  # lines

    # For the watching thread, and at start

    def receive(self, payload: bytes) -> None:
        """Store a line, then have it resolved. Waits while the database is away: Gerrit keeps the rest."""
        at = self._clock()
        line = self._patiently(lambda: self._store(payload, at))
        if line is not None:
            self.take_up(line)

    def take_up(self, line: Line) -> None:
        self._work.put(lambda: self._resolve(line))

    def saw(self, trigger: Trigger) -> None:
        """Before start: an earlier process worked on this one, so catching up need not."""
        self._seen.append(trigger)

    def catch_up(self, since: float) -> None:
        """Have everything read that happened since then and was not seen."""
        self._work.put(lambda: self._catch_up(since))

    def find_siblings(self, project: str, row: int) -> None:
        """Have the open changes of a project asked for; the event finishes this outbox row."""
        self._work.put(lambda: self._find_siblings(project, row))

    def ask(self, work: Work) -> None:
        """Do this on the resolving thread, which alone may use the resolver."""
        self._work.put(work)

    @property
    def complaints(self) -> list[str]:
        """What an operator should look at: events that are missing, patterns that run too long."""
        since, why = self._not_caught_up, self._why_not_caught_up
        missing = [] if since is None else [f"{self._connection}: events since {_words(since)} are missing: {why}"]
        return [*missing, *self.screening.complaints]

    @property
    def resolver(self) -> Resolver:
        """For `ask` only."""
        return self._resolver

    # The resolving thread

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopping.is_set():
            self._work.get()()
        self.screening.stop()

    def stop(self) -> None:
        """After `stopping` is set: wake `run`."""
        self._work.put(lambda: None)

    def _store(self, payload: bytes, at: float) -> Line:
        return Line(journal.receive(self._engine, self._token, f"gerrit:{self._connection}", payload, at), at, payload)

    def _patiently(self, call: Callable[[], T]) -> T | None:
        """Try until it works out; None: the program stops before it did."""
        tries = 0
        while not self._stopping.is_set():
            try:
                return call()
            except RemoteUnavailable as error:
                # Gerrit closes connections now and then; an operator need know of it when a new one is no better.
                log.log(logging.WARNING if tries == 1 else logging.INFO, "%s: events wait: %s", self._connection, error)
                self._stopping.wait(RETRY_DELAYS[min(tries, len(RETRY_DELAYS) - 1)])
                tries += 1
        return None

    def _insistently(self, call: Callable[[], T]) -> T | None:
        """As `_patiently`, and a few times more if the answer is no. RemoteRefused: it stays no, or we know why."""
        for delay in self._refusal_delays:
            try:
                return self._patiently(call)
            except DependencyProblem:
                raise
            except RemoteRefused as error:
                log.info("%s: refused, asking again in %g s: %s", self._connection, delay, error)
                self._stopping.wait(delay)
        return self._patiently(call)

    def _resolve(self, line: Line) -> None:
        try:
            trigger = parse.trigger(line.payload, self._connection, strip_branch_ref=self._strip_branch_ref)
        except ParseError as error:
            self.unreadable += 1
            log.warning("%s: an event could not be read (%s): skipped", self._connection, error)
            self._discard(line)
            return
        self._seen.append(trigger)
        self._measured([Measurement("zuul_events", (trigger.type,))])
        if not self._matters(trigger):
            self._discard(line)
            return
        try:
            event = self._insistently(lambda: self._screened(trigger, line.at))
        except DependencyProblem as error:
            log.warning("%s: %s of %s is dropped: %s", self._connection, trigger.type, trigger.number, error)
            event = None
        except Exception as error:  # Gerrit's refusal, or a mistake of ours: it may not stand in the way of the others
            self._put_aside(line, trigger, error)
            return
        if self._stopping.is_set() and event is None:
            return  # it is stored: the next start takes it up
        if event is None:
            self._discard(line)
            self._inbox.wake()  # the page may have to tell why
        else:
            self._inbox.put(Envelope(event, received=(line.id,)))

    def _put_aside(self, line: Line, trigger: Trigger, error: Exception) -> None:
        """Keep it for people to look at, instead of trying it for ever or dropping it."""
        log.error(
            "%s: %s of %s is put aside: %s",
            self._connection,
            trigger.type,
            trigger.number or trigger.ref,
            error,
            exc_info=None if isinstance(error, RemoteRefused) else error,
        )
        parked = journal.Parked(
            at=line.at,
            source=f"gerrit:{self._connection}",
            payload=line.payload,
            traceback="".join(traceback.format_exception(error)),
        )
        self._patiently(lambda: journal.park(self._engine, self._token, parked, received=[line.id]))
        self.put_aside += 1
        self._inbox.wake()  # the page is to tell of it

    def _screened(self, trigger: Trigger, at: float) -> Triggered | None:
        event = self._resolver.resolve(trigger, at)
        return None if event is None else self.screening.screen(event)

    def _find_siblings(self, project: str, row: int) -> None:
        subjects: tuple[str, ...] = ()
        facts: tuple[Change, ...] = ()
        try:
            found = self._insistently(lambda: self._resolver.open_changes(project))
            if found is None:
                return  # told to stop; the row brings it back
            subjects, facts = found
        except RemoteError as error:
            log.warning("%s: the open changes of %s could not be asked for: %s", self._connection, project, error)
        siblings = SiblingsSeen(at=self._clock(), subjects=subjects, facts=facts)
        event = self._patiently(lambda: self.screening.screen(siblings))
        if event is not None:  # else told to stop
            self._inbox.put(Envelope(event, finished=(Finished(id=row),)))

    def _matters(self, trigger: Trigger) -> bool:
        """Gerrit also tells of every vote as an update of refs/changes/*."""
        if trigger.number is None and (trigger.ref is None or trigger.ref.startswith("refs/changes/")):
            return False
        return self._concerns(trigger.project)

    def _discard(self, line: Line) -> None:
        self._patiently(lambda: journal.discard(self._engine, self._token, [line.id]))

    def _catch_up(self, since: float) -> None:
        since = since if self._not_caught_up is None else min(since, self._not_caught_up)
        try:
            lines = self._insistently(lambda: missed(self._query, since, self._seen)) or []
        except RemoteRefused as error:
            log.error("%s: events since %s could not be asked for: %s", self._connection, _words(since), error)
            self._not_caught_up, self._why_not_caught_up = since, str(error)
            self._inbox.wake()  # the page is to tell of it
            return
        self._not_caught_up = None
        if lines:
            log.info("%s: %d events were missed and are taken up now", self._connection, len(lines))
        for payload in lines:
            line = self._patiently(partial(self._store, payload, self._clock()))
            if line is not None:
                self._resolve(line)


def _words(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
