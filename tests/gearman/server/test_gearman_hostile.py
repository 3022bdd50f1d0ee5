"""What a stranger may try. The others must not notice, and the stranger is closed where it can do nothing but harm."""

import os
import select
import socket
import struct

import pytest
from support.gearman_wire import DEADLINE, Place, our_server
from support.waiting import wait_until

from zuul_launcher.gearman.server import Options
from zuul_launcher.gearman.server.packets import LINE_LIMIT, Command, request, response


@pytest.mark.parametrize(
    "junk",
    [
        b"\0FOO" + b"\0" * 8,
        response(Command.NOOP),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"x" * (LINE_LIMIT + 1),
        b"\0REQ" + struct.pack(">Ii", Command.ECHO_REQ, -1),
        b"\0REQ" + struct.pack(">II", Command.ECHO_REQ, 2**31 - 1),
        request(Command.ECHO_REQ, b"fine") + b"status\n" + b"\0junk",
    ],
    ids=["magic", "response", "tls", "long line", "negative length", "huge length", "after sound messages"],
)
def test_a_peer_that_sends_junk_is_closed_and_another_is_served(ours: Place, junk: bytes) -> None:
    stranger, friend = ours.connect(), ours.connect()
    stranger.send_raw(junk)
    assert stranger.closed_by_server()
    friend.echo()
    assert len(friend.ask_list("workers")) == 1


def test_a_packet_over_the_limit_is_told_so_before_the_connection_is_closed() -> None:
    with our_server(Options(packet_limit=1000)) as ours:
        wire = ours.connect()
        wire.send(Command.ECHO_REQ, b"x" * 1000)
        wire.expect(Command.ECHO_RES)
        wire.send_raw(request(Command.ECHO_REQ, b"x" * 1001)[:12])
        assert wire.expect(Command.ERROR)[0] == b"PACKET_TOO_LARGE"
        assert wire.closed_by_server()


@pytest.mark.parametrize(
    "body",
    [
        (Command.SUBMIT_JOB, b""),
        (Command.SUBMIT_JOB, b"f"),
        (Command.CAN_DO_TIMEOUT, b"f"),
        (Command.CAN_DO_TIMEOUT, b"f\0soon"),
        (Command.WORK_STATUS, b"H"),
    ],
)
def test_a_packet_with_too_few_arguments_is_answered_with_an_error_and_the_connection_stays(
    ours: Place, body: tuple[Command, bytes]
) -> None:
    wire = ours.connect()
    wire.send(*body)
    assert wire.expect(Command.ERROR)[0] == b"INVALID_ARGUMENTS"
    wire.echo()


def test_every_connection_sends_at_once_and_notices_a_vanished_peer(ours: Place) -> None:
    wire = ours.connect()
    descriptor = int(wire.ask_list("workers")[0].split()[0])
    with socket.socket(fileno=os.dup(descriptor)) as opened:  # the server runs in this process
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_an_unknown_packet_type_is_answered_with_an_error_and_the_connection_stays(ours: Place) -> None:
    wire = ours.connect()
    wire.send_raw(b"\0REQ" + struct.pack(">II", 2**32 - 1, 0))
    assert wire.expect(Command.ERROR)[0] == b"INVALID_COMMAND"
    wire.echo()


def test_names_cannot_forge_lines_of_the_text_protocol(ours: Place) -> None:
    stranger, admin = ours.connect(), ours.connect()
    stranger.send(Command.SUBMIT_JOB, b"f\t9\t9\t9\n.\n", b"", b"")
    assert stranger.expect(Command.ERROR)[0] == b"INVALID_FUNCTION_NAME"
    stranger.send(Command.CAN_DO, b"g\t1\t0\t1\n")
    stranger.send(Command.SET_CLIENT_ID, b"me : build:x\n.\n")
    stranger.submit(b"f", b"u\n.\n", command=Command.SUBMIT_JOB_BG)
    assert admin.ask_list("status") == ["f\t1\t0\t0"]
    assert admin.ask_list("show unique jobs") == ["u?.?"]
    assert [line.split(" ", 2)[2] for line in admin.ask_list("workers")] == ["me_:_build:x_._ :", "- :"]


def test_a_stranger_can_neither_report_nor_end_a_job_of_another_worker(ours: Place) -> None:
    client, worker, stranger = ours.connect(), ours.worker(b"f"), ours.worker(b"f")
    handle = client.submit(b"f")
    worker.grab()
    stranger.send(Command.WORK_DATA, handle, b"forged")
    stranger.send(Command.WORK_COMPLETE, handle, b"forged")
    stranger.echo()
    worker.send(Command.WORK_COMPLETE, handle, b"true")
    assert client.expect(Command.WORK_COMPLETE) == [handle, b"true"]


def test_a_worker_may_send_any_nonsense_about_its_job_and_the_first_end_counts(ours: Place) -> None:
    client, worker = ours.connect(), ours.worker(b"f")
    handle = client.submit(b"f")
    worker.grab()
    worker.send(Command.WORK_STATUS, handle, b"9", b"-1")
    worker.send(Command.WORK_STATUS, handle, b"nine", b"")
    worker.send(Command.WORK_COMPLETE, handle, b"first")
    worker.send(Command.WORK_COMPLETE, handle, b"second")
    worker.send(Command.WORK_FAIL, handle)
    worker.echo()
    assert client.expect(Command.WORK_STATUS) == [handle, b"9", b"-1"]
    assert client.expect(Command.WORK_STATUS) == [handle, b"nine", b""]
    assert client.expect(Command.WORK_COMPLETE) == [handle, b"first"]
    client.echo()


def test_a_peer_that_never_reads_is_closed_and_does_not_hold_up_others() -> None:
    with our_server(Options(write_limit=100_000)) as ours:
        deaf, friend = ours.connect(), ours.connect()
        deaf.socket.settimeout(0.2)
        echo = request(Command.ECHO_REQ, b"x" * 1_000_000)

        def closed() -> bool:
            try:
                deaf.send_raw(echo)
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return False

        wait_until(closed)
        friend.echo()
        wait_until(lambda: len(friend.ask_list("workers")) == 1)


def test_a_flood_of_questions_gives_others_their_turn(ours: Place) -> None:
    flood, friend = ours.connect(), ours.connect()
    count = 20_000
    flood.send_raw(b"version\n" * count)
    friend.echo()
    received = 0
    while received < count:
        received += flood.socket.recv(1 << 20).count(b"\n")
    assert received == count


@pytest.mark.parametrize("begun", [b"stat", request(Command.ECHO_REQ, b"abc")[:-1], b"\0"])
def test_a_message_that_never_ends_is_given_up_and_silence_between_messages_is_not(begun: bytes) -> None:
    with our_server(Options(message_seconds=0.2)) as ours:
        slow, silent = ours.connect(), ours.connect()
        silent.echo()
        slow.send_raw(begun)
        assert slow.closed_by_server()
        silent.echo()


def test_a_message_may_come_byte_by_byte(ours: Place) -> None:
    wire = ours.connect()
    for byte in request(Command.ECHO_REQ, b"slow"):
        wire.send_raw(bytes([byte]))
    assert wire.expect(Command.ECHO_RES) == [b"slow"]


def test_connections_over_the_limit_are_closed_and_find_room_once_others_have_left() -> None:
    with our_server(Options(connection_limit=2)) as ours:
        first, second = ours.connect(), ours.connect()
        first.echo()
        second.echo()
        assert ours.connect().closed_by_server()
        second.close()
        wait_until(lambda: len(first.ask_list("workers")) == 1)
        ours.connect().echo()


def test_two_hundred_connections_at_once_are_all_served(ours: Place) -> None:
    opened = []
    for _ in range(200):
        each = socket.socket()
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", ours.port))
        opened.append(each)
    try:
        for each in opened:
            select.select([], [each], [], DEADLINE)
            each.settimeout(DEADLINE)
            each.sendall(b"getpid\n")
        assert all(each.recv(100).startswith(b"OK ") for each in opened)
    finally:
        for each in opened:
            each.close()
