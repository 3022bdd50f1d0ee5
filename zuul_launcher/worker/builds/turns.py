"""Who may go on: things that only so many builds have at once (a job, a group, a workspace), in the order of asking.

A build asks for all it needs in one step, so none waits with something in its hands that another one waits for. The
first in the line gets what it needs as soon as it is there; who needs other things may pass.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from zuul_launcher.worker.builds.abort import Abort

Thing = tuple[Any, ...]  # its kind, and which one


class _Waiting:
    def __init__(self, wanted: Mapping[Thing, int]) -> None:
        self.wanted = wanted
        self.woken = threading.Event()
        self.is_served = False


class Turns:
    """From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[Thing] = Counter()
        self._line: list[_Waiting] = []

    @contextmanager
    def taken(
        self, wanted: Mapping[Thing, int], abort: Abort, on_wait: Callable[[], object] = lambda: None
    ) -> Iterator[None]:
        """Waits until of each thing less than so many are taken, then takes it for the block.

        `on_wait` is called once if there is a wait. Raises Aborted.
        """
        waiting = _Waiting(wanted)
        with self._lock:
            self._line.append(waiting)
            self._serve()
        try:
            if not waiting.is_served:
                on_wait()
                with abort.reaction(waiting.woken.set):
                    waiting.woken.wait()
            abort.check()
            yield
        finally:
            with self._lock:
                if waiting.is_served:
                    self._taken.subtract(wanted.keys())
                    self._taken += Counter()  # forgets what nobody has
                else:
                    self._line.remove(waiting)
                self._serve()

    @contextmanager
    def first_free(self, candidates: Iterable[Thing]) -> Iterator[Thing]:
        """Takes the first of them that nobody has; there must be one."""
        with self._lock:
            found = next(each for each in candidates if not self._taken[each])
            self._taken[found] += 1
        try:
            yield found
        finally:
            with self._lock:
                self._taken.subtract((found,))
                self._taken += Counter()
                self._serve()

    def _serve(self) -> None:
        full: set[Thing] = set()
        for waiting in list(self._line):
            lacking = {thing for thing, most in waiting.wanted.items() if thing in full or self._taken[thing] >= most}
            if lacking:
                full |= lacking
                continue
            self._taken.update(waiting.wanted.keys())
            self._line.remove(waiting)
            waiting.is_served = True
            waiting.woken.set()
