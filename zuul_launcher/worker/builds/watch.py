"""Looks after builds that run, if the settings ask for it: sends their progress, ends those that nobody waits for."""

import logging
import threading
from collections.abc import Callable, Sequence

from zuul_launcher.worker.builds.build import Build
from zuul_launcher.worker.builds.limits import Limits

log = logging.getLogger("zuul_launcher.worker.builds")


class Watch:
    """`clock`: seconds that only grow."""

    def __init__(self, limits: Limits, builds: Callable[[], Sequence[Build]], clock: Callable[[], float]) -> None:
        self.faults = 0  # of ours, so far
        self._limits, self._builds, self._clock = limits, builds, clock
        self._alone: dict[int, tuple[Build, float]] = {}  # since when nobody waits for it
        self._told: dict[int, tuple[Build, float]] = {}  # when its progress was told
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        if limits.status_interval > 0 or limits.on_connection_loss == "abort":
            self._thread = threading.Thread(target=self._keep, name="watch of builds", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._limits.watch_interval):
            try:
                self.look()
            except Exception:
                self.faults += 1
                log.exception("a look at the builds failed, it is tried again")

    def look(self) -> None:
        """Once."""
        now, builds = self._clock(), self._builds()
        alive = {id(build) for build in builds}
        for table in (self._alone, self._told):
            for gone in table.keys() - alive:
                del table[gone]
        for build in builds:
            if self._limits.on_connection_loss == "abort":
                self._look_for_client(build, now)
            interval = self._limits.status_interval
            if interval > 0 and now - self._told.setdefault(id(build), (build, now))[1] >= interval:
                self._told[id(build)] = (build, now)
                build.tell_progress()

    def _look_for_client(self, build: Build, now: float) -> None:
        if build.is_waited_for:
            self._alone.pop(id(build), None)
        elif now - self._alone.setdefault(id(build), (build, now))[1] >= self._limits.lost_grace:
            build.ask("lost")
