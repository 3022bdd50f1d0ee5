"""Before an event is stored, the layout's patterns are tried on its texts, in a child process with an alarm: one that
would run for ages costs its event, not the gate, and a replay sees what the first run saw.

What was tried is remembered for as long as the layout stays, so most events need one short round trip, or none.
"""

import json
import logging
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

import msgspec

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.model.events import SiblingsSeen
from zuul_launcher.model.layout import Layout
from zuul_launcher.service.patterns import Bringing, E, Group, Text, blanked, groups_of, texts_of
from zuul_launcher.service.screening_child import PROGRESS_BYTES

DEADLINE = 1.0  # seconds of the processor that all patterns may take for one text
PATIENCE = 60.0  # seconds until a child that says nothing is given up, on a machine with no time for it
AT_ONCE = 500  # texts in one round trip
MAXIMUM_BAD = 3  # texts; an event with more of them is dropped: each costs the deadline
REMEMBERED, REMEMBERED_LENGTH = 20_000, 4096  # texts, characters
SHOWN = 60  # characters of a bad text

log = logging.getLogger("zuul_launcher.screening")


class ScreeningFailed(RemoteUnavailable):
    """The child could not be asked: the event waits."""


class Screening:
    """One child process with the patterns of the layout. Used by one thread, but for `complaints`."""

    def __init__(self, layout: Callable[[], Layout], deadline: float = DEADLINE) -> None:
        self._current = layout
        self._deadline = deadline
        self._layout: Layout | None = None
        self._groups: dict[str, Group] = {}
        self._verdicts: dict[Text, str | None] = {}  # text -> the pattern that takes too long on it
        self._child: subprocess.Popen[bytes] | None = None
        self._progress: IO[bytes] | None = None
        self.complaints: deque[str] = deque(maxlen=3)  # for people: the last ones under this layout

    def screen(self, event: E) -> E | None:
        """The event itself if it is harmless, else without what is bad; None if it must not reach the gate at all.
        (Of siblings there is always an answer, since somebody waits for it; it may be empty.)

        ScreeningFailed: try again later.
        """
        bad = self._bad_of(event)
        if not bad:
            return event
        goes = len(bad) > MAXIMUM_BAD or any(not self._groups[text.kind].blank for text in bad)
        marks = tuple(_words(text, pattern, self._deadline) for text, pattern in bad.items())
        for mark in marks:
            complaint = f"{mark}: {'the event is dropped' if goes else 'the text is blanked'}"
            log.error("%s", complaint)
            if complaint not in self.complaints:
                self.complaints.append(complaint)
        if not goes:
            return blanked(event, bad, marks)
        if isinstance(event, SiblingsSeen):
            return msgspec.structs.replace(event, subjects=(), facts=(), blanked=marks)
        return None

    def slow_on(self, event: Bringing) -> tuple[str, ...]:
        """In words, which patterns take too long on which texts. Raises like `screen`."""
        return tuple(_words(text, pattern, self._deadline) for text, pattern in self._bad_of(event).items())

    def stop(self) -> None:
        """End the child. Harmless twice."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def _follow_layout(self) -> None:
        layout = self._current()
        if layout is not self._layout:
            self.stop()
            self._layout, self._groups = layout, groups_of(layout)
            self._verdicts.clear()
            self.complaints.clear()

    def _bad_of(self, event: Bringing) -> dict[Text, str]:
        """Texts on which a pattern takes too long, with the pattern; not all of them if the event is lost anyway."""
        self._follow_layout()
        texts = [text for text in dict.fromkeys(texts_of(event)) if text.text and text.kind in self._groups]
        if len(self._verdicts) > REMEMBERED:
            self._verdicts.clear()
        found: dict[Text, str] = {text: bad for text in texts if (bad := self._verdicts.get(text)) is not None}
        waiting = [text for text in texts if text not in self._verdicts]
        while waiting and len(found) <= MAXIMUM_BAD and all(self._groups[text.kind].blank for text in found):
            asked, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            stopped_at = self._try(asked)
            if stopped_at is not None:
                number, pattern = stopped_at
                text = asked[number]
                found[text] = self._groups[text.kind].patterns[pattern]
                asked, waiting = asked[: number + 1], asked[number + 1 :] + waiting
            for text in asked:
                if len(text.text) <= REMEMBERED_LENGTH:
                    self._verdicts[text] = found.get(text)
        return found

    def _try(self, texts: Sequence[Text]) -> tuple[int, int] | None:
        """One round trip. None: all of them are harmless; else the number of a text, and of a pattern of its group,
        where the alarm went."""
        child = self._child or self._start()
        assert self._progress is not None
        try:
            if self._say(child, texts) and _word_of(child) == b"done":
                return None
            code = child.wait(PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            self.stop()
            raise ScreeningFailed(f"the patterns of the layout could not be tried: {error}") from error
        self._progress.seek(0)
        shown = memoryview(self._progress.read(PROGRESS_BYTES)).cast("I")
        self.stop()
        if code != -signal.SIGVTALRM:
            raise ScreeningFailed(f"the process that tries the patterns of the layout ended with {code}")
        return shown[0], shown[1]

    def _start(self) -> "subprocess.Popen[bytes]":
        self.stop()
        try:
            self._progress = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `stop`
            self._progress.write(bytes(PROGRESS_BYTES))
            descriptor = self._progress.fileno()
            child = subprocess.Popen(
                [*_COMMAND, str(self._deadline), str(descriptor)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[descriptor],
            )
            self._child = child
            groups = {kind: {"search": one.search, "patterns": one.patterns} for kind, one in self._groups.items()}
            if self._say(child, groups) and _word_of(child) == b"ready":
                return child
        except OSError as error:
            self.stop()
            raise ScreeningFailed(f"the patterns of the layout could not be tried: {error}") from error
        self.stop()
        raise ScreeningFailed("the process that tries the patterns of the layout does not start")

    @staticmethod
    def _say(child: "subprocess.Popen[bytes]", message: object) -> bool:
        """False: it has ended."""
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(message).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            return False
        return True


_COMMAND = (sys.executable, "-m", "zuul_launcher.service.screening_child")


def _word_of(child: "subprocess.Popen[bytes]") -> bytes:
    """What it answers; empty if it has ended. OSError: nothing came."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        if not selector.select(PATIENCE):
            raise OSError(f"no answer within {PATIENCE:g} s")
    return child.stdout.readline().strip()


def _words(text: Text, pattern: str, deadline: float) -> str:
    shown = text.text if len(text.text) <= SHOWN else text.text[:SHOWN] + "…"
    return f"the layout's pattern {pattern!r} runs for more than {deadline:g} s on the {text.kind} {shown!r}"
