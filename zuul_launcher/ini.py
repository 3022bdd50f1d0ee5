"""The INI dialect of Python 2, which zuul.conf files are written in.

Repeated sections are joined, of a repeated option the last one counts; ` ;` begins a comment after a value, `#` and `;`
at the start of a line; a deeper line continues the value above; section names keep their case, option names lose it;
`%(option)s` stands for another option of the section, any other `%` is a percent sign.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT = "DEFAULT"  # options of this section are in force in all others
MAXIMUM_NESTING = 10  # of %(option)s

_REMARKS = ("rem", "Rem", "REM")  # in front of a comment, as in DOS

_HEADER = re.compile(r"\[(?P<name>[^]]+)\]")
_OPTION = re.compile(r"(?P<name>[^:=\s][^:=]*?)\s*[:=]\s*(?P<value>.*)")
_REFERENCE = re.compile(r"%\((?P<name>[^)]+)\)s|%%")


@dataclass(frozen=True)
class Option:
    """What stands behind an option, as written, and where."""

    value: str
    line: int
    is_default: bool = False  # it stands in DEFAULT, not in the section itself


@dataclass
class Section:
    name: str
    line: int  # of its first header
    options: dict[str, Option] = field(default_factory=dict)  # by lower-case name


@dataclass(frozen=True)
class IniProblem:
    line: int
    message: str


def parse(text: str) -> tuple[dict[str, Section], list[IniProblem]]:
    """All sections by name, values interpolated, and everything that is wrong with the text."""
    sections: dict[str, Section] = {}
    problems: list[IniProblem] = []
    section: Section | None = None
    option: str | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip()
        if not line or line[0] in "#;" or line.split(None, 1)[0] in _REMARKS:
            continue
        if line[0].isspace() and section and option:
            above = section.options[option]
            section.options[option] = Option(f"{above.value}\n{line.strip()}", above.line)
        elif header := _HEADER.match(line):
            section = sections.setdefault(header["name"], Section(header["name"], number))
            option = None
        elif section is None:
            problems.append(IniProblem(number, f"{_shown(line)} stands before the first [section]"))
        elif found := _OPTION.match(line):
            option = found["name"].lower()
            section.options[option] = Option(_without_comment(found["value"]), number)
        else:
            problems.append(IniProblem(number, f"{_shown(line)} is neither a [section] nor an OPTION = VALUE"))
    defaults = sections.pop(DEFAULT, Section(DEFAULT, 0)).options
    for one in sections.values():
        one.options = _interpolated(one, defaults, problems)
    return sections, problems


def read(path: Path) -> tuple[dict[str, Section], list[IniProblem]]:
    """`parse` of a file in UTF-8, with or without a byte order mark, lines ended either way. Raises OSError."""
    raw = path.read_bytes()
    try:
        return parse(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return {}, [IniProblem(raw.count(b"\n", 0, error.start) + 1, "this is not text in UTF-8")]


def _without_comment(value: str) -> str:
    """Only the first semicolon can begin a comment, and only after white space: Python 2's rule."""
    position = value.find(";")
    if position == 0 or (position > 0 and value[position - 1].isspace()):
        value = value[:position]
    value = value.strip()
    return "" if value == '""' else value


def _interpolated(section: Section, defaults: dict[str, Option], problems: list[IniProblem]) -> dict[str, Option]:
    options = {**defaults, **section.options}
    done: dict[str, Option] = {}
    for name, option in options.items():
        try:
            value = _expand(option.value, options, MAXIMUM_NESTING)
            done[name] = Option(value, option.line, is_default=name not in section.options)
        except KeyError as error:
            message = f"[{section.name}] {name} refers to %({error.args[0]})s, which this section does not have"
            problems.append(IniProblem(option.line, message))
        except RecursionError:
            problems.append(IniProblem(option.line, f"[{section.name}] {name} refers to itself with %(...)s"))
    return done


def _expand(value: str, options: dict[str, Option], depth: int) -> str:
    if "%(" not in value:
        return value
    if depth == 0:
        raise RecursionError
    return _REFERENCE.sub(
        lambda found: _expand(options[found["name"].lower()].value, options, depth - 1) if found["name"] else "%", value
    )


def _shown(line: str) -> str:
    return repr(line if len(line) <= 60 else line[:57] + "...")
