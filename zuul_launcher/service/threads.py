"""Start threads, start them again when they die, end them. The only place where threads are made for shells."""

import logging
import threading
from collections.abc import Callable

from zuul_launcher.db.lease import Fenced

DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a thread that died is started again
JOIN_SECONDS = 10.0

log = logging.getLogger("zuul_launcher.threads")


class Crew:
    """Threads that end when `stopping` is set. `fatal` is called once if this process must not go on."""

    def __init__(self, stopping: threading.Event, fatal: Callable[[BaseException], None]) -> None:
        self.stopping = stopping
        self._fatal = fatal
        self._threads: list[threading.Thread] = []
        self.deaths: dict[str, int] = {}  # name -> how often

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread of this name, again and again until it returns."""
        thread = threading.Thread(target=self._look_after, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _look_after(self, name: str, work: Callable[[], None]) -> None:
        deaths = 0
        while not self.stopping.is_set():
            try:
                work()
                return
            except Fenced as error:
                self._fatal(error)
                return
            except Exception:
                if self.stopping.is_set():
                    return
                delay = DELAYS[min(deaths, len(DELAYS) - 1)]
                deaths += 1
                self.deaths[name] = deaths
                log.exception("thread %s died (%d so far) and starts again in %g s", name, deaths, delay)
                self.stopping.wait(delay)

    def join(self) -> None:
        """Wait for all, after `stopping` is set and they have been woken."""
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
            if thread.is_alive():
                log.error("thread %s did not end within %g s", thread.name, JOIN_SECONDS)
