"""Behaviour 10.15, as far as the gate decides: enqueue, dequeue and promote. Every request gets one answer."""

import pytest
from support import gate_layouts
from support.player import Player

from zuul_launcher.model.actions import Answer
from zuul_launcher.model.change import Ref
from zuul_launcher.model.events import DequeueRequested, EnqueueRequested, PromoteRequested, Request
from zuul_launcher.sim.world import PlayedChange


@pytest.fixture
def play() -> Player:
    return Player(gate_layouts.scenario_layout())


def ask(play: Player, request: Request) -> Answer:
    actions = play.send(request)  # type: ignore[arg-type]
    play.settle()
    (answer,) = [action for action in actions if isinstance(action, Answer)]
    assert answer.request == request.request
    return answer


def enqueue(play: Player, change: PlayedChange | None, **fields: str) -> Answer:
    values = {"pipeline": "gate", "project": "Q", "trigger": "gerrit", "name": "1,1"} | fields
    facts = play.world.facts(change.number) if change else ()
    key = change.key if change else None
    return ask(play, EnqueueRequested(at=play.tick(), request="r-1", subject=key, facts=facts, **values))


def dequeue(play: Player, name: str, **fields: str) -> Answer:
    values = {"pipeline": "gate", "project": "Q"} | fields
    return ask(play, DequeueRequested(at=play.tick(), request="r-2", who="ann", name=name, **values))


def promote(play: Player, *names: str, pipeline: str = "gate") -> Answer:
    return ask(play, PromoteRequested(at=play.tick(), request="r-3", pipeline=pipeline, changes=names))


def test_an_enqueued_change_is_tested_and_lands(play: Player) -> None:
    change = play.upload("Q", approved=True)
    answer = enqueue(play, change)
    play.drain()
    assert (answer.error, answer.note) == (None, None)
    assert play.told_of(change) == ["start", "success"]
    assert play.landed() == ["1"]


def test_an_enqueued_ref_is_tested(play: Player) -> None:
    ref = Ref(connection="gerrit", project="P", ref="main", oldrev="1" * 40, newrev="2" * 40)
    answer = ask(
        play,
        EnqueueRequested(
            at=1.0,
            request="r",
            pipeline="post",
            project="P",
            trigger="gerrit",
            name="main",
            subject=ref.key,
            facts=(ref,),
        ),
    )
    assert answer.error is None
    assert play.running() == ["P-post " + "2" * 40]


def test_what_can_not_be_enqueued_is_said(play: Player) -> None:
    change = play.upload("Q", approved=True)
    assert enqueue(play, change, project="none").error == "Invalid project: none"
    assert enqueue(play, change, pipeline="none").error == "Invalid pipeline: none"
    assert enqueue(play, change, trigger="none").error == "Invalid trigger: none"
    assert enqueue(play, None, name="9,9").error == "Invalid change: 9,9"
    assert enqueue(play, change, project="no", trigger="none").error == "Invalid trigger: none\nInvalid project: no"
    assert play.count() == 0
    assert not play.state.subjects


def test_requirements_are_not_asked_but_whether_gerrit_would_merge(play: Player) -> None:
    """v2 answers nothing about a change that does not enter."""
    answer = enqueue(play, play.upload("Q"))
    assert (answer.error, answer.note) == (None, "not enqueued: Gerrit would not let it merge yet")
    assert play.queued() == []


def test_enqueueing_twice_changes_nothing(play: Player) -> None:
    change = play.upload("Q", approved=True)
    enqueue(play, change)
    assert enqueue(play, change).error is None
    assert play.queued() == [["1,1"]]


def test_a_dequeued_change_leaves_without_a_report(play: Player) -> None:
    changes = [play.upload("Q"), play.upload("Q")]
    play.approve(*changes)
    assert dequeue(play, "1,1").error is None
    assert play.queued() == [["2,1"]]
    assert play.running() == ["Q-only 2,1"]
    assert play.told_of(changes[0]) == ["start"]
    assert play.closed() == ["dequeued by ann"]


def test_a_change_can_be_dequeued_by_its_number(play: Player) -> None:
    play.approve(play.upload("Q"))
    assert dequeue(play, "1").error is None
    assert play.queued() == []


def test_a_ref_can_be_dequeued_by_its_name(play: Player) -> None:
    play.send(play.world.tell_update("P", "main", "2" * 40, play.tick()))
    assert dequeue(play, "main", pipeline="post", project="P").error is None
    assert play.queued("post") == []


def test_what_can_not_be_dequeued_is_said(play: Player) -> None:
    play.approve(play.upload("Q"))
    assert dequeue(play, "1,1", pipeline="none").error == "Invalid pipeline: none"
    assert dequeue(play, "2,1").error == "2,1 of project Q is not in pipeline gate"
    assert dequeue(play, "1,1", project="P").error == "1,1 of project P is not in pipeline gate"
    play.finish(play.world.running()[0])
    answer = play.send(DequeueRequested(at=1.0, request="r", pipeline="gate", project="Q", name="1,1"))[0]
    assert isinstance(answer, Answer)
    assert answer.error == "1,1 is being reported: too late to dequeue it"
    assert play.queued() == [["1,1"]]


def test_promoted_changes_go_first_and_keep_their_times(play: Player) -> None:
    changes = [play.upload("P") for _ in range(3)]
    play.approve(*changes)
    before = {item.subject: item.enqueued_at for item in play.state.items.values()}

    assert promote(play, "2,1", "3,1").error is None

    assert play.queued() == [["2,1", "3,1", "1,1"]]
    assert {item.subject: item.enqueued_at for item in play.state.items.values()} == before
    for _ in range(3):
        play.release("P-m")
    play.drain()
    assert play.built("P-t1") == ["2,1", "2,1 3,1", "2,1 3,1 1,1"]
    assert play.landed() == ["2", "3", "1"]
    assert [play.told_of(change) for change in changes] == [["start", "success"]] * 3


def test_what_a_promoted_change_needs_goes_before_it(play: Player) -> None:
    a, b = play.upload("P"), play.upload("P")
    play.approve(a, b, play.upload("P", depends=(b.id,)))
    promote(play, "3,1")
    assert play.queued() == [["2,1", "3,1", "1,1"]]
    play.drain()
    assert play.landed() == ["2", "3", "1"]


def test_what_can_not_be_promoted_is_said_and_the_queue_is_untouched(play: Player) -> None:
    play.approve(play.upload("Q"), play.upload("Q"), play.upload("P"))
    before = play.running()
    assert promote(play, "2,1", pipeline="none").error == "Invalid pipeline: none"
    assert promote(play, "9,1").error == "Unable to find shared change queue for 9,1"
    assert promote(play, "2,1", "3,1").error == "Unable to find 3,1 in queue Q"
    assert promote(play).error == "No change was named"
    assert play.queued() == [["1,1", "2,1"], ["3,1"]]
    assert play.running() == before


def test_promotion_keeps_items_that_are_not_live_so(play: Player) -> None:
    """v2 makes them live."""
    needed = play.upload("Q")
    play.propose(play.upload("Q", depends=(needed.id,)))
    promote(play, "2,1", pipeline="check")
    assert play.queued("check") == [["(1,1)", "2,1"]]
    play.drain()
    assert play.told_of(needed) == []


def test_a_change_that_is_being_submitted_stays_ahead_of_a_promoted_one(play: Player) -> None:
    changes = [play.upload("Q") for _ in range(3)]
    play.approve(*changes)
    play.finish(play.world.running()[0])
    play.send(PromoteRequested(at=play.tick(), request="r", pipeline="gate", changes=("3,1",)))

    assert play.queued() == [["1,1", "3,1", "2,1"]]
    play.drain()
    assert play.landed() == ["1", "3", "2"]
