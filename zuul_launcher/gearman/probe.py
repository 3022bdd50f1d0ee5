"""The small client of `gear call`, `gear status` and `gear ping`: any function, any server, one question at a time.

`call` uses the `gear` library, as every job of ours does. The text protocol and ECHO go over a plain socket: gear's own
server answers neither ECHO nor most of the text protocol, and each question here has a deadline.
"""

import queue
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import gear

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.gearman.server.packets import MAGIC_RESPONSE, Command, Framing, JunkReceived, Packet, request

CONNECT_SECONDS = 10.0
SUBMIT_SECONDS = 30.0
ECHO_SECONDS = 2.0
ANSWER_LIMIT = 128 * 1024 * 1024

Priority = Literal["high", "normal", "low"]
PRIORITIES: dict[Priority, bytes] = {
    "high": gear.PRECEDENCE_HIGH,
    "normal": gear.PRECEDENCE_NORMAL,
    "low": gear.PRECEDENCE_LOW,
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

    kind: Literal["created", "data", "warning", "status", "complete", "fail", "exception"]
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
class ServerStatus:
    version: str  # empty if the server does not say
    functions: tuple[Function, ...]
    connections: tuple[Connected, ...]
    jobs: tuple[str, ...] | None  # handles; None if the server does not list them


@dataclass(frozen=True, slots=True)
class Ping:
    seconds: float  # one round trip
    version: str  # empty if the server does not say


def call(server: str, port: int, wanted: Call, timeout: float) -> Iterator[CallEvent]:
    """Submit a job and yield what comes, until its end or, in the background, its creation.

    Raises RemoteUnavailable (no connection, connection lost, nothing within `timeout` seconds) and RemoteRefused.
    """
    heard: queue.Queue[CallEvent | None] = queue.Queue()
    deadline = time.monotonic() + timeout
    client = _Client(heard)
    try:
        client.addServer(server, port)
        try:
            client.waitForServer(min(CONNECT_SECONDS, timeout))
        except gear.TimeoutError:
            raise RemoteUnavailable(f"no connection to {server} port {port}") from None
        job = gear.Job(wanted.function, wanted.payload, unique=wanted.unique)
        try:
            client.submitJob(job, wanted.background, PRIORITIES[wanted.priority], min(SUBMIT_SECONDS, timeout))
        except gear.GearmanError as error:
            raise RemoteRefused(f"{server} did not take the job: {error}") from error
        yield CallEvent("created", job.handle)
        while not wanted.background:
            try:
                event = heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise RemoteUnavailable(f"the job did not end within {timeout:g} s; it may go on") from None
            if event is None:
                raise RemoteUnavailable(f"the connection to {server} broke before the job ended")
            yield event
            if event.final:
                return
    finally:
        client.shutdown()


class _Client(gear.Client):  # type: ignore[misc]  # gear has no types
    """Puts what is heard about the one job into a queue; None when the connection breaks."""

    def __init__(self, heard: "queue.Queue[CallEvent | None]") -> None:
        super().__init__("zuul-launcher-gear")
        self._heard = heard

    def _onConnect(self, conn: Any) -> None:
        conn.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._onConnect(conn)

    def handleWorkData(self, packet: Any) -> Any:
        self._heard.put(CallEvent("data", packet.getArgument(1, True)))
        return super().handleWorkData(packet)

    def handleWorkWarning(self, packet: Any) -> Any:
        self._heard.put(CallEvent("warning", packet.getArgument(1, True)))
        return super().handleWorkWarning(packet)

    def handleWorkStatus(self, packet: Any) -> Any:
        self._heard.put(CallEvent("status", b"/".join((packet.getArgument(1), packet.getArgument(2)))))
        return super().handleWorkStatus(packet)

    def handleWorkComplete(self, packet: Any) -> Any:
        self._heard.put(CallEvent("complete", packet.getArgument(1, True)))
        return super().handleWorkComplete(packet)

    def handleWorkFail(self, packet: Any) -> Any:
        self._heard.put(CallEvent("fail", b""))
        return super().handleWorkFail(packet)

    def handleWorkException(self, packet: Any) -> Any:
        self._heard.put(CallEvent("exception", packet.getArgument(1, True)))
        return super().handleWorkException(packet)

    def handleDisconnect(self, job: Any) -> Any:
        self._heard.put(None)
        return super().handleDisconnect(job)


def status(server: str, port: int, timeout: float = CONNECT_SECONDS) -> ServerStatus:
    """Functions, connections and jobs of a server. Raises RemoteUnavailable."""
    with _connection(server, port, timeout) as opened:
        functions = tuple(_function(line) for line in _ask_list(opened, b"status"))
        connections = tuple(_connected(line) for line in _ask_list(opened, b"workers"))
    return ServerStatus(
        version=_version(server, port, timeout),
        functions=functions,
        connections=connections,
        jobs=_job_handles(server, port, timeout),
    )


def ping(server: str, port: int, timeout: float = CONNECT_SECONDS) -> Ping:
    """Measure a round trip. Raises RemoteUnavailable."""
    try:
        seconds = _measure_echo(server, port, min(timeout, ECHO_SECONDS))
    except _NoAnswer:  # gear's own server does not know ECHO
        with _connection(server, port, timeout) as opened:
            begun = time.monotonic()
            _ask_list(opened, b"status")
            seconds = time.monotonic() - begun
    return Ping(seconds, _version(server, port, timeout))


class _NoAnswer(RemoteUnavailable):
    """The server is there, but did not answer this question."""


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
            raise _NoAnswer(f"{server} port {port} does not answer") from None
        except (OSError, JunkReceived, ValueError) as error:
            raise RemoteUnavailable(f"{server} port {port} does not speak Gearman: {error}") from error


def _measure_echo(server: str, port: int, timeout: float) -> float:
    framing = Framing(ANSWER_LIMIT, MAGIC_RESPONSE)
    with _connection(server, port, timeout) as opened:
        begun = time.monotonic()
        opened.sendall(request(Command.ECHO_REQ, b"ping"))
        while (answer := framing.next()) is None:
            if not (data := opened.recv(4096)):
                raise _NoAnswer(f"{server} port {port} closed the connection")
            framing.feed(data)
        if answer != Packet(Command.ECHO_RES, b"ping"):
            raise _NoAnswer(f"{server} port {port} does not echo")
        return time.monotonic() - begun


def _version(server: str, port: int, timeout: float) -> str:
    """Asked on a connection of its own: gear's own server does not answer it at all."""
    try:
        with _connection(server, port, min(timeout, ECHO_SECONDS)) as opened:
            return _ask(opened, b"version", (b"\n",)).decode(errors="replace").strip().removeprefix("OK ")
    except _NoAnswer:
        return ""


def _job_handles(server: str, port: int, timeout: float) -> tuple[str, ...] | None:
    try:
        with _connection(server, port, min(timeout, ECHO_SECONDS)) as opened:
            return tuple(line.split("\t")[0] for line in _ask_list(opened, b"show jobs"))
    except _NoAnswer:
        return None


def _ask_list(opened: socket.socket, question: bytes) -> list[str]:
    return _ask(opened, question, (b"\n.\n",)).decode(errors="replace").splitlines()[:-1]


def _ask(opened: socket.socket, question: bytes, ends: tuple[bytes, ...]) -> bytes:
    """The whole answer to a line of the text protocol, up to its end."""
    opened.sendall(question + b"\n")
    answer = bytearray()
    while not answer.endswith(ends) and answer != b".\n":
        data = opened.recv(65536)
        if not data:
            raise _NoAnswer("the connection was closed")
        answer += data
        if len(answer) > ANSWER_LIMIT:
            raise ValueError("an answer without end")
    return bytes(answer)


def _function(line: str) -> Function:
    name, total, running, workers = line.rsplit("\t", 3)
    return Function(name=name, total=int(total), running=int(running), workers=int(workers))


def _connected(line: str) -> Connected:
    head, _, functions = line.partition(" :")
    descriptor, address, client_id = head.split(" ", 2)
    return Connected(descriptor=descriptor, address=address, client_id=client_id, functions=tuple(functions.split()))
