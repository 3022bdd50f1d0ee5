"""Agents as processes of this machine, run by any command that ends in python3. Controller only."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO

from zuul_launcher.remoting.bootstrap import open_channel, payload
from zuul_launcher.remoting.channel import AGENT_LOG, Channel
from zuul_launcher.remoting.settings import ChannelSettings
from zuul_launcher.remoting.transport import write_all

LOG = logging.getLogger(__name__)
LAST_LINES = 20
MAX_FRAME = (1 << 18) + (1 << 12)  # a pipe passes a quarter MiB in well under a millisecond: nobody waits for long
_PIPE_BYTES = 1 << 20
_LINE = 4096  # bytes of a line of stderr that are shown
_BARE = ("-I", "-S", "-u", "-c")


def connect_subprocess(
    python: Sequence[str] = ("python3",),
    *,
    name: str = "subprocess",
    settings: ChannelSettings | None = None,
    environment: Mapping[str, str] | None = None,
) -> Channel:
    """Run an agent with this command, such as ["setpriv", "--reuid=nobody", "python3"], and open a channel to it.

    HandshakeFailed: no agent answered, with what did. OSError: the command cannot be run.
    """
    check_words(python)
    settings = settings or ChannelSettings(max_frame=MAX_FRAME)
    stub, data = payload(name, settings)
    process = subprocess.Popen(
        [*python, *_BARE, stub],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=None if environment is None else dict(environment),
        start_new_session=True,  # Ctrl-C is for the controller, which then closes the channel
    )
    return open_channel(ProcessTransport(process, name), name, settings, data)


def check_words(python: Sequence[str]) -> None:
    """A text has words too, of one letter each. TypeError."""
    if isinstance(python, str):
        raise TypeError(f"the command of the Python is a list of words, such as [{python!r}]")


class LastLines:
    """The last lines of an agent's stderr; each goes to the log too."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._rest = b""

    def add(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._keep(line)
        if len(self._rest) > _LINE:
            self.end()

    def end(self) -> None:
        """A line without its end is one too."""
        if self._rest:
            self._keep(self._rest)
            self._rest = b""

    def _keep(self, line: bytes) -> None:
        text = line[:_LINE].decode("utf-8", "replace")
        self._lines.append(text)
        AGENT_LOG.info("%s: stderr: %s", self._name, text)

    def __str__(self) -> str:
        return "\n".join(self._lines.copy())


class ProcessTransport:
    """The standard streams of a process."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self._process = process
        self._stdin, self._stdout, self._stderr = (_present(s) for s in (process.stdin, process.stdout, process.stderr))
        for stream in (self._stdin, self._stdout):
            try:
                fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            except OSError:
                LOG.debug("%s: pipes stay small", name)  # the limit of the user is reached
        self._lines = LastLines(name)
        self._closing = threading.Lock()
        self._wake = os.pipe()
        self._drain = threading.Thread(target=self._read_errors, name=f"stderr of {name}", daemon=True)
        self._drain.start()

    def read_into(self, space: memoryview) -> int:
        return os.readv(self._stdout.fileno(), [space])

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        write_all(self._stdin.fileno(), parts)

    def _read_errors(self) -> None:
        """What the agent has started may hold its stderr longer than it lives: hence the second pipe."""
        poll = select.poll()
        for descriptor in (self._stderr.fileno(), self._wake[0]):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            data = os.read(self._stderr.fileno(), 1 << 16) if self._stderr.fileno() in ready else b""
            if not data:
                break
            self._lines.add(data)
        self._lines.end()

    def outcome(self, seconds: float) -> str:
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"its last words: {self._lines}" if str(self._lines) else ""
        self._drain.join(seconds)
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return f"{how}; its last words: {self._lines}" if str(self._lines) else how

    def close(self, patience: float) -> None:
        with self._closing:
            if self._wake[1] < 0:
                return
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._force(patience)
            self._drain.join(0.2)
            os.close(self._wake[1])  # ends the thread if something still holds stderr
            self._drain.join()
            os.close(self._wake[0])
            self._wake = (-1, -1)

    def _force(self, patience: float) -> None:
        """Its own end cleans up; a deaf one is killed."""
        self._process.terminate()
        try:
            self._process.wait(patience or 1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def release(self) -> None:
        """When no thread reads or writes any more."""
        for stream in (self._stdin, self._stdout, self._stderr):
            stream.close()


def _present(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "the process was started with three pipes"
    return stream
