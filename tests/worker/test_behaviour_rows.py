"""Each row of the checklist of behaviours (worker-and-remoting, part D) has a test that says so in its docstring,
and what a Gearman server takes part in is tested with every server that a manager is to work with."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.queue_world import DIFFERENCES

TESTS = Path(__file__).parent.parent
ROWS = range(1, 137)
REMOTING = range(98, 137)
FILES = ("worker/**/test_*.py", "cli/test_*.py", "gearman/test_*.py", "system/test_system_worker*.py")
BEGINNING = re.compile(r"D[0-9]+\b(?:[.,]? +D[0-9]+\b)*")  # of a docstring: `D12.`, `D47, D48`, `D61. D62.`

# Where a server takes part: what it answers, hands out, shows, or does when a side is gone.
SERVED = {4, 5, *range(16, 20), *range(22, 26), 27, 28, 30}
SERVED |= {*range(47, 50), 51, 52, 53, 55, 56, *range(60, 63), *range(65, 69), 71, *range(74, 79)}


class Shown:
    """`fixtures`: all that it needs, theirs included."""

    def __init__(self, path: Path, function: ast.FunctionDef, fixtures: dict[str, ast.FunctionDef]) -> None:
        self.name = f"{path.relative_to(TESTS)}::{function.name}"
        said = BEGINNING.match(ast.get_docstring(function) or "")
        self.rows = {int(number) for number in re.findall("[0-9]+", said.group())} if said else set()
        self.fixtures: set[str] = set()
        waiting = [function]
        while waiting:
            new = {argument.arg for argument in waiting.pop().args.args} - self.fixtures
            self.fixtures |= new
            waiting += [fixtures[name] for name in new if name in fixtures]


def _functions(path: Path) -> dict[str, ast.FunctionDef]:
    if not path.exists():
        return {}
    return {node.name: node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def _tests(*patterns: str) -> Iterator[Shown]:
    for path in sorted(path for pattern in patterns for path in TESTS.glob(pattern)):
        own = _functions(path)
        fixtures = _functions(path.with_name("conftest.py")) | own
        yield from (Shown(path, one, fixtures) for name, one in own.items() if name.startswith("test_"))


@pytest.fixture(scope="module")
def tests() -> list[Shown]:
    found = list(_tests(*FILES))
    for one in found:
        assert one.rows <= {*ROWS} - {*REMOTING}, f"{one.name} names a row that is none of the worker's"
    return found


def test_each_row_of_the_worker_has_a_test(tests: list[Shown]) -> None:
    assert {*ROWS} - {*REMOTING} - {row for one in tests for row in one.rows} == set()


def test_each_row_of_remoting_has_a_test() -> None:
    assert {*REMOTING} - {row for one in _tests("remoting/test_*.py") for row in one.rows} == set()


def test_what_a_server_takes_part_in_is_tested_with_every_server(tests: list[Shown]) -> None:
    """D80. By the fixtures of the queue's tests, which give each its server, or of tests of a manager as it is run."""
    by_queue = {row for one in tests if "place" in one.fixtures and "queue/" in one.name for row in one.rows}
    by_manager = {row for one in tests if "server" in one.fixtures and "system/" in one.name for row in one.rows}
    assert SERVED - by_queue - by_manager == set()


def test_servers_differ_only_where_the_table_says_so_and_a_test_asks_it() -> None:
    """D80."""
    assert {tuple(answers) for answers in DIFFERENCES.values()} == {("ours", "gear", "gearmand")}
    source = "".join(path.read_text() for path in [*TESTS.glob("worker/**/*.py"), *TESTS.glob("system/*worker*.py")])
    asked = set(re.findall(r'expected\(\w+, "([^"]+)"\)', source + (TESTS / "support" / "queue_world.py").read_text()))
    assert asked == set(DIFFERENCES)
    assert "place.name" not in source.replace(Path(__file__).read_text(), "")
