"""How the demo looks: a live table on a terminal, plain lines elsewhere, and the table at the end."""

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from zuul_launcher.log import visible
from zuul_launcher.sim.demo_news import Document, items
from zuul_launcher.sim.demo_outcome import Ending, Result

LOOKS_PER_SECOND = 2
LEAST_LINES = 4  # of the log that stay in sight below a long table
COLOURS = {"SUCCESS": "green", "FAILURE": "red", "CANCELED": "yellow", None: "cyan"}


class PlainDisplay:
    """One line for everything that happens, with the seconds since the beginning."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def __enter__(self) -> "PlainDisplay":
        return self

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        line = Text(f"{time.monotonic() - self._began:6.1f} s  {visible(text)}")
        self._console.print(line, soft_wrap=True, highlight=False)

    def show(self, status: Document | None) -> None:
        """A table would be out of date when it is read."""


class LiveDisplay:
    """The queues, redrawn twice a second, and the last lines of what happened below them."""

    def __init__(self, console: Console, heading: str) -> None:
        self._console = console
        self._heading = heading
        self._began = time.monotonic()
        self._status: Document | None = None
        self._lines: list[str] = []
        self._live = Live(
            console=console, get_renderable=self._draw, refresh_per_second=LOOKS_PER_SECOND, transient=True
        )

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._lines.append(f"{time.monotonic() - self._began:6.1f} s  {visible(text)}")

    def show(self, status: Document | None) -> None:
        self._status = status

    def _draw(self) -> Group:
        table = queues(self._status)
        room = max(self._console.height - table.row_count - 8, LEAST_LINES)
        lines = [Text(line, overflow="ellipsis", no_wrap=True) for line in self._lines[-room:]]
        return Group(Text(self._heading), table, Rule("what happened"), *lines)


def queues(status: Document | None) -> Table:
    """What waits in which pipeline, and how far it is."""
    table = Table("pipeline", "change", "project", "on top of", "builds", expand=True)
    for pipeline, item in items(status):
        table.add_row(pipeline, item["id"], item["project"], item["item_ahead"] or "the branch", _builds(item))
    if not table.row_count:
        table.add_row("", "", "", "", "nothing is waiting")
    return table


def _builds(item: Document) -> Text:
    parts = [_job(job) for job in item["jobs"] if job["result"] != "SKIPPED"]
    parts += [Text(reason, style="red") for reason in item["failing_reasons"]]
    return Text(", ").join(parts)


def _job(job: Document) -> Text:
    result = job["result"]
    state = result or ("waits" if job["start_time"] is None else _lasting(job["elapsed_time"]))
    return Text(visible(f"{job['name']} {state}"), style=COLOURS.get(result, "yellow"))


def _lasting(milliseconds: int | None) -> str:
    return f"runs {(milliseconds or 0) / 1000:.0f} s"


def final_table(end: Ending) -> Table:
    """One row a change, in the order of landing; those that did not land are last."""
    table = Table("landed", "change", "project", "builds", "what happened")
    for result in sorted(end.results, key=lambda result: result.place or len(end.results) + 1):
        stopped = f" ({result.stopped} stopped)" if result.stopped else ""
        table.add_row(
            str(result.place or "no"),
            result.id,
            result.planned.project,
            f"{result.builds}{stopped}",
            Text(_what_happened(result)),
        )
    return table


def _what_happened(result: Result) -> str:
    if result.place is None:
        text = f"not merged: {visible(result.why)}"
    else:
        text = "merged as tested" if result.is_as_tested else "merged, but NOT as tested"
    note = f" ({result.planned.note})" if result.planned.note else ""
    return f"{result.planned.title} — {text}{note}"


def summary(end: Ending) -> list[str]:
    landed = [result for result in end.results if result.place is not None]
    same = sum(result.is_as_tested is True for result in landed)
    failed = [result for result in end.results if result.failed_at]
    return [
        f"{len(landed)} of {len(end.results)} changes merged, in this order: "
        + ", ".join(result.id for result in sorted(landed, key=lambda result: result.place or 0)),
        f"{end.builds} builds ran, {end.stopped} of them were stopped; "
        f"up to {end.most_at_once} changes of the gate were built at the same time",
        f"git diff between the tree that was tested and the tree that landed: empty for {same} of {len(landed)}",
        *(f"the console that says why {result.id} failed: {result.failed_at}" for result in failed),
    ]


def display_on(console: Console, heading: str) -> PlainDisplay | LiveDisplay:
    """`heading`: what stands above the live table."""
    can_redraw = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console, heading) if can_redraw else PlainDisplay(console)
