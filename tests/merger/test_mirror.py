"""The merger's repositories as jobs clone them: branches, tags and HEAD are the server's, whatever their names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.git_world import Upstream, git, subjects

from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.repo import read_fetch_head
from zuul_launcher.merger.worker import answer

Ask = Callable[..., Any]
Make = Callable[..., Upstream]
SHOWN = ("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")


@pytest.fixture
def home(merger: Merger) -> Path:
    return merger.settings.git_dir / "org" / "project"


def update(merger: Merger, project: Upstream) -> None:
    request = json.dumps({"project": project.name, "url": project.url}).encode()
    assert json.loads(answer(merger, "merger:update", request))["updated"]


def head(repository: Path) -> str:
    return git(repository, "symbolic-ref", "HEAD")


def test_a_merge_on_a_tip_brings_all_branches_and_tags_and_forgets_those_that_are_gone(
    ask: Ask, home: Path, upstream: Make
) -> None:
    project = upstream()
    for name in ("old", "topic"):
        project.branch(name)
    git(project.path, "tag", "light")
    git(project.path, "tag", "-m", "v1", "v1")
    first = project.change("master", {"A": "A"}, "A")
    assert ask(first)["merged"]
    assert git(home, *SHOWN) == git(project.path, *SHOWN)
    project.commit("old", {"later": "l"}, "later")
    git(project.path, "branch", "-D", "topic")
    project.branch("topic/sub")
    git(project.path, "tag", "-d", "light")
    git(project.path, "tag", "-f", "-m", "again", "v1", "old")
    assert ask(project.change("master", {"B": "B"}, "B"))["merged"]
    assert git(home, *SHOWN) == git(project.path, *SHOWN)
    # What was merged, and only that, is there besides.
    others = git(home, "for-each-ref", "--format=%(refname)").splitlines()
    assert len([name for name in others if name.startswith("refs/zuul/master/Z")]) == 2
    assert {name.split("/")[1] for name in others} == {"heads", "tags", "zuul"}


def test_a_worker_clones_the_default_branch_and_has_the_others(
    ask: Ask, home: Path, upstream: Make, tmp_path: Path
) -> None:
    project = upstream()
    project.branch("main")
    project.commit("main", {"M": "M"}, "M")
    project.branch("topic/one")
    item = project.change("master", {"A": "A"}, "A")
    git(project.path, "symbolic-ref", "HEAD", "refs/heads/main")
    assert ask(item)["merged"]
    git(tmp_path, "clone", "--quiet", home.as_uri(), "clone")
    assert head(tmp_path / "clone") == "refs/heads/main"
    assert git(tmp_path / "clone", "branch", "--remotes", "--format=%(refname:lstrip=3)").splitlines() == [
        *("HEAD", "main", "master", "topic/one")
    ]


def test_head_follows_when_its_branch_is_renamed(ask: Ask, home: Path, upstream: Make) -> None:
    project = upstream()
    assert ask(project.change("master", {"A": "A"}))["merged"]
    item = project.change("master", {"B": "B"})
    git(project.path, "branch", "--move", "master", "main")
    assert ask({**item, "branch": "main"})["merged"]
    assert head(home) == "refs/heads/main"
    assert git(home, *SHOWN) == git(project.path, *SHOWN)


def test_head_follows_with_an_update_when_another_branch_becomes_the_default(
    merger: Merger, home: Path, upstream: Make
) -> None:
    project = upstream()
    update(merger, project)
    assert head(home) == "refs/heads/master"
    project.branch("main")
    project.commit("main", {"M": "M"})
    update(merger, project)
    assert head(home) == "refs/heads/main"  # where the server's work tree is now


def test_a_head_that_names_no_branch_stops_neither_merges_nor_updates(
    merger: Merger, ask: Ask, home: Path, upstream: Make
) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"})
    git(project.path, "symbolic-ref", "HEAD", "refs/heads/unborn")
    assert ask(item)["merged"]
    project.branch("later", "master")
    update(merger, project)
    assert git(home, *SHOWN) == git(project.path, *SHOWN)
    git(project.path, "symbolic-ref", "HEAD", "refs/heads/later")
    git(project.path, "branch", "-D", "master")
    update(merger, project)
    assert head(home) == "refs/heads/later"


def test_an_empty_project_is_updated(merger: Merger, home: Path, upstream: Make) -> None:
    project = upstream()
    git(project.path, "update-ref", "-d", "refs/heads/master")
    update(merger, project)
    assert git(home, *SHOWN) == ""
    project.commit("master", {"A": "A"})
    update(merger, project)
    assert git(home, *SHOWN) == git(project.path, *SHOWN)


@pytest.mark.parametrize("name", ["a\u2028b", "a\u2029b", "a\x85b", "it's", "a'_of_b"], ids=ascii)
def test_a_branch_and_a_tag_of_an_odd_name_are_mirrored_and_merged_on(
    ask: Ask, home: Path, upstream: Make, name: str
) -> None:
    project = upstream()
    project.branch(name)
    tip = project.commit(name, {"odd": "o"}, "odd")
    git(project.path, "tag", name, tip)
    on_master, on_odd = project.change("master", {"A": "A"}, "A"), project.change(name, {"B": "B"}, "B")
    assert ask(on_master)["merged"]
    assert git(home, *SHOWN) == git(project.path, *SHOWN)
    assert ask(on_odd)["merged"]
    held = git(home, "log", "--format=%s", f"refs/zuul/{name}/{on_odd['ref']}").split("\n")
    assert sorted(held) == ["B", "initial commit", "odd"]


def test_a_branch_that_cannot_be_kept_stops_neither_merges_nor_updates(
    merger: Merger, ask: Ask, home: Path, upstream: Make, caplog: pytest.LogCaptureFixture
) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"}, "A")
    project.branch("topic")
    tip = git(project.path, "rev-parse", "master")
    too_long = f"refs/heads/{'x' * 253}"  # its lock file would have 258 bytes
    (project.path / ".git" / "packed-refs").write_text(f"{tip} {too_long}\n", encoding="ascii")
    assert too_long in git(project.path, *SHOWN)
    assert ask(item)["merged"]
    assert "Not all branches and tags are as at the server" in caplog.text
    assert f"cannot lock ref '{too_long}'" in caplog.text
    assert sorted(subjects(home, f"refs/zuul/master/{item['ref']}")) == ["A", "initial commit"]
    assert git(home, *SHOWN).splitlines() == [f"refs/heads/{name} {tip}" for name in ("master", "topic")]
    moved = project.commit("master", {"B": "B"})
    update(merger, project)
    assert git(home, "rev-parse", "master") == moved


def test_a_lock_that_a_killed_fetch_left_does_not_hold_a_branch_back(ask: Ask, home: Path, upstream: Make) -> None:
    project = upstream()
    assert ask(project.change("master", {"A": "A"}))["merged"]
    (home / "zuul-fetch" / "refs" / "heads" / "master.lock").write_text("")
    project.commit("master", {"B": "B"})
    assert ask(project.change("master", {"C": "C"}))["merged"]
    assert git(home, *SHOWN) == git(project.path, *SHOWN)


def test_a_change_that_is_named_like_a_ref_of_another_kind_is_refused(ask: Ask, upstream: Make) -> None:
    project = upstream()
    git(project.path, "update-ref", "refs/heads/refs/zuul/master/Z1", "master")
    reply = ask({**project.change("master", {"A": "A"}), "refspec": "refs/heads/refs/zuul/master/Z1"})
    assert not reply["merged"]
    assert "refs/heads/refs/zuul/master/Z1 is not fetched" in reply["error"]


def test_an_author_whose_name_looks_like_a_line_of_the_commit_does_not_add_a_parent(
    ask: Ask, home: Path, upstream: Make
) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"}, "A")
    git(project.path, "checkout", "--quiet", "--detach", item["refspec"])
    author = f"x\u2028parent {'1' * 40} <x@example.org>"
    git(project.path, "commit", "--quiet", "--amend", "--no-edit", f"--author={author}")
    git(project.path, "update-ref", item["refspec"], "HEAD")
    git(project.path, "checkout", "--quiet", "master")
    reply = ask(item, mode=3)
    assert reply["merged"], reply
    assert subjects(home, reply["commit"]) == ["initial commit", "A"]


def test_what_git_notes_of_a_fetch_is_read_by_names_and_not_by_order() -> None:
    lines = [
        f"{'1' * 40}\t\t'refs/changes/01/1/1' of ssh://h/it's of p",
        f"{'2' * 40}\t\tbranch 'a'b/c' of ssh://h/p",
        f"{'3' * 40}\tnot-for-merge\ttag 'v1' of ssh://h/p",
        f"{'4' * 40}\t\tssh://h/p",
        "",
    ]
    assert read_fetch_head("\n".join(lines).encode()) == {
        "refs/changes/01/1/1": "1" * 40,
        "refs/heads/a'b/c": "2" * 40,
        "refs/tags/v1": "3" * 40,
        "HEAD": "4" * 40,
    }
