"""Signals, threads and locks."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from zuul_launcher.cli.signals import on_signals


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, handler)
    if (ours := signal.set_wakeup_fd(-1)) >= 0:
        os.close(ours)  # its thread ends


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


WAITS_FOR_EVER = """
import signal, threading
from zuul_launcher.cli.signals import on_signals

def give_to_another_thread():
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

on_signals({signal.SIGUSR1: lambda: print("heard", flush=True)})
threading.Timer(0.5, give_to_another_thread).start()
threading.Event().wait()
"""


def test_a_signal_is_heard_that_comes_in_on_another_thread_while_the_main_one_waits() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS_FOR_EVER], stdout=subprocess.PIPE, text=True) as process:
        ending = threading.Timer(30, process.kill)
        ending.start()
        assert process.stdout
        heard = process.stdout.readline()
        ending.cancel()
        process.kill()
    assert heard == "heard\n"


def test_a_call_that_fails_is_not_the_last_one_that_is_made(caplog: pytest.LogCaptureFixture) -> None:
    asked, done = [0], threading.Event()

    def call() -> None:
        asked[0] += 1
        if asked[0] == 1:
            raise KeyError("a fault of ours")
        done.set()

    on_signals({signal.SIGUSR1: call})
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR1)
    assert done.wait(60)
    assert "what a signal asked for failed" in caplog.text
