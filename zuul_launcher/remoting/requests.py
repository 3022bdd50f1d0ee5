"""Calls of this side that wait for an answer, and calls of the far side that run here. Runs on the node too.

A request is `depth u8`, an announcement, and the content. An answer is an announcement and RESULT (value) or ERROR
(record). A call that ends closes the pipes that came with it first, and says which proxies it has dropped. The caller
sees the answer after all that the call wrote: pipes are filled in the order of the wire, sinks are waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from zuul_launcher.remoting import codec, frames, records, sink
from zuul_launcher.remoting.announcement import announcement, expect
from zuul_launcher.remoting.context import CallContext, running
from zuul_launcher.remoting.errors import Cancelled, MessageTooLarge, NestingTooDeep, ProtocolError
from zuul_launcher.remoting.factory import created, has_factory
from zuul_launcher.remoting.futures import RemoteFuture
from zuul_launcher.remoting.portable import travelling
from zuul_launcher.remoting.proxy import Held

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

MAX_DEPTH = 64
_HIGHEST = (1 << 32) - 1
_DEPTHS = [bytes((depth,)) for depth in range(MAX_DEPTH + 1)]


class Numbers:
    """Odd from the controller, even from the agent; none twice while it is open."""

    def __init__(self, first: int) -> None:
        self._first = self._next = first
        self._lock = threading.Lock()

    def take(self, taken: dict[int, Any], value: Any) -> int:
        """Enter `value` into the table under a free number."""
        with self._lock:
            while self._next in taken:
                self._advance()
            number = self._next
            taken[number] = value
            self._advance()
            return number

    def _advance(self) -> None:
        self._next = self._next + 2 if self._next + 2 <= _HIGHEST else self._first


class _Waiting(NamedTuple):
    """A request without an answer."""

    future: RemoteFuture
    parcel: list[Any]
    in_target: bool  # the target of a sink waits for it


class Outgoing:
    """What this side has asked for."""

    def __init__(self, channel: Channel, first: int) -> None:
        self._channel = channel
        self._numbers = Numbers(first)
        self._open: dict[int, _Waiting] = {}
        self._late: set[RemoteFuture] = set()  # answered, but sinks have not delivered yet what came before

    def start(
        self, kind: int, what: str, depth: int, encode: Callable[..., bytes], content: tuple[Any, ...]
    ) -> RemoteFuture:
        """Encode and send. Whatever cannot be sent raises here, and leaves nothing behind."""
        if depth > MAX_DEPTH:
            raise NestingTooDeep(f"calls that call back are nested deeper than {MAX_DEPTH}")
        channel = self._channel
        parcel: list[Any] = []
        try:
            with travelling(channel, parcel):
                encoded = encode(*content)
            body = b"".join((_DEPTHS[depth], announcement(parcel), encoded))
            if len(body) > channel.settings.max_message:
                raise MessageTooLarge(f"{what}: {len(body)} bytes; the limit is {channel.settings.max_message}")
        except BaseException:
            for item in parcel:
                item.undo()
            raise
        future = RemoteFuture(lambda: channel.send(frames.CANCEL, number), channel.notify)
        future.began, future.what = time.monotonic(), what
        number = self._numbers.take(self._open, _Waiting(future, parcel, sink.delivers()))
        try:
            channel.send(kind, number, body)
        except BaseException:
            self._open.pop(number, None)
            for item in parcel:
                item.undo()
            raise
        for item in parcel:
            item.departed()
        return future

    def awaits(self, number: int) -> bool:
        """Whether there is such a request."""
        return number in self._open

    def answered(self, message: frames.Frame) -> None:
        """RESULT or ERROR, on the reader thread."""
        asked = self._open.get(message.request)
        if asked is None:
            return
        brought, numbers, start = expect(self._channel, message.body, 0)
        sinks = [item.end for item in asked.parcel if isinstance(item, sink.Sent)]
        if numbers and not asked.in_target:
            written = [self._channel.pipes.get(number) for number in numbers]
            sinks += [end for end in written if isinstance(end, sink.SinkEnd) and end not in sinks]
        self._late.add(asked.future)
        del self._open[message.request]
        for item in asked.parcel:
            item.answered()
        self._settle_after(sinks, asked.future, partial(self._value, message, start, brought))

    def _settle_after(self, sinks: list[sink.SinkEnd], future: RemoteFuture, decode: Callable[[], Any]) -> None:
        """Give the answer when the last of the sinks has delivered what it has."""
        while sinks:
            if sinks.pop().after(lambda: self._settle_after(sinks, future, decode)):
                return
        if not future.settle(decode):
            self._channel.notify(lambda: _ignore(decode))  # what it brings is to be let go
        self._late.discard(future)

    def _value(self, message: frames.Frame, start: int, parcel: list[Any]) -> Any:
        channel = self._channel
        try:
            with travelling(channel, parcel):
                if message.kind == frames.ERROR:
                    raise records.restore(codec.decode(message.body, start), channel.name)
                return channel.side.decode_value(message.body, start)
        finally:
            _let_go(parcel)

    def fail(self, error: Callable[[], BaseException]) -> None:
        """The channel has ended: none is answered any more."""
        for table in (self._open, self._late):
            while table:
                try:
                    future = self._open.popitem()[1].future if table is self._open else self._late.pop()
                except KeyError:
                    break
                future.settle(_raiser(error()))

    def dump(self) -> list[str]:
        """One line for each open request."""
        now = time.monotonic()
        lines = []
        for number, asked in sorted(self._open.copy().items()):
            state = "cancelled, still runs" if asked.future.cancelled() else "open"
            lines.append(f"{number}: {asked.future.what}, {state} for {now - asked.future.began:.1f} s")
        for future in self._late.copy():
            lines.append(f"{future.what}, answered, waits for a sink, for {now - future.began:.1f} s")
        return lines


def _ignore(decode: Callable[[], Any]) -> None:
    try:
        decode()
    except Exception:  # noqa: S110 - nobody waits for it
        pass


def _let_go(parcel: list[Any]) -> None:
    """Of objects that nobody has taken out of the message."""
    for item in parcel:
        if isinstance(item, Held):
            item.clear()


def _raiser(error: BaseException) -> Callable[[], Any]:
    def lost() -> Any:
        raise error

    return lost


class Incoming:
    """What the far side has asked for."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._open: dict[int, Request] = {}

    def asked(self, message: frames.Frame) -> None:
        """CALL or PROXY_CALL, on the reader thread."""
        if message.request in self._open or message.request % 2 != (0 if self._channel.is_controller else 1):
            raise ProtocolError(f"the request {message.request}, which is open or not the far side's")
        request = self._open[message.request] = Request(self._channel, message, self._open)
        self._channel.pool.submit(request)

    def cancel(self, number: int) -> None:
        """CANCEL, on the reader thread."""
        request = self._open.get(number)
        if request is not None:
            request.cancel()

    def cancel_all(self) -> None:
        """The channel has ended."""
        for number in list(self._open):
            self.cancel(number)

    def dump(self) -> list[str]:
        """One line for each that runs or waits."""
        now = time.monotonic()
        return [
            f"{number}: {request.what}, {request.state} for {now - request.began:.1f} s"
            for number, request in sorted(self._open.copy().items())
        ]


class Request:
    """One call of the far side: a task of the pool."""

    def __init__(self, channel: Channel, message: frames.Frame, table: dict[int, Request]) -> None:
        self._channel = channel
        self._message: frames.Frame | None = message
        self._number = message.request
        self._table = table
        self._lock = threading.Lock()
        self._brought, _, self._start = expect(channel, message.body, 1)
        self._parcel: list[Any] = []  # what is to be ended with the call
        self._leaving: list[Any] = []  # what the result takes along
        self._job: Any = None
        self.began = time.monotonic()
        self.what = "a call"
        self.state = "waiting"
        self.context = CallContext(channel, message.body[0] if message.body else 0)

    def cancel(self) -> None:
        """Wake what runs; what has not begun never will."""
        with self._lock:
            before, self.state = self.state, "cancelled"
            if before == "waiting":
                self.context.cancelled = True
        if before == "running":
            self._channel.pool.leave()  # it may be deaf: another thread may take its place
            threading.Thread(target=self.context.cancel, name="cancel", daemon=True).start()

    def prepare(self) -> bool:
        """Decode, even what was cancelled: proxies in it are to be dropped in order."""
        message, self._message = self._message, None
        assert message is not None
        try:
            if self.context.depth > MAX_DEPTH:
                raise NestingTooDeep(f"calls that call back are nested deeper than {MAX_DEPTH}")
            self._job = self._decoded(message)
            self.what = getattr(self._job[0], "__qualname__", "a call")
            with self._lock:
                if self.context.cancelled:
                    raise Cancelled("the call was cancelled before it began")
                self.state = "running"
        except BaseException as error:  # reported for this request; the thread of the pool goes on
            self._job = None
            self._end(error)
            self._answer(*self._report(error))
            return False
        return True

    def _decoded(self, message: frames.Frame) -> Any:
        brought, self._brought = self._brought, []
        try:
            with travelling(self._channel, brought), running(self.context):
                return self._channel.decode_job(message, self._start)
        finally:
            if brought:
                _let_go(brought)
                self._parcel = [item for item in brought if hasattr(item, "finish")]

    def run(self) -> None:
        """Run and answer."""
        kind, body = self._outcome()
        with self._lock:
            cancelled = self.state == "cancelled"
            self.state = "ended"
        if cancelled:
            self._channel.pool.rejoin()
        self._answer(kind, body)
        if self._leaving:
            leaving, self._leaving = self._leaving, []
            for item in leaving:
                item.departed()

    def _outcome(self) -> tuple[int, bytes]:
        function, args, keywords = self._job
        self._job = None
        try:
            with running(self.context):
                if has_factory(args, keywords):
                    with created(args, keywords) as (given, named):
                        value = function(*given, **named)
                else:
                    value = function(*args, **keywords)
                kind, body = frames.RESULT, self._encoded(value)
            self._end(None)
        except BaseException as error:  # whatever it is, it is the answer
            self._stay()
            self._end(error)
            kind, body = self._report(error)
        return kind, body

    def _encoded(self, value: Any) -> bytes:
        with travelling(self._channel, self._leaving):
            content = self._channel.side.encode_value(value)
        size = len(announcement(self._leaving, self.context.sinks())) + len(content)
        limit = self._channel.settings.max_message
        if size > limit:
            raise MessageTooLarge(f"the result has {size} bytes; the limit is {limit}")
        return content

    def _stay(self) -> None:
        """There is no result: what it would have taken along does not leave."""
        leaving, self._leaving = self._leaving, []
        for item in leaving:
            item.undo()

    def _end(self, error: BaseException | None) -> None:
        """End what came with the call. A file that cannot be written to its end makes the call fail."""
        if not self._parcel:
            return
        parcel, self._parcel = self._parcel, []
        first: Exception | None = None
        for end in parcel:
            try:
                end.finish(error)
            except Exception as failed:
                first = first or failed
        try:
            if first is not None and error is None:
                raise first
        finally:
            del first  # it knows this frame

    def _report(self, error: BaseException) -> tuple[int, bytes]:
        try:
            return frames.ERROR, codec.encode(records.record(error))
        except Exception as broken:  # an error class may do anything
            other = RuntimeError(f"{type(error).__name__}: {broken!r:.200}")
            return frames.ERROR, codec.encode(records.record(other))

    def _answer(self, kind: int, content: bytes) -> None:
        self._table.pop(self._number, None)
        self._channel.flush_dropped()
        self._channel.reply(kind, self._number, announcement(self._leaving, self.context.sinks()) + content)
