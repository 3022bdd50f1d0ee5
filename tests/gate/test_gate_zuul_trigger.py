"""Behaviour 10.13: what is tested because something else was enqueued or has landed."""

from msgspec.structs import replace
from support import gate_layouts
from support.player import Player

from zuul_launcher.model.actions import FetchSiblings
from zuul_launcher.model.change import Account, Approval, Change
from zuul_launcher.model.events import SiblingsSeen
from zuul_launcher.model.layout import ApprovalRule, JobNode, Layout, Pipeline, Requirement, ZuulFilter
from zuul_launcher.sim.world import PlayedChange

JENKINS = Account(username="jenkins")
PARENT_IN_GATE = ZuulFilter(events=("parent-change-enqueued",), pipelines=("gate",))


def of_jenkins(value: int) -> Approval:
    return Approval(label="Verified", value=value, by=JENKINS)


def wanting(value: int) -> Requirement:
    return Requirement(approvals=(ApprovalRule(username="jenkins", labels={"verified": (value,)}),))


def retesting() -> Layout:
    """Children of what enters the gate: those that were never checked go to check, those that passed go to the gate."""
    layout = gate_layouts.scenario_layout()
    check, gate = layout.pipelines["check"], layout.pipelines["gate"]
    layout = gate_layouts.with_pipeline(
        layout, "check", triggers=(*check.triggers, PARENT_IN_GATE), require=wanting(-1)
    )
    return gate_layouts.with_pipeline(layout, "gate", triggers=(*gate.triggers, PARENT_IN_GATE), require=wanting(1))


def test_children_of_what_enters_the_gate_go_where_their_votes_let_them() -> None:
    play = Player(retesting())
    parent = play.upload("Q", votes=(of_jenkins(1),))
    checked = play.upload("Q", depends=(parent.number,), votes=(of_jenkins(-1),))
    gated = play.upload("Q", depends=(parent.number,), votes=(of_jenkins(1),), approved=True)

    play.approve(parent)
    assert play.queued("check") == [["(1,1)", "2,1"]]
    assert play.queued("gate") == [["1,1", "3,1"]]
    play.drain()

    assert sorted(play.built("Q-only")) == ["1,1", "1,1 2,1", "1,1 3,1"]
    assert play.landed() == ["1", "3"]
    assert [play.told_of(change) for change in (parent, checked, gated)] == [
        ["start", "success"],
        ["success"],
        ["start", "success"],
    ]
    play.check_the_end()


def test_a_child_that_meets_no_requirement_goes_nowhere() -> None:
    play = Player(retesting())
    parent = play.upload("Q", votes=(of_jenkins(1),))
    play.upload("Q", depends=(parent.number,), approved=True)
    play.approve(parent)
    assert play.queued("check") == []
    assert play.queued("gate") == [["1,1"]]


def with_merge_check(layout: Layout) -> Layout:
    """Whenever a change lands, the others of its project are tried on top of it; only a conflict is told."""
    pipeline = Pipeline(
        name="merge-check",
        kind="independent",
        triggers=(ZuulFilter(events=("project-change-merged",)),),
        ignore_dependencies=True,
        merge_failure=gate_layouts.COMMENT,
    )
    layout = replace(layout, pipelines={**layout.pipelines, pipeline.name: pipeline})
    return gate_layouts.with_tree(layout, "Q", JobNode("noop"), pipelines=("merge-check",))


def landing(play: Player, *others: PlayedChange) -> PlayedChange:
    """Let a new change land, and answer the question for the open changes of its project."""
    change = play.upload("Q")
    play.world.conflicts |= {frozenset((change.number, other.number)) for other in others if "bad" in other.files}
    play.approve(change)
    asked = len(questions(play))
    play.drain()
    assert [(one.connection, one.project) for one in questions(play)[asked:]] == [("gerrit", "Q")]
    facts = tuple(fact for other in others for fact in play.world.facts(other.number))
    play.send(SiblingsSeen(at=play.tick(), subjects=tuple(other.key for other in others), facts=facts))
    assert play.queued("merge-check") == [[other.id] for other in others]
    play.drain()
    return change


def questions(play: Player) -> list[FetchSiblings]:
    return [action for _, _, actions in play.log for action in actions if isinstance(action, FetchSiblings)]


def told(play: Player) -> list[tuple[str, str]]:
    """What anybody was told about changes that did not land: number and verdict."""
    return [
        (said.subject.number, said.verdict)
        for said in play.world.comments
        if said.reporters and isinstance(said.subject, Change) and said.subject.number not in play.landed()
    ]


def test_after_a_landing_the_open_changes_are_tried_and_only_a_conflict_is_told() -> None:
    play = Player(with_merge_check(gate_layouts.scenario_layout()))
    fitting, bad = play.upload("Q"), play.upload("Q", files=("bad",))

    landing(play, fitting, bad)
    assert told(play) == [(bad.number, "merge-failure")]
    assert "was unable to be automatically merged" in play.world.comments[-1].message
    assert play.queued("merge-check") == []

    play.load(play.layout)
    landing(play, fitting, bad)
    assert told(play) == [(bad.number, "merge-failure")] * 2
    play.check_the_end()
