"""A build manager: all its rooms put together, and how it starts, reloads and ends.

Ends: `stop` aborts what runs, so that it is run again elsewhere; `graceful` takes nothing new and waits. In both the
last news of every build are on the wire before the connections end.
"""

import logging
import socket
import threading
import time
from functools import partial
from pathlib import Path

from msgspec import Struct

from zuul_launcher.db import engine as database
from zuul_launcher.db.migrate import upgrade_worker
from zuul_launcher.errors import ConfigurationError, RemoteUnavailable
from zuul_launcher.settings import Settings
from zuul_launcher.web.serve import Page
from zuul_launcher.worker.builds.builds import Builds
from zuul_launcher.worker.builds.limits import Limits
from zuul_launcher.worker.commands import commands
from zuul_launcher.worker.control import Control
from zuul_launcher.worker.definitions.job import Keep
from zuul_launcher.worker.definitions.load import load
from zuul_launcher.worker.fleet import Fleet
from zuul_launcher.worker.history.history import SqlHistory
from zuul_launcher.worker.history.prune import prune
from zuul_launcher.worker.nodes import Machine, MachineSettings
from zuul_launcher.worker.options import (
    checked_name,
    checked_url,
    identity_of,
    limits_of,
    lock_folder,
    machine_settings,
    queue_settings,
    sources_of,
    with_own_node,
)
from zuul_launcher.worker.overview import Overview
from zuul_launcher.worker.pages.app import make_app
from zuul_launcher.worker.queue.clash import other_manager
from zuul_launcher.worker.queue.functions import queue_node, unserved_jobs
from zuul_launcher.worker.queue.registry import Queue
from zuul_launcher.worker.queue.settings import QueueSettings
from zuul_launcher.worker.triggering import triggering

log = logging.getLogger("zuul_launcher.worker")

STOP_SECONDS = 15.0  # to abort all builds and tell so
SENT_SECONDS = 5.0  # for the last packets
WITHDRAW_SECONDS = 10.0  # until the server knows that a node takes no builds
LOOK_SECONDS = 5.0  # between looks at nodes that are leaving
PRUNE_SECONDS = 3600.0
SHOWN_NAMES = 20  # of jobs, in a line of the log


class Timing(Struct, frozen=True, kw_only=True):
    """What tests shorten."""

    queue: QueueSettings = QueueSettings()
    limits: Limits = Limits()
    machine: MachineSettings | None = None  # None: the defaults


class Worker:
    """One build manager. `start`, then `wait`, which returns when `stop` or `graceful` has been done."""

    def __init__(self, settings: Settings, *, takeover: bool = False, timing: Timing = Timing()) -> None:  # noqa: B008 - frozen
        """Raises ConfigurationError: something it needs is missing, wrong, or taken by another manager."""
        options = settings.worker
        if options is None:
            raise ConfigurationError(f"{settings.file} has no section [worker]: add it, with `jobs = ...` at least")
        self.name = checked_name(options.name or socket.getfqdn())
        checked_url(options.url)
        self.options = options
        self.folder = Path(settings.zuul.state_dir) / "worker"
        self.sources = sources_of(options)
        self._lock = lock_folder(self.folder)
        self._address = settings.gearman.address
        self._takeover = takeover
        self.definitions = with_own_node(load(self.sources), options)
        engine = database.connect(options.dburi)
        upgrade_worker(engine)
        self.history = SqlHistory(engine)
        self._engine = engine
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._turning = threading.Lock()  # a start that is under way comes to its end before it is undone
        self.faults = 0  # of the upkeep
        self.refused: tuple[str, ...] = ()  # what was wrong with the files when they were read last, and not taken
        self.unserved: tuple[str, ...] = ()  # names of jobs that none of the nodes may run
        self.fleet = Fleet(
            machine_settings(options, self.folder, timing.machine),
            offline=self.history.offline(),
            remember=self.history.set_offline,
            changed=self._renew_queue,
            withdrawn=self._withdrawn,
            is_used=self._is_used,
        )
        self.builds = Builds(
            manager=identity_of(options, self.name),
            folder=self.folder / "builds",
            history=self.history,
            nodes=self.fleet.node,
            definitions=lambda: self.definitions,
            submit=partial(triggering, self._address),
            limits=limits_of(options, timing.limits),
        )
        self.queue = Queue(
            queue_settings(options, self._address, timing.queue),
            self.name,
            assigned=self.builds.assigned,
            stop=self.builds.stop,
            describe=self.builds.describe,
        )
        self._threads = [threading.Thread(target=self._look_after, name="worker upkeep", daemon=True)]

    # Life

    def start(self) -> None:
        """Raises ConfigurationError: another manager has this name, and this one does not take over."""
        with self._turning:
            self._start()

    def _start(self) -> None:
        self._refuse_namesakes()
        for record in self.history.interrupted(time.time()):
            log.warning("build %d of %s was running when its manager ended", record.number, record.job)
        self.fleet.renew(self.definitions.nodes)
        self._tell_problems()
        self.page = self._make_page()
        self.control = Control(self.folder, commands(self))
        self.queue.start()
        self.page.start()
        self.control.start()
        for thread in self._threads:
            thread.start()
        log.info("manager %s offers %d jobs; its pages are at %s", self.name, len(self.definitions.jobs), self.page.url)

    def wait(self, seconds: float | None = None) -> bool:
        """Until it has ended; False: not within so many seconds."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """Abort what runs (no result: it is run again elsewhere), tell so, and end."""
        if self._begin_end():
            end = time.monotonic() + STOP_SECONDS
            self.queue.pause()
            self.builds.abort_all()
            self.queue.flush(SENT_SECONDS)  # what was on its way to us has come
            if not self.builds.wait(max(0.0, end - time.monotonic())):
                log.error("not all builds ended within %g s", STOP_SECONDS)
            self._end()

    def graceful(self) -> None:
        """Take no more builds, wait for those that run, and end. `stop` meanwhile ends the waiting."""
        log.info("taking no more builds; ending when those that run are done")
        self.queue.pause()
        self.queue.flush(WITHDRAW_SECONDS)  # what was on its way to us has come
        self.builds.wait()
        if self._begin_end():
            self._end()

    def graceful_in_background(self) -> None:
        """For a signal: others that come meanwhile are heard."""
        threading.Thread(target=self.graceful, name="graceful end", daemon=True).start()

    def reload_and_log(self) -> None:
        """For a signal: what is wrong is logged, since nobody waits for an answer."""
        try:
            self.reload()
        except ConfigurationError as error:
            log.error("nothing was changed, since a file is wrong")
            for line in str(error).splitlines():
                log.error("%s", line)

    def close(self) -> None:
        """Of a manager that was not started: end its nodes, and let others have its folder."""
        self.fleet.stop()
        self.builds.close()
        self._engine.dispose()
        self._lock.close()

    def _make_page(self) -> Page:
        address, port = self.options.listen_address, self.options.port
        try:
            return Page(make_app(Overview(self), clock=time.time), address, port)
        except OSError as error:
            what = f"[worker] {address} port {port}: {str(error.strerror).partition(' (')[0]}: choose another port"
            raise ConfigurationError(what) from error

    def _begin_end(self) -> bool:
        """Once only: two signals are one end."""
        with self._turning:
            first = not self._stopping.is_set()
            self._stopping.set()
        return first

    def _end(self) -> None:
        try:
            self.queue.flush(SENT_SECONDS)
            self.queue.stop()
            self.control.stop()
            self.page.stop()
            self.close()
            log.info("manager %s has ended", self.name)
        finally:
            self._ended.set()  # whatever went wrong, nobody can ask for the end again

    # Changes

    def reload(self) -> None:
        """Read jobs, nodes and secrets again. Raises FileErrors, and changes nothing, if a file is wrong."""
        try:
            definitions = with_own_node(load(self.sources), self.options)
            self.fleet.renew(definitions.nodes)
        except ConfigurationError as error:
            self.refused = tuple(str(error).splitlines())
            raise
        self.definitions, self.refused = definitions, ()
        self._renew_queue()
        self._tell_problems()
        log.info("read again: %d jobs, %d nodes", len(definitions.jobs), len(definitions.nodes))

    def _tell_problems(self) -> None:
        for problem in self.definitions.problems:
            log.warning("%s", problem)
        nodes = [queue_node(node) for node in self.definitions.nodes.values()]
        names = self.unserved = unserved_jobs(nodes, self.definitions.jobs.values())
        if names:
            more = "..." if len(names) > SHOWN_NAMES else ""
            log.warning("no node here may run %d of the jobs: %s%s", len(names), ", ".join(names[:SHOWN_NAMES]), more)

    def _renew_queue(self) -> None:
        self.queue.update(self.fleet.queue_nodes(), self.definitions.jobs)

    def _withdrawn(self, node: str) -> None:
        if not self.queue.flush(WITHDRAW_SECONDS, node):
            log.warning("the Gearman server was not told within %g s that %s takes no builds", WITHDRAW_SECONDS, node)

    def _is_used(self, machine: Machine) -> bool:
        left = machine.left_at or time.time()
        return any(
            build.record.node == machine.name and build.record.started_at <= left for build in self.builds.running()
        )

    # Upkeep

    def _look_after(self) -> None:
        pruned_at = 0.0
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self.fleet.look_after()
                if time.monotonic() - pruned_at > PRUNE_SECONDS or not pruned_at:
                    pruned_at = time.monotonic()
                    prune(self.history, self.folder / "builds", self._keep, time.time())
            except Exception:
                self.faults += 1
                log.exception("upkeep failed, it is tried again")

    def _keep(self, job: str) -> Keep:
        known = self.definitions.jobs.get(job)
        return known.keep if known else Keep()

    def _refuse_namesakes(self) -> None:
        try:
            other = other_manager(*self._address, self.name)
        except RemoteUnavailable:
            return  # a worker starts without a server, too
        if other is None:
            return
        if not self._takeover:
            raise ConfigurationError(
                f"another manager is called {self.name!r} ({other}): give this one another name in [worker], or"
                " --takeover if that one is gone"
            )
        log.warning("taking the name %r over from %s", self.name, other)
