"""Tables on a terminal: whatever is in a cell is shown as text and never commands the terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    found = Table(title=title, title_justify="left")
    for column in columns:
        found.add_column(column, overflow="fold")
    for row in rows:
        found.add_row(*(Text(visible(str(cell))) for cell in row))
    return found


def visible(text: str) -> str:
    """Data of a stranger must not steer the terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
