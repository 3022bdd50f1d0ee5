"""A job as the library of Jenkins Job Builder gives it: every macro expanded. Nouns only; the library is not needed."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from zuul_launcher.worker.definitions.job import Place


class Component(Struct, frozen=True):
    """A plain component: `kind` is builder, publisher ...; `data` what stands behind its name."""

    kind: str
    name: str
    data: Any


class ExpandedJob(Struct, frozen=True):
    """A job as the library gives it. `keys`: all but its components."""

    name: str
    place: Place
    keys: dict[str, Any]
    components: tuple[Component, ...]  # of each kind in its order


Expand = Callable[[Any], tuple[Component, ...]]


class ExpansionError(Exception):
    """A component can not be expanded; the text says why."""
