"""The child process of `screening`: tries the layout's patterns on texts as it is told, until its alarm ends it.

Started as `python -m zuul_launcher.service.screening_child SECONDS DESCRIPTOR`. The descriptor is that of a file of two
unsigned integers, where the parent reads which text and which pattern were being tried. The alarm counts time of the
processor: a machine that is busy with other things makes no text look bad.
"""

import json
import mmap
import re
import signal
import sys
import warnings
from typing import Any

PROGRESS_BYTES = 8

Try = tuple[Any, ...]  # of each pattern its `search` or `match`


def tries_of(groups: dict[str, Any]) -> dict[str, Try]:
    """By kind of text. `groups`: kind -> {search, patterns}."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what may mean something else in a later Python
        return {
            kind: tuple(getattr(re.compile(one), "search" if group["search"] else "match") for one in group["patterns"])
            for kind, group in groups.items()
        }


def main(seconds: float, descriptor: int) -> None:
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)  # the kernel ends us: no regex can keep it from doing so
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for those who started us; we end when they do
    progress = memoryview(mmap.mmap(descriptor, PROGRESS_BYTES)).cast("I")
    tries = tries_of(json.loads(sys.stdin.buffer.readline()))
    _say(b"ready")
    for line in sys.stdin.buffer:
        for number, (kind, text) in enumerate(json.loads(line)):
            progress[0] = number
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            try:
                for position, attempt in enumerate(tries[kind]):
                    progress[1] = position
                    attempt(text)
            except (MemoryError, RecursionError):
                signal.raise_signal(signal.SIGVTALRM)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _say(b"done")


def _say(word: bytes) -> None:
    sys.stdout.buffer.write(word + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
