"""How long the gate thinks: CPU milliseconds for a step, beside those for encoding the state once. Usage: gate.py

360 changes of 20 jobs in one dependent queue without a window, and 100 in queues of their own.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import msgspec
from support.player import APPROVAL, EPOCH

from zuul_launcher.gate.step import step
from zuul_launcher.model.actions import AnyAction, Launch, Merge
from zuul_launcher.model.events import AnyEvent, BuildFinished, BuildProgress, LayoutLoaded, Merged, WorkerData
from zuul_launcher.model.layout import GerritFilter, Job, JobNode, Layout, Pipeline, Project, Reporter, Window
from zuul_launcher.model.queue import State
from zuul_launcher.sim.world import PlayedWorld

GATED, CHECKED, JOBS = 360, 100, 20
TARGET = 20.0  # milliseconds, for a plain step
REPORT = (Reporter(connection="gerrit", options={"verified": 2}),)


def layout() -> Layout:
    names = [f"job-{number}" for number in range(JOBS)]
    nodes = (JobNode(names[0], tuple(map(JobNode, names[1:5]))), *map(JobNode, names[5:]))

    def hears(event: str) -> tuple[GerritFilter, ...]:
        return (GerritFilter(connection="gerrit", events=(event,)),)

    gate = Pipeline(
        name="gate", kind="dependent", triggers=hears("comment-added"), success=REPORT, failure=REPORT,
        window=Window(start=0), shared_queues={"A": "A"},
    )  # fmt: skip
    check = Pipeline(name="check", kind="independent", triggers=hears("patchset-created"), success=REPORT)
    return Layout(
        pipelines={"gate": gate, "check": check},
        jobs={name: Job(name=name, branches=("^(?!old).*$",)) for name in names},
        projects={"A": Project(name="A", pipelines={"gate": nodes, "check": nodes})},
    )


def filled(rules: Layout) -> tuple[State, dict[str, list[Launch]]]:
    """All changes in, merged, and their first builds launched; item -> its launches."""
    world, state = PlayedWorld(), State(epoch=EPOCH)
    events: list[AnyEvent] = [LayoutLoaded(at=1.0, layout="one")]
    for number in range(GATED + CHECKED):
        change = world.upload("A")
        type_ = "comment-added" if number < GATED else "patchset-created"
        events.append(world.tell(change.number, type_, 2.0, votes=APPROVAL))
    launches: dict[str, list[Launch]] = {}
    while events:
        for action in step(state, rules, events.pop(0)):
            if isinstance(action, Merge):
                events.append(Merged(at=3.0, item=action.item, attempt=action.attempt, commit="c", ok=True))
            elif isinstance(action, Launch):
                launches.setdefault(action.item, []).append(action)
    return state, launches


def milliseconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1000


def ended(launch: Launch, result: str) -> BuildFinished:
    return BuildFinished(at=9.0, item=launch.item, attempt=launch.attempt, build=launch.build, result=result)


def main() -> None:
    rules = layout()
    state, launches = filled(rules)
    queue = next(queue for queue in state.pipelines["gate"].queues if queue.items)
    middle, head = queue.items[GATED // 2], queue.items[0]
    encode = min(milliseconds(lambda: msgspec.json.encode(state)) for _ in range(5))
    actions: list[AnyAction] = []

    def stepped(event: AnyEvent) -> float:
        actions.clear()
        return milliseconds(lambda: actions.extend(step(state, rules, event)))

    some = launches[middle][-1]
    said = BuildProgress(at=8.0, item=some.item, attempt=some.attempt, build=some.build, data=WorkerData(number=1))
    progress = min(stepped(said) for _ in range(5))
    plain = min(stepped(ended(launch, "SUCCESS")) for launch in launches[middle][1:6])
    reset = stepped(ended(launches[head][-1], "FAILURE"))
    print(f"{len(state.items)} items, {sum(map(len, launches.values())):,} builds; encoding the state {encode:.1f} ms")
    for name, spent in (("BuildProgress", progress), ("BuildFinished", plain), ("failure at the head", reset)):
        print(f"{name:20} {spent:8.1f} ms  {spent / encode:6.1f} x encoding")
    print(f"the failure takes {len(actions):,} actions")
    sys.exit(plain > TARGET)


if __name__ == "__main__":
    main()
