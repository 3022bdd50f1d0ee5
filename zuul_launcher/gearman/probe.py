"""The small client of `gear call`, `gear status` and `gear ping`: any function, any server, one question at a time.

Over a plain socket, not the `gear` library: each question has a deadline of its own, a refused connection is told at
once, and no thread outlives an answer. gear's own server answers neither ECHO nor most of the text protocol.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.gearman.server.packets import MAGIC_RESPONSE, Command, Framing, JunkReceived, Packet, request

CONNECT_SECONDS = 10.0
UNANSWERED_SECONDS = 1.0  # after which a question counts as one that the server does not know
OURS = "zuul-launcher "  # how the version of our server begins
ANSWER_LIMIT = 128 * 1024 * 1024

Priority = Literal["high", "normal", "low"]
Kind = Literal["created", "data", "warning", "status", "complete", "fail", "exception"]
SUBMISSIONS: dict[tuple[Priority, bool], Command] = {
    ("high", False): Command.SUBMIT_JOB_HIGH,
    ("normal", False): Command.SUBMIT_JOB,
    ("low", False): Command.SUBMIT_JOB_LOW,
    ("high", True): Command.SUBMIT_JOB_HIGH_BG,
    ("normal", True): Command.SUBMIT_JOB_BG,
    ("low", True): Command.SUBMIT_JOB_LOW_BG,
}
KINDS: dict[int, Kind] = {
    Command.WORK_DATA: "data",
    Command.WORK_WARNING: "warning",
    Command.WORK_STATUS: "status",
    Command.WORK_COMPLETE: "complete",
    Command.WORK_FAIL: "fail",
    Command.WORK_EXCEPTION: "exception",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A job to submit."""

    function: str
    payload: bytes
    unique: str = ""  # empty: nobody can join or resume it
    priority: Priority = "normal"
    background: bool = False


@dataclass(frozen=True, slots=True)
class CallEvent:
    """What a server said about a job. `data`: the handle of "created", "5/10" of "status", else the packet's data."""

    kind: Kind
    data: bytes

    @property
    def final(self) -> bool:
        return self.kind in ("complete", "fail", "exception")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    name: str
    total: int  # queued and running
    running: int
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """One connection of the server: a worker if it has functions."""

    descriptor: str
    address: str
    client_id: str
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A job that a server knows; only ours says more than the handle."""

    handle: str
    function: str | None = None
    unique: str | None = None
    running: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    version: str  # empty if the server does not say
    functions: tuple[Function, ...]
    connections: tuple[Connected, ...]
    jobs: tuple[Listed, ...] | None  # None if the server does not list them
    uniques: tuple[str, ...]  # unique ids of jobs, of a server that does not say which job has which


@dataclass(frozen=True, slots=True)
class Ping:
    seconds: float  # one round trip
    version: str  # empty if the server does not say


def call(server: str, port: int, wanted: Call, timeout: float) -> Iterator[CallEvent]:
    """Submit a job and yield what comes, until its end or, in the background, its creation.

    Raises RemoteUnavailable (no connection, connection lost, nothing within `timeout` seconds) and RemoteRefused.
    """
    deadline = time.monotonic() + timeout
    command = SUBMISSIONS[wanted.priority, wanted.background]
    with _connection(server, port, min(CONNECT_SECONDS, timeout)) as opened:
        opened.sendall(request(command, wanted.function.encode(), wanted.unique.encode(), wanted.payload))
        for packet in _packets(opened, deadline):
            if packet.command == Command.ERROR:
                text = packet.body.replace(b"\0", b": ").decode(errors="replace")
                raise RemoteRefused(f"{server} port {port} did not take the job: {text}")
            if packet.command == Command.JOB_CREATED:
                yield CallEvent("created", packet.body)
                if wanted.background:
                    return
            elif packet.command in KINDS:
                event = _event(packet)
                yield event
                if event.final:
                    return


def _event(packet: Packet) -> CallEvent:
    data = packet.body.partition(b"\0")[2]
    kind = KINDS[packet.command]
    return CallEvent(kind, data.replace(b"\0", b"/") if kind == "status" else data)


def _packets(opened: socket.socket, deadline: float) -> Iterator[Packet]:
    """What the server sends until the deadline. Raises TimeoutError then."""
    framing = Framing(ANSWER_LIMIT, MAGIC_RESPONSE)
    while True:
        while isinstance(packet := framing.next(), Packet):
            yield packet
        opened.settimeout(max(0.001, deadline - time.monotonic()))
        if not (data := opened.recv(65536)):
            raise ConnectionError("the server closed the connection")
        framing.feed(data)


def status(server: str, port: int, timeout: float = CONNECT_SECONDS) -> ServerStatus:
    """Functions, connections and jobs of a server. Raises RemoteUnavailable."""
    with _connection(server, port, timeout) as opened:
        functions = tuple(_function(line) for line in _ask_list(opened, b"status"))
        connections = tuple(_connected(line) for line in _ask_list(opened, b"workers"))
    version = _version(server, port, timeout)
    jobs, uniques = _jobs(server, port, timeout, is_ours=version.startswith(OURS))
    return ServerStatus(version=version, functions=functions, connections=connections, jobs=jobs, uniques=uniques)


def workers(server: str, port: int, function: str, timeout: float = CONNECT_SECONDS) -> int:
    """How many connections offer a function. Raises RemoteUnavailable."""
    with _connection(server, port, timeout) as opened:
        listed = (_function(line) for line in _ask_list(opened, b"status"))
        return sum(one.workers for one in listed if one.name == function)


def ping(server: str, port: int, timeout: float = CONNECT_SECONDS) -> Ping:
    """Measure a round trip. Raises RemoteUnavailable."""
    try:
        seconds = _measure_echo(server, port, min(timeout, UNANSWERED_SECONDS))
    except RemoteUnavailable:  # gear's own server does not know ECHO
        with _connection(server, port, timeout) as opened:
            begun = time.monotonic()
            _ask_list(opened, b"status")
            seconds = time.monotonic() - begun
    return Ping(seconds, _version(server, port, timeout))


@contextmanager
def _connection(server: str, port: int, timeout: float) -> Iterator[socket.socket]:
    try:
        opened = socket.create_connection((server, port), timeout)
    except OSError as error:
        raise RemoteUnavailable(f"no connection to {server} port {port}: {error.strerror or error}") from error
    with opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield opened
        except TimeoutError:
            raise RemoteUnavailable(f"{server} port {port} did not answer in time") from None
        except OSError as error:
            raise RemoteUnavailable(f"connection to {server} port {port} lost: {error}") from error
        except (JunkReceived, ValueError) as error:
            raise RemoteUnavailable(f"{server} port {port} does not speak Gearman: {error}") from error


def _measure_echo(server: str, port: int, timeout: float) -> float:
    with _connection(server, port, timeout) as opened:
        begun = time.monotonic()
        opened.sendall(request(Command.ECHO_REQ, b"ping"))
        answer = next(_packets(opened, begun + timeout))
        if answer != Packet(Command.ECHO_RES, b"ping"):
            raise RemoteUnavailable(f"{server} port {port} does not echo")
        return time.monotonic() - begun


def _version(server: str, port: int, timeout: float) -> str:
    """Asked on a connection of its own: gear's own server does not answer it at all."""
    try:
        with _connection(server, port, min(timeout, UNANSWERED_SECONDS)) as opened:
            return _ask(opened, b"version", (b"\n",)).decode(errors="replace").strip().removeprefix("OK ")
    except RemoteUnavailable:
        return ""


def _jobs(
    server: str, port: int, timeout: float, *, is_ours: bool
) -> tuple[tuple[Listed, ...] | None, tuple[str, ...]]:
    """Jobs, and the unique ids of a server that tells them apart from the jobs."""
    try:
        with _connection(server, port, min(timeout, UNANSWERED_SECONDS)) as opened:
            if is_ours:
                return tuple(_listed(line) for line in _ask_list(opened, b"show jobs details")), ()
            jobs = tuple(Listed(handle=line.split("\t")[0]) for line in _ask_list(opened, b"show jobs"))
            return jobs, tuple(_ask_list(opened, b"show unique jobs"))
    except RemoteUnavailable:
        return None, ()


def _ask_list(opened: socket.socket, question: bytes) -> list[str]:
    return _ask(opened, question, (b"\n.\n",)).decode(errors="replace").splitlines()[:-1]


def _ask(opened: socket.socket, question: bytes, ends: tuple[bytes, ...]) -> bytes:
    """The whole answer to a line of the text protocol, up to its end."""
    opened.sendall(question + b"\n")
    answer = bytearray()
    while not answer.endswith(ends) and answer != b".\n":
        data = opened.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        answer += data
        if len(answer) > ANSWER_LIMIT:
            raise ValueError("an answer without end")
    return bytes(answer)


def _function(line: str) -> Function:
    name, total, running, workers = line.rsplit("\t", 3)
    return Function(name=name, total=int(total), running=int(running), workers=int(workers))


def _listed(line: str) -> Listed:
    handle, state, function, unique = line.split("\t", 3)
    return Listed(handle=handle, function=function, unique=unique, running=state == "running")


def _connected(line: str) -> Connected:
    head, _, functions = line.partition(" :")
    descriptor, address, client_id = head.split(" ", 2)
    return Connected(descriptor=descriptor, address=address, client_id=client_id, functions=tuple(functions.split()))
