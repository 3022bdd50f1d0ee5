"""One connection: bytes of a socket to messages, and answers back. All rules of hygiene towards a peer are here.

1. A peer that sends junk is told why if it can understand it, and closed.
2. A message that was begun must be complete in time: message_seconds, and its size at SLOWEST_BYTES_PER_SECOND. Between
   messages a peer may be silent as long as it likes: workers are.
3. A peer with many messages gives the others a turn after TURN_MESSAGES of them.
4. A peer that does not read what it is sent is closed once the backlog is over the limit.
"""

import asyncio
import logging
import socket
from typing import Protocol, cast

from zuul_launcher.gearman.server import admin, commands
from zuul_launcher.gearman.server.job import Peer
from zuul_launcher.gearman.server.observer import Observer
from zuul_launcher.gearman.server.options import Options
from zuul_launcher.gearman.server.packets import Command, Framing, JunkReceived, Packet, response
from zuul_launcher.gearman.server.queue import JobQueue

log = logging.getLogger("zuul_launcher.gearman.server")

SLOWEST_BYTES_PER_SECOND = 16 * 1024
TURN_MESSAGES = 64


class Hub(Protocol):
    """What a connection needs of its server."""

    queue: JobQueue
    options: Options
    observer: Observer
    connections: "dict[Peer, Connection]"

    def deliver(self) -> None:
        """Hand the queue's outgoing bytes to the connections and set the queue's timer."""


class Connection(asyncio.Protocol):
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._framing = Framing(hub.options.packet_limit)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._peer: Peer | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = str((transport.get_extra_info("peername") or ("?",))[0]).removeprefix("::ffff:")
        opened: socket.socket = transport.get_extra_info("socket")
        if len(self._hub.connections) >= self._hub.options.connection_limit:
            log.warning("connection from %s refused: %d are open", address, len(self._hub.connections))
            self._transport.abort()
            return
        keep_alive(opened)
        self._peer = Peer(address, opened.fileno())
        self._hub.connections[self._peer] = self

    def data_received(self, data: bytes) -> None:
        if self._peer is None:
            return
        self._framing.feed(data)
        if self._turn is None:
            self._take_turn()

    def connection_lost(self, error: Exception | None) -> None:
        if self._peer is None:
            return
        for handle in (self._deadline, self._turn):
            if handle is not None:
                handle.cancel()
        del self._hub.connections[self._peer]
        self._hub.queue.leave(self._peer, self._loop.time())
        self._peer = None
        self._hub.deliver()

    def send(self, data: bytes) -> None:
        backlog = self._transport.get_write_buffer_size()
        if backlog > self._hub.options.write_limit:
            log.warning("connection %s closed: it has not read %d bytes", self._peer, backlog)
            self._transport.abort()
        else:
            self._transport.write(data)

    def abort(self) -> None:
        self._transport.abort()

    def _take_turn(self) -> None:
        """Do what the received messages ask; the rest in another turn if they are many."""
        self._turn = None
        try:
            for _ in range(TURN_MESSAGES):
                message = self._framing.next()
                if message is None or self._transport.is_closing():
                    self._transport.resume_reading()
                    break
                self._perform(message)
            else:
                self._transport.pause_reading()
                self._turn = self._loop.call_soon(self._take_turn)
        except JunkReceived as error:
            self._close(error)
        self._hub.deliver()
        self._watch_progress()

    def _perform(self, message: Packet | str) -> None:
        assert self._peer is not None
        if isinstance(message, Packet):
            begun = self._loop.time()
            commands.perform(self._hub.queue, self._peer, message, begun)
            self._hub.observer.packet(message.name, self._loop.time() - begun)
        else:
            text = admin.answer(self._hub.queue, self._hub.connections, message)
            self._hub.queue.outgoing.append((self._peer, text))

    def _watch_progress(self) -> None:
        """Set the deadline of a message that was begun; take it away once none is."""
        missing = self._framing.missing
        if missing and self._deadline is None and self._turn is None:
            seconds = self._hub.options.message_seconds + missing / SLOWEST_BYTES_PER_SECOND
            self._deadline = self._loop.call_later(seconds, self._close, JunkReceived("a message without end"))
        elif not missing and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self, error: JunkReceived) -> None:
        log.warning("connection %s closed: it sent %s", self._peer, error)
        if error.code:
            self.send(response(Command.ERROR, error.code.encode(), str(error).encode()))
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # it does not read either: there is nothing to wait for
        else:
            self._transport.close()


def keep_alive(opened: socket.socket) -> None:
    """No waiting for more bytes before sending; a peer that vanished without a word is noticed within two minutes."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000)  # the same while bytes are under way
