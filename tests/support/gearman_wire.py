"""Raw sockets towards any Gearman server, and our server in a thread of its own. Everything has a generous deadline."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.waiting import wait_until

from zuul_launcher.gearman.server import Options, Server
from zuul_launcher.gearman.server.packets import MAGIC_RESPONSE, Command, Framing, Packet, request

DEADLINE = 20.0


class Wire:
    """One connection of a client or worker that says exactly what the test wants said."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._framing = Framing(1 << 30, MAGIC_RESPONSE)

    def send(self, command: Command, *arguments: bytes) -> None:
        self.socket.sendall(request(command, *arguments))

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def packet(self) -> Packet:
        """The next packet; fails if a line comes, or the connection ends."""
        while (found := self._framing.next()) is None:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            self._framing.feed(data)
        assert isinstance(found, Packet)
        return found

    def expect(self, command: Command) -> list[bytes]:
        """The arguments of the next packet, which must be of this type."""
        found = self.packet()
        assert found.command == command, (Command(found.command), found.body)
        return found.body.split(b"\0")

    def echo(self) -> None:
        """All that was sent before is done, and nothing was answered to it that the test has not read."""
        self.send(Command.ECHO_REQ, b"so far")
        assert self.expect(Command.ECHO_RES) == [b"so far"]

    def ask(self, line: str) -> str:
        """The answer of one line to a line of the text protocol."""
        self.socket.sendall(line.encode() + b"\n")
        return self._until(b"\n").strip()

    def ask_list(self, line: str) -> list[str]:
        self.socket.sendall(line.encode() + b"\n")
        return self._until(b".\n").splitlines()[:-1]

    def _until(self, end: bytes) -> str:
        answer = b""
        while not (answer.endswith(b"\n" + end) or answer == end or (end == b"\n" and answer.endswith(end))):
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            answer += data
        return answer.decode()

    def submit(
        self, function: bytes, unique: bytes = b"", payload: bytes = b"", command: Command = Command.SUBMIT_JOB
    ) -> bytes:
        """The handle."""
        self.send(command, function, unique, payload)
        return self.expect(Command.JOB_CREATED)[0]

    def grab(self) -> bytes | None:
        """The handle of the job that the server hands out, None if it has none."""
        self.send(Command.GRAB_JOB_UNIQ)
        found = self.packet()
        if found.command == Command.NO_JOB:
            return None
        assert found.command == Command.JOB_ASSIGN_UNIQ
        return found.body.split(b"\0")[0]

    def closed_by_server(self) -> bool:
        """Read until the end; what comes before it is thrown away."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.socket.close()


class Place:
    """A server to talk to, and all connections that a test opens to it."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._wires: list[Wire] = []

    def connect(self) -> Wire:
        wire = Wire(self.port)
        self._wires.append(wire)
        return wire

    def worker(self, *functions: bytes) -> Wire:
        """A worker whose functions the server knows."""
        wire = self.connect()
        for function in functions:
            wire.send(Command.CAN_DO, function)
        wire.echo()
        return wire

    def close(self) -> None:
        for wire in self._wires:
            wire.close()


@contextmanager
def our_server(options: Options | None = None) -> Iterator[Place]:
    """Our server in a thread, on a free port of the loopback."""
    ports: list[int] = []
    started = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        server, stopped = Server(options or Options()), asyncio.Event()
        await server.start("127.0.0.1", 0)
        ports.append(server.port)
        loops.append((asyncio.get_running_loop(), stopped))
        started.set()
        await stopped.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gearman-server")
    thread.start()
    assert started.wait(DEADLINE)
    place = Place("ours", ports[0])
    try:
        yield place
    finally:
        place.close()
        loop, stopped = loops[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join(DEADLINE)
        assert not thread.is_alive()


@contextmanager
def c_gearmand(address: str = "127.0.0.1") -> Iterator[Place]:
    """C gearmand on a free port; the Place connects to the loopback."""
    with socket.create_server((address, 0)) as taken:
        port = taken.getsockname()[1]
    process = subprocess.Popen(["gearmand", "-L", address, "-p", str(port), "-l", "none"])
    place = Place("gearmand", port)
    try:
        wait_until(lambda: answers(port, address))
        yield place
    finally:
        place.close()
        process.terminate()
        process.wait(DEADLINE)


def answers(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True
