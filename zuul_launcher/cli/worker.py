"""`zuul-launcher worker`: run a build manager, and control one that runs."""

import json
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from zuul_launcher.cli.signals import on_signals
from zuul_launcher.cli.stacks import log_stacks
from zuul_launcher.cli.tables import table, visible
from zuul_launcher.cli.words import Commands, settings_of
from zuul_launcher.cli.worker_jjb import jjb
from zuul_launcher.errors import RemoteUnavailable, RequestError
from zuul_launcher.log import set_up
from zuul_launcher.settings import Settings, require_for
from zuul_launcher.worker.alone import run_alone
from zuul_launcher.worker.app import Worker
from zuul_launcher.worker.commands import SHOWN
from zuul_launcher.worker.control import NobodyThere, ask
from zuul_launcher.worker.definitions.load import load
from zuul_launcher.worker.options import checked_url, sources_of, with_own_node
from zuul_launcher.worker.queue.functions import queue_node, unserved_jobs

Format = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For tools: json."
)


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--takeover", is_flag=True, help="Start although another manager has this name: that one is gone.")
@click.pass_context
def worker(context: click.Context, takeover: bool) -> None:
    """Run a build manager until TERM or INT; or, with a command, control the one that runs here.

    TERM aborts builds, which then run again elsewhere; USR1 takes no more and waits for those that run; HUP reads
    jobs and nodes again; USR2 logs what every thread does.
    """
    if context.invoked_subcommand is None:
        settings = settings_of(context)
        require_for(settings, "worker")
        log_config = None if settings.worker is None else settings.worker.log_config
        set_up(log_config, verbose=context.find_root().params["verbose"], quiet=False)
        run(settings, takeover=takeover)


def run(settings: Settings, *, takeover: bool = False) -> None:
    """Until a signal says to stop; in the main thread of a process."""
    manager = Worker(settings, takeover=takeover)
    on_signals(
        {
            signal.SIGTERM: manager.stop,
            signal.SIGINT: manager.stop,
            signal.SIGUSR1: manager.graceful_in_background,
            signal.SIGHUP: manager.reload_and_log,
            signal.SIGUSR2: log_stacks,
        }
    )
    manager.start()
    manager.wait()


def folder_of(context: click.Context) -> Path:
    return Path(settings_of(context).zuul.state_dir) / "worker"


def told(context: click.Context, command: str, **arguments: Any) -> Any:
    """What the manager that runs here answers."""
    folder = folder_of(context)
    if not folder.is_dir():
        raise RemoteUnavailable(f"no worker has run in {folder}: is this its zuul.conf?")
    return ask(folder, command, arguments, lambda news: None)


def _simple(name: str, text: str, done: str) -> None:
    @worker.command(name, help=text)
    @click.pass_context
    def command(context: click.Context) -> None:
        told(context, name)
        click.echo(done)


_simple("pause", "Take no more builds. Those that run go on.", "the manager takes no more builds")
_simple("unpause", "Take builds again.", "the manager takes builds")
_simple(
    "graceful",
    "Take no more builds, wait for those that run, and end.",
    "the manager ends after its builds; `serve` starts it again",
)
_simple(
    "stop", "Abort all builds, which then run again elsewhere, and end.", "the manager ends; `serve` starts it again"
)
_simple("release", "Let go of agents that nobody needs, until they are needed.", "idle agents are let go")


@worker.command()
@click.pass_context
def reload(context: click.Context) -> None:
    """Read jobs, nodes and secrets again. A file that is wrong changes nothing; exit code 1."""
    found = told(context, "reload")
    click.echo(f"{found['jobs']} jobs, {found['nodes']} nodes")
    for problem in found["problems"]:
        click.echo(problem, err=True)


@worker.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@click.pass_context
def verbose(context: click.Context, state: str) -> None:
    """Log everything, or only what matters."""
    told(context, "verbose", on=state == "on")


@worker.command()
@click.argument("action", type=click.Choice(["offline", "online", "delete"]))
@click.argument("name")
@click.option("--reason", default="", help="Told to people, with `offline`.")
@click.pass_context
def node(context: click.Context, action: str, name: str, reason: str) -> None:
    """Take a node offline (also over restarts), bring it online, or delete it until the next reload."""
    told(context, "node", action=action, name=name, reason=reason)


@worker.command()
@Format
@click.pass_context
def nodes(context: click.Context, form: str) -> None:
    """Nodes, and whether they take builds."""
    found = told(context, "nodes")
    columns = ("name", "state", "busy", "executors", "labels", "reason")
    _show(form, "Nodes", columns, found, labels=lambda one: " ".join(one["labels"]))


@worker.command()
@click.option("--job", help="Of this job only.")
@click.option("--limit", type=click.IntRange(1), default=SHOWN, show_default=True, help="At most so many.")
@Format
@click.pass_context
def builds(context: click.Context, job: str | None, limit: int, form: str) -> None:
    """Builds that run, and those that have ended, newest first."""
    found = told(context, "builds", job=job, limit=limit)
    columns = ("job", "number", "state", "result", "node", "started", "took")
    _show(form, "Builds", columns, found, started=_started, took=_took, result=lambda one: one["result"] or "")


@worker.command()
@Format
@click.pass_context
def functions(context: click.Context, form: str) -> None:
    """What the Gearman server has been told that this manager can do."""
    found = told(context, "functions")
    rows = [{"client": client, "function": name} for client, names in found.items() for name in names]
    if form == "json":
        click.echo(json.dumps(found))
    else:
        _show(form, "Functions", ("client", "function"), rows)


@worker.command()
@click.pass_context
def health(context: click.Context) -> None:
    """How the manager is, as JSON; exit code 1 if something is wrong."""
    found = told(context, "health")
    click.echo(json.dumps(found, indent=2))
    context.exit(0 if found["status"] == "ok" else 1)


@worker.command()
@click.argument("job")
@click.argument("number", type=click.IntRange(1))
@click.pass_context
def abort(context: click.Context, job: str, number: int) -> None:
    """End build NUMBER of JOB, as `worker builds` shows it; its result is ABORTED."""
    met = told(context, "abort", job=job, number=number)
    if met == "finished":
        raise RequestError(f"build {number} of {visible(job)} has ended already")
    click.echo(f"build {number} of {visible(job)} is ended")


@worker.command("run")
@click.argument("job")
@click.option("-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="Of the build; repeatable.")
@click.option("--node", "node_name", help="The node to run it on. [default: any that may]")
@click.pass_context
def run_job(context: click.Context, job: str, parameters: Sequence[str], node_name: str | None) -> None:
    """Run one build of JOB by hand, show its console, and exit with 0 if it succeeds.

    The manager that runs here does it, in one of its executors, and goes on with it after Ctrl-C; if none runs, this
    command does it alone.
    """
    wanted = dict(_pair(text) for text in parameters)
    say = _Said(job)
    try:
        arguments = {"job": job, "parameters": wanted, "node": node_name}
        found = ask(folder_of(context), "run", arguments, say, timeout=None)
        number, result = found["number"], found["result"]
    except KeyboardInterrupt:
        click.echo(f"\n{say.what_becomes_of_it}", err=True)
        context.exit(130)
    except NobodyThere:
        number, result = _alone(settings_of(context), job, wanted, node_name, say)
    click.echo(f"build {number} of {visible(job)}: {result or 'no result'}", err=True)
    context.exit(0 if result == "SUCCESS" else 1)


def _alone(
    settings: Settings, job: str, parameters: Mapping[str, str], node_name: str | None, say: Any
) -> tuple[int, str | None]:
    require_for(settings, "worker")
    manager = Worker(settings)
    try:
        return run_alone(manager, job, parameters, node_name, say)
    finally:
        manager.close()


@worker.command()
@click.pass_context
def validate(context: click.Context) -> None:
    """Read the files of jobs, nodes and secrets, and tell all that is wrong.

    Exit code 1 if jobs are left out, 2 if a file cannot be taken as a whole.
    """
    settings = settings_of(context)
    require_for(settings, "worker")
    assert settings.worker is not None, "require_for has looked"
    checked_url(settings.worker.url)
    definitions = with_own_node(load(sources_of(settings.worker)), settings.worker)
    for problem in definitions.problems:
        click.echo(problem, err=True)
    for name in unserved_jobs(map(queue_node, definitions.nodes.values()), definitions.jobs.values()):
        job = definitions.jobs[name]
        wanted = "" if job.node is None else f" (node: {job.node})"
        click.echo(f"note: {job.place}: no node here may run job {name!r}{wanted}", err=True)
    click.echo(f"{len(definitions.jobs)} jobs, {len(definitions.nodes)} nodes")
    context.exit(1 if definitions.problems else 0)


worker.add_command(jjb)


class _Said:
    """Shows the news of a build by hand, and knows how far it is."""

    def __init__(self, job: str) -> None:
        self._job = visible(job)
        self._number: int | None = None
        self._waits = False

    def __call__(self, news: Mapping[str, Any]) -> None:
        if "number" in news:
            self._number = news["number"]
            click.echo(f"build {self._number} of {self._job}", err=True)
        elif "console" in news:
            click.echo(visible(news["console"]), nl=False)
        elif not self._waits:
            self._waits = True
            click.echo("all executors that may run it are busy: waiting for one", err=True)

    @property
    def what_becomes_of_it(self) -> str:
        """If nobody looks any more."""
        if self._number is None:
            return f"{self._job} is not built"
        stop = f"zuul-launcher worker abort {shlex.quote(self._job)} {self._number}"
        return f"build {self._number} of {self._job} goes on; to end it: {stop}"


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.UsageError(f"-p {text!r}: write NAME=VALUE")
    return name, value


def _started(one: Mapping[str, Any]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["started_at"]))


def _took(one: Mapping[str, Any]) -> str:
    end = one["finished_at"]
    return f"{(end or time.time()) - one['started_at']:.0f} s" if end or one["state"] != "over" else ""


def _show(form: str, title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], **cells: Any) -> None:
    if form == "json":
        click.echo(json.dumps(rows))
        return
    shown = [[cells[name](one) if name in cells else one[name] for name in columns] for one in rows]
    Console(highlight=False).print(table(title, columns, shown))
