"""Much data, slow readers and stalled pipes, over each kind of channel: what they cost, and what they hold up."""

import gc
import sys
import threading
from pathlib import Path

import pytest
from support import remote_code
from support.remoting_nodes import Sshd
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, ChannelSettings, LogSink, Pipe, connect_ssh, connect_subprocess
from zuul_launcher.remoting.pipeends import PipeReader

SECONDS = 60
BULK = 128 << 20
BLOCK = 1 << 18
ALLOWED = 16 << 20


def read_slowly(pipe: Pipe) -> list[int]:
    """Bytes that came, and by how many the memory grew at most while they came."""
    before = most = _resident()
    total = blocks = 0
    while block := pipe.reader.read1(1 << 16):
        total += len(block)
        blocks += 1
        if blocks % 64 == 0:
            threading.Event().wait(0.001)
            most = max(most, _resident())
    return [total, most - before]


def write_much(pipe: Pipe, size: int, block: int) -> int:
    """By how many bytes the memory grew at most meanwhile."""
    data = bytes(block)
    before = most = _resident()
    for number in range(size // block):
        pipe.writer.write(data)
        if number % 16 == 0:
            most = max(most, _resident())
    pipe.writer.close()
    return most - before


def _resident() -> int:
    """Bytes of memory that this process has now; the peak would hide behind that of an earlier test."""
    return int(Path("/proc/self/statm").read_text().split()[1]) << 12


def by_value(channel: Channel) -> Channel:
    """This module is sent to the node."""
    channel.ship_by_value(sys.modules[__name__])
    return channel


def test_bulk_data_to_a_slow_reader_there_need_little_memory(channel: Channel) -> None:
    """D116"""
    pipe = Pipe.to_remote()
    future = by_value(channel).call_async(read_slowly, pipe)
    grown_here = write_much(pipe, BULK, BLOCK)
    total, grown_there = future.result(SECONDS)
    assert total == BULK
    assert grown_here < ALLOWED
    assert grown_there < ALLOWED


def test_bulk_data_to_a_slow_reader_here_need_little_memory(channel: Channel) -> None:
    """D116"""
    pipe = Pipe.to_local()
    future = by_value(channel).call_async(write_much, pipe, BULK, BLOCK)
    total, grown_here = read_slowly(pipe)
    assert total == BULK
    assert grown_here < ALLOWED
    assert future.result(SECONDS) < ALLOWED


def test_a_writer_is_a_window_ahead_and_no_more(channel: Channel) -> None:
    """D116: whatever it has, and however long nobody reads."""
    pipe = Pipe.to_local()
    stalled = channel.call_async(remote_code.write_zeros, pipe, 8 << 20)
    wait_until(lambda: pipe.reader._size >= channel.settings.window, what="a full window")
    for _ in range(10):
        channel.call(remote_code.add, 1, 1, timeout=SECONDS)
    assert pipe.reader._size == channel.settings.window
    pipe.reader.close()
    with pytest.raises(BrokenPipeError):
        stalled.result(SECONDS)


def test_stalled_pipes_hold_up_no_other_call(channel: Channel) -> None:
    """D117: in both directions, and more of them than the node has threads."""
    count = channel.settings.threads + 2
    to_here = [Pipe.to_local() for _ in range(count)]
    to_there = [Pipe.to_remote() for _ in range(count)]
    writing = [channel.call_async(remote_code.write_zeros, pipe, 2 << 20) for pipe in to_here]
    reading = [channel.call_async(remote_code.read_all, pipe) for pipe in to_there]
    wait_until(lambda: all(pipe.reader._size >= channel.settings.window for pipe in to_here), what="full windows")
    for number in range(20):
        assert channel.call(remote_code.add, number, 1, timeout=SECONDS) == number + 1
    other = Pipe.to_remote()
    through = channel.call_async(remote_code.read_all, other)
    other.writer.write(b"not held up")
    other.writer.close()
    assert through.result(SECONDS) == b"not held up"
    assert not any(future.done() for future in (*writing, *reading))
    for pipe, future in zip(to_here, writing, strict=True):
        assert len(pipe.reader.read()) == 2 << 20
        assert future.result(SECONDS) == 2 << 20
    for pipe, future in zip(to_there, reading, strict=True):
        pipe.writer.close()
        assert future.result(SECONDS) == b""


@pytest.mark.parametrize("kind", ["subprocess", pytest.param("ssh", marks=pytest.mark.sshd)])
def test_pings_are_answered_while_a_pipe_is_stalled(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D117"""
    monkeypatch.setenv("ZUUL_REMOTING_TRACE", str(tmp_path / "trace"))
    settings = ChannelSettings(ping_interval=0.1)
    if kind == "ssh":
        server: Sshd = request.getfixturevalue("ssh_server")
        opened = connect_ssh(server.node((sys.executable,)), name="pinged", settings=settings)
    else:
        opened = connect_subprocess([sys.executable], name="pinged", settings=settings)
    with opened as channel:
        channel.allow("support.remote_code")
        pipe = Pipe.to_local()
        stalled = channel.call_async(remote_code.write_zeros, pipe, 8 << 20)
        wait_until(lambda: pipe.reader._size >= channel.settings.window, what="a full window")
        before = _pongs(tmp_path)
        wait_until(lambda: _pongs(tmp_path) >= before + 5, what="answers to pings")
        assert not stalled.done()
        assert len(pipe.reader.read()) == 8 << 20
        assert stalled.result(SECONDS) == 8 << 20


def _pongs(folder: Path) -> int:
    return (folder / "trace").read_text().count("pinged < PONG")


def test_a_pipe_that_comes_with_an_answer_loses_nothing_that_follows_it(channel: Channel) -> None:
    """Also where the answer waits for a sink: its data come at once."""
    may_take, taken = threading.Event(), []

    def target(text: str) -> None:
        assert may_take.wait(SECONDS)
        taken.append(text)

    def give(log: LogSink) -> Pipe:
        import threading

        log.write("a line\n")
        pipe = Pipe.to_remote()

        def fill() -> None:
            pipe.writer.write(b"follows")
            pipe.writer.close()

        threading.Thread(target=fill).start()
        return pipe

    future = channel.call_async(give, LogSink(target))
    wait_until(lambda: "answered, waits for a sink" in str(channel.dump()["calls"]), what="the answer")
    wait_until(lambda: 7 in _arrived(channel), what="the data")
    may_take.set()
    assert future.result(SECONDS).reader.read() == b"follows"
    assert taken == ["a line\n"]


def _arrived(channel: Channel) -> list[int]:
    readers = [each for each in gc.get_objects() if type(each) is PipeReader]
    return [reader._size for reader in readers if reader.channel is channel and reader._size]
