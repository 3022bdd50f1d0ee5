"""`stop:` and `set_description:`, as clients see them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.gearman_wire import Place
from support.queue_world import (
    MANAGER,
    Caller,
    StandInBuild,
    World,
    a_job,
    a_node,
    expected,
    offered,
    world_at,
)
from support.waiting import wait_until

from zuul_launcher.errors import RequestError
from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.worker.queue.management import read_description, read_named, read_request

STOP, DESCRIBE = f"stop:{MANAGER}", f"set_description:{MANAGER}"


@pytest.fixture
def world(place: Place) -> Iterator[World]:
    with world_at(place.port, a_node("n"), a_job("P")) as found:
        wait_until(lambda: len(offered(place)) == 2)
        yield found


@pytest.fixture
def caller(place: Place) -> Iterator[Caller]:
    """A client that wants the texts of exceptions, as all of ours do."""
    found = Caller(place, exceptions=True)
    yield found
    found.close()


def begin(world: World, caller: Caller, unique: str = "u") -> StandInBuild:
    caller.submit("build:P", unique=unique)
    return world.builds.wait_for(1)[0]


@pytest.mark.parametrize("number", [1, "1", "01"])
def test_a_build_is_stopped_by_name_and_number(world: World, caller: Caller, number: object) -> None:
    """D51."""
    build = begin(world, caller)
    assert caller.run(STOP, {"name": "P", "number": number}) == (Command.WORK_COMPLETE, b'{"state": "aborting"}')
    assert build.stops == 1


def test_a_build_is_stopped_by_its_unique_id(world: World, caller: Caller) -> None:
    build = begin(world, caller, "the-id")
    assert caller.run(STOP, {"uuid": "the-id"})[0] == Command.WORK_COMPLETE
    assert build.stops == 1


def test_a_stop_may_be_repeated(world: World, caller: Caller) -> None:
    """D53."""
    build = begin(world, caller)
    handles = [caller.submit(STOP, {"name": "P", "number": 1}, high=True) for _ in range(2)]
    assert {caller.end(handle) for handle in handles} == {(Command.WORK_COMPLETE, b'{"state": "aborting"}')}
    assert build.stops == 2


def test_stop_of_a_finished_build_fails(world: World, caller: Caller) -> None:
    """D52."""
    world.builds.finish(begin(world, caller))
    assert caller.run(STOP, {"name": "P", "number": 1}) == (Command.WORK_FAIL, b"")


WRONG: list[tuple[str, Any, str]] = [
    (STOP, {"name": "P", "number": 77}, "P #77"),
    (STOP, {"name": "", "number": 1}, 'name is not the name of a job: ""'),
    (STOP, {"number": 1}, "name is not the name of a job: null"),
    (STOP, {"name": "P", "number": ""}, 'number is not the number of a build: ""'),
    (STOP, {"name": "P", "number": "one"}, '"one"'),
    (STOP, {"uuid": "nobody"}, "nobody"),
    (STOP, b"{", "no JSON"),
    (DESCRIBE, {"name": "P", "number": 77, "html_description": "x"}, "P #77"),
    (DESCRIBE, {"name": "", "number": 1, "html_description": "x"}, "name is not"),
    (DESCRIBE, {"name": "P", "number": 1, "html_description": 7}, "html_description is no text: 7"),
]


def test_what_cannot_be_done_is_an_exception_that_says_why(place: Place, world: World, caller: Caller) -> None:
    """D52."""
    for function, payload, text in WRONG:
        command, data = caller.run(function, payload)
        assert (command, text in data.decode()) == (Command.WORK_EXCEPTION, True), (payload, data)
    begin(world, caller)
    assert caller.run(STOP, {"name": "P", "number": 1})[0] == Command.WORK_COMPLETE


def test_stops_are_answered_while_all_executors_are_busy_and_while_paused(world: World, caller: Caller) -> None:
    """D55."""
    begin(world, caller)
    world.queue.pause()
    world.settled()
    assert caller.run(STOP, {"name": "P", "number": 1})[0] == Command.WORK_COMPLETE
    assert caller.run(DESCRIBE, {"name": "P", "number": 1, "html_description": "x"})[0] == Command.WORK_COMPLETE


def test_a_build_that_waits_is_said_to_be_queued(world: World, caller: Caller) -> None:
    """D48."""
    begin(world, caller)
    world.builds.state = "queued"
    assert caller.run(STOP, {"name": "P", "number": 1}) == (Command.WORK_COMPLETE, b'{"state": "queued"}')


@pytest.mark.parametrize("is_over", [False, True])
def test_a_build_is_described_while_it_runs_and_after(world: World, caller: Caller, is_over: bool) -> None:
    """D56."""
    build = begin(world, caller)
    if is_over:
        world.builds.finish(build)
    said = {"name": "P", "number": "1", "html_description": "<b>ä</b>"}
    assert caller.run(DESCRIBE, said) == (Command.WORK_COMPLETE, b"P #1 is described")
    assert world.builds.descriptions == {("P", "1"): "<b>ä</b>"}
    caller.run(DESCRIBE, {"name": "P", "number": 1})
    assert world.builds.descriptions == {("P", "1"): ""}


def test_a_job_in_the_queue_is_cancelled_without_the_worker(place: Place, world: World, caller: Caller) -> None:
    """D47."""
    build = begin(world, caller)
    handle = caller.submit("build:P", unique="waiting")
    assert caller.ask(f"cancel job {handle.decode()}") == "OK"
    if expected(place, "cancelling a queued job tells its client"):
        assert caller.end(handle)[0] == Command.WORK_FAIL
    world.builds.finish(build)
    caller.run(STOP, {"name": "P", "number": 1})
    world.settled()
    assert [one.unique for one in world.builds.assignments] == ["u"]


def test_a_running_job_is_not_ended_by_cancel_but_by_stop(place: Place, world: World, caller: Caller) -> None:
    """D47. gearmand says OK."""
    handle = caller.submit("build:P", unique="u")
    (build,) = world.builds.wait_for(1)
    assert caller.ask(f"cancel job {handle.decode()}").startswith(expected(place, "cancel of a running job"))
    assert not build.is_over
    assert caller.run(STOP, {"name": "P", "number": 1})[0] == Command.WORK_COMPLETE
    world.builds.finish(build)
    said = caller.news(handle, lambda news: any(command == Command.WORK_COMPLETE for command, _ in news))
    assert json.loads(said[-1][1])["result"] == "ABORTED"


def test_a_fault_of_the_builds_is_an_exception_and_the_next_request_is_answered(world: World, caller: Caller) -> None:
    """D73."""
    begin(world, caller)
    world.builds.broken = OSError("the disk is full")
    command, data = caller.run(DESCRIBE, {"name": "P", "number": 1, "html_description": "x"})
    assert (command, b"the disk is full" in data) == (Command.WORK_EXCEPTION, True)
    assert world.queue.health()["faults"] == 1
    world.builds.broken = None
    assert caller.run(STOP, {"name": "P", "number": 1})[0] == Command.WORK_COMPLETE


@pytest.mark.parametrize("number", [True, 1.0, None, [1], "-1", "1 ", "٣", "9" * 19, {"a": "x" * 10_000}])
def test_a_number_that_is_none_is_named(number: object) -> None:
    with pytest.raises(RequestError, match="number is not") as caught:
        read_named({"name": "P", "number": number})
    assert json.dumps(number)[:50] in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("payload", [b"", b"[1]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_request_is_a_json_object(payload: bytes) -> None:
    with pytest.raises(RequestError):
        read_request(payload)


def test_a_missing_description_is_an_empty_one() -> None:
    assert read_description({}) == read_description({"html_description": None}) == ""


def test_only_stops_may_name_a_unique_id() -> None:
    with pytest.raises(RequestError):
        read_named({"uuid": "x"})
    with pytest.raises(RequestError, match="uuid"):
        read_named({"uuid": 7}, may_be_uuid=True)
