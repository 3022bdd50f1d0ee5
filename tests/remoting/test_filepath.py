"""FilePath: every method does the same for a file of this process and for one on a node."""

import errno
import gzip
import hashlib
import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest
from support import node_code, nodes
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LocalChannel, lazy
from zuul_launcher.remoting.errors import NotSerializable, ResultRejected, RoleDenied, WrongChannel
from zuul_launcher.remoting.filepath import FilePath

BIG = os.urandom(64) * 50_000  # above the window of a pipe


@pytest.fixture(scope="module", params=nodes.KINDS)
def channel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel | None]:
    with nodes.opened(request.param, tmp_path_factory.mktemp("node")) as opened:
        if opened is not None:
            opened.allow("support.node_code")
        yield opened


@pytest.fixture
def folder(channel: Channel | None, tmp_path: Path) -> FilePath:
    """A folder of the node, which is tmp_path here."""
    return FilePath(channel, str(tmp_path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def other_side(folder: FilePath, tmp_path: Path) -> FilePath:
    """A folder of this process, whichever side `folder` is on."""
    (tmp_path / "here").mkdir()
    return FilePath(None, str(tmp_path / "here"))


# What a path is


@pytest.mark.parametrize("path", ["", "a", "./a", "~", "../a", "/a\0b", "a/b"])
def test_a_relative_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is absolute"):
        FilePath(None, path)


@pytest.mark.parametrize("name", ["/etc", "..", "a/../..", "a\0b"])
def test_a_name_cannot_lead_out_of_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match=r"below|absolute"):
        FilePath(None, "/srv") / name


def test_a_path_knows_its_name_and_its_parent() -> None:
    path = FilePath(None, "/srv") / "a/b" / PurePosixPath("c.txt")
    assert (path.name, str(path), path.parent) == ("c.txt", "/srv/a/b/c.txt", FilePath(None, "/srv/a/b"))
    assert repr(path) == "FilePath(here:/srv/a/b/c.txt)"


def test_paths_are_equal_if_node_and_path_are() -> None:
    with LocalChannel() as one, LocalChannel() as other:
        assert FilePath(one, "/a/./b//c") == FilePath(one, "/a/b/c")
        assert len({FilePath(one, "/a"), FilePath(one, "/a"), FilePath(other, "/a"), FilePath(None, "/a")}) == 3


# Asking


def test_what_is_there_can_be_asked(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "nowhere").symlink_to("none")
    (tmp_path / "loop").symlink_to("loop")
    found = {
        name: ((folder / name).exists(), (folder / name).is_file(), (folder / name).is_dir())
        for name in (".", "file", "link", "nowhere", "loop", "none", "file/below")
    }
    assert found == {
        ".": (True, False, True),
        "file": (True, True, False),
        "link": (True, True, False),
        "nowhere": (False, False, False),
        "loop": (False, False, False),
        "none": (False, False, False),
        "file/below": (False, False, False),
    }


def test_stat_tells_of_the_file_and_lstat_of_the_link(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "file").chmod(0o640)
    os.utime(tmp_path / "file", (1000, 2000.5))
    (tmp_path / "link").symlink_to("file")
    status = (folder / "link").stat()
    assert (status.kind, status.size, status.mode, status.modified) == ("file", 5, 0o640, 2000.5)
    assert (status.owner, status.group) == (os.getuid(), (tmp_path / "file").stat().st_gid)
    assert (status.is_file, status.is_dir, folder.stat().is_dir) == (True, False, True)
    assert (folder / "link").lstat().kind == "link"
    assert (folder / "link").size() == 5


def test_a_missing_file_is_the_error_that_it_is_here(folder: FilePath) -> None:
    missing = folder / "none"
    asked: list[Callable[[], Any]] = [
        missing.stat,
        missing.lstat,
        missing.size,
        missing.read_bytes,
        missing.open,
        missing.list,
        missing.digest,
        missing.delete,
        missing.disk_free,
        missing.temp_file,
        lambda: missing.chmod(0o600),
        lambda: missing.rename(folder / "other"),
        lambda: (missing / "below").write_bytes(b""),
        lambda: (missing / "below").open("wb"),
        lambda: (missing / "below").touch(),
        lambda: missing.tar_to(io.BytesIO()),
    ]
    for ask in asked:
        with pytest.raises(FileNotFoundError) as caught:
            ask()
        assert caught.value.errno == errno.ENOENT
        assert str(missing) in str(caught.value)


def test_a_listing_has_what_matches_and_enters_no_link(folder: FilePath, tmp_path: Path) -> None:
    for name in ("b/x.xml", "b/c/y.xml", "a.xml", "z.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("b")
    assert folder.list() == [folder / "a.xml", folder / "b", folder / "link", folder / "z.txt"]
    assert folder.list("**/*.xml") == [folder / "a.xml", folder / "b/x.xml", folder / "b/c/y.xml"]
    found = folder.scan(["**/*.xml", "link"], ["b/c/**"])
    assert {str(path.path.relative_to(folder.path)): (each.kind, each.size) for path, each in found.items()} == {
        "a.xml": ("file", 5),
        "b/x.xml": ("file", 7),
        "link": ("link", 1),
    }


def test_a_listing_takes_names_that_are_no_text(folder: FilePath, tmp_path: Path) -> None:
    for name in (b"new\nline", b"\xff\xfe", "ünï".encode()):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    assert {path.read_bytes() for path in folder.list()} == {b"new\nline", b"\xff\xfe", "ünï".encode()}


def test_a_pattern_that_leads_out_is_refused(folder: FilePath) -> None:
    with pytest.raises(ValueError, match="folder"):
        folder.list("../*")


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_digest_is_made_of_all_bytes(folder: FilePath, tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "file").write_bytes(BIG)
    assert (folder / "file").digest(algorithm) == hashlib.new(algorithm, BIG).hexdigest()


def test_the_free_space_is_told(folder: FilePath, tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert 0 < folder.disk_free() <= found.f_blocks * found.f_frsize


# Changing


def test_folders_are_made_and_deleted(folder: FilePath, tmp_path: Path) -> None:
    (folder / "a/b/c").mkdirs()
    (folder / "a/b/c").mkdirs()
    (tmp_path / "a" / "b" / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        (folder / "a").delete()
    (folder / "a/b/file").delete()
    (folder / "a/b/c").delete()
    assert names(tmp_path / "a" / "b") == []
    (folder / "a").delete_tree()
    (folder / "a").delete_tree()
    assert names(tmp_path) == []


def test_deleting_a_link_leaves_what_it_leads_to(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    for delete in ("delete", "delete_tree"):
        (folder / "link").symlink(folder / "kept")
        getattr(folder / "link", delete)()
        assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept" / "file").exists()


def test_a_file_is_renamed_over_another(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (folder / "a").rename(folder / "b")
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "a"


def test_permissions_links_and_times_are_set(folder: FilePath, tmp_path: Path) -> None:
    (folder / "file").touch()
    (folder / "file").touch(1234.5)
    (folder / "file").chmod(0o604)
    (folder / "link").symlink("file")
    found = (tmp_path / "file").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o604, 1234.5)
    assert str((tmp_path / "link").readlink()) == "file"


def test_temporary_files_and_folders_are_new_and_ours_alone(folder: FilePath, tmp_path: Path) -> None:
    made = [folder.temp_file("a", ".txt"), folder.temp_file("a", ".txt"), folder.temp_dir("d"), folder.temp_dir()]
    assert len({*made}) == 4
    assert {path.parent for path in made} == {folder}
    assert {(tmp_path / path.name).stat().st_mode & 0o777 for path in made} == {0o600, 0o700}
    assert made[0].name.startswith("a")
    assert made[0].name.endswith(".txt")
    with pytest.raises(ValueError, match="part of a name"):
        folder.temp_file("../a")


# Bytes


def test_texts_and_bytes_are_written_and_read(folder: FilePath, tmp_path: Path) -> None:
    (folder / "text").write_text("ünï\r\ncödé")
    (folder / "bytes").write_bytes(BIG)
    assert (tmp_path / "text").read_bytes() == "ünï\r\ncödé".encode()
    assert (folder / "text").read_text() == "ünï\r\ncödé"
    assert (folder / "text").read_text("ascii", "replace").startswith("\ufffd")
    assert (folder / "bytes").read_bytes() == BIG
    assert names(tmp_path) == ["bytes", "text"]


def test_a_big_file_is_not_read_in_one_piece(folder: FilePath, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(64 * 1024**2 + 1)
    with pytest.raises(OSError, match="use open") as caught:
        (folder / "file").read_bytes()
    assert caught.value.errno == errno.EFBIG


def test_writing_keeps_permissions_and_replaces_a_link(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    (folder / "file").write_text("new")
    (folder / "link").write_text("its own")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert ((tmp_path / "file").read_text(), (tmp_path / "link").read_text()) == ("new", "its own")


def test_a_folder_or_pipe_is_not_replaced_by_a_file(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(OSError, match="not a regular file"):
            (folder / name).write_text("x")
    assert names(tmp_path) == ["folder", "pipe"]


def test_streams_of_any_size_go_both_ways(folder: FilePath, tmp_path: Path) -> None:
    with (folder / "file").open("wb") as stream:
        for start in range(0, len(BIG), 100_000):
            stream.write(BIG[start : start + 100_000])
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_bytes() == BIG
    with (folder / "file").open() as stream:
        assert stream.read(10) == BIG[:10]
        assert stream.read() == BIG[10:]
        assert stream.read() == b""


def test_a_stream_reads_lines(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one\ntwo\nthree")
    with (folder / "file").open("rb") as stream:
        assert list(stream) == [b"one\n", b"two\n", b"three"]


def test_a_stream_may_be_left_early(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BIG * 4)
    with (folder / "file").open() as stream:
        assert stream.read(1) == BIG[:1]
    assert (folder / "file").exists()  # the channel goes on


def test_a_block_that_fails_leaves_the_old_file(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def fail() -> None:
        with (folder / "file").open("wb") as stream:
            stream.write(BIG)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_stream_that_is_forgotten_leaves_the_old_file(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    stream = (folder / "file").open("wb")
    stream.write(b"part")
    del stream
    wait_until(lambda: names(tmp_path) == ["file"], what="the end of the part")
    assert (tmp_path / "file").read_text() == "old"


def test_an_error_of_the_disk_reaches_who_writes(folder: FilePath) -> None:
    def write() -> None:
        with (FilePath(folder.channel, "/proc") / "file").open("wb") as stream:
            for _ in range(100):
                stream.write(BIG)

    with pytest.raises(OSError, match="proc") as caught:
        write()
    assert caught.value.errno in (errno.ENOENT, errno.EACCES, errno.EPERM)


def test_other_modes_of_a_stream_are_refused(folder: FilePath) -> None:
    with pytest.raises(ValueError, match="'rb' or 'wb'"):
        folder.open("a")  # type: ignore[arg-type]


# Copying


def test_a_file_is_copied_with_its_permissions_in_each_direction(folder: FilePath, tmp_path: Path) -> None:
    here = other_side(folder, tmp_path)
    (tmp_path / "file").write_bytes(BIG)
    (tmp_path / "file").chmod(0o750)
    (folder / "file").copy_to(here / "fetched")
    (here / "fetched").copy_to(folder / "brought")
    (folder / "brought").copy_to(folder / "beside")
    for name in ("here/fetched", "brought", "beside"):
        assert (tmp_path / name).read_bytes() == BIG
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o750
    with pytest.raises(FileNotFoundError):
        (folder / "none").copy_to(here / "fetched")
    assert (tmp_path / "here" / "fetched").read_bytes() == BIG


def test_a_copy_tells_of_its_progress(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BIG)
    counts: list[int] = []
    with LocalChannel() as node:
        FilePath(node, str(tmp_path / "file")).copy_to(FilePath(None, str(tmp_path / "copy")), counts.append)
    assert sum(counts) == len(BIG)
    assert len(counts) > 1


def make_tree(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "big").write_bytes(BIG)
    (folder / "a" / "skip.log").write_text("x")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("a/b/big")
    (folder / "out").symlink_to("/etc/passwd")


def test_a_tree_is_copied_in_each_direction(folder: FilePath, tmp_path: Path) -> None:
    here = other_side(folder, tmp_path)
    make_tree(tmp_path / "source")
    first = (folder / "source").copy_tree_to(here / "fetched", excludes=["**/*.log"])
    second = (here / "fetched").copy_tree_to(folder / "brought")
    third = (folder / "brought").copy_tree_to(folder / "beside")
    assert (first.entries, first.size, first.left_out) == (5, len(BIG), ("out",))
    assert (second.entries, third.entries, third.left_out) == (5, 5, ())
    for name in ("here/fetched", "brought", "beside"):
        assert sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*")) == [
            "a",
            "a/b",
            "a/b/big",
            "empty",
            "link",
        ]
        assert (tmp_path / name / "a" / "b" / "big").read_bytes() == BIG
        assert str((tmp_path / name / "link").readlink()) == "a/b/big"


def test_a_text_is_no_target_since_it_does_not_say_where(folder: FilePath, tmp_path: Path) -> None:
    for ask in (folder.copy_to, folder.copy_tree_to, folder.rename):
        with pytest.raises(TypeError, match=r"the target is a FilePath.*FilePath\(None, '/tmp/x'\) is here"):
            cast(Any, ask)("/tmp/x")


def test_a_tree_is_not_copied_into_itself(folder: FilePath, tmp_path: Path) -> None:
    make_tree(tmp_path / "source")
    with pytest.raises(OSError, match="into itself"):
        (folder / "source").copy_tree_to(folder / "source" / "a" / "new")


def test_a_target_that_cannot_be_filled_is_the_error_of_the_copy(folder: FilePath, tmp_path: Path) -> None:
    here = other_side(folder, tmp_path)
    make_tree(tmp_path / "source")
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileExistsError, match="taken"):
        (folder / "source").copy_tree_to(here.parent / "taken")
    with pytest.raises(FileExistsError, match="taken"):
        FilePath(None, str(tmp_path / "source")).copy_tree_to(folder / "taken")
    with pytest.raises(FileNotFoundError, match="none"):
        (folder / "none").copy_tree_to(here / "x")


def test_archives_are_written_and_read(folder: FilePath, tmp_path: Path) -> None:
    make_tree(tmp_path / "source")
    stream = io.BytesIO()
    assert (folder / "source").tar_to(stream, ["a/**"]).entries == 4
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as archive:
        assert archive.getnames() == ["a", "a/b", "a/skip.log", "a/b/big"]
    packed = io.BytesIO(gzip.compress(stream.getvalue()))
    with gzip.open(packed) as unpacked:
        assert (folder / "target").untar_from(unpacked).size == len(BIG) + 1  # type: ignore[arg-type]
    assert (tmp_path / "target" / "a" / "b" / "big").read_bytes() == BIG


def test_an_archive_of_a_stranger_cannot_leave_the_folder(folder: FilePath, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(PermissionError, match=r"\.\./outside"):
        (folder / "target").untar_from(io.BytesIO(stream.getvalue()))
    entry = tarfile.TarInfo("big")
    entry.size = len(BIG)
    with pytest.raises(OSError, match="more than 100 bytes"):
        (folder / "target").untar_from(io.BytesIO(entry.tobuf() + BIG), most_bytes=100)
    assert not (tmp_path / "outside").exists()


# Code, and travelling


def test_code_runs_where_the_file_is(folder: FilePath, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)
    captured = 5
    assert folder.act(node_code.count_bytes, "*", plus=1) == len(BIG) + 1
    assert folder.act(lambda path: path.name + str(captured)) == tmp_path.name + "5"
    with pytest.raises(ZeroDivisionError):
        folder.act(lambda path: 1 // 0)


def test_what_code_gets_with_its_path_is_what_a_call_would_get(folder: FilePath, tmp_path: Path) -> None:
    """Factories make their objects; a keyword may have any name."""
    assert folder.act(lambda path, made, timeout: [path.name, made, timeout], lazy(int, "7"), timeout=5) == [
        *(tmp_path.name, 7, 5)
    ]


def test_what_cannot_be_sent_with_code_is_named_as_the_caller_knows_it(tmp_path: Path) -> None:
    """D106"""
    lock = threading.Lock()
    reason = "cannot pickle '_thread.lock' object"
    with LocalChannel() as node:
        act = FilePath(node, str(tmp_path)).act
        for arguments, keywords, way in (
            ((lambda path: lock,), {}, "closure variable 'lock'"),
            ((node_code.count_bytes, [lock]), {}, r"argument 1 → \[0\]"),
            ((node_code.count_bytes, "*"), {"plus": lock}, "argument 'plus'"),
        ):
            with pytest.raises(NotSerializable, match=rf"^{way}: {reason}"):
                act(*arguments, **keywords)


def test_a_path_is_a_local_one_on_its_node_and_a_path_of_the_node_when_it_comes_back(
    folder: FilePath, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert folder.act(node_code.found_below, folder / "file") == (True, folder / "new", folder / "file")


def test_a_node_cannot_use_the_files_of_the_controller(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with LocalChannel() as node, pytest.raises(RoleDenied, match="may not be called"):
        FilePath(node, str(tmp_path)).act(node_code.read, FilePath(None, str(tmp_path / "secret")))


def test_a_path_of_the_controller_comes_home_if_it_was_sent(tmp_path: Path) -> None:
    ours = FilePath(None, str(tmp_path / "ours"))
    with LocalChannel() as node:
        assert FilePath(node, str(tmp_path)).act(lambda folder, path: path, ours) == ours


def test_a_node_cannot_point_at_files_of_the_controller_that_it_never_got(tmp_path: Path) -> None:
    with LocalChannel() as node, pytest.raises(ResultRejected, match="never got: '/etc/passwd'"):
        FilePath(node, str(tmp_path)).act(node_code.forge, FilePath(None, str(tmp_path / "ours")))


def test_a_path_of_one_node_cannot_travel_to_another() -> None:
    with LocalChannel("one") as one, LocalChannel("two") as two, pytest.raises((WrongChannel, NotSerializable)):
        FilePath(one, "/").act(lambda folder, path: 1, FilePath(two, "/"))


def test_a_rename_to_another_node_is_refused(tmp_path: Path) -> None:
    with LocalChannel() as node, pytest.raises(ValueError, match="use copy_to"):
        FilePath(node, str(tmp_path / "a")).rename(FilePath(None, str(tmp_path / "b")))


def test_many_files_are_copied_at_once(folder: FilePath, tmp_path: Path) -> None:
    here = other_side(folder, tmp_path)
    (tmp_path / "file").write_bytes(BIG)
    errors: list[BaseException] = []

    def copy(number: int) -> None:
        try:
            (folder / "file").copy_to(here / f"{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=copy, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert {(tmp_path / "here" / str(number)).read_bytes() == BIG for number in range(20)} == {True}
