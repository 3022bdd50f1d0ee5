"""What a server sends, in whatever pieces it comes."""

import struct

import pytest
from gear import constants
from hypothesis import given
from hypothesis import strategies as st

from zuul_launcher.gearman.wire import LINE_LIMIT, Frames, JunkReceived, encode


def response(command: int, body: bytes, magic: bytes = b"\0RES") -> bytes:
    return struct.pack(">4sII", magic, command, len(body)) + body


MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 50), st.binary(max_size=30)),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    ),
    max_size=6,
)


@given(MESSAGES, st.integers(1, 40))
def test_messages_are_the_same_however_they_are_cut(messages: list[tuple[int, bytes] | str], size: int) -> None:
    sent = b"".join(one.encode() + b"\n" if isinstance(one, str) else response(*one) for one in messages)
    frames = Frames()
    found = [one for start in range(0, len(sent), size) for one in frames.feed(sent[start : start + size])]
    assert found == messages


@given(st.integers(0, 40), st.integers(1, 60))
def test_a_packet_over_the_limit_is_cut_and_the_next_one_is_whole(size: int, piece: int) -> None:
    sent = response(28, b"x" * size) + response(13, b"end")
    frames = Frames(packet_limit=10)
    found = [one for start in range(0, len(sent), piece) for one in frames.feed(sent[start : start + piece])]
    assert found == [(28, b"x" * min(size, 10)), (13, b"end")]


def test_a_packet_that_claims_to_be_huge_takes_no_more_room_than_the_limit() -> None:
    frames = Frames(packet_limit=10)
    assert list(frames.feed(struct.pack(">4sII", b"\0RES", 28, 0xFFFFFFFF) + b"y" * 50)) == [(28, b"y" * 10)]
    assert list(frames.feed(b"y" * 1000)) == []


def test_gears_server_sends_work_fail_with_the_magic_of_a_request() -> None:
    assert list(Frames().feed(response(14, b"H:1", b"\0REQ"))) == [(14, b"H:1")]


@pytest.mark.parametrize("junk", [b"\0XXX\0\0\0\1\0\0\0\0", b"x" * (LINE_LIMIT + 1)])
def test_what_is_not_gearman_is_refused(junk: bytes) -> None:
    with pytest.raises(JunkReceived):
        list(Frames().feed(junk))


def test_a_request_has_its_arguments_parted_by_nul() -> None:
    assert encode(constants.SUBMIT_JOB, b"f", b"u", b"a\0b") == b"\0REQ\0\0\0\x07\0\0\0\x07f\0u\0a\0b"
