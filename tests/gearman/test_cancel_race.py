"""A build that gearmand hands out between saying "queued" and taking the cancellation: played by a scripted server,
since no test can make the real one do it at will."""

import json
import socket
import struct
from collections.abc import Iterator

import pytest
from gear import constants
from support.gearman_places import Launcher, build_request
from support.gearman_wire import DEADLINE

from zuul_launcher.gearman.wire import Frames
from zuul_launcher.model.events import BuildQueued

HANDLE = b"H:gearmand:1"


class Gearmand:
    """One connection of a server that calls itself gearmand 1.1.20."""

    def __init__(self, listening: socket.socket) -> None:
        self.socket, _ = listening.accept()
        self.socket.settimeout(DEADLINE)
        self._frames = Frames()
        self._messages: list[tuple[int, bytes] | str] = []
        assert (self.next(), self.next()) == ("version", "status")
        self.socket.sendall(b"OK 1.1.20\nbuild:unit\t0\t0\t1\n.\n")
        assert self.next() == (constants.OPTION_REQ, b"exceptions")

    def next(self) -> tuple[int, bytes] | str:
        while not self._messages:
            self._messages += self._frames.feed(self.socket.recv(65536))
        return self._messages.pop(0)

    def say(self, command: int, *arguments: bytes) -> None:
        body = b"\0".join(arguments)
        self.socket.sendall(struct.pack(">4sII", b"\0RES", command, len(body)) + body)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.settimeout(DEADLINE)
        yield found


def test_a_build_that_gearmand_cancelled_while_it_was_handed_out_is_stopped(listening: socket.socket) -> None:
    """D47. The side of the client."""
    launcher = Launcher(listening.getsockname()[1])
    server = Gearmand(listening)
    launcher.connected()
    launcher.builds.launch(build_request())
    assert server.next()[0] == constants.SUBMIT_JOB
    server.say(constants.JOB_CREATED, HANDLE)
    launcher.expect(BuildQueued)

    cancelled = launcher.builds.cancel(build_request())
    assert server.next() == (constants.GET_STATUS, HANDLE)
    server.say(constants.STATUS_RES, HANDLE, b"1", b"0", b"0", b"0")
    assert server.next() == f"cancel job {HANDLE.decode()}"
    server.socket.sendall(b"OK\n")
    server.say(constants.WORK_FAIL, HANDLE)
    server.say(constants.WORK_DATA, HANDLE, b'{"name": "unit", "number": 0, "manager": "jenkins1"}')

    command, body = server.next()
    function, _, payload = str(body, "utf-8").split("\0") if isinstance(body, bytes) else ("", "", "")
    assert (command, function) == (constants.SUBMIT_JOB_HIGH, "stop:jenkins1")
    assert json.loads(payload) == {"name": "unit", "number": 0}
    server.say(constants.JOB_CREATED, b"H:gearmand:2")
    cancelled.result(DEADLINE)
    server.say(constants.WORK_COMPLETE, HANDLE, b'{"result": "ABORTED"}')
    launcher.close()
    server.socket.close()
