"""Threads that run what the far side asked for. Runs on the node too.

Requests are taken and prepared (decoded, which may import modules) strictly one after another and in the order in
which they came; they run side by side. A thread that waits in a call of its own, or that runs deaf code whose caller
has gone, does not count.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Task(Protocol):
    """A request. Neither method may raise."""

    def prepare(self) -> bool:
        """Decode; false: there is nothing to run."""

    def run(self) -> None:
        """Run and answer."""


class Pool:
    """Starts a thread when all are busy, up to `size`."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._take = threading.Lock()
        self._lock = threading.Lock()
        self._queued = self._idle = self._uncounted = 0
        self._closed = False
        self._threads: set[threading.Thread] = set()

    def submit(self, task: Task) -> None:
        """Never blocks."""
        with self._lock:
            if self._closed:
                return
            self._queued += 1
            thread = self._another()
        self._tasks.put(task)
        if thread:
            thread.start()

    def _another(self) -> threading.Thread | None:
        if self._queued <= self._idle or len(self._threads) >= self._size + self._uncounted:
            return None
        thread = threading.Thread(target=self._work, name=f"call of {self._name}", daemon=True)
        self._threads.add(thread)
        self._idle += 1
        return thread

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The calling thread of the pool waits for something: another may take its place."""
        self.leave()
        try:
            yield
        finally:
            self.rejoin()

    def leave(self) -> None:
        """One thread does not count any more, until `rejoin`."""
        with self._lock:
            self._uncounted += 1
            thread = None if self._closed else self._another()
        if thread:
            thread.start()

    def rejoin(self) -> None:
        with self._lock:
            self._uncounted -= 1

    def owns(self, thread: threading.Thread) -> bool:
        return thread in self._threads

    def close(self) -> None:
        """Threads end after what they run; what waits is dropped."""
        with self._lock:
            self._closed = True
        self._tasks.put(None)

    def join(self, seconds: float) -> None:
        """Wait for those that end."""
        for thread in list(self._threads):
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._take:
                task = self._tasks.get()
                with self._lock:
                    if task is None or self._closed:
                        break
                    self._queued -= 1
                    self._idle -= 1
                run = task.prepare()
            if run:
                task.run()
            del task
            with self._lock:
                if len(self._threads) > self._size + self._uncounted:
                    self._threads.discard(threading.current_thread())
                    return
                self._idle += 1
        self._tasks.put(None)  # for the next one
        with self._lock:
            self._threads.discard(threading.current_thread())


class Delivery:
    """One thread that hands data over to code of the user, in order; started when there is something."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._open = 0
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something was submitted that is not delivered yet."""
        return self._open > 0

    @property
    def waiting(self) -> int:
        """How many were submitted and are not done."""
        return self._open

    def submit(self, task: object) -> None:
        """A callable without arguments that must not raise."""
        with self._lock:
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"delivery of {self._name}", daemon=True)
                self._thread.start()
        self._tasks.put(task)

    def is_current(self) -> bool:
        """Whether the calling thread is the one that delivers."""
        return self._thread is threading.current_thread()

    def close(self) -> None:
        """After what was submitted."""
        with self._lock:
            self._closed = True
        self._tasks.put(None)

    def join(self, seconds: float) -> None:
        if self._thread is not None and not self.is_current():
            self._thread.join(seconds)

    def _work(self) -> None:
        while callable(task := self._tasks.get()):
            task()
            del task
            with self._lock:
                self._open -= 1
