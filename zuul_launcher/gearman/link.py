"""One connection to a Gearman server, and the only thread that touches it.

Rules
1. Everything that changes the connection's state runs on its thread: other threads hand in a call, and wake it.
2. It connects for ever, with growing delays (`Backoff`); an outage is said once, not once a try. A server that takes
   connections and says nothing counts as one that cannot be reached.
3. Callbacks, calls and timers of its users run here too, one at a time, and never block; what they raise is logged,
   no more.
4. Nothing waits without a deadline: not connecting, and not an answer that was asked for (`overdue_at`). When one
   passes, the connection is given up and made anew.

gear's own client is not used here, only its packets: it sets no TCP_NODELAY (40 ms a packet), retries every 2 s with
two threads, reads in 4 KiB pieces that it copies together, and forgets what it has read when a handler raises.
"""

import heapq
import logging
import queue
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from zuul_launcher.errors import RemoteError
from zuul_launcher.gearman.wire import Frames

DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between tries to connect; the last one repeats
CONNECT_SECONDS = 10.0
READ_SIZE = 256 * 1024

log = logging.getLogger("zuul_launcher.gearman")


class _Broken(RemoteError):
    """The connection is of no more use; the text says why."""


class Backoff:
    """How long to wait before the next try to connect. Pure, but for `draw`: a number from 0 to 1."""

    def __init__(
        self,
        delays: Sequence[float],
        *,
        jitter: float = 0.0,
        stable_seconds: float | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`delays` are seconds, the last one repeats; each is changed by at most the part `jitter` of it.

        A connection that lasted `stable_seconds` makes the delays begin anew; None: each one does on which the server
        said anything, and the first try after it is made at once.
        """
        self._delays = delays
        self._jitter = jitter
        self._stable_seconds = stable_seconds
        self._draw = draw
        self._tries = 0

    def after_connection(self, seconds: float) -> float:
        """The delay after a connection on which the server spoke, and that lasted so long."""
        if self._stable_seconds is None:
            self._tries = 0
            return 0.0
        if seconds >= self._stable_seconds:
            self._tries = 0
        return self.after_try()

    def after_try(self) -> float:
        """The delay after a try that failed."""
        delay = self._delays[min(self._tries, len(self._delays) - 1)]
        self._tries += 1
        return delay * (1 + self._jitter * (2 * self._draw() - 1))


class Link:
    """Subclasses say what is sent, and what the messages mean. All methods but start, stop and call run on the link's
    thread."""

    def __init__(
        self, server: str, port: int, *, name: str, delays: Sequence[float] = DELAYS, backoff: Backoff | None = None
    ) -> None:
        self.name = name
        self.address = f"{server}:{port}"
        self.faults = 0  # of ours, so far
        self._target = (server, port)
        self._backoff = backoff or Backoff(delays)
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timers_set = 0
        self._socket: socket.socket | None = None
        self._heard = False  # has the server said anything on this connection?
        self._unsent = bytearray()
        self._when_sent: list[Callable[[], None]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"gearman {name}", daemon=True)

    # For all threads

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Begin to stop, and wait for nothing; `stop` is to follow."""
        self._stopping = True
        self._wake()

    def stop(self) -> None:
        """Close the connection and end the thread; the object is of no use any more."""
        self.end()
        if self._thread.is_alive():
            self._thread.join()
        self._wake_read.close()
        self._wake_write.close()

    def call(self, function: Callable[[], None]) -> None:
        """Run it on the link's thread, in the order of the calls."""
        self._calls.put(function)
        self._wake()

    @property
    def is_alive(self) -> bool:
        """Does its thread run?"""
        return self._thread.is_alive()

    # For callbacks, on the link's thread

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Run it then, connected or not."""
        self._timers_set += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._timers_set, function))

    # For subclasses

    def guard(self, function: Callable[[], None]) -> None:
        """A fault of ours in one callback must end neither the connection nor the thread that everything hangs on."""
        try:
            function()
        except Exception:
            self.faults += 1
            log.exception("%s: a callback failed", self.name)

    def lost(self, reason: str, was_connected: bool) -> None:
        """An outage begins: the server cannot be reached, or spoke and is gone."""
        if was_connected:
            log.warning("%s: lost the connection to Gearman server %s: %s", self.name, self.address, reason)
        else:
            log.warning("%s: no Gearman server at %s (%s), trying again", self.name, self.address, reason)

    def found(self) -> None:
        """The server spoke for the first time on a connection."""
        log.info("%s: connected to Gearman server %s", self.name, self.address)

    def opened(self) -> None:
        """The connection is there."""

    def closed(self) -> None:
        """The connection is gone: nothing that was asked on it will be answered."""

    def packet(self, command: int, body: bytes) -> None:
        raise NotImplementedError

    def line(self, text: str) -> None:
        raise NotImplementedError

    def overdue_at(self) -> float | None:
        """When (monotonic seconds) the oldest answer that is missing should have come."""
        return None

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def send(self, data: bytes) -> None:
        """Send as soon as the socket takes it; without a connection it is dropped."""
        if self._socket is not None:
            self._unsent += data

    def when_sent(self, function: Callable[[], None]) -> None:
        """Run it when the socket has taken all that was sent so far, or there is no connection that could."""
        if self._socket is None:
            function()
        else:
            self._when_sent.append(function)

    # The thread

    def _wake(self) -> None:
        try:
            self._wake_write.send(b"\0")
        except OSError:
            pass  # it is full, so the thread will wake anyway; or closed after stop

    def _run(self) -> None:
        is_known = False  # was the outage said?
        while not self._stopping:
            begun = time.monotonic()
            try:
                self._socket = self._connect()
                reason = self._live(self._socket)
            except (OSError, UnicodeError) as error:  # the latter: a host name that cannot be one
                reason = str(error)
            if self._heard:
                delay, is_known = self._backoff.after_connection(time.monotonic() - begun), False
            else:
                delay = self._backoff.after_try()
            if not self._stopping and not is_known:
                is_known = True
                self.guard(partial(self.lost, reason, self._heard))
            if delay:
                self._pause(delay)
        self._run_calls()

    def _live(self, connection: socket.socket) -> str:
        """Use the connection until it breaks; the reason."""
        reason = "stopped"
        try:
            with connection:
                self.opened()
                self._serve(connection)
        except (OSError, RemoteError) as error:
            reason = str(error)
        except Exception as error:
            self.faults += 1
            log.exception("%s: a fault of ours", self.name)
            reason = f"a fault of ours: {error}"
        self._socket = None
        self._unsent.clear()
        self.guard(self.closed)
        self._all_sent()
        return reason

    def _connect(self) -> socket.socket:
        self._heard = False
        connection = socket.create_connection(self._target, timeout=CONNECT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        connection.setblocking(False)
        return connection

    def _serve(self, connection: socket.socket) -> None:
        frames = Frames()
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            selector.register(connection, selectors.EVENT_READ)
            while not self._stopping:
                self._run_calls()
                self._flush(connection)
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
                selector.modify(connection, wanted)
                ready = {key.fileobj: events for key, events in selector.select(self._patience())}
                if self._wake_read in ready:
                    self._drain()
                    self._run_calls()  # what was asked for first, happens first
                if ready.get(connection, 0) & selectors.EVENT_READ:
                    self._read(connection, frames)

    def _patience(self) -> float | None:
        """Seconds until something is due; None: nothing is."""
        now = time.monotonic()
        overdue = self.overdue_at()
        if overdue is not None and overdue <= now:
            raise _Broken("it did not answer in time")
        due = [when for when in (overdue, self._timers[0][0] if self._timers else None) if when is not None]
        return max(0.0, min(due) - now) if due else None

    def _read(self, connection: socket.socket, frames: Frames) -> None:
        try:
            data = connection.recv(READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            raise _Broken("the server closed it")
        if not self._heard:
            self._heard = True
            self.guard(self.found)
        for message in frames.feed(data):
            if isinstance(message, str):
                self.guard(partial(self.line, message))
            else:
                self.guard(partial(self.packet, *message))

    def _flush(self, connection: socket.socket) -> None:
        while self._unsent:
            try:
                sent = connection.send(self._unsent)
            except BlockingIOError:
                return
            del self._unsent[:sent]
        self._all_sent()

    def _all_sent(self) -> None:
        functions, self._when_sent = self._when_sent, []
        for function in functions:
            self.guard(function)

    def _run_calls(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            self.guard(heapq.heappop(self._timers)[2])
        while True:
            try:
                function = self._calls.get_nowait()
            except queue.Empty:
                return
            self.guard(function)

    def _pause(self, seconds: float) -> None:
        """Wait for the next try; calls and timers are served meanwhile (they learn that there is no connection)."""
        ended: list[bool] = []
        self.call_later(seconds, lambda: ended.append(True))
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._stopping and not ended:
                if selector.select(max(0.0, self._timers[0][0] - time.monotonic())):
                    self._drain()
                self._run_calls()

    def _drain(self) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            pass
