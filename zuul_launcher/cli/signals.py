"""What a signal asks for is done on a thread of its own.

A handler of Python's runs in the middle of whatever the main thread does, and only when that thread does something.
If it took a lock that the main thread holds at that moment (queues and events have one), the process would wait for
itself for ever; and while the main thread waits for a lock, a signal that the kernel gives to another thread is not
heard at all. So the interpreter writes the number of each signal to a socket, on whichever thread it comes in
(`signal.set_wakeup_fd`), and our thread reads it there.
"""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Mapping

Call = Callable[[], None]

log = logging.getLogger("zuul_launcher.signals")


def on_signals(calls: Mapping[signal.Signals, Call]) -> None:
    """From now on each of these signals makes its call. Of the main thread only, which alone may set handlers."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    def serve() -> None:
        with reading:
            while numbers := reading.recv(64):
                for number in numbers:
                    if number in calls:
                        _make(calls[signal.Signals(number)])

    threading.Thread(target=serve, name="signals", daemon=True).start()
    # The socket is the interpreter's from now on, and lasts as long as the process.
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    for number in calls:
        signal.signal(number, _ignore)


def _make(call: Call) -> None:
    try:
        call()
    except Exception:  # a reload that fails must not be the last signal that is heard
        log.exception("what a signal asked for failed")


def _ignore(*_: object) -> None:
    """A handler of Python's has to be there: without one nothing is written to the socket."""
