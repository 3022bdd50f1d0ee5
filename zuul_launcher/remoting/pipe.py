"""A pipe as an argument of a call: bytes from one side to the other while the call runs. Runs on the node too.

It is made before the call and sent once; each side then has one end. How ends behave is told in `pipeends`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting import codec, frames, records
from zuul_launcher.remoting.errors import PipeReused, ProtocolError, ResultRejected
from zuul_launcher.remoting.pipeends import ACK, ID, PipeReader, PipeWriter
from zuul_launcher.remoting.portable import Portable, travel

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel


class Pipe(Portable, kind="pipe"):
    """Made before a call and passed as its argument, once. Each side has one of `reader` and `writer`."""

    def __init__(self, reader: PipeReader | None, writer: PipeWriter | None) -> None:
        self._reader = reader
        self._writer = writer
        self._sent = False

    @classmethod
    def to_remote(cls) -> Pipe:
        """Write here, read there."""
        return cls(None, PipeWriter())

    @classmethod
    def to_local(cls) -> Pipe:
        """Write there, read here."""
        return cls(PipeReader(), None)

    @property
    def reader(self) -> PipeReader:
        """ValueError: it is on the other side."""
        if self._reader is None:
            raise ValueError("the reader of this pipe is on the other side")
        return self._reader

    @property
    def writer(self) -> PipeWriter:
        """ValueError: it is on the other side."""
        if self._writer is None:
            raise ValueError("the writer of this pipe is on the other side")
        return self._writer

    def depart(self, channel: Channel) -> Any:
        if self._sent:
            raise PipeReused("a pipe is for one call: this one was sent before")
        end = self._reader or self._writer
        assert end is not None
        self._sent = True
        number = channel.open_pipe(end)  # data may follow once the message is on its way, see `departed`
        if travel.parcel is not None:
            travel.parcel.append(_Sent(self, end))
        return [number, self._writer is not None]

    def undo(self) -> None:
        """The message was not sent after all."""
        self._sent = False

    @classmethod
    def arrive(cls, data: Any, channel: Channel) -> Any:
        number, reads_here = data
        end: PipeReader | PipeWriter = PipeWriter()
        if reads_here:
            end = _announced(number)
        elif type(number) is not int or not channel.adopt_pipe(number, end):
            raise ResultRejected(f"a pipe of number {number!r:.40}, which is in use or not the far side's")
        elif travel.parcel is not None:
            travel.parcel.append(end)
        pipe = cls(end, None) if isinstance(end, PipeReader) else cls(None, end)
        pipe._sent = True
        return pipe


def _announced(number: Any) -> PipeReader:
    """The end that was made when the message came; the writer may have closed meanwhile."""
    for end in travel.parcel or ():
        if isinstance(end, PipeReader) and end.number == number and not end.is_claimed:
            end.is_claimed = True
            return end
    raise ResultRejected(f"a pipe of number {number!r:.40}, which was not announced")


class _Sent:
    """The end that stays here when a message takes the other one away."""

    def __init__(self, pipe: Pipe, end: PipeReader | PipeWriter) -> None:
        self._pipe = pipe
        self._end = end

    def undo(self) -> None:
        self._end.undo()
        self._pipe.undo()

    @property
    def announced_pipe(self) -> int | None:
        """The number, if it is read on the far side."""
        return self._end.number if isinstance(self._end, PipeWriter) else None

    def departed(self) -> None:
        self._end.departed()

    def answered(self) -> None:
        self._end.answered()


def received(channel: Channel, message: frames.Frame) -> None:
    """A frame about a pipe, on the reader thread. Of a pipe that is not known any more: both ends closed at once."""
    if message.kind == frames.PIPE_DATA:
        reader = channel.pipes.get(message.request)
        if isinstance(reader, PipeReader):
            reader.feed(message.body, channel.settings.window)
        return
    if len(message.body) < ID.size:
        raise ProtocolError("a pipe frame without a pipe")
    number: int = ID.unpack_from(message.body)[0]
    end = channel.pipes.get(number)
    if end is None:
        return
    if message.kind == frames.PIPE_ACK and isinstance(end, PipeWriter) and len(message.body) == ACK.size:
        end.credit(ACK.unpack(message.body)[1])
    elif message.kind in (frames.PIPE_CLOSE, frames.PIPE_ERROR):
        error = None
        if message.kind == frames.PIPE_ERROR:
            error = records.restore(codec.decode(message.body, ID.size), channel.name)
        if isinstance(end, PipeReader):
            end.end(error)
        else:
            end.broken(error)
    else:
        raise ProtocolError(f"pipe {number}: {frames.NAMES[message.kind]} is not for this end")
