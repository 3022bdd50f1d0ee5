"""`zuul-server`, `zuul-merger` and `zuul`: the commands of Zuul 2 with its options, for the scripts that sites have.

Exit codes are v2's: 0 done, 1 it failed, 2 usage. Without `-d` a program becomes a daemon, and its pidfile is locked
as long as it lives. Everything else is what `zuul-launcher` does.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from zuul_launcher import VERSION
from zuul_launcher.cli import merger as merging
from zuul_launcher.cli import scheduler as scheduling
from zuul_launcher.cli.admin import enqueue, enqueue_ref, promote, show_of_v2
from zuul_launcher.cli.daemon import detached
from zuul_launcher.errors import ZuulLauncherError
from zuul_launcher.layout.files import read_files
from zuul_launcher.layout.load import load as load_layout
from zuul_launcher.log import set_up
from zuul_launcher.service.layouts import read_first
from zuul_launcher.settings import Settings, load, require_for
from zuul_launcher.yamlfile.problems import FileErrors
from zuul_launcher.yamlfile.tree import Mapping, Scalar, Sequence

NEVER_MISSING = "noop"  # no worker offers it, and none has to

log = logging.getLogger("zuul_launcher.v2")

_config = click.option(
    "-c", "config", metavar="FILE", type=click.Path(path_type=Path), help="zuul.conf. [default: as v2 looks for it]"
)
_foreground = click.option("-d", "foreground", is_flag=True, help="Stay in the foreground.")
_version = click.version_option(VERSION, message="Zuul version: %(version)s")


class _Failing(click.Command):
    """Ends with one clear line and status 1 where v2 ended with a traceback and status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        with _failures():
            return super().invoke(ctx)


class _FailingGroup(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        with _failures():
            return super().invoke(ctx)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except ZuulLauncherError as error:
        log.debug("it ends here", exc_info=True)
        raise click.ClickException(str(error)) from error


@click.command(cls=_Failing)
@_config
@click.option("-l", "layout", metavar="LAYOUT", type=click.Path(path_type=Path), help="Layout, now and after each HUP.")
@_foreground
@click.option(
    "-t",
    "joblist",
    metavar="[JOBLIST]",
    is_flag=False,
    flag_value="",
    help="Only check the layout; with a file of job names, whether it has every job.",
)
@_version
def server(config: Path | None, layout: Path | None, foreground: bool, joblist: str | None) -> None:
    """Run the scheduler with its page, and Gearman if zuul.conf says so; TERM, USR1, HUP as in v2."""
    settings = _settings(config)
    if layout is not None:
        zuul = msgspec.structs.replace(settings.zuul, layout_config=layout.absolute())
        settings = msgspec.structs.replace(settings, zuul=zuul)
    if joblist is not None:
        set_up(quiet=True)
        _check(settings, Path(joblist) if joblist else None)
        return
    require_for(settings, "scheduler")
    if not foreground:
        _tell_of_layout(settings)
    with _go(foreground, settings.zuul.pidfile, settings.zuul.log_config), _logged():
        scheduling.run(settings)


@click.command(cls=_Failing)
@_config
@_foreground
@_version
def merger(config: Path | None, foreground: bool) -> None:
    """Run one merger, until TERM or USR1 (the merge at hand is finished)."""
    settings = _settings(config)
    merger_settings = merging.of(settings)
    with _go(foreground, settings.merger.pidfile, settings.merger.log_config), _logged():
        merging.run(merger_settings)


@click.group(cls=_FailingGroup)
@_config
@click.option("-v", "verbose", is_flag=True, help="Log everything.")
@_version
@click.pass_context
def zuul(context: click.Context, config: Path | None, verbose: bool) -> None:
    """Ask a running scheduler for something, over Gearman."""
    context.obj = _settings(config)
    set_up(verbose=verbose, quiet=True)


for command in (enqueue, enqueue_ref, promote, show_of_v2):
    zuul.add_command(command)


def _go(foreground: bool, pidfile: Path, log_config: Path | None) -> AbstractContextManager[None]:
    """The rest of the program is its block."""
    if not foreground and log_config is None:
        click.echo("zuul.conf has no log_config for this program: nothing will be logged", err=True)
    set_up(log_config)
    return detached(None if foreground else pidfile)


def _settings(config: Path | None) -> Settings:
    """Of an absolute path: other processes are started with it."""
    settings = load(config.absolute() if config else None)
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    return settings


@contextmanager
def _logged() -> Iterator[None]:
    """A daemon has nobody to tell but its log."""
    try:
        yield
    except ZuulLauncherError as error:
        log.error("%s", error)
        raise


def _tell_of_layout(settings: Settings) -> None:
    """What is wrong is told while somebody reads it; it ends here if there is no other layout to start with."""
    first = read_first(settings)
    if isinstance(first, FileErrors):
        click.echo(f"the last good layout is used, since the new one is wrong:\n{first}", err=True)


def _check(settings: Settings, joblist: Path | None) -> None:
    """Ends with status 1 if the layout is wrong, or names a job that is not in the list, one a line."""
    path = settings.zuul.layout
    layout = load_layout(path, settings.drivers).layout
    if joblist is None:
        return
    try:
        known = {line.strip() for line in joblist.read_text().splitlines()} | {NEVER_MISSING}
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{joblist}: {error}") from error
    missing = [name for name in dict.fromkeys([*_named_jobs(path), *layout.jobs]) if name not in known]
    for name in missing:
        click.echo(f"FAILURE: Job {name} not defined")
    if missing:
        click.get_current_context().exit(1)


def _named_jobs(path: Path) -> list[str]:
    """Jobs that have an entry of their own, whether a project has them or not."""
    jobs = read_files(path).sections.get("jobs")
    nodes = jobs.items if isinstance(jobs, Sequence) else []
    names = [node.entries["name"].value for node in nodes if isinstance(node, Mapping)]
    texts = [str(name.value) for name in names if isinstance(name, Scalar)]
    return [text for text in texts if not text.startswith("^")]
