"""Hypothesis plays the gate: whatever order things happen in, what must hold does hold.

`GATE_EXAMPLES=2000 pytest tests/properties` plays longer, and differently each time."""

import os

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support import gate_layouts
from support.player import Player

from zuul_launcher.model.events import BuildLost, DequeueRequested, EnqueueRequested, PromoteRequested
from zuul_launcher.sim.world import PlayedChange

PROJECTS = st.sampled_from(["A", "A", "B", "B", "C", "D"])
RESULTS = st.sampled_from(["SUCCESS"] * 4 + ["FAILURE", None])
USUAL = gate_layouts.gate_layout()
LAYOUTS = {
    "usual": USUAL,
    "narrow window": gate_layouts.gate_layout(window=1),
    "unit is gone": gate_layouts.without_job(USUAL, "unit"),
    "first is gone": gate_layouts.without_job(USUAL, "first"),
    "style votes": gate_layouts.with_job(USUAL, "style", voting=True),
    "unit takes the lock": gate_layouts.with_job(USUAL, "unit", mutex="lock"),
    "each alone": gate_layouts.with_queues(USUAL, A="A", B="B", C="C"),
    "all in one": gate_layouts.with_queues(USUAL, A="ABC", B="ABC", C="ABC"),
    "others together": gate_layouts.with_queues(USUAL, A="AC", B="B", C="AC"),
    "B is gone": gate_layouts.without_project(USUAL, "B"),
    "check is gone": gate_layouts.without_pipeline(USUAL, "check"),
    "gate is gone": gate_layouts.without_pipeline(USUAL, "gate"),
}
LONGER = int(
    os.environ.get("GATE_EXAMPLES", "0")
)  # so many games, other ones each time; 0: the usual ones, always the same


class Gate(RuleBasedStateMachine):
    @initialize(window=st.sampled_from([0, 1, 3]), projects=st.lists(PROJECTS, min_size=2, max_size=6))
    def begin(self, window: int, projects: list[str]) -> None:
        """Some changes are there already: a gate with nobody in it shows little."""
        self.player = Player(gate_layouts.gate_layout(window=window))
        for project in projects:
            self.player.send(
                self.player.world.tell(self.player.world.upload(project).number, "comment-added", self.player.tick())
            )

    def open_changes(self) -> list[PlayedChange]:
        return [change for change in self.player.world.changes.values() if change.status == "NEW"]

    @rule(
        project=PROJECTS,
        depends=st.sampled_from(["", "", "git", "footer"]),
        conflicts=st.integers(0, 7),
        approved=st.integers(0, 9),
        data=st.data(),
    )
    def somebody_uploads(self, project: str, depends: str, conflicts: int, approved: int, data: st.DataObject) -> None:
        world, others = self.player.world, self.open_changes()
        needed: tuple[str, ...] = ()
        if depends and others:
            other = data.draw(st.sampled_from(others))
            needed = (other.id if depends == "git" else other.number,)
        change = world.upload(project, depends=needed, approved=approved > 0)
        if conflicts == 0 and others:
            world.conflicts.add(frozenset((change.number, data.draw(st.sampled_from(others)).number)))
        self.player.send(world.tell(change.number, "patchset-created", self.player.tick()))
        self.player.send(world.tell(change.number, "comment-added", self.player.tick()))

    @precondition(lambda self: self.open_changes())
    @rule(data=st.data())
    def somebody_approves(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.open_changes())).number
        self.player.world.update(number, approved=True)
        self.player.send(self.player.world.tell(number, "comment-added", self.player.tick()))

    @precondition(lambda self: self.open_changes())
    @rule(data=st.data(), often=st.integers(0, 2))
    def somebody_uploads_again(self, data: st.DataObject, often: int) -> None:
        if often:
            return self.all_goes_well_for_a_while(count=often)
        change = data.draw(st.sampled_from(self.open_changes()))
        self.player.world.update(change.number, patchset=change.patchset + 1)
        self.player.send(self.player.world.tell(change.number, "patchset-created", self.player.tick()))

    @precondition(lambda self: self.open_changes())
    @rule(data=st.data(), often=st.integers(0, 3))
    def somebody_abandons(self, data: st.DataObject, often: int) -> None:
        if often:
            return self.all_goes_well_for_a_while(count=often)
        number = data.draw(st.sampled_from(self.open_changes())).number
        self.player.world.update(number, status="ABANDONED")
        self.player.send(self.player.world.tell(number, "change-abandoned", self.player.tick()))

    @precondition(lambda self: self.player.merges)
    @rule(data=st.data())
    def a_merger_answers(self, data: st.DataObject) -> None:
        self.player.merge(data.draw(st.integers(0, len(self.player.merges) - 1)))

    @precondition(lambda self: self.player.merges)
    @rule()
    def all_mergers_answer(self) -> None:
        while self.player.merges:
            self.player.merge()

    @precondition(lambda self: self.player.world.running())
    @rule(result=RESULTS, data=st.data())
    def a_build_ends(self, result: str | None, data: st.DataObject) -> None:
        self.player.finish(data.draw(st.sampled_from(self.player.world.running())), result)

    @precondition(lambda self: self.player.world.running() or self.player.merges or self.player.reports)
    @rule(count=st.integers(2, 12))
    def all_goes_well_for_a_while(self, count: int) -> None:
        for _ in range(count):
            if self.player.reports:
                self.player.report()
            elif self.player.merges:
                self.player.merge()
            elif running := self.player.world.running():
                self.player.finish(running[0])

    @precondition(lambda self: self.player.world.running())
    @rule(data=st.data())
    def a_build_is_lost(self, data: st.DataObject) -> None:
        uuid = data.draw(st.sampled_from(self.player.world.running()))
        ended = self.player.world.finish(uuid, None, self.player.tick())
        self.player.send(BuildLost(at=ended.at, item=ended.item, attempt=ended.attempt, build=uuid, reason="gone"))

    @precondition(lambda self: self.player.reports)
    @rule(data=st.data())
    def gerrit_takes_a_report(self, data: st.DataObject) -> None:
        self.player.report(data.draw(st.integers(0, len(self.player.reports) - 1)))

    @precondition(lambda self: self.player.reports)
    @rule()
    def gerrit_takes_all_reports(self) -> None:
        while self.player.reports:
            self.player.report()

    @precondition(lambda self: self.player.log)
    @rule(data=st.data())
    def an_answer_comes_twice(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.player.log))[0]
        if type(event).__name__ in ("Merged", "BuildFinished", "BuildProgress", "Reported", "BuildLost"):
            self.player.send(event)

    @precondition(lambda self: self.open_changes())
    @rule(data=st.data(), verb=st.sampled_from(["enqueue", "dequeue", "promote"]))
    def an_operator_asks(self, data: st.DataObject, verb: str) -> None:
        change = data.draw(st.sampled_from(self.open_changes()))
        at, name = self.player.tick(), f"{change.number},{change.patchset}"
        if verb == "enqueue":
            facts = self.player.world.facts(change.number)
            self.player.send(
                EnqueueRequested(
                    at=at, request="1", pipeline="gate", project=change.project, trigger="gerrit", name=name,
                    subject=change.key, facts=facts,
                )
            )  # fmt: skip
        elif verb == "dequeue":
            self.player.send(DequeueRequested(at=at, request="1", pipeline="gate", project=change.project, name=name))
        else:
            self.player.send(PromoteRequested(at=at, request="1", pipeline="gate", changes=(name,)))

    @rule(name=st.sampled_from(["usual", *LAYOUTS]), often=st.integers(0, 2))
    def the_layout_changes(self, name: str, often: int) -> None:
        if often:
            return self.all_goes_well_for_a_while(count=often)
        self.player.load(LAYOUTS[name])

    @invariant()
    def the_state_survives_encoding(self) -> None:
        if hasattr(self, "player"):
            self.player.encoded_is_equal()

    def teardown(self) -> None:
        if hasattr(self, "player"):
            self.player.load(USUAL)
            for change in self.open_changes():
                self.player.send(self.player.world.tell(change.number, "comment-added", self.player.tick()))
            self.player.drain()
            self.player.check_the_end()
            event(f"{len(self.player.world.landed)} changes landed")


TestGate = Gate.TestCase
TestGate.settings = settings(
    max_examples=LONGER or 150,
    stateful_step_count=50,
    derandomize=not LONGER,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
