"""The lock between GRAB and executor, without any connection."""

import random
from collections import deque

import pytest

from zuul_launcher.worker.queue.claim import Claim, NoSlot, NotInTime
from zuul_launcher.worker.queue.monitor import HeldSlot, Monitor


class Asker:
    """A connection as the monitor sees it."""

    def __init__(self, monitor: Monitor, index: int = 0) -> None:
        self.index = index
        self.turns = 0
        self._monitor = monitor

    def ask(self) -> None:
        self._monitor.ask(self, self._granted)

    def _granted(self) -> None:
        self.turns += 1

    def take(self) -> HeldSlot:
        """Given a job in its turn."""
        slot = self._monitor.reserve(self)
        assert slot is not None
        self._monitor.give_back(self)
        return slot


def askers(monitor: Monitor, count: int) -> list[Asker]:
    found = [Asker(monitor, index) for index in range(count)]
    for one in found:
        one.ask()
    return found


def claimed(*monitors: Monitor) -> HeldSlot:
    with Claim() as claim:
        return claim.wait(monitors, 0.0)


def test_one_at_a_time_has_the_turn() -> None:
    monitor = Monitor("n", 4)
    first, second = askers(monitor, 2)
    assert (first.turns, second.turns) == (1, 0)
    assert (monitor.has_turn(first), monitor.has_turn(second)) == (True, False)
    monitor.give_back(first)
    assert (first.turns, second.turns) == (1, 1)


def test_nobody_has_the_turn_while_no_executor_is_idle() -> None:
    """D23."""
    monitor = Monitor("n", 2)
    first, second, third = askers(monitor, 3)
    slots = [first.take(), second.take()]
    assert third.turns == 0
    slots[0].release()
    assert third.turns == 1


def test_the_slot_is_reserved_before_the_turn_ends() -> None:
    monitor = Monitor("n", 1)
    first, second = askers(monitor, 2)
    slot = monitor.reserve(first)
    monitor.give_back(first)
    assert second.turns == 0
    assert slot is not None
    slot.release()
    assert second.turns == 1


def test_who_has_not_the_turn_reserves_nothing_and_ends_nothing() -> None:
    monitor = Monitor("n", 4)
    first, second, third = askers(monitor, 3)
    assert monitor.reserve(second) is None
    monitor.give_back(second)
    assert third.turns == 0
    monitor.give_back(first)
    assert (second.turns, third.turns) == (0, 1), "who gave back does not wait any more"


def test_an_executor_gets_its_own_slot_or_the_lowest_that_is_free() -> None:
    monitor = Monitor("n", 3)
    first, second = Asker(monitor, 1), Asker(monitor, 1)
    first.ask()
    own = first.take()
    second.ask()
    other = second.take()
    assert (own.index, other.index) == (1, 0)


def test_a_slot_is_released_once_however_often_it_is_said() -> None:
    monitor = Monitor("n", 1)
    first, second, third = askers(monitor, 3)
    slot = first.take()
    slot.release()
    taken = second.take()
    slot.release()
    assert third.turns == 0
    taken.release()
    assert third.turns == 1


def test_a_build_by_hand_takes_no_executor_that_a_turn_may_need() -> None:
    """D25."""
    monitor = Monitor("n", 1)
    (first,) = askers(monitor, 1)
    with pytest.raises(NoSlot):
        claimed(monitor)
    monitor.give_back(first)
    slot = claimed(monitor)
    first.ask()
    assert first.turns == 1
    slot.release()
    assert first.turns == 2


def test_a_build_by_hand_gets_its_turn_among_connections_that_always_have_work() -> None:
    monitor = Monitor("n", 1)
    first, second = askers(monitor, 2)
    offers: list[HeldSlot] = []
    monitor.claim(offers.append)
    first.take().release()
    assert not offers, "the second one was before"
    first.ask()
    second.take().release()
    assert len(offers) == 1
    assert first.turns == 1


def test_a_claim_keeps_one_slot_of_all_nodes_and_gives_the_others_back() -> None:
    monitors = [Monitor("a", 1), Monitor("b", 1)]
    slot = claimed(*monitors)
    assert slot.node == "a"
    assert [one.busy for one in monitors] == [1, 0]
    assert claimed(*monitors).node == "b"
    with pytest.raises(NoSlot, match="a, b"):
        claimed(*monitors)


def test_a_claim_keeps_its_place_while_it_waits_again_and_again() -> None:
    monitor = Monitor("n", 1)
    slot = claimed(monitor)
    with Claim() as claim:
        with pytest.raises(NotInTime):
            claim.wait([monitor], 0.0)
        (later,) = askers(monitor, 1)
        with pytest.raises(NotInTime):
            claim.wait([monitor], 0.0)
        slot.release()
        assert later.turns == 0
        slot = claim.wait([monitor], 0.0)
    assert monitor.busy == 1
    slot.release()
    assert later.turns == 1


def test_a_claim_goes_with_the_nodes_that_there_are() -> None:
    gone, new = Monitor("gone", 1), Monitor("new", 1)
    slot = claimed(gone)
    with Claim() as claim:
        with pytest.raises(NotInTime):
            claim.wait([gone], 0.0)
        assert claim.wait([new], 0.0).node == "new"
        slot.release()
        assert gone.busy == 0


def test_a_claim_that_ends_gives_back_what_came_late_and_takes_nothing_more() -> None:
    monitors = [Monitor("a", 1), Monitor("b", 1)]
    slots = [claimed(monitor) for monitor in monitors]
    with Claim() as claim:
        with pytest.raises(NotInTime):
            claim.wait(monitors, 0.0)
        slots[0].release()
        assert [one.busy for one in monitors] == [1, 1]
    slots[1].release()
    assert [one.busy for one in monitors] == [0, 0]
    assert claimed(monitors[1]).node == "b"


def test_a_build_keeps_others_out_until_it_is_released() -> None:
    """D61."""
    monitor = Monitor("n", 4)
    first, second = askers(monitor, 2)
    slot = monitor.reserve(first)
    assert slot is not None
    slot.keep_others_out()
    monitor.give_back(first)
    with pytest.raises(NoSlot):
        claimed(monitor)
    assert second.turns == 0
    slot.release()
    assert second.turns == 1


def test_executors_beyond_the_new_size_end_with_their_builds() -> None:
    monitor = Monitor("n", 2)
    first, second, third = askers(monitor, 3)
    slots = [first.take(), second.take()]
    monitor.resize(1)
    slots[0].release()
    assert third.turns == 0
    slots[1].release()
    assert third.turns == 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_executors_are_neither_overrun_nor_left_idle(seed: int) -> None:
    choices = random.Random(seed)
    monitor = Monitor("n", 3)
    everyone = [Asker(monitor, index) for index in range(5)]
    holding: dict[Asker, int] = {}  # turns that each had when it asked
    slots: deque[HeldSlot] = deque()
    for _ in range(300):
        asker = choices.choice(everyone)
        has_turn = asker in holding and asker.turns > holding[asker]
        match choices.randrange(4):
            case 0 if asker not in holding:
                holding[asker] = asker.turns
                asker.ask()
            case 1 if has_turn:
                del holding[asker]
                slots.append(asker.take())
            case 2 if asker in holding:
                del holding[asker]
                monitor.give_back(asker)
            case 3 if slots:
                slots.rotate(choices.randrange(3))
                slots.pop().release()
        in_turn = [one for one in holding if one.turns > holding[one]]
        assert len({slot.index for slot in slots}) == len(slots) == monitor.busy <= 3
        assert len(in_turn) == (1 if holding and len(slots) < 3 else 0)
