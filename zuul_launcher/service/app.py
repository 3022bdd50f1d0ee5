"""The scheduler, wired: storage, loop, Gearman, Gerrit and the page. Its life: load, take up, work, leave."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zuul_launcher import VERSION
from zuul_launcher.db import journal, lease
from zuul_launcher.errors import ConfigurationError, RemoteUnavailable
from zuul_launcher.metrics import Metrics
from zuul_launcher.model.actions import Answer
from zuul_launcher.model.events import FactsSeen, LayoutLoaded, LayoutRefused, SiblingsSeen, TimerFired, Triggered
from zuul_launcher.model.layout import Layout
from zuul_launcher.service import gauges, layouts, payload
from zuul_launcher.service.clock import Clock
from zuul_launcher.service.gearmanside import GearmanSide
from zuul_launcher.service.gerrits import Gerrit
from zuul_launcher.service.inbox import Envelope, Inbox
from zuul_launcher.service.loop import Loop, Outward, last_heard, parameters_of, recent_triggers
from zuul_launcher.service.measure import sizes
from zuul_launcher.service.notices import Notices
from zuul_launcher.service.outlet import Outlet
from zuul_launcher.service.pruning import prune
from zuul_launcher.service.publisher import Publisher
from zuul_launcher.service.screening import Screening
from zuul_launcher.service.storage import LEASE_SECONDS, Storage, open_storage, prepare
from zuul_launcher.service.threads import Crew
from zuul_launcher.settings import GerritConnection, Settings
from zuul_launcher.web.app import make_app
from zuul_launcher.web.board import Board
from zuul_launcher.web.git import git_application
from zuul_launcher.web.serve import Page
from zuul_launcher.yamlfile.problems import FileErrors

log = logging.getLogger("zuul_launcher.scheduler")


@dataclass(frozen=True)
class Tuning:
    """Intervals in seconds, which tests shorten."""

    idle: float = 5.0  # the loop looks around at least this often
    lease: float = LEASE_SECONDS
    snapshot: float = 10.0  # at most one of those that are stored when idle
    prune: float = 6 * 3600.0
    gauges: float = 10.0


class Scheduler:
    """`run` in the main thread until `stop`; the other public methods from any thread or signal handler."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        tuning: Tuning = Tuning(),
        statsd: tuple[str, int] | None = None,
    ) -> None:
        """`statsd`: host and port of whom to send measurements to."""
        self.settings = settings
        self._metrics = Metrics(statsd)
        self._clock = clock
        self._tuning = tuning
        self._stopping = threading.Event()
        self._leaving = threading.Event()
        self._held_back = 0  # triggers since then
        self._reload = threading.Event()
        self._fatal: BaseException | None = None
        self._crew = Crew(self._stopping, self._die)
        self._inbox = Inbox()
        self._board = Board()
        self._page: Page | None = None
        self._outlets: dict[str, Outlet] = {}
        self._parked = 0
        self._snapshot_at = 0.0

    def stop(self) -> None:
        """Store a snapshot and leave; builds go on, and the next start takes them up."""
        self._stopping.set()
        self._inbox.wake()

    def leave_when_idle(self) -> None:
        """Take no more events, and stop when no build or merge is under way."""
        self._leaving.set()
        self._inbox.wake()

    def reload(self) -> None:
        """Read the layout again. A bad one is refused, and the old one stays."""
        self._reload.set()

    def run(self, begin: Callable[[], None] = lambda: None) -> None:
        """`begin` is called when there is a layout and the page has its port: nothing keeps the site from being served.

        Raises ConfigurationError (FileErrors among them) before anything is begun, Fenced if it lost its lease."""
        first = layouts.read_first(self.settings)
        self._page = self._open_page()
        begin()
        storage = open_storage(self.settings.database.dburi, self._clock, self._stopping, self._tuning.lease)
        if storage is not None:
            try:
                self._serve(storage, first)
            finally:
                self._page.stop()
                storage.close(self._clock())
        if self._fatal is not None:
            raise self._fatal

    def _serve(self, storage: Storage, first: layouts.Read | FileErrors) -> None:
        if isinstance(first, layouts.Read):
            prepare(storage, first.layout, first.hash, self._clock())
        self._storage = storage
        gerrits = {one.name: one for one in self.settings.connections.values() if isinstance(one, GerritConnection)}
        parameters = parameters_of(storage.engine)
        world = payload.World(
            zuul=self.settings.zuul, urls=_git_urls(gerrits), parameters=parameters, drivers=self.settings.drivers
        )
        outward = Outward(rows=self._wake, answer=self._answer, measured=self._metrics.note)
        self._loop = Loop(storage.engine, storage.token, world, outward, self._stopping)
        self._begin_with(first)
        self._publisher = Publisher(self._board, self.settings.zuul, parameters, VERSION, self._clock)
        self._gerrits = [
            Gerrit(
                one,
                storage,
                self._inbox,
                others=gerrits,
                layout=self._layout,
                measured=self._metrics.note,
                clock=self._clock,
                stopping=self._stopping,
            )
            for one in gerrits.values()
        ]
        self._gearman = GearmanSide(
            self.settings.gearman,
            storage,
            self._inbox,
            intakes={gerrit.name: gerrit.intake for gerrit in self._gerrits},
            layout=self._layout,
            running_jobs=self._publisher.running_jobs,
            clock=self._clock,
            stopping=self._stopping,
        )
        self._notices = Notices(self.settings.connections.values(), storage, self._inbox, self._clock, self._stopping)
        outlets = [
            *self._gearman.outlets,
            *(outlet for gerrit in self._gerrits for outlet in gerrit.outlets),
            *self._notices.outlets,
        ]
        self._outlets = {outlet.target: outlet for outlet in outlets}
        self._begin()
        try:
            self._work()
        finally:
            self._end()

    def _begin_with(self, first: layouts.Read | FileErrors) -> None:
        """The layout of the file, or if that is wrong the last good one, which the state has."""
        if isinstance(first, layouts.Read):
            state = self._loop.state
            problems = self._slow_patterns(first.layout) if state.layout != first.hash else ()
            if not problems and (state.layout != first.hash or state.layout_errors):
                self._loop.take(Envelope(LayoutLoaded(at=self._clock(), layout=first.hash), layout=first.layout))
        else:
            problems = layouts.problems_of(first)
        if self._loop.layout is None:
            raise ConfigurationError("\n".join(problems))
        if problems:
            self._refuse_layout(problems)

    def _begin(self) -> None:
        self._gearman.resume(self._loop.state)
        self._gearman.start(self._crew)
        stored = journal.all_received(self._storage.engine)
        heard = last_heard(self._storage.engine, [gerrit.name for gerrit in self._gerrits])
        for gerrit in self._gerrits:
            gerrit.note_heard(heard.get(gerrit.name))
        done = recent_triggers(
            self._storage.engine, min([*heard.values(), *filter(None, [self._storage.previous])], default=None)
        )
        for gerrit in self._gerrits:
            gerrit.start(self._crew, stored, done)
        self._notices.start(self._crew)
        self._metrics.note(sizes(self._loop.state))
        self._crew.start("statsd", lambda: self._metrics.run(self._stopping))
        self._crew.start("gauges", self._watch_gauges)
        clock = Clock(self._layout, lambda event: self._inbox.put(Envelope(event)), self._clock, self._stopping)
        self._crew.start("timers", clock.run)
        self._crew.start("layout", self._read_layout_when_told)
        self._crew.start("lease", self._renew_lease)
        self._crew.start("pruning", self._prune)
        self._parked = len(journal.all_parked(self._storage.engine))
        log.info("the scheduler is ready with %d items", len(self._loop.state.items))

    def _work(self) -> None:
        """The loop: the only place where the state changes."""
        pause = 0.0
        while not self._stopping.is_set():
            envelope = self._inbox.take(pause)
            if envelope is not None and self._is_held_back(envelope):
                self._held_back += 1
            elif envelope is not None:
                self._loop.take(envelope)
            if self._leaving.is_set() and self._is_idle():
                self.stop()
            pause = min(self._look_around(is_idle=envelope is None), self._tuning.idle)

    def _look_around(self, *, is_idle: bool) -> float:
        """What is due from time to time. Seconds until the next of it."""
        now = self._clock()
        if is_idle and now - self._snapshot_at > self._tuning.snapshot:
            self._snapshot_at = now
            try:
                self._loop.store_snapshot()
            except RemoteUnavailable as error:
                log.warning("no snapshot: %s", error)
        lengths = self._lengths()
        message = leaving(lengths[0]) if self._leaving.is_set() else None
        return self._publisher.publish(self._loop.state, self._layout(), self._errors(), lengths, message)

    def _lengths(self) -> tuple[int, int]:
        """Triggers and results that wait."""
        triggers, results = self._inbox.lengths()
        return triggers + self._held_back, results

    def _watch_gauges(self) -> None:
        outlook = gauges.Outlook(lengths=self._lengths, connections=self._connections)
        gauges.watch(
            self._metrics,
            self._storage.engine,
            outlook,
            clock=self._clock,
            stopping=self._stopping,
            seconds=self._tuning.gauges,
        )

    def _connections(self) -> dict[str, bool]:
        """Name -> does it work? For the metrics."""
        outlets = {outlet.target: not outlet.troubled for outlet in self._notices.outlets}
        gerrits = {payload.gerrit_target(gerrit.name): gerrit.trouble is None for gerrit in self._gerrits}
        return {"gearman": self._gearman.trouble is None, **gerrits, **outlets}

    def _end(self) -> None:
        self._stopping.set()
        self._reload.set()  # its thread waits for it
        for gerrit in self._gerrits:
            gerrit.stop()
        self._gearman.stop()
        self._notices.stop()
        self._crew.join()
        if self._fatal is None:
            try:
                self._loop.store_snapshot()
            except RemoteUnavailable as error:
                log.warning("no snapshot at the end: %s", error)
        log.info("the scheduler has stopped")

    def _layout(self) -> Layout:
        assert self._loop.layout is not None, "the first step brought a layout"
        return self._loop.layout

    def _wake(self, targets: Sequence[str]) -> None:
        for target in targets:
            outlet = self._outlets.get(target)
            if outlet is not None:
                outlet.awake.set()

    def _answer(self, answer: Answer) -> None:
        self._gearman.answered(answer)

    def _is_held_back(self, envelope: Envelope) -> bool:
        """While leaving, triggers stay stored as they came: the next start takes them up."""
        return self._leaving.is_set() and isinstance(envelope.event, Triggered | SiblingsSeen | TimerFired)

    def _is_idle(self) -> bool:
        """Is no build and no merge under way?"""
        return not any(
            item.build_set.merge == "asked" or any(build.result is None for build in item.build_set.builds.values())
            for item in self._loop.state.items.values()
        )

    def _errors(self) -> tuple[str, ...]:
        """What an operator should look at, for the page."""
        errors = [f"layout: {error}" for error in self._loop.state.layout_errors]
        troubles = [self._gearman.trouble, *(gerrit.trouble for gerrit in self._gerrits)]
        errors += [trouble for trouble in troubles if trouble]
        errors += [complaint for gerrit in self._gerrits for complaint in gerrit.complaints]
        parked = self._parked + self._loop.put_aside + sum(gerrit.intake.put_aside for gerrit in self._gerrits)
        errors += [f"the thread {name} died {times} times: see the log" for name, times in self._crew.deaths.items()]
        given_up = sum(outlet.given_up for outlet in self._outlets.values())
        if given_up:
            errors.append(f"{given_up} actions could not be done and were given up: see the log")
        if parked:
            errors.append(f"{parked} events could not be worked on and were put aside: see the log")
        return tuple(errors)

    def _read_layout_when_told(self) -> None:
        """On a thread of its own, since a site's layout takes a while; one at a time, so that the last one counts."""
        while True:
            self._reload.wait()
            if self._stopping.is_set():
                return
            self._reload.clear()
            self._read_layout_again()

    def _read_layout_again(self) -> None:
        now = self._clock()
        try:
            found = layouts.read(self.settings)
        except ConfigurationError as error:
            self._refuse_layout(layouts.problems_of(error))
            return
        slow = self._slow_patterns(found.layout)
        if slow:
            self._refuse_layout(slow)
            return
        prepare(self._storage, found.layout, found.hash, now)
        self._inbox.put(Envelope(LayoutLoaded(at=now, layout=found.hash), layout=found.layout))
        log.info("the layout was read again: %s", found.hash[:12])

    def _refuse_layout(self, problems: Sequence[str]) -> None:
        for problem in problems:
            log.error("the new layout is refused, the old one stays: %s", problem)
        self._inbox.put(Envelope(LayoutRefused(at=self._clock(), errors=tuple(problems))))

    def _slow_patterns(self, layout: Layout) -> tuple[str, ...]:
        """What keeps a new layout out: its patterns will be tried on all that is here already."""
        screening = Screening(lambda: layout)
        try:
            return screening.slow_on(FactsSeen(at=self._clock(), facts=tuple(self._loop.state.subjects.values())))
        finally:
            screening.stop()

    def _renew_lease(self) -> None:
        seconds = self._tuning.lease
        while not self._stopping.wait(seconds / 3):
            try:
                lease.renew(self._storage.engine, self._storage.token, self._clock(), seconds)
            except RemoteUnavailable as error:
                log.warning("the lease could not be renewed: %s", error)

    def _prune(self) -> None:
        """Keep the database from growing without end."""
        while not self._stopping.wait(self._tuning.prune):
            prune(self._storage, self.settings.database, list(self._loop.state.items), self._clock())

    def _die(self, error: BaseException) -> None:
        """On any thread: this process may not go on."""
        log.error("the scheduler stops: %s", error)
        self._fatal = error
        self.stop()

    def _open_page(self) -> Page:
        webapp, merger = self.settings.webapp, self.settings.merger
        git_app = git_application(merger.git_dir) if merger.zuul_url is None else None
        app = make_app(
            self._board,
            clock=self._clock,
            expiry=self.settings.zuul.status_expiry,
            git_app=git_app,
            metrics=self._metrics.exposition,
        )
        try:
            page = Page(app, webapp.listen_address, webapp.port)
        except OSError as error:
            raise ConfigurationError(
                f"[webapp] {webapp.listen_address} port {webapp.port}: {error.strerror}: choose another port"
            ) from error
        page.start()
        log.info("the page is at %s", page.url)
        return page


def leaving(length: int) -> str:
    """What the page says meanwhile, as v2 does (behaviour.md §7.2); `length`: of triggers that wait."""
    return f"<p><b>Queue only mode:</b> preparing to exit, queue length: {length}</p>"


def _git_urls(gerrits: dict[str, GerritConnection]) -> dict[str, Callable[[str], str]]:
    """Where mergers fetch from, by connection."""

    def url(connection: GerritConnection) -> Callable[[str], str]:
        return lambda project: f"ssh://{connection.user}@{connection.server}:{connection.port}/{project}"

    return {name: url(connection) for name, connection in gerrits.items()}
