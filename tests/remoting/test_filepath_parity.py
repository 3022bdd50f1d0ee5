"""Every method of FilePath gives the same here and on a node, as the user of the node, whatever is or is not there."""

import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import node_code
from support.remoting_nodes import Sshd, other_user

from zuul_launcher.remoting import Channel, connect_ssh, connect_subprocess, trees
from zuul_launcher.remoting.errors import RemotingError
from zuul_launcher.remoting.filepath import FilePath

ABOUT_THE_CLASS = {"arrive", "depart", "kind", "channel", "path"}
TEMPORARY = re.compile(r"/p\w{8}s'")
MOUNTING = 'mount --bind "$0" "$1" && shift && exec "$@"'
Operation = Callable[[FilePath], Any]


def streamed(folder: FilePath) -> int:
    with (folder / "big").open() as source, (folder / "copied").open("wb") as target:
        return target.write(source.read(10) + source.read())


def read(path: FilePath) -> bytes:
    with path.open() as stream:
        return stream.read()


def archived(folder: FilePath) -> Any:
    stream = io.BytesIO()
    told = (folder / "tree").tar_to(stream, ["**/*.xml", "out"])
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as archive:
        return told, archive.getnames()


def unpacked(folder: FilePath) -> Any:
    stream = io.BytesIO()
    (folder / "tree").tar_to(stream)
    return (folder / "back").untar_from(io.BytesIO(stream.getvalue()))


def told(path: FilePath) -> list[Any]:
    return [(each.kind, each.size, each.mode, each.is_file, each.is_dir) for each in (path.stat(), path.lstat())]


def made(path: FilePath, folder: FilePath) -> list[Any]:
    """Of a path with a random name."""
    return [path.parent == folder, path.name.startswith("p"), path.name.endswith("s"), path.lstat().mode]


def renamed(path: FilePath, target: FilePath) -> None:
    path.rename(target)


# What each method is asked, of each path: what is there, and what is not.
ASKED: dict[str, Callable[[FilePath, FilePath], Any]] = {
    "name": lambda path, folder: path.name,
    "parent": lambda path, folder: path.parent,
    "exists": lambda path, folder: path.exists(),
    "is_file": lambda path, folder: path.is_file(),
    "is_dir": lambda path, folder: path.is_dir(),
    "stat": lambda path, folder: told(path),
    "lstat": lambda path, folder: (path.lstat().kind, path.lstat().mode),
    "size": lambda path, folder: path.size() if not path.is_dir() else None,
    "list": lambda path, folder: [path.list(), path.list("**/*.xml"), path.list("none*")],
    "scan": lambda path, folder: [(each, found.kind) for each, found in path.scan(["**"], ["**/b*"]).items()],
    "digest": lambda path, folder: [path.digest(), path.digest("md5")],
    "disk_free": lambda path, folder: path.disk_free() > 0,
    "mkdirs": lambda path, folder: [path.mkdirs(), (path / "x/y").mkdirs()],
    "delete": lambda path, folder: path.delete(),
    "delete_tree": lambda path, folder: path.delete_tree(),
    "rename": lambda path, folder: renamed(path, folder / "renamed"),
    "chmod": lambda path, folder: path.chmod(0o750),
    "symlink": lambda path, folder: path.symlink(folder / "file"),
    "touch": lambda path, folder: [path.touch(1234.5), path.stat().modified],
    "temp_file": lambda path, folder: made(path.temp_file("p", "s"), path),
    "temp_dir": lambda path, folder: made(path.temp_dir("p", "s"), path),
    "read_bytes": lambda path, folder: path.read_bytes(),
    "read_text": lambda path, folder: path.read_text("latin-1"),
    "write_bytes": lambda path, folder: path.write_bytes(node_code.BIG),
    "write_text": lambda path, folder: path.write_text("ünï"),
    "open": lambda path, folder: [read(path), streamed(folder)],
    "copy_to": lambda path, folder: path.copy_to(folder / "copied"),
    "copy_tree_to": lambda path, folder: path.copy_tree_to(folder / "copied", ["**"], ["**/b*"]),
    "tar_to": lambda path, folder: [archived(folder), path.tar_to(io.BytesIO())],
    "untar_from": lambda path, folder: [unpacked(folder), path.untar_from(io.BytesIO(b"no archive"))],
    "act": lambda path, folder: path.act(lambda there: there.read_bytes()[:3]),
}
PATHS = ("file", "big", "tree", "link", "nowhere", "none", "none/below", "file/below")


def outcome(ask: Callable[[FilePath, FilePath], Any], path: FilePath, folder: FilePath) -> Any:
    """What is answered, or which error is raised: without the folder, which is another one on each side."""
    try:
        return _plain(ask(path, folder), folder)
    except (OSError, ValueError, RemotingError) as error:
        words = TEMPORARY.sub("/TEMPORARY'", str(error).replace(str(folder), "FOLDER"))
        return type(error), getattr(error, "errno", None), words


def _plain(value: Any, folder: FilePath) -> Any:
    if isinstance(value, FilePath):
        assert value.channel is folder.channel
        return str(value).replace(str(folder), "FOLDER")
    return [_plain(each, folder) for each in value] if isinstance(value, (list, tuple)) else value


def snapshot(folder: Path) -> dict[str, Any]:
    """All that is there now. Temporary names are random."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name = "temporary" if path.name.startswith("p") and path.name.endswith("s") else path.name
        content = str(path.readlink()).replace(str(folder), "FOLDER") if path.is_symlink() else None
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else content
        found[str(path.relative_to(folder).with_name(name))] = (stat.filemode(status.st_mode), content)
    return found


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder that every user can write into; those of pytest are closed."""
    folder = Path(tempfile.mkdtemp(prefix="zuul-launcher-test-"))
    folder.chmod(0o777)
    yield folder
    trees.delete_tree(str(folder))


@pytest.mark.parametrize("method", ASKED)
def test_a_method_gives_the_same_here_and_on_a_node(channel: Channel, base: Path, method: str) -> None:
    """D133. The same answer or error, and the same files afterwards; over SSH as another user."""
    channel.allow("support.node_code")
    work = Path(tempfile.mkdtemp(dir=base))
    work.chmod(0o777)
    for number, name in enumerate(PATHS):
        outcomes = []
        for side, node in (("here", None), ("there", channel)):
            folder = FilePath(node, str(work / f"{side}{number}"))
            folder.mkdirs()
            folder.act(node_code.fill)
            found = outcome(ASKED[method], folder / name, folder)
            outcomes.append((found, snapshot(work / f"{side}{number}")))
        assert outcomes[0] == outcomes[1], name


def test_every_method_is_compared() -> None:
    """D133."""
    assert {name for name in vars(FilePath) if not name.startswith("_")} - ABOUT_THE_CLASS == set(ASKED)


def test_a_relative_path_is_refused_whichever_side_it_is_on(channel: Channel) -> None:
    """D133. Before anything is sent."""
    before = channel.dump()["frames out"]
    for path in ("", "a", "./a", "~/a", "../a"):
        with pytest.raises(ValueError, match="is absolute"):
            FilePath(channel, path)
    assert channel.dump()["frames out"] == before


@pytest.mark.parametrize("kind", ["subprocess", pytest.param("ssh", marks=pytest.mark.sshd)])
def test_a_deletion_on_a_node_crosses_no_mount_and_follows_no_link(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """D133. The mount is seen by the agent alone."""
    for name in ("precious", "tree/a/mounted", "linked"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("precious", "linked", "tree/a"):
        (tmp_path / name / "file").touch()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "linked")
    places = (str(tmp_path / "precious"), str(tmp_path / "tree" / "a" / "mounted"))
    # `sh -c SCRIPT SOURCE TARGET PYTHON ...`
    command = ("unshare", "--mount", "--map-root-user", "sh", "-c", MOUNTING, *places, "python3")
    if os.system("unshare --mount --map-root-user true 2>/dev/null") != 0:
        pytest.skip("needs the right to mount")
    if kind == "ssh":
        server: Sshd = request.getfixturevalue("ssh_server")
        opened = connect_ssh(server.node(command))
    else:
        opened = connect_subprocess(command)
    with opened as channel:
        assert (FilePath(channel, places[1]) / "file").exists()
        with pytest.raises(OSError, match="mounted") as caught:
            FilePath(channel, str(tmp_path / "tree")).delete_tree()
        assert (caught.value.errno, caught.value.filename) == (16, places[1])
        assert (FilePath(channel, places[1]) / "file").exists()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "linked",
        "linked/file",
        "precious",
        "precious/file",
        "tree",
        "tree/a",
        "tree/a/mounted",
    ]


def test_another_user_may_do_there_what_that_user_may(ssh_server: Sshd, base: Path) -> None:
    """D133. As another user: what the node refuses is the error that it would be here."""
    if not other_user():
        pytest.skip("needs root, setpriv and a Python of this version that another user can run")
    (base / "ours").mkdir(exist_ok=True)
    (base / "ours").chmod(0o755)
    with connect_ssh(ssh_server.node(other_user())) as channel:
        for refused in ((base / "ours" / "new").write_text, (Path("/root") / "new").write_text):
            path = FilePath(channel, str(refused.__self__))  # type: ignore[attr-defined]
            with pytest.raises(PermissionError, match=str(path)):
                path.write_text("x")
        with pytest.raises(PermissionError, match="/etc/shadow"):
            FilePath(channel, "/etc/shadow").read_text()
        made = FilePath(channel, str(base)).temp_dir()
        assert (made.stat().owner, made.stat().mode) == (65534, 0o700)
        made.delete_tree()
