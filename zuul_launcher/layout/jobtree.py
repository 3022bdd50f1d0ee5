"""Job trees: a list of names, of `parent: children` and of nested lists; in templates with `{parameters}`."""

import re
import string
from collections.abc import Iterable
from typing import NamedTuple

from zuul_launcher.model.layout import JobNode
from zuul_launcher.yamlfile.reading import Reading
from zuul_launcher.yamlfile.tree import Mapping, Node, Sequence

MAXIMUM_NAME = 1000  # characters

_NAME = re.compile(r"\S+")
_SPACE_HINT = "a job name has no white space; look at the indentation, and for a missing `:` or `-`"


class Part(NamedTuple):
    """Literal text, then the value of a parameter."""

    text: str
    parameter: str | None


class Twig(NamedTuple):
    """A job as the file names it: `parts` are its name, one part if no parameter is in it."""

    key: Node
    parts: tuple[Part, ...]
    children: "tuple[Twig, ...]"


class Unusable(ValueError):
    """Parameters give no usable job name."""


def read_tree(reading: Reading, node: Node, is_template: bool) -> tuple[Twig, ...]:
    if not isinstance(node, Sequence):
        reading.refuse(node, "expected a list", "jobs are written as a list, with `- ` in front of each")
        return ()
    twigs: list[Twig] = []
    for one in node.items:
        if isinstance(one, Sequence):
            twigs += read_tree(reading, one, is_template)
        elif isinstance(one, Mapping):
            for name, entry in one.entries.items():
                children = read_tree(reading, entry.value, is_template)
                twigs += _twig(reading, entry.key, name, children, is_template)
        elif (text := reading.text(one)) is not None:
            twigs += _twig(reading, one, text, (), is_template)
    return tuple(twigs)


def _twig(reading: Reading, node: Node, text: str, children: tuple[Twig, ...], is_template: bool) -> Iterable[Twig]:
    if not _NAME.fullmatch(text):
        reading.refuse(node, f"does not match regular expression ^\\S+$: {text[:60]!r}", _SPACE_HINT)
        return ()
    if len(text) > MAXIMUM_NAME:
        reading.refuse(node, f"a job name has at most {MAXIMUM_NAME} characters")
        return ()
    try:
        parts = tuple(_parts(text)) if is_template else (Part(text, None),)
    except ValueError as error:
        reading.refuse(node, f"{text[:60]!r} can not be filled in: {error}", "write {{ and }} for braces")
        return ()
    return (Twig(node, parts, children),)


def _parts(text: str) -> Iterable[Part]:
    """`str.format` of plain parameters: nothing of Python can be reached through a name in braces."""
    for literal, parameter, spec, conversion in string.Formatter().parse(text):
        if parameter is not None and (spec or conversion or not re.fullmatch(r"[^\W\d][\w-]*", parameter)):
            raise ValueError("only plain {parameter} is allowed")
        yield Part(literal, parameter)


def parameters(twigs: Iterable[Twig]) -> set[str]:
    """All that occur, in leaves and parents."""
    found: set[str] = set()
    for twig in twigs:
        found |= {part.parameter for part in twig.parts if part.parameter is not None} | parameters(twig.children)
    return found


def expand(twigs: Iterable[Twig], values: dict[str, str]) -> tuple[JobNode, ...]:
    """The tree with its parameters filled in. Raises Unusable."""
    return tuple(JobNode(_filled(twig.parts, values), expand(twig.children, values)) for twig in twigs)


def _filled(parts: tuple[Part, ...], values: dict[str, str]) -> str:
    pieces = [piece for part in parts for piece in (part.text, values[part.parameter] if part.parameter else "")]
    if sum(map(len, pieces)) > MAXIMUM_NAME:
        raise Unusable(f"a job name would have more than {MAXIMUM_NAME} characters")
    name = "".join(pieces)
    if not _NAME.fullmatch(name):
        raise Unusable(f"the job name would be {name!r}, which has white space or is empty")
    return name


def join(nodes: Iterable[JobNode]) -> tuple[JobNode, ...]:
    """One node a name among the children of one parent: first position kept, children of all joined."""
    children: dict[str, list[JobNode]] = {}
    for node in nodes:
        children.setdefault(node.job, []).extend(node.children)
    return tuple(JobNode(job, join(below) if below else ()) for job, below in children.items())


def count(nodes: Iterable[JobNode]) -> int:
    """Entries of a tree."""
    return sum(1 + count(node.children) for node in nodes)


def names_in(nodes: Iterable[JobNode], found: dict[str, None]) -> None:
    """Adds the jobs of a tree to those found, in order."""
    for node in nodes:
        found[node.job] = None
        names_in(node.children, found)
