"""A console in parts: some lines, where they stand, and when they were written. However long it is, only a part of it
is in memory, and a line is found by counting the ones before it.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from msgspec import Struct

PART_BYTES = 128 * 1024
PART_LINES = 2000
BEFORE_LINE = 16 * 1024  # bytes that are shown above a line that was asked for
CHUNK = 256 * 1024  # read at once, where all is read: other threads wait for one
MATCHES = 1000
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_TIME = re.compile(rb"(\d+) (\d+)\n")


class Part(Struct, frozen=True, kw_only=True):
    """Lines of a console, without their ends."""

    start: int  # byte where it begins
    end: int  # byte after it
    line: int | None  # number of the first line, from 1; None: the reader knows
    lines: Sequence[str]
    times: Sequence[int | None]  # of each line: milliseconds, Unix time
    is_open: bool  # the last line goes on
    size: int  # bytes of the console now


EMPTY = Part(start=0, end=0, line=1, lines=(), times=(), is_open=False, size=0)


class Match(Struct, frozen=True):
    line: int
    start: int  # byte where the line begins


def tail(file: BinaryIO, times: BinaryIO | None) -> Part:
    """The last lines."""
    return before(file, times, _size(file), counted=True)


def before(file: BinaryIO, times: BinaryIO | None, end: int, *, counted: bool = False) -> Part:
    """The lines that end at a byte. `counted`: with the number of the first one."""
    size = _size(file)
    end = min(end, size)
    start = max(0, end - PART_BYTES)
    data = _read(file, start, end)
    cut = _last_lines(data, PART_LINES, is_whole=start == 0)
    start, data = start + cut, data[cut:]
    line = 1 + _lines_before(file, start) if counted else None
    return _part(data, start, size, line, times)


def after(file: BinaryIO, times: BinaryIO | None, start: int) -> Part:
    """What follows a byte: whole lines, but for the last one of the console."""
    size = _size(file)
    start = min(start, size)
    return _part(_cut(_read(file, start, min(size, start + PART_BYTES)), start, size), start, size, None, times)


def around(file: BinaryIO, times: BinaryIO | None, line: int) -> Part:
    """The line of this number with some before it and more after it; the last lines if there is none."""
    place = _place_of(file, line)
    if place is None:
        return tail(file, times)
    start = max(0, place - BEFORE_LINE)
    above = _read(file, start, place)
    cut = _last_lines(above, PART_LINES // 2, is_whole=start == 0)
    start, above = start + cut, above[cut:]
    size = _size(file)
    data = _cut(_read(file, start, min(size, start + PART_BYTES)), start, size)
    return _part(data, start, size, line - above.count(b"\n"), times)


def search(file: BinaryIO, words: str) -> tuple[Sequence[Match], bool]:
    """Lines with these words, colours left aside; capitals count as small letters (ASCII). True: there are more."""
    sought = words.encode(errors="replace").lower()
    found: list[Match] = []
    start, line = 0, 1
    for chunk in _chunks(file):
        if sought in _plain(chunk):  # most have nothing to look at closely
            place = start
            for number, text in enumerate(chunk.split(b"\n"), line):
                if sought in _plain(text):
                    if len(found) == MATCHES:
                        return found, True
                    found.append(Match(number, place))
                place += len(text) + 1
        start += len(chunk)
        line += chunk.count(b"\n")
    return found, False


def _last_lines(data: bytes, most: int, *, is_whole: bool) -> int:
    """Where the last lines begin. `is_whole`: so does the first line; else it may be the rest of one."""
    place = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(most):
        place = data.rfind(b"\n", 0, place)
        if place < 0:
            break
    else:
        return place + 1
    return 0 if is_whole else data.find(b"\n", 0, len(data) - 1) + 1  # one line only: the rest of it


def _plain(text: bytes) -> bytes:
    return (_ESCAPE.sub(b"", text) if b"\x1b" in text else text).lower()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """All of it, in pieces of whole lines."""
    file.seek(0)
    rest = b""
    while more := file.read(CHUNK):
        whole, newline, rest_of_more = more.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = rest_of_more
        else:
            rest += more
    if rest:
        yield rest


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(max(0, end - start))


def _lines_before(file: BinaryIO, end: int) -> int:
    file.seek(0)
    count, left = 0, end
    while left and (chunk := file.read(min(CHUNK, left))):
        count += chunk.count(b"\n")
        left -= len(chunk)
    return count


def _place_of(file: BinaryIO, line: int) -> int | None:
    """The byte where a line begins."""
    file.seek(0)
    start, missing = 0, line - 1
    while chunk := file.read(CHUNK):
        count = chunk.count(b"\n")
        if count >= missing:
            place = 0
            for _ in range(missing):
                place = chunk.index(b"\n", place) + 1
            return start + place if start + place < _size(file) else None
        missing -= count
        start += len(chunk)
    return None


def _cut(data: bytes, start: int, size: int) -> bytes:
    """`data` up to the end of a line, if more follows."""
    if data.count(b"\n") > PART_LINES:
        place = 0
        for _ in range(PART_LINES):
            place = data.index(b"\n", place) + 1
        return data[:place]
    if start + len(data) < size and (newline := data.rfind(b"\n")) >= 0:
        return data[: newline + 1]
    return data


def _letters(data: bytes) -> bytes:
    """`data` without a letter at the end that is not written yet."""
    for missing in range(1, min(4, len(data) + 1)):  # a letter takes up to four bytes
        byte = data[-missing]
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-missing] if missing < wanted else data
        if byte < 0x80:
            break
    return data


def _part(data: bytes, start: int, size: int, line: int | None, times: BinaryIO | None) -> Part:
    if start + len(data) == size:
        data = _letters(data)
    pieces = data.split(b"\n")
    is_open = pieces[-1] != b""
    if not is_open:
        pieces.pop()
    written = {} if times is None else _times(times, start, start + len(data))
    found, place = [], start
    for piece in pieces:
        found.append(written.get(place))
        place += len(piece) + 1
    return Part(
        start=start,
        end=start + len(data),
        line=line,
        lines=[piece.decode(errors="replace") for piece in pieces],
        times=found,
        is_open=is_open,
        size=size,
    )


def _times(file: BinaryIO, start: int, end: int) -> Mapping[int, int]:
    """Byte where a line begins -> when it was written, for lines from `start` on, before `end`.

    `OFFSET MILLISECONDS` in each line of the file, in order: bisected by byte.
    """
    low, high = 0, _size(file)
    while high - low > 4096:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline(100)  # the rest of one that began before
        entry = _TIME.match(file.readline(100))
        if entry is not None and int(entry[1]) < start:
            low = middle
        else:
            high = middle
    file.seek(low)
    found: dict[int, int] = {}
    if low:
        file.readline(100)
    while (entry := _TIME.match(file.readline(100))) is not None and int(entry[1]) < end:
        if int(entry[1]) >= start:
            found[int(entry[1])] = int(entry[2])
    return found
