"""A job while it is translated from Jenkins Job Builder, and readers of its data, which follow the library's rules:
a truth may be a text, an argument may be missing or empty.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from zuul_launcher.worker.definitions.jjbjob import Component, Expand, ExpansionError
from zuul_launcher.worker.definitions.job import Credential, Publisher, Step
from zuul_launcher.worker.definitions.jobsteps import Known
from zuul_launcher.worker.definitions.values import what_is_wrong_with_an_inner_path

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


class Unsupported(Exception):
    """A component, or a part of it, that has no translation; the text says which."""


class Part(Struct, frozen=True):
    """A part of a job, and what is to be said of it."""

    part: str  # "publisher scp", "node"
    text: str


@dataclass
class Draft:
    """What is known of a job so far. `values`: fields of Job."""

    known: Known | None  # None: what sites and secrets there are is not known
    expand: Expand
    ignore: Collection[str]  # "publisher:afs"
    values: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    publishers: list[Publisher] = field(default_factory=list)
    credentials: list[Credential] = field(default_factory=list)
    unsupported: list[Part] = field(default_factory=list)
    notes: list[Part] = field(default_factory=list)

    def builders(self, elements: Any) -> tuple[Component, ...]:
        """Of a list inside of a component, without those that are left out."""
        try:
            found = self.expand(elements)
        except ExpansionError as error:
            raise Unsupported(str(error)) from error
        return tuple(one for one in found if not self.is_left_out(one.kind, one.name))

    def is_left_out(self, kind: str, name: str) -> bool:
        if f"{kind}:{name}" not in self.ignore:
            return False
        self.notes.append(Part(f"{kind} {name}", "left out, as `ignore` says"))
        return True

    def add_credential(self, variable: str, secret: str, kind: Any) -> None:
        if wrong := self.known.what_is_wrong_with_a_secret(secret, kind)[0] if self.known else "":
            raise Unsupported(wrong)
        self.credentials.append(Credential(variable=variable, secret=secret, kind=kind))


def mapping(data: Any) -> Mapping[str, Any]:
    """Arguments by name; none were given: empty."""
    if not data:
        return {}
    if not isinstance(data, dict):
        raise Unsupported("expected arguments by name")
    return data


def entries(data: Any, what: str) -> list[Any]:
    if not isinstance(data, list):
        raise Unsupported(f"{what}: expected a list")
    return data


def text(data: Mapping[str, Any], key: str, default: str = "") -> str:
    value = data.get(key)
    if value is None:
        return default
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise Unsupported(f"{key}: expected a text")
    return str(value)


def required(data: Mapping[str, Any], key: str) -> str:
    if not (value := text(data, key)):
        raise Unsupported(f"{key} is missing")
    return value


def truth(data: Mapping[str, Any], key: str, default: bool = False) -> bool:
    value = data.get(key)
    return default if value is None else str(value).lower() == "true"


def number(data: Mapping[str, Any], key: str, default: int) -> int:
    try:
        return int(text(data, key, str(default)))
    except ValueError:
        raise Unsupported(f"{key}: expected a number") from None


def refuse_others(data: Mapping[str, Any], supported: Collection[str]) -> None:
    """What is given beside these would be lost. Empty and false is as good as not given."""
    for key, value in data.items():
        if key not in supported and value not in (None, "", False, [], {}) and str(value).lower() != "false":
            raise Unsupported(f"{key} is not supported")


def with_braces(value: str) -> str:
    """`$NAME` as `${NAME}`."""
    return _VARIABLE.sub(lambda found: f"${{{found[1] or found[2]}}}", value)


def globs(value: str) -> tuple[str, ...]:
    """Patterns of Ant, parted by commas; a folder stands for all that is in it."""
    found = [one.strip().removeprefix("./") for one in value.split(",") if one.strip()]
    for one in found:
        if "$" in one:
            raise Unsupported(f"a variable in the path {one!r} is not supported")
        if wrong := what_is_wrong_with_an_inner_path(one):
            raise Unsupported(f"{one!r}: {wrong}")
    return tuple(f"{one}**" if one.endswith("/") else one for one in found)
