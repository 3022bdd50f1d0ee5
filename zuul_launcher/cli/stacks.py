"""What every thread does at this moment, told in the log: a daemon has no other place that somebody reads."""

import logging
import sys
import threading
import traceback

log = logging.getLogger("zuul_launcher.stacks")


def log_stacks() -> None:
    """A line for each thread, and below it where it is, innermost call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        log.info("Thread: %s %s", ident, names.get(ident, ""))
        for line in "".join(traceback.format_stack(frame)).splitlines():
            log.info("  %s", line)
