"""Is a function offered by any worker? Asked of the server with `status`, at most once per 5 s; whoever misses one
waits for it.

Names are remembered while the connection lasts (also those that have no worker at the moment), and, as workers need a
while to come back after a server did, for a minute of the next one.
"""

import time
from collections.abc import Callable
from functools import partial

from zuul_launcher.gearman.client import Client

ASK_SECONDS = 5.0
REMEMBER_SECONDS = 60.0


class Registrations:
    """All methods run on the client's thread."""

    def __init__(self, client: Client, ask_seconds: float = ASK_SECONDS) -> None:
        self._client = client
        self._ask_seconds = ask_seconds
        self._seen: dict[str, float] = {}  # name -> monotonic seconds of the latest answer that had it
        self._waiting: list[tuple[str, Callable[[], None], Callable[[], None]]] = []

    def learn(self) -> None:
        """Take over what the client heard last. Who waited for an answer on a connection that broke is not called any
        more."""
        self._waiting.clear()
        self._remember()

    def look_up(self, function: str, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """Call one of the two, unless the connection breaks before that is known."""
        if self._is_known(function):
            then()
            return
        self._waiting.append((function, then, otherwise))
        if len(self._waiting) == 1:
            connection = self._client.connected_at
            delay = self._client.functions_at + self._ask_seconds - time.monotonic()
            self._client.call_later(max(0.0, delay), partial(self._ask, connection))

    def _ask(self, connection: float) -> None:
        if connection == self._client.connected_at:
            self._client.ask_functions(self._decide)

    def _decide(self, lines: list[str] | None) -> None:
        if lines is None:
            return
        self._remember()
        waiting, self._waiting = self._waiting, []
        for function, then, otherwise in waiting:
            (then if self._is_known(function) else otherwise)()

    def _remember(self) -> None:
        self._seen |= dict.fromkeys(self._client.functions, self._client.functions_at)

    def _is_known(self, function: str) -> bool:
        seen = self._seen.get(function)
        if seen is None:
            return False
        connected_at = self._client.connected_at
        return seen >= connected_at or time.monotonic() < connected_at + REMEMBER_SECONDS
