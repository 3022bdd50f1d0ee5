"""`zuul-launcher serve`: its parts outlive it, and the next one finds them."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.system import Gate, prepared_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.stand_in import SimGerrit

PARTS = ("gearman", "scheduler", "merger")
JOBS = """\
jobs:
  - name: unit
    steps: [{{shell: 'echo begun; until [ -e {folder}/go-$ZUUL_CHANGE ]; do sleep 0.1; done; echo done'}}]
"""


@contextmanager
def serving(gate: Gate) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "zuul_launcher.cli.main", "-v", "--config", str(gate.site.config), "serve"]
    with (gate.site.folder / "serve.log").open("ab") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def pids(gate: Gate) -> dict[str, int]:
    """Numbers of the parts that were started."""
    folder = gate.site.folder / "state" / "serve"
    return {path.stem: int(path.read_text()) for path in folder.glob("*.pid")}


@contextmanager
def prepared_with_worker(folder: Path, gerrit: SimGerrit) -> Iterator[Gate]:
    """Builds of a change go on when there is a file `go-NUMBER` in the folder."""
    with prepared_gate(folder, gerrit, jobs=JOBS.format(folder=folder)) as gate:
        yield gate


def wait_for_step(gate: Gate, number: int) -> None:
    """Until a build of `unit` is at its step."""
    wait_until(lambda: "\nbegun\n" in console(gate, number), what=f"the step of build {number}")


def console(gate: Gate, number: int) -> str:
    """Of a build of `unit`; empty if there is none."""
    try:
        with urllib.request.urlopen(f"{gate.site.worker_url}/job/unit/{number}/consoleText", timeout=30) as answer:
            text: str = answer.read().decode()
    except OSError:
        return ""
    return text


def reconfigured(gate: Gate) -> int | None:
    """When the layout was read last."""
    return (gate.site.status() or {}).get("last_reconfigured")


def results(gate: Gate) -> list[str | None]:
    """Of all builds that have ended, in the order of their beginning."""
    return [build["result"] for build in reversed(gate.site.ask_worker("api/builds")) if not build["building"]]


def is_alive(pid: int) -> bool:
    try:
        return b"zuul_launcher.cli.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def test_a_supervisor_that_is_killed_leaves_its_parts_to_the_next_one(stand_in: SimGerrit, tmp_path: Path) -> None:
    with prepared_gate(tmp_path, stand_in) as gate:
        with serving(gate) as first:
            wait_until(lambda: set(pids(gate)) == set(PARTS), what="all parts")
            gate.wait_until_ready()
            begun = pids(gate)
            first.kill()
        assert all(map(is_alive, begun.values()))

        with gate.working():
            change = gate.propose("alpha", "new")  # they work without it
            gate.wait_for_builds(("unit", change.number))
            with serving(gate) as second:
                gate.wait_for_log("merger is there already", "serve")
                assert pids(gate) == begun

                os.kill(begun["merger"], signal.SIGKILL)  # a part that was found is looked after
                wait_until(lambda: pids(gate)["merger"] != begun["merger"], what="another merger")
                assert {**pids(gate), "merger": 0} == {**begun, "merger": 0}

                gate.worker.release_all()
                gate.wait_for_status("MERGED", change)
                last = pids(gate)
                second.terminate()
                assert second.wait(60) == 0
        assert not any(map(is_alive, last.values()))


def test_a_second_supervisor_is_refused(stand_in: SimGerrit, tmp_path: Path) -> None:
    with prepared_gate(tmp_path, stand_in) as gate, serving(gate):
        wait_until(lambda: set(pids(gate)) == set(PARTS), what="all parts")
        code, _, said = gate.admin("serve")
        assert code == 2
        assert "another `serve` looks after" in said


def test_a_worker_that_dies_is_started_again_and_its_build_runs_again(stand_in: SimGerrit, tmp_path: Path) -> None:
    with prepared_with_worker(tmp_path, stand_in) as gate, serving(gate) as process:
        gate.wait_until_ready()
        wait_until(gate.site.offers_builds, what="the worker")
        change = gate.propose("alpha", "new")
        wait_for_step(gate, 1)
        killed = pids(gate)["worker"]
        os.kill(killed, signal.SIGKILL)
        wait_for_step(gate, 2)
        assert pids(gate)["worker"] != killed
        (tmp_path / f"go-{change.number}").touch()
        gate.wait_for_status("MERGED", change)
        assert results(gate) == [None, "SUCCESS"]
        first, last = gate.reports(change)
        assert first == "Starting gate jobs."
        assert f"- {gate.site.worker_url}/job/unit/2/ : SUCCESS in 0s" in last
        assert "\ndone\n" in console(gate, 2)

        before = reconfigured(gate)
        (gate.site.folder / "jobs.yaml").write_text(JOBS.format(folder=tmp_path).replace("unit", "style"))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "build:style" in json.dumps(gate.site.ask_worker("api/functions")), what="a new job")
        wait_until(lambda: reconfigured(gate) not in (None, before), what="the layout, read again")


def test_builds_that_run_at_the_end_have_no_result_and_run_again_at_the_next_start(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    with prepared_with_worker(tmp_path, stand_in) as gate:
        with serving(gate) as process:
            gate.wait_until_ready()
            wait_until(gate.site.offers_builds, what="the worker")
            change = gate.propose("alpha", "new")
            wait_for_step(gate, 1)
            last = pids(gate)
            process.terminate()
            assert process.wait(60) == 0
        assert set(last) == {*PARTS, "worker"}
        assert not any(map(is_alive, last.values()))
        assert "gave no result" in gate.log("serve")  # the scheduler was there to hear it

        (tmp_path / f"go-{change.number}").touch()
        with serving(gate):
            gate.wait_for_status("MERGED", change)
            assert results(gate) == [None, "SUCCESS"]
            assert [text.splitlines()[0] for text in gate.reports(change)] == [
                "Starting gate jobs.",
                "Build succeeded.",
            ]
