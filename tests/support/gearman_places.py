"""More Gearman for tests: gear's own server, a proxy that cuts connections, workers that say what a test wants, and the
launcher's side of it all in one object. Everything has a generous deadline."""

import queue
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import gear
from support.gearman_wire import DEADLINE, Place, Wire, c_gearmand, our_server
from support.waiting import wait_until

from zuul_launcher.gearman.builds import Builds
from zuul_launcher.gearman.client import Client
from zuul_launcher.gearman.merges import Merges
from zuul_launcher.gearman.openbuild import BuildRequest
from zuul_launcher.gearman.server import Options
from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.model.events import AnyEvent

AnEvent = TypeVar("AnEvent")
FAST = (0.01, 0.05)  # seconds between tries to connect


class _GearServer(gear.Server):
    """gear's server on the loopback, without the deprecated call that fails where warnings are errors."""

    def __init__(self) -> None:
        super().__init__(0, host="127.0.0.1")
        self.connections_condition.notifyAll = self.connections_condition.notify_all

    def _cleanup(self) -> None:
        super()._cleanup()
        self.poll.close()


@contextmanager
def gear_server() -> Iterator[Place]:
    server = _GearServer()
    place = Place("gear", server.port)
    try:
        yield place
    finally:
        place.close()
        server.shutdown()


@contextmanager
def any_server(name: str, options: Options | None = None) -> Iterator[Place]:
    """The server of that name: ours, gearmand or gear."""
    match name:
        case "ours":
            context = our_server(options)
        case "gearmand":
            context = c_gearmand()
        case _:
            context = gear_server()
    with context as place:
        yield place


class Worker:
    """A worker that does one packet at a time."""

    def __init__(self, place: Place, *functions: str) -> None:
        self.wire: Wire = place.connect()
        self.handle = b""
        self.payload = b""
        for function in functions:
            self.wire.send(Command.CAN_DO, function.encode())
        self.wire.ask_list("status")  # from here on the server knows them

    def take(self) -> str:
        """Wait for a job; the function's name."""
        wait_until(lambda: bool(self.grab()))
        return self.function

    def grab(self) -> bool:
        self.wire.send(Command.GRAB_JOB_UNIQ)
        while (found := self.wire.packet()).command == Command.NOOP:
            pass
        if found.command != Command.JOB_ASSIGN_UNIQ:
            return False
        self.handle, function, unique, self.payload = found.body.split(b"\0", 3)
        self.function, self.unique = function.decode(), unique.decode()
        return True

    def data(self, data: bytes) -> None:
        self.wire.send(Command.WORK_DATA, self.handle, data)

    def complete(self, data: bytes = b"") -> None:
        self.wire.send(Command.WORK_COMPLETE, self.handle, data)

    def fail(self) -> None:
        self.wire.send(Command.WORK_FAIL, self.handle)

    def exception(self, text: bytes) -> None:
        self.wire.send(Command.WORK_EXCEPTION, self.handle, text)

    def sync(self) -> None:
        """All that was sent before has been done by the server."""
        self.wire.ask_list("status")

    def leave(self) -> None:
        self.wire.close()


class Proxy:
    """Passes bytes between its own port and another one, until it is told to cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._commands: queue.SimpleQueue[threading.Event] = queue.SimpleQueue()
        self._wake_read, self._wake_write = socket.socketpair()
        self._open = True
        self._passing = True
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    def cut(self) -> None:
        """Close all connections, and each new one at once, until `mend`."""
        self._passing = False
        self._do()

    def mend(self) -> None:
        self._passing = True

    def close(self) -> None:
        self._open = False
        self._do()
        self._thread.join(DEADLINE)
        for one in (self._listening, self._wake_read, self._wake_write):
            one.close()

    def _do(self) -> None:
        done = threading.Event()
        self._commands.put(done)
        self._wake_write.send(b"\0")
        assert done.wait(DEADLINE)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake_read:
                        self._wake_read.recv(1)
                        for one in list(self._pairs):
                            self._drop(selector, one)
                        self._commands.get().set()
                        if not self._open:
                            return
                    elif key.fileobj is self._listening:
                        self._accept(selector)
                    elif key.fileobj in self._pairs:
                        assert isinstance(key.fileobj, socket.socket)
                        self._pass_on(selector, key.fileobj)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        near, _ = self._listening.accept()
        if not self._passing:
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self._target), DEADLINE)
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[one] = other
            selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, selector: selectors.BaseSelector, one: socket.socket) -> None:
        try:
            data = one.recv(65536)
            self._pairs[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(selector, one)

    def _drop(self, selector: selectors.BaseSelector, one: socket.socket) -> None:
        if one in self._pairs:
            other = self._pairs.pop(one)
            del self._pairs[other]
            for either in (one, other):
                selector.unregister(either)
                either.close()


class Launcher:
    """The scheduler's side: a client with its builds and merges, and the events that they posted."""

    def __init__(self, port: int, *, ask_seconds: float = 0.1, check_seconds: float = 300.0) -> None:
        self._posted: queue.SimpleQueue[AnyEvent] = queue.SimpleQueue()
        self.client = Client("127.0.0.1", port, delays=FAST)
        self.builds = Builds(
            self.client, self._posted.put, lambda: 1000.0, ask_seconds=ask_seconds, check_seconds=check_seconds
        )
        self.merges = Merges(self.client, self._posted.put, lambda: 1000.0, delays=(0.01, 0.02))
        self.builds.start()
        self.client.start()

    def expect(self, kind: type[AnEvent]) -> AnEvent:
        """The next event, which must be of this type."""
        event = self._posted.get(timeout=DEADLINE)
        assert isinstance(event, kind), event
        return event

    def next_event(self) -> AnyEvent | None:
        """What was posted next, if anything was."""
        return None if self._posted.empty() else self._posted.get()

    def connected(self) -> None:
        wait_until(lambda: self.client.connected)

    def close(self) -> None:
        self.client.stop()
        assert self._posted.empty(), f"posted and not expected: {self._posted.get()}"


def build_request(uuid: str = "1" * 32, job: str = "unit", **fields: object) -> BuildRequest:
    values: dict[str, object] = {
        "item": "7",
        "attempt": 2,
        "build": uuid,
        "job": job,
        "function": f"build:{job}",
        "parameters": {"ZUUL_UUID": uuid},
    }
    return BuildRequest(**values | fields)  # type: ignore[arg-type]  # tests give what they want
