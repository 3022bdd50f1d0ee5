"""What became of each behaviour of Zuul 2: the list is complete and in order, and each row is shown by a test."""

import ast
import csv
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "doc" / "compatibility"
HEADER = ["row", "behaviour", "how", "note", "test"]
SAME, BETTER, NOT_SUPPORTED = "same", "better", "not supported"
ROWS = {
    "gate": [str(number) for number in range(1, 80)],
    "site": [str(number) for number in range(80, 153)],
    "defects": [f"12.{number}" for number in range(1, 42)],
}


def _read(name: str) -> list[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == HEADER
    return [dict(zip(HEADER, line, strict=True)) for line in lines]


@cache
def _tests_in(path: str) -> frozenset[str]:
    """Names of the tests at the top of a file; none if there is no such file."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))


def _exists(test: str) -> bool:
    path, _, name = test.partition("::")
    return path.startswith("tests/") and name.startswith("test_") and name in _tests_in(path)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_there_once_and_in_order(name: str) -> None:
    assert [row["row"] for row in _read(name)] == ROWS[name]


@pytest.mark.parametrize("name", ROWS)
def test_every_row_says_what_it_is_about_and_how_it_is_here(name: str) -> None:
    rows = _read(name)
    assert [row["row"] for row in rows if not row["behaviour"].strip()] == []
    assert [row["row"] for row in rows if row["how"] not in (SAME, BETTER, NOT_SUPPORTED)] == []


@pytest.mark.parametrize("name", ROWS)
def test_what_is_not_supported_has_its_reason(name: str) -> None:
    assert [row["row"] for row in _read(name) if row["how"] == NOT_SUPPORTED and not row["note"].strip()] == []


@pytest.mark.parametrize("name", ROWS)
def test_every_row_that_is_supported_is_shown_by_a_test(name: str) -> None:
    assert [row["row"] for row in _read(name) if row["how"] != NOT_SUPPORTED and not row["test"].split()] == []


@pytest.mark.parametrize("name", ROWS)
def test_every_test_that_a_row_names_exists(name: str) -> None:
    named = [(row["row"], test) for row in _read(name) for test in row["test"].split()]
    assert [(row, test) for row, test in named if not _exists(test)] == []


def test_the_page_shows_every_file() -> None:
    page = (ROOT / "doc" / "compatibility.rst").read_text()
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(ROWS)
    assert [name for name in ROWS if f":file: compatibility/{name}.csv" not in page] == []
