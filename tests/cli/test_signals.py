"""Signals and locks."""

import signal
import threading
from collections.abc import Iterator

import pytest

from zuul_launcher.cli.signals import on_signals


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, handler)


def test_a_signal_may_come_while_the_main_thread_holds_a_lock_that_its_call_needs() -> None:
    lock, done = threading.Lock(), threading.Event()

    def call() -> None:
        with lock:
            done.set()

    on_signals({signal.SIGUSR1: call})
    with lock:
        signal.raise_signal(signal.SIGUSR1)
        assert not done.is_set()
    assert done.wait(60)
