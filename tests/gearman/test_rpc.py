"""The scheduler's requests over every server."""

import json
import queue
import threading
from collections.abc import Iterator

import pytest
from support.gearman_places import FAST, Proxy, Worker
from support.gearman_wire import DEADLINE, Place
from support.waiting import wait_until

from zuul_launcher.errors import RemoteUnavailable, RequestError
from zuul_launcher.gearman.rpc import FUNCTIONS, Listener, request


class Scheduler:
    """Takes requests; answers each in the same moment with the next prepared answer, if there is one."""

    def __init__(self, port: int, answer_seconds: float = 60.0) -> None:
        self.taken: queue.SimpleQueue[tuple[str, str, bytes]] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[str | None, bytes]] = queue.SimpleQueue()
        self.listener = Listener("127.0.0.1", port, self.take, delays=FAST, answer_seconds=answer_seconds)
        self.listener.start()

    def take(self, number: str, function: str, arguments: bytes) -> None:
        self.taken.put((number, function, arguments))
        if not self.answers.empty():
            self.listener.answer(number, *self.answers.get())


def is_registered(place: Place) -> bool:
    wire = place.connect()
    found = {line.split("\t")[0] for line in wire.ask_list("status")}
    wire.close()
    return set(FUNCTIONS) <= found


@pytest.fixture
def scheduler(proxy: Proxy, place: Place) -> Iterator[Scheduler]:
    found = Scheduler(proxy.port)
    wait_until(lambda: is_registered(place))
    yield found
    found.listener.stop()


def test_requests_are_handed_on_with_their_arguments_and_answered_one_after_the_other(
    scheduler: Scheduler, place: Place
) -> None:
    scheduler.answers.put((None, b""))
    assert request("127.0.0.1", place.port, "zuul:enqueue", {"change": "1,2"}, DEADLINE) == b""
    first, function, arguments = scheduler.taken.get(timeout=DEADLINE)
    assert (function, json.loads(arguments)) == ("zuul:enqueue", {"change": "1,2"})

    scheduler.answers.put((None, b"[1]\0x"))
    assert request("127.0.0.1", place.port, "zuul:get_running_jobs", {}, DEADLINE) == b"[1]\0x"
    assert scheduler.taken.get(timeout=DEADLINE)[0] != first


def test_a_refusal_reaches_the_caller_with_its_text(scheduler: Scheduler, place: Place) -> None:
    scheduler.answers.put(("Invalid project: nö\nInvalid pipeline: x", b""))
    with pytest.raises(RequestError, match="Invalid project: nö\nInvalid pipeline: x"):
        request("127.0.0.1", place.port, "zuul:enqueue", {}, DEADLINE)


def test_without_an_answer_the_caller_is_told_so_and_the_next_request_is_served(place: Place) -> None:
    scheduler = Scheduler(place.port, answer_seconds=0.1)
    wait_until(lambda: is_registered(place))
    with pytest.raises(RequestError, match="did not answer within"):
        request("127.0.0.1", place.port, "zuul:promote", {}, DEADLINE)
    late = scheduler.taken.get(timeout=DEADLINE)[0]
    scheduler.listener.answer(late, None, b"late")
    scheduler.answers.put((None, b"in time"))
    assert request("127.0.0.1", place.port, "zuul:promote", {}, DEADLINE) == b"in time"
    scheduler.listener.stop()


def test_an_answer_to_another_request_is_not_given_to_this_one(scheduler: Scheduler, place: Place) -> None:
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    caller = threading.Thread(
        target=lambda: answers.put(request("127.0.0.1", place.port, "zuul:promote", {}, DEADLINE))
    )
    caller.start()
    number = scheduler.taken.get(timeout=DEADLINE)[0]
    scheduler.listener.answer("0" * 32, None, b"for somebody else")
    scheduler.listener.answer(number, None, b"for you")
    assert answers.get(timeout=DEADLINE) == b"for you"
    caller.join(DEADLINE)


def test_the_listener_comes_back_after_a_cut(scheduler: Scheduler, place: Place, proxy: Proxy) -> None:
    proxy.cut()
    wait_until(lambda: not is_registered_with_workers(place))
    proxy.mend()
    scheduler.answers.put((None, b"back"))
    assert request("127.0.0.1", place.port, "zuul:promote", {}, DEADLINE) == b"back"


def is_registered_with_workers(place: Place) -> bool:
    wire = place.connect()
    lines = [line.split("\t") for line in wire.ask_list("status")]
    wire.close()
    return any(line[0] in FUNCTIONS and line[-1] != "0" for line in lines)


def test_a_scheduler_that_cannot_take_a_request_says_so(place: Place) -> None:
    def refuse(number: str, function: str, arguments: bytes) -> None:
        raise RuntimeError("the database is full")

    listener = Listener("127.0.0.1", place.port, refuse)
    listener.start()
    wait_until(lambda: is_registered(place))
    with pytest.raises(RequestError, match="the database is full"):
        request("127.0.0.1", place.port, "zuul:dequeue", {}, DEADLINE)
    listener.stop()


def test_a_scheduler_that_fails_without_a_word_is_a_refusal(place: Place) -> None:
    worker = Worker(place, "zuul:promote")
    results: queue.SimpleQueue[Exception] = queue.SimpleQueue()

    def call() -> None:
        try:
            request("127.0.0.1", place.port, "zuul:promote", {}, DEADLINE)
        except RequestError as error:
            results.put(error)

    thread = threading.Thread(target=call)
    thread.start()
    worker.take()
    worker.fail()
    assert "failed to carry out zuul:promote" in str(results.get(timeout=DEADLINE))
    thread.join()


def test_nobody_who_listens_is_unavailable(place: Place) -> None:
    with pytest.raises(RemoteUnavailable, match="nobody at Gearman server"):
        request("127.0.0.1", place.port, "zuul:promote", {}, 0.2)


def test_no_server_is_unavailable(unused_port: int) -> None:
    with pytest.raises(RemoteUnavailable, match=r"no Gearman server at .* is it running"):
        request("127.0.0.1", unused_port, "zuul:promote", {}, 0.2)
