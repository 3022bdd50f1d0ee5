"""Behaviour 10.8: how many changes of a queue are under way at once. (Who shares a queue is the loader's affair.)"""

import pytest
from support import gate_layouts
from support.player import Player

from zuul_launcher.gate.order import grow, shrink
from zuul_launcher.model.layout import Window
from zuul_launcher.model.queue import Queue


def window(play: Player) -> int:
    """Of the only queue; one that is empty and has the window of the layout is not kept."""
    queues = play.state.pipelines["gate"].queues
    return queues[0].window if queues else play.layout.pipelines["gate"].window.start


def play_with(start: int, floor: int = 1, **fields: object) -> Player:
    return Player(gate_layouts.scenario_layout(window=Window(start=start, floor=floor, **fields)))


def test_the_window_shrinks_with_a_failure_and_grows_with_each_that_lands() -> None:
    play = play_with(2)
    a, b = play.upload("P"), play.upload("P")
    c = play.upload("P", depends=(b.id,))
    play.world.broken.add(("P-t1", a.number))

    play.approve(a, b, c)
    play.release("P-m")
    play.release("P-m")
    assert {line.split(" ", 1)[1] for line in play.running()} == {"1,1", "1,1 2,1"}

    play.release("P-t[12]", on="1,1")
    assert window(play) == 1
    assert play.running() == ["P-m 2,1"]
    play.release("P-m")
    assert play.running() == ["P-t1 2,1", "P-t2 2,1"]
    play.release("P-t[12]")
    assert window(play) == 2
    play.drain()
    assert window(play) == 3
    assert play.landed() == ["2", "3"]


def test_what_needs_a_failed_change_makes_room_for_others() -> None:
    play = play_with(2)
    a = play.upload("P")
    b = play.upload("P", depends=(a.id,))
    c = play.upload("P")
    play.world.broken.add(("P-m", a.number))

    play.approve(a, b, c)
    play.release("P-m")

    assert window(play) == 1
    assert play.running() == ["P-m 3,1"]
    assert play.queued() == [["3,1"]]
    play.drain()
    assert window(play) == 2
    assert play.landed() == ["3"]


def test_one_failure_shrinks_the_window_once_whoever_leaves_with_it() -> None:
    """In v2 each dependent shrinks it again."""
    play = play_with(16)
    first = play.upload("Q")
    play.approve(first, *(play.upload("Q", depends=(first.id,)) for _ in range(3)))
    play.release("Q-only", on="1,1", result="FAILURE")
    assert window(play) == 8


def test_an_item_that_no_job_is_for_any_more_does_not_shrink_the_window() -> None:
    """In v2 it does."""
    play = play_with(4)
    play.approve(play.upload("Q"), play.upload("P"))
    play.load(gate_layouts.with_job(play.layout, "Q-only", branches=("stable",)))
    assert play.queued() == [["2,1"]]
    assert window(play) == 4


def test_a_change_that_gerrit_refused_shrinks_the_window() -> None:
    play = play_with(4)
    play.world.unwanted.add("1")
    play.approve(play.upload("Q"))
    play.drain()
    assert window(play) == 2


def test_window_zero_means_no_limit() -> None:
    play = play_with(0)
    play.approve(*(play.upload("Q") for _ in range(30)))
    assert len(play.running()) == 30
    play.release("Q-only", on="1,1", result="FAILURE")
    assert window(play) == 0
    play.release("Q-only", on="2,1")
    assert window(play) == 0


def test_items_outside_the_window_are_neither_merged_nor_built() -> None:
    play = play_with(2)
    changes = [play.upload("Q") for _ in range(3)]
    play.approve(*changes)

    assert len(play.running()) == 2
    assert play.item_of(changes[2]).build_set.merge == ""


def test_what_runs_goes_on_when_the_window_shrinks_past_it() -> None:
    play = play_with(4, floor=1, decrease_factor=4)
    changes = [play.upload("P") for _ in range(4)]
    play.approve(*changes)
    for _ in range(4):
        play.release("P-m")
    play.release("P-t.", on="1,1", result="FAILURE")

    assert window(play) == 1
    assert play.running() == ["P-m 2,1"]  # the restarted: only the first of them


def test_builds_of_items_that_fell_out_of_the_window_go_on() -> None:
    play = play_with(3, floor=1, decrease_factor=3)
    a, b, c = (play.upload("P") for _ in range(3))
    play.world.conflicts.add(frozenset((a.number, b.number)))
    play.approve(a, b, c)
    play.release("P-m")
    play.release("P-m")
    before = play.running()
    assert before == ["P-t1 1,1", "P-t2 1,1", "P-t1 1,1 3,1", "P-t2 1,1 3,1"]
    play.release("P-t.", on="1,1")  # it lands; then the one in conflict is told so
    assert window(play) == 1
    assert play.running() == ["P-t1 1,1 3,1", "P-t2 1,1 3,1"]
    play.drain()
    assert play.landed() == ["1", "3"]


@pytest.mark.parametrize(
    ("fields", "before", "bigger", "smaller"),
    [
        ({}, 20, 21, 10),
        ({}, 7, 8, 3),
        ({}, 3, 4, 3),
        ({"floor": 1}, 3, 4, 1),
        ({"floor": 1}, 1, 2, 1),
        ({"increase_factor": 3, "decrease_type": "linear", "decrease_factor": 4}, 10, 13, 6),
        ({"decrease_type": "linear", "decrease_factor": 4}, 5, 6, 3),
        ({"increase_type": "exponential", "increase_factor": 2, "decrease_factor": 3}, 10, 20, 3),
        ({}, 0, 0, 0),
    ],
)
def test_a_window_moves_as_the_layout_says(fields: dict[str, object], before: int, bigger: int, smaller: int) -> None:
    window = Window(**fields)
    growing, shrinking = Queue(name="q", window=before), Queue(name="q", window=before)
    grow(growing, window)
    shrink(shrinking, window)
    assert (growing.window, shrinking.window) == (bigger, smaller)


def test_a_window_that_moved_is_remembered_while_the_queue_is_empty() -> None:
    play = play_with(4)
    play.approve(play.upload("Q"))
    play.drain()
    assert window(play) == 5
    play.approve(play.upload("Q"))
    assert window(play) == 5
    play.load(play.layout)
    assert window(play) == 4
