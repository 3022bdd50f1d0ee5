"""Leaving the terminal, as v2's programs do: the caller goes on when the pidfile holds the number of the daemon.

The lock is one of the kernel (flock): it ends with the process, so that the file of one that was killed hinders nobody.
It is taken before the process leaves, when there is still somebody to tell that another one has it.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zuul_launcher.errors import ConfigurationError

LOCK_SECONDS = 10.0
PAUSE = 0.1


@contextmanager
def detached(pidfile: Path | None, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """The block runs in a daemon, the caller's process ends with status 0; None: here, without a pidfile.

    Before threads are started. `seconds`: how long the pidfile is waited for.

    :raises ConfigurationError: another process has the pidfile, or it cannot be written.
    """
    if pidfile is None:
        yield
        return
    pidfile = pidfile.absolute()
    lock = _locked(pidfile, seconds)
    try:
        _leave(lock)
        yield
    finally:
        pidfile.unlink(missing_ok=True)
        os.close(lock)


def _locked(pidfile: Path, seconds: float) -> int:
    """The open file."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            lock = os.open(pidfile, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigurationError(f"pidfile {pidfile}: {error.strerror}: name another one in zuul.conf") from error
        if _is_taken(lock, pidfile):
            return lock
        if time.monotonic() >= deadline:
            os.close(lock)
            raise ConfigurationError(f"pidfile {pidfile} is locked for {seconds:g} s: stop the other process first")
        time.sleep(PAUSE)
        os.close(lock)


def _is_taken(lock: int, pidfile: Path) -> bool:
    """False: another process has it, or has removed the file meanwhile."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), pidfile.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _leave(lock: int) -> None:
    """Go on as the grandchild, in a session of its own without a terminal; the lock goes along.

    The folder stays the same, so that relative paths of zuul.conf mean what they meant to whoever checked them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status))
    os.setsid()
    daemon = os.fork()
    if daemon:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{daemon}\n".encode(), 0)
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
