"""Plain data, alone: what goes in comes out, and nothing that comes in does more than fail."""

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zuul_launcher.remoting import codec, frames, transferable
from zuul_launcher.remoting.errors import ProtocolError, RemotingError, VersionMismatch
from zuul_launcher.remoting.frames import Assembler, Frame, FrameParser

KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
VALUES = st.recursive(
    KEYS | st.dates() | st.timedeltas() | st.uuids() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner) | st.frozensets(KEYS),
    max_leaves=20,
)


@given(VALUES)
def test_what_goes_in_comes_out(value: Any) -> None:
    assert codec.decode(codec.encode(value)) == value


@given(st.binary())
def test_any_bytes_give_a_value_or_an_error_of_ours(data: bytes) -> None:
    try:
        codec.decode(data)
    except RemotingError:
        return


@given(VALUES, st.data())
def test_a_damaged_value_gives_a_value_or_an_error_of_ours(value: Any, data: st.DataObject) -> None:
    good = bytearray(codec.encode(value))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        codec.decode(bytes(good))
    except RemotingError:
        return


def test_a_class_with_other_fields_is_another_version() -> None:
    from support.remote_code import Report

    data = codec.encode(Report("x", None, []))  # type: ignore[arg-type] # any value will do
    with pytest.raises(VersionMismatch, match=r"support\.remote_code\.Report has \['name', 'colour', 'parts'\] here"):
        codec.decode(data.replace(b"colour", b"color_"))


@transferable
class Rights(enum.Flag):
    READ = 1
    WRITE = 2


def test_combined_flags_come_out_as_they_went_in() -> None:
    for value in (Rights.READ, Rights.READ | Rights.WRITE, Rights(0)):
        assert codec.decode(codec.encode(value)) is value
    for content in (64, "READ|WRITE", "missing", None):
        with pytest.raises(RemotingError):
            codec.decode(b"E" + codec.encode(f"{__name__}:Rights") + codec.encode(content))


@given(
    st.lists(st.tuples(st.sampled_from([frames.CALL, frames.RESULT, frames.PING]), st.binary(max_size=5000))),
    st.lists(st.integers(1, 3000), min_size=1),
)
def test_messages_come_out_of_the_wire_as_they_went_in(messages: list[tuple[int, bytes]], sizes: list[int]) -> None:
    data = b"".join(
        bytes(header) + bytes(body)
        for number, (kind, content) in enumerate(messages)
        for header, body in frames.split(kind, number, content, 1024)
    )
    parser, assembler, found, turn = FrameParser(1024), Assembler(1 << 20), [], 0
    while data:
        space = parser.space()
        count = min(len(space), sizes[turn % len(sizes)], len(data))
        turn += 1
        space[:count] = data[:count]
        data = data[count:]
        for frame in parser.frames(count):
            message = assembler.add(frame)
            if message is not None:
                found.append((message.kind, message.body))
    assert found == messages


def test_parts_of_different_requests_may_be_mixed() -> None:
    assembler = Assembler(1 << 20)
    parts = [(1, b"a", 1), (3, b"x", 1), (1, b"b", 0), (3, b"y", 0)]
    whole = [assembler.add(Frame(frames.CALL, request, flags, body)) for request, body, flags in parts]
    assert [message and (message.request, message.body) for message in whole] == [None, None, (1, b"ab"), (3, b"xy")]


def test_a_frame_above_the_limit_is_a_breach() -> None:
    parser = FrameParser(1024)
    header = frames.HEADER.pack(1025, 1, frames.CALL, 0)
    parser.space()[: len(header)] = header
    with pytest.raises(ProtocolError, match="1025 bytes; the limit is 1024"):
        list(parser.frames(len(header)))
