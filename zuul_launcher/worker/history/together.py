"""Writes of many threads in few transactions: each ends on the disk, which takes its time, and one end serves all.

Whoever finds nobody writing writes for all that wait at that moment, then hands the pen to the next. A write that
fails fails alone: the others of its transaction are done again, each in one of its own.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine

from zuul_launcher.db.engine import transaction

T = TypeVar("T")
Work = Callable[[Connection], Any]


class _Write:
    """One of them, and what came of it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.woken = threading.Event()  # it is done, or has the pen
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        self.result, self.error, self.is_done = result, error, True
        self.woken.set()


class Together:
    """From any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiting: list[_Write] = []
        self._is_writing = False

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns; it is stored then. Raises its error, or RemoteUnavailable. It may be called twice."""
        mine = _Write(work)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_writing = not self._is_writing, True
        if not leads:
            mine.woken.wait()
        if not mine.is_done:
            self._write_all()
        if mine.error is not None:
            raise mine.error
        return cast(T, mine.result)

    def _write_all(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        try:
            self._commit(batch)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_writing = following is not None
            if following is not None:
                following.woken.set()

    def _commit(self, batch: list[_Write]) -> None:
        try:
            with transaction(self._engine) as connection:
                results = [write.work(connection) for write in batch]
        except BaseException as error:
            if len(batch) == 1:
                batch[0].end(error=error)
                return
            for write in batch:
                self._commit([write])
        else:
            for write, result in zip(batch, results, strict=True):
                write.end(result)
