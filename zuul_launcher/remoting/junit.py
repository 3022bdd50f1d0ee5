"""Test results summed up where the files are: `FilePath(node, folder).act(summarise_junit, ["**/TEST-*.xml"])`.

The files may be many megabytes; what comes back are the counts, the suites, and the cases that did not pass, all
within limits. A file that cannot be read is a problem in the summary and ends nothing. `newer_than` leaves out files
of an earlier build. Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zuul_launcher.remoting import beneath, globs, junitxml, trees
from zuul_launcher.remoting.context import transferable

FILES = 20_000
FILE_BYTES = 128 * 1024**2
SUITES = 10_000
CASES = 1_000  # whose texts are kept; the others are only counted
TEXT_CHARACTERS = 8 * 1024**2  # of all cases together
PROBLEMS = 100


@transferable
@dataclass(frozen=True)
class FailedCase:
    """A case that did not pass. Texts are cut at 64 KiB, names at 1,000 characters."""

    suite: str
    class_name: str
    name: str
    kind: str  # "failure" or "error"
    message: str
    text: str
    seconds: float
    file: str  # below the folder that was read


@transferable
@dataclass(frozen=True)
class SuiteSummary:
    name: str
    file: str
    tests: int
    failures: int
    errors: int
    skipped: int
    seconds: float


@transferable
@dataclass(frozen=True)
class JUnitSummary:
    """What all files say together. `problems`: path and text of each file that could not be read (100 at most)."""

    files: int = 0
    stale: int = 0
    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    seconds: float = 0.0
    suites: tuple[SuiteSummary, ...] = ()
    failed: tuple[FailedCase, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False  # there is more than the limits let through; the counts are complete all the same

    @property
    def has_passed(self) -> bool:
        """Nothing failed and everything could be read. True also if there is no file at all: see `files`."""
        return not (self.failures or self.errors or self.problems)


@dataclass
class _Sum:
    """The summary while it grows."""

    files: int = 0
    stale: int = 0
    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    seconds: float = 0.0
    suites: list[SuiteSummary] = field(default_factory=list)
    failed: list[FailedCase] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    room: int = TEXT_CHARACTERS
    is_cut: bool = False

    def add_problem(self, path: str, text: str) -> None:
        if len(self.problems) < PROBLEMS:
            self.problems.append((path, text))
        else:
            self.is_cut = True

    def add(self, path: str, document: junitxml.Document) -> None:
        for suite in document.suites:
            self._add_suite(path, suite)
        for case in document.bad_cases:
            size = len(case.message) + len(case.text)
            if len(self.failed) < CASES and size <= self.room:
                self.failed.append(FailedCase(file=path, **vars(case)))
                self.room -= size
            else:
                self.is_cut = True
        self.is_cut = self.is_cut or document.has_more

    def _add_suite(self, path: str, suite: junitxml.Suite) -> None:
        counts = [suite.tests, suite.failures, suite.errors, suite.skipped]
        self.counts = [total + suite_count for total, suite_count in zip(self.counts, counts)]  # noqa: B905 - Python 3.8
        self.seconds += suite.seconds
        if len(self.suites) < SUITES:
            self.suites.append(_summary(path, suite))
        else:
            self.is_cut = True

    def result(self) -> JUnitSummary:
        tests, failures, errors, skipped = self.counts
        return JUnitSummary(
            files=self.files,
            stale=self.stale,
            tests=tests,
            failures=failures,
            errors=errors,
            skipped=skipped,
            seconds=round(self.seconds, 3),
            suites=tuple(self.suites),
            failed=tuple(self.failed),
            problems=tuple(self.problems),
            is_cut=self.is_cut,
        )


def _summary(path: str, suite: junitxml.Suite) -> SuiteSummary:
    return SuiteSummary(
        name=suite.name,
        file=path,
        tests=suite.tests,
        failures=suite.failures,
        errors=suite.errors,
        skipped=suite.skipped,
        seconds=round(suite.seconds, 3),
    )


def summarise_junit(
    folder: Path, patterns: Sequence[str], excludes: Sequence[str] = (), newer_than: float | None = None
) -> JUnitSummary:
    """Reads the files below a folder that match (`**/TEST-*.xml`). Links are not followed.

    `newer_than`: seconds since the epoch by the clock of this machine; older files are counted as stale and not read.
    Raises OSError if the folder cannot be read, ValueError for a pattern that leads out of it.
    """
    found = _Sum()
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for entry in trees.walk(root, globs.select(patterns, excludes)):
            if not stat.S_ISREG(entry.status.st_mode):
                continue
            if newer_than is not None and entry.status.st_mtime < newer_than:
                found.stale += 1
            elif found.files == FILES:
                found.add_problem(entry.path, f"there are more than {FILES} files: not read")
                break
            else:
                found.files += 1
                _read(root, entry, found)
    finally:
        os.close(root)
    return found.result()


def _read(root: int, entry: trees.Found, found: _Sum) -> None:
    if entry.status.st_size > FILE_BYTES:
        found.add_problem(entry.path, f"it has {entry.status.st_size} bytes; files of up to {FILE_BYTES} are read")
        return
    try:
        with beneath.open_file(root, entry.path) as stream:
            document = junitxml.read(stream, CASES - len(found.failed))
    except (OSError, junitxml.NotJUnit) as error:
        found.add_problem(entry.path, str(error))
        return
    found.add(entry.path, document)
    for text in _missing(document):
        found.add_problem(entry.path, text)


def _missing(document: junitxml.Document) -> Iterator[str]:
    """Suites that speak of failures without a case that failed, as some tools write after a crash."""
    declared = max((suite.declared_bad for suite in document.suites), default=0)
    counted = sum(suite.failures + suite.errors for suite in document.suites)
    if declared > 0 and counted == 0:
        yield f"a suite says that {declared} of its tests failed, but the file has no such case"
