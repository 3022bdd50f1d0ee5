"""Writes of many threads in few transactions."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from zuul_launcher.db.engine import connect, reading, transaction
from zuul_launcher.worker.history.together import Together


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path}/history.sqlite")
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE seen (number INTEGER PRIMARY KEY)"))
    yield engine
    engine.dispose()


def see(number: int, error: str = "") -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO seen VALUES (:number)"), {"number": number})
        if error:
            raise ValueError(error)
        return number

    return work


def seen(engine: Engine) -> list[int]:
    with reading(engine) as connection:
        return list(connection.execute(text("SELECT number FROM seen ORDER BY number")).scalars())


class Crowd:
    """Threads that write while another one holds the pen."""

    def __init__(self, engine: Engine) -> None:
        self.together = Together(engine)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.results: dict[int, object] = {}
        self.transactions: set[int] = set()
        self._threads: list[threading.Thread] = []

    def _hold(self, connection: Connection) -> None:
        self.begun.set()
        assert self.go_on.wait(60)

    def start(self, number: int, error: str = "") -> None:
        inner = see(number, error)

        def work(connection: Connection) -> int:
            self.transactions.add(id(connection))
            return inner(connection)

        def write() -> None:
            try:
                self.results[number] = self.together.write(work)
            except ValueError as problem:
                self.results[number] = str(problem)

        self._thread(write)

    def hold(self) -> None:
        self._thread(lambda: self.together.write(self._hold))
        assert self.begun.wait(60)

    def finish(self) -> None:
        self.go_on.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def wait_for(self, waiting: int) -> None:
        while len(self.together._waiting) < waiting:
            threading.Event().wait(0.01)

    def _thread(self, target: Callable[[], object]) -> None:
        thread = threading.Thread(target=target)
        thread.start()
        self._threads.append(thread)


@pytest.fixture
def crowd(engine: Engine) -> Crowd:
    return Crowd(engine)


def test_those_who_wait_share_one_transaction(crowd: Crowd, engine: Engine) -> None:
    crowd.hold()
    for number in range(20):
        crowd.start(number)
    crowd.wait_for(20)
    crowd.finish()
    assert crowd.results == {number: number for number in range(20)}
    assert seen(engine) == list(range(20))
    assert len(crowd.transactions) == 1


def test_one_that_fails_fails_alone(crowd: Crowd, engine: Engine) -> None:
    crowd.hold()
    for number in range(5):
        crowd.start(number, "it is wrong" if number == 2 else "")
    crowd.wait_for(5)
    crowd.finish()
    assert crowd.results == {0: 0, 1: 1, 2: "it is wrong", 3: 3, 4: 4}
    assert seen(engine) == [0, 1, 3, 4]


def test_who_comes_while_others_write_is_not_forgotten(crowd: Crowd, engine: Engine) -> None:
    for number in range(200):
        crowd.start(number)
    crowd.finish()
    assert seen(engine) == list(range(200))
    assert crowd.together.write(see(500)) == 500
