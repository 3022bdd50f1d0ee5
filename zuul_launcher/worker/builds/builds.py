"""All builds of a manager: takes assignments, and answers who asks for one.

1. The same unique id is the same build: one that runs gets another listener, one that has ended within the memory is
   answered with its stored result. Everything else is a new build with a new number.
2. A number is stored before anybody hears of it, a result before its last packets leave.
3. However a build ends: its node goes offline if that was asked for, the last packets leave, the slot is free.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct, structs

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.builds import news
from zuul_launcher.worker.builds.build import Build, State
from zuul_launcher.worker.builds.byhand import ByHand, HandDelivery
from zuul_launcher.worker.builds.console import Console
from zuul_launcher.worker.builds.environment import OFFLINE
from zuul_launcher.worker.builds.limits import Identity, Limits
from zuul_launcher.worker.builds.parameters import BadPayload, Parameters, is_true, read
from zuul_launcher.worker.builds.play import Play, Played, Surroundings
from zuul_launcher.worker.builds.trigger import Submit
from zuul_launcher.worker.builds.turns import Turns
from zuul_launcher.worker.builds.watch import Watch
from zuul_launcher.worker.definitions.job import Definitions, Job
from zuul_launcher.worker.parts import (
    Assignment,
    BuildRecord,
    Delivery,
    History,
    Node,
    NodeLost,
    Slot,
    StopState,
    UnknownBuild,
)
from zuul_launcher.worker.places import BuildFolder, build_folder

log = logging.getLogger("zuul_launcher.worker.builds")


class RunningBuild(Struct, frozen=True, kw_only=True):
    """A build that has a number and no end."""

    record: BuildRecord
    state: State
    executor: int
    is_aborting: bool


class Builds:
    """From any thread. `nodes(name)` raises NodeLost for one that is gone."""

    def __init__(
        self,
        *,
        manager: Identity,
        folder: Path,
        history: History,
        nodes: Callable[[str], Node],
        definitions: Callable[[], Definitions],
        submit: Submit,
        limits: Limits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._manager, self._folder, self._history, self._nodes = manager, folder, history, nodes
        self._definitions, self._limits, self._clock = definitions, limits, clock
        self._around = Surroundings(manager=manager, limits=limits, submit=submit, turns=Turns())
        self._change = threading.Condition()
        self._builds: dict[tuple[str, str], Build] = {}  # job and unique id
        self._is_ending = False
        self._watch = Watch(limits, self._current, time.monotonic)

    # From the queue

    def assigned(self, assignment: Assignment, slot: Slot, delivery: Delivery) -> None:
        """Returns at once. From here on slot and delivery are ours to end."""
        try:
            parameters = read(assignment.payload)
        except BadPayload as error:
            delivery.exception(str(error))
            slot.release()
            return
        if self._is_node_to_go(assignment.job, parameters):
            slot.keep_others_out()
        self._take(assignment, parameters, slot, delivery)

    def _is_node_to_go(self, name: str, parameters: Parameters) -> bool:
        job = self._definitions().jobs.get(name)
        return is_true({**({} if job is None else job.params), **parameters.texts}, OFFLINE)

    def _take(self, assignment: Assignment, parameters: Parameters, slot: Slot, delivery: Delivery) -> Build:
        unique = assignment.unique or uuid4().hex
        with self._change:
            build = self._builds.get((assignment.job, unique))
            is_new = build is None
            if build is None:
                build = self._builds[assignment.job, unique] = Build(assignment, parameters, unique, self._clock)
                build.attach(delivery, slot)  # before anybody else: it keeps this slot, which is one of its node
        if not is_new:
            build.attach(delivery, slot)
            log.info("%s: the build %s is adopted: it runs already", assignment.job, unique)
            return build
        if not assignment.unique:
            log.info("%s: the client gave no id: this build is %s", assignment.job, unique)
        if self._is_ending:
            build.ask("shutdown")
        try:
            threading.Thread(target=self._run, args=(build,), name=f"build of {assignment.job}", daemon=True).start()
        except RuntimeError as error:  # the limit of threads is reached
            reason = f"the manager cannot begin a build now: {error}"
            build.conclude(lambda delivery: delivery.exception(reason))
            self._forget(build)
        return build

    def _forget(self, build: Build) -> None:
        with self._change:
            del self._builds[build.assignment.job, build.unique]
            self._change.notify_all()

    def stop(self, name: str, number: str, uuid: str | None = None) -> StopState:
        """Returns at once, with what was met. `uuid`: instead of name and number. Raises UnknownBuild."""
        build = self._running(name, number, uuid)
        if build is not None:
            return build.ask("stopped")
        found = self._history.find_unique(uuid, 0.0) if uuid else self._history.find(name, _number(name, number))
        if found is None:
            raise UnknownBuild(f"there is no build {uuid or f'{number} of {name}'}")
        return "finished"

    def describe(self, name: str, number: str, html: str) -> str:
        """A sentence for the client. Raises UnknownBuild."""
        self._history.describe(name, _number(name, number), html)
        return f"The description of build {number} of {name} is {'set' if html else 'cleared'}."

    # From people

    def start(self, job: str, parameters: Mapping[str, Any], node: str, slot: Slot, worker: str) -> ByHand:
        """A build by hand, in a slot that was reserved for it. RequestError: there is no such job."""
        if job not in self._definitions().jobs:
            slot.release()
            raise RequestError(f"there is no job {job!r}")
        payload = json.dumps(dict(parameters)).encode()
        assignment = Assignment(job=job, unique=uuid4().hex, payload=payload, worker=worker, node=node)
        delivery = HandDelivery()
        return ByHand(self._take(assignment, read(payload), slot, delivery), delivery)

    @property
    def faults(self) -> int:
        """Of ours, of what looks after builds; one of a build itself is an end of that build."""
        return self._watch.faults

    def running(self) -> Sequence[RunningBuild]:
        return [
            RunningBuild(
                record=build.record,
                state=build.state,
                executor=build.executor,
                is_aborting=build.steps.reason is not None,
            )
            for build in self._current()
            if build.record is not None and build.state != "over"
        ]

    # The end of the manager

    def abort_all(self) -> None:
        """Builds end now, without a result: they are run elsewhere. Returns at once; see `wait`."""
        with self._change:
            self._is_ending = True
        for build in self._current():
            build.ask("shutdown")

    def wait(self, seconds: float | None = None) -> bool:
        """Until no build is left; False: not within that time."""
        with self._change:
            return self._change.wait_for(lambda: not self._builds, seconds)

    def close(self) -> None:
        """When no build is left."""
        self._watch.close()

    # One build

    def _current(self) -> list[Build]:
        with self._change:
            return list(self._builds.values())

    def _running(self, name: str, number: str, uuid: str | None) -> Build | None:
        for build in self._current():
            record = build.record
            if build.unique == uuid if uuid else record and record.job == name and str(record.number) == str(number):
                return build
        return None

    def _run(self, build: Build) -> None:
        try:
            self._carry_out(build)
        except Exception as error:
            log.exception("build %s of %s failed by a fault of ours", build.unique, build.assignment.job)
            reason = f"a fault of the manager: {type(error).__name__}: {error}"
            build.conclude(lambda delivery: delivery.exception(reason))
        finally:
            self._forget(build)

    def _carry_out(self, build: Build) -> None:
        assignment = build.assignment
        stored = self._stored(assignment)
        if stored is not None:
            log.info("%s: build %d has ended already: its result is sent again", stored.job, stored.number)
            build.conclude(lambda delivery: delivery.complete(stored.final))
            return
        definitions = self._definitions()
        job = definitions.jobs.get(assignment.job)
        if job is None:
            build.conclude(lambda delivery: delivery.fail())
            return
        self._begin(build)
        played = Played()
        try:
            played = self._play(build, job, definitions)
        finally:
            self._end(build, played, is_true({**job.params, **build.parameters.texts}, OFFLINE))

    def _stored(self, assignment: Assignment) -> BuildRecord | None:
        if not assignment.unique:
            return None
        found = self._history.find_unique(assignment.unique, self._clock() - self._limits.result_memory)
        return found if found is not None and found.job == assignment.job else None

    def _begin(self, build: Build) -> None:
        assignment = build.assignment
        record = self._history.begin(
            BuildRecord(
                job=assignment.job,
                number=0,
                unique=build.unique,
                node=assignment.node,
                worker=assignment.worker,
                started_at=self._clock(),
                parameters=build.parameters.values,
            )
        )
        node, labels = self._node(assignment.node)
        data = news.started(self._manager, record.job, record.number, assignment.worker, node, labels)
        build.announce(data, record)
        log.info("build %d of %s begins on %s (%s)", record.number, record.job, node or "no node", record.unique)

    def _play(self, build: Build, job: Job, definitions: Definitions) -> Played:
        assert build.record is not None, "it has begun"
        folder: BuildFolder = build_folder(self._folder, job.name, build.record.number)
        console = Console(folder, self._limits, self._clock)
        build.open(console)
        try:
            node = self._nodes(build.assignment.node)
            sent = build.parameters.texts.get("ZUUL_UUID", build.unique)
            if sent != build.unique:
                console.note(f"[ZUUL_UUID is {sent}, but the id of this build is {build.unique}]")
            return Play(build, job, definitions, node, console, folder, self._around).run()
        except NodeLost as error:
            console.note(f"[no result: {error}]")
            return Played()
        except Exception as error:
            console.note(f"[no result, by a fault of the manager: {type(error).__name__}: {error}]")
            raise
        finally:
            console.close()

    def _end(self, build: Build, played: Played, is_node_to_go: bool) -> None:
        record, assignment = build.record, build.assignment
        assert record is not None, "it has begun"
        node, labels = self._node(assignment.node)
        if is_node_to_go:
            self._take_offline(record)
        final = news.ended(self._manager, record.job, record.number, assignment.worker, node, labels, played.result)
        self._store(
            structs.replace(record, finished_at=self._clock(), result=played.result, final=final, tests=played.tests)
        )
        log.info("build %d of %s has ended: %s", record.number, record.job, played.result or "no result")
        build.conclude(lambda delivery: delivery.complete(final))

    def _node(self, name: str) -> tuple[str, frozenset[str]]:
        """What is said of a node; nothing of one that is gone."""
        try:
            node = self._nodes(name)
        except NodeLost:
            return "", frozenset()
        return node.name, node.labels

    def _take_offline(self, record: BuildRecord) -> None:
        try:
            self._nodes(record.node).take_offline(f"asked by Gearman: build {record.number} of {record.job}")
        except Exception:
            log.exception("the node %s was not taken offline", record.node)

    def _store(self, record: BuildRecord) -> None:
        """The result is told all the same if it cannot be stored: a client waits for it."""
        for pause in (*self._limits.store_pauses, None):
            try:
                self._history.finish(record)
                return
            except Exception:
                log.exception("the end of build %d of %s was not stored", record.number, record.job)
            if pause is not None:
                time.sleep(pause)


def _number(name: str, number: str) -> int:
    if not str(number).isdecimal():
        raise UnknownBuild(f"{number!r} is no number of a build of {name}")
    return int(number)
