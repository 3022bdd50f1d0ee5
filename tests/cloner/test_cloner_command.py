"""`zuul-cloner` as a job's script sees it: usage, exit codes, what it prints, and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.cloner_world import World
from support.git_world import is_running
from support.waiting import wait_until


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ([], {}, "Missing argument 'GIT_BASE_URL'"),
        (["BASE"], {}, "Missing argument 'PROJECT...'"),
        (["--unknown", "BASE", "one"], {}, "No such option"),
        (["--zuul-ref", "refs/zuul/master/Z1", "BASE", "one"], {}, "a Zuul ref needs a Zuul URL"),
        (["BASE", "one"], {"ZUUL_REF": "refs/zuul/master/Z1"}, "a Zuul ref needs a Zuul URL"),
        (["--zuul-newrev", "a" * 40, "BASE", "one"], {}, "a Zuul newrev needs a Zuul project"),
        (["BASE", "one"], {"ZUUL_NEWREV": "a" * 40}, "a Zuul newrev needs a Zuul project"),
        (["--zuul-newrev", "HEAD", "--zuul-project", "one", "BASE", "one"], {}, "is no commit id of 40 hex digits"),
        (["--project-branch", "one", "BASE", "one"], {}, "'one' is not of the form PROJECT=BRANCH"),
        (["--project-branch", "one=", "BASE", "one"], {}, "'one=' is not of the form PROJECT=BRANCH"),
        (["--map", "missing.yaml", "BASE", "one"], {}, "clone map missing.yaml: No such file or directory"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    world: World, arguments: list[str], variables: dict[str, str], said: str
) -> None:
    world.project("one")
    given = [world.base if argument == "BASE" else argument for argument in arguments]
    result = world.call("--workspace", world.workspace, *given, variables=variables)
    assert result.exit_code == 2
    assert said in result.output
    assert not world.workspace.exists()


def test_two_projects_at_one_place_end_with_2_and_nothing_is_cloned(world: World) -> None:
    for name in ("one", "two"):
        world.project(name)
    (world.root / "map.yaml").write_text("clonemap: [{name: .*, dest: same}]")
    result = world.call("-m", world.root / "map.yaml", "--workspace", world.workspace, world.base, "one", "two")
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: projects 'one' and 'two' would both be cloned to same\n")
    assert not world.workspace.exists()


def test_a_project_that_does_not_exist_ends_with_1_after_those_before_it(world: World) -> None:
    for name in ("one", "three"):
        world.project(name)
    result = world.call("--workspace", world.workspace, world.base, "one", "two", "three")
    assert result.exit_code == 1
    assert f"Error: cannot clone {world.base}/two to {world.workspace}/two: " in result.stderr
    assert world.subjects("one") == ["initial commit"]
    assert not (world.workspace / "three").exists()


def test_a_workspace_that_cannot_be_made_ends_with_1(world: World) -> None:
    world.project("one")
    world.workspace.write_text("a file")
    result = world.call("--workspace", world.workspace, world.base, "one")
    assert result.exit_code == 1
    assert str(world.workspace) in result.output.splitlines()[-1]


def test_it_tells_its_version_and_its_options() -> None:
    version = _run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout == "Zuul version: 0.1.0\n"
    usage = _run("--help").stdout
    for option in ("--map", "--workspace", "--cache-dir", "--branch", "--project-branch", "--color", "--verbose"):
        assert option in usage
    for name in ("branch", "ref", "url", "project", "newrev"):
        assert f"--zuul-{name}" in usage
        assert f"ZUUL_{name.upper()}" in usage


def test_what_it_does_is_logged_by_lines_and_in_colors_on_demand(world: World) -> None:
    world.project("one")
    plain = _run("--workspace", str(world.workspace), world.base, "one")
    assert (plain.returncode, plain.stdout) == (0, "")
    assert "one: cloning from" in plain.stderr
    assert "the tip of master" in plain.stderr
    assert "\x1b" not in plain.stderr
    colored = _run("--color", "--workspace", str(world.workspace), world.base, "one")
    assert colored.returncode == 0
    assert "\x1b[32m" in colored.stderr


def test_a_job_that_is_canceled_leaves_no_git_behind(tmp_path: Path) -> None:
    marker, ssh = tmp_path / "pid", tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {marker}.new\nmv {marker}.new {marker}\nexec sleep 600\n")
    ssh.chmod(0o755)
    command = [sys.executable, "-m", "zuul_launcher.cloner.command", "ssh://127.0.0.1/base", "one"]
    environment = {**os.environ, "GIT_SSH": str(ssh), "GIT_SSH_VARIANT": "ssh"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        try:
            wait_until(marker.exists)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
        finally:
            process.kill()
    wait_until(lambda: not is_running(int(marker.read_text())))


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zuul_launcher.cloner.command", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
