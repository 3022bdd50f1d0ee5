"""Threads that die are started again; one that was fenced ends the program."""

import threading

from zuul_launcher.db.lease import Fenced
from zuul_launcher.service.threads import Crew

SECONDS = 60


def test_a_thread_that_dies_is_started_again_and_counted() -> None:
    stopping, done = threading.Event(), threading.Event()
    crew = Crew(stopping, lambda error: None)
    tries = []

    def work() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise KeyError("x")
        done.set()

    crew.start("worker", work)
    assert done.wait(SECONDS)
    stopping.set()
    crew.join()
    assert crew.deaths == {"worker": 1}
    assert len(tries) == 2


def test_a_fenced_thread_says_so_and_is_not_started_again() -> None:
    stopping, died = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def die(error: BaseException) -> None:
        errors.append(error)
        died.set()

    def work() -> None:
        raise Fenced("taken over")

    crew = Crew(stopping, die)
    crew.start("worker", work)
    assert died.wait(SECONDS)
    crew.join()
    assert [str(error) for error in errors] == ["taken over"]


def test_a_thread_that_dies_while_all_stop_stays_dead() -> None:
    stopping = threading.Event()
    crew = Crew(stopping, lambda error: None)

    def work() -> None:
        stopping.wait(SECONDS)
        raise OSError("closed")

    crew.start("worker", work)
    stopping.set()
    crew.join()
    assert crew.deaths == {}
