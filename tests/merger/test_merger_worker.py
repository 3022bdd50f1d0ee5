"""The merger as others see it: a Gearman worker in a thread or in a process of its own."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gear
import pytest
from support.git_world import Upstream, git
from support.waiting import wait_until

from zuul_launcher.merger.settings import MergerSettings
from zuul_launcher.merger.worker import MergerWorker

# gear calls Condition.notifyAll, which Python has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:notifyAll:DeprecationWarning")


@pytest.fixture
def server() -> Iterator[gear.Server]:
    server = gear.Server(port=0, host="127.0.0.1")
    yield server
    server.shutdown()


@pytest.fixture
def client(server: gear.Server) -> Iterator[gear.Client]:
    client = gear.Client("scheduler")
    client.addServer("127.0.0.1", server.port)
    client.waitForServer(timeout=60)
    yield client
    client.shutdown()


@pytest.fixture
def worker_of(settings: MergerSettings, server: gear.Server) -> Iterator[Callable[[str], MergerWorker]]:
    workers: list[MergerWorker] = []

    def start(name: str) -> MergerWorker:
        here = replace(settings, git_dir=settings.git_dir / name, zuul_url=f"http://{name}", gearman_port=server.port)
        workers.append(MergerWorker(here))
        workers[-1].start()
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


def submit(client: gear.Client, function: str, argument: Any) -> gear.Job:
    job = gear.Job(function.encode(), json.dumps(argument).encode())
    client.submitJob(job)
    return job


def finished(job: gear.Job) -> gear.Job:
    wait_until(lambda: bool(job.complete))
    return job


def reply(job: gear.Job) -> Any:
    return json.loads(b"".join(finished(job).data))


def test_merge_and_update_are_answered_over_gearman(
    worker_of: Callable[[str], MergerWorker], client: gear.Client, upstream: Callable[..., Upstream]
) -> None:
    worker_of("one")
    project = upstream()
    merged = reply(submit(client, "merger:merge", {"items": [project.change("master", {"A": "A"})]}))
    assert (merged["merged"], merged["zuul_url"], merged["error"]) == (True, "http://one", None)
    updated = reply(submit(client, "merger:update", {"project": project.name, "url": project.url}))
    assert (updated["updated"], updated["zuul_url"]) == (True, "http://one")


def test_trouble_that_may_pass_is_an_exception_of_one_line(
    worker_of: Callable[[str], MergerWorker], client: gear.Client, upstream: Callable[..., Upstream]
) -> None:
    worker_of("one")
    item = {**upstream().change("master", {"A": "A"}), "url": "http://127.0.0.1:9/x"}
    job = finished(submit(client, "merger:merge", {"items": [item]}))
    assert job.failure
    text = job.exception.decode()
    assert text.startswith("fetching from http://127.0.0.1:9/x failed")
    assert "\n" not in text
    refused = reply(submit(client, "merger:merge", {"items": [{**item, "url": "ext::sh -c x"}]}))
    assert "only ssh, https and http" in refused["error"]


def test_two_mergers_share_one_queue_and_each_names_its_own_url(
    worker_of: Callable[[str], MergerWorker],
    client: gear.Client,
    upstream: Callable[..., Upstream],
    settings: MergerSettings,
) -> None:
    worker_of("one")
    worker_of("two")
    project = upstream()
    items = [project.change("master", {f"f{number}": "x"}) for number in range(8)]
    urls = set()

    def both_have_worked() -> bool:
        jobs = [submit(client, "merger:merge", {"items": [{**item, "ref": f"Z{len(urls)}"}]}) for item in items]
        for item, job in zip(items, jobs, strict=True):
            answer = reply(job)
            urls.add(answer["zuul_url"])
            path = settings.git_dir / answer["zuul_url"].removeprefix("http://") / project.name
            assert git(path, "cat-file", "-t", answer["commit"]) == "commit"
            assert answer["merged"], item
        return len(urls) == 2

    wait_until(both_have_worked)


def test_a_merger_waits_for_a_server_that_is_not_there_yet_and_says_so_once(
    settings: MergerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zuul_launcher.merger")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker = MergerWorker(replace(settings, gearman_port=port))
    worker.start()

    def said() -> list[str]:
        return [record.message for record in caplog.records if "Gearman server" in record.message]

    try:
        wait_until(lambda: bool(said()))
        server = gear.Server(port=port, host="127.0.0.1")
        wait_until(lambda: len(said()) == 2)
    finally:
        worker.stop()
    server.shutdown()
    assert said() == [
        f"The Gearman server 127.0.0.1:{port} does not answer; waiting for it",
        f"The Gearman server 127.0.0.1:{port} is back",
    ]


PROGRAM = """
import json, sys
from pathlib import Path
from zuul_launcher.cli.merger import run
from zuul_launcher.merger.settings import MergerSettings
git_dir, port = sys.argv[1:]
run(MergerSettings(git_dir=Path(git_dir), zuul_url="u", gearman_server="127.0.0.1", gearman_port=int(port),
                   allow_file=True))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1], ids=str)
def test_a_signal_lets_the_merge_at_hand_finish_and_ends_the_process(
    server: gear.Server, client: gear.Client, upstream: Callable[..., Upstream], tmp_path: Path, number: signal.Signals
) -> None:
    project = upstream()
    item = {**project.change("master", {"A": "A"}), "url": f"ssh://server{project.path}"}
    # In place of ssh, a program that waits for us and then serves from this machine.
    first, second, ssh = tmp_path / "first", tmp_path / "second", tmp_path / "bin" / "ssh"
    for gate in (first, second):
        os.mkfifo(gate)
    ssh.parent.mkdir()
    ssh.write_text(
        f"#!/bin/sh\ngate={second}; mkdir {tmp_path}/began 2>/dev/null && gate={first}\n"
        'cat $gate >/dev/null\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    ssh.chmod(0o755)

    def let_through(gate: Path) -> bool:
        try:
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads yet
            return False
        return True

    environment = {**os.environ, "PATH": f"{ssh.parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "git"), str(server.port)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            job = submit(client, "merger:merge", {"items": [item]})
            wait_until(lambda: let_through(first))  # ls-remote
            process.send_signal(number)
            wait_until(lambda: let_through(second))  # fetch
            assert reply(job)["merged"]
            assert process.wait(60) == 0
        finally:
            process.kill()
