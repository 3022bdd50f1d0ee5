"""Stopping and describing builds, in each of their states."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.build_world import Client, World, is_alive, job, wait_text
from support.waiting import wait_until
from test_build_steps import DAEMON

from zuul_launcher.remoting import LocalChannel
from zuul_launcher.worker.definitions.job import Script, Shell, Throttle
from zuul_launcher.worker.parts import UnknownBuild

WAIT = "#!/bin/bash\nsleep 1000 & echo $! > child\necho $$ > started; wait"


def begun(world: World, client: Client, name: str = "unit") -> Path:
    """Waits until the step of WAIT runs; its workspace."""
    place = world.place / "workspace" / name
    wait_until(lambda: (place / "started").exists() and (place / "started").read_text(), what="the step")
    return place


def test_a_running_build_is_stopped_with_its_processes(world: World) -> None:
    """D49, D51."""
    publish = (Script(steps=(Shell(text="#!/bin/sh\necho always"),)), Script(steps=(), when=("success",)))
    world.define(job(steps=(Shell(text=WAIT), Shell(text="echo later", when=("always",))), publish=publish))
    client = world.assign()
    place = begun(world, client)
    assert world.builds.stop("unit", "1") == "aborting"
    assert client.end()["result"] == "ABORTED"
    assert not any(is_alive(int((place / name).read_text())) for name in ("started", "child"))
    assert "always\n" in world.console()
    assert "later" not in world.console()


def test_daemons_of_a_stopped_build_are_dead_when_it_ends(with_agent: World) -> None:
    """D50."""
    with_agent.define(job(DAEMON, WAIT))
    client = with_agent.assign()
    place = begun(with_agent, client)
    daemon = int(wait_text(place / "daemon"))
    assert is_alive(daemon)
    with_agent.builds.stop("unit", "1")
    assert client.end()["result"] == "ABORTED"
    assert not is_alive(daemon)


def test_daemons_of_a_stopped_build_are_dead_before_anything_else_runs(with_agent: World) -> None:
    """D50."""
    after = Script(steps=(Shell(text='#!/bin/sh\ngrep -qs "^State:.[SRD]" /proc/$(cat daemon)/status || echo gone'),))
    with_agent.define(job(DAEMON, WAIT, publish=(after,)))
    client = with_agent.assign()
    begun(with_agent, client)
    with_agent.builds.stop("unit", "1")
    assert client.end()["result"] == "ABORTED"
    assert "gone\n" in with_agent.console()


def test_a_stop_is_answered_while_the_killing_goes_on(world: World) -> None:
    """D49, D53."""
    world.define(
        job("#!/bin/bash\ntrap 'while [ ! -e go ]; do sleep 0.02; done; exit' TERM; touch started; sleep 1000 & wait")
    )
    client = world.assign()
    place = world.place / "workspace" / "unit"
    wait_until(lambda: (place / "started").exists())
    assert [world.builds.stop("unit", "1") for _ in range(3)] == ["aborting", "aborting", "aborting"]
    assert not client.released.is_set()
    (place / "go").touch()
    assert client.end()["result"] == "ABORTED"


def test_a_build_that_waits_for_another_one_is_taken_out_of_the_line(world: World) -> None:
    """D48, D85."""
    world.define(job(WAIT + "\n", concurrent=False))
    first = world.assign()
    place = begun(world, first)
    second = world.assign()
    second.start()
    wait_until(lambda: "waiting for other builds" in world.console(number=2))
    assert world.builds.stop("unit", "2") == "queued"
    assert second.end()["result"] == "ABORTED"
    assert "+" not in world.console(number=2)
    assert is_alive(int((place / "started").read_text()))
    world.builds.stop("unit", "1")
    first.end()


def test_a_stop_before_the_first_step_lets_none_run(worlds: Callable[..., World]) -> None:
    """D54."""
    may_connect = threading.Event()

    def slow() -> LocalChannel:
        may_connect.wait(60)
        return LocalChannel()

    world = worlds(connect=slow)
    world.define(job("touch ran", concurrent=True))
    client = world.assign(unique="u1")
    client.start()
    assert world.builds.stop("unit", "1") == "queued"
    may_connect.set()
    assert client.end()["result"] == "ABORTED"
    assert not (world.place / "workspace" / "unit" / "ran").exists()


def test_a_build_is_stopped_by_its_id(world: World) -> None:
    """A2."""
    world.define(job(WAIT))
    client = world.assign(unique="u1")
    begun(world, client)
    assert world.builds.stop("", "", "u1") == "aborting"
    assert client.end()["result"] == "ABORTED"
    assert world.builds.wait(60)
    assert world.builds.stop("", "", "u1") == "finished"


def test_a_finished_build_is_finished_and_an_unknown_one_is_not_known(world: World) -> None:
    """D52."""
    world.run(job("exit 0"))
    assert world.builds.wait(60)
    assert world.builds.stop("unit", "1") == "finished"
    for name, number, uuid in [("unit", "2", None), ("other", "1", None), ("", "", "u9"), ("unit", "x", None)]:
        with pytest.raises(UnknownBuild):
            world.builds.stop(name, number, uuid)


def test_a_stop_while_publishers_run_ends_them(world: World) -> None:
    """A10."""
    publish = (Script(steps=(Shell(text=WAIT),)), Script(steps=(Shell(text="#!/bin/sh\necho next"),)))
    world.define(job("exit 0", publish=publish))
    client = world.assign()
    begun(world, client)
    assert world.builds.stop("unit", "1") == "aborting"
    assert client.end()["result"] == "ABORTED"
    assert "next" not in world.console()


def test_builds_of_a_group_wait_for_each_other_in_their_order(world: World) -> None:
    throttle = Throttle(group="heavy", most=2)
    script = '#!/bin/bash\necho $JOB_NAME >> "$ORDER"; while [ ! -e "$GO/$JOB_NAME" ]; do sleep 0.02; done'
    order = world.place / "order"
    go = world.place / "go"
    go.mkdir()
    jobs = [job(script, name=name, throttle=throttle) for name in ("a", "b", "c", "d")]
    world.define(*jobs)
    clients = {}
    for index, name in enumerate("abcd"):
        clients[name] = world.assign(name, {"ORDER": str(order), "GO": str(go)})
        if index < 2:
            wait_until(lambda name=name: order.exists() and name in order.read_text())
        else:
            wait_until(lambda name=name: "waiting for other builds" in world.console(name))
    assert order.read_text().split() == ["a", "b"]
    (go / "a").touch()
    clients["a"].end()
    wait_until(lambda: order.read_text().split() == ["a", "b", "c"])
    for name in "bcd":
        (go / name).touch()
    assert [clients[name].end()["result"] for name in "bcd"] == ["SUCCESS"] * 3
    assert order.read_text().split() == ["a", "b", "c", "d"]


def test_a_description_is_stored_for_running_and_for_finished_builds(world: World) -> None:
    """D56."""
    world.define(job(WAIT))
    client = world.assign()
    begun(world, client)
    assert "set" in world.builds.describe("unit", "1", "<b>one</b>")
    world.builds.stop("unit", "1")
    client.end()
    assert world.history.records["unit", 1].description == "<b>one</b>"
    world.builds.describe("unit", "1", "two")
    assert world.history.records["unit", 1].description == "two"
    assert "cleared" in world.builds.describe("unit", "1", "")


def test_what_is_not_known_is_not_described(world: World) -> None:
    for number in ("1", "", "1x", "-1", "²"):
        with pytest.raises(UnknownBuild):
            world.builds.describe("unit", number, "text")
