"""An agent that is hostile or broken: nothing of it runs here, and what it does has a cause in the error."""

import os
import pickle
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import remote_code

from zuul_launcher.remoting import Channel, ChannelSettings, Pipe, codec, connect_subprocess, frames
from zuul_launcher.remoting.bootstrap import open_channel
from zuul_launcher.remoting.errors import (
    ChannelClosed,
    HandshakeFailed,
    PipeBroken,
    RemotingError,
    ResultRejected,
    RoleDenied,
)
from zuul_launcher.remoting.handshake import PreambleReader, myself, preamble
from zuul_launcher.remoting.transport import SocketTransport

SECONDS = 60
SETTINGS = ChannelSettings(handshake_timeout=SECONDS, close_timeout=0.2, max_message=1 << 20)


class FakeAgent:
    """Speaks the wire by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def hello(self) -> None:
        self.send(preamble(myself(SETTINGS)))
        reader = PreambleReader()
        while (found := reader.add(self._connection.recv(1 << 16))) is None:
            continue
        self._received = found[1]

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def say(self, kind: int, request: int, body: bytes, flags: int = 0) -> None:
        self.send(frames.HEADER.pack(len(body), request, kind, flags) + body)

    def hear(self) -> tuple[int, int, bytes]:
        """Kind, request and body of the next frame."""
        while len(self._received) < frames.HEADER_SIZE:
            self._receive()
        length, request, kind, _ = frames.HEADER.unpack_from(self._received)
        while len(self._received) < frames.HEADER_SIZE + length:
            self._receive()
        body = self._received[frames.HEADER_SIZE : frames.HEADER_SIZE + length]
        self._received = self._received[frames.HEADER_SIZE + length :]
        return kind, request, body

    def _receive(self) -> None:
        data = self._connection.recv(1 << 16)
        assert data, "the controller has ended"
        self._received += data

    def answer(self, content: bytes) -> None:
        """The next call gets this as its result."""
        kind, request, _ = self.hear()
        assert kind == frames.CALL
        self.say(frames.RESULT, request, struct.pack("!IIII", 0, 0, 0, 0) + content)


@pytest.fixture
def pair() -> Iterator[tuple[Channel, FakeAgent]]:
    here, there = socket.socketpair()
    agent = FakeAgent(there)
    hello = threading.Thread(target=agent.hello)
    hello.start()
    channel = open_channel(SocketTransport(here), "hostile", SETTINGS)
    hello.join(SECONDS)
    yield channel, agent
    there.close()
    channel.close()


class Harm:
    """Its pickle runs a command."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


def test_a_pickle_as_a_result_is_rejected_and_not_run(pair: tuple[Channel, FakeAgent], tmp_path: Path) -> None:
    """D111"""
    channel, agent = pair
    future = channel.call_async(len, "")
    agent.answer(pickle.dumps(Harm(tmp_path / "harmed")))
    with pytest.raises(ResultRejected):
        future.result(SECONDS)
    assert not (tmp_path / "harmed").exists()
    future = channel.call_async(len, "")
    agent.answer(codec.encode(5))
    assert future.result(SECONDS) == 5


def test_a_pickle_of_a_real_agent_is_rejected_and_not_run(channel: Channel, tmp_path: Path) -> None:
    """D111: an agent whose code was changed, over each kind of channel."""
    path = str(tmp_path / "harmed")

    def turn() -> None:
        import os
        import pickle

        from zuul_launcher.remoting import current_channel

        class Harm:
            def __reduce__(self) -> Any:
                return os.system, (f"touch {path}",)

        side = current_channel().side
        encode = side.encode_value

        def encode_once(value: Any) -> bytes:
            side.encode_value = encode
            return pickle.dumps(Harm())

        side.encode_value = encode_once

    with pytest.raises(ResultRejected):
        channel.call(turn)
    assert not (tmp_path / "harmed").exists()
    assert channel.call(len, "abc") == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"D" + codec.encode("os:system") + codec.encode(["x"]) + codec.encode(1),
        b"E" + codec.encode("support.remote_code:Report") + codec.encode("x"),
        b"D" + codec.encode("support.remote_code:Report") + codec.encode(["__class__"]) + codec.encode(1),
        b"p" + codec.encode("unheard of") + codec.encode(1),
        b"p" + codec.encode("proxy") + codec.encode([False, 77, []]),
        b"p" + codec.encode("pipe") + codec.encode([3, True]),
        b"p" + codec.encode("sink") + codec.encode("one"),
        b"l" + b"\xff\xff\xff\xff",
        b"s" + b"\x7f\xff\xff\xff" + b"short",
        b"l\0\0\0\1" * 5000 + b"N",
        b"d\0\0\0\1" + codec.encode([]) + b"N",
        b"M" + codec.encode("no number"),
        b"NN",
    ],
)
def test_no_data_do_harm(pair: tuple[Channel, FakeAgent], content: bytes) -> None:
    channel, agent = pair
    future = channel.call_async(len, "")
    agent.answer(content)
    with pytest.raises(RemotingError):
        future.result(SECONDS)
    assert channel.is_open


def test_an_answer_that_leaves_its_pipe_open_is_no_end_of_the_data(pair: tuple[Channel, FakeAgent]) -> None:
    """D118. An agent that forgets to say how its data ended."""
    channel, agent = pair
    pipe = Pipe.to_local()
    future = channel.call_async(remote_code.write_zeros, pipe, 1)
    agent.say(frames.PIPE_DATA, 0, struct.pack("!I", 1) + b"some")
    agent.answer(codec.encode(4))
    assert future.result(SECONDS) == 4
    assert pipe.reader.read(4) == b"some"
    with pytest.raises(PipeBroken, match="not all"):
        pipe.reader.read()


def _call(agent: FakeAgent, content: Any) -> Any:
    agent.say(frames.CALL, 2, bytes(17) + codec.encode(content))
    kind, request, body = agent.hear()
    assert request == 2
    return kind, codec.decode(body, 16) if kind == frames.ERROR else body


@pytest.mark.parametrize(
    "content",
    [
        ["os:system", ("true",), {}],
        ["zuul_launcher.remoting.modules:find", ("os",), {}],
        [f"{remote_code.__name__}:add", (1, 2), {}],
        [5, (), {}],
    ],
)
def test_the_agent_calls_only_what_is_marked(pair: tuple[Channel, FakeAgent], content: Any) -> None:
    """D112"""
    kind, record = _call(pair[1], content)
    assert kind == frames.ERROR
    assert record["type"] == f"{RoleDenied.__module__}:RoleDenied"


def test_a_pickle_as_a_call_is_refused(pair: tuple[Channel, FakeAgent], tmp_path: Path) -> None:
    agent = pair[1]
    agent.say(frames.CALL, 2, bytes(17) + b"P" + pickle.dumps((Harm(tmp_path / "harmed"), (), {})))
    kind, _, body = agent.hear()
    assert kind == frames.ERROR
    assert codec.decode(body, 16)["type"].endswith(":ResultRejected")
    assert not (tmp_path / "harmed").exists()


def _too_long(agent: FakeAgent) -> None:
    agent.send(frames.HEADER.pack(1 << 20, 1, frames.RESULT, 0))


def _unknown_kind(agent: FakeAgent) -> None:
    agent.say(99, 0, b"")


def _endless_message(agent: FakeAgent) -> None:
    for _ in range(40):
        agent.say(frames.RESULT, 1, bytes(1 << 16), frames.MORE)


def _many_open_messages(agent: FakeAgent) -> None:
    for number in range(5):
        for _ in range(10):
            agent.say(frames.CALL, 2 * number + 2, bytes(1 << 16), frames.MORE)


def _parts_for_nobody(agent: FakeAgent) -> None:
    agent.say(frames.RESULT, 777, b"x", frames.MORE)


def _number_of_the_controller(agent: FakeAgent) -> None:
    agent.say(frames.CALL, 3, bytes(17) + codec.encode(["x:y", (), {}]))


def _pipe_frame_of_one_byte(agent: FakeAgent) -> None:
    agent.say(frames.PIPE_DATA, 0, b"x")


def _more_than_the_window(agent: FakeAgent) -> None:
    _, _, body = agent.hear()
    number = 1
    assert body
    for _ in range(20):
        agent.say(frames.PIPE_DATA, 0, struct.pack("!I", number) + bytes(65_000))


def _odd_unexport(agent: FakeAgent) -> None:
    agent.say(frames.UNEXPORT, 0, b"123")


def _answer_without_head(agent: FakeAgent) -> None:
    _, request, _ = agent.hear()
    agent.say(frames.RESULT, request, b"")


@pytest.mark.parametrize(
    ("breach", "cause"),
    [
        (_too_long, "a frame of 1048576 bytes; the limit is 65536"),
        (_unknown_kind, "unknown kind 99"),
        (_endless_message, "a message of more than 1048576 bytes"),
        (_many_open_messages, "open messages of more than 2097152 bytes"),
        (_parts_for_nobody, "parts of an answer to the request 777, which is not open"),
        (_number_of_the_controller, "the request 3, which is open or not the far side's"),
        (_pipe_frame_of_one_byte, "data of a pipe without its number"),
        (_more_than_the_window, "more than its window"),
        (_odd_unexport, "an UNEXPORT that is none"),
        (_answer_without_head, "ends in its head"),
    ],
)
def test_a_breach_of_the_rules_closes_the_channel_with_its_cause(
    pair: tuple[Channel, FakeAgent], breach: Callable[[FakeAgent], None], cause: str
) -> None:
    """D130. test_calls.py has the message that is too large for its sender."""
    channel, agent = pair
    pipe = Pipe.to_local()
    future = channel.call_async(remote_code.write_zeros, pipe, 1)
    try:
        breach(agent)
    except OSError:
        pass  # the controller has ended in the middle of it
    with pytest.raises(ChannelClosed, match=cause):
        future.result(SECONDS)
    with pytest.raises(ChannelClosed, match=cause):
        pipe.reader.read()


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def wait(self) -> None:
        self.may_end.wait(SECONDS)


def test_a_number_is_not_used_twice_while_its_request_is_open(pair: tuple[Channel, FakeAgent]) -> None:
    channel, agent = pair
    slow = Slow()
    future = channel.call_async(remote_code.give, channel.export(slow, ["wait"]))
    agent.hear()
    for _ in range(2):
        agent.say(frames.PROXY_CALL, 2, bytes(17) + codec.encode([1, "wait", (), {}]))
    with pytest.raises(ChannelClosed, match="the request 2, which is open"):
        future.result(SECONDS)
    slow.may_end.set()


def test_kinds_that_may_be_skipped_and_frames_of_nobody_are_harmless(pair: tuple[Channel, FakeAgent]) -> None:
    """D130. An unknown kind that is not mandatory."""
    channel, agent = pair
    agent.say(200, 0, b"of a later version")
    agent.say(frames.RESULT, 777, struct.pack("!IIII", 0, 0, 0, 0) + codec.encode(1))
    agent.say(frames.CANCEL, 776, b"")
    agent.say(frames.PIPE_DATA, 0, struct.pack("!I", 5000) + b"x")
    agent.say(frames.PONG, 0, b"")
    agent.say(frames.UNEXPORT, 0, struct.pack("!II", 9, 1))
    agent.say(frames.PING, 0, b"there?")
    assert agent.hear() == (frames.PONG, 0, b"there?")
    assert channel.is_open


def test_modules_outside_of_the_ship_roots_are_not_told(
    pair: tuple[Channel, FakeAgent], caplog: pytest.LogCaptureFixture
) -> None:
    agent = pair[1]
    for name in ("support.remote_code", "zuul_launcher.settings", "../../etc/passwd", "zuul_launcher.remoting.../x"):
        agent.say(frames.MODULE_REQ, 2, codec.encode([name, []]))
        kind, _, body = agent.hear()
        assert kind == frames.MODULE_RES
        assert codec.decode(body) == [[name, "absent", "", False, None]]
    assert "support.remote_code" in caplog.text


def _script(tmp_path: Path, text: str) -> list[str]:
    """A command that is no agent: python3 -c STUB is appended to it."""
    path = tmp_path / "no agent"
    path.write_text(text)
    return ["sh", str(path)]


def _says(tmp_path: Path, line: str) -> list[str]:
    return _script(tmp_path, f"cat >/dev/null & printf '%s\\n' '' '{line}'; sleep 60")


def test_both_ranges_of_versions_are_told_where_none_is_common(tmp_path: Path) -> None:
    """D131: at the controller"""
    said = preamble(myself(SETTINGS)).decode().strip().replace('"proto": [1, 1]', '"proto": [2, 5]')
    with pytest.raises(HandshakeFailed, match="this side speaks 1 to 1, the far side 2 to 5"):
        connect_subprocess(_says(tmp_path, said), settings=SETTINGS)


@pytest.mark.parametrize(
    "line", ["<<<ZLR1>>> {}", "<<<ZLR1>>> [", '<<<ZLR1>>> {"proto": "x"}', "<<<ZLR1>>> " + "[" * 9000]
)
def test_a_first_line_without_sense_is_quoted(tmp_path: Path, line: str) -> None:
    with pytest.raises(HandshakeFailed, match="makes no sense"):
        connect_subprocess(_says(tmp_path, line), settings=SETTINGS)


def test_an_agent_tells_both_ranges_and_ends_with_its_status() -> None:
    """D131: at the node"""
    import subprocess

    from zuul_launcher.remoting.bootstrap import payload

    stub, data = payload("old", SETTINGS)
    said = preamble(myself(SETTINGS)).replace(b'"proto": [1, 1]', b'"proto": [3, 4]')
    command = [sys.executable, "-I", "-S", "-u", "-c", stub]
    done = subprocess.run(command, input=data + said, capture_output=True, timeout=SECONDS)
    assert done.returncode == 70
    assert b"this side speaks 1 to 1, the far side 3 to 4" in done.stderr


@pytest.mark.parametrize(("data", "status"), [(b"short", 71), (b"x" * 200_000, 72)])
def test_an_agent_that_arrives_damaged_does_not_run(data: bytes, status: int) -> None:
    import subprocess

    from zuul_launcher.remoting.bootstrap import payload

    stub, _ = payload("damaged", SETTINGS)
    assert len(stub) <= 300
    done = subprocess.run([sys.executable, "-c", stub], input=data, capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (status, b"")
