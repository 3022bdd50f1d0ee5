"""What a manager shows of itself, to its pages and its commands: `pages.view.View`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zuul_launcher.worker.pages.view import BuildView, NodeView
from zuul_launcher.worker.parts import History

if TYPE_CHECKING:
    from zuul_launcher.worker.app import Worker


class Overview:
    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    @property
    def manager(self) -> str:
        return self._worker.name

    @property
    def root_url(self) -> str | None:
        return self._worker.options.url

    @property
    def history(self) -> History:
        return self._worker.history

    @property
    def folder(self) -> Path:
        return self._worker.folder / "builds"

    def running(self) -> Sequence[BuildView]:
        return [
            BuildView(
                job=build.record.job,
                number=build.record.number,
                node=build.record.node,
                state="aborting" if build.is_aborting else "queued" if build.state == "queued" else "running",
                step=build.state,
            )
            for build in self._worker.builds.running()
        ]

    def nodes(self) -> Sequence[NodeView]:
        busy = Counter(build.record.node for build in self._worker.builds.running())
        return [
            NodeView(
                name=machine.name,
                labels=tuple(sorted(machine.labels)),
                executors=machine.definition.executors,
                busy=busy[machine.name],
                state=machine.state,
                reason=machine.reason,
                exclusive=machine.definition.exclusive,
            )
            for machine in self._worker.fleet.machines.values()
        ]

    def functions(self) -> Mapping[str, Sequence[str]]:
        return self._worker.queue.functions()

    def description(self, job: str) -> str:
        known = self._worker.definitions.jobs.get(job)
        return known.description if known else ""

    def health(self) -> Mapping[str, Any]:
        """`status`: "ok", else the first that is wrong. `problems`: files that were not taken, and jobs that are not
        registered, and why. `unserved`: jobs that none of the nodes may run."""
        queue = self._worker.queue.health()
        nodes = {machine.name: machine.state for machine in self._worker.fleet.machines.values()}
        wrong = [] if queue["connected"] else [f"no connection to the Gearman server at {queue['server']}"]
        wrong += [f"node {name} is {state}" for name, state in nodes.items() if state in ("disconnected", "unhealthy")]
        return {
            "status": wrong[0] if wrong else "ok",
            "manager": self._worker.name,
            "queue": queue,
            "nodes": nodes,
            "problems": [*self._worker.refused, *self._worker.definitions.problems],
            "unserved": list(self._worker.unserved),
            "faults": queue["faults"] + self._worker.faults + self._worker.fleet.faults + self._worker.builds.faults,
        }
