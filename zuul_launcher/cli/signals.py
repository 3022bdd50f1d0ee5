"""What a signal asks for is done on a thread of its own.

A handler runs in the middle of whatever the main thread does. If it took a lock that the main thread holds at that
moment (queues and events have one), the process would wait for itself for ever. `SimpleQueue.put` takes none.
"""

import logging
import queue
import signal
import threading
from collections.abc import Callable, Mapping

Call = Callable[[], None]

log = logging.getLogger("zuul_launcher.signals")


def on_signals(calls: Mapping[signal.Signals, Call]) -> None:
    """From now on each of these signals makes its call. Of the main thread only, which alone may set handlers."""
    asked: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            call = asked.get()
            try:
                call()
            except Exception:  # a reload that fails must not be the last signal that is heard
                log.exception("what a signal asked for failed")

    threading.Thread(target=serve, name="signals", daemon=True).start()
    for number, call in calls.items():
        signal.signal(number, lambda *_, call=call: asked.put(call))
