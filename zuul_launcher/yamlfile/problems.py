"""What is wrong with a file and those it includes: each mistake with file, line and column, all of them together."""

from typing import Protocol

from msgspec import Struct

from zuul_launcher.errors import ConfigurationError


class Placed(Protocol):
    """Anything that stands somewhere in a file, counted from 1."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...

    @property
    def file(self) -> str | None: ...  # None: in the file that was named first


class Place(Struct, frozen=True):
    line: int = 1
    column: int = 1
    file: str | None = None


class Problem(Struct, frozen=True):
    file: str
    line: int
    column: int
    message: str
    hint: str | None = None  # what to do

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class FileErrors(ConfigurationError):
    """Everything that is wrong with a file, in the order of the file; the text has a line for each."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Problems:
    """Errors and warnings of one file, collected while it is read. What is shared by aliases is told once."""

    def __init__(self, file: str, if_empty: str = "the file is empty") -> None:
        self.file = file
        self.if_empty = if_empty  # what to say then
        self._errors: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}

    def refuse(self, place: Placed, message: str, hint: str | None = None) -> None:
        self._errors[self._problem(place, message, hint)] = None

    def warn(self, place: Placed, message: str, hint: str | None = None) -> None:
        self._warnings[self._problem(place, message, hint)] = None

    def place_of(self, place: Placed) -> str:
        return f"{place.file or self.file}:{place.line}:{place.column}"

    def count(self) -> int:
        """Of errors so far."""
        return len(self._errors)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return self._sorted(self._errors)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return self._sorted(self._warnings)

    def _problem(self, place: Placed, message: str, hint: str | None) -> Problem:
        return Problem(place.file or self.file, place.line, place.column, _one_line(message), hint and _one_line(hint))

    def _sorted(self, problems: dict[Problem, None]) -> tuple[Problem, ...]:
        """The file itself first, then its includes."""
        return tuple(sorted(problems, key=lambda one: (one.file != self.file, one.file, one.line, one.column)))


def _one_line(text: str) -> str:
    """Names of the file can hold anything: what is not to be seen is shown escaped."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
