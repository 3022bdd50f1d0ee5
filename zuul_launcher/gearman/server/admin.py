"""The text protocol: one line in, an answer out. Formats are gearmand's, so that `gearadmin` reads them.

Answers of one line start with OK or ERR; lists end with a line of a single dot. Every line is answered: a client of
gear's own server waits forever for what that does not know.
"""

import os
from collections.abc import Iterable
from importlib import metadata

from zuul_launcher.gearman.server.job import JobState, Peer, Priority
from zuul_launcher.gearman.server.queue import JobQueue

VERSION = f"zuul-launcher {metadata.version('zuul-launcher')}"
_UNKNOWN = "ERR UNKNOWN_COMMAND Unknown+server+command\n"
_LIMIT_DIGITS = 9


def answer(queue: JobQueue, peers: Iterable[Peer], line: str) -> bytes:
    """The complete answer to a line; `peers` are all connections."""
    match line.split():
        case ["status", *_]:
            text = _listing(_status(queue))
        case ["prioritystatus", *_]:
            text = _listing(_priority_status(queue))
        case ["workers", *_]:
            text = _listing(_workers(peers))
        case ["show", "jobs"]:
            text = _listing(_jobs(queue))
        case ["show", "jobs", "details"]:  # no other server has it
            text = _listing(_details(queue))
        case ["show", "unique", "jobs"]:
            text = _listing(_uniques(queue))
        case ["version"]:
            text = f"OK {VERSION}\n"
        case ["getpid"]:
            text = f"OK {os.getpid()}\n"
        case ["cancel", "job", handle]:
            text = "OK\n" if queue.cancel(handle.encode()) else "ERR UNKNOWN_JOB\n"
        case ["maxqueue", *arguments]:
            text = _limit(queue, arguments)
        case ["shutdown", *_]:
            text = "ERR REFUSED The+server+is+stopped+with+a+signal\n"
        case _:
            text = _UNKNOWN
    return text.encode()


def _listing(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (*lines, "."))


def _functions(queue: JobQueue) -> list[tuple[bytes, str]]:
    names = queue.abilities.functions() | queue.lanes.functions() | set(queue.running)
    return [(name, name.decode(errors="replace")) for name in sorted(names)]


def _status(queue: JobQueue) -> Iterable[str]:
    for function, name in _functions(queue):
        yield f"{name}\t{queue.total(function)}\t{queue.running[function]}\t{queue.abilities.count(function)}"


def _priority_status(queue: JobQueue) -> Iterable[str]:
    for function, name in _functions(queue):
        waiting = "\t".join(str(queue.lanes.count(function, priority)) for priority in Priority)
        yield f"{name}\t{waiting}\t{queue.abilities.count(function)}"


def _workers(peers: Iterable[Peer]) -> Iterable[str]:
    for peer in peers:
        names = "".join(f" {name.decode(errors='replace')}" for name in peer.functions)
        yield f"{peer.descriptor} {peer.address} {peer.client_id} :{names}"


def _jobs(queue: JobQueue) -> Iterable[str]:
    """Handle, retries, whether it is a zombie, whether it was submitted in the background: gearmand's four columns."""
    for job in queue.jobs.values():
        if job.state is not JobState.ENDED:
            yield f"{job.handle.decode()}\t0\t0\t{int(job.background)}"


def _details(queue: JobQueue) -> Iterable[str]:
    """Handle, state, function, unique id."""
    for job in queue.jobs.values():
        if job.state is not JobState.ENDED:
            function = job.function.decode(errors="replace")
            yield f"{job.handle.decode()}\t{job.state.value}\t{function}\t{_printable(job.unique)}"


def _uniques(queue: JobQueue) -> Iterable[str]:
    for job in queue.jobs.values():
        if job.unique:
            yield _printable(job.unique)


def _printable(unique: bytes) -> str:
    """A unique is any text of a client; control characters would forge lines."""
    return "".join(c if c.isprintable() else "?" for c in unique.decode(errors="replace"))


def _limit(queue: JobQueue, arguments: list[str]) -> str:
    """`maxqueue FUNCTION [SIZE]`: at most SIZE jobs of the function, any number without it."""
    match arguments:
        case [function]:
            queue.limits.pop(function.encode(), None)
        case [function, size] if size.isdecimal() and len(size) <= _LIMIT_DIGITS and int(size) > 0:
            queue.limits[function.encode()] = int(size)
        case _:
            return "ERR INVALID_ARGUMENTS maxqueue+FUNCTION+[SIZE]\n"
    return "OK\n"
