"""A gate that is played (`support.player`) with its builds on a real Gearman server."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from support.gearman_places import Launcher, Worker
from support.gearman_wire import DEADLINE
from support.player import Player

from zuul_launcher.gearman.openbuild import BuildRequest
from zuul_launcher.gearman.params import function_name
from zuul_launcher.model.events import BuildFinished, BuildQueued
from zuul_launcher.model.queue import Build
from zuul_launcher.service.payload import CancelPayload, LaunchPayload, Payload


@dataclass
class GearmanPlayer(Player):
    """`launcher` talks to the server; what it posts is stepped by `hear`. Merges and reports are played as ever."""

    launcher: Launcher = field(kw_only=True)
    cancels: list[Any] = field(default_factory=list)  # futures

    def _begin(self, payload: Payload) -> None:
        match payload:
            case LaunchPayload():
                self.world.take(payload, self.at)
                self.launcher.builds.launch(self._request(payload))
            case CancelPayload():
                self.world.take(payload, self.at)
                launched = self.world.builds[payload.build].payload
                self.cancels.append(self.launcher.builds.cancel(self._request(launched)))
            case _:
                super()._begin(payload)

    def _request(self, payload: LaunchPayload) -> BuildRequest:
        return BuildRequest(
            item=payload.item,
            attempt=payload.attempt,
            build=payload.build,
            job=payload.job,
            function=function_name(payload.job, payload.parameters),
            parameters=payload.parameters,
            precedence=payload.precedence,
        )

    def hear(self, kind: type[Any]) -> Any:
        """Step the next thing that the launcher says, which must be of this kind, and what follows at once."""
        event = self.launcher.expect(kind)
        if isinstance(event, BuildFinished):
            build = self.world.builds[event.build]
            self.world.builds[event.build] = replace(build, ended=True, result=event.result)
        self.send(event)
        self.settle()
        return event

    def all_queued(self) -> None:
        """Every build that is to run has arrived at the server."""
        while any(build.result is None and build.handle is None for build in self._builds()):
            self.hear(BuildQueued)

    def _builds(self) -> list[Build]:
        return [build for item in self.state.items.values() for build in item.build_set.builds.values()]

    def take(self, worker: Worker) -> str:
        """Have a worker grab the next build that it can do, which it is given at once: `JOB CHANGES`."""
        assert worker.grab()
        build = self.world.builds[worker.unique]
        return f"{build.payload.job} {build.changes}"

    def end(self, worker: Worker, **said: Any) -> None:
        """The worker ends its build: as it comes by itself, or with what is said."""
        last = said or {"result": self.world.outcome(worker.unique)}
        worker.complete(json.dumps(last).encode())
        self.hear(BuildFinished)
        self.all_queued()

    def work(self, worker: Worker) -> list[str]:
        """Have the worker do all that there is for it, one after the other: `JOB CHANGES` of each."""
        done = []
        while worker.grab():
            build = self.world.builds[worker.unique]
            done.append(f"{build.payload.job} {build.changes}")
            self.end(worker)
        return done

    def withdrawn(self) -> None:
        """All cancellations have been done."""
        for future in self.cancels:
            future.result(DEADLINE)
