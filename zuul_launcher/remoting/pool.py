"""Threads that run what the far side asked for. Runs on the node too.

Requests are taken and prepared (decoded, which may import modules) strictly one after another and in the order in
which they came; they run side by side. A thread that waits in remoting (for a call of its own, for a pipe), or that
runs deaf code whose caller has gone, does not count.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Task(Protocol):
    """A request. Neither method may raise."""

    def prepare(self) -> bool:
        """Decode; false: there is nothing to run."""

    def run(self) -> None:
        """Run and answer."""


class _Worker:
    """A thread, and what it is to do next."""

    def __init__(self, pool: Pool, name: str, number: int, task: Task) -> None:
        self.gate = threading.Lock()  # held while there is nothing to do
        self.gate.acquire()
        self.next: tuple[int, Task] | None = (number, task)
        self.thread = threading.Thread(target=pool.work, args=(self,), name=name, daemon=True)


class Pool:
    """Starts a thread when all are busy, up to `size`. The one that was busy last is the next to get something."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._backlog: deque[tuple[int, Task]] = deque()
        self._submitted = self._uncounted = 0
        self._closed = False
        self._order = threading.Condition(self._lock)
        self._prepared = self._early = 0  # requests so far, and threads that wait for their turn
        self._here = threading.local()  # `counts`: a thread of this pool that does not wait

    def submit(self, task: Task) -> None:
        """Never blocks. From one thread only."""
        with self._lock:
            if self._closed:
                return
            number, self._submitted = self._submitted, self._submitted + 1
            if self._idle:
                worker = self._idle.pop()
                worker.next = (number, task)
                worker.gate.release()
                return
            self._backlog.append((number, task))
            started = self._another()
        if started:
            started.thread.start()

    def _another(self) -> _Worker | None:
        if not self._backlog or len(self._workers) >= self._size + self._uncounted:
            return None
        worker = _Worker(self, f"call of {self._name}", *self._backlog.popleft())
        self._workers.add(worker)
        return worker

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """If the calling thread is one of the pool, another may take its place meanwhile."""
        if not getattr(self._here, "counts", False):
            yield
            return
        self._here.counts = False
        self.leave()
        try:
            yield
        finally:
            self.rejoin()
            self._here.counts = True

    def leave(self) -> None:
        """One thread does not count any more, until `rejoin`."""
        with self._lock:
            self._uncounted += 1
            started = None if self._closed else self._another()
        if started:
            started.thread.start()

    def rejoin(self) -> None:
        """It counts again."""
        with self._lock:
            self._uncounted -= 1

    def close(self) -> None:
        """Threads end after what they run; what waits is dropped."""
        with self._lock:
            self._closed = True
            self._backlog.clear()
            for worker in self._idle:
                worker.next = None
                worker.gate.release()
            self._idle.clear()

    def join(self, seconds: float) -> None:
        """Wait for those that end."""
        for worker in list(self._workers):
            if worker.thread is not threading.current_thread() and worker.thread.ident is not None:
                worker.thread.join(seconds)

    def work(self, worker: _Worker) -> None:
        """The life of a thread."""
        self._here.counts = True
        while worker.next is not None:
            number, task = worker.next
            if self._in_turn(number, task):
                task.run()
            del task
            with self._lock:
                worker.next = self._backlog.popleft() if self._backlog else None
                if worker.next is not None:
                    continue
                if self._closed or len(self._workers) > self._size + self._uncounted:
                    break
                self._idle.append(worker)
            worker.gate.acquire()
        with self._lock:
            self._workers.discard(worker)

    def _in_turn(self, number: int, task: Task) -> bool:
        """Prepare it after all that came before."""
        if self._prepared != number:
            with self._lock:
                self._early += 1
                self._order.wait_for(lambda: self._prepared == number)
                self._early -= 1
        try:
            return task.prepare()
        finally:
            with self._lock:
                self._prepared += 1
                if self._early:
                    self._order.notify_all()


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


class Deliveries:
    """Threads that hand data over to targets, as many as there are targets that are busy."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._tasks: deque[Callable[[], object]] = deque()
        self._free = 0
        self._closed = False

    def submit(self, task: Callable[[], object]) -> None:
        """Never waits for another task. It must not raise."""
        with self._changed:
            self._tasks.append(task)
            if self._free >= len(self._tasks):
                self._changed.notify()
                return
            thread = threading.Thread(target=self._work, name=f"sink of {self._name}", daemon=True)
            self._threads.add(thread)
        thread.start()

    def close(self) -> None:
        """After what was submitted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the threads; one whose target never comes back stays."""
        with self._changed:
            threads = [thread for thread in self._threads if thread.ident is not None]
        end = time.monotonic() + seconds
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while (task := self._next()) is not None:
            task()
            del task

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._free += 1
            while not self._tasks and not self._closed:
                self._changed.wait()
            self._free -= 1
            if self._tasks:
                return self._tasks.popleft()
            self._threads.discard(threading.current_thread())
            return None
