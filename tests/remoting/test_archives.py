"""Archives: what travels in them, and what an archive of a stranger cannot do."""

import errno
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from zuul_launcher.remoting import globs, tarunpack
from zuul_launcher.remoting.tarpack import link_stays_inside, pack


def packed(folder: Path, *patterns: str) -> tuple[bytes, tuple[int, int, list[str]]]:
    stream = io.BytesIO()
    answer = pack(str(folder), stream, globs.select(patterns or ["**"]))
    return stream.getvalue(), answer


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> bytes:
    found = tarfile.TarInfo(name)
    found.type, found.size = kind, len(data)
    for field, value in fields.items():
        setattr(found, field, value)
    return found.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def unpack(folder: Path, *entries: bytes, limits: tarunpack.Limits | None = None, end: bytes = bytes(1024)) -> None:
    tarunpack.unpack(str(folder), io.BytesIO(b"".join(entries) + end), limits or tarunpack.Limits())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def tree(folder: Path) -> dict[str, Any]:
    """Every path with what is there: bytes, the target of a link, or nothing for a folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def make_tree(folder: Path) -> None:
    (folder / "a" / ("long" * 40)).mkdir(parents=True)
    (folder / "a" / ("long" * 40) / ("name" * 40)).write_bytes(b"x" * 70_000)
    (folder / "ünï cödé\n").write_bytes(b"")
    (folder / os.fsdecode(b"no text \xff")).write_bytes(b"1")
    (folder / "a" / "link").symlink_to("../ünï cödé\n")
    (folder / "a" / "script").write_text("#!/bin/sh\n")
    (folder / "a" / "script").chmod(0o750)
    (folder / "locked").mkdir()
    (folder / "locked" / "file").write_text("inside")
    (folder / "locked").chmod(0o555)


def test_a_tree_comes_out_as_it_went_in(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    make_tree(source)
    data, (entries, size, left_out) = packed(source)
    assert tarunpack.unpack(str(target), io.BytesIO(data)) == (entries, size) == (9, 70_017)
    assert left_out == []
    assert tree(target) == tree(source)
    assert (target / "a" / "script").stat().st_mode & 0o777 == 0o750
    assert (target / "locked").stat().st_mode & 0o777 == 0o555
    assert (target / "a" / "script").stat().st_mtime == int((source / "a" / "script").stat().st_mtime)


def test_other_programs_read_what_is_packed(tmp_path: Path) -> None:
    make_tree(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path)[0])) as archive:
        names = archive.getnames()
    assert len(names) == 9
    assert f"a/{'long' * 40}/{'name' * 40}" in names


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_other_programs_pack_is_read(tmp_path: Path, target: Path, form: int) -> None:
    source = tmp_path / "source"
    (source / ("deep" * 20) / ("er" * 30)).mkdir(parents=True)
    (source / ("deep" * 20) / ("er" * 30) / "file").write_bytes(b"1" * 1000)
    (source / "a file").write_bytes(b"2")
    os.link(source / "a file", source / "second name")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        archive.add(source, ".")
    tarunpack.unpack(str(target), io.BytesIO(stream.getvalue()))
    assert tree(target) == tree(source)


def test_links_out_of_the_tree_devices_and_sockets_are_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "out").symlink_to("../../etc")
    (tmp_path / "a" / "absolute").symlink_to("/etc")
    (tmp_path / "a" / "inside").symlink_to("../b")
    os.mkfifo(tmp_path / "pipe")
    assert packed(tmp_path)[1] == (2, 0, ["pipe", "a/absolute", "a/out"])


def test_a_file_that_shrinks_while_it_is_packed_is_an_error(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(3_000_000))

    class Shrinking(io.BytesIO):
        def write(self, data: Any) -> int:
            if len(data) > 512:
                os.truncate(big, 300_000)
            return super().write(data)

    with pytest.raises(OSError, match="became shorter"):
        pack(str(tmp_path), Shrinking(), globs.select(["**"]))


@pytest.mark.parametrize(
    ("path", "target", "is_inside"),
    [
        ("l", "a", True),
        ("l", "./a//b", True),
        ("a/l", "../b", True),
        ("a/b/l", "../../c", True),
        ("l", "../b", False),
        ("a/l", "../../b", False),
        ("a/l", "/b", False),
        ("a/l", "x/../../../b", False),
        ("l", "d/..", False),
        ("l", "", False),
    ],
)
def test_a_link_is_taken_only_if_it_stays_inside_whatever_the_others_are(
    path: str, target: str, is_inside: bool
) -> None:
    assert link_stays_inside(path, target) is is_inside


HOSTILE = {
    "a path with ..": [entry("../outside", data=b"x")],
    "a path with .. in the middle": [entry("a/../../outside", data=b"x")],
    "an absolute path": [entry("/tmp/outside", data=b"x")],
    "a link out": [entry("l", tarfile.SYMTYPE, linkname="../outside")],
    "an absolute link": [entry("l", tarfile.SYMTYPE, linkname="/etc/passwd")],
    "a link that climbs through another": [
        entry("d", tarfile.DIRTYPE),
        entry("d/l", tarfile.SYMTYPE, linkname="."),
        entry("m", tarfile.SYMTYPE, linkname="d/l/../../outside"),
    ],
    "a hard link out": [entry("l", tarfile.LNKTYPE, linkname="../outside")],
    "a hard link to an absolute path": [entry("l", tarfile.LNKTYPE, linkname="/etc/passwd")],
    "a hard link to a link": [
        entry("d/l", tarfile.SYMTYPE, linkname="../x"),
        entry("m", tarfile.LNKTYPE, linkname="d/l"),
    ],
    "a device": [entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a pipe": [entry("pipe", tarfile.FIFOTYPE)],
    "a sparse file": [entry("sparse", tarfile.GNUTYPE_SPARSE)],
    "the folder as a file": [entry(".", data=b"x")],
    "a name with a hidden end": [entry("x", tarfile.XHDTYPE, b"20 path=a\0/../../b\n"), entry("x", data=b"x")],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_cannot_leave_its_folder(tmp_path: Path, target: Path, what: str) -> None:
    with pytest.raises(OSError, match=r".+") as caught:
        unpack(target, *HOSTILE[what])
    assert caught.value.errno in (errno.EPERM, errno.EINVAL)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_nothing_is_written_through_a_link_that_was_there_or_came_before(tmp_path: Path, target: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "there").symlink_to(outside)
    (tmp_path / "victim").write_text("mine")
    (target / "file").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="there"):
        unpack(target, entry("there/file", data=b"x"))
    with pytest.raises(OSError, match="came"):
        unpack(target, entry("d", tarfile.DIRTYPE), entry("came", tarfile.SYMTYPE, linkname="d"), entry("came/x"))
    unpack(target, entry("file", data=b"new"))
    assert list(outside.iterdir()) == []
    assert (tmp_path / "victim").read_text() == "mine"
    assert (target / "file").read_text() == "new"
    assert not (target / "file").is_symlink()


def test_unpacked_files_have_no_special_bits(target: Path) -> None:
    unpack(target, entry("f", data=b"x", mode=0o6755), entry("d", tarfile.DIRTYPE, mode=0o7755))
    assert stat.S_IMODE((target / "f").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "d").stat().st_mode) == 0o755


def test_limits_of_bytes_entries_and_headers_end_the_unpacking(target: Path) -> None:
    with pytest.raises(OSError, match="more than 10 bytes") as caught:
        unpack(target, entry("a", data=b"123456"), entry("b", data=b"123456"), limits=tarunpack.Limits(size=10))
    assert caught.value.errno == errno.EFBIG
    with pytest.raises(OSError, match="more than 1 entries"):
        unpack(target, entry("a"), entry("b"), limits=tarunpack.Limits(entries=1))
    with pytest.raises(OSError, match="extended header of 1000000 bytes"):
        unpack(target, entry("a", tarfile.GNUTYPE_LONGNAME, bytes(1_000_000)))
    with pytest.raises(OSError, match="256 folders"):
        unpack(target, entry("a", tarfile.GNUTYPE_LONGNAME, b"d/" * 2000), entry("x"))


BROKEN = {
    "no end": (entry("a", data=b"x"), b""),
    "half a header": (entry("a")[:300], b""),
    "half a file": (entry("a", data=b"x" * 900)[:1000], b""),
    "a wrong checksum": (entry("a").replace(b"a", b"b", 1), bytes(1024)),
    "noise": (os.urandom(2048), bytes(1024)),
    "an empty block in the middle": (bytes(512) + entry("a"), bytes(1024)),
    "a pax record without length": (entry("x", tarfile.XHDTYPE, b"path=a\n") + entry("a"), bytes(1024)),
    "a pax record that is too long": (entry("x", tarfile.XHDTYPE, b"999999 path=a\n") + entry("a"), bytes(1024)),
    "a pax record of nothing": (entry("x", tarfile.XHDTYPE, b"0 path=a\n") + entry("a"), bytes(1024)),
    "a size that is none": (entry("x", tarfile.XHDTYPE, b"11 size=-1\n") + entry("a"), bytes(1024)),
    "a sparse file of pax": (entry("x", tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n") + entry("a"), bytes(1024)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_archive_is_an_error(target: Path, what: str) -> None:
    data, end = BROKEN[what]
    with pytest.raises(OSError, match=r".+") as caught:
        unpack(target, data, end=end)
    assert caught.value.errno == errno.EINVAL


def test_what_follows_the_end_is_read_so_that_the_writer_can_finish(target: Path) -> None:
    stream = io.BytesIO(entry("a") + bytes(100_000))
    tarunpack.unpack(str(target), stream)
    assert stream.read() == b""


def test_an_entry_replaces_a_file_but_no_folder(target: Path) -> None:
    (target / "file").write_text("old")
    (target / "folder").mkdir()
    unpack(target, entry("file", data=b"new"), entry("folder", tarfile.DIRTYPE))
    assert (target / "file").read_text() == "new"
    with pytest.raises(IsADirectoryError):
        unpack(target, entry("folder", data=b"x"))
