"""The wish that a build ends, and what is done about it. It never waits: whoever asks has other things to do.

`stopped`: a client or a person asked for it. `shutdown`: the manager ends. `lost`: nobody waits for the result.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from zuul_launcher.errors import ZuulLauncherError

Reason = Literal["stopped", "shutdown", "lost"]


class Aborted(ZuulLauncherError):
    """What was going on was ended by an abort."""


class Abort:
    """From any thread. The first reason stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._reason: Reason | None = None
        self._numbers = itertools.count()
        self._reactions: dict[int, Callable[[], object]] = {}

    @property
    def reason(self) -> Reason | None:
        return self._reason

    def ask(self, reason: Reason) -> bool:
        """Begins to end it; returns at once. False: that has been asked before."""
        with self._lock:
            if self._reason is not None:
                return False
            self._reason = reason
            reactions = list(self._reactions.values())
        self._asked.set()
        for reaction in reactions:
            _run(reaction)
        return True

    def check(self) -> None:
        """Raises Aborted."""
        if self._reason is not None:
            raise Aborted(self._reason)

    def wait(self, seconds: float) -> None:
        """A pause. Raises Aborted as soon as it is asked for."""
        self._asked.wait(seconds)
        self.check()

    @contextmanager
    def reaction(self, reaction: Callable[[], object]) -> Iterator[None]:
        """While the block runs, an abort calls `reaction` in a thread of its own; at once if it came before."""
        with self._lock:
            number = next(self._numbers)
            self._reactions[number] = reaction
            is_late = self._reason is not None
        if is_late:
            _run(reaction)
        try:
            yield
        finally:
            with self._lock:
                del self._reactions[number]


def _run(reaction: Callable[[], object]) -> None:
    threading.Thread(target=reaction, name="abort", daemon=True).start()
