"""The little of setuptools' former `pkg_resources` that jenkins-job-builder uses to make XML: setuptools 82 and later
come without it. On the path of a process of its own only."""

import importlib
from collections.abc import Iterator
from importlib import metadata
from typing import Any


class EntryPoint:
    def __init__(self, name: str, module_name: str, attrs: tuple[str, ...] = (), dist: object = None) -> None:
        self.name = name
        self.module_name = module_name
        self.attrs = attrs
        self.dist = dist

    def load(self) -> Any:
        found: Any = importlib.import_module(self.module_name)
        for name in self.attrs:
            found = getattr(found, name)
        return found


def iter_entry_points(group: str, name: str | None = None) -> Iterator[EntryPoint]:
    for one in metadata.entry_points(group=group):
        if name in (None, one.name):
            yield EntryPoint(one.name, one.module, (one.attr,), one.dist)
