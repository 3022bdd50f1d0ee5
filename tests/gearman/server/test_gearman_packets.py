"""Framing: pieces in, messages out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zuul_launcher.gearman.server.packets import (
    LINE_LIMIT,
    MAGIC_RESPONSE,
    ArgumentsMissing,
    Command,
    Framing,
    JunkReceived,
    Packet,
    request,
    response,
)

MESSAGES = st.lists(
    st.one_of(
        st.builds(Packet, st.sampled_from(Command), st.binary(max_size=50)),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30),
    ),
    max_size=10,
)


def everything(framing: Framing) -> list[Packet | str]:
    found = []
    while (message := framing.next()) is not None:
        found.append(message)
    return found


def test_a_request_is_encoded_as_the_protocol_says() -> None:
    assert request(Command.SUBMIT_JOB, b"f", b"u", b"p\0q") == b"\0REQ\0\0\0\x07\0\0\0\x07f\0u\0p\0q"


@given(MESSAGES, st.integers(1, 20))
def test_packets_and_lines_in_any_mix_and_any_pieces_come_out_as_they_were_sent(
    messages: list[Packet | str], size: int
) -> None:
    sent = b"".join(
        request(Command(each.command), each.body) if isinstance(each, Packet) else each.encode() + b"\n"
        for each in messages
    )
    framing = Framing(1000)
    found: list[Packet | str] = []
    for start in range(0, len(sent), size):
        framing.feed(sent[start : start + size])
        found += everything(framing)
    assert found == messages
    assert framing.missing == 0


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_message_or_junk_and_never_another_error(data: bytes) -> None:
    framing = Framing(100)
    framing.feed(data)
    try:
        found = everything(framing)
    except JunkReceived:
        return
    used = sum(12 + len(each.body) if isinstance(each, Packet) else len(each) + 1 for each in found)
    assert used <= len(data)


def test_a_packet_as_large_as_allowed_passes_and_one_byte_more_does_not() -> None:
    framing = Framing(10)
    framing.feed(request(Command.ECHO_REQ, b"x" * 10))
    assert framing.next() == Packet(Command.ECHO_REQ, b"x" * 10)
    framing.feed(request(Command.ECHO_REQ, b"x" * 11)[:12])
    with pytest.raises(JunkReceived) as caught:
        framing.next()
    assert caught.value.code == "PACKET_TOO_LARGE"


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
def test_a_negative_or_huge_length_is_junk_before_its_body_comes(size: bytes) -> None:
    framing = Framing(128 * 1024 * 1024)
    framing.feed(b"\0REQ\0\0\0\x10" + size)
    with pytest.raises(JunkReceived):
        framing.next()


@pytest.mark.parametrize("data", [b"\0FOO", b"\0\0", response(Command.NOOP), b"\0REx"])
def test_another_magic_is_junk_as_soon_as_it_shows(data: bytes) -> None:
    framing = Framing(100)
    framing.feed(data)
    with pytest.raises(JunkReceived) as caught:
        framing.next()
    assert caught.value.code == "INVALID_MAGIC"


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\0", b"st\0atus\n", b"\xc3\xa4\n", b"\x1b[2J"])
def test_bytes_that_are_no_text_are_junk_as_soon_as_they_show(data: bytes) -> None:
    framing = Framing(100)
    framing.feed(data)
    with pytest.raises(JunkReceived):
        framing.next()


def test_a_line_may_be_as_long_as_the_limit_and_no_longer() -> None:
    framing = Framing(100)
    framing.feed(b"x" * LINE_LIMIT + b"\n")
    assert framing.next() == "x" * LINE_LIMIT
    framing.feed(b"x" * (LINE_LIMIT + 1))
    with pytest.raises(JunkReceived):
        framing.next()


def test_a_line_may_end_with_carriage_return_and_newline() -> None:
    framing = Framing(100)
    framing.feed(b"status\r\n\nversion\n")
    assert everything(framing) == ["status", "", "version"]


def test_missing_says_how_much_of_a_packet_is_still_to_come() -> None:
    framing = Framing(100)
    framing.feed(request(Command.ECHO_REQ, b"x" * 10)[:-4])
    assert framing.next() is None
    assert framing.missing == 4


def test_a_client_reads_responses_and_takes_requests_for_junk() -> None:
    framing = Framing(100, MAGIC_RESPONSE)
    framing.feed(response(Command.NOOP) + request(Command.NOOP))
    assert framing.next() == Packet(Command.NOOP)
    with pytest.raises(JunkReceived):
        framing.next()


def test_the_last_argument_keeps_its_nul_bytes_and_a_missing_one_is_an_error() -> None:
    assert Packet(7, b"f\0u\0a\0b").arguments(3) == [b"f", b"u", b"a\0b"]
    with pytest.raises(ArgumentsMissing):
        Packet(7, b"f\0u").arguments(3)
