"""`zuul-launcher gear`: call any Gearman function, look at a server, test it. `zuul-launcher gearman`: be a server."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TypeVar, cast

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zuul_launcher.cli.tables import table, visible
from zuul_launcher.errors import ConfigurationError, RemoteError
from zuul_launcher.gearman import probe
from zuul_launcher.gearman.measured import Measured
from zuul_launcher.gearman.server import Options, run
from zuul_launcher.metrics import Statsd, statsd_of

DEFAULT_SERVER = "127.0.0.1"
DEFAULT_PORT = 4730
CALL_SECONDS = 3600.0
STATSD_SECONDS = 5.0  # for what waits to be sent at the end
_STYLES = {
    "created": "dim",
    "status": "cyan",
    "warning": "yellow",
    "complete": "green",
    "fail": "red",
    "exception": "red",
}

_Command = TypeVar("_Command", bound=Callable[..., None])


def _server_options(command: _Command) -> _Command:
    for option in (
        click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True),
        click.option("--port", type=click.IntRange(1, 65535), help="Port of the server. [default: zuul.conf, 4730]"),
        click.option("--server", help="Host of the server. [default: zuul.conf, 127.0.0.1]"),
    ):
        command = option(command)
    return command


def _where(context: click.Context, server: str | None, port: int | None) -> tuple[str, int]:
    """The options, else [gearman] of zuul.conf if one was read, else this host."""
    configured = getattr(context.obj, "gearman", None)
    host = server or getattr(configured, "server", None) or DEFAULT_SERVER
    return host, port or getattr(configured, "port", None) or DEFAULT_PORT


@click.group()
def gear() -> None:
    """Call functions of a Gearman server and look at it."""


@gear.command()
@click.argument("function")
@click.option("--params", default="{}", show_default=True, help="Parameters of the job, as JSON.")
@click.option("--unique", default="", help="Unique id: a second call with it joins the job of the first.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), default="normal", show_default=True)
@click.option("--background", is_flag=True, help="Submit, and do not wait for the end.")
@click.option("--timeout", type=click.FloatRange(0.1), default=CALL_SECONDS, show_default=True, help="Seconds to wait.")
@_server_options
@click.pass_context
def call(
    context: click.Context,
    function: str,
    params: str,
    unique: str,
    priority: str,
    background: bool,
    timeout: float,
    server: str | None,
    port: int | None,
    form: str,
) -> None:
    """Run FUNCTION and print its data, status and result as they come. Exits with 1 if it fails."""
    try:
        json.loads(params)
    except ValueError as error:
        raise click.BadParameter(f"this is no JSON: {error}", param_hint="--params") from None
    wanted = probe.Call(
        function=function,
        payload=params.encode(),
        unique=unique,
        priority=cast(probe.Priority, priority),
        background=background,
    )
    console = Console(highlight=False, soft_wrap=True)
    last = ""
    try:
        if probe.workers(*_where(context, server, port), function, min(timeout, probe.CONNECT_SECONDS)) == 0:
            click.echo(f"no worker offers {visible(function)} now: the job waits for one", err=True)
        for event in probe.call(*_where(context, server, port), wanted, timeout):
            _print_event(console, event, form)
            last = event.kind
    except RemoteError as error:
        raise click.ClickException(str(error)) from error
    if last in ("fail", "exception"):
        context.exit(1)


def _print_event(console: Console, event: probe.CallEvent, form: str) -> None:
    text = event.data.decode(errors="replace")
    if form == "json":
        click.echo(json.dumps({"event": event.kind, "data": text}))
    else:
        console.print(Text(f"{event.kind:<9} {visible(text)}", style=_STYLES.get(event.kind, "")))


@gear.command()
@_server_options
@click.pass_context
def status(context: click.Context, server: str | None, port: int | None, form: str) -> None:
    """Show functions, connections and jobs of a server."""
    found = _asked(lambda: probe.status(*_where(context, server, port)))
    if form == "json":
        click.echo(json.dumps(asdict(found)))
        return
    console = Console(highlight=False)
    functions = [(each.name, each.total - each.running, each.running, each.workers) for each in found.functions]
    console.print(table("Functions", ("function", "queued", "running", "workers"), functions))
    able = [each for each in found.connections if each.functions]
    workers = [(each.client_id, each.address, ", ".join(each.functions)) for each in able]
    console.print(table("Workers", ("name", "address", "functions"), workers))
    if found.jobs is None:
        console.print("Jobs: this server does not list them.")
    else:
        console.print(_jobs_table(found.jobs))
    if found.uniques:
        console.print(table("Unique ids of jobs", ("unique id",), [(one,) for one in found.uniques]))


def _jobs_table(jobs: Sequence[probe.Listed]) -> Table:
    if any(job.function is None for job in jobs):
        return table("Jobs", ("handle",), [(job.handle,) for job in jobs])
    rows = [(job.handle, job.function, job.unique, "running" if job.running else "queued") for job in jobs]
    return table("Jobs", ("handle", "function", "unique id", "state"), rows)


@gear.command()
@_server_options
@click.pass_context
def ping(context: click.Context, server: str | None, port: int | None, form: str) -> None:
    """Test the connection: one round trip, and what server it is."""
    found = _asked(lambda: probe.ping(*_where(context, server, port)))
    if form == "json":
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"answered in {found.seconds * 1000:.1f} ms, version: {visible(found.version) or 'not told'}")


_Answer = TypeVar("_Answer")


def _asked(question: Callable[[], _Answer]) -> _Answer:
    try:
        return question()
    except RemoteError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--listen", "address", help="Address to listen on. [default: all addresses]")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=Options().grace_seconds,
    show_default=True,
    help="Seconds that a job or result is kept for a client that lost its connection.",
)
def gearman(address: str | None, port: int, grace: float) -> None:
    """Run the built-in Gearman server in the foreground."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        with _measured(statsd_of(os.environ)) as observer:
            run(address, port, options=Options(grace_seconds=grace), observer=observer)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def _measured(where: tuple[str, int] | None) -> Iterator[Measured | None]:
    """Who tells the statsd there what the server does, if there is one."""
    if where is None:
        yield None
        return
    statsd, stopping = Statsd(*where), threading.Event()
    sender = threading.Thread(target=statsd.run, args=(stopping,), name="statsd", daemon=True)
    sender.start()
    try:
        yield Measured(statsd.put)
    finally:
        stopping.set()
        sender.join(STATSD_SECONDS)
