"""Calls over each kind of channel: what can be sent, what comes back, what fails and how."""

import asyncio
import datetime
import functools
import logging
import os
import pathlib
import socket
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support import remote_code
from support.remote_code import Adder, Colour, KnownError, Numbered, Report, Resource
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, current_channel, lazy
from zuul_launcher.remoting.errors import (
    CallTimeout,
    FactoryError,
    MessageTooLarge,
    NestingTooDeep,
    NotOnAgent,
    NotSerializable,
    RemoteError,
    RemoteExit,
    RemoteTraceback,
    ResultNotSerializable,
    RoleDenied,
)

SECONDS = 60


class Caller:
    """To be exported: calls of the far side arrive here."""

    def __init__(self, react: Any = None) -> None:
        self.said: list[Any] = []
        self._react = react

    def call(self, value: Any) -> Any:
        self.said.append(value)
        return self._react(value) if self._react else None


def test_a_function_of_a_module_runs(channel: Channel) -> None:
    """D98"""
    assert channel.call(remote_code.add, 3, second=4) == 7


def test_partials_instances_lambdas_and_nested_functions_run(channel: Channel) -> None:
    """D98"""
    captured = 10
    table = {"a": [1, 2]}

    def nested(value: int) -> int:
        def inner() -> int:
            return value + captured

        return inner() + len(table["a"])

    assert channel.call(functools.partial(remote_code.add, 1), 2) == 3
    assert channel.call(Adder(5), 6) == 11
    assert channel.call(lambda value: value * captured, 4) == 40
    assert channel.call(nested, 1) == 13
    assert channel.call("a-b".split, "-") == ["a", "b"]


def test_a_lambda_is_another_one_each_time_it_is_made(channel: Channel) -> None:
    assert [channel.call(lambda i=i: i) for i in range(3)] == [0, 1, 2]
    made = [lambda value, i=i: (value, i) for i in range(3)]
    assert [channel.call(function, "x") for function in made] == [("x", 0), ("x", 1), ("x", 2)]

    def with_cell(i: int) -> Any:
        return lambda: i

    assert [channel.call(with_cell(i)) for i in range(3)] == [0, 1, 2]
    with pytest.raises(NameError):
        channel.call(lambda: name_that_nobody_has)  # type: ignore[name-defined] # noqa: F821 - that is the point


def test_functions_of_one_code_object_keep_what_they_do_not_have_in_common(channel: Channel) -> None:
    def make(kind: Any, default: int) -> Callable[..., Any]:
        def seen(added: kind = default) -> object:
            import gc
            import sys
            import types

            code = sys._getframe().f_code
            # On a channel within this process, those that were not sent refer to the code too.
            functions = [found for found in gc.get_referrers(code) if isinstance(found, types.FunctionType)]
            # Not as attributes: code with names that its module has too is sent in another form.
            return [
                added,
                [[str(getattr(found, name)) for name in ("__name__", "__annotations__")] for found in functions],
            ]

        return seen

    kinds = [int, "text", None, Report, 7, True, int]
    functions = [make(kind, number) for number, kind in enumerate(kinds)]
    functions[-1].__name__ = "renamed"
    for number, function in enumerate(functions):
        added, names = channel.call(function)
        assert added == number
        assert [function.__name__, str(function.__annotations__)] in names
    assert channel.call(functions[0], 10)[0] == channel.call(functions[0], added=10)[0] == 10


def test_plain_data_come_back_as_they_were(channel: Channel) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    values = [
        *(None, True, 0, -1, 2**63, -(2**200), 1.5, float("inf"), 2j, "", "ä\udc80", b"\0\xff", (1, (2,)), {1, 2}),
        *(frozenset("a"), {"a": {(1, 2): []}}, datetime.date(2026, 1, 2), datetime.time(1, 2, 3, 4, zone)),
        *(datetime.datetime(2026, 1, 2, 3, 4, 5, 6, zone), datetime.timedelta(-1, 5), datetime.UTC),
        *(Decimal("1.20"), uuid.UUID(int=5), pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("c:\\a")),
    ]
    for value in values:
        assert channel.call(remote_code.give, value) == value
        assert type(channel.call(remote_code.give, value)) is type(value)
    assert channel.call(remote_code.give, Path("/a")) == pathlib.PurePosixPath("/a")


def test_marked_classes_come_back_as_they_are(channel: Channel) -> None:
    assert channel.call(remote_code.report, "x") == Report("x", Colour.BLUE, [Report("inner", Colour.RED)])


def test_what_cannot_be_sent_is_named_by_the_way_to_it(channel: Channel) -> None:
    """D106"""
    resource = Resource("r")
    holder = {"first": [resource]}
    cases: list[tuple[Any, str]] = [
        (lambda: resource, "closure variable 'resource' → Resource.lock: "),
        (functools.partial(remote_code.give, holder), r"argument 1 of partial → \['first'\] → \[0\] → Resource.lock: "),
        (lambda: threading.current_thread().name if resource else channel, "closure variable"),
    ]
    for function, way in cases:
        with pytest.raises(NotSerializable, match=way):
            channel.call(function)
    with pytest.raises(NotSerializable, match=r"argument 2 → \[1\] → Thread\._"):
        channel.call(remote_code.add, 1, [0, threading.Thread()])
    with Path(os.devnull).open() as file, pytest.raises(NotSerializable, match=r"argument 'second': .*TextIOWrapper"):
        channel.call(remote_code.add, 1, second=file)
    with pytest.raises(NotSerializable, match=r"argument 1 → \w*Channel\."):
        channel.call(remote_code.give, channel)
    assert channel.call(remote_code.add, 1, 1) == 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (threading.Lock, "cannot pickle '_thread.lock' object"),
        (threading.Thread, "Thread\\._"),
        (lambda: Path(os.devnull).open(), "cannot pickle an open file"),  # noqa: SIM115 - the test closes it
        (lambda: Path(os.devnull).open("rb"), "BufferedReader"),  # noqa: SIM115 - as above
        (socket.socket, "socket"),
        (lambda: logging.StreamHandler(), r"StreamHandler\.lock"),
        (lambda: (number for number in ()), "generator"),
    ],
)
def test_what_a_lambda_captured_is_named(channel: Channel, make: Any, reason: str) -> None:
    """D106: nothing was sent, and the channel is usable."""
    captured = make()
    before = channel.dump()["frames out"]
    try:
        with pytest.raises(NotSerializable, match=rf"^closure variable 'captured'.*{reason}"):
            channel.call(lambda: captured)
        assert channel.dump()["frames out"] == before
        assert channel.call(remote_code.add, 1, 1) == 2
    finally:
        if hasattr(captured, "close"):
            captured.close()


def test_a_result_that_cannot_be_sent_is_named_too(channel: Channel) -> None:
    """D107"""
    with pytest.raises(
        ResultNotSerializable, match=r"result\['a'\]\[1\]: support.remote_code.Unmarked .*@transferable"
    ):
        channel.call(remote_code.unmarked)
    with pytest.raises(ResultNotSerializable, match="a generator is no result: use a pipe"):
        channel.call(lambda: (i for i in range(3)))
    deep: list[Any] = []
    with pytest.raises(ResultNotSerializable, match="nested deeper"):
        channel.call(lambda: [deep := [], deep.append(deep), deep][2])
    assert deep == []
    assert channel.call(remote_code.add, 1, 1) == 2


def test_built_in_errors_are_themselves_with_the_remote_traceback(channel: Channel) -> None:
    """D108"""
    with pytest.raises(FileNotFoundError) as caught:
        channel.call(os.stat, "/missing")
    assert (caught.value.errno, caught.value.filename) == (2, "/missing")
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "FileNotFoundError" in str(caught.value.__cause__)
    assert caught.value.remote_channel == channel.name  # type: ignore[attr-defined]
    with pytest.raises(UnicodeDecodeError):
        channel.call(b"\xff".decode)


def test_the_chain_of_causes_is_kept(channel: Channel) -> None:
    """D108"""
    with pytest.raises(ValueError, match="outer") as caught:
        channel.call(remote_code.fail, "cause")
    trace = caught.value.__cause__
    assert isinstance(trace, RemoteTraceback)
    assert isinstance(trace.__cause__, KeyError)
    assert 'raise ValueError("outer") from error' in str(trace)


def test_notes_and_groups_are_kept(channel: Channel) -> None:
    def fail() -> None:
        error = ValueError("x")
        error.add_note("a note")
        raise ExceptionGroup("both", [error, OSError(13, "no")])

    with pytest.raises(ExceptionGroup) as caught:
        channel.call(fail)
    first, second = caught.value.exceptions
    assert (type(first), first.__notes__, type(second)) == (ValueError, ["a note"], PermissionError)


def test_marked_errors_are_themselves_and_unknown_ones_are_named(channel: Channel) -> None:
    """D109"""
    with pytest.raises(KnownError) as known:
        channel.call(remote_code.fail, "known")
    assert known.value.args == ("about", 7)
    with pytest.raises(RemoteError, match=r"support\.remote_code\.UnknownError: ") as unknown:
        channel.call(remote_code.fail, "unknown")
    assert unknown.value.type_name == "support.remote_code.UnknownError"
    assert "in fail" in str(unknown.value.__cause__)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_a_process_ends_the_call_only(channel: Channel, error: type[BaseException]) -> None:
    """D110"""

    def leave() -> None:
        raise error("bye")

    with pytest.raises(RemoteExit, match=f"{error.__name__}: bye"):
        channel.call(leave)
    assert channel.call(remote_code.add, 1, 1) == 2


def test_errors_of_arguments_belong_to_their_call(channel: Channel) -> None:
    class Broken:
        def __reduce__(self) -> Any:
            return int, ("no number",)

    with pytest.raises(ValueError, match="no number"):
        channel.call(remote_code.give, Broken())
    with pytest.raises(RecursionError):
        channel.call(lambda: (lambda f: f(f))(lambda f: f(f)))
    assert channel.call(remote_code.add, 1, 1) == 2


def test_a_message_above_the_limit_is_refused_and_the_channel_lives(channel: Channel) -> None:
    """D130."""
    size = channel.settings.max_message
    assert size == 128 << 20
    with pytest.raises(MessageTooLarge, match=str(size)):
        channel.call(len, bytes(size))
    with pytest.raises(MessageTooLarge, match="the result has"):
        channel.call(bytes, size)
    assert channel.call(len, bytes(3 << 20)) == 3 << 20
    assert len(channel.call(bytes, 3 << 20)) == 3 << 20


def test_the_agent_may_call_what_is_marked_and_nothing_else(channel: Channel) -> None:
    """D112"""
    assert channel.call(remote_code.call_back, 5) == [5, os.getpid()]
    with pytest.raises(RoleDenied, match=r"support\.remote_code:add"):
        channel.call(remote_code.call_back_unmarked)
    with pytest.raises(RoleDenied, match="no function of a module"):
        channel.call(remote_code.call_back_lambda)
    with pytest.raises(RoleDenied):
        channel.call(lambda: current_channel().call(os.system, "true"))


def test_a_thousand_calls_at_once_get_their_answers_and_begin_in_order(channel: Channel) -> None:
    """D113"""
    channel.call(remote_code.take_seen)
    futures = [channel.call_async(remote_code.number_of, Numbered(number)) for number in range(1000)]
    assert [future.result(SECONDS) for future in futures] == list(range(1000))
    assert channel.call(remote_code.take_seen) == list(range(1000))


def test_calls_from_many_threads_get_their_own_answers(channel: Channel) -> None:
    wrong: list[int] = []

    def work(base: int) -> None:
        wrong.extend(n for n in range(base, base + 50) if channel.call(lambda n=n: n) != n)

    threads = [threading.Thread(target=work, args=(1000 * base,)) for base in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert wrong == []


@pytest.mark.parametrize("depth", [1, 10, 32])
def test_calls_call_back_into_each_other(channel: Channel, depth: int) -> None:
    """D114"""
    caller = Caller()
    exported = channel.export(caller, ["call"])
    caller._react = lambda left: channel.call(remote_code.descend, exported, left)
    assert channel.call(remote_code.descend, exported, depth) == depth


def test_calls_that_nest_too_deep_end_with_an_error(channel: Channel) -> None:
    """D114"""
    caller = Caller()
    exported = channel.export(caller, ["call"])
    caller._react = lambda left: channel.call(remote_code.descend, exported, left)
    with pytest.raises(NestingTooDeep, match="nested deeper than 64"):
        channel.call(remote_code.descend, exported, 33, timeout=SECONDS)  # there and back each time: 66 deep
    assert channel.call(remote_code.add, 1, 1) == 2


def test_a_future_can_be_awaited_and_tells_when_it_is_done(channel: Channel) -> None:
    async def both() -> list[int]:
        return await asyncio.gather(*[_wrapped(channel, number) for number in (1, 2)])

    assert asyncio.run(both()) == [2, 3]
    told = threading.Event()
    future = channel.call_async(remote_code.add, 1, 1)
    future.add_done_callback(lambda _: told.set())
    assert told.wait(SECONDS)
    assert future.done()
    assert future.result() == 2
    assert future.result() == 2


async def _wrapped(channel: Channel, number: int) -> int:
    result: int = await channel.call_async(remote_code.add, number, 1)
    return result


def test_a_deadline_cancels_the_call(channel: Channel) -> None:
    caller = Caller()
    with pytest.raises(CallTimeout, match=r"wait_for_cancel gave no answer within 0\.1 s"):
        channel.call(remote_code.wait_for_cancel, channel.export(caller, ["call"]), timeout=0.1)
    assert channel.call(remote_code.add, 1, 1) == 2


def test_a_factory_makes_its_object_once_for_a_call_and_closes_it(channel: Channel) -> None:
    channel.call(remote_code.take_seen)
    made = lazy(Resource, "db")
    assert channel.call(remote_code.use, made, made) == ["db", True]
    assert channel.call(remote_code.take_seen) == ["closed db"]
    with pytest.raises(FactoryError, match="lazy Resource failed: a resource needs a name") as caught:
        channel.call(remote_code.use, lazy(Resource, ""), 1)
    assert isinstance(caught.value.__cause__.__cause__, ValueError)  # type: ignore[union-attr]


def test_there_is_no_current_channel_outside_of_a_call() -> None:
    with pytest.raises(NotOnAgent, match="no call of a channel"):
        current_channel()


def test_log_records_of_the_agent_come_to_the_log(node: Channel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "zuul_launcher.remoting.agent"):
        node.call(lambda: logging.getLogger("far").warning("a warning from %s", "afar"))
        wait_until(lambda: "subprocess: far: a warning from afar" in caplog.text, what="the record")


@pytest.mark.parametrize("kind", ["subprocess", pytest.param("ssh", marks=pytest.mark.sshd)])
def test_what_is_printed_goes_to_the_log(
    kind: str, open_kind: Callable[[str], Channel], caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    """D110: and not between the frames, however much it is."""
    if kind == "ssh":
        request.getfixturevalue("ssh_server")
    with caplog.at_level(logging.INFO, "zuul_launcher.remoting.agent"), open_kind(kind) as node:
        node.call(remote_code.say, "printed words")
        node.call(os.system, "echo words of a child")
        wait_until(lambda: "stderr: printed words" in caplog.text, what="the words")
        wait_until(lambda: "stderr: words of a child" in caplog.text, what="the words of the child")
        assert [node.call(remote_code.say, f"{number}: {'<<<ZLR1>>> ' * 500}") for number in range(200)] == [None] * 200
        wait_until(lambda: "stderr: 199: " in caplog.text, what="the last of the words")


def _outcomes(channel: Channel) -> list[Any]:
    """What each call gives or raises, without what differs between nodes."""

    def unpack(values: Any) -> Any:
        first, *others = values
        return first, others

    calls: list[tuple[Any, ...]] = [
        (remote_code.report, "x"),
        (unpack, {"a": 1}),
        (functools.partial(int, base=16), "ff"),
        (os.stat, "/missing"),
        (remote_code.fail, "known"),
        (remote_code.fail, "unknown"),
        (remote_code.fail, "cause"),
        (remote_code.leave, 3),
        (remote_code.unmarked,),
        (remote_code.give, threading.Lock()),
        (remote_code.call_back_unmarked,),
        (remote_code.marked, lazy(Resource, "")),
        (current_channel,),
        (remote_code.add, "text", 5),
        ("no callable",),
    ]
    found: list[Any] = []
    for function, *arguments in calls:
        try:
            value = channel.call(function, *arguments)
            found.append(value if function is not current_channel else type(value))
        except Exception as error:
            causes = [type(error), str(error).replace(channel.name, "NODE")]
            trace = error.__cause__.__cause__ if isinstance(error.__cause__, RemoteTraceback) else None
            found.append([*causes, repr(trace)])
    return found


@pytest.mark.sshd
def test_the_same_calls_have_the_same_outcome_over_each_kind_of_channel(
    open_kind: Callable[[str], Channel], ssh_server: object
) -> None:
    """D115"""
    outcomes = []
    for kind in ("local", "subprocess", "ssh"):
        with open_kind(kind) as channel:
            outcomes.append(_outcomes(channel))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len({str(outcome) for outcome in outcomes[0]}) == len(outcomes[0])
