"""Builds from their assignment to their last packets: what clients are told, and that every end gives back the slot."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from support.build_world import QUICK, Client, MemoryHistory, World, agent, is_alive, job, wait_text
from support.waiting import wait_until

from zuul_launcher.errors import RequestError
from zuul_launcher.remoting import Channel
from zuul_launcher.remoting.errors import HandshakeFailed
from zuul_launcher.worker.builds.build import Build
from zuul_launcher.worker.builds.parameters import Parameters
from zuul_launcher.worker.builds.watch import Watch
from zuul_launcher.worker.definitions.job import Artifacts, Script, Shell
from zuul_launcher.worker.parts import Assignment, BuildRecord

WAIT = "#!/bin/sh\necho $$ > started; exec sleep 1000"
SWITCH = "#!/bin/sh\ntouch started; while [ ! -e go ]; do sleep 0.02; done"


def started(world: World, number: int = 1) -> str:
    """Waits until the step of `WAIT` or `SWITCH` runs."""
    name = "unit" if number == 1 else f"unit@{number}"
    wait_until(lambda: (world.place / "workspace" / name / "started").exists(), what="the step")
    return str(world.place / "workspace" / name)


class HeldHistory(MemoryHistory):
    """Stores no build before `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def begin(self, record: BuildRecord) -> BuildRecord:
        assert self.go.wait(60)
        return super().begin(record)


def kinds(client: Client) -> list[str]:
    return [kind for kind, _ in client.told]


# What clients are told


def test_a_build_is_told_at_its_start_and_at_its_end(world: World) -> None:
    """D36, D37, D39, D40."""
    world.define(job("exit 1"))
    client = world.assign()
    end = client.end()
    assert kinds(client) == ["data", "status", "complete"]
    assert "result" not in client.start()
    assert client.wait_for("status") == (0, 100)
    assert end == {**client.start(), "result": "FAILURE"}
    assert end["node_name"] == "n1"
    assert end["node_labels"] == ["linux", "n1"]
    assert end["url"] == "http://builds.example.org/job/unit/1/"


def test_the_slot_is_free_after_the_last_packets(world: World) -> None:
    """D46."""
    world.define(job("exit 0"))
    client = world.assign()
    client.end()
    assert client.events == ["data", "status", "complete", "release"]


def test_the_start_is_told_before_the_agent_is_there(worlds: Callable[..., World], tmp_path: Path) -> None:
    """D35."""
    may_connect = threading.Event()
    connect = agent(tmp_path / "cache")

    def slow() -> Channel:
        may_connect.wait(60)
        return connect()

    world = worlds(connect=slow)
    world.define(job("exit 0"))
    client = world.assign()
    assert client.start()["number"] == 1
    assert world.node.connections == 0
    may_connect.set()
    assert client.end()["result"] == "SUCCESS"


def test_a_number_is_stored_before_it_is_told_and_a_result_before_it_is_told(world: World) -> None:
    """D44."""
    seen: list[Any] = []

    class Watching(Client):
        def data(self, data: bytes) -> None:
            seen.append(world.history.records["unit", json.loads(data)["number"]].result)
            super().data(data)

        def complete(self, data: bytes) -> None:
            seen.append(world.history.records["unit", json.loads(data)["number"]].result)
            super().complete(data)

    world.define(job("exit 0"))
    client = Watching()
    world.builds.assigned(_assignment("u1"), client, client)
    client.end()
    assert seen == [None, "SUCCESS"]


def _assignment(unique: str) -> Assignment:
    return Assignment(job="unit", unique=unique, payload=b"", worker="n1_exec-0", node="n1")


def test_numbers_count_up(world: World) -> None:
    """D44."""
    assert [world.run(job("exit 0")).number for _ in range(3)] == [1, 2, 3]


def test_with_history_progress_counts_to_the_mean_duration(world: World) -> None:
    """D38."""
    record = world.run(job("sleep 0.05")).record
    assert record.finished_at is not None
    client = world.assign()
    client.end()
    assert client.wait_for("status") == (0, round(1000 * (record.finished_at - record.started_at)))


def test_the_end_is_stored_with_parameters_and_what_was_told(world: World) -> None:
    world.define(job("exit 0"))
    client = world.assign(payload={"P": 7, "Q": None}, unique="u1")
    client.end()
    record = world.history.records["unit", 1]
    assert (record.unique, record.result, record.parameters) == ("u1", "SUCCESS", {"P": 7, "Q": None})
    assert record.final == client.wait_for("complete")
    assert record.finished_at is not None
    assert (record.node, record.worker) == ("n1", "n1_exec-0")


def test_progress_is_told_again_if_that_is_wanted(worlds: Callable[..., World]) -> None:
    world = worlds(limits=structs.replace(QUICK, status_interval=0.01))
    world.define(job(SWITCH))
    client = world.assign()
    place = started(world)
    wait_until(lambda: kinds(client).count("status") >= 3, what="progress")
    Path(place, "go").touch()
    client.end()


def test_a_build_without_an_id_gets_one(world: World) -> None:
    world.define(job("exit 0"))
    first, second = world.assign(unique=""), world.assign(unique="")
    assert {first.end()["number"], second.end()["number"]} == {1, 2}
    assert len({record.unique for record in world.history.records.values()} - {""}) == 2


def test_an_id_in_the_parameters_that_is_another_one_is_warned_of(world: World) -> None:
    world.define(job("exit 0"))
    world.assign(payload={"ZUUL_UUID": "other"}, unique="u1").end()
    assert "ZUUL_UUID is other, but the id of this build is u1" in world.console()


# Ends without a build


def test_an_unknown_job_fails_and_frees_the_slot(world: World) -> None:
    """D26."""
    client = world.assign("unknown")
    assert client.released.wait(60)
    assert kinds(client) == ["fail"]


def test_a_bad_payload_is_an_exception_with_the_reason_and_uses_no_number(world: World) -> None:
    """D27."""
    world.define(job("exit 0"))
    client = world.assign(payload=b"no json")
    assert "not JSON" in client.wait_for("exception")
    assert client.released.wait(60)
    assert kinds(client) == ["exception"]
    assert world.assign().end()["number"] == 1


def test_a_memory_that_fails_is_an_exception_and_frees_the_slot(world: World) -> None:
    def fail(record: Any) -> Any:
        raise OSError("the disk is full")

    world.history.begin = fail  # type: ignore[method-assign] # a memory that is broken
    world.define(job("exit 0"))
    client = world.assign()
    assert "the disk is full" in client.wait_for("exception")
    assert client.released.wait(60)


def test_an_end_that_is_not_stored_at_once_is_stored_later(world: World) -> None:
    world.history.failures = [OSError("busy")]
    assert world.run(job("exit 0")).record.result == "SUCCESS"


def test_an_end_that_cannot_be_stored_is_told_all_the_same(world: World) -> None:
    world.history.failures = [OSError("gone"), OSError("gone")]
    world.define(job("exit 0"))
    assert world.assign().end()["result"] == "SUCCESS"


def test_a_client_that_breaks_keeps_no_slot(world: World) -> None:
    class Broken(Client):
        def data(self, data: bytes) -> None:
            raise OSError("gone")

        complete = data

    world.define(job("exit 0"))
    client = Broken()
    world.builds.assigned(_assignment("u1"), client, client)
    assert client.released.wait(60)


def test_a_console_that_cannot_be_made_gives_no_result(world: World) -> None:
    world.folder.write_text("in the way")
    world.define(job("exit 0"))
    assert world.assign().end()["result"] is None


# Nodes


def test_an_agent_that_is_killed_gives_no_result(with_agent: World) -> None:
    """D42."""
    with_agent.define(job(WAIT, publish=(Artifacts(paths=("**",)),)))
    client = with_agent.assign()
    place = started(with_agent)
    channel = with_agent.node.channel()
    pid = channel.call(os.getpid)
    os.kill(pid, signal.SIGKILL)
    assert client.end()["result"] is None
    assert not channel.is_open
    assert "no result" in with_agent.console()
    step = int(wait_text(Path(place, "started")))
    os.kill(step, signal.SIGKILL)


def test_a_node_that_cannot_be_reached_gives_no_result(worlds: Callable[..., World]) -> None:
    def refuse() -> Channel:
        raise HandshakeFailed("no route")

    world = worlds(connect=refuse)
    world.define(job("exit 0"))
    end = world.assign().end()
    assert end["result"] is None
    assert "no route" in world.console()


def test_a_lost_node_is_tried_again_as_often_as_the_job_allows(worlds: Callable[..., World], tmp_path: Path) -> None:
    tries: list[int] = []
    connect = agent(tmp_path / "cache")

    def second() -> Channel:
        tries.append(1)
        if len(tries) < 3:
            raise HandshakeFailed("no route")
        return connect()

    world = worlds(connect=second)
    world.define(job("exit 0", retry_infra=2))
    assert world.assign().end()["result"] == "SUCCESS"
    assert len(tries) == 3


def test_a_node_that_is_gone_gives_no_result_and_no_name(world: World) -> None:
    world.define(job("exit 0"))
    node = world.nodes.pop("n1")
    client = Client()
    world.builds.assigned(_assignment("u1"), client, client)
    end = client.end()
    assert (end["result"], end["node_name"], end["node_labels"]) == (None, "", [])
    world.nodes["n1"] = node


# Offline


@pytest.mark.parametrize("value", ["1", "true", "True", "TRUE", True])
def test_a_node_goes_offline_before_the_last_packets_leave(world: World, value: Any) -> None:
    """D58, D60, D61."""
    world.define(job("exit 0"))
    client = world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": value})
    assert client.end()["result"] == "SUCCESS"
    assert client.events == ["alone", "data", "status", "offline", "complete", "release"]


@pytest.mark.parametrize("value", ["0", "false", "", False, None])
def test_a_node_stays_online_if_that_is_not_asked_for(world: World, value: Any) -> None:
    """D58."""
    world.define(job("exit 0"))
    world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": value}).end()
    assert world.node.offline == []
    assert "alone" not in world.node.events


def test_a_job_may_take_its_node_offline_by_a_default_of_its_own(world: World) -> None:
    world.define(job("exit 0", params={"OFFLINE_NODE_WHEN_COMPLETE": "1"}))
    client = world.assign()
    client.end()
    assert client.events == ["alone", "data", "status", "offline", "complete", "release"]
    world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": "0"}).end()
    assert len(world.node.offline) == 1


@pytest.mark.parametrize("script", ["exit 1", "sleep 1000"])
def test_a_node_goes_offline_after_failure_and_timeout(world: World, script: str) -> None:
    """D59."""
    world.define(job(script, timeout=0.3))
    world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": "1"}).end()
    assert len(world.node.offline) == 1


def test_a_node_goes_offline_after_a_stop(world: World) -> None:
    """D59."""
    world.define(job(WAIT))
    client = world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": "1"})
    started(world)
    world.builds.stop("unit", "1")
    assert client.end()["result"] == "ABORTED"
    assert client.events[-3:] == ["offline", "complete", "release"]


def test_a_node_goes_offline_after_a_fault_of_ours(world: World) -> None:
    """D59."""
    world.folder.write_text("in the way")
    world.define(job("exit 0"))
    world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": "1"}).end()
    assert len(world.node.offline) == 1


def test_a_node_goes_offline_also_if_nobody_waits_any_more(world: World) -> None:
    """D59."""
    world.define(job(SWITCH))
    client = world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": "1"})
    place = started(world)
    client.is_connected = False
    Path(place, "go").touch()
    assert client.released.wait(60)
    assert len(world.node.offline) == 1


def test_a_node_that_cannot_go_offline_keeps_nobody_waiting(world: World) -> None:
    def fail(reason: str) -> None:
        raise OSError("no")

    world.node.take_offline = fail  # type: ignore[method-assign] # one that is broken
    world.define(job("exit 0"))
    assert world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": "1"}).end()["result"] == "SUCCESS"


def test_a_build_beside_one_that_takes_the_node_offline_completes(world: World) -> None:
    """D62."""
    world.define(job(SWITCH))
    first = world.assign()
    place = started(world)
    world.define(job("exit 0"))
    world.assign(payload={"OFFLINE_NODE_WHEN_COMPLETE": "1"}).end()
    assert len(world.node.offline) == 1
    Path(place, "go").touch()
    assert first.end()["result"] == "SUCCESS"


# The same id again


def test_the_same_id_while_it_runs_is_the_same_build(world: World) -> None:
    """D67."""
    world.define(job(SWITCH))
    first = world.assign(unique="u1")
    place = started(world)
    first.is_connected = False
    second = world.assign(unique="u1", index=1)
    assert second.start()["number"] == 1
    assert kinds(second) == ["data", "status"]
    assert second.released.is_set()  # one build has one executor
    assert not first.released.is_set()
    Path(place, "go").touch()
    assert second.end()["result"] == "SUCCESS"
    assert first.released.wait(60)
    assert len(world.history.records) == 1
    assert kinds(second) == ["data", "status", "complete"]


def test_the_same_id_after_its_end_gets_the_stored_result(world: World) -> None:
    """D68, D69."""
    world.define(job("exit 1"))
    first = world.assign(unique="u1")
    first.end()
    second = world.assign(unique="u1")
    second.end()
    assert kinds(second) == ["complete"]
    assert second.wait_for("complete") == first.wait_for("complete")
    assert len(world.history.records) == 1


def test_the_same_id_long_after_its_end_is_a_new_build(worlds: Callable[..., World]) -> None:
    """D69."""
    world = worlds(limits=structs.replace(QUICK, result_memory=-1.0))
    world.define(job("exit 0"))
    assert [world.assign(unique="u1").end()["number"] for _ in range(2)] == [1, 2]


def test_the_same_id_for_another_job_is_another_build(world: World) -> None:
    world.define(job("exit 0"), job("exit 0", name="other"))
    assert world.assign(unique="u1").end()["name"] == "unit"
    assert world.assign("other", unique="u1").end()["name"] == "other"


def test_many_with_one_id_at_once_are_one_build(world: World) -> None:
    """D67."""
    world.define(job("exit 0"))
    clients = [world.assign(unique="u1", index=number) for number in range(10)]
    assert {client.end()["number"] for client in clients} == {1}
    assert len(world.history.records) == 1


def test_the_build_runs_on_the_node_whose_executor_it_keeps_if_two_get_the_same_id_at_once(
    worlds: Callable[..., World],
) -> None:
    """D67. Whoever made the build is slow: the other one may come in at each of its steps."""
    history = HeldHistory()
    world = worlds(history=history)
    world.define(job("exit 0"))
    slow, quick = Client(), Client()
    clients = {"slow": slow, "quick": quick}

    def assign(node: str) -> None:
        assignment = Assignment(job="unit", unique="u1", payload=b"{}", worker=f"{node}_exec-0", node=node)
        world.builds.assigned(assignment, clients[node], clients[node])

    def assign_slowly() -> None:
        sys.setprofile(lambda *_: other.join(0.02))
        try:
            assign("slow")
        finally:
            sys.setprofile(None)

    def assign_to_the_same_build() -> None:
        wait_until(lambda: not world.builds.wait(0), what="the build of the slow one")
        assign("quick")

    one, other = threading.Thread(target=assign_slowly), threading.Thread(target=assign_to_the_same_build)
    other.start()
    one.start()
    one.join(60)
    other.join(60)
    released = (slow.released.is_set(), quick.released.is_set())
    history.go.set()
    assert slow.end() == quick.end()
    (record,) = history.records.values()
    assert (record.node, released) == ("slow", (False, True))


# Lost connections


def test_a_build_whose_connection_is_lost_goes_on_and_its_result_is_stored(world: World) -> None:
    """D66."""
    world.define(job(SWITCH))
    client = world.assign(unique="u1")
    place = started(world)
    client.is_connected = False
    Path(place, "go").touch()
    assert client.released.wait(60)
    assert world.history.records["unit", 1].result == "SUCCESS"


def test_a_build_that_nobody_waits_for_is_aborted_if_that_is_wanted(worlds: Callable[..., World]) -> None:
    """A13."""
    world = worlds(limits=structs.replace(QUICK, on_connection_loss="abort", lost_grace=0.05))
    world.define(job(WAIT))
    client = world.assign(unique="u1")
    started(world)
    client.is_connected = False
    assert client.released.wait(60)
    assert world.history.records["unit", 1].result is None
    assert "aborted: lost" in world.console()


def test_only_the_last_time_without_anybody_counts() -> None:
    """A13."""
    build, client, now = Build(_assignment("u1"), Parameters(), "u1", lambda: 0.0), Client(), [0.0]
    build.attach(client, client)
    limits = structs.replace(QUICK, on_connection_loss="abort", lost_grace=10.0, watch_interval=1000.0)
    watch = Watch(limits, lambda: [build], lambda: now[0])
    for at, is_connected in ((0.0, False), (9.0, False), (12.0, True), (13.0, False), (22.0, False)):
        now[0], client.is_connected = at, is_connected
        watch.look()
    assert build.steps.reason is None
    now[0] = 23.0
    watch.look()
    assert build.steps.reason == "lost"
    watch.close()


def test_a_fault_of_ours_ends_no_watch_and_is_counted() -> None:
    looks = [0]

    def builds() -> list[Build]:
        looks[0] += 1
        if looks[0] == 1:
            raise KeyError("a fault of ours")
        return []

    watch = Watch(structs.replace(QUICK, status_interval=1.0, watch_interval=0.01), builds, lambda: 0.0)
    wait_until(lambda: looks[0] > 1, what="another look")
    watch.close()
    assert watch.faults == 1


# By hand


def test_a_build_by_hand_is_followed_to_its_end(world: World) -> None:
    world.define(job(SWITCH + "; echo $P"))
    slot = Client()
    build = world.builds.start("unit", {"P": "by hand"}, "n1", slot, "hand")
    assert build.number() == 1
    chunks = build.follow()
    Path(started(world), "go").touch()
    assert b"by hand\n" in b"".join(chunks)
    assert build.result() == "SUCCESS"
    assert slot.released.wait(60)


def test_a_build_by_hand_of_no_job_is_refused_and_frees_the_slot(world: World) -> None:
    slot = Client()
    with pytest.raises(RequestError, match="no job 'unit'"):
        world.builds.start("unit", {}, "n1", slot, "hand")
    assert slot.released.is_set()


def test_a_build_by_hand_can_be_stopped(world: World) -> None:
    world.define(job(WAIT))
    build = world.builds.start("unit", {}, "n1", Client(), "hand")
    started(world)
    build.stop()
    assert build.result() == "ABORTED"


# Who runs, and the end of the manager


def test_running_builds_are_listed_with_their_state(world: World) -> None:
    world.define(job(WAIT))
    client = world.assign(index=3)
    started(world)
    found = world.builds.running()
    assert [(each.record.number, each.state, each.executor, each.is_aborting) for each in found] == [
        (1, "running", 3, False)
    ]
    world.builds.stop("unit", "1")
    client.end()
    assert world.builds.wait(60)
    assert world.builds.running() == []


def test_at_the_end_of_the_manager_builds_end_without_a_result(world: World) -> None:
    """D78."""
    after = Script(steps=(Shell(text="#!/bin/sh\necho publishing"),))
    world.define(job(WAIT, publish=(after,)))
    client = world.assign()
    place = started(world)
    world.builds.abort_all()
    assert client.end()["result"] is None
    assert world.builds.wait(60)
    assert not is_alive(int(Path(place, "started").read_text()))
    assert "publishing" not in world.console()


def test_what_is_assigned_while_the_manager_ends_has_no_result(world: World) -> None:
    """D78."""
    world.define(job("touch ran"))
    world.builds.abort_all()
    assert world.assign().end()["result"] is None
    assert not (world.place / "workspace").exists()


def test_who_comes_between_the_end_of_a_build_and_its_removal_is_told_the_end() -> None:
    """D67."""
    build = Build(_assignment("u1"), Parameters(), "u1", lambda: 0.0)
    first, second = Client(), Client()
    build.attach(first, first)
    build.conclude(lambda delivery: delivery.complete(b"{}"))
    build.conclude(lambda delivery: delivery.fail())
    build.attach(second, second)
    assert first.events == second.events == ["complete", "release"]
    assert build.ask("stopped") == "finished"
