"""Behaviour 10.2 and 10.11: changes that need other changes, by git or by footer. To the gate both are `needs`."""

import pytest
from support import gate_layouts
from support.player import APPROVAL, Player

from zuul_launcher.model.events import FactsSeen
from zuul_launcher.sim.world import PlayedChange


@pytest.fixture
def play() -> Player:
    return Player(gate_layouts.scenario_layout())


def stack(play: Player, *projects: str, **facts: object) -> list[PlayedChange]:
    """The first needs nothing, each other one the one before it."""
    changes: list[PlayedChange] = []
    for project in projects:
        changes.append(play.upload(project, depends=tuple(other.id for other in changes[-1:]), **facts))
    return changes


def test_a_stack_lands_in_its_order_once_all_of_it_is_approved(play: Player) -> None:
    bottom = play.upload("P", status="MERGED")
    first = play.upload("P", depends=(bottom.number,))
    second = play.upload("P", depends=(first.number,))
    third = play.upload("P", depends=(second.number,))

    play.approve(third)
    assert play.queued() == []
    assert play.ignored() == ["it needs 3,1, which Gerrit would not let merge yet"]
    play.approve(second, first)
    play.drain()

    assert play.landed() == ["2", "3", "4"]


def test_one_event_brings_in_a_whole_approved_tree(play: Player) -> None:
    a = play.upload("P", approved=True)
    b = play.upload("P", approved=True, depends=(a.number,))
    c = play.upload("P", approved=True, depends=(b.number,))
    play.upload("P", approved=True, depends=(c.number,))
    play.upload("P", approved=True, depends=(b.number,))
    play.upload("P", approved=True, depends=(b.number,))
    play.upload("P", approved=True, depends=(a.number,))

    play.approve(c)

    assert play.queued() == [["1,1", "2,1", "3,1", "4,1", "5,1", "6,1", "7,1"]]
    for _ in range(7):
        play.release("P-m")
    play.drain()
    assert play.built("P-m")[6] == "1,1 2,1 3,1 4,1 5,1 6,1 7,1"
    assert play.landed() == ["1", "2", "3", "4", "5", "6", "7"]


def test_the_order_does_not_depend_on_which_member_came_first() -> None:
    orders = []
    for index in range(3):
        play = Player(gate_layouts.scenario_layout())
        play.approve(stack(play, "P", "P", "P", approved=True)[index])
        orders.append(play.queued())
    assert orders == [[["1,1", "2,1", "3,1"]]] * 3


def test_nothing_is_built_on_a_needed_change_whose_first_job_failed(play: Player) -> None:
    first = play.upload("P")
    others = [play.upload("P", depends=(first.number,)) for _ in range(2)]
    play.world.broken.add(("P-m", first.number))

    play.approve(first, *others)
    play.drain()

    assert play.count() == 1
    assert play.landed() == []
    assert play.told_of(first) == ["start", "failure"]
    assert [play.told_of(other) for other in others] == [["start", "dependency-failure"]] * 2


def test_what_needs_a_failed_change_fails_with_it_and_the_rest_lands(play: Player) -> None:
    a, b = play.upload("P"), play.upload("P")
    c = play.upload("P", depends=(b.number,))
    d = play.upload("P", depends=(c.number,))
    e = play.upload("P")
    play.world.broken.add(("P-t1", b.number))
    play.approve(a, b, c, d, e)
    for _ in range(5):
        play.release("P-m")

    play.release("P-t1", on="1,1 2,1")

    assert play.item_of(c).build_set.failing_reasons == ("a needed change is failing",)
    play.drain()
    assert play.landed() == ["1", "5"]
    assert play.count() == 18
    assert [play.told_of(change)[-1] for change in (b, c, d)] == ["failure", "dependency-failure", "dependency-failure"]
    assert "This change depends on a change that failed to merge." in play.world.comments[-2].message


def test_a_dependent_of_a_failing_change_keeps_its_place_and_is_not_built(play: Player) -> None:
    first, needing, other = play.upload("P"), play.upload("P"), play.upload("P")
    needing = play.world.update(needing.number, depends=(first.number,))
    play.approve(first, needing, other)
    for _ in range(3):
        play.release("P-m")
    play.release("P-t1", on="1,1", result="FAILURE")

    assert play.queued() == [["1,1", "2,1", "3,1"]]
    assert play.item_of(needing).build_set.builds == {}
    assert play.running() == ["P-t2 1,1", "P-m 3,1"]


def test_a_change_that_needs_one_of_another_queue_waits_outside(play: Player) -> None:
    apart = play.upload("P", approved=True)
    change = play.upload("P1", depends=(apart.number,))

    play.approve(change)
    assert play.queued() == []
    assert play.told_of(change) == []
    assert play.ignored() == ["it needs 1,1 of P, which is not in the same change queue"]

    play.approve(apart)
    play.drain()
    play.approve(change)
    play.drain()
    assert play.landed() == ["1", "2"]


def test_a_change_waits_outside_until_what_it_needs_is_approved(play: Player) -> None:
    needed = play.upload("P2")
    change = play.upload("P1", depends=(needed.number,))

    play.approve(change)
    assert play.queued() == []

    play.world.update(needed.number, approved=True)
    play.approve(change)
    assert play.queued() == [["1,1", "2,1"]]
    play.release("P2-m")
    play.drain()
    assert play.built("P1-m") == ["1,1 2,1"]
    assert play.landed() == ["1", "2"]


def test_a_change_on_an_outdated_patch_set_waits_outside(play: Player) -> None:
    needed = play.upload("Q", approved=True)
    change = play.upload("Q", depends=(needed.id,))
    play.world.update(needed.number, patchset=2)

    play.approve(change)

    assert play.queued() == []
    assert play.ignored() == ["it needs 1,1, which is not the current patch set"]


def test_all_needed_changes_come_in_ahead_in_their_order(play: Player) -> None:
    """As with two footers, or with one Change-Id on two branches."""
    change = play.upload("P1")
    needed = [play.upload("P2", approved=True), play.upload("P2", approved=True, branch="stable")]
    play.world.update(change.number, depends=tuple(other.number for other in needed))

    play.approve(change)
    play.release("P2-m")
    play.release("P2-m")
    play.drain()

    assert play.built("P1-m") == ["2,1 3,1 1,1"]
    assert play.landed() == ["2", "3", "1"]


def test_an_approved_change_is_pulled_in_behind_the_one_it_needs(play: Player) -> None:
    needed = play.upload("P2")
    play.upload("P1", approved=True, depends=(needed.number,))

    play.approve(needed)

    assert play.queued() == [["1,1", "2,1"]]


def test_a_change_that_is_not_approved_is_not_pulled_in(play: Player) -> None:
    needed = play.upload("P2")
    play.upload("P1", depends=(needed.number,))

    play.approve(needed)

    assert play.queued() == [["1,1"]]


def test_changes_that_need_each_other_do_not_enter(play: Player) -> None:
    first = play.upload("P1", approved=True, depends=("2",))
    second = play.upload("P2", approved=True, depends=("1",))

    play.approve(first, second)
    play.propose(first, second)

    assert play.queued("gate") == play.queued("check") == []
    assert play.world.comments == []
    assert {reason.split(": ")[-1] for reason in play.ignored()} == {"it is part of a dependency cycle"}
    assert not play.state.subjects


def test_a_cycle_is_cured_by_a_new_patch_set_without_it(play: Player) -> None:
    first = play.upload("P1", approved=True, depends=("2",))
    second = play.upload("P2", approved=True, depends=("1",))
    play.approve(first)

    second = play.upload_again(second, depends=())
    play.approve(second)
    play.drain()

    assert play.landed() == ["2", "1"]


def test_a_cycle_that_a_new_patch_set_makes_takes_both_out(play: Player) -> None:
    first = play.upload("P1")
    second = play.upload("P2", depends=(first.number,))
    play.approve(first, second)
    assert play.queued() == [["1,1", "2,1"]]

    first = play.upload_again(first, depends=(second.number,))

    assert play.queued("check") == []
    play.drain()
    assert play.landed() == []
    assert play.told_of(second) == ["start", "dependency-failure"]


def test_a_needed_change_of_an_unknown_project_must_land_elsewhere_first(play: Player) -> None:
    foreign = play.upload("unknown", approved=True)
    change = play.upload("P1", depends=(foreign.number,))

    play.approve(change)
    assert play.queued() == []
    play.world.update(foreign.number, status="MERGED")
    play.approve(change)
    play.drain()

    assert play.landed() == ["2"]
    assert {build.payload.parameters["ZUUL_PROJECT"] for build in play.world.builds.values()} == {"P1"}


def test_in_check_a_needed_change_is_merged_but_not_built_nor_told(play: Player) -> None:
    needed = play.upload("P2")
    change = play.upload("P1", depends=(needed.number,))

    play.propose(change)
    assert play.queued("check") == [["(1,1)", "2,1"]]
    play.drain()

    assert play.built("P1-m") == ["1,1 2,1"]
    assert play.built("P2-m") == []
    assert play.told_of(needed) == []
    assert play.told_of(change) == ["success"]
    assert play.state.pipelines["check"].queues == []
    assert "is a non-live item with no items behind" in play.closed()


def test_the_merge_request_of_a_change_in_check_holds_what_it_needs(play: Player) -> None:
    needed = play.upload("P2")
    change = play.upload("P1", depends=(needed.number,))

    play.send(play.world.tell(change.number, "patchset-created", play.tick()))

    (merge,) = play.merges
    assert [(item["project"], item["number"]) for item in merge.arguments["items"]] == [("P2", "1"), ("P1", "2")]
    assert len({item["ref"] for item in merge.arguments["items"]}) == 2


def test_both_changes_of_a_stack_are_checked_each_with_what_it_needs(play: Player) -> None:
    first, second = stack(play, "P", "P")

    play.propose(first, second)
    play.drain()

    assert play.built("P-m") == ["1,1", "1,1 2,1"]
    assert play.told_of(first) == play.told_of(second) == ["success"]


def test_a_second_event_does_not_add_a_change_twice(play: Player) -> None:
    first, second = stack(play, "P", "P")

    play.propose(second, second, first, first)

    assert play.queued("check") == [["(1,1)", "2,1"], ["1,1"]]


def test_a_pipeline_can_ignore_dependencies() -> None:
    layout = gate_layouts.with_pipeline(gate_layouts.scenario_layout(), "check", ignore_dependencies=True)
    play = Player(layout)
    changes = stack(play, "P", "P", "P")

    play.propose(*changes)
    assert play.queued("check") == [["1,1"], ["2,1"], ["3,1"]]
    play.drain()

    assert play.built("P-m") == ["1,1", "2,1", "3,1"]


def test_a_long_way_of_needs_is_followed_with_the_newest_patch_sets(play: Player) -> None:
    a, b, c = play.upload("P1"), play.upload("P1"), play.upload("P1")
    play.world.update(a.number, depends=(b.number,))
    play.world.update(b.number, depends=(c.number,))
    play.propose(a)

    play.upload_again(c)
    play.upload_again(a)
    play.drain()

    assert play.built("P1-m")[-1] == "3,2 2,1 1,2"


def test_a_change_of_an_unknown_project_is_not_checked_but_used(play: Player) -> None:
    foreign = play.upload("unknown")
    change = play.upload("P1", depends=(foreign.number,))

    play.propose(foreign, change)
    play.drain()

    assert play.told_of(foreign) == []
    assert play.told_of(change) == ["success"]
    assert play.built("P1-m") == ["1,1 2,1"]


def test_a_stack_far_deeper_than_the_window_enters_as_a_whole(play: Player) -> None:
    changes = stack(play, *["Q"] * 400, approved=True)

    play.send(play.world.tell("400", "comment-added", play.tick(), votes=APPROVAL))

    assert play.queued() == [[change.id for change in changes]]


def test_a_whole_deep_stack_can_be_taken_back(play: Player) -> None:
    changes = stack(play, *["Q"] * 400, approved=True)
    play.send(play.world.tell("1", "comment-added", play.tick(), votes=APPROVAL))

    play.abandon(changes[0])

    assert play.queued() == []
    assert [play.told_of(change) for change in changes[1:]] == [["start", "dependency-failure"]] * 399


def test_a_needed_change_that_landed_by_itself_is_not_waited_for(play: Player) -> None:
    first, second = stack(play, "P", "P")
    play.approve(first, second)
    play.world.landed.append(play.world.update(first.number, status="MERGED"))

    play.send(FactsSeen(at=play.tick(), facts=play.world.facts(first.number)))
    play.abandon(first)
    play.drain()

    assert play.told_of(second) == ["start", "success"]
