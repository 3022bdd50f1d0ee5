"""Log lines to a target that stays where it is. Runs on the node too.

1. Whole lines: what several threads write is never mixed within a line. A line without its end is sent by `flush`,
   and when the call that brought the sink ends.
2. Nobody waits for the target, but for its window. The caller sees the answer of a call after all that the call wrote
   to its sinks, and to others; a slow target holds up no other call.
3. A target may make calls on the channel. Such a call waits for the sinks that it brings along only: the sink whose
   target it is would wait for it.
4. After the channel is lost, what is written is dropped and counted: logging ends no work.
"""

from __future__ import annotations

import codecs
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting.context import current_call
from zuul_launcher.remoting.errors import ChannelClosed, ProtocolError, ResultRejected
from zuul_launcher.remoting.pipeends import PipeReader, PipeWriter
from zuul_launcher.remoting.portable import Portable, travel

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

LOG = logging.getLogger(__name__)
_LONGEST = 1 << 16  # characters of a line that are kept back


class _Here(threading.local):
    delivers = False


_here = _Here()


def delivers() -> bool:
    """Whether the calling thread runs the target of a sink."""
    return _here.delivers


class SinkEnd(PipeReader):
    """The end beside the target: data are delivered in the order in which they came, on a thread of its own."""

    def __init__(self, target: Callable[[bytes], object]) -> None:
        super().__init__()
        self._target = target
        self._failed = False
        self._waiting = 0
        self._queue: deque[bytes | Callable[[], object]] = deque()
        self._busy = False

    def feed(self, data: bytes, window: int) -> None:
        channel = self.channel
        with self.condition:
            if self.ended or channel is None:
                return
            self._waiting += len(data)
            if self._waiting > window:
                raise ProtocolError(f"sink {self.number}: more than its window of {window} bytes")
            self._queue.append(data)
            if self._busy:
                return
            self._busy = True
        channel.delivery.submit(self._drain)

    def after(self, then: Callable[[], object]) -> bool:
        """Call `then` when all that has come so far is delivered. False: it is, and `then` is not called."""
        with self.condition:
            if self._busy:
                self._queue.append(then)
            return self._busy

    def end(self, error: BaseException | None) -> None:
        """The far side has let go of it. It is known until all is delivered."""
        with self.condition:
            self.ended = True
            if self._busy:
                self._queue.append(self.forget)
                return
        self.forget()

    def _drain(self) -> None:
        while True:
            with self.condition:
                if not self._queue:
                    self._busy = False
                    return
                item = self._queue.popleft()
            if isinstance(item, bytes):
                self._deliver(item)
            else:
                item()

    def _deliver(self, data: bytes) -> None:
        if not self._failed:
            _here.delivers = True
            try:
                self._target(data)
            except Exception:
                self._failed = True
                LOG.exception("the target of a sink failed: what else comes for it is dropped")
            finally:
                _here.delivers = False
        with self.condition:
            self._waiting -= len(data)
        try:
            self.consumed(len(data))
        except ChannelClosed:
            pass


class Sent:
    """A sink end that a message has opened."""

    def __init__(self, end: SinkEnd) -> None:
        self.end = end

    def undo(self) -> None:
        self.end.undo()

    def departed(self) -> None:
        """The far side closes it."""

    def answered(self) -> None:
        """It may outlive the call."""


def send_sink(channel: Channel, target: Callable[[bytes], object]) -> int:
    """Open a sink end; its number for the far side."""
    end = SinkEnd(target)
    number = channel.open_pipe(end)
    if travel.parcel is not None:
        travel.parcel.append(Sent(end))
    return number


class SinkWriter(PipeWriter):
    """The end on the far side. The call that writes knows it."""

    def write(self, data: Any, /) -> int:
        count = super().write(data)
        call = current_call()
        if call is not None and call.channel is self.channel:
            call.note_sink(self.number)
        return count


def take_writer(channel: Channel, number: Any) -> PipeWriter:
    """The writer for a sink end of the far side."""
    writer = SinkWriter()
    if type(number) is not int or not channel.adopt_pipe(number, writer):
        raise ResultRejected(f"a sink of number {number!r:.40}, which is in use or not the far side's")
    return writer


class LogSink(Portable, kind="sink"):
    """`LogSink(target)`: as argument of a call, an object with `write(text)` and `flush()` on the far side.

    `target(text)` is called on a thread of the channel. Used on this side, `write` calls it at once.
    """

    def __init__(self, target: Callable[[str], object]) -> None:
        self._target = target

    def write(self, text: str) -> int:
        """Hand over."""
        self._target(text)
        return len(text)

    def flush(self) -> None:
        """All was handed over."""

    def depart(self, channel: Channel) -> Any:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return send_sink(channel, lambda data: self._target(decoder.decode(data)))

    @classmethod
    def arrive(cls, data: Any, channel: Channel) -> Any:
        sink = RemoteSink(take_writer(channel, data), channel)
        if travel.parcel is not None:
            travel.parcel.append(sink)
        return sink


class RemoteSink:
    """The far side of a LogSink."""

    def __init__(self, writer: PipeWriter, channel: Channel) -> None:
        self._writer = writer
        self._channel = channel
        self._lock = threading.Lock()
        self._line = ""
        self.dropped = 0  # characters

    def write(self, text: str) -> int:
        """Send whole lines; keep the rest. Waits while the target is a window behind."""
        with self._lock:
            self._line += text
            end = len(self._line) if len(self._line) > _LONGEST else self._line.rfind("\n") + 1
            lines, self._line = self._line[:end], self._line[end:]
            self._send(lines)
        return len(text)

    def flush(self) -> None:
        """Send an unfinished line too."""
        with self._lock:
            lines, self._line = self._line, ""
            self._send(lines)

    def _send(self, text: str) -> None:
        if text:
            try:
                self._writer.write(text.encode("utf-8", "backslashreplace"))
            except OSError:
                self.dropped += len(text)

    def finish(self, error: BaseException | None) -> None:
        """The call that brought the sink has ended."""
        self.flush()

    def __del__(self) -> None:
        self._channel.abandoned.append(self._writer)  # closed by the watch: no lock may be taken here
