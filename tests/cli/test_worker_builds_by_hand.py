"""Builds by hand that somebody ends, waits for, or leaves alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gearman_places import any_server
from support.waiting import wait_until
from support.worker_site import WorkerSite

JOBS = """\
jobs:
  - {name: long, steps: [{shell: 'echo begun; sleep 600'}]}
  - {name: unit, steps: [{shell: 'true'}]}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerSite]:
    with any_server("ours") as place:
        site = WorkerSite(tmp_path_factory.mktemp("by-hand"), place.port, JOBS, options="executors = 1")
        with site:
            yield site


class Asking:
    """`worker run` in a process of its own, with its stdout and stderr in files."""

    def __init__(self, site: WorkerSite, folder: Path, name: str, job: str) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        program = [sys.executable, "-m", "zuul_launcher.cli.main", "--config", str(site.config), "worker", "run", job]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def interrupt(self) -> int:
        os.kill(self.process.pid, signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def begun(running: WorkerSite, tmp_path: Path) -> Iterator[tuple[Asking, int]]:
    """A long build by hand that has the only executor, and its number."""
    asking = Asking(running, tmp_path, "begun", "long")
    wait_until(lambda: "\nbegun" in asking.out, what="its console")
    number = int(asking.err.split()[1])
    yield asking, number
    running.run("abort", "long", str(number))
    asking.process.wait(60)
    wait_until(lambda: result(running, "long", number) == "ABORTED", what="its end")


def result(site: WorkerSite, job: str, number: int) -> str | None:
    found: str | None = site.get(f"job/{job}/{number}/api/json")["result"]
    return found


def builds_of(site: WorkerSite, job: str) -> int:
    return len(site.get(f"api/builds?job={job}"))


def test_a_build_is_ended_from_the_command_line(running: WorkerSite, begun: tuple[Asking, int]) -> None:
    asking, number = begun
    done = running.run("abort", "long", str(number))
    assert (done.returncode, done.stdout) == (0, f"build {number} of long is ended\n"), done.stderr
    assert asking.process.wait(60) == 1
    assert asking.err.endswith(f"build {number} of long: ABORTED\n")
    again = running.run("abort", "long", str(number))
    assert (again.returncode, again.stderr) == (1, f"Error: build {number} of long has ended already\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nosuch", "1"), 1, "Error: there is no build 1 of nosuch"),
        (("unit", "4711"), 1, "Error: there is no build 4711 of unit"),
        (("unit", "last"), 2, "'last' is not a valid integer"),
    ],
)
def test_a_build_that_is_not_there_is_not_ended(
    running: WorkerSite, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = running.run("abort", *arguments)
    assert done.returncode == code
    assert message in done.stderr


def test_a_build_goes_on_when_nobody_looks_and_the_way_to_end_it_is_told(
    running: WorkerSite, begun: tuple[Asking, int]
) -> None:
    asking, number = begun
    assert asking.interrupt() == 130
    told = f"build {number} of long goes on; to end it: zuul-launcher worker abort long {number}\n"
    assert asking.err.endswith(told)
    assert running.get(f"job/long/{number}/api/json")["building"]


def test_a_build_that_waits_for_an_executor_says_so_and_is_none_when_nobody_waits(
    running: WorkerSite, begun: tuple[Asking, int], tmp_path: Path
) -> None:
    before = builds_of(running, "unit")
    waiting = Asking(running, tmp_path, "waiting", "unit")
    wait_until(lambda: "busy: waiting for one" in waiting.err, what="that it waits")
    assert waiting.interrupt() == 130
    assert waiting.err.endswith("unit is not built\n")

    last = Asking(running, tmp_path, "last", "unit")
    wait_until(lambda: "busy: waiting for one" in last.err, what="that it waits")
    running.run("abort", "long", str(begun[1]))
    assert last.process.wait(60) == 0
    assert builds_of(running, "unit") == before + 1


def test_the_log_tells_where_a_build_begins_and_how_it_ends(running: WorkerSite) -> None:
    running.run("run", "unit")
    number = running.get("api/builds?job=unit")[0]["number"]
    lines = [line for line in running.log().splitlines() if f"build {number} of unit " in line]
    assert [line.partition(" of unit ")[2].partition(" (")[0] for line in lines] == [
        "begins on built-in",
        "has ended: SUCCESS",
    ]
