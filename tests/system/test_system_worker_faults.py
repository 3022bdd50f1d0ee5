"""What a manager as it is run does when an agent, a connection, a node or another manager is lost."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gearman_places import Proxy
from support.gearman_wire import Place
from support.queue_world import expected
from support.waiting import wait_until
from support.worker_site import GearScheduler, SentJob, WorkerSite

from zuul_launcher.worker.control import Refused, ask

JOBS = """\
jobs:
  - name: hold
    steps: [{shell: "#!/bin/sh\\necho $PPID > FOLDER/agent.new; mv FOLDER/agent.new FOLDER/agent\\n\\
                     until [ -e FOLDER/go ]; do sleep 0.3; done"}]
  - name: unit
    steps: [{shell: echo done}]
"""
GONE = "a worker is gone"


@pytest.fixture
def jobs(tmp_path: Path) -> str:
    return JOBS.replace("FOLDER", str(tmp_path))


@pytest.fixture
def scheduler(server: Place) -> Iterator[GearScheduler]:
    with GearScheduler(server.port) as scheduler:
        yield scheduler


def offers_builds(place: Place) -> bool:
    wire = place.connect()
    lines = [line.split("\t") for line in wire.ask_list("status")]
    wire.close()
    return any(name == "build:unit" and int(workers) for name, _, _, workers in lines)


def test_a_build_whose_agent_is_killed_runs_again(
    server: Place, scheduler: GearScheduler, jobs: str, tmp_path: Path
) -> None:
    """D42, D59. Its node is lost, and connected again; but not brought online if it was to go."""
    with WorkerSite(tmp_path / "builder", server.port, jobs) as site:
        for flag, state in (("0", "online"), ("1", "offline")):
            build = scheduler.build("hold", OFFLINE_NODE_WHEN_COMPLETE=flag)
            wait_until(lambda: (tmp_path / "agent").exists(), what="its step")
            os.kill(int((tmp_path / "agent").read_text()), signal.SIGKILL)
            assert scheduler.wait_ended(build) == "null"
            assert not build.failure
            (tmp_path / "agent").unlink()
            assert "node built-in is lost" in site.log()
            if state == "online":
                assert scheduler.wait_ended(scheduler.build("unit")) == "SUCCESS"
            assert site.health()["nodes"] == {"built-in": state}
        assert site.log().count("node built-in is lost") == 2
        (tmp_path / "go").touch()


def test_a_manager_that_takes_no_more_builds_stops_and_describes_those_that_run(
    server: Place, scheduler: GearScheduler, jobs: str, tmp_path: Path
) -> None:
    """D55."""
    site = WorkerSite(tmp_path / "builder", server.port, jobs)
    site.start()
    build = scheduler.build("hold")
    wait_until(lambda: (tmp_path / "agent").exists(), what="its step")
    site.tell(signal.SIGUSR1)
    wait_until(lambda: not offers_builds(server), what="the end of its functions")
    assert scheduler.describe(build, "the last one") == "complete"
    assert site.get("job/hold/1/api/json")["description"] == "the last one"
    assert scheduler.stop(build) == "complete"
    assert scheduler.wait_ended(build) == "ABORTED"
    assert site.wait_for_end() == 0


def test_a_build_outlives_the_server_and_is_not_run_twice(
    server: Place, scheduler: GearScheduler, jobs: str, tmp_path: Path
) -> None:
    """D65, D66, D67, D68. With two executors: one goes on, the other one takes what comes."""
    proxy = Proxy(server.port)
    with WorkerSite(tmp_path / "builder", proxy.port, jobs, options="executors = 2") as site:
        build = scheduler.build("hold", "u1")
        assert scheduler.wait_started(build)["number"] == 1
        proxy.cut()
        wait_until(lambda: not offers_builds(server), what="the loss of its connections")
        proxy.mend()
        if expected(server, GONE) == "WORK_FAIL":
            wait_until(lambda: build.complete, what="the news of the loss")
            assert build.outcome == "failed"
            build = scheduler.build("hold", "u1")
            assert scheduler.wait_started(build)["number"] == 1
        else:
            wait_until(lambda: len(build.said) == 2, what="its adoption")
            assert [said["number"] for said in build.said] == [1, 1]
        for _ in range(3):  # by the executor that is left
            assert scheduler.wait_ended(scheduler.build("unit")) == "SUCCESS"
        assert json.loads(site.run("health").stdout)["queue"]["executors_busy"] == 1
        (tmp_path / "go").touch()
        assert scheduler.wait_ended(build) == "SUCCESS"
        assert build.said[-1]["number"] == 1
        again = scheduler.build("hold", "u1")
        assert scheduler.wait_ended(again) == "SUCCESS"
        assert again.said[-1] == build.said[-1]
        assert "build 2 of hold" not in site.log()
        found = json.loads(site.run("builds", "--job", "hold", "--format", "json").stdout)
        assert [one["number"] for one in found] == [1]
    proxy.close()


def test_nodes_are_deleted_while_their_last_builds_take_them_offline(
    server: Place, scheduler: GearScheduler, tmp_path: Path
) -> None:
    """D74. At different moments of the end of a build; all are answered, and others go on."""
    names = [f"n{number}" for number in range(6)]
    nodes = "".join(f"  - {{name: {name}}}\n" for name in [*names, "other"])
    (tmp_path / "nodes.yaml").write_text(f"nodes:\n{nodes}")
    step = f"until [ -e {tmp_path}/go-$JOB_NAME ]; do sleep 0.1; done"
    jobs = "".join(f"  - {{name: {name}, node: {name}, steps: [{{shell: '{step}'}}]}}\n" for name in names)
    jobs += "  - {name: unit, node: other, steps: [{shell: echo done}]}\n"
    options = f"nodes = {tmp_path}/nodes.yaml"
    with WorkerSite(tmp_path / "builder", server.port, f"jobs:\n{jobs}", options=options) as site:
        builds = {name: scheduler.build(name, OFFLINE_NODE_WHEN_COMPLETE=1) for name in names}
        for build in builds.values():
            scheduler.wait_started(build)

        def end(name: str) -> None:
            (tmp_path / f"go-{name}").touch()
            wait_until(lambda: "Finished" in site.console(name, 1) or int(name[1:]) % 3 == 0, what="its steps")
            wait_until(lambda: is_offline(name) or int(name[1:]) % 3 != 2, what="its node")
            ask(site.folder / "state" / "worker", "node", {"action": "delete", "name": name}, print)

        def is_offline(name: str) -> bool:
            return site.health()["nodes"].get(name) == "offline"

        deleting = [threading.Thread(target=end, args=(name,)) for name in names]
        for thread in deleting:
            thread.start()
        for thread in deleting:
            thread.join(60)
            assert not thread.is_alive()
        assert {scheduler.wait_ended(build) for build in builds.values()} == {"SUCCESS"}
        assert site.health()["nodes"] == {"other": "online"}
        assert scheduler.wait_ended(scheduler.build("unit")) == "SUCCESS"
        with pytest.raises(Refused, match="there is no node 'n0'"):
            ask(site.folder / "state" / "worker", "node", {"action": "delete", "name": "n0"}, print)


def test_what_a_killed_manager_does_not_do_another_one_does(
    server: Place, scheduler: GearScheduler, jobs: str, tmp_path: Path
) -> None:
    """D76."""
    first = WorkerSite(tmp_path / "first", server.port, jobs, name="first", options="executors = 1")
    with WorkerSite(tmp_path / "second", server.port, jobs, name="second", options="executors = 2") as second:
        assert second.run("pause").returncode == 0
        first.start()
        lost = scheduler.build("hold", "lost")
        assert scheduler.wait_started(lost)["manager"] == "first"
        queued: list[SentJob] = [scheduler.build("unit", f"u{number}") for number in range(4)]
        first.kill()
        assert second.run("unpause").returncode == 0
        assert {scheduler.wait_ended(build) for build in queued} == {"SUCCESS"}
        assert {build.said[0]["manager"] for build in queued} == {"second"}
        (tmp_path / "go").touch()
        end = scheduler.wait_ended(lost)
        if expected(server, GONE) == "WORK_FAIL":
            assert (end, ["result" in said for said in lost.said]) == ("failed", [False])
        else:  # it has the build run by the other one
            assert (end, lost.said[-1]["manager"]) == ("SUCCESS", "second")
