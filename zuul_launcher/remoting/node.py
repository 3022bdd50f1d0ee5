"""Serves one channel on a node, with the controller's modules. Runs on the node; `agent` has set the stage.

It ends when the controller says so, when the connection ends (so no agent outlives its controller), or by SIGTERM;
callbacks of `on_close` run first, within five seconds.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from zuul_launcher.remoting import codec, frames
from zuul_launcher.remoting.channel import Channel, Modules
from zuul_launcher.remoting.errors import HandshakeFailed
from zuul_launcher.remoting.frames import Frame
from zuul_launcher.remoting.handshake import NO_COMMON_PROTOCOL, Peer, PreambleReader, agree, myself, preamble
from zuul_launcher.remoting.requests import Numbers
from zuul_launcher.remoting.settings import ChannelSettings
from zuul_launcher.remoting.sides import AgentSide
from zuul_launcher.remoting.transport import PipeTransport, write_all

if TYPE_CHECKING:
    from zuul_launcher.remoting.agent import Cache, Sources

EXIT_SECONDS = 5.0
HEARING_SECONDS = 1.0  # a signal that another thread was given is heard when the main one does something
_LOG_BYTES = 1 << 14


class Requests(Modules):
    """Asks the controller for modules, from any thread but the reader."""

    def __init__(self, sources: Sources, cache: Cache | None) -> None:
        self._sources = sources
        self._cache = cache
        self._numbers = Numbers(2)
        self._open: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._offered = False
        self._channel: Channel | None = None

    def begin(self, channel: Channel) -> None:
        """From now on imports ask."""
        self._channel = channel
        self._sources.ask = self.ask
        channel.on_close(self._ended)

    def _ended(self, _: BaseException) -> None:
        self._sources.ask = None
        for event, _records in list(self._open.values()):
            event.set()

    def ask(self, name: str) -> list[tuple[str, bool, str | None, str]]:
        """Records of the module and of those that it is going to need; none if the channel has ended."""
        channel = self._channel
        if channel is None or not channel.is_open or threading.current_thread() in channel.wire.threads:
            return []
        offered = [] if self._offered or self._cache is None else self._cache.names()
        self._offered = True
        answer: list[Any] = []
        event = threading.Event()
        number = self._numbers.take(self._open, (event, answer))
        channel.send(frames.MODULE_REQ, number, codec.encode([name, offered]))
        while not event.wait(1.0) and channel.is_open:
            continue
        self._open.pop(number, None)
        return [self._record(*record) for record in answer]

    def _record(
        self, name: str, status: str, digest: str, is_package: bool, source: str | None
    ) -> tuple[str, bool, str | None, str]:
        if status != "source":
            return name, is_package, None, status
        if source is None:
            source = self._cache.read(digest) if self._cache is not None else None
            if source is None:  # the cache has lost it meanwhile
                return name, is_package, None, "its copy in the cache of the node is broken: connect again"
        elif self._cache is not None:
            self._cache.write(digest, source)
        return name, is_package, source, ""

    def answered(self, message: Frame) -> None:
        content = codec.decode(message.body)
        if message.request == 0:
            self._sources.add_roots(content)
            return
        event, answer = self._open.get(message.request, (None, []))
        if event is not None:
            answer.extend(content)
            event.set()


class _Forward(logging.Handler):
    """Log records of this process go to the controller's log."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.INFO)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)[:_LOG_BYTES]
            self._channel.wire.post(frames.LOG, 0, codec.encode([record.levelno, record.name, text]))
        except Exception:
            self.handleError(record)


def serve(source: int, sink: int, sources: Sources, options: dict[str, Any], cache: Cache | None) -> int:
    """The exit status of the process."""
    settings = ChannelSettings(**options["settings"])
    ours = myself(settings)
    try:
        write_all(sink, [preamble(ours)])
        theirs, received = _hear(source)
        agree(ours, theirs)
    except (HandshakeFailed, OSError) as error:
        sys.stderr.write(f"zuul agent: {error}\n")
        return NO_COMMON_PROTOCOL
    requests = Requests(sources, cache)
    channel = Channel(PipeTransport(source, sink), options["name"], settings, AgentSide(), theirs, requests)
    requests.begin(channel)
    logging.getLogger().addHandler(_Forward(channel))
    logging.getLogger().setLevel(logging.INFO)
    status = 0
    try:
        signal.signal(signal.SIGTERM, _terminated)
        channel.wire.start(received)
        while not channel.ending.wait_begun(HEARING_SECONDS):
            pass
    except SystemExit as exit:
        channel.ending.lost(EOFError("the agent was terminated"))
        status = int(str(exit.code))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.ending.wait_told(EXIT_SECONDS)
    return status


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _hear(source: int) -> tuple[Peer, bytes]:
    reader = PreambleReader()
    while True:
        data = os.read(source, 1 << 16)
        if not data:
            raise HandshakeFailed("the controller has gone")
        found = reader.add(data)
        if found is not None:
            return found
