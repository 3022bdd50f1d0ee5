"""Two commits become one as ``git merge``, ``git merge -s resolve`` or ``git cherry-pick`` do it, in a bare repository.

A conflict is a value. What else stands in the way of merging these two commits, now and later, is `RequestError`.
"""

from dataclasses import dataclass
from pathlib import Path

from zuul_launcher.errors import RequestError
from zuul_launcher.merger.repo import Repository
from zuul_launcher.merger.resolve import resolve

MERGE, RESOLVE, CHERRY_PICK = 1, 2, 3


@dataclass(frozen=True)
class Conflict:
    """The two do not merge; the files that say so."""

    files: tuple[str, ...]


def combine(repository: Repository, scratch: Path, mode: int, ours: str, theirs: str, message: str) -> str | Conflict:
    """The commit that has both, on top of ``ours``.

    As git does it, a merge into an ancestor is a fast-forward (``theirs``), one of an ancestor nothing (``ours``).
    """
    if mode == CHERRY_PICK:
        return _pick(repository, ours, theirs)
    if mode not in (MERGE, RESOLVE):
        raise RequestError(f"merge mode {mode} is not known")
    bases = repository.git.run("merge-base", "--all", ours, theirs, accept=(0, 1)).lines()
    if ours in bases:
        return theirs
    if theirs in bases:
        return ours
    if not bases:
        raise RequestError(f"{message}: the histories have no commit in common")
    merged = (
        resolve(repository.git, scratch, bases, ours, theirs) if mode == RESOLVE else _ort(repository, ours, theirs)
    )
    if isinstance(merged, tuple):
        return Conflict(merged)
    return repository.git.word("commit-tree", "-p", ours, "-p", theirs, merged, stdin=f"{message}\n".encode())


def _ort(repository: Repository, ours: str, theirs: str) -> str | tuple[str, ...]:
    """The merged tree by git's own default strategy, or the files in conflict."""
    answer = repository.git.run(
        *("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs), accept=(0, 1)
    )
    tree, *files = answer.stdout.decode("utf-8", "replace").rstrip("\0").split("\0")
    if answer.status == 0:
        return tree
    return tuple(dict.fromkeys(files))


def _pick(repository: Repository, ours: str, theirs: str) -> str | Conflict:
    """Repeat what one commit did to its parent on top of ``ours``.

    The three-way merge is made by giving our tree a commit whose parent is that of the picked one: then that is the
    merge base. (git has an option for it from 2.40 on.)
    """
    tree, parents = repository.parents_and_tree(theirs)
    our_tree, _ = repository.parents_and_tree(ours)
    if len(parents) > 1:
        raise RequestError(f"{theirs} is a merge commit, which cannot be cherry-picked")
    picked = theirs
    if not parents:
        empty = repository.git.word("hash-object", "-t", "tree", "-w", "--stdin")
        parents = [_commit(repository, empty)]
        picked = _commit(repository, tree, parents[0])
    merged = _ort(repository, _commit(repository, our_tree, parents[0]), picked)
    if isinstance(merged, tuple):
        return Conflict(merged)
    if merged == our_tree:
        raise RequestError(f"cherry-picking {theirs} changes nothing: all of it is in the branch already")
    raw = picked_commit(repository.read_commit(theirs), merged, ours, repository.git.word("var", "GIT_COMMITTER_IDENT"))
    return repository.git.word("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw)


def _commit(repository: Repository, tree: str, *parents: str) -> str:
    arguments = [word for parent in parents for word in ("-p", parent)]
    return repository.git.word("commit-tree", *arguments, tree, stdin=b"base of a pick\n")


def picked_commit(raw: bytes, tree: str, parent: str, committer: str) -> bytes:
    """A raw commit with the author, encoding and message of another one, and its own tree, parent and committer."""
    header, _, message = raw.partition(b"\n\n")
    lines = header.split(b"\n")
    author = next(line for line in lines if line.startswith(b"author "))
    encoding = [line for line in lines if line.startswith(b"encoding ")]
    own = [f"tree {tree}".encode(), f"parent {parent}".encode(), author, f"committer {committer}".encode(), *encoding]
    return b"\n".join(own) + b"\n\n" + message
