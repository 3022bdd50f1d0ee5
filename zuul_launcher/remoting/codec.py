"""Plain data as bytes, and back, without ever running code of the sender. Runs on the node too.

This is how values come from an agent. It is no pickle on purpose: even with an allow-list of classes a pickle can set
attributes of the classes it may name, and make the reader allocate any amount of memory. Here each value is one letter
and its content; classes come from the register of `@transferable` alone, and only their declared fields are set.
Values: None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, the datetime family (fixed
offsets), Decimal, UUID, paths (as pure paths), marked Enums and dataclasses, and what is Portable.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import pathlib
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from zuul_launcher.remoting.context import TRANSFERABLE
from zuul_launcher.remoting.errors import RemotingError, ResultNotSerializable, ResultRejected, VersionMismatch
from zuul_launcher.remoting.portable import KINDS, Portable, travel

MAX_DEPTH = 100
MAX_VALUES = 4_000_000
_LENGTH = struct.Struct("!I")
_SMALL = struct.Struct("!q")
_FLOAT = struct.Struct("!d")
_COMPLEX = struct.Struct("!dd")
_CONTAINERS: dict[type, bytes] = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z"}


class _Unencodable(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


def encode(value: Any) -> bytes:
    """ResultNotSerializable names the way to the value that is no plain data."""
    out: list[bytes] = []
    try:
        _write(value, out, 0)
    except _Unencodable as error:
        path = "".join(reversed(error.path))
        raise ResultNotSerializable(f"result{path}: {error}") from None
    return b"".join(out) if len(out) > 1 else out[0]


def _write(value: Any, out: list[bytes], depth: int) -> None:
    kind = type(value)
    if kind is str:
        data = value.encode("utf-8", "surrogatepass")
        out.append(b"s" + _LENGTH.pack(len(data)) + data)
    elif kind is int:
        if -(1 << 63) <= value < 1 << 63:
            out.append(b"i" + _SMALL.pack(value))
        else:
            data = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
            out.append(b"I" + _LENGTH.pack(len(data)) + data)
    elif value is None:
        out.append(b"N")
    elif kind is bool:
        out.append(b"T" if value else b"F")
    elif kind is bytes:
        out.append(b"b" + _LENGTH.pack(len(value)))
        out.append(value)
    elif kind is float:
        out.append(b"f" + _FLOAT.pack(value))
    elif depth >= MAX_DEPTH:
        raise _Unencodable(f"nested deeper than {MAX_DEPTH}")
    elif kind in _CONTAINERS:
        out.append(_CONTAINERS[kind] + _LENGTH.pack(len(value)))
        for index, item in enumerate(value):
            _write_at(item, out, depth, f"[{index}]")
    elif kind is dict:
        out.append(b"d" + _LENGTH.pack(len(value)))
        for key, item in value.items():
            _write_at(key, out, depth, f".key({key!r:.40})")
            _write_at(item, out, depth, f"[{key!r:.40}]")
    else:
        letter, content = _content(value)
        out.append(letter)
        for name, item in content:
            _write_at(item, out, depth, name)


def _write_at(value: Any, out: list[bytes], depth: int, place: str) -> None:
    try:
        _write(value, out, depth + 1)
    except _Unencodable as error:
        error.path.append(place)
        raise


def _content(value: Any) -> tuple[bytes, list[tuple[str, Any]]]:
    """The letter of an object and what it is made of, each with its place for an error text."""
    cls = type(value)
    name = f"{cls.__module__}:{cls.__qualname__}"
    if isinstance(value, Portable):
        if travel.channel is None:
            raise _Unencodable(f"{cls.__name__} travels over a channel only")
        return b"p", [("", value.kind), ("", value.depart(travel.channel))]
    if cls in _SIMPLE:
        letter, take_apart = _SIMPLE[cls]
        return letter, [("", part) for part in take_apart(value)]
    if isinstance(value, pathlib.PurePath):
        return b"P", [("", isinstance(value, pathlib.PureWindowsPath)), ("", str(value))]
    if name in TRANSFERABLE and isinstance(value, enum.Enum):
        # Members of a Flag may be combined: those have no name of their own.
        return b"E", [("", name), ("", value.value if isinstance(value, enum.Flag) else value.name)]
    if name in TRANSFERABLE and dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return b"D", [("", name), ("", names), *((f".{field}", getattr(value, field)) for field in names)]
    if cls.__name__ in ("generator", "coroutine", "async_generator"):
        raise _Unencodable(f"a {cls.__name__} is no result: use a pipe")
    hint = "mark it with @transferable" if dataclasses.is_dataclass(value) or isinstance(value, enum.Enum) else ""
    raise _Unencodable(f"{cls.__module__}.{cls.__qualname__} is no plain data{hint and f' ({hint})'}")


def _zone(value: datetime.tzinfo | None) -> datetime.timedelta | None:
    if value is None:
        return None
    if type(value) is not datetime.timezone:
        raise _Unencodable(f"a time zone of {type(value).__name__} is no plain data: use a fixed offset")
    return value.utcoffset(None)


_SIMPLE: dict[type, tuple[bytes, Callable[[Any], tuple[Any, ...]]]] = {
    complex: (b"c", lambda v: (v.real, v.imag)),
    Decimal: (b"M", lambda v: (str(v),)),
    uuid.UUID: (b"U", lambda v: (v.bytes,)),
    datetime.date: (b"1", lambda v: (v.year, v.month, v.day)),
    datetime.timedelta: (b"2", lambda v: (v.days, v.seconds, v.microseconds)),
    datetime.timezone: (b"3", lambda v: (v.utcoffset(None),)),
    datetime.time: (b"4", lambda v: (v.hour, v.minute, v.second, v.microsecond, _zone(v.tzinfo), v.fold)),
    datetime.datetime: (
        b"5",
        lambda v: (v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond, _zone(v.tzinfo), v.fold),
    ),
}


def decode(data: bytes, start: int = 0) -> Any:
    """The value. ResultRejected: anything that `encode` would not have written here."""
    try:
        reader = _Reader(data, start)
        value = reader.value(0)
        reader.end()
    except RemotingError:
        raise
    except Exception as error:  # whatever odd data make a constructor say: it is the sender's fault
        raise ResultRejected(f"no plain data: {error!r:.200}") from error
    return value


class _Reader:
    __slots__ = ("_at", "_data", "_left")

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._at = start
        self._left = MAX_VALUES

    def end(self) -> None:
        if self._at != len(self._data):
            raise ResultRejected(f"{len(self._data) - self._at} bytes too many")

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise ResultRejected("the data end too early")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _length(self) -> int:
        length: int = _LENGTH.unpack_from(self._data, self._at)[0]
        self._at += _LENGTH.size
        return length

    def value(self, depth: int) -> Any:
        letter = self._take(1)
        if letter == b"s":
            return self._take(self._length()).decode("utf-8", "surrogatepass")
        if letter == b"i":
            self._at += _SMALL.size
            return _SMALL.unpack_from(self._data, self._at - _SMALL.size)[0]
        if letter in _ATOMS:
            return _ATOMS[letter]
        if letter == b"b":
            return self._take(self._length())
        if letter == b"f":
            return _FLOAT.unpack(self._take(8))[0]
        if letter == b"I":
            return int.from_bytes(self._take(self._length()), "big", signed=True)
        self._left -= 1
        if depth >= MAX_DEPTH:
            raise ResultRejected(f"nested deeper than {MAX_DEPTH}")
        if letter in _BUILDERS:
            return _BUILDERS[letter](self._values(self._length(), depth + 1))
        if letter == b"d":
            parts = self._values(2 * self._length(), depth + 1)
            return dict(zip(parts[::2], parts[1::2]))  # noqa: B905 - Python 3.8 knows no strict; they are as many
        return self._object(letter, depth + 1)

    def _values(self, count: int, depth: int) -> list[Any]:
        self._left -= count
        if self._left < 0 or count > len(self._data) - self._at:
            raise ResultRejected(f"more than {MAX_VALUES} values, or more than there are bytes")
        return [self.value(depth) for _ in range(count)]

    def _object(self, letter: bytes, depth: int) -> Any:
        if letter in _MAKERS:
            count, make = _MAKERS[letter]
            return make(*self._values(count, depth))
        if letter not in (b"p", b"E", b"D"):
            raise ResultRejected(f"no plain data: {self._data[:20]!r}")
        name, content = self._values(2, depth)
        if letter == b"p":
            if name not in KINDS or travel.channel is None:
                raise ResultRejected(f"nothing known travels as {name!r:.100}")
            return KINDS[name].arrive(content, travel.channel)
        cls = TRANSFERABLE.get(name) if type(name) is str else None
        if cls is None:
            raise ResultRejected(f"{str(name).replace(':', '.'):.200} is not transferable")
        if letter == b"E":
            if not issubclass(cls, enum.Enum):
                raise ResultRejected(f"{name} is no Enum")
            return cls(content) if issubclass(cls, enum.Flag) and type(content) is int else cls[content]
        return _dataclass(cls, content, self._values(len(content), depth))


def _dataclass(cls: type, names: Any, values: list[Any]) -> Any:
    full = f"{cls.__module__}.{cls.__qualname__}"
    if not dataclasses.is_dataclass(cls):
        raise ResultRejected(f"{full} is no dataclass")
    declared = [field.name for field in dataclasses.fields(cls)]
    if names != declared:
        raise VersionMismatch(f"{full} has {declared} here, {names!r:.300} on the far side")
    made: Any = object.__new__(cls)
    for name, value in zip(declared, values):  # noqa: B905 - Python 3.8 knows no strict; they are as many
        object.__setattr__(made, name, value)
    return made


def _path(windows: bool, text: str) -> pathlib.PurePath:
    return pathlib.PureWindowsPath(text) if windows else pathlib.PurePosixPath(text)


def _timezone(offset: datetime.timedelta | None) -> datetime.timezone | None:
    return None if offset is None else datetime.timezone(offset)


_ATOMS = {b"N": None, b"T": True, b"F": False}
_BUILDERS: dict[bytes, Callable[[list[Any]], Any]] = {b"l": list, b"t": tuple, b"S": set, b"Z": frozenset}
_MAKERS: dict[bytes, tuple[int, Callable[..., Any]]] = {
    b"c": (2, complex),
    b"M": (1, Decimal),
    b"U": (1, lambda data: uuid.UUID(bytes=data)),
    b"P": (2, _path),
    b"1": (3, datetime.date),
    b"2": (3, datetime.timedelta),
    b"3": (1, datetime.timezone),
    b"4": (6, lambda h, m, s, us, zone, fold: datetime.time(h, m, s, us, _timezone(zone), fold=fold)),
    b"5": (
        9,
        lambda y, mo, d, h, m, s, us, zone, fold: datetime.datetime(y, mo, d, h, m, s, us, _timezone(zone), fold=fold),
    ),
}
