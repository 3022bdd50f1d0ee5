"""Trees: what a walk finds, and what a deletion leaves alone."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from zuul_launcher.remoting import globs, trees


def walked(folder: Path, *patterns: str) -> list[str]:
    root = os.open(folder, os.O_RDONLY)
    try:
        return [found.path for found in trees.walk(root, globs.select(patterns))]
    finally:
        os.close(root)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_walk_names_each_folder_before_what_is_in_it_and_enters_no_link(tmp_path: Path) -> None:
    for name in ("b/c/d", "a", "b/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "b" / "file").touch()
    (tmp_path / "b" / "link").symlink_to("/etc")
    assert walked(tmp_path, "**") == ["a", "b", "b/a", "b/c", "b/file", "b/link", "b/c/d"]
    assert walked(tmp_path, "b/*") == ["b/a", "b/c", "b/file", "b/link"]


def test_a_walk_does_not_open_folders_in_which_nothing_can_match(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["d"] * 300)
    deep.mkdir(parents=True)
    assert walked(tmp_path, "d/d/*") == ["d/d/d"]
    with pytest.raises(OSError, match="256 folders inside each other"):
        walked(tmp_path, "**")


def test_deleting_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "tree" / "a").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    trees.delete_tree(str(tmp_path / "tree"))
    trees.delete_tree(str(tmp_path / "link"))
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_deleting_what_is_not_there_is_fine(tmp_path: Path) -> None:
    trees.delete_tree(str(tmp_path / "none"))
    trees.delete_tree(str(tmp_path / "none" / "none"))


def test_deleting_takes_read_only_folders_and_any_depth_and_keeps_no_descriptor(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "locked" / "inner").mkdir(parents=True)
    (tree / "locked" / "file").touch()
    (tree / "locked").chmod(0)
    at = os.open(tree, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    before = descriptors()
    trees.delete_tree(str(tree))
    assert not tree.exists()
    assert descriptors() == before


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter; those of pytest are closed."""
    folder = Path(tempfile.mkdtemp(prefix="zuul-launcher-test-"))
    folder.chmod(0o777)
    yield folder
    trees.delete_tree(str(folder))


def test_a_user_who_is_not_root_deletes_folders_without_permissions(open_folder: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/bin")
    if os.getuid() != 0 or python is None:
        pytest.skip("needs root, to become somebody else, and a python3 that others can run")
    package = open_folder / "source" / "zuul_launcher" / "remoting"
    shutil.copytree(Path(trees.__file__).parent, package)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    command = (
        "import os\nos.setuid(65534)\nfrom zuul_launcher.remoting import trees\n"
        "os.makedirs('t/a/b'); open('t/a/f', 'w').close(); os.chmod('t/a/b', 0); os.chmod('t/a', 0)\n"
        "trees.delete_tree(os.path.abspath('t')); print(os.listdir('.'))"
    )
    environment = {"PYTHONPATH": str(open_folder / "source"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-c", command], cwd=open_folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("['source']\n", "")


def test_what_is_mounted_in_a_tree_is_kept_and_named(tmp_path: Path) -> None:
    script = (
        "set -e; mkdir -p outside tree/a/b/mounted tree/z; echo precious > outside/file; touch tree/a/gone;"
        ' mount --bind outside tree/a/b/mounted; "$@" || true; cat tree/a/b/mounted/file; find tree'
    )
    command = (
        "import os, sys\nfrom zuul_launcher.remoting import trees\n"
        "try:\n    trees.delete_tree(os.path.abspath('tree'))\n"
        "except OSError as error:\n    print(error.errno, error.filename)"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", sys.executable, "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"needs the right to mount: {done.stderr}")
    place = tmp_path / "tree" / "a" / "b" / "mounted"
    told, content, *left = done.stdout.splitlines()
    assert told == f"16 {place}", done.stderr
    assert content == "precious"
    assert left == ["tree", "tree/a", "tree/a/b", "tree/a/b/mounted", "tree/a/b/mounted/file"]


def test_the_root_of_the_file_system_is_not_deleted() -> None:
    with pytest.raises(OSError, match="not deleted"):
        trees.delete_tree("/")


@pytest.mark.parametrize(("text", "path"), [(r"/a\040b", "/a b"), (r"/a\134040", r"/a\040"), (r"/t\011b", "/t\tb")])
def test_places_in_the_list_of_mounts_have_their_escapes_undone(text: str, path: str) -> None:
    assert trees._unescaped(text) == path
