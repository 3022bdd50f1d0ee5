"""The stand-in build worker, against our launcher and with real git."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gearman_places import Launcher, Proxy, build_request
from support.gearman_wire import DEADLINE, Place, our_server
from support.waiting import wait_until

from zuul_launcher.model.events import BuildFinished, BuildProgress, BuildQueued
from zuul_launcher.sim.worker import GitJob, Outcome, SimBuild, SimWorker


@pytest.fixture
def place() -> Iterator[Place]:
    with our_server() as found:
        yield found


@pytest.fixture
def launcher(place: Place) -> Iterator[Launcher]:
    found = Launcher(place.port)
    found.connected()
    yield found
    found.close()


def is_registered(place: Place, function: str) -> bool:
    wire = place.connect()
    lines = wire.ask_list("status")
    wire.close()
    return any(line.startswith(function + "\t") for line in lines)


def test_a_build_runs_to_the_result_that_was_decided(launcher: Launcher, place: Place) -> None:
    def decide(job: str, parameters: dict[str, object]) -> Outcome:
        return Outcome("UNSTABLE" if parameters["A"] == 1 else "SUCCESS", data={"node_name": "n1"})

    with SimWorker("127.0.0.1", place.port, "sim", ["unit", "docs:n1"], decide=decide, first_number=0) as worker:
        wait_until(lambda: is_registered(place, "build:docs:n1"))
        launcher.builds.launch(build_request("a" * 32, parameters={"A": 1}))
        launcher.expect(BuildQueued)
        data = launcher.expect(BuildProgress).data
        assert (data.number, data.manager, data.url) == (0, "sim", "http://sim.example.net/job/unit/0/")
        assert data.worker is not None
        assert data.worker.program == "zuul_launcher.sim.worker"
        launcher.expect(BuildProgress)  # the last data packet
        finished = launcher.expect(BuildFinished)
        assert (finished.result, finished.data.node_name) == ("UNSTABLE", "n1")
        assert worker.history == [SimBuild("unit", 0, {"A": 1}, "UNSTABLE")]


def test_held_builds_wait_until_they_are_released_or_stopped(launcher: Launcher, place: Place) -> None:
    with SimWorker("127.0.0.1", place.port, "sim", ["unit", "docs"], executors=2) as worker:
        wait_until(lambda: is_registered(place, "stop:sim") and is_registered(place, "build:docs"))
        worker.hold()
        for letter, job in (("a", "unit"), ("b", "docs")):
            launcher.builds.launch(build_request(letter * 32, job))
            launcher.expect(BuildQueued)
            launcher.expect(BuildProgress)
        assert [build.job for build in worker.builds] == ["unit", "docs"]
        launcher.builds.cancel(build_request("a" * 32)).result(DEADLINE)
        worker.wait_for(lambda worker: len(worker.history) == 1)
        worker.release("docs")
        assert launcher.expect(BuildFinished).result == "SUCCESS"
        assert [(build.job, build.result) for build in worker.history] == [("unit", "ABORTED"), ("docs", "SUCCESS")]


def test_a_description_is_kept(launcher: Launcher, place: Place) -> None:
    with SimWorker("127.0.0.1", place.port, "sim", ["unit"]) as worker:
        wait_until(lambda: is_registered(place, "set_description:sim"))
        launcher.builds.describe("unit", 1, "sim", "<p>hello</p>")
        wait_until(lambda: worker.descriptions == {("unit", 1): "<p>hello</p>"})


def test_a_worker_comes_back_after_a_cut(launcher: Launcher, place: Place) -> None:
    proxy = Proxy(place.port)
    with SimWorker("127.0.0.1", proxy.port, "sim", ["unit"]):
        wait_until(lambda: is_registered(place, "build:unit"))
        proxy.cut()
        proxy.mend()
        launcher.builds.launch(build_request())
        launcher.expect(BuildQueued)
        launcher.expect(BuildProgress)
        assert launcher.expect(BuildFinished).result == "SUCCESS"
    proxy.close()


@pytest.fixture
def served(tmp_path: Path) -> dict[str, str]:
    """A repository with a commit whose check passes, as parameters."""
    project = tmp_path / "p" / "lib" / "alpha"
    project.mkdir(parents=True)
    commit_check(project, "exit 0")
    return {"ZUUL_URL": (tmp_path / "p").as_uri(), "ZUUL_PROJECT": "lib/alpha", "ZUUL_REF": "refs/zuul/main/Z1"}


def commit_check(project: Path, script: str) -> str:
    (project / "check.sh").write_text(script + "\n")
    commands = [
        ["init", "--quiet"],
        ["add", "check.sh"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "check"],
        ["update-ref", "refs/zuul/main/Z1", "HEAD"],
    ]
    for command in commands:
        subprocess.run(["git", *command], cwd=project, check=True, timeout=DEADLINE)
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, check=True, capture_output=True, text=True, timeout=DEADLINE
    )
    return done.stdout.strip()


def test_a_git_job_checks_what_it_fetched(tmp_path: Path, served: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    job = GitJob(work)
    assert job("unit", served).result == "SUCCESS"
    commit = commit_check(tmp_path / "p" / "lib" / "alpha", 'test "$ZUUL_PROJECT" = another')
    assert job("unit", served | {"ZUUL_COMMIT": commit}).result == "FAILURE"
    assert job("unit", served | {"ZUUL_COMMIT": "0" * 40}).result == "FAILURE"
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "fields", [{"ZUUL_REF": "refs/zuul/main/gone"}, {"ZUUL_URL": "ext::sh -c id"}, {"ZUUL_REF": "--upload-pack=id"}]
)
def test_what_cannot_be_fetched_gives_no_result(tmp_path: Path, served: dict[str, str], fields: dict[str, str]) -> None:
    assert GitJob(tmp_path)("unit", served | fields).result is None


def test_the_worker_runs_as_a_program(launcher: Launcher, place: Place, tmp_path: Path, served: dict[str, str]) -> None:
    arguments = ["--port", str(place.port), "--name", "program", "--job", "unit", "--git", str(tmp_path)]
    program = subprocess.Popen([sys.executable, "-m", "zuul_launcher.sim.worker", *arguments], env=os.environ)
    try:
        wait_until(lambda: is_registered(place, "build:unit"))
        launcher.builds.launch(build_request(parameters=dict(served)))
        launcher.expect(BuildQueued)
        launcher.expect(BuildProgress)
        assert launcher.expect(BuildFinished).result == "SUCCESS"
    finally:
        program.send_signal(signal.SIGTERM)
        assert program.wait(DEADLINE) == 0
