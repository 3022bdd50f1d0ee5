"""The server process: sockets, the one timer of the queue, signals. `run` is all that the command line needs."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import time

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.gearman.server.connection import Connection
from zuul_launcher.gearman.server.job import Peer
from zuul_launcher.gearman.server.observer import Observer
from zuul_launcher.gearman.server.options import Options
from zuul_launcher.gearman.server.queue import JobQueue

log = logging.getLogger("zuul_launcher.gearman.server")

BACKLOG = 1024
HOST_NAME_LENGTH = 32  # libgearman has room for a handle of 63 bytes
SPARE_DESCRIPTORS = 64
OBSERVED_SECONDS = 1.0  # between two looks at how many jobs there are, while anything happens


class Server:
    """A server in the running event loop. After `start` it listens on `port`."""

    def __init__(self, options: Options, observer: Observer | None = None) -> None:
        # Numbers go on from the time: the handle of an earlier process never names a job of this one.
        self.queue = JobQueue(
            handle_prefix=b"H:" + socket.gethostname()[:HOST_NAME_LENGTH].encode("ascii", "replace"),
            first_number=int(time.time() * 1000),
            grace_seconds=options.grace_seconds,
            hearing_seconds=options.hearing_seconds,
        )
        self.options = options
        self.observer = observer or Observer()
        self.connections: dict[Peer, Connection] = {}
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None

    async def start(self, address: str | None, port: int) -> None:
        """Listen. Raises ConfigurationError if the address cannot be used."""
        loop = asyncio.get_running_loop()
        for opened in open_sockets(address, port):
            self.port = opened.getsockname()[1]
            self._servers.append(await loop.create_server(lambda: Connection(self), sock=opened, backlog=BACKLOG))
        log.info("listening on %s port %d", address or "all addresses", self.port)
        self._look_at_jobs()

    async def stop(self) -> None:
        """Close everything; queued jobs are lost with the process, as clients and workers notice."""
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        for server in self._servers:
            server.close()
        for connection in list(self.connections.values()):
            connection.abort()
        while self.connections:
            await asyncio.sleep(0)

    def deliver(self) -> None:
        """Hand the queue's outgoing bytes to the connections and set the queue's timer."""
        outgoing, self.queue.outgoing = self.queue.outgoing, []
        pieces: dict[Peer, list[bytes]] = {}
        for peer, data in outgoing:
            pieces.setdefault(peer, []).append(data)
        for peer, parts in pieces.items():
            connection = self.connections.get(peer)
            if connection is not None:
                connection.send(b"".join(parts))
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(OBSERVED_SECONDS, self._look_at_jobs)
        deadline = self.queue.next_deadline
        if deadline is not None and (self._timer is None or self._timer.when() > deadline):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(deadline, self._advance)

    def _look_at_jobs(self) -> None:
        self._look = None
        self.observer.jobs(self.queue.lanes.total(), self.queue.running.total())

    def _advance(self) -> None:
        self._timer = None
        self.queue.advance(asyncio.get_running_loop().time())
        self.deliver()


def open_sockets(address: str | None, port: int) -> list[socket.socket]:
    """One socket for each address that the name stands for, all on one port; None means all addresses of both families.

    Port 0 chooses a free one. Raises ConfigurationError."""
    try:
        if address is None:
            return [_open_everywhere(port)]
        opened: list[socket.socket] = []
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, where in dict.fromkeys(found):
            chosen = opened[0].getsockname()[1] if opened else port
            opened.append(socket.create_server((str(where[0]), chosen), family=family, backlog=BACKLOG))
        return opened
    except OSError as error:
        wanted = address or "all addresses"
        raise ConfigurationError(f"cannot listen on {wanted} port {port}: {error.strerror}") from error


def _open_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # a host may have IPv6 in its kernel and no such address
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    return socket.create_server(("", port), backlog=BACKLOG)


def run(address: str | None, port: int, *, options: Options | None = None, observer: Observer | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError if the address cannot be used."""
    asyncio.run(_serve(address, port, options or Options(), observer))


async def _serve(address: str | None, port: int, options: Options, observer: Observer | None) -> None:
    allow_descriptors(options.connection_limit + SPARE_DESCRIPTORS)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = Server(options, observer)
    await server.start(address, port)
    await stopped.wait()
    log.info("stopping, %d jobs are known", len(server.queue.jobs))
    await server.stop()


def allow_descriptors(wanted: int) -> None:
    """Raise the soft limit of open files as far as the hard one lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < best:
        resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
    if best < wanted:
        log.warning("only %d files may be open, so fewer connections than configured are possible", best)
