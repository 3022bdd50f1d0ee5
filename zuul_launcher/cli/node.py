"""`zuul-launcher node`: run a command on a node, copy files, test the connection. What a person uses to check a node.

A node is `[USER@]HOST[:PORT]`, reached over SSH with keys; `local` is this machine. Nothing is installed there.
"""

import getpass
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from zuul_launcher.remoting import Channel, LocalChannel, connect_ssh
from zuul_launcher.remoting.errors import RemotingError
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import Launcher
from zuul_launcher.remoting.ssh import SshNode

LOCAL = "local"
KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
STOPPED = 128  # a command that a signal ended gives 128 + its number, as a shell says it
PING_SECONDS = 60.0
LINE_SECONDS = 10.0

_HOST = re.compile(r"(?:(?P<user>[^@:/\s]+)@)?(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^@:/\[\]\s]+)(?::(?P<port>\d{1,5}))?")
_PLACE = re.compile(r"(?P<node>(?:[^@:/\s]+@)?(?:\[[^\]/]+\]|[^@:/\[\]\s]+)(?::\d{1,5})?):(?P<path>/.*)", re.DOTALL)
_HOST_KEY = re.compile(r"[\w@.-]+ [A-Za-z0-9+/]+=*( .*)?")
_Command = TypeVar("_Command", bound=Callable[..., None])


def _connection_options(command: _Command) -> _Command:
    for option in (
        click.option("--host-key", default="", metavar="'TYPE KEY'", help="The host key, instead of known_hosts."),
        click.option(
            "--known-hosts",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="File of host keys. [default: ~/.ssh/known_hosts]",
        ),
        click.option(
            "-i",
            "--identity",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Private key. [default: the SSH agent, else the first key of ~/.ssh]",
        ),
        click.option("--python", default="python3", show_default=True, help="Python of the node, 3.8 or newer."),
        click.option(
            "--connect-timeout", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Seconds to wait."
        ),
    ):
        command = option(command)
    return command


@click.group()
def node() -> None:
    """Run commands on a node, copy files to and from it, test it."""


@node.command("exec")
@click.argument("host", metavar="NODE")
@click.argument("command", nargs=-1, required=True)
@click.option("--cwd", metavar="PATH", help="Folder of the node to run in. [default: where its agent starts]")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="Add a variable; may be repeated.")
@click.option("--stdin", "reads", is_flag=True, help="Pass standard input on. [default: the command reads nothing]")
@click.option("--user", help="Run as this user; the login must be root's.")
@click.option("--timeout", type=click.FloatRange(0.1), help="Seconds after which the command is ended. [default: none]")
@_connection_options
@click.pass_context
def execute(
    context: click.Context,
    /,
    host: str,
    command: tuple[str, ...],
    cwd: str | None,
    variables: tuple[str, ...],
    reads: bool,
    user: str | None,
    timeout: float | None,
    **connection: Any,
) -> None:
    """Run COMMAND on NODE, print its output as it comes, and exit with its status (128+N: ended by signal N).

    Write `--` before COMMAND. Its words are passed on as they are; for a line of shell give: sh -c 'LINE'.
    """
    environment = _variables(variables)
    with _connected(host, connection) as channel:
        process = Launcher(channel).launch(
            command,
            env=environment,
            cwd=None if cwd is None else _path(channel, cwd),
            stdin=sys.stdin.buffer if reads else None,
            stdout=cast(BinaryIO, _Flushed(sys.stdout.buffer)),
            stderr=cast(BinaryIO, _Flushed(sys.stderr.buffer)),
            user=user,
        )
        with process:
            try:
                status = process.join(timeout)
            except TimeoutError:
                process.kill()
                raise click.ClickException(f"the command was ended, it had not finished within {timeout:g} s") from None
    context.exit(status if status >= 0 else STOPPED - status)


@node.command()
@click.argument("source")
@click.argument("target")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches, such as '**/*.o'; repeatable.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@_connection_options
def copy(source: str, target: str, exclude: tuple[str, ...], quiet: bool, **connection: Any) -> None:
    """Copy a file or a folder with all that is in it: SOURCE and TARGET are PATH or NODE:PATH, with absolute PATH.

    TARGET is the new name; of a folder the content goes into the folder TARGET. Links that lead out of a folder are
    left out, and named.
    """
    with _place(source, connection) as origin, _place(target, connection) as goal:
        status = origin.stat()
        with _progress(origin.name, status.size if status.is_file else None, quiet) as advance:
            if not status.is_dir:
                origin.copy_to(goal, advance)
                return
            copied = origin.copy_tree_to(goal, excludes=exclude, progress=advance)
    click.echo(f"{copied.entries} entries, {copied.size} bytes", err=True)
    for name in copied.left_out:
        click.echo(f"left out: {_visible(name)}", err=True)


@node.command()
@click.argument("host", metavar="NODE")
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="Round trips to measure.")
@_connection_options
def ping(host: str, count: int, **connection: Any) -> None:
    """Connect to NODE, start an agent there, and measure round trips."""
    began = time.monotonic()
    with _connected(host, connection) as channel:
        connected = time.monotonic() - began
        trips = []
        for _ in range(count):
            began = time.monotonic()
            channel.call(len, "", timeout=PING_SECONDS)
            trips.append(time.monotonic() - began)
        python = channel.call(platform.python_version, timeout=PING_SECONDS)
        free = FilePath(channel, "/tmp").disk_free()  # noqa: S108 - it is only asked for
    middle, slowest = statistics.median(trips) * 1000, max(trips) * 1000
    click.echo(f"connected in {connected:.2f} s, Python {_visible(str(python))}, {free / 1024**3:.1f} GiB free in /tmp")
    click.echo(f"round trip {middle:.1f} ms (slowest of {count}: {slowest:.1f} ms)")


@contextmanager
def _connected(host: str, connection: dict[str, Any]) -> Iterator[Channel]:
    """A channel for the block. What goes wrong with it, or in it, is one line."""
    try:
        with LocalChannel() if host == LOCAL else connect_ssh(_ssh_node(host, **connection), name=host) as channel:
            yield channel
    except (RemotingError, OSError) as error:
        raise click.ClickException(_visible(str(error))) from error


def _ssh_node(
    text: str, *, identity: Path | None, known_hosts: Path | None, host_key: str, python: str, connect_timeout: float
) -> SshNode:
    parts = _HOST.fullmatch(text)
    if parts is None or parts["host"].startswith("-"):
        raise click.UsageError(f"{text!r} is no node: [USER@]HOST[:PORT]")
    if host_key and not _HOST_KEY.fullmatch(host_key):
        raise click.BadParameter("it is not TYPE KEY, as a file .pub has it", param_hint="--host-key")
    return SshNode(
        host=parts["host"].strip("[]"),
        user=parts["user"] or getpass.getuser(),
        port=int(parts["port"] or 22),
        key=identity or _default_key(),
        known_hosts=known_hosts,
        host_key=host_key,
        python=(python,),
        connect_timeout=connect_timeout,
    )


def _default_key() -> Path | None:
    """None: the SSH agent is asked."""
    if "SSH_AUTH_SOCK" in os.environ:
        return None
    keys = (Path.home() / ".ssh" / name for name in KEYS)
    return next((key for key in keys if key.is_file()), None)


@contextmanager
def _place(text: str, connection: dict[str, Any]) -> Iterator[FilePath]:
    """`NODE:/PATH`, or a path of this machine."""
    parts = _PLACE.fullmatch(text)
    if parts is not None:
        with _connected(parts["node"], connection) as channel:
            yield _path(channel, parts["path"])
        return
    if re.match(r"[^/]+:", text):
        raise click.UsageError(f"{text!r} is no place: NODE:/PATH with an absolute path, or ./PATH of this machine")
    try:
        yield FilePath(None, str(Path(text).absolute()))
    except OSError as error:
        raise click.ClickException(_visible(str(error))) from error


def _path(channel: Channel, text: str) -> FilePath:
    try:
        return FilePath(channel, text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _variables(texts: tuple[str, ...]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--env")
        found[name] = value
    return found


class _Flushed:
    """Output that is seen at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        count = self._stream.write(data)
        self._stream.flush()
        return count


@contextmanager
def _progress(name: str, total: int | None, quiet: bool) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal; elsewhere a line every ten seconds. Both on standard error."""
    console = Console(stderr=True)
    if quiet:
        yield lambda count: None
    elif console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(escape(_visible(name)), total=total)
            yield lambda count: bar.advance(task, count)
    else:
        yield _Lines(total).add


class _Lines:
    """Progress for a log."""

    def __init__(self, total: int | None) -> None:
        self._of = "" if total is None else f" of {total}"
        self._done = 0
        self._next = time.monotonic() + LINE_SECONDS

    def add(self, count: int) -> None:
        self._done += count
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            click.echo(f"{self._done}{self._of} bytes", err=True)


def _visible(text: str) -> str:
    """Words of a node must not steer the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
