"""Behaviour 10.4, as far as the gate decides: what is merged for whom, and what a conflict means."""

import pytest
from support import gate_layouts
from support.player import APPROVAL, Player

from zuul_launcher.model.events import Merged


@pytest.fixture
def play() -> Player:
    return Player(gate_layouts.scenario_layout())


def merged_for(play: Player) -> list[list[str]]:
    return [[f"{item['number']} {item['branch']}" for item in merge.arguments["items"]] for merge in play.merges]


def test_all_ahead_are_merged_oldest_first_whatever_their_branch(play: Player) -> None:
    for branch in ("main", "stable", "main"):
        change = play.upload("Q", approved=True, branch=branch)
        play.send(play.world.tell(change.number, "comment-added", play.tick(), votes=APPROVAL))

    assert merged_for(play) == [["1 main"], ["1 main", "2 stable"], ["1 main", "2 stable", "3 main"]]
    refs = [[item["ref"] for item in merge.arguments["items"]] for merge in play.merges]
    assert refs[2][:2] == refs[1]
    assert refs[1][:1] == refs[0]
    assert len(set(refs[2])) == 3


def test_a_conflict_is_told_without_jobs_and_those_behind_go_on_without_it(play: Player) -> None:
    a, b, c = (play.upload("P") for _ in range(3))
    play.world.conflicts.add(frozenset((a.number, b.number)))

    play.approve(a, b, c)
    play.drain()

    assert play.landed() == ["1", "3"]
    assert play.count() == 6
    assert play.told_of(b) == ["start", "merge-failure"]
    (message,) = [said.message for said in play.world.comments if said.verdict == "merge-failure"]
    assert "Merge Failed." in message
    assert "automatically merged" in message
    assert "SKIPPED" not in message
    assert "P-" not in message


def test_a_change_in_conflict_waits_for_its_turn_to_say_so(play: Player) -> None:
    a, b = play.upload("Q"), play.upload("Q")
    play.world.conflicts.add(frozenset((a.number, b.number)))
    play.approve(a, b)

    assert play.item_of(b).build_set.conflicts == ("file",)
    assert play.item_of(b).build_set.failing_reasons == ("it has a merge conflict",)
    assert play.told_of(b) == ["start"]
    play.drain()
    assert play.told_of(b) == ["start", "merge-failure"]


def test_a_conflict_counts_before_the_jobs_that_have_no_vote() -> None:
    """v2 lets such a change land."""
    layout = gate_layouts.with_job(gate_layouts.scenario_layout(), "Q-only", voting=False)
    play = Player(layout)
    a, b = play.upload("P"), play.upload("Q")
    play.world.conflicts.add(frozenset((a.number, b.number)))
    play.world.landed.append(a)

    play.approve(b)

    assert play.landed() == ["1"]
    assert play.told_of(b) == ["start", "merge-failure"]


def test_a_failure_of_the_merger_is_not_called_a_conflict(play: Player) -> None:
    change = play.upload("P", approved=True)
    play.send(play.world.tell(change.number, "comment-added", play.tick(), votes=APPROVAL))
    merge = play.merges.pop()

    play.send(Merged(at=1.0, item=merge.item, attempt=1, commit=None, ok=False, error="the disk is full"))

    reasons = play.item_of(change).build_set.failing_reasons
    assert reasons == ("it could not be prepared for testing",)
    play.settle()
    assert play.told_of(change) == ["start", "merge-failure"]


def test_the_answer_to_an_earlier_attempt_is_ignored(play: Player) -> None:
    a, b = play.upload("Q"), play.upload("Q")
    for change in (a, b):
        play.world.update(change.number, approved=True)
        play.send(play.world.tell(change.number, "comment-added", play.tick(), votes=APPROVAL))
    late = play.merges.pop(1)
    play.send(play.world.tell(a.number, "change-abandoned", play.tick()))

    play.send(play.world.merge(late, play.tick()))

    item = play.item_of(b)
    assert (item.attempt, item.build_set.merge) == (2, "asked")
    assert play.running() == []


def test_no_build_starts_before_its_merge_is_done(play: Player) -> None:
    change = play.upload("Q", approved=True)
    play.send(play.world.tell(change.number, "comment-added", play.tick(), votes=APPROVAL))
    assert play.count() == 0
    play.merge()
    assert play.running() == ["Q-only 1,1"]
