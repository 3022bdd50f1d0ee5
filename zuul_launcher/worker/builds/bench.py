"""What steps and publishers of one build work with, once its place is found. A noun, and how it runs a process.

A process ends in one of four ways: by itself, because its time is over, because the build is aborted, or with its
node. In the second and third, all that belongs to the build's environment is ended with it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from msgspec import Struct

from zuul_launcher.errors import ZuulLauncherError
from zuul_launcher.remoting import Channel
from zuul_launcher.remoting.errors import Cancelled, ChannelClosed, HandshakeFailed
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import STDOUT, Launcher, Proc
from zuul_launcher.worker.builds.abort import Abort
from zuul_launcher.worker.builds.console import Console
from zuul_launcher.worker.builds.environment import COOKIE
from zuul_launcher.worker.builds.limits import Limits
from zuul_launcher.worker.builds.outcome import shown_status
from zuul_launcher.worker.definitions.job import Job
from zuul_launcher.worker.parts import NodeLost
from zuul_launcher.worker.places import BuildFolder

PATIENCES = 5  # how often more output is waited for


class TimeLimit(ZuulLauncherError):
    """A process did not end within its time, and was ended."""


class Unavailable(ZuulLauncherError):
    """What the build needs cannot be had now, through no fault of its own. A build that meets it has no result."""


class Bench(Struct, kw_only=True):
    """Made for one try of one build. `variables` grows: sources and secrets add theirs."""

    job: Job
    node: str
    channel: Channel
    root: FilePath  # of the node
    workspace: FilePath
    temporary: FilePath
    folder: BuildFolder
    console: Console
    limits: Limits
    abort: Abort
    texts: Mapping[str, str]  # parameters
    words: Mapping[str, str]  # what `${NAME}` can stand for: parameters and variables, but no secrets
    variables: dict[str, str]
    cookie: str
    clock: float = 0.0  # Unix time of the node's file system when the build began there
    has_sources: bool = False  # a repository is in the workspace
    first_process: int = 0  # its number; 0: nothing was started
    started_at: float = 0.0  # when, by the monotonic clock

    @property
    def launcher(self) -> Launcher:
        return Launcher(self.channel)


class Seen:
    """Passes output on, if there is a target, and keeps the end of it and how much there was."""

    def __init__(self, target: Console | None) -> None:
        self._target = target
        self.count = 0
        self.last = b""

    def write(self, data: bytes) -> int:
        self.count += len(data)
        self.last = (self.last + data)[-8192:]
        return len(data) if self._target is None else self._target.write(data)


@contextmanager
def node_errors() -> Iterator[None]:
    """The end of a channel is the loss of its node."""
    try:
        yield
    except (ChannelClosed, HandshakeFailed) as error:
        raise NodeLost(str(error)) from error


def call(channel: Channel, abort: Abort, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result on the node. Raises Aborted, NodeLost, and Unavailable if it cannot be done there."""
    with node_errors():
        future = channel.call_async(function, *arguments)
        try:
            with abort.reaction(future.cancel):
                return future.result(seconds)
        except Cancelled:
            abort.check()
            raise
        except TimeoutError as error:
            future.cancel()
            raise Unavailable(f"{channel.name}: {function.__name__} did not end within {seconds:g} s") from error
        except OSError as error:
            if isinstance(error, ChannelClosed):
                raise
            raise Unavailable(f"{channel.name}: {error}") from error


def run(
    bench: Bench,
    command: Sequence[str | FilePath],
    *,
    variables: Mapping[str, str] | None = None,
    folder: FilePath | None = None,
    seconds: float | None = None,
    stdin: bytes | None = None,
    output: Seen | None = None,
) -> int:
    """Its exit status, 128 + n for signal n. `variables`: else those of the bench. `output`: else the console.

    Raises TimeLimit, Aborted, NodeLost, and LaunchError if it could not be started.
    """
    bench.abort.check()
    seen = Seen(bench.console) if output is None else output
    bench.started_at = bench.started_at or time.monotonic()
    with node_errors():
        proc = bench.launcher.launch(
            command,
            env=dict(bench.variables if variables is None else variables),
            cwd=folder or bench.workspace,
            stdin=stdin,
            stdout=cast(BinaryIO, seen),
            stderr=STDOUT,
        )
        bench.first_process = bench.first_process or proc.pid
        with bench.abort.reaction(lambda: proc.kill(_grace(bench))):
            try:
                status = proc.wait(seconds)
            except TimeoutError:
                _end(bench, proc)
                raise TimeLimit(f"it did not end within {seconds:g} s") from None
        if bench.abort.reason is not None:
            _end(bench, proc)
            bench.abort.check()
        _wait_output(bench, proc, seen)
    return shown_status(status)


def sweep(bench: Bench) -> None:
    """Ends what has left its group, as daemons do."""
    bench.launcher.end_marked({COOKIE: bench.cookie}, _grace(bench))


def _grace(bench: Bench) -> float:
    is_hurried = bench.abort.reason == "shutdown"
    return bench.limits.shutdown_grace if is_hurried else bench.limits.kill_grace


def _end(bench: Bench, proc: Proc) -> None:
    proc.kill(_grace(bench))
    sweep(bench)
    try:
        proc.join(bench.limits.output_patience)
    except (TimeoutError, ValueError):
        pass


def _wait_output(bench: Bench, proc: Proc, seen: Seen) -> None:
    """All that the process wrote. What it left behind may write for ever, or hold its streams: that is not waited for.

    No more than a window of the channel can have been on the way when the process ended."""
    before = seen.count
    for _ in range(PATIENCES):
        try:
            proc.join(bench.limits.output_patience)
            return
        except TimeoutError:
            bench.abort.check()
            if seen.count == before:
                break
            before = seen.count
    bench.console.note("[a process that was left running holds the output: going on without it]")


def deadline(seconds: float | None, clock: Callable[[], float] = time.monotonic) -> Callable[[], float | None]:
    """How many seconds are left of so many, from now on; None: there is no limit."""
    if seconds is None:
        return lambda: None
    end = clock() + seconds
    return lambda: max(0.0, end - clock())
