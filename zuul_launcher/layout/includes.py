"""`includes:` - python files of the site. Compiled and looked through here, never run: that is `service/sitecode`'s."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zuul_launcher.yamlfile.problems import Place
from zuul_launcher.yamlfile.reading import Reading
from zuul_launcher.yamlfile.tree import Node

MAXIMUM_BYTES = 10_000_000


@dataclass
class Functions:
    """Names that the includes define at their top level."""

    names: set[str] = field(default_factory=set)
    anything: bool = False  # a star import, or a file that can not be looked through: any name may be there

    def knows(self, name: str) -> bool:
        return self.anything or name in self.names


def read_includes(reading: Reading, nodes: list[Node], layout: Path) -> tuple[tuple[str, ...], Functions]:
    """Absolute paths in order, and what they define. `layout`: where relative ones start, links followed."""
    paths: list[str] = []
    functions = Functions()
    for one in nodes:
        fields = reading.fields(one, ("python-file",), required=["python-file"])
        text = fields.read("python-file", reading.name) if fields else None
        if fields is None or text is None:
            functions.anything = True
            continue
        try:
            path = path_from(layout, text)
            if path.stat().st_size > MAXIMUM_BYTES:
                raise OSError(0, f"it is larger than {MAXIMUM_BYTES:,} bytes")
            source = path.read_bytes()
        except (OSError, RuntimeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            reading.refuse(fields["python-file"], f"python-file {text!r} can not be read: {reason}")
            functions.anything = True
            continue
        paths.append(str(path))
        _look_through(reading, source, str(path), functions)
    return tuple(paths), functions


def path_from(layout: Path, text: str) -> Path:
    """Absolute. RuntimeError: there is no such user's home."""
    return (layout.resolve().parent / Path(text).expanduser()).absolute()


def _look_through(reading: Reading, source: bytes, path: str, functions: Functions) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the site's style
            module = ast.parse(source, path)
            compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        place = Place(error.lineno or 1, max(error.offset or 1, 1), path)
        reading.problems.refuse(place, f"{error.msg}", "includes are Python 3")
        functions.anything = True
        return
    except (ValueError, RecursionError, MemoryError) as error:
        reading.problems.refuse(Place(file=path), f"this can not be compiled: {error}")
        functions.anything = True
        return
    for name, place in _names(module.body, path):
        if name == "*":
            functions.anything = True
            reading.problems.warn(place, "a star import: parameter functions are not checked")
        functions.names.add(name)


def _names(body: list[ast.stmt], path: str) -> Iterator[tuple[str, Place]]:
    """What statements bind in their own scope, also below if, try, with, for and while."""
    for statement in body:
        place = Place(statement.lineno, statement.col_offset + 1, path)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name, place
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name.split(".")[0], place
        for part in ast.iter_child_nodes(statement):
            if isinstance(part, ast.stmt):
                yield from _names([part], path)
            elif isinstance(part, ast.ExceptHandler | ast.match_case):
                yield from _names(part.body, path)
            else:
                for name in ast.walk(part):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        yield name.id, place
