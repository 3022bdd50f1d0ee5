"""A manager's Gearman side for tests: real connections, and builds that are only remembered.

`StandInBuilds` plays the room that runs builds: it numbers and announces them, and ends them when a test says so.
`ScriptedServer` plays a Gearman server that does nothing by itself but answer GRAB, and writes down every packet.
"""

import json
import queue
import selectors
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from msgspec import structs
from support.gearman_places import Proxy
from support.gearman_wire import DEADLINE, Place
from support.waiting import wait_until

from zuul_launcher.gearman.server.packets import Command, Framing, Packet, response
from zuul_launcher.gearman.wire import Frames
from zuul_launcher.worker.definitions.job import Job, Shell
from zuul_launcher.worker.definitions.labels import parse
from zuul_launcher.worker.parts import Assignment, Delivery, Slot, StopState, UnknownBuild
from zuul_launcher.worker.queue.functions import QueueNode
from zuul_launcher.worker.queue.registry import Queue
from zuul_launcher.worker.queue.settings import QueueSettings

MANAGER = "manager"

# Where the servers may differ, and nowhere else: what, then ours, gear's, gearmand's.
DIFFERENCES: dict[str, dict[str, Any]] = {
    "a worker is gone": {"ours": "WORK_FAIL", "gear": "WORK_FAIL", "gearmand": "queued again"},
    "an exception reaches a client that did not ask for them": {"ours": True, "gear": True, "gearmand": False},
    "cancelling a queued job tells its client": {"ours": False, "gear": False, "gearmand": True},
    "a cancelled job is listed until a worker asks": {"ours": False, "gear": False, "gearmand": True},
    "cancel of a running job": {"ours": "ERR UNKNOWN_JOB", "gear": "ERR UNKNOWN_JOB", "gearmand": "OK"},
}


def expected(place: Place, what: str) -> Any:
    return DIFFERENCES[what][place.name]


def a_job(name: str, node: str | None = None, **fields: Any) -> Job:
    """A job; `node` is its label expression."""
    expression = None if node is None else parse(node)
    return Job(name=name, steps=(Shell(text="true"),), node=expression, **fields)


def a_node(name: str = "n", *labels: str, **fields: Any) -> QueueNode:
    return QueueNode(name=name, labels=frozenset(labels), **fields)


def jobs_of(*jobs: Job) -> dict[str, Job]:
    return {job.name: job for job in jobs}


def nodes_of(*nodes: QueueNode) -> dict[str, QueueNode]:
    return {node.name: node for node in nodes}


class StandInBuild:
    """One build, as the room of builds would have it."""

    def __init__(self, assignment: Assignment, slot: Slot, delivery: Delivery, number: int) -> None:
        self.assignment = assignment
        self.slot = slot
        self.delivery = delivery
        self.number = number
        self.stops = 0
        self.is_over = False

    def announce(self) -> None:
        said = {"name": self.assignment.job, "number": self.number, "manager": MANAGER}
        self.delivery.data(json.dumps(said).encode())
        self.delivery.status(0, 100)

    @property
    def final(self) -> bytes:
        result = "ABORTED" if self.stops else "SUCCESS"
        return json.dumps({"name": self.assignment.job, "number": self.number, "result": result}).encode()


class StandInBuilds:
    """Builds begin when they are assigned, and end by `finish`; with `at_once` they end by themselves.

    An id that is running is adopted, and one that ended is answered with what is stored, as the real room does.
    """

    def __init__(self) -> None:
        self.all: list[StandInBuild] = []  # in the order of their beginning
        self.assignments: list[Assignment] = []  # in the order of coming
        self.descriptions: dict[tuple[str, str], str] = {}
        self.most_running: Counter[str] = Counter()  # node -> builds at once
        self.faults: list[Exception] = []  # raised one by one at the next assignments
        self.alone: set[str] = set()  # jobs whose builds keep others off their node
        self.at_once = False
        self.state: StopState = "aborting"  # what a stop of a running build meets
        self.broken: Exception | None = None  # raised by stop and describe
        self._numbers: Counter[str] = Counter()
        self._lock = threading.RLock()

    # What the queue calls

    def assigned(self, assignment: Assignment, slot: Slot, delivery: Delivery) -> None:
        with self._lock:
            self.assignments.append(assignment)
            if self.faults:
                raise self.faults.pop()
            known = [one for one in self.all if assignment.unique and one.assignment.unique == assignment.unique]
            if known:
                self._adopt(known[0], slot, delivery)
                return
            self._numbers[assignment.job] += 1
            build = StandInBuild(assignment, slot, delivery, self._numbers[assignment.job])
            if assignment.job in self.alone:
                slot.keep_others_out()
            self.all.append(build)
            now = sum(one.assignment.node == assignment.node for one in self.running)
            self.most_running[assignment.node] = max(now, self.most_running[assignment.node])
        build.announce()
        if self.at_once:
            self.finish(build)

    def _adopt(self, build: StandInBuild, slot: Slot, delivery: Delivery) -> None:
        slot.release()
        build.delivery = delivery
        if build.is_over:
            delivery.complete(build.final)
        else:
            build.announce()

    def stop(self, job: str, number: str, uuid: str | None) -> StopState:
        build = self._find(job, number, uuid)
        if build.is_over:
            return "finished"
        build.stops += 1
        return self.state

    def describe(self, job: str, number: str, html: str) -> str:
        self._find(job, number, None)
        self.descriptions[job, number] = html
        return f"{job} #{number} is described"

    def _find(self, job: str, number: str, uuid: str | None) -> StandInBuild:
        if self.broken is not None:
            raise self.broken
        with self._lock:
            for build in self.all:
                if build.assignment.unique == uuid or (build.assignment.job, str(build.number)) == (job, number):
                    return build
        raise UnknownBuild(f"there is no build {uuid or f'{job} #{number}'}")

    # What tests call

    @property
    def running(self) -> list[StandInBuild]:
        with self._lock:
            return [one for one in self.all if not one.is_over]

    def uniques(self) -> list[str]:
        with self._lock:
            return [one.assignment.unique for one in self.all]

    def wait_for(self, count: int) -> list[StandInBuild]:
        """Until so many run; they."""
        wait_until(lambda: len(self.running) >= count)
        return self.running

    def finish(self, build: StandInBuild) -> None:
        with self._lock:
            build.is_over = True
            delivery = build.delivery
        delivery.complete(build.final)
        build.slot.release()


class World:
    """A queue with its builds, at a server; times are short."""

    def __init__(self, port: int, manager: str = MANAGER, **settings: Any) -> None:
        self.builds = StandInBuilds()
        self.nodes: dict[str, QueueNode] = {}
        self.jobs: dict[str, Job] = {}
        fast = QueueSettings(port=port, delays=(0.02, 0.05), stable_seconds=0.0, merge_seconds=0.01, retry_seconds=0.05)
        self.queue = Queue(
            structs.replace(fast, **settings),
            manager,
            assigned=self.builds.assigned,
            stop=self.builds.stop,
            describe=self.builds.describe,
        )

    def tell(self, *things: QueueNode | Job) -> None:
        """These are added, or replace those of their names."""
        self.nodes = self.nodes | nodes_of(*(one for one in things if isinstance(one, QueueNode)))
        self.jobs = self.jobs | jobs_of(*(one for one in things if isinstance(one, Job)))
        self.queue.update(self.nodes, self.jobs)

    def forget(self, *names: str) -> None:
        self.nodes = {name: one for name, one in self.nodes.items() if name not in names}
        self.jobs = {name: one for name, one in self.jobs.items() if name not in names}
        self.queue.update(self.nodes, self.jobs)

    def settled(self) -> None:
        """All that was told has been sent, and every GRAB is answered."""
        assert self.queue.flush(DEADLINE)

    def connected(self) -> None:
        """There is a connection for each executor."""

        def are_all() -> bool:
            wanted = sum(node.executors for node in self.nodes.values())
            health = self.queue.health()
            return bool(health["connected"]) and health["executors_connected"] == health["executors"] == wanted

        self.queue.flush(0.0)  # no need to wait for more changes
        wait_until(are_all)


@contextmanager
def world_at(port: int, *things: QueueNode | Job, manager: str = MANAGER, **settings: Any) -> Iterator[World]:
    """A queue that is connected, with these nodes and jobs."""
    world = World(port, manager, **settings)
    world.queue.start()
    try:
        world.tell(*things)
        world.connected()
        yield world
    finally:
        world.queue.stop()


def offered(place: Place) -> dict[str, set[str]]:
    """What the server knows: client id -> functions, of connections that have any."""
    wire = place.connect()
    found = {}
    for line in wire.ask_list("workers"):
        head, _, functions = line.partition(" :")
        if functions.split():
            found[head.split(" ", 2)[2].strip()] = set(functions.split())
    wire.close()
    return found


class Caller:
    """A client that submits jobs, and keeps what is said about each."""

    def __init__(self, place: Place, *, exceptions: bool = False) -> None:
        """`exceptions`: ask the server for their texts (gear's does not know that question)."""
        self._place = place
        self._wire = place.connect()
        self._frames = Frames()  # of both magics: gear's server tells a lost worker with the request's
        self._packets: deque[tuple[int, bytes]] = deque()
        if exceptions and not expected(place, "an exception reaches a client that did not ask for them"):
            self._wire.send(Command.OPTION_REQ, b"exceptions")
            assert self._packet()[0] == Command.OPTION_RES
        self._news: dict[bytes, list[tuple[Command, bytes]]] = {}

    def submit(self, function: str, payload: Any = None, unique: str = "", *, high: bool = False) -> bytes:
        """The handle. The payload is sent as JSON, unless it is bytes."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload or {}).encode()
        command = Command.SUBMIT_JOB_HIGH if high else Command.SUBMIT_JOB
        self._wire.send(command, function.encode(), unique.encode(), body)
        while (packet := self._packet())[0] != Command.JOB_CREATED:
            self._keep(*packet)
        self._news.setdefault(packet[1], [])
        return packet[1]

    def ask(self, line: str) -> str:
        """The answer of the text protocol, asked on a connection of its own."""
        wire = self._place.connect()
        answer = wire.ask(line)
        wire.close()
        return answer

    def news(self, handle: bytes, until: Callable[[list[tuple[Command, bytes]]], bool]) -> list[tuple[Command, bytes]]:
        while not until(self._news[handle]):
            self._keep(*self._packet())
        return self._news[handle]

    def end(self, handle: bytes) -> tuple[Command, bytes]:
        """Its last packet: type and data."""
        ends = (Command.WORK_COMPLETE, Command.WORK_FAIL, Command.WORK_EXCEPTION)
        return next(one for one in self.news(handle, lambda said: any(c in ends for c, _ in said)) if one[0] in ends)

    def run(self, function: str, payload: Any = None, unique: str = "") -> tuple[Command, bytes]:
        return self.end(self.submit(function, payload, unique))

    def close(self) -> None:
        self._wire.close()

    def _keep(self, command: int, body: bytes) -> None:
        handle, _, data = body.partition(b"\0")
        self._news.setdefault(handle, []).append((Command(command), data))

    def _packet(self) -> tuple[int, bytes]:
        while not self._packets:
            data = self._wire.socket.recv(65536)
            assert data, "the server closed the connection"
            self._packets.extend(one for one in self._frames.feed(data) if not isinstance(one, str))
        return self._packets.popleft()


class Peer:
    """One connection to the scripted server."""

    def __init__(self, connection: socket.socket, answers_grabs: bool) -> None:
        self.received: list[tuple[Command, list[bytes]]] = []
        self.client_id = ""
        self.is_open = True
        self.answers_grabs = answers_grabs
        self.most_grabs = 0  # that were without an answer at once
        self._grabs = 0
        self._socket = connection
        self._thread = threading.Thread(target=self._read, name="scripted peer")
        self._thread.start()

    def send(self, command: Command, *arguments: bytes) -> None:
        if command in (Command.NO_JOB, Command.JOB_ASSIGN_UNIQ):
            self._grabs -= 1
        with suppress(OSError):
            self._socket.sendall(response(command, *arguments))

    def assign(self, function: str, handle: str = "H:1", unique: str = "u", payload: bytes = b"{}") -> None:
        self.send(Command.JOB_ASSIGN_UNIQ, handle.encode(), function.encode(), unique.encode(), payload)

    def commands(self, *kinds: Command) -> list[Command]:
        return [command for command, _ in list(self.received) if not kinds or command in kinds]

    def count(self, kind: Command) -> int:
        return len(self.commands(kind))

    def names(self, kind: Command) -> list[str]:
        """First arguments of the packets of that type."""
        return [arguments[0].decode() for command, arguments in list(self.received) if command == kind]

    def wait_for(self, kind: Command, count: int = 1) -> None:
        """Until so many packets of that type have come, all in all."""
        wait_until(lambda: self.count(kind) >= count)

    def asleep(self, count: int = 1) -> None:
        self.wait_for(Command.PRE_SLEEP, count)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        self._socket.close()

    def _read(self) -> None:
        framing = Framing(1 << 30)
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.is_open = False
                return
            framing.feed(data)
            while isinstance(packet := framing.next(), Packet):
                self._take(packet)

    def _take(self, packet: Packet) -> None:
        command = Command(packet.command)
        if command == Command.SET_CLIENT_ID:
            self.client_id = packet.body.decode()
        if command == Command.GRAB_JOB_UNIQ:
            self._grabs += 1
            self.most_grabs = max(self.most_grabs, self._grabs)
        self.received.append((command, packet.body.split(b"\0")))
        if command == Command.GRAB_JOB_UNIQ and (self.answers_grabs or self.client_id.endswith("_manager")):
            self.send(Command.NO_JOB)


class ScriptedServer:
    """Takes connections, and remembers all of them. `answers_grabs` is what new ones of executors begin with."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.answers_grabs = True
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="scripted server")
        self._thread.start()

    def peer(self, client_id: str, number: int = 1) -> Peer:
        """The connection of that number with this id."""

        def found() -> list[Peer]:
            return [peer for peer in list(self.peers) if peer.client_id == client_id]

        wait_until(lambda: len(found()) >= number)
        return found()[number - 1]

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        self._listening.close()
        for peer in self.peers:
            peer.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers.append(Peer(connection, self.answers_grabs))


class SilentProxy(Proxy):
    """A way that can go dead without a word, as when a firewall forgets a connection: nobody is told."""

    def __init__(self, port: int) -> None:
        self._dead: set[socket.socket] = set()
        self._to_lose: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        super().__init__(port)

    def silence(self) -> None:
        """All connections that there are pass nothing more; new ones do."""
        self._dead |= set(self._pairs)

    def lose(self, packet: bytes) -> None:
        """The next time that exactly this comes, it does not arrive."""
        self._to_lose.put(packet)

    @property
    def lost_all(self) -> bool:
        return self._to_lose.empty()

    def _pass_on(self, selector: selectors.BaseSelector, one: socket.socket) -> None:
        if one in self._dead:
            if not self._discard(one):
                self._drop(selector, one)
            return
        if not self._to_lose.empty():
            packet = one.recv(65536, socket.MSG_PEEK)
            lost = self._to_lose.get()
            if packet == lost:
                self._discard(one)
                return
            self._to_lose.put(lost)
        super()._pass_on(selector, one)

    def _discard(self, one: socket.socket) -> bool:
        try:
            return bool(one.recv(65536))
        except OSError:
            return False
