"""What a running manager can be told over its socket (worker-and-remoting A15): name -> what is done."""

import codecs
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.control import Command, Tell
from zuul_launcher.worker.overview import Overview
from zuul_launcher.worker.parts import UnknownBuild
from zuul_launcher.worker.queue.claim import Claim, NotInTime
from zuul_launcher.worker.queue.functions import QueueNode, may_run
from zuul_launcher.worker.queue.monitor import HeldSlot

if TYPE_CHECKING:
    from zuul_launcher.worker.app import Worker

SLOT_SECONDS = 3600.0  # that a build by hand waits for an executor
WAIT_SECONDS = 1.0  # of waiting, until it is told that it waits, and looked whether anybody listens
SHOWN = 100  # builds in a list


def commands(worker: "Worker") -> Mapping[str, Command]:
    return _Commands(worker).by_name()


class _Commands:
    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._overview = Overview(worker)

    def by_name(self) -> Mapping[str, Command]:
        return {
            "pause": lambda _, __: self._worker.queue.pause(),
            "unpause": lambda _, __: self._worker.queue.unpause(),
            "graceful": lambda _, __: self._later(self._worker.graceful),
            "stop": lambda _, __: self._later(self._worker.stop),
            "release": lambda _, __: self._worker.fleet.release(),
            "reload": lambda _, __: self._reload(),
            "verbose": lambda arguments, _: self._verbose(bool(arguments["on"])),
            "node": lambda arguments, _: self._node(**arguments),
            "nodes": lambda _, __: [msgspec.to_builtins(node) for node in self._overview.nodes()],
            "builds": lambda arguments, _: self._builds(**arguments),
            "functions": lambda _, __: self._overview.functions(),
            "health": lambda _, __: self._overview.health(),
            "abort": lambda arguments, _: self._abort(**arguments),
            "run": lambda arguments, tell: self._run(tell, **arguments),
        }

    def _later(self, end: Any) -> None:
        """It is answered before this manager is gone."""
        threading.Thread(target=end, name="end", daemon=True).start()

    def _reload(self) -> dict[str, Any]:
        self._worker.reload()
        definitions = self._worker.definitions
        return {
            "jobs": len(definitions.jobs),
            "nodes": len(definitions.nodes),
            "problems": list(definitions.problems),
        }

    def _verbose(self, on: bool) -> None:
        logging.getLogger("zuul_launcher").setLevel(logging.DEBUG if on else logging.INFO)

    def _node(self, action: str, name: str, reason: str = "") -> None:
        machine = self._worker.fleet.node(name)
        if action == "offline":
            machine.take_offline(reason or "by hand")
        elif action == "online":
            machine.bring_online()
        elif action == "delete":
            self._worker.fleet.delete(name)
        else:
            raise RequestError(f"a node is taken offline, brought online or deleted, not {action!r}")

    def _builds(self, job: str | None = None, limit: int = SHOWN) -> list[dict[str, Any]]:
        running = {(one.job, one.number): one.state for one in self._overview.running()}
        return [
            {
                "job": record.job,
                "number": record.number,
                "state": running.get((record.job, record.number), "over"),
                "result": record.result,
                "node": record.node,
                "started_at": record.started_at,
                "finished_at": record.finished_at,
                "unique": record.unique,
            }
            for record in self._worker.history.recent(job, limit=limit)
        ]

    def _abort(self, job: str, number: int) -> str:
        try:
            return self._worker.builds.stop(job, str(number))
        except UnknownBuild as error:
            raise RequestError(str(error)) from error

    def _slot(self, tell: Tell, accepts: Callable[[QueueNode], bool]) -> HeldSlot:
        """Raises what `tell` does once nobody listens any more: no build is begun then."""
        end = time.monotonic() + SLOT_SECONDS
        with Claim() as claim:
            while True:
                try:
                    return self._worker.queue.reserve(accepts, WAIT_SECONDS, claim)
                except NotInTime:
                    if time.monotonic() > end:
                        raise
                tell({"waits": True})

    def _run(self, tell: Tell, job: str, parameters: Mapping[str, Any], node: str | None = None) -> dict[str, Any]:
        """News: {"waits": true} each second until an executor is free, {"number": N}, {"console": text} as it grows.

        Whoever asked may leave: a build that has begun goes on, one that waits is none.
        """
        known = self._worker.definitions.jobs.get(job)
        if known is None:
            raise RequestError(f"there is no job {job!r}")

        def accepts(one: QueueNode) -> bool:
            return (node is None or one.name == node) and may_run(one, known)

        if not isinstance(parameters, Mapping):
            raise RequestError("the parameters of a build are names and values")
        slot = self._slot(tell, accepts)
        build = self._worker.builds.start(job, parameters, slot.node, slot, f"{self._worker.name}_by-hand")
        number = build.number()
        tell({"number": number})
        for text in codecs.iterdecode(build.follow(), "utf-8", "replace"):
            tell({"console": text})
        return {"job": job, "number": number, "result": build.result()}
