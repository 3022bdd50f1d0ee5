"""kill -9 at moments that chance chooses: of the scheduler, twenty times in a row, of a merger, of a worker.

SEED=N in the environment plays the same moments again, as far as processes do.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import kill
from support.system import GATE, Gate, prepared_gate, running_gate, what_landed_was_tested
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit
from zuul_launcher.sim.worker import Outcome

KILLS = 20
CHECK_AND_GATE = (
    GATE
    + """\
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
    success:
      gerrit: {}
    failure:
      gerrit: {}
jobs:
  - name: unit
    queue-name: main
projects:
  - name: $alpha
    check: [unit]
    gate: [unit]
  - name: $beta
    check: [unit]
    gate: [unit]
"""
)


def decide(job: str, parameters: dict[str, object]) -> Outcome:
    """Nothing is fetched: what would be is served by the scheduler that is killed."""
    return Outcome("SUCCESS", seconds=0.3)


def test_twenty_kills_at_any_moment(stand_in: SimGerrit, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    with running_gate(tmp_path, stand_in, CHECK_AND_GATE, decide=decide) as gate, kill.stored(gate) as engine:
        gate.worker.release_all()
        changes: list[Pushed] = []
        for number in range(KILLS):
            if number % 3 == 0 or changes_landed(gate, changes):
                changes.append(gate.propose(chance.choice(["alpha", "beta"]), f"file{number}"))
            steps = kill.steps(engine) + chance.randrange(6)
            wait_until(lambda steps=steps: kill.steps(engine) >= steps or changes_landed(gate, changes), what="steps")
            gate.site.kill("scheduler")
            gate.site.start_scheduler(wait=chance.randrange(4) > 0)
        gate.wait_for_status("MERGED", *changes)
        gate.wait_until_idle()
        for change in changes:
            assert sorted(text.splitlines()[0] for text in gate.reports(change)) == [
                "Build succeeded.",  # of check, and of gate
                "Build succeeded.",
                "Starting gate jobs.",
            ], gate.reports(change)
            assert what_landed_was_tested(gate, change, tmp_path)
        kill.every_build_ran_once(gate)
        kill.nothing_is_left_over(gate)
        assert "Traceback" not in gate.log()


def test_a_merger_that_is_killed_at_work(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        gate.worker.release_all()
        changes = []
        for name in ("one", "two", "three"):
            changes.append(gate.propose("alpha", name))
            wait_until(lambda: is_merging(gate) or changes_landed(gate, changes), what="a merge under way")
            gate.site.kill("merger")
            gate.site.start_merger()
        gate.wait_for_status("MERGED", *changes)
        gate.wait_until_idle()
        for change in changes:
            assert len(gate.reports(change)) == 2
            assert what_landed_was_tested(gate, change, tmp_path)
        kill.nothing_is_left_over(gate)


def is_merging(gate: Gate) -> bool:
    return kill.jobs_of(gate.site.gearman_port, "merger:merge")[1] > 0


def changes_landed(gate: Gate, changes: list[Pushed]) -> bool:
    return all(gate.gerrit.status(change) == "MERGED" for change in changes)


def test_a_worker_that_is_killed_at_work(stand_in: SimGerrit, tmp_path: Path) -> None:
    """Its build is run again by another worker, and counts as a try."""
    go = tmp_path / "go"
    check = f"touch {tmp_path}/begun.$ZUUL_UUID\nwhile ! test -e {go}; do sleep 0.05; done\n"
    with prepared_gate(tmp_path, stand_in) as gate:
        gate.site.start()
        with worker_process(gate, tmp_path) as first:
            gate.wait_until_ready()
            change = gate.push("alpha", {"check.sh": check})
            gate.approve(change)
            wait_until(lambda: list(tmp_path.glob("begun.*")), what="the build")
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
        go.touch()
        with worker_process(gate, tmp_path):
            gate.wait_for_status("MERGED", change)
            gate.wait_until_idle()
        assert [text.splitlines()[0] for text in gate.reports(change)] == ["Starting gate jobs.", "Build succeeded."]
        assert len(list(tmp_path.glob("begun.*"))) == 2
        kill.nothing_is_left_over(gate)


@contextmanager
def worker_process(gate: Gate, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "builds").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "zuul_launcher.sim.worker", "--port", str(gate.site.gearman_port)]
    command += ["--name", "w1", "--job", "unit", "--git", str(folder / "builds")]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.terminate()
