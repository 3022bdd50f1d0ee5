"""Random pairs of branches to merge: edits, adds, deletions, renames, modes, links, files that become folders."""

import random
from pathlib import Path

from support.git_world import git

Tree = dict[str, tuple[str, bytes]]

_LINES = [f"line {number}\n".encode() for number in range(30)]


def make_histories(repository: Path, seed: int, count: int) -> list[tuple[str, str]]:
    """Commit ``count`` pairs (ours, theirs) into a repository, each of which starts from a base of its own."""
    chance = random.Random(seed)
    stream: list[bytes] = []
    mark = 0
    pairs: list[tuple[int, int]] = []

    def commit(tree: Tree, *parents: int) -> int:
        nonlocal mark
        mark += 1
        stream.append(b"commit refs/histories/%d\nmark :%d\n" % (mark, mark))
        stream.append(b"author A <a@b> %d +0000\ncommitter A <a@b> %d +0000\n" % (1.7e9 + mark, 1.7e9 + mark))
        stream.append(b"data 2\nm\n")
        for number, parent in enumerate(parents):
            stream.append(b"%s :%d\n" % (b"merge" if number else b"from", parent))
        stream.append(b"deleteall\n")
        for path, (mode, content) in sorted(tree.items()):
            stream.append(b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), path.encode(), len(content), content))
        return mark

    for _ in range(count):
        base = _first_tree(chance)
        root = commit(base)
        left, right = _changed(base, chance), _changed(base, chance)
        ours, theirs = commit(left, root), commit(right, root)
        if chance.random() < 0.2:
            # Each side has merged the other once: two merge bases.
            both = {**left, **right}
            both = {path: entry for path, entry in both.items() if not _in_the_way(path, both)}
            ours, theirs = (
                commit(_changed(both, chance), ours, theirs),
                commit(_changed(both, chance), theirs, ours),
            )
        pairs.append((ours, theirs))
    marks = repository / "marks"
    git(repository, "fast-import", "--quiet", f"--export-marks={marks}", stdin=b"".join(stream))
    names = dict(line.split() for line in marks.read_text().splitlines())
    return [(names[f":{ours}"], names[f":{theirs}"]) for ours, theirs in pairs]


def _first_tree(chance: random.Random) -> Tree:
    paths = [f"{folder}f{number}" for folder in ("", "a/", "a/b/", "c/") for number in range(3)]
    tree: Tree = {path: ("100644", b"%s\n" % path.encode() + b"".join(_LINES)) for path in paths}
    tree["binary"] = ("100644", bytes(range(256)))
    tree["link"] = ("120000", b"f0")
    return tree


def _changed(tree: Tree, chance: random.Random) -> Tree:
    changed = dict(tree)
    for _ in range(chance.randint(1, 4)):
        path = chance.choice(sorted(changed))
        _CHANGES[chance.choice(list(_CHANGES))](changed, path, chance)
    changed = {path: entry for path, entry in changed.items() if not _in_the_way(path, changed)}
    return changed or {"left": ("100644", b"left\n")}


def _in_the_way(path: str, tree: Tree) -> bool:
    return any(other.startswith(f"{path}/") for other in tree)


def _edit(tree: Tree, path: str, chance: random.Random) -> None:
    mode, content = tree[path]
    lines = content.splitlines(keepends=True)
    at = chance.randrange(len(lines))
    lines[at] = b"edited %d\n" % chance.randint(0, 3)
    tree[path] = (mode, b"".join(lines) if mode != "120000" else b"f%d" % chance.randint(1, 3))


def _add(tree: Tree, path: str, chance: random.Random) -> None:
    tree[f"new{chance.randint(0, 3)}"] = ("100644", b"new %d\n" % chance.randint(0, 1))


def _delete(tree: Tree, path: str, chance: random.Random) -> None:
    if len(tree) > 1:
        del tree[path]


def _rename(tree: Tree, path: str, chance: random.Random) -> None:
    tree[f"{chance.choice(('', 'a/', 'moved/'))}r{chance.randint(0, 3)}"] = tree.pop(path)


def _rename_folder(tree: Tree, path: str, chance: random.Random) -> None:
    for inner in [inner for inner in tree if inner.startswith("a/b/")]:
        tree[f"z/{inner.removeprefix('a/b/')}"] = tree.pop(inner)


def _mode(tree: Tree, path: str, chance: random.Random) -> None:
    tree[path] = ("100755", tree[path][1]) if tree[path][0] != "120000" else ("100644", b"no link\n")


def _file_to_folder(tree: Tree, path: str, chance: random.Random) -> None:
    tree[f"{path}/inner"] = tree.pop(path)


def _folder_to_file(tree: Tree, path: str, chance: random.Random) -> None:
    folder = chance.choice(("a", "c", "a/b"))
    for inner in [inner for inner in tree if inner.startswith(f"{folder}/")]:
        del tree[inner]
    tree[folder] = ("100644", b"was a folder\n")


_CHANGES = {
    "edit": _edit,
    "edit again": _edit,
    "edit once more": _edit,
    "edit yet again": _edit,
    "edit still": _edit,
    "add": _add,
    "delete": _delete,
    "rename": _rename,
    "rename folder": _rename_folder,
    "mode": _mode,
    "file to folder": _file_to_folder,
    "folder to file": _folder_to_file,
}
