"""A channel: call functions on the far side, and be called by it. Runs on the node too.

1. Both sides are the same; only what they accept differs (see `sides`).
2. The reader thread takes frames apart and never runs code of a user, never waits for a lock that is held while
   something is sent, and never sends.
3. The first cause of the end wins. All that waits learns it, each with an error of its own.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from zuul_launcher.remoting import codec, frames, pipe, proxy
from zuul_launcher.remoting.context import current_call
from zuul_launcher.remoting.ending import Ending
from zuul_launcher.remoting.errors import CallTimeout, ChannelClosed, ChannelForked, ProtocolError
from zuul_launcher.remoting.frames import Frame
from zuul_launcher.remoting.futures import RemoteFuture
from zuul_launcher.remoting.handshake import Peer, myself
from zuul_launcher.remoting.pipeends import PipeReader, PipeWriter
from zuul_launcher.remoting.pool import Deliveries, Delivery, Pool
from zuul_launcher.remoting.requests import Incoming, Numbers, Outgoing
from zuul_launcher.remoting.settings import ChannelSettings
from zuul_launcher.remoting.sides import AgentSide, ControllerSide, Side
from zuul_launcher.remoting.transport import SocketTransport, Transport
from zuul_launcher.remoting.wire import Wire

LOG = logging.getLogger(__name__)
AGENT_LOG = logging.getLogger("zuul_launcher.remoting.agent")
_DROPPED = struct.Struct("!II")
_CHANNELS: weakref.WeakSet[Channel] = weakref.WeakSet()


class Modules:
    """What a side does about MODULE_REQ and MODULE_RES: nothing, where modules are shared."""

    def requested(self, channel: Channel, message: Frame) -> None:
        """On the reader thread."""

    def answered(self, message: Frame) -> None:
        """On the reader thread."""

    def allow(self, channel: Channel, package: str, data: Sequence[str]) -> None:
        """Serve this package, and these files of it."""

    def dump(self) -> list[str]:
        """One line for each module that was sent."""
        return []


class Channel:
    """One connection, seen from one side. All methods may be called from any thread."""

    def __init__(
        self, transport: Transport, name: str, settings: ChannelSettings, side: Side, info: Peer, modules: Modules
    ) -> None:
        self.name = name
        self.settings = settings
        self.info = info
        self.side = side
        self.is_controller = isinstance(side, ControllerSide)
        first = 1 if self.is_controller else 2
        self.pipes: dict[int, PipeReader | PipeWriter] = {}
        self._pipe_numbers = Numbers(first)
        self.exports = proxy.Exports()
        self.imports = proxy.Imports(self)
        self.pool = Pool(name, settings.threads)
        self.delivery = Deliveries(name)  # what comes for sinks
        self._notices = Delivery(f"notices of {name}")  # callbacks
        self._modules = modules
        self._outgoing = Outgoing(self, first)
        self._incoming = Incoming(self)
        self.abandoned: deque[PipeWriter] = deque()  # filled while garbage is collected
        self.ending = Ending(self, transport)
        sizes = (settings.max_frame, min(settings.max_frame, info.max_frame))
        self.wire = Wire(transport, name, settings, sizes, self._received, self.ending.lost)
        self.wire.tick, self.wire.awaits = self.flush_dropped, self._outgoing.awaits
        _CHANNELS.add(self)

    # Calling

    def call(self, function: Callable[..., Any], /, *args: Any, timeout: float | None = None, **keywords: Any) -> Any:
        """Run `function(*args, **keywords)` on the far side and give its result, or raise its error.

        CallTimeout: no answer within `timeout` seconds (None: it waits as long as the channel lives); the call is
        cancelled. NotSerializable and others: nothing was sent. ChannelClosed: it is not known whether it ran.
        """
        return self.apply(function, args, keywords, timeout)

    def apply(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        keywords: Mapping[str, Any],
        timeout: float | None = None,
    ) -> Any:
        """The same; a keyword of the function may be called `timeout` too."""
        return self._wait(self.call_async(function, *args, **keywords), timeout)

    def call_async(self, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> RemoteFuture:
        """The same without waiting for the result. Calls begin in the order in which they were sent."""
        what = getattr(function, "__qualname__", type(function).__name__)
        return self._outgoing.start(frames.CALL, what, self._depth(), self.side.encode_call, (function, args, keywords))

    def call_proxy(self, number: int, method: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Run a method of an object of the far side; `proxy.Proxy` calls this."""
        content = (number, method, args, keywords)
        depth = self._depth()
        return self._wait(
            self._outgoing.start(frames.PROXY_CALL, method, depth, self.side.encode_value, (content,)), None
        )

    def _depth(self) -> int:
        self.ending.check()
        call = current_call()
        return 0 if call is None else call.depth + 1

    def _wait(self, future: RemoteFuture, timeout: float | None) -> Any:
        call = current_call()
        try:
            if call is None:
                answered = future.wait(timeout)
            else:
                with call.channel.pool.waiting():
                    answered = future.wait(timeout)
        except BaseException:
            future.cancel()
            raise
        if not answered and future.cancel():
            raise CallTimeout(f"{self.name}: {future.what} gave no answer within {timeout:g} s")
        try:
            return future.answer()
        finally:
            del future  # as in `answer`: an error that is raised must not keep itself, and all frames, alive

    # What goes along

    def export(self, instance: object, methods: Sequence[str] | None = None) -> Any:
        """An argument or result that is a proxy on the far side, with these methods (or the class's `remote_methods`).

        ValueError: no methods, or one that is private or missing.
        """
        return proxy.export(self, instance, methods)

    def allow(self, package: str, data: Sequence[str] = ()) -> None:
        """Serve the sources of this module or package, with all below it, to the agent.

        `data`: patterns (`*`, `?`, `**`) of files in the folder of the package, which code on the node may then read
        with `importlib.resources`. ValueError: a pattern that leads out of it. TypeError: no list of patterns, or no
        name. ModuleNotFoundError: there is no such module here.
        """
        if not isinstance(package, str):
            name = getattr(package, "__name__", "package.module")
            raise TypeError(f"allow takes the name of a module, as a text: allow({name!r})")
        self._modules.allow(self, package, data)

    def ship_by_value(self, module: ModuleType) -> None:
        """Send what this module defines with its bytecode; the node must have the same Python minor version."""
        self.side.ship_by_value(module)

    def open_pipe(self, end: PipeReader | PipeWriter) -> int:
        """Enter the own end of a pipe that is about to be sent."""
        self.ending.check()
        number = end.number = self._pipe_numbers.take(self.pipes, end)
        end.channel = self
        return number

    def adopt_pipe(self, number: int, end: PipeReader | PipeWriter) -> bool:
        """Enter the own end of a pipe that came. False: the number is in use, or not one of the far side."""
        if number in self.pipes or number % 2 != (0 if self.is_controller else 1):
            return False
        end.channel, end.number = self, number
        self.pipes[number] = end
        end.departed()
        return True

    # The end

    @property
    def is_open(self) -> bool:
        """Whether calls can be sent."""
        return self.ending.cause is None

    def on_close(self, callback: Callable[[ChannelClosed], object]) -> None:
        """Call it once with the cause when the channel has ended; at once if it has. On the node: clean up here."""
        self.ending.on_close(callback)

    def wait_closed(self, seconds: float | None = None) -> bool:
        """Wait until all that belongs to the channel has ended; False: not within so many seconds."""
        return self.ending.wait(seconds)

    def close(self) -> None:
        """End in order, and wait until no thread and no process of the channel is left. Twice is fine."""
        self.ending.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def release(self, error: Callable[[], ChannelClosed]) -> None:
        """The channel has ended: fail all that waits, let go of all that is held."""
        self._outgoing.fail(error)
        for end in list(self.pipes.values()):
            end.fail(error())
        self._incoming.cancel_all()
        self.exports.clear()
        self.pool.close()

    def join(self, seconds: float) -> None:
        """Wait for the threads."""
        self.delivery.close()
        self._notices.close()
        self.wire.join(seconds)
        for thread in (self.pool, self.delivery, self._notices):
            thread.join(seconds)

    # For the parts of a channel

    def send(self, kind: int, request: int, body: bytes = b"") -> None:
        """A message from a user thread. ChannelClosed: too late."""
        self.ending.check()
        if self.imports.dropped or self.abandoned:
            self.flush_dropped()
        self.wire.send(kind, request, body)

    def reply(self, kind: int, request: int, body: bytes) -> None:
        """An answer: nobody is there to hear of a loss."""
        if self.ending.cause is None:
            self.wire.send(kind, request, body)

    def notify(self, task: Callable[[], object]) -> None:
        """Run code of a user on the thread for it."""
        self._notices.submit(lambda: _logged(task))

    def flush_dropped(self) -> None:
        """Tell the far side of proxies and sinks that are gone."""
        while self.abandoned:
            self.abandoned.popleft().close()
        if self.imports.dropped and self.ending.cause is None:
            dropped = self.imports.take_dropped()
            body = b"".join(_DROPPED.pack(number, count) for number, count in dropped)
            self.wire.send(frames.UNEXPORT, 0, body)

    def decode_job(self, message: Frame, start: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """What a CALL or PROXY_CALL asks for, whose content begins there."""
        if message.kind == frames.CALL:
            return self.side.decode_call(message.body, start)
        number, name, args, keywords = self.side.decode_value(message.body, start)
        if type(args) is not tuple or type(keywords) is not dict:
            raise ProtocolError("a method call that is none")
        return self.exports.method(number, name), args, keywords

    def _received(self, message: Frame) -> None:
        kind = message.kind
        if kind in (frames.RESULT, frames.ERROR):
            self._outgoing.answered(message)
        elif kind in (frames.CALL, frames.PROXY_CALL):
            self._incoming.asked(message)
        elif frames.PIPE_DATA <= kind <= frames.PIPE_ERROR:
            pipe.received(self, message)
        elif kind == frames.PING:
            self.wire.post(frames.PONG, message.request, message.body[:64])
        elif kind == frames.CANCEL:
            self._incoming.cancel(message.request)
        elif kind == frames.UNEXPORT:
            self._unexport(message.body)
        elif kind == frames.MODULE_REQ:
            self._modules.requested(self, message)
        elif kind == frames.MODULE_RES:
            self._modules.answered(message)
        elif kind == frames.LOG:
            self._log(message.body)
        elif kind == frames.CLOSE:
            self.ending.closed_there()
        elif kind != frames.PONG and kind < frames.OPTIONAL:
            raise ProtocolError(f"a frame of the unknown kind {kind}")

    def _unexport(self, body: bytes) -> None:
        if len(body) % _DROPPED.size:
            raise ProtocolError("an UNEXPORT that is none")
        for number, count in _DROPPED.iter_unpack(body):
            self.exports.release(number, count)

    def _log(self, body: bytes) -> None:
        level, logger, text = codec.decode(body)
        if self._notices.waiting < 1000 and type(level) is int:  # a flood is cut
            self.notify(lambda: AGENT_LOG.log(max(10, min(level, 40)), "%s: %s: %s", self.name, logger, text))

    def dump(self) -> dict[str, Any]:
        """What is going on, for who looks for a fault."""
        return {
            "calls": self._outgoing.dump(),
            "running": self._incoming.dump(),
            "exports": self.exports.dump(),
            "pipes": [f"{number}: {end!r}" for number, end in sorted(self.pipes.copy().items())],
            "modules": self._modules.dump(),
            **self.wire.counts,
        }


class LocalChannel(Channel):
    """The node is this process: the same calls, through the same frames and forms, over a pair of sockets.

    What a callable prints or changes is this process's own. All sources are here: nothing is shipped.
    """

    def __init__(self, name: str = "local", settings: ChannelSettings | None = None) -> None:
        settings = settings or ChannelSettings()
        here, there = socket.socketpair()
        info = myself(settings)
        super().__init__(
            SocketTransport(here), name, settings, ControllerSide((info.minor, info.minor)), info, Modules()
        )
        self._far = Channel(SocketTransport(there), f"{name} (node side)", settings, AgentSide(), info, Modules())
        self._far.wire.start(b"")
        self.wire.start(b"")

    def close(self) -> None:
        """Ends both sides."""
        super().close()
        self._far.close()


def _logged(task: Callable[[], object]) -> None:
    try:
        task()
    except Exception:
        LOG.exception("a callback failed")


def _forked() -> None:
    """In a child: its parent's channels are not its own."""
    for channel in list(_CHANNELS):
        channel.ending.cause = ChannelForked(f"channel {channel.name} belongs to the parent of this process")


os.register_at_fork(after_in_child=_forked)
