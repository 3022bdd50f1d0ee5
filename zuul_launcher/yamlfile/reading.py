"""Reading typed values off nodes: each reader gives the value, or reports what is wrong and gives None."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from zuul_launcher.yamlfile.patterns import InvalidPattern, normal_pattern
from zuul_launcher.yamlfile.problems import Problems
from zuul_launcher.yamlfile.tree import Entry, Mapping, Node, Scalar, Sequence

T = TypeVar("T")
Reader = Callable[[Node], T | None]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MAXIMUM_HINTS = 200  # likeness is slow to compute

EXTRA = "extra keys not allowed"
REQUIRED = "required key not provided"


def alike(given: str, known: Collection[str]) -> str | None:
    """A hint at the known name that was probably meant."""
    close = difflib.get_close_matches(given, sorted(known), n=1)
    return f"did you mean {close[0]!r}?" if close else None


class Reading:
    """The readers of one file, and where it says what is wrong."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._hints: dict[tuple[str, frozenset[str]], str | None] = {}
        self._patterns: dict[int, tuple[str, ...]] = {}  # by id of the node: aliases share long lists

    def refuse(self, node: Node, message: str, hint: str | None = None) -> None:
        if not (isinstance(node, Scalar) and node.kind == "broken"):
            self.problems.refuse(node, message, hint)

    def text(self, node: Node) -> str | None:
        if isinstance(node, Scalar) and node.kind == "str":
            return str(node.value)
        quote = isinstance(node, Scalar) and node.kind != "null"
        self.refuse(node, "expected str", "put it in quotes" if quote else None)
        return None

    def name(self, node: Node) -> str | None:
        text = self.text(node)
        if text == "":
            self.refuse(node, "expected a name, this is empty")
        return text or None

    def truth(self, node: Node) -> bool | None:
        if isinstance(node, Scalar) and node.kind == "bool":
            return bool(node.value)
        self.refuse(node, "expected bool", "write true or false")
        return None

    def integer(self, node: Node) -> int | None:
        if isinstance(node, Scalar) and node.kind == "int" and isinstance(node.value, int):
            return node.value
        self.refuse(node, "expected int")
        return None

    def at_least(self, minimum: int) -> Reader[int]:
        def read(node: Node) -> int | None:
            number = self.integer(node)
            if number is not None and number < minimum:
                self.refuse(node, f"value must be at least {minimum}")
                return None
            return number

        return read

    def choice(self, options: Collection[str]) -> Reader[str]:
        def read(node: Node) -> str | None:
            if isinstance(node, Scalar) and node.kind == "str" and str(node.value) in options:
                return str(node.value)
            given = str(node.value) if isinstance(node, Scalar) else ""
            self.refuse(node, "not a valid value", self.alike(given, options) or f"one of {', '.join(sorted(options))}")
            return None

        return read

    def pattern(self, node: Node) -> str | None:
        text = self.text(node)
        if text is None:
            return None
        try:
            return normal_pattern(text)
        except InvalidPattern as error:
            self.refuse(node, f"not a valid regular expression: {error}")
            return None

    def patterns(self, node: Node) -> tuple[str, ...]:
        if id(node) not in self._patterns:
            self._patterns[id(node)] = self.one_or_list(self.pattern)(node)
        return self._patterns[id(node)]

    def texts(self, node: Node) -> tuple[str, ...]:
        return self.one_or_list(self.text)(node)

    def interval(self, node: Node) -> int | None:
        text = self.text(node)
        if text is None:
            return None
        found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
        if found is None:
            self.refuse(node, f"{text!r} is no interval", "a number and s, m, h, d or w, as in 24h")
            return None
        return int(found[1]) * _SECONDS[found[2]]

    def one_or_list(self, reader: Reader[T]) -> Callable[[Node], tuple[T, ...]]:
        def read(node: Node) -> tuple[T, ...]:
            nodes = node.items if isinstance(node, Sequence) else [node]
            return tuple(value for value in map(reader, nodes) if value is not None)

        return read

    def items(self, node: Node, what: str = "expected a list") -> list[Node]:
        if isinstance(node, Sequence):
            return node.items
        self.refuse(node, what)
        return []

    def entries(self, node: Node) -> dict[str, Entry]:
        if isinstance(node, Mapping):
            return node.entries
        self.refuse(node, "expected a dictionary")
        return {}

    def fields(self, node: Node, allowed: Collection[str], required: Iterable[str] = ()) -> "Fields | None":
        """The mapping whose keys are checked; None if it is no mapping."""
        if not isinstance(node, Mapping):
            self.refuse(node, "expected a dictionary")
            return None
        for key, entry in node.entries.items():
            if key not in allowed:
                self.refuse(entry.key, f"{EXTRA}: {key!r}", self.alike(key, allowed))
        for key in required:
            if key not in node.entries:
                self.refuse(node, f"{REQUIRED}: {key!r}")
        return Fields(node, self)

    def alike(self, given: str, known: Iterable[str]) -> str | None:
        """The hint, unless there were too many already."""
        key = given, frozenset(known)
        if key not in self._hints and len(self._hints) < _MAXIMUM_HINTS and len(given) < 200:
            self._hints[key] = alike(given, key[1])
        return self._hints.get(key)

    def unique(self, seen: dict[str, Node], name: str, node: Node) -> bool:
        """False, and a report, if the name was met before."""
        if name in seen:
            first = seen[name]
            place = f"line {first.line}" if first.file == node.file else self.problems.place_of(first)
            self.refuse(node, f"Duplicate name: {name}", f"first in {place}")
            return False
        seen[name] = node
        return True


class Fields:
    """A mapping read key by key."""

    def __init__(self, node: Mapping, reading: Reading) -> None:
        self.node = node
        self._reading = reading

    def __contains__(self, key: str) -> bool:
        return key in self.node.entries

    def __getitem__(self, key: str) -> Node:
        return self.node.entries[key].value

    def get(self, key: str) -> Node | None:
        entry = self.node.entries.get(key)
        return entry.value if entry else None

    def read(self, key: str, reader: Callable[[Node], T | None]) -> T | None:
        node = self.get(key)
        return None if node is None else reader(node)

    def given(self, key: str, reader: Callable[[Node], T | None], default: T) -> T:
        value = self.read(key, reader)
        return default if value is None else value

    def every(self, key: str, reader: Callable[[Node], T | None]) -> tuple[T, ...]:
        """One or a list of what the reader reads; none if the key is absent."""
        values = self.read(key, self._reading.one_or_list(reader))
        return values if values is not None else ()

    def patterns(self, key: str) -> tuple[str, ...]:
        values = self.read(key, self._reading.patterns)
        return values if values is not None else ()
