"""The shape of the code: sizes, directions of imports, words that are not used. Changing a limit is a decision."""

import ast
import configparser
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "zuul_launcher"
LINES = 400
TEXTS = {".py", ".js", ".css", ".html", ".svg"}
FOLDERS = ("zuul_launcher", "tests", "tools", "benchmarks", "alembic", "etc", "doc")
OURS = ("zuul_launcher", "support")
UNWANTED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME")) + r")\b")
PATCHING = re.compile("mock" + r"\.patch|unittest import " + "mock")
EMPTY_WORDS = re.compile(r"(Manager|Handler|Helper|Utils?)$")


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _sources() -> list[Path]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(path: Path) -> set[str]:
    """Modules and names of ours that a file imports, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in OURS}


def test_no_file_of_the_package_is_longer_than_the_limit() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.suffix in TEXTS]
    lengths = {_name(path): len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def test_every_module_with_code_states_its_rule_at_the_top() -> None:
    trees = {_name(path): ast.parse(path.read_text()) for path in _modules()}
    assert [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_no_class_has_a_name_that_says_nothing() -> None:
    classes = [
        f"{_name(path)}: {node.name}"
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and EMPTY_WORDS.search(node.name)
    ]
    assert classes == []


def test_nothing_is_left_to_do() -> None:
    found = [
        f"{_name(path)}:{number}"
        for path in _sources()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if UNWANTED.search(line)
    ]
    assert found == []


def test_no_test_replaces_code_of_ours() -> None:
    found = [_name(path) for path in (ROOT / "tests").rglob("*.py") if PATCHING.search(path.read_text())]
    assert found == []


def test_no_module_of_the_package_imports_the_tests() -> None:
    found = [_name(path) for path in _modules() if any(name.startswith("support") for name in _imports(path))]
    assert found == []


def test_the_gearman_server_imports_nothing_of_ours_but_the_errors() -> None:
    allowed = ("zuul_launcher.gearman.server", "zuul_launcher.errors")
    found = {
        f"{_name(path)}: {name}"
        for path in (PACKAGE / "gearman" / "server").glob("*.py")
        for name in _imports(path)
        if not name.startswith(allowed)
    }
    assert found == set()


def test_each_file_of_tests_has_a_name_of_its_own() -> None:
    """pytest imports them by it, since tests have no packages."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_imports_go_one_way() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    command = [str(program), "--config", "setup.cfg", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_import_contracts_speak_of_every_part() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    contracts = {name: section for name, section in parser.items() if name.startswith("importlinter:contract:")}
    named = set(" ".join(value for section in contracts.values() for value in section.values()).split())
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {f"zuul_launcher.{part}" for part in parts - {"__init__"}} <= named
