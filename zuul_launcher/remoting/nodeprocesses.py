"""Runs one process for a Launcher: one call that lasts as long as the process and its output.

1. The process is the leader of a session of its own; ending it means TERM to the group, then KILL to the group.
2. Its number is not given back to the system before all signals were sent: no signal ever meets a stranger.
3. Output goes into pipes with windows: a reader that does not read stops the process, not the channel.
4. News goes into the status pipe, one JSON text a line: `{"started": PID}`, `{"failed": [ERRNO, TEXT, PATH]}`,
   `{"exit": CODE}` (negative: the signal, as in subprocess). Orders come by the control pipe: one line with the seconds
   between TERM and KILL.
5. When the call is cancelled or the channel ends, the process is ended.

Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from zuul_launcher.remoting.context import current_call
from zuul_launcher.remoting.errors import Cancelled

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

CHUNK = 64 * 1024
GRACE = 10.0  # seconds from TERM to KILL
LAST_GRACE = 2.0  # the same when the channel has ended
AFTER_KILL = 5.0  # seconds for output of a killed process; then others that hold its streams are left alone
MERGED = "merged"


@dataclass(frozen=True)
class Order:
    """What to run. `environment` is added to that of the agent; None takes a variable away."""

    command: list[str]
    environment: dict[str, str | None]
    folder: str | None
    user: str | None


class Running:
    """A process that was started, until all that belongs to it is over."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._has_exited = False
        self._kill_at = float("inf")
        self._is_shortened = threading.Event()  # or it has exited: look again
        self._is_killed = threading.Event()
        self._is_over = False
        self._ending: threading.Thread | None = None
        self._stop, self._stopped = os.pipe()
        self.pumps: list[threading.Thread] = []  # of output
        self.listeners: list[threading.Thread] = []  # to input and orders

    def wait_exit(self) -> int:
        """Waits without reaping: see rule 2."""
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._has_exited = True
        self._is_shortened.set()
        assert found is not None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def end(self, grace: float) -> None:
        """Begins to end the process and its group; returns at once. A second time can only shorten the grace."""
        with self._lock:
            self._kill_at = min(self._kill_at, time.monotonic() + grace)
            self._is_shortened.set()
            if self._ending is None and not self._is_over:
                self._ending = threading.Thread(target=self._end, name="process: end", daemon=True)
                self._ending.start()

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        while not self._has_exited and (left := self._kill_at - time.monotonic()) > 0:
            self._is_shortened.wait(left)
            self._is_shortened.clear()
        self._signal(signal.SIGKILL)
        self._is_killed.set()
        end = time.monotonic() + AFTER_KILL
        for pump in self.pumps:
            pump.join(max(0.0, end - time.monotonic()))
        os.write(self._stopped, b"x")

    def wait_ended(self) -> None:
        """After end(): until KILL was sent."""
        if self._ending is not None:
            self._is_killed.wait(LAST_GRACE + AFTER_KILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # a group of which all are gone; or programs of other users in it, which the system protects

    def pump_out(self, source: int, writer: Any) -> None:
        """Until the end of the output. A reader that has gone ends the stream for the process too: `cmd | head`."""
        try:
            while self._is_ready(source, select.POLLIN) and (chunk := os.read(source, CHUNK)):
                writer.write(chunk)
            writer.close()
        except OSError:
            pass
        finally:
            os.close(source)

    def pump_in(self, reader: Any, target: int) -> None:
        os.set_blocking(target, False)
        try:
            while chunk := reader.read1(CHUNK):
                view = memoryview(chunk)
                while view and self._is_ready(target, select.POLLOUT):
                    view = view[os.write(target, view) :]
                if view:
                    break
        except Exception:  # noqa: S110 - the process wants no more, or its input failed, which the controller tells
            pass
        finally:
            os.close(target)
            reader.close()

    def _is_ready(self, descriptor: int, event: int) -> bool:
        """False: the process was killed, and nobody waits any more."""
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._stop, select.POLLIN)
        ready = poll.poll()
        return any(found == descriptor for found, _ in ready)

    def finish(self, *inward: Any) -> None:
        """All output is over: an ending that has begun is waited for, then the number is given back.

        `inward`: pipes that threads of this process may still read.
        """
        with self._lock:
            ending = self._ending
            self._is_over = True
        if ending is not None:
            ending.join()
        self._process.wait()
        os.write(self._stopped, b"x")
        for pipe in inward:
            pipe.reader.close()
        for thread in self.listeners:
            thread.join()
        os.close(self._stop)
        os.close(self._stopped)


_live: WeakKeyDictionary[Channel, set[Running]] = WeakKeyDictionary()
_live_lock = threading.Lock()


def run(order: Order, status: Any, control: Any, stdin: Any, stdout: Any, stderr: Any) -> None:
    """Everything in one call: see the rules above. Each stream is a pipe or None (nothing); stderr may be MERGED."""
    call = current_call()
    assert call is not None, "a process is attended by a call"
    try:
        process = _start(order, stdin, stdout, stderr)
    except (OSError, ValueError, KeyError) as error:
        _tell(status, {"failed": _reason(error)})
        return
    running = Running(process)
    _adopt(running, call.channel)
    try:
        # A process that runs takes no place from other calls.
        with call.channel.pool.waiting(), call.reaction(lambda: running.end(GRACE)):
            _attend(running, process, status, control, (stdin, stdout, stderr))
    except Cancelled:  # before it was attended
        running.end(GRACE)
        running.wait_exit()
        raise
    finally:
        running.finish(control, *([] if stdin is None else [stdin]))
        with _live_lock:
            _live[call.channel].discard(running)


def _attend(
    running: Running, process: subprocess.Popen[bytes], status: Any, control: Any, streams: tuple[Any, Any, Any]
) -> None:
    _tell(status, {"started": process.pid})
    running.listeners.append(_thread(_obey, running, control))
    if process.stdin is not None:
        running.listeners.append(_thread(running.pump_in, streams[0].reader, _taken(process.stdin)))
    for pipe, stream in ((streams[1], process.stdout), (streams[2], process.stderr)):
        if stream is not None:
            running.pumps.append(_thread(running.pump_out, _taken(stream), pipe.writer))
    _tell(status, {"exit": running.wait_exit()})
    for pump in running.pumps:
        pump.join()
    status.writer.close()


def _start(order: Order, stdin: Any, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    account: dict[str, Any] = {}
    if order.user is not None and order.user != pwd.getpwuid(os.geteuid()).pw_name:
        account, home = _account(order.user)
        environment.update(home)
    for name, value in order.environment.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return subprocess.Popen(
        order.command,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL if stdout is None else subprocess.PIPE,
        stderr=subprocess.STDOUT if stderr == MERGED else subprocess.DEVNULL if stderr is None else subprocess.PIPE,
        env=environment,
        cwd=order.folder,
        start_new_session=True,
        bufsize=0,
        **account,
    )


def _account(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What Popen must know of a user, and what the environment says of them."""
    user = pwd.getpwnam(name)
    if os.geteuid() != 0:
        us = pwd.getpwuid(os.geteuid()).pw_name
        raise PermissionError(errno.EPERM, f"the agent runs as {us}: only root starts processes of others", name)
    if sys.version_info < (3, 9):  # noqa: UP036 - nodes may have Python 3.8
        raise OSError(errno.ENOSYS, "Python 3.8 starts no process of another user", name)
    groups = os.getgrouplist(name, user.pw_gid)
    account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
    return account, {"HOME": user.pw_dir, "USER": name, "LOGNAME": name}


def _reason(error: Exception) -> list[Any]:
    if isinstance(error, OSError):
        return [error.errno or errno.EIO, error.strerror or str(error), str(error.filename or "")]
    if isinstance(error, KeyError):
        return [errno.EINVAL, str(error.args[0]), ""]
    return [errno.EINVAL, str(error), ""]


def _tell(status: Any, news: dict[str, Any]) -> None:
    try:
        status.writer.write(json.dumps(news).encode() + b"\n")
    except OSError:
        pass  # nobody listens any more; the channel's end, or a cancel, ends the process


def _obey(running: Running, control: Any) -> None:
    try:
        for line in control.reader:
            running.end(float(line))
    except (OSError, ValueError):
        pass


def _taken(stream: Any) -> int:
    """The descriptor, which nobody else closes any more."""
    taken = os.dup(stream.fileno())
    stream.close()
    return taken


def _thread(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, name=f"process: {target.__name__}", daemon=True)
    thread.start()
    return thread


def _adopt(running: Running, channel: Channel) -> None:
    with _live_lock:
        is_first = channel not in _live
        _live.setdefault(channel, set()).add(running)
    if is_first:
        channel.on_close(lambda cause: _end_all(channel))


def _end_all(channel: Channel) -> None:
    """The channel has ended: nothing that it started survives. Waits, since this process may end right after."""
    with _live_lock:
        running = list(_live.get(channel, ()))
    for each in running:
        each.end(LAST_GRACE)
    for each in running:
        each.wait_ended()
