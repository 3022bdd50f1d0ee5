"""What a person can type or write into zuul.conf is documented: commands, options, files, and targets of make."""

import configparser
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest

from zuul_launcher import settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.rst", *sorted((ROOT / "doc").glob("*.rst"))]
TEXT = "\n".join(path.read_text() for path in PAGES)
OF_EXTRAS = ("psycopg", "pymysql", "jenkins-job-builder")
SECTION = re.compile(r"^(?P<title>\S.*)\n(?P<line>-+|\.+)$", re.MULTILINE)


def _programs() -> dict[str, click.Command]:
    """Every program that is installed, by name."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    found = {}
    for line in parser["options.entry_points"]["console_scripts"].split("\n"):
        if line:
            name, module, function = re.split(r"\s*=\s*|:", line)
            found[name] = getattr(importlib.import_module(module), function)
    return found


def _commands() -> Iterator[tuple[str, click.Command]]:
    """All commands with their full names, groups included."""
    waiting = list(_programs().items())
    while waiting:
        name, command = waiting.pop()
        yield name, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            waiting += [(f"{name} {sub}", command.get_command(context, sub)) for sub in command.list_commands(context)]


def _words(name: str) -> str:
    """A pattern that finds the name as a word of its own."""
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"


def _is_documented(name: str) -> bool:
    """In the manual as a whole: `zuul-launcher gear call`."""
    return re.search(_words(name), TEXT) is not None


def test_every_command_is_documented_and_has_help() -> None:
    commands = dict(_commands())
    assert len(commands) > 10
    assert [name for name in commands if not _is_documented(name)] == []
    assert [name for name, command in commands.items() if not command.get_short_help_str()] == []


def test_every_option_is_documented() -> None:
    options = {
        (name, max(option.opts, key=len))
        for name, command in _commands()
        for option in command.params
        if isinstance(option, click.Option)
    }
    assert [f"{name} {option}" for name, option in sorted(options) if not re.search(_words(option), TEXT)] == []


def test_every_option_whose_name_does_not_say_it_all_has_help() -> None:
    plain = {"--format", "--pipeline", "--priority", "--project"}
    missing = [
        f"{name} {option.opts[0]}"
        for name, command in _commands()
        for option in command.params
        if isinstance(option, click.Option) and not option.help and not plain & set(option.opts)
    ]
    assert missing == []


def test_the_manual_shows_no_command_that_does_not_exist() -> None:
    known = {name for name, _ in _commands()}
    groups = {name for name, command in _commands() if isinstance(command, click.Group)}
    shown = set(re.findall(r"zuul-launcher (?:gear |show )?[a-z][a-z-]+", _code()))
    assert {name for name in shown if name not in known and name not in groups} == set()


def _code() -> str:
    """What is set as code in the manual: literals and blocks of commands."""
    literals = re.findall(r"``([^`]+)``", TEXT)
    lines = [line.strip() for line in TEXT.splitlines() if line.startswith("    ") and "zuul-launcher " in line]
    return "\n".join([*literals, *lines])


def _sections() -> dict[str, str]:
    """Headings of configuration.rst, and the text under each, down to the next."""
    text = (ROOT / "doc" / "configuration.rst").read_text()
    parts = SECTION.split(text)[1:]
    return dict(zip(parts[0::3], parts[2::3], strict=True))


def _structures() -> dict[str, type[msgspec.Struct]]:
    """Heading -> what settings.py reads there."""
    found: dict[str, Any] = {
        f"[{field.name}]": kind
        for field in msgspec.structs.fields(settings.Settings)
        for kind in (field.type, *get_args(field.type))
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not settings.Unread
    }
    return found | {f"``driver={kind.driver}``": kind for kind in get_args(settings.Connection)}


@pytest.mark.parametrize("heading", sorted(_structures()))
def test_the_manual_lists_exactly_the_options_of_each_section_of_zuul_conf(heading: str) -> None:
    documented = re.findall(r"^   \* - ``(\w+)``$", _sections()[heading], re.MULTILINE)
    fields = msgspec.structs.fields(_structures()[heading])
    assert sorted(documented) == sorted(one.name for one in fields if one.name != "name" or not one.required)


def test_every_option_that_the_sample_shows_exists() -> None:
    sample = (ROOT / "etc" / "zuul.conf-sample").read_text()
    known = {name for kind in _structures().values() for name in kind.__struct_fields__} | {"driver"}
    assert set(re.findall(r"^#?(\w+)=", sample, re.MULTILINE)) <= known


def test_every_page_is_reached_from_the_index() -> None:
    listed = set(re.findall(r"^   (\w+)$", (ROOT / "doc" / "index.rst").read_text(), re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "doc").glob("*.rst")} - {"index"}


def test_every_file_that_the_manual_names_exists() -> None:
    names = set(re.findall(r"``((?:doc|etc|tests|zuul_launcher)/[\w./-]+)``", TEXT))
    assert names
    assert {name for name in names if not (ROOT / name).exists()} == set()


def test_every_target_of_make_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    contributing = (ROOT / "CONTRIBUTING.rst").read_text()
    named = set(re.findall(r"(?:``|^    |&& )make ([a-z]+)", TEXT + contributing, re.MULTILINE))
    assert named
    assert named <= targets


def test_the_architecture_gives_a_reason_for_every_dependency_and_for_no_other() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    wanted = re.findall(r"^[a-z0-9-]+", parser["options"]["install_requires"], re.MULTILINE)
    page = (ROOT / "doc" / "architecture.rst").read_text().split("\nDependencies\n", 1)[1].split("\nTests\n")[0]
    assert re.findall(r"^([a-z0-9-]+) +\w", page, re.MULTILINE) == [*wanted, *OF_EXTRAS]


def test_the_architecture_names_every_room() -> None:
    page = (ROOT / "doc" / "architecture.rst").read_text()
    rooms = {path.parent.name for path in (ROOT / "zuul_launcher").glob("*/__init__.py")}
    assert {room for room in rooms if f"``{room}``" not in page} == set()
