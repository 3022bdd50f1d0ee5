"""One Gerrit of the site, with its threads: one watches events, one resolves them, one reports."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from zuul_launcher.db import journal
from zuul_launcher.gerrit.query import Query
from zuul_launcher.gerrit.report import Reporter
from zuul_launcher.gerrit.resolve import Resolver
from zuul_launcher.gerrit.ssh import Commands
from zuul_launcher.gerrit.watch import Watch
from zuul_launcher.metrics import Measurement
from zuul_launcher.model.events import Trigger
from zuul_launcher.model.layout import Layout
from zuul_launcher.service.inbox import Inbox
from zuul_launcher.service.intake import Intake, Line
from zuul_launcher.service.outlet import Delivered, Delivery, Outlet
from zuul_launcher.service.payload import FetchPayload, gerrit_target, query_target
from zuul_launcher.service.reporting import ReportDesk
from zuul_launcher.service.screening import Screening
from zuul_launcher.service.storage import Storage
from zuul_launcher.service.threads import Crew
from zuul_launcher.settings import GerritConnection

log = logging.getLogger("zuul_launcher.gerrit")


class Gerrit:
    """Call `start` once; `stop` after `stopping` is set."""

    def __init__(
        self,
        settings: GerritConnection,
        storage: Storage,
        inbox: Inbox,
        *,
        others: Mapping[str, GerritConnection],
        layout: Callable[[], Layout],
        measured: Callable[[Sequence[Measurement]], None],
        clock: Callable[[], float],
        stopping: threading.Event,
    ) -> None:
        """`others`: all Gerrits of the site, since a report may go to another one than the change came from."""
        self.name = settings.name
        self.trouble: str | None = f"no events from Gerrit {settings.name} yet"  # why none come
        self._inbox = inbox
        self._clock = clock
        self._stopping = stopping
        self._lost_at = storage.previous  # events since then may have been missed
        self._commands = [Commands(settings), *(Commands(other) for other in others.values())]
        query = Query(self._commands[0].run)
        resolver = Resolver(
            query,
            settings.name,
            base_url=settings.baseurl,
            clock=clock,
            wait=stopping.wait,
            event_delay=settings.event_delay,
        )
        self.intake = Intake(
            settings.name,
            storage.engine,
            storage.token,
            inbox,
            query,
            resolver,
            Screening(layout),
            strip_branch_ref=settings.strip_branch_ref,
            concerns=lambda project: project in layout().projects,
            measured=measured,
            clock=clock,
            stopping=stopping,
        )
        self._watch = Watch(settings, self.intake.receive, self._note_stream, clock=clock)
        self.outlet = Outlet(storage.engine, storage.token, gerrit_target(settings.name), clock, inbox)
        reporters = {
            name: Reporter(commands.run, username=other.user, wait=stopping.wait)
            for (name, other), commands in zip(others.items(), self._commands[1:], strict=True)
        }
        self.outlet.perform = ReportDesk(reporters, inbox, clock).perform
        self.questions = Outlet(storage.engine, storage.token, query_target(settings.name), clock, inbox)
        self.questions.perform = self._ask

    def note_heard(self, at: float | None) -> None:
        """Before start: when the last event of this Gerrit came that was stepped. The stream may have been down since,
        also while a scheduler was alive."""
        if at is not None and self._lost_at is not None:
            self._lost_at = min(self._lost_at, at)

    @property
    def outlets(self) -> tuple[Outlet, Outlet]:
        return self.outlet, self.questions

    @property
    def complaints(self) -> list[str]:
        """What an operator should look at."""
        return self.intake.complaints

    def start(self, crew: Crew, stored: list[journal.Received], done: list[Trigger]) -> None:
        """`stored`: lines that an earlier process received and did not get to; `done`: what it worked on lately."""
        for trigger in done:
            if trigger.connection == self.name:
                self.intake.saw(trigger)
        for line in stored:
            if line.source == gerrit_target(self.name):
                self.intake.take_up(Line(line.id, line.at, line.payload))
        crew.start(f"{self.name} events", self._watch.run)
        crew.start(f"{self.name} queries", self.intake.run)
        crew.start(f"{self.name} reports", lambda: self.outlet.run(self._stopping))
        crew.start(f"{self.name} questions", lambda: self.questions.run(self._stopping))

    def stop(self) -> None:
        self._watch.stop()
        self.intake.stop()
        self.outlet.awake.set()
        self.questions.awake.set()
        for commands in self._commands:
            commands.close()

    def _ask(self, delivery: Delivery) -> Delivered:
        assert isinstance(delivery.payload, FetchPayload)
        self.intake.find_siblings(delivery.payload.project, delivery.row)
        return Delivered.ANSWER_FOLLOWS

    def _note_stream(self, state: str) -> None:
        """On the watching thread."""
        if state == "connected":
            self.trouble = None
            if self._lost_at is not None:
                self.intake.catch_up(self._lost_at)
            self._lost_at = None
            log.info("%s: events are being watched", self.name)
        else:
            self._lost_at = self._lost_at or self._clock()
            self.trouble = f"no events from Gerrit {self.name}: {state.removeprefix('lost: ')}"
        self._inbox.wake()  # the page is to tell of it
