"""`zuul-launcher serve`: its parts outlive it, and the next one finds them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.system import Gate, prepared_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.stand_in import SimGerrit

PARTS = ("gearman", "scheduler", "merger")


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
