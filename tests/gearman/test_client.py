"""The connection itself: servers that are not there, that are silent, that stop."""

import logging
import queue
import socket
from collections.abc import Iterator

import pytest
from support.gearman_places import FAST, Proxy, Worker
from support.gearman_wire import DEADLINE, Place, our_server
from support.waiting import wait_until

from zuul_launcher.gearman.client import Client, Kind, ServerKind, Submission, Word


@pytest.fixture
def words() -> "queue.SimpleQueue[Word]":
    return queue.SimpleQueue()


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    found = Client("127.0.0.1", place.port, delays=FAST)
    found.start()
    wait_until(lambda: found.connected)
    yield found
    found.stop()


def test_each_server_is_told_by_its_kind(client: Client, place: Place) -> None:
    kinds = {"ours": ServerKind.OURS, "gearmand": ServerKind.JOINING, "gear": ServerKind.SIMPLE}
    assert client.kind is kinds[place.name]


def test_functions_are_known_with_their_workers(client: Client, place: Place) -> None:
    Worker(place, "build:unit", "build:docs:a b")
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    client.ask_functions(answers.put)
    assert answers.get(timeout=DEADLINE) is not None
    assert client.functions["build:unit"] == 1


def test_packets_leave_at_once(client: Client) -> None:
    assert client._socket is not None
    assert client._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_large_job_and_its_large_answer_arrive_whole(
    client: Client, place: Place, words: "queue.SimpleQueue[Word]"
) -> None:
    worker = Worker(place, "echo")
    payload = bytes(range(256)) * 20_000
    client.submit(Submission("echo", payload), words.put)
    worker.take()
    assert worker.payload == payload
    worker.complete(payload)
    assert words.get(timeout=DEADLINE).kind is Kind.CREATED
    assert words.get(timeout=DEADLINE) == Word(Kind.COMPLETE, payload)


def test_a_broken_connection_is_the_last_word_of_each_job(place: Place, words: "queue.SimpleQueue[Word]") -> None:
    proxy = Proxy(place.port)
    client = Client("127.0.0.1", proxy.port, delays=FAST)
    client.start()
    wait_until(lambda: client.connected)
    client.submit(Submission("nobody", b""), words.put)
    assert words.get(timeout=DEADLINE).kind is Kind.CREATED
    proxy.cut()
    assert words.get(timeout=DEADLINE) == Word(Kind.LOST)
    client.submit(Submission("nobody", b""), words.put)
    assert words.get(timeout=DEADLINE) == Word(Kind.LOST)
    client.stop()
    proxy.close()


def test_a_server_that_comes_late_is_found_and_missed_once_in_the_log(
    unused_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client("127.0.0.1", unused_port, delays=(0.01,))
    with caplog.at_level(logging.WARNING):
        client.start()
        done: queue.SimpleQueue[bool] = queue.SimpleQueue()
        client.call(lambda: client.call_later(0.1, lambda: done.put(True)))  # some tries
        done.get(timeout=DEADLINE)
        with our_server() as place:
            client._target = ("127.0.0.1", place.port)
            wait_until(lambda: client.connected)
            client.stop()
    assert caplog.text.count("no Gearman server") == 1


def test_a_server_that_says_nothing_is_given_up_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = Client("127.0.0.1", mute.getsockname()[1], delays=(0.01,), answer_seconds=0.05)
        with caplog.at_level(logging.WARNING):
            client.start()
            taken = [mute.accept()[0] for _ in range(3)]
            client.stop()
    for one in taken:
        one.close()
    assert caplog.text.count("did not answer in time") == 1


def test_junk_of_a_server_ends_the_connection_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client("127.0.0.1", server.getsockname()[1], delays=(0.01,))
        client.start()
        for _ in range(2):
            peer, _ = server.accept()
            peer.sendall(b"\0NOT GEARMAN AT ALL")
            while peer.recv(1000):
                pass
            peer.close()
        client.stop()


def test_stopping_while_there_is_no_server_is_quick(unused_port: int) -> None:
    client = Client("127.0.0.1", unused_port, delays=(3600.0,))
    client.start()
    client.stop()
    assert not client._thread.is_alive()
