"""Behaviour 10.3: new patch sets and abandoned changes take the old ones out."""

import pytest
from support import gate_layouts
from support.player import Player


@pytest.fixture
def play() -> Player:
    return Player(gate_layouts.scenario_layout())


def test_a_new_patch_set_inside_a_stack_takes_out_it_and_what_needs_it(play: Player) -> None:
    a = play.upload("P")
    b = play.upload("P", depends=(a.id,))
    c = play.upload("P", depends=(b.id,))
    d = play.upload("P")
    play.approve(a, b, c, d)

    play.upload_again(b)
    play.drain()

    assert play.landed() == ["1", "4"]
    assert play.told_of(b) == ["start"]
    assert play.told_of(c) == ["start", "dependency-failure"]
    assert play.count() == 9


def test_a_new_patch_set_at_the_bottom_takes_out_the_whole_stack(play: Player) -> None:
    a = play.upload("P")
    b = play.upload("P", depends=(a.id,))
    c = play.upload("P", depends=(b.id,))
    d = play.upload("P")
    play.approve(a, b, c, d)

    play.upload_again(a)
    play.drain()

    assert play.landed() == ["4"]
    assert [play.told_of(change)[-1] for change in (b, c)] == ["dependency-failure"] * 2
    assert play.count() == 7


def test_a_new_patch_set_takes_out_only_itself_if_nobody_needs_it(play: Player) -> None:
    a, b, c = (play.upload("P") for _ in range(3))
    play.approve(a, b, c)

    play.upload_again(b)
    play.drain()

    assert play.landed() == ["1", "3"]
    assert play.count() == 9


def test_a_pipeline_can_keep_old_patch_sets() -> None:
    layout = gate_layouts.with_pipeline(gate_layouts.scenario_layout(), "check", dequeue_on_new_patchset=False)
    play = Player(layout)
    change = play.upload("Q")
    play.propose(change)

    play.upload_again(change)

    assert play.queued("check") == [["1,1"], ["1,2"]]


def test_in_check_the_new_patch_set_is_tested_instead(play: Player) -> None:
    a, b, c = (play.upload("P") for _ in range(3))
    play.propose(a, b, c)

    newer = play.upload_again(b)
    play.drain()

    assert [play.told_of(change) for change in (a, newer, c)] == [["success"]] * 3
    assert play.told_of(b) == []
    assert [build.changes for build in play.world.builds.values() if build.cancelled] == ["2,1"]


def test_copies_of_a_needed_change_stay_when_it_gets_a_new_patch_set(play: Player) -> None:
    a = play.upload("Q")
    b = play.upload("Q", depends=(a.id,))
    play.propose(b, a)
    assert play.queued("check") == [["(1,1)", "2,1"], ["1,1"]]

    play.upload_again(a)
    assert play.queued("check") == [["(1,1)", "2,1"], ["1,2"]]
    play.upload_again(b)
    assert play.queued("check") == [["1,2"], ["(1,1)", "2,2"]]
    play.drain()

    assert sorted(play.built("Q-only")) == ["1,1 2,2", "1,2"]
    assert [build.changes for build in play.world.builds.values() if build.cancelled] == ["1,1 2,1", "1,1"]


def test_an_event_of_an_older_patch_set_takes_nothing_out(play: Player) -> None:
    change = play.upload("Q")
    newer = play.world.update(change.number, patchset=10)
    play.propose(newer)

    play.world.update(change.number, patchset=9)
    play.propose(change)

    assert ["1,10"] in play.queued("check")


def test_an_abandoned_change_leaves_the_gate_without_a_word(play: Player) -> None:
    change = play.upload("P")
    play.approve(change)

    play.abandon(change)

    assert play.count(cancelled=True) == 1
    assert play.told_of(change) == ["start"]
    assert play.closed() == ["it was abandoned"]
    play.check_the_end()


def test_what_was_tested_on_top_of_an_abandoned_change_begins_again(play: Player) -> None:
    first, second = play.upload("Q"), play.upload("Q")
    play.approve(first, second)

    play.abandon(first)

    assert play.count(cancelled=True) == 2
    assert play.running() == ["Q-only 2,1"]


def test_in_check_only_the_live_item_of_an_abandoned_change_leaves(play: Player) -> None:
    a = play.upload("Q")
    b = play.upload("Q", depends=(a.number,))
    play.propose(b, a)

    play.abandon(a)
    assert play.queued("check") == [["(1,1)", "2,1"]]
    play.drain()

    assert play.told_of(a) == []
    assert play.told_of(b) == ["success"]


def test_an_item_that_is_being_reported_is_not_taken_out(play: Player) -> None:
    change = play.upload("Q")
    play.approve(change)
    play.finish(play.world.running()[0])
    assert play.reports

    play.world.update(change.number, patchset=2)
    play.send(play.world.tell(change.number, "patchset-created", play.tick()))

    assert play.queued() == [["1,1"]]
    play.drain()
    assert play.told_of(change) == ["start", "success"]
    assert play.closed()[0] == "it did not merge"


def test_a_ref_update_is_not_taken_out_by_what_happens_to_changes(play: Player) -> None:
    change = play.upload("P")
    play.send(play.world.tell_update("P", "main", "2" * 40, play.tick()))
    play.settle()

    play.abandon(change)
    play.upload_again(change)

    assert "P-post " + "2" * 40 in play.running()
