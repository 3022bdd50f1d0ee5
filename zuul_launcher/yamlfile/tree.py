"""YAML text -> nodes that know their line and column. The only file that knows YAML.

Built from the events of the C parser: no object is ever constructed from a tag, nesting and the values that aliases
stand for are counted, and duplicate keys are found before merge keys (`<<`) are applied. What is broken is reported
once and becomes a node of kind "broken", which all readers pass over in silence.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from yaml import CSafeLoader, SafeLoader
from yaml.constructor import SafeConstructor

from zuul_launcher.yamlfile.problems import Place, Problems

MAXIMUM_BYTES = 20_000_000
MAXIMUM_NESTING = 50
MAXIMUM_NODES = 500_000  # aliases counted as what they stand for
MAXIMUM_INTEGER = 2**53

_TAG = "tag:yaml.org,2002:"
_KINDS = {"str", "int", "bool", "float", "null", "timestamp", "merge"}
_RESOLVERS = SafeLoader.yaml_implicit_resolvers

Value = str | int | bool | float | None


class Node:
    """One value at 1-based line and column; `file` None: that which was named first. `size` counts all values in it,
    `depth` levels."""

    __slots__ = ("column", "depth", "file", "line", "size")

    def __init__(self, line: int, column: int, file: str | None) -> None:
        self.file: Final = file
        self.line: Final = line
        self.column: Final = column
        self.size = 1
        self.depth = 1


class Scalar(Node):
    __slots__ = ("kind", "value")

    def __init__(self, line: int, column: int, file: str | None, kind: str, value: Value) -> None:
        super().__init__(line, column, file)
        self.kind: Final = kind  # str, int, bool, float, null, timestamp, merge, broken
        self.value: Final = value


class Sequence(Node):
    __slots__ = ("items",)

    def __init__(self, line: int, column: int, file: str | None) -> None:
        super().__init__(line, column, file)
        self.items: list[Node] = []


class Entry(NamedTuple):
    key: Scalar
    value: Node


class Mapping(Node):
    """Keys are texts; what merge keys bring in is in place, first, and overridden by the mapping's own keys."""

    __slots__ = ("entries",)

    def __init__(self, line: int, column: int, file: str | None) -> None:
        super().__init__(line, column, file)
        self.entries: dict[str, Entry] = {}


def parse_file(path: Path, problems: Problems, file: str | None = None) -> Node | None:
    """The tree of a file; None if there is none, which is reported. `file`: its name, if it is an included one."""
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            problems.refuse(Place(file=file), f"the file is larger than {MAXIMUM_BYTES:,} bytes")
            return None
        raw = path.read_bytes()
    except OSError as error:
        problems.refuse(Place(file=file), f"the file can not be read: {error.strerror}")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.refuse(_place_of(raw[: error.start].decode(errors="replace"), file), "this is not text in UTF-8")
        return None
    return parse(text, problems, file)


def parse(text: str, problems: Problems, file: str | None = None) -> Node | None:
    """The tree of a text; None if it is empty or no YAML, which is reported."""
    building = _Building(problems, file)
    try:
        building.build(yaml.parse(text, CSafeLoader))
    except yaml.MarkedYAMLError as error:
        place = Place(*_position(error.problem_mark or error.context_mark), file)
        context = f"{error.context}: " if error.context else ""
        problems.refuse(place, f"{context}{error.problem}", _hint_for(str(error.problem)))
        return None
    except yaml.reader.ReaderError as error:
        problems.refuse(_place_of(text[: error.position], file), f"character {error.character!r}: {error.reason}")
        return None
    except _TooLarge:
        return None
    if building.root is None:
        problems.refuse(Place(file=file), problems.if_empty)
    return building.root


class _TooLarge(Exception):
    """Reported already: nothing can be said about such a file."""


class _Open:
    """A sequence or mapping whose end has not been met."""

    __slots__ = ("anchor", "children", "node")

    def __init__(self, node: Sequence | Mapping, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.children: list[Node] = []


class _Building:
    def __init__(self, problems: Problems, file: str | None) -> None:
        self.file = file
        self.problems = problems
        self.root: Node | None = None
        self.open: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.nodes = 0
        self.merged = 0
        self.construct = SafeConstructor()

    def build(self, events: Iterable[yaml.Event]) -> None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._close(self._scalar(event), event.anchor)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                last = self.open.pop()
                node = last.node
                if isinstance(node, Sequence):
                    node.items = last.children
                else:
                    self._fill(node, last.children)
                self._close(self._sized(node, last.children), last.anchor)
            elif isinstance(event, yaml.AliasEvent):
                self._close(self._aliased(event), None)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    place = Place(*_position(event.start_mark), self.file)
                    self.problems.refuse(place, "a second document begins here", "a file is one document")
                    return

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        line, column = _position(event.start_mark)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        node = Mapping(line, column, self.file) if is_mapping else Sequence(line, column, self.file)
        if len(self.open) >= MAXIMUM_NESTING:
            self.problems.refuse(node, f"nested more than {MAXIMUM_NESTING} levels deep")
            raise _TooLarge
        if event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            self._refuse_tag(node, event.tag)
        if event.anchor:
            self.anchors[event.anchor] = node
        self.open.append(_Open(node, event.anchor))

    def _close(self, node: Node, anchor: str | None) -> None:
        """A value is complete: give it to what it stands in."""
        self.nodes += 1
        if self.nodes > MAXIMUM_NODES:
            self.problems.refuse(node, f"the file has more than {MAXIMUM_NODES:,} values")
            raise _TooLarge
        if anchor:
            self.anchors[anchor] = node
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        line, column = _position(event.start_mark)
        text: str = event.value
        if event.tag in (None, "!"):
            if not event.implicit[0] or event.tag == "!":
                return Scalar(line, column, self.file, "str", text)
            tag = _resolved(text)
        else:
            tag = event.tag.removeprefix(_TAG)
        if tag == "str":
            return Scalar(line, column, self.file, "str", text)
        broken = Scalar(line, column, self.file, "broken", None)
        if tag not in _KINDS:
            self._refuse_tag(broken, event.tag or tag)
            return broken
        try:
            return Scalar(line, column, self.file, tag, self._value(tag, event))
        except (ValueError, KeyError, IndexError, OverflowError):
            self.problems.refuse(broken, f"{text[:40]!r} is no {tag} that can be used")
            return broken

    def _value(self, tag: str, event: yaml.ScalarEvent) -> Value:
        node = yaml.ScalarNode(_TAG + tag, event.value)
        if tag == "bool":
            return bool(self.construct.construct_yaml_bool(node))
        if tag == "int":
            number = int(self.construct.construct_yaml_int(node))
            if abs(number) > MAXIMUM_INTEGER:
                raise OverflowError
            return number
        if tag == "float":
            value = float(self.construct.construct_yaml_float(node))
            if not math.isfinite(value):
                raise ValueError
            return value
        return None if tag == "null" else str(event.value)

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        broken = Scalar(*_position(event.start_mark), self.file, "broken", None)
        node = self.anchors.get(event.anchor or "")
        if node is None:
            self.problems.refuse(broken, f"alias *{event.anchor} has no anchor &{event.anchor} above")
            return broken
        if any(one.node is node for one in self.open):
            self.problems.refuse(broken, f"alias *{event.anchor} stands inside its own anchor")
            return broken
        return node

    def _sized(self, node: Sequence | Mapping, children: list[Node]) -> Node:
        node.size += sum(child.size for child in children)
        node.depth += max((child.depth for child in children), default=0)
        if node.size > MAXIMUM_NODES:
            self.problems.refuse(node, f"aliases make this more than {MAXIMUM_NODES:,} values")
        elif node.depth > MAXIMUM_NESTING:
            self.problems.refuse(node, f"aliases nest this more than {MAXIMUM_NESTING} levels deep")
        else:
            return node
        return Scalar(node.line, node.column, self.file, "broken", None)

    def _refuse_tag(self, node: Node, tag: str) -> None:
        self.problems.refuse(node, f"tag {tag.replace(_TAG, '!!')} is not allowed", "write plain data")

    def _fill(self, node: Mapping, children: list[Node]) -> None:
        """Own keys over merged ones; of several merges the later one counts, in a merged list the earlier one."""
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Scalar) or key.kind not in ("str", "merge", "broken"):
                self.problems.refuse(key, "expected str as a key", "put it in quotes if it is meant as text")
            elif key.kind == "merge":
                self._merge(key, value, merged)
            elif key.kind == "str":
                name = str(key.value)
                if name in own:
                    self.problems.refuse(key, f"duplicate key {name!r}", f"first in line {own[name].key.line}")
                own[name] = Entry(key, value)
        node.entries = {**merged, **own}

    def _merge(self, key: Scalar, value: Node, merged: dict[str, Entry]) -> None:
        for source in reversed(value.items) if isinstance(value, Sequence) else [value]:
            if isinstance(source, Mapping):
                self.merged += len(source.entries)
                if self.merged > MAXIMUM_NODES:
                    self.problems.refuse(key, f"merge keys bring in more than {MAXIMUM_NODES:,} values")
                    raise _TooLarge
                merged.update(source.entries)
            elif not (isinstance(source, Scalar) and source.kind == "broken"):
                self.problems.refuse(source, "expected a dictionary, or a list of them, to merge")


def _resolved(text: str) -> str:
    for tag, regexp in _RESOLVERS.get(text[:1], ()):
        if regexp.match(text):
            kind: str = tag.removeprefix(_TAG)
            return kind if kind in _KINDS else "str"
    return "str"


def _position(mark: Any) -> tuple[int, int]:
    """Line and column from 1. The C parser always gives marks, which its types do not say."""
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _place_of(before: str, file: str | None) -> Place:
    """Where the text after `before` begins."""
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"), file)


def _hint_for(problem: str) -> str | None:
    if "tab" in problem or "cannot start any token" in problem:
        return "indent with spaces, and quote texts that begin with a special character"
    return None
