"""The Gearman side of a manager: keeps one connection for each executor, true to nodes and jobs.

1. `update` says how things are to be; one thread, the keeper, makes them so. Changes within a moment are one.
2. An executor is told apart by its node and index: whatever comes and goes, there is one connection for it.
3. A node that is not wanted any more offers nothing; its connections stay until their last job is over.
4. Nobody is joined, and nothing is called back, under the lock.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from zuul_launcher.worker.definitions.job import Job
from zuul_launcher.worker.queue.claim import Claim, NoSlot, NotInTime
from zuul_launcher.worker.queue.connection import WorkerConnection
from zuul_launcher.worker.queue.executor import Assigned, Executor
from zuul_launcher.worker.queue.functions import QueueNode, build_functions, executor_id
from zuul_launcher.worker.queue.management import Describe, Management, Stop
from zuul_launcher.worker.queue.monitor import HeldSlot, Monitor
from zuul_launcher.worker.queue.outage import Outage
from zuul_launcher.worker.queue.settings import QueueSettings

LOOK_SECONDS = 0.05  # whether a connection that is to answer is still there

log = logging.getLogger("zuul_launcher.worker.queue")

_Place = tuple[str, int]  # node and index


class _Wanted(Struct, frozen=True):
    """How things are to be. `number` grows with each change."""

    number: int = 0
    nodes: Mapping[str, QueueNode] = {}
    jobs: Mapping[str, Job] = {}
    is_paused: bool = False

    @property
    def places(self) -> set[_Place]:
        return {(node.name, index) for node in self.nodes.values() for index in range(node.executors)}


class Queue:
    """All methods may be called from any thread; none but `flush`, `reserve` and `stop` waits."""

    def __init__(
        self, settings: QueueSettings, manager: str, *, assigned: Assigned, stop: Stop, describe: Describe
    ) -> None:
        """`assigned` begins a build and returns at once; `stop` and `describe` are quick, and raise UnknownBuild. All
        are called on threads of connections."""
        self._settings = settings
        self._manager = manager
        self._assigned = assigned
        self._outage = Outage()
        self._management = Management(settings, manager, self._outage, stop=stop, describe=describe)
        self._changed = threading.Condition()
        self._wanted = _Wanted()
        self._reached = 0  # number of the state that the connections have been told
        self._is_urgent = False
        self._is_stopping = False
        self._faults = 0  # of the keeper, and of connections that are no more
        self._keeper = threading.Thread(target=self._keep, name=f"queue {manager}", daemon=True)
        # Changed by the keeper only, and replaced, not changed in place:
        self._monitors: dict[str, Monitor] = {}
        self._executors: dict[_Place, Executor] = {}
        self._leaving: set[Executor] = set()  # not wanted any more
        self._idle: set[Executor] = set()  # those of them that have no job: under the lock, by their own threads
        self._ended: list[Executor] = []  # their threads are about to end

    def start(self) -> None:
        self._management.start()
        self._keeper.start()

    def update(self, nodes: Mapping[str, QueueNode], jobs: Mapping[str, Job]) -> None:
        """From now on these; the mappings are not to be changed any more."""
        self._want(lambda old: _Wanted(old.number + 1, nodes, jobs, old.is_paused))

    def pause(self) -> None:
        """Offer no builds; those that run go on, and can be stopped."""
        self._want(lambda old: _Wanted(old.number + 1, old.nodes, old.jobs, True), is_urgent=True)

    def unpause(self) -> None:
        self._want(lambda old: _Wanted(old.number + 1, old.nodes, old.jobs, False), is_urgent=True)

    def reserve(self, accepts: Callable[[QueueNode], bool], seconds: float, claim: Claim | None = None) -> HeldSlot:
        """An executor for a build by hand, of any node that is online and accepted; `slot.node` says which.

        Raises NoSlot if there is no such node, NotInTime if none of its executors gets idle in time. Whoever calls
        again gives the same `claim` each time: that keeps its place in line, at the nodes that there are by then.
        """
        if claim is None:
            with Claim() as once:
                return self.reserve(accepts, seconds, once)
        nodes = [node for node in self._wanted.nodes.values() if node.online and node.executors and accepts(node)]
        if not nodes:
            raise NoSlot("no node that is online may run it")
        end = time.monotonic() + seconds
        if not self._reach(seconds):
            raise NotInTime(f"the nodes were not ready within {seconds:g} s")
        monitors = [self._monitors[node.name] for node in nodes if node.name in self._monitors]
        return claim.wait(monitors, max(0.0, end - time.monotonic()))

    def flush(self, seconds: float, node: str | None = None) -> bool:
        """Wait until all that was asked before is sent, for this node or for all: functions, and the news of builds.

        No job that was offered before, and is not any more, comes after it. False: it was not done in time. Not to
        be called on a connection's thread.
        """
        end = time.monotonic() + seconds
        if not self._reach(seconds):
            return False
        links: list[WorkerConnection] = [one for (name, _), one in self._executors.items() if node in (None, name)]
        asked = [(link, threading.Event()) for link in [self._management, *links]]
        for link, done in asked:
            link.flush(done.set)
        return all(_await_flush(link, done, end) for link, done in asked)

    def stop(self) -> None:
        """End all connections; what is not sent is lost (`flush`). The object is of no use any more."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self._keeper.is_alive():
            self._keeper.join()
        links = [self._management, *self._executors.values(), *self._ended]
        for link in links:
            link.end()
        for link in links:
            link.stop()

    def functions(self) -> dict[str, list[str]]:
        """What the server has been told: client id -> functions."""
        links = [self._management, *self._executors.values()]
        return {link.name: sorted(link.registered) for link in links}

    def health(self) -> dict[str, Any]:
        executors = list(self._executors.values())
        return {
            "server": self._management.address,
            "connected": self._management.is_open,
            "executors": len(executors),
            "executors_connected": sum(one.is_open for one in executors),
            "executors_busy": sum(one.busy for one in list(self._monitors.values())),
            "paused": self._wanted.is_paused,
            "faults": self._faults + sum(one.faults for one in [self._management, *executors]),
        }

    # What is wanted

    def _want(self, change: Callable[[_Wanted], _Wanted], *, is_urgent: bool = False) -> None:
        with self._changed:
            self._wanted = change(self._wanted)
            self._is_urgent |= is_urgent
            self._changed.notify_all()

    def _reach(self, seconds: float) -> bool:
        """Wait until the connections have been told what was wanted when this was called."""
        with self._changed:
            number = self._wanted.number
            self._is_urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._reached >= number or self._is_stopping, seconds)

    # The keeper

    def _keep(self) -> None:
        while (wanted := self._next()) is not None:
            try:
                self._apply(wanted)
            except Exception:
                log.exception("the functions of this manager could not be made right, trying again")
                with self._changed:
                    self._faults += 1
                    self._changed.wait_for(lambda: self._is_stopping, self._settings.retry_seconds)
                continue
            with self._changed:
                self._reached = wanted.number
                self._changed.notify_all()

    def _next(self) -> _Wanted | None:
        """Wait for a change, and a moment longer for those that follow; None: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or self._wanted.number > self._reached or self._idle)
            self._changed.wait_for(lambda: self._is_stopping or self._is_urgent, self._settings.merge_seconds)
            self._is_urgent = False
            return None if self._is_stopping else self._wanted

    def _apply(self, wanted: _Wanted) -> None:
        self._size_monitors(wanted)
        places = wanted.places
        self._let_go(places)
        jobs = [] if wanted.is_paused else list(wanted.jobs.values())
        for node in wanted.nodes.values():
            functions = build_functions(node, jobs)
            for place in ((node.name, index) for index in range(node.executors)):
                if place in self._executors:
                    self._executors[place].offer(functions)
                else:
                    self._executors = {**self._executors, place: self._start(node, place[1], functions)}

    def _size_monitors(self, wanted: _Wanted) -> None:
        used = {node for node, _ in self._executors} | wanted.nodes.keys()
        monitors = {name: one for name, one in self._monitors.items() if name in used or one.busy}
        for name in monitors.keys() - wanted.nodes.keys():
            monitors[name].resize(0)
        for name, node in wanted.nodes.items():
            if name in monitors:
                monitors[name].resize(node.executors)
            else:
                monitors[name] = Monitor(name, node.executors)
        self._monitors = monitors

    def _let_go(self, places: set[_Place]) -> None:
        """Of the executors that are not wanted any more, end those without a job; the others offer nothing."""
        unwanted = {place: one for place, one in self._executors.items() if place not in places}
        with self._changed:
            idle = self._idle & self._leaving & set(unwanted.values())
            self._idle = set()
        for executor in set(unwanted.values()) - self._leaving:
            executor.offer(frozenset())
            executor.when_idle(lambda executor=executor: self._is_idle(executor))  # type: ignore[misc]
        self._leaving = set(unwanted.values()) - idle
        for executor in idle:
            executor.end()
            self._outage.ended(executor)
            self._faults += executor.faults
        self._executors = {place: one for place, one in self._executors.items() if one not in idle}
        gone = {one for one in self._ended if not one.is_alive}
        for executor in gone:
            executor.stop()
            self._outage.ended(executor)  # its thread may have said something last
        self._ended = [*(one for one in self._ended if one not in gone), *idle]

    def _is_idle(self, executor: Executor) -> None:
        with self._changed:
            self._idle.add(executor)
            self._changed.notify_all()

    def _start(self, node: QueueNode, index: int, functions: frozenset[str]) -> Executor:
        executor = Executor(
            self._settings,
            executor_id(self._manager, node, index, qualify=self._settings.qualify_ids),
            self._outage,
            functions,
            index=index,
            monitor=self._monitors[node.name],
            knows=lambda job: job in self._wanted.jobs,
            assigned=self._assigned,
        )
        executor.start()
        return executor


def _await_flush(link: WorkerConnection, done: threading.Event, end: float) -> bool:
    """A link that ended meanwhile answers no more, and has nothing more to send."""
    while not done.wait(max(0.0, min(LOOK_SECONDS, end - time.monotonic()))):
        if not link.is_alive:
            return True
        if time.monotonic() >= end:
            return False
    return True
