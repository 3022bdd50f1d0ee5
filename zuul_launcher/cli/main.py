"""`zuul-launcher`: the command line. Exit codes: 0 done, 1 the answer is no, 2 usage or configuration error."""

import sys
from importlib import import_module
from pathlib import Path

import click

from zuul_launcher import VERSION
from zuul_launcher.cli.words import Commands
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

HOMES = {  # in the order in which they are listed; each is a module of `cli`
    "demo": "demo",
    "serve": "serve",
    "scheduler": "scheduler",
    "merger": "merger",
    "gearman": "gear",
    "worker": "worker",
    "enqueue": "admin",
    "enqueue-ref": "admin",
    "dequeue": "admin",
    "promote": "admin",
    "show": "admin",
    "validate": "validate",
    "migrate": "migrate",
    "gear": "gear",
    "node": "node",
}


class LateCommands(Commands):
    """Imports a command's module when it is asked for: most need a part of the libraries only, and start sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in HOMES:
            return None
        module = import_module(f"zuul_launcher.cli.{HOMES[cmd_name]}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found


@click.group(cls=LateCommands, context_settings={"help_option_names": ["-h", "--help"]})
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


if __name__ == "__main__":
    main()
