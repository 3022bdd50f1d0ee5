"""Starts processes on a node, as subprocess.Popen does here, and ends them for certain.

A command is a list of texts, never a line for a shell. Streams are read with back-pressure or handed to a sink as they
come. A process ends with its channel, and with the call that started it if that is cancelled. Runs on nodes too.
"""

from __future__ import annotations

import atexit
import errno
import io
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from weakref import WeakKeyDictionary

from zuul_launcher.remoting import nodeprocesses, nodesweep
from zuul_launcher.remoting.channel import LocalChannel
from zuul_launcher.remoting.context import current_call, wait_for
from zuul_launcher.remoting.errors import RemotingError, ResultRejected, WrongChannel
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.pipe import Pipe

if TYPE_CHECKING:
    from zuul_launcher.remoting.channel import Channel

PIPE = "pipe"
STDOUT = nodeprocesses.MERGED
START_SECONDS = 60.0
CHUNK = 64 * 1024


class LaunchError(RemotingError, OSError):
    """The process could not be started: errno says why, filename which program or folder it is about."""


class Launcher:
    """`channel`: where processes are started; None: on this machine."""

    def __init__(self, channel: Channel | None) -> None:
        self._owner = channel
        self.channel = _here() if channel is None else channel

    def launch(
        self,
        command: Sequence[str | FilePath],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: FilePath | None = None,
        stdin: bytes | BinaryIO | str | None = None,
        stdout: BinaryIO | str | None = None,
        stderr: BinaryIO | str | None = None,
        user: str | None = None,
    ) -> Proc:
        """Starts a process; LaunchError (with errno) if that fails.

        `command`: the program and its arguments, passed on as they are. A FilePath of the same node is its path there.
        `env`: added to the environment of the agent; None takes a variable away. `cwd`: else the folder of the agent.
        `stdin`: bytes, a binary file that is read here, or PIPE; else empty. `stdout`, `stderr`: a binary file that is
        written here as output comes, or PIPE (then read `proc.stdout`); else thrown away. `stderr=STDOUT` joins both
        in the order in which they were written. `user`: another user, if the agent is root.
        """
        _check_stream("stdin", stdin, "read", (PIPE,))
        _check_stream("stdout", stdout, "write", (PIPE, STDOUT))
        _check_stream("stderr", stderr, "write", (PIPE, STDOUT))
        order = nodeprocesses.Order(
            command=self._command(command),
            environment=_variables(env or {}),
            folder=None if cwd is None else self._text(cwd),
            user=user,
        )
        if stdout == STDOUT:
            raise ValueError("stderr=STDOUT joins both; stdout is a file or PIPE")
        return Proc(self.channel, order, stdin, stdout, stderr)

    def end_marked(self, marks: Mapping[str, str], grace: float = nodeprocesses.GRACE) -> int:
        """Ends all processes of the node that have these environment variables, daemons too; how many there were."""
        return int(self.channel.call(nodesweep.end_marked, dict(marks), grace))

    def _command(self, command: Sequence[str | FilePath]) -> list[str]:
        if isinstance(command, (str, bytes)):
            raise TypeError("a command is a list; if a shell is meant: ['sh', '-c', text]")
        found = [self._text(each) for each in command]
        if not found:
            raise ValueError("a command has at least the name of a program")
        return found

    def _text(self, part: str | FilePath) -> str:
        if isinstance(part, FilePath):
            if part.channel is not self._owner:
                raise WrongChannel(f"{part!r} is not on the node where the process is to run")
            return str(part)
        if not isinstance(part, str):
            raise TypeError(f"a command has texts and paths of the node, not {type(part).__name__}")
        return part


def _check_stream(name: str, stream: Any, method: str, words: tuple[str, ...]) -> None:
    """TypeError: it cannot be what a process reads or writes."""
    if stream is None or stream in words or (isinstance(stream, bytes) and method == "read"):
        return
    if isinstance(stream, io.TextIOBase):
        raise TypeError(f"{name} is a file of bytes; of a file of texts such as sys.{name} it is the .buffer")
    if not hasattr(stream, method):
        raise TypeError(f"{name} is {'bytes, ' * (method == 'read')}a binary file, PIPE or None, not {stream!r:.100}")


def _variables(env: Mapping[str, str | None]) -> dict[str, str | None]:
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, (str, type(None))):
            raise TypeError(f"env has texts, and None to take a variable away, not {name!r}: {value!r:.100}")
    return dict(env)


class Proc:
    """A process on a node. As a context manager it is ended with the block, if it still runs then."""

    pid: int
    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None
    stderr: BinaryIO | None = None

    def __init__(self, channel: Channel, order: nodeprocesses.Order, stdin: Any, stdout: Any, stderr: Any) -> None:
        self._condition = threading.Condition()
        self._has_started = False
        self._exit: int | None = None
        self._error: BaseException | None = None
        self._sinks: list[_Sink] = []
        self._input_error: BaseException | None = None
        self._reactions = ExitStack()
        self._what = " ".join(order.command)[:200]
        self._status, self._control = Pipe.to_local(), Pipe.to_remote()
        inward = None if stdin is None else Pipe.to_remote()
        outward = [None if each is None or each == STDOUT else Pipe.to_local() for each in (stdout, stderr)]
        merged = STDOUT if stderr == STDOUT else outward[1]
        run = nodeprocesses.run
        self._future = channel.call_async(run, order, self._status, self._control, inward, outward[0], merged)
        _thread(self._watch, f"watch of {order.command[0]}")
        self._wait_started()
        if inward is not None:
            self.stdin = self._feed(stdin, inward)
        self.stdout, self.stderr = (self._drain(sink, pipe) for sink, pipe in zip((stdout, stderr), outward))  # noqa: B905

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, as soon as the process has ended; -N: by signal N. Its output may still be on the way.

        TimeoutError after `timeout` seconds, and the process goes on; ChannelClosed if its node is lost.
        """
        with _resting(), self._condition:
            if not wait_for(self._condition, lambda: self._exit is not None or self._error, timeout):
                raise TimeoutError(f"{self._what!r} has not ended within {timeout:g} s")
            if self._exit is None:
                assert self._error is not None
                raise self._error
            return self._exit

    def join(self, timeout: float | None = None) -> int:
        """As wait, but after all output has been handed to the sinks, also that of processes it left behind.

        Raises the error of a sink, or of the file that was its input. Output that goes to PIPE is yours to read:
        before, or in another thread.
        """
        end = None if timeout is None else time.monotonic() + timeout
        status = self.wait(timeout)
        for sink in self._sinks:
            sink.join(None if end is None else max(0.0, end - time.monotonic()))
        if self._input_error is not None:
            raise self._input_error
        return status

    def is_alive(self) -> bool:
        """Whether it still runs, as far as is known here. False too if its node is lost: the agent ends it then."""
        with self._condition:
            return self._exit is None and self._error is None

    def kill(self, grace: float = nodeprocesses.GRACE) -> None:
        """TERM to the process and its group, after `grace` seconds KILL; waits for that. Fine if it has ended."""
        self._order_end(grace)
        with _resting(), self._condition:
            wait_for(self._condition, lambda: self._exit is not None or self._error, grace + START_SECONDS)

    def __enter__(self) -> Proc:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._future.done():
            self.kill()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()

    def _order_end(self, grace: float) -> None:
        try:
            self._control.writer.write(f"{grace:.3f}\n".encode())
        except OSError:
            pass  # the process has ended, or its channel: then nothing is left to do

    def _watch(self) -> None:
        """Takes in the news of the node until there is no more."""
        try:
            for line in self._status.reader:
                self._note(json.loads(line))
            self._future.result()
            error: BaseException = ResultRejected("the node tells no end of the process")
        except Exception as problem:  # of the channel, or of a node that sends nonsense: told to whoever waits
            error = problem
        with self._condition:
            self._error = self._error or error
            self._condition.notify_all()
        self._reactions.close()

    def _note(self, news: Any) -> None:
        with self._condition:
            if "started" in news:
                self.pid = int(news["started"])
                self._has_started = True
            elif "failed" in news:
                number, text, path = news["failed"]
                self._error = LaunchError(int(number), str(text), str(path) or self._what)
            elif "exit" in news:
                self._exit = int(news["exit"])
            self._condition.notify_all()

    def _wait_started(self) -> None:
        call = current_call()
        try:
            if call is not None:
                self._reactions.enter_context(call.reaction(lambda: self._order_end(nodeprocesses.GRACE)))
            with self._condition:
                is_known = wait_for(self._condition, lambda: self._has_started or self._error, START_SECONDS)
        except BaseException:
            self._future.cancel()
            raise
        if not is_known:
            self._future.cancel()
            raise LaunchError(errno.ETIMEDOUT, f"the node did not start it within {START_SECONDS:g} s", self._what)
        if not self._has_started:
            assert self._error is not None
            raise self._error

    def _feed(self, source: Any, pipe: Pipe) -> BinaryIO | None:
        if source == PIPE:
            return cast(BinaryIO, pipe.writer)
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        _thread(lambda: self._copy_in(stream, pipe), f"input of {self.pid}")
        return None

    def _copy_in(self, source: BinaryIO, pipe: Pipe) -> None:
        try:
            while chunk := source.read(CHUNK):
                pipe.writer.write(chunk)
            pipe.writer.close()
        except BrokenPipeError:
            pass  # the process wants no more
        except Exception as error:  # raised by join; the node is told that this is not all
            self._input_error = error
            pipe.writer.error(error)

    def _drain(self, sink: Any, pipe: Pipe | None) -> BinaryIO | None:
        if pipe is None:
            return None
        if sink == PIPE:
            return cast(BinaryIO, pipe.reader)
        self._sinks.append(_Sink(sink, pipe))
        return None


class _Sink:
    """Hands output over as it comes, in a thread of its own. If the sink fails, the process loses its reader."""

    def __init__(self, target: BinaryIO, pipe: Pipe) -> None:
        self._target, self._reader = target, pipe.reader
        self._error: BaseException | None = None
        self._thread = _thread(self._run, "output of a process")

    def join(self, timeout: float | None) -> None:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError("the output has not ended: a process that was left behind holds it")
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while chunk := self._reader.read1(CHUNK):
                self._target.write(chunk)
        except Exception as error:  # raised by join
            self._error = error
        finally:
            self._reader.close()


def _thread(target: Callable[[], object], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def _resting() -> AbstractContextManager[None]:
    """A call that waits takes no place from other calls."""
    call = current_call()
    return nullcontext() if call is None else call.channel.pool.waiting()


_lock = threading.Lock()
_channels: WeakKeyDictionary[Any, LocalChannel] = WeakKeyDictionary()


class _Process:
    """Stands for this process, where no call is running."""


_THIS = _Process()


def _here() -> LocalChannel:
    """The channel to this machine: one a process, and one for each channel whose calls launch something."""
    call = current_call()
    owner: Any = call.channel if call is not None else _THIS
    with _lock:
        found = _channels.get(owner)
        if found is None or not found.is_open:
            found = _channels[owner] = LocalChannel("here")
            if call is not None:
                channel = found
                call.channel.on_close(lambda cause: channel.close())
            else:
                atexit.register(found.close)
    return found
