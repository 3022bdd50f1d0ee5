"""Reads one JUnit XML file as a stream, in flat memory: entities are refused, no other file is ever opened.

A document that declares an entity is no test result but an attack (or a mistake); no parser option is trusted, the
declaration itself ends the reading. Counts are of the cases that are there; the numbers that a suite says about
itself only show that something is missing. Format: `testsuites` > `testsuite` (any depth) > `testcase` > `failure`,
`error`, `skipped`, as Ant, surefire, pytest and Jenkins write it. Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO
from xml.parsers import expat

CHUNK = 256 * 1024
DEPTH = 100
NAME_CHARACTERS = 1000
TEXT_CHARACTERS = 64 * 1024
_BAD = ("failure", "error")


class NotJUnit(ValueError):
    """The file cannot be read as a test result; the text says why and in which line."""


@dataclass
class Case:
    """One case that did not pass."""

    suite: str
    class_name: str
    name: str
    kind: str  # failure (a test said no) or error (it could not say)
    message: str
    text: str
    seconds: float


@dataclass
class Suite:
    name: str
    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    seconds: float = 0.0
    declared_bad: int = 0  # what the suite says about itself: failures + errors


@dataclass
class Document:
    suites: list[Suite] = field(default_factory=list)
    bad_cases: list[Case] = field(default_factory=list)
    has_more: bool = False  # more than were to be kept did not pass; all are counted


def read(stream: BinaryIO, most_cases: int) -> Document:
    """Keeps the texts of at most `most_cases` cases. NotJUnit if it is something else."""
    reading = _Reading(most_cases)
    try:
        while True:
            chunk = stream.read(CHUNK)
            reading.parser.Parse(chunk, not chunk)
            if not chunk:
                return reading.document
    except expat.ExpatError as error:
        raise NotJUnit(f"not well-formed XML: {error}") from None
    except (ValueError, LookupError) as error:
        if isinstance(error, NotJUnit):
            raise
        raise NotJUnit(f"its encoding cannot be read: {error}") from None


class _Reading:
    def __init__(self, most_cases: int) -> None:
        self.document = Document()
        self._most = most_cases
        self._path: list[str] = []
        self._suites: list[Suite] = []
        self._case: Case | None = None
        self._is_skipped = False
        self._text: list[str] | None = None  # of the failure that is being read
        self._room = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse

    def _refuse(self, name: str, *_: object) -> None:
        raise NotJUnit(f"it declares an entity, {name[:80]!r}, in line {self.parser.CurrentLineNumber}: refused")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name not in ("testsuites", "testsuite"):
            raise NotJUnit(f"it is no JUnit file: it begins with <{name[:80]}>")
        self._path.append(name)
        if len(self._path) > DEPTH:
            raise NotJUnit(f"more than {DEPTH} elements inside each other")
        if name == "testsuite":
            suite = Suite(name=_short(attributes.get("name", "")), declared_bad=_declared(attributes))
            self._suites.append(suite)
            self.document.suites.append(suite)
        elif name == "testcase" and self._suites:
            self._case = Case(
                suite=self._suites[-1].name,
                class_name=_short(attributes.get("classname", "")),
                name=_short(attributes.get("name", "")),
                kind="",
                message="",
                text="",
                seconds=_seconds(attributes.get("time", "")),
            )
        elif self._case is not None and name == "skipped":
            self._is_skipped = True
        elif self._case is not None and name in _BAD and not self._case.kind:
            self._case.kind = name
            self._case.message = attributes.get("message", attributes.get("type", ""))[:TEXT_CHARACTERS]
            self._text, self._room = [], TEXT_CHARACTERS

    def _characters(self, text: str) -> None:
        if self._text is not None and self._room > 0:
            self._text.append(text[: self._room])
            self._room -= len(text)

    def _end(self, name: str) -> None:
        self._path.pop()
        if name == "testsuite":
            self._suites.pop()
        elif name in _BAD and self._case is not None and self._text is not None:
            self._case.text, self._text = "".join(self._text).strip(), None
        elif name == "testcase" and self._case is not None:
            self._count(self._suites[-1], self._case)
            self._case, self._is_skipped = None, False

    def _count(self, suite: Suite, case: Case) -> None:
        suite.tests += 1
        suite.seconds += case.seconds
        if case.kind:
            suite.failures += case.kind == "failure"
            suite.errors += case.kind == "error"
            if len(self.document.bad_cases) < self._most:
                self.document.bad_cases.append(case)
            else:
                self.document.has_more = True
        elif self._is_skipped:
            suite.skipped += 1


def _short(text: str) -> str:
    return text[:NAME_CHARACTERS]


def _declared(attributes: dict[str, str]) -> int:
    numbers = [attributes.get("failures", ""), attributes.get("errors", "")]
    return sum(int(each) for each in numbers if each.isdigit() and len(each) < 10)


def _seconds(text: str) -> float:
    """`1,234.5` is written by some; what is no number is no time."""
    try:
        seconds = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e9 else 0.0
