"""The console of one build: what its steps print, as it comes, in console.log, with the time of each line beside it.

UTF-8; what is none becomes U+FFFD. No line is longer than a limit: it is split. Over the limit of the whole, output is
dropped and a mark says so; what we have to say ourselves is still written. Nothing that goes wrong here (a full disk)
ends a step. Readers follow without polling.
"""

import codecs
import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from zuul_launcher.worker.builds.limits import Limits
from zuul_launcher.worker.builds.mask import Masker
from zuul_launcher.worker.places import BuildFolder

CHUNK = 64 * 1024
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
OWN_BYTES = 1 << 20  # of our own words, beyond the limit

log = logging.getLogger("zuul_launcher.worker.builds.console")


class Console:
    """From any thread. `clock`: Unix time."""

    def __init__(self, folder: BuildFolder, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        folder.path.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_TRUNC
        self._folder, self._limits, self._clock = folder, limits, clock
        self._log = os.open(folder.console, flags, 0o644)
        self._times = os.open(folder.times, flags, 0o644)
        self._change = threading.Condition()
        self._masker = Masker(())
        self._secrets: Sequence[str] = ()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._size = 0
        self._column = 0  # bytes of the line that is being written
        self._is_full = False
        self._is_broken = False
        self._is_closed = False

    @property
    def secrets(self) -> Sequence[str]:
        """What is not shown."""
        return self._secrets

    def hide(self, secrets: Sequence[str]) -> None:
        """From now on these are masked, and no others."""
        with self._change:
            self._emit(self._masker.end())
            self._secrets = tuple(secrets)
            self._masker = Masker(secrets)

    def write(self, data: bytes) -> int:
        """Output of a step. ValueError: the build is over; whoever still writes loses its reader."""
        with self._change:
            if self._is_closed:
                raise ValueError("the console is closed")
            self._emit(self._masker.add(data))
        return len(data)

    def note(self, text: str) -> None:
        """A line of ours, on a line of its own."""
        with self._change:
            if self._is_closed:
                return
            self._flush()
            if self._column:
                self._put(b"\n")
            shown = self._masker.text(text.encode(errors="replace"))
            self._put(shown.rstrip(b"\n") + b"\n", is_ours=True)

    def flush(self) -> None:
        """A step has ended: what was held back is shown."""
        with self._change:
            if not self._is_closed:
                self._flush()

    def close(self) -> None:
        with self._change:
            if self._is_closed:
                return
            self._flush()
            self._is_closed = True
            os.close(self._log)
            os.close(self._times)
            self._change.notify_all()

    def follow(self) -> Iterator[bytes]:
        """All of it from its beginning, as it grows, until it is closed."""
        with self._folder.console.open("rb") as file:
            while True:
                with self._change:
                    self._change.wait_for(lambda: self._size > file.tell() or self._is_closed or self._is_broken)
                    is_last = self._is_closed or self._is_broken
                while chunk := file.read(CHUNK):
                    yield chunk
                if is_last:
                    return

    def _flush(self) -> None:
        self._emit(self._masker.end())
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        self._put(rest.encode())

    def _emit(self, data: bytes) -> None:
        if data:
            self._put(self._decoder.decode(data).encode())

    def _put(self, data: bytes, is_ours: bool = False) -> None:
        room = self._limits.console_bytes + (OWN_BYTES if is_ours else 0) - self._size
        if self._is_broken or not data or (self._is_full and not is_ours):
            return
        if len(data) > room:
            self._is_full = True
            if is_ours:
                return
            data = data[: max(0, room)].decode(errors="ignore").encode()
            mark = f"\n[truncated: the console is longer than {self._limits.console_bytes} bytes]\n"
            data += mark.encode()
        self._store(data)

    def _store(self, data: bytes) -> None:
        pieces = _LINE.findall(data)
        if self._column + max(map(len, pieces)) > self._limits.line_bytes:
            columns = (self._column, *(0 for _ in pieces[1:]))
            pieces = [piece for line, at in zip(pieces, columns, strict=True) for piece in self._split(line, at)]
        starts = list(itertools.accumulate(map(len, pieces), initial=self._size))
        end = starts.pop()
        if self._column:
            starts = starts[1:]
        self._column = self._after(pieces)
        try:
            _write_all(self._log, b"".join(pieces))
            if starts:
                time = f" {round(self._clock() * 1000)}\n"
                _write_all(self._times, (time.join(map(str, starts)) + time).encode())
        except OSError as error:
            self._is_broken = True
            log.error("%s: nothing more can be written: %s", self._folder.console, error)
        self._size = end
        self._change.notify_all()

    def _after(self, pieces: Sequence[bytes]) -> int:
        """The column after these."""
        last = pieces[-1]
        if last.endswith(b"\n"):
            return 0
        return len(last) + (self._column if len(pieces) == 1 else 0)

    def _split(self, line: bytes, column: int) -> Iterator[bytes]:
        """In parts that fit, each but the last with an end of its own; no character is cut."""
        most = self._limits.line_bytes
        while column + len(line.rstrip(b"\n")) > most:
            room = most - column
            while room > 0 and line[room] & 0xC0 == 0x80:
                room -= 1
            yield line[:room] + b"\n"
            line, column = line[room:], 0
        if line:
            yield line


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
