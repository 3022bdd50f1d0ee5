"""Plays the gate against the stand-in world, one event at a time, and checks what must always hold.

The invariants are those of style.md §3 and field.md §4.2 that the pure core can break.
"""

import re
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import msgspec

from zuul_launcher.gate.settle import NEEDED_IS_FAILING
from zuul_launcher.gate.step import step
from zuul_launcher.model.actions import AnyAction, Cancel, Close, Ignore, Launch, Merge, Report
from zuul_launcher.model.change import Approval
from zuul_launcher.model.events import AnyEvent, LayoutLoaded
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import Item, State
from zuul_launcher.model.reading import chain, queue_holding
from zuul_launcher.service.payload import PAYLOADS, MergePayload, Payload, ReportPayload, World, rows
from zuul_launcher.settings import Zuul
from zuul_launcher.sim.world import PlayedChange, PlayedWorld

WORLD = World(zuul=Zuul(), urls={"gerrit": lambda project: f"ssh://gerrit/{project}"}, parameters=lambda uuid: {})
APPROVAL = (Approval(label="Approved", value=1),)
PATIENCE = 10_000  # steps
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
        open_before, queues_before = self.open_builds(), self._queues()
        actions = step(self.state, self.layout, event)
        self.log.append((event, self.layout, actions))
        self._count(actions, open_before)
        self.order_is_kept(queues_before)
        for action in actions:
            self.only_the_window_works(action)
            self.only_heads_that_passed_succeed(action)
        self.entered |= set(self.state.items)
        for row in rows(actions, self.at, self.state, self.layout, WORLD):
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

    def _queues(self) -> list[list[str]]:
        return [list(queue.items) for pipeline in self.state.pipelines.values() for queue in pipeline.queues]

    # What happens next

    def merge(self, index: int = 0) -> None:
        self.send(self.world.merge(self.merges.pop(index), self.tick()))

    def report(self, index: int = 0) -> None:
        self.send(self.world.report(self.reports.pop(index), self.tick()))

    def finish(self, uuid: str, result: str | None = "SUCCESS") -> None:
        self.send(self.world.finish(uuid, result, self.tick()))

    def settle(self) -> None:
        """Let mergers and Gerrit do all that they are asked for. Builds go on."""
        for _ in range(PATIENCE):
            if self.reports:
                self.report()
            elif self.merges:
                self.merge()
            else:
                return
        raise AssertionError("the gate does not come to rest")

    def drain(self) -> None:
        """Let everything end that is under way, as it ends by itself."""
        for _ in range(PATIENCE):
            self.settle()
            if not (running := self.world.running()):
                return
            self.finish(running[0], self.world.outcome(running[0]))
        raise AssertionError("the gate does not come to rest")

    def release(self, jobs: str, on: str | None = None, result: str | None = "") -> None:
        """End the builds that run now, of the jobs that match (and on these changes), and what follows at once.

        result: how, if not as it comes by itself.
        """
        for name in self.world.running():
            build = self.world.builds[name]
            if not build.ended and re.fullmatch(jobs, build.payload.job) and on in (None, build.changes):
                self.finish(name, self.world.outcome(name) if result == "" else result)
        self.settle()

    # What people do

    def upload(self, project: str, **facts: Any) -> PlayedChange:
        """A change that nobody has said anything about yet; Gerrit's event of it is not sent."""
        return self.world.upload(project, **{"approved": False} | facts)

    def say(self, type_: str, change: PlayedChange, **more: Any) -> None:
        self.send(self.world.tell(change.number, type_, self.tick(), **more))
        self.settle()

    def approve(self, *changes: PlayedChange) -> None:
        """One after the other, each with the event that the gate waits for."""
        for change in changes:
            self.world.update(change.number, approved=True)
            self.say("comment-added", change, votes=APPROVAL)

    def propose(self, *changes: PlayedChange) -> None:
        for change in changes:
            self.say("patchset-created", change)

    def upload_again(self, change: PlayedChange, **facts: Any) -> PlayedChange:
        newer = self.world.update(change.number, patchset=change.patchset + 1, **facts)
        self.say("patchset-created", newer)
        return newer

    def abandon(self, change: PlayedChange) -> None:
        self.say("change-abandoned", self.world.update(change.number, status="ABANDONED"))

    # What came of it

    def running(self) -> list[str]:
        """`JOB CHANGES` of the builds that run, oldest first."""
        return [f"{build.payload.job} {build.changes}" for build in self.world.builds.values() if not build.ended]

    def count(self, *, cancelled: bool | None = None) -> int:
        """Builds that were ever launched."""
        return sum(cancelled in (None, build.cancelled) for build in self.world.builds.values())

    def built(self, job: str) -> list[str]:
        """The changes of each build of this job that ran to its end, in the order of their launch."""
        return [
            build.changes
            for build in self.world.builds.values()
            if build.payload.job == job and build.ended and not build.cancelled
        ]

    def landed(self) -> list[str]:
        return [change.number for change in self.world.landed]

    def told_of(self, change: PlayedChange) -> list[str]:
        """The verdicts that this patch set was told."""
        return [said.verdict for said in self.world.comments if said.subject.key == change.key]

    def item_of(self, change: PlayedChange) -> Item:
        (item,) = [item for item in self.state.items.values() if item.subject == change.key and item.live]
        return item

    def queued(self, pipeline: str = "gate") -> list[list[str]]:
        """Each queue: `N,P` of its items; in brackets those that are not live."""
        items = [[self.state.items[name] for name in queue.items] for queue in self.state.pipelines[pipeline].queues]
        return [
            [self.state.subjects[item.subject].id if item.live else f"({self.state.subjects[item.subject].id})"
             for item in queue]
            for queue in items if queue
        ]  # fmt: skip

    def ignored(self) -> list[str]:
        """Why subjects were not let in, oldest first."""
        return [action.reason for _, _, actions in self.log for action in actions if isinstance(action, Ignore)]

    def closed(self) -> list[str]:
        return [action.reason for _, _, actions in self.log for action in actions if isinstance(action, Close)]

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
            for place, tested in landing.tested.items():
                before = landing.before.get(place, frozenset())
                after = before | {landing.key} if place == landing.place else before
                assert tested == after, f"{landing.key}: {place} was tested as {tested} and landed on {before}"

            assert not landing.missing, f"{landing.key} landed before {landing.missing}"

    def order_is_kept(self, before: list[list[str]]) -> None:
        """Those that stood in one queue, and still do, stand in the same order. (A promotion makes new items.)"""
        places = {name: (line, place) for line, new in enumerate(self._queues()) for place, name in enumerate(new)}
        for old in before:
            stands = [places[name] for name in old if name in places]
            assert sorted(stands, key=itemgetter(0)) == sorted(stands)

    def only_the_window_works(self, action: AnyAction) -> None:
        item = self.state.items.get(action.item) if isinstance(action, Merge | Launch) else None
        queue = queue_holding(self.state, item) if item else None
        if item and queue and queue.window:
            assert queue.items.index(item.id) < queue.window, f"{item.id} works outside the window"

    def only_heads_that_passed_succeed(self, action: AnyAction) -> None:
        if not isinstance(action, Report) or action.verdict != "success":
            return
        item = self.state.items[action.item]
        queue = queue_holding(self.state, item)
        assert queue is not None
        assert not any(other.live for other in chain(self.state, item))
        for name in queue.items[: queue.items.index(item.id)]:
            ahead = self.state.items[name]
            assert not ahead.live or ahead.build_set.failing_reasons, f"{item.id} goes ahead of {name}"
        for job in item.jobs:
            result = "SUCCESS" if job == "noop" else self.world.builds[item.build_set.builds[job].uuid].result
            assert result == "SUCCESS" or not self.layout.jobs[job].voting, f"{item.id} passes with {job}: {result}"

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
