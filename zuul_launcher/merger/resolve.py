"""The merge strategy "resolve" by git's plumbing, in an index of its own: Zuul's default, not that of ``git merge``.

Trees are merged path by path without looking for renames. What the trees leave open is decided as git-merge-one-file
decides it: contents are merged, all else is a conflict. Rare cases in which files and folders meet go to git's own
strategy in a work tree.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from zuul_launcher.errors import RequestError
from zuul_launcher.git import Git

_MOST_BASES = 6  # git read-tree takes eight trees
_LINK_KINDS = ("120000", "160000")  # symbolic link, submodule


@dataclass(frozen=True)
class Side:
    """One of the three versions of a path: base, ours or theirs."""

    mode: str
    blob: str


class Decision(Enum):
    """What becomes of a path that the trees alone do not settle."""

    MERGE_CONTENTS = auto()
    CONFLICT = auto()
    WORK_TREE = auto()


def decide(base: Side | None, ours: Side | None, theirs: Side | None) -> Decision:
    """The rule of git-merge-one-file for one path."""
    if ours and theirs:
        if not base and ours == theirs:
            return Decision.WORK_TREE
        mergeable = base is not None and ours.mode == theirs.mode and ours.mode not in _LINK_KINDS
        return Decision.MERGE_CONTENTS if mergeable else Decision.CONFLICT
    left = ours or theirs
    if base and left and left != base:
        return Decision.CONFLICT  # changed here, deleted there
    return Decision.WORK_TREE


def resolve(git: Git, scratch: Path, bases: Sequence[str], ours: str, theirs: str) -> str | tuple[str, ...]:
    """The merged tree, or the names of the files in conflict."""
    if len(bases) > _MOST_BASES:
        raise RequestError(f"{ours} and {theirs} have {len(bases)} merge bases, which is too many to merge them")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        work = Path(folder)
        indexed = git.with_environment(GIT_INDEX_FILE=str(work / "index"))
        indexed.run("read-tree", "-i", "-m", "--aggressive", *bases, ours, theirs)
        open_paths = _unmerged(indexed)
        decisions = {path: decide(*sides) for path, sides in open_paths.items()}
        conflicts = [path for path, decision in decisions.items() if decision is Decision.CONFLICT]
        to_merge = [path for path, decision in decisions.items() if decision is Decision.MERGE_CONTENTS]
        merged, failed = _merge_contents(indexed, work, {path: open_paths[path] for path in to_merge})
        conflicts += failed
        if conflicts:
            return tuple(sorted(conflicts))
        if Decision.WORK_TREE in decisions.values():
            return _in_work_tree(git, work, bases, ours, theirs)
        if merged:
            lines = (f"{mode} {blob} 0\t{path}\0" for path, (mode, blob) in merged.items())
            indexed.run("update-index", "-z", "--index-info", stdin="".join(lines).encode("utf-8", "surrogateescape"))
        return indexed.word("write-tree")


Sides = tuple[Side | None, Side | None, Side | None]


def _unmerged(git: Git) -> dict[str, Sides]:
    """The open paths of the index with their three versions."""
    found: dict[str, list[Side | None]] = {}
    for entry in git.run("ls-files", "-u", "-z").stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        facts, _, path = entry.partition("\t")
        mode, blob, stage = facts.split(" ")
        found.setdefault(path, [None, None, None])[int(stage) - 1] = Side(mode, blob)
    return {path: (sides[0], sides[1], sides[2]) for path, sides in found.items()}


def _merge_contents(git: Git, work: Path, paths: Mapping[str, Sides]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Mode and blob of each path whose three versions merge, and the paths whose do not."""
    blobs = _read_blobs(git, {side.blob for sides in paths.values() for side in sides if side})
    clean: dict[str, str] = {}
    conflicts: list[str] = []
    for number, (path, sides) in enumerate(paths.items()):
        files = []
        for name, side in zip(("base", "ours", "theirs"), sides, strict=True):
            assert side
            file = work / f"{number}.{name}"
            file.write_bytes(blobs[side.blob])
            files.append(str(file))
        base, ours, theirs = files
        # The status is the number of conflicts, or above 127 for contents that cannot be merged, such as binary ones.
        answer = git.run("merge-file", "--quiet", ours, base, theirs, accept=range(256))
        if answer.status == 0:
            clean[path] = ours
        else:
            conflicts.append(path)
    if not clean:
        return {}, conflicts
    names = "".join(f"{file}\n" for file in clean.values()).encode()
    written = git.run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names).lines()
    modes = [ours.mode for _, ours, _ in (paths[path] for path in clean) if ours]
    return dict(zip(clean, zip(modes, written, strict=True), strict=True)), conflicts


def _read_blobs(git: Git, names: set[str]) -> dict[str, bytes]:
    asked = sorted(names)
    rest = git.run("cat-file", "--batch", stdin="".join(f"{name}\n" for name in asked).encode()).stdout
    contents: dict[str, bytes] = {}
    for name in asked:
        header, _, rest = rest.partition(b"\n")
        size = int(header.split(b" ")[2])
        contents[name], rest = rest[:size], rest[size + 1 :]
    return contents


def _in_work_tree(git: Git, work: Path, bases: Sequence[str], ours: str, theirs: str) -> str | tuple[str, ...]:
    """The same by git's own merge-resolve, for which all files of ``ours`` are written out."""
    own, tree = work / "git", work / "tree"
    for folder in (own / "refs", tree):
        folder.mkdir(parents=True)
    (own / "HEAD").write_text(f"{ours}\n", encoding="ascii")
    assert git.git_dir
    there = git.at(
        own,
        GIT_OBJECT_DIRECTORY=str(git.git_dir / "objects"),
        GIT_WORK_TREE=str(tree),
        GIT_INDEX_FILE=str(work / "full-index"),
    )
    there.run("read-tree", "--reset", "-u", ours, cwd=tree)
    answer = there.run("merge-resolve", *bases, "--", ours, theirs, accept=(0, 1, 2), cwd=tree)
    if answer.status == 0:
        return there.word("write-tree")
    return tuple(_unmerged(there))
