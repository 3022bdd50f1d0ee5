"""Where projects go: below the workspace, under their own names or as a clone map says.

A clone map is YAML: `clonemap`, a list of `{name: REGULAR EXPRESSION, dest: REPLACEMENT}`. The expression has to match
the whole name of the project; the replacement may use its groups (`\\1`). Nothing is cloned unless all is clear.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from zuul_launcher.errors import ConfigurationError, RequestError


@dataclass(frozen=True)
class Rule:
    """One entry of a clone map."""

    name: re.Pattern[str]
    destination: str


def read_rules(path: Path) -> list[Rule]:
    """The rules of a clone map.

    :raises ConfigurationError: the file is missing or wrong.
    """
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"clone map {path}: {error.strerror}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"clone map {path} is no YAML: {error}") from None
    entries = document.get("clonemap") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ConfigurationError(f'clone map {path}: there is no list "clonemap"')
    return [_rule(entry, f"clone map {path}, entry {number}") for number, entry in enumerate(entries, 1)]


def destinations(projects: Iterable[str], rules: Sequence[Rule]) -> dict[str, PurePosixPath]:
    """Where each project goes, relative to the workspace ("." is the workspace itself), in the order of the projects.

    :raises RequestError: a project's name cannot be used.
    :raises ConfigurationError: two rules for a project, two projects at one place, a place outside of the workspace.
    """
    found: dict[str, PurePosixPath] = {}
    owners: dict[PurePosixPath, str] = {}
    for project in dict.fromkeys(projects):
        place = _place(check_project(project), rules)
        if place in owners:
            raise ConfigurationError(f"projects {owners[place]!r} and {project!r} would both be cloned to {place}")
        owners[place] = project
        found[project] = place
    return found


def check_project(name: str) -> str:
    """The name, if it can be a part of URLs and paths; RequestError otherwise."""
    parts = name.split("/")
    if not name.isprintable() or name.startswith("-") or any(part in ("", ".", "..") for part in parts):
        raise RequestError(f"{name!a} is not a name that a project can have")
    return name


def _place(project: str, rules: Sequence[Rule]) -> PurePosixPath:
    matching = [(rule, match) for rule in rules if (match := rule.name.fullmatch(project))]
    if len(matching) > 1:
        names = ", ".join(repr(rule.name.pattern) for rule, _ in matching)
        raise ConfigurationError(f"the clone map has several rules for project {project!r}: {names}")
    text = project
    for rule, match in matching:
        try:
            text = match.expand(rule.destination)
        except (re.error, IndexError) as error:
            message = f"the clone map's destination {rule.destination!r} of {rule.name.pattern!r} is wrong: {error}"
            raise ConfigurationError(message) from None
    return _normalised(text, project)


def _normalised(text: str, project: str) -> PurePosixPath:
    parts: list[str] = []
    for part in PurePosixPath(text).parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    # Git's own files are no place for a clone, and what is absolute or leads up is not in the workspace.
    if any(part in ("/", "//", "..") or part.casefold() == ".git" for part in parts) or not text.isprintable():
        raise ConfigurationError(f"project {project!r} cannot be cloned to {text!a}: this is no place in the workspace")
    return PurePosixPath(*parts)


def _rule(entry: Any, where: str) -> Rule:
    name, destination = (entry.get("name"), entry.get("dest")) if isinstance(entry, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(destination, str):
        raise ConfigurationError(f'{where}: "name" and "dest" have to be there, as text')
    try:
        return Rule(re.compile(name), destination)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigurationError(f"{where}: {name!r} is no regular expression: {error}") from None
