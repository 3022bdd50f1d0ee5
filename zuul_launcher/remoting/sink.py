"""Log lines to a target that stays where it is. Runs on the node too.

1. Whole lines: what several threads write is never mixed within a line. A line without its end is sent by `flush`,
   and when the call that brought the sink ends.
2. Nobody waits for the target, but for its window. The caller sees the result of a call after all that the call wrote.
3. After the channel is lost, what is written is dropped and counted: logging ends no work.
"""

from __future__ import annotations

import codecs
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting.errors import ChannelClosed, ProtocolError, ResultRejected
from zuul_launcher.remoting.pipeends import PipeReader, PipeWriter
from zuul_launcher.remoting.portable import Portable, travel

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

LOG = logging.getLogger(__name__)
_LONGEST = 1 << 16  # characters of a line that are kept back


class SinkEnd(PipeReader):
    """The end beside the target: data are delivered in the order in which they came."""

    def __init__(self, target: Callable[[bytes], object]) -> None:
        super().__init__()
        self._target = target
        self._failed = False
        self._waiting = 0

    def feed(self, data: bytes, window: int) -> None:
        channel = self.channel
        with self.condition:
            if self.ended or channel is None:
                return
            self._waiting += len(data)
            if self._waiting > window:
                raise ProtocolError(f"sink {self.number}: more than its window of {window} bytes")
        channel.delivery.submit(lambda: self._deliver(data))

    def _deliver(self, data: bytes) -> None:
        if not self._failed:
            try:
                self._target(data)
            except Exception:
                self._failed = True
                LOG.exception("the target of a sink failed: what else comes for it is dropped")
        with self.condition:
            self._waiting -= len(data)
        try:
            self.consumed(len(data))
        except ChannelClosed:
            pass


class Sent:
    """A sink end that a message has opened."""

    def __init__(self, end: SinkEnd) -> None:
        self._end = end

    def undo(self) -> None:
        self._end.undo()

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


def take_writer(channel: Channel, number: Any) -> PipeWriter:
    """The writer for a sink end of the far side."""
    writer = PipeWriter()
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
