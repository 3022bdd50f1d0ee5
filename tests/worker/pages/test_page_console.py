"""Parts of a console, read from the files that a build writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from zuul_launcher.worker.pages import console
from zuul_launcher.worker.pages.console import Match, Part

LONG = b"".join(b"line %06d\n" % number for number in range(1, 50_001))  # 12 bytes each
WIDTH = 12


class Console:
    """A console on disk, with the times of its lines: line N was written at N seconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[BinaryIO] = []

    def holding(self, data: bytes) -> tuple[BinaryIO, BinaryIO]:
        (self.path / "console.log").write_bytes(data)
        place, times = 0, []
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            times.append(b"%d %d000\n" % (place, number))
            place += len(line)
        (self.path / "console.times").write_bytes(b"".join(times))
        self.opened += [(self.path / name).open("rb") for name in ("console.log", "console.times")]
        return self.opened[-2], self.opened[-1]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Console]:
    console = Console(tmp_path)
    yield console
    for file in console.opened:
        file.close()


def facts(part: Part) -> tuple[int, int, int | None, list[str], list[int | None], bool]:
    return part.start, part.end, part.line, list(part.lines), list(part.times), part.is_open


def test_a_short_console_is_one_part(written: Console) -> None:
    part = console.tail(*written.holding(b"one\n\ntwo\n"))
    assert facts(part) == (0, 9, 1, ["one", "", "two"], [1000, 2000, 3000], False)
    assert part.size == 9


def test_an_empty_console_has_no_lines(written: Console) -> None:
    file, times = written.holding(b"")
    for part in (console.tail(file, times), console.after(file, times, 7), console.around(file, times, 3)):
        assert facts(part) == (0, 0, part.line, [], [], False)


def test_a_line_that_goes_on_is_told(written: Console) -> None:
    file, times = written.holding(b"one\ntwo")
    assert facts(console.tail(file, times)) == (0, 7, 1, ["one", "two"], [1000, 2000], True)
    assert facts(console.after(file, times, 5)) == (5, 7, None, ["wo"], [None], True)


def test_a_letter_that_is_half_written_waits(written: Console) -> None:
    whole = "grün ✓ 😀".encode()
    file, times = written.holding(whole[:-1])
    part = console.tail(file, times)
    assert (part.lines, part.end) == (["grün ✓ "], len(whole) - 4)
    file, times = written.holding(whole)
    assert console.after(file, times, part.end).lines == ["😀"]


def test_bytes_that_are_no_text_are_shown_as_such(written: Console) -> None:
    assert console.tail(*written.holding(b"a\xff\xfeb\nc\xe4\n")).lines == ["a\ufffd\ufffdb", "c\ufffd"]


def test_the_end_of_a_long_console_is_some_whole_lines_with_their_numbers(written: Console) -> None:
    part = console.tail(*written.holding(LONG))
    assert part.line is not None
    assert len(part.lines) == console.PART_LINES
    assert (part.lines[0], part.lines[-1]) == (f"line {part.line:06}", "line 050000")
    assert part.start == (part.line - 1) * WIDTH
    assert part.times[0] == part.line * 1000
    assert part.end == part.size == len(LONG)


def test_parts_before_each_other_are_the_whole_console(written: Console) -> None:
    file, times = written.holding(LONG)
    part = console.tail(file, times)
    lines = list(part.lines)
    while part.start:
        part = console.before(file, times, part.start)
        lines[:0] = part.lines
        assert part.times == [1000 * (part.start // WIDTH + place) for place in range(1, len(part.lines) + 1)]
    assert lines == LONG.decode().splitlines()


def test_parts_after_each_other_are_the_whole_console(written: Console) -> None:
    file, times = written.holding(LONG + b"x" * 3 * console.PART_BYTES + b"\nlast")
    end, text = 0, ""
    while end < len(LONG) + 3 * console.PART_BYTES + 5:
        part = console.after(file, times, end)
        assert part.start == end < part.end
        end = part.end
        text += "\n".join(part.lines) + ("" if part.is_open else "\n")
    assert text == LONG.decode() + "x" * 3 * console.PART_BYTES + "\nlast"


def test_parts_before_each_other_take_a_line_that_is_too_long_in_pieces(written: Console) -> None:
    data = b"first\n" + b"x" * 2 * console.PART_BYTES + b"\nlast\n"
    file, times = written.holding(data)
    part = console.tail(file, times)
    while part.start:
        end = part.start
        part = console.before(file, times, end)
        assert part.start < part.end == end
    assert part.lines[0] == "first"


def test_many_empty_lines_are_a_part_of_limited_length(written: Console) -> None:
    file, times = written.holding(b"\n" * console.PART_BYTES)
    assert len(console.tail(file, times).lines) == console.PART_LINES
    assert len(console.after(file, times, 0).lines) == console.PART_LINES
    part = console.around(file, times, 50_000)
    assert part.line is not None
    assert part.line <= 50_000 < part.line + len(part.lines)


@pytest.mark.parametrize("line", [1, 2, 500, 2500, 25_000, 49_999, 50_000])
def test_a_line_is_found_with_what_is_around_it(written: Console, line: int) -> None:
    part = console.around(*written.holding(LONG), line)
    assert part.line is not None
    assert part.lines[line - part.line] == f"line {line:06}"
    assert part.times[line - part.line] == line * 1000
    assert part.start == (part.line - 1) * WIDTH


def test_a_line_that_is_not_there_shows_the_end(written: Console) -> None:
    part = console.around(*written.holding(LONG), 50_001)
    assert part.lines[-1] == "line 050000"


def test_a_console_without_times_is_shown_without(written: Console) -> None:
    file, _ = written.holding(b"one\ntwo\n")
    assert console.tail(file, None).times == [None, None]
    broken = written.path / "broken"
    broken.write_bytes(b"0 1000\nnonsense\n4 2000\n")
    with broken.open("rb") as times:
        assert console.tail(file, times).times == [1000, None]


def test_words_are_found_in_lines_colours_and_capitals_aside(written: Console) -> None:
    file, _ = written.holding(b"an error\nfine\n\x1b[31mER\x1b[0mROR here, error there\n\nlast eRRor")
    assert console.search(file, "Error") == ([Match(1, 0), Match(3, 14), Match(5, 48)], False)
    assert console.search(file, "[31m") == ([], False)
    assert console.search(file, "last") == ([Match(5, 48)], False)


def test_words_are_found_anywhere_in_a_long_console_up_to_a_limit(written: Console) -> None:
    file, _ = written.holding(LONG * 3)  # longer than what is read at once
    assert console.search(file, "line 049999") == (
        [Match(49_999 + 50_000 * lap, (49_998 + 50_000 * lap) * WIDTH) for lap in range(3)],
        False,
    )
    matches, more = console.search(file, "line")
    assert (len(matches), more) == (console.MATCHES, True)
