"""`zuul-launcher migrate check`: what becomes of a v2 site here. 0 it runs as it is, 1 work comes first."""

import json
from pathlib import Path

import click
import msgspec

from zuul_launcher import ini
from zuul_launcher.cli.migrate_settings import settings_findings
from zuul_launcher.cli.words import settings_of
from zuul_launcher.gerrit import hostkeys
from zuul_launcher.gerrit.report import VALUE_OPTIONS
from zuul_launcher.layout.files import read_files
from zuul_launcher.layout.load import load
from zuul_launcher.layout.migrate import Finding, layout_findings
from zuul_launcher.settings import GerritConnection, Settings
from zuul_launcher.yamlfile.problems import FileErrors

HEADINGS = {"unsupported": "not supported", "changes": "changes", "kept": "kept"}


@click.group()
def migrate() -> None:
    """Move a site of Zuul 2 to this program."""


@migrate.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def check(context: click.Context, form: str) -> None:
    """Tell what is kept, what changes and what is not supported of zuul.conf and its layout; nothing is changed.

    Rows are those of the table "What is different" of the manual's page about migrating.
    """
    settings = settings_of(context)
    findings = settings_findings(settings, ini.read(settings.file)[0], knows_host)
    mistakes: list[str] = []
    try:
        findings += _of_layout(settings)
    except FileErrors as error:
        mistakes = [str(problem) for problem in error.problems]
    by_kind = {kind: [one for one in findings if one.kind == kind] for kind in HEADINGS}
    if form == "json":
        click.echo(json.dumps({"mistakes": mistakes, **msgspec.to_builtins(by_kind)}, indent=2))
    else:
        _print("mistakes, for which this layout is refused", mistakes)
        for kind, found in by_kind.items():
            _print(HEADINGS[kind], [str(one) for one in found])
    if mistakes or by_kind["unsupported"]:
        context.exit(1)


def knows_host(connection: GerritConnection) -> bool:
    """Is the key of this Gerrit's host pinned, or in a file that is asked for it?"""
    files = (connection.known_hosts, hostkeys.SYSTEM_FILE)
    found = hostkeys.read(files, str(connection.server), connection.port)
    return connection.host_key is not None or any(not one.revoked for one in found)


def _of_layout(settings: Settings) -> list[Finding]:
    path: Path = settings.zuul.layout
    layout = load(path, settings.drivers).layout
    return layout_findings(path, read_files(path), layout, settings.drivers, VALUE_OPTIONS)


def _print(heading: str, lines: list[str]) -> None:
    if lines:
        click.secho(f"{heading}:", bold=True)
        for line in lines:
            click.echo(f"  {line}")
