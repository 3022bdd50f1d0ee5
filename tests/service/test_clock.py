"""Timers fire at their times, by the layout of now. Time goes on when the clock waits, and by nothing else."""

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from support.states import make_layout, make_pipeline

from zuul_launcher.model.events import TimerFired
from zuul_launcher.model.layout import Layout, TimerFilter
from zuul_launcher.service.clock import Clock

EVERY_SECOND = "* * * * * */1"
START = 1_500_000_000.0


class Hours(threading.Event):
    """Stands in for the flag that ends the clock: waiting for it moves the time on, up to an end."""

    def __init__(self, seconds: float, layout: Callable[[float], Layout]) -> None:
        super().__init__()
        self.now = START
        self.layout = layout
        self.fired: list[tuple[str, float]] = []
        self._end = START + seconds

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        if self.now > self._end:
            self.set()
        return self.is_set()

    def note(self, event: TimerFired) -> None:
        self.fired.append((event.pipeline, event.at - START))


def run(seconds: float, layout: Callable[[float], Layout]) -> list[tuple[str, float]]:
    """Pipeline and time of everything that fired; `layout`: the one that is loaded so many seconds after the start."""
    hours = Hours(seconds, layout)
    Clock(lambda: layout(hours.now - START), hours.note, lambda: hours.now, hours).run()
    return hours.fired


def with_timers(*times: str) -> Layout:
    timers = tuple(TimerFilter(time=time) for time in times)
    return make_layout(make_pipeline("nightly", "independent", triggers=timers))


def test_a_timer_fires_each_time_that_it_comes_to() -> None:
    layout = with_timers(EVERY_SECOND)
    assert run(5, lambda _: layout) == [("nightly", float(second)) for second in range(1, 6)]


def test_each_timer_of_a_pipeline_has_its_own_times() -> None:
    layout = with_timers("* * * * *", "* * * * * 30")
    fired = [at for _, at in run(120, lambda _: layout)]
    assert len(fired) == 4
    assert {later - earlier for earlier, later in pairwise(fired)} == {30.0}


def test_timers_go_on_over_new_layouts_and_end_with_one_that_has_none() -> None:
    layouts = [with_timers(EVERY_SECOND) for _ in range(3)] + [with_timers()]
    fired = [at for _, at in run(100, lambda at: layouts[min(int(at // 10), 3)])]
    assert fired[:9] == [float(second) for second in range(1, 10)]
    for reload in (10, 20):  # each new one is planned anew when it is seen
        assert [at for at in fired if reload < at < reload + 10] == [float(reload + second) for second in range(1, 10)]
    assert max(fired) <= 30


def test_a_time_that_is_none_is_told_and_hinders_no_other(caplog: pytest.LogCaptureFixture) -> None:
    layout = with_timers("never", EVERY_SECOND)
    assert run(2, lambda _: layout) == [("nightly", 1.0), ("nightly", 2.0)]
    assert "'never' of pipeline nightly is ignored" in caplog.text
