"""Zuul 2's own programs: what they print, how they end, and how they become daemons."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from support.waiting import wait_until

from zuul_launcher import VERSION
from zuul_launcher.cli import v2
from zuul_launcher.cli.daemon import detached
from zuul_launcher.errors import ConfigurationError

SAMPLE = Path(__file__).parent.parent.parent / "etc" / "layout.yaml-sample"
CONFIGURATION = """\
[gearman]
server=127.0.0.1
port=1
[zuul]
layout_config={layout}
pidfile={folder}/zuul.pid
[merger]
git_dir={folder}/git
zuul_url=http://127.0.0.1/p
pidfile={folder}/merger.pid
[connection gerrit]
driver=gerrit
server=127.0.0.1
user=zuul
[connection smtp]
driver=smtp
"""


def run(program: click.Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(program, [str(one) for one in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "zuul.conf"
    path.write_text(CONFIGURATION.format(layout=SAMPLE, folder=tmp_path))
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.yaml"
    path.write_text("pipelines: []\nprojects: [{name: a, merge-mode: x}]\n")
    return path


@pytest.mark.parametrize("program", [v2.server, v2.merger, v2.zuul])
def test_each_program_tells_its_version_as_v2_did(program: click.Command) -> None:
    result = run(program, "--version")
    assert (result.exit_code, result.stdout) == (0, f"Zuul version: {VERSION}\n")


def test_a_layout_is_checked_without_a_word_if_it_is_right(config: Path) -> None:
    result = run(v2.server, "-c", config, "-t")
    assert (result.exit_code, result.output) == (0, "")


def test_a_wrong_layout_fails_with_its_mistakes(config: Path, wrong: Path) -> None:
    for arguments in (
        ["-l", wrong, "-t"],
        ["-t", "-l", wrong],
        ["-t", "-d", "-l", wrong],
        ["-l", wrong],
    ):
        result = run(v2.server, "-c", config, *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"{wrong}:2:34: not a valid value" in result.stderr


def test_jobs_that_nobody_offers_are_told(config: Path, tmp_path: Path) -> None:
    layout, jobs = tmp_path / "layout.yaml", tmp_path / "jobs"
    layout.write_text(
        "pipelines: [{name: check, manager: IndependentPipelineManager, trigger: {}}]\n"
        "jobs: [{name: ^.*$}, {name: unused}, {name: unit}]\n"
        "projects: [{name: a, check: [unit, docs, noop]}]\n"
    )
    jobs.write_text("unit\n\nother\n")
    result = run(v2.server, "-c", config, "-l", layout, "-t", jobs)
    told = "FAILURE: Job unused not defined\nFAILURE: Job docs not defined\n"
    assert (result.exit_code, result.stdout) == (1, told)
    jobs.write_text("unit\ndocs\nunused\n")
    result = run(v2.server, "-c", config, "-l", layout, "-t", jobs)
    assert (result.exit_code, result.output) == (0, "")
    assert run(v2.server, "-c", config, "-t", tmp_path / "absent").exit_code == 1


def test_jobs_of_further_files_are_told_as_well(config: Path, tmp_path: Path) -> None:
    layout, jobs = tmp_path / "layout.yaml", tmp_path / "jobs"
    layout.write_text("includes: [{yaml-file: more.yaml}]\npipelines: []\nprojects: []\njobs: [{name: unit}]\n")
    (tmp_path / "more.yaml").write_text("jobs: [{name: unused}]\n")
    jobs.write_text("unit\n")
    result = run(v2.server, "-c", config, "-l", layout, "-t", jobs)
    assert (result.exit_code, result.stdout) == (1, "FAILURE: Job unused not defined\n")


def test_failures_end_with_1_and_mistakes_of_usage_with_2(tmp_path: Path, config: Path) -> None:
    absent, empty = tmp_path / "absent.conf", tmp_path / "empty.conf"
    empty.write_text("")
    for program in (v2.server, v2.merger):
        for path in (absent, empty):
            assert run(program, "-d", "-c", path).exit_code == 1
        assert run(program, "--nonsense").exit_code == 2
    enqueue = ("enqueue", "--trigger", "gerrit", "--pipeline", "check", "--project", "a", "--change", "1,1")
    assert run(v2.zuul, "-c", empty, *enqueue).exit_code == 1
    assert run(v2.zuul, "-c", config, "enqueue").exit_code == 2
    ref = ("enqueue-ref", "--trigger", "gerrit", "--pipeline", "post", "--project", "a", "--ref", "refs/heads/x")
    result = run(v2.zuul, "-c", config, *ref)
    assert result.exit_code == 2
    assert "The old and new revisions must not be the same." in result.stderr


def start_merger(config: Path) -> subprocess.CompletedProcess[str]:
    program = "from zuul_launcher.cli.v2 import merger; merger()"
    command = [sys.executable, "-c", program, "-c", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def daemon(config: Path, tmp_path: Path) -> Iterator[int]:
    """A merger that nobody gives work to: its number."""
    done = start_merger(config)
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing will be logged" in done.stderr
    pid = int((tmp_path / "merger.pid").read_text())
    yield pid
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), what="the end of the daemon")


def test_without_d_a_program_leaves_and_its_pidfile_tells_where_it_is(daemon: int, tmp_path: Path) -> None:
    assert is_alive(daemon)
    assert os.getsid(daemon) not in (os.getsid(0), daemon)  # so that it can get no terminal
    assert {str(Path(f"/proc/{daemon}/fd/{number}").readlink()) for number in range(3)} == {"/dev/null"}
    with pytest.raises(ConfigurationError, match=r"merger\.pid is locked"), detached(tmp_path / "merger.pid", 0.2):
        pass
    wait_until(lambda: (tmp_path / "git").exists(), what="the merger to begin")
    assert int((tmp_path / "merger.pid").read_text()) == daemon


def test_the_pidfile_goes_at_the_end(daemon: int, tmp_path: Path) -> None:
    wait_until(lambda: catches(daemon, signal.SIGUSR1), what="the merger to hear signals")
    os.kill(daemon, signal.SIGUSR1)
    wait_until(lambda: not is_alive(daemon), what="the end")
    assert not (tmp_path / "merger.pid").exists()


def catches(pid: int, number: signal.Signals) -> bool:
    """Has it a handler for the signal?"""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) & 1 << number - 1)


def test_the_pidfile_of_one_that_was_killed_hinders_nobody(daemon: int, config: Path, tmp_path: Path) -> None:
    os.kill(daemon, signal.SIGKILL)
    wait_until(lambda: not is_alive(daemon), what="the end")
    assert int((tmp_path / "merger.pid").read_text()) == daemon
    assert start_merger(config).returncode == 0
    second = int((tmp_path / "merger.pid").read_text())
    assert second != daemon
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: not is_alive(second), what="the end")


def test_a_pidfile_that_is_set_free_meanwhile_was_worth_waiting_for(config: Path, tmp_path: Path) -> None:
    program = "from zuul_launcher.cli.v2 import merger; merger()"
    with (tmp_path / "merger.pid").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "-c", program, "-c", str(config)], stderr=subprocess.PIPE) as waiting:
            wait_until(lambda: is_open(waiting.pid, tmp_path / "merger.pid"), what="the program to want the pidfile")
            fcntl.flock(holder, fcntl.LOCK_UN)
            assert waiting.wait(60) == 0
    pid = int((tmp_path / "merger.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), what="the end")


def is_open(pid: int, path: Path) -> bool:
    try:
        return any(one.readlink() == path for one in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # closed between two looks
        return False


def test_a_pidfile_that_cannot_be_written_is_told(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace(f"{tmp_path}/merger.pid", f"{tmp_path}/absent/merger.pid"))
    done = start_merger(config)
    assert done.returncode == 1
    assert "No such file or directory: name another one in zuul.conf" in done.stderr
