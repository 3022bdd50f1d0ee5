"""`zuul-launcher`: the command line. Exit codes: 0 done, 1 the answer is no, 2 usage or configuration error."""

import sys
from pathlib import Path

import click

from zuul_launcher import VERSION
from zuul_launcher.cli.admin import dequeue, enqueue, enqueue_ref, promote, show
from zuul_launcher.cli.demo import demo
from zuul_launcher.cli.gear import gear, gearman
from zuul_launcher.cli.merger import merger
from zuul_launcher.cli.migrate import migrate
from zuul_launcher.cli.node import node
from zuul_launcher.cli.scheduler import scheduler
from zuul_launcher.cli.serve import serve
from zuul_launcher.cli.validate import validate
from zuul_launcher.cli.words import Commands
from zuul_launcher.cli.worker import worker
from zuul_launcher.log import set_up
from zuul_launcher.settings import SEARCH, Settings, load

PROGRAMS = (
    "demo",
    "gearman",
    "merger",
    "scheduler",
    "serve",
    "worker",
)  # tell what they do; commands only what goes wrong
NEEDS_NO_FILE = ("demo", "gear", "gearman", "node", "validate")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="zuul-launcher", message="Zuul version: %(version)s")
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="zuul.conf. [default: /etc/zuul/zuul.conf, ~/zuul.conf]"
)
@click.option("-v", "--verbose", is_flag=True, help="Log everything.")
@click.pass_context
def main(context: click.Context, config: Path | None, verbose: bool) -> None:
    """A gate for Gerrit: approved changes are merged speculatively, built, and submitted if the builds pass."""
    wanted = context.invoked_subcommand
    if "--help" in sys.argv or "-h" in sys.argv:
        return
    context.obj = _settings(config, is_needed=wanted not in NEEDS_NO_FILE)
    set_up(_log_config(context.obj, wanted), verbose=verbose, quiet=wanted not in PROGRAMS)


def _settings(path: Path | None, *, is_needed: bool) -> Settings | None:
    if path is None and not is_needed and not any(place.expanduser().exists() for place in SEARCH):
        return None
    settings = load(path)
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    return settings


def _log_config(settings: Settings | None, command: str | None) -> Path | None:
    """Each long-running program has its own."""
    if settings is None:
        return None
    match command:
        case "scheduler":
            return settings.zuul.log_config
        case "merger":
            return settings.merger.log_config
        case "gearman":
            return settings.gearman_server.log_config
        case _:
            return None


for command in (
    demo,
    serve,
    scheduler,
    merger,
    gearman,
    enqueue,
    enqueue_ref,
    dequeue,
    promote,
    show,
    validate,
    migrate,
    gear,
    node,
    worker,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
