"""`zuul-launcher worker jjb`: what of a site's Jenkins Job Builder files the worker runs."""

import json
from pathlib import Path

import click
import msgspec

from zuul_launcher.cli.tables import visible
from zuul_launcher.worker.definitions import jjbcheck


@click.group()
def jjb() -> None:
    """Definitions of Jenkins Job Builder."""


@jjb.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--dialect", type=click.Choice(["4", "6"]), default="6", show_default=True, help="4: as its version 4 read files."
)
@click.option("--ignore", multiple=True, metavar="PART", help="A part to leave out, as `publisher:afs`; repeatable.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def check(context: click.Context, path: Path, dialect: str, ignore: tuple[str, ...], form: str) -> None:
    """Tell which jobs of PATH the worker would not register: `JOB: PART: REASON`. Exit code 1 if there are any."""
    report = jjbcheck.check(path, int(dialect), ignore)
    if form == "json":
        told = {"total": report.total, "lines": report.lines, "notes": report.notes, "parts": report.parts}
        click.echo(json.dumps({**msgspec.to_builtins(told), "registered": sorted(report.jobs)}))
    else:
        for line in report.lines:
            click.echo(visible(line))
        for line in report.notes:
            click.echo(visible(f"note: {line}"), err=True)
        for line in report.totals():
            click.echo(visible(line))
    context.exit(0 if report.is_complete else 1)
