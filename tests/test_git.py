"""A git command ends in time, with all that it started, and says in one line what went wrong."""

import os
from pathlib import Path

import pytest
from support.git_world import is_running
from support.waiting import wait_until

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.git import Git, GitFailed, configuration

ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C"}


def test_a_command_over_its_deadline_is_ended_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "child"
    git_that_hangs = Git(ENVIRONMENT, 1)
    alias = f"alias.hang=!sleep 1000 & echo $! > {marker}; wait"
    with pytest.raises(RemoteUnavailable):
        git_that_hangs.run("-c", alias, "hang", cwd=tmp_path)
    wait_until(lambda: not is_running(int(marker.read_text())))


def test_a_command_that_fails_says_what_git_said_and_a_status_that_is_expected_is_no_failure(tmp_path: Path) -> None:
    git = Git(ENVIRONMENT, 60)
    with pytest.raises(GitFailed, match=r"^git rev-parse failed: fatal: not a git repository"):
        git.run("rev-parse", "HEAD", cwd=tmp_path)
    assert git.run("rev-parse", "HEAD", cwd=tmp_path, accept=(128,)).status == 128


def test_configuration_comes_after_what_is_there_already(tmp_path: Path) -> None:
    theirs = configuration({"user.name": "theirs", "user.email": "theirs"})
    both = {**ENVIRONMENT, **theirs, **configuration({"user.name": "ours"}, first=2)}
    git = Git(both, 60)
    assert [git.run("config", key, cwd=tmp_path).lines() for key in ("user.name", "user.email")] == [
        ["ours"],
        ["theirs"],
    ]


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    git = Git(ENVIRONMENT, 60)
    names = ["a\u2028b", "c\x85d", "e\x0cf"]
    said = git.run("stripspace", stdin="\n".join(names).encode(), cwd=tmp_path)
    assert said.lines() == names
    assert git.run("stripspace", cwd=tmp_path).lines() == []
