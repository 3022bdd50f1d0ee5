"""Merging without a work tree gives what git gives with one, over random histories; and the rules of single paths."""

import os
from pathlib import Path

import pytest
from support.git_histories import make_histories
from support.git_world import git

from zuul_launcher.errors import RequestError
from zuul_launcher.git import Git
from zuul_launcher.merger.combine import Conflict, combine, picked_commit
from zuul_launcher.merger.environment import base_environment
from zuul_launcher.merger.repo import Repository
from zuul_launcher.merger.resolve import Decision, Side, decide

COMMANDS = {
    1: ("merge", "--quiet", "--no-edit"),
    2: ("merge", "--quiet", "--no-edit", "-s", "resolve"),
    3: ("cherry-pick",),
}


def by_git(work: Path, mode: int, ours: str, theirs: str) -> str | None:
    """The tree that git itself makes of the two, or None for a conflict."""
    git(work, "checkout", "--quiet", "--force", "--detach", ours)
    git(work, "clean", "-xffdq")
    git(work, *COMMANDS[mode], theirs, accept=(0, 1, 2, 128))
    clean = not git(work, "ls-files", "-u") and git(work, "rev-parse", "HEAD") != ours
    tree = git(work, "rev-parse", "HEAD^{tree}") if clean else None
    git(work, "reset", "--quiet", "--hard", ours)
    return tree


def by_us(repository: Repository, scratch: Path, mode: int, ours: str, theirs: str) -> str | None:
    try:
        combined = combine(repository, scratch, mode, ours, theirs, "Merge")
    except RequestError:
        return None
    if isinstance(combined, Conflict):
        assert combined.files
        return None
    return repository.git.word("rev-parse", f"{combined}^{{tree}}")


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_random_histories_merge_to_the_tree_that_git_makes(tmp_path: Path, mode: int) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet")
    pairs = make_histories(work, seed=1, count=30)
    environment = base_environment(os.environ, "Zuul", "zuul@localhost", False)
    repository = Repository(work / ".git", Git(environment, 60))
    theirs = [by_git(work, mode, *pair) for pair in pairs]
    ours = [by_us(repository, tmp_path, mode, *pair) for pair in pairs]
    assert ours == theirs
    # The histories are worth something only if they hold both.
    assert any(theirs)
    assert not all(theirs)


A, B, C = (Side("100644", letter * 40) for letter in "abc")
EXECUTABLE_B = Side("100755", B.blob)
LINK = Side("120000", "d" * 40)
SUBMODULE = Side("160000", "e" * 40)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "decision"),
    [
        (A, B, C, Decision.MERGE_CONTENTS),
        (A, EXECUTABLE_B, C, Decision.CONFLICT),
        (None, B, C, Decision.CONFLICT),
        (None, B, EXECUTABLE_B, Decision.CONFLICT),
        (None, B, B, Decision.WORK_TREE),
        (A, B, None, Decision.CONFLICT),
        (A, None, B, Decision.CONFLICT),
        (B, EXECUTABLE_B, None, Decision.CONFLICT),
        (A, A, None, Decision.WORK_TREE),
        (A, None, A, Decision.WORK_TREE),
        (A, None, None, Decision.WORK_TREE),
        (None, B, None, Decision.WORK_TREE),
        (A, LINK, LINK, Decision.CONFLICT),
        (A, B, LINK, Decision.CONFLICT),
        (A, SUBMODULE, B, Decision.CONFLICT),
    ],
)
def test_an_open_path_is_decided_as_git_merge_one_file_does(
    base: Side | None, ours: Side | None, theirs: Side | None, decision: Decision
) -> None:
    assert decide(base, ours, theirs) is decision


def test_a_picked_commit_keeps_author_encoding_and_message_but_no_signature() -> None:
    signed = (
        b"tree 1\nparent 2\nauthor J\xf6rg <j@x> 1 +0100\ncommitter K <k@x> 2 +0000\n"
        b"encoding ISO-8859-1\ngpgsig -----BEGIN\n \n text\n -----END\n\nSubject\n\nauthor of nothing\n"
    )
    assert picked_commit(signed, "3", "4", "Zuul <z@x> 5 +0000") == (
        b"tree 3\nparent 4\nauthor J\xf6rg <j@x> 1 +0100\ncommitter Zuul <z@x> 5 +0000\n"
        b"encoding ISO-8859-1\n\nSubject\n\nauthor of nothing\n"
    )
