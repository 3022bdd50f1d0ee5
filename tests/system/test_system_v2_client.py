"""A site that is run by v2's programs as its scripts call them, and asked by a client that has nothing but `gear`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.gear_admin import Admin
from support.system import GATE, Gate, prepared_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.stand_in import SimGerrit

CHECK = """\
  - name: check
    manager: IndependentPipelineManager
    trigger: {}
    success:
      gerrit: {verified: 1}
"""
PROJECTS = """\
projects:
  - name: $alpha
    gate: [unit]
    check: [unit, docs]
  - name: $beta
    gate: [unit]
"""
LAYOUT = GATE + CHECK + PROJECTS
LOGGING = """\
[loggers]
keys=root
[handlers]
keys=file
[formatters]
keys=line
[logger_root]
level=DEBUG
handlers=file
[handler_file]
class=FileHandler
formatter=line
args=('{file}',)
[formatter_line]
format=%(asctime)s %(levelname)s %(name)s: %(message)s
"""

pytestmark = pytest.mark.filterwarnings("ignore:notifyAll:DeprecationWarning")  # gear's


@contextmanager
def daemon(gate: Gate, program: str, section: str, *arguments: str) -> Iterator[None]:
    """One of v2's programs, as its script starts it; at the end it is stopped by its pidfile."""
    folder = gate.site.folder
    pidfile = folder / f"{program}.pid"
    (folder / f"{program}.logging").write_text(LOGGING.format(file=folder / f"{program}.log"))
    options = f"[{section}]\npidfile = {pidfile}\nlog_config = {folder}/{program}.logging\n"
    gate.site.config.write_text(gate.site.config.read_text().replace(f"[{section}]\n", options))
    call = f"from zuul_launcher.cli.v2 import {program}; {program}()"
    command = [sys.executable, "-c", call, "-c", str(gate.site.config), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = pid_of(gate, program)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pidfile.exists(), what=f"the end of {program}")


def pid_of(gate: Gate, program: str) -> int:
    return int((gate.site.folder / f"{program}.pid").read_text())


@pytest.fixture
def gate(stand_in: SimGerrit, tmp_path: Path) -> Iterator[Gate]:
    """Its zuul.conf names a layout that nobody can load: `-l` has the right one."""
    with prepared_gate(tmp_path, stand_in, LAYOUT) as gate:
        right = gate.site.folder / "right.yaml"
        right.write_text(gate.layout(LAYOUT))
        (gate.site.folder / "layout.yaml").write_text("wrong")
        gate.site.start_gearman()
        text = gate.site.config.read_text()
        gate.site.config.write_text(text.replace("[gearman_server]\nstart = true", "[gearman_server]\nstart = false"))
        # The workers end last: a build still running when its worker leaves would be a complaint.
        with (
            gate.working(("unit", "docs")),
            daemon(gate, "merger", "merger"),
            daemon(gate, "server", "zuul", "-l", str(right)),
        ):
            gate.wait_until_ready()
            yield gate
        assert gate.complaints() == []


@pytest.fixture
def admin(gate: Gate) -> Iterator[Admin]:
    with Admin(gate.site.gearman_port) as admin:
        yield admin


def test_a_client_enqueues_a_change_and_is_shown_its_builds(gate: Gate, admin: Admin) -> None:
    assert admin.ask("get_running_jobs") == ("complete", "[]")
    change = gate.push("alpha", {"new": "x\n"})
    wanted = {"trigger": "gerrit", "pipeline": "check", "project": change.project, "change": change.id}
    assert admin.ask("enqueue", **wanted) == ("complete", "")
    gate.wait_for_builds(("unit", change.number), ("docs", change.number))
    (item,) = wait_until(lambda: json.loads(admin.ask("get_running_jobs")[1]), what="an item to be shown")
    assert (item["id"], item["project"], item["live"]) == (change.id, change.project, True)
    assert [(job["name"], job["pipeline"], job["result"]) for job in item["jobs"]] == [
        ("unit", "check", None),
        ("docs", "check", None),
    ]


def test_a_client_promotes_a_change(gate: Gate, admin: Admin) -> None:
    first = gate.propose("alpha", "a")
    gate.wait_for_builds(("unit", first.number))
    second = gate.propose("beta", "b")
    gate.wait_for_builds(("unit", first.number), ("unit", first.number, second.number))
    assert admin.ask("promote", pipeline="gate", change_ids=[second.id]) == ("complete", "")
    gate.wait_for_builds(("unit", second.number), ("unit", second.number, first.number))


def test_a_client_is_told_what_is_wrong_with_its_request(gate: Gate, admin: Admin) -> None:
    change = gate.push("alpha", {"new": "x\n"})
    wrong = {"trigger": "t", "pipeline": "p", "project": "q", "change": change.id}
    right = {"trigger": "gerrit", "pipeline": "check", "project": change.project}
    words = "Invalid trigger: t\nInvalid project: q\nInvalid pipeline: p"
    assert admin.ask("enqueue", **wrong) == ("exception", words)
    assert admin.ask("enqueue", **right, change="99999,1") == ("exception", "Invalid change: 99999,1")
    unknown = f"Unable to find shared change queue for {change.id}"
    assert admin.ask("promote", pipeline="gate", change_ids=[change.id]) == ("exception", unknown)


def test_the_layout_of_the_command_line_is_kept_at_hup(gate: Gate, admin: Admin) -> None:
    change = gate.push("alpha", {"new": "x\n"})
    (gate.site.folder / "right.yaml").write_text(gate.layout(LAYOUT.replace("check", "second")))
    os.kill(pid_of(gate, "server"), signal.SIGHUP)
    gate.wait_for_log("the layout was read again", "server")
    wanted = {"trigger": "gerrit", "pipeline": "second", "project": change.project, "change": change.id}
    assert admin.ask("enqueue", **wanted) == ("complete", "")
    gate.wait_for_builds(("unit", change.number), ("docs", change.number))


def catches(pid: int, number: signal.Signals) -> bool:
    """Has it a handler for the signal?"""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) & 1 << number - 1)


@pytest.mark.parametrize("program", ["server", "merger"])
def test_the_threads_of_a_daemon_are_told_in_its_log_at_usr2(gate: Gate, program: str) -> None:
    pid = pid_of(gate, program)
    wait_until(lambda: catches(pid, signal.SIGUSR2), what="the daemon to hear signals")
    os.kill(pid, signal.SIGUSR2)
    gate.wait_for_log("in log_stacks", program)
    threads = [line for line in gate.log(program).splitlines() if "zuul_launcher.stacks: Thread: " in line]
    assert any(line.endswith(" MainThread") for line in threads)
    assert len(threads) > 2
    assert pid_of(gate, program) == pid
    os.kill(pid, 0)  # it is alive
