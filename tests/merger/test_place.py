"""GIT_DIR: one holder at a time, repositories inside it, and what killed runs leave there."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.git_world import Upstream, git

from zuul_launcher.errors import ConfigurationError, RequestError
from zuul_launcher.git import Git
from zuul_launcher.merger.environment import base_environment
from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.place import Place
from zuul_launcher.merger.settings import MergerSettings

HARDENED = Git(base_environment(os.environ, "Zuul", "zuul@localhost", False), 60)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "git")


def test_two_mergers_on_one_directory_refuse_each_other(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="in use by another merger"):
        Place(place.root, lock_wait=0)
    place.close()
    Place(place.root, lock_wait=0).close()


def test_a_git_that_a_dead_merger_left_running_keeps_the_directory(place: Place, tmp_path: Path) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(place.lock,)) as left:
        place.close()
        with pytest.raises(ConfigurationError):
            Place(place.root, lock_wait=0)
        left.communicate(timeout=60)
    Place(place.root, lock_wait=0).close()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Place(tmp_path / "file" / "git")


def test_a_new_repository_is_bare_without_hooks_or_locks(place: Place) -> None:
    path = place.create("org/project", HARDENED)
    assert path == place.root / "org" / "project"
    assert git(path, "rev-parse", "--is-bare-repository") == "true"
    assert not (path / "hooks").exists()
    assert not list(path.rglob("*.lock"))
    assert place.find("org/project") == path
    assert list(place.scratch.iterdir()) == []


def test_projects_may_lie_below_each_other_in_either_order(place: Place) -> None:
    for project in ("a", "a/b", "c/d/e", "c", "c/d"):
        place.create(project, HARDENED)
    assert sorted(name for name, _ in place.repositories()) == ["a", "a/b", "c", "c/d", "c/d/e"]
    for project in ("a", "a/b", "c/d/e", "c", "c/d"):
        assert git(place.root / project, "fsck") == ""


@pytest.mark.parametrize("outer_first", [True, False])
@pytest.mark.parametrize("inner", ["a/refs", "a/objects", "a/refs/heads", "a/config", "a/HEAD"])
def test_a_name_that_meets_gits_own_files_is_refused(place: Place, inner: str, outer_first: bool) -> None:
    first, second = ("a", inner) if outer_first else (inner, "a")
    place.create(first, HARDENED)
    with pytest.raises(RequestError, match="cannot be kept"):
        place.create(second, HARDENED)
    assert [name for name, _ in place.repositories()] == [first]


def test_a_link_that_leads_out_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (place.root / "link").symlink_to(tmp_path / "outside")
    for project in ("link", "link/project"):
        with pytest.raises(RequestError, match="leads out"):
            place.create(project, HARDENED)


def test_a_repository_that_was_half_made_is_completed(place: Place, settings: MergerSettings) -> None:
    path = place.create("project", HARDENED)
    (path / "HEAD").unlink()
    assert place.find("project") is None
    assert place.create("project", HARDENED) == path
    assert git(path, "fsck") == ""


def test_locks_and_half_packs_of_a_killed_git_do_not_stop_the_next_run(
    settings: MergerSettings, upstream: Callable[..., Upstream], ask: Callable[..., Any], merger: Merger
) -> None:
    project = upstream()
    assert ask(project.change("master", {"A": "A"}))["merged"]
    path = settings.git_dir / project.name
    stale = [
        path / name
        for name in ("HEAD.lock", "packed-refs.lock", "refs/heads/master.lock", "zuul-fetch/refs/heads/master.lock")
    ]
    stale += [path / "objects" / "pack" / name for name in ("tmp_pack_x", "pack-1.keep")]
    for file in stale:
        file.write_text("")
    scratch = settings.git_dir / ".zuul-launcher" / "scratch" / "left"
    scratch.mkdir()
    merger.repositories.clear()
    project.commit("master", {"B": "B"})
    assert ask(project.change("master", {"C": "C"}))["merged"]
    assert not any(file.exists() for file in stale)
    merger.place.close()
    merger.place = Place(settings.git_dir)
    assert not scratch.exists()
