"""Objects that stay here and are called from the other side, over each kind of channel; and that none is forgotten."""

import gc
import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import remote_code
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LocalChannel, Proxy, current_channel
from zuul_launcher.remoting.errors import (
    MethodNotExported,
    NotSerializable,
    ProxyGone,
    ResultNotSerializable,
    ResultRejected,
    WrongChannel,
)

SECONDS = 60


class Counter:
    """Its class says what may be called."""

    remote_methods = ("up", "fail")

    def __init__(self) -> None:
        self.value = 0

    def up(self, by: int = 1) -> int:
        self.value += by
        return self.value

    def fail(self) -> None:
        raise KeyError("here")

    def secret(self) -> str:
        return "not for the far side"


class BreaksOnArrival:
    """Can be sent, and fails where it arrives."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def exports(channel: Channel) -> list[str]:
    found: list[str] = channel.dump()["exports"]
    return found


def test_listed_methods_work_and_no_others(channel: Channel) -> None:
    """D121"""
    counter = Counter()
    exported = channel.export(counter)
    assert channel.call(remote_code.call_method, exported, "up", 5) == 5
    assert channel.call(lambda proxy: proxy.up(by=2), exported) == 7
    assert counter.value == 7
    for name in ("secret", "value", "__class__x", "_private"):
        with pytest.raises(MethodNotExported, match=f"{name} is not among"):
            channel.call(remote_code.call_method, exported, name)
    with pytest.raises(MethodNotExported, match=r"Counter\.secret is not exported"):  # by a far side that asks anyway
        channel.call(lambda proxy: current_channel().call_proxy(proxy._number, "secret", (), {}), exported)
    with pytest.raises(KeyError, match="here"):
        channel.call(remote_code.call_method, exported, "fail")
    assert (
        channel.call(remote_code.call_method, channel.export(counter, ["secret"]), "secret") == "not for the far side"
    )


def test_only_public_methods_can_be_exported(channel: Channel) -> None:
    """D121"""
    for methods in (["__init__"], ["_hidden"], ["value"], ["missing"]):
        with pytest.raises(ValueError, match="no public method"):
            channel.export(Counter(), methods)
    with pytest.raises(ValueError, match="no methods"):
        channel.export(object())


def test_a_proxy_sent_home_is_the_object_itself(channel: Channel) -> None:
    """D121"""
    counter = Counter()
    exported = channel.export(counter)
    assert channel.call(remote_code.give, exported) is counter
    assert all(found is counter for found in channel.call(remote_code.give, [exported, channel.export(counter)]))
    assert channel.call(remote_code.are_equal, exported, channel.export(counter, ["up"]))
    assert channel.call(lambda one, two: one == two, exported, channel.export(Counter())) is False


def test_a_proxy_travels_over_its_own_channel_only(channel: Channel) -> None:
    with LocalChannel("other") as other:
        with pytest.raises(WrongChannel, match=f"exported to other, not to {channel.name}"):
            channel.call(remote_code.give, other.export(Counter()))
        proxy = channel.call(lambda: current_channel().export([1], ["pop"]))
        with pytest.raises(WrongChannel, match="cannot travel over other"):
            other.call(remote_code.give, proxy)


def test_an_object_of_the_node_is_exported_too(channel: Channel) -> None:
    """D121"""
    proxy = channel.call(lambda: current_channel().export([1, 2], ["pop", "append"]))
    assert proxy.pop() == 2
    with pytest.raises(MethodNotExported):
        proxy.clear()
    assert channel.call(lambda instance: instance, proxy) is not proxy or isinstance(proxy, Proxy)
    assert channel.call(lambda instance: type(instance).__name__, proxy) == "list"


def test_the_exports_of_a_call_are_gone_when_it_returns_unless_kept(channel: Channel) -> None:
    """D123"""
    counter = Counter()
    for what in (counter, Counter()):
        assert channel.call(remote_code.call_method, channel.export(what), "up") == 1
        assert exports(channel) == []
    with pytest.raises(KeyError):
        channel.call(remote_code.call_method, channel.export(counter), "fail")
    assert exports(channel) == []
    channel.call(remote_code.remember, "counter", channel.export(counter))
    assert len(exports(channel)) == 1
    assert channel.call(remote_code.recall, "counter", "up") == 2
    channel.call(remote_code.forget, "counter")
    assert exports(channel) == []


def test_a_dropped_proxy_is_released_when_it_is_collected(channel: Channel) -> None:
    """D122: one that is part of a cycle too, without a call that would bring the news."""

    def keep(proxy: Any) -> None:
        remote_code.kept["cycle"] = [proxy]
        remote_code.kept["cycle"].append(remote_code.kept["cycle"])

    channel.call(keep, channel.export(Counter()))
    assert len(exports(channel)) == 1
    channel.call(remote_code.forget, "cycle")
    channel.call(gc.collect)
    wait_until(lambda: not exports(channel), what="the release")


def test_the_last_words_of_a_quiet_channel_are_sent_all_the_same(channel: Channel) -> None:
    """D122: what a thread of the node drops after its call, no frame of a call tells."""

    def drop_later(proxy: Any) -> None:
        import threading

        threading.Timer(0.05, remote_code.kept.clear).start()
        remote_code.kept["later"] = proxy

    channel.call(drop_later, channel.export(Counter()))
    wait_until(lambda: not exports(channel), what="the release")


def test_ten_thousand_exports_leave_nothing(channel: Channel) -> None:
    """D122"""
    for _ in range(20):
        channel.call(len, [channel.export(Counter()) for _ in range(500)])
        assert exports(channel) == []
    channel.call(gc.collect)
    known_there = channel.call(lambda: len(current_channel().imports._known))
    assert known_there == 0
    held = len(gc.get_objects())
    for _ in range(20):
        channel.call(remote_code.give, [channel.export(Counter()) for _ in range(500)])
    wait_until(lambda: not exports(channel), what="the release")
    gc.collect()
    assert len(gc.get_objects()) - held < 2000


@pytest.fixture
def hectic() -> Iterator[None]:
    """Threads take turns after a few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hectic")
def test_an_object_that_is_sent_while_its_proxy_is_dropped_is_not_forgotten() -> None:
    """D122: the new sending is counted by the old proxy or by a new one, and by none that is gone."""
    with LocalChannel() as channel:
        counter = Counter()

        def send(_: int) -> None:
            for _ in range(200):
                channel.call(remote_code.call_method, channel.export(counter), "up")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(8)))
        wait_until(lambda: not exports(channel), what="the release")


def test_a_call_whose_arguments_do_not_arrive_whole_leaves_no_export(channel: Channel) -> None:
    """D123: whether they were decoded before the one that breaks, or after."""
    first, last = Counter(), Counter()
    with pytest.raises(ValueError, match="no number"):
        channel.call(remote_code.give, [channel.export(first), BreaksOnArrival(), channel.export(last)])
    assert exports(channel) == []
    with pytest.raises(ValueError, match="no number"):
        channel.call(remote_code.give, [BreaksOnArrival(), *(channel.export(last) for _ in range(3))])
    assert exports(channel) == []
    with pytest.raises(ModuleNotFoundError):
        channel.call(remote_code.give, [Missing(), channel.export(first)])
    assert exports(channel) == []


class Missing:
    """Made by a module that is nowhere."""

    def __reduce__(self) -> Any:
        return __import__, ("no_such_module_n",)


def test_what_is_not_sent_or_not_accepted_leaves_no_export(channel: Channel) -> None:
    """D123"""
    with pytest.raises(NotSerializable):
        channel.call(remote_code.give, [channel.export(Counter()), threading.Lock()])
    assert exports(channel) == []

    def give_half() -> Any:
        return [current_channel().export([1], ["pop"]), object()]

    with pytest.raises(ResultNotSerializable):
        channel.call(give_half)
    assert channel.call(lambda: len(current_channel().exports)) == 0

    def give_odd() -> Any:
        side = current_channel().side
        encode = side.encode_value

        def encode_once(value: Any) -> bytes:
            side.encode_value = encode
            return encode(value) + b"?"

        side.encode_value = encode_once
        return current_channel().export([1], ["pop"])

    with pytest.raises(ResultRejected):
        channel.call(give_odd)
    wait_until(lambda: channel.call(lambda: len(current_channel().exports)) == 0, what="the release there")


def test_an_answer_that_nobody_asks_for_leaves_no_export(channel: Channel) -> None:
    future = channel.call_async(lambda: current_channel().export([1], ["pop"]))
    wait_until(future.done, what="the answer")
    assert channel.call(lambda: len(current_channel().exports)) == 1
    del future
    wait_until(lambda: channel.call(lambda: len(current_channel().exports)) == 0, what="the release there")


def test_a_closed_proxy_is_gone(channel: Channel) -> None:
    counter = Counter()
    channel.call(remote_code.remember, "counter", channel.export(counter))
    channel.call(lambda: [remote_code.kept["counter"].close() for _ in range(2)] and None)
    assert exports(channel) == []
    with pytest.raises(ProxyGone):
        channel.call(remote_code.recall, "counter", "up")
    channel.call(remote_code.remember, "again", channel.export(counter))
    assert channel.call(remote_code.recall, "again", "up") == 1
    channel.call(remote_code.forget, "counter")
    assert len(exports(channel)) == 1
    channel.call(remote_code.forget, "again")
    assert exports(channel) == []


def test_the_end_of_a_channel_lets_go_of_all_objects() -> None:
    with LocalChannel() as channel:
        channel.call(remote_code.remember, "counter", channel.export(Counter()))
        assert len(exports(channel)) == 1
    assert exports(channel) == []
    remote_code.forget("counter")


def test_a_release_of_what_is_not_there_is_logged_with_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    with LocalChannel() as channel, caplog.at_level(logging.WARNING):
        channel.call(remote_code.call_method, channel.export(Counter()), "up")
        channel.exports.release(1, 1)
        channel.exports.release(77, 1)
    assert "release of the object 1, which is not exported (released before: Counter" in caplog.text
    assert "release of the object 77, which is not exported (never sent)" in caplog.text
