"""Pipes, sinks and files over each kind of channel."""

import io
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import remote_code
from support.remote_code import Colour
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LocalChannel, LogSink, Pipe, RemoteFile
from zuul_launcher.remoting.errors import (
    Cancelled,
    NotSerializable,
    PipeReused,
)

SECONDS = 60


def test_data_go_both_ways_and_arrive_as_they_were(channel: Channel) -> None:
    data = bytes(range(256)) * 9000
    there = Pipe.to_remote()
    future = channel.call_async(remote_code.read_all, there)
    for start in range(0, len(data), 100_001):
        there.writer.write(data[start : start + 100_001])
    there.writer.close()
    assert future.result(SECONDS) == data
    here = Pipe.to_local()
    future = channel.call_async(remote_code.write_zeros, here, 4 << 20)
    assert len(here.reader.read(5)) == 5
    assert len(here.reader.read()) == (4 << 20) - 5
    assert future.result(SECONDS) == 4 << 20
    assert here.reader.read() == b""


def test_a_pipe_is_read_by_lines(channel: Channel) -> None:
    pipe = Pipe.to_local()
    future = channel.call_async(lambda p: p.writer.write(b"one\ntwo\n\nlast"), pipe)
    assert list(pipe.reader) == [b"one\n", b"two\n", b"\n", b"last"]
    assert future.result(SECONDS) == 13


def test_a_reader_that_closes_early_breaks_the_pipe_for_the_writer(channel: Channel) -> None:
    """D118. In both directions; test_endings.py has the writer whose process dies."""
    pipe = Pipe.to_remote()
    future = channel.call_async(remote_code.read_some, pipe, 1000)
    with pytest.raises(BrokenPipeError):
        pipe.writer.write(bytes(64 << 20))
    assert len(future.result(SECONDS)) == 1000
    back = Pipe.to_local()
    broken = channel.call_async(remote_code.write_until_broken, back)
    back.reader.read(10)
    back.reader.close()
    assert broken.result(SECONDS) == "broken"


def test_a_call_that_fails_leaves_its_error_behind_the_data(channel: Channel) -> None:
    """D118. As if its process had died: no clean end."""
    pipe = Pipe.to_local()
    future = channel.call_async(remote_code.write_and_fail, pipe, b"half")
    assert pipe.reader.read(4) == b"half"
    with pytest.raises(ValueError, match="half way"):
        pipe.reader.read()
    with pytest.raises(ValueError, match="half way"):
        future.result(SECONDS)


def test_a_writer_can_leave_an_error_of_its_own(channel: Channel) -> None:
    pipe = Pipe.to_local()
    channel.call(remote_code.write_and_pass_on_error, pipe, b"data")
    assert pipe.reader.read1() == b"data"
    with pytest.raises(OSError, match="No space left") as caught:
        pipe.reader.read1()
    assert (caught.value.errno, caught.value.filename) == (28, "/full")


def test_a_pipe_is_sent_once(channel: Channel) -> None:
    """D120. While its call runs and after it, over this channel and another one, and from there back."""
    pipe = Pipe.to_remote()
    future = channel.call_async(remote_code.read_all, pipe)
    with pytest.raises(PipeReused):
        channel.call(remote_code.read_all, pipe)
    with LocalChannel("other") as other, pytest.raises(PipeReused):
        other.call(remote_code.read_all, pipe)
    pipe.writer.close()
    assert future.result(SECONDS) == b""
    with pytest.raises(PipeReused):
        channel.call(remote_code.read_all, pipe)
    back = Pipe.to_local()
    with pytest.raises(PipeReused):
        channel.call(remote_code.give, back)
    with pytest.raises(PipeReused):
        channel.call(remote_code.write_zeros, back, 1)


def test_a_pipe_that_could_not_be_sent_can_be_sent_later(channel: Channel) -> None:
    pipe = Pipe.to_remote()
    with pytest.raises(NotSerializable):
        channel.call(remote_code.use, pipe, threading.Lock())
    future = channel.call_async(remote_code.read_all, pipe)
    pipe.writer.write(b"late")
    pipe.writer.close()
    assert future.result(SECONDS) == b"late"


def test_an_end_is_on_one_side_only() -> None:
    with pytest.raises(ValueError, match="other side"):
        _ = Pipe.to_remote().reader
    with pytest.raises(ValueError, match="other side"):
        _ = Pipe.to_local().writer


def test_what_was_written_to_a_sink_is_there_when_the_call_returns(channel: Channel) -> None:
    """D119."""
    lines: list[str] = []
    sink = LogSink(lines.append)
    for count in (1, 100, 1000):
        lines.clear()
        channel.call(remote_code.write_lines, sink, count)
        assert "".join(lines) == "".join(f"line {number}\n" for number in range(count))
    lines.clear()
    channel.call(lambda to: to.write("unfinished ä"), sink)
    assert lines == ["unfinished ä"]


def test_lines_of_several_threads_are_not_mixed(channel: Channel) -> None:
    parts: list[str] = []
    channel.call(remote_code.write_lines_in_threads, LogSink(parts.append), 4, 50)
    lines = "".join(parts).splitlines()
    assert sorted(lines) == sorted(f"thread {thread} {number}" for thread in range(4) for number in range(50))


def test_a_sink_whose_target_fails_ends_no_work(channel: Channel) -> None:
    def fail(text: str) -> None:
        raise OSError("disk full")

    assert channel.call(remote_code.write_lines, LogSink(fail), 10) is None


@pytest.mark.parametrize("greedy", [False, True])
def test_files_of_this_side_are_read_and_written_there(channel: Channel, greedy: bool, tmp_path: Path) -> None:
    data = bytes(range(256)) * 8000
    target = io.BytesIO()
    source = RemoteFile(io.BytesIO(data), "rb", greedy)
    assert channel.call(remote_code.copy, source, RemoteFile(target, "wb", greedy)) == len(data)
    assert target.getvalue() == data
    assert channel.call(remote_code.read_from, RemoteFile(io.BytesIO(data), "rb", greedy), 10) == data[:10]


def test_an_error_of_the_own_file_is_raised_there(channel: Channel) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        channel.call(remote_code.copy, RemoteFile(io.BytesIO(b"x"), "rb"), RemoteFile(Full(), "wb"))


class Told:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def call(self, value: Any) -> None:
        self.said.append(value)


@pytest.mark.parametrize("function", [remote_code.wait_for_cancel, remote_code.read_forever])
def test_a_cancel_ends_a_wait_of_remoting(channel: Channel, function: Any) -> None:
    """D128. test_launcher.py has the process that is waited for."""
    told, arguments = Told(), []
    if function is remote_code.read_forever:
        arguments = [Pipe.to_remote()]
    future = channel.call_async(function, *arguments, channel.export(told, ["call"]))
    wait_until(lambda: "running" in told.said, what="the call to run")
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(Cancelled):
        future.result(SECONDS)
    assert not future.cancel()


def test_a_call_that_has_not_begun_never_runs_after_a_cancel(channel: Channel) -> None:
    """D128. Before its start."""
    told = Told()
    exported = channel.export(told, ["call"])
    busy = [channel.call_async(remote_code.poll_cancel) for _ in range(channel.settings.threads)]
    waiting = channel.call_async(remote_code.call_method, exported, "call", "I ran")
    waiting.cancel()
    for future in busy:
        future.cancel()
    assert channel.call(remote_code.add, 1, 1, timeout=SECONDS) == 2
    wait_until(lambda: not channel.dump()["calls"], what="the end of all calls")
    assert told.said == []


def test_deaf_code_keeps_its_thread_and_loses_its_caller(channel: Channel) -> None:
    """D128. Its caller is free at once, and other calls find a new place."""
    end = Path(tempfile.mkdtemp(prefix="zuul-remoting-")) / "end"  # not tmp_path: another user looks for it
    end.parent.chmod(0o755)
    told = Told()
    channel.call(remote_code.remember, "end of deafness", str(end))
    count = channel.settings.threads
    deaf = [channel.call_async(remote_code.be_deaf, channel.export(told, ["call"])) for _ in range(count)]
    wait_until(lambda: told.said.count("running") == count, what="all threads to be busy")
    try:
        for future in deaf:
            assert future.cancel()
        assert channel.call(remote_code.add, 1, 1, timeout=SECONDS) == 2
        assert len([line for line in channel.dump()["calls"] if "cancelled, still runs" in line]) == count
    finally:
        end.touch()
    wait_until(lambda: not channel.dump()["calls"], what="the end of the deaf ones")
    shutil.rmtree(end.parent)


def test_calls_of_several_threads_write_to_pipes_at_once(channel: Channel) -> None:
    def through(number: int) -> bool:
        pipe = Pipe.to_remote()
        future = channel.call_async(remote_code.read_all, pipe)
        data = bytes([number]) * 300_000
        pipe.writer.write(data)
        pipe.writer.close()
        return future.result(SECONDS) == data  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(through, range(12)))


def test_classes_are_the_same_on_both_sides(channel: Channel) -> None:
    assert channel.call(remote_code.give, Colour.RED) is Colour.RED
