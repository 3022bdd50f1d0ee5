"""`show running-jobs`: the items of `zuul:get_running_jobs` as a table with one row a job (behaviour.md §6.2)."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

Items = Sequence[Mapping[str, Any]]
Fetch = Callable[[], Items]

UNKNOWN = "Unknown"
DEFAULT_COLUMNS = "project, change, name, worker.name, start_time, result"
COLUMNS_OF_V2 = "name, worker.name, start_time, result"
ROUGH = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (7 * 86400, "week"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
)


def rough(seconds: float) -> str:
    """An interval as one would say it: `3 minutes`, `1 hour`."""
    size, unit = next(((size, unit) for size, unit in ROUGH if seconds >= size), (1, "second"))
    number = max(round(seconds / size), 0)
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _plain(value: Any, _now: float) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return "" if value is None else str(value)


def _extra(value: Any, _now: float) -> str:
    return json.dumps(value) if value else ""


def _yes_no(value: Any, _now: float) -> str:
    return "Yes" if value else "No"


def _ago(value: Any, now: float) -> str:
    return UNKNOWN if value is None else f"{rough(now - value)} ago"


def _milliseconds(value: Any, _now: float) -> str:
    return UNKNOWN if value is None else rough(value / 1000)


def _to_go(value: Any, _now: float) -> str:
    return f"{rough(value)} to go" if value else UNKNOWN


COLUMNS: dict[str, tuple[str, Callable[[Any, float], str]]] = {
    "name": ("Job Name", _plain),
    "elapsed_time": ("Elapsed Time", _milliseconds),
    "remaining_time": ("Remaining Time", _milliseconds),
    "url": ("URL", _plain),
    "result": ("Result", _plain),
    "voting": ("Voting", _yes_no),
    "uuid": ("UUID", _plain),
    "launch_time": ("Launch Time", _ago),
    "start_time": ("Start Time", _ago),
    "end_time": ("End Time", _ago),
    "estimated_time": ("Estimated Time", _to_go),
    "pipeline": ("Pipeline", _plain),
    "canceled": ("Canceled", _yes_no),
    "retry": ("Retry", _plain),
    "number": ("Number", _plain),
    "node_labels": ("Node Labels", _plain),
    "node_name": ("Node Name", _plain),
    "worker.name": ("Worker", _plain),
    "worker.hostname": ("Worker Hostname", _plain),
    "worker.ips": ("Worker IPs", _plain),
    "worker.fqdn": ("Worker Domain", _plain),
    "worker.program": ("Worker Program", _plain),
    "worker.version": ("Worker Version", _plain),
    "worker.extra": ("Worker Extra", _extra),
    "change": ("Change", _plain),  # these two: of the item, and unknown to v2
    "project": ("Project", _plain),
}
OF_ITEM = {"change": "id", "project": "project"}  # column -> key of the item


def chosen_columns(columns: str) -> list[str]:
    """The names in a comma separated list, or all for `ALL`. BadParameter: one is unknown."""
    if columns.strip().upper() == "ALL":
        return list(COLUMNS)
    names = [name for part in columns.split(",") if (name := part.strip())]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or not names:
        what = f"there is no column {', '.join(unknown)}" if unknown else "no column is named"
        raise click.BadParameter(f"{what}: choose from ALL, {', '.join(COLUMNS)}", param_hint="--columns")
    return names


def running_jobs_table(items: Items, columns: Sequence[str], now: float) -> Table:
    """One row a job of each item; now: epoch seconds."""
    table = Table(*(COLUMNS[name][0] for name in columns))
    for item in items:
        for job in item["jobs"]:
            cells = (COLUMNS[name][1](_value(item, job, name), now) for name in columns)
            table.add_row(*(Text(_printable(cell)) for cell in cells))
    return table


def _value(item: Mapping[str, Any], job: Mapping[str, Any], name: str) -> Any:
    if name in OF_ITEM:
        return item.get(OF_ITEM[name])
    outer, _, inner = name.partition(".")
    value = job.get(outer)
    return value.get(inner) if inner and isinstance(value, dict) else None if inner else value


def _printable(text: str) -> str:
    """Workers choose many of these texts: none may move the cursor of the terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def make_show(fetch: Fetch, clock: Callable[[], float] = time.time, default: str = DEFAULT_COLUMNS) -> click.Group:
    """The `show` command. fetch: the decoded answer of `zuul:get_running_jobs`; default: columns."""

    @click.group()
    def show() -> None:
        """Show what the gate is doing."""

    @show.command("running-jobs")
    @click.option("--columns", default=default, show_default=True, help="Comma separated, or ALL.")
    @click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
    def running_jobs(columns: str, form: str) -> None:
        """Show the jobs of all items in all pipelines."""
        chosen = chosen_columns(columns)
        items = fetch()
        if form == "json":
            click.echo(json.dumps(items, indent=2))
        elif not items:
            click.echo("No jobs currently running")
        else:
            _print(running_jobs_table(items, chosen, clock()))

    return show


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:  # scripts read it: a row is a line, however long
        console = Console(width=console.measure(table, options=console.options.update(max_width=100_000)).maximum)
    console.print(table)
