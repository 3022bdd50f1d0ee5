"""Plays the gate against the stand-in world, one event at a time, and checks what must always hold.

The invariants are those of style.md §3 and field.md §4.2 that the pure core can break.
"""

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from zuul_launcher.gate.settle import NEEDED_IS_FAILING
from zuul_launcher.gate.step import step
from zuul_launcher.model.actions import AnyAction, Cancel, Close, Launch, Report
from zuul_launcher.model.events import AnyEvent, LayoutLoaded
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State
from zuul_launcher.model.reading import chain
from zuul_launcher.service.payload import PAYLOADS, MergePayload, Payload, ReportPayload, World, rows
from zuul_launcher.settings import Zuul
from zuul_launcher.sim.world import PlayedWorld

WORLD = World(zuul=Zuul(), urls={"gerrit": lambda project: f"ssh://gerrit/{project}"}, parameters=lambda uuid: {})
EPOCH = uuid.UUID(int=7).hex


def new_state() -> State:
    return State(epoch=EPOCH)


@dataclass
class Player:
    layout: Layout
    state: State = field(default_factory=new_state)
    world: PlayedWorld = field(default_factory=PlayedWorld)
    at: float = 1000.0
    merges: list[MergePayload] = field(default_factory=list)
    reports: list[ReportPayload] = field(default_factory=list)
    log: list[tuple[AnyEvent, Layout, list[AnyAction]]] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)  # build -> results that came in time, cancels
    launched: Counter[str] = field(default_factory=Counter)
    told: Counter[tuple[str, str]] = field(default_factory=Counter)  # (item, kind of verdict)
    entered: set[str] = field(default_factory=set)
    left: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.load(self.layout)

    def load(self, layout: Layout) -> None:
        self.layout = layout
        self.send(LayoutLoaded(at=self.tick(), layout="of the day"))

    def tick(self) -> float:
        self.at += 1.0
        return self.at

    def send(self, event: AnyEvent) -> list[AnyAction]:
        """One step, with everything that it asks for begun."""
        open_before = self.open_builds()
        actions = step(self.state, self.layout, event)
        self.log.append((event, self.layout, actions))
        self._count(actions, open_before)
        self.entered |= set(self.state.items)
        for row in rows(actions, self.state, self.layout, WORLD):
            self._begin(msgspec.json.decode(row.payload, type=PAYLOADS[row.kind]))
        self.check()
        return actions

    def _begin(self, payload: Payload) -> None:
        if isinstance(payload, MergePayload):
            self.merges.append(payload)
        elif isinstance(payload, ReportPayload):
            self.reports.append(payload)
        for event in self.world.take(payload, self.at):
            self.send(event)

    def _count(self, actions: Iterable[AnyAction], open_before: set[str]) -> None:
        cancelled = {action.build for action in actions if isinstance(action, Cancel)}
        launched = [action.build for action in actions if isinstance(action, Launch)]
        self.launched.update(launched)
        self.ended.update(cancelled)
        self.ended.update((open_before | set(launched)) - self.open_builds() - cancelled)
        for action in actions:
            if isinstance(action, Report):
                self.told[action.item, "start" if action.verdict == "start" else "result"] += 1
            elif isinstance(action, Close):
                self.left[action.item] += 1

    def open_builds(self) -> set[str]:
        return {
            build.uuid
            for item in self.state.items.values()
            for build in item.build_set.builds.values()
            if build.result is None
        }

    # What happens next

    def merge(self, index: int = 0) -> None:
        self.send(self.world.merge(self.merges.pop(index), self.tick()))

    def report(self, index: int = 0) -> None:
        self.send(self.world.report(self.reports.pop(index), self.tick()))

    def finish(self, uuid: str, result: str | None = "SUCCESS") -> None:
        self.send(self.world.finish(uuid, result, self.tick()))

    def drain(self) -> None:
        """Let everything end well that is under way."""
        for _ in range(10_000):
            if self.reports:
                self.report()
            elif self.merges:
                self.merge()
            elif running := self.world.running():
                self.finish(running[0])
            else:
                return
        raise AssertionError("the gate does not come to rest")

    # What must hold

    def check(self) -> None:
        self.what_lands_is_what_was_tested()
        self.nothing_is_tested_behind_a_failing_item()
        self.every_item_stands_where_it_should()
        self.builds_end_once()
        self.mutexes_are_held_by_open_builds()
        self.items_are_told_once()

    def what_lands_is_what_was_tested(self) -> None:
        for landing in self.world.landings:
            assert landing.tested is not None, f"{landing.key} landed without a test"
            for project, tested in landing.tested.items():
                before = landing.before.get(project, frozenset())
                after = before | {landing.key} if project == landing.project else before
                assert tested == after, f"{landing.key}: {project} was tested as {tested} and landed on {before}"

    def nothing_is_tested_behind_a_failing_item(self) -> None:
        for item in self.state.items.values():
            if item.build_set.merge and item.reporting is None:
                for ahead in chain(self.state, item):
                    assert not ahead.build_set.failing_reasons or ahead.reporting == "success", (
                        f"{item.id} is tested behind {ahead.id}, which fails"
                    )

    def every_item_stands_where_it_should(self) -> None:
        """On top of the nearest item ahead that is not failing; and each item in one queue, once."""
        seen: list[str] = []
        for name, pipeline in self.state.pipelines.items():
            for queue in pipeline.queues:
                seen += queue.items
                if self.layout.pipelines[name].kind == "dependent":
                    self._stands_on_nearest(queue.items)
        assert len(seen) == len(set(seen))
        assert set(seen) <= set(self.state.items)
        for name in set(self.state.items) - set(seen):
            assert self.state.items[name].reporting is not None

    def _stands_on_nearest(self, names: list[str]) -> None:
        nearest: str | None = None
        for name in names:
            item = self.state.items[name]
            if NEEDED_IS_FAILING in item.build_set.failing_reasons:
                assert not item.build_set.merge  # it keeps its place, and waits for what becomes of the needed one
            elif item.reporting is None:
                assert item.ahead == nearest, f"{name} is tested on {item.ahead}, not on {nearest}: {self.brief(names)}"
                nearest = nearest if item.build_set.failing_reasons else name
            elif item.reporting == "success":
                nearest = name

    def brief(self, names: list[str]) -> str:
        return "; ".join(
            f"{item.id} on {item.ahead} {item.reporting} {item.build_set.merge} {item.build_set.failing_reasons}"
            f" { ({job: build.result for job, build in item.build_set.builds.items()}) }"
            for item in map(self.state.items.__getitem__, names)
        )

    def builds_end_once(self) -> None:
        assert all(count == 1 for count in self.launched.values())
        assert all(count == 1 for count in self.ended.values()), self.ended.most_common(1)
        assert set(self.ended) <= set(self.launched)
        assert self.open_builds() == set(self.launched) - set(self.ended)

    def mutexes_are_held_by_open_builds(self) -> None:
        assert set(self.state.mutexes.values()) <= self.open_builds()
        holders = [
            build.uuid
            for item in self.state.items.values()
            for build in item.build_set.builds.values()
            if build.result is None and build.job == "last"
        ]
        assert len(holders) <= 1

    def items_are_told_once(self) -> None:
        assert all(count == 1 for count in self.told.values())
        assert all(count == 1 for count in self.left.values())

    def check_the_end(self) -> None:
        """After `drain`: nothing is left over, and the log gives the same actions again."""
        self.check()
        assert not any(self.state.items.values()), self.state.items
        assert not self.state.subjects
        assert not self.state.mutexes
        assert set(self.ended) == set(self.launched)
        assert set(self.left) == self.entered
        again = new_state()
        for event, layout, actions in self.log:
            assert step(again, layout, event) == actions
        assert again == self.state

    def encoded_is_equal(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.state), type=State) == self.state
