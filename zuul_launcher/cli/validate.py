"""`zuul-launcher validate [LAYOUT]`: is this layout right? 0 yes, 1 no, 2 the question can not be asked."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.layout.jobtree import names_in
from zuul_launcher.layout.load import Loaded, load
from zuul_launcher.settings import Settings
from zuul_launcher.yamlfile.problems import FileErrors, Problem

# What a layout may name if there is no zuul.conf to tell.
ASSUMED_CONNECTIONS = {"gerrit": "gerrit", "smtp": "smtp"}


@click.command()
@click.argument("layout", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of layouts, for editors, and check nothing.")
@click.pass_context
def validate(context: click.Context, layout: Path | None, form: str, schema: bool) -> None:
    """Check LAYOUT, by default the one that zuul.conf names, and tell everything that is wrong with it.

    Python files that it includes are compiled, not run.
    """
    if schema:
        click.echo(
            resources.files("zuul_launcher.layout").joinpath("schema.json").read_text(encoding="utf-8"), nl=False
        )
        return
    settings = context.find_object(Settings)
    path = layout or _configured(settings)
    connections = settings.drivers if settings else ASSUMED_CONNECTIONS
    if settings is None and form == "text":
        click.echo("no zuul.conf: connections named gerrit and smtp are assumed", err=True)
    try:
        loaded = load(path, connections)
    except FileErrors as error:
        if form == "json":
            _print_json(path, error.problems, (), None)
        else:
            for problem in error.problems:
                _print_problem(problem, "red")
            click.echo(
                f"{path}: {len(error.problems)} {'mistake' if len(error.problems) == 1 else 'mistakes'}", err=True
            )
        context.exit(1)
    if form == "json":
        _print_json(path, (), loaded.warnings, loaded)
        return
    for warning in loaded.warnings:
        _print_problem(warning, "yellow")
    _print_summary(path, loaded)


def _configured(settings: Settings | None) -> Path:
    if settings is None:
        raise click.UsageError("there is no zuul.conf that names a layout: give LAYOUT, or --config")
    try:
        path = settings.zuul.layout
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    if not path.is_file():
        raise click.UsageError(f"[zuul] layout_config names {path}, which is no file")
    return path


def _print_problem(problem: Problem, colour: str) -> None:
    """Coloured on a terminal; click takes the colours away elsewhere."""
    place = click.style(f"{problem.file}:{problem.line}:{problem.column}:", bold=True)
    hint = click.style(f" ({problem.hint})", dim=True) if problem.hint else ""
    warning = "warning: " if colour == "yellow" else ""
    click.echo(f"{place} {click.style(warning + problem.message, fg=colour)}{hint}")


def _print_summary(path: Path, loaded: Loaded) -> None:
    layout = loaded.layout
    table = Table(title=None)
    for heading in ("pipeline", "manager", "projects", "jobs", "queues"):
        table.add_column(heading, justify="left" if heading in ("pipeline", "manager") else "right")
    for row in _pipelines(loaded):
        table.add_row(row["name"], row["manager"], *(f"{row[key]:,}" for key in ("projects", "jobs", "queues")))
    Console(markup=False, highlight=False).print(table)
    click.echo(
        f"{path} is valid: {len(layout.pipelines)} pipelines, {len(layout.projects):,} projects,"
        f" {len(layout.jobs):,} jobs, {loaded.entries:,} job entries"
    )


def _pipelines(loaded: Loaded) -> list[dict[str, Any]]:
    """A row a pipeline: projects with jobs there, distinct jobs, shared queues."""
    rows: list[dict[str, Any]] = []
    for name, pipeline in loaded.layout.pipelines.items():
        trees = [tree for one in loaded.layout.projects.values() if (tree := one.pipelines.get(name))]
        jobs: dict[str, None] = {}
        for tree in {id(tree): tree for tree in trees}.values():
            names_in(tree, jobs)
        queues = len(set(pipeline.shared_queues.values()))
        row = {"name": name, "manager": pipeline.kind, "projects": len(trees), "jobs": len(jobs), "queues": queues}
        rows.append(row)
    return rows


def _print_json(
    path: Path, problems: tuple[Problem, ...], warnings: tuple[Problem, ...], loaded: Loaded | None
) -> None:
    document: dict[str, Any] = {
        "layout": str(path),
        "valid": loaded is not None,
        "problems": msgspec.to_builtins(problems),
        "warnings": msgspec.to_builtins(warnings),
    }
    if loaded is not None:
        document["pipelines"] = _pipelines(loaded)
        document["projects"] = len(loaded.layout.projects)
        document["jobs"] = len(loaded.layout.jobs)
        document["entries"] = loaded.entries
    click.echo(json.dumps(document, indent=2))
