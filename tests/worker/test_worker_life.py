"""A manager in this process: its start and its end, each in the middle of something."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.queue_world import Peer, ScriptedServer
from support.waiting import wait_until

from zuul_launcher import settings
from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.worker.app import Worker

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
