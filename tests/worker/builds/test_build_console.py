"""The console file of a build: what is in it, in which form, and what is never in it."""

import base64
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zuul_launcher.worker.builds.console import Console
from zuul_launcher.worker.builds.limits import Limits
from zuul_launcher.worker.builds.mask import MASK, Masker, masked
from zuul_launcher.worker.places import BuildFolder

SECRET = "s3cr3t/pass+word"
PLAIN = Limits()


@contextmanager
def console(
    folder: Path, clock: Callable[[], float] = lambda: 1.5, limits: Limits = PLAIN
) -> Iterator[tuple[Console, Callable[[], str]]]:
    place = BuildFolder(folder / "b")
    made = Console(place, limits, clock)
    yield made, lambda: place.console.read_bytes().decode()
    made.close()


def test_output_is_written_as_it_comes(tmp_path: Path) -> None:
    """D90."""
    with console(tmp_path) as (out, text):
        out.write(b"half a li")
        assert text() == "half a li"
        out.write(b"ne\n")
        assert text() == "half a line\n"


def test_what_is_no_utf_8_is_replaced_and_characters_may_come_in_parts(tmp_path: Path) -> None:
    with console(tmp_path) as (out, text):
        for byte in "ä€😀".encode():
            out.write(bytes([byte]))
        out.write(b"\xff \xc3")
        out.flush()
        assert text() == "ä€😀\ufffd \ufffd"


def test_the_time_of_each_line_stands_beside(tmp_path: Path) -> None:
    times = iter([1.0, 3.5])
    with console(tmp_path, clock=lambda: next(times)) as (out, text):
        out.write(b"a\nb")
        out.write(b"b\r")
        out.write(b"b\nc\n")
        lines = (tmp_path / "b" / "console.times").read_text().splitlines()
        assert lines == ["0 1000", "2 1000", "7 3500"]
        assert text() == "a\nbb\rb\nc\n"


def test_a_note_is_on_a_line_of_its_own(tmp_path: Path) -> None:
    with console(tmp_path) as (out, text):
        out.write(b"no end")
        out.note("[note]")
        out.write(b"more\n")
        assert text() == "no end\n[note]\nmore\n"
        assert (tmp_path / "b" / "console.times").read_text() == "0 1500\n7 1500\n14 1500\n"


def test_long_lines_are_split_between_characters(tmp_path: Path) -> None:
    with console(tmp_path, limits=Limits(line_bytes=8)) as (out, text):
        out.write(b"12345678\n123456")
        out.write("7ä9".encode())
        out.write(b"\n" + b"x" * 20)
        assert text() == "12345678\n1234567\nä9\nxxxxxxxx\nxxxxxxxx\nxxxx"
        assert len((tmp_path / "b" / "console.times").read_text().splitlines()) == 6


@given(st.lists(st.text(alphabet="aä\n", max_size=40), max_size=6))
def test_no_line_is_longer_than_the_limit_and_nothing_is_lost(parts: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, console(Path(folder), limits=Limits(line_bytes=5)) as (out, text):
        for part in parts:
            out.write(part.encode())
        found = text()
        assert all(len(line.encode()) <= 5 for line in found.split("\n"))
        assert found.replace("\n", "") == "".join(parts).replace("\n", "")
        starts = [int(line.split()[0]) for line in (Path(folder) / "b" / "console.times").read_text().splitlines()]
        data = found.encode()
        lines = [0, *(at + 1 for at in range(len(data)) if data[at : at + 1] == b"\n")]
        assert starts == [at for at in lines if at < len(data)]


def test_beyond_the_limit_a_mark_says_so_and_we_may_still_speak(tmp_path: Path) -> None:
    with console(tmp_path, limits=Limits(console_bytes=10)) as (out, text):
        out.write(b"1234567")
        out.write("8ä0".encode() + b"more")
        assert out.write(b"even more") == 9
        out.note("Finished: SUCCESS")
        expected = "12345678ä\n[truncated: the console is longer than 10 bytes]\nFinished: SUCCESS\n"
        assert text() == expected


def test_who_follows_sees_all_of_it_while_it_grows_and_then_ends(tmp_path: Path) -> None:
    seen: list[bytes] = []
    arrived = threading.Event()

    def follow() -> None:
        for chunk in out.follow():
            seen.append(chunk)
            arrived.set()

    with console(tmp_path) as (out, _):
        out.write(b"before\n")
        reader = threading.Thread(target=follow)
        reader.start()
        assert arrived.wait(60)
        out.write(b"while\n")
    reader.join(60)
    assert b"".join(seen) == b"before\nwhile\n"


def test_after_its_end_who_writes_is_told_and_notes_are_dropped(tmp_path: Path) -> None:
    with console(tmp_path) as (out, text):
        out.write(b"x\n")
    out.note("late")
    with pytest.raises(ValueError, match="closed"):
        out.write(b"late")
    assert text() == "x\n"


def test_a_full_disk_ends_no_step(tmp_path: Path) -> None:
    with console(tmp_path) as (out, _):
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, out._log)
        os.close(full)
        assert out.write(b"lost\n") == 5
        assert out.write(b"lost\n") == 5


def test_secrets_are_masked_plain_quoted_and_in_base64() -> None:
    """D91."""
    masker = Masker([SECRET, "it's"])
    shown = [
        SECRET.encode(),
        base64.b64encode(SECRET.encode()),
        base64.urlsafe_b64encode(SECRET.encode()),
        base64.b64encode(f"user:{SECRET}".encode()),
        base64.b64encode(f"u:{SECRET}!".encode()),
        base64.b64encode(f"us:{SECRET}!".encode()),
        b"it'\\''s",
    ]
    for form in shown:
        found = masker.text(b"<" + form + b">")
        assert MASK in found
        assert form not in found
        assert form[6:-6] not in found or len(form) < 14


def test_each_line_of_a_secret_is_masked() -> None:
    assert Masker(["-----BEGIN-----\nMIIabc\nxy\n"]).text(b"a MIIabc b xy") == b"a **** b xy"


@given(st.integers(), st.lists(st.sampled_from(["a", "s3c", "s3cret", "abab", "ab", "\n", "b"]), max_size=30))
def test_no_secret_gets_through_whatever_the_chunks_are(seed: int, words: list[str]) -> None:
    secrets = ["s3cret", "abab", "s3"]
    data, chance = "".join(words).encode(), random.Random(seed)
    masker = Masker(secrets)
    shown = b""
    while data:
        size = chance.randint(1, 4)
        shown += masker.add(data[:size])
        data = data[size:]
    shown += masker.end()
    assert shown == Masker(secrets).text("".join(words).encode())
    assert not any(secret.encode() in shown for secret in secrets)


def test_what_looks_like_the_beginning_of_a_secret_is_shown_when_it_is_none(tmp_path: Path) -> None:
    with console(tmp_path) as (out, text):
        out.hide(["secret"])
        out.write(b"a sec")
        assert text() == "a "
        out.write(b"ond")  # codespell:ignore ond
        assert text() == "a second"
        out.write(b" secre")
        out.flush()
        assert text() == "a second secre"


def test_plain_data_is_masked_in_all_its_texts() -> None:
    """D91."""
    found = masked({"a": [f"x{SECRET}", 7, None], SECRET: {"b": SECRET}}, [SECRET])
    assert found == {"a": ["x****", 7, None], "****": {"b": "****"}}
