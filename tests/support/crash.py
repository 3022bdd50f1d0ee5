"""What is around a scheduler that may die anywhere: the dice, a database that fails, and the stand-ins of the shells.

`crash_play.py` plays with it.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, event

from zuul_launcher.db import engine as database
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.gearman.openbuild import BuildRequest
from zuul_launcher.gerrit.report import ReviewOutcome
from zuul_launcher.model.events import AnyEvent, BuildFinished, BuildLost, BuildProgress, BuildQueued, WorkerData
from zuul_launcher.service.payload import CancelPayload, LaunchPayload, MergePayload, ReportPayload
from zuul_launcher.sim.world import PlayedWorld

EFFECT = 20  # odds at what is done in the world, which comes up less often than commits


class Crash(BaseException):
    """The process is gone. Nothing of ours may catch it."""


@dataclass
class Dice:
    """Whether something bad happens, at each point where it can; off in the end, so that all comes to rest."""

    chance: random.Random
    say: Callable[[str], None]
    on: bool = True
    struck: Counter[str] = field(default_factory=Counter)

    def crash(self, point: str, odds: int = 110) -> None:
        if self._strikes(f"crash {point}", odds):
            raise Crash(point)

    def unavailable(self, who: str, odds: int = 40) -> None:
        if self._strikes(f"{who} is away", odds):
            raise RemoteUnavailable(f"{who} is away")

    def database_is_away(self, point: str, odds: int = 150) -> None:
        if self._strikes(f"the database is away {point}", odds):
            raise sqlite3.OperationalError("disk I/O error")

    def _strikes(self, what: str, odds: int) -> bool:
        if not self.on or self.chance.randrange(odds):
            return False
        self.struck[what] += 1
        self.say(f"** {what}")
        return True


def open_database(path: Path, dice: Dice) -> Engine:
    """The real engine; bad things happen at its commits, before they took place or after."""

    class Connection(sqlite3.Connection):
        committed = 0  # rows written up to the last commit

        def commit(self) -> None:
            writes = self.total_changes != self.committed
            if writes:
                dice.database_is_away("before a commit")
                dice.crash("before a commit")
            super().commit()
            self.committed = self.total_changes
            if writes:
                dice.crash("after a commit")
                dice.database_is_away("after a commit")

    engine = database.connect(f"sqlite:///{path}")
    engine.dispose()  # the connection that it was tried with is an ordinary one

    @event.listens_for(engine, "do_connect")
    def use_it(dialect: object, record: object, arguments: object, options: dict[str, Any]) -> None:
        options["factory"] = Connection

    @event.listens_for(engine, "connect")
    def hurry(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    return engine


class Said(NamedTuple):
    """A comment in Gerrit."""

    key: str
    message: str
    at: float
    payload: ReportPayload


@dataclass
class Outside:
    """What lives on when the scheduler dies."""

    dice: Dice
    at: float = 1000.0
    world: PlayedWorld = field(default_factory=PlayedWorld)
    merges: list[MergePayload] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)  # build -> times that it was put into the queue
    started: dict[str, WorkerData] = field(default_factory=dict)  # build -> what the worker said
    results: dict[str, BuildFinished] = field(default_factory=dict)  # kept by the Gearman server until they are noted
    missed: list[bytes] = field(default_factory=list)  # what Gerrit told nobody
    said: list[Said] = field(default_factory=list)

    def clock(self) -> float:
        return self.at

    def was_said(self, key: str, message: str, since: float | None) -> bool:
        return since is not None and any(
            (one.key, one.message) == (key, message) and one.at >= since for one in self.said
        )


class PlayedBuilds:
    """Stands for `gearman.Builds` over our own server, by its rules; one a process."""

    def __init__(self, outside: Outside, post: Callable[[AnyEvent], None]) -> None:
        self._outside = outside
        self._post = post
        self.open: dict[str, BuildRequest] = {}
        self._ended: set[str] = set()

    def launch(self, request: BuildRequest) -> None:
        self._outside.dice.crash("before a submission", EFFECT)
        if request.build in self.open or request.build in self._ended:
            return
        self.open[request.build] = request
        if request.build in self._outside.world.builds:
            self._join(request)
        elif request.resumed and request.handle is not None:
            self._lose(request)
        else:
            self._submit(request)
        self._outside.dice.crash("after a submission", EFFECT)

    def _submit(self, request: BuildRequest) -> None:
        outside = self._outside
        outside.requests[request.build] += 1
        launch = LaunchPayload(
            item=request.item,
            attempt=request.attempt,
            build=request.build,
            job=request.job,
            parameters=request.parameters,
            parameter_function=None,
            context={},
            precedence=request.precedence,
            layout="",
        )
        for each in outside.world.take(launch, outside.at):
            self._post(each)

    def _join(self, request: BuildRequest) -> None:
        """The server knows it: the same handle, what came before, and the result if there is one."""
        outside, uuid = self._outside, request.build
        if uuid in outside.results or not outside.world.builds[uuid].ended:
            self._post(BuildQueued(handle=f"H:{uuid[:8]}", **self._about(request)))
            if uuid in outside.started:
                self._post(BuildProgress(data=outside.started[uuid], **self._about(request)))
            if uuid in outside.results:
                self.finished(outside.results[uuid])
        else:
            self._lose(request)

    def _lose(self, request: BuildRequest) -> None:
        del self.open[request.build]
        self._ended.add(request.build)
        self._post(BuildLost(reason="not known any more", **self._about(request)))

    def _about(self, request: BuildRequest) -> dict[str, Any]:
        return {"at": self._outside.at, "item": request.item, "attempt": request.attempt, "build": request.build}

    def started(self, uuid: str) -> None:
        if uuid in self.open:
            self._post(BuildProgress(data=self._outside.started[uuid], **self._about(self.open[uuid])))

    def finished(self, result: BuildFinished) -> None:
        if self.open.pop(result.build, None) is not None:
            self._ended.add(result.build)
            self._post(result)

    def cancel(self, request: BuildRequest) -> Future[None]:
        self._outside.dice.crash("before a cancel", EFFECT)
        self.open.pop(request.build, None)
        self._ended.add(request.build)
        if request.build in self._outside.world.running():
            payload = CancelPayload(item=request.item, attempt=request.attempt, build=request.build)
            self._outside.world.take(payload, self._outside.at)
        self._outside.dice.crash("after a cancel", EFFECT)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def describe(self, job: str, number: int | str, manager: str, html: str) -> None:
        self._outside.dice.unavailable("the Gearman server")


class PlayedMerges:
    """Stands for `gearman.Merges`; one a process."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def merge(self, item: str, attempt: int, function: str, payload: dict[str, Any], precedence: str) -> None:
        self._outside.dice.crash("before a merge is asked for", EFFECT)
        asked = MergePayload(item=item, attempt=attempt, function=function, arguments=payload, precedence="normal")
        if asked not in self._outside.merges:  # our server is asked with a unique id, and joins them
            self._outside.merges.append(asked)
        self._outside.dice.crash("after a merge is asked for", EFFECT)


class PlayedGerrit:
    """Stands for `gerrit.report.Reporter` and the Gerrit behind it, by the rules of that file."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.payload: ReportPayload  # what is delivered just now: says for which item

    def review(
        self,
        project: str,
        change_id: str,
        message: str,
        options: Mapping[str, Any],
        *,
        labels: Iterable[str] = (),
        since: float | None = None,
    ) -> ReviewOutcome:
        outside, payload = self._outside, self.payload
        outside.dice.unavailable("Gerrit")
        outside.dice.crash("before a report", EFFECT)
        was_said = outside.was_said(payload.subject.key, message, since)
        if not was_said:
            outside.said.append(Said(payload.subject.key, message, outside.at, payload))
        merged = False
        if payload.submit or not was_said:
            merged = outside.world.report(payload, outside.at).merged
        outside.dice.crash("after a report", EFFECT)
        outside.dice.unavailable("the answer of Gerrit")
        return ReviewOutcome(merged=merged)
