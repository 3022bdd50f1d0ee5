"""Behaviour 10.10: items and builds live on in a new layout, and what lands is still what was tested."""

import pytest
from support import gate_layouts
from support.player import APPROVAL, Player

from zuul_launcher.model.events import LayoutRefused
from zuul_launcher.model.layout import JobNode
from zuul_launcher.sim.world import PlayedChange


@pytest.fixture
def play() -> Player:
    return Player(gate_layouts.scenario_layout())


def p_tree(*more: str) -> JobNode:
    tests = [JobNode(f"P-{name}") for name in ("t1", "t2", "tf")]
    return JobNode("P-m", (*tests, *(JobNode(name) for name in more)))


def approved(play: Player, *projects: str) -> list[PlayedChange]:
    changes = [play.upload(project) for project in projects]
    play.approve(*changes)
    return changes


def submitting(play: Player, uuid: str) -> None:
    """End the last build of a change; Gerrit has not yet answered."""
    play.finish(uuid)
    assert play.reports[-1].submit


def queues(play: Player, **shared: str) -> None:
    play.load(gate_layouts.with_pipeline(play.layout, "gate", shared_queues=shared))


def test_a_running_build_goes_on_and_its_change_lands(play: Player) -> None:
    approved(play, "P")
    before = play.world.running()
    play.load(play.layout)
    assert play.world.running() == before
    play.drain()
    assert play.landed() == ["1"]
    assert play.count() == 3


def test_a_new_job_runs_for_all_but_those_in_conflict(play: Player) -> None:
    a, b = play.upload("P"), play.upload("P")
    play.world.conflicts.add(frozenset((a.number, b.number)))
    play.approve(a, b)
    play.load(gate_layouts.with_tree(play.layout, "P", p_tree("extra")))
    play.drain()
    assert play.landed() == ["1"]
    assert play.count() == 4
    assert play.told_of(b) == ["start", "merge-failure"]


def test_a_new_job_below_a_failed_one_does_not_run(play: Player) -> None:
    a, b = play.upload("P"), play.upload("P")
    layout = gate_layouts.with_job(play.layout, "P-m", hold_following_changes=False)
    play.load(layout)
    play.world.broken.add(("P-m", b.number))
    play.approve(a, b)
    play.release("P-m", on="1,1 2,1")
    play.load(gate_layouts.with_tree(play.layout, "P", p_tree("extra")))
    play.drain()
    assert play.landed() == ["1"]
    assert play.count() == 5
    assert "extra" in play.world.comments[-1].message


def test_a_failed_job_that_is_removed_is_forgotten(play: Player) -> None:
    (change,) = approved(play, "P")
    play.release("P-m")
    play.release("P-t1", result="FAILURE")
    play.load(gate_layouts.without_job(play.layout, "P-t1"))
    play.drain()
    assert play.told_of(change) == ["start", "success"]
    assert "P-t1" not in play.world.comments[-1].message


def test_a_failed_job_that_is_removed_from_one_project_is_forgotten_there(play: Player) -> None:
    _, two = approved(play, "P1", "P2")
    play.release("P.-m")
    play.release("P.-m")
    play.release("integration", on="1,1 2,1", result="FAILURE")
    tree = JobNode("P2-m", (JobNode("P2-t1"), JobNode("P2-t2")))
    play.load(gate_layouts.with_tree(play.layout, "P2", tree))
    play.drain()
    assert play.told_of(two) == ["start", "success"]
    assert play.landed() == ["1", "2"]


def test_builds_of_a_job_that_is_removed_are_withdrawn(play: Player) -> None:
    approved(play, "Q")
    play.load(gate_layouts.with_tree(play.layout, "Q", JobNode("other")))
    assert play.running() == ["other 1,1"]
    assert play.count(cancelled=True) == 1


def test_changes_come_in_between_two_reconfigurations(play: Player) -> None:
    (a,) = approved(play, "P1")
    play.load(play.layout)
    play.approve(play.upload("P1", depends=(a.id,)))
    play.load(play.layout)
    play.drain()
    assert play.landed() == ["1", "2"]
    assert play.count() == 8


def test_a_removed_project_leaves_but_is_still_needed(play: Player) -> None:
    a = play.upload("P")
    b = play.upload("P1", depends=(a.id,))
    play.propose(a, b)
    assert play.queued("check") == [["1,1"], ["(1,1)", "2,1"]]
    assert play.running() == ["P-m 1,1", "P1-m 1,1 2,1"]
    play.load(gate_layouts.without_project(play.layout, "P"))
    assert play.queued("check") == [["(1,1)", "2,1"]]
    assert play.running() == ["P1-m 1,1 2,1"]
    play.drain()
    assert play.told_of(a) == []
    assert play.told_of(b) == ["success"]
    assert set(play.built("P1-t1")) == {"1,1 2,1"}


@pytest.mark.parametrize("project", ["Q", "P", "unknown"])
def test_a_change_stays_with_what_it_needs_whether_or_not_that_project_is_known(play: Player, project: str) -> None:
    needed = play.upload(project)
    play.propose(play.upload("Q", depends=(needed.id,)))
    running = play.world.running()
    for _ in range(2):
        play.load(play.layout)
        assert play.queued("check") == [["(1,1)", "2,1"]]
    assert play.world.running() == running


def test_independent_changes_stay_apart(play: Player) -> None:
    play.propose(play.upload("Q"), play.upload("Q"))
    play.load(play.layout)
    assert play.queued("check") == [["1,1"], ["2,1"]]


def test_items_behind_a_failing_one_do_not_begin_again(play: Player) -> None:
    """In v2 they restart once, tested with the failing one again."""
    approved(play, "P", "P", "P")
    for _ in range(3):
        play.release("P-m")
    play.release("P-t1", on="1,1", result="FAILURE")
    play.release("P-m")
    running = play.running()
    play.load(play.layout)
    assert play.running() == running


def test_builds_of_a_removed_pipeline_are_cancelled(play: Player) -> None:
    """In v2 they run on."""
    approved(play, "Q")
    play.load(gate_layouts.without_pipeline(play.layout, "gate"))
    assert play.running() == []
    assert play.closed() == ["its pipeline was removed"]
    assert not play.state.items


def test_the_answer_about_an_item_of_a_removed_pipeline_is_taken(play: Player) -> None:
    approved(play, "Q")
    submitting(play, play.world.running()[0])
    play.load(gate_layouts.without_pipeline(play.layout, "gate"))
    play.drain()
    play.check_the_end()


def test_a_job_that_begins_to_vote_takes_those_behind_off_a_failure() -> None:
    layout = gate_layouts.with_tree(gate_layouts.scenario_layout(), "Q", JobNode("Q-only"), JobNode("style"))
    play = Player(gate_layouts.with_job(layout, "style", voting=False))
    approved(play, "Q", "Q")
    play.release("style", on="1,1", result="FAILURE")
    assert "Q-only 1,1 2,1" in play.running()
    play.load(gate_layouts.with_job(play.layout, "style", voting=True))
    play.settle()
    assert play.running() == ["Q-only 1,1", "Q-only 2,1", "style 2,1"]


def test_a_refused_layout_is_remembered_and_changes_nothing(play: Player) -> None:
    approved(play, "Q")
    before = play.state.layout
    play.send(LayoutRefused(at=play.tick(), errors=("line 3: no",)))
    assert (play.state.layout, play.state.layout_errors) == (before, ("line 3: no",))
    assert play.running() == ["Q-only 1,1"]
    play.load(play.layout)
    assert play.state.layout_errors == ()
    assert play.state.last_reconfigured == play.at


# Queues that join and split


def test_a_queue_that_joins_another_is_tested_on_top_of_it(play: Player) -> None:
    approved(play, "P", "Q")
    assert play.running() == ["P-m 1,1", "Q-only 2,1"]
    queues(play, P="one", Q="one")
    assert play.queued() == [["1,1", "2,1"]]
    assert play.item_of(play.world.changes["2"]).ahead == play.item_of(play.world.changes["1"]).id
    play.settle()
    play.drain()
    assert play.landed() == ["1", "2"]


def test_a_change_whose_queue_splits_off_is_tested_again_alone(play: Player) -> None:
    approved(play, "P1", "P2")
    play.release("P1-m")
    assert "P2-m 1,1 2,1" in play.running()
    queues(play, P1="P1", P2="P2")
    assert play.queued() == [["1,1"], ["2,1"]]
    play.settle()
    assert "P2-m 2,1" in play.running()
    play.drain()
    assert sorted(play.landed()) == ["1", "2"]


def test_all_changes_of_a_project_stay_in_one_queue_when_it_splits_off(play: Player) -> None:
    """In v2 a change goes where the head of its chain goes: one of P2 behind P1 and one that enters next would land
    untested with each other."""
    approved(play, "P1", "P2")
    queues(play, P1="P1", P2="P2")
    play.settle()
    approved(play, "P2")
    assert play.queued() == [["1,1"], ["2,1", "3,1"]]
    play.drain()
    play.check_the_end()


def test_what_was_tested_across_a_split_begins_again(play: Player) -> None:
    approved(play, "P1", "P2", "P1")
    play.release("P1-m")
    play.release("P2-m")
    queues(play, P1="P1", P2="P2")
    play.settle()
    assert play.queued() == [["1,1", "3,1"], ["2,1"]]
    play.drain()
    assert play.built("P1-t1") == ["1,1", "3,1"]
    assert play.running() == []
    play.check_the_end()


def test_an_item_that_leaves_at_a_split_may_have_had_followers_in_the_other_half(play: Player) -> None:
    play.approve(play.upload("P2"), play.upload("P1"), play.upload("P2", branch="stable"), play.upload("P1"))
    main_only = gate_layouts.with_job(play.layout, "P2-m", branches=("main",))
    play.load(gate_layouts.with_pipeline(main_only, "gate", shared_queues={"P1": "P1", "P2": "P2"}))
    play.settle()
    assert play.queued() == [["1,1"], ["2,1", "4,1"]]
    play.drain()
    assert sorted(play.landed()) == ["1", "2", "4"]
    play.check_the_end()


def test_a_change_that_lands_after_its_project_was_removed_takes_its_followers_back(play: Player) -> None:
    """Whether it lands is not known: what was tested on top of it may not rely on it."""
    play.load(gate_layouts.with_pipeline(play.layout, "gate", shared_queues={"P": "one", "Q": "one"}))
    approved(play, "Q", "P")
    play.world.unwanted.add("1")
    submitting(play, play.world.running()[0])
    play.load(gate_layouts.without_project(play.layout, "Q"))
    assert play.count(cancelled=True) == 1
    play.drain()
    assert play.built("P-t1") == ["2,1"]
    play.check_the_end()


def test_nobody_lands_while_a_change_that_left_its_queue_is_submitted(play: Player) -> None:
    layout = play.layout
    approved(play, "Q")
    submitting(play, play.world.running()[0])
    play.load(gate_layouts.without_project(layout, "Q"))
    play.load(layout)
    second = play.upload("Q", approved=True)
    play.send(play.world.tell(second.number, "comment-added", play.tick(), votes=APPROVAL))
    play.merge()
    play.finish(play.world.running()[0])
    assert [payload.subject.id for payload in play.reports if payload.submit] == ["1,1"]
    play.drain()
    assert play.landed() == ["1", "2"]
    assert play.count() == 3
    play.check_the_end()


def test_two_queues_that_join_while_both_heads_are_submitted(play: Player) -> None:
    approved(play, "Q", "Q")
    play.load(gate_layouts.with_tree(play.layout, "P", JobNode("noop")))
    submitting(play, play.world.running()[0])
    change = play.upload("P", approved=True)
    play.send(play.world.tell(change.number, "comment-added", play.tick(), votes=APPROVAL))
    play.merge()
    assert [payload.subject.id for payload in play.reports if payload.submit] == ["1,1", "3,1"]
    queues(play, Q="one", P="one")
    for project in "QP":
        change = play.upload(project, approved=True)
        play.send(play.world.tell(change.number, "comment-added", play.tick(), votes=APPROVAL))
    while play.merges:
        play.merge()
    play.drain()
    assert sorted(play.landed()) == ["1", "2", "3", "4", "5"]
    play.check_the_end()


def test_what_had_failed_is_tested_again_if_another_landed_past_it(play: Player) -> None:
    layout = gate_layouts.with_tree(play.layout, "Q", JobNode("Q-only"), JobNode("slow"))
    play.load(layout)
    approved(play, "Q", "Q")
    play.release("Q-only", on="1,1", result="FAILURE")
    play.release(".*", on="2,1")
    assert play.landed() == ["2"]
    play.load(gate_layouts.without_job(layout, "Q-only"))
    assert play.queued() == [["1,1"]]
    play.settle()
    assert play.running() == ["slow 1,1"]
    play.drain()
    assert play.landed() == ["2", "1"]
    play.check_the_end()


def test_a_pipeline_that_becomes_a_gate_does_not_keep_items_that_are_not_live(play: Player) -> None:
    needed = play.upload("Q", approved=True)
    change = play.upload("Q", approved=True, depends=(needed.number,))
    play.propose(change)
    shared = play.layout.pipelines["gate"].shared_queues
    play.load(gate_layouts.with_pipeline(play.layout, "check", kind="dependent", shared_queues=shared))
    play.drain()
    assert play.landed() == []
    assert play.told_of(change) == ["dependency-failure"]
    play.check_the_end()
