"""A merge request as the scheduler sends it: which commits the published refs hold, and what the reply says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.git_world import Upstream, git, subjects

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.request import decode_update
from zuul_launcher.merger.worker import UnknownFunction, answer

Ask = Callable[..., Any]
Make = Callable[..., Upstream]
MODES = pytest.mark.parametrize("mode", [1, 2, 3])


def ref(item: dict[str, Any], branch: str = "") -> str:
    return f"refs/zuul/{branch or item['branch']}/{item['ref']}"


def home(merger: Merger, item: dict[str, Any]) -> Path:
    return merger.settings.git_dir / str(item["project"])


def chain(*items: dict[str, Any]) -> list[tuple[dict[str, Any], ...]]:
    """The requests that a scheduler sends for a queue: each item with all ahead of it."""
    return [items[: number + 1] for number in range(len(items))]


@MODES
def test_the_third_change_of_a_queue_holds_the_branch_and_the_three_changes(
    ask: Ask, merger: Merger, upstream: Make, mode: int
) -> None:
    project = upstream()
    items = [project.change("master", {name: name}, name) for name in "ABC"]
    replies = [ask(*request, mode=mode) for request in chain(*items)]
    assert [reply["merged"] for reply in replies] == [True] * 3
    last = replies[-1]
    assert last == {
        "merged": True,
        "zuul_url": "http://merger.example.org/p",
        "commit": git(home(merger, items[0]), "rev-parse", ref(items[2])),
        "conflicts": [],
        "error": None,
    }
    held = subjects(home(merger, items[0]), ref(items[2]))
    assert sorted(held) == ["A", "B", "C", "initial commit"]
    if mode == 3:
        assert held == ["initial commit", "A", "B", "C"]


@MODES
def test_the_queues_of_two_branches_are_merged_on_their_own_tips(
    ask: Ask, merger: Merger, upstream: Make, mode: int
) -> None:
    project = upstream()
    project.branch("stable")
    project.commit("stable", {"stable": "s"}, "branch commit")
    on_master = [project.change("master", {f"m{n}": "m"}, f"m{n}") for n in range(2)]
    on_stable = [project.change("stable", {f"s{n}": "s"}, f"s{n}") for n in range(3)]
    for request in [*chain(*on_stable)[:2], *chain(*on_master), chain(*on_stable)[2]]:
        assert ask(*request, mode=mode)["merged"]
    path = home(merger, on_master[0])
    assert sorted(subjects(path, ref(on_master[1]))) == ["initial commit", "m0", "m1"]
    assert sorted(subjects(path, ref(on_stable[2]))) == ["branch commit", "initial commit", "s0", "s1", "s2"]


def test_one_queue_over_two_branches_keeps_the_branches_apart(ask: Ask, merger: Merger, upstream: Make) -> None:
    project = upstream()
    project.branch("stable")
    project.commit("stable", {"stable": "s"}, "branch commit")
    a, b, c = (project.change(branch, {n: n}, n) for n, branch in (("A", "master"), ("B", "stable"), ("C", "master")))
    commits = [ask(*request)["commit"] for request in chain(a, b, c)]
    path = home(merger, a)
    assert sorted(subjects(path, ref(a))) == ["A", "initial commit"]
    assert sorted(subjects(path, ref(b))) == ["B", "branch commit", "initial commit"]
    assert sorted(subjects(path, ref(c))) == ["A", "C", "initial commit"]
    assert [git(path, "rev-parse", ref(item)) for item in (a, b, c)] == commits
    assert len(set(commits)) == 3
    # Under one name each branch has the state that belongs together.
    assert git(path, "rev-parse", ref(c, "stable")) == commits[1]
    assert git(path, "rev-parse", ref(b, "master")) == commits[0]


def test_under_one_name_each_project_of_a_shared_queue_has_what_is_ahead(
    ask: Ask, merger: Merger, upstream: Make
) -> None:
    one, two = upstream("org/one"), upstream("org/two")
    a, b, c, d = (
        project.change("master", {n: n}, n) for n, project in (("A", one), ("B", one), ("C", two), ("D", one))
    )
    for request in chain(a, b, c, d):
        assert ask(*request)["merged"]
    path = home(merger, a)
    assert sorted(subjects(path, ref(c))) == ["A", "B", "initial commit"]
    assert sorted(subjects(home(merger, c), ref(c))) == ["C", "initial commit"]
    assert sorted(subjects(path, ref(d))) == ["A", "B", "D", "initial commit"]
    assert git(home(merger, c), "rev-parse", ref(d)) == git(home(merger, c), "rev-parse", ref(c))


def test_a_merger_that_sees_a_chain_for_the_first_time_publishes_all_of_it(
    ask: Ask, merger: Merger, upstream: Make
) -> None:
    one, two = upstream("one"), upstream("two")
    a, b, c = one.change("master", {"A": "A"}), two.change("master", {"B": "B"}), one.change("master", {"C": "C"})
    assert ask(a, b, c)["merged"]
    published = {item["project"] + item["ref"]: git(home(merger, item), "rev-parse", ref(item)) for item in (a, b, c)}
    assert len(set(published.values())) == 3
    assert git(home(merger, b), "rev-parse", ref(c)) == published["two" + b["ref"]]
    assert git(home(merger, a), "rev-parse", ref(b)) == published["one" + a["ref"]]


def test_what_is_published_is_taken_and_not_merged_again(ask: Ask, upstream: Make) -> None:
    project = upstream()
    a, b = project.change("master", {"A": "A"}), project.change("master", {"B": "B"})
    project.commit("master", {"moved": "1"})
    first = ask(a)["commit"]
    project.commit("master", {"moved": "2"})
    git(project.path, "update-ref", "-d", a["refspec"])
    reply = ask(a, b)
    assert git(project.path.parent.parent.parent / "git" / a["project"], "rev-parse", f"{reply['commit']}^1") == first
    assert ask(a, b) == reply


@MODES
def test_a_change_that_conflicts_is_named_by_its_files_and_the_others_merge_without_it(
    ask: Ask, merger: Merger, upstream: Make, mode: int
) -> None:
    project = upstream(files={"one file": "1\n", "other": "1\n"})
    a = project.change("master", {"one file": "A\n"}, "A")
    b = project.change("master", {"one file": "B\n", "new": "B\n"}, "B")
    c = project.change("master", {"other": "C\n"}, "C")
    assert ask(a, mode=mode)["merged"]
    refused = ask(a, b, mode=mode)
    assert (refused["merged"], refused["commit"], refused["error"]) == (False, None, None)
    assert refused["conflicts"] == ["one file"]
    assert ask(a, c, mode=mode)["merged"]
    assert sorted(subjects(home(merger, a), ref(c))) == ["A", "C", "initial commit"]
    assert git(home(merger, a), "for-each-ref", ref(b)) == ""


def test_what_merged_ahead_of_a_conflict_stays_published(ask: Ask, merger: Merger, upstream: Make) -> None:
    project = upstream(files={"file": "1\n"})
    a = project.change("master", {"file": "A\n"}, "A")
    b = project.change("master", {"file": "B\n"}, "B")
    assert not ask(a, b)["merged"]
    assert sorted(subjects(home(merger, a), ref(a))) == ["A", "initial commit"]


@pytest.mark.parametrize("mode", [1, 2])
def test_a_change_on_the_tip_is_a_fast_forward_and_a_landed_one_changes_nothing(
    ask: Ask, upstream: Make, mode: int
) -> None:
    project = upstream()
    a = project.change("master", {"A": "A"})
    own = git(project.path, "rev-parse", a["refspec"])
    assert ask(a, mode=mode)["commit"] == own
    project.commit("master", {"B": "B"})
    git(project.path, "merge", "--quiet", "-m", "landed", own)
    tip = git(project.path, "rev-parse", "master")
    assert ask({**a, "ref": "Z0"}, mode=mode)["commit"] == tip


def test_a_cherry_pick_keeps_author_and_message_and_is_committed_by_the_merger(
    ask: Ask, merger: Merger, upstream: Make
) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"}, "Subject\n\nText with # and ümlaut\n\nChange-Id: I1")
    commit = ask(item, mode=3)["commit"]
    shown = git(home(merger, item), "log", "-1", "--format=%an|%ae|%aI|%cn|%ce|%B", commit)
    author = "Ada Author|ada@example.org|2024-02-03T04:05:06+07:00"
    assert shown == f"{author}|Zuul|zuul@localhost|Subject\n\nText with # and ümlaut\n\nChange-Id: I1"


def test_a_merge_says_what_it_merges_and_is_committed_by_the_merger(ask: Ask, merger: Merger, upstream: Make) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"})
    project.commit("master", {"B": "B"})
    shown = git(home(merger, item), "log", "-1", "--format=%an|%ce|%s", ask(item)["commit"])
    assert shown == "Zuul|zuul@localhost|Merge change 1,1 into master"


@pytest.mark.parametrize(
    ("files", "said"),
    [({}, "changes nothing"), ({"README": "second\n"}, "changes nothing")],
    ids=["empty", "landed"],
)
def test_a_cherry_pick_that_changes_nothing_is_refused_as_git_does(
    ask: Ask, upstream: Make, files: dict[str, str], said: str
) -> None:
    project = upstream()
    item = project.change("master", files)
    project.commit("master", {"README": "second\n"})
    reply = ask(item, mode=3)
    assert (reply["merged"], reply["conflicts"]) == (False, [])
    assert said in reply["error"]


def test_a_merge_commit_is_not_cherry_picked(ask: Ask, upstream: Make) -> None:
    project = upstream()
    a = project.change("master", {"A": "A"})
    b = project.change("master", {"B": "B"})
    git(project.path, "checkout", "--quiet", "--detach", a["refspec"])
    git(project.path, "merge", "--quiet", "-m", "both", b["refspec"])
    git(project.path, "update-ref", a["refspec"], "HEAD")
    reply = ask(a, mode=3)
    assert not reply["merged"]
    assert "merge commit" in reply["error"]


@pytest.mark.parametrize("mode", [1, 2])
def test_histories_without_a_common_commit_are_refused(ask: Ask, upstream: Make, mode: int) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"})
    tree = git(project.path, "rev-parse", "master^{tree}")
    git(project.path, "update-ref", item["refspec"], git(project.path, "commit-tree", "-m", "other root", tree))
    reply = ask(item, mode=mode)
    assert not reply["merged"]
    assert "no commit in common" in reply["error"]


def test_a_root_commit_is_cherry_picked_like_any_other(ask: Ask, merger: Merger, upstream: Make) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"})
    blob = git(project.path, "hash-object", "-w", "--stdin", stdin=b"root\n")
    tree = git(project.path, "mktree", stdin=f"100644 blob {blob}\tfrom root\n".encode())
    git(project.path, "update-ref", item["refspec"], git(project.path, "commit-tree", "-m", "other root", tree))
    commit = ask(item, mode=3)["commit"]
    assert git(home(merger, item), "ls-tree", "--name-only", commit).splitlines() == ["README", "from root"]


def test_merges_work_after_the_repository_was_repacked_and_with_many_files(
    ask: Ask, merger: Merger, upstream: Make
) -> None:
    project = upstream()
    a = project.change("master", {f"file{number}": f"{number:04}" * 1024 for number in range(100)}, "A")
    b = project.change("master", {"B": "B"}, "B")
    assert ask(a)["merged"]
    git(home(merger, a), "repack", "-a", "-d", "-q")
    git(home(merger, a), "pack-refs", "--all")
    assert ask(a, b)["merged"]
    assert len(git(home(merger, a), "ls-tree", "--name-only", ref(b)).splitlines()) == 102


def test_a_file_called_head_does_not_disturb(ask: Ask, merger: Merger, upstream: Make) -> None:
    project = upstream()
    a, b = project.change("master", {"HEAD": "not a ref"}, "A"), project.change("master", {"B": "B"}, "B")
    assert all(ask(*request)["merged"] for request in chain(a, b))
    assert git(home(merger, a), "ls-tree", "--name-only", ref(b)).splitlines() == ["B", "HEAD", "README"]


def test_a_project_that_appears_later_is_taken_up_and_a_deleted_repository_is_made_again(
    ask: Ask, merger: Merger, upstream: Make, tmp_path: Path
) -> None:
    later = upstream("later")
    item = later.change("master", {"A": "A"}, "A")
    (tmp_path / "upstream" / "later").rename(tmp_path / "hidden")
    refused = ask(item)
    assert not refused["merged"]
    assert "later" in refused["error"]
    assert not home(merger, item).exists()
    (tmp_path / "hidden").rename(tmp_path / "upstream" / "later")
    assert ask(item)["merged"]
    home(merger, item).rename(tmp_path / "gone")
    assert ask(item)["merged"]
    assert sorted(subjects(home(merger, item), ref(item))) == ["A", "initial commit"]


def test_a_missing_branch_or_change_is_said_and_not_tried_again(ask: Ask, upstream: Make) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"})
    no_branch = ask({**item, "branch": "nowhere"})
    assert (no_branch["merged"], no_branch["conflicts"]) == (False, [])
    assert no_branch["error"] == f"nowhere does not exist at {project.url}"
    no_change = ask({**item, "refspec": "refs/changes/99/99/9"})
    assert no_change["error"] == f"refs/changes/99/99/9 does not exist at {project.url}"


def test_a_server_that_is_away_is_not_a_verdict_on_the_change(merger: Merger, upstream: Make) -> None:
    item = {**upstream().change("master", {"A": "A"}), "url": "http://127.0.0.1:9/project"}
    with pytest.raises(RemoteUnavailable):
        answer(merger, "merger:merge", json.dumps({"items": [item]}).encode())


def test_an_update_brings_branches_and_tags_and_forgets_those_that_are_gone(merger: Merger, upstream: Make) -> None:
    project = upstream()
    project.branch("topic")
    git(project.path, "tag", "-m", "v1", "v1")
    argument = {"project": project.name, "connection_name": "gerrit", "url": project.url, "ref": "x", "newrev": "y"}
    update = json.dumps(argument).encode()
    assert json.loads(answer(merger, "merger:update", update)) == {
        "updated": True,
        "zuul_url": "http://merger.example.org/p",
        "error": None,
    }
    tip = project.commit("master", {"new": "n"})
    git(project.path, "branch", "-D", "topic")
    project.branch("topic/sub")
    answer(merger, "merger:update", update)
    path = merger.settings.git_dir / project.name
    assert git(path, "for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/heads/master",
        "refs/heads/topic/sub",
        "refs/tags/v1",
    ]
    assert git(path, "rev-parse", "master") == tip


def test_a_new_branch_where_a_deleted_one_was_does_not_stop_a_merge(ask: Ask, upstream: Make) -> None:
    project = upstream()
    project.branch("topic")
    assert ask(project.change("topic", {"A": "A"}))["merged"]
    git(project.path, "branch", "-D", "topic")
    project.branch("topic/sub")
    assert ask(project.change("topic/sub", {"B": "B"}))["merged"]


def test_a_branch_named_like_a_merged_state_is_never_taken_for_one(merger: Merger, ask: Ask, upstream: Make) -> None:
    project = upstream()
    item = project.change("master", {"A": "A"}, "A")
    project.commit("master", {"evil": "evil"}, "evil")
    git(project.path, "update-ref", f"refs/heads/{ref(item)}", "master")
    git(project.path, "update-ref", f"refs/tags/{ref(item)}", "master")
    git(project.path, "reset", "--quiet", "--hard", "master^")
    merger.update(decode_update(json.dumps({"project": project.name, "url": project.url}).encode()))
    assert ask(item)["merged"]
    assert sorted(subjects(home(merger, item), ref(item))) == ["A", "initial commit"]


def test_the_repository_of_a_v2_merger_is_used_where_it_is(ask: Ask, merger: Merger, upstream: Make) -> None:
    project = upstream("org/project")
    item = project.change("master", {"A": "A"}, "A")
    old = merger.settings.git_dir / "org" / "project"
    old.parent.mkdir(parents=True)
    git(merger.settings.git_dir, "clone", "--quiet", project.url, str(old))
    project.commit("master", {"B": "B"}, "B")
    assert ask(item)["merged"]
    assert sorted(subjects(old / ".git", ref(item))) == ["A", "B", "initial commit"]
    assert sorted(entry.name for entry in old.iterdir()) == [".git", "README"]


@pytest.mark.parametrize("argument", [b"", b"{}", b"[]", b'{"items": []}', b'{"items": [{}]}', b"\xff", b"[" * 10_000])
def test_a_malformed_request_is_answered_with_what_is_wrong(merger: Merger, argument: bytes) -> None:
    reply = json.loads(answer(merger, "merger:merge", argument))
    assert (reply["merged"], reply["commit"]) == (False, None)
    assert "request" in reply["error"]


def test_other_functions_are_not_known(merger: Merger) -> None:
    with pytest.raises(UnknownFunction):
        answer(merger, "merger:destroy", b"{}")
