"""One build by hand, without a running manager: the same code, and no Gearman server."""

import codecs
import time
from collections.abc import Callable, Mapping

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.app import Worker
from zuul_launcher.worker.control import Tell
from zuul_launcher.worker.nodes import Machine
from zuul_launcher.worker.queue.functions import may_run

NODE_SECONDS = 60.0  # for a node to be connected


class OnlySlot:
    """`parts.Slot` of a node that nobody else uses."""

    index = 0

    def keep_others_out(self) -> None:
        """There are none."""

    def release(self) -> None:
        """Nobody waits for it."""


def run_alone(
    worker: Worker, job: str, parameters: Mapping[str, str], node: str | None, tell: Tell
) -> tuple[int, str | None]:
    """Number and result. `worker` has not been started. News as `commands` has them. RequestError: it cannot run."""
    known = worker.definitions.jobs.get(job)
    if known is None:
        raise RequestError(f"there is no job {job!r}")
    worker.fleet.renew(worker.definitions.nodes)
    nodes = worker.fleet.queue_nodes()
    fit = [
        worker.fleet.machines[name]
        for name, one in nodes.items()
        if node in (None, name) and one.executors and may_run(one, known)
    ]
    if not fit:
        raise RequestError(f"no node may run {job!r}" if node is None else f"node {node!r} may not run {job!r}")
    machine = _first(fit, lambda one: one.takes_builds)
    build = worker.builds.start(job, parameters, machine.name, OnlySlot(), f"{worker.name}_by-hand")
    number = build.number()
    tell({"number": number})
    try:
        for text in codecs.iterdecode(build.follow(), "utf-8", "replace"):
            tell({"console": text})
    except BaseException:
        build.stop()
        raise
    return number, build.result()


def _first(machines: list[Machine], is_fit: Callable[[Machine], bool]) -> Machine:
    end = time.monotonic() + NODE_SECONDS
    while time.monotonic() < end:
        for machine in machines:
            if is_fit(machine):
                return machine
        time.sleep(0.05)
    raise RequestError("; ".join(f"node {one.name} is {one.state}: {one.reason}" for one in machines))
