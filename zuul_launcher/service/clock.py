"""Timers: looks at the layout's cron times, and says when one has come."""

import logging
import threading
from collections.abc import Callable

from zuul_launcher.cron import next_time
from zuul_launcher.model.events import TimerFired
from zuul_launcher.model.layout import Layout, TimerFilter

LONGEST_SLEEP = 5.0  # seconds: a new layout may bring new timers

log = logging.getLogger("zuul_launcher.clock")


class Clock:
    """Times that pass while no scheduler runs are not made up for, as in v2."""

    def __init__(
        self,
        layout: Callable[[], Layout],
        post: Callable[[TimerFired], None],
        now: Callable[[], float],
        stopping: threading.Event,
    ) -> None:
        self._layout = layout
        self._post = post
        self._now = now
        self._stopping = stopping

    def run(self) -> None:
        """Until told to stop."""
        known: Layout | None = None
        due: dict[tuple[str, str], float] = {}  # (pipeline, time) -> when
        while not self._stopping.is_set():
            layout, now = self._layout(), self._now()
            if layout is not known:
                due = _plan(layout, now)
                known = layout
            for key in [key for key, at in due.items() if at <= now]:
                self._post(TimerFired(at=now, pipeline=key[0]))
                due[key] = next_time(key[1], now)
            self._stopping.wait(min([LONGEST_SLEEP, *(at - now for at in due.values())]))


def _plan(layout: Layout, now: float) -> dict[tuple[str, str], float]:
    due: dict[tuple[str, str], float] = {}
    for pipeline in layout.pipelines.values():
        for trigger in pipeline.triggers:
            if isinstance(trigger, TimerFilter):
                try:
                    due[pipeline.name, trigger.time] = next_time(trigger.time, now)
                except ValueError as error:
                    log.error("the timer %r of pipeline %s is ignored: %s", trigger.time, pipeline.name, error)
    return due
