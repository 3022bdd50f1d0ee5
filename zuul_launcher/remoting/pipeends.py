"""The two ends of a pipe, as files. Runs on the node too.

1. The writer may be one window ahead of what the reader has consumed; then it waits. So neither side ever holds more.
2. The end of the data is only what the writer closed. A writer that ended otherwise (its call failed, its channel was
   lost) leaves an error for the reader after the data: a truncated file must never look complete.
3. A reader that closes early gives the writer BrokenPipeError.
4. An end that a call took along ends with that call, on both sides.
"""

from __future__ import annotations

import io
import struct
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting import codec, frames, records
from zuul_launcher.remoting.context import wait_for
from zuul_launcher.remoting.errors import PipeBroken, ProtocolError

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

ID = struct.Struct("!I")
ACK = struct.Struct("!II")
_SENDING = 60.0  # how long a first write waits for another thread to send the pipe


class End(io.BufferedIOBase):
    """What reader and writer have in common. Its condition guards all that changes."""

    channel: Channel | None = None
    number = 0

    def __init__(self) -> None:
        super().__init__()
        self.condition = threading.Condition(threading.Lock())
        self.failure: BaseException | None = None
        self.ended = False  # nothing more is said or heard about this pipe

    def fail(self, error: BaseException) -> None:
        """The far end is lost."""
        with self.condition:
            if not self.ended:
                self.failure = self.failure or error
                self.ended = True
            self.condition.notify_all()
        self.forget()

    def forget(self) -> None:
        """No more frames for this end."""
        if self.channel is not None:
            self.channel.pipes.pop(self.number, None)

    def undo(self) -> None:
        """The message that should have carried the other end was not sent."""
        self.forget()
        self.channel = None

    def _say(self, kind: int, record: bytes = b"") -> None:
        if self.channel is not None:
            self.channel.wire.send(kind, 0, ID.pack(self.number) + record)


class PipeReader(End):
    """`read(n)` gives n bytes, fewer only at the end; `read1(n)` what is there. Iterates over lines."""

    def __init__(self) -> None:
        super().__init__()
        self.is_claimed = False  # by the message that announced it
        self._parts: deque[bytes] = deque()
        self._offset = 0  # in the first part
        self._size = 0
        self._consumed = 0

    def readable(self) -> bool:
        return True

    def departed(self) -> None:
        """The other end is on its way."""

    def feed(self, data: bytes, window: int) -> None:
        """Data from the far side, on the reader thread of the channel."""
        with self.condition:
            if self.ended:
                return
            self._size += len(data)
            if self._size + self._consumed > window:
                raise ProtocolError(f"pipe {self.number}: more than its window of {window} bytes")
            self._parts.append(data)
            self.condition.notify_all()

    def end(self, error: BaseException | None) -> None:
        """The writer closed, or ended with this error."""
        with self.condition:
            if not self.ended:
                self.ended, self.failure = True, error
            self.condition.notify_all()
        self.forget()

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read1(-1), b""))
        first = self.read1(size)
        if len(first) == size or not first:
            return first
        parts = [first]
        missing = size - len(first)
        while missing and (part := self.read1(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """At most `size` bytes as soon as there are some; b'' at the end. The writer's error, after all its data."""
        if size == 0:
            return b""
        with self.condition:
            if not self._parts and not self.ended:
                wait_for(self.condition, lambda: self._parts or self.ended)
            if self.closed:
                raise ValueError("read of a closed pipe")
            if not self._parts:
                if self.failure is not None:
                    raise self.failure
                return b""
            data = self._take(size)
            self._size -= len(data)
            self._consumed += len(data)
            due = self._due()
        if due:
            self._acknowledge(due)
        return data

    def consumed(self, count: int) -> None:
        """So many bytes have been consumed otherwise than by `read`."""
        with self.condition:
            self._consumed += count
            due = self._due()
        if due:
            self._acknowledge(due)

    def _due(self) -> int:
        """From half a window on, the writer is told."""
        if self.channel is None or self.ended or 2 * self._consumed < self.channel.settings.window:
            return 0
        due, self._consumed = self._consumed, 0
        return due

    def _acknowledge(self, count: int) -> None:
        assert self.channel is not None
        self.channel.wire.send(frames.PIPE_ACK, 0, ACK.pack(self.number, count))

    def _take(self, size: int) -> bytes:
        """Whole parts as they came, where they fit: a part is not cut without need."""
        first = self._parts[0]
        left = len(first) - self._offset
        if 0 <= size < left:
            data = first[self._offset : self._offset + size]
            self._offset += size
            return data
        data = first[self._offset :] if self._offset else first
        self._parts.popleft()
        self._offset = 0
        return data

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and (part := self.read1(len(view) - filled)):
            view[filled : filled + len(part)] = part
            filled += len(part)
        return filled

    def readinto1(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        part = self.read1(len(view))
        view[: len(part)] = part
        return len(part)

    def readline(self, size: int | None = -1, /) -> bytes:
        line = bytearray()
        limit = -1 if size is None else size
        while limit < 0 or len(line) < limit:
            with self.condition:
                first = self._parts[0] if self._parts else b""
                newline = first.find(b"\n", self._offset)
                count = newline - self._offset + 1 if newline >= 0 else len(first) - self._offset
            part = self.read1(min(count or 1, limit - len(line)) if limit >= 0 else count or 1)
            line += part
            if not part or part.endswith(b"\n"):
                break
        return bytes(line)

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def __iter__(self) -> Iterator[bytes]:
        return self

    def close(self) -> None:
        """What has not been read is dropped; the writer gets BrokenPipeError."""
        if self.closed:
            return
        with self.condition:
            tell = not self.ended
            self.ended = True
            self._parts.clear()
            self.condition.notify_all()
        super().close()
        if tell:
            self._say(frames.PIPE_CLOSE)
        self.forget()

    def finish(self, error: BaseException | None) -> None:
        """The call on this side that had the pipe has ended."""
        self.close()

    def answered(self) -> None:
        """The far side's call that had the writer has ended, so it must have closed or failed."""
        self.fail(PipeBroken("the call ended and did not close its pipe: the data are not all"))


class PipeWriter(End):
    """`write` waits while the window is full. `close` says that all is written, `error` that it is not."""

    def __init__(self) -> None:
        super().__init__()
        self._credit = 0
        self._writing = threading.Lock()

    def writable(self) -> bool:
        return True

    def departed(self) -> None:
        """The other end is on its way, and takes a window."""
        if self.channel is not None:
            self.credit(self.channel.info.window)

    def credit(self, count: int) -> None:
        """The reader has consumed."""
        with self.condition:
            self._credit += count
            self.condition.notify_all()

    def write(self, data: Any, /) -> int:
        """All of it. BrokenPipeError: the reader has closed. ChannelClosed: it is lost."""
        view = memoryview(data).cast("B")
        with self._writing:
            done = 0
            while done < len(view):
                done += self._some(view[done:])
        return len(view)

    def _some(self, view: memoryview) -> int:
        with self.condition:
            if self._credit <= 0 and not self.ended:
                limit = None if self.channel is not None else _SENDING
                if not wait_for(self.condition, lambda: self._credit > 0 or self.ended, limit):
                    raise PipeBroken(f"the pipe was not sent within {_SENDING:.0f} s")
            if self.closed:
                raise ValueError("write to a closed pipe")
            if self.failure is not None:
                raise self.failure
            if self.ended:
                raise BrokenPipeError("the reader of the pipe has closed")
            count = min(self._credit, len(view))
            self._credit -= count
            channel = self.channel
        assert channel is not None
        channel.wire.send_data(ID.pack(self.number), view[:count])
        return count

    def broken(self, error: BaseException | None) -> None:
        """The reader has closed."""
        with self.condition:
            self.ended = True
            self.failure = error
            self.condition.notify_all()
        self.forget()

    def close(self) -> None:
        """All was written. Waits for no one."""
        self._end(frames.PIPE_CLOSE, b"")

    def error(self, error: BaseException) -> None:
        """Not all was written: the reader gets this error after the data."""
        self._end(frames.PIPE_ERROR, codec.encode(records.record(error)))

    def _end(self, kind: int, record: bytes) -> None:
        if self.closed:
            return
        with self.condition:
            tell = not self.ended
            self.ended = True
            self.condition.notify_all()
        super().close()
        if tell:
            self._say(kind, record)
        self.forget()

    def finish(self, error: BaseException | None) -> None:
        """The call on this side that had the pipe has ended."""
        if error is None:
            self.close()
        else:
            self.error(error)

    def answered(self) -> None:
        """The far side's call that had the reader has ended."""
        with self.condition:
            if not self.ended:
                self.ended = True
            self.condition.notify_all()
        self.forget()
