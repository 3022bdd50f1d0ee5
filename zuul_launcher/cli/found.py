"""Processes that outlive whoever started them: their numbers are kept in files, and found again.

A number alone proves nothing: it may be another program's by now. So its arguments are compared, and from then on the
process is held by a file descriptor (pidfd), which never names another one.
"""

import os
import select
import signal
import subprocess
from pathlib import Path


class FoundProcess:
    """A process that is not our child; used as `subprocess.Popen` is. How it ended nobody tells: the code is -1."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = descriptor

    def poll(self) -> int | None:
        return self._await(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        code = self._await(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def _await(self, timeout: float | None) -> int | None:
        """The descriptor can be read when the process has ended."""
        if self.returncode is None and select.select([self._descriptor], [], [], timeout)[0]:
            os.close(self._descriptor)
            self.returncode = -1
        return self.returncode


def remember(path: Path, pid: int) -> None:
    """Keep the number of a process, whatever happens meanwhile."""
    new = path.with_suffix(".new")
    new.write_text(f"{pid}\n")
    new.replace(path)


def find(path: Path, command: list[str]) -> FoundProcess | None:
    """The process whose number is kept in this file, if it is there and was started by this command."""
    try:
        pid = int(path.read_text())
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError):
        return None
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        arguments = []
    # not the interpreter: it may be the same one by another path
    if arguments[1:] == [os.fsencode(word) for word in command[1:]] and arguments:
        return FoundProcess(pid, descriptor)
    os.close(descriptor)
    return None
