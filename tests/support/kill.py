"""What tests of kill -9 need besides a gate: a Gearman server that goes silent at the right moment, the scheduler's
database seen from outside, and the checks of what must hold at the end."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from support.gearman_places import any_server
from support.gearman_wire import Wire
from support.system import Gate
from support.waiting import wait_until

from zuul_launcher.db import history, journal
from zuul_launcher.db.engine import connect
from zuul_launcher.sim.gerrit.site import Pushed


class SilentProxy:
    """Passes bytes on to a Gearman server. A connection that submits a job of the function is told nothing more: the
    server has the job, and its client does not know."""

    def __init__(self, port: int, function: bytes) -> None:
        self._target = port
        self._function = function
        self.armed = False
        self.silent = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = [self._listening]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target), 20)
                far.settimeout(None)
                hushed = threading.Event()
                self._open += [near, far]
                for source, sink, is_client in ((near, far, True), (far, near, False)):
                    thread = threading.Thread(target=self._pass, args=(source, sink, hushed, is_client))
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, hushed: threading.Event, is_client: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_client and self.armed and b"\0REQ" in data and self._function + b"\0" in data:
                    hushed.set()
                    self.silent.set()
                if is_client or not hushed.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def gearman_server(name: str) -> Iterator[int]:
    """The port of one of its own: `ours`, `gearmand`."""
    with any_server(name) as place:
        yield place.port


@contextmanager
def stored(gate: Gate) -> Iterator[Engine]:
    """The scheduler's database, to look into."""
    engine = connect(gate.site.dburi)
    try:
        yield engine
    finally:
        engine.dispose()


def steps(engine: Engine) -> int:
    """How many events were stepped so far."""
    found = journal.load(engine)
    return found.events[-1].sequence if found.events else found.snapshot.sequence if found.snapshot else 0


def open_handles(engine: Engine) -> list[str | None]:
    return [row.handle for row in history.open_builds(engine)]


def open_numbers(engine: Engine) -> list[int | str | None]:
    return [row.number for row in history.open_builds(engine)]


def jobs_of(port: int, function: str) -> tuple[int, int]:
    """(all, running) jobs of a function, as the Gearman server sees them."""
    wire = Wire(port)
    try:
        for line in wire.ask_list("status"):
            name, total, running, _ = line.split("\t")
            if name == function:
                return int(total), int(running)
        return 0, 0
    finally:
        wire.close()


def runs(gate: Gate, change: Pushed) -> int:
    """How many builds of this change were begun by the worker, wherever they ended."""
    number = change.number
    return sum(build.parameters["ZUUL_CHANGE"] == number for build in (*gate.worker.history, *gate.worker.builds))


def every_build_ran_once(gate: Gate) -> None:
    begun = Counter(build.parameters["ZUUL_UUID"] for build in (*gate.worker.history, *gate.worker.builds))
    assert all(count == 1 for count in begun.values()), begun.most_common(2)
    assert " is lost: " not in gate.log()


def nothing_is_left_over(gate: Gate) -> None:
    """As soon as the last events are dealt with: Gerrit tells of a merge when the page is empty already."""
    with stored(gate) as engine:
        looks = (history.open_builds, journal.all_parked, journal.all_received)
        wait_until(lambda: not any(look(engine) for look in looks), what="the end of builds and events")
