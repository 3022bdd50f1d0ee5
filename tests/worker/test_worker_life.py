"""A manager in this process: its start and its end, each in the middle of something."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.queue_world import Peer, ScriptedServer
from support.waiting import wait_until

from zuul_launcher import settings
from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.worker.app import Worker
from zuul_launcher.worker.commands import commands
from zuul_launcher.worker.queue.claim import NotInTime
from zuul_launcher.worker.queue.monitor import HeldSlot

CONFIGURATION = """\
[gearman]
server = 127.0.0.1
port = {port}

[zuul]
state_dir = {folder}/state

[worker]
name = builder
jobs = {folder}/jobs.yaml
port = 0
executors = 1
disk_free = 0
"""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def worker(server: ScriptedServer, tmp_path: Path) -> Worker:
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: unit, steps: [{shell: echo built}]}]\n")
    (tmp_path / "zuul.conf").write_text(CONFIGURATION.format(port=server.port, folder=tmp_path))
    return Worker(settings.load(tmp_path / "zuul.conf"))


def test_a_manager_that_is_stopped_while_it_starts_ends(server: ScriptedServer, worker: Worker) -> None:
    """The server takes the question for other managers, and says nothing: the start waits for it."""
    starting = threading.Thread(target=worker.start)
    starting.start()
    wait_until(lambda: server.peers, what="the question for other managers")
    worker.stop()
    assert worker.wait(0)
    starting.join(60)
    assert not starting.is_alive()


def is_asleep(peer: Peer) -> bool:
    return peer.commands()[-1:] == [Command.PRE_SLEEP]


def test_a_job_that_is_on_its_way_when_a_manager_leaves_is_run(server: ScriptedServer, worker: Worker) -> None:
    starting = threading.Thread(target=worker.start)
    starting.start()
    wait_until(lambda: server.peers, what="the question for other managers")
    server.peers[0].close()
    starting.join(60)
    executor = server.peer("builder_exec-0")
    wait_until(lambda: "build:unit" in executor.names(Command.CAN_DO) and is_asleep(executor), what="its sleep")
    asked = executor.count(Command.GRAB_JOB_UNIQ)
    executor.answers_grabs = False
    executor.send(Command.NOOP)
    executor.wait_for(Command.GRAB_JOB_UNIQ, asked + 1)

    leaving = threading.Thread(target=worker.graceful)
    leaving.start()
    wait_until(lambda: worker.queue.health()["paused"], what="its pause")
    executor.assign("build:unit")
    executor.wait_for(Command.WORK_COMPLETE)
    executor.send(Command.NO_JOB)
    assert worker.wait(60)
    leaving.join(60)


@pytest.fixture
def running(server: ScriptedServer, worker: Worker) -> Iterator[Worker]:
    """With one executor."""
    starting = threading.Thread(target=worker.start)
    starting.start()
    wait_until(lambda: server.peers, what="the question for other managers")
    server.peers[0].close()
    starting.join(60)
    yield worker
    worker.stop()


def taken(worker: Worker, seconds: float = 60.0) -> HeldSlot:
    wait_until(lambda: all(node.online for node in worker.fleet.queue_nodes().values()), what="its node")
    return worker.queue.reserve(lambda node: True, seconds)


def test_a_build_by_hand_keeps_its_place_while_it_is_told_that_it_waits(running: Worker) -> None:
    slot = taken(running)
    heard: list[Any] = []

    def tell(news: Any) -> None:
        heard.append(news)
        if len(heard) == 1:
            slot.release()
            with pytest.raises(NotInTime):
                taken(running, 0.1)

    found = commands(running)["run"]({"job": "unit", "parameters": {}}, tell)
    assert found["result"] == "SUCCESS"
    assert heard[:2] == [{"waits": True}, {"number": 1}]


def test_a_build_by_hand_that_nobody_waits_for_any_more_gives_its_executor_back(running: Worker) -> None:
    slot = taken(running)

    def tell(news: Any) -> None:
        slot.release()
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        commands(running)["run"]({"job": "unit", "parameters": {}}, tell)
    assert running.queue.health()["executors_busy"] == 0
    taken(running).release()
