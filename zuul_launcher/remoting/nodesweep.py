"""Finds and ends processes by what their environment says: those that left their group, as daemons do.

Linux: /proc/PID/environ, which only root and the owner of a process can read. Runs on nodes too: Python 3.8.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from zuul_launcher.remoting.context import sleep

_PAUSE = 0.1


def end_marked(marks: dict[str, str], grace: float) -> int:
    """TERM to each process with all these variables, KILL after `grace` seconds; how many there were."""
    if not marks or not all(name and value for name, value in marks.items()):
        raise ValueError("marks name the variables that the processes have: without any, all processes would have them")
    wanted = {f"{name}={value}".encode("utf-8", "surrogateescape") for name, value in marks.items()}
    found = _signal(wanted, signal.SIGTERM)
    seen = set(found)
    end = time.monotonic() + grace
    while found and time.monotonic() < end:
        sleep(_PAUSE)
        found = _marked(wanted)
    for _ in range(10):  # one that forks meanwhile has a child that was not seen
        if not found:
            break
        seen.update(found)
        found = _signal(wanted, signal.SIGKILL)
        sleep(_PAUSE)
    return len(seen)


def _signal(wanted: set[bytes], number: int) -> list[int]:
    found = _marked(wanted)
    for process in found:
        try:
            os.kill(process, number)
        except (ProcessLookupError, PermissionError):
            continue
    return found


def _marked(wanted: set[bytes]) -> list[int]:
    """Without this process and those that are dead and not yet taken notice of (their environment is empty)."""
    return [
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and int(each.name) != os.getpid() and wanted <= _environment(each)
    ]


def _environment(process: Path) -> set[bytes]:
    try:
        return set((process / "environ").read_bytes().split(b"\0"))
    except OSError:
        return set()
