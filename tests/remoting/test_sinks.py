"""Targets of sinks that are slow, or that make calls themselves, over each kind of channel."""

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import remote_code
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LocalChannel, LogSink, RemoteFile
from zuul_launcher.remoting.errors import CallTimeout, ChannelClosed

SECONDS = 60


class Target:
    """Takes nothing until it may; then all."""

    def __init__(self) -> None:
        self.may_take = threading.Event()
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        assert self.may_take.wait(SECONDS)
        self.lines.append(text)


def test_a_slow_target_holds_up_its_own_call_and_no_other(channel: Channel) -> None:
    """D119: the answer waits for what the call wrote; D117: others go on."""
    slow = Target()
    future = channel.call_async(remote_code.write_lines, LogSink(slow.write), 3)
    wait_until(lambda: "answered, waits for a sink" in str(channel.dump()["calls"]), what="the answer")
    other: list[str] = []
    for number in range(20):
        assert channel.call(remote_code.add, number, 1, timeout=SECONDS) == number + 1
        channel.call(remote_code.write_lines, LogSink(other.append), 1, timeout=SECONDS)
    assert len(other) == 20
    assert not future.done()
    slow.may_take.set()
    future.result(SECONDS)
    assert "".join(slow.lines) == "line 0\nline 1\nline 2\n"


def test_a_call_that_writes_to_a_sink_that_came_before_waits_for_it_too(channel: Channel) -> None:
    """D119: a sink that an earlier call has left there."""
    slow = Target()
    channel.call(remote_code.remember, "log", LogSink(slow.write))
    future = channel.call_async(lambda: remote_code.kept["log"].write("kept\n"))
    wait_until(lambda: "answered, waits for a sink" in str(channel.dump()["calls"]), what="the answer")
    assert channel.call(remote_code.add, 1, 1, timeout=SECONDS) == 2
    slow.may_take.set()
    future.result(SECONDS)
    assert slow.lines == ["kept\n"]
    last: list[str] = []
    slow.write = last.append  # type: ignore[method-assign] # the sink has the one of before
    channel.call(lambda: (remote_code.kept["log"].write("last\n"), remote_code.forget("log"))[0])
    assert slow.lines == ["kept\n", "last\n"]


def test_an_answer_that_waits_for_a_target_can_be_given_up(channel: Channel) -> None:
    slow = Target()
    with pytest.raises(CallTimeout, match="no answer within"):
        channel.call(remote_code.write_lines, LogSink(slow.write), 1, timeout=0.2)
    future = channel.call_async(remote_code.write_lines, LogSink(slow.write), 1)
    wait_until(lambda: "answered, waits for a sink" in str(channel.dump()["calls"]), what="the answer")
    assert future.cancel()
    slow.may_take.set()


def test_the_end_of_the_channel_ends_the_wait_for_a_target() -> None:
    slow = Target()
    with LocalChannel() as channel:
        future = channel.call_async(remote_code.write_lines, LogSink(slow.write), 1)
        wait_until(lambda: "answered, waits for a sink" in str(channel.dump()["calls"]), what="the answer")
        threading.Thread(target=channel.close).start()
        with pytest.raises(ChannelClosed):
            future.result(SECONDS)
        slow.may_take.set()


def test_a_target_that_is_a_window_behind_stops_its_writer_only(channel: Channel) -> None:
    """D117"""
    slow = Target()
    count = channel.settings.threads + 2
    line = "x" * (1 << 16) + "\n"
    futures = [
        channel.call_async(lambda to: [to.write(line) for _ in range(20)] and None, LogSink(slow.write))
        for _ in range(count)
    ]
    wait_until(lambda: _waiting(channel) == count, what="full windows")
    assert channel.call(remote_code.add, 1, 1, timeout=SECONDS) == 2
    slow.may_take.set()
    for future in futures:
        future.result(SECONDS)
    assert sum(map(len, slow.lines)) == count * 20 * len(line)


def _waiting(channel: Channel) -> int:
    ends = [end for end in channel.pipes.copy().values() if hasattr(end, "_waiting")]
    return sum(end._waiting >= channel.settings.window - (1 << 17) for end in ends)


def test_a_target_may_call_on_the_channel(channel: Channel) -> None:
    answers: list[Any] = []
    inner: list[str] = []

    def target(text: str) -> None:
        answers.append(channel.call(remote_code.add, len(text), timeout=SECONDS))
        channel.call(remote_code.write_lines, LogSink(inner.append), 2, timeout=SECONDS)

    channel.call(lambda sink: [(sink.write("ab\n"), sink.flush()) for _ in range(3)] and None, LogSink(target))
    assert answers == [3, 3, 3]
    assert "".join(inner) == "line 0\nline 1\n" * 3


def test_a_target_may_make_a_call_that_writes_to_the_same_sink(channel: Channel) -> None:
    """Its answer cannot wait for the line, which comes after the one that the target has now."""
    lines: list[str] = []

    def target(text: str) -> None:
        lines.append(text)
        if text == "first\n":
            channel.call(lambda: remote_code.kept["log"].write("second\n"), timeout=SECONDS)

    channel.call(remote_code.remember, "log", LogSink(target))
    channel.call(lambda: remote_code.kept["log"].write("first\n"), timeout=SECONDS)
    channel.call(remote_code.forget, "log")
    wait_until(lambda: lines == ["first\n", "second\n"], what="both lines")


def test_a_target_may_call_while_all_threads_of_the_far_side_wait_for_it(channel: Channel) -> None:
    answers: list[int] = []

    def target(_: str) -> None:
        answers.append(channel.call(remote_code.add, 1, timeout=SECONDS))

    futures = [
        channel.call_async(lambda to: [to.write("x" * (1 << 19) + "\n") for _ in range(6)] and None, LogSink(target))
        for _ in range(channel.settings.threads + 1)
    ]
    for future in futures:
        future.result(SECONDS)
    assert len(answers) >= len(futures)


@pytest.mark.parametrize("write", [remote_code.write_lines, remote_code.write_lines_in_threads])
def test_sinks_of_many_calls_at_once_get_their_own_lines(channel: Channel, write: Callable[..., None]) -> None:
    """D119"""
    targets: list[list[str]] = [[] for _ in range(20)]
    arguments = (50,) if write is remote_code.write_lines else (2, 25)
    futures = [channel.call_async(write, LogSink(lines.append), *arguments) for lines in targets]
    for future, lines in zip(futures, targets, strict=True):
        future.result(SECONDS)
        assert len("".join(lines).splitlines()) == 50


def test_a_file_that_is_written_ahead_is_whole_when_the_call_returns(channel: Channel) -> None:
    """D119"""

    class Slow(io.BytesIO):
        def write(self, data: Any, /) -> int:
            threading.Event().wait(0.001)  # a disk takes its time
            return super().write(data)

    target = Slow()
    channel.call(lambda file: [file.write(bytes(100_000)) for _ in range(30)] and None, RemoteFile(target, "wb", True))
    assert len(target.getvalue()) == 3_000_000
