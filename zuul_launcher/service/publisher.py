"""Hangs the newest status document on the board: at most once a second, and only if somebody may look at it."""

from collections.abc import Callable

from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State
from zuul_launcher.report.text import ParametersOf
from zuul_launcher.settings import Zuul
from zuul_launcher.web.board import Board
from zuul_launcher.web.status import View, document, encode

SECONDS = 1.0


class Publisher:
    """Used by the loop's thread; `running_jobs` by any."""

    def __init__(
        self, board: Board, zuul: Zuul, parameters: ParametersOf, version: str, clock: Callable[[], float]
    ) -> None:
        self._board = board
        self._zuul = zuul
        self._parameters = parameters
        self._version = version
        self._clock = clock
        self._sequence = -1  # of the state that was published last
        self._said: tuple[str | None, ...] = ()
        self._at = 0.0

    def publish(
        self, state: State, layout: Layout, errors: tuple[str, ...], lengths: tuple[int, int], message: str | None
    ) -> float:
        """Publish if there is news, or times that somebody looks at grew old. Seconds until the next look.

        `lengths`: triggers and results that wait. `message`: for everybody, on top of the page.
        """
        now = self._clock()
        if now - self._at < SECONDS:
            return SECONDS - (now - self._at)
        is_new = state.sequence != self._sequence or (message, *errors) != self._said
        if not is_new and self._board.asked_at <= self._at:
            return 60.0
        view = View(
            now=now,
            version=self._version,
            message=message,
            trigger_events=lengths[0],
            result_events=lengths[1],
            url_pattern=self._zuul.url_pattern,
            parameters=self._parameters,
            errors=errors,
        )
        self._board.publish(encode(document(state, layout, view)), now)
        self._sequence, self._said, self._at = state.sequence, (message, *errors), now
        return SECONDS

    def running_jobs(self) -> bytes:
        """All items of the newest document, as JSON."""
        newest = self._board.newest
        return b"[]" if newest is None else newest.items()
